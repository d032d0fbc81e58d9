/*
 * The driver: DriverEntry, the one table of the miniport and the two of the chimney, and the life
 * of an adapter: initialize -> Paused -> restart -> Running -> pause -> Paused -> halt. The
 * adapter's NIC is the wire that comes as MiniportAddDeviceContext; it stays its giver's.
 */
#include "base/log.h"
#include "base/machine.h"
#include "target/soft/conn.h"

#include <stdlib.h>

/* As chimney/house.h declares it; that header is the house's, not a driver's. */
NDIS_STATUS soft_target_entry(DRIVER_OBJECT *DriverObject, UNICODE_STRING *RegistryPath);

#define BOUNCE_BYTES WIRE_MAX_FRAME
#define IP_ID_FIRST 0x8000u
#define LINK_SPEED 10000000000u /* the wire does not tell */

static const NDIS_OID supported_oids[] = {
    OID_TCP_CONNECTION_OFFLOAD_PARAMETERS,
    OID_TCP4_OFFLOAD_STATS,
    OID_TCP6_OFFLOAD_STATS,
    OID_IP4_OFFLOAD_STATS,
    OID_IP6_OFFLOAD_STATS,
    OID_GEN_CURRENT_PACKET_FILTER,
    OID_PNP_SET_POWER,
};

static const char *const state_names[SOFT_ADAPTER_STATE_COUNT] = {
#define NAME(name) [SOFT_##name] = #name,
    SOFT_ADAPTER_STATES(NAME)
#undef NAME
};

static struct machine_edge edges[SOFT_ADAPTER_STATE_COUNT][SOFT_ADAPTER_STATE_COUNT] = {
#define EDGE(from, to) [SOFT_##from][SOFT_##to].legal = true,
    SOFT_ADAPTER_EDGES(EDGE)
#undef EDGE
};
MACHINE(machine, "soft adapter", state_names, edges);

void
soft_adapter_set_state(struct soft_adapter *adapter, enum soft_adapter_state state, const char *why)
{
    if (!machine_walk(&machine, adapter->state, state)) {
        log_error("soft %s: no edge %s -> %s (%s)", wire_name(adapter->wire),
                  state_names[adapter->state], state_names[state], why);
        return;
    }
    log_debug("soft %s: %s -> %s, %s", wire_name(adapter->wire), state_names[adapter->state],
              state_names[state], why);
    adapter->state = state;
}

/* ---- attributes ---- */

static NDIS_STATUS
set_registration(struct soft_adapter *adapter)
{
    NDIS_MINIPORT_ADAPTER_ATTRIBUTES attributes = {
        .RegistrationAttributes = {
            .Header = {.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES,
                       .Revision = NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES_REVISION_1,
                       .Size = sizeof attributes.RegistrationAttributes},
            .MiniportAdapterContext = adapter,
        }};

    return NdisMSetMiniportAttributes(adapter->handle, &attributes);
}

static NDIS_STATUS
set_general(struct soft_adapter *adapter)
{
    NDIS_MINIPORT_ADAPTER_ATTRIBUTES attributes = {
        .GeneralAttributes = {
            .Header = {.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES,
                       .Revision = NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_1,
                       .Size = sizeof attributes.GeneralAttributes},
            .MediaType = NdisMedium802_3,
            .MtuSize = wire_mtu(adapter->wire),
            .MaxXmitLinkSpeed = LINK_SPEED,
            .XmitLinkSpeed = LINK_SPEED,
            .MaxRcvLinkSpeed = LINK_SPEED,
            .RcvLinkSpeed = LINK_SPEED,
            .MediaConnectState = wire_link_up(adapter->wire) ? MediaConnectStateConnected
                                                             : MediaConnectStateDisconnected,
            .LookaheadSize = WIRE_MAX_FRAME,
            .SupportedPacketFilters = NDIS_PACKET_TYPE_DIRECTED | NDIS_PACKET_TYPE_MULTICAST |
                                      NDIS_PACKET_TYPE_BROADCAST,
            .MacAddressLength = 6,
            .SupportedOidList = (NDIS_OID *)supported_oids,
            .SupportedOidListLength = sizeof supported_oids,
        }};

    NdisMoveMemory(attributes.GeneralAttributes.PermanentMacAddress, wire_mac(adapter->wire), 6);
    NdisMoveMemory(attributes.GeneralAttributes.CurrentMacAddress, wire_mac(adapter->wire), 6);
    return NdisMSetMiniportAttributes(adapter->handle, &attributes);
}

