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

#include "mutant.h"

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
bt_finish(struct stream_chain *chain, NET_BUFFER_LIST *nbl, NDIS_STATUS status, ULONG bytes)
{
    NET_BUFFER_LIST_STATUS(nbl) = status;
    NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred) = (PVOID)(ULONG_PTR)bytes;
    stream_advance(nbl, bytes);
    stream_chain_add(chain, nbl);
}

/* V-078 and V-094, by variant: no count; a count too large; not advanced; no status. */
void
bt_finish_badly(unsigned rule, struct stream_chain *chain, NET_BUFFER_LIST *nbl, NDIS_STATUS status,
                ULONG bytes)
{
    if (bytes && bad_once_v(rule, 3)) {
        NET_BUFFER_LIST_STATUS(nbl) = status;
        NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred) = (PVOID)(ULONG_PTR)bytes;
        stream_chain_add(chain, nbl);
        return;
    }
    bt_finish(chain, nbl, status, bytes);
    if (bytes && bad_once_v(rule, 1))
        NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred) = NULL;
    if (bytes && bad_once_v(rule, 2))
        NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred) = (PVOID)(ULONG_PTR)(bytes + 1);
}

/* The first two change places. Mutations only. */
void
bt_swap(struct stream_chain *chain)
{
    NET_BUFFER_LIST *first = chain->head, *second = first->Next;

    first->Next = second->Next;
    second->Next = first;
    chain->head = second;
    if (chain->tail == second)
        chain->tail = first;
}

/* The rule about what completes exactly once. */
static unsigned
once_rule(const struct bad_target *target, const struct stream_chain *chain)
{
    if (chain == &target->sent)
        return 74;
    if (chain == &target->received)
        return 91;
    return chain == &target->forwarded ? 117 : 120;
}

static bool
flush_one(struct bad_target *target, struct stream_chain *chain,
          NDIS_TCP_OFFLOAD_SEND_COMPLETE complete)
{
    unsigned rule = once_rule(target, chain);
    NET_BUFFER_LIST *list = stream_chain_take(chain);

    if (!list || bad_once_v(rule, 3)) /* or never */
        return false;
    if (rule == 74 && bad(191)) {
        NdisAcquireSpinLock(&target->lock);
        complete(target->handle, list);
        NdisReleaseSpinLock(&target->lock);
        return true;
    }
    target->completing = rule == 91;
    complete(target->handle, list);
    target->completing = false;
    if (bad_once_v(rule, 2))
        complete(target->handle, list);
    return true;
}

/* Disconnects go one by one (V-125). */
static bool
flush_closed(struct bad_target *target)
{
    NET_BUFFER_LIST *next, *list = stream_chain_take(&target->closed);
    bool any = list != NULL;

    for (; list; list = next) {
        struct stream_chain one = {NULL, NULL};

        next = list->Next;
        stream_chain_add(&one, list);
        if (target->stowaway)
            stream_chain_add(&one, target->stowaway);
        target->stowaway = NULL;
        flush_one(target, &one, target->up.NdisTcpOffloadDisconnectComplete);
    }
    return any;
}

void
bt_flush(struct bad_target *target)
{
    bool any;

    if (target->sent.head && target->closed.head && bad(123)) /* it does not wait for them */
        flush_closed(target);
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
    ULONG length = stream_length(nbl);

    target->wrong += stream_wrong(nbl, length, conn->port, false, conn->queued_seq);
    conn->queued_seq += length;
}

/* What is the host stack's in an NBL. Mutations only. */
static void
spoil_nbl(struct bad_target *target, NET_BUFFER_LIST *nbl)
{
    if (bad_v(87, 1))
        nbl->ProtocolReserved[1] = target;
    if (bad_v(87, 2))
        NdisAllocateNetBufferListContext(nbl, 32, 0, BT_TAG);
}

