/*
 * The driver, and the life of an adapter: initialized, paused, running, paused, halted. Its NIC is
 * the wire that comes as MiniportAddDeviceContext, and stays its giver's.
 */
#include "target.h"

static NDIS_HANDLE driver;

ULONGLONG
now_ms(void)
{
    LARGE_INTEGER now;

    NdisGetSystemUpTimeEx(&now);
    return (ULONGLONG)now.QuadPart;
}

/* ---- work ---- */

/* Answers that wait until something is no more: a pause for frames, power for connections. */
static void
settle(struct adapter *a)
{
    PNDIS_OID_REQUEST power = a->power;

    if (a->pausing && !a->frames_up && !a->sent.first) {
        a->pausing = FALSE;
        NdisMPauseComplete(a->handle);
    }
    if (power && !a->objects) {
        a->power = NULL;
        NdisMOidRequestComplete(a->handle, power, NDIS_STATUS_SUCCESS);
    }
}

static VOID
work(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct adapter *a = WorkItemContext;

    a->work_queued = FALSE;
    run_operations(a);
    for (struct object *object = a->objects; object; object = object->next) {
        if (object->layer == TCP)
            service(conn_of(object));
    }
    complete_frames(a);
    settle(a);
}

void
work_soon(struct adapter *a)
{
    if (a->work_queued)
        return;
    a->work_queued = TRUE;
    NdisQueueIoWorkItem(a->work, work, a);
}

/* ---- requests ---- */

static NDIS_STATUS
set_parameters(struct adapter *a, PNDIS_OID_REQUEST request)
{
    const NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS *p = request->DATA.SET_INFORMATION
                                                          .InformationBuffer;

    request->DATA.SET_INFORMATION.BytesNeeded = sizeof(*p);
    if (request->DATA.SET_INFORMATION.InformationBufferLength < sizeof(*p))
        return NDIS_STATUS_INVALID_LENGTH;
    if (p->TicksPerSecond != 10 && p->TicksPerSecond != 100 && p->TicksPerSecond != 1000)
        return NDIS_STATUS_INVALID_PARAMETER;
    request->DATA.SET_INFORMATION.BytesRead = sizeof(*p);
    a->tick_ms = 1000 / p->TicksPerSecond;
    if (p->TcpMaximumRetransmissions)
        a->most_retransmissions = p->TcpMaximumRetransmissions;
    if (p->TcpPushTicks)
        a->push_ms = p->TcpPushTicks * a->tick_ms;
    return NDIS_STATUS_SUCCESS;
}

/* NDIS hands us one at a time. */
static NDIS_STATUS
MiniportOidRequest(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    struct adapter *a = MiniportAdapterContext;

    if (OidRequest->RequestType != NdisRequestSetInformation)
        return NDIS_STATUS_NOT_SUPPORTED;
    switch (OidRequest->DATA.SET_INFORMATION.Oid) {
    case OID_TCP_CONNECTION_OFFLOAD_PARAMETERS:
        return set_parameters(a, OidRequest);
    case OID_GEN_CURRENT_PACKET_FILTER:
        return NDIS_STATUS_SUCCESS; /* the wire decides what comes */
    case OID_PNP_SET_POWER:
        if (!a->objects)
            return NDIS_STATUS_SUCCESS;
        a->power = OidRequest;
        return NDIS_STATUS_PENDING;
    default:
        return NDIS_STATUS_NOT_SUPPORTED;
    }
}

static VOID
MiniportCancelOidRequest(NDIS_HANDLE MiniportAdapterContext, PVOID RequestId)
{
    struct adapter *a = MiniportAdapterContext;
    PNDIS_OID_REQUEST power = a->power;

    if (!power || power->RequestId != RequestId)
        return;
    a->power = NULL;
    NdisMOidRequestComplete(a->handle, power, NDIS_STATUS_REQUEST_ABORTED);
}

/* ---- attributes ---- */