static NDIS_STATUS
set_offload(struct soft_adapter *adapter)
{
    const struct soft_limits *limits = &adapter->limits;
    NDIS_TCP_CONNECTION_OFFLOAD offload = {
        .Header = {.Type = NDIS_OBJECT_TYPE_DEFAULT,
                   .Revision = NDIS_TCP_CONNECTION_OFFLOAD_REVISION_2,
                   .Size = sizeof offload},
        .Encapsulation = NDIS_ENCAPSULATION_IEEE_802_3,
        .SupportIPv4 = limits->ipv4 ? NDIS_OFFLOAD_SUPPORTED : NDIS_OFFLOAD_NOT_SUPPORTED,
        .SupportIPv6 = limits->ipv6 ? NDIS_OFFLOAD_SUPPORTED : NDIS_OFFLOAD_NOT_SUPPORTED,
        .SupportSack = NDIS_OFFLOAD_SUPPORTED,
        .CongestionAlgorithm = soft_congestion_documented(adapter) & 0xfu,
        .TcpConnectionOffloadCapacity = limits->connections,
        .Flags = NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED |
                 NDIS_TCP_CONNECTION_OFFLOAD_FLAG_EXTENSION(limits->extension & 0xff),
    };
    NDIS_MINIPORT_ADAPTER_ATTRIBUTES attributes = {
        .OffloadAttributes = {
            .Header = {.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
                       .Revision = NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1,
                       .Size = sizeof attributes.OffloadAttributes},
            .DefaultTcpConnectionOffloadConfiguration = &offload,
            .TcpConnectionOffloadHardwareCapabilities = &offload,
        }};

    if (!limits->ipv4 && !limits->ipv6) /* V-007: then there is nothing to advertise */
        return NDIS_STATUS_SUCCESS;
    return NdisMSetMiniportAttributes(adapter->handle, &attributes);
}

/* V-005, V-006: once, and the entry points are copied. */
static NDIS_STATUS
get_handlers(struct soft_adapter *adapter)
{
    NDIS_OFFLOAD_EVENT_HANDLERS *handlers = NULL;
    NDIS_STATUS status = NdisMGetOffloadHandlers(adapter->handle, NdisTcpChimneyOffload, &handlers);

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    if (handlers->Header.Size < sizeof adapter->up)
        return NDIS_STATUS_BAD_VERSION;
    adapter->up = *(NDIS_TCP_OFFLOAD_EVENT_HANDLERS *)handlers;
    return NDIS_STATUS_SUCCESS;
}

/* ---- making and freeing an adapter ---- */

static NDIS_HANDLE
create_pool(NDIS_HANDLE handle)
{
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {
        .Header = {.Type = NDIS_OBJECT_TYPE_DEFAULT,
                   .Revision = NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                   .Size = sizeof parameters},
        .ProtocolId = NDIS_PROTOCOL_ID_DEFAULT,
        .fAllocateNetBuffer = TRUE,
    };

    return NdisAllocateNetBufferListPool(handle, &parameters);
}

static void
free_adapter(struct soft_adapter *adapter)
{
    while (!list_empty(&adapter->spare)) {
        struct soft_frame *frame = list_first(&adapter->spare, struct soft_frame, link);
        list_del(&frame->link);
        free(frame);
    }
    if (adapter->chimney_pool)
        NdisFreeNetBufferListPool(adapter->chimney_pool);
    if (adapter->frame_pool)
        NdisFreeNetBufferListPool(adapter->frame_pool);
    soft_map_fini(&adapter->map);
    free(adapter->bounce);
    free(adapter);
}

