/*
 * Round trips as our side measures them, one at a time, of what went once (RFC 6298, Karn) or by
 * the stamp that is echoed (RFC 7323, 4), and the timeout that follows from them.
 */
#include "strict.h"

#include <math.h>

#define RTO_MIN_US 200000u    /* tcp.h */
#define RTO_FIRST_US 1000000u /* RFC 6298, 2.1 */
#define GRAIN_US 1000.0
#define SLACK_US 2000u

uint64_t
strict_slack_us(const struct strict *strict)
{
    return SLACK_US + 1000ull * strict->moves;
}

uint64_t
strict_most_wait_us(const struct strict_send *send, uint64_t otherwise_us)
{
    double kept = fmax(send->kept_us, send->former_us);

    return kept > (double)otherwise_us ? (uint64_t)kept : otherwise_us;
}

/* RFC 6298, 2.2 and 2.3 */
static void
smooth(struct strict_send *send, double rtt)
{
    if (send->srtt > 0) {
        send->rttvar += (fabs(rtt - send->srtt) - send->rttvar) / 4;
        send->srtt += (rtt - send->srtt) / 8;
    } else {
        send->srtt = rtt;
        send->rttvar = rtt / 2;
    }
    send->kept_us = send->former_us = 0;
}

static void
note_rtt(struct strict_send *send, uint64_t least_us, uint64_t most_us)
{
    if (!send->rtt_least_us || least_us < send->rtt_least_us)
        send->rtt_least_us = least_us;
    if (most_us > send->rtt_most_us)
        send->rtt_most_us = most_us;
}

void
strict_measure(struct strict_send *send, uint32_t ack, uint64_t now_us)
{
    uint64_t rtt_us = now_us - send->timed_us;

    if (!send->timed_us || seq_before_eq(ack, send->timed_seq))
        return;
    send->timed_us = 0;
    send->measured_us = now_us;
    smooth(send, rtt_us ? (double)rtt_us : 1);
    note_rtt(send, rtt_us, rtt_us);
}

/* RFC 7323, 4.1. Where in a millisecond our clock ticks is not known. */
void
strict_measure_echo(struct strict *strict, const struct peer_segment *segment, uint64_t now_us)
{
    const struct strict_receive *receive = &strict->receive;
    uint32_t now_ms = receive->last.tsval + (uint32_t)((now_us - receive->spoke_us) / 1000);
    uint64_t ticks = now_ms - segment->tsecr;

    if (!strict->send.by_echo || seq_before_eq(segment->ack, strict->send.timed_seq))
        return;
    strict->send.by_echo = false;
    strict->send.coarse = true;
    strict->send.measured_us = now_us;
    smooth(&strict->send, 1000.0 * (double)(ticks ? ticks : 1));
    note_rtt(&strict->send, 1000 * (ticks ? ticks : 1), 1000 * (ticks + 1));
}

double
strict_timeout_us(const struct strict *strict, unsigned backoff)
{
    const struct strict_send *send = &strict->send;
    double rto = RTO_FIRST_US;

    if (send->srtt > 0)
        rto = send->srtt + fmax(4 * send->rttvar, GRAIN_US);
    rto = fmax(fmax(rto, RTO_MIN_US), send->kept_us);
    return fmin(ldexp(rto, (int)backoff), STRICT_RTO_MOST_US);
}

void
strict_idle(const struct strict *strict, struct strict_window *window, uint64_t now_us)
{
    const struct strict_send *send = &strict->send;
    uint64_t least_us = send->rtt_most_us ? send->rtt_least_us : RTO_FIRST_US;
    uint64_t most_us = send->rtt_most_us ? 5 * send->rtt_most_us : RTO_FIRST_US;

    least_us = least_us > RTO_MIN_US ? least_us : RTO_MIN_US;
    most_us = most_us > 2 * send->backoff_us ? most_us : 2 * send->backoff_us;
    most_us = most_us > RTO_MIN_US ? most_us : RTO_MIN_US;
    if (send->max == send->una && send->sent_us)
        strict_window_idle(window, strict->options.mss, now_us - send->sent_us, least_us, most_us);
}
