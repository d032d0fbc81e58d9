/* The frames that tell where an address is, byte by byte. */
#include "base/checksum.h"
#include "host/linux/stack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 9};

static void
gratuitous_arp(void **state)
{
    static const uint8_t address[4] = {192, 0, 2, 1};
    static const uint8_t wanted[60] = {
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,   0, 0, 0, 0, 9, 8, 6, /* to all */
        0,    1,    8,    0,    6,    4,    0,   1,                   /* who has */
        2,    0,    0,    0,    0,    9,    192, 0, 2, 1,             /* the sender */
        0,    0,    0,    0,    0,    0,    192, 0, 2, 1};            /* the same address */
    uint8_t frame[ANNOUNCE_BYTES];

    assert_int_equal(announce_ipv4(mac, address, frame), sizeof wanted);
    assert_memory_equal(frame, wanted, sizeof wanted);
}

static void
unsolicited_advertisement(void **state)
{
    static const uint8_t address[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 7};
    static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
    static const uint8_t ethernet[14] = {0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x86, 0xdd};
    static const uint8_t option[8] = {2, 1, 2, 0, 0, 0, 0, 9};
    struct checksum checksum = {0};
    uint8_t frame[ANNOUNCE_BYTES];

    assert_int_equal(announce_ipv6(mac, address, frame), 86);
    assert_memory_equal(frame, ethernet, 14);
    assert_int_equal(frame[14], 0x60);
    assert_int_equal(frame[19], 32);  /* payload */
    assert_int_equal(frame[20], 58);  /* ICMPv6 */
    assert_int_equal(frame[21], 255); /* or nobody believes it */
    assert_memory_equal(frame + 22, address, 16);
    assert_memory_equal(frame + 38, all_nodes, 16);
    assert_int_equal(frame[54], 136);
    assert_int_equal(frame[58], 0x20); /* unsolicited, no router, override */
    assert_memory_equal(frame + 62, address, 16);
    assert_memory_equal(frame + 78, option, 8);
    checksum_add_pseudo_v6(&checksum, frame + 22, frame + 38, 58, 32);
    checksum_add(&checksum, frame + 54, 32);
    assert_int_equal(checksum_value(&checksum), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gratuitous_arp),
        cmocka_unit_test(unsolicited_advertisement),
    };

    return cmocka_run_group_tests_name("linux/announce", tests, NULL, NULL);
}
