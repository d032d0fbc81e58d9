/*
 * Mode hash: a state operation on its way down. Every neighbor and path is at all members that are
 * used, a connection at the one that its flow belongs to. So a tree from above becomes one tree per
 * member that has a part in it, of copies: what an initiate offers of neighbors and paths is in all
 * of them, a connection in one; what exists already is in those of the members it is at, and leads
 * to what is below it; the rest is left out. What does not exist at a member, because the initiate
 * failed there, has nothing below it there either: its connections that would go there fail.
 *
 * Everything is allocated first, then it is passed down; in between nothing can fail. The original
 * stays here until the last part has come up (merge.c), so the driver above sees one operation and
 * one completion. A connection may be heard of as soon as its part has come up, but not before the
 * whole has (4.1): so the part with the connections goes when all others are back, and there is one
 * such part only. A tree whose connections belong to several members has those of the first one
 * offloaded; the others are rejected and may be offered in a tree of their own.
 *
 * Members are used, all of them, from one time at which nothing is offloaded to the next (move.c):
 * that is why nobody needs a neighbor or path later than the others. Source: chimney 3, 4, 11; that
 * there may be one operation below per member is ours (V-160).
 */
#include "base/log.h"
#include "intermediate/team/team.h"

/* ---- what follows a block ---- */

#define SPACES(constant, cached, delegated)                                                        \
    {                                                                                              \
        NDIS_OFFLOAD_STATE_SPACE(constant), NDIS_OFFLOAD_STATE_SPACE(cached),                      \
            NDIS_OFFLOAD_STATE_SPACE(delegated)                                                    \
    }

static const size_t spaces[][3] = {
    SPACES(NEIGHBOR_OFFLOAD_STATE_CONST, NEIGHBOR_OFFLOAD_STATE_CACHED,
           NEIGHBOR_OFFLOAD_STATE_DELEGATED),
    SPACES(PATH_OFFLOAD_STATE_CONST, PATH_OFFLOAD_STATE_CACHED, PATH_OFFLOAD_STATE_DELEGATED),
    SPACES(TCP_OFFLOAD_STATE_CONST, TCP_OFFLOAD_STATE_CACHED, TCP_OFFLOAD_STATE_DELEGATED),
};

static size_t
all_of(const size_t space[3])
{
    return space[0] + space[1] + space[2];
}

static size_t
type_bytes(UCHAR type)
{
    switch ((OFFLOAD_STATE_TYPE)type) {
    case NeighborOffloadConstState:
    case NeighborOffloadCachedState:
    case NeighborOffloadDelegatedState:
        return spaces[0][type - NeighborOffloadConstState];
    case Ip4OffloadConstState:
    case Ip4OffloadCachedState:
    case Ip4OffloadDelegatedState:
        return spaces[1][type - Ip4OffloadConstState];
    case Ip6OffloadConstState:
    case Ip6OffloadCachedState:
    case Ip6OffloadDelegatedState:
        return spaces[1][type - Ip6OffloadConstState];
    case TcpOffloadConstState:
    case TcpOffloadCachedState:
    case TcpOffloadDelegatedState:
        return spaces[2][type - TcpOffloadConstState];
    case NeighborOffloadState:
        return all_of(spaces[0]);
    case Ip4OffloadState:
    case Ip6OffloadState:
        return all_of(spaces[1]);
    case TcpOffloadState:
        return all_of(spaces[2]);
    case TcpOffloadResourceState:
    case FilterReservedOffloadState:
        break;
    }
    return 0;
}

static bool
is_whole(UCHAR type)
{
    return type == NeighborOffloadState || type == Ip4OffloadState || type == Ip6OffloadState ||
           type == TcpOffloadState;
}

/* OURS: behind the delegated state, where both sides have agreed on it. */
static size_t
extension_bytes(const struct floor_node *node)
{
    UCHAR type = node->block->Header.Type;

    return (type == TcpOffloadState || type == TcpOffloadDelegatedState) &&
                   team_offload_of(node->entry)->extended
               ? NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_EXTENSION)
               : 0;
}

size_t
team_state_bytes(const struct floor_call *call, const struct floor_node *node)
{
    UCHAR type = node->block->Header.Type;

    if (!node->entry)
        return 0;
    switch (call->operation) {
    case FLOOR_INITIATE:
        return node->fresh ? type_bytes(type) + extension_bytes(node) : 0;
    case FLOOR_QUERY:
        return type_bytes(type);
    case FLOOR_UPDATE:
        return is_whole(type) ? 0 : type_bytes(type);
    case FLOOR_TERMINATE: /* of a whole type only the name is meant */
        return is_whole(type) ? 0 : type_bytes(type) + extension_bytes(node);
    case FLOOR_INVALIDATE:
        break;
    }
    return 0;
}

static size_t
block_bytes(const struct floor_call *call, const struct floor_node *node)
{
    return NDIS_OFFLOAD_STATE_ALIGN(node->block->Header.Size) + team_state_bytes(call, node);
}

/* ---- the plan ---- */

