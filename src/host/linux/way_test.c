/* What a change of the way means: next hops, and the path MTU out of three sources. */
#include "host/linux/way.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

static const struct way way4 = {.ifindex = 3,
                                .next_hop_family = AF_INET,
                                .next_hop = {10, 0, 0, 1},
                                .mac = {2, 0, 0, 0, 0, 1},
                                .mtu = 1500};

static void
the_link_address_does_not_make_another_hop(void **state)
{
    struct way other = way4;

    memset(other.mac, 9, sizeof other.mac);
    memset(other.own_mac, 9, sizeof other.own_mac);
    other.mtu = 1300;
    assert_true(way_same_hop(&way4, &other));
}

static void
interface_family_and_address_do(void **state)
{
    struct way other = way4;

    other.ifindex = 4;
    assert_false(way_same_hop(&way4, &other));
    other = way4;
    other.next_hop_family = AF_INET6; /* IPv4 through an IPv6 router */
    assert_false(way_same_hop(&way4, &other));
    assert_false(way_same_hop(&other, &way4));
    other = way4;
    other.next_hop[3] = 2;
    assert_false(way_same_hop(&way4, &other));
}

static void
ipv4_has_four_bytes_ipv6_sixteen(void **state)
{
    struct way a = way4, b = way4;

    b.next_hop[4] = 7; /* behind the address */
    assert_true(way_same_hop(&a, &b));
    a.next_hop_family = b.next_hop_family = AF_INET6;
    assert_false(way_same_hop(&a, &b));
    b.next_hop[4] = 0;
    b.next_hop[15] = 7;
    assert_false(way_same_hop(&a, &b));
    b.next_hop[15] = 0;
    assert_true(way_same_hop(&a, &b));
}

static void
the_first_segment_size_says_nothing(void **state)
{
    struct way_probe probe = {0};

    assert_false(way_note_mss(&probe, 500, 52));
    assert_int_equal(probe.bound, 0);
    assert_int_equal(way_mtu(&way4, &probe, 1500), 1500);
}

static void
a_fall_bounds_and_a_rise_frees(void **state)
{
    struct way_probe probe = {.mss = 1448};

    assert_false(way_note_mss(&probe, 1448, 52));
    assert_true(way_note_mss(&probe, 1248, 52));
    assert_int_equal(way_mtu(&way4, &probe, 1500), 1300);
    assert_false(way_note_mss(&probe, 1248, 52)); /* told once */
    assert_int_equal(way_mtu(&way4, &probe, 1500), 1300);
    assert_true(way_note_mss(&probe, 1148, 52));
    assert_int_equal(way_mtu(&way4, &probe, 1500), 1200);
    assert_true(way_note_mss(&probe, 1448, 52));
    assert_int_equal(way_mtu(&way4, &probe, 1500), 1500);
}

static void
a_closed_socket_has_no_size(void **state)
{
    struct way_probe probe = {.mss = 1448, .bound = 0};

    assert_false(way_note_mss(&probe, 0, 52));
    assert_int_equal(probe.mss, 1448);
    assert_int_equal(probe.bound, 0);
}

static void
the_smallest_of_three_counts(void **state)
{
    struct way way = way4;
    struct way_probe probe = {.mss = 1448};

    assert_int_equal(way_mtu(&way, &probe, 1400), 1400); /* the wire has not followed yet */
    assert_int_equal(way_mtu(&way, &probe, 0), 1500);    /* no wire that says */
    assert_int_equal(way_mtu(&way, &probe, 9000), 1500);
    way_note_mss(&probe, 1348, 52);
    assert_int_equal(way_mtu(&way, &probe, 1450), 1400);
    assert_int_equal(way_mtu(&way, &probe, 1300), 1300);
    way.mtu = 1280; /* the route says even less */
    assert_int_equal(way_mtu(&way, &probe, 1500), 1280);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_link_address_does_not_make_another_hop),
        cmocka_unit_test(interface_family_and_address_do),
        cmocka_unit_test(ipv4_has_four_bytes_ipv6_sixteen),
        cmocka_unit_test(the_first_segment_size_says_nothing),
        cmocka_unit_test(a_fall_bounds_and_a_rise_frees),
        cmocka_unit_test(a_closed_socket_has_no_size),
        cmocka_unit_test(the_smallest_of_three_counts),
    };

    return cmocka_run_group_tests_name("way", tests, NULL, NULL);
}
