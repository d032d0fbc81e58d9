/* Blocks byte by byte, as the specification draws them; and read back by somebody else. */
#include "intermediate/trace/pcapng.h"

#include "base/bytes.h"
#include "intermediate/trace/record.h"
#include "intermediate/trace/test_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint8_t room[8192];

static int
setup(void **state)
{
    memset(room, 0xee, sizeof(room));
    return 0;
}

static void
section(void **state)
{
    static const uint8_t expected[] = {
        0x0a, 0x0d, 0x0d, 0x0a, 0,    0,    0,    52,                   /* type, length */
        0x1a, 0x2b, 0x3c, 0x4d, 0,    1,    0,    0,                    /* byte order, 1.0 */
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,                 /* length not known */
        0,    1,    0,    2,    'h',  'i',  0,    0,                    /* comment */
        0,    4,    0,    6,    't',  'r',  'a',  'c',  'e', 'r', 0, 0, /* application */
        0,    0,    0,    0,    0,    0,    0,    52,                   /* end, length */
        0xee,
    };

    assert_int_equal(pcapng_section(NULL, "tracer", "hi"), 52);
    assert_int_equal(pcapng_section(room, "tracer", "hi"), 52);
    assert_memory_equal(room, expected, sizeof(expected));
}

static void
interface(void **state)
{
    static const uint8_t expected[] = {
        0, 0,   0, 1, 0,   0,   0,   48,       /* type, length */
        0, 147, 0, 0, 0,   0,   1,   0,        /* USER0, snap */
        0, 2,   0, 3, 'p', '/', '1', 0,        /* name */
        0, 3,   0, 1, 'd', 0,   0,   0,        /* description */
        0, 9,   0, 1, 9,   0,   0,   0,        /* nanoseconds */
        0, 0,   0, 0, 0,   0,   0,   48, 0xee, /* end, length */
    };
    struct pcapng_interface described = {PCAPNG_USER0, 256, "p/1", "d"};

    assert_int_equal(pcapng_interface(NULL, &described), 48);
    assert_int_equal(pcapng_interface(room, &described), 48);
    assert_memory_equal(room, expected, sizeof(expected));
}

static void
packet(void **state)
{
    static const uint8_t expected[] = {
        0,   0,   0,   6,   0,    0,    0,    72,                           /* type, length */
        0,   0,   0,   3,   0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, /* interface, time */
        0,   0,   0,   5,   0,    0,    5,    0xdc,                         /* kept, length */
        'A', 'B', 'C', 'D', 'E',  0,    0,    0,                            /* bytes */
        0,   1,   0,   4,   'w',  'o',  'r',  'd',                          /* comment */
        0,   2,   0,   4,   0,    0,    0,    2,                            /* out */
        0,   4,   0,   8,   0,    0,    0,    1,    0,    0,    0,    7,    /* lost */
        0,   0,   0,   0,   0,    0,    0,    72,   0xee,                   /* end, length */
    };
    struct pcapng_packet described = {.interface = 3,
                                      .time_ns = 0x1122334455667788,
                                      .kept = 5,
                                      .length = 1500,
                                      .way = PCAPNG_OUT,
                                      .lost = 0x100000007,
                                      .comment = "word"};
    uint8_t *bytes;

    assert_int_equal(pcapng_packet(NULL, &described, &bytes), 72);
    assert_null(bytes);
    assert_int_equal(pcapng_packet(room, &described, &bytes), 72);
    memcpy(bytes, "ABCDE", 5);
    assert_memory_equal(room, expected, sizeof(expected));
}

struct expectation {
    unsigned seen;
    size_t kept;
    const char *comment;
};

static void
compare(void *arg, const struct read_packet *packet)
{
    struct expectation *expected = arg;

    assert_int_equal(packet->interface, 1);
    assert_int_equal(packet->kept, expected->kept);
    assert_string_equal(packet->comment, expected->comment);
    for (size_t i = 0; i < packet->kept; i++)
        assert_int_equal(packet->bytes[i], 0x55);
    expected->seen++;
}

/* Every length that pads differently. */
static void
read_back(void **state)
{
    static const char *const comments[] = {"", "a", "ab", "abc", "abcd", "abcde"};
    struct pcapng_interface first = {PCAPNG_ETHERNET, 0, "frames of a wire", NULL};
    struct pcapng_interface second = {PCAPNG_USER0, 0, "calls", "of drivers"};

    for (unsigned i = 0; i < 36; i++) {
        struct expectation expected = {0, i / 6, comments[i % 6]};
        struct pcapng_packet described = {
            .interface = 1, .kept = i / 6, .length = 6, .comment = i % 6 ? comments[i % 6] : NULL};
        struct read_file file;
        uint8_t *bytes;
        size_t used = pcapng_section(room, "tests", NULL);

        used += pcapng_interface(room + used, &first);
        used += pcapng_interface(room + used, &second);
        used += pcapng_packet(room + used, &described, &bytes);
        memset(bytes, 0x55, described.kept);
        assert_int_equal(read_pcapng(room, used, &file, compare, &expected), used);
        assert_null(file.wrong);
        assert_int_equal(expected.seen, 1);
        assert_string_equal(file.application, "tests");
        assert_int_equal(file.interfaces, 2);
        assert_int_equal(file.interface[0].link, 1);
        assert_int_equal(file.interface[1].link, 147);
        assert_int_equal(file.interface[1].resolution, 9);
        assert_string_equal(file.interface[0].name, "frames of a wire");
        assert_string_equal(file.interface[1].description, "of drivers");
        /* A file that was cut: what is whole is read. */
        assert_int_equal(read_pcapng(room, used - 1, &file, NULL, NULL) < used, true);
        assert_null(file.wrong);
        assert_int_equal(file.packets, 0);
    }
}

