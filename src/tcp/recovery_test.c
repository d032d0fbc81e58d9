#include "tcp/test_conn.h"

/* ---- with SACK ---- */

static void
test_sack_recovery(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 20);
    fx.now_us += 50000;
    feed_sack(&fx, 1000, 2000,
              4000); /* [1000, 2000) is missing; two segments above are not enough */
    assert_silent(&fx);
    assert_true(feed_sack(&fx, 1000, 2000, 5000) & TCP_EV_WINDOW);
    assert_int_equal(fx.conn.counters.fast_recoveries, 1);
    assert_int_equal(tcp_congestion_window(&fx.conn), 19 * MSS / 2);
    assert_data(&fx, 1000, 1000);
    assert_true(fx.out.retransmission);
    assert_silent(&fx);
    feed_ack(&fx, 20000);
    assert_int_equal(tcp_pipe(&fx.conn), 0);
    send_segments(&fx, 1);
    assert_false(fx.out.retransmission);
    assert_int_equal(fx.conn.counters.timeouts, 0);
}

static void
test_only_holes_are_resent(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 30);
    add_sack(&fx, 10000, 30000);
    add_sack(&fx, 4000, 5000);
    add_sack(&fx, 1000, 3000);
    feed_ack(&fx, 0);
    assert_data(&fx, 0, 1000);
    assert_data(&fx, 3000, 1000);
    assert_data(&fx, 5000, 5000); /* one superframe */
    assert_silent(&fx);
}

static void
test_new_data_while_recovering(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 30);
    feed_sack(&fx, 0, 1000, 28000);
    tcp_queue(&fx.conn, 50000);
    assert_data(&fx, 0, 1000);
    /* cwnd 15, in the network: the resent one and the last two */
    assert_data(&fx, 30000, 12000);
    assert_silent(&fx);
}

/* It would wait for ever: nothing is outstanding, and no segment small enough. */
static void
test_a_small_threshold_lets_a_segment_go(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 4);
    fx.conn.ssthresh = MSS / 2; /* carried in, or from before the MTU was raised */
    tcp_recovery_resume(&fx.conn, fx.conn.snd_max);
    feed_ack(&fx, 4000);
    assert_int_equal(tcp_congestion_window(&fx.conn), MSS);
    tcp_queue(&fx.conn, 5000);
    assert_data(&fx, 4000, MSS);
}

static void
test_limited_transmit(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.cwnd = 5 * MSS;
    reopen(&fx);
    tcp_queue(&fx.conn, 50000);
    assert_data(&fx, 0, 5000);
    assert_silent(&fx);
    feed_sack(&fx, 0, 1000, 2000);
    assert_data(&fx, 5000, 1000); /* one left the network, one may enter */
    assert_silent(&fx);
    assert_int_equal(fx.conn.counters.fast_recoveries, 0);
}

/* The retransmission was lost too: data sent after it is SACKed, though with it in one go. */
static void
test_lost_retransmission(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 20);
    feed_sack(&fx, 0, 1000, 20000);
    tcp_queue(&fx.conn, 4000);
    assert_data(&fx, 0, 1000);
    assert_data(&fx, 20000, 4000);
    assert_silent(&fx);
    fx.now_us += 50000;
    feed_sack(&fx, 0, 1000, 21000);
    assert_data(&fx, 0, 1000);
    fx.now_us += 25000;
    feed_sack(&fx, 0, 1000, 24000); /* sent before it: says nothing of the third copy */
    assert_silent(&fx);
}

static void
test_partial_ack_with_sack(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 20);
    feed_sack(&fx, 0, 1000, 10000);
    assert_data(&fx, 0, 1000);
    add_sack(&fx, 11000, 12000); /* the next hole has only one segment above it */
    feed_ack(&fx, 10000);
    assert_data(&fx, 10000, 1000);
    assert_silent(&fx);
    feed_ack(&fx, 20000);
    send_segments(&fx, 1);
    assert_false(fx.out.retransmission);
}

