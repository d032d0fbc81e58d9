/*
 * A segment arrives: the steps of RFC 9293, 3.10.7.4, in their order, with the timestamp check of
 * RFC 7323 (5.3) before them and the challenges of RFC 5961 in them. Bytes are looked at before
 * anything else is: a right checksum over wrong bytes is never the wire's doing.
 */
#include "peer.h"

#include "base/bytes.h"

#include <string.h>

static uint64_t
at_of(const struct peer *peer, uint32_t seq)
{
    return peer->rcv_at + (uint64_t)(int64_t)seq_diff(seq, peer->rcv_nxt);
}

/* Also of what is old, or ahead: a retransmission that differs is wrong whether it is needed or
 * not. */
static void
check_bytes(struct peer *peer, const struct peer_segment *segment)
{
    uint64_t at = at_of(peer, segment->seq);

    if (segment->len &&
        ((int64_t)at < 0 || !peer->app->is_right(peer->arg, at, segment->payload, segment->len)))
        peer_violation(peer, "wrong bytes at seq %u, %u of them", segment->seq, segment->len);
}

/* RFC 7323, 5.3: R1. True: the segment is to be dropped. */
static bool
timestamp_refuses(struct peer *peer, const struct peer_segment *segment)
{
    if (!peer->options.timestamps || segment->flags & PEER_RST)
        return false;
    if (!segment->has_ts)
        return true; /* 3.2 */
    if (!seq_before(segment->tsval, peer->ts_recent))
        return false;
    peer->paws_drops++;
    peer_ack(peer);
    return true;
}

/* 3.10.7.4, first: acceptability. */
static bool
in_window(const struct peer *peer, const struct peer_segment *segment)
{
    uint32_t length = segment->len + ((segment->flags & PEER_FIN) != 0);
    uint32_t window = peer->rcv_adv - peer->rcv_nxt;
    uint32_t last = segment->seq + length - 1;

    if (window == 0)
        return segment->seq == peer->rcv_nxt;
    if (segment->seq - peer->rcv_nxt < window)
        return true;
    return length != 0 && last - peer->rcv_nxt < window;
}

static void
refuse(struct peer *peer, const struct peer_segment *segment)
{
    uint32_t end = segment->seq + segment->len;

    if (segment->flags & PEER_RST)
        return;
    if (segment->len && seq_before(segment->seq, peer->rcv_nxt))
        peer->again = (struct peer_range){segment->seq, seq_min(end, peer->rcv_nxt)};
    peer_ack(peer);
}

/* 3.10.7.4, second to fourth. True: nothing more is to be done with it. */
static bool
reset_or_syn(struct peer *peer, const struct peer_segment *segment)
{
    if (segment->flags & PEER_RST) {
        if (segment->seq == peer->rcv_nxt)
            peer_finish(peer, PEER_RESET);
        else
            peer_ack(peer);
        return true;
    }
    if (segment->flags & PEER_SYN) {
        peer_ack(peer);
        return true;
    }
    return false;
}

/* Fifth. True: the segment goes on. */
static bool
ack_acceptable(struct peer *peer, const struct peer_segment *segment)
{
    if (!(segment->flags & PEER_ACK))
        return false;
    if (seq_after(segment->ack, peer->snd_max)) {
        peer_violation(peer, "ack %u of what was not sent: at most %u", segment->ack,
                       peer->snd_max);
        return false;
    }
    /* RFC 5961, 5.2 */
    return seq_after_eq(segment->ack, peer->snd_una - peer->max_wnd);
}

/* ---- data ---- */

static void
store(struct peer *peer, uint32_t seq, const uint8_t *bytes, uint32_t len)
{
    uint64_t at = at_of(peer, seq);

    for (uint32_t done = 0, part; done < len; done += part) {
        uint32_t from = (uint32_t)((at + done) % peer->ring_bytes);
        part = len - done < peer->ring_bytes - from ? len - done : peer->ring_bytes - from;
        memcpy(peer->ring + from, bytes + done, part);
    }
}

/* What was in order already, or is in a range ahead. */
static void
note_again(struct peer *peer, uint32_t from, uint32_t to)
{
    if (seq_before(from, peer->rcv_nxt))
        peer->again = (struct peer_range){from, seq_min(to, peer->rcv_nxt)};
    else if (peer_ranges_hold(&peer->ahead, from, to))
        peer->again = (struct peer_range){from, to};
}

