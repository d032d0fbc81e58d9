/*
 * The programs that take one flow's frames off their usual way, and two that keep the kernel away
 * from the interfaces under a port. A flow is a key in `flows`;
 * its value counts.
 *
 *   kernel --> interface egress --(key)--> TAP --> owner                     steer_egress
 *   peer --> packet socket of the owner (steer_taken accepts), and
 *   peer --> interface ingress --(key)--> dropped for the kernel             steer_ingress
 *   owner --> TAP --> marked --> interface ingress --> kernel                steer_tap
 *
 * Invariants. A frame that carries our mark is never steered, so nothing goes round twice. A key
 * counts only while the owner's heart beats: a dead, stopped or core-dumping owner gives the flow
 * back to the kernel by doing nothing. What it still says of that flow when it wakes, before it has
 * noticed, is dropped: kernel and peer have talked past it, perhaps for long enough that an old
 * sequence number fits again. Packet sockets see a frame before the ingress hook does, so
 * a drop there hides nothing from the owner. What cannot be read as plain TCP over IP (fragments,
 * IPv6 extension headers, VLAN tags) is nobody's flow.
 *
 * TCX_NEXT, not TCX_PASS: programs of others that stand behind ours still run.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/steer.h"

#define FAMILY_INET 2
#define FAMILY_INET6 10
#define FRAGMENT_BITS 0x3fff /* more fragments, offset */
#define VERDICT_NEXT (-1)    /* TCX_NEXT: on to the next program */
#define VERDICT_DROP 2       /* TCX_DROP */
#define MAX_FLOWS 65536
#define MAX_INTERFACES 256

char steer_license[] SEC("license") = "Dual MIT/GPL";

/* Set before loading. */
const volatile __u32 steer_mark_value = 0;
const volatile __u64 steer_missed_ns = 0;

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, MAX_FLOWS);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, struct steer_key);
    __type(value, struct steer_counters);
} flows SEC(".maps");

/* Interface → its TAP, and TAP → its interface. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, MAX_INTERFACES);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, __u32);
    __type(value, __u32);
} twins SEC(".maps");

/* One word: CLOCK_MONOTONIC of the owner's last beat; the owner stores it through a mapping. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, __u32);
    __type(value, __u64);
} heart SEC(".maps");

static __always_inline void
count(uint64_t *counter, __u64 by)
{
    __sync_fetch_and_add(counter, by);
}

/* Signed: the owner's clock reading may be a little ahead of what this CPU reads. */
static __always_inline bool
heart_beats(void)
{
    __u32 zero = 0;
    const volatile __u64 *beat = bpf_map_lookup_elem(&heart, &zero);

    return beat && *beat != 0 && (__s64)(bpf_ktime_get_ns() - *beat) < (__s64)steer_missed_ns;
}

/* ---- from a frame to its flow ---- */

/* True: the first len bytes can be read directly (after the caller's own bounds check). */
static __always_inline bool
reach(struct __sk_buff *skb, __u32 len)
{
    if ((void *)(long)skb->data + len <= (void *)(long)skb->data_end)
        return true;
    return skb->len >= len && bpf_skb_pull_data(skb, len) == 0;
}

static __always_inline bool
plain_ipv4(const struct iphdr *ip)
{
    return ip->version == 4 && ip->ihl >= 5 && ip->protocol == IPPROTO_TCP &&
           !(ip->frag_off & bpf_htons(FRAGMENT_BITS));
}

static __always_inline void
key_ports(struct steer_key *key, const __be16 *ports, bool inbound)
{
    key->local_port = ports[inbound ? 1 : 0];
    key->peer_port = ports[inbound ? 0 : 1];
}

static __always_inline void
key_ipv4(struct steer_key *key, const struct iphdr *ip, bool inbound)
{
    __builtin_memset(key, 0, sizeof(*key));
    key->family = FAMILY_INET;
    __builtin_memcpy(key->local, inbound ? &ip->daddr : &ip->saddr, 4);
    __builtin_memcpy(key->peer, inbound ? &ip->saddr : &ip->daddr, 4);
}

static __always_inline void
key_ipv6(struct steer_key *key, const struct ipv6hdr *ip, bool inbound)
{
    __builtin_memset(key, 0, sizeof(*key));
    key->family = FAMILY_INET6;
    __builtin_memcpy(key->local, inbound ? &ip->daddr : &ip->saddr, 16);
    __builtin_memcpy(key->peer, inbound ? &ip->saddr : &ip->daddr, 16);
}

static __always_inline bool
frame_ipv4(struct __sk_buff *skb, bool inbound, struct steer_key *key)
{
    const struct iphdr *ip;
    const __be16 *ports;
    __u32 offset;

    if (!reach(skb, ETH_HLEN + sizeof(*ip) + 4))
        return false;
    ip = (void *)(long)skb->data + ETH_HLEN;
    if ((void *)(ip + 1) > (void *)(long)skb->data_end || !plain_ipv4(ip))
        return false;
    key_ipv4(key, ip, inbound);
    offset = ETH_HLEN + 4 * ip->ihl;
    if (!reach(skb, offset + 4))
        return false;
    ports = (void *)(long)skb->data + offset;
    if ((void *)(ports + 2) > (void *)(long)skb->data_end)
        return false;
    key_ports(key, ports, inbound);
    return true;
}

