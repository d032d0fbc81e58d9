/*
 * The two edges of the intermediate driver: registration with both pairs of tables (V-003), bind
 * and virtual adapter (V-193), pause and restart of both. Sources:
 * G:initializing-a-tcp-chimney-capable-intermediate-driver, D:NdisIMInitializeDeviceInstanceEx.
 */
#include "bad_im.h"

#include "mutant.h"

#include <stdlib.h>

/* ---- work ---- */

void
bi_settle(struct bi_floor *floor)
{
    PNET_PNP_EVENT_NOTIFICATION pause = floor->pause;

    if (floor->pausing && !floor->frames_down && !floor->frames_up) {
        floor->pausing = false;
        NdisMPauseComplete(floor->upper);
    }
    if (pause && !floor->frames_down && !floor->calls && list_empty(&floor->entries)) {
        floor->pause = NULL;
        NdisCompleteNetPnPEvent(floor->lower, pause, NDIS_STATUS_SUCCESS);
    }
}

static VOID
work(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct bi_floor *floor = WorkItemContext;

    floor->work_queued = false;
    bi_refused_complete(floor);
    bi_settle(floor);
}

void
bi_kick(struct bi_floor *floor)
{
    if (floor->work_queued)
        return;
    floor->work_queued = true;
    NdisQueueIoWorkItem(floor->work, work, floor);
}

static VOID
heartbeat(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2,
          PVOID SystemSpecific3)
{
    struct bi_floor *floor = FunctionContext;

    floor->im->beats++;
    if (bad_v(192, 5))
        NdisCancelTimerObject(floor->timer);
}

/* ---- bind ---- */

static void
copy_attributes(struct bi_floor *floor, PNDIS_BIND_PARAMETERS parameters)
{
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES *general = &floor->general;

    *general = (NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES){
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_1, sizeof(*general)},
        .MediaType = parameters->MediaType,
        .MtuSize = parameters->MtuSize,
        .MediaConnectState = parameters->MediaConnectState,
        .SupportedPacketFilters = parameters->SupportedPacketFilters,
        .MacAddressLength = parameters->MacAddressLength,
    };
    NdisMoveMemory(general->CurrentMacAddress, parameters->CurrentMacAddress,
                   NDIS_MAX_PHYS_ADDRESS_LENGTH);
    NdisMoveMemory(general->PermanentMacAddress, parameters->CurrentMacAddress,
                   NDIS_MAX_PHYS_ADDRESS_LENGTH);
    floor->has_chimney = parameters->TcpConnectionOffloadCapabilities != NULL;
    if (floor->has_chimney)
        floor->capabilities = *parameters->TcpConnectionOffloadCapabilities;
}

static struct bi_floor *
create_floor(struct bad_im *im, PNDIS_BIND_PARAMETERS parameters)
{
    struct bi_floor *floor = calloc(1, sizeof(*floor));
    NDIS_TIMER_CHARACTERISTICS timer = {
        .Header = {NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_TIMER_CHARACTERISTICS_REVISION_1,
                   sizeof(timer)},
        .AllocationTag = BI_TAG,
        .TimerFunction = heartbeat,
        .FunctionContext = floor,
    };

    if (!floor || !parameters->ProtocolSection ||
        parameters->ProtocolSection->Length > sizeof(floor->name))
        abort();
    floor->im = im;
    list_init(&floor->entries);
    list_init(&floor->refused);
    NdisInitializeEvent(&floor->halted);
    NdisAllocateSpinLock(&floor->lock);
    copy_attributes(floor, parameters);
    NdisMoveMemory(floor->name, parameters->ProtocolSection->Buffer,
                   parameters->ProtocolSection->Length);
    floor->instance.Buffer = floor->name;
    floor->instance.Length = parameters->ProtocolSection->Length;
    floor->instance.MaximumLength = sizeof(floor->name);
    floor->work = NdisAllocateIoWorkItem(im->protocol);
    if (NdisAllocateTimerObject(im->protocol, &timer, &floor->timer) != NDIS_STATUS_SUCCESS)
        abort();
    list_add_tail(&im->floors, &floor->link);
    return floor;
}

