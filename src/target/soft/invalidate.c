/*
 * Invalidate: what stands on the named objects stops sending at once and wants to go up,
 * reason InvalidState. Nothing is freed before the terminate. A path on a neighbor that is invalid
 * may be relinked to another, and is usable there. Source: chimney 4.3, 4.4.
 */
#include "target/soft/conn.h"

static void
stop(struct soft_object *object)
{
    if (object->kind == SOFT_TCP) {
        soft_retrieve(soft_conn_of(object), InvalidState);
        return;
    }
    list_for_each_safe(child, &object->children, struct soft_object, sibling) {
        stop(child);
    }
}

static NDIS_STATUS
invalidate_block(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block,
                 NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *parent)
{
    struct soft_object *object = soft_block_object(block);

    if (!object || (object->kind == SOFT_TCP && soft_event_lost(soft_conn_of(object))))
        return NDIS_STATUS_FAILURE;
    object->invalid = true;
    stop(object);
    return NDIS_STATUS_SUCCESS;
}

void
soft_invalidate(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root)
{
    soft_block_walk(adapter, root, false, invalidate_block);
}

VOID
SoftInvalidateOffload(NDIS_HANDLE MiniportAdapterContext,
                      NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *OffloadBlockList)
{
    soft_operation_queue(MiniportAdapterContext, SOFT_INVALIDATE, OffloadBlockList);
}
