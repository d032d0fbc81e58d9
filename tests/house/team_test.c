/*
 * A team of two members on the left. The peer is behind a small bridge of the test: it remembers
 * through which of the two it has heard the left side last, and forgets that when the cable is
 * pulled. What a host stack says to bridges after a fail-over the script does not: whoever sees the
 * RESUME, or the link of the team change, tells this bridge.
 *
 *   left ── team p1 ─┬─ soft a0 ── cable 0 ─┬─ bridge ── soft b0 ── right
 *                    └─ soft a1 ── cable 1 ─┘
 *
 * Cable 0 is the stage's wire, whose two ends have the bridge as their receiver, in front of the
 * targets' own.
 */
#include "stage.h"

#include "chimney/team.h"
#include "host/host.h"
#include "wire/wire.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define SECOND_US 1000000u
#define MS_US 1000u
#define PAIRS 4

/* ---- the bridge ---- */

struct tap {
    const struct wire_receiver *receiver; /* the target's */
    void *arg;
};

struct rig {
    struct stage stage;
    struct wire *cable[2]; /* of a1: its end, the bridge's */
    struct tap near, far;  /* of a0, of b0 */
    unsigned from;         /* which cable the frame that is being delivered to b0 came by */
    unsigned port;         /* where the left side is */
    bool up[2];
    uint64_t cut_us[2]; /* what was on the cable when it was pulled arrives before, and is lost */
    uint32_t lag_us;    /* of a cable, at most */
    struct observer observer;
    struct pair pairs[PAIRS];
    struct random random;
    struct sys_timer puller;
    unsigned pulls;
};

/* From the left. */
static void
to_far(void *arg, struct wire_buf *buf)
{
    struct rig *rig = arg;

    if (!rig->up[rig->from] || sys_loop_now_us(rig->stage.loop) < rig->cut_us[rig->from])
        return;
    rig->port = rig->from;
    rig->far.receiver->on_frame(rig->far.arg, buf);
}

static void
from_second(void *arg, struct wire_buf *buf)
{
    struct rig *rig = arg;
    struct wire *far = rig->stage.ends[RIGHT];

    rig->from = 1;
    wire_enter(far);
    wire_deliver(far, wire_buf_get(buf));
    wire_leave(far);
    rig->from = 0;
}

static void
to_near(void *arg, struct wire_buf *buf)
{
    struct rig *rig = arg;
    struct iovec piece = {buf->data, buf->len};
    struct wire_tx tx = {.pieces = &piece, .piece_count = 1, .meta = buf->meta};

    if (!rig->up[rig->port])
        return;
    if (rig->port == 0)
        rig->near.receiver->on_frame(rig->near.arg, buf);
    else
        assert_int_equal(wire_send(rig->cable[1], &tx), 0);
}

static void
far_writable(void *arg)
{
    struct rig *rig = arg;

    rig->far.receiver->on_writable(rig->far.arg);
}

static void
near_writable(void *arg)
{
    struct rig *rig = arg;

    rig->near.receiver->on_writable(rig->near.arg);
}

static void
near_link(void *arg, bool up)
{
    struct rig *rig = arg;

    rig->near.receiver->on_link(rig->near.arg, up);
}

static const struct wire_receiver far_receiver = {to_far, far_writable, NULL};
static const struct wire_receiver near_receiver = {to_near, near_writable, near_link};
static const struct wire_receiver second_receiver = {from_second, NULL, NULL};

static void
put_between(struct rig *rig, struct wire *wire, struct tap *tap,
            const struct wire_receiver *receiver)
{
    *tap = (struct tap){wire->receiver, wire->receiver_arg};
    wire_set_receiver(wire, receiver, rig);
}

/* ---- the rig ---- */

/* What team_walk says of one member. */
struct question {
    const char *member;
    struct team_info info;
    bool found;
};

static void
on_member(void *arg, const struct team_info *info)
{
    struct question *question = arg;

    if (strcmp(info->member, question->member) != 0)
        return;
    question->info = *info;
    question->found = true;
}

static struct team_info
look(const char *member)
{
    struct question question = {.member = member};

    team_walk(on_member, &question);
    assert_true(question.found);
    return question.info;
}

static void
on_crossing(void *arg, struct crossing *crossing)
{
    struct rig *rig = arg;

    if (crossing->op == CROSSING_STATUS && crossing->after && !strcmp(crossing->to, "left") &&
        (crossing->code == (ULONG)NDIS_STATUS_OFFLOAD_RESUME ||
         crossing->code == (ULONG)NDIS_STATUS_LINK_STATE))
        rig->port = !look("a0").active;
}

