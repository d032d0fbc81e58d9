/*
 * Frames. What the wire brings is either a segment of a connection we have, or goes up the regular
 * path as it came; what the drivers above send on that path goes out as it is. The wire's metadata
 * and NDIS's out-of-band information say the same: who fills the checksum in, and where a
 * superframe is to be cut.
 */
#include "target.h"

#include <sys/uio.h>

/* ---- lists of NBLs, and NBLs of ours ---- */

PNET_BUFFER_LIST
after(PNET_BUFFER_LIST nbl)
{
    return nbl->MiniportReserved[0];
}

void
put(struct queue *queue, PNET_BUFFER_LIST nbl)
{
    nbl->MiniportReserved[0] = NULL;
    if (queue->last)
        queue->last->MiniportReserved[0] = nbl;
    else
        queue->first = nbl;
    queue->last = nbl;
}

PNET_BUFFER_LIST
take(struct queue *queue)
{
    PNET_BUFFER_LIST nbl = queue->first;

    queue->first = after(nbl);
    if (!queue->first)
        queue->last = NULL;
    return nbl;
}

PNET_BUFFER_LIST
drain(struct queue *queue)
{
    PNET_BUFFER_LIST first = queue->first;

    for (PNET_BUFFER_LIST nbl = first; nbl; nbl = after(nbl))
        NET_BUFFER_LIST_NEXT_NBL(nbl) = after(nbl);
    queue->first = queue->last = NULL;
    return first;
}

PNET_BUFFER_LIST
wrap(NDIS_HANDLE pool, PVOID bytes, ULONG length, PVOID owner)
{
    PMDL mdl = NdisAllocateMdl(pool, bytes, length);
    PNET_BUFFER_LIST nbl;

    if (!mdl)
        return NULL;
    nbl = NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, mdl, 0, length);
    if (!nbl) {
        NdisFreeMdl(mdl);
        return NULL;
    }
    nbl->MiniportReserved[1] = owner;
    return nbl;
}

void
unwrap(PNET_BUFFER_LIST nbl)
{
    PMDL mdl = NET_BUFFER_FIRST_MDL(NET_BUFFER_LIST_FIRST_NB(nbl));

    NdisFreeNetBufferList(nbl);
    NdisFreeMdl(mdl);
}

/* ---- up ---- */

/* The NBL is around the wire's own buffer, which is kept until it is returned. */
static void
frame_up(struct adapter *a, struct wire_buf *buf)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large = {.Value = NULL};
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO sum = {.Value = NULL};
    PNET_BUFFER_LIST nbl = a->running ? wrap(a->frame_pool, buf->data, buf->len, buf) : NULL;

    if (!nbl)
        return; /* as if the wire had lost it */
    wire_buf_get(buf);
    sum.Receive.TcpChecksumSucceeded = buf->meta.csum_valid;
    sum.Receive.TcpChecksumPartial = buf->meta.csum_partial;
    if (buf->meta.gso_type != WIRE_GSO_NONE) {
        large.LsoV2Transmit.MSS = buf->meta.gso_size;
        large.LsoV2Transmit.TcpHeaderOffset = buf->meta.csum_start;
        large.LsoV2Transmit.Type = NDIS_TCP_LARGE_SEND_OFFLOAD_V2_TYPE;
        large.LsoV2Transmit.IPVersion = buf->meta.gso_type == WIRE_GSO_TCPV6;
    }
    NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo) = sum.Value;
    NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo) = large.Value;
    nbl->SourceHandle = a->handle;
    a->frames_up++;
    NdisMIndicateReceiveNetBufferLists(a->handle, nbl, NDIS_DEFAULT_PORT_NUMBER, 1, 0);
}

/* A plain TCP segment over IPv4, whole and undamaged: no options, no fragment. Its connection if we
 * have that and it works. */
static struct conn *
conn_of_frame(struct adapter *a, const struct wire_buf *buf, const UCHAR **tcp, ULONG *length)
{
    const UCHAR *ip = buf->data + ETHERNET;
    ULONG total;

    if (buf->len < ETHERNET + IPV4 + 20 || buf->data[12] != 8 || buf->data[13] != 0)
        return NULL;
    total = (ULONG)ip[2] << 8 | ip[3];
    if (ip[0] != 0x45 || (ip[6] & 0x3f) || ip[7] || ip[9] != 6 || total < IPV4 + 20 ||
        total > buf->len - ETHERNET || checksum(0, ip, IPV4))
        return NULL;
    *tcp = ip + IPV4;
    *length = total - IPV4;
    if (!buf->meta.csum_valid && !buf->meta.csum_partial &&
        checksum(pseudo_header(ip + 12, ip + 16, *length), *tcp, *length))
        return NULL;
    for (struct object *object = a->objects; object; object = object->next) {
        struct conn *c = conn_of(object);

        if (object->layer == TCP && c->phase == OPEN && !c->terminating &&
            !memcmp(*tcp, &c->constant.RemotePort, 2) &&
            !memcmp(*tcp + 2, &c->constant.LocalPort, 2) &&
            !memcmp(ip + 12, path_of(c)->destination, 4) && !memcmp(ip + 16, path_of(c)->source, 4))
            return c;
    }
    return NULL;
}

