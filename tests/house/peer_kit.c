/* See peer_kit.h. */
#include "peer_kit.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>

const struct wire_mem_impair kit_quiet = {.delay_us = 500, .bits_per_second = 200000000};
const struct wire_mem_impair kit_awful = {.loss_ppm = 50000,
                                          .duplicate_ppm = 20000,
                                          .reorder_ppm = 100000,
                                          .reorder_delay_us = 5000,
                                          .delay_us = 2000};

uint8_t
kit_stream_byte(uint64_t seed, uint64_t at)
{
    return (uint8_t)(hash_mix(seed ^ HASH_ODD_1, at / 8 + HASH_ODD_2) >> at % 8 * 8);
}

static void
on_send(void *arg, const uint8_t *frame, size_t len)
{
    struct side *side = arg;
    struct iovec piece = {(void *)(uintptr_t)frame, len};

    side->sent++;
    memcpy(side->last, frame, len);
    side->last_len = len;
    if (side->wire)
        assert_int_equal(
            wire_send(side->wire, &(struct wire_tx){.pieces = &piece, .piece_count = 1}), 0);
}

static void
on_fill(void *arg, uint64_t at, uint8_t *bytes, size_t len)
{
    struct side *side = arg;

    for (size_t i = 0; i < len; i++)
        bytes[i] = kit_stream_byte(side->seed, at + i);
}

static bool
is_right(void *arg, uint64_t at, const uint8_t *bytes, size_t len)
{
    struct side *side = arg;

    for (size_t i = 0; i < len; i++)
        if (bytes[i] != kit_stream_byte(side->other_seed, at + i))
            return false;
    return true;
}

static void
on_data(void *arg, size_t len)
{
    ((struct side *)arg)->received += len;
}

static void
on_fin(void *arg)
{
    ((struct side *)arg)->fin = true;
}

static void
on_end(void *arg, enum peer_end end)
{
    struct side *side = arg;

    side->ends++;
    side->end = end;
}

static void
on_violation(void *arg, const char *what)
{
    ((struct side *)arg)->violations++;
}

static const struct peer_app app = {on_send, on_fill, is_right,    on_data,
                                    on_fin,  on_end,  on_violation};

/* ---- two of them ---- */

static void
on_frame(void *arg, struct wire_buf *buf)
{
    struct side *side = arg;
    uint8_t bytes[2048];

    memcpy(bytes, buf->data, buf->len);
    if (random_chance_ppm(&side->random, side->ce_ppm))
        peer_frame_mark(bytes, buf->len);
    assert_true(peer_frame(side->peer, bytes, buf->len, false));
}

static const struct wire_receiver receiver = {on_frame, NULL, NULL};

static struct peer_options
options_of(unsigned i, const struct peer_options *base)
{
    struct peer_options options = *base;

    options.path.local[0] = options.path.local[15] = (uint8_t)(1 + i);
    options.path.remote[0] = options.path.remote[15] = (uint8_t)(2 - i);
    memcpy(options.path.local_mac, (uint8_t[6]){2, 0, 0, 0, 0, (uint8_t)(1 + i)}, 6);
    memcpy(options.path.remote_mac, (uint8_t[6]){2, 0, 0, 0, 0, (uint8_t)(2 - i)}, 6);
    options.path.local_port = (uint16_t)(1000 + i);
    options.path.remote_port = (uint16_t)(1001 - i);
    options.snd_seq = options.snd_max = i ? 0x7ffff000u : 0xfffff000u;
    options.rcv_seq = i ? 0xfffff000u : 0x7ffff000u;
    if (!options.mss)
        options.mss = 1440;
    if (!options.receive_buffer)
        options.receive_buffer = 65536;
    options.window = options.receive_buffer;
    options.ts_offset = 0xffffff00u;
    options.ts_recent = 0xffffff00u;
    return options;
}

