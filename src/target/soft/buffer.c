/*
 * NBLs and received frames.
 *
 * The target queues an NBL without allocating: while it is the target's, MiniportReserved is its
 * list node and Scratch its length (V-087). A received frame is not copied on its way up: the NBL's
 * MDL describes the wire's own buffer, and the reference on that buffer is given back with the NBL.
 */
#include "target/soft/soft.h"

#include <stdlib.h>
#include <string.h>

#define SPARE_MAX 512 /* frames kept for reuse */

_Static_assert(sizeof(struct list) <= sizeof(((NET_BUFFER_LIST *)0)->MiniportReserved),
               "the list node fits where the miniport may write");

/* ---- lists of NBLs ---- */

void
soft_nbls_add(struct soft_nbls *nbls, NET_BUFFER_LIST *nbl)
{
    NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
    if (nbls->tail)
        NET_BUFFER_LIST_NEXT_NBL(nbls->tail) = nbl;
    else
        nbls->head = nbl;
    nbls->tail = nbl;
}

NET_BUFFER_LIST *
soft_nbls_take(struct soft_nbls *nbls)
{
    NET_BUFFER_LIST *head = nbls->head;

    nbls->head = nbls->tail = NULL;
    return head;
}

uint32_t
soft_nbl_measure(const NET_BUFFER_LIST *nbl)
{
    uint64_t bytes = 0;

    for (NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb; nb = NET_BUFFER_NEXT_NB(nb))
        bytes += NET_BUFFER_DATA_LENGTH(nb);
    return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

void
soft_nbl_enqueue(struct list *queue, NET_BUFFER_LIST *nbl)
{
    NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
    nbl->Scratch = (PVOID)(uintptr_t)soft_nbl_measure(nbl);
    list_add_tail(queue, soft_nbl_link(nbl));
}

NET_BUFFER_LIST *
soft_nbl_first(struct list *queue)
{
    return list_empty(queue) ? NULL : soft_nbl_of(queue->next);
}

void
soft_nbl_advance(NET_BUFFER_LIST *nbl, uint32_t bytes)
{
    for (NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb && bytes; nb = NET_BUFFER_NEXT_NB(nb)) {
        uint32_t len = NET_BUFFER_DATA_LENGTH(nb);
        uint32_t step = bytes < len ? bytes : len;
        if (step)
            NdisAdvanceNetBufferDataStart(nb, step, FALSE, NULL);
        bytes -= step;
    }
}

void
soft_nbl_settle(NET_BUFFER_LIST *nbl, NDIS_STATUS status, uint32_t bytes)
{
    soft_nbl_advance(nbl, bytes);
    NET_BUFFER_LIST_STATUS(nbl) = status;
    NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred) = (PVOID)(uintptr_t)bytes;
}

void
soft_nb_write(NET_BUFFER *nb, uint32_t offset, const uint8_t *bytes, uint32_t len)
{
    offset += NET_BUFFER_CURRENT_MDL_OFFSET(nb);
    for (MDL *mdl = NET_BUFFER_CURRENT_MDL(nb); mdl && len; mdl = mdl->Next) {
        uint32_t count = MmGetMdlByteCount(mdl);
        if (offset >= count) {
            offset -= count;
            continue;
        }
        uint32_t step = count - offset < len ? count - offset : len;
        memcpy((uint8_t *)MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority) + offset, bytes,
               step);
        bytes += step;
        len -= step;
        offset = 0;
    }
}

/* ---- received frames ---- */

struct soft_frame *
soft_frame_create(struct soft_adapter *adapter, struct wire_buf *buf, uint32_t payload)
{
    struct soft_frame *frame;

    if (adapter->spare_count) {
        frame = list_first(&adapter->spare, struct soft_frame, link);
        list_del(&frame->link);
        adapter->spare_count--;
    } else {
        frame = malloc(sizeof *frame);
        if (!frame)
            return NULL;
    }
    *frame = (struct soft_frame){
        .adapter = adapter, .buf = wire_buf_get(buf), .payload = payload, .whole = true};
    list_init(&frame->link);
    return frame;
}

void
soft_frame_unwrap(struct soft_frame *frame)
{
    if (!frame->nbl)
        return;
    NdisFreeNetBufferList(frame->nbl);
    NdisFreeMdl(frame->mdl);
    frame->nbl = NULL;
    frame->mdl = NULL;
}

void
soft_frame_release(struct soft_frame *frame)
{
    soft_frame_unwrap(frame);
    if (frame->buf)
        wire_buf_put(frame->buf);
    frame->buf = NULL;
}

void
soft_frame_destroy(struct soft_frame *frame)
{
    struct soft_adapter *adapter = frame->adapter;

    soft_frame_release(frame);
    list_del(&frame->link);
    if (adapter->spare_count == SPARE_MAX) {
        free(frame);
        return;
    }
    list_add_head(&adapter->spare, &frame->link);
    adapter->spare_count++;
}

bool
soft_frame_wrap(struct soft_frame *frame, NDIS_HANDLE pool, uint32_t offset, uint32_t len)
{
    frame->mdl = NdisAllocateMdl(frame->adapter->handle, frame->buf->data + offset, len);
    if (!frame->mdl)
        return false;
    frame->nbl = NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, frame->mdl, 0, len);
    if (!frame->nbl) {
        NdisFreeMdl(frame->mdl);
        frame->mdl = NULL;
        return false;
    }
    frame->nbl->MiniportReserved[0] = frame;
    frame->nbl->SourceHandle = frame->adapter->handle;
    return true;
}

struct soft_frame *
soft_frame_of(const NET_BUFFER_LIST *nbl)
{
    return nbl->MiniportReserved[0];
}

void
soft_frame_describe(NET_BUFFER_LIST *nbl, const struct wire_meta *meta)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large = {.Value = NULL};
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO checksum = {.Value = NULL};

    checksum.Receive.TcpChecksumSucceeded = meta->csum_valid;
    checksum.Receive.TcpChecksumPartial = meta->csum_partial;
    if (meta->gso_type != WIRE_GSO_NONE) {
        large.LsoV2Transmit.MSS = meta->gso_size;
        large.LsoV2Transmit.TcpHeaderOffset = meta->csum_start;
        large.LsoV2Transmit.Type = NDIS_TCP_LARGE_SEND_OFFLOAD_V2_TYPE;
        large.LsoV2Transmit.IPVersion = meta->gso_type == WIRE_GSO_TCPV6;
    }
    NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo) = checksum.Value;
    NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo) = large.Value;
}
