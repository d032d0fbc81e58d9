/*
 * What a connection says of itself at a quiet moment, to a query or when it changes hands, compared
 * with what was heard and said: it is the whole of what its next owner goes on from. Numbers of the
 * wire are equal; round trips are those of RFC 6298 (2.2, 2.3) over the samples of which it times
 * one at a time (Karn); the congestion window and the threshold lie in the judge's bounds; a timer
 * that runs is due when it was started and one timeout. Source: RFC 9293 (3.3.1), 6298, 5681, 7323;
 * the delegated state of the chimney.
 */
#include "strict.h"

#include <math.h>

#define SLACK_US 2000.0
#define COARSE_US 2000.0

static void
equal(struct strict *strict, const char *what, uint32_t told, uint32_t known)
{
    if (told != known)
        strict_blame(strict, "its state says %s %u, it is %u", what, told, known);
}

static void
within(struct strict *strict, const char *what, double low, double told, double high)
{
    if (told < low || told > high)
        strict_blame(strict, "its state says %s %.0f, from %.0f to %.0f are right", what, told, low,
                     high);
}

/* ---- sending ---- */

static void
look_sent(struct strict *strict, const struct strict_seen *seen)
{
    const struct strict_send *send = &strict->send;

    equal(strict, "SndUna", seen->snd_una, send->una);
    equal(strict, "SndMax", seen->snd_max, send->max);
    if (!send->vague && !send->after_timeout)
        equal(strict, "SndNxt", seen->snd_nxt, send->max);
    if (!send->ignored)
        equal(strict, "the window's edge", seen->snd_una + seen->snd_wnd, send->edge);
    equal(strict, "MaxSndWnd", seen->max_snd_wnd, send->max_window);
}

static void
look_congestion(struct strict *strict, const struct strict_seen *seen, uint64_t now_us)
{
    const struct strict_send *send = &strict->send;
    const struct strict_window *window = &send->window;
    double mss = strict->options.mss, slack = 2 * mss + 0.03 * window->least;
    double least = window->least, most = window->most;
    struct strict_window idle = send->window; /* it may have found out already */

    if (send->vague)
        return;
    if (send->recovering) { /* what it will be */
        least = window->ssthresh_least;
        most = window->ssthresh_most;
    }
    strict_idle(strict, &idle, now_us);
    least = fmin(least, idle.least);
    within(strict, "CWnd", least - slack, seen->cwnd, most + slack);
    if (isinf(window->ssthresh_least))
        within(strict, "SsThresh", STRICT_NO_THRESHOLD, seen->ssthresh, UINT32_MAX);
    else
        within(strict, "SsThresh", fmin(window->ssthresh_least, idle.ssthresh_least) - slack,
               seen->ssthresh, fmax(window->ssthresh_most, idle.ssthresh_most) + slack);
}

static void
look_round_trips(struct strict *strict, const struct strict_seen *seen)
{
    const struct strict_send *send = &strict->send;
    double slack = seen->tick_us * (1 + strict->moves) / 4.0 + 0.02 * send->srtt;

    if (send->coarse)
        slack += COARSE_US + 0.1 * send->srtt;
    if (send->odd || (send->vague && !strict->options.sack))
        return;
    within(strict, "SRtt", send->srtt - slack, (double)seen->srtt_us, send->srtt + slack);
    within(strict, "RttVar", send->rttvar - slack, (double)seen->rttvar_us, send->rttvar + slack);
}

/* ---- timers ---- */

