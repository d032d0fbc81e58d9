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

#include "mutant.h"

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

/* An empty second NET_BUFFER. Mutations only. */
void
bt_add_buffer(NET_BUFFER_LIST *nbl)
{
    static NET_BUFFER empty;

    nbl->FirstNetBuffer->Next = &empty;
}

/* The first bytes are delivered. */
static void
consume(struct bt_conn *conn, struct bt_chunk *chunk, ULONG bytes)
{
    stream_advance(chunk->nbl, bytes);
    if (stream_length(chunk->nbl))
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
    conn->state.RcvNxt += stream_length(chunk->nbl);
    list_add_tail(&conn->buffered, &chunk->link);
}

/* ---- requests ---- */

static bool place(struct bt_conn *conn);

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
    struct stream_chain *received = &conn->object.target->received;
    bool first = !received->head;

    if (status == NDIS_STATUS_SUCCESS && bad_once_v(95, 1))
        status = NDIS_STATUS_FAILURE;
    if (status == NDIS_STATUS_SUCCESS && bad_once_v(95, 2))
        status = NDIS_STATUS_INVALID_STATE;
    if (!stream_length(nbl) && bad_once_v(91, 1))
        return;
    bt_finish_badly(94, received, nbl, status, conn->filled);
    conn->filled = 0;
    if (!first && bad_once(92))
        bt_swap(received);
}

void
bt_fail_receives(struct bt_conn *conn, NDIS_STATUS status)
{
    while (conn->posted.head)
        finish_first(conn, status);
}

/* A request that is posted inside a completion or an indication of its connection is filled at
 * once, there. Mutations only. */
static void
deliver_inside(struct bt_conn *conn)
{
    struct bad_target *target = conn->object.target;

    if (target->completing && !list_empty(&conn->buffered) && bad(96)) {
        place(conn);
        bt_flush(target);
    }
    if (target->indicating == conn && bad(97)) {
        struct bt_chunk *chunk = container_of(target->lent.prev, struct bt_chunk, link);

        NdisCopyFromNetBufferToNetBuffer(conn->posted.head->FirstNetBuffer, 0,
                                         stream_length(conn->posted.head),
                                         chunk->nbl->FirstNetBuffer, 0, &target->delivered_inside);
        conn->filled = target->delivered_inside;
        finish_first(conn, NDIS_STATUS_SUCCESS);
        bt_flush(target);
    }
}

