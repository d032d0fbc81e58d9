/*
 * Events up: of a connection through the handle stored in its entry (P26), of a neighbor as a block
 * whose handle is changed for the time of the call; the answer is written into the state behind the
 * block, which is not ours (P27).
 */
#include "intermediate/passthru/passthru.h"

VOID
PassthruTcpOffloadEvent(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct passthru_offload *entry = passthru_offload_of(OffloadContext);

    entry->adapter->events.NdisTcpOffloadEventHandler(entry->upper, EventType,
                                                      EventSpecificInformation);
}

VOID
PassthruIndicateOffloadEvent(NDIS_HANDLE ProtocolBindingContext,
                             PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList,
                             ULONG IndicationCode)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST saved = *OffloadBlockList;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST above = (PVOID)OffloadBlockList;

    if (!saved.OffloadHandle || !adapter->upper)
        return;
    above->MiniportOffloadContext = NULL;
    above->NdisOffloadHandle = passthru_offload_of(saved.OffloadHandle)->upper;
    NdisMOffloadEventIndicate(adapter->upper, above, IndicationCode);
    *OffloadBlockList = saved;
}