static void
add_second(struct rig *rig, const struct house_option *options)
{
    struct stage *stage = &rig->stage;

    assert_int_equal(house_add_adapter(stage->house, "soft", "a1", rig->cable[0], options), 0);
    assert_int_equal(house_bind(stage->house, "team", "a1", "p1"), 0);
    rig->up[1] = true;
}

static void
rig_open_as(struct rig *rig, const struct wire_mem_impair *impair, bool late)
{
    struct stage *stage = &rig->stage;
    struct stage_options options = {
        .floors = "team", .impaired = impair != NULL, .observer = &rig->observer, .late = late};

    memset(rig, 0, sizeof *rig);
    rig->observer = (struct observer){.on_crossing = on_crossing, .arg = rig};
    rig->lag_us = impair ? impair->delay_us + impair->reorder_delay_us : 0;
    for (unsigned i = 0; i < 2 && impair; i++)
        options.impair[i] = *impair;
    stage_open(stage, &options);
    assert_int_equal(wire_mem_create(stage->loop, 1500, impair ? options.impair : NULL, rig->cable),
                     0);
    /* what passes there need not be a0's */
    wire_set_watcher(stage->ends[LEFT], NULL, NULL);
    put_between(rig, stage->ends[LEFT], &rig->near, &near_receiver);
    put_between(rig, stage->ends[RIGHT], &rig->far, &far_receiver);
    wire_set_receiver(rig->cable[1], &second_receiver, rig);
    rig->up[0] = true;
}

static void
rig_open(struct rig *rig, const struct wire_mem_impair *impair)
{
    rig_open_as(rig, impair, false);
}

static void
rig_close(struct rig *rig)
{
    house_remove_adapter(rig->stage.house, "a1");
    wire_close(rig->cable[0]);
    wire_close(rig->cable[1]);
    stage_close(&rig->stage);
}

static void
set_cable(struct rig *rig, unsigned cable, bool up)
{
    rig->up[cable] = up;
    if (!up)
        rig->cut_us[cable] = sys_loop_now_us(rig->stage.loop) + rig->lag_us;
    if (!up && rig->port == cable)
        rig->port = !cable;
    wire_set_link(cable ? rig->cable[0] : rig->stage.ends[LEFT], up);
}

static bool
resumed(void *arg)
{
    struct rig *rig = arg;

    return !host_binding_paused(script_binding(rig->stage.hosts[LEFT]));
}

static void
open_pairs(struct rig *rig, uint64_t left_bytes, uint64_t right_bytes)
{
    const struct script_options sides[2] = {{0}, {0}};

    for (unsigned i = 0; i < PAIRS; i++) {
        pair_open(&rig->stage, &rig->pairs[i], sides);
        actor_offload(&rig->pairs[i].actors[LEFT]);
        pair_send(&rig->pairs[i], left_bytes, right_bytes, false);
    }
}

static void
finish_pairs(struct rig *rig)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        assert_true(stage_run(&rig->stage, pair_done, &rig->pairs[i], 120 * SECOND_US));
        pair_check(&rig->pairs[i]);
        pair_close(&rig->pairs[i]);
    }
}

static bool
all_home(void *arg)
{
    struct rig *rig = arg;

    for (unsigned i = 0; i < PAIRS; i++)
        if (!actor_at_home(&rig->pairs[i].actors[LEFT]))
            return false;
    return true;
}

static const struct wire_mem_impair five_ms = {.delay_us = 5000};

/* ---- it works ---- */

/* Ten times: a cable goes, everything comes home, goes down again over the other one. */
static void
connections_survive(void **state)
{
    struct rig rig;

    rig_open_as(&rig, &five_ms, *state != NULL);
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
    static const struct house_option hash[] = {{"Mode", "hash"}, {NULL, NULL}};
    static const struct house_option other[] = {{"Mode", "other"}, {NULL, NULL}};
    static const struct house_option backup[] = {{"Mode", "backup"}, {NULL, NULL}};
    struct rig rig;

    rig_open(&rig, NULL);
    assert_int_equal(house_add_adapter(rig.stage.house, "soft", "a1", rig.cable[0], NULL), 0);
    house_set_options(rig.stage.house, "p9", hash);
    assert_true(house_bind(rig.stage.house, "team", "a1", "p9") < 0);
    house_set_options(rig.stage.house, "p9", other);
    assert_true(house_bind(rig.stage.house, "team", "a1", "p9") < 0);
    assert_in_range(rig.stage.complaints, 2, 8);
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
        cmocka_unit_test(first_member_leaves),
        cmocka_unit_test(misfits),
        cmocka_unit_test(unknown_modes),
    };

    return cmocka_run_group_tests_name("house/team", tests, NULL, NULL);
}
