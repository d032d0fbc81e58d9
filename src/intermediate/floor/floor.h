/*
 * What every intermediate driver needs before it does something: a MUX driver with one virtual
 * adapter on each adapter it is bound to, both edges, and a default for every handler, which passes
 * on. A driver is a struct floor_kind: it names the handlers that it overrides and how much memory
 * of its own it wants per adapter and per offloaded object.
 *
 * Threads: one, the loop's.
 */
#ifndef INTERMEDIATE_FLOOR_FLOOR_H
#define INTERMEDIATE_FLOOR_FLOOR_H

#include <ndis.h>
#include <ndischimney.h>

#include "base/list.h"

#define FLOOR_TAG 0x75726874u
#define FLOOR_NAME_SIZE 64

struct floor_adapter;
struct floor_call;
struct floor_offload;

/* Everything that NDIS calls, on both edges. */
struct floor_handlers {
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS miniport;
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS protocol;
    bool deaf; /* the tables below are not registered: no chimney through here (P30) */
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS provider;
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS provider_tcp;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS client;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS client_tcp;
};

/* What is a driver's own. Whatever is zero or NULL is as it is for passthru. */
struct floor_kind {
    const char *name; /* for logs */
    NDIS_STRING protocol_name;
    size_t adapter_bytes; /* of a structure that begins with a struct floor_adapter */
    size_t offload_bytes; /* … with a struct floor_offload */
    /* Puts handlers of its own in the place of defaults, which it may call. */
    void (*override)(struct floor_handlers *handlers);
    /* The virtual adapter, handle, is being initialised: its options can be read, adapter->general
     * and adapter->capabilities still be changed. Anything but SUCCESS: it does not stand; close is
     * not called then. */
    NDIS_STATUS (*open)(struct floor_adapter *adapter, NDIS_HANDLE handle);
    /* It is halted; nothing is under way through it any more. */
    void (*close)(struct floor_adapter *adapter);
    /* A tree is about to go down; it has our handles already. Changes of VlanId and UserPriority
     * are the driver's to undo in tree_up. */
    void (*tree_down)(struct floor_adapter *adapter, struct floor_call *call);
    /* It has come up and is as it was given to us, but for what the driver below wrote. */
    void (*tree_up)(struct floor_adapter *adapter, struct floor_call *call);
    /* Instead of floor_pass_down, for one that passes down something else: it owes a
     * FloorOffloadComplete with this root, later, or a floor_take_back. */
    void (*pass_down)(struct floor_adapter *adapter, struct floor_call *call,
                      PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root);
    /* An offload entry was made, is about to go. */
    void (*offload_made)(struct floor_offload *entry);
    void (*offload_gone)(struct floor_offload *entry);
    /* Something that was under way is over. */
    void (*settle)(struct floor_adapter *adapter);
    /* From the work item, at PASSIVE_LEVEL (floor_queue_work). */
    void (*work)(struct floor_adapter *adapter);
};

struct floor_driver {
    const struct floor_kind *kind;
    struct floor_handlers handlers;
    NDIS_HANDLE miniport; /* upper edge */
    NDIS_HANDLE protocol; /* lower edge */
};

/* X(name): OPENING the adapter below; WAITING for MiniportInitializeEx; STANDING: both edges are
 * there; CLOSING. */
#define FLOOR_STATES(X) X(OPENING) X(WAITING) X(STANDING) X(CLOSING)
#define FLOOR_EDGES(X)                                                                             \
    X(OPENING, WAITING)                                                                            \
    X(OPENING, CLOSING)                                                                            \
    X(WAITING, STANDING)                                                                           \
    X(WAITING, CLOSING)                                                                            \
    X(STANDING, WAITING)
#define FLOOR_STATE_ENUM(name) FLOOR_##name,
enum floor_state { FLOOR_STATES(FLOOR_STATE_ENUM) FLOOR_STATE_COUNT };

