/*
 * What the adapter is made of. Private to tests/adapter.
 */
#ifndef ADAPTER_PARTS_H
#define ADAPTER_PARTS_H

#include "adapter.h"
#include "chimney/hoststack.h"

#include <ndis.h>
#include <ndischimney.h>
#include <stdbool.h>

/* ---- settings.c: the sysctls of TCP, those of the calling thread's namespace ---- */
struct settings;
struct settings *settings_read(void); /* NULL: out of memory */
/* Those that differ; what cannot be set stays. */
void settings_write(const struct settings *settings);
void settings_free(struct settings *settings);

/* ---- device.c: addresses and links, likewise ---- */
#define DEVICE_ADDRESSES 16
struct device {
    char name[16];
    bool bare; /* a TUN: no Ethernet header */
    unsigned address_count;
    struct device_address {
        uint8_t family, bits;
        uint8_t bytes[16];
    } addresses[DEVICE_ADDRESSES];
};
/* 0 or a negative errno, with a sentence in *why. */
int device_read(struct device *device, const char *name, const char **why);
/* Gives the interface ifindex all addresses, and all peers a route over it; raises lo. Likewise. */
int device_settle(const struct device *device, int ifindex, const char **why);

/* ---- behind.c: the house on its thread, behind the device ---- */
struct behind;
/* Of any connection, on the house's thread. */
typedef void (*behind_move_fn)(void *arg, const struct hoststack_move *move);

/* Owner: arg lives until behind_close. 0 or a negative errno, with a sentence in why. */
int behind_open(const char *device, behind_move_fn on_move, void *arg, struct behind **out,
                char why[ADAPTER_WHY_BYTES]);
void behind_close(struct behind *behind);
/* The calls below wait for the house's thread, on any other. */
/* A socket of the house's namespace, or a negative errno. */
int behind_socket(struct behind *behind, int domain, int type, int protocol);
/* Until the connection has moved, was refused, or wait_ms have passed. */
void behind_hand_over(struct behind *behind, const struct hoststack_endpoint *local,
                      const struct hoststack_endpoint *peer, unsigned wait_ms);
/* 0 or a negative errno; -ENOENT: the target does not have it. */
int behind_query(struct behind *behind, const struct hoststack_endpoint *local,
                 const struct hoststack_endpoint *peer, TCP_OFFLOAD_STATE_DELEGATED *out);
/* False: the kernel has no such socket (any more). info and totals are filled in all the same. */
bool behind_look(struct behind *behind, const struct hoststack_endpoint *local,
                 const struct hoststack_endpoint *peer, struct hoststack_conn_info *info,
                 struct hoststack_totals *totals);

/* ---- table.c: which descriptors are whose ---- */
enum entry_state { ENTRY_FREE, ENTRY_FRESH, ENTRY_CONNECTING, ENTRY_CONNECTED };

struct entry {
    enum entry_state state;
    struct hoststack_endpoint local, peer; /* when connected */
    struct hoststack_move last;            /* reason only counts when moved */
    bool moved;
};

struct table;
struct table *table_create(void);
void table_close_all(struct table *table);
/* Its descriptors stay open. */
void table_destroy(struct table *table);
int table_add(struct table *table, int fd); /* 0; -ENOMEM */
/* False: it was not there. */
bool table_remove(struct table *table, int fd);
bool table_read(struct table *table, int fd, struct entry *out);
/* From one state to another; false: it was not in that state. */
bool table_change(struct table *table, int fd, enum entry_state from, enum entry_state to);
/* As it was when it was added: what it was connected to is nothing to it any more. */
void table_renew(struct table *table, int fd);
void table_set_ends(struct table *table, int fd, const struct hoststack_endpoint *local,
                    const struct hoststack_endpoint *peer);
/* For behind_open; arg: the table. */
void table_on_move(void *table, const struct hoststack_move *move);

/* ---- info.c ---- */
/* Puts the target's figures into what the kernel says of TCP_INFO: length bytes at value. */
void info_merge(void *value, size_t length, const TCP_OFFLOAD_STATE_DELEGATED *delegated);

#endif
