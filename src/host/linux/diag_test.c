/* Socket diagnosis against sockets of our own, in two namespaces. */
#include "host/linux/diag.h"

#include "bpf/testnet.h"
#include "host/linux/netlink.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct testnet net;
    struct testnet_pair pair;
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    testnet_create(&f->net);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    testnet_destroy(&f->net);
    free(f);
    return 0;
}

struct seen {
    struct steer_key key;
    struct diag_socket socket;
    unsigned matches, all, listeners;
};

static void
look(void *arg, const struct diag_socket *socket)
{
    struct seen *seen = arg;

    seen->all++;
    seen->listeners += socket->state == TCP_LISTEN;
    if (memcmp(&socket->key, &seen->key, sizeof(seen->key)) != 0)
        return;
    seen->matches++;
    seen->socket = *socket;
}

static uint64_t
inode_of(int fd)
{
    struct stat facts;

    assert_int_equal(fstat(fd, &facts), 0);
    return facts.st_ino;
}

static void
listed_and_found(struct fixture *f, enum testnet_kind kind)
{
    struct seen seen = {0};
    struct diag_socket found;

    testnet_connect(&f->net, kind, false, &f->pair);
    seen.key = f->pair.key;
    assert_int_equal(diag_list(look, &seen), 0);
    assert_int_equal(seen.matches, 1);
    assert_int_equal(seen.socket.state, TCP_ESTABLISHED);
    assert_int_equal(seen.socket.inode, inode_of(f->pair.near));
    assert_int_equal(seen.socket.uid, getuid());
    assert_int_equal(seen.socket.mapped_ipv4, kind == TESTNET_MAPPED);
    assert_int_equal(seen.socket.mptcp + seen.socket.md5 + seen.socket.bound_ifindex, 0);
    assert_int_equal(seen.socket.total_retrans, 0);
    assert_int_equal(diag_find(&f->pair.key, &found), 0);
    assert_memory_equal(&found.key, &f->pair.key, sizeof(found.key));
    assert_int_equal(found.inode, seen.socket.inode);
    assert_int_equal(found.cookie, seen.socket.cookie);
    testnet_close(&f->pair);
}

static void
test_ipv4(void **state)
{
    listed_and_found(*state, TESTNET_IPV4);
}

static void
test_ipv6(void **state)
{
    listed_and_found(*state, TESTNET_IPV6);
}

static void
test_mapped(void **state)
{
    listed_and_found(*state, TESTNET_MAPPED);
}

static void
test_filter(void **state)
{
    struct fixture *f = *state;
    struct testnet_pair other, six;
    struct diag_filter filter = {0};
    struct seen seen = {0};
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(listen(listener, 1), 0);
    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    testnet_connect(&f->net, TESTNET_MAPPED, false, &other);
    testnet_connect(&f->net, TESTNET_IPV6, false, &six);
    assert_int_equal(diag_list(look, &seen), 0);
    assert_int_equal(seen.all, 4);
    assert_int_equal(seen.listeners, 1);
    seen = (struct seen){.key = other.key};
    filter.local_port = other.key.local_port;
    filter.peer_port = other.key.peer_port;
    assert_int_equal(diag_list_some(&filter, look, &seen), 0);
    assert_int_equal(seen.all, 1);
    assert_int_equal(seen.matches, 1);
    seen = (struct seen){0};
    filter = (struct diag_filter){.states = 1u << TCP_LISTEN};
    assert_int_equal(diag_list_some(&filter, look, &seen), 0);
    assert_int_equal(seen.all, 1);
    seen = (struct seen){0};
    filter = (struct diag_filter){.family = AF_INET6};
    assert_int_equal(diag_list_some(&filter, look, &seen), 0);
    assert_int_equal(seen.all, 1);
    testnet_close(&six);
    testnet_close(&other);
    testnet_close(&f->pair);
    close(listener);
}

static void
test_bound(void **state)
{
    struct fixture *f = *state;
    struct diag_socket found;

    testnet_connect(&f->net, TESTNET_IPV4, true, &f->pair);
    assert_int_equal(diag_find(&f->pair.key, &found), 0);
    assert_int_equal(found.bound_ifindex, f->net.near_ifindex);
    testnet_close(&f->pair);
}

