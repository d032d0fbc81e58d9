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

struct timer_node;

struct sys_core {
    struct list tasks; /* deferred, in order; under the lock in core.c */
    struct list batch; /* tasks of the turn in progress; under the lock */
    struct list hooks,
        hooks_left; /* run, or not being run; and those the turn in progress has still to run */
    struct timer_node **heap; /* [0]: the earliest deadline */
    size_t heap_count, heap_room;
    size_t timer_count;  /* initialised; the heap has room for all of them */
    uint64_t next_order; /* equal deadlines fire in the order in which they were set */
    struct list due;     /* taken off the heap by the turn in progress */
    bool stopping;
};

void sys_core_init(struct sys_core *core);
void sys_core_fini(struct sys_core *core);

/*
 * Fires what was due at now_us. What a callback sets to a time already past waits for the next
 * turn.
 */
bool sys_core_run_timers(struct sys_core *core, uint64_t now_us);
bool sys_core_run_tasks(struct sys_core *core);
void sys_core_run_hooks(struct sys_core *core);
/* Something is to be done that needs no waiting. */
bool sys_core_ready(struct sys_core *core);
/* SYS_NEVER: no timer runs. */
uint64_t sys_core_deadline_us(const struct sys_core *core);

/* Each loop provides these two. */
struct sys_core *sys_core_of(struct sys_loop *loop);
/* Ends the loop's sleep. Context: any thread. */
void sys_core_wake(struct sys_loop *loop);

#endif
