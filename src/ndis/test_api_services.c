/* Rows of the API table: levels, locks, timers, work items, memory, events, configuration, the
 * rest. */
#include "ndis/objects.h"
#include "ndis/test_api.h"
#include "ndis/test_fakes.h"

/* ---- levels and locks ---- */

static void
up_and_down(struct stage *stage)
{
    KIRQL outer, inner;

    KeRaiseIrql(DISPATCH_LEVEL, &outer);
    KeRaiseIrql(HIGH_LEVEL, &inner);
    assert_int_equal(inner, DISPATCH_LEVEL);
    assert_int_equal(KeGetCurrentIrql(), HIGH_LEVEL);
    KeLowerIrql(inner);
    KeLowerIrql(outer);
}

static void
down_and_up(struct stage *stage)
{
    KIRQL before = KeGetCurrentIrql(), old;

    KeRaiseIrql(DISPATCH_LEVEL, &old);
    KeRaiseIrql(PASSIVE_LEVEL, &old);
    assert_true(stage_logged(stage, "KeRaiseIrql: from IRQL 2 down to 0"));
    KeLowerIrql(DISPATCH_LEVEL);
    assert_true(stage_logged(stage, "KeLowerIrql: from IRQL 0 up to 2"));
    KeLowerIrql(before);
}

static void
spins(struct stage *stage)
{
    NDIS_SPIN_LOCK outer, inner;

    NdisAllocateSpinLock(&outer);
    NdisAllocateSpinLock(&inner);
    NdisAcquireSpinLock(&outer);
    NdisDprAcquireSpinLock(&inner);
    assert_int_equal(chimney_spin_locks_held(), 2);
    NdisDprReleaseSpinLock(&inner);
    NdisReleaseSpinLock(&outer);
    NdisFreeSpinLock(&inner);
    NdisFreeSpinLock(&outer);
}

static void
spins_in_vain(struct stage *stage)
{
    NDIS_SPIN_LOCK lock;

    NdisAllocateSpinLock(&lock);
    NdisAcquireSpinLock(&lock);
    NdisAcquireSpinLock(&lock);
    assert_true(stage_logged(stage, "NdisAcquireSpinLock: it is held already, by this thread"));
    NdisDprAcquireSpinLock(&lock);
    assert_true(stage_logged(stage, "NdisDprAcquireSpinLock: it is held already, by this thread"));
    NdisFreeSpinLock(&lock);
    assert_true(stage_logged(stage, "NdisFreeSpinLock: it is held"));
    NdisReleaseSpinLock(&lock);
    NdisReleaseSpinLock(&lock);
    assert_true(stage_logged(stage, "NdisReleaseSpinLock: it is not held by this thread"));
    NdisDprReleaseSpinLock(&lock);
    assert_true(stage_logged(stage, "NdisDprReleaseSpinLock: it is not held by this thread"));
}

static void
reads_and_writes(struct stage *stage)
{
    PNDIS_RW_LOCK_EX lock = NdisAllocateRWLock(stage->target.adapter);
    LOCK_STATE_EX state;

    NdisAcquireRWLockRead(lock, &state, 0);
    NdisReleaseRWLock(lock, &state);
    NdisAcquireRWLockWrite(lock, &state, 0);
    assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL);
    NdisReleaseRWLock(lock, &state);
    NdisFreeRWLock(lock);
}

static void
reads_and_writes_in_vain(struct stage *stage)
{
    PNDIS_RW_LOCK_EX lock = NdisAllocateRWLock(NULL);
    LOCK_STATE_EX state, refused;

    NdisAcquireRWLockWrite(lock, &state, 0);
    NdisAcquireRWLockRead(lock, &refused, 0);
    assert_true(stage_logged(stage, "NdisAcquireRWLockRead: it is held already, by this thread"));
    NdisAcquireRWLockWrite(lock, &refused, 0);
    assert_true(stage_logged(stage, "NdisAcquireRWLockWrite: it is held already, by this thread"));
    NdisReleaseRWLock(lock, &refused);
    assert_true(stage_logged(stage, "NdisReleaseRWLock: it is not held with this state"));
    NdisReleaseRWLock(lock, &state);
    NdisFreeRWLock(lock);
    NdisFreeRWLock((PNDIS_RW_LOCK_EX)stage->target.adapter);
    assert_true(stage_logged(stage, "is not a read-write lock handle"));
}

