/*
 * The way out: sends and disconnects are queued, "transmitted" as far as the peer's window goes,
 * and complete when the peer has acknowledged them. An abortive disconnect ends everything else
 * first. Also what all completions have in common.
 *
 * Sources: D:w_tcp_offload_send_handler, D:ndis_tcp_offload_send_complete,
 * D:w_tcp_offload_disconnect_handler, D:ndis_tcp_offload_disconnect_complete; V-073 … V-081,
 * V-120 … V-126.
 */
#include "bad_target.h"

/* ---- queues and completions ---- */

void
bt_queue_add(struct bt_queue *queue, NET_BUFFER_LIST *nbl)
{
    nbl->Next = NULL;
    nbl->MiniportReserved[0] = nbl->MiniportReserved[1] = NULL;
    if (queue->head)
        queue->tail->MiniportReserved[0] = nbl;
    else
        queue->head = nbl;
    queue->tail = nbl;
}

NET_BUFFER_LIST *
bt_queue_take(struct bt_queue *queue)
{
    NET_BUFFER_LIST *nbl = queue->head;

    queue->head = nbl->MiniportReserved[0];
    if (!queue->head)
        queue->tail = NULL;
    return nbl;
}

void
bt_finish(struct nbl_chain *chain, NET_BUFFER_LIST *nbl, NDIS_STATUS status, ULONG bytes)
{
    NET_BUFFER_LIST_STATUS(nbl) = status;
    NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred) = (PVOID)(ULONG_PTR)bytes;
    nbl_advance(nbl, bytes);
    nbl_chain_add(chain, nbl);
}

static bool
flush_one(struct bad_target *target, struct nbl_chain *chain,
          NDIS_TCP_OFFLOAD_SEND_COMPLETE complete)
{
    NET_BUFFER_LIST *list = nbl_chain_take(chain);

    if (list)
        complete(target->handle, list);
    return list != NULL;
}

/* Disconnects go one by one (V-125). */
static bool
flush_closed(struct bad_target *target)
{
    NET_BUFFER_LIST *next, *list = nbl_chain_take(&target->closed);
    bool any = list != NULL;

    for (; list; list = next) {
        next = list->Next;
        list->Next = NULL;
        target->up.NdisTcpOffloadDisconnectComplete(target->handle, list);
    }
    return any;
}

void
bt_flush(struct bad_target *target)
{
    bool any;

    do {
        any = flush_one(target, &target->sent, target->up.NdisTcpOffloadSendComplete);
        any |= flush_one(target, &target->received, target->up.NdisTcpOffloadReceiveComplete);
        any |= flush_one(target, &target->forwarded, target->up.NdisTcpOffloadForwardComplete);
        any |= flush_closed(target);
    } while (any);
}

/* ---- sends ---- */

static void
queue_bytes(struct bt_conn *conn, const NET_BUFFER_LIST *nbl)
{
    struct bad_target *target = conn->object.target;
    ULONG length = nbl_length(nbl);

    target->wrong += nbl_wrong(nbl, length, conn->constant.LocalPort, false, conn->queued_seq);
    conn->queued_seq += length;
}

void
bt_send_adopt(struct bt_conn *conn, NET_BUFFER_LIST *chain)
{
    NET_BUFFER_LIST *next;

    for (; chain; chain = next) {
        next = chain->Next;
        queue_bytes(conn, chain);
        bt_queue_add(&conn->sends, chain);
    }
}

static NDIS_STATUS
status_of_new(const struct bt_conn *conn)
{
    if (conn && conn->aborted)
        return NDIS_STATUS_REQUEST_ABORTED;
    if (!conn || conn->stopped || conn->terminating)
        return NDIS_STATUS_UPLOAD_IN_PROGRESS;
    return NDIS_STATUS_PENDING;
}

NDIS_STATUS
bt_send(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
        PNET_BUFFER_LIST NetBufferList)
{
    struct bad_target *target = MiniportAdapterContext;
    struct bt_conn *conn = bt_conn_find(target, MiniportOffloadContext);
    NDIS_STATUS status = status_of_new(conn);
    NET_BUFFER_LIST *next;

    if (status == NDIS_STATUS_PENDING)
        bt_send_adopt(conn, NetBufferList);
    for (NET_BUFFER_LIST *nbl = NetBufferList; nbl && status != NDIS_STATUS_PENDING; nbl = next) {
        next = nbl->Next;
        bt_finish(&target->sent, nbl, status, 0);
    }
    bt_kick(target);
    return NDIS_STATUS_PENDING;
}