static NDIS_STATUS
set_attributes(struct adapter *a)
{
    NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES registration = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES_REVISION_1, sizeof(registration)},
        .MiniportAdapterContext = a,
    };
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES general = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_1, sizeof(general)},
        .MediaType = NdisMedium802_3,
        .MtuSize = wire_mtu(a->wire),
        .MediaConnectState = wire_link_up(a->wire) ? MediaConnectStateConnected
                                                   : MediaConnectStateDisconnected,
        .LookaheadSize = WIRE_MAX_FRAME,
        .SupportedPacketFilters = NDIS_PACKET_TYPE_DIRECTED | NDIS_PACKET_TYPE_MULTICAST |
                                  NDIS_PACKET_TYPE_BROADCAST,
        .MacAddressLength = 6,
    };
    NDIS_TCP_CONNECTION_OFFLOAD can = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NDIS_TCP_CONNECTION_OFFLOAD_REVISION_2, sizeof(can)},
        .Encapsulation = NDIS_ENCAPSULATION_IEEE_802_3,
        .SupportIPv4 = NDIS_OFFLOAD_SUPPORTED,
        .TcpConnectionOffloadCapacity = a->capacity,
        .Flags = NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED,
    };
    NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES offload = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1, sizeof(offload)},
        .DefaultTcpConnectionOffloadConfiguration = &can,
        .TcpConnectionOffloadHardwareCapabilities = &can,
    };
    NDIS_STATUS status = NdisMSetMiniportAttributes(a->handle, (PVOID)&registration);

    NdisMoveMemory(general.PermanentMacAddress, wire_mac(a->wire), 6);
    NdisMoveMemory(general.CurrentMacAddress, wire_mac(a->wire), 6);
    if (status == NDIS_STATUS_SUCCESS)
        status = NdisMSetMiniportAttributes(a->handle, (PVOID)&general);
    if (status == NDIS_STATUS_SUCCESS && a->offloads)
        status = NdisMSetMiniportAttributes(a->handle, (PVOID)&offload);
    return status;
}

static ULONG
read_number(NDIS_HANDLE configuration, NDIS_STRING keyword, ULONG otherwise)
{
    PNDIS_CONFIGURATION_PARAMETER value;
    NDIS_STATUS status;

    NdisReadConfiguration(&status, &value, configuration, &keyword, NdisParameterInteger);
    return status == NDIS_STATUS_SUCCESS ? value->ParameterData.IntegerData : otherwise;
}

static void
read_configuration(struct adapter *a)
{
    NDIS_CONFIGURATION_OBJECT object = {
        .Header = {NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT, NDIS_CONFIGURATION_OBJECT_REVISION_1,
                   sizeof(object)},
        .NdisHandle = a->handle,
    };
    const NDIS_STRING capacity = NDIS_STRING_CONST(u"ConnectionCapacity");
    const NDIS_STRING offloads = NDIS_STRING_CONST(u"*TCPConnectionOffloadIPv4");
    const NDIS_STRING never = NDIS_STRING_CONST(u"*TCPConnectionOffloadIPv6");
    const NDIS_STRING window = NDIS_STRING_CONST(u"MaxReceiveWindow");
    NDIS_HANDLE configuration;

    a->capacity = CAPACITY;
    a->largest_window = LARGEST_WINDOW;
    a->offloads = TRUE;
    if (NdisOpenConfigurationEx(&object, &configuration) != NDIS_STATUS_SUCCESS)
        return;
    a->capacity = read_number(configuration, capacity, CAPACITY);
    a->largest_window = read_number(configuration, window, LARGEST_WINDOW);
    a->offloads = read_number(configuration, offloads, TRUE) != 0;
    read_number(configuration, never, FALSE); /* known; whatever it says */
    NdisCloseConfiguration(configuration);
}

/* ---- life ---- */

static NDIS_HANDLE
create_pool(NDIS_HANDLE handle)
{
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
        .fAllocateNetBuffer = TRUE,
        .PoolTag = TAG,
    };

    return NdisAllocateNetBufferListPool(handle, &parameters);
}

