/*
 * Steering in a running kernel: one connection between two namespaces, a plain forwarder as owner.
 * Moved to and fro in mid-stream, left alone by an owner that stops beating, is killed or is
 * stopped; not a byte may be missing or changed.
 */
#include "bpf/testnet.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define STREAM_BYTES (48u << 20)
#define MOVES 8

struct fixture {
    struct testnet net;
    struct testnet_pair pair;
    struct testnet_forwarder forwarder;
    struct steer *steer;
    uint64_t limit_ns;
};

static void
open_steering(struct fixture *f)
{
    const char *why = "";

    testnet_forwarder_open(&f->forwarder, f->net.near_ifindex);
    if (steer_open(NULL, &f->steer, &why) ||
        steer_attach(f->steer, f->net.near_ifindex, f->forwarder.tap_ifindex, &why))
        testnet_fail(__FILE__, __LINE__, why);
    steer_beat(f->steer, testnet_now_ns());
    testnet_forwarder_arm(&f->forwarder, f->steer);
}

static void
close_steering(struct fixture *f)
{
    steer_close(f->steer);
    testnet_forwarder_close(&f->forwarder);
}

static int
set_up_net(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    testnet_create(&f->net);
    f->limit_ns = testnet_now_ns() + TESTNET_LIMIT_NS;
    *state = f;
    return 0;
}

static int
set_up(void **state)
{
    set_up_net(state);
    open_steering(*state);
    return 0;
}

static int
tear_down_net(void **state)
{
    struct fixture *f = *state;

    testnet_destroy(&f->net);
    free(f);
    return 0;
}

static int
tear_down(void **state)
{
    close_steering(*state);
    return tear_down_net(state);
}

/* One turn of an owner that is alive, and of both ends of the stream. */
static void
turn(struct fixture *f, struct testnet_stream *stream)
{
    bool busy;

    assert_true(testnet_now_ns() < f->limit_ns);
    steer_beat(f->steer, testnet_now_ns());
    busy = testnet_forwarder_turn(&f->forwarder);
    if (testnet_stream_turn(stream) || busy)
        return;
    testnet_rest(stream, &f->forwarder);
}

static void
run_until(struct fixture *f, struct testnet_stream *stream, uint64_t received)
{
    while (stream->received < received)
        turn(f, stream);
}

/* Every frame that left the kernel was sent by us, every one that came was taken; nothing slipped
 * past. */
static void
check_counters(const struct steer_counters *counters)
{
    assert_true(counters->out_redirected > 0);
    assert_true(counters->in_diverted > 0);
    assert_true(counters->out_redirected_bytes >= 54 * counters->out_redirected);
    assert_true(counters->in_diverted_bytes >= 54 * counters->in_diverted);
    assert_true(counters->out_marked > 0);
    assert_true(counters->in_marked > 0);
    assert_int_equal(counters->out_leaked, 0);
    assert_int_equal(counters->in_leaked, 0);
}

static void
move_in_mid_stream(struct fixture *f, enum testnet_kind kind, bool upload)
{
    struct testnet_stream stream = {.total = STREAM_BYTES};
    struct steer_counters counters;

    testnet_connect(&f->net, kind, false, &f->pair);
    stream.from = upload ? f->pair.near : f->pair.far;
    stream.to = upload ? f->pair.far : f->pair.near;
    for (unsigned i = 0; i < MOVES; i++) {
        run_until(f, &stream, (2 * i + 1) * (STREAM_BYTES / (2 * MOVES + 1)));
        assert_int_equal(steer_flow_add(f->steer, &f->pair.key), 0);
        run_until(f, &stream, (2 * i + 2) * (STREAM_BYTES / (2 * MOVES + 1)));
        assert_int_equal(steer_flow_remove(f->steer, &f->pair.key, &counters), 0);
        check_counters(&counters);
    }
    run_until(f, &stream, stream.total);
    assert_true(testnet_stream_done(&stream));
    testnet_close(&f->pair);
}

static void
test_upload_ipv4(void **state)
{
    move_in_mid_stream(*state, TESTNET_IPV4, true);
}

static void
test_download_ipv4(void **state)
{
    move_in_mid_stream(*state, TESTNET_IPV4, false);
}

static void
test_upload_ipv6(void **state)
{
    move_in_mid_stream(*state, TESTNET_IPV6, true);
}

static void
test_download_ipv6(void **state)
{
    move_in_mid_stream(*state, TESTNET_IPV6, false);
}

/* An IPv4 connection of an IPv6 socket is an IPv4 flow. */
static void
test_mapped(void **state)
{
    move_in_mid_stream(*state, TESTNET_MAPPED, true);
}

/* A second connection between the same hosts is nobody's business. */
static void
test_other_flows_pass(void **state)
{
    struct fixture *f = *state;
    struct testnet_pair other;
    struct testnet_stream stream = {.total = 1 << 20};
    struct steer_counters counters;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    testnet_connect(&f->net, TESTNET_IPV4, false, &other);
    assert_int_equal(steer_flow_add(f->steer, &f->pair.key), 0);
    stream.from = other.near;
    stream.to = other.far;
    run_until(f, &stream, stream.total);
    assert_int_equal(steer_flow_read(f->steer, &f->pair.key, &counters), 0);
    assert_int_equal(counters.out_redirected + counters.in_diverted, 0);
    assert_int_equal(f->forwarder.out + f->forwarder.in, 0);
    testnet_close(&other);
    testnet_close(&f->pair);
}

