/*
 * Initiate: every new object gets an offload entry before it goes down. What succeeds keeps it, and
 * its address becomes our context in the cell of the driver above; the context of the driver below
 * stays in the entry (V-161).
 */
#include "intermediate/passthru/passthru.h"

VOID
PassthruInitiateOffload(NDIS_HANDLE MiniportAdapterContext,
                        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct passthru_adapter *adapter = MiniportAdapterContext;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root;

    root = passthru_tree_down(adapter, OffloadBlockList, true, NdisMInitiateOffloadComplete);
    if (root)
        NdisInitiateOffload(adapter->lower, root);
}

VOID
PassthruInitiateOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                                PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;
    struct passthru_call *call = passthru_tree_up(OffloadBlockList);

    for (ULONG i = 0; i < call->count; i++) {
        struct passthru_node *node = &call->nodes[i];
        NDIS_STATUS status = node->block->Status;

        if (!node->fresh)
            continue;
        if (status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS)
            *node->cell = node->entry;
        else
            passthru_offload_free(node->entry);
    }
    NdisMInitiateOffloadComplete(adapter->upper, (PVOID)OffloadBlockList);
    passthru_call_end(adapter, call, false);
}
