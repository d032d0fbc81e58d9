/*
 * The soft target's adapter: an NDIS miniport driver whose NIC is a wire and whose offload engine
 * is src/tcp. Private to src/target/soft.
 *
 * One thread, the loop of the wire. What NDIS calls only notes what is to be done; the work happens
 * in three places:
 *
 *   soft_operations   the state operations, in the order they came, at the turn after the call
 *   soft_service      one connection: completions, indications, then output, then its timer
 *   soft_frames_flush end of the turn: the wire is flushed, regular sends complete
 *
 * So nothing completes on the stack of the call it answers, and what a callback does on its way is
 * picked up once.
 */
#ifndef TARGET_SOFT_SOFT_H
#define TARGET_SOFT_SOFT_H

#include "base/list.h"
#include "chimney/wire.h"
#include "sys/loop.h"
#include "tcp/tcp.h"

#include <ndis.h>
#include <ndischimney.h>

struct soft_conn;
struct soft_object;

/* ---- lists of NBLs, chained through Next ---- */

struct soft_nbls {
    NET_BUFFER_LIST *head, *tail;
};

/* Appends one NBL. */
void soft_nbls_add(struct soft_nbls *nbls, NET_BUFFER_LIST *nbl);
/* The chain; the list is empty afterwards. */
NET_BUFFER_LIST *soft_nbls_take(struct soft_nbls *nbls);

/* While the target holds an NBL it is queued through MiniportReserved and its length is kept in
 * Scratch. */
static inline struct list *
soft_nbl_link(NET_BUFFER_LIST *nbl)
{
    return (struct list *)nbl->MiniportReserved;
}

static inline NET_BUFFER_LIST *
soft_nbl_of(struct list *link)
{
    return container_of(link, NET_BUFFER_LIST, MiniportReserved);
}

static inline uint32_t
soft_nbl_length(const NET_BUFFER_LIST *nbl)
{
    return (uint32_t)(uintptr_t)nbl->Scratch;
}

/* Queues an NBL: measures it, unchains it. */
void soft_nbl_enqueue(struct list *queue, NET_BUFFER_LIST *nbl);
NET_BUFFER_LIST *soft_nbl_first(struct list *queue);
/* Bytes in all its NET_BUFFERs. */
uint32_t soft_nbl_measure(const NET_BUFFER_LIST *nbl);
/* Advances over the first bytes, from one NET_BUFFER to the next. */
void soft_nbl_advance(NET_BUFFER_LIST *nbl, uint32_t bytes);
/* What every completion sets (V-078, V-094): status, bytes transferred, data start. */
void soft_nbl_settle(NET_BUFFER_LIST *nbl, NDIS_STATUS status, uint32_t bytes);
/* Copies len bytes into a NET_BUFFER, offset bytes behind its data start. */
void soft_nb_write(NET_BUFFER *nb, uint32_t offset, const uint8_t *bytes, uint32_t len);

/* ---- received frames ---- */

/*
 * One frame of the wire on its way up. It is on one list at a time: the engine's (through chunk), a
 * connection's buffered, lent or held list, or the adapter's spare list. While an NBL is over it,
 * that NBL's MiniportReserved[0] points here.
 */
struct soft_frame {
    struct list link;
    struct tcp_chunk chunk; /* what of its payload is not delivered yet */
    struct wire_buf *buf;   /* NULL: given back before its neighbours in the sequence were */
    struct soft_adapter *adapter;
    struct soft_conn *conn; /* lent: whose ack point waits for it; NULL: nobody's */
    uint32_t payload;       /* where the TCP payload starts in buf */
    bool whole;             /* a complete frame: may go up the regular path */
    bool returned;          /* lent, and came back */
    NET_BUFFER_LIST *nbl;
    MDL *mdl;
};

/* Takes its own reference of buf. NULL: out of memory. */
struct soft_frame *soft_frame_create(struct soft_adapter *adapter, struct wire_buf *buf,
                                     uint32_t payload);
