/*
 * The host's life: entry, options, bind, pause, unbind, requests, status, and the work item that
 * does what it owes. Sources: D:NdisOpenAdapterEx, D:protocol_net_pnp_event, W:pausing-a-binding,
 * G:ndis-status-offload-pause and siblings; V-064 … V-067, V-157, V-184 … V-188.
 */
#include "bad_host.h"

#include "mutant.h"

#include <stdlib.h>

#define HEARTBEAT_MS 1000

/* ---- work ---- */

static void
return_held(struct bad_host *host)
{
    if (!host->keep && host->held_count)
        bh_return_all(host);
}

static bool
has_dependents(struct bad_host *host, const struct bh_object *object)
{
    list_for_each(child, &host->objects, struct bh_object, all)
        if (child->parent == object && child->where != BH_HOME)
            return true;
    return false;
}

static bool
has_to_go(const struct bh_object *object)
{
    if (object->leave)
        return true;
    for (; object; object = object->parent)
        if (object->invalid)
            return !bad(70);
    return false;
}

/* One tree each: connections first, then what was invalidated under them (V-063, V-070). */
static void
take_leavers(struct bad_host *host)
{
    if (host->let_live)
        return;
    list_for_each(object, &host->objects, struct bh_object, all) {
        struct bh_op *op;

        if (object->where != BH_DOWN || object->busy || has_dependents(host, object) ||
            !has_to_go(object))
            continue;
        if (object->kind == BH_TCP) {
            bh_upload((struct bh_conn *)object);
            continue;
        }
        op = bh_op_create(host, BH_TERMINATE);
        bh_op_add(op, NULL, object);
        bh_op_start(op);
    }
}

static bool
all_home(struct bad_host *host)
{
    list_for_each(object, &host->objects, struct bh_object, all)
        if (object->where != BH_HOME)
            return false;
    return true;
}

static void
take_all(struct bad_host *host)
{
    if (host->upload_all && all_home(host))
        host->upload_all = false;
    if (host->upload_all && bad_v(66, 1))
        return;
    if (host->pause && bad(64))
        return;
    if (host->power_wanted && (bad(157) || helps_v(156, 1)))
        return;
    if (host->upload_all || host->pause || host->power_wanted)
        bh_upload_all(host);
}

/* A new connection although offloading is paused. Mutations only. */
static void
offload_anyway(struct bad_host *host)
{
    if (!(host->offload_paused && bad_once(65)) && !(host->upload_all && bad_once_v(66, 2)))
        return;
    list_for_each(object, &host->objects, struct bh_object, all) {
        if (object->kind != BH_PATH || object->where != BH_DOWN)
            continue;
        bh_offload(bh_conn_create(host, (struct bh_path *)object, 900));
        return;
    }
}

/* V-157 */
static void
settle_power(struct bad_host *host)
{
    bool anyway = helps_v(157, 1) || helps_v(156, 1);

    if (!host->power_wanted || host->request_out || ((!all_home(host) || host->out) && !anyway))
        return;
    host->power = host->power_wanted;
    host->power_wanted = NdisDeviceStateUnspecified;
    host->request_status = bh_set_oid(host, OID_PNP_SET_POWER, &host->power, sizeof(host->power));
}

void
bh_power(struct bad_host *host, NDIS_DEVICE_POWER_STATE state)
{
    host->power_wanted = state;
    bh_kick(host);
}

static void
settle_pause(struct bad_host *host)
{
    PNET_PNP_EVENT_NOTIFICATION pause = host->pause;

    if (!pause || ((!all_home(host) || host->out || host->nbls_out) && !helps_v(64, 1)))
        return;
    if ((host->frames_out && !bad_v(186, 1)) || (host->request_out && !bad_v(186, 2)))
        return;
    if (host->held_count)
        bh_return_all(host);
    host->pause = NULL;
    if (bad_v(187, 5))
        return;
    NdisCompleteNetPnPEvent(host->binding, pause, NDIS_STATUS_SUCCESS);
    if (bad_v(187, 8))
        NdisCompleteNetPnPEvent(host->binding, pause, NDIS_STATUS_SUCCESS);
}

static NDIS_STATUS
open_adapter_to(struct bad_host *host, PNDIS_HANDLE binding)
{
    NDIS_MEDIUM medium = NdisMedium802_3;
    UINT selected = 0;
    NDIS_OPEN_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_OPEN_PARAMETERS, NDIS_OPEN_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
        .MediumArray = &medium,
        .MediumArraySize = 1,
        .SelectedMediumIndex = &selected,
    };

    return NdisOpenAdapterEx(host->protocol, host, &parameters, host->bind_context, binding);
}

