/*
 * Timers and work items: thin covers of the loop's timers and tasks. Both run on the loop, never on
 * the caller's stack. The house keeps a list of them: when a driver's code leaves the process, what
 * could still call it goes first.
 */
#include "ndis/objects.h"

#include "base/log.h"

#include <stdlib.h>

/* ---- timers ---- */

struct timer {
    struct ndis_head head;
    struct sys_timer timer;
    PNDIS_TIMER_FUNCTION function;
    PVOID default_context, context;
    uint64_t period_us; /* 0: once */
};

static void
timer_fired(void *arg)
{
    struct timer *timer = arg;

    if (timer->period_us)
        sys_timer_set(&timer->timer, sys_loop_now_us(timer->head.house->loop) + timer->period_us);
    timer->function(NULL, timer->context, NULL, NULL);
}

static void
timer_free(struct timer *timer)
{
    sys_timer_fini(&timer->timer);
    list_del(&timer->head.grave);
    timer->head.magic = NDIS_MAGIC_GRAVE;
    free(timer);
}

NDIS_STATUS
NdisAllocateTimerObject(NDIS_HANDLE NdisHandle, PNDIS_TIMER_CHARACTERISTICS TimerCharacteristics,
                        PNDIS_HANDLE pTimerObject)
{
    struct house *house = ndis_house_of(NdisHandle);
    struct timer *timer;

    *pTimerObject = NULL;
    if (!house || !TimerCharacteristics->TimerFunction)
        return NDIS_STATUS_INVALID_PARAMETER;
    timer = calloc(1, sizeof(*timer));
    if (!timer)
        return NDIS_STATUS_RESOURCES;
    if (sys_timer_init(&timer->timer, house->loop, timer_fired, timer)) {
        free(timer);
        return NDIS_STATUS_RESOURCES;
    }
    ndis_head_init(&timer->head, NDIS_MAGIC_TIMER, house);
    list_add_tail(&house->callbacks, &timer->head.grave);
    timer->function = TimerCharacteristics->TimerFunction;
    timer->default_context = TimerCharacteristics->FunctionContext;
    *pTimerObject = timer;
    return NDIS_STATUS_SUCCESS;
}

BOOLEAN
NdisSetTimerObject(NDIS_HANDLE TimerObject, LARGE_INTEGER DueTime, LONG MillisecondsPeriod,
                   PVOID FunctionContext)
{
    struct timer *timer = ndis_checked(TimerObject, NDIS_MAGIC_TIMER, "NdisSetTimerObject");
    uint64_t delay_us;
    bool queued;

    if (!timer)
        return FALSE;
    if (DueTime.QuadPart > 0) {
        log_error("NdisSetTimerObject: absolute times are not supported");
        return FALSE;
    }
    queued = timer->timer.deadline_us != SYS_NEVER;
    delay_us = (uint64_t)-DueTime.QuadPart / 10;
    timer->period_us = MillisecondsPeriod > 0 ? (uint64_t)MillisecondsPeriod * 1000 : 0;
    timer->context = FunctionContext ? FunctionContext : timer->default_context;
    sys_timer_set(&timer->timer, sys_loop_now_us(timer->head.house->loop) + delay_us);
    return queued;
}

BOOLEAN
NdisCancelTimerObject(NDIS_HANDLE TimerObject)
{
    struct timer *timer = ndis_checked(TimerObject, NDIS_MAGIC_TIMER, "NdisCancelTimerObject");
    bool queued;

    if (!timer)
        return FALSE;
    queued = timer->timer.deadline_us != SYS_NEVER;
    timer->period_us = 0;
    sys_timer_set(&timer->timer, SYS_NEVER);
    return queued;
}

VOID
NdisFreeTimerObject(NDIS_HANDLE TimerObject)
{
    struct timer *timer = ndis_checked(TimerObject, NDIS_MAGIC_TIMER, "NdisFreeTimerObject");

    if (!timer)
        return;
    if (timer->timer.deadline_us != SYS_NEVER)
        log_error("NdisFreeTimerObject: the timer is queued (V-192)");
    timer_free(timer);
}

/* ---- work items ---- */

struct work {
    struct ndis_head head;
    struct sys_task task;
    NDIS_IO_WORKITEM_ROUTINE routine;
    PVOID context;
};

static void
work_run(void *arg)
{
    struct work *work = arg;

    work->routine(work->context, work);
}

static void
work_free(struct work *work)
{
    sys_task_cancel(&work->task);
    list_del(&work->head.grave);
    work->head.magic = NDIS_MAGIC_GRAVE;
    free(work);
}

NDIS_HANDLE
NdisAllocateIoWorkItem(NDIS_HANDLE NdisObjectHandle)
{
    struct house *house = ndis_house_of(NdisObjectHandle);
    struct work *work = house ? calloc(1, sizeof(*work)) : NULL;

    if (!work)
        return NULL;
    ndis_head_init(&work->head, NDIS_MAGIC_WORK, house);
    list_add_tail(&house->callbacks, &work->head.grave);
    sys_task_init(&work->task, work_run, work);
    return work;
}

VOID
NdisQueueIoWorkItem(NDIS_HANDLE NdisIoWorkItemHandle, NDIS_IO_WORKITEM_ROUTINE Routine,
                    PVOID WorkItemContext)
{
    struct work *work = ndis_checked(NdisIoWorkItemHandle, NDIS_MAGIC_WORK, "NdisQueueIoWorkItem");

    if (!work)
        return;
    if (sys_task_pending(&work->task)) {
        log_error("NdisQueueIoWorkItem: it is queued already");
        return;
    }
    work->routine = Routine;
    work->context = WorkItemContext;
    sys_loop_defer(work->head.house->loop, &work->task);
}

VOID
NdisFreeIoWorkItem(NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct work *work = ndis_checked(NdisIoWorkItemHandle, NDIS_MAGIC_WORK, "NdisFreeIoWorkItem");

    if (!work)
        return;
    if (sys_task_pending(&work->task))
        log_error("NdisFreeIoWorkItem: it is queued");
    work_free(work);
}

/* ---- what a driver leaves behind ---- */

/* A work item that was never queued has no routine, and nothing will call it. */
static const void *
function_of(const struct ndis_head *head)
{
    const void *address;

    if (head->magic == NDIS_MAGIC_TIMER)
        memcpy(&address, &container_of(head, const struct timer, head)->function, sizeof(address));
    else
        memcpy(&address, &container_of(head, const struct work, head)->routine, sizeof(address));
    return address;
}

void
ndis_callbacks_sweep(struct house *house, const struct sys_module *module, const char *whose)
{
    list_for_each_safe(head, &house->callbacks, struct ndis_head, grave) {
        bool timer = head->magic == NDIS_MAGIC_TIMER;

        if (module && !sys_module_contains(module, function_of(head)))
            continue;
        log_error("%s left a %s behind%s", whose, timer ? "timer" : "work item",
                  timer ? " (V-192)" : "");
        if (timer)
            timer_free(container_of(head, struct timer, head));
        else
            work_free(container_of(head, struct work, head));
    }
}
