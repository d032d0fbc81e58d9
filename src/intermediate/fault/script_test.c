/* The language: what is understood, what is not and where, and when rules have their turn. */
#include "intermediate/fault/script.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct fault_script script;

/* From a copy without a byte to spare: reading too far is found out by a sanitizer. */
static bool
read_text(const char *text, size_t length, struct fault_error *error)
{
    char *exact = calloc(1, length ? length : 1);
    bool good;

    memcpy(exact, text, length);
    good = fault_script_read(exact, length, &script, error);
    free(exact);
    return good;
}

static const struct fault_rule *
one_rule(const char *text)
{
    struct fault_error error = {.line = 0};

    if (!read_text(text, strlen(text), &error))
        print_error("%s: %u:%u: %s\n", text, error.line, error.column, error.text);
    assert_int_equal(error.line, 0);
    assert_int_equal(script.count, 1);
    return &script.rules[0];
}

static void
good_rules(void **state)
{
    static const struct {
        const char *text;
        struct fault_rule rule;
    } cases[] = {
        {"initiate 3 fail OFFLOAD_TCP_ENTRIES",
         {.point = FAULT_ON_INITIATE,
          .action = FAULT_FAIL,
          .when = FAULT_NTH,
          .number = 3,
          .status = NDIS_STATUS_OFFLOAD_TCP_ENTRIES}},
        {"initiate fail",
         {.point = FAULT_ON_INITIATE, .action = FAULT_FAIL, .status = NDIS_STATUS_FAILURE}},
        {"initiate refuse tcp 20%",
         {.point = FAULT_ON_TCP,
          .action = FAULT_FAIL,
          .when = FAULT_CHANCE,
          .number = 200000,
          .status = NDIS_STATUS_OFFLOAD_TCP_ENTRIES}},
        {"\tinitiate  refuse path every 4 RESOURCES\r",
         {.point = FAULT_ON_PATH,
          .action = FAULT_FAIL,
          .when = FAULT_EVERY,
          .number = 4,
          .status = NDIS_STATUS_RESOURCES}},
        {"query every 5 fail",
         {.point = FAULT_ON_QUERY,
          .action = FAULT_FAIL,
          .when = FAULT_EVERY,
          .number = 5,
          .status = NDIS_STATUS_FAILURE}},
        {"complete update delay 5ms",
         {.point = FAULT_ON_UPDATED, .action = FAULT_DELAY, .delay_ms = 5}},
        {"complete initiate reorder # a comment; with a semicolon",
         {.point = FAULT_ON_INITIATED, .action = FAULT_REORDER}},
        {"complete send inline 0.0001%",
         {.point = FAULT_ON_SENT, .action = FAULT_INLINE, .when = FAULT_CHANCE, .number = 1}},
        {"send 7 no-memory",
         {.point = FAULT_ON_SEND, .action = FAULT_NO_MEMORY, .when = FAULT_NTH, .number = 7}},
        {"request-upload HighDropRate after 100 segments",
         {.point = FAULT_ON_SEGMENTS,
          .action = FAULT_UPLOAD,
          .number = 100,
          .reason = HighDropRate}},
        {"request-upload HardwareFailure at 3s",
         {.point = FAULT_ON_TIME,
          .action = FAULT_UPLOAD,
          .number = 3000,
          .reason = HardwareFailure}},
        {"request-upload SmallIO on send 10",
         {.point = FAULT_ON_SEND_UPLOAD,
          .action = FAULT_UPLOAD,
          .when = FAULT_NTH,
          .number = 10,
          .reason = SmallIO}},
        {"frames out drop 1.25%",
         {.point = FAULT_ON_FRAME_OUT,
          .action = FAULT_DROP,
          .when = FAULT_CHANCE,
          .number = 12500}},
        {"frames in delay 1s 100%",
         {.point = FAULT_ON_FRAME_IN,
          .action = FAULT_DELAY,
          .when = FAULT_CHANCE,
          .number = 1000000,
          .delay_ms = 1000}},
        {"frames in corrupt", {.point = FAULT_ON_FRAME_IN, .action = FAULT_CORRUPT}},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_memory_equal(one_rule(cases[i].text), &cases[i].rule, sizeof(struct fault_rule));
}

static void
bad_rules(void **state)
{
    static const struct {
        const char *text;
        ULONG line, column;
        const char *says;
    } cases[] = {
        {"shout", 1, 1,
         "expected seed, initiate, query, update, invalidate, complete, send, request-upload or "
         "frames, found 'shout'"},
        {"seed 1\n\n  seed x", 3, 8, "expected a number, found 'x'"},
        {"seed 1; initiate 0 fail", 1, 18, "expected a number, from 1, or a percentage, found '0'"},
        {"initiate 3 fial", 1, 12, "expected fail, found 'fial'"},
        {"initiate fail OFFLOAD_VLAN_MISMATCH", 1, 15,
         "expected FAILURE, RESOURCES, OFFLOAD_TCP_ENTRIES or another status of a connection, "
         "found 'OFFLOAD_VLAN_MISMATCH'"},
        {"initiate refuse neighbor OFFLOAD_TCP_ENTRIES", 1, 26,
         "expected FAILURE, RESOURCES or OFFLOAD_NEIGHBOR_ENTRIES, found 'OFFLOAD_TCP_ENTRIES'"},
        {"initiate refuse", 1, 16, "expected neighbor, path or tcp, found the end of the line"},
        {"query fail RESOURCES", 1, 12, "expected the end of the rule, found 'RESOURCES'"},
        {"terminate fail", 1, 1,
         "expected seed, initiate, query, update, invalidate, complete, send, request-upload or "
         "frames, found 'terminate'"},
        {"complete receive delay 5ms", 1, 10,
         "expected initiate, terminate, update, query, invalidate or send, found 'receive'"},
        {"complete query inline", 1, 16, "expected delay or reorder, found 'inline'"},
        {"complete query delay 5", 1, 22, "expected a time up to 1s, as in 5ms, found '5'"},
        {"complete query delay 2s", 1, 22, "expected a time up to 1s, as in 5ms, found '2s'"},
        {"frames out drop 101%", 1, 17,
         "expected a percentage up to 100%, with at most four decimals, found '101%'"},
        {"frames out drop 100.5%", 1, 17,
         "expected a percentage up to 100%, with at most four decimals, found '100.5%'"},
        {"frames out drop 0.12345%", 1, 17,
         "expected a percentage up to 100%, with at most four decimals, found '0.12345%'"},
        {"frames out drop 1.%", 1, 17,
         "expected a percentage up to 100%, with at most four decimals, found '1.%'"},
        {"frames up drop", 1, 8, "expected in or out, found 'up'"},
        {"send every no-memory", 1, 12, "expected a number, from 1, found 'no-memory'"},
        {"send 5000000000 no-memory", 1, 6,
         "expected a number, from 1, or a percentage, found '5000000000'"},
        {"request-upload Boredom at 3s", 1, 16,
         "expected an upload reason, as in HighDropRate, found 'Boredom'"},
        {"request-upload SmallIO on send", 1, 31,
         "expected a number, every or a percentage, found the end of the line"},
        {"request-upload SmallIO at 2h", 1, 27,
         "expected a time up to 3600s, as in 3s, found '2h'"},
        {"send\x01\xff 7", 1, 1,
         "expected seed, initiate, query, update, invalidate, complete, send, request-upload or "
         "frames, found 'send\?\?'"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fault_error error = {.line = 0};

        assert_false(read_text(cases[i].text, strlen(cases[i].text), &error));
        assert_string_equal(error.text, cases[i].says);
        assert_int_equal(error.line, cases[i].line);
        assert_int_equal(error.column, cases[i].column);
    }
}

static void
texts(void **state)
{
    static const char text[] = "# what is to go wrong\n\nseed 42 # always the same\n"
                               "send 1 no-memory;; send 2 no-memory\r\n;\n";
    struct fault_error error;
    char many[FAULT_RULES_MAX * 16 + 16] = "";

    assert_true(read_text("", 0, &error));
    assert_int_equal(script.seed, 1);
    assert_int_equal(script.count, 0);
    assert_true(read_text(text, strlen(text), &error));
    assert_int_equal(script.seed, 42);
    assert_int_equal(script.count, 2);
    for (int i = 0; i < FAULT_RULES_MAX; i++)
        strcat(many, "query 1 fail;");
    assert_true(read_text(many, strlen(many), &error));
    strcat(many, "query 1 fail");
    assert_false(read_text(many, strlen(many), &error));
    assert_string_equal(error.text, "expected no more than 64 rules, found 'query'");
}

/* Every beginning of a good text, and every text with a byte changed: none is read beyond its end,
 * and what is refused says where. */
static void
any_bytes(void **state)
{
    static const char text[] = "seed 42;initiate refuse tcp 20.5% RESOURCES;frames in delay 5ms "
                               "every 3\nrequest-upload SmallIO on send 10 # c";
    struct fault_error error;

    for (size_t length = 0; length < sizeof(text); length++) {
        memset(&error, 0, sizeof(error));
        assert_true(read_text(text, length, &error) ||
                    (error.line && error.column && error.text[0]));
    }
    for (size_t i = 0; i < 256 * (sizeof(text) - 1); i++) {
        char other[sizeof(text)];

        memcpy(other, text, sizeof(text));
        other[i / 256] = (char)(i % 256);
        memset(&error, 0, sizeof(error));
        assert_true(read_text(other, sizeof(other) - 1, &error) ||
                    (error.line && error.column && error.text[0]));
    }
}

static unsigned
turns(const char *text, enum fault_point point, unsigned times)
{
    struct fault_error error;
    unsigned count = 0;

    assert_true(read_text(text, strlen(text), &error));
    fault_script_start(&script);
    while (times--)
        count += fault_script_meet(&script, point) != NULL;
    return count;
}

static void
rules_have_their_turn(void **state)
{
    unsigned chance = turns("frames out drop 10%", FAULT_ON_FRAME_OUT, 100000);

    assert_int_equal(turns("send 7 no-memory", FAULT_ON_SEND, 6), 0);
    assert_int_equal(turns("send 7 no-memory", FAULT_ON_SEND, 1000), 1);
    assert_int_equal(turns("send every 7 no-memory", FAULT_ON_SEND, 700), 100);
    assert_int_equal(turns("send no-memory", FAULT_ON_SEND, 700), 700);
    assert_int_equal(turns("send no-memory", FAULT_ON_SENT, 700), 0);
    assert_int_equal(turns("frames out drop 0%", FAULT_ON_FRAME_OUT, 1000), 0);
    assert_int_equal(turns("frames out drop 100%", FAULT_ON_FRAME_OUT, 1000), 1000);
    assert_in_range(chance, 9500, 10500);
    /* Other rules draw from other numbers; another seed draws others. */
    assert_int_equal(turns("frames out drop 10%;frames in drop 50%", FAULT_ON_FRAME_OUT, 100000),
                     chance);
    assert_int_not_equal(turns("seed 2;frames out drop 10%", FAULT_ON_FRAME_OUT, 100000), chance);
    /* The first wins, the second has counted. */
    assert_true(read_text("send 1 no-memory;send 1 no-memory", 33, &(struct fault_error){0}));
    assert_ptr_equal(fault_script_meet(&script, FAULT_ON_SEND), &script.rules[0]);
    assert_null(fault_script_meet(&script, FAULT_ON_SEND));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_rules),
        cmocka_unit_test(bad_rules),
        cmocka_unit_test(texts),
        cmocka_unit_test(any_bytes),
        cmocka_unit_test(rules_have_their_turn),
    };

    return cmocka_run_group_tests_name("intermediate/fault-script", tests, NULL, NULL);
}
