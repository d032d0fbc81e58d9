/*
 * Steering: while a flow's key is in the map (and its owner's heart beats) the kernel's frames of
 * that flow go to a TAP and the peer's frames go to the wire's packet socket only. Everything here
 * vanishes with its owner: TCX links and maps die with their descriptors, and the programs ignore
 * keys whose owner has missed its beat.
 *
 * Marked frames (ours) pass untouched; those of a flow whose owner has missed its beat are dropped:
 * one that wakes may still say what it had ready. Threads: the loop's. Needs CAP_BPF, CAP_PERFMON
 * and CAP_NET_ADMIN, kernel 6.6. Interfaces and sockets are those of the calling thread's
 * namespace.
 */
#ifndef BPF_STEER_H
#define BPF_STEER_H

#include <stdbool.h>
#include <stdint.h>

struct steer;

struct steer_options {
    uint32_t mark;      /* SO_MARK of the wire's socket and what is re-injected; 0: 0x00c41e57 */
    uint32_t missed_ms; /* the programs let go after so long without a beat; 0: 100 */
};

/* A flow as its kernel socket sees it. Addresses and ports in network order; IPv4 in the first 4
 * bytes, rest zero. */
struct steer_key {
    uint8_t local[16], peer[16];
    uint16_t local_port, peer_port;
    uint16_t family; /* AF_INET, AF_INET6 */
    uint16_t zero;
};

struct steer_counters {
    uint64_t out_redirected, out_redirected_bytes; /* kernel → TAP */
    uint64_t in_diverted, in_diverted_bytes; /* peer → packet socket, dropped for the kernel */
    uint64_t out_marked, in_marked;          /* ours */
    uint64_t out_leaked,
        in_leaked; /* unmarked, passed although the key was there: the heart had stopped */
};

/* Loads everything. 0 or a negative errno; *why (a static string, never NULL on failure) says which
 * step and what to do. */
int steer_open(const struct steer_options *options, struct steer **out, const char **why);
void steer_close(struct steer *steer);
uint32_t steer_mark(const struct steer *steer);

/* Attaches to an interface (TCX, last at egress, first at ingress) and to the ingress of the TAP
 * that serves it. */
int steer_attach(struct steer *steer, int ifindex, int tap_ifindex, const char **why);
void steer_detach(struct steer *steer, int ifindex);

/* Keeps the kernel away from an interface, in both directions: only packet sockets hear there, and
 * only marked frames leave. Ends with steer_detach, or with its owner. */
int steer_wall(struct steer *steer, int ifindex, const char **why);

/* A BPF filter for a raw packet socket: accepts exactly the unmarked frames of steered flows that
 * come from peers. Owned by steer. */
int steer_filter_fd(const struct steer *steer);

int steer_flow_add(struct steer *steer, const struct steer_key *key); /* -EEXIST */
/* Last counters in *out (may be NULL). -ENOENT. */
int steer_flow_remove(struct steer *steer, const struct steer_key *key, struct steer_counters *out);
int steer_flow_read(struct steer *steer, const struct steer_key *key, struct steer_counters *out);

/* The owner lives. Costs a store (the map is mapped). now_ns: CLOCK_MONOTONIC. Before the first
 * beat nothing is steered; 0 stops the heart. */
void steer_beat(struct steer *steer, uint64_t now_ns);

/* ---- exact state of a kernel socket: bpf_skc_lookup_tcp in a program fired by BPF_PROG_TEST_RUN,
 * about 3 µs ---- */
struct steer_snapshot {
    uint32_t state; /* the kernel's TCP_ESTABLISHED … */
    uint32_t rcv_nxt, rcv_wup, copied_seq;
    uint32_t rcv_wnd; /* counted from rcv_wup; may exceed 65535 << rcv_wscale, what can be told */
    uint32_t snd_una, snd_nxt, write_seq, snd_wnd, max_window, snd_wl1;
    uint32_t snd_cwnd, snd_ssthresh; /* segments */
    uint32_t srtt_us;                /* real microseconds (the kernel keeps 8 times it) */
    uint32_t rttvar_us;              /* the same; the mean deviation, without a minimum RTO in it */
    uint32_t ts_recent;
    int32_t ts_recent_stamp; /* seconds */
    uint32_t ts_offset;
    uint32_t mss, advmss, mss_clamp; /* mss: payload per segment now */
    uint32_t out_of_order;           /* non-zero: the socket holds out-of-order data */
    uint32_t packets_out, retrans_out, lost_out, sacked_out, total_retrans;
    uint32_t keepalive_time_s, keepalive_interval_s; /* 0: system default */
    uint32_t mark, bound_ifindex, uid;
    uint64_t bytes_sent, bytes_received; /* payload, as the socket counts */
    uint8_t snd_wscale, rcv_wscale;
    uint8_t has_timestamps, has_sack, has_wscale;
    uint8_t ecn; /* negotiated, of either kind */
    uint8_t microsecond_timestamps, mptcp, md5, ao, urgent;
    uint8_t keepalive, keepalive_probes, nodelay;
    uint8_t rcv_shutdown, snd_shutdown, ca_state, retransmits;
    uint8_t tos, ttl_set; /* ttl_set 0: default */
    uint8_t ttl;
    uint8_t accurate_ecn; /* the newer kind */
    uint8_t ecn_echo;     /* ECE goes with every acknowledgement until a CWR comes */
    uint8_t ecn_cwr;      /* CWR goes with the next new data */
};

/* 0; -ENOENT: no such socket in this network namespace (a TIME_WAIT or request socket counts as
 * none). */
int steer_snapshot(struct steer *steer, const struct steer_key *key, struct steer_snapshot *out);

/*
 * Sets the congestion window and threshold (segments) of a running foreign socket: switches it to a
 * struct_ops algorithm whose init sets them, and back to what it had. -ENOENT; -EOPNOTSUPP when
 * struct_ops or the iterator is missing.
 */
int steer_set_congestion(struct steer *steer, const struct steer_key *key, uint32_t cwnd,
                         uint32_t ssthresh);

#endif
