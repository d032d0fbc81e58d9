/*
 * The classic faults of implementations, one test each, by the sections of RFC 2525. What of a
 * section is the caller's (when to close, what to do with data for a socket that is gone) is tested
 * as far as the engine has a part in it.
 */
#include "tcp/test_conn.h"

static uint32_t
sent_bytes(struct fixture *fx)
{
    uint32_t bytes = 0;

    while (next(fx))
        bytes += fx->out.len;
    return bytes;
}

static void
until_timeout(struct fixture *fx)
{
    uint64_t before = fx->conn.counters.timeouts;

    while (fx->conn.counters.timeouts == before) {
        drain_out(fx);
        expire(fx);
    }
}

/* 2.1: a connection without history starts slowly, not with the peer's window. */
static void
test_2_1_no_initial_slow_start(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.cwnd = 0;
    reopen(&fx);
    tcp_queue(&fx.conn, 50 * MSS);
    assert_int_equal(sent_bytes(&fx), 10 * MSS); /* RFC 6928 */
    feed_ack(&fx, 2000);
    assert_int_equal(sent_bytes(&fx), 4 * MSS);
}

/* 2.2 */
static void
test_2_2_no_slow_start_after_a_timeout(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    send_segments(&fx, 20);
    until_timeout(&fx);
    assert_int_equal(sent_bytes(&fx), MSS);
    feed_ack(&fx, 1000);
    assert_int_equal(sent_bytes(&fx), 2 * MSS);
    feed_ack(&fx, 2000);
    assert_int_equal(sent_bytes(&fx), 2 * MSS);
    feed_ack(&fx, 3000);
    assert_int_equal(sent_bytes(&fx), 2 * MSS);
    assert_int_equal(fx.conn.ssthresh, 10 * MSS);
}

/* 2.3: whatever the former owner says, the window has a size. */
static void
test_2_3_uninitialized_cwnd(void **state)
{
    static const uint32_t odd[] = {0, 1, MSS - 1, 0x7fffffff, UINT32_MAX};
    struct fixture fx;

    for (unsigned i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        prepare(&fx);
        fx.state.cwnd = odd[i];
        reopen(&fx);
        assert_in_range(fx.conn.cwnd, MSS, TCP_MAX_CWND);
    }
}

/* 2.4: bytes go again under their own numbers, whatever the segment size has become. */
static void
test_2_4_inconsistent_retransmission(void **state)
{
    struct fixture fx;
    uint32_t at = 0;

    open_conn(&fx);
    send_segments(&fx, 5);
    tcp_set_mtu(&fx.conn, 340);
    fx.conn.cwnd = 20 * MSS;
    while (next(&fx)) {
        assert_int_equal(fx.out.seq, SEND + at);
        assert_true(fx.out.len <= 5 * MSS - at && fx.out.segment_size <= 300);
        at += fx.out.len;
    }
    assert_int_equal(at, 5 * MSS);
}

/* 2.5 */
static void
test_2_5_above_sequence_data_is_kept(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    for (uint32_t i = 1; i <= 20; i++)
        assert_true(feed(&fx, i * 1000, 1000) & TCP_EV_KEPT);
    feed(&fx, 0, 1000);
    assert_int_equal(consume(&fx), 21000);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ack, RECV + 21000);
}

/* 2.6: one segment a window, and nothing on top of it. */
static void
test_2_6_extra_additive_constant(void **state)
{
    struct fixture fx;
    uint32_t acked = 0;

    prepare(&fx);
    fx.state.cwnd = fx.state.ssthresh = 10 * MSS;
    reopen(&fx);
    tcp_queue(&fx.conn, 1000 * MSS);
    for (uint32_t window = 10; window < 30; window++) {
        assert_int_equal(fx.conn.cwnd, window * MSS);
        for (uint32_t i = 0; i < window; i++) {
            drain_out(&fx);
            feed_ack(&fx, acked += MSS);
        }
    }
}

/* 2.7: before anything is measured a second (RFC 6298), and never below the minimum. */
static void
test_2_7_initial_rto_too_low(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.srtt_us = fx.state.rttvar_us = 0;
    reopen(&fx);
    send_segments(&fx, 1);
    assert_int_equal(fx.conn.rtx_deadline_us, START_US + 1000000);
    fx.now_us += 100;
    feed_ack(&fx, 1000);
    send_segments(&fx, 1);
    assert_int_equal(fx.conn.rtx_deadline_us, fx.now_us + 200000);
}

