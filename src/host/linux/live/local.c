/*
 * The local leg: a TCP of ours that the kernel socket takes for its peer. Sequence numbers are
 * those of the wire, so there is nothing to translate. It acknowledges the kernel's bytes only when
 * the wire's peer has (the target completed the send), and what it writes to the kernel stays lent
 * by the target until the kernel has acknowledged it.
 *
 * Its timestamp stands still at TsRecent: whatever the real peer sends after a hand-back is newer.
 * It echoes the timestamp of the oldest segment each acknowledgement covers, so the kernel measures
 * the wire's round trip.
 *
 * Where ECN was negotiated it speaks it, too: the kernel has said ECE for a mark that came before
 * the move until it hears CWR, and takes a segment that cannot be marked for a retransmission.
 *
 * Run-ahead: the right edge shown to the kernel is the ack point plus the target's send backlog,
 * never more than about one congestion window, or every hand-back would have to wait for megabytes.
 */
#include "base/log.h"
#include "host/linux/live/live.h"
#include "host/linux/stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { KERNEL_FIN_WAIT_2 = 5, KERNEL_CLOSE_WAIT = 8, KERNEL_LAST_ACK = 9 };

uint32_t
live_local_mtu(const struct live_conn *conn)
{
    uint32_t tap = wire_mtu(conn->port->tap);

    return conn->route.path_mtu < tap ? conn->route.path_mtu : tap;
}

static void
fill_config(const struct live_conn *conn, struct tcp_config *config)
{
    const struct steer_snapshot *snap = &conn->snap;

    tcp_config_defaults(config);
    config->timestamps = snap->has_timestamps;
    config->sack = snap->has_sack;
    config->window_scaling = snap->has_wscale;
    config->ecn = snap->ecn;
    config->snd_wscale =
        snap->rcv_wscale; /* we are the peer: windows the kernel shows are scaled by its own */
    config->rcv_wscale = snap->snd_wscale;
    config->ip_header_len = conn->key.family == AF_INET ? 20 : 40;
    config->remote_mss = (uint16_t)snap->advmss + (snap->has_timestamps ? 12 : 0);
    config->path_mtu = live_local_mtu(conn);
    config->nagle = false;
    config->congestion = TCP_CC_NONE;
    config->ts_tick_us = 0;
    config->ts_offset = snap->ts_recent;
    config->delayed_ack_us = 0;
    config->max_retransmissions = 0;
    config->keepalive = false;
    config->fin_wait_2_us = TCP_NEVER;
    config->probe_always = true; /* the peer's bytes wait behind the target, not here */
}

/* The kernel's states as its peer sees them, our own FIN not yet sent. */
static enum tcp_conn_state
mirrored_state(uint32_t kernel_state)
{
    switch (kernel_state) {
    case KERNEL_FIN_WAIT_2:
        return TCP_CLOSE_WAIT;
    case KERNEL_CLOSE_WAIT:
    case KERNEL_LAST_ACK:
        return TCP_FIN_WAIT_2;
    default:
        return TCP_ESTABLISHED;
    }
}

/* The stamp of the oldest segment the peer has not acknowledged: later ones must not look older
 * than it. */
static uint32_t
first_tsecr(const struct live_conn *conn)
{
    if (!list_empty(&conn->copies))
        return list_first(&conn->copies, struct live_frame, copy_link)->segment.tsval;
    if (conn->bridge.out_tsval_seen)
        return conn->bridge.out_tsval;
    return live_clock(conn) - 1;
}

bool
live_kernel_gone(const struct live_conn *conn)
{
    return conn->finished && mirrored_state(conn->snap.state) == TCP_FIN_WAIT_2;
}

