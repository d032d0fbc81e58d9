/*
 * Bindings: a protocol driver on an adapter, from bind to close, with one door for the state.
 *
 * An open happens inside ProtocolBindAdapterEx and a close inside ProtocolUnbindAdapterEx, nowhere
 * else; the contexts given to the two are tickets that are good for that time. The handle is dead
 * the moment it is closed, what it pointed at stays as a grave.
 *
 * Order of going down (P33): floors above first, NetEventPause, wait until the last object came
 * back, unbind.
 *
 * Threads: all of this is the loop's. Others come by with indications that go to every binding:
 * they count themselves in before they look at its state, and it changes its state before it looks
 * at the count.
 */
#include "ndis/landing.h"

#include "base/log.h"
#include "base/machine.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- states ---- */

#define STATE_NAME(name, text) [NDIS_BINDING_##name] = text,
static const char *const state_names[] = {NDIS_BINDING_STATES(STATE_NAME)};

#define EDGES(X)                                                                                   \
    X(UNBOUND, OPENING)                                                                            \
    X(OPENING, PAUSED)                                                                             \
    X(OPENING, UNBOUND)                                                                            \
    X(PAUSED, RESTARTING)                                                                          \
    X(PAUSED, CLOSING)                                                                             \
    X(RESTARTING, RUNNING)                                                                         \
    X(RESTARTING, PAUSED)                                                                          \
    X(RUNNING, PAUSING)                                                                            \
    X(PAUSING, PAUSED)                                                                             \
    X(CLOSING, UNBOUND)
#define EDGE(from, to) [NDIS_BINDING_##from][NDIS_BINDING_##to].legal = true,
static struct machine_edge edges[NDIS_BINDING_STATE_COUNT][NDIS_BINDING_STATE_COUNT] = {
    EDGES(EDGE)};
MACHINE(machine, "ndis binding", state_names, edges);

bool
ndis_binding_set_state(struct ndis_binding *binding, enum ndis_binding_state to, const char *why)
{
    const char *from_name = state_names[binding->state];
    char name[2 * NDIS_NAME_SIZE + 1];

    snprintf(name, sizeof(name), "%s@%s", binding->protocol->driver->name, binding->adapter->name);
    if (!machine_walk(&machine, binding->state, to)) {
        log_error("binding %s: %s → %s is no edge (%s)", name, from_name, state_names[to], why);
        return false;
    }
    binding->state = to;
    log_info("binding %s: %s → %s, %s", name, from_name, state_names[to], why);
    ndis_observe_state(binding->head.house, "binding", name, from_name, state_names[to], why);
    return true;
}

/* ---- waiting for a driver ---- */

static bool
binding_answered(void *arg)
{
    return ((struct ndis_binding *)arg)->answered;
}

bool
ndis_blame_miniport(struct ndis_binding *binding)
{
    if (!binding->operations)
        return false;
    while (binding->adapter->below && binding->adapter->below->operations)
        binding = binding->adapter->below;
    ndis_breach(binding->head.house, 29, binding->adapter->miniport->driver->name,
                "adapter %s does not complete %llu state operations", binding->adapter->name,
                (unsigned long long)binding->operations);
    return true;
}

/* Both, which is one completion too many. */
static void
answered_twice(struct ndis_binding *binding, NDIS_STATUS status, const char *what)
{
    ndis_breach(binding->head.house, 187, binding->protocol->driver->name,
                "driver %s completes its %s to %s and answers 0x%08x",
                binding->protocol->driver->name, what, binding->adapter->name, (unsigned)status);
}

static void
never_answered(struct ndis_binding *binding, const char *what)
{
    if (!ndis_blame_miniport(binding))
        ndis_breach(binding->head.house, 187, binding->protocol->driver->name,
                    "driver %s does not complete its %s to %s", binding->protocol->driver->name,
                    what, binding->adapter->name);
}

