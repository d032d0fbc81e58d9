/*
 * What is offloaded where. A connection is at one member, and its handle there is the floor's own,
 * so that its data takes the floor's way. A neighbor or path may be at several in mode hash: it has
 * a place, with a handle, for each. Places keep their memory as long as the entry: NDIS knows the
 * handles.
 */
#include "base/log.h"
#include "intermediate/team/team.h"

void
team_offload_made(struct floor_offload *floor)
{
    struct team_offload *entry = team_offload_of(floor);

    list_init(&entry->at);
    list_init(&entry->places);
    list_init(&entry->held);
}

static void
place_free(struct team_place *place)
{
    list_del(&place->link);
    list_del(&place->at);
    NdisFreeMemory(place, sizeof(*place), 0);
}

void
team_offload_gone(struct floor_offload *floor)
{
    struct team_offload *entry = team_offload_of(floor);

    team_locate(entry, NULL);
    list_del(&entry->held);
    list_for_each_safe(place, &entry->places, struct team_place, link)
        place_free(place);
}

void
team_locate(struct team_offload *entry, struct team_member *member)
{
    if (entry->member)
        entry->member->connection_count--;
    list_del(&entry->at);
    list_init(&entry->at);
    entry->member = member;
    if (!member)
        return;
    member->connection_count++;
    list_add_tail(&member->connections, &entry->at);
}

bool
team_place_add(struct team_offload *entry, struct team_member *member)
{
    struct team_place *place;

    place = NdisAllocateMemoryWithTagPriority(member->lower, sizeof(*place), FLOOR_TAG,
                                              NormalPoolPriority);
    if (!place)
        return false;
    NdisZeroMemory(place, sizeof(*place));
    place->entry = entry;
    place->member = member;
    list_add_tail(&entry->places, &place->link);
    list_add_tail(&member->places, &place->at);
    return true;
}

static struct team_place *
place_at(struct team_offload *entry, const struct team_member *member)
{
    list_for_each(place, &entry->places, struct team_place, link)
        if (place->member == member)
            return place;
    return NULL;
}

void
team_place_drop(struct team_offload *entry, const struct team_member *member)
{
    struct team_place *place = place_at(entry, member);

    if (entry->member == member)
        team_locate(entry, NULL);
    else if (place)
        place_free(place);
}

PNDIS_OFFLOAD_HANDLE
team_handle_at(struct team_offload *entry, const struct team_member *member)
{
    struct team_place *place;

    if (entry->member == member)
        return &entry->floor.lower;
    place = place_at(entry, member);
    return place ? &place->lower : NULL;
}

ULONG
team_place_count(const struct team_offload *entry)
{
    ULONG count = list_empty(&entry->places);

    list_for_each(place, &entry->places, struct team_place, link)
        count++;
    return count;
}

void
team_strand(struct team_member *member)
{
    if (!list_empty(&member->connections) || !list_empty(&member->places))
        log_error("team %s: %s is gone with %u connections", member->team->floor.name, member->name,
                  member->connection_count);
    list_for_each_safe(entry, &member->connections, struct team_offload, at)
        team_locate(entry, NULL);
    list_for_each_safe(place, &member->places, struct team_place, at) {
        list_del(&place->at);
        list_init(&place->at);
        place->member = NULL;
    }
}

VOID
TeamIndicateOffloadEvent(NDIS_HANDLE ProtocolBindingContext,
                         PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    struct team *team = ((struct team_member *)ProtocolBindingContext)->team;
    struct team_place *place;

    if (!team->hash) {
        FloorIndicateOffloadEvent(&team->floor, OffloadBlockList, IndicationCode);
        return;
    }
    if (!OffloadBlockList->OffloadHandle)
        return;
    place = container_of(OffloadBlockList->OffloadHandle, struct team_place, lower);
    floor_neighbor_event(&team->floor, OffloadBlockList, IndicationCode, place->entry->floor.upper);
}
