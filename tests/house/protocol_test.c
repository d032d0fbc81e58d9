/*
 * The examples as what they are: drivers from outside the tree, built against the installed headers
 * and loaded from files, alone and together. EXAMPLES names the folder of the built objects;
 * HOUSE_TARGET and HOUSE_FLOOR, where set, put two of them under the protocol (see stage.h).
 */
#include "stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_US 1000000ull

/* As examples/minimal-protocol/connection.c has it. */
#define SEND_NEXT 1000000u
#define RECEIVE_NEXT 2000000u
#define TOTAL 262144u

static const char *
example(const char *name)
{
    static char path[512];
    const char *folder = getenv("EXAMPLES");

    if (!folder)
        fail_msg("EXAMPLES is not set; run this with meson test");
    snprintf(path, sizeof(path), "%s/%s.so", folder, name);
    return path;
}

/* ---- what crosses the topmost landing ---- */

struct seen {
    unsigned counts[CROSSING_COUNT];
    unsigned failed; /* data that completed with anything but success */
    NDIS_STATUS initiated, terminated;
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    ULONG parameters; /* status of the set */
};

static const NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *
tcp_node(const struct crossing *crossing)
{
    const NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block = crossing->blocks;

    while (block->DependentBlockList)
        block = block->DependentBlockList;
    return block;
}

static void
on_crossing(void *arg, struct crossing *crossing)
{
    struct seen *seen = arg;

    if (crossing->op == CROSSING_OID && crossing->after && !strcmp(crossing->from, "left"))
        seen->parameters = (ULONG)crossing->status;
    if (crossing->after || (strcmp(crossing->to, "left") && strcmp(crossing->from, "left")))
        return;
    seen->counts[crossing->op]++;
    if (crossing->op == CROSSING_TCP_SEND_COMPLETE || crossing->op == CROSSING_TCP_RECEIVE_COMPLETE)
        seen->failed += crossing->status != NDIS_STATUS_SUCCESS;
    if (crossing->op == CROSSING_INITIATE_COMPLETE)
        seen->initiated = tcp_node(crossing)->Status;
    if (crossing->op == CROSSING_TERMINATE_COMPLETE) {
        const NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block = tcp_node(crossing);

        seen->terminated = block->Status;
        seen->delegated = *(const TCP_OFFLOAD_STATE_DELEGATED *)NDIS_OFFLOAD_STATE_FIRST(block);
    }
}

/* ---- the echo server at the other end ---- */

struct echo {
    struct stage stage;
    struct observer observer;
    struct seen seen;
    struct script_conn *conn;
    uint64_t bytes;
    bool deaf, spoil, fin, ended;
    enum script_end end;
};

static void
on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct echo *echo = arg;
    uint8_t changed = (uint8_t)(bytes[0] ^ 1);
    bool spoil = echo->spoil && echo->bytes < TOTAL / 2 && echo->bytes + len >= TOTAL / 2;

    echo->bytes += len;
    if (echo->deaf)
        return;
    if (spoil)
        assert_int_equal(script_write(echo->conn, &changed, 1), 1);
    assert_int_equal(script_write(echo->conn, bytes + spoil, len - spoil), len - spoil);
}

static void
on_fin(void *arg)
{
    struct echo *echo = arg;

    echo->fin = true;
    script_close(echo->conn);
}

static void
on_end(void *arg, enum script_end end)
{
    struct echo *echo = arg;

    echo->ended = true;
    echo->end = end;
}

static const struct script_app app = {.on_data = on_data, .on_fin = on_fin, .on_end = on_end};

static void
open_echo(struct echo *echo, unsigned floors, const struct wire_mem_impair *impair)
{
    struct stage_options options = {.passthru = floors,
                                    .observer = &echo->observer,
                                    .left_file = example("minimal-protocol"),
                                    .impaired = impair != NULL};
    struct script_options server = {
        .local = {10, 0, 0, 2},
        .peer = {10, 0, 0, 1},
        .local_port = 7,
        .peer_port = 40000,
        .snd_seq = RECEIVE_NEXT,
        .rcv_seq = SEND_NEXT,
        .no_timestamps = true,
        .no_sack = true,
        .no_scaling = true,
        .receive_buffer = 65535,
        .peer_window = 65535,
    };

    echo->observer = (struct observer){.on_crossing = on_crossing, .arg = &echo->seen};
    if (impair)
        options.impair[0] = options.impair[1] = *impair;
    stage_open(&echo->stage, &options);
    memcpy(server.local_mac, wire_mac(echo->stage.ends[1]), 6);
    memcpy(server.peer_mac, wire_mac(echo->stage.ends[0]), 6);
    echo->conn = script_conn_create(echo->stage.hosts[RIGHT], &server, &app, echo);
    assert_non_null(echo->conn);
}

static void
close_echo(struct echo *echo)
{
    script_conn_destroy(echo->conn);
    stage_close(&echo->stage);
}

static bool
came_home(void *arg)
{
    const struct echo *echo = arg;

    return echo->seen.counts[CROSSING_TERMINATE_COMPLETE] != 0;
}

static bool
over(void *arg)
{
    const struct echo *echo = arg;

    return echo->ended && came_home(arg);
}

static bool
half_way(void *arg)
{
    const struct echo *echo = arg;

    return echo->bytes >= TOTAL / 2;
}

/* ---- tests ---- */