NDIS_STATUS
bt_receive(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
           PNET_BUFFER_LIST NetBufferList)
{
    struct bad_target *target = MiniportAdapterContext;
    struct bt_conn *conn = bt_conn_find(target, MiniportOffloadContext);
    NDIS_STATUS status = NDIS_STATUS_PENDING;
    NET_BUFFER_LIST *next;

    if (conn && helps_v(102, 2)) /* of no harm by itself */
        bt_event(conn, TcpIndicateSendBacklogChange, conn->state.SndWnd);
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
    if (conn && status == NDIS_STATUS_PENDING)
        deliver_inside(conn);
    bt_kick(target);
    return bad(90) ? NDIS_STATUS_SUCCESS : NDIS_STATUS_PENDING;
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

    if (!nbl || !(conn->filled || is_prefilled(nbl)) || (is_no_push(nbl) && !bad(99))) {
        bt_push_stop(conn);
    } else if ((conn->filled && placed && conn->last_push) || conn->push_expired ||
               (conn->filled && bad_once(100))) {
        finish_first(conn, NDIS_STATUS_SUCCESS);
        bt_push_stop(conn);
    } else if (!conn->push_running || (placed && !bad_v(101, 1))) {
        if (!bad_v(101, 2))
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
        ULONG room = stream_length(nbl) - conn->filled, copied = 0;

        if (room) {
            NdisCopyFromNetBufferToNetBuffer(nbl->FirstNetBuffer, conn->filled, room,
                                             chunk->nbl->FirstNetBuffer, 0, &copied);
            conn->filled += copied;
            consume(conn, chunk, copied);
            placed |= copied > 0;
        }
        /* It may hold less than it says: the host stack's mistake. */
        if (conn->filled == stream_length(nbl) || (room && !copied)) {
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
    chunk->refused = true;
    if (consumed)
        consume(conn, chunk, consumed);
}

static NDIS_STATUS
call_up(struct bt_conn *conn, NET_BUFFER_LIST *nbl, NDIS_STATUS status, PULONG consumed)
{
    struct bad_target *target = conn->object.target;
    static NDIS_OFFLOAD_HANDLE stranger;
    NDIS_HANDLE handle = bad_once(47) ? &stranger : conn->object.handle;
    NDIS_STATUS answer;

    if (bad_v(191, 2))
        NdisAcquireSpinLock(&target->lock);
    answer = target->up.NdisTcpOffloadReceiveHandler(handle, nbl, status, consumed);
    if (helps_v(191, 2))
        NdisReleaseSpinLock(&target->lock);
    return answer;
}

/* What no indication may look like. Mutations only. */
static NDIS_STATUS
call_up_badly(struct bt_conn *conn, NET_BUFFER_LIST *nbl, PULONG consumed)
{
    struct bad_target *target = conn->object.target;
    NET_BUFFER_LIST *second = NULL;
    NDIS_STATUS answer;

    if (bad_once_v(105, 1))
        return call_up(conn, nbl, NDIS_STATUS_RESOURCES, consumed);
    if (bad_once_v(105, 2))
        second = nbl->Next = NdisAllocateNetBufferList(target->chimney_pool, 0, 0);
    if (bad_once_v(105, 3))
        bt_add_buffer(nbl);
    answer = call_up(conn, nbl, NDIS_STATUS_SUCCESS, consumed);
    if (second)
        NdisFreeNetBufferList(second);
    if (answer == NDIS_STATUS_SUCCESS && bad_once(109)) {
        ULONG again = 0;
        call_up(conn, nbl, NDIS_STATUS_SUCCESS, &again);
    }
    return answer;
}

/* After SUCCESS the chunk is the host stack's and may be back already. */
void
bt_indicate(struct bt_conn *conn)
{
    struct bad_target *target = conn->object.target;
    struct bt_chunk *chunk = list_first(&conn->buffered, struct bt_chunk, link);
    unsigned posts = conn->posts;
    ULONG consumed = 0;
    NDIS_STATUS status;

    list_del(&chunk->link);
    list_add_tail(&target->lent, &chunk->link);
    target->indicating = conn;
    target->delivered_inside = 0;
    status = call_up_badly(conn, chunk->nbl, &consumed);
    target->indicating = NULL;
    if (status == NDIS_STATUS_SUCCESS)
        return;
    if (status != NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED)
        consumed = target->delivered_inside;
    take_back(conn, chunk, consumed);
    conn->refused = posts == conn->posts;
}

static void
settle_fin(struct bt_conn *conn)
{
    struct bad_target *target = conn->object.target;

    if (!conn->fin_received || conn->fin_indicated)
        return;
    if (!list_empty(&conn->buffered) && !bad_v(132, 2))
        return;
    if (conn->filled)
        finish_first(conn, NDIS_STATUS_SUCCESS);
    bt_flush(target);
    conn->fin_indicated = true;
    bt_event(conn, TcpIndicateDisconnect, 0);
    if (bad_v(132, 1))
        bt_event(conn, TcpIndicateDisconnect, 0);
    bt_fail_receives(conn, NDIS_STATUS_INVALID_STATE);
    if (conn->state.State == TcpConnectionTimeWait)
        bt_retrieve(conn, UploadRequested);
}

/* Although there is a request. Mutations only. */
static bool
indicates_badly(struct bt_conn *conn)
{
    return list_first(&conn->buffered, struct bt_chunk, link)->refused ? bad_once(98)
                                                                       : bad_once(106);
}

void
bt_deliver(struct bt_conn *conn)
{
    bool placed = false;

    while (!list_empty(&conn->buffered)) {
        if (conn->posted.head && indicates_badly(conn)) {
            bt_indicate(conn);
            continue;
        }
        if (conn->posted.head) {
            placed |= place(conn);
            continue;
        }
        bt_flush(conn->object.target); /* completions first; they may bring requests */
        if (conn->posted.head)
            continue;
        if (conn->refused && !bad_once(108))
            break;
        bt_indicate(conn);
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
    return bad(112) ? NDIS_STATUS_FAILURE : NDIS_STATUS_SUCCESS;
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
        stream_chain_add(&target->forwarded, nbl);
    }
    bt_kick(target);
    return bad_v(117, 1) ? NDIS_STATUS_SUCCESS : NDIS_STATUS_PENDING;
}
