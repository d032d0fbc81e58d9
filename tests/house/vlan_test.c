/*
 * VLANs: between two host stacks that know nothing of tags every frame on the wire has the right
 * one, before, during and after an offload; what is not of a VLAN does not get into it; and what
 * the chimney cannot express stays at home.
 */
#include "stage.h"

#include "base/bytes.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000ull
#define TAGS_MAX 2

static const struct script_options plain[2];

/* ---- the wire ---- */

/* What every frame has to look like, and how many there were. */
static struct {
    unsigned tags[TAGS_MAX]; /* the outer one first */
    unsigned tag_count;
    unsigned frames, wrong, superframes;
} wire;

static void
expect(unsigned count, unsigned outer, unsigned inner)
{
    memset(&wire, 0, sizeof wire);
    wire.tag_count = count;
    wire.tags[0] = outer;
    wire.tags[1] = inner;
}

static bool
looks_right(const uint8_t *bytes)
{
    unsigned type, at = 12;

    for (unsigned i = 0; i < wire.tag_count; i++, at += 4)
        if (bytes_load_be32(bytes + at) != (0x81000000u | wire.tags[i]))
            return false;
    type = bytes_load_be16(bytes + at);
    return type == 0x0800 || type == 0x86dd;
}

/* The frames of both ends pass here; they are left as they are. */
static void
look(struct verifier_frame *frame, uint8_t *bytes)
{
    if (!frame->out)
        return;
    wire.frames++;
    wire.wrong += !looks_right(bytes);
    wire.superframes += frame->gso_size != 0;
}

/* ---- one VLAN ---- */

static void
transfer(struct stage *stage, struct pair *pair)
{
    unsigned before = wire.frames;

    pair_send(pair, 200000, 100000, false);
    assert_true(stage_run(stage, pair_done, pair, 60 * SECOND_US));
    assert_true(wire.frames > before);
    assert_int_equal(wire.wrong, 0);
    pair_check(pair);
}

/* Sends in every place a connection can be in: at home, one side down, both, home again. */
static void
every_frame(const struct stage_options *options, bool ipv6, unsigned tags, unsigned tag)
{
    const struct script_options sides[2] = {{.ipv6 = ipv6}, {.ipv6 = ipv6}};
    struct stage stage;
    struct pair pair;

    stage_open(&stage, options);
    expect(tags, tag, 0);
    stage.tamper = look;
    pair_open(&stage, &pair, sides);
    transfer(&stage, &pair);
    actor_offload(&pair.actors[LEFT]);
    transfer(&stage, &pair);
    actor_offload(&pair.actors[RIGHT]);
    transfer(&stage, &pair);
    actor_upload(&pair.actors[LEFT]);
    transfer(&stage, &pair);
    actor_upload(&pair.actors[RIGHT]);
    pair_send(&pair, 1000, 1000, true);
    assert_true(stage_run(&stage, pair_ended, &pair, 600 * SECOND_US));
    assert_int_equal(wire.wrong, 0);
    assert_true(wire.superframes > 0);
    assert_int_equal(stage.breach, 0);
    pair_close(&pair);
    stage_close(&stage);
}

static void
every_frame_is_tagged(void **state)
{
    static const struct {
        const char *floors;
        unsigned tag;
    } cases[] = {
        {"vlan:Id=5", 5},
        {"vlan:Id=5:Priority=3", 3u << 13 | 5},
        {"vlan:Id=4094:Priority=7", 7u << 13 | 4094},
        {"vlan:Id=0:Priority=3", 3u << 13},
        /* A priority is that of the topmost floor that has one, wherever the VLAN is. */
        {"vlan:Id=0:Priority=3,vlan:Id=5:Priority=1", 3u << 13 | 5},
        {"vlan:Id=5,passthru,vlan:Id=0:Priority=6", 6u << 13 | 5},
    };

    for (unsigned i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        const char *floors = cases[i / 2].floors;

        every_frame(&(struct stage_options){.floors = floors, .far_floors = floors}, i % 2, 1,
                    cases[i / 2].tag);
    }
}

