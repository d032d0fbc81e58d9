/*
 * The data of a NET_BUFFER: a window of DataLength bytes that starts DataOffset bytes into a chain
 * of MDLs. CurrentMdl and CurrentMdlOffset say the same place again, and are kept on the first byte
 * of data; past the end of the chain they stand at the end of its last MDL.
 *
 * An advance only goes forward from there, which is what completions do once per buffer.
 */
#include "ndis/objects.h"

#include "base/log.h"

#include <stdlib.h>

/* An MDL that a retreat put in front; its bytes lie behind it in the same allocation. OURS, in
 * Process. */
static const char retreated[] = "retreated";

/* ---- MDLs ---- */

#define PAGE_BYTES 4096u

static void
mdl_set(MDL *mdl, PVOID address, ULONG length)
{
    *mdl = (MDL){.Size = sizeof(*mdl),
                 .MdlFlags = MDL_MAPPED_TO_SYSTEM_VA | MDL_PAGES_LOCKED |
                             MDL_SOURCE_IS_NONPAGED_POOL,
                 .MappedSystemVa = address,
                 .StartVa = (PVOID)((uintptr_t)address & ~(uintptr_t)(PAGE_BYTES - 1)),
                 .ByteCount = length,
                 .ByteOffset = (ULONG)((uintptr_t)address & (PAGE_BYTES - 1))};
}

MDL *
NdisAllocateMdl(NDIS_HANDLE NdisHandle, PVOID VirtualAddress, ULONG Length)
{
    MDL *mdl;

    if (Length && !ndis_given(VirtualAddress, "NdisAllocateMdl"))
        return NULL;
    mdl = malloc(sizeof(*mdl));
    if (mdl)
        mdl_set(mdl, VirtualAddress, Length);
    return mdl;
}

VOID
NdisFreeMdl(MDL *Mdl)
{
    if (!ndis_given(Mdl, "NdisFreeMdl"))
        return;
    free(Mdl);
}

/* ---- the start of the data ---- */

static void
settle(NET_BUFFER *nb)
{
    while (nb->CurrentMdl && nb->CurrentMdlOffset >= nb->CurrentMdl->ByteCount &&
           nb->CurrentMdl->Next) {
        nb->CurrentMdlOffset -= nb->CurrentMdl->ByteCount;
        nb->CurrentMdl = nb->CurrentMdl->Next;
    }
}

VOID
NdisAdjustNetBufferCurrentMdl(NET_BUFFER *NetBuffer)
{
    if (!ndis_given(NetBuffer, "NdisAdjustNetBufferCurrentMdl"))
        return;
    NetBuffer->CurrentMdl = NetBuffer->MdlChain;
    NetBuffer->CurrentMdlOffset = NetBuffer->MdlChain ? NetBuffer->DataOffset : 0;
    settle(NetBuffer);
}

static MDL *
retreat_mdl(ULONG size)
{
    MDL *mdl = malloc(sizeof(*mdl) + size);

    if (!mdl)
        return NULL;
    mdl_set(mdl, mdl + 1, size);
    mdl->Process = (PVOID)retreated;
    return mdl;
}

NDIS_STATUS
NdisRetreatNetBufferDataStart(NET_BUFFER *NetBuffer, ULONG DataOffsetDelta, ULONG DataBackFill,
                              NET_BUFFER_ALLOCATE_MDL *AllocateMdlHandler)
{
    ULONG missing, size;
    MDL *mdl;

    if (!ndis_given(NetBuffer, "NdisRetreatNetBufferDataStart"))
        return NDIS_STATUS_FAILURE;
    if (DataOffsetDelta > UINT32_MAX - NetBuffer->DataLength)
        return NDIS_STATUS_FAILURE;
    if (DataOffsetDelta > NetBuffer->DataOffset) {
        missing = DataOffsetDelta - NetBuffer->DataOffset;
        size = missing + DataBackFill;
        if (size < missing)
            return NDIS_STATUS_FAILURE;
        mdl = AllocateMdlHandler ? AllocateMdlHandler(&size) : retreat_mdl(size);
        if (!mdl)
            return NDIS_STATUS_RESOURCES;
        mdl->Next = NetBuffer->MdlChain;
        NetBuffer->MdlChain = mdl;
        NetBuffer->DataOffset += mdl->ByteCount; /* a handler may give more than asked for */
    }
    NetBuffer->DataOffset -= DataOffsetDelta;
    NetBuffer->stDataLength += DataOffsetDelta;
    NdisAdjustNetBufferCurrentMdl(NetBuffer);
    return NDIS_STATUS_SUCCESS;
}

