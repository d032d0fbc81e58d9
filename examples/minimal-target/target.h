/*
 * minimal-target: an offload target, the smallest that keeps the whole contract.
 *
 * It adopts IPv4 connections, moves their data over the wire it was given (chimney/wire.h), and
 * gives them back at any moment. Its TCP is the plainest that is still one: go-back-N. Segments are
 * sent as far as the peer's window goes; what is not acknowledged in time is sent again from there
 * on; what does not arrive in order is dropped. No congestion control, no SACK, no delayed ACK, no
 * keepalive: right for a lab, not for the Internet.
 *
 *   driver.c       DriverEntry, an adapter's life, requests
 *   frames.c       the regular path, and what the wire brings
 *   operations.c   the state operations, and
 *   initiate.c     the longest of them
 *   data.c         sends, disconnects, forwarded segments
 *   deliver.c      received data: posted requests and indications
 *   tcp_out.c, tcp_in.c   segments, timers
 *
 * Two rules give it its shape. Nothing completes on the stack of the call it answers: handlers
 * queue what they get, and work(), a work item, does it. And there is one set of numbers: a
 * connection runs on the very TCP_OFFLOAD_STATE_DELEGATED that it was handed over with, so handing
 * it back is a copy.
 *
 * Threads: one, the loop's.
 */
#ifndef MINIMAL_TARGET_H
#define MINIMAL_TARGET_H

#include <chimney/wire.h>
#include <ndis.h>
#include <ndischimney.h>

#define TAG 0x746e696d
#define CAPACITY 64                 /* connections, unless configured */
#define LARGEST_WINDOW (256u << 20) /* bytes, unless configured */
#define SMALLEST_MSS 64u
#define NEVER (~0ull) /* of times, which are milliseconds */
#define FIN_WAIT_2_MS 120000u
#define ETHERNET 14u /* bytes of header */
#define IPV4 20u
#define ALLOCATE(bytes)                                                                            \
    NdisAllocateMemoryWithTagPriority(NULL, (UINT)(bytes), TAG, NormalPoolPriority)
#define FREE(memory) NdisFreeMemory(memory, 0, 0)

/* NBLs that are with us, linked through MiniportReserved[0]. */
struct queue {
    PNET_BUFFER_LIST first, last;
};

struct adapter {
    NDIS_HANDLE handle;
    struct wire *wire;
    NDIS_TCP_OFFLOAD_EVENT_HANDLERS up;
    NDIS_HANDLE chimney_pool, frame_pool, work;
    BOOLEAN offloads, work_queued, running, pausing;
    ULONG frames_up;                              /* indicated, not returned */
    struct queue sent;                            /* frames of the regular path, to be completed */
    PNDIS_OID_REQUEST power;                      /* held until nothing is offloaded; NULL: none */
    ULONG tick_ms, most_retransmissions, push_ms; /* as the host stack has set them */
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST operations; /* waiting, oldest first; linked by Scratch[0] */
    struct object *objects;
    ULONG connections, capacity, largest_window;
    USHORT ip_id;
    UCHAR frame[WIRE_MAX_FRAME]; /* one that is being put together, or linearised */
};

/* ---- objects ---- */

enum layer { NEIGHBOR, PATH, TCP };

struct object {
    struct object *next; /* of the adapter's */
    struct adapter *adapter;
    enum layer layer;
    struct object *under; /* the path's neighbor, the connection's path */
    NDIS_HANDLE handle;   /* NdisOffloadHandle: how the driver above is told about it */
    BOOLEAN invalid, gone;
};

struct neighbor {
    struct object object;
    NEIGHBOR_OFFLOAD_STATE_CONST constant;
    NEIGHBOR_OFFLOAD_STATE_CACHED cached;
    ULONGLONG heard_ms;
};

struct path {
    struct object object;
    UCHAR source[4], destination[4];
    PATH_OFFLOAD_STATE_CACHED cached;
};

/* Bytes that came in order. */
struct chunk {
    struct chunk *next;
    struct conn *conn; /* NULL: its connection has gone home */
    enum { BUFFERED, LENT, DONE } state;
    ULONG seq, length; /* of what is not taken yet */
    BOOLEAN push;
    UCHAR *start;
    UCHAR bytes[];
};

