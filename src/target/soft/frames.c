/*
 * The regular path: frames that are the host stack's business, in both directions.
 *
 * Down: each NET_BUFFER is one frame; large-send and checksum information become the wire's
 * metadata. The wire borrows the payload until it is flushed, so the NBLs complete behind the flush
 * at the end of the turn. When the wire is blocked they wait, in order. Up: a frame is indicated as
 * it arrived, with the same information, over the wire's own buffer; frames of one batch go up in
 * one call. Nothing is indicated unless the adapter is Running (V-182), and a pause ends when
 * everything is back (V-183).
 */
#include "target/soft/conn.h"

#include "base/log.h"

#include <errno.h>
#include <sys/uio.h>

#define FRAMES_UP_MAX 16384u /* regular frames the host stack may sit on */
#define HEADER_BYTES 18u     /* of Ethernet, with a tag, beside the MTU */
#define TOO_LONG_TOLD 1000u  /* one in so many */

void
soft_wire_flush(struct soft_adapter *adapter)
{
    wire_flush(adapter->wire);
    adapter->flushes++;
}

/* ---- up ---- */

void
soft_frame_up(struct soft_frame *frame)
{
    struct soft_adapter *adapter = frame->adapter;
    struct wire_buf *buf = frame->buf;

    soft_frame_unwrap(frame);
    frame->conn = NULL;
    if (adapter->state != SOFT_RUNNING || !frame->whole || !buf->len ||
        adapter->frames_up + adapter->going_up_count >= FRAMES_UP_MAX ||
        !soft_frame_wrap(frame, adapter->frame_pool, 0, buf->len)) {
        soft_frame_destroy(frame);
        return;
    }
    soft_frame_describe(frame->nbl, &buf->meta);
    soft_nbls_add(&adapter->going_up, frame->nbl);
    adapter->going_up_count++;
    sys_loop_defer(adapter->loop, &adapter->service);
}

void
soft_frames_indicate(struct soft_adapter *adapter)
{
    unsigned count = adapter->going_up_count;
    NET_BUFFER_LIST *nbls = soft_nbls_take(&adapter->going_up);

    adapter->going_up_count = 0;
    if (!nbls)
        return;
    if (adapter->state == SOFT_RUNNING) {
        adapter->frames_up += count;
        NdisMIndicateReceiveNetBufferLists(adapter->handle, nbls, NDIS_DEFAULT_PORT_NUMBER, count,
                                           0);
        return;
    }
    while (nbls) {
        NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbls);
        soft_frame_destroy(soft_frame_of(nbls));
        nbls = next;
    }
}

VOID
SoftReturnNetBufferLists(NDIS_HANDLE MiniportAdapterContext, NET_BUFFER_LIST *NetBufferLists,
                         ULONG ReturnFlags)
{
    struct soft_adapter *adapter = MiniportAdapterContext;

    for (NET_BUFFER_LIST *nbl = NetBufferLists, *next; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        soft_frame_destroy(soft_frame_of(nbl));
        adapter->frames_up--;
    }
    soft_pause_settle(adapter);
}

/* ---- down ---- */

/* Payload bytes of the TCP header at offset: where the data begins in the frame. */
static uint16_t
header_end(NET_BUFFER *nb, uint32_t tcp_offset)
{
    uint8_t storage[256];
    uint32_t need = tcp_offset + 13;
    const uint8_t *frame = need <= NET_BUFFER_DATA_LENGTH(nb) && need <= sizeof storage
                               ? NdisGetDataBuffer(nb, need, storage, 1, 0)
                               : NULL;

    return frame ? (uint16_t)(tcp_offset + (frame[tcp_offset + 12] >> 4) * 4) : 0;
}

static void
read_meta(NET_BUFFER_LIST *nbl, NET_BUFFER *nb, struct wire_meta *meta)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large = {
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo)};
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO checksum = {
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo)};

    *meta = (struct wire_meta){.csum_partial = false};
    if (checksum.Transmit.TcpChecksum || checksum.Transmit.UdpChecksum) {
        meta->csum_partial = true;
        meta->csum_start = (uint16_t)checksum.Transmit.TcpHeaderOffset;
        meta->csum_offset = checksum.Transmit.TcpChecksum ? 16 : 6;
    }
    if (!large.LsoV2Transmit.MSS)
        return;
    meta->csum_partial = true;
    meta->csum_start = (uint16_t)large.LsoV2Transmit.TcpHeaderOffset;
    meta->csum_offset = 16;
    meta->header_len = header_end(nb, meta->csum_start);
    if (meta->header_len &&
        NET_BUFFER_DATA_LENGTH(nb) > (ULONG)meta->header_len + large.LsoV2Transmit.MSS) {
        meta->gso_type = large.LsoV2Transmit.IPVersion == NDIS_TCP_LARGE_SEND_OFFLOAD_IPv6
                             ? WIRE_GSO_TCPV6
                             : WIRE_GSO_TCPV4;
        meta->gso_size = (uint16_t)large.LsoV2Transmit.MSS;
    }
}

/* 0: more pieces than max. */
static size_t
pieces_of(NET_BUFFER *nb, struct iovec *pieces, size_t max)
{
    uint32_t left = NET_BUFFER_DATA_LENGTH(nb), offset = NET_BUFFER_CURRENT_MDL_OFFSET(nb);
    size_t count = 0;

    for (MDL *mdl = NET_BUFFER_CURRENT_MDL(nb); mdl && left; mdl = mdl->Next) {
        uint32_t here = MmGetMdlByteCount(mdl);
        if (offset >= here) {
            offset -= here;
            continue;
        }
        if (count == max)
            return 0;
        uint32_t step = here - offset < left ? here - offset : left;
        uint8_t *base = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
        pieces[count++] = (struct iovec){base + offset, step};
        left -= step;
        offset = 0;
    }
    return count;
}

