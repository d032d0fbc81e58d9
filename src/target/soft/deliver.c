/*
 * The delivery algorithm (chimney 6.2). It is one loop over buffered data and posted requests:
 *
 *   data and a request      PLACE: copy, complete what is full
 *   data and no request     INDICATE one frame, unless it was refused and nothing posted since
 *   no data                 done; a partly filled request waits for more, PSH or the push timer
 *
 * One frame, whatever RcvIndicationSize says: that is a hint. None that is small while very
 * many small ones are not returned (receive.c).
 *
 * The documented "busy" flag is the service of the connection itself: posts, returns and segments
 * that come while it runs only change the lists, and the loop sees them; so completions and
 * indications of one connection never overlap (V-096, V-097), and nothing is indicated while a
 * request is there (V-106).
 */
#include "base/log.h"
#include "target/soft/conn.h"

static bool
is_no_push(const NET_BUFFER_LIST *nbl)
{
    return (uintptr_t)NET_BUFFER_LIST_INFO(nbl, TcpReceiveNoPush) & 0xff;
}

static uint32_t
prefilled(const NET_BUFFER_LIST *nbl)
{
    return (uint32_t)(uintptr_t)NET_BUFFER_LIST_INFO(nbl, TcpReceiveBytesTransferred);
}

/* The first bytes of the first buffered frame are delivered. */
static void
consume(struct soft_conn *conn, struct soft_frame *frame, uint32_t bytes)
{
    soft_watch_delivered(conn, bytes);
    conn->buffered_bytes -= bytes;
    frame->chunk.seq += bytes;
    frame->chunk.offset += bytes;
    frame->chunk.len -= bytes;
    if (frame->chunk.len) {
        if (conn->ack_returned)
            soft_receive_acknowledge(conn);
        return;
    }
    list_del(&frame->link);
    soft_receive_consumed(conn, frame);
}

/* PLACE. True if anything was copied; *pushed: its last byte ended a pushed segment. */
static bool
place(struct soft_conn *conn, bool *pushed)
{
    bool placed = false;

    while (!list_empty(&conn->posted) && !list_empty(&conn->buffered)) {
        NET_BUFFER_LIST *nbl = soft_nbl_first(&conn->posted);
        struct soft_frame *frame = list_first(&conn->buffered, struct soft_frame, link);
        uint32_t bytes = soft_nbl_length(nbl) - conn->filled;
        if (bytes > frame->chunk.len)
            bytes = frame->chunk.len;
        if (bytes) {
            soft_nb_write(NET_BUFFER_LIST_FIRST_NB(nbl), conn->filled,
                          frame->buf->data + frame->payload + frame->chunk.offset, bytes);
            conn->filled += bytes;
            *pushed = frame->chunk.push && bytes == frame->chunk.len;
            consume(conn, frame, bytes);
            placed = true;
        }
        if (conn->filled == soft_nbl_length(nbl)) {
            soft_receive_settle(conn, NDIS_STATUS_SUCCESS);
            conn->push_deadline_us = SYS_NEVER;
        }
    }
    return placed;
}

/* Takes a frame back that the host stack did not, or not wholly, accept. */
static void
refuse(struct soft_conn *conn, struct soft_frame *frame, uint32_t consumed)
{
    uint32_t len = frame->chunk.len;

    conn->object.adapter->lent--;
    conn->lent_bytes -= len;
    conn->lent_crumbs -= soft_is_crumb(frame);
    conn->buffered_bytes += len;
    list_del(&frame->link);
    list_add_head(&conn->buffered, &frame->link);
    frame->conn = NULL;
    soft_frame_unwrap(frame);
    conn->refused = true;
    if (consumed)
        consume(conn, frame, consumed < len ? consumed : len);
}

/* The next is small, and the host stack has enough of those: what it returns makes room. */
static bool
sits_on_crumbs(const struct soft_conn *conn)
{
    return conn->lent_crumbs >= SOFT_CRUMBS_MAX &&
           soft_is_crumb(list_first(&conn->buffered, struct soft_frame, link));
}

