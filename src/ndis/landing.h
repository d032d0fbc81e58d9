/*
 * The landings: what every crossing of NDIS shares. Five beats: find the next floor, observe,
 * translate, call, observe. An observer sees what the caller passed, before NDIS trusts any of it.
 */
#ifndef NDIS_LANDING_H
#define NDIS_LANDING_H

#include "ndis/records.h"

/* ---- observers (observe.c) ---- */
void ndis_observe(struct house *house, struct crossing *crossing);
/* What the observers say to it. */
enum crossing_veto ndis_observe_before(struct house *house, struct crossing *crossing);
void ndis_observe_after(struct house *house, struct crossing *crossing, NDIS_STATUS status);
/* To the log and to the observers: driver has broken rule V-<rule> (0: no numbered one). house and
 * driver may be NULL. */
void ndis_breach(struct house *house, unsigned rule, const char *driver, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* … and it was about this handle or NBL. */
void ndis_breach_of(struct house *house, unsigned rule, const char *driver, const void *object,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));
/* … and it was about nothing: a list, block or request that is NULL. */
void ndis_breach_null(struct house *house, const struct ndis_driver *driver, const char *call);
void ndis_observe_state(struct house *house, const char *object, const char *name, const char *from,
                        const char *to, const char *why);

static inline bool
ndis_observed(const struct house *house)
{
    return NDIS_UNLIKELY(house->observers != NULL);
}

/* Names and handles of both sides, and the context that goes with the direction. */
struct crossing ndis_crossing(enum crossing_op op, struct ndis_binding *binding, bool up);
/* Up, to nobody knows whom. */
struct crossing ndis_crossing_unknown(enum crossing_op op, struct ndis_adapter *adapter);
/* NDIS itself calls the driver above, or below. */
struct crossing ndis_crossing_up(enum crossing_op op, struct ndis_binding *binding);
struct crossing ndis_crossing_down(enum crossing_op op, struct ndis_adapter *adapter);
/* A driver asks NDIS for something; both may be NULL. */
struct crossing ndis_crossing_service(enum crossing_op op, struct ndis_driver *driver,
                                      struct ndis_adapter *adapter);

/* ---- block lists (blocks.c) ---- */

/*
 * Visits every block of a tree once: a block, then its dependents, then its siblings. Both forms of
 * block have their links at the same place, so one walk serves both. The blocks themselves are the
 * stack (NdisReserved[0]).
 */
struct ndis_walk {
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST top;
    PVOID cookie;  /* in NdisReserved[1] of every block seen by this walk */
    bool repeated; /* a block was reached twice: not a tree */
};

/* The blocks may be changed while they are current; their links may not. */
PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST ndis_walk_first(struct ndis_walk *walk, void *root);
PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST ndis_walk_next(struct ndis_walk *walk);

/* P2 to P5, P10: one block, from the protocol form to the miniport form. */
void ndis_block_lower(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block, struct ndis_binding *binding);
/* P15: and back. */
void ndis_block_raise(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block);
/* P12: Length of the states that a block's type says follow it. */
void ndis_states_stamp(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block);
enum ndis_state_class {
    NDIS_CLASS_CONST,
    NDIS_CLASS_CACHED,
    NDIS_CLASS_DELEGATED,
    NDIS_CLASS_ALL,
    NDIS_CLASS_NONE
};
enum ndis_state_class ndis_class_of(UCHAR type);

/* ---- state operations (landing.c) ---- */

struct ndis_operation {
    const char *name;
    enum crossing_op down, up;
    size_t provider, client; /* offsets of the handlers in the two generic tables */
};
extern const struct ndis_operation ndis_initiate, ndis_terminate, ndis_update, ndis_invalidate,
    ndis_query;

struct ndis_landing {
    const struct ndis_operation *operation;
    struct house *house;
    struct ndis_binding *binding;
    struct ndis_adapter *adapter;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root;
    unsigned rule;            /* broken by whoever issued it; 0: none with a number */
    bool observed;            /* and then: */
    struct crossing crossing; /* what the observers were told before */
};

/* Find and observe. false: nobody to tell, or refused already; it is in the log. */
bool ndis_landing_find(struct ndis_landing *landing, const struct ndis_operation *operation,
                       NDIS_HANDLE handle, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root);
/* P14: status on every block, completion at the next turn. A breach if landing->rule is set. */
void ndis_landing_refuse(struct ndis_landing *landing, NDIS_STATUS status, const char *why);
/* Every operation but initiate: all named objects exist, the tree is one. NULL: fine; otherwise why
 * not. */