static void
free_floor(struct bi_floor *floor)
{
    while (!list_empty(&floor->entries)) /* never, if everybody is good */
        bi_entry_free(list_first(&floor->entries, struct bi_entry, link));
    list_del(&floor->link);
    NdisCancelTimerObject(floor->timer); /* V-192: at PASSIVE_LEVEL, in bind and unbind */
    NdisFreeTimerObject(floor->timer);
    NdisFreeIoWorkItem(floor->work);
    NdisFreeSpinLock(&floor->lock);
    free(floor);
}

static NDIS_STATUS
open_lower(struct bi_floor *floor, NDIS_HANDLE bind_context, PNDIS_STRING adapter)
{
    NDIS_MEDIUM medium = NdisMedium802_3;
    UINT selected = 0;
    NDIS_OPEN_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_OPEN_PARAMETERS, NDIS_OPEN_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
        .AdapterName = adapter,
        .MediumArray = &medium,
        .MediumArraySize = 1,
        .SelectedMediumIndex = &selected,
    };

    return NdisOpenAdapterEx(floor->im->protocol, floor, &parameters, bind_context, &floor->lower);
}

static NDIS_STATUS
bind_adapter(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
             PNDIS_BIND_PARAMETERS BindParameters)
{
    struct bad_im *im = ProtocolDriverContext;
    struct bi_floor *floor = create_floor(im, BindParameters);
    NDIS_STATUS status = open_lower(floor, BindContext, BindParameters->AdapterName);

    if (status == NDIS_STATUS_SUCCESS)
        status = NdisIMInitializeDeviceInstanceEx(im->miniport, &floor->instance, floor);
    if (status == NDIS_STATUS_SUCCESS && im->fail_binds) {
        im->cancelled++;
        if (!bad_v(193, 2))
            NdisIMCancelInitializeDeviceInstance(im->miniport, &floor->instance);
        status = NDIS_STATUS_RESOURCES;
    }
    if (status == NDIS_STATUS_SUCCESS)
        return status;
    if (floor->lower)
        NdisCloseAdapterEx(floor->lower);
    free_floor(floor);
    return status;
}

static NDIS_STATUS
unbind_adapter(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct bi_floor *floor = ProtocolBindingContext;

    if (floor->upper) {
        NdisIMDeInitializeDeviceInstance(floor->upper);
        NdisWaitEvent(&floor->halted, 0);
    } else {
        NdisIMCancelInitializeDeviceInstance(floor->im->miniport, &floor->instance);
    }
    NdisCloseAdapterEx(floor->lower);
    free_floor(floor);
    return NDIS_STATUS_SUCCESS;
}

static VOID
open_complete(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
}

static VOID
close_complete(NDIS_HANDLE ProtocolBindingContext)
{
}

static NDIS_STATUS register_client_tcp(NDIS_HANDLE NdisDriverHandle);

static NDIS_STATUS
restart_binding(struct bi_floor *floor)
{
    LARGE_INTEGER second = {.QuadPart = -10000000};

    NDIS_STRING other = NDIS_STRING_CONST(u"vy");

    floor->lower_running = true;
    NdisSetTimerObject(floor->timer, second, 1000, floor);
    if (bad_v(2, 2))
        register_client_tcp(floor->im->protocol);
    if (bad_v(193, 1))
        NdisIMInitializeDeviceInstanceEx(floor->im->miniport, &other, floor);
    return NDIS_STATUS_SUCCESS;
}