static void
test_needless_recovery_is_undone(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 20);
    feed_sack(&fx, 0, 1000, 5000); /* reordered, not lost */
    assert_data(&fx, 0, 1000);
    assert_int_equal(tcp_congestion_window(&fx.conn), 10 * MSS);
    feed_ack(&fx, 10000);
    assert_true(feed_sack(&fx, 10000, 0, 1000) & TCP_EV_WINDOW); /* it came twice */
    assert_true(fx.conn.cwnd >= 40 * MSS);
    assert_int_equal(fx.conn.ssthresh, TCP_INFINITE_SSTHRESH);
    feed_sack(&fx, 10000, 11000, 15000); /* the same again: now it waits longer */
    assert_silent(&fx);
}

/* Of what was sent after the recovery began. */
static void
test_a_new_dsack_undoes_nothing(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 20);
    feed_sack(&fx, 0, 1000, 20000);
    tcp_queue(&fx.conn, 5 * MSS);
    drain_out(&fx);
    uint32_t ssthresh = fx.conn.ssthresh;
    feed_ack(&fx, 25000);
    feed_sack(&fx, 25000, 21000, 22000);
    assert_int_equal(fx.conn.ssthresh, ssthresh);
}

static void
test_an_old_dsack_undoes_nothing(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 20);
    feed_ack(&fx, 2000);
    feed_sack(&fx, 2000, 3000, 20000);
    assert_data(&fx, 2000, 1000);
    feed_sack(&fx, 2000, 0, 1000);
    assert_true(fx.conn.cwnd < 20 * MSS);
}

/* Long after a recovery that was needed the network delivers a segment twice, which went once. */
static void
test_a_copy_by_the_network_undoes_nothing(void **state)
{
    struct fixture fx;
    uint32_t at = 20000;

    open_sending(&fx, true, 20);
    feed_sack(&fx, 0, 1000, 20000);
    assert_data(&fx, 0, 1000);
    uint32_t ssthresh = fx.conn.ssthresh;
    feed_ack(&fx, at);
    send_segments(&fx, 5);
    feed_ack(&fx, at += 5000);
    feed_sack(&fx, at, at - 4000, at - 3000);
    assert_int_equal(fx.conn.ssthresh, ssthresh);
    assert_true(fx.conn.flags & TCP_CONN_UNDO); /* of the one that was resent it could still tell */
    for (int i = 0; i < 4; i++) {
        send_segments(&fx, 5);
        feed_ack(&fx, at += 5000);
    }
    assert_false(fx.conn.flags & TCP_CONN_UNDO); /* a window later no more */
    feed_sack(&fx, at, 0, 1000);
    assert_int_equal(fx.conn.ssthresh, ssthresh);
}

/* ---- without SACK ---- */

static void
test_newreno(void **state)
{
    struct fixture fx;

    open_sending(&fx, false, 20);
    feed_ack(&fx, 0);
    feed_ack(&fx, 0);
    assert_silent(&fx);
    assert_true(feed_ack(&fx, 0) & TCP_EV_WINDOW);
    assert_data(&fx, 0, 1000);
    assert_silent(&fx);
    feed_ack(&fx, 5000); /* partial: the next one is lost, too */
    assert_data(&fx, 5000, 1000);
    assert_silent(&fx);
    feed_ack(&fx, 20000);
    assert_int_equal(fx.conn.counters.fast_recoveries, 1);
    send_segments(&fx, 1);
    assert_false(fx.out.retransmission);
}

/* Deflating: a partial ACK of three segments takes two duplicates back. */
static void
test_partial_ack_without_sack(void **state)
{
    struct fixture fx;

    open_sending(&fx, false, 20);
    for (int i = 0; i < 6; i++) {
        feed_ack(&fx, 0);
        drain_out(&fx);
    }
    assert_int_equal(fx.conn.dup_ack_count, 6);
    feed_ack(&fx, 3000);
    assert_int_equal(fx.conn.dup_ack_count, 4);
    assert_data(&fx, 3000, 1000);
    feed_ack(&fx, 13000);
    assert_int_equal(fx.conn.dup_ack_count, 0);
}

