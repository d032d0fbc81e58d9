/*
 * What every kind of wire has in common. Private to src/wire: a kind embeds struct wire as its
 * first member and fills in the operations.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include "chimney/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_NAME_BYTES 16
#define WIRE_ETHERNET_HEADER 14
#define WIRE_VLAN_TAG 4
#define WIRE_TAG_OFFSET 12 /* behind the addresses */

struct wire_ops {
    /*
     * Takes a frame of len bytes that has been checked. 0, -EAGAIN, or what wire_send may return.
     */
    int (*send)(struct wire *wire, const struct wire_tx *tx, size_t len);
    void (*flush)(struct wire *wire);
    /* Forgets what was queued and not sent; returns the number of frames. */
    unsigned (*discard)(struct wire *wire);
    /* Adds what only the medium knows; may be NULL. */
    void (*read_stats)(struct wire *wire);
    /* Frees everything, wire included. Never inside a callback of this wire. */
    void (*close)(struct wire *wire);
};

struct wire {
    const struct wire_ops *ops;
    struct sys_loop *loop;
    const struct wire_receiver *receiver;
    void *receiver_arg;
    const struct wire_watcher *watcher;
    void *watcher_arg;
    char name[WIRE_NAME_BYTES];
    uint8_t mac[6];
    int ifindex;
    unsigned mtu;
    bool up;
    bool gagged;
    bool blocked; /* a send was refused: on_writable is owed */
    bool closing; /* closed in a callback; freed when the last one has returned */
    unsigned depth;
    struct wire_stats stats;
};

/* The rest of wire must be zero or set. name is cut to what fits. */
void wire_init(struct wire *wire, const struct wire_ops *ops, struct sys_loop *loop,
               const char *name);

/*
 * Around everything that may call the receiver. After each callback the kind looks at
 * wire->closing; after wire_leave the wire may be gone.
 */
void wire_enter(struct wire *wire);
void wire_leave(struct wire *wire);

/* Hands buf to the receiver and puts the wire's reference. Between enter and leave. */
void wire_deliver(struct wire *wire, struct wire_buf *buf);
/* The medium takes frames again: tells the receiver if it is waiting for that. Likewise. */
void wire_writable(struct wire *wire);
void wire_set_link(struct wire *wire, bool up);

/* A frame of tx as one buffer. NULL: out of memory. */
struct wire_buf *wire_gather(const struct wire_tx *tx, size_t len);

#endif
