/*
 * State operations through an intermediate driver.
 *
 * Down: the driver above hands us a tree in miniport form. Of every node we save what is to be
 * given back, put our own handle in the place of theirs, and call NDIS with the same memory in
 * protocol form: the two forms are overlays. Up: we put everything back. What was saved is a call
 * entry, one per operation, found again through ImReserved. An object that is offloaded has an
 * offload entry, struct object, as long as it is.
 */
#include "mux.h"

/* ---- entries ---- */

typedef VOID down_fn(NDIS_HANDLE NdisBindingHandle,
                     PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
typedef VOID up_fn(NDIS_HANDLE NdisMiniportHandle,
                   PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);

struct operation {
    down_fn *down;
    up_fn *complete;
};
static const struct operation initiate = {NdisInitiateOffload, NdisMInitiateOffloadComplete};
static const struct operation terminate = {NdisTerminateOffload, NdisMTerminateOffloadComplete};
static const struct operation update = {NdisUpdateOffload, NdisMUpdateOffloadComplete};
static const struct operation invalidate = {NdisInvalidateOffload, NdisMInvalidateOffloadComplete};
static const struct operation query = {NdisQueryOffloadState, NdisMQueryOffloadStateComplete};

struct node {
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
    PVOID *cell; /* MiniportOffloadContext, which the overlay overwrites; NULL: placeholder */
    NDIS_HANDLE handle; /* NdisOffloadHandle */
    PVOID im[2], source;
    struct object *object; /* NULL: placeholder */
    BOOLEAN fresh, marked; /* the object, and the marks on its sends, are of this operation */
};

struct call {
    const struct operation *operation;
    struct upper *upper;
    UINT bytes;
    ULONG count;
    struct node nodes[];
};

static struct object *
object_create(struct upper *upper, NDIS_HANDLE above)
{
    struct object *object = NdisAllocateMemoryWithTagPriority(protocol, sizeof(*object), TAG,
                                                              NormalPoolPriority);

    if (!object)
        return NULL;
    NdisZeroMemory(object, sizeof(*object));
    object->upper = upper;
    object->above = above;
    upper->lower->out++;
    return object;
}

static void
object_free(struct object *object)
{
    object->upper->lower->out--;
    NdisFreeMemory(object, sizeof(*object), 0);
}

static void
unmark_all(PNET_BUFFER_LIST nbl)
{
    for (; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl))
        unmark(nbl);
}

/* Undoes what an initiate made for a node that is not offloaded. */
static void
forget(struct node *node)
{
    if (node->marked)
        unmark_all(node->block->NetBufferListChain);
    if (node->fresh)
        object_free(node->object);
}

/* A new object. Sends that travel with it complete like others, so they are marked like others. */
static BOOLEAN
adopt(struct call *call, struct node *node)
{
    node->object = object_create(call->upper, node->handle);
    node->fresh = node->object != NULL;
    node->marked = node->fresh && mark(call->upper, node->block->NetBufferListChain);
    return node->marked;
}

/* A tree has three layers, so recursion over them is bounded; a layer may be of any width. */
static ULONG
count_nodes(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    ULONG count = 0;

    for (; block; block = block->NextBlock)
        count += 1 + count_nodes(block->DependentBlockList);
    return count;
}

/* Only reads the tree. FALSE: out of memory. */
static BOOLEAN
save(struct call *call, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    for (; block; block = block->NextBlock) {
        struct node *node = &call->nodes[call->count++];

        *node = (struct node){.block = block,
                              .cell = block->MiniportOffloadContext,
                              .handle = block->NdisOffloadHandle,
                              .im = {block->ImReserved[0], block->ImReserved[1]},
                              .source = block->SourceHandle};
        node->object = node->cell ? *node->cell : NULL;
        if (call->operation == &initiate && node->cell && !node->object && !adopt(call, node))
            return FALSE;
        if (!save(call, block->DependentBlockList))
            return FALSE;
    }
    return TRUE;
}

/* ---- down ---- */

/* Nothing completes on the stack of the call, a failure neither. There is no memory, so the tree
 * itself is the list node: Scratch belongs to whoever has it. */
static void
refuse_tree(const struct operation *operation, struct upper *upper,
            PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    root->Scratch[0] = upper->refused_trees;
    root->Scratch[1] = (PVOID)operation;
    upper->refused_trees = root;
    upper->lower->out++;
    work_soon(upper->lower);
}