void
couple_open(struct couple *couple, const struct peer_options *base,
            const struct wire_mem_impair *impair, uint64_t seed)
{
    struct wire_mem_impair ways[2] = {*impair, *impair};

    memset(couple, 0, sizeof *couple);
    couple->loop = sys_loop_create();
    ways[0].seed = seed;
    ways[1].seed = seed + 1000;
    assert_int_equal(wire_mem_create(couple->loop, 1518, ways, couple->wires), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct side *side = &couple->sides[i];
        struct peer_options options = options_of(i, base);
        side->wire = couple->wires[i];
        side->seed = 10 + i;
        side->other_seed = 11 - i;
        random_init(&side->random, seed + i);
        side->peer = peer_create(couple->loop, &options, &app, side);
        assert_non_null(side->peer);
        wire_set_receiver(side->wire, &receiver, side);
    }
}

void
couple_close(struct couple *couple)
{
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(couple->sides[i].violations, 0);
        peer_destroy(couple->sides[i].peer);
        wire_close(couple->wires[i]);
    }
    while (sys_loop_turn(couple->loop, false))
        ;
    sys_loop_destroy(couple->loop);
}

void
couple_turn(struct couple *couple, uint64_t us)
{
    uint64_t end = sys_loop_now_us(couple->loop) + us;

    while (sys_loop_now_us(couple->loop) < end &&
           !(couple->sides[0].ends && couple->sides[1].ends) && sys_loop_turn(couple->loop, true))
        ;
}

void
couple_streams(struct couple *couple, uint64_t first, uint64_t second)
{
    peer_offer(couple->sides[0].peer, first);
    peer_offer(couple->sides[1].peer, second);
    peer_close(couple->sides[0].peer);
    peer_close(couple->sides[1].peer);
    couple_turn(couple, 600 * SECOND_US);
    assert_int_equal(couple->sides[0].received, second);
    assert_int_equal(couple->sides[1].received, first);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(couple->sides[i].fin);
        assert_int_equal(couple->sides[i].end, PEER_CLOSED);
    }
}

/* ---- by hand ---- */

void
lonely_open(struct lonely *lonely, const struct peer_options *base)
{
    struct peer_options options = options_of(0, base);

    memset(lonely, 0, sizeof *lonely);
    lonely->loop = sys_loop_create();
    lonely->back = options_of(1, base).path;
    lonely->side.seed = 10;
    lonely->side.other_seed = 11;
    lonely->seq = options.rcv_seq;
    lonely->ack = options.snd_seq;
    lonely->side.peer = peer_create(lonely->loop, &options, &app, &lonely->side);
}

void
lonely_close(struct lonely *lonely, unsigned violations)
{
    assert_int_equal(lonely->side.violations, violations);
    peer_destroy(lonely->side.peer);
    sys_loop_destroy(lonely->loop);
}

/* A segment at offset at of the stream, with len right bytes. */
void
lonely_feed(struct lonely *lonely, uint32_t at, uint32_t len, struct peer_segment segment)
{
    uint8_t frame[2048], bytes[1500];

    for (uint32_t i = 0; i < len; i++)
        bytes[i] = kit_stream_byte(11, at + i);
    segment.seq = lonely->seq + at;
    segment.ack = segment.ack ? segment.ack : lonely->ack;
    segment.flags |= PEER_ACK;
    segment.window = 5000;
    segment.ttl = 64;
    segment.len = len;
    segment.payload = segment.payload ? segment.payload : bytes;
    peer_frame(lonely->side.peer, frame, peer_frame_write(frame, &lonely->back, &segment), false);
}

struct peer_segment
lonely_answer(const struct lonely *lonely)
{
    struct peer_segment segment;

    assert_true(peer_frame_read(lonely->side.last, lonely->side.last_len, lonely->side.last_len,
                                false, &segment));
    assert_true(peer_frame_sums_right(lonely->side.last, &segment));
    return segment;
}