/* MDLs that lie wholly before the data; without a handler only those that a retreat allocated. */
static void
free_unused(NET_BUFFER *nb, NET_BUFFER_FREE_MDL *handler)
{
    MDL *mdl = nb->MdlChain;

    while (mdl && mdl->ByteCount <= nb->DataOffset && (mdl->Next || !nb->DataLength) &&
           (handler || mdl->Process == retreated)) {
        nb->MdlChain = mdl->Next;
        nb->DataOffset -= mdl->ByteCount;
        if (handler)
            handler(mdl);
        else
            free(mdl);
        mdl = nb->MdlChain;
    }
    NdisAdjustNetBufferCurrentMdl(nb);
}

VOID
NdisAdvanceNetBufferDataStart(NET_BUFFER *NetBuffer, ULONG DataOffsetDelta, BOOLEAN FreeMdl,
                              NET_BUFFER_FREE_MDL *FreeMdlHandler)
{
    if (!ndis_given(NetBuffer, "NdisAdvanceNetBufferDataStart"))
        return;
    if (NDIS_UNLIKELY(DataOffsetDelta > NetBuffer->stDataLength)) {
        log_error("NdisAdvanceNetBufferDataStart: by %u of %u bytes", DataOffsetDelta,
                  NetBuffer->DataLength);
        DataOffsetDelta = NetBuffer->DataLength;
    }
    NetBuffer->DataOffset += DataOffsetDelta;
    NetBuffer->stDataLength -= DataOffsetDelta;
    NetBuffer->CurrentMdlOffset += DataOffsetDelta;
    settle(NetBuffer);
    if (FreeMdl)
        free_unused(NetBuffer, FreeMdlHandler);
}

/* ---- all buffers of a list ---- */

/* Takes a retreat back; NdisReserved[0] is the chain as it was. */
static void
undo_retreat(NET_BUFFER *nb, ULONG delta, NET_BUFFER_FREE_MDL *handler)
{
    MDL *added = nb->MdlChain;

    nb->DataOffset += delta;
    nb->stDataLength -= delta;
    if (added != nb->NdisReserved[0]) {
        nb->MdlChain = nb->NdisReserved[0];
        nb->DataOffset -= added->ByteCount;
        if (handler)
            handler(added);
        else
            free(added);
    }
    NdisAdjustNetBufferCurrentMdl(nb);
}

NDIS_STATUS
NdisRetreatNetBufferListDataStart(NET_BUFFER_LIST *NetBufferList, ULONG DataOffsetDelta,
                                  ULONG DataBackFill, NET_BUFFER_ALLOCATE_MDL *AllocateMdlHandler,
                                  NET_BUFFER_FREE_MDL *FreeMdlHandler)
{
    NDIS_STATUS status = NDIS_STATUS_SUCCESS;
    NET_BUFFER *nb;

    if (!ndis_given(NetBufferList, "NdisRetreatNetBufferListDataStart"))
        return NDIS_STATUS_FAILURE;
    for (nb = NetBufferList->FirstNetBuffer; nb; nb = nb->Next) {
        nb->NdisReserved[0] = nb->MdlChain;
        status = NdisRetreatNetBufferDataStart(nb, DataOffsetDelta, DataBackFill,
                                               AllocateMdlHandler);
        if (status != NDIS_STATUS_SUCCESS)
            break;
    }
    for (NET_BUFFER *done = NetBufferList->FirstNetBuffer; nb && done != nb; done = done->Next)
        undo_retreat(done, DataOffsetDelta, FreeMdlHandler);
    return status;
}

VOID
NdisAdvanceNetBufferListDataStart(NET_BUFFER_LIST *NetBufferList, ULONG DataOffsetDelta,
                                  BOOLEAN FreeMdl, NET_BUFFER_FREE_MDL *FreeMdlMdlHandler)
{
    if (!ndis_given(NetBufferList, "NdisAdvanceNetBufferListDataStart"))
        return;
    for (NET_BUFFER *nb = NetBufferList->FirstNetBuffer; nb; nb = nb->Next)
        NdisAdvanceNetBufferDataStart(nb, DataOffsetDelta, FreeMdl, FreeMdlMdlHandler);
}

