/* Checksums that a frame has not got yet, and a frame that is none of ours. */
#include "base/checksum.h"
#include "host/linux/live/live.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { IP_AT = 14, ICMP_AT = 54, FRAME = 101 };

/* An IPv6 frame of that protocol whose checksum field, so far into its header, holds the pseudo
 * header's sum. */
static void
frame_init(struct wire_buf *buf, uint8_t *bytes, uint8_t protocol, uint16_t offset)
{
    struct checksum pseudo = {0};
    uint16_t sum;

    for (int i = 0; i < FRAME; i++)
        bytes[i] = (uint8_t)(i * 7);
    checksum_add_pseudo_v6(&pseudo, bytes + IP_AT + 8, bytes + IP_AT + 24, protocol,
                           FRAME - ICMP_AT);
    sum = checksum_folded(&pseudo);
    bytes[ICMP_AT + offset] = (uint8_t)(sum >> 8);
    bytes[ICMP_AT + offset + 1] = (uint8_t)sum;
    *buf = (struct wire_buf){
        .refs = 1,
        .len = FRAME,
        .data = bytes,
        .meta = {.csum_partial = true, .csum_start = ICMP_AT, .csum_offset = offset}};
}

static void
filled_in_where_ndis_has_no_bit(void **state)
{
    struct checksum sum = {0};
    uint8_t bytes[FRAME];
    struct wire_buf buf;

    frame_init(&buf, bytes, IPPROTO_ICMPV6, 2);
    live_finish_checksum(&buf);
    assert_false(buf.meta.csum_partial);
    checksum_add_pseudo_v6(&sum, bytes + IP_AT + 8, bytes + IP_AT + 24, IPPROTO_ICMPV6,
                           FRAME - ICMP_AT);
    checksum_add(&sum, bytes + ICMP_AT, FRAME - ICMP_AT);
    assert_int_equal(checksum_value(&sum), 0);
}

/* Of TCP and UDP the target takes care. */
static void
left_where_it_has(void **state)
{
    static const uint16_t offsets[] = {6, 16};

    for (int i = 0; i < 2; i++) {
        uint8_t bytes[FRAME], before[FRAME];
        struct wire_buf buf;

        frame_init(&buf, bytes, i ? IPPROTO_TCP : IPPROTO_UDP, offsets[i]);
        memcpy(before, bytes, FRAME);
        live_finish_checksum(&buf);
        assert_true(buf.meta.csum_partial);
        assert_memory_equal(bytes, before, FRAME);
    }
}

/* The frame is shorter than it says. */
static void
beyond_the_end(void **state)
{
    uint8_t bytes[FRAME], before[FRAME];
    struct wire_buf buf;

    frame_init(&buf, bytes, IPPROTO_ICMPV6, 2);
    memcpy(before, bytes, FRAME);
    buf.len = ICMP_AT + 3;
    live_finish_checksum(&buf);
    assert_false(buf.meta.csum_partial);
    assert_memory_equal(bytes, before, FRAME);
}

/* Nothing covers the version of an IPv6 packet; the kernel throws away what has another. */
static void
another_version(void **state)
{
    uint8_t bytes[FRAME];
    struct steer_key key;
    struct wire_buf buf;

    frame_init(&buf, bytes, IPPROTO_TCP, 16);
    bytes[12] = 0x86;
    bytes[13] = 0xdd;
    bytes[IP_AT] = 0x60;
    bytes[IP_AT + 4] = 0;
    bytes[IP_AT + 5] = FRAME - ICMP_AT;
    bytes[IP_AT + 6] = IPPROTO_TCP;
    assert_true(live_frame_key(bytes, FRAME, true, &key));
    bytes[IP_AT] = 0x70;
    assert_false(live_frame_key(bytes, FRAME, true, &key));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filled_in_where_ndis_has_no_bit),
        cmocka_unit_test(left_where_it_has),
        cmocka_unit_test(beyond_the_end),
        cmocka_unit_test(another_version),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
