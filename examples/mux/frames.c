/*
 * The regular path: frames that are nobody's offloaded data, both ways, in the NBLs they came in;
 * and the marks that frames and chimney data share.
 *
 * SourceHandle says on every floor which handle sent (or indicated) an NBL there. We change it on
 * the way and put it back, so it is part of the mark.
 */
#include "mux.h"

/* ---- marks ---- */

struct mark {
    struct upper *upper;
    NDIS_HANDLE source; /* SourceHandle, as it was */
};

BOOLEAN
mark(struct upper *upper, PNET_BUFFER_LIST nbls)
{
    PNET_BUFFER_LIST nbl, marked;

    for (nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        struct mark *mark;

        if (NdisAllocateNetBufferListContext(nbl, sizeof(*mark), 0, TAG) != NDIS_STATUS_SUCCESS)
            break;
        mark = NET_BUFFER_LIST_CONTEXT_DATA_START(nbl);
        mark->upper = upper;
        mark->source = nbl->SourceHandle;
    }
    if (!nbl)
        return TRUE;
    for (marked = nbls; marked != nbl; marked = NET_BUFFER_LIST_NEXT_NBL(marked))
        unmark(marked);
    return FALSE;
}

static struct mark *
mark_of(PNET_BUFFER_LIST nbl)
{
    return NET_BUFFER_LIST_CONTEXT_DATA_START(nbl);
}

struct upper *
unmark(PNET_BUFFER_LIST nbl)
{
    struct mark mark = *mark_of(nbl);

    nbl->SourceHandle = mark.source;
    NdisFreeNetBufferListContext(nbl, sizeof(mark));
    return mark.upper;
}

PNET_BUFFER_LIST
next_run(PNET_BUFFER_LIST *nbls, struct upper **upper)
{
    PNET_BUFFER_LIST first = *nbls, *end = nbls;

    if (!first)
        return NULL;
    *upper = mark_of(first)->upper;
    while (*end && mark_of(*end)->upper == *upper) {
        unmark(*end);
        end = &NET_BUFFER_LIST_NEXT_NBL(*end);
    }
    *nbls = *end;
    *end = NULL;
    return first;
}

/* ---- down ---- */

static void
refuse(struct upper *upper, PNET_BUFFER_LIST nbls, NDIS_STATUS status)
{
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl))
        NET_BUFFER_LIST_STATUS(nbl) = status;
    NdisMSendNetBufferListsComplete(upper->handle, nbls, 0);
}

VOID
MiniportSendNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
                           NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct upper *upper = MiniportAdapterContext;
    struct lower *lower = upper->lower;

    if (!upper->running || !lower->running) {
        refuse(upper, NetBufferList, NDIS_STATUS_PAUSED);
        return;
    }
    if (!mark(upper, NetBufferList)) {
        refuse(upper, NetBufferList, NDIS_STATUS_RESOURCES);
        return;
    }
    for (PNET_BUFFER_LIST nbl = NetBufferList; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        nbl->SourceHandle = lower->handle;
        upper->out++;
        lower->out++;
    }
    NdisSendNetBufferLists(lower->handle, NetBufferList, PortNumber, SendFlags);
}

VOID
ProtocolSendNetBufferListsComplete(NDIS_HANDLE ProtocolBindingContext,
                                   PNET_BUFFER_LIST NetBufferList, ULONG SendCompleteFlags)
{
    struct lower *lower = ProtocolBindingContext;
    PNET_BUFFER_LIST run;
    struct upper *upper;

    while ((run = next_run(&NetBufferList, &upper)) != NULL) {
        for (PNET_BUFFER_LIST nbl = run; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
            upper->out--;
            lower->out--;
        }
        NdisMSendNetBufferListsComplete(upper->handle, run, SendCompleteFlags);
    }
    settle(lower);
}

VOID
MiniportCancelSend(NDIS_HANDLE MiniportAdapterContext, PVOID CancelId)
{
    struct upper *upper = MiniportAdapterContext;

    NdisCancelSendNetBufferLists(upper->lower->handle, CancelId);
}

/* ---- up ---- */

/* Lent for the call only: who wants to keep a frame copies it. The list comes back as it was. */
static void
lend(struct upper *upper, PNET_BUFFER_LIST nbls, NDIS_PORT_NUMBER port, ULONG flags)
{
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        PNET_BUFFER_LIST next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        NDIS_HANDLE source = nbl->SourceHandle;

        NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
        nbl->SourceHandle = upper->handle;
        NdisMIndicateReceiveNetBufferLists(upper->handle, nbl, port, 1,
                                           flags | NDIS_RECEIVE_FLAGS_RESOURCES);
        nbl->SourceHandle = source;
        NET_BUFFER_LIST_NEXT_NBL(nbl) = next;
    }
}

/* For good: the frames come home through MiniportReturnNetBufferLists. */
static void
give(struct upper *upper, PNET_BUFFER_LIST nbls, NDIS_PORT_NUMBER port, ULONG count, ULONG flags)
{
    if (!mark(upper, nbls)) {
        NdisReturnNetBufferLists(upper->lower->handle, nbls, 0);
        return;
    }
    for (PNET_BUFFER_LIST nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        nbl->SourceHandle = upper->handle;
        upper->out++;
    }
    NdisMIndicateReceiveNetBufferLists(upper->handle, nbls, port, count, flags);
}

/* All virtual adapters share an address, so a frame is for all of them: lent to every one but the
 * last, which may keep it. */
VOID
ProtocolReceiveNetBufferLists(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                              NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists,
                              ULONG ReceiveFlags)
{
    struct lower *lower = ProtocolBindingContext;
    BOOLEAN lent = NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags);
    struct upper *last = NULL;

    for (ULONG i = 0; i < lower->count; i++) {
        if (!lower->uppers[i].running)
            continue;
        if (last)
            lend(last, NetBufferLists, PortNumber, ReceiveFlags);
        last = &lower->uppers[i];
    }
    if (last && lent)
        lend(last, NetBufferLists, PortNumber, ReceiveFlags);
    else if (last)
        give(last, NetBufferLists, PortNumber, NumberOfNetBufferLists, ReceiveFlags);
    else if (!lent)
        NdisReturnNetBufferLists(lower->handle, NetBufferLists, 0);
}

VOID
MiniportReturnNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                             ULONG ReturnFlags)
{
    struct upper *upper = MiniportAdapterContext;

    for (PNET_BUFFER_LIST nbl = NetBufferLists; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        unmark(nbl);
        upper->out--;
    }
    NdisReturnNetBufferLists(upper->lower->handle, NetBufferLists, ReturnFlags);
    settle(upper->lower);
}
