/*
 * What arrived: two lists of chunks and what is told about them. `ready` is in order and waits for
 * tcp_take; `ooo` is ascending and disjoint, above rcv_nxt with a gap. A chunk can be cut at both
 * ends but not split, so one that covers older chunks completely supersedes them: they go to
 * `dropped`, for the caller to free. Appending at the tail, the common case behind a hole, costs
 * the same however long the list is; the newest chunk is remembered because the next one usually
 * follows it.
 *
 * D-SACK: what arrived again is reported as soon as the report cannot be mistaken, that is below
 * the ack point or inside a SACK block. Between ack point and rcv_nxt it waits, because that range
 * must never look SACKed: nobody else holds its bytes yet. Source: RFC 9293 section 3.10.7.4
 * (seventh), RFC 2018 section 4, RFC 2883.
 */
#include "tcp/private.h"

enum { KEPT_LEAST = 64 }; /* chunks out of order, however small the window */

static uint32_t
chunk_end(const struct tcp_chunk *chunk)
{
    return chunk->seq + chunk->len;
}

static void
trim_front(struct tcp_chunk *chunk, uint32_t bytes)
{
    chunk->seq += bytes;
    chunk->offset += bytes;
    chunk->len -= bytes;
}

static void
drop(struct tcp_conn *conn, struct tcp_chunk *chunk)
{
    chunk->next = conn->dropped;
    conn->dropped = chunk;
}

/* ---- telling the peer ---- */

static bool
touch(const struct tcp_range *a, const struct tcp_range *b)
{
    return seq_before_eq(a->start, b->end) && seq_before_eq(b->start, a->end);
}

static bool
inside(const struct tcp_range *inner, const struct tcp_range *outer)
{
    return seq_after_eq(inner->start, outer->start) && seq_before_eq(inner->end, outer->end);
}

/* The range becomes the first block, joined with those it touches; the oldest of more than four is
 * forgotten. */
static void
show_first(struct tcp_conn *conn, struct tcp_range range)
{
    struct tcp_range kept[4];
    unsigned count = 0;

    for (unsigned i = 0; i < conn->rcv_sack_count; i++) {
        const struct tcp_range *old = &conn->rcv_sack[i];
        if (touch(&range, old))
            range = (struct tcp_range){seq_min(range.start, old->start),
                                       seq_max(range.end, old->end)};
        else
            kept[count++] = *old;
    }
    if (count > 3)
        count = 3;
    conn->rcv_sack[0] = range;
    for (unsigned i = 0; i < count; i++)
        conn->rcv_sack[1 + i] = kept[i];
    conn->rcv_sack_count = (uint8_t)(1 + count);
}

static void
forget_passed(struct tcp_conn *conn)
{
    unsigned count = 0;

    for (unsigned i = 0; i < conn->rcv_sack_count; i++) {
        if (seq_after(conn->rcv_sack[i].start, conn->rcv_nxt))
            conn->rcv_sack[count++] = conn->rcv_sack[i];
    }
    conn->rcv_sack_count = (uint8_t)count;
}

void
tcp_note_duplicate(struct tcp_conn *conn, uint32_t start, uint32_t end)
{
    struct tcp_range range = {start, end}, pending = {conn->dsack_start, conn->dsack_end};

    conn->counters.duplicate_bytes_in += end - start;
    if (!conn->config.sack)
        return;
    if (conn->flags & TCP_CONN_DSACK && touch(&range, &pending))
        range = (struct tcp_range){seq_min(start, pending.start), seq_max(end, pending.end)};
    conn->dsack_start = range.start;
    conn->dsack_end = range.end;
    conn->flags |= TCP_CONN_DSACK;
}

/* All of it is on the out-of-order list already. */
static void
note_held(struct tcp_conn *conn, struct tcp_range range)
{
    bool known = false;

    for (unsigned i = 0; i < conn->rcv_sack_count; i++)
        known |= inside(&range, &conn->rcv_sack[i]);
    show_first(conn, range);
    conn->flags |= TCP_CONN_ACK_NOW;
    conn->counters.duplicate_bytes_in += range.end - range.start;
    if (!known || !conn->config.sack)
        return;
    conn->dsack_start = range.start;
    conn->dsack_end = range.end;
    conn->flags |= TCP_CONN_DSACK;
}

unsigned
tcp_sack_blocks(const struct tcp_conn *conn, struct tcp_range blocks[4], bool *dsack)
{
    struct tcp_range duplicate;
    unsigned count = 0, most = conn->config.timestamps ? 3 : 4;

    *dsack = false;
    if (!conn->config.sack || !(conn->rcv_sack_count || conn->flags & TCP_CONN_DSACK))
        return 0;
    duplicate = (struct tcp_range){conn->dsack_start, conn->dsack_end};
    if (conn->flags & TCP_CONN_DSACK &&
        (seq_before_eq(duplicate.end, conn->rcv_ack) ||
         (conn->rcv_sack_count && inside(&duplicate, &conn->rcv_sack[0])))) {
        blocks[count++] = duplicate;
        *dsack = true;
    }
    for (unsigned i = 0; i < conn->rcv_sack_count && count < most; i++)
        blocks[count++] = conn->rcv_sack[i];
    return count;
}

/* ---- the lists ---- */

static void
append_ready(struct tcp_conn *conn, struct tcp_chunk *chunk)
{
    chunk->next = NULL;
    if (conn->ready_head)
        conn->ready_tail->next = chunk;
    else
        conn->ready_head = chunk;
    conn->ready_tail = chunk;
    conn->rcv_nxt = chunk_end(chunk);
    conn->counters.bytes_in += chunk->len;
}

