/*
 * TAP wires: superframes to and from the kernel, an interface exactly as asked for, and its end.
 * Needs root; skipped without.
 */
#include "base/log.h"
#include "wire/kernel_testing.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

static const uint8_t tap_mac[6] = {2, 0, 0, 0, 0, 9};

/* ends[0]: the TAP; ends[1]: what the kernel receives and sends there. */
static void
open_tap(void)
{
    need_kernel();
    assert_int_equal(wire_tap_open(loop, "tap7", tap_mac, 1400, &ends[0]), 0);
    assert_int_equal(wire_packet_open(loop, "tap7", -1, 0, &ends[1]), 0);
    listen_on(0);
    listen_on(1);
}

static void
tap_carries_superframes(void **state)
{
    open_tap();
    check_superframe(0, false);
    check_superframe(0, true);
    check_superframe(1, false);
    check_superframe(1, true);
}

static void
tap_is_as_asked_for(void **state)
{
    open_tap();
    assert_string_equal(wire_name(ends[0]), "tap7");
    assert_int_equal(wire_ifindex(ends[0]), if_nametoindex("tap7"));
    assert_int_equal(wire_mtu(ends[0]), 1400);
    assert_memory_equal(wire_mac(ends[0]), tap_mac, 6);
    assert_true(wire_link_up(ends[0]));
    run("ip -o link show tap7 | grep -q 'NOARP.*UP.*mtu 1400'");
    run("test -z \"$(ip -o addr show tap7)\"");
}

/* With IPv6 switched on the kernel would choose a link-local address, if it were let. */
static void
tap_gets_no_address(void **state)
{
    need_kernel();
    run("echo 0 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
    assert_int_equal(wire_tap_open(loop, "tap7", NULL, 1500, &ends[0]), 0);
    run("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
    run("ip -d link show tap7 | grep -q 'addrgenmode none'");
    run("test -z \"$(ip -o addr show tap7)\"");
}

static void
tap_is_in_order_both_ways(void **state)
{
    enum { COUNT = 400 }; /* fits the queue of the TAP */

    open_tap();
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(test_send_numbered(ends[0], 1000, i), 0);
        assert_int_equal(test_send_numbered(ends[1], 1000, i), 0);
    }
    await(&sinks[0].numbered, COUNT);
    await(&sinks[1].numbered, COUNT);
    assert_int_equal(sinks[0].out_of_order + sinks[1].out_of_order, 0);
}

static void
tap_must_be_new(void **state)
{
    struct wire *second = NULL;

    open_tap();
    assert_int_equal(wire_tap_open(loop, "tap7", NULL, 1500, &second), -EBUSY);
    assert_null(second);
    assert_int_equal(wire_tap_open(loop, "a-name-beyond-all-limits", NULL, 1500, &second), -EINVAL);
    assert_int_equal(wire_tap_open(loop, "tap8", NULL, 7, &second), -EINVAL);
    assert_int_equal(if_nametoindex("tap8"), 0);
    assert_null(second);
}

static void
tap_goes_with_its_wire(void **state)
{
    open_tap();
    wire_close(ends[0]);
    ends[0] = NULL;
    assert_int_equal(if_nametoindex("tap7"), 0);
    await(&sinks[1].downs, 1);
}

static void
tap_deleted_by_another(void **state)
{
    uint64_t end_us;
    unsigned idle = 0;

    open_tap();
    run("ip link del tap7");
    await(&sinks[0].downs, 1);
    assert_int_equal(test_send_numbered(ends[0], 100, 0), -ENETDOWN);
    end_us = sys_clock_us() + PATIENCE_US;
    while (idle < 100 && sys_clock_us() < end_us)
        idle = sys_loop_turn(loop, false) ? 0 : idle + 1;
    assert_int_equal(idle, 100);
    assert_int_equal(sinks[0].downs, 1);
}

static void
tap_taken_down_and_up(void **state)
{
    open_tap();
    run("ip link set tap7 down");
    await(&sinks[0].downs, 1);
    run("ip link set tap7 up");
    await(&sinks[0].ups, 1);
    assert_int_equal(test_send_numbered(ends[0], 100, 0), 0);
    await(&sinks[1].numbered, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(tap_carries_superframes), KERNEL_TEST(tap_is_as_asked_for),
        KERNEL_TEST(tap_gets_no_address),     KERNEL_TEST(tap_is_in_order_both_ways),
        KERNEL_TEST(tap_must_be_new),         KERNEL_TEST(tap_goes_with_its_wire),
        KERNEL_TEST(tap_deleted_by_another),  KERNEL_TEST(tap_taken_down_and_up),
    };

    log_set_level(LOG_ERROR);
    enter_namespace();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
