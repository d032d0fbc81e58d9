/*
 * Requests. A miniport gets one at a time, at PASSIVE_LEVEL; the rest wait in a list that is linked
 * through the requests' own reserved bytes. What NDIS knows it answers itself (P29): capabilities,
 * and the offload parameters as last set.
 *
 * A request that went down when its turn came is completed through the handler; one that the
 * miniport answers at once, while nobody waits and the caller is at PASSIVE_LEVEL, is answered
 * inline. The list goes on from a task when the level of whoever could go on with it is too high.
 *
 * Threads: any. List and turn are under the lock of the adapter; a request is its issuer's again
 * from its completion on.
 */
#include "ndis/landing.h"

/* ---- what may be asked ---- */

bool
ndis_oid_sane(struct ndis_binding *binding, const NDIS_OID_REQUEST *request, const char *call,
              NDIS_STATUS *status)
{
    *status = NDIS_STATUS_INVALID_PARAMETER;
    if (!request) {
        ndis_breach_null(binding->head.house, binding->protocol->driver, call);
        return false;
    }
    *status = NDIS_STATUS_INVALID_DATA;
    switch (request->RequestType) { /* buffer and length are at the same place in all of these */
    case NdisRequestQueryInformation:
    case NdisRequestQueryStatistics:
    case NdisRequestSetInformation:
    case NdisRequestMethod:
        if (request->DATA.SET_INFORMATION.InformationBuffer ||
            !request->DATA.SET_INFORMATION.InformationBufferLength)
            return true;
        ndis_breach(binding->head.house, 0, binding->protocol->driver->name,
                    "%s: the buffer of %u bytes is NULL", call,
                    request->DATA.SET_INFORMATION.InformationBufferLength);
        return false;
    default:
        return true;
    }
}

bool
ndis_oid_out(const struct ndis_adapter *adapter, const NDIS_OID_REQUEST *request)
{
    bool out = adapter->oid_active == request;

    list_for_each(oid, &adapter->oids, struct ndis_oid, link)
        out |= ndis_oid_request(oid) == request;
    list_for_each(oid, &adapter->direct_oids, struct ndis_oid, link)
        out |= ndis_oid_request(oid) == request;
    return out;
}

NDIS_STATUS
ndis_oid_twice(struct ndis_binding *binding, const char *call)
{
    ndis_breach(binding->head.house, 187, binding->protocol->driver->name,
                "%s: driver %s makes a request again that is not complete", call,
                binding->protocol->driver->name);
    return NDIS_STATUS_INVALID_PARAMETER;
}

/* ---- what NDIS answers ---- */

static NDIS_STATUS
answer_query(NDIS_OID_REQUEST *request, const void *data, UINT size)
{
    struct _QUERY *query = &request->DATA.QUERY_INFORMATION;

    query->BytesNeeded = size;
    if (query->InformationBufferLength < size || !query->InformationBuffer) {
        query->BytesWritten = 0;
        return NDIS_STATUS_BUFFER_TOO_SHORT;
    }
    memcpy(query->InformationBuffer, data, size);
    query->BytesWritten = size;
    return NDIS_STATUS_SUCCESS;
}

/* Under the lock of the adapter. false: it is the miniport's. */
static bool
answer_locked(struct ndis_adapter *adapter, NDIS_OID_REQUEST *request, NDIS_STATUS *status)
{
    bool query = request->RequestType == NdisRequestQueryInformation ||
                 request->RequestType == NdisRequestQueryStatistics;

    *status = NDIS_STATUS_NOT_SUPPORTED;
    switch (request->DATA.QUERY_INFORMATION.Oid) {
    case OID_TCP_TASK_OFFLOAD: /* */
        return true;
    case OID_TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG:
        if (query && adapter->has_capabilities)
            *status = answer_query(request, &adapter->capabilities, sizeof(adapter->capabilities));
        return query;
    case OID_TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES:
        if (query && adapter->has_capabilities)
            *status = answer_query(request, &adapter->hardware, sizeof(adapter->hardware));
        return query;
    case OID_TCP_CONNECTION_OFFLOAD_PARAMETERS:
        if (query && adapter->has_parameters)
            *status = answer_query(request, &adapter->parameters, sizeof(adapter->parameters));
        return query;
    default:
        return false;
    }
}

