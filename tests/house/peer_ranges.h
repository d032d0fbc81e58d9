/* Some stretches of the sequence space: sorted, apart from each other. Numbers compare as signed
 * distances (RFC 9293, 3.4). */
#ifndef TESTS_HOUSE_PEER_RANGES_H
#define TESTS_HOUSE_PEER_RANGES_H

#include "base/seq.h"

#define PEER_RANGES 64

struct peer_range {
    uint32_t from, to; /* to: behind it */
};

struct peer_ranges {
    struct peer_range at[PEER_RANGES];
    unsigned count;
};

/* False: no room, nothing was added. */
bool peer_ranges_add(struct peer_ranges *ranges, uint32_t from, uint32_t to);
/* Whether all of it is there. */
bool peer_ranges_hold(const struct peer_ranges *ranges, uint32_t from, uint32_t to);
/* Forgets what is before seq. */
void peer_ranges_cut(struct peer_ranges *ranges, uint32_t seq);
/* If seq is in a range, its end; otherwise seq. */
uint32_t peer_ranges_skip(const struct peer_ranges *ranges, uint32_t seq);
/* The start of the first range behind seq, or limit. */
uint32_t peer_ranges_next(const struct peer_ranges *ranges, uint32_t seq, uint32_t limit);
uint32_t peer_ranges_sum(const struct peer_ranges *ranges);

#endif
