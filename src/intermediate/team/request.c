/*
 * OID requests. A query goes to the active member, one for statistics in mode hash to all
 * (stats.c). A set goes to every member, in a copy for each, and fails when one of them refuses it;
 * the original is answered when all have answered. What a member must know before it is used, and
 * could not hear because it was not there, it is told when it starts: a few OIDs are kept for that.
 */
#include "base/log.h"
#include "intermediate/team/team.h"

/* ---- what is kept ---- */

static bool
is_kept(NDIS_OID oid)
{
    switch (oid) {
    case OID_GEN_CURRENT_PACKET_FILTER:
    case OID_TCP_CONNECTION_OFFLOAD_PARAMETERS:
        return true;
    default:
        return false;
    }
}

static void
set_free(struct team_set *set)
{
    if (set->bytes)
        NdisFreeMemory(set->bytes, set->length, 0);
    set->bytes = NULL;
}

void
team_forget_sets(struct team *team)
{
    for (unsigned i = 0; i < TEAM_SETS; i++)
        set_free(&team->sets[i]);
}

static struct team_set *
set_for(struct team *team, NDIS_OID oid)
{
    struct team_set *room = NULL;

    for (unsigned i = TEAM_SETS; i-- > 0;) {
        struct team_set *set = &team->sets[i];

        if (set->bytes && set->oid == oid)
            return set;
        if (!set->bytes)
            room = set;
    }
    return room;
}

static void
keep(struct team *team, const NDIS_OID_REQUEST *request)
{
    const struct _SET *set = &request->DATA.SET_INFORMATION;
    struct team_set *place = set_for(team, set->Oid);
    UCHAR *bytes;

    if (!place || !set->InformationBufferLength)
        return;
    bytes = NdisAllocateMemoryWithTagPriority(
        team->floor.driver->protocol, set->InformationBufferLength, FLOOR_TAG, NormalPoolPriority);
    if (!bytes) {
        log_warn("team %s: out of memory, a member that joins later will not know OID %08x",
                 team->floor.name, (unsigned)set->Oid);
        return;
    }
    NdisMoveMemory(bytes, set->InformationBuffer, set->InformationBufferLength);
    set_free(place);
    *place = (struct team_set){set->Oid, set->InformationBufferLength, bytes};
    team->sets_number++;
}

/* ---- for one that was not there ---- */

/* Asks for one after the other, as long as they are answered at once. */
static void
go_on(struct team_member *member)
{
    struct team *team = member->team;

    member->catching_up = true;
    while (member->caught_up < TEAM_SETS) {
        struct team_set *set = &team->sets[member->caught_up++];

        if (!set->bytes)
            continue;
        member->request = (NDIS_OID_REQUEST){
            .Header = {NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1,
                       sizeof(member->request)},
            .RequestType = NdisRequestSetInformation,
            .DATA.SET_INFORMATION = {set->oid, set->bytes, set->length, 0, 0},
        };
        if (NdisOidRequest(member->lower, &member->request) == NDIS_STATUS_PENDING)
            return;
    }
    member->catching_up = false;
    member->heard = team->sets_number;
    team_member_ready(member);
}

void
team_catch_up(struct team_member *member)
{
    member->caught_up = member->heard == member->team->sets_number ? TEAM_SETS : 0;
    go_on(member);
}

/* ---- down ---- */

/* An answer, of a member or of the call itself; true: it was the last. */
static bool
answered(struct team *team)
{
    PNDIS_OID_REQUEST original = team->floor.original;

    if (--team->asked)
        return false;
    if (team->summing && team->answer == NDIS_STATUS_SUCCESS)
        team_sum_end(team);
    if (team->answer == NDIS_STATUS_SUCCESS && original->RequestType == NdisRequestSetInformation &&
        is_kept(original->DATA.SET_INFORMATION.Oid)) {
        keep(team, original);
        list_for_each(member, &team->members, struct team_member, link)
            if (member->running)
                member->heard = team->sets_number;
    }
    team->floor.original = NULL;
    return true;
}

static void
take(struct team_member *member, NDIS_STATUS status)
{
    struct team *team = member->team;

    member->asked = false;
    if (team->summing)
        team_sum_add(member);
    else if (member == team->active)
        team->floor.original->DATA = member->request.DATA;
    if (status != NDIS_STATUS_SUCCESS)
        team->answer = status;
}

static void
ask(struct team_member *member)
{
    struct team *team = member->team;
    PNDIS_OID_REQUEST request = &member->request, original = team->floor.original;
    NDIS_STATUS status;

    NdisZeroMemory(request, sizeof(*request));
    request->Header = original->Header;
    request->Header.Size = sizeof(*request);
    request->RequestType = original->RequestType;
    request->PortNumber = original->PortNumber;
    request->Timeout = original->Timeout;
    request->RequestId = original->RequestId;
    request->DATA = original->DATA;
    if (team->summing)
        team_sum_ask(member);
    member->asked = true;
    team->asked++;
    status = NdisOidRequest(member->lower, request);
    if (status == NDIS_STATUS_PENDING)
        return;
    take(member, status);
    team->asked--;
}

NDIS_STATUS
TeamOidRequest(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    struct team *team = MiniportAdapterContext;
    bool set = OidRequest->RequestType == NdisRequestSetInformation;
    bool all = team_sum_begin(team, OidRequest) || set;

    team->floor.original = OidRequest;
    team->answer = team->active ? NDIS_STATUS_SUCCESS : NDIS_STATUS_FAILURE;
    team->asked = 1;
    list_for_each(member, &team->members, struct team_member, link) {
        if (!member->catching_up && (member == team->active || (all && member->running)))
            ask(member);
    }
    return answered(team) ? team->answer : NDIS_STATUS_PENDING;
}

VOID
TeamOidRequestComplete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                       NDIS_STATUS Status)
{
    struct team_member *member = ProtocolBindingContext;
    struct team *team = member->team;
    PNDIS_OID_REQUEST original = team->floor.original;

    if (member->catching_up) {
        go_on(member);
        return;
    }
    take(member, Status);
    if (answered(team))
        NdisMOidRequestComplete(team->floor.upper, original, team->answer);
}

VOID
TeamCancelOidRequest(NDIS_HANDLE MiniportAdapterContext, PVOID RequestId)
{
    struct team *team = MiniportAdapterContext;

    if (!team->floor.original || team->floor.original->RequestId != RequestId)
        return;
    list_for_each(member, &team->members, struct team_member, link)
        if (member->asked)
            NdisCancelOidRequest(member->lower, RequestId);
}
