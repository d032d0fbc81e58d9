/* Disconnect: the same NBL and flags down, the same NBL up (V-162). */
#include "intermediate/floor/floor.h"

NDIS_STATUS
FloorTcpOffloadDisconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                          PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    struct floor_offload *entry = MiniportOffloadContext;

    return NdisOffloadTcpDisconnect(&entry->lower, NetBufferList, Flags);
}

VOID
FloorTcpOffloadDisconnectComplete(NDIS_HANDLE ProtocolBindingContext,
                                  PNET_BUFFER_LIST NetBufferList)
{
    struct floor_adapter *adapter = ProtocolBindingContext;

    adapter->events.NdisTcpOffloadDisconnectComplete(adapter->upper, NetBufferList);
}
