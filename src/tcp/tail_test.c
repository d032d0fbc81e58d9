#include "tcp/test_conn.h"

static void
test_tail_loss(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 10);
    fx.now_us += 50000;
    feed_ack(&fx, 5000); /* and then silence */
    drain_out(&fx);
    expire(&fx);
    assert_int_equal(fx.now_us, START_US + 150000); /* two round trips */
    assert_data(&fx, 9000, 1000);
    assert_silent(&fx);
    fx.now_us += 50000;
    feed_sack(&fx, 5000, 9000, 10000); /* one SACK is enough now */
    assert_data(&fx, 5000, 2000);      /* half of five */
    assert_silent(&fx);
    feed_sack(&fx, 7000, 9000, 10000);
    assert_data(&fx, 7000, 2000);
    feed_ack(&fx, 10000);
    assert_int_equal(fx.conn.counters.timeouts, 0);
}

static void
test_tail_probe_of_the_first_without_sack(void **state)
{
    struct fixture fx;

    open_sending(&fx, false, 4);
    expire(&fx);
    assert_data(&fx, 0, 1000);
    feed_ack(&fx, 2000);
    assert_data(&fx, 2000, 1000);
    feed_ack(&fx, 4000);
    assert_int_equal(fx.conn.counters.timeouts, 0);
}

/* All that was out when the probe went has arrived: what followed is no loss. */
static void
test_tail_probe_answered_without_sack(void **state)
{
    struct fixture fx;

    open_sending(&fx, false, 4);
    expire(&fx);
    assert_data(&fx, 0, 1000);
    send_segments(&fx, 2);
    feed_ack(&fx, 4000);
    assert_silent(&fx);
    assert_int_equal(fx.conn.counters.fast_recoveries, 0);
}

static void
test_a_few_sacks_and_silence(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 3);
    feed_sack(&fx, 0, 2000, 3000);
    assert_silent(&fx);
    expire(
        &fx); /* the end has arrived: a quarter of a round trip later it has overtaken the rest */
    assert_int_equal(fx.now_us, START_US + 12500);
    assert_data(&fx, 0, 1000);
    assert_silent(&fx);
    feed_sack(&fx, 1000, 2000, 3000);
    assert_data(&fx, 1000, 1000);
    assert_int_equal(fx.conn.counters.timeouts, 0);
}

static void
test_one_probe_per_silence(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 5);
    expire(&fx);
    drain_out(&fx);
    assert_int_equal(fx.conn.counters.tail_probes, 1);
    expire(&fx);
    assert_int_equal(fx.conn.counters.tail_probes, 1);
    assert_int_equal(fx.conn.counters.timeouts, 1);
}

/* A probe may be new data, which no congestion window holds back. */
static void
test_tail_probe_with_new_data(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.cwnd = 5 * MSS;
    reopen(&fx);
    tcp_queue(&fx.conn, 7 * MSS);
    assert_data(&fx, 0, 5000);
    assert_silent(&fx);
    expire(&fx);
    assert_data(&fx, 5000, MSS);
    assert_false(fx.out.retransmission);
    assert_silent(&fx);
    fx.now_us += 50000;
    feed_sack(&fx, 0, 5000, 6000); /* all five were lost */
    drain_out(&fx);
    assert_int_equal(fx.conn.counters.fast_recoveries, 1);
    assert_int_equal(fx.conn.counters.timeouts, 0);
}

/* No new data fits: the last segment. */
static void
test_tail_probe_into_a_full_window(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.snd_wnd = 5 * MSS;
    reopen(&fx);
    tcp_queue(&fx.conn, 7 * MSS);
    assert_data(&fx, 0, 5000);
    expire(&fx);
    assert_data(&fx, 4000, MSS);
    assert_true(fx.out.retransmission);
}

/* Sends five segments, all but the last of which arrive, and the probe. */
static void
open_probed(struct fixture *fx)
{
    open_sending(fx, true, 5);
    expire(fx);
    assert_data(fx, 4000, MSS);
    fx->now_us += 50000;
}

static void
test_the_probe_repaired_a_loss(void **state)
{
    struct fixture fx;

    open_probed(&fx);
    feed_ack(&fx, 5000);
    uint32_t cwnd = fx.conn.cwnd;
    send_segments(&fx, 10);
    assert_true(feed_ack(&fx, 6000) & TCP_EV_WINDOW); /* and nobody has got the last one twice */
    assert_true(fx.conn.cwnd < cwnd);
    cwnd = fx.conn.cwnd;
    feed_ack(&fx, 7000);
    assert_true(fx.conn.cwnd >= cwnd); /* once */
    assert_int_equal(fx.conn.counters.fast_recoveries, 0);
}

/* It found what was lost before, and that is what the window was reduced for. */
static void
test_the_probe_found_losses(void **state)
{
    struct fixture fx;

    open_probed(&fx);
    feed_sack(&fx, 0, 4000, 5000);
    drain_out(&fx);
    assert_int_equal(fx.conn.counters.fast_recoveries, 1);
    feed_ack(&fx, 5000);
    uint32_t cwnd = fx.conn.cwnd;
    tcp_queue(&fx.conn, 2 * MSS);
    assert_data(&fx, 5000, 2 * MSS);
    feed_ack(&fx, 6000);
    assert_true(fx.conn.cwnd >= cwnd);
}

