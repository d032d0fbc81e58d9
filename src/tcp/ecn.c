/*
 * Explicit congestion notification. As a receiver: a mark (CE) on a segment that brings data is
 * echoed (ECE) with every acknowledgement until the sender says that it has slowed down (CWR). As a
 * sender: an echo reduces the window as a loss does, once per window of data, and whatever the
 * window was reduced for, the next new data says CWR. A window of one segment is not reduced:
 * instead of that the next new segment waits for as long as a retransmission would (section 6.1.2).
 * Only new data is sent as capable (ECT(0)): retransmissions, probes and bare acknowledgements are
 * not, so that marking one cannot take the place of losing it. Source: RFC 3168 section 6.1.
 */
#include "tcp/private.h"

void
tcp_ecn_input(struct tcp_conn *conn, const struct tcp_segment *segment)
{
    if (!conn->config.ecn)
        return;
    if (segment->flags & TCP_CWR)
        conn->flags &= ~TCP_CONN_ECHO_CE;
    if (segment->ecn == TCP_CE)
        conn->flags |= TCP_CONN_ECHO_CE;
}

void
tcp_ecn_advance(struct tcp_conn *conn)
{
    if (conn->flags & TCP_CONN_ECN_REACTED && seq_after(conn->snd_una, conn->ecn_seq))
        conn->flags &= ~TCP_CONN_ECN_REACTED;
}

unsigned
tcp_ecn_on_echo(struct tcp_conn *conn, uint32_t flight, uint64_t now_us)
{
    if (conn->flags & TCP_CONN_ECN_REACTED)
        return 0;
    if (conn->config.congestion != TCP_CC_NONE &&
        tcp_congestion_window(conn) <= conn->mss) /* it cannot get smaller, but slower */
        conn->ecn_wait_us = now_us + conn->rto_us;
    conn->flags &= ~TCP_CONN_UNDO; /* this reduction is no mistake */
    tcp_cc_on_loss(conn, flight);
    return TCP_EV_WINDOW;
}

bool
tcp_ecn_waits(struct tcp_conn *conn, uint64_t now_us)
{
    if (!conn->config.ecn || now_us >= conn->ecn_wait_us)
        return false;
    if (conn->rtx_deadline_us == TCP_NEVER)
        conn->rtx_deadline_us = conn->ecn_wait_us;
    return true;
}

void
tcp_ecn_reduced(struct tcp_conn *conn)
{
    if (!conn->config.ecn)
        return;
    conn->flags |= TCP_CONN_ECN_REACTED | TCP_CONN_CWR_DUE;
    conn->ecn_seq = conn->snd_max;
}

void
tcp_ecn_output(struct tcp_conn *conn, struct tcp_out *out)
{
    if (!conn->config.ecn || !out->len || out->retransmission)
        return;
    out->ecn = TCP_ECT0;
    if (conn->flags & TCP_CONN_CWR_DUE)
        out->flags |= TCP_CWR;
    conn->flags &= ~TCP_CONN_CWR_DUE;
}
