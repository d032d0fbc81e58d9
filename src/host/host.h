/*
 * The protocol edge that every host stack in the tree shares (linux, script, later lwip):
 * registration, binding, building block-list trees, keeping neighbor and path objects, and sorting
 * completions back to connections. A host stack sits on top: it owns connections, this owns how
 * they cross NDIS.
 *
 * Threads: the loop of the house. Nothing blocks. Callbacks never come on the stack of the call
 * that asked for them, except on_indicate and on_event, which NDIS delivers synchronously.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "base/list.h"

#include <ndis.h>
#include <ndischimney.h>

struct host;
struct host_binding;
struct host_conn;
struct host_path;

/* ---- the driver and its bindings ---- */

struct host_ops {
    /* The binding is Running: capabilities are known, frames and offloads may go. */
    void (*on_running)(void *arg, struct host_binding *binding);
    /* The binding pauses or goes: terminate everything on it, then call host_binding_quiet. NULL:
     * the edge terminates by itself. */
    void (*on_leaving)(void *arg, struct host_binding *binding);
    /* Frames of the regular path, a list. The host stack owns them until host_return_frames. */
    void (*on_frames)(void *arg, struct host_binding *binding, NET_BUFFER_LIST *nbls);
    /* Frames sent with host_send_frames are done with, a list. */
    void (*on_frames_sent)(void *arg, struct host_binding *binding, NET_BUFFER_LIST *nbls);
    /* The target wants everything back, or is about to lose its power: every connection over it has
     * to come home soon. NULL: the edge terminates them. */
    void (*on_upload_all)(void *arg, struct host_binding *binding);
    /* Frames may take another way from now on: the adapter resumes after it wanted everything back,
     * or has a link again. May be NULL. */
    void (*on_moved)(void *arg, struct host_binding *binding);
};

/* DriverEntry; context of house_load is a struct host * from host_create. */
NDIS_STATUS host_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path);
/* Owner: ops and arg stay the caller's until host_destroy. NULL: out of memory. */
struct host *host_create(const char *name, const struct host_ops *ops, void *arg);
/* After the driver was unloaded. */
void host_destroy(struct host *host);
/* What targets are told of, with OID_TCP_CONNECTION_OFFLOAD_PARAMETERS: by bindings that start
 * afterwards. */
struct host_tuning {
    uint32_t delayed_ack_ms; /* 40 otherwise */
    uint8_t retransmissions; /* 15; how often until a connection is given up */
};
void host_tune(struct host *host, const struct host_tuning *tuning);
const struct host_tuning *host_tuned(const struct host *host);

const char *host_binding_adapter(const struct host_binding *binding);
const NDIS_TCP_CONNECTION_OFFLOAD *host_binding_capabilities(
    const struct host_binding *binding);                       /* NULL: no chimney */
bool host_binding_paused(const struct host_binding *binding);  /* OFFLOAD_PAUSE in force */
bool host_binding_running(const struct host_binding *binding); /* frames may go */
void host_binding_set_user(struct host_binding *binding, void *user);
void *host_binding_user(const struct host_binding *binding);
struct host_binding *host_find_binding(struct host *host, const char *adapter);
void host_binding_quiet(struct host_binding *binding);

/*
 * Asks the adapter (a query OID), at once. Owner: buffer is the caller's, filled only on 0.
 * Context: the loop; does not wait. -EAGAIN: the answer will come too late and is thrown away, ask
 * again; -EBUSY: one like that is still under way; -ENETDOWN: not Running; -EOPNOTSUPP: nobody
 * below answers it; -EMSGSIZE: the answer has another length; -EIO; -ENOMEM.
 */
int host_query_oid(struct host_binding *binding, ULONG oid, void *buffer, ULONG length);

/* Regular path. Owner: the NBLs are NDIS's until on_frames_sent. */
void host_send_frames(struct host_binding *binding, NET_BUFFER_LIST *nbls);
void host_return_frames(struct host_binding *binding, NET_BUFFER_LIST *nbls);

/* ---- connections ---- */

