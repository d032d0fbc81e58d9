/*
 * Namespaces without names: two descriptors. One thread moves between them, because a socket stays
 * where it was made; so both ends of a connection are served by one loop, and nothing needs to be
 * waited for by the clock.
 */
#include "bpf/testnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define COMMAND_BYTES 512
#define CHUNK_BYTES 65536
#define TALK_BYTES 20000 /* fits the buffers of a fresh socket */
#define PROTOCOL_MPTCP 262
#define CONGESTION "cubic"

void
testnet_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s: %s\n", file, line, what, strerror(errno));
    printf("Bail out! %s:%d: %s\n", file, line, what);
    fflush(stdout);
    _exit(1);
}

uint64_t
testnet_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool
testnet_wait_readable(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};

    return poll(&wait, 1, (int)(TESTNET_LIMIT_NS / 1000000)) == 1;
}

/* ---- namespaces ---- */

bool
testnet_possible(const char **why)
{
    *why = "needs root";
    if (geteuid() != 0)
        return false;
    *why = "needs /dev/net/tun";
    if (access("/dev/net/tun", R_OK | W_OK))
        return false;
    *why = "needs the ip command";
    return system("ip -V >/dev/null 2>&1") == 0;
}

static int
current_namespace(void)
{
    int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

    testnet_require(fd >= 0);
    return fd;
}

static int
new_namespace(void)
{
    testnet_require(unshare(CLONE_NEWNET) == 0);
    return current_namespace();
}

void
testnet_enter(int namespace)
{
    testnet_require(setns(namespace, CLONE_NEWNET) == 0);
}

void
testnet_run(int namespace, const char *format, ...)
{
    int back = current_namespace();
    char command[COMMAND_BYTES];
    va_list args;

    va_start(args, format);
    testnet_require(vsnprintf(command, sizeof(command), format, args) < (int)sizeof(command));
    va_end(args);
    testnet_enter(namespace);
    if (system(command) != 0)
        testnet_fail(__FILE__, __LINE__, command);
    testnet_enter(back);
    close(back);
}

static void
raise_end(int namespace, const char *name, int number)
{
    testnet_run(namespace,
                "ip link set lo up && ip address add 10.99.0.%d/24 dev %s && "
                "ip address add fd99::%d/64 dev %s nodad && ip link set %s up",
                number, name, number, name, name);
}

/* The router-less pair speaks only when spoken to: no router solicitations, no link-local
 * addresses. */
void
testnet_create(struct testnet *net)
{
    net->home = current_namespace();
    net->far = new_namespace();
    net->near = new_namespace();
    testnet_run(net->near, "ip link add %s type veth peer name %s netns /proc/%d/fd/%d",
                TESTNET_NEAR, TESTNET_FAR, (int)getpid(), net->far);
    testnet_run(net->near, "ip link set %s addrgenmode none", TESTNET_NEAR);
    testnet_run(net->far, "ip link set %s addrgenmode none", TESTNET_FAR);
    raise_end(net->near, TESTNET_NEAR, 1);
    raise_end(net->far, TESTNET_FAR, 2);
    testnet_enter(net->far);
    net->far_ifindex = (int)if_nametoindex(TESTNET_FAR);
    testnet_enter(net->near);
    net->near_ifindex = (int)if_nametoindex(TESTNET_NEAR);
}

void
testnet_destroy(struct testnet *net)
{
    testnet_run(net->near, "ip link delete %s", TESTNET_NEAR);
    testnet_enter(net->home);
    close(net->near);
    close(net->far);
    close(net->home);
}

/* ---- connections ---- */

static socklen_t
far_address(enum testnet_kind kind, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof(*out));
    if (kind != TESTNET_IPV6 && kind != TESTNET_MAPPED) {
        v4->sin_family = AF_INET;
        testnet_require(inet_pton(AF_INET, "10.99.0.2", &v4->sin_addr) == 1);
        return sizeof(*v4);
    }
    v6->sin6_family = AF_INET6;
    testnet_require(inet_pton(AF_INET6, kind == TESTNET_MAPPED ? "::ffff:10.99.0.2" : "fd99::2",
                              &v6->sin6_addr) == 1);
    return sizeof(*v6);
}

static int
tcp_socket(enum testnet_kind kind)
{
    int family = kind == TESTNET_IPV6 || kind == TESTNET_MAPPED ? AF_INET6 : AF_INET;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, kind == TESTNET_MPTCP ? PROTOCOL_MPTCP : 0);

    testnet_require(fd >= 0);
    if (kind != TESTNET_MPTCP)
        testnet_require(
            setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, CONGESTION, sizeof(CONGESTION) - 1) == 0);
    return fd;
}

static void
sign(int fd, const char *peer)
{
    struct tcp_md5sig key = {.tcpm_keylen = 3, .tcpm_key = "key"};
    struct sockaddr_in *address = (struct sockaddr_in *)&key.tcpm_addr;

    address->sin_family = AF_INET;
    testnet_require(inet_pton(AF_INET, peer, &address->sin_addr) == 1);
    testnet_require(setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &key, sizeof(key)) == 0);
}

