/*
 * What our side sends, and when: no more than the congestion window lets (strict_window.c) and,
 * with data to send, not less; nothing again without evidence of its loss (RFC 6675, 8985, 5681) or
 * of silence (RFC 6298), what is lost at once, and what has arrived never; windows that close are
 * probed (RFC 9293, 3.8.6.1); small segments wait (RFC 1122, 4.2.3.4), the last one is pushed
 * (4.2.2.2).
 */
#include "strict.h"

#include <math.h>

#define RTO_MIN_US 200000u    /* tcp.h */
#define RTO_FIRST_US 1000000u /* RFC 6298, 2.1 */
#define TAIL_MIN_US 10000u    /* tcp.h; RFC 8985, 7.2 */
#define PEER_DELAY_US 200000u /* RFC 8985, 7.2: of a lone segment */
#define SMALL_US 5000u        /* tcp.h; RFC 1122: 100 to 1000 ms at most */
#define SLACK_US 2000u

static uint32_t
flight(const struct strict_send *send)
{
    return send->max - send->una - peer_ranges_sum(&send->sacked);
}

void
strict_send_init(struct strict *strict)
{
    const struct strict_options *options = &strict->options;
    struct strict_send *send = &strict->send;

    send->una = send->una_before = send->max = options->snd_seq;
    send->recover = options->snd_seq - 1;
    send->wl1 = options->rcv_seq - 1;
    send->edge = options->snd_seq + options->window;
    send->max_window = options->window;
    send->said_window = options->window;
    send->mss = options->mss;
    strict_window_init(&send->window, options->mss);
}

/* ---- what comes ---- */

static void
note_sacks(struct strict_send *send, const struct peer_segment *segment)
{
    bool again = segment->sacks &&
                 (seq_before(segment->sack[0][0], segment->ack) ||
                  (segment->sacks > 1 && seq_after_eq(segment->sack[0][0], segment->sack[1][0]) &&
                   seq_before_eq(segment->sack[0][1], segment->sack[1][1])));

    send->odd |= again && (send->recovering || send->after_timeout);
    send->vague |= again; /* what was reduced in vain may come back */
    for (unsigned i = again; i < segment->sacks; i++)
        if (seq_after(segment->sack[i][0], send->una))
            peer_ranges_add(&send->sacked, segment->sack[i][0], segment->sack[i][1]);
}

static void
look_recovered(struct strict_send *send, uint64_t now_us)
{
    if (!send->recovering && !send->after_timeout)
        return;
    if (seq_before(send->una, send->recover))
        return;
    if (send->recovering)
        strict_window_recovered(&send->window);
    if (send->recovering && send->sacked.count) /* holes behind it, which are another matter */
        strict_window_doubt(&send->window, send->max - send->una, send->mss);
    send->recovering = send->after_timeout = false;
    send->recovered_us = now_us;
}

static void
note_progress(struct strict *strict, uint32_t ack, uint32_t outstanding, uint64_t now_us)
{
    struct strict_send *send = &strict->send;
    uint32_t acked = ack - send->una;
    bool limited = outstanding + (double)strict->options.mss > send->window.least;

    if (send->repaired)
        strict_window_doubt(&send->window, outstanding, strict->options.mss);
    send->repaired = false;
    strict_measure(send, ack, now_us);
    send->una = ack;
    send->max = seq_max(send->max, ack);
    send->probe_answered |= send->probed && seq_before(ack, send->max);
    send->timeouts = 0;
    if (send->adopted)
        send->adopted_end_us = now_us;
    send->adopted = false;
    send->adoptions = 0;
    send->restart_us = now_us;
    if (!send->recovering)
        strict_window_grow(&send->window, acked, send->after_timeout, strict->options.mss, limited,
                           now_us, send->rtt_least_us, send->rtt_most_us);
    look_recovered(send, now_us);
    send->partial = send->recovering && !strict->options.sack;
}

