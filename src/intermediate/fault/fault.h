/*
 * fault: a floor on which things go wrong, as a script says and as the contract allows. What stands
 * behind its adapters and its offloaded objects. Private to src/intermediate/fault.
 *
 * Options of a virtual adapter: File, the path of a script; or Script, its text (rules parted by
 * ";"); Seed, a number that takes the place of the script's. None: it passes everything on.
 *
 * Threads: one, the loop's.
 */
#ifndef INTERMEDIATE_FAULT_FAULT_H
#define INTERMEDIATE_FAULT_FAULT_H

#include "intermediate/fault/script.h"
#include "intermediate/floor/floor.h"

struct fault {
    struct floor_adapter floor; /* first */
    struct fault_script script;
    NDIS_HANDLE timer;
    NDIS_HANDLE pool; /* of copies of frames */
    uint64_t opened_ms;
    struct list held;  /* fault_held, in the order in which it came */
    struct list conns; /* fault_offload */
    struct list sends; /* fault_send, in the order in which they were posted */
    ULONG initiates;   /* above; while there are some an event may have to wait (V-137) */
    bool tracks;       /* which connection a send belongs to is of interest */
    bool ringing;      /* the next turn has something to do */
    bool turning;
};

/* ---- what waits ---- */

enum fault_kind {
    FAULT_DOWN,            /* a tree on its way down */
    FAULT_UP,              /* … up */
    FAULT_SENT,            /* a list of completed sends */
    FAULT_DISCONNECTED,    /* of disconnects, which stay behind sends (V-124) */
    FAULT_FRAME_GOING_OUT, /* a copy */
    FAULT_FRAME_COMING_IN
};

struct fault_held {
    struct list link;
    enum fault_kind kind;
    uint64_t due_ms;
    bool passing; /* goes as well when another one of its kind passes, or inline */
    PVOID what;
};

/* ---- objects ---- */

struct fault_nbls {
    PNET_BUFFER_LIST head, *tail;
};

enum fault_io { FAULT_SEND, FAULT_RECEIVE, FAULT_DISCONNECT, FAULT_FORWARD, FAULT_IO_COUNT };

struct fault_offload {
    struct floor_offload floor; /* first */
    struct list link;           /* of conns; alone: no connection, or not offloaded */
    PNET_BUFFER_LIST chain;     /* of a refused node: it did not go down */
    ULONG segments;
    ULONG below;        /* sends that are there */
    bool untracked;     /* their number is not known */
    bool half_closed;   /* an optional reason may not be given (V-134) */
    bool aborted;       /* its sends end REQUEST_ABORTED (V-133) */
    bool dry;           /* a send found no memory: none goes down any more (V-079, V-086) */
    bool stopped;       /* a mandatory reason was given: nothing goes on (V-135, V-152) */
    bool terminating;   /* nothing is asked for any more */
    ULONG wish;         /* to ask for an upload with this reason; 0: none */
    bool late;          /* a change of the backlog waits */
    ULONG late_backlog; /* to this */
    ULONG late_reason;  /* a reason from below waits; 0: none */
    PNET_BUFFER_LIST abort;
    struct fault_nbls kept[FAULT_IO_COUNT]; /* not passed down, not completed */
};

struct fault_send {
    struct list link;
    PNET_BUFFER_LIST nbl;
    struct fault_offload *entry;
};

static inline struct fault *
fault_of(NDIS_HANDLE adapter)
{
    return container_of((struct floor_adapter *)adapter, struct fault, floor);
}

static inline struct fault_offload *
fault_offload_of(struct floor_offload *entry)
{
    return container_of(entry, struct fault_offload, floor);
}

/* ---- hold.c ---- */

uint64_t fault_now_ms(void);
/* The next turn comes, to look at connections. */
void fault_ring(struct fault *fault);
/* Nothing is held back while an adapter pauses. */
bool fault_may_hold(const struct fault *fault);
/* NULL: out of memory. */
struct fault_held *fault_held_create(struct fault *fault);
/* Owner: what is this driver's until it goes on. */
void fault_hold(struct fault *fault, struct fault_held *held, enum fault_kind kind, PVOID what,
                ULONG delay_ms, bool passing);