/* 2.8: recovery ends with the threshold, with and without SACK. */
static void
test_2_8_window_deflation(void **state)
{
    struct fixture fx;

    for (int sack = 0; sack < 2; sack++) {
        prepare(&fx);
        fx.config.sack = sack;
        reopen(&fx);
        send_segments(&fx, 20);
        for (uint32_t i = 2; i <= 20; i++) {
            if (sack)
                add_sack(&fx, 1000, i * 1000);
            feed_ack(&fx, 0);
            drain_out(&fx);
        }
        assert_int_equal(fx.conn.counters.fast_recoveries, 1);
        feed_ack(&fx, 20000);
        assert_int_equal(fx.conn.cwnd, 10 * MSS);
        tcp_queue(&fx.conn, 100 * MSS);
        assert_int_equal(sent_bytes(&fx), 10 * MSS);
    }
}

/* 2.9 and 2.11: two hours before the first probe, and time between the probes (RFC 1122). */
static void
test_2_9_and_2_11_keepalive(void **state)
{
    struct fixture fx;
    unsigned probes = 0;
    uint64_t last_us = START_US;

    prepare(&fx);
    fx.config.keepalive = true;
    reopen(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), START_US + 7200000000u);
    while (!(expire(&fx) & TCP_EV_TIMEOUT)) {
        assert_bare(&fx, TCP_ACK);
        assert_int_equal(fx.out.seq, SEND - 1);
        assert_true(fx.now_us - last_us >= 1000000);
        last_us = fx.now_us;
        probes++;
    }
    assert_int_equal(probes, 10);
}

/* What both have finished is not kept alive: a peer that has forgotten it would answer with RST. */
static void
test_no_keepalive_when_both_have_finished(void **state)
{
    struct fixture fx;
    struct tcp_segment fin = segment_at(0, 0);

    prepare(&fx);
    fx.config.keepalive = true;
    fx.state.state = TCP_FIN_WAIT_2;
    reopen(&fx);
    fin.flags |= TCP_FIN;
    assert_true(feed_segment(&fx, &fin) & TCP_EV_FIN);
    tcp_acknowledge(&fx.conn, RECV + 1, 0, fx.now_us);
    drain_out(&fx);
    assert_int_equal(fx.conn.state, TCP_TIME_WAIT);
    while (tcp_deadline_us(&fx.conn) != TCP_NEVER) {
        assert_int_equal(expire(&fx), 0);
        assert_silent(&fx);
    }
}

/* 2.10: doubling, up to a limit that is no less than a minute; new data does not undo it. */
static void
test_2_10_failure_to_back_off(void **state)
{
    struct fixture fx;
    uint64_t rto_us;

    open_conn(&fx);
    send_segments(&fx, 1);
    until_timeout(&fx);
    rto_us = fx.conn.rto_us;
    for (unsigned i = 1; i < 12; i++) {
        uint64_t before_us = fx.now_us;
        tcp_queue(&fx.conn, MSS);
        until_timeout(&fx);
        rto_us = rto_us * 2 < 120000000 ? rto_us * 2 : 120000000;
        assert_int_equal(fx.now_us - before_us, rto_us);
    }
    assert_int_equal(rto_us, 120000000);
}

/* Karn: a backed-off timeout holds until a segment that went once has been measured. Or a path that
 * has become slower than the timeout would never be measured, and everything sent several times. */
static void
test_a_backoff_ends_with_a_measurement(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    for (unsigned i = 1; i <= 10; i++) {
        uint64_t answer_us = fx.now_us + 1000000;

        tcp_queue(&fx.conn, MSS);
        drain_out(&fx);
        while (tcp_deadline_us(&fx.conn) < answer_us) {
            expire(&fx);
            drain_out(&fx);
        }
        fx.now_us = answer_us;
        feed_ack(&fx, i * MSS);
        if (i == 5)
            memset(&fx.conn.counters, 0, sizeof(fx.conn.counters));
    }
    assert_int_equal(fx.conn.counters.timeouts, 0);
    assert_true(fx.conn.rto_us > 1000000);
}

/* 2.12: the window opens while a probe is out, or the news of it is lost: either way it goes on. */
static void
test_2_12_window_probe_deadlock(void **state)
{
    struct fixture fx;
    struct tcp_segment update;

    prepare(&fx);
    fx.state.snd_wnd = 0;
    reopen(&fx);
    tcp_queue(&fx.conn, 3 * MSS);
    assert_silent(&fx);
    for (int i = 0; i < 5; i++) {
        expire(&fx);
        assert_bare(&fx, TCP_ACK);
        assert_int_equal(fx.out.seq, SEND - 1);
    }
    update = segment_at(0, 0);
    feed_segment(&fx, &update);
    assert_data(&fx, 0, 3000);
}