/* One binding and the virtual adapter on it. Lives from bind to the end of the close. */
struct floor_adapter {
    struct floor_driver *driver;
    enum floor_state state;
    NDIS_HANDLE lower; /* binding handle; valid from the open to the close */
    NDIS_HANDLE upper; /* miniport handle; NULL: the virtual adapter does not stand */
    bool lower_running, upper_running;
    NDIS_TCP_OFFLOAD_EVENT_HANDLERS events;

    /* What the adapter below said when we were bound, and since. */
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES general;
    bool has_chimney;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    bool stopped_below; /* its OFFLOAD_PAUSE or UPLOAD_ALL is in force */
    bool stopped_here;  /* ours is */

    /* What is under way; a pause waits for it. */
    ULONG calls;                       /* state operations */
    ULONG objects;                     /* offload entries */
    ULONG frames_down;                 /* NBLs sent, not completed */
    ULONG frames_up;                   /* NBLs indicated, not returned */
    bool upper_pausing;                /* NdisMPauseComplete is owed */
    PNET_PNP_EVENT_NOTIFICATION pause; /* its NdisCompleteNetPnPEvent is owed; NULL: none */
    NDIS_HANDLE bind, unbind;          /* context of the answer owed; NULL: none */
    NDIS_EVENT halted;

    /* What is for PASSIVE_LEVEL, and state operations that found no memory: the work item goes on
     * with them. */
    NDIS_HANDLE work;
    bool work_queued;
    /* Linked by Scratch[0]; Scratch[1]: the operation. */
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST put_off;

    NDIS_OID_REQUEST request;   /* the one that is below */
    PNDIS_OID_REQUEST original; /* what it was made from; NULL: none */

    NDIS_STRING instance; /* of the virtual adapter */
    WCHAR instance_text[FLOOR_NAME_SIZE];
    char name[FLOOR_NAME_SIZE]; /* the same, for logs */
};

/* Per offloaded object: the way up and the way down. Lives as long as the offload. */
struct floor_offload {
    struct floor_adapter *adapter;
    NDIS_HANDLE upper;         /* NdisOffloadHandle of the driver above */
    NDIS_OFFLOAD_HANDLE lower; /* ours, for the driver below */
};

enum floor_operation {
    FLOOR_INITIATE,
    FLOOR_TERMINATE,
    FLOOR_UPDATE,
    FLOOR_QUERY,
    FLOOR_INVALIDATE
};

/* Per state operation. One node per block, in the order of the walk. */
struct floor_call {
    enum floor_operation operation;
    UINT bytes;
    ULONG count;
    struct floor_node {
        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
        PVOID *cell;                 /* MiniportOffloadContext; NULL: placeholder */
        NDIS_HANDLE handle;          /* NdisOffloadHandle */
        PVOID reserved[2];           /* ImReserved */
        PVOID source;                /* SourceHandle */
        struct floor_offload *entry; /* NULL: placeholder */
        bool fresh;                  /* entry was made for this operation */
        ULONG kept;                  /* the driver's, between tree_down and tree_up */
    } nodes[];
};

/* ---- binding.c, adapter.c: the two edges ---- */
PROTOCOL_BIND_ADAPTER_EX FloorBindAdapterEx;
PROTOCOL_UNBIND_ADAPTER_EX FloorUnbindAdapterEx;
PROTOCOL_OPEN_ADAPTER_COMPLETE_EX FloorOpenAdapterCompleteEx;
PROTOCOL_CLOSE_ADAPTER_COMPLETE_EX FloorCloseAdapterCompleteEx;
PROTOCOL_NET_PNP_EVENT FloorNetPnPEvent;

MINIPORT_INITIALIZE FloorInitializeEx;
MINIPORT_HALT FloorHaltEx;
MINIPORT_PAUSE FloorPause;
MINIPORT_RESTART FloorRestart;
MINIPORT_DEVICE_PNP_EVENT_NOTIFY FloorDevicePnPEventNotify;
MINIPORT_SHUTDOWN FloorShutdownEx;

