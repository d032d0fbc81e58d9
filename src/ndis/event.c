/*
 * Events from below: of one connection, named by the handle of the driver above (P26), and of a
 * neighbor, with a block that is converted for the length of the call (P27). The answer to the
 * latter is written in place.
 */
#include "ndis/landing.h"

VOID
ndis_tcp_event(NDIS_HANDLE NdisOffloadHandle, ULONG EventType, ULONG EventSpecificInformation)
{
    struct ndis_object *object = ndis_object_of(NdisOffloadHandle, "NdisTcpOffloadEventHandler");
    TCP_OFFLOAD_EVENT_HANDLER handler;
    struct ndis_binding *binding;
    struct crossing crossing;

    if (!object)
        return;
    binding = object->binding;
    handler = binding->client->tcp.TcpOffloadEventHandler;
    if (!ndis_observed(binding->head.house)) {
        handler(NdisOffloadHandle, EventType, EventSpecificInformation);
        return;
    }
    crossing = ndis_crossing(CROSSING_TCP_EVENT, binding, true);
    crossing.object = NdisOffloadHandle;
    crossing.code = EventType;
    crossing.info = EventSpecificInformation;
    if (ndis_observe_before(binding->head.house, &crossing) == CROSSING_GO)
        handler(NdisOffloadHandle, EventType, EventSpecificInformation);
    ndis_observe_after(binding->head.house, &crossing, NDIS_STATUS_SUCCESS);
}

/* P27: in the protocol form for the length of the call. */
static void
deliver(struct ndis_binding *binding, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block, ULONG code)
{
    PVOID *cell = block->MiniportOffloadContext;

    block->MiniportOffloadContext = NULL;
    binding->client->generic.IndicateOffloadEventHandler(
        binding->context, (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST)block, code);
    block->MiniportOffloadContext = cell;
}

static void
deliver_observed(struct ndis_binding *binding, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block, ULONG code)
{
    struct crossing crossing = ndis_crossing(CROSSING_OFFLOAD_EVENT, binding, true);

    crossing.object = block->NdisOffloadHandle;
    crossing.blocks = block;
    crossing.code = code;
    if (ndis_observe_before(binding->head.house, &crossing) == CROSSING_GO)
        deliver(binding, block, code);
    ndis_observe_after(binding->head.house, &crossing, NDIS_STATUS_SUCCESS);
}

VOID
NdisMOffloadEventIndicate(NDIS_HANDLE NdisMiniportHandle,
                          PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    struct ndis_adapter *adapter = ndis_adapter_of(NdisMiniportHandle, "NdisMOffloadEventIndicate");
    struct ndis_object *object;

    if (!adapter)
        return;
    if (!OffloadBlockList) {
        ndis_breach_null(adapter->head.house, adapter->miniport->driver,
                         "NdisMOffloadEventIndicate");
        return;
    }
    /* nothing else identifies the object. */
    object = ndis_object_of(OffloadBlockList->NdisOffloadHandle, "NdisMOffloadEventIndicate");
    if (!object)
        return;
    if (object->adapter != adapter) {
        ndis_breach_of(adapter->head.house, 130, adapter->miniport->driver->name,
                       OffloadBlockList->NdisOffloadHandle,
                       "NdisMOffloadEventIndicate: adapter %s names an object of adapter %s",
                       adapter->name, object->adapter->name);
        return;
    }
    if (NDIS_UNLIKELY(ndis_observed(adapter->head.house)))
        deliver_observed(object->binding, OffloadBlockList, IndicationCode);
    else
        deliver(object->binding, OffloadBlockList, IndicationCode);
}
