/*
 * Proportional rate reduction: while a recovery lasts, what may be sent depends on what was
 * delivered. As long as more is in the network than the threshold, a share of each delivery goes
 * out, so that the window comes down to the threshold over one round trip instead of in one gap. If
 * the losses alone have brought it lower, it climbs back as in slow start (the SSRB bound). Each
 * acknowledgement sets the congestion window to what that comes to; when recovery ends it is the
 * threshold. Source: RFC 6937.
 */
#include "tcp/private.h"

void
tcp_prr_start(struct tcp_conn *conn, uint32_t flight)
{
    conn->prr_flight = tcp_max(flight, 1);
    conn->prr_delivered = conn->prr_out = 0;
}

void
tcp_prr_on_ack(struct tcp_conn *conn, uint32_t delivered)
{
    uint32_t pipe = tcp_pipe(conn), room;
    uint64_t share;

    conn->prr_delivered += delivered;
    if (pipe > conn->ssthresh) {
        share = (uint64_t)conn->prr_delivered * conn->ssthresh + conn->prr_flight - 1;
        share /= conn->prr_flight;
        room = share > conn->prr_out ? (uint32_t)(share - conn->prr_out) : 0;
    } else {
        uint32_t owed = conn->prr_delivered > conn->prr_out ? conn->prr_delivered - conn->prr_out
                                                            : 0;
        room = tcp_min(conn->ssthresh - pipe, tcp_max(owed, delivered) + conn->mss);
    }
    conn->cwnd = tcp_min(pipe + room, TCP_MAX_CWND);
}

void
tcp_prr_on_sent(struct tcp_conn *conn, uint32_t bytes)
{
    if (conn->flags & TCP_CONN_RECOVERY)
        conn->prr_out += bytes;
}