/* RFC 9293, 3.10.7.4: old segments do not move the window. */
static void
note_window(struct strict_send *send, const struct peer_segment *segment, bool advanced,
            uint8_t scale, uint64_t now_us)
{
    uint32_t window = (uint32_t)segment->window << scale;
    bool closed = send->edge == send->una, answers = seq_after_eq(segment->seq, send->wl1);

    send->said_window = window;
    if (closed && !window && send->asked && answers) {
        send->rounds++;
        send->answered_us = now_us;
    }
    send->asked &= !answers; /* what goes again was said before */
    if (!advanced && seq_before(segment->seq, send->wl1))
        return;
    send->wl1 = seq_max(send->wl1, segment->seq);
    send->edge = segment->ack + window;
    if (window > send->max_window)
        send->max_window = window;
    if (window) {
        send->closed_us = send->persist_us = 0;
        send->rounds = 0;
    } else if (!closed || !send->closed_us) {
        send->closed_us = now_us;
        send->closed_idle = send->offered == segment->ack;
    }
    if (closed && window)
        send->restart_us = now_us;
}

void
strict_send_heard(struct strict *strict, const struct peer_segment *segment, uint64_t now_us)
{
    struct strict_send *send = &strict->send;
    uint32_t outstanding = send->max - send->una, known = peer_ranges_sum(&send->sacked), now_known;
    uint32_t window = (uint32_t)segment->window << strict->options.snd_wscale;
    bool fin = segment->flags & PEER_FIN;
    bool duplicate = segment->ack == send->una && !segment->len && !fin && outstanding &&
                     window == send->said_window;
    uint32_t advanced = seq_after(segment->ack, send->una) ? segment->ack - send->una : 0;

    if (seq_after(segment->ack, send->max) || seq_before(segment->ack, send->una) ||
        seq_before(segment->seq + segment->len + fin, strict->receive.acked) ||
        seq_after(segment->seq, strict->receive.edge)) { /* outside of the window: not read */
        send->ignored |= segment->ack != send->una;
        return;
    }
    send->heard_us = now_us;
    send->offered = strict->written;
    if (advanced && send->timeouts && send->edge != send->una) /* Karn */
        send->kept_us = strict_timeout_us(strict, send->timeouts);
    if (advanced)
        strict_measure_echo(strict, segment, now_us);
    if (advanced)
        note_progress(strict, segment->ack, outstanding, now_us);
    if (strict->options.sack)
        note_sacks(send, segment);
    peer_ranges_cut(&send->sacked, send->una);
    peer_ranges_cut(&send->resent, send->una);
    now_known = peer_ranges_sum(&send->sacked);
    send->delivered += (double)advanced + now_known - known;
    send->at_once += (double)advanced + now_known - known;
    send->duplicates = advanced ? 0 : send->duplicates + duplicate;
    if (!strict->options.sack && duplicate) {
        send->delivered += strict->options.mss;
        send->at_once += strict->options.mss;
    }
    if (advanced || now_known != known) {
        send->probed = false;
        send->active_us = send->news_us = now_us;
    }
    note_window(send, segment, advanced != 0, strict->options.snd_wscale, now_us);
}

/* ---- what goes again ---- */

static void
enter(struct strict_send *send, double mss)
{
    strict_window_reduce(&send->window, send->max - send->una, mss);
    send->share = send->window.ssthresh_least / (send->max - send->una);
    send->share = send->share < 0.7 ? send->share : 0.7;
    send->recovering = true;
    send->recover = send->max;
    send->delivered = send->early = send->at_once;
    send->out = 0;
}

static uint64_t
doubled(uint64_t backoff_us)
{
    return backoff_us < STRICT_RTO_MOST_US / 2 ? 2 * backoff_us : STRICT_RTO_MOST_US;
}

