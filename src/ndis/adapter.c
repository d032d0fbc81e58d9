/*
 * Adapters: the life of a miniport instance, from Initialize to Halt, with one door for its state.
 *
 * Pausing waits until nothing is offloaded over the adapter any more (P33): by then the bindings
 * above have been told (binding.c), and a host stack that leaves objects behind is logged after a
 * while and overruled.
 */
#include "ndis/landing.h"

#include "base/log.h"
#include "base/machine.h"

#include <errno.h>
#include <stdlib.h>

/* ---- states ---- */

#define STATE_NAME(name, text) [NDIS_ADAPTER_##name] = text,
static const char *const state_names[] = {NDIS_ADAPTER_STATES(STATE_NAME)};

#define EDGES(X)                                                                                   \
    X(HALTED, INITIALIZING)                                                                        \
    X(INITIALIZING, PAUSED)                                                                        \
    X(INITIALIZING, HALTED)                                                                        \
    X(PAUSED, RESTARTING)                                                                          \
    X(PAUSED, HALTED)                                                                              \
    X(RESTARTING, RUNNING)                                                                         \
    X(RESTARTING, PAUSED)                                                                          \
    X(RUNNING, PAUSING)                                                                            \
    X(PAUSING, PAUSED)
#define EDGE(from, to) [NDIS_ADAPTER_##from][NDIS_ADAPTER_##to].legal = true,
static struct machine_edge edges[NDIS_ADAPTER_STATE_COUNT][NDIS_ADAPTER_STATE_COUNT] = {
    EDGES(EDGE)};
MACHINE(machine, "ndis adapter", state_names, edges);

const char *
ndis_adapter_state_name(enum ndis_adapter_state state)
{
    return state_names[state];
}

bool
ndis_adapter_set_state(struct ndis_adapter *adapter, enum ndis_adapter_state to, const char *why)
{
    const char *from_name = state_names[adapter->state];

    if (!machine_walk(&machine, adapter->state, to)) {
        log_error("adapter %s: %s → %s is no edge (%s)", adapter->name, from_name, state_names[to],
                  why);
        return false;
    }
    adapter->state = to;
    log_info("adapter %s: %s → %s, %s", adapter->name, from_name, state_names[to], why);
    ndis_observe_state(adapter->head.house, "adapter", adapter->name, from_name, state_names[to],
                       why);
    return true;
}

/* ---- making and finding ---- */

struct ndis_adapter *
ndis_adapter_create(struct ndis_miniport *miniport, const char *name)
{
    struct ndis_adapter *adapter;
    size_t length = strlen(name);

    if (!length || length >= sizeof(adapter->name))
        return NULL;
    adapter = calloc(1, sizeof(*adapter));
    if (!adapter)
        return NULL;
    ndis_head_init(&adapter->head, NDIS_MAGIC_ADAPTER, miniport->head.house);
    if (ndis_device_init(adapter)) {
        free(adapter);
        return NULL;
    }
    memcpy(adapter->name, name, length);
    ndis_keys_init(&adapter->keys);
    adapter->miniport = miniport;
    adapter->if_index = ++miniport->head.house->last_if_index;
    list_init(&adapter->bindings);
    ndis_oid_init(adapter);
    list_add_tail(&miniport->head.house->adapters, &adapter->link);
    return adapter;
}

struct ndis_adapter *
ndis_adapter_find(struct house *house, const char *name)
{
    list_for_each(adapter, &house->adapters, struct ndis_adapter, link)
        if (!strcmp(adapter->name, name))
            return adapter;
    return NULL;
}

struct ndis_adapter *
ndis_adapter_any(struct ndis_miniport *miniport)
{
    list_for_each(adapter, &miniport->head.house->adapters, struct ndis_adapter, link)
        if (adapter->miniport == miniport)
            return adapter;
    return NULL;
}

struct ndis_adapter *
ndis_adapter_above(struct ndis_binding *binding)
{
    list_for_each(adapter, &binding->head.house->adapters, struct ndis_adapter, link)
        if (adapter->below == binding)
            return adapter;
    return NULL;
}

/* ---- attributes ---- */

