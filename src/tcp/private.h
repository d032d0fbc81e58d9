/* What the files of the engine share: flags, internal doors, small arithmetic. */
#ifndef TCP_PRIVATE_H
#define TCP_PRIVATE_H

#include "tcp/tcp.h"

enum {
    /* receiving */
    TCP_CONN_ACK_NOW = 1u << 0,      /* an ACK is due at the next output */
    TCP_CONN_FIN_SEEN = 1u << 1,     /* the peer's FIN is at fin_rcv_seq */
    TCP_CONN_FIN_RECEIVED = 1u << 2, /* and in order: rcv_nxt is behind it */
    TCP_CONN_ECHO_FRESH = 1u << 3,   /* ts_recent was set since the last ACK went out */
    TCP_CONN_DSACK = 1u << 4,        /* dsack_start .. dsack_end is to be reported */
    TCP_CONN_UPDATE_HELD = 1u << 5,  /* a window update too small to send at once */
    /* sending */
    TCP_CONN_FIN_QUEUED = 1u << 6,
    TCP_CONN_FIN_SENT = 1u << 7,
    TCP_CONN_FIN_ACKED = 1u << 8,
    TCP_CONN_RTT_TIMING = 1u << 9, /* rtt_seq is being timed */
    TCP_CONN_CWND_LIMITED = 1u << 10,
    TCP_CONN_SWS_OVERRIDE = 1u << 11, /* a small segment may go */
    TCP_CONN_PROBE_DUE = 1u << 12,    /* a zero-length probe at snd_una - 1 */
    /* loss */
    TCP_CONN_RECOVERY = 1u << 13, /* fast recovery, until snd_una reaches recover_seq */
    TCP_CONN_LOSS = 1u << 14,     /* after a timeout, likewise */
    TCP_CONN_RTX_DUE = 1u << 15,  /* one segment goes whatever the congestion window says */
    TCP_CONN_TAIL_DUE = 1u << 16,
    TCP_CONN_TAIL_SENT = 1u << 17, /* no second tail probe without progress */
    TCP_CONN_UNDO = 1u << 18,      /* the last recovery may turn out to have been needless */
    /* the end */
    TCP_CONN_RST_DUE = 1u << 19,
    TCP_CONN_SILENT = 1u << 20, /* nothing is sent or processed any more */
    /* validation of a suspicious RST or SYN */
    TCP_CONN_CHALLENGED = 1u << 21,     /* the keepalive runs because of it */
    TCP_CONN_RST_CHALLENGED = 1u << 22, /* an RST was answered in this period */
    /* congestion notification */
    TCP_CONN_ECHO_CE = 1u << 23,     /* ECE goes with every ACK until a CWR comes */
    TCP_CONN_CWR_DUE = 1u << 24,     /* with the next new data */
    TCP_CONN_ECN_REACTED = 1u << 25, /* until snd_una is above ecn_seq */
    /* loss by time */
    TCP_CONN_LOST = 1u << 26,        /* some mark may be lost and not resent */
    TCP_CONN_REORDERING = 1u << 27,  /* the network was seen to reorder */
    TCP_CONN_DSACK_ROUND = 1u << 28, /* a D-SACK counted: until snd_una is at dsack_round_seq */
    TCP_CONN_TAIL_OPEN = 1u << 29,   /* which copy of the probe arrived is not known yet */
    TCP_CONN_UNMEASURED = 1u << 30,  /* timers may be too short for this path */
    TCP_CONN_TAIL_REDUCED = 1u << 31 /* a recovery has begun since the probe */
};

#define TCP_MAX_CWND 0x3fffffffu
#define TCP_MAX_RECEIVE_WINDOW (65535u << 14)
#define TCP_HEADER_LEN 20u
#define TCP_KEEPALIVE_IDLE_US 7200000000u /* RFC 1122, section 4.2.3.6; in place of 0, too */
#define TCP_TIMESTAMP_LEN 12u

