/*
 * The target's life: entry, options, initialize, restart, pause, halt, and the one place where it
 * does its work (dpc). Sources: G:registering-chimney-offload-functions, D:ndismgetoffloadhandlers,
 * D:miniport_pause, D:miniport_halt.
 */
#include "bad_target.h"

#include "mutant.h"

#include <stdlib.h>

static const NDIS_OID supported[] = {
    OID_TCP_CONNECTION_OFFLOAD_PARAMETERS,
    OID_TCP4_OFFLOAD_STATS,
    OID_TCP6_OFFLOAD_STATS,
    OID_IP4_OFFLOAD_STATS,
    OID_IP6_OFFLOAD_STATS,
    OID_GEN_CURRENT_PACKET_FILTER,
    OID_PNP_SET_POWER,
};

/* ---- work ---- */

static NDIS_TIMER_FUNCTION dpc;

static VOID
passive(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct bad_target *target = WorkItemContext;

    target->item_queued = false;
    dpc(NULL, target, NULL, NULL);
}

static void
kick_passive(struct bad_target *target)
{
    if (target->item_queued)
        return;
    target->item_queued = true;
    NdisQueueIoWorkItem(target->item, passive, target);
}

void
bt_kick(struct bad_target *target)
{
    LARGE_INTEGER at_once = {.QuadPart = -1};

    target->again = true;
    if (target->in_dpc || !target->dpc)
        return;
    if (target->item && bad(194))
        kick_passive(target);
    else
        NdisSetTimerObject(target->dpc, at_once, 0, target);
}

void
bt_work_add(struct bad_target *target, struct bt_work work)
{
    struct bt_work *copy = malloc(sizeof(*copy));

    if (!copy)
        abort();
    *copy = work;
    NdisAcquireSpinLock(&target->lock);
    list_add_tail(&target->work, &copy->link);
    NdisReleaseSpinLock(&target->lock);
    bt_kick(target);
}

static bool
held(const struct bad_target *target, const struct bt_work *work)
{
    return target->hold_operations && work->root;
}

static void
run_work(struct bad_target *target)
{
    list_for_each_safe(work, &target->work, struct bt_work, link) {
        if (held(target, work))
            continue;
        list_del(&work->link);
        work->run(target, work);
        free(work);
    }
}

static void
drop_work(struct bad_target *target)
{
    while (!list_empty(&target->work))
        free(container_of(list_take_first(&target->work), struct bt_work, link));
}

static void
run_oid(struct bad_target *target)
{
    NDIS_OID_REQUEST *request = target->later;

    if (!request || target->pend_oids)
        return;
    target->later = NULL;
    NdisMOidRequestComplete(target->handle, request, NDIS_STATUS_SUCCESS);
    if (bad_v(187, 3))
        NdisMOidRequestComplete(target->handle, request, NDIS_STATUS_SUCCESS);
}

static void
run_frames(struct bad_target *target)
{
    NET_BUFFER_LIST *frames;

    if (target->hold_frames)
        return;
    frames = stream_chain_take(&target->frames_down);
    if (frames)
        NdisMSendNetBufferListsComplete(target->handle, frames,
                                        NDIS_SEND_COMPLETE_FLAGS_DISPATCH_LEVEL);
}

/* V-183 */
static void
settle_pause(struct bad_target *target)
{
    if (!target->pausing || target->frames_up || target->frames_down.head ||
        !list_empty(&target->lent))
        return;
    target->pausing = false;
    if (!bad_v(187, 1))
        NdisMPauseComplete(target->handle);
}

static void start_tick(struct bad_target *target);

static VOID
dpc(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2, PVOID SystemSpecific3)
{
    struct bad_target *target = FunctionContext;

    if (target->in_dpc)
        return;
    target->in_dpc = true;
    if (target->running && bad_once(192)) {
        NdisCancelTimerObject(target->tick);
        start_tick(target);
    }
    do {
        target->again = false;
        run_work(target);
        list_for_each_safe(object, &target->objects, struct bt_object, all)
            if (object->kind == BT_TCP && !object->dead)
                bt_service(bt_conn_of(object));
        bt_flush(target);
        run_oid(target);
        run_frames(target);
        bt_power_settle(target);
        settle_pause(target);
    } while (target->again);
    target->in_dpc = false;
}

static VOID
tick(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2, PVOID SystemSpecific3)
{
    ((struct bad_target *)FunctionContext)->ticks++;
}