/* ---- timers, work items, events ---- */

static unsigned rung;

static VOID
ring(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2, PVOID SystemSpecific3)
{
    rung++;
}

static NDIS_HANDLE
timer_new(void)
{
    NDIS_TIMER_CHARACTERISTICS characteristics = {.Header = {NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS,
                                                             NDIS_TIMER_CHARACTERISTICS_REVISION_1,
                                                             sizeof(characteristics)},
                                                  .TimerFunction = ring};
    NDIS_HANDLE timer;

    assert_int_equal(NdisAllocateTimerObject(NULL, &characteristics, &timer), 0);
    return timer;
}

static const LARGE_INTEGER soon = {.QuadPart = -10000};

static void
timer_rings(struct stage *stage)
{
    NDIS_HANDLE timer = timer_new();

    rung = 0;
    assert_false(NdisSetTimerObject(timer, soon, 0, NULL));
    sys_loop_turn(stage->loop, true);
    assert_int_equal(rung, 1);
    NdisSetTimerObject(timer, soon, 0, NULL);
    assert_true(NdisCancelTimerObject(timer));
    stage_settle(stage);
    assert_int_equal(rung, 1);
    NdisFreeTimerObject(timer);
}

static void
no_timer(struct stage *stage)
{
    NDIS_TIMER_CHARACTERISTICS characteristics = {.TimerFunction = NULL};
    NDIS_HANDLE timer = stage;

    assert_int_equal(NdisAllocateTimerObject(NULL, &characteristics, &timer),
                     NDIS_STATUS_INVALID_PARAMETER);
    assert_null(timer);
    assert_false(NdisSetTimerObject(timer, soon, 0, NULL));
}

static void
timer_not_queued(struct stage *stage)
{
    NDIS_HANDLE timer = timer_new();

    assert_false(NdisCancelTimerObject(timer)); /* nothing to cancel */
    NdisSetTimerObject(timer, soon, 0, NULL);
    NdisFreeTimerObject(timer);
    assert_true(stage_logged(stage, "the timer is queued (V-192)"));
}

static VOID
work(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    NdisSetEvent(WorkItemContext);
}

static void
work_is_done(struct stage *stage)
{
    NDIS_HANDLE item = NdisAllocateIoWorkItem(stage->target.adapter);
    NDIS_EVENT event;

    NdisInitializeEvent(&event);
    NdisQueueIoWorkItem(item, work, &event);
    assert_true(NdisWaitEvent(&event, 0));
    NdisResetEvent(&event);
    assert_false(NdisWaitEvent(&event, 1));
    NdisFreeIoWorkItem(item);
}

static void
work_in_vain(struct stage *stage)
{
    NDIS_HANDLE item = NdisAllocateIoWorkItem(NULL);
    NDIS_EVENT event;

    NdisInitializeEvent(&event);
    NdisQueueIoWorkItem(item, work, &event);
    NdisQueueIoWorkItem(item, work, &event);
    assert_true(stage_logged(stage, "it is queued already"));
    NdisFreeIoWorkItem(item);
    assert_true(stage_logged(stage, "NdisFreeIoWorkItem: it is queued"));
    stage_settle(stage);
    assert_null(event.Reserved[0]); /* it did not run */
}

static void
event_does_not_come(struct stage *stage)
{
    NDIS_EVENT event;

    NdisInitializeEvent(&event);
    assert_false(NdisWaitEvent(&event, 20));
}

