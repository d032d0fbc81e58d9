/*
 * Segmentation as network cards do it: each segment repeats the superframe's headers with its own
 * length, IPv4 identification, sequence number and checksums; FIN and PSH stay with the last one,
 * CWR with the first (RFC 3168, section 6.1.2). IPv6 extension headers are copied; a routing header
 * would need another destination in the pseudo header and is not expected from a superframe.
 */
#include "wire/gso.h"

#include "base/bytes.h"
#include "base/checksum.h"
#include "wire/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

enum {
    ETHERTYPE_4 = 0x0800,
    ETHERTYPE_6 = 0x86dd,
    ETHERTYPE_TAG = 0x8100,
    ETHERTYPE_STAG = 0x88a8
};
enum { IPV4_BYTES = 20, IPV6_BYTES = 40, TCP_BYTES = 20 };
enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80 };

uint16_t
gso_header_len(const uint8_t *frame, size_t len, uint16_t csum_start)
{
    size_t header_len;

    if (len < (size_t)csum_start + TCP_BYTES)
        return 0;
    header_len = csum_start + (size_t)(frame[csum_start + 12] >> 4) * 4;
    if (header_len < (size_t)csum_start + TCP_BYTES || header_len > len)
        return 0;
    return (uint16_t)header_len;
}

/* Where the IP header starts, behind up to two VLAN tags; its type in *type. 0: cut short. */
static size_t
find_ip(const uint8_t *frame, size_t len, uint16_t *type)
{
    size_t at = WIRE_ETHERNET_HEADER;

    if (len < at)
        return 0;
    *type = bytes_load_be16(frame + at - 2);
    while (*type == ETHERTYPE_TAG || *type == ETHERTYPE_STAG) {
        at += WIRE_VLAN_TAG;
        if (len < at)
            return 0;
        *type = bytes_load_be16(frame + at - 2);
    }
    return at;
}

/* Where the TCP header starts if nothing but the IP header says so; 0: not TCP. */
static size_t
find_tcp(const struct gso_cut *cut)
{
    const uint8_t *ip = cut->frame + cut->ip;

    if (cut->ipv6)
        return ip[6] == IPPROTO_TCP ? cut->ip + IPV6_BYTES : 0;
    if (ip[9] != IPPROTO_TCP || (ip[0] & 15) * 4 < IPV4_BYTES)
        return 0;
    return cut->ip + (size_t)(ip[0] & 15) * 4;
}

int
gso_begin(struct gso_cut *cut, const uint8_t *frame, size_t len, const struct wire_meta *meta)
{
    uint16_t type = 0;
    size_t ip = find_ip(frame, len, &type);

    *cut = (struct gso_cut){.frame = frame, .len = len, .ip = ip};
    cut->ipv6 = type == ETHERTYPE_6;
    cut->segment_bytes = meta->gso_size;
    if (ip == 0 || meta->gso_size == 0)
        return -EINVAL;
    if (meta->gso_type != (cut->ipv6 ? WIRE_GSO_TCPV6 : WIRE_GSO_TCPV4) ||
        (!cut->ipv6 && type != ETHERTYPE_4))
        return -EINVAL;
    if (len < ip + (cut->ipv6 ? IPV6_BYTES : IPV4_BYTES))
        return -EINVAL;
    cut->tcp = meta->csum_partial ? meta->csum_start : find_tcp(cut);
    /* Only IPv6 may have something between its header and TCP's. */
    if (cut->ipv6 ? cut->tcp < ip + IPV6_BYTES : cut->tcp != find_tcp(cut))
        return -EINVAL;
    cut->header_len = gso_header_len(frame, len, (uint16_t)cut->tcp);
    return cut->header_len != 0 ? 0 : -EINVAL;
}

size_t
gso_next_len(const struct gso_cut *cut)
{
    size_t left = cut->len - cut->header_len - cut->offset;

    if (left == 0 && cut->count != 0)
        return 0;
    return cut->header_len + (left < cut->segment_bytes ? left : cut->segment_bytes);
}

static void
write_ipv4(const struct gso_cut *cut, uint8_t *segment, size_t len)
{
    uint8_t *ip = segment + cut->ip;
    size_t ip_bytes = (size_t)(ip[0] & 15) * 4;

    bytes_store_be16(ip + 2, (uint16_t)(len - cut->ip));
    bytes_store_be16(ip + 4, (uint16_t)(bytes_load_be16(ip + 4) + cut->count));
    bytes_store_be16(ip + 10, 0);
    bytes_store_be16(ip + 10, checksum_of(ip, ip_bytes));
}

static void
write_tcp(const struct gso_cut *cut, uint8_t *segment, size_t len, bool last)
{
    const uint8_t *ip = segment + cut->ip;
    uint8_t *tcp = segment + cut->tcp;
    uint32_t tcp_len = (uint32_t)(len - cut->tcp);
    struct checksum sum = {0};

    bytes_store_be32(tcp + 4, bytes_load_be32(tcp + 4) + (uint32_t)cut->offset);
    if (!last)
        tcp[13] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    if (cut->count != 0)
        tcp[13] &= (uint8_t)~TCP_CWR;
    bytes_store_be16(tcp + 16, 0);
    if (cut->ipv6)
        checksum_add_pseudo_v6(&sum, ip + 8, ip + 24, IPPROTO_TCP, tcp_len);
    else
        checksum_add_pseudo_v4(&sum, ip + 12, ip + 16, IPPROTO_TCP, tcp_len);
    checksum_add(&sum, tcp, tcp_len);
    bytes_store_be16(tcp + 16, checksum_value(&sum));
}

void
gso_next(struct gso_cut *cut, uint8_t *room)
{
    size_t len = gso_next_len(cut);
    size_t payload = len - cut->header_len;
    size_t from = cut->header_len + cut->offset;

    memcpy(room, cut->frame, cut->header_len);
    memcpy(room + cut->header_len, cut->frame + from, payload);
    if (cut->ipv6)
        bytes_store_be16(room + cut->ip + 4, (uint16_t)(len - cut->ip - IPV6_BYTES));
    else
        write_ipv4(cut, room, len);
    write_tcp(cut, room, len, from + payload == cut->len);
    cut->offset += payload;
    cut->count++;
}

int
gso_finish_checksum(uint8_t *frame, size_t len, const struct wire_meta *meta)
{
    size_t field = (size_t)meta->csum_start + meta->csum_offset;
    uint16_t value;

    if (field + 2 > len)
        return -EINVAL;
    value = checksum_of(frame + meta->csum_start, len - meta->csum_start);
    /* UDP has no zero (RFC 768); for TCP both forms of zero are right. */
    bytes_store_be16(frame + field, value != 0 ? value : 0xffff);
    return 0;
}
