#include "tcp/test_conn.h"

/* ---- round trips ---- */

static void
test_one_segment_is_timed(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.srtt_us = 0;
    reopen(&fx);
    assert_int_equal(fx.conn.rto_us, 1000000);
    send_segments(&fx, 1);
    fx.now_us += 5000;
    send_segments(&fx, 1); /* not timed: one at a time */
    fx.now_us += 5000;
    feed_ack(&fx, 2000);
    assert_int_equal(fx.conn.srtt_us, 10000);
    assert_int_equal(fx.conn.rttvar_us, 5000);
    assert_int_equal(fx.conn.rto_us, 200000); /* min_rto */
}

static void
test_karn(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    send_segments(&fx, 1);
    expire(&fx); /* tail or timeout: resent either way */
    expire(&fx);
    drain_out(&fx);
    fx.now_us += 10;
    feed_ack(&fx, 1000);
    assert_int_equal(fx.conn.srtt_us, 50000);
}

static void
test_smoothing(void **state)
{
    struct fixture fx;

    open_conn(&fx); /* 50 ms, 10 ms */
    send_segments(&fx, 1);
    fx.now_us += 90000;
    feed_ack(&fx, 1000);
    assert_int_equal(fx.conn.srtt_us, 50000 - 6250 + 11250);
    assert_int_equal(fx.conn.rttvar_us, 10000 + 10000 - 2500);
}

/* ---- windows ---- */

static void
test_window_update_needs_newer_segment(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    open_conn(&fx);
    segment.window = 60000;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_WINDOW);
    segment.window = 5000; /* same numbers, smaller: RFC 9293, section 3.10.7.4 */
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_WINDOW);
    assert_int_equal(fx.conn.snd_wnd, 5000);
    assert_int_equal(fx.conn.max_snd_wnd, 60000);
    assert_int_equal(feed_segment(&fx, &segment), 0);
    feed(&fx, 0, 10);
    segment.window = 100;
    segment.seq = RECV + 10;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_WINDOW);
    assert_int_equal(fx.conn.snd_wnd, 100);
    segment.seq = RECV; /* old */
    segment.window = 60000;
    assert_int_equal(feed_segment(&fx, &segment), 0);
    assert_int_equal(fx.conn.snd_wnd, 100);
    assert_int_equal(fx.conn.max_snd_wnd, 60000);
}

/* RFC 9293, section 3.8.6: a peer that is short of memory takes its window back with the numbers of
 * its last segment. It is probed, and not given up for what it cannot take. */
static void
test_a_window_is_taken_back_with_the_same_numbers(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    open_conn(&fx);
    send_segments(&fx, 3);
    segment.window = 0;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_WINDOW);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(expire(&fx), 0);
        assert_bare(&fx, TCP_ACK);
        assert_silent(&fx);
        feed_segment(&fx, &segment);
    }
    assert_int_equal(fx.conn.state, TCP_ESTABLISHED);
    segment.window = 5000;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_WINDOW);
    while (!fx.conn.counters.timeouts)
        expire(&fx);
    assert_data(&fx, 0, 1000);
}

/* Nothing new goes until it is behind what is out. */
static void
test_a_window_shrinks_below_what_is_out(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    open_conn(&fx);
    send_segments(&fx, 10);
    segment.window = 3000;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_WINDOW);
    tcp_queue(&fx.conn, 10 * MSS);
    assert_silent(&fx);
    feed_ack(&fx, 10000);
    assert_data(&fx, 10000, 10000);
}

static void
test_window_is_scaled(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    prepare(&fx);
    fx.config.window_scaling = true;
    fx.config.snd_wscale = 14;
    reopen(&fx);
    segment.window = 65535;
    feed_segment(&fx, &segment);
    assert_int_equal(fx.conn.snd_wnd, 65535u << 14);
}

