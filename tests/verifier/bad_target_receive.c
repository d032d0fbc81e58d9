/*
 * The way in: the delivery algorithm. Everything of it runs in the target's one place, so
 * completions and indications of a connection never overlap (V-096, V-097); what is posted
 * meanwhile is seen by the loop.
 *
 *   data and a request      PLACE: copy, complete what is full
 *   data and no request     INDICATE, unless the host stack has refused and not posted since
 *   no data                 a partly filled request waits for more, PSH, or the push timer
 *
 * Sources: G:delivery-algorithm, D:w_tcp_offload_receive_handler,
 * D:ndis_tcp_offload_receive_indicate; V-090 … V-114.
 */
#include "bad_target.h"

#include <stdlib.h>

/* ---- chunks ---- */

struct bt_chunk *
bt_chunk_create(struct bad_target *target, ULONG bytes)
{
    struct bt_chunk *chunk = calloc(1, sizeof(*chunk) + bytes);
    ULONG first = bytes > 1 ? bytes / 2 : bytes;

    if (!chunk)
        return NULL;
    list_init(&chunk->link);
    chunk->mdls = NdisAllocateMdl(target->handle, chunk->bytes, first);
    if (chunk->mdls && first < bytes)
        chunk->mdls->Next = NdisAllocateMdl(target->handle, chunk->bytes + first, bytes - first);
    chunk->nbl = NdisAllocateNetBufferAndNetBufferList(target->chimney_pool, 0, 0, chunk->mdls, 0,
                                                       bytes);
    if (!chunk->nbl)
        abort();
    return chunk;
}

void
bt_chunk_destroy(struct bt_chunk *chunk)
{
    MDL *next;

    list_del(&chunk->link);
    NdisFreeNetBufferList(chunk->nbl);
    for (MDL *mdl = chunk->mdls; mdl; mdl = next) {
        next = mdl->Next;
        NdisFreeMdl(mdl);
    }
    free(chunk);
}

/* The first bytes are delivered. */
static void
consume(struct bt_conn *conn, struct bt_chunk *chunk, ULONG bytes)
{
    nbl_advance(chunk->nbl, bytes);
    if (nbl_length(chunk->nbl))
        return;
    conn->last_push = chunk->push;
    bt_chunk_destroy(chunk);
}

void
bt_segment(struct bt_conn *conn, struct bt_chunk *chunk)
{
    if (conn->stopped || conn->terminating || conn->aborted) {
        bt_chunk_destroy(chunk);
        conn->held++;
        return;
    }
    conn->state.RcvNxt += nbl_length(chunk->nbl);
    list_add_tail(&conn->buffered, &chunk->link);
}

/* ---- requests ---- */

static bool
is_no_push(const NET_BUFFER_LIST *nbl)
{
    return (ULONG_PTR)NET_BUFFER_LIST_INFO(nbl, TcpReceiveNoPush) & 0xff;
}

static bool
is_prefilled(const NET_BUFFER_LIST *nbl)
{
    return NET_BUFFER_LIST_INFO(nbl, TcpReceiveBytesTransferred) != NULL;
}

static void
finish_first(struct bt_conn *conn, NDIS_STATUS status)
{
    NET_BUFFER_LIST *nbl = bt_queue_take(&conn->posted);

    bt_finish(&conn->object.target->received, nbl, status, conn->filled);
    conn->filled = 0;
}

void
bt_fail_receives(struct bt_conn *conn, NDIS_STATUS status)
{
    while (conn->posted.head)
        finish_first(conn, status);
}

