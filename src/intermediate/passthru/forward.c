/* Forward: like send, the same list both ways (V-162). */
#include "intermediate/passthru/passthru.h"

NDIS_STATUS
PassthruTcpOffloadForward(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                          PNET_BUFFER_LIST NetBufferList)
{
    struct passthru_offload *entry = MiniportOffloadContext;

    return NdisOffloadTcpForward(&entry->lower, NetBufferList);
}

VOID
PassthruTcpOffloadForwardComplete(NDIS_HANDLE ProtocolBindingContext,
                                  PNET_BUFFER_LIST NetBufferList)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;

    adapter->events.NdisTcpOffloadForwardComplete(adapter->upper, NetBufferList);
}
