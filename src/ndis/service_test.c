/* Services: strings, timers, work items, events, time, the error log. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include "sys/clock.h"

static void
strings(void **state)
{
    NDIS_STRING a, b, none;
    struct ndis_text text;
    char name[4];

    NdisInitUnicodeString(&a, u"Abc");
    NdisInitUnicodeString(&b, u"aBC");
    NdisInitUnicodeString(&none, NULL);
    assert_int_equal(a.Length, 6);
    assert_int_equal(a.MaximumLength, 8);
    assert_int_equal(none.Length, 0);
    assert_true(NdisEqualString(&a, &b, TRUE));
    assert_false(NdisEqualString(&a, &b, FALSE));
    assert_false(NdisEqualString(&a, &none, TRUE));
    assert_true(ndis_text_get(&a, name, sizeof(name)));
    assert_string_equal(name, "Abc");
    assert_false(ndis_text_get(&a, name, 3));
    assert_false(ndis_text_get(&none, name, sizeof(name)));
    NdisInitUnicodeString(&b, u"\u00e4");
    assert_false(ndis_text_get(&b, name, sizeof(name)));
    assert_true(NdisEqualString(ndis_text_set(&text, "ABC"), &a, TRUE));
    assert_false(ndis_text_equal(&a, "Ab"));
}

static unsigned fired;

static VOID
on_timer(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2, PVOID SystemSpecific3)
{
    unsigned *counter = FunctionContext;

    ++*counter;
}

static void
timers(void **state)
{
    struct stage *stage = *state;
    NDIS_TIMER_CHARACTERISTICS characteristics = {.TimerFunction = on_timer,
                                                  .FunctionContext = &fired};
    LARGE_INTEGER due = {.QuadPart = -50000}, absolute; /* 5 ms */
    unsigned other = 0;
    uint64_t start = sys_loop_now_us(stage->loop);
    NDIS_HANDLE timer;

    fired = 0;
    assert_int_equal(NdisAllocateTimerObject(NULL, &characteristics, &timer), 0);
    assert_false(NdisSetTimerObject(timer, due, 0, NULL));
    assert_true(NdisSetTimerObject(timer, due, 0, NULL));
    assert_true(NdisCancelTimerObject(timer));
    assert_false(NdisCancelTimerObject(timer));
    assert_false(NdisSetTimerObject(timer, due, 0, &other));
    sys_loop_turn(stage->loop, true);
    assert_int_equal(fired, 0);
    assert_int_equal(other, 1);
    assert_int_equal(sys_loop_now_us(stage->loop) - start, 5000);
    assert_false(NdisSetTimerObject(timer, due, 2, NULL));
    for (int i = 0; i < 4; i++)
        sys_loop_turn(stage->loop, true);
    assert_int_equal(fired, 4);
    assert_int_equal(sys_loop_now_us(stage->loop) - start, 5000 + 5000 + 3 * 2000);
    assert_true(NdisCancelTimerObject(timer));
    /* At a time of day: one to come, one that is over. */
    NdisGetCurrentSystemTime(&absolute);
    absolute.QuadPart += 70000;
    start = sys_loop_now_us(stage->loop);
    assert_false(NdisSetTimerObject(timer, absolute, 0, NULL));
    sys_loop_turn(stage->loop, true);
    assert_int_equal(fired, 5);
    assert_int_equal(sys_loop_now_us(stage->loop) - start, 7000);
    assert_false(NdisSetTimerObject(timer, absolute, 0, NULL));
    sys_loop_turn(stage->loop, true);
    assert_int_equal(fired, 6);
    assert_int_equal(sys_loop_now_us(stage->loop) - start, 7000);
    NdisSetTimerObject(timer, due, 0, NULL);
    NdisFreeTimerObject(timer);
    assert_true(stage_logged(stage, "V-192"));
    characteristics.TimerFunction = NULL;
    assert_int_not_equal(NdisAllocateTimerObject(NULL, &characteristics, &timer), 0);
    assert_false(NdisSetTimerObject(NULL, due, 0, NULL));
}

static VOID
on_work(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    unsigned *counter = WorkItemContext;

    if (++*counter < 3)
        NdisQueueIoWorkItem(NdisIoWorkItemHandle, on_work, WorkItemContext);
}