/* Lets go of the bytes and the NBL; the frame itself stays. */
void soft_frame_release(struct soft_frame *frame);
void soft_frame_destroy(struct soft_frame *frame);
/* Puts an NBL over len bytes at offset of the buffer; false: out of memory. */
bool soft_frame_wrap(struct soft_frame *frame, NDIS_HANDLE pool, uint32_t offset, uint32_t len);
/* Takes the NBL off again. */
void soft_frame_unwrap(struct soft_frame *frame);
struct soft_frame *soft_frame_of(const NET_BUFFER_LIST *nbl);
/* NBL out-of-band data of a received frame, from what the wire knows of it. */
void soft_frame_describe(NET_BUFFER_LIST *nbl, const struct wire_meta *meta);

/* ---- the adapter ---- */

/* OID_TCP_CONNECTION_OFFLOAD_PARAMETERS, in microseconds. */
struct soft_params {
    uint32_t tick_us;
    uint8_t ack_frequency, max_retransmissions, duplicate_acks;
    uint32_t delayed_ack_us, sws_us, push_us;
    uint64_t stale_us; /* a neighbor nobody has heard of for longer is asked for; 0: never */
};

#define SOFT_UNLIMITED UINT32_MAX

/* How much the target takes on; the keywords are in limits.c. */
struct soft_limits {
    unsigned neighbors, paths, connections;
    unsigned hw_addresses;               /* source addresses beside the adapter's own */
    unsigned ip_addresses;               /* source addresses of paths */
    unsigned vlans;                      /* different ids, beside 0 */
    unsigned vlan;                       /* the one id that is configured; 0: any */
    unsigned mtu;                        /* largest PathMtu; the wire's may be less */
    unsigned window_bytes;               /* largest InitialRcvWnd */
    unsigned budget;                     /* of all windows together */
    unsigned send_bytes, buffered_bytes; /* largest chains handed over */
    unsigned least_mss;                  /* a connection with a smaller RemoteMss is not worth it */
    unsigned extension;                  /* the version that it says it has; only one is known */
    bool ipv4, ipv6;
};

/* When a connection had better be the host stack's; 0: off. The keywords are in watch.c. */
struct soft_thresholds {
    bool any;
    unsigned window;                               /* segments that are judged together */
    unsigned drops, fragments, disorder, unposted; /* per cent */
    unsigned small_bytes;
    uint64_t idle_us;
    unsigned failure; /* segments after which the hardware of a connection fails, for tests */
    unsigned lost;    /* … and whether its state is lost with it */
};

/* Things of one sort that objects use, each counted once; value is padded with zeros. */
#define SOFT_USE_BYTES 17
struct soft_table {
    struct list uses; /* soft_use */
    unsigned count, capacity;
};
struct soft_use {
    struct list link;
    struct soft_table *table;
    unsigned count;
    uint8_t value[SOFT_USE_BYTES];
};

/* Connections by 4-tuple (table.c). */
struct soft_map {
    struct soft_conn **buckets,
        **former;                        /* former: not all carried over yet; NULL: there is none */
    uint32_t mask, former_mask, carried; /* buckets of the former that are empty now */
    unsigned count;
    uint64_t seed;
};

/* Of offloaded connections only; one for each IP version. */
struct soft_stats {
    IP_OFFLOAD_STATS ip;
    TCP_OFFLOAD_STATS tcp; /* without what the connections have not been asked for yet */
};

/* States of the miniport after its initialisation, and the edges between them. */
#define SOFT_ADAPTER_STATES(X) X(PAUSED) X(RUNNING) X(PAUSING)
#define SOFT_ADAPTER_EDGES(X) X(PAUSED, RUNNING) X(RUNNING, PAUSING) X(PAUSING, PAUSED)
#define SOFT_ADAPTER_ENUM(name) SOFT_##name,
enum soft_adapter_state { SOFT_ADAPTER_STATES(SOFT_ADAPTER_ENUM) SOFT_ADAPTER_STATE_COUNT };