bool fault_holds(const struct fault *fault, enum fault_kind kind);
/* Lets go what is of a kind from first to last, in order; only those that are passing. */
void fault_let_go(struct fault *fault, enum fault_kind first, enum fault_kind last,
                  bool only_passing);
NDIS_TIMER_FUNCTION fault_turn;

/* ---- state.c ---- */

W_INITIATE_OFFLOAD_HANDLER_FN FaultInitiateOffload;
W_TERMINATE_OFFLOAD_HANDLER_FN FaultTerminateOffload;
W_UPDATE_OFFLOAD_HANDLER_FN FaultUpdateOffload;
W_QUERY_OFFLOAD_HANDLER_FN FaultQueryOffload;
W_INVALIDATE_OFFLOAD_HANDLER_FN FaultInvalidateOffload;
INITIATE_OFFLOAD_COMPLETE_HANDLER_FN FaultOffloadComplete;
void fault_tree_up(struct floor_adapter *adapter, struct floor_call *call);
void fault_go_down(struct fault *fault, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root);
void fault_go_up(struct fault *fault, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root);

/* ---- data.c ---- */

W_TCP_OFFLOAD_SEND_HANDLER_FN FaultTcpOffloadSend;
W_TCP_OFFLOAD_RECEIVE_HANDLER_FN FaultTcpOffloadReceive;
W_TCP_OFFLOAD_DISCONNECT_HANDLER_FN FaultTcpOffloadDisconnect;
W_TCP_OFFLOAD_FORWARD_HANDLER_FN FaultTcpOffloadForward;
W_TCP_OFFLOAD_RECEIVE_RETURN_HANDLER_FN FaultTcpOffloadReceiveReturn;
TCP_OFFLOAD_SEND_COMPLETE_HANDLER_FN FaultTcpOffloadSendComplete;
TCP_OFFLOAD_DISCONNECT_COMPLETE_HANDLER_FN FaultTcpOffloadDisconnectComplete;
TCP_OFFLOAD_RECEIVE_INDICATE_HANDLER_FN FaultTcpOffloadReceiveIndicate;
void fault_sent(struct fault *fault, PNET_BUFFER_LIST nbls);
void fault_disconnected(struct fault *fault, PNET_BUFFER_LIST nbls);
/* Completes what was kept; last: all of it, because the object goes. */
void fault_settle(struct fault_offload *entry, bool last);
void fault_track(struct fault_offload *entry, PNET_BUFFER_LIST nbls);
void fault_forget_sends(struct fault_offload *entry);

/* ---- event.c ---- */

TCP_OFFLOAD_EVENT_HANDLER_FN FaultTcpOffloadEvent;
/* Asks for an upload of the connection, in the next turn. */
void fault_wish(struct fault_offload *entry, ULONG reason);
/* One more segment of the connection. */
void fault_segment(struct fault_offload *entry, ULONG count);
/* What has waited for the initiates to end, and wishes. */
void fault_tell(struct fault *fault);
/* When the next rule with "at" has its turn; 0: none. Those that are due by now have it. */
uint64_t fault_next_time(struct fault *fault, uint64_t now_ms);

/* ---- frames.c ---- */

MINIPORT_SEND_NET_BUFFER_LISTS FaultSendNetBufferLists;
MINIPORT_RETURN_NET_BUFFER_LISTS FaultReturnNetBufferLists;
PROTOCOL_SEND_NET_BUFFER_LISTS_COMPLETE FaultSendNetBufferListsComplete;
PROTOCOL_RECEIVE_NET_BUFFER_LISTS FaultReceiveNetBufferLists;
NDIS_HANDLE fault_frame_pool(NDIS_HANDLE handle);
void fault_frame_go(struct fault *fault, enum fault_kind kind, PVOID copy);

#endif
