/* See peer_ranges.h. A handful of ranges: an array that is walked. */
#include "peer_ranges.h"

#include <string.h>

static void
remove_at(struct peer_ranges *ranges, unsigned i)
{
    ranges->count--;
    memmove(&ranges->at[i], &ranges->at[i + 1], (ranges->count - i) * sizeof ranges->at[0]);
}

bool
peer_ranges_add(struct peer_ranges *ranges, uint32_t from, uint32_t to)
{
    unsigned i = 0;

    if (!seq_before(from, to))
        return true;
    while (i < ranges->count && seq_before(ranges->at[i].to, from))
        i++;
    if (i == ranges->count || seq_before(to, ranges->at[i].from)) {
        if (ranges->count == PEER_RANGES)
            return false;
        memmove(&ranges->at[i + 1], &ranges->at[i], (ranges->count - i) * sizeof ranges->at[0]);
        ranges->at[i] = (struct peer_range){from, to};
        ranges->count++;
        return true;
    }
    ranges->at[i].from = seq_min(ranges->at[i].from, from);
    ranges->at[i].to = seq_max(ranges->at[i].to, to);
    while (i + 1 < ranges->count && seq_before_eq(ranges->at[i + 1].from, ranges->at[i].to)) {
        ranges->at[i].to = seq_max(ranges->at[i].to, ranges->at[i + 1].to);
        remove_at(ranges, i + 1);
    }
    return true;
}

bool
peer_ranges_hold(const struct peer_ranges *ranges, uint32_t from, uint32_t to)
{
    return seq_after_eq(peer_ranges_skip(ranges, from), to);
}

void
peer_ranges_cut(struct peer_ranges *ranges, uint32_t seq)
{
    while (ranges->count && seq_before_eq(ranges->at[0].to, seq))
        remove_at(ranges, 0);
    if (ranges->count && seq_before(ranges->at[0].from, seq))
        ranges->at[0].from = seq;
}

uint32_t
peer_ranges_skip(const struct peer_ranges *ranges, uint32_t seq)
{
    for (unsigned i = 0; i < ranges->count; i++)
        if (seq_before_eq(ranges->at[i].from, seq) && seq_before(seq, ranges->at[i].to))
            return ranges->at[i].to;
    return seq;
}

uint32_t
peer_ranges_next(const struct peer_ranges *ranges, uint32_t seq, uint32_t limit)
{
    for (unsigned i = 0; i < ranges->count; i++)
        if (seq_before(seq, ranges->at[i].from))
            return seq_min(ranges->at[i].from, limit);
    return limit;
}

uint32_t
peer_ranges_sum(const struct peer_ranges *ranges)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < ranges->count; i++)
        sum += ranges->at[i].to - ranges->at[i].from;
    return sum;
}
