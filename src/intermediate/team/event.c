/*
 * Events of connections. A target tells nothing that could wait while an initiate is in progress
 * (V-137), but in mode hash it knows of its own only, and one that it has done may have a part at
 * another member still. So what can wait does, here, until nothing is on its way: the latest size
 * of the backlog and the latest optional reason, one of each per connection.
 */
#include "intermediate/team/team.h"

static bool
busy(const struct team *team)
{
    return team->initiates || team->floor.put_off;
}

static bool
can_wait(ULONG type, ULONG information)
{
    return type == TcpIndicateSendBacklogChange ||
           (type == TcpIndicateRetrieve && information > UploadRequested);
}

static void
hold(struct team *team, struct team_offload *entry, ULONG type, ULONG information)
{
    if (type == TcpIndicateRetrieve) {
        entry->held_reason = information;
    } else {
        entry->held_backlog = information;
        entry->backlog_held = true;
    }
    list_del(&entry->held);
    list_add_tail(&team->holding, &entry->held);
}

/* What is told now says more than what waits. */
static void
supersede(struct team_offload *entry, ULONG type)
{
    entry->held_reason = 0;
    if (type != TcpIndicateDisconnect)
        entry->backlog_held = false;
}

VOID
TeamTcpOffloadEvent(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct team_offload *entry = team_offload_of(floor_offload_of(OffloadContext));
    struct team *team = team_of(entry->floor.adapter);

    if (team->hash && busy(team) && can_wait(EventType, EventSpecificInformation)) {
        hold(team, entry, EventType, EventSpecificInformation);
        return;
    }
    if (!can_wait(EventType, EventSpecificInformation))
        supersede(entry, EventType);
    FloorTcpOffloadEvent(OffloadContext, EventType, EventSpecificInformation);
}

/* The driver above may start an initiate while it is told: the rest waits for that. */
void
team_release_events(struct team *team)
{
    while (!busy(team) && !list_empty(&team->holding)) {
        struct team_offload *entry = container_of(list_take_first(&team->holding),
                                                  struct team_offload, held);
        ULONG reason = entry->held_reason;

        if (entry->backlog_held && reason)
            list_add_head(&team->holding, &entry->held);
        if (entry->backlog_held) {
            entry->backlog_held = false;
            FloorTcpOffloadEvent(&entry->floor.lower, TcpIndicateSendBacklogChange,
                                 entry->held_backlog);
        } else if (reason) {
            entry->held_reason = 0;
            FloorTcpOffloadEvent(&entry->floor.lower, TcpIndicateRetrieve, reason);
        }
    }
}
