/* The fake intermediate driver: entry of the fake, its two edges, and what goes through. */
#include "ndis/test_im.h"

#include "base/list.h"

#include <stdlib.h>

/* ---- state operations ---- */

static void
send_down(struct entry *entry, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block,
          VOID (*call)(NDIS_HANDLE NdisBindingHandle,
                       PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList))
{
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST down = (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST)block;

    entry->upper = block->NdisOffloadHandle;
    entry->cell = block->MiniportOffloadContext;
    entry->im_reserved = block->ImReserved[0];
    entry->source = block->SourceHandle;
    block->ImReserved[0] = entry;
    down->OffloadHandle = &entry->own;
    call(entry->floor->binding, down);
}

static struct entry *
take_up(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST up = (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)block;
    struct entry *entry = block->ImReserved[0];

    assert_null(block->NdisReserved[2]);
    up->ImReserved[0] = entry->im_reserved;
    up->SourceHandle = entry->source;
    up->NdisOffloadHandle = entry->upper;
    up->MiniportOffloadContext = entry->cell;
    return entry;
}

static VOID
im_initiate(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct entry *entry = calloc(1, sizeof(*entry));

    entry->floor = MiniportAdapterContext;
    send_down(entry, OffloadBlockList, NdisInitiateOffload);
}

static VOID
im_initiate_complete(NDIS_HANDLE ProtocolBindingContext,
                     PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct floor *floor = ProtocolBindingContext;
    struct entry *entry = take_up(OffloadBlockList);

    if (OffloadBlockList->Status == NDIS_STATUS_SUCCESS)
        *entry->cell = entry;
    else
        free(entry);
    NdisMInitiateOffloadComplete(floor->adapter,
                                 (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)OffloadBlockList);
}

static VOID
im_terminate(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    send_down(*OffloadBlockList->MiniportOffloadContext, OffloadBlockList, NdisTerminateOffload);
}

static VOID
im_terminate_complete(NDIS_HANDLE ProtocolBindingContext,
                      PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct floor *floor = ProtocolBindingContext;
    struct entry *entry = take_up(OffloadBlockList);

    assert_null(entry->own.MiniportOffloadContext); /* P19 */
    NdisMTerminateOffloadComplete(floor->adapter,
                                  (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)OffloadBlockList);
    free(entry);
}

static VOID
im_query(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    send_down(*OffloadBlockList->MiniportOffloadContext, OffloadBlockList, NdisQueryOffloadState);
}

static VOID
im_query_complete(NDIS_HANDLE ProtocolBindingContext,
                  PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct floor *floor = ProtocolBindingContext;

    take_up(OffloadBlockList);
    NdisMQueryOffloadStateComplete(floor->adapter,
                                   (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)OffloadBlockList);
}

static VOID
im_event_block(NDIS_HANDLE ProtocolBindingContext,
               PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
}

/* ---- data ---- */

static NDIS_STATUS
im_send(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
        PNET_BUFFER_LIST NetBufferList)
{
    struct entry *entry = MiniportOffloadContext;

    return NdisOffloadTcpSend(&entry->own, NetBufferList);
}

static NDIS_STATUS
im_disconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
              PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    struct entry *entry = MiniportOffloadContext;

    return NdisOffloadTcpDisconnect(&entry->own, NetBufferList, Flags);
}

static NDIS_STATUS
im_receive_return(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    struct floor *floor = MiniportAdapterContext;

    NdisOffloadTcpReceiveReturn(floor->binding, NetBufferList);
    return NDIS_STATUS_SUCCESS;
}

static VOID
im_send_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct floor *floor = ProtocolBindingContext;

    floor->up.NdisTcpOffloadSendComplete(floor->adapter, NetBufferList);
}

static VOID
im_event(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct entry *entry = container_of(OffloadContext, struct entry, own);

    entry->floor->up.NdisTcpOffloadEventHandler(entry->upper, EventType, EventSpecificInformation);
}

static NDIS_STATUS
im_indicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList, NDIS_STATUS Status,
            PULONG BytesConsumed)
{
    struct entry *entry = container_of(OffloadContext, struct entry, own);

    return entry->floor->up.NdisTcpOffloadReceiveHandler(entry->upper, NetBufferList, Status,
                                                         BytesConsumed);
}

static VOID
im_send_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
               NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct floor *floor = MiniportAdapterContext;

    NdisSendNetBufferLists(floor->binding, NetBufferList, PortNumber, SendFlags);
}

static VOID
im_send_frames_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
                        ULONG SendCompleteFlags)
{
    struct floor *floor = ProtocolBindingContext;

    NdisMSendNetBufferListsComplete(floor->adapter, NetBufferList, SendCompleteFlags);
}

static VOID
im_receive_frames(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                  NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists, ULONG ReceiveFlags)
{
    struct floor *floor = ProtocolBindingContext;

    NdisMIndicateReceiveNetBufferLists(floor->adapter, NetBufferLists, PortNumber,
                                       NumberOfNetBufferLists, ReceiveFlags);
}

