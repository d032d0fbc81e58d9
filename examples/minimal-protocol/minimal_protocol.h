/*
 * minimal-protocol: a host stack, the smallest that goes the whole way.
 *
 * It binds to an adapter, sets the parameters of connection offload, hands one connection down
 * (neighbor, path and TCP in one tree), sends TOTAL bytes to an echo server, receives them back
 * through posted buffers and through indications, closes, and takes the connection home. A real
 * host stack has made the connection before and goes on with it afterwards; here its state is made
 * up (see "the connection" in connection.c), and nothing follows.
 *
 *   driver.c        DriverEntry, the binding, requests, status: what every protocol driver has
 *   connection.c    the connection: down, data, up
 *   buffers.c       what data is in
 *
 * One rule gives both their shape: callbacks only note what happened. What has to be done about it
 * is done by pump(), a work item, which never runs on the stack of another call. So nothing here is
 * ever called while it is in the middle of something. There is one thread.
 */
#ifndef MINIMAL_PROTOCOL_H
#define MINIMAL_PROTOCOL_H

#include <ndis.h>
#include <ndischimney.h>
#include <stdio.h>

#define say(...) fprintf(stderr, "minimal-protocol: " __VA_ARGS__)

#define TOTAL (256u * 1024u)
#define BUFFER_BYTES 8192u
#define SENDS 4 /* buffers on their way at a time */

/* The nodes of a tree and the states behind them. Nobody but NDIS and the drivers below touches it
 * between the call and its completion. */
struct tree {
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root, last;
    ULONG used;
    UCHAR memory[1024] __attribute__((aligned(8)));
};

struct buffer {
    PNET_BUFFER_LIST nbl; /* NULL: ours; otherwise below until it completes */
    UCHAR bytes[BUFFER_BYTES];
};

/* Of the connection: we have it; it is on its way; the target has it; on its way back; all over. */
enum phase { HERE, GOING_DOWN, BELOW, COMING_UP, OVER };

struct binding {
    NDIS_HANDLE handle;
    NDIS_HANDLE bind_context, unbind_context; /* of answers that we owe */
    PNET_PNP_EVENT_NOTIFICATION pause;        /* likewise */
    BOOLEAN running, can_offload, stopped;    /* stopped: OFFLOAD_PAUSE is in force */
    NDIS_OID_REQUEST request;
    NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS parameters;
    BOOLEAN request_out, parameters_set;
    NDIS_HANDLE work;
    BOOLEAN work_queued;

    enum phase phase;
    NDIS_OFFLOAD_HANDLE neighbor, path, tcp; /* what NDIS and the target know the objects by */
    struct tree tree;
    TCP_OFFLOAD_STATE_DELEGATED *delegated; /* given back; NULL: nothing was below */
    struct buffer sends[SENDS], receive;
    PNET_BUFFER_LIST loans;                    /* indicated and accepted: to be returned */
    ULONG posted, acknowledged, received, bad; /* bytes */
    BOOLEAN closing, closed, peer_closed;
    BOOLEAN leave; /* it has to come home */
};

extern NDIS_HANDLE protocol, pool; /* of the driver */

/* ---- connection.c ---- */

/* What is to be done about the connection now. Called by pump() only. */
void connection_pump(struct binding *b);

INITIATE_OFFLOAD_COMPLETE_HANDLER_FN ProtocolInitiateOffloadComplete;
TERMINATE_OFFLOAD_COMPLETE_HANDLER_FN ProtocolTerminateOffloadComplete;
QUERY_OFFLOAD_COMPLETE_HANDLER_FN ProtocolOtherOffloadComplete;
INDICATE_OFFLOAD_EVENT_HANDLER_FN ProtocolIndicateOffloadEvent;
TCP_OFFLOAD_SEND_COMPLETE_HANDLER_FN ProtocolTcpOffloadSendComplete;
TCP_OFFLOAD_RECEIVE_COMPLETE_HANDLER_FN ProtocolTcpOffloadReceiveComplete;
TCP_OFFLOAD_RECEIVE_INDICATE_HANDLER_FN ProtocolTcpOffloadReceiveIndicate;
TCP_OFFLOAD_DISCONNECT_COMPLETE_HANDLER_FN ProtocolTcpOffloadDisconnectComplete;
TCP_OFFLOAD_FORWARD_COMPLETE_HANDLER_FN ProtocolTcpOffloadForwardComplete;
TCP_OFFLOAD_EVENT_HANDLER_FN ProtocolTcpOffloadEvent;

/* ---- buffers.c ---- */

/* What we send, and expect to come back. */
UCHAR byte_at(ULONG at);
/* One NET_BUFFER over bytes, which stay ours; without bytes an empty one. NULL: out of memory. */
PNET_BUFFER_LIST wrap(PVOID bytes, ULONG length);
void unwrap(PNET_BUFFER_LIST nbl);
/* Whose buffer has completed. A completion names no connection: ProtocolReserved, which nobody
 * below touches, leads to it. */
struct buffer *take_back(PNET_BUFFER_LIST nbl);
/* How many bytes of it were sent and acknowledged, or received. */
ULONG transferred(PNET_BUFFER_LIST nbl);
/* Received, in order. */
void compare(struct binding *b, const UCHAR *bytes, ULONG length);
void compare_all(struct binding *b, PNET_BUFFER_LIST nbl);

/* ---- driver.c ---- */

/* Something happened: pump() runs soon, once. */
void pump_soon(struct binding *b);

#endif
