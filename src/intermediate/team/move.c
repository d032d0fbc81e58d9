/*
 * Who is used, and how the connections follow. Frames go through other members at once; the
 * connections are told to come home (OFFLOAD_PAUSE, UPLOAD_ALL), and only when nothing is left
 * below new ones may go to those that are used from then on (OFFLOAD_RESUME, with the capabilities
 * of all that are left). In mode backup there are so never objects at two members, and every
 * operation belongs to the one of floor.lower.
 *
 * Mode backup: the active member stays as long as it can be used: a move costs more than any
 * preference is worth. When nobody can be used it stays, too, and so do its connections: they wait
 * for its link. Mode hash: all that can be used are; who comes is used like who goes is left, by
 * the same move, or some would have neighbors and paths that others do not have, and a connection
 * would be offloaded elsewhere than its frames go.
 *
 * Source: chimney 11 (teams); V-143, P29.
 */
#include "base/log.h"
#include "intermediate/team/team.h"

bool
team_usable(const struct team_member *member)
{
    return member->running && !member->asleep && !member->failed &&
           member->link_state.MediaConnectState != MediaConnectStateDisconnected;
}

bool
team_carries(const struct team_member *member)
{
    const struct team *team = member->team;

    return member == team->active || (team->hash && team_usable(member));
}

bool
team_used(const struct team_member *member)
{
    return member->used;
}

bool
team_stopped(const struct team *team)
{
    list_for_each(member, &team->members, struct team_member, link)
        if (member->used && member->stopped)
            return true;
    return false;
}

bool
team_drained(const struct team *team)
{
    return team->floor.objects == 0 && team->floor.calls == 0;
}

bool
team_member_quiet(const struct team_member *member)
{
    return member->frames_down == 0 && member->frames_up == 0 && member->indicated == 0 &&
           (!member->used || team_drained(member->team));
}

static struct team_member *
choose(const struct team *team)
{
    if (team->active && team_usable(team->active))
        return team->active;
    list_for_each(member, &team->members, struct team_member, link)
        if (team_usable(member))
            return member;
    if (team->active || list_empty(&team->members))
        return team->active;
    return list_first(&team->members, struct team_member, link);
}

/* ---- capabilities ---- */

static void
intersect(NDIS_TCP_CONNECTION_OFFLOAD *can, const NDIS_TCP_CONNECTION_OFFLOAD *other)
{
    can->Encapsulation &= other->Encapsulation;
    can->SupportIPv4 &= other->SupportIPv4;
    can->SupportIPv6 &= other->SupportIPv6;
    can->SupportIPv6ExtensionHeaders &= other->SupportIPv6ExtensionHeaders;
    can->SupportSack &= other->SupportSack;
    if (can->CongestionAlgorithm != other->CongestionAlgorithm)
        can->CongestionAlgorithm = 0;
    if (can->TcpConnectionOffloadCapacity > other->TcpConnectionOffloadCapacity)
        can->TcpConnectionOffloadCapacity = other->TcpConnectionOffloadCapacity;
    if (NDIS_TCP_CONNECTION_OFFLOAD_EXTENSION(can->Flags) !=
        NDIS_TCP_CONNECTION_OFFLOAD_EXTENSION(other->Flags)) /* a number, not bits */
        can->Flags &= ~NDIS_TCP_CONNECTION_OFFLOAD_FLAG_EXTENSION(0xff);
    can->Flags &= other->Flags;
}

/* What hosts and drivers look at; there are bits between the members. */
static bool
same(const NDIS_TCP_CONNECTION_OFFLOAD *a, const NDIS_TCP_CONNECTION_OFFLOAD *b)
{
    return a->Encapsulation == b->Encapsulation && a->SupportIPv4 == b->SupportIPv4 &&
           a->SupportIPv6 == b->SupportIPv6 &&
           a->SupportIPv6ExtensionHeaders == b->SupportIPv6ExtensionHeaders &&
           a->SupportSack == b->SupportSack && a->CongestionAlgorithm == b->CongestionAlgorithm &&
           a->TcpConnectionOffloadCapacity == b->TcpConnectionOffloadCapacity &&
           a->Flags == b->Flags;
}

