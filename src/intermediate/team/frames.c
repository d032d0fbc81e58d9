/*
 * The regular path: down through the active member, up from it. What other members hear is sent
 * back: a group frame would come up twice, and what this machine says comes back to it through the
 * peer's bridge. What was sent or indicated goes home to its own member, whoever is active by then.
 */
#include "intermediate/team/team.h"

VOID
TeamSendNetBufferLists(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
                       NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
    struct team *team = MiniportAdapterContext;
    struct team_member *member = team->active;
    bool up = member && member->running;

    floor_send_frames(&team->floor, up ? member->lower : NULL, NetBufferList, PortNumber, SendFlags,
                      up ? &member->frames_down : NULL);
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

    if (member == member->team->active)
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
