/*
 * Events up: of a connection through the handle stored in its entry (P26), of a neighbor as a block
 * whose handle is changed for the time of the call; the answer is written into the state behind the
 * block, which is not ours (P27).
 */
#include "intermediate/floor/floor.h"

VOID
FloorTcpOffloadEvent(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct floor_offload *entry = floor_offload_of(OffloadContext);

    entry->adapter->events.NdisTcpOffloadEventHandler(entry->upper, EventType,
                                                      EventSpecificInformation);
}

void
floor_neighbor_event(struct floor_adapter *adapter, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block,
                     ULONG code, NDIS_HANDLE upper)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST saved = *block;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST above = (PVOID)block;

    if (!adapter->upper)
        return;
    above->MiniportOffloadContext = NULL;
    above->NdisOffloadHandle = upper;
    NdisMOffloadEventIndicate(adapter->upper, above, code);
    *block = saved;
}

VOID
FloorIndicateOffloadEvent(NDIS_HANDLE ProtocolBindingContext,
                          PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    if (OffloadBlockList->OffloadHandle)
        floor_neighbor_event(ProtocolBindingContext, OffloadBlockList, IndicationCode,
                             floor_offload_of(OffloadBlockList->OffloadHandle)->upper);
}
