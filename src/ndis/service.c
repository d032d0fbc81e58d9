/*
 * Services: memory, locks, events, version and time. Nothing here knows about networks.
 *
 * There is one thread, so a lock is never contended; one that is taken twice is a driver that would
 * hang, and is told so. Waiting for an event turns the loop, since nobody else could set it.
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

/* ---- events: Reserved[0] is the state ---- */

VOID
NdisInitializeEvent(PNDIS_EVENT Event)
{
    *Event = (NDIS_EVENT){.Reserved = {NULL}};
}

VOID
NdisSetEvent(PNDIS_EVENT Event)
{
    Event->Reserved[0] = Event;
}

VOID
NdisResetEvent(PNDIS_EVENT Event)
{
    Event->Reserved[0] = NULL;
}

static bool
event_is_set(void *arg)
{
    return ((PNDIS_EVENT)arg)->Reserved[0] != NULL;
}

BOOLEAN
NdisWaitEvent(PNDIS_EVENT Event, UINT MsToWait)
{
    /* For ever is a year: in simulated time a wait without end would be a hang. */
    uint64_t wait_us = MsToWait ? (uint64_t)MsToWait * 1000 : 365ull * 24 * 3600 * 1000 * 1000;
    struct house *house = ndis_house_current();

    if (event_is_set(Event))
        return TRUE;
    if (!house) {
        log_error("NdisWaitEvent: there is no house whose loop could turn");
        return FALSE;
    }
    return ndis_wait(house, event_is_set, Event, wait_us);
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
