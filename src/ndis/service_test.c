/* Services: configuration, strings, timers, work items, events, locks, time. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

static NDIS_HANDLE
open_configuration(NDIS_HANDLE owner)
{
    NDIS_CONFIGURATION_OBJECT object = {
        .Header = {NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT, 1, sizeof(object)}, .NdisHandle = owner};
    NDIS_HANDLE handle;

    return NdisOpenConfigurationEx(&object, &handle) == NDIS_STATUS_SUCCESS ? handle : NULL;
}

static NDIS_CONFIGURATION_PARAMETER *
read_configuration(NDIS_HANDLE handle, PCWSTR keyword, NDIS_PARAMETER_TYPE type,
                   NDIS_STATUS expected)
{
    NDIS_CONFIGURATION_PARAMETER *parameter;
    NDIS_STRING name;
    NDIS_STATUS status;

    NdisInitUnicodeString(&name, keyword);
    NdisReadConfiguration(&status, &parameter, handle, &name, type);
    assert_int_equal(status, expected);
    assert_true((status == NDIS_STATUS_SUCCESS) == (parameter != NULL));
    return parameter;
}

static void
configuration(void **state)
{
    struct stage *stage = *state;
    struct house_option options[] = {
        {"VlanId", "17"}, {"Name", "eth 0"}, {"Empty", ""}, {NULL, NULL}};
    NDIS_CONFIGURATION_PARAMETER *parameter;
    NDIS_HANDLE handle;

    assert_int_equal(house_load(stage->house, "target", fake_target_entry, &stage->target), 0);
    assert_int_equal(house_add_adapter(stage->house, "target", "nic0", NULL, options), 0);
    options[0].value = "99"; /* they were copied */
    handle = open_configuration(stage->target.adapter);
    assert_non_null(handle);
    parameter = read_configuration(handle, u"vlanid", NdisParameterInteger, NDIS_STATUS_SUCCESS);
    assert_int_equal(parameter->ParameterData.IntegerData, 17);
    parameter = read_configuration(handle, u"VlanId", NdisParameterHexInteger, NDIS_STATUS_SUCCESS);
    assert_int_equal(parameter->ParameterData.IntegerData, 0x17);
    parameter = read_configuration(handle, u"Name", NdisParameterString, NDIS_STATUS_SUCCESS);
    assert_int_equal(parameter->ParameterData.StringData.Length, 10);
    assert_int_equal(parameter->ParameterData.StringData.Buffer[4], '0');
    read_configuration(handle, u"Name", NdisParameterInteger, NDIS_STATUS_FAILURE);
    read_configuration(handle, u"Empty", NdisParameterInteger, NDIS_STATUS_FAILURE);
    read_configuration(handle, u"Nothing", NdisParameterString, NDIS_STATUS_FAILURE);
    read_configuration(handle, u"Name", NdisParameterBinary, NDIS_STATUS_NOT_SUPPORTED);
    NdisCloseConfiguration(handle);
    handle = open_configuration(stage->target.driver);
    read_configuration(handle, u"Name", NdisParameterString, NDIS_STATUS_FAILURE);
    NdisCloseConfiguration(handle);
    assert_null(open_configuration(NULL));
    assert_null(open_configuration(stage->house));
    NdisCloseConfiguration(NULL);
}

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
    LARGE_INTEGER due = {.QuadPart = -50000}, absolute = {.QuadPart = 1}; /* 5 ms */
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
    assert_false(NdisSetTimerObject(timer, absolute, 0, NULL));
    assert_true(stage_logged(stage, "absolute"));
    NdisFreeTimerObject(timer);
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
locks_memory_and_time(void **state)
{
    struct stage *stage = *state;
    NDIS_SPIN_LOCK lock;
    LARGE_INTEGER now;
    UCHAR *memory = NdisAllocateMemoryWithTagPriority(NULL, 10, 0, NormalPoolPriority);

    NdisZeroMemory(memory, 10);
    NdisFreeMemory(memory, 10, 0);
    NdisAllocateSpinLock(&lock);
    NdisAcquireSpinLock(&lock);
    NdisFreeSpinLock(&lock);
    assert_true(stage_logged(stage, "it is held"));
    NdisAcquireSpinLock(&lock);
    assert_true(stage_logged(stage, "held already"));
    NdisReleaseSpinLock(&lock);
    NdisReleaseSpinLock(&lock);
    assert_true(stage_logged(stage, "not held"));
    NdisGetSystemUpTimeEx(&now);
    assert_int_equal(now.QuadPart, sys_loop_now_us(stage->loop) / 1000);
    assert_int_equal(NdisGetVersion() >> 16, 6);
}

#define EMPTY(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EMPTY(configuration), EMPTY(strings), EMPTY(timers),
        EMPTY(work_items),    EMPTY(events),  EMPTY(locks_memory_and_time),
    };

    return cmocka_run_group_tests_name("ndis/service", tests, NULL, NULL);
}
