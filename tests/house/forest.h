/*
 * Trees of blocks made up by a seed: several neighbors, under each several paths, under each
 * several connections, of which some are offloaded already and others are to be. A host that offers
 * them and a target that refuses some and else does what is documented; what stands between the two
 * is the caller's.
 *
 *   N0 ─┬─ P1 ─┬─ T2      placeholder: it is only there to reach what is below
 *       │      └─ T3      linker: is offloaded, has something new below it
 *       └─ P4 ─── T5      new: is to be offloaded
 *   N6 ─── P7 ─── T8
 *
 * Source: chimney 3.
 */
#ifndef TESTS_HOUSE_FOREST_H
#define TESTS_HOUSE_FOREST_H

#include "ndis/test_pair.h"

#include "base/random.h"

#define FOREST_WIDTH 3 /* of siblings, at most */
#define FOREST_NODES (FOREST_WIDTH + FOREST_WIDTH * FOREST_WIDTH * (1 + FOREST_WIDTH))

enum forest_layer { FOREST_NEIGHBOR, FOREST_PATH, FOREST_TCP };
enum forest_role { FOREST_PLACEHOLDER, FOREST_LINKER, FOREST_NEW };

struct forest_node {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    UCHAR states[NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CONST) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CACHED) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_DELEGATED)] __attribute__((aligned(8)));
    NDIS_OFFLOAD_HANDLE handle;
    UCHAR addresses[2][4]; /* of a path */
    int parent;            /* -1: none */
    enum forest_layer layer;
    bool used; /* it is in the tree that is under way, in this role */
    enum forest_role role;
    bool refused; /* by the target, if it comes so far */
};

struct forest {
    struct pair pair;
    struct random random;
    struct forest_node nodes[FOREST_NODES]; /* parents before their children */
    int count;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST held;  /* with the target */
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST ended; /* root that has completed last */
    unsigned completions;
};

/* A house with the target nic0 and the host, which is bound to nothing yet, and trees that nobody
 * has offloaded. false: it is in the log. */
bool forest_open(struct forest *forest, uint64_t seed);
void forest_close(struct forest *forest);
/* The host on this adapter; it says how it wants things done. false: it is in the log. */
bool forest_bind(struct forest *forest, const char *adapter);

/* What is not offloaded is new, what is above that is in the tree, too; some are refused by the
 * target. NULL: everything is offloaded. Otherwise the root. */
struct forest_node *forest_offer(struct forest *forest);
/* What is offloaded, to be taken back. NULL: nothing is. */
struct forest_node *forest_recall(struct forest *forest);
/* The operation goes down from the root, the target answers if it comes so far, and everybody has
 * had their turn. */
void forest_initiate(struct forest *forest, struct forest_node *root);
void forest_terminate(struct forest *forest, struct forest_node *root);

static inline bool
forest_came_through(NDIS_STATUS status)
{
    return status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

#endif
