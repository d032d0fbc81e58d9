/*
 * Send: the same list goes down with our handle and comes back through our miniport handle (V-162).
 * No memory is needed on this way, so there is no failure of our own to report (V-086).
 */
#include "intermediate/passthru/passthru.h"

NDIS_STATUS
PassthruTcpOffloadSend(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                       PNET_BUFFER_LIST NetBufferList)
{
    struct passthru_offload *entry = MiniportOffloadContext;

    return NdisOffloadTcpSend(&entry->lower, NetBufferList);
}

VOID
PassthruTcpOffloadSendComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;

    adapter->events.NdisTcpOffloadSendComplete(adapter->upper, NetBufferList);
}
