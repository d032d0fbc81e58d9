/*
 * What goes through the intermediate driver and is not chimney: frames, requests, status. Each
 * crossing of a frame has its own handle in SourceHandle; the one that was there waits in an NBL
 * context. Source: G:querying-and-setting-an-intermediate-driver-s…; V-012, V-163.
 */
#include "bad_im.h"

#include "mutant.h"

#include <stdlib.h>

/* ---- contexts ---- */

/* The floor that sent an NBL down. Contexts are a stack: each floor finds its own on top. */
struct context {
    struct bi_floor *floor;
    NDIS_HANDLE source;
};

bool
bi_context_add(NET_BUFFER_LIST *nbl, struct bi_floor *floor)
{
    struct context *context;

    if (NdisAllocateNetBufferListContext(nbl, sizeof(*context), 0, BI_TAG) != NDIS_STATUS_SUCCESS)
        return false;
    context = NET_BUFFER_LIST_CONTEXT_DATA_START(nbl);
    *context = (struct context){.floor = floor, .source = nbl->SourceHandle};
    return true;
}

void
bi_context_remove(NET_BUFFER_LIST *nbl)
{
    struct context *context = NET_BUFFER_LIST_CONTEXT_DATA_START(nbl);

    nbl->SourceHandle = context->source;
    NdisFreeNetBufferListContext(nbl, bad_v(190, 3) ? 64 : sizeof(*context));
}

/* ---- the regular path (V-163) ---- */

static unsigned
come_home(NET_BUFFER_LIST *list)
{
    unsigned count = 0;

    for (; list; list = list->Next, count++)
        if (!bad_v(163, 2))
            bi_context_remove(list);
    return count;
}

static unsigned
leave(NET_BUFFER_LIST *list, struct bi_floor *floor, NDIS_HANDLE handle)
{
    unsigned count = 0;

    for (; list; list = list->Next, count++) {
        if (!bi_context_add(list, floor))
            abort();
        list->SourceHandle = handle;
    }
    return count;
}

VOID
bi_send_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
               NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct bi_floor *floor = MiniportAdapterContext;

    if (!floor->upper_running || !floor->lower_running) {
        for (NET_BUFFER_LIST *nbl = NetBufferList; nbl; nbl = nbl->Next)
            NET_BUFFER_LIST_STATUS(nbl) = NDIS_STATUS_PAUSED;
        NdisMSendNetBufferListsComplete(floor->upper, NetBufferList, 0);
        return;
    }
    floor->frames_down += leave(NetBufferList, floor, floor->lower);
    NdisSendNetBufferLists(floor->lower, NetBufferList, PortNumber, SendFlags);
}

VOID
bi_frames_sent(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
               ULONG SendCompleteFlags)
{
    struct bi_floor *floor = ProtocolBindingContext;

    floor->frames_down -= come_home(NetBufferList);
    NdisMSendNetBufferListsComplete(floor->upper, NetBufferList, SendCompleteFlags);
    bi_kick(floor);
}

/* Lent frames must come back as they were, so those are passed one by one. */
static void
indicate_lent(struct bi_floor *floor, NET_BUFFER_LIST *list, NDIS_PORT_NUMBER port, ULONG flags)
{
    for (NET_BUFFER_LIST *next; list; list = next) {
        NDIS_HANDLE source = list->SourceHandle;

        next = list->Next;
        list->Next = NULL;
        list->SourceHandle = floor->upper;
        NdisMIndicateReceiveNetBufferLists(floor->upper, list, port, 1, flags);
        list->SourceHandle = source;
        list->Next = next;
    }
}

VOID
bi_receive_frames(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                  NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists, ULONG ReceiveFlags)
{
    struct bi_floor *floor = ProtocolBindingContext;

    if (NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags)) {
        if (floor->upper_running)
            indicate_lent(floor, NetBufferLists, PortNumber, ReceiveFlags);
        return;
    }
    if (!floor->upper_running) {
        NdisReturnNetBufferLists(floor->lower, NetBufferLists, 0);
        return;
    }
    floor->frames_up += leave(NetBufferLists, floor, floor->upper);
    NdisMIndicateReceiveNetBufferLists(floor->upper, NetBufferLists, PortNumber,
                                       NumberOfNetBufferLists, ReceiveFlags);
}

VOID
bi_return_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                 ULONG ReturnFlags)
{
    struct bi_floor *floor = MiniportAdapterContext;

    floor->frames_up -= come_home(NetBufferLists);
    NdisReturnNetBufferLists(floor->lower, NetBufferLists, ReturnFlags);
    bi_kick(floor);
}

/* ---- requests and status ---- */

static NDIS_STATUS
carry_back(struct bi_floor *floor, NDIS_STATUS status)
{
    floor->original->DATA = floor->request.DATA;
    floor->original = NULL;
    return status;
}

/* V-012: everything goes down. */
NDIS_STATUS
bi_oid(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    struct bi_floor *floor = MiniportAdapterContext;
    NDIS_OID oid = OidRequest->DATA.SET_INFORMATION.Oid;
    NDIS_STATUS status;

    if (oid == OID_TCP_CONNECTION_OFFLOAD_PARAMETERS && bad_v(12, 1))
        return NDIS_STATUS_SUCCESS;
    if (oid == 0x00010101 && bad_v(12, 2)) /* nobody knows it */
        return NDIS_STATUS_SUCCESS;
    NdisZeroMemory(&floor->request, sizeof(floor->request));
    floor->request.Header = OidRequest->Header;
    floor->request.RequestType = OidRequest->RequestType;
    floor->request.PortNumber = OidRequest->PortNumber;
    floor->request.RequestId = OidRequest->RequestId;
    floor->request.DATA = OidRequest->DATA;
    floor->original = OidRequest;
    status = NdisOidRequest(floor->lower, &floor->request);
    return status == NDIS_STATUS_PENDING ? status : carry_back(floor, status);
}

VOID
bi_oid_complete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                NDIS_STATUS Status)
{
    struct bi_floor *floor = ProtocolBindingContext;
    PNDIS_OID_REQUEST original = floor->original;

    NdisMOidRequestComplete(floor->upper, original, carry_back(floor, Status));
    if (bad_v(187, 9))
        NdisMOidRequestComplete(floor->upper, original, Status);
}

VOID
bi_status(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
    struct bi_floor *floor = ProtocolBindingContext;
    NDIS_STATUS_INDICATION status = *StatusIndication;

    if (!floor->upper)
        return;
    status.SourceHandle = floor->upper;
    status.DestinationHandle = NULL;
    NdisZeroMemory(status.NdisReserved, sizeof(status.NdisReserved));
    NdisMIndicateStatusEx(floor->upper, &status);
}
