/*
 * Direct requests: not serialised, at any time, at the caller's level; the same request goes down
 * and comes back. A list of those that the miniport has is all that NDIS keeps.
 */
#include "ndis/landing.h"

#include "base/log.h"

static struct crossing
crossing_of(enum crossing_op op, struct ndis_binding *binding, bool up,
            const NDIS_OID_REQUEST *request, NDIS_STATUS status)
{
    struct crossing crossing = ndis_crossing(op, binding, up);

    crossing.code = request->DATA.QUERY_INFORMATION.Oid;
    crossing.status = status;
    return crossing;
}

/* false: it is out already. */
static bool
give(struct ndis_binding *binding, NDIS_OID_REQUEST *request)
{
    struct ndis_adapter *adapter = binding->adapter;
    struct ndis_oid *oid = ndis_oid_of(request);
    bool out;

    sys_lock_take(&adapter->lock);
    out = ndis_oid_out(adapter, request);
    if (!out) {
        *oid = (struct ndis_oid){.binding = binding};
        list_add_tail(&adapter->direct_oids, &oid->link);
    }
    sys_lock_give(&adapter->lock);
    return !out;
}

/* false: the miniport does not have it. */
static bool
take(struct ndis_adapter *adapter, const NDIS_OID_REQUEST *request)
{
    bool found = false;

    sys_lock_take(&adapter->lock);
    list_for_each(oid, &adapter->direct_oids, struct ndis_oid, link)
        if (ndis_oid_request(oid) == request) {
            list_del(&oid->link);
            found = true;
            break;
        }
    sys_lock_give(&adapter->lock);
    return found;
}

NDIS_STATUS
NdisDirectOidRequest(NDIS_HANDLE NdisBindingHandle, PNDIS_OID_REQUEST OidRequest)
{
    struct ndis_binding *binding = ndis_binding_of(NdisBindingHandle, "NdisDirectOidRequest");
    MINIPORT_DIRECT_OID_REQUEST_HANDLER handler;
    struct ndis_adapter *adapter;
    struct crossing crossing;
    NDIS_STATUS status;

    if (!binding)
        return NDIS_STATUS_INVALID_PARAMETER;
    if (!ndis_oid_sane(binding, OidRequest, "NdisDirectOidRequest", &status))
        return status;
    adapter = binding->adapter;
    if (!binding->open || !ndis_adapter_up(adapter))
        return NDIS_STATUS_CLOSING;
    handler = adapter->miniport->handlers.DirectOidRequestHandler;
    if (!handler)
        return NDIS_STATUS_NOT_SUPPORTED;
    if (!binding->protocol->handlers.DirectOidRequestCompleteHandler) {
        log_error("NdisDirectOidRequest: driver %s has no handler for its completion",
                  binding->protocol->driver->name);
        return NDIS_STATUS_NOT_SUPPORTED;
    }
    if (!give(binding, OidRequest))
        return ndis_oid_twice(binding, "NdisDirectOidRequest");
    crossing = crossing_of(CROSSING_DIRECT_OID, binding, false, OidRequest, NDIS_STATUS_SUCCESS);
    ndis_observe(adapter->head.house, &crossing);
    status = handler(adapter->context, OidRequest);
    ndis_observe_after(adapter->head.house, &crossing, status);
    if (status != NDIS_STATUS_PENDING) /* still the caller's memory: nothing has completed it */
        take(adapter, OidRequest);
    return status;
}

VOID
NdisMDirectOidRequestComplete(NDIS_HANDLE MiniportAdapterHandle, PNDIS_OID_REQUEST OidRequest,
                              NDIS_STATUS Status)
{
    struct ndis_adapter *adapter = ndis_adapter_of(MiniportAdapterHandle,
                                                   "NdisMDirectOidRequestComplete");
    struct ndis_binding *binding;
    struct crossing crossing;

    if (!adapter)
        return;
    if (!take(adapter, OidRequest)) {
        ndis_breach(adapter->head.house, 187, adapter->miniport->driver->name,
                    "adapter %s completes a direct request that it does not have", adapter->name);
        return;
    }
    binding = ndis_oid_of(OidRequest)->binding;
    if (binding->head.magic != NDIS_MAGIC_BINDING)
        return;
    crossing = crossing_of(CROSSING_DIRECT_OID_COMPLETE, binding, true, OidRequest, Status);
    ndis_observe(adapter->head.house, &crossing);
    binding->protocol->handlers.DirectOidRequestCompleteHandler(binding->context, OidRequest,
                                                                Status);
    ndis_observe_after(adapter->head.house, &crossing, Status);
}

void
ndis_direct_abort(struct ndis_binding *binding)
{
    bool outstanding = false;

    sys_lock_take(&binding->adapter->lock);
    list_for_each(oid, &binding->adapter->direct_oids, struct ndis_oid, link)
        outstanding |= oid->binding == binding;
    sys_lock_give(&binding->adapter->lock);
    if (outstanding)
        ndis_breach(binding->head.house, 186, binding->protocol->driver->name,
                    "driver %s closes with direct requests outstanding",
                    binding->protocol->driver->name);
}
