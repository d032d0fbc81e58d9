/* A device that hangs, is reset, is pulled out; a machine that goes down. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <errno.h>

#define SECOND_US 1000000ull

static int
setup_watched(void **state)
{
    stage_setup(state);
    ((struct stage *)*state)->target.watched = true;
    stage_build(*state);
    return 0;
}

static NDIS_OID_REQUEST
set_filter(ULONG *filter)
{
    NDIS_OID_REQUEST request = {
        .Header = {NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1, sizeof(request)},
        .RequestType = NdisRequestSetInformation,
        .DATA.SET_INFORMATION = {.Oid = OID_GEN_CURRENT_PACKET_FILTER,
                                 .InformationBuffer = filter,
                                 .InformationBufferLength = sizeof(*filter)},
    };

    return request;
}

/* Turns until that many words are in the trace. */
static void
until(struct stage *stage, const char *trace)
{
    for (int turns = 0; turns < 100 && strcmp(stage->trace, trace); turns++)
        sys_loop_turn(stage->loop, true);
    assert_string_equal(stage->trace, trace);
}

static void
checked_as_often_as_it_asks(void **state)
{
    struct stage *stage = *state;
    uint64_t start = sys_loop_now_us(stage->loop);

    until(stage, "check");
    assert_int_equal(sys_loop_now_us(stage->loop) - start, 3 * SECOND_US);
    until(stage, "check check");
    assert_int_equal(sys_loop_now_us(stage->loop) - start, 6 * SECOND_US);
    assert_int_equal(stage->host.statuses, 0);
    house_remove_adapter(stage->house, "nic0");
    sys_loop_turn(stage->loop, true); /* nothing is left to wait for */
    assert_int_equal(sys_loop_now_us(stage->loop) - start, 6 * SECOND_US);
}

static void
reset_at_once(void **state)
{
    struct stage *stage = *state;

    stage->target.hangs = true;
    until(stage, "check reset");
    assert_int_equal(stage->target.level, DISPATCH_LEVEL);
    assert_int_equal(stage->host.statuses, 2);
    assert_int_equal(stage->host.status_seen, NDIS_STATUS_RESET_END);
    until(stage, "check reset check");
    assert_int_equal(stage->host.statuses, 2);
    NdisMResetComplete(stage->target.adapter, NDIS_STATUS_SUCCESS, FALSE);
    assert_true(stage_logged(stage, "no reset of adapter nic0 is in progress (V-187)"));
}

static void
reset_later(void **state)
{
    struct stage *stage = *state;
    NDIS_OID_REQUEST request = {.RequestType = NdisRequestQueryInformation,
                                .DATA.QUERY_INFORMATION.Oid = OID_TCP4_OFFLOAD_STATS};
    KIRQL old;

    stage->target.hangs = stage->target.pend_reset = true;
    until(stage, "check reset");
    assert_int_equal(stage->host.status_seen, NDIS_STATUS_RESET_START);
    /* Requests wait; a second hang is no second reset. */
    assert_int_equal(NdisOidRequest(stage->host.binding, &request), NDIS_STATUS_PENDING);
    stage->target.hangs = true;
    until(stage, "check reset check");
    stage_settle(stage);
    assert_int_equal(stage->target.oids, 0);
    NdisMResetComplete(NULL, NDIS_STATUS_SUCCESS, FALSE);
    NdisMResetComplete(stage->target.adapter, NDIS_STATUS_SUCCESS, FALSE);
    assert_true(stage_logged(stage, "NdisMResetComplete: called at IRQL 0, it is for 2"));
    assert_int_equal(stage->host.status_seen, NDIS_STATUS_RESET_END);
    assert_int_equal(stage->target.oids, 0); /* not from inside the completion */
    stage_settle(stage);
    assert_int_equal(stage->target.oids, 1);
    assert_int_equal(stage->target.level, PASSIVE_LEVEL);
    assert_ptr_equal(stage->host.oid_done, &request);
    until(stage, "check reset check check reset");
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    NdisMResetComplete(stage->target.adapter, NDIS_STATUS_HARD_ERRORS, FALSE);
    KeLowerIrql(old);
    assert_true(stage_logged(stage, "reset ended with 0x80010004"));
}

static void
the_filter_is_restored(void **state)
{
    struct stage *stage = *state;
    ULONG filter = NDIS_PACKET_TYPE_DIRECTED, other = NDIS_PACKET_TYPE_PROMISCUOUS;
    NDIS_OID_REQUEST first = set_filter(&filter), refused = set_filter(&other);

    stage->target.hangs = true;
    stage->target.addressing_reset = TRUE;
    until(stage, "check reset");
    stage_settle(stage);
    assert_int_equal(stage->target.oids, 0); /* nobody has set one */
    assert_int_equal(NdisOidRequest(stage->host.binding, &first), NDIS_STATUS_SUCCESS);
    stage->target.oid_status = NDIS_STATUS_FAILURE;
    assert_int_equal(NdisOidRequest(stage->host.binding, &refused), NDIS_STATUS_FAILURE);
    stage->target.oid_status = NDIS_STATUS_SUCCESS;
    stage->target.filter_set = 0;
    stage->target.hangs = true;
    until(stage, "check reset check reset");
    stage_settle(stage);
    assert_int_equal(stage->target.oids, 3);
    assert_int_equal(stage->target.filter_set, NDIS_PACKET_TYPE_DIRECTED);
    assert_int_equal(stage->host.oids_done, 0); /* it is nobody's request */
    /* A miniport that answers later, and hangs again before it does. */
    stage->target.pend_oid = stage->target.hangs = true;
    until(stage, "check reset check reset check reset");
    stage_settle(stage);
    assert_int_equal(stage->target.oids, 4);
    stage->target.hangs = true;
    until(stage, "check reset check reset check reset check reset");
    stage_settle(stage);
    assert_int_equal(stage->target.oids, 4);
    NdisMOidRequestComplete(stage->target.adapter, stage->target.oid, NDIS_STATUS_SUCCESS);
    assert_int_equal(stage->host.oids_done, 0);
    /* A failed reset has lost nothing. */
    stage->target.reset_status = NDIS_STATUS_HARD_ERRORS;
    stage->target.hangs = true;
    until(stage, "check reset check reset check reset check reset check reset");
    stage_settle(stage);
    assert_int_equal(stage->target.oids, 4);
}

