/*
 * What our side says of what it has heard: acknowledgements in time and not without need (RFC 5681,
 * 4.2; 1122, 4.2.3.2), SACK blocks (RFC 2018, 4), reports of what came twice (RFC 2883, 4), stamps
 * and their echo (RFC 7323, 4.3), the window (RFC 9293, 3.8.6), and that the application gets it.
 */
#include "strict.h"

#define SMALL_US 200000u /* RFC 1122, 4.2.3.4: 100 to 1000 ms */
#define SMALL_LEAST_US 5000u
#define SLACK_US 1000u
#define BLOCKS_KEPT 3u
#define ANSWERS 8u
#define ANSWERS_US 20000u

void
strict_receive_init(struct strict *strict)
{
    const struct strict_options *options = &strict->options;
    struct strict_receive *receive = &strict->receive;

    receive->next = receive->next_before = receive->acked = receive->lag = options->rcv_seq;
    receive->edge = options->rcv_seq + options->receive_buffer;
    receive->ts_recent = receive->ts_before = options->ts_recent;
}

/* ---- what comes ---- */

static void
note_stamp(struct strict *strict, const struct peer_segment *segment)
{
    struct strict_receive *receive = &strict->receive;
    uint32_t end = segment->seq + segment->len + ((segment->flags & PEER_FIN) != 0);

    if (segment->has_ts && seq_before_eq(segment->seq, receive->acked) &&
        (seq_after(end, receive->acked) || segment->seq == receive->acked) &&
        seq_after_eq(segment->tsval, receive->ts_recent))
        receive->ts_recent = segment->tsval;
    if (segment->has_ts && !segment->len && seq_after(segment->seq, receive->acked) &&
        seq_before_eq(segment->seq, receive->next))
        receive->ts_maybe = segment->tsval;
}

static void
note_twice(struct strict_receive *receive, uint32_t from, uint32_t to)
{
    peer_ranges_add(&receive->again, from, to);
    receive->disorder = receive->twice = true;
}

static void
note_data(struct strict_receive *receive, uint32_t from, uint32_t to, uint64_t now_us)
{
    uint32_t before = receive->next;

    if (seq_before(from, receive->next))
        note_twice(receive, from, seq_min(to, receive->next));
    if (seq_before_eq(to, receive->next))
        return;
    receive->raced |= seq_before(from, receive->next); /* old and new: two stamps are right */
    if (peer_ranges_hold(&receive->ahead, from, to))
        note_twice(receive, from, to);
    else if (peer_ranges_skip(&receive->ahead, from) != from ||
             peer_ranges_next(&receive->ahead, from, to) != to)
        receive->crowded = true; /* in part: how it is reported is open */
    receive->owed += from != receive->next;
    receive->disorder |= receive->ahead.count || from != receive->next;
    peer_ranges_add(&receive->ahead, seq_max(from, receive->next), to);
    receive->recent = from;
    receive->crowded |= receive->ahead.count > BLOCKS_KEPT;
    receive->next = peer_ranges_skip(&receive->ahead, receive->next);
    peer_ranges_cut(&receive->ahead, receive->next);
    if (!receive->ahead.count)
        receive->crowded = false;
    if (receive->next == before)
        return;
    receive->came++;
    if (!receive->segments++)
        receive->since_us = now_us;
}

/* What is old is answered so often only in a short time (tcp.h; RFC 5961, 7). */
static bool
may_ask(struct strict_receive *receive, uint64_t now_us)
{
    if (now_us > receive->old_us + ANSWERS_US)
        receive->olds = 0;
    receive->old_us = now_us;
    return receive->olds++ < ANSWERS;
}