static bool
anybody_usable(const struct team *team)
{
    list_for_each(member, &team->members, struct team_member, link)
        if (team_usable(member))
            return true;
    return false;
}

void
team_capabilities(const struct team *team, NDIS_TCP_CONNECTION_OFFLOAD *can)
{
    bool any = false, used = anybody_usable(team);

    list_for_each(member, &team->members, struct team_member, link) {
        if (used && !team_usable(member))
            continue;
        if (any)
            intersect(can, &member->capabilities);
        else
            *can = member->capabilities;
        any = true;
    }
}

void
team_resume(struct team *team)
{
    if (team->draining || !team->active || team_stopped(team))
        return;
    team_capabilities(team, &team->floor.capabilities);
    team->floor.stopped_below = false;
    floor_indicate(&team->floor, NDIS_STATUS_OFFLOAD_RESUME);
}

/* A member came or went that others can do without. What is offloaded may stay. */
static void
renew_capabilities(struct team *team)
{
    NDIS_TCP_CONNECTION_OFFLOAD can = team->floor.capabilities;

    if (!team->active || !team->floor.has_chimney || team->draining || team->floor.stopped_below)
        return;
    team_capabilities(team, &can);
    if (same(&can, &team->floor.capabilities))
        return;
    team->floor.stopped_below = true;
    floor_indicate(&team->floor, NDIS_STATUS_OFFLOAD_PAUSE);
    team_resume(team);
}

/* ---- moving ---- */

/* Whether the member is to be used from the next time on that nothing is offloaded. */
static bool
is_wanted(const struct team_member *member)
{
    const struct team *team = member->team;

    if (!team->hash)
        return member == team->active;
    if (anybody_usable(team))
        return team_usable(member);
    return member == team->active || (member->used && member->running);
}

static void
use_wanted(struct team *team)
{
    list_for_each(member, &team->members, struct team_member, link)
        member->used = is_wanted(member);
    team->offload = team->active;
    team->floor.lower = team->active ? team->active->lower : NULL;
}

static bool
must_drain(const struct team *team)
{
    if (team->offload != team->active)
        return true;
    list_for_each(member, &team->members, struct team_member, link) {
        if (member->used != is_wanted(member))
            return true;
        if (member->used && !member->running && !team_drained(team))
            return true;
    }
    return false;
}

static void
drain(struct team *team)
{
    if (team->draining)
        return;
    team->draining = true;
    team->switches += team->hash;
    if (!team->floor.stopped_below) {
        team->floor.stopped_below = true;
        floor_indicate(&team->floor, NDIS_STATUS_OFFLOAD_PAUSE);
    }
    floor_indicate(&team->floor, NDIS_STATUS_UPLOAD_ALL);
}

static bool
can_finish(const struct team *team)
{
    return team->draining && team_drained(team) && team->active && team->active->running;
}

static bool
same_link(const NDIS_LINK_STATE *a, const NDIS_LINK_STATE *b)
{
    return a->MediaConnectState == b->MediaConnectState &&
           a->MediaDuplexState == b->MediaDuplexState && a->XmitLinkSpeed == b->XmitLinkSpeed &&
           a->RcvLinkSpeed == b->RcvLinkSpeed;
}

/* The link of the team is that of the member in use. */
static void
tell_link(struct team *team)
{
    NDIS_STATUS_INDICATION status = {
        .Header = {NDIS_OBJECT_TYPE_STATUS_INDICATION, NDIS_STATUS_INDICATION_REVISION_1,
                   sizeof(status)},
        .SourceHandle = team->floor.upper,
        .StatusCode = NDIS_STATUS_LINK_STATE,
        .StatusBuffer = &team->link_state,
        .StatusBufferSize = sizeof(team->link_state),
    };

    if (!team->active || same_link(&team->link_state, &team->active->link_state))
        return;
    team->link_state = team->active->link_state;
    team->floor.general.MediaConnectState = team->link_state.MediaConnectState;
    if (team->floor.upper)
        NdisMIndicateStatusEx(team->floor.upper, &status);
}