/* The owner lives but does not beat: the programs let go by themselves, and say so. */
static void
test_missed_beat(void **state)
{
    struct fixture *f = *state;
    struct testnet_stream stream = {.total = STREAM_BYTES};
    struct steer_counters counters;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    stream.from = f->pair.near;
    stream.to = f->pair.far;
    assert_int_equal(steer_flow_add(f->steer, &f->pair.key), 0);
    run_until(f, &stream, STREAM_BYTES / 4);
    while (!testnet_stream_done(&stream)) {
        assert_true(testnet_now_ns() < f->limit_ns);
        if (!testnet_stream_turn(&stream))
            testnet_rest(&stream, NULL);
    }
    assert_int_equal(steer_flow_remove(f->steer, &f->pair.key, &counters), 0);
    assert_true(counters.out_leaked > 0);
    assert_true(counters.in_leaked > 0);
    testnet_close(&f->pair);
}

/* Before the first beat nothing is steered: a key alone does not take a flow away. */
static void
test_no_beat_yet(void **state)
{
    struct fixture *f = *state;
    struct testnet_stream stream = {.total = 1 << 20};
    struct steer_counters counters;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    stream.from = f->pair.near;
    stream.to = f->pair.far;
    steer_beat(f->steer, 0);
    assert_int_equal(steer_flow_add(f->steer, &f->pair.key), 0);
    while (!testnet_stream_done(&stream)) {
        if (!testnet_stream_turn(&stream))
            testnet_rest(&stream, NULL);
    }
    assert_int_equal(steer_flow_remove(f->steer, &f->pair.key, &counters), 0);
    assert_int_equal(counters.out_redirected + counters.in_diverted, 0);
    assert_true(counters.out_leaked > 0);
    testnet_close(&f->pair);
}

/* A frame of a flow whose headers are not in the linear part of the buffer, as a packet socket may
 * send it. */
static void
test_headers_in_fragments(void **state)
{
    enum { PAYLOAD = 5000, LEN = 10 + 14 + 20 + 20 + PAYLOAD };
    struct fixture *f = *state;
    static uint8_t frame[LEN];
    uint8_t *ip = frame + 10 + 14, *tcp = ip + 20;
    struct steer_counters counters;
    struct ifreq request = {.ifr_name = TESTNET_NEAR};
    int packet;

    testnet_run(f->net.far, "ip link set %s mtu 9000", TESTNET_FAR);
    testnet_run(f->net.near, "ip link set %s mtu 9000", TESTNET_NEAR);
    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    assert_int_equal(ioctl(f->pair.near, SIOCGIFHWADDR, &request), 0);
    frame[2] = 14; /* hdr_len: how much of the frame is linear */
    memcpy(frame + 10, request.ifr_hwaddr.sa_data, 6);
    memcpy(frame + 10 + 12, "\x08\x00\x45", 3);
    ip[2] = (20 + 20 + PAYLOAD) >> 8;
    ip[3] = (20 + 20 + PAYLOAD) & 255;
    memcpy(ip + 8, "\x40\x06", 2);
    memcpy(ip + 12, f->pair.key.peer, 4);
    memcpy(ip + 16, f->pair.key.local, 4);
    memcpy(tcp, &f->pair.key.peer_port, 2);
    memcpy(tcp + 2, &f->pair.key.local_port, 2);
    tcp[12] = 0x50;
    steer_beat(f->steer, testnet_now_ns());
    assert_int_equal(steer_flow_add(f->steer, &f->pair.key), 0);
    testnet_enter(f->net.far);
    packet = testnet_packet_socket(f->net.far_ifindex);
    assert_int_equal(write(packet, frame, LEN), LEN);
    testnet_enter(f->net.near);
    assert_int_equal(steer_flow_read(f->steer, &f->pair.key, &counters), 0);
    assert_int_equal(counters.in_diverted, 1);
    assert_int_equal(counters.in_diverted_bytes, LEN - 10);
    assert_int_equal(read(f->forwarder.packet, f->forwarder.frame, LEN + 1), LEN);
    assert_memory_equal(f->forwarder.frame + 10, frame + 10, LEN - 10);
    close(packet);
    testnet_close(&f->pair);
}

static void
test_flow_keys(void **state)
{
    struct fixture *f = *state;
    struct steer_key key = {.family = AF_INET, .local = {10, 1, 2, 3}, .peer = {10, 1, 2, 4}};
    struct steer_key dirty = key, odd = {.family = AF_UNIX};
    struct steer_counters counters;

    memset(dirty.local + 4, 0xaa, 12);
    assert_int_equal(steer_flow_remove(f->steer, &key, NULL), -ENOENT);
    assert_int_equal(steer_flow_read(f->steer, &key, &counters), -ENOENT);
    assert_int_equal(steer_flow_add(f->steer, &key), 0);
    assert_int_equal(steer_flow_add(f->steer, &key), -EEXIST);
    assert_int_equal(steer_flow_add(f->steer, &dirty), -EEXIST);
    assert_int_equal(steer_flow_add(f->steer, &odd), -EINVAL);
    assert_int_equal(steer_flow_remove(f->steer, &dirty, NULL), 0);
    assert_int_equal(steer_flow_read(f->steer, &key, &counters), -ENOENT);
}