static NDIS_STATUS
binding_wait(struct ndis_binding *binding, NDIS_STATUS status, const char *what)
{
    if (status != NDIS_STATUS_PENDING) {
        if (binding->answered)
            answered_twice(binding, status, what);
        return status;
    }
    if (ndis_wait(binding->head.house, binding_answered, binding, NDIS_PATIENCE_US))
        return binding->answer;
    never_answered(binding, what);
    return NDIS_STATUS_FAILURE;
}

static bool
event_answered(void *arg)
{
    return ((struct ndis_binding *)arg)->event_answered;
}

NDIS_STATUS
ndis_binding_event(struct ndis_binding *binding, PNET_PNP_EVENT_NOTIFICATION event,
                   const char *what)
{
    struct crossing crossing = ndis_crossing_up(CROSSING_PNP_EVENT, binding);
    NDIS_STATUS status;

    binding->event = event;
    binding->event_answered = false;
    crossing.code = event->NetPnPEvent.NetEvent;
    crossing.data = event;
    ndis_observe(binding->head.house, &crossing);
    status = binding->protocol->handlers.NetPnPEventHandler(binding->context, event);
    ndis_observe_after(binding->head.house, &crossing, status);
    if (status != NDIS_STATUS_PENDING) {
        if (binding->event_answered)
            answered_twice(binding, status, what);
    } else if (ndis_wait(binding->head.house, event_answered, binding, NDIS_PATIENCE_US)) {
        status = binding->event_answer;
    } else {
        never_answered(binding, what);
        status = NDIS_STATUS_FAILURE;
    }
    binding->event = NULL;
    return status;
}

static NDIS_STATUS
binding_event(struct ndis_binding *binding, NET_PNP_EVENT_CODE code, const char *what)
{
    NET_PNP_EVENT_NOTIFICATION event = {
        .Header = {.Type = NDIS_OBJECT_TYPE_DEFAULT,
                   .Revision = NET_PNP_EVENT_NOTIFICATION_REVISION_1,
                   .Size = sizeof(event)},
        .NetPnPEvent.NetEvent = code,
    };

    return ndis_binding_event(binding, &event, what);
}

static void
binding_observe_answer(struct ndis_binding *binding, enum crossing_op op, NDIS_STATUS status)
{
    struct crossing crossing = ndis_crossing(op, binding, false);

    crossing.to = "ndis";
    if (binding->event)
        crossing.code = (ULONG)binding->event->NetPnPEvent.NetEvent;
    crossing.status = status;
    ndis_observe(binding->head.house, &crossing);
}

VOID
NdisCompleteNetPnPEvent(NDIS_HANDLE NdisBindingHandle,
                        PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification, NDIS_STATUS Status)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle, "NdisCompleteNetPnPEvent");

    ndis_at_most(PASSIVE_LEVEL, "NdisCompleteNetPnPEvent");
    if (!binding)
        return;
    if (!NetPnPEventNotification || NetPnPEventNotification != binding->event ||
        binding->event_answered) {
        ndis_breach(binding->head.house, 187, binding->protocol->driver->name,
                    "NdisCompleteNetPnPEvent: no such event is in progress");
        return;
    }
    binding_observe_answer(binding, CROSSING_PNP_EVENT_COMPLETE, Status);
    binding->event_answer = Status;
    binding->event_answered = true;
    ndis_ring(binding->head.house);
}

static struct ndis_binding *
ticket_of(NDIS_HANDLE context, const char *call)
{
    struct ndis_head *ticket = ndis_checked(context, NDIS_MAGIC_TICKET, call);

    return ticket ? container_of(ticket, struct ndis_binding, ticket) : NULL;
}

/* ---- bind ---- */

struct bind_parameters {
    NDIS_BIND_PARAMETERS parameters;
    struct ndis_text section, adapter;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
};