NDIS_STATUS
bt_receive(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
           PNET_BUFFER_LIST NetBufferList)
{
    struct bad_target *target = MiniportAdapterContext;
    struct bt_conn *conn = bt_conn_find(target, MiniportOffloadContext);
    NDIS_STATUS status = NDIS_STATUS_PENDING;
    NET_BUFFER_LIST *next;

    if (conn && conn->aborted)
        status = NDIS_STATUS_REQUEST_ABORTED;
    else if (!conn || conn->stopped || conn->terminating)
        status = NDIS_STATUS_UPLOAD_IN_PROGRESS;
    else if (conn->fin_indicated)
        status = NDIS_STATUS_INVALID_STATE;
    for (NET_BUFFER_LIST *nbl = NetBufferList; nbl; nbl = next) {
        next = nbl->Next;
        if (status == NDIS_STATUS_PENDING)
            bt_queue_add(&conn->posted, nbl);
        else
            bt_finish(&target->received, nbl, status, 0);
    }
    if (conn) {
        conn->posts++;
        conn->refused = false;
    }
    bt_kick(target);
    return NDIS_STATUS_PENDING;
}

/* ---- the push timer ---- */

void
bt_push_stop(struct bt_conn *conn)
{
    if (conn->push_running)
        NdisCancelTimerObject(conn->push);
    conn->push_running = conn->push_expired = false;
}

static void
push_start(struct bt_conn *conn)
{
    const NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS *parameters = &conn->object.target->parameters;
    LARGE_INTEGER due = {.QuadPart = -(LONGLONG)parameters->TcpPushTicks * 10000000 /
                                     parameters->TicksPerSecond};

    conn->push_running = true;
    conn->push_expired = false;
    NdisSetTimerObject(conn->push, due, 0, conn);
}

VOID
bt_push_timer(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2,
              PVOID SystemSpecific3)
{
    struct bt_conn *conn = FunctionContext;

    conn->push_running = false;
    conn->push_expired = true;
    bt_kick(conn->object.target);
}

/* What a partly filled request waits for. */
static void
settle_push(struct bt_conn *conn, bool placed)
{
    NET_BUFFER_LIST *nbl = conn->posted.head;

    if (!nbl || is_no_push(nbl) || !(conn->filled || is_prefilled(nbl))) {
        bt_push_stop(conn);
    } else if ((conn->filled && placed && conn->last_push) || conn->push_expired) {
        finish_first(conn, NDIS_STATUS_SUCCESS);
        bt_push_stop(conn);
    } else if (placed || !conn->push_running) {
        push_start(conn);
    }
}

/* ---- delivery ---- */

static bool
place(struct bt_conn *conn)
{
    bool placed = false;

    while (conn->posted.head && !list_empty(&conn->buffered)) {
        NET_BUFFER_LIST *nbl = conn->posted.head;
        struct bt_chunk *chunk = list_first(&conn->buffered, struct bt_chunk, link);
        ULONG room = nbl_length(nbl) - conn->filled, copied = 0;

        if (room) {
            NdisCopyFromNetBufferToNetBuffer(nbl->FirstNetBuffer, conn->filled, room,
                                             chunk->nbl->FirstNetBuffer, 0, &copied);
            conn->filled += copied;
            consume(conn, chunk, copied);
            placed |= copied > 0;
        }
        if (conn->filled == nbl_length(nbl)) {
            finish_first(conn, NDIS_STATUS_SUCCESS);
            bt_push_stop(conn);
        }
    }
    return placed;
}

static void
take_back(struct bt_conn *conn, struct bt_chunk *chunk, ULONG consumed)
{
    list_del(&chunk->link);
    list_add_head(&conn->buffered, &chunk->link);
    if (consumed)
        consume(conn, chunk, consumed);
}

/* After SUCCESS the chunk is the host stack's and may be back already. */
static void
indicate(struct bt_conn *conn)
{
    struct bad_target *target = conn->object.target;
    struct bt_chunk *chunk = list_first(&conn->buffered, struct bt_chunk, link);
    unsigned posts = conn->posts;
    ULONG consumed = 0;
    NDIS_STATUS status;

    list_del(&chunk->link);
    list_add_tail(&target->lent, &chunk->link);
    status = target->up.NdisTcpOffloadReceiveHandler(conn->object.handle, chunk->nbl,
                                                     NDIS_STATUS_SUCCESS, &consumed);
    if (status == NDIS_STATUS_SUCCESS)
        return;
    take_back(conn, chunk, status == NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED ? consumed : 0);
    conn->refused = posts == conn->posts;
}

