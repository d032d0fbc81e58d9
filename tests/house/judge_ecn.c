/*
 * What the judge knows of explicit congestion notification (RFC 3168, 6.1). As with everything it
 * knows, a rule holds from the segment that proves that our side has read what it is about: an
 * acknowledgement of a marked segment's bytes was made after the mark was seen, wherever those
 * bytes waited meanwhile, and however often the connection was handed over. Bytes that came in two
 * copies prove nothing, because either may be the one that counted.
 *
 * An echo that advances the acknowledgement cannot be passed over; CWR has to come with the next
 * new data, but who is being handed over may have sent them before he reads what waited for him:
 * hence the grace.
 */
#include "judge.h"

#define SEGMENTS_SLACK 4  /* beyond a reduced window: growth, and segments that are not divided */
#define TAIL_MIN_US 10000 /* a tail probe waits so long at least */

/* ---- what comes ---- */

static bool
meets(const struct judge *judge, uint32_t from, uint32_t to)
{
    return seq_before(from, judge->ecn.echo_to) && seq_after(to, judge->ecn.echo_from);
}

/* None of it has come before. */
static bool
is_fresh(const struct judge *judge, uint32_t from, uint32_t to)
{
    return !judge->crowded && seq_before(from, to) && seq_after_eq(from, judge->rcv_next) &&
           peer_ranges_skip(&judge->ahead, from) == from &&
           peer_ranges_next(&judge->ahead, from, to) == to;
}

static void
expect(struct judge *judge, enum judge_echo echo, const struct peer_segment *segment)
{
    judge->ecn.echo = echo;
    judge->ecn.echo_from = segment->seq;
    judge->ecn.echo_to = segment->seq + segment->len;
}

/* 6.1.3: after a mark every acknowledgement echoes it, until CWR comes. A segment with both begins
 * anew. */
static void
note_mark(struct judge *judge, const struct peer_segment *segment)
{
    struct judge_ecn *ecn = &judge->ecn;
    uint32_t to = segment->seq + segment->len;
    bool fresh = is_fresh(judge, segment->seq, to);
    bool pending = seq_after(ecn->echo_to, judge->said_ack);

    if (pending && meets(judge, segment->seq, to))
        ecn->echo = JUDGE_ECHO_ANY;
    if (segment->ecn == PEER_CE)
        ecn->marks++;
    if (segment->ecn == PEER_CE && ecn->echo == JUDGE_ECHO_ON && !(segment->flags & PEER_CWR))
        return;
    if (segment->ecn == PEER_CE)
        expect(judge, fresh ? JUDGE_ECHO_ON : JUDGE_ECHO_ANY, segment);
    else if (segment->flags & PEER_CWR)
        expect(judge, fresh ? JUDGE_ECHO_OFF : JUDGE_ECHO_ANY, segment);
}

/* 6.1.2. One that advances the acknowledgement, and can be refused for no reason. */
static void
note_echo(struct judge *judge, const struct peer_segment *segment, uint64_t now_us)
{
    struct judge_ecn *ecn = &judge->ecn;
    bool sure = judge->said && seq_after(segment->ack, judge->acked) &&
                seq_before_eq(segment->ack, judge->sent) &&
                seq_after_eq(segment->seq, judge->rcv_next) &&
                seq_before(segment->seq, judge->said_edge) &&
                (!segment->has_ts || !judge->tsval_seen ||
                 seq_after_eq(segment->tsval, judge->tsval_in));

    if (segment->sacks)
        ecn->limited = false; /* what is SACKed is no longer in flight */
    if (!(segment->flags & PEER_ECE) || !sure || ecn->heard ||
        (ecn->cwr_said && !seq_after(segment->ack, ecn->cwr_seq)))
        return;
    ecn->heard = true;
    ecn->heard_us = now_us;
    ecn->flight = judge->sent - judge->acked;
}

void
judge_ecn_in(struct judge *judge, const struct peer_segment *segment, uint64_t now_us)
{
    if (!judge->options.ecn || judge->options.loose)
        return;
    note_mark(judge, segment);
    note_echo(judge, segment, now_us);
    judge->ecn.sacked = segment->sacks != 0;
}

/* ---- what leaves ---- */