/* ---- the payload ---- */

static const struct trace_node nodes[] = {
    {.object = {7, TRACE_PATH, 0, 0}, .role = TRACE_EXISTING, .depth = 1, .owner = TRACE_BELOW},
    {.object = {8, TRACE_TCP, 443, 40000},
     .role = TRACE_NEW,
     .depth = 2,
     .owner = TRACE_ABOVE,
     .status = 0xC0231004},
};

static void
payload(void **state)
{
    static const uint8_t expected[] = {
        1,    2,    5,    1,    0x40, 2,    0,    4, /* version, op, flags, owner, status */
        0,    0,    0,    1,    0,    0,    0,    2,    0, 0, 0,    2,  /* bytes, count */
        0,    0,    0,    9,    0,    0,    0,    10,   0, 0, 0,    11, /* code, info, object */
        3,    0,    0,    80,   0,    81,   0,    2,                    /* layer, ports, nodes */
        0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,                 /* buffer */
        2,    1,    1,    2,    0,    0,    0,    0,    0, 0, 0,    7,    0,    0,
        0,    0,    0,    0,    0,    0,    3,    2,    2, 1, 0xc0, 0x23, 0x10, 4,
        0,    0,    0,    8,    1,    0xbb, 0x9c, 0x40, 0, 0, 0,    0,    0xee};
    struct trace_crossing crossing = {.op = TRACE_INITIATE_COMPLETE,
                                      .up = true,
                                      .has_status = true,
                                      .owner = TRACE_ABOVE,
                                      .status = 0x40020004,
                                      .bytes = 0x100000002,
                                      .count = 2,
                                      .code = 9,
                                      .info = 10,
                                      .object = {11, TRACE_TCP, 80, 81},
                                      .buffer = 0x1122334455667788,
                                      .nodes = nodes,
                                      .node_count = 2};

    assert_int_equal(trace_record_bytes(&crossing), sizeof(expected) - 1);
    trace_record_put(&crossing, room);
    assert_memory_equal(room, expected, sizeof(expected));
}

static void
check_words(const struct trace_crossing *crossing, const char *expected)
{
    char words[TRACE_WORDS_SIZE];

    trace_record_words(crossing, words);
    assert_string_equal(words, expected);
}

static void
words(void **state)
{
    struct trace_node many[100];
    struct trace_crossing crossing = {.op = TRACE_INITIATE_COMPLETE,
                                      .up = true,
                                      .has_status = true,
                                      .owner = TRACE_ABOVE,
                                      .status = 0x40020004,
                                      .count = 2,
                                      .bytes = 5,
                                      .info = 6,
                                      .nodes = nodes,
                                      .node_count = 2};

    check_words(&crossing,
                "INITIATE_COMPLETE up, OFFLOAD_PARTIAL_SUCCESS, 2 nodes, 5 bytes, 6 received: "
                "path #7 SUCCESS; tcp #8 (port 443 to 40000) new OFFLOAD_TCP_ENTRIES; now above");
    check_words(&(struct trace_crossing){.op = TRACE_TCP_SEND,
                                         .owner = TRACE_BELOW,
                                         .count = 1,
                                         .bytes = 1460,
                                         .object = {3, TRACE_TCP, 0, 0}},
                "TCP_SEND down, tcp #3, 1 NBL, 1460 bytes; now below");
    check_words(&(struct trace_crossing){.op = TRACE_TCP_EVENT,
                                         .up = true,
                                         .code = 2,
                                         .info = 5,
                                         .object = {3, TRACE_TCP, 0, 0}},
                "TCP_EVENT up, tcp #3, Retrieve because of UploadRequested");
    check_words(&(struct trace_crossing){.op = TRACE_STATUS, .up = true, .code = 0x40020002},
                "STATUS up, UPLOAD_ALL");
    check_words(&(struct trace_crossing){.op = TRACE_TCP_SEND_COMPLETE,
                                         .up = true,
                                         .has_status = true,
                                         .status = 0xdeadbeef,
                                         .count = 2},
                "TCP_SEND_COMPLETE up, status 0xdeadbeef, 2 NBLs, 0 bytes");
    /* However large a tree is, the words end. */
    for (unsigned i = 0; i < 100; i++)
        many[i] = nodes[1];
    crossing.nodes = many;
    crossing.node_count = crossing.count = 100;
    char text[TRACE_WORDS_SIZE];
    trace_record_words(&crossing, text);
    assert_non_null(strstr(text, "; and 92 more; now above"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(section, setup), cmocka_unit_test_setup(interface, setup),
        cmocka_unit_test_setup(packet, setup),  cmocka_unit_test_setup(read_back, setup),
        cmocka_unit_test_setup(payload, setup), cmocka_unit_test_setup(words, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
