/*
 * For kernel tests: two network namespaces of their own with a veth pair between them, TCP
 * connections over it, a TAP, a stream whose bytes are checked, and a plain forwarder. Everything
 * vanishes with the process.
 *
 *   near: cn0 10.99.0.1 fd99::1   <- veth ->   far: cf0 10.99.0.2 fd99::2
 *
 * A function that cannot do its work ends the program with a message: a test cannot go on without
 * it.
 */
#ifndef BPF_TESTNET_H
#define BPF_TESTNET_H

#include "bpf/steer.h"

#include <stddef.h>
#include <stdio.h>

#define TESTNET_NEAR "cn0"
#define TESTNET_FAR "cf0"
#define TESTNET_LIMIT_NS UINT64_C(20000000000)

struct testnet {
    int home, near, far; /* namespaces */
    int near_ifindex, far_ifindex;
};

/* False, with the reason, where these tests cannot run. */
bool testnet_possible(const char **why);

/* Leaves the thread in the near namespace. */
void testnet_create(struct testnet *net);
/* Back home; the namespaces go when the last socket in them is closed. */
void testnet_destroy(struct testnet *net);
void testnet_enter(int namespace);
/* Runs a shell command in a namespace; it must succeed. */
void testnet_run(int namespace, const char *format, ...) __attribute__((format(printf, 2, 3)));

uint64_t testnet_now_ns(void);
/* True when fd is readable before the time limit. */
bool testnet_wait_readable(int fd);
#define testnet_require(condition)                                                                 \
    ((condition) ? (void)0 : testnet_fail(__FILE__, __LINE__, #condition))
void testnet_fail(const char *file, int line, const char *what) __attribute__((noreturn));

/* ---- TCP connections ---- */

struct testnet_pair {
    int near, far;        /* sockets, non-blocking, Nagle off, cubic */
    struct steer_key key; /* as the near side sees it */
};

enum testnet_kind { TESTNET_IPV4, TESTNET_IPV6, TESTNET_MAPPED, TESTNET_MPTCP, TESTNET_MD5 };

/* The near side connects. bound: SO_BINDTODEVICE before. */
void testnet_connect(const struct testnet *net, enum testnet_kind kind, bool bound,
                     struct testnet_pair *out);
void testnet_close(struct testnet_pair *pair);
/* The same key from the other end. */
struct steer_key testnet_turned(const struct steer_key *key);

/* ---- short talks over a connection ---- */

/* At most 20000 zero bytes, which must go in one piece. */
void testnet_send(int fd, unsigned bytes, int flags);
void testnet_receive(int fd, unsigned bytes);
/* Waits until everything sent is acknowledged: a delayed acknowledgement comes with a timer. */
void testnet_settle(int fd);
/* 20000 bytes there and back, everything acknowledged. */
void testnet_exchange(const struct testnet_pair *pair);

/* ---- a stream whose bytes say where they are ---- */

struct testnet_stream {
    int from, to;
    uint64_t total, sent, received;
    uint64_t last_ns, longest_gap_ns; /* between arrivals */
};

/* Writes and reads what goes without waiting, checks every byte. True if anything moved. */
bool testnet_stream_turn(struct testnet_stream *stream);
bool testnet_stream_done(const struct testnet_stream *stream);

/* ---- TAP and forwarder: what an owner does with steered frames, without a TCP of its own ---- */

struct testnet_forwarder {
    int tap, packet;
    int tap_ifindex;
    uint64_t out, in, dropped;
    char *frame;
};

/* A TAP with superframes, up, in the current namespace. Returns its descriptor. */
int testnet_tap(int *ifindex);
/* Raw frames with a virtio header before them; sends only. */
int testnet_packet_socket(int ifindex);
void testnet_forwarder_open(struct testnet_forwarder *forwarder, int ifindex);
/* The wire's socket: the filter lets in steered frames only, the mark lets ours pass. */
void testnet_forwarder_arm(struct testnet_forwarder *forwarder, const struct steer *steer);
bool testnet_forwarder_turn(struct testnet_forwarder *forwarder);
void testnet_forwarder_close(struct testnet_forwarder *forwarder);
/* Sleeps until one of up to four descriptors (-1: none) can be served, 10 ms at most. */
void testnet_rest(const struct testnet_stream *stream, const struct testnet_forwarder *forwarder);

#endif
