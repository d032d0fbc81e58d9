/*
 * fault in the house: whatever it does, the verifier has nothing to say, every byte arrives, and
 * what failed works on at home. The same seed does the same again.
 */
#include "stage.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND_US 1000000ull

static const struct script_options plain[2];
static const struct wire_mem_impair quiet = {.delay_us = 500, .bits_per_second = 200000000};

static bool
moved(void *arg)
{
    return ((struct actor *)arg)->moves != 0;
}

static void
still_works(struct stage *stage, struct pair *pair)
{
    pair_send(pair, 50000, 50000, false);
    assert_true(stage_run(stage, pair_done, pair, 60 * SECOND_US));
    pair_check(pair);
}

/* ---- an initiate fails in part ---- */

#define OK NDIS_STATUS_SUCCESS
#define PART NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS
#define FAIL NDIS_STATUS_FAILURE

/* Two connections of one neighbor, the second over a path of its own or the first's. */
static const struct failure {
    const char *script;
    bool second, other_path; /* the second one fails */
    NDIS_STATUS neighbor, path, tcp;
} failures[] = {
    {"initiate 1 fail OFFLOAD_TCP_XMIT_BUFFER", false, false, OK, PART,
     NDIS_STATUS_OFFLOAD_TCP_XMIT_BUFFER},
    {"initiate refuse tcp 1 RESOURCES", false, false, OK, PART, NDIS_STATUS_RESOURCES},
    {"initiate refuse path 1", false, false, PART, NDIS_STATUS_OFFLOAD_PATH_ENTRIES, FAIL},
    {"initiate refuse neighbor 1", false, false, NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES, FAIL, FAIL},
    /* linkers above */
    {"initiate 2 fail", true, false, FAIL, FAIL, FAIL},
    {"initiate refuse tcp 2", true, false, FAIL, FAIL, NDIS_STATUS_OFFLOAD_TCP_ENTRIES},
    {"initiate refuse tcp 2", true, true, OK, PART, NDIS_STATUS_OFFLOAD_TCP_ENTRIES},
    {"initiate refuse path 2 OFFLOAD_IP_ADDRESS_ENTRIES", true, true, FAIL,
     NDIS_STATUS_OFFLOAD_IP_ADDRESS_ENTRIES, FAIL},
};

/* What reaches the target, in initiates. */
static void
count_initiates(void *arg, struct crossing *crossing)
{
    *(unsigned *)arg += !crossing->after && crossing->op == CROSSING_INITIATE &&
                        !crossing->im_below;
}

static void
fail_once(const struct failure *failure, bool stacked)
{
    static const struct script_options ipv6[2] = {{.ipv6 = true}, {.ipv6 = true}};
    struct pair pairs[2];
    struct stage stage;
    unsigned initiates = 0;
    struct observer observer = {.on_crossing = count_initiates, .arg = &initiates};
    char floors[128];

    snprintf(floors, sizeof floors, "%sfault:Script=%s%s", stacked ? "passthru," : "",
             failure->script, stacked ? ",passthru" : "");
    stage_open(&stage, &(struct stage_options){.floors = floors, .observer = &observer});
    pair_open(&stage, &pairs[0], plain);
    pair_open(&stage, &pairs[1], failure->other_path ? ipv6 : plain);
    struct actor *first = &pairs[0].actors[LEFT];
    struct actor *failing = &pairs[failure->second].actors[LEFT];
    if (failure->second)
        actor_offload(first);
    actor_send(failing, 200000, false); /* what waits to be sent stays */
    assert_int_equal(script_offload(failing->conn), 0);
    assert_true(stage_run(&stage, moved, failing, SECOND_US));
    assert_int_equal(failing->last_move.nodes.neighbor, failure->neighbor);
    assert_int_equal(failing->last_move.nodes.path, failure->path);
    assert_int_equal(failing->last_move.status, failure->tcp);
    assert_int_equal(script_state(failing->conn), HOST_CONN_HOST);
    assert_null(script_handle(failing->conn)->MiniportOffloadContext);
    /* Of which nothing is left does not go down. */
    assert_int_equal(initiates,
                     failure->second + (failure->neighbor == OK || failure->neighbor == PART));
    still_works(&stage, &pairs[0]);
    still_works(&stage, &pairs[1]);
    if (failure->second)
        assert_true(actor_with_target(first));
    actor_offload(failing); /* once was enough */
    still_works(&stage, &pairs[failure->second]);
    pair_close(&pairs[0]);
    pair_close(&pairs[1]);
    stage_close(&stage);
}

static void
documented_statuses_at_every_node(void **state)
{
    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        fail_once(&failures[i], false);
        fail_once(&failures[i], true);
    }
}