static void
work_items(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE work = NdisAllocateIoWorkItem(NULL);
    unsigned counter = 0;

    NdisQueueIoWorkItem(work, on_work, &counter);
    NdisQueueIoWorkItem(work, on_work, &counter);
    assert_true(stage_logged(stage, "queued already"));
    assert_int_equal(counter, 0);
    stage_settle(stage);
    assert_int_equal(counter, 3);
    NdisFreeIoWorkItem(work);
    NdisQueueIoWorkItem(NULL, on_work, &counter);
}

static VOID
set_event(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    NdisSetEvent(WorkItemContext);
}

static void
events(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE work = NdisAllocateIoWorkItem(NULL);
    uint64_t start = sys_loop_now_us(stage->loop);
    NDIS_EVENT event;

    NdisInitializeEvent(&event);
    assert_false(NdisWaitEvent(&event, 20));
    assert_int_equal(sys_loop_now_us(stage->loop) - start, 20000);
    NdisQueueIoWorkItem(work, set_event, &event);
    assert_true(NdisWaitEvent(&event, 0));
    assert_true(NdisWaitEvent(&event, 1));
    NdisResetEvent(&event);
    assert_false(NdisWaitEvent(&event, 1));
    NdisFreeIoWorkItem(work);
}

static void
memory_and_time(void **state)
{
    struct stage *stage = *state;
    LARGE_INTEGER now, then;
    UCHAR *memory = NdisAllocateMemoryWithTagPriority(NULL, 10, 0, NormalPoolPriority);
    uint64_t start = sys_loop_now_us(stage->loop), start_ns;

    NdisZeroMemory(memory, 10);
    NdisMoveMemory(memory, memory + 5, 5);
    assert_int_equal(memory[4], 0);
    NdisFreeMemory(memory, 10, 0);
    NdisGetSystemUpTimeEx(&now);
    assert_int_equal(now.QuadPart, start / 1000);
    assert_int_equal(NdisGetVersion() >> 16, 6);
    /* The simulation's year 2000, in units of 100 ns since 1601. */
    NdisGetCurrentSystemTime(&now);
    assert_int_equal(now.QuadPart, 125911584000000000 + (LONGLONG)start * 10);
    NdisMSleep(1500);
    NdisGetCurrentSystemTime(&then);
    assert_int_equal(then.QuadPart - now.QuadPart, 15000);
    assert_int_equal(sys_loop_now_us(stage->loop) - start, 1500);
    start_ns = sys_clock_ns();
    NdisStallExecution(50);
    assert_true(sys_clock_ns() - start_ns >= 50000);
    assert_int_equal(sys_loop_now_us(stage->loop) - start, 1500); /* nobody's time but its own */
}

static void
processors(void **state)
{
    ULONG all = NdisGroupMaxProcessorCount(ALL_PROCESSOR_GROUPS), sum = 0;

    assert_true(all >= 1);
    for (USHORT group = 0; NdisGroupMaxProcessorCount(group); group++) {
        assert_true(NdisGroupMaxProcessorCount(group) <= 64);
        sum += NdisGroupMaxProcessorCount(group);
    }
    assert_int_equal(sum, all);
    assert_int_equal(NdisSystemProcessorCount(), NdisGroupMaxProcessorCount(0));
}

static void
error_log(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, NULL), 0);
    NdisWriteErrorLogEntry(stage->target.adapter, NDIS_ERROR_CODE_HARDWARE_FAILURE, 2, 7u, 0xabcu);
    assert_true(stage_logged(stage, "adapter nic0: error 0xc000138a 0x7 0xabc"));
    NdisWriteErrorLogEntry(stage->target.adapter, NDIS_ERROR_CODE_TIMEOUT, 0);
    assert_true(stage_logged(stage, "adapter nic0: error 0x8000138f"));
    NdisWriteErrorLogEntry(NULL, NDIS_ERROR_CODE_TIMEOUT, 0);
    assert_true(stage_logged(stage, "NdisWriteErrorLogEntry: the miniport adapter handle is NULL"));
}

#define EMPTY(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(strings),         EMPTY(timers),     EMPTY(work_items), EMPTY(events),
        EMPTY(memory_and_time), EMPTY(processors), EMPTY(error_log),
    };

    return cmocka_run_group_tests_name("ndis/service", tests, NULL, NULL);
}
