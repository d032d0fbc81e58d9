/*
 * Initiate: a tree of placeholders, linkers and new offloads goes down; every new one gets a
 * record, so that data calls find their way (P9), and its send chain learns the way home (P11).
 *
 * The role of a block is in its handle (P5): none: placeholder; a handle whose cell is filled:
 * linker; an empty cell: new. Everything that can fail happens in reserve(), and is undone by
 * release(); the conversion cannot fail.
 */
#include "ndis/landing.h"

const struct ndis_operation ndis_initiate = {
    .name = "NdisInitiateOffload",
    .down = CROSSING_INITIATE,
    .up = CROSSING_INITIATE_COMPLETE,
    .provider = offsetof(NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                         InitiateOffloadHandler),
    .client = offsetof(NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                       InitiateOffloadCompleteHandler),
};

/* P30, P32, P33: may anything be offloaded here now? */
static const char *
admit(const struct ndis_landing *landing, NDIS_STATUS *status)
{
    const struct ndis_client *client = landing->binding->client;

    *status = NDIS_STATUS_NOT_SUPPORTED;
    if (!client->has_generic || !client->has_tcp)
        return "the driver above registered no chimney handlers";
    if (!ndis_adapter_chimney(landing->adapter))
        return "the path below cannot do chimney offload";
    *status = NDIS_STATUS_PAUSED;
    if (landing->binding->state != NDIS_BINDING_RUNNING)
        return "the binding is not running";
    if (landing->adapter->state != NDIS_ADAPTER_RUNNING)
        return "the adapter is not running";
    *status = NDIS_STATUS_LOW_POWER_STATE;
    if (landing->adapter->low_power)
        return "the adapter has no power";
    return NULL;
}

static const char *
reserve_new(struct ndis_landing *landing, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block,
            NDIS_STATUS *status)
{
    struct ndis_object *object;
    enum ndis_layer layer;

    if (ndis_object_search(landing->house, block->OffloadHandle)) {
        landing->rule = 56;
        return "it names an object that is being offloaded already";
    }
    if (block->Header.Size < sizeof(*block)) {
        landing->rule = 15;
        return "a new block is too small";
    }
    if (!ndis_layer_of(block->Header.Type, &layer)) {
        landing->rule = 14;
        return "a new block has a wrong type";
    }
    *status = NDIS_STATUS_RESOURCES;
    object = ndis_object_attach(landing->binding, block->OffloadHandle);
    if (!object)
        return "out of memory";
    if (!ndis_home_push(landing->binding, NDIS_IO_SEND, &block->NetBufferListChain)) {
        ndis_object_detach(object, "out of memory");
        return "out of memory";
    }
    object->block = block;
    object->type = block->Header.Type;
    return NULL;
}

static const char *
check_linker(struct ndis_landing *landing, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block)
{
    struct ndis_object *object = ndis_object_search(landing->house, block->OffloadHandle);

    if (object && object->binding == landing->binding && object->state != NDIS_OBJECT_TERMINATING)
        return NULL;
    landing->rule = 59;
    return "a linker names an object that is not offloaded through this binding";
}

static const char *
reserve(struct ndis_landing *landing, NDIS_STATUS *status)
{
    struct ndis_walk walk;
    const char *why = NULL;

    for (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = ndis_walk_first(&walk, landing->root);
         block && !why; block = ndis_walk_next(&walk)) {
        *status = NDIS_STATUS_FAILURE;
        if (!block->OffloadHandle)
            continue;
        if (block->OffloadHandle->MiniportOffloadContext)
            why = check_linker(landing, block);
        else
            why = reserve_new(landing, block, status);
    }
    if (!why && walk.repeated) {
        *status = NDIS_STATUS_FAILURE;
        landing->rule = 18;
        why = "a block is in it twice";
    }
    return why;
}

/* The record that this block, and not another one, brought into being. */
static struct ndis_object *
born_of(struct ndis_landing *landing, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block)
{
    struct ndis_object *object = NULL;

    if (block->OffloadHandle)
        object = ndis_object_search(landing->house, block->OffloadHandle);
    if (!object || object->state != NDIS_OBJECT_INITIATING || object->block != block)
        return NULL;
    return object;
}

static void
release(struct ndis_landing *landing)
{
    struct ndis_walk walk;

    for (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = ndis_walk_first(&walk, landing->root); block;
         block = ndis_walk_next(&walk)) {
        struct ndis_object *object = born_of(landing, block);

        if (!object)
            continue;
        ndis_home_forget(landing->binding, block->NetBufferListChain, 51);
        ndis_object_detach(object, "initiate refused");
    }
}

static void
translate(struct ndis_landing *landing)
{
    struct ndis_walk walk;

    for (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = ndis_walk_first(&walk, landing->root); block;
         block = ndis_walk_next(&walk)) {
        if (block->OffloadHandle && !block->OffloadHandle->MiniportOffloadContext)
            ndis_states_stamp(block);
        ndis_block_lower(block, landing->binding);
    }
}

VOID
NdisInitiateOffload(NDIS_HANDLE NdisBindingHandle,
                    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct ndis_landing landing;
    NDIS_STATUS status;
    const char *why;

    if (!ndis_landing_find(&landing, &ndis_initiate, NdisBindingHandle, OffloadBlockList))
        return;
    why = admit(&landing, &status);
    if (!why) {
        why = reserve(&landing, &status);
        if (why)
            release(&landing);
    }
    if (why) {
        ndis_landing_refuse(&landing, status, why);
        return;
    }
    translate(&landing);
    ndis_landing_call(&landing);
}

/* P18: what became of a new block. */
static void
settle(struct ndis_landing *landing, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block)
{
    struct ndis_object *object = born_of(landing, block);
    bool success = block->Status == NDIS_STATUS_SUCCESS ||
                   block->Status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;

    if (!object)
        return;
    object->block = NULL;
    if (success && object->handle->MiniportOffloadContext) {
        ndis_object_set_state(object, NDIS_OBJECT_OFFLOADED, "initiate completed");
        return;
    }
    if (success)
        ndis_breach(landing->house, 42, landing->adapter->miniport->driver->name,
                    "%s: adapter %s offloaded an object without a context",
                    landing->operation->name, landing->adapter->name);
    else if (object->handle->MiniportOffloadContext)
        ndis_breach(landing->house, 43, landing->adapter->miniport->driver->name,
                    "%s: adapter %s left a context for an object it did not offload",
                    landing->operation->name, landing->adapter->name);
    ndis_home_forget(landing->binding, block->NetBufferListChain, 51);
    ndis_object_detach(object, "initiate failed");
}

VOID
NdisMInitiateOffloadComplete(NDIS_HANDLE NdisMiniportHandle,
                             PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct ndis_landing landing;
    struct ndis_walk walk;

    if (!ndis_landing_find_up(&landing, &ndis_initiate, NdisMiniportHandle, OffloadBlockList))
        return;
    for (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = ndis_walk_first(&walk, landing.root); block;
         block = ndis_walk_next(&walk)) {
        settle(&landing, block);
        ndis_block_raise(block);
    }
    ndis_landing_return(&landing);
}
