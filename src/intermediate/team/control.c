/*
 * What programs see of the teams of this process, and may ask of them (chimney/team.h). The list is
 * the one place where teams of all houses are together.
 */
#include "chimney/team.h"
#include "intermediate/team/team.h"

#include <errno.h>
#include <string.h>

struct list team_list = {&team_list, &team_list};

void
team_walk(void (*fn)(void *arg, const struct team_info *info), void *arg)
{
    list_for_each(team, &team_list, struct team, link) {
        list_for_each(member, &team->members, struct team_member, link) {
            struct team_info info = {
                .team = team->floor.name,
                .member = member->name,
                .mode = team->hash ? "hash" : "backup",
                .active = team_carries(member),
                .moving = team_carries(member) && team->draining,
                .link = member->link_state.MediaConnectState != MediaConnectStateDisconnected,
                .running = member->running && !member->asleep,
                .failed = member->failed,
                .switches = team->switches,
                .connections = member->connection_count,
            };

            fn(arg, &info);
        }
    }
}

static bool
is_called(const struct team_member *member, const char *name)
{
    const char *dot = strrchr(member->name, '.');

    return !strcmp(member->name, name) || (dot && !strcmp(dot + 1, name));
}

static int
find(const char *name, struct team_member **out)
{
    struct team_member *found = NULL;

    list_for_each(team, &team_list, struct team, link) {
        list_for_each(member, &team->members, struct team_member, link) {
            if (!is_called(member, name))
                continue;
            if (found)
                return -ENOTUNIQ;
            found = member;
        }
    }
    *out = found;
    return found ? 0 : -ENOENT;
}

static bool
another_usable(const struct team_member *member)
{
    list_for_each(other, &member->team->members, struct team_member, link)
        if (other != member && team_usable(other))
            return true;
    return false;
}

int
team_fail(const char *name)
{
    struct team_member *member;
    int error = find(name, &member);

    if (error)
        return error;
    if (member->failed)
        return -EALREADY;
    if (!another_usable(member))
        return -ENOLINK;
    member->failed = true;
    team_update(member->team, "failed by order");
    return 0;
}

int
team_restore(const char *name)
{
    struct team_member *member;
    int error = find(name, &member);

    if (error)
        return error;
    if (!member->failed)
        return -EALREADY;
    member->failed = false;
    team_update(member->team, "restored by order");
    return 0;
}
