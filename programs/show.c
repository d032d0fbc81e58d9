/* See show.h. */
#include "show.h"

#include "chimney/house.h"
#include "chimney/team.h"
#include "chimney/wire.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

struct show {
    struct house *house;
    show_fn fn;
    void *arg;
};

/* Of what the floor stands on, if that is a wire. */
static const char *
link_of(const struct house_floor *floor)
{
    char name[IF_NAMESIZE];

    if (floor->device == NULL)
        return NULL;
    if (if_indextoname((unsigned)wire_ifindex(floor->device), name) == NULL)
        return "gone";
    return wire_link_up(floor->device) ? "up" : "down";
}

static void
on_floor(void *arg, const struct house_floor *floor)
{
    const struct show *show = arg;

    show->fn(show->arg, "floor", message_floor(floor, link_of(floor)));
}

void
show_floors(struct house *house, show_fn fn, void *arg)
{
    struct show show = {house, fn, arg};

    house_walk(house, on_floor, &show);
}

/* ---- teams ---- */

/* Down from an adapter to its wire. */
struct descent {
    const char *adapter; /* NULL: there is nothing below */
    const char *link;    /* NULL: not there yet */
};

static void
descend(void *arg, const struct house_floor *floor)
{
    struct descent *descent = arg;

    if (descent->adapter == NULL || strcmp(floor->adapter, descent->adapter) != 0)
        return;
    descent->link = link_of(floor);
    descent->adapter = floor->below;
}

/* The house is walked from the top of a stack to its bottom. */
static bool
is_gone(struct house *house, const char *adapter)
{
    struct descent descent = {.adapter = adapter};

    house_walk(house, descend, &descent);
    return descent.link != NULL && strcmp(descent.link, "gone") == 0;
}

static void
on_member(void *arg, const struct team_info *info)
{
    const struct show *show = arg;

    show->fn(show->arg, "member", message_member(info, is_gone(show->house, info->member)));
}

static const char *
words_of(int error, bool fail)
{
    switch (error) {
    case -ENOENT:
        return "no member is called so: chimneyctl team show";
    case -ENOTUNIQ:
        return "members of several teams are called so: say the whole name of the adapter";
    case -EALREADY:
        return fail ? "it is failed already" : "it is not failed";
    case -ENOLINK:
        return "no other member could take over";
    default:
        return strerror(-error);
    }
}

enum message_code
show_team(struct house *house, const struct message_request *request, show_fn fn, void *arg,
          char *words, size_t size)
{
    bool fail = request->op == MESSAGE_FAIL;
    struct show show = {house, fn, arg};
    int error;

    if (request->op == MESSAGE_TEAM) {
        team_walk(on_member, &show);
        return MESSAGE_DONE;
    }
    error = fail ? team_fail(request->member) : team_restore(request->member);
    if (error == 0)
        return MESSAGE_DONE;
    snprintf(words, size, "%s: %s", request->member, words_of(error, fail));
    return MESSAGE_REFUSED;
}