static bool
allocate(struct soft_adapter *adapter)
{
    bool map = soft_map_init(&adapter->map, (uintptr_t)adapter ^ soft_now_us(adapter) << 20);

    adapter->bounce = malloc(BOUNCE_BYTES);
    adapter->chimney_pool = create_pool(adapter->handle);
    adapter->frame_pool = create_pool(adapter->handle);
    return map && adapter->bounce && adapter->chimney_pool && adapter->frame_pool;
}

static void
on_link(void *arg, bool up)
{
    struct soft_adapter *adapter = arg;
    NDIS_LINK_STATE link = {.Header = {.Type = NDIS_OBJECT_TYPE_DEFAULT,
                                       .Revision = NDIS_OBJECT_REVISION_1,
                                       .Size = sizeof link},
                            .MediaConnectState = up ? MediaConnectStateConnected
                                                    : MediaConnectStateDisconnected,
                            .XmitLinkSpeed = LINK_SPEED,
                            .RcvLinkSpeed = LINK_SPEED};
    NDIS_STATUS_INDICATION indication = {.Header = {.Type = NDIS_OBJECT_TYPE_STATUS_INDICATION,
                                                    .Revision = NDIS_STATUS_INDICATION_REVISION_1,
                                                    .Size = sizeof indication},
                                         .SourceHandle = adapter->handle,
                                         .StatusCode = NDIS_STATUS_LINK_STATE,
                                         .StatusBuffer = &link,
                                         .StatusBufferSize = sizeof link};

    NdisMIndicateStatusEx(adapter->handle, &indication);
}

/* ---- what the loop and the wire call: a NIC's deferred calls, which are at DISPATCH_LEVEL ---- */

static void
at_dispatch(void (*run)(void *arg), void *arg)
{
    KIRQL before;

    KeRaiseIrql(DISPATCH_LEVEL, &before);
    run(arg);
    KeLowerIrql(before);
}

static void
operate(void *arg)
{
    at_dispatch(soft_operations, arg);
}

static void
service(void *arg)
{
    at_dispatch(soft_service_dirty, arg);
}

static void
flush(void *arg)
{
    at_dispatch(soft_frames_flush, arg);
}

static void
on_writable(void *arg)
{
    at_dispatch(soft_on_writable, arg);
}

static void
on_frame(void *arg, struct wire_buf *buf)
{
    KIRQL before;

    KeRaiseIrql(DISPATCH_LEVEL, &before);
    soft_on_frame(arg, buf);
    KeLowerIrql(before);
}

static const struct wire_receiver receiver = {
    .on_frame = on_frame,
    .on_writable = on_writable,
    .on_link = on_link,
};

static struct soft_adapter *
create_adapter(NDIS_HANDLE handle, struct wire *wire)
{
    struct soft_adapter *adapter = calloc(1, sizeof *adapter);

    if (!adapter)
        return NULL;
    adapter->handle = handle;
    adapter->wire = wire;
    adapter->loop = wire_loop(wire);
    adapter->ip_id = IP_ID_FIRST;
    soft_params_default(&adapter->params);
    list_init(&adapter->objects);
    list_init(&adapter->graves);
    list_init(&adapter->leftover);
    list_init(&adapter->operations);
    list_init(&adapter->adopted);
    list_init(&adapter->dirty);
    list_init(&adapter->blocked);
    list_init(&adapter->later);
    list_init(&adapter->sending);
    list_init(&adapter->spare);
    soft_table_init(&adapter->hw_addresses);
    soft_table_init(&adapter->ip_addresses);
    soft_table_init(&adapter->vlans);
    sys_task_init(&adapter->operate, operate, adapter);
    sys_task_init(&adapter->service, service, adapter);
    return adapter;
}

