/*
 * Receive: posts down, completions up, indications up with the answer of the driver above unchanged
 * (V-164), and what it returns down again. A return names no connection: it goes by the binding
 * (P24).
 */
#include "intermediate/floor/floor.h"

NDIS_STATUS
FloorTcpOffloadReceive(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                       PNET_BUFFER_LIST NetBufferList)
{
    struct floor_offload *entry = MiniportOffloadContext;

    return NdisOffloadTcpReceive(&entry->lower, NetBufferList);
}

VOID
FloorTcpOffloadReceiveComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct floor_adapter *adapter = ProtocolBindingContext;

    adapter->events.NdisTcpOffloadReceiveComplete(adapter->upper, NetBufferList);
}

NDIS_STATUS
FloorTcpOffloadReceiveIndicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList,
                               NDIS_STATUS Status, PULONG BytesConsumed)
{
    struct floor_offload *entry = floor_offload_of(OffloadContext);

    return entry->adapter->events.NdisTcpOffloadReceiveHandler(entry->upper, NetBufferList, Status,
                                                               BytesConsumed);
}

NDIS_STATUS
FloorTcpOffloadReceiveReturn(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    struct floor_adapter *adapter = MiniportAdapterContext;

    NdisOffloadTcpReceiveReturn(adapter->lower, NetBufferList);
    return NDIS_STATUS_SUCCESS;
}