static void
test_an_old_ack_changes_nothing(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    send_segments(&fx, 4);
    feed_ack(&fx, 3000);
    assert_int_equal(feed_ack(&fx, 1000), 0);
    assert_int_equal(fx.conn.snd_una, SEND + 3000);
    assert_int_equal(fx.conn.snd_wnd, SEND_WINDOW);
}

static void
test_backoff_ends_with_progress(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    send_segments(&fx, 2);
    for (int i = 0; i < 4; i++) {
        expire(&fx);
        drain_out(&fx);
    }
    assert_int_equal(fx.conn.retransmit_count, 3); /* after a tail probe */
    feed_ack(&fx, 1000);
    assert_int_equal(fx.conn.retransmit_count, 0);
    assert_int_equal(fx.conn.total_rt_us, 0);
    feed_ack(&fx, 2000);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

/* ---- congestion ---- */

static void
test_slow_start_counts_bytes(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    send_segments(&fx, 20);
    assert_int_equal(feed_ack(&fx, 5000), TCP_EV_ACKED | TCP_EV_PROGRESS | TCP_EV_WINDOW);
    assert_int_equal(fx.conn.cwnd, 25 * MSS);
    assert_int_equal(tcp_send_allowance(&fx.conn), 25 * MSS);
}

/* RFC 6928: ten segments, but no more than 14600 bytes unless two are longer. */
static void
test_initial_window(void **state)
{
    static const struct {
        uint16_t mss;
        uint32_t window;
    } rows[] = {{536, 5360}, {1460, 14600}, {2000, 14600}, {7300, 14600}, {8960, 17920}};
    struct fixture fx;

    prepare(&fx);
    fx.config.path_mtu = 9000;
    fx.state.cwnd = 0;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        fx.config.remote_mss = rows[i].mss;
        reopen(&fx);
        assert_int_equal(fx.conn.cwnd, rows[i].window);
    }
}

static void
test_avoidance_one_segment_per_window(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.ssthresh = 10 * MSS;
    fx.state.cwnd = 10 * MSS;
    reopen(&fx);
    tcp_queue(&fx.conn, 100 * MSS);
    drain_out(&fx);
    feed_ack(&fx, 9 * MSS);
    assert_int_equal(fx.conn.cwnd, 10 * MSS);
    drain_out(&fx);
    feed_ack(&fx, 10 * MSS);
    assert_int_equal(fx.conn.cwnd, 11 * MSS);
    drain_out(&fx);
    feed_ack(&fx, 11 * MSS);
    assert_int_equal(fx.conn.cwnd, 11 * MSS); /* counted anew */
}

static void
test_no_growth_when_not_limited(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    for (uint32_t i = 1; i <= 50; i++) {
        send_segments(&fx, 2);
        feed_ack(&fx, 2 * i * MSS);
    }
    assert_int_equal(fx.conn.cwnd, 20 * MSS);
}

/* A window of 40 segments, and a timeout of 200 ms. */
static void
open_idle(struct fixture *fx)
{
    prepare(fx);
    fx->state.cwnd = 40 * MSS;
    reopen(fx);
    send_segments(fx, 1);
    feed_ack(fx, 1000);
    tcp_queue(&fx->conn, 60 * MSS);
}

static void
test_an_idle_sender_starts_with_less(void **state)
{
    static const struct {
        uint64_t idle_us;
        uint32_t segments;
    } rows[] = {{200000, 40}, {200001, 20}, {400000, 20}, {400001, 10}, {3600000000, 10}};
    struct fixture fx;

    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        open_idle(&fx);
        fx.now_us += rows[i].idle_us;
        assert_data(&fx, 1000, rows[i].segments * MSS);
        assert_silent(&fx);
        assert_int_equal(fx.conn.ssthresh, TCP_INFINITE_SSTHRESH);
    }
    feed_ack(&fx, 11000); /* slow start */
    assert_data(&fx, 11000, 20 * MSS);
}

