/*
 * Losses told by time. Of what is outstanding the connection knows when it was sent, as marks: "up
 * to here, then". When something is delivered that was sent later, what was sent before it and is
 * still missing after a round trip and a little more, the reordering window, is lost; and that
 * holds for retransmissions, too. The window is zero until the network is seen to reorder and
 * enough is SACKed, a quarter of the shortest round trip otherwise, and grows with every D-SACK
 * that tells of a needless retransmission.
 *
 * Marks, not records of segments: what is sent within a 32nd of a round trip shares one, with the
 * time of its last part, so the number is bounded whatever the window. Should they run out all the
 * same, neighbours are joined, and the later time counts: losses are noticed late, not early,
 * unless all neighbours differ in being lost, and both have to go again. A mark says nothing about
 * bytes that are SACKed, and is gone with the last byte that is not.
 *
 * As long as nothing is SACKed or missing there is nothing to compare, and marks that snd_una has
 * passed just lie there until something is sent. Only with SACK. Source: RFC 8985 section 6.
 */
#include "tcp/private.h"

#include <string.h>

/* Spare: two cuts and a new one, between one make_room and the next. */
enum { SPAN_PARTS = 32, PERSIST_RECOVERIES = 16, SPARE_MARKS = 3 };

static uint32_t
mark_start(const struct tcp_conn *conn, unsigned i)
{
    return i ? seq_max(conn->marks[i - 1].end_seq, conn->snd_una) : conn->snd_una;
}

/* Bytes that a mark still speaks of. */
static uint32_t
missing(const struct tcp_conn *conn, unsigned i)
{
    return tcp_unsacked(conn, mark_start(conn, i), conn->marks[i].end_seq);
}

static void
remove_marks(struct tcp_conn *conn, unsigned first, unsigned count)
{
    conn->mark_count -= (uint8_t)count;
    memmove(conn->marks + first, conn->marks + first + count,
            (conn->mark_count - first) * sizeof(*conn->marks));
}

/* ---- making room ---- */

static uint64_t
distance(const struct tcp_mark *a, const struct tcp_mark *b)
{
    uint64_t apart_us = a->sent_us > b->sent_us ? a->sent_us - b->sent_us : b->sent_us - a->sent_us;

    apart_us += a->resent == b->resent ? 0 : 1ull << 61;
    return a->lost == b->lost ? apart_us : apart_us + (1ull << 62);
}

/* b takes a's place, too. What was lost stays so: forgotten, it would wait for a timeout. */
static void
join(struct tcp_mark *a, const struct tcp_mark *b)
{
    a->end_seq = b->end_seq;
    a->resent |= b->resent;
    a->lost |= b->lost;
    if (b->sent_us > a->sent_us)
        a->sent_us = b->sent_us;
}

/* One fewer: the two most alike become one. */
static void
squeeze(struct tcp_conn *conn)
{
    unsigned best = 0;

    for (unsigned i = 1; i + 1 < conn->mark_count; i++) {
        if (distance(&conn->marks[i], &conn->marks[i + 1]) <
            distance(&conn->marks[best], &conn->marks[best + 1]))
            best = i;
    }
    join(&conn->marks[best], &conn->marks[best + 1]);
    remove_marks(conn, best + 1, 1);
}

/* Without those that have nothing to say; the last stays, for it ends at snd_max. */
static void
make_room(struct tcp_conn *conn)
{
    if (conn->mark_count <= TCP_MARKS - SPARE_MARKS)
        return;
    for (unsigned i = conn->mark_count - 1; i-- > 0;) {
        if (!missing(conn, i))
            remove_marks(conn, i, 1);
    }
    while (conn->mark_count > TCP_MARKS - SPARE_MARKS)
        squeeze(conn);
}

/* ---- sending ---- */

static void
trim(struct tcp_conn *conn)
{
    unsigned passed = 0;

    while (passed < conn->mark_count && seq_before_eq(conn->marks[passed].end_seq, conn->snd_una))
        passed++;
    if (passed)
        remove_marks(conn, 0, passed);
}

static bool
extends(const struct tcp_conn *conn, const struct tcp_mark *mark, bool resent, uint64_t now_us)
{
    return mark->resent == resent && !mark->lost &&
           now_us - mark->first_us <= conn->srtt_us / SPAN_PARTS;
}

