/*
 * The regular path. Mode backup: down through the active member, up from it. What other members
 * hear is sent back: a group frame would come up twice, and what this machine says comes back to it
 * through the peer's bridge. Mode hash: down through the member that the flow belongs to, up from
 * all of them; that nothing comes twice is the business of the link aggregate at the other end.
 * What was sent or indicated goes home to its own member, whoever is used by then.
 */
#include "intermediate/team/team.h"

/* Enough of a frame: two tags, IPv4 with all options, ports. */
#define FLOW_BYTES (14u + 8u + 60u + 4u)

/* All that one NBL holds is of one flow. */
static struct team_member *
member_for(const struct team *team, PNET_BUFFER_LIST nbl)
{
    PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(nbl);
    UCHAR storage[FLOW_BYTES];
    struct team_member *member;
    ULONG length;
    UCHAR *bytes;
    uint64_t flow;

    if (!team->hash || !nb)
        return team->active;
    length = NET_BUFFER_DATA_LENGTH(nb) < FLOW_BYTES ? NET_BUFFER_DATA_LENGTH(nb) : FLOW_BYTES;
    bytes = NdisGetDataBuffer(nb, length, storage, 1, 0);
    if (!bytes || !team_flow_frame(bytes, length, &flow))
        return team->active;
    member = team_choose(team, flow, team_usable);
    return member ? member : team->active;
}

/* Takes those of member out of nbls; the order stays. */
static PNET_BUFFER_LIST
take_for(const struct team *team, const struct team_member *member, PNET_BUFFER_LIST *nbls)
{
    PNET_BUFFER_LIST taken = NULL, *tail = &taken;

    while (*nbls) {
        PNET_BUFFER_LIST nbl = *nbls;

        if (member_for(team, nbl) != member) {
            nbls = &NET_BUFFER_LIST_NEXT_NBL(nbl);
            continue;
        }
        *nbls = NET_BUFFER_LIST_NEXT_NBL(nbl);
        NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
        *tail = nbl;
        tail = &NET_BUFFER_LIST_NEXT_NBL(nbl);
    }
    return taken;
}

VOID
TeamSendNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
                       NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct team *team = MiniportAdapterContext;

    while (NetBufferList) {
        struct team_member *member = member_for(team, NetBufferList);
        PNET_BUFFER_LIST nbls = take_for(team, member, &NetBufferList);
        bool up = member && member->running;

        floor_send_frames(&team->floor, up ? member->lower : NULL, nbls, PortNumber, SendFlags,
                          up ? &member->frames_down : NULL);
    }
}

static ULONG
count(PNET_BUFFER_LIST nbl)
{
    ULONG count = 0;

    for (; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl))
        count++;
    return count;
}

VOID
TeamSendNetBufferListsComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
                               ULONG SendCompleteFlags)
{
    struct team_member *member = ProtocolBindingContext;

    member->frames_down -= count(NetBufferList);
    FloorSendNetBufferListsComplete(&member->team->floor, NetBufferList, SendCompleteFlags);
}

VOID
TeamCancelSend(NDIS_HANDLE MiniportAdapterContext, PVOID CancelId)
{
    struct team *team = MiniportAdapterContext;

    list_for_each(member, &team->members, struct team_member, link)
        NdisCancelSendNetBufferLists(member->lower, CancelId);
}

VOID
TeamReceiveNetBufferLists(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                          NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists,
                          ULONG ReceiveFlags)
{
    struct team_member *member = ProtocolBindingContext;

    if (member == member->team->active || member->team->hash)
        floor_receive_frames(&member->team->floor, member->lower, NetBufferLists, PortNumber,
                             ReceiveFlags, &member->frames_up);
    else if (!NDIS_TEST_RECEIVE_CANNOT_PEND(ReceiveFlags))
        NdisReturnNetBufferLists(member->lower, NetBufferLists, 0);
}

static struct team_member *
member_of(struct team *team, NDIS_HANDLE lower)
{
    list_for_each(member, &team->members, struct team_member, link)
        if (member->lower == lower)
            return member;
    return NULL;
}

VOID
TeamReturnNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists,
                         ULONG ReturnFlags)
{
    struct team *team = MiniportAdapterContext;
    struct team_member *member = NULL;

    for (PNET_BUFFER_LIST nbl = NetBufferLists; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        NDIS_HANDLE lower = floor_frame_lower(nbl);

        if (!member || member->lower != lower)
            member = member_of(team, lower);
        if (member)
            member->frames_up--;
    }
    FloorReturnNetBufferLists(&team->floor, NetBufferLists, ReturnFlags);
}
