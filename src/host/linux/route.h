/*
 * What the kernel knows about the way to a peer: routes, neighbours, links, and the news when they
 * change (rtnetlink). Addresses in network order, IPv4 in the first 4 bytes. All about the network
 * namespace of the calling thread. Threads: any. Nothing here sends a frame except route_provoke.
 */
#ifndef HOST_LINUX_ROUTE_H
#define HOST_LINUX_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

/* ---- routes ---- */

struct route_query {
    uint16_t family;            /* AF_INET, AF_INET6 */
    const uint8_t *destination; /* 4 or 16 bytes */
    const uint8_t *source;      /* NULL: any */
    int ifindex;                /* the interface the socket is bound to; 0: none */
    uint32_t mark;              /* of the socket: policy routing */
    bool table_entry; /* not the route that would be taken, but its entry in the table: that of
                         an address of ours names the interface which has it, up or not */
};

struct route_result {
    uint16_t family;
    int ifindex;
    bool local;   /* the destination is this host */
    bool unicast; /* false and not local: broadcast, multicast */
    bool has_gateway;
    uint16_t next_hop_family; /* IPv4 may go through an IPv6 router */
    uint8_t next_hop[16];     /* the gateway, or the destination itself */
    uint8_t source[16];       /* preferred; zero: not told */
    uint8_t destination[16];
    uint8_t destination_bits; /* of a route in an event; in answers the whole address */
    uint32_t table;
    uint32_t mtu; /* what the route says, learnt path MTU included; 0: the link's */
};

/* 0; -ENETUNREACH, -EHOSTUNREACH, … as the kernel answers a send; -EINVAL. */
int route_lookup(uint16_t family, const uint8_t *destination, const uint8_t *source,
                 struct route_result *out);
int route_lookup_as(const struct route_query *query, struct route_result *out);

/* ---- neighbours ---- */

struct route_neighbour {
    uint16_t family;
    int ifindex;
    uint8_t address[16];
    uint8_t mac[6];
    uint16_t state; /* NUD_… */
    bool resolved;  /* mac may be used: known, and not failed */
    bool router;
};

/* 0; -ENOENT: the kernel has no entry. */
int route_neighbour(int ifindex, uint16_t family, const uint8_t *address,
                    struct route_neighbour *out);
/* Has the kernel resolve or check the neighbour, as if something were to be sent. The answer is an
 * event. */
int route_provoke(int ifindex, uint16_t family, const uint8_t *address);

/* ---- links ---- */

struct route_link {
    int ifindex;
    char name[16];
    uint32_t mtu;
    uint8_t mac[6];
    uint16_t type; /* ARPHRD_… */
    bool up, running, loopback, ethernet;
};

/* 0; -ENODEV. */
int route_link(int ifindex, struct route_link *out);
int route_link_named(const char *name, struct route_link *out);
/* As route_link, but never waits for others who configure interfaces; a change of
 * the carrier may show a second later (and is an event then). */
int route_link_quick(int ifindex, struct route_link *out);

/* ---- news ---- */

enum route_event_kind { ROUTE_EVENT_NEIGHBOUR, ROUTE_EVENT_LINK, ROUTE_EVENT_ROUTE };

struct route_event {
    enum route_event_kind kind;
    bool gone; /* deleted; else new or changed */
    union {
        struct route_neighbour neighbour;
        struct route_link link;
        struct route_result route;
    };
};

typedef void (*route_event_fn)(void *arg, const struct route_event *event);

/* A descriptor to watch for reading, non-blocking, or a negative errno. REACHABLE becoming STALE
 * makes no event. */
int route_open_events(void);
/* Calls fn for all that wait. 0; -ENOBUFS: some were lost, ask again for what matters; negative
 * errno. */
int route_read_events(int fd, route_event_fn fn, void *arg);
void route_close_events(int fd);

#endif
