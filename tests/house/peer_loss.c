/*
 * What acknowledgements and silence mean: window, congestion, what is lost. NewReno (RFC 6582) with
 * one addition: with SACK (RFC 2018) every ACK of a recovery fills the next hole. Times: RFC 6298;
 * a measurement is of a timestamp's echo, or of one segment that was sent once (Karn).
 */
#include "peer.h"

#define RTO_MIN_US 200000u
#define RTO_MAX_US 60000000u
#define RETRIES_MAX 15u

static uint32_t
flight(const struct peer *peer)
{
    return peer->snd_max - peer->snd_una;
}

static void
halve(struct peer *peer)
{
    uint32_t half = flight(peer) / 2, floor = 2 * peer_mss(peer);

    peer->ssthresh = half > floor ? half : floor;
    peer->ecn_recover = peer->snd_max; /* RFC 3168, 6.1.2: once a window, and said, whatever for */
    peer->cwr_due = true;
}

/* ---- round trips ---- */

static void
measured(struct peer *peer, uint64_t rtt_us)
{
    uint64_t off = rtt_us > peer->srtt_us ? rtt_us - peer->srtt_us : peer->srtt_us - rtt_us;

    if (!peer->srtt_us) {
        peer->srtt_us = rtt_us + 1;
        peer->rttvar_us = rtt_us / 2;
        return;
    }
    peer->rttvar_us = (3 * peer->rttvar_us + off) / 4;
    peer->srtt_us = (7 * peer->srtt_us + rtt_us) / 8;
}

static void
set_rto(struct peer *peer)
{
    uint64_t rto = peer->srtt_us ? peer->srtt_us + 4 * peer->rttvar_us : 1000000;

    peer->rto_us = rto < RTO_MIN_US ? RTO_MIN_US : rto > RTO_MAX_US ? RTO_MAX_US : rto;
}

static void
measure(struct peer *peer, const struct peer_segment *segment)
{
    if (segment->has_ts) {
        uint32_t ms = peer_ts_now(peer) - segment->tsecr;
        if (ms < 600000)
            measured(peer, (uint64_t)ms * 1000);
    } else if (peer->timing && seq_after_eq(segment->ack, peer->timed_seq)) {
        peer->timing = false;
        measured(peer, peer_now(peer) - peer->timed_us);
    }
    set_rto(peer);
}

/* ---- SACK ---- */

/* True: something that was not known. A first block that is old, or within the second, says what
 * came twice (RFC 2883, 4). */
static bool
note_sacks(struct peer *peer, const struct peer_segment *segment)
{
    uint32_t before = peer_ranges_sum(&peer->sacked);

    for (unsigned i = 0; i < segment->sacks && peer->options.sack; i++) {
        uint32_t from = segment->sack[i][0], to = segment->sack[i][1];
        if (!seq_before(from, to) || seq_after(to, peer->snd_max)) {
            peer_violation(peer, "SACK of %u to %u, which was not sent", from, to);
            continue;
        }
        if (i == 0 && (seq_before(from, segment->ack) ||
                       (segment->sacks > 1 && seq_after_eq(from, segment->sack[1][0]) &&
                        seq_before_eq(to, segment->sack[1][1])))) {
            peer->dsacks_in++;
            continue;
        }
        if (seq_after(from, peer->snd_una))
            peer_ranges_add(&peer->sacked, from, to);
    }
    return peer_ranges_sum(&peer->sacked) != before;
}

/* Fills the next hole, if there is one below what was SACKed. */
static void
fill_hole(struct peer *peer)
{
    uint32_t seq = peer_ranges_skip(&peer->sacked, seq_max(peer->hole, peer->snd_una));

    if (peer->sacked.count && seq_before(seq, peer->sacked.at[peer->sacked.count - 1].from))
        peer_retransmit(peer, seq);
}

/* ---- acknowledgements ---- */

static void
start_recovery(struct peer *peer)
{
    halve(peer);
    peer->cwnd = peer->ssthresh + 3 * peer_mss(peer);
    peer->recovering = true;
    peer->recover = peer->snd_max;
    peer->hole = peer->snd_una;
    peer_retransmit(peer, peer->snd_una);
}

static void
on_duplicate(struct peer *peer)
{
    peer->duplicates++;
    if (peer->recovering) {
        peer->cwnd += peer_mss(peer);
        fill_hole(peer);
    } else if (peer->duplicates == 3 && seq_after_eq(peer->snd_una, peer->recover)) {
        start_recovery(peer);
    }
}

