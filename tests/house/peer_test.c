/*
 * The peer against itself over a wire that mistreats frames, and against segments made by hand:
 * what it must refuse, answer and report.
 */
#include "peer_kit.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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
            couple_open(&couple, &kinds[i], seed % 2 ? &kit_awful : &kit_quiet, seed);
            couple_streams(&couple, 300000, seed * 50000);
            if (seed % 2)
                assert_true(couple.sides[0].peer->retransmissions > 0);
            else
                assert_int_equal(couple.sides[0].peer->retransmissions, 0);
            couple_close(&couple);
        }
    }
}

static void
a_slow_reader_closes_the_window(void **state)
{
    struct couple couple;

    couple_open(&couple, &(struct peer_options){.receive_buffer = 20000}, &kit_quiet, 1);
    peer_read(couple.sides[1].peer, false);
    peer_offer(couple.sides[0].peer, 100000);
    couple_turn(&couple, 3000 * SECOND_US); /* probes are answered for ever */
    assert_int_equal(couple.sides[1].received, 0);
    assert_int_equal(couple.sides[1].peer->held, 20000);
    assert_int_equal(couple.sides[0].end, PEER_OPEN);
    peer_read(couple.sides[1].peer, true);
    couple_turn(&couple, 100 * SECOND_US);
    assert_int_equal(couple.sides[1].received, 100000);
    couple_close(&couple);
}

static void
silence_ends_it(void **state)
{
    struct couple couple;

    couple_open(&couple, &(struct peer_options){0}, &kit_quiet, 1);
    wire_set_receiver(couple.wires[1], NULL, NULL);
    peer_offer(couple.sides[0].peer, 1000);
    couple_turn(&couple, 3000 * SECOND_US);
    assert_int_equal(couple.sides[0].end, PEER_TIMEOUT);
    couple_close(&couple);
}

static void
an_abort_ends_it(void **state)
{
    struct couple couple;

    couple_open(&couple, &(struct peer_options){.timestamps = true}, &kit_quiet, 1);
    peer_offer(couple.sides[0].peer, 10000);
    couple_turn(&couple, SECOND_US);
    peer_abort(couple.sides[0].peer);
    couple_turn(&couple, SECOND_US);
    assert_int_equal(couple.sides[0].end, PEER_ABORTED);
    assert_int_equal(couple.sides[1].end, PEER_RESET);
    couple_close(&couple);
}

/* ---- by hand ---- */

static void
old_timestamps_are_refused(void **state)
{
    struct lonely lonely;
    struct peer_segment old = {.has_ts = true, .tsval = 0xfffffeffu};

    lonely_open(&lonely, &(struct peer_options){.timestamps = true});
    lonely_feed(&lonely, 0, 100, old);
    lonely_feed(&lonely, 0, 100, (struct peer_segment){0}); /* and what has none */
    assert_int_equal(lonely.side.received, 0);
    assert_int_equal(lonely.side.peer->paws_drops, 1);
    assert_int_equal(lonely_answer(&lonely).ack, lonely.seq);
    lonely_feed(&lonely, 0, 100, (struct peer_segment){.has_ts = true, .tsval = 5}); /* wrapped */
    assert_int_equal(lonely.side.received, 100);
    lonely_close(&lonely, 0);
}

static void
resets_count_only_where_they_belong(void **state)
{
    struct lonely lonely;

    lonely_open(&lonely, &(struct peer_options){0});
    lonely_feed(&lonely, 1, 0, (struct peer_segment){.flags = PEER_RST});
    assert_int_equal(lonely.side.sent, 1);
    lonely_feed(&lonely, 70000, 0, (struct peer_segment){.flags = PEER_RST});
    lonely_feed(&lonely, (uint32_t)-1, 0, (struct peer_segment){.flags = PEER_RST});
    assert_int_equal(lonely.side.sent, 1);
    lonely_feed(&lonely, 0, 0, (struct peer_segment){.flags = PEER_SYN});
    assert_int_equal(lonely.side.sent, 2);
    assert_int_equal(lonely.side.ends, 0);
    lonely_feed(&lonely, 0, 0, (struct peer_segment){.flags = PEER_RST});
    assert_int_equal(lonely.side.end, PEER_RESET);
    lonely_close(&lonely, 0);
}

