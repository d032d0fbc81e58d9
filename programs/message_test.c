/* Requests are read strictly, answers say what the structures say. */
#include "message.h"

#include "chimney/house.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static int
read_request(const char *line, struct message_request *out, char why[160])
{
    return message_read_request(line, strlen(line), out, why, 160);
}

static void
selectors_are_read(void **state)
{
    struct message_request request;
    char why[160];

    assert_int_equal(read_request("{\"op\":\"offload\",\"selector\":{\"pid\":7,\"local\":\":443\","
                                  "\"peer\":\"[fd00::2]:9\"}}",
                                  &request, why),
                     0);
    assert_int_equal(request.op, MESSAGE_OFFLOAD);
    assert_int_equal(request.selector.pid, 7);
    assert_true(request.selector.local.any_address);
    assert_int_equal(request.selector.local.port, 443);
    assert_int_equal(request.selector.peer.family, AF_INET6);
    assert_int_equal(request.selector.peer.port, 9);
    assert_int_equal(read_request("{\"op\":\"list\"}", &request, why), 0);
    assert_int_equal(request.selector.pid, 0);
    assert_true(request.selector.peer.any_address && request.selector.peer.any_port);
    assert_int_equal(read_request("{\"op\":\"upload\",\"selector\":{\"all\":true}}", &request, why),
                     0);
}

static void
members_are_read(void **state)
{
    struct message_request request;
    char why[160];

    assert_int_equal(read_request("{\"op\":\"fail\",\"member\":\"eth0\"}", &request, why), 0);
    assert_int_equal(request.op, MESSAGE_FAIL);
    assert_string_equal(request.member, "eth0");
    assert_int_equal(read_request("{\"op\":\"team\"}", &request, why), 0);
    assert_int_equal(request.op, MESSAGE_TEAM);
    assert_string_equal(request.member, "");
}

static void
bad_requests_are_refused_in_words(void **state)
{
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"", "not JSON"},
        {"{", "not JSON"},
        {"[]", "object"},
        {"{\"op\":\"list\"} x", "not JSON"},
        {"{\"op\":\"list\",\"op\":\"show\"}", "not JSON"},
        {"{}", "op must be"},
        {"{\"op\":5}", "op must be"},
        {"{\"op\":\"lst\"}", "op must be"},
        {"{\"op\":\"list\",\"selecter\":{}}", "selecter"},
        {"{\"op\":\"list\",\"selector\":[]}", "selector must"},
        {"{\"op\":\"list\",\"selector\":{\"peeer\":\":1\"}}", "peeer"},
        {"{\"op\":\"list\",\"selector\":{\"pid\":-1}}", "pid"},
        {"{\"op\":\"list\",\"selector\":{\"pid\":4294967297}}", "pid"},
        {"{\"op\":\"list\",\"selector\":{\"pid\":\"1\"}}", "pid"},
        {"{\"op\":\"list\",\"selector\":{\"peer\":\"1.2.3\"}}", "peer '1.2.3' is none of"},
        {"{\"op\":\"list\",\"selector\":{\"local\":\":0\"}}", "local ':0' is none of"},
        {"{\"op\":\"list\",\"selector\":{\"local\":80}}", "local must be a string"},
        {"{\"op\":\"list\",\"selector\":{\"all\":1}}", "all"},
        {"{\"op\":\"fail\"}", "member must name"},
        {"{\"op\":\"restore\",\"member\":\"\"}", "member must name"},
        {"{\"op\":\"fail\",\"member\":7}", "member must name"},
        {"{\"op\":\"team\",\"member\":\"eth0\"}", "about no member"},
        {"{\"op\":\"offload\"}", "say all"},
        {"{\"op\":\"upload\",\"selector\":{}}", "say all"},
        {"{\"op\":\"offload\",\"selector\":{\"peer\":\"*:*\"}}", "say all"},
        {"{\"op\":\"offload\",\"selector\":{\"all\":false}}", "say all"},
    };
    struct message_request request;
    char why[160];

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(read_request(cases[i].line, &request, why), -EINVAL);
        if (strstr(why, cases[i].words) == NULL)
            fail_msg("'%s': '%s' does not say '%s'", cases[i].line, why, cases[i].words);
    }
    assert_int_equal(message_read_request("{\"op\":\"list\"}\0x", 15, &request, why, sizeof(why)),
                     -EINVAL);
}

static void
endpoints_survive_both_ways(void **state)
{
    static const char *const texts[] = {"10.0.0.1:80", "[fd00::1]:443", "*:22", "10.0.0.1:*",
                                        "[fd00::1]:*"};
    struct hoststack_endpoint endpoint;
    char text[MESSAGE_ENDPOINT];

    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(hoststack_parse_endpoint(texts[i], &endpoint), 0);
        message_endpoint(&endpoint, text);
        assert_string_equal(text, texts[i]);
    }
}

