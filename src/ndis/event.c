/*
 * Events from below: of one connection, named by the handle of the driver above (P26), and of a
 * neighbor, with a block that is converted for the length of the call (P27). The answer to the
 * latter is written in place.
 */
#include "ndis/landing.h"

#include "base/log.h"

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
    ndis_observe(binding->head.house, &crossing);
    handler(NdisOffloadHandle, EventType, EventSpecificInformation);
    crossing.after = true;
    ndis_observe(binding->head.house, &crossing);
}

static void
deliver(struct ndis_binding *binding, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block, ULONG code)
{
    struct crossing crossing;

    if (!ndis_observed(binding->head.house)) {
        binding->client->generic.IndicateOffloadEventHandler(binding->context, block, code);
        return;
    }
    crossing = ndis_crossing(CROSSING_OFFLOAD_EVENT, binding, true);
    crossing.object = block->OffloadHandle;
    crossing.blocks = block;
    crossing.code = code;
    ndis_observe(binding->head.house, &crossing);
    binding->client->generic.IndicateOffloadEventHandler(binding->context, block, code);
    crossing.after = true;
    ndis_observe(binding->head.house, &crossing);
}

VOID
NdisMOffloadEventIndicate(NDIS_HANDLE NdisMiniportHandle,
                          PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    struct ndis_adapter *adapter = ndis_adapter_of(NdisMiniportHandle, "NdisMOffloadEventIndicate");
    struct ndis_object *object;
    PVOID *cell;

    if (!adapter || !OffloadBlockList)
        return;
    /* nothing else identifies the object. */
    object = ndis_object_of(OffloadBlockList->NdisOffloadHandle, "NdisMOffloadEventIndicate");
    if (!object)
        return;
    if (object->adapter != adapter) {
        log_error("NdisMOffloadEventIndicate: adapter %s names an object of adapter %s",
                  adapter->name, object->adapter->name);
        return;
    }
    cell = OffloadBlockList->MiniportOffloadContext;
    OffloadBlockList->MiniportOffloadContext = NULL;
    deliver(object->binding, (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST)OffloadBlockList, IndicationCode);
    OffloadBlockList->MiniportOffloadContext = cell;
}
