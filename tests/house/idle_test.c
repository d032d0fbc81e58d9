/* A connection that says nothing, moved again and again: nothing changes, nothing is sent but what
 * must be. */
#include "stage.h"

#include <errno.h>

static void
same_numbers(const struct tcp_conn *a, const struct tcp_conn *b)
{
    assert_int_equal(a->snd_una, b->snd_una);
    assert_int_equal(a->snd_max, b->snd_max);
    assert_int_equal(a->snd_wnd, b->snd_wnd);
    assert_int_equal(a->rcv_nxt, b->rcv_nxt);
    assert_int_equal(a->rcv_edge, b->rcv_edge);
    assert_int_equal(a->cwnd, b->cwnd);
    assert_int_equal(a->ssthresh, b->ssthresh);
    assert_int_equal(a->mss, b->mss);
    assert_int_equal(a->ts_recent, b->ts_recent);
}

static void
move_idle(unsigned passthru, const struct script_options *options, unsigned moves)
{
    struct stage stage;
    struct pair pair;
    struct stage_options stage_options = {.passthru = passthru};
    struct script_options sides[2] = {*options, *options};

    stage_open(&stage, &stage_options);
    pair_open(&stage, &pair, sides);
    struct actor *left = &pair.actors[LEFT];
    pair_send(&pair, 5000, 5000, false); /* so that every number is a real one */
    assert_true(stage_run(&stage, pair_done, &pair, 10000000));
    stage_pass(&stage, 1000000);
    struct tcp_conn before = *script_engine(left->conn);
    for (unsigned i = 0; i < moves; i++) {
        actor_offload(left);
        stage_pass(&stage, i % 3 * 1000);
        actor_upload(left);
        stage_pass(&stage, i % 2 * 1000);
        same_numbers(&before, script_engine(left->conn));
    }
    assert_int_equal(left->moves, 2 * moves);
    pair_send(&pair, 5000, 5000, false);
    assert_true(stage_run(&stage, pair_done, &pair, 10000000));
    pair_check(&pair);
    pair_close(&pair);
    stage_close(&stage);
}

static void
moved_a_hundred_times(void **state)
{
    move_idle(0, &(struct script_options){0}, 100);
}

static void
moved_a_hundred_times_through_two_floors(void **state)
{
    move_idle(2, &(struct script_options){0}, 100);
}

static void
moved_without_any_option(void **state)
{
    move_idle(1,
              &(struct script_options){.no_timestamps = true, .no_sack = true, .no_scaling = true},
              20);
}

static void
moved_over_ipv6(void **state)
{
    move_idle(1, &(struct script_options){.ipv6 = true}, 20);
}

/* Two connections over one path: the objects stay while one of them needs them. */
static void
path_is_shared(void **state)
{
    struct stage stage;
    struct pair first, second;
    struct stage_options stage_options = {.passthru = 1};
    struct script_options sides[2] = {{0}};

    stage_open(&stage, &stage_options);
    pair_open(&stage, &first, sides);
    pair_open(&stage, &second, sides);
    actor_offload(&first.actors[LEFT]);
    actor_offload(&second.actors[LEFT]);
    actor_upload(&first.actors[LEFT]);
    pair_send(&second, 20000, 20000, false);
    assert_true(stage_run(&stage, pair_done, &second, 10000000));
    actor_offload(&first.actors[LEFT]);
    actor_upload(&second.actors[LEFT]);
    actor_upload(&first.actors[LEFT]);
    pair_check(&second);
    pair_close(&first);
    pair_close(&second);
    stage_close(&stage);
}

/* Initiates asked for at once go one after the other and all arrive. */
static void
many_at_once(void **state)
{
    enum { COUNT = 20 };
    static struct pair pairs[COUNT];
    struct stage stage;
    struct stage_options stage_options = {.passthru = 1};
    struct script_options sides[2] = {{0}};

    stage_open(&stage, &stage_options);
    for (unsigned i = 0; i < COUNT; i++) {
        pair_open(&stage, &pairs[i], sides);
        assert_int_equal(script_offload(pairs[i].actors[LEFT].conn), 0);
    }
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(stage_run(&stage, actor_with_target, &pairs[i].actors[LEFT], 1000000));
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(script_upload(pairs[i].actors[LEFT].conn), 0);
    for (unsigned i = 0; i < COUNT; i++)
        pair_close(&pairs[i]);
    stage_close(&stage);
}

/* Objects that leave with one connection are wanted by the next before they are gone. */
static void
objects_wanted_while_they_leave(void **state)
{
    struct stage stage;
    struct pair first, second;
    struct stage_options stage_options = {.passthru = 1};
    struct script_options sides[2] = {{0}};

    stage_open(&stage, &stage_options);
    pair_open(&stage, &first, sides);
    pair_open(&stage, &second, sides);
    struct actor *a = &first.actors[LEFT], *b = &second.actors[LEFT];
    for (unsigned i = 0; i < 10; i++) {
        actor_offload(a);
        assert_int_equal(script_upload(a->conn), 0);
        assert_int_equal(script_offload(b->conn), 0);
        assert_true(stage_run(&stage, actor_with_target, b, 1000000));
        assert_true(stage_run(&stage, actor_at_home, a, 1000000));
        assert_int_equal(script_offload(a->conn), 0);
        assert_int_equal(script_upload(b->conn), 0);
        assert_true(stage_run(&stage, actor_with_target, a, 1000000));
        assert_true(stage_run(&stage, actor_at_home, b, 1000000));
        assert_int_equal(a->last_move.status, NDIS_STATUS_SUCCESS);
        assert_int_equal(b->last_move.status, NDIS_STATUS_SUCCESS);
        actor_upload(a);
    }
    pair_close(&first);
    pair_close(&second);
    stage_close(&stage);
}

/* What cannot be: twice down, up from nowhere, a move in the middle of a move. */
static void
moves_out_of_turn(void **state)
{
    struct stage stage;
    struct pair pair;
    struct stage_options stage_options = {.passthru = 0};
    struct script_options sides[2] = {{0}};

    stage_open(&stage, &stage_options);
    pair_open(&stage, &pair, sides);
    struct actor *left = &pair.actors[LEFT];
    assert_int_equal(script_upload(left->conn), -EBUSY);
    assert_int_equal(script_offload(left->conn), 0);
    assert_int_equal(script_offload(left->conn), -EBUSY);
    assert_int_equal(script_upload(left->conn), -EBUSY);
    assert_true(stage_run(&stage, actor_with_target, left, 1000000));
    assert_int_equal(script_offload(left->conn), -EBUSY);
    assert_int_equal(script_upload(left->conn), 0);
    assert_int_equal(script_upload(left->conn), -EBUSY);
    assert_true(stage_run(&stage, actor_at_home, left, 1000000));
    assert_int_equal(left->moves, 2);
    pair_close(&pair);
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moved_a_hundred_times),
        cmocka_unit_test(moved_a_hundred_times_through_two_floors),
        cmocka_unit_test(moved_without_any_option),
        cmocka_unit_test(moved_over_ipv6),
        cmocka_unit_test(path_is_shared),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(objects_wanted_while_they_leave),
        cmocka_unit_test(moves_out_of_turn),
    };

    stage_only_soft("*ipv6*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
