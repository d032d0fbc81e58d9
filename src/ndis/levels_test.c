/* Levels and locks: what raises, what restores, who is told, and that the locks lock. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <stdio.h>

#include <pthread.h>

/* ---- locks of one thread ---- */

static void
spin_locks_raise_and_restore(void **state)
{
    NDIS_SPIN_LOCK outer, inner;

    NdisAllocateSpinLock(&outer);
    NdisAllocateSpinLock(&inner);
    assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
    NdisAcquireSpinLock(&outer);
    assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL);
    assert_int_equal(chimney_spin_locks_held(), 1);
    NdisAcquireSpinLock(&inner);
    assert_int_equal(chimney_spin_locks_held(), 2);
    NdisReleaseSpinLock(&inner);
    assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL); /* where it was */
    NdisDprAcquireSpinLock(&inner);
    assert_int_equal(chimney_spin_locks_held(), 2);
    NdisDprReleaseSpinLock(&inner);
    assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL);
    NdisReleaseSpinLock(&outer);
    assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
    assert_int_equal(chimney_spin_locks_held(), 0);
    NdisFreeSpinLock(&inner);
    NdisFreeSpinLock(&outer);
    assert_string_equal(((struct stage *)*state)->log, "");
}

static void
spin_locks_misused(void **state)
{
    struct stage *stage = *state;
    NDIS_SPIN_LOCK lock;
    KIRQL old;

    NdisAllocateSpinLock(&lock);
    NdisReleaseSpinLock(&lock);
    assert_true(stage_logged(stage, "NdisReleaseSpinLock: it is not held by this thread"));
    NdisAcquireSpinLock(&lock);
    NdisAcquireSpinLock(&lock);
    assert_true(stage_logged(stage, "NdisAcquireSpinLock: it is held already, by this thread"));
    assert_int_equal(chimney_spin_locks_held(), 1);
    NdisFreeSpinLock(&lock);
    assert_true(stage_logged(stage, "NdisFreeSpinLock: it is held"));
    KeLowerIrql(PASSIVE_LEVEL);
    NdisReleaseSpinLock(&lock);
    assert_true(stage_logged(stage, "NdisReleaseSpinLock: called at IRQL 0"));
    NdisDprAcquireSpinLock(&lock);
    assert_true(stage_logged(stage, "NdisDprAcquireSpinLock: called at IRQL 0"));
    NdisDprReleaseSpinLock(&lock);
    KeRaiseIrql(HIGH_LEVEL, &old);
    NdisAcquireSpinLock(&lock);
    assert_true(stage_logged(stage, "NdisAcquireSpinLock: called at IRQL 15, it is for 2"));
    NdisReleaseSpinLock(&lock);
    KeLowerIrql(old);
}

static void
read_write_locks(void **state)
{
    struct stage *stage = *state;
    PNDIS_RW_LOCK_EX lock = NdisAllocateRWLock(stage->target.adapter);
    LOCK_STATE_EX first, second;
    KIRQL old;

    NdisAcquireRWLockRead(lock, &first, 0);
    assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL);
    NdisReleaseRWLock(lock, &first);
    assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    NdisAcquireRWLockWrite(lock, &first, NDIS_RWL_AT_DISPATCH_LEVEL);
    assert_int_equal(chimney_spin_locks_held(), 1);
    assert_string_equal(stage->log, "");
    NdisAcquireRWLockRead(lock, &second, NDIS_RWL_AT_DISPATCH_LEVEL);
    assert_true(stage_logged(stage, "NdisAcquireRWLockRead: it is held already, by this thread"));
    NdisReleaseRWLock(lock, &second);
    assert_true(stage_logged(stage, "it is not held with this state"));
    NdisReleaseRWLock(lock, &first);
    KeLowerIrql(old);
    NdisAcquireRWLockRead(lock, &first, 0);
    NdisAcquireRWLockWrite(lock, &second, 0); /* would wait for itself */
    assert_true(stage_logged(stage, "NdisAcquireRWLockWrite: it is held already, by this thread"));
    NdisReleaseRWLock(lock, &first);
    NdisAcquireRWLockWrite(lock, &first, 0);
    assert_int_equal(first.OldIrql, PASSIVE_LEVEL);
    NdisReleaseRWLock(lock, &first);
    assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
    assert_int_equal(chimney_spin_locks_held(), 0);
    NdisAcquireRWLockRead(lock, &first, NDIS_RWL_AT_DISPATCH_LEVEL);
    assert_true(stage_logged(stage, "NDIS_RWL_AT_DISPATCH_LEVEL at IRQL 0"));
    NdisReleaseRWLock(lock, &first);
    NdisFreeRWLock(lock);
    NdisFreeRWLock(NULL);
    assert_true(stage_logged(stage, "the read-write lock handle is NULL"));
}

