/*
 * A live connection: the kernel socket of an unmodified process whose wire changes hands. Private
 * to src/host/linux.
 *
 *   KERNEL ─ bridge ─ hold ─ initiate ─ OFFLOADED ─ drain ─ terminate ─ release ─ KERNEL
 *
 * The invariant of every phase: the kernel socket holds whatever is not yet delivered, so this
 * process may die at any moment and kernel and peer go on.
 */
#ifndef HOST_LINUX_LIVE_LIVE_H
#define HOST_LINUX_LIVE_LIVE_H

#include "base/list.h"
#include "bpf/steer.h"
#include "chimney/hoststack.h"
#include "chimney/wire.h"
#include "host/host.h"
#include "host/linux/way.h"
#include "sys/loop.h"
#include "tcp/tcp.h"

/*
 * LIVE_PHASE(name, owner shown to the user):
 *   KERNEL      the kernel has it; kept for its figures while the socket lives
 *   BRIDGE      both directions pass through us as regular frames; copies of what the kernel sends
 * are kept HOLD        both directions queue; waiting for a snapshot in which both sides agree
 *   INITIATE    the target is asked
 *   OFFLOADED   the target owns the wire, the local leg faces the kernel
 *   DRAIN       the edge shown to the kernel is frozen; the target sends what is queued
 *   TERMINATE   both directions queue; the target hands back
 *   RELEASE     the key is gone; what is still under way in the TAP passes as regular frames
 *   DEAD        nothing passes any more; only waiting for NDIS to let go
 */
/* clang-format off */
#define LIVE_PHASES(X)                                                                             \
    X(KERNEL, "kernel")                                                                            \
    X(BRIDGE, "bridge")                                                                            \
    X(HOLD, "moving")                                                                              \
    X(INITIATE, "moving")                                                                          \
    X(OFFLOADED, "target")                                                                         \
    X(DRAIN, "target")                                                                             \
    X(TERMINATE, "moving")                                                                         \
    X(RELEASE, "bridge")                                                                           \
    X(DEAD, "none")
/* LIVE_EDGE(from, to) */
#define LIVE_EDGES(X)                                                                              \
    X(KERNEL, BRIDGE)                                                                              \
    X(BRIDGE, HOLD) X(BRIDGE, RELEASE) X(BRIDGE, DEAD)                                             \
    X(HOLD, BRIDGE) X(HOLD, INITIATE) X(HOLD, RELEASE) X(HOLD, DEAD)                               \
    X(INITIATE, OFFLOADED) X(INITIATE, RELEASE) X(INITIATE, DEAD)                                  \
    X(OFFLOADED, DRAIN) X(OFFLOADED, DEAD)                                                         \
    X(DRAIN, TERMINATE) X(DRAIN, DEAD)                                                             \
    X(TERMINATE, RELEASE) X(TERMINATE, DEAD)                                                       \
    X(RELEASE, KERNEL) X(RELEASE, DEAD)
/* clang-format on */
#define LIVE_PHASE_ENUM(name, owner) LIVE_##name,
enum live_phase { LIVE_PHASES(LIVE_PHASE_ENUM) LIVE_PHASE_COUNT };

#define LIVE_BEAT_US 20000u /* how often the heart beats */
#define LIVE_MISSED_US                                                                             \
    80000u /* later than this: the steering may have let go (it does at 100 ms) */
#define LIVE_RELEASE_IDLE_US 5000u /* the TAP must have been empty for so long */
#define LIVE_RELEASE_MAX_US 100000u
#define LIVE_BRIDGE_MIN_US                                                                         \
    1000u /* frames that were in a softirq when the key came have arrived by then */
#define LIVE_BRIDGE_MAX_US 3000000u
#define LIVE_HOLD_MAX_US 3000u /* one attempt; then bridge again */
#define LIVE_DRAIN_MAX_US 100000u
#define LIVE_DEAD_MAX_US 5000000u
#define LIVE_RUN_AHEAD_BYTES (128u * 1024)

struct hoststack;
struct hoststack_waiter;
struct iovec;
struct live_port;

/* A frame of the kernel's, taken from the TAP. References: each list it is on, and each NBL over
 * it. */
struct live_frame {
    struct list copy_link, held_link;
    unsigned refs;
    struct wire_buf *buf;
    uint16_t tcp_offset, payload_offset;
    struct tcp_segment segment;
    struct tcp_chunk chunk;
};

/* Bytes lent to the chimney: one send NBL over part of a frame. */
struct live_send {
    struct list link;
    NET_BUFFER_LIST *nbl;
    struct live_frame *frame;
    uint32_t seq, len, tsval;
};

/* Bytes lent by the chimney: one received NBL on its way into the kernel socket. */
struct live_receive {
    struct list link;
    NET_BUFFER_LIST *nbl;
    uint32_t seq, len;
};

