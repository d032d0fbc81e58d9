/* Large trees (test_grove.h). A walk keeps the blocks that wait for their turn in a list of their
 * own: the target's in MiniportReserved, the plain one's in ProtocolReserved. */
#include "ndis/test_grove.h"

#include <stdlib.h>

/* ---- shapes ---- */

#define SHAPE_NAME(name) #name,
static const char *const shape_names[] = {GROVE_SHAPES(SHAPE_NAME)};
static const char *const operation_names[] = {GROVE_OPERATIONS(SHAPE_NAME)};

const char *
grove_shape_name(enum grove_shape shape)
{
    return shape_names[shape];
}

const char *
grove_operation_name(enum grove_operation operation)
{
    return operation_names[operation];
}

static void
append(struct grove *grove, size_t parent, size_t child, size_t before)
{
    if (before)
        grove->nodes[before].block.NextBlock = &grove->nodes[child].block;
    else
        grove->nodes[parent].block.DependentBlockList = &grove->nodes[child].block;
}

static size_t
square_root(size_t count)
{
    size_t root = 1;

    while (root * root < count)
        root++;
    return root;
}

/* As many paths as each has connections. */
static void
set_bush(struct grove *grove)
{
    size_t width = square_root(grove->count), path = 0, last_path = 0, last = 0;

    for (size_t i = 1; i < grove->count; i++) {
        bool is_path = (i - 1) % width == 0;

        grove->nodes[i].block.Header.Type = is_path ? Ip4OffloadState : TcpOffloadState;
        if (is_path) {
            append(grove, 0, i, last_path);
            path = last_path = i;
            last = 0;
        } else {
            append(grove, path, i, last);
            last = i;
        }
    }
}

static void
set_row(struct grove *grove)
{
    append(grove, 0, 1, 0);
    grove->nodes[1].block.Header.Type = Ip4OffloadState;
    for (size_t i = 2; i < grove->count; i++)
        append(grove, 1, i, i > 2 ? i - 1 : 0);
}

static void
set_rows(struct grove *grove)
{
    static const UCHAR types[] = {NeighborOffloadState, Ip4OffloadState, TcpOffloadState};

    for (size_t i = 0; i < grove->count; i++) {
        grove->nodes[i].block.Header.Type = types[i % 3];
        if (i % 3)
            append(grove, i - 1, i, 0);
        else if (i)
            append(grove, 0, i, i - 3 ? i - 3 : 0);
    }
    /* The second neighbor stands beside the root, not under it. */
    if (grove->count > 3) {
        grove->nodes[0].block.DependentBlockList = &grove->nodes[1].block;
        grove->nodes[0].block.NextBlock = &grove->nodes[3].block;
    }
}

static void
set_ladder(struct grove *grove, size_t step)
{
    for (size_t i = step; i < grove->count; i += step)
        append(grove, i - step, i, 0);
    for (size_t i = 1; step > 1 && i < grove->count; i += step)
        grove->nodes[i - 1].block.NextBlock = &grove->nodes[i].block;
}

static UCHAR
type_for(UCHAR type, enum grove_operation operation)
{
    if (operation != GROVE_TERMINATE)
        return type;
    if (type == NeighborOffloadState)
        return NeighborOffloadDelegatedState;
    return type == Ip4OffloadState ? Ip4OffloadDelegatedState : TcpOffloadDelegatedState;
}

void
grove_set(struct grove *grove, enum grove_shape shape, enum grove_operation operation)
{
    for (size_t i = 0; i < grove->count; i++) {
        struct grove_node *node = &grove->nodes[i];
        NDIS_OFFLOAD_HANDLE handle = node->handle;

        memset(node, 0, sizeof(*node));
        node->handle = handle;
        node->block.Header = (NDIS_OBJECT_HEADER){i ? TcpOffloadState : NeighborOffloadState,
                                                  NDIS_OFFLOAD_BLOCK_LIST_REVISION_1,
                                                  sizeof(node->block)};
        node->block.Status = 0x5a5a5a5a;
        node->block.OffloadHandle = &node->handle;
    }
    grove->shape = shape;
    grove->operation = operation;
    if (shape == GROVE_BUSH)
        set_bush(grove);
    else if (shape == GROVE_ROW)
        set_row(grove);
    else if (shape == GROVE_ROWS)
        set_rows(grove);
    else
        set_ladder(grove, shape == GROVE_COMB ? 2 : 1);
    for (size_t i = 0; i < grove->count; i++)
        grove->nodes[i].block.Header.Type = type_for(grove->nodes[i].block.Header.Type, operation);
}

/* ---- the target, the host ---- */

static VOID
hold(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    ((struct grove *)MiniportAdapterContext)->held = OffloadBlockList;
}

static VOID
end(NDIS_HANDLE ProtocolBindingContext, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    ((struct grove *)ProtocolBindingContext)->ended = OffloadBlockList;
}

void
grove_send(struct grove *grove)
{
    static void (*const calls[])(NDIS_HANDLE, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST) = {
        NdisInitiateOffload, NdisQueryOffloadState, NdisTerminateOffload};

    grove->held = NULL;
    grove->ended = NULL;
    calls[grove->operation](grove->pair.binding, &grove->nodes[0].block);
}

static inline void
wait_turn(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST *top, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    if (!block)
        return;
    block->MiniportReserved[0] = *top;
    *top = block;
}

void
grove_answer(struct grove *grove)
{
    static void (*const calls[])(NDIS_HANDLE, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST) = {
        NdisMInitiateOffloadComplete, NdisMQueryOffloadStateComplete,
        NdisMTerminateOffloadComplete};
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block, top = NULL;

    wait_turn(&top, grove->held);
    while ((block = top) != NULL) {
        top = block->MiniportReserved[0];
        wait_turn(&top, block->NextBlock);
        wait_turn(&top, block->DependentBlockList);
        block->Status = NDIS_STATUS_SUCCESS;
        if (block->MiniportOffloadContext && !*block->MiniportOffloadContext)
            *block->MiniportOffloadContext = block->NdisOffloadHandle;
    }
    calls[grove->operation](grove->pair.adapter, grove->held);
}

size_t
grove_walk(struct grove *grove)
{
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST top = &grove->nodes[0].block;
    size_t count = 0;

    top->ProtocolReserved[0] = NULL;
    while (top) {
        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = top, next = block->NextBlock,
                                          below = block->DependentBlockList;

        top = block->ProtocolReserved[0];
        if (next) {
            next->ProtocolReserved[0] = top;
            top = next;
        }
        if (below) {
            below->ProtocolReserved[0] = top;
            top = below;
        }
        count++;
    }
    return count;
}

/* ---- life ---- */

bool
grove_open(struct grove *grove, house_driver_entry middle, unsigned floors, size_t count)
{
    memset(grove, 0, sizeof(*grove));
    grove->nodes = calloc(count, sizeof(grove->nodes[0]));
    if (!grove->nodes)
        return false;
    grove->count = count;
    pair_init(&grove->pair);
    grove->pair.target.InitiateOffloadHandler = hold;
    grove->pair.target.QueryOffloadHandler = hold;
    grove->pair.target.TerminateOffloadHandler = hold;
    grove->pair.host.InitiateOffloadCompleteHandler = end;
    grove->pair.host.QueryOffloadCompleteHandler = end;
    grove->pair.host.TerminateOffloadCompleteHandler = end;
    return pair_open(&grove->pair, middle, floors);
}

void
grove_close(struct grove *grove)
{
    pair_close(&grove->pair);
    free(grove->nodes);
}
