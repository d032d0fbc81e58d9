/*
 * Frames for the tests of this folder, and a receiver that keeps what it got.
 */
#ifndef WIRE_FRAMES_TESTING_H
#define WIRE_FRAMES_TESTING_H

#include "base/bytes.h"
#include "base/checksum.h"
#include "chimney/wire.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum { TEST_TCP_BYTES = 32 }; /* with 12 bytes of options */

static const uint8_t test_macs[12] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
static const uint8_t test_ipv4[8] = {10, 0, 0, 1, 10, 0, 0, 2};
static const uint8_t test_ipv6[32] = {[0] = 0xfd, [15] = 1, [16] = 0xfd, [31] = 2};

/*
 * Ethernet, IPv4 or IPv6, TCP; the checksum field holds the pseudo header's sum. Returns the
 * length.
 */
static inline size_t
test_header(uint8_t *header, bool ipv6, size_t payload, uint32_t seq, uint8_t flags)
{
    size_t ip_bytes = ipv6 ? 40 : 20;
    uint8_t *ip = header + 14, *tcp = ip + ip_bytes;
    size_t tcp_len = TEST_TCP_BYTES + payload;
    struct checksum sum = {0};

    memset(header, 0, WIRE_MAX_HEADER);
    memcpy(header, test_macs, sizeof(test_macs));
    bytes_store_be16(header + 12, ipv6 ? 0x86dd : 0x0800);
    if (ipv6) {
        ip[0] = 0x60;
        bytes_store_be16(ip + 4, (uint16_t)tcp_len);
        ip[6] = IPPROTO_TCP;
        ip[7] = 64;
        memcpy(ip + 8, test_ipv6, sizeof(test_ipv6));
        checksum_add_pseudo_v6(&sum, ip + 8, ip + 24, IPPROTO_TCP, (uint32_t)tcp_len);
    } else {
        ip[0] = 0x45;
        bytes_store_be16(ip + 2, (uint16_t)(20 + tcp_len));
        bytes_store_be16(ip + 4, 0xfffe);
        ip[8] = 64;
        ip[9] = IPPROTO_TCP;
        memcpy(ip + 12, test_ipv4, sizeof(test_ipv4));
        bytes_store_be16(ip + 10, checksum_of(ip, 20));
        checksum_add_pseudo_v4(&sum, ip + 12, ip + 16, IPPROTO_TCP, (uint32_t)tcp_len);
    }
    bytes_store_be16(tcp, 1234);
    bytes_store_be16(tcp + 2, 80);
    bytes_store_be32(tcp + 4, seq);
    tcp[12] = TEST_TCP_BYTES / 4 << 4;
    tcp[13] = flags;
    bytes_store_be16(tcp + 14, 1000);
    bytes_store_be16(tcp + 16, checksum_folded(&sum));
    return 14 + ip_bytes + TEST_TCP_BYTES;
}

static inline struct wire_meta
test_meta(bool ipv6, uint16_t gso_size)
{
    uint16_t tcp = ipv6 ? 54 : 34;

    return (struct wire_meta){
        .csum_partial = true,
        .gso_type = gso_size == 0 ? WIRE_GSO_NONE
                    : ipv6        ? WIRE_GSO_TCPV6
                                  : WIRE_GSO_TCPV4,
        .gso_size = gso_size,
        .header_len = gso_size == 0 ? 0 : (uint16_t)(tcp + TEST_TCP_BYTES),
        .csum_start = tcp,
        .csum_offset = 16,
    };
}

/* The TCP checksum of a frame made by test_header is right. */
static inline bool
test_tcp_is_sound(const uint8_t *frame, size_t len, bool ipv6)
{
    const uint8_t *ip = frame + 14;
    size_t tcp = ipv6 ? 54 : 34;
    struct checksum sum = {0};

    if (ipv6)
        checksum_add_pseudo_v6(&sum, ip + 8, ip + 24, IPPROTO_TCP, (uint32_t)(len - tcp));
    else
        checksum_add_pseudo_v4(&sum, ip + 12, ip + 16, IPPROTO_TCP, (uint32_t)(len - tcp));
    checksum_add(&sum, frame + tcp, len - tcp);
    return checksum_value(&sum) == 0;
}

/* A frame without meaning for anybody else: local experimental ethertype, then its number. */
static inline size_t
test_numbered(uint8_t *frame, size_t len, uint32_t number)
{
    memset(frame, (int)(number & 0xff), len);
    memcpy(frame, test_macs, sizeof(test_macs));
    bytes_store_be16(frame + 12, 0x88b5);
    bytes_store_be32(frame + 14, number);
    return len;
}

static inline bool
test_is_numbered(const struct wire_buf *buf)
{
    return buf->len >= 18 && bytes_load_be16(buf->data + 12) == 0x88b5;
}

static inline int
test_send_numbered(struct wire *wire, size_t len, uint32_t number)
{
    uint8_t frame[2048];
    struct iovec piece = {frame + 18, len - 18};
    struct wire_tx tx = {.header = frame, .header_len = 18, .pieces = &piece, .piece_count = 1};
    int error;

    test_numbered(frame, len, number);
    error = wire_send(wire, &tx);
    wire_flush(wire); /* the payload is on this stack */
    return error;
}

static inline int
test_send_tcp(struct wire *wire, bool ipv6, const uint8_t *payload, size_t len, uint16_t gso_size)
{
    uint8_t header[WIRE_MAX_HEADER];
    struct iovec pieces[3] = {
        {(void *)payload, len / 3},
        {NULL, 0},
        {(void *)(payload + len / 3), len - len / 3},
    };
    struct wire_tx tx = {.header = header, .pieces = pieces, .piece_count = 3};

    tx.header_len = test_header(header, ipv6, len, 0xfffffff0, 0x99);
    tx.meta = test_meta(ipv6, gso_size);
    return wire_send(wire, &tx);
}

#endif
