/* Update: cached state and relinks go down as they are; the entries do not know layers or links. */
#include "intermediate/passthru/passthru.h"

VOID
PassthruUpdateOffload(NDIS_HANDLE MiniportAdapterContext,
                      PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct passthru_adapter *adapter = MiniportAdapterContext;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root;

    root = passthru_tree_down(adapter, OffloadBlockList, false, NdisMUpdateOffloadComplete);
    if (root)
        NdisUpdateOffload(adapter->lower, root);
}

VOID
PassthruUpdateOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                              PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;
    struct passthru_call *call = passthru_tree_up(OffloadBlockList);

    NdisMUpdateOffloadComplete(adapter->upper, (PVOID)OffloadBlockList);
    passthru_call_end(adapter, call, false);
}