/* ---- streams while things go wrong ---- */

static struct script_figures figures[2];
static uint64_t bad_checksums;

static void
stream(const char *script, bool corrupt, unsigned moves)
{
    struct stage stage;
    struct pair pair;
    char floors[256];

    snprintf(floors, sizeof floors, "passthru,fault:Script=%s,passthru", script);
    stage_open(&stage, &(struct stage_options){.floors = floors,
                                               .impaired = true,
                                               .impair = {quiet, quiet},
                                               .corrupt = corrupt});
    pair_open(&stage, &pair, plain);
    actor_start_moving(&pair.actors[LEFT], 5, moves, 500, 20000);
    pair_send(&pair, 700000, 700000, true);
    if (!stage_run(&stage, pair_ended, &pair, 600 * SECOND_US))
        print_error("%s: %lu and %lu bytes\n", script, pair.actors[LEFT].received,
                    pair.actors[RIGHT].received);
    pair_check(&pair);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pair.actors[i].end, SCRIPT_CLOSED);
        script_read_figures(pair.actors[i].conn, &figures[i]);
    }
    bad_checksums = script_stats(stage.hosts[LEFT])->bad_checksums +
                    script_stats(stage.hosts[RIGHT])->bad_checksums;
    assert_true(figures[LEFT].moves_down >= 1);
    pair_close(&pair);
    stage_close(&stage);
}

static void
completions_wait(void **state)
{
    static const char *const scripts[] = {
        "complete initiate delay 3ms",
        "complete terminate delay 7ms",
        "complete send delay 5ms",
        "complete send inline",
        "complete send delay 20ms 10%;complete send inline 50%",
        "complete initiate reorder;complete terminate reorder",
        "complete initiate delay 1s 10%;complete terminate delay 2ms;complete send delay 1ms",
    };

    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        stream(scripts[i], false, 20);
}

static void
initiates_are_refused(void **state)
{
    stream("seed 3;initiate refuse tcp 40%;initiate refuse path 20%;initiate refuse neighbor 10%",
           false, 30);
    assert_true(figures[LEFT].refused > 0);
    stream("initiate every 2 fail OFFLOAD_CONNECTION_REJECTED", false, 30);
    assert_true(figures[LEFT].refused > 0);
}

static void
memory_runs_out(void **state)
{
    static const char *const scripts[] = {"send 7 no-memory", "send every 5 no-memory",
                                          "send 10% no-memory;complete send delay 3ms"};

    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++) {
        stream(scripts[i], false, 20);
        assert_true(figures[LEFT].sends_returned > 0);
    }
}

static void
frames_go_wrong(void **state)
{
    static const char *const scripts[] = {
        "frames out drop 3%",
        "frames in drop 3%",
        "frames out duplicate 5%",
        "frames in duplicate",
        "frames out reorder 5%",
        "frames in reorder 5%",
        "frames out delay 2ms",
        "frames in delay 2ms",
        "frames in delay 9ms 10%",
        "frames out drop every 9;frames in drop every 7;frames out reorder 3%;frames in delay 1ms",
    };

    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        stream(scripts[i], false, 6);
    stream("frames out drop 5%", false, 6);
    assert_true(figures[LEFT].retransmits > 0);
}

static void
frames_are_damaged(void **state)
{
    stream("frames out corrupt 3%;frames in corrupt 3%", true, 6);
    assert_true(bad_checksums > 0);
    assert_true(figures[LEFT].retransmits > 0);
}

/* ---- uploads are asked for ---- */

static void
asked_home_through(const char *above, const char *rule)
{
    struct stage stage;
    struct pair pair;
    char floors[128];

    snprintf(floors, sizeof floors, "%sfault:Script=%s", above, rule);
    stage_open(&stage, &(struct stage_options){
                           .floors = floors, .impaired = true, .impair = {quiet, quiet}});
    pair_open(&stage, &pair, plain);
    struct actor *left = &pair.actors[LEFT];
    actor_offload(left);
    left->moves = 0;
    pair_send(&pair, 400000, 400000, false);
    assert_true(stage_run(&stage, moved, left, 60 * SECOND_US));
    assert_false(left->last_move.down);
    assert_int_equal(left->last_move.status, OK);
    assert_true(actor_at_home(left));
    assert_true(stage_run(&stage, pair_done, &pair, 60 * SECOND_US));
    pair_check(&pair);
    pair_close(&pair);
    stage_close(&stage);
}

static void
asked_home(const char *rule)
{
    asked_home_through("", rule);
}

