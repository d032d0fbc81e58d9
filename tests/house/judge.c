/* See judge.h. */
#include "judge.h"

#include <stdarg.h>
#include <stdio.h>

void
judge_blame(struct judge *judge, const char *format, ...)
{
    char text[256];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    judge->options.on_violation(judge->options.arg, text);
}

void
judge_init(struct judge *judge, const struct judge_options *options)
{
    *judge = (struct judge){.options = *options};
    judge->rcv_next = judge->rcv_max = judge->said_ack = options->rcv_seq;
    judge->acked = judge->sent = options->snd_seq;
    judge->ecn.echo_from = judge->ecn.echo_to = options->rcv_seq; /* no mark, no echo */
    judge->edge = options->snd_seq + options->window;
}

/* ---- what comes ---- */

static void
note_data(struct judge *judge, const struct peer_segment *segment)
{
    uint32_t from = segment->seq, to = segment->seq + segment->len;

    if (segment->flags & PEER_FIN) {
        judge->fin_in = true;
        judge->fin_in_seq = to;
    }
    /* of which we have said that we have it, and not so old that PAWS drops it unread */
    if (segment->len && seq_before_eq(to, judge->said_ack) &&
        (!segment->has_ts || seq_after_eq(segment->tsval, judge->tsecr_out)))
        judge->again_in++;
    judge->rcv_max = seq_max(judge->rcv_max, to);
    if (seq_after(to, judge->rcv_next))
        judge->crowded |= !peer_ranges_add(&judge->ahead, seq_max(from, judge->rcv_next), to);
    judge->rcv_next = peer_ranges_skip(&judge->ahead, judge->rcv_next);
    peer_ranges_cut(&judge->ahead, judge->rcv_next);
    if (judge->fin_in && judge->rcv_next == judge->fin_in_seq) {
        judge->rcv_next++;
        judge->rcv_max = seq_max(judge->rcv_max, judge->rcv_next);
    }
}

static void
note_ack(struct judge *judge, const struct peer_segment *segment)
{
    uint32_t edge = segment->ack + ((uint32_t)segment->window << judge->options.snd_wscale);

    if (seq_after(segment->ack, judge->sent))
        return;
    judge->acked = seq_max(judge->acked, segment->ack);
    judge->edge = seq_max(judge->edge, edge);
}

void
judge_in(struct judge *judge, const struct peer_segment *segment, uint64_t now_us)
{
    uint32_t end = segment->seq + segment->len;

    judge_time(judge, now_us);
    if (segment->ttl == JUDGE_FORGED_TTL)
        return;
    if (segment->flags & PEER_RST) {
        judge->reset_in = true;
        judge->ack_due_us = 0;
        return;
    }
    judge_ecn_in(judge, segment, now_us);
    if (segment->has_ts) {
        judge->tsval_in = judge->tsval_seen ? seq_max(judge->tsval_in, segment->tsval)
                                            : segment->tsval;
        judge->tsval_seen = true;
    }
    note_ack(judge, segment);
    note_data(judge, segment);
    /* What was ahead of a gap may be forgotten in a move, and what acknowledges too little is not
     * taken at all (RFC 5961, 5.2): only what follows what we have said, and is not old. */
    if (segment->len && segment->ack == judge->acked &&
        (!segment->has_ts || seq_after_eq(segment->tsval, judge->tsecr_out)) &&
        seq_before_eq(segment->seq, judge->said_ack) && seq_after(end, judge->said_ack) &&
        judge->said && seq_before_eq(end, judge->said_edge) && !judge->ack_due_us &&
        judge->options.ack_limit_us) {
        judge->ack_due_us = now_us + judge->options.ack_limit_us;
        judge->ack_due_seq = end;
    }
}

void
judge_time(struct judge *judge, uint64_t now_us)
{
    if (!judge->ack_due_us || now_us <= judge->ack_due_us || judge->reset_in || judge->reset_out)
        return;
    judge_blame(judge, "seq %u came and is not acknowledged in time", judge->ack_due_seq);
    judge->ack_due_us = 0;
}

/* ---- what leaves ---- */

static bool
check_flags(struct judge *judge, const struct peer_segment *segment)
{
    if (segment->flags & (PEER_SYN | PEER_URG) || segment->reserved || segment->options_bad ||
        !(segment->flags & (PEER_ACK | PEER_RST))) {
        judge_blame(judge, "flags %02x, reserved %x, options %s", segment->flags, segment->reserved,
                    segment->options_bad ? "bad" : "good");
        return false;
    }
    if (!judge->options.ecn && (segment->flags & (PEER_ECE | PEER_CWR) || segment->ecn))
        judge_blame(judge, "ECN without having agreed on it, flags %02x", segment->flags);
    return true;
}

static void
check_ack(struct judge *judge, const struct peer_segment *segment)
{
    uint32_t unit = 1u << judge->options.rcv_wscale;
    uint32_t edge = segment->ack + segment->window * unit;
    bool order = judge->said && !judge->options.loose;

    if (seq_after(segment->ack, judge->rcv_next))
        judge_blame(judge, "ack %u of what has not come: at most %u", segment->ack,
                    judge->rcv_next);
    if (order && seq_before(segment->ack, judge->said_ack))
        judge_blame(judge, "ack %u goes back from %u", segment->ack, judge->said_ack);
    /* RFC 7323, 2.4: what the field cannot say may look like less than a unit */
    if (order && seq_before(edge + unit - 1, judge->said_edge))
        judge_blame(judge, "the window's edge goes back from %u to %u", judge->said_edge, edge);
    judge->said_ack = judge->said ? seq_max(judge->said_ack, segment->ack) : segment->ack;
    judge->said_edge = judge->said ? seq_max(judge->said_edge, edge) : edge;
    if (judge->ack_due_us && seq_after_eq(judge->said_ack, judge->ack_due_seq)) {
        judge->ack_due_us = 0;
    }
}

