/*
 * A stricter judge, for connections that nobody moves, updates or forges for, on a wire that loses
 * only what it says it loses. Then a TCP's discretion ends where the RFCs have numbers, and this
 * asks for them: what may be in flight, and that the window is used; what goes again, why and when;
 * when an acknowledgement is due and what it says. It knows what our side has heard and said, and
 * what our application has written and taken; it keeps its own congestion window, in bounds.
 *
 * Rules: RFC 5681 (3, 4.2), 6928, 9438, 6937, 6298, 6675, 8985, 2018, 2883, 7323, 9293 (3.8.6),
 * 1122 (4.2.2.2, 4.2.3). Where they say SHOULD, our documented choice is asked for (tcp.h).
 */
#ifndef TESTS_HOUSE_STRICT_H
#define TESTS_HOUSE_STRICT_H

#include "peer_frame.h"
#include "peer_ranges.h"

#define STRICT_RTO_MOST_US 120000000u /* RFC 6298, 2.5; tcp.h */

struct strict_options {
    uint32_t snd_seq, rcv_seq;
    uint16_t mss, peer_mss; /* payload of a full segment, without SACK blocks */
    uint32_t window;        /* of the peer at first, bytes */
    uint32_t receive_buffer;
    uint8_t snd_wscale, rcv_wscale, ttl;
    bool timestamps, sack;
    bool lossless; /* either way */
    bool nagle;
    uint32_t ts_recent;
    uint32_t delayed_ack_us; /* so long may a lone segment wait; 500 ms at most, says RFC 5681 */
    uint64_t deliver_us;     /* so long may our application wait for what is in order */
    void (*on_violation)(void *arg, const char *what);
    void *arg;
};

/* The congestion window, by what it can be at most and at least. */
struct strict_window {
    double most, least; /* bytes */
    double ssthresh_most, ssthresh_least;
    double w_max, w_max_least, w_est_most, w_est_least, prior;
    uint64_t epoch_us; /* 0: slow start, or none yet */
    uint64_t last_us;  /* the last acknowledgement in congestion avoidance */
    double used_us;    /* since the epoch, while the window was what limited the sender */
};

struct strict_send {
    uint32_t una_before;                          /* when this moment began */
    uint64_t heard_us, news_us, active_before_us; /* news: of what had arrived */
    bool ignored; /* an acknowledgement came that our side must not read */
    uint32_t mss, una, max, edge, max_window, said_window;
    struct peer_ranges sacked, resent;
    struct strict_window window;
    /* a recovery, or what follows a timeout, until una reaches recover */
    bool recovering, after_timeout;
    uint32_t recover;
    double delivered, out; /* bytes, since then */
    double at_once, early; /* delivered at this moment; at that of the beginning */
    double share;          /* of what is delivered goes at least */
    uint64_t recovered_us;
    bool vague;        /* what began may have been either: the windows are not known any more */
    uint64_t sent_us;  /* data went last; 0: none yet */
    uint64_t wrote_us; /* our application wrote */
    uint32_t known;    /* what it had written then */
    uint32_t offered;  /* when something was heard */
    unsigned duplicates;
    bool partial;  /* at this moment, without SACK: the next hole goes at once */
    bool repaired; /* a tail probe went again: if that is what arrived, there was a loss */
    bool probed, probe_answered; /* a tail probe went since the last news; some of its past came */
    unsigned probes, timeouts;   /* timeouts: without news in between */
    uint64_t restart_us;         /* of the retransmission timer */
    uint64_t restart_late_us;    /* or then, if what went was a tail probe */
    uint64_t active_us;          /* something was sent, or was news */
    uint64_t backoff_us, backoff_late_us; /* what the last timeout took, at most and at least */
    uint32_t timed_seq;
    bool by_echo; /* what is behind it went again: its acknowledgement's stamp tells */
    uint64_t timed_us, rtt_least_us, rtt_most_us; /* 0: nothing is timed; none yet */
    double srtt, rttvar;                          /* RFC 6298, in microseconds */
    uint64_t measured_us;                         /* last */
    bool coarse;                                  /* some were measured in milliseconds */
    bool odd;                                     /* what is timed may have been something else */
    bool adopted;            /* by another owner: its tail probe is due soon after */
    uint64_t adopted_end_us; /* news came then */
    unsigned adoptions;      /* without news in between */
    double kept_us;   /* the timeout stays backed off until something is measured; 0: it is not */
    double former_us; /* but for the next owner, who was told only what was left of it */
    uint64_t first_timeout_us;
    uint64_t closed_us, persist_us; /* the window is closed since; what a probe took */
    bool closed_idle;               /* and all was acknowledged then */
    uint64_t waiting_us;            /* a small segment waits since */
    uint64_t first_us;              /* what the first probe of this closed window took */
    unsigned rounds, rounds_before; /* answered probes; when the last one went */
    uint64_t answered_us;
    bool asked;   /* and it is not answered */
    uint32_t wl1; /* sequence number that set the window */
    bool fin;
};

