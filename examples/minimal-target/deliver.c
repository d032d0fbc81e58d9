/*
 * Received data. It waits in chunks, in order, and is delivered by two rules that alternate: PLACE
 * it in posted requests while there are any, INDICATE it when there is none. A refused indication
 * ends that until something is posted. What the driver above has accepted stays in the list until
 * it is returned, since with ack = returned that is where acknowledgement stands.
 */
#include "target.h"

/* ---- chunks ---- */

struct chunk *
buffer(struct conn *c, ULONG length, BOOLEAN push)
{
    struct chunk *chunk = ALLOCATE(sizeof(*chunk) + length), **end = &c->chunks;

    if (!chunk)
        return NULL;
    *chunk = (struct chunk){.conn = c,
                            .state = BUFFERED,
                            .seq = c->d.RcvNxt,
                            .length = length,
                            .push = push,
                            .start = chunk->bytes};
    while (*end)
        end = &(*end)->next;
    *end = chunk;
    return chunk;
}

static struct chunk *
first_buffered(const struct conn *c)
{
    struct chunk *chunk = c->chunks;

    while (chunk && chunk->state != BUFFERED)
        chunk = chunk->next;
    return chunk;
}

/* Chunks may be done in any order; they go in theirs, since the first one left is where
 * acknowledgement stands when it waits for returns. */
static void
done_with(struct conn *c, struct chunk *chunk)
{
    chunk->state = DONE;
    while (c->chunks && c->chunks->state == DONE) {
        chunk = c->chunks;
        c->chunks = chunk->next;
        c->ack_due |= c->ack_returned;
        FREE(chunk);
    }
}

static void
consume(struct conn *c, struct chunk *chunk, ULONG bytes)
{
    c->pushed = chunk->push && bytes == chunk->length;
    chunk->seq += bytes;
    chunk->start += bytes;
    chunk->length -= bytes;
    if (!chunk->length)
        done_with(c, chunk);
}

NDIS_STATUS
MiniportTcpOffloadReceiveReturn(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    PNET_BUFFER_LIST nbl, next;

    for (nbl = NetBufferList; nbl; nbl = next) {
        struct chunk *chunk = nbl->MiniportReserved[1];

        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        unwrap(nbl);
        if (chunk->conn)
            done_with(chunk->conn, chunk);
        else
            FREE(chunk);
    }
    work_soon(MiniportAdapterContext);
    return NDIS_STATUS_SUCCESS;
}

ULONG
backlog(const struct conn *c)
{
    const struct chunk *chunk = first_buffered(c);

    return chunk ? c->d.RcvNxt - c->fin_accepted - chunk->seq : 0;
}

void
forget_received(struct conn *c)
{
    struct chunk *chunk, *next;

    for (chunk = c->chunks; chunk; chunk = next) {
        next = chunk->next;
        chunk->conn = NULL;
        if (chunk->state != LENT) /* otherwise when it comes back */
            FREE(chunk);
    }
    c->chunks = NULL;
}

PNET_BUFFER_LIST
take_buffered(struct conn *c)
{
    struct queue chain = {NULL, NULL};
    ULONG ack = ack_number(c);

    for (struct chunk *chunk = first_buffered(c); chunk && c->phase != ABORTED;
         chunk = chunk->next) {
        ULONG bytes = before(chunk->seq, ack) ? ack - chunk->seq : 0;
        PNET_BUFFER_LIST nbl;

        bytes = bytes < chunk->length ? bytes : chunk->length;
        nbl = bytes ? wrap(c->object.adapter->chimney_pool, chunk->start, bytes, chunk) : NULL;
        if (!nbl)
            break;
        chunk->state = LENT;
        put(&chain, nbl);
    }
    forget_received(c);
    return drain(&chain);
}

/* ---- posted requests ---- */

NDIS_STATUS
MiniportTcpOffloadReceive(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                          PNET_BUFFER_LIST NetBufferList)
{
    struct conn *c = conn_of(MiniportOffloadContext);
    PNET_BUFFER_LIST nbl, next;

    for (nbl = NetBufferList; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        if (c->phase != OPEN)
            finish(c, RECEIVE, nbl, too_late(c), 0);
        else if (c->fin_indicated)
            finish(c, RECEIVE, nbl, NDIS_STATUS_INVALID_STATE, 0);
        else
            put(&c->posted, nbl);
    }
    c->posted_new = TRUE;
    work_soon(c->object.adapter);
    return NDIS_STATUS_PENDING;
}

