/*
 * Services: memory, events, time, the machine, the error log. Nothing here knows about networks.
 *
 * Waiting for an event on the loop's thread turns the loop, since what sets it may be waiting there
 * for its turn; other threads sleep.
 */
#include "ndis/objects.h"

#include "base/log.h"
#include "sys/clock.h"
#include "sys/cpu.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- memory ---- */

PVOID
NdisAllocateMemoryWithTagPriority(NDIS_HANDLE NdisHandle, UINT Length, ULONG Tag,
                                  EX_POOL_PRIORITY Priority)
{
    return malloc(Length ? Length : 1);
}

VOID
NdisFreeMemory(PVOID VirtualAddress, UINT Length, UINT MemoryFlags)
{
    if (!ndis_given(VirtualAddress, "NdisFreeMemory"))
        return;
    free(VirtualAddress);
}

/* ---- events: Reserved[0] says whether it is set, Reserved[1] who waits ---- */

/* On the stack of whoever waits. */
struct waiter {
    struct waiter *next;
    struct house *house; /* whose loop it turns; NULL: it sleeps at the gate */
    struct sys_gate gate;
};

/* For the members of all events: they are set far more often than they are waited for. */
static struct sys_lock event_lock;

VOID
NdisInitializeEvent(PNDIS_EVENT Event)
{
    if (!ndis_given(Event, "NdisInitializeEvent"))
        return;
    *Event = (NDIS_EVENT){.Reserved = {NULL}};
}

VOID
NdisSetEvent(PNDIS_EVENT Event)
{
    if (!ndis_given(Event, "NdisSetEvent"))
        return;
    sys_lock_take(&event_lock);
    Event->Reserved[0] = Event;
    for (struct waiter *waiter = Event->Reserved[1]; waiter; waiter = waiter->next) {
        if (waiter->house)
            ndis_ring(waiter->house);
        else
            sys_gate_open(&waiter->gate);
    }
    sys_lock_give(&event_lock);
}

VOID
NdisResetEvent(PNDIS_EVENT Event)
{
    if (!ndis_given(Event, "NdisResetEvent"))
        return;
    sys_lock_take(&event_lock);
    Event->Reserved[0] = NULL;
    sys_lock_give(&event_lock);
}

static bool
event_is_set(void *arg)
{
    PNDIS_EVENT event = arg;
    bool set;

    sys_lock_take(&event_lock);
    set = event->Reserved[0] != NULL;
    sys_lock_give(&event_lock);
    return set;
}

/* false: it is set already. */
static bool
event_join(PNDIS_EVENT event, struct waiter *waiter)
{
    bool set;

    sys_lock_take(&event_lock);
    set = event->Reserved[0] != NULL;
    waiter->next = event->Reserved[1];
    if (!set)
        event->Reserved[1] = waiter;
    sys_lock_give(&event_lock);
    return !set;
}

static void
event_leave(PNDIS_EVENT event, struct waiter *waiter)
{
    sys_lock_take(&event_lock);
    for (struct waiter **at = (struct waiter **)&event->Reserved[1]; *at; at = &(*at)->next)
        if (*at == waiter) {
            *at = waiter->next;
            break;
        }
    sys_lock_give(&event_lock);
}

BOOLEAN
NdisWaitEvent(PNDIS_EVENT Event, UINT MsToWait)
{
    /* For ever is a year: in simulated time a wait without end would be a hang. */
    uint64_t wait_us = MsToWait ? (uint64_t)MsToWait * 1000 : 365ull * 24 * 3600 * 1000 * 1000;
    struct house *house = ndis_house_current();
    struct waiter waiter = {.house = house && ndis_on_loop(house) ? house : NULL};
    bool set = true;

    if (!ndis_given(Event, "NdisWaitEvent"))
        return FALSE;
    ndis_at_most(PASSIVE_LEVEL, "NdisWaitEvent");
    sys_gate_init(&waiter.gate);
    if (event_join(Event, &waiter)) {
        set = waiter.house ? ndis_wait(house, event_is_set, Event, wait_us)
                           : sys_gate_wait(&waiter.gate, wait_us);
        event_leave(Event, &waiter);
    }
    sys_gate_fini(&waiter.gate);
    return set;
}

