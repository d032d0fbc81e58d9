/*
 * The lower edge: bindings that are members of a team. The first one with a name announces the
 * virtual adapter of that name, those that follow join it; whichever is bound while there is none
 * announces it. NDIS knows the virtual adapter as one that stands on that binding alone, so it goes
 * when that one is unbound, and the others wait for another bind.
 *
 * A member that pauses, or loses its power, is left like one without a link; its answer waits until
 * nothing of ours is at it any more. When there is nobody else, the drivers above hear of the loss
 * of power, and of power when anybody can carry them again; a pause is as it is for every floor.
 * Source: P33, V-143, V-185, V-187, V-193.
 */
#include "base/log.h"
#include "intermediate/team/team.h"

#include <string.h>

/* ---- life ---- */

static struct team *
team_find(const struct floor_driver *driver, const NDIS_STRING *name)
{
    list_for_each(team, &team_list, struct team, link) {
        const NDIS_STRING *instance = &team->floor.instance;

        if (team->floor.driver == driver && instance->Length == name->Length &&
            !memcmp(instance->Buffer, name->Buffer, name->Length))
            return team;
    }
    return NULL;
}

static struct team *
team_create(struct floor_driver *driver, PNDIS_BIND_PARAMETERS parameters)
{
    struct floor_adapter *adapter = floor_adapter_create(driver, parameters);
    struct team *team;

    if (!adapter)
        return NULL;
    team = team_of(adapter);
    list_init(&team->members);
    list_init(&team->link);
    list_init(&team->splits);
    list_init(&team->finished);
    list_init(&team->holding);
    if (!floor_adapter_name(adapter, parameters->ProtocolSection)) {
        log_warn("team: the binding names no virtual adapter");
        floor_adapter_destroy(adapter);
        return NULL;
    }
    list_add_tail(&team_list, &team->link);
    return team;
}

/* A binding is gone, or came to nothing. */
static void
team_put(struct team *team)
{
    if (--team->bindings)
        return;
    while (team->floor.work_queued)
        NdisMSleep(1000);
    floor_set_state(&team->floor, FLOOR_CLOSING, "no member is left");
    list_del(&team->link);
    team_forget_sets(team);
    floor_adapter_destroy(&team->floor);
}

static void
member_name(struct team_member *member, const NDIS_STRING *from)
{
    size_t length = from ? from->Length / sizeof(WCHAR) : 0;

    for (size_t i = 0; i < length && i + 1 < sizeof(member->name); i++)
        member->name[i] = from->Buffer[i] < 0x80 ? (char)from->Buffer[i] : '?';
}

static struct team_member *
member_create(struct team *team, PNDIS_BIND_PARAMETERS parameters)
{
    struct team_member *member;

    member = NdisAllocateMemoryWithTagPriority(team->floor.driver->protocol, sizeof(*member),
                                               FLOOR_TAG, NormalPoolPriority);
    if (!member)
        return NULL;
    NdisZeroMemory(member, sizeof(*member));
    list_init(&member->link);
    list_init(&member->connections);
    list_init(&member->places);
    member->team = team;
    member_name(member, parameters->AdapterName);
    member->link_state = (NDIS_LINK_STATE){
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NDIS_LINK_STATE_REVISION_1,
                   sizeof(member->link_state)},
        .MediaConnectState = parameters->MediaConnectState,
        .XmitLinkSpeed = parameters->XmitLinkSpeed,
        .RcvLinkSpeed = parameters->RcvLinkSpeed,
    };
    member->has_chimney = parameters->TcpConnectionOffloadCapabilities != NULL;
    if (member->has_chimney)
        member->capabilities = *parameters->TcpConnectionOffloadCapabilities;
    team->bindings++;
    return member;
}

static void
member_destroy(struct team_member *member)
{
    struct team *team = member->team;

    if (member->frames_down || member->frames_up || member->indicated)
        log_error("team %s: %s is gone with %u frames down, %u up, %u received NBLs",
                  team->floor.name, member->name, member->frames_down, member->frames_up,
                  member->indicated);
    NdisFreeMemory(member, sizeof(*member), 0);
    team_put(team);
}

/* ---- bind ---- */