static __always_inline bool
frame_ipv6(struct __sk_buff *skb, bool inbound, struct steer_key *key)
{
    const struct ipv6hdr *ip;
    const __be16 *ports;

    if (!reach(skb, ETH_HLEN + sizeof(*ip) + 4))
        return false;
    ip = (void *)(long)skb->data + ETH_HLEN;
    ports = (void *)(ip + 1);
    if ((void *)(ports + 2) > (void *)(long)skb->data_end || ip->version != 6 ||
        ip->nexthdr != IPPROTO_TCP)
        return false;
    key_ipv6(key, ip, inbound);
    key_ports(key, ports, inbound);
    return true;
}

static __always_inline struct steer_counters *
flow_of_frame(struct __sk_buff *skb, bool inbound)
{
    struct steer_key key;

    if (skb->vlan_present)
        return 0;
    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        if (!frame_ipv4(skb, inbound, &key))
            return 0;
    } else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        if (!frame_ipv6(skb, inbound, &key))
            return 0;
    } else {
        return 0;
    }
    return bpf_map_lookup_elem(&flows, &key);
}

/* The same for the filter of a raw packet socket, which may only copy. (The copy relative to a
   header would be handy, but it does not reach beyond the linear part of a buffer.) */
static __always_inline struct steer_counters *
flow_of_copy(struct __sk_buff *skb)
{
    struct steer_key key;
    __be16 ports[2];
    __u32 offset;

    if (skb->vlan_present)
        return 0;
    if (skb->protocol == bpf_htons(ETH_P_IP)) {
        struct iphdr ip;

        if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || !plain_ipv4(&ip))
            return 0;
        key_ipv4(&key, &ip, true);
        offset = ETH_HLEN + 4 * ip.ihl;
    } else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
        struct ipv6hdr ip;

        if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.version != 6 ||
            ip.nexthdr != IPPROTO_TCP)
            return 0;
        key_ipv6(&key, &ip, true);
        offset = ETH_HLEN + sizeof(ip);
    } else {
        return 0;
    }
    if (bpf_skb_load_bytes(skb, offset, ports, sizeof(ports)))
        return 0;
    key_ports(&key, ports, true);
    return bpf_map_lookup_elem(&flows, &key);
}

/* ---- the programs ---- */

SEC("tc")
int
steer_egress(struct __sk_buff *skb)
{
    struct steer_counters *flow = flow_of_frame(skb, false);
    __u32 ifindex = skb->ifindex;
    const __u32 *tap;

    if (!flow)
        return VERDICT_NEXT;
    if (skb->mark == steer_mark_value) {
        if (!heart_beats())
            return VERDICT_DROP;
        count(&flow->out_marked, 1);
        return VERDICT_NEXT;
    }
    tap = bpf_map_lookup_elem(&twins, &ifindex);
    if (!tap || !heart_beats()) {
        count(&flow->out_leaked, 1);
        return VERDICT_NEXT;
    }
    count(&flow->out_redirected, 1);
    count(&flow->out_redirected_bytes, skb->len);
    return bpf_redirect(*tap, 0);
}

/* Only frames addressed to this host: the kernel drops the others by itself, and steer_taken
 * refuses them as well. */
SEC("tc")
int
steer_ingress(struct __sk_buff *skb)
{
    bool ours = skb->mark == steer_mark_value;
    struct steer_counters *flow;

    if (ours)
        skb->mark = 0;
    if (skb->pkt_type != PACKET_HOST)
        return VERDICT_NEXT;
    flow = flow_of_frame(skb, true);
    if (!flow)
        return VERDICT_NEXT;
    if (ours) {
        if (!heart_beats())
            return VERDICT_DROP;
        count(&flow->in_marked, 1);
        return VERDICT_NEXT;
    }
    if (!heart_beats()) {
        count(&flow->in_leaked, 1);
        return VERDICT_NEXT;
    }
    count(&flow->in_diverted, 1);
    count(&flow->in_diverted_bytes, skb->len);
    return VERDICT_DROP;
}

/* Nobody but the owner writes to the TAP: what comes here is for the kernel, or for nobody. */
SEC("tc")
int
steer_tap(struct __sk_buff *skb)
{
    __u32 ifindex = skb->ifindex;
    const __u32 *interface = bpf_map_lookup_elem(&twins, &ifindex);

    if (!interface)
        return VERDICT_DROP;
    skb->mark = steer_mark_value;
    return bpf_redirect(*interface, BPF_F_INGRESS);
}

SEC("socket")
int
steer_taken(struct __sk_buff *skb)
{
    if (skb->mark == steer_mark_value || skb->pkt_type != PACKET_HOST)
        return 0;
    if (!flow_of_copy(skb) || !heart_beats())
        return 0;
    return -1; /* the whole frame */
}

/* Under a port the kernel neither hears nor speaks: what it would say there is said through the
 * port, and it must not hear the same frame twice. */
SEC("tc")
int
steer_wall_ingress(struct __sk_buff *skb)
{
    return VERDICT_DROP;
}

SEC("tc")
int
steer_wall_egress(struct __sk_buff *skb)
{
    return skb->mark == steer_mark_value ? VERDICT_NEXT : VERDICT_DROP;
}
