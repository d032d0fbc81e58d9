/*
 * A floor that changes nothing: a MUX intermediate driver with one virtual adapter on each adapter
 * it is bound to. What is here is what every intermediate driver needs before it starts to do
 * something.
 *
 * Threads: one, the loop's.
 */
#ifndef INTERMEDIATE_PASSTHRU_PASSTHRU_H
#define INTERMEDIATE_PASSTHRU_PASSTHRU_H

#include <ndis.h>
#include <ndischimney.h>

#include "base/list.h"

#define PASSTHRU_TAG 0x75726874u
#define PASSTHRU_NAME_SIZE 64

struct passthru_driver {
    NDIS_HANDLE miniport; /* upper edge */
    NDIS_HANDLE protocol; /* lower edge */
};

/* X(name): OPENING the adapter below; WAITING for MiniportInitializeEx; STANDING: both edges are
 * there; CLOSING. */
#define PASSTHRU_STATES(X) X(OPENING) X(WAITING) X(STANDING) X(CLOSING)
#define PASSTHRU_STATE_ENUM(name) PASSTHRU_##name,
enum passthru_state { PASSTHRU_STATES(PASSTHRU_STATE_ENUM) PASSTHRU_STATE_COUNT };

/* One binding and the virtual adapter on it. Lives from bind to the end of the close. */
struct passthru_adapter {
    struct passthru_driver *driver;
    enum passthru_state state;
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
    /* Linked by Scratch[0]; Scratch[1]: the function that goes on. */
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST put_off;

    NDIS_OID_REQUEST request;   /* the one that is below */
    PNDIS_OID_REQUEST original; /* what it was made from; NULL: none */

    NDIS_STRING instance; /* of the virtual adapter */
    WCHAR instance_text[PASSTHRU_NAME_SIZE];
    char name[PASSTHRU_NAME_SIZE]; /* the same, for logs */
};

/* Per offloaded object: the way up and the way down. Lives as long as the offload. */
struct passthru_offload {
    struct passthru_adapter *adapter;
    NDIS_HANDLE upper;         /* NdisOffloadHandle of the driver above */
    NDIS_OFFLOAD_HANDLE lower; /* ours, for the driver below */
};

/* Per state operation. One node per block, in the order of the walk. */
struct passthru_call {
    UINT bytes;
    ULONG count;
    struct passthru_node {
        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
        PVOID *cell;                    /* MiniportOffloadContext; NULL: placeholder */
        NDIS_HANDLE handle;             /* NdisOffloadHandle */
        PVOID reserved[2];              /* ImReserved */
        PVOID source;                   /* SourceHandle */
        struct passthru_offload *entry; /* NULL: placeholder */
        bool fresh;                     /* entry was made for this operation */
    } nodes[];
};

/* ---- binding.c, adapter.c: the two edges ---- */
PROTOCOL_BIND_ADAPTER_EX PassthruBindAdapterEx;
PROTOCOL_UNBIND_ADAPTER_EX PassthruUnbindAdapterEx;
PROTOCOL_OPEN_ADAPTER_COMPLETE_EX PassthruOpenAdapterCompleteEx;
PROTOCOL_CLOSE_ADAPTER_COMPLETE_EX PassthruCloseAdapterCompleteEx;
PROTOCOL_NET_PNP_EVENT PassthruNetPnPEvent;

MINIPORT_INITIALIZE PassthruInitializeEx;
MINIPORT_HALT PassthruHaltEx;
MINIPORT_PAUSE PassthruPause;
MINIPORT_RESTART PassthruRestart;
MINIPORT_DEVICE_PNP_EVENT_NOTIFY PassthruDevicePnPEventNotify;
MINIPORT_SHUTDOWN PassthruShutdownEx;

void passthru_set_state(struct passthru_adapter *adapter, enum passthru_state to, const char *why);
/* Gives the answers that are owed and that nothing under way delays any more. */
void passthru_settle(struct passthru_adapter *adapter);
/* From the work item: that to a pause of the lower binding. */
void passthru_answer_pause(struct passthru_adapter *adapter);

/* ---- request.c, status.c, frames.c ---- */
MINIPORT_OID_REQUEST PassthruOidRequest;
MINIPORT_CANCEL_OID_REQUEST PassthruCancelOidRequest;
PROTOCOL_OID_REQUEST_COMPLETE PassthruOidRequestComplete;

PROTOCOL_STATUS_EX PassthruStatusEx;
/* Indicates a status of our own: code, with the capabilities when it is OFFLOAD_RESUME. */
void passthru_indicate(struct passthru_adapter *adapter, NDIS_STATUS code);

