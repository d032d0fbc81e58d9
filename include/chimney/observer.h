/*
 * Observers stand on the landings: they see every crossing of NDIS, before and after the call, and
 * every service that a contract rule speaks about. The verifier and the tracer are observers. With
 * none attached a landing pays one predictable branch.
 *
 * An observer sees what the caller passed, as the caller passed it and before NDIS looks at it: a
 * block list on its way down is in the protocol form, on its way up in the miniport form. It may
 * veto a call that could not be carried out safely.
 *
 * Threads: called on the thread that crosses, several at once if drivers call from several. An
 * observer must not call back into NDIS. Attach and detach while no driver is in a call.
 */
#ifndef CHIMNEY_OBSERVER_H
#define CHIMNEY_OBSERVER_H

#include <ndis.h>

struct house;

/* Every call that crosses, named after the documented operation. CHIMNEY_CROSSING(name). */
/* clang-format off */
#define CHIMNEY_CROSSINGS(X)                                                                       \
    /* between drivers: the chimney */                                                             \
    X(INITIATE) X(INITIATE_COMPLETE) X(TERMINATE) X(TERMINATE_COMPLETE)                            \
    X(UPDATE) X(UPDATE_COMPLETE) X(INVALIDATE) X(INVALIDATE_COMPLETE)                              \
    X(QUERY) X(QUERY_COMPLETE)                                                                     \
    X(TCP_SEND) X(TCP_SEND_COMPLETE) X(TCP_RECEIVE) X(TCP_RECEIVE_COMPLETE)                        \
    X(TCP_DISCONNECT) X(TCP_DISCONNECT_COMPLETE) X(TCP_FORWARD) X(TCP_FORWARD_COMPLETE)            \
    X(TCP_RECEIVE_RETURN) X(TCP_RECEIVE_INDICATE) X(TCP_EVENT) X(OFFLOAD_EVENT)                    \
    /* between drivers: the regular path, requests, status */                                      \
    X(SEND) X(SEND_COMPLETE) X(RECEIVE) X(RETURN)                                                  \
    X(STATUS) X(OID) X(OID_COMPLETE) X(DIRECT_OID) X(DIRECT_OID_COMPLETE)                          \
    /* from NDIS to a driver, and its answer if that was pending */                                \
    X(INITIALIZE) X(HALT) X(PAUSE) X(PAUSE_COMPLETE) X(RESTART) X(RESTART_COMPLETE)                \
    X(RESET) X(RESET_COMPLETE) X(DEVICE_EVENT)                                                     \
    X(BIND) X(BIND_COMPLETE) X(UNBIND) X(UNBIND_COMPLETE) X(PNP_EVENT) X(PNP_EVENT_COMPLETE)       \
    /* from a driver to NDIS */                                                                    \
    X(REGISTER) X(SET_HANDLERS) X(SET_ATTRIBUTES) X(GET_HANDLERS) X(OPEN) X(CLOSE) X(POOL) X(POOL_FREE)
/* clang-format on */
#define CHIMNEY_CROSSING_ENUM(name) CROSSING_##name,
enum crossing_op { CHIMNEY_CROSSINGS(CHIMNEY_CROSSING_ENUM) CROSSING_COUNT };

const char *crossing_name(enum crossing_op op);

/* crossing.code of REGISTER and SET_HANDLERS: what crossing.object is the handle of. */
enum crossing_handle {
    CROSSING_HANDLE_MINIPORT,
    CROSSING_HANDLE_PROTOCOL,
    CROSSING_HANDLE_BINDING
};

/*
 * What an observer may say to a call before it is made. REFUSE: NDIS completes it with a failure
 * (down) or forgets it (up). DROP: forgotten in both directions, for what is with somebody else
 * already and completes from there.
 */
enum crossing_veto { CROSSING_GO, CROSSING_REFUSE, CROSSING_DROP };

/* Pointers are good for the call only. What does not apply is NULL or 0. */
struct crossing {
    enum crossing_op op;
    bool after;               /* false: about to call; true: the callee has returned */
    bool up;                  /* direction: towards the host stack */
    bool refused;             /* after: NDIS answered itself, the callee never heard of it */
    bool im_above, im_below;  /* that driver has both edges */
    enum crossing_veto veto;  /* before: written by an observer, CROSSING_GO until then */
    const char *from, *to;    /* driver names, as registered with the house; NDIS itself: "ndis" */
    const char *adapter;      /* the adapter crossed */
    void *binding, *miniport; /* the handles of both sides: binding, adapter */
    void *lower_binding;      /* what that adapter stands on; NULL: its device */
    void *to_context;         /* context given to the callee (adapter or binding context) */
    void *object;             /* NDIS_OFFLOAD_HANDLE of I/O and events; NULL for trees and lists */
    void *miniport_context;   /* I/O down: the MiniportOffloadContext value passed */
    /* Root of a block list, as the caller passed it. After the call it is only a name: whose it is
     * then, and whether it still exists, the observer cannot know. */
    void *blocks;
    NET_BUFFER_LIST *nbls; /* before only */
    void *data;            /* table, attributes, request, indication, event, pool parameters */
    ULONG code;            /* event type, status code, OID, disconnect or send flags */
    ULONG info;            /* event information, bytes consumed, number of NBLs */
    NDIS_STATUS status;    /* after: what the callee returned; completions: their status */
    uint64_t now_us;       /* the loop's clock */
    unsigned irql, locks;  /* of this thread: its level, spin locks it holds */
};

struct observer {
    struct observer *next; /* the house's */
    void (*on_crossing)(void *arg, struct crossing *crossing);
    /* State changes of adapters and bindings: "old → new, why". May be NULL. */
    void (*on_state)(void *arg, const char *object, const char *name, const char *from,
                     const char *to, const char *why);
    /* A breach of rule V-<rule> that NDIS noticed itself (0: no numbered rule), by that driver
     * ("?": not known), about that handle or NBL, which may be stale (NULL: about none). May be
     * NULL. */
    void (*on_breach)(void *arg, unsigned rule, const char *driver, const void *object,
                      const char *what);
    void *arg;
};

/* Spin locks that this thread holds now; during on_crossing, those of the caller. */
unsigned chimney_spin_locks_held(void);

/* Owner: the observer stays the caller's and must outlive its attachment. */
void house_attach_observer(struct house *house, struct observer *observer);
void house_detach_observer(struct house *house, struct observer *observer);

#endif
