/* See peer_frame.h. Layouts: RFC 791, 8200, 9293 3.1, 7323 3.2, 2018 3, 3168 5; IEEE 802.1Q. */
#include "peer_frame.h"

#include "base/bytes.h"
#include "base/checksum.h"

#define ETHERNET 14u
#define TAG 4u
#define TCP_HEADER 20u
#define PROTOCOL 6u
#define OPTION_NOP 1
#define OPTION_SACK 5
#define OPTION_TS 8

/* ---- in ---- */

static const uint8_t *
read_ipv4(const uint8_t *ip, size_t have, struct peer_segment *out, size_t *length)
{
    size_t header = have >= 20 ? 4u * (ip[0] & 15u) : 0;

    if (header != 20 || have < header || ip[9] != PROTOCOL || bytes_load_be16(ip + 6) & 0x3fffu)
        return NULL;
    out->df = (ip[6] & 0x40) != 0;
    out->ecn = ip[1] & 3u;
    out->ttl = ip[8];
    *length = bytes_load_be16(ip + 2);
    return ip + header;
}

static const uint8_t *
read_ipv6(const uint8_t *ip, size_t have, struct peer_segment *out, size_t *length)
{
    if (have < 40 || ip[6] != PROTOCOL)
        return NULL;
    out->ecn = (uint8_t)(ip[1] >> 4 & 3u);
    out->ttl = ip[7];
    out->df = true;
    *length = 40u + bytes_load_be16(ip + 4);
    return ip + 40;
}

static void
read_sack(const uint8_t *at, unsigned size, struct peer_segment *out)
{
    out->sacks = (size - 2) / 8;
    out->options_bad |= (size - 2) % 8 != 0 || out->sacks == 0 || out->sacks > PEER_SACKS;
    if (out->sacks > PEER_SACKS)
        out->sacks = PEER_SACKS;
    for (unsigned i = 0; i < out->sacks; i++) {
        out->sack[i][0] = bytes_load_be32(at + 2 + 8 * i);
        out->sack[i][1] = bytes_load_be32(at + 6 + 8 * i);
    }
}

static void
read_options(const uint8_t *at, const uint8_t *end, struct peer_segment *out)
{
    while (at < end && *at != 0) {
        unsigned size = *at == OPTION_NOP ? 1 : end - at >= 2 ? at[1] : 0;

        if (size == 0 || size > (size_t)(end - at) || (size == 1 && *at != OPTION_NOP)) {
            out->options_bad = true;
            return;
        }
        if (*at == OPTION_TS && size == 10) {
            out->has_ts = true;
            out->tsval = bytes_load_be32(at + 2);
            out->tsecr = bytes_load_be32(at + 6);
        } else if (*at == OPTION_SACK && size >= 2) {
            read_sack(at, size, out);
        } else if (*at != OPTION_NOP) {
            out->options_bad = true; /* nothing else belongs into a synchronised connection */
        }
        at += size;
    }
}

static void
read_tcp(const uint8_t *tcp, struct peer_segment *out)
{
    out->source_port = bytes_load_be16(tcp);
    out->destination_port = bytes_load_be16(tcp + 2);
    out->seq = bytes_load_be32(tcp + 4);
    out->ack = bytes_load_be32(tcp + 8);
    out->reserved = tcp[12] & 15u;
    out->flags = tcp[13];
    out->window = bytes_load_be16(tcp + 14);
    out->urgent = bytes_load_be16(tcp + 18);
}

bool
peer_frame_read(const uint8_t *bytes, size_t have, size_t frame_len, bool super,
                struct peer_segment *out)
{
    const uint8_t *end = bytes + have, *tcp;
    size_t length = 0, at = ETHERNET, header;
    uint16_t type = have >= ETHERNET + TAG + 20 ? bytes_load_be16(bytes + 12) : 0;

    *out = (struct peer_segment){0};
    if (type == 0x8100) {
        out->vlan = bytes_load_be16(bytes + 14) & 0xfffu;
        type = bytes_load_be16(bytes + 16);
        at += TAG;
    }
    out->ip = bytes + at;
    out->ipv6 = type == 0x86dd;
    if (type == 0x0800 && out->ip[0] >> 4 == 4)
        tcp = read_ipv4(out->ip, have - at, out, &length);
    else if (type == 0x86dd && out->ip[0] >> 4 == 6)
        tcp = read_ipv6(out->ip, have - at, out, &length);
    else
        return false;
    if (super)
        length = frame_len - at;
    if (!tcp || end - tcp < (ptrdiff_t)TCP_HEADER || length > frame_len - at)
        return false;
    header = 4u * (tcp[12] >> 4);
    out->headers = (uint32_t)((size_t)(tcp - out->ip) + header);
    if (header < TCP_HEADER || end - tcp < (ptrdiff_t)header || length < out->headers)
        return false;
    read_tcp(tcp, out);
    read_options(tcp + TCP_HEADER, tcp + header, out);
    out->payload = tcp + header;
    out->len = (uint32_t)(length - out->headers);
    return true;
}

static void
add_pseudo(struct checksum *sum, bool ipv6, const uint8_t *ip, uint32_t len)
{
    if (ipv6)
        checksum_add_pseudo_v6(sum, ip + 8, ip + 24, PROTOCOL, len);
    else
        checksum_add_pseudo_v4(sum, ip + 12, ip + 16, PROTOCOL, len);
}

