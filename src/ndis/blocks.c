/*
 * Block lists: the walk over a tree, and the conversion of a block in place.
 *
 * The two forms are overlays (P2). What differs is one slot, at 0x30: the address of the cell in
 * which the driver below keeps its context, which is a member of the caller's own
 * NDIS_OFFLOAD_HANDLE (P4). Nothing is copied or allocated and everything else passes through (P6,
 * P13); a tree may be of any width and depth.
 *
 * The trick of the walk: a block that waits for its turn is linked to the next one that does
 * through NdisReserved[0], which is ours for the time NDIS holds the tree (P8), so there is no
 * stack to overflow. NdisReserved[1] holds the cookie of the walk; whoever meets it a second time
 * has found a list that is no tree. No two walks have the same, on whatever thread and in whatever
 * house: what an earlier one left behind must not look like this one's.
 */
#include "ndis/landing.h"

#include "base/log.h"

static _Atomic uint64_t walks;

static void
walk_push(struct ndis_walk *walk, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block)
{
    if (!block)
        return;
    if (block->NdisReserved[1] == walk->cookie) {
        walk->repeated = true;
        return;
    }
    block->NdisReserved[1] = walk->cookie;
    block->NdisReserved[0] = walk->top;
    walk->top = block;
}

PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
ndis_walk_first(struct ndis_walk *walk, void *root)
{
    uint64_t number = atomic_fetch_add_explicit(&walks, 1, memory_order_relaxed);

    /* No pointer looks like this, so memory that was something else before cannot match. */
    *walk = (struct ndis_walk){.cookie = (PVOID)(uintptr_t)(0xC0DEull << 48 | number)};
    walk_push(walk, root);
    return ndis_walk_next(walk);
}

PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
ndis_walk_next(struct ndis_walk *walk)
{
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = walk->top;

    if (!block)
        return NULL;
    walk->top = block->NdisReserved[0];
    block->NdisReserved[0] = NULL;
    walk_push(walk, block->NextBlock);
    walk_push(walk, block->DependentBlockList);
    return block;
}

void
ndis_block_lower(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block, struct ndis_binding *binding)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST lowered = (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)block;
    PNDIS_OFFLOAD_HANDLE handle = block->OffloadHandle;

    lowered->MiniportOffloadContext = handle ? &handle->MiniportOffloadContext : NULL;
    lowered->SourceHandle = binding;
}

void
ndis_block_raise(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block)
{
    block->NdisReserved[2] = NULL;
}

static const ULONG state_sizes[NDIS_LAYERS][NDIS_CLASS_ALL] = {
    [NDIS_LAYER_NEIGHBOR] = {sizeof(NEIGHBOR_OFFLOAD_STATE_CONST),
                             sizeof(NEIGHBOR_OFFLOAD_STATE_CACHED),
                             sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED)},
    [NDIS_LAYER_PATH] = {sizeof(PATH_OFFLOAD_STATE_CONST), sizeof(PATH_OFFLOAD_STATE_CACHED),
                         sizeof(PATH_OFFLOAD_STATE_DELEGATED)},
    [NDIS_LAYER_TCP] = {sizeof(TCP_OFFLOAD_STATE_CONST), sizeof(TCP_OFFLOAD_STATE_CACHED),
                        sizeof(TCP_OFFLOAD_STATE_DELEGATED)},
};

enum ndis_state_class
ndis_class_of(UCHAR type)
{
    switch ((OFFLOAD_STATE_TYPE)type) {
    case NeighborOffloadConstState:
    case Ip4OffloadConstState:
    case Ip6OffloadConstState:
    case TcpOffloadConstState:
        return NDIS_CLASS_CONST;
    case NeighborOffloadCachedState:
    case Ip4OffloadCachedState:
    case Ip6OffloadCachedState:
    case TcpOffloadCachedState:
        return NDIS_CLASS_CACHED;
    case NeighborOffloadDelegatedState:
    case Ip4OffloadDelegatedState:
    case Ip6OffloadDelegatedState:
    case TcpOffloadDelegatedState:
        return NDIS_CLASS_DELEGATED;
    case NeighborOffloadState:
    case Ip4OffloadState:
    case Ip6OffloadState:
    case TcpOffloadState:
        return NDIS_CLASS_ALL;
    case TcpOffloadResourceState:
    case FilterReservedOffloadState:
        break;
    }
    return NDIS_CLASS_NONE;
}

static PVOID
state_stamp(OFFLOAD_STATE_HEADER *state, ULONG length)
{
    if (state->Length && state->Length != length)
        log_error("an offload state of %u bytes says it has %u (V-021)", length, state->Length);
    state->Length = length;
    return (PUCHAR)state + NDIS_OFFLOAD_STATE_ALIGN(length);
}

void
ndis_states_stamp(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block)
{
    enum ndis_state_class class = ndis_class_of(block->Header.Type);
    PVOID state = NDIS_OFFLOAD_STATE_FIRST(block);
    enum ndis_layer layer;

    if (!ndis_layer_of(block->Header.Type, &layer))
        return;
    if (class != NDIS_CLASS_ALL) {
        state_stamp(state, state_sizes[layer][class]);
        return;
    }
    for (int i = NDIS_CLASS_CONST; i <= NDIS_CLASS_DELEGATED; i++)
        state = state_stamp(state, state_sizes[layer][i]);
}
