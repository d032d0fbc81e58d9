/* What becomes of connections when one of two members cannot be used any more (team_rig.h). */
#include "team_rig.h"

#include "host/host.h"
#include "wire/wire.h"

#include <errno.h>
#include <string.h>

static const struct wire_mem_impair five_ms = {.delay_us = 5000};

/* ---- it works ---- */

/* Ten times: a cable goes, everything comes home, goes down again over the other one. */
static void
connections_survive(void **state)
{
    struct rig rig;

    rig_open_as(&rig, &five_ms, NULL, *state != NULL);
    add_second(&rig, NULL);
    open_pairs(&rig, 4000000, 4000000);
    for (unsigned i = 0; i < 10; i++) {
        unsigned cable = i % 2;

        stage_pass(&rig.stage, 20 * MS_US);
        set_cable(&rig, cable, false);
        assert_true(look(cable ? "a0" : "a1").active);
        assert_false(resumed(&rig));
        assert_true(stage_run(&rig.stage, resumed, &rig, SECOND_US));
        assert_true(all_home(&rig));
        assert_int_equal(look("a0").switches, i + 1);
        for (unsigned j = 0; j < PAIRS; j++) {
            actor_offload(&rig.pairs[j].actors[LEFT]);
            assert_false(pair_done(&rig.pairs[j]));
        }
        set_cable(&rig, cable, true);
    }
    finish_pairs(&rig);
    assert_int_equal(look("a0").switches, 10);
    rig_close(&rig);
}

/* One that joined hears what the first one was told, or nothing could be offloaded to it. */
static void
frames_alone_survive(void **state)
{
    const struct script_options sides[2] = {{0}, {0}};
    struct rig rig;
    struct pair pair;

    rig_open(&rig, &five_ms);
    add_second(&rig, NULL);
    pair_open(&rig.stage, &pair, sides);
    pair_send(&pair, 500000, 500000, false);
    stage_pass(&rig.stage, 30 * MS_US);
    set_cable(&rig, 0, false);
    assert_false(pair_done(&pair));
    assert_true(stage_run(&rig.stage, pair_done, &pair, 60 * SECOND_US));
    pair_check(&pair);
    pair_close(&pair);
    rig_close(&rig);
}

/* ---- at any moment ---- */

static void
pull(void *arg)
{
    struct rig *rig = arg;
    unsigned cable = random_below(&rig->random, 2);

    if (rig->pulls == 0) {
        for (unsigned i = 0; i < 2; i++)
            set_cable(rig, i, true);
        return;
    }
    rig->pulls--;
    set_cable(rig, cable, !rig->up[cable]);
    sys_timer_set(&rig->puller,
                  sys_loop_now_us(rig->stage.loop) + 1 + random_below(&rig->random, 20000));
}

/* Cables come and go, both may be out, connections move by themselves as well. */
static void
at_any_moment(void **state)
{
    static const struct wire_mem_impair lossy = {.seed = 3,
                                                 .delay_us = 1000,
                                                 .loss_ppm = 2000,
                                                 .reorder_ppm = 2000,
                                                 .reorder_delay_us = 900};

    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct rig rig;

        rig_open(&rig, &lossy);
        random_init(&rig.random, seed);
        add_second(&rig, NULL);
        open_pairs(&rig, 300000, 300000);
        for (unsigned i = 0; i < PAIRS; i++)
            actor_start_moving(&rig.pairs[i].actors[LEFT], seed * 10 + i, 60, 500, 9000);
        rig.pulls = 60;
        assert_int_equal(sys_timer_init(&rig.puller, rig.stage.loop, pull, &rig), 0);
        sys_timer_set(&rig.puller, sys_loop_now_us(rig.stage.loop) + 1);
        finish_pairs(&rig);
        assert_in_range(look("a0").switches, 5, 60);
        sys_timer_fini(&rig.puller);
        rig_close(&rig);
    }
}

/* ---- by order ---- */

static void
by_order(void **state)
{
    struct rig rig;

    rig_open(&rig, &five_ms);
    assert_int_equal(team_fail("a0"), -ENOLINK);
    add_second(&rig, NULL);
    open_pairs(&rig, 1000000, 1000000);
    stage_pass(&rig.stage, 20 * MS_US);
    assert_int_equal(team_fail("nobody"), -ENOENT);
    assert_int_equal(team_restore("a0"), -EALREADY);
    assert_int_equal(team_fail("a0"), 0);
    assert_true(look("a0").failed);
    assert_true(look("a0").link);
    assert_true(look("a1").active);
    assert_true(look("a1").moving);
    assert_true(stage_run(&rig.stage, resumed, &rig, SECOND_US));
    assert_false(look("a1").moving);
    assert_int_equal(team_fail("a0"), -EALREADY);
    assert_int_equal(team_fail("a1"), -ENOLINK);
    assert_int_equal(team_restore("a0"), 0);
    assert_true(look("a1").active); /* nobody moves without need */
    finish_pairs(&rig);
    rig_close(&rig);
}

