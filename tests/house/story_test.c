/*
 * The demo's story, in virtual time: told quickly, over a bad wire, and one that cannot end. The
 * verifier watches.
 */
#include "chimney/story.h"
#include "chimney/verifier.h"
#include "sys/loop.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct told {
    unsigned moves, downs, progress;
    uint64_t last_bytes;
};

static void
on_move(void *arg, const struct script_story_move *move)
{
    struct told *told = arg;

    told->moves++;
    told->downs += move->down;
    assert_int_equal(move->number, told->moves);
    assert_true(move->bytes >= told->last_bytes);
    told->last_bytes = move->bytes;
}

static void
on_progress(void *arg, uint64_t bytes, bool with_target)
{
    ((struct told *)arg)->progress++;
}

static void
on_report(void *arg, const struct verifier_report *report)
{
    print_error("V-%03u %s at %s: %s\n", report->rule, report->driver, report->call, report->seen);
}

static int
tell(struct script_story_options options, struct script_story_totals *totals, struct told *told)
{
    struct sys_loop *loop = sys_loop_create();
    struct verifier *verifier = verifier_create(&(struct verifier_options){.on_report = on_report});
    struct verifier_counts counts;

    *told = (struct told){0};
    options.on_move = on_move;
    options.on_progress = on_progress;
    options.arg = told;
    options.observer = verifier_observer(verifier);
    int error = script_story_run(loop, &options, totals);
    sys_loop_destroy(loop);
    verifier_finish(verifier);
    verifier_read_counts(verifier, &counts);
    verifier_destroy(verifier);
    assert_int_equal(counts.errors + counts.warnings + counts.consequential, 0);
    assert_true(error || counts.crossings > 100);
    return error;
}

static void
check(const struct script_story_totals *totals, const struct told *told, uint64_t bytes)
{
    assert_true(totals->complete);
    assert_int_equal(totals->bytes, bytes);
    assert_int_equal(totals->wrong, 0);
    assert_int_equal(totals->resets, 0);
    assert_int_equal(totals->breaches, 0);
    assert_int_equal(totals->refused, 0);
    assert_true(totals->moves >= 20);
    assert_int_equal(told->moves, totals->moves);
    assert_true(totals->engine_bytes * 10 >= totals->bytes * 4);
}

static void
story_on_a_good_wire(void **state)
{
    struct script_story_totals totals;
    struct told told;

    assert_int_equal(
        tell((struct script_story_options){.bits_per_second = 200000000, .passthru = 1}, &totals,
             &told),
        0);
    check(&totals, &told, 64 << 20);
    assert_true(told.progress >= 8);
}

static void
story_on_a_bad_wire(void **state)
{
    struct script_story_totals totals;
    struct told told;

    assert_int_equal(tell((struct script_story_options){.bytes = 8 << 20,
                                                        .loss_ppm = 10000,
                                                        .reorder_ppm = 10000,
                                                        .delay_us = 1000,
                                                        .seed = 5},
                          &totals, &told),
                     0);
    check(&totals, &told, 8 << 20);
}

static void
story_that_is_cut_short(void **state)
{
    struct script_story_totals totals;
    struct told told;

    assert_int_equal(
        tell((struct script_story_options){.bits_per_second = 10000000, .limit_us = 3000000},
             &totals, &told),
        0);
    assert_false(totals.complete);
    assert_true(totals.bytes > 0 && totals.bytes < 64 << 20);
    assert_int_equal(totals.wrong, 0);
    assert_int_equal(totals.breaches, 0);
}

static void
story_with_too_many_floors(void **state)
{
    struct script_story_totals totals;
    struct told told;

    assert_int_equal(tell((struct script_story_options){.passthru = 3}, &totals, &told), -EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(story_on_a_good_wire),
        cmocka_unit_test(story_on_a_bad_wire),
        cmocka_unit_test(story_that_is_cut_short),
        cmocka_unit_test(story_with_too_many_floors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