static NDIS_STATUS
SoftInitialize(NDIS_HANDLE NdisMiniportHandle, NDIS_HANDLE MiniportDriverContext,
               NDIS_MINIPORT_INIT_PARAMETERS *MiniportInitParameters)
{
    struct wire *wire = MiniportInitParameters->MiniportAddDeviceContext;
    struct soft_adapter *adapter = wire ? create_adapter(NdisMiniportHandle, wire) : NULL;
    NDIS_STATUS status;

    if (!adapter)
        return wire ? NDIS_STATUS_RESOURCES : NDIS_STATUS_FAILURE;
    soft_limits_read(adapter);
    status = soft_congestion_read(adapter);
    if (status == NDIS_STATUS_SUCCESS)
        status = allocate(adapter) ? set_registration(adapter) : NDIS_STATUS_RESOURCES;
    if (status == NDIS_STATUS_SUCCESS)
        status = set_general(adapter);
    if (status == NDIS_STATUS_SUCCESS)
        status = set_offload(adapter);
    if (status == NDIS_STATUS_SUCCESS)
        status = get_handlers(adapter);
    if (status != NDIS_STATUS_SUCCESS) {
        free_adapter(adapter);
        return status;
    }
    sys_loop_on_flush(adapter->loop, &adapter->flush, flush, adapter);
    wire_set_receiver(wire, &receiver, adapter);
    return NDIS_STATUS_SUCCESS;
}

/* ---- restart, pause, halt ---- */

static NDIS_STATUS
SoftRestart(NDIS_HANDLE MiniportAdapterContext, NDIS_MINIPORT_RESTART_PARAMETERS *RestartParameters)
{
    soft_adapter_set_state(MiniportAdapterContext, SOFT_RUNNING, "restart");
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
SoftPause(NDIS_HANDLE MiniportAdapterContext, NDIS_MINIPORT_PAUSE_PARAMETERS *PauseParameters)
{
    struct soft_adapter *adapter = MiniportAdapterContext;

    soft_adapter_set_state(adapter, SOFT_PAUSING, "pause");
    while (!list_empty(&adapter->sending)) {
        NET_BUFFER_LIST *nbl = soft_nbl_first(&adapter->sending);
        list_del(soft_nbl_link(nbl));
        NET_BUFFER_LIST_STATUS(nbl) = NDIS_STATUS_PAUSED;
        soft_nbls_add(&adapter->sent, nbl);
    }
    soft_frames_indicate(adapter); /* not Running: they go */
    if (!adapter->frames_up && !adapter->sent.head) {
        soft_adapter_set_state(adapter, SOFT_PAUSED, "nothing was out");
        return NDIS_STATUS_SUCCESS;
    }
    sys_loop_defer(adapter->loop, &adapter->service);
    return NDIS_STATUS_PENDING;
}

/* Objects that were never terminated: the host stack's mistake; nobody will name them any more. */
static void
drop_objects(struct soft_adapter *adapter)
{
    if (list_empty(&adapter->objects))
        return;
    log_error("soft %s: halted with %u connections offloaded", wire_name(adapter->wire),
              adapter->connections);
    while (!list_empty(&adapter->objects)) {
        struct soft_object *object = container_of(adapter->objects.prev, struct soft_object, all);
        while (!list_empty(&object->children))
            object = list_first(&object->children, struct soft_object, sibling);
        if (object->kind == SOFT_TCP)
            soft_conn_drop(soft_conn_of(object));
        soft_object_free(object);
    }
}

static VOID
SoftHalt(NDIS_HANDLE MiniportAdapterContext, NDIS_HALT_ACTION HaltAction)
{
    struct soft_adapter *adapter = MiniportAdapterContext;

    wire_set_receiver(adapter->wire, NULL, NULL);
    drop_objects(adapter);
    soft_wire_flush(adapter);
    sys_hook_remove(&adapter->flush);
    sys_task_cancel(&adapter->operate);
    sys_task_cancel(&adapter->service);
    if (adapter->lent || adapter->frames_up)
        log_error("soft %s: halted with %u buffers above", wire_name(adapter->wire),
                  adapter->lent + adapter->frames_up);
    free_adapter(adapter);
}

static VOID
SoftDevicePnPEventNotify(NDIS_HANDLE MiniportAdapterContext,
                         NET_DEVICE_PNP_EVENT *NetDevicePnPEvent)
{
}

static VOID
SoftShutdown(NDIS_HANDLE MiniportAdapterContext, NDIS_SHUTDOWN_ACTION ShutdownAction)
{
}

/* ---- the driver ---- */

static NDIS_STATUS
SoftSetOptions(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {.Type = NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   .Revision = NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1,
                   .Size = sizeof generic},
        .InitiateOffloadHandler = SoftInitiateOffload,
        .TerminateOffloadHandler = SoftTerminateOffload,
        .UpdateOffloadHandler = SoftUpdateOffload,
        .InvalidateOffloadHandler = SoftInvalidateOffload,
        .QueryOffloadHandler = SoftQueryOffload,
    };
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {.Type = NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   .Revision = NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1,
                   .Size = sizeof tcp},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendHandler = SoftTcpOffloadSend,
        .TcpOffloadReceiveHandler = SoftTcpOffloadReceive,
        .TcpOffloadDisconnectHandler = SoftTcpOffloadDisconnect,
        .TcpOffloadForwardHandler = SoftTcpOffloadForward,
        .TcpOffloadReceiveReturnHandler = SoftTcpOffloadReceiveReturn,
    };
    NDIS_STATUS status = NdisSetOptionalHandlers(NdisDriverHandle,
                                                 (NDIS_DRIVER_OPTIONAL_HANDLERS *)&generic);

    if (status == NDIS_STATUS_SUCCESS)
        status = NdisSetOptionalHandlers(NdisDriverHandle, (NDIS_DRIVER_OPTIONAL_HANDLERS *)&tcp);
    return status;
}