static bool
answer_here(struct ndis_adapter *adapter, NDIS_OID_REQUEST *request, NDIS_STATUS *status)
{
    bool answered;

    sys_lock_take(&adapter->lock);
    answered = answer_locked(adapter, request, status);
    sys_lock_give(&adapter->lock);
    return answered;
}

/* Under the lock of the adapter. */
static void
remember(struct ndis_adapter *adapter, const NDIS_OID_REQUEST *request, NDIS_STATUS status)
{
    const struct _SET *set = &request->DATA.SET_INFORMATION;

    if (status != NDIS_STATUS_SUCCESS || request->RequestType != NdisRequestSetInformation ||
        !set->InformationBuffer)
        return;
    if (set->Oid == OID_TCP_CONNECTION_OFFLOAD_PARAMETERS &&
        set->InformationBufferLength >= sizeof(adapter->parameters)) {
        memcpy(&adapter->parameters, set->InformationBuffer, sizeof(adapter->parameters));
        adapter->has_parameters = true;
    }
    if (set->Oid == OID_GEN_CURRENT_PACKET_FILTER &&
        set->InformationBufferLength >= sizeof(adapter->filter)) {
        memcpy(&adapter->filter, set->InformationBuffer, sizeof(adapter->filter));
        adapter->has_filter = true;
    }
}

/* ---- the miniport's turn ---- */

/* false: it was not the miniport's. */
static bool
turn_over(struct ndis_adapter *adapter, const NDIS_OID_REQUEST *request, NDIS_STATUS status)
{
    bool active;

    sys_lock_take(&adapter->lock);
    active = request && adapter->oid_active == request;
    if (active) {
        remember(adapter, request, status);
        adapter->oid_active = NULL;
    }
    sys_lock_give(&adapter->lock);
    if (active && request == &adapter->power_request) {
        adapter->power_answer = status;
        adapter->power_answered = true;
        ndis_ring(adapter->head.house);
    }
    return active;
}

/* The turn is this request's already. One of NDIS's own has no binding. */
static NDIS_STATUS
issue(struct ndis_adapter *adapter, NDIS_OID_REQUEST *request)
{
    struct ndis_binding *binding = ndis_oid_of(request)->binding;
    struct crossing crossing = binding ? ndis_crossing(CROSSING_OID, binding, false)
                                       : ndis_crossing_down(CROSSING_OID, adapter);
    NDIS_STATUS status;

    crossing.code = request->DATA.QUERY_INFORMATION.Oid;
    crossing.data = request;
    ndis_observe(adapter->head.house, &crossing);
    status = adapter->miniport->handlers.OidRequestHandler(adapter->context, request);
    ndis_observe_after(adapter->head.house, &crossing, status);
    if (status != NDIS_STATUS_PENDING)
        turn_over(adapter, request, status);
    return status;
}

static void
deliver(struct ndis_binding *binding, NDIS_OID_REQUEST *request, NDIS_STATUS status)
{
    struct crossing crossing;

    if (!binding || binding->head.magic != NDIS_MAGIC_BINDING)
        return;
    crossing = ndis_crossing(CROSSING_OID_COMPLETE, binding, true);
    crossing.code = request->DATA.QUERY_INFORMATION.Oid;
    crossing.data = request;
    crossing.status = status;
    ndis_observe(binding->head.house, &crossing);
    binding->protocol->handlers.OidRequestCompleteHandler(binding->context, request, status);
    ndis_observe_after(binding->head.house, &crossing, status);
}

/* Whose turn it is now; NULL: the list does not go on, or somebody else goes on with it. first: of
 * this call of pump. */
