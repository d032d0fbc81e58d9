/*
 * A driver that closes a binding with live objects on it has broken the contract, but closing
 * cannot fail (P35). NDIS terminates what is left in the driver's name, connections first, then
 * paths, then neighbors, and throws the states away: send NBLs go back to the driver as aborted,
 * buffered receive NBLs to the miniport.
 */
#include "ndis/landing.h"

#include "base/log.h"

#include <stdlib.h>

/* A block and room for the largest delegated state. */
struct forced_block {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    TCP_OFFLOAD_STATE_DELEGATED state;
};
_Static_assert(offsetof(struct forced_block, state) == sizeof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST),
               "the state is where the type says");

/* A tree that the miniport still holds when NDIS gives up stays in memory as long as the house. */
struct forced_tree {
    struct ndis_head head;
    size_t count;
    struct forced_block blocks[];
};

static bool
idle(void *arg)
{
    return ((struct ndis_binding *)arg)->operations == 0;
}

/* Also whoever completed it has left. */
static bool
forced_done(void *arg)
{
    struct ndis_binding *binding = arg;

    return !binding->forced && !binding->operations;
}

static UCHAR
delegated_type(UCHAR type)
{
    if (type <= NeighborOffloadState)
        return NeighborOffloadDelegatedState;
    if (type <= Ip4OffloadState)
        return Ip4OffloadDelegatedState;
    if (type <= Ip6OffloadState)
        return Ip6OffloadDelegatedState;
    return TcpOffloadDelegatedState;
}

static bool
left_over(const struct ndis_object *object, enum ndis_layer layer)
{
    enum ndis_layer own;

    return object->state == NDIS_OBJECT_OFFLOADED && ndis_layer_of(object->type, &own) &&
           own == layer;
}

static struct forced_tree *
forced_build(struct ndis_binding *binding, enum ndis_layer layer)
{
    size_t room = binding->object_count;
    struct forced_tree *tree = calloc(1, sizeof(*tree) + room * sizeof(tree->blocks[0]));
    struct house *house = binding->head.house;

    if (!tree)
        return NULL;
    ndis_head_init(&tree->head, NDIS_MAGIC_GRAVE, house);
    sys_lock_take(&house->lock);
    list_for_each(object, &binding->objects, struct ndis_object, link) {
        struct forced_block *forced = &tree->blocks[tree->count];

        if (!left_over(object, layer) || tree->count == room)
            continue;
        forced->block.Header = (NDIS_OBJECT_HEADER){.Type = delegated_type(object->type),
                                                    .Revision = NDIS_OFFLOAD_BLOCK_LIST_REVISION_1,
                                                    .Size = sizeof(forced->block)};
        forced->block.OffloadHandle = object->handle;
        if (tree->count++)
            forced[-1].block.NextBlock = &forced->block;
    }
    sys_lock_give(&house->lock);
    return tree;
}

static void
forced_discard(struct ndis_binding *binding, struct forced_tree *tree)
{
    for (size_t i = 0; i < tree->count; i++) {
        struct forced_block *forced = &tree->blocks[i];
        NET_BUFFER_LIST *chain = forced->block.NetBufferListChain;

        for (NET_BUFFER_LIST *nbl = chain; nbl; nbl = nbl->Next)
            nbl->Status = NDIS_STATUS_REQUEST_ABORTED;
        if (chain)
            binding->client->tcp.TcpOffloadSendCompleteHandler(binding->context, chain);
        if (forced->block.Header.Type == TcpOffloadDelegatedState &&
            forced->block.Status == NDIS_STATUS_SUCCESS && forced->state.BufferedData)
            NdisOffloadTcpReceiveReturn(binding, forced->state.BufferedData);
    }
}

static void
forced_layer(struct ndis_binding *binding, enum ndis_layer layer)
{
    struct forced_tree *tree = forced_build(binding, layer);

    if (!tree || !tree->count) {
        free(tree);
        return;
    }
    binding->forced = &tree->blocks[0];
    NdisTerminateOffload(binding, &tree->blocks[0].block);
    if (ndis_wait(binding->head.house, forced_done, binding, NDIS_PATIENCE_US)) {
        forced_discard(binding, tree);
        free(tree);
        return;
    }
    ndis_breach(binding->head.house, 29, binding->adapter->miniport->driver->name,
                "adapter %s does not give objects back", binding->adapter->name);
    binding->forced = NULL;
    ndis_bury(&tree->head);
}

void
ndis_force_terminate(struct ndis_binding *binding)
{
    struct house *house = binding->head.house;

    bool blamed = !ndis_wait(house, idle, binding, NDIS_PATIENCE_US) &&
                  ndis_blame_miniport(binding);

    if (!binding->object_count)
        return;
    if (!blamed)
        ndis_breach(house, 64, binding->protocol->driver->name,
                    "%s closes its binding to %s with %llu live objects",
                    binding->protocol->driver->name, binding->adapter->name,
                    (unsigned long long)binding->object_count);
    for (int layer = NDIS_LAYER_TCP; layer >= NDIS_LAYER_NEIGHBOR; layer--)
        forced_layer(binding, layer);
    while (!list_empty(&binding->objects))
        ndis_object_detach(list_first(&binding->objects, struct ndis_object, link), "left behind");
}