/* Nothing, a listener on the right port, and nonsense. */
static void
test_not_found(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t len = sizeof(any);
    struct steer_key key;
    struct diag_socket found;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    key = testnet_turned(&f->pair.key);
    assert_int_equal(diag_find(&key, &found), -ENOENT);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&any, &len), 0);
    key = f->pair.key;
    key.local_port = any.sin_port;
    assert_int_equal(diag_find(&key, &found), -ENOENT);
    key.family = AF_UNIX;
    assert_int_equal(diag_find(&key, &found), -EINVAL);
    close(listener);
    testnet_close(&f->pair);
}

static void
test_queues(void **state)
{
    struct fixture *f = *state;
    struct diag_socket found;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    assert_int_equal(send(f->pair.far, "0123456789", 10, 0), 10);
    assert_true(testnet_wait_readable(f->pair.near));
    assert_int_equal(diag_find(&f->pair.key, &found), 0);
    assert_int_equal(found.receive_queue_bytes, 10);
    assert_true(found.receive_memory_bytes >= 10);
    assert_int_equal(found.send_queue_bytes, 0);
    testnet_close(&f->pair);
}

/* A segment that the far side does not get is sent again by the kernel's timer, and counted. */
static void
test_retransmissions(void **state)
{
    struct fixture *f = *state;
    uint64_t limit_ns = testnet_now_ns() + TESTNET_LIMIT_NS;
    struct diag_socket found;
    char byte;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    testnet_run(f->net.far, "ip link set %s arp off && ip link set %s address 02:00:00:00:00:07",
                TESTNET_FAR, TESTNET_FAR);
    assert_int_equal(send(f->pair.near, "x", 1, 0), 1);
    do {
        assert_int_equal(diag_find(&f->pair.key, &found), 0);
        assert_true(testnet_now_ns() < limit_ns);
    } while (!found.total_retrans);
    assert_int_equal(found.send_queue_bytes, 1);
    assert_int_equal(recv(f->pair.far, &byte, 1, 0), -1);
    testnet_close(&f->pair);
}

static void
test_md5(void **state)
{
    struct fixture *f = *state;
    struct diag_socket found;

    testnet_connect(&f->net, TESTNET_MD5, false, &f->pair);
    assert_int_equal(diag_find(&f->pair.key, &found), 0);
    assert_true(found.md5);
    testnet_close(&f->pair);
}

static void
test_mptcp(void **state)
{
    struct fixture *f = *state;
    struct diag_socket found;

    testnet_connect(&f->net, TESTNET_MPTCP, false, &f->pair);
    assert_int_equal(diag_find(&f->pair.key, &found), 0);
    assert_true(found.mptcp);
    testnet_close(&f->pair);
}

/* ---- sockets that go ---- */

struct news {
    struct steer_key key;
    unsigned matches;
};

static void
on_gone(void *arg, const struct steer_key *key)
{
    struct news *news = arg;

    news->matches += memcmp(key, &news->key, sizeof(*key)) == 0;
}

static void
wait_gone(int fd, struct news *news)
{
    while (!news->matches) {
        assert_true(testnet_wait_readable(fd));
        assert_int_equal(diag_read_destroyed(fd, on_gone, news), 0);
    }
    assert_int_equal(news->matches, 1);
}

/* The far side closes first and keeps the TIME_WAIT: the near socket ends with the acknowledgement
 * of its FIN. */
static void
gone_after_close(struct fixture *f, enum testnet_kind kind)
{
    int fd = diag_open_destroyed();
    struct news news = {0};

    assert_true(fd >= 0);
    testnet_connect(&f->net, kind, false, &f->pair);
    news.key = f->pair.key;
    assert_int_equal(diag_read_destroyed(fd, on_gone, &news), 0);
    assert_int_equal(news.matches, 0);
    close(f->pair.far);
    assert_true(testnet_wait_readable(f->pair.near));
    close(f->pair.near);
    wait_gone(fd, &news);
    diag_close_destroyed(fd);
}

static void
test_gone_ipv4(void **state)
{
    gone_after_close(*state, TESTNET_IPV4);
}

static void
test_gone_ipv6(void **state)
{
    gone_after_close(*state, TESTNET_IPV6);
}

