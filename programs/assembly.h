/*
 * The house that chimneyd runs: drivers, one stack of adapters per interface, the Linux host stack
 * on top of all of them.
 *
 * Threads: the loop's.
 */
#ifndef PROGRAMS_ASSEMBLY_H
#define PROGRAMS_ASSEMBLY_H

#include "config.h"
#include "ears.h"

struct house;
struct hoststack;
struct sys_loop;
struct verify;
struct wire;

#define ASSEMBLY_FILES 32 /* drivers from files, each counted once */

struct assembly {
    struct sys_loop *loop;
    struct house *house;
    struct hoststack *stack;
    struct verify *verify; /* NULL: not asked for */
    struct {
        struct wire *tap;                 /* NULL once the host stack owns it */
        struct wire *wires[CONFIG_WIRES]; /* of the interface itself, or of those under a port */
        struct ears ears[CONFIG_WIRES];   /* of these wires */
    } ports[CONFIG_STACKS];
    char files[ASSEMBLY_FILES][CONFIG_DRIVER]; /* paths that are loaded */
    unsigned file_count;
    char error[512]; /* what failed, without a newline */
};

/* Builds everything config asks for. Owner: config stays the caller's until assembly_fini. 0 or a
 * negative errno; on failure call assembly_fini as well. */
int assembly_init(struct assembly *assembly, struct sys_loop *loop, const struct config *config);
/* Gives every connection back, then takes the house down. */
void assembly_fini(struct assembly *assembly);

#endif
