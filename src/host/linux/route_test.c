/* Routes, neighbours and links of a namespace of our own, asked and told. */
#include "host/linux/route.h"

#include "bpf/testnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int
set_up(void **state)
{
    struct testnet *net = calloc(1, sizeof(*net));

    assert_non_null(net);
    testnet_create(net);
    *state = net;
    return 0;
}

static int
tear_down(void **state)
{
    testnet_destroy(*state);
    free(*state);
    return 0;
}

/* Static: two at a time, for a question and its answer. */
static const uint8_t *
address(const char *text)
{
    static uint8_t bytes[2][16];
    static unsigned turn;
    uint8_t *out = bytes[turn++ & 1];

    memset(out, 0, 16);
    assert_int_equal(inet_pton(strchr(text, ':') ? AF_INET6 : AF_INET, text, out), 1);
    return out;
}

/* ---- routes ---- */

static void
test_on_link(void **state)
{
    struct testnet *net = *state;
    struct route_result way;

    assert_int_equal(route_lookup(AF_INET, address("10.99.0.2"), address("10.99.0.1"), &way), 0);
    assert_int_equal(way.ifindex, net->near_ifindex);
    assert_true(way.unicast);
    assert_false(way.local);
    assert_false(way.has_gateway);
    assert_memory_equal(way.next_hop, address("10.99.0.2"), 16);
    assert_memory_equal(way.source, address("10.99.0.1"), 16);
    assert_int_equal(way.mtu, 0);
    assert_int_equal(route_lookup(AF_INET6, address("fd99::2"), NULL, &way), 0);
    assert_int_equal(way.ifindex, net->near_ifindex);
    assert_memory_equal(way.next_hop, address("fd99::2"), 16);
    assert_memory_equal(way.source, address("fd99::1"), 16);
    assert_int_equal(route_lookup(AF_INET, address("10.99.0.2"), NULL, &way), 0);
    assert_memory_equal(way.source, address("10.99.0.1"), 16);
}

static void
test_gateway_and_mtu(void **state)
{
    struct testnet *net = *state;
    struct route_result way;

    testnet_run(net->near, "ip route add 10.88.0.0/16 via 10.99.0.2 mtu 1300");
    testnet_run(net->near, "ip route add 10.77.0.0/16 via inet6 fd99::2 dev %s", TESTNET_NEAR);
    testnet_run(net->near, "ip route add fd88::/64 via fd99::2 mtu 1400");
    assert_int_equal(route_lookup(AF_INET, address("10.88.1.1"), NULL, &way), 0);
    assert_true(way.has_gateway);
    assert_int_equal(way.next_hop_family, AF_INET);
    assert_memory_equal(way.next_hop, address("10.99.0.2"), 16);
    assert_int_equal(way.mtu, 1300);
    assert_int_equal(route_lookup(AF_INET, address("10.77.1.1"), NULL, &way), 0);
    assert_int_equal(way.next_hop_family, AF_INET6);
    assert_memory_equal(way.next_hop, address("fd99::2"), 16);
    assert_int_equal(route_lookup(AF_INET6, address("fd88::1"), NULL, &way), 0);
    assert_memory_equal(way.next_hop, address("fd99::2"), 16);
    assert_int_equal(way.mtu, 1400);
}

static void
test_local(void **state)
{
    struct route_result way;

    assert_int_equal(route_lookup(AF_INET, address("10.99.0.1"), NULL, &way), 0);
    assert_true(way.local);
    assert_false(way.unicast);
    assert_int_equal(route_lookup(AF_INET6, address("fd99::1"), NULL, &way), 0);
    assert_true(way.local);
}

static void
test_no_route(void **state)
{
    struct testnet *net = *state;
    struct route_result way;

    assert_int_equal(route_lookup(AF_INET, address("192.0.2.1"), NULL, &way), -ENETUNREACH);
    assert_int_equal(route_lookup(AF_INET6, address("2001:db8::1"), NULL, &way), -ENETUNREACH);
    assert_int_equal(route_lookup(AF_UNIX, address("192.0.2.1"), NULL, &way), -EINVAL);
    /* A source that is not ours. */
    assert_true(route_lookup(AF_INET, address("10.99.0.2"), address("192.0.2.7"), &way) < 0);
    testnet_run(net->near, "ip route add unreachable 10.66.0.0/16");
    assert_int_equal(route_lookup(AF_INET, address("10.66.0.1"), NULL, &way), -EHOSTUNREACH);
}

