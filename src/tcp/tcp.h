/*
 * The TCP engine: what a connection does between adoption and hand-back. Pure: time, randomness,
 * buffers and segments are arguments; it never allocates, never blocks, reads no clock and knows no
 * driver.
 *
 * Bytes. The engine never touches payload. To send it speaks of sequence numbers ("send [seq,
 * seq+len)") and the caller maps them to its buffers. What arrives is described by a chunk embedded
 * in the caller's buffer; the engine links, trims and orders chunks and hands them out again.
 *
 * Acknowledging is the caller's decision. rcv_nxt is what arrived in order; the *ack point* is what
 * may be acknowledged, moved by tcp_acknowledge; the *right edge* is what the peer may send up to,
 * moved by tcp_set_right_edge and never to the left. An ordinary receiver moves both at once; `ack
 * = returned` moves them when somebody else has taken the bytes.
 *
 * Units: microseconds (`_us`), bytes, sequence numbers modulo 2^32 (`_seq` or RFC 9293's names).
 * Threads: a connection belongs to one thread.
 */
#ifndef TCP_TCP_H
#define TCP_TCP_H

#include "base/seq.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TCP_NEVER UINT64_MAX
#define TCP_INFINITE_SSTHRESH 0x7fffffffu
#define TCP_MAX_OPTIONS 40
#define TCP_MAX_HEADER (20 + TCP_MAX_OPTIONS)
#define TCP_MAX_BURST 65160 /* payload bytes of a superframe, rounded down to whole segments */

/* ---- segments ---- */
enum {
    TCP_FIN = 0x01,
    TCP_SYN = 0x02,
    TCP_RST = 0x04,
    TCP_PSH = 0x08,
    TCP_ACK = 0x10,
    TCP_URG = 0x20,
    TCP_ECE = 0x40,
    TCP_CWR = 0x80
};

/* The ECN field of the IP header (RFC 3168). */
enum { TCP_NOT_ECT = 0, TCP_ECT1 = 1, TCP_ECT0 = 2, TCP_CE = 3 };

struct tcp_range {
    uint32_t start, end;
};

/* A received header in host order. */
struct tcp_segment {
    uint16_t source_port, dest_port;
    uint32_t seq, ack;
    uint32_t payload_len; /* set by the caller after parsing: bytes behind the header */
    uint16_t window;      /* as on the wire, not scaled */
    uint16_t urgent;
    uint16_t header_len;
    uint16_t segment_size; /* payload bytes per segment of a superframe; 0: one segment. Set by the
                              caller. */
    uint8_t flags;
    uint8_t ecn; /* of the IP header; set by the caller. A superframe's holds for all of it. */
    uint8_t sack_count;
    bool has_timestamp;
    uint32_t tsval, tsecr;
    struct tcp_range sack[4];
};

/* Reads a TCP header at bytes (available may hold more). 0, or -EBADMSG for a truncated or
 * malformed one. */
int tcp_parse(const uint8_t *bytes, size_t available, struct tcp_segment *out);

/* A segment (or superframe) to send. */
struct tcp_out {
    uint32_t seq, ack;
    uint32_t len;          /* payload bytes [seq, seq + len) */
    uint16_t segment_size; /* cut the payload into pieces of this size; 0: one segment */
    uint16_t window;       /* as on the wire */
    uint8_t flags;
    uint8_t ecn;        /* for the IP header: TCP_NOT_ECT or TCP_ECT0 */
    uint8_t option_len; /* multiple of 4 */
    uint8_t options[TCP_MAX_OPTIONS];
    bool retransmission; /* carries at least one old byte */
};

/* Writes the header (checksum and urgent pointer zero) to bytes, at least TCP_MAX_HEADER long;
 * returns its length. */
size_t tcp_write_header(const struct tcp_out *out, uint16_t source_port, uint16_t dest_port,
                        uint8_t *bytes);

/*
 * Received payload: [seq, seq + len), whose first byte lies `offset` bytes into the payload as it
 * arrived. The engine changes these when it trims what it already has. Owner: the caller, but for
 * the time it is on one of the engine's lists.
 */
struct tcp_chunk {
    struct tcp_chunk *next;
    uint32_t seq, len, offset;
    uint32_t tsval;
    bool push;
};

/* ---- configuration and state ---- */