/* RFC 6298, 5.4 to 5.6 */
static void
note_timeout(struct strict *strict, const struct peer_segment *segment, uint64_t now_us)
{
    struct strict_send *send = &strict->send;
    uint64_t took_us = now_us - send->restart_us, least_us = RTO_MIN_US, most_us = RTO_MIN_US;

    if (send->timeouts) {
        least_us = doubled(send->backoff_late_us);
        most_us = doubled(send->backoff_us);
    } else if (!send->rtt_least_us) {
        least_us = RTO_FIRST_US;
        most_us = strict_most_wait_us(send, RTO_FIRST_US);
    } else {
        least_us = send->rtt_least_us > least_us ? send->rtt_least_us : least_us;
        most_us = 5 * send->rtt_most_us > most_us ? 5 * send->rtt_most_us : most_us;
        most_us = strict_most_wait_us(send, most_us);
    }
    if (send->restart_late_us < send->restart_us)
        send->restart_late_us = send->restart_us;
    if (!send->vague && (took_us + strict_slack_us(strict) < least_us ||
                         now_us - send->restart_late_us > most_us + strict_slack_us(strict)))
        strict_blame(strict, "timeout %u after %llu us, %llu to %llu are right", send->timeouts,
                     (unsigned long long)took_us, (unsigned long long)least_us,
                     (unsigned long long)most_us);
    if (!send->timeouts)
        send->first_timeout_us = now_us;
    if (!send->timeouts++ && !send->recovering)
        strict_window_reduce(&send->window, send->max - send->una, strict->options.mss);
    strict_window_timeout(&send->window, strict->options.mss);
    send->vague |= send->recovering && !strict->options.sack; /* duplicates still come */
    send->recovering = false;
    send->after_timeout = true;
    send->resent.count = 0;
    send->recover = send->max;
    send->delivered = send->out = 0;
    send->by_echo = segment->has_ts;
    send->timed_seq = segment->seq;
    send->backoff_us = took_us;
    send->backoff_late_us = now_us - send->restart_late_us;
}

static bool
evidence(const struct strict *strict, uint32_t seq, uint64_t now_us)
{
    const struct strict_send *send = &strict->send;
    const struct peer_ranges *sacked = &send->sacked;

    if (strict->options.sack && send->recovered_us == now_us)
        return true; /* what went again arrived, what went before that did not */
    if (strict->options.sack)
        return sacked->count && seq_after(sacked->at[sacked->count - 1].from, seq);
    return (send->duplicates >= 3 && seq_after(send->una, send->recover)) || send->probe_answered;
}

static uint64_t
tail_us(const struct strict_send *send, uint32_t outstanding, uint64_t now_us)
{
    bool adopted = send->adopted || send->adopted_end_us == now_us;
    uint64_t wait_us = send->rtt_most_us ? 2 * send->rtt_least_us : PEER_DELAY_US;

    if (adopted) /* what was said to its last owner is lost with it, maybe */
        wait_us = send->rtt_most_us && send->measured_us != now_us ? wait_us : TAIL_MIN_US;
    wait_us = wait_us > TAIL_MIN_US ? wait_us : TAIL_MIN_US;
    return outstanding <= send->mss && !adopted ? wait_us + PEER_DELAY_US : wait_us;
}

static void
note_again(struct strict *strict, const struct peer_segment *segment, uint32_t end, uint64_t now_us)
{
    struct strict_send *send = &strict->send;
    uint64_t quiet_us = now_us - send->active_before_us;
    uint64_t least_us = send->rtt_most_us ? RTO_MIN_US : RTO_FIRST_US;
    bool tail = !send->probed && (!send->timeouts || send->adopted || send->sacked.count) &&
                quiet_us + SLACK_US > tail_us(send, send->max - send->una_before, now_us) &&
                (end == send->max || !strict->options.sack || send->recovering ||
                 send->after_timeout);
    bool timed_out = segment->seq == send->una && now_us - send->restart_us + SLACK_US > least_us;
    /* with SACK a loss is found out within a round trip (RFC 8985, 6.2) */
    bool late = !strict->options.sack || now_us > send->news_us + send->rtt_most_us;
    bool found = evidence(strict, segment->seq, now_us) &&
                 !(strict->options.sack && timed_out && late);

    if (strict->options.lossless && !tail && !send->ignored &&
        (strict->options.sack || (!send->vague && send->duplicates < 3)))
        strict_blame(strict, "seq %u again, and nothing was lost", segment->seq);
    if ((seq_before(segment->seq, send->una_before) && !send->ignored) ||
        (!tail && send->heard_us != now_us && send->timeouts < 2 && !send->ignored &&
         peer_ranges_skip(&send->sacked, segment->seq) != segment->seq))
        strict_blame(strict, "seq %u again, it has arrived", segment->seq);
    send->vague |= tail && (timed_out || !strict->options.sack);
    send->vague |= strict->options.lossless && !strict->options.sack && send->duplicates >= 3;
    if (!strict->options.sack && peer_ranges_skip(&send->resent, segment->seq) != segment->seq)
        send->vague = true; /* what the duplicates stand for nobody knows */
    if (tail && found && end == send->max && segment->seq != send->una) {
        send->odd = send->vague = true; /* the tail once more, or a hole: who knows */
        found = false;
    }
    if (!send->recovering && !send->after_timeout && found) {
        enter(send, strict->options.mss);
    } else if (tail) {
        send->probed = true;
        send->probes++;
        send->repaired = true;
        if (send->recovering || send->after_timeout || send->adopted) /* or only what is lost */
            send->restart_late_us = now_us;
        else
            send->restart_us = now_us;
    } else if (timed_out && (!found || ((send->timeouts || send->recovering) && late))) {
        note_timeout(strict, segment, now_us);
    } else if (!send->recovering && !send->after_timeout && send->heard_us != now_us &&
               !send->ignored) {
        strict_blame(strict, "seq %u again after %u us, without a reason", segment->seq,
                     (unsigned)quiet_us);
    }
    send->by_echo |= segment->has_ts && send->timed_us;
    send->timed_us = 0;
    peer_ranges_add(&send->resent, segment->seq, end);
}