static NDIS_STATUS
open_adapter(struct bad_host *host)
{
    NDIS_STATUS status = open_adapter_to(host, &host->binding);

    if (status == NDIS_STATUS_SUCCESS && bad(184)) /* it is paused */
        bh_frames_send(host, 1);
    return status;
}

static void
finish_bind(struct bad_host *host)
{
    if (!host->pend_bind || host->binding || !host->bind_context)
        return;
    NdisCompleteBindAdapterEx(host->bind_context, open_adapter(host));
}

static VOID
work(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct bad_host *host = WorkItemContext;

    host->work_queued = false;
    finish_bind(host);
    if (!host->binding)
        return;
    return_held(host);
    offload_anyway(host);
    take_leavers(host);
    take_all(host);
    settle_power(host);
    settle_pause(host);
}

void
bh_kick(struct bad_host *host)
{
    if (host->work_queued || !host->work)
        return;
    host->work_queued = true;
    NdisQueueIoWorkItem(host->work, work, host);
}

static VOID
heartbeat(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2,
          PVOID SystemSpecific3)
{
    struct bad_host *host = FunctionContext;

    host->beats++;
    if (bad_v(192, 3))
        NdisCancelTimerObject(host->timer);
}

/* ---- bind and unbind ---- */

static NDIS_STATUS
bind_adapter(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
             PNDIS_BIND_PARAMETERS BindParameters)
{
    struct bad_host *host = ProtocolDriverContext;

    host->has_chimney = BindParameters->TcpConnectionOffloadCapabilities != NULL;
    if (host->has_chimney)
        host->capabilities = *BindParameters->TcpConnectionOffloadCapabilities;
    host->bind_context = BindContext;
    host->offload_paused = host->upload_all = false;
    if (bad_v(187, 6)) {
        NDIS_STATUS status = open_adapter(host);
        NdisCompleteBindAdapterEx(BindContext, status);
        return status;
    }
    if (!host->pend_bind)
        return open_adapter(host);
    bh_kick(host);
    return NDIS_STATUS_PENDING;
}

