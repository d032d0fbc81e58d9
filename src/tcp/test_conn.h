/*
 * What the unit tests of this folder share: one connection with round numbers (segments of 1000
 * bytes), both sequence spaces just below 2^32 so that every test wraps, and short ways to feed it
 * and to see what it says.
 */
#ifndef TCP_TEST_CONN_H
#define TCP_TEST_CONN_H

#include "tcp/private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define SEND 0xfffffc00u /* snd_una at the start */
#define RECV 0xffffff00u /* rcv_nxt at the start */
#define MSS 1000u
#define RECV_WINDOW 40000u
#define SEND_WINDOW 50000u
#define START_US 1000000u

struct fixture {
    struct tcp_conn conn;
    struct tcp_config config;
    struct tcp_state state;
    uint64_t now_us;
    struct tcp_out out;
    struct tcp_chunk chunks[64];
    unsigned next_chunk;
    struct tcp_range sack[4]; /* of the next acknowledgement fed */
    uint8_t sack_count;
};

/* Fills in; tests change config or state and then call reopen. */
static inline void
prepare(struct fixture *fx)
{
    memset(fx, 0, sizeof(*fx));
    tcp_config_defaults(&fx->config);
    fx->config.sack = true;
    fx->config.remote_mss = MSS;
    fx->config.congestion = TCP_CC_NEWRENO; /* halves and adds: round numbers */
    fx->config.nagle = false;
    fx->config.delayed_ack_us = 0;
    fx->now_us = START_US;
    fx->state = (struct tcp_state){
        .state = TCP_ESTABLISHED,
        .rcv_nxt = RECV,
        .rcv_wnd = RECV_WINDOW,
        .snd_una = SEND,
        .snd_nxt = SEND,
        .snd_max = SEND,
        .snd_end = SEND,
        .snd_wnd = SEND_WINDOW,
        .max_snd_wnd = SEND_WINDOW,
        .snd_wl1 = RECV,
        .cwnd = 20 * MSS,
        .srtt_us = 50000,
        .rttvar_us = 10000,
        .keepalive_delta_us = TCP_NEVER,
        .retransmit_delta_us = TCP_NEVER,
    };
}

static inline void
reopen(struct fixture *fx)
{
    assert_int_equal(tcp_restore(&fx->conn, &fx->config, &fx->state, fx->now_us), 0);
}

static inline void
open_conn(struct fixture *fx)
{
    prepare(fx);
    reopen(fx);
}

static inline bool
next(struct fixture *fx)
{
    return tcp_next(&fx->conn, fx->now_us, TCP_MAX_BURST, &fx->out);
}

/* Everything it wants to say is said; how many segments or superframes. */
static inline unsigned
drain_out(struct fixture *fx)
{
    unsigned count = 0;

    while (next(fx))
        assert_true(++count < 1000);
    return count;
}

static inline void
assert_silent(struct fixture *fx)
{
    assert_false(next(fx));
}

/* The next thing said is a bare segment with these flags. */
static inline void
assert_bare(struct fixture *fx, uint8_t flags)
{
    assert_true(next(fx));
    assert_int_equal(fx->out.len, 0);
    assert_int_equal(fx->out.flags, flags);
}

static inline void
assert_data(struct fixture *fx, uint32_t from, uint32_t len)
{
    assert_true(next(fx));
    assert_int_equal(fx->out.seq - SEND, from);
    assert_int_equal(fx->out.len, len);
}

static inline struct tcp_segment
segment_at(uint32_t offset, uint32_t len)
{
    return (struct tcp_segment){
        .seq = RECV + offset,
        .ack = SEND,
        .payload_len = len,
        .window = SEND_WINDOW,
        .flags = TCP_ACK,
    };
}

static inline struct tcp_chunk *
new_chunk(struct fixture *fx)
{
    return &fx->chunks[fx->next_chunk++ % 64];
}

static inline unsigned
feed_segment(struct fixture *fx, const struct tcp_segment *segment)
{
    return tcp_on_segment(&fx->conn, segment, segment->payload_len ? new_chunk(fx) : NULL,
                          fx->now_us);
}

/* Payload at RECV + offset. */
static inline unsigned
feed(struct fixture *fx, uint32_t offset, uint32_t len)
{
    struct tcp_segment segment = segment_at(offset, len);

    segment.ack = fx->conn.snd_una;
    return feed_segment(fx, &segment);
}

/* A bare acknowledgement of SEND + offset, with fx->sack. */
static inline unsigned
feed_ack(struct fixture *fx, uint32_t offset)
{
    struct tcp_segment segment = segment_at(0, 0);

    segment.seq = fx->conn.rcv_nxt;
    segment.ack = SEND + offset;
    segment.sack_count = fx->sack_count;
    memcpy(segment.sack, fx->sack, sizeof(segment.sack));
    fx->sack_count = 0;
    return feed_segment(fx, &segment);
}

static inline void
add_sack(struct fixture *fx, uint32_t start, uint32_t end)
{
    fx->sack[fx->sack_count++] = (struct tcp_range){SEND + start, SEND + end};
}

/* Takes and acknowledges all that is in order, as an ordinary receiver; how many bytes. */
static inline uint32_t
consume(struct fixture *fx)
{
    struct tcp_chunk *chunk;
    uint32_t bytes = 0;

    while ((chunk = tcp_take(&fx->conn))) {
        bytes += chunk->len;
        tcp_acknowledge(&fx->conn, chunk->seq + chunk->len, chunk->tsval, fx->now_us);
    }
    return bytes;
}

static inline unsigned
pass(struct fixture *fx, uint64_t us)
{
    fx->now_us += us;
    return tcp_on_timer(&fx->conn, fx->now_us);
}

/* Jumps to the next deadline. */
static inline unsigned
expire(struct fixture *fx)
{
    assert_true(tcp_deadline_us(&fx->conn) != TCP_NEVER);
    fx->now_us = tcp_deadline_us(&fx->conn);
    return tcp_on_timer(&fx->conn, fx->now_us);
}

/* Sends segments * MSS bytes as one superframe. */
static inline void
send_segments(struct fixture *fx, unsigned segments)
{
    tcp_queue(&fx->conn, segments * MSS);
    drain_out(fx);
    assert_true(fx->conn.snd_max == fx->conn.snd_end);
}

/* So many segments are out. */
static inline void
open_sending(struct fixture *fx, bool with_sack, unsigned segments)
{
    prepare(fx);
    fx->config.sack = with_sack;
    fx->state.cwnd = 40 * MSS;
    reopen(fx);
    send_segments(fx, segments);
}

/* An acknowledgement with one more SACK block. */
static inline unsigned
feed_sack(struct fixture *fx, uint32_t ack, uint32_t start, uint32_t end)
{
    add_sack(fx, start, end);
    return feed_ack(fx, ack);
}

/* The SACK blocks of what was said last; how many. */
static inline unsigned
out_sack(const struct fixture *fx, struct tcp_segment *segment)
{
    uint8_t header[TCP_MAX_HEADER];
    size_t len = tcp_write_header(&fx->out, 1, 2, header);

    assert_int_equal(tcp_parse(header, len, segment), 0);
    return segment->sack_count;
}

#endif