static void
take_data(struct peer *peer, const struct peer_segment *segment)
{
    uint32_t from = segment->seq, to = segment->seq + segment->len;
    bool gap = peer->ahead.count != 0;

    if (!segment->len)
        return;
    note_again(peer, from, to);
    from = seq_max(from, peer->rcv_nxt);
    to = seq_min(to, peer->rcv_adv);
    if (!seq_before(from, to) || !peer_ranges_add(&peer->ahead, from, to)) {
        peer->unacked = 2;
        return;
    }
    store(peer, from, segment->payload + (from - segment->seq), to - from);
    peer->recent_from = from;
    uint32_t next = peer_ranges_skip(&peer->ahead, peer->rcv_nxt), more = next - peer->rcv_nxt;
    peer_ranges_cut(&peer->ahead, next);
    peer->rcv_at += more;
    peer->rcv_nxt = next;
    peer->held += more;
    /* RFC 5681, 4.2: at once when there is, or was, a gap; else at least every second segment */
    peer->unacked += gap || !more ? 2 : 1;
}

static void
take_fin(struct peer *peer, const struct peer_segment *segment)
{
    uint32_t at = segment->seq + segment->len;

    if (segment->flags & PEER_FIN) {
        if (peer->fin_seen && peer->fin_seq != at)
            peer_violation(peer, "the FIN was at %u, now it is at %u", peer->fin_seq, at);
        peer->fin_seen = true;
        peer->fin_seq = at;
        peer->unacked = 2;
    }
    if (peer->fin_seen && !peer->fin_received && peer->rcv_nxt == peer->fin_seq) {
        peer->fin_received = true;
        peer->rcv_nxt++;
        peer->rcv_at++; /* the numbers of bytes keep step with sequence numbers */
        peer->rcv_adv = seq_max(peer->rcv_adv, peer->rcv_nxt);
        peer->unacked = 2;
    }
    if (peer->fin_seen && segment->len && seq_after(segment->seq + segment->len, peer->fin_seq))
        peer_violation(peer, "bytes behind the FIN at %u", peer->fin_seq);
}

void
peer_deliver(struct peer *peer)
{
    uint32_t held = peer->held, fin = peer->fin_received;

    if (!peer->reading)
        return;
    while (held) {
        uint64_t at = peer->rcv_at - fin - held;
        uint32_t from = (uint32_t)(at % peer->ring_bytes);
        uint32_t part = held < peer->ring_bytes - from ? held : peer->ring_bytes - from;
        if (!peer->app->is_right(peer->arg, at, peer->ring + from, part))
            peer_violation(peer, "wrong bytes were kept, at %llu", (unsigned long long)at);
        held -= part;
    }
    held = peer->held;
    peer->held = 0;
    if (held)
        peer->app->on_data(peer->arg, held);
    if (fin && !peer->fin_told) {
        peer->fin_told = true;
        peer->app->on_fin(peer->arg);
    }
    peer_look_closed(peer);
    peer_output(peer); /* the window may have opened */
}

static void
note_ecn(struct peer *peer, const struct peer_segment *segment)
{
    if (!peer->options.ecn)
        return;
    if (segment->flags & PEER_CWR)
        peer->ece = false;
    if (segment->ecn == PEER_CE)
        peer->ece = true;
}

void
peer_segment_in(struct peer *peer, const struct peer_segment *segment)
{
    check_bytes(peer, segment);
    if (timestamp_refuses(peer, segment))
        return;
    if (!in_window(peer, segment)) {
        refuse(peer, segment);
        return;
    }
    if (reset_or_syn(peer, segment) || !ack_acceptable(peer, segment))
        return;
    if (segment->has_ts && seq_before_eq(segment->seq, peer->last_ack))
        peer->ts_recent = seq_max(peer->ts_recent, segment->tsval);
    note_ecn(peer, segment);
    peer_on_ack(peer, segment);
    take_data(peer, segment);
    take_fin(peer, segment);
    if (peer->unacked >= 2)
        peer_ack(peer);
    else if (peer->unacked && peer->ack_timer.deadline_us == SYS_NEVER)
        sys_timer_set(&peer->ack_timer, peer_now(peer) + 40000);
    peer_deliver(peer);
    peer_look_closed(peer);
    peer_output(peer);
}
