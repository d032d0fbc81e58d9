/*
 * Congestion windows of running sockets, set from outside: the values arrive, the algorithm stays,
 * the connection goes on, and nothing is left in the kernel.
 */
#include "bpf/testnet.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct testnet net;
    struct testnet_pair pair;
    struct steer *steer;
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const char *why = "";

    assert_non_null(f);
    testnet_create(&f->net);
    if (steer_open(NULL, &f->steer, &why))
        testnet_fail(__FILE__, __LINE__, why);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    steer_close(f->steer);
    testnet_destroy(&f->net);
    free(f);
    return 0;
}

static struct tcp_info
info_of(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    return info;
}

static void
set_and_check(struct fixture *f, const char *algorithm, uint32_t cwnd, uint32_t ssthresh)
{
    char name[16] = "";
    socklen_t len = sizeof(name);
    struct tcp_info info;

    assert_int_equal(setsockopt(f->pair.near, IPPROTO_TCP, TCP_CONGESTION, algorithm,
                                (socklen_t)strlen(algorithm)),
                     0);
    assert_int_equal(steer_set_congestion(f->steer, &f->pair.key, cwnd, ssthresh), 0);
    info = info_of(f->pair.near);
    assert_int_equal(info.tcpi_snd_cwnd, cwnd);
    if (strcmp(algorithm, "bbr") != 0) /* has no threshold, and says so when it starts */
        assert_int_equal(info.tcpi_snd_ssthresh, ssthresh);
    assert_int_equal(getsockopt(f->pair.near, IPPROTO_TCP, TCP_CONGESTION, name, &len), 0);
    assert_string_equal(name, algorithm);
    testnet_exchange(&f->pair);
}

static void
congestion_of(struct fixture *f, enum testnet_kind kind)
{
    testnet_connect(&f->net, kind, false, &f->pair);
    testnet_exchange(&f->pair);
    set_and_check(f, "cubic", 123, 45);
    set_and_check(f, "reno", 7, 99);
    set_and_check(f, "bbr", 321, 55);
    testnet_close(&f->pair);
}

static void
test_congestion_ipv4(void **state)
{
    congestion_of(*state, TESTNET_IPV4);
}

static void
test_congestion_ipv6(void **state)
{
    congestion_of(*state, TESTNET_IPV6);
}

static void
test_congestion_mapped(void **state)
{
    congestion_of(*state, TESTNET_MAPPED);
}

static void
test_congestion_one_socket_only(void **state)
{
    struct fixture *f = *state;
    struct testnet_pair other;
    struct steer_key nobody;
    uint32_t before;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    testnet_connect(&f->net, TESTNET_IPV4, false, &other);
    before = info_of(other.near).tcpi_snd_cwnd;
    assert_int_equal(steer_set_congestion(f->steer, &f->pair.key, 222, 100), 0);
    assert_int_equal(info_of(f->pair.near).tcpi_snd_cwnd, 222);
    assert_int_equal(info_of(other.near).tcpi_snd_cwnd, before);
    nobody = testnet_turned(&f->pair.key);
    assert_int_equal(steer_set_congestion(f->steer, &nobody, 222, 100), -ENOENT);
    nobody.family = AF_UNIX;
    assert_int_equal(steer_set_congestion(f->steer, &nobody, 222, 100), -EINVAL);
    testnet_close(&other);
    testnet_close(&f->pair);
}

static void
test_congestion_zero_leaves_alone(void **state)
{
    struct fixture *f = *state;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    assert_int_equal(steer_set_congestion(f->steer, &f->pair.key, 222, 100), 0);
    assert_int_equal(steer_set_congestion(f->steer, &f->pair.key, 0, 50), 0);
    assert_int_equal(info_of(f->pair.near).tcpi_snd_cwnd, 222);
    assert_int_equal(info_of(f->pair.near).tcpi_snd_ssthresh, 50);
    testnet_close(&f->pair);
}

static bool
algorithm_is_there(void)
{
    FILE *file = fopen("/proc/sys/net/ipv4/tcp_available_congestion_control", "r");
    char line[1024] = "", prefix[32];

    snprintf(prefix, sizeof(prefix), "chim_%x_", (unsigned)getpid());
    assert_non_null(file);
    assert_non_null(fgets(line, sizeof(line), file));
    fclose(file);
    return strstr(line, prefix) != NULL;
}

/* The name is global: it must not stay behind. Unregistering ends with the last reference, shortly
 * after. */
static void
test_congestion_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t limit_ns = testnet_now_ns() + TESTNET_LIMIT_NS;
    struct steer *second;
    const char *why = "";

    assert_true(algorithm_is_there());
    assert_int_equal(steer_open(NULL, &second, &why), 0);
    steer_close(second);
    assert_true(algorithm_is_there());
    steer_close(f->steer);
    while (algorithm_is_there())
        assert_true(testnet_now_ns() < limit_ns);
    assert_int_equal(steer_open(NULL, &f->steer, &why), 0);
}

#define test_case(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_case(test_congestion_ipv4),
        test_case(test_congestion_ipv6),
        test_case(test_congestion_mapped),
        test_case(test_congestion_one_socket_only),
        test_case(test_congestion_zero_leaves_alone),
        test_case(test_congestion_leaves_nothing),
    };
    const char *why;

    if (!testnet_possible(&why)) {
        printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
