/*
 * Observers stand on the landings: they see every crossing of NDIS, before and after the call. The
 * verifier and the tracer are observers. With none attached a landing pays one predictable branch.
 *
 * Threads: called on the thread that crosses. An observer must not call back into NDIS.
 */
#ifndef CHIMNEY_OBSERVER_H
#define CHIMNEY_OBSERVER_H

#include <ndis.h>

struct house;

/* Every call that crosses, named after the documented operation. CHIMNEY_CROSSING(name). */
/* clang-format off */
#define CHIMNEY_CROSSINGS(X)                                                                       \
    X(INITIATE) X(INITIATE_COMPLETE) X(TERMINATE) X(TERMINATE_COMPLETE)                            \
    X(UPDATE) X(UPDATE_COMPLETE) X(INVALIDATE) X(INVALIDATE_COMPLETE)                              \
    X(QUERY) X(QUERY_COMPLETE)                                                                     \
    X(TCP_SEND) X(TCP_SEND_COMPLETE) X(TCP_RECEIVE) X(TCP_RECEIVE_COMPLETE)                        \
    X(TCP_DISCONNECT) X(TCP_DISCONNECT_COMPLETE) X(TCP_FORWARD) X(TCP_FORWARD_COMPLETE)            \
    X(TCP_RECEIVE_RETURN) X(TCP_RECEIVE_INDICATE) X(TCP_EVENT) X(OFFLOAD_EVENT)                    \
    X(SEND) X(SEND_COMPLETE) X(RECEIVE) X(RETURN)                                                  \
    X(STATUS) X(OID) X(OID_COMPLETE) X(PNP_EVENT)
/* clang-format on */
#define CHIMNEY_CROSSING_ENUM(name) CROSSING_##name,
enum crossing_op { CHIMNEY_CROSSINGS(CHIMNEY_CROSSING_ENUM) CROSSING_COUNT };

const char *crossing_name(enum crossing_op op);

struct crossing {
    enum crossing_op op;
    bool after;             /* false: about to call; true: the callee has returned */
    bool up;                /* direction: towards the host stack */
    const char *from, *to;  /* driver names, as registered with the house */
    const char *adapter;    /* the adapter crossed */
    void *from_handle;      /* binding or miniport handle named by the caller */
    void *to_context;       /* context given to the callee (adapter or binding context) */
    void *object;           /* NDIS_OFFLOAD_HANDLE of I/O and events; NULL for trees and lists */
    void *miniport_context; /* I/O down: the MiniportOffloadContext value passed */
    void *blocks;           /* root of a block list, in the callee's form */
    NET_BUFFER_LIST *nbls;
    ULONG code;         /* event type, status code, OID, disconnect or send flags */
    ULONG info;         /* event information */
    NDIS_STATUS status; /* after: what the callee returned; completions: their status */
};

struct observer {
    struct observer *next; /* the house's */
    void (*on_crossing)(void *arg, const struct crossing *crossing);
    /* State changes of adapters and bindings: "old → new, why". May be NULL. */
    void (*on_state)(void *arg, const char *object, const char *name, const char *from,
                     const char *to, const char *why);
    void *arg;
};

/* Owner: the observer stays the caller's and must outlive its attachment. */
void house_attach_observer(struct house *house, struct observer *observer);
void house_detach_observer(struct house *house, struct observer *observer);

#endif