/* The page of the driver has an example: "chimneyd --port NAME=WIRE,FLOORS". MAN_PAGE names it. */
static void
as_the_page_says(void **state)
{
    const char *page = getenv("MAN_PAGE"), *at = NULL;
    char line[256], floors[256];
    FILE *file;

    assert_non_null(page);
    file = fopen(page, "r");
    assert_non_null(file);
    while (!at && fgets(line, sizeof line, file))
        at = strstr(line, "# chimneyd --port ");
    fclose(file);
    assert_non_null(at);
    at = strchr(at, ',');
    assert_non_null(at);
    snprintf(floors, sizeof floors, "%.*s", (int)strcspn(at + 1, " \n"), at + 1);
    every_frame(&(struct stage_options){.floors = floors, .far_floors = floors}, false, 1,
                3u << 13 | 10);
}

/* The control: without a VLAN there is no tag. */
static void
without_there_is_none(void **state)
{
    every_frame(&(struct stage_options){.floors = "passthru"}, false, 0, 0);
}

/* A wire that cuts superframes, loses and reorders: the tags are on every segment. */
static void
on_a_rough_wire(void **state)
{
    struct wire_mem_impair rough = {.seed = 7,
                                    .loss_ppm = 5000,
                                    .reorder_ppm = 5000,
                                    .reorder_delay_us = 3000,
                                    .delay_us = 500,
                                    .bits_per_second = 100000000,
                                    .segment_gso = 1};

    every_frame(&(struct stage_options){.floors = "vlan:Id=5:Priority=3",
                                        .far_floors = "vlan:Id=5:Priority=3",
                                        .impaired = true,
                                        .impair = {rough, rough}},
                true, 1, 3u << 13 | 5);
}

/* Again and again, with data on its way. */
static void
moves_under_load(void **state)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage,
               &(struct stage_options){.floors = "passthru,vlan:Id=5:Priority=3",
                                       .far_floors = "vlan:Id=5:Priority=3",
                                       .impaired = true,
                                       .impair = {{.seed = 1, .delay_us = 200, .loss_ppm = 2000},
                                                  {.seed = 2, .delay_us = 200}}});
    expect(1, 3u << 13 | 5, 0);
    stage.tamper = look;
    pair_open(&stage, &pair, plain);
    actor_start_moving(&pair.actors[LEFT], 3, 40, 100, 3000);
    actor_start_moving(&pair.actors[RIGHT], 4, 40, 100, 3000);
    pair_send(&pair, 2000000, 1000000, true);
    assert_true(stage_run(&stage, pair_ended, &pair, 600 * SECOND_US));
    pair_check(&pair);
    assert_true(pair.actors[LEFT].moves >= 4);
    assert_int_equal(wire.wrong, 0);
    assert_int_equal(stage.breach, 0);
    pair_close(&pair);
    stage_close(&stage);
}

/* The control of the verifier's eyes. */
static void
another_priority(struct verifier_frame *frame, uint8_t *bytes)
{
    if (frame->out && frame->adapter[0] == 'a')
        bytes[14] ^= 0x20;
}

static void
a_wrong_tag_is_seen(void **state)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.floors = "vlan:Id=5", .far_floors = "vlan:Id=5"});
    pair_open(&stage, &pair, plain);
    actor_offload(&pair.actors[LEFT]);
    stage.tamper = another_priority;
    pair_send(&pair, 10000, 0, false);
    assert_true(stage_run(&stage, pair_done, &pair, 60 * SECOND_US));
    assert_int_equal(stage.breach, 174);
    actor_upload(&pair.actors[LEFT]);
    pair_close(&pair);
    stage_close(&stage);
}

/* Of all frames, or of every second one. */
static unsigned frames_between;

static void
without_priority(struct verifier_frame *frame, uint8_t *bytes)
{
    static unsigned count;

    if (frame->out && frame->adapter[0] == 'a' && count++ % frames_between == 0)
        bytes[14] &= 0x1f;
}

static unsigned
breach_without_priority(unsigned between)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.floors = "vlan:Id=5:Priority=3",
                                               .far_floors = "vlan:Id=5"});
    pair_open(&stage, &pair, plain);
    frames_between = between;
    stage.tamper = without_priority;
    actor_offload(&pair.actors[LEFT]);
    pair_send(&pair, 10000, 0, false);
    assert_true(stage_run(&stage, pair_done, &pair, 60 * SECOND_US));
    actor_upload(&pair.actors[LEFT]);
    pair_close(&pair);
    unsigned breach = stage.breach;
    stage_close(&stage);
    return breach;
}

