/*
 * Status indications go up to every open binding. NDIS remembers two things about them: whether
 * offloading is paused (P28), which a binding made later is told when it starts, and the link. A
 * resume may carry new capabilities.
 *
 * PnP events that an intermediate driver passes up go the same way; pause and restart are not
 * passed, NDIS sends those itself, from the top of the stack.
 */
#include "ndis/landing.h"

#include "base/log.h"

/* What a binding made later is told (NDIS_BIND_PARAMETERS). */
static void
remember_link(struct ndis_adapter *adapter, const NDIS_STATUS_INDICATION *indication)
{
    const NDIS_LINK_STATE *link = indication->StatusBuffer;

    if (!link || indication->StatusBufferSize < sizeof(*link))
        return;
    adapter->general.MediaConnectState = link->MediaConnectState;
    adapter->general.XmitLinkSpeed = link->XmitLinkSpeed;
    adapter->general.RcvLinkSpeed = link->RcvLinkSpeed;
}

/* Under the lock of the adapter. */
static void
remember(struct ndis_adapter *adapter, const NDIS_STATUS_INDICATION *indication)
{
    switch (indication->StatusCode) {
    case NDIS_STATUS_OFFLOAD_PAUSE:
    case NDIS_STATUS_UPLOAD_ALL:
        adapter->offload_paused = true;
        break;
    case NDIS_STATUS_OFFLOAD_RESUME:
        adapter->offload_paused = false;
        if (indication->StatusBuffer &&
            indication->StatusBufferSize >= sizeof(adapter->capabilities))
            memcpy(&adapter->capabilities, indication->StatusBuffer, sizeof(adapter->capabilities));
        break;
    case NDIS_STATUS_LINK_STATE:
        remember_link(adapter, indication);
        break;
    case NDIS_STATUS_TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES:
        if (indication->StatusBuffer && indication->StatusBufferSize >= sizeof(adapter->hardware))
            memcpy(&adapter->hardware, indication->StatusBuffer, sizeof(adapter->hardware));
        break;
    default:
        break;
    }
}

static void
deliver(struct ndis_binding *binding, NDIS_STATUS_INDICATION *indication)
{
    struct crossing crossing;

    if (!ndis_observed(binding->head.house)) {
        binding->protocol->handlers.StatusHandlerEx(binding->context, indication);
        return;
    }
    crossing = ndis_crossing(CROSSING_STATUS, binding, true);
    crossing.code = (ULONG)indication->StatusCode;
    crossing.data = indication;
    ndis_observe(binding->head.house, &crossing);
    binding->protocol->handlers.StatusHandlerEx(binding->context, indication);
    ndis_observe_after(binding->head.house, &crossing, NDIS_STATUS_SUCCESS);
}

static void
tell_all(struct ndis_adapter *adapter, NDIS_STATUS_INDICATION *indication)
{
    struct ndis_binding *binding;
    size_t at = 0;

    while ((binding = ndis_binding_hold(adapter, &at, false)) != NULL) {
        deliver(binding, indication);
        ndis_binding_release(binding);
    }
}

VOID
NdisMIndicateStatusEx(NDIS_HANDLE MiniportAdapterHandle, PNDIS_STATUS_INDICATION StatusIndication)
{
    struct ndis_adapter *adapter = ndis_adapter_of(MiniportAdapterHandle, "NdisMIndicateStatusEx");

    if (!adapter)
        return;
    if (!StatusIndication) {
        ndis_breach_null(adapter->head.house, adapter->miniport->driver, "NdisMIndicateStatusEx");
        return;
    }
    if (!ndis_adapter_up(adapter)) {
        log_error("adapter %s: status 0x%08x before it is initialised", adapter->name,
                  (unsigned)StatusIndication->StatusCode);
        return;
    }
    sys_lock_take(&adapter->lock);
    remember(adapter, StatusIndication);
    sys_lock_give(&adapter->lock);
    tell_all(adapter, StatusIndication);
}

void
ndis_status_tell(struct ndis_adapter *adapter, NDIS_STATUS code)
{
    NDIS_STATUS_INDICATION indication = {
        .Header = {.Type = NDIS_OBJECT_TYPE_STATUS_INDICATION,
                   .Revision = NDIS_STATUS_INDICATION_REVISION_1,
                   .Size = sizeof(indication)},
        .SourceHandle = adapter,
        .StatusCode = code,
    };

    tell_all(adapter, &indication);
}

void
ndis_status_remembered(struct ndis_binding *binding)
{
    NDIS_STATUS_INDICATION indication = {
        .Header = {.Type = NDIS_OBJECT_TYPE_STATUS_INDICATION,
                   .Revision = NDIS_STATUS_INDICATION_REVISION_1,
                   .Size = sizeof(indication)},
        .SourceHandle = binding->adapter,
        .StatusCode = NDIS_STATUS_OFFLOAD_PAUSE,
    };

    if (binding->adapter->offload_paused)
        deliver(binding, &indication);
}

NDIS_STATUS
NdisMNetPnPEvent(NDIS_HANDLE MiniportAdapterHandle,
                 PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    struct ndis_adapter *adapter = ndis_adapter_of(MiniportAdapterHandle, "NdisMNetPnPEvent");
    NDIS_STATUS result = NDIS_STATUS_SUCCESS;
    NET_PNP_EVENT_CODE code;

    if (!ndis_given(NetPnPEventNotification, "NdisMNetPnPEvent"))
        return NDIS_STATUS_INVALID_PARAMETER;
    ndis_at_most(PASSIVE_LEVEL, "NdisMNetPnPEvent");
    if (!adapter)
        return NDIS_STATUS_INVALID_PARAMETER;
    code = NetPnPEventNotification->NetPnPEvent.NetEvent;
    if (code == NetEventPause || code == NetEventRestart)
        return NDIS_STATUS_SUCCESS;
    list_for_each_safe(binding, &adapter->bindings, struct ndis_binding, link) {
        NDIS_STATUS status = ndis_binding_event(binding, NetPnPEventNotification, "PnP event");

        if (status != NDIS_STATUS_SUCCESS)
            result = status;
    }
    return result;
}
