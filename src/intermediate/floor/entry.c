/*
 * Loading and unloading. An intermediate driver registers both edges, each with its half of the
 * chimney tables (V-003), and then ties them together. The driver's own memory hangs on the driver
 * object, so that one process can load it more than once.
 */
#include "intermediate/floor/floor.h"

#include "base/log.h"

/* ---- the defaults ---- */

static void
fill_provider(struct floor_handlers *handlers)
{
    handlers->provider = (NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1,
                   sizeof(handlers->provider)},
        .InitiateOffloadHandler = FloorInitiateOffload,
        .TerminateOffloadHandler = FloorTerminateOffload,
        .UpdateOffloadHandler = FloorUpdateOffload,
        .InvalidateOffloadHandler = FloorInvalidateOffload,
        .QueryOffloadHandler = FloorQueryOffload,
    };
    handlers->provider_tcp = (NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1,
                   sizeof(handlers->provider_tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendHandler = FloorTcpOffloadSend,
        .TcpOffloadReceiveHandler = FloorTcpOffloadReceive,
        .TcpOffloadDisconnectHandler = FloorTcpOffloadDisconnect,
        .TcpOffloadForwardHandler = FloorTcpOffloadForward,
        .TcpOffloadReceiveReturnHandler = FloorTcpOffloadReceiveReturn,
    };
}

static void
fill_client(struct floor_handlers *handlers)
{
    handlers->client = (NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1,
                   sizeof(handlers->client)},
        .InitiateOffloadCompleteHandler = FloorOffloadComplete,
        .TerminateOffloadCompleteHandler = FloorOffloadComplete,
        .UpdateOffloadCompleteHandler = FloorOffloadComplete,
        .InvalidateOffloadCompleteHandler = FloorOffloadComplete,
        .QueryOffloadCompleteHandler = FloorOffloadComplete,
        .IndicateOffloadEventHandler = FloorIndicateOffloadEvent,
    };
    handlers->client_tcp = (NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1,
                   sizeof(handlers->client_tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendCompleteHandler = FloorTcpOffloadSendComplete,
        .TcpOffloadReceiveCompleteHandler = FloorTcpOffloadReceiveComplete,
        .TcpOffloadDisconnectCompleteHandler = FloorTcpOffloadDisconnectComplete,
        .TcpOffloadForwardCompleteHandler = FloorTcpOffloadForwardComplete,
        .TcpOffloadEventHandler = FloorTcpOffloadEvent,
        .TcpOffloadReceiveIndicateHandler = FloorTcpOffloadReceiveIndicate,
    };
}

static NDIS_STATUS
set_miniport_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    struct floor_driver *driver = DriverContext;
    NDIS_STATUS status;

    if (driver->handlers.deaf)
        return NDIS_STATUS_SUCCESS;
    status = NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&driver->handlers.provider);
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&driver->handlers.provider_tcp);
}

static NDIS_STATUS
set_protocol_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    struct floor_driver *driver = DriverContext;
    NDIS_STATUS status;

    if (driver->handlers.deaf)
        return NDIS_STATUS_SUCCESS;
    status = NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&driver->handlers.client);
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&driver->handlers.client_tcp);
}

/* The lower edge first: its unbinds take the virtual adapters away. */
static VOID
unload(PDRIVER_OBJECT DriverObject)
{
    struct floor_driver *driver = DriverObject->DriverExtension;

    NdisDeregisterProtocolDriver(driver->protocol);
    NdisMDeregisterMiniportDriver(driver->miniport);
    DriverObject->DriverExtension = NULL;
    NdisFreeMemory(driver, sizeof(*driver), 0);
}

static void
fill_miniport(struct floor_handlers *handlers)
{
    handlers->miniport = (NDIS_MINIPORT_DRIVER_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                   NDIS_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2, sizeof(handlers->miniport)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .MajorDriverVersion = 1,
        .Flags = NDIS_INTERMEDIATE_DRIVER,
        .SetOptionsHandler = set_miniport_options,
        .InitializeHandlerEx = FloorInitializeEx,
        .HaltHandlerEx = FloorHaltEx,
        .UnloadHandler = unload,
        .PauseHandler = FloorPause,
        .RestartHandler = FloorRestart,
        .OidRequestHandler = FloorOidRequest,
        .SendNetBufferListsHandler = FloorSendNetBufferLists,
        .ReturnNetBufferListsHandler = FloorReturnNetBufferLists,
        .CancelSendHandler = FloorCancelSend,
        .DevicePnPEventNotifyHandler = FloorDevicePnPEventNotify,
        .ShutdownHandlerEx = FloorShutdownEx,
        .CancelOidRequestHandler = FloorCancelOidRequest,
    };
}

static void
fill_protocol(struct floor_handlers *handlers, const struct floor_kind *kind)
{
    handlers->protocol = (NDIS_PROTOCOL_DRIVER_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                   NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1, sizeof(handlers->protocol)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .MajorDriverVersion = 1,
        .Name = kind->protocol_name,
        .SetOptionsHandler = set_protocol_options,
        .BindAdapterHandlerEx = FloorBindAdapterEx,
        .UnbindAdapterHandlerEx = FloorUnbindAdapterEx,
        .OpenAdapterCompleteHandlerEx = FloorOpenAdapterCompleteEx,
        .CloseAdapterCompleteHandlerEx = FloorCloseAdapterCompleteEx,
        .NetPnPEventHandler = FloorNetPnPEvent,
        .OidRequestCompleteHandler = FloorOidRequestComplete,
        .StatusHandlerEx = FloorStatusEx,
        .ReceiveNetBufferListsHandler = FloorReceiveNetBufferLists,
        .SendNetBufferListsCompleteHandler = FloorSendNetBufferListsComplete,
    };
}

/* ---- registration ---- */

static struct floor_driver *
driver_create(const struct floor_kind *kind)
{
    struct floor_driver *driver;

    driver = NdisAllocateMemoryWithTagPriority(NULL, sizeof(*driver), FLOOR_TAG,
                                               NormalPoolPriority);
    if (!driver)
        return NULL;
    NdisZeroMemory(driver, sizeof(*driver));
    driver->kind = kind;
    fill_miniport(&driver->handlers);
    fill_protocol(&driver->handlers, kind);
    fill_provider(&driver->handlers);
    fill_client(&driver->handlers);
    if (kind->override)
        kind->override(&driver->handlers);
    return driver;
}

NTSTATUS
floor_start(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath,
            const struct floor_kind *kind)
{
    struct floor_driver *driver = driver_create(kind);
    NDIS_STATUS status;

    if (!driver)
        return NDIS_STATUS_RESOURCES;
    DriverObject->DriverExtension = driver;
    status = NdisMRegisterMiniportDriver(DriverObject, RegistryPath, driver,
                                         &driver->handlers.miniport, &driver->miniport);
    if (status != NDIS_STATUS_SUCCESS)
        goto free_driver;
    status = NdisRegisterProtocolDriver(driver, &driver->handlers.protocol, &driver->protocol);
    if (status != NDIS_STATUS_SUCCESS)
        goto deregister_miniport;
    NdisIMAssociateMiniport(driver->miniport, driver->protocol);
    return NDIS_STATUS_SUCCESS;

deregister_miniport:
    NdisMDeregisterMiniportDriver(driver->miniport);
free_driver:
    log_warn("%s: registration failed, status %08x", kind->name, (unsigned)status);
    DriverObject->DriverExtension = NULL;
    NdisFreeMemory(driver, sizeof(*driver), 0);
    return status;
}