/* ---- reading ---- */

/* A place in a chain, always on a byte while there is one. */
struct cursor {
    const MDL *mdl;
    ULONG offset;
};

static struct cursor
cursor_at(const NET_BUFFER *nb, ULONG offset)
{
    struct cursor at = {nb->CurrentMdl, nb->CurrentMdlOffset};

    while (at.mdl && offset >= at.mdl->ByteCount - at.offset) {
        offset -= at.mdl->ByteCount - at.offset;
        at.mdl = at.mdl->Next;
        at.offset = 0;
    }
    at.offset += offset;
    return at;
}

static UCHAR *
cursor_bytes(const struct cursor *at, ULONG *count)
{
    *count = at->mdl->ByteCount - at->offset;
    return (UCHAR *)MmGetSystemAddressForMdlSafe(at->mdl, NormalPagePriority) + at->offset;
}

static void
cursor_advance(struct cursor *at, ULONG count)
{
    at->offset += count;
    while (at->mdl && at->offset >= at->mdl->ByteCount) {
        at->offset -= at->mdl->ByteCount;
        at->mdl = at->mdl->Next;
    }
}

NDIS_STATUS
NdisCopyFromNetBufferToNetBuffer(NET_BUFFER *Destination, ULONG DestinationOffset,
                                 ULONG BytesToCopy, NET_BUFFER const *Source, ULONG SourceOffset,
                                 ULONG *BytesCopied)
{
    struct cursor to, from;
    ULONG left = BytesToCopy;

    if (!ndis_given(BytesCopied, "NdisCopyFromNetBufferToNetBuffer"))
        return NDIS_STATUS_FAILURE;
    *BytesCopied = 0;
    if (!ndis_given(Destination, "NdisCopyFromNetBufferToNetBuffer") ||
        !ndis_given(Source, "NdisCopyFromNetBufferToNetBuffer"))
        return NDIS_STATUS_FAILURE;
    if (DestinationOffset > Destination->DataLength || SourceOffset > Source->DataLength)
        return NDIS_STATUS_FAILURE;
    if (left > Destination->DataLength - DestinationOffset)
        left = Destination->DataLength - DestinationOffset;
    if (left > Source->DataLength - SourceOffset)
        left = Source->DataLength - SourceOffset;
    to = cursor_at(Destination, DestinationOffset);
    from = cursor_at(Source, SourceOffset);
    while (left && to.mdl && from.mdl) {
        ULONG room, have, count;
        UCHAR *target = cursor_bytes(&to, &room);
        const UCHAR *origin = cursor_bytes(&from, &have);

        count = room < have ? room : have;
        count = count < left ? count : left;
        memcpy(target, origin, count);
        cursor_advance(&to, count);
        cursor_advance(&from, count);
        left -= count;
        *BytesCopied += count;
    }
    return NDIS_STATUS_SUCCESS;
}

static bool
aligned(const UCHAR *bytes, ULONG multiple, ULONG offset)
{
    return multiple <= 1 || (uintptr_t)bytes % multiple == offset % multiple;
}

PVOID
NdisGetDataBuffer(NET_BUFFER *NetBuffer, ULONG BytesNeeded, PVOID Storage, ULONG AlignMultiple,
                  ULONG AlignOffset)
{
    UCHAR *bytes, *out = Storage;
    ULONG count, left = BytesNeeded;
    struct cursor at;

    if (!ndis_given(NetBuffer, "NdisGetDataBuffer"))
        return NULL;
    at = cursor_at(NetBuffer, 0);
    if (!BytesNeeded || BytesNeeded > NetBuffer->DataLength || !at.mdl)
        return NULL;
    bytes = cursor_bytes(&at, &count);
    if (count >= BytesNeeded && aligned(bytes, AlignMultiple, AlignOffset))
        return bytes;
    while (out && left && at.mdl) {
        bytes = cursor_bytes(&at, &count);
        count = count < left ? count : left;
        memcpy(out, bytes, count);
        out += count;
        left -= count;
        cursor_advance(&at, count);
    }
    return left ? NULL : Storage;
}
