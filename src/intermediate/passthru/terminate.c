/*
 * Terminate: the entries outlive the operation, because NDIS reads our context from the cell above
 * until the completion has passed; then they go, whatever the status: the state below is gone in
 * any case (P19, V-165).
 */
#include "intermediate/passthru/passthru.h"

VOID
PassthruTerminateOffload(NDIS_HANDLE MiniportAdapterContext,
                         PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct passthru_adapter *adapter = MiniportAdapterContext;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root;

    root = passthru_tree_down(adapter, OffloadBlockList, false, NULL);
    if (root)
        NdisTerminateOffload(adapter->lower, root);
}

VOID
PassthruTerminateOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                                 PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;
    struct passthru_call *call = passthru_tree_up(OffloadBlockList);

    NdisMTerminateOffloadComplete(adapter->upper, (PVOID)OffloadBlockList);
    passthru_call_end(adapter, call, true);
}
