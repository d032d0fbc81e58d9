/*
 * Frames of a live connection: reading what the kernel and the peer send, writing segments of our
 * own that either takes for the other's, and giving one that has waited the timestamp it would have
 * now. Nothing here changes state.
 *
 * Only TCP over IPv4 (with options) or IPv6 (without extension headers) is read; everything else is
 * left to the caller to pass on as it is. Source: RFC 791, 8200, 9293.
 */
#include "base/checksum.h"
#include "host/linux/live/live.h"
#include "host/linux/stack.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define ETHERNET_HEADER 14u
#define ETHERTYPE_V4 0x0800u
#define ETHERTYPE_V6 0x86ddu
#define IPV6_HEADER 40u
/* Of the field, from the header. */
#define TCP_CHECKSUM 16
#define UDP_CHECKSUM 6

static uint16_t
read_be16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static void
write_be16(uint8_t *bytes, unsigned value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}

/* Where TCP, or that protocol, begins and where the IP packet ends; false: not an unfragmented
 * packet of it that fits the frame. */
static bool
find(const uint8_t *frame, uint32_t len, uint8_t protocol, uint32_t *start, uint32_t *end)
{
    const uint8_t *ip = frame + ETHERNET_HEADER;

    if (len < ETHERNET_HEADER + 20)
        return false;
    if (read_be16(frame + 12) == ETHERTYPE_V4) {
        if (ip[0] >> 4 != 4 || ip[9] != protocol || (read_be16(ip + 6) & 0x3fff))
            return false;
        *start = ETHERNET_HEADER + (ip[0] & 15u) * 4;
        *end = ETHERNET_HEADER + read_be16(ip + 2);
    } else if (read_be16(frame + 12) == ETHERTYPE_V6 && len >= ETHERNET_HEADER + IPV6_HEADER) {
        if (ip[0] >> 4 != 6 || ip[6] != protocol)
            return false;
        *start = ETHERNET_HEADER + IPV6_HEADER;
        *end = *start + read_be16(ip + 4);
    } else {
        return false;
    }
    return *end <= len && *start + (protocol == IPPROTO_TCP ? 20u : 8u) <= *end;
}

static bool
find_tcp(const uint8_t *frame, uint32_t len, uint32_t *tcp, uint32_t *end)
{
    return find(frame, len, IPPROTO_TCP, tcp, end);
}

bool
live_frame_key(const uint8_t *frame, uint32_t len, bool outgoing, struct steer_key *key)
{
    const uint8_t *ip = frame + ETHERNET_HEADER;
    uint32_t tcp, end;

    if (!find_tcp(frame, len, &tcp, &end))
        return false;
    memset(key, 0, sizeof *key);
    bool v4 = read_be16(frame + 12) == ETHERTYPE_V4;
    size_t size = v4 ? 4 : 16;
    const uint8_t *source = ip + (v4 ? 12 : 8), *dest = source + size;
    key->family = v4 ? AF_INET : AF_INET6;
    memcpy(key->local, outgoing ? source : dest, size);
    memcpy(key->peer, outgoing ? dest : source, size);
    memcpy(&key->local_port, frame + tcp + (outgoing ? 0 : 2), 2);
    memcpy(&key->peer_port, frame + tcp + (outgoing ? 2 : 0), 2);
    return true;
}

static uint8_t
read_ecn(const uint8_t *frame)
{
    const uint8_t *ip = frame + ETHERNET_HEADER;

    return read_be16(frame + 12) == ETHERTYPE_V4 ? ip[1] & 3 : ip[1] >> 4 & 3;
}

int
live_frame_parse(const uint8_t *frame, uint32_t len, uint16_t segment_size, uint16_t *tcp_offset,
                 uint16_t *payload_offset, struct tcp_segment *segment)
{
    uint32_t tcp, end;

    if (!find_tcp(frame, len, &tcp, &end))
        return -EBADMSG;
    int error = tcp_parse(frame + tcp, end - tcp, segment);
    if (error)
        return error;
    if (tcp + segment->header_len > end)
        return -EBADMSG;
    segment->payload_len = end - tcp - segment->header_len;
    segment->segment_size = segment_size;
    segment->ecn = read_ecn(frame);
    *tcp_offset = (uint16_t)tcp;
    *payload_offset = (uint16_t)(tcp + segment->header_len);
    return 0;
}

bool
live_frame_adds_up(const uint8_t *frame, uint16_t tcp_offset, uint32_t len,
                   const struct iovec *pieces, size_t count)
{
    const uint8_t *ip = frame + ETHERNET_HEADER;
    struct checksum sum = {0};

    if (read_be16(frame + 12) == ETHERTYPE_V4) {
        if (checksum_of(ip, tcp_offset - ETHERNET_HEADER))
            return false;
        checksum_add_pseudo_v4(&sum, ip + 12, ip + 16, IPPROTO_TCP, len);
    } else {
        checksum_add_pseudo_v6(&sum, ip + 8, ip + 24, IPPROTO_TCP, len);
    }
    for (size_t i = 0; i < count; i++)
        checksum_add(&sum, pieces[i].iov_base, pieces[i].iov_len);
    return !checksum_value(&sum);
}