/* 2.13: an ACK for every second segment, and at least one for each superframe. */
static void
test_2_13_stretch_acks(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.delayed_ack_us = 40000;
    reopen(&fx);
    for (uint32_t i = 0; i < 10; i++) {
        feed(&fx, i * 1000, 1000);
        consume(&fx);
        assert_int_equal(next(&fx), i % 2);
    }
    struct tcp_segment large = segment_at(10000, 8000);
    large.segment_size = 1000;
    feed_segment(&fx, &large);
    consume(&fx);
    assert_bare(&fx, TCP_ACK);
}

/* 2.14: a timeout, or a third duplicate, sends one segment, not the window. */
static void
test_2_14_retransmission_sends_multiple_packets(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.sack = false;
    reopen(&fx);
    send_segments(&fx, 20);
    for (int i = 0; i < 3; i++)
        feed_ack(&fx, 0);
    assert_int_equal(sent_bytes(&fx), MSS);
    until_timeout(&fx);
    assert_int_equal(sent_bytes(&fx), MSS);
}

/* 2.15: what came is delivered at once, and the FIN is told even if data is missing before it... */
static void
test_2_15_fin_is_told_promptly(void **state)
{
    struct fixture fx;
    struct tcp_segment fin = segment_at(1000, 0);

    prepare(&fx);
    fx.config.delayed_ack_us = 200000;
    reopen(&fx);
    fin.flags |= TCP_FIN;
    assert_int_equal(feed_segment(&fx, &fin) & TCP_EV_FIN, 0);
    assert_bare(&fx, TCP_ACK); /* ...as far as an ACK can */
    assert_true(feed(&fx, 0, 1000) & TCP_EV_FIN);
    consume(&fx);
    tcp_acknowledge(&fx.conn, fx.conn.rcv_nxt, 0, fx.now_us);
    assert_bare(&fx, TCP_ACK); /* not delayed */
    assert_int_equal(fx.out.ack, RECV + 1001);
}

/* 2.16: whoever has closed and gets data says so. */
static void
test_2_16_rst_after_half_duplex_close(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_queue_fin(&fx.conn);
    drain_out(&fx);
    feed_ack(&fx, 1);
    assert_int_equal(fx.conn.state, TCP_FIN_WAIT_2);
    assert_true(feed(&fx, 0, 1000) & TCP_EV_READY);
    tcp_abort(&fx.conn); /* nobody wants it */
    assert_bare(&fx, TCP_ACK | TCP_RST);
    assert_int_equal(fx.out.seq, SEND + 1);
    assert_silent(&fx);
}

/* 2.17: with data unread, or unsent, an abort says RST and nothing before it. */
static void
test_2_17_rst_on_close_with_data_pending(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed(&fx, 0, 1000);
    tcp_queue(&fx.conn, 5000);
    tcp_abort(&fx.conn);
    assert_bare(&fx, TCP_ACK | TCP_RST);
    assert_silent(&fx);
}

/* 2.18: timestamps and SACK blocks take from the payload; no segment exceeds the path. */
static void
test_2_18_options_count(void **state)
{
    struct fixture fx;
    struct tcp_segment segment;

    prepare(&fx);
    fx.config.timestamps = true;
    fx.config.remote_mss = 1460;
    fx.config.path_mtu = 1500;
    reopen(&fx);
    segment = segment_at(5000, 100);
    segment.has_timestamp = true;
    feed_segment(&fx, &segment);
    tcp_queue(&fx.conn, 10000);
    assert_true(next(&fx));
    assert_int_equal(fx.out.option_len, 12 + 12);
    assert_int_equal(fx.out.segment_size, 1500 - 40 - 24);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_2_1_no_initial_slow_start),
        cmocka_unit_test(test_2_2_no_slow_start_after_a_timeout),
        cmocka_unit_test(test_2_3_uninitialized_cwnd),
        cmocka_unit_test(test_2_4_inconsistent_retransmission),
        cmocka_unit_test(test_2_5_above_sequence_data_is_kept),
        cmocka_unit_test(test_2_6_extra_additive_constant),
        cmocka_unit_test(test_2_7_initial_rto_too_low),
        cmocka_unit_test(test_2_8_window_deflation),
        cmocka_unit_test(test_2_9_and_2_11_keepalive),
        cmocka_unit_test(test_no_keepalive_when_both_have_finished),
        cmocka_unit_test(test_2_10_failure_to_back_off),
        cmocka_unit_test(test_a_backoff_ends_with_a_measurement),
        cmocka_unit_test(test_2_12_window_probe_deadlock),
        cmocka_unit_test(test_2_13_stretch_acks),
        cmocka_unit_test(test_2_14_retransmission_sends_multiple_packets),
        cmocka_unit_test(test_2_15_fin_is_told_promptly),
        cmocka_unit_test(test_2_16_rst_after_half_duplex_close),
        cmocka_unit_test(test_2_17_rst_on_close_with_data_pending),
        cmocka_unit_test(test_2_18_options_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
