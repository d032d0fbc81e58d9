/*
 * The life of a block-list tree on this floor. The two forms of a block are overlays, so the tree
 * that came from above is the tree that goes below: per block, NdisOffloadHandle gives way to our
 * own NDIS_OFFLOAD_HANDLE and ImReserved names the call entry. NDIS overwrites the slot of
 * MiniportOffloadContext on its way down; that is why the pointer is saved with the rest, and on
 * the way up everything is put back from the call entry (V-158, V-159, V-165).
 *
 * The trick: the walk keeps each node's parent in Scratch[0], which belongs to whoever has the
 * tree. It is depth first and needs neither recursion nor a bound on depth or width (P7). Source:
 * G:reusing-*, G:referencing-*.
 */
#include "base/log.h"
#include "intermediate/floor/floor.h"

/* The node after block; NULL: it was the last. */
static PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST
walk_next(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    if (block->DependentBlockList) {
        block->DependentBlockList->Scratch[0] = block;
        return block->DependentBlockList;
    }
    while (block && !block->NextBlock)
        block = block->Scratch[0];
    if (!block)
        return NULL;
    block->NextBlock->Scratch[0] = block->Scratch[0];
    return block->NextBlock;
}

static PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST
walk_first(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    root->Scratch[0] = NULL;
    return root;
}

/* ---- offload entries and call entries ---- */

static UINT
offload_bytes(const struct floor_kind *kind)
{
    return (UINT)(kind->offload_bytes ? kind->offload_bytes : sizeof(struct floor_offload));
}

static struct floor_offload *
offload_create(struct floor_adapter *adapter, NDIS_HANDLE upper)
{
    struct floor_offload *entry;
    const struct floor_kind *kind = adapter->driver->kind;
    UINT bytes = offload_bytes(kind);

    entry = NdisAllocateMemoryWithTagPriority(adapter->lower, bytes, FLOOR_TAG, NormalPoolPriority);
    if (!entry)
        return NULL;
    NdisZeroMemory(entry, bytes);
    entry->adapter = adapter;
    entry->upper = upper;
    adapter->objects++;
    if (kind->offload_made)
        kind->offload_made(entry);
    return entry;
}

void
floor_offload_free(struct floor_offload *entry)
{
    const struct floor_kind *kind = entry->adapter->driver->kind;

    if (kind->offload_gone)
        kind->offload_gone(entry);
    entry->adapter->objects--;
    NdisFreeMemory(entry, offload_bytes(kind), 0);
}

static struct floor_call *
call_create(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
    struct floor_call *call;
    ULONG count = 0;
    UINT bytes;

    for (block = walk_first(root); block; block = walk_next(block))
        count++;
    bytes = (UINT)(sizeof(*call) + count * sizeof(call->nodes[0]));
    call = NdisAllocateMemoryWithTagPriority(adapter->lower, bytes, FLOOR_TAG, NormalPoolPriority);
    if (!call)
        return NULL;
    NdisZeroMemory(call, bytes);
    call->bytes = bytes;
    return call;
}

/* Frees what was made for a call that goes nowhere. */
static void
call_abandon(struct floor_call *call)
{
    for (ULONG i = 0; i < call->count; i++) {
        if (call->nodes[i].fresh)
            floor_offload_free(call->nodes[i].entry);
    }
    NdisFreeMemory(call, call->bytes, 0);
}

/* Fills the nodes; the tree is only read. false: out of memory. */
static bool
call_plan(struct floor_adapter *adapter, struct floor_call *call,
          PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root, bool offers)
{
    for (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST b = walk_first(root); b; b = walk_next(b)) {
        struct floor_node *node = &call->nodes[call->count];

        node->block = b;
        node->cell = b->MiniportOffloadContext;
        node->handle = b->NdisOffloadHandle;
        node->reserved[0] = b->ImReserved[0];
        node->reserved[1] = b->ImReserved[1];
        node->source = b->SourceHandle;
        node->entry = node->cell ? *node->cell : NULL;
        if (node->cell && !node->entry && offers) {
            node->entry = offload_create(adapter, node->handle);
            if (!node->entry)
                return false;
            node->fresh = true;
        }
        call->count++;
    }
    return true;
}

/* ---- trees that cannot go down ---- */

