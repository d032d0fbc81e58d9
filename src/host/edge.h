/*
 * What stands behind struct host, its bindings and its connections. Private to src/host and its
 * tests.
 *
 *   host ── binding ─┬─ neighbor ── path ── connection      references point from right to left
 *                    └─ queue of initiates, one in flight
 */
#ifndef HOST_EDGE_H
#define HOST_EDGE_H

#include "host/host.h"

struct host {
    char name[32];
    const struct host_ops *ops;
    void *arg;
    NDIS_HANDLE protocol; /* NdisProtocolHandle; NULL: not registered */
    NDIS_HANDLE pool;
    struct list bindings;
    struct host_tuning tuning;
};

/* HOST_BINDING_EDGE(from, to) */
#define HOST_BINDING_STATES(X) X(OPENING) X(PAUSED) X(RESTARTING) X(RUNNING) X(PAUSING) X(CLOSING)
#define HOST_BINDING_EDGES(X)                                                                      \
    X(OPENING, PAUSED)                                                                             \
    X(PAUSED, RESTARTING)                                                                          \
    X(RESTARTING, RUNNING)                                                                         \
    X(RUNNING, PAUSING)                                                                            \
    X(PAUSING, PAUSED)                                                                             \
    X(PAUSED, CLOSING)
#define HOST_BINDING_ENUM(name) HOST_BINDING_##name,
enum host_binding_state { HOST_BINDING_STATES(HOST_BINDING_ENUM) HOST_BINDING_STATE_COUNT };

struct host_binding {
    struct list link; /* of the host */
    struct host *host;
    enum host_binding_state state;
    NDIS_HANDLE handle;
    NDIS_HANDLE pending;               /* bind or unbind context while one of them is unanswered */
    NET_PNP_EVENT_NOTIFICATION *event; /* pause, restart or power, unanswered */
    NDIS_HANDLE work;                  /* carries out a restart, and answers events */
    char adapter[64];
    bool chimney; /* capabilities hold something */
    bool offload_paused;
    bool uploading; /* UPLOAD_ALL was said, and no RESUME since */
    bool low_power; /* the adapter has none, or is about to lose it */
    bool answering; /* the work item that answers an event is queued */
    bool quiet;     /* pausing: the host stack says that it has finished */
    bool draining;  /* host_binding_drain is on the call stack */
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS parameters;
    NDIS_OID_REQUEST request;
    void *user;
    struct list neighbors, paths;
    struct list conns;                 /* every connection that is not the host stack's */
    ULONG conn_count;                  /* of them */
    struct list queue;                 /* operations: initiates that wait */
    struct host_operation *initiating; /* the one in flight */
    unsigned frames_out;               /* sent, not completed */
    unsigned operations;               /* block lists in flight */
    bool querying;                     /* an OID query of ours is in flight */
};

/* ---- shared objects ---- */

#define HOST_OBJECT_STATES(X) X(ABSENT) X(INITIATING) X(OFFLOADED) X(TERMINATING)
#define HOST_OBJECT_EDGES(X)                                                                       \
    X(ABSENT, INITIATING)                                                                          \
    X(INITIATING, OFFLOADED)                                                                       \
    X(INITIATING, ABSENT)                                                                          \
    X(OFFLOADED, TERMINATING)                                                                      \
    X(TERMINATING, ABSENT)
#define HOST_OBJECT_ENUM(name) HOST_OBJECT_##name,
enum host_object_state { HOST_OBJECT_STATES(HOST_OBJECT_ENUM) HOST_OBJECT_STATE_COUNT };

/* What a neighbor and a path have in common. */
struct host_object {
    NDIS_OFFLOAD_HANDLE handle;
    enum host_object_state state;
    unsigned refs;                /* paths of a neighbor, connections of a path */
    bool updating;                /* a block list that updates or invalidates it is in flight */
    bool invalid;                 /* for nobody new */
    struct host_operation *spare; /* memory to take it back with: that must not fail */
};

struct host_neighbor {
    struct host_object object; /* first: events name it by its handle */
    struct list link;
    struct host_binding *binding;
    UCHAR source_mac[6], destination_mac[6];
    USHORT vlan_id;
};

struct host_path {
    struct host_object object;
    struct list link;
    struct host_neighbor *neighbor;
    bool ipv6;
    UCHAR source[16], destination[16];
    ULONG mtu;
    ULONG mtu_due; /* a smaller one, known to a connection that came later; 0 */
};

/* The path (with its neighbor) that route needs, with one more reference; NULL: out of memory. */
struct host_path *host_path_get(struct host_binding *binding, const struct host_route *route);
/* One reference less; the last one takes the objects back, or frees them. */
void host_path_put(struct host_path *path);
/* The target hears of a smaller MTU that is due, as soon as that is possible. */
void host_path_tell_mtu(struct host_path *path);
/* True while the path or its neighbor is on its way up: nothing may name them. */
bool host_path_moving(const struct host_path *path);
/* Takes objects that nothing uses any more back; harmless otherwise. */
void host_path_sweep(struct host_path *path);
void host_neighbor_sweep(struct host_neighbor *neighbor);