static NDIS_STATUS
set_general(struct ndis_adapter *adapter, const NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES *general)
{
    adapter->general = *general;
    adapter->general.SupportedOidList = NULL; /* the driver's memory */
    adapter->general.SupportedOidListLength = 0;
    adapter->has_general = true;
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
set_offload(struct ndis_adapter *adapter, const NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES *offload)
{
    const NDIS_TCP_CONNECTION_OFFLOAD *current = offload->DefaultTcpConnectionOffloadConfiguration;
    const NDIS_TCP_CONNECTION_OFFLOAD *hardware = offload->TcpConnectionOffloadHardwareCapabilities;

    adapter->has_capabilities = current || hardware;
    if (adapter->has_capabilities) {
        adapter->capabilities = current ? *current : *hardware;
        adapter->hardware = hardware ? *hardware : *current;
    }
    return NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
NdisMSetMiniportAttributes(NDIS_HANDLE NdisMiniportHandle,
                           PNDIS_MINIPORT_ADAPTER_ATTRIBUTES MiniportAttributes)
{
    struct ndis_adapter *adapter = ndis_adapter_of(NdisMiniportHandle,
                                                   "NdisMSetMiniportAttributes");
    struct crossing crossing;

    if (!ndis_given(MiniportAttributes, "NdisMSetMiniportAttributes"))
        return NDIS_STATUS_INVALID_PARAMETER;
    ndis_at_most(PASSIVE_LEVEL, "NdisMSetMiniportAttributes");
    if (!adapter)
        return NDIS_STATUS_INVALID_PARAMETER;
    if (adapter->state != NDIS_ADAPTER_INITIALIZING) {
        ndis_breach(adapter->head.house, 189, adapter->miniport->driver->name,
                    "adapter %s: attributes are set while it initializes only", adapter->name);
        return NDIS_STATUS_INVALID_STATE;
    }
    if (ndis_observed(adapter->head.house)) {
        crossing = ndis_crossing_service(CROSSING_SET_ATTRIBUTES, adapter->miniport->driver,
                                         adapter);
        crossing.code = MiniportAttributes->Header.Type;
        crossing.data = MiniportAttributes;
        ndis_observe(adapter->head.house, &crossing);
    }
    if (MiniportAttributes->Header.Type ==
        NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES) {
        adapter->context = MiniportAttributes->RegistrationAttributes.MiniportAdapterContext;
        adapter->hang_seconds = MiniportAttributes->RegistrationAttributes
                                    .CheckForHangTimeInSeconds;
        adapter->has_registration = true;
        return NDIS_STATUS_SUCCESS;
    }
    if (!adapter->has_registration) {
        ndis_breach(adapter->head.house, 189, adapter->miniport->driver->name,
                    "adapter %s: registration attributes come first", adapter->name);
        return NDIS_STATUS_FAILURE;
    }
    switch (MiniportAttributes->Header.Type) {
    case NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES:
        return set_general(adapter, &MiniportAttributes->GeneralAttributes);
    case NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES:
        return set_offload(adapter, &MiniportAttributes->OffloadAttributes);
    default:
        log_error("adapter %s: attributes of type 0x%02x", adapter->name,
                  MiniportAttributes->Header.Type);
        return NDIS_STATUS_NOT_SUPPORTED;
    }
}

bool
ndis_adapter_capabilities(struct ndis_adapter *adapter, NDIS_TCP_CONNECTION_OFFLOAD *can)
{
    bool has;

    sys_lock_take(&adapter->lock);
    has = adapter->has_capabilities;
    *can = adapter->capabilities;
    sys_lock_give(&adapter->lock);
    return has;
}

static bool
chimney_here(struct ndis_adapter *adapter)
{
    const struct ndis_miniport *miniport = adapter->miniport;
    const struct ndis_protocol *lower = miniport->lower_edge;
    NDIS_TCP_CONNECTION_OFFLOAD can;

    if (!miniport->has_generic || !miniport->has_tcp || !ndis_adapter_capabilities(adapter, &can))
        return false;
    if (adapter->below && !(lower && lower->client.has_generic && lower->client.has_tcp))
        return false; /* half a registration is none (V-003) */
    return (can.Encapsulation &
            (NDIS_ENCAPSULATION_IEEE_802_3 | NDIS_ENCAPSULATION_IEEE_LLC_SNAP_ROUTED)) &&
           (can.SupportIPv4 == NDIS_OFFLOAD_SUPPORTED || can.SupportIPv6 == NDIS_OFFLOAD_SUPPORTED);
}

bool
ndis_adapter_chimney(struct ndis_adapter *adapter)
{
    for (; adapter; adapter = adapter->below ? adapter->below->adapter : NULL)
        if (!chimney_here(adapter))
            return false;
    return true;
}

/* ---- up ---- */

static bool
adapter_answered(void *arg)
{
    return ((struct ndis_adapter *)arg)->answered;
}

static NDIS_STATUS
adapter_wait(struct ndis_adapter *adapter, NDIS_STATUS status, const char *what)
{
    if (status != NDIS_STATUS_PENDING && adapter->answered)
        ndis_breach(adapter->head.house, 187, adapter->miniport->driver->name,
                    "adapter %s completes its %s and answers 0x%08x", adapter->name, what,
                    (unsigned)status);
    if (status != NDIS_STATUS_PENDING)
        return status;
    if (ndis_wait(adapter->head.house, adapter_answered, adapter, NDIS_PATIENCE_US))
        return adapter->answer;
    ndis_breach(adapter->head.house, 187, adapter->miniport->driver->name,
                "adapter %s does not complete its %s", adapter->name, what);
    return NDIS_STATUS_FAILURE;
}

static void
adapter_halt(struct ndis_adapter *adapter, NDIS_HALT_ACTION action)
{
    struct crossing crossing;

    if (!ndis_adapter_up(adapter))
        return;
    ndis_device_unwatch(adapter);
    crossing = ndis_crossing_down(CROSSING_HALT, adapter);
    crossing.code = action;
    ndis_observe(adapter->head.house, &crossing);
    adapter->miniport->handlers.HaltHandlerEx(adapter->context, action);
    ndis_observe_after(adapter->head.house, &crossing, NDIS_STATUS_SUCCESS);
    ndis_adapter_set_state(adapter, NDIS_ADAPTER_HALTED, "halted");
}

static int
adapter_initialize(struct ndis_adapter *adapter)
{
    NDIS_MINIPORT_INIT_PARAMETERS parameters = {
        .Header = {.Type = NDIS_OBJECT_TYPE_MINIPORT_INIT_PARAMETERS,
                   .Revision = NDIS_MINIPORT_INIT_PARAMETERS_REVISION_1,
                   .Size = sizeof(parameters)},
        .IMDeviceInstanceContext = adapter->im_context,
        .MiniportAddDeviceContext = adapter->device,
        .IfIndex = adapter->if_index,
        .NetLuid = adapter->if_index,
    };
    struct crossing crossing = ndis_crossing_down(CROSSING_INITIALIZE, adapter);
    NDIS_STATUS status;
    bool fit;

    ndis_adapter_set_state(adapter, NDIS_ADAPTER_INITIALIZING, "adapter added");
    ndis_options_begin(adapter);
    crossing.data = &parameters;
    ndis_observe(adapter->head.house, &crossing);
    status = adapter->miniport->handlers.InitializeHandlerEx(adapter, adapter->miniport->context,
                                                             &parameters);
    ndis_observe_after(adapter->head.house, &crossing, status);
    fit = ndis_options_fit(adapter, status);
    if (status == NDIS_STATUS_SUCCESS && !adapter->has_registration) {
        log_error("adapter %s: the driver set no registration attributes", adapter->name);
        status = NDIS_STATUS_FAILURE;
    }
    if (status != NDIS_STATUS_SUCCESS) {
        log_error("adapter %s: initialize failed with 0x%08x", adapter->name, (unsigned)status);
        ndis_adapter_set_state(adapter, NDIS_ADAPTER_HALTED, "initialize failed");
        return -EIO;
    }
    ndis_adapter_set_state(adapter, NDIS_ADAPTER_PAUSED, "initialized");
    ndis_device_watch(adapter);
    if (fit)
        return 0;
    log_error("adapter %s: halted, NDIS_STATUS_INVALID_PARAMETER: see its options above",
              adapter->name);
    adapter_halt(adapter, NdisHaltDeviceInitializationFailed);
    return -EIO;
}

int
ndis_adapter_start(struct ndis_adapter *adapter)
{
    NDIS_MINIPORT_RESTART_PARAMETERS parameters = {
        .Header = {.Type = NDIS_OBJECT_TYPE_DEFAULT,
                   .Revision = NDIS_MINIPORT_RESTART_PARAMETERS_REVISION_1,
                   .Size = sizeof(parameters)},
    };
    struct crossing crossing;
    NDIS_STATUS status;
    int error = adapter_initialize(adapter);

    if (error)
        return error;
    adapter->answered = false;
    ndis_adapter_set_state(adapter, NDIS_ADAPTER_RESTARTING, "restart");
    crossing = ndis_crossing_down(CROSSING_RESTART, adapter);
    ndis_observe(adapter->head.house, &crossing);
    status = adapter->miniport->handlers.RestartHandler(adapter->context, &parameters);
    ndis_observe_after(adapter->head.house, &crossing, status);
    status = adapter_wait(adapter, status, "restart");
    if (status == NDIS_STATUS_SUCCESS) {
        ndis_adapter_set_state(adapter, NDIS_ADAPTER_RUNNING, "restarted");
        return 0;
    }
    log_error("adapter %s: restart failed with 0x%08x", adapter->name, (unsigned)status);
    ndis_adapter_set_state(adapter, NDIS_ADAPTER_PAUSED, "restart failed");
    adapter_halt(adapter, NdisHaltDeviceInitializationFailed);
    return -EIO;
}

static void
adapter_observe_answer(struct ndis_adapter *adapter, enum crossing_op op, NDIS_STATUS status)
{
    struct crossing crossing = ndis_crossing_service(op, adapter->miniport->driver, adapter);

    crossing.status = status;
    ndis_observe(adapter->head.house, &crossing);
}

VOID
NdisMRestartComplete(NDIS_HANDLE MiniportAdapterHandle, NDIS_STATUS Status)
{
    struct ndis_adapter *adapter = ndis_adapter_of(MiniportAdapterHandle, "NdisMRestartComplete");

    if (!adapter)
        return;
    if (adapter->state != NDIS_ADAPTER_RESTARTING || adapter->answered) {
        ndis_breach(adapter->head.house, 187, adapter->miniport->driver->name,
                    "NdisMRestartComplete: no restart is in progress");
        return;
    }
    adapter_observe_answer(adapter, CROSSING_RESTART_COMPLETE, Status);
    adapter->answer = Status;
    adapter->answered = true;
    ndis_ring(adapter->head.house);
}

/* ---- down ---- */

static bool
adapter_empty(void *arg)
{
    return ((struct ndis_adapter *)arg)->objects == 0;
}

void
ndis_adapter_pause(struct ndis_adapter *adapter)
{
    NDIS_MINIPORT_PAUSE_PARAMETERS parameters = {
        .Header = {.Type = NDIS_OBJECT_TYPE_DEFAULT,
                   .Revision = NDIS_MINIPORT_PAUSE_PARAMETERS_REVISION_1,
                   .Size = sizeof(parameters)},
    };
    struct crossing crossing;
    NDIS_STATUS status;

    if (adapter->state != NDIS_ADAPTER_RUNNING)
        return;
    if (!ndis_wait(adapter->head.house, adapter_empty, adapter, NDIS_PATIENCE_US))
        ndis_breach(adapter->head.house, 64, NULL,
                    "adapter %s is paused with %llu objects offloaded (P33)", adapter->name,
                    (unsigned long long)adapter->objects);
    adapter->answered = false;
    ndis_adapter_set_state(adapter, NDIS_ADAPTER_PAUSING, "pause");
    crossing = ndis_crossing_down(CROSSING_PAUSE, adapter);
    ndis_observe(adapter->head.house, &crossing);
    status = adapter->miniport->handlers.PauseHandler(adapter->context, &parameters);
    ndis_observe_after(adapter->head.house, &crossing, status);
    adapter_wait(adapter, status, "pause");
    ndis_adapter_set_state(adapter, NDIS_ADAPTER_PAUSED, "paused");
}

VOID
NdisMPauseComplete(NDIS_HANDLE MiniportAdapterHandle)
{
    struct ndis_adapter *adapter = ndis_adapter_of(MiniportAdapterHandle, "NdisMPauseComplete");

    if (!adapter)
        return;
    if (adapter->state != NDIS_ADAPTER_PAUSING || adapter->answered) {
        ndis_breach(adapter->head.house, 187, adapter->miniport->driver->name,
                    "NdisMPauseComplete: no pause is in progress");
        return;
    }
    adapter_observe_answer(adapter, CROSSING_PAUSE_COMPLETE, NDIS_STATUS_SUCCESS);
    adapter->answer = NDIS_STATUS_SUCCESS;
    adapter->answered = true;
    ndis_ring(adapter->head.house);
}

void
ndis_adapter_remove(struct ndis_adapter *adapter, NDIS_HALT_ACTION action)
{
    while (!list_empty(&adapter->bindings))
        ndis_binding_unbind(list_first(&adapter->bindings, struct ndis_binding, link));
    ndis_adapter_pause(adapter);
    adapter_halt(adapter, action);
    list_del(&adapter->link);
    ndis_device_fini(adapter);
    if (adapter->fan)
        ndis_bury(&((struct ndis_fan *)adapter->fan)->head);
    ndis_keys_fini(&adapter->keys);
    ndis_bury(&adapter->head);
}
