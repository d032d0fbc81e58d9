/*
 * What the driver above asks of the data: sends wait in order until the peer has acknowledged all
 * of them, a disconnect behind them, forwarded segments go into the receiver as if off the wire.
 * What can be told is told from service() only, so completions and indications of one connection
 * never overlap; what happens meanwhile, it finds on its next round.
 */
#include "target.h"

/* ---- NBLs ---- */

ULONG
length_of(PNET_BUFFER_LIST nbl)
{
    ULONG length = 0;

    for (PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb; nb = NET_BUFFER_NEXT_NB(nb))
        length += NET_BUFFER_DATA_LENGTH(nb);
    return length;
}

void
copy(PNET_BUFFER nb, ULONG offset, UCHAR *bytes, ULONG length, BOOLEAN write)
{
    offset += NET_BUFFER_CURRENT_MDL_OFFSET(nb);
    for (PMDL mdl = NET_BUFFER_CURRENT_MDL(nb); mdl && length; mdl = mdl->Next) {
        ULONG here = MmGetMdlByteCount(mdl), part;
        UCHAR *at = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);

        if (offset >= here) {
            offset -= here;
            continue;
        }
        part = here - offset < length ? here - offset : length;
        NdisMoveMemory(write ? at + offset : bytes, write ? bytes : at + offset, part);
        bytes += part;
        length -= part;
        offset = 0;
    }
}

void
read_nbl(PNET_BUFFER_LIST nbl, ULONG offset, UCHAR *out, ULONG length)
{
    for (PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb && length;
         nb = NET_BUFFER_NEXT_NB(nb)) {
        ULONG here = NET_BUFFER_DATA_LENGTH(nb), part;

        if (offset >= here) {
            offset -= here;
            continue;
        }
        part = here - offset < length ? here - offset : length;
        copy(nb, offset, out, part, FALSE);
        out += part;
        length -= part;
        offset = 0;
    }
}

static void
advance(PNET_BUFFER_LIST nbl, ULONG bytes)
{
    for (PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb && bytes; nb = NET_BUFFER_NEXT_NB(nb)) {
        ULONG part = NET_BUFFER_DATA_LENGTH(nb) < bytes ? NET_BUFFER_DATA_LENGTH(nb) : bytes;

        NdisAdvanceNetBufferDataStart(nb, part, FALSE, NULL);
        bytes -= part;
    }
}

void
finish(struct conn *c, enum kind kind, PNET_BUFFER_LIST nbl, NDIS_STATUS status, ULONG bytes)
{
    if (kind != FORWARD) /* a forwarded segment is no stream */
        advance(nbl, bytes);
    NET_BUFFER_LIST_STATUS(nbl) = status;
    NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred) = (PVOID)(ULONG_PTR)bytes;
    put(&c->done[kind], nbl);
}

void
complete(struct conn *c)
{
    struct adapter *a = c->object.adapter;
    const NDIS_TCP_OFFLOAD_SEND_COMPLETE way_up[KINDS] = {
        [SEND] = a->up.NdisTcpOffloadSendComplete,
        [RECEIVE] = a->up.NdisTcpOffloadReceiveComplete,
        [FORWARD] = a->up.NdisTcpOffloadForwardComplete,
        [DISCONNECT] = a->up.NdisTcpOffloadDisconnectComplete,
    };

    for (enum kind kind = SEND; kind < KINDS; kind++) {
        PNET_BUFFER_LIST nbls = drain(&c->done[kind]);

        if (nbls)
            way_up[kind](a->handle, nbls);
    }
}

NDIS_STATUS
too_late(const struct conn *c)
{
    return c->phase == STOPPED ? NDIS_STATUS_UPLOAD_IN_PROGRESS : NDIS_STATUS_REQUEST_ABORTED;
}

/* ---- sends ---- */

NDIS_STATUS
MiniportTcpOffloadSend(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                       PNET_BUFFER_LIST NetBufferList)
{
    struct conn *c = conn_of(MiniportOffloadContext);
    PNET_BUFFER_LIST nbl, next;

    for (nbl = NetBufferList; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        if (c->phase != OPEN || c->fin_wanted) {
            finish(c, SEND, nbl, too_late(c), 0);
            continue;
        }
        c->end_seq += length_of(nbl);
        put(&c->sends, nbl);
    }
    work_soon(c->object.adapter);
    return NDIS_STATUS_PENDING;
}

/* Takes the first send off the queue; its bytes that are acknowledged. */
static PNET_BUFFER_LIST
take_send(struct conn *c, ULONG *bytes)
{
    PNET_BUFFER_LIST nbl = take(&c->sends);
    ULONG length = length_of(nbl), acknowledged = c->d.SndUna - c->queue_seq;

    acknowledged = before(c->d.SndUna, c->queue_seq) ? 0 : acknowledged;
    *bytes = acknowledged < length ? acknowledged : length;
    c->queue_seq += length;
    return nbl;
}

