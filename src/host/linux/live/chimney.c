/*
 * The leg that faces the target: lends the kernel's bytes to it as sends, takes what it has
 * received, and listens to its events. A send is at most a quarter of the backlog, because it
 * completes only whole; a received NBL stays lent until the kernel has acknowledged its bytes, and
 * the wire acknowledges no further (ack = returned).
 */
#include "base/log.h"
#include "host/linux/live/live.h"
#include "host/linux/stack.h"

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

static struct live_conn *
conn_of(struct host_conn *down)
{
    return container_of(down, struct live_conn, down);
}

/* ---- the kernel's bytes, down ---- */

static bool
lend(struct live_conn *conn, struct live_frame *frame, uint32_t seq, uint32_t offset, uint32_t len)
{
    struct live_send *send = calloc(1, sizeof *send);

    if (!send)
        return false;
    send->nbl = host_nbl_create(conn->stack->host,
                                frame->buf->data + frame->payload_offset + offset, len, NULL, 0);
    if (!send->nbl) {
        free(send);
        return false;
    }
    send->frame = live_frame_get(frame);
    send->seq = seq;
    send->len = len;
    send->tsval = frame->chunk.tsval;
    list_add_tail(&conn->sends, &send->link);
    if (conn->phase == LIVE_OFFLOADED || conn->phase == LIVE_DRAIN)
        host_send(&conn->down, send->nbl);
    return true;
}

static void
lend_chunk(struct live_conn *conn, struct tcp_chunk *chunk)
{
    struct live_frame *frame = container_of(chunk, struct live_frame, chunk);
    uint32_t most = conn->backlog / 4 > conn->local.mss ? conn->backlog / 4 : conn->local.mss;
    bool lent = !conn->send_gap;

    for (uint32_t done = 0; done < chunk->len && lent;) {
        uint32_t len = chunk->len - done < most ? chunk->len - done : most;
        lent = lend(conn, frame, chunk->seq + done, chunk->offset + done, len);
        done += len;
    }
    live_frame_put(frame);
    if (lent)
        return;
    conn->send_gap = true;
    live_upload(conn, HOSTSTACK_NO_MEMORY);
}

/* The kernel closed its half: so do we, behind everything sent. */
static void
post_fin(struct live_conn *conn)
{
    NET_BUFFER_LIST *nbl = host_nbl_create(conn->stack->host, NULL, 0, NULL, 0);

    if (!nbl) {
        live_upload(conn, HOSTSTACK_NO_MEMORY);
        return;
    }
    conn->fin_posted = true;
    host_disconnect(&conn->down, nbl, TCP_DISCONNECT_GRACEFUL_CLOSE);
}

/*
 * Where the peer has finished meanwhile the kernel goes on at once, and its FIN goes out with what
 * it acknowledges. The target's would acknowledge less: the kernel's socket would go with the
 * answer to it before the peer had heard that its own end has arrived.
 */
void
live_send_taken(struct live_conn *conn)
{
    struct tcp_chunk *chunk;

    while ((chunk = tcp_take(&conn->local)))
        lend_chunk(conn, chunk);
    if (conn->fin_from_kernel && !conn->fin_posted && !conn->fin_from_peer && !conn->send_gap &&
        conn->phase == LIVE_OFFLOADED)
        post_fin(conn);
}

NET_BUFFER_LIST *
live_send_chain(struct live_conn *conn)
{
    NET_BUFFER_LIST *head = NULL, **tail = &head;

    list_for_each(send, &conn->sends, struct live_send, link) {
        *tail = send->nbl;
        tail = &NET_BUFFER_LIST_NEXT_NBL(send->nbl);
    }
    *tail = NULL;
    return head;
}

static void
free_send(struct live_send *send)
{
    list_del(&send->link);
    if (send->nbl)
        host_nbl_destroy(send->nbl);
    live_frame_put(send->frame);
    free(send);
}

void
live_free_sends(struct live_conn *conn)
{
    list_for_each_safe(send, &conn->sends, struct live_send, link) {
        free_send(send);
    }
}

