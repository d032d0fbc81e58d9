/*
 * The wheel against a model: timers at every distance, from a microsecond to centuries, set, moved
 * and stopped at random while time passes. Each fires exactly at its deadline (time is virtual), in
 * the order of deadlines and, of equal ones, of setting; and nothing is left behind.
 */
#include "base/random.h"
#include "sys/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { TIMERS = 500, STEPS = 20000 };

struct entry {
    struct sys_timer timer;
    uint64_t order; /* of setting */
    bool set;
};

static struct sys_loop *loop;
static struct entry entries[TIMERS];
static struct random numbers;
static uint64_t orders, last_us, last_order;
static unsigned fired;

static void
on_timer(void *arg)
{
    struct entry *entry = arg;
    uint64_t now_us = sys_loop_now_us(loop);

    assert_true(entry->set);
    entry->set = false;
    assert_true(now_us > last_us || entry->order > last_order);
    last_us = now_us;
    last_order = entry->order;
    fired++;
    for (unsigned i = 0; i < TIMERS; i++)
        assert_true(!entries[i].set || entries[i].timer.deadline_us >= now_us);
}

static void
start(struct entry *entry, uint64_t deadline_us)
{
    if (entry->timer.deadline_us != deadline_us)
        entry->order = ++orders;
    entry->set = true;
    sys_timer_set(&entry->timer, deadline_us);
}

/* As often near as far: the number of bits is even, not the number. */
static uint64_t
some_time(void)
{
    unsigned bits = random_below(&numbers, 45);

    return 1 + (random_u64(&numbers) & ((1ull << bits) - 1));
}

static int
set_up(void **state)
{
    loop = sys_loop_create();
    random_init(&numbers, 11);
    orders = last_us = last_order = 0;
    fired = 0;
    for (unsigned i = 0; i < TIMERS; i++) {
        entries[i] = (struct entry){.set = false};
        assert_int_equal(sys_timer_init(&entries[i].timer, loop, on_timer, &entries[i]), 0);
    }
    return loop == NULL;
}

static int
tear_down(void **state)
{
    for (unsigned i = 0; i < TIMERS; i++)
        sys_timer_fini(&entries[i].timer);
    sys_loop_destroy(loop);
    return 0;
}

static void
as_the_model(void **state)
{
    for (unsigned step = 0; step < STEPS; step++) {
        struct entry *entry = &entries[random_below(&numbers, TIMERS)];
        switch (random_below(&numbers, 4)) {
        case 0:
            entry->set = false;
            sys_timer_set(&entry->timer, SYS_NEVER);
            break;
        case 1:
            sys_loop_turn(loop, true);
            break;
        default:
            start(entry, sys_loop_now_us(loop) + some_time());
        }
    }
    while (sys_loop_turn(loop, true))
        continue;
    for (unsigned i = 0; i < TIMERS; i++)
        assert_false(entries[i].set);
    assert_true(fired > 1000);
}

/* One deadline for all, set from near and from far: the order is that of setting. */
static void
equal_deadlines(void **state)
{
    uint64_t at_us = sys_loop_now_us(loop) + 40000000;

    for (unsigned i = 0; i < TIMERS - 1; i++) {
        start(&entries[i], at_us);
        if (i % 10 == 0) {
            start(&entries[TIMERS - 1], sys_loop_now_us(loop) + 700000);
            sys_loop_turn(loop, true);
        }
    }
    assert_true(sys_loop_now_us(loop) < at_us);
    while (sys_loop_turn(loop, true))
        continue;
    assert_int_equal(sys_loop_now_us(loop), at_us);
    assert_int_equal(last_order, orders);
}

/* At the edges of slots and levels, and behind them. */
static void
edges(void **state)
{
    uint64_t now_us = sys_loop_now_us(loop), base_us;
    unsigned count = 0;

    for (unsigned bits = 6; bits < 60; bits += 6) {
        base_us = ((now_us >> bits) + 1) << bits;
        start(&entries[count++], base_us - 1);
        start(&entries[count++], base_us);
        start(&entries[count++], base_us + 1);
    }
    while (sys_loop_turn(loop, true))
        continue;
    assert_int_equal(fired, count);
}

/* The last there is, and one that was over before it was set. */
static void
extremes(void **state)
{
    start(&entries[0], SYS_NEVER - 1);
    entries[1].set = true;
    entries[1].order = ++orders;
    sys_timer_set(&entries[1].timer, 1);
    sys_loop_turn(loop, true);
    assert_false(entries[1].set);
    assert_true(entries[0].set);
    sys_loop_turn(loop, true);
    assert_false(entries[0].set);
    assert_true(sys_loop_now_us(loop) == SYS_NEVER - 1);
}

/* A turn that does not wait changes no time, and a timer set nearer than one that was looked for
 * already still comes first. */
static void
nearer_afterwards(void **state)
{
    uint64_t now_us = sys_loop_now_us(loop);

    start(&entries[0], now_us + 5000000);
    sys_loop_turn(loop, false);
    assert_int_equal(sys_loop_now_us(loop), now_us);
    start(&entries[1], now_us + 3);
    sys_loop_turn(loop, true);
    assert_int_equal(sys_loop_now_us(loop), now_us + 3);
    assert_false(entries[1].set);
    assert_true(entries[0].set);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(as_the_model, set_up, tear_down),
        cmocka_unit_test_setup_teardown(equal_deadlines, set_up, tear_down),
        cmocka_unit_test_setup_teardown(edges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(extremes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nearer_afterwards, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