ULONG
bt_now(const struct bad_target *target)
{
    LARGE_INTEGER ms;

    NdisGetSystemUpTimeEx(&ms);
    return (ULONG)(ms.QuadPart * target->parameters.TicksPerSecond / 1000);
}

/* ---- initialize ---- */

static NDIS_STATUS
set_registration(struct bad_target *target)
{
    NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES attributes = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES_REVISION_1, sizeof(attributes)},
        .MiniportAdapterContext = target,
    };

    return NdisMSetMiniportAttributes(target->handle, (PVOID)&attributes);
}

static NDIS_STATUS
set_general(struct bad_target *target)
{
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES attributes = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_1, sizeof(attributes)},
        .MediaType = NdisMedium802_3,
        .MtuSize = BT_MTU_MAX,
        .MediaConnectState = MediaConnectStateConnected,
        .SupportedPacketFilters = NDIS_PACKET_TYPE_DIRECTED | NDIS_PACKET_TYPE_BROADCAST,
        .MacAddressLength = 6,
        .PermanentMacAddress = {2, 0, 0, 0, 0, 1},
        .CurrentMacAddress = {2, 0, 0, 0, 0, 1},
        .SupportedOidList = (NDIS_OID *)supported,
        .SupportedOidListLength = sizeof(supported),
    };

    return NdisMSetMiniportAttributes(target->handle, (PVOID)&attributes);
}

static NDIS_STATUS
set_offload(struct bad_target *target)
{
    NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES attributes = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1, sizeof(attributes)},
        .DefaultTcpConnectionOffloadConfiguration = &target->capabilities,
        .TcpConnectionOffloadHardwareCapabilities = &target->capabilities,
    };

    return NdisMSetMiniportAttributes(target->handle, (PVOID)&attributes);
}

static NDIS_STATUS
get_handlers(struct bad_target *target)
{
    PNDIS_OFFLOAD_EVENT_HANDLERS table = NULL;
    NDIS_STATUS status = NdisMGetOffloadHandlers(target->handle, NdisTcpChimneyOffload, &table);

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    if (table->Header.Revision < NDIS_TCP_OFFLOAD_EVENT_HANDLERS_REVISION_1 ||
        table->Header.Size < sizeof(target->up))
        return NDIS_STATUS_BAD_VERSION;
    NdisMoveMemory(&target->up, table, sizeof(target->up));
    return NDIS_STATUS_SUCCESS;
}

static void
read_vlan(struct bad_target *target)
{
    NDIS_CONFIGURATION_OBJECT object = {
        .Header = {NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT, NDIS_CONFIGURATION_OBJECT_REVISION_1,
                   sizeof(object)},
        .NdisHandle = target->handle,
    };
    NDIS_STRING keyword = NDIS_STRING_CONST(u"VlanId");
    PNDIS_CONFIGURATION_PARAMETER value = NULL;
    NDIS_STATUS status;
    NDIS_HANDLE configuration;

    target->vlan = 0;
    if (NdisOpenConfigurationEx(&object, &configuration) != NDIS_STATUS_SUCCESS)
        return;
    NdisReadConfiguration(&status, &value, configuration, &keyword, NdisParameterInteger);
    if (status == NDIS_STATUS_SUCCESS)
        target->vlan = value->ParameterData.IntegerData;
    NdisCloseConfiguration(configuration);
}

static NDIS_HANDLE
create_pool(NDIS_HANDLE handle, ULONG tag)
{
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                   sizeof(parameters)},
        .fAllocateNetBuffer = TRUE,
        .PoolTag = tag,
    };

    return NdisAllocateNetBufferListPool(handle, &parameters);
}

static NDIS_HANDLE
create_timer(struct bad_target *target, PNDIS_TIMER_FUNCTION function)
{
    NDIS_TIMER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_TIMER_CHARACTERISTICS_REVISION_1,
                   sizeof(characteristics)},
        .AllocationTag = BT_TAG,
        .TimerFunction = function,
        .FunctionContext = target,
    };
    NDIS_HANDLE timer = NULL;

    NdisAllocateTimerObject(target->handle, &characteristics, &timer);
    return timer;
}