static void
on_frame(void *arg, struct wire_buf *buf)
{
    struct adapter *a = arg;
    const UCHAR *tcp;
    ULONG length;
    struct conn *c = conn_of_frame(a, buf, &tcp, &length);

    if (!c) {
        frame_up(a, buf);
        return;
    }
    segment_in(c, tcp, length);
    service(c);
}

/* The wire takes frames again: whoever was stopped goes on. */
static void
on_writable(void *arg)
{
    work_soon(arg);
}

static void
on_link(void *arg, bool up)
{
    struct adapter *a = arg;
    NDIS_LINK_STATE link = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NDIS_OBJECT_REVISION_1, sizeof(link)},
        .MediaConnectState = up ? MediaConnectStateConnected : MediaConnectStateDisconnected,
    };
    NDIS_STATUS_INDICATION status = {
        .Header = {NDIS_OBJECT_TYPE_STATUS_INDICATION, NDIS_STATUS_INDICATION_REVISION_1,
                   sizeof(status)},
        .SourceHandle = a->handle,
        .StatusCode = NDIS_STATUS_LINK_STATE,
        .StatusBuffer = &link,
        .StatusBufferSize = sizeof(link),
    };

    NdisMIndicateStatusEx(a->handle, &status);
}

const struct wire_receiver receiver = {on_frame, on_writable, on_link};

VOID
MiniportReturnNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                             ULONG ReturnFlags)
{
    struct adapter *a = MiniportAdapterContext;
    PNET_BUFFER_LIST nbl, next;

    for (nbl = NetBufferLists; nbl; nbl = next) {
        struct wire_buf *buf = nbl->MiniportReserved[1];

        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        unwrap(nbl);
        wire_buf_put(buf);
        a->frames_up--;
    }
    work_soon(a); /* a pause may wait for it */
}

/* ---- down ---- */

static struct wire_meta
meta_of(PNET_BUFFER_LIST nbl, const UCHAR *frame, ULONG length)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large = {
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo)};
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO sum = {
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo)};
    struct wire_meta meta = {.csum_partial = FALSE};
    ULONG tcp = large.LsoV2Transmit.MSS ? large.LsoV2Transmit.TcpHeaderOffset
                                        : sum.Transmit.TcpHeaderOffset;

    if (!large.LsoV2Transmit.MSS && !sum.Transmit.TcpChecksum && !sum.Transmit.UdpChecksum)
        return meta;
    meta.csum_partial = TRUE;
    meta.csum_start = (uint16_t)tcp;
    meta.csum_offset = sum.Transmit.UdpChecksum ? 6 : 16;
    if (!large.LsoV2Transmit.MSS || tcp + 20 > length)
        return meta;
    meta.header_len = (uint16_t)(tcp + (frame[tcp + 12] >> 4) * 4);
    if (length <= meta.header_len + (ULONG)large.LsoV2Transmit.MSS)
        return meta; /* one segment after all */
    meta.gso_size = (uint16_t)large.LsoV2Transmit.MSS;
    meta.gso_type = large.LsoV2Transmit.IPVersion ? WIRE_GSO_TCPV6 : WIRE_GSO_TCPV4;
    return meta;
}

static NDIS_STATUS
transmit(struct adapter *a, PNET_BUFFER_LIST nbl, PNET_BUFFER nb)
{
    ULONG length = NET_BUFFER_DATA_LENGTH(nb);
    UCHAR *frame = length <= sizeof(a->frame) ? NdisGetDataBuffer(nb, length, a->frame, 1, 0)
                                              : NULL;
    struct iovec piece = {frame, length};
    struct wire_tx tx = {.pieces = &piece, .piece_count = 1};
    int error;

    if (!frame)
        return NDIS_STATUS_FAILURE;
    tx.meta = meta_of(nbl, frame, length);
    error = wire_send(a->wire, &tx);
    wire_flush(a->wire); /* from here on the frame is ours again */
    return error ? NDIS_STATUS_FAILURE : NDIS_STATUS_SUCCESS;
}

VOID
MiniportSendNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
                           NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct adapter *a = MiniportAdapterContext;
    PNET_BUFFER_LIST nbl, next;

    for (nbl = NetBufferList; nbl; nbl = next) {
        NDIS_STATUS status = a->running ? NDIS_STATUS_SUCCESS : NDIS_STATUS_PAUSED;

        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        for (PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb && status == NDIS_STATUS_SUCCESS;
             nb = NET_BUFFER_NEXT_NB(nb))
            status = transmit(a, nbl, nb);
        NET_BUFFER_LIST_STATUS(nbl) = status;
        put(&a->sent, nbl);
    }
    work_soon(a);
}

void
complete_frames(struct adapter *a)
{
    PNET_BUFFER_LIST sent = drain(&a->sent);

    if (sent)
        NdisMSendNetBufferListsComplete(a->handle, sent, 0);
}