static void
adapter_free(struct adapter *a)
{
    if (a->work)
        NdisFreeIoWorkItem(a->work);
    if (a->chimney_pool)
        NdisFreeNetBufferListPool(a->chimney_pool);
    if (a->frame_pool)
        NdisFreeNetBufferListPool(a->frame_pool);
    FREE(a);
}

static NDIS_STATUS
MiniportInitializeEx(NDIS_HANDLE NdisMiniportHandle, NDIS_HANDLE MiniportDriverContext,
                     PNDIS_MINIPORT_INIT_PARAMETERS MiniportInitParameters)
{
    struct wire *wire = MiniportInitParameters->MiniportAddDeviceContext;
    struct adapter *a = wire ? ALLOCATE(sizeof(*a)) : NULL;
    PNDIS_OFFLOAD_EVENT_HANDLERS handlers;
    NDIS_STATUS status;

    if (!a)
        return wire ? NDIS_STATUS_RESOURCES : NDIS_STATUS_FAILURE;
    NdisZeroMemory(a, sizeof(*a));
    a->handle = NdisMiniportHandle;
    a->wire = wire;
    a->tick_ms = 1;
    a->most_retransmissions = 15;
    a->push_ms = 500;
    read_configuration(a);
    a->work = NdisAllocateIoWorkItem(NdisMiniportHandle);
    a->chimney_pool = create_pool(NdisMiniportHandle);
    a->frame_pool = create_pool(NdisMiniportHandle);
    status = a->work && a->chimney_pool && a->frame_pool ? set_attributes(a)
                                                         : NDIS_STATUS_RESOURCES;
    if (status == NDIS_STATUS_SUCCESS)
        status = NdisMGetOffloadHandlers(NdisMiniportHandle, NdisTcpChimneyOffload, &handlers);
    if (status == NDIS_STATUS_SUCCESS && handlers->Header.Size < sizeof(a->up))
        status = NDIS_STATUS_BAD_VERSION;
    if (status != NDIS_STATUS_SUCCESS) {
        adapter_free(a);
        return status;
    }
    NdisMoveMemory(&a->up, handlers, sizeof(a->up));
    wire_set_receiver(wire, &receiver, a);
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
MiniportRestart(NDIS_HANDLE MiniportAdapterContext,
                PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters)
{
    struct adapter *a = MiniportAdapterContext;

    a->running = TRUE;
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
MiniportPause(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters)
{
    struct adapter *a = MiniportAdapterContext;

    a->running = FALSE;
    a->pausing = a->frames_up || a->sent.first;
    return a->pausing ? NDIS_STATUS_PENDING : NDIS_STATUS_SUCCESS;
}

/* NDIS halts when everything is back; what is left then is somebody's mistake. */
static VOID
MiniportHaltEx(NDIS_HANDLE MiniportAdapterContext, NDIS_HALT_ACTION HaltAction)
{
    struct adapter *a = MiniportAdapterContext;

    wire_set_receiver(a->wire, NULL, NULL);
    wire_flush(a->wire);
    while (a->work_queued) /* it would find nothing to do, and no adapter */
        NdisMSleep(1000);
    free_objects(a, TRUE);
    adapter_free(a);
}

/* ---- the driver ---- */

static NDIS_STATUS
MiniportSetOptions(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
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

static VOID
MiniportUnload(PDRIVER_OBJECT DriverObject)
{
    NdisMDeregisterMiniportDriver(driver);
}

NTSTATUS
DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                   NDIS_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2, sizeof(characteristics)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .SetOptionsHandler = MiniportSetOptions,
        .InitializeHandlerEx = MiniportInitializeEx,
        .HaltHandlerEx = MiniportHaltEx,
        .UnloadHandler = MiniportUnload,
        .PauseHandler = MiniportPause,
        .RestartHandler = MiniportRestart,
        .OidRequestHandler = MiniportOidRequest,
        .SendNetBufferListsHandler = MiniportSendNetBufferLists,
        .ReturnNetBufferListsHandler = MiniportReturnNetBufferLists,
        .CancelOidRequestHandler = MiniportCancelOidRequest,
    };

    return NdisMRegisterMiniportDriver(DriverObject, RegistryPath, NULL, &characteristics, &driver);
}