static const struct wire_mem_impair slow = {.delay_us = 1000, .bits_per_second = 50000000};

/* Every byte went and came, in order; both ends closed; what came home says so. */
static void
check_exchange(const struct echo *echo)
{
    const struct seen *seen = &echo->seen;

    assert_int_equal(seen->parameters, NDIS_STATUS_SUCCESS);
    assert_int_equal(seen->initiated, NDIS_STATUS_SUCCESS);
    assert_int_equal(seen->terminated, NDIS_STATUS_SUCCESS);
    assert_int_equal(echo->bytes, TOTAL);
    assert_true(echo->fin);
    assert_int_equal(echo->end, SCRIPT_CLOSED);
    assert_int_equal(seen->failed, 0);
    assert_int_equal(seen->delegated.SndUna, SEND_NEXT + TOTAL + 1);
    assert_int_equal(seen->delegated.RcvNxt, RECEIVE_NEXT + TOTAL + 1);
    assert_null(seen->delegated.BufferedData);
    assert_true(seen->counts[CROSSING_TCP_RECEIVE_COMPLETE] > 0);
    assert_true(seen->counts[CROSSING_TCP_RECEIVE_INDICATE] > 0);
    assert_true(seen->counts[CROSSING_TCP_RECEIVE_RETURN] > 0);
    assert_int_equal(seen->counts[CROSSING_TCP_DISCONNECT_COMPLETE], 1);
    assert_int_equal(seen->counts[CROSSING_INITIATE], 1);
    assert_int_equal(seen->counts[CROSSING_TERMINATE], 1);
}

static void
an_exchange(unsigned floors, const struct wire_mem_impair *impair)
{
    struct echo echo = {.bytes = 0};

    open_echo(&echo, floors, impair);
    assert_true(stage_run(&echo.stage, over, &echo, 60 * SECOND_US));
    check_exchange(&echo);
    close_echo(&echo);
}

static void
the_protocol_talks_to_an_echo_server(void **state)
{
    an_exchange(0, NULL);
    an_exchange(0, &slow);
}

static void
through_floors_in_between(void **state)
{
    an_exchange(1, &slow);
    an_exchange(2, NULL);
}

/* The house goes while half of it is on its way: everything comes home first. */
static void
the_house_goes_in_the_middle(void **state)
{
    struct echo echo = {.bytes = 0};

    open_echo(&echo, 1, &slow);
    assert_true(stage_run(&echo.stage, half_way, &echo, 60 * SECOND_US));
    assert_false(came_home(&echo));
    assert_int_equal(house_unload(echo.stage.house, "left"), 0);
    assert_true(came_home(&echo));
    assert_int_equal(echo.seen.terminated, NDIS_STATUS_SUCCESS);
    assert_int_equal(echo.seen.delegated.State, TcpConnectionEstablished);
    assert_in_range(echo.seen.delegated.SndUna - SEND_NEXT, 1, echo.bytes);
    assert_in_range(echo.seen.delegated.SndNxt, echo.seen.delegated.SndUna, SEND_NEXT + TOTAL);
    close_echo(&echo);
}

/* A wrong byte is noticed, and answered with a reset. */
static void
a_wrong_byte_ends_it(void **state)
{
    struct echo echo = {.spoil = true};

    open_echo(&echo, 0, &slow);
    assert_true(stage_run(&echo.stage, over, &echo, 60 * SECOND_US));
    assert_int_equal(echo.end, SCRIPT_RESET);
    assert_int_equal(echo.seen.delegated.State, TcpConnectionClosed);
    close_echo(&echo);
}

/* The peer resets half way: the event brings the connection home. */
static void
a_reset_by_the_peer_ends_it(void **state)
{
    struct echo echo = {.bytes = 0};

    open_echo(&echo, 1, &slow);
    assert_true(stage_run(&echo.stage, half_way, &echo, 60 * SECOND_US));
    script_abort(echo.conn);
    assert_true(stage_run(&echo.stage, came_home, &echo, 60 * SECOND_US));
    assert_true(echo.seen.counts[CROSSING_TCP_EVENT] > 0);
    assert_int_equal(echo.seen.delegated.State, TcpConnectionClosed);
    close_echo(&echo);
}

/* A target that cannot keep the window says so; the neighbor and the path, which it took, are taken
 * back. */
static void
a_refusal_is_tidied_up(void **state)
{
    static const struct house_option small[] = {{"MaxReceiveWindow", "1000"}, {NULL, NULL}};
    struct stage stage;
    struct seen seen = {.terminated = -1};
    struct observer observer = {.on_crossing = on_crossing, .arg = &seen};
    struct stage_options options = {.passthru = 1,
                                    .observer = &observer,
                                    .target = small,
                                    .left_file = example("minimal-protocol")};

    stage_open(&stage, &options);
    assert_int_equal(seen.initiated, NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW);
    assert_int_equal(seen.counts[CROSSING_TERMINATE_COMPLETE], 1);
    stage_close(&stage); /* nothing is left below */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_protocol_talks_to_an_echo_server),
        cmocka_unit_test(through_floors_in_between),
        cmocka_unit_test(the_house_goes_in_the_middle),
        cmocka_unit_test(a_wrong_byte_ends_it),
        cmocka_unit_test(a_reset_by_the_peer_ends_it),
        cmocka_unit_test(a_refusal_is_tidied_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
