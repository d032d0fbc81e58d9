/*
 * The regular path. What is to happen to a frame happens to a copy of it; the frame itself goes
 * back to its owner at once, as if it had been sent or taken (on the stack of the call, which is
 * allowed here). Copies are this driver's own NBLs, from its own pool, and are told from others by
 * that; they count as frames under way, so a pause waits for them (V-183).
 *
 * Without memory, and for lists of several frames in one NBL, nothing happens. A frame is corrupted
 * where a checksum finds it: in one bit behind the Ethernet header of an IP packet; one whose
 * checksum the adapter below would still compute is left alone.
 */
#include "base/bytes.h"
#include "intermediate/fault/fault.h"

#define ETHERNET_LENGTH 14u
#define REORDER_MS 10 /* what no other frame passes goes on after so long */

struct copy {
    PNET_BUFFER_LIST nbl;
    PMDL mdl;
    UINT size; /* of this */
    ULONG length;
    UCHAR bytes[];
};

NDIS_HANDLE
fault_frame_pool(NDIS_HANDLE handle)
{
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
        .ProtocolId = NDIS_PROTOCOL_ID_DEFAULT,
        .fAllocateNetBuffer = TRUE,
        .PoolTag = FLOOR_TAG,
    };

    return NdisAllocateNetBufferListPool(handle, &parameters);
}

/* ---- copies ---- */

static struct copy *
copy_of(PNET_BUFFER_LIST nbl)
{
    PMDL mdl = NET_BUFFER_CURRENT_MDL(NET_BUFFER_LIST_FIRST_NB(nbl));

    return container_of((UCHAR(*)[])MmGetMdlVirtualAddress(mdl), struct copy, bytes);
}

static bool
is_ours(const struct fault *fault, const NET_BUFFER_LIST *nbl)
{
    return fault->pool && nbl->NdisPoolHandle == fault->pool;
}

static void
copy_destroy(struct copy *copy)
{
    if (copy->nbl)
        NdisFreeNetBufferList(copy->nbl);
    if (copy->mdl)
        NdisFreeMdl(copy->mdl);
    NdisFreeMemory(copy, copy->size, 0);
}

static bool
fill(struct fault *fault, struct copy *copy, PNET_BUFFER nb)
{
    PVOID bytes = NdisGetDataBuffer(nb, copy->length, copy->bytes, 1, 0);

    if (!bytes)
        return false;
    if (bytes != copy->bytes)
        NdisMoveMemory(copy->bytes, bytes, copy->length);
    copy->mdl = NdisAllocateMdl(fault->floor.lower, copy->bytes, copy->length);
    if (copy->mdl)
        copy->nbl = NdisAllocateNetBufferAndNetBufferList(fault->pool, 0, 0, copy->mdl, 0,
                                                          copy->length);
    return copy->nbl != NULL;
}

/* NULL: no memory, or not one frame. */
static struct copy *
copy_create(struct fault *fault, PNET_BUFFER_LIST nbl)
{
    PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(nbl);
    ULONG length = nb ? NET_BUFFER_DATA_LENGTH(nb) : 0;
    UINT size = (UINT)(sizeof(struct copy) + length);
    struct copy *copy;

    if (!length || NET_BUFFER_NEXT_NB(nb))
        return NULL;
    copy = NdisAllocateMemoryWithTagPriority(fault->floor.lower, size, FLOOR_TAG,
                                             NormalPoolPriority);
    if (!copy)
        return NULL;
    *copy = (struct copy){.size = size, .length = length};
    if (fill(fault, copy, nb))
        return copy;
    copy_destroy(copy);
    return NULL;
}

/* ---- one frame ---- */

static void
flip_a_bit(struct fault_rule *rule, struct copy *copy)
{
    ULONG bits = (copy->length - ETHERNET_LENGTH) * 8;
    ULONG bit = random_below(&rule->random, bits);

    copy->bytes[ETHERNET_LENGTH + bit / 8] ^= (UCHAR)(1u << bit % 8);
}