static void
make_ready(int fd)
{
    int one = 1;

    testnet_require(fd >= 0);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    testnet_require(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
}

static void
copy_end(int fd, bool peer, uint8_t address[16], uint16_t *port, uint16_t *family)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } name = {.v6 = {.sin6_port = 0}};
    const struct sockaddr_in *v4 = &name.v4;
    const struct sockaddr_in6 *v6 = &name.v6;
    socklen_t len = sizeof(name);
    int error = peer ? getpeername(fd, &name.any, &len) : getsockname(fd, &name.any, &len);

    testnet_require(error == 0);
    *port = v4->sin_port;
    *family = AF_INET;
    if (name.any.sa_family == AF_INET) {
        memcpy(address, &v4->sin_addr, 4);
    } else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        memcpy(address, v6->sin6_addr.s6_addr + 12, 4);
    } else {
        memcpy(address, &v6->sin6_addr, 16);
        *family = AF_INET6;
    }
}

void
testnet_connect(const struct testnet *net, enum testnet_kind kind, bool bound,
                struct testnet_pair *out)
{
    struct sockaddr_storage address;
    socklen_t len = far_address(kind, &address);
    int listener;

    memset(out, 0, sizeof(*out));
    testnet_enter(net->far);
    listener = tcp_socket(kind);
    if (kind == TESTNET_MD5)
        sign(listener, "10.99.0.1");
    testnet_require(bind(listener, (struct sockaddr *)&address, len) == 0);
    testnet_require(listen(listener, 1) == 0);
    testnet_require(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    testnet_enter(net->near);
    out->near = tcp_socket(kind);
    if (kind == TESTNET_MD5)
        sign(out->near, "10.99.0.2");
    if (bound)
        testnet_require(setsockopt(out->near, SOL_SOCKET, SO_BINDTODEVICE, TESTNET_NEAR,
                                   sizeof(TESTNET_NEAR)) == 0);
    testnet_require(connect(out->near, (struct sockaddr *)&address, len) == 0);
    out->far = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    make_ready(out->near);
    make_ready(out->far);
    copy_end(out->near, false, out->key.local, &out->key.local_port, &out->key.family);
    copy_end(out->near, true, out->key.peer, &out->key.peer_port, &out->key.family);
}

void
testnet_close(struct testnet_pair *pair)
{
    close(pair->near);
    close(pair->far);
}

struct steer_key
testnet_turned(const struct steer_key *key)
{
    struct steer_key turned = *key;

    memcpy(turned.local, key->peer, 16);
    memcpy(turned.peer, key->local, 16);
    turned.local_port = key->peer_port;
    turned.peer_port = key->local_port;
    return turned;
}

/* ---- short talks ---- */

void
testnet_send(int fd, unsigned bytes, int flags)
{
    static const char zeros[TALK_BYTES];

    testnet_require(bytes <= sizeof(zeros));
    testnet_require(send(fd, zeros, bytes, flags) == (ssize_t)bytes);
}

void
testnet_receive(int fd, unsigned bytes)
{
    char buffer[TALK_BYTES];

    while (bytes) {
        ssize_t n;

        testnet_require(testnet_wait_readable(fd));
        n = recv(fd, buffer, bytes < sizeof(buffer) ? bytes : sizeof(buffer), 0);
        testnet_require(n > 0);
        bytes -= (unsigned)n;
    }
}

void
testnet_settle(int fd)
{
    uint64_t limit_ns = testnet_now_ns() + TESTNET_LIMIT_NS;
    int left;

    do {
        testnet_require(ioctl(fd, SIOCOUTQ, &left) == 0);
        testnet_require(testnet_now_ns() < limit_ns);
    } while (left);
}

void
testnet_exchange(const struct testnet_pair *pair)
{
    testnet_send(pair->near, TALK_BYTES, 0);
    testnet_receive(pair->far, TALK_BYTES);
    testnet_send(pair->far, TALK_BYTES, 0);
    testnet_receive(pair->near, TALK_BYTES);
    testnet_settle(pair->near);
    testnet_settle(pair->far);
}

/* ---- streams ---- */

static uint8_t
byte_at(uint64_t offset)
{
    return (uint8_t)((offset * UINT64_C(0x9e3779b97f4a7c15)) >> 37);
}

static bool
stream_write(struct testnet_stream *stream)
{
    static uint8_t chunk[CHUNK_BYTES];
    uint64_t left = stream->total - stream->sent;
    size_t len = left < sizeof(chunk) ? (size_t)left : sizeof(chunk);
    ssize_t n;

    if (!len)
        return false;
    for (size_t i = 0; i < len; i++)
        chunk[i] = byte_at(stream->sent + i);
    n = send(stream->from, chunk, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    testnet_require(n > 0 || (n < 0 && errno == EAGAIN));
    stream->sent += n > 0 ? (uint64_t)n : 0;
    return n > 0;
}

static bool
stream_read(struct testnet_stream *stream)
{
    static uint8_t chunk[CHUNK_BYTES];
    ssize_t n = recv(stream->to, chunk, sizeof(chunk), MSG_DONTWAIT);
    uint64_t now_ns = testnet_now_ns();

    testnet_require(n > 0 || (n < 0 && errno == EAGAIN));
    if (n < 0)
        return false;
    for (ssize_t i = 0; i < n; i++)
        testnet_require(chunk[i] == byte_at(stream->received + (uint64_t)i));
    if (stream->last_ns && now_ns - stream->last_ns > stream->longest_gap_ns)
        stream->longest_gap_ns = now_ns - stream->last_ns;
    stream->last_ns = now_ns;
    stream->received += (uint64_t)n;
    return true;
}

bool
testnet_stream_turn(struct testnet_stream *stream)
{
    bool wrote = stream_write(stream);
    bool read = stream->received < stream->total && stream_read(stream);

    return wrote || read;
}

bool
testnet_stream_done(const struct testnet_stream *stream)
{
    return stream->received == stream->total;
}