/* ---- what they can do ---- */

static ULONG
capacity(struct rig *rig)
{
    struct host_binding *binding = script_binding(rig->stage.hosts[LEFT]);

    return host_binding_capabilities(binding)->TcpConnectionOffloadCapacity;
}

static void
capabilities_are_those_of_all(void **state)
{
    static const struct house_option small[] = {
        {"ConnectionCapacity", "3"}, {"*TCPConnectionOffloadIPv6", "0"}, {NULL, NULL}};
    struct rig rig;

    rig_open(&rig, &five_ms);
    ULONG alone = capacity(&rig);
    assert_in_range(alone, 4, 1u << 30);
    open_pairs(&rig, 300000, 300000);
    add_second(&rig, small);
    struct host_binding *binding = script_binding(rig.stage.hosts[LEFT]);
    assert_int_equal(capacity(&rig), 3);
    assert_int_equal(host_binding_capabilities(binding)->SupportIPv6, NDIS_OFFLOAD_NOT_SUPPORTED);
    assert_int_equal(host_binding_capabilities(binding)->SupportIPv4, NDIS_OFFLOAD_SUPPORTED);
    assert_true(resumed(&rig));
    for (unsigned i = 0; i < PAIRS; i++) /* what was offloaded stays */
        assert_true(actor_with_target(&rig.pairs[i].actors[LEFT]));
    set_cable(&rig, 1, false);
    assert_int_equal(capacity(&rig), alone);
    set_cable(&rig, 1, true);
    assert_int_equal(capacity(&rig), 3);
    set_cable(&rig, 0, false);
    assert_true(stage_run(&rig.stage, resumed, &rig, SECOND_US));
    assert_int_equal(capacity(&rig), 3);
    set_cable(&rig, 0, true);
    finish_pairs(&rig);
    rig_close(&rig);
}

/* ---- what goes wrong ---- */

/* It joins, and is not used before it has one. */
static void
joins_without_link(void **state)
{
    struct rig rig;

    rig_open(&rig, &five_ms);
    assert_int_equal(house_add_adapter(rig.stage.house, "soft", "a1", rig.cable[0], NULL), 0);
    set_cable(&rig, 1, false);
    assert_int_equal(house_bind(rig.stage.house, "team", "a1", "p1"), 0);
    assert_false(look("a1").link);
    open_pairs(&rig, 300000, 300000);
    stage_pass(&rig.stage, 20 * MS_US);
    assert_int_equal(team_fail("a0"), -ENOLINK);
    set_cable(&rig, 1, true);
    assert_true(look("a0").active);
    set_cable(&rig, 0, false);
    assert_true(look("a1").active);
    finish_pairs(&rig);
    rig_close(&rig);
}

/* Two of them in one house: what one does is not taken for the other's. */
static void
two_teams(void **state)
{
    struct rig rig;
    struct wire *others[2];

    rig_open(&rig, &five_ms);
    add_second(&rig, NULL);
    assert_int_equal(wire_mem_create(rig.stage.loop, 1500, NULL, others), 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(
            house_add_adapter(rig.stage.house, "soft", i ? "c1" : "c0", others[i], NULL), 0);
        assert_int_equal(house_bind(rig.stage.house, "team", i ? "c1" : "c0", "p8"), 0);
    }
    open_pairs(&rig, 1000000, 1000000);
    stage_pass(&rig.stage, 20 * MS_US);
    assert_int_equal(team_fail("c0"), 0);
    assert_true(look("c1").active);
    assert_true(look("a0").active);
    assert_true(resumed(&rig));
    set_cable(&rig, 0, false);
    assert_true(stage_run(&rig.stage, resumed, &rig, SECOND_US));
    actor_offload(&rig.pairs[0].actors[LEFT]);
    finish_pairs(&rig);
    house_remove_adapter(rig.stage.house, "c0");
    house_remove_adapter(rig.stage.house, "c1");
    wire_close(others[0]);
    wire_close(others[1]);
    rig_close(&rig);
}

/* They stay where they are, and the first cable that comes back carries them on. */
static void
all_down(void **state)
{
    struct rig rig;

    rig_open(&rig, &five_ms);
    add_second(&rig, NULL);
    open_pairs(&rig, 1000000, 1000000);
    stage_pass(&rig.stage, 20 * MS_US);
    set_cable(&rig, 1, false);
    set_cable(&rig, 0, false);
    stage_pass(&rig.stage, SECOND_US);
    assert_true(look("a0").active);
    assert_false(look("a0").link);
    for (unsigned i = 0; i < PAIRS; i++)
        assert_true(actor_with_target(&rig.pairs[i].actors[LEFT]));
    assert_true(resumed(&rig));
    set_cable(&rig, 1, true);
    assert_true(look("a1").active);
    assert_true(stage_run(&rig.stage, resumed, &rig, SECOND_US));
    actor_offload(&rig.pairs[0].actors[LEFT]);
    finish_pairs(&rig);
    rig_close(&rig);
}

