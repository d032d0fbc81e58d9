/*
 * Whether a received TCP segment arrived as it was sent, as far as its checksums tell. The verifier
 * believes what it is told of the peer, and the target throws a damaged segment away: one wrong bit
 * in an acknowledgement would set the peer's window half a world off. Source: RFC 791, 8200, 9293.
 */
#include "verify.h"

#include "base/bytes.h"
#include "base/checksum.h"

#define ETHERNET_HEADER 14u
#define TAG 4u
#define TCP 6

static bool
intact_v4(const uint8_t *ip, size_t left)
{
    size_t header = (ip[0] & 15u) * 4u, len = bytes_load_be16(ip + 2);
    struct checksum sum = {0};

    if (ip[0] >> 4 != 4 || header < 20 || header > len || len > left || checksum_of(ip, header))
        return false;
    if (ip[9] != TCP || bytes_load_be16(ip + 6) & 0x3fff)
        return true;
    checksum_add_pseudo_v4(&sum, ip + 12, ip + 16, TCP, (uint32_t)(len - header));
    checksum_add(&sum, ip + header, len - header);
    return !checksum_value(&sum);
}

static bool
intact_v6(const uint8_t *ip, size_t left)
{
    size_t len = bytes_load_be16(ip + 4);
    struct checksum sum = {0};

    if (ip[0] >> 4 != 6 || left < 40 || len > left - 40)
        return false;
    if (ip[6] != TCP)
        return true;
    checksum_add_pseudo_v6(&sum, ip + 8, ip + 24, TCP, (uint32_t)len);
    checksum_add(&sum, ip + 40, len);
    return !checksum_value(&sum);
}

bool
verify_intact(const uint8_t *frame, size_t len)
{
    size_t ip = ETHERNET_HEADER;

    if (len < ETHERNET_HEADER + TAG)
        return true;
    if (bytes_load_be16(frame + 12) == 0x8100)
        ip += TAG;
    if (len < ip + 20)
        return true;
    switch (bytes_load_be16(frame + ip - 2)) {
    case 0x0800:
        return intact_v4(frame + ip, len - ip);
    case 0x86dd:
        return intact_v6(frame + ip, len - ip);
    default:
        return true;
    }
}
