/*
 * What to send next, one segment or superframe per call. The order: RST, a probe, duplicate ACKs
 * owed, what is being resent, new data, FIN, and if nothing else carried it, a bare ACK. Everything
 * carries the ack point, the window, timestamps and SACK blocks; the payload per segment shrinks by
 * what the options take. A superframe consists of whole segments, except at the end of the data.
 *
 * New data waits for four reasons: the congestion window has no room for a segment, or is so small
 * that an ECN echo cannot reduce it (ecn.c), Nagle (a small
 * segment while anything is outstanding), or the silly window (a small segment because the peer's
 * window is small, until a timer lets it go). Source: RFC 9293 sections 3.7.4 and 3.8.6, RFC 5681,
 * RFC 6675 section 5, RFC 2018, RFC 7323.
 */
#include "tcp/private.h"

struct piece {
    uint32_t seq, len;
    bool fin;
};

/* What every segment of this call looks like. */
struct shape {
    struct tcp_range blocks[4];
    unsigned block_count;
    bool dsack;
    uint32_t segment; /* payload bytes of one */
    uint32_t limit;   /* of a superframe, whole segments */
};

/* ---- building ---- */

static void
make_shape(const struct tcp_conn *conn, uint32_t max_bytes, struct shape *shape)
{
    shape->block_count = tcp_sack_blocks(conn, shape->blocks, &shape->dsack);
    shape->segment = conn->mss;
    if (shape->block_count)
        shape->segment -= 4 + 8 * shape->block_count;
    max_bytes = tcp_min(max_bytes, TCP_MAX_BURST);
    if (max_bytes < shape->segment)
        shape->segment = tcp_max(max_bytes, 1);
    shape->limit = max_bytes < 2 * shape->segment ? shape->segment
                                                  : max_bytes - max_bytes % shape->segment;
}

static uint32_t
window_end(const struct tcp_conn *conn)
{
    return conn->snd_una + conn->snd_wnd;
}

uint32_t
tcp_timestamp(const struct tcp_conn *conn, uint64_t now_us)
{
    const struct tcp_config *config = &conn->config;

    return config->ts_offset + (config->ts_tick_us ? (uint32_t)(now_us / config->ts_tick_us) : 0);
}

/* Fills in all but payload and extra flags, and takes the acknowledgement as sent. The timestamp,
 * if there is one. */
static uint32_t
start_segment(struct tcp_conn *conn, uint64_t now_us, const struct shape *shape,
              struct tcp_out *out)
{
    uint32_t stamp = 0;

    out->ack = conn->rcv_ack;
    out->window = tcp_show_window(conn);
    out->len = 0;
    out->segment_size = 0;
    out->flags = TCP_ACK | (conn->flags & TCP_CONN_ECHO_CE ? TCP_ECE : 0);
    out->ecn = TCP_NOT_ECT;
    out->retransmission = false;
    out->option_len = 0;
    if (conn->config.timestamps) {
        stamp = tcp_timestamp(conn, now_us);
        out->option_len = tcp_put_timestamp(out->options, stamp, conn->ts_recent);
    }
    if (shape->block_count)
        out->option_len += tcp_put_sack(out->options + out->option_len, shape->blocks,
                                        shape->block_count);
    if (shape->dsack)
        conn->flags &= ~TCP_CONN_DSACK;
    conn->flags &= ~(TCP_CONN_ACK_NOW | TCP_CONN_ECHO_FRESH | TCP_CONN_UPDATE_HELD);
    conn->last_ack_sent = conn->rcv_ack;
    conn->delack_deadline_us = TCP_NEVER;
    if (conn->rcv_ack == conn->rcv_nxt)
        conn->pending_segments = 0;
    return stamp;
}

/* A number the peer accepts even if it took some of its window back. */
static uint32_t
bare_seq(const struct tcp_conn *conn)
{
    return seq_before(window_end(conn), conn->snd_max) ? seq_max(window_end(conn), conn->snd_una)
                                                       : conn->snd_max;
}

static bool
send_bare(struct tcp_conn *conn, uint64_t now_us, const struct shape *shape, uint32_t seq,
          struct tcp_out *out)
{
    start_segment(conn, now_us, shape, out);
    out->seq = seq;
    conn->counters.segments_out++;
    return true;
}

static bool
send_reset(struct tcp_conn *conn, uint64_t now_us, struct tcp_out *out)
{
    struct shape plain = {.block_count = 0};

    send_bare(conn, now_us, &plain, bare_seq(conn), out);
    out->flags = TCP_ACK | TCP_RST;
    conn->counters.resets_out++;
    conn->flags |= TCP_CONN_SILENT;
    return true;
}

