/*
 * State operations: the tree as it goes down and as it comes back, every node of it. An object gets
 * its number, its layer and its ports when it is offered; later operations name it by its entry.
 *
 * Whose it is: what was offered is with the driver below until the answer; an object that it
 * refused, or that was terminated, is above again.
 */
#include "intermediate/trace/trace.h"

static const OFFLOAD_STATE_TYPE last_types[] = {[TRACE_NEIGHBOR] = NeighborOffloadState,
                                                [TRACE_PATH] = Ip6OffloadState,
                                                [TRACE_TCP] = TcpOffloadState};

static enum trace_layer
layer_of(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    for (enum trace_layer layer = TRACE_NEIGHBOR; layer <= TRACE_TCP; layer++)
        if (block->Header.Type <= last_types[layer])
            return layer;
    return TRACE_UNKNOWN;
}

static uint16_t
host_order(USHORT port)
{
    const UCHAR *bytes = (const UCHAR *)&port;

    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void
introduce(struct trace_adapter *adapter, const struct floor_node *node)
{
    struct trace_object *object = &((struct trace_offload *)node->entry)->object;

    object->number = ++adapter->last_number;
    object->layer = layer_of(node->block);
    if (node->block->Header.Type == TcpOffloadState) {
        const TCP_OFFLOAD_STATE_CONST *state = NDIS_OFFLOAD_STATE_FIRST(node->block);

        object->local_port = host_order(state->LocalPort);
        object->remote_port = host_order(state->RemotePort);
    }
    trace_remember(adapter, node->block->NetBufferListChain, object);
}

/* The floor's walk has left the parents there, until the tree is passed on. */
static ULONG
depth_of(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    ULONG depth = 0;

    while ((block = block->Scratch[0]))
        depth++;
    return depth;
}

/* NULL: the block does not carry one. */
static const TCP_OFFLOAD_STATE_DELEGATED *
delegated_of(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    POFFLOAD_STATE_HEADER state = NDIS_OFFLOAD_STATE_FIRST(block);

    if (block->Header.Type == TcpOffloadDelegatedState)
        return (PVOID)state;
    if (block->Header.Type != TcpOffloadState)
        return NULL;
    state = (PVOID)((PUCHAR)state + NDIS_OFFLOAD_STATE_ALIGN(state->Length));
    return (PVOID)((PUCHAR)state + NDIS_OFFLOAD_STATE_ALIGN(state->Length));
}

static bool
went_well(const struct floor_node *node)
{
    return node->block->Status == NDIS_STATUS_SUCCESS ||
           node->block->Status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

/* Data travels with what is offered, and with what a terminate has given back. */
static void
count_data(struct trace_adapter *adapter, struct trace_crossing *crossing,
           const struct floor_call *call, const struct floor_node *node)
{
    bool carries = crossing->up ? call->operation == FLOOR_TERMINATE && went_well(node)
                                : node->fresh;
    const TCP_OFFLOAD_STATE_DELEGATED *state = carries && node->cell ? delegated_of(node->block)
                                                                     : NULL;

    if (!state)
        return;
    crossing->bytes += trace_data_bytes(node->block->NetBufferListChain, NULL);
    crossing->info += (uint32_t)trace_data_bytes(state->BufferedData, NULL);
    /* It comes back by a receive return. */
    if (crossing->up && node->entry)
        trace_remember(adapter, state->BufferedData, trace_object_of(node->entry));
}

static enum trace_owner
owner_of(const struct floor_call *call, const struct floor_node *node, bool up)
{
    if (!node->entry)
        return TRACE_NOBODY;
    if (up && (call->operation == FLOOR_TERMINATE || (node->fresh && !went_well(node))))
        return TRACE_ABOVE;
    return TRACE_BELOW;
}

static void
put_tree(struct trace_adapter *adapter, const struct floor_call *call, bool up)
{
    struct trace_crossing crossing = {
        .op = (enum trace_op)(TRACE_INITIATE + 2 * call->operation + up),
        .up = up,
        .owner = up ? TRACE_ABOVE : TRACE_BELOW,
        .has_status = up,
        .status = up ? (uint32_t)call->nodes[0].block->Status : 0,
        .count = call->count,
        .nodes = adapter->nodes,
        .node_count = call->count < TRACE_NODES_MAX ? call->count : TRACE_NODES_MAX,
        .buffer = (uintptr_t)call->nodes[0].block,
    };

    for (ULONG i = 0; i < call->count; i++) {
        const struct floor_node *node = &call->nodes[i];

        count_data(adapter, &crossing, call, node);
        if (i >= TRACE_NODES_MAX)
            continue;
        adapter->nodes[i] = (struct trace_node){
            .role = !node->cell   ? TRACE_PLACEHOLDER
                    : node->fresh ? TRACE_NEW
                                  : TRACE_EXISTING,
            .depth = node->kept,
            .owner = owner_of(call, node, up),
            .status = up ? (uint32_t)node->block->Status : 0,
        };
        if (node->entry)
            adapter->nodes[i].object = *trace_object_of(node->entry);
    }
    trace_put_crossing(adapter->trace, &crossing);
}

void
trace_tree_down(struct floor_adapter *floor, struct floor_call *call)
{
    struct trace_adapter *adapter = trace_adapter_of(floor);

    for (ULONG i = 0; i < call->count; i++) {
        struct floor_node *node = &call->nodes[i];

        node->kept = depth_of(node->block);
        if (node->fresh)
            introduce(adapter, node);
    }
    put_tree(adapter, call, false);
}

void
trace_tree_up(struct floor_adapter *floor, struct floor_call *call)
{
    put_tree(trace_adapter_of(floor), call, true);
}