const char *ndis_landing_decode(struct ndis_landing *landing);
void ndis_landing_call(struct ndis_landing *landing);
/* The way up: from the root to the binding that issued the operation. */
bool ndis_landing_find_up(struct ndis_landing *landing, const struct ndis_operation *operation,
                          NDIS_HANDLE handle, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root);
void ndis_landing_return(struct ndis_landing *landing);
/* Nothing came of it: the observers hear that the call is over. */
void ndis_landing_over(struct ndis_landing *landing, NDIS_STATUS status);
/* The binding stays until as many are over as were begun. */
static inline void
ndis_operation_begin(struct ndis_binding *binding)
{
    binding->operations++;
}

static inline void
ndis_operation_over(struct ndis_binding *binding)
{
    struct house *house = binding->head.house;

    binding->operations--;
    ndis_ring(house);
}

/* Delivers what was refused and is still waiting. Context: the loop's thread. Whoever puts
 * something there begins an operation before and ends it after it has told the loop: by then the
 * loop may have delivered it. */
void ndis_refusals_flush(void *binding);

/* Update, invalidate and query differ in the states they carry only. stamp: whether a block of that
 * class has any. */
void ndis_landing_plain_down(const struct ndis_operation *operation, NDIS_HANDLE handle,
                             PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root,
                             bool (*stamp)(enum ndis_state_class));
void ndis_landing_plain_up(const struct ndis_operation *operation, NDIS_HANDLE handle,
                           PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root);

/* ---- the way home of NBLs: NdisReserved (home.c, P11) ---- */

#define NDIS_SHELF_ROOM 6

/* The levels below the newest one; NdisReserved[1]. One cache line. */
struct ndis_shelf {
    struct ndis_shelf *older; /* full */
    uint16_t count;
    void *homes[NDIS_SHELF_ROOM];
};

/* That of an NBL from a pool lies right behind it; any other one is from the heap (home.c). */
static inline struct ndis_shelf *
ndis_shelf_own(NET_BUFFER_LIST *nbl)
{
    return (struct ndis_shelf *)(nbl + 1);
}

/* What NdisReserved[0] says of an NBL that is under way by such a call through this binding. */
static inline void *
ndis_home_of(struct ndis_binding *binding, enum ndis_io_kind kind)
{
    return (char *)binding + kind;
}
/* Refused, and waiting to be delivered. */
#define NDIS_HOME_REFUSED NDIS_IO_KINDS
_Static_assert(_Alignof(struct ndis_binding) > NDIS_HOME_REFUSED,
               "the kind fits below the address");

/* Through this binding, by whatever call. */
static inline bool
ndis_home_through(const void *home, const struct ndis_binding *binding)
{
    return (uintptr_t)home - (uintptr_t)binding <= NDIS_HOME_REFUSED;
}

/* false: out of memory, nothing was pushed. What is out already is reported and taken off the
 * list, which may leave nothing. */
bool ndis_home_push(struct ndis_binding *binding, enum ndis_io_kind kind, NET_BUFFER_LIST **nbls);
/* The same for one NBL that needs neither memory nor a word; false: not so, nothing was pushed. */
static inline bool
ndis_home_push_one(struct ndis_binding *binding, enum ndis_io_kind kind, NET_BUFFER_LIST *nbl)
{
    void *home = nbl->NdisReserved[0];

    if (home) {
        struct ndis_shelf *shelf = nbl->NdisReserved[1];

        if (NDIS_UNLIKELY(shelf != ndis_shelf_own(nbl) || shelf->count >= NDIS_SHELF_ROOM ||
                          ndis_home_through(home, binding)))
            return false;
        for (unsigned i = 0; NDIS_UNLIKELY(i < shelf->count); i++)
            if (NDIS_UNLIKELY(ndis_home_through(shelf->homes[i], binding)))
                return false;
        shelf->homes[shelf->count++] = home;
    }
    nbl->NdisReserved[0] = ndis_home_of(binding, kind);
    return true;
}
/* What was pushed last, NULL: it has no home. */
void *ndis_home_pop(NET_BUFFER_LIST *nbl);
/* Takes the last level off every NBL of a list of sends that does not come home by a completion.
 * One that is not under way breaks rule V-<rule>: it has come home by a completion. */