/* RFC 9293 section 3.3.2; the edges between them that this engine walks are in state.c. */
#define TCP_STATES(X)                                                                              \
    X(CLOSED)                                                                                      \
    X(LISTEN)                                                                                      \
    X(SYN_SENT)                                                                                    \
    X(SYN_RCVD)                                                                                    \
    X(ESTABLISHED) X(FIN_WAIT_1) X(FIN_WAIT_2) X(CLOSE_WAIT) X(CLOSING) X(LAST_ACK) X(TIME_WAIT)
#define TCP_STATE_ENUM(name) TCP_##name,
enum tcp_conn_state { TCP_STATES(TCP_STATE_ENUM) TCP_STATE_COUNT };
const char *tcp_state_name(enum tcp_conn_state state);

enum tcp_congestion {
    TCP_CC_NONE, /* the window alone limits (a leg that crosses no network) */
    TCP_CC_NEWRENO,
    TCP_CC_CUBIC
};
/* As people are told; "none" for TCP_CC_NONE. */
const char *tcp_congestion_name(enum tcp_congestion congestion);

/* Where CUBIC is on its curve (RFC 9438). Bytes, but for the times. */
struct tcp_cubic {
    uint32_t w_max;   /* the window at the last congestion event, after fast convergence; 0: none */
    uint32_t prior;   /* and before */
    uint32_t origin;  /* the middle of the curve; 0: the curve starts at the next increase */
    uint32_t k_ms;    /* when the curve is there */
    uint32_t w_est;   /* what Reno would have */
    uint32_t rest;    /* of an increase, in parts of a window */
    uint64_t t_us;    /* counted since the start of the curve */
    uint64_t last_us; /* when that was counted last; TCP_NEVER: the window was not used since */
};

struct tcp_config {
    /* 24 bytes that every segment asks for: see tcp_conn */
    bool timestamps, sack, window_scaling, ecn; /* negotiated */
    uint8_t snd_wscale, rcv_wscale;
    bool keepalive, nagle;
    uint32_t ts_tick_us; /* our timestamp is ts_offset + now / ts_tick_us; 0: always ts_offset */
    uint32_t ts_offset;
    uint32_t delayed_ack_us;         /* 0: as soon as the ack point moves */
    uint8_t ack_frequency;           /* acknowledge at least every so many segments (2) */
    uint8_t duplicate_ack_threshold; /* 3 */
    uint8_t ip_header_len;           /* 20 or 40: to derive the segment size */
    bool probe_always; /* somebody behind the caller may have data to send: probe a closed window
                          even with nothing queued */
    /* the rest */
    enum tcp_congestion congestion;
    uint16_t remote_mss; /* the peer's MSS option */
    uint32_t path_mtu;
    uint8_t max_retransmissions; /* 0: no limit */
    uint8_t keepalive_probes;
    uint32_t sws_us;
    uint32_t min_rto_us, max_rto_us; /* 200 ms, 120 s */
    uint64_t max_rt_us;              /* overrides the count; 0: the count; TCP_NEVER: unlimited */
    uint64_t keepalive_idle_us, keepalive_interval_us;
    uint64_t fin_wait_2_us; /* 120 s; TCP_NEVER: none */
};

/* Sane values for everything that is not negotiated. */
void tcp_config_defaults(struct tcp_config *config);

/* What is handed over and back: the delegated variables in bytes and microseconds. Deltas:
 * TCP_NEVER = not running. */
struct tcp_state {
    enum tcp_conn_state state;
    uint32_t rcv_nxt;
    uint32_t rcv_wnd; /* right edge - rcv_nxt (in: as last advertised) */
    uint32_t snd_una, snd_nxt, snd_max;
    uint32_t snd_end; /* end of the data queued so far (without a FIN) */
    uint32_t snd_wnd, max_snd_wnd, snd_wl1;
    uint32_t cwnd, ssthresh;     /* cwnd 0: initial window */
    uint64_t srtt_us, rttvar_us; /* srtt 0: no sample yet */
    uint32_t ts_recent;
    uint64_t ts_recent_age_us;
    uint64_t total_rt_us;
    uint8_t dup_ack_count, snd_wnd_probe_count, keepalive_probe_count, retransmit_count;
    uint64_t keepalive_delta_us, retransmit_delta_us;
    bool fin_queued; /* our FIN follows snd_end; it counts inside snd_max if it was sent */
};

#define TCP_SACK_RANGES 64
#define TCP_MARKS 32

/* When what lies between the end of the mark before and end_seq was sent. */
struct tcp_mark {
    uint64_t first_us, sent_us; /* its first and its last part */
    uint32_t end_seq;
    bool resent, lost;
};

