/*
 * Services: memory, locks, events, version and time. Nothing here knows about networks.
 *
 * Waiting for an event on the loop's thread turns the loop, since what sets it may be waiting there
 * for its turn; other threads sleep.
 */
#include "ndis/objects.h"

#include "base/log.h"
#include "sys/clock.h"

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
    free(VirtualAddress);
}

/* ---- spin locks ---- */

VOID
NdisAllocateSpinLock(PNDIS_SPIN_LOCK SpinLock)
{
    *SpinLock = (NDIS_SPIN_LOCK){.SpinLock = 0, .OldIrql = PASSIVE_LEVEL};
}

VOID
NdisFreeSpinLock(PNDIS_SPIN_LOCK SpinLock)
{
    if (SpinLock->SpinLock)
        log_error("NdisFreeSpinLock: it is held");
}

VOID
NdisAcquireSpinLock(PNDIS_SPIN_LOCK SpinLock)
{
    if (NDIS_UNLIKELY(SpinLock->SpinLock))
        log_error("NdisAcquireSpinLock: it is held already, by this thread");
    SpinLock->SpinLock = 1;
}

VOID
NdisReleaseSpinLock(PNDIS_SPIN_LOCK SpinLock)
{
    if (NDIS_UNLIKELY(!SpinLock->SpinLock))
        log_error("NdisReleaseSpinLock: it is not held");
    SpinLock->SpinLock = 0;
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
    *Event = (NDIS_EVENT){.Reserved = {NULL}};
}

VOID
NdisSetEvent(PNDIS_EVENT Event)
{
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

    sys_gate_init(&waiter.gate);
    if (event_join(Event, &waiter)) {
        set = waiter.house ? ndis_wait(house, event_is_set, Event, wait_us)
                           : sys_gate_wait(&waiter.gate, wait_us);
        event_leave(Event, &waiter);
    }
    sys_gate_fini(&waiter.gate);
    return set;
}

/* ---- version and time ---- */

UINT
NdisGetVersion(VOID)
{
    return NDIS_RUNTIME_VERSION_620;
}

VOID
NdisGetSystemUpTimeEx(PLARGE_INTEGER pSystemUpTime)
{
    struct house *house = ndis_house_current();
    uint64_t now_us = house ? sys_loop_now_us(house->loop) : sys_clock_us();

    pSystemUpTime->QuadPart = (LONGLONG)(now_us / 1000);
}
