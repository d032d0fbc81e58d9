/*
 * What the owner of the socket sets while the target has the connection: found at the next look and
 * told by an update, one at a time, and never more than once.
 */
#include "host/linux/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int
setup(void **state)
{
    rig_setup(state);
    rig_down();
    return 0;
}

static TCP_OFFLOAD_STATE_CACHED
take_update(NDIS_STATUS status)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_UPDATE);

    assert_non_null(root);
    TCP_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_FIRST(
        root->DependentBlockList->DependentBlockList);
    TCP_OFFLOAD_STATE_CACHED told = *cached;
    fake_answer(FAKE_UPDATE, root, status);
    rig_turn();
    return told;
}

static void
nothing_is_told(void)
{
    rig_pass(3 * LIVE_BEAT_US);
    assert_int_equal(fake.call_count, 0);
}

static void
set_keepalive(uint32_t time_s, uint32_t interval_s, uint8_t probes)
{
    rig.socket.keepalive = 1;
    rig.socket.keepalive_time_s = time_s;
    rig.socket.keepalive_interval_s = interval_s;
    rig.socket.keepalive_probes = probes;
    rig_pass(LIVE_BEAT_US);
}

static void
keepalive_on_changed_and_off(void **state)
{
    TCP_OFFLOAD_STATE_CACHED told;

    nothing_is_told();
    set_keepalive(10, 3, 4);
    told = take_update(NDIS_STATUS_SUCCESS);
    assert_int_equal(told.Flags, TCP_FLAG_KEEP_ALIVE_ENABLED | TCP_FLAG_KEEP_ALIVE_RESTART);
    assert_int_equal(told.KaTimeout, 10000);
    assert_int_equal(told.KaInterval, 3000);
    assert_int_equal(told.KaProbeCount, 4);
    nothing_is_told();
    set_keepalive(0, 0, 0); /* the system's */
    told = take_update(NDIS_STATUS_SUCCESS);
    assert_int_equal(told.KaTimeout, 7200000);
    assert_int_equal(told.KaInterval, 75000);
    assert_int_equal(told.KaProbeCount, 9);
    nothing_is_told();
    rig.socket.keepalive = 0;
    rig_pass(LIVE_BEAT_US);
    told = take_update(NDIS_STATUS_SUCCESS);
    assert_int_equal(told.Flags & TCP_FLAG_KEEP_ALIVE_ENABLED, 0);
    nothing_is_told();
    assert_int_equal(rig.conn->phase, LIVE_OFFLOADED);
}

static void
ttl_and_tos(void **state)
{
    TCP_OFFLOAD_STATE_CACHED told;

    rig.socket.ttl = 9;
    rig.socket.ttl_set = 1;
    rig_pass(LIVE_BEAT_US);
    assert_int_equal(take_update(NDIS_STATUS_SUCCESS).TtlOrHopLimit, 9);
    rig.socket.tos = 0x28;
    rig_pass(LIVE_BEAT_US);
    told = take_update(NDIS_STATUS_SUCCESS);
    assert_int_equal(told.TtlOrHopLimit, 9);
    assert_int_equal(told.TosOrTrafficClass, 0x28);
    assert_int_equal(told.Flags, 0); /* keepalive's timer goes on */
    nothing_is_told();
}

/* The window of an earlier update is not told again: it counted from an older ack point. */
static void
the_edge_stays_where_it_is(void **state)
{
    TCP_OFFLOAD_STATE_CACHED told;

    rig_kernel((struct rig_segment){.seq = RIG_SND, .ack = RIG_RCV, .window = 4 * RIG_WINDOW});
    told = take_update(NDIS_STATUS_SUCCESS);
    assert_int_equal(told.Flags, TCP_FLAG_UPDATE_RCV_WND);
    set_keepalive(10, 3, 4);
    told = take_update(NDIS_STATUS_SUCCESS);
    assert_int_equal(told.Flags & TCP_FLAG_UPDATE_RCV_WND, 0);
    rig_kernel((struct rig_segment){.seq = RIG_SND, .ack = RIG_RCV, .window = 8 * RIG_WINDOW});
    told = take_update(NDIS_STATUS_SUCCESS);
    assert_int_equal(told.Flags, TCP_FLAG_UPDATE_RCV_WND | TCP_FLAG_KEEP_ALIVE_ENABLED);
    nothing_is_told();
}

/* Another update is under way, or there is no memory: the next look tells. */
static void
told_as_soon_as_it_can_be(void **state)
{
    rig_kernel((struct rig_segment){.seq = RIG_SND, .ack = RIG_RCV, .window = 4 * RIG_WINDOW});
    set_keepalive(10, 3, 4);
    assert_int_equal(fake.call_count, 1);
    assert_int_equal(take_update(NDIS_STATUS_SUCCESS).Flags, TCP_FLAG_UPDATE_RCV_WND);
    rig.refuse_bytes = sizeof(struct host_operation);
    rig_pass(LIVE_BEAT_US);
    assert_int_equal(rig.refuse_bytes, 0);
    assert_int_equal(fake.call_count, 0);
    rig_pass(LIVE_BEAT_US);
    assert_int_equal(take_update(NDIS_STATUS_SUCCESS).KaTimeout, 10000);
    nothing_is_told();
    assert_int_equal(rig.conn->phase, LIVE_OFFLOADED);
}

static void
the_target_refuses(void **state)
{
    set_keepalive(10, 3, 4);
    take_update(NDIS_STATUS_FAILURE);
    assert_int_equal(rig.conn->phase, LIVE_TERMINATE);
    assert_int_equal(rig.conn->end_reason, HOSTSTACK_TARGET_ASKED);
}

int
main(void)
{
#define WATCH_TEST(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        WATCH_TEST(keepalive_on_changed_and_off), WATCH_TEST(ttl_and_tos),
        WATCH_TEST(the_edge_stays_where_it_is),   WATCH_TEST(told_as_soon_as_it_can_be),
        WATCH_TEST(the_target_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