static void
check_timestamps(struct judge *judge, const struct peer_segment *segment)
{
    bool order = judge->said && !judge->options.loose;

    if (segment->has_ts != judge->options.timestamps) {
        judge_blame(judge, "a timestamp is %s", segment->has_ts ? "there" : "missing");
        return;
    }
    if (!segment->has_ts)
        return;
    if (order && seq_before(segment->tsval, judge->tsval_out))
        judge_blame(judge, "the timestamp goes back from %u to %u", judge->tsval_out,
                    segment->tsval);
    if (judge->tsval_seen && seq_after(segment->tsecr, judge->tsval_in))
        judge_blame(judge, "an echo of %u, which has not come", segment->tsecr);
    if (order && seq_before(segment->tsecr, judge->tsecr_out))
        judge_blame(judge, "the echo goes back from %u to %u", judge->tsecr_out, segment->tsecr);
    judge->tsval_out = segment->tsval;
    judge->tsecr_out = segment->tsecr;
}

static void
check_sacks(struct judge *judge, const struct peer_segment *segment)
{
    if (segment->sacks && !judge->options.sack) {
        judge_blame(judge, "SACK without having agreed on it");
        return;
    }
    for (unsigned i = 0; i < segment->sacks; i++) {
        uint32_t from = segment->sack[i][0], to = segment->sack[i][1];
        bool again = i == 0 && (seq_before(from, segment->ack) ||
                                (segment->sacks > 1 && seq_after_eq(from, segment->sack[1][0]) &&
                                 seq_before_eq(to, segment->sack[1][1])));
        if (!seq_before(from, to) || seq_after(to, judge->rcv_max) ||
            (!again && seq_before(from, segment->ack)) ||
            (!judge->crowded && seq_after(to, judge->rcv_next) &&
             !peer_ranges_hold(&judge->ahead, seq_max(from, judge->rcv_next), to)))
            judge_blame(judge, "SACK %u to %u of what has not come, ack %u", from, to,
                        segment->ack);
        judge->dsacks_out += again;
    }
}

static void
check_data(struct judge *judge, const struct peer_segment *segment, uint32_t gso_bytes)
{
    uint32_t each = gso_bytes ? gso_bytes : segment->len;
    uint32_t ip_len = segment->ipv6 ? 40 : 20, options = segment->headers - ip_len - 20;
    uint32_t end = segment->seq + segment->len;
    bool whole = !judge->options.loose && !judge->options.holes;

    if (whole && seq_after(segment->seq, judge->sent))
        judge_blame(judge, "seq %u leaves a hole behind %u", segment->seq, judge->sent);
    if (each + options > judge->options.mss || each + segment->headers > judge->options.mtu)
        judge_blame(judge, "%u bytes in a segment, MSS %u", each, judge->options.mss);
    /* a probe is one byte */
    if (segment->len > 1 && seq_after(end, judge->edge))
        judge_blame(judge, "bytes up to %u, the window ends at %u", end, judge->edge);
    if (!segment->len && !(segment->flags & PEER_FIN) && whole &&
        (seq_before(segment->seq, judge->acked - 1) || seq_after(segment->seq, judge->sent)))
        judge_blame(judge, "an empty segment at %u, outside of %u to %u", segment->seq,
                    judge->acked - 1, judge->sent);
    if (judge->fin_out && seq_after(end, judge->fin_out_seq) && segment->len)
        judge_blame(judge, "bytes behind the FIN at %u", judge->fin_out_seq);
    if (segment->flags & PEER_FIN) {
        if (judge->fin_out && judge->fin_out_seq != end)
            judge_blame(judge, "the FIN was at %u, now it is at %u", judge->fin_out_seq, end);
        judge->fin_out = true;
        judge->fin_out_seq = end++;
    }
    judge->sent = seq_max(judge->sent, end);
}

void
judge_out(struct judge *judge, const struct peer_segment *segment, uint32_t gso_bytes,
          uint64_t now_us)
{
    judge_time(judge, now_us);
    judge->segments_out++;
    if (!check_flags(judge, segment))
        return;
    if (segment->flags & PEER_RST) {
        if (!judge->may_reset)
            judge_blame(judge, "RST, and nobody asked for it");
        if (!judge->options.loose && !judge->options.holes &&
            (seq_before(segment->seq, judge->acked) || seq_after(segment->seq, judge->sent)))
            judge_blame(judge, "RST at %u, outside of %u to %u", segment->seq, judge->acked,
                        judge->sent);
        judge->reset_out = true;
        return;
    }
    if (judge->reset_out && !judge->options.loose)
        judge_blame(judge, "a segment at %u behind the RST", segment->seq);
    check_ack(judge, segment);
    check_timestamps(judge, segment);
    check_sacks(judge, segment);
    judge_ecn_out(judge, segment, now_us);
    check_data(judge, segment, gso_bytes);
    judge->said = true;
}
