/*
 * Frames of the regular path: Ethernet, IPv4 (with options, unfragmented) or IPv6 (without
 * extension headers), TCP. On the way out a superframe carries its segment size and a pseudo-header
 * sum, everything else a finished checksum; on the way in a checksum is verified unless the target
 * vouches for it. Source: RFC 791, 8200, 9293.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/log.h"
#include "host/script/private.h"

#include <stdlib.h>

#define ETHERNET_LEN 14u
#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_IPV6 0x86ddu
#define PROTOCOL_TCP 6u
#define IPV4_LEN 20u
#define IPV6_LEN 40u

/* ---- in ---- */

/* Where the TCP segment of an IP packet is; false: it is none, or not whole. */
struct packet {
    const uint8_t *source, *dest, *tcp;
    uint32_t tcp_len;
    bool ipv6;
    uint8_t ecn;
};

static bool
find_ipv4(const uint8_t *ip, uint32_t len, struct packet *out)
{
    if (len < IPV4_LEN || ip[0] >> 4 != 4 || ip[9] != PROTOCOL_TCP)
        return false;
    uint32_t header = (ip[0] & 15u) * 4, total = bytes_load_be16(ip + 2);
    if (header < IPV4_LEN || total < header || total > len || (bytes_load_be16(ip + 6) & 0x3fff))
        return false;
    if (checksum_of(ip, header) != 0)
        return false; /* RFC 1122, 3.2.1.2 */
    *out = (struct packet){ip + 12, ip + 16, ip + header, total - header, false, ip[1] & 3};
    return true;
}

static bool
find_ipv6(const uint8_t *ip, uint32_t len, struct packet *out)
{
    if (len < IPV6_LEN || ip[0] >> 4 != 6 || ip[6] != PROTOCOL_TCP)
        return false;
    uint32_t payload = bytes_load_be16(ip + 4);
    if (payload > len - IPV6_LEN)
        return false;
    *out = (struct packet){ip + 8, ip + 24, ip + IPV6_LEN, payload, true, ip[1] >> 4 & 3};
    return true;
}

static bool
find_packet(const uint8_t *frame, uint32_t len, struct packet *out)
{
    if (len < ETHERNET_LEN)
        return false;
    switch (bytes_load_be16(frame + 12)) {
    case ETHERTYPE_IPV4:
        return find_ipv4(frame + ETHERNET_LEN, len - ETHERNET_LEN, out);
    case ETHERTYPE_IPV6:
        return find_ipv6(frame + ETHERNET_LEN, len - ETHERNET_LEN, out);
    default:
        return false;
    }
}

static void
add_pseudo(struct checksum *sum, const struct packet *packet)
{
    if (packet->ipv6)
        checksum_add_pseudo_v6(sum, packet->source, packet->dest, PROTOCOL_TCP, packet->tcp_len);
    else
        checksum_add_pseudo_v4(sum, packet->source, packet->dest, PROTOCOL_TCP, packet->tcp_len);
}

static bool
checksum_right(NET_BUFFER_LIST *nbl, const struct packet *packet)
{
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO info = {
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo)};
    struct checksum sum = {0};

    if (info.Receive.TcpChecksumSucceeded || info.Receive.TcpChecksumPartial)
        return true;
    add_pseudo(&sum, packet);
    checksum_add(&sum, packet->tcp, packet->tcp_len);
    return checksum_value(&sum) == 0;
}

static struct script_conn *
find_conn(struct script *script, const struct packet *packet, const struct tcp_segment *segment)
{
    size_t size = packet->ipv6 ? 16 : 4;

    struct list *bucket = script_bucket(script, segment->dest_port, segment->source_port);

    list_for_each(conn, bucket, struct script_conn, bucket) {
        const struct script_options *options = &conn->options;
        if (options->local_port == segment->dest_port &&
            options->peer_port == segment->source_port && options->ipv6 == packet->ipv6 &&
            !memcmp(options->local, packet->dest, size) &&
            !memcmp(options->peer, packet->source, size))
            return conn;
    }
    return NULL;
}

static struct script_frame *
copy_segment(NET_BUFFER_LIST *nbl, const struct packet *packet, const struct tcp_segment *segment)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO info = {
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo)};
    struct script_frame *frame = calloc(1, sizeof *frame + packet->tcp_len + SCRIPT_AROUND);

    if (!frame)
        return NULL;
    list_init(&frame->link);
    frame->segment = *segment;
    frame->segment.payload_len = packet->tcp_len - segment->header_len;
    frame->segment.ecn = packet->ecn;
    frame->segment.segment_size = (uint16_t)info.LsoV2Transmit.MSS;
    frame->tcp_len = packet->tcp_len;
    memcpy(frame->tcp, packet->tcp, packet->tcp_len);
    frame->payload = frame->tcp + segment->header_len;
    return frame;
}

struct script_frame *
script_frame_parse(struct script *script, NET_BUFFER_LIST *nbl, struct script_conn **conn)
{
    NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl);
    uint32_t len = NET_BUFFER_DATA_LENGTH(nb);
    uint8_t *storage = malloc(len + 1);
    const uint8_t *bytes = storage ? NdisGetDataBuffer(nb, len, storage, 1, 0) : NULL;
    struct script_frame *frame = NULL;
    struct packet packet;
    struct tcp_segment segment;

    if (!bytes || !find_packet(bytes, len, &packet))
        goto out;
    if (!checksum_right(nbl, &packet)) {
        script->stats.bad_checksums++;
        goto out;
    }
    if (tcp_parse(packet.tcp, packet.tcp_len, &segment) || segment.header_len > packet.tcp_len)
        goto out;
    *conn = find_conn(script, &packet, &segment);
    if (*conn)
        frame = copy_segment(nbl, &packet, &segment);
    else
        script->stats.strangers++;
