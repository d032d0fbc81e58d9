/*
 * TCP headers: from bytes to a tcp_segment and back. Reading never trusts a length: an option that
 * does not fit its header makes the segment malformed, one of unknown kind is stepped over, one of
 * known kind but impossible length is ignored. Nearly every segment carries either no option or an
 * aligned timestamp alone, which is recognised as one word. Checksums are the caller's, for only it
 * knows what the device has verified. Source: RFC 9293 section 3.1, RFC 7323 section 3.2, RFC 2018
 * section 3.
 */
#include "tcp/private.h"

#include <errno.h>
#include <string.h>

enum { OPT_END = 0, OPT_NOP = 1, OPT_SACK = 5, OPT_TIMESTAMP = 8 };

#define ALIGNED_TIMESTAMP 0x0101080au /* NOP, NOP, kind 8, length 10 */
#define ALIGNED_SACK 0x01010500u      /* NOP, NOP, kind 5, and the length */

static uint16_t
get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t
get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void
put16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void
put32(uint8_t *at, uint32_t value)
{
    put16(at, (uint16_t)(value >> 16));
    put16(at + 2, (uint16_t)value);
}

static void
read_timestamp(const uint8_t *at, struct tcp_segment *out)
{
    out->has_timestamp = true;
    out->tsval = get32(at + 2);
    out->tsecr = get32(at + 6);
}

static void
read_sack(const uint8_t *at, unsigned len, struct tcp_segment *out)
{
    unsigned count = (len - 2) / 8;

    if (len < 10 || (len - 2) % 8 || count > 4)
        return;
    for (unsigned i = 0; i < count; i++)
        out->sack[i] = (struct tcp_range){get32(at + 2 + 8 * i), get32(at + 6 + 8 * i)};
    out->sack_count = (uint8_t)count;
}

static int
read_options(const uint8_t *at, unsigned len, struct tcp_segment *out)
{
    while (len && *at != OPT_END) {
        if (*at == OPT_NOP) {
            at++;
            len--;
            continue;
        }
        if (len < 2 || at[1] < 2 || at[1] > len)
            return -EBADMSG;
        if (*at == OPT_TIMESTAMP && at[1] == 10)
            read_timestamp(at, out);
        else if (*at == OPT_SACK)
            read_sack(at, at[1], out);
        len -= at[1];
        at += at[1];
    }
    return 0;
}

int
tcp_parse(const uint8_t *bytes, size_t available, struct tcp_segment *out)
{
    if (available < TCP_HEADER_LEN)
        return -EBADMSG;
    unsigned header_len = (unsigned)(bytes[12] >> 4) * 4;
    if (header_len < TCP_HEADER_LEN || header_len > available)
        return -EBADMSG;
    out->source_port = get16(bytes);
    out->dest_port = get16(bytes + 2);
    out->seq = get32(bytes + 4);
    out->ack = get32(bytes + 8);
    out->flags = bytes[13];
    out->window = get16(bytes + 14);
    out->urgent = get16(bytes + 18);
    out->header_len = (uint16_t)header_len;
    out->payload_len = 0;
    out->segment_size = 0;
    out->ecn = TCP_NOT_ECT;
    out->sack_count = 0;
    out->has_timestamp = false;
    out->tsval = out->tsecr = 0;
    if (header_len == TCP_HEADER_LEN)
        return 0;
    if (header_len == TCP_HEADER_LEN + TCP_TIMESTAMP_LEN &&
        get32(bytes + 20) == ALIGNED_TIMESTAMP) {
        read_timestamp(bytes + 22, out);
        return 0;
    }
    return read_options(bytes + TCP_HEADER_LEN, header_len - TCP_HEADER_LEN, out);
}

size_t
tcp_write_header(const struct tcp_out *out, uint16_t source_port, uint16_t dest_port,
                 uint8_t *bytes)
{
    size_t header_len = TCP_HEADER_LEN + out->option_len;

    put16(bytes, source_port);
    put16(bytes + 2, dest_port);
    put32(bytes + 4, out->seq);
    put32(bytes + 8, out->ack);
    bytes[12] = (uint8_t)(header_len / 4 << 4);
    bytes[13] = out->flags;
    put16(bytes + 14, out->window);
    put32(bytes + 16, 0);
    memcpy(bytes + TCP_HEADER_LEN, out->options, out->option_len);
    return header_len;
}

uint8_t
tcp_put_timestamp(uint8_t *at, uint32_t tsval, uint32_t tsecr)
{
    put32(at, ALIGNED_TIMESTAMP);
    put32(at + 4, tsval);
    put32(at + 8, tsecr);
    return TCP_TIMESTAMP_LEN;
}

uint8_t
tcp_put_sack(uint8_t *at, const struct tcp_range *blocks, unsigned count)
{
    put32(at, ALIGNED_SACK | (2 + 8 * count));
    for (unsigned i = 0; i < count; i++) {
        put32(at + 4 + 8 * i, blocks[i].start);
        put32(at + 8 + 8 * i, blocks[i].end);
    }
    return (uint8_t)(4 + 8 * count);
}
