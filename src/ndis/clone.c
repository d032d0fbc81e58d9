/*
 * Clones: a list of one's own over somebody else's data, for a driver in between that must not
 * touch the original. Each buffer of a clone describes the used data of its original, with MDLs of
 * its own or, on request, with the original's.
 *
 * The first buffer may come with the list; all others come from a pool of buffers. Pools that the
 * caller does not name are the house's.
 */
#include "ndis/objects.h"

#include "base/log.h"

#include <stdlib.h>

/* What tells an MDL made here; OURS, in Process. */
static const char cloned[] = "cloned";

/* ---- MDLs ---- */

static void
mdls_free(MDL *mdl)
{
    while (mdl) {
        MDL *next = mdl->Next;

        NdisFreeMdl(mdl);
        mdl = next;
    }
}

/* A part of an MDL: the same memory. */
static MDL *
mdl_part(const MDL *whole, ULONG offset, ULONG length)
{
    MDL *part = NdisAllocateMdl(
        NULL, (PUCHAR)MmGetSystemAddressForMdlSafe(whole, NormalPagePriority) + offset, length);

    if (!part)
        return NULL;
    part->MdlFlags |= MDL_PARTIAL;
    part->Process = (PVOID)cloned;
    return part;
}

/* MDLs over the used data of a buffer; false: out of memory. No data, no MDL. */
static bool
mdls_over(const NET_BUFFER *nb, MDL **chain)
{
    ULONG offset = nb->CurrentMdlOffset, left = nb->DataLength;
    MDL **end = chain;

    *chain = NULL;
    for (const MDL *mdl = nb->CurrentMdl; mdl && left; mdl = mdl->Next) {
        ULONG here = mdl->ByteCount - offset;

        here = here < left ? here : left;
        if (here) {
            *end = mdl_part(mdl, offset, here);
            if (!*end) {
                mdls_free(*chain);
                return false;
            }
            end = &(*end)->Next;
        }
        left -= here;
        offset = 0;
    }
    return true;
}

/* ---- pools of the house ---- */

/* made, or what another thread has put there meanwhile. */
static NDIS_HANDLE
settle(_Atomic NDIS_HANDLE *place, NDIS_HANDLE made, VOID (*unmake)(NDIS_HANDLE pool))
{
    NDIS_HANDLE there = NULL;

    if (atomic_compare_exchange_strong(place, &there, made))
        return made;
    if (made)
        unmake(made);
    return there;
}

static NDIS_HANDLE
list_pool(struct house *house)
{
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
        .fAllocateNetBuffer = TRUE,
    };

    if (house->clone_lists)
        return house->clone_lists;
    return settle(&house->clone_lists, NdisAllocateNetBufferListPool(NULL, &parameters),
                  NdisFreeNetBufferListPool);
}

static NDIS_HANDLE
buffer_pool(struct house *house)
{
    NET_BUFFER_POOL_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_POOL_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
    };

    if (house->clone_buffers)
        return house->clone_buffers;
    return settle(&house->clone_buffers, NdisAllocateNetBufferPool(NULL, &parameters),
                  NdisFreeNetBufferPool);
}

void
ndis_clones_fini(struct house *house)
{
    if (house->clone_lists)
        NdisFreeNetBufferListPool(house->clone_lists);
    if (house->clone_buffers)
        NdisFreeNetBufferPool(house->clone_buffers);
    house->clone_lists = NULL;
    house->clone_buffers = NULL;
}

/* ---- clones ---- */

/* Describes what original describes. */
static bool
clone_data(NET_BUFFER *nb, const NET_BUFFER *original, ULONG flags)
{
    MDL *chain = original->MdlChain;

    if (flags & NDIS_CLONE_FLAGS_USE_ORIGINAL_MDLS)
        nb->DataOffset = original->DataOffset;
    else if (!mdls_over(original, &chain))
        return false;
    nb->MdlChain = chain;
    nb->stDataLength = original->stDataLength;
    NdisAdjustNetBufferCurrentMdl(nb);
    return true;
}

static bool
clone_buffers(NET_BUFFER_LIST *clone, const NET_BUFFER_LIST *original, NDIS_HANDLE pool,
              ULONG flags)
{
    NET_BUFFER **end = &clone->FirstNetBuffer;

    for (const NET_BUFFER *nb = original->FirstNetBuffer; nb; nb = nb->Next) {
        if (!*end) /* the one that came with the list is used first */
            *end = NdisAllocateNetBuffer(pool, NULL, 0, 0);
        if (!*end || !clone_data(*end, nb, flags))
            return false;
        end = &(*end)->Next;
    }
    *end = NULL;
    return true;
}

