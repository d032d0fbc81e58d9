/*
 * State operations. Which nodes of an initiate are refused is decided before the tree goes down: a
 * refused node and everything under it become placeholders, which nobody below offloads and which
 * count nowhere, and what their parents came to is worked out again on the way up. So
 * nothing is ever offloaded below that was refused above, and there is nothing to take back. A tree
 * of which nothing new is left, and any other operation that is to fail, does not go down at all
 * and completes in the next turn (V-030).
 *
 * An initiate that is to take long waits before it goes down, not after: once its completion has
 * been called a target may indicate data (V-107). The others wait on the way up.
 *
 * A terminate never fails: the object below is gone, and only the target could say what of.
 */
#include "intermediate/fault/fault.h"

#define REORDER_MS 10 /* what nothing passes goes on after so long */

static bool
came_through(NDIS_STATUS status)
{
    return status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

/* ---- down: which nodes fail ---- */

/* The node of the block that this one depends on, which has been looked at; NULL: none. */
static const struct floor_node *
parent_of(const struct floor_node *node)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST parent = node->block->Scratch[0];

    return parent ? parent->Scratch[1] : NULL;
}

static bool
is_tcp(const struct floor_node *node)
{
    return node->fresh && node->block->Header.Type == TcpOffloadState;
}

static NDIS_STATUS
refusal(struct fault *fault, const struct floor_node *node, const struct fault_rule *whole)
{
    enum fault_point point = node->block->Header.Type == NeighborOffloadState ? FAULT_ON_NEIGHBOR
                             : is_tcp(node)                                   ? FAULT_ON_TCP
                                                                              : FAULT_ON_PATH;
    const struct fault_rule *rule = fault_script_meet(&fault->script, point);

    if (whole && is_tcp(node))
        return whole->status;
    return rule ? rule->status : NDIS_STATUS_SUCCESS;
}

static void
make_placeholder(struct floor_node *node)
{
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST below = (PVOID)node->block;

    below->OffloadHandle = NULL;
    if (!node->fresh)
        return;
    fault_offload_of(node->entry)->chain = below->NetBufferListChain;
    below->NetBufferListChain = NULL;
}

/* Marks what is refused; true: nothing new is left. */
static bool
refuse_nodes(struct fault *fault, struct floor_call *call)
{
    const struct fault_rule *whole = fault_script_meet(&fault->script, FAULT_ON_INITIATE);
    ULONG left = 0, refused = 0;

    for (ULONG i = 0; i < call->count; i++) {
        struct floor_node *node = &call->nodes[i];
        const struct floor_node *parent = parent_of(node);
        NDIS_STATUS status = NDIS_STATUS_SUCCESS;

        node->block->Scratch[1] = node;
        if (!node->cell)
            continue;
        if ((parent && parent->kept) || call->nodes[0].kept) /* V-039, V-040 */
            status = NDIS_STATUS_FAILURE;
        else if (node->fresh)
            status = refusal(fault, node, whole);
        node->kept = (ULONG)status;
        if (status != NDIS_STATUS_SUCCESS)
            make_placeholder(node);
        refused += node->fresh && node->kept;
        left += node->fresh && !node->kept;
    }
    return refused && !left;
}

/* true: the operation fails here. */
static bool
fail_all(struct fault *fault, struct floor_call *call)
{
    const struct fault_rule *rule = fault_script_meet(&fault->script,
                                                      (enum fault_point)call->operation);

    if (!rule)
        return false;
    for (ULONG i = 0; i < call->count; i++)
        if (call->nodes[i].cell)
            call->nodes[i].kept = (ULONG)rule->status;
    return true;
}

/* Those that come back without having been anywhere. */
static void
answer_here(struct floor_call *call)
{
    for (ULONG i = 0; i < call->count; i++)
        call->nodes[i].block->Status = call->nodes[i].cell ? NDIS_STATUS_FAILURE
                                                           : NDIS_STATUS_SUCCESS;
}

/* ---- down ---- */

