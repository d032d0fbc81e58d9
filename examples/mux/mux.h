/*
 * mux: an intermediate driver that makes several virtual adapters of one.
 *
 * It is two drivers in one: a protocol on the adapter below, and a miniport with virtual adapters,
 * which drivers above take for real ones. How many there are, and their names, is in the
 * ProtocolSection of the binding: "a,b" makes two. They share the MAC address of the adapter below:
 * a frame that comes from there is for all of them.
 *
 *   driver.c       DriverEntry: registration
 *   lower.c        the lower edge: bind, unbind, pause
 *   upper.c        the upper edge: virtual adapters, requests
 *   frames.c       the regular path; and the marks by which every NBL finds its way back
 *   operations.c   connection offload: block lists down and up
 *   data.c         connection offload: data and events
 *
 * Threads: one.
 */
#ifndef MUX_H
#define MUX_H

#include <ndis.h>
#include <ndischimney.h>

#define TAG 0x2078756d
#define UPPERS 4 /* virtual adapters on one binding */
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* What completes up to the driver above. */
enum kind { SEND, RECEIVE, DISCONNECT, FORWARD, KINDS };

/* A virtual adapter. */
struct upper {
    struct lower *lower;
    NDIS_HANDLE handle; /* NULL: not initialised, or halted */
    NDIS_STRING name;
    WCHAR text[64];
    BOOLEAN running, pausing;
    NDIS_EVENT halted;
    NDIS_TCP_OFFLOAD_EVENT_HANDLERS events; /* the way up */
    NDIS_OID_REQUEST request;               /* the one that is below … */
    PNDIS_OID_REQUEST original;             /* … for this one of the driver above; NULL: none */
    ULONG out;                              /* frames below and above */
    /* What could not go down for lack of memory and completes later: linked by Next, by Scratch. */
    PNET_BUFFER_LIST refused[KINDS];
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST refused_trees;
};

/* A binding to the adapter below. */
struct lower {
    NDIS_HANDLE handle;
    NDIS_HANDLE bind_context, unbind_context; /* of answers that we owe */
    PNET_PNP_EVENT_NOTIFICATION pause;        /* likewise */
    NDIS_HANDLE work;
    BOOLEAN running, work_queued;
    BOOLEAN stopped; /* OFFLOAD_PAUSE or UPLOAD_ALL is in force, theirs or ours */
    ULONG out;       /* frames, operations and objects below: a pause waits for them */
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES general;
    BOOLEAN can_offload;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    struct upper uppers[UPPERS];
    ULONG count;
};

extern NDIS_HANDLE miniport, protocol; /* of the driver */

/* An offloaded object. Its address is our context in the cell of the driver above. */
struct object {
    struct upper *upper;
    NDIS_HANDLE above;         /* NdisOffloadHandle of the driver above */
    NDIS_OFFLOAD_HANDLE below; /* ours */
    BOOLEAN broken;            /* something of it could not go down: nothing may overtake that */
};

/* ---- upper.c ---- */

void indicate(struct upper *upper, NDIS_STATUS code);

MINIPORT_INITIALIZE MiniportInitializeEx;
MINIPORT_HALT MiniportHaltEx;
MINIPORT_PAUSE MiniportPause;
MINIPORT_RESTART MiniportRestart;
MINIPORT_OID_REQUEST MiniportOidRequest;
MINIPORT_CANCEL_OID_REQUEST MiniportCancelOidRequest;

/* ---- lower.c ---- */

/* Fewer things are out: answers a pause that waits for that. */
void settle(struct lower *lower);
/* Completes what was refused, soon. */
void work_soon(struct lower *lower);

PROTOCOL_BIND_ADAPTER_EX ProtocolBindAdapterEx;
PROTOCOL_OPEN_ADAPTER_COMPLETE_EX ProtocolOpenAdapterCompleteEx;
PROTOCOL_UNBIND_ADAPTER_EX ProtocolUnbindAdapterEx;
PROTOCOL_CLOSE_ADAPTER_COMPLETE_EX ProtocolCloseAdapterCompleteEx;
PROTOCOL_NET_PNP_EVENT ProtocolNetPnPEvent;
PROTOCOL_STATUS_EX ProtocolStatusEx;
PROTOCOL_OID_REQUEST_COMPLETE ProtocolOidRequestComplete;

/* ---- frames.c ---- */

/*
 * Completions name no connection and no adapter. So every NBL that goes down takes a context along
 * (contexts are a stack, each floor finds its own on top) that says where it came from. FALSE: out
 * of memory, the list is as it was.
 */
BOOLEAN mark(struct upper *upper, PNET_BUFFER_LIST nbls);
/* Takes the mark off. */
struct upper *unmark(PNET_BUFFER_LIST nbl);
/* Cuts off the first NBLs that came through the same adapter, unmarked. NULL: no more. */
PNET_BUFFER_LIST next_run(PNET_BUFFER_LIST *nbls, struct upper **upper);

MINIPORT_SEND_NET_BUFFER_LISTS MiniportSendNetBufferLists;
MINIPORT_RETURN_NET_BUFFER_LISTS MiniportReturnNetBufferLists;
MINIPORT_CANCEL_SEND MiniportCancelSend;
PROTOCOL_SEND_NET_BUFFER_LISTS_COMPLETE ProtocolSendNetBufferListsComplete;
PROTOCOL_RECEIVE_NET_BUFFER_LISTS ProtocolReceiveNetBufferLists;

/* ---- operations.c ---- */

void complete_refused_trees(struct upper *upper);

W_INITIATE_OFFLOAD_HANDLER_FN MiniportInitiateOffload;
W_TERMINATE_OFFLOAD_HANDLER_FN MiniportTerminateOffload;
W_UPDATE_OFFLOAD_HANDLER_FN MiniportUpdateOffload;
W_INVALIDATE_OFFLOAD_HANDLER_FN MiniportInvalidateOffload;
W_QUERY_OFFLOAD_HANDLER_FN MiniportQueryOffload;
INITIATE_OFFLOAD_COMPLETE_HANDLER_FN ProtocolOffloadComplete; /* all five look like this */

/* ---- data.c ---- */

void complete_refused_data(struct upper *upper);
/* Register the tables of one edge. */
SET_OPTIONS chimney_provide; /* of the miniport */
SET_OPTIONS chimney_use;     /* of the protocol */

#endif
