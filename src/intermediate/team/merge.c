/*
 * Mode hash: a state operation on its way up. When the last part of it is here, the tree from above
 * gets what the parts say, by the rules that a target follows (chimney 3, V-033 … V-040): what was
 * offered came through if it is at one member at least, and then it is a success, or a partial one,
 * by its immediate dependents; a linker is by those alone. Any other operation has succeeded at an
 * object if it has at every member that the object is at.
 *
 * State that comes back is that of the connection's member; a neighbor's, which all of them have,
 * is the one that heard of it last.
 */
#include "intermediate/team/team.h"

static bool
came_through(NDIS_STATUS status)
{
    return status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

/* What NDIS says when it refuses a part is for whole trees only (V-034). */
static NDIS_STATUS
as_documented(NDIS_STATUS status)
{
    switch (status) {
    case NDIS_STATUS_RESOURCES:
    case NDIS_STATUS_OFFLOAD_TCP_ENTRIES:
    case NDIS_STATUS_OFFLOAD_PATH_ENTRIES:
    case NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES:
    case NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES:
    case NDIS_STATUS_OFFLOAD_IP_ADDRESS_ENTRIES:
    case NDIS_STATUS_OFFLOAD_TCP_XMIT_BUFFER:
    case NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER:
    case NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW:
    case NDIS_STATUS_OFFLOAD_VLAN_ENTRIES:
    case NDIS_STATUS_OFFLOAD_VLAN_MISMATCH:
    case NDIS_STATUS_OFFLOAD_PATH_MTU:
    case NDIS_STATUS_OFFLOAD_CONNECTION_REJECTED:
        return status;
    default:
        return NDIS_STATUS_FAILURE;
    }
}

/* ---- initiate ---- */

/* Where it failed it is not; why, where it failed first, if it is nowhere. */
static NDIS_STATUS
offered(const struct team_split *split, ULONG i)
{
    struct team_offload *entry = team_offload_of(split->call->nodes[i].entry);
    NDIS_STATUS reason = split->nodes[i].elsewhere ? NDIS_STATUS_OFFLOAD_CONNECTION_REJECTED
                                                   : NDIS_STATUS_FAILURE;
    bool through = false, failed = false;

    list_for_each(part, &split->parts, struct team_part, link) {
        const struct team_copy *copy = &part->copies[i];

        if (!copy->block)
            continue;
        if (came_through(copy->block->Status)) {
            through = true;
            continue;
        }
        if (!failed)
            reason = as_documented(copy->block->Status);
        failed = true;
        team_place_drop(entry, part->member);
    }
    return through ? NDIS_STATUS_SUCCESS : reason;
}

static NDIS_STATUS
by_dependents(const struct team_split_node *node, bool linker)
{
    if (node->through == node->tried)
        return NDIS_STATUS_SUCCESS;
    if (linker && !node->through)
        return NDIS_STATUS_FAILURE;
    return NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

/* Dependents come after what they depend on. Placeholders do not count. */
static void
merge_initiate(struct team_split *split)
{
    for (ULONG i = split->call->count; i-- > 0;) {
        const struct floor_node *node = &split->call->nodes[i];
        struct team_split_node *plan = &split->nodes[i];
        NDIS_STATUS status = NDIS_STATUS_SUCCESS;

        if (node->fresh)
            status = offered(split, i);
        if (node->entry && status == NDIS_STATUS_SUCCESS)
            status = by_dependents(plan, !node->fresh);
        node->block->Status = status;
        if (!node->entry || plan->parent == TEAM_NO_PARENT)
            continue;
        split->nodes[plan->parent].tried++;
        split->nodes[plan->parent].through += came_through(status);
    }
}

/* ---- the others ---- */

static NEIGHBOR_OFFLOAD_STATE_DELEGATED *
neighbor_delegated(PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block)
{
    PUCHAR state = NDIS_OFFLOAD_STATE_FIRST(block);

    switch (block->Header.Type) {
    case NeighborOffloadDelegatedState:
        return (PVOID)state;
    case NeighborOffloadState:
        return (PVOID)(state + NDIS_OFFLOAD_STATE_SPACE(NEIGHBOR_OFFLOAD_STATE_CONST) +
                       NDIS_OFFLOAD_STATE_SPACE(NEIGHBOR_OFFLOAD_STATE_CACHED));
    default:
        return NULL;
    }
}

static void
take_state(const struct floor_call *call, const struct floor_node *node,
           PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST from, bool first)
{
    size_t bytes = team_state_bytes(call, node);
    NEIGHBOR_OFFLOAD_STATE_DELEGATED *kept = bytes ? neighbor_delegated(node->block) : NULL;
    ULONG age = kept ? kept->NicReachabilityDelta : 0;

    if (!bytes || (call->operation != FLOOR_QUERY && call->operation != FLOOR_TERMINATE))
        return;
    NdisMoveMemory(NDIS_OFFLOAD_STATE_FIRST(node->block), NDIS_OFFLOAD_STATE_FIRST(from), bytes);
    if (kept && !first && kept->NicReachabilityDelta > age)
        kept->NicReachabilityDelta = age;
    if (call->operation == FLOOR_TERMINATE)
        node->block->NetBufferListChain = from->NetBufferListChain;
}

static NDIS_STATUS
merge_node(const struct team_split *split, ULONG i)
{
    const struct floor_node *node = &split->call->nodes[i];
    ULONG succeeded = 0;

    if (!node->entry)
        return NDIS_STATUS_SUCCESS;
    list_for_each(part, &split->parts, struct team_part, link) {
        const struct team_copy *copy = &part->copies[i];

        if (copy->named && copy->block->Status == NDIS_STATUS_SUCCESS)
            take_state(split->call, node, copy->block, !succeeded++);
    }
    return succeeded && succeeded == team_place_count(team_offload_of(node->entry))
               ? NDIS_STATUS_SUCCESS
               : NDIS_STATUS_FAILURE;
}

/* ---- up ---- */

static void
finish(struct team_split *split)
{
    struct team *team = split->team;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = split->root;
    bool initiate = split->call->operation == FLOOR_INITIATE;

    if (initiate)
        merge_initiate(split);
    else
        for (ULONG i = 0; i < split->call->count; i++)
            split->call->nodes[i].block->Status = merge_node(split, i);
    list_del(&split->link);
    team_split_free(split);
    FloorOffloadComplete(&team->floor, (PVOID)root);
    team->initiates -= initiate;
    team_release_events(team);
}

void
team_part_up(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root)
{
    struct team_split *split = ((struct team_part *)root->ImReserved[0])->split;

    if (!--split->outstanding)
        finish(split);
    else if (split->last && split->outstanding == 1)
        team_pass_last(split);
}

void
team_finish_splits(struct team *team)
{
    while (!list_empty(&team->finished))
        finish(container_of(list_take_first(&team->finished), struct team_split, link));
}
