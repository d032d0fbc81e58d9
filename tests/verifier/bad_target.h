/*
 * An offload target without a network: a small, complete miniport whose peer is the scenario. Data
 * "arrives" and "is acknowledged" because a nic_ function says so; everything a driver owes NDIS is
 * real. It behaves well unless a mutation is in force (mutant.h).
 *
 * Like the driver of a real NIC it does everything in one place: calls from above and the NIC's
 * news only queue work, and a one-shot timer, which runs at DISPATCH_LEVEL, does it. So nothing
 * comes up on the stack of a call that went down.
 *
 * Threads: one.
 */
#ifndef TESTS_VERIFIER_BAD_TARGET_H
#define TESTS_VERIFIER_BAD_TARGET_H

#include "base/list.h"
#include "stream.h"

#define BT_CAPACITY 12      /* connections */
#define BT_ROOM 0xffffffffu /* tcp_room: no order */
#define BT_WINDOW_MAX 100000u
#define BT_MTU_MAX 1500u
#define BT_TAG 0x74726774u

enum bt_kind { BT_NEIGHBOR, BT_PATH, BT_TCP };

/* Linked by MiniportReserved[0] (V-087). */
struct bt_queue {
    NET_BUFFER_LIST *head, *tail;
};

struct bt_object {
    struct list all; /* target.objects */
    enum bt_kind kind;
    struct bad_target *target;
    struct bt_object *parent; /* NULL: none, or it was terminated before us */
    NDIS_HANDLE handle;       /* NdisOffloadHandle */
    PVOID *cell;              /* where our context is kept */
    bool invalid;
    bool dead; /* terminated; freed behind the completion */
};

struct bt_neighbor {
    struct bt_object object;
    NEIGHBOR_OFFLOAD_STATE_CONST constant;
    NEIGHBOR_OFFLOAD_STATE_CACHED cached;
    ULONG host_seen, nic_seen; /* HRT and NRT, ticks */
};

struct bt_path {
    struct bt_object object;
    bool ipv6;
    UCHAR source[16], destination[16];
    PATH_OFFLOAD_STATE_CACHED cached;
};

/* Received data of one segment. Its NBL is of the chimney pool; the data not yet delivered is what
 * the NET_BUFFER still holds. */
struct bt_chunk {
    struct list link; /* conn.buffered, or target.lent while the host stack has it */
    NET_BUFFER_LIST *nbl;
    MDL *mdls;
    bool push, refused;
    UCHAR bytes[];
};

/* What becomes of sends at a terminate. */
enum bt_give { BT_RETURN, BT_COMPLETE, BT_SPLIT };

struct bt_conn {
    struct bt_object object;
    TCP_OFFLOAD_STATE_CONST constant;
    TCP_OFFLOAD_STATE_CACHED cached;
    TCP_OFFLOAD_STATE_DELEGATED state;
    USHORT port;
    ULONG ts_delta; /* host's timestamp minus ours */

    struct bt_queue sends;  /* MiniportReserved[1]: bytes acknowledged */
    ULONG queued_seq;       /* behind the last byte of sends and of the disconnect */
    NET_BUFFER_LIST *close; /* the disconnect */
    ULONG close_flags;
    bool fin_queued, fin_acked;
    enum bt_give give;

    struct bt_queue posted;
    ULONG filled;   /* bytes in the first of them */
    unsigned posts; /* calls that posted something, so far */
    struct list buffered;
    bool refused;   /* the host stack wants nothing until it posts */
    bool last_push; /* the data placed last had PSH */
    NDIS_HANDLE push;
    bool push_running, push_expired;

    bool terminating; /* asked */
    bool stopped;     /* a mandatory upload was asked for: I/O ends UPLOAD_IN_PROGRESS */
    bool aborted;     /* reset, by either side */
    bool fin_received, fin_indicated;
    unsigned held; /* segments for the regular path, behind the terminate */
    ULONG backlog; /* as indicated last */
};

struct bt_work;

