/* Tokens, words and endpoints. */
#include "chimney/hoststack.h"
#include "host/linux/stack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void
tokens_are_stable(void **state)
{
    assert_string_equal(hoststack_reason_token(HOSTSTACK_NONE), "none");
    assert_string_equal(hoststack_reason_token(HOSTSTACK_MICROSECOND_TIMESTAMPS),
                        "microsecond-timestamps");
    assert_string_equal(hoststack_reason_token(HOSTSTACK_MISSED_BEAT), "missed-beat");
    assert_string_equal(hoststack_reason_token(HOSTSTACK_INTERNAL), "internal");
    assert_string_equal(hoststack_reason_token(HOSTSTACK_REASON_COUNT), "unknown");
}

static void
every_reason_has_words_of_its_own(void **state)
{
    for (unsigned a = 0; a < HOSTSTACK_REASON_COUNT; a++) {
        assert_true(strlen(hoststack_reason_words(a)) > 3);
        for (unsigned b = 0; b < a; b++)
            assert_string_not_equal(hoststack_reason_token(a), hoststack_reason_token(b));
    }
}

static void
endpoints_are_read(void **state)
{
    struct hoststack_endpoint endpoint;
    uint8_t six[16];

    assert_int_equal(hoststack_parse_endpoint("10.0.0.1:80", &endpoint), 0);
    assert_false(endpoint.any_address || endpoint.any_port);
    assert_int_equal(endpoint.family, AF_INET);
    assert_int_equal(endpoint.port, 80);
    assert_memory_equal(endpoint.address, "\x0a\0\0\1", 4);

    assert_int_equal(hoststack_parse_endpoint("[fe80::1]:65535", &endpoint), 0);
    inet_pton(AF_INET6, "fe80::1", six);
    assert_int_equal(endpoint.family, AF_INET6);
    assert_int_equal(endpoint.port, 65535);
    assert_memory_equal(endpoint.address, six, 16);

    assert_int_equal(hoststack_parse_endpoint(":443", &endpoint), 0);
    assert_true(endpoint.any_address);
    assert_int_equal(endpoint.port, 443);

    assert_int_equal(hoststack_parse_endpoint("fe80::1", &endpoint), 0);
    assert_true(endpoint.any_port && endpoint.family == AF_INET6);
    assert_int_equal(hoststack_parse_endpoint("10.0.0.1", &endpoint), 0);
    assert_true(endpoint.any_port && endpoint.family == AF_INET);
    assert_int_equal(hoststack_parse_endpoint("*:80", &endpoint), 0);
    assert_true(endpoint.any_address && endpoint.port == 80);
}

static void
nonsense_is_refused_and_changes_nothing(void **state)
{
    static const char *const bad[] = {
        "",
        ":",
        ":0",
        ":65536",
        ":80x",
        "nonsense",
        "10.0.0.1:",
        "10.0.0.1:-1",
        "[fe80::1",
        "[fe80::1]x",
        "10.0.0.1.2:5",
        "300.0.0.1:5",
        "[::1]:",
        "1.2.3.4:5:6",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct hoststack_endpoint endpoint, before;

    memset(&endpoint, 0x5a, sizeof endpoint);
    before = endpoint;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(hoststack_parse_endpoint(bad[i], &endpoint), -EINVAL);
        assert_memory_equal(&endpoint, &before, sizeof endpoint);
    }
}

static void
states_have_names(void **state)
{
    assert_string_equal(hoststack_state_name(1), "ESTABLISHED");
    assert_string_equal(hoststack_state_name(10), "LISTEN");
    assert_string_equal(hoststack_state_name(99), "UNKNOWN");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_stable),
        cmocka_unit_test(every_reason_has_words_of_its_own),
        cmocka_unit_test(endpoints_are_read),
        cmocka_unit_test(nonsense_is_refused_and_changes_nothing),
        cmocka_unit_test(states_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