bool
peer_frame_sums_right(const uint8_t *bytes, const struct peer_segment *segment)
{
    uint32_t ip_len = segment->ipv6 ? 40 : 20;
    uint32_t tcp_len = segment->headers - ip_len + segment->len;
    struct checksum sum = {0};

    if (!segment->ipv6 && checksum_of(segment->ip, ip_len) != 0)
        return false;
    add_pseudo(&sum, segment->ipv6, segment->ip, tcp_len);
    checksum_add(&sum, segment->ip + ip_len, tcp_len);
    return checksum_value(&sum) == 0;
}

bool
peer_frame_is_for(const struct peer_segment *segment, const struct peer_path *path)
{
    size_t size = path->ipv6 ? 16 : 4;
    const uint8_t *source = segment->ip + (path->ipv6 ? 8 : 12);

    return segment->ipv6 == path->ipv6 && segment->vlan == path->vlan &&
           segment->source_port == path->remote_port &&
           segment->destination_port == path->local_port && !memcmp(source, path->remote, size) &&
           !memcmp(source + size, path->local, size);
}

bool
peer_frame_mark(uint8_t *bytes, size_t len)
{
    struct peer_segment segment;
    uint8_t *ip;

    if (!peer_frame_read(bytes, len, len, false, &segment) || !segment.ecn)
        return false;
    ip = bytes + (segment.ip - bytes);
    if (segment.ipv6) {
        ip[1] |= PEER_CE << 4;
        return true;
    }
    ip[1] |= PEER_CE;
    bytes_store_be16(ip + 10, 0);
    bytes_store_be16(ip + 10, checksum_of(ip, 20));
    return true;
}

/* ---- out ---- */

static size_t
options_size(const struct peer_segment *segment)
{
    return (segment->has_ts ? 12u : 0) + (segment->sacks ? 4u + 8u * segment->sacks : 0);
}

static size_t
ip_at(const struct peer_path *path)
{
    return ETHERNET + (path->vlan ? TAG : 0);
}

size_t
peer_frame_payload_at(const struct peer_path *path, const struct peer_segment *segment)
{
    return ip_at(path) + (path->ipv6 ? 40u : 20u) + TCP_HEADER + options_size(segment);
}

static void
write_options(struct bytes_writer *to, const struct peer_segment *segment)
{
    if (segment->has_ts) {
        bytes_put_be32(to, 0x0101080au);
        bytes_put_be32(to, segment->tsval);
        bytes_put_be32(to, segment->tsecr);
    }
    if (segment->sacks)
        bytes_put_be32(to, 0x01010502u + 8u * segment->sacks);
    for (unsigned i = 0; i < segment->sacks; i++) {
        bytes_put_be32(to, segment->sack[i][0]);
        bytes_put_be32(to, segment->sack[i][1]);
    }
}

static void
write_tcp(struct bytes_writer *to, const struct peer_path *path, const struct peer_segment *segment)
{
    bytes_put_be16(to, path->local_port);
    bytes_put_be16(to, path->remote_port);
    bytes_put_be32(to, segment->seq);
    bytes_put_be32(to, segment->ack);
    bytes_put_u8(to, (uint8_t)((TCP_HEADER + options_size(segment)) / 4 << 4));
    bytes_put_u8(to, segment->flags);
    bytes_put_be16(to, segment->window);
    bytes_put_be32(to, 0);
    write_options(to, segment);
}

static void
write_ip(struct bytes_writer *to, const struct peer_path *path, const struct peer_segment *segment,
         size_t tcp_len)
{
    uint8_t *start = to->at;

    if (path->ipv6) {
        bytes_put_be32(to, 0x60000000u | (uint32_t)segment->ecn << 20);
        bytes_put_be16(to, (uint16_t)tcp_len);
        bytes_put_u8(to, PROTOCOL);
        bytes_put_u8(to, segment->ttl);
        bytes_put(to, path->local, 16);
        bytes_put(to, path->remote, 16);
        return;
    }
    bytes_put_u8(to, 0x45);
    bytes_put_u8(to, segment->ecn);
    bytes_put_be16(to, (uint16_t)(20 + tcp_len));
    bytes_put_be32(to, 0x4000);
    bytes_put_u8(to, segment->ttl);
    bytes_put_u8(to, PROTOCOL);
    bytes_put_be16(to, 0);
    bytes_put(to, path->local, 4);
    bytes_put(to, path->remote, 4);
    bytes_store_be16(start + 10, checksum_of(start, 20));
}

size_t
peer_frame_write(uint8_t *frame, const struct peer_path *path, const struct peer_segment *segment)
{
    size_t payload_at = peer_frame_payload_at(path, segment), ip = ip_at(path);
    size_t tcp = ip + (path->ipv6 ? 40u : 20u), tcp_len = payload_at - tcp + segment->len;
    struct bytes_writer to = bytes_writer(frame, payload_at);
    struct checksum sum = {0};

    bytes_put(&to, path->remote_mac, 6);
    bytes_put(&to, path->local_mac, 6);
    if (path->vlan)
        bytes_put_be32(&to, 0x81000000u | path->vlan);
    bytes_put_be16(&to, path->ipv6 ? 0x86dd : 0x0800);
    write_ip(&to, path, segment, tcp_len);
    write_tcp(&to, path, segment);
    if (segment->payload && segment->payload != frame + payload_at)
        memcpy(frame + payload_at, segment->payload, segment->len);
    add_pseudo(&sum, path->ipv6, frame + ip, (uint32_t)tcp_len);
    checksum_add(&sum, frame + tcp, tcp_len);
    bytes_store_be16(frame + tcp + 16, checksum_value(&sum));
    return payload_at + segment->len;
}
