/*
 * The way to a peer as the kernel had it at one moment, and what a change of it means. Pure.
 * Addresses in network order, IPv4 in the first 4 bytes. Private to src/host/linux.
 */
#ifndef HOST_LINUX_WAY_H
#define HOST_LINUX_WAY_H

#include <stdbool.h>
#include <stdint.h>

struct way {
    int ifindex;
    uint16_t next_hop_family;
    uint8_t next_hop[16];
    uint8_t mac[6];     /* of the next hop */
    uint8_t own_mac[6]; /* of the interface */
    uint32_t mtu;       /* of the route, learnt path MTU included, else of the link */
};

/* Over the same interface to the same next hop, whatever its link address. */
bool way_same_hop(const struct way *a, const struct way *b);
bool way_leads_over(const struct way *way, int ifindex, uint16_t family, const uint8_t *next_hop);

/* What the kernel socket itself has found out about the path. */
struct way_probe {
    uint32_t mss;   /* payload bytes per segment, when last looked at; 0: never */
    uint32_t bound; /* the path carries no more than this; 0: nothing learnt */
};

/*
 * The socket's segment size is mss now; header_bytes: IP, TCP and the options of every segment.
 * True: what it says about the path has changed. A fall means that it was told of a smaller path
 * MTU (ICMP) or found that larger segments do not arrive; a rise takes that back.
 */
bool way_note_mss(struct way_probe *probe, uint32_t mss, uint32_t header_bytes);

/* The path MTU to use. wire_mtu: what the wire can carry at the moment. */
uint32_t way_mtu(const struct way *way, const struct way_probe *probe, uint32_t wire_mtu);

#endif