void
team_update(struct team *team, const char *why)
{
    struct team_member *best = choose(team), *last = team->active;

    team->active = best;
    team->floor.lower_running = best && best->running;
    if (last && best && last != best && !team->hash) {
        team->switches++;
        log_info("team %s: %s → %s, %s", team->floor.name, last->name, best->name, why);
    }
    if (!team->floor.upper) {
        team->draining = false;
        use_wanted(team);
    } else if (must_drain(team)) {
        drain(team);
    } else {
        renew_capabilities(team);
    }
    tell_link(team);
    team_settle(&team->floor);
}

void
team_settle(struct floor_adapter *adapter)
{
    struct team *team = team_of(adapter);
    bool due = can_finish(team) || !list_empty(&team->finished) || team_has_power_again(team);

    list_for_each(member, &team->members, struct team_member, link)
        due |= member->event && team_member_quiet(member);
    if (due)
        floor_queue_work(adapter);
}

void
team_work(struct floor_adapter *adapter)
{
    struct team *team = team_of(adapter);

    team_finish_splits(team);
    team_release_events(team);
    if (can_finish(team)) {
        use_wanted(team);
        team->draining = false;
        log_debug("team %s: %s is free for connections", adapter->name, team->active->name);
        team_resume(team);
    }
    team_tell_power(team);
    list_for_each_safe(member, &team->members, struct team_member, link) {
        PNET_PNP_EVENT_NOTIFICATION event = member->event;

        if (!event || !team_member_quiet(member))
            continue;
        member->event = NULL;
        NdisCompleteNetPnPEvent(member->lower, event, NDIS_STATUS_SUCCESS);
    }
}

/* ---- status ---- */

static void
link_changed(struct team_member *member, const NDIS_STATUS_INDICATION *status)
{
    if (!status->StatusBuffer || status->StatusBufferSize < sizeof(member->link_state))
        return;
    NdisMoveMemory(&member->link_state, status->StatusBuffer, sizeof(member->link_state));
    team_update(member->team, member->link_state.MediaConnectState == MediaConnectStateDisconnected
                                  ? "its link is lost"
                                  : "there is a link");
}

static void
resumed(struct team_member *member, const NDIS_STATUS_INDICATION *status)
{
    member->stopped = false;
    if (status->StatusBuffer && status->StatusBufferSize >= sizeof(member->capabilities))
        NdisMoveMemory(&member->capabilities, status->StatusBuffer, sizeof(member->capabilities));
    if (member->used)
        team_resume(member->team);
    team_update(member->team, "it resumes");
}

VOID
TeamStatusEx(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
    struct team_member *member = ProtocolBindingContext;
    struct team *team = member->team;
    bool heard;

    switch (StatusIndication->StatusCode) {
    case NDIS_STATUS_LINK_STATE:
        link_changed(member, StatusIndication);
        return;
    case NDIS_STATUS_OFFLOAD_RESUME:
        resumed(member, StatusIndication);
        return;
    case NDIS_STATUS_OFFLOAD_PAUSE:
    case NDIS_STATUS_UPLOAD_ALL:
        /* Those above have heard it of another member. */
        heard = team->hash && team_stopped(team);
        member->stopped = true;
        if (StatusIndication->StatusCode == NDIS_STATUS_OFFLOAD_PAUSE && heard)
            return;
        if (member->used && !team->draining)
            FloorStatusEx(&team->floor, StatusIndication);
        return;
    default:
        if (member == team->active)
            FloorStatusEx(&team->floor, StatusIndication);
    }
}