void
settle_sends(struct conn *c)
{
    while (c->sends.first) {
        PNET_BUFFER_LIST nbl = c->sends.first;
        BOOLEAN last = nbl == c->disconnect;
        ULONG bytes;

        if (before(c->d.SndUna, c->queue_seq + length_of(nbl) + last)) /* its FIN counts, too */
            return;
        take_send(c, &bytes);
        if (last)
            c->disconnect = NULL;
        finish(c, last ? DISCONNECT : SEND, nbl, NDIS_STATUS_SUCCESS, bytes);
    }
}

PNET_BUFFER_LIST
take_sends(struct conn *c, PNET_BUFFER_LIST *last)
{
    struct queue chain = {NULL, NULL};

    settle_sends(c);
    while (c->sends.first) {
        ULONG bytes;
        PNET_BUFFER_LIST nbl = take_send(c, &bytes);

        if (nbl == c->disconnect) {
            finish(c, DISCONNECT, nbl, NDIS_STATUS_UPLOAD_IN_PROGRESS, bytes);
            continue;
        }
        advance(nbl, bytes); /* the chain begins at SndUna */
        put(&chain, nbl);
    }
    *last = chain.last;
    return drain(&chain);
}

/* ---- the end of it ---- */

void
retrieve(struct conn *c, TCP_UPLOAD_REASON reason)
{
    if (c->phase != OPEN)
        return;
    c->phase = STOPPED;
    c->object.adapter->up.NdisTcpOffloadEventHandler(c->object.handle, TcpIndicateRetrieve, reason);
}

void
fail_all(struct conn *c, NDIS_STATUS status)
{
    ULONG bytes;

    settle_sends(c);
    while (c->sends.first) {
        PNET_BUFFER_LIST nbl = take_send(c, &bytes);

        finish(c, nbl == c->disconnect ? DISCONNECT : SEND, nbl, status, bytes);
    }
    c->disconnect = NULL;
    while (c->posted.first)
        finish_receive(c, status);
    while (c->forwards.first)
        finish(c, FORWARD, take(&c->forwards), status, 0);
}

/* Graceful: the FIN comes behind all sent, and what this NBL carries. Abortive: an RST, now. */
NDIS_STATUS
MiniportTcpOffloadDisconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                             PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    struct conn *c = conn_of(MiniportOffloadContext);
    BOOLEAN abortive = (Flags & TCP_DISCONNECT_ABORTIVE_CLOSE) != 0;

    if (c->phase != OPEN || (c->fin_wanted && !abortive)) {
        finish(c, DISCONNECT, NetBufferList, too_late(c), 0);
    } else if (abortive) {
        fail_all(c, NDIS_STATUS_REQUEST_ABORTED);
        send_reset(c);
        c->phase = ABORTED;
        c->d.State = TcpConnectionClosed;
        finish(c, DISCONNECT, NetBufferList, NDIS_STATUS_SUCCESS, 0);
    } else {
        c->end_seq += length_of(NetBufferList);
        c->fin_wanted = TRUE;
        c->disconnect = NetBufferList;
        put(&c->sends, NetBufferList);
    }
    work_soon(c->object.adapter);
    return NDIS_STATUS_PENDING;
}

/* ---- segments that reached the host stack instead of us ---- */

NDIS_STATUS
MiniportTcpOffloadForward(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                          PNET_BUFFER_LIST NetBufferList)
{
    struct conn *c = conn_of(MiniportOffloadContext);
    PNET_BUFFER_LIST nbl, next;

    for (nbl = NetBufferList; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        put(&c->forwards, nbl);
    }
    work_soon(c->object.adapter);
    return NDIS_STATUS_PENDING;
}

static void
take_forwards(struct conn *c)
{
    while (c->forwards.first && c->phase == OPEN) {
        PNET_BUFFER_LIST nbl = take(&c->forwards);
        PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(nbl);
        ULONG length = NET_BUFFER_DATA_LENGTH(nb);
        UCHAR *tcp = length <= WIRE_MAX_FRAME
                         ? NdisGetDataBuffer(nb, length, c->object.adapter->frame, 1, 0)
                         : NULL;

        finish(c, FORWARD, nbl, NDIS_STATUS_SUCCESS, 0);
        if (tcp)
            segment_in(c, tcp, length);
    }
    while (c->forwards.first && c->phase != OPEN)
        finish(c, FORWARD, take(&c->forwards), too_late(c), 0);
}

/* ---- all of it ---- */

void
service(struct conn *c)
{
    if (c->phase == ADOPTED)
        return;
    take_forwards(c);
    if (c->phase == OPEN)
        deliver(c);
    settle_sends(c);
    open_window(c);
    segments_out(c);
    settle_sends(c);
    if (c->d.State == TcpConnectionTimeWait && c->fin_indicated && !c->ack_returned)
        retrieve(c, UploadRequested); /* the rest is the host stack's */
    complete(c);
}
