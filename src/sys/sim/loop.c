/*
 * The simulated loop: the same turns in virtual time. Time stands still within a turn and jumps to
 * the next deadline when there is nothing else to do; so a minute of retransmissions takes
 * microseconds and every run is the same run. Only a test that plays a stopped process moves it in
 * between.
 *
 * There are no descriptors: whatever needs one says -ENOSYS. Time starts at one second: zero would
 * look unset.
 */
#include "sys/core.h"
#include "sys/sim/sim.h"

#include <errno.h>
#include <stdlib.h>

#define START_US 1000000
#define YEAR_2000_US 946684800000000ull /* after 1970 */

struct sys_loop {
    struct sys_core core;
    uint64_t now_us;
};

struct sys_loop *
sys_loop_create(void)
{
    struct sys_loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL)
        return NULL;
    sys_core_init(&loop->core);
    loop->now_us = START_US;
    return loop;
}

void
sys_loop_destroy(struct sys_loop *loop)
{
    if (loop == NULL)
        return;
    sys_core_fini(&loop->core);
    free(loop);
}

struct sys_core *
sys_core_of(struct sys_loop *loop)
{
    return &loop->core;
}

void
sys_core_wake(struct sys_loop *loop)
{
}

uint64_t
sys_loop_now_us(struct sys_loop *loop)
{
    return loop->now_us;
}

uint64_t
sys_loop_wall_us(struct sys_loop *loop)
{
    return YEAR_2000_US + loop->now_us;
}

void
sys_sim_stand_still(struct sys_loop *loop, uint64_t us)
{
    loop->now_us += us;
}

static bool
loop_turn(struct sys_loop *loop, bool wait)
{
    bool any;

    if (wait && !sys_core_ready(&loop->core)) {
        uint64_t deadline_us = sys_core_reach_us(&loop->core);
        if (deadline_us != SYS_NEVER && deadline_us > loop->now_us)
            loop->now_us = deadline_us;
    }
    any = sys_core_run_timers(&loop->core, loop->now_us);
    any |= sys_core_run_tasks(&loop->core);
    sys_core_run_hooks(&loop->core);
    return any;
}

bool
sys_loop_turn(struct sys_loop *loop, bool wait)
{
    if (wait)
        sys_core_run_hooks(&loop->core);
    return loop_turn(loop, wait);
}

int
sys_loop_run(struct sys_loop *loop)
{
    sys_core_run_hooks(&loop->core);
    /* The last turn's hooks may have left something to do. */
    while (!loop->core.stopping &&
           (sys_core_ready(&loop->core) || sys_core_deadline_us(&loop->core) != SYS_NEVER))
        loop_turn(loop, true);
    loop->core.stopping = false;
    return 0;
}

int
sys_watch_start(struct sys_watch *watch, struct sys_loop *loop, int fd, int events,
                void (*fn)(void *arg, int events), void *arg)
{
    *watch = (struct sys_watch){.fd = -1};
    return -ENOSYS;
}

int
sys_watch_events(struct sys_watch *watch, int events)
{
    return -ENOSYS;
}

void
sys_watch_stop(struct sys_watch *watch)
{
}

static void
on_work(void *arg)
{
    struct sys_work *work = arg;

    work->fn(work->arg);
    work->done(work->arg);
}

int
sys_work_start(struct sys_work *work, struct sys_loop *loop, void (*fn)(void *arg),
               void (*done)(void *arg), void *arg)
{
    *work = (struct sys_work){.loop = loop, .fn = fn, .done = done, .arg = arg};
    sys_task_init(&work->task, on_work, work);
    sys_loop_defer(loop, &work->task);
    return 0;
}