static void
moves_say_what_happened(void **state)
{
    struct hoststack_move move = {
        .down = true,
        .outcome = HOSTSTACK_REFUSED,
        .reason = HOSTSTACK_ECN,
        .ndis_status = 0xc0000001,
        .held_us = UINT64_C(5000000000),
        .send_queue_bytes = 3000000000u,
        .conn = {.command = "caf\xe9\x1b[31m", .owner = "kernel"},
    };
    json_t *object = message_move(&move), *conn;

    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "direction")), "down");
    assert_string_equal(json_string_value(json_object_get(object, "outcome")), "refused");
    assert_string_equal(json_string_value(json_object_get(object, "reason")), "ecn");
    assert_non_null(strstr(json_string_value(json_object_get(object, "words")), "ECN"));
    assert_string_equal(json_string_value(json_object_get(object, "ndis_status")), "0xc0000001");
    assert_true(json_integer_value(json_object_get(object, "held_us")) == 5000000000);
    assert_true(json_integer_value(json_object_get(object, "send_queue_bytes")) == 3000000000);
    conn = json_object_get(object, "conn");
    /* Not UTF-8: a name that can be printed is still there. */
    assert_memory_equal(json_string_value(json_object_get(conn, "command")), "caf?", 4);
    /* Nobody can tell it for one connection. */
    assert_null(json_object_get(conn, "wire_retransmits"));
    json_decref(object);
}

static void
the_status_says_what_the_wires_carried(void **state)
{
    struct hoststack_totals totals = {
        .wire_retransmits = 12, .wire_segments_out = UINT64_C(5000000000), .leaked = 3};
    json_t *object = message_status(&totals, 5);

    assert_non_null(object);
    assert_true(json_integer_value(json_object_get(object, "wire_retransmits")) == 12);
    assert_true(json_integer_value(json_object_get(object, "wire_segments_out")) == 5000000000);
    assert_true(json_integer_value(json_object_get(object, "leaked")) == 3);
    json_decref(object);
}

static void
a_floor_on_a_wire_has_nothing_below(void **state)
{
    struct house_floor floor = {.adapter = "eth0/soft", .driver = "soft", .state = "Running"};
    json_t *object = message_floor(&floor, "gone");

    assert_non_null(object);
    assert_true(json_is_null(json_object_get(object, "below")));
    assert_string_equal(json_string_value(json_object_get(object, "link")), "gone");
    assert_true(json_is_false(json_object_get(object, "chimney")));
    assert_true(json_is_null(json_object_get(object, "congestion")));
    json_decref(object);
    floor.below = "eth0/below";
    floor.congestion = "CUBIC";
    object = message_floor(&floor, NULL);
    assert_string_equal(json_string_value(json_object_get(object, "congestion")), "CUBIC");
    assert_true(json_is_null(json_object_get(object, "link")));
    json_decref(object);
}

static void
codes_come_from_outcomes(void **state)
{
    static const struct {
        struct message_sum sum;
        enum message_code code;
    } cases[] = {
        {{0, 0, 0, 0, 0}, MESSAGE_REFUSED},     {{2, 0, 0, 0, 0}, MESSAGE_DONE},
        {{0, 2, 0, 0, 0}, MESSAGE_REFUSED},     {{1, 1, 0, 0, 0}, MESSAGE_PARTLY},
        {{9, 0, 1, 0, 0}, MESSAGE_LOST},        {{0, 1, 1, 1, 1}, MESSAGE_LOST},
        {{0, 0, 0, 3, 0}, MESSAGE_UNSUPPORTED}, {{0, 0, 0, 0, 1}, MESSAGE_DENIED},
        {{0, 1, 0, 1, 0}, MESSAGE_REFUSED},     {{1, 0, 0, 0, 1}, MESSAGE_PARTLY},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(message_code_of(&cases[i].sum), cases[i].code);
    assert_int_equal(message_code_of_errno(-EPERM), MESSAGE_DENIED);
    assert_int_equal(message_code_of_errno(-EOPNOTSUPP), MESSAGE_UNSUPPORTED);
    assert_int_equal(message_code_of_errno(-ENOMEM), MESSAGE_REFUSED);
}

/* The table of reasons and the enumeration are two lists: they must stay one. */
static void
every_reason_has_its_token(void **state)
{
    assert_string_equal(hoststack_reason_token(HOSTSTACK_NONE), "none");
    assert_string_equal(hoststack_reason_token(HOSTSTACK_TCP_AO), "tcp-ao");
    assert_string_equal(hoststack_reason_token(HOSTSTACK_NO_PRIVILEGE), "no-privilege");
    assert_string_equal(hoststack_reason_token(HOSTSTACK_INTERNAL), "internal");
    for (int i = 0; i < HOSTSTACK_REASON_COUNT; i++) {
        const char *token = hoststack_reason_token((enum hoststack_reason)i);

        assert_int_equal(strspn(token, "abcdefghijklmnopqrstuvwxyz0123456789-"), strlen(token));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selectors_are_read),
        cmocka_unit_test(members_are_read),
        cmocka_unit_test(bad_requests_are_refused_in_words),
        cmocka_unit_test(endpoints_survive_both_ways),
        cmocka_unit_test(moves_say_what_happened),
        cmocka_unit_test(the_status_says_what_the_wires_carried),
        cmocka_unit_test(a_floor_on_a_wire_has_nothing_below),
        cmocka_unit_test(codes_come_from_outcomes),
        cmocka_unit_test(every_reason_has_its_token),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
