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

VOID
FloorIndicateOffloadEvent(NDIS_HANDLE ProtocolBindingContext,
                          PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    struct floor_adapter *adapter = ProtocolBindingContext;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST saved = *OffloadBlockList;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST above = (PVOID)OffloadBlockList;

    if (!saved.OffloadHandle || !adapter->upper)
        return;
    above->MiniportOffloadContext = NULL;
    above->NdisOffloadHandle = floor_offload_of(saved.OffloadHandle)->upper;
    NdisMOffloadEventIndicate(adapter->upper, above, IndicationCode);
    *OffloadBlockList = saved;
}
