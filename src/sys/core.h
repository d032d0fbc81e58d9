/*
 * What the real and the simulated loop have in common: tasks, timers and hooks. Private to src/sys.
 *
 * A loop is made of a core and a way to wait. Its turn calls, in this order, sys_core_run_timers,
 * its own descriptors, sys_core_run_tasks, sys_core_run_hooks. Each of them may be entered again
 * from a callback (a callback that turns the loop until somebody has answered): the inner turn then
 * also finishes what the outer one had begun.
 */
#ifndef SYS_CORE_H
#define SYS_CORE_H

#include "base/list.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYS_WHEEL_LEVELS 11 /* of six bits: all of a deadline */
#define SYS_WHEEL_SLOTS 64

struct sys_core {
    struct list tasks; /* deferred, in order; under the lock in core.c */
    struct list batch; /* tasks of the turn in progress; under the lock */
    struct list hooks,
        hooks_left; /* run, or not being run; and those the turn in progress has still to run */
    struct list slots[SYS_WHEEL_LEVELS][SYS_WHEEL_SLOTS]; /* timers by deadline (timers.c) */
    uint64_t occupied[SYS_WHEEL_LEVELS];                  /* slots that are not empty */
    uint64_t cursor_us; /* no timer lies before it; never ahead of the time of a turn */
    size_t timer_count; /* initialised */
    struct list due;    /* taken off the wheel by the turn in progress */
    bool stopping;
};

void sys_core_init(struct sys_core *core);
void sys_core_fini(struct sys_core *core);

void sys_core_init_timers(struct sys_core *core);
/*
 * Fires what was due at now_us. What a callback sets to a time already past waits for the next
 * turn.
 */
bool sys_core_run_timers(struct sys_core *core, uint64_t now_us);
bool sys_core_run_tasks(struct sys_core *core);
void sys_core_run_hooks(struct sys_core *core);
/* Something is to be done that needs no waiting. */
bool sys_core_ready(struct sys_core *core);
/* No timer is due before; perhaps none is due then. SYS_NEVER: no timer runs. */
uint64_t sys_core_deadline_us(const struct sys_core *core);
/* The first deadline. The time of the next turn must not be before it (nor before now). */
uint64_t sys_core_reach_us(struct sys_core *core);

/* Each loop provides these two. */
struct sys_core *sys_core_of(struct sys_loop *loop);
/* Ends the loop's sleep. Context: any thread. */
void sys_core_wake(struct sys_loop *loop);

#endif