/* ---- time ---- */

/* 1601 to 1970, in units of 100 ns. */
#define EPOCH_DIFFERENCE 116444736000000000ll

VOID
NdisGetSystemUpTimeEx(PLARGE_INTEGER pSystemUpTime)
{
    struct house *house = ndis_house_current();
    uint64_t now_us = house ? sys_loop_now_us(house->loop) : sys_clock_us();

    if (!ndis_given(pSystemUpTime, "NdisGetSystemUpTimeEx"))
        return;
    pSystemUpTime->QuadPart = (LONGLONG)(now_us / 1000);
}

VOID
NdisGetCurrentSystemTime(PLARGE_INTEGER pSystemTime)
{
    struct house *house = ndis_house_current();
    uint64_t now_us = house ? sys_loop_wall_us(house->loop) : sys_clock_wall_us();

    if (!ndis_given(pSystemTime, "NdisGetCurrentSystemTime"))
        return;
    pSystemTime->QuadPart = (LONGLONG)now_us * 10 + EPOCH_DIFFERENCE;
}

static bool
never(void *arg)
{
    return false;
}

VOID
NdisMSleep(ULONG MicrosecondsToSleep)
{
    struct house *house = ndis_house_current();
    struct sys_gate gate;

    ndis_at_most(APC_LEVEL, "NdisMSleep");
    if (house && ndis_on_loop(house)) {
        ndis_wait(house, never, NULL, MicrosecondsToSleep);
        return;
    }
    sys_gate_init(&gate);
    sys_gate_wait(&gate, MicrosecondsToSleep); /* nobody opens it */
    sys_gate_fini(&gate);
}

/* In real time, whatever the loop's is: the thread is to stand still. */
VOID
NdisStallExecution(ULONG MicrosecondsToStall)
{
    uint64_t end_ns = sys_clock_ns() + MicrosecondsToStall * 1000ull;

    while (sys_clock_ns() < end_ns)
        continue;
}

/* ---- the machine ---- */

#define GROUP_PROCESSORS 64

UINT
NdisGetVersion(VOID)
{
    return NDIS_RUNTIME_VERSION_620;
}

/* Groups are full but for the last one. */
ULONG
NdisGroupMaxProcessorCount(USHORT Group)
{
    ULONG count = sys_cpu_count(), before = (ULONG)Group * GROUP_PROCESSORS;

    if (Group == ALL_PROCESSOR_GROUPS)
        return count;
    if (count <= before)
        return 0;
    return count - before < GROUP_PROCESSORS ? count - before : GROUP_PROCESSORS;
}

CCHAR
NdisSystemProcessorCount(VOID)
{
    ndis_at_most(PASSIVE_LEVEL, "NdisSystemProcessorCount");
    return (CCHAR)NdisGroupMaxProcessorCount(0); /* the name is older than groups */
}

/* ---- the error log ---- */

VOID
NdisWriteErrorLogEntry(NDIS_HANDLE NdisAdapterHandle, NDIS_ERROR_CODE ErrorCode,
                       ULONG NumberOfErrorValues, ...)
{
    struct ndis_adapter *adapter = ndis_adapter_of(NdisAdapterHandle, "NdisWriteErrorLogEntry");
    char values[128] = "";
    size_t used = 0;
    va_list args;

    if (!adapter)
        return;
    va_start(args, NumberOfErrorValues);
    for (ULONG i = 0; i < NumberOfErrorValues && used < sizeof(values) - 12; i++)
        used += (size_t)snprintf(values + used, sizeof(values) - used, " 0x%x",
                                 (unsigned)va_arg(args, ULONG));
    va_end(args);
    log_error("adapter %s: error 0x%08x%s", adapter->name, ErrorCode, values);
}