static void
reset_adapter(struct bad_target *target)
{
    list_init(&target->work);
    list_init(&target->objects);
    list_init(&target->lent);
    NdisZeroMemory(target->counts, sizeof(target->counts));
    NdisAllocateSpinLock(&target->lock);
    target->running = target->pausing = false;
    target->tcp_room = BT_ROOM;
    target->parameters.TicksPerSecond = 1000;
    target->capabilities = (NDIS_TCP_CONNECTION_OFFLOAD){
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NDIS_TCP_CONNECTION_OFFLOAD_REVISION_2,
                   sizeof(target->capabilities)},
        .Encapsulation = NDIS_ENCAPSULATION_IEEE_802_3,
        .SupportIPv4 = NDIS_OFFLOAD_SUPPORTED,
        .SupportIPv6 = NDIS_OFFLOAD_SUPPORTED,
        .SupportSack = NDIS_OFFLOAD_SUPPORTED,
        .TcpConnectionOffloadCapacity = BT_CAPACITY,
    };
    if (bad_v(7, 1))
        target->capabilities.Encapsulation = NDIS_ENCAPSULATION_NULL;
    if (bad_v(7, 2))
        target->capabilities.SupportIPv4 = target->capabilities.SupportIPv6 = 0;
    if (bad_v(7, 3))
        target->capabilities.TcpConnectionOffloadCapacity = 0;
}

static void
free_adapter(struct bad_target *target)
{
    if (target->dpc)
        NdisFreeTimerObject(target->dpc);
    if (target->tick)
        NdisFreeTimerObject(target->tick);
    if (target->item)
        NdisFreeIoWorkItem(target->item);
    if (target->frame_pool && target->frame_pool != target->chimney_pool)
        NdisFreeNetBufferListPool(target->frame_pool);
    if (target->chimney_pool)
        NdisFreeNetBufferListPool(target->chimney_pool);
    target->dpc = target->tick = target->item = NULL;
    target->chimney_pool = target->frame_pool = NULL;
    NdisFreeSpinLock(&target->lock);
}

static bool
allocate(struct bad_target *target)
{
    target->chimney_pool = create_pool(target->handle, BT_TAG);
    target->frame_pool = bad(8) ? target->chimney_pool : create_pool(target->handle, BT_TAG + 1);
    if (bad(194))
        target->item = NdisAllocateIoWorkItem(target->handle);
    target->dpc = create_timer(target, dpc);
    target->tick = create_timer(target, tick);
    return target->chimney_pool && target->frame_pool && target->dpc && target->tick;
}

static NDIS_STATUS register_tcp(NDIS_HANDLE NdisDriverHandle);

/* Mutations only. */
static void
set_too_early(struct bad_target *target)
{
    if (bad_v(189, 1))
        set_general(target);
    if (bad_v(5, 1))
        get_handlers(target);
    if (bad_v(1, 2))
        register_tcp(target->driver);
}

/* V-005, V-189: in this order. */
static NDIS_STATUS
initialize(NDIS_HANDLE NdisMiniportHandle, NDIS_HANDLE MiniportDriverContext,
           PNDIS_MINIPORT_INIT_PARAMETERS MiniportInitParameters)
{
    struct bad_target *target = MiniportDriverContext;
    NDIS_STATUS status;

    target->handle = NdisMiniportHandle;
    reset_adapter(target);
    read_vlan(target);
    set_too_early(target);
    status = set_registration(target);
    if (status == NDIS_STATUS_SUCCESS && bad_v(189, 3))
        status = set_offload(target);
    if (status == NDIS_STATUS_SUCCESS)
        status = set_general(target);
    if (status == NDIS_STATUS_SUCCESS && !helps_v(189, 3))
        status = set_offload(target);
    if (status == NDIS_STATUS_SUCCESS)
        status = get_handlers(target);
    if (status == NDIS_STATUS_SUCCESS && bad_v(5, 2))
        status = get_handlers(target);
    if (status == NDIS_STATUS_SUCCESS && !allocate(target))
        status = NDIS_STATUS_RESOURCES;
    if (status != NDIS_STATUS_SUCCESS)
        free_adapter(target);
    return status;
}

/* ---- restart, pause, halt ---- */

static void
start_tick(struct bad_target *target)
{
    LARGE_INTEGER second = {.QuadPart = -10000000};

    NdisSetTimerObject(target->tick, second, 1000, target);
}

