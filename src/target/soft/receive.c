/*
 * Received bytes between the engine and the host stack: what is in order is `buffered` until it is
 * delivered (deliver.c), then `lent` until the host stack gives the NBL back. Both lists are
 * ascending by sequence number.
 *
 * A window is a promise of bytes, and a frame of one byte holds hundreds. So what is small is
 * copied behind what nobody has taken yet, into the buffer that has room; and so that there is
 * something to be copied behind, no more of it is lent while the host stack sits on very many small
 * NBLs.
 *
 * Two ways to acknowledge. Ordinarily data is acknowledged as it is taken from the engine, and the
 * window shrinks by what is buffered or lent. With ack = returned (OURS: TCP_FLAG_ACK_RETURNED) the
 * ack point follows the returned NBLs instead, as far as they came back without a gap, and the
 * right edge moves by update alone: then nothing the target holds is the only copy of anything.
 */
#include "target/soft/conn.h"

#include <string.h>

/* ---- from the engine ---- */

/* Copies what fills less than half of its buffer behind the last of what is buffered. That one's
 * own frame stays as it arrived and may still go up; what is not acknowledged then and only here,
 * the peer sends again. */
static bool
append(struct soft_conn *conn, const struct soft_frame *frame)
{
    struct soft_frame *last = container_of(conn->buffered.prev, struct soft_frame, link);
    uint32_t end = last->payload + last->chunk.offset + last->chunk.len, len = frame->chunk.len;

    if (len > frame->buf->capacity / 2 || last->buf->refs != 1 || last->buf->capacity < end + len)
        return false;
    memcpy(last->buf->data + end, frame->buf->data + frame->payload + frame->chunk.offset, len);
    last->chunk.len += len;
    last->chunk.push |= frame->chunk.push;
    return true;
}

void
soft_receive_take(struct soft_conn *conn)
{
    struct tcp_chunk *chunk;
    uint32_t tsval = conn->tcp.ts_recent;
    bool first = true, piled = !list_empty(&conn->buffered);

    while ((chunk = tcp_take(&conn->tcp))) {
        struct soft_frame *frame = container_of(chunk, struct soft_frame, chunk);
        conn->buffered_bytes += chunk->len;
        if (first)
            tsval = chunk->tsval;
        first = false;
        if (piled && append(conn, frame))
            soft_frame_destroy(frame);
        else
            list_add_tail(&conn->buffered, &frame->link);
    }
    while ((chunk = tcp_take_dropped(&conn->tcp)))
        soft_frame_destroy(container_of(chunk, struct soft_frame, chunk));
    if (!conn->ack_returned && conn->tcp.rcv_ack != conn->tcp.rcv_nxt)
        tcp_acknowledge(&conn->tcp, conn->tcp.rcv_nxt, tsval, soft_now_us(conn->object.adapter));
}

void
soft_receive_edge(struct soft_conn *conn)
{
    const struct soft_adapter *adapter = conn->object.adapter;
    uint32_t used = conn->buffered_bytes + conn->lent_bytes, window, share;

    if (conn->ack_returned)
        return;
    window = conn->cached.InitialRcvWnd;
    share = soft_limits_share(adapter, adapter->connections);
    if (window > share)
        window = share;
    if (used < window)
        tcp_set_right_edge(&conn->tcp, conn->tcp.rcv_nxt + window - used);
}

/* ---- what was delivered ---- */

void
soft_receive_acknowledge(struct soft_conn *conn)
{
    uint32_t end = conn->tcp.rcv_ack, tsval = 0;
    bool any = false;

    while (!list_empty(&conn->lent)) {
        struct soft_frame *frame = list_first(&conn->lent, struct soft_frame, link);
        if (!frame->returned)
            break;
        if (!any)
            tsval = frame->chunk.tsval;
        any = true;
        end = seq_max(end, frame->chunk.seq + frame->chunk.len);
        soft_frame_destroy(frame);
    }
    /* Of the first one that is left the beginning may be delivered. */
    if (list_empty(&conn->lent) && !list_empty(&conn->buffered)) {
        struct soft_frame *frame = list_first(&conn->buffered, struct soft_frame, link);
        if (!any)
            tsval = frame->chunk.tsval;
        any = true;
        end = seq_max(end, frame->chunk.seq);
    }
    if (any && conn->phase != SOFT_ABORTED && end != conn->tcp.rcv_ack)
        tcp_acknowledge(&conn->tcp, end, tsval, soft_now_us(conn->object.adapter));
}

void
soft_receive_consumed(struct soft_conn *conn, struct soft_frame *frame)
{
    if (!conn->ack_returned) {
        soft_frame_destroy(frame);
        return;
    }
    soft_frame_release(frame);
    frame->returned = true;
    list_add_tail(&conn->lent, &frame->link);
    soft_receive_acknowledge(conn);
}