struct soft_adapter {
    NDIS_HANDLE handle; /* NdisMiniportHandle */
    struct wire *wire;
    struct sys_loop *loop;
    NDIS_TCP_OFFLOAD_EVENT_HANDLERS up;
    NDIS_HANDLE chimney_pool, frame_pool;
    enum soft_adapter_state state;
    struct soft_params params;
    struct soft_limits limits;
    struct soft_thresholds thresholds;
    enum tcp_congestion congestion;

    struct soft_map map;
    struct list objects; /* every neighbor, path and connection, by soft_object.all */
    unsigned neighbors, paths, connections;
    struct soft_table hw_addresses, ip_addresses, vlans; /* in use */
    struct soft_stats stats[2];                          /* by soft_key.ipv6 */

    struct list graves;     /* terminated, freed behind the completion */
    struct list leftover;   /* frames that go up the regular path behind the completion */
    struct list operations; /* roots of block lists, by MiniportReserved */
    struct sys_task operate;
    unsigned initiates;  /* asked for, not completed: what can wait is not indicated (V-137) */
    struct list adopted; /* connections whose initiate is not completed */
    struct list dirty;   /* connections to be serviced */
    struct list blocked; /* connections that wait for the wire */
    struct list later;   /* connections that have news which waits for the end of the initiates */
    struct sys_task service;
    struct sys_hook flush;
    bool wire_blocked;
    uint64_t flushes; /* counts them; a connection notes it when it sends */
    uint16_t ip_id;
    uint8_t *bounce; /* for payload in too many pieces */

    struct list sending;   /* regular NBLs that wait for the wire; the next NET_BUFFER in Scratch */
    struct soft_nbls sent; /* regular NBLs that the next flush lets go of */
    struct soft_nbls going_up; /* regular frames, indicated together at the end of the batch */
    unsigned going_up_count;
    unsigned frames_up; /* regular NBLs that NDIS has */
    uint64_t too_long;  /* regular frames that do not fit into the wire */
    unsigned lent;      /* chimney NBLs that NDIS has */
    struct list spare;  /* frames without a buffer, for the next */
    unsigned spare_count;
    NDIS_OID_REQUEST *power_request; /* held until nothing is offloaded (V-156) */
};

void soft_adapter_set_state(struct soft_adapter *adapter, enum soft_adapter_state state,
                            const char *why);
static inline uint64_t
soft_now_us(const struct soft_adapter *adapter)
{
    return sys_loop_now_us(adapter->loop);
}

/* ---- operations.c: the five state operations cross here ---- */

enum soft_operation { SOFT_INITIATE, SOFT_TERMINATE, SOFT_UPDATE, SOFT_INVALIDATE, SOFT_QUERY };

/* Notes an operation; it is done and completed at the next turn (V-030). */
void soft_operation_queue(struct soft_adapter *adapter, enum soft_operation operation,
                          NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root);
/* sys_task: does what is queued. */
void soft_operations(void *arg);
enum soft_class { SOFT_CONST, SOFT_CACHED, SOFT_DELEGATED };
/* The state structure of this class behind a block; NULL: its type does not have it. */
void *soft_block_state(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block, enum soft_class class);
/* The object a node names; NULL: a placeholder, or a new offload. */
struct soft_object *soft_block_object(const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block);

/* ---- walk.c ---- */
/*
 * Where a walk is: for (soft_walk_first(&walk, list); walk.block; soft_walk_next(&walk)). Each node
 * comes twice, the second time `leaving`, when its dependents have been met.
 */
struct soft_walk {
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block; /* NULL: over */
    bool leaving;
    unsigned depth; /* 0: a node of the list it began with */
};
void soft_walk_first(struct soft_walk *walk, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *list);
void soft_walk_next(struct soft_walk *walk);
/* The dependents of the node that was just met for the first time are left out, and so is its
 * second time. */