struct strict_receive {
    uint32_t next, next_before, acked, edge; /* before: when this moment began */
    struct peer_ranges ahead, again;         /* came out of order; came twice */
    uint32_t recent;                         /* in the range that came last */
    bool disorder;     /* out of order, a gap filled, or twice: to be acknowledged at once */
    bool twice;        /* to be reported */
    bool beyond;       /* more came than was promised: it may have been taken */
    bool crowded;      /* more ranges than are remembered */
    bool asked;        /* an answer is right, and need not be */
    uint64_t asked_us; /* then also behind one that a timer sent */
    uint64_t low_us;   /* an end before low_seq was heard then */
    uint32_t low_seq;
    unsigned segments; /* in order and not acknowledged */
    unsigned came;     /* those of them that came at this moment */
    unsigned olds;     /* old segments in a row, the last one at old_us */
    uint64_t old_us;
    unsigned owed;     /* duplicates: without SACK one for each segment out of order */
    uint64_t since_us; /* the first of segments came then */
    uint32_t ts_recent, ts_before, ts_first; /* before: when this moment began */
    uint32_t ts_maybe;                       /* if what we acknowledge now was said before */
    bool raced; /* we spoke at a moment without knowing all that came then */
    bool fresh; /* at this moment we acknowledged what was new */
    uint64_t ts_first_us, spoke_us, spoke_before_us, lag_us;
    uint32_t lag;                /* so far the application should have come, since lag_us */
    uint64_t narrow_us;          /* the window could be wider since */
    struct peer_segment last;    /* what we said last */
    bool stamped, fin_seen, fin; /* fin: in order */
    uint32_t fin_seq;
};

struct strict {
    struct strict_options options;
    uint64_t now_us; /* of what happened last */
    /* what our application did, by whom it is */
    uint32_t written;  /* sequence number behind what it has written */
    uint32_t released; /* and behind what it knows to be acknowledged */
    uint32_t taken;    /* sequence number behind what it has got */
    bool closing;      /* nothing follows what is written */
    bool reading;
    bool leaving;      /* the connection moves: what is due later goes now */
    unsigned moves;    /* so often, each of them rounds to ticks */
    unsigned events;   /* whatever was told */
    uint64_t limit_us; /* retransmissions take so long at most; 0: so many */
    struct strict_send send;
    struct strict_receive receive;
};

#define STRICT_NO_THRESHOLD 0x3fffffff

/* What a connection says of itself. Times in microseconds; tick_us: that its state counts in. */
struct strict_seen {
    uint32_t snd_una, snd_nxt, snd_max, snd_wnd, max_snd_wnd, cwnd, ssthresh;
    uint32_t rcv_nxt, rcv_wnd, ts_recent;
    uint64_t srtt_us, rttvar_us, total_rt_us;
    uint64_t retransmit_delta_us; /* UINT64_MAX: the timer is off */
    unsigned retransmits, probe_rounds, dup_acks;
    uint32_t tick_us;
    bool fin_wait_2; /* the timer is that of this state */
};

void strict_init(struct strict *strict, const struct strict_options *options);
/* Nothing more happens before now_us: what was due is there, or late. Before anything is told. */
void strict_time(struct strict *strict, uint64_t now_us);
void strict_in(struct strict *strict, const struct peer_segment *segment, uint64_t now_us);
/* gso_bytes: of each segment of a superframe; 0: one segment. */
void strict_out(struct strict *strict, const struct peer_segment *segment, uint32_t gso_bytes,
                uint64_t now_us);
/* At a moment at which nothing else was told, behind strict_time. */
void strict_look(struct strict *strict, const struct strict_seen *seen, uint64_t now_us);
/* It has another owner, who knows what the documented state says, or its extension, too. */
void strict_moved(struct strict *strict, bool extended, uint64_t now_us);

/* ---- between the files ---- */
/* strict_timer.c */
/* Of the retransmission timer, backed off so often. */
double strict_timeout_us(const struct strict *strict, unsigned backoff);
/* What a timer may be late. Deltas are rounded up when they change hands. */
uint64_t strict_slack_us(const struct strict *strict);
/* A timeout after so long, or after what is kept of the last one. */
uint64_t strict_most_wait_us(const struct strict_send *send, uint64_t otherwise_us);
/* ack covers more; and what its stamp tells. */
void strict_measure(struct strict_send *send, uint32_t ack, uint64_t now_us);
void strict_measure_echo(struct strict *strict, const struct peer_segment *segment,
                         uint64_t now_us);
/* What is left of a window if data goes now. */
void strict_idle(const struct strict *strict, struct strict_window *window, uint64_t now_us);
/* strict_send.c, strict_receive.c, strict_window.c */
void strict_blame(struct strict *strict, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void strict_send_init(struct strict *strict);
void strict_send_heard(struct strict *strict, const struct peer_segment *segment, uint64_t now_us);
void strict_send_said(struct strict *strict, const struct peer_segment *segment, uint32_t gso_bytes,
                      uint64_t now_us);
void strict_send_settled(struct strict *strict, uint64_t now_us);
void strict_receive_init(struct strict *strict);
void strict_receive_heard(struct strict *strict, const struct peer_segment *segment,
                          uint64_t now_us);
void strict_receive_said(struct strict *strict, const struct peer_segment *segment,
                         uint64_t now_us);
void strict_receive_settled(struct strict *strict, uint64_t now_us);
/* strict_window.c: in bytes and microseconds */
void strict_window_init(struct strict_window *window, double mss);
/* acked bytes; again: of what went again after a timeout; limited: the window had been full. */
void strict_window_grow(struct strict_window *window, double acked, bool again, double mss,
                        bool limited, uint64_t now_us, uint64_t rtt_least_us, uint64_t rtt_most_us);
/* Nothing was sent for so long, and nothing is outstanding. */
void strict_window_idle(struct strict_window *window, double mss, uint64_t idle_us,
                        uint64_t rto_least_us, uint64_t rto_most_us);
void strict_window_reduce(struct strict_window *window, double flight, double mss);
/* It may have been. */
void strict_window_doubt(struct strict_window *window, double flight, double mss);
void strict_window_recovered(struct strict_window *window);
void strict_window_timeout(struct strict_window *window, double mss);
/* Of the curve only what the threshold tells is known any more. */
void strict_window_moved(struct strict_window *window, double mss);

#endif