int
live_local_start(struct live_conn *conn)
{
    const struct steer_snapshot *snap = &conn->snap;
    struct tcp_config config;
    struct tcp_state state = {
        .state = mirrored_state(snap->state),
        .rcv_nxt = snap->snd_una,
        .rcv_wnd = snap->snd_wnd,
        .snd_una = snap->rcv_nxt,
        .snd_nxt = snap->rcv_nxt,
        .snd_max = snap->rcv_nxt,
        .snd_end = snap->rcv_nxt,
        .snd_wnd = live_shown_window(snap),
        .snd_wl1 = snap->snd_una,
        .ssthresh = TCP_INFINITE_SSTHRESH,
        .ts_recent = first_tsecr(conn),
        .keepalive_delta_us = TCP_NEVER,
        .retransmit_delta_us = TCP_NEVER,
    };

    state.max_snd_wnd = state.snd_wnd;
    fill_config(conn, &config);
    int error = tcp_restore(&conn->local, &config, &state, hoststack_now_us(conn->stack));
    if (error)
        return error;
    conn->local_live = true;
    conn->frozen = conn->discard = conn->update_due = false;
    conn->fin_from_kernel = conn->fin_posted = conn->fin_from_peer = conn->fin_acked_by_kernel =
        false;
    conn->finished = conn->abort_posted = conn->upload_wanted = false;
    conn->receive_end = conn->returned_seq = snap->rcv_nxt;
    conn->shown_edge = snap->rcv_nxt + live_shown_window(snap);
    conn->send_gap = false;
    conn->cursor = NULL;
    uint32_t flight = snap->snd_cwnd * snap->mss;
    conn->backlog = flight + flight / 4 + LIVE_RUN_AHEAD_BYTES;
    if (conn->backlog > snap->snd_wnd)
        conn->backlog = snap->snd_wnd;
    list_for_each_safe(frame, &conn->copies, struct live_frame, copy_link) {
        list_del(&frame->copy_link);
        live_local_input(conn, frame);
        live_frame_put(frame);
    }
    return conn->send_gap ? -ENOMEM : 0;
}

void
live_local_stop(struct live_conn *conn)
{
    if (!conn->local_live)
        return;
    conn->local_live = false;
    struct tcp_chunk *chunk = tcp_close(&conn->local);
    while (chunk) {
        struct tcp_chunk *next = chunk->next;
        live_frame_put(container_of(chunk, struct live_frame, chunk));
        chunk = next;
    }
    list_for_each_safe(receive, &conn->receives, struct live_receive, link) {
        list_del(&receive->link);
        NET_BUFFER_LIST_NEXT_NBL(receive->nbl) = NULL;
        host_receive_return(&conn->down, receive->nbl);
        free(receive);
    }
    conn->cursor = NULL;
    sys_timer_set(&conn->local_timer, SYS_NEVER);
}

/* Only now, when every completion and every change of the backlog that came together is in. */
static void
show_edge(struct live_conn *conn)
{
    if (conn->frozen)
        return;
    tcp_set_right_edge(&conn->local, conn->local.rcv_ack + conn->backlog);
}

static void
free_dropped(struct live_conn *conn)
{
    struct tcp_chunk *chunk;

    while ((chunk = tcp_take_dropped(&conn->local)))
        live_frame_put(container_of(chunk, struct live_frame, chunk));
}

static void
on_events(struct live_conn *conn, unsigned events)
{
    if (events & TCP_EV_DROPPED)
        free_dropped(conn);
    if (events & TCP_EV_FIN)
        conn->fin_from_kernel = true;
    if (events & (TCP_EV_READY | TCP_EV_FIN))
        live_send_taken(conn);
    if (events & TCP_EV_FIN_ACKED)
        conn->fin_acked_by_kernel = true;
    if (events & TCP_EV_TIMEOUT)
        live_local_silent(conn);
    live_dirty(conn);
}

void
live_local_input(struct live_conn *conn, struct live_frame *frame)
{
    bool payload = frame->segment.payload_len > 0;

    if (live_kernel_gone(conn))
        return; /* said before it heard that it is over; answered, it would reset */
    if (frame->segment.flags & TCP_RST) {
        live_abort_wire(conn, HOSTSTACK_RESET_BY_OWNER);
        return;
    }
    if (frame->segment.has_timestamp)
        conn->tsval_next = frame->segment.tsval;
    if (payload)
        live_frame_get(frame);
    unsigned events = tcp_on_segment(&conn->local, &frame->segment, payload ? &frame->chunk : NULL,
                                     hoststack_now_us(conn->stack));
    if (payload && !(events & TCP_EV_KEPT))
        live_frame_put(frame);
    if (events & TCP_EV_URGENT) { /* the chimney sends none: this frame and all behind it wait */
        live_hold_out(conn, frame);
        live_upload(conn, HOSTSTACK_URGENT_DATA);
    }
    on_events(conn, events);
}