/* V-185, V-186: the pause before it has seen to it that nothing is out. */
static NDIS_STATUS
unbind_adapter(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct bad_host *host = ProtocolBindingContext;
    NDIS_HANDLE binding = host->binding;

    host->binding = host->bind_context = NULL;
    NdisCloseAdapterEx(binding);
    if (bad_v(185, 3))
        NdisOidRequest(binding, &host->request);
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

/* ---- PnP events ---- */

static NDIS_STATUS register_tcp(NDIS_HANDLE NdisDriverHandle);

/* What is not done in a restart. Mutations only. */
static void
restart_badly(struct bad_host *host)
{
    NDIS_HANDLE binding;

    if (bad_v(2, 1))
        register_tcp(host->protocol);
    if (bad_v(185, 1))
        open_adapter_to(host, &binding);
}

static NDIS_STATUS
restart_binding(struct bad_host *host)
{
    LARGE_INTEGER due = {.QuadPart = -(LONGLONG)HEARTBEAT_MS * 10000};

    host->running = true;
    host->restarts++;
    NdisSetTimerObject(host->timer, due, HEARTBEAT_MS, host);
    restart_badly(host);
    if (host->has_chimney && !bad_v(11, 1))
        bh_set_parameters(host); /* V-011 */
    return bad_v(188, 2) ? NDIS_STATUS_NOT_SUPPORTED : NDIS_STATUS_SUCCESS;
}

/* V-064: everything comes home first. */
static NDIS_STATUS
pause_binding(struct bad_host *host, PNET_PNP_EVENT_NOTIFICATION event)
{
    host->running = false;
    NdisCancelTimerObject(host->timer); /* V-192: at PASSIVE_LEVEL here */
    if (bad_v(188, 1))
        return NDIS_STATUS_FAILURE;
    if (bad_v(185, 2))
        NdisCloseAdapterEx(host->binding);
    host->pause = event;
    bh_kick(host);
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
pnp_event(NDIS_HANDLE ProtocolBindingContext, PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    struct bad_host *host = ProtocolBindingContext;

    switch (NetPnPEventNotification->NetPnPEvent.NetEvent) {
    case NetEventRestart:
        if (bad_v(187, 7))
            NdisCompleteNetPnPEvent(host->binding, NetPnPEventNotification, NDIS_STATUS_SUCCESS);
        return restart_binding(host);
    case NetEventPause:
        return pause_binding(host, NetPnPEventNotification);
    default:
        return NDIS_STATUS_SUCCESS; /* V-188 */
    }
}

/* ---- status and requests ---- */

static VOID
status_indicated(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
    struct bad_host *host = ProtocolBindingContext;

    host->statuses++;
    switch (StatusIndication->StatusCode) {
    case NDIS_STATUS_OFFLOAD_PAUSE:
        host->offload_paused = true;
        bh_kick(host);
        break;
    case NDIS_STATUS_UPLOAD_ALL:
        host->offload_paused = host->upload_all = true;
        bh_kick(host);
        break;
    case NDIS_STATUS_OFFLOAD_RESUME:
        host->offload_paused = false;
        if (StatusIndication->StatusBufferSize >= sizeof(host->capabilities))
            NdisMoveMemory(&host->capabilities, StatusIndication->StatusBuffer,
                           sizeof(host->capabilities));
        break;
    default:
        break;
    }
}

static VOID
request_complete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                 NDIS_STATUS Status)
{
    struct bad_host *host = ProtocolBindingContext;

    if (OidRequest != &host->request || !host->request_out) {
        host->wrong++;
        return;
    }
    host->request_out = false;
    host->request_status = Status;
    bh_kick(host);
}

static NDIS_STATUS
request(struct bad_host *host, NDIS_REQUEST_TYPE type, NDIS_OID oid, PVOID buffer, UINT size)
{
    NDIS_STATUS status;

    if (host->request_out)
        return NDIS_STATUS_FAILURE;
    NdisZeroMemory(&host->request, sizeof(host->request));
    host->request.Header = (NDIS_OBJECT_HEADER){NDIS_OBJECT_TYPE_OID_REQUEST,
                                                NDIS_OID_REQUEST_REVISION_1, sizeof(host->request)};
    host->request.RequestType = type;
    host->request.RequestId = host;
    host->request.DATA.QUERY_INFORMATION.Oid = oid;
    host->request.DATA.QUERY_INFORMATION.InformationBuffer = buffer;
    host->request.DATA.QUERY_INFORMATION.InformationBufferLength = size;
    host->request_out = true;
    status = NdisOidRequest(host->binding, &host->request);
    if (status != NDIS_STATUS_PENDING)
        host->request_out = false;
    return status;
}

NDIS_STATUS
bh_query_oid(struct bad_host *host, NDIS_OID oid, PVOID buffer, UINT size)
{
    return request(host, NdisRequestQueryInformation, oid, buffer, size);
}

NDIS_STATUS
bh_set_oid(struct bad_host *host, NDIS_OID oid, PVOID buffer, UINT size)
{
    return request(host, NdisRequestSetInformation, oid, buffer, size);
}

NDIS_STATUS
bh_set_parameters(struct bad_host *host)
{
    static NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
        .Encapsulation = {.Header = {NDIS_OBJECT_TYPE_OFFLOAD_ENCAPSULATION,
                                     NDIS_OFFLOAD_ENCAPSULATION_REVISION_1,
                                     sizeof(parameters.Encapsulation)},
                          .IPv4 = {NDIS_OFFLOAD_SET_ON, NDIS_ENCAPSULATION_IEEE_802_3, 14},
                          .IPv6 = {NDIS_OFFLOAD_SET_ON, NDIS_ENCAPSULATION_IEEE_802_3, 14}},
        .TcpAckFrequency = 2,
        .TcpDelayedAckTicks = 10,
        .TcpMaximumRetransmissions = 5,
        .TcpSwsPreventionTicks = 1,
        .TcpDuplicateAckThreshold = 3,
        .TcpPushTicks = 50,
        .NceStaleTicks = 1000,
    };

    parameters.TicksPerSecond = bad_v(11, 2) ? 50 : 100;
    return bh_set_oid(host, OID_TCP_CONNECTION_OFFLOAD_PARAMETERS, &parameters, sizeof(parameters));
}

/* ---- entry and exit ---- */

