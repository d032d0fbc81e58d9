#include "tcp/test_conn.h"

#include <errno.h>

static const uint8_t plain[20] = {0x12, 0x34, 0x00, 0x50, 0xff, 0xff, 0xff, 0xfe, 0x80, 0,
                                  0,    1,    0x50, 0x18, 0x01, 0xf4, 0xab, 0xcd, 0,    7};

static void
put_options(uint8_t bytes[60], const uint8_t *options, unsigned len)
{
    memcpy(bytes, plain, 20);
    memcpy(bytes + 20, options, len);
    bytes[12] = (uint8_t)((20 + len) / 4 << 4);
}

static int
parse_options(const uint8_t *options, unsigned len, struct tcp_segment *out)
{
    uint8_t bytes[60];

    put_options(bytes, options, len);
    return tcp_parse(bytes, 20 + len, out);
}

static void
test_parse_plain(void **state)
{
    struct tcp_segment segment;

    memset(&segment, 0xff, sizeof(segment));
    assert_int_equal(tcp_parse(plain, sizeof(plain), &segment), 0);
    assert_int_equal(segment.source_port, 0x1234);
    assert_int_equal(segment.dest_port, 80);
    assert_int_equal(segment.seq, 0xfffffffe);
    assert_int_equal(segment.ack, 0x80000001);
    assert_int_equal(segment.flags, TCP_ACK | TCP_PSH);
    assert_int_equal(segment.window, 500);
    assert_int_equal(segment.urgent, 7);
    assert_int_equal(segment.header_len, 20);
    assert_int_equal(segment.payload_len, 0);
    assert_int_equal(segment.segment_size, 0);
    assert_int_equal(segment.sack_count, 0);
    assert_false(segment.has_timestamp);
}

static void
test_parse_truncated(void **state)
{
    struct tcp_segment segment;
    uint8_t bytes[20];

    for (size_t len = 0; len < 20; len++)
        assert_int_equal(tcp_parse(plain, len, &segment), -EBADMSG);
    memcpy(bytes, plain, 20);
    bytes[12] = 0x40; /* shorter than a header */
    assert_int_equal(tcp_parse(bytes, 20, &segment), -EBADMSG);
    bytes[12] = 0x60; /* longer than what is there */
    assert_int_equal(tcp_parse(bytes, 20, &segment), -EBADMSG);
}

static void
test_parse_timestamp_aligned_or_not(void **state)
{
    static const uint8_t aligned[12] = {1, 1, 8, 10, 0x80, 0, 0, 5, 0, 0, 1, 0};
    static const uint8_t crooked[12] = {8, 10, 0x80, 0, 0, 5, 0, 0, 1, 0, 1, 0};
    struct tcp_segment segment;

    assert_int_equal(parse_options(aligned, 12, &segment), 0);
    assert_true(segment.has_timestamp);
    assert_int_equal(segment.tsval, 0x80000005);
    assert_int_equal(segment.tsecr, 0x100);
    assert_int_equal(parse_options(crooked, 12, &segment), 0);
    assert_true(segment.has_timestamp);
    assert_int_equal(segment.tsval, 0x80000005);
    assert_int_equal(segment.tsecr, 0x100);
}

static void
test_parse_steps_over_unknown(void **state)
{
    static const uint8_t options[24] = {30,  5,  9, 9,  9,                    /* unknown */
                                        5,   10, 0, 0,  0,  1,  0,  0,  0, 2, /* SACK */
                                        254, 2,  0, 99, 99, 99, 99, 99, 99};
    struct tcp_segment segment;

    assert_int_equal(parse_options(options, 24, &segment), 0);
    assert_int_equal(segment.sack_count, 1);
    assert_int_equal(segment.sack[0].start, 1);
    assert_int_equal(segment.sack[0].end, 2);
}