void soft_walk_skip(struct soft_walk *walk);
/* The node that the block hangs under; NULL at depth 0. */
NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *soft_walk_parent(const struct soft_walk *walk);
/* What an operation does to one node that is no placeholder; parent is the node it hangs under,
 * NULL at the root. */
typedef NDIS_STATUS soft_block_fn(struct soft_adapter *adapter,
                                  NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block,
                                  NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *parent);
/* Every node of the tree, its dependents after it or before it; writes every Status. */
void soft_block_walk(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *list,
                     bool dependents_first, soft_block_fn *fn);

/* ---- the operations, by file ---- */
/* arrived_us: when NDIS asked. */
void soft_initiate(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root,
                   uint64_t arrived_us);
void soft_terminate(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root);
void soft_query(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root);
void soft_invalidate(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root);

/* ---- oid.c ---- */
void soft_params_default(struct soft_params *params);

/* ---- congestion.c ---- */
/* The adapter's option; NDIS_STATUS_INVALID_PARAMETER: it names none. */
NDIS_STATUS soft_congestion_read(struct soft_adapter *adapter);
/* NDIS_TCP_CONGESTION_ ... */
ULONG soft_congestion_documented(const struct soft_adapter *adapter);
/* The last object is gone: a held power request completes. */
void soft_power_settle(struct soft_adapter *adapter);

/* ---- stats.c ---- */
/* A query or set of one of the four statistics; NDIS_STATUS_NOT_SUPPORTED: it is none. */
NDIS_STATUS soft_stats_request(struct soft_adapter *adapter, NDIS_OID_REQUEST *request);

/* ---- frames.c: the regular path ---- */

/* A frame that is not the target's business. Takes the frame. */
void soft_frame_up(struct soft_frame *frame);
/* Indicates what soft_frame_up collected. */
void soft_frames_indicate(struct soft_adapter *adapter);
/* Sends what waited for the wire. */
void soft_frames_resume(struct soft_adapter *adapter);
/* sys_hook: end of the turn. */
void soft_frames_flush(void *arg);
/* No borrowed payload is referenced by the wire afterwards. */
void soft_wire_flush(struct soft_adapter *adapter);
/* Pausing ends when every regular NBL is back. */
void soft_pause_settle(struct soft_adapter *adapter);

/* ---- segment_in.c ---- */
/* wire_receiver.on_frame */
void soft_on_frame(void *arg, struct wire_buf *buf);

/* ---- service.c ---- */
/* sys_task: every dirty connection, then the regular frames. */
void soft_service_dirty(void *arg);
/* wire_receiver.on_writable */
void soft_on_writable(void *arg);

/* ---- entry points, by operation ---- */
W_INITIATE_OFFLOAD_HANDLER_FN SoftInitiateOffload;
W_TERMINATE_OFFLOAD_HANDLER_FN SoftTerminateOffload;
W_UPDATE_OFFLOAD_HANDLER_FN SoftUpdateOffload;
W_INVALIDATE_OFFLOAD_HANDLER_FN SoftInvalidateOffload;
W_QUERY_OFFLOAD_HANDLER_FN SoftQueryOffload;
W_TCP_OFFLOAD_SEND_HANDLER_FN SoftTcpOffloadSend;
W_TCP_OFFLOAD_RECEIVE_HANDLER_FN SoftTcpOffloadReceive;
W_TCP_OFFLOAD_DISCONNECT_HANDLER_FN SoftTcpOffloadDisconnect;
W_TCP_OFFLOAD_FORWARD_HANDLER_FN SoftTcpOffloadForward;
W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER_FN SoftTcpOffloadReceiveReturn;
MINIPORT_OID_REQUEST SoftOidRequest;
MINIPORT_CANCEL_OID_REQUEST SoftCancelOidRequest;
MINIPORT_SEND_NET_BUFFER_LISTS SoftSendNetBufferLists;
MINIPORT_RETURN_NET_BUFFER_LISTS SoftReturnNetBufferLists;
MINIPORT_CANCEL_SEND SoftCancelSend;

#endif