/* ---- configuration ---- */

static NDIS_HANDLE
open_configuration(struct stage *stage)
{
    NDIS_CONFIGURATION_OBJECT object = {.Header = {NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT,
                                                   NDIS_CONFIGURATION_OBJECT_REVISION_1,
                                                   sizeof(object)},
                                        .NdisHandle = stage->target.adapter};
    NDIS_HANDLE handle;

    assert_int_equal(NdisOpenConfigurationEx(&object, &handle), NDIS_STATUS_SUCCESS);
    return handle;
}

static void
configured(struct stage *stage)
{
    NDIS_HANDLE handle = open_configuration(stage), below;
    NDIS_CONFIGURATION_PARAMETER parameter = {.ParameterType = NdisParameterString}, *read;
    NDIS_STRING address = NDIS_STRING_CONST(u"NetworkAddress"), sub_key = NDIS_STRING_CONST(u"Ndi");
    NDIS_STATUS status;
    PVOID bytes;
    UINT length;

    NdisInitUnicodeString(&parameter.ParameterData.StringData, u"020000000001");
    NdisWriteConfiguration(&status, handle, &address, &parameter);
    assert_int_equal(status, NDIS_STATUS_SUCCESS);
    NdisReadConfiguration(&status, &read, handle, &address, NdisParameterString);
    assert_int_equal(status, NDIS_STATUS_SUCCESS);
    assert_true(NdisEqualString(&read->ParameterData.StringData,
                                &parameter.ParameterData.StringData, FALSE));
    NdisReadNetworkAddress(&status, &bytes, &length, handle);
    assert_int_equal(status, NDIS_STATUS_SUCCESS);
    assert_int_equal(length, 6);
    assert_int_equal(((PUCHAR)bytes)[5], 1);
    assert_int_equal(
        ndis_keys_set(&((struct ndis_adapter *)stage->target.adapter)->keys, "Ndi\\Type", "1"), 0);
    NdisOpenConfigurationKeyByName(&status, handle, &sub_key, &below);
    assert_int_equal(status, NDIS_STATUS_SUCCESS);
    NdisCloseConfiguration(below);
    NdisCloseConfiguration(handle);
}

static void
not_configured(struct stage *stage)
{
    NDIS_CONFIGURATION_OBJECT object = {.NdisHandle = NULL};
    NDIS_HANDLE handle = stage, below = stage;
    NDIS_CONFIGURATION_PARAMETER parameter = {.ParameterType = NdisParameterBinary}, *read;
    NDIS_STRING nothing = NDIS_STRING_CONST(u"Nothing"), empty = NDIS_STRING_CONST(u"");
    NDIS_STATUS status = 0;
    PVOID bytes = stage;
    UINT length;

    assert_int_equal(NdisOpenConfigurationEx(&object, &handle), NDIS_STATUS_FAILURE);
    assert_null(handle);
    handle = open_configuration(stage);
    NdisReadConfiguration(&status, &read, handle, &nothing, NdisParameterInteger);
    assert_int_equal(status, NDIS_STATUS_FAILURE);
    assert_null(read);
    NdisReadNetworkAddress(&status, &bytes, &length, handle);
    assert_int_equal(status, NDIS_STATUS_FAILURE);
    assert_null(bytes);
    NdisOpenConfigurationKeyByName(&status, handle, &nothing, &below);
    assert_int_equal(status, NDIS_STATUS_FAILURE);
    assert_null(below);
    NdisWriteConfiguration(&status, handle, &empty, &parameter);
    assert_int_equal(status, NDIS_STATUS_FAILURE);
    NdisCloseConfiguration(handle);
    NdisCloseConfiguration(NULL);
    assert_true(stage_logged(stage, "NdisCloseConfiguration: the configuration handle is NULL"));
}

/* ---- memory, strings, time, the machine ---- */

