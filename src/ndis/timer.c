/*
 * Timers and work items: covers of the loop's timers and tasks. Both run on the loop, never on the
 * caller's stack: a timer's function at DISPATCH_LEVEL, a work item's at PASSIVE_LEVEL. The house
 * keeps a list of them: when a driver's code leaves the process, what could still call it goes
 * first. One that was freed stays as a grave until many others were, so that a driver which still
 * uses it is told; then another of its kind takes its place, for drivers may free them for ever.
 *
 * Threads: any. What a driver wants of a timer is under the lock of the house, and counts; the
 * loop's timer follows on the loop's thread and is only what wakes it. So a timer that was
 * cancelled does not run, whatever the loop's timer still does.
 */
#include "ndis/landing.h"

#include "base/log.h"

#include <stdlib.h>

static void
enlist(struct house *house, struct ndis_head *head)
{
    sys_lock_take(&house->lock);
    list_add_tail(&house->callbacks, &head->grave);
    sys_lock_give(&house->lock);
}

static void
delist(struct house *house, struct ndis_head *head)
{
    sys_lock_take(&house->lock);
    list_del(&head->grave);
    sys_lock_give(&house->lock);
}

/* ---- graves ---- */

#define GRAVES 64

static void
retire(struct house *house, struct ndis_retired *retired, struct ndis_head *head)
{
    head->magic = NDIS_MAGIC_GRAVE;
    sys_lock_take(&house->lock);
    list_add_tail(&retired->heads, &head->grave);
    retired->count++;
    sys_lock_give(&house->lock);
}

/* All zero; NULL: out of memory. */
static void *
create(struct house *house, struct ndis_retired *retired, size_t size)
{
    struct ndis_head *head = NULL;

    sys_lock_take(&house->lock);
    if (retired->count >= GRAVES) {
        head = container_of(list_take_first(&retired->heads), struct ndis_head, grave);
        retired->count--;
    }
    sys_lock_give(&house->lock);
    return head ? memset((void *)head, 0, size) : calloc(1, size);
}

void
ndis_callbacks_init(struct house *house)
{
    list_init(&house->callbacks);
    list_init(&house->retired_timers.heads);
    list_init(&house->retired_work.heads);
}

static void
retired_free(struct ndis_retired *retired)
{
    while (!list_empty(&retired->heads)) /* the first member of either */
        free(container_of(list_take_first(&retired->heads), struct ndis_head, grave));
}

void
ndis_callbacks_fini(struct house *house)
{
    retired_free(&house->retired_timers);
    retired_free(&house->retired_work);
}

/* ---- timers ---- */

struct timer {
    struct ndis_head head;
    PNDIS_TIMER_FUNCTION function;
    PVOID default_context;
    /* Under the house's lock. */
    uint64_t deadline_us; /* SYS_NEVER: not queued */
    uint64_t period_us;   /* 0: once */
    PVOID context;
    /* The loop's thread. */
    struct sys_task follow, destroy;
    struct sys_timer timer; /* impl NULL: made on the first occasion */
};

static void timer_fired(void *arg);

/* Brings the loop's timer to where it should be. */
static void
timer_follow(void *arg)
{
    struct timer *timer = arg;
    struct house *house = timer->head.house;
    uint64_t deadline_us;

    sys_lock_take(&house->lock);
    deadline_us = timer->deadline_us;
    sys_lock_give(&house->lock);
    if (timer->timer.impl || !sys_timer_init(&timer->timer, house->loop, timer_fired, timer))
        sys_timer_set(&timer->timer, deadline_us);
    else
        log_error("NdisSetTimerObject: out of memory, the timer will not run");
}

/* Here if this is the loop's thread, otherwise soon. */
static void
timer_task(struct timer *timer, struct sys_task *task)
{
    struct house *house = timer->head.house;

    if (ndis_on_loop(house))
        task->fn(timer);
    else
        sys_loop_post(house->loop, task);
}

/* Comes after every follow: tasks run in the order in which they were posted. */
static void
timer_destroy(void *arg)
{
    struct timer *timer = arg;

    sys_task_cancel(&timer->follow);
    sys_timer_fini(&timer->timer);
    retire(timer->head.house, &timer->head.house->retired_timers, &timer->head);
}

static void
timer_fired(void *arg)
{
    struct timer *timer = arg;
    struct house *house = timer->head.house;
    uint64_t now_us = sys_loop_now_us(house->loop);
    struct ndis_level level;
    PVOID context;
    bool due;

    sys_lock_take(&house->lock);
    due = timer->deadline_us <= now_us;
    if (due)
        timer->deadline_us = timer->period_us ? now_us + timer->period_us : SYS_NEVER;
    context = timer->context;
    sys_lock_give(&house->lock);
    timer_follow(timer);
    if (!due)
        return;
    level = ndis_level_enter(DISPATCH_LEVEL);
    timer->function(NULL, context, NULL, NULL); /* it may free the timer */
    ndis_level_leave(&level, "timer function");
}

