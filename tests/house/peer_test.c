/*
 * The peer against itself over a wire that mistreats frames, and against segments made by hand:
 * what it must refuse, answer and report.
 */
#include "peer.h"

#include "base/hash.h"
#include "base/random.h"
#include "chimney/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include <cmocka.h>

#define SECOND_US 1000000ull

struct side {
    struct peer *peer;
    struct wire *wire; /* NULL: what is sent is kept in last */
    uint64_t seed, other_seed;
    uint64_t received;
    bool fin;
    enum peer_end end;
    unsigned violations, ends;
    unsigned ce_ppm; /* of what it receives */
    struct random random;
    uint8_t last[2048];
    size_t last_len;
    unsigned sent;
};

static uint8_t
stream_byte(uint64_t seed, uint64_t at)
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
        bytes[i] = stream_byte(side->seed, at + i);
}

static bool
is_right(void *arg, uint64_t at, const uint8_t *bytes, size_t len)
{
    struct side *side = arg;

    for (size_t i = 0; i < len; i++)
        if (bytes[i] != stream_byte(side->other_seed, at + i))
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

struct couple {
    struct sys_loop *loop;
    struct wire *wires[2];
    struct side sides[2];
};

static void
on_frame(void *arg, struct wire_buf *buf)
{
    struct side *side = arg;
    uint8_t bytes[2048];

    memcpy(bytes, buf->data, buf->len);
    if (random_chance_ppm(&side->random, side->ce_ppm) && bytes[12] == 0x86 && bytes[15] & 0x30)
        bytes[15] |= 0x30; /* IPv6 has no sum over it */
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

static void
open_couple(struct couple *couple, const struct peer_options *base,
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

static void
close_couple(struct couple *couple)
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

static void
turn(struct couple *couple, uint64_t us)
{
    uint64_t end = sys_loop_now_us(couple->loop) + us;

    while (sys_loop_now_us(couple->loop) < end &&
           !(couple->sides[0].ends && couple->sides[1].ends) && sys_loop_turn(couple->loop, true))
        ;
}

static void
expect_streams(struct couple *couple, uint64_t first, uint64_t second)
{
    peer_offer(couple->sides[0].peer, first);
    peer_offer(couple->sides[1].peer, second);
    peer_close(couple->sides[0].peer);
    peer_close(couple->sides[1].peer);
    turn(couple, 600 * SECOND_US);
    assert_int_equal(couple->sides[0].received, second);
    assert_int_equal(couple->sides[1].received, first);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(couple->sides[i].fin);
        assert_int_equal(couple->sides[i].end, PEER_CLOSED);
    }
}

static const struct wire_mem_impair quiet = {.delay_us = 500, .bits_per_second = 200000000};
static const struct wire_mem_impair awful = {.loss_ppm = 50000,
                                             .duplicate_ppm = 20000,
                                             .reorder_ppm = 100000,
                                             .reorder_delay_us = 5000,
                                             .delay_us = 2000};

static void
streams_arrive(void **state)
{
    static const struct peer_options kinds[] = {
        {.timestamps = true, .sack = true, .snd_wscale = 4, .rcv_wscale = 4},
        {.timestamps = true, .sack = true, .path = {.ipv6 = true}},
        {.receive_buffer = 3000},
        {.sack = true, .mss = 536, .path = {.vlan = 7}},
        {.timestamps = true, .receive_buffer = 400000, .snd_wscale = 7, .rcv_wscale = 7},
    };

    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        for (unsigned seed = 1; seed <= 6; seed++) {
            struct couple couple;
            open_couple(&couple, &kinds[i], seed % 2 ? &awful : &quiet, seed);
            expect_streams(&couple, 300000, seed * 50000);
            if (seed % 2)
                assert_true(couple.sides[0].peer->retransmissions > 0);
            else
                assert_int_equal(couple.sides[0].peer->retransmissions, 0);
            close_couple(&couple);
        }
    }
}

static void
congestion_is_echoed(void **state)
{
    struct couple couple;

    open_couple(&couple,
                &(struct peer_options){
                    .timestamps = true, .sack = true, .ecn = true, .path = {.ipv6 = true}},
                &quiet, 1);
    couple.sides[1].ce_ppm = 10000;
    expect_streams(&couple, 1000000, 1000);
    assert_int_equal(couple.sides[0].peer->retransmissions, 0);
    assert_true(couple.sides[0].peer->ssthresh < 65536);
    close_couple(&couple);
}

static void
a_slow_reader_closes_the_window(void **state)
{
    struct couple couple;

    open_couple(&couple, &(struct peer_options){.receive_buffer = 20000}, &quiet, 1);
    peer_read(couple.sides[1].peer, false);
    peer_offer(couple.sides[0].peer, 100000);
    turn(&couple, 3000 * SECOND_US); /* probes are answered for ever */
    assert_int_equal(couple.sides[1].received, 0);
    assert_int_equal(couple.sides[1].peer->held, 20000);
    assert_int_equal(couple.sides[0].end, PEER_OPEN);
    peer_read(couple.sides[1].peer, true);
    turn(&couple, 100 * SECOND_US);
    assert_int_equal(couple.sides[1].received, 100000);
    close_couple(&couple);
}

static void
silence_ends_it(void **state)
{
    struct couple couple;

    open_couple(&couple, &(struct peer_options){0}, &quiet, 1);
    wire_set_receiver(couple.wires[1], NULL, NULL);
    peer_offer(couple.sides[0].peer, 1000);
    turn(&couple, 3000 * SECOND_US);
    assert_int_equal(couple.sides[0].end, PEER_TIMEOUT);
    close_couple(&couple);
}

static void
an_abort_ends_it(void **state)
{
    struct couple couple;

    open_couple(&couple, &(struct peer_options){.timestamps = true}, &quiet, 1);
    peer_offer(couple.sides[0].peer, 10000);
    turn(&couple, SECOND_US);
    peer_abort(couple.sides[0].peer);
    turn(&couple, SECOND_US);
    assert_int_equal(couple.sides[0].end, PEER_ABORTED);
    assert_int_equal(couple.sides[1].end, PEER_RESET);
    close_couple(&couple);
}

/* ---- by hand ---- */

struct lonely {
    struct sys_loop *loop;
    struct side side;
    struct peer_path back;
    uint32_t seq, ack;
};

static void
open_lonely(struct lonely *lonely, const struct peer_options *base)
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

static void
close_lonely(struct lonely *lonely, unsigned violations)
{
    assert_int_equal(lonely->side.violations, violations);
    peer_destroy(lonely->side.peer);
    sys_loop_destroy(lonely->loop);
}

/* A segment at offset at of the stream, with len right bytes. */
static void
feed(struct lonely *lonely, uint32_t at, uint32_t len, struct peer_segment segment)
{
    uint8_t frame[2048], bytes[1500];

    for (uint32_t i = 0; i < len; i++)
        bytes[i] = stream_byte(11, at + i);
    segment.seq = lonely->seq + at;
    segment.ack = segment.ack ? segment.ack : lonely->ack;
    segment.flags |= PEER_ACK;
    segment.window = 5000;
    segment.ttl = 64;
    segment.len = len;
    segment.payload = segment.payload ? segment.payload : bytes;
    peer_frame(lonely->side.peer, frame, peer_frame_write(frame, &lonely->back, &segment), false);
}

static struct peer_segment
answer(const struct lonely *lonely)
{
    struct peer_segment segment;

    assert_true(peer_frame_read(lonely->side.last, lonely->side.last_len, lonely->side.last_len,
                                false, &segment));
    assert_true(peer_frame_sums_right(lonely->side.last, &segment));
    return segment;
}

static void
old_timestamps_are_refused(void **state)
{
    struct lonely lonely;
    struct peer_segment old = {.has_ts = true, .tsval = 0xfffffeffu};

    open_lonely(&lonely, &(struct peer_options){.timestamps = true});
    feed(&lonely, 0, 100, old);
    feed(&lonely, 0, 100, (struct peer_segment){0}); /* and what has none */
    assert_int_equal(lonely.side.received, 0);
    assert_int_equal(lonely.side.peer->paws_drops, 1);
    assert_int_equal(answer(&lonely).ack, lonely.seq);
    feed(&lonely, 0, 100, (struct peer_segment){.has_ts = true, .tsval = 5}); /* wrapped */
    assert_int_equal(lonely.side.received, 100);
    close_lonely(&lonely, 0);
}

static void
resets_count_only_where_they_belong(void **state)
{
    struct lonely lonely;

    open_lonely(&lonely, &(struct peer_options){0});
    feed(&lonely, 1, 0, (struct peer_segment){.flags = PEER_RST});
    assert_int_equal(lonely.side.sent, 1);
    feed(&lonely, 70000, 0, (struct peer_segment){.flags = PEER_RST});
    feed(&lonely, (uint32_t)-1, 0, (struct peer_segment){.flags = PEER_RST});
    assert_int_equal(lonely.side.sent, 1);
    feed(&lonely, 0, 0, (struct peer_segment){.flags = PEER_SYN});
    assert_int_equal(lonely.side.sent, 2);
    assert_int_equal(lonely.side.ends, 0);
    feed(&lonely, 0, 0, (struct peer_segment){.flags = PEER_RST});
    assert_int_equal(lonely.side.end, PEER_RESET);
    close_lonely(&lonely, 0);
}

static void
what_is_missing_and_what_came_twice_is_said(void **state)
{
    struct lonely lonely;
    struct peer_segment said;

    open_lonely(&lonely, &(struct peer_options){.sack = true});
    feed(&lonely, 100, 100, (struct peer_segment){0});
    feed(&lonely, 300, 100, (struct peer_segment){0});
    said = answer(&lonely);
    assert_int_equal(said.ack, lonely.seq);
    assert_int_equal(said.sacks, 2);
    assert_int_equal(said.sack[0][0], lonely.seq + 300);
    assert_int_equal(said.sack[1][0], lonely.seq + 100);
    feed(&lonely, 100, 100, (struct peer_segment){0});
    said = answer(&lonely);
    assert_int_equal(said.sacks, 3);
    assert_int_equal(said.sack[0][0], lonely.seq + 100);
    assert_int_equal(said.sack[0][1], lonely.seq + 200);
    feed(&lonely, 0, 100, (struct peer_segment){0});
    assert_int_equal(answer(&lonely).ack, lonely.seq + 200);
    feed(&lonely, 0, 100, (struct peer_segment){0});
    said = answer(&lonely);
    assert_int_equal(said.sack[0][0], lonely.seq);
    assert_int_equal(said.ack, lonely.seq + 200);
    close_lonely(&lonely, 0);
}

static void
marks_are_echoed_until_they_are_heard(void **state)
{
    struct lonely lonely;

    open_lonely(&lonely, &(struct peer_options){.ecn = true});
    feed(&lonely, 0, 100, (struct peer_segment){.ecn = PEER_CE});
    for (uint32_t i = 1; i < 3; i++) {
        feed(&lonely, 200 * i, 100, (struct peer_segment){.ecn = PEER_ECT0});
        assert_true(answer(&lonely).flags & PEER_ECE);
    }
    feed(&lonely, 100, 100, (struct peer_segment){.ecn = PEER_ECT0, .flags = PEER_CWR});
    assert_false(answer(&lonely).flags & PEER_ECE);
    close_lonely(&lonely, 0);
}

/* Breaches of the other side, one each. */
static void
breaches_are_told(void **state)
{
    static const uint8_t zeroes[100];
    static const uint32_t unsent = 0xfffff001u;
    uint8_t frame[2048];
    struct lonely lonely;
    struct peer_segment segment = {.seq = 0x7ffff000u, .ack = 0xfffff000u, .flags = PEER_ACK};

    open_lonely(&lonely, &(struct peer_options){.sack = true});
    feed(&lonely, 0, 0, (struct peer_segment){.ack = unsent});
    assert_int_equal(lonely.side.violations, 1);
    feed(&lonely, 50, 100, (struct peer_segment){.payload = zeroes});
    assert_int_equal(lonely.side.violations, 2);
    feed(&lonely, 0, 10, (struct peer_segment){0});
    feed(&lonely, 0, 10, (struct peer_segment){.payload = zeroes}); /* again, but not the same */
    assert_int_equal(lonely.side.violations, 3);
    feed(&lonely, 10, 0, (struct peer_segment){.sacks = 1, .sack = {{unsent, unsent + 1}}});
    assert_int_equal(lonely.side.violations, 4);
    feed(&lonely, 20, 10, (struct peer_segment){.flags = PEER_FIN});
    feed(&lonely, 30, 10, (struct peer_segment){.flags = PEER_FIN});
    assert_int_equal(lonely.side.violations, 5);
    size_t len = peer_frame_write(frame, &lonely.back, &segment);
    frame[len - 1] ^= 1;
    assert_true(peer_frame(lonely.side.peer, frame, len, true));
    assert_int_equal(lonely.side.violations, 5);
    assert_true(peer_frame(lonely.side.peer, frame, len, false));
    close_lonely(&lonely, 6);
}

static void
promises_are_kept(void **state)
{
    struct lonely lonely;
    uint32_t edge = 0x7ffff000u;

    open_lonely(&lonely, &(struct peer_options){.rcv_wscale = 5, .receive_buffer = 10007});
    peer_read(lonely.side.peer, false);
    for (uint32_t at = 0; at + 777 <= 10007; at += 777) {
        feed(&lonely, at, 777, (struct peer_segment){0});
        peer_ack(lonely.side.peer);
        struct peer_segment said = answer(&lonely);
        assert_true(seq_before_eq(edge, said.ack + ((uint32_t)said.window << 5) + 31));
        edge = said.ack + ((uint32_t)said.window << 5);
    }
    close_lonely(&lonely, 0);
}

static void
ranges_join_and_are_cut(void **state)
{
    struct peer_ranges ranges = {.count = 0};

    assert_true(peer_ranges_add(&ranges, 0xfffffff0u, 0xfffffff8u));
    assert_true(peer_ranges_add(&ranges, 8, 16));
    assert_true(peer_ranges_add(&ranges, 32, 40));
    assert_int_equal(ranges.count, 3);
    assert_true(peer_ranges_add(&ranges, 0xfffffff8u, 33));
    assert_int_equal(ranges.count, 1);
    assert_true(peer_ranges_hold(&ranges, 0xfffffff1u, 40));
    assert_false(peer_ranges_hold(&ranges, 0xfffffff1u, 41));
    peer_ranges_cut(&ranges, 20);
    assert_int_equal(peer_ranges_sum(&ranges), 20);
    assert_int_equal(peer_ranges_next(&ranges, 0, 100), 20);
    for (uint32_t i = 1; i < PEER_RANGES; i++)
        assert_true(peer_ranges_add(&ranges, 100 * i, 100 * i + 1));
    assert_false(peer_ranges_add(&ranges, 90000, 90001));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_join_and_are_cut),
        cmocka_unit_test(streams_arrive),
        cmocka_unit_test(congestion_is_echoed),
        cmocka_unit_test(a_slow_reader_closes_the_window),
        cmocka_unit_test(silence_ends_it),
        cmocka_unit_test(an_abort_ends_it),
        cmocka_unit_test(old_timestamps_are_refused),
        cmocka_unit_test(resets_count_only_where_they_belong),
        cmocka_unit_test(what_is_missing_and_what_came_twice_is_said),
        cmocka_unit_test(marks_are_echoed_until_they_are_heard),
        cmocka_unit_test(breaches_are_told),
        cmocka_unit_test(promises_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