/* A boundary at seq, if it lies inside a mark. Index of the mark that starts there. */
static unsigned
cut(struct tcp_conn *conn, uint32_t seq)
{
    unsigned i = 0;

    while (i < conn->mark_count && seq_before_eq(conn->marks[i].end_seq, seq))
        i++;
    if (i == conn->mark_count || seq_before_eq(seq, mark_start(conn, i)))
        return i;
    memmove(conn->marks + i + 1, conn->marks + i, (conn->mark_count - i) * sizeof(*conn->marks));
    conn->mark_count++;
    conn->marks[i].end_seq = seq;
    return i + 1;
}

/* Marks without missing bytes in front of mark i go; its new index. */
static unsigned
absorb_before(struct tcp_conn *conn, unsigned i)
{
    while (i && !missing(conn, i - 1))
        remove_marks(conn, --i, 1);
    return i;
}

static void
mark_again(struct tcp_conn *conn, uint32_t start, uint32_t end, uint64_t now_us)
{
    unsigned first = cut(conn, start), behind = cut(conn, end);

    if (behind <= first)
        return; /* nothing known of it */
    remove_marks(conn, first + 1, behind - first - 1);
    conn->marks[first] = (struct tcp_mark){now_us, now_us, end, .resent = true};
    first = absorb_before(conn, first);
    if (first && extends(conn, &conn->marks[first - 1], true, now_us)) {
        join(&conn->marks[first - 1], &conn->marks[first]);
        remove_marks(conn, first, 1);
    }
}

static void
mark_new(struct tcp_conn *conn, uint32_t end, uint64_t now_us)
{
    struct tcp_mark *last = conn->marks + conn->mark_count - 1;

    if (conn->mark_count && extends(conn, last, false, now_us)) {
        last->end_seq = end;
        last->sent_us = now_us;
        return;
    }
    conn->marks[conn->mark_count++] = (struct tcp_mark){now_us, now_us, end, .resent = false};
}

void
tcp_rack_on_sent(struct tcp_conn *conn, uint32_t start, uint32_t end, bool resent, uint64_t now_us)
{
    if (!conn->config.sack)
        return;
    trim(conn);
    make_room(conn);
    if (resent)
        mark_again(conn, start, end, now_us);
    else
        mark_new(conn, end, now_us);
}

void
tcp_rack_adopt(struct tcp_conn *conn, uint64_t now_us)
{
    uint64_t sent_us = now_us > conn->srtt_us ? now_us - conn->srtt_us : 0;

    conn->rack_sent_us = conn->reo_deadline_us = TCP_NEVER;
    conn->reo_multiplier = 1;
    if (conn->config.sack && tcp_outstanding(conn))
        conn->marks[conn->mark_count++] = (struct tcp_mark){sent_us, sent_us, conn->snd_max,
                                                            .resent = true};
}

/* ---- delivery ---- */

static void
note_delivery(struct tcp_conn *conn, const struct tcp_mark *mark, uint32_t end, uint64_t now_us)
{
    uint64_t rtt_us = now_us - mark->sent_us;

    if (!mark->resent && seq_before(end, conn->fack_seq))
        conn->flags |= TCP_CONN_REORDERING;
    if (mark->resent && rtt_us < tcp_min_rtt_us(conn, now_us))
        return; /* it was the first copy that arrived */
    if (conn->rack_sent_us != TCP_NEVER &&
        (mark->sent_us < conn->rack_sent_us ||
         (mark->sent_us == conn->rack_sent_us && seq_before(end, conn->rack_end_seq))))
        return;
    conn->rack_sent_us = mark->sent_us;
    conn->rack_end_seq = end;
    conn->rack_rtt_us = rtt_us;
}

void
tcp_rack_on_delivered(struct tcp_conn *conn, uint32_t start, uint32_t end, uint64_t now_us)
{
    for (unsigned i = 0; i < conn->mark_count; i++) {
        uint32_t from = seq_max(mark_start(conn, i), start);
        uint32_t to = seq_min(conn->marks[i].end_seq, end);

        while (seq_before(from, to)) {
            uint32_t hole_end, hole = tcp_next_hole(conn, from, to, &hole_end);
            if (seq_before(hole, hole_end))
                note_delivery(conn, &conn->marks[i], hole_end, now_us);
            from = seq_max(hole, hole_end);
        }
    }
}

void
tcp_rack_advance(struct tcp_conn *conn)
{
    if (conn->flags & TCP_CONN_DSACK_ROUND && seq_after_eq(conn->snd_una, conn->dsack_round_seq))
        conn->flags &= ~TCP_CONN_DSACK_ROUND;
}