NDIS_STATUS
NdisAllocateTimerObject(NDIS_HANDLE NdisHandle, PNDIS_TIMER_CHARACTERISTICS TimerCharacteristics,
                        PNDIS_HANDLE pTimerObject)
{
    struct house *house = ndis_house_of(NdisHandle);
    struct timer *timer;

    if (!ndis_given(pTimerObject, "NdisAllocateTimerObject"))
        return NDIS_STATUS_INVALID_PARAMETER;
    *pTimerObject = NULL;
    if (!ndis_given(TimerCharacteristics, "NdisAllocateTimerObject"))
        return NDIS_STATUS_INVALID_PARAMETER;
    if (!house || !TimerCharacteristics->TimerFunction)
        return NDIS_STATUS_INVALID_PARAMETER;
    timer = create(house, &house->retired_timers, sizeof(*timer));
    if (!timer)
        return NDIS_STATUS_RESOURCES;
    ndis_head_init(&timer->head, NDIS_MAGIC_TIMER, house);
    sys_task_init(&timer->follow, timer_follow, timer);
    sys_task_init(&timer->destroy, timer_destroy, timer);
    timer->deadline_us = SYS_NEVER;
    timer->function = TimerCharacteristics->TimerFunction;
    timer->default_context = TimerCharacteristics->FunctionContext;
    if (ndis_on_loop(house) && sys_timer_init(&timer->timer, house->loop, timer_fired, timer)) {
        free(timer);
        return NDIS_STATUS_RESOURCES;
    }
    enlist(house, &timer->head);
    *pTimerObject = timer;
    return NDIS_STATUS_SUCCESS;
}

/* Negative: from now; otherwise a system time, which may be over. In units of 100 ns. */
static uint64_t
delay_us(LONGLONG due)
{
    LARGE_INTEGER now;

    if (due < 0)
        return (uint64_t)-due / 10;
    NdisGetCurrentSystemTime(&now);
    return due > now.QuadPart ? (uint64_t)(due - now.QuadPart) / 10 : 0;
}

BOOLEAN
NdisSetTimerObject(NDIS_HANDLE TimerObject, LARGE_INTEGER DueTime, LONG MillisecondsPeriod,
                   PVOID FunctionContext)
{
    struct timer *timer = ndis_checked(TimerObject, NDIS_MAGIC_TIMER, "NdisSetTimerObject");
    struct house *house;
    uint64_t due_us;
    bool queued;

    if (!timer)
        return FALSE;
    house = timer->head.house;
    due_us = sys_loop_now_us(house->loop) + delay_us(DueTime.QuadPart);
    sys_lock_take(&house->lock);
    queued = timer->deadline_us != SYS_NEVER;
    timer->deadline_us = due_us;
    timer->period_us = MillisecondsPeriod > 0 ? (uint64_t)MillisecondsPeriod * 1000 : 0;
    timer->context = FunctionContext ? FunctionContext : timer->default_context;
    sys_lock_give(&house->lock);
    timer_task(timer, &timer->follow);
    return queued;
}

BOOLEAN
NdisCancelTimerObject(NDIS_HANDLE TimerObject)
{
    struct timer *timer = ndis_checked(TimerObject, NDIS_MAGIC_TIMER, "NdisCancelTimerObject");
    struct house *house;
    bool queued;

    if (!timer)
        return FALSE;
    house = timer->head.house;
    if (timer->period_us && sys_irql() > PASSIVE_LEVEL)
        ndis_breach(house, 192, NULL,
                    "NdisCancelTimerObject: a periodic timer is cancelled at IRQL %u", sys_irql());
    sys_lock_take(&house->lock);
    queued = timer->deadline_us != SYS_NEVER;
    timer->deadline_us = SYS_NEVER;
    sys_lock_give(&house->lock);
    timer_task(timer, &timer->follow);
    return queued;
}

/* true: it was queued. */
static bool
timer_free(struct timer *timer)
{
    struct house *house = timer->head.house;
    bool queued;

    timer->head.magic = NDIS_MAGIC_GRAVE;
    sys_lock_take(&house->lock);
    queued = timer->deadline_us != SYS_NEVER;
    timer->deadline_us = SYS_NEVER;
    list_del(&timer->head.grave);
    sys_lock_give(&house->lock);
    timer_task(timer, &timer->destroy);
    return queued;
}

VOID
NdisFreeTimerObject(NDIS_HANDLE TimerObject)
{
    struct timer *timer = ndis_checked(TimerObject, NDIS_MAGIC_TIMER, "NdisFreeTimerObject");
    struct house *house = timer ? timer->head.house : NULL;

    if (timer && timer_free(timer))
        ndis_breach(house, 192, NULL, "NdisFreeTimerObject: the timer is queued");
}