/* Frames from the peer that wait, in order; chained through NET_BUFFER_LIST_NEXT_NBL. */
struct live_nbls {
    NET_BUFFER_LIST *head, **tail;
};

/* What the bridge has seen pass. */
struct live_bridge {
    uint32_t started_nxt;   /* the kernel's SndNxt when the key was in: bytes before it were not all
                               seen by us */
    uint32_t out_max;       /* highest sequence end the kernel sent through the TAP */
    uint32_t out_forwarded; /* … that went on to the wire */
    uint32_t out_ack;       /* highest acknowledgement that went to the peer */
    uint32_t out_edge;      /* highest right edge that the peer was told */
    uint32_t in_max;        /* highest sequence end from the peer that went to the kernel */
    uint32_t in_ack;        /* highest acknowledgement that went to the kernel */
    uint32_t out_tsval;     /* last timestamp of the kernel seen */
    uint8_t out_scale;      /* of the windows the kernel shows */
    bool out_seen, in_seen; /* anything yet */
    bool out_tsval_seen;
};

struct live_question {
    hoststack_state_fn fn;
    void *arg;
};

struct live_conn {
    struct host_conn down; /* the NDIS edge; must be first: container_of by address */
    struct list link;      /* of the stack */
    struct list dirty;     /* of the stack, while output is due */
    struct live_conn *table_next;
    struct hoststack *stack;
    struct live_port *port;
    uint64_t id;
    struct steer_key key;
    enum live_phase phase;
    struct way way; /* as the kernel was last heard to say */
    struct way_probe probe;
    uint32_t way_epoch;           /* of the stack, when it was last looked at */
    uint32_t bound_ifindex, mark; /* of the kernel socket: they decide its route */
    struct host_route route;      /* what the target has of it */
    uint8_t frame_header[14];     /* Ethernet, as the kernel writes it */

    struct live_bridge bridge;
    struct list copies; /* live_frame, ascending sequence: sent by the kernel, not acknowledged by
                           the peer */
    struct list held;   /* live_frame, from the kernel, in order */
    struct live_nbls held_in;
    struct steer_snapshot snap; /* the one the initiate was built from */

    struct tcp_conn local; /* the leg facing the kernel; valid from INITIATE on */
    bool local_live;
    struct list sends;     /* live_send, ascending: posted, not completed */
    struct list receives;  /* live_receive, ascending: not acknowledged by the kernel */
    uint32_t receive_end;  /* sequence behind the newest received byte */
    uint32_t returned_seq; /* ack point of the wire leg: everything before was returned */
    uint32_t shown_edge;   /* right edge last given to the wire leg */
    uint32_t backlog;      /* SendBacklogSize */
    TCP_OFFLOAD_STATE_CACHED cached;
    struct live_receive *cursor; /* holds the local leg's next byte to the kernel, or NULL */
    uint32_t tsval_next;         /* of the kernel's FIN */
    bool frozen;                 /* the edge shown to the kernel does not move */
    bool spoken;                 /* others than the kernel have used its timestamp clock */
    uint32_t peer_tsval;         /* newest of the peer's that they have echoed */
    bool fin_from_kernel, fin_posted, fin_from_peer, fin_acked_by_kernel;
    bool finished; /* the kernel closed its half and it was delivered */
    bool abort_posted;
    bool discard;  /* what NDIS hands back is thrown away (missed beat, reset) */
    bool send_gap; /* a byte could not be lent: nothing behind it may be */
    bool update_due;

    struct sys_timer timer; /* the phase's deadline or next step */
    struct sys_timer local_timer;
    uint64_t timestamp_since_us; /* the local leg's is the wire's of then */
    uint64_t phase_since_us, hold_since_us, request_since_us, idle_since_us, offloaded_since_us;
    bool upload_wanted;
    bool drained;                        /* the wire's SndNxt is the kernel's */
    bool reported;                       /* its end was told already */
    uint32_t final_cwnd, final_ssthresh; /* bytes, of the wire at its end */
    enum hoststack_reason end_reason;    /* why it goes up */
    ULONG ndis_status;
    struct live_question question; /* somebody wants to know what the target knows; fn NULL: no */

    /* figures */
    uint32_t moves_down, moves_up, held_us;
    uint32_t moved_send_bytes, moved_receive_bytes;
    uint64_t bytes_out, bytes_in, offloaded_us, leaked;
    uint32_t kernel_retrans_base;
    struct hoststack_waiter *waiter; /* who asked for the move in progress; NULL: nobody */
    pid_t pid;
    char command[32];
    uint64_t inode;
};

/* ---- frame.c: reading and writing frames ---- */

