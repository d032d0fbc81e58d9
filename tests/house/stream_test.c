/*
 * Streams in both directions while the connection moves at random points: every byte arrives once,
 * in order, whatever the wire loses, delays, doubles or reorders, and however the application takes
 * its data.
 */
#include "stage.h"

#include <stdlib.h>

#define SECOND_US 1000000ull

struct scenario {
    const char *name;
    unsigned passthru;
    struct script_options left, right;
    bool impaired;
    struct wire_mem_impair impair; /* both ways; seeds are the test's */
    uint64_t left_bytes, right_bytes;
    unsigned moves;
    uint32_t move_min_us, move_max_us;
    uint64_t move_bytes; /* instead */
    bool right_moves;
    const char *congestion; /* of the target; NULL: what it has by itself */
    unsigned seeds;
};

/* Floors that hold and lose on purpose (stage_draw.h): every byte arrives, but when, and whether
 * one of these short stays at the target was long enough to get a send acknowledged, is theirs. */
static bool
with_faults(void)
{
    return getenv("HOUSE_FAULTS") != NULL;
}

static void
assert_figures(const struct scenario *scenario, const struct actor *actor)
{
    struct script_figures figures;

    script_read_figures(actor->conn, &figures);
    assert_int_equal(figures.refused, 0);
    assert_true(figures.moves_down >= 3);
    if (with_faults())
        return;
    if (actor->to_send > 200000)
        assert_true(figures.target_out > 0);
    /* with ack = returned a move takes back what is lent, and the peer may be silent until then */
    if (actor->peer->to_send > 200000 && !scenario->left.ack_returned)
        assert_true(figures.target_in > 0);
}

/* Returns when it was over. */
static uint64_t
run_seed(const struct scenario *scenario, uint64_t seed)
{
    const struct house_option target[] = {{"Congestion", scenario->congestion}, {NULL, NULL}};
    struct stage stage;
    struct pair pair;
    struct stage_options options = {.passthru = scenario->passthru,
                                    .target = scenario->congestion ? target : NULL,
                                    .impaired = scenario->impaired,
                                    .impair = {scenario->impair, scenario->impair}};
    struct script_options sides[2] = {scenario->left, scenario->right};

    options.impair[0].seed = seed;
    options.impair[1].seed = seed + 1000;
    stage_open(&stage, &options);
    pair_open(&stage, &pair, sides);
    if (scenario->move_bytes)
        actor_move_every(&pair.actors[LEFT], scenario->move_bytes + seed * 777, scenario->moves);
    else
        actor_start_moving(&pair.actors[LEFT], seed, scenario->moves, scenario->move_min_us,
                           scenario->move_max_us);
    if (scenario->right_moves)
        actor_start_moving(&pair.actors[RIGHT], seed + 7, scenario->moves, scenario->move_min_us,
                           scenario->move_max_us);
    pair_send(&pair, scenario->left_bytes, scenario->right_bytes, true);
    if (!stage_run(&stage, pair_done, &pair, 600 * SECOND_US))
        print_error("%s, seed %u: left %lu of %lu, right %lu of %lu\n", scenario->name,
                    (unsigned)seed, pair.actors[LEFT].received, pair.actors[RIGHT].to_send,
                    pair.actors[RIGHT].received, pair.actors[LEFT].to_send);
    pair_check(&pair);
    assert_true(stage_run(&stage, pair_ended, &pair, 600 * SECOND_US));
    assert_int_equal(pair.actors[LEFT].end, SCRIPT_CLOSED);
    assert_int_equal(pair.actors[RIGHT].end, SCRIPT_CLOSED);
    uint64_t end_us = sys_loop_now_us(stage.loop);
    assert_figures(scenario, &pair.actors[LEFT]);
    pair_close(&pair);
    stage_close(&stage);
    return end_us;
}

/* HOUSE_SEEDS=N: so many times as many seeds. */
static unsigned
seed_factor(void)
{
    const char *text = getenv("HOUSE_SEEDS");

    return text ? (unsigned)strtoul(text, NULL, 10) : 1;
}

static void
run(const struct scenario *scenario)
{
    unsigned last = scenario->seeds * seed_factor();

    for (unsigned seed = 1; seed <= last; seed++)
        run_seed(scenario, seed);
}

