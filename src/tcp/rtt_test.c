#include "tcp/test_conn.h"

/* Round trips by the stamp that an acknowledgement echoes: where our own clock does not tell. */

#define TICK_US 1000u
#define OFFSET 0xfffffb00u /* the stamps wrap early in every test */

static uint32_t
stamp(const struct fixture *fx)
{
    return tcp_timestamp(&fx->conn, fx->now_us);
}

static void
prepare_stamped(struct fixture *fx)
{
    prepare(fx);
    fx->config.timestamps = true;
    fx->config.remote_mss = MSS + TCP_TIMESTAMP_LEN;
    fx->config.ts_tick_us = TICK_US;
    fx->config.ts_offset = OFFSET;
    fx->state.srtt_us = fx->state.rttvar_us = 0;
}

/* The former owner sent some segments, and its clock goes on. */
static void
adopt(struct fixture *fx, unsigned segments)
{
    prepare_stamped(fx);
    fx->state.snd_nxt = fx->state.snd_max = fx->state.snd_end = SEND + segments * MSS;
    reopen(fx);
}

static unsigned
feed_echo(struct fixture *fx, uint32_t offset, uint32_t tsecr)
{
    struct tcp_segment segment = segment_at(0, 0);

    segment.seq = fx->conn.rcv_nxt;
    segment.ack = SEND + offset;
    segment.has_timestamp = true;
    segment.tsecr = tsecr;
    return feed_segment(fx, &segment);
}

static void
test_what_the_former_owner_sent(void **state)
{
    struct fixture fx;

    adopt(&fx, 2);
    fx.now_us += 10000;
    feed_echo(&fx, 1000, OFFSET + START_US / TICK_US - 20); /* sent 20 ms before the move */
    assert_int_equal(fx.conn.srtt_us, 30000);
    assert_int_equal(fx.conn.rttvar_us, 15000);
}

/* Each owner has it for less than a round trip, and sends something that it never sees
 * acknowledged. */
static void
test_moves_more_often_than_a_round_trip(void **state)
{
    struct fixture fx;
    uint32_t sent[3];

    adopt(&fx, 0);
    for (unsigned i = 0; i < 3; i++) {
        send_segments(&fx, 1);
        sent[i] = stamp(&fx);
        fx.now_us += 20000;
        tcp_capture(&fx.conn, fx.now_us, &fx.state);
        reopen(&fx);
    }
    assert_int_equal(fx.conn.srtt_us, 0);
    send_segments(&fx, 1); /* the next has sent, too, when the first acknowledgement comes */
    feed_echo(&fx, 1000, sent[0]);
    assert_int_equal(fx.conn.srtt_us, 60000);
}

/* Then our own clock again, which is finer. */
static void
test_one_echo_and_then_our_clock(void **state)
{
    struct fixture fx;

    adopt(&fx, 2);
    feed_echo(&fx, 1000, stamp(&fx) - 30);
    feed_echo(&fx, 2000, stamp(&fx) - 90); /* once a round trip */
    assert_int_equal(fx.conn.srtt_us, 30000);
    fx.now_us += 400;
    send_segments(&fx, 1);
    fx.now_us += 38000 + 300;
    feed_echo(&fx, 3000, stamp(&fx) - 39);
    assert_int_equal(fx.conn.srtt_us, 30000 - 30000 / 8 + 38300 / 8);
    assert_int_equal(tcp_min_rtt_us(&fx.conn, fx.now_us), 38300);
}

static void
test_less_than_a_tick_is_one(void **state)
{
    struct fixture fx;

    adopt(&fx, 1);
    feed_echo(&fx, 1000, stamp(&fx));
    assert_int_equal(fx.conn.srtt_us, TICK_US);
    assert_int_equal(fx.conn.rto_us, fx.config.min_rto_us);
}

/* It would judge losses, and a tick is longer than many paths. */
static void
test_the_shortest_is_not_taken_from_an_echo(void **state)
{
    struct fixture fx;

    adopt(&fx, 3);
    tcp_note_min_rtt(&fx.conn, 5500, fx.now_us);
    feed_echo(&fx, 1000, stamp(&fx));
    assert_int_equal(tcp_min_rtt_us(&fx.conn, fx.now_us), 5500);
    adopt(&fx, 3);
    feed_echo(&fx, 1000, stamp(&fx) - 4);
    assert_int_equal(tcp_min_rtt_us(&fx.conn, fx.now_us), 0);
}