static ULONG
acknowledged(const NET_BUFFER_LIST *nbl)
{
    return (ULONG)(ULONG_PTR)nbl->MiniportReserved[1];
}

void
bt_sends_finish(struct bt_conn *conn)
{
    while (conn->sends.head && acknowledged(conn->sends.head) == nbl_length(conn->sends.head)) {
        NET_BUFFER_LIST *nbl = bt_queue_take(&conn->sends);

        bt_finish(&conn->object.target->sent, nbl, NDIS_STATUS_SUCCESS, acknowledged(nbl));
    }
}

void
bt_fail_sends(struct bt_conn *conn, NDIS_STATUS status)
{
    while (conn->sends.head) {
        NET_BUFFER_LIST *nbl = bt_queue_take(&conn->sends);

        bt_finish(&conn->object.target->sent, nbl, status, acknowledged(nbl));
    }
}

/* ---- disconnect ---- */

void
bt_fail_close(struct bt_conn *conn, NDIS_STATUS status)
{
    NET_BUFFER_LIST *nbl = conn->close;

    conn->close = NULL;
    if (nbl)
        bt_finish(&conn->object.target->closed, nbl, status, acknowledged(nbl));
}

static void
queue_fin(struct bt_conn *conn, NET_BUFFER_LIST *nbl)
{
    queue_bytes(conn, nbl);
    conn->queued_seq++; /* the FIN */
    conn->fin_queued = true;
    conn->state.State = conn->state.State == TcpConnectionCloseWait ? TcpConnectionLastAck
                                                                    : TcpConnectionFinWait1;
}

NDIS_STATUS
bt_disconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
              PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    struct bad_target *target = MiniportAdapterContext;
    struct bt_conn *conn = bt_conn_find(target, MiniportOffloadContext);
    NDIS_STATUS status = status_of_new(conn);

    if (status == NDIS_STATUS_PENDING && conn->close)
        status = NDIS_STATUS_REQUEST_ABORTED; /* one at a time: the host stack's mistake */
    if (status != NDIS_STATUS_PENDING) {
        bt_finish(&target->closed, NetBufferList, status, 0);
    } else {
        NetBufferList->MiniportReserved[1] = NULL;
        conn->close = NetBufferList;
        conn->close_flags = Flags;
        if (Flags & TCP_DISCONNECT_GRACEFUL_CLOSE)
            queue_fin(conn, NetBufferList);
    }
    bt_kick(target);
    return NDIS_STATUS_PENDING;
}

/* V-123: sends first; posted receives end with them. */
static void
abort_by_us(struct bt_conn *conn)
{
    conn->aborted = true;
    conn->state.State = TcpConnectionClosed;
    bt_fail_sends(conn, NDIS_STATUS_REQUEST_ABORTED);
    bt_fail_receives(conn, NDIS_STATUS_REQUEST_ABORTED);
    bt_flush(conn->object.target);
    bt_fail_close(conn, NDIS_STATUS_SUCCESS);
}

static void
settle_close(struct bt_conn *conn)
{
    if (!conn->close || conn->sends.head || !conn->fin_acked)
        return;
    bt_fail_close(conn, NDIS_STATUS_SUCCESS);
}

/* ---- what the peer's window lets out ---- */

static void
transmit(struct bt_conn *conn)
{
    TCP_OFFLOAD_STATE_DELEGATED *state = &conn->state;
    ULONG edge = state->SndUna + state->SndWnd;
    ULONG end = (LONG)(conn->queued_seq - edge) > 0 ? edge : conn->queued_seq;

    if ((LONG)(end - state->SndNxt) <= 0)
        return;
    bt_neighbor_check(conn);
    state->SndNxt = end;
    if ((LONG)(end - state->SndMax) > 0)
        state->SndMax = end;
    conn->object.target->tcp[((struct bt_path *)conn->object.parent)->ipv6].OutSegments++;
}

void
bt_service(struct bt_conn *conn)
{
    if (conn->aborted)
        return;
    if (conn->close && conn->close_flags == TCP_DISCONNECT_ABORTIVE_CLOSE && !conn->stopped) {
        abort_by_us(conn);
        return;
    }
    if (!conn->stopped && conn->object.parent)
        transmit(conn);
    bt_sends_finish(conn);
    settle_close(conn);
    if (!conn->stopped)
        bt_deliver(conn);
}
