/*
 * The end of a connection, in every place it can be when it comes: at home, with the target, on the
 * way. FIN each way, RST each way, a peer that falls silent. Sources: chimney 6.6, 6.7, 8.1.
 */
#include "stage.h"

#define SECOND_US 1000000ull

/* Where the left end is when the end begins. */
enum place { AT_HOME, WITH_TARGET, ON_THE_WAY_DOWN, ON_THE_WAY_UP, PLACES };

struct scene {
    struct stage stage;
    struct pair pair;
    struct actor *left, *right;
};

static const struct wire_mem_impair slow = {.delay_us = 1000, .bits_per_second = 50000000};

static void
open_scene(struct scene *scene, const struct wire_mem_impair *impair)
{
    struct stage_options options = {.passthru = 1, .impaired = true, .impair = {*impair, *impair}};
    struct script_options sides[2] = {{0}};

    stage_open(&scene->stage, &options);
    pair_open(&scene->stage, &scene->pair, sides);
    scene->left = &scene->pair.actors[LEFT];
    scene->right = &scene->pair.actors[RIGHT];
}

static void
close_scene(struct scene *scene)
{
    pair_close(&scene->pair);
    stage_close(&scene->stage);
}

static void
go_to(struct scene *scene, enum place place)
{
    if (place == WITH_TARGET || place == ON_THE_WAY_UP)
        actor_offload(scene->left);
    if (place == ON_THE_WAY_DOWN)
        assert_int_equal(script_offload(scene->left->conn), 0);
    if (place == ON_THE_WAY_UP)
        assert_int_equal(script_upload(scene->left->conn), 0);
}

static void
expect_closed(struct scene *scene)
{
    assert_true(stage_run(&scene->stage, pair_done, &scene->pair, 60 * SECOND_US));
    assert_true(stage_run(&scene->stage, pair_ended, &scene->pair, 60 * SECOND_US));
    assert_int_equal(scene->left->end, SCRIPT_CLOSED);
    assert_int_equal(scene->right->end, SCRIPT_CLOSED);
    pair_check(&scene->pair);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(script_stats(scene->stage.hosts[i])->resets_in, 0);
}

static void
we_close_first(void **state)
{
    for (enum place place = 0; place < PLACES; place++) {
        struct scene scene;
        open_scene(&scene, &slow);
        go_to(&scene, place);
        actor_send(scene.left, 30000, true);
        stage_pass(&scene.stage, 200000);
        assert_true(scene.right->fin);
        actor_send(scene.right, 30000, true);
        expect_closed(&scene);
        close_scene(&scene);
    }
}

static void
peer_closes_first(void **state)
{
    for (enum place place = 0; place < PLACES; place++) {
        struct scene scene;
        open_scene(&scene, &slow);
        go_to(&scene, place);
        actor_send(scene.right, 30000, true);
        stage_pass(&scene.stage, 200000);
        assert_true(scene.left->fin);
        actor_send(scene.left, 30000, true); /* the other half still works */
        expect_closed(&scene);
        close_scene(&scene);
    }
}

static void
both_close_at_once(void **state)
{
    for (enum place place = 0; place < PLACES; place++) {
        struct scene scene;
        open_scene(&scene, &slow);
        go_to(&scene, place);
        pair_send(&scene.pair, 30000, 30000, true);
        expect_closed(&scene);
        close_scene(&scene);
    }
}

/* Moves in every state after ESTABLISHED that allows them. */
static void
moves_between_the_fins(void **state)
{
    for (enum stage_side first = LEFT; first <= RIGHT; first++) {
        struct scene scene;
        open_scene(&scene, &slow);
        actor_send(&scene.pair.actors[first], 1000, true);
        stage_pass(&scene.stage, 200000);
        for (unsigned i = 0; i < 5; i++) { /* FIN_WAIT_2, CLOSE_WAIT */
            actor_offload(scene.left);
            stage_pass(&scene.stage, 50000);
            actor_send(&scene.pair.actors[1 - first], 2000, false);
            stage_pass(&scene.stage, 50000);
            actor_upload(scene.left);
        }
        actor_send(&scene.pair.actors[1 - first], 1000, true);
        expect_closed(&scene);
        close_scene(&scene);
    }
}

