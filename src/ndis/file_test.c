/*
 * Drivers from files: what is loaded, what is refused and with which words, and that the code is
 * gone after the unload, with everything that could have called it. Arguments: the samples.
 */
#include "ndis/test_fakes.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *good, *leaves, *fails, *broken, *unnamed;

static bool
in_memory(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_NOLOAD);

    if (handle)
        dlclose(handle);
    return handle != NULL;
}

static void
a_driver_comes_and_goes(void **state)
{
    struct stage *stage = *state;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(house_load_file(stage->house, "mine", good), 0);
        assert_true(in_memory(good));
        assert_int_equal(house_unload(stage->house, "mine"), 0);
        assert_false(in_memory(good));
    }
    assert_int_equal(house_unload(stage->house, "mine"), -ENOENT);
    assert_string_equal(stage->log, "");
}

static void
the_house_takes_it_along(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_load_file(stage->house, "mine", good), 0);
    house_destroy(stage->house);
    assert_false(in_memory(good));
    assert_int_equal(house_create(stage->loop, &stage->house), 0);
    assert_string_equal(stage->log, "");
}

static void
names_and_objects_are_taken_once(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_load_file(stage->house, "", good), -EINVAL);
    assert_int_equal(house_load_file(stage->house, "mine", good), 0);
    assert_int_equal(house_load_file(stage->house, "mine", leaves), -EEXIST);
    assert_false(in_memory(leaves));
    assert_int_equal(house_load_file(stage->house, "twin", good), -EEXIST);
    assert_true(stage_logged(stage, "is loaded already, as mine"));
    assert_int_equal(house_unload(stage->house, "mine"), 0);
    assert_false(in_memory(good));
}

/* What a driver forgot is stopped before its code goes: otherwise this crashes. */
static void
what_is_left_is_swept(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_load_file(stage->house, "mine", leaves), 0);
    assert_int_equal(house_unload(stage->house, "mine"), 0);
    assert_true(stage_logged(stage, "mine left its protocol registered"));
    assert_true(stage_logged(stage, "mine left a timer behind (V-192)"));
    assert_true(stage_logged(stage, "mine left a work item behind"));
    assert_false(in_memory(leaves));
    stage_settle(stage);
    sys_loop_turn(stage->loop, true);
}

static void
an_entry_that_fails_is_swept(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_load_file(stage->house, "mine", fails), -EIO);
    assert_true(stage_logged(stage, "driver mine does not load: 0xc000009a"));
    assert_true(stage_logged(stage, "mine left a timer behind"));
    assert_false(in_memory(fails));
    stage_settle(stage);
    assert_int_equal(house_unload(stage->house, "mine"), -ENOENT);
    assert_int_equal(house_load_file(stage->house, "mine", good), 0);
}

static void
files_that_are_no_drivers(void **state)
{
    struct stage *stage = *state;

    assert_int_equal(house_load_file(stage->house, "a", "/nowhere/a.so"), -ENOENT);
    assert_true(stage_logged(stage, "driver a: /nowhere/a.so: No such file"));
    assert_int_equal(house_load_file(stage->house, "b", "/proc/self/cmdline"), -ENOEXEC);
    assert_true(stage_logged(stage, "driver b: /proc/self/cmdline: "));
    assert_int_equal(house_load_file(stage->house, "c", unnamed), -ENOEXEC);
    assert_true(stage_logged(stage, "exports no function DriverEntry"));
    assert_false(in_memory(unnamed));
    assert_int_equal(house_load_file(stage->house, "d", broken), -ENOEXEC);
    assert_true(stage_logged(stage, "NdisThatIsNot"));
    assert_true(stage_logged(stage, "NdisNorIsThis"));
    assert_false(in_memory(broken));
}

/* One that is part of the program is not closed, but what it leaves goes with the house. */
static VOID
never(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    fail();
}

static void
a_work_item_does_not_outlive_the_house(void **state)
{
    struct stage *stage = *state;

    NdisQueueIoWorkItem(NdisAllocateIoWorkItem(NULL), never, NULL);
    house_destroy(stage->house);
    assert_true(stage_logged(stage, "a driver left a work item behind"));
    stage_settle(stage);
    assert_int_equal(house_create(stage->loop, &stage->house), 0);
}

#define EMPTY(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

int
main(int argc, char **argv)
{
    static const struct {
        const char *name, **path;
    } samples[] = {{"driver_good", &good},
                   {"driver_leaves", &leaves},
                   {"driver_fails", &fails},
                   {"driver_broken", &broken},
                   {"driver_unnamed", &unnamed}};
    const struct CMUnitTest tests[] = {
        EMPTY(a_driver_comes_and_goes),
        EMPTY(the_house_takes_it_along),
        EMPTY(names_and_objects_are_taken_once),
        EMPTY(what_is_left_is_swept),
        EMPTY(an_entry_that_fails_is_swept),
        EMPTY(files_that_are_no_drivers),
        EMPTY(a_work_item_does_not_outlive_the_house),
    };

    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        for (int j = 1; j < argc; j++)
            if (strstr(argv[j], samples[i].name))
                *samples[i].path = argv[j];
        if (!*samples[i].path) {
            fprintf(stderr, "%s is missing\n", samples[i].name);
            return 2;
        }
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