static uint64_t
path_flow(const struct floor_node *node)
{
    const PATH_OFFLOAD_STATE_CONST *path = NDIS_OFFLOAD_STATE_FIRST(node->block);

    return team_flow_addresses(path->SourceAddress, path->DestinationAddress,
                               node->block->Header.Type == Ip6OffloadState ? 16 : 4);
}

/* That a connection which is offered belongs to. */
static struct team_member *
member_for(const struct team_split *split, const struct team_split_node *plan,
           const struct floor_node *node)
{
    const TCP_OFFLOAD_STATE_CONST *tcp = NDIS_OFFLOAD_STATE_FIRST(node->block);
    uint64_t flow = plan->parent == TEAM_NO_PARENT ? 0 : split->nodes[plan->parent].flow;

    return team_choose(split->team, team_flow_ports(flow, tcp->LocalPort, tcp->RemotePort),
                       team_used);
}

static bool
is_extended(const struct floor_node *node)
{
    const TCP_OFFLOAD_STATE_CONST *tcp = NDIS_OFFLOAD_STATE_FIRST(node->block);

    return tcp->Flags & TCP_FLAG_STATE_EXTENDED;
}

/* The walk has left each node's parent in Scratch[0]; parents come first. */
static void
plan_nodes(struct team_split *split)
{
    for (ULONG i = 0; i < split->call->count; i++) {
        const struct floor_node *node = &split->call->nodes[i];
        struct team_split_node *plan = &split->nodes[i];
        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST parent = node->block->Scratch[0];
        struct team_member *member;
        UCHAR type = node->block->Header.Type;

        node->block->Scratch[1] = (PVOID)(ULONG_PTR)i;
        plan->parent = parent ? (ULONG)(ULONG_PTR)parent->Scratch[1] : TEAM_NO_PARENT;
        if (!node->fresh) {
            plan->flow = node->entry ? team_offload_of(node->entry)->flow : 0;
            continue;
        }
        if (type == Ip4OffloadState || type == Ip6OffloadState)
            team_offload_of(node->entry)->flow = plan->flow = path_flow(node);
        if (type != TcpOffloadState)
            continue;
        team_offload_of(node->entry)->extended = is_extended(node);
        member = member_for(split, plan, node);
        if (!split->goes_to)
            split->goes_to = member;
        plan->elsewhere = member != split->goes_to;
    }
}

static bool
is_at(const struct floor_node *node, const struct team_member *member)
{
    return node->entry && team_handle_at(team_offload_of(node->entry), member);
}

/* Nothing below it can go to that member. */
static bool
blocks(enum floor_operation operation, const struct floor_node *node,
       const struct team_member *member)
{
    if (operation == FLOOR_INITIATE)
        return node->entry && !node->fresh && !is_at(node, member);
    /* A path must not be updated without its new neighbor. */
    return operation == FLOOR_UPDATE && node->entry && !is_at(node, member);
}

/* The member has to do with the node itself, whatever is below it. */
static bool
concerns(const struct team_split *split, ULONG i, const struct team_member *member)
{
    const struct floor_node *node = &split->call->nodes[i];

    if (split->call->operation != FLOOR_INITIATE)
        return is_at(node, member);
    if (node->block->Header.Type == TcpOffloadState)
        return node->fresh && !split->nodes[i].elsewhere && split->goes_to == member;
    return node->fresh;
}

/* Marks what of the tree goes there; how many bytes that takes. 0: nothing. */
static size_t
mark(struct team_split *split, const struct team_member *member)
{
    const struct floor_call *call = split->call;
    size_t bytes = 0;

    for (ULONG i = 0; i < call->count; i++) {
        struct team_split_node *plan = &split->nodes[i];
        bool above = plan->parent != TEAM_NO_PARENT && split->nodes[plan->parent].blocked;

        plan->blocked = above || blocks(call->operation, &call->nodes[i], member);
        plan->wanted = !plan->blocked && concerns(split, i, member);
    }
    for (ULONG i = call->count; i-- > 0;) {
        struct team_split_node *plan = &split->nodes[i];

        if (!plan->wanted)
            continue;
        bytes += block_bytes(call, &call->nodes[i]);
        if (plan->parent != TEAM_NO_PARENT)
            split->nodes[plan->parent].wanted = true;
    }
    return bytes;
}

/* ---- parts ---- */

/* The handle of node i at the part's member, made if need be. false: out of memory. */
static bool
take_handle(struct team_part *part, ULONG i, PNDIS_OFFLOAD_HANDLE *handle)
{
    const struct floor_node *node = &part->split->call->nodes[i];
    struct team_offload *entry = node->entry ? team_offload_of(node->entry) : NULL;

    *handle = NULL;
    if (!entry)
        return true;
    if (node->fresh && node->block->Header.Type == TcpOffloadState)
        team_locate(entry, part->member);
    else if (node->fresh && !team_place_add(entry, part->member))
        return false;
    *handle = team_handle_at(entry, part->member);
    return true;
}

