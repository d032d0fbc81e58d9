/* A team of two members whose connections are spread over both (team_rig.h). */
#include "stage_floors.h"
#include "team_rig.h"

#include "host/host.h"
#include "wire/wire.h"

#include <stdio.h>
#include <string.h>

#define CONNS 50u

static const struct wire_mem_impair two_ms = {.delay_us = 2000};

/* What passes the landing between the team and a member. */
struct landing {
    unsigned below[CROSSING_COUNT]; /* so many crossings of each kind */
};

struct spread {
    struct rig rig;
    struct pair pairs[CONNS];
    struct landing landings[2]; /* a0's, a1's */
    unsigned above[CROSSING_COUNT];
    struct observer observer;
};

static struct spread spread;

static void
on_crossing(void *arg, struct crossing *crossing)
{
    if (crossing->after || !crossing->adapter)
        return;
    if (!strcmp(crossing->adapter, "a0"))
        spread.landings[0].below[crossing->op]++;
    else if (!strcmp(crossing->adapter, "a1"))
        spread.landings[1].below[crossing->op]++;
    else if (!strcmp(crossing->adapter, "p1"))
        spread.above[crossing->op]++;
}

static void
forget_crossings(void)
{
    memset(spread.landings, 0, sizeof spread.landings);
    memset(spread.above, 0, sizeof spread.above);
}

static void
spread_begin(enum rig_aggregate aggregate, const struct wire_mem_impair *impair)
{
    memset(&spread, 0, sizeof spread);
    rig_open_as(&spread.rig, impair, "team:Mode=hash", false);
    spread.rig.aggregate = aggregate;
    spread.observer = (struct observer){.on_crossing = on_crossing};
    house_attach_observer(spread.rig.stage.house, &spread.observer);
}

static void
spread_open(enum rig_aggregate aggregate, const struct wire_mem_impair *impair,
            const struct house_option *second)
{
    spread_begin(aggregate, impair);
    add_second(&spread.rig, second);
    assert_true(stage_run(&spread.rig.stage, resumed, &spread.rig, SECOND_US));
    assert_string_equal(look("a0").mode, "hash");
    assert_true(look("a0").active && look("a1").active);
    forget_crossings();
}

/* The second member is fault over a1, with these options. */
static void
spread_open_over(const struct house_option *options)
{
    struct stage *stage = &spread.rig.stage;

    spread_begin(SAME_CABLE, &two_ms);
    spread.rig.up[1] = true;
    assert_int_equal(house_add_adapter(stage->house, "soft", "a1", spread.rig.cable[0], NULL), 0);
    stage_load_driver(stage, "fault", NULL, fault_entry);
    assert_int_equal(house_set_options(stage->house, "f1", options), 0);
    assert_int_equal(house_bind(stage->house, "fault", "a1", "f1"), 0);
    assert_int_equal(house_bind(stage->house, "team", "f1", "p1"), 0);
    assert_true(stage_run(stage, resumed, &spread.rig, SECOND_US));
    assert_true(look("f1").active);
}

static void
pairs_open(uint64_t left_bytes, uint64_t right_bytes)
{
    const struct script_options sides[2] = {{0}, {0}};

    for (unsigned i = 0; i < CONNS; i++) {
        pair_open(&spread.rig.stage, &spread.pairs[i], sides);
        pair_send(&spread.pairs[i], left_bytes, right_bytes, false);
    }
}

static void
offload_all(void)
{
    for (unsigned i = 0; i < CONNS; i++)
        actor_offload(&spread.pairs[i].actors[LEFT]);
}

static void
pairs_finish(void)
{
    for (unsigned i = 0; i < CONNS; i++) {
        assert_true(stage_run(&spread.rig.stage, pair_done, &spread.pairs[i], 120 * SECOND_US));
        pair_check(&spread.pairs[i]);
    }
    for (unsigned i = 0; i < CONNS; i++)
        pair_close(&spread.pairs[i]);
    assert_int_equal(look("a0").connections, 0);
    rig_close(&spread.rig);
}

static bool
everything_at_home(void *arg)
{
    for (unsigned i = 0; i < CONNS; i++)
        if (!actor_at_home(&spread.pairs[i].actors[LEFT]))
            return false;
    return true;
}

/* ---- it works ---- */

