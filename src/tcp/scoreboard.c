/*
 * What the peer holds out of order: ascending, disjoint, non-adjacent ranges of sequence numbers
 * inside (snd_una, snd_max]. The array is searched from the top, where news usually is; when it is
 * full, news is ignored, which can only cause a needless retransmission. A range that snd_una
 * enters without swallowing it was reneged upon and is forgotten. Source: RFC 2018, RFC 2883
 * (telling a D-SACK), RFC 6675 section 4.
 */
#include "tcp/private.h"

#include <string.h>

static uint32_t
length(const struct tcp_range *range)
{
    return range->end - range->start;
}

static void
remove_ranges(struct tcp_conn *conn, unsigned first, unsigned count)
{
    conn->sack_count -= (uint8_t)count;
    memmove(conn->sacked + first, conn->sacked + first + count,
            (conn->sack_count - first) * sizeof(*conn->sacked));
}

static bool
insert_range(struct tcp_conn *conn, unsigned at, struct tcp_range range)
{
    if (conn->sack_count == TCP_SACK_RANGES)
        return false;
    memmove(conn->sacked + at + 1, conn->sacked + at,
            (conn->sack_count - at) * sizeof(*conn->sacked));
    conn->sacked[at] = range;
    conn->sack_count++;
    return true;
}

/* True if any byte of the range is news. */
static bool
add(struct tcp_conn *conn, struct tcp_range range)
{
    struct tcp_range *sacked = conn->sacked;
    unsigned last = conn->sack_count, first;

    while (last && seq_after(sacked[last - 1].start, range.end))
        last--;
    first = last;
    while (first && seq_after_eq(sacked[first - 1].end, range.start))
        first--;
    if (first == last)
        return insert_range(conn, first, range);
    /* [first, last) touch the range */
    struct tcp_range merged = {seq_min(sacked[first].start, range.start),
                               seq_max(sacked[last - 1].end, range.end)};
    if (last - first == 1 && length(&merged) == length(&sacked[first]))
        return false;
    sacked[first] = merged;
    remove_ranges(conn, first + 1, last - first - 1);
    return true;
}

/* It repeats what is acknowledged, all of it, or lies inside the second block. */
bool
tcp_has_dsack(const struct tcp_segment *segment)
{
    const struct tcp_range *block = segment->sack;

    if (!segment->sack_count || !seq_before(block[0].start, block[0].end))
        return false;
    if (seq_before(block[0].start, segment->ack))
        return seq_before_eq(block[0].end, segment->ack);
    return segment->sack_count > 1 && seq_after_eq(block[0].start, block[1].start) &&
           seq_before_eq(block[0].end, block[1].end);
}

bool
tcp_sack_input(struct tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_us)
{
    bool news = false;

    for (unsigned i = tcp_has_dsack(segment); i < segment->sack_count; i++) {
        struct tcp_range range = segment->sack[i];
        if (seq_after_eq(range.start, range.end) || seq_before_eq(range.start, conn->snd_una) ||
            seq_after(range.end, conn->snd_max))
            continue;
        tcp_rack_on_delivered(conn, range.start, range.end, now_us);
        news |= add(conn, range);
    }
    return news;
}

void
tcp_sack_advance(struct tcp_conn *conn)
{
    unsigned passed = 0;

    while (passed < conn->sack_count && seq_before_eq(conn->sacked[passed].start, conn->snd_una))
        passed++;
    if (passed)
        remove_ranges(conn, 0, passed);
}

uint32_t
tcp_unsacked(const struct tcp_conn *conn, uint32_t start, uint32_t end)
{
    uint32_t bytes;

    if (seq_after_eq(start, end))
        return 0;
    bytes = end - start;
    for (unsigned i = 0; i < conn->sack_count; i++) {
        uint32_t from = seq_max(conn->sacked[i].start, start);
        uint32_t to = seq_min(conn->sacked[i].end, end);
        if (seq_before(from, to))
            bytes -= to - from;
    }
    return bytes;
}

uint32_t
tcp_next_hole(const struct tcp_conn *conn, uint32_t seq, uint32_t limit, uint32_t *end)
{
    *end = limit;
    for (unsigned i = 0; i < conn->sack_count; i++) {
        const struct tcp_range *range = &conn->sacked[i];
        if (seq_before_eq(range->end, seq))
            continue;
        if (seq_after(range->start, seq)) {
            *end = seq_min(range->start, limit);
            break;
        }
        seq = range->end;
    }
    return seq;
}

bool
tcp_sack_many(const struct tcp_conn *conn)
{
    uint32_t bytes = 0;

    for (unsigned i = 0; i < conn->sack_count; i++)
        bytes += length(&conn->sacked[i]);
    return conn->sack_count >= conn->dup_threshold ||
           bytes > (conn->dup_threshold - 1u) * conn->mss;
}