/*
 * What may be handed over besides, if both owners agree: nothing of it is documented, and nothing
 * needed. A copy between two owners goes member by member, for padding and order are ours.
 */
#define TCP_EXTENSION_VERSION 1u

struct tcp_extension {
    uint16_t version;       /* TCP_EXTENSION_VERSION; another one is refused */
    uint16_t sack_count;    /* ranges of sacked */
    bool recovering;        /* the window was reduced for losses below recover_seq */
    bool ecn_echo;          /* ECE goes with every ACK until a CWR comes */
    bool ecn_cwr;           /* CWR goes with the next new data */
    bool ecn_reacted;       /* the window was reduced for what was sent before ecn_seq */
    bool reordering;        /* the network was seen to reorder */
    uint32_t recover_seq;   /* if recovering */
    uint32_t ecn_seq;       /* if ecn_reacted */
    uint64_t min_rtt_us;    /* the shortest round trip of the last minutes; 0: unknown */
    struct tcp_cubic cubic; /* but for last_us, a time of our clock */
    struct tcp_range sacked[TCP_SACK_RANGES]; /* above snd_una, ascending, a gap before each */
};

struct tcp_counters {
    uint64_t segments_in, segments_out; /* counted in wire segments, not superframes */
    uint64_t bytes_in, bytes_out;       /* payload, without retransmissions; so far the hot ones */
    uint64_t retransmitted_segments, retransmitted_bytes;
    uint64_t timeouts, fast_recoveries, tail_probes;
    uint64_t resets_out, established_resets; /* RSTs sent; ends in CLOSED straight from ESTABLISHED
                                                or CLOSE_WAIT, but for tcp_close */
    uint64_t duplicate_bytes_in, out_of_order_in;
};

/*
 * Ours to write: only src/tcp. Others may read the members named in the accessors below.
 *
 * Hot first, in lines of 64 bytes counted from the start of the structure: while nothing is lost
 * and no timer fires, data that arrives in order touches lines 0, 1, 3 and 5, what is sent and its
 * acknowledgement also 2 and 4, and the marks or the curve. A test holds the members to their
 * lines. The layout is free to change otherwise; keep it in tcp.h so that callers can embed it.
 */