MINIPORT_SEND_NET_BUFFER_LISTS PassthruSendNetBufferLists;
MINIPORT_CANCEL_SEND PassthruCancelSend;
MINIPORT_RETURN_NET_BUFFER_LISTS PassthruReturnNetBufferLists;
PROTOCOL_SEND_NET_BUFFER_LISTS_COMPLETE PassthruSendNetBufferListsComplete;
PROTOCOL_RECEIVE_NET_BUFFER_LISTS PassthruReceiveNetBufferLists;

/* ---- tree.c ---- */

/* A function that takes a tree: of ours with our context, of NDIS with the miniport handle. */
typedef VOID passthru_tree_fn(NDIS_HANDLE Handle,
                              PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);

/*
 * Turns a tree from above into one for below: saves what is restored later and puts our handles in.
 * offers: new objects may be among the nodes. NULL: out of memory; the tree is as it was and
 * completes later, failed, through complete. With complete NULL it is a terminate, which cannot
 * fail without losing the objects below: it is tried again. Owner: the tree is the lower driver's
 * once the result has been passed down.
 */
PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST passthru_tree_down(struct passthru_adapter *adapter,
                                                     PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root,
                                                     bool offers, passthru_tree_fn *complete);
/* Restores the tree for above; afterwards nodes[].block is valid until the tree is completed. */
struct passthru_call *passthru_tree_up(PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root);
/* After the completion. entries_too: the objects are gone as well. */
void passthru_call_end(struct passthru_adapter *adapter, struct passthru_call *call,
                       bool entries_too);
void passthru_offload_free(struct passthru_offload *entry);
NDIS_IO_WORKITEM_FUNCTION passthru_catch_up;
void passthru_queue_work(struct passthru_adapter *adapter);

static inline struct passthru_offload *
passthru_offload_of(PVOID handle)
{
    return container_of(handle, struct passthru_offload, lower);
}

/* ---- one file each ---- */
W_INITIATE_OFFLOAD_HANDLER_FN PassthruInitiateOffload;
INITIATE_OFFLOAD_COMPLETE_HANDLER_FN PassthruInitiateOffloadComplete;
W_QUERY_OFFLOAD_HANDLER_FN PassthruQueryOffload;
QUERY_OFFLOAD_COMPLETE_HANDLER_FN PassthruQueryOffloadComplete;
W_UPDATE_OFFLOAD_HANDLER_FN PassthruUpdateOffload;
UPDATE_OFFLOAD_COMPLETE_HANDLER_FN PassthruUpdateOffloadComplete;
W_INVALIDATE_OFFLOAD_HANDLER_FN PassthruInvalidateOffload;
INVALIDATE_OFFLOAD_COMPLETE_HANDLER_FN PassthruInvalidateOffloadComplete;
W_TERMINATE_OFFLOAD_HANDLER_FN PassthruTerminateOffload;
TERMINATE_OFFLOAD_COMPLETE_HANDLER_FN PassthruTerminateOffloadComplete;

W_TCP_OFFLOAD_SEND_HANDLER_FN PassthruTcpOffloadSend;
TCP_OFFLOAD_SEND_COMPLETE_HANDLER_FN PassthruTcpOffloadSendComplete;
W_TCP_OFFLOAD_RECEIVE_HANDLER_FN PassthruTcpOffloadReceive;
W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER_FN PassthruTcpOffloadReceiveReturn;
TCP_OFFLOAD_RECEIVE_COMPLETE_HANDLER_FN PassthruTcpOffloadReceiveComplete;
TCP_OFFLOAD_RECEIVE_INDICATE_HANDLER_FN PassthruTcpOffloadReceiveIndicate;
W_TCP_OFFLOAD_DISCONNECT_HANDLER_FN PassthruTcpOffloadDisconnect;
TCP_OFFLOAD_DISCONNECT_COMPLETE_HANDLER_FN PassthruTcpOffloadDisconnectComplete;
W_TCP_OFFLOAD_FORWARD_HANDLER_FN PassthruTcpOffloadForward;
TCP_OFFLOAD_FORWARD_COMPLETE_HANDLER_FN PassthruTcpOffloadForwardComplete;
TCP_OFFLOAD_EVENT_HANDLER_FN PassthruTcpOffloadEvent;
INDICATE_OFFLOAD_EVENT_HANDLER_FN PassthruIndicateOffloadEvent;

DRIVER_INITIALIZE passthru_entry;

#endif
