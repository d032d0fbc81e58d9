/*
 * The regular path, both ways, with the same NBLs. Each crossing puts its own handle in
 * SourceHandle, and the one that was there waits in an NBL context: contexts are a stack, so every
 * floor finds its own on top (V-163).
 */
#include "intermediate/floor/floor.h"

/* As large as the alignment of contexts. */
struct frame_home {
    NDIS_HANDLE source;
    NDIS_HANDLE lower; /* where it goes, or came from */
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
leave(PNET_BUFFER_LIST nbls, NDIS_HANDLE handle, NDIS_HANDLE lower, struct frame_list *good,
      struct frame_list *bad)
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
        home->lower = lower;
        nbl->SourceHandle = handle;
        frame_list_add(good, nbl);
    }
}

NDIS_HANDLE
floor_frame_lower(PNET_BUFFER_LIST nbl)
{
    const struct frame_home *home = NET_BUFFER_LIST_CONTEXT_DATA_START(nbl);

    return home->lower;
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

void
floor_send_frames(struct floor_adapter *adapter, NDIS_HANDLE lower, PNET_BUFFER_LIST nbls,
                  NDIS_PORT_NUMBER port, ULONG flags, ULONG *counted)
{
    ULONG end = (flags & NDIS_SEND_FLAGS_DISPATCH_LEVEL) ? NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL
                                                         : 0;
    struct frame_list good, bad;

    if (!adapter->upper_running || !lower) {
        refuse(adapter, nbls, NDIS_STATUS_PAUSED, end);
        return;
    }
    leave(nbls, lower, lower, &good, &bad);
    adapter->frames_down += good.count;
    if (counted)
        *counted += good.count;
    if (good.head)
        NdisSendNetBufferLists(lower, good.head, port, flags);
    refuse(adapter, bad.head, NDIS_STATUS_RESOURCES, end);
}

VOID
FloorSendNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
                        NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct floor_adapter *adapter = MiniportAdapterContext;

    floor_send_frames(adapter, adapter->lower_running ? adapter->lower : NULL, NetBufferList,
                      PortNumber, SendFlags, NULL);
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

void
floor_receive_frames(struct floor_adapter *adapter, NDIS_HANDLE lower, PNET_BUFFER_LIST nbls,
                     NDIS_PORT_NUMBER port, ULONG flags, ULONG *counted)
{
    bool lent = NDIS_TEST_RECEIVE_CANNOT_PEND(flags);
    struct frame_list good, bad;

    if (!adapter->upper_running) {
        if (!lent)
            NdisReturnNetBufferLists(lower, nbls, 0);
        return;
    }
    if (lent) {
        indicate_lent(adapter, nbls, port, flags);
        return;
    }
    leave(nbls, adapter->upper, lower, &good, &bad);
    adapter->frames_up += good.count;
    if (counted)
        *counted += good.count;
    if (good.head)
        NdisMIndicateReceiveNetBufferLists(adapter->upper, good.head, port, good.count, flags);
    if (bad.head)
        NdisReturnNetBufferLists(lower, bad.head, 0);
}

VOID
FloorReceiveNetBufferLists(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                           NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists,
                           ULONG ReceiveFlags)
{
    struct floor_adapter *adapter = ProtocolBindingContext;

    floor_receive_frames(adapter, adapter->lower, NetBufferLists, PortNumber, ReceiveFlags, NULL);
}

/* Those at the beginning of nbls that came through the same binding; the rest stays in nbls. */
static PNET_BUFFER_LIST
take_run(PNET_BUFFER_LIST *nbls, NDIS_HANDLE *lower)
{
    PNET_BUFFER_LIST run = *nbls, last = run;

    *lower = floor_frame_lower(run);
    while (NET_BUFFER_LIST_NEXT_NBL(last) &&
           floor_frame_lower(NET_BUFFER_LIST_NEXT_NBL(last)) == *lower)
        last = NET_BUFFER_LIST_NEXT_NBL(last);
    *nbls = NET_BUFFER_LIST_NEXT_NBL(last);
    NET_BUFFER_LIST_NEXT_NBL(last) = NULL;
    return run;
}

VOID
FloorReturnNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                          ULONG ReturnFlags)
{
    struct floor_adapter *adapter = MiniportAdapterContext;

    while (NetBufferLists) {
        NDIS_HANDLE lower;
        PNET_BUFFER_LIST run = take_run(&NetBufferLists, &lower);

        adapter->frames_up -= come_home(run);
        NdisReturnNetBufferLists(lower, run, ReturnFlags);
    }
    floor_settle(adapter);
}