/* For drivers that bind in another way: the parts of a bind and an unbind. */
struct floor_adapter *floor_adapter_create(struct floor_driver *driver,
                                           PNDIS_BIND_PARAMETERS parameters);
/* Takes the name of the virtual adapter; false: there is none, or it does not fit. */
bool floor_adapter_name(struct floor_adapter *adapter, const NDIS_STRING *section);
void floor_adapter_destroy(struct floor_adapter *adapter);
/* Asks NDIS for the virtual adapter, once a binding is open. */
NDIS_STATUS floor_announce(struct floor_adapter *adapter);
/* The virtual adapter goes, or is not asked for any more. */
void floor_withdraw(struct floor_adapter *adapter);

void floor_set_state(struct floor_adapter *adapter, enum floor_state to, const char *why);
/* Gives the answers that are owed and that nothing under way delays any more. */
void floor_settle(struct floor_adapter *adapter);
/* From the work item: that to a pause of the lower binding. */
void floor_answer_pause(struct floor_adapter *adapter);

/* ---- request.c, status.c, frames.c ---- */
MINIPORT_OID_REQUEST FloorOidRequest;
MINIPORT_CANCEL_OID_REQUEST FloorCancelOidRequest;
PROTOCOL_OID_REQUEST_COMPLETE FloorOidRequestComplete;

PROTOCOL_STATUS_EX FloorStatusEx;
/* Indicates a status of our own: code, with the capabilities when it is OFFLOAD_RESUME. */
void floor_indicate(struct floor_adapter *adapter, NDIS_STATUS code);

/* Frames through one of several bindings, lower (NULL: none, they are refused), and from it;
 * counted: is raised by how many, before they go on. NULL: nobody counts. */
void floor_send_frames(struct floor_adapter *adapter, NDIS_HANDLE lower, PNET_BUFFER_LIST nbls,
                       NDIS_PORT_NUMBER port, ULONG flags, ULONG *counted);
void floor_receive_frames(struct floor_adapter *adapter, NDIS_HANDLE lower, PNET_BUFFER_LIST nbls,
                          NDIS_PORT_NUMBER port, ULONG flags, ULONG *counted);
/* The binding that a frame went to, or came from, while it is on its way. */
NDIS_HANDLE floor_frame_lower(PNET_BUFFER_LIST nbl);
MINIPORT_SEND_NET_BUFFER_LISTS FloorSendNetBufferLists;
MINIPORT_CANCEL_SEND FloorCancelSend;
MINIPORT_RETURN_NET_BUFFER_LISTS FloorReturnNetBufferLists;
PROTOCOL_SEND_NET_BUFFER_LISTS_COMPLETE FloorSendNetBufferListsComplete;
PROTOCOL_RECEIVE_NET_BUFFER_LISTS FloorReceiveNetBufferLists;

/* ---- tree.c ---- */

/*
 * Turns a tree from above into one for below: saves what is restored later and puts our handles in.
 * NULL: out of memory; the tree is as it was and completes later, failed; a terminate, which cannot
 * fail without losing the objects below, is tried again. Owner: the tree is the lower driver's once
 * it has been passed down.
 */
struct floor_call *floor_tree_down(struct floor_adapter *adapter,
                                   PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
                                   enum floor_operation operation);
/*
 * Instead of passing a tree down: it completes later, failed as a whole (V-166). Until this call's
 * caller has returned, statuses may still be made more telling. Not for a terminate.
 */
void floor_fail(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
                enum floor_operation operation);
/*
 * What floor_tree_down has taken does not go down after all, for want of memory: the tree is as it
 * was, and it goes on as if floor_tree_down had found none.
 */