void
finish_receive(struct conn *c, NDIS_STATUS status)
{
    finish(c, RECEIVE, take(&c->posted), status, c->filled);
    c->filled = 0;
    c->push_ms = NEVER;
}

/* PLACE, into the first request. TRUE: bytes were. */
static BOOLEAN
place(struct conn *c, struct chunk *chunk)
{
    PNET_BUFFER_LIST nbl = c->posted.first;
    ULONG room = length_of(nbl) - c->filled;
    ULONG bytes = room < chunk->length ? room : chunk->length;

    copy(NET_BUFFER_LIST_FIRST_NB(nbl), c->filled, chunk->start, bytes, TRUE);
    c->filled += bytes;
    if (bytes == room)
        finish_receive(c, NDIS_STATUS_SUCCESS);
    if (bytes)
        consume(c, chunk, bytes);
    return bytes != 0;
}

/* INDICATE. FALSE: it cannot be done. Accepted, the driver above has the NBL until it returns it.
 */
static BOOLEAN
indicate(struct conn *c, struct chunk *chunk)
{
    struct adapter *a = c->object.adapter;
    PNET_BUFFER_LIST nbl = wrap(a->chimney_pool, chunk->start, chunk->length, chunk);
    ULONG length = chunk->length, consumed = 0;
    NDIS_STATUS status;

    if (!nbl) {
        retrieve(c, UploadRequested);
        return FALSE;
    }
    chunk->state = LENT;
    status = a->up.NdisTcpOffloadReceiveHandler(c->object.handle, nbl, NDIS_STATUS_SUCCESS,
                                                &consumed);
    if (status == NDIS_STATUS_SUCCESS)
        return TRUE; /* it may be back already */
    unwrap(nbl);
    chunk->state = BUFFERED;
    c->refused = TRUE;
    if (status == NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED)
        consume(c, chunk, consumed < length ? consumed : length);
    return TRUE;
}

/* What a partly filled request waits for, unless it wants to be full: PSH, or the push timer. */
static void
push(struct conn *c, BOOLEAN placed)
{
    PNET_BUFFER_LIST nbl = c->posted.first;

    if (!nbl || NET_BUFFER_LIST_INFO(nbl, TcpReceiveNoPush) ||
        (!c->filled && !NET_BUFFER_LIST_INFO(nbl, TcpReceiveBytesTransferred)))
        c->push_ms = NEVER;
    else if ((c->filled && placed && c->pushed) || now_ms() >= c->push_ms)
        finish_receive(c, NDIS_STATUS_SUCCESS);
    else if (placed || c->push_ms == NEVER)
        c->push_ms = now_ms() + c->object.adapter->push_ms;
}

/* The peer has finished. With ack = returned its FIN counts when everything before it is back. */
static void
take_fin(struct conn *c)
{
    TCP_OFFLOAD_STATE_DELEGATED *d = &c->d;

    if (!c->fin_received || c->fin_accepted || (c->ack_returned && c->chunks))
        return;
    c->fin_accepted = c->ack_due = TRUE;
    d->RcvNxt++;
    if (d->State == TcpConnectionEstablished)
        d->State = TcpConnectionCloseWait;
    else if (d->State == TcpConnectionFinWait1)
        d->State = TcpConnectionClosing;
    else if (d->State == TcpConnectionFinWait2)
        d->State = TcpConnectionTimeWait;
}

static void
tell_fin(struct conn *c)
{
    struct adapter *a = c->object.adapter;

    if (!c->fin_accepted || c->fin_indicated || first_buffered(c))
        return;
    if (c->filled)
        finish_receive(c, NDIS_STATUS_SUCCESS);
    complete(c);
    c->fin_indicated = TRUE;
    a->up.NdisTcpOffloadEventHandler(c->object.handle, TcpIndicateDisconnect, 0);
    while (c->posted.first)
        finish_receive(c, NDIS_STATUS_INVALID_STATE);
}

void
deliver(struct conn *c)
{
    struct chunk *chunk;
    BOOLEAN placed = FALSE;

    while ((chunk = first_buffered(c)) != NULL) {
        if (c->posted_new)
            c->refused = FALSE;
        c->posted_new = FALSE;
        if (c->posted.first) {
            placed |= place(c, chunk);
            continue;
        }
        complete(c); /* whoever gets data may post again */
        if (c->posted.first)
            continue;
        if (c->refused || !indicate(c, chunk))
            break;
    }
    c->posted_new = FALSE;
    push(c, placed);
    take_fin(c);
    tell_fin(c);
}
