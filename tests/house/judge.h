/*
 * A judge at our end of the wire. It hears every segment of one connection in the order in which it
 * left and came, knows so exactly what our side can have known, and reports what no TCP may do,
 * whoever owns the connection and however often that changes. It keeps no bytes: those are the
 * peer's to judge.
 *
 * Rules: RFC 9293 (3.4, 3.8.6, 3.10.7), 7323 (2.4, 3, 5), 2018, 2883, 1122 (4.2.3.2), 5961, 3168.
 */
#ifndef TESTS_HOUSE_JUDGE_H
#define TESTS_HOUSE_JUDGE_H

#include "peer_frame.h"
#include "peer_ranges.h"

/* Segments that somebody forged have this TTL: they tell our side nothing that is so. */
#define JUDGE_FORGED_TTL 77

struct judge_options {
    struct peer_path path; /* of our side */
    uint32_t snd_seq, rcv_seq;
    uint32_t window; /* of the peer at first, bytes */
    uint8_t snd_wscale, rcv_wscale;
    bool timestamps, sack, ecn;
    uint16_t mss, mtu;
    bool loose;            /* what stands between may change the order of what we say */
    bool holes;            /* what we say may be lost before it leaves: a cable is out */
    bool waits;            /* what it has decided to say may leave later: a wire is full */
    uint64_t ack_limit_us; /* in-order data are acknowledged by then; 0: no limit */
    uint64_t ecn_grace_us; /* so long new data may pass an echo without CWR */
    void (*on_violation)(void *arg, const char *what);
    void *arg;
};

/* What an acknowledgement of echo_to says. */
enum judge_echo { JUDGE_ECHO_OFF, JUDGE_ECHO_ON, JUDGE_ECHO_ANY };

struct judge_ecn {
    enum judge_echo echo;
    uint32_t echo_from, echo_to;
    bool heard; /* an echo that asks for CWR */
    uint64_t heard_us;
    uint64_t data_us;               /* new data were sent last */
    uint32_t flight;                /* bytes, when it came */
    bool cwr_said, resent, limited; /* resent: since the last CWR */
    bool sacked;                    /* what was sent is not what is in flight */
    uint32_t cwr_seq;
    uint64_t marks, capable, cwrs; /* segments: that came with CE, left with ECT, with CWR */
};

struct judge {
    struct judge_options options;
    /* what came to our side, whole */
    struct peer_ranges ahead;
    uint32_t rcv_next, rcv_max; /* in order up to; highest */
    bool fin_in, crowded;       /* crowded: more ranges than there is room for */
    uint32_t fin_in_seq;
    uint32_t acked, edge; /* highest acknowledgement, right edge */
    uint32_t tsval_in;
    bool tsval_seen;
    uint64_t again_in; /* segments of which we had acknowledged every byte */
    /* what our side said */
    uint32_t sent, said_ack, said_edge, tsval_out, tsecr_out;
    bool said, fin_out, may_reset, reset_in, reset_out;
    uint32_t fin_out_seq;
    uint64_t dsacks_out, segments_out;
    uint64_t ack_due_us; /* 0: nothing is owed */
    uint32_t ack_due_seq;
    struct judge_ecn ecn;
};

void judge_init(struct judge *judge, const struct judge_options *options);
/* What came to our side undamaged. */
void judge_in(struct judge *judge, const struct peer_segment *segment, uint64_t now_us);
/* What our side sends. gso_bytes: of each segment of a superframe; 0: one segment. */
void judge_out(struct judge *judge, const struct peer_segment *segment, uint32_t gso_bytes,
               uint64_t now_us);
/* Whether an acknowledgement is late by now. */
void judge_time(struct judge *judge, uint64_t now_us);

/* ---- between the files of the judge ---- */

/* Reports what is wrong. */
void judge_blame(struct judge *judge, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* judge_ecn.c: both before anything else is noted of the segment */
void judge_ecn_in(struct judge *judge, const struct peer_segment *segment, uint64_t now_us);
void judge_ecn_out(struct judge *judge, const struct peer_segment *segment, uint64_t now_us);

#endif
