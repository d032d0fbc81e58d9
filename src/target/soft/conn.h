/*
 * What the target owns of a host stack: neighbors, paths and connections. Private to
 * src/target/soft.
 *
 * By owner: `constant` never changes, `cached` is written by update.c only, everything else is the
 * target's.
 */
#ifndef TARGET_SOFT_CONN_H
#define TARGET_SOFT_CONN_H

#include "target/soft/soft.h"

#include <stddef.h>

/* ---- objects ---- */

enum soft_kind { SOFT_NEIGHBOR, SOFT_PATH, SOFT_TCP };

/* The common part; MiniportOffloadContext points here. */
struct soft_object {
    enum soft_kind kind;
    bool invalid; /* named by an invalidate; what stands on it is not usable either */
    bool terminated;
    bool doomed; /* freed, but something still stands on it: it goes with the last dependent */
    struct soft_adapter *adapter;
    struct soft_object *parent; /* a path's neighbor, a connection's path */
    NDIS_HANDLE handle;         /* NdisOffloadHandle: names the object in indications */
    /* a line of its own in a connection: only its ends look at it */
    struct list children; /* by sibling */
    struct list sibling;
    struct list all;   /* on soft_adapter.objects */
    struct list grave; /* on soft_adapter.graves */
};

struct soft_neighbor {
    struct soft_object object;
    NEIGHBOR_OFFLOAD_STATE_CONST constant;
    NEIGHBOR_OFFLOAD_STATE_CACHED cached;
    uint64_t progress_us;           /* NRT: when the peer was last seen to be reachable */
    uint64_t host_us, asked_us;     /* HRT: when the host stack knew; when it was last asked */
    struct soft_use *source, *vlan; /* NULL: the adapter's address; none */
};

struct soft_path {
    struct soft_object object;
    bool ipv6;
    uint8_t source[16], destination[16];
    PATH_OFFLOAD_STATE_CACHED cached;
    struct soft_use *address;
};

/* ---- connections ---- */

/*
 * - ADOPTED: offloaded, but the initiate is not completed: nothing may be indicated
 * - OPEN: works
 * - STOPPED: a mandatory Retrieve is out, nothing is sent or processed any more, frames are held
 *   for the host stack
 * - ABORTED: reset, by the peer or by us, or its state was found to be lost
 */
#define SOFT_PHASES(X) X(ADOPTED) X(OPEN) X(STOPPED) X(ABORTED)
/* clang-format off */
#define SOFT_PHASE_EDGES(X)                                                                        \
    X(ADOPTED, OPEN) X(ADOPTED, ABORTED)                                                           \
    X(OPEN, STOPPED) X(OPEN, ABORTED)                                                              \
    X(STOPPED, ABORTED)
/* clang-format on */
#define SOFT_PHASE_ENUM(name) SOFT_##name,
enum soft_phase { SOFT_PHASES(SOFT_PHASE_ENUM) SOFT_PHASE_COUNT };

/* The received key of a connection: local is our side. */
struct soft_key {
    bool ipv6;
    uint16_t local_port, peer_port; /* network order */
    uint8_t local[16], peer[16];
};

/* A place in the send queue: the next byte is number seq. */
struct soft_cursor {
    NET_BUFFER_LIST *nbl; /* NULL: nowhere */
    NET_BUFFER *nb;
    MDL *mdl;
    uint32_t mdl_offset;
    uint32_t nb_left; /* bytes of nb not passed yet */
    uint32_t seq;
};

/* What watch.c counts, since it last judged. */
struct soft_watch {
    struct tcp_counters since; /* the engine's, then */
    uint64_t unposted_bytes, delivered_bytes, send_bytes;
    uint32_t sends, fragments;
    uint64_t active_bytes, active_us; /* payload so far, and when it last grew; 0: not looked yet */
    unsigned told;                    /* mask of reasons */
};

#define SOFT_CACHE_LINE 64
#define SOFT_HELD_MAX 1024 /* frames kept for the host stack while stopped */
#define SOFT_CRUMB 256u    /* bytes: an NBL with less holds several times as much memory */
#define SOFT_CRUMBS_MAX 1024u