static VOID
im_return_frames(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                 ULONG ReturnFlags)
{
    struct floor *floor = MiniportAdapterContext;

    NdisReturnNetBufferLists(floor->binding, NetBufferLists, ReturnFlags);
}

/* ---- the upper edge ---- */

static NDIS_STATUS
im_initialize(NDIS_HANDLE NdisMiniportHandle, NDIS_HANDLE MiniportDriverContext,
              PNDIS_MINIPORT_INIT_PARAMETERS MiniportInitParameters)
{
    struct floor *floor = MiniportInitParameters->IMDeviceInstanceContext;
    NDIS_TCP_CONNECTION_OFFLOAD can = {.Encapsulation = NDIS_ENCAPSULATION_IEEE_802_3,
                                       .SupportIPv4 = NDIS_OFFLOAD_SUPPORTED,
                                       .TcpConnectionOffloadCapacity = 10};
    NDIS_MINIPORT_ADAPTER_ATTRIBUTES attributes;
    PNDIS_OFFLOAD_EVENT_HANDLERS handlers;

    stage_trace(floor->im->stage, "v-initialize");
    if (floor->im->ask)
        floor->im->ask(NdisMiniportHandle);
    if (floor->im->fail_initialize)
        return NDIS_STATUS_RESOURCES;
    floor->adapter = NdisMiniportHandle;
    memset(&attributes, 0, sizeof(attributes));
    attributes.Header.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES;
    attributes.RegistrationAttributes.MiniportAdapterContext = floor;
    NdisMSetMiniportAttributes(NdisMiniportHandle, &attributes);
    memset(&attributes, 0, sizeof(attributes));
    attributes.Header.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES;
    attributes.OffloadAttributes.TcpConnectionOffloadHardwareCapabilities = &can;
    NdisMSetMiniportAttributes(NdisMiniportHandle, &attributes);
    NdisMGetOffloadHandlers(NdisMiniportHandle, NdisTcpChimneyOffload, &handlers);
    memcpy(&floor->up, handlers, sizeof(floor->up));
    return NDIS_STATUS_SUCCESS;
}

static VOID
im_halt(NDIS_HANDLE MiniportAdapterContext, NDIS_HALT_ACTION HaltAction)
{
    struct floor *floor = MiniportAdapterContext;

    stage_trace(floor->im->stage, "v-halt");
    floor->adapter = NULL;
}

static NDIS_STATUS
im_pause(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters)
{
    stage_trace(((struct floor *)MiniportAdapterContext)->im->stage, "v-pause");
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
im_restart(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters)
{
    stage_trace(((struct floor *)MiniportAdapterContext)->im->stage, "v-restart");
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
im_oid(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    return NDIS_STATUS_NOT_SUPPORTED;
}

static NDIS_STATUS
im_provider_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, 1,
                   sizeof(generic)},
        .InitiateOffloadHandler = im_initiate,
        .TerminateOffloadHandler = im_terminate,
        .UpdateOffloadHandler = im_query,
        .InvalidateOffloadHandler = im_query,
        .QueryOffloadHandler = im_query,
    };
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS, 1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendHandler = im_send,
        .TcpOffloadReceiveHandler = im_send,
        .TcpOffloadDisconnectHandler = im_disconnect,
        .TcpOffloadForwardHandler = im_send,
        .TcpOffloadReceiveReturnHandler = im_receive_return,
    };

    NdisSetOptionalHandlers(NdisDriverHandle, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&generic);
    return NdisSetOptionalHandlers(NdisDriverHandle, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&tcp);
}

/* ---- the lower edge ---- */

static NDIS_STATUS
im_bind(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
        PNDIS_BIND_PARAMETERS BindParameters)
{
    struct fake_im *im = ProtocolDriverContext;
    NDIS_OPEN_PARAMETERS parameters = {.AdapterName = BindParameters->AdapterName};
    struct floor *floor = calloc(1, sizeof(*floor));
    NDIS_STATUS status;

    floor->im = im;
    if (im->twice) /* not open yet */
        assert_int_equal(
            NdisIMInitializeDeviceInstanceEx(im->miniport, BindParameters->ProtocolSection, floor),
            NDIS_STATUS_NOT_ACCEPTED);
    status = NdisOpenAdapterEx(im->protocol, floor, &parameters, BindContext, &floor->binding);
    if (status == NDIS_STATUS_SUCCESS)
        status = NdisIMInitializeDeviceInstanceEx(im->miniport, BindParameters->ProtocolSection,
                                                  floor);
    if (status == NDIS_STATUS_SUCCESS && im->twice)
        assert_int_equal(
            NdisIMInitializeDeviceInstanceEx(im->miniport, BindParameters->ProtocolSection, floor),
            NDIS_STATUS_NOT_ACCEPTED);
    if (status == NDIS_STATUS_SUCCESS && im->cancel)
        status = NdisIMCancelInitializeDeviceInstance(im->miniport,
                                                      BindParameters->ProtocolSection);
    if (status != NDIS_STATUS_SUCCESS && floor->binding)
        NdisCloseAdapterEx(floor->binding);
    if (status != NDIS_STATUS_SUCCESS)
        free(floor);
    return status;
}