static void
test_what_is_no_duplicate(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 10);

    open_sending(&fx, false, 20);
    for (uint32_t i = 0; i < 5; i++) { /* data */
        segment.seq = RECV + 10 * i;
        feed_segment(&fx, &segment);
        consume(&fx);
    }
    for (uint16_t i = 1; i < 5; i++) { /* window updates */
        segment = segment_at(50, 0);
        segment.window = (uint16_t)(SEND_WINDOW + 1000 * i);
        feed_segment(&fx, &segment);
    }
    assert_int_equal(fx.conn.counters.fast_recoveries, 0);
    assert_int_equal(fx.conn.dup_ack_count, 0);
}

/* Of data that was out when the last recovery began they may tell (RFC 6582, section 3.2): none
 * begins, and no more than two segments go for them. */
static void
test_duplicates_at_the_end_of_a_recovery(void **state)
{
    struct fixture fx;

    open_sending(&fx, false, 10);
    tcp_queue(&fx.conn, 30 * MSS);
    for (int i = 0; i < 3; i++)
        feed_ack(&fx, 0);
    drain_out(&fx);
    feed_ack(&fx, fx.conn.recover_seq - SEND);
    assert_false(fx.conn.flags & TCP_CONN_RECOVERY);
    drain_out(&fx);
    uint32_t sent = fx.conn.snd_max;
    for (int i = 0; i < 10; i++) {
        feed_ack(&fx, fx.conn.snd_una - SEND);
        drain_out(&fx);
    }
    assert_int_equal(fx.conn.snd_max - sent, 2 * MSS);
}

static void
test_duplicates_after_a_timeout_do_not_recover_again(void **state)
{
    struct fixture fx;

    open_sending(&fx, false, 5);
    while (!fx.conn.counters.timeouts)
        expire(&fx);
    drain_out(&fx);
    feed_ack(&fx, 1000);
    drain_out(&fx);
    for (int i = 0; i < 6; i++)
        feed_ack(&fx, 1000);
    assert_int_equal(fx.conn.counters.fast_recoveries, 0);
}

/* ---- timeout ---- */

static void
test_timeout_goes_back(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 10);
    add_sack(&fx, 4000, 6000);
    feed_ack(&fx, 0);
    while (!fx.conn.counters.timeouts) {
        expire(&fx);
        if (!fx.conn.counters.timeouts)
            drain_out(&fx);
    }
    assert_int_equal(fx.conn.cwnd, MSS);
    assert_int_equal(fx.conn.ssthresh, 5 * MSS);
    assert_data(&fx, 0, 1000);
    assert_silent(&fx);
    feed_ack(&fx, 1000);
    assert_data(&fx, 1000, 2000); /* slow start */
    feed_ack(&fx, 3000);
    assert_data(&fx, 3000, 1000);
    assert_data(&fx, 6000, 2000); /* what is SACKed is stepped over */
    assert_silent(&fx);
    assert_true(feed_ack(&fx, 10000) & TCP_EV_ACKED); /* the first copies were not lost after all */
    assert_int_equal(fx.conn.snd_nxt, fx.conn.snd_max);
}

/* Only the first was lost: nineteen that arrived long ago make no room for twenty. */
static void
test_no_burst_after_a_timeout(void **state)
{
    struct fixture fx;

    open_sending(&fx, false, 20);
    while (!fx.conn.counters.timeouts) {
        expire(&fx);
        drain_out(&fx);
    }
    assert_int_equal(fx.conn.cwnd, MSS);
    tcp_queue(&fx.conn, 40 * MSS);
    feed_ack(&fx, 20000);
    assert_int_equal(fx.conn.cwnd, 2 * MSS);
    assert_data(&fx, 20000, 2000);
    assert_silent(&fx);
    feed_ack(&fx, 22000); /* what is new counts in full */
    assert_int_equal(fx.conn.cwnd, 4 * MSS);
}

/* The timeout was the former owner's. */
static void
test_no_burst_of_an_adopted_connection(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.cwnd = MSS;
    fx.state.snd_nxt = SEND + 1000;
    fx.state.snd_max = SEND + 20000;
    fx.state.snd_end = SEND + 60000;
    fx.state.retransmit_count = 1;
    reopen(&fx);
    feed_ack(&fx, 20000);
    assert_data(&fx, 20000, 2000);
    assert_silent(&fx);
}