/* Whoever looks in between does not make the time less. */
static void
test_an_idle_time_in_two_looks(void **state)
{
    struct fixture fx;

    open_idle(&fx);
    fx.now_us += 200300;
    tcp_cc_on_idle(&fx.conn, fx.now_us);
    assert_int_equal(fx.conn.cwnd, 20 * MSS);
    fx.now_us += 199700;
    tcp_cc_on_idle(&fx.conn, fx.now_us);
    assert_int_equal(fx.conn.cwnd, 20 * MSS);
    fx.now_us += 1;
    assert_data(&fx, 1000, 10 * MSS);
}

/* In congestion avoidance it returns to three quarters fast. An idle time counts once, also when
 * nothing can be sent then, and what waits for an acknowledgement is not idle. */
static void
test_what_idling_does_not_do(void **state)
{
    struct fixture fx;

    open_idle(&fx);
    fx.conn.ssthresh = 5 * MSS;
    fx.now_us += 300000;
    assert_data(&fx, 1000, 20 * MSS);
    assert_int_equal(fx.conn.ssthresh, 30 * MSS);

    prepare(&fx);
    fx.config.nagle = true;
    fx.state.cwnd = 40 * MSS;
    fx.state.snd_wnd = 10; /* too little to send */
    fx.state.max_snd_wnd = SEND_WINDOW;
    reopen(&fx);
    tcp_queue(&fx.conn, 30 * MSS);
    fx.now_us += 300000;
    assert_silent(&fx);
    assert_silent(&fx);
    assert_int_equal(fx.conn.cwnd, 20 * MSS);

    open_idle(&fx);
    assert_data(&fx, 1000, 40 * MSS);
    fx.now_us += 190000; /* before the timeout */
    feed_ack(&fx, 31000);
    assert_data(&fx, 41000, 20 * MSS);
    assert_true(fx.conn.cwnd >= 40 * MSS);
}

/* What the former owner had is used: how long it was idle is not said, and the move is not why. */
static void
test_a_move_is_no_idle_time(void **state)
{
    struct fixture fx;

    open_idle(&fx);
    fx.now_us += 3600000000u;
    tcp_capture(&fx.conn, fx.now_us, &fx.state);
    assert_int_equal(fx.state.cwnd, 40 * MSS);
    reopen(&fx);
    fx.now_us += 100000;
    assert_data(&fx, 1000, 40 * MSS);
}

static void
test_without_congestion_control(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.congestion = TCP_CC_NONE;
    reopen(&fx);
    tcp_queue(&fx.conn, 100 * MSS);
    assert_data(&fx, 0, 50 * MSS); /* the window alone */
    assert_silent(&fx);
    assert_int_equal(tcp_send_allowance(&fx.conn), SEND_WINDOW);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_segment_is_timed),
        cmocka_unit_test(test_karn),
        cmocka_unit_test(test_smoothing),
        cmocka_unit_test(test_window_update_needs_newer_segment),
        cmocka_unit_test(test_a_window_is_taken_back_with_the_same_numbers),
        cmocka_unit_test(test_a_window_shrinks_below_what_is_out),
        cmocka_unit_test(test_window_is_scaled),
        cmocka_unit_test(test_an_old_ack_changes_nothing),
        cmocka_unit_test(test_backoff_ends_with_progress),
        cmocka_unit_test(test_slow_start_counts_bytes),
        cmocka_unit_test(test_initial_window),
        cmocka_unit_test(test_avoidance_one_segment_per_window),
        cmocka_unit_test(test_no_growth_when_not_limited),
        cmocka_unit_test(test_an_idle_sender_starts_with_less),
        cmocka_unit_test(test_an_idle_time_in_two_looks),
        cmocka_unit_test(test_what_idling_does_not_do),
        cmocka_unit_test(test_a_move_is_no_idle_time),
        cmocka_unit_test(test_without_congestion_control),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
