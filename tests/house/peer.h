/*
 * A remote peer: a TCP that is simple on purpose and written from the RFCs alone, so that what it
 * and src/tcp agree on is not what one of them has got wrong. It begins ESTABLISHED, as a handshake
 * would have left it, and speaks Ethernet frames. No byte it sends is kept: who uses it computes
 * them again (`fill`); no byte that comes is taken on trust, however often it comes (`is_right`).
 *
 * Sources: RFC 9293 (segments, windows, closing), 7323 (scaling, timestamps, PAWS), 5681 and 6582
 * (congestion), 6298 (retransmission timer), 2018 and 2883 (SACK, DSACK), 3168 (ECN), 5961 (blind
 * attacks), 1122 (delayed ACKs, silly windows).
 *
 * Threads: the loop's. Times are microseconds. Nothing of src/tcp is used here.
 */
#ifndef TESTS_HOUSE_PEER_H
#define TESTS_HOUSE_PEER_H

#include "peer_frame.h"
#include "peer_ranges.h"
#include "sys/loop.h"

enum peer_end { PEER_OPEN, PEER_CLOSED, PEER_RESET, PEER_ABORTED, PEER_TIMEOUT };

/* No member may be NULL. at: number of the byte in the stream, from 0. */
struct peer_app {
    /* One frame is to leave. It is the peer's again after the call. */
    void (*send)(void *arg, const uint8_t *frame, size_t len);
    void (*fill)(void *arg, uint64_t at, uint8_t *bytes, size_t len); /* what is to be sent */
    /* Whether these are the bytes that the other side was given to send. */
    bool (*is_right)(void *arg, uint64_t at, const uint8_t *bytes, size_t len);
    void (*on_data)(void *arg, size_t len); /* so many more, in order */
    void (*on_fin)(void *arg);
    void (*on_end)(void *arg, enum peer_end end);
    /* The other side has done what no TCP may. */
    void (*on_violation)(void *arg, const char *what);
};

struct peer_options {
    struct peer_path path;
    uint32_t snd_seq, rcv_seq; /* next to send, next expected */
    uint32_t snd_max;          /* behind what was sent before; snd_seq: nothing in flight */
    uint64_t snd_at, rcv_at;   /* the same as numbers of bytes in the streams */
    uint8_t snd_wscale, rcv_wscale;
    bool timestamps, sack, ecn;
    uint16_t mss;            /* of what is sent, options included */
    uint32_t receive_buffer; /* bytes */
    uint32_t window;         /* of the other side */
    uint32_t ts_offset;      /* added to milliseconds */
    uint32_t ts_recent;
};

struct peer;

/* Another TCP behind the same functions. */
struct peer_kind {
    bool (*frame)(struct peer *peer, const uint8_t *bytes, size_t len, bool damaged);
    void (*offer)(struct peer *peer, uint64_t bytes);
    void (*read)(struct peer *peer, bool on);
    void (*close)(struct peer *peer);
    void (*abort)(struct peer *peer);
    void (*destroy)(struct peer *peer);
};

struct peer {
    const struct peer_kind *kind; /* NULL: this one */
    struct sys_loop *loop;
    struct peer_options options;
    const struct peer_app *app;
    void *arg;
    struct sys_timer timer, ack_timer;
    enum peer_end end;

    /* what we send */
    uint32_t snd_una, snd_nxt, snd_max;
    uint64_t una_at; /* number of the byte snd_una */
    uint64_t total;  /* bytes to send in all */
    bool fin_wanted, fin_acked;
    uint32_t snd_wnd, snd_wl1, snd_wl2, max_wnd;
    uint32_t cwnd, ssthresh, recover, hole;
    unsigned duplicates, retries;
    bool recovering;
    struct peer_ranges sacked;
    uint64_t srtt_us, rttvar_us, rto_us, timed_us;
    uint32_t timed_seq;
    bool timing;
    bool cwr_due;         /* the next new data says CWR */
    uint32_t ecn_recover; /* one reduction a window */

    /* what we receive */
    uint32_t rcv_nxt, rcv_adv; /* rcv_adv: right edge that was promised */
    uint64_t rcv_at;           /* number of the byte rcv_nxt */
    uint32_t held;             /* received, the application has not taken it */
    bool reading;
    uint8_t *ring;
    uint32_t ring_bytes;
    struct peer_ranges ahead; /* out of order */
    bool fin_seen, fin_received, fin_told;
    uint32_t fin_seq;
    uint32_t ts_recent, last_ack, recent_from; /* recent_from: of the block that came last */
    struct peer_range again;                   /* DSACK to send; empty: none */
    unsigned unacked;
    bool ece;

    uint64_t segments_in, segments_out, retransmissions, bad_checksums, dsacks_in, paws_drops;
};

/* NULL: out of memory. Owner: app stays the caller's. */
struct peer *peer_create(struct sys_loop *loop, const struct peer_options *options,
                         const struct peer_app *app, void *arg);
/* Silent. */
void peer_destroy(struct peer *peer);

/* One frame; damaged: the wire has changed it. False: not of this connection. */
bool peer_frame(struct peer *peer, const uint8_t *bytes, size_t len, bool damaged);

void peer_offer(struct peer *peer, uint64_t bytes); /* so many more to send */
void peer_read(struct peer *peer, bool on);         /* whether the application takes data */
void peer_close(struct peer *peer);                 /* FIN behind what was offered */
void peer_abort(struct peer *peer);                 /* RST */

/* ---- between the files of the peer ---- */

uint64_t peer_now(const struct peer *peer);
uint32_t peer_ts_now(const struct peer *peer);
void peer_finish(struct peer *peer, enum peer_end end);
void peer_look_closed(struct peer *peer);
void peer_violation(struct peer *peer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* peer_in.c */
void peer_segment_in(struct peer *peer, const struct peer_segment *segment);
void peer_deliver(struct peer *peer);
/* peer_loss.c */
void peer_on_ack(struct peer *peer, const struct peer_segment *segment);
void peer_on_timer(void *arg);
/* peer_out.c */
void peer_output(struct peer *peer);
void peer_ack(struct peer *peer);
uint32_t peer_mss(const struct peer *peer);
uint32_t peer_fin_seq(const struct peer *peer); /* of ours: behind the last byte */
void peer_retransmit(struct peer *peer, uint32_t seq);
void peer_probe(struct peer *peer);
void peer_send_reset(struct peer *peer, uint32_t seq);

#endif