/* The hosts above have given way before: NDIS clears a stack from its top. */
static NDIS_STATUS
pause_binding(struct bi_floor *floor, PNET_PNP_EVENT_NOTIFICATION event)
{
    floor->lower_running = false;
    floor->pause = event;
    bi_kick(floor);
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
pnp_event(NDIS_HANDLE ProtocolBindingContext, PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    struct bi_floor *floor = ProtocolBindingContext;
    NDIS_STATUS status;

    switch (NetPnPEventNotification->NetPnPEvent.NetEvent) {
    case NetEventRestart:
        return restart_binding(floor);
    case NetEventPause:
        return pause_binding(floor, NetPnPEventNotification);
    default:
        status = floor->upper ? NdisMNetPnPEvent(floor->upper, NetPnPEventNotification)
                              : NDIS_STATUS_SUCCESS;
        return status == NDIS_STATUS_NOT_SUPPORTED ? NDIS_STATUS_SUCCESS : status;
    }
}

/* ---- the virtual adapter ---- */

static NDIS_STATUS
set_attributes(struct bi_floor *floor, NDIS_HANDLE handle)
{
    NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES registration = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES_REVISION_1, sizeof(registration)},
        .MiniportAdapterContext = floor,
    };
    NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES offload = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1, sizeof(offload)},
        .DefaultTcpConnectionOffloadConfiguration = &floor->capabilities,
        .TcpConnectionOffloadHardwareCapabilities = &floor->capabilities,
    };
    NDIS_STATUS status = NdisMSetMiniportAttributes(handle, (PVOID)&registration);

    if (status == NDIS_STATUS_SUCCESS)
        status = NdisMSetMiniportAttributes(handle, (PVOID)&floor->general);
    if (status == NDIS_STATUS_SUCCESS && floor->has_chimney)
        status = NdisMSetMiniportAttributes(handle, (PVOID)&offload);
    return status;
}

static NDIS_STATUS
initialize(NDIS_HANDLE NdisMiniportHandle, NDIS_HANDLE MiniportDriverContext,
           PNDIS_MINIPORT_INIT_PARAMETERS MiniportInitParameters)
{
    struct bi_floor *floor = MiniportInitParameters->IMDeviceInstanceContext;
    NDIS_STATUS status = set_attributes(floor, NdisMiniportHandle);
    PNDIS_OFFLOAD_EVENT_HANDLERS table;

    if (status == NDIS_STATUS_SUCCESS && floor->has_chimney) {
        status = NdisMGetOffloadHandlers(NdisMiniportHandle, NdisTcpChimneyOffload, &table);
        if (status == NDIS_STATUS_SUCCESS && table->Header.Size >= sizeof(floor->up))
            NdisMoveMemory(&floor->up, table, sizeof(floor->up));
    }
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    NdisResetEvent(&floor->halted);
    floor->upper = NdisMiniportHandle;
    return NDIS_STATUS_SUCCESS;
}

static VOID
halt(NDIS_HANDLE MiniportAdapterContext, NDIS_HALT_ACTION HaltAction)
{
    struct bi_floor *floor = MiniportAdapterContext;

    floor->upper = NULL;
    NdisSetEvent(&floor->halted);
}

static NDIS_STATUS
pause_adapter(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters)
{
    struct bi_floor *floor = MiniportAdapterContext;

    floor->upper_running = false;
    if (!floor->frames_down && !floor->frames_up)
        return NDIS_STATUS_SUCCESS;
    floor->pausing = true;
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
restart_adapter(NDIS_HANDLE MiniportAdapterContext,
                PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters)
{
    ((struct bi_floor *)MiniportAdapterContext)->upper_running = true;
    return NDIS_STATUS_SUCCESS;
}

static VOID
device_event(NDIS_HANDLE MiniportAdapterContext, PNET_DEVICE_PNP_EVENT NetDevicePnPEvent)
{
}

static VOID
shut_down(NDIS_HANDLE MiniportAdapterContext, NDIS_SHUTDOWN_ACTION ShutdownAction)
{
}

static VOID
cancel(NDIS_HANDLE MiniportAdapterContext, PVOID Id)
{
}

/* ---- registration ---- */

static NDIS_STATUS
register_provider_generic(NDIS_HANDLE NdisDriverHandle)
{
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1,
                   sizeof(generic)},
        .InitiateOffloadHandler = bi_initiate,
        .TerminateOffloadHandler = bi_terminate,
        .UpdateOffloadHandler = bi_update,
        .InvalidateOffloadHandler = bi_invalidate,
        .QueryOffloadHandler = bi_query,
    };

    if (bad_v(4, 7))
        generic.Header.Revision = 0;
    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&generic);
}

static NDIS_STATUS
register_provider_tcp(NDIS_HANDLE NdisDriverHandle)
{
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendHandler = bi_send,
        .TcpOffloadReceiveHandler = bi_receive,
        .TcpOffloadDisconnectHandler = bi_disconnect,
        .TcpOffloadForwardHandler = bi_forward,
        .TcpOffloadReceiveReturnHandler = bi_receive_return,
    };

    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&tcp);
}

