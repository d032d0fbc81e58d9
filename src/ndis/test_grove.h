/*
 * Trees as large as one likes, in several shapes, a target that takes them and a host that sends
 * one operation after the other. For the test with large trees and for measuring; none of it
 * recurses or allocates but for the nodes themselves.
 */
#ifndef NDIS_TEST_GROVE_H
#define NDIS_TEST_GROVE_H

#include "ndis/test_pair.h"

/* X(name): BUSH: a neighbor, paths, connections; ROW: all connections under one path; ROWS: rows of
 * neighbors with one path and one connection each; LADDER: every block below the one before; COMB:
 * a ladder, every rung of which has a sibling. The last two are no trees of the chimney, but NDIS
 * knows no bound on depth either. */
#define GROVE_SHAPES(X) X(BUSH) X(ROW) X(ROWS) X(LADDER) X(COMB)
#define GROVE_SHAPE_ENUM(name) GROVE_##name,
enum grove_shape { GROVE_SHAPES(GROVE_SHAPE_ENUM) GROVE_SHAPE_COUNT };

#define GROVE_OPERATIONS(X) X(INITIATE) X(QUERY) X(TERMINATE)
#define GROVE_OPERATION_ENUM(name) GROVE_##name,
enum grove_operation { GROVE_OPERATIONS(GROVE_OPERATION_ENUM) GROVE_OPERATION_COUNT };

struct grove_node {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    UCHAR states[NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CONST) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CACHED) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_DELEGATED)] __attribute__((aligned(8)));
    NDIS_OFFLOAD_HANDLE handle;
};

struct grove {
    struct pair pair;
    enum grove_shape shape;
    size_t count;
    struct grove_node *nodes;                /* [0]: the root */
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST held;  /* with the target */
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST ended; /* root that completed last */
    enum grove_operation operation;
};

bool grove_open(struct grove *grove, house_driver_entry middle, unsigned floors, size_t count);
void grove_close(struct grove *grove);
const char *grove_shape_name(enum grove_shape shape);
const char *grove_operation_name(enum grove_operation operation);

/* Links and types; what was in the handles stays. */
void grove_set(struct grove *grove, enum grove_shape shape, enum grove_operation operation);
/* Down to the target, which holds it. */
void grove_send(struct grove *grove);
/* The target has succeeded with every block, and says so. */
void grove_answer(struct grove *grove);
/* Visits every block once and returns how many there were: a plain walk. */
size_t grove_walk(struct grove *grove);

#endif
