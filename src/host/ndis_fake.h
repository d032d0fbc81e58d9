/* NDIS as the tests of the protocol edge see it: every call is noted, the test answers when it
 * likes. */
#ifndef HOST_NDIS_FAKE_H
#define HOST_NDIS_FAKE_H

#include "host/edge.h"

#define FAKE_CALLS 32

enum fake_operation { FAKE_INITIATE, FAKE_TERMINATE, FAKE_UPDATE, FAKE_QUERY, FAKE_INVALIDATE };

/* Who was called with NBLs. */
enum fake_data {
    FAKE_SEND,
    FAKE_RECEIVE,
    FAKE_DISCONNECT,
    FAKE_FORWARD,
    FAKE_RECEIVE_RETURN,
    FAKE_FRAMES,
    FAKE_FRAMES_RETURN
};

struct fake_call {
    enum fake_operation operation;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root;
};

struct fake {
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS driver;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp;
    NDIS_HANDLE driver_context, binding;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    NDIS_STATUS open_status, oid_status;
    NDIS_OID_REQUEST *oid;
    const void *oid_answer; /* what a query that succeeds is told */
    ULONG oid_answer_size;
    NDIS_IO_WORKITEM_ROUTINE work;
    PVOID work_context;
    struct fake_call calls[FAKE_CALLS]; /* block lists not answered yet, oldest first */
    unsigned call_count;
    unsigned events_completed, binds_completed, unbinds_completed;
    unsigned objects;                  /* work items, pools, NBLs, MDLs alive */
    PNET_BUFFER_LIST data[FAKE_CALLS]; /* NBLs of data calls, in order */
    enum fake_data data_kinds[FAKE_CALLS];
    unsigned data_count;
    unsigned refuse_nbl; /* the so manieth allocation of an NBL from now on fails; 0: none */
    ULONG disconnect_flags;
};

extern struct fake fake;

/* Loads the driver and binds it; the binding is Running. */
struct host_binding *fake_start(struct host *host);
void fake_pause(void);
/* Pauses (what is below must be gone), unbinds and unloads. */
void fake_stop(void);
void fake_run_work(void);
void fake_status(NDIS_STATUS code);
/* Takes the oldest unanswered call, which must be of this kind. */
NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *fake_take(enum fake_operation operation);
/* Takes the oldest list of NBLs that came with a call of this kind; NULL: none. */
PNET_BUFFER_LIST fake_take_data(enum fake_data kind);
/* Answers as a target does: contexts for what succeeds, status on every node. Statuses in order N,
 * P, T. */
void fake_answer_initiate(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root, NDIS_STATUS neighbor,
                          NDIS_STATUS path, NDIS_STATUS tcp);
void fake_answer_terminate(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root);
void fake_answer(enum fake_operation operation, NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root,
                 NDIS_STATUS status);

#endif