static void
fill_parameters(struct bind_parameters *bind, struct ndis_adapter *adapter, const char *section)
{
    const NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES *general = &adapter->general;
    NDIS_BIND_PARAMETERS *parameters = &bind->parameters;

    *parameters = (NDIS_BIND_PARAMETERS){
        .Header = {.Type = NDIS_OBJECT_TYPE_BIND_PARAMETERS,
                   .Revision = NDIS_BIND_PARAMETERS_REVISION_1,
                   .Size = sizeof(*parameters)},
        .ProtocolSection = section ? ndis_text_set(&bind->section, section) : NULL,
        .AdapterName = ndis_text_set(&bind->adapter, adapter->name),
        .BoundAdapterName = &bind->adapter.string,
        .MediaType = general->MediaType,
        .MtuSize = general->MtuSize,
        .MaxXmitLinkSpeed = general->MaxXmitLinkSpeed,
        .XmitLinkSpeed = general->XmitLinkSpeed,
        .MaxRcvLinkSpeed = general->MaxRcvLinkSpeed,
        .RcvLinkSpeed = general->RcvLinkSpeed,
        .MediaConnectState = general->MediaConnectState,
        .LookaheadSize = general->LookaheadSize,
        .SupportedPacketFilters = general->SupportedPacketFilters,
        .MacOptions = general->MacOptions,
        .MacAddressLength = general->MacAddressLength,
        .BoundIfIndex = adapter->if_index,
    };
    memcpy(parameters->CurrentMacAddress, general->CurrentMacAddress,
           sizeof(parameters->CurrentMacAddress));
    if (ndis_adapter_chimney(adapter) &&
        ndis_adapter_capabilities(adapter, &bind->capabilities)) /* P31 */
        parameters->TcpConnectionOffloadCapabilities = &bind->capabilities;
}

/* Completions that the loop owes come as others do, at DISPATCH_LEVEL. */
static void
refusals_due(void *arg)
{
    struct ndis_level level = ndis_level_enter(DISPATCH_LEVEL);

    ndis_refusals_flush(arg);
    ndis_level_leave(&level, "completion");
}

static struct ndis_binding *
binding_create(struct ndis_protocol *protocol, struct ndis_adapter *adapter)
{
    struct ndis_binding *binding = calloc(1, sizeof(*binding));

    if (!binding)
        return NULL;
    ndis_head_init(&binding->head, NDIS_MAGIC_BINDING, adapter->head.house);
    ndis_head_init(&binding->ticket, NDIS_MAGIC_GRAVE, adapter->head.house);
    binding->protocol = protocol;
    binding->adapter = adapter;
    binding->client = &protocol->client;
    list_init(&binding->link);
    list_init(&binding->objects);
    sys_lock_take(&adapter->head.house->lock);
    list_add_tail(&adapter->head.house->bindings, &binding->known);
    sys_lock_give(&adapter->head.house->lock);
    sys_task_init(&binding->refusal, refusals_due, binding);
    sys_task_init(&binding->unbind, ndis_unbind_run, binding);
    return binding;
}