/* The active member is taken away, with everything that is offloaded to it. */
static void
active_member_leaves(void **state)
{
    struct rig rig;

    rig_open(&rig, &five_ms);
    add_second(&rig, NULL);
    assert_int_equal(team_fail("a0"), 0);
    assert_true(stage_run(&rig.stage, resumed, &rig, SECOND_US));
    open_pairs(&rig, 1000000, 1000000);
    stage_pass(&rig.stage, 20 * MS_US);
    assert_int_equal(team_restore("a0"), 0);
    assert_int_equal(house_unbind(rig.stage.house, "team", "a1"), 0);
    assert_true(look("a0").active);
    assert_true(stage_run(&rig.stage, resumed, &rig, SECOND_US));
    assert_true(all_home(&rig));
    for (unsigned i = 0; i < PAIRS; i++)
        actor_offload(&rig.pairs[i].actors[LEFT]);
    assert_int_equal(house_bind(rig.stage.house, "team", "a1", "p1"), 0);
    finish_pairs(&rig);
    rig_close(&rig);
}

/* The other one takes over; nobody above hears of power. */
static void
power_goes(void **state)
{
    struct rig rig;

    rig_open(&rig, &five_ms);
    add_second(&rig, NULL);
    open_pairs(&rig, 1000000, 1000000);
    stage_pass(&rig.stage, 20 * MS_US);
    assert_int_equal(house_set_power(rig.stage.house, "a0", NdisDeviceStateD3), 0);
    assert_true(look("a1").active);
    assert_false(look("a0").running);
    assert_true(stage_run(&rig.stage, resumed, &rig, SECOND_US));
    actor_offload(&rig.pairs[0].actors[LEFT]);
    assert_int_equal(house_set_power(rig.stage.house, "a0", NdisDeviceStateD0), 0);
    assert_true(look("a1").active);
    finish_pairs(&rig);
    rig_close(&rig);
}

/* Nobody else can be used, so those above hear of it: in the drivers' own words, "-" and "+". */
struct power_story {
    struct rig rig;
    struct observer observer;
    char story[16];
};

static void
on_power(void *arg, struct crossing *crossing)
{
    struct power_story *story = arg;
    const NET_PNP_EVENT_NOTIFICATION *event = crossing->data;
    const NDIS_DEVICE_POWER_STATE *state;

    if (crossing->op != CROSSING_PNP_EVENT || crossing->after ||
        crossing->code != NetEventSetPower || strcmp(crossing->to, "left") != 0)
        return;
    state = event->NetPnPEvent.Buffer;
    assert_in_range(strlen(story->story), 0, sizeof story->story - 2);
    strcat(story->story, *state == NdisDeviceStateD0 ? "+" : "-");
}

static void
lose_all_power(struct power_story *story)
{
    memset(story, 0, sizeof *story);
    story->observer = (struct observer){.on_crossing = on_power, .arg = story};
    rig_open(&story->rig, &five_ms);
    house_attach_observer(story->rig.stage.house, &story->observer);
    add_second(&story->rig, NULL);
    open_pairs(&story->rig, 1000000, 1000000);
    stage_pass(&story->rig.stage, 20 * MS_US);
    set_cable(&story->rig, 1, false);
    assert_int_equal(house_set_power(story->rig.stage.house, "a0", NdisDeviceStateD3), 0);
    assert_true(look("a0").active);
    assert_string_equal(story->story, "-");
    assert_true(all_home(&story->rig));
    assert_false(resumed(&story->rig));
}

static void
find_power(struct power_story *story)
{
    assert_true(stage_run(&story->rig.stage, resumed, &story->rig, SECOND_US));
    assert_string_equal(story->story, "-+");
    for (unsigned i = 0; i < PAIRS; i++)
        actor_offload(&story->rig.pairs[i].actors[LEFT]);
    finish_pairs(&story->rig);
    assert_string_equal(story->story, "-+");
    rig_close(&story->rig);
}

/* The other one takes over later, and has power. */
static void
power_goes_everywhere(void **state)
{
    struct power_story story;

    lose_all_power(&story);
    set_cable(&story.rig, 1, true);
    assert_true(look("a1").active);
    assert_true(stage_run(&story.rig.stage, resumed, &story.rig, SECOND_US));
    assert_int_equal(house_set_power(story.rig.stage.house, "a0", NdisDeviceStateD0), 0);
    find_power(&story);
}

