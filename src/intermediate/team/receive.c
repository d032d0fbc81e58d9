/*
 * Received NBLs of connections. What returns them is the binding, and a return names no connection
 * (P24): after a fail-over they may be of another member than the one that is offloaded to now. How
 * long the driver above keeps them is its own business, so nothing waits for them but the pause of
 * their member. The trick: an NBL says which pool it is from, and a pool is one adapter's; which
 * are whose is learnt when they come up.
 */
#include "base/log.h"
#include "intermediate/team/team.h"

static bool
knows_pool(const struct team_member *member, NDIS_HANDLE pool)
{
    for (unsigned i = 0; i < TEAM_POOLS; i++)
        if (member->pools[i] == pool)
            return true;
    return false;
}

static void
learn_pool(struct team_member *member, NDIS_HANDLE pool)
{
    if (knows_pool(member, pool))
        return;
    for (unsigned i = TEAM_POOLS - 1; i > 0; i--)
        member->pools[i] = member->pools[i - 1];
    member->pools[0] = pool;
}

/* That a connection is at. NULL: none any more. */
static struct team_member *
member_of(struct floor_offload *entry)
{
    struct team_member *member = team_offload_of(entry)->member;

    return member ? member : team_of(entry->adapter)->offload;
}

/* They are about to go up. */
static ULONG
lend(struct team_member *member, PNET_BUFFER_LIST nbls)
{
    ULONG count = 0;

    for (PNET_BUFFER_LIST nbl = nbls; nbl && member; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        learn_pool(member, nbl->NdisPoolHandle);
        count++;
    }
    if (member)
        member->indicated += count;
    return count;
}

NDIS_STATUS
TeamTcpOffloadReceiveIndicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList,
                              NDIS_STATUS Status, PULONG BytesConsumed)
{
    struct team_member *member = member_of(floor_offload_of(OffloadContext));
    /* Before the call: they may come back earlier than it does. */
    ULONG offered = lend(member, NetBufferList);
    NDIS_STATUS status;

    status = FloorTcpOffloadReceiveIndicate(OffloadContext, NetBufferList, Status, BytesConsumed);
    if (status != NDIS_STATUS_SUCCESS && member)
        member->indicated -= offered;
    return status;
}

void
team_tree_up(struct floor_adapter *adapter, struct floor_call *call)
{
    for (ULONG i = 0; i < call->count; i++) {
        const struct floor_node *node = &call->nodes[i];
        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block = node->block;
        const TCP_OFFLOAD_STATE_DELEGATED *state;

        if (!node->entry || block->Status != NDIS_STATUS_SUCCESS)
            continue;
        if (node->fresh && block->Header.Type == TcpOffloadState)
            team_locate(team_offload_of(node->entry), member_of(node->entry));
        /* A terminate brings what was not delivered (BufferedData). */
        if (call->operation != FLOOR_TERMINATE || block->Header.Type != TcpOffloadDelegatedState)
            continue;
        state = NDIS_OFFLOAD_STATE_FIRST(block);
        lend(member_of(node->entry), state->BufferedData);
    }
}

static struct team_member *
owner_of(struct team *team, PNET_BUFFER_LIST nbl)
{
    list_for_each(member, &team->members, struct team_member, link)
        if (knows_pool(member, nbl->NdisPoolHandle))
            return member;
    return team->offload;
}

NDIS_STATUS
TeamTcpOffloadReceiveReturn(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList)
{
    struct team *team = MiniportAdapterContext;
    PNET_BUFFER_LIST next;

    for (PNET_BUFFER_LIST run = NetBufferList; run; run = next) {
        struct team_member *member = owner_of(team, run);
        PNET_BUFFER_LIST last = run;
        ULONG count = 1;

        while ((next = NET_BUFFER_LIST_NEXT_NBL(last)) && owner_of(team, next) == member) {
            last = next;
            count++;
        }
        NET_BUFFER_LIST_NEXT_NBL(last) = NULL;
        if (!member) {
            log_error("team %s: %u NBLs are returned, and no member is left", team->floor.name,
                      count);
            continue;
        }
        member->indicated -= count;
        NdisOffloadTcpReceiveReturn(member->lower, run);
    }
    team_settle(&team->floor);
    return NDIS_STATUS_SUCCESS;
}