/* Every node gets a status: R-23, V-033, V-035, V-036. What an initiate offers gets offered. */
static void
fail_tree(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root, bool offers, NDIS_STATUS offered)
{
    for (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST b = walk_first(root); b; b = walk_next(b)) {
        if (!b->MiniportOffloadContext)
            b->Status = NDIS_STATUS_SUCCESS;
        else if (offers && !*b->MiniportOffloadContext)
            b->Status = offered;
        else
            b->Status = NDIS_STATUS_FAILURE;
    }
}

void
floor_queue_work(struct floor_adapter *adapter)
{
    if (adapter->work_queued)
        return;
    adapter->work_queued = true;
    NdisQueueIoWorkItem(adapter->work, floor_catch_up, adapter);
}

/* V-030: never on the stack of the call. There is no memory, so the tree itself is the list node.
 */
static void
put_off(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
        enum floor_operation operation)
{
    root->Scratch[0] = adapter->put_off;
    root->Scratch[1] = (PVOID)(ULONG_PTR)operation;
    adapter->put_off = root;
    floor_queue_work(adapter);
}

VOID
floor_catch_up(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct floor_adapter *adapter = WorkItemContext;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root, next = adapter->put_off;

    adapter->work_queued = false;
    adapter->put_off = NULL;
    while ((root = next)) {
        enum floor_operation operation = (enum floor_operation)(ULONG_PTR)root->Scratch[1];

        next = root->Scratch[0];
        if (operation == FLOOR_TERMINATE)
            floor_down(adapter, root, operation);
        else
            floor_complete(adapter, root, operation);
        adapter->calls--;
    }
    floor_answer_pause(adapter);
    if (adapter->driver->kind->work)
        adapter->driver->kind->work(adapter);
    floor_settle(adapter);
}

void
floor_fail(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
           enum floor_operation operation)
{
    adapter->calls++;
    fail_tree(root, operation == FLOOR_INITIATE, NDIS_STATUS_FAILURE);
    put_off(adapter, root, operation);
}

/* ---- down and up ---- */

static void
no_memory(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
          enum floor_operation operation)
{
    log_warn("%s %s: out of memory for a state operation", adapter->driver->kind->name,
             adapter->name);
    if (operation != FLOOR_TERMINATE)
        fail_tree(root, operation == FLOOR_INITIATE, NDIS_STATUS_RESOURCES);
    put_off(adapter, root, operation);
}

struct floor_call *
floor_tree_down(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
                enum floor_operation operation)
{
    struct floor_call *call = call_create(adapter, root);

    adapter->calls++;
    if (call && !call_plan(adapter, call, root, operation == FLOOR_INITIATE)) {
        call_abandon(call);
        call = NULL;
    }
    if (!call) {
        no_memory(adapter, root, operation);
        return NULL;
    }
    call->operation = operation;
    for (ULONG i = 0; i < call->count; i++) {
        struct floor_node *node = &call->nodes[i];
        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST below = (PVOID)node->block;

        below->OffloadHandle = node->entry ? &node->entry->lower : NULL;
        below->ImReserved[0] = call;
    }
    return call;
}

struct floor_call *
floor_tree_up(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root)
{
    struct floor_call *call = root->ImReserved[0];

    for (ULONG i = 0; i < call->count; i++) {
        struct floor_node *node = &call->nodes[i];
        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST above = node->block;

        above->MiniportOffloadContext = node->cell;
        above->NdisOffloadHandle = node->handle;
        above->ImReserved[0] = node->reserved[0];
        above->ImReserved[1] = node->reserved[1];
        above->SourceHandle = node->source;
        /* Named an object that is not there: below it went as a placeholder. */
        if (node->cell && !node->entry)
            above->Status = NDIS_STATUS_FAILURE;
    }
    return call;
}

void
floor_take_back(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    struct floor_call *call = floor_tree_up((PVOID)root);
    enum floor_operation operation = call->operation;

    call_abandon(call);
    no_memory(adapter, root, operation);
}

void
floor_call_end(struct floor_adapter *adapter, struct floor_call *call)
{
    for (ULONG i = 0; call->operation == FLOOR_TERMINATE && i < call->count; i++) {
        if (call->nodes[i].entry)
            floor_offload_free(call->nodes[i].entry);
    }
    NdisFreeMemory(call, call->bytes, 0);
    adapter->calls--;
    floor_settle(adapter);
}