static inline uint32_t
tcp_min(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t
tcp_max(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static inline uint64_t
tcp_min_us(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Later than now by delta; TCP_NEVER stays TCP_NEVER. */
static inline uint64_t
tcp_after_us(uint64_t now_us, uint64_t delta_us)
{
    return delta_us >= TCP_NEVER - now_us ? TCP_NEVER : now_us + delta_us;
}

static inline uint8_t
tcp_saturate_u8(uint32_t value)
{
    return value > 255 ? 255 : (uint8_t)value;
}

/* Wire segments in len payload bytes cut by size (0: one piece). */
static inline uint32_t
tcp_segments(uint32_t len, uint32_t size)
{
    return size && len > size ? (len + size - 1) / size : 1;
}

static inline bool
tcp_outstanding(const struct tcp_conn *conn)
{
    return conn->snd_una != conn->snd_max;
}

/* Something of ours is not acknowledged or not sent yet. */
static inline bool
tcp_has_work(const struct tcp_conn *conn)
{
    return tcp_outstanding(conn) ||
           conn->snd_max != conn->snd_end + !!(conn->flags & TCP_CONN_FIN_QUEUED);
}

/* The peer's closed window is of interest although nothing is queued. */
static inline bool
tcp_watches_window(const struct tcp_conn *conn)
{
    return conn->config.probe_always && !conn->snd_wnd && !(conn->flags & TCP_CONN_FIN_QUEUED) &&
           (conn->state == TCP_ESTABLISHED || conn->state == TCP_CLOSE_WAIT);
}

/* The retransmission timer, or persist in its place, has something to do. */
static inline bool
tcp_rtx_wanted(const struct tcp_conn *conn)
{
    return tcp_has_work(conn) || tcp_watches_window(conn);
}

/* ---- state.c ---- */
void tcp_set_state(struct tcp_conn *conn, enum tcp_conn_state state, const char *why);
/* CLOSED in good order: only an ACK that is due still goes. */
void tcp_finish(struct tcp_conn *conn, const char *why);
/* CLOSED, and neither sends nor listens. */
void tcp_die(struct tcp_conn *conn, const char *why);
void tcp_update_mss(struct tcp_conn *conn);

/* ---- ack.c ---- */
/* Acknowledges nothing unsent and nothing ancient (RFC 5961, section 5). */
bool tcp_ack_valid(const struct tcp_conn *conn, const struct tcp_segment *segment);
unsigned tcp_ack_input(struct tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_us);

/* ---- scoreboard.c ---- */
/* Adds the SACK blocks of a segment; true if they tell anything new. */
bool tcp_sack_input(struct tcp_conn *conn, const struct tcp_segment *segment, uint64_t now_us);
/* The first block tells of a duplicate (RFC 2883, section 4). */
bool tcp_has_dsack(const struct tcp_segment *segment);
/* Forgets what snd_una has passed. */
void tcp_sack_advance(struct tcp_conn *conn);
/* Bytes of [start, end) that are not SACKed. */
uint32_t tcp_unsacked(const struct tcp_conn *conn, uint32_t start, uint32_t end);
/* First number at or after seq that is not SACKed; *end: where the next SACKed range starts, at
 * most limit. */
uint32_t tcp_next_hole(const struct tcp_conn *conn, uint32_t seq, uint32_t limit, uint32_t *end);
/* As many segments are SACKed as duplicate ACKs would have to be (RFC 6675). */
bool tcp_sack_many(const struct tcp_conn *conn);

/* ---- recovery.c ---- */
/* What an ACK has told. */
struct tcp_ack_news {
    uint32_t flight;        /* before it */
    uint32_t delivered_seq; /* tcp_delivered_seq before it */
    uint32_t advanced;      /* snd_una moved by this */
    bool sacked;            /* new SACKs */
    bool duplicate;         /* without SACK */
    bool repeated;          /* nothing at all */
    bool dsack;
};
/* After an ACK was processed: begins, feeds and ends recovery. */
unsigned tcp_recovery_on_ack(struct tcp_conn *conn, const struct tcp_ack_news *news,
                             uint64_t now_us);
/* What was sent earlier has been missing for long enough. */
unsigned tcp_recovery_on_reordering(struct tcp_conn *conn, uint64_t now_us);
/* Over, for whatever reason. */
void tcp_recovery_stop(struct tcp_conn *conn);
/* snd_una, and as far again as the peer has more: moves by what is delivered. */
uint32_t tcp_delivered_seq(const struct tcp_conn *conn);
/* The peer got this range twice. */
unsigned tcp_recovery_on_dsack(struct tcp_conn *conn, struct tcp_range range);
/* A recovery that the former owner began goes on. */
void tcp_recovery_resume(struct tcp_conn *conn, uint32_t recover_seq);
/* Bytes thought to be in the network (RFC 6675, pipe). */
uint32_t tcp_pipe(const struct tcp_conn *conn);
void tcp_recovery_on_timeout(struct tcp_conn *conn);
void tcp_recovery_on_tail(struct tcp_conn *conn);

/* ---- rack.c: all but adopt do nothing without SACK ---- */
void tcp_rack_adopt(struct tcp_conn *conn, uint64_t now_us);
/* [start, end) goes out; snd_max is as before. */
void tcp_rack_on_sent(struct tcp_conn *conn, uint32_t start, uint32_t end, bool resent,
                      uint64_t now_us);
/* What of [start, end) is not SACKed has arrived; before snd_una and the scoreboard know. */
void tcp_rack_on_delivered(struct tcp_conn *conn, uint32_t start, uint32_t end, uint64_t now_us);
/* snd_una moved. */
void tcp_rack_advance(struct tcp_conn *conn);
void tcp_rack_on_dsack(struct tcp_conn *conn);
/* A recovery has ended. */
void tcp_rack_on_recovered(struct tcp_conn *conn);
/* Marks what is lost by now, and sets reo_deadline_us for what will be. */
void tcp_rack_detect(struct tcp_conn *conn, uint64_t now_us);
/* What is missing below end is lost. */
void tcp_rack_lose(struct tcp_conn *conn, uint32_t end);
/* Nothing is. */
void tcp_rack_forgive(struct tcp_conn *conn);
/* The first hole that is lost; false: none. */
bool tcp_rack_next_lost(struct tcp_conn *conn, uint32_t *start, uint32_t *end);
/* Missing bytes below snd_nxt that are lost and not resent. */
uint32_t tcp_rack_lost_bytes(const struct tcp_conn *conn);

/* ---- prr.c ---- */
void tcp_prr_start(struct tcp_conn *conn, uint32_t flight);
void tcp_prr_on_ack(struct tcp_conn *conn, uint32_t delivered);
void tcp_prr_on_sent(struct tcp_conn *conn, uint32_t bytes);

/* ---- congestion.c ---- */
void tcp_cc_init(struct tcp_conn *conn, uint32_t cwnd, uint32_t ssthresh);
void tcp_cc_on_ack(struct tcp_conn *conn, uint32_t acked, uint32_t flight, uint64_t now_us);
void tcp_cc_on_loss(struct tcp_conn *conn, uint32_t flight);
void tcp_cc_on_timeout(struct tcp_conn *conn, uint32_t flight, bool first);
/* Nothing is outstanding, and something is about to be sent. */
void tcp_cc_on_idle(struct tcp_conn *conn, uint64_t now_us);
/* Nothing was lost after all: the windows before the last event come back. */
void tcp_cc_undo(struct tcp_conn *conn);
/* Bytes that may be added to the network. */
uint32_t tcp_cc_room(const struct tcp_conn *conn);

/* ---- cubic.c ---- */
/* From cwnd and ssthresh alone. */
void tcp_cubic_init(struct tcp_conn *conn);
/* In congestion avoidance. */
void tcp_cubic_on_ack(struct tcp_conn *conn, uint32_t acked, uint64_t now_us);
/* Numbers that a curve can have. */
bool tcp_cubic_valid(const struct tcp_cubic *cubic);
/* The window was too large for the network: what to go on with. */
uint32_t tcp_cubic_on_congestion(struct tcp_conn *conn, uint32_t window);

/* ---- ecn.c ---- */
/* A segment whose data is acceptable. */
void tcp_ecn_input(struct tcp_conn *conn, const struct tcp_segment *segment);
/* snd_una moved. */
void tcp_ecn_advance(struct tcp_conn *conn);
/* An ACK with ECE; flight: before it. Events: WINDOW. */
unsigned tcp_ecn_on_echo(struct tcp_conn *conn, uint32_t flight, uint64_t now_us);
/* New data has to wait; the retransmission timer runs. */
bool tcp_ecn_waits(struct tcp_conn *conn, uint64_t now_us);
/* The congestion window was reduced, for whatever reason. */
void tcp_ecn_reduced(struct tcp_conn *conn);
/* What a segment about to go says of it. */
void tcp_ecn_output(struct tcp_conn *conn, struct tcp_out *out);

/* ---- reassembly.c ---- */
/* The chunk has been cut to the right edge. Events: KEPT, READY, DUPLICATE, DROPPED. */
unsigned tcp_reassemble(struct tcp_conn *conn, struct tcp_chunk *chunk);
/* Arrived again: the next ACK reports it (RFC 2883). */
void tcp_note_duplicate(struct tcp_conn *conn, uint32_t start, uint32_t end);
/* The blocks the next ACK shows; *dsack: the first is a D-SACK. */
unsigned tcp_sack_blocks(const struct tcp_conn *conn, struct tcp_range blocks[4], bool *dsack);

/* ---- window.c ---- */
/* Sequence numbers up to here are acceptable. */
uint32_t tcp_right_edge(const struct tcp_conn *conn);
/* The window field of the segment about to go; takes it as shown. */
uint16_t tcp_show_window(struct tcp_conn *conn);
/* An acknowledgement goes then, if none goes before. */
void tcp_ack_within(struct tcp_conn *conn, uint64_t now_us, uint64_t delta_us);
/* tsval may replace ts_recent (RFC 7323, sections 4.3 and 5.5). */
bool tcp_timestamp_newer(const struct tcp_conn *conn, uint32_t tsval, uint64_t now_us);

/* ---- timer.c ---- */
void tcp_rtt_sample(struct tcp_conn *conn, uint64_t rtt_us, uint64_t now_us);
/* What is behind seq is measured by the stamp that its acknowledgement echoes; without timestamps
 * by nothing. */
void tcp_rtt_by_echo(struct tcp_conn *conn, uint32_t seq);
void tcp_rtt_echo(struct tcp_conn *conn, uint32_t tsecr, uint64_t now_us);
void tcp_note_min_rtt(struct tcp_conn *conn, uint64_t rtt_us, uint64_t now_us);
/* The shortest round trip of the last minutes; 0: none. */
uint64_t tcp_min_rtt_us(const struct tcp_conn *conn, uint64_t now_us);
void tcp_set_rto(struct tcp_conn *conn);
/* base << shift, at most max_rto. */
uint64_t tcp_backoff(const struct tcp_conn *conn, uint8_t shift);
/* The timer that runs, if it is of a retransmission: when it would expire by itself, or at MaxRT.
 */
void tcp_limit_rtx(struct tcp_conn *conn, uint64_t now_us);
void tcp_start_rtx(struct tcp_conn *conn, uint64_t now_us);
void tcp_start_tail(struct tcp_conn *conn, uint64_t now_us);
/* Acknowledgements may have been lost with the former owner. */
void tcp_start_adopted_tail(struct tcp_conn *conn, uint64_t now_us);
/* The window closed, or work came while it was closed. */
void tcp_start_persist(struct tcp_conn *conn, uint64_t now_us);
/* An acceptable segment arrived: keepalive, FIN_WAIT_2 and validation start anew. */
void tcp_on_acceptable(struct tcp_conn *conn, uint64_t now_us);
/* A challenge ACK went out: the peer must prove to be alive. */
void tcp_start_validation(struct tcp_conn *conn, uint64_t now_us);

/* ---- segment.c: both return the bytes written ---- */
uint8_t tcp_put_timestamp(uint8_t *at, uint32_t tsval, uint32_t tsecr);
uint8_t tcp_put_sack(uint8_t *at, const struct tcp_range *blocks, unsigned count);

#endif