static void
check_echo(struct judge *judge, const struct peer_segment *segment)
{
    const struct judge_ecn *ecn = &judge->ecn;
    bool says = segment->flags & PEER_ECE;

    if (seq_before(segment->ack, ecn->echo_to) || ecn->echo == JUDGE_ECHO_ANY)
        return;
    if (!says && ecn->echo == JUDGE_ECHO_ON)
        judge_blame(judge, "ack %u does not echo the mark of %u to %u", segment->ack,
                    ecn->echo_from, ecn->echo_to);
    if (says && ecn->echo == JUDGE_ECHO_OFF)
        judge_blame(judge, "ack %u echoes a mark; none came since CWR at %u", segment->ack,
                    ecn->echo_from);
}

/* 6.1.4 to 6.1.6: what is sent again, has no data, or is a probe, is not marked but lost. */
static void
check_capable(struct judge *judge, const struct peer_segment *segment)
{
    uint32_t end = segment->seq + segment->len;

    if (!segment->ecn)
        return;
    judge->ecn.capable++;
    if (!segment->len)
        judge_blame(judge, "an empty segment at %u says ECT", segment->seq);
    else if (seq_before(segment->seq, judge->sent))
        judge_blame(judge, "seq %u is sent again and says ECT", segment->seq);
    else if (segment->len == 1 && seq_after(end, judge->edge))
        judge_blame(judge, "a probe at %u says ECT", segment->seq);
}

/* 6.1.2: with the first new data after each reduction; of those there is one a window, but for
 * losses. */
static void
check_cwr(struct judge *judge, const struct peer_segment *segment)
{
    struct judge_ecn *ecn = &judge->ecn;
    uint32_t in_flight = segment->seq - judge->acked;

    if (!segment->ecn)
        judge_blame(judge, "CWR at %u, not with new data", segment->seq);
    if (ecn->cwr_said && !ecn->resent && seq_before_eq(judge->acked, ecn->cwr_seq))
        judge_blame(judge, "CWR at %u, in the same window as that at %u", segment->seq,
                    ecn->cwr_seq);
    if (ecn->heard && !ecn->resent) {
        ecn->limited = true;
        ecn->flight = in_flight > ecn->flight ? in_flight : ecn->flight;
    }
    ecn->cwr_said = true;
    ecn->cwr_seq = segment->seq;
    ecn->heard = ecn->resent = false;
    ecn->cwrs++;
}

/* What was in flight when the echo came bounds what may be, until what left behind CWR is
 * acknowledged: CUBIC, which reduces least, keeps 7/10 (RFC 9438, 4.6). A lone tail probe asks no
 * window (RFC 8985, 7.3). */
static void
check_flight(struct judge *judge, const struct peer_segment *segment, uint64_t now_us)
{
    struct judge_ecn *ecn = &judge->ecn;
    bool probe = segment->len <= judge->options.mss && now_us >= ecn->data_us + TAIL_MIN_US;
    uint32_t limit = ecn->flight / 4 * 3 + SEGMENTS_SLACK * judge->options.mss;
    uint32_t in_flight = segment->seq + segment->len - judge->acked;

    if (ecn->sacked || seq_after(judge->acked, ecn->cwr_seq))
        ecn->limited = false;
    if (ecn->limited && in_flight > limit && !probe)
        judge_blame(judge, "%u bytes in flight behind CWR at %u; there were %u when the echo came",
                    in_flight, ecn->cwr_seq, ecn->flight);
}

static void
check_new_data(struct judge *judge, const struct peer_segment *segment, uint64_t now_us)
{
    struct judge_ecn *ecn = &judge->ecn;

    if (segment->flags & PEER_CWR)
        check_cwr(judge, segment);
    else if (ecn->heard && now_us > ecn->heard_us + judge->options.ecn_grace_us)
        judge_blame(judge, "new data at %u without CWR, and an echo came %llu us ago", segment->seq,
                    (unsigned long long)(now_us - ecn->heard_us));
    check_flight(judge, segment, now_us);
    ecn->data_us = now_us;
}

void
judge_ecn_out(struct judge *judge, const struct peer_segment *segment, uint64_t now_us)
{
    bool resent = segment->len && seq_before(segment->seq, judge->sent);

    if (segment->ecn != 0 && segment->ecn != PEER_ECT0)
        judge_blame(judge, "ECN field %u", segment->ecn);
    if (!judge->options.ecn || judge->options.loose)
        return;
    check_echo(judge, segment);
    check_capable(judge, segment);
    if (judge->options.holes || judge->options.waits)
        return; /* what said CWR may not have come so far, what passes may be older than the echo */
    if (resent) {
        judge->ecn.resent = true;
        judge->ecn.limited = false;
    }
    if (segment->len && !resent)
        check_new_data(judge, segment, now_us);
    else if (segment->flags & PEER_CWR)
        judge_blame(judge, "CWR at %u, not with new data", segment->seq);
}