static void
memory(struct stage *stage)
{
    UCHAR *bytes = NdisAllocateMemoryWithTagPriority(stage->target.adapter, 100, 0x6d656d6f,
                                                     LowPoolPriority);

    NdisZeroMemory(bytes, 100);
    bytes[0] = 7;
    NdisMoveMemory(bytes + 1, bytes, 99);
    assert_int_equal(bytes[1], 7);
    NdisFreeMemory(bytes, 100, 0);
}

static void
strings(struct stage *stage)
{
    NDIS_STRING a, b;

    NdisInitUnicodeString(&a, u"Abc");
    NdisInitUnicodeString(&b, u"aBC");
    assert_true(NdisEqualString(&a, &b, TRUE));
}

static void
strings_differ(struct stage *stage)
{
    NDIS_STRING a, b;

    NdisInitUnicodeString(&a, u"Abc");
    NdisInitUnicodeString(&b, u"aBC");
    assert_false(NdisEqualString(&a, &b, FALSE));
    NdisInitUnicodeString(&b, NULL);
    assert_false(NdisEqualString(&a, &b, TRUE));
}

static void
time_passes(struct stage *stage)
{
    LARGE_INTEGER up, up_later, now, later;

    NdisGetSystemUpTimeEx(&up);
    NdisGetCurrentSystemTime(&now);
    NdisMSleep(3000);
    NdisStallExecution(1);
    NdisGetSystemUpTimeEx(&up_later);
    NdisGetCurrentSystemTime(&later);
    assert_int_equal(up_later.QuadPart - up.QuadPart, 3);
    assert_int_equal(later.QuadPart - now.QuadPart, 30000);
}

static void
the_machine(struct stage *stage)
{
    assert_int_equal(NdisGetVersion(), NDIS_RUNTIME_VERSION_620);
    assert_true(NdisSystemProcessorCount() >= 1);
    assert_true(NdisGroupMaxProcessorCount(0) >= 1);
    assert_true(NdisGroupMaxProcessorCount(ALL_PROCESSOR_GROUPS) >= NdisGroupMaxProcessorCount(0));
}

static void
no_such_group(struct stage *stage)
{
    assert_int_equal(NdisGroupMaxProcessorCount(1000), 0);
}

static void
error_is_logged(struct stage *stage)
{
    NdisWriteErrorLogEntry(stage->target.adapter, NDIS_ERROR_CODE_TIMEOUT, 1, (ULONG)5);
    assert_string_equal(stage->log, "adapter nic0: error 0x8000138f 0x5\n");
    stage->log[0] = '\0';
}

static void
error_of_nobody(struct stage *stage)
{
    NdisWriteErrorLogEntry(stage->target.driver, NDIS_ERROR_CODE_TIMEOUT, 0);
    assert_true(stage_logged(stage, "is not a miniport adapter handle"));
    assert_false(stage_logged(stage, "8000138f"));
}

#define NO_MEMORY "fails only without memory, returning NULL"
#define NO_ERROR "returns nothing that could say so"