static void
test_attach_errors(void **state)
{
    struct fixture *f = *state;
    int tap = f->forwarder.tap_ifindex;
    const char *why = NULL;

    assert_int_equal(steer_attach(f->steer, f->net.near_ifindex, tap, &why), -EEXIST);
    assert_non_null(why);
    why = NULL;
    steer_detach(f->steer, f->net.near_ifindex);
    assert_int_equal(steer_attach(f->steer, 12345, tap, &why), -ENODEV);
    assert_non_null(why);
    steer_detach(f->steer, 12345);
    assert_int_equal(steer_attach(f->steer, f->net.near_ifindex, tap, &why), 0);
}

/* A TAP opened first has a lower number than the links, even when there are holes below it. */
static void
test_links_have_higher_numbers(void **state)
{
    struct fixture *f = *state;
    char path[64], target[64];
    int links = 0;

    for (int fd = 0; fd < 256; fd++) {
        ssize_t len;

        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        len = readlink(path, target, sizeof(target) - 1);
        if (len <= 0)
            continue;
        target[len] = '\0';
        if (strstr(target, "bpf_link") || strstr(target, "bpf-link")) {
            links++;
            assert_true(fd > f->forwarder.tap);
        }
    }
    assert_true(links >= 3);
}

/* ---- an owner in another process ---- */

struct owner {
    pid_t pid;
    int ready; /* readable when frames have gone through it in both directions */
};

static void
owner_runs(struct fixture *f, int ready)
{
    bool told = false;

    signal(SIGPIPE, SIG_IGN);
    open_steering(f);
    testnet_require(steer_flow_add(f->steer, &f->pair.key) == 0);
    for (;;) {
        steer_beat(f->steer, testnet_now_ns());
        if (!testnet_forwarder_turn(&f->forwarder))
            testnet_rest(NULL, &f->forwarder);
        if (!told && f->forwarder.out > 10 && f->forwarder.in > 10)
            told = write(ready, "", 1) == 1;
    }
}

static void
start_owner(struct fixture *f, struct owner *owner)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    owner->pid = fork();
    assert_true(owner->pid >= 0);
    if (owner->pid == 0) {
        close(ends[0]);
        owner_runs(f, ends[1]);
        _exit(1);
    }
    close(ends[1]);
    owner->ready = ends[0];
}

static bool
is_ready(const struct owner *owner)
{
    struct pollfd wait = {.fd = owner->ready, .events = POLLIN};

    return poll(&wait, 1, 0) == 1;
}

/* The stream starts in the kernel, goes through the owner, loses it to the signal, and must end all
 * the same. */
static void
lose_owner(struct fixture *f, int signal_number, bool upload)
{
    struct testnet_stream stream = {.total = UINT64_C(1) << 40};
    struct owner owner;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    stream.from = upload ? f->pair.near : f->pair.far;
    stream.to = upload ? f->pair.far : f->pair.near;
    start_owner(f, &owner);
    while (!is_ready(&owner)) {
        assert_true(testnet_now_ns() < f->limit_ns);
        if (!testnet_stream_turn(&stream))
            testnet_rest(&stream, NULL);
    }
    kill(owner.pid, signal_number);
    stream.longest_gap_ns = 0;
    stream.total = stream.sent + STREAM_BYTES;
    while (!testnet_stream_done(&stream)) {
        assert_true(testnet_now_ns() < f->limit_ns);
        if (!testnet_stream_turn(&stream))
            testnet_rest(&stream, NULL);
    }
    print_message("# longest gap after signal %d, %s: %.1f ms\n", signal_number,
                  upload ? "sending" : "receiving", (double)stream.longest_gap_ns / 1e6);
    kill(owner.pid, SIGKILL);
    assert_int_equal(waitpid(owner.pid, NULL, 0), owner.pid);
    close(owner.ready);
    testnet_close(&f->pair);
}

static void
test_owner_killed(void **state)
{
    lose_owner(*state, SIGKILL, true);
    lose_owner(*state, SIGKILL, false);
}

static void
test_owner_stopped(void **state)
{
    lose_owner(*state, SIGSTOP, true);
    lose_owner(*state, SIGSTOP, false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_upload_ipv4, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_download_ipv4, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_upload_ipv6, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_download_ipv6, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mapped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_other_flows_pass, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missed_beat, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_beat_yet, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_headers_in_fragments, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flow_keys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_attach_errors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_links_have_higher_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_owner_killed, set_up_net, tear_down_net),
        cmocka_unit_test_setup_teardown(test_owner_stopped, set_up_net, tear_down_net),
    };
    const char *why;

    if (!testnet_possible(&why)) {
        printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