void floor_take_back(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root);
/* Restores the tree for above; afterwards nodes[].block is valid until the tree is completed. */
struct floor_call *floor_tree_up(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root);
/* After the completion. After a terminate the objects are gone as well. */
void floor_call_end(struct floor_adapter *adapter, struct floor_call *call);
void floor_offload_free(struct floor_offload *entry);
NDIS_IO_WORKITEM_FUNCTION floor_catch_up;
void floor_queue_work(struct floor_adapter *adapter);

static inline struct floor_offload *
floor_offload_of(PVOID handle)
{
    return container_of(handle, struct floor_offload, lower);
}

/* ---- state.c: the five operations ---- */
void floor_down(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
                enum floor_operation operation);
/* The rest of it, for a driver that has called floor_tree_down itself. Each node's parent is in its
 * Scratch[0] between the two. */
void floor_pass_down(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
                     enum floor_operation operation);
/* The same through another binding, lower. */
void floor_pass_down_to(NDIS_HANDLE lower, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
                        enum floor_operation operation);
/* Upwards, through the function that belongs to the operation. */
void floor_complete(struct floor_adapter *adapter, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
                    enum floor_operation operation);
W_INITIATE_OFFLOAD_HANDLER_FN FloorInitiateOffload;
W_TERMINATE_OFFLOAD_HANDLER_FN FloorTerminateOffload;
W_UPDATE_OFFLOAD_HANDLER_FN FloorUpdateOffload;
W_QUERY_OFFLOAD_HANDLER_FN FloorQueryOffload;
W_INVALIDATE_OFFLOAD_HANDLER_FN FloorInvalidateOffload;
INITIATE_OFFLOAD_COMPLETE_HANDLER_FN FloorOffloadComplete;

/* ---- data and events: one file each ---- */
W_TCP_OFFLOAD_SEND_HANDLER_FN FloorTcpOffloadSend;
TCP_OFFLOAD_SEND_COMPLETE_HANDLER_FN FloorTcpOffloadSendComplete;
W_TCP_OFFLOAD_RECEIVE_HANDLER_FN FloorTcpOffloadReceive;
W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER_FN FloorTcpOffloadReceiveReturn;
TCP_OFFLOAD_RECEIVE_COMPLETE_HANDLER_FN FloorTcpOffloadReceiveComplete;
TCP_OFFLOAD_RECEIVE_INDICATE_HANDLER_FN FloorTcpOffloadReceiveIndicate;
W_TCP_OFFLOAD_DISCONNECT_HANDLER_FN FloorTcpOffloadDisconnect;
TCP_OFFLOAD_DISCONNECT_COMPLETE_HANDLER_FN FloorTcpOffloadDisconnectComplete;
W_TCP_OFFLOAD_FORWARD_HANDLER_FN FloorTcpOffloadForward;
TCP_OFFLOAD_FORWARD_COMPLETE_HANDLER_FN FloorTcpOffloadForwardComplete;
TCP_OFFLOAD_EVENT_HANDLER_FN FloorTcpOffloadEvent;
INDICATE_OFFLOAD_EVENT_HANDLER_FN FloorIndicateOffloadEvent;
/* Of a neighbor that the driver above knows as upper. */
void floor_neighbor_event(struct floor_adapter *adapter, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block,
                          ULONG code, NDIS_HANDLE upper);

/* ---- options.c: those of the virtual adapter, while it is being initialised ---- */

/* false: there is none, and *to is as it was; or it does not fit, and *to has what does. */
bool floor_option_text(NDIS_HANDLE handle, const WCHAR *name, char *to, size_t room);
/* Decimal, from min to max. *to is as it was if there is none. false: it is no such number; said.
 */
bool floor_option_number(struct floor_adapter *adapter, NDIS_HANDLE handle, const WCHAR *name,
                         ULONG min, ULONG max, ULONG *to);

/* ---- entry.c ---- */

/* What a driver's DriverEntry does. kind is kept. */
NTSTATUS floor_start(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath,
                     const struct floor_kind *kind);

#endif
