/*
 * The real loop: libuv waits, everything else is the core's.
 *
 * libuv's callbacks only note what is ready; the work is done after uv_run has returned. That gives
 * the documented order (timers, descriptors, tasks, hooks) and makes it safe to turn the loop
 * inside a callback, which uv_run alone does not allow.
 *
 * Timers: libuv counts milliseconds, a TCP does not. One timerfd carries the earliest deadline. It
 * is set only before sleeping and only to move it forward; a deadline that moved back costs one
 * wake-up too many, once, instead of a system call per move (retransmission timers move back with
 * every acknowledgement).
 */
#include "base/log.h"
#include "sys/clock.h"
#include "sys/core.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

struct sys_loop {
    struct sys_core core;
    uv_loop_t uv;
    uv_async_t wake;
    uv_poll_t timer_poll;
    int timer_fd;
    uint64_t armed_us; /* what timer_fd is set to */
    struct list ready; /* watches with something to report */
};

struct watch_impl {
    uv_poll_t poll;
    struct sys_watch *watch; /* NULL: stopped, about to be freed */
    struct list ready;
    int wanted, found;
};

static void
on_wake(uv_async_t *async)
{
}

static void
on_timer_fd(uv_poll_t *poll, int status, int events)
{
    struct sys_loop *loop = poll->data;
    uint64_t expirations;

    if (read(loop->timer_fd, &expirations, sizeof(expirations)) < 0 && errno != EAGAIN)
        log_error("timerfd: read failed, errno %d", errno);
    loop->armed_us = SYS_NEVER;
}

/* uv: initialised. Closes what was opened when it fails. */
static int
loop_open_handles(struct sys_loop *loop)
{
    int error = uv_async_init(&loop->uv, &loop->wake, on_wake);

    if (error != 0)
        return error;
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    error = loop->timer_fd < 0 ? -errno
                               : uv_poll_init(&loop->uv, &loop->timer_poll, loop->timer_fd);
    if (error == 0) {
        loop->timer_poll.data = loop;
        return uv_poll_start(&loop->timer_poll, UV_READABLE, on_timer_fd);
    }
    if (loop->timer_fd >= 0)
        close(loop->timer_fd);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    return error;
}

struct sys_loop *
sys_loop_create(void)
{
    struct sys_loop *loop = calloc(1, sizeof(*loop));

    if (loop == NULL)
        return NULL;
    if (uv_loop_init(&loop->uv) != 0)
        goto free_loop;
    if (loop_open_handles(loop) != 0)
        goto close_uv;
    sys_core_init(&loop->core);
    list_init(&loop->ready);
    loop->armed_us = SYS_NEVER;
    return loop;

close_uv:
    uv_loop_close(&loop->uv);
free_loop:
    free(loop);
    return NULL;
}

void
sys_loop_destroy(struct sys_loop *loop)
{
    if (loop == NULL)
        return;
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->timer_poll, NULL);
    /* Watches left behind would keep uv_run from ending. */
    while (uv_run(&loop->uv, UV_RUN_NOWAIT) != 0 && uv_backend_timeout(&loop->uv) == 0)
        continue;
    if (uv_loop_close(&loop->uv) != 0)
        log_error("loop destroyed with watches");
    close(loop->timer_fd);
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
    uv_async_send(&loop->wake);
}

uint64_t
sys_loop_now_us(struct sys_loop *loop)
{
    return sys_clock_us();
}

uint64_t
sys_loop_wall_us(struct sys_loop *loop)
{
    return sys_clock_wall_us();
}

/* ---- turning ---- */

static void
loop_arm(struct sys_loop *loop, uint64_t deadline_us)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(deadline_us / 1000000),
                     .tv_nsec = (long)(deadline_us % 1000000) * 1000},
    };

    if (deadline_us >= loop->armed_us)
        return;
    if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0)
        loop->armed_us = deadline_us;
    else
        log_error("timerfd: cannot be set, errno %d", errno);
}

