/*
 * What the verifier believes of the world: a shadow of every driver, adapter, binding, offloaded
 * object, outstanding tree and NBL that is under way. The checks of a family (registration.c,
 * tree.c, …) compare a call with it; track.c alone changes it, after they have looked.
 *
 * One mutex guards everything; it is held while a crossing is looked at, never while a driver runs.
 */
#ifndef VERIFIER_SHADOW_H
#define VERIFIER_SHADOW_H

#include <ndischimney.h>

#include "base/list.h"
#include "chimney/verifier.h"
#include "verifier/table.h"

#include <pthread.h>

#define SHADOW_NAME 64

struct call;
struct verifier;

/* ---- drivers, adapters, bindings ---- */

struct shadow_driver {
    struct list link;
    char name[SHADOW_NAME];
    bool is_miniport, is_protocol;
    /* tables registered successfully */
    unsigned provider_generic, provider_tcp, client_generic, client_tcp;
    bool breached;
};

/* Room for a count per state operation, by its enum crossing_op. */
#define SHADOW_REQUESTS (CROSSING_QUERY + 1)

struct shadow_adapter {
    struct table_entry entry; /* by miniport handle */
    char name[SHADOW_NAME];
    struct shadow_driver *driver;
    bool is_im;
    const void *lower_binding;
    char state[16]; /* as on_state told last */
    /* initialisation */
    unsigned attributes_set; /* registration 1, general 2, offload 4 */
    unsigned got_handlers, one_buffer_pools;
    bool has_capabilities;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    bool has_parameters;
    NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS parameters; /* as last set */
    /* running */
    bool paused_offload, uploading_all; /* PAUSE or UPLOAD_ALL in force; the latter only */
    bool power_pending;
    bool sends_priority, leaves_priority; /* frames of connections that have one */
    struct list objects;                  /* shadow_object */
    size_t connections;                   /* of them */
    size_t initiates;                     /* trees on their way */
    unsigned operations[SHADOW_REQUESTS]; /* the same, of each operation */
    /* as accepted so far (V-049): receive windows without and with scaling; path MTUs of IPv4 and
     * IPv6, the smallest and the largest */
    ULONG window_taken[2];
    struct {
        ULONG least, most;
    } mtu_taken[2];
    size_t indicated; /* chimney NBLs with the drivers above */
    size_t frames_down, frames_up;
    uint64_t upload_all_us;
    unsigned long long upload_all_number; /* of the call that said so */
};

struct shadow_binding {
    struct table_entry entry; /* by binding handle */
    struct shadow_adapter *adapter;
    struct shadow_driver *driver; /* above */
    bool im_above, open;
    bool carries; /* a virtual adapter stands on it */
    char state[16];
    size_t requests; /* outstanding */
    size_t frames_down;
    unsigned operations[SHADOW_REQUESTS];       /* trees on their way */
    unsigned long long issued[SHADOW_REQUESTS]; /* number of the last tree; 0: none */
    /* What its driver knows: the status handler has returned. */
    bool told_pause, told_upload_all, upload_overdue;
    uint64_t told_us; /* of UPLOAD_ALL */
};

/* ---- offloaded objects ---- */

enum shadow_layer { SHADOW_NEIGHBOR, SHADOW_PATH, SHADOW_TCP, SHADOW_NO_LAYER };
enum shadow_class { SHADOW_CONST, SHADOW_CACHED, SHADOW_DELEGATED, SHADOW_CLASSES };
enum shadow_life { SHADOW_INITIATING, SHADOW_OFFLOADED, SHADOW_TERMINATING };
enum shadow_kind {
    SHADOW_SEND,
    SHADOW_RECEIVE,
    SHADOW_DISCONNECT,
    SHADOW_FORWARD,
    SHADOW_INDICATED, /* upwards, to be returned */
    SHADOW_FRAME,     /* the regular path, down */
    SHADOW_FRAME_UP,
    SHADOW_KINDS
};

/* Received bytes that must be delivered next (V-109, V-114). */
struct shadow_owed {
    UCHAR *bytes; /* NULL: none */
    ULONG length, at;
    unsigned rule;
};

