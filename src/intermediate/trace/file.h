/*
 * One file, however many floors record into it, and however they write its name: each has
 * interfaces of its own there, and all are on one time axis.
 *
 * Threads: the loop's.
 */
#ifndef INTERMEDIATE_TRACE_FILE_H
#define INTERMEDIATE_TRACE_FILE_H

#include "intermediate/trace/pcapng.h"

#include <stdbool.h>

#define TRACE_PATH_SIZE 256
#define TRACE_FRAME_MAX 131072u /* bytes of a frame that are kept at the most */

struct trace_file;

/*
 * The file at path, created if no floor has it. ring_bytes: of the file and the one put aside
 * together; 0: no bound. NULL: *why says why not.
 */
struct trace_file *trace_file_get(const char *path, uint64_t ring_bytes, const char **why);
/* The last one closes it. */
void trace_file_put(struct trace_file *file);
/* 0, or the negative errno with which writing ended. */
int trace_file_flush(struct trace_file *file);

/* Its number. The link is PCAPNG_ETHERNET for frames, PCAPNG_USER0 for crossings. */
uint32_t trace_file_interface(struct trace_file *file, const struct pcapng_interface *interface);

/* Now, with the bytes that copy puts there: at most max, from what from points at. packet: time and
 * losses are filled in. */
void trace_file_packet(struct trace_file *file, struct pcapng_packet *packet,
                       size_t (*copy)(const void *from, void *to, size_t max), const void *from);

#endif