/* ---- work items ---- */

struct work {
    struct ndis_head head;
    struct sys_task task;
    NDIS_IO_WORKITEM_ROUTINE routine;
    PVOID context;
    _Atomic bool queued;
};

static void
work_run(void *arg)
{
    struct work *work = arg;
    NDIS_IO_WORKITEM_ROUTINE routine = work->routine;
    PVOID context = work->context;
    struct ndis_level level = ndis_level_enter(PASSIVE_LEVEL);

    work->queued = false;   /* from here on it may be queued again */
    routine(context, work); /* it may free the item */
    ndis_level_leave(&level, "work item");
}

static void
work_free(struct work *work)
{
    sys_task_cancel(&work->task);
    delist(work->head.house, &work->head);
    retire(work->head.house, &work->head.house->retired_work, &work->head);
}

NDIS_HANDLE
NdisAllocateIoWorkItem(NDIS_HANDLE NdisObjectHandle)
{
    struct house *house = ndis_house_of(NdisObjectHandle);
    struct work *work = house ? create(house, &house->retired_work, sizeof(*work)) : NULL;

    if (!work)
        return NULL;
    ndis_head_init(&work->head, NDIS_MAGIC_WORK, house);
    sys_task_init(&work->task, work_run, work);
    enlist(house, &work->head);
    return work;
}

VOID
NdisQueueIoWorkItem(NDIS_HANDLE NdisIoWorkItemHandle, NDIS_IO_WORKITEM_ROUTINE Routine,
                    PVOID WorkItemContext)
{
    struct work *work = ndis_checked(NdisIoWorkItemHandle, NDIS_MAGIC_WORK, "NdisQueueIoWorkItem");

    if (!ndis_given((const void *)(uintptr_t)Routine, "NdisQueueIoWorkItem"))
        return;
    if (!work)
        return;
    if (atomic_exchange(&work->queued, true)) {
        log_error("NdisQueueIoWorkItem: it is queued already");
        return;
    }
    work->routine = Routine;
    work->context = WorkItemContext;
    sys_loop_post(work->head.house->loop, &work->task);
}

VOID
NdisFreeIoWorkItem(NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct work *work = ndis_checked(NdisIoWorkItemHandle, NDIS_MAGIC_WORK, "NdisFreeIoWorkItem");

    if (!work)
        return;
    if (work->queued)
        log_error("NdisFreeIoWorkItem: it is queued");
    work_free(work);
}

/* ---- what a driver leaves behind ---- */

struct callback {
    struct ndis_head *head;
    const void *function; /* NULL: a work item that was never queued, nothing will call it */
};

static struct callback
callback_of(struct ndis_head *head)
{
    struct callback callback = {.head = head};

    if (head->magic == NDIS_MAGIC_TIMER)
        memcpy(&callback.function, &container_of(head, struct timer, head)->function,
               sizeof(callback.function));
    else
        memcpy(&callback.function, &container_of(head, struct work, head)->routine,
               sizeof(callback.function));
    return callback;
}

/* All there are; NULL: none, or out of memory. Looking a function up takes too long for the lock.
 */
static struct callback *
callbacks_copy(struct house *house, size_t *count)
{
    struct callback *copy;
    size_t room = 0;

    *count = 0;
    sys_lock_take(&house->lock);
    list_for_each(head, &house->callbacks, struct ndis_head, grave)
        room++;
    sys_lock_give(&house->lock);
    copy = room ? calloc(room, sizeof(*copy)) : NULL;
    if (!copy)
        return NULL;
    sys_lock_take(&house->lock);
    list_for_each(head, &house->callbacks, struct ndis_head, grave)
        if (*count < room) /* what others add meanwhile is not of this driver */
            copy[(*count)++] = callback_of(head);
    sys_lock_give(&house->lock);
    return copy;
}

/* The loop's thread, and the driver's threads are out of NDIS; those of others may be in it. */
void
ndis_callbacks_sweep(struct house *house, const struct sys_module *module, const char *whose)
{
    size_t count;
    struct callback *callbacks = callbacks_copy(house, &count);

    for (size_t i = 0; i < count; i++) {
        struct ndis_head *head = callbacks[i].head;
        bool timer;

        if (module && !sys_module_contains(module, callbacks[i].function))
            continue;
        timer = head->magic == NDIS_MAGIC_TIMER;
        ndis_breach(house, timer ? 192 : 0, whose, "%s left a %s behind", whose,
                    timer ? "timer" : "work item");
        if (timer)
            timer_free(container_of(head, struct timer, head));
        else
            work_free(container_of(head, struct work, head));
    }
    free(callbacks);
}
