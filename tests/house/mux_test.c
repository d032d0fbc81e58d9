/*
 * What the example mux has over a floor with one adapter: two host stacks share one adapter through
 * it, each with a virtual adapter of its own. Completions name neither, so whatever went down
 * through one must come up through the same. EXAMPLES names the folder of the built objects.
 */
#include "stage.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_US 1000000ull

/* Two stages on one loop, house and wire; they differ in the host stack on the left. */
struct twins {
    struct stage stages[2];
    struct pair pairs[2];
    struct script *right;
};

static void
on_line(enum log_level level, const char *line, void *arg)
{
    struct stage *stage = arg;

    if (level > LOG_WARN)
        return;
    stage->complaints++;
    print_error("%s\n", line);
}

static void
load_script(struct stage *stage, const char *name, struct script **out)
{
    *out = script_create(name, stage->loop);
    assert_non_null(*out);
    assert_int_equal(house_load(stage->house, name, host_entry, script_host(*out)), 0);
}

static void
open_house(struct stage *stage, const struct wire_mem_impair *impair)
{
    struct wire_mem_impair both[2] = {*impair, *impair};
    const char *folder = getenv("EXAMPLES");
    char path[512];

    assert_non_null(folder);
    snprintf(path, sizeof(path), "%s/mux.so", folder);
    memset(stage, 0, sizeof(*stage));
    log_set_sink(on_line, stage);
    stage->loop = sys_loop_create();
    assert_int_equal(wire_mem_create(stage->loop, 1500, both, stage->ends), 0);
    assert_int_equal(house_create(stage->loop, &stage->house), 0);
    stage_watch(stage);
    assert_int_equal(house_load(stage->house, "soft", soft_target_entry, NULL), 0);
    assert_int_equal(house_load_file(stage->house, "mux", path), 0);
    assert_int_equal(house_add_adapter(stage->house, "soft", "a0", stage->ends[0], NULL), 0);
    assert_int_equal(house_add_adapter(stage->house, "soft", "b0", stage->ends[1], NULL), 0);
}

static void
close_house(struct stage *stage)
{
    if (stage->house)
        house_destroy(stage->house);
    for (unsigned i = 0; i < 2; i++) {
        wire_set_watcher(stage->ends[i], NULL, NULL);
        wire_close(stage->ends[i]);
    }
    while (sys_loop_turn(stage->loop, false))
        continue;
    sys_loop_destroy(stage->loop);
    verifier_destroy(stage->verifier);
    log_set_sink(NULL, NULL);
}

static void
open_twins(struct twins *twins, const struct script_options sides[2])
{
    static const struct wire_mem_impair rough = {.seed = 3,
                                                 .loss_ppm = 5000,
                                                 .delay_us = 500,
                                                 .bits_per_second = 100000000,
                                                 .segment_gso = 1};
    struct stage *stage = &twins->stages[0];

    open_house(stage, &rough);
    assert_int_equal(house_bind(stage->house, "mux", "a0", "one,two"), 0);
    load_script(stage, "right", &twins->right);
    assert_int_equal(house_bind(stage->house, "right", "b0", NULL), 0);
    stage->hosts[RIGHT] = twins->right;
    twins->stages[1] = *stage;
    twins->stages[1].pairs = 100; /* other ports */
    load_script(stage, "first", &twins->stages[0].hosts[LEFT]);
    load_script(stage, "second", &twins->stages[1].hosts[LEFT]);
    assert_int_equal(house_bind(stage->house, "first", "one", NULL), 0);
    assert_int_equal(house_bind(stage->house, "second", "two", NULL), 0);
    stage_pass(stage, 1000);
    for (unsigned i = 0; i < 2; i++)
        pair_open(&twins->stages[i], &twins->pairs[i], sides);
}

static void
no_offloads_left(void *arg, const struct house_floor *floor)
{
    assert_int_equal(floor->offloaded, 0);
}

static void
close_twins(struct twins *twins)
{
    struct script *hosts[] = {twins->stages[0].hosts[LEFT], twins->stages[1].hosts[LEFT],
                              twins->right};
    struct stage *stage = &twins->stages[0];

    for (unsigned i = 0; i < 2; i++)
        pair_close(&twins->pairs[i]);
    stage_pass(stage, 1000);
    house_walk(stage->house, no_offloads_left, NULL);
    house_destroy(stage->house);
    stage->house = NULL;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(script_stats(hosts[i])->breaches, 0);
        script_destroy(hosts[i]);
    }
    verifier_finish(stage->verifier);
    assert_int_equal(stage->complaints, 0);
    close_house(stage);
}

static bool
both_done(void *arg)
{
    struct twins *twins = arg;

    return pair_done(&twins->pairs[0]) && pair_done(&twins->pairs[1]);
}

static bool
both_ended(void *arg)
{
    struct twins *twins = arg;

    return pair_ended(&twins->pairs[0]) && pair_ended(&twins->pairs[1]);
}

