/* Power: who hears of it in which order, what is refused meanwhile, drivers that do not cooperate.
 */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <errno.h>

static void
events_and_the_request(void **state)
{
    struct stage *stage = *state;

    stage->trace[0] = '\0';
    stage->target.oids = 0;
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD2), 0);
    assert_string_equal(stage->trace, "event");
    assert_int_equal(stage->target.oids, 1);
    assert_int_equal(stage->target.oid->DATA.SET_INFORMATION.Oid, OID_PNP_SET_POWER);
    assert_int_equal(stage->target.level, PASSIVE_LEVEL);
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD3), 0); /* it has none */
    assert_int_equal(stage->target.oids, 1);
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD0), 0);
    assert_string_equal(stage->trace, "event event");
    assert_int_equal(stage->target.oids, 2);
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD0), 0);
    assert_int_equal(stage->target.oids, 2);
}

/* P14 */
static void
refused_meanwhile(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *frame = test_nbls(pool, 1);
    struct test_block b[3];

    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD3), 0);
    frame->SourceHandle = stage->host.binding;
    NdisSendNetBufferLists(stage->host.binding, frame, 0, 0);
    stage_settle(stage);
    assert_null(stage->target.nbls);
    assert_ptr_equal(stage->host.nbls, frame);
    assert_int_equal(frame->Status, NDIS_STATUS_LOW_POWER_STATE);
    memset(b, 0, sizeof(b));
    test_block_init(&b[0], NeighborOffloadState);
    NdisInitiateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    assert_null(stage->target.root);
    assert_ptr_equal(stage->host.done, &b[0].block);
    assert_int_equal(b[0].block.Status, NDIS_STATUS_LOW_POWER_STATE);
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD0), 0);
    stage_offload(stage, b);
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    test_free_nbls(frame);
    NdisFreeNetBufferListPool(pool);
}

/* The host stack takes its time to hear it, the miniport to do it. */
static void
waits_for_both(void **state)
{
    struct stage *stage = *state;

    stage->host.pend_event = true;
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD3), 0);
    stage->host.pend_event = false;
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD0), 0);
}

static void
a_miniport_that_refuses(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];

    stage->target.oid_status = NDIS_STATUS_FAILURE;
    stage->trace[0] = '\0';
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD3), -EIO);
    assert_string_equal(stage->trace, "event event");
    stage->target.oid_status = NDIS_STATUS_SUCCESS;
    stage_offload(stage, b); /* it is as it was */
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
}

static void
a_miniport_that_does_not_answer(void **state)
{
    struct stage *stage = *state;

    stage->target.pend_oid = true;
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD3), -EIO);
    assert_true(stage_logged(stage, "does not complete OID_PNP_SET_POWER, 0 objects"));
    assert_true(stage_logged(stage, "V-187"));
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD3), -EBUSY);
    NdisMOidRequestComplete(stage->target.adapter, stage->target.oid, NDIS_STATUS_SUCCESS);
    stage->target.pend_oid = false;
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD3), 0);
}

/* It holds the request until everything is terminated, as it should. */
static void
a_host_that_keeps_its_objects(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];

    stage_offload(stage, b);
    stage->target.pend_oid = true;
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD3), -EIO);
    assert_true(stage_logged(
        stage, "driver host left 3 objects offloaded over nic0, which loses its power (V-157)"));
    assert_false(stage_logged(stage, "V-187"));
    stage->target.pend_oid = false;
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    NdisMOidRequestComplete(stage->target.adapter, stage->target.oid, NDIS_STATUS_SUCCESS);
}

static void
what_has_no_power(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_set_power(stage->house, "nic9", NdisDeviceStateD3), -ENOENT);
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateUnspecified), -EINVAL);
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateMaximum), -EINVAL);
    ndis_adapter_find(stage->house, "nic0")->below = (void *)stage; /* a virtual one */
    assert_int_equal(house_set_power(stage->house, "nic0", NdisDeviceStateD3), -EINVAL);
    ndis_adapter_find(stage->house, "nic0")->below = NULL;
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOUND(events_and_the_request),
        BOUND(refused_meanwhile),
        BOUND(waits_for_both),
        BOUND(a_miniport_that_refuses),
        BOUND(a_miniport_that_does_not_answer),
        BOUND(a_host_that_keeps_its_objects),
        BOUND(what_has_no_power),
    };

    return cmocka_run_group_tests_name("ndis/power", tests, NULL, NULL);
}