NET_BUFFER_LIST *
NdisAllocateCloneNetBufferList(NET_BUFFER_LIST *OriginalNetBufferList,
                               NDIS_HANDLE NetBufferListPoolHandle, NDIS_HANDLE NetBufferPoolHandle,
                               ULONG AllocateCloneFlags)
{
    struct house *house = ndis_house_of(NULL);
    NDIS_HANDLE lists = NetBufferListPoolHandle, buffers = NetBufferPoolHandle;
    NET_BUFFER_LIST *clone;

    if (!ndis_given(OriginalNetBufferList, "NdisAllocateCloneNetBufferList"))
        return NULL;
    if (!house)
        return NULL;
    clone = NdisAllocateNetBufferList(lists ? lists : list_pool(house), 0, 0);
    if (!clone)
        return NULL;
    if (clone_buffers(clone, OriginalNetBufferList, buffers ? buffers : buffer_pool(house),
                      AllocateCloneFlags))
        return clone;
    NdisFreeCloneNetBufferList(clone, AllocateCloneFlags);
    return NULL;
}

/* What is left in front or behind is the caller's, who put it there. */
static void
unclone_data(NET_BUFFER *nb, ULONG flags)
{
    MDL *mdl = nb->MdlChain;

    nb->MdlChain = NULL;
    if (flags & NDIS_CLONE_FLAGS_USE_ORIGINAL_MDLS)
        return;
    for (MDL *each = mdl; each; each = each->Next) {
        if (each->Process == cloned)
            continue;
        log_error("NdisFreeCloneNetBufferList: MDL %p is not the clone's, its MDLs are left alone",
                  (void *)each);
        return;
    }
    mdls_free(mdl);
}

VOID
NdisFreeCloneNetBufferList(NET_BUFFER_LIST *CloneNetBufferList, ULONG FreeCloneFlags)
{
    NET_BUFFER *nb, *next;

    if (!ndis_given(CloneNetBufferList, "NdisFreeCloneNetBufferList"))
        return;
    nb = CloneNetBufferList->FirstNetBuffer;
    while (nb) {
        next = nb->Next;
        unclone_data(nb, FreeCloneFlags);
        if (nb->NdisPoolHandle != CloneNetBufferList->NdisPoolHandle)
            NdisFreeNetBuffer(nb);
        nb = next;
    }
    NdisFreeNetBufferList(CloneNetBufferList);
}

/* ---- what a list says about its frames ---- */

static void
copy_info(NET_BUFFER_LIST *to, const NET_BUFFER_LIST *from, const UCHAR *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to->NetBufferListInfo[ids[i]] = from->NetBufferListInfo[ids[i]];
}

VOID
NdisCopySendNetBufferListInfo(NET_BUFFER_LIST *DestNetBufferList,
                              NET_BUFFER_LIST const *SrcNetBufferList)
{
    static const UCHAR ids[] = {TcpIpChecksumNetBufferListInfo,
                                TcpLargeSendNetBufferListInfo,
                                ClassificationHandleNetBufferListInfo,
                                Ieee8021QNetBufferListInfo,
                                NetBufferListCancelId,
                                NetBufferListProtocolId,
                                NetBufferListHashValue,
                                NetBufferListHashInfo};

    if (!ndis_given(DestNetBufferList, "NdisCopySendNetBufferListInfo") ||
        !ndis_given(SrcNetBufferList, "NdisCopySendNetBufferListInfo"))
        return;
    copy_info(DestNetBufferList, SrcNetBufferList, ids, sizeof(ids));
}

VOID
NdisCopyReceiveNetBufferListInfo(NET_BUFFER_LIST *DestNetBufferList,
                                 NET_BUFFER_LIST const *SrcNetBufferList)
{
    static const UCHAR ids[] = {TcpIpChecksumNetBufferListInfo, TcpLargeSendNetBufferListInfo,
                                Ieee8021QNetBufferListInfo,     NetBufferListFrameType,
                                NetBufferListHashValue,         NetBufferListHashInfo};

    if (!ndis_given(DestNetBufferList, "NdisCopyReceiveNetBufferListInfo") ||
        !ndis_given(SrcNetBufferList, "NdisCopyReceiveNetBufferListInfo"))
        return;
    copy_info(DestNetBufferList, SrcNetBufferList, ids, sizeof(ids));
}