/* Where a connection leads: enough for its neighbor and path objects, which connections share. */
struct host_route {
    bool ipv6;
    UCHAR source[16], destination[16]; /* 4 or 16 bytes, network order */
    UCHAR source_mac[6];               /* all zero: the adapter's */
    UCHAR destination_mac[6];
    ULONG path_mtu;
    USHORT vlan_id;
};

struct host_initiate_result {
    NDIS_STATUS neighbor, path, tcp; /* of the nodes of this tree; SUCCESS for placeholders */
};

struct host_terminate_result {
    NDIS_STATUS status;
    TCP_OFFLOAD_STATE_DELEGATED delegated; /* valid on SUCCESS */
    NET_BUFFER_LIST *sends;    /* returned sends, posting order; the host stack's again */
    NET_BUFFER_LIST *buffered; /* received, not delivered; give back with host_receive_return */
    TCP_OFFLOAD_STATE_EXTENSION extension; /* Version 0: none */
};

/* What a connection's owner wants to hear. No member may be NULL (host_ignore_… and
 * host_refuse_indication fill the gaps). */
struct host_conn_ops {
    void (*on_initiated)(struct host_conn *conn, const struct host_initiate_result *result);
    void (*on_terminated)(struct host_conn *conn, const struct host_terminate_result *result);
    void (*on_updated)(struct host_conn *conn, NDIS_STATUS status);
    void (*on_queried)(struct host_conn *conn, NDIS_STATUS status,
                       const TCP_OFFLOAD_STATE_DELEGATED *delegated);
    /* One NBL each; Status and TcpOffloadBytesTransferred are set; it is the owner's again. */
    void (*on_sent)(struct host_conn *conn, NET_BUFFER_LIST *nbl);
    void (*on_received)(struct host_conn *conn, NET_BUFFER_LIST *nbl);
    void (*on_disconnected)(struct host_conn *conn, NET_BUFFER_LIST *nbl);
    void (*on_forwarded)(struct host_conn *conn, NET_BUFFER_LIST *nbl);
    /* SUCCESS: the NBL is the owner's until host_receive_return; otherwise as documented, with
     * *consumed. */
    NDIS_STATUS (*on_indicate)(struct host_conn *conn, NET_BUFFER_LIST *nbl, ULONG *consumed);
    /* TcpIndicate…, with the upload reason or other information. */
    void (*on_event)(struct host_conn *conn, ULONG type, ULONG info);
};

/* For struct host_conn_ops: what a host stack does not want to hear of. The last one refuses
 * everything. */
void host_ignore_status(struct host_conn *conn, NDIS_STATUS status);
void host_ignore_queried(struct host_conn *conn, NDIS_STATUS status,
                         const TCP_OFFLOAD_STATE_DELEGATED *delegated);
void host_ignore_nbl(struct host_conn *conn, NET_BUFFER_LIST *nbl);
void host_ignore_event(struct host_conn *conn, ULONG type, ULONG info);
NDIS_STATUS host_refuse_indication(struct host_conn *conn, NET_BUFFER_LIST *nbl, ULONG *consumed);

/* HOST: the host stack's; QUEUED: waits for another initiate on the same binding. */
#define HOST_CONN_STATES(X) X(HOST) X(QUEUED) X(INITIATING) X(OFFLOADED) X(TERMINATING)
#define HOST_CONN_EDGES(X)                                                                         \
    X(HOST, QUEUED)                                                                                \
    X(QUEUED, INITIATING)                                                                          \
    X(QUEUED, HOST)                                                                                \
    X(INITIATING, OFFLOADED)                                                                       \
    X(INITIATING, HOST)                                                                            \
    X(OFFLOADED, TERMINATING)                                                                      \
    X(TERMINATING, HOST)
#define HOST_CONN_ENUM(name) HOST_CONN_##name,
enum host_conn_state { HOST_CONN_STATES(HOST_CONN_ENUM) HOST_CONN_STATE_COUNT };

/* Embedded in the host stack's own connection. Owner: the caller; must stay until state is HOST
 * again. */
struct host_conn {
    NDIS_OFFLOAD_HANDLE handle;
    enum host_conn_state state;
    struct host_binding *binding;
    struct host_path *path;
    const struct host_conn_ops *ops;
    struct list link;
    unsigned updates, queries; /* in flight */
    bool extended;             /* handed down with TCP_FLAG_STATE_EXTENDED */
    void *operation;           /* the block list in flight */
};

