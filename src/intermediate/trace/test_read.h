/* For tests: reads a pcapng file block by block, with no line in common with what writes it. */
#ifndef INTERMEDIATE_TRACE_TEST_READ_H
#define INTERMEDIATE_TRACE_TEST_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define READ_INTERFACES 16
#define READ_TEXT 1100

struct read_packet {
    uint32_t interface, kept, length, flags;
    uint64_t time_ns, lost;
    const uint8_t *bytes;
    char comment[READ_TEXT]; /* "": none */
};

struct read_file {
    unsigned sections, interfaces, packets;
    char application[64], comment[READ_TEXT]; /* of the section */
    struct read_interface {
        unsigned link, resolution;
        uint32_t snap;
        char name[128], description[64];
    } interface[READ_INTERFACES];
    const char *wrong; /* NULL: nothing */
};

/* How many bytes whole blocks take; stops at the first that is not whole (wrong stays NULL), or not
 * as it should be. */
size_t read_pcapng(const uint8_t *file, size_t len, struct read_file *out,
                   void (*on_packet)(void *arg, const struct read_packet *packet), void *arg);

#endif