/* What the team has promised to those above. */
static const char *
misfit(const struct team *team, const NDIS_BIND_PARAMETERS *parameters)
{
    if (!team->stand)
        return NULL;
    if (parameters->MtuSize < team->floor.general.MtuSize)
        return "its frames are smaller";
    if (team->floor.has_chimney && !parameters->TcpConnectionOffloadCapabilities)
        return "it cannot offload, the others can";
    return NULL;
}

static void
leave_team(struct team_member *member)
{
    struct team *team = member->team;

    list_del(&member->link);
    list_init(&member->link);
    if (team->stand == member)
        team->stand = NULL;
    if (team->active == member)
        team->active = NULL;
    if (team->offload == member)
        team->offload = NULL;
    team_fail_last(member);
    team_strand(member);
    team_update(team, "unbound");
}

/* NDIS_STATUS_PENDING: TeamCloseAdapterCompleteEx goes on. */
static NDIS_STATUS
close_member(struct team_member *member)
{
    NDIS_STATUS status;

    leave_team(member);
    status = NdisCloseAdapterEx(member->lower);
    if (status != NDIS_STATUS_PENDING)
        member_destroy(member);
    return status;
}

static NDIS_STATUS
announce(struct team_member *member)
{
    struct team *team = member->team;
    NDIS_STATUS status;

    team->floor.has_chimney = true;
    list_for_each(other, &team->members, struct team_member, link)
        team->floor.has_chimney &= other->has_chimney;
    team_capabilities(team, &team->floor.capabilities);
    status = floor_announce(&team->floor);
    if (status == NDIS_STATUS_SUCCESS)
        team->stand = member;
    return status;
}

/* The adapter below is open. On failure member is gone, unless the close is pending. */
static NDIS_STATUS
opened(struct team_member *member, NDIS_STATUS status)
{
    struct team *team = member->team;

    if (status != NDIS_STATUS_SUCCESS) {
        member_destroy(member);
        return status;
    }
    list_add_tail(&team->members, &member->link);
    team_update(team, "bound");
    if (team->stand) {
        log_info("team %s: %s joins", team->floor.name, member->name);
        return NDIS_STATUS_SUCCESS;
    }
    status = announce(member);
    if (status == NDIS_STATUS_SUCCESS)
        return status;
    return close_member(member) == NDIS_STATUS_PENDING ? NDIS_STATUS_PENDING : status;
}

static NDIS_STATUS
bind(struct team_member *member, NDIS_HANDLE context, PNDIS_BIND_PARAMETERS parameters)
{
    NDIS_MEDIUM medium = NdisMedium802_3;
    UINT selected = 0;
    NDIS_OPEN_PARAMETERS open = {
        .Header = {NDIS_OBJECT_TYPE_OPEN_PARAMETERS, NDIS_OPEN_PARAMETERS_REVISION_1, sizeof(open)},
        .AdapterName = parameters->AdapterName,
        .MediumArray = &medium,
        .MediumArraySize = 1,
        .SelectedMediumIndex = &selected,
    };
    NDIS_STATUS status;

    member->bind = context;
    status = NdisOpenAdapterEx(member->team->floor.driver->protocol, member, &open, context,
                               &member->lower);
    if (status == NDIS_STATUS_PENDING)
        return status;
    status = opened(member, status);
    if (status == NDIS_STATUS_SUCCESS)
        member->bind = NULL;
    return status;
}

NDIS_STATUS
TeamBindAdapterEx(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
                  PNDIS_BIND_PARAMETERS BindParameters)
{
    struct floor_driver *driver = ProtocolDriverContext;
    const NDIS_STRING *section = BindParameters->ProtocolSection;
    struct team *team = section ? team_find(driver, section) : NULL;
    struct team_member *member;
    const char *why;

    if (!team)
        team = team_create(driver, BindParameters);
    if (!team)
        return section ? NDIS_STATUS_RESOURCES : NDIS_STATUS_INVALID_PARAMETER;
    member = member_create(team, BindParameters);
    if (!member) {
        team->bindings++;
        team_put(team);
        return NDIS_STATUS_RESOURCES;
    }
    why = misfit(team, BindParameters);
    if (why) {
        log_warn("team %s: %s cannot join, %s", team->floor.name, member->name, why);
        member_destroy(member);
        return NDIS_STATUS_NOT_ACCEPTED;
    }
    return bind(member, BindContext, BindParameters);
}

