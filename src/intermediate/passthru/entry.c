/*
 * Loading and unloading. An intermediate driver registers both edges, each with its half of the
 * chimney tables (V-003), and then ties them together. The driver's own memory hangs on the driver
 * object, so that one process can load it more than once.
 */
#include "intermediate/passthru/passthru.h"

#include "base/log.h"

static NDIS_STATUS
set_miniport_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1,
                   sizeof(generic)},
        .InitiateOffloadHandler = PassthruInitiateOffload,
        .TerminateOffloadHandler = PassthruTerminateOffload,
        .UpdateOffloadHandler = PassthruUpdateOffload,
        .InvalidateOffloadHandler = PassthruInvalidateOffload,
        .QueryOffloadHandler = PassthruQueryOffload,
    };
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendHandler = PassthruTcpOffloadSend,
        .TcpOffloadReceiveHandler = PassthruTcpOffloadReceive,
        .TcpOffloadDisconnectHandler = PassthruTcpOffloadDisconnect,
        .TcpOffloadForwardHandler = PassthruTcpOffloadForward,
        .TcpOffloadReceiveReturnHandler = PassthruTcpOffloadReceiveReturn,
    };
    NDIS_STATUS status;

    status = NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&generic);
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&tcp);
}

static NDIS_STATUS
set_protocol_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1, sizeof(generic)},
        .InitiateOffloadCompleteHandler = PassthruInitiateOffloadComplete,
        .TerminateOffloadCompleteHandler = PassthruTerminateOffloadComplete,
        .UpdateOffloadCompleteHandler = PassthruUpdateOffloadComplete,
        .InvalidateOffloadCompleteHandler = PassthruInvalidateOffloadComplete,
        .QueryOffloadCompleteHandler = PassthruQueryOffloadComplete,
        .IndicateOffloadEventHandler = PassthruIndicateOffloadEvent,
    };
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendCompleteHandler = PassthruTcpOffloadSendComplete,
        .TcpOffloadReceiveCompleteHandler = PassthruTcpOffloadReceiveComplete,
        .TcpOffloadDisconnectCompleteHandler = PassthruTcpOffloadDisconnectComplete,
        .TcpOffloadForwardCompleteHandler = PassthruTcpOffloadForwardComplete,
        .TcpOffloadEventHandler = PassthruTcpOffloadEvent,
        .TcpOffloadReceiveIndicateHandler = PassthruTcpOffloadReceiveIndicate,
    };
    NDIS_STATUS status;

    status = NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&generic);
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&tcp);
}

/* The lower edge first: its unbinds take the virtual adapters away. */
static VOID
unload(PDRIVER_OBJECT DriverObject)
{
    struct passthru_driver *driver = DriverObject->DriverExtension;

    NdisDeregisterProtocolDriver(driver->protocol);
    NdisMDeregisterMiniportDriver(driver->miniport);
    DriverObject->DriverExtension = NULL;
    NdisFreeMemory(driver, sizeof(*driver), 0);
}

static NDIS_STATUS
register_miniport(struct passthru_driver *driver, PDRIVER_OBJECT object, PUNICODE_STRING registry)
{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS miniport = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                   NDIS_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2, sizeof(miniport)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .MajorDriverVersion = 1,
        .Flags = NDIS_INTERMEDIATE_DRIVER,
        .SetOptionsHandler = set_miniport_options,
        .InitializeHandlerEx = PassthruInitializeEx,
        .HaltHandlerEx = PassthruHaltEx,
        .UnloadHandler = unload,
        .PauseHandler = PassthruPause,
        .RestartHandler = PassthruRestart,
        .OidRequestHandler = PassthruOidRequest,
        .SendNetBufferListsHandler = PassthruSendNetBufferLists,
        .ReturnNetBufferListsHandler = PassthruReturnNetBufferLists,
        .CancelSendHandler = PassthruCancelSend,
        .DevicePnPEventNotifyHandler = PassthruDevicePnPEventNotify,
        .ShutdownHandlerEx = PassthruShutdownEx,
        .CancelOidRequestHandler = PassthruCancelOidRequest,
    };

    return NdisMRegisterMiniportDriver(object, registry, driver, &miniport, &driver->miniport);
}

static NDIS_STATUS
register_protocol(struct passthru_driver *driver)
{
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS protocol = {
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                   NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1, sizeof(protocol)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .MajorDriverVersion = 1,
        .Name = NDIS_STRING_CONST(u"passthru"),
        .SetOptionsHandler = set_protocol_options,
        .BindAdapterHandlerEx = PassthruBindAdapterEx,
        .UnbindAdapterHandlerEx = PassthruUnbindAdapterEx,
        .OpenAdapterCompleteHandlerEx = PassthruOpenAdapterCompleteEx,
        .CloseAdapterCompleteHandlerEx = PassthruCloseAdapterCompleteEx,
        .NetPnPEventHandler = PassthruNetPnPEvent,
        .OidRequestCompleteHandler = PassthruOidRequestComplete,
        .StatusHandlerEx = PassthruStatusEx,
        .ReceiveNetBufferListsHandler = PassthruReceiveNetBufferLists,
        .SendNetBufferListsCompleteHandler = PassthruSendNetBufferListsComplete,
    };

    return NdisRegisterProtocolDriver(driver, &protocol, &driver->protocol);
}

NTSTATUS
passthru_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    struct passthru_driver *driver;
    NDIS_STATUS status;

    driver = NdisAllocateMemoryWithTagPriority(NULL, sizeof(*driver), PASSTHRU_TAG,
                                               NormalPoolPriority);
    if (!driver)
        return NDIS_STATUS_RESOURCES;
    NdisZeroMemory(driver, sizeof(*driver));
    DriverObject->DriverExtension = driver;
    status = register_miniport(driver, DriverObject, RegistryPath);
    if (status != NDIS_STATUS_SUCCESS)
        goto free_driver;
    status = register_protocol(driver);
    if (status != NDIS_STATUS_SUCCESS)
        goto deregister_miniport;
    NdisIMAssociateMiniport(driver->miniport, driver->protocol);
    return NDIS_STATUS_SUCCESS;

deregister_miniport:
    NdisMDeregisterMiniportDriver(driver->miniport);
free_driver:
    log_warn("passthru: registration failed, status %08x", (unsigned)status);
    DriverObject->DriverExtension = NULL;
    NdisFreeMemory(driver, sizeof(*driver), 0);
    return status;
}
