/*
 * A process that is stopped at the worst moments: inside the heart itself, between its look at the
 * clock and the beat, and while it looks after the connections. Kernel and peer talk past us from
 * 100 ms on, so whoever wakes later is silent and gives everything up, before it beats again.
 */
#include "host/linux/test_rig.h"

#include "sys/sim/sim.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define STOPPED_US 150000u

static uint64_t stopped_at_us;

/* Once. */
static void
stop(void)
{
    if (stopped_at_us)
        return;
    stopped_at_us = rig_now_us();
    sys_sim_stand_still(rig.loop, STOPPED_US);
}

static int
setup(void **state)
{
    rig_setup(state);
    rig_down();
    stopped_at_us = 0;
    return 0;
}

/* The flow is given up, without a word, and without a beat in between. */
static void
expect_given_up(void)
{
    assert_true(stopped_at_us != 0);
    assert_int_equal(rig.stack->totals.missed_beats, 1);
    assert_int_equal(rig.conn->phase, LIVE_DEAD);
    assert_false(rig.steered);
    assert_true(rig.removal.beat_ns <= stopped_at_us * 1000);
    assert_int_equal(rig.move_count, 2);
    assert_int_equal(rig.move.reason, HOSTSTACK_MISSED_BEAT);
    rig_expect_silence();
}

static void
stopped_between_the_look_at_the_clock_and_the_beat(void **state)
{
    rig.on_beat = stop;
    rig_pass(LIVE_BEAT_US);
    rig_pass(LIVE_BEAT_US);
    expect_given_up();
}

static void
stopped_while_looking_after_the_connections(void **state)
{
    rig.on_snapshot = stop;
    rig_pass(LIVE_BEAT_US);
    rig_pass(LIVE_BEAT_US);
    expect_given_up();
}

static void
stop_task(void *arg)
{
    stop();
}

/* Bytes of the peer's wait for the end of the turn, and the stop comes before that. */
static void
stopped_with_something_to_say(void **state)
{
    struct sys_task task;

    sys_task_init(&task, stop_task, NULL);
    sys_loop_defer(rig.loop, &task);
    assert_int_equal(rig_indicate(100), NDIS_STATUS_SUCCESS);
    rig_turn();
    expect_given_up();
}

/* A frame that was taken from the kernel before the stop, or from the peer, goes nowhere. */
static void
stopped_with_frames_in_the_queue(void **state)
{
    stop();
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = 100});
    rig_expect_lent(RIG_SND, RIG_SND);
    expect_given_up();
}

/* It comes back from the target, is gone, and the next one may go down again. */
static void
speaks_again_when_all_is_given_up(void **state)
{
    stop();
    rig_pass(LIVE_BEAT_US);
    assert_true(rig.stack->gagged);
    rig.obliging = true;
    rig_pass(2 * LIVE_BEAT_US);
    assert_false(rig.stack->gagged);
    assert_null(live_find(rig.stack, &rig.key));
    assert_true(rig.beat_ns / 1000 + LIVE_BEAT_US >= rig_now_us());
    rig.obliging = false;
    rig.conn = live_create(rig.port, &rig.key);
    rig_down();
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = 100});
    rig_expect_lent(RIG_SND, RIG_SND + 100);
}

/* ---- while a connection moves ---- */

#define SEGMENT 100u

static int
setup_kernel(void **state)
{
    rig_setup(state);
    stopped_at_us = 0;
    return 0;
}

/* What was told of the move: the moves so far, and how this one ended. */
static void
expect_told(unsigned moves, bool down, enum hoststack_outcome outcome)
{
    assert_int_equal(rig.stack->totals.missed_beats, 1);
    assert_false(rig.steered);
    assert_int_equal(rig.move_count, moves);
    assert_int_equal(rig.move.down, down);
    assert_int_equal(rig.move.outcome, outcome);
    assert_int_equal(rig.move.reason, HOSTSTACK_MISSED_BEAT);
    rig_expect_silence();
}

/* Nothing of it is left, nothing more was told, and the wires may be spoken on again. */
static void
expect_over(void)
{
    unsigned moves = rig.move_count;

    rig_pass(2 * LIVE_BEAT_US);
    assert_null(live_find(rig.stack, &rig.key));
    assert_int_equal(rig.move_count, moves);
    assert_int_equal(fake.call_count, 0);
    assert_false(rig.stack->gagged);
    rig_expect_silence();
}

static void
stopped_in_the_bridge(void **state)
{
    rig_ask();
    stop();
    rig_pass(LIVE_BEAT_US);
    expect_told(1, true, HOSTSTACK_REFUSED);
    expect_over();
}

/* What is held on both sides is not passed on: the kernel and the peer have said it again by now.
 */
static void
stopped_in_the_hold(void **state)
{
    struct rig_frame frame;

    rig_ask();
    rig_peer((struct rig_segment){.seq = RIG_RCV, .len = SEGMENT});
    assert_true(rig_to_kernel(&frame));
    rig_pass(LIVE_BRIDGE_MIN_US);
    assert_int_equal(rig.conn->phase, LIVE_HOLD);
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    rig_peer((struct rig_segment){.seq = RIG_RCV + SEGMENT, .len = SEGMENT});
    stop();
    rig_pass(LIVE_BEAT_US);
    expect_told(1, true, HOSTSTACK_REFUSED);
    expect_over();
}