/* A target need not know priorities, but it does or it does not. */
static void
a_target_may_leave_priorities(void **state)
{
    assert_int_equal(breach_without_priority(1), 0);
    assert_int_equal(breach_without_priority(2), 174);
}

/* ---- what is not of a VLAN ---- */

static void
nothing_arrives(const char *floors, const char *far_floors, bool offload)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.floors = floors, .far_floors = far_floors});
    pair_open(&stage, &pair, plain);
    for (unsigned i = 0; offload && i < 2; i++)
        actor_offload(&pair.actors[i]);
    pair_send(&pair, 5000, 5000, false);
    stage_pass(&stage, 3 * SECOND_US);
    assert_int_equal(pair.actors[LEFT].received, 0);
    assert_int_equal(pair.actors[RIGHT].received, 0);
    pair_close(&pair);
    stage_close(&stage);
}

static void
vlans_are_apart(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        nothing_arrives("vlan:Id=5", "vlan:Id=6", i);
        nothing_arrives("vlan:Id=5:Priority=3", "vlan:Id=0:Priority=3", false);
        nothing_arrives("vlan:Id=5", NULL, false);
        nothing_arrives(NULL, "vlan:Id=5", false);
    }
}

/* ---- two tags ---- */

/* The state has room for one: refused, and the host stacks go on. Frames can have two. */
static void
stacked_is_refused(const char *floors, unsigned outer, unsigned inner)
{
    /* The upper VLAN's adapter is smaller by the lower one's tag. */
    const struct script_options sides[2] = {{.mtu = 1496}, {.mtu = 1496}};
    struct stage stage;
    struct pair pair;
    struct actor *left = &pair.actors[LEFT];

    stage_open(&stage, &(struct stage_options){.floors = floors, .far_floors = floors});
    expect(2, outer, inner);
    stage.tamper = look;
    pair_open(&stage, &pair, sides);
    transfer(&stage, &pair);
    assert_int_equal(script_offload(left->conn), 0);
    stage_pass(&stage, SECOND_US);
    assert_true(actor_at_home(left));
    assert_true(left->last_move.down);
    /* The host stack has named no VLAN, so it hears of none (V-050). */
    assert_int_equal(left->last_move.nodes.neighbor, NDIS_STATUS_FAILURE);
    assert_int_equal(left->last_move.nodes.path, NDIS_STATUS_FAILURE);
    assert_int_equal(left->last_move.status, NDIS_STATUS_FAILURE);
    transfer(&stage, &pair);
    assert_int_equal(stage.breach, 0);
    pair_close(&pair);
    stage_close(&stage);
}

static void
two_ids_are_refused(void **state)
{
    stacked_is_refused("vlan:Id=5:Priority=2,vlan:Id=6:Priority=1", 1u << 13 | 6, 2u << 13 | 5);
    stacked_is_refused("vlan:Id=5,passthru,vlan:Id=5", 5, 5);
}

/* The target's configuration has another id. */
static void
target_has_another_id(void **state)
{
    static const struct house_option six[] = {{"VlanId", "6"}, {NULL, NULL}};
    struct stage stage;
    struct pair pair;
    struct actor *left = &pair.actors[LEFT];

    stage_open(&stage, &(struct stage_options){.floors = "passthru,vlan:Id=5",
                                               .far_floors = "vlan:Id=5",
                                               .target = six});
    expect(1, 5, 0);
    stage.tamper = look;
    pair_open(&stage, &pair, plain);
    assert_int_equal(script_offload(left->conn), 0);
    stage_pass(&stage, SECOND_US);
    assert_true(actor_at_home(left));
    assert_int_equal(left->last_move.nodes.neighbor, NDIS_STATUS_FAILURE);
    transfer(&stage, &pair);
    assert_int_equal(stage.breach, 0);
    pair_close(&pair);
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_frame_is_tagged),
        cmocka_unit_test(as_the_page_says),
        cmocka_unit_test(without_there_is_none),
        cmocka_unit_test(on_a_rough_wire),
        cmocka_unit_test(moves_under_load),
        cmocka_unit_test(a_wrong_tag_is_seen),
        cmocka_unit_test(a_target_may_leave_priorities),
        cmocka_unit_test(vlans_are_apart),
        cmocka_unit_test(two_ids_are_refused),
        cmocka_unit_test(target_has_another_id),
    };

    return cmocka_run_group_tests_name("house/vlan", tests, NULL, NULL);
}