/* Acknowledged by the peer: now, and only now, the kernel may forget it. */
static void
on_sent(struct host_conn *down, NET_BUFFER_LIST *nbl)
{
    struct live_conn *conn = conn_of(down);
    struct live_send *send = NULL;

    list_for_each(at, &conn->sends, struct live_send, link) {
        if (at->nbl == nbl) {
            send = at;
            break;
        }
    }
    if (!send) {
        log_error("live %llu: completion of an unknown send", (unsigned long long)conn->id);
        host_nbl_destroy(nbl);
        return;
    }
    if (NET_BUFFER_LIST_STATUS(nbl) != NDIS_STATUS_SUCCESS) {
        host_nbl_destroy(
            nbl); /* being uploaded or reset: what is left is settled at the terminate */
        send->nbl = NULL;
        if (conn->phase == LIVE_OFFLOADED && !conn->discard) {
            conn->send_gap = true;
            live_upload(conn, HOSTSTACK_TARGET_ASKED);
        }
        return;
    }
    conn->bytes_out += send->len;
    conn->stack->totals.engine_bytes_out += send->len;
    if (conn->local_live) {
        tcp_acknowledge(&conn->local, send->seq + send->len, send->tsval,
                        hoststack_now_us(conn->stack));
        live_dirty(conn);
    }
    free_send(send);
}

static void
on_disconnected(struct host_conn *down, NET_BUFFER_LIST *nbl)
{
    struct live_conn *conn = conn_of(down);
    bool delivered = NET_BUFFER_LIST_STATUS(nbl) == NDIS_STATUS_SUCCESS;

    host_nbl_destroy(nbl);
    if (conn->abort_posted) {
        live_terminate(conn);
        return;
    }
    if (!delivered || !conn->local_live)
        return;
    conn->finished = true;
    tcp_acknowledge(&conn->local, conn->local.rcv_nxt, conn->tsval_next,
                    hoststack_now_us(conn->stack));
    live_dirty(conn);
}

void
live_abort_wire(struct live_conn *conn, enum hoststack_reason reason)
{
    if (conn->abort_posted || conn->phase == LIVE_DEAD)
        return;
    conn->end_reason = reason;
    if (conn->phase != LIVE_OFFLOADED && conn->phase != LIVE_DRAIN) {
        conn->discard = true;
        return;
    }
    NET_BUFFER_LIST *nbl = host_nbl_create(conn->stack->host, NULL, 0, NULL, 0);
    if (!nbl) {
        live_upload(conn, HOSTSTACK_NO_MEMORY); /* the kernel resets it: it has no socket for it */
        return;
    }
    conn->abort_posted = true;
    conn->discard = true;
    conn->frozen = true;
    host_disconnect(&conn->down, nbl, TCP_DISCONNECT_ABORTIVE_CLOSE);
}

/* ---- the peer's bytes, up ---- */

static NDIS_STATUS
on_indicate(struct host_conn *down, NET_BUFFER_LIST *nbl, ULONG *consumed)
{
    struct live_conn *conn = conn_of(down);
    uint32_t len = NET_BUFFER_DATA_LENGTH(NET_BUFFER_LIST_FIRST_NB(nbl));
    struct live_receive *receive;

    *consumed = 0;
    if (!conn->local_live || conn->discard)
        return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
    receive = calloc(1, sizeof *receive);
    if (!receive) {
        live_upload(conn, HOSTSTACK_NO_MEMORY); /* it would not be offered again */
        return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
    }
    receive->nbl = nbl;
    receive->seq = conn->receive_end;
    receive->len = len;
    conn->receive_end += len;
    list_add_tail(&conn->receives, &receive->link);
    tcp_queue(&conn->local, len);
    live_dirty(conn);
    *consumed = len;
    return NDIS_STATUS_SUCCESS;
}

void
live_return_acked(struct live_conn *conn)
{
    NET_BUFFER_LIST *head = NULL, **tail = &head;

    list_for_each_safe(receive, &conn->receives, struct live_receive, link) {
        if (seq_after(receive->seq + receive->len, conn->local.snd_una))
            break;
        conn->returned_seq = receive->seq + receive->len;
        conn->bytes_in += receive->len;
        conn->stack->totals.engine_bytes_in += receive->len;
        if (conn->cursor == receive)
            conn->cursor = NULL;
        *tail = receive->nbl;
        tail = &NET_BUFFER_LIST_NEXT_NBL(receive->nbl);
        list_del(&receive->link);
        free(receive);
    }
    *tail = NULL;
    if (head)
        host_receive_return(&conn->down, head);
}

/* ---- forward, events ---- */