static NDIS_STATUS
restart_adapter(NDIS_HANDLE MiniportAdapterContext,
                PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters)
{
    struct bad_target *target = MiniportAdapterContext;

    target->running = true;
    start_tick(target);
    if (bad_v(189, 2))
        set_general(target);
    if (bad_v(5, 3))
        get_handlers(target);
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
pause_adapter(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters)
{
    struct bad_target *target = MiniportAdapterContext;

    target->running = false;
    NdisCancelTimerObject(target->tick); /* V-192: at PASSIVE_LEVEL here */
    if (target->frames_up && bad(183))
        return NDIS_STATUS_SUCCESS;
    if (bad_v(187, 2)) {
        NdisMPauseComplete(target->handle);
        return NDIS_STATUS_SUCCESS;
    }
    target->pausing = true;
    bt_kick(target);
    return NDIS_STATUS_PENDING;
}

/* Objects that the host stack left behind; nobody will name them any more. */
static void
drop_objects(struct bad_target *target)
{
    while (!list_empty(&target->objects))
        bt_object_free(container_of(target->objects.next, struct bt_object, all));
}

static VOID
halt(NDIS_HANDLE MiniportAdapterContext, NDIS_HALT_ACTION HaltAction)
{
    struct bad_target *target = MiniportAdapterContext;

    if (bad(182)) {
        target->running = true;
        bt_frames_up(target, 1);
    }
    if (bad(190))
        NdisAllocateNetBufferList(target->frame_pool, 0, 0);
    NdisCancelTimerObject(target->dpc);
    if (bad_v(192, 2))
        start_tick(target);
    drop_work(target);
    drop_objects(target);
    while (!list_empty(&target->lent)) /* never, if everybody is good */
        bt_chunk_destroy(list_first(&target->lent, struct bt_chunk, link));
    free_adapter(target);
    target->handle = NULL;
}

/* ---- the rest of the tables ---- */

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

static NDIS_STATUS
register_generic(NDIS_HANDLE NdisDriverHandle)
{
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1,
                   sizeof(generic)},
        .InitiateOffloadHandler = bt_initiate,
        .TerminateOffloadHandler = bt_terminate,
        .UpdateOffloadHandler = bt_update,
        .InvalidateOffloadHandler = bt_invalidate,
        .QueryOffloadHandler = bt_query,
    };

    if (bad_v(4, 1))
        generic.Header.Revision = 9;
    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&generic);
}

static NDIS_STATUS
register_tcp(NDIS_HANDLE NdisDriverHandle)
{
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1, sizeof(tcp)},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendHandler = bt_send,
        .TcpOffloadReceiveHandler = bt_receive,
        .TcpOffloadDisconnectHandler = bt_disconnect,
        .TcpOffloadForwardHandler = bt_forward,
        .TcpOffloadReceiveReturnHandler = bt_receive_return,
    };

    if (bad_v(4, 2))
        tcp.Flags = 1;
    if (bad_v(4, 3))
        tcp.TcpOffloadForwardHandler = NULL;
    return NdisSetOptionalHandlers(NdisDriverHandle, (PVOID)&tcp);
}

static NDIS_STATUS
set_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_STATUS status = register_generic(NdisDriverHandle);

    if (status == NDIS_STATUS_SUCCESS && bad(1))
        status = register_generic(NdisDriverHandle);
    return status == NDIS_STATUS_SUCCESS ? register_tcp(NdisDriverHandle) : status;
}

static VOID
unload(PDRIVER_OBJECT DriverObject)
{
    struct bad_target *target = DriverObject->DriverExtension;

    NdisMDeregisterMiniportDriver(target->driver);
}

NDIS_STATUS
bad_target_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                   NDIS_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2, sizeof(characteristics)},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .SetOptionsHandler = set_options,
        .InitializeHandlerEx = initialize,
        .HaltHandlerEx = halt,
        .UnloadHandler = unload,
        .PauseHandler = pause_adapter,
        .RestartHandler = restart_adapter,
        .OidRequestHandler = bt_oid,
        .SendNetBufferListsHandler = bt_send_frames,
        .ReturnNetBufferListsHandler = bt_return_frames,
        .CancelSendHandler = cancel,
        .DevicePnPEventNotifyHandler = device_event,
        .ShutdownHandlerEx = shut_down,
        .CancelOidRequestHandler = cancel,
    };
    struct bad_target *target = DriverObject->DriverExtension;

    return NdisMRegisterMiniportDriver(DriverObject, RegistryPath, target, &characteristics,
                                       &target->driver);
}