/* Half here, half there; a flow takes one cable, offloaded or not. */
static void
over_both(void **state)
{
    spread_open(SAME_CABLE, &two_ms, NULL);
    pairs_open(100000, 100000);
    stage_pass(&spread.rig.stage, 10 * MS_US);
    offload_all();
    assert_int_equal(look("a0").connections + look("a1").connections, CONNS);
    assert_in_range(look("a0").connections, CONNS / 4, 3 * CONNS / 4);
    pairs_finish();
    assert_int_equal(spread.rig.changes, 0);
    for (unsigned i = 0; i < 2; i++)
        assert_true(spread.landings[i].below[CROSSING_TCP_FORWARD] <= CONNS);
}

/* The other end answers through the other cable: the host stack forwards what it hears. */
static void
other_hashes(void **state)
{
    spread_open(OTHER_CABLE, &two_ms, NULL);
    pairs_open(100000, 100000);
    stage_pass(&spread.rig.stage, 10 * MS_US);
    offload_all();
    forget_crossings();
    pairs_finish();
    assert_int_equal(spread.rig.changes, 0);
    for (unsigned i = 0; i < 2; i++)
        assert_true(spread.landings[i].below[CROSSING_TCP_FORWARD] > CONNS);
}

/* Connections move by themselves, in both directions, over wires that lose. */
static void
they_move(void **state)
{
    static const struct wire_mem_impair lossy = {.seed = 7,
                                                 .delay_us = 1000,
                                                 .loss_ppm = 2000,
                                                 .reorder_ppm = 2000,
                                                 .reorder_delay_us = 900};

    for (enum rig_aggregate aggregate = SAME_CABLE; aggregate <= OTHER_CABLE; aggregate++) {
        spread_open(aggregate, &lossy, NULL);
        pairs_open(60000, 60000);
        for (unsigned i = 0; i < CONNS; i++)
            actor_start_moving(&spread.pairs[i].actors[LEFT], 100 + i, 40, 500, 9000);
        pairs_finish();
        assert_int_equal(spread.rig.changes, 0);
    }
}

/* ---- one operation above, one at each member ---- */

static void
one_tree_each(void **state)
{
    struct actor *actor = &spread.pairs[0].actors[LEFT];
    const struct script_options sides[2] = {{0}, {0}};

    spread_open(SAME_CABLE, NULL, NULL);
    pair_open(&spread.rig.stage, &spread.pairs[0], sides);
    actor_offload(actor);
    /* Neighbor and path go to both. */
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(spread.landings[i].below[CROSSING_INITIATE], 1);
    assert_int_equal(spread.above[CROSSING_INITIATE], 1);
    assert_int_equal(look("a0").connections + look("a1").connections, 1);
    assert_int_equal(script_query(actor->conn), 0);
    stage_pass(&spread.rig.stage, MS_US);
    assert_int_equal(actor->queries, 1);
    assert_int_equal(actor->query_status, NDIS_STATUS_SUCCESS);
    assert_int_equal(
        spread.landings[0].below[CROSSING_QUERY] + spread.landings[1].below[CROSSING_QUERY], 1);
    /* The last one takes path and neighbor along, in one tree. */
    forget_crossings();
    actor_upload(actor);
    assert_int_equal(spread.above[CROSSING_TERMINATE], 1);
    assert_int_equal(spread.above[CROSSING_TERMINATE_COMPLETE], 1);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(spread.landings[i].below[CROSSING_TERMINATE], 1);
    pair_close(&spread.pairs[0]);
    rig_close(&spread.rig);
}

/* A router has another address: both members must know, and all connections go on. */
static void
neighbor_changes(void **state)
{
    struct stage *stage = &spread.rig.stage;
    UCHAR from[6], to[6] = {2, 0, 0, 0, 0, 9};

    spread_open(SAME_CABLE, &two_ms, NULL);
    pairs_open(50000, 50000);
    offload_all();
    forget_crossings();
    memcpy(from, wire_mac(stage->ends[RIGHT]), 6);
    assert_int_equal(host_update_neighbor(script_binding(stage->hosts[LEFT]), from, to), 0);
    stage_pass(stage, MS_US);
    assert_int_equal(spread.above[CROSSING_UPDATE], 1);
    assert_int_equal(spread.above[CROSSING_UPDATE_COMPLETE], 1);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(spread.landings[i].below[CROSSING_UPDATE], 1);
        assert_int_equal(spread.landings[i].below[CROSSING_UPDATE_COMPLETE], 1);
    }
    assert_int_equal(host_update_neighbor(script_binding(stage->hosts[LEFT]), to, from), 0);
    pairs_finish();
}

/* ---- failures ---- */

static bool
has_moved(void *arg)
{
    struct actor *actor = arg;

    return actor_with_target(actor) || actor_at_home(actor);
}

