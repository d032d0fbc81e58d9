/*
 * The life of a binding: bind and open, restart, pause, unbind and close. Invariant: a pause is
 * answered only when nothing of ours is below any more: no object, no block list, no frame, no
 * request. A restart is carried out by a work item, so that on_running comes when NDIS has the
 * answer and the binding really runs. Events are answered from work items, too: what they wait for
 * comes from below at any level, and an answer is for PASSIVE_LEVEL. Source: facts 2.1, 2.7; V-011,
 * V-064, V-184 to V-188.
 */
#include "base/log.h"
#include "base/machine.h"
#include "host/edge.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HOST_BINDING_NAME(name) #name,
static const char *const state_names[] = {HOST_BINDING_STATES(HOST_BINDING_NAME)};

#define HOST_BINDING_EDGE(from, to) [HOST_BINDING_##from][HOST_BINDING_##to].legal = true,
static struct machine_edge edges[HOST_BINDING_STATE_COUNT][HOST_BINDING_STATE_COUNT] = {
    HOST_BINDING_EDGES(HOST_BINDING_EDGE)};
MACHINE(machine, "host binding", state_names, edges);

void
host_binding_set_state(struct host_binding *binding, enum host_binding_state state, const char *why)
{
    bool legal = machine_walk(&machine, binding->state, state);

    log_debug("%s on %s: %s → %s, %s", binding->host->name, binding->adapter,
              state_names[binding->state], state_names[state], why);
    assert(legal);
    (void)legal; /* a release does not look */
    binding->state = state;
}

/* ---- what the host stack may ask ---- */

const char *
host_binding_adapter(const struct host_binding *binding)
{
    return binding->adapter;
}

const NDIS_TCP_CONNECTION_OFFLOAD *
host_binding_capabilities(const struct host_binding *binding)
{
    return binding->chimney ? &binding->capabilities : NULL;
}

bool
host_binding_paused(const struct host_binding *binding)
{
    return binding->offload_paused || binding->low_power;
}

bool
host_binding_running(const struct host_binding *binding)
{
    return binding->state == HOST_BINDING_RUNNING;
}

void
host_binding_set_user(struct host_binding *binding, void *user)
{
    binding->user = user;
}

void *
host_binding_user(const struct host_binding *binding)
{
    return binding->user;
}

struct host_binding *
host_find_binding(struct host *host, const char *adapter)
{
    list_for_each(binding, &host->bindings, struct host_binding, link)
        if (!strcmp(binding->adapter, adapter))
            return binding;
    return NULL;
}

/* ---- bind ---- */

/* Adapter names are ASCII in this house. */
static void
copy_name(char *to, size_t room, const NDIS_STRING *from)
{
    size_t count = from->Length / sizeof(WCHAR);

    if (count >= room)
        count = room - 1;
    for (size_t i = 0; i < count; i++)
        to[i] = (char)from->Buffer[i];
    to[count] = 0;
}

static void
read_capabilities(struct host_binding *binding, const NDIS_TCP_CONNECTION_OFFLOAD *offload)
{
    if (!offload)
        return;
    binding->capabilities = *offload;
    binding->chimney = offload->SupportIPv4 == NDIS_OFFLOAD_SUPPORTED ||
                       offload->SupportIPv6 == NDIS_OFFLOAD_SUPPORTED;
}

static void
binding_free(struct host_binding *binding)
{
    list_del(&binding->link);
    if (binding->work)
        NdisFreeIoWorkItem(binding->work);
    free(binding);
}

static struct host_binding *
binding_create(struct host *host, const NDIS_BIND_PARAMETERS *parameters)
{
    struct host_binding *binding = calloc(1, sizeof *binding);

    if (!binding)
        return NULL;
    binding->work = NdisAllocateIoWorkItem(host->protocol);
    if (!binding->work) {
        free(binding);
        return NULL;
    }
    binding->host = host;
    list_init(&binding->neighbors);
    list_init(&binding->paths);
    list_init(&binding->conns);
    list_init(&binding->queue);
    copy_name(binding->adapter, sizeof binding->adapter, parameters->AdapterName);
    read_capabilities(binding, parameters->TcpConnectionOffloadCapabilities);
    list_add_tail(&host->bindings, &binding->link);
    return binding;
}

static NDIS_STATUS
opened(struct host_binding *binding, NDIS_STATUS status)
{
    if (status == NDIS_STATUS_SUCCESS)
        host_binding_set_state(binding, HOST_BINDING_PAUSED, "adapter opened");
    else
        binding_free(binding);
    return status;
}