void ndis_home_forget(struct ndis_binding *binding, NET_BUFFER_LIST *nbls, unsigned rule);
/* The binding of this house, open or closed, through which it is under way; NULL: none. */
struct ndis_binding *ndis_home_out(struct house *house, const NET_BUFFER_LIST *nbl);
/* Every level off, wherever it leads. */
void ndis_home_clear(NET_BUFFER_LIST *nbl);
/* false: there is nothing to complete by a call of that kind, which is a breach. Under observation
 * a list that runs in a circle is one as well, and is cut. */
bool ndis_nbls_end(struct ndis_adapter *adapter, NET_BUFFER_LIST *nbls, const char *call,
                   enum ndis_io_kind kind);
/*
 * Cuts the leading run of NBLs with the same home off *nbls (P25) and returns it; NULL: no more.
 * One that is not under way through this adapter by a call of that kind is reported, taken off the
 * list and left as it is: it may still be completed as it should be.
 */
NET_BUFFER_LIST *ndis_home_run(NET_BUFFER_LIST **nbls, struct ndis_binding **binding,
                               const struct ndis_adapter *adapter, enum ndis_io_kind kind,
                               const char *call);

/* ---- data calls (io.c) ---- */

struct ndis_io {
    const char *name;
    enum crossing_op down, up;
    enum ndis_io_kind kind;
    size_t client; /* offset of the completion handler in the TCP table */
};

/* One call, on the stack of it. */
struct ndis_io_call {
    const struct ndis_io *io;
    struct house *house;
    bool observed;
    struct crossing crossing; /* not set unless observed */
};

/* Find, observe, translate: NULL, and *status what the caller returns, when the call does not go
 * down; what goes down is *nbls. */
struct ndis_object *ndis_io_enter_any(struct ndis_io_call *call, const struct ndis_io *io,
                                      PNDIS_OFFLOAD_HANDLE handle, NET_BUFFER_LIST **nbls,
                                      ULONG code, NDIS_STATUS *status);
/* Observe; what the caller returns. */
NDIS_STATUS ndis_io_leave_any(struct ndis_io_call *call, NDIS_STATUS status);

/* These two are the same for what nearly every call is: good, with one NBL, and nobody watches. */
static inline struct ndis_object *
ndis_io_enter(struct ndis_io_call *call, const struct ndis_io *io, PNDIS_OFFLOAD_HANDLE handle,
              NET_BUFFER_LIST **nbls, ULONG code, NDIS_STATUS *status)
{
    struct ndis_object *object = ndis_object_peek(handle);
    NET_BUFFER_LIST *first = *nbls;

    if (NDIS_UNLIKELY(!object || !first || first->Next ||
                      ndis_observed(object->binding->head.house) ||
                      object->state == NDIS_OBJECT_INITIATING ||
                      !ndis_home_push_one(object->binding, io->kind, first)))
        return ndis_io_enter_any(call, io, handle, nbls, code, status);
    call->io = io;
    call->house = object->binding->head.house;
    call->observed = false;
    return object;
}

static inline NDIS_STATUS
ndis_io_leave(struct ndis_io_call *call, NDIS_STATUS status)
{
    if (NDIS_UNLIKELY(call->observed || status != NDIS_STATUS_PENDING))
        return ndis_io_leave_any(call, status);
    return status;
}
void ndis_io_complete(const struct ndis_io *io, NDIS_HANDLE handle, NET_BUFFER_LIST *nbls);
/* Completes nbls with status at the next turn (P14). */
void ndis_io_refuse(struct ndis_binding *binding, enum ndis_io_kind kind, NET_BUFFER_LIST *nbls,
                    NDIS_STATUS status);
extern const struct ndis_io ndis_io_kinds[NDIS_IO_FRAME];

/* The ways up that NdisMGetOffloadHandlers hands out, one per file of its operation. */
NDIS_TCP_OFFLOAD_SEND_COMPLETE_FN ndis_tcp_send_complete;
NDIS_TCP_OFFLOAD_RECEIVE_COMPLETE_FN ndis_tcp_receive_complete;
NDIS_TCP_OFFLOAD_RECEIVE_INDICATE_FN ndis_tcp_receive_indicate;
NDIS_TCP_OFFLOAD_DISCONNECT_COMPLETE_FN ndis_tcp_disconnect_complete;
NDIS_TCP_OFFLOAD_FORWARD_COMPLETE_FN ndis_tcp_forward_complete;
NDIS_TCP_OFFLOAD_EVENT_INDICATE_FN ndis_tcp_event;

#endif
