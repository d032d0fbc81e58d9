/*
 * chimneyd --verify: the verifier on the house, and its ear on every wire.
 *
 * Threads: the loop's.
 */
#ifndef PROGRAMS_VERIFY_H
#define PROGRAMS_VERIFY_H

#include "chimney/verifier.h"

struct house;
struct sys_loop;
struct verify;
struct wire;

/* Attaches it; before the first driver is loaded. NULL: out of memory. */
struct verify *verify_open(struct sys_loop *loop, struct house *house);
/* The frames of this wire are those of that adapter. 0; -ENOMEM. */
int verify_wire(struct verify *verify, struct wire *wire, const char *adapter);
/* Wires and house are gone: the last look, and the sum to the log. */
void verify_close(struct verify *verify);

#endif