/* ---- and of several ---- */

#define ROUNDS 20000

struct race {
    NDIS_SPIN_LOCK spin;
    PNDIS_RW_LOCK_EX rw;
    unsigned long spun, written; /* only under the locks */
    bool torn;
};

static void *
run(void *arg)
{
    struct race *race = arg;
    LOCK_STATE_EX state;

    for (int i = 0; i < ROUNDS; i++) {
        NdisAcquireSpinLock(&race->spin);
        race->spun++;
        NdisReleaseSpinLock(&race->spin);
        if (i % 8) {
            unsigned long before;

            NdisAcquireRWLockRead(race->rw, &state, 0);
            before = race->written;
            if (before % 2)
                __atomic_store_n(&race->torn, true, __ATOMIC_RELAXED);
        } else {
            NdisAcquireRWLockWrite(race->rw, &state, 0);
            race->written++;
            race->written++;
        }
        NdisReleaseRWLock(race->rw, &state);
    }
    return NULL;
}

static void
locks_lock(void **state)
{
    struct race race = {.rw = NdisAllocateRWLock(((struct stage *)*state)->target.adapter)};
    pthread_t threads[3];

    NdisAllocateSpinLock(&race.spin);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &race), 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(race.spun, 3 * ROUNDS);
    assert_int_equal(race.written, 3 * 2 * ROUNDS / 8);
    assert_false(race.torn);
    NdisFreeRWLock(race.rw);
}

/* ---- levels ---- */

static void
raising_and_lowering(void **state)
{
    struct stage *stage = *state;
    KIRQL first, second;

    NDIS_RAISE_IRQL_TO_DISPATCH(&first);
    assert_int_equal(first, PASSIVE_LEVEL);
    assert_int_equal(NDIS_CURRENT_IRQL(), DISPATCH_LEVEL);
    KeRaiseIrql(DISPATCH_LEVEL, &second);
    assert_int_equal(second, DISPATCH_LEVEL);
    NDIS_LOWER_IRQL(second, DISPATCH_LEVEL);
    assert_string_equal(stage->log, "");
    KeRaiseIrql(PASSIVE_LEVEL, &second);
    assert_true(stage_logged(stage, "KeRaiseIrql: from IRQL 2 down to 0"));
    KeLowerIrql(DISPATCH_LEVEL);
    assert_true(stage_logged(stage, "KeLowerIrql: from IRQL 0 up to 2"));
    KeLowerIrql(first);
}

static char told[256];

static void
on_breach(void *arg, unsigned rule, const char *driver, const void *object, const char *what)
{
    assert_int_equal(rule, 0);
    snprintf(told, sizeof(told), "%s", what);
}

static void
observers_are_told(void **state)
{
    struct stage *stage = *state;
    struct observer observer = {.on_breach = on_breach};
    NDIS_EVENT event;
    KIRQL old;

    told[0] = '\0';
    house_attach_observer(stage->house, &observer);
    NdisInitializeEvent(&event);
    NdisSetEvent(&event);
    assert_true(NdisWaitEvent(&event, 1));
    assert_string_equal(told, "");
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    assert_true(NdisWaitEvent(&event, 1)); /* all the same */
    assert_string_equal(told, "NdisWaitEvent: called at IRQL 2, it is for 0 at the most");
    assert_null(NdisIMGetBindingContext(stage->host.binding));
    assert_string_equal(told, "NdisIMGetBindingContext: called at IRQL 2, it is for 1 at the most");
    KeLowerIrql(old);
    assert_true(stage_logged(stage, "NdisWaitEvent: called at IRQL 2, it is for 0 at the most"));
    house_detach_observer(stage->house, &observer);
}

static KIRQL seen;
static NDIS_SPIN_LOCK kept;

static VOID
look_from_timer(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2,
                PVOID SystemSpecific3)
{
    seen = KeGetCurrentIrql();
    if (FunctionContext)
        NdisDprAcquireSpinLock(&kept);
}

