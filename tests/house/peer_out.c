/*
 * What leaves: new data as window, congestion and silly windows allow (RFC 9293, 3.8.6), what is to
 * be sent again, probes, ACKs. The right edge never goes back, but for what the window field
 * cannot say (RFC 7323, 2.4).
 */
#include "peer.h"

#include <string.h>

#define SEGMENT_MAX 9216u

uint32_t
peer_mss(const struct peer *peer)
{
    return peer->options.mss - (peer->options.timestamps ? 12u : 0);
}

/* Behind the last byte to send; our FIN stands there. */
uint32_t
peer_fin_seq(const struct peer *peer)
{
    return peer->snd_una + (uint32_t)(peer->total - peer->una_at);
}

/* ---- the window ---- */

/* RFC 1122, 4.2.3.3: small steps are not worth saying. */
static uint16_t
window(struct peer *peer)
{
    const struct peer_options *options = &peer->options;
    uint32_t edge = peer->rcv_nxt + options->receive_buffer - peer->held;
    uint32_t step = options->receive_buffer / 2 < options->mss ? options->receive_buffer / 2
                                                               : options->mss;
    uint32_t unit = 1u << options->rcv_wscale, field;

    if (!seq_before(edge, peer->rcv_adv + step))
        peer->rcv_adv = edge;
    field = (peer->rcv_adv - peer->rcv_nxt) / unit;
    field = field > 0xffff ? 0xffff : field;
    peer->rcv_adv = seq_max(peer->rcv_adv, peer->rcv_nxt + field * unit);
    return (uint16_t)field;
}

static bool
window_worth_saying(const struct peer *peer)
{
    const struct peer_options *options = &peer->options;
    uint32_t edge = peer->rcv_nxt + options->receive_buffer - peer->held;
    uint32_t step = options->receive_buffer / 2 < 2u * options->mss ? options->receive_buffer / 2
                                                                    : 2u * options->mss;

    return !peer->fin_received && seq_after_eq(edge, peer->rcv_adv + step) &&
           peer->rcv_adv - peer->rcv_nxt < options->receive_buffer / 2;
}

/* ---- one segment ---- */

/* RFC 2018, 4: the block that came last first; RFC 2883: before it what came twice. */
static void
write_sacks(struct peer *peer, struct peer_segment *segment)
{
    unsigned most = peer->options.timestamps ? 3 : 4;
    uint32_t first = peer->recent_from;

    if (!peer->options.sack)
        return;
    if (seq_before(peer->again.from, peer->again.to)) {
        segment->sack[segment->sacks][0] = peer->again.from;
        segment->sack[segment->sacks++][1] = peer->again.to;
    }
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < peer->ahead.count && segment->sacks < most; i++) {
            const struct peer_range *range = &peer->ahead.at[i];
            bool recent = seq_before_eq(range->from, first) && seq_before(first, range->to);
            if (recent != (pass == 0))
                continue;
            segment->sack[segment->sacks][0] = range->from;
            segment->sack[segment->sacks++][1] = range->to;
        }
    }
}

static void
emit(struct peer *peer, struct peer_segment *segment)
{
    uint8_t frame[SEGMENT_MAX + PEER_HEADERS_MAX];
    uint64_t at = peer->una_at + (uint64_t)(int64_t)seq_diff(segment->seq, peer->snd_una);

    segment->ttl = 64;
    segment->ack = peer->rcv_nxt;
    segment->flags |= PEER_ACK | (peer->ece ? PEER_ECE : 0);
    segment->window = window(peer);
    segment->has_ts = peer->options.timestamps;
    segment->tsval = peer_ts_now(peer);
    segment->tsecr = peer->ts_recent;
    if (segment->len)
        peer->app->fill(peer->arg, at, frame + peer_frame_payload_at(&peer->options.path, segment),
                        segment->len);
    peer->unacked = 0;
    peer->again = (struct peer_range){0, 0};
    peer->last_ack = peer->rcv_nxt;
    sys_timer_set(&peer->ack_timer, SYS_NEVER);
    peer->segments_out++;
    peer->app->send(peer->arg, frame, peer_frame_write(frame, &peer->options.path, segment));
}

/* What has no bytes stands behind all that was ever sent, or it would be old to who has them: after
 * a timeout snd_nxt is no place for it. A probe does not count: its byte was not taken. */
static uint32_t
empty_seq(const struct peer *peer)
{
    return seq_min(peer->snd_max,
                   peer->snd_una + peer->snd_wnd + (peer->fin_wanted && peer->snd_wnd));
}

void
peer_ack(struct peer *peer)
{
    struct peer_segment segment = {.seq = empty_seq(peer)};

    write_sacks(peer, &segment);
    emit(peer, &segment);
}

void
peer_send_reset(struct peer *peer, uint32_t seq)
{
    struct peer_segment segment = {.seq = seq, .flags = PEER_RST};

    emit(peer, &segment);
}