void host_conn_init(struct host_conn *conn, const struct host_conn_ops *ops);

/* Everything of the TCP node of an initiate. Headers are filled in by the edge; the rest is the
 * host stack's. */
struct host_initiate {
    struct host_route route;
    TCP_OFFLOAD_STATE_CONST constant;
    TCP_OFFLOAD_STATE_CACHED cached;
    TCP_OFFLOAD_STATE_DELEGATED delegated; /* SendDataHead/Tail and BufferedData included */
    NET_BUFFER_LIST *sends;                /* NetBufferListChain */
    TCP_OFFLOAD_STATE_EXTENSION extension; /* with TCP_FLAG_STATE_EXTENDED in the const Flags */
};

/*
 * Hands a connection down: a tree of a new or existing neighbor, path and this TCP object. The
 * answer is on_initiated. Initiates on one binding go one at a time, in order. 0; -EBUSY: not in
 * state HOST; -EAGAIN: offload is paused; -EOPNOTSUPP: no chimney here; -ENOSPC: the target has no
 * room; -ENOMEM. On a negative return nothing has happened.
 */
int host_initiate(struct host_conn *conn, struct host_binding *binding,
                  const struct host_initiate *what);
/* Takes it back; also takes the path and the neighbor when nothing else uses them. 0; -EBUSY: not
 * OFFLOADED, or an update or query is in flight. */
int host_terminate(struct host_conn *conn);
/* Cached state; at most one in flight (-EBUSY). */
int host_update(struct host_conn *conn, const TCP_OFFLOAD_STATE_CACHED *cached);
int host_query(struct host_conn *conn);
/* Route changes of every connection over a path or neighbor. */
int host_update_neighbor(struct host_binding *binding, const UCHAR old_mac[6],
                         const UCHAR new_mac[6]);
int host_update_path_mtu(struct host_conn *conn, ULONG path_mtu);

/* The connection's path leads over the neighbor with this link address. 0, also if it does already;
 * -ENOENT: the target does not have that one; -EBUSY, -ENOMEM: as host_invalidate. */
int host_relink(struct host_conn *conn, const UCHAR mac[6]);
/* What stands on the connection's path, or on its neighbor, is to come home: on_event tells each of
 * them (Retrieve, InvalidState), and whoever goes down later gets other objects. 0, also if it is
 * so already; -EBUSY: the connection is not OFFLOADED, or the object is named by a block list;
 * -ENOMEM. */
int host_invalidate(struct host_conn *conn, bool neighbor);

/* I/O on an OFFLOADED connection. Owner: NDIS's until the completion. ProtocolReserved[0] of each
 * NBL is the edge's. */
void host_send(struct host_conn *conn, NET_BUFFER_LIST *nbls);
void host_receive(struct host_conn *conn, NET_BUFFER_LIST *nbls);
void host_disconnect(struct host_conn *conn, NET_BUFFER_LIST *nbl, ULONG flags);
void host_forward(struct host_conn *conn, NET_BUFFER_LIST *nbls);
void host_receive_return(struct host_conn *conn, NET_BUFFER_LIST *nbls);

/* A pool of NBLs with one NB each, and plain buffers around bytes that belong to somebody else. */
NDIS_HANDLE host_nbl_pool(struct host *host);
/* An NBL over one or two stretches of memory (bytes stay the caller's); len 0: an empty one. NULL:
 * out of memory. */
NET_BUFFER_LIST *host_nbl_create(struct host *host, void *bytes, ULONG len, void *more,
                                 ULONG more_len);
/* The same over one stretch in MDLs of piece bytes, the first of which begins around bytes earlier
 * and the last of which ends so much later: that memory is the caller's, too. len is not 0. */
NET_BUFFER_LIST *host_nbl_create_scattered(struct host *host, void *bytes, ULONG len, ULONG around,
                                           ULONG piece);
/* Frees the NBL and its MDLs, not the bytes. */
void host_nbl_destroy(NET_BUFFER_LIST *nbl);

#endif