static void
note_objects(struct fault *fault, struct floor_call *call)
{
    for (ULONG i = 0; i < call->count; i++) {
        struct floor_node *node = &call->nodes[i];

        if (!node->entry)
            continue;
        if (call->operation == FLOOR_TERMINATE)
            fault_offload_of(node->entry)->terminating = true;
        else if (is_tcp(node) && !node->kept)
            fault_track(fault_offload_of(node->entry), node->block->NetBufferListChain);
    }
}

static void
down(NDIS_HANDLE context, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root, enum floor_operation operation)
{
    struct fault *fault = fault_of(context);
    struct floor_call *call = floor_tree_down(&fault->floor, root, operation);
    struct fault_held *held = call ? fault_held_create(fault) : NULL;
    const struct fault_rule *late = NULL;
    bool stays = false;

    if (!call)
        return;
    fault->initiates += operation == FLOOR_INITIATE;
    if (!held) {
        floor_pass_down(&fault->floor, root, operation);
        return;
    }
    if (operation == FLOOR_INITIATE) {
        stays = refuse_nodes(fault, call);
        late = fault_script_meet(&fault->script, FAULT_ON_INITIATED);
        if (!fault_may_hold(fault))
            late = NULL;
        /* What the host stack sent before is sent before. */
        fault_let_go(fault, FAULT_FRAME_GOING_OUT, FAULT_FRAME_GOING_OUT, false);
    } else {
        stays = fail_all(fault, call);
    }
    note_objects(fault, call);
    if (stays) {
        answer_here(call);
        fault_hold(fault, held, FAULT_UP, root, late ? late->delay_ms : 0, false);
        return;
    }
    if (late) {
        bool reorder = late->action == FAULT_REORDER;

        fault_hold(fault, held, FAULT_DOWN, root, reorder ? REORDER_MS : late->delay_ms, reorder);
        return;
    }
    NdisFreeMemory(held, sizeof(*held), 0);
    floor_pass_down(&fault->floor, root, operation);
    if (operation == FLOOR_INITIATE)
        fault_let_go(fault, FAULT_DOWN, FAULT_DOWN, true);
}

void
fault_go_down(struct fault *fault, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    floor_pass_down(&fault->floor, root, FLOOR_INITIATE);
}

VOID
FaultInitiateOffload(NDIS_HANDLE MiniportAdapterContext,
                     PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    down(MiniportAdapterContext, OffloadBlockList, FLOOR_INITIATE);
}

VOID
FaultTerminateOffload(NDIS_HANDLE MiniportAdapterContext,
                      PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    down(MiniportAdapterContext, OffloadBlockList, FLOOR_TERMINATE);
}

VOID
FaultUpdateOffload(NDIS_HANDLE MiniportAdapterContext,
                   PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    down(MiniportAdapterContext, OffloadBlockList, FLOOR_UPDATE);
}

VOID
FaultQueryOffload(NDIS_HANDLE MiniportAdapterContext,
                  PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    down(MiniportAdapterContext, OffloadBlockList, FLOOR_QUERY);
}

VOID
FaultInvalidateOffload(NDIS_HANDLE MiniportAdapterContext,
                       PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    down(MiniportAdapterContext, OffloadBlockList, FLOOR_INVALIDATE);
}

/* ---- up: what the nodes came to ---- */

struct tally {
    ULONG tried, through;
};

/* Placeholders do not count. */
static struct tally
count_dependents(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    struct tally tally = {0, 0};

    for (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST b = block->DependentBlockList; b; b = b->NextBlock) {
        tally.tried += b->MiniportOffloadContext != NULL;
        tally.through += b->MiniportOffloadContext && came_through(b->Status);
    }
    return tally;
}

/* V-037, V-038. A new object that failed below stays failed. */
static void
work_out(struct floor_node *node)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block = node->block;
    struct tally tally = count_dependents(block);

    if (!node->cell || node->kept || !tally.tried || (node->fresh && !came_through(block->Status)))
        return;
    if (tally.through == tally.tried)
        block->Status = NDIS_STATUS_SUCCESS;
    else
        block->Status = tally.through || node->fresh ? NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS
                                                     : NDIS_STATUS_FAILURE;
}

