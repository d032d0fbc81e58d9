/*
 * Who hears the frames of a wire, which has one watcher: the verifier, and the traces in the stack
 * of drivers above it.
 *
 * Threads: the loop's.
 */
#ifndef PROGRAMS_EARS_H
#define PROGRAMS_EARS_H

#include "config.h"

struct trace;
struct verify;
struct verify_wire;
struct wire;

struct ears {
    struct wire *wire; /* NULL: nobody hears */
    struct verify_wire *verify;
    struct trace *traces[CONFIG_INTERMEDIATES];
    unsigned trace_count;
};

/* Whichever comes first makes it the wire's watcher. wire is the same in all calls. 0; -ENOMEM. */
int ears_verify(struct ears *ears, struct wire *wire, struct verify *verify, const char *adapter);
/* adapter: of a trace, which need not stand yet. */
int ears_trace(struct ears *ears, struct wire *wire, const char *adapter);
/* Before the wire is closed. */
void ears_close(struct ears *ears);

#endif