/* ---- new data ---- */

/* Two round trips without news: what goes then is to bring some (RFC 8985, 7.3). */
static bool
is_probe(const struct strict_send *send, uint64_t now_us)
{
    return !send->probed && send->max != send->una &&
           now_us - send->active_before_us + SLACK_US >
               tail_us(send, send->max - send->una_before, now_us);
}

static void
check_small(struct strict *strict, const struct peer_segment *segment, uint32_t each,
            uint64_t now_us)
{
    const struct strict_send *send = &strict->send;
    uint32_t end = segment->seq + segment->len, options = 8u * segment->sacks;
    uint32_t last = each ? segment->len % each : segment->len;

    if (!last || last + options + 4 >= strict->options.mss)
        return;
    if (end != strict->written && last < send->max_window / 2 && send->wrote_us != now_us &&
        !is_probe(send, now_us) &&
        (!send->waiting_us || now_us + SLACK_US < send->waiting_us + SMALL_US))
        strict_blame(strict, "a small segment at %u, and there is more", segment->seq);
    if (end == strict->written && strict->options.nagle && !strict->closing && !send->ignored &&
        !is_probe(send, now_us) && (segment->seq != send->una || last != segment->len))
        strict_blame(strict, "a small segment at %u, and something is outstanding", segment->seq);
}

/* Of a lone tail probe the window is not asked (RFC 8985, 7.3). */
static void
check_room(struct strict *strict, uint32_t seq, uint32_t len)
{
    struct strict_send *send = &strict->send;
    double mss = strict->options.mss, most = send->window.most;

    if (send->vague)
        return;
    if (!strict->options.sack) /* RFC 3042 */
        most += (send->duplicates < 2 ? send->duplicates : 2) * mss;
    if (send->adoptions) /* a probe of each owner */
        most += (send->adoptions + 1) * mss;
    if (send->recovering) {
        if (send->out > 2 * send->delivered + 4 * mss) /* RFC 6937, SSRB */
            strict_blame(strict, "%.0f bytes went while %.0f arrived in a recovery", send->out,
                         send->delivered);
        return;
    }
    if (flight(send) + len > most + 1.5 * mss)
        strict_blame(strict, "%u bytes in flight with seq %u, the congestion window is %.0f",
                     flight(send) + len, seq, most);
}

static void
note_new(struct strict *strict, const struct peer_segment *segment, uint32_t each, uint32_t end,
         uint64_t now_us)
{
    struct strict_send *send = &strict->send;

    if (segment->len)
        check_small(strict, segment, each, now_us);
    if (segment->len) /* a lone FIN asks no congestion window */
        strict_idle(strict, &send->window, now_us);
    check_room(strict, segment->seq, segment->len);
    if (is_probe(send, now_us))
        send->restart_late_us = now_us;
    if (send->max == send->una)
        send->restart_us = now_us;
    if (!send->timed_us && !send->by_echo && !send->recovering && !send->after_timeout) {
        send->timed_us = now_us;
        send->timed_seq = segment->seq;
    }
    send->max = end;
}

