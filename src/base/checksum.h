/*
 * The internet checksum (RFC 1071) over any number of pieces of any length and alignment. All
 * 16-bit results are numbers to be stored big endian (bytes_store_be16). Pure; any thread.
 */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sum in progress; all zero: nothing added yet. */
struct checksum {
    uint64_t sum; /* of 16-bit words in memory order */
    bool odd;     /* an odd number of bytes so far */
};

void checksum_add(struct checksum *checksum, const void *data, size_t len);
/* Only after an even number of bytes. */
void checksum_add_be16(struct checksum *checksum, uint16_t value);
void checksum_add_be32(struct checksum *checksum, uint32_t value);

/* The pseudo header of TCP and UDP; len: bytes of transport header and payload. */
void checksum_add_pseudo_v4(struct checksum *checksum, const void *source, const void *dest,
                            uint8_t protocol, uint32_t len);
void checksum_add_pseudo_v6(struct checksum *checksum, const void *source, const void *dest,
                            uint8_t protocol, uint32_t len);

/*
 * The folded sum: what belongs in the checksum field of a frame whose medium finishes the work
 * (csum_partial).
 */
uint16_t checksum_folded(const struct checksum *checksum);
/* Its complement: the checksum. Over data that contains a right checksum: 0. */
uint16_t checksum_value(const struct checksum *checksum);

/* In one go. */
uint16_t checksum_of(const void *data, size_t len);

/* A checksum after one 16-bit or 32-bit field under it has changed (RFC 1624). */
uint16_t checksum_adjust16(uint16_t checksum, uint16_t before, uint16_t after);
uint16_t checksum_adjust32(uint16_t checksum, uint32_t before, uint32_t after);

#endif