/* Or its segments. Somebody above may think that the wire takes more than it does: the kernel, when
 * a port's MTU is raised. Nobody can be told but whoever did that. */
static bool
fits(struct soft_adapter *adapter, const struct wire_meta *meta, uint32_t len)
{
    uint32_t longest = meta->gso_size ? (uint32_t)meta->header_len + meta->gso_size : len;

    if (longest <= wire_mtu(adapter->wire) + HEADER_BYTES)
        return true;
    if (adapter->too_long++ % TOO_LONG_TOLD == 0)
        log_warn("soft %s: a frame of %u bytes is too long for an MTU of %u and not sent, number "
                 "%llu",
                 wire_name(adapter->wire), (unsigned)longest, (unsigned)wire_mtu(adapter->wire),
                 (unsigned long long)adapter->too_long);
    return false;
}

static int
transmit(struct soft_adapter *adapter, NET_BUFFER_LIST *nbl, NET_BUFFER *nb)
{
    struct iovec pieces[WIRE_MAX_PIECES], copied;
    struct wire_tx tx = {.pieces = pieces};
    uint32_t len = NET_BUFFER_DATA_LENGTH(nb);

    if (!len || len > WIRE_MAX_FRAME)
        return -EMSGSIZE;
    read_meta(nbl, nb, &tx.meta);
    if (!fits(adapter, &tx.meta, len))
        return -EMSGSIZE;
    tx.piece_count = pieces_of(nb, pieces, WIRE_MAX_PIECES);
    if (!tx.piece_count) {
        copied.iov_base = NdisGetDataBuffer(nb, len, adapter->bounce, 1, 0);
        copied.iov_len = len;
        if (!copied.iov_base)
            return -EMSGSIZE;
        tx.pieces = &copied;
        tx.piece_count = 1;
    }
    int error = wire_send(adapter->wire, &tx);
    if (!error && tx.pieces == &copied)
        soft_wire_flush(adapter);
    return error;
}

/* Every NET_BUFFER of the first waiting NBL; false: the wire is blocked. */
static bool
send_first(struct soft_adapter *adapter)
{
    NET_BUFFER_LIST *nbl = soft_nbl_first(&adapter->sending);
    NDIS_STATUS status = NDIS_STATUS_SUCCESS;

    for (NET_BUFFER *nb = nbl->Scratch; nb; nb = NET_BUFFER_NEXT_NB(nb)) {
        int error = transmit(adapter, nbl, nb);
        if (error == -EAGAIN) {
            adapter->wire_blocked = true;
            nbl->Scratch = nb;
            return false;
        }
        if (error)
            status = NDIS_STATUS_FAILURE;
    }
    list_del(soft_nbl_link(nbl));
    NET_BUFFER_LIST_STATUS(nbl) = status;
    soft_nbls_add(&adapter->sent, nbl);
    return true;
}

void
soft_frames_resume(struct soft_adapter *adapter)
{
    while (!adapter->wire_blocked && !list_empty(&adapter->sending)) {
        if (!send_first(adapter))
            return;
    }
}

VOID
SoftSendNetBufferLists(NDIS_HANDLE MiniportAdapterContext, NET_BUFFER_LIST *NetBufferList,
                       NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct soft_adapter *adapter = MiniportAdapterContext;

    for (NET_BUFFER_LIST *nbl = NetBufferList, *next; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
        if (adapter->state != SOFT_RUNNING) {
            NET_BUFFER_LIST_STATUS(nbl) = NDIS_STATUS_PAUSED;
            soft_nbls_add(&adapter->sent, nbl);
            continue;
        }
        nbl->Scratch = NET_BUFFER_LIST_FIRST_NB(nbl);
        list_add_tail(&adapter->sending, soft_nbl_link(nbl));
    }
    soft_frames_resume(adapter);
    sys_loop_defer(adapter->loop,
                   &adapter->service); /* so that the loop does not sleep before the flush */
}

VOID
SoftCancelSend(NDIS_HANDLE MiniportAdapterContext, PVOID CancelId)
{
    struct soft_adapter *adapter = MiniportAdapterContext;

    for (struct list *link = adapter->sending.next, *next; link != &adapter->sending; link = next) {
        NET_BUFFER_LIST *nbl = soft_nbl_of(link);
        next = link->next;
        if (NET_BUFFER_LIST_INFO(nbl, NetBufferListCancelId) != CancelId)
            continue;
        list_del(link);
        NET_BUFFER_LIST_STATUS(nbl) = NDIS_STATUS_SEND_ABORTED;
        soft_nbls_add(&adapter->sent, nbl);
    }
    sys_loop_defer(adapter->loop, &adapter->service); /* as above: the wire may stay full */
}

void
soft_frames_flush(void *arg)
{
    struct soft_adapter *adapter = arg;

    soft_wire_flush(adapter);
    while (adapter->sent.head) {
        NdisMSendNetBufferListsComplete(adapter->handle, soft_nbls_take(&adapter->sent), 0);
        soft_wire_flush(adapter); /* sent from within the completion */
    }
    soft_pause_settle(adapter);
}

void
soft_pause_settle(struct soft_adapter *adapter)
{
    if (adapter->state != SOFT_PAUSING || adapter->frames_up || adapter->going_up_count ||
        !list_empty(&adapter->sending) || adapter->sent.head)
        return;
    soft_adapter_set_state(adapter, SOFT_PAUSED, "every buffer is back");
    NdisMPauseComplete(adapter->handle);
}
