/* What users write behind the name of a driver: an option that it does not have, or a value that
 * makes no sense, keeps the floor from standing, and the log says what there would be. */
#include "stage.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static char said[2048];

static void
hear(enum log_level level, const char *line, void *arg)
{
    if (level <= LOG_ERROR)
        snprintf(said + strlen(said), sizeof said - strlen(said), "%s\n", line);
}

static const struct {
    const char *floor, *said[2]; /* NULL: it stands */
} cases[] = {
    {"passthru", {NULL}},
    {"passthru:Id=5", {"adapter v: driver passthru has no option Id, nor any other"}},
    {"vlan:id=5", {NULL}},
    {"vlan:Id=5:Prio=3", {"adapter v: driver vlan has no option Prio; it has Id, Priority"}},
    {"vlan:Idd=5", {"vlan v: which VLAN?", "driver vlan has no option Idd; it has Id, Priority"}},
    {"vlan:Id=five:Colour=red", {"vlan v: Id=five: it is a number from 0 to 4094", "Colour"}},
    {"trace:File=/dev/null:Snap=60", {NULL}},
    {"trace:File=/dev/null:Rings=4",
     {"adapter v: driver trace has no option Rings; it has File, Ring, Snap"}},
    {"trace:File=/dev/null:Ring=4k", {"trace v: Ring=4k: it is a number from 1 to 1048576"}},
    {"trace:Path=/dev/null", {"it has no option File", "no option Path; it has File, Ring, Snap"}},
    {"fault", {NULL}}, /* without rules */
    {"fault:Script=frames in drop 7:Seed=3", {NULL}},
    {"fault:Script=frames in drop 7:Sead=3",
     {"adapter v: driver fault has no option Sead; it has File, Script, Seed"}},
    {"fault:Script=frames in drop 7:Seed=three",
     {"fault v: Seed=three: it is a number from 0 to 4294967295"}},
    {"fault:Skript=frames in drop 7", {"no option Skript; it has File, Script, Seed"}},
    {"team:Mode=backup", {NULL}},
    {"team:Modus=backup", {"adapter v: driver team has no option Modus; it has "}},
    {"team:Mode=any", {"team v: Mode=any is no mode"}},
};

#define COUNT (sizeof cases / sizeof cases[0])

static void
load_all(struct stage *stage)
{
    static const struct {
        const char *name;
        house_driver_entry entry;
    } drivers[] = {{"passthru", passthru_entry},
                   {"vlan", vlan_entry},
                   {"trace", trace_entry},
                   {"fault", fault_entry},
                   {"team", team_entry}};

    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++)
        assert_int_equal(house_load(stage->house, drivers[i].name, drivers[i].entry, NULL), 0);
}

static void
look_for_v(void *arg, const struct house_floor *floor)
{
    *(bool *)arg |= !strcmp(floor->adapter, "v");
}

static void
of_floors(void **state)
{
    struct stage stage;

    stage_open(&stage, &(struct stage_options){.bare = true});
    load_all(&stage);
    log_set_sink(hear, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        struct house_floor_words words;
        bool expected = !cases[i].said[0], stands = false;
        const char *why;

        said[0] = '\0';
        assert_int_equal(house_read_floor(cases[i].floor, &words, &why), 0);
        assert_int_equal(house_set_options(stage.house, "v", words.options), 0);
        assert_int_equal(house_bind(stage.house, words.name, "a0", "v"), expected ? 0 : -EIO);
        house_walk(stage.house, look_for_v, &stands);
        assert_int_equal(stands, expected);
        for (size_t j = 0; j < 2 && cases[i].said[j]; j++)
            if (!strstr(said, cases[i].said[j]))
                fail_msg("%s: no '%s' in:\n%s", cases[i].floor, cases[i].said[j], said);
        if (!expected)
            continue;
        assert_string_equal(said, "");
        assert_int_equal(house_unbind(stage.house, words.name, "a0"), 0);
    }
    stage_close(&stage);
}

/* The same of the target; the stage's own connection over a0 still stands. */
static void
of_the_target(void **state)
{
    static const struct house_option wrong_name[] = {{"VlanID", "5"}, {"Vlan", "5"}, {NULL, NULL}};
    static const struct house_option wrong_value[] = {{"VlanId", "five"}, {NULL, NULL}};
    static const struct house_option wrong_word[] = {{"Congestion", "vegas"}, {NULL, NULL}};
    struct wire *ends[2];
    struct stage stage;

    stage_open(&stage, &(struct stage_options){.bare = true});
    assert_int_equal(wire_mem_create(stage.loop, 1500, NULL, ends), 0);
    log_set_sink(hear, NULL);
    said[0] = '\0';
    assert_int_equal(house_add_adapter(stage.house, "soft", "a1", ends[0], wrong_name), -EIO);
    assert_non_null(strstr(said, "adapter a1: driver soft has no option Vlan; it has "));
    assert_non_null(strstr(said, "MaxReceiveWindow"));
    assert_null(strstr(said, "no option VlanID"));
    assert_int_equal(house_add_adapter(stage.house, "soft", "a1", ends[0], wrong_value), -EIO);
    assert_non_null(
        strstr(said, "adapter a1: driver soft cannot read VlanId=five: it is a number"));
    assert_int_equal(house_add_adapter(stage.house, "soft", "a1", ends[0], wrong_word), -EIO);
    assert_non_null(strstr(said, "Congestion=vegas: it is CUBIC or NewReno"));
    wire_close(ends[0]);
    wire_close(ends[1]);
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_floors),
        cmocka_unit_test(of_the_target),
    };

    stage_only_soft("of_the_target");
    return cmocka_run_group_tests_name("house/options", tests, NULL, NULL);
}
