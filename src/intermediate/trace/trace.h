/* What the files of this driver share. Threads: the loop's. */
#ifndef INTERMEDIATE_TRACE_TRACE_H
#define INTERMEDIATE_TRACE_TRACE_H

#include "base/list.h"
#include "chimney/trace.h"
#include "intermediate/floor/floor.h"
#include "intermediate/trace/file.h"
#include "intermediate/trace/record.h"

/* NBLs under way whose connection is remembered: so many places, a power of two, of so many each.
 */
#define TRACE_PLACES 256
#define TRACE_PLACE_ROOM 8

/* By the name of an adapter: what its floor writes to, and what a program has joined to it. Lives
 * as long as one of the two. */
struct trace {
    struct list link;
    char adapter[FLOOR_NAME_SIZE];
    bool stands;
    unsigned joins;
    const void *wire;           /* of the last who joined */
    struct trace_file *file;    /* NULL: nothing is recorded */
    uint32_t frames, crossings; /* interfaces in it */
    uint32_t snap_bytes;        /* of a frame */
};

struct trace_adapter {
    struct floor_adapter floor; /* first */
    struct trace *trace;
    uint32_t last_number; /* of an object */
    struct trace_under_way {
        PNET_BUFFER_LIST nbl;
        struct trace_object object;
    } under_way[TRACE_PLACES][TRACE_PLACE_ROOM]; /* the youngest of a place first */
    struct trace_node nodes[TRACE_NODES_MAX];    /* of the tree being recorded */
};

struct trace_offload {
    struct floor_offload floor; /* first */
    struct trace_object object;
};

static inline struct trace_adapter *
trace_adapter_of(void *adapter)
{
    return adapter;
}

static inline const struct trace_object *
trace_object_of(const struct floor_offload *entry)
{
    return &((const struct trace_offload *)entry)->object;
}

/* ---- join.c ---- */

/* That of a virtual adapter which comes; NULL: out of memory. */
struct trace *trace_stand(const char *adapter);
/* It goes. */
void trace_fall(struct trace *trace);
/* Into the file, if there is one. */
void trace_put_frame(struct trace *trace, const struct trace_frame *frame);
void trace_put_crossing(struct trace *trace, const struct trace_crossing *crossing);

/* ---- operations.c: state operations ---- */
void trace_tree_down(struct floor_adapter *adapter, struct floor_call *call);
void trace_tree_up(struct floor_adapter *adapter, struct floor_call *call);

/* ---- data.c: data, indications and events of connections ---- */
void trace_override_data(struct floor_handlers *handlers);
/* The NBLs of a list are of this connection until they complete. */
void trace_remember(struct trace_adapter *adapter, PNET_BUFFER_LIST nbls,
                    const struct trace_object *object);
uint64_t trace_data_bytes(PNET_BUFFER_LIST nbls, uint32_t *count);

/* ---- edges.c: frames, requests, status, lives ---- */
void trace_override_edges(struct floor_handlers *handlers);

#endif
