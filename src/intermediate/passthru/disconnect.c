/* Disconnect: the same NBL and flags down, the same NBL up (V-162). */
#include "intermediate/passthru/passthru.h"

NDIS_STATUS
PassthruTcpOffloadDisconnect(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                             PNET_BUFFER_LIST NetBufferList, ULONG Flags)
{
    struct passthru_offload *entry = MiniportOffloadContext;

    return NdisOffloadTcpDisconnect(&entry->lower, NetBufferList, Flags);
}

VOID
PassthruTcpOffloadDisconnectComplete(NDIS_HANDLE ProtocolBindingContext,
                                     PNET_BUFFER_LIST NetBufferList)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;

    adapter->events.NdisTcpOffloadDisconnectComplete(adapter->upper, NetBufferList);
}