/* Our FIN goes for the first time. */
static void
fin_sent(struct tcp_conn *conn)
{
    conn->flags |= TCP_CONN_FIN_SENT;
    conn->fin_seq = conn->snd_end;
    if (conn->state == TCP_ESTABLISHED)
        tcp_set_state(conn, TCP_FIN_WAIT_1, "FIN sent");
    else if (conn->state == TCP_CLOSE_WAIT && conn->rcv_ack == conn->rcv_nxt)
        tcp_set_state(conn, TCP_LAST_ACK, "FIN sent");
    else if (conn->state == TCP_CLOSE_WAIT) /* the peer's is not acknowledged: they cross */
        tcp_set_state(conn, TCP_CLOSING, "FIN sent");
}

static void
account_new(struct tcp_conn *conn, const struct piece *piece, uint64_t now_us)
{
    conn->counters.bytes_out += piece->len;
    conn->snd_nxt = conn->snd_max = piece->seq + piece->len + piece->fin;
    if (piece->fin && !(conn->flags & TCP_CONN_FIN_SENT))
        fin_sent(conn);
    if (!(conn->flags & (TCP_CONN_RTT_TIMING | TCP_CONN_RECOVERY | TCP_CONN_LOSS))) {
        conn->flags |= TCP_CONN_RTT_TIMING;
        conn->rtt_seq = piece->seq;
        conn->rtt_sent_us = now_us;
    }
}

static bool
send_piece(struct tcp_conn *conn, uint64_t now_us, const struct shape *shape,
           const struct piece *piece, struct tcp_out *out)
{
    uint32_t segments = tcp_segments(piece->len, shape->segment);

    conn->ts_sent = start_segment(conn, now_us, shape, out);
    out->seq = piece->seq;
    out->len = piece->len;
    out->segment_size = segments > 1 ? (uint16_t)shape->segment : 0;
    out->flags |= piece->fin ? TCP_FIN : 0;
    if (piece->len && piece->seq + piece->len == conn->snd_end)
        out->flags |= TCP_PSH;
    out->retransmission = seq_before(piece->seq, conn->snd_max);
    tcp_ecn_output(conn, out);
    conn->counters.segments_out += segments;
    conn->flags &= ~TCP_CONN_SWS_OVERRIDE;
    conn->sws_deadline_us = TCP_NEVER; /* or it would let a small one go behind this */
    tcp_rack_on_sent(conn, piece->seq, piece->seq + piece->len + piece->fin, out->retransmission,
                     now_us);
    tcp_prr_on_sent(conn, piece->len);
    conn->last_data_us = now_us;
    if (out->retransmission) {
        conn->counters.retransmitted_segments += segments;
        conn->counters.retransmitted_bytes += piece->len;
        conn->undo_bytes += piece->len;
        conn->flags &= ~TCP_CONN_RTX_DUE;
        if (conn->flags & TCP_CONN_RTT_TIMING)
            tcp_rtt_by_echo(conn, conn->rtt_seq);
    } else {
        account_new(conn, piece, now_us);
    }
    if (conn->rtx_deadline_us == TCP_NEVER || piece->seq == conn->snd_una)
        tcp_start_rtx(conn, now_us);
    tcp_start_tail(conn, now_us);
    return true;
}

/* ---- choosing ---- */

/* Whole segments the congestion window lets go again; one more than that if it is due. */
static uint32_t
resend_budget(struct tcp_conn *conn, const struct shape *shape)
{
    uint32_t room = tcp_cc_room(conn);

    if (room >= shape->segment)
        return tcp_min(room - room % shape->segment, shape->limit);
    if (conn->flags & TCP_CONN_RTX_DUE)
        return shape->segment;
    conn->flags |= TCP_CONN_CWND_LIMITED;
    return 0;
}

/* Old bytes from seq to end, which may lie behind our FIN. */
static void
old_piece(const struct tcp_conn *conn, const struct shape *shape, uint32_t seq, uint32_t end,
          uint32_t budget, struct piece *piece)
{
    uint32_t data_end = seq_min(end, conn->snd_end);
    uint32_t len = seq_before(seq, data_end) ? data_end - seq : 0;

    if (len > budget)
        len = budget;
    if (len > shape->segment && seq + len != data_end)
        len -= len % shape->segment;
    piece->seq = seq;
    piece->len = len;
    piece->fin = seq + len == conn->snd_end && seq_after(end, conn->snd_end);
}

