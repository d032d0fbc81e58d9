/*
 * How much may be in the network. NewReno with appropriate byte counting: the window grows by what
 * was acknowledged in slow start and by one segment per window acknowledged after it, and only
 * while it is what limits the sender (an idle or window-limited connection learns nothing about the
 * network). There is no restart after idle. TCP_CC_NONE keeps no window: the leg crosses no
 * network. Source: RFC 5681, RFC 3465, RFC 6928 (initial window), RFC 7661 (validation).
 */
#include "tcp/private.h"

#define INITIAL_SEGMENTS 10u
#define MAX_CWND 0x3fffffffu

void
tcp_cc_init(struct tcp_conn *conn, uint32_t cwnd, uint32_t ssthresh)
{
    conn->cwnd = cwnd ? tcp_min(cwnd, MAX_CWND) : INITIAL_SEGMENTS * conn->mss;
    conn->cwnd = tcp_max(conn->cwnd, conn->mss);
    conn->ssthresh = ssthresh ? ssthresh : TCP_INFINITE_SSTHRESH;
}

void
tcp_cc_on_ack(struct tcp_conn *conn, uint32_t acked, uint32_t flight)
{
    if (conn->cwnd < conn->ssthresh) {
        if (!(conn->flags & TCP_CONN_CWND_LIMITED) && flight < conn->cwnd / 2)
            return;
        conn->cwnd += tcp_min(acked, conn->ssthresh - conn->cwnd);
    } else {
        if (!(conn->flags & TCP_CONN_CWND_LIMITED))
            return;
        conn->bytes_acked += acked;
        if (conn->bytes_acked < conn->cwnd)
            return;
        conn->bytes_acked -= conn->cwnd;
        conn->cwnd += conn->mss;
    }
    conn->cwnd = tcp_min(conn->cwnd, MAX_CWND);
}

static void
halve(struct tcp_conn *conn, uint32_t flight)
{
    conn->ssthresh = tcp_max(tcp_min(flight, conn->cwnd) / 2, 2u * conn->mss);
    conn->bytes_acked = 0;
}

void
tcp_cc_on_loss(struct tcp_conn *conn, uint32_t flight)
{
    halve(conn, flight);
    conn->cwnd = conn->ssthresh;
}

void
tcp_cc_on_timeout(struct tcp_conn *conn, uint32_t flight, bool first)
{
    if (first)
        halve(conn, flight);
    conn->cwnd = conn->mss;
}

uint32_t
tcp_cc_room(const struct tcp_conn *conn)
{
    uint32_t pipe;

    if (conn->config.congestion == TCP_CC_NONE)
        return MAX_CWND;
    pipe = tcp_pipe(conn);
    return conn->cwnd > pipe ? conn->cwnd - pipe : 0;
}

uint32_t
tcp_send_allowance(const struct tcp_conn *conn)
{
    if (conn->config.congestion == TCP_CC_NONE)
        return conn->snd_wnd;
    return tcp_min(conn->cwnd, conn->snd_wnd);
}
