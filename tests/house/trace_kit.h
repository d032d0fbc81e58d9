/*
 * What the tests of traces share: a folder for their files, files read by test_read and not by the
 * code that wrote them, and an ear on the wire.
 */
#ifndef TESTS_HOUSE_TRACE_KIT_H
#define TESTS_HOUSE_TRACE_KIT_H

#include "chimney/trace.h"
#include "intermediate/trace/record.h"
#include "intermediate/trace/test_read.h"
#include "stage.h"

#define KIT_PACKETS 4096
#define KIT_YEAR_2000_NS 946684800000000000ull
#define SECOND_US 1000000u

struct kit {
    char path[64], aside[80]; /* of this test */
    uint8_t bytes[8 << 20];   /* of the file last loaded */
    struct read_file file;
    struct read_packet packets[KIT_PACKETS];
    unsigned count;
    struct heard {
        struct stage *stage;
        struct trace *traces[2]; /* joined to the wire */
        uint8_t bytes[4 << 20];
        struct {
            size_t at, len;
            bool out;
            uint64_t now_us;
        } frames[KIT_PACKETS];
        unsigned count;
        size_t used;
    } heard; /* on the left end */
};

extern struct kit kit;
extern const struct script_options kit_plain[2];

int kit_setup(void **state);
int kit_teardown(void **state);
/* A list of floors in which each %s is the file. */
const char *kit_floors(const char *format);

size_t kit_load(const char *name);
/* All of it, and it is as it should be to the last byte; its size. */
size_t kit_read(const char *name);

/* A crossing, by hand. */
struct kit_seen {
    unsigned op, flags, owner, count, nodes;
    uint32_t status, code, info, object;
    uint64_t bytes;
    const uint8_t *node; /* the first of them */
};

bool kit_is_crossing(const struct read_packet *packet);
struct kit_seen kit_decode(const struct read_packet *packet);
/* The next one with this operation, from *at on, which is then behind it. */
struct kit_seen kit_next(unsigned *at, enum trace_op op);

/* From now on the frames of the left end are heard, and told to heard.traces. */
void kit_listen(struct stage *stage);
/* Some bytes both ways at home, then many more with the target. */
void kit_exchange(struct stage *stage, struct pair *pair);

#endif
