/*
 * Receive: posts down, completions up, indications up with the answer of the driver above unchanged
 * (V-164), and what it returns down again. A return names no connection: it goes by the binding
 * (P24).
 */
#include "intermediate/passthru/passthru.h"

NDIS_STATUS
PassthruTcpOffloadReceive(NDIS_HANDLE MiniportAdapterContext, PVOID MiniportOffloadContext,
                          PNET_BUFFER_LIST NetBufferList)
{
    struct passthru_offload *entry = MiniportOffloadContext;

    return NdisOffloadTcpReceive(&entry->lower, NetBufferList);
}

VOID
PassthruTcpOffloadReceiveComplete(NDIS_HANDLE ProtocolBindingContext,
                                  PNET_BUFFER_LIST NetBufferList)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;

    adapter->events.NdisTcpOffloadReceiveComplete(adapter->upper, NetBufferList);
}

NDIS_STATUS
PassthruTcpOffloadReceiveIndicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList,
                                  NDIS_STATUS Status, PULONG BytesConsumed)
{
    struct passthru_offload *entry = passthru_offload_of(OffloadContext);

    return entry->adapter->events.NdisTcpOffloadReceiveHandler(entry->upper, NetBufferList, Status,
                                                               BytesConsumed);
}

NDIS_STATUS
PassthruTcpOffloadReceiveReturn(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    struct passthru_adapter *adapter = MiniportAdapterContext;

    NdisOffloadTcpReceiveReturn(adapter->lower, NetBufferList);
    return NDIS_STATUS_SUCCESS;
}
