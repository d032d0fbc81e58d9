/*
 * The acknowledgement of an arriving segment: moves snd_una, measures the round trip, takes the
 * window over, feeds the scoreboard and then lets recovery judge. One segment at a time is timed,
 * by our own clock as long as that tells: of what goes again, and of what the former owner sent, an
 * acknowledgement tells nothing (Karn), but for the stamp that it echoes (timer.c).
 *
 * A window counts only if its segment is not older than the last one that set it: it acknowledges
 * more, or its sequence number is not smaller. At the same one a smaller window counts, too: a peer
 * short of memory takes some of it back, or all, and would be given up if it were resent to instead
 * of probed. If the network has swapped two, the next one sets it right, or a probe. Source: RFC
 * 9293 sections 3.8.6 and 3.10.7.4 (fifth), RFC 6298, RFC 5961.
 */
#include "tcp/private.h"

bool
tcp_ack_valid(const struct tcp_conn *conn, const struct tcp_segment *segment)
{
    if (seq_after(segment->ack, conn->snd_max))
        return false;
    return seq_after_eq(segment->ack, conn->snd_una - conn->max_snd_wnd);
}

/* Ours arrived. */
static unsigned
finish_fin(struct tcp_conn *conn, uint64_t now_us)
{
    conn->flags |= TCP_CONN_FIN_ACKED;
    switch (conn->state) {
    case TCP_FIN_WAIT_1:
        tcp_set_state(conn, TCP_FIN_WAIT_2, "our FIN is acknowledged");
        conn->fin_wait_2_deadline_us = tcp_after_us(now_us, conn->config.fin_wait_2_us);
        break;
    case TCP_CLOSING:
        tcp_set_state(conn, TCP_TIME_WAIT, "our FIN is acknowledged");
        break;
    case TCP_LAST_ACK:
        tcp_finish(conn, "our FIN is acknowledged");
        break;
    default:
        break;
    }
    return TCP_EV_FIN_ACKED;
}

static void
measure(struct tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_us)
{
    if (!(conn->flags & TCP_CONN_RTT_TIMING) || seq_before_eq(segment->ack, conn->rtt_seq))
        return;
    conn->flags &= ~TCP_CONN_RTT_TIMING;
    if (conn->rtt_sent_us == TCP_NEVER)
        tcp_rtt_echo(conn, segment->tsecr, now_us);
    else
        tcp_rtt_sample(conn, now_us - conn->rtt_sent_us, now_us);
}

/* Karn: without timestamps an acknowledgement of what went twice measures nothing, so the timeout
 * stays backed off, and no tail probe goes early, until something does. Or a path that has become
 * slower than the timers would never be measured. */
static void
keep_backoff(struct tcp_conn *conn)
{
    if (!conn->retransmit_count || !conn->snd_wnd) /* then they were window probes */
        return;
    conn->rto_us = (uint32_t)tcp_backoff(conn, conn->retransmit_count);
    conn->flags |= TCP_CONN_UNMEASURED;
}

/* Of what an acknowledgement covers, the bytes that the congestion window may grow for: while old
 * data goes again one segment's in slow start (RFC 3465, section 2.3). Before it counts. */
static uint32_t
countable(const struct tcp_conn *conn, uint32_t acked)
{
    bool again = conn->flags & TCP_CONN_LOSS || conn->snd_nxt != conn->snd_max;

    return again && conn->cwnd < conn->ssthresh ? tcp_min(acked, conn->mss) : acked;
}

static unsigned
advance(struct tcp_conn *conn, const struct tcp_segment *segment, bool echo, uint64_t now_us)
{
    uint32_t ack = segment->ack, acked = ack - conn->snd_una,
             flight = conn->snd_max - conn->snd_una;
    uint32_t cwnd = conn->cwnd, counts = countable(conn, acked);
    unsigned events = TCP_EV_ACKED | TCP_EV_PROGRESS;

    keep_backoff(conn);
    measure(conn, segment, now_us);
    conn->snd_una = ack;
    if (seq_before(conn->snd_nxt, ack))
        conn->snd_nxt = ack;
    conn->retransmit_count = 0;
    conn->total_rt_us = 0;
    if (conn->sack_count)
        tcp_sack_advance(conn);
    tcp_ecn_advance(conn);
    tcp_rack_advance(conn);
    if (!(conn->flags & TCP_CONN_RECOVERY) && !echo)
        tcp_cc_on_ack(conn, counts, flight, now_us);
    if (conn->cwnd != cwnd)
        events |= TCP_EV_WINDOW;
    if (tcp_outstanding(conn))
        tcp_start_rtx(conn, now_us);
    else
        conn->rtx_deadline_us = TCP_NEVER;
    if (conn->flags & TCP_CONN_FIN_SENT && !(conn->flags & TCP_CONN_FIN_ACKED) &&
        ack == conn->fin_seq + 1)
        events |= finish_fin(conn, now_us);
    return events;
}

