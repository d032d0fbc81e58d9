/*
 * Tasks and hooks of a loop (timers: timers.c).
 *
 * A turn moves the tasks deferred so far to a list of its own, the batch, and takes them off its
 * front; so a task deferred by a task waits for the next turn, a task may cancel any other, and a
 * turn made inside a task finishes the batch of the outer one. Hooks are walked the same way, but
 * come back: `hooks` and behind it `hooks_left` together are always all hooks in the order added.
 *
 * The lists of tasks are under one lock for all loops: a task does not know its loop, and other
 * threads post and cancel. Nobody runs anything while holding it.
 */
#include "sys/core.h"

#include "base/log.h"

#include <pthread.h>
#include <stdlib.h>

static pthread_mutex_t task_lock = PTHREAD_MUTEX_INITIALIZER;

void
sys_core_init(struct sys_core *core)
{
    *core = (struct sys_core){.stopping = false};
    list_init(&core->tasks);
    list_init(&core->batch);
    list_init(&core->hooks);
    list_init(&core->hooks_left);
    sys_core_init_timers(core);
}

void
sys_core_fini(struct sys_core *core)
{
    if (!list_empty(&core->tasks))
        log_error("loop destroyed with tasks pending");
    if (!list_empty(&core->hooks))
        log_error("loop destroyed with hooks");
    if (core->timer_count != 0)
        log_error("loop destroyed with %zu timers", core->timer_count);
}

bool
sys_core_ready(struct sys_core *core)
{
    bool tasks;

    pthread_mutex_lock(&task_lock);
    tasks = !list_empty(&core->tasks) || !list_empty(&core->batch);
    pthread_mutex_unlock(&task_lock);
    return tasks || !list_empty(&core->due);
}

/* All nodes of from, in their order, behind those of to. */
static void
core_move_all(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

/* ---- tasks ---- */

void
sys_task_init(struct sys_task *task, void (*fn)(void *arg), void *arg)
{
    list_init(&task->link);
    task->fn = fn;
    task->arg = arg;
}

void
sys_loop_defer(struct sys_loop *loop, struct sys_task *task)
{
    pthread_mutex_lock(&task_lock);
    if (list_empty(&task->link))
        list_add_tail(&sys_core_of(loop)->tasks, &task->link);
    pthread_mutex_unlock(&task_lock);
}

void
sys_task_cancel(struct sys_task *task)
{
    pthread_mutex_lock(&task_lock);
    list_del(&task->link);
    pthread_mutex_unlock(&task_lock);
}

bool
sys_task_pending(const struct sys_task *task)
{
    bool pending;

    pthread_mutex_lock(&task_lock);
    pending = !list_empty(&task->link);
    pthread_mutex_unlock(&task_lock);
    return pending;
}

void
sys_loop_post(struct sys_loop *loop, struct sys_task *task)
{
    sys_loop_defer(loop, task);
    sys_core_wake(loop);
}

bool
sys_core_run_tasks(struct sys_core *core)
{
    bool any = false;

    pthread_mutex_lock(&task_lock);
    core_move_all(&core->batch, &core->tasks);
    while (!list_empty(&core->batch)) {
        struct sys_task *task = list_first(&core->batch, struct sys_task, link);
        void (*fn)(void *arg) = task->fn;
        void *arg = task->arg;

        list_del(&task->link);
        pthread_mutex_unlock(&task_lock);
        any = true;
        fn(arg);
        pthread_mutex_lock(&task_lock);
    }
    pthread_mutex_unlock(&task_lock);
    return any;
}

/* ---- hooks ---- */

void
sys_loop_on_flush(struct sys_loop *loop, struct sys_hook *hook, void (*fn)(void *arg), void *arg)
{
    struct sys_core *core = sys_core_of(loop);

    hook->fn = fn;
    hook->arg = arg;
    list_add_tail(list_empty(&core->hooks_left) ? &core->hooks : &core->hooks_left, &hook->link);
}

void
sys_hook_remove(struct sys_hook *hook)
{
    list_del(&hook->link);
}

void
sys_core_run_hooks(struct sys_core *core)
{
    core_move_all(&core->hooks, &core->hooks_left);
    core_move_all(&core->hooks_left, &core->hooks);
    while (!list_empty(&core->hooks_left)) {
        struct sys_hook *hook = list_first(&core->hooks_left, struct sys_hook, link);

        list_del(&hook->link);
        list_add_tail(&core->hooks, &hook->link);
        hook->fn(hook->arg);
    }
}

void
sys_loop_stop(struct sys_loop *loop)
{
    sys_core_of(loop)->stopping = true;
}