/* A hole was filled: what follows it becomes ready. */
static unsigned
drain(struct tcp_conn *conn)
{
    unsigned events = 0;

    while (conn->ooo_head && seq_before_eq(conn->ooo_head->seq, conn->rcv_nxt)) {
        struct tcp_chunk *chunk = conn->ooo_head;

        conn->ooo_head = chunk->next;
        conn->ooo_count--;
        if (seq_before_eq(chunk_end(chunk), conn->rcv_nxt)) {
            drop(conn, chunk);
            events |= TCP_EV_DROPPED;
            continue;
        }
        trim_front(chunk, conn->rcv_nxt - chunk->seq);
        append_ready(conn, chunk);
    }
    if (!conn->ooo_head)
        conn->ooo_tail = NULL;
    conn->ooo_hint = NULL;
    forget_passed(conn);
    conn->pending_segments = UINT16_MAX; /* RFC 5681, section 4.2: acknowledge at once */
    return events;
}

/* The last chunk that does not start behind seq; NULL: none. */
static struct tcp_chunk *
find_before(const struct tcp_conn *conn, uint32_t seq)
{
    struct tcp_chunk *at = conn->ooo_head;

    if (!at || seq_after(at->seq, seq))
        return NULL;
    if (seq_before_eq(conn->ooo_tail->seq, seq))
        return conn->ooo_tail;
    if (conn->ooo_hint && seq_before_eq(conn->ooo_hint->seq, seq))
        at = conn->ooo_hint;
    while (at->next && seq_before_eq(at->next->seq, seq))
        at = at->next;
    return at;
}

/* Unlinks the chunks behind prev that end inside [.., end). */
static unsigned
supersede(struct tcp_conn *conn, struct tcp_chunk **link, uint32_t end)
{
    unsigned events = 0;

    while (*link && seq_before_eq(chunk_end(*link), end)) {
        struct tcp_chunk *old = *link;

        *link = old->next;
        conn->ooo_count--;
        conn->counters.duplicate_bytes_in += old->len;
        drop(conn, old);
        events = TCP_EV_DROPPED | TCP_EV_DUPLICATE;
    }
    return events;
}

/* As many as the window has room for, in segments a quarter as large as ours. A peer that sends
 * single bytes with gaps would have each of them kept in a frame, and looked for in a long list. */
static bool
crowded(const struct tcp_conn *conn)
{
    return conn->ooo_count >=
           KEPT_LEAST + (tcp_right_edge(conn) - conn->rcv_nxt) / (conn->mss / 4u);
}

static unsigned
insert_ooo(struct tcp_conn *conn, struct tcp_chunk *chunk)
{
    struct tcp_range range = {chunk->seq, chunk_end(chunk)};
    struct tcp_chunk *prev = find_before(conn, chunk->seq);
    struct tcp_chunk **link = prev ? &prev->next : &conn->ooo_head;
    unsigned events = TCP_EV_KEPT;

    if (prev && seq_after_eq(chunk_end(prev), range.end)) {
        note_held(conn, range);
        return TCP_EV_DUPLICATE;
    }
    if (crowded(conn)) {
        conn->flags |= TCP_CONN_ACK_NOW;
        return TCP_EV_INVALID; /* it comes again when the first hole is filled */
    }
    if (prev && seq_after(chunk_end(prev), chunk->seq)) {
        trim_front(chunk, chunk_end(prev) - chunk->seq);
        events |= TCP_EV_DUPLICATE;
    }
    events |= supersede(conn, link, range.end);
    if (*link && seq_before((*link)->seq, range.end)) {
        chunk->len = (*link)->seq - chunk->seq;
        events |= TCP_EV_DUPLICATE;
    }
    if (!chunk->len) { /* across the seam of two that touch */
        note_held(conn, range);
        return TCP_EV_DUPLICATE;
    }
    chunk->next = *link;
    *link = chunk;
    if (!chunk->next)
        conn->ooo_tail = chunk;
    conn->ooo_hint = chunk;
    conn->ooo_count++;
    conn->counters.out_of_order_in++;
    show_first(conn, range);
    conn->flags |= TCP_CONN_ACK_NOW;
    return events;
}

unsigned
tcp_reassemble(struct tcp_conn *conn, struct tcp_chunk *chunk)
{
    unsigned events = 0;

    if (seq_before(chunk->seq, conn->rcv_nxt)) {
        uint32_t end = chunk_end(chunk);

        events = TCP_EV_DUPLICATE;
        tcp_note_duplicate(conn, chunk->seq, seq_min(end, conn->rcv_nxt));
        conn->flags |= TCP_CONN_ACK_NOW;
        if (seq_before_eq(end, conn->rcv_nxt))
            return events;
        trim_front(chunk, conn->rcv_nxt - chunk->seq);
    }
    if (chunk->seq != conn->rcv_nxt)
        return events | insert_ooo(conn, chunk);
    append_ready(conn, chunk);
    if (conn->ooo_head)
        events |= drain(conn);
    return events | TCP_EV_KEPT | TCP_EV_READY;
}

struct tcp_chunk *
tcp_take(struct tcp_conn *conn)
{
    struct tcp_chunk *chunk = conn->ready_head;

    if (!chunk)
        return NULL;
    conn->ready_head = chunk->next;
    if (!conn->ready_head)
        conn->ready_tail = NULL;
    chunk->next = NULL;
    return chunk;
}

struct tcp_chunk *
tcp_take_dropped(struct tcp_conn *conn)
{
    struct tcp_chunk *chunk = conn->dropped;

    if (!chunk)
        return NULL;
    conn->dropped = chunk->next;
    chunk->next = NULL;
    return chunk;
}

bool
tcp_has_hole(const struct tcp_conn *conn)
{
    return conn->ooo_head != NULL;
}