/* Offloads those of an address family; how many came through. The others say why. */
static unsigned
offload_some(unsigned first, unsigned count, NDIS_STATUS why)
{
    unsigned down = 0;

    for (unsigned i = first; i < first + count; i++) {
        struct actor *actor = &spread.pairs[i].actors[LEFT];

        assert_int_equal(script_offload(actor->conn), 0);
        assert_true(stage_run(&spread.rig.stage, has_moved, actor, SECOND_US));
        down += actor_with_target(actor);
        if (!actor_with_target(actor))
            assert_int_equal(actor->last_move.status, why);
    }
    return down;
}

/* A member has room for one path: of the second one it has no connections, the other member has
 * those that belong there, and all of the first one are where they belong. */
static void
a_path_is_at_one(void **state)
{
    static const struct house_option small[] = {{"PathCapacity", "1"}, {NULL, NULL}};
    unsigned down;

    spread_open(SAME_CABLE, &two_ms, small);
    for (unsigned i = 0; i < CONNS; i++) {
        const struct script_options v6 = {.ipv6 = i >= CONNS / 2};
        const struct script_options sides[2] = {v6, v6};

        pair_open(&spread.rig.stage, &spread.pairs[i], sides);
        pair_send(&spread.pairs[i], 30000, 30000, false);
    }
    assert_int_equal(offload_some(0, CONNS / 2, 0), CONNS / 2);
    down = look("a1").connections;
    assert_in_range(offload_some(CONNS / 2, CONNS / 2, NDIS_STATUS_FAILURE), 5, 20);
    assert_int_equal(look("a1").connections, down);
    pairs_finish();
}

/* A member that refuses connections, neighbors, and operations on what it has. */
static void
a_member_refuses(void **state)
{
    static const struct {
        const char *script;
        NDIS_STATUS why;
        unsigned least;
    } cases[] = {
        {"initiate refuse tcp every 2", NDIS_STATUS_OFFLOAD_TCP_ENTRIES, CONNS / 2},
        {"initiate refuse neighbor", NDIS_STATUS_FAILURE, CONNS / 4},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct house_option options[] = {{"Script", cases[i].script}, {NULL, NULL}};

        spread_open_over(options);
        pairs_open(30000, 30000);
        assert_in_range(offload_some(0, CONNS, cases[i].why), cases[i].least, CONNS - 5);
        pairs_finish();
    }
}

/* An update that fails at one member fails; a query goes to the connection's own. */
static void
an_update_fails(void **state)
{
    static const struct house_option options[] = {{"Script", "update fail"}, {NULL, NULL}};
    struct stage *stage = &spread.rig.stage;
    UCHAR from[6], to[6] = {2, 0, 0, 0, 0, 9};

    spread_open_over(options);
    pairs_open(30000, 30000);
    offload_all();
    memcpy(from, wire_mac(stage->ends[RIGHT]), 6);
    assert_int_equal(host_update_neighbor(script_binding(stage->hosts[LEFT]), from, to), 0);
    stage_pass(stage, 100 * MS_US);
    /* V-069: what failed is taken back. */
    assert_true(everything_at_home(NULL));
    assert_int_equal(stage->complaints, 1); /* of the host stack */
    stage->complaints = 0;
    pairs_finish();
}

/* ---- members come and go ---- */

/* Ten times a cable goes, everything comes home and goes down again over the other; and when it is
 * back, over both. */
static void
members_come_and_go(void **state)
{
    spread_open(SAME_CABLE, &two_ms, NULL);
    pairs_open(2000000, 2000000);
    for (unsigned i = 0; i < 10; i++) {
        const char *gone = i % 2 ? "a1" : "a0", *left = i % 2 ? "a0" : "a1";

        offload_all();
        assert_in_range(look(gone).connections, CONNS / 4, 3 * CONNS / 4);
        stage_pass(&spread.rig.stage, 10 * MS_US);
        set_cable(&spread.rig, i % 2, false);
        assert_false(resumed(&spread.rig));
        assert_true(stage_run(&spread.rig.stage, resumed, &spread.rig, SECOND_US));
        assert_true(everything_at_home(NULL));
        assert_false(look(gone).active);
        offload_all();
        assert_int_equal(look(left).connections, CONNS);
        stage_pass(&spread.rig.stage, 10 * MS_US);
        set_cable(&spread.rig, i % 2, true);
        assert_false(resumed(&spread.rig));
        assert_true(stage_run(&spread.rig.stage, resumed, &spread.rig, SECOND_US));
        assert_true(everything_at_home(NULL));
        assert_false(pair_done(&spread.pairs[0]));
    }
    assert_int_equal(look("a0").switches, 21); /* the second member's arrival is one */
    pairs_finish();
}

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
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct rig *rig = &spread.rig;

        spread_open(seed % 2 ? SAME_CABLE : OTHER_CABLE, &two_ms, NULL);
        random_init(&rig->random, seed);
        pairs_open(40000, 40000);
        for (unsigned i = 0; i < CONNS; i++)
            actor_start_moving(&spread.pairs[i].actors[LEFT], seed * 100 + i, 40, 500, 9000);
        rig->pulls = 40;
        assert_int_equal(sys_timer_init(&rig->puller, rig->stage.loop, pull, rig), 0);
        sys_timer_set(&rig->puller, sys_loop_now_us(rig->stage.loop) + 1);
        for (unsigned i = 0; i < CONNS; i++)
            assert_true(stage_run(&rig->stage, pair_done, &spread.pairs[i], 120 * SECOND_US));
        sys_timer_fini(&rig->puller);
        pairs_finish();
    }
}

