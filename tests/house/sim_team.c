/*
 * A team below the floors: two soft targets, a0 and a1, each on a wire of its own, and the same
 * peers behind a small bridge at the far end of both.
 *
 *   … ── team p1 ─┬─ soft a0 ── cable 0 ─┬─ bridge ── peers
 *                 └─ soft a1 ── cable 1 ─┘
 *
 * Cables come and go by the plan. In mode backup the bridge answers through the active member's
 * cable: what a host stack says to bridges after a fail-over the script does not, so this one asks.
 * It does when it hears a frame, too, which may be one of before that was long on its way. In mode
 * hash it answers each connection through the cable that it has heard that one from last, or
 * through the other one, as a switch with another hash would. A cable that is out loses what comes
 * out of it towards the peers, and takes nothing from them.
 */
#include "sim.h"

#include "chimney/team.h"
#include "wire/wire.h"

#include <stdio.h>
#include <string.h>

struct question {
    const char *member;
    bool active;
};

static void
on_member(void *arg, const struct team_info *info)
{
    struct question *question = arg;

    if (!strcmp(info->member, question->member))
        question->active = info->active;
}

static void
learn(struct sim *sim)
{
    struct question question = {.member = "a0"};

    team_walk(on_member, &question);
    sim->team.port = !question.active;
}

void
sim_team_look(struct sim *sim, const struct crossing *crossing)
{
    if (!sim->plan.team || crossing->op != CROSSING_STATUS || !crossing->after ||
        strcmp(crossing->to, "left") != 0 ||
        (crossing->code != (ULONG)NDIS_STATUS_OFFLOAD_RESUME &&
         crossing->code != (ULONG)NDIS_STATUS_LINK_STATE))
        return;
    learn(sim);
}

/* ---- the bridge ---- */

bool
sim_team_hears(struct sim *sim, unsigned cable)
{
    struct sim_team *team = &sim->team;

    if (!sim->plan.team)
        return true;
    if (!team->up[cable])
        return false;
    learn(sim);
    return true;
}

void
sim_team_heard(struct sim_conn *conn, unsigned cable)
{
    conn->heard = cable;
}

static bool
cable_to(const struct sim_conn *conn, unsigned *cable)
{
    const struct sim *sim = conn->sim;

    *cable = sim->team.port;
    if (sim->plan.team == SIM_TEAM_HASH) {
        *cable = conn->heard ^ sim->plan.crossed;
        if (!sim->team.up[*cable])
            *cable ^= 1;
    }
    return sim->team.up[*cable];
}

struct wire *
sim_team_far(const struct sim_conn *conn)
{
    const struct sim *sim = conn->sim;
    unsigned cable;

    if (!sim->plan.team)
        return sim->stage.ends[RIGHT];
    if (!cable_to(conn, &cable))
        return NULL;
    return cable ? sim->team.cable[RIGHT] : sim->stage.ends[RIGHT];
}

struct wire *
sim_team_near(const struct sim_conn *conn)
{
    const struct sim *sim = conn->sim;
    unsigned cable;

    if (!sim->plan.team)
        return sim->stage.ends[LEFT];
    if (!cable_to(conn, &cable))
        return NULL;
    return cable ? sim->team.cable[LEFT] : sim->stage.ends[LEFT];
}

/* ---- cables ---- */

static void
set_cable(struct sim *sim, unsigned cable, bool up)
{
    struct sim_team *team = &sim->team;

    if (team->up[cable] == up)
        return;
    if (sim->verbose)
        printf("%10llu   cable %u %s\n", (unsigned long long)sys_loop_now_us(sim->stage.loop),
               cable, up ? "in" : "out");
    team->up[cable] = up;
    team->changes++;
    if (!up && team->port == cable)
        team->port = !cable;
    wire_set_link(cable ? team->cable[LEFT] : sim->stage.ends[LEFT], up);
}

static void
pull(void *arg)
{
    struct sim *sim = arg;
    struct sim_team *team = &sim->team;
    unsigned cable = random_below(&team->random, 2);

    if (!team->pulls) {
        sim_team_rest(sim);
        return;
    }
    team->pulls--;
    set_cable(sim, cable, !team->up[cable]);
    sys_timer_set(&team->puller, sys_loop_now_us(sim->stage.loop) + 1 +
                                     random_below(&team->random, sim->plan.pull_max_us));
}

void
sim_team_rest(struct sim *sim)
{
    if (!sim->plan.team)
        return;
    sim->team.pulls = 0;
    sys_timer_set(&sim->team.puller, SYS_NEVER);
    set_cable(sim, 0, true);
    set_cable(sim, 1, true);
}

/* ---- life ---- */

static void
from_first(void *arg, struct wire_buf *buf)
{
    sim_wire_arrived(arg, buf, 0);
}

static void
from_second(void *arg, struct wire_buf *buf)
{
    sim_wire_arrived(arg, buf, 1);
}

static const struct wire_receiver first = {.on_frame = from_first},
                                  second = {.on_frame = from_second};

void
sim_team_open(struct sim *sim)
{
    struct sim_team *team = &sim->team;
    struct stage *stage = &sim->stage;

    wire_set_receiver(stage->ends[RIGHT], &first, sim);
    if (!sim->plan.team)
        return;
    if (wire_mem_create(stage->loop, 1500, sim->plan.impair, team->cable) ||
        sys_timer_init(&team->puller, stage->loop, pull, sim))
        sim_fail(sim, "no memory");
    team->watch = (struct stage_watch){stage, team->cable[LEFT], "a1"};
    stage_watch_wire(&team->watch);
    wire_set_receiver(team->cable[RIGHT], &second, sim);
    team->up[0] = team->up[1] = true;
    if (house_add_adapter(stage->house, "soft", "a1", team->cable[LEFT], NULL) ||
        house_bind(stage->house, "team", "a1", "p1"))
        sim_fail(sim, "the second member does not join");
    random_init(&team->random, sim->plan.seed ^ 0x7465616d);
    team->pulls = sim->plan.pulls;
    sys_timer_set(&team->puller, sys_loop_now_us(stage->loop) + 1 +
                                     random_below(&team->random, sim->plan.pull_max_us));
}

void
sim_team_close(struct sim *sim, struct sim_figures *figures)
{
    struct sim_team *team = &sim->team;

    if (!sim->plan.team)
        return;
    figures->cables += team->changes;
    sys_timer_fini(&team->puller);
    house_remove_adapter(sim->stage.house, "a1");
    for (unsigned i = 0; i < 2; i++) {
        wire_set_watcher(team->cable[i], NULL, NULL);
        wire_close(team->cable[i]);
    }
}
