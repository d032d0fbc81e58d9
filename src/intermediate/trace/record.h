/*
 * A crossing as a packet: what it is made of, the bytes in which it is kept, and the same in words.
 */
#ifndef INTERMEDIATE_TRACE_RECORD_H
#define INTERMEDIATE_TRACE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name): they count from 1 and are part of the format: new ones come last. The five state
 * operations are in the order of enum floor_operation. */
/* clang-format off */
#define TRACE_CROSSINGS(X)                                                                         \
    X(INITIATE) X(INITIATE_COMPLETE) X(TERMINATE) X(TERMINATE_COMPLETE)                            \
    X(UPDATE) X(UPDATE_COMPLETE) X(QUERY) X(QUERY_COMPLETE)                                        \
    X(INVALIDATE) X(INVALIDATE_COMPLETE)                                                           \
    X(TCP_SEND) X(TCP_SEND_COMPLETE) X(TCP_RECEIVE) X(TCP_RECEIVE_COMPLETE)                        \
    X(TCP_DISCONNECT) X(TCP_DISCONNECT_COMPLETE) X(TCP_FORWARD) X(TCP_FORWARD_COMPLETE)            \
    X(TCP_RECEIVE_INDICATE) X(TCP_RECEIVE_RETURN) X(TCP_EVENT) X(OFFLOAD_EVENT)                    \
    X(SEND) X(SEND_COMPLETE) X(RECEIVE) X(RETURN)                                                  \
    X(STATUS) X(OID) X(OID_COMPLETE) X(PAUSE) X(RESTART) X(PNP_EVENT)
/* clang-format on */
#define TRACE_CROSSING_ENUM(name) TRACE_##name,
enum trace_op { TRACE_NONE, TRACE_CROSSINGS(TRACE_CROSSING_ENUM) TRACE_OP_COUNT };

/* Of an offloaded object; numbers are part of the format. */
enum trace_layer { TRACE_UNKNOWN, TRACE_NEIGHBOR, TRACE_PATH, TRACE_TCP };
/* A node of a tree: names nothing, an object that is there, one that is offered. */
enum trace_role { TRACE_PLACEHOLDER, TRACE_EXISTING, TRACE_NEW };
/* On which side of this floor something is from now on. */
enum trace_owner { TRACE_NOBODY, TRACE_ABOVE, TRACE_BELOW };

struct trace_object {
    uint32_t number; /* of the floor, from 1; 0: not known */
    enum trace_layer layer;
    uint16_t local_port, remote_port; /* of a connection, if it was seen to be offloaded */
};

struct trace_node {
    struct trace_object object;
    enum trace_role role;
    unsigned depth; /* the root and its siblings: 0 */
    enum trace_owner owner;
    uint32_t status;
};

struct trace_crossing {
    enum trace_op op;
    bool up;
    bool answer; /* what the call returned, when it has */
    bool has_status;
    enum trace_owner owner; /* of what was passed */
    uint32_t status;
    uint64_t bytes;
    uint32_t count;      /* NBLs, nodes */
    uint32_t code, info; /* by op: record.c */
    struct trace_object object;
    uint64_t buffer; /* tells the first NBL, or the root, from others */
    const struct trace_node *nodes;
    uint32_t node_count; /* of these; count may be more */
};

#define TRACE_NODES_MAX 2048 /* of one tree, in one record */
#define TRACE_RECORD_HEAD 48
#define TRACE_RECORD_NODE 20
#define TRACE_WORDS_SIZE 1024

static inline size_t
trace_record_bytes(const struct trace_crossing *crossing)
{
    return TRACE_RECORD_HEAD + (size_t)crossing->node_count * TRACE_RECORD_NODE;
}

void trace_record_put(const struct trace_crossing *crossing, uint8_t *to);
void trace_record_words(const struct trace_crossing *crossing, char words[TRACE_WORDS_SIZE]);

#endif