static void
settle_fin(struct bt_conn *conn)
{
    struct bad_target *target = conn->object.target;

    if (!conn->fin_received || conn->fin_indicated || !list_empty(&conn->buffered))
        return;
    if (conn->filled)
        finish_first(conn, NDIS_STATUS_SUCCESS);
    bt_flush(target);
    conn->fin_indicated = true;
    target->up.NdisTcpOffloadEventHandler(conn->object.handle, TcpIndicateDisconnect, 0);
    bt_fail_receives(conn, NDIS_STATUS_INVALID_STATE);
    if (conn->state.State == TcpConnectionTimeWait)
        bt_retrieve(conn, UploadRequested);
}

void
bt_deliver(struct bt_conn *conn)
{
    bool placed = false;

    while (!list_empty(&conn->buffered)) {
        if (conn->posted.head) {
            placed |= place(conn);
            continue;
        }
        bt_flush(conn->object.target); /* completions first; they may bring requests */
        if (conn->posted.head)
            continue;
        if (conn->refused)
            break;
        indicate(conn);
    }
    settle_push(conn, placed);
    settle_fin(conn);
}

NDIS_STATUS
bt_receive_return(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    struct bad_target *target = MiniportAdapterContext;
    NET_BUFFER_LIST *next;

    for (; NetBufferList; NetBufferList = next) {
        next = NetBufferList->Next;
        list_for_each_safe(chunk, &target->lent, struct bt_chunk, link) {
            if (chunk->nbl == NetBufferList) {
                bt_chunk_destroy(chunk);
                break;
            }
        }
    }
    bt_kick(target);
    return NDIS_STATUS_SUCCESS;
}

/* ---- forward ---- */

#define TCP_HEADER 20u
#define TCP_PSH 0x08u

static ULONG
read_seq(const UCHAR *header)
{
    return (ULONG)header[4] << 24 | (ULONG)header[5] << 16 | (ULONG)header[6] << 8 | header[7];
}

/* As if it had come from the wire; what does not fit is dropped. */
static void
take_segment(struct bt_conn *conn, NET_BUFFER_LIST *nbl)
{
    UCHAR storage[TCP_HEADER];
    const UCHAR *header = NdisGetDataBuffer(nbl->FirstNetBuffer, TCP_HEADER, storage, 1, 0);
    ULONG offset, length, copied;
    struct bt_chunk *chunk;

    if (!header || read_seq(header) != conn->state.RcvNxt)
        return;
    offset = (header[12] >> 4) * 4u;
    length = nbl->FirstNetBuffer->DataLength;
    if (offset < TCP_HEADER || length <= offset)
        return;
    chunk = bt_chunk_create(conn->object.target, length - offset);
    if (!chunk)
        return;
    chunk->push = header[13] & TCP_PSH;
    NdisCopyFromNetBufferToNetBuffer(chunk->nbl->FirstNetBuffer, 0, length - offset,
                                     nbl->FirstNetBuffer, offset, &copied);
    bt_segment(conn, chunk);
}

NDIS_STATUS
bt_forward(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
           PNET_BUFFER_LIST NetBufferList)
{
    struct bad_target *target = MiniportAdapterContext;
    struct bt_conn *conn = bt_conn_find(target, MiniportOffloadContext);
    NET_BUFFER_LIST *next;

    for (NET_BUFFER_LIST *nbl = NetBufferList; nbl; nbl = next) {
        next = nbl->Next;
        if (!conn || conn->stopped || conn->terminating) {
            NET_BUFFER_LIST_STATUS(nbl) = NDIS_STATUS_UPLOAD_IN_PROGRESS;
        } else if (conn->aborted) {
            NET_BUFFER_LIST_STATUS(nbl) = NDIS_STATUS_REQUEST_ABORTED;
        } else {
            NET_BUFFER_LIST_STATUS(nbl) = NDIS_STATUS_SUCCESS;
            take_segment(conn, nbl);
            target->forwards++;
        }
        nbl_chain_add(&target->forwarded, nbl);
    }
    bt_kick(target);
    return NDIS_STATUS_PENDING;
}