static void
look_timer(struct strict *strict, const struct strict_seen *seen, uint64_t now_us)
{
    const struct strict_send *send = &strict->send;
    double wait_us = strict_timeout_us(strict, send->timeouts);
    double slack = SLACK_US + seen->tick_us * (1.0 + strict->moves) + 0.02 * wait_us +
                   (send->coarse ? 5 * COARSE_US + 0.5 * send->srtt : 0);
    double since = (double)(now_us - send->restart_us);
    double late = since;

    if (send->restart_late_us > send->restart_us)
        late = (double)(now_us - send->restart_late_us);
    if (send->odd || send->vague || send->edge == send->una || strict->limit_us)
        return;
    if (send->max == send->una) {
        if (!seen->fin_wait_2 && seen->retransmit_delta_us != UINT64_MAX)
            strict_blame(strict, "its retransmission timer runs for nothing");
        return;
    }
    if (seen->retransmit_delta_us == UINT64_MAX) {
        strict_blame(strict, "its retransmission timer does not run");
        return;
    }
    within(strict, "a timeout in", wait_us - since - slack, (double)seen->retransmit_delta_us,
           fmax(wait_us, ldexp(send->former_us, (int)send->timeouts)) - late + slack);
}

static void
look_counts(struct strict *strict, const struct strict_seen *seen, uint64_t now_us)
{
    const struct strict_send *send = &strict->send;
    bool closed = send->edge == send->una;
    double spent = send->timeouts ? (double)(now_us - send->first_timeout_us) : 0;
    double slack = SLACK_US + seen->tick_us * (1.0 + strict->moves);

    if (!strict->options.sack && !send->recovering && !send->after_timeout && !send->vague)
        equal(strict, "DupAckCount", seen->dup_acks, send->duplicates);
    if (send->vague || send->ignored)
        return;
    if (closed) {
        equal(strict, "SndWndProbeCount", seen->probe_rounds, send->rounds);
    } else {
        equal(strict, "Retransmit.Count", seen->retransmits, send->timeouts);
        within(strict, "TotalRT", spent - slack, (double)seen->total_rt_us, spent + slack);
    }
}

/* ---- receiving ---- */

static void
look_received(struct strict *strict, const struct strict_seen *seen)
{
    const struct strict_receive *receive = &strict->receive;
    uint32_t unit = 1u << strict->options.rcv_wscale;
    int32_t window = seq_diff(receive->edge, receive->next);

    if (receive->beyond || receive->disorder)
        return;
    equal(strict, "RcvNxt", seen->rcv_nxt, receive->next);
    window = window < 0 ? 0 : window;
    within(strict, "RcvWnd", (double)window - unit, seen->rcv_wnd, (double)window + unit);
    if (strict->options.timestamps && !receive->raced && !receive->segments && receive->stamped &&
        seq_before(seen->ts_recent, receive->last.tsecr))
        strict_blame(strict, "its state says TsRecent %u, and %u was echoed", seen->ts_recent,
                     receive->last.tsecr);
}

void
strict_look(struct strict *strict, const struct strict_seen *seen, uint64_t now_us)
{
    look_sent(strict, seen);
    look_congestion(strict, seen, now_us);
    look_round_trips(strict, seen);
    look_timer(strict, seen, now_us);
    look_counts(strict, seen, now_us);
    look_received(strict, seen);
}

/* ---- another owner ---- */

/* What the documented state has no place for begins anew: what is timed, a tail probe, and, without
 * the extension, what is known of losses and of the curve of the window. */
void
strict_moved(struct strict *strict, bool extended, uint64_t now_us)
{
    struct strict_send *send = &strict->send;

    strict_time(strict, now_us);
    strict->events++;
    strict->moves++;
    send->timed_us = 0;
    send->sent_us = send->sent_us ? now_us : 0; /* how long it was idle the state does not say */
    send->by_echo = strict->options.timestamps && send->max != send->una;
    send->timed_seq = send->una;
    send->adopted = send->max != send->una;
    send->probed &= !send->adopted;
    send->adoptions += send->adopted;
    send->former_us = fmax(send->former_us, send->kept_us);
    send->kept_us = 0;
    if (!send->recovering && !send->after_timeout)
        send->recover = send->una - 1; /* nor where the last recovery ended */
    send->odd |= send->recovering || send->after_timeout;
    send->odd |= send->una != send->una_before; /* whose measurement that was is not known */
    strict->receive.narrow_us = now_us;
    strict->receive.raced = true;
    if (send->recovering || send->after_timeout || send->sacked.count || send->duplicates)
        send->vague |= !extended || !strict->options.sack;
    if (!extended)
        strict_window_moved(&send->window, strict->options.mss);
}
