/*
 * The world of one connection: what its owner has said, what it has let the peer see, and a check
 * of everything against that. Redundant on purpose.
 */
#ifndef TESTS_FUZZ_SEGMENTS_H
#define TESTS_FUZZ_SEGMENTS_H

#include "fuzz.h"

#include "tcp/private.h"

struct world {
    struct tcp_conn conn;
    struct tcp_counters last; /* they only grow */
    uint64_t now_us;
    bool blocked; /* nothing can be sent at the moment */
    uint32_t burst;
    unsigned chunks; /* that exist */
    /* receiving, in sequence numbers */
    uint32_t taken, acked; /* bytes taken in order; acknowledged, perhaps with the FIN */
    uint32_t allowed_edge, shown_edge;
    uint32_t last_tsval; /* of the newest chunk taken */
    bool fin;            /* arrived */
    /* sending */
    uint32_t snd_una, snd_end, highest; /* highest: behind everything that was sent */
    uint32_t offered;                   /* the furthest edge that the peer has shown */
    uint32_t queued;                    /* bytes, in all */
    bool fin_queued;
};

/* false: it cannot be adopted so. */
bool world_open(struct world *world, const struct tcp_config *config,
                const struct tcp_state *state);
void world_close(struct world *world);
void world_feed(struct world *world, const struct tcp_segment *segment);
/* What is due is done, again until nothing is. */
void world_expire(struct world *world);
/* Sends all there is to send, unless blocked. */
void world_flush(struct world *world);
/* Acknowledges so many bytes more of those taken, and behind all of them the FIN. */
void world_acknowledge(struct world *world, uint32_t bytes);
/* Another owner, with or without the extension. */
void world_hand_over(struct world *world, bool extended);
void world_check(struct world *world);

#endif
