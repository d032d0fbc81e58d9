/*
 * Spin locks and read-write locks. They lock: a driver may have threads of its own. A lock that is
 * taken says by whom, so that a thread which takes it twice, or gives back another's, is told so
 * instead of standing still.
 *
 * Both raise the level to DISPATCH_LEVEL and count for rule V-191.
 */
#include "ndis/objects.h"

#include "base/log.h"

#include <stdlib.h>

#define FREE ((ULONG_PTR)0)

static ULONG_PTR
me(void)
{
    return (ULONG_PTR)&sys_irql_now;
}

/* Takes a word that is free or holds the token of its owner. */
static void
take(ULONG_PTR *word)
{
    ULONG_PTR expected = FREE;
    unsigned reads = 0;

    while (!__atomic_compare_exchange_n(word, &expected, me(), true, __ATOMIC_ACQUIRE,
                                        __ATOMIC_RELAXED)) {
        expected = FREE;
        sys_lock_spin(&reads);
    }
}

static void
give(ULONG_PTR *word)
{
    __atomic_store_n(word, FREE, __ATOMIC_RELEASE);
}

static bool
is_mine(ULONG_PTR *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED) == me();
}

/* ---- spin locks ---- */

VOID
NdisAllocateSpinLock(PNDIS_SPIN_LOCK SpinLock)
{
    if (!ndis_given(SpinLock, "NdisAllocateSpinLock"))
        return;
    *SpinLock = (NDIS_SPIN_LOCK){.SpinLock = FREE, .OldIrql = PASSIVE_LEVEL};
}

VOID
NdisFreeSpinLock(PNDIS_SPIN_LOCK SpinLock)
{
    if (!ndis_given(SpinLock, "NdisFreeSpinLock"))
        return;
    if (__atomic_load_n(&SpinLock->SpinLock, __ATOMIC_RELAXED) != FREE)
        log_error("NdisFreeSpinLock: it is held");
}

static bool
spin_acquire(PNDIS_SPIN_LOCK lock, const char *call)
{
    if (NDIS_UNLIKELY(is_mine(&lock->SpinLock))) {
        log_error("%s: it is held already, by this thread", call);
        return false;
    }
    take(&lock->SpinLock);
    sys_irql_now.locks++;
    return true;
}

static bool
spin_release(PNDIS_SPIN_LOCK lock, const char *call)
{
    if (NDIS_UNLIKELY(!is_mine(&lock->SpinLock))) {
        log_error("%s: it is not held by this thread", call);
        return false;
    }
    if (NDIS_UNLIKELY(sys_irql() != DISPATCH_LEVEL))
        log_error("%s: called at IRQL %u, it is for %u", call, sys_irql(), DISPATCH_LEVEL);
    sys_irql_now.locks--;
    give(&lock->SpinLock);
    return true;
}

VOID
NdisAcquireSpinLock(PNDIS_SPIN_LOCK SpinLock)
{
    if (!ndis_given(SpinLock, "NdisAcquireSpinLock"))
        return;
    ndis_at_most(DISPATCH_LEVEL, "NdisAcquireSpinLock");
    if (spin_acquire(SpinLock, "NdisAcquireSpinLock"))
        SpinLock->OldIrql = sys_irql_set(DISPATCH_LEVEL);
}

VOID
NdisReleaseSpinLock(PNDIS_SPIN_LOCK SpinLock)
{
    KIRQL before;

    if (!ndis_given(SpinLock, "NdisReleaseSpinLock"))
        return;
    before = SpinLock->OldIrql; /* the next owner's as soon as it is given back */
    if (spin_release(SpinLock, "NdisReleaseSpinLock"))
        sys_irql_set(before);
}

VOID
NdisDprAcquireSpinLock(PNDIS_SPIN_LOCK SpinLock)
{
    if (!ndis_given(SpinLock, "NdisDprAcquireSpinLock"))
        return;
    if (NDIS_UNLIKELY(sys_irql() != DISPATCH_LEVEL))
        log_error("NdisDprAcquireSpinLock: called at IRQL %u, it is for %u", sys_irql(),
                  DISPATCH_LEVEL);
    spin_acquire(SpinLock, "NdisDprAcquireSpinLock");
}

VOID
NdisDprReleaseSpinLock(PNDIS_SPIN_LOCK SpinLock)
{
    if (!ndis_given(SpinLock, "NdisDprReleaseSpinLock"))
        return;
    spin_release(SpinLock, "NdisDprReleaseSpinLock");
}

/* ---- read-write locks ---- */

struct _NDIS_RW_LOCK_EX {
    struct ndis_head head;
    ULONG_PTR writer;      /* a token, also while a writer waits for readers to leave */
    ULONG_PTR readers;     /* how many */
    ULONG_PTR last_reader; /* who came last, if it has not left */
};