static void
test_the_probe_was_needless(void **state)
{
    struct fixture fx;

    for (int dsack = 0; dsack < 2; dsack++) {
        open_probed(&fx);
        feed_ack(&fx, 5000);
        uint32_t cwnd = fx.conn.cwnd;
        if (dsack)
            add_sack(&fx, 4000, 5000);
        feed_ack(&fx, 5000); /* the answer to the second copy */
        send_segments(&fx, 10);
        feed_ack(&fx, 6000);
        assert_true(fx.conn.cwnd >= cwnd);
    }
}

/* The path is slower than the probe's timer thinks: what is sent next goes once, and is measured.
 */
static void
test_a_needless_probe_is_followed_by_a_measurement(void **state)
{
    struct fixture fx;

    open_probed(&fx);
    feed_ack(&fx, 5000);
    add_sack(&fx, 4000, 5000);
    feed_ack(&fx, 5000);
    tcp_queue(&fx.conn, MSS);
    drain_out(&fx);
    assert_int_equal(fx.conn.tail_deadline_us, TCP_NEVER);
    fx.now_us += 190000;
    feed_ack(&fx, 6000);
    assert_int_equal(fx.conn.srtt_us, 50000 - 6250 + 23750);
    tcp_queue(&fx.conn, 2 * MSS);
    drain_out(&fx);
    assert_true(fx.conn.tail_deadline_us != TCP_NEVER);
}

/* Nor does a D-SACK of the probe tell of reordering. */
static void
test_the_duplicate_of_a_probe_is_no_disorder(void **state)
{
    struct fixture fx;

    open_probed(&fx);
    add_sack(&fx, 4000, 5000);
    feed_ack(&fx, 5000);
    assert_int_equal(fx.conn.reo_multiplier, 1);
    send_segments(&fx, 2);
    add_sack(&fx, 3000, 4000);
    feed_ack(&fx, 6000);
    assert_int_equal(fx.conn.reo_multiplier, 2);
}

/* An adopted connection sends again what it does not know to have arrived. A probe meanwhile is one
 * more copy, and what is acknowledged then no loss. */
static void
test_a_probe_while_all_goes_again(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.cwnd = 5 * MSS;
    fx.state.ssthresh = 5 * MSS;
    fx.state.snd_nxt = SEND + 5000;
    fx.state.snd_max = fx.state.snd_end = SEND + 10000;
    reopen(&fx);
    assert_silent(&fx);
    expire(&fx);
    assert_data(&fx, 4000, MSS);
    feed_ack(&fx, 10000);
    send_segments(&fx, 1);
    feed_ack(&fx, 11000);
    assert_true(fx.conn.cwnd >= 5 * MSS);
}

/* The probe was needless, something else was lost: the duplicate of the probe is not that of what
 * recovery resent. */
static void
test_the_duplicate_of_a_probe_undoes_no_recovery(void **state)
{
    struct fixture fx;

    open_probed(&fx);
    feed_sack(&fx, 3000, 4000, 5000); /* the first copy of the last; the fourth was lost */
    pass(&fx, 100000);
    assert_int_equal(fx.conn.counters.fast_recoveries, 1);
    assert_data(&fx, 3000, MSS);
    uint32_t ssthresh = fx.conn.ssthresh;
    fx.now_us += 10000;
    add_sack(&fx, 4000, 5000); /* the probe arrives: a D-SACK inside the second block */
    add_sack(&fx, 4000, 5000);
    feed_ack(&fx, 3000);
    assert_true(fx.conn.flags & TCP_CONN_RECOVERY);
    assert_int_equal(fx.conn.ssthresh, ssthresh);
}

/* Also when the probe has found something: its own duplicate tells of no disorder. */
static void
test_the_duplicate_of_a_probe_in_a_recovery_is_no_disorder(void **state)
{
    struct fixture fx;

    open_probed(&fx);
    feed_sack(&fx, 2000, 4000, 5000); /* two are missing */
    pass(&fx, 100000);
    assert_int_equal(fx.conn.counters.fast_recoveries, 1);
    drain_out(&fx);
    add_sack(&fx, 4000, 5000);
    add_sack(&fx, 4000, 5000);
    feed_ack(&fx, 2000);
    assert_int_equal(fx.conn.reo_multiplier, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tail_loss),
        cmocka_unit_test(test_the_duplicate_of_a_probe_undoes_no_recovery),
        cmocka_unit_test(test_the_duplicate_of_a_probe_in_a_recovery_is_no_disorder),
        cmocka_unit_test(test_tail_probe_of_the_first_without_sack),
        cmocka_unit_test(test_tail_probe_answered_without_sack),
        cmocka_unit_test(test_a_few_sacks_and_silence),
        cmocka_unit_test(test_one_probe_per_silence),
        cmocka_unit_test(test_tail_probe_with_new_data),
        cmocka_unit_test(test_tail_probe_into_a_full_window),
        cmocka_unit_test(test_the_probe_repaired_a_loss),
        cmocka_unit_test(test_the_probe_found_losses),
        cmocka_unit_test(test_the_probe_was_needless),
        cmocka_unit_test(test_a_needless_probe_is_followed_by_a_measurement),
        cmocka_unit_test(test_the_duplicate_of_a_probe_is_no_disorder),
        cmocka_unit_test(test_a_probe_while_all_goes_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