void
strict_receive_heard(struct strict *strict, const struct peer_segment *segment, uint64_t now_us)
{
    struct strict_receive *receive = &strict->receive;
    uint32_t end = segment->seq + segment->len;

    if (receive->low_us != now_us || seq_before(end, receive->low_seq))
        receive->low_seq = end;
    receive->low_us = now_us;
    if (seq_before(segment->seq, receive->edge) || !segment->len)
        note_stamp(strict, segment);
    if (seq_after(end, receive->edge)) {
        receive->beyond = receive->asked = true;
        if (segment->len && !receive->segments++)
            receive->since_us = now_us;
        return;
    }
    /* all old, and not all acknowledged: its stamp is news by the letter, not by what it is for */
    receive->raced |= seq_before_eq(segment->seq, receive->acked) &&
                      seq_after(end, receive->acked) && seq_before_eq(end, receive->next);
    if (segment->len && seq_before_eq(end, receive->acked) && !may_ask(receive, now_us)) {
        peer_ranges_add(&receive->again, segment->seq, end);
        receive->asked = true;
    } else if (segment->len) {
        note_data(receive, segment->seq, end, now_us);
    } else if (seq_before(segment->seq, receive->next)) {
        receive->asked = true; /* a keepalive, or old: how often it is answered is limited */
    }
    if (segment->flags & PEER_FIN) {
        receive->raced |= receive->fin; /* that it comes again may count as news of the clock */
        receive->disorder = receive->fin_seen = true;
        receive->fin_seq = end;
    }
    if (receive->fin_seen && !receive->fin && receive->fin_seq == receive->next) {
        receive->fin = true;
        receive->next++;
    }
}

/* ---- what we say ---- */

/* The window is wider by a step that is worth saying (RFC 1122, 4.2.3.3), or by a smaller one that
 * had to wait. */
static bool
is_update(const struct strict *strict, const struct peer_segment *segment, uint32_t edge,
          uint64_t now_us)
{
    const struct strict_receive *receive = &strict->receive;
    uint32_t unit = 1u << strict->options.rcv_wscale, mss = strict->options.peer_mss;
    uint64_t spoke_us = receive->spoke_us;

    if (!seq_after(edge, receive->edge))
        return false;
    /* a timer that ran before we spoke last goes on */
    if (receive->spoke_us < receive->spoke_before_us + SMALL_LEAST_US)
        spoke_us = receive->spoke_before_us;
    return edge - receive->edge + unit >= 2 * mss || receive->edge - segment->ack < mss + unit ||
           now_us + SLACK_US >= spoke_us + SMALL_LEAST_US;
}

static void
check_need(struct strict *strict, const struct peer_segment *segment, uint32_t edge,
           uint64_t now_us)
{
    const struct strict_receive *receive = &strict->receive;

    if (strict->leaving || segment->len || segment->flags & PEER_FIN ||
        segment->seq == strict->send.una - 1 || receive->disorder || receive->asked ||
        receive->asked_us == now_us || receive->owed || receive->segments > 1 ||
        is_update(strict, segment, edge, now_us))
        return;
    if (!receive->segments)
        strict_blame(strict, "an acknowledgement at %u that nobody needs", segment->ack);
    else if (now_us + SLACK_US < receive->since_us + strict->options.delayed_ack_us)
        strict_blame(strict, "one segment is acknowledged after %u us",
                     (unsigned)(now_us - receive->since_us));
}

static void
check_clock(struct strict *strict, const struct peer_segment *segment, uint64_t now_us)
{
    struct strict_receive *receive = &strict->receive;
    int64_t passed_ms, said_ms;

    if (!segment->has_ts)
        return;
    if (!receive->stamped) {
        receive->stamped = true;
        receive->ts_first = segment->tsval;
        receive->ts_first_us = now_us;
    }
    passed_ms = (int64_t)(now_us - receive->ts_first_us) / 1000;
    said_ms = seq_diff(segment->tsval, receive->ts_first);
    if (said_ms < passed_ms - 2 - strict->moves || said_ms > passed_ms + 2 + strict->moves)
        strict_blame(strict, "the clock of timestamps went %lld ms in %lld", (long long)said_ms,
                     (long long)passed_ms);
}

