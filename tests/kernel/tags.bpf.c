/*
 * A VLAN on a kernel that has none: at its ingress only what is in VLAN 10 passes, and loses the
 * tag; at its egress everything gets it, with a priority of its own.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define VLAN_ID 10
#define PRIORITY 5

SEC("tc/pop")
int
tags_pop(struct __sk_buff *skb)
{
    if (!skb->vlan_present || (skb->vlan_tci & 0xfff) != VLAN_ID)
        return TC_ACT_SHOT;
    return bpf_skb_vlan_pop(skb) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("tc/push")
int
tags_push(struct __sk_buff *skb)
{
    return bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), PRIORITY << 13 | VLAN_ID) ? TC_ACT_SHOT
                                                                                    : TC_ACT_OK;
}

char _license[] SEC("license") = "MIT";