static NDIS_STATUS
register_generic(NDIS_HANDLE NdisDriverHandle)
{
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1, sizeof(generic)},
        .InitiateOffloadCompleteHandler = bh_initiate_complete,
        .TerminateOffloadCompleteHandler = bh_terminate_complete,
        .UpdateOffloadCompleteHandler = bh_update_complete,
        .InvalidateOffloadCompleteHandler = bh_invalidate_complete,
        .QueryOffloadCompleteHandler = bh_query_complete,
        .IndicateOffloadEventHandler = bh_offload_event,
    };

    if (bad_v(4, 4))
        generic.Flags = 1;
    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&generic);
}

static NDIS_STATUS
register_tcp(NDIS_HANDLE NdisDriverHandle)
{
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendCompleteHandler = bh_send_complete,
        .TcpOffloadReceiveCompleteHandler = bh_receive_complete,
        .TcpOffloadDisconnectCompleteHandler = bh_disconnect_complete,
        .TcpOffloadForwardCompleteHandler = bh_forward_complete,
        .TcpOffloadEventHandler = bh_event,
        .TcpOffloadReceiveIndicateHandler = bh_indicate,
    };

    if (bad_v(4, 5))
        tcp.OffloadType = 0;
    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&tcp);
}

static NDIS_STATUS
set_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_STATUS status = register_generic(NdisDriverHandle);

    return status == NDIS_STATUS_SUCCESS ? register_tcp(NdisDriverHandle) : status;
}

static bool
allocate(struct bad_host *host)
{
    NET_BUFFER_LIST_POOL_PARAMETERS lists = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                   sizeof(lists)},
        .fAllocateNetBuffer = TRUE,
        .PoolTag = BH_TAG,
    };
    NET_BUFFER_POOL_PARAMETERS buffers = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_POOL_PARAMETERS_REVISION_1,
                   sizeof(buffers)},
        .PoolTag = BH_TAG,
    };
    NDIS_TIMER_CHARACTERISTICS timer = {
        .Header = {NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_TIMER_CHARACTERISTICS_REVISION_1,
                   sizeof(timer)},
        .AllocationTag = BH_TAG,
        .TimerFunction = heartbeat,
        .FunctionContext = host,
    };

    NdisAllocateSpinLock(&host->lock);
    host->pool = NdisAllocateNetBufferListPool(host->protocol, &lists);
    host->nb_pool = NdisAllocateNetBufferPool(host->protocol, &buffers);
    host->work = NdisAllocateIoWorkItem(host->protocol);
    return host->pool && host->nb_pool && host->work &&
           NdisAllocateTimerObject(host->protocol, &timer, &host->timer) == NDIS_STATUS_SUCCESS;
}

static VOID
unload(PDRIVER_OBJECT DriverObject)
{
    struct bad_host *host = DriverObject->DriverExtension;
    LARGE_INTEGER due = {.QuadPart = -10000000};

    if (bad_v(192, 4))
        NdisSetTimerObject(host->timer, due, HEARTBEAT_MS, host);
    if (bad_v(190, 2))
        NdisAllocateNetBufferList(host->pool, 0, 0);
    NdisFreeTimerObject(host->timer);
    NdisFreeIoWorkItem(host->work);
    host->work = NULL;
    bh_fini(host);
    NdisFreeNetBufferListPool(host->pool);
    NdisFreeNetBufferPool(host->nb_pool);
    NdisFreeSpinLock(&host->lock);
    NdisDeregisterProtocolDriver(host->protocol);
}

NDIS_STATUS
bad_host_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                   NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1, sizeof(characteristics)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .Name = NDIS_STRING_CONST(u"host"),
        .SetOptionsHandler = set_options,
        .BindAdapterHandlerEx = bind_adapter,
        .UnbindAdapterHandlerEx = unbind_adapter,
        .OpenAdapterCompleteHandlerEx = open_complete,
        .CloseAdapterCompleteHandlerEx = close_complete,
        .NetPnPEventHandler = pnp_event,
        .OidRequestCompleteHandler = request_complete,
        .StatusHandlerEx = status_indicated,
        .ReceiveNetBufferListsHandler = bh_receive_frames,
        .SendNetBufferListsCompleteHandler = bh_frames_sent,
    };
    struct bad_host *host = DriverObject->DriverExtension;
    NDIS_STATUS status = NdisRegisterProtocolDriver(host, &characteristics, &host->protocol);

    DriverObject->DriverUnload = unload;
    if (status == NDIS_STATUS_SUCCESS && !allocate(host))
        abort();
    return status;
}
