/*
 * The driver and its binding: what every protocol driver has, chimney or not, and the two tables
 * that make it one that offloads.
 */
#include "minimal_protocol.h"

NDIS_HANDLE protocol, pool;

/* ---- pump ---- */

static void
set_parameters(struct binding *b)
{
    NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS *p = &b->parameters;
    NDIS_STATUS status;

    p->Header.Type = NDIS_OBJECT_TYPE_DEFAULT;
    p->Header.Revision = NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS_REVISION_1;
    p->Header.Size = sizeof(*p);
    p->Encapsulation.Header.Type = NDIS_OBJECT_TYPE_OFFLOAD_ENCAPSULATION;
    p->Encapsulation.Header.Revision = NDIS_OFFLOAD_ENCAPSULATION_REVISION_1;
    p->Encapsulation.Header.Size = sizeof(p->Encapsulation);
    p->Encapsulation.IPv4.Enabled = NDIS_OFFLOAD_SET_ON;
    p->Encapsulation.IPv4.EncapsulationType = NDIS_ENCAPSULATION_IEEE_802_3;
    p->Encapsulation.IPv4.HeaderSize = 14;
    p->TicksPerSecond = 1000; /* from now on every time in a state structure is in milliseconds */
    p->TcpAckFrequency = 2;
    p->TcpDelayedAckTicks = 40;
    p->TcpMaximumRetransmissions = 8;
    p->TcpSwsPreventionTicks = 200;
    p->TcpDuplicateAckThreshold = 3;
    p->TcpPushTicks = 500;
    p->NceStaleTicks = 60000;
    b->request.Header.Type = NDIS_OBJECT_TYPE_OID_REQUEST;
    b->request.Header.Revision = NDIS_OID_REQUEST_REVISION_1;
    b->request.Header.Size = sizeof(b->request);
    b->request.RequestType = NdisRequestSetInformation;
    b->request.DATA.SET_INFORMATION.Oid = OID_TCP_CONNECTION_OFFLOAD_PARAMETERS;
    b->request.DATA.SET_INFORMATION.InformationBuffer = p;
    b->request.DATA.SET_INFORMATION.InformationBufferLength = sizeof(*p);
    b->request_out = TRUE;
    status = NdisOidRequest(b->handle, &b->request);
    if (status == NDIS_STATUS_PENDING)
        return; /* ProtocolOidRequestComplete */
    b->request_out = FALSE;
    b->parameters_set = status == NDIS_STATUS_SUCCESS;
}

/* Answers a pause that waited until nothing of ours is below. */
static BOOLEAN
is_quiet(const struct binding *b)
{
    return (b->phase == HERE || b->phase == OVER) && !b->request_out && !b->loans;
}

static VOID
pump(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct binding *b = WorkItemContext;
    PNET_PNP_EVENT_NOTIFICATION pause = b->pause;

    b->work_queued = FALSE;
    if (b->running && b->can_offload && !b->parameters_set && !b->request_out)
        set_parameters(b);
    connection_pump(b);
    if (pause && is_quiet(b)) {
        b->pause = NULL;
        NdisCompleteNetPnPEvent(b->handle, pause, NDIS_STATUS_SUCCESS);
    }
}

void
pump_soon(struct binding *b)
{
    if (b->work_queued)
        return;
    b->work_queued = TRUE;
    NdisQueueIoWorkItem(b->work, pump, b);
}

/* ---- the binding ---- */

static void
binding_free(struct binding *b)
{
    NdisFreeIoWorkItem(b->work);
    NdisFreeMemory(b, sizeof(*b), 0);
}

static NDIS_STATUS
ProtocolBindAdapterEx(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
                      PNDIS_BIND_PARAMETERS BindParameters)
{
    PNDIS_TCP_CONNECTION_OFFLOAD can = BindParameters->TcpConnectionOffloadCapabilities;
    struct binding *b = NdisAllocateMemoryWithTagPriority(protocol, sizeof(*b), 0,
                                                          NormalPoolPriority);
    NDIS_MEDIUM medium = NdisMedium802_3;
    NDIS_OPEN_PARAMETERS parameters;
    NDIS_STATUS status;
    UINT selected;

    if (!b)
        return NDIS_STATUS_RESOURCES;
    NdisZeroMemory(b, sizeof(*b));
    b->work = NdisAllocateIoWorkItem(protocol);
    if (!b->work) {
        NdisFreeMemory(b, sizeof(*b), 0);
        return NDIS_STATUS_RESOURCES;
    }
    b->bind_context = BindContext;
    b->can_offload = can && can->SupportIPv4 == NDIS_OFFLOAD_SUPPORTED;
    NdisZeroMemory(&parameters, sizeof(parameters));
    parameters.Header.Type = NDIS_OBJECT_TYPE_OPEN_PARAMETERS;
    parameters.Header.Revision = NDIS_OPEN_PARAMETERS_REVISION_1;
    parameters.Header.Size = sizeof(parameters);
    parameters.AdapterName = BindParameters->AdapterName;
    parameters.MediumArray = &medium;
    parameters.MediumArraySize = 1;
    parameters.SelectedMediumIndex = &selected;
    status = NdisOpenAdapterEx(protocol, b, &parameters, BindContext, &b->handle);
    if (status != NDIS_STATUS_SUCCESS && status != NDIS_STATUS_PENDING)
        binding_free(b);
    return status;
}

static VOID
ProtocolOpenAdapterCompleteEx(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
    struct binding *b = ProtocolBindingContext;
    NDIS_HANDLE context = b->bind_context;

    if (Status != NDIS_STATUS_SUCCESS)
        binding_free(b);
    NdisCompleteBindAdapterEx(context, Status);
}