enum { NOT_HELD, FOR_READING, FOR_WRITING }; /* LOCK_STATE_EX.LockState */

PNDIS_RW_LOCK_EX
NdisAllocateRWLock(NDIS_HANDLE NdisHandle)
{
    struct house *house = ndis_house_of(NdisHandle);
    PNDIS_RW_LOCK_EX lock = house ? calloc(1, sizeof(*lock)) : NULL;

    if (lock)
        ndis_head_init(&lock->head, NDIS_MAGIC_RW_LOCK, house);
    return lock;
}

VOID
NdisFreeRWLock(PNDIS_RW_LOCK_EX Lock)
{
    PNDIS_RW_LOCK_EX lock = ndis_checked(Lock, NDIS_MAGIC_RW_LOCK, "NdisFreeRWLock");

    if (!lock)
        return;
    if (lock->writer != FREE || lock->readers)
        log_error("NdisFreeRWLock: it is held");
    lock->head.magic = NDIS_MAGIC_GRAVE;
    free(lock);
}

/* The lock that may be waited for, and the level raised; NULL, and said so, otherwise. */
static PNDIS_RW_LOCK_EX
rw_enter(PNDIS_RW_LOCK_EX handle, PLOCK_STATE_EX state, UCHAR flags, const char *call)
{
    PNDIS_RW_LOCK_EX lock = ndis_checked(handle, NDIS_MAGIC_RW_LOCK, call);

    if (!ndis_given(state, call))
        return NULL;
    *state = (LOCK_STATE_EX){.OldIrql = sys_irql(), .LockState = NOT_HELD, .Flags = flags};
    ndis_at_most(DISPATCH_LEVEL, call);
    if (!lock)
        return NULL;
    if (NDIS_UNLIKELY(is_mine(&lock->writer) || is_mine(&lock->last_reader))) {
        log_error("%s: it is held already, by this thread", call);
        return NULL;
    }
    if (NDIS_UNLIKELY((flags & NDIS_RWL_AT_DISPATCH_LEVEL) && sys_irql() != DISPATCH_LEVEL))
        log_error("%s: NDIS_RWL_AT_DISPATCH_LEVEL at IRQL %u", call, sys_irql());
    sys_irql_set(DISPATCH_LEVEL);
    sys_irql_now.locks++;
    return lock;
}

VOID
NdisAcquireRWLockRead(PNDIS_RW_LOCK_EX Lock, PLOCK_STATE_EX LockState, UCHAR Flags)
{
    PNDIS_RW_LOCK_EX lock = rw_enter(Lock, LockState, Flags, "NdisAcquireRWLockRead");

    if (!lock)
        return;
    take(&lock->writer); /* only for the length of an increment */
    __atomic_add_fetch(&lock->readers, 1, __ATOMIC_ACQUIRE);
    __atomic_store_n(&lock->last_reader, me(), __ATOMIC_RELAXED);
    give(&lock->writer);
    LockState->LockState = FOR_READING;
}

VOID
NdisAcquireRWLockWrite(PNDIS_RW_LOCK_EX Lock, PLOCK_STATE_EX LockState, UCHAR Flags)
{
    PNDIS_RW_LOCK_EX lock = rw_enter(Lock, LockState, Flags, "NdisAcquireRWLockWrite");
    unsigned reads = 0;

    if (!lock)
        return;
    take(&lock->writer);
    while (__atomic_load_n(&lock->readers, __ATOMIC_ACQUIRE))
        sys_lock_spin(&reads);
    LockState->LockState = FOR_WRITING;
}

VOID
NdisReleaseRWLock(PNDIS_RW_LOCK_EX Lock, PLOCK_STATE_EX LockState)
{
    PNDIS_RW_LOCK_EX lock = ndis_checked(Lock, NDIS_MAGIC_RW_LOCK, "NdisReleaseRWLock");

    if (!ndis_given(LockState, "NdisReleaseRWLock"))
        return;
    if (!lock)
        return;
    if (NDIS_UNLIKELY(sys_irql() != DISPATCH_LEVEL))
        log_error("NdisReleaseRWLock: called at IRQL %u, it is for %u", sys_irql(), DISPATCH_LEVEL);
    if (LockState->LockState == FOR_READING) {
        ULONG_PTR last = me();

        __atomic_compare_exchange_n(&lock->last_reader, &last, FREE, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
        __atomic_sub_fetch(&lock->readers, 1, __ATOMIC_RELEASE);
    } else if (LockState->LockState == FOR_WRITING) {
        give(&lock->writer);
    } else {
        log_error("NdisReleaseRWLock: it is not held with this state");
        return;
    }
    LockState->LockState = NOT_HELD;
    sys_irql_now.locks--;
    sys_irql_set(LockState->OldIrql);
}
