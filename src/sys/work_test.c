/* Work beside the loop, against the real and the simulated one. */
#include "sys/loop.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What happened, a letter per event. */
static char story[64];
static struct sys_loop *loop;

static void
tell(char what)
{
    size_t len = strlen(story);

    assert_true(len + 1 < sizeof(story));
    story[len] = what;
    story[len + 1] = '\0';
}

static int
set_up(void **state)
{
    story[0] = '\0';
    loop = sys_loop_create();
    return loop == NULL;
}

static int
tear_down(void **state)
{
    sys_loop_destroy(loop);
    return 0;
}

struct labour {
    struct sys_work work;
    char result;
};

static void
labour_beside(void *arg)
{
    struct labour *labour = arg;

    labour->result++;
}

static void
labour_done(void *arg)
{
    struct labour *labour = arg;

    tell(labour->result);
    sys_loop_stop(loop);
}

static void
work_is_done_at_a_turn(void **state)
{
    struct labour labour = {.result = 'a'};

    assert_int_equal(sys_work_start(&labour.work, loop, labour_beside, labour_done, &labour), 0);
    assert_string_equal(story, ""); /* never on the caller's stack */
    sys_loop_run(loop);
    assert_string_equal(story, "b");
    /* and the same one can be started again */
    assert_int_equal(sys_work_start(&labour.work, loop, labour_beside, labour_done, &labour), 0);
    sys_loop_run(loop);
    assert_string_equal(story, "bc");
}

/* done may free it: nothing of the loop's touches it afterwards. */
static void
labour_done_and_gone(void *arg)
{
    labour_done(arg);
    free(arg);
}

static void
work_may_be_freed_when_done(void **state)
{
    for (char i = 0; i < 20; i++) {
        struct labour *labour = calloc(1, sizeof(*labour));

        labour->result = (char)('a' + i);
        assert_int_equal(
            sys_work_start(&labour->work, loop, labour_beside, labour_done_and_gone, labour), 0);
        sys_loop_run(loop);
    }
    assert_string_equal(story, "bcdefghijklmnopqrstu");
}

struct duty {
    struct sys_work work;
    pthread_t thread;
    int policy;
};

static void
note_policy(void *arg)
{
    struct duty *duty = arg;

    duty->thread = pthread_self();
    duty->policy = sched_getscheduler(0);
}

static void
stop(void *arg)
{
    sys_loop_stop(loop);
}

/* A loop that runs with real-time priority keeps it to itself. The simulated one does the work on
 * its own thread, which stays as it is. */
static void
priority_is_the_loops(void **state)
{
    const struct sched_param most = {.sched_priority = 1}, none = {.sched_priority = 0};
    struct duty duty = {.policy = -1};

    if (pthread_setschedparam(pthread_self(), SCHED_RR, &most))
        skip();
    assert_int_equal(sys_work_start(&duty.work, loop, note_policy, stop, &duty), 0);
    sys_loop_run(loop);
    pthread_setschedparam(pthread_self(), SCHED_OTHER, &none);
    assert_int_equal(duty.policy,
                     pthread_equal(duty.thread, pthread_self()) ? SCHED_RR : SCHED_OTHER);
}

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(work_is_done_at_a_turn),
        LOOP_TEST(work_may_be_freed_when_done),
        LOOP_TEST(priority_is_the_loops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
