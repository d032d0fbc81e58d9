/*
 * What the tests of the strict judge share: segments made by hand. Our side's numbers start at
 * 1000, the peer's at 5000; segments of 1000 bytes, no options unless a test asks for them.
 */
#ifndef TESTS_HOUSE_STRICT_TEST_H
#define TESTS_HOUSE_STRICT_TEST_H

#include "strict.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OURS 1000u
#define THEIRS 5000u
#define MSS 1000u
#define MS 1000u

struct fixture {
    struct strict strict;
    uint64_t now_us;
    unsigned violations;
    char first[256];
};

static inline void
on_violation(void *arg, const char *what)
{
    struct fixture *fx = arg;

    if (!fx->violations++)
        snprintf(fx->first, sizeof fx->first, "%s", what);
}

static inline void
open_with(struct fixture *fx, bool sack, bool lossless)
{
    struct strict_options options = {.snd_seq = OURS,
                                     .rcv_seq = THEIRS,
                                     .mss = MSS,
                                     .peer_mss = MSS,
                                     .window = 60000,
                                     .receive_buffer = 20000,
                                     .ttl = 64,
                                     .sack = sack,
                                     .lossless = lossless,
                                     .nagle = true,
                                     .delayed_ack_us = 40000,
                                     .on_violation = on_violation,
                                     .arg = fx};

    memset(fx, 0, sizeof *fx);
    fx->now_us = 1000000;
    strict_init(&fx->strict, &options);
    strict_time(&fx->strict, fx->now_us);
}

static inline void
open_it(struct fixture *fx)
{
    open_with(fx, true, false);
}

static inline void
wait_ms(struct fixture *fx, unsigned ms)
{
    fx->now_us += (uint64_t)ms * MS;
    strict_time(&fx->strict, fx->now_us);
}

/* Our application writes and its host posts. */
static inline void
write_bytes(struct fixture *fx, uint32_t bytes)
{
    fx->strict.written += bytes;
}

static inline struct peer_segment
ours(uint32_t offset, uint32_t len)
{
    return (struct peer_segment){.seq = OURS + offset,
                                 .len = len,
                                 .ack = THEIRS,
                                 .window = 20000,
                                 .flags = PEER_ACK,
                                 .ttl = 64,
                                 .df = true};
}

static inline void
say(struct fixture *fx, const struct peer_segment *segment)
{
    strict_out(&fx->strict, segment, MSS, fx->now_us);
}

/* [offset, offset + len), pushed if it ends what is written. */
static inline void
send(struct fixture *fx, uint32_t offset, uint32_t len)
{
    struct peer_segment segment = ours(offset, len);

    if (segment.seq + len == fx->strict.written)
        segment.flags |= PEER_PSH;
    segment.ack = fx->strict.receive.next;
    say(fx, &segment);
}

static inline struct peer_segment
theirs(uint32_t offset, uint32_t len)
{
    return (struct peer_segment){.seq = THEIRS + offset,
                                 .len = len,
                                 .ack = OURS,
                                 .window = 60000,
                                 .flags = PEER_ACK,
                                 .ttl = 64};
}

static inline void
hear(struct fixture *fx, const struct peer_segment *segment)
{
    strict_in(&fx->strict, segment, fx->now_us);
}

/* Acknowledges, with one SACK block if to is not 0; our application learns of it. */
static inline void
hear_ack(struct fixture *fx, uint32_t ack, uint32_t from, uint32_t to)
{
    struct peer_segment segment = theirs(0, 0);

    segment.seq = fx->strict.receive.next;
    segment.ack = OURS + ack;
    segment.sacks = to != 0;
    segment.sack[0][0] = OURS + from;
    segment.sack[0][1] = OURS + to;
    hear(fx, &segment);
    fx->strict.released = fx->strict.send.una;
}

/* Data of the peer; our application takes what is in order. */
static inline void
hear_data(struct fixture *fx, uint32_t offset, uint32_t len)
{
    struct peer_segment segment = theirs(offset, len);

    segment.ack = fx->strict.send.una;
    hear(fx, &segment);
    fx->strict.taken = fx->strict.receive.next;
}

/* A bare acknowledgement of all that is in order, with one SACK block if to is not 0. */
static inline void
answer(struct fixture *fx, uint32_t from, uint32_t to)
{
    struct peer_segment segment = ours(0, 0);

    segment.seq = fx->strict.send.max;
    segment.ack = fx->strict.receive.next;
    segment.sacks = to != 0;
    segment.sack[0][0] = THEIRS + from;
    segment.sack[0][1] = THEIRS + to;
    say(fx, &segment);
}

static inline void
assert_blamed(struct fixture *fx, const char *words)
{
    if (!fx->violations || !strstr(fx->first, words))
        print_error("%u violations, the first: \"%s\"\n", fx->violations, fx->first);
    assert_true(fx->violations && strstr(fx->first, words));
}

static inline void
assert_right(struct fixture *fx)
{
    if (fx->violations)
        print_error("%s\n", fx->first);
    assert_int_equal(fx->violations, 0);
}

#endif
