/* Registration and life of the least target and the least host (test_pair.h). */
#include "ndis/test_pair.h"

#include <stdio.h>

/* ---- the target ---- */

static NDIS_STATUS
target_initialize(NDIS_HANDLE NdisMiniportHandle, NDIS_HANDLE MiniportDriverContext,
                  PNDIS_MINIPORT_INIT_PARAMETERS MiniportInitParameters)
{
    NDIS_TCP_CONNECTION_OFFLOAD can = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NDIS_TCP_CONNECTION_OFFLOAD_REVISION_2, sizeof(can)},
        .Encapsulation = NDIS_ENCAPSULATION_IEEE_802_3,
        .SupportIPv4 = NDIS_OFFLOAD_SUPPORTED,
        .TcpConnectionOffloadCapacity = 10000000,
    };
    NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES registration = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES_REVISION_1, sizeof(registration)},
        .MiniportAdapterContext = MiniportDriverContext,
    };
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES general = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_1, sizeof(general)},
        .MtuSize = 1500,
        .MacAddressLength = 6,
    };
    NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES offload = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1, sizeof(offload)},
        .DefaultTcpConnectionOffloadConfiguration = &can,
    };
    struct pair *pair = MiniportDriverContext;
    PNDIS_OFFLOAD_EVENT_HANDLERS handlers;

    pair->adapter = NdisMiniportHandle;
    if (NdisMSetMiniportAttributes(NdisMiniportHandle, (PVOID)&registration) ||
        NdisMSetMiniportAttributes(NdisMiniportHandle, (PVOID)&general) ||
        NdisMSetMiniportAttributes(NdisMiniportHandle, (PVOID)&offload) ||
        NdisMGetOffloadHandlers(NdisMiniportHandle, NdisTcpChimneyOffload, &handlers))
        return NDIS_STATUS_FAILURE;
    memcpy(&pair->up, handlers, sizeof(pair->up));
    return NDIS_STATUS_SUCCESS;
}

static VOID
target_halt(NDIS_HANDLE MiniportAdapterContext, NDIS_HALT_ACTION HaltAction)
{
}

static NDIS_STATUS
target_pause(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters)
{
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
target_restart(NDIS_HANDLE MiniportAdapterContext,
               PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters)
{
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
target_oid(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    return NDIS_STATUS_NOT_SUPPORTED;
}

static VOID
target_send_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
                   NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct pair *pair = MiniportAdapterContext;

    NdisMSendNetBufferListsComplete(pair->adapter, NetBufferList, 0);
}

static VOID
target_return_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                     ULONG ReturnFlags)
{
}

static VOID
target_operation(NDIS_HANDLE MiniportAdapterContext,
                 PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
}

static NDIS_STATUS
target_data(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
            PNET_BUFFER_LIST NetBufferList)
{
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
target_disconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                  PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
target_receive_return(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
target_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    struct pair *pair = DriverContext;
    NDIS_STATUS status = NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&pair->target);

    return status ? status : NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&pair->target_tcp);
}

static VOID
target_unload(PDRIVER_OBJECT DriverObject)
{
    struct pair *pair = DriverObject->DriverExtension;

    NdisMDeregisterMiniportDriver(pair->driver);
}

static NDIS_STATUS
target_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    struct pair *pair = DriverObject->DriverExtension;

    return NdisMRegisterMiniportDriver(DriverObject, RegistryPath, pair, &pair->miniport,
                                       &pair->driver);
}

static void
target_init(struct pair *pair)
{
    pair->target = (NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, 1,
                   sizeof(pair->target)},
        .InitiateOffloadHandler = target_operation,
        .TerminateOffloadHandler = target_operation,
        .UpdateOffloadHandler = target_operation,
        .InvalidateOffloadHandler = target_operation,
        .QueryOffloadHandler = target_operation,
    };
    pair->target_tcp = (NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS, 1,
                   sizeof(pair->target_tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendHandler = target_data,
        .TcpOffloadReceiveHandler = target_data,
        .TcpOffloadDisconnectHandler = target_disconnect,
        .TcpOffloadForwardHandler = target_data,
        .TcpOffloadReceiveReturnHandler = target_receive_return,
    };
    pair->miniport = (NDIS_MINIPORT_DRIVER_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                   NDIS_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2, sizeof(pair->miniport)},
        .MajorNdisVersion = 6,
        .SetOptionsHandler = target_options,
        .InitializeHandlerEx = target_initialize,
        .HaltHandlerEx = target_halt,
        .UnloadHandler = target_unload,
        .PauseHandler = target_pause,
        .RestartHandler = target_restart,
        .OidRequestHandler = target_oid,
        .SendNetBufferListsHandler = target_send_frames,
        .ReturnNetBufferListsHandler = target_return_frames,
    };
}

/* ---- the host ---- */

static NDIS_STATUS
host_bind(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
          PNDIS_BIND_PARAMETERS BindParameters)
{
    struct pair *pair = ProtocolDriverContext;
    NDIS_OPEN_PARAMETERS parameters = {.AdapterName = BindParameters->AdapterName};

    return NdisOpenAdapterEx(pair->lower_edge, pair, &parameters, BindContext, &pair->binding);
}