/* The first block of those that are not about what came twice. */
static unsigned
first_block(struct strict *strict, const struct peer_segment *segment)
{
    uint32_t from = segment->sack[0][0], to = segment->sack[0][1];
    bool again = segment->sacks &&
                 (seq_before(from, segment->ack) ||
                  (segment->sacks > 1 && seq_after_eq(from, segment->sack[1][0]) &&
                   seq_before_eq(to, segment->sack[1][1])));

    if (!again)
        return 0;
    if (!peer_ranges_hold(&strict->receive.again, from, to))
        strict_blame(strict, "%u to %u is said to have come twice", from, to);
    strict->receive.twice = false;
    return 1;
}

/* What a timer sent, or was on its way, may not know what came at this very moment. */
static bool
shows_recent(const struct strict *strict, const struct peer_segment *segment)
{
    const struct strict_receive *receive = &strict->receive;
    uint32_t recent = receive->recent;

    if (!strict->options.sack || !receive->ahead.count || receive->crowded ||
        seq_before(recent, receive->next))
        return true;
    for (unsigned i = 0; i < segment->sacks; i++)
        if (seq_before_eq(segment->sack[i][0], recent) && seq_before(recent, segment->sack[i][1]))
            return true;
    return false;
}

void
strict_receive_said(struct strict *strict, const struct peer_segment *segment, uint64_t now_us)
{
    struct strict_receive *receive = &strict->receive;
    uint32_t edge = segment->ack + ((uint32_t)segment->window << strict->options.rcv_wscale);
    bool beyond = receive->beyond && seq_after(segment->ack, receive->next);

    if (beyond) {
        receive->next = segment->ack;
        receive->ts_recent = segment->tsecr;
    }
    if ((beyond ||
         (receive->segments && now_us == receive->since_us + strict->options.delayed_ack_us)) &&
        receive->low_us == now_us && seq_before(receive->low_seq, segment->ack)) {
        receive->asked_us = now_us; /* what came when the timer ran out may be old by now */
        strict->send.vague = strict->send.ignored = receive->raced = true;
    }
    check_need(strict, segment, edge, now_us);
    check_clock(strict, segment, now_us);
    first_block(strict, segment);
    if (seq_after(edge, segment->ack + strict->options.receive_buffer +
                            (1u << strict->options.rcv_wscale)))
        strict_blame(strict, "a window of %u, of %u", edge - segment->ack,
                     strict->options.receive_buffer);
    receive->edge = seq_max(receive->edge, edge);
    receive->last = *segment;
    receive->spoke_before_us = receive->spoke_us;
    receive->spoke_us = receive->narrow_us = now_us;
    receive->asked = false;
    receive->owed -= receive->owed && !strict->options.sack && !segment->len;
    if (strict->options.sack)
        receive->owed = 0;
    if (seq_before(segment->ack, receive->next)) {
        if (segment->ack == receive->next_before && receive->segments) {
            receive->segments = receive->came;
            receive->since_us = now_us;
        }
        receive->acked = seq_max(receive->acked, segment->ack);
        receive->raced = true;
        return;
    }
    receive->fresh |= seq_after(segment->ack, receive->next_before);
    receive->acked = segment->ack;
    receive->disorder &= !shows_recent(strict, segment);
    receive->beyond = false;
    receive->segments = 0;
}

/* ---- when nothing more happens at this moment ---- */

static void
check_blocks(struct strict *strict, const struct peer_segment *last)
{
    const struct strict_receive *receive = &strict->receive;
    unsigned first = first_block(strict, last), most = strict->options.timestamps ? 3 : 4;

    if (!strict->options.sack || receive->crowded || receive->beyond)
        return;
    if (last->sacks - first < receive->ahead.count && last->sacks < most)
        strict_blame(strict, "%u SACK blocks of %u", last->sacks - first, receive->ahead.count);
    for (unsigned i = first; i < last->sacks; i++) {
        uint32_t from = last->sack[i][0], to = last->sack[i][1];
        bool whole = peer_ranges_skip(&receive->ahead, from) == to;
        bool recent = seq_before_eq(from, receive->recent) && seq_before(receive->recent, to);
        if (!whole || (i > 0 && peer_ranges_hold(&receive->ahead, from - 1, to)))
            strict_blame(strict, "SACK %u to %u is a part", from, to);
        if (i == first && !recent && seq_after(receive->recent, receive->next))
            strict_blame(strict, "SACK %u to %u first, %u came last", from, to, receive->recent);
    }
}