/* Under what failed below nothing has a reason of its own (V-039). */
static void
fail_dependents(const struct floor_node *node)
{
    if (!node->cell || node->kept || !node->fresh || came_through(node->block->Status))
        return;
    for (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST b = node->block->DependentBlockList; b; b = b->NextBlock)
        if (b->MiniportOffloadContext)
            b->Status = NDIS_STATUS_FAILURE;
}

static void
initiate_up(struct floor_call *call)
{
    bool refused = false, root_failed;

    for (ULONG i = 0; i < call->count; i++) {
        struct floor_node *node = &call->nodes[i];

        if (!node->kept)
            continue;
        refused = true;
        node->block->Status = (NDIS_STATUS)node->kept;
        if (node->fresh)
            node->block->NetBufferListChain = fault_offload_of(node->entry)->chain;
    }
    if (!refused)
        return;
    root_failed = call->nodes[0].fresh && !call->nodes[0].kept &&
                  !came_through(call->nodes[0].block->Status);
    for (ULONG i = 0; i < call->count; i++) {
        if (root_failed && i && call->nodes[i].cell)
            call->nodes[i].block->Status = NDIS_STATUS_FAILURE; /* V-040 */
        fail_dependents(&call->nodes[i]);
    }
    for (ULONG i = call->count; i-- > 0;)
        work_out(&call->nodes[i]);
}

/* A connection begins, or does not. */
static void
connection_up(struct fault *fault, struct floor_node *node)
{
    struct fault_offload *entry = fault_offload_of(node->entry);
    PTCP_OFFLOAD_STATE_CONST constant = NDIS_OFFLOAD_STATE_FIRST(node->block);
    PTCP_OFFLOAD_STATE_CACHED cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    PTCP_OFFLOAD_STATE_DELEGATED delegated = NDIS_OFFLOAD_STATE_NEXT(cached);

    if (!came_through(node->block->Status)) {
        fault_forget_sends(entry);
        return;
    }
    entry->half_closed = delegated->State != TcpConnectionEstablished;
    list_add_tail(&fault->conns, &entry->link);
}

void
fault_tree_up(struct floor_adapter *adapter, struct floor_call *call)
{
    struct fault *fault = fault_of(adapter);

    if (call->operation == FLOOR_INITIATE)
        initiate_up(call);
    for (ULONG i = 0; i < call->count; i++) {
        struct floor_node *node = &call->nodes[i];

        if (call->operation == FLOOR_TERMINATE && node->entry) {
            fault_settle(fault_offload_of(node->entry), true);
            fault_forget_sends(fault_offload_of(node->entry));
        } else if (is_tcp(node)) {
            connection_up(fault, node);
        } else if (call->operation != FLOOR_INITIATE && node->kept) {
            node->block->Status = (NDIS_STATUS)node->kept;
        }
    }
}

/* ---- up ---- */

void
fault_go_up(struct fault *fault, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root)
{
    struct floor_call *call = root->ImReserved[0];
    enum floor_operation operation = call->operation;

    if (operation == FLOOR_TERMINATE) /* V-145 */
        fault_let_go(fault, FAULT_SENT, FAULT_DISCONNECTED, false);
    FloorOffloadComplete(&fault->floor, root);
    if (operation != FLOOR_INITIATE)
        return;
    fault->initiates--;
    fault_ring(fault);
}

VOID
FaultOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                     PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct fault *fault = fault_of(ProtocolBindingContext);
    struct floor_call *call = OffloadBlockList->ImReserved[0];
    const struct fault_rule *rule = NULL;
    struct fault_held *held = NULL;
    bool reorder;

    if (call->operation != FLOOR_INITIATE)
        rule = fault_script_meet(&fault->script,
                                 (enum fault_point)(FAULT_ON_INITIATED + call->operation));
    reorder = rule && rule->action == FAULT_REORDER;
    /* One that waits to be passed is passed. */
    if (rule && fault_may_hold(fault) && !(reorder && fault_holds(fault, FAULT_UP)))
        held = fault_held_create(fault);
    if (held) {
        fault_hold(fault, held, FAULT_UP, OffloadBlockList, reorder ? REORDER_MS : rule->delay_ms,
                   reorder);
        return;
    }
    fault_go_up(fault, OffloadBlockList);
    fault_let_go(fault, FAULT_UP, FAULT_UP, true);
}
