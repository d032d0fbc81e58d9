/*
 * A host stack without a stack: a small, complete protocol driver that lends connections and takes
 * them back as the scenario says. What a driver must do without being asked (terminate after an
 * abort, answer a reachability query, give way to a pause) it does by itself. It behaves well
 * unless a mutation is in force (mutant.h).
 *
 * Calls from below only take notes and queue a work item, which runs at PASSIVE_LEVEL and does the
 * rest.
 *
 * Threads: one.
 */
#ifndef TESTS_VERIFIER_BAD_HOST_H
#define TESTS_VERIFIER_BAD_HOST_H

#include "base/list.h"
#include "stream.h"

#define BH_TAG 0x74736f68u
#define BH_BLOCKS 24   /* of one tree */
#define BH_HELD_MAX 64 /* accepted NBLs that are not returned yet */
#define BH_TAKE_ALL 0xffffffffu

struct bad_host;

/* ---- objects ---- */

enum bh_kind { BH_NEIGHBOR, BH_PATH, BH_TCP };
enum bh_where { BH_HOME, BH_GOING, BH_DOWN, BH_COMING };

struct bh_object {
    struct list all; /* host.objects */
    enum bh_kind kind;
    enum bh_where where;
    struct bad_host *host;
    struct bh_object *parent;
    NDIS_OFFLOAD_HANDLE handle;
    unsigned busy; /* queries, updates and invalidates that are out */
    bool leave;    /* terminate as soon as nothing is out */
    bool invalid;  /* we invalidated it */
};

struct bh_neighbor {
    struct bh_object object;
    NEIGHBOR_OFFLOAD_STATE_CONST constant;
    NEIGHBOR_OFFLOAD_STATE_CACHED cached;
    NEIGHBOR_OFFLOAD_STATE_DELEGATED delegated;
    ULONG age;        /* what reachability queries are answered with, ticks */
    unsigned queries; /* of them, so far */
};

struct bh_path {
    struct bh_object object;
    bool ipv6;
    UCHAR source[16], destination[16];
    PATH_OFFLOAD_STATE_CACHED cached;
};

/* An NBL of ours, its memory, and what became of it. NBL.ProtocolReserved[0] points here. */
struct bh_data {
    struct list link; /* conn.sends or conn.posts; by itself otherwise */
    struct bad_host *host;
    struct bh_conn *conn;
    NET_BUFFER_LIST *nbl;
    NET_BUFFER *first;
    ULONG seq, length;
    bool at_home; /* a send that came back unsent: it goes with the next initiate */
    bool done;
    NDIS_STATUS status;
    ULONG transferred, consumed; /* consumed: acknowledged bytes before the last upload */
    UCHAR bytes[];
};

struct bh_conn {
    struct bh_object object;
    TCP_OFFLOAD_STATE_CONST constant;
    TCP_OFFLOAD_STATE_CACHED cached;
    TCP_OFFLOAD_STATE_DELEGATED state;
    USHORT port;

    ULONG send_seq;                   /* next byte to be sent */
    struct list sends;                /* in order, those that have not come to an end */
    ULONG acked;                      /* bytes of sends that succeeded */
    unsigned sent, aborted, uploaded; /* completions by status */
    struct bh_data *close;
    NDIS_STATUS close_status;
    unsigned closes;

    ULONG receive_seq; /* next byte the application gets */
    struct list posts;
    unsigned received, invalid_state, receives_aborted, receives_uploaded;
    ULONG last_received; /* bytes of the last receive completion */
    ULONG take;          /* of an indication: so many bytes; 0: none */
    unsigned indications, refusals;
    ULONG repost;                              /* post so much whenever a receive completes */
    void (*on_indicate)(struct bh_conn *conn); /* called inside the indication, once */
    unsigned forwarded;

    unsigned events[5];   /* by type */
    unsigned reasons[12]; /* of retrieves */
    ULONG backlog;
    NDIS_STATUS initiated, terminated; /* status of the last one */
};

/* ---- state operations ---- */

enum bh_operation { BH_INITIATE, BH_TERMINATE, BH_UPDATE, BH_INVALIDATE, BH_QUERY };

