/*
 * Reads a kernel socket, exactly, in one call: user space writes the key, fires this program with
 * BPF_PROG_TEST_RUN and reads the answer, both through the mapped .bss. The program runs in the
 * namespace of the caller.
 *
 * The socket is not locked. Another CPU may be in the middle of a segment, so the sequence numbers
 * are read again at the end; when they have moved the answer is "torn" and the caller asks again.
 *
 * Unlike tcp_info this has what a second stack needs to go on: windows with the points they were
 * counted from, TS.Recent, the timestamp offset, the unscaled round-trip estimators.
 */
#include <linux/bpf.h>
#include <stdbool.h>

#include "bpf/kernel_types.h"

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "bpf/snapshot.h"
#include "bpf/steer.h"

#define FAMILY_INET 2
#define STATE_LISTEN 10
#define ECN_NEGOTIATED 0x01
#define ECN_QUEUE_CWR 0x02
#define ECN_DEMAND_CWR 0x04
#define ECN_ACCURATE 0x10 /* where the kernel knows it */
#define NAGLE_OFF 1
#define SHUTDOWN_RECEIVE 1
#define SHUTDOWN_SEND 2

char snapshot_license[] SEC("license") = "Dual MIT/GPL";

struct steer_key wanted;
struct steer_snapshot found;

static __always_inline void
read_sequence(struct tcp_sock *tp)
{
    found.rcv_nxt = tp->rcv_nxt;
    found.rcv_wup = tp->rcv_wup;
    found.rcv_wnd = tp->rcv_wnd;
    found.copied_seq = tp->copied_seq;
    found.snd_una = tp->snd_una;
    found.snd_nxt = tp->snd_nxt;
    found.write_seq = tp->write_seq;
    found.snd_wnd = tp->snd_wnd;
    found.max_window = tp->max_window;
    found.snd_wl1 = tp->snd_wl1;
    found.bytes_sent = tp->bytes_sent;
    found.bytes_received = tp->bytes_received;
    found.out_of_order = tp->out_of_order_queue.rb_node != 0;
    /* snd_up trails snd_una for a moment in every acknowledgement: only ahead of it does it mean
     * urgent data. */
    found.urgent = tp->urg_data != 0 || (__s32)(tp->snd_up - tp->snd_una) > 0;
}

static __always_inline void
read_estimators(struct tcp_sock *tp)
{
    found.snd_cwnd = tp->snd_cwnd;
    found.snd_ssthresh = tp->snd_ssthresh;
    found.srtt_us = tp->srtt_us >> 3;
    found.rttvar_us = tp->mdev_us >> 2; /* the kernel's rttvar_us has the minimum RTO folded in */
    found.packets_out = tp->packets_out;
    found.retrans_out = tp->retrans_out;
    found.lost_out = tp->lost_out;
    found.sacked_out = tp->sacked_out;
    found.total_retrans = tp->total_retrans;
    found.ca_state = BPF_CORE_READ_BITFIELD(&tp->inet_conn, icsk_ca_state);
    found.retransmits = tp->inet_conn.icsk_retransmits;
}

static __always_inline void
read_negotiated(struct tcp_sock *tp)
{
    struct tcp_options_received *options = &tp->rx_opt;

    found.ts_recent = options->ts_recent;
    found.ts_recent_stamp = options->ts_recent_stamp;
    found.ts_offset = tp->tsoffset;
    found.has_timestamps = BPF_CORE_READ_BITFIELD(options, tstamp_ok);
    found.has_sack = BPF_CORE_READ_BITFIELD(options, sack_ok) != 0;
    found.has_wscale = BPF_CORE_READ_BITFIELD(options, wscale_ok);
    found.snd_wscale = BPF_CORE_READ_BITFIELD(options, snd_wscale);
    found.rcv_wscale = BPF_CORE_READ_BITFIELD(options, rcv_wscale);
    found.mss = tp->mss_cache;
    found.advmss = tp->advmss;
    found.mss_clamp = options->mss_clamp;
    found.ecn = (tp->ecn_flags & (ECN_NEGOTIATED | ECN_ACCURATE)) != 0;
    found.accurate_ecn = (tp->ecn_flags & ECN_ACCURATE) != 0;
    found.ecn_echo = (tp->ecn_flags & ECN_DEMAND_CWR) != 0;
    found.ecn_cwr = (tp->ecn_flags & ECN_QUEUE_CWR) != 0;
    if (bpf_core_field_exists(tp->tcp_usec_ts))
        found.microsecond_timestamps = BPF_CORE_READ_BITFIELD(tp, tcp_usec_ts);
    if (bpf_core_field_exists(tp->is_mptcp))
        found.mptcp = tp->is_mptcp;
    if (bpf_core_field_exists(tp->md5sig_info))
        found.md5 = tp->md5sig_info != 0;
    if (bpf_core_field_exists(tp->ao_info))
        found.ao = tp->ao_info != 0;
}