/* Zero, or no longer zero: the timer changes its meaning. */
static void
switch_timer(struct tcp_conn *conn, uint64_t now_us)
{
    conn->retransmit_count = 0;
    conn->snd_wnd_probe_count = 0;
    conn->total_rt_us = 0;
    if (!conn->snd_wnd) {
        tcp_start_persist(conn, now_us);
        return;
    }
    conn->rtx_deadline_us = TCP_NEVER;
    if (tcp_outstanding(conn))
        tcp_start_rtx(conn, now_us);
}

/* Another zero window: the answer to a probe starts the next round. */
static unsigned
still_closed(struct tcp_conn *conn, bool advanced, uint64_t now_us)
{
    bool answered = conn->retransmit_count > 0;

    if (!answered && !advanced)
        return 0;
    if (answered && conn->snd_wnd_probe_count < 255)
        conn->snd_wnd_probe_count++;
    conn->retransmit_count = 0;
    conn->total_rt_us = 0;
    tcp_start_persist(conn, now_us);
    return TCP_EV_PROGRESS;
}

static unsigned
update_window(struct tcp_conn *conn, const struct tcp_segment *segment, bool advanced,
              uint64_t now_us)
{
    uint32_t window = (uint32_t)segment->window << conn->config.snd_wscale, old = conn->snd_wnd;

    if (segment->ack != conn->snd_una)
        return 0;
    if (!window && !old && seq_after_eq(segment->seq, conn->snd_wl1))
        return still_closed(conn, advanced, now_us);
    if (!advanced && seq_before(segment->seq, conn->snd_wl1))
        return 0;
    conn->snd_wl1 = seq_max(conn->snd_wl1, segment->seq);
    if (window == old)
        return 0;
    conn->snd_wnd = window;
    conn->max_snd_wnd = tcp_max(conn->max_snd_wnd, window);
    if (!window || !old)
        switch_timer(conn, now_us);
    return TCP_EV_WINDOW;
}

/* RFC 5681, section 2, for a peer without SACK. */
static bool
is_duplicate(const struct tcp_conn *conn, const struct tcp_segment *segment)
{
    return segment->ack == conn->snd_una && !segment->payload_len && tcp_outstanding(conn) &&
           !(segment->flags & (TCP_SYN | TCP_FIN)) &&
           (uint32_t)segment->window << conn->config.snd_wscale == conn->snd_wnd;
}

/* Before anything changes: what was known, and what the cumulative part delivers. */
static struct tcp_ack_news
open_news(struct tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_us)
{
    struct tcp_ack_news news = {
        .flight = conn->snd_max - conn->snd_una,
        .delivered_seq = tcp_delivered_seq(conn),
        .advanced = seq_after(segment->ack, conn->snd_una) ? segment->ack - conn->snd_una : 0,
    };

    if (!conn->config.sack)
        news.duplicate = !news.advanced && is_duplicate(conn, segment);
    else
        news.repeated = segment->ack == conn->snd_una && !segment->payload_len &&
                        !segment->sack_count;
    if (conn->sack_count || segment->sack_count ||
        conn->flags & (TCP_CONN_RECOVERY | TCP_CONN_LOSS)) {
        conn->fack_seq = conn->sack_count ? conn->sacked[conn->sack_count - 1].end : conn->snd_una;
        tcp_rack_on_delivered(conn, conn->snd_una, segment->ack, now_us);
    }
    return news;
}

unsigned
tcp_ack_input(struct tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_us)
{
    struct tcp_ack_news news = open_news(conn, segment, now_us);
    bool echo = conn->config.ecn && segment->flags & TCP_ECE;
    unsigned events = 0;

    if (news.advanced)
        events |= advance(conn, segment, echo, now_us);
    if (conn->state == TCP_CLOSED)
        return events;
    if (echo && segment->ack == conn->snd_una)
        events |= tcp_ecn_on_echo(conn, news.flight, now_us);
    events |= update_window(conn, segment, news.advanced, now_us);
    if (conn->config.sack && segment->sack_count) {
        news.sacked = tcp_sack_input(conn, segment, now_us);
        news.dsack = tcp_has_dsack(segment);
    }
    if (news.dsack)
        events |= tcp_recovery_on_dsack(conn, segment->sack[0]);
    if (!news.advanced && !news.duplicate && !news.sacked && !(conn->flags & TCP_CONN_TAIL_OPEN))
        return events;
    events |= tcp_recovery_on_ack(conn, &news, now_us);
    if (news.advanced || news.sacked)
        tcp_start_tail(conn, now_us);
    return events;
}