struct bh_block {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    UCHAR states[NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CONST) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CACHED) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_DELEGATED)] __attribute__((aligned(8)));
    unsigned layer;            /* enum bh_kind of what stands here */
    struct bh_object *object;  /* NULL: placeholder */
    NET_BUFFER_LIST *buffered; /* BufferedData that went with it */
    bool fresh;                /* a new offload */
};

/* Kept until the host goes, so that a target that touches old trees touches our memory. */
struct bh_op {
    struct list link; /* host.operations */
    struct bad_host *host;
    enum bh_operation operation;
    struct bh_block blocks[BH_BLOCKS];
    unsigned count;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root;
    bool out, done;
    unsigned completions;
};

struct bad_host {
    NDIS_HANDLE protocol, binding, bind_context;
    NDIS_HANDLE pool, nb_pool; /* of NBLs with a buffer; of further buffers */
    NDIS_HANDLE work, timer;
    NDIS_SPIN_LOCK lock;
    bool work_queued, work_wanted;
    bool running;
    PNET_PNP_EVENT_NOTIFICATION pause; /* its completion is owed */
    bool has_chimney;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    bool offload_paused, upload_all;

    struct list objects, operations;
    struct bh_conn *sending, *posting; /* the call is on the stack */
    unsigned out;                      /* state operations */
    unsigned nbls_out;                 /* sends, posts, disconnects, forwards */
    unsigned frames_out;               /* regular sends */
    NET_BUFFER_LIST *held[BH_HELD_MAX];
    unsigned held_count;
    bool keep; /* accepted NBLs are returned when the scenario says so, not at once */

    NDIS_OID_REQUEST request; /* one at a time */
    NDIS_DEVICE_POWER_STATE power;
    bool request_out;
    NDIS_STATUS request_status;

    /* ---- orders ---- */
    bool pend_bind;                       /* the bind is completed by the work item */
    bool let_live;                        /* what has to go stays for the moment */
    NDIS_DEVICE_POWER_STATE power_wanted; /* asked for once everything is home */

    /* ---- what happened ---- */
    ULONG wrong; /* bytes, counts and states that were not what they should be */
    unsigned frames, frames_sent, statuses, beats, restarts;
};

NDIS_STATUS bad_host_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath);
/* What is left when the driver is unloaded: operations and objects. */
void bh_fini(struct bad_host *host);
void bh_init(struct bad_host *host);

/* ---- objects: the host keeps and frees them ---- */
struct bh_neighbor *bh_neighbor_create(struct bad_host *host, UCHAR last);
struct bh_path *bh_path_create(struct bad_host *host, struct bh_neighbor *neighbor, bool ipv6);
struct bh_conn *bh_conn_create(struct bad_host *host, struct bh_path *path, USHORT port);

/* ---- state operations ---- */
struct bh_op *bh_op_create(struct bad_host *host, enum bh_operation operation);
/*
 * Adds a block under parent, as its last dependent; parent NULL: as the root, or its last sibling.
 * object NULL: a placeholder. Roles and states follow from the operation and from where the object
 * is.
 */
struct bh_block *bh_op_add(struct bh_op *op, struct bh_block *parent, struct bh_object *object);
/* The same with this type and the states it implies. */
struct bh_block *bh_op_add_type(struct bh_op *op, struct bh_block *parent, struct bh_object *object,
                                UCHAR type);
void bh_op_start(struct bh_op *op);
/* Mutations only (bad_host_wrong.c): of a tree before it goes, and of one that is out. */
void bh_spoil_op(struct bh_op *op);
void bh_spoil_outstanding(struct bh_op *op);
void bh_spoil_send(NET_BUFFER_LIST *nbl);
/* Of a block that carries them. */
PVOID bh_state(struct bh_block *block, unsigned index);

/* Short forms: neighbor → path → conn, whatever is not down yet; and its terminate, with path and
 * neighbor as placeholders. */
