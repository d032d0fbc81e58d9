/*
 * The scenario by itself: with three good drivers it runs to its end, every byte, status and count
 * as it should be, with any number of floors between host and target.
 */
#include "scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void
good_drivers(unsigned floors)
{
    struct world world;

    scenario_run(&world, floors, NULL);
    if (world.failures)
        print_error("%u failures; the first: %s\n", world.failures, world.first);
    if (world.complaints != world.excused)
        print_error("%u complaints; the first: %s\n", world.complaints, world.complaint);
    assert_int_equal(world.failures, 0);
}

static void
good_drivers_alone(void **state)
{
    good_drivers(0);
}

static void
good_drivers_with_one_between(void **state)
{
    good_drivers(1);
}

static void
good_drivers_with_two_between(void **state)
{
    good_drivers(2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_drivers_alone),
        cmocka_unit_test(good_drivers_with_one_between),
        cmocka_unit_test(good_drivers_with_two_between),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
