/*
 * chimneyctl as a program against chimneyd as a program: what it prints and what it ends with.
 */
#include "harness.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void
shows_status_and_stack(void **state)
{
    struct daemon *daemon = *state;
    struct result result;
    json_t *object;

    CTL(daemon, &result, "status");
    assert_int_equal(result.code, 0);
    check_contains(result.out, "chimneyd " TCPCHIMNEY_VERSION);
    check_contains(result.out, "wire out 5000000000 segments, retransmits 12");
    CTL(daemon, &result, "-j", "status");
    object = json_loads(result.out, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(object, "pid")), daemon->pid);
    json_decref(object);
    CTL(daemon, &result, "stack", "show");
    assert_int_equal(result.code, 0);
    check_order(result.out, "lo/passthru2: driver passthru", "lo/passthru1: driver passthru");
    check_order(result.out,
                "lo/passthru1:", "lo/soft: driver soft state Running on its wire (link up)");
    CTL(daemon, &result, "-j", "stack", "show");
    object = json_loads(result.out, 0, NULL);
    assert_int_equal(json_array_size(object), 3);
    assert_true(json_is_null(json_object_get(json_array_get(object, 0), "link")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(object, 2), "link")),
                        "up");
    json_decref(object);
}

static void
shows_and_fails_members(void **state)
{
    struct daemon *daemon = *state;
    struct result result;
    json_t *object;

    CTL(daemon, &result, "team", "show");
    assert_int_equal(result.code, 0);
    check_order(
        result.out,
        "chim0/team1: member chim0/soft.eth0 link up active mode backup switches 0 connections 7",
        "chim0/team1: member chim0/soft.eth1 link up mode backup switches 0 connections 0");
    CTL(daemon, &result, "-j", "team", "show");
    object = json_loads(result.out, 0, NULL);
    assert_int_equal(json_array_size(object), 2);
    assert_true(json_is_true(json_object_get(json_array_get(object, 0), "active")));
    assert_true(json_is_false(json_object_get(json_array_get(object, 0), "gone")));
    json_decref(object);
    CTL(daemon, &result, "team", "fail", "eth0");
    assert_int_equal(result.code, 0);
    CTL(daemon, &result, "team", "fail", "eth1");
    assert_int_equal(result.code, 1);
    check_contains(result.err, "eth1: no other member could take over");
    CTL(daemon, &result, "team", "fail", "eth7");
    assert_int_equal(result.code, 1);
    check_contains(result.err, "eth7: no member is called so: chimneyctl team show");
    CTL(daemon, &result, "team", "restore", "eth1");
    assert_int_equal(result.code, 1);
    check_contains(result.err, "eth1: it is not failed");
    CTL(daemon, &result, "team", "fail");
    assert_int_equal(result.code, 2);
    check_contains(result.err, "no such command: team fail");
}

static void
lists_and_selects(void **state)
{
    struct daemon *daemon = *state;
    struct result result;
    json_t *list;

    CTL(daemon, &result, "conn", "list");
    assert_int_equal(result.code, 0);
    check_contains(result.out, "Peer Address:Port");
    check_contains(result.out, "[fd00::2]:40004");
    check_contains(result.out, "(\"nginx\",pid=100)");
    CTL(daemon, &result, "-j", "conn", "list", "--local", ":80", "--peer", "10.0.0.2");
    list = json_loads(result.out, 0, NULL);
    assert_int_equal(json_array_size(list), 2);
    json_decref(list);
    CTL(daemon, &result, "conn", "list", "--pid", "999");
    assert_int_equal(result.code, 0);
    CTL(daemon, &result, "conn", "show", "--pid", "999");
    assert_int_equal(result.code, 1);
    check_contains(result.err, "no TCP connection matches");
    CTL(daemon, &result, "conn", "list", "--peer", ":8");
    assert_int_equal(result.code, 7);
    check_contains(result.err, "the connections cannot be looked for: Permission denied");
    CTL(daemon, &result, "conn", "show", "--pid", "102");
    assert_int_equal(result.code, 0);
    check_contains(result.out, "owner kernel");
}