static NDIS_STATUS
host_unbind(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct pair *pair = ProtocolBindingContext;

    return NdisCloseAdapterEx(pair->binding);
}

static VOID
host_open_complete(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
}

static VOID
host_close_complete(NDIS_HANDLE ProtocolBindingContext)
{
}

static NDIS_STATUS
host_pnp(NDIS_HANDLE ProtocolBindingContext, PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    return NDIS_STATUS_SUCCESS;
}

static VOID
host_oid_complete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                  NDIS_STATUS Status)
{
}

static VOID
host_status(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
}

static VOID
host_receive_frames(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                    NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists, ULONG ReceiveFlags)
{
    struct pair *pair = ProtocolBindingContext;

    if (!NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags))
        NdisReturnNetBufferLists(pair->binding, NetBufferLists, 0);
}

static VOID
host_send_frames_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
                          ULONG SendCompleteFlags)
{
}

static VOID
host_operation_complete(NDIS_HANDLE ProtocolBindingContext,
                        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
}

static VOID
host_block_event(NDIS_HANDLE ProtocolBindingContext,
                 PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
}

static VOID
host_data_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
}

static VOID
host_event(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
}

static NDIS_STATUS
host_indicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList, NDIS_STATUS Status,
              PULONG BytesConsumed)
{
    return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
}

static NDIS_STATUS
host_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    struct pair *pair = DriverContext;
    NDIS_STATUS status = NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&pair->host);

    return status ? status : NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&pair->host_tcp);
}

static VOID
host_unload(PDRIVER_OBJECT DriverObject)
{
    struct pair *pair = DriverObject->DriverExtension;

    NdisDeregisterProtocolDriver(pair->lower_edge);
}

NDIS_STATUS
pair_host_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    struct pair *pair = DriverObject->DriverExtension;

    DriverObject->DriverUnload = host_unload;
    return NdisRegisterProtocolDriver(pair, &pair->protocol, &pair->lower_edge);
}

static void
host_init(struct pair *pair)
{
    pair->host = (NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, 1,
                   sizeof(pair->host)},
        .InitiateOffloadCompleteHandler = host_operation_complete,
        .TerminateOffloadCompleteHandler = host_operation_complete,
        .UpdateOffloadCompleteHandler = host_operation_complete,
        .InvalidateOffloadCompleteHandler = host_operation_complete,
        .QueryOffloadCompleteHandler = host_operation_complete,
        .IndicateOffloadEventHandler = host_block_event,
    };
    pair->host_tcp = (NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS, 1,
                   sizeof(pair->host_tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendCompleteHandler = host_data_complete,
        .TcpOffloadReceiveCompleteHandler = host_data_complete,
        .TcpOffloadDisconnectCompleteHandler = host_data_complete,
        .TcpOffloadForwardCompleteHandler = host_data_complete,
        .TcpOffloadEventHandler = host_event,
        .TcpOffloadReceiveIndicateHandler = host_indicate,
    };
    pair->protocol = (NDIS_PROTOCOL_DRIVER_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                   NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1, sizeof(pair->protocol)},
        .MajorNdisVersion = 6,
        .Name = NDIS_STRING_CONST(u"host"),
        .SetOptionsHandler = host_options,
        .BindAdapterHandlerEx = host_bind,
        .UnbindAdapterHandlerEx = host_unbind,
        .OpenAdapterCompleteHandlerEx = host_open_complete,
        .CloseAdapterCompleteHandlerEx = host_close_complete,
        .NetPnPEventHandler = host_pnp,
        .OidRequestCompleteHandler = host_oid_complete,
        .StatusHandlerEx = host_status,
        .ReceiveNetBufferListsHandler = host_receive_frames,
        .SendNetBufferListsCompleteHandler = host_send_frames_complete,
    };
}

/* ---- both ---- */

void
pair_init(struct pair *pair)
{
    memset(pair, 0, sizeof(*pair));
    target_init(pair);
    host_init(pair);
}

static bool
pair_build(struct pair *pair, house_driver_entry middle, unsigned floors)
{
    char below[16] = "nic0", above[16];

    if (house_load(pair->house, "target", target_entry, pair) ||
        house_load(pair->house, "host", pair_host_entry, pair) ||
        house_add_adapter(pair->house, "target", "nic0", NULL, NULL))
        return false;
    if (floors && house_load(pair->house, "middle", middle, NULL))
        return false;
    for (unsigned i = 0; i < floors; i++) {
        snprintf(above, sizeof(above), "floor%u", i + 1);
        if (house_bind(pair->house, "middle", below, above))
            return false;
        memcpy(below, above, sizeof(below));
    }
    return house_bind(pair->house, "host", below, NULL) == 0;
}

bool
pair_open(struct pair *pair, house_driver_entry middle, unsigned floors)
{
    pair->loop = sys_loop_create();
    if (!pair->loop)
        return false;
    if (house_create(pair->loop, &pair->house) == 0 && pair_build(pair, middle, floors))
        return true;
    pair_close(pair);
    return false;
}

void
pair_close(struct pair *pair)
{
    house_destroy(pair->house);
    sys_loop_destroy(pair->loop);
    pair->house = NULL;
    pair->loop = NULL;
}
