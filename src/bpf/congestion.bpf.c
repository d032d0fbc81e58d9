/*
 * Sets the congestion window and threshold of a running socket of somebody else.
 *
 * No system call writes them. But a congestion control algorithm may, when a socket is switched to
 * it: so here is one whose init does that, and an iterator over the TCP sockets that finds one
 * socket by its addresses and, under that socket's lock, switches it to this algorithm and back to
 * the one it had. The two switches are one step for everybody else: a killed owner cannot leave a
 * socket in between.
 *
 * Besides init the algorithm is the kernel's own Reno.
 */
#include <linux/bpf.h>
#include <stdbool.h>

#include "bpf/kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "bpf/steer.h"

#define FAMILY_INET 2
#define FAMILY_INET6 10
#define LEVEL_TCP 6
#define OPTION_CONGESTION 13
#define STATE_LISTEN 10
#define NAME_BYTES 16

char congestion_license[] SEC("license") = "GPL";

struct steer_key wanted;
__u32 wanted_cwnd, wanted_ssthresh;
char own_name[NAME_BYTES];
int sockets_found;
int switch_error;

extern void tcp_reno_cong_avoid(struct sock *sk, __u32 ack, __u32 acked) __ksym;
extern __u32 tcp_reno_ssthresh(struct sock *sk) __ksym;
extern __u32 tcp_reno_undo_cwnd(struct sock *sk) __ksym;

SEC("struct_ops/congestion_init")
void
BPF_PROG(congestion_init, struct sock *sk)
{
    struct tcp_sock *tp = (struct tcp_sock *)sk;
    __u32 cwnd = wanted_cwnd;

    if (cwnd > tp->snd_cwnd_clamp)
        cwnd = tp->snd_cwnd_clamp;
    if (cwnd)
        tp->snd_cwnd = cwnd;
    if (wanted_ssthresh)
        tp->snd_ssthresh = wanted_ssthresh;
}

SEC("struct_ops/congestion_ssthresh")
__u32
BPF_PROG(congestion_ssthresh, struct sock *sk)
{
    return tcp_reno_ssthresh(sk);
}

SEC("struct_ops/congestion_avoid")
void
BPF_PROG(congestion_avoid, struct sock *sk, __u32 ack, __u32 acked)
{
    tcp_reno_cong_avoid(sk, ack, acked);
}

SEC("struct_ops/congestion_undo")
__u32
BPF_PROG(congestion_undo, struct sock *sk)
{
    return tcp_reno_undo_cwnd(sk);
}

/* The loader overwrites the name in the object file: names are global, and two owners may run. */
SEC(".struct_ops")
struct tcp_congestion_ops congestion_algorithm = {
    .init = (void *)congestion_init,
    .ssthresh = (void *)congestion_ssthresh,
    .cong_avoid = (void *)congestion_avoid,
    .undo_cwnd = (void *)congestion_undo,
    .name = "chimney_unnamed",
};

static __always_inline bool
same_ipv6(const struct in6_addr *address, const uint8_t *bytes)
{
    __be32 words[4];

    __builtin_memcpy(words, bytes, sizeof(words));
    return address->in6_u.u6_addr32[0] == words[0] && address->in6_u.u6_addr32[1] == words[1] &&
           address->in6_u.u6_addr32[2] == words[2] && address->in6_u.u6_addr32[3] == words[3];
}

static __always_inline bool
mapped_ipv4(const struct in6_addr *address)
{
    return address->in6_u.u6_addr32[0] == 0 && address->in6_u.u6_addr32[1] == 0 &&
           address->in6_u.u6_addr32[2] == bpf_htonl(0xffff);
}

/* An IPv4 connection may live on an IPv6 socket; the kernel then keeps both forms of its addresses.
 */
static __always_inline bool
is_wanted(const struct sock_common *skc)
{
    __be32 local, peer;

    if (skc->skc_dport != wanted.peer_port || bpf_htons(skc->skc_num) != wanted.local_port ||
        skc->skc_state == STATE_LISTEN)
        return false;
    if (wanted.family == FAMILY_INET6)
        return skc->skc_family == FAMILY_INET6 && same_ipv6(&skc->skc_v6_daddr, wanted.peer) &&
               same_ipv6(&skc->skc_v6_rcv_saddr, wanted.local);
    if (skc->skc_family != FAMILY_INET && !mapped_ipv4(&skc->skc_v6_daddr))
        return false;
    __builtin_memcpy(&local, wanted.local, 4);
    __builtin_memcpy(&peer, wanted.peer, 4);
    return skc->skc_daddr == peer && skc->skc_rcv_saddr == local;
}

SEC("iter/tcp")
int
congestion_set(struct bpf_iter__tcp *ctx)
{
    struct sock_common *skc = ctx->sk_common;
    char name[NAME_BYTES] = {0};
    struct tcp_sock *tp;
    int error;

    if (!skc || !is_wanted(skc))
        return 0;
    tp = bpf_skc_to_tcp_sock(skc);
    if (!tp)
        return 0;
    sockets_found++;
    error = bpf_getsockopt(tp, LEVEL_TCP, OPTION_CONGESTION, name, sizeof(name));
    if (!error)
        error = bpf_setsockopt(tp, LEVEL_TCP, OPTION_CONGESTION, own_name, sizeof(own_name));
    if (!error)
        error = bpf_setsockopt(tp, LEVEL_TCP, OPTION_CONGESTION, name, sizeof(name));
    switch_error = error;
    return 0;
}