static void
check_last(struct strict *strict)
{
    struct strict_receive *receive = &strict->receive;
    const struct peer_segment *last = &receive->last;

    /* a timer at this very moment does not know what is only coming */
    if (last->ack != receive->next && (last->ack != receive->next_before || !receive->segments))
        strict_blame(strict, "ack %u, and %u is next", last->ack, receive->next);
    if (last->ack != receive->next || receive->raced) {
        receive->raced = last->ack != receive->next || last->tsecr != receive->ts_recent;
        return;
    }
    if (last->has_ts && last->tsecr == receive->ts_maybe &&
        seq_after(last->tsecr, receive->ts_recent))
        receive->ts_recent = receive->ts_maybe;
    if (last->has_ts && last->tsecr != receive->ts_recent &&
        (receive->fresh || last->tsecr != receive->ts_before))
        strict_blame(strict, "an echo of %u, it should be %u", last->tsecr, receive->ts_recent);
    if (strict->options.sack && receive->twice)
        strict_blame(strict, "what came twice is not reported, ack %u", last->ack);
    check_blocks(strict, last);
}

/* A step that is worth saying is said at once, a smaller one some time later. */
static void
check_window(struct strict *strict, uint64_t now_us)
{
    const struct strict_options *options = &strict->options;
    struct strict_receive *receive = &strict->receive;
    uint32_t unit = 1u << options->rcv_wscale, room = options->receive_buffer, half;
    int32_t missing;

    if (room > 0xffffu * unit)
        room = 0xffffu * unit;
    half = room / 2 < options->peer_mss ? room / 2 : options->peer_mss;
    missing = seq_diff(receive->next + room, receive->edge);
    if (!strict->reading || strict->taken != receive->next || receive->fin ||
        receive->acked != receive->next || missing < (int32_t)(half + unit))
        receive->narrow_us = now_us;
    else if (missing >= (int32_t)(2u * options->peer_mss + unit) ||
             now_us > receive->narrow_us + SMALL_US + SLACK_US)
        strict_blame(strict, "the window is %u, %u are free", receive->edge - receive->next, room);
}

static void
check_delivery(struct strict *strict, uint64_t now_us)
{
    struct strict_receive *receive = &strict->receive;
    uint32_t next = receive->next - receive->fin;

    if (!strict->reading || seq_after_eq(strict->taken, receive->lag)) {
        receive->lag = next;
        receive->lag_us = now_us;
    } else if (strict->now_us > receive->lag_us + strict->options.deliver_us + SLACK_US) {
        strict_blame(strict, "%u bytes wait for %u us", next - strict->taken,
                     (unsigned)(strict->now_us - receive->lag_us));
    }
}

void
strict_receive_settled(struct strict *strict, uint64_t now_us)
{
    struct strict_receive *receive = &strict->receive;

    if (receive->disorder || receive->segments > 1)
        strict_blame(strict, "no acknowledgement at once of %u segments, disorder %d",
                     receive->segments, receive->disorder);
    if (receive->segments && now_us > receive->since_us + strict->options.delayed_ack_us + SLACK_US)
        strict_blame(strict, "an acknowledgement after %u us",
                     (unsigned)(now_us - receive->since_us));
    if (receive->spoke_us == strict->now_us && receive->last.flags)
        check_last(strict);
    receive->twice = receive->fresh = false;
    receive->came = 0;
    receive->ts_maybe = receive->ts_recent;
    receive->ts_before = receive->ts_recent;
    receive->next_before = receive->next;
    if (!receive->segments)
        check_window(strict, now_us);
    check_delivery(strict, now_us);
}
