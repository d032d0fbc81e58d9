/*
 * Ten thousand connections at a time, every one offloaded, every byte echoed and compared. What is
 * in question is not the bytes of one but what grows with the others: tables, timers, windows of a
 * shared budget.
 */
#include "stage.h"

#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000ull

enum { COUNT = 10000, ROUNDS = 3, BYTES = 1200 };

/* One connection: the left asks, the right says the same. */
struct caller {
    struct script_conn *ends[2];
    unsigned number, round;
    uint32_t echoed; /* bytes of this round that came back */
    bool down;
};

static struct stage stage;
static struct caller *callers;
static unsigned moved, refused, finished, wrong;

static uint8_t
byte_of(const struct caller *caller, uint32_t at)
{
    return (uint8_t)(caller->number * 7 + caller->round * 31 + at * 3 + (at >> 8));
}

static void
ask(struct caller *caller)
{
    uint8_t bytes[BYTES];

    for (uint32_t i = 0; i < BYTES; i++)
        bytes[i] = byte_of(caller, i);
    caller->echoed = 0;
    assert_int_equal(script_write(caller->ends[LEFT], bytes, BYTES), BYTES);
}

static void
on_left_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct caller *caller = arg;

    for (size_t i = 0; i < len; i++)
        wrong += bytes[i] != byte_of(caller, caller->echoed + (uint32_t)i);
    caller->echoed += (uint32_t)len;
    if (caller->echoed == BYTES)
        finished++;
}

static void
on_right_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct caller *caller = arg;

    assert_int_equal(script_write(caller->ends[RIGHT], bytes, len), len);
}

static void
on_left_move(void *arg, const struct script_move *move)
{
    struct caller *caller = arg;

    moved++;
    refused += move->status != NDIS_STATUS_SUCCESS;
    caller->down = move->down && move->status == NDIS_STATUS_SUCCESS;
}

static const struct script_app left_app = {.on_data = on_left_data, .on_move = on_left_move};
static const struct script_app right_app = {.on_data = on_right_data};

static void
open_caller(unsigned number)
{
    struct caller *caller = &callers[number];
    struct script_options left = {.local_port = (uint16_t)(1024 + number),
                                  .peer_port = 7,
                                  .ipv6 = number % 2,
                                  .snd_seq = number * 977u,
                                  .rcv_seq = number * 1013u,
                                  .local = {10, 0, 0, 1},
                                  .peer = {10, 0, 0, 2},
                                  .local_mac = {2, 0, 0, 0, 0, 1},
                                  .peer_mac = {2, 0, 0, 0, 0, 2}};
    struct script_options right = left;

    right.local_port = left.peer_port;
    right.peer_port = left.local_port;
    right.snd_seq = left.rcv_seq;
    right.rcv_seq = left.snd_seq;
    memcpy(right.local, left.peer, sizeof right.local);
    memcpy(right.peer, left.local, sizeof right.peer);
    memcpy(right.local_mac, left.peer_mac, 6);
    memcpy(right.peer_mac, left.local_mac, 6);
    caller->number = number;
    caller->ends[LEFT] = script_conn_create(stage.hosts[LEFT], &left, &left_app, caller);
    caller->ends[RIGHT] = script_conn_create(stage.hosts[RIGHT], &right, &right_app, caller);
    assert_non_null(caller->ends[LEFT]);
    assert_non_null(caller->ends[RIGHT]);
}

static bool
all_moved(void *arg)
{
    return moved == COUNT;
}

static bool
all_finished(void *arg)
{
    return finished == COUNT;
}

static void
move_all(int (*move)(struct script_conn *conn))
{
    moved = refused = 0;
    for (unsigned i = 0; i < COUNT; i++)
        assert_int_equal(move(callers[i].ends[LEFT]), 0);
    assert_true(stage_run(&stage, all_moved, NULL, 60 * SECOND_US));
    assert_int_equal(refused, 0);
}

static void
echo(unsigned round)
{
    finished = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        callers[i].round = round;
        ask(&callers[i]);
    }
    assert_true(stage_run(&stage, all_finished, NULL, 60 * SECOND_US));
    assert_int_equal(wrong, 0);
}

static void
ten_thousand(void **state)
{
    static const struct house_option target[] = {
        {"ConnectionCapacity", "16384"}, {"ReceiveBudget", "100000000"}, {NULL, NULL}};

    stage_open(&stage, &(struct stage_options){.target = target});
    callers = calloc(COUNT, sizeof *callers);
    assert_non_null(callers);
    for (unsigned i = 0; i < COUNT; i++)
        open_caller(i);
    move_all(script_offload);
    for (unsigned i = 0; i < COUNT; i++)
        assert_true(callers[i].down);
    for (unsigned round = 0; round < ROUNDS; round++)
        echo(round);
    move_all(script_upload);
    echo(ROUNDS); /* at home again */
    for (unsigned i = 0; i < COUNT; i++) {
        struct script_figures figures;
        script_read_figures(callers[i].ends[LEFT], &figures);
        assert_int_equal(figures.target_in, ROUNDS * BYTES);
        assert_int_equal(figures.target_out, ROUNDS * BYTES);
        script_conn_destroy(callers[i].ends[LEFT]);
        script_conn_destroy(callers[i].ends[RIGHT]);
    }
    free(callers);
    stage_close(&stage);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ten_thousand)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