static void
tree_down(const struct operation *operation, struct upper *upper,
          PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    UINT bytes = (UINT)(sizeof(struct call) + count_nodes(root) * sizeof(struct node));
    struct call *call = NdisAllocateMemoryWithTagPriority(protocol, bytes, TAG, NormalPoolPriority);

    if (!call) {
        refuse_tree(operation, upper, root);
        return;
    }
    *call = (struct call){.operation = operation, .upper = upper, .bytes = bytes};
    if (!save(call, root)) {
        for (ULONG i = 0; i < call->count; i++)
            forget(&call->nodes[i]);
        NdisFreeMemory(call, bytes, 0);
        refuse_tree(operation, upper, root);
        return;
    }
    for (ULONG i = 0; i < call->count; i++) {
        struct node *node = &call->nodes[i];
        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST below = (PVOID)node->block;

        below->OffloadHandle = node->object ? &node->object->below : NULL;
        below->ImReserved[0] = call;
    }
    upper->lower->out++;
    operation->down(upper->lower->handle, (PVOID)root);
}

VOID
MiniportInitiateOffload(NDIS_HANDLE MiniportAdapterContext,
                        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    tree_down(&initiate, MiniportAdapterContext, OffloadBlockList);
}

VOID
MiniportTerminateOffload(NDIS_HANDLE MiniportAdapterContext,
                         PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    tree_down(&terminate, MiniportAdapterContext, OffloadBlockList);
}

VOID
MiniportUpdateOffload(NDIS_HANDLE MiniportAdapterContext,
                      PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    tree_down(&update, MiniportAdapterContext, OffloadBlockList);
}

VOID
MiniportInvalidateOffload(NDIS_HANDLE MiniportAdapterContext,
                          PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    tree_down(&invalidate, MiniportAdapterContext, OffloadBlockList);
}

VOID
MiniportQueryOffload(NDIS_HANDLE MiniportAdapterContext,
                     PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    tree_down(&query, MiniportAdapterContext, OffloadBlockList);
}

/* ---- up ---- */

static void
put_back(struct call *call, struct node *node)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block = node->block;

    block->MiniportOffloadContext = node->cell;
    block->NdisOffloadHandle = node->handle;
    block->ImReserved[0] = node->im[0];
    block->ImReserved[1] = node->im[1];
    block->SourceHandle = node->source;
    if (node->cell && !node->object)
        block->Status = NDIS_STATUS_FAILURE; /* named an object that is not there */
    if (call->operation == &terminate && node->object)
        unmark_all(block->NetBufferListChain); /* sends that come back without a completion */
    if (!node->fresh)
        return;
    if (block->Status == NDIS_STATUS_SUCCESS ||
        block->Status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS)
        *node->cell = node->object; /* our context, as the driver above knows us */
    else
        forget(node);
}

/* Of all five: the call entry knows which. Offload entries outlive the terminate by a moment: until
 * its completion has gone up NDIS still finds our context in the cell above. */
VOID
ProtocolOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct lower *lower = ProtocolBindingContext;
    struct call *call = OffloadBlockList->ImReserved[0];

    for (ULONG i = 0; i < call->count; i++)
        put_back(call, &call->nodes[i]);
    call->operation->complete(call->upper->handle, (PVOID)OffloadBlockList);
    for (ULONG i = 0; i < call->count; i++) {
        if (call->operation == &terminate && call->nodes[i].object)
            object_free(call->nodes[i].object);
    }
    NdisFreeMemory(call, call->bytes, 0);
    lower->out--;
    settle(lower);
}

/* Every node gets a status; a placeholder succeeds whatever happens. */
static void
fail(const struct operation *operation, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    for (; block; block = block->NextBlock) {
        PVOID *cell = block->MiniportOffloadContext;

        if (!cell)
            block->Status = NDIS_STATUS_SUCCESS;
        else if (operation == &initiate && !*cell)
            block->Status = NDIS_STATUS_RESOURCES;
        else
            block->Status = NDIS_STATUS_FAILURE;
        fail(operation, block->DependentBlockList);
    }
}

/* A terminate that fails would lose what is offloaded below: it is tried again. */
void
complete_refused_trees(struct upper *upper)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root, next = upper->refused_trees;

    upper->refused_trees = NULL;
    while ((root = next) != NULL) {
        const struct operation *operation = root->Scratch[1];

        next = root->Scratch[0];
        upper->lower->out--;
        if (operation == &terminate) {
            tree_down(operation, upper, root);
        } else {
            fail(operation, root);
            operation->complete(upper->handle, root);
        }
    }
}
