/* Forward: like send, the same list both ways (V-162). */
#include "intermediate/floor/floor.h"

NDIS_STATUS
FloorTcpOffloadForward(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                       PNET_BUFFER_LIST NetBufferList)
{
    struct floor_offload *entry = MiniportOffloadContext;

    return NdisOffloadTcpForward(&entry->lower, NetBufferList);
}

VOID
FloorTcpOffloadForwardComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct floor_adapter *adapter = ProtocolBindingContext;

    adapter->events.NdisTcpOffloadForwardComplete(adapter->upper, NetBufferList);
}
