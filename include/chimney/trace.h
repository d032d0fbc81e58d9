/*
 * The traces of the intermediate driver trace, for who builds the house: a program has the wires,
 * and with their frames a trace has everything on one time axis. Frames of offloaded connections
 * pass no driver as frames; only the wire sees them.
 *
 * Threads: the loop's.
 */
#ifndef CHIMNEY_TRACE_H
#define CHIMNEY_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace;

/*
 * The trace of a virtual adapter, which may come and go meanwhile. From now on the frames in it are
 * those that trace_frame is given, and no others: its floor records those that pass it as crossings
 * only, so that none is there twice. wire: tells wires apart; of several traces in one file that
 * have the same wire only one writes its frames. NULL: out of memory.
 */
struct trace *trace_join(const char *adapter, const void *wire);
void trace_leave(struct trace *trace);

/* A frame of the wire. copy: the first max bytes of what frame points at, or all; how many. */
struct trace_frame {
    bool out; /* sent by the driver */
    const void *frame;
    size_t length;
    unsigned gso_bytes; /* payload per segment of a superframe; 0: one frame */
    size_t (*copy)(const void *frame, void *to, size_t max);
};
void trace_frame(struct trace *trace, const struct trace_frame *frame);

/* Waits until everything recorded so far is in the file. 0; -ENOENT: the adapter does not stand, or
 * has no file; otherwise the negative errno with which writing ended. */
int trace_flush(struct trace *trace);

#endif
