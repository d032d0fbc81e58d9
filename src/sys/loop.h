/*
 * The event loop: time, timers, file descriptors and work for the next turn. sys/linux runs it on
 * libuv in real time; sys/sim runs the same interface in virtual time, in one thread, without file
 * descriptors. A program links one of the two.
 *
 * One turn: due timers, ready descriptors, then the tasks deferred so far (a task deferred by a
 * task runs in the next turn), then the flush hooks, then sleep.
 *
 * Threads: everything belongs to the thread that runs the loop, except the fn of a sys_work and
 * sys_loop_post, sys_task_cancel, sys_task_pending and sys_loop_now_us, which any thread may call.
 * In virtual time there are no other threads: it would jump ahead while they work.
 */
#ifndef SYS_LOOP_H
#define SYS_LOOP_H

#include "base/list.h"

#include <stdbool.h>
#include <stdint.h>

#define SYS_NEVER UINT64_MAX

struct sys_loop;

struct sys_loop *sys_loop_create(void);
/* Every timer, watch, task and hook must be gone. */
void sys_loop_destroy(struct sys_loop *loop);
/*
 * Turns until sys_loop_stop; in the simulation also ends when nothing is left to happen. 0 or a
 * negative errno.
 */
int sys_loop_run(struct sys_loop *loop);
/*
 * One turn. wait: sleep until something happens; otherwise only what is due. True if anything was
 * done.
 */
bool sys_loop_turn(struct sys_loop *loop, bool wait);
void sys_loop_stop(struct sys_loop *loop);
/* Monotonic microseconds; reads the clock (real) or the virtual time (simulation). */
uint64_t sys_loop_now_us(struct sys_loop *loop);
/* Microseconds since 1970; in the simulation its time began with the year 2000. */
uint64_t sys_loop_wall_us(struct sys_loop *loop);

/* ---- work for the next turn ---- */
struct sys_task {
    struct list link; /* on the loop's queue while pending; the loop's */
    void (*fn)(void *arg);
    void *arg;
};

void sys_task_init(struct sys_task *task, void (*fn)(void *arg), void *arg);
/* Runs once at the next turn, in the order deferred; no effect if already pending. */
void sys_loop_defer(struct sys_loop *loop, struct sys_task *task);
/* From another thread: it may be running when this returns. */
void sys_task_cancel(struct sys_task *task);
bool sys_task_pending(const struct sys_task *task);
/* As defer, from any thread; wakes the loop. */
void sys_loop_post(struct sys_loop *loop, struct sys_task *task);

/* ---- work that may take long, beside the loop ---- */
struct sys_work {
    struct sys_loop *loop;
    void (*fn)(void *arg);
    void (*done)(void *arg);
    void *arg;
    struct sys_task task; /* the way back to the loop */
    void *impl;           /* owned by the loop */
};

/*
 * Runs fn on a thread of its own (in the simulation: at the next turn), then done at a turn of the
 * loop's. Owner: the work, and all that fn touches, is the thread's until done is called, and
 * nothing stops it before that. 0 or a negative errno.
 */
int sys_work_start(struct sys_work *work, struct sys_loop *loop, void (*fn)(void *arg),
                   void (*done)(void *arg), void *arg);

/* ---- timers: one shot, absolute, microseconds; may fire late, never early ---- */
struct sys_timer {
    struct sys_loop *loop;
    void (*fn)(void *arg);
    void *arg;
    uint64_t deadline_us; /* SYS_NEVER: not running */
    void *impl;           /* owned by the loop */
};

int sys_timer_init(struct sys_timer *timer, struct sys_loop *loop, void (*fn)(void *arg),
                   void *arg);
/* Sets or moves the deadline; SYS_NEVER stops. A deadline that did not change costs nothing. */
void sys_timer_set(struct sys_timer *timer, uint64_t deadline_us);
void sys_timer_fini(struct sys_timer *timer);

/* ---- file descriptors (real loop only; -ENOSYS in the simulation) ---- */
#define SYS_READABLE 1
#define SYS_WRITABLE 2

struct sys_watch {
    struct sys_loop *loop;
    int fd;
    void (*fn)(void *arg, int events);
    void *arg;
    void *impl;
};

/* Owner: the descriptor stays the caller's and must outlive the watch. 0 or a negative errno. */
int sys_watch_start(struct sys_watch *watch, struct sys_loop *loop, int fd, int events,
                    void (*fn)(void *arg, int events), void *arg);
int sys_watch_events(struct sys_watch *watch, int events);
void sys_watch_stop(struct sys_watch *watch);

/* ---- hooks run at the end of every turn, in the order added: send what the turn collected ---- */
struct sys_hook {
    struct list link;
    void (*fn)(void *arg);
    void *arg;
};

void sys_loop_on_flush(struct sys_loop *loop, struct sys_hook *hook, void (*fn)(void *arg),
                       void *arg);
void sys_hook_remove(struct sys_hook *hook);

#endif