struct bad_target {
    NDIS_HANDLE driver, handle;
    NDIS_TCP_OFFLOAD_EVENT_HANDLERS up;
    NDIS_HANDLE chimney_pool, frame_pool;
    NDIS_HANDLE dpc, tick;
    NDIS_HANDLE item; /* instead of dpc, when that is the mutation */
    bool item_queued;
    NDIS_SPIN_LOCK lock; /* of work; a lock has to be somewhere (V-191) */
    bool in_dpc, again;
    bool running, pausing;
    ULONG vlan; /* id of the interface; 0: not configured */
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS parameters;

    struct list work; /* struct bt_work, in the order it came */
    struct list objects;
    unsigned counts[3];                                    /* live objects of each kind */
    struct stream_chain sent, received, forwarded, closed; /* to be completed */
    struct list lent;
    NET_BUFFER_LIST *stowaway;  /* a send that goes up with the next disconnect: V-125's mutation */
    struct bt_conn *indicating; /* on the stack; what was delivered meanwhile: V-097's mutation */
    ULONG delivered_inside;
    bool completing; /* receives, on the stack */

    NDIS_OID_REQUEST *power;  /* held until nothing is offloaded */
    NDIS_OID_REQUEST *later;  /* answered by the next dpc */
    TCP_OFFLOAD_STATS tcp[2]; /* IPv4, IPv6 */
    IP_OFFLOAD_STATS ip[2];
    unsigned frames_up;              /* indicated, not returned */
    struct stream_chain frames_down; /* regular sends to be completed */

    /* ---- the scenario's orders ---- */
    bool hold_operations; /* state operations wait */
    bool hold_frames;     /* regular sends wait */
    bool pend_oids;       /* statistics are answered later */
    bool fail_query, fail_update;
    unsigned tcp_room; /* connections that still get in */

    /* ---- what happened ---- */
    ULONG wrong; /* bytes that were not what they should be */
    unsigned ticks, parameters_set, queries_up, forwards;
};

NDIS_STATUS bad_target_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);

/* ---- the NIC: news of the connection with this LocalPort; it happens at the next turn ---- */

/* The peer acknowledges so many bytes more; our FIN. */
void nic_ack(struct bad_target *target, USHORT port, ULONG bytes);
void nic_ack_fin(struct bad_target *target, USHORT port);
/* So many bytes in sequence, in one segment. */
void nic_data(struct bad_target *target, USHORT port, ULONG bytes, bool push);
void nic_fin(struct bad_target *target, USHORT port);
void nic_rst(struct bad_target *target, USHORT port);
void nic_urgent(struct bad_target *target, USHORT port);
/* The peer's window. */
void nic_window(struct bad_target *target, USHORT port, ULONG bytes);
/* Something is wrong, or unusual, with this connection; mandatory reasons end it. */
void nic_retrieve(struct bad_target *target, USHORT port, TCP_UPLOAD_REASON reason);
/* The hardware of this connection is dead: HardwareFailure, Abort. */
void nic_break(struct bad_target *target, USHORT port);
/* Frames for the regular path. */
void nic_frames(struct bad_target *target, unsigned count);
/* OFFLOAD_PAUSE, OFFLOAD_RESUME (with capabilities), UPLOAD_ALL. */
void nic_status(struct bad_target *target, NDIS_STATUS code);
/* What was held goes on. */
void nic_release(struct bad_target *target);
struct bt_conn *nic_find(struct bad_target *target, USHORT port);
/* At once: so many bytes in sequence have arrived. */
void nic_segment(struct bt_conn *conn, ULONG bytes);

/* ---- between the files of the target ---- */

struct bt_work {
    struct list link;
    void (*run)(struct bad_target *target, struct bt_work *work);
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root; /* of a state operation; NULL: news */
    USHORT port;
    ULONG number;
    bool flag;
};
/* Queues a copy. */
void bt_work_add(struct bad_target *target, struct bt_work work);
void bt_kick(struct bad_target *target);
ULONG bt_now(const struct bad_target *target); /* ticks */