/* A segment without data before una asks for an answer. */
static void
note_probe(struct strict *strict, uint64_t now_us)
{
    struct strict_send *send = &strict->send;
    uint64_t took_us = now_us - send->closed_us, least_us = RTO_MIN_US, late_us = took_us;
    uint64_t slack = strict_slack_us(strict) << (send->rounds < 8 ? send->rounds : 8);
    uint64_t most_us = send->rtt_most_us ? 5 * send->rtt_most_us : RTO_FIRST_US;

    if (!send->closed_us) {
        strict_blame(strict, "a probe, and the window is open");
        return;
    }
    most_us = (uint64_t)fmax(fmax((double)most_us, RTO_MIN_US), strict_timeout_us(strict, 0));
    most_us = strict_most_wait_us(send, most_us);
    if (!send->persist_us) {
        send->first_us = took_us;
    } else if (send->rounds != send->rounds_before) { /* it was answered */
        unsigned rounds = send->rounds < 16 ? send->rounds : 16;
        late_us = now_us - send->answered_us;
        most_us = send->first_us << rounds;
        most_us += 4 * send->rtt_most_us + most_us / 2;
        least_us = (uint64_t)fmin((double)send->first_us, strict_timeout_us(strict, 0)) << rounds;
    } else {
        least_us = send->persist_us;
        most_us = 2 * send->persist_us + send->persist_us / 2 + 2 * send->rtt_most_us;
    }
    if (send->former_us > 0)
        least_us = RTO_MIN_US;
    if (send->closed_idle) /* since when there is something to send nobody has told */
        late_us = least_us;
    send->closed_idle = false;
    if (took_us + slack < least_us || late_us > most_us + slack)
        strict_blame(strict, "a probe after %llu us, %llu to %llu are right",
                     (unsigned long long)took_us, (unsigned long long)least_us,
                     (unsigned long long)most_us);
    send->persist_us = late_us;
    send->closed_us = now_us;
    send->rounds_before = send->rounds;
    send->asked = true;
}

void
strict_send_said(struct strict *strict, const struct peer_segment *segment, uint32_t gso_bytes,
                 uint64_t now_us)
{
    struct strict_send *send = &strict->send;
    bool fin = segment->flags & PEER_FIN;
    uint32_t end = segment->seq + segment->len + fin;

    if (send->known != strict->written)
        send->wrote_us = now_us;
    send->known = strict->written;
    if (!segment->len && !fin) {
        if (segment->seq == send->una - 1)
            note_probe(strict, now_us);
        return;
    }
    if (segment->len && segment->seq + segment->len == strict->written &&
        !(segment->flags & PEER_PSH))
        strict_blame(strict, "the last byte at %u is not pushed", end);
    if (fin && (!strict->closing || end - 1 != strict->written))
        strict_blame(strict, "a FIN at %u, of %u", end - 1, strict->written);
    if (fin && seq_after(end, send->edge))
        strict_blame(strict, "a FIN at %u, the window ends at %u", end - 1, send->edge);
    send->fin |= fin;
    if (seq_before(segment->seq, send->max))
        note_again(strict, segment, end, now_us);
    else
        note_new(strict, segment, gso_bytes, end, now_us);
    if (segment->seq == send->una)
        send->restart_us = now_us;
    send->out += segment->len;
    send->active_us = send->sent_us = now_us;
}

/* ---- when nothing more happens at this moment ---- */

