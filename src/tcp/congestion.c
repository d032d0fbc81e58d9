/*
 * How much may be in the network. Slow start with appropriate byte counting: the window grows by
 * what was acknowledged, in one go however much that is, for peers that receive superframes
 * acknowledge tens of segments at once, and a bound per acknowledgement (RFC 3465's L) would have
 * them start at a fraction of the pace. The exception is what goes again after a timeout: there one
 * acknowledgement may cover what arrived long before it, which has left no room in the network, and
 * L is one segment. After slow start NewReno adds one segment per window acknowledged, and CUBIC
 * follows its curve (cubic.c). Either grows only while the window is what limits the sender: an
 * idle or window-limited connection learns nothing about the network.
 *
 * What was learnt gets old. A sender that was idle halves its window for each retransmission
 * timeout that it was, down to the initial window at least, and remembers in the threshold where it
 * was: an application that pauses briefly between answers is not set back to the start. RFC 5681
 * would do that at once, RFC 7661 nothing for five minutes; this lies between, as RFC 2861 had it.
 *
 * TCP_CC_NONE keeps no window: the leg crosses no network. Source: RFC 5681, RFC 9438, RFC 3465,
 * RFC 6928 (initial window), RFC 2861 and RFC 7661 (idle and limited senders).
 */
#include "tcp/private.h"

enum { INITIAL_SEGMENTS = 10, INITIAL_BYTES = 14600 };

const char *
tcp_congestion_name(enum tcp_congestion congestion)
{
    switch (congestion) {
    case TCP_CC_NEWRENO:
        return "NewReno";
    case TCP_CC_CUBIC:
        return "CUBIC";
    default:
        return "none";
    }
}

static uint32_t
initial_window(const struct tcp_conn *conn)
{
    return tcp_min(INITIAL_SEGMENTS * conn->mss, tcp_max(2u * conn->mss, INITIAL_BYTES));
}

void
tcp_cc_init(struct tcp_conn *conn, uint32_t cwnd, uint32_t ssthresh)
{
    conn->cwnd = cwnd ? tcp_min(cwnd, TCP_MAX_CWND) : initial_window(conn);
    conn->cwnd = tcp_max(conn->cwnd, conn->mss);
    conn->ssthresh = ssthresh ? ssthresh : TCP_INFINITE_SSTHRESH;
    tcp_cubic_init(conn);
}

static void
grow_newreno(struct tcp_conn *conn, uint32_t acked)
{
    if (!(conn->flags & TCP_CONN_CWND_LIMITED))
        return;
    conn->bytes_acked += acked;
    if (conn->bytes_acked < conn->cwnd)
        return;
    conn->bytes_acked -= conn->cwnd;
    conn->cwnd += conn->mss;
}

void
tcp_cc_on_ack(struct tcp_conn *conn, uint32_t acked, uint32_t flight, uint64_t now_us)
{
    if (conn->cwnd < conn->ssthresh) {
        if (!(conn->flags & TCP_CONN_CWND_LIMITED) && flight < conn->cwnd / 2)
            return;
        conn->cwnd += tcp_min(acked, conn->ssthresh - conn->cwnd);
    } else if (conn->config.congestion == TCP_CC_CUBIC) {
        tcp_cubic_on_ack(conn, acked, now_us);
    } else {
        grow_newreno(conn, acked);
    }
    conn->cwnd = tcp_min(conn->cwnd, TCP_MAX_CWND);
}

static void
reduce(struct tcp_conn *conn, uint32_t flight)
{
    uint32_t window = tcp_min(flight, tcp_congestion_window(conn));

    conn->prior_cwnd = tcp_congestion_window(conn);
    conn->prior_ssthresh = conn->ssthresh;
    conn->prior_cubic = conn->cubic;
    window = conn->config.congestion == TCP_CC_CUBIC ? tcp_cubic_on_congestion(conn, window)
                                                     : window / 2;
    conn->ssthresh = tcp_max(window, 2u * conn->mss);
    conn->bytes_acked = 0;
    tcp_ecn_reduced(conn);
}

void
tcp_cc_on_loss(struct tcp_conn *conn, uint32_t flight)
{
    reduce(conn, flight);
    conn->cwnd = tcp_min(conn->cwnd, conn->ssthresh); /* which is two segments at least */
}

void
tcp_cc_on_timeout(struct tcp_conn *conn, uint32_t flight, bool first)
{
    if (first)
        reduce(conn, flight);
    conn->cubic.w_max = 0; /* what follows slow start is a new curve (RFC 9438, section 4.8) */
    conn->cwnd = conn->mss;
}

void
tcp_cc_undo(struct tcp_conn *conn)
{
    conn->cwnd = tcp_max(conn->cwnd, conn->prior_cwnd);
    conn->ssthresh = tcp_max(conn->ssthresh, conn->prior_ssthresh);
    conn->cubic = conn->prior_cubic;
    conn->cubic.last_us = TCP_NEVER;
}

void
tcp_cc_on_idle(struct tcp_conn *conn, uint64_t now_us)
{
    uint64_t idle_us = now_us - conn->last_data_us;
    uint32_t least = initial_window(conn);

    if (idle_us <= conn->rto_us || conn->cwnd <= least)
        return;
    conn->ssthresh = tcp_max(conn->ssthresh, conn->cwnd / 4 * 3);
    for (; idle_us > conn->rto_us && conn->cwnd > least; idle_us -= conn->rto_us)
        conn->cwnd /= 2;
    conn->cwnd = tcp_max(conn->cwnd, least);
    conn->last_data_us = now_us - idle_us; /* the rest is spent, whether something goes or not */
    conn->bytes_acked = 0;
    conn->cubic.origin = 0;
    conn->flags &= ~TCP_CONN_UNDO;
}

uint32_t
tcp_cc_room(const struct tcp_conn *conn)
{
    uint32_t pipe;

    if (conn->config.congestion == TCP_CC_NONE)
        return TCP_MAX_CWND;
    pipe = tcp_pipe(conn);
    return conn->cwnd > pipe ? conn->cwnd - pipe : 0;
}

uint32_t
tcp_congestion_window(const struct tcp_conn *conn)
{
    return conn->flags & TCP_CONN_RECOVERY ? conn->ssthresh : conn->cwnd;
}

uint32_t
tcp_send_allowance(const struct tcp_conn *conn)
{
    if (conn->config.congestion == TCP_CC_NONE)
        return conn->snd_wnd;
    return tcp_min(conn->cwnd, conn->snd_wnd);
}
