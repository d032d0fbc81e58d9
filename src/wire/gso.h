/*
 * Cutting TCP superframes into the segments that would travel on a real wire, and finishing
 * checksums left to the medium. Private to src/wire. Pure; any thread.
 */
#ifndef WIRE_GSO_H
#define WIRE_GSO_H

#include "chimney/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gso_cut {
    const uint8_t *frame;
    size_t len;
    size_t ip, tcp, header_len; /* where they start; where the payload starts */
    uint16_t segment_bytes;
    bool ipv6;
    size_t offset; /* payload cut so far */
    unsigned count;
};

/*
 * Owner: frame stays the caller's until the last segment is cut. 0; -EINVAL: meta and frame
 * disagree.
 */
int gso_begin(struct gso_cut *cut, const uint8_t *frame, size_t len, const struct wire_meta *meta);
/* Bytes of the next segment; 0: none left. */
size_t gso_next_len(const struct gso_cut *cut);
/* Writes the next segment, complete with lengths, sequence number, flags and checksums, to room. */
void gso_next(struct gso_cut *cut, uint8_t *room);

/* Fills in the checksum of a frame with meta->csum_partial. -EINVAL: it would lie outside. */
int gso_finish_checksum(uint8_t *frame, size_t len, const struct wire_meta *meta);

/*
 * Ethernet + IP + TCP header of a TCP frame whose checksum starts at csum_start; 0: not that long.
 */
uint16_t gso_header_len(const uint8_t *frame, size_t len, uint16_t csum_start);

#endif