static NDIS_STATUS
im_unbind(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct floor *floor = ProtocolBindingContext;
    bool leave = floor->im->leave_adapter;

    stage_trace(floor->im->stage, "v-unbind");
    if (floor->adapter && !leave)
        NdisIMDeInitializeDeviceInstance(floor->adapter);
    NdisCloseAdapterEx(floor->binding);
    if (!leave) /* otherwise the adapter will still be halted */
        free(floor);
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
im_pnp(NDIS_HANDLE ProtocolBindingContext, PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    struct floor *floor = ProtocolBindingContext;

    stage_trace(floor->im->stage, NetPnPEventNotification->NetPnPEvent.NetEvent == NetEventPause
                                      ? "v-event-pause"
                                      : "v-event-restart");
    return floor->adapter ? NdisMNetPnPEvent(floor->adapter, NetPnPEventNotification)
                          : NDIS_STATUS_SUCCESS;
}

static VOID
im_oid_complete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                NDIS_STATUS Status)
{
}

static VOID
im_status(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
    struct floor *floor = ProtocolBindingContext;

    if (floor->adapter)
        NdisMIndicateStatusEx(floor->adapter, StatusIndication);
}

static VOID
im_open_complete(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
}

static VOID
im_close_complete(NDIS_HANDLE ProtocolBindingContext)
{
}

static NDIS_STATUS
im_client_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    struct fake_im *im = DriverContext;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, 1,
                   sizeof(generic)},
        .InitiateOffloadCompleteHandler = im_initiate_complete,
        .TerminateOffloadCompleteHandler = im_terminate_complete,
        .UpdateOffloadCompleteHandler = im_query_complete,
        .InvalidateOffloadCompleteHandler = im_query_complete,
        .QueryOffloadCompleteHandler = im_query_complete,
        .IndicateOffloadEventHandler = im_event_block,
    };
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS, 1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendCompleteHandler = im_send_complete,
        .TcpOffloadReceiveCompleteHandler = im_send_complete,
        .TcpOffloadDisconnectCompleteHandler = im_send_complete,
        .TcpOffloadForwardCompleteHandler = im_send_complete,
        .TcpOffloadEventHandler = im_event,
        .TcpOffloadReceiveIndicateHandler = im_indicate,
    };

    if (im->no_client)
        return NDIS_STATUS_SUCCESS;
    NdisSetOptionalHandlers(NdisDriverHandle, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&generic);
    return NdisSetOptionalHandlers(NdisDriverHandle, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&tcp);
}

static VOID
im_unload(PDRIVER_OBJECT DriverObject)
{
    struct fake_im *im = DriverObject->DriverExtension;

    NdisDeregisterProtocolDriver(im->protocol);
    NdisMDeregisterMiniportDriver(im->miniport);
}

NDIS_STATUS
fake_im_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS miniport = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS, 2, sizeof(miniport)},
        .MajorNdisVersion = 6,
        .Flags = NDIS_INTERMEDIATE_DRIVER,
        .SetOptionsHandler = im_provider_options,
        .InitializeHandlerEx = im_initialize,
        .HaltHandlerEx = im_halt,
        .UnloadHandler = im_unload,
        .PauseHandler = im_pause,
        .RestartHandler = im_restart,
        .OidRequestHandler = im_oid,
        .SendNetBufferListsHandler = im_send_frames,
        .ReturnNetBufferListsHandler = im_return_frames,
    };
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS protocol = {
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS, 1, sizeof(protocol)},
        .MajorNdisVersion = 6,
        .SetOptionsHandler = im_client_options,
        .BindAdapterHandlerEx = im_bind,
        .UnbindAdapterHandlerEx = im_unbind,
        .OpenAdapterCompleteHandlerEx = im_open_complete,
        .CloseAdapterCompleteHandlerEx = im_close_complete,
        .NetPnPEventHandler = im_pnp,
        .OidRequestCompleteHandler = im_oid_complete,
        .StatusHandlerEx = im_status,
        .ReceiveNetBufferListsHandler = im_receive_frames,
        .SendNetBufferListsCompleteHandler = im_send_frames_complete,
    };
    struct fake_im *im = DriverObject->DriverExtension;

    assert_int_equal(
        NdisMRegisterMiniportDriver(DriverObject, RegistryPath, im, &miniport, &im->miniport), 0);
    assert_int_equal(NdisRegisterProtocolDriver(im, &protocol, &im->protocol), 0);
    NdisIMAssociateMiniport(im->miniport, im->protocol);
    return NDIS_STATUS_SUCCESS;
}