static void
assert_not_believed(uint32_t sent_after_us, int32_t ticks)
{
    struct fixture fx;

    adopt(&fx, 1);
    fx.now_us += 200000000; /* the stamps may wrap in between */
    fx.state.snd_max = fx.state.snd_nxt = fx.state.snd_end = SEND + MSS;
    reopen(&fx);
    fx.now_us += sent_after_us;
    if (sent_after_us)
        send_segments(&fx, 1);
    fx.now_us += 30000;
    feed_echo(&fx, 1000, stamp(&fx) + (uint32_t)ticks);
    assert_int_equal(fx.conn.snd_una, SEND + 1000);
    assert_int_equal(fx.conn.srtt_us, 0);
    assert_int_equal(fx.conn.rto_us, 1000000);
}

static void
test_stamps_that_cannot_be(void **state)
{
    assert_not_believed(0, 1);             /* of the future */
    assert_not_believed(0, 1 << 30);       /* far */
    assert_not_believed(0, INT32_MIN);     /* neither before nor after */
    assert_not_believed(0, -29);           /* after the last that was on data */
    assert_not_believed(15000, -29);       /* likewise, and we have sent */
    assert_not_believed(0, -(120000 + 1)); /* it would have been given up for lost */
    assert_not_believed(0, -(1 << 30));    /* a stamp that stands still */
}

static void
test_a_stamp_of_nothing_new(void **state)
{
    struct fixture fx;

    adopt(&fx, 2);
    fx.now_us += 30000;
    feed_echo(&fx, 0, OFFSET + START_US / TICK_US); /* acknowledges nothing: may be very late */
    assert_int_equal(fx.conn.srtt_us, 0);
}

/* After a lie the next data is timed as ever. */
static void
test_a_lie_does_not_stop_the_clock(void **state)
{
    struct fixture fx;

    adopt(&fx, 1);
    feed_echo(&fx, 1000, stamp(&fx) + 1000);
    send_segments(&fx, 1);
    fx.now_us += 12345;
    feed_echo(&fx, 2000, 0);
    assert_int_equal(fx.conn.srtt_us, 12345);
}

/* Karn's algorithm is for those who cannot tell the copies apart. */
static void
test_after_a_timeout(void **state)
{
    struct fixture fx;
    uint32_t first;

    prepare_stamped(&fx);
    reopen(&fx);
    send_segments(&fx, 1);
    while (!fx.conn.counters.timeouts) {
        expire(&fx);
        drain_out(&fx);
    }
    fx.now_us += 25000;
    feed_echo(&fx, 1000, stamp(&fx) - 25); /* of the second copy */
    assert_int_equal(fx.conn.srtt_us, 25000);
    assert_int_equal(fx.conn.rto_us, 200000); /* no longer backed off */

    reopen(&fx);
    send_segments(&fx, 1);
    first = stamp(&fx);
    while (!fx.conn.counters.timeouts) {
        expire(&fx);
        drain_out(&fx);
    }
    fx.now_us += 25000;
    feed_echo(&fx, 1000, first); /* only late */
    assert_true(fx.conn.srtt_us > 1025000);
    assert_int_equal(fx.conn.srtt_us, (stamp(&fx) - first) * TICK_US);
}

static void
test_karn_when_nothing_is_echoed(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        struct fixture fx;

        prepare_stamped(&fx);
        fx.config.timestamps = i;
        fx.config.ts_tick_us = 0; /* a clock that stands still */
        fx.state.snd_nxt = fx.state.snd_max = fx.state.snd_end = SEND + MSS;
        reopen(&fx);
        feed_echo(&fx, 1000, OFFSET);
        assert_int_equal(fx.conn.srtt_us, 0);
        send_segments(&fx, 1);
        expire(&fx);
        drain_out(&fx);
        fx.now_us += 10000;
        feed_echo(&fx, 2000, OFFSET);
        assert_int_equal(fx.conn.srtt_us, 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_the_former_owner_sent),
        cmocka_unit_test(test_moves_more_often_than_a_round_trip),
        cmocka_unit_test(test_one_echo_and_then_our_clock),
        cmocka_unit_test(test_less_than_a_tick_is_one),
        cmocka_unit_test(test_the_shortest_is_not_taken_from_an_echo),
        cmocka_unit_test(test_stamps_that_cannot_be),
        cmocka_unit_test(test_a_stamp_of_nothing_new),
        cmocka_unit_test(test_a_lie_does_not_stop_the_clock),
        cmocka_unit_test(test_after_a_timeout),
        cmocka_unit_test(test_karn_when_nothing_is_echoed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