NDIS_STATUS
NdisOpenAdapterEx(NDIS_HANDLE NdisProtocolHandle, NDIS_HANDLE ProtocolBindingContext,
                  PNDIS_OPEN_PARAMETERS OpenParameters, NDIS_HANDLE BindContext,
                  PNDIS_HANDLE NdisBindingHandle)
{
    struct ndis_protocol *protocol = ndis_checked(NdisProtocolHandle, NDIS_MAGIC_PROTOCOL,
                                                  "NdisOpenAdapterEx");
    struct ndis_binding *binding = NULL;
    UINT medium = 0;

    if (!ndis_given(NdisBindingHandle, "NdisOpenAdapterEx"))
        return NDIS_STATUS_FAILURE;
    ndis_at_most(PASSIVE_LEVEL, "NdisOpenAdapterEx");
    *NdisBindingHandle = NULL;
    if (!ndis_given(OpenParameters, "NdisOpenAdapterEx"))
        return NDIS_STATUS_FAILURE;
    if (ndis_is(BindContext, NDIS_MAGIC_TICKET))
        binding = ticket_of(BindContext, "NdisOpenAdapterEx");
    if (!protocol || !binding || binding->protocol != protocol || binding->open ||
        binding->state != NDIS_BINDING_OPENING) {
        ndis_breach(protocol ? protocol->head.house : NULL, 185,
                    protocol ? protocol->driver->name : NULL,
                    "NdisOpenAdapterEx: only once, and only while it is being bound");
        return NDIS_STATUS_FAILURE;
    }
    if (OpenParameters->AdapterName &&
        !ndis_text_equal(OpenParameters->AdapterName, binding->adapter->name))
        return NDIS_STATUS_ADAPTER_NOT_FOUND;
    while (medium < OpenParameters->MediumArraySize &&
           OpenParameters->MediumArray[medium] != binding->adapter->general.MediaType)
        medium++;
    if (OpenParameters->MediumArraySize && medium == OpenParameters->MediumArraySize)
        return NDIS_STATUS_UNSUPPORTED_MEDIA;
    if (OpenParameters->SelectedMediumIndex)
        *OpenParameters->SelectedMediumIndex = medium;
    if (!ndis_fan_add(binding))
        return NDIS_STATUS_RESOURCES;
    binding->context = ProtocolBindingContext;
    binding->open = true;
    list_add_tail(&binding->adapter->bindings, &binding->link);
    *NdisBindingHandle = binding;
    binding_observe_answer(binding, CROSSING_OPEN, NDIS_STATUS_SUCCESS);
    return ndis_answer_open(binding);
}

VOID
NdisCompleteBindAdapterEx(NDIS_HANDLE BindAdapterContext, NDIS_STATUS Status)
{
    struct ndis_binding *binding = ticket_of(BindAdapterContext, "NdisCompleteBindAdapterEx");

    if (!binding)
        return;
    if (binding->state != NDIS_BINDING_OPENING || binding->answered) {
        ndis_breach(binding->head.house, 187, binding->protocol->driver->name,
                    "NdisCompleteBindAdapterEx: no bind is in progress");
        return;
    }
    binding_observe_answer(binding, CROSSING_BIND_COMPLETE, Status);
    binding->answer = Status;
    binding->answered = true;
    ndis_ring(binding->head.house);
}

/* ---- unbind ---- */

static bool
no_indications(void *arg)
{
    return !((struct ndis_binding *)arg)->indications;
}

static void
binding_close(struct ndis_binding *binding)
{
    ndis_force_terminate(binding);
    ndis_oid_abort(binding);
    ndis_direct_abort(binding);
    sys_task_cancel(&binding->refusal);
    refusals_due(binding);
    binding->open = false;
    ndis_fan_remove(binding);
    if (!ndis_wait(binding->head.house, no_indications, binding, NDIS_PATIENCE_US))
        log_error("binding of %s to %s: closed from inside an indication",
                  binding->protocol->driver->name, binding->adapter->name);
    list_del(&binding->link);
    binding->head.magic = NDIS_MAGIC_GRAVE;
}

/* Virtual adapters that its driver left behind. */
static void
remove_above(struct ndis_binding *binding)
{
    struct ndis_adapter *adapter;

    while ((adapter = ndis_adapter_above(binding)) != NULL) {
        const char *driver = binding->protocol->driver->name;

        if (adapter->state == NDIS_ADAPTER_HALTED)
            ndis_breach(binding->head.house, 193, driver,
                        "driver %s did not cancel its adapter %s when the bind failed", driver,
                        adapter->name);
        else
            log_warn("driver %s left its adapter %s behind", driver, adapter->name);
        ndis_adapter_remove(adapter, NdisHaltDeviceInstanceDeInitialized);
    }
}