static inline struct bt_conn *
bt_conn_of(struct bt_object *object)
{
    return (struct bt_conn *)object;
}

/* Also of contexts that are none: NULL. */
struct bt_object *bt_object_find(struct bad_target *target, PVOID context);
struct bt_conn *bt_conn_find(struct bad_target *target, PVOID context);
void bt_object_free(struct bt_object *object);
/* NULL: there is none. The second: one whose terminate was asked for. */
struct bt_conn *bt_any_conn(struct bad_target *target);
struct bt_conn *bt_leaving(struct bad_target *target);

void bt_queue_add(struct bt_queue *queue, NET_BUFFER_LIST *nbl);
NET_BUFFER_LIST *bt_queue_take(struct bt_queue *queue);

/* Sets status and count, advances, and puts it on the list of what is completed next. */
void bt_finish(struct stream_chain *chain, NET_BUFFER_LIST *nbl, NDIS_STATUS status, ULONG bytes);
void bt_finish_badly(unsigned rule, struct stream_chain *chain, NET_BUFFER_LIST *nbl,
                     NDIS_STATUS status, ULONG bytes);
void bt_swap(struct stream_chain *chain);
/* Completes what is finished. */
void bt_flush(struct bad_target *target);
/* Everything that a connection can do now. */
void bt_service(struct bt_conn *conn);
void bt_deliver(struct bt_conn *conn);
void bt_send_adopt(struct bt_conn *conn, NET_BUFFER_LIST *chain);
void bt_sends_finish(struct bt_conn *conn);
/* Ends every send, the disconnect, and every receive with this status. */
void bt_fail_sends(struct bt_conn *conn, NDIS_STATUS status);
void bt_fail_close(struct bt_conn *conn, NDIS_STATUS status);
void bt_fail_receives(struct bt_conn *conn, NDIS_STATUS status);
/* A chunk of so many bytes of the peer's stream. */
struct bt_chunk *bt_chunk_create(struct bad_target *target, ULONG bytes);
void bt_chunk_destroy(struct bt_chunk *chunk);
void bt_add_buffer(NET_BUFFER_LIST *nbl);
/* In sequence: takes it, or holds it back for the regular path. */
void bt_segment(struct bt_conn *conn, struct bt_chunk *chunk);
void bt_push_stop(struct bt_conn *conn);
NDIS_TIMER_FUNCTION bt_push_timer;
void bt_event(struct bt_conn *conn, ULONG type, ULONG information);
void bt_retrieve(struct bt_conn *conn, TCP_UPLOAD_REASON reason);
/* Indicates what was received first. */
void bt_indicate(struct bt_conn *conn);
/* Asks whether the neighbor is still there, if nobody has heard of it for long. */
void bt_neighbor_check(struct bt_conn *conn);
void bt_frames_up(struct bad_target *target, unsigned count);
void bt_power_settle(struct bad_target *target);
void bt_terminate_early(struct bad_target *target);

W_INITIATE_OFFLOAD_HANDLER_FN bt_initiate;
W_TERMINATE_OFFLOAD_HANDLER_FN bt_terminate;
W_UPDATE_OFFLOAD_HANDLER_FN bt_update;
W_INVALIDATE_OFFLOAD_HANDLER_FN bt_invalidate;
W_QUERY_OFFLOAD_HANDLER_FN bt_query;
W_TCP_OFFLOAD_SEND_HANDLER_FN bt_send;
W_TCP_OFFLOAD_RECEIVE_HANDLER_FN bt_receive;
W_TCP_OFFLOAD_DISCONNECT_HANDLER_FN bt_disconnect;
W_TCP_OFFLOAD_FORWARD_HANDLER_FN bt_forward;
W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER_FN bt_receive_return;
MINIPORT_OID_REQUEST bt_oid;
MINIPORT_SEND_NET_BUFFER_LISTS bt_send_frames;
MINIPORT_RETURN_NET_BUFFER_LISTS bt_return_frames;

#endif