/* Takes its own reference of buf. NULL: not a TCP frame we can read, or out of memory. */
struct live_frame *live_frame_create(struct wire_buf *buf);
struct live_frame *live_frame_get(struct live_frame *frame);
void live_frame_put(struct live_frame *frame);
/* The flow of a frame; outgoing: its source is the kernel. False: not TCP over IPv4/IPv6. */
bool live_frame_key(const uint8_t *frame, uint32_t len, bool outgoing, struct steer_key *key);
/* Header and payload positions of a frame in contiguous memory; -EBADMSG. */
int live_frame_parse(const uint8_t *frame, uint32_t len, uint16_t segment_size,
                     uint16_t *tcp_offset, uint16_t *payload_offset, struct tcp_segment *segment);
/* The checksums of IPv4 and of the TCP segment of len bytes in these pieces are right; frame: the
 * headers. */
bool live_frame_adds_up(const uint8_t *frame, uint16_t tcp_offset, uint32_t len,
                        const struct iovec *pieces, size_t count);
/* Sequence space a segment takes, and its end. */
uint32_t live_segment_end(const struct tcp_segment *segment);
/* Ethernet + IP + TCP header of a segment; to_kernel: as if from the peer. Fills meta; returns the
 * header's length. */
size_t live_frame_header(const struct live_conn *conn, const struct tcp_out *out, bool to_kernel,
                         uint8_t *bytes, struct wire_meta *meta);
/* What the kernel socket would put into a timestamp now. */
uint32_t live_clock(const struct live_conn *conn);
void live_out_timestamp(struct tcp_out *out, uint32_t tsval, uint32_t tsecr);
/* A frame that has waited gets the timestamps it would have now; neither moves back. Whole or
 * partial, its checksum stays right. Changed in place: nobody else reads the frame any more. */
void live_frame_restamp(struct live_frame *frame, uint32_t tsval, uint32_t tsecr);
/* A checksum that NDIS has no bit for (ICMPv6, SCTP …) is filled in here: of frames of a port. */
void live_finish_checksum(struct wire_buf *buf);
/* NBL metadata ↔ wire metadata. */
void live_nbl_set_meta(NET_BUFFER_LIST *nbl, const struct wire_meta *meta, bool ipv6);
void live_nbl_get_meta(NET_BUFFER_LIST *nbl, const uint8_t *frame, uint32_t len,
                       struct wire_meta *meta);

/* ---- bridge.c: regular frames in both directions ---- */
void live_bridge_out(struct live_conn *conn, struct live_frame *frame);
void live_bridge_in(struct live_conn *conn, NET_BUFFER_LIST *nbl);
void live_frames_sent(NET_BUFFER_LIST *nbls);
bool live_copies_cover(const struct live_conn *conn, uint32_t from, uint32_t to);
/* A frame of the kernel's while both directions wait. */
void live_hold_out(struct live_conn *conn, struct live_frame *frame);
void live_drop_held(struct live_conn *conn);
/* What is held goes on as regular frames, each direction in its order. */
void live_pass_held_out(struct live_conn *conn);
void live_pass_held_in(struct live_conn *conn);
bool live_nbl_key(NET_BUFFER_LIST *nbl, struct steer_key *key);
int live_nbl_parse(NET_BUFFER_LIST *nbl, struct tcp_segment *segment, uint16_t *tcp_offset);
/* The segment of len bytes there is what the peer has sent, as far as checksums can tell. */
bool live_nbl_intact(NET_BUFFER_LIST *nbl, uint16_t tcp_offset, uint32_t len);
/* Memory of [skip, skip + len) of an NBL's data; the number of pieces, 0: more than max. */
size_t live_nbl_pieces(NET_BUFFER_LIST *nbl, uint32_t skip, uint32_t len, struct iovec *pieces,
                       size_t max);
/* Sends a frame of the kernel's to the wire as it is, whatever it belongs to. */
void live_raw_out(struct live_port *port, struct wire_buf *buf);
/* Writes a frame of the peer's to the kernel as it is. Does not take the NBL. */
void live_raw_in(struct live_port *port, NET_BUFFER_LIST *nbl);
/* A bare segment of ours: to the peer (regular path) or to the kernel. */
void live_send_bare(struct live_conn *conn, const struct tcp_out *out, bool to_kernel);
void live_drop_copies(struct live_conn *conn, uint32_t before_seq);
void live_hold_in(struct live_conn *conn, NET_BUFFER_LIST *nbl);
/*
 * A frame of the kernel's goes to the wire late. What others have said meanwhile, with its clock,
 * makes it look old, and the peer would drop it (RFC 7323, PAWS): it gets the stamp it would have
 * now.
 */
void live_late_out(struct live_conn *conn, struct live_frame *frame);

/* ---- adopt.c: down ---- */
/* Why this socket cannot be offloaded; HOSTSTACK_NONE if it can. */
enum hoststack_reason live_refusal(const struct steer_snapshot *snap);
int live_adopt(struct live_conn *conn);
uint32_t live_shown_window(const struct steer_snapshot *snap);
void live_adopt_step(struct live_conn *conn); /* BRIDGE and HOLD: look again */
void live_on_initiated(struct host_conn *down, const struct host_initiate_result *result);

