/*
 * Several VLANs over one adapter, and options that make no sense. NDIS binds a driver to an adapter
 * once, so each VLAN is the driver under another name; each has its host stack, and all of them use
 * the same addresses and ports: only the tag says whose a frame is.
 */
#include "stage.h"

#include "base/bytes.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

#define SECOND_US 1000000ull
#define VLANS 2

static const struct script_options plain[2];
static const unsigned ids[VLANS] = {5, 6};

/* Stages on one loop, house and wire; they differ in the host stacks. */
struct lane {
    struct stage stage;
    struct pair pair;
    unsigned frames; /* sent from the left with its tag */
};

static struct lane lanes[VLANS];
static unsigned stray; /* frames with no tag, or another */

static void
count(struct verifier_frame *frame, uint8_t *bytes)
{
    bool known = false;

    if (!frame->out)
        return;
    for (unsigned i = 0; i < VLANS; i++)
        if (bytes_load_be32(bytes + 12) == (0x81000000u | ids[i])) {
            known = true;
            lanes[i].frames += frame->adapter[0] == 'a';
        }
    stray += !known;
}

/* The VLAN over adapter `below`, with a host stack on it. */
static void
build_lane(struct stage *stage, enum stage_side side, unsigned i, const char *below)
{
    char driver[16], id[8], adapter[16], host[16];
    const struct house_option options[] = {{"Id", id}, {NULL, NULL}};

    snprintf(id, sizeof id, "%u", ids[i]);
    snprintf(driver, sizeof driver, "vlan%u", i);
    snprintf(adapter, sizeof adapter, "%s.%u", below, ids[i]);
    snprintf(host, sizeof host, "%s-%u", side == LEFT ? "left" : "right", ids[i]);
    assert_int_equal(house_set_options(stage->house, adapter, options), 0);
    assert_int_equal(house_bind(stage->house, driver, below, adapter), 0);
    stage->hosts[side] = script_create(host, stage->loop);
    assert_non_null(stage->hosts[side]);
    assert_int_equal(house_load(stage->house, host, host_entry, script_host(stage->hosts[side])),
                     0);
    assert_int_equal(house_bind(stage->house, host, adapter, NULL), 0);
}

/* The ground floor is a stage of the usual kind, whose own host stacks stay silent. */
static void
open_lanes(struct stage *ground)
{
    memset(lanes, 0, sizeof lanes);
    stray = 0;
    stage_open(ground, &(struct stage_options){.bare = true});
    ground->tamper = count;
    for (unsigned i = 0; i < VLANS; i++) {
        char driver[16];

        snprintf(driver, sizeof driver, "vlan%u", i);
        assert_int_equal(house_load(ground->house, driver, vlan_entry, NULL), 0);
        lanes[i].stage = *ground;
        build_lane(&lanes[i].stage, LEFT, i, "a0");
        build_lane(&lanes[i].stage, RIGHT, i, "b0");
    }
    stage_pass(ground, 1000);
    for (unsigned i = 0; i < VLANS; i++)
        pair_open(&lanes[i].stage, &lanes[i].pair, plain);
}

static void
no_offloads_left(void *arg, const struct house_floor *floor)
{
    assert_int_equal(floor->offloaded, 0);
}

static void
close_lanes(struct stage *ground)
{
    for (unsigned i = 0; i < VLANS; i++)
        pair_close(&lanes[i].pair);
    stage_pass(ground, 1000);
    house_walk(ground->house, no_offloads_left, NULL);
    assert_int_equal(stray, 0);
    assert_int_equal(ground->breach, 0);
    house_destroy(ground->house);
    for (unsigned i = 0; i < VLANS; i++)
        for (unsigned side = 0; side < 2; side++) {
            assert_int_equal(script_stats(lanes[i].stage.hosts[side])->breaches, 0);
            assert_int_equal(script_stats(lanes[i].stage.hosts[side])->bad_checksums, 0);
            script_destroy(lanes[i].stage.hosts[side]);
        }
    stage_close_wires(ground);
}

static bool
all_done(void *arg)
{
    for (unsigned i = 0; i < VLANS; i++)
        if (!pair_done(&lanes[i].pair))
            return false;
    return true;
}

/* Streams differ: a byte of the other lane would be seen. */
static void
send_in_all(struct stage *ground)
{
    for (unsigned i = 0; i < VLANS; i++) {
        lanes[i].frames = 0;
        pair_send(&lanes[i].pair, 100000 + 50000 * i, 80000, false);
    }
    assert_true(stage_run(ground, all_done, NULL, 60 * SECOND_US));
    for (unsigned i = 0; i < VLANS; i++) {
        pair_check(&lanes[i].pair);
        assert_true(lanes[i].frames > 0);
    }
}