static void
every_reason_brings_it_home(void **state)
{
    static const char *const reasons[] = {"HardwareFailure",
                                          "InvalidState",
                                          "ReceivedUrgentData",
                                          "TimeoutExpiration",
                                          "UploadRequested",
                                          "HighDropRate",
                                          "HighFragmentation",
                                          "HighOutofOrderPackets",
                                          "LowActivity",
                                          "NoBufferProposting",
                                          "SmallIO"};
    static const char *const when[] = {"on send 3", "after 20 segments", "at 10ms"};

    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        for (size_t j = 0; j < sizeof when / sizeof when[0]; j++) {
            char rule[96];

            snprintf(rule, sizeof rule, "request-upload %s %s", reasons[i], when[j]);
            asked_home(rule);
        }
}

static void
a_send_without_memory_brings_it_home(void **state)
{
    asked_home("send 3 no-memory");
    asked_home_through("passthru,", "send 3 no-memory"); /* who passes it on is not to blame */
}

/* V-134: in CLOSE_WAIT only a mandatory reason may be given. */
static void
half_closed_it_stays(void **state)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){
                           .floors = "fault:Script=request-upload LowActivity on send every 1"});
    pair_open(&stage, &pair, plain);
    struct actor *left = &pair.actors[LEFT];
    actor_send(&pair.actors[RIGHT], 1000, true);
    assert_true(stage_run(&stage, pair_done, &pair, SECOND_US));
    actor_offload(left);
    left->moves = 0;
    actor_send(left, 100000, false);
    assert_true(stage_run(&stage, pair_done, &pair, 10 * SECOND_US));
    assert_int_equal(left->moves, 0);
    assert_true(actor_with_target(left));
    pair_check(&pair);
    pair_close(&pair);
    stage_close(&stage);
}

/* ---- other operations fail ---- */

static void
a_failed_query_brings_it_home(void **state)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.floors = "passthru,fault:Script=query 2 fail"});
    pair_open(&stage, &pair, plain);
    struct actor *left = &pair.actors[LEFT];
    actor_offload(left);
    assert_int_equal(script_query(left->conn), 0);
    stage_pass(&stage, 10000);
    assert_int_equal(left->query_status, OK);
    assert_true(actor_with_target(left));
    assert_int_equal(script_query(left->conn), 0);
    assert_true(stage_run(&stage, actor_at_home, left, SECOND_US)); /* V-069 */
    assert_int_equal(left->queries, 2);
    assert_int_equal(left->query_status, FAIL);
    still_works(&stage, &pair);
    pair_close(&pair);
    stage_close(&stage);
}

/* The connection's path; its users are fetched. */
static void
a_failed_update_brings_it_home(void **state)
{
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &(struct stage_options){.floors = "fault:Script=update fail"});
    pair_open(&stage, &pair, plain);
    struct actor *left = &pair.actors[LEFT];
    actor_offload(left);
    assert_int_equal(host_update_neighbor(script_binding(stage.hosts[LEFT]),
                                          wire_mac(stage.ends[RIGHT]),
                                          (const UCHAR[6]){2, 0, 0, 0, 0, 9}),
                     0);
    /* The host stack says so, too. */
    stage_pass(&stage, 10000);
    assert_true(stage.complaints > 0);
    stage.complaints = 0;
    assert_true(stage_run(&stage, actor_at_home, left, SECOND_US)); /* V-069 */
    still_works(&stage, &pair);
    pair_close(&pair);
    stage_close(&stage);
}

/* ---- things are taken away while much is held back ---- */

static void
taken_away(bool adapter)
{
    struct stage stage;
    struct pair pairs[3];

    stage_open(&stage, &(struct stage_options){
                           .floors = "fault:Script=complete terminate delay 1s;complete send delay "
                                     "900ms;frames out delay 1s 50%;frames in delay 1s 50%"});
    for (unsigned i = 0; i < 3; i++) {
        pair_open(&stage, &pairs[i], plain);
        actor_offload(&pairs[i].actors[LEFT]);
        pair_send(&pairs[i], 100000, 100000, false);
    }
    stage_pass(&stage, 5000);
    assert_int_equal(script_upload(pairs[0].actors[LEFT].conn), 0);
    stage_pass(&stage, 5000);
    if (adapter)
        assert_int_equal(house_remove_adapter(stage.house, "a0"), 0);
    else
        assert_int_equal(house_unbind(stage.house, "left", stage.top), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(actor_at_home(&pairs[i].actors[LEFT]));
        assert_int_equal(pairs[i].actors[LEFT].wrong, 0);
    }
    if (!adapter) {
        assert_int_equal(house_bind(stage.house, "left", stage.top, NULL), 0);
        for (unsigned i = 0; i < 3; i++) {
            assert_true(stage_run(&stage, pair_done, &pairs[i], 600 * SECOND_US));
            pair_check(&pairs[i]);
        }
    }
    for (unsigned i = 0; i < 3; i++)
        pair_close(&pairs[i]);
    stage_close(&stage);
}