static void
halted_in_a_reset(void **state)
{
    struct stage *stage = *state;

    stage->target.hangs = stage->target.pend_reset = true;
    until(stage, "check reset");
    assert_int_equal(house_remove_adapter(stage->house, "nic0"), 0);
    assert_true(stage_logged(stage, "adapter nic0 is halted in the middle of a reset"));
    NdisMResetComplete(stage->target.adapter, NDIS_STATUS_SUCCESS, FALSE);
    assert_true(stage_logged(stage, "was closed before"));
}

static void
hangs_for_good(void **state)
{
    struct stage *stage;

    stage_setup(state);
    stage = *state;
    stage->target.watched = stage->target.cannot_reset = true;
    stage_build(stage);
    stage->target.hangs = true;
    until(stage, "check check");
    assert_true(stage_logged(stage, "adapter nic0 hangs, and its driver cannot reset it"));
    assert_int_equal(stage->host.statuses, 0);
}

static void
pulled_out(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_surprise_remove_adapter(stage->house, "nic7"), -ENOENT);
    assert_int_equal(house_surprise_remove_adapter(stage->house, "nic0"), 0);
    assert_string_equal(stage->trace, "surprise event-pause unbind pause halt-gone");
    assert_int_equal(house_surprise_remove_adapter(stage->house, "nic0"), -ENOENT);
}

static void
powered_off(void **state)
{
    struct stage *stage = *state;

    house_shutdown(stage->house, false);
    assert_int_equal(stage->target.level, PASSIVE_LEVEL);
    house_shutdown(stage->house, true);
    assert_int_equal(stage->target.level, HIGH_LEVEL);
    assert_int_equal(KeGetCurrentIrql(), PASSIVE_LEVEL);
    assert_string_equal(stage->trace, "shutdown crash");
}

static NDIS_STATUS bare_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);

/* A driver that leaves out what it may: nothing happens, and nothing crashes. */
static void
optional_handlers_are_optional(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_load(stage->house, "bare", bare_entry, &stage->target), 0);
    assert_int_equal(house_add_adapter(stage->house, "bare", "nic1", NULL, NULL), 0);
    house_shutdown(stage->house, false);
    assert_int_equal(house_surprise_remove_adapter(stage->house, "nic1"), 0);
    assert_string_equal(stage->trace, "");
}

/* The fake's handlers have their own test above; this one has only what it must have. */
static NDIS_STATUS
bare_initialize(NDIS_HANDLE NdisMiniportHandle, NDIS_HANDLE MiniportDriverContext,
                PNDIS_MINIPORT_INIT_PARAMETERS MiniportInitParameters)
{
    NDIS_MINIPORT_ADAPTER_ATTRIBUTES attributes = {
        .RegistrationAttributes = {
            .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES, 1,
                       sizeof(attributes.RegistrationAttributes)}}};

    return NdisMSetMiniportAttributes(NdisMiniportHandle, &attributes);
}

static VOID
bare_halt(NDIS_HANDLE MiniportAdapterContext, NDIS_HALT_ACTION HaltAction)
{
}

static NDIS_STATUS
bare_pause(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters)
{
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
bare_restart(NDIS_HANDLE MiniportAdapterContext,
             PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters)
{
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
bare_oid(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    return NDIS_STATUS_NOT_SUPPORTED;
}

static VOID
bare_send(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferList,
          NDIS_PORT_NUMBER PortNumber, ULONG SendFlags)
{
}

static VOID
bare_return(NDIS_HANDLE MiniportAdapterContext, PNET_BUFFER_LIST NetBufferLists, ULONG ReturnFlags)
{
}

static NDIS_HANDLE bare_driver;

static VOID
bare_unload(PDRIVER_OBJECT DriverObject)
{
    NdisMDeregisterMiniportDriver(bare_driver);
}

static NDIS_STATUS
bare_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS,
                   NDIS_MINIPORT_DRIVER_CHARACTERISTICS_REVISION_2, sizeof(characteristics)},
        .MajorNdisVersion = 6,
        .InitializeHandlerEx = bare_initialize,
        .HaltHandlerEx = bare_halt,
        .UnloadHandler = bare_unload,
        .PauseHandler = bare_pause,
        .RestartHandler = bare_restart,
        .OidRequestHandler = bare_oid,
        .SendNetBufferListsHandler = bare_send,
        .ReturnNetBufferListsHandler = bare_return,
    };

    return NdisMRegisterMiniportDriver(DriverObject, RegistryPath, NULL, &characteristics,
                                       &bare_driver);
}

#define EMPTY(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)
#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)
#define WATCHED(name) cmocka_unit_test_setup_teardown(name, setup_watched, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WATCHED(checked_as_often_as_it_asks),
        WATCHED(reset_at_once),
        WATCHED(reset_later),
        WATCHED(the_filter_is_restored),
        WATCHED(halted_in_a_reset),
        cmocka_unit_test_teardown(hangs_for_good, stage_teardown),
        BOUND(pulled_out),
        BOUND(powered_off),
        EMPTY(optional_handlers_are_optional),
    };

    return cmocka_run_group_tests_name("ndis/device", tests, NULL, NULL);
}
