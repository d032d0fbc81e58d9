/*
 * Send: the same list goes down with our handle and comes back through our miniport handle (V-162).
 * No memory is needed on this way, so there is no failure of our own to report (V-086).
 */
#include "intermediate/floor/floor.h"

NDIS_STATUS
FloorTcpOffloadSend(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                    PNET_BUFFER_LIST NetBufferList)
{
    struct floor_offload *entry = MiniportOffloadContext;

    return NdisOffloadTcpSend(&entry->lower, NetBufferList);
}

VOID
FloorTcpOffloadSendComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct floor_adapter *adapter = ProtocolBindingContext;

    adapter->events.NdisTcpOffloadSendComplete(adapter->upper, NetBufferList);
}