struct bh_op *bh_offload(struct bh_conn *conn);
struct bh_op *bh_upload(struct bh_conn *conn);
/* Everything, in one tree. NULL: nothing is down, or something is still out. */
struct bh_op *bh_upload_all(struct bad_host *host);

/* ---- data ---- */
/* A list of `count` NBLs of `buffers` NET_BUFFERs each, `bytes` in every buffer. */
void bh_send(struct bh_conn *conn, unsigned count, unsigned buffers, ULONG bytes);
/* prefilled: bytes that are there already. */
struct bh_data *bh_post(struct bh_conn *conn, ULONG bytes, bool no_push, ULONG prefilled);
/* Several requests of so many bytes in one list. */
void bh_post_list(struct bh_conn *conn, unsigned count, ULONG bytes);
void bh_disconnect(struct bh_conn *conn, ULONG bytes, ULONG flags);
/* The next bytes of the peer's stream as a TCP segment. */
void bh_forward(struct bh_conn *conn, ULONG bytes);
void bh_return_all(struct bad_host *host);
/* Unsent bytes for the next initiate: [SndUna, SndNxt) sent, the rest not. */
void bh_prepare_sends(struct bh_conn *conn, unsigned count, ULONG bytes, ULONG in_flight);
void bh_frames_send(struct bad_host *host, unsigned count);

/* ---- requests ---- */
/* The answer, or PENDING: request_out until it came, then request_status. */
NDIS_STATUS bh_query_oid(struct bad_host *host, NDIS_OID oid, PVOID buffer, UINT size);
NDIS_STATUS bh_set_oid(struct bad_host *host, NDIS_OID oid, PVOID buffer, UINT size);
NDIS_STATUS bh_set_parameters(struct bad_host *host);
/* Brings everything home, then asks for this power state. */
void bh_power(struct bad_host *host, NDIS_DEVICE_POWER_STATE state);

/* ---- between the files of the host ---- */
void bh_kick(struct bad_host *host);
struct bh_data *bh_data_create(struct bh_conn *conn, struct bad_host *host, unsigned buffers,
                               ULONG bytes, ULONG prefix);
void bh_data_destroy(struct bh_data *data);
/* The chain for an initiate: what came home unsent. */
void bh_sends_take(struct bh_conn *conn, struct stream_chain *chain);
/* A chain that came back from a terminate. */
void bh_sends_back(struct bh_conn *conn, NET_BUFFER_LIST *chain);
void bh_buffered_take(struct bh_conn *conn, NET_BUFFER_LIST *list);
/* BufferedData for an initiate: what the application has not taken. */
NET_BUFFER_LIST *bh_buffered_make(struct bh_conn *conn);
void bh_buffered_free(struct bad_host *host, NET_BUFFER_LIST *list);

INITIATE_OFFLOAD_COMPLETE_HANDLER_FN bh_initiate_complete;
TERMINATE_OFFLOAD_COMPLETE_HANDLER_FN bh_terminate_complete;
UPDATE_OFFLOAD_COMPLETE_HANDLER_FN bh_update_complete;
INVALIDATE_OFFLOAD_COMPLETE_HANDLER_FN bh_invalidate_complete;
QUERY_OFFLOAD_COMPLETE_HANDLER_FN bh_query_complete;
INDICATE_OFFLOAD_EVENT_HANDLER_FN bh_offload_event;
TCP_OFFLOAD_SEND_COMPLETE_HANDLER_FN bh_send_complete;
TCP_OFFLOAD_RECEIVE_COMPLETE_HANDLER_FN bh_receive_complete;
TCP_OFFLOAD_DISCONNECT_COMPLETE_HANDLER_FN bh_disconnect_complete;
TCP_OFFLOAD_FORWARD_COMPLETE_HANDLER_FN bh_forward_complete;
TCP_OFFLOAD_EVENT_HANDLER_FN bh_event;
TCP_OFFLOAD_RECEIVE_INDICATE_HANDLER_FN bh_indicate;
PROTOCOL_RECEIVE_NET_BUFFER_LISTS bh_receive_frames;
PROTOCOL_SEND_NET_BUFFER_LISTS_COMPLETE bh_frames_sent;

#endif