/* The driver's part: to Paused, or back to Unbound. */
static int
binding_open(struct ndis_binding *binding, const char *section)
{
    struct ndis_protocol *protocol = binding->protocol;
    struct house *house = binding->head.house;
    struct crossing crossing = ndis_crossing_up(CROSSING_BIND, binding);
    struct bind_parameters bind;
    NDIS_STATUS status;

    fill_parameters(&bind, binding->adapter, section);
    ndis_binding_set_state(binding, NDIS_BINDING_OPENING, "bind");
    binding->ticket.magic = NDIS_MAGIC_TICKET;
    house->binding_now = binding;
    crossing.data = &bind.parameters;
    ndis_observe(house, &crossing);
    status = protocol->handlers.BindAdapterHandlerEx(protocol->context, &binding->ticket,
                                                     &bind.parameters);
    ndis_observe_after(house, &crossing, status);
    status = binding_wait(binding, status, "bind");
    ndis_answers_wait(binding);
    house->binding_now = NULL;
    if (status == NDIS_STATUS_SUCCESS && binding->open) {
        binding->ticket.magic = NDIS_MAGIC_GRAVE;
        ndis_binding_set_state(binding, NDIS_BINDING_PAUSED, "bound");
        return 0;
    }
    log_error("driver %s does not bind to %s: 0x%08x%s", protocol->driver->name,
              binding->adapter->name, (unsigned)status,
              status == NDIS_STATUS_SUCCESS ? ", it did not open it" : "");
    remove_above(binding);
    if (binding->open)
        binding_close(binding);
    ndis_answers_wait(binding);
    binding->ticket.magic = NDIS_MAGIC_GRAVE;
    ndis_binding_set_state(binding, NDIS_BINDING_UNBOUND, "bind failed");
    ndis_bury(&binding->head);
    return -EIO;
}

static int
binding_restart(struct ndis_binding *binding)
{
    NDIS_STATUS status;

    ndis_binding_set_state(binding, NDIS_BINDING_RESTARTING, "restart");
    status = binding_event(binding, NetEventRestart, "restart");
    if (status != NDIS_STATUS_SUCCESS) {
        log_error("driver %s does not restart over %s: 0x%08x", binding->protocol->driver->name,
                  binding->adapter->name, (unsigned)status);
        ndis_binding_set_state(binding, NDIS_BINDING_PAUSED, "restart failed");
        return -EIO;
    }
    ndis_binding_set_state(binding, NDIS_BINDING_RUNNING, "restarted");
    ndis_status_remembered(binding);
    return 0;
}

/* Virtual adapters that an intermediate driver announced during the bind. */
static int
start_above(struct ndis_binding *binding)
{
    list_for_each(adapter, &binding->head.house->adapters, struct ndis_adapter, link)
        if (adapter->below == binding && adapter->state == NDIS_ADAPTER_HALTED)
            if (ndis_adapter_start(adapter))
                return -EIO;
    return 0;
}

int
ndis_binding_bind(struct ndis_protocol *protocol, struct ndis_adapter *adapter, const char *section)
{
    struct ndis_binding *binding = binding_create(protocol, adapter);
    int error;

    if (!binding)
        return -ENOMEM;
    error = binding_open(binding, section);
    if (error)
        return error;
    error = binding_restart(binding);
    if (!error)
        error = start_above(binding);
    if (error)
        ndis_binding_unbind(binding);
    else
        ndis_unbind_due(binding);
    return error;
}

NDIS_STATUS
NdisCloseAdapterEx(NDIS_HANDLE NdisBindingHandle)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle, "NdisCloseAdapterEx");

    ndis_at_most(PASSIVE_LEVEL, "NdisCloseAdapterEx");
    if (!binding)
        return NDIS_STATUS_INVALID_PARAMETER;
    if (!binding->open ||
        (binding->state != NDIS_BINDING_CLOSING && binding->state != NDIS_BINDING_OPENING)) {
        ndis_breach(binding->head.house, 185, binding->protocol->driver->name,
                    "NdisCloseAdapterEx: only while it is being bound or unbound");
        return NDIS_STATUS_FAILURE;
    }
    binding_observe_answer(binding, CROSSING_CLOSE, NDIS_STATUS_SUCCESS);
    binding_close(binding);
    return ndis_answer_close(binding);
}