/* ---- ecn.c: congestion notification that moves ---- */
/* The target takes connections that have negotiated ECN. */
bool live_ecn_taken(const struct host_binding *binding);
/* What the kernel's socket has come to; snd_max: of the delegated state. */
void live_ecn_export(const struct steer_snapshot *snap, uint32_t snd_max,
                     TCP_OFFLOAD_STATE_EXTENSION *extension);
/* The flag (TCP_ECE or 0) that acknowledgements to the peer have, by what the target hands back. */
uint8_t live_ecn_owed(const TCP_OFFLOAD_STATE_EXTENSION *extension);

/* ---- local.c: the leg that faces the kernel ---- */
int live_local_start(struct live_conn *conn);
void live_local_stop(struct live_conn *conn);
/* Both halves are closed and the kernel knows it: it has no socket any more to be told anything. */
bool live_kernel_gone(const struct live_conn *conn);
void live_local_input(struct live_conn *conn, struct live_frame *frame);
void live_local_output(struct live_conn *conn);
void live_local_timer(void *arg);
/* What fits both the path and the TAP. */
uint32_t live_local_mtu(const struct live_conn *conn);
/* The kernel does not answer the local leg any more. */
void live_local_silent(struct live_conn *conn);

/* ---- chimney.c: the leg that faces the target ---- */
extern const struct host_conn_ops live_conn_ops;
/* Lends what the local leg has taken to the target; before OFFLOADED it only collects. */
void live_send_taken(struct live_conn *conn);
/* Returns what the kernel has acknowledged. */
void live_return_acked(struct live_conn *conn);
NET_BUFFER_LIST *live_send_chain(struct live_conn *conn);
void live_free_sends(struct live_conn *conn);
void live_abort_wire(struct live_conn *conn, enum hoststack_reason reason);
void live_forward(struct live_conn *conn, NET_BUFFER_LIST *nbl);

/* ---- update.c: the cached variables ---- */
/* Tells the wire leg of a new right edge. */
void live_update_edge(struct live_conn *conn);
/* What the owner of the socket has set; the rest of cached stays. */
void live_fill_options(const struct steer_snapshot *snap, TCP_OFFLOAD_STATE_CACHED *cached);
/* Tells the target if that has changed. Not now (busy, no memory): the next look finds it again. */
void live_update_options(struct live_conn *conn, const struct steer_snapshot *snap);
void live_on_updated(struct host_conn *down, NDIS_STATUS status);

/* ---- query.c: what the target knows ---- */
void live_on_queried(struct host_conn *down, NDIS_STATUS status,
                     const TCP_OFFLOAD_STATE_DELEGATED *delegated);

/* ---- release.c: up ---- */
void live_upload(struct live_conn *conn, enum hoststack_reason reason);
void live_drain_step(struct live_conn *conn);
/* The answer of a query that a drain waits for; NULL: none came, and none will. */
void live_drain_queried(struct live_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *delegated);
void live_terminate(struct live_conn *conn);
void live_pass_unsent(struct live_conn *conn, uint32_t wire_nxt);
int live_insert_key(struct live_conn *conn);
void live_remove_key(struct live_conn *conn);
/* The kernel may speak for itself from here on: what goes before it has left. */
void live_let_go(struct live_conn *conn);
void live_dead_step(struct live_conn *conn);
void live_on_terminated(struct host_conn *down, const struct host_terminate_result *result);
void live_release_step(struct live_conn *conn);
/* Lets go at once and without a word: the kernel has been carrying on for a while. */
void live_abandon(struct live_conn *conn, enum hoststack_reason reason);
/* The connection goes back to the kernel with nothing moved (before OFFLOADED). */
void live_back_out(struct live_conn *conn, enum hoststack_reason reason);

/* ---- conn.c: the object, its one setter, its end ---- */
struct live_conn *live_create(struct live_port *port, const struct steer_key *key);
struct live_conn *live_find(struct hoststack *stack, const struct steer_key *key);
void live_set_phase(struct live_conn *conn, enum live_phase phase, const char *why);
const char *live_owner(const struct live_conn *conn);
void live_dirty(struct live_conn *conn);
/* Reports a finished move to who asked and to the log. */
void live_report(struct live_conn *conn, bool down, enum hoststack_outcome outcome,
                 enum hoststack_reason reason);
void live_destroy(struct live_conn *conn);
void live_fill_info(struct live_conn *conn, struct hoststack_conn_info *info);
/* Frames of the flow that passed the steering, up to now. */
uint64_t live_leaked(const struct live_conn *conn);
void live_timer(void *arg);

#endif