/*
 * What a segment touches comes first, in lines of the cache: five for one that arrives, then what
 * is sent, what is completed, and the engine's own, in its own order. The rest is for what seldom
 * happens and for the ends of a connection's life. touch_test.c measures it.
 */
struct soft_conn {
    /* line 0: whose is the segment, and may it be taken */
    struct soft_conn *next; /* in the bucket */
    uint32_t hash;          /* of the key */
    enum soft_phase phase;
    struct soft_key key;
    bool terminating; /* asked for: its frames take the regular path */
    bool servicing, again;
    bool ack_returned;
    bool refused;    /* the host stack refused what is buffered: wait for a post */
    bool posted_new; /* posts since the last delivery */
    bool fin_received;
    bool finished; /* a graceful disconnect was posted, or the host stack had sent its FIN */
    bool stalled;  /* stalled_out was refused by the wire */
    bool settled;  /* there is something on done_... */

    /* line 1: what becomes of it */
    struct list dirty;    /* on soft_adapter.dirty */
    struct list buffered; /* frames in order, not delivered */
    struct list posted;   /* NBLs */
    unsigned events;      /* TCP_EV_..., since the last service */
    uint32_t backlog;     /* as last indicated */
    uint32_t buffered_bytes, lent_bytes;

    /* line 2: what its service looks at */
    struct list sends; /* NBLs in posting order; the last may be the disconnect's */
    struct list lent;  /* frames delivered, ascending, that the ack point (or the window) waits
                          for */
    struct soft_object object; /* its first members; its lists are line 3 */

    /* line 4 */
    struct sys_timer timer; /* never later than what is due, often earlier: service.c */
    uint64_t push_deadline_us;
    struct list forwards; /* NBLs not processed yet */

    /* line 5: what is sent, an acknowledgement too; and the window */
    TCP_OFFLOAD_STATE_CACHED cached;
    uint32_t filled;     /* bytes placed in the first posted */
    uint64_t sent_flush; /* soft_adapter.flushes when it last sent */
    uint32_t send_seq;   /* number of the first byte of the first NBL */
    bool fin_indicated;
    uint16_t lent_crumbs; /* small NBLs among what is lent */

    /* line 6: sends, and their completion */
    struct soft_cursor cursor;
    NET_BUFFER_LIST *disconnect; /* graceful: also on sends; abortive: waits for the RST to leave */
    struct list adopted;         /* on soft_adapter.adopted */

    /* line 7: settled, waiting for the completion call */
    struct soft_nbls done_sends, done_receives, done_disconnects, done_forwards;

    _Alignas(SOFT_CACHE_LINE) struct tcp_conn tcp; /* its lines are ours */

    struct tcp_counters counted; /* of tcp's, what soft_adapter.stats has */
    struct list blocked;         /* on soft_adapter.blocked */
    struct list later;           /* on soft_adapter.later */
    struct list held;            /* frames kept for the host stack */
    unsigned held_count;
    uint64_t backlog_us;
    struct tcp_out stalled_out;
    TCP_OFFLOAD_STATE_CONST constant;
    ULONG dwnd;    /* DWnd, handed through */
    bool extended; /* goes back with the extension it came with */
    bool lost;     /* its state cannot be read any more */
    struct soft_watch watch;
};

#define SOFT_AT_LINE(member, line) (offsetof(struct soft_conn, member) == (line)*SOFT_CACHE_LINE)
_Static_assert(SOFT_AT_LINE(dirty, 1) && SOFT_AT_LINE(sends, 2) &&
                   SOFT_AT_LINE(object.children, 3) && SOFT_AT_LINE(timer, 4) &&
                   SOFT_AT_LINE(cached, 5) && SOFT_AT_LINE(cursor, 6) &&
                   SOFT_AT_LINE(done_sends, 7) && SOFT_AT_LINE(tcp, 8),
               "each line begins where its comment says");

static inline struct soft_path *
soft_conn_path(const struct soft_conn *conn)
{
    return container_of(conn->object.parent, struct soft_path, object);
}

static inline struct soft_neighbor *
soft_path_neighbor(const struct soft_path *path)
{
    return container_of(path->object.parent, struct soft_neighbor, object);
}

