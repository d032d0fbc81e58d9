/*
 * Network interfaces by rtnetlink: look one up, set one up, follow one. Private to src/wire.
 */
#ifndef WIRE_LINK_H
#define WIRE_LINK_H

#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct mnl_socket;

struct link_info {
    int ifindex;
    unsigned mtu;
    unsigned short type; /* ARPHRD_ ... */
    uint8_t mac[6];      /* zero if its address has another length */
    bool up;             /* raised, and has a carrier */
    bool gone;           /* deleted, or moved to another namespace */
};

/* 0 or a negative errno; -ENODEV: no such interface. Context: waits for the kernel's answer. */
int link_query(const char *name, struct link_info *out);
/* Of a fresh TAP: MAC (NULL: as it is), MTU, up; quiet: no IPv6 address of its own, no ARP.
 * Likewise. */
int link_raise_tap(int ifindex, const uint8_t *mac, unsigned mtu, bool quiet);

/* Follows one interface of the namespace in which it was started. */
struct link_watch {
    struct mnl_socket *socket;
    struct sys_watch watch;
    int ifindex;
    void (*fn)(void *arg, const struct link_info *info);
    void *arg;
};

/* fn hears of every change and, in one of the next turns, of the state there is. */
int link_watch_start(struct link_watch *watch, struct sys_loop *loop, int ifindex,
                     void (*fn)(void *arg, const struct link_info *info), void *arg);
void link_watch_stop(struct link_watch *watch);

#endif