/* ---- block lists ---- */

/* Three nodes and everything an initiate carries. */
#define HOST_OPERATION_BYTES (1024 + sizeof(TCP_OFFLOAD_STATE_EXTENSION))

/* One block list and all its memory. Owner: NDIS from the call to the completion; before and after,
 * ours. */
struct host_operation {
    struct list link; /* of the binding's queue */
    struct host_binding *binding;
    struct host_conn *conn;         /* NULL: objects only */
    struct host_path *path;         /* that it creates, ends or updates; NULL: only refers to it */
    struct host_neighbor *neighbor; /* likewise */
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root, *neighbor_block, *path_block, *tcp_block;
    struct host_initiate *what; /* of an initiate that waits; on the heap */
    size_t used;
    _Alignas(16) unsigned char memory[HOST_OPERATION_BYTES];
};

/* Room for a tree of three nodes with everything an initiate carries. NULL: out of memory. */
struct host_operation *host_operation_create(struct host_binding *binding);
void host_operation_destroy(struct host_operation *operation);
/* Forgets the tree and keeps the memory. */
void host_operation_reset(struct host_operation *operation);
/*
 * The next node, a dependent of the one added before. handle NULL: a placeholder. The state
 * structures that go with it are added right after it. Source: R-07.
 */
NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *host_block_add(struct host_operation *operation, ULONG type,
                                                 NDIS_OFFLOAD_HANDLE *handle);
/* A zeroed state structure, its header filled in. */
void *host_state_add(struct host_operation *operation, ULONG size);
/* The operation that a completed root belongs to. */
struct host_operation *host_operation_of(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root);

/* ---- steps ---- */

void host_object_set_state(struct host_object *object, enum host_object_state state,
                           const char *why);
void host_conn_set_state(struct host_conn *conn, enum host_conn_state state, const char *why);
void host_binding_set_state(struct host_binding *binding, enum host_binding_state state,
                            const char *why);
/* Starts the next waiting initiate if it may start. */
void host_initiate_next(struct host_binding *binding);
/* Answers every waiting initiate with status. */
void host_initiate_refuse(struct host_binding *binding, NDIS_STATUS status);
/* Goes on with a pause as far as possible; called after everything that it may be waiting for. */
void host_binding_drain(struct host_binding *binding);
/* Takes back objects that nothing uses; either may be NULL. */
void host_terminate_objects(struct host_path *path, struct host_neighbor *neighbor);
/* Terminates what can be terminated on this binding. */
void host_terminate_all(struct host_binding *binding);
/* The host stack's, if it listens. */
void host_upload_all(struct host_binding *binding);
/* Tells every connection over the path or neighbor that it has to come home. */
void host_upload_users(struct host_binding *binding, const struct host_path *path,
                       const struct host_neighbor *neighbor);
/* The answer to a request of host_query_oid that was pending. */
void host_query_oid_done(struct host_binding *binding, NDIS_OID_REQUEST *request);
/* The update that names a path and its new neighbor was answered. */
void host_relinked(struct host_operation *operation);
/* Remembers whose the NBLs are: completions do not say. */
void host_nbl_claim(struct host_conn *conn, NET_BUFFER_LIST *nbls);
typedef void host_nbl_fn(struct host_conn *conn, NET_BUFFER_LIST *nbl);
/* Hands each NBL of a completion to its connection; member: offset of the callback in struct
 * host_conn_ops. */
void host_nbl_deliver(NET_BUFFER_LIST *nbls, size_t member);

/* ---- callbacks, one file per operation ---- */

VOID host_initiate_complete(NDIS_HANDLE ProtocolBindingContext,
                            PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
VOID host_terminate_complete(NDIS_HANDLE ProtocolBindingContext,
                             PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
VOID host_update_complete(NDIS_HANDLE ProtocolBindingContext,
                          PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
VOID host_invalidate_complete(NDIS_HANDLE ProtocolBindingContext,
                              PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
VOID host_query_complete(NDIS_HANDLE ProtocolBindingContext,
                         PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList);
VOID host_offload_event(NDIS_HANDLE ProtocolBindingContext,
                        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode);
VOID host_send_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList);
VOID host_receive_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList);
VOID host_disconnect_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList);
VOID host_forward_complete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList);
VOID host_tcp_event(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation);
NDIS_STATUS host_receive_indicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList,
                                  NDIS_STATUS Status, PULONG BytesConsumed);

NDIS_STATUS host_bind(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
                      PNDIS_BIND_PARAMETERS BindParameters);
NDIS_STATUS host_unbind(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext);
VOID host_open_complete(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status);
VOID host_close_complete(NDIS_HANDLE ProtocolBindingContext);
NDIS_STATUS host_pnp_event(NDIS_HANDLE ProtocolBindingContext,
                           PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification);
VOID host_oid_complete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                       NDIS_STATUS Status);
VOID host_status(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication);
VOID host_frames(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferLists,
                 NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists, ULONG ReceiveFlags);
VOID host_frames_sent(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList,
                      ULONG SendCompleteFlags);

#endif