/* The first hole that is lost and has not gone again. */
static bool
find_lost(struct tcp_conn *conn, uint32_t *seq, uint32_t *end)
{
    if (conn->config.sack)
        return tcp_rack_next_lost(conn, seq, end);
    *seq = seq_max(conn->rtx_seq, conn->snd_una);
    *end = seq_min(conn->lost_seq, conn->snd_max);
    return conn->flags & TCP_CONN_RECOVERY && seq_before(*seq, *end);
}

static bool
choose_lost(struct tcp_conn *conn, const struct shape *shape, struct piece *piece)
{
    uint32_t seq, end, budget;

    if (!find_lost(conn, &seq, &end))
        return false;
    budget = resend_budget(conn, shape);
    if (!budget)
        return false;
    old_piece(conn, shape, seq, end, budget, piece);
    conn->rtx_seq = seq + piece->len + piece->fin;
    return true;
}

static bool
choose_resend(struct tcp_conn *conn, const struct shape *shape, struct piece *piece)
{
    uint32_t end, seq = tcp_next_hole(conn, conn->snd_nxt, conn->snd_max, &end), budget;

    if (seq_after_eq(seq, end)) {
        conn->snd_nxt = conn->snd_max;
        return false;
    }
    budget = resend_budget(conn, shape);
    if (!budget)
        return false;
    old_piece(conn, shape, seq, end, budget, piece);
    conn->snd_nxt = seq + piece->len + piece->fin;
    return true;
}

/* With SACK new data, whatever the congestion window says, or the last segment: the answer shows
 * every hole. Without, the first. */
static bool
choose_tail(struct tcp_conn *conn, const struct shape *shape, struct piece *piece)
{
    uint32_t end = conn->snd_nxt, seq = conn->snd_una, room;

    conn->flags &= ~TCP_CONN_TAIL_DUE;
    conn->tail_seq = end;
    if (seq_after_eq(seq, end))
        return false;
    if (!conn->config.sack) {
        old_piece(conn, shape, seq, end, shape->segment, piece);
        return true;
    }
    room = seq_after(window_end(conn), end) ? window_end(conn) - end : 0;
    room = tcp_min(room, shape->segment);
    if (end == conn->snd_max && seq_before(end, conn->snd_end) && room) {
        *piece = (struct piece){end, tcp_min(room, conn->snd_end - end), .fin = false};
        return true;
    }
    if (end == conn->snd_max) { /* below that all goes again anyway, and tells nothing */
        conn->flags |= TCP_CONN_TAIL_OPEN;
        conn->flags &= ~TCP_CONN_TAIL_REDUCED;
    }
    seq = seq_max(seq, seq_min(end, conn->snd_end) - shape->segment);
    old_piece(conn, shape, seq, end, shape->segment, piece);
    return true;
}

/* How much of len may go when it is less than all there is, or ends in a small segment; 0: wait. */
static uint32_t
hold_small(struct tcp_conn *conn, const struct shape *shape, uint32_t len, bool all, bool fin)
{
    uint32_t whole = len - len % shape->segment;

    if (all) {
        bool idle = !tcp_outstanding(conn) && !whole;
        return whole == len || !conn->config.nagle || fin || idle ? len : whole;
    }
    if (whole)
        return whole;
    if (conn->flags & TCP_CONN_SWS_OVERRIDE || len >= conn->max_snd_wnd / 2)
        return len;
    return 0;
}

static void
note_limit(struct tcp_conn *conn, bool congestion)
{
    if (congestion)
        conn->flags |= TCP_CONN_CWND_LIMITED;
    else
        conn->flags &= ~TCP_CONN_CWND_LIMITED;
}