static inline struct soft_conn *
soft_conn_of(struct soft_object *object)
{
    return container_of(object, struct soft_conn, object);
}

/* ---- object.c: making, finding and freeing objects ---- */

/* parent NULL: a neighbor. */
void soft_object_init(struct soft_object *object, enum soft_kind kind, struct soft_adapter *adapter,
                      struct soft_object *parent, NDIS_HANDLE handle);
/* Its memory and what it uses, before soft_object_init or after it left every list. */
void soft_neighbor_free(struct soft_neighbor *neighbor);
void soft_path_free(struct soft_path *path);
/* Moves a path to another neighbor. */
void soft_object_relink(struct soft_object *object, struct soft_object *parent);
/* Lets go of an object; with dependents it stays until the last is gone. */
void soft_object_free(struct soft_object *object);
/* True if it is this kind of object. */
bool soft_object_is(const struct soft_object *object, enum soft_kind kind);

/* ---- table.c ---- */
/* False: out of memory. */
bool soft_map_init(struct soft_map *map, uint64_t seed);
void soft_map_fini(struct soft_map *map);
void soft_conn_insert(struct soft_conn *conn);
/* The connection of this 4-tuple whose neighbor is in this VLAN: the same addresses may be in use
 * in several. */
struct soft_conn *soft_conn_find(struct soft_adapter *adapter, const struct soft_key *key,
                                 unsigned vlan);
/* A connection of this 4-tuple in any VLAN. */
struct soft_conn *soft_conn_find_any(struct soft_adapter *adapter, const struct soft_key *key);
/* Its frames take the regular path from now on; a second call is harmless. */
void soft_conn_remove(struct soft_conn *conn);

/* ---- object.c again ---- */
/* Zeroed, lists and timer ready, phase ADOPTED; NULL: out of memory. */
struct soft_conn *soft_conn_create(struct soft_adapter *adapter);
void soft_conn_set_phase(struct soft_conn *conn, enum soft_phase phase, const char *why);

/* ---- limits.c: what is refused, and why ---- */
void soft_limits_read(struct soft_adapter *adapter);
void soft_table_init(struct soft_table *table);
/* One more user of value, which is at most SOFT_USE_BYTES long; full: what to say when the table
 * is. */
NDIS_STATUS soft_use_get(struct soft_table *table, const void *value, size_t len, NDIS_STATUS full,
                         struct soft_use **out);
/* NULL: nothing. */
void soft_use_put(struct soft_use *use);
/* The object has its constant and cached state; what it then uses is in it, also when it is
 * refused, and goes with it. */
NDIS_STATUS soft_limits_neighbor(struct soft_adapter *adapter, struct soft_neighbor *neighbor);
NDIS_STATUS soft_limits_path(struct soft_adapter *adapter, struct soft_path *path);
NDIS_STATUS soft_limits_tcp(const struct soft_adapter *adapter, const NET_BUFFER_LIST *sends,
                            const TCP_OFFLOAD_STATE_CONST *constant,
                            const TCP_OFFLOAD_STATE_CACHED *cached,
                            const TCP_OFFLOAD_STATE_DELEGATED *delegated);
/* Bytes of window that a connection may have of the budget. */
uint32_t soft_limits_share(const struct soft_adapter *adapter, unsigned connections);
/* The path MTU can be kept. */
bool soft_mtu_fits(const struct soft_adapter *adapter, bool ipv6, ULONG mtu);

/* ---- convert.c: ticks and units ---- */
void soft_import_config(const struct soft_adapter *adapter, const struct soft_conn *conn,
                        const struct soft_path *path, ULONG ts_time, uint64_t now_us,
                        struct tcp_config *out);
/* What update may change later: nagle, keepalive, max_rt. */
void soft_import_cached(const struct soft_adapter *adapter, const TCP_OFFLOAD_STATE_CACHED *cached,
                        struct tcp_config *out);
bool soft_import_state(const struct soft_adapter *adapter, const TCP_OFFLOAD_STATE_DELEGATED *in,
                       uint32_t send_bytes, struct tcp_state *out);
void soft_export_state(const struct soft_conn *conn, uint64_t now_us,
                       TCP_OFFLOAD_STATE_DELEGATED *out);
