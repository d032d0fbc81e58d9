/*
 * The five state operations. A tree goes down as tree.c has changed it and comes up as it was. What
 * an initiate offloads gets an offload entry before it goes down; what succeeds keeps it, and its
 * address becomes our context in the cell of the driver above; the context of the driver below
 * stays in the entry (V-161). The entries outlive a terminate until its completion has passed,
 * because NDIS reads our context from that cell until then; then they go, whatever the status: the
 * state below is gone in any case (P19, V-165).
 */
#include "intermediate/floor/floor.h"

static VOID (*const below[])(NDIS_HANDLE, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) = {
    [FLOOR_INITIATE] = NdisInitiateOffload,     [FLOOR_TERMINATE] = NdisTerminateOffload,
    [FLOOR_UPDATE] = NdisUpdateOffload,         [FLOOR_QUERY] = NdisQueryOffloadState,
    [FLOOR_INVALIDATE] = NdisInvalidateOffload,
};
static VOID (*const above[])(NDIS_HANDLE, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST) = {
    [FLOOR_INITIATE] = NdisMInitiateOffloadComplete,
    [FLOOR_TERMINATE] = NdisMTerminateOffloadComplete,
    [FLOOR_UPDATE] = NdisMUpdateOffloadComplete,
    [FLOOR_QUERY] = NdisMQueryOffloadStateComplete,
    [FLOOR_INVALIDATE] = NdisMInvalidateOffloadComplete,
};

void
floor_complete(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
               enum floor_operation operation)
{
    above[operation](adapter->upper, root);
}

void
floor_pass_down_to(NDIS_HANDLE lower, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
                   enum floor_operation operation)
{
    below[operation](lower, (PVOID)root);
}

void
floor_pass_down(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
                enum floor_operation operation)
{
    floor_pass_down_to(adapter->lower, root, operation);
}

void
floor_down(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
           enum floor_operation operation)
{
    const struct floor_kind *kind = adapter->driver->kind;
    struct floor_call *call = floor_tree_down(adapter, root, operation);

    if (!call)
        return;
    if (kind->tree_down)
        kind->tree_down(adapter, call);
    if (kind->pass_down)
        kind->pass_down(adapter, call, root);
    else
        floor_pass_down(adapter, root, operation);
}

static void
keep_entries(struct floor_call *call)
{
    for (ULONG i = 0; i < call->count; i++) {
        struct floor_node *node = &call->nodes[i];
        NDIS_STATUS status = node->block->Status;

        if (!node->fresh)
            continue;
        if (status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS)
            *node->cell = node->entry;
        else
            floor_offload_free(node->entry);
    }
}

static void
up(NDIS_HANDLE context, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root)
{
    struct floor_adapter *adapter = context;
    const struct floor_kind *kind = adapter->driver->kind;
    struct floor_call *call = floor_tree_up(root);

    if (kind->tree_up)
        kind->tree_up(adapter, call);
    if (call->operation == FLOOR_INITIATE)
        keep_entries(call);
    floor_complete(adapter, (PVOID)root, call->operation);
    floor_call_end(adapter, call);
}

VOID
FloorInitiateOffload(NDIS_HANDLE MiniportAdapterContext,
                     PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    floor_down(MiniportAdapterContext, OffloadBlockList, FLOOR_INITIATE);
}

VOID
FloorTerminateOffload(NDIS_HANDLE MiniportAdapterContext,
                      PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    floor_down(MiniportAdapterContext, OffloadBlockList, FLOOR_TERMINATE);
}

VOID
FloorUpdateOffload(NDIS_HANDLE MiniportAdapterContext,
                   PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    floor_down(MiniportAdapterContext, OffloadBlockList, FLOOR_UPDATE);
}

VOID
FloorQueryOffload(NDIS_HANDLE MiniportAdapterContext,
                  PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    floor_down(MiniportAdapterContext, OffloadBlockList, FLOOR_QUERY);
}

VOID
FloorInvalidateOffload(NDIS_HANDLE MiniportAdapterContext,
                       PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    floor_down(MiniportAdapterContext, OffloadBlockList, FLOOR_INVALIDATE);
}

/* Five names for one thing: what it is the call entry knows. */
VOID
FloorOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                     PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    up(ProtocolBindingContext, OffloadBlockList);
}