static void
exchange(const struct script_options sides[2])
{
    struct twins twins;
    struct script_figures figures;

    open_twins(&twins, sides);
    for (unsigned i = 0; i < 2; i++) {
        actor_start_moving(&twins.pairs[i].actors[LEFT], 5 + i, 30, 200, 8000);
        pair_send(&twins.pairs[i], 500000, 500000, true);
    }
    assert_true(stage_run(&twins.stages[0], both_done, &twins, 600 * SECOND_US));
    assert_true(stage_run(&twins.stages[0], both_ended, &twins, 600 * SECOND_US));
    for (unsigned i = 0; i < 2; i++) {
        pair_check(&twins.pairs[i]);
        script_read_figures(twins.pairs[i].actors[LEFT].conn, &figures);
        assert_true(figures.moves_down >= 3);
        assert_true(figures.target_out > 0 && figures.target_in > 0);
    }
    close_twins(&twins);
}

static void
two_host_stacks_share_an_adapter(void **state)
{
    static const struct script_options plain[2] = {{0}};
    static const struct script_options posting[2] = {{.receive = SCRIPT_POST},
                                                     {.receive = SCRIPT_POST}};
    static const struct script_options nibbling[2] = {{.receive = SCRIPT_NIBBLE},
                                                      {.receive = SCRIPT_NIBBLE}};

    exchange(plain);
    exchange(posting);
    exchange(nibbling);
}

static bool
both_down(void *arg)
{
    struct twins *twins = arg;

    return actor_with_target(&twins->pairs[0].actors[LEFT]) &&
           actor_with_target(&twins->pairs[1].actors[LEFT]);
}

/* One leaves, with its connection down and data on its way; the other does not notice. */
static void
one_of_them_leaves(void **state)
{
    static const struct script_options sides[2] = {{0}};
    struct twins twins;

    open_twins(&twins, sides);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(script_offload(twins.pairs[i].actors[LEFT].conn), 0);
        pair_send(&twins.pairs[i], 400000, 400000, false);
    }
    assert_true(stage_run(&twins.stages[0], both_down, &twins, SECOND_US));
    stage_pass(&twins.stages[0], 5000);
    assert_int_equal(house_unbind(twins.stages[0].house, "first", "one"), 0);
    assert_true(actor_at_home(&twins.pairs[0].actors[LEFT]));
    assert_true(actor_with_target(&twins.pairs[1].actors[LEFT]));
    assert_true(stage_run(&twins.stages[0], pair_done, &twins.pairs[1], 600 * SECOND_US));
    pair_check(&twins.pairs[1]);
    /* It comes back, and goes on where it was. */
    assert_int_equal(house_bind(twins.stages[0].house, "first", "one", NULL), 0);
    assert_true(stage_run(&twins.stages[0], pair_done, &twins.pairs[0], 600 * SECOND_US));
    pair_check(&twins.pairs[0]);
    close_twins(&twins);
}

/* The adapter below is taken away under all of them. */
static void
the_adapter_below_goes(void **state)
{
    static const struct script_options sides[2] = {{0}};
    struct twins twins;
    struct stage *stage = &twins.stages[0];

    open_twins(&twins, sides);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(script_offload(twins.pairs[i].actors[LEFT].conn), 0);
        pair_send(&twins.pairs[i], 400000, 400000, false);
    }
    assert_true(stage_run(stage, both_down, &twins, SECOND_US));
    assert_int_equal(house_remove_adapter(stage->house, "a0"), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_true(actor_at_home(&twins.pairs[i].actors[LEFT]));
    assert_int_equal(house_unload(stage->house, "mux"), 0);
    close_twins(&twins);
}

struct count {
    const char *driver;
    unsigned adapters;
};

static void
count_adapters(void *arg, const struct house_floor *floor)
{
    struct count *count = arg;

    count->adapters += !strcmp(floor->driver, count->driver);
}

/* All of the names, or none. */
static void
names_are_all_or_nothing(void **state)
{
    static const char *const bad[] = {NULL,       "",        ",",         "one,",   ",one",
                                      "one,,two", "one,one", "a,b,c,d,e", "fine,b0"};
    static const struct wire_mem_impair nothing = {0};
    struct count count = {"mux", 0};
    struct stage stage;

    open_house(&stage, &nothing);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(house_bind(stage.house, "mux", "a0", bad[i]), -EIO);
    house_walk(stage.house, count_adapters, &count);
    assert_int_equal(count.adapters, 0);
    assert_true(stage.complaints >= sizeof(bad) / sizeof(bad[0]));
    assert_int_equal(house_bind(stage.house, "mux", "a0", "a,b,c,d"), 0);
    house_walk(stage.house, count_adapters, &count);
    assert_int_equal(count.adapters, 4);
    close_house(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_host_stacks_share_an_adapter),
        cmocka_unit_test(one_of_them_leaves),
        cmocka_unit_test(the_adapter_below_goes),
        cmocka_unit_test(names_are_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