struct tcp_conn {
    /* line 0: every segment */
    enum tcp_conn_state state;
    uint32_t flags; /* TCP_CONN_ ... of src/tcp/private.h */
    uint32_t rcv_nxt, rcv_ack, rcv_edge,
        rcv_advertised; /* arrived; ack point; right edge; furthest edge shown */
    uint32_t last_ack_sent;
    uint32_t snd_una, snd_nxt, snd_max;
    uint32_t snd_wnd, snd_wl1, max_snd_wnd;
    uint32_t ts_recent;
    uint16_t mss;                  /* payload of a segment that carries no SACK blocks */
    uint16_t pending_segments;     /* arrived since the last acknowledgement */
    uint8_t ack_repeat;            /* duplicate ACKs owed to a peer without SACK */
    uint8_t rcv_sack_count;        /* ranges of rcv_sack in use */
    uint8_t sack_count;            /* ranges of sacked in use */
    uint8_t keepalive_probe_count; /* sent and not answered */
    /* line 1: likewise */
    uint64_t ts_recent_us;
    struct tcp_chunk *ready_head, *ready_tail; /* in order, not taken yet */
    struct tcp_chunk *ooo_head;                /* ascending, disjoint */
    uint32_t snd_end, cwnd;
    struct tcp_config config; /* its first members; the rest is line 2, for the sender */
    /* line 3: what whoever calls asks for after every segment */
    uint64_t delack_deadline_us; /* deadlines: the caller's clock; TCP_NEVER */
    uint64_t rtx_deadline_us, tail_deadline_us, reo_deadline_us;
    uint64_t keepalive_deadline_us, fin_wait_2_deadline_us, sws_deadline_us;
    struct tcp_chunk *dropped; /* superseded; the caller frees them */
    /* line 4: what is sent, and its acknowledgement */
    uint32_t ssthresh;
    uint32_t rtt_seq;
    uint32_t bytes_acked; /* towards the next increase */
    uint32_t dup_ack_count;
    uint32_t recover_seq; /* recovery ends here */
    uint8_t retransmit_count, mark_count, dup_threshold, snd_wnd_probe_count;
    uint64_t rtt_sent_us; /* TCP_NEVER: only the peer's echo tells */
    uint64_t srtt_us, rttvar_us;
    uint32_t rto_us;
    uint32_t ts_sent; /* our timestamp on the data that was sent last */
    uint64_t total_rt_us;
    /* line 5 */
    uint64_t last_data_us;                                  /* when data was sent last */
    uint64_t min_rtt_us, next_min_rtt_us, min_rtt_since_us; /* 0: none */
    struct tcp_counters counters; /* its first members belong to every segment */
    /* the rest: the curve, loss, disorder, the end */
    struct tcp_cubic cubic;
    uint64_t last_rtx_us;
    uint64_t rtx_unlimited_us; /* once it went again: rtx_deadline_us without a limit of time */
    struct tcp_chunk *ooo_tail;
    struct tcp_chunk *ooo_hint; /* the newest on that list; NULL */
    uint32_t ooo_count;
    uint16_t mss_base; /* without options */
    uint32_t fin_seq, fin_rcv_seq;
    uint32_t rtx_seq;                            /* without SACK: resent up to here */
    uint32_t lost_seq;                           /* without SACK: what is below is taken for lost */
    uint32_t tail_seq;                           /* snd_max when the tail probe went out */
    uint32_t prr_flight, prr_delivered, prr_out; /* when recovery began; since then */
    uint32_t undo_seq, undo_end_seq;             /* what was out when the last recovery began */
    uint32_t undo_bytes;                         /* resent since and not reported needless */
    uint32_t prior_cwnd, prior_ssthresh;         /* to return to if all of it was */
    struct tcp_cubic prior_cubic;
    uint32_t ecn_seq;     /* the window was reduced for what was sent before this */
    uint64_t ecn_wait_us; /* nothing new goes until then */
    struct tcp_range last_dsack;
    uint32_t dsack_start, dsack_end;
    uint64_t rack_sent_us, rack_rtt_us; /* of what was sent last of what was delivered; TCP_NEVER */
    uint32_t rack_end_seq, fack_seq, dsack_round_seq;
    uint8_t reo_multiplier, reo_persist; /* quarters of the shortest round trip; recoveries left */
    uint8_t stray_count;                 /* answers to stray segments since stray_us */
    uint64_t challenge_us, stray_us;     /* when a SYN was answered last; a limit's period began; or
                                            TCP_NEVER */
    struct tcp_range rcv_sack[4];        /* what is out of order, most recent first */
    struct tcp_range sacked[TCP_SACK_RANGES]; /* scoreboard, ascending, disjoint */
    struct tcp_mark marks[TCP_MARKS];         /* of what is outstanding, ascending */
    uint64_t adopted_tail_us; /* a tail probe then is because the connection moved */
};

/* What a call has found; a mask. */
enum {
    TCP_EV_KEPT = 1 << 0,  /* the chunk is on one of the engine's lists now; otherwise it is still
                              the caller's */
    TCP_EV_READY = 1 << 1, /* tcp_take has chunks */
    TCP_EV_ACKED = 1 << 2, /* snd_una moved */
    TCP_EV_FIN = 1 << 3,   /* the peer's FIN is next in order (once): rcv_nxt is behind it */
    TCP_EV_FIN_ACKED = 1 << 4,  /* our FIN was acknowledged (once) */
    TCP_EV_RESET = 1 << 5,      /* acceptable RST: state CLOSED */
    TCP_EV_SYN = 1 << 6,        /* SYN at rcv_nxt */
    TCP_EV_URGENT = 1 << 7,     /* valid urgent data; the segment was not processed */
    TCP_EV_TIMEOUT = 1 << 8,    /* gave up: retransmissions, probes, keepalive or FIN_WAIT_2 */
    TCP_EV_WINDOW = 1 << 9,     /* snd_wnd or cwnd changed */
    TCP_EV_DUPLICATE = 1 << 10, /* carried bytes that had already arrived */
    TCP_EV_DROPPED = 1 << 11,   /* tcp_take_dropped has chunks */
    TCP_EV_INVALID =
        1 << 12, /* not acceptable (sequence, PAWS, ACK of unsent data): answered as the RFC says */
    TCP_EV_PROGRESS = 1 << 13 /* the peer is reachable: something of ours was acknowledged */
};

/*
 * Adopts a connection. Owner: conn is the caller's memory. Any pending delayed ACK must have been
 * sent by the former owner. Source: RFC 9293; chimney 4.1. Errors: -EINVAL for a state or numbers
 * that cannot be.
 */
int tcp_restore(struct tcp_conn *conn, const struct tcp_config *config,
                const struct tcp_state *state, uint64_t now_us);
