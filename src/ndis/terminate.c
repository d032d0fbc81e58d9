/*
 * Terminate: objects come back. Whatever the Status, the object is gone afterwards: its cell is
 * NULL before the driver hears of it, so that the handle can be offloaded again (P19), and the NBLs
 * of a returned chain are the driver's without a completion (P21).
 *
 * Type says which states follow; only the delegated types are trusted to have one here (V-025).
 */
#include "ndis/landing.h"

const struct ndis_operation ndis_terminate = {
    .name = "NdisTerminateOffload",
    .down = CROSSING_TERMINATE,
    .up = CROSSING_TERMINATE_COMPLETE,
    .provider = offsetof(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                         TerminateOffloadHandler),
    .client = offsetof(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                       TerminateOffloadCompleteHandler),
};

VOID
NdisTerminateOffload(NDIS_HANDLE NdisBindingHandle,
                     PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct ndis_landing landing;
    struct ndis_walk walk;
    const char *why;

    if (!ndis_landing_find(&landing, &ndis_terminate, NdisBindingHandle, OffloadBlockList))
        return;
    why = ndis_landing_decode(&landing);
    if (why) {
        ndis_landing_refuse(&landing, NDIS_STATUS_FAILURE, why);
        return;
    }
    for (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = ndis_walk_first(&walk, landing.root); block;
         block = ndis_walk_next(&walk)) {
        if (block->OffloadHandle)
            ndis_object_set_state(ndis_object_peek(block->OffloadHandle), NDIS_OBJECT_TERMINATING,
                                  "terminate asked");
        if (block->OffloadHandle && ndis_class_of(block->Header.Type) == NDIS_CLASS_DELEGATED)
            ndis_states_stamp(block);
        ndis_block_lower(block, landing.binding);
    }
    ndis_landing_call(&landing);
}

VOID
NdisMTerminateOffloadComplete(NDIS_HANDLE NdisMiniportHandle,
                              PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct ndis_landing landing;
    struct ndis_walk walk;

    if (!ndis_landing_find_up(&landing, &ndis_terminate, NdisMiniportHandle, OffloadBlockList))
        return;
    for (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = ndis_walk_first(&walk, landing.root); block;
         block = ndis_walk_next(&walk)) {
        struct ndis_object *object = block->OffloadHandle
                                         ? ndis_object_search(landing.house, block->OffloadHandle)
                                         : NULL;

        if (object && object->state == NDIS_OBJECT_TERMINATING) {
            ndis_home_forget(landing.binding, block->NetBufferListChain, 147);
            ndis_object_detach(object, "terminate completed");
        }
        ndis_block_raise(block);
    }
    ndis_landing_return(&landing);
}