void
bt_send_adopt(struct bt_conn *conn, NET_BUFFER_LIST *chain)
{
    NET_BUFFER_LIST *next;

    for (; chain; chain = next) {
        next = chain->Next;
        queue_bytes(conn, chain);
        spoil_nbl(conn->object.target, chain);
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

    if (conn && helps_v(82, 1)) /* of no harm by itself */
        bt_event(conn, TcpIndicateSendBacklogChange, conn->state.SndWnd);
    if (target->indicating && bad(146))
        bt_terminate_early(target);
    if (conn && conn->stopped && !conn->sends.head && bad(152))
        status = NDIS_STATUS_REQUEST_ABORTED;
    if (status == NDIS_STATUS_PENDING && bad_once_v(74, 1)) {
        conn->queued_seq += stream_length(NetBufferList);
        bt_finish(&target->sent, NetBufferList, NDIS_STATUS_SUCCESS, stream_length(NetBufferList));
        bt_flush(target);
        return NDIS_STATUS_PENDING;
    }
    if (status == NDIS_STATUS_PENDING)
        bt_send_adopt(conn, NetBufferList);
    for (NET_BUFFER_LIST *nbl = NetBufferList; nbl && status != NDIS_STATUS_PENDING; nbl = next) {
        next = nbl->Next;
        bt_finish(&target->sent, nbl, status, 0);
    }
    bt_kick(target);
    return bad_v(73, 1)   ? NDIS_STATUS_SUCCESS
           : bad_v(73, 2) ? NDIS_STATUS_RESOURCES
                          : NDIS_STATUS_PENDING;
}

static ULONG
acknowledged(const NET_BUFFER_LIST *nbl)
{
    return (ULONG)(ULONG_PTR)nbl->MiniportReserved[1];
}

void
bt_sends_finish(struct bt_conn *conn)
{
    struct stream_chain *sent = &conn->object.target->sent;
    bool first = !sent->head;

    while (conn->sends.head && acknowledged(conn->sends.head) == stream_length(conn->sends.head)) {
        NET_BUFFER_LIST *nbl = bt_queue_take(&conn->sends);

        if (conn->close && !conn->sends.head && bad_once(125)) {
            struct stream_chain one = {NULL, NULL};

            bt_finish(&one, nbl, NDIS_STATUS_SUCCESS, acknowledged(nbl));
            conn->object.target->stowaway = nbl;
            continue;
        }
        bt_finish_badly(78, sent, nbl, NDIS_STATUS_SUCCESS, acknowledged(nbl));
    }
    if (first && sent->head && sent->head->Next && bad_once(75))
        bt_swap(sent);
}

void
bt_fail_sends(struct bt_conn *conn, NDIS_STATUS status)
{
    struct stream_chain *sent = &conn->object.target->sent;
    bool later = false, partly = false;

    while (conn->sends.head) {
        NET_BUFFER_LIST *nbl = bt_queue_take(&conn->sends);
        ULONG bytes = acknowledged(nbl);

        if (bad_v(81, 1))
            status = NDIS_STATUS_FAILURE;
        if (later && bad_once(79))
            bt_finish(sent, nbl, NDIS_STATUS_SUCCESS, stream_length(nbl));
        else if (partly && bad_once(80))
            bt_finish(sent, nbl, status, 10);
        else
            bt_finish(sent, nbl, status, bytes);
        later = true;
        partly |= bytes > 0;
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

    if (status == NDIS_STATUS_PENDING && bad_once(126))
        status = NDIS_STATUS_UPLOAD_IN_PROGRESS;
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
    return bad_v(120, 1) ? NDIS_STATUS_SUCCESS : NDIS_STATUS_PENDING;
}

/* V-123: sends first; posted receives end with them. */
static void
abort_by_us(struct bt_conn *conn)
{
    conn->aborted = true;
    conn->state.State = TcpConnectionClosed;
    bt_fail_sends(conn,
                  bad_v(123, 2) ? NDIS_STATUS_UPLOAD_IN_PROGRESS : NDIS_STATUS_REQUEST_ABORTED);
    bt_fail_receives(conn, NDIS_STATUS_REQUEST_ABORTED);
    if (!helps_v(123, 1))
        bt_flush(conn->object.target);
    bt_fail_close(conn, NDIS_STATUS_SUCCESS);
    if (bad(129))
        *conn->object.cell = NULL;
}

static void
settle_close(struct bt_conn *conn)
{
    bool too_early = conn->close && conn->sends.head && bad_once_v(124, 1);

    if (!conn->close || ((conn->sends.head || !conn->fin_acked) && !too_early))
        return;
    if (stream_length(conn->close) && bad_v(124, 2))
        conn->close->MiniportReserved[1] = NULL;
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
