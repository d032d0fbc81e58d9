/*
 * What the peer is told: the ack point and the right edge, both moved by the caller, and when an
 * acknowledgement is due. rcv_nxt may run ahead of the ack point for as long as the caller likes;
 * the ACK field never does.
 *
 * A window field counts in units of 2^scale from the ack point, so the edge the caller set cannot
 * always be shown exactly. It is rounded down as long as nothing shown before is taken back, and up
 * otherwise; what the peer may use therefore lies less than one unit ahead of the caller's edge,
 * and once shown that edge stays shown. What was shown beyond it is accepted too. So a closed
 * window opens by a unit where there is room for a segment, or a buffer smaller than that would
 * never.
 *
 * An opening is worth an ACK of its own if it is two segments, or one and the peer could not send a
 * whole one before. A smaller one goes with the next ACK, or alone after the silly-window time
 * which also lets a buffer of less than two segments open. Source: RFC 9293 section
 * 3.8.6, RFC 1122 section 4.2.3.3, RFC 5681 section 4.2, RFC 7323 sections 2.4, 4.3 and 5.
 */
#include "tcp/private.h"

#define TIMESTAMP_STALE_US (24ull * 24 * 3600 * 1000000) /* ts_recent may have wrapped since */

uint32_t
tcp_right_edge(const struct tcp_conn *conn)
{
    return seq_max(conn->rcv_edge, conn->rcv_advertised);
}

uint16_t
tcp_show_window(struct tcp_conn *conn)
{
    uint8_t scale = conn->config.rcv_wscale;
    uint32_t promised = seq_min(conn->rcv_advertised, conn->rcv_edge), field;
    int32_t room = seq_diff(conn->rcv_edge, conn->rcv_ack);

    field = room > 0 ? (uint32_t)room >> scale : 0;
    if (room > 0 && seq_before(conn->rcv_ack + (field << scale), promised))
        field++;
    if (!field && room >= conn->mss) /* less than a unit: closed for ever, if it were not shown */
        field = 1;
    if (field > UINT16_MAX)
        field = UINT16_MAX;
    conn->rcv_advertised = seq_max(conn->rcv_advertised, conn->rcv_ack + (field << scale));
    return (uint16_t)field;
}

bool
tcp_timestamp_newer(const struct tcp_conn *conn, uint32_t tsval, uint64_t now_us)
{
    return seq_after_eq(tsval, conn->ts_recent) ||
           now_us - conn->ts_recent_us >= TIMESTAMP_STALE_US;
}

/* The first stamp since the last ACK is the one to echo: it belongs to the oldest segment the next
 * ACK covers. */
static void
take_echo(struct tcp_conn *conn, uint32_t tsval, uint64_t now_us)
{
    if (!conn->config.timestamps || conn->flags & TCP_CONN_ECHO_FRESH ||
        !tcp_timestamp_newer(conn, tsval, now_us))
        return;
    conn->ts_recent = tsval;
    conn->ts_recent_us = now_us;
    conn->flags |= TCP_CONN_ECHO_FRESH;
}

static bool
due_at_once(const struct tcp_conn *conn)
{
    const struct tcp_config *config = &conn->config;
    uint32_t waiting = conn->rcv_ack - conn->last_ack_sent;

    if (!config->delayed_ack_us || conn->pending_segments >= config->ack_frequency)
        return true;
    if (conn->flags & TCP_CONN_FIN_RECEIVED && conn->rcv_ack == conn->rcv_nxt)
        return true;
    return waiting >= (uint32_t)config->ack_frequency * conn->mss;
}

void
tcp_ack_within(struct tcp_conn *conn, uint64_t now_us, uint64_t delta_us)
{
    conn->delack_deadline_us = tcp_min_us(conn->delack_deadline_us, tcp_after_us(now_us, delta_us));
}

void
tcp_acknowledge(struct tcp_conn *conn, uint32_t ack_seq, uint32_t tsval, uint64_t now_us)
{
    ack_seq = seq_min(ack_seq, conn->rcv_nxt);
    if (conn->state == TCP_CLOSED || seq_before_eq(ack_seq, conn->rcv_ack))
        return;
    conn->rcv_ack = ack_seq;
    take_echo(conn, tsval, now_us);
    if (due_at_once(conn))
        conn->flags |= TCP_CONN_ACK_NOW;
    else
        tcp_ack_within(conn, now_us, conn->config.delayed_ack_us);
}

void
tcp_set_right_edge(struct tcp_conn *conn, uint32_t edge_seq)
{
    int32_t opening, shown = seq_diff(conn->rcv_advertised, conn->rcv_ack);
    bool opens = shown < conn->mss && seq_diff(edge_seq, conn->rcv_ack) >= conn->mss;

    if (conn->state == TCP_CLOSED || seq_before_eq(edge_seq, conn->rcv_edge))
        return;
    conn->rcv_edge = edge_seq;
    opening = seq_diff(edge_seq, conn->rcv_advertised);
    if (opening < 1 << conn->config.rcv_wscale && !opens)
        return; /* it would not be seen */
    if (opening >= 2 * conn->mss || (opens && opening >= conn->mss))
        conn->flags |= TCP_CONN_ACK_NOW;
    else
        conn->flags |= TCP_CONN_UPDATE_HELD;
}

void
tcp_ack_now(struct tcp_conn *conn)
{
    conn->flags |= TCP_CONN_ACK_NOW;
}

bool
tcp_ack_pending(const struct tcp_conn *conn)
{
    return !(conn->flags & TCP_CONN_SILENT) && (conn->flags & TCP_CONN_ACK_NOW || conn->ack_repeat);
}