void
live_local_timer(void *arg)
{
    struct live_conn *conn = arg;

    if (conn->local_live)
        on_events(conn, tcp_on_timer(&conn->local, hoststack_now_us(conn->stack)));
}

/* The lent bytes [seq, seq + len) as pieces; 0: they do not fit max pieces. */
static size_t
find_bytes(struct live_conn *conn, uint32_t seq, uint32_t len, struct iovec *pieces, size_t max)
{
    struct live_receive *at = conn->cursor;
    size_t count = 0;

    if (!at || seq_before(seq, at->seq))
        at = list_first(&conn->receives, struct live_receive, link);
    for (; &at->link != &conn->receives && len;
         at = list_first(&at->link, struct live_receive, link)) {
        if (seq_after_eq(seq, at->seq + at->len))
            continue;
        uint32_t skip = seq - at->seq, here = at->len - skip < len ? at->len - skip : len;
        size_t got = live_nbl_pieces(at->nbl, skip, here, pieces + count, max - count);
        if (!got)
            return 0;
        conn->cursor = at;
        count += got;
        seq += here;
        len -= here;
    }
    return len ? 0 : count;
}

/* Copies the lent bytes [seq, seq + len) to one place; false: not all of them are lent. */
static bool
copy_bytes(struct live_conn *conn, uint32_t seq, uint32_t len, uint8_t *to)
{
    struct iovec pieces[WIRE_MAX_PIECES];

    list_for_each(at, &conn->receives, struct live_receive, link) {
        if (!len || seq_after_eq(seq, at->seq + at->len))
            continue;
        uint32_t skip = seq - at->seq, here = at->len - skip < len ? at->len - skip : len;
        size_t count = live_nbl_pieces(at->nbl, skip, here, pieces, WIRE_MAX_PIECES);
        if (!count)
            return false;
        for (size_t i = 0; i < count; i++) {
            memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
            to += pieces[i].iov_len;
        }
        seq += here;
        len -= here;
    }
    return len == 0;
}

/* A payload in too many pieces (many tiny segments) is copied together. */
static void
write_copied(struct live_conn *conn, const struct tcp_out *out)
{
    struct wire_buf *buf = wire_buf_create(WIRE_MAX_HEADER + out->len);
    struct wire_tx tx = {.piece_count = 1};

    if (!buf)
        return; /* as if lost: the leg retransmits */
    size_t header = live_frame_header(conn, out, true, buf->data, &tx.meta);
    struct iovec whole = {buf->data, header + out->len};
    tx.pieces = &whole;
    if (copy_bytes(conn, out->seq, out->len, buf->data + header)) {
        wire_send(conn->port->tap, &tx);
        wire_flush(conn->port->tap);
    }
    wire_buf_put(buf);
}

static int
write_segment(struct live_conn *conn, const struct tcp_out *out)
{
    uint8_t header[WIRE_MAX_HEADER];
    struct iovec pieces[WIRE_MAX_PIECES];
    struct wire_tx tx = {.header = header, .pieces = pieces};

    tx.header_len = live_frame_header(conn, out, true, header, &tx.meta);
    if (out->len) {
        tx.piece_count = find_bytes(conn, out->seq, out->len, pieces, WIRE_MAX_PIECES);
        if (!tx.piece_count) {
            write_copied(conn, out);
            return 0;
        }
    }
    return wire_send(conn->port->tap, &tx);
}

/* Everything the leg may say now. What the TAP does not take is lost to it and comes again. */
void
live_local_output(struct live_conn *conn)
{
    struct tcp_out out;

    if (!conn->local_live || conn->phase == LIVE_DEAD)
        return;
    live_return_acked(conn);
    live_update_edge(conn);
    show_edge(conn);
    while (tcp_next(&conn->local, hoststack_now_us(conn->stack), TCP_MAX_BURST, &out)) {
        if (write_segment(conn, &out) == -EAGAIN)
            break;
    }
    wire_flush(conn->port->tap);
    sys_timer_set(&conn->local_timer, tcp_deadline_us(&conn->local));
    if (conn->phase != LIVE_OFFLOADED)
        return;
    if (conn->fin_acked_by_kernel)
        live_upload(conn, HOSTSTACK_PEER_FINISHED);
    else if (live_kernel_gone(conn))
        live_upload(conn, HOSTSTACK_CLOSED); /* the peer had finished before */
}