/* One NBL is back; frames nobody waits for (their connection is gone) just go. */
static void
take_back(struct soft_adapter *adapter, struct soft_frame *frame)
{
    struct soft_conn *conn = frame->conn;

    adapter->lent--;
    if (!conn) {
        soft_frame_destroy(frame);
        return;
    }
    conn->lent_bytes -= frame->chunk.len;
    conn->lent_crumbs -= soft_is_crumb(frame);
    if (conn->ack_returned) {
        soft_frame_release(frame);
        frame->returned = true;
        soft_receive_acknowledge(conn);
    } else {
        soft_frame_destroy(frame);
    }
    soft_dirty(conn);
}

NDIS_STATUS
SoftTcpOffloadReceiveReturn(NDIS_HANDLE MiniportAdapterContext, NET_BUFFER_LIST *NetBufferList)
{
    struct soft_adapter *adapter = MiniportAdapterContext;

    for (NET_BUFFER_LIST *nbl = NetBufferList, *next; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
        take_back(adapter, soft_frame_of(nbl));
    }
    return NDIS_STATUS_SUCCESS;
}

/* ---- posted requests ---- */

NDIS_STATUS
SoftTcpOffloadReceive(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                      NET_BUFFER_LIST *NetBufferList)
{
    struct soft_conn *conn = soft_conn_of(MiniportOffloadContext);

    for (NET_BUFFER_LIST *nbl = NetBufferList, *next; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        soft_nbl_enqueue(&conn->posted, nbl);
    }
    conn->posted_new = true;
    if (conn->phase == SOFT_STOPPED)
        soft_receive_fail(conn, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    else if (conn->phase == SOFT_ABORTED)
        soft_receive_fail(conn, NDIS_STATUS_REQUEST_ABORTED);
    else if (conn->fin_indicated && list_empty(&conn->buffered))
        soft_receive_fail(conn, NDIS_STATUS_INVALID_STATE);
    soft_dirty(conn);
    return NDIS_STATUS_PENDING;
}

void
soft_receive_settle(struct soft_conn *conn, NDIS_STATUS status)
{
    NET_BUFFER_LIST *nbl = soft_nbl_first(&conn->posted);

    list_del(soft_nbl_link(nbl));
    soft_nbl_settle(nbl, status, conn->filled);
    conn->filled = 0;
    soft_done(conn, &conn->done_receives, nbl);
}

void
soft_receive_fail(struct soft_conn *conn, NDIS_STATUS status)
{
    while (!list_empty(&conn->posted))
        soft_receive_settle(conn, status);
    conn->push_deadline_us = SYS_NEVER;
}

/* ---- handed over at initiate ---- */

static void
copy_out(const NET_BUFFER_LIST *nbl, uint8_t *to)
{
    for (NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb; nb = NET_BUFFER_NEXT_NB(nb)) {
        uint32_t left = NET_BUFFER_DATA_LENGTH(nb), offset = NET_BUFFER_CURRENT_MDL_OFFSET(nb);
        for (MDL *mdl = NET_BUFFER_CURRENT_MDL(nb); mdl && left; mdl = mdl->Next) {
            uint32_t step = MmGetMdlByteCount(mdl) - offset;
            if (step > left)
                step = left;
            memcpy(to, (uint8_t *)MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority) + offset,
                   step);
            to += step;
            left -= step;
            offset = 0;
        }
    }
}

bool
soft_receive_adopt(struct soft_conn *conn, NET_BUFFER_LIST *buffered, uint32_t rcv_nxt)
{
    uint32_t bytes = 0;

    for (NET_BUFFER_LIST *nbl = buffered; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl))
        bytes += soft_nbl_measure(nbl);
    if (!bytes)
        return true;
    struct wire_buf *buf = wire_buf_create(bytes);
    if (!buf)
        return false;
    struct soft_frame *frame = soft_frame_create(conn->object.adapter, buf, 0);
    wire_buf_put(buf);
    if (!frame)
        return false;
    uint8_t *to = buf->data;
    for (NET_BUFFER_LIST *nbl = buffered; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        copy_out(nbl, to);
        to += soft_nbl_measure(nbl);
    }
    buf->len = bytes;
    frame->whole = false;
    frame->chunk = (struct tcp_chunk){
        .seq = rcv_nxt - bytes, .len = bytes, .tsval = conn->tcp.ts_recent};
    list_add_tail(&conn->buffered, &frame->link);
    conn->buffered_bytes = bytes;
    conn->refused = true;
    return true;
}