static bool
is_ip(const struct copy *copy)
{
    USHORT type = copy->length > ETHERNET_LENGTH ? bytes_load_be16(copy->bytes + 12) : 0;

    return type == 0x0800 || type == 0x86dd;
}

/* What the frame's owner said about its checksum and size goes with the copy. false: the checksum
 * is yet to come. */
static bool
describe(PNET_BUFFER_LIST copy, PNET_BUFFER_LIST nbl, bool out, bool corrupt)
{
    if (!out) {
        NdisCopyReceiveNetBufferListInfo(copy, nbl);
        if (corrupt) /* nobody vouches for it any more */
            NET_BUFFER_LIST_INFO(copy, TcpIpChecksumNetBufferListInfo) = NULL;
        return true;
    }
    NdisCopySendNetBufferListInfo(copy, nbl);
    return !NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo) &&
           !NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo);
}

/* The copy that a rule is about; NULL: the frame is left alone. */
static struct copy *
prepare(struct fault *fault, struct fault_rule *rule, PNET_BUFFER_LIST nbl, bool out)
{
    bool corrupt = rule->action == FAULT_CORRUPT;
    struct copy *copy = copy_create(fault, nbl);

    if (!copy)
        return NULL;
    if (!describe(copy->nbl, nbl, out, corrupt) && corrupt)
        goto alone;
    if (corrupt && !is_ip(copy))
        goto alone;
    if (corrupt)
        flip_a_bit(rule, copy);
    return copy;

alone:
    copy_destroy(copy);
    return NULL;
}

/* true: nbl itself goes no further. */
static bool
handle(struct fault *fault, PNET_BUFFER_LIST nbl, enum fault_kind kind)
{
    bool out = kind == FAULT_FRAME_GOING_OUT, reorder;
    struct fault_rule *rule = fault_script_meet(&fault->script,
                                                out ? FAULT_ON_FRAME_OUT : FAULT_ON_FRAME_IN);
    struct fault_held *held;
    struct copy *copy;

    if (!rule || rule->action == FAULT_DROP)
        return rule != NULL;
    copy = prepare(fault, rule, nbl, out);
    if (!copy)
        return false;
    if (rule->action == FAULT_DUPLICATE || rule->action == FAULT_CORRUPT) {
        fault_frame_go(fault, kind, copy);
        return rule->action == FAULT_CORRUPT;
    }
    held = fault_held_create(fault);
    if (!held) {
        copy_destroy(copy);
        return false;
    }
    reorder = rule->action == FAULT_REORDER;
    fault_hold(fault, held, kind, copy, reorder ? REORDER_MS : rule->delay_ms, reorder);
    return true;
}

void
fault_frame_go(struct fault *fault, enum fault_kind kind, PVOID copy_memory)
{
    struct copy *copy = copy_memory;
    PNET_BUFFER_LIST nbl = copy->nbl;

    if (kind == FAULT_FRAME_GOING_OUT && fault->floor.lower_running) {
        nbl->SourceHandle = fault->floor.lower;
        fault->floor.frames_down++;
        NdisSendNetBufferLists(fault->floor.lower, nbl, NDIS_DEFAULT_PORT_NUMBER, 0);
    } else if (kind == FAULT_FRAME_COMING_IN && fault->floor.upper_running) {
        nbl->SourceHandle = fault->floor.upper;
        fault->floor.frames_up++;
        NdisMIndicateReceiveNetBufferLists(fault->floor.upper, nbl, NDIS_DEFAULT_PORT_NUMBER, 1, 0);
    } else {
        copy_destroy(copy);
    }
}

/* Frees copies that come back and leaves the others in the list; the number of copies. */
static ULONG
take_ours(struct fault *fault, PNET_BUFFER_LIST *list)
{
    ULONG count = 0;

    while (*list) {
        PNET_BUFFER_LIST nbl = *list;

        if (!is_ours(fault, nbl)) {
            list = &NET_BUFFER_LIST_NEXT_NBL(nbl);
            continue;
        }
        *list = NET_BUFFER_LIST_NEXT_NBL(nbl);
        NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
        copy_destroy(copy_of(nbl));
        count++;
    }
    return count;
}