/* DriverUnload knows only its driver object; the handle of each registration is remembered here. */
struct soft_driver {
    struct list link;
    DRIVER_OBJECT *object;
    NDIS_HANDLE handle;
};

static struct list drivers = {&drivers, &drivers};

static VOID
SoftUnload(DRIVER_OBJECT *DriverObject)
{
    list_for_each_safe(driver, &drivers, struct soft_driver, link) {
        if (driver->object != DriverObject)
            continue;
        list_del(&driver->link);
        NdisMDeregisterMiniportDriver(driver->handle);
        free(driver);
    }
}

NDIS_STATUS
soft_target_entry(DRIVER_OBJECT *DriverObject, UNICODE_STRING *RegistryPath)
{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS table = {
        .Header = {.Type = NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                   .Revision = NDIS_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2,
                   .Size = sizeof table},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .MajorDriverVersion = 1,
        .SetOptionsHandler = SoftSetOptions,
        .InitializeHandlerEx = SoftInitialize,
        .HaltHandlerEx = SoftHalt,
        .UnloadHandler = SoftUnload,
        .PauseHandler = SoftPause,
        .RestartHandler = SoftRestart,
        .OidRequestHandler = SoftOidRequest,
        .SendNetBufferListsHandler = SoftSendNetBufferLists,
        .ReturnNetBufferListsHandler = SoftReturnNetBufferLists,
        .CancelSendHandler = SoftCancelSend,
        .DevicePnPEventNotifyHandler = SoftDevicePnPEventNotify,
        .ShutdownHandlerEx = SoftShutdown,
        .CancelOidRequestHandler = SoftCancelOidRequest,
    };
    struct soft_driver *driver = calloc(1, sizeof *driver);

    if (!driver)
        return NDIS_STATUS_RESOURCES;
    NDIS_STATUS status = NdisMRegisterMiniportDriver(DriverObject, RegistryPath, driver, &table,
                                                     &driver->handle);
    if (status != NDIS_STATUS_SUCCESS) {
        free(driver);
        return status;
    }
    driver->object = DriverObject;
    list_add_tail(&drivers, &driver->link);
    return NDIS_STATUS_SUCCESS;
}