NDIS_STATUS
host_bind(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
          PNDIS_BIND_PARAMETERS BindParameters)
{
    struct host *host = ProtocolDriverContext;
    struct host_binding *binding = binding_create(host, BindParameters);
    NDIS_MEDIUM medium = NdisMedium802_3;
    UINT selected = 0;
    NDIS_OPEN_PARAMETERS parameters = {
        .Header = {.Type = NDIS_OBJECT_TYPE_OPEN_PARAMETERS,
                   .Revision = NDIS_OPEN_PARAMETERS_REVISION_1,
                   .Size = sizeof parameters},
        .AdapterName = BindParameters->AdapterName,
        .MediumArray = &medium,
        .MediumArraySize = 1,
        .SelectedMediumIndex = &selected,
    };

    if (!binding)
        return NDIS_STATUS_RESOURCES;
    binding->pending = BindContext;
    NDIS_STATUS status = NdisOpenAdapterEx(host->protocol, binding, &parameters, BindContext,
                                           &binding->handle);
    if (status == NDIS_STATUS_PENDING)
        return status;
    binding->pending = NULL;
    return opened(binding, status);
}

VOID
host_open_complete(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
    struct host_binding *binding = ProtocolBindingContext;
    NDIS_HANDLE context = binding->pending;

    binding->pending = NULL;
    NdisCompleteBindAdapterEx(context, opened(binding, Status));
}

/* ---- restart ---- */

/* RFC 6298 and 5681 where they say something; the rest as is usual. */
static void
fill_parameters(struct host_binding *binding)
{
    binding->parameters = (NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS){
        .Header = {.Type = NDIS_OBJECT_TYPE_DEFAULT,
                   .Revision = NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS_REVISION_1,
                   .Size = sizeof binding->parameters},
        .Encapsulation = {.Header = {.Type = NDIS_OBJECT_TYPE_OFFLOAD_ENCAPSULATION,
                                     .Revision = NDIS_OFFLOAD_ENCAPSULATION_REVISION_1,
                                     .Size = sizeof(NDIS_OFFLOAD_ENCAPSULATION)},
                          .IPv4 = {NDIS_OFFLOAD_SET_ON, NDIS_ENCAPSULATION_IEEE_802_3, 14},
                          .IPv6 = {NDIS_OFFLOAD_SET_ON, NDIS_ENCAPSULATION_IEEE_802_3, 14}},
        .TicksPerSecond = 1000,
        .TcpAckFrequency = 2,
        .TcpDelayedAckTicks = binding->host->tuning.delayed_ack_ms,
        .TcpMaximumRetransmissions = binding->host->tuning.retransmissions,
        .TcpDoubtReachabilityRetransmissions = 3,
        .TcpSwsPreventionTicks = 200,
        .TcpDuplicateAckThreshold = 3,
        .TcpPushTicks = 500,
        .NceStaleTicks = 30000,
    };
    binding->request = (NDIS_OID_REQUEST){
        .Header = {.Type = NDIS_OBJECT_TYPE_OID_REQUEST,
                   .Revision = NDIS_OID_REQUEST_REVISION_1,
                   .Size = sizeof binding->request},
        .RequestType = NdisRequestSetInformation,
        .DATA.SET_INFORMATION = {.Oid = OID_TCP_CONNECTION_OFFLOAD_PARAMETERS,
                                 .InformationBuffer = &binding->parameters,
                                 .InformationBufferLength = sizeof binding->parameters},
    };
}

static VOID
running(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct host_binding *binding = WorkItemContext;
    NET_PNP_EVENT_NOTIFICATION *event = binding->event;

    binding->event = NULL;
    host_binding_set_state(binding, HOST_BINDING_RUNNING, "restarted");
    NdisCompleteNetPnPEvent(binding->handle, event, NDIS_STATUS_SUCCESS);
    binding->host->ops->on_running(binding->host->arg, binding);
}

static void
parameters_set(struct host_binding *binding, NDIS_STATUS status)
{
    if (status == NDIS_STATUS_SUCCESS)
        return;
    log_warn("%s: offload parameters refused (%08x), no offloads over it", binding->adapter,
             (unsigned)status);
    binding->chimney = false;
}

VOID
host_oid_complete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                  NDIS_STATUS Status)
{
    struct host_binding *binding = ProtocolBindingContext;

    if (OidRequest != &binding->request) {
        host_query_oid_done(binding, OidRequest);
        return;
    }
    parameters_set(binding, Status);
    NdisQueueIoWorkItem(binding->work, running, binding);
}

static VOID
restart(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct host_binding *binding = WorkItemContext;
    NDIS_STATUS status = NDIS_STATUS_SUCCESS;

    if (binding->chimney) {
        fill_parameters(binding);
        status = NdisOidRequest(binding->handle, &binding->request);
    }
    if (status == NDIS_STATUS_PENDING)
        return;
    parameters_set(binding, status);
    running(binding, NdisIoWorkItemHandle);
}

/* ---- pause ---- */

static bool
nothing_lent(const struct host_binding *binding)
{
    return list_empty(&binding->conns) && list_empty(&binding->paths) &&
           list_empty(&binding->neighbors) && !binding->operations;
}

static bool
nothing_below(const struct host_binding *binding)
{
    return nothing_lent(binding) && !binding->frames_out && !binding->querying;
}