out:
    free(storage);
    return frame;
}

/* ---- out ---- */

static uint32_t
write_ip(const struct script_conn *conn, uint8_t *ip, uint32_t tcp_len, uint8_t ecn)
{
    const struct script_options *options = &conn->options;
    const struct script_settings *settings = &conn->settings;
    uint8_t class = conn->config.ecn ? (uint8_t)((settings->tos & ~3u) | ecn) : settings->tos;
    struct checksum sum = {0};

    if (options->ipv6) {
        memset(ip, 0, IPV6_LEN);
        bytes_store_be32(ip, 6u << 28 | (uint32_t) class << 20 | settings->flow_label);
        bytes_store_be16(ip + 4, (uint16_t)tcp_len);
        ip[6] = PROTOCOL_TCP;
        ip[7] = settings->ttl;
        memcpy(ip + 8, options->local, 16);
        memcpy(ip + 24, options->peer, 16);
        return IPV6_LEN;
    }
    memset(ip, 0, IPV4_LEN);
    ip[0] = 0x45;
    ip[1] = class;
    bytes_store_be16(ip + 2, (uint16_t)(IPV4_LEN + tcp_len));
    bytes_store_be16(ip + 4, (uint16_t)(conn->script->stats.frames_out & 0x7fff)); /* our half */
    bytes_store_be16(ip + 6, 0x4000);
    ip[8] = settings->ttl;
    ip[9] = PROTOCOL_TCP;
    memcpy(ip + 12, options->local, 4);
    memcpy(ip + 16, options->peer, 4);
    checksum_add(&sum, ip, IPV4_LEN);
    bytes_store_be16(ip + 10, checksum_value(&sum));
    return IPV4_LEN;
}

static void
copy_payload(const struct script_conn *conn, uint32_t seq, uint32_t len, uint8_t *out)
{
    list_for_each(block, &conn->blocks, struct script_block, link) {
        uint32_t skip = seq - block->seq;
        if (!len)
            return;
        if (skip >= block->len)
            continue;
        uint32_t part = block->len - skip < len ? block->len - skip : len;
        memcpy(out, block->bytes + block->offset + skip, part);
        out += part;
        seq += part;
        len -= part;
    }
}

/* The checksum of the TCP segment behind ip; a superframe gets the sum of its pseudo header only.
 */
static void
finish_checksum(const struct script_conn *conn, uint8_t *ip, uint8_t *tcp, uint32_t tcp_len,
                bool partial)
{
    const uint8_t *source = ip + (conn->options.ipv6 ? 8 : 12);
    struct packet packet = {
        source, source + (conn->options.ipv6 ? 16 : 4), tcp, tcp_len, conn->options.ipv6, 0};
    struct checksum sum = {0};

    add_pseudo(&sum, &packet);
    if (partial) {
        bytes_store_be16(tcp + 16, checksum_folded(&sum));
        return;
    }
    checksum_add(&sum, tcp, tcp_len);
    bytes_store_be16(tcp + 16, checksum_value(&sum));
}

static void
describe_superframe(const struct script_conn *conn, NET_BUFFER_LIST *nbl, uint16_t size,
                    uint32_t tcp_offset)
{
    bool ipv6 = conn->options.ipv6;
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large = {
        .LsoV2Transmit = {.MSS = size,
                          .TcpHeaderOffset = tcp_offset,
                          .Type = NDIS_TCP_LARGE_SEND_OFFLOAD_V2_TYPE,
                          .IPVersion = ipv6 ? NDIS_TCP_LARGE_SEND_OFFLOAD_IPv6
                                            : NDIS_TCP_LARGE_SEND_OFFLOAD_IPv4}};
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO sum = {
        .Transmit = {
            .IsIPv4 = !ipv6, .IsIPv6 = ipv6, .TcpChecksum = 1, .TcpHeaderOffset = tcp_offset}};

    NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo) = large.Value;
    NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo) = sum.Value;
}

void
script_frame_send(struct script_conn *conn, const struct tcp_out *out)
{
    const struct script_options *options = &conn->options;
    uint32_t ip_len = options->ipv6 ? IPV6_LEN : IPV4_LEN;
    bool super = out->segment_size && out->len > out->segment_size;
    uint8_t header[TCP_MAX_HEADER];
    uint32_t header_len = (uint32_t)tcp_write_header(out, options->local_port, options->peer_port,
                                                     header);
    uint32_t tcp_len = header_len + out->len, len = ETHERNET_LEN + ip_len + tcp_len;
    uint8_t *memory = malloc(SCRIPT_AROUND + len + SCRIPT_AROUND), *frame = memory + SCRIPT_AROUND;
    NET_BUFFER_LIST *nbl = memory ? script_nbl_create(conn, frame, len) : NULL;

    if (!nbl) {
        free(memory); /* as if it were lost on the way */
        return;
    }
    memcpy(frame, options->peer_mac, 6);
    memcpy(frame + 6, options->local_mac, 6);
    bytes_store_be16(frame + 12, options->ipv6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4);
    write_ip(conn, frame + ETHERNET_LEN, tcp_len, out->ecn);
    uint8_t *tcp = frame + ETHERNET_LEN + ip_len;
    memcpy(tcp, header, header_len);
    copy_payload(conn, out->seq, out->len, tcp + header_len);
    finish_checksum(conn, frame + ETHERNET_LEN, tcp, tcp_len, super);
    if (super)
        describe_superframe(conn, nbl, out->segment_size, ETHERNET_LEN + ip_len);
    nbl->ProtocolReserved[1] = memory;
    conn->script->stats.frames_out++;
    conn->figures.retransmits += out->retransmission;
    host_send_frames(conn->script->binding, nbl);
}
