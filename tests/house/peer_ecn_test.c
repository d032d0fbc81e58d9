/*
 * The peer and congestion: marks are echoed, echoes halve the window, and only what may be marked
 * says that it may (RFC 3168, 6.1).
 */
#include "peer_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void
congestion_is_echoed(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        struct couple couple;
        couple_open(&couple,
                    &(struct peer_options){
                        .timestamps = true, .sack = true, .ecn = i < 2, .path = {.ipv6 = i == 1}},
                    &kit_quiet, 1);
        couple.sides[1].ce_ppm = 10000;
        couple_streams(&couple, 1000000, 1000);
        assert_int_equal(couple.sides[0].peer->retransmissions, 0);
        assert_int_equal(couple.sides[0].peer->ssthresh < 65536, i < 2);
        couple_close(&couple);
    }
}

static void
marks_are_echoed_until_they_are_heard(void **state)
{
    struct lonely lonely;

    lonely_open(&lonely, &(struct peer_options){.ecn = true});
    lonely_feed(&lonely, 0, 100, (struct peer_segment){.ecn = PEER_CE});
    for (uint32_t i = 1; i < 3; i++) {
        lonely_feed(&lonely, 200 * i, 100, (struct peer_segment){.ecn = PEER_ECT0});
        assert_true(lonely_answer(&lonely).flags & PEER_ECE);
    }
    lonely_feed(&lonely, 100, 100, (struct peer_segment){.ecn = PEER_ECT0, .flags = PEER_CWR});
    assert_false(lonely_answer(&lonely).flags & PEER_ECE);
    lonely_close(&lonely, 0);
}

/* How much is new data to the peer's own eyes: capable, and CWR with the first of it after each
 * reduction, one a window. */
static void
an_echo_halves_the_window_once(void **state)
{
    struct lonely lonely;
    uint32_t before, after;

    lonely_open(&lonely, &(struct peer_options){.ecn = true, .mss = 500});
    peer_offer(lonely.side.peer, 100000);
    assert_int_equal(lonely_answer(&lonely).ecn, PEER_ECT0);
    before = lonely.side.peer->cwnd;
    for (uint32_t i = 1; i <= 4; i++) {
        lonely_feed(&lonely, 0, 0,
                    (struct peer_segment){.flags = PEER_ECE, .ack = lonely.ack + 500 * i});
        after = i == 1 ? lonely.side.peer->cwnd : after;
    }
    assert_true(after <= before / 2 + 500);
    assert_true(lonely.side.peer->cwnd <= after + 500);
    assert_true(lonely.side.peer->cwr_due);
    lonely_feed(&lonely, 0, 0, (struct peer_segment){.ack = lonely.ack + 4500});
    assert_false(lonely.side.peer->cwr_due);
    lonely_close(&lonely, 0);
}

/* RFC 3168, 6.1.5, 6.1.6; and a loss says CWR as well. */
static void
what_is_sent_again_is_not_capable(void **state)
{
    struct lonely lonely;
    struct peer_segment said;

    lonely_open(&lonely, &(struct peer_options){.ecn = true, .mss = 500, .receive_buffer = 600});
    peer_offer(lonely.side.peer, 500);
    assert_int_equal(lonely_answer(&lonely).ecn, PEER_ECT0);
    peer_on_timer(lonely.side.peer);
    said = lonely_answer(&lonely);
    assert_int_equal(said.len, 500);
    assert_int_equal(said.ecn, 0);
    assert_int_equal(said.flags & PEER_CWR, 0);
    lonely_feed(&lonely, 0, 0, (struct peer_segment){.ack = lonely.ack + 500});
    peer_offer(lonely.side.peer, 500);
    said = lonely_answer(&lonely);
    assert_int_equal(said.ecn, PEER_ECT0);
    assert_true(said.flags & PEER_CWR);
    lonely.side.peer->snd_wnd = 0;
    lonely_feed(&lonely, 0, 0, (struct peer_segment){.ack = lonely.ack + 1000});
    lonely.side.peer->snd_wnd = 0;
    peer_offer(lonely.side.peer, 500);
    peer_on_timer(lonely.side.peer);
    said = lonely_answer(&lonely);
    assert_int_equal(said.len, 1);
    assert_int_equal(said.ecn, 0);
    lonely_close(&lonely, 0);
}

static void
only_capable_frames_are_marked(void **state)
{
    static const uint8_t before[] = {0, 1, 2, 3}, after[] = {0, 3, 3, 3};

    for (unsigned i = 0; i < 8; i++) {
        struct peer_path path = {.ipv6 = i & 4, .vlan = i & 1 ? 5 : 0};
        struct peer_segment segment = {.ecn = before[i & 3], .ttl = 64, .flags = PEER_ACK};
        uint8_t frame[PEER_HEADERS_MAX];
        size_t len = peer_frame_write(frame, &path, &segment);
        assert_int_equal(peer_frame_mark(frame, len), before[i & 3] != 0);
        assert_true(peer_frame_read(frame, len, len, false, &segment));
        assert_true(peer_frame_sums_right(frame, &segment));
        assert_int_equal(segment.ecn, after[i & 3]);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(congestion_is_echoed),
        cmocka_unit_test(marks_are_echoed_until_they_are_heard),
        cmocka_unit_test(an_echo_halves_the_window_once),
        cmocka_unit_test(what_is_sent_again_is_not_capable),
        cmocka_unit_test(only_capable_frames_are_marked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
