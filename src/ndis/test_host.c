/* The fake host stack: it remembers what came up. */
#include "ndis/test_fakes.h"

/* ---- the host: life ---- */

static struct fake_host *
host_of(NDIS_HANDLE context)
{
    return context;
}

static NDIS_STATUS
host_open(struct fake_host *host)
{
    NDIS_MEDIUM media[] = {host->medium};
    UINT selected;
    NDIS_OPEN_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_OPEN_PARAMETERS, NDIS_OPEN_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
        .MediumArray = media,
        .MediumArraySize = 1,
        .SelectedMediumIndex = &selected,
    };

    return NdisOpenAdapterEx(host->protocol, host, &parameters, host->bind_context, &host->binding);
}

static void
bind_later(void *arg)
{
    struct fake_host *host = arg;
    NDIS_STATUS status = host_open(host);

    NdisCompleteBindAdapterEx(host->bind_context, status);
}

static NDIS_STATUS
host_bind(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
          PNDIS_BIND_PARAMETERS BindParameters)
{
    struct fake_host *host = host_of(ProtocolDriverContext);
    NDIS_STATUS status;

    stage_trace(host->stage, "bind");
    host->saw_capabilities = BindParameters->TcpConnectionOffloadCapabilities != NULL;
    if (host->saw_capabilities)
        host->capabilities = *BindParameters->TcpConnectionOffloadCapabilities;
    host->bind_context = BindContext;
    if (host->never_open)
        return NDIS_STATUS_SUCCESS;
    if (host->pend_bind) {
        sys_task_init(&host->task, bind_later, host);
        sys_loop_defer(host->stage->loop, &host->task);
        return NDIS_STATUS_PENDING;
    }
    status = host_open(host);
    if (status == NDIS_STATUS_PENDING)
        return status;
    if (host->open_twice)
        assert_int_not_equal(host_open(host), NDIS_STATUS_SUCCESS);
    return host->fail_bind ? NDIS_STATUS_FAILURE : status;
}

static void
unbind_later(void *arg)
{
    struct fake_host *host = arg;

    NdisCloseAdapterEx(host->binding);
    NdisCompleteUnbindAdapterEx(host->bind_context);
}

static NDIS_STATUS
host_unbind(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    stage_trace(host->stage, "unbind");
    host->bind_context = UnbindContext;
    if (host->never_close)
        return NDIS_STATUS_SUCCESS;
    if (!host->pend_unbind)
        return NdisCloseAdapterEx(host->binding);
    sys_task_init(&host->task, unbind_later, host);
    sys_loop_defer(host->stage->loop, &host->task);
    return NDIS_STATUS_PENDING;
}

static VOID
host_open_complete(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    stage_trace(host->stage, "opened");
    NdisCompleteBindAdapterEx(host->bind_context, Status);
}

static VOID
host_close_complete(NDIS_HANDLE ProtocolBindingContext)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    stage_trace(host->stage, "closed");
    NdisCompleteUnbindAdapterEx(host->bind_context);
}

static VOID
event_later(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct fake_host *host = WorkItemContext;

    NdisFreeIoWorkItem(NdisIoWorkItemHandle);
    NdisCompleteNetPnPEvent(host->binding, host->event, host->event_status);
}

static NDIS_STATUS
host_pnp(NDIS_HANDLE ProtocolBindingContext, PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    switch (NetPnPEventNotification->NetPnPEvent.NetEvent) {
    case NetEventRestart:
        stage_trace(host->stage, "event-restart");
        return host->restart_status;
    case NetEventPause:
        stage_trace(host->stage, "event-pause");
        if (host->terminate_on_pause)
            NdisTerminateOffload(host->binding, host->live);
        return NDIS_STATUS_SUCCESS;
    default:
        stage_trace(host->stage, "event");
        if (!host->pend_event)
            return host->event_status;
        host->event = NetPnPEventNotification;
        NdisQueueIoWorkItem(NdisAllocateIoWorkItem(host->binding), event_later, host);
        return NDIS_STATUS_PENDING;
    }
}

static VOID
host_oid_complete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                  NDIS_STATUS Status)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    host->oid_done = OidRequest;
    host->oid_status = Status;
    host->oids_done++;
    host->level = KeGetCurrentIrql();
}

static VOID
host_direct_complete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                     NDIS_STATUS Status)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    host->direct_done = OidRequest;
    host->oid_status = Status;
    host->level = KeGetCurrentIrql();
}

