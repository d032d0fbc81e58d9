/* Work beside the loop, against the real and the simulated one. */
#include "sys/loop.h"

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

#define LOOP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(work_is_done_at_a_turn),
        LOOP_TEST(work_may_be_freed_when_done),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