static const struct api_row rows[] = {
    ROW_SURE(KeGetCurrentIrql, API_ANY, up_and_down, "there is always a level"),
    ROW(KeRaiseIrql, API_ANY, up_and_down, down_and_up),
    ROW(KeLowerIrql, API_ANY, up_and_down, down_and_up),
    ROW_SURE(NdisAllocateSpinLock, API_ANY, spins, NO_ERROR),
    ROW(NdisFreeSpinLock, API_ANY, spins, spins_in_vain),
    ROW(NdisAcquireSpinLock, DISPATCH_LEVEL, spins, spins_in_vain),
    ROW(NdisReleaseSpinLock, DISPATCH_LEVEL, spins, spins_in_vain),
    ROW(NdisDprAcquireSpinLock, DISPATCH_LEVEL, spins, spins_in_vain),
    ROW(NdisDprReleaseSpinLock, DISPATCH_LEVEL, spins, spins_in_vain),
    ROW_SURE(NdisAllocateRWLock, DISPATCH_LEVEL, reads_and_writes, NO_MEMORY),
    ROW(NdisAcquireRWLockRead, DISPATCH_LEVEL, reads_and_writes, reads_and_writes_in_vain),
    ROW(NdisAcquireRWLockWrite, DISPATCH_LEVEL, reads_and_writes, reads_and_writes_in_vain),
    ROW(NdisReleaseRWLock, DISPATCH_LEVEL, reads_and_writes, reads_and_writes_in_vain),
    ROW(NdisFreeRWLock, DISPATCH_LEVEL, reads_and_writes, reads_and_writes_in_vain),
    ROW(NdisAllocateTimerObject, DISPATCH_LEVEL, timer_rings, no_timer),
    ROW(NdisSetTimerObject, DISPATCH_LEVEL, timer_rings, no_timer),
    ROW(NdisCancelTimerObject, DISPATCH_LEVEL, timer_rings, timer_not_queued),
    ROW(NdisFreeTimerObject, DISPATCH_LEVEL, timer_rings, timer_not_queued),
    ROW_SURE(NdisAllocateIoWorkItem, DISPATCH_LEVEL, work_is_done, NO_MEMORY),
    ROW(NdisQueueIoWorkItem, DISPATCH_LEVEL, work_is_done, work_in_vain),
    ROW(NdisFreeIoWorkItem, DISPATCH_LEVEL, work_is_done, work_in_vain),
    ROW_SURE(NdisInitializeEvent, API_ANY, work_is_done, NO_ERROR),
    ROW_SURE(NdisSetEvent, DISPATCH_LEVEL, work_is_done, NO_ERROR),
    ROW_SURE(NdisResetEvent, DISPATCH_LEVEL, work_is_done, NO_ERROR),
    ROW(NdisWaitEvent, PASSIVE_LEVEL, work_is_done, event_does_not_come),
    ROW(NdisOpenConfigurationEx, PASSIVE_LEVEL, configured, not_configured),
    ROW(NdisReadConfiguration, PASSIVE_LEVEL, configured, not_configured),
    ROW(NdisWriteConfiguration, PASSIVE_LEVEL, configured, not_configured),
    ROW(NdisReadNetworkAddress, PASSIVE_LEVEL, configured, not_configured),
    ROW(NdisOpenConfigurationKeyByName, APC_LEVEL, configured, not_configured),
    ROW(NdisCloseConfiguration, PASSIVE_LEVEL, configured, not_configured),
    ROW_SURE(NdisAllocateMemoryWithTagPriority, DISPATCH_LEVEL, memory, NO_MEMORY),
    ROW_SURE(NdisFreeMemory, DISPATCH_LEVEL, memory, NO_ERROR),
    ROW_SURE(NdisInitUnicodeString, API_ANY, strings, NO_ERROR),
    ROW(NdisEqualString, PASSIVE_LEVEL, strings, strings_differ),
    ROW_SURE(NdisGetVersion, DISPATCH_LEVEL, the_machine, "there is always a version"),
    ROW_SURE(NdisGetSystemUpTimeEx, API_ANY, time_passes, NO_ERROR),
    ROW_SURE(NdisGetCurrentSystemTime, API_ANY, time_passes, NO_ERROR),
    ROW_SURE(NdisMSleep, APC_LEVEL, time_passes, NO_ERROR),
    ROW_SURE(NdisStallExecution, API_ANY, time_passes, NO_ERROR),
    ROW(NdisGroupMaxProcessorCount, API_ANY, the_machine, no_such_group),
    ROW_SURE(NdisSystemProcessorCount, PASSIVE_LEVEL, the_machine, "there is always one"),
    ROW(NdisWriteErrorLogEntry, DISPATCH_LEVEL, error_is_logged, error_of_nobody),
};
const struct api_rows api_services = {rows, sizeof(rows) / sizeof(rows[0])};