static void
what_is_held_goes_on_when_the_host_leaves(void **state)
{
    taken_away(false);
}

static void
what_is_held_goes_on_when_the_adapter_goes(void **state)
{
    taken_away(true);
}

/* ---- the same again ---- */

static void
add_crossing(void *arg, struct crossing *crossing)
{
    uint64_t *sum = arg;

    *sum = hash_word(*sum, (uint64_t)crossing->op << 2 | crossing->after << 1 | crossing->up);
    *sum = hash_word(*sum, crossing->now_us);
    *sum = hash_word(*sum, (uint64_t)crossing->code << 32 | (uint32_t)crossing->status);
    *sum = hash_bytes(crossing->from, strlen(crossing->from), *sum);
}

static uint64_t
crossings(const char *seed)
{
    struct stage stage;
    struct pair pair;
    uint64_t sum = 0;
    struct observer observer = {.on_crossing = add_crossing, .arg = &sum};
    char floors[256];

    snprintf(floors, sizeof floors,
             "fault:Seed=%s:Script=frames out drop 2%%;frames in reorder 3%%;complete send delay "
             "3ms 20%%;initiate refuse tcp 20%%;send 1%% no-memory",
             seed);
    stage_open(&stage, &(struct stage_options){.floors = floors, .observer = &observer});
    pair_open(&stage, &pair, plain);
    actor_start_moving(&pair.actors[LEFT], 5, 20, 500, 20000);
    pair_send(&pair, 300000, 300000, true);
    assert_true(stage_run(&stage, pair_ended, &pair, 600 * SECOND_US));
    pair_check(&pair);
    pair_close(&pair);
    stage_close(&stage);
    return sum;
}

static void
a_seed_does_the_same_again(void **state)
{
    uint64_t seven = crossings("7");

    assert_true(seven == crossings("7"));
    assert_true(seven != crossings("8"));
}

/* ---- the manual ---- */

/* The script of the manual page's example, into a file of its own. */
static void
copy_example(FILE *out)
{
    FILE *page = fopen(FAULT_PAGE, "r");
    bool example = false, inside = false;
    char line[512];

    assert_non_null(page);
    while (fgets(line, sizeof line, page)) {
        if (!strcmp(line, "# EXAMPLE\n"))
            example = true;
        else if (example && !strcmp(line, "```\n") && inside)
            break;
        else if (example && !strcmp(line, "```\n"))
            inside = true;
        else if (inside)
            fputs(line, out);
    }
    assert_true(inside);
    fclose(page);
}

static void
the_example_of_the_manual_works(void **state)
{
    char path[] = "/tmp/fault_test-XXXXXX", floors[128];
    FILE *file = fdopen(mkstemp(path), "w");
    struct stage stage;
    struct pair pair;

    copy_example(file);
    fclose(file);
    snprintf(floors, sizeof floors, "fault:File=%s", path);
    stage_open(&stage, &(struct stage_options){
                           .floors = floors, .impaired = true, .impair = {quiet, quiet}});
    remove(path);
    pair_open(&stage, &pair, plain);
    actor_start_moving(&pair.actors[LEFT], 5, 40, 500, 20000);
    pair_send(&pair, 2000000, 2000000, true);
    assert_true(stage_run(&stage, pair_ended, &pair, 600 * SECOND_US));
    pair_check(&pair);
    script_read_figures(pair.actors[LEFT].conn, &figures[LEFT]);
    assert_true(figures[LEFT].refused >= 1);
    pair_close(&pair);
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documented_statuses_at_every_node),
        cmocka_unit_test(completions_wait),
        cmocka_unit_test(initiates_are_refused),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(frames_go_wrong),
        cmocka_unit_test(frames_are_damaged),
        cmocka_unit_test(every_reason_brings_it_home),
        cmocka_unit_test(a_send_without_memory_brings_it_home),
        cmocka_unit_test(half_closed_it_stays),
        cmocka_unit_test(a_failed_query_brings_it_home),
        cmocka_unit_test(a_failed_update_brings_it_home),
        cmocka_unit_test(what_is_held_goes_on_when_the_host_leaves),
        cmocka_unit_test(what_is_held_goes_on_when_the_adapter_goes),
        cmocka_unit_test(a_seed_does_the_same_again),
        cmocka_unit_test(the_example_of_the_manual_works),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