static void
exit_codes_follow_the_moves(void **state)
{
    struct daemon *daemon = *state;
    struct result result;

    CTL(daemon, &result, "conn", "offload", "--pid", "100");
    assert_int_equal(result.code, 0);
    check_contains(result.out, "10.0.0.1:80 10.0.0.2:40001 down: held 120 us");
    check_contains(result.out, "owner target");
    CTL(daemon, &result, "conn", "offload", "--peer", ":40001");
    assert_int_equal(result.code, 1);
    check_contains(result.out, "refused (already-offloaded): it is offloaded already");
    CTL(daemon, &result, "conn", "upload", "--all");
    assert_int_equal(result.code, 4);
    CTL(daemon, &result, "conn", "offload", "--pid", "101");
    assert_int_equal(result.code, 1);
    check_contains(result.out, "refused (ecn): ECN was negotiated");
    CTL(daemon, &result, "conn", "offload", "--local", "10.0.0.1:80");
    assert_int_equal(result.code, 4);
    CTL(daemon, &result, "conn", "offload", "--local", ":80");
    assert_int_equal(result.code, 5);
    check_contains(result.out, "lost (reset-by-peer)");
    CTL(daemon, &result, "conn", "offload", "--pid", "103");
    assert_int_equal(result.code, 6);
    CTL(daemon, &result, "conn", "offload", "--pid", "104");
    assert_int_equal(result.code, 7);
    CTL(daemon, &result, "conn", "offload", "--peer", ":1");
    assert_int_equal(result.code, 1);
    assert_string_equal(result.out,
                        "--peer :1 refused (no-such-connection): no TCP connection matches\n");
    CTL(daemon, &result, "conn", "upload", "--all", "--local", "10.0.0.1", "--pid", "999");
    check_contains(result.out, "--all --local 10.0.0.1 --pid 999 refused (no-such-connection)");
    CTL(daemon, &result, "-j", "conn", "offload", "--pid", "999", "--peer", ":1");
    assert_int_equal(result.code, 1);
    check_contains(result.out, "\"local\": \"*:*\"");
    check_contains(result.out, "\"peer\": \"*:1\"");
    check_contains(result.out, "\"pid\": 999");
    CTL(daemon, &result, "-j", "conn", "offload", "--pid", "101");
    assert_int_equal(result.code, 1);
    check_contains(result.out, "\"reason\": \"ecn\"");
}

static void
usage_errors_are_two(void **state)
{
    struct daemon *daemon = *state;
    struct result result;

    CTL(daemon, &result, "conn", "offload");
    assert_int_equal(result.code, 2);
    check_contains(result.err, "--all");
    CTL(daemon, &result, "conn", "list", "frobnicate");
    assert_int_equal(result.code, 2);
    check_contains(result.err, "no such command: conn list frobnicate");
    CTL(daemon, &result, "status", "--pid", "1");
    assert_int_equal(result.code, 2);
    CTL(daemon, &result, "conn", "offload", "--pid", "0");
    assert_int_equal(result.code, 2);
    CTL(daemon, &result, "conn", "offload", "--pid", "12x");
    assert_int_equal(result.code, 2);
    CTL(daemon, &result, "conn", "list", "--peer", "10.0.0.256:80");
    assert_int_equal(result.code, 2);
    check_contains(result.err, "peer '10.0.0.256:80' is none of");
    CTL(daemon, &result, "conn", "list", "--local", ":99999");
    assert_int_equal(result.code, 2);
    check_contains(result.err, "local ':99999' is none of");
    CTL(daemon, &result, "conn", "list", "--frobnicate");
    assert_int_equal(result.code, 2);
    check_contains(result.err, "no such option: --frobnicate");
    CTL(daemon, &result, "conn", "list", "--pid");
    assert_int_equal(result.code, 2);
    check_contains(result.err, "a value is missing after: --pid");
    CTL(daemon, &result, "--socket", "", "status");
    assert_int_equal(result.code, 2);
}

static void
no_daemon_is_three(void **state)
{
    struct daemon nobody = {.socket = "/nonexistent/socket"};
    struct result result;

    CTL(&nobody, &result, "status");
    assert_int_equal(result.code, 3);
    check_contains(result.err, "/nonexistent/socket");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        DAEMON_TEST(shows_status_and_stack), DAEMON_TEST(shows_and_fails_members),
        DAEMON_TEST(lists_and_selects),      DAEMON_TEST(exit_codes_follow_the_moves),
        DAEMON_TEST(usage_errors_are_two),   cmocka_unit_test(no_daemon_is_three),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
