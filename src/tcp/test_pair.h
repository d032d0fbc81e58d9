/*
 * Two engines and all that lies around them, in virtual time: a network that loses, repeats,
 * reorders and cuts superframes; applications that write and read; whoever moves a connection from
 * one owner to the next; and a suspicious eye on every header written. Decisions come from the
 * pair's seed.
 */
#ifndef TCP_TEST_PAIR_H
#define TCP_TEST_PAIR_H

#include "base/list.h"
#include "base/random.h"
#include "tcp/private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHECK(what)                                                                                \
    do {                                                                                           \
        if (!(what))                                                                               \
            pair_fail_seed(pair, __LINE__, #what);                                                 \
    } while (0)

struct frame {
    struct list link;
    uint64_t arrive_us;
    int to;
    struct tcp_segment segment;
    struct tcp_chunk chunk;
    uint32_t lent_end;
    uint64_t return_us;
    uint8_t *payload;
};

struct end {
    struct tcp_conn conn;
    struct tcp_config config;
    uint32_t send_base, receive_base; /* sequence numbers of byte 0 */
    uint32_t total, queued, received, consumed;
    uint32_t chunk_bytes; /* the application writes at most this at once */
    uint64_t write_us, read_us, handover_us, abort_us;
    uint32_t buffer, read_bytes;
    bool returned; /* ack = returned */
    uint32_t return_delay_us;
    struct list lent;
    uint32_t allowed_ack, allowed_edge, shown_edge, highest_seq, last_tsval;
    bool fin_queued, fin_received, fin_acknowledged, fin_acked, aborted, reset, started;
    uint64_t fin_return_us;
    struct tcp_counters total_counters;
    unsigned handovers;
};

struct pair {
    uint64_t seed, now_us;
    struct random random;
    struct end ends[2];
    struct list wire;
    uint32_t loss_ppm, duplicate_ppm, reorder_ppm, mark_ppm, delay_us, jitter_us;
    uint64_t marked; /* frames */
    uint64_t link_free_us[2];
    uint32_t link_mbit;
    bool split;  /* superframes are cut on the way */
    bool steady; /* applications never pause */
};

static inline uint32_t
pair_below(struct pair *pair, uint32_t limit)
{
    return random_below(&pair->random, limit);
}

static inline bool
pair_chance(struct pair *pair, uint32_t percent)
{
    return pair_below(pair, 100) < percent;
}

/* Prints both ends and the seed, and fails the test. */
void pair_fail_seed(struct pair *pair, int line, const char *what);
/* Sends all an end has to say. */
void pair_flush(struct pair *pair, int from);
/* The application writes. */
void pair_write_some(struct pair *pair, struct end *end);
/* The application reads (ordinary receivers). */
void pair_read_some(struct pair *pair, struct end *end);
/* ack = returned: whoever took the bytes has delivered some. */
void pair_give_back(struct pair *pair, struct end *end);
/* Acknowledges the FIN when all before it is. */
void pair_finish_receiving(struct pair *pair, struct end *end);
/* After tcp_on_segment and tcp_on_timer. */
void pair_on_events(struct pair *pair, int to, unsigned events);
/* Captures, closes and restores into other memory. */
void pair_hand_over(struct pair *pair, int which);
/* A frame arrives; it is gone afterwards. */
void pair_deliver(struct pair *pair, struct frame *frame);
void pair_free_frame(struct frame *frame);
void pair_free_chunks(struct tcp_chunk *chunk);
void pair_add_counters(struct tcp_counters *sum, const struct tcp_counters *more);

#endif
