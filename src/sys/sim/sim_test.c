/*
 * What only virtual time promises: it stands still within a turn, jumps from deadline to deadline
 * exactly, and the run ends when nothing is left.
 */
#include "sys/loop.h"
#include "sys/sim/sim.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct ticker {
    struct sys_loop *loop;
    struct sys_timer timer;
    struct sys_task task;
    uint64_t period_us, expected_us;
    unsigned left;
};

static void
on_task(void *arg)
{
    struct ticker *ticker = arg;

    assert_true(sys_loop_now_us(ticker->loop) == ticker->expected_us);
}

static void
on_tick(void *arg)
{
    struct ticker *ticker = arg;

    ticker->expected_us += ticker->period_us;
    assert_true(sys_loop_now_us(ticker->loop) == ticker->expected_us);
    sys_loop_defer(ticker->loop, &ticker->task);
    if (--ticker->left != 0)
        sys_timer_set(&ticker->timer, ticker->expected_us + ticker->period_us);
}

static void
start(struct ticker *ticker, struct sys_loop *loop, uint64_t period_us, unsigned count)
{
    *ticker = (struct ticker){.loop = loop, .period_us = period_us, .left = count};
    ticker->expected_us = sys_loop_now_us(loop);
    sys_task_init(&ticker->task, on_task, ticker);
    assert_int_equal(sys_timer_init(&ticker->timer, loop, on_tick, ticker), 0);
    sys_timer_set(&ticker->timer, ticker->expected_us + period_us);
}

static void
time_jumps_and_the_run_ends(void **state)
{
    struct sys_loop *loop = sys_loop_create();
    uint64_t start_us = sys_loop_now_us(loop);
    struct ticker day, prime;

    start(&day, loop, 86400000000u, 3);
    start(&prime, loop, 7919000000u, 10);
    assert_int_equal(sys_loop_run(loop), 0);
    assert_int_equal(day.left + prime.left, 0);
    assert_true(sys_loop_now_us(loop) == start_us + 3 * 86400000000u);
    sys_timer_fini(&day.timer);
    sys_timer_fini(&prime.timer);
    sys_loop_destroy(loop);
}

static void
a_turn_that_does_not_wait_leaves_time_alone(void **state)
{
    struct sys_loop *loop = sys_loop_create();
    uint64_t start_us = sys_loop_now_us(loop);
    uint64_t wall_us = sys_loop_wall_us(loop);
    struct ticker ticker;

    start(&ticker, loop, 10, 1);
    assert_false(sys_loop_turn(loop, false));
    assert_true(sys_loop_now_us(loop) == start_us);
    assert_true(sys_loop_turn(loop, true));
    assert_true(sys_loop_now_us(loop) == start_us + 10);
    assert_true(sys_loop_wall_us(loop) - wall_us == 10);
    assert_false(sys_loop_turn(loop, true)); /* nothing left; must not hang */
    sys_timer_fini(&ticker.timer);
    sys_loop_destroy(loop);
}

static void
stand_still(void *arg)
{
    sys_sim_stand_still(arg, 500);
}

/* What was due meanwhile is late, and nothing of it happens inside the standstill. */
static void
a_standstill_makes_everything_late(void **state)
{
    struct sys_loop *loop = sys_loop_create();
    uint64_t start_us = sys_loop_now_us(loop);
    struct ticker ticker;
    struct sys_task task;

    start(&ticker, loop, 10, 1);
    ticker.expected_us = start_us + 490; /* and a period: what on_tick makes of it */
    sys_task_init(&task, stand_still, loop);
    sys_loop_defer(loop, &task);
    assert_true(sys_loop_turn(loop, false));
    assert_true(sys_loop_now_us(loop) == start_us + 500);
    assert_int_equal(ticker.left, 1);
    assert_true(sys_loop_turn(loop, false));
    assert_true(sys_loop_now_us(loop) == start_us + 500);
    assert_int_equal(ticker.left, 0);
    sys_timer_fini(&ticker.timer);
    sys_loop_destroy(loop);
}

static void
no_descriptors(void **state)
{
    struct sys_loop *loop = sys_loop_create();
    struct sys_watch watch;

    assert_int_equal(sys_watch_start(&watch, loop, 0, SYS_READABLE, NULL, NULL), -ENOSYS);
    sys_watch_stop(&watch);
    sys_loop_destroy(loop);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_jumps_and_the_run_ends),
        cmocka_unit_test(a_turn_that_does_not_wait_leaves_time_alone),
        cmocka_unit_test(a_standstill_makes_everything_late),
        cmocka_unit_test(no_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
