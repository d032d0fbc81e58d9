/*
 * The regular path, both ways, with the same NBLs. Each crossing puts its own handle in
 * SourceHandle, and the one that was there waits in an NBL context: contexts are a stack, so every
 * floor finds its own on top (V-163).
 */
#include "intermediate/floor/floor.h"

/* As large as the alignment of contexts. */
struct frame_home {
    NDIS_HANDLE source;
    PVOID unused;
};

struct frame_list {
    PNET_BUFFER_LIST head, *tail;
    ULONG count;
};

static void
frame_list_init(struct frame_list *list)
{
    list->head = NULL;
    list->tail = &list->head;
    list->count = 0;
}

static void
frame_list_add(struct frame_list *list, PNET_BUFFER_LIST nbl)
{
    NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
    *list->tail = nbl;
    list->tail = &NET_BUFFER_LIST_NEXT_NBL(nbl);
    list->count++;
}

/* Sorts nbls into those that carry our handle now and those for which there is no memory. */
static void
leave(PNET_BUFFER_LIST nbls, NDIS_HANDLE handle, struct frame_list *good, struct frame_list *bad)
{
    PNET_BUFFER_LIST nbl, next;
    struct frame_home *home;

    frame_list_init(good);
    frame_list_init(bad);
    for (nbl = nbls; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        if (NdisAllocateNetBufferListContext(nbl, sizeof(*home), 0, FLOOR_TAG) !=
            NDIS_STATUS_SUCCESS) {
            frame_list_add(bad, nbl);
            continue;
        }
        home = NET_BUFFER_LIST_CONTEXT_DATA_START(nbl);
        home->source = nbl->SourceHandle;
        nbl->SourceHandle = handle;
        frame_list_add(good, nbl);
    }
}

/* The way back; returns how many. */
static ULONG
come_home(PNET_BUFFER_LIST nbls)
{
    ULONG count = 0;

    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl), count++) {
        struct frame_home *home = NET_BUFFER_LIST_CONTEXT_DATA_START(nbl);

        nbl->SourceHandle = home->source;
        NdisFreeNetBufferListContext(nbl, sizeof(*home));
    }
    return count;
}

/* ---- down ---- */

static void
refuse(struct floor_adapter *adapter, PNET_BUFFER_LIST nbls, NDIS_STATUS status, ULONG flags)
{
    if (!nbls)
        return;
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl))
        NET_BUFFER_LIST_STATUS(nbl) = status;
    NdisMSendNetBufferListsComplete(adapter->upper, nbls, flags);
}

VOID
FloorSendNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
                        NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct floor_adapter *adapter = MiniportAdapterContext;
    ULONG end = (SendFlags & NDIS_SEND_FLAGS_DISPATCH_LEVEL)
                    ? NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL
                    : 0;
    struct frame_list good, bad;

    if (!adapter->upper_running || !adapter->lower_running) {
        refuse(adapter, NetBufferList, NDIS_STATUS_PAUSED, end);
        return;
    }
    leave(NetBufferList, adapter->lower, &good, &bad);
    adapter->frames_down += good.count;
    if (good.head)
        NdisSendNetBufferLists(adapter->lower, good.head, PortNumber, SendFlags);
    refuse(adapter, bad.head, NDIS_STATUS_RESOURCES, end);
}

VOID
FloorSendNetBufferListsComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
                                ULONG SendCompleteFlags)
{
    struct floor_adapter *adapter = ProtocolBindingContext;

    adapter->frames_down -= come_home(NetBufferList);
    NdisMSendNetBufferListsComplete(adapter->upper, NetBufferList, SendCompleteFlags);
    floor_settle(adapter);
}

VOID
FloorCancelSend(NDIS_HANDLE MiniportAdapterContext, PVOID CancelId)
{
    struct floor_adapter *adapter = MiniportAdapterContext;

    NdisCancelSendNetBufferLists(adapter->lower, CancelId);
}

/* ---- up ---- */

/* Lent frames are the lower driver's again when the call returns: its list must come back as it
 * was. */
static void
indicate_lent(struct floor_adapter *adapter, PNET_BUFFER_LIST nbls, NDIS_PORT_NUMBER port,
              ULONG flags)
{
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        PNET_BUFFER_LIST next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        NDIS_HANDLE source = nbl->SourceHandle;

        NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
        nbl->SourceHandle = adapter->upper;
        NdisMIndicateReceiveNetBufferLists(adapter->upper, nbl, port, 1, flags);
        nbl->SourceHandle = source;
        NET_BUFFER_LIST_NEXT_NBL(nbl) = next;
    }
}

VOID
FloorReceiveNetBufferLists(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                           NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists,
                           ULONG ReceiveFlags)
{
    struct floor_adapter *adapter = ProtocolBindingContext;
    bool lent = NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags);
    struct frame_list good, bad;

    if (!adapter->upper_running) {
        if (!lent)
            NdisReturnNetBufferLists(adapter->lower, NetBufferLists, 0);
        return;
    }
    if (lent) {
        indicate_lent(adapter, NetBufferLists, PortNumber, ReceiveFlags);
        return;
    }
    leave(NetBufferLists, adapter->upper, &good, &bad);
    adapter->frames_up += good.count;
    if (good.head)
        NdisMIndicateReceiveNetBufferLists(adapter->upper, good.head, PortNumber, good.count,
                                           ReceiveFlags);
    if (bad.head)
        NdisReturnNetBufferLists(adapter->lower, bad.head, 0);
}

VOID
FloorReturnNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                          ULONG ReturnFlags)
{
    struct floor_adapter *adapter = MiniportAdapterContext;

    adapter->frames_up -= come_home(NetBufferLists);
    NdisReturnNetBufferLists(adapter->lower, NetBufferLists, ReturnFlags);
    floor_settle(adapter);
}