static bool
choose_new(struct tcp_conn *conn, uint64_t now_us, const struct shape *shape, struct piece *piece)
{
    uint32_t avail = conn->snd_end - conn->snd_nxt, room, window, len, limit = shape->limit;
    bool fin = conn->flags & TCP_CONN_FIN_QUEUED;

    if (conn->flags & TCP_CONN_FIN_SENT || (!avail && !fin)) {
        note_limit(conn, false);
        return false;
    }
    if (tcp_ecn_waits(conn, now_us))
        return false;
    window = seq_after(window_end(conn), conn->snd_nxt) ? window_end(conn) - conn->snd_nxt : 0;
    *piece = (struct piece){conn->snd_nxt, 0, fin};
    if (!avail)
        return window > 0;
    if (!tcp_outstanding(conn))
        tcp_cc_on_idle(conn, now_us);
    room = tcp_cc_room(conn);
    if (conn->flags & TCP_CONN_CWR_DUE)
        limit = shape->segment; /* it goes with one segment, not with each of a superframe */
    len = tcp_min(tcp_min(avail, window), tcp_min(room, limit));
    if (room < shape->segment && room < avail)
        len = 0; /* not a small segment because of congestion */
    if (len)
        len = hold_small(conn, shape, len, len == avail, fin);
    if (!len) {
        bool congestion = room < window && room < avail;
        note_limit(conn, congestion);
        if (!congestion && !tcp_outstanding(conn) && conn->sws_deadline_us == TCP_NEVER)
            conn->sws_deadline_us = tcp_after_us(now_us, conn->config.sws_us);
        return false;
    }
    piece->len = len;
    piece->fin = fin && len == avail && window > len;
    return true;
}

static bool
choose(struct tcp_conn *conn, uint64_t now_us, const struct shape *shape, struct piece *piece)
{
    if (!conn->snd_wnd) {
        if (conn->rtx_deadline_us == TCP_NEVER && tcp_rtx_wanted(conn))
            tcp_start_persist(conn, now_us);
        return false;
    }
    if (conn->flags & TCP_CONN_TAIL_DUE && choose_tail(conn, shape, piece))
        return true;
    if (choose_lost(conn, shape, piece))
        return true;
    if (conn->snd_nxt != conn->snd_max) {
        if (choose_resend(conn, shape, piece))
            return true;
        if (conn->snd_nxt != conn->snd_max)
            return false;
    }
    return choose_new(conn, now_us, shape, piece);
}

bool
tcp_next(struct tcp_conn *conn, uint64_t now_us, uint32_t max_bytes, struct tcp_out *out)
{
    struct shape shape;
    struct piece piece;

    if (conn->flags & TCP_CONN_SILENT)
        return false;
    if (conn->flags & TCP_CONN_RST_DUE)
        return send_reset(conn, now_us, out);
    make_shape(conn, max_bytes, &shape);
    if (conn->flags & TCP_CONN_PROBE_DUE) {
        conn->flags &= ~TCP_CONN_PROBE_DUE;
        return send_bare(conn, now_us, &shape, conn->snd_una - 1, out);
    }
    if (conn->ack_repeat) {
        conn->ack_repeat--;
        return send_bare(conn, now_us, &shape, bare_seq(conn), out);
    }
    if (conn->state != TCP_CLOSED && choose(conn, now_us, &shape, &piece))
        return send_piece(conn, now_us, &shape, &piece, out);
    if (conn->flags & TCP_CONN_ACK_NOW)
        return send_bare(conn, now_us, &shape, bare_seq(conn), out);
    if (conn->state != TCP_CLOSED && conn->flags & TCP_CONN_UPDATE_HELD)
        tcp_ack_within(conn, now_us, conn->config.sws_us);
    conn->flags &= ~TCP_CONN_UPDATE_HELD; /* or the next look would put it off */
    return false;
}

/* ---- orders ---- */

void
tcp_queue(struct tcp_conn *conn, uint32_t bytes)
{
    if (!(conn->flags & TCP_CONN_FIN_QUEUED))
        conn->snd_end += bytes;
}

void
tcp_queue_fin(struct tcp_conn *conn)
{
    conn->flags |= TCP_CONN_FIN_QUEUED;
    conn->fin_seq = conn->snd_end;
}

void
tcp_abort(struct tcp_conn *conn)
{
    if (conn->flags & TCP_CONN_SILENT || conn->state == TCP_CLOSED)
        return;
    tcp_finish(conn, "aborted");
    conn->flags |= TCP_CONN_RST_DUE;
}

void
tcp_set_mtu(struct tcp_conn *conn, uint32_t path_mtu)
{
    uint16_t old = conn->mss;

    if (path_mtu < conn->config.ip_header_len + TCP_MAX_HEADER + 8u)
        return;
    conn->config.path_mtu = path_mtu;
    tcp_update_mss(conn);
    conn->cwnd = tcp_max(conn->cwnd, conn->mss);
    if (conn->mss >= old || !tcp_outstanding(conn))
        return;
    /* what is outstanding was too big: again, without blaming congestion (RFC 1191, section 6.5) */
    tcp_recovery_stop(conn);
    tcp_rack_forgive(conn);
    conn->snd_nxt = conn->snd_una;
    conn->flags |= TCP_CONN_RTX_DUE;
}
