/*
 * Snapshots against what the kernel tells its own process (TCP_INFO, SIOCOUTQ, SIOCINQ, socket
 * options) and against the other end's snapshot.
 */
#include "bpf/testnet.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define STATE_ESTABLISHED 1
#define STATE_CLOSE_WAIT 8

struct fixture {
    struct testnet net;
    struct testnet_pair pair;
    struct steer *steer;
    struct testnet_forwarder forwarder;
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *why = "";

    assert_non_null(f);
    testnet_create(&f->net);
    testnet_forwarder_open(&f->forwarder, f->net.near_ifindex);
    if (steer_open(NULL, &f->steer, &why) ||
        steer_attach(f->steer, f->net.near_ifindex, f->forwarder.tap_ifindex, &why))
        testnet_fail(__FILE__, __LINE__, why);
    testnet_forwarder_arm(&f->forwarder, f->steer);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    steer_close(f->steer);
    testnet_forwarder_close(&f->forwarder);
    testnet_destroy(&f->net);
    free(f);
    return 0;
}

/* ---- help ---- */

static struct steer_snapshot
near_snapshot(struct fixture *f)
{
    struct steer_snapshot snapshot;

    assert_int_equal(steer_snapshot(f->steer, &f->pair.key, &snapshot), 0);
    return snapshot;
}

static struct steer_snapshot
far_snapshot(struct fixture *f)
{
    struct steer_key key = testnet_turned(&f->pair.key);
    struct steer_snapshot snapshot;

    testnet_enter(f->net.far);
    assert_int_equal(steer_snapshot(f->steer, &key, &snapshot), 0);
    testnet_enter(f->net.near);
    return snapshot;
}

static struct tcp_info
info_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return info;
}

static int
queue_of(int fd, unsigned long request)
{
    int bytes;

    assert_int_equal(ioctl(fd, request, &bytes), 0);
    return bytes;
}

static void
set_int(int fd, int level, int option, int value)
{
    assert_int_equal(setsockopt(fd, level, option, &value, sizeof(value)), 0);
}

/* ---- snapshots ---- */