static void
each_has_its_own(void **state)
{
    struct stage ground;

    open_lanes(&ground);
    send_in_all(&ground);
    for (unsigned i = 0; i < VLANS; i++)
        for (unsigned side = 0; side < 2; side++) {
            actor_offload(&lanes[i].pair.actors[side]);
            send_in_all(&ground); /* some are down, some at home */
        }
    for (unsigned i = 0; i < VLANS; i++)
        assert_true(actor_with_target(&lanes[i].pair.actors[LEFT]));
    actor_upload(&lanes[0].pair.actors[LEFT]);
    send_in_all(&ground);
    close_lanes(&ground);
}

/* One VLAN is taken away with its connection down; the other does not notice. */
static void
one_is_taken_away(void **state)
{
    struct stage ground;
    unsigned frames;

    open_lanes(&ground);
    for (unsigned i = 0; i < VLANS; i++)
        actor_offload(&lanes[i].pair.actors[LEFT]);
    assert_int_equal(house_unbind(ground.house, "vlan0", "a0"), 0);
    assert_true(actor_at_home(&lanes[0].pair.actors[LEFT]));
    assert_true(actor_with_target(&lanes[1].pair.actors[LEFT]));
    frames = lanes[0].frames;
    pair_send(&lanes[1].pair, 100000, 100000, false);
    assert_true(stage_run(&ground, pair_done, &lanes[1].pair, 60 * SECOND_US));
    pair_check(&lanes[1].pair);
    assert_int_equal(lanes[0].frames, frames);
    close_lanes(&ground);
}

/* ---- options ---- */

static char said[512];

static void
hear(enum log_level level, const char *line, void *arg)
{
    size_t used = strlen(said);

    if (level <= LOG_ERROR)
        snprintf(said + used, sizeof said - used, "%s; ", line);
}

static void
is_there(void *arg, const struct house_floor *floor)
{
    *(bool *)arg |= !strcmp(floor->adapter, "v");
}

/* words: what has to be said; NULL: nothing is wrong. */
static void
with_options(struct stage *stage, const char *id, const char *priority, const char *words)
{
    struct house_option options[3] = {{NULL, NULL}};
    unsigned count_of = 0;
    bool there = false;

    if (id)
        options[count_of++] = (struct house_option){"Id", id};
    if (priority)
        options[count_of++] = (struct house_option){"Priority", priority};
    said[0] = 0;
    assert_int_equal(house_set_options(stage->house, "v", options), 0);
    house_bind(stage->house, "vlan", "a0", "v");
    house_walk(stage->house, is_there, &there);
    assert_int_equal(there, words == NULL);
    if (words && !strstr(said, words))
        fail_msg("said '%s', not '%s'", said, words);
    house_unbind(stage->house, "vlan", "a0");
}

static void
options_that_make_no_sense(void **state)
{
    struct stage stage;

    stage_open(&stage, &(struct stage_options){.bare = true});
    assert_int_equal(house_load(stage.house, "vlan", vlan_entry, NULL), 0);
    log_set_sink(hear, NULL);
    with_options(&stage, NULL, NULL, "vlan v: which VLAN? Say vlan:Id=10");
    with_options(&stage, NULL, "3", "which VLAN?");
    with_options(&stage, "4095", NULL, "Id=4095: it is a number from 0 to 4094");
    with_options(&stage, "99999999999999999999", NULL, "…: it is a number from 0 to 4094");
    with_options(&stage, "-1", NULL, "Id=-1: it is a number");
    with_options(&stage, "5x", NULL, "Id=5x: it is a number");
    with_options(&stage, " 5", NULL, "Id= 5: it is a number");
    with_options(&stage, "5", "8", "Priority=8: it is a number from 0 to 7");
    with_options(&stage, "5", "high", "Priority=high: it is a number");
    with_options(&stage, "0", NULL, "Id=0 without a Priority from 1 to 7 does nothing");
    with_options(&stage, "0", "0", "Id=0 without a Priority");
    with_options(&stage, "5", NULL, NULL);
    with_options(&stage, "4094", "7", NULL);
    with_options(&stage, "0", "1", NULL);
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_its_own),
        cmocka_unit_test(one_is_taken_away),
        cmocka_unit_test(options_that_make_no_sense),
    };

    return cmocka_run_group_tests_name("house/vlans", tests, NULL, NULL);
}
