/* The house of the scenario, its clock, and what went wrong in it (world.h). */
#include "world.h"

#include "base/log.h"

#include <stdio.h>

#define TURNS_MAX 20000 /* of one settling: a mutation may never come to rest */

static void
on_log(enum log_level level, const char *line, void *arg)
{
    struct world *world = arg;

    if (!world->complaints++)
        snprintf(world->complaint, sizeof(world->complaint), "%s: %s",
                 world->step ? world->step : "?", line);
}

void
world_open(struct world *world, unsigned floors, struct observer *observer)
{
    memset(world, 0, sizeof(*world));
    world->floors = floors;
    world->last_port = 100;
    bh_init(&world->host);
    log_set_sink(on_log, world);
    world->loop = sys_loop_create();
    house_create(world->loop, &world->house);
    if (observer)
        house_attach_observer(world->house, observer);
}

void
world_close(struct world *world)
{
    world_alarm_end(world);
    house_destroy(world->house);
    sys_loop_destroy(world->loop);
    world->house = NULL;
    log_set_sink(NULL, NULL);
}

/* ---- time ---- */

void
world_settle(struct world *world)
{
    for (unsigned i = 0; i < TURNS_MAX && sys_loop_turn(world->loop, false); i++)
        continue;
}

static void
time_is_over(void *arg)
{
    *(bool *)arg = true;
}

void
world_pass(struct world *world, unsigned ms)
{
    struct sys_timer timer;
    bool over = false;

    world_settle(world);
    if (sys_timer_init(&timer, world->loop, time_is_over, &over))
        return;
    sys_timer_set(&timer, sys_loop_now_us(world->loop) + ms * 1000ull);
    for (unsigned i = 0; i < TURNS_MAX && !over; i++)
        sys_loop_turn(world->loop, true);
    sys_timer_fini(&timer);
    world_settle(world);
}

void
world_alarm(struct world *world, unsigned ms, void (*fn)(void *world))
{
    if (world->alarmed || sys_timer_init(&world->alarm, world->loop, fn, world))
        return;
    world->alarmed = true;
    sys_timer_set(&world->alarm, sys_loop_now_us(world->loop) + ms * 1000ull);
}

void
world_alarm_end(struct world *world)
{
    if (world->alarmed)
        sys_timer_fini(&world->alarm);
    world->alarmed = false;
}

/* ---- checks ---- */

void
world_expect(struct world *world, bool ok, const char *what, const char *file, int line)
{
    const char *name = strrchr(file, '/');

    if (ok)
        return;
    if (!world->failures++)
        snprintf(world->first, sizeof(world->first), "%s (%s:%d): %s",
                 world->step ? world->step : "?", name ? name + 1 : file, line, what);
    if (world->stepping)
        longjmp(world->out, 1);
}