static void
check_against_info(struct fixture *f)
{
    struct steer_snapshot s = near_snapshot(f);
    struct tcp_info info = info_of(f->pair.near);

    assert_int_equal(s.state, info.tcpi_state);
    assert_int_equal(s.ca_state, info.tcpi_ca_state);
    assert_int_equal(s.snd_cwnd, info.tcpi_snd_cwnd);
    assert_int_equal(s.srtt_us, info.tcpi_rtt);
    assert_int_equal(s.rttvar_us, info.tcpi_rttvar);
    assert_int_equal(s.mss, info.tcpi_snd_mss);
    assert_int_equal(s.advmss, info.tcpi_advmss);
    assert_int_equal(s.snd_wscale, info.tcpi_snd_wscale);
    assert_int_equal(s.rcv_wscale, info.tcpi_rcv_wscale);
    assert_int_equal(s.has_timestamps, (info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0);
    assert_int_equal(s.has_sack, (info.tcpi_options & TCPI_OPT_SACK) != 0);
    assert_int_equal(s.has_wscale, (info.tcpi_options & TCPI_OPT_WSCALE) != 0);
    assert_int_equal(s.bytes_sent, info.tcpi_bytes_sent);
    assert_int_equal(s.bytes_received, info.tcpi_bytes_received);
    assert_int_equal(s.total_retrans, info.tcpi_total_retrans);
    assert_int_equal(s.packets_out, info.tcpi_unacked);
    assert_int_equal(s.snd_wnd, info.tcpi_snd_wnd);
    assert_int_equal(s.write_seq - s.snd_nxt, info.tcpi_notsent_bytes);
}

/* The edge that the last acknowledgement could tell: the field has 16 bits, the kernel's own window
 * may be wider. */
static uint32_t
told_edge(const struct steer_snapshot *s)
{
    uint32_t widest = UINT32_C(65535) << s->rcv_wscale;

    return s->rcv_wup + (s->rcv_wnd < widest ? s->rcv_wnd : widest);
}

static void
check_against_peer(struct fixture *f)
{
    struct steer_snapshot near = near_snapshot(f), far = far_snapshot(f);

    assert_int_equal(near.snd_nxt, far.rcv_nxt);
    assert_int_equal(near.snd_una, far.rcv_nxt);
    assert_int_equal(near.rcv_nxt, far.snd_nxt);
    assert_int_equal(near.snd_wscale, far.rcv_wscale);
    assert_int_equal(near.snd_una + near.snd_wnd, told_edge(&far));
    assert_int_equal(far.snd_una + far.snd_wnd, told_edge(&near));
    assert_true(near.max_window >= near.snd_wnd);
}

static void
snapshot_of(struct fixture *f, enum testnet_kind kind)
{
    struct steer_snapshot s;

    testnet_connect(&f->net, kind, false, &f->pair);
    testnet_exchange(&f->pair);
    check_against_info(f);
    check_against_peer(f);
    s = near_snapshot(f);
    assert_int_equal(s.state, STATE_ESTABLISHED);
    assert_int_equal(s.snd_una, s.write_seq);
    assert_int_equal(s.rcv_nxt, s.copied_seq);
    assert_int_equal(s.out_of_order + s.urgent + s.ecn + s.mptcp + s.md5 + s.ao, 0);
    assert_int_equal(s.microsecond_timestamps + s.rcv_shutdown + s.snd_shutdown, 0);
    assert_true(s.has_timestamps && s.ts_recent_stamp > 0);
    assert_true(s.srtt_us > 0);
    testnet_close(&f->pair);
}

static void
test_ipv4(void **state)
{
    snapshot_of(*state, TESTNET_IPV4);
}

static void
test_ipv6(void **state)
{
    snapshot_of(*state, TESTNET_IPV6);
}

static void
test_mapped(void **state)
{
    snapshot_of(*state, TESTNET_MAPPED);
}

/* Data that nobody reads, and data that cannot leave: frames of a steered flow without an owner
 * stay in the TAP. */
static void
test_queues(void **state)
{
    struct fixture *f = *state;
    struct steer_snapshot s;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    testnet_send(f->pair.far, 1234, 0);
    assert_true(testnet_wait_readable(f->pair.near));
    s = near_snapshot(f);
    assert_int_equal(s.rcv_nxt - s.copied_seq, 1234);
    assert_int_equal(s.rcv_nxt - s.copied_seq, queue_of(f->pair.near, SIOCINQ));
    steer_beat(f->steer, testnet_now_ns());
    assert_int_equal(steer_flow_add(f->steer, &f->pair.key), 0);
    testnet_send(f->pair.near, 777, 0);
    s = near_snapshot(f);
    assert_int_equal(s.write_seq - s.snd_una, 777);
    assert_int_equal(s.write_seq - s.snd_una, queue_of(f->pair.near, SIOCOUTQ));
    assert_int_equal(s.snd_nxt, s.write_seq);
    assert_true(s.packets_out > 0);
    assert_int_equal(steer_flow_remove(f->steer, &f->pair.key, NULL), 0);
    testnet_close(&f->pair);
}

/* Of two segments only the second is let through: the far side has a hole, until the kernel's timer
 * fills it. */
static void
test_out_of_order(void **state)
{
    struct fixture *f = *state;
    ssize_t len;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    assert_int_equal(far_snapshot(f).out_of_order, 0);
    steer_beat(f->steer, testnet_now_ns());
    assert_int_equal(steer_flow_add(f->steer, &f->pair.key), 0);
    testnet_send(f->pair.near, 100, 0);
    testnet_send(f->pair.near, 100, 0);
    assert_true(read(f->forwarder.tap, f->forwarder.frame, 1000) > 100);
    len = read(f->forwarder.tap, f->forwarder.frame, 1000);
    assert_true(len > 100);
    assert_int_equal(write(f->forwarder.packet, f->forwarder.frame, (size_t)len), len);
    assert_int_equal(far_snapshot(f).out_of_order, 1);
    assert_int_equal(steer_flow_remove(f->steer, &f->pair.key, NULL), 0);
    testnet_receive(f->pair.far, 200);
    testnet_settle(f->pair.near);
    assert_int_equal(far_snapshot(f).out_of_order, 0);
    testnet_close(&f->pair);
}

static void
test_urgent(void **state)
{
    struct fixture *f = *state;
    uint64_t limit_ns = testnet_now_ns() + TESTNET_LIMIT_NS;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    testnet_send(f->pair.far, 10, MSG_OOB);
    while (!near_snapshot(f).urgent)
        assert_true(testnet_now_ns() < limit_ns);
    testnet_close(&f->pair);
}

static void
test_socket_options(void **state)
{
    struct fixture *f = *state;
    struct steer_snapshot s;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    s = near_snapshot(f);
    assert_int_equal(s.keepalive + s.keepalive_time_s + s.keepalive_interval_s, 0);
    assert_int_equal(s.ttl_set + s.tos + s.mark + s.bound_ifindex, 0);
    assert_int_equal(s.nodelay, 1);
    set_int(f->pair.near, IPPROTO_TCP, TCP_NODELAY, 0);
    set_int(f->pair.near, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_int(f->pair.near, IPPROTO_TCP, TCP_KEEPIDLE, 77);
    set_int(f->pair.near, IPPROTO_TCP, TCP_KEEPINTVL, 11);
    set_int(f->pair.near, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set_int(f->pair.near, IPPROTO_IP, IP_TTL, 33);
    set_int(f->pair.near, IPPROTO_IP, IP_TOS, 0x28);
    set_int(f->pair.near, SOL_SOCKET, SO_MARK, 0x1234);
    s = near_snapshot(f);
    assert_int_equal(s.nodelay, 0);
    assert_int_equal(s.keepalive, 1);
    assert_int_equal(s.keepalive_time_s, 77);
    assert_int_equal(s.keepalive_interval_s, 11);
    assert_int_equal(s.keepalive_probes, 3);
    assert_int_equal(s.ttl_set, 1);
    assert_int_equal(s.ttl, 33);
    assert_int_equal(s.tos, 0x28);
    assert_int_equal(s.mark, 0x1234);
    assert_int_equal(s.uid, getuid());
    testnet_close(&f->pair);
}

static void
test_ipv6_options(void **state)
{
    struct fixture *f = *state;
    struct steer_snapshot s;

    testnet_connect(&f->net, TESTNET_IPV6, false, &f->pair);
    s = near_snapshot(f);
    assert_int_equal(s.ttl_set + s.tos, 0);
    set_int(f->pair.near, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 44);
    set_int(f->pair.near, IPPROTO_IPV6, IPV6_TCLASS, 0x28);
    s = near_snapshot(f);
    assert_int_equal(s.ttl_set, 1);
    assert_int_equal(s.ttl, 44);
    assert_int_equal(s.tos, 0x28);
    testnet_close(&f->pair);
}

static void
test_shutdown(void **state)
{
    struct fixture *f = *state;
    uint64_t limit_ns = testnet_now_ns() + TESTNET_LIMIT_NS;
    struct steer_snapshot s;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    assert_int_equal(shutdown(f->pair.far, SHUT_WR), 0);
    do {
        s = near_snapshot(f);
        assert_true(testnet_now_ns() < limit_ns);
    } while (s.state != STATE_CLOSE_WAIT);
    assert_int_equal(s.rcv_shutdown, 1);
    assert_int_equal(s.snd_shutdown, 0);
    testnet_close(&f->pair);
}

/* Found only where it is bound to: on the interface that the steering is attached to. */
static void
test_bound(void **state)
{
    struct fixture *f = *state;
    struct steer_snapshot s;

    testnet_connect(&f->net, TESTNET_IPV4, true, &f->pair);
    assert_int_equal(near_snapshot(f).bound_ifindex, f->net.near_ifindex);
    steer_detach(f->steer, f->net.near_ifindex);
    assert_int_equal(steer_snapshot(f->steer, &f->pair.key, &s), -ENOENT);
    testnet_close(&f->pair);
}

static void
test_absent(void **state)
{
    struct fixture *f = *state;
    struct steer_key key, odd = {.family = AF_UNIX};
    struct steer_snapshot s;
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t len = sizeof(any);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    assert_int_equal(steer_snapshot(f->steer, &odd, &s), -EINVAL);
    key = testnet_turned(&f->pair.key);
    assert_int_equal(steer_snapshot(f->steer, &key, &s), -ENOENT);
    assert_int_equal(bind(listener, (struct sockaddr *)&any, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&any, &len), 0);
    key = f->pair.key;
    key.local_port = any.sin_port;
    assert_int_equal(steer_snapshot(f->steer, &key, &s), -ENOENT);
    close(listener);
    testnet_close(&f->pair);
}

/* TIME_WAIT is not a socket any more. */
static void
test_time_wait(void **state)
{
    struct fixture *f = *state;
    uint64_t limit_ns = testnet_now_ns() + TESTNET_LIMIT_NS;
    struct steer_snapshot s;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    close(f->pair.near);
    close(f->pair.far);
    while (steer_snapshot(f->steer, &f->pair.key, &s) != -ENOENT)
        assert_true(testnet_now_ns() < limit_ns);
}

static void
test_md5(void **state)
{
    struct fixture *f = *state;

    testnet_connect(&f->net, TESTNET_MD5, false, &f->pair);
    assert_int_equal(near_snapshot(f).md5, 1);
    testnet_close(&f->pair);
}

static void
test_mptcp(void **state)
{
    struct fixture *f = *state;

    testnet_connect(&f->net, TESTNET_MPTCP, false, &f->pair);
    assert_int_equal(near_snapshot(f).mptcp, 1);
    testnet_close(&f->pair);
}

static void
test_ecn(void **state)
{
    struct fixture *f = *state;

    testnet_run(f->net.near, "echo 1 >/proc/sys/net/ipv4/tcp_ecn");
    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    struct steer_snapshot s = near_snapshot(f);
    assert_int_equal(s.ecn, 1);
    assert_int_equal(s.accurate_ecn + s.ecn_echo + s.ecn_cwr, 0);
    testnet_close(&f->pair);
}

/* All that may be marked is. */
static void
mark_all(int namespace)
{
    testnet_run(namespace, "nft 'add table ip ce; add chain ip ce out { type filter hook output "
                           "priority 0; }; add rule ip ce out ip ecn ect0 ip ecn set ce'");
}

static void
test_ecn_owed(void **state)
{
    struct fixture *f = *state;

    testnet_run(f->net.near, "echo 1 >/proc/sys/net/ipv4/tcp_ecn");
    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    mark_all(f->net.near);
    mark_all(f->net.far);
    testnet_send(f->pair.far, 1000, 0);
    testnet_receive(f->pair.near, 1000);
    assert_int_equal(near_snapshot(f).ecn_echo, 1);
    assert_int_equal(near_snapshot(f).ecn_cwr, 0);
    testnet_send(f->pair.near, 1000, 0);
    testnet_receive(f->pair.far, 1000);
    testnet_settle(f->pair.near);
    assert_int_equal(near_snapshot(f).ecn_cwr, 1); /* the far side has echoed */
    assert_int_equal(far_snapshot(f).ecn_echo, 1);
    testnet_close(&f->pair);
}

static void
test_without_options(void **state)
{
    struct fixture *f = *state;
    struct steer_snapshot s;

    testnet_run(f->net.near, "cd /proc/sys/net/ipv4 && echo 0 >tcp_timestamps && echo 0 >tcp_sack"
                             " && echo 0 >tcp_window_scaling");
    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    testnet_exchange(&f->pair);
    check_against_info(f);
    check_against_peer(f);
    s = near_snapshot(f);
    assert_int_equal(s.has_timestamps + s.has_sack + s.has_wscale, 0);
    testnet_close(&f->pair);
}

#define test_case(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_case(test_ipv4),
        test_case(test_ipv6),
        test_case(test_mapped),
        test_case(test_queues),
        test_case(test_out_of_order),
        test_case(test_urgent),
        test_case(test_socket_options),
        test_case(test_ipv6_options),
        test_case(test_shutdown),
        test_case(test_bound),
        test_case(test_absent),
        test_case(test_time_wait),
        test_case(test_md5),
        test_case(test_mptcp),
        test_case(test_ecn),
        test_case(test_ecn_owed),
        test_case(test_without_options),
    };
    const char *why;

    if (!testnet_possible(&why)) {
        printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