/* One per landing: with an intermediate driver a connection has two, one under the other. */
struct shadow_object {
    struct table_entry entry; /* by NDIS_OFFLOAD_HANDLE */
    struct list link;         /* adapter.objects */
    NDIS_OFFLOAD_HANDLE *handle;
    enum shadow_life life;
    enum shadow_layer layer;
    bool ipv6; /* paths */
    UCHAR type;
    TCP_OFFLOAD_CONNECTION_STATE lent_state; /* of connections: when they were lent */
    struct shadow_adapter *adapter;
    struct shadow_binding *binding;
    struct shadow_object *parent;  /* of a path its neighbor; NULL when not known */
    struct list children, sibling; /* dependents; link in the parent's */
    size_t dependents;
    size_t leaving;                    /* scratch: dependents in the tree that is looked at */
    size_t named;                      /* nodes of outstanding trees that point here */
    void *context;                     /* MiniportOffloadContext, once it is there */
    struct table_entry context_entry;  /* verifier.contexts; key NULL: not in it */
    UCHAR source[16], destination[16]; /* of paths: what fixed.path_state points at */
    /* As lent and updated since; empty classes have length 0. */
    union {
        UCHAR neighbor[sizeof(NEIGHBOR_OFFLOAD_STATE_CONST)];
        UCHAR path[sizeof(PATH_OFFLOAD_STATE_CONST)];
        UCHAR tcp[sizeof(TCP_OFFLOAD_STATE_CONST)];
        NEIGHBOR_OFFLOAD_STATE_CONST neighbor_state;
        PATH_OFFLOAD_STATE_CONST path_state;
        TCP_OFFLOAD_STATE_CONST tcp_state;
    } fixed;
    union {
        NEIGHBOR_OFFLOAD_STATE_CACHED neighbor;
        PATH_OFFLOAD_STATE_CACHED path;
        TCP_OFFLOAD_STATE_CACHED tcp;
    } cached;
    union {
        NEIGHBOR_OFFLOAD_STATE_DELEGATED neighbor;
        PATH_OFFLOAD_STATE_DELEGATED path;
        TCP_OFFLOAD_STATE_DELEGATED tcp;
    } delegated; /* as last handed over, in either direction */
    /* operations outstanding */
    unsigned queries, updates, invalidates;
    bool invalidated, relinked, failed; /* failed: a query or update did */
    uint64_t failed_us, invalidated_us;
    /* numbers of calls: the initiate, the last update, the last that showed delegated state */
    unsigned long long born, updated, seen;
    uint64_t seen_us;
    struct list owing;  /* verifier.owing: a terminate is due, because of this rule */
    unsigned owed_rule; /* 0: none */
    uint64_t owed_us;
    /* calls in progress, on any thread */
    unsigned calls[SHADOW_KINDS];       /* down, and TCP_RECEIVE_INDICATE */
    unsigned completions[SHADOW_KINDS]; /* completion calls */
    unsigned events;
    bool announced; /* its initiate completion has returned */
    /* TCP: data */
    struct list nbls[SHADOW_KINDS]; /* shadow_nbl, in posting order */
    bool chain_handed_over;         /* the first sends came with the initiate */
    bool buffered;                  /* BufferedData came with it and was not delivered yet */
    bool refused;                   /* an indication was, and nothing was posted since */
    /* TCP: what passed the wire; nothing is known until a frame was seen */
    bool wire_seen, wire_acked_seen, tsval_seen;
    ULONG wire_acked; /* highest acknowledgement of the peer's */
    ULONG wire_edge;  /* right edge it showed, the furthest */
    ULONG tsval;      /* last sent */
    unsigned posts;   /* receive calls, so far */
    struct shadow_owed owed;
    unsigned short_rule; /* a receive completed short: broken unless the peer has finished */
    uint64_t short_us;
    /* TCP: events seen, and when */
    ULONG retrieve_reason; /* 0: none; a mandatory one is not replaced by an optional one */
    uint64_t retrieve_us;
    bool aborted, peer_closed, host_closed, host_aborted;
    ULONG disconnected, disconnect_failed; /* flags of those that succeeded, that failed */
    uint64_t aborted_us, backlog_us;
    ULONG backlog;
    unsigned small_steps; /* of the backlog, in close succession */
    /* the numbers of these events; what came later has a greater one. 0: not yet */
    unsigned long long stopped_at, peer_closed_at, host_closed_at, invalid_at;
    /* the first send that failed; 0: none */
    unsigned long long send_failed_at;
    bool send_failed_partly, send_failed_short;
    /* neighbors: when the host stack last knew of it, and what it said then (V-141) */
    uint64_t reachable_us;
    ULONG reachable_ticks;
    struct list completing[SHADOW_KINDS]; /* call.completing, while such a call is in progress */
    bool came_back;                       /* a send or disconnect did, UPLOAD_IN_PROGRESS */
    ULONG posted_seq;                     /* behind the last byte, or FIN, that it was given */
    ULONG delivered_seq; /* behind the last received byte that the host stack has */
    bool breached;
};