static void
test_second_timeout_forgets_sacks(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 10);
    add_sack(&fx, 1000, 10000);
    feed_ack(&fx, 0);
    while (fx.conn.counters.timeouts < 2) {
        assert_int_equal(fx.conn.sack_count, 1);
        expire(&fx);
        drain_out(&fx);
    }
    assert_int_equal(fx.conn.sack_count, 0);
}

static void
test_timeout_in_recovery_reduces_once(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 20);
    feed_sack(&fx, 0, 1000, 5000);
    assert_int_equal(fx.conn.ssthresh, 10 * MSS);
    while (!fx.conn.counters.timeouts) {
        drain_out(&fx);
        expire(&fx);
    }
    assert_int_equal(fx.conn.ssthresh, 10 * MSS);
    assert_int_equal(fx.conn.cwnd, MSS);
}

static void
test_recovery_that_stalls(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 20);
    feed_sack(&fx, 0, 1000, 20000);
    assert_data(&fx, 0, 1000); /* lost as well, and nothing follows that would show it */
    assert_silent(&fx);
    expire(&fx);
    assert_data(&fx, 0, 1000);
    assert_int_equal(fx.conn.counters.timeouts, 0);
    assert_true(feed_ack(&fx, 20000) & TCP_EV_ACKED);
}

static void
test_recovery_of_a_fin(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 3);
    tcp_queue_fin(&fx.conn);
    assert_bare(&fx, TCP_ACK | TCP_FIN);
    feed_ack(&fx, 3000);
    while (!fx.conn.counters.timeouts)
        expire(&fx);
    assert_bare(&fx, TCP_ACK | TCP_FIN);
    assert_int_equal(fx.out.seq, SEND + 3000);
    assert_true(fx.out.retransmission);
    assert_true(feed_ack(&fx, 3001) & TCP_EV_FIN_ACKED);
}

/* Of two holes that went again together one is filled, and what followed them has arrived. */
static void
test_the_next_hole_was_lost_again(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 20);
    feed_sack(&fx, 0, 2000, 20000);
    tcp_queue(&fx.conn, 4000);
    assert_data(&fx, 0, 2000);
    assert_data(&fx, 20000, 4000);
    fx.now_us += 50000;
    feed_sack(&fx, 1000, 2000, 24000);
    assert_data(&fx, 1000, 1000);
    assert_silent(&fx);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sack_recovery),
        cmocka_unit_test(test_only_holes_are_resent),
        cmocka_unit_test(test_new_data_while_recovering),
        cmocka_unit_test(test_a_small_threshold_lets_a_segment_go),
        cmocka_unit_test(test_limited_transmit),
        cmocka_unit_test(test_lost_retransmission),
        cmocka_unit_test(test_the_next_hole_was_lost_again),
        cmocka_unit_test(test_partial_ack_with_sack),
        cmocka_unit_test(test_needless_recovery_is_undone),
        cmocka_unit_test(test_a_new_dsack_undoes_nothing),
        cmocka_unit_test(test_an_old_dsack_undoes_nothing),
        cmocka_unit_test(test_a_copy_by_the_network_undoes_nothing),
        cmocka_unit_test(test_newreno),
        cmocka_unit_test(test_partial_ack_without_sack),
        cmocka_unit_test(test_what_is_no_duplicate),
        cmocka_unit_test(test_duplicates_at_the_end_of_a_recovery),
        cmocka_unit_test(test_duplicates_after_a_timeout_do_not_recover_again),
        cmocka_unit_test(test_timeout_goes_back),
        cmocka_unit_test(test_no_burst_after_a_timeout),
        cmocka_unit_test(test_no_burst_of_an_adopted_connection),
        cmocka_unit_test(test_second_timeout_forgets_sacks),
        cmocka_unit_test(test_timeout_in_recovery_reduces_once),
        cmocka_unit_test(test_recovery_that_stalls),
        cmocka_unit_test(test_recovery_of_a_fin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
