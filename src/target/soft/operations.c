/*
 * How the five state operations run: MiniportXxxOffload notes the root of its tree and returns; at
 * the next turn the operations are done in the order they came, each completed right after it
 * (V-029 … V-032). The queue needs no memory: MiniportReserved of the root is its list node,
 * Scratch holds what was asked and when. Update alone takes effect during the call (update.c says
 * why); only its completion waits.
 *
 * Sources: chimney 3 and 4; D:w_*_offload_handler.
 */
#include "target/soft/conn.h"

#include <stddef.h>

static struct list *
block_link(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block)
{
    return (struct list *)block->MiniportReserved;
}

void
soft_operation_queue(struct soft_adapter *adapter, enum soft_operation operation,
                     NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root)
{
    root->Scratch[0] = (PVOID)(uintptr_t)operation;
    root->Scratch[1] = (PVOID)(uintptr_t)soft_now_us(adapter);
    list_add_tail(&adapter->operations, block_link(root));
    sys_loop_defer(adapter->loop, &adapter->operate);
}

static void
run(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root)
{
    switch ((enum soft_operation)(uintptr_t)root->Scratch[0]) {
    case SOFT_INITIATE:
        soft_initiate(adapter, root, (uintptr_t)root->Scratch[1]);
        break;
    case SOFT_TERMINATE:
        soft_terminate(adapter, root);
        break;
    case SOFT_UPDATE:
        NdisMUpdateOffloadComplete(adapter->handle, root);
        break;
    case SOFT_INVALIDATE:
        soft_invalidate(adapter, root);
        NdisMInvalidateOffloadComplete(adapter->handle, root);
        break;
    case SOFT_QUERY:
        soft_query(adapter, root);
        NdisMQueryOffloadStateComplete(adapter->handle, root);
        break;
    }
}

/* Operations queued meanwhile wait for the next turn: they must not complete on the stack of their
 * own call. */
void
soft_operations(void *arg)
{
    struct soft_adapter *adapter = arg;
    struct list *last = adapter->operations.prev;
    bool more = !list_empty(&adapter->operations);

    while (more) {
        struct list *link = adapter->operations.next;
        NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root = container_of(
            link, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST, MiniportReserved);
        more = link != last;
        list_del(link);
        run(adapter, root);
    }
}

struct soft_object *
soft_block_object(const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block)
{
    return block->MiniportOffloadContext ? *block->MiniportOffloadContext : NULL;
}

void *
soft_block_state(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block, enum soft_class class)
{
    OFFLOAD_STATE_TYPE type = block->Header.Type;
    NEIGHBOR_OFFLOAD_STATE_CACHED *state = NDIS_OFFLOAD_STATE_FIRST(
        block); /* any: only the header counts */
    enum soft_class only;

    switch (type) {
    case NeighborOffloadState:
    case Ip4OffloadState:
    case Ip6OffloadState:
    case TcpOffloadState:
        for (; class > SOFT_CONST; class --)
            state = NDIS_OFFLOAD_STATE_NEXT(state);
        return state;
    case NeighborOffloadConstState:
    case Ip4OffloadConstState:
    case Ip6OffloadConstState:
    case TcpOffloadConstState:
        only = SOFT_CONST;
        break;
    case NeighborOffloadCachedState:
    case Ip4OffloadCachedState:
    case Ip6OffloadCachedState:
    case TcpOffloadCachedState:
        only = SOFT_CACHED;
        break;
    case NeighborOffloadDelegatedState:
    case Ip4OffloadDelegatedState:
    case Ip6OffloadDelegatedState:
    case TcpOffloadDelegatedState:
        only = SOFT_DELEGATED;
        break;
    default:
        return NULL;
    }
    return class == only ? state : NULL;
}