void
tcp_rack_on_dsack(struct tcp_conn *conn)
{
    if (conn->flags & TCP_CONN_DSACK_ROUND)
        return; /* once per round trip */
    conn->flags |= TCP_CONN_DSACK_ROUND;
    conn->dsack_round_seq = conn->snd_max;
    if (conn->reo_multiplier < UINT8_MAX)
        conn->reo_multiplier++;
    conn->reo_persist = PERSIST_RECOVERIES;
}

void
tcp_rack_on_recovered(struct tcp_conn *conn)
{
    if (conn->reo_persist && !--conn->reo_persist)
        conn->reo_multiplier = 1;
}

/* ---- loss ---- */

static uint64_t
reordering_window_us(const struct tcp_conn *conn, uint64_t now_us)
{
    uint64_t shortest_us = tcp_min_rtt_us(conn, now_us);

    if (!(conn->flags & TCP_CONN_REORDERING) &&
        (conn->flags & (TCP_CONN_RECOVERY | TCP_CONN_LOSS) ||
         conn->dup_ack_count >= conn->dup_threshold || tcp_sack_many(conn)))
        return 0;
    if (!shortest_us)
        shortest_us = conn->srtt_us;
    return tcp_min_us(conn->reo_multiplier * shortest_us / 4, conn->srtt_us);
}

/* Up to where mark i was sent before what was delivered; at most snd_nxt, above that everything
 * goes again anyway. */
static uint32_t
overtaken_end(const struct tcp_conn *conn, unsigned i)
{
    const struct tcp_mark *mark = &conn->marks[i];
    uint32_t end = seq_min(mark->end_seq, conn->snd_nxt);

    if (mark->lost || mark->sent_us > conn->rack_sent_us)
        return mark_start(conn, i);
    return mark->sent_us < conn->rack_sent_us ? end : seq_min(end, conn->rack_end_seq);
}

void
tcp_rack_detect(struct tcp_conn *conn, uint64_t now_us)
{
    uint64_t window_us = reordering_window_us(conn, now_us);

    conn->reo_deadline_us = TCP_NEVER;
    if (conn->rack_sent_us == TCP_NEVER)
        return;
    trim(conn);
    make_room(conn);
    for (unsigned i = 0; i < conn->mark_count; i++) {
        uint64_t due_us = conn->marks[i].sent_us + conn->rack_rtt_us + window_us;
        uint32_t start = mark_start(conn, i), end = overtaken_end(conn, i);

        if (!tcp_unsacked(conn, start, end))
            continue;
        if (due_us > now_us) {
            conn->reo_deadline_us = tcp_min_us(conn->reo_deadline_us, due_us);
            continue;
        }
        cut(conn, end); /* two marks at most: the one with snd_nxt, the one delivered last */
        conn->marks[i].lost = true;
        conn->flags |= TCP_CONN_LOST;
    }
}

void
tcp_rack_lose(struct tcp_conn *conn, uint32_t end)
{
    trim(conn);
    make_room(conn);
    for (unsigned i = 0, behind = cut(conn, end); i < behind; i++) {
        conn->marks[i].lost = true;
        conn->flags |= TCP_CONN_LOST;
    }
}

void
tcp_rack_forgive(struct tcp_conn *conn)
{
    for (unsigned i = 0; i < conn->mark_count; i++)
        conn->marks[i].lost = false;
    conn->flags &= ~TCP_CONN_LOST;
}

bool
tcp_rack_next_lost(struct tcp_conn *conn, uint32_t *start, uint32_t *end)
{
    if (!(conn->flags & TCP_CONN_LOST))
        return false;
    for (unsigned i = 0; i < conn->mark_count; i++) {
        uint32_t limit = conn->marks[i].end_seq;

        if (!conn->marks[i].lost)
            continue;
        *start = tcp_next_hole(conn, mark_start(conn, i), limit, end);
        if (seq_before(*start, *end))
            return true;
    }
    conn->flags &= ~TCP_CONN_LOST;
    return false;
}

uint32_t
tcp_rack_lost_bytes(const struct tcp_conn *conn)
{
    uint32_t bytes = 0;

    if (!(conn->flags & TCP_CONN_LOST))
        return 0;
    for (unsigned i = 0; i < conn->mark_count; i++) {
        if (conn->marks[i].lost)
            bytes += tcp_unsacked(conn, mark_start(conn, i),
                                  seq_min(conn->marks[i].end_seq, conn->snd_nxt));
    }
    return bytes;
}
