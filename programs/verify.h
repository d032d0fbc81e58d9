/*
 * chimneyd --verify: the verifier on the house, and its ear on every wire.
 *
 * Threads: the loop's.
 */
#ifndef PROGRAMS_VERIFY_H
#define PROGRAMS_VERIFY_H

#include "chimney/verifier.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct house;
struct sys_loop;
struct verify;
struct verify_wire;
struct wire;
struct wire_tx;

/* Attaches it; before the first driver is loaded. NULL: out of memory. */
struct verify *verify_open(struct sys_loop *loop, struct house *house);
/* The frames of this wire are those of that adapter. NULL: out of memory. Owner: verify's. */
struct verify_wire *verify_wire(struct verify *verify, struct wire *wire, const char *adapter);
/* A frame of it, as its watcher is given it. */
void verify_frame(const struct verify_wire *watched, bool out, const struct wire_tx *frame);
/* Of a received frame, whole: no checksum says that it was damaged. Pure. */
bool verify_intact(const uint8_t *frame, size_t len);
/* Wires and house are gone: the last look, and the sum to the log. */
void verify_close(struct verify *verify);

#endif
