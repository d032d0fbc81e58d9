/*
 * The internet checksum. One's-complement addition does not care for byte order (RFC 1071, section
 * 2 (B)): words are added as they lie in memory, four at a time with the carries counted apart, and
 * only the result is turned round. A piece that starts at an odd place is added as if even and its
 * sum's bytes are exchanged.
 */
#include "base/checksum.h"

#include "base/bytes.h"

#include <string.h>

static uint32_t
fold32(uint64_t sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    return (uint32_t)((sum & 0xffffffff) + (sum >> 32));
}

static uint16_t
fold16(uint64_t sum)
{
    uint32_t word = fold32(sum);

    word = (word & 0xffff) + (word >> 16);
    return (uint16_t)((word & 0xffff) + (word >> 16));
}

/* Memory order to a number whose big-endian form is meant. */
static uint16_t
from_memory(uint16_t word)
{
    return bytes_load_be16(&word);
}

static uint64_t
sum_words(const uint8_t *at, size_t len)
{
    uint64_t even = 0, odd = 0;
    uint32_t words[4];
    uint16_t tail = 0;

    /* 32-bit words into 64-bit sums: no carry is lost in less than 16 GB. */
    for (; len >= sizeof(words); at += sizeof(words), len -= sizeof(words)) {
        memcpy(words, at, sizeof(words));
        even += (uint64_t)words[0] + words[2];
        odd += (uint64_t)words[1] + words[3];
    }
    for (; len >= 2; at += 2, len -= 2) {
        memcpy(&tail, at, 2);
        even += tail;
    }
    if (len != 0) {
        tail = 0;
        memcpy(&tail, at, 1);
        even += tail;
    }
    return (uint64_t)fold32(even) + fold32(odd);
}

void
checksum_add(struct checksum *checksum, const void *data, size_t len)
{
    uint64_t sum;

    if (len == 0)
        return;
    sum = sum_words(data, len);
    if (checksum->odd) {
        uint16_t word = fold16(sum);

        sum = (uint16_t)(word << 8 | word >> 8);
    }
    checksum->sum = (uint64_t)fold32(checksum->sum) + sum;
    checksum->odd ^= len & 1;
}

void
checksum_add_be16(struct checksum *checksum, uint16_t value)
{
    checksum->sum += from_memory(value);
}

void
checksum_add_be32(struct checksum *checksum, uint32_t value)
{
    checksum_add_be16(checksum, (uint16_t)(value >> 16));
    checksum_add_be16(checksum, (uint16_t)value);
}

static void
add_pseudo(struct checksum *checksum, const void *source, const void *dest, size_t address_len,
           uint8_t protocol, uint32_t len)
{
    checksum_add(checksum, source, address_len);
    checksum_add(checksum, dest, address_len);
    checksum_add_be16(checksum, protocol);
    checksum_add_be32(checksum, len);
}

void
checksum_add_pseudo_v4(struct checksum *checksum, const void *source, const void *dest,
                       uint8_t protocol, uint32_t len)
{
    add_pseudo(checksum, source, dest, 4, protocol, len);
}

void
checksum_add_pseudo_v6(struct checksum *checksum, const void *source, const void *dest,
                       uint8_t protocol, uint32_t len)
{
    add_pseudo(checksum, source, dest, 16, protocol, len);
}

uint16_t
checksum_folded(const struct checksum *checksum)
{
    return from_memory(fold16(checksum->sum));
}

uint16_t
checksum_value(const struct checksum *checksum)
{
    return (uint16_t)~checksum_folded(checksum);
}

uint16_t
checksum_of(const void *data, size_t len)
{
    struct checksum checksum = {0};

    checksum_add(&checksum, data, len);
    return checksum_value(&checksum);
}

uint16_t
checksum_adjust16(uint16_t checksum, uint16_t before, uint16_t after)
{
    /* RFC 1624, equation 3 */
    return (uint16_t)~fold16((uint64_t)(uint16_t)~checksum + (uint16_t)~before + after);
}

uint16_t
checksum_adjust32(uint16_t checksum, uint32_t before, uint32_t after)
{
    checksum = checksum_adjust16(checksum, (uint16_t)(before >> 16), (uint16_t)(after >> 16));
    return checksum_adjust16(checksum, (uint16_t)before, (uint16_t)after);
}