static void
test_parse_ignores_impossible_lengths(void **state)
{
    static const uint8_t short_ts[8] = {8, 6, 1, 1, 1, 1, 1, 1};
    static const uint8_t odd_sack[12] = {5, 9, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1};
    static const uint8_t empty_sack[4] = {5, 2, 1, 1};
    struct tcp_segment segment;

    assert_int_equal(parse_options(short_ts, 8, &segment), 0);
    assert_false(segment.has_timestamp);
    assert_int_equal(parse_options(odd_sack, 12, &segment), 0);
    assert_int_equal(segment.sack_count, 0);
    assert_int_equal(parse_options(empty_sack, 4, &segment), 0);
    assert_int_equal(segment.sack_count, 0);
}

static void
test_parse_refuses_overrun(void **state)
{
    static const uint8_t overrun[4] = {8, 10, 0, 0};
    static const uint8_t zero[4] = {30, 0, 0, 0};
    static const uint8_t one[4] = {30, 1, 0, 0};
    static const uint8_t no_length[4] = {1, 1, 1, 8};
    struct tcp_segment segment;

    assert_int_equal(parse_options(overrun, 4, &segment), -EBADMSG);
    assert_int_equal(parse_options(zero, 4, &segment), -EBADMSG);
    assert_int_equal(parse_options(one, 4, &segment), -EBADMSG);
    assert_int_equal(parse_options(no_length, 4, &segment), -EBADMSG);
}

static void
test_parse_any_bytes(void **state)
{
    uint8_t bytes[64];
    uint32_t random = 1;
    struct tcp_segment segment;

    for (unsigned round = 0; round < 200000; round++) {
        for (unsigned i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)((random = random * 1664525 + 1013904223) >> 24);
        if (round & 1)
            for (unsigned i = 20; i < 60; i++)
                bytes[i] %= 12;
        if (!tcp_parse(bytes, 20 + random % 44, &segment))
            assert_in_range(segment.sack_count, 0, 4);
    }
}

static void
test_write_then_parse(void **state)
{
    struct tcp_range blocks[3] = {{1, 2}, {0xfffffff0, 5}, {7, 8}};
    struct tcp_out out = {
        .seq = 0xffffffff, .ack = 1, .window = 0xffff, .flags = TCP_ACK | TCP_FIN};
    struct tcp_segment segment;
    uint8_t bytes[TCP_MAX_HEADER];

    memset(bytes, 0xee, sizeof(bytes));
    out.option_len = tcp_put_timestamp(out.options, 10, 20);
    out.option_len += tcp_put_sack(out.options + out.option_len, blocks, 3);
    assert_int_equal(out.option_len, TCP_MAX_OPTIONS);
    assert_int_equal(tcp_write_header(&out, 443, 65535, bytes), TCP_MAX_HEADER);
    assert_int_equal(bytes[16] | bytes[17] | bytes[18] | bytes[19], 0);
    assert_int_equal(tcp_parse(bytes, sizeof(bytes), &segment), 0);
    assert_int_equal(segment.source_port, 443);
    assert_int_equal(segment.dest_port, 65535);
    assert_int_equal(segment.seq, 0xffffffff);
    assert_int_equal(segment.window, 0xffff);
    assert_int_equal(segment.flags, TCP_ACK | TCP_FIN);
    assert_int_equal(segment.tsval, 10);
    assert_int_equal(segment.tsecr, 20);
    assert_int_equal(segment.sack_count, 3);
    assert_memory_equal(segment.sack, blocks, sizeof(blocks));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_plain),
        cmocka_unit_test(test_parse_truncated),
        cmocka_unit_test(test_parse_timestamp_aligned_or_not),
        cmocka_unit_test(test_parse_steps_over_unknown),
        cmocka_unit_test(test_parse_ignores_impossible_lengths),
        cmocka_unit_test(test_parse_refuses_overrun),
        cmocka_unit_test(test_parse_any_bytes),
        cmocka_unit_test(test_write_then_parse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
