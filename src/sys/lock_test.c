/* Locks exclude, however many want them; gates let through whoever waits, and only in time. */
#include "sys/lock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define THREADS 4
#define ROUNDS 20000

static struct sys_lock lock;
static unsigned shared, inside;

static void *
count_under_lock(void *arg)
{
    unsigned *overlaps = arg;

    for (int i = 0; i < ROUNDS; i++) {
        sys_lock_take(&lock);
        *overlaps += inside++ != 0;
        shared++;
        inside--;
        sys_lock_give(&lock);
    }
    return NULL;
}

static void
a_lock_excludes(void **state)
{
    pthread_t threads[THREADS];
    unsigned overlaps[THREADS] = {0};

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_under_lock, &overlaps[i]), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(overlaps[i], 0);
    }
    assert_int_equal(shared, THREADS * ROUNDS);
}

/* Two threads throw a ball to each other, a new gate for every throw. */
struct throw
{
    struct sys_gate gate;
    unsigned ball;
};

static struct throw throws[200];

static void *
partner(void *arg)
{
    uintptr_t missed = 0;

    for (unsigned i = 0; i < 200; i += 2) {
        missed += !sys_gate_wait(&throws[i].gate, 60 * 1000000ull) || throws[i].ball != i;
        throws[i + 1].ball = i + 1;
        sys_gate_open(&throws[i + 1].gate);
    }
    return (void *)missed;
}

static void
a_gate_lets_through(void **state)
{
    pthread_t thread;
    void *missed;

    for (unsigned i = 0; i < 200; i++)
        sys_gate_init(&throws[i].gate);
    assert_int_equal(pthread_create(&thread, NULL, partner, NULL), 0);
    for (unsigned i = 0; i < 200; i += 2) {
        throws[i].ball = i;
        sys_gate_open(&throws[i].gate);
        assert_true(sys_gate_wait(&throws[i + 1].gate, 60 * 1000000ull));
        assert_int_equal(throws[i + 1].ball, i + 1);
    }
    pthread_join(thread, &missed);
    assert_null(missed);
    assert_true(sys_gate_wait(&throws[0].gate, 0)); /* it stays open */
    for (unsigned i = 0; i < 200; i++)
        sys_gate_fini(&throws[i].gate);
}

static void
a_gate_keeps_to_the_time(void **state)
{
    struct sys_gate gate;

    sys_gate_init(&gate);
    assert_false(sys_gate_wait(&gate, 0));
    assert_false(sys_gate_wait(&gate, 1000));
    sys_gate_fini(&gate);
}

static void *
name_of_thread(void *arg)
{
    return (void *)sys_thread_self();
}

static void
threads_have_names(void **state)
{
    const void *mine = sys_thread_self();
    pthread_t thread;
    void *other;

    assert_int_equal(pthread_create(&thread, NULL, name_of_thread, NULL), 0);
    pthread_join(thread, &other);
    assert_ptr_not_equal(other, mine);
    assert_ptr_equal(sys_thread_self(), mine);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_excludes),
        cmocka_unit_test(a_gate_lets_through),
        cmocka_unit_test(a_gate_keeps_to_the_time),
        cmocka_unit_test(threads_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
