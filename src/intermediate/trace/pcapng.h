/*
 * Blocks of a pcapng file. Each is one call with two uses: to NULL says how many bytes the block
 * takes, otherwise it is written there. The file is big-endian.
 */
#ifndef INTERMEDIATE_TRACE_PCAPNG_H
#define INTERMEDIATE_TRACE_PCAPNG_H

#include <stddef.h>
#include <stdint.h>

enum pcapng_link { PCAPNG_ETHERNET = 1, PCAPNG_USER0 = 147 };

/* The first block; comment: about the whole file. */
size_t pcapng_section(uint8_t *to, const char *application, const char *comment);

struct pcapng_interface {
    enum pcapng_link link;
    uint32_t snap_bytes; /* 0: no limit */
    const char *name, *description;
};
/* They count from 0 in the order written. Times of their packets are nanoseconds. */
size_t pcapng_interface(uint8_t *to, const struct pcapng_interface *interface);

enum pcapng_way { PCAPNG_UNKNOWN, PCAPNG_IN, PCAPNG_OUT };

struct pcapng_packet {
    uint32_t interface;
    uint64_t time_ns; /* since 1970 */
    uint32_t kept;    /* bytes of it in the file */
    uint32_t length;
    enum pcapng_way way;
    uint64_t lost;       /* packets, between the one before and this one */
    const char *comment; /* NULL: none */
};
/* *bytes: where its kept bytes are to be put. */
size_t pcapng_packet(uint8_t *to, const struct pcapng_packet *packet, uint8_t **bytes);

#endif