enum kind { SEND, RECEIVE, FORWARD, DISCONNECT, KINDS }; /* in the order they complete */

/* ADOPTED: its initiate is not completed yet. STOPPED: has asked to be taken back, and does
 * nothing. ABORTED: reset, by either side. */
enum phase { ADOPTED, OPEN, STOPPED, ABORTED };

struct conn {
    struct object object;
    enum phase phase;
    BOOLEAN terminating; /* its frames take the regular path */
    TCP_OFFLOAD_STATE_CONST constant;
    TCP_OFFLOAD_STATE_CACHED cached;
    TCP_OFFLOAD_STATE_DELEGATED d;
    LONG stamp_delta; /* from our clock to its timestamps, ticks */

    /* Sending. sends is [queue_seq, end_seq); a FIN has the number end_seq. */
    struct queue sends;
    ULONG queue_seq, end_seq;
    BOOLEAN fin_wanted;
    PNET_BUFFER_LIST disconnect; /* graceful, the last of sends; NULL: none */

    /* Receiving. chunks are in order: first those that the driver above has or had, then others. */
    struct chunk *chunks;
    struct queue posted;
    ULONG filled;         /* bytes in the first of posted */
    ULONG acked;          /* what our last ACK said */
    ULONG right_edge;     /* as far as the peer may send */
    BOOLEAN ack_returned; /* OURS: acknowledge only what was returned to us */
    BOOLEAN refused;      /* an indication was: nothing more before something is posted */
    BOOLEAN posted_new;   /* something was */
    BOOLEAN pushed;       /* what was taken last carried PSH */
    BOOLEAN fin_received, fin_accepted, fin_indicated, ack_due, challenged;
    ULONGLONG stamped_ms; /* when TsRecent came */
    struct queue forwards;

    struct queue done[KINDS]; /* to be completed */
    NDIS_HANDLE timer;
    ULONGLONG retransmit_ms, push_ms;
};
static inline struct conn *
conn_of(PVOID object)
{
    return object;
}

static inline struct path *
path_of(const struct conn *c)
{
    return (struct path *)c->object.under;
}

static inline struct neighbor *
neighbor_of(const struct conn *c)
{
    return (struct neighbor *)c->object.under->under;
}

/* Sequence numbers wrap. */
static inline BOOLEAN
before(ULONG a, ULONG b)
{
    return (LONG)(a - b) < 0;
}

/* ---- driver.c ---- */

ULONGLONG now_ms(void);
/* work() runs soon, once. */
void work_soon(struct adapter *a);

/* ---- frames.c ---- */

void put(struct queue *queue, PNET_BUFFER_LIST nbl);
PNET_BUFFER_LIST take(struct queue *queue);
/* The next in a queue. */
PNET_BUFFER_LIST after(PNET_BUFFER_LIST nbl);
/* All of it, as a list linked by Next. */
PNET_BUFFER_LIST drain(struct queue *queue);
/* An NBL of ours around bytes; MiniportReserved[1] says whose they are. NULL: out of memory. */
PNET_BUFFER_LIST wrap(NDIS_HANDLE pool, PVOID bytes, ULONG length, PVOID owner);
void unwrap(PNET_BUFFER_LIST nbl);
extern const struct wire_receiver receiver;
void complete_frames(struct adapter *a);

MINIPORT_SEND_NET_BUFFER_LISTS MiniportSendNetBufferLists;
MINIPORT_RETURN_NET_BUFFER_LISTS MiniportReturnNetBufferLists;

/* ---- operations.c, initiate.c ---- */

typedef NDIS_MINIPORT_OFFLOAD_BLOCK_LIST BLOCK;
enum class { CONST_STATE, CACHED_STATE, DELEGATED_STATE };