static void
hang(struct team_part *part, ULONG i, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST *last_root)
{
    ULONG parent = part->split->nodes[i].parent;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block = part->copies[i].block;
    struct team_copy *above = parent == TEAM_NO_PARENT ? NULL : &part->copies[parent];
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST *last = above ? &above->last : last_root;

    if (*last)
        (*last)->NextBlock = block;
    else if (above)
        above->block->DependentBlockList = block;
    *last = block;
}

/* false: out of memory. */
static bool
fill(struct team_part *part)
{
    const struct team_split *split = part->split;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST last_root = NULL;
    UCHAR *room = (UCHAR *)&part->copies[split->call->count];

    for (ULONG i = 0; i < split->call->count; i++) {
        const struct floor_node *node = &split->call->nodes[i];
        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST below = (PVOID)room;
        size_t bytes = block_bytes(split->call, node);

        if (!split->nodes[i].wanted)
            continue;
        NdisMoveMemory(room, node->block, bytes);
        below->NextBlock = NULL;
        below->DependentBlockList = NULL;
        below->ImReserved[0] = part;
        if (!take_handle(part, i, &below->OffloadHandle))
            return false;
        part->copies[i] = (struct team_copy){(PVOID)room, NULL, below->OffloadHandle != NULL};
        hang(part, i, &last_root);
        room += bytes;
    }
    return true;
}

/* false: out of memory. What it has made is undone with the split and the fresh entries. */
static bool
add_part(struct team_split *split, struct team_member *member)
{
    size_t blocks = mark(split, member);
    struct team_part *part;
    UINT bytes;

    if (!blocks)
        return true;
    bytes = (UINT)(sizeof(*part) + split->call->count * sizeof(part->copies[0]) + blocks);
    part = NdisAllocateMemoryWithTagPriority(member->lower, bytes, FLOOR_TAG, NormalPoolPriority);
    if (!part)
        return false;
    NdisZeroMemory(part, bytes);
    part->split = split;
    part->member = member;
    part->bytes = bytes;
    list_add_tail(&split->parts, &part->link);
    split->outstanding++;
    if (member == split->goes_to)
        split->last = part;
    return fill(part);
}

static PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST
root_of(const struct team_part *part)
{
    for (ULONG i = 0; i < part->split->call->count; i++)
        if (part->copies[i].block)
            return part->copies[i].block;
    return NULL;
}

void
team_pass_last(struct team_split *split)
{
    struct team_part *part = split->last;

    split->last = NULL;
    floor_pass_down_to(part->member->lower, root_of(part), split->call->operation);
}

void
team_fail_last(struct team_member *member)
{
    list_for_each(split, &member->team->splits, struct team_split, link) {
        if (!split->last || split->last->member != member)
            continue;
        for (ULONG i = 0; i < split->call->count; i++)
            if (split->last->copies[i].block)
                split->last->copies[i].block->Status = NDIS_STATUS_FAILURE;
        /* Another part is below, or this one would be. */
        split->last = NULL;
        split->outstanding--;
    }
}

/* ---- the operation ---- */

static struct team_split *
split_create(struct team *team, struct floor_call *call, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    UINT bytes = (UINT)(sizeof(struct team_split) + call->count * sizeof(struct team_split_node));
    struct team_split *split = NdisAllocateMemoryWithTagPriority(team->floor.lower, bytes,
                                                                 FLOOR_TAG, NormalPoolPriority);
    if (!split)
        return NULL;
    NdisZeroMemory(split, bytes);
    list_init(&split->link);
    list_init(&split->parts);
    split->team = team;
    split->root = root;
    split->call = call;
    split->bytes = bytes;
    return split;
}

void
team_split_free(struct team_split *split)
{
    list_for_each_safe(part, &split->parts, struct team_part, link)
        NdisFreeMemory(part, part->bytes, 0);
    NdisFreeMemory(split, split->bytes, 0);
}

/* Objects are at members that are used, and at no others. */
static bool
split_up(struct team_split *split)
{
    plan_nodes(split);
    list_for_each(member, &split->team->members, struct team_member, link)
        if (member->used && !add_part(split, member))
            return false;
    return true;
}

void
team_pass_down(struct floor_adapter *adapter, struct floor_call *call,
               PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root)
{
    struct team *team = team_of(adapter);
    struct team_split *split;

    if (!team->hash) {
        floor_pass_down(adapter, root, call->operation);
        return;
    }
    split = split_create(team, call, root);
    if (!split || !split_up(split)) {
        if (split)
            team_split_free(split);
        floor_take_back(adapter, root);
        return;
    }
    team->initiates += call->operation == FLOOR_INITIATE;
    if (!split->outstanding) {
        list_add_tail(&team->finished, &split->link);
        floor_queue_work(adapter);
        return;
    }
    list_add_tail(&team->splits, &split->link);
    if (split->last && split->outstanding == 1) {
        team_pass_last(split);
        return;
    }
    /* V-030: none of them comes up before all have gone down. */
    list_for_each_safe(part, &split->parts, struct team_part, link)
        if (part != split->last)
            floor_pass_down_to(part->member->lower, root_of(part), call->operation);
}
