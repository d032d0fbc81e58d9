/*
 * Data and events through an intermediate driver, and the tables that announce all of it.
 *
 * Data goes through untouched: the same NBLs, the same flags. It only has to find its way back to
 * the adapter it came through, and that is what the marks of driver.c are for.
 */
#include "mux.h"

/* ---- data ---- */

/* The driver above takes the connection back and does all this itself. */
static NDIS_STATUS
refuse_data(struct object *object, enum kind kind, PNET_BUFFER_LIST nbls)
{
    PNET_BUFFER_LIST *end = &object->upper->refused[kind], nbl;
    NDIS_STATUS status = NDIS_STATUS_UPLOAD_IN_PROGRESS;

    if (kind == SEND)
        status = object->broken ? NDIS_STATUS_UPLOAD_REQUESTED : NDIS_STATUS_REQUEST_UPLOAD;
    while (*end)
        end = &NET_BUFFER_LIST_NEXT_NBL(*end);
    *end = nbls;
    for (nbl = nbls; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        NET_BUFFER_LIST_STATUS(nbl) = status;
        NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred) = NULL;
        if (kind == SEND)
            status = NDIS_STATUS_UPLOAD_REQUESTED;
    }
    object->broken = TRUE;
    work_soon(object->upper->lower);
    return NDIS_STATUS_PENDING;
}

static BOOLEAN
may_go_down(struct object *object, PNET_BUFFER_LIST nbls)
{
    return !object->broken && mark(object->upper, nbls);
}

static NDIS_STATUS
MiniportTcpOffloadSend(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                       PNET_BUFFER_LIST NetBufferList)
{
    struct object *object = MiniportOffloadContext;

    return may_go_down(object, NetBufferList) ? NdisOffloadTcpSend(&object->below, NetBufferList)
                                              : refuse_data(object, SEND, NetBufferList);
}

static NDIS_STATUS
MiniportTcpOffloadReceive(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                          PNET_BUFFER_LIST NetBufferList)
{
    struct object *object = MiniportOffloadContext;

    return may_go_down(object, NetBufferList) ? NdisOffloadTcpReceive(&object->below, NetBufferList)
                                              : refuse_data(object, RECEIVE, NetBufferList);
}

static NDIS_STATUS
MiniportTcpOffloadDisconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                             PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    struct object *object = MiniportOffloadContext;

    return may_go_down(object, NetBufferList)
               ? NdisOffloadTcpDisconnect(&object->below, NetBufferList, Flags)
               : refuse_data(object, DISCONNECT, NetBufferList);
}

static NDIS_STATUS
MiniportTcpOffloadForward(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                          PNET_BUFFER_LIST NetBufferList)
{
    struct object *object = MiniportOffloadContext;

    return may_go_down(object, NetBufferList) ? NdisOffloadTcpForward(&object->below, NetBufferList)
                                              : refuse_data(object, FORWARD, NetBufferList);
}

/* Names no connection: it goes by the binding. */
static NDIS_STATUS
MiniportTcpOffloadReceiveReturn(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    struct upper *upper = MiniportAdapterContext;

    NdisOffloadTcpReceiveReturn(upper->lower->handle, NetBufferList);
    return NDIS_STATUS_SUCCESS;
}

static NDIS_TCP_OFFLOAD_SEND_COMPLETE
way_up(const struct upper *upper, enum kind kind)
{
    const NDIS_TCP_OFFLOAD_EVENT_HANDLERS *events = &upper->events;

    return kind == SEND         ? events->NdisTcpOffloadSendComplete
           : kind == RECEIVE    ? events->NdisTcpOffloadReceiveComplete
           : kind == DISCONNECT ? events->NdisTcpOffloadDisconnectComplete
                                : events->NdisTcpOffloadForwardComplete;
}

static void
data_up(enum kind kind, PNET_BUFFER_LIST nbls)
{
    PNET_BUFFER_LIST run;
    struct upper *upper;

    while ((run = next_run(&nbls, &upper)) != NULL)
        way_up(upper, kind)(upper->handle, run);
}

static VOID
ProtocolTcpOffloadSendComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    data_up(SEND, NetBufferList);
}

static VOID
ProtocolTcpOffloadReceiveComplete(NDIS_HANDLE ProtocolBindingContext,
                                  PNET_BUFFER_LIST NetBufferList)
{
    data_up(RECEIVE, NetBufferList);
}