VOID
NdisCompleteUnbindAdapterEx(NDIS_HANDLE UnbindContext)
{
    struct ndis_binding *binding = ticket_of(UnbindContext, "NdisCompleteUnbindAdapterEx");

    if (!binding)
        return;
    if (binding->state != NDIS_BINDING_CLOSING || binding->answered) {
        ndis_breach(binding->head.house, 187, binding->protocol->driver->name,
                    "NdisCompleteUnbindAdapterEx: no unbind is in progress");
        return;
    }
    binding_observe_answer(binding, CROSSING_UNBIND_COMPLETE, NDIS_STATUS_SUCCESS);
    binding->answer = NDIS_STATUS_SUCCESS;
    binding->answered = true;
    ndis_ring(binding->head.house);
}

/* Nothing offloaded, nothing on its way down or up. */
static bool
binding_quiet(void *arg)
{
    struct ndis_binding *binding = arg;

    return !binding->object_count && !binding->operations && !binding->indications;
}

static void
binding_pause(struct ndis_binding *binding)
{
    if (binding->state != NDIS_BINDING_RUNNING)
        return;
    ndis_binding_set_state(binding, NDIS_BINDING_PAUSING, "pause");
    binding_event(binding, NetEventPause, "pause");
    if (!ndis_wait(binding->head.house, binding_quiet, binding, NDIS_PATIENCE_US) &&
        !ndis_blame_miniport(binding))
        ndis_breach(binding->head.house, 64, binding->protocol->driver->name,
                    "driver %s left %llu objects offloaded over %s (P33)",
                    binding->protocol->driver->name, (unsigned long long)binding->object_count,
                    binding->adapter->name);
    ndis_binding_set_state(binding, NDIS_BINDING_PAUSED, "paused");
}

/* The floors above give way first: hosts terminate from the top of the stack. */
static void
clear_above(struct ndis_binding *binding)
{
    list_for_each(adapter, &binding->head.house->adapters, struct ndis_adapter, link) {
        if (adapter->below != binding)
            continue;
        while (!list_empty(&adapter->bindings))
            ndis_binding_unbind(list_first(&adapter->bindings, struct ndis_binding, link));
        ndis_adapter_pause(adapter);
    }
}

void
ndis_binding_unbind(struct ndis_binding *binding)
{
    struct ndis_protocol *protocol = binding->protocol;
    struct crossing crossing;
    NDIS_STATUS status;

    sys_task_cancel(&binding->unbind);
    clear_above(binding);
    binding_pause(binding);
    ndis_binding_set_state(binding, NDIS_BINDING_CLOSING, "unbind");
    binding->answered = false;
    binding->ticket.magic = NDIS_MAGIC_TICKET;
    crossing = ndis_crossing_up(CROSSING_UNBIND, binding);
    ndis_observe(binding->head.house, &crossing);
    status = protocol->handlers.UnbindAdapterHandlerEx(&binding->ticket, binding->context);
    ndis_observe_after(binding->head.house, &crossing, status);
    binding_wait(binding, status, "unbind");
    remove_above(binding);
    if (binding->open) {
        ndis_breach(binding->head.house, 185, protocol->driver->name,
                    "driver %s did not close its binding to %s", protocol->driver->name,
                    binding->adapter->name);
        binding_close(binding);
    }
    ndis_answers_wait(binding);
    binding->ticket.magic = NDIS_MAGIC_GRAVE;
    ndis_binding_set_state(binding, NDIS_BINDING_UNBOUND, "unbound");
    ndis_bury(&binding->head);
}

struct ndis_binding *
ndis_binding_find(const char *protocol, struct ndis_adapter *adapter)
{
    list_for_each(binding, &adapter->bindings, struct ndis_binding, link)
        if (!strcmp(binding->protocol->driver->name, protocol))
            return binding;
    return NULL;
}

struct ndis_binding *
ndis_binding_any(struct ndis_protocol *protocol)
{
    list_for_each(adapter, &protocol->head.house->adapters, struct ndis_adapter, link)
        list_for_each(binding, &adapter->bindings, struct ndis_binding, link)
            if (binding->protocol == protocol)
                return binding;
    return NULL;
}
