/*
 * What unit tests of the verifier play with: one or two landings, crossings made by hand, real
 * blocks and NBLs. No NDIS: a test says what the drivers pass and answer.
 */
#ifndef VERIFIER_TEST_KIT_H
#define VERIFIER_TEST_KIT_H

#include "chimney/verifier.h"

#include <ndischimney.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A binding over an adapter. */
struct kit_landing {
    const char *above, *below, *adapter;
    bool im_above, im_below;
    void *lower;            /* the binding that the adapter stands on; NULL: its device */
    char binding, miniport; /* their addresses are the handles */
};

#define KIT_REPORTS 32

struct kit {
    struct verifier *verifier;
    struct observer *observer;
    uint64_t now_us;
    struct kit_landing landing; /* "host" over "target" */
    struct kit_landing upper;   /* "host" over "im"; then landing is "im" over "target" */
    unsigned count;
    struct verifier_report reports[KIT_REPORTS]; /* strings of the first one only */
    char driver[32], seen[160];
};

/* im: a driver in between. */
void kit_open(struct kit *kit, bool im);
void kit_close(struct kit *kit);
/* The first report is this one, and it is a finding; forgets all reports. */
void kit_assert(struct kit *kit, unsigned rule, const char *driver);
void kit_assert_none(struct kit *kit);

/* ---- crossings ---- */

struct crossing kit_crossing(struct kit_landing *landing, enum crossing_op op, bool up);
enum crossing_veto kit_before(struct kit *kit, struct crossing *crossing);
void kit_after(struct kit *kit, struct crossing *crossing, NDIS_STATUS status);

/* A tree crosses, before and after; on its way down NDIS writes SourceHandle in between. */
enum crossing_veto kit_tree(struct kit *kit, struct kit_landing *landing, enum crossing_op op,
                            bool up, void *root);
/* The first half; kit_after is the other. */
enum crossing_veto kit_tree_before(struct kit *kit, struct crossing *crossing,
                                   struct kit_landing *landing, enum crossing_op op, bool up,
                                   NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root);

/* ---- a connection on its path and neighbor ---- */

struct kit_block {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    UCHAR states[512] __attribute__((aligned(8)));
};

/* Header and handle; no state. */
void kit_block_init(struct kit_block *block, UCHAR type, NDIS_OFFLOAD_HANDLE *handle);
/* So many bytes behind the states that are there already (*at; 0 at first), Length set. */
void *kit_state_add(struct kit_block *block, size_t *at, ULONG length);

struct kit_conn {
    NDIS_OFFLOAD_HANDLE neighbor, path, tcp;
    struct kit_block blocks[3]; /* of those */
    UCHAR addresses[2][4];
    NDIS_STATUS initiate_status; /* of the connection; the others succeed */
};

/* The tree of an initiate; what is in it may be changed before kit_initiate. */
void kit_conn_init(struct kit_conn *conn);
TCP_OFFLOAD_STATE_DELEGATED *kit_delegated(struct kit_conn *conn);
/* Down, and its completion. */
void kit_initiate(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn);
void kit_initiate_complete(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn);
/* Both, in ESTABLISHED. */
void kit_offload(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn);
/* All three. chain: what the target returns; the state is CLOSED and says no more. */
void kit_terminate(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn);
void kit_terminate_complete(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn,
                            NDIS_STATUS status, NET_BUFFER_LIST *chain);
/* An operation on one object without state, there and back. */
void kit_invalidate(struct kit *kit, struct kit_landing *landing, NDIS_OFFLOAD_HANDLE *handle,
                    UCHAR type);

/* ---- NBLs ---- */

#define KIT_BYTES 256

struct kit_nbl {
    NET_BUFFER_LIST nbl;
    NET_BUFFER nb;
    MDL mdls[2];
    UCHAR bytes[KIT_BYTES];
};

/* length bytes in two MDLs, filled from fill on. */
void kit_nbl_init(struct kit_nbl *nbl, ULONG length, UCHAR fill);
/* What a target does to one before it completes it. */
void kit_nbl_settle(struct kit_nbl *nbl, NDIS_STATUS status, ULONG bytes);
void kit_nbl_advance(struct kit_nbl *nbl, ULONG bytes);

/* A data call on the connection, answered PENDING. */
void kit_post(struct kit *kit, struct kit_landing *landing, enum crossing_op op,
              struct kit_conn *conn, struct kit_nbl *nbl);
void kit_disconnect(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn,
                    struct kit_nbl *nbl, ULONG flags);
enum crossing_veto kit_complete(struct kit *kit, struct kit_landing *landing, enum crossing_op op,
                                struct kit_nbl *nbl);
/* Settles and completes. */
void kit_finish(struct kit *kit, struct kit_landing *landing, enum crossing_op op,
                struct kit_nbl *nbl, NDIS_STATUS status, ULONG bytes);
void kit_event(struct kit *kit, struct kit_landing *landing, NDIS_OFFLOAD_HANDLE *handle,
               ULONG type, ULONG info);
void kit_indicate(struct kit *kit, struct kit_landing *landing, struct kit_conn *conn,
                  struct kit_nbl *nbl, NDIS_STATUS answer, ULONG consumed);
enum crossing_veto kit_return(struct kit *kit, struct kit_landing *landing, struct kit_nbl *nbl);

#endif