static VOID
ProtocolTcpOffloadDisconnectComplete(NDIS_HANDLE ProtocolBindingContext,
                                     PNET_BUFFER_LIST NetBufferList)
{
    data_up(DISCONNECT, NetBufferList);
}

static VOID
ProtocolTcpOffloadForwardComplete(NDIS_HANDLE ProtocolBindingContext,
                                  PNET_BUFFER_LIST NetBufferList)
{
    data_up(FORWARD, NetBufferList);
}

void
complete_refused_data(struct upper *upper)
{
    for (enum kind kind = SEND; kind < KINDS; kind++) {
        PNET_BUFFER_LIST refused = upper->refused[kind];

        upper->refused[kind] = NULL;
        if (refused)
            way_up(upper, kind)(upper->handle, refused);
    }
}

/* ---- indications and events ---- */

/* The answer, and what was consumed, go back down as they are. */
static NDIS_STATUS
ProtocolTcpOffloadReceiveIndicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList,
                                  NDIS_STATUS Status, PULONG BytesConsumed)
{
    struct object *object = container_of(OffloadContext, struct object, below);

    return object->upper->events.NdisTcpOffloadReceiveHandler(object->above, NetBufferList, Status,
                                                              BytesConsumed);
}

static VOID
ProtocolTcpOffloadEvent(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct object *object = container_of(OffloadContext, struct object, below);

    object->upper->events.NdisTcpOffloadEventHandler(object->above, EventType,
                                                     EventSpecificInformation);
}

/* About a neighbor; the block is lent for the call, the answer goes into the state behind it. */
static VOID
ProtocolIndicateOffloadEvent(NDIS_HANDLE ProtocolBindingContext,
                             PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList,
                             ULONG IndicationCode)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST before = *OffloadBlockList;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST above = (PVOID)OffloadBlockList;
    struct object *object = container_of(before.OffloadHandle, struct object, below);

    above->MiniportOffloadContext = NULL;
    above->NdisOffloadHandle = object->above;
    NdisMOffloadEventIndicate(object->upper->handle, above, IndicationCode);
    *OffloadBlockList = before;
}

/* ---- the four tables: two for each edge, or there is no chimney at all ---- */

NDIS_STATUS
chimney_provide(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1,
                   sizeof(generic)},
        .InitiateOffloadHandler = MiniportInitiateOffload,
        .TerminateOffloadHandler = MiniportTerminateOffload,
        .UpdateOffloadHandler = MiniportUpdateOffload,
        .InvalidateOffloadHandler = MiniportInvalidateOffload,
        .QueryOffloadHandler = MiniportQueryOffload,
    };
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendHandler = MiniportTcpOffloadSend,
        .TcpOffloadReceiveHandler = MiniportTcpOffloadReceive,
        .TcpOffloadDisconnectHandler = MiniportTcpOffloadDisconnect,
        .TcpOffloadForwardHandler = MiniportTcpOffloadForward,
        .TcpOffloadReceiveReturnHandler = MiniportTcpOffloadReceiveReturn,
    };
    NDIS_STATUS status = NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&generic);

    return status == NDIS_STATUS_SUCCESS ? NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&tcp)
                                         : status;
}

NDIS_STATUS
chimney_use(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1, sizeof(generic)},
        .InitiateOffloadCompleteHandler = ProtocolOffloadComplete,
        .TerminateOffloadCompleteHandler = ProtocolOffloadComplete,
        .UpdateOffloadCompleteHandler = ProtocolOffloadComplete,
        .InvalidateOffloadCompleteHandler = ProtocolOffloadComplete,
        .QueryOffloadCompleteHandler = ProtocolOffloadComplete,
        .IndicateOffloadEventHandler = ProtocolIndicateOffloadEvent,
    };
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendCompleteHandler = ProtocolTcpOffloadSendComplete,
        .TcpOffloadReceiveCompleteHandler = ProtocolTcpOffloadReceiveComplete,
        .TcpOffloadDisconnectCompleteHandler = ProtocolTcpOffloadDisconnectComplete,
        .TcpOffloadForwardCompleteHandler = ProtocolTcpOffloadForwardComplete,
        .TcpOffloadEventHandler = ProtocolTcpOffloadEvent,
        .TcpOffloadReceiveIndicateHandler = ProtocolTcpOffloadReceiveIndicate,
    };
    NDIS_STATUS status = NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&generic);

    return status == NDIS_STATUS_SUCCESS ? NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&tcp)
                                         : status;
}
