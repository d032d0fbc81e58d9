/* The floors between a host and its target (stage_floors.h). */
#include "stage_floors.h"
#include "stage_draw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    house_driver_entry entry;
} drivers[] = {{"passthru", passthru_entry}, {"vlan", vlan_entry}, {"trace", trace_entry},
               {"fault", fault_entry},       {"team", team_entry}, {"deaf", deaf_entry}};

static bool
is_loaded(const struct stage *stage, const char *name)
{
    for (unsigned i = 0; i < stage->loaded_count; i++)
        if (!strcmp(stage->loaded[i], name))
            return true;
    return false;
}

/* The same driver may stand for several floors. */
static void
need_driver(struct stage *stage, const char *name)
{
    const char *file = !strcmp(name, "passthru") ? getenv("HOUSE_FLOOR") : NULL;
    house_driver_entry entry = NULL;

    if (is_loaded(stage, name))
        return;
    for (size_t i = 0; i < sizeof drivers / sizeof drivers[0]; i++)
        if (!strcmp(drivers[i].name, name))
            entry = drivers[i].entry;
    assert_true(file || entry);
    stage_load_driver(stage, name, file, entry);
    assert_in_range(stage->loaded_count, 0, STAGE_FLOORS_MAX - 1);
    snprintf(stage->loaded[stage->loaded_count++], sizeof stage->loaded[0], "%s", name);
}

/* One floor on the adapter below; its virtual adapter is "<side><number>". */
const char *
stage_build_floor(struct stage *stage, enum stage_side side, const char *below, const char *text)
{
    char *above = stage->floors[side][stage->floor_count[side]];
    struct house_floor_words words;
    const char *why;

    assert_in_range(stage->floor_count[side], 0, STAGE_FLOORS_MAX - 1);
    assert_int_equal(house_read_floor(text, &words, &why), 0);
    need_driver(stage, words.name);
    snprintf(stage->drivers[side][stage->floor_count[side]], sizeof stage->drivers[0][0], "%.15s",
             words.name);
    snprintf(above, sizeof stage->floors[0][0], "%c%u", side == LEFT ? 'p' : 'q',
             ++stage->floor_count[side]);
    assert_int_equal(house_set_options(stage->house, above, words.options), 0);
    assert_int_equal(house_bind(stage->house, words.name, below, above), 0);
    return above;
}

/* A list as users write it, from the top down: built from its end. */
const char *
stage_build_floors(struct stage *stage, enum stage_side side, const char *below, const char *list)
{
    char text[STAGE_LIST_SIZE];
    char *comma;

    assert_in_range(snprintf(text, sizeof text, "%s", list), 0, sizeof text - 1);
    while ((comma = strrchr(text, ',')) != NULL) {
        below = stage_build_floor(stage, side, below, comma + 1);
        *comma = '\0';
    }
    return *text ? stage_build_floor(stage, side, below, text) : below;
}

/* The same all the time a program runs, and said once. */
static const char *
drawn(enum stage_side side)
{
    static struct stage_stacks stacks;
    const char *text = getenv("HOUSE_SEED");

    if (!*stacks.floors[LEFT] && text) {
        stage_draw(strtoull(text, NULL, 10), getenv("HOUSE_FAULTS") != NULL, &stacks);
        printf("# HOUSE_SEED=%s: HOUSE_FLOORS='%s' HOUSE_FAR_FLOORS='%s'\n", text,
               stacks.floors[LEFT], stacks.floors[RIGHT]);
    }
    return text ? stacks.floors[side] : NULL;
}

const char *
stage_environment(const struct stage_options *options, enum stage_side side)
{
    const char *list = drawn(side);

    if (options->bare || options->floors || options->far_floors)
        return NULL;
    return list ? list : getenv(side == LEFT ? "HOUSE_FLOORS" : "HOUSE_FAR_FLOORS");
}