/* INDICATE the first buffered frame. After SUCCESS the frame may already be gone. False: it cannot
 * be done now. */
static bool
indicate(struct soft_conn *conn)
{
    struct soft_adapter *adapter = conn->object.adapter;
    struct soft_frame *frame = list_first(&conn->buffered, struct soft_frame, link);
    uint32_t len = frame->chunk.len;
    ULONG consumed = 0;

    if (!soft_frame_wrap(frame, adapter->chimney_pool, frame->payload + frame->chunk.offset, len)) {
        soft_retrieve(conn, UploadRequested);
        return false;
    }
    list_del(&frame->link);
    list_add_tail(&conn->lent, &frame->link);
    frame->conn = conn;
    conn->buffered_bytes -= len;
    conn->lent_bytes += len;
    conn->lent_crumbs += soft_is_crumb(frame);
    soft_watch_unposted(conn, len);
    adapter->lent++;
    NDIS_STATUS status = adapter->up.NdisTcpOffloadReceiveHandler(conn->object.handle, frame->nbl,
                                                                  NDIS_STATUS_SUCCESS, &consumed);
    if (status == NDIS_STATUS_SUCCESS)
        soft_watch_delivered(conn, len);
    else
        refuse(conn, frame, status == NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED ? consumed : 0);
    return true;
}

/* What a partly filled request waits for. */
static void
settle_push(struct soft_conn *conn, bool placed, bool pushed)
{
    struct soft_adapter *adapter = conn->object.adapter;
    NET_BUFFER_LIST *nbl = soft_nbl_first(&conn->posted);
    uint64_t now_us = soft_now_us(adapter);

    if (!nbl || is_no_push(nbl) || !(conn->filled || prefilled(nbl))) {
        conn->push_deadline_us = SYS_NEVER;
    } else if ((conn->filled && placed && pushed) || now_us >= conn->push_deadline_us) {
        soft_receive_settle(conn, NDIS_STATUS_SUCCESS);
        conn->push_deadline_us = SYS_NEVER;
        conn->again = true;
    } else if (placed || conn->push_deadline_us == SYS_NEVER) {
        conn->push_deadline_us = now_us + adapter->params.push_us;
    }
}

/* The peer has finished and everything before its FIN is delivered. Of one that had finished before
 * the initiate the host stack knows; what was handed over with it goes first all the same. */
static void
settle_fin(struct soft_conn *conn)
{
    if (!conn->fin_received || !list_empty(&conn->buffered))
        return;
    if (conn->filled)
        soft_receive_settle(conn, NDIS_STATUS_SUCCESS);
    soft_complete(conn);
    if (!conn->fin_indicated) {
        conn->fin_indicated = true;
        log_debug("soft conn %p: the peer has finished", (void *)conn);
        conn->object.adapter->up.NdisTcpOffloadEventHandler(conn->object.handle,
                                                            TcpIndicateDisconnect, 0);
    }
    soft_receive_fail(conn, NDIS_STATUS_INVALID_STATE);
}

void
soft_deliver(struct soft_conn *conn)
{
    bool placed = false, pushed = false;

    if (conn->phase != SOFT_OPEN && conn->phase != SOFT_STOPPED)
        return;
    while (!list_empty(&conn->buffered)) {
        if (conn->posted_new)
            conn->refused = false;
        conn->posted_new = false;
        if (!list_empty(&conn->posted)) {
            placed |= place(conn, &pushed);
            continue;
        }
        soft_complete(conn);
        if (!list_empty(&conn->posted))
            continue;
        if (conn->refused || sits_on_crumbs(conn) || !indicate(conn))
            break;
    }
    conn->posted_new = false;
    settle_push(conn, placed, pushed);
    settle_fin(conn);
    soft_complete(conn);
}