/* Moves at every moment of a close, on a wire that loses: FIN_WAIT_1, CLOSING and LAST_ACK are
 * among them. */
static void
close_at_any_moment(void **state)
{
    static const struct wire_mem_impair rough = {.loss_ppm = 100000,
                                                 .reorder_ppm = 100000,
                                                 .reorder_delay_us = 4000,
                                                 .delay_us = 2000,
                                                 .segment_gso = 1};

    for (unsigned seed = 1; seed <= 40; seed++) {
        struct scene scene;
        struct wire_mem_impair impair = rough;
        impair.seed = seed;
        open_scene(&scene, &impair);
        actor_start_moving(scene.left, seed, 50, 200, 8000);
        actor_start_moving(scene.right, seed + 99, seed % 2 ? 50 : 0, 200, 8000);
        pair_send(&scene.pair, 1 + seed * 500, 1 + seed * 300, true);
        expect_closed(&scene);
        close_scene(&scene);
    }
}

static void
expect_reset(struct scene *scene, struct actor *by, struct actor *of)
{
    assert_true(stage_run(&scene->stage, pair_ended, &scene->pair, 60 * SECOND_US));
    assert_int_equal(by->end, SCRIPT_ABORTED);
    assert_int_equal(of->end, SCRIPT_RESET);
    assert_true(stage_run(&scene->stage, actor_at_home, scene->left, SECOND_US));
}

static void
we_reset(void **state)
{
    for (enum place place = 0; place < PLACES; place++) {
        struct scene scene;
        open_scene(&scene, &slow);
        pair_send(&scene.pair, 1000000, 1000000, false);
        stage_pass(&scene.stage, 50000);
        go_to(&scene, place);
        script_abort(scene.left->conn);
        expect_reset(&scene, scene.left, scene.right);
        close_scene(&scene);
    }
}

static void
peer_resets(void **state)
{
    for (enum place place = 0; place < PLACES; place++) {
        struct scene scene;
        open_scene(&scene, &slow);
        pair_send(&scene.pair, 1000000, 1000000, false);
        stage_pass(&scene.stage, 50000);
        go_to(&scene, place);
        script_abort(scene.right->conn);
        expect_reset(&scene, scene.right, scene.left);
        close_scene(&scene);
    }
}

static bool
left_ended(void *arg)
{
    return ((struct scene *)arg)->left->ended;
}

/* The peer's stack is gone, nothing answers: the target gives the connection back, and it times out
 * at home. */
static void
silent_peer_times_out(void **state)
{
    struct scene scene;

    open_scene(&scene, &slow);
    actor_offload(scene.left);
    script_conn_destroy(scene.right->conn);
    actor_send(scene.left, 5000, false);
    assert_true(stage_run(&scene.stage, left_ended, &scene, 3000 * SECOND_US));
    assert_int_equal(scene.left->end, SCRIPT_TIMEOUT);
    assert_true(stage_run(&scene.stage, actor_at_home, scene.left, SECOND_US));
    sys_timer_fini(&scene.left->mover);
    sys_timer_fini(&scene.right->mover);
    script_conn_destroy(scene.left->conn);
    stage_close(&scene.stage);
}

/* Every driver in the tree is ready for an open and a close that take their time. */
static void
ndis_answers_later(void **state)
{
    struct stage_options options = {.passthru = 2, .late = true};
    struct script_options sides[2] = {{0}};
    struct scene scene;

    stage_open(&scene.stage, &options);
    pair_open(&scene.stage, &scene.pair, sides);
    scene.left = &scene.pair.actors[LEFT];
    scene.right = &scene.pair.actors[RIGHT];
    actor_offload(scene.left);
    actor_send(scene.left, 30000, true);
    actor_send(scene.right, 30000, true);
    expect_closed(&scene);
    close_scene(&scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(we_close_first),      cmocka_unit_test(peer_closes_first),
        cmocka_unit_test(both_close_at_once),  cmocka_unit_test(moves_between_the_fins),
        cmocka_unit_test(close_at_any_moment), cmocka_unit_test(we_reset),
        cmocka_unit_test(peer_resets),         cmocka_unit_test(silent_peer_times_out),
        cmocka_unit_test(ndis_answers_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