/* What a node names; NULL: a placeholder, or an object to be adopted. */
struct object *object_of(const BLOCK *block);
/* The state of that class behind a node; NULL: there is none. */
PVOID state_of(BLOCK *block, enum class class);
void run_operations(struct adapter *a);
void initiate(struct adapter *a, BLOCK *root);
/* Those whose terminate has completed, or all. */
void free_objects(struct adapter *a, BOOLEAN all);
BOOLEAN mtu_fits(const struct adapter *a, ULONG mtu);

W_INITIATE_OFFLOAD_HANDLER_FN MiniportInitiateOffload;
W_TERMINATE_OFFLOAD_HANDLER_FN MiniportTerminateOffload;
W_UPDATE_OFFLOAD_HANDLER_FN MiniportUpdateOffload;
W_INVALIDATE_OFFLOAD_HANDLER_FN MiniportInvalidateOffload;
W_QUERY_OFFLOAD_HANDLER_FN MiniportQueryOffload;

/* ---- data.c ---- */

/* Everything there is to do for a connection: deliver, send, complete. */
void service(struct conn *c);
ULONG length_of(PNET_BUFFER_LIST nbl);
/* length bytes from offset on. */
void read_nbl(PNET_BUFFER_LIST nbl, ULONG offset, UCHAR *out, ULONG length);
/* The same in one NET_BUFFER; write: the other way. */
void copy(PNET_BUFFER nb, ULONG offset, UCHAR *bytes, ULONG length, BOOLEAN write);
/* It completes with the next complete(). bytes: of its data. */
void finish(struct conn *c, enum kind kind, PNET_BUFFER_LIST nbl, NDIS_STATUS status, ULONG bytes);
void complete(struct conn *c);
/* What a request gets that comes too late. */
NDIS_STATUS too_late(const struct conn *c);
/* Ends everything that is open. */
void fail_all(struct conn *c, NDIS_STATUS status);
/* Sends that are not finished, as a chain that begins at SndUna. */
PNET_BUFFER_LIST take_sends(struct conn *c, PNET_BUFFER_LIST *last);
/* A mandatory reason: the connection stops, the host stack takes it back. */
void retrieve(struct conn *c, TCP_UPLOAD_REASON reason);

W_TCP_OFFLOAD_SEND_HANDLER_FN MiniportTcpOffloadSend;
W_TCP_OFFLOAD_DISCONNECT_HANDLER_FN MiniportTcpOffloadDisconnect;
W_TCP_OFFLOAD_FORWARD_HANDLER_FN MiniportTcpOffloadForward;

/* ---- deliver.c ---- */

/* Room for bytes that come next, from the wire or handed over. NULL: out of memory. */
struct chunk *buffer(struct conn *c, ULONG length, BOOLEAN push);
void deliver(struct conn *c);
void finish_receive(struct conn *c, NDIS_STATUS status);
/* Bytes received and not delivered. */
ULONG backlog(const struct conn *c);
/* What is acknowledged and not delivered, as a chain; the rest is forgotten. */
PNET_BUFFER_LIST take_buffered(struct conn *c);
void forget_received(struct conn *c);

W_TCP_OFFLOAD_RECEIVE_HANDLER_FN MiniportTcpOffloadReceive;
W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER_FN MiniportTcpOffloadReceiveReturn;

/* ---- tcp_out.c, tcp_in.c ---- */

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

/* Takes a segment: TCP header and payload. */
void segment_in(struct conn *c, const UCHAR *tcp, ULONG length);
/* Sends what may be sent, and an ACK if one is due. */
void segments_out(struct conn *c);
void send_reset(struct conn *c);
/* What we acknowledge. */
ULONG ack_number(const struct conn *c);
/* There may be more room: tells the peer if it is worth a segment. */
void open_window(struct conn *c);
/* The host stack wants the window to be as InitialRcvWnd says. */
void move_edge(struct conn *c);
/* Our time as the connection's timestamps have it. */
ULONG stamp(const struct conn *c);
NDIS_TIMER_FUNCTION on_timer;
/* RFC 1071; 0 over data that contains its checksum: undamaged. */
USHORT checksum(ULONG sum, const UCHAR *bytes, ULONG length);
ULONG pseudo_header(const UCHAR *source, const UCHAR *destination, ULONG tcp_length);

#endif
