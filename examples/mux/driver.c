/*
 * The driver: it registers both edges, each with its half of the chimney tables, and ties them
 * together.
 */
#include "mux.h"

NDIS_HANDLE miniport, protocol;

static NDIS_STATUS
register_miniport(PDRIVER_OBJECT object, PUNICODE_STRING registry, MINIPORT_DRIVER_UNLOAD unload)
{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                   NDIS_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2, sizeof(characteristics)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .Flags = NDIS_INTERMEDIATE_DRIVER,
        .SetOptionsHandler = chimney_provide,
        .InitializeHandlerEx = MiniportInitializeEx,
        .HaltHandlerEx = MiniportHaltEx,
        .UnloadHandler = unload,
        .PauseHandler = MiniportPause,
        .RestartHandler = MiniportRestart,
        .OidRequestHandler = MiniportOidRequest,
        .SendNetBufferListsHandler = MiniportSendNetBufferLists,
        .ReturnNetBufferListsHandler = MiniportReturnNetBufferLists,
        .CancelSendHandler = MiniportCancelSend,
        .CancelOidRequestHandler = MiniportCancelOidRequest,
    };

    return NdisMRegisterMiniportDriver(object, registry, NULL, &characteristics, &miniport);
}

static NDIS_STATUS
register_protocol(void)
{
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                   NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1, sizeof(characteristics)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .Name = NDIS_STRING_CONST(u"mux"),
        .SetOptionsHandler = chimney_use,
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

    return NdisRegisterProtocolDriver(NULL, &characteristics, &protocol);
}

/* The lower edge first: its unbinds take the virtual adapters away. */
static VOID
MiniportUnload(PDRIVER_OBJECT DriverObject)
{
    NdisDeregisterProtocolDriver(protocol);
    NdisMDeregisterMiniportDriver(miniport);
}

NTSTATUS
DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_STATUS status = register_miniport(DriverObject, RegistryPath, MiniportUnload);

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    status = register_protocol();
    if (status != NDIS_STATUS_SUCCESS) {
        NdisMDeregisterMiniportDriver(miniport);
        return status;
    }
    NdisIMAssociateMiniport(miniport, protocol);
    return NDIS_STATUS_SUCCESS;
}