/* The target believes what it gets here. */
void
live_forward(struct live_conn *conn, NET_BUFFER_LIST *nbl)
{
    struct tcp_segment segment;
    uint16_t tcp_offset;

    if (live_nbl_parse(nbl, &segment, &tcp_offset) ||
        !live_nbl_intact(nbl, tcp_offset, segment.header_len + segment.payload_len)) {
        host_return_frames(conn->port->binding, nbl);
        return;
    }
    struct iovec pieces[2];
    uint32_t len = segment.header_len + segment.payload_len;
    size_t count = live_nbl_pieces(nbl, tcp_offset, len, pieces, 2);
    NET_BUFFER_LIST *forward = count ? host_nbl_create(conn->stack->host, pieces[0].iov_base,
                                                       (ULONG)pieces[0].iov_len,
                                                       count > 1 ? pieces[1].iov_base : NULL,
                                                       count > 1 ? (ULONG)pieces[1].iov_len : 0)
                                     : NULL;
    if (!forward) {
        host_return_frames(conn->port->binding, nbl);
        return;
    }
    forward->ProtocolReserved[2] = nbl;
    NET_BUFFER_LIST_INFO(forward, TcpForwardEcn) = (PVOID)(uintptr_t)segment.ecn;
    NET_BUFFER_LIST_INFO(forward, TcpLargeSendNetBufferListInfo) = NET_BUFFER_LIST_INFO(
        nbl, TcpLargeSendNetBufferListInfo);
    host_forward(&conn->down, forward);
}

/* One that the target has not processed because it gives the connection back is the kernel's, with
 * the others that come meanwhile (chimney 6.3). */
static void
on_forwarded(struct host_conn *down, NET_BUFFER_LIST *nbl)
{
    struct live_conn *conn = conn_of(down);
    NET_BUFFER_LIST *frame = nbl->ProtocolReserved[2];
    bool going_home = conn->phase == LIVE_DRAIN || conn->phase == LIVE_TERMINATE;

    if (going_home && NET_BUFFER_LIST_STATUS(nbl) == NDIS_STATUS_UPLOAD_IN_PROGRESS)
        live_hold_in(conn, frame);
    else
        host_return_frames(conn->port->binding, frame);
    host_nbl_destroy(nbl);
}

static void
on_received(struct host_conn *down, NET_BUFFER_LIST *nbl)
{
    log_error("live %llu: completion of a receive that was never posted",
              (unsigned long long)conn_of(down)->id);
}

/* The peer finished: its FIN goes to the kernel; it is acknowledged on the wire by the kernel
 * itself, after the upload. */
static void
peer_finished(struct live_conn *conn)
{
    if (conn->fin_from_peer || !conn->local_live)
        return;
    conn->fin_from_peer = true;
    tcp_queue_fin(&conn->local);
    live_dirty(conn);
}

/* The peer reset: so do we, towards the kernel; nothing goes back. */
static void
peer_reset(struct live_conn *conn)
{
    conn->discard = true;
    conn->end_reason = HOSTSTACK_RESET_BY_PEER;
    if (conn->local_live) {
        tcp_abort(&conn->local);
        live_local_output(conn);
    }
    live_terminate(conn);
}

static enum hoststack_reason
upload_reason(ULONG info)
{
    return info == TimeoutExpiration ? HOSTSTACK_TIMEOUT : HOSTSTACK_TARGET_ASKED;
}

static void
on_event(struct host_conn *down, ULONG type, ULONG info)
{
    struct live_conn *conn = conn_of(down);

    switch (type) {
    case TcpIndicateDisconnect:
        peer_finished(conn);
        break;
    case TcpIndicateAbort:
        peer_reset(conn);
        break;
    case TcpIndicateRetrieve:
        live_upload(conn, upload_reason(info));
        break;
    case TcpIndicateSendBacklogChange:
        conn->backlog = info;
        if (conn->local_live)
            live_dirty(conn);
        break;
    default:
        break;
    }
}

const struct host_conn_ops live_conn_ops = {
    .on_initiated = live_on_initiated,
    .on_terminated = live_on_terminated,
    .on_updated = live_on_updated,
    .on_queried = live_on_queried,
    .on_sent = on_sent,
    .on_received = on_received,
    .on_disconnected = on_disconnected,
    .on_forwarded = on_forwarded,
    .on_indicate = on_indicate,
    .on_event = on_event,
};
