/*
 * The few members of kernel structures that our programs read. Not the kernel's layout: each access
 * carries a relocation by name, and the loader fills in where the running kernel keeps the member
 * (BTF, "CO-RE"). Members that not every kernel has must be guarded with bpf_core_field_exists.
 */
#ifndef BPF_KERNEL_TYPES_H
#define BPF_KERNEL_TYPES_H

#include <linux/types.h>
#include <stdbool.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
    union {
        __be32 u6_addr32[4];
    } in6_u;
};

struct sock_common {
    __be32 skc_daddr;
    __be32 skc_rcv_saddr;
    __be16 skc_dport;
    __u16 skc_num; /* host order */
    unsigned short skc_family;
    volatile unsigned char skc_state;
    int skc_bound_dev_if;
    struct in6_addr skc_v6_daddr;
    struct in6_addr skc_v6_rcv_saddr;
    unsigned long skc_flags;
};

typedef struct {
    __u32 val;
} kuid_t;

struct sock {
    struct sock_common __sk_common;
    __u32 sk_mark;
    kuid_t sk_uid;
    __u8 sk_shutdown;
};

enum sock_flags {
    SOCK_KEEPOPEN = 3 /* the value is relocated */
};

struct ipv6_pinfo {
    __s16 hop_limit;
    __u8 tclass;
};

struct inet_sock {
    struct sock sk;
    struct ipv6_pinfo *pinet6;
    __s16 uc_ttl;
    __u8 tos;
};

struct inet_connection_sock {
    struct inet_sock icsk_inet;
    __u8 icsk_ca_state : 5;
    __u8 icsk_retransmits;
};

struct tcp_options_received {
    int ts_recent_stamp;
    __u32 ts_recent;
    __u16 saw_tstamp : 1, tstamp_ok : 1, dsack : 1, wscale_ok : 1, sack_ok : 3, smc_ok : 1,
        snd_wscale : 4, rcv_wscale : 4;
    __u16 mss_clamp;
};

struct rb_node;

struct rb_root {
    struct rb_node *rb_node;
};

struct tcp_md5sig_info;
struct tcp_ao_info;

struct tcp_sock {
    struct inet_connection_sock inet_conn;
    __u32 max_window, tsoffset, snd_wnd, mss_cache, snd_cwnd, snd_cwnd_clamp, snd_ssthresh;
    __u32 lost_out, sacked_out, retrans_out, packets_out, total_retrans;
    __u8 tcp_usec_ts : 1;
    __u32 copied_seq, snd_wl1, write_seq, rcv_nxt, snd_nxt, snd_una, snd_up, rcv_wnd, rcv_wup;
    __u16 advmss;
    __u16 urg_data;
    struct rb_root out_of_order_queue;
    __u64 bytes_sent, bytes_received;
    __u32 srtt_us, mdev_us;
    __u8 ecn_flags;
    __u8 nonagle : 4;
    struct tcp_options_received rx_opt;
    __u8 keepalive_probes;
    unsigned int keepalive_time, keepalive_intvl; /* ticks of the kernel's HZ */
    bool is_mptcp;
    __u8 syn_smc : 1;
    struct tcp_md5sig_info *md5sig_info;
    struct tcp_ao_info *ao_info;
};

/* struct_ops matches members by name too: the ones we do not fill may be missing here. */
struct tcp_congestion_ops {
    __u32 (*ssthresh)(struct sock *sk);
    void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
    __u32 (*undo_cwnd)(struct sock *sk);
    void (*init)(struct sock *sk);
    char name[16];
};

struct bpf_iter__tcp {
    struct sock_common *sk_common;
};

#pragma clang attribute pop

#endif