/* The target takes it, too late: it has to give it back at once, and nothing is done with it. */
static void
stopped_while_the_target_is_asked(void **state)
{
    struct rig_frame frame;

    rig_until_initiate();
    while (rig_to_peer(&frame))
        ;
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    stop();
    rig_pass(LIVE_BEAT_US);
    assert_int_equal(rig.conn->phase, LIVE_DEAD);
    expect_told(1, true, HOSTSTACK_REFUSED);
    assert_true(rig.stack->gagged);
    rig_answer_initiate(NDIS_STATUS_SUCCESS);
    assert_null(fake_take_data(FAKE_SEND));
    rig_answer_terminate(RIG_SND, RIG_SND, RIG_TS_PEER);
    expect_over();
}

/* The question that is out is waited for before the connection is asked for. */
static void
stopped_in_the_drain(void **state)
{
    live_upload(rig.conn, HOSTSTACK_NONE);
    rig_turn();
    assert_int_equal(rig.conn->phase, LIVE_DRAIN);
    stop();
    rig_pass(LIVE_BEAT_US);
    assert_int_equal(rig.conn->phase, LIVE_DEAD);
    expect_told(2, false, HOSTSTACK_DONE);
    rig_answer_query(RIG_SND);
    rig_answer_terminate(RIG_SND, RIG_SND, RIG_TS_PEER);
    expect_over();
}

static void
until_terminate(void)
{
    live_upload(rig.conn, HOSTSTACK_NONE);
    rig_turn();
    rig_answer_query(RIG_SND);
    assert_int_equal(rig.conn->phase, LIVE_TERMINATE);
}

/* What comes back is as old as what is held: neither is said any more. */
static void
stopped_while_the_target_hands_back(void **state)
{
    until_terminate();
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    assert_int_equal(rig_indicate(SEGMENT), NDIS_STATUS_SUCCESS);
    stop();
    rig_pass(LIVE_BEAT_US);
    assert_int_equal(rig.conn->phase, LIVE_DEAD);
    expect_told(2, false, HOSTSTACK_DONE);
    rig_answer_terminate(RIG_SND, RIG_SND, RIG_TS_PEER);
    expect_over();
}

/* It had been given back: that is not told twice. */
static void
stopped_in_the_release(void **state)
{
    struct rig_frame frame;

    until_terminate();
    rig_answer_terminate(RIG_SND, RIG_SND, RIG_TS_PEER);
    assert_int_equal(rig.conn->phase, LIVE_RELEASE);
    while (rig_to_peer(&frame) || rig_to_kernel(&frame))
        ;
    stop();
    rig_pass(LIVE_BEAT_US);
    assert_int_equal(rig.stack->totals.missed_beats, 1);
    assert_int_equal(rig.move_count, 2);
    assert_int_equal(rig.move.reason, HOSTSTACK_NONE);
    expect_over();
}

/* Late, but not so late that anybody has let go. */
static void
a_short_stop_changes_nothing(void **state)
{
    sys_sim_stand_still(rig.loop, LIVE_MISSED_US - LIVE_BEAT_US);
    rig_pass(LIVE_BEAT_US);
    assert_int_equal(rig.stack->totals.missed_beats, 0);
    assert_int_equal(rig.conn->phase, LIVE_OFFLOADED);
}

/* Behind a port the kernel has no other way than through us. */
static void
a_port_may_be_late(void **state)
{
    rig.port->own = true;
    rig.on_beat = stop;
    rig_pass(LIVE_BEAT_US);
    rig_pass(LIVE_BEAT_US);
    assert_true(stopped_at_us != 0);
    assert_int_equal(rig.stack->totals.missed_beats, 0);
    assert_int_equal(rig.conn->phase, LIVE_OFFLOADED);
    assert_false(rig.stack->gagged);
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    rig_expect_lent(RIG_SND, RIG_SND + SEGMENT);
    rig_complete_send(NDIS_STATUS_SUCCESS);
    rig.port->own = false; /* what was built is taken down again */
}

int
main(void)
{
#define HEART_TEST(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
#define EARLY_TEST(name) cmocka_unit_test_setup_teardown(name, setup_kernel, rig_teardown)
    const struct CMUnitTest tests[] = {
        HEART_TEST(stopped_between_the_look_at_the_clock_and_the_beat),
        HEART_TEST(stopped_while_looking_after_the_connections),
        HEART_TEST(stopped_with_something_to_say),
        HEART_TEST(stopped_with_frames_in_the_queue),
        HEART_TEST(speaks_again_when_all_is_given_up),
        EARLY_TEST(stopped_in_the_bridge),
        EARLY_TEST(stopped_in_the_hold),
        EARLY_TEST(stopped_while_the_target_is_asked),
        HEART_TEST(stopped_in_the_drain),
        HEART_TEST(stopped_while_the_target_hands_back),
        HEART_TEST(stopped_in_the_release),
        HEART_TEST(a_short_stop_changes_nothing),
        HEART_TEST(a_port_may_be_late),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