static VOID
answer(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct host_binding *binding = WorkItemContext;
    NET_PNP_EVENT_NOTIFICATION *event = binding->event;

    binding->event = NULL;
    binding->answering = false;
    NdisCompleteNetPnPEvent(binding->handle, event, NDIS_STATUS_SUCCESS);
}

static void
answer_soon(struct host_binding *binding)
{
    if (!binding->event || binding->answering)
        return;
    binding->answering = true;
    NdisQueueIoWorkItem(binding->work, answer, binding);
}

/* V-157: power may go when nothing is lent. What was on its way down when it was asked for comes
 * home, too. */
static void
drain_power(struct host_binding *binding)
{
    if (!binding->low_power || binding->draining)
        return;
    binding->draining = true;
    if (!binding->host->ops->on_upload_all)
        host_terminate_all(binding);
    binding->draining = false;
    if (nothing_lent(binding))
        answer_soon(binding);
}

void
host_binding_drain(struct host_binding *binding)
{
    if (binding->state == HOST_BINDING_RUNNING)
        drain_power(binding);
    if (binding->state != HOST_BINDING_PAUSING || binding->draining)
        return;
    binding->draining = true;
    if (binding->quiet)
        host_terminate_all(binding);
    binding->draining = false;
    if (!binding->quiet || !nothing_below(binding))
        return;
    host_binding_set_state(binding, HOST_BINDING_PAUSED, "nothing is below any more");
    answer_soon(binding);
}

void
host_binding_quiet(struct host_binding *binding)
{
    binding->quiet = true;
    host_binding_drain(binding);
}

/* SUCCESS when there was nothing to wait for; the event is not remembered yet while that is found
 * out. */
static NDIS_STATUS
pause(struct host_binding *binding, NET_PNP_EVENT_NOTIFICATION *event)
{
    const struct host_ops *ops = binding->host->ops;

    if (binding->state != HOST_BINDING_RUNNING)
        return NDIS_STATUS_SUCCESS;
    host_binding_set_state(binding, HOST_BINDING_PAUSING, "NDIS pauses the binding");
    binding->quiet = false;
    host_initiate_refuse(binding, NDIS_STATUS_PAUSED);
    if (ops->on_leaving)
        ops->on_leaving(binding->host->arg, binding);
    else
        binding->quiet = true;
    host_binding_drain(binding);
    if (binding->state == HOST_BINDING_PAUSED)
        return NDIS_STATUS_SUCCESS;
    binding->event = event;
    return NDIS_STATUS_PENDING;
}

/* SUCCESS: power may come, or go. */
static NDIS_STATUS
power(struct host_binding *binding, NET_PNP_EVENT_NOTIFICATION *event)
{
    const NDIS_DEVICE_POWER_STATE *state = event->NetPnPEvent.Buffer;

    binding->low_power = state && *state != NdisDeviceStateD0;
    if (!binding->low_power || binding->state != HOST_BINDING_RUNNING)
        return NDIS_STATUS_SUCCESS;
    host_initiate_refuse(binding, NDIS_STATUS_LOW_POWER_STATE);
    host_upload_all(binding);
    if (nothing_lent(binding))
        return NDIS_STATUS_SUCCESS;
    binding->event = event;
    return NDIS_STATUS_PENDING;
}

NDIS_STATUS
host_pnp_event(NDIS_HANDLE ProtocolBindingContext,
               PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    struct host_binding *binding = ProtocolBindingContext;

    if (!binding)
        return NDIS_STATUS_SUCCESS; /* an event of the driver, not of a binding */
    switch (NetPnPEventNotification->NetPnPEvent.NetEvent) {
    case NetEventPause:
        return pause(binding, NetPnPEventNotification);
    case NetEventRestart:
        host_binding_set_state(binding, HOST_BINDING_RESTARTING, "NDIS restarts the binding");
        binding->event = NetPnPEventNotification;
        NdisQueueIoWorkItem(binding->work, restart, binding);
        return NDIS_STATUS_PENDING;
    case NetEventSetPower:
        return power(binding, NetPnPEventNotification);
    default:
        return NDIS_STATUS_SUCCESS;
    }
}

/* ---- unbind ---- */

NDIS_STATUS
host_unbind(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct host_binding *binding = ProtocolBindingContext;

    host_binding_set_state(binding, HOST_BINDING_CLOSING, "NDIS unbinds");
    binding->pending = UnbindContext;
    NDIS_STATUS status = NdisCloseAdapterEx(binding->handle);
    if (status != NDIS_STATUS_PENDING)
        binding_free(binding);
    return status == NDIS_STATUS_PENDING ? status : NDIS_STATUS_SUCCESS;
}

VOID
host_close_complete(NDIS_HANDLE ProtocolBindingContext)
{
    struct host_binding *binding = ProtocolBindingContext;
    NDIS_HANDLE context = binding->pending;

    binding_free(binding);
    NdisCompleteUnbindAdapterEx(context);
}