/* ---- block lists ---- */

enum shadow_role { SHADOW_PLACEHOLDER, SHADOW_LINKER, SHADOW_NEW, SHADOW_REFERENCE };

struct shadow_node {
    struct table_entry entry; /* by block, while the tree is outstanding */
    struct shadow_node *next; /* in the order of the walk */
    struct shadow_node *pending;
    struct shadow_tree *tree;
    struct shadow_node *parent; /* NULL: the root and its siblings */
    struct shadow_node *from;   /* whose link led here; NULL: the root */
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST issued; /* as the caller passed it */
    enum shadow_role role;                   /* outside initiate: PLACEHOLDER or REFERENCE */
    enum shadow_layer layer;                 /* by its type, or its place; NO_LAYER: not known */
    struct shadow_object *object;            /* not of placeholders */
    bool sibling;                            /* reached by NextBlock */
    size_t chain;                            /* NBLs in NetBufferListChain, of a new offload */
    size_t tried, through;                   /* immediate dependents, once it is completed */
    USHORT length[SHADOW_CLASSES];           /* of the states that follow; 0: none */
    UCHAR *state[SHADOW_CLASSES];            /* where they are, in the caller's memory */
    UCHAR *copy[SHADOW_CLASSES];             /* as issued, behind the node */
};

#define SHADOW_BELOW 8
struct shadow_tree {
    struct table_entry entry; /* by root */
    enum crossing_op op;      /* the request's */
    struct shadow_binding *binding;
    struct shadow_adapter *adapter;
    struct shadow_node *first, *last;
    size_t count;
    unsigned long long number; /* of the call */
    uint64_t started_us;
    bool by_ndis;     /* a forced terminate */
    bool refused;     /* by the verifier: on its way back from NDIS, nothing has begun */
    bool repeated;    /* a block was reached twice */
    bool shared;      /* a block is in another outstanding tree */
    bool shared_root; /* and it is the root */
    /* Where the intermediate driver that has it passed it on to; full: others are not known. */
    const struct shadow_binding *below[SHADOW_BELOW];
    unsigned below_count;
    bool truncated; /* out of memory: what follows was not looked at */
};

/* ---- NBLs under way ---- */

struct shadow_buffer {
    ULONG length, offset; /* DataLength, DataOffset when posted */
    const MDL *chain;
};

/* One per landing; the newest is found first. */
struct shadow_nbl {
    struct table_entry entry; /* by NBL */
    struct list link;         /* object.nbls, or the adapter's */
    NET_BUFFER_LIST *nbl;
    enum shadow_kind kind;
    struct shadow_object *object; /* NULL: frames, and NBLs whose object is gone */
    struct shadow_adapter *adapter;
    struct shadow_binding *binding;
    unsigned long long posting; /* call.id of the call that brings it */
    unsigned long long number;  /* counts up per verifier: posting order */
    const void *thread;         /* that posted it */
    ULONG flags;                /* disconnect */
    NDIS_STATUS status;         /* when it was posted */
    ULONG seq;                  /* sends and disconnects: of its first byte */
    bool no_push, with_initiate;
    bool first;            /* of its list */
    bool refused;          /* by NDIS: it comes back from there */
    bool went_down;        /* the intermediate driver that has it passed it on */
    bool no_memory_below;  /* … and the one below it had no memory: that is passed on */
    bool passed_over;      /* a request of no bytes: data was indicated before it completed */
    bool done;             /* it is in the completion that is being looked at */
    bool hashed, breached; /* hashed: at the landing where its owner posted it */
    uint64_t hash;         /* of its data, where its owner posted it */
    unsigned again;        /* rule that another completion of it breaks; 0: its kind's */
    ULONG prefilled;       /* TcpReceiveBytesTransferred */
    ULONG length;          /* of all its buffers */
    PVOID context, protocol_reserved[4], info0;
    USHORT context_offset;
    size_t buffer_count;
    struct shadow_buffer buffers[]; /* as posted */
};