uint64_t soft_ticks_us(const struct soft_adapter *adapter, ULONG ticks);
ULONG soft_us_ticks(const struct soft_adapter *adapter, uint64_t us);

/* ---- extension.c ---- */
/* Directly after tcp_restore: what follows the delegated state, if it is as we know it. */
void soft_extension_restore(struct soft_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *delegated,
                            uint64_t now_us);
/* Into the room behind the delegated state, if the connection came with one. */
void soft_extension_capture(const struct soft_conn *conn, TCP_OFFLOAD_STATE_DELEGATED *delegated,
                            uint64_t now_us);

/* ---- service.c ---- */
/* The connection is looked after at the end of the batch. */
void soft_dirty(struct soft_conn *conn);
/* What it has to say waits for the initiates in progress (V-137). */
void soft_later(struct soft_conn *conn);
/* They are over. */
void soft_later_over(struct soft_adapter *adapter);
/* Its timer has fired. */
void soft_on_timer(void *arg);
/* Everything that is due, now. */
void soft_service(struct soft_conn *conn);
/* A settled NBL goes to one of done_..., until soft_complete. */
void soft_done(struct soft_conn *conn, struct soft_nbls *list, NET_BUFFER_LIST *nbl);
/* Calls the completions of what is settled. */
void soft_complete(struct soft_conn *conn);

/* ---- send.c ---- */
/* Queues NBLs handed over at initiate; the first byte is number send_seq. */
void soft_send_adopt(struct soft_conn *conn, NET_BUFFER_LIST *chain);
/* What the peer has acknowledged is settled. */
void soft_send_settle(struct soft_conn *conn);
/* False: not with what is unacknowledged already. The host stack is asked to take the connection
 * back, and nothing more is taken from it. */
#define SOFT_SENDS_MOST (1u << 30)
bool soft_send_fits(struct soft_conn *conn, uint32_t bytes);
/* Every open send ends with this status, a partly acknowledged first one with its bytes. */
void soft_send_fail(struct soft_conn *conn, NDIS_STATUS status);
/* At terminate: what is open, as a chain that begins at SndUna. The disconnect, if open, is
 * settled. */
NET_BUFFER_LIST *soft_send_take(struct soft_conn *conn, NET_BUFFER_LIST **tail);
/* The memory of [seq, seq + len). Returns the number of pieces; 0: more than max. */
size_t soft_send_gather(struct soft_conn *conn, uint32_t seq, uint32_t len, struct iovec *pieces,
                        size_t max);
/* Copies [seq, seq + len); false: not in the queue. */
bool soft_send_copy(struct soft_conn *conn, uint32_t seq, uint32_t len, uint8_t *out);
uint32_t soft_send_backlog(const struct soft_conn *conn);

/* ---- disconnect.c ---- */
/* The disconnect in progress is settled with status, if there is one. */
void soft_disconnect_settle(struct soft_conn *conn, NDIS_STATUS status);

/* ---- receive.c and deliver.c ---- */
/* Too little for an NBL of its own when there are many such. */
static inline bool
soft_is_crumb(const struct soft_frame *frame)
{
    return frame->chunk.len < SOFT_CRUMB;
}
/* Moves what is in order from the engine to the buffered list, and acknowledges it unless that
 * waits for returns. */
void soft_receive_take(struct soft_conn *conn);
/* The delivery algorithm (chimney 6.2), until there is nothing to be done. */
void soft_deliver(struct soft_conn *conn);
/* Shows the window that the buffers allow (not with ack = returned). */
void soft_receive_edge(struct soft_conn *conn);
/* Posted requests end with this status, the first with what is in it. */
void soft_receive_fail(struct soft_conn *conn, NDIS_STATUS status);
/* The first posted request is settled. */
void soft_receive_settle(struct soft_conn *conn, NDIS_STATUS status);
/* Data the host stack had buffered, as frames of ours; false: out of memory, nothing changed. */
bool soft_receive_adopt(struct soft_conn *conn, NET_BUFFER_LIST *buffered, uint32_t rcv_nxt);
/* A frame's bytes were delivered and are not needed any more; its place in the sequence may be. */
void soft_receive_consumed(struct soft_conn *conn, struct soft_frame *frame);
/* The ack point follows what was returned without a gap. */
void soft_receive_acknowledge(struct soft_conn *conn);