static void
test_policy(void **state)
{
    struct testnet *net = *state;
    struct route_query query = {.family = AF_INET, .destination = address("10.55.0.1")};
    struct route_result way;

    testnet_run(net->near, "ip route add 10.55.0.0/16 via 10.99.0.2 table 77 && "
                           "ip rule add fwmark 5 table 77");
    assert_int_equal(route_lookup_as(&query, &way), -ENETUNREACH);
    query.mark = 5;
    assert_int_equal(route_lookup_as(&query, &way), 0);
    assert_int_equal(way.ifindex, net->near_ifindex);
    assert_int_equal(way.table, 77);
    query.ifindex = 1;
    assert_true(route_lookup_as(&query, &way) < 0 || way.ifindex == 1);
}

/* ---- links ---- */

static void
test_links(void **state)
{
    struct testnet *net = *state;
    struct route_link link, lo;

    testnet_run(net->near, "ip link set %s address 02:00:00:00:00:55 mtu 1450", TESTNET_NEAR);
    assert_int_equal(route_link(net->near_ifindex, &link), 0);
    assert_string_equal(link.name, TESTNET_NEAR);
    assert_int_equal(link.ifindex, net->near_ifindex);
    assert_int_equal(link.mtu, 1450);
    assert_memory_equal(link.mac, "\x02\0\0\0\0\x55", 6);
    assert_true(link.up && link.running && link.ethernet);
    assert_false(link.loopback);
    assert_int_equal(route_link_named("lo", &lo), 0);
    assert_true(lo.loopback && lo.up);
    assert_false(lo.ethernet);
    testnet_run(net->far, "ip link set %s down", TESTNET_FAR);
    assert_int_equal(route_link_named(TESTNET_NEAR, &link), 0);
    assert_true(link.up);
    assert_false(link.running);
}

static void
test_links_quick(void **state)
{
    struct testnet *net = *state;
    struct route_link link, quick;

    testnet_run(net->near, "ip link set %s address 02:00:00:00:00:56 mtu 1350", TESTNET_NEAR);
    assert_int_equal(route_link(net->near_ifindex, &link), 0);
    memset(&quick, 0xff, sizeof(quick));
    assert_int_equal(route_link_quick(net->near_ifindex, &quick), 0);
    assert_int_equal(quick.mtu, 1350);
    assert_memory_equal(&quick, &link, sizeof(link));
    testnet_run(net->near, "ip link set %s down", TESTNET_NEAR);
    assert_int_equal(route_link_quick(net->near_ifindex, &quick), 0);
    assert_false(quick.up || quick.running);
    assert_int_equal(route_link_quick(1, &quick), 0);
    assert_true(quick.loopback && !quick.ethernet);
    assert_string_equal(quick.name, "lo");
}

static void
test_no_link(void **state)
{
    struct route_link link;

    assert_int_equal(route_link(9999, &link), -ENODEV);
    assert_int_equal(route_link(0, &link), -ENODEV);
    assert_int_equal(route_link(-1, &link), -ENODEV);
    assert_int_equal(route_link_quick(9999, &link), -ENODEV);
    assert_int_equal(route_link_quick(0, &link), -ENODEV);
    assert_int_equal(route_link_named("nosuch0", &link), -ENODEV);
    assert_int_equal(route_link_named("", &link), -ENODEV);
    assert_int_equal(route_link_named("anamelongerthanitcouldbe", &link), -ENODEV);
}

/* ---- neighbours and news ---- */

struct wanted {
    enum route_event_kind kind;
    bool (*matches)(const struct wanted *wanted, const struct route_event *event);
    const uint8_t *address;
    uint16_t family;
    bool found;
    struct route_event event;
};

static void
on_event(void *arg, const struct route_event *event)
{
    struct wanted *wanted = arg;

    if (wanted->found || event->kind != wanted->kind || !wanted->matches(wanted, event))
        return;
    wanted->found = true;
    wanted->event = *event;
}

