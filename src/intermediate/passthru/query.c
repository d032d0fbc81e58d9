/* Query: the states behind the blocks are filled below; nothing in them is ours. */
#include "intermediate/passthru/passthru.h"

VOID
PassthruQueryOffload(NDIS_HANDLE MiniportAdapterContext,
                     PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct passthru_adapter *adapter = MiniportAdapterContext;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root;

    root = passthru_tree_down(adapter, OffloadBlockList, false, NdisMQueryOffloadStateComplete);
    if (root)
        NdisQueryOffloadState(adapter->lower, root);
}

VOID
PassthruQueryOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                             PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;
    struct passthru_call *call = passthru_tree_up(OffloadBlockList);

    NdisMQueryOffloadStateComplete(adapter->upper, (PVOID)OffloadBlockList);
    passthru_call_end(adapter, call, false);
}