static VOID
host_status(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    host->status_seen = StatusIndication->StatusCode;
    host->statuses++;
}

static VOID
host_receive_frames(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                    NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists, ULONG ReceiveFlags)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    if (NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags)) {
        host->copies += test_count(NetBufferLists);
        return;
    }
    host->frames += test_count(NetBufferLists);
    NdisReturnNetBufferLists(host->binding, NetBufferLists, 0);
}

static VOID
host_send_frames_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
                          ULONG SendCompleteFlags)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    host->calls++;
    test_keep(&host->nbls, &host->nbls_tail, NetBufferList);
}

/* ---- the host: chimney ---- */

static VOID
host_state_complete(NDIS_HANDLE ProtocolBindingContext,
                    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    stage_trace(host->stage, "complete");
    host->done = OffloadBlockList;
    host->completions++;
    host->level = KeGetCurrentIrql();
}

static VOID
host_offload_event(NDIS_HANDLE ProtocolBindingContext,
                   PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    host->object_seen = OffloadBlockList->OffloadHandle;
    host->event_seen = IndicationCode;
    assert_null(OffloadBlockList->NdisReserved[2]);
    ((PNEIGHBOR_OFFLOAD_STATE_CACHED)((PUCHAR)NDIS_OFFLOAD_STATE_FIRST(OffloadBlockList) +
                                      NDIS_OFFLOAD_STATE_SPACE(NEIGHBOR_OFFLOAD_STATE_CONST)))
        ->HostReachabilityDelta = 77;
}

static VOID
host_nbls_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct fake_host *host = host_of(ProtocolBindingContext);

    host->calls++;
    test_keep(&host->nbls, &host->nbls_tail, NetBufferList);
}

static VOID
host_event(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct test_block *block = container_of(OffloadContext, struct test_block, handle);
    struct fake_host *host = block->block.ProtocolReserved[0];

    if (!host)
        return;
    host->object_seen = OffloadContext;
    host->event_seen = EventType;
    host->information_seen = EventSpecificInformation;
}

static NDIS_STATUS
host_indicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList, NDIS_STATUS Status,
              PULONG BytesConsumed)
{
    struct test_block *block = container_of(OffloadContext, struct test_block, handle);
    struct fake_host *host = block->block.ProtocolReserved[0];

    host->object_seen = OffloadContext;
    *BytesConsumed = host->consume;
    return host->accept;
}

static NDIS_STATUS
host_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    struct fake_host *host = host_of(DriverContext);
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, 1,
                   sizeof(generic)},
        .InitiateOffloadCompleteHandler = host_state_complete,
        .TerminateOffloadCompleteHandler = host_state_complete,
        .UpdateOffloadCompleteHandler = host_state_complete,
        .InvalidateOffloadCompleteHandler = host_state_complete,
        .QueryOffloadCompleteHandler = host_state_complete,
        .IndicateOffloadEventHandler = host_offload_event,
    };
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS, 1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendCompleteHandler = host_nbls_complete,
        .TcpOffloadReceiveCompleteHandler = host_nbls_complete,
        .TcpOffloadDisconnectCompleteHandler = host_nbls_complete,
        .TcpOffloadForwardCompleteHandler = host_nbls_complete,
        .TcpOffloadEventHandler = host_event,
        .TcpOffloadReceiveIndicateHandler = host_indicate,
    };

    if (host->no_chimney)
        return NDIS_STATUS_SUCCESS;
    assert_int_equal(
        NdisSetOptionalHandlers(NdisDriverHandle, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&generic), 0);
    assert_int_equal(
        NdisSetOptionalHandlers(NdisDriverHandle, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&tcp), 0);
    return NDIS_STATUS_SUCCESS;
}

static VOID
host_unload(PDRIVER_OBJECT DriverObject)
{
    struct fake_host *host = DriverObject->DriverExtension;

    NdisDeregisterProtocolDriver(host->protocol);
}

NDIS_STATUS
fake_host_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                   NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_2, sizeof(characteristics)},
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
        .DirectOidRequestCompleteHandler = host_direct_complete,
    };
    struct fake_host *host = DriverObject->DriverExtension;

    if (host->no_direct) {
        characteristics.Header.Size = NDIS_SIZEOF_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1;
        characteristics.Header.Revision = NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1;
    }
    DriverObject->DriverUnload = host_unload;
    return NdisRegisterProtocolDriver(host, &characteristics, &host->protocol);
}
