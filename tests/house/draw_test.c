/* What stage_draw.h promises of every seed: a control, so that "any stack passes" means something.
 */
#include "stage_draw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 2000
#define FLOORS_MAX 8

static const char *const names[] = {"passthru", "vlan", "trace", "fault", "team"};
enum { DRIVERS = sizeof names / sizeof names[0], VLAN = 1 };

struct seen {
    unsigned count, drivers[DRIVERS];
    unsigned in_vlan; /* floors with an id */
    unsigned long id;
    unsigned lowest, highest; /* drivers; DRIVERS: none */
};

static unsigned
driver_of(const char *floor)
{
    for (unsigned i = 0; i < DRIVERS; i++)
        if (!strncmp(floor, names[i], strlen(names[i])))
            return i;
    return DRIVERS;
}

static struct seen
look_at(const char *list)
{
    struct seen seen = {.lowest = DRIVERS, .highest = DRIVERS};

    for (const char *at = list; *at; at += strspn(at, ",")) {
        const char *id = strstr(at, ":Id=");
        unsigned driver = driver_of(at);

        assert_in_range(driver, 0, DRIVERS - 1);
        seen.highest = seen.count++ ? seen.highest : driver;
        seen.lowest = driver;
        seen.drivers[driver]++;
        if (driver == VLAN && strtoul(id + 4, NULL, 10)) {
            seen.in_vlan++;
            seen.id = strtoul(id + 4, NULL, 10);
        }
        at += strcspn(at, ",");
    }
    return seen;
}

/* Each driver at the top, at the bottom; each height; on the right, too. */
static void
all_kinds_are_drawn(void **state)
{
    unsigned heights[2][FLOORS_MAX + 1] = {{0}}, tops[DRIVERS + 1] = {0},
                                     bottoms[DRIVERS + 1] = {0};
    struct stage_stacks stacks;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        stage_draw(seed, false, &stacks);
        for (unsigned side = 0; side < 2; side++) {
            struct seen seen = look_at(stacks.floors[side]);
            assert_in_range(seen.count, side == 0, FLOORS_MAX);
            heights[side][seen.count]++;
            tops[seen.highest]++;
            bottoms[seen.lowest]++;
        }
    }
    for (unsigned i = 0; i < 2; i++)
        for (unsigned count = i == 0; count <= FLOORS_MAX; count++)
            assert_true(heights[i][count] > SEEDS / 40);
    for (unsigned i = 0; i < DRIVERS; i++)
        assert_true(tops[i] > SEEDS / 10 && bottoms[i] > SEEDS / 10);
}

static void
both_ends_are_in_one_vlan(void **state)
{
    unsigned with_id = 0, with_none = 0;
    struct stage_stacks stacks;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        stage_draw(seed, seed % 2, &stacks);
        struct seen left = look_at(stacks.floors[0]), right = look_at(stacks.floors[1]);

        assert_int_equal(left.drivers[VLAN] != 0, right.drivers[VLAN] != 0);
        assert_in_range(left.in_vlan, 0, 1);
        assert_int_equal(left.in_vlan, right.in_vlan);
        assert_int_equal(left.id, right.id);
        with_id += left.in_vlan;
        with_none += !left.drivers[VLAN];
    }
    assert_true(with_id > SEEDS / 10 && with_none > SEEDS / 10);
}

static void
a_seed_draws_the_same_again(void **state)
{
    struct stage_stacks first, second, harmful;
    unsigned different = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        stage_draw(seed, false, &first);
        stage_draw(seed + 1, false, &second);
        stage_draw(seed, true, &harmful);
        different += strcmp(first.floors[0], second.floors[0]) != 0;
        assert_int_equal(look_at(first.floors[0]).count, look_at(harmful.floors[0]).count);
        stage_draw(seed, false, &second);
        assert_string_equal(first.floors[0], second.floors[0]);
        assert_string_equal(first.floors[1], second.floors[1]);
    }
    assert_true(different > SEEDS * 9 / 10);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_are_drawn),
        cmocka_unit_test(both_ends_are_in_one_vlan),
        cmocka_unit_test(a_seed_draws_the_same_again),
    };

    return cmocka_run_group_tests_name("house/draw", tests, NULL, NULL);
}