static NDIS_OID_REQUEST *
next_turn(struct ndis_adapter *adapter, bool first)
{
    NDIS_OID_REQUEST *request = NULL;

    sys_lock_take(&adapter->lock);
    if (!first || !adapter->oid_busy) {
        if (!adapter->oid_active && !adapter->resetting && !list_empty(&adapter->oids)) {
            struct ndis_oid *oid = list_first(&adapter->oids, struct ndis_oid, link);

            list_del(&oid->link);
            request = adapter->oid_active = ndis_oid_request(oid);
        }
        adapter->oid_busy = request != NULL;
    }
    sys_lock_give(&adapter->lock);
    return request;
}

/* Whoever is on the stack already goes on with the list, so a miniport that answers at once does
 * not nest. */
static void
pump(struct ndis_adapter *adapter)
{
    NDIS_OID_REQUEST *request;
    bool first = true;

    if (sys_irql() > PASSIVE_LEVEL) {
        sys_loop_post(adapter->head.house->loop, &adapter->oid_task);
        return;
    }
    while ((request = next_turn(adapter, first)) != NULL) {
        struct ndis_binding *binding = ndis_oid_of(request)->binding;
        NDIS_STATUS status = issue(adapter, request);

        if (status != NDIS_STATUS_PENDING)
            deliver(binding, request, status);
        first = false;
    }
}

enum turn { TURN_NOW, TURN_LATER, TURN_TWICE };

/* At once, if nobody is before it; otherwise it waits. */
static enum turn
take_turn(struct ndis_binding *binding, NDIS_OID_REQUEST *request)
{
    struct ndis_adapter *adapter = binding->adapter;
    struct ndis_oid *oid = ndis_oid_of(request);
    enum turn turn = TURN_TWICE;

    sys_lock_take(&adapter->lock);
    if (!ndis_oid_out(adapter, request)) {
        *oid = (struct ndis_oid){.binding = binding};
        list_init(&oid->link);
        turn = !adapter->oid_active && !adapter->resetting && list_empty(&adapter->oids) &&
                       sys_irql() == PASSIVE_LEVEL
                   ? TURN_NOW
                   : TURN_LATER;
    }
    if (turn == TURN_NOW)
        adapter->oid_active = request;
    else if (turn == TURN_LATER)
        list_add_tail(&adapter->oids, &oid->link);
    sys_lock_give(&adapter->lock);
    return turn;
}

void
ndis_oid_pump(void *arg)
{
    struct ndis_level level = ndis_level_enter(PASSIVE_LEVEL);

    pump(arg);
    ndis_level_leave(&level, "request handler");
}

void
ndis_oid_restore(struct ndis_adapter *adapter)
{
    NDIS_OID_REQUEST *request = &adapter->own_request;
    bool due;

    sys_lock_take(&adapter->lock);
    /* The last one may still be on its way: it brings the same filter. */
    due = adapter->has_filter && list_empty(&ndis_oid_of(request)->link) &&
          adapter->oid_active != request;
    if (due) {
        *request = (NDIS_OID_REQUEST){
            .Header = {NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1, sizeof(*request)},
            .RequestType = NdisRequestSetInformation,
            .DATA.SET_INFORMATION = {.Oid = OID_GEN_CURRENT_PACKET_FILTER,
                                     .InformationBuffer = &adapter->filter,
                                     .InformationBufferLength = sizeof(adapter->filter)},
        };
        list_init(&ndis_oid_of(request)->link);
        list_add_head(&adapter->oids, &ndis_oid_of(request)->link); /* before what others ask for */
    }
    sys_lock_give(&adapter->lock);
    if (due)
        pump(adapter);
}

void
ndis_oid_power(struct ndis_adapter *adapter)
{
    NDIS_OID_REQUEST *request = &adapter->power_request;

    *request = (NDIS_OID_REQUEST){
        .Header = {NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1, sizeof(*request)},
        .RequestType = NdisRequestSetInformation,
        .DATA.SET_INFORMATION = {.Oid = OID_PNP_SET_POWER,
                                 .InformationBuffer = &adapter->power_wanted,
                                 .InformationBufferLength = sizeof(adapter->power_wanted)},
    };
    adapter->power_answered = false;
    sys_lock_take(&adapter->lock);
    list_add_tail(&adapter->oids, &ndis_oid_of(request)->link);
    sys_lock_give(&adapter->lock);
    pump(adapter);
}