/* A sender uses its window. */
static void
check_idle(struct strict *strict)
{
    struct strict_send *send = &strict->send;
    double mss = strict->options.mss, room = send->window.least - flight(send);
    double room_slack = 0.03 * send->window.least + (strict->moves > 1 ? mss : 0);
    uint32_t left = strict->written - send->max;
    uint32_t window = seq_after(send->edge, send->max) ? send->edge - send->max : 0;

    if (send->fin || send->vague || seq_before_eq(strict->written, send->max) ||
        send->after_timeout)
        return;
    if (send->recovering) {
        left = seq_after(send->offered, send->max) ? send->offered - send->max : 0;
        if (window <= 2 * mss) /* of what arrived until now no share could go */
            send->early = send->delivered;
        /* RFC 6937: a share of what arrives, until no more is in flight than the threshold */
        if (strict->options.sack && left > 2 * mss && window > 2 * mss &&
            flight(send) + 4 * mss < send->window.ssthresh_least &&
            send->out + 4 * mss < send->share * (send->delivered - send->early))
            strict_blame(strict, "%.0f bytes went while %.0f arrived in a recovery, and %u wait",
                         send->out, send->delivered, left);
        return;
    }
    if (left >= mss && window >= mss && room >= 2 * mss + room_slack)
        strict_blame(strict, "%u bytes wait, the windows have room for %u and %.0f", left, window,
                     room);
    if (send->max == send->una && left <= window && room >= left)
        strict_blame(strict, "%u bytes wait, and nothing is outstanding", left);
}

/* More is known to have come than a reordering network explains. */
static void
check_lost(struct strict *strict)
{
    const struct strict_send *send = &strict->send;

    if (strict->options.sack && !send->recovering && !send->after_timeout && !send->vague &&
        peer_ranges_skip(&send->resent, send->una) == send->una &&
        peer_ranges_sum(&send->sacked) > 4u * strict->options.mss)
        strict_blame(strict, "%u bytes have arrived behind %u, and it does not go again",
                     peer_ranges_sum(&send->sacked), send->una);
    if (send->partial && send->recovering && !send->vague && /* RFC 6582, 3.2, step 3 */
        peer_ranges_skip(&send->resent, send->una) == send->una)
        strict_blame(strict, "a partial acknowledgement, and %u does not go again", send->una);
    if (!strict->options.sack && !send->recovering && !send->after_timeout && !send->vague &&
        send->duplicates > 3 && seq_after(send->una, send->recover))
        strict_blame(strict, "%u duplicates, and %u does not go again", send->duplicates,
                     send->una);
}

static void
check_silence(struct strict *strict, uint64_t now_us)
{
    const struct strict_send *send = &strict->send;
    uint64_t most_us = send->rtt_most_us ? 5 * send->rtt_most_us : RTO_FIRST_US;

    most_us = most_us > RTO_MIN_US ? most_us : RTO_MIN_US;
    most_us = strict_most_wait_us(send, most_us);
    if (send->timeouts)
        most_us = 2 * send->backoff_us;
    if (!send->vague && send->max != send->una && send->edge != send->una &&
        now_us > send->restart_us + most_us + strict_slack_us(strict) &&
        now_us > send->restart_late_us + most_us + strict_slack_us(strict))
        strict_blame(strict, "nothing for %u us, and %u is not acknowledged",
                     (unsigned)(now_us - send->restart_us), send->una);
}

static void
check_closing(struct strict *strict)
{
    const struct strict_send *send = &strict->send;

    bool held = send->max != send->una && (send->recovering || send->after_timeout);

    if (strict->closing && !send->fin && send->max == strict->written && !held &&
        seq_after(send->edge, send->max))
        strict_blame(strict, "the FIN at %u does not go", strict->written);
    if (send->una == strict->written && strict->released != strict->written)
        strict_blame(strict, "%u is acknowledged, the application knows of %u", send->una,
                     strict->released);
}

/* A small window, and nothing that could open it: some time later what fits goes. */
static void
note_waiting(struct strict *strict)
{
    struct strict_send *send = &strict->send;

    if (send->max != send->una || seq_before_eq(strict->written, send->max) ||
        seq_before_eq(send->edge, send->max))
        send->waiting_us = 0;
    else if (!send->waiting_us)
        send->waiting_us = strict->now_us;
}

void
strict_send_settled(struct strict *strict, uint64_t now_us)
{
    check_idle(strict);
    check_lost(strict);
    check_silence(strict, now_us);
    check_closing(strict);
    note_waiting(strict);
    strict->send.at_once = 0;
    strict->send.partial = false;
    strict->send.una_before = strict->send.una;
    strict->send.active_before_us = strict->send.active_us;
}