/* NDIS has paused us before, so nothing is below any more. */
static NDIS_STATUS
ProtocolUnbindAdapterEx(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct binding *b = ProtocolBindingContext;
    NDIS_STATUS status;

    b->unbind_context = UnbindContext;
    while (b->work_queued) /* it would find nothing to do, and no binding */
        NdisMSleep(1000);
    status = NdisCloseAdapterEx(b->handle);
    if (status != NDIS_STATUS_PENDING)
        binding_free(b);
    return status;
}

static VOID
ProtocolCloseAdapterCompleteEx(NDIS_HANDLE ProtocolBindingContext)
{
    struct binding *b = ProtocolBindingContext;
    NDIS_HANDLE context = b->unbind_context;

    binding_free(b);
    NdisCompleteUnbindAdapterEx(context);
}

/* Everything comes home before the event is answered. */
static NDIS_STATUS
go_home(struct binding *b, PNET_PNP_EVENT_NOTIFICATION event)
{
    b->running = FALSE;
    b->leave = TRUE;
    if (is_quiet(b))
        return NDIS_STATUS_SUCCESS;
    b->pause = event;
    pump_soon(b);
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
ProtocolNetPnPEvent(NDIS_HANDLE ProtocolBindingContext,
                    PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    struct binding *b = ProtocolBindingContext;

    switch (NetPnPEventNotification->NetPnPEvent.NetEvent) {
    case NetEventRestart:
        b->running = TRUE;
        pump_soon(b); /* the binding runs when we have returned */
        return NDIS_STATUS_SUCCESS;
    case NetEventPause:
        return go_home(b, NetPnPEventNotification);
    case NetEventSetPower:
        if (*(NDIS_DEVICE_POWER_STATE *)NetPnPEventNotification->NetPnPEvent.Buffer !=
            NdisDeviceStateD0)
            return go_home(b, NetPnPEventNotification);
        b->running = TRUE;
        pump_soon(b);
        return NDIS_STATUS_SUCCESS;
    default:
        return NDIS_STATUS_SUCCESS;
    }
}

static VOID
ProtocolOidRequestComplete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                           NDIS_STATUS Status)
{
    struct binding *b = ProtocolBindingContext;

    b->request_out = FALSE;
    b->parameters_set = Status == NDIS_STATUS_SUCCESS;
    pump_soon(b);
}

static VOID
ProtocolStatusEx(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
    struct binding *b = ProtocolBindingContext;

    if (StatusIndication->StatusCode == NDIS_STATUS_OFFLOAD_PAUSE)
        b->stopped = TRUE;
    else if (StatusIndication->StatusCode == NDIS_STATUS_UPLOAD_ALL)
        b->stopped = b->leave = TRUE;
    else if (StatusIndication->StatusCode == NDIS_STATUS_OFFLOAD_RESUME)
        b->stopped = FALSE;
    pump_soon(b);
}

/* The regular path: everything that is not a connection's data. We have no use for it. */
static VOID
ProtocolReceiveNetBufferLists(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                              NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists,
                              ULONG ReceiveFlags)
{
    struct binding *b = ProtocolBindingContext;

    if (!NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags))
        NdisReturnNetBufferLists(b->handle, NetBufferLists, 0);
}

static VOID
ProtocolSendNetBufferListsComplete(NDIS_HANDLE ProtocolBindingContext,
                                   PNET_BUFFER_LIST NetBufferList, ULONG SendCompleteFlags)
{
}

/* ---- the driver ---- */

static NDIS_STATUS
ProtocolSetOptions(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1, sizeof(generic)},
        .InitiateOffloadCompleteHandler = ProtocolInitiateOffloadComplete,
        .TerminateOffloadCompleteHandler = ProtocolTerminateOffloadComplete,
        .UpdateOffloadCompleteHandler = ProtocolOtherOffloadComplete,
        .InvalidateOffloadCompleteHandler = ProtocolOtherOffloadComplete,
        .QueryOffloadCompleteHandler = ProtocolOtherOffloadComplete,
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

static VOID
DriverUnload(PDRIVER_OBJECT DriverObject)
{
    NdisDeregisterProtocolDriver(protocol); /* unbinds what is still bound */
    NdisFreeNetBufferListPool(pool);
}

NTSTATUS
DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                   NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1, sizeof(characteristics)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .Name = NDIS_STRING_CONST(u"minimal-protocol"),
        .SetOptionsHandler = ProtocolSetOptions,
        .BindAdapterHandlerEx = ProtocolBindAdapterEx,
        .UnbindAdapterHandlerEx = ProtocolUnbindAdapterEx,
        .OpenAdapterCompleteHandlerEx = ProtocolOpenAdapterCompleteEx,
        .CloseAdapterCompleteHandlerEx = ProtocolCloseAdapterCompleteEx,
        .NetPnPEventHandler = ProtocolNetPnPEvent,
        .OidRequestCompleteHandler = ProtocolOidRequestComplete,
        .StatusHandlerEx = ProtocolStatusEx,
        .ReceiveNetBufferListsHandler = ProtocolReceiveNetBufferLists,
        .SendNetBufferListsCompleteHandler = ProtocolSendNetBufferListsComplete,
    };
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
        .fAllocateNetBuffer = TRUE,
    };
    NDIS_STATUS status = NdisRegisterProtocolDriver(NULL, &characteristics, &protocol);

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    pool = NdisAllocateNetBufferListPool(protocol, &parameters);
    if (!pool) {
        NdisDeregisterProtocolDriver(protocol);
        return NDIS_STATUS_RESOURCES;
    }
    DriverObject->DriverUnload = DriverUnload;
    return NDIS_STATUS_SUCCESS;
}