static __always_inline void
read_socket(struct tcp_sock *tp)
{
    struct inet_sock *inet = &tp->inet_conn.icsk_inet;
    struct sock *sk = &inet->sk;
    int ttl = inet->uc_ttl;
    __u32 keep_open = bpf_core_enum_value(enum sock_flags, SOCK_KEEPOPEN);

    found.state = sk->__sk_common.skc_state;
    found.mark = sk->sk_mark;
    found.bound_ifindex = sk->__sk_common.skc_bound_dev_if;
    found.uid = sk->sk_uid.val;
    found.rcv_shutdown = (sk->sk_shutdown & SHUTDOWN_RECEIVE) != 0;
    found.snd_shutdown = (sk->sk_shutdown & SHUTDOWN_SEND) != 0;
    found.nodelay = (BPF_CORE_READ_BITFIELD(tp, nonagle) & NAGLE_OFF) != 0;
    found.keepalive = (sk->__sk_common.skc_flags >> (keep_open & 63)) & 1;
    found.keepalive_probes = tp->keepalive_probes;
    found.keepalive_time_s = tp->keepalive_time; /* ticks; the loader makes seconds of them */
    found.keepalive_interval_s = tp->keepalive_intvl;
    found.tos = inet->tos;
    if (wanted.family != FAMILY_INET && inet->pinet6) {
        ttl = (__s16)BPF_CORE_READ_BITFIELD_PROBED(inet->pinet6, hop_limit);
        found.tos = inet->pinet6->tclass;
    }
    found.ttl_set = ttl >= 0;
    found.ttl = ttl >= 0 ? ttl : 0;
}

static __always_inline bool
moved(struct tcp_sock *tp)
{
    return found.rcv_nxt != tp->rcv_nxt || found.rcv_wup != tp->rcv_wup ||
           found.snd_una != tp->snd_una || found.snd_nxt != tp->snd_nxt ||
           found.write_seq != tp->write_seq || found.copied_seq != tp->copied_seq;
}

/* The lookup wants the tuple as an arriving segment has it: the peer is the source. */
static __always_inline struct bpf_sock *
look_up(struct __sk_buff *skb)
{
    struct bpf_sock_tuple tuple = {0};

    if (wanted.family == FAMILY_INET) {
        __builtin_memcpy(&tuple.ipv4.saddr, wanted.peer, 4);
        __builtin_memcpy(&tuple.ipv4.daddr, wanted.local, 4);
        tuple.ipv4.sport = wanted.peer_port;
        tuple.ipv4.dport = wanted.local_port;
        return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
    }
    __builtin_memcpy(tuple.ipv6.saddr, wanted.peer, 16);
    __builtin_memcpy(tuple.ipv6.daddr, wanted.local, 16);
    tuple.ipv6.sport = wanted.peer_port;
    tuple.ipv6.dport = wanted.local_port;
    return bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/* A listening socket answers for every peer: it is not what was asked for. */
SEC("tc")
int
snapshot_read(struct __sk_buff *skb)
{
    struct bpf_sock *sk = look_up(skb);
    struct tcp_sock *tp;
    int answer = SNAPSHOT_NONE;

    if (!sk)
        return SNAPSHOT_NONE;
    tp = bpf_skc_to_tcp_sock(sk);
    if (tp && tp->inet_conn.icsk_inet.sk.__sk_common.skc_state != STATE_LISTEN) {
        __builtin_memset(&found, 0, sizeof(found));
        read_sequence(tp);
        read_estimators(tp);
        read_negotiated(tp);
        read_socket(tp);
        barrier();
        answer = moved(tp) ? SNAPSHOT_TORN : SNAPSHOT_WHOLE;
    }
    bpf_sk_release(sk);
    return answer;
}