static void
what_is_missing_and_what_came_twice_is_said(void **state)
{
    struct lonely lonely;
    struct peer_segment said;

    lonely_open(&lonely, &(struct peer_options){.sack = true});
    lonely_feed(&lonely, 100, 100, (struct peer_segment){0});
    lonely_feed(&lonely, 300, 100, (struct peer_segment){0});
    said = lonely_answer(&lonely);
    assert_int_equal(said.ack, lonely.seq);
    assert_int_equal(said.sacks, 2);
    assert_int_equal(said.sack[0][0], lonely.seq + 300);
    assert_int_equal(said.sack[1][0], lonely.seq + 100);
    lonely_feed(&lonely, 100, 100, (struct peer_segment){0});
    said = lonely_answer(&lonely);
    assert_int_equal(said.sacks, 3);
    assert_int_equal(said.sack[0][0], lonely.seq + 100);
    assert_int_equal(said.sack[0][1], lonely.seq + 200);
    lonely_feed(&lonely, 0, 100, (struct peer_segment){0});
    assert_int_equal(lonely_answer(&lonely).ack, lonely.seq + 200);
    lonely_feed(&lonely, 0, 100, (struct peer_segment){0});
    said = lonely_answer(&lonely);
    assert_int_equal(said.sack[0][0], lonely.seq);
    assert_int_equal(said.ack, lonely.seq + 200);
    lonely_close(&lonely, 0);
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

    lonely_open(&lonely, &(struct peer_options){.sack = true});
    lonely_feed(&lonely, 0, 0, (struct peer_segment){.ack = unsent});
    assert_int_equal(lonely.side.violations, 1);
    lonely_feed(&lonely, 50, 100, (struct peer_segment){.payload = zeroes});
    assert_int_equal(lonely.side.violations, 2);
    lonely_feed(&lonely, 0, 10, (struct peer_segment){0});
    lonely_feed(&lonely, 0, 10,
                (struct peer_segment){.payload = zeroes}); /* again, but not the same */
    assert_int_equal(lonely.side.violations, 3);
    lonely_feed(&lonely, 10, 0, (struct peer_segment){.sacks = 1, .sack = {{unsent, unsent + 1}}});
    assert_int_equal(lonely.side.violations, 4);
    lonely_feed(&lonely, 20, 10, (struct peer_segment){.flags = PEER_FIN});
    lonely_feed(&lonely, 30, 10, (struct peer_segment){.flags = PEER_FIN});
    assert_int_equal(lonely.side.violations, 5);
    size_t len = peer_frame_write(frame, &lonely.back, &segment);
    frame[len - 1] ^= 1;
    assert_true(peer_frame(lonely.side.peer, frame, len, true));
    assert_int_equal(lonely.side.violations, 5);
    assert_true(peer_frame(lonely.side.peer, frame, len, false));
    lonely_close(&lonely, 6);
}

static void
promises_are_kept(void **state)
{
    struct lonely lonely;
    uint32_t edge = 0x7ffff000u;

    lonely_open(&lonely, &(struct peer_options){.rcv_wscale = 5, .receive_buffer = 10007});
    peer_read(lonely.side.peer, false);
    for (uint32_t at = 0; at + 777 <= 10007; at += 777) {
        lonely_feed(&lonely, at, 777, (struct peer_segment){0});
        peer_ack(lonely.side.peer);
        struct peer_segment said = lonely_answer(&lonely);
        assert_true(seq_before_eq(edge, said.ack + ((uint32_t)said.window << 5) + 31));
        edge = said.ack + ((uint32_t)said.window << 5);
    }
    lonely_close(&lonely, 0);
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
        cmocka_unit_test(a_slow_reader_closes_the_window),
        cmocka_unit_test(silence_ends_it),
        cmocka_unit_test(an_abort_ends_it),
        cmocka_unit_test(old_timestamps_are_refused),
        cmocka_unit_test(resets_count_only_where_they_belong),
        cmocka_unit_test(what_is_missing_and_what_came_twice_is_said),
        cmocka_unit_test(breaches_are_told),
        cmocka_unit_test(promises_are_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