/* RFC 3168, 6.1.5, 6.1.6: what is sent again, or beyond the window, is not to be marked. */
static void
mark_capable(struct peer *peer, struct peer_segment *segment, uint32_t end)
{
    if (!peer->options.ecn || !segment->len || seq_before(segment->seq, peer->snd_max) ||
        seq_after(end, peer->snd_una + peer->snd_wnd))
        return;
    segment->ecn = PEER_ECT0;
    segment->flags |= peer->cwr_due ? PEER_CWR : 0;
    peer->cwr_due = false;
}

static void
send_data(struct peer *peer, uint32_t seq, uint32_t len)
{
    struct peer_segment segment = {.seq = seq, .len = len};
    uint32_t end = seq + len;
    bool again = seq_before(seq, peer->snd_max);

    if (peer->fin_wanted && end == peer_fin_seq(peer)) {
        segment.flags |= PEER_FIN;
        end++;
    }
    if (len && (uint32_t)(peer_fin_seq(peer) - seq) == len)
        segment.flags |= PEER_PSH;
    mark_capable(peer, &segment, seq + len);
    if (again)
        peer->timing = false; /* Karn */
    else if (!peer->timing) {
        peer->timing = true;
        peer->timed_seq = end;
        peer->timed_us = peer_now(peer);
    }
    peer->retransmissions += again;
    peer->snd_max = seq_max(peer->snd_max, end);
    emit(peer, &segment);
}

/* One segment from seq on, which was sent before; hole is behind it afterwards. */
void
peer_retransmit(struct peer *peer, uint32_t seq)
{
    uint32_t limit = seq_min(seq + peer_mss(peer), peer_fin_seq(peer));
    uint32_t end = peer_ranges_next(&peer->sacked, seq, seq_min(limit, peer->snd_max));

    if (seq_after(seq, peer_fin_seq(peer)))
        return;
    send_data(peer, seq, end - seq);
    peer->hole = end + (peer->fin_wanted && end == peer_fin_seq(peer));
}

/* RFC 9293, 3.8.6.1: one byte beyond a closed window, or what a small one takes. */
void
peer_probe(struct peer *peer)
{
    uint32_t left = peer_fin_seq(peer) - peer->snd_una;
    uint32_t len = peer->snd_wnd ? peer->snd_wnd : 1;

    len = len < left ? len : left;
    len = len < peer_mss(peer) ? len : peer_mss(peer);
    send_data(peer, peer->snd_una, len);
    if (peer->snd_wnd)
        peer->snd_nxt = seq_max(peer->snd_nxt, peer->snd_max);
}

/* ---- all that may leave ---- */

/* How much from seq on may go in one segment now; 0: nothing. */
static uint32_t
allowed(const struct peer *peer, uint32_t seq)
{
    uint32_t mss = peer_mss(peer), left = peer_fin_seq(peer) - seq, len;
    uint32_t room = peer->snd_wnd < peer->cwnd ? peer->snd_wnd : peer->cwnd;
    uint32_t used = seq - peer->snd_una;

    room = room > used ? room - used : 0;
    len = left < mss ? left : mss;
    len = len < room ? len : room;
    if (seq_before(seq, peer->snd_max))
        return peer_ranges_next(&peer->sacked, seq, seq + len) - seq;
    if (len < mss && len < left && len < peer->max_wnd / 2)
        return 0;
    return len;
}

static bool
fin_may_go(const struct peer *peer, uint32_t seq)
{
    return peer->fin_wanted && seq == peer_fin_seq(peer) &&
           seq_before_eq(seq, peer->snd_una + peer->snd_wnd);
}

static void
arm(struct peer *peer)
{
    bool waiting = seq_before_eq(peer->snd_nxt, peer_fin_seq(peer) - !peer->fin_wanted) ||
                   peer->snd_max != peer->snd_una;

    if (peer->end != PEER_OPEN || !waiting || (peer->fin_acked))
        sys_timer_set(&peer->timer, SYS_NEVER);
    else if (peer->timer.deadline_us == SYS_NEVER)
        sys_timer_set(&peer->timer, peer_now(peer) + peer->rto_us);
}

void
peer_output(struct peer *peer)
{
    while (peer->end == PEER_OPEN && !peer->fin_acked) {
        uint32_t seq = peer_ranges_skip(&peer->sacked, peer->snd_nxt), len;
        if (seq_after(seq, peer_fin_seq(peer)))
            break;
        len = allowed(peer, seq);
        if (!len && !fin_may_go(peer, seq))
            break;
        send_data(peer, seq, len);
        peer->snd_nxt = seq + len + (peer->fin_wanted && seq + len == peer_fin_seq(peer));
    }
    arm(peer);
    if (peer->end == PEER_OPEN && window_worth_saying(peer))
        peer_ack(peer);
}