/* ---- calls in progress on this thread ---- */

struct call {
    unsigned long long id; /* never 0, never the same */
    struct verifier *verifier;
    struct crossing *crossing; /* good inside a check only */
    enum crossing_op op;
    struct call *outer; /* the call on whose stack this one is */
    struct shadow_adapter *adapter;
    struct shadow_binding *binding; /* NULL: a call that has none */
    struct shadow_object *object;   /* of data calls and events; NULL: unknown handle */
    struct shadow_tree *tree;       /* of state operations and completions */
    const void *root;               /* of requests for an OID: the request */
    const void *object_key;
    uint64_t started_us;
    NET_BUFFER_LIST *nbl; /* the first; after the call only a name */
    ULONG code;           /* of events */
    NDIS_STATUS status;   /* receive indications: as the caller passed it */
    ULONG length;         /* receive indications: bytes offered */
    bool up, by_ndis;
    unsigned posts;         /* receive indications: of the object, before */
    struct list completing; /* objects this call completes something of */
    ULONG *answer, unasked; /* neighbor queries: where it is expected, and what stood there */
    uint64_t breached[4];   /* rules broken at this call or inside it, a bit each */
    /* receive indications: the driver indicated it further up, and was told */
    bool passed;
    NDIS_STATUS passed_status;
    ULONG passed_bytes;
};

/* ---- the verifier ---- */

/* What is no more, for a while: who comes too late, and with what. */
#define SHADOW_GRAVES 64
struct shadow_grave {
    const void *what;
    unsigned rule; /* that its reappearance breaks */
    const struct shadow_driver *below, *above;
};

struct verifier {
    struct observer observer;
    struct verifier_options options;
    pthread_mutex_t lock; /* not C11's: ThreadSanitizer does not know all of those */
    struct verifier_counts counts;
    struct list drivers;
    struct table adapters, bindings, objects, contexts, trees, blocks, nbls;
    struct list owing; /* objects, the longest first */
    unsigned long long numbers;
    const void *completed[16]; /* roots of the last trees completed */
    unsigned completed_at;
    struct shadow_grave object_graves[SHADOW_GRAVES], nbl_graves[SHADOW_GRAVES];
    unsigned object_graves_at, nbl_graves_at;
    bool blind;         /* out of memory: something is under way that is not known here */
    uint64_t looked_us; /* deadlines */
};

/* What a family brings: one function per crossing, before and after. */
typedef void check_fn(struct verifier *verifier, struct call *call);
struct family {
    check_fn *before[CROSSING_COUNT], *after[CROSSING_COUNT];
    void (*tick)(struct verifier *verifier, uint64_t now_us);
    void (*finish)(struct verifier *verifier);
};
extern const struct family decode_family, registration_family, tree_family, complete_family,
    outcome_family, contents_family, issue_family, send_family, receive_family, indicate_family,
    forward_family, disconnect_family, event_family, terminate_family, intermediate_family,
    base_family, wire_family, track_data_family, track_family;

/* ---- report.c ---- */

enum blame { BLAME_CALLER, BLAME_CALLEE };
/*
 * A breach of rule, seen at call, by the driver that made it or the one it was made to; object: a
 * handle, block or NBL, or NULL. Once an object (without one: a driver) has had a breach, the next
 * ones are marked as consequential.
 */
void report(const struct call *call, unsigned rule, enum blame blame, const void *object,
            const char *format, ...) __attribute__((format(printf, 5, 6)));
/* What NDIS itself has noticed, by driver ("?": not known); object may be stale. */
void report_ndis(struct verifier *verifier, unsigned rule, const char *driver, const void *object,
                 const char *what);
/* A new crossing: what NDIS says from here on does not repeat what was said at the last one. */
void report_next(void);
/* Without a call: of a deadline, or at the end. driver and adapter may be NULL. */
void report_late(struct verifier *verifier, unsigned rule, const char *driver, const char *adapter,
                 const void *object, const char *format, ...) __attribute__((format(printf, 6, 7)));

/* ---- shadow.c: finding and making ---- */