static NDIS_STATUS
register_client_generic(NDIS_HANDLE NdisDriverHandle)
{
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1, sizeof(generic)},
        .InitiateOffloadCompleteHandler = bi_initiate_complete,
        .TerminateOffloadCompleteHandler = bi_terminate_complete,
        .UpdateOffloadCompleteHandler = bi_update_complete,
        .InvalidateOffloadCompleteHandler = bi_invalidate_complete,
        .QueryOffloadCompleteHandler = bi_query_complete,
        .IndicateOffloadEventHandler = bi_offload_event,
    };

    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&generic);
}

static NDIS_STATUS
register_client_tcp(NDIS_HANDLE NdisDriverHandle)
{
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendCompleteHandler = bi_send_complete,
        .TcpOffloadReceiveCompleteHandler = bi_receive_complete,
        .TcpOffloadDisconnectCompleteHandler = bi_disconnect_complete,
        .TcpOffloadForwardCompleteHandler = bi_forward_complete,
        .TcpOffloadEventHandler = bi_event,
        .TcpOffloadReceiveIndicateHandler = bi_indicate,
    };

    if (bad_v(4, 6))
        tcp.Flags = 1;
    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&tcp);
}

/* V-003: both pairs. */
static NDIS_STATUS
provider_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_STATUS status = register_provider_generic(NdisDriverHandle);

    if (status != NDIS_STATUS_SUCCESS || bad_v(3, 2))
        return status;
    return register_provider_tcp(NdisDriverHandle);
}

static NDIS_STATUS
client_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_STATUS status;

    if (bad_v(3, 1))
        return NDIS_STATUS_SUCCESS;
    status = register_client_generic(NdisDriverHandle);
    return status == NDIS_STATUS_SUCCESS ? register_client_tcp(NdisDriverHandle) : status;
}

static VOID
unload(PDRIVER_OBJECT DriverObject)
{
    struct bad_im *im = DriverObject->DriverExtension;

    NdisDeregisterProtocolDriver(im->protocol);
    NdisMDeregisterMiniportDriver(im->miniport);
}

static NDIS_STATUS
register_miniport(struct bad_im *im, PDRIVER_OBJECT object, PUNICODE_STRING path)
{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                   NDIS_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2, sizeof(characteristics)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .Flags = NDIS_INTERMEDIATE_DRIVER,
        .SetOptionsHandler = provider_options,
        .InitializeHandlerEx = initialize,
        .HaltHandlerEx = halt,
        .UnloadHandler = unload,
        .PauseHandler = pause_adapter,
        .RestartHandler = restart_adapter,
        .OidRequestHandler = bi_oid,
        .SendNetBufferListsHandler = bi_send_frames,
        .ReturnNetBufferListsHandler = bi_return_frames,
        .CancelSendHandler = cancel,
        .DevicePnPEventNotifyHandler = device_event,
        .ShutdownHandlerEx = shut_down,
        .CancelOidRequestHandler = cancel,
    };

    return NdisMRegisterMiniportDriver(object, path, im, &characteristics, &im->miniport);
}

NDIS_STATUS
bad_im_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                   NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1, sizeof(characteristics)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .Name = NDIS_STRING_CONST(u"im"),
        .SetOptionsHandler = client_options,
        .BindAdapterHandlerEx = bind_adapter,
        .UnbindAdapterHandlerEx = unbind_adapter,
        .OpenAdapterCompleteHandlerEx = open_complete,
        .CloseAdapterCompleteHandlerEx = close_complete,
        .NetPnPEventHandler = pnp_event,
        .OidRequestCompleteHandler = bi_oid_complete,
        .StatusHandlerEx = bi_status,
        .ReceiveNetBufferListsHandler = bi_receive_frames,
        .SendNetBufferListsCompleteHandler = bi_frames_sent,
    };
    struct bad_im *im = DriverObject->DriverExtension;
    NDIS_STATUS status;

    list_init(&im->floors);
    status = register_miniport(im, DriverObject, RegistryPath);
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    status = NdisRegisterProtocolDriver(im, &characteristics, &im->protocol);
    if (status != NDIS_STATUS_SUCCESS) {
        NdisMDeregisterMiniportDriver(im->miniport);
        return status;
    }
    NdisIMAssociateMiniport(im->miniport, im->protocol);
    return NDIS_STATUS_SUCCESS;
}