static VOID
look_from_work(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    KIRQL old;

    seen = KeGetCurrentIrql();
    if (WorkItemContext)
        KeRaiseIrql(DISPATCH_LEVEL, &old);
}

static void
the_loop_calls_at_the_right_level(void **state)
{
    struct stage *stage = *state;
    NDIS_TIMER_CHARACTERISTICS characteristics = {.TimerFunction = look_from_timer};
    LARGE_INTEGER at_once = {.QuadPart = -1};
    NDIS_HANDLE timer, work = NdisAllocateIoWorkItem(NULL);

    NdisAllocateSpinLock(&kept);
    assert_int_equal(NdisAllocateTimerObject(NULL, &characteristics, &timer), 0);
    NdisSetTimerObject(timer, at_once, 0, NULL);
    sys_loop_turn(stage->loop, true);
    assert_int_equal(seen, DISPATCH_LEVEL);
    NdisQueueIoWorkItem(work, look_from_work, NULL);
    sys_loop_turn(stage->loop, true);
    assert_int_equal(seen, PASSIVE_LEVEL);
    assert_string_equal(stage->log, "");
    /* Who leaves something behind. */
    NdisSetTimerObject(timer, at_once, 0, stage);
    sys_loop_turn(stage->loop, true);
    assert_true(stage_logged(stage, "timer function was called with 0 spin locks held"));
    KeRaiseIrql(DISPATCH_LEVEL, &seen);
    NdisDprReleaseSpinLock(&kept);
    KeLowerIrql(PASSIVE_LEVEL);
    NdisQueueIoWorkItem(work, look_from_work, stage);
    sys_loop_turn(stage->loop, true);
    assert_true(stage_logged(stage, "work item was called at IRQL 0 and returned at 2"));
    assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
    NdisFreeTimerObject(timer);
    NdisFreeIoWorkItem(work);
}

static void
periodic_timers_are_cancelled_at_passive(void **state)
{
    struct stage *stage = *state;
    NDIS_TIMER_CHARACTERISTICS characteristics = {.TimerFunction = look_from_timer};
    LARGE_INTEGER at_once = {.QuadPart = -1};
    NDIS_HANDLE timer;
    KIRQL old;

    assert_int_equal(NdisAllocateTimerObject(NULL, &characteristics, &timer), 0);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    NdisSetTimerObject(timer, at_once, 0, NULL);
    assert_true(NdisCancelTimerObject(timer));
    assert_string_equal(stage->log, "");
    NdisSetTimerObject(timer, at_once, 5, NULL);
    assert_true(NdisCancelTimerObject(timer));
    assert_true(stage_logged(stage, "is cancelled at IRQL 2 (V-192)"));
    KeLowerIrql(old);
    NdisFreeTimerObject(timer);
}

/* What NDIS completes itself, and what a target completes from wherever it is. */
static void
completions(void **state)
{
    struct stage *stage = *state;
    struct test_block block[3] = {0};
    KIRQL old;

    test_block_init(&block[0], NeighborOffloadDelegatedState); /* was never offloaded */
    NdisTerminateOffload(stage->host.binding, &block[0].block);
    assert_int_equal(stage->host.completions, 0);
    stage_settle(stage);
    assert_int_equal(stage->host.completions, 1);
    assert_int_equal(stage->host.level, DISPATCH_LEVEL);

    stage->target.hold_state = true;
    memset(block, 0, sizeof(block));
    test_block_init(&block[0], NeighborOffloadState);
    NdisInitiateOffload(stage->host.binding, &block[0].block);
    fake_target_answer(&stage->target);
    assert_int_equal(stage->host.level, PASSIVE_LEVEL);
    test_block_init(&block[0], NeighborOffloadDelegatedState);
    NdisTerminateOffload(stage->host.binding, &block[0].block);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    fake_target_answer(&stage->target);
    KeLowerIrql(old);
    assert_int_equal(stage->host.level, DISPATCH_LEVEL);
}

#define EMPTY(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(spin_locks_raise_and_restore),
        EMPTY(spin_locks_misused),
        BOUND(read_write_locks),
        BOUND(locks_lock),
        EMPTY(raising_and_lowering),
        BOUND(observers_are_told),
        EMPTY(the_loop_calls_at_the_right_level),
        EMPTY(periodic_timers_are_cancelled_at_passive),
        BOUND(completions),
    };

    return cmocka_run_group_tests_name("ndis/levels", tests, NULL, NULL);
}