uint32_t
live_segment_end(const struct tcp_segment *segment)
{
    return segment->seq + segment->payload_len + !!(segment->flags & TCP_FIN) +
           !!(segment->flags & TCP_SYN);
}

struct live_frame *
live_frame_create(struct wire_buf *buf)
{
    struct live_frame *frame = calloc(1, sizeof *frame);

    if (!frame)
        return NULL;
    if (live_frame_parse(buf->data, buf->len, buf->meta.gso_size, &frame->tcp_offset,
                         &frame->payload_offset, &frame->segment)) {
        free(frame);
        return NULL;
    }
    list_init(&frame->copy_link);
    list_init(&frame->held_link);
    frame->refs = 1;
    frame->buf = wire_buf_get(buf);
    return frame;
}

struct live_frame *
live_frame_get(struct live_frame *frame)
{
    frame->refs++;
    return frame;
}

void
live_frame_put(struct live_frame *frame)
{
    if (--frame->refs)
        return;
    wire_buf_put(frame->buf);
    free(frame);
}

/* The timestamp option's values in a TCP header, counted from its start; 0: it has none. */
static size_t
find_timestamp(const uint8_t *tcp, size_t header_len)
{
    for (size_t at = 20; at + 1 < header_len && tcp[at] != 0;) {
        if (tcp[at] == 8 && tcp[at + 1] == 10 && at + 10 <= header_len)
            return at + 2;
        size_t len = tcp[at] == 1 ? 1 : tcp[at + 1];
        if (!len)
            break;
        at += len;
    }
    return 0;
}

/* A checksum that is complete covers the word that this byte is in. */
static void
change_byte(uint8_t *tcp, size_t at, uint8_t value, bool complete)
{
    size_t word = at & ~(size_t)1;
    uint16_t before = read_be16(tcp + word);

    tcp[at] = value;
    if (complete)
        write_be16(tcp + 16, checksum_adjust16(read_be16(tcp + 16), before, read_be16(tcp + word)));
}

void
live_frame_restamp(struct live_frame *frame, uint32_t tsval, uint32_t tsecr)
{
    struct tcp_segment *segment = &frame->segment;
    uint8_t *tcp = frame->buf->data + frame->tcp_offset;
    size_t stamp = find_timestamp(tcp, segment->header_len);

    if (!stamp)
        return;
    segment->tsval = seq_max(segment->tsval, tsval);
    segment->tsecr = seq_max(segment->tsecr, tsecr);
    uint64_t both = (uint64_t)segment->tsval << 32 | segment->tsecr;
    for (size_t i = 0; i < 8; i++)
        change_byte(tcp, stamp + i, (uint8_t)(both >> (56 - 8 * i)),
                    !frame->buf->meta.csum_partial);
}

static void
write_ipv4(uint8_t *ip, const struct live_conn *conn, bool to_kernel, uint32_t tcp_len, uint8_t ecn)
{
    memset(ip, 0, 20);
    ip[0] = 0x45;
    ip[1] = ecn;
    write_be16(ip + 2, 20 + tcp_len);
    ip[6] = 0x40; /* DF */
    ip[8] = 64;
    ip[9] = IPPROTO_TCP;
    memcpy(ip + 12, to_kernel ? conn->key.peer : conn->key.local, 4);
    memcpy(ip + 16, to_kernel ? conn->key.local : conn->key.peer, 4);
    write_be16(ip + 10, checksum_of(ip, 20));
}

static void
write_ipv6(uint8_t *ip, const struct live_conn *conn, bool to_kernel, uint32_t tcp_len, uint8_t ecn)
{
    memset(ip, 0, IPV6_HEADER);
    ip[0] = 0x60;
    ip[1] = (uint8_t)(ecn << 4);
    write_be16(ip + 4, tcp_len);
    ip[6] = IPPROTO_TCP;
    ip[7] = 64;
    memcpy(ip + 8, to_kernel ? conn->key.peer : conn->key.local, 16);
    memcpy(ip + 24, to_kernel ? conn->key.local : conn->key.peer, 16);
}

/* The checksum field holds the pseudo-header sum; whoever cuts or receives the frame completes it.
 */
static void
write_pseudo_sum(uint8_t *tcp, const struct live_conn *conn, uint32_t tcp_len)
{
    struct checksum sum = {0};

    if (conn->key.family == AF_INET)
        checksum_add_pseudo_v4(&sum, conn->key.local, conn->key.peer, IPPROTO_TCP, tcp_len);
    else
        checksum_add_pseudo_v6(&sum, conn->key.local, conn->key.peer, IPPROTO_TCP, tcp_len);
    write_be16(tcp + 16, checksum_folded(&sum));
}