static void
wait_event(int fd, struct wanted *wanted)
{
    wanted->found = false;
    while (!wanted->found) {
        assert_true(testnet_wait_readable(fd));
        assert_int_equal(route_read_events(fd, on_event, wanted), 0);
    }
}

static bool
is_resolved(const struct wanted *wanted, const struct route_event *event)
{
    return event->neighbour.family == wanted->family &&
           memcmp(event->neighbour.address, wanted->address, 16) == 0 && event->neighbour.resolved;
}

static void
resolve(struct testnet *net, uint16_t family, const char *text)
{
    uint8_t peer[16];
    struct wanted wanted = {
        .kind = ROUTE_EVENT_NEIGHBOUR, .matches = is_resolved, .address = peer, .family = family};
    struct route_neighbour neighbour;
    struct route_link far;
    int fd = route_open_events();

    memcpy(peer, address(text), 16);
    assert_true(fd >= 0);
    testnet_enter(net->far);
    assert_int_equal(route_link(net->far_ifindex, &far), 0);
    testnet_enter(net->near);
    assert_int_equal(route_neighbour(net->near_ifindex, family, peer, &neighbour), -ENOENT);
    assert_int_equal(route_provoke(net->near_ifindex, family, peer), 0);
    wait_event(fd, &wanted);
    assert_memory_equal(wanted.event.neighbour.mac, far.mac, 6);
    assert_int_equal(wanted.event.neighbour.ifindex, net->near_ifindex);
    assert_int_equal(route_neighbour(net->near_ifindex, family, peer, &neighbour), 0);
    assert_true(neighbour.resolved);
    assert_memory_equal(neighbour.mac, far.mac, 6);
    assert_memory_equal(neighbour.address, peer, 16);
    route_close_events(fd);
}

static void
test_resolve_ipv4(void **state)
{
    resolve(*state, AF_INET, "10.99.0.2");
}

/* Without a datagram to answer for, the kernel asks from its link-local address. */
static void
test_resolve_ipv6(void **state)
{
    struct testnet *net = *state;

    testnet_run(net->near, "ip address add fe80::1/64 dev %s nodad", TESTNET_NEAR);
    resolve(*state, AF_INET6, "fd99::2");
}

static bool
is_failed(const struct wanted *wanted, const struct route_event *event)
{
    return memcmp(event->neighbour.address, wanted->address, 16) == 0 &&
           event->neighbour.state == NUD_FAILED;
}

/* Nobody answers: an entry, but no address to use. */
static void
test_unresolved(void **state)
{
    struct testnet *net = *state;
    uint8_t peer[16];
    struct wanted wanted = {.kind = ROUTE_EVENT_NEIGHBOUR, .matches = is_failed, .address = peer};
    struct route_neighbour neighbour;
    int fd = route_open_events();

    memcpy(peer, address("10.99.0.77"), 16);
    testnet_run(net->near, "echo 20 >/proc/sys/net/ipv4/neigh/%s/retrans_time_ms", TESTNET_NEAR);
    assert_int_equal(route_provoke(net->near_ifindex, AF_INET, peer), 0);
    wait_event(fd, &wanted);
    assert_false(wanted.event.neighbour.resolved);
    assert_int_equal(route_neighbour(net->near_ifindex, AF_INET, peer, &neighbour), 0);
    assert_false(neighbour.resolved);
    route_close_events(fd);
}

static void
test_bad_neighbours(void **state)
{
    struct testnet *net = *state;
    struct route_neighbour neighbour;

    assert_int_equal(route_neighbour(net->near_ifindex, AF_UNIX, address("::"), &neighbour),
                     -EINVAL);
    assert_int_equal(route_provoke(net->near_ifindex, AF_UNIX, address("::")), -EINVAL);
    assert_int_equal(route_neighbour(9999, AF_INET, address("10.99.0.2"), &neighbour), -ENODEV);
    assert_int_equal(route_provoke(9999, AF_INET, address("10.99.0.2")), -ENODEV);
}

static bool
has_new_mac(const struct wanted *wanted, const struct route_event *event)
{
    return event->neighbour.mac[5] == 0x99 && !event->gone;
}