/* ---- out ---- */

VOID
FaultSendNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
                        NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct fault *fault = fault_of(MiniportAdapterContext);
    ULONG end = (SendFlags & NDIS_SEND_FLAGS_DISPATCH_LEVEL)
                    ? NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL
                    : 0;
    PNET_BUFFER_LIST next, done = NULL, *tail = &done;

    if (!fault_may_hold(fault) || !fault_script_has(&fault->script, FAULT_ON_FRAME_OUT)) {
        FloorSendNetBufferLists(MiniportAdapterContext, NetBufferList, PortNumber, SendFlags);
        return;
    }
    for (PNET_BUFFER_LIST nbl = NetBufferList; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
        if (handle(fault, nbl, FAULT_FRAME_GOING_OUT)) {
            NET_BUFFER_LIST_STATUS(nbl) = NDIS_STATUS_SUCCESS;
            *tail = nbl;
            tail = &NET_BUFFER_LIST_NEXT_NBL(nbl);
            continue;
        }
        FloorSendNetBufferLists(MiniportAdapterContext, nbl, PortNumber, SendFlags);
        fault_let_go(fault, FAULT_FRAME_GOING_OUT, FAULT_FRAME_GOING_OUT, true);
    }
    if (done)
        NdisMSendNetBufferListsComplete(fault->floor.upper, done, end);
}

VOID
FaultSendNetBufferListsComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
                                ULONG SendCompleteFlags)
{
    struct fault *fault = fault_of(ProtocolBindingContext);
    PNET_BUFFER_LIST others = NetBufferList;

    fault->floor.frames_down -= take_ours(fault, &others);
    if (others)
        FloorSendNetBufferListsComplete(ProtocolBindingContext, others, SendCompleteFlags);
    else
        floor_settle(&fault->floor);
}

/* ---- in ---- */

/* One frame; lent: it is the lower driver's again when this returns. */
static void
receive_one(struct fault *fault, PNET_BUFFER_LIST nbl, NDIS_PORT_NUMBER port, ULONG flags,
            bool lent)
{
    if (!handle(fault, nbl, FAULT_FRAME_COMING_IN)) {
        FloorReceiveNetBufferLists(&fault->floor, nbl, port, 1, flags);
        fault_let_go(fault, FAULT_FRAME_COMING_IN, FAULT_FRAME_COMING_IN, true);
    } else if (!lent) {
        NdisReturnNetBufferLists(fault->floor.lower, nbl, 0);
    }
}

VOID
FaultReceiveNetBufferLists(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                           NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists,
                           ULONG ReceiveFlags)
{
    struct fault *fault = fault_of(ProtocolBindingContext);
    bool lent = NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags);
    PNET_BUFFER_LIST next;

    if (!fault_may_hold(fault) || !fault_script_has(&fault->script, FAULT_ON_FRAME_IN)) {
        FloorReceiveNetBufferLists(ProtocolBindingContext, NetBufferLists, PortNumber,
                                   NumberOfNetBufferLists, ReceiveFlags);
        return;
    }
    for (PNET_BUFFER_LIST nbl = NetBufferLists; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
        receive_one(fault, nbl, PortNumber, ReceiveFlags, lent);
        if (lent)
            NET_BUFFER_LIST_NEXT_NBL(nbl) = next;
    }
}

VOID
FaultReturnNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                          ULONG ReturnFlags)
{
    struct fault *fault = fault_of(MiniportAdapterContext);
    PNET_BUFFER_LIST others = NetBufferLists;

    fault->floor.frames_up -= take_ours(fault, &others);
    if (others)
        FloorReturnNetBufferLists(MiniportAdapterContext, others, ReturnFlags);
    else
        floor_settle(&fault->floor);
}