VOID
TeamOpenAdapterCompleteEx(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
    struct team_member *member = ProtocolBindingContext;
    NDIS_HANDLE context = member->bind;
    NDIS_STATUS status = opened(member, Status);

    if (status == NDIS_STATUS_PENDING)
        return;
    if (status == NDIS_STATUS_SUCCESS)
        member->bind = NULL;
    NdisCompleteBindAdapterEx(context, status);
}

/* ---- unbind ---- */

VOID
TeamCloseAdapterCompleteEx(NDIS_HANDLE ProtocolBindingContext)
{
    struct team_member *member = ProtocolBindingContext;
    NDIS_HANDLE bind = member->bind, unbind = member->unbind;

    member_destroy(member);
    if (bind)
        NdisCompleteBindAdapterEx(bind, NDIS_STATUS_FAILURE);
    if (unbind)
        NdisCompleteUnbindAdapterEx(unbind);
}

NDIS_STATUS
TeamUnbindAdapterEx(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct team_member *member = ProtocolBindingContext;

    if (member->team->stand == member)
        floor_withdraw(&member->team->floor);
    member->unbind = UnbindContext;
    return close_member(member);
}

/* ---- events ---- */

static NDIS_STATUS
wait_for_quiet(struct team_member *member, PNET_PNP_EVENT_NOTIFICATION event)
{
    if (team_member_quiet(member))
        return NDIS_STATUS_SUCCESS;
    member->event = event;
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
pause(struct team_member *member, PNET_PNP_EVENT_NOTIFICATION event)
{
    member->running = false;
    team_update(member->team, "paused");
    return wait_for_quiet(member, event);
}

void
team_member_ready(struct team_member *member)
{
    member->running = true;
    team_update(member->team, "running");
}

/* Those above wait for power that whoever carries them now has: the one that came back, or another
 * that can be used again. */
bool
team_has_power_again(const struct team *team)
{
    return team->power_told && team->active && !team->active->asleep;
}

void
team_tell_power(struct team *team)
{
    NDIS_DEVICE_POWER_STATE state = NdisDeviceStateD0;
    NET_PNP_EVENT_NOTIFICATION event = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_PNP_EVENT_NOTIFICATION_REVISION_1, sizeof(event)},
        .NetPnPEvent = {.NetEvent = NetEventSetPower,
                        .Buffer = &state,
                        .BufferLength = sizeof(state)},
    };

    if (!team_has_power_again(team))
        return;
    team->power_told = false;
    FloorNetPnPEvent(&team->floor, &event);
}

static NDIS_STATUS
power(struct team_member *member, PNET_PNP_EVENT_NOTIFICATION event)
{
    const NDIS_DEVICE_POWER_STATE *state = event->NetPnPEvent.Buffer;
    struct team *team = member->team;
    NDIS_STATUS status;

    member->asleep = state && *state != NdisDeviceStateD0;
    team_update(team, member->asleep ? "no power" : "power");
    if (!member->asleep) {
        team_tell_power(team);
        return NDIS_STATUS_SUCCESS;
    }
    if (member != team->active)
        return wait_for_quiet(member, event);
    status = FloorNetPnPEvent(&team->floor, event);
    /* Only now: the loop has turned there, and nobody hears of two at once. */
    team->power_told = team->floor.upper != NULL;
    team_settle(&team->floor);
    return status;
}

NDIS_STATUS
TeamNetPnPEvent(NDIS_HANDLE ProtocolBindingContext,
                PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    struct team_member *member = ProtocolBindingContext;

    if (!member)
        return NDIS_STATUS_SUCCESS;
    switch (NetPnPEventNotification->NetPnPEvent.NetEvent) {
    case NetEventPause:
        return pause(member, NetPnPEventNotification);
    case NetEventRestart:
        team_catch_up(member);
        return NDIS_STATUS_SUCCESS;
    case NetEventSetPower:
        return power(member, NetPnPEventNotification);
    default:
        if (member != member->team->active)
            return NDIS_STATUS_SUCCESS;
        return FloorNetPnPEvent(&member->team->floor, NetPnPEventNotification);
    }
}