size_t
live_frame_header(const struct live_conn *conn, const struct tcp_out *out, bool to_kernel,
                  uint8_t *bytes, struct wire_meta *meta)
{
    bool v4 = conn->key.family == AF_INET;
    size_t tcp = ETHERNET_HEADER + (v4 ? 20 : IPV6_HEADER);
    uint16_t source = ntohs(to_kernel ? conn->key.peer_port : conn->key.local_port);
    uint16_t dest = ntohs(to_kernel ? conn->key.local_port : conn->key.peer_port);
    size_t header = tcp_write_header(out, source, dest, bytes + tcp);
    uint32_t tcp_len = (uint32_t)header + out->len;

    if (to_kernel) {
        memcpy(bytes, conn->frame_header + 6, 6);
        memcpy(bytes + 6, conn->frame_header, 6);
        memcpy(bytes + 12, conn->frame_header + 12, 2);
    } else {
        memcpy(bytes, conn->frame_header, ETHERNET_HEADER);
    }
    if (v4)
        write_ipv4(bytes + ETHERNET_HEADER, conn, to_kernel, tcp_len, out->ecn);
    else
        write_ipv6(bytes + ETHERNET_HEADER, conn, to_kernel, tcp_len, out->ecn);
    write_pseudo_sum(bytes + tcp, conn, tcp_len);
    *meta = (struct wire_meta){.csum_partial = true,
                               .header_len = (uint16_t)(tcp + header),
                               .csum_start = (uint16_t)tcp,
                               .csum_offset = 16};
    if (out->segment_size && out->len > out->segment_size) {
        meta->gso_type = v4 ? WIRE_GSO_TCPV4 : WIRE_GSO_TCPV6;
        meta->gso_size = out->segment_size;
    }
    return tcp + header;
}

void
live_nbl_set_meta(NET_BUFFER_LIST *nbl, const struct wire_meta *meta, bool ipv6)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO lso = {.Value = NULL};
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO checksum = {.Value = NULL};

    if (meta->gso_type != WIRE_GSO_NONE) {
        lso.LsoV2Transmit.MSS = meta->gso_size;
        lso.LsoV2Transmit.TcpHeaderOffset = meta->csum_start;
        lso.LsoV2Transmit.Type = 1;
        lso.LsoV2Transmit.IPVersion = ipv6;
    }
    if (meta->csum_partial) {
        checksum.Transmit.IsIPv4 = !ipv6;
        checksum.Transmit.IsIPv6 = ipv6;
        checksum.Transmit.TcpChecksum = meta->csum_offset == TCP_CHECKSUM;
        checksum.Transmit.UdpChecksum = meta->csum_offset == UDP_CHECKSUM;
        checksum.Transmit.TcpHeaderOffset = meta->csum_start;
    }
    NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo) = lso.Value;
    NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo) = checksum.Value;
}

void
live_finish_checksum(struct wire_buf *buf)
{
    struct wire_meta *meta = &buf->meta;
    struct checksum sum = {0};

    if (!meta->csum_partial || meta->csum_offset == TCP_CHECKSUM ||
        meta->csum_offset == UDP_CHECKSUM)
        return;
    meta->csum_partial = false;
    if ((uint32_t)meta->csum_start + meta->csum_offset + 2 > buf->len)
        return;
    checksum_add(&sum, buf->data + meta->csum_start, buf->len - meta->csum_start);
    write_be16(buf->data + meta->csum_start + meta->csum_offset, checksum_value(&sum));
}

/* What the target says about a frame it passes up; positions come from the frame itself. */
void
live_nbl_get_meta(NET_BUFFER_LIST *nbl, const uint8_t *frame, uint32_t len, struct wire_meta *meta)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO lso = {
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo)};
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO checksum = {
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo)};
    struct tcp_segment segment;
    uint16_t tcp, payload;
    uint32_t udp, end;

    *meta = (struct wire_meta){.csum_valid = checksum.Receive.TcpChecksumSucceeded};
    if (live_frame_parse(frame, len, 0, &tcp, &payload, &segment)) {
        if (checksum.Receive.TcpChecksumPartial && find(frame, len, IPPROTO_UDP, &udp, &end))
            *meta = (struct wire_meta){
                .csum_partial = true, .csum_start = (uint16_t)udp, .csum_offset = UDP_CHECKSUM};
        return;
    }
    meta->csum_partial = checksum.Receive.TcpChecksumPartial;
    meta->csum_start = tcp;
    meta->csum_offset = TCP_CHECKSUM;
    meta->header_len = payload;
    if (lso.LsoV2Transmit.MSS && segment.payload_len > lso.LsoV2Transmit.MSS) {
        meta->gso_type = read_be16(frame + 12) == ETHERTYPE_V4 ? WIRE_GSO_TCPV4 : WIRE_GSO_TCPV6;
        meta->gso_size = lso.LsoV2Transmit.MSS;
    }
}

uint32_t
live_clock(const struct live_conn *conn)
{
    return (uint32_t)(hoststack_now_us(conn->stack) / 1000) + conn->snap.ts_offset;
}

void
live_out_timestamp(struct tcp_out *out, uint32_t tsval, uint32_t tsecr)
{
    uint32_t value = htonl(tsval), echo = htonl(tsecr);

    out->option_len = 12;
    memcpy(out->options, "\x01\x01\x08\x0a", 4);
    memcpy(out->options + 4, &value, 4);
    memcpy(out->options + 8, &echo, 4);
}
