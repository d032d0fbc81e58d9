/* Invalidate: the objects stay, and with them their entries, until a terminate. */
#include "intermediate/passthru/passthru.h"

VOID
PassthruInvalidateOffload(NDIS_HANDLE MiniportAdapterContext,
                          PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct passthru_adapter *adapter = MiniportAdapterContext;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root;

    root = passthru_tree_down(adapter, OffloadBlockList, false, NdisMInvalidateOffloadComplete);
    if (root)
        NdisInvalidateOffload(adapter->lower, root);
}

VOID
PassthruInvalidateOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                                  PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;
    struct passthru_call *call = passthru_tree_up(OffloadBlockList);

    NdisMInvalidateOffloadComplete(adapter->upper, (PVOID)OffloadBlockList);
    passthru_call_end(adapter, call, false);
}
