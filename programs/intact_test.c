/* Every bit of a segment that a checksum covers, turned around, makes it one that was damaged. */
#include "verify.h"

#include "base/bytes.h"
#include "base/checksum.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PAYLOAD 7u

static size_t
segment(uint8_t *frame, bool v6, bool tagged)
{
    size_t at = tagged ? 18 : 14, header = v6 ? 40 : 20, len = 20 + PAYLOAD;
    uint8_t *ip = frame + at, *tcp = ip + header;
    struct checksum sum = {0};

    for (size_t i = 0; i < at + header + len; i++)
        frame[i] = (uint8_t)(i * 37 + 5);
    bytes_store_be16(frame + 12, 0x8100);
    bytes_store_be16(ip - 2, v6 ? 0x86dd : 0x0800);
    ip[0] = v6 ? 0x60 : 0x45;
    bytes_store_be16(ip + (v6 ? 4 : 2), (uint16_t)(v6 ? len : header + len));
    ip[v6 ? 6 : 9] = 6;
    bytes_store_be16(tcp + 16, 0);
    if (v6) {
        checksum_add_pseudo_v6(&sum, ip + 8, ip + 24, 6, (uint32_t)len);
    } else {
        bytes_store_be16(ip + 6, 0x4000);
        bytes_store_be16(ip + 10, 0);
        bytes_store_be16(ip + 10, checksum_of(ip, 20));
        checksum_add_pseudo_v4(&sum, ip + 12, ip + 16, 6, (uint32_t)len);
    }
    checksum_add(&sum, tcp, len);
    bytes_store_be16(tcp + 16, checksum_value(&sum));
    return at + header + len;
}

static void
every_bit(bool v6, bool tagged, size_t first)
{
    uint8_t frame[128];
    size_t len = segment(frame, v6, tagged), ip = tagged ? 18 : 14;

    assert_true(verify_intact(frame, len));
    for (size_t bit = (ip + first) * 8; bit < len * 8; bit++) {
        if (v6 && bit / 8 >= ip + 6 && bit / 8 < ip + 8)
            continue; /* another protocol, or fewer hops */
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(verify_intact(frame, len));
        frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void
ipv4(void **state)
{
    every_bit(false, false, 0);
    every_bit(false, true, 0);
}

/* Nothing covers its traffic class and flow label. */
static void
ipv6(void **state)
{
    every_bit(true, false, 4);
    every_bit(true, true, 4);
}

static void
other_versions(void **state)
{
    uint8_t frame[128];
    size_t len = segment(frame, true, false);

    frame[14] ^= 0x10;
    assert_false(verify_intact(frame, len));
}

/* Padding is not of the packet, and what is no IP nobody here can judge. */
static void
what_is_not_covered(void **state)
{
    uint8_t frame[128];
    size_t len = segment(frame, false, false);

    memset(frame + len, 0xaa, 6);
    assert_true(verify_intact(frame, len + 6));
    assert_false(verify_intact(frame, len - 1));
    frame[12] = 0x08;
    frame[13] = 0x06;
    assert_true(verify_intact(frame, len));
    assert_true(verify_intact(frame, 10));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ipv4), cmocka_unit_test(ipv6),
                                       cmocka_unit_test(other_versions),
                                       cmocka_unit_test(what_is_not_covered)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