static void
test_gone_mapped(void **state)
{
    gone_after_close(*state, TESTNET_MAPPED);
}

/* Reset by its own process: a RST says so on the wire, but the news is of half an address. */
static void
test_reset_on_close(void **state)
{
    struct fixture *f = *state;
    struct linger at_once = {.l_onoff = 1};
    int fd = diag_open_destroyed();
    struct news news = {0};

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    news.key.family = AF_INET;
    news.key.local_port = f->pair.key.local_port;
    memcpy(news.key.peer, f->pair.key.peer, sizeof(news.key.peer));
    assert_int_equal(setsockopt(f->pair.near, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(f->pair.near);
    wait_gone(fd, &news);
    close(f->pair.far);
    diag_close_destroyed(fd);
}

static int
on_answer(const struct nlmsghdr *header, void *arg)
{
    return MNL_CB_OK;
}

/* What an administrator does with ss -K. */
static int
kill_socket(const struct steer_key *key)
{
    char buffer[256];
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
    struct inet_diag_req_v2 *request = mnl_nlmsg_put_extra_header(header, sizeof(*request));

    header->nlmsg_type = SOCK_DESTROY;
    header->nlmsg_flags = NLM_F_ACK;
    request->sdiag_family = AF_INET;
    request->sdiag_protocol = IPPROTO_TCP;
    request->id.idiag_sport = key->local_port;
    request->id.idiag_dport = key->peer_port;
    memcpy(request->id.idiag_src, key->local, 4);
    memcpy(request->id.idiag_dst, key->peer, 4);
    request->id.idiag_cookie[0] = request->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    return netlink_ask(NETLINK_SOCK_DIAG, header, on_answer, NULL);
}

/* Killed while its process holds it: it cannot be found any more, but is told as gone only when it
 * is closed. */
static void
test_killed(void **state)
{
    struct fixture *f = *state;
    int fd = diag_open_destroyed();
    struct news news = {0};
    struct diag_socket found;

    testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
    news.key = f->pair.key;
    assert_int_equal(kill_socket(&f->pair.key), 0);
    assert_int_equal(diag_find(&f->pair.key, &found), -ENOENT);
    assert_int_equal(diag_read_destroyed(fd, on_gone, &news), 0);
    assert_int_equal(news.matches, 0);
    close(f->pair.near);
    wait_gone(fd, &news);
    close(f->pair.far);
    diag_close_destroyed(fd);
}

/* More news than the socket holds: the loss is told, and reading goes on. */
static void
test_lost_news(void **state)
{
    struct fixture *f = *state;
    struct linger at_once = {.l_onoff = 1};
    int fd = diag_open_destroyed(), bytes = 1, error;
    struct news news = {0};

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes)), 0);
    do {
        testnet_connect(&f->net, TESTNET_IPV4, false, &f->pair);
        for (int i = 0; i < 2; i++) {
            int end = i ? f->pair.near : f->pair.far;

            setsockopt(end, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
            close(end);
        }
        bytes++;
    } while (bytes < 100);
    struct pollfd lost = {.fd = fd}; /* the kernel tells of them later, one by one */
    assert_int_equal(poll(&lost, 1, 20000), 1);
    error = diag_read_destroyed(fd, on_gone, &news);
    assert_int_equal(error, -ENOBUFS);
    do /* it may still be at it */
        error = diag_read_destroyed(fd, on_gone, &news);
    while (error == -ENOBUFS);
    assert_int_equal(error, 0);
    diag_close_destroyed(fd);
}

#define test_case(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        test_case(test_ipv4),        test_case(test_ipv6),
        test_case(test_mapped),      test_case(test_filter),
        test_case(test_bound),       test_case(test_not_found),
        test_case(test_queues),      test_case(test_retransmissions),
        test_case(test_md5),         test_case(test_mptcp),
        test_case(test_gone_ipv4),   test_case(test_gone_ipv6),
        test_case(test_gone_mapped), test_case(test_reset_on_close),
        test_case(test_killed),      test_case(test_lost_news),
    };
    const char *why;

    if (!testnet_possible(&why)) {
        printf("1..0 # SKIP %s\n", why);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