void
ndis_oid_init(struct ndis_adapter *adapter)
{
    list_init(&adapter->oids);
    list_init(&adapter->direct_oids);
    list_init(&ndis_oid_of(&adapter->own_request)->link);
    adapter->power_answered = true;
    sys_task_init(&adapter->oid_task, ndis_oid_pump, adapter);
}

NDIS_STATUS
NdisOidRequest(NDIS_HANDLE NdisBindingHandle, PNDIS_OID_REQUEST OidRequest)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle, "NdisOidRequest");
    struct ndis_adapter *adapter;
    NDIS_STATUS status;

    if (!binding)
        return NDIS_STATUS_INVALID_PARAMETER;
    if (!ndis_oid_sane(binding, OidRequest, "NdisOidRequest", &status))
        return status;
    adapter = binding->adapter;
    if (!binding->open || !ndis_adapter_up(adapter))
        return NDIS_STATUS_CLOSING;
    if (answer_here(adapter, OidRequest, &status))
        return status;
    switch (take_turn(binding, OidRequest)) {
    case TURN_TWICE:
        return ndis_oid_twice(binding, "NdisOidRequest");
    case TURN_LATER:
        pump(adapter); /* who waits only for a lower level is not held up by others */
        return NDIS_STATUS_PENDING;
    case TURN_NOW:
        break;
    }
    status = issue(adapter, OidRequest);
    if (status != NDIS_STATUS_PENDING)
        pump(adapter);
    return status;
}

VOID
NdisMOidRequestComplete(NDIS_HANDLE MiniportAdapterHandle, PNDIS_OID_REQUEST OidRequest,
                        NDIS_STATUS Status)
{
    struct ndis_adapter *adapter = ndis_adapter_of(MiniportAdapterHandle,
                                                   "NdisMOidRequestComplete");

    if (!adapter)
        return;
    if (!turn_over(adapter, OidRequest, Status)) {
        ndis_breach(adapter->head.house, 187, adapter->miniport->driver->name,
                    "adapter %s completes a request that it was not given", adapter->name);
        return;
    }
    deliver(ndis_oid_of(OidRequest)->binding, OidRequest, Status);
    pump(adapter);
}

/* One of those of a binding that wait, with that id (NULL: any), off the list. active: the miniport
 * has one of the binding. */
static NDIS_OID_REQUEST *
take_back(struct ndis_binding *binding, PVOID *id, bool *active)
{
    struct ndis_adapter *adapter = binding->adapter;
    NDIS_OID_REQUEST *request = NULL;

    sys_lock_take(&adapter->lock);
    list_for_each(oid, &adapter->oids, struct ndis_oid, link)
        if (oid->binding == binding && (!id || ndis_oid_request(oid)->RequestId == *id)) {
            list_del(&oid->link);
            request = ndis_oid_request(oid);
            break;
        }
    *active = adapter->oid_active && ndis_oid_of(adapter->oid_active)->binding == binding;
    sys_lock_give(&adapter->lock);
    return request;
}

VOID
NdisCancelOidRequest(NDIS_HANDLE NdisBindingHandle, PVOID RequestId)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle, "NdisCancelOidRequest");
    struct ndis_adapter *adapter;
    NDIS_OID_REQUEST *request;
    bool active;

    if (!binding)
        return;
    adapter = binding->adapter;
    request = take_back(binding, &RequestId, &active);
    if (request)
        deliver(binding, request, NDIS_STATUS_REQUEST_ABORTED);
    else if (active)
        adapter->miniport->handlers.CancelOidRequestHandler(adapter->context, RequestId);
}

void
ndis_oid_abort(struct ndis_binding *binding)
{
    NDIS_OID_REQUEST *request;
    bool active;

    while ((request = take_back(binding, NULL, &active)) != NULL) {
        ndis_breach(binding->head.house, 186, binding->protocol->driver->name,
                    "driver %s closes with requests outstanding", binding->protocol->driver->name);
        deliver(binding, request, NDIS_STATUS_REQUEST_ABORTED);
    }
}