/* ---- terminate.c ---- */
/* Frees what it holds and forgets its NBLs, without a word: only when nobody is there to hear it.
 */
void soft_conn_drop(struct soft_conn *conn);

/* ---- forward.c ---- */
void soft_forward_run(struct soft_conn *conn);

/* ---- event.c ---- */
/* Acts on what the engine has found. */
void soft_event_run(struct soft_conn *conn);
/* A mandatory upload: the target stops here. */
void soft_retrieve(struct soft_conn *conn, ULONG reason);
/* Somebody wants its state. True: it is lost, and who did not know yet has been told. */
bool soft_event_lost(struct soft_conn *conn);
/* A FIN was consumed, backlog changed: tells the host stack. */
void soft_event_indicate(struct soft_conn *conn);

/* ---- neighbor.c ---- */
/* Our link address towards the neighbor: what is sent comes from it, what is received is for it. */
const uint8_t *soft_neighbor_own(const struct soft_neighbor *neighbor);
/* The host stack says how long ago it knew of the neighbor. */
void soft_neighbor_heard(struct soft_neighbor *neighbor, ULONG host_delta);
/* Ticks since a sign of life. */
ULONG soft_neighbor_age(const struct soft_neighbor *neighbor);
/* Something is about to be sent: asks the host stack if nobody has heard of the neighbor lately. */
void soft_neighbor_check(struct soft_conn *conn);

/* ---- watch.c ---- */
/* Tells the host stack if the connection had better be its own. */
void soft_watch_run(struct soft_conn *conn);
/* What it counts; nothing where no threshold is set. Unposted bytes found no request, whether they
 * were then taken or not. */
void soft_watch_sent(struct soft_conn *conn, uint32_t sends, uint32_t bytes);
void soft_watch_delivered(struct soft_conn *conn, uint32_t bytes);
void soft_watch_unposted(struct soft_conn *conn, uint32_t bytes);
/* When it wants to be called although nothing happened. */
uint64_t soft_watch_deadline_us(const struct soft_conn *conn);

/* ---- stats.c ---- */
/* A datagram, or a superframe of several, has come from the wire; discarded: for want of memory. */
void soft_stats_received(const struct soft_conn *conn, const struct tcp_segment *segment,
                         uint32_t ip_header, bool discarded);
/* … was given to the wire; header: bytes of the IP and TCP headers; discarded: it failed for good.
 */
void soft_stats_sent(const struct soft_conn *conn, const struct tcp_out *out, uint32_t header,
                     bool discarded);
/* What the engine has counted since the last call goes into the adapter's sums. */
void soft_stats_collect(struct soft_conn *conn);

/* ---- segment_in.c ---- */
/* What became of a segment: the engine had it, it is kept for the host stack, there was no memory,
 * or nothing: it belongs on the regular path. */
enum soft_fate { SOFT_DELIVERED, SOFT_HELD, SOFT_DISCARDED, SOFT_NOT_OURS };
/* A segment of this connection; payload starts at frame payload_offset of buf. Takes no reference.
 */
enum soft_fate soft_segment_input(struct soft_conn *conn, struct wire_buf *buf, uint32_t tcp_offset,
                                  struct tcp_segment *segment);
/* One that is not ours and came from the host stack: the connection is to go up, and this behind
 * it. Takes no reference. */
void soft_segment_keep(struct soft_conn *conn, struct wire_buf *buf);
/* What the engine has heard of marks and CWR is in the state: the frame goes up without. */
void soft_segment_forget_congestion(struct wire_buf *buf);

/* ---- segment_out.c ---- */
/* Sends what the engine wants to send. */
void soft_output(struct soft_conn *conn);
/* Ethernet header, tag if there is to be one, and IP header in front of a TCP segment of tcp_len
 * bytes; from_peer: as if it had been received. Returns their length. */
size_t soft_write_headers(const struct soft_conn *conn, uint32_t tcp_len, unsigned segments,
                          bool from_peer, uint8_t ecn, uint8_t *bytes);

#endif