/* A member is taken away with what is offloaded to it, and loses its power. */
static void
a_member_leaves(void **state)
{
    spread_open(SAME_CABLE, &two_ms, NULL);
    pairs_open(500000, 500000);
    offload_all();
    stage_pass(&spread.rig.stage, 10 * MS_US);
    assert_int_equal(house_unbind(spread.rig.stage.house, "team", "a1"), 0);
    assert_true(stage_run(&spread.rig.stage, resumed, &spread.rig, SECOND_US));
    offload_all();
    assert_int_equal(look("a0").connections, CONNS);
    assert_int_equal(house_bind(spread.rig.stage.house, "team", "a1", "p1"), 0);
    assert_true(stage_run(&spread.rig.stage, resumed, &spread.rig, SECOND_US));
    offload_all();
    assert_true(look("a1").connections > 0);
    assert_int_equal(house_set_power(spread.rig.stage.house, "a0", NdisDeviceStateD3), 0);
    assert_false(look("a0").running);
    assert_true(stage_run(&spread.rig.stage, resumed, &spread.rig, SECOND_US));
    assert_true(everything_at_home(NULL));
    offload_all();
    assert_int_equal(look("a1").connections, CONNS);
    assert_int_equal(house_set_power(spread.rig.stage.house, "a0", NdisDeviceStateD0), 0);
    pairs_finish();
}

/* ---- statistics ---- */

static int
ask(NDIS_OID oid, void *stats, ULONG size)
{
    return host_query_oid(script_binding(spread.rig.stage.hosts[LEFT]), oid, stats, size);
}

static void
statistics_are_sums(void **state)
{
    TCP_OFFLOAD_STATS tcp;
    IP_OFFLOAD_STATS ip;

    spread_open(SAME_CABLE, &two_ms, NULL);
    pairs_open(10000, 10000);
    offload_all();
    assert_true(look("a0").connections > 0 && look("a1").connections > 0);
    assert_int_equal(ask(OID_TCP4_OFFLOAD_STATS, &tcp, sizeof tcp), 0);
    assert_int_equal(tcp.CurrentlyEstablished, CONNS);
    for (unsigned i = 0; i < CONNS; i++)
        assert_true(stage_run(&spread.rig.stage, pair_done, &spread.pairs[i], 120 * SECOND_US));
    assert_int_equal(ask(OID_IP4_OFFLOAD_STATS, &ip, sizeof ip), 0);
    assert_true(ip.InReceives >= CONNS && ip.OutRequests >= CONNS);
    assert_int_equal(ask(OID_TCP6_OFFLOAD_STATS, &tcp, sizeof tcp), 0);
    assert_int_equal(tcp.CurrentlyEstablished, 0);
    assert_int_not_equal(ask(OID_TCP4_OFFLOAD_STATS, &tcp, sizeof tcp - 8), 0);
    pairs_finish();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(over_both),           cmocka_unit_test(other_hashes),
        cmocka_unit_test(they_move),           cmocka_unit_test(one_tree_each),
        cmocka_unit_test(neighbor_changes),    cmocka_unit_test(a_path_is_at_one),
        cmocka_unit_test(a_member_refuses),    cmocka_unit_test(an_update_fails),
        cmocka_unit_test(members_come_and_go), cmocka_unit_test(at_any_moment),
        cmocka_unit_test(a_member_leaves),     cmocka_unit_test(statistics_are_sums),
    };

    return cmocka_run_group_tests_name("house/team-hash", tests, NULL, NULL);
}