static void
loop_wait(struct sys_loop *loop, bool may_sleep)
{
    uint64_t deadline_us = sys_core_deadline_us(&loop->core);

    if (may_sleep && (sys_core_ready(&loop->core) || !list_empty(&loop->ready)))
        may_sleep = false;
    if (may_sleep && deadline_us != SYS_NEVER) {
        if (deadline_us <= sys_clock_us())
            may_sleep = false;
        else
            loop_arm(loop, deadline_us);
    }
    uv_run(&loop->uv, may_sleep ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

static bool
loop_run_watches(struct sys_loop *loop)
{
    bool any = false;

    while (!list_empty(&loop->ready)) {
        struct watch_impl *impl = list_first(&loop->ready, struct watch_impl, ready);
        int events = impl->found & impl->wanted;

        list_del(&impl->ready);
        impl->found = 0;
        if (events == 0)
            continue;
        any = true;
        /* impl may be gone afterwards. */
        impl->watch->fn(impl->watch->arg, events);
    }
    return any;
}

static bool
loop_turn(struct sys_loop *loop, bool wait)
{
    bool any;

    do {
        loop_wait(loop, wait && !loop->core.stopping);
        any = sys_core_run_timers(&loop->core, sys_clock_us());
        any |= loop_run_watches(loop);
        any |= sys_core_run_tasks(&loop->core);
        sys_core_run_hooks(&loop->core);
    } while (wait && !any && !loop->core.stopping);
    return any;
}

bool
sys_loop_turn(struct sys_loop *loop, bool wait)
{
    /* What the caller collected between two turns must not wait for the end of a sleep. */
    if (wait)
        sys_core_run_hooks(&loop->core);
    return loop_turn(loop, wait);
}

int
sys_loop_run(struct sys_loop *loop)
{
    sys_core_run_hooks(&loop->core);
    while (!loop->core.stopping)
        loop_turn(loop, true);
    loop->core.stopping = false;
    return 0;
}

/* ---- descriptors ---- */

_Static_assert(SYS_READABLE == (int)UV_READABLE && SYS_WRITABLE == (int)UV_WRITABLE,
               "events are passed through");

static void
on_poll(uv_poll_t *poll, int status, int events)
{
    struct watch_impl *impl = poll->data;
    struct sys_loop *loop = impl->watch->loop;

    /*
     * On an error libuv stops polling; the owner finds the error when it reads or writes, and may
     * want to go on.
     */
    if (status < 0) {
        events = SYS_READABLE | SYS_WRITABLE;
        uv_poll_start(poll, impl->wanted, on_poll);
    }
    impl->found |= events;
    if (list_empty(&impl->ready))
        list_add_tail(&loop->ready, &impl->ready);
}

int
sys_watch_start(struct sys_watch *watch, struct sys_loop *loop, int fd, int events,
                void (*fn)(void *arg, int events), void *arg)
{
    struct watch_impl *impl = calloc(1, sizeof(*impl));
    int error;

    *watch = (struct sys_watch){.fd = -1};
    if (impl == NULL)
        return -ENOMEM;
    error = uv_poll_init(&loop->uv, &impl->poll, fd);
    if (error != 0) {
        free(impl);
        return error;
    }
    list_init(&impl->ready);
    impl->poll.data = impl;
    impl->watch = watch;
    *watch = (struct sys_watch){loop, fd, fn, arg, impl};
    error = sys_watch_events(watch, events);
    if (error != 0)
        sys_watch_stop(watch);
    return error;
}

int
sys_watch_events(struct sys_watch *watch, int events)
{
    struct watch_impl *impl = watch->impl;

    if (impl == NULL)
        return -EBADF;
    if (impl->wanted == events)
        return 0;
    impl->wanted = events;
    if (events == 0)
        return uv_poll_stop(&impl->poll);
    return uv_poll_start(&impl->poll, events, on_poll);
}

static void
on_watch_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void
sys_watch_stop(struct sys_watch *watch)
{
    struct watch_impl *impl = watch->impl;

    if (impl == NULL)
        return;
    watch->impl = NULL;
    list_del(&impl->ready);
    impl->watch = NULL;
    uv_close((uv_handle_t *)&impl->poll, on_watch_closed);
}