static bool
is_removed(const struct wanted *wanted, const struct route_event *event)
{
    return event->gone;
}

static void
test_neighbour_changes(void **state)
{
    struct testnet *net = *state;
    struct wanted changed = {.kind = ROUTE_EVENT_NEIGHBOUR, .matches = has_new_mac};
    struct wanted removed = {.kind = ROUTE_EVENT_NEIGHBOUR, .matches = is_removed};
    int fd = route_open_events();

    testnet_run(net->near, "ip neigh add 10.99.0.9 lladdr 02:00:00:00:00:11 dev %s", TESTNET_NEAR);
    testnet_run(net->near, "ip neigh change 10.99.0.9 lladdr 02:00:00:00:00:99 dev %s",
                TESTNET_NEAR);
    wait_event(fd, &changed);
    assert_true(changed.event.neighbour.resolved);
    testnet_run(net->near, "ip neigh delete 10.99.0.9 dev %s", TESTNET_NEAR);
    wait_event(fd, &removed);
    assert_memory_equal(removed.event.neighbour.address, address("10.99.0.9"), 16);
    route_close_events(fd);
}

static bool
is_new_route(const struct wanted *wanted, const struct route_event *event)
{
    return event->route.family == wanted->family && !event->gone &&
           memcmp(event->route.destination, wanted->address, 16) == 0;
}

static void
test_route_changes(void **state)
{
    struct testnet *net = *state;
    uint8_t net4[16], net6[16];
    struct wanted four = {
        .kind = ROUTE_EVENT_ROUTE, .matches = is_new_route, .address = net4, .family = AF_INET};
    struct wanted six = {
        .kind = ROUTE_EVENT_ROUTE, .matches = is_new_route, .address = net6, .family = AF_INET6};
    struct wanted removed = {.kind = ROUTE_EVENT_ROUTE, .matches = is_removed};
    int fd = route_open_events();

    memcpy(net4, address("10.44.0.0"), 16);
    memcpy(net6, address("fd44::"), 16);
    testnet_run(net->near, "ip route add 10.44.0.0/16 via 10.99.0.2 mtu 1234");
    wait_event(fd, &four);
    assert_int_equal(four.event.route.destination_bits, 16);
    assert_int_equal(four.event.route.mtu, 1234);
    assert_int_equal(four.event.route.ifindex, net->near_ifindex);
    assert_memory_equal(four.event.route.next_hop, address("10.99.0.2"), 16);
    testnet_run(net->near, "ip route delete 10.44.0.0/16");
    wait_event(fd, &removed);
    assert_memory_equal(removed.event.route.destination, net4, 16);
    testnet_run(net->near, "ip route add fd44::/64 via fd99::2");
    wait_event(fd, &six);
    assert_int_equal(six.event.route.destination_bits, 64);
    route_close_events(fd);
}

static bool
is_down(const struct wanted *wanted, const struct route_event *event)
{
    return !event->link.up;
}

static void
test_link_changes(void **state)
{
    struct testnet *net = *state;
    struct wanted down = {.kind = ROUTE_EVENT_LINK, .matches = is_down};
    struct wanted gone = {.kind = ROUTE_EVENT_LINK, .matches = is_removed};
    int fd = route_open_events();

    testnet_run(net->near, "ip link set %s down", TESTNET_NEAR);
    wait_event(fd, &down);
    assert_string_equal(down.event.link.name, TESTNET_NEAR);
    testnet_run(net->near, "ip link add cx0 type veth peer name cx1 && ip link delete cx0");
    wait_event(fd, &gone);
    route_close_events(fd);
}

#define test_case(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_case(test_on_link),
        test_case(test_gateway_and_mtu),
        test_case(test_local),
        test_case(test_no_route),
        test_case(test_policy),
        test_case(test_links),
        test_case(test_links_quick),
        test_case(test_no_link),
        test_case(test_resolve_ipv4),
        test_case(test_resolve_ipv6),
        test_case(test_unresolved),
        test_case(test_bad_neighbours),
        test_case(test_neighbour_changes),
        test_case(test_route_changes),
        test_case(test_link_changes),
    };
    const char *why;

    if (!testnet_possible(&why)) {
        printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