/* What a member does that cannot be used is no news for them. */
static void
power_of_one_without_link(void **state)
{
    struct power_story story;

    lose_all_power(&story);
    assert_int_equal(house_set_power(story.rig.stage.house, "a1", NdisDeviceStateD3), 0);
    assert_int_equal(house_set_power(story.rig.stage.house, "a1", NdisDeviceStateD0), 0);
    stage_pass(&story.rig.stage, MS_US);
    assert_string_equal(story.story, "-");
    assert_false(resumed(&story.rig));
    assert_int_equal(house_set_power(story.rig.stage.house, "a0", NdisDeviceStateD0), 0);
    assert_true(look("a0").active);
    find_power(&story);
}

/* The virtual adapter stands on the first member, and goes with it. Bound anew, it is there again,
 * with both. */
static void
first_member_leaves(void **state)
{
    struct rig rig;

    rig_open(&rig, NULL);
    add_second(&rig, NULL);
    assert_int_equal(house_unbind(rig.stage.house, "team", "a0"), 0);
    assert_null(script_binding(rig.stage.hosts[LEFT]));
    assert_true(look("a1").active);
    assert_int_equal(house_bind(rig.stage.house, "team", "a0", "p1"), 0);
    assert_int_equal(house_bind(rig.stage.house, "left", "p1", NULL), 0);
    stage_pass(&rig.stage, MS_US);
    assert_non_null(script_binding(rig.stage.hosts[LEFT]));
    open_pairs(&rig, 100000, 100000);
    rig.port = 1;
    finish_pairs(&rig);
    rig_close(&rig);
}

/* Refused: one whose frames are too small, one that cannot offload. */
static void
misfits(void **state)
{
    static const struct house_option deaf[] = {
        {"*TCPConnectionOffloadIPv4", "0"}, {"*TCPConnectionOffloadIPv6", "0"}, {NULL, NULL}};
    struct wire *narrow[2];
    struct rig rig;

    rig_open(&rig, NULL);
    assert_int_equal(wire_mem_create(rig.stage.loop, 1400, NULL, narrow), 0);
    assert_int_equal(house_add_adapter(rig.stage.house, "soft", "a2", narrow[0], NULL), 0);
    assert_int_equal(house_bind(rig.stage.house, "team", "a2", "p1"), -EIO);
    assert_int_equal(house_add_adapter(rig.stage.house, "soft", "a1", rig.cable[0], deaf), 0);
    assert_int_equal(house_bind(rig.stage.house, "team", "a1", "p1"), -EIO);
    assert_int_equal(rig.stage.complaints, 4); /* each from the team and from NDIS */
    rig.stage.complaints = 0;
    open_pairs(&rig, 100000, 100000);
    finish_pairs(&rig);
    house_remove_adapter(rig.stage.house, "a2");
    wire_close(narrow[0]);
    wire_close(narrow[1]);
    rig_close(&rig);
}

static void
unknown_modes(void **state)
{
    static const struct house_option other[] = {{"Mode", "other"}, {NULL, NULL}};
    static const struct house_option backup[] = {{"Mode", "backup"}, {NULL, NULL}};
    struct rig rig;

    rig_open(&rig, NULL);
    assert_int_equal(house_add_adapter(rig.stage.house, "soft", "a1", rig.cable[0], NULL), 0);
    house_set_options(rig.stage.house, "p9", other);
    assert_true(house_bind(rig.stage.house, "team", "a1", "p9") < 0);
    assert_in_range(rig.stage.complaints, 1, 4);
    rig.stage.complaints = 0;
    house_set_options(rig.stage.house, "p9", backup);
    assert_int_equal(house_bind(rig.stage.house, "team", "a1", "p9"), 0);
    rig_close(&rig);
}

int
main(void)
{
    static bool late; /* opens and closes are answered later */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_survive),
        cmocka_unit_test_prestate(connections_survive, &late),
        cmocka_unit_test(frames_alone_survive),
        cmocka_unit_test(at_any_moment),
        cmocka_unit_test(by_order),
        cmocka_unit_test(capabilities_are_those_of_all),
        cmocka_unit_test(joins_without_link),
        cmocka_unit_test(two_teams),
        cmocka_unit_test(all_down),
        cmocka_unit_test(active_member_leaves),
        cmocka_unit_test(power_goes),
        cmocka_unit_test(power_goes_everywhere),
        cmocka_unit_test(power_of_one_without_link),
        cmocka_unit_test(first_member_leaves),
        cmocka_unit_test(misfits),
        cmocka_unit_test(unknown_modes),
    };

    return cmocka_run_group_tests_name("house/team", tests, NULL, NULL);
}