struct shadow_driver *shadow_driver(struct verifier *verifier, const char *name);
struct shadow_adapter *shadow_adapter(struct verifier *verifier, const struct crossing *crossing);
struct shadow_binding *shadow_binding(struct verifier *verifier, const struct crossing *crossing);
struct shadow_object *shadow_object_find(struct verifier *verifier, const void *handle);
/* Initiating. NULL: out of memory. */
struct shadow_object *shadow_object_add(struct verifier *verifier, struct shadow_node *node);
void shadow_object_drop(struct verifier *verifier, struct shadow_object *object);
/* parent: NULL: on nothing that is known. */
void shadow_object_stand_on(struct shadow_object *object, struct shadow_object *parent);
/* The same, of a node's; the node forgets it. */
void shadow_node_drop_object(struct verifier *verifier, struct shadow_node *node);
/* Because of this rule the host stack has to terminate the object, soon. The first reason counts.
 * An intermediate driver is not asked: it passes the news on and does as it is told. */
void shadow_owe(struct verifier *verifier, struct shadow_object *object, unsigned rule,
                uint64_t now_us);
struct shadow_nbl *shadow_nbl_add(struct verifier *verifier, const struct call *call,
                                  NET_BUFFER_LIST *nbl, enum shadow_kind kind,
                                  struct shadow_object *object);
/* The newest one of that kind at that binding. NULL: it is not under way there. */
struct shadow_nbl *shadow_nbl_find(struct verifier *verifier, const NET_BUFFER_LIST *nbl,
                                   enum shadow_kind kind, const struct shadow_binding *binding);
void shadow_nbl_drop(struct verifier *verifier, struct shadow_nbl *nbl);
/* NULL: it was never there, or long ago. */
const struct shadow_grave *shadow_grave_find(const struct verifier *verifier, const void *what);
void shadow_fini(struct verifier *verifier);

/* false: no state type. */
bool shadow_type(UCHAR type, enum shadow_layer *layer, bool *ipv6);
/* Which classes of state follow a block of that type: a bit for each. */
unsigned shadow_type_classes(UCHAR type);
USHORT shadow_state_size(enum shadow_layer layer, enum shadow_class class);
const char *shadow_layer_name(enum shadow_layer layer);

/* ---- decode.c: trees ---- */

/* The walk that NDIS and drivers do of such a list must end: true, and the list is cut, if it would
 * not. */
bool shadow_nbls_cut(NET_BUFFER_LIST *nbls);

/* What tells that a driver wrote nothing. */
#define SHADOW_POISON ((NDIS_STATUS)0xEBADBAD0)
#define SHADOW_POISON_BYTE 0xB7

void shadow_tree_free(struct verifier *verifier, struct shadow_tree *tree);
enum crossing_op shadow_request_of(enum crossing_op completion);
static inline bool
shadow_came_through(NDIS_STATUS status)
{
    return status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

/* ---- complete.c ---- */

/* An intermediate driver's tree that failed as a whole, with one status. */
bool shadow_one_failure(const struct shadow_tree *tree);

/* ---- intermediate.c ---- */

/* An intermediate driver's tree that it has not passed on. */
bool shadow_kept_back(struct verifier *verifier, const struct shadow_tree *tree);
/* The driver has such trees. */
bool shadow_keeps_trees(struct verifier *verifier, const char *driver);

/* ---- issue.c ---- */

/* A timer that is said to run and cannot (V-071, V-151); NULL: none. unsent: a send chain goes
 * along. */
const char *shadow_timer_fault(const struct shadow_adapter *adapter,
                               const TCP_OFFLOAD_STATE_CACHED *cached,
                               const TCP_OFFLOAD_STATE_DELEGATED *state, bool unsent);

/* ---- verifier.c: calls ---- */

/* The nearest call of op around this one on the same thread; NULL: none. */
const struct call *call_around(const struct call *call, enum crossing_op op);
/* On whose stack this call is; NULL: that one has returned, or is on another thread. */
const struct call *call_with_id(const struct call *call, unsigned long long id);
/* The call is NDIS's own, or NDIS completes what it refused. */
bool call_by_ndis(const struct call *call);
/* … or a driver passes that on, on the same stack. */
bool call_for_ndis(const struct call *call);
/* The innermost call in progress on this thread; NULL: none. */
const struct call *call_current(void);
/* Names this thread while it lives. */
const void *call_thread(void);
/* Marks a breach of rule at this call. true: it is the echo of one at a call around it, or inside
 * it. */
bool call_mark(const struct call *call, unsigned rule);
/* Data calls and completions by kind; SHADOW_KINDS: the op is neither. */
enum shadow_kind call_kind(enum crossing_op op, bool *completion);

#endif
