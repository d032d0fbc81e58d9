/*
 * Traces by the names of their adapters: where a floor and whoever has the wire meet. Either may
 * come first, and an adapter may come again; so a program that has joined need not be told.
 */
#include "intermediate/trace/trace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct list traces = {&traces, &traces};

/* Found, or new. */
static struct trace *
get(const char *adapter)
{
    struct trace *trace;

    list_for_each(other, &traces, struct trace, link)
        if (strcmp(other->adapter, adapter) == 0)
            return other;
    trace = calloc(1, sizeof(*trace));
    if (!trace)
        return NULL;
    snprintf(trace->adapter, sizeof(trace->adapter), "%s", adapter);
    list_add_tail(&traces, &trace->link);
    return trace;
}

static void
put(struct trace *trace)
{
    if (trace->joins || trace->stands)
        return;
    list_del(&trace->link);
    free(trace);
}

/* ---- the floor's side ---- */

struct trace *
trace_stand(const char *adapter)
{
    struct trace *trace = get(adapter);

    if (trace)
        trace->stands = true;
    return trace;
}

void
trace_fall(struct trace *trace)
{
    if (trace->file)
        trace_file_put(trace->file);
    trace->file = NULL;
    trace->stands = false;
    put(trace);
}

void
trace_put_frame(struct trace *trace, const struct trace_frame *frame)
{
    char words[64];
    struct pcapng_packet packet = {.interface = trace->frames,
                                   .way = frame->out ? PCAPNG_OUT : PCAPNG_IN,
                                   .length = (uint32_t)frame->length,
                                   .kept = (uint32_t)frame->length};

    if (!trace->file)
        return;
    if (packet.kept > trace->snap_bytes)
        packet.kept = trace->snap_bytes;
    if (frame->gso_bytes) {
        snprintf(words, sizeof(words), "superframe, segments of %u bytes", frame->gso_bytes);
        packet.comment = words;
    }
    trace_file_packet(trace->file, &packet, frame->copy, frame->frame);
}

static size_t
copy_crossing(const void *from, void *to, size_t max)
{
    trace_record_put(from, to);
    return max;
}

void
trace_put_crossing(struct trace *trace, const struct trace_crossing *crossing)
{
    uint32_t bytes = (uint32_t)trace_record_bytes(crossing);
    char words[TRACE_WORDS_SIZE];
    struct pcapng_packet packet = {.interface = trace->crossings,
                                   .way = crossing->up ? PCAPNG_IN : PCAPNG_OUT,
                                   .length = bytes,
                                   .kept = bytes,
                                   .comment = words};

    if (!trace->file)
        return;
    trace_record_words(crossing, words);
    trace_file_packet(trace->file, &packet, copy_crossing, crossing);
}

/* ---- the program's side ---- */

struct trace *
trace_join(const char *adapter, const void *wire)
{
    struct trace *trace = get(adapter);

    if (!trace)
        return NULL;
    trace->joins++;
    trace->wire = wire;
    return trace;
}

void
trace_leave(struct trace *trace)
{
    trace->joins--;
    put(trace);
}

/* Of those that have this wire and write to this file it is the first. */
static bool
writes(const struct trace *trace)
{
    list_for_each(other, &traces, struct trace, link)
        if (other->joins && other->file == trace->file && other->wire == trace->wire)
            return other == trace;
    return false;
}

void
trace_frame(struct trace *trace, const struct trace_frame *frame)
{
    if (trace->file && writes(trace))
        trace_put_frame(trace, frame);
}

int
trace_flush(struct trace *trace)
{
    return trace->file ? trace_file_flush(trace->file) : -ENOENT;
}
