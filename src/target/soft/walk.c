/*
 * The walk over a tree of blocks: depth first, then to the sibling (V-041). It meets every node
 * twice, before its dependents and after them.
 *
 * The trick: on its way down it leaves each node's parent in MiniportReserved[0], which is ours for
 * the time we have the tree (only a root that waits is queued through it, and that is over when it
 * is walked, or not begun). So there is no stack to overflow, and a tree may be of any width and
 * depth (P7).
 */
#include "target/soft/conn.h"

static NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *
enter(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *parent)
{
    if (block)
        block->MiniportReserved[0] = parent;
    return block;
}

NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *
soft_walk_parent(const struct soft_walk *walk)
{
    return walk->block->MiniportReserved[0];
}

void
soft_walk_first(struct soft_walk *walk, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *list)
{
    *walk = (struct soft_walk){.block = enter(list, NULL)};
}

void
soft_walk_next(struct soft_walk *walk)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block = walk->block;

    if (!walk->leaving && block->DependentBlockList) {
        walk->block = enter(block->DependentBlockList, block);
        walk->depth++;
    } else if (!walk->leaving) {
        walk->leaving = true;
    } else if (block->NextBlock) {
        walk->block = enter(block->NextBlock, soft_walk_parent(walk));
        walk->leaving = false;
    } else {
        walk->block = soft_walk_parent(walk);
        walk->depth--;
    }
}

void
soft_walk_skip(struct soft_walk *walk)
{
    walk->leaving = true;
}

void
soft_block_walk(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *list,
                bool dependents_first, soft_block_fn *fn)
{
    struct soft_walk walk;

    for (soft_walk_first(&walk, list); walk.block; soft_walk_next(&walk)) {
        if (walk.leaving != dependents_first)
            continue;
        walk.block->Status = walk.block->MiniportOffloadContext
                                 ? fn(adapter, walk.block, soft_walk_parent(&walk))
                                 : NDIS_STATUS_SUCCESS;
    }
}