static const struct wire_mem_impair quiet = {.delay_us = 500, .bits_per_second = 200000000};
static const struct wire_mem_impair rough = {.loss_ppm = 10000,
                                             .duplicate_ppm = 5000,
                                             .reorder_ppm = 20000,
                                             .reorder_delay_us = 3000,
                                             .delay_us = 1000,
                                             .bits_per_second = 100000000,
                                             .segment_gso = 1};
static const struct wire_mem_impair awful = {.loss_ppm = 50000,
                                             .duplicate_ppm = 20000,
                                             .reorder_ppm = 100000,
                                             .reorder_delay_us = 5000,
                                             .delay_us = 2000,
                                             .segment_gso = 1};

#define STREAM(test, ...)                                                                          \
    static void test(void **state)                                                                 \
    {                                                                                              \
        run(&(struct scenario){.name = #test, __VA_ARGS__});                                       \
    }

STREAM(no_loss, .impaired = true, .impair = quiet, .left_bytes = 2000000, .right_bytes = 2000000,
       .moves = 20, .move_min_us = 500, .move_max_us = 10000, .seeds = 5)
STREAM(no_loss_through_passthru, .passthru = 2, .impaired = true, .impair = quiet,
       .left_bytes = 1000000, .right_bytes = 1000000, .moves = 20, .move_min_us = 500,
       .move_max_us = 5000, .seeds = 3)
STREAM(superframes_on_a_cable, .left = {.superframes = true}, .right = {.superframes = true},
       .left_bytes = 20000000, .right_bytes = 20000000, .moves = 40, .move_bytes = 400000,
       .seeds = 3)
STREAM(download_only, .impaired = true, .impair = quiet, .right_bytes = 3000000, .moves = 20,
       .move_min_us = 500, .move_max_us = 8000, .seeds = 3)
STREAM(upload_only, .impaired = true, .impair = quiet, .left_bytes = 3000000, .moves = 20,
       .move_min_us = 500, .move_max_us = 8000, .seeds = 3)
STREAM(loss_reorder_duplicates, .passthru = 1, .impaired = true, .impair = rough,
       .left_bytes = 2000000, .right_bytes = 2000000, .moves = 100, .move_min_us = 200,
       .move_max_us = 20000, .seeds = 10)
STREAM(both_ends_move, .passthru = 1, .right_moves = true, .impaired = true, .impair = rough,
       .left_bytes = 1200000, .right_bytes = 1200000, .moves = 100, .move_min_us = 200,
       .move_max_us = 8000, .seeds = 10)
STREAM(five_percent_loss, .right_moves = true, .impaired = true, .impair = awful,
       .left_bytes = 400000, .right_bytes = 400000, .moves = 100, .move_min_us = 200,
       .move_max_us = 60000, .seeds = 10)
STREAM(no_options, .impaired = true, .impair = rough,
       .left = {.no_timestamps = true, .no_sack = true, .no_scaling = true},
       .right = {.no_timestamps = true, .no_sack = true, .no_scaling = true}, .left_bytes = 600000,
       .right_bytes = 600000, .moves = 100, .move_min_us = 200, .move_max_us = 8000, .seeds = 5)
STREAM(soft_ipv6, .passthru = 1, .right_moves = true, .impaired = true, .impair = rough,
       .left = {.ipv6 = true}, .right = {.ipv6 = true}, .left_bytes = 1200000,
       .right_bytes = 1200000, .moves = 100, .move_min_us = 200, .move_max_us = 20000, .seeds = 5)
STREAM(small_mtu, .impaired = true, .impair = rough, .left = {.mtu = 576}, .right = {.mtu = 576},
       .left_bytes = 600000, .right_bytes = 600000, .moves = 100, .move_min_us = 200,
       .move_max_us = 20000, .seeds = 3)
STREAM(small_windows, .impaired = true, .impair = rough, .left = {.receive_buffer = 5000},
       .right = {.receive_buffer = 5000}, .left_bytes = 400000, .right_bytes = 400000, .moves = 100,
       .move_min_us = 200, .move_max_us = 8000, .seeds = 5)
STREAM(big_windows, .impaired = true, .impair = quiet, .left = {.receive_buffer = 900000},
       .right = {.receive_buffer = 900000, .send_buffer = 1000000}, .left_bytes = 6000000,
       .right_bytes = 12000000, .moves = 100, .move_min_us = 200, .move_max_us = 8000, .seeds = 3)
STREAM(posted_receives, .impaired = true, .impair = rough, .left = {.receive = SCRIPT_POST},
       .right = {.receive = SCRIPT_POST}, .right_moves = true, .left_bytes = 1000000,
       .right_bytes = 1000000, .moves = 100, .move_min_us = 200, .move_max_us = 20000, .seeds = 5)
STREAM(nibbled_receives, .impaired = true, .impair = rough, .left = {.receive = SCRIPT_NIBBLE},
       .right_moves = true, .right = {.receive = SCRIPT_NIBBLE}, .left_bytes = 1000000,
       .right_bytes = 1000000, .moves = 100, .move_min_us = 200, .move_max_us = 8000, .seeds = 5)
STREAM(held_receives, .impaired = true, .impair = rough, .left = {.receive = SCRIPT_HOLD},
       .right_moves = true, .right = {.receive = SCRIPT_HOLD}, .left_bytes = 600000,
       .right_bytes = 600000, .moves = 100, .move_min_us = 200, .move_max_us = 8000, .seeds = 5)
STREAM(ack_what_was_returned, .passthru = 1, .impaired = true, .impair = quiet,
       .left = {.receive = SCRIPT_HOLD, .ack_returned = true}, .left_bytes = 1000000,
       .right_bytes = 2000000, .moves = 100, .move_min_us = 200, .move_max_us = 8000, .seeds = 5)
STREAM(ack_what_was_returned_with_loss, .impaired = true, .impair = rough, .right_moves = true,
       .left = {.receive = SCRIPT_HOLD, .ack_returned = true},
       .right = {.receive = SCRIPT_HOLD, .ack_returned = true, .hold_us = 5000},
       .left_bytes = 600000, .right_bytes = 600000, .moves = 100, .move_min_us = 200,
       .move_max_us = 20000, .seeds = 5)

/* ---- received bytes that nobody takes ---- */

static bool
peer_window_closed(void *arg)
{
    const struct pair *pair = arg;

    return script_engine(pair->actors[RIGHT].conn)->snd_wnd < 2000;
}

static void
open_still(struct stage *stage, struct pair *pair, enum script_receive receive)
{
    struct stage_options options = {.passthru = 1, .impaired = true, .impair = {quiet, quiet}};
    struct script_options sides[2] = {{.receive = receive, .receive_buffer = 30000}};

    stage_open(stage, &options);
    pair_open(stage, pair, sides);
    script_read(pair->actors[LEFT].conn, false);
}

static void
finish_still(struct stage *stage, struct pair *pair)
{
    script_read(pair->actors[LEFT].conn, true);
    assert_true(stage_run(stage, pair_done, pair, 60 * SECOND_US));
    pair_check(pair);
    pair_close(pair);
    stage_close(stage);
}

/* Buffered by the host, carried down, offered up again by the target. */
static void
buffered_data_goes_down(void **state)
{
    for (enum script_receive receive = SCRIPT_ACCEPT; receive <= SCRIPT_NIBBLE; receive++) {
        struct stage stage;
        struct pair pair;
        struct script_figures figures;
        open_still(&stage, &pair, receive);
        actor_send(&pair.actors[RIGHT], 100000, false);
        assert_true(stage_run(&stage, peer_window_closed, &pair, 10 * SECOND_US));
        actor_offload(&pair.actors[LEFT]);
        assert_true(pair.actors[LEFT].last_move.receive_bytes > 20000);
        stage_pass(&stage, SECOND_US);
        assert_int_equal(pair.actors[LEFT].received, 0);
        script_read_figures(pair.actors[LEFT].conn, &figures);
        assert_int_equal(figures.buffered_down, 1);
        finish_still(&stage, &pair);
    }
}

/* … and up again, untouched, with nothing read in between. */
static void
buffered_data_goes_down_and_up(void **state)
{
    struct stage stage;
    struct pair pair;
    struct script_figures figures;

    open_still(&stage, &pair, SCRIPT_ACCEPT);
    actor_send(&pair.actors[RIGHT], 100000, false);
    assert_true(stage_run(&stage, peer_window_closed, &pair, 10 * SECOND_US));
    for (unsigned i = 0; i < 10; i++) {
        actor_offload(&pair.actors[LEFT]);
        stage_pass(&stage, 10000);
        actor_upload(&pair.actors[LEFT]);
    }
    script_read_figures(pair.actors[LEFT].conn, &figures);
    assert_int_equal(figures.buffered_down, 10);
    assert_int_equal(figures.buffered_up, 10);
    finish_still(&stage, &pair);
}

/* A closed window is probed by whoever owns the connection, and opens for whoever owns it then. */
static void
zero_window_survives_moves(void **state)
{
    struct stage stage;
    struct pair pair;

    open_still(&stage, &pair, SCRIPT_ACCEPT);
    struct actor *right = &pair.actors[RIGHT];
    actor_send(right, 100000, false);
    assert_true(stage_run(&stage, peer_window_closed, &pair, 10 * SECOND_US));
    for (unsigned i = 0; i < 6; i++) {
        actor_offload(right);
        stage_pass(&stage, 3 * SECOND_US);
        actor_upload(right);
        stage_pass(&stage, 3 * SECOND_US);
    }
    assert_false(right->ended);
    actor_offload(right);
    finish_still(&stage, &pair);
}

/* One byte there, one byte back, across moves. */
static void
echo_across_moves(void **state)
{
    struct stage stage;
    struct pair pair;
    struct stage_options options = {.passthru = 1, .impaired = true, .impair = {quiet, quiet}};
    struct script_options sides[2] = {{0}};
    uint64_t limit_us = with_faults() ? 10 * SECOND_US : 60000;

    stage_open(&stage, &options);
    pair_open(&stage, &pair, sides);
    actor_start_moving(&pair.actors[LEFT], 3, 100, 100, 3000);
    for (unsigned i = 0; i < 300; i++) {
        uint64_t before_us = sys_loop_now_us(stage.loop);
        actor_send(&pair.actors[i % 2], 1, false);
        assert_true(stage_run(&stage, pair_done, &pair, 10 * SECOND_US));
        assert_true(sys_loop_now_us(stage.loop) - before_us < limit_us);
    }
    pair_check(&pair);
    pair_close(&pair);
    stage_close(&stage);
}

/* The other control: the same losses, another course, and every byte. */
static void
soft_newreno(void **state)
{
    struct scenario scenario = {.name = "newreno",
                                .impaired = true,
                                .impair = rough,
                                .left_bytes = 2000000,
                                .right_bytes = 200000,
                                .moves = 20,
                                .move_min_us = 20000,
                                .move_max_us = 80000};
    unsigned differ = 0;

    for (unsigned seed = 1; seed <= 5; seed++) {
        scenario.congestion = "CUBIC";
        uint64_t end_us = run_seed(&scenario, seed);
        scenario.congestion = "NewReno";
        differ += run_seed(&scenario, seed) != end_us;
    }
    assert_true(differ > 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_loss),
        cmocka_unit_test(no_loss_through_passthru),
        cmocka_unit_test(superframes_on_a_cable),
        cmocka_unit_test(download_only),
        cmocka_unit_test(upload_only),
        cmocka_unit_test(loss_reorder_duplicates),
        cmocka_unit_test(both_ends_move),
        cmocka_unit_test(five_percent_loss),
        cmocka_unit_test(no_options),
        cmocka_unit_test(soft_ipv6),
        cmocka_unit_test(small_mtu),
        cmocka_unit_test(small_windows),
        cmocka_unit_test(big_windows),
        cmocka_unit_test(posted_receives),
        cmocka_unit_test(soft_newreno),
        cmocka_unit_test(nibbled_receives),
        cmocka_unit_test(held_receives),
        cmocka_unit_test(ack_what_was_returned),
        cmocka_unit_test(ack_what_was_returned_with_loss),
        cmocka_unit_test(buffered_data_goes_down),
        cmocka_unit_test(buffered_data_goes_down_and_up),
        cmocka_unit_test(zero_window_survives_moves),
        cmocka_unit_test(echo_across_moves),
    };

    stage_only_soft("soft_*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