static void
grow(struct peer *peer, uint32_t acked)
{
    uint32_t mss = peer_mss(peer);

    if (peer->cwnd < peer->ssthresh)
        peer->cwnd += acked < mss ? acked : mss;
    else
        peer->cwnd += mss * mss / peer->cwnd + 1;
    if (peer->cwnd > 1u << 24)
        peer->cwnd = 1u << 24;
}

static void
on_progress(struct peer *peer, const struct peer_segment *segment)
{
    uint32_t acked = segment->ack - peer->snd_una;

    measure(peer, segment);
    peer->snd_una = segment->ack;
    peer->una_at += acked;
    peer->snd_nxt = seq_max(peer->snd_nxt, peer->snd_una);
    peer_ranges_cut(&peer->sacked, peer->snd_una);
    peer->duplicates = peer->retries = 0;
    sys_timer_set(&peer->timer, SYS_NEVER);
    if (peer->recovering && seq_before(segment->ack, peer->recover)) {
        peer->cwnd = peer->cwnd > acked ? peer->cwnd - acked : 0;
        peer->cwnd += peer_mss(peer);
        if (peer->sacked.count)
            fill_hole(peer);
        else
            peer_retransmit(peer, peer->snd_una);
    } else if (peer->recovering) {
        peer->recovering = false;
        peer->cwnd = peer->ssthresh;
    } else {
        grow(peer, acked);
    }
    if (peer->fin_wanted && peer->una_at == peer->total + 1)
        peer->fin_acked = true;
}

/* RFC 3168, 6.1.2: as if one segment were lost, once a window. */
static void
note_ece(struct peer *peer, const struct peer_segment *segment)
{
    if (!peer->options.ecn || !(segment->flags & PEER_ECE) ||
        !seq_after(segment->ack, peer->ecn_recover) || peer->recovering)
        return;
    halve(peer);
    peer->cwnd = peer->ssthresh;
}

static bool
take_window(struct peer *peer, const struct peer_segment *segment)
{
    uint32_t window = (uint32_t)segment->window << peer->options.snd_wscale, before = peer->snd_wnd;

    if (seq_before(segment->ack, peer->snd_una))
        return false;
    /* what is sent again may acknowledge more: its window belongs to that */
    if (segment->ack == peer->snd_una &&
        (seq_before(segment->seq, peer->snd_wl1) ||
         (segment->seq == peer->snd_wl1 && seq_before(segment->ack, peer->snd_wl2))))
        return false;
    peer->snd_wnd = window;
    peer->snd_wl1 = segment->seq;
    peer->snd_wl2 = segment->ack;
    if (window > peer->max_wnd)
        peer->max_wnd = window;
    if (before == 0 && window)
        sys_timer_set(&peer->timer, SYS_NEVER);
    return window != before;
}

void
peer_on_ack(struct peer *peer, const struct peer_segment *segment)
{
    bool moved = take_window(peer, segment), news = note_sacks(peer, segment);

    note_ece(peer, segment);
    if (seq_after(segment->ack, peer->snd_una))
        on_progress(peer, segment);
    else if (segment->ack == peer->snd_una && flight(peer) && peer->snd_wnd && !segment->len &&
             !(segment->flags & PEER_FIN) && (news || (!moved && !peer->options.sack)))
        on_duplicate(peer);
    if (peer->snd_wnd == 0)
        peer->retries = 0; /* probes that are answered may go on for ever (RFC 9293, 3.8.6.1) */
}

/* ---- silence ---- */

static void
retransmit_all(struct peer *peer)
{
    halve(peer);
    peer->cwnd = peer_mss(peer);
    peer->snd_nxt = peer->snd_una;
    peer->recover = peer->snd_max;
    peer->recovering = peer->timing = false;
    peer->duplicates = 0;
    peer->sacked.count = 0; /* RFC 2018, 8: the receiver may have changed its mind */
    peer_retransmit(peer, peer->snd_una);
    peer->snd_nxt = peer->hole;
}

void
peer_on_timer(void *arg)
{
    struct peer *peer = arg;

    if (peer->end != PEER_OPEN)
        return;
    if (++peer->retries > RETRIES_MAX) {
        peer_finish(peer, PEER_TIMEOUT);
        return;
    }
    peer->rto_us = peer->rto_us * 2 > RTO_MAX_US ? RTO_MAX_US : peer->rto_us * 2;
    if (flight(peer) && (peer->snd_wnd || peer->snd_nxt != peer->snd_una))
        retransmit_all(peer);
    else
        peer_probe(peer);
    peer_output(peer);
}