/* The state to hand back. Does not change the connection. */
void tcp_capture(const struct tcp_conn *conn, uint64_t now_us, struct tcp_state *out);
/*
 * The extension of the state captured beside it. tcp_restore_extension comes directly after
 * tcp_restore; -EINVAL for another version, or for what does not fit the connection, which is then
 * unchanged and works without.
 */
void tcp_capture_extension(const struct tcp_conn *conn, uint64_t now_us, struct tcp_extension *out);
int tcp_restore_extension(struct tcp_conn *conn, const struct tcp_extension *in, uint64_t now_us);
/* Empties every list (ready, out of order, dropped) into one chain for the caller; the connection
 * is CLOSED and silent. */
struct tcp_chunk *tcp_close(struct tcp_conn *conn);

/* ---- events in ---- */

/* One received segment. chunk describes its payload (NULL when there is none);
 * chunk->seq/len/offset/tsval/push are set here. */
unsigned tcp_on_segment(struct tcp_conn *conn, const struct tcp_segment *segment,
                        struct tcp_chunk *chunk, uint64_t now_us);
/* Call when tcp_deadline_us has passed; early calls are harmless. */
unsigned tcp_on_timer(struct tcp_conn *conn, uint64_t now_us);
/*
 * What would be sent cannot, or what was has only left now: the peer's silence counts from now on.
 * Call it when the medium takes a segment that it had refused, and before tcp_on_timer while it is
 * blocked.
 */
void tcp_on_blocked(struct tcp_conn *conn, uint64_t now_us);
/* When tcp_on_timer wants to be called; TCP_NEVER. */
uint64_t tcp_deadline_us(const struct tcp_conn *conn);

/* In-order chunks, oldest first; ownership passes to the caller. NULL: none. */
struct tcp_chunk *tcp_take(struct tcp_conn *conn);
struct tcp_chunk *tcp_take_dropped(struct tcp_conn *conn);

/*
 * Moves the ack point to ack_seq (at most rcv_nxt, behind the FIN if that is meant; never back).
 * tsval: the timestamp of the oldest segment this newly acknowledges, echoed in the next ACK if
 * none is pending (RFC 7323, section 4.3).
 */
void tcp_acknowledge(struct tcp_conn *conn, uint32_t ack_seq, uint32_t tsval, uint64_t now_us);
/* Moves the right edge; to the left: no effect. A significant opening makes a window update due. */
void tcp_set_right_edge(struct tcp_conn *conn, uint32_t edge_seq);
/* An acknowledgement is due now, whatever the policy. */
void tcp_ack_now(struct tcp_conn *conn);

/* More bytes to send behind snd_end. */
void tcp_queue(struct tcp_conn *conn, uint32_t bytes);
/* Our FIN follows what is queued; nothing may be queued afterwards. */
void tcp_queue_fin(struct tcp_conn *conn);
/* RST next, nothing else ever after. */
void tcp_abort(struct tcp_conn *conn);

void tcp_set_mtu(struct tcp_conn *conn, uint32_t path_mtu);
/* Cached variables that may change in flight: nagle, keepalive*, max_rt_us. Flags as in
 * chimney 4.3. */
void tcp_set_keepalive(struct tcp_conn *conn, const struct tcp_config *config, bool restart,
                       uint64_t now_us);
void tcp_restart_max_rt(struct tcp_conn *conn, uint64_t max_rt_us, uint64_t now_us);

/* ---- what to send ---- */

/*
 * The next segment, if anything may be sent now; the engine then takes it as sent. Call until
 * false. max_bytes bounds the payload of a superframe (at most TCP_MAX_BURST). Never called while
 * the medium is blocked.
 */
bool tcp_next(struct tcp_conn *conn, uint64_t now_us, uint32_t max_bytes, struct tcp_out *out);
/* True if an ACK (not data) is waiting: lets a caller delay it in the hope of data to ride on. */
bool tcp_ack_pending(const struct tcp_conn *conn);

/* Our timestamp at now_us. */
uint32_t tcp_timestamp(const struct tcp_conn *conn, uint64_t now_us);
/* The congestion window, in a recovery the one that it will end with. */
uint32_t tcp_congestion_window(const struct tcp_conn *conn);
/* Bytes the peer would let us have outstanding now: min(cwnd, snd_wnd). */
uint32_t tcp_send_allowance(const struct tcp_conn *conn);
/* True while chunks wait for a hole to be filled. */
bool tcp_has_hole(const struct tcp_conn *conn);

#endif
