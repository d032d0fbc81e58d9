#include "tcp/test_conn.h"

static void
open_scaled(struct fixture *fx, uint8_t scale, uint32_t window)
{
    prepare(fx);
    fx->config.window_scaling = true;
    fx->config.rcv_wscale = scale;
    fx->state.rcv_wnd = window;
    reopen(fx);
}

static uint32_t
shown_edge(const struct fixture *fx)
{
    return fx->out.ack + ((uint32_t)fx->out.window << fx->config.rcv_wscale) - RECV;
}

static void
test_ack_field_is_the_ack_point(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed(&fx, 0, 3000);
    assert_silent(&fx);
    assert_false(tcp_ack_pending(&fx.conn));
    send_segments(&fx, 1);
    assert_int_equal(fx.out.ack, RECV);
    assert_int_equal(fx.out.window, RECV_WINDOW);
    tcp_acknowledge(&fx.conn, RECV + 2000, 0, fx.now_us);
    assert_true(tcp_ack_pending(&fx.conn));
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ack, RECV + 2000);
    assert_int_equal(fx.out.window, RECV_WINDOW - 2000);
}

static void
test_ack_point_bounds(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed(&fx, 0, 1000);
    tcp_acknowledge(&fx.conn, RECV + 5000, 0, fx.now_us); /* at most what arrived */
    assert_int_equal(fx.conn.rcv_ack, RECV + 1000);
    tcp_acknowledge(&fx.conn, RECV + 500, 0, fx.now_us); /* never back */
    assert_int_equal(fx.conn.rcv_ack, RECV + 1000);
}

static void
test_ack_frequency(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.delayed_ack_us = 40000;
    reopen(&fx);
    feed(&fx, 0, 100);
    consume(&fx);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), START_US + 40000);
    feed(&fx, 100, 100);
    consume(&fx);
    assert_bare(&fx, TCP_ACK); /* every second segment */
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
    feed(&fx, 200, 100);
    consume(&fx);
    assert_silent(&fx);
    expire(&fx);
    assert_bare(&fx, TCP_ACK); /* or when the timer says so */
    feed(&fx, 300, 100);
    consume(&fx);
    tcp_queue(&fx.conn, 10);
    assert_data(&fx, 0, 10); /* or with data */
    assert_silent(&fx);
}

static void
test_a_superframe_counts_its_segments(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 700);

    prepare(&fx);
    fx.config.delayed_ack_us = 40000;
    fx.config.ack_frequency = 3;
    reopen(&fx);
    segment.segment_size = 300; /* three */
    feed_segment(&fx, &segment);
    consume(&fx);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.conn.counters.segments_in, 3);
}

static void
test_filled_hole_is_acknowledged_at_once(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.delayed_ack_us = 40000;
    fx.config.ack_frequency = 200;
    reopen(&fx);
    feed(&fx, 10, 10);
    assert_bare(&fx, TCP_ACK); /* out of order */
    feed(&fx, 0, 10);
    consume(&fx);
    assert_bare(&fx, TCP_ACK);
    feed(&fx, 0, 10);
    assert_bare(&fx, TCP_ACK); /* duplicate */
}

static void
test_echo_of_the_oldest(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.timestamps = true;
    fx.config.delayed_ack_us = 40000;
    fx.config.ack_frequency = 200;
    fx.state.ts_recent = 0xfffffffe;
    reopen(&fx);
    struct tcp_segment segment = segment_at(0, 10), out;
    segment.has_timestamp = true;
    for (uint32_t i = 0; i < 3; i++) {
        segment.tsval = 1 + i; /* across the wrap */
        segment.seq = RECV + 10 * i;
        feed_segment(&fx, &segment);
        consume(&fx);
    }
    tcp_ack_now(&fx.conn);
    assert_bare(&fx, TCP_ACK);
    out_sack(&fx, &out);
    assert_int_equal(out.tsecr, 1);
    segment.seq += 10;
    segment.tsval = 9;
    feed_segment(&fx, &segment);
    tcp_acknowledge(&fx.conn, segment.seq + 10, 0xfffffff0, fx.now_us); /* an old stamp */
    tcp_ack_now(&fx.conn);
    assert_true(next(&fx));
    out_sack(&fx, &out);
    assert_int_equal(out.tsecr, 1); /* never goes back */
}

/* ---- the right edge ---- */

static void
test_edge_never_moves_left(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_set_right_edge(&fx.conn, RECV + 100);
    assert_int_equal(fx.conn.rcv_edge, RECV + RECV_WINDOW);
    assert_silent(&fx);
}

static void
test_opening_is_told_when_significant(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_set_right_edge(&fx.conn, RECV + RECV_WINDOW + 1999);
    assert_silent(&fx); /* later */
    assert_int_equal(tcp_deadline_us(&fx.conn), START_US + 5000);
    tcp_set_right_edge(&fx.conn, RECV + RECV_WINDOW + 2000);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.window, RECV_WINDOW + 2000);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
    tcp_set_right_edge(&fx.conn, RECV + RECV_WINDOW + 2001);
    assert_silent(&fx);
    expire(&fx);
    assert_bare(&fx, TCP_ACK);
}

static void
test_closed_window_opens_by_a_segment(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.rcv_wnd = 0;
    reopen(&fx);
    tcp_set_right_edge(&fx.conn, RECV + 999);
    assert_silent(&fx);
    tcp_set_right_edge(&fx.conn, RECV + 1000);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.window, 1000);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

/* Byte by byte out of a full buffer: the peer is told now and then, not of every byte. */
static void
test_small_openings_are_told_together(void **state)
{
    struct fixture fx;
    unsigned told = 0;

    prepare(&fx);
    fx.state.rcv_wnd = 0;
    reopen(&fx);
    for (unsigned i = 1; i <= 500; i++) {
        tcp_set_right_edge(&fx.conn, RECV + i);
        told += drain_out(&fx);
        pass(&fx, 100);
    }
    assert_in_range(told, 9, 10); /* in 50 ms */
}

/* A buffer that never has room for a segment does not stay closed. */
static void
test_a_small_buffer_opens_after_a_while(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.rcv_wnd = 0;
    reopen(&fx);
    tcp_set_right_edge(&fx.conn, RECV + 300);
    assert_silent(&fx);
    expire(&fx);
    assert_int_equal(fx.now_us, START_US + fx.config.sws_us);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.window, 300);
    assert_silent(&fx);
}

/* It costs nothing with an ACK that goes anyway. */
static void
test_a_small_opening_goes_with_an_ack(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_set_right_edge(&fx.conn, RECV + RECV_WINDOW + 10);
    tcp_ack_now(&fx.conn);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.window, RECV_WINDOW + 10);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

/* A buffer smaller than one unit of the scale. */
static void
test_less_than_a_unit(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.window_scaling = true;
    fx.config.rcv_wscale = 14;
    fx.state.rcv_wnd = 0;
    reopen(&fx);
    tcp_set_right_edge(&fx.conn, RECV + MSS - 1);
    assert_silent(&fx);
    tcp_ack_now(&fx.conn);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.window, 0);
    tcp_set_right_edge(&fx.conn, RECV + MSS);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.window, 1);
    tcp_set_right_edge(&fx.conn, RECV + 16000);
    assert_silent(&fx);
    for (uint32_t at = 0; at < 16000; at += MSS) /* beyond the edge, within what was shown */
        feed(&fx, at, MSS);
    consume(&fx);
    drain_out(&fx);
    assert_int_equal(fx.conn.rcv_ack, RECV + 16000);
    tcp_set_right_edge(&fx.conn, RECV + 32000);
    drain_out(&fx);
    assert_int_equal(tcp_right_edge(&fx.conn), RECV + 16000 + 16384);
}

/* Odd ack points, coarse units: what the caller allowed and the peer saw is never taken back, and
 * the lead is bounded. */
static void
test_rounding(void **state)
{
    struct fixture fx;
    uint32_t shown = 0;

    open_scaled(&fx, 7, 12800);
    for (uint32_t at = 0; at < 12000; at += 37) {
        feed(&fx, at, 37);
        consume(&fx);
        assert_true(next(&fx));
        assert_true(shown_edge(&fx) >= 12800);
        assert_true(shown_edge(&fx) < 12800 + 128);
        shown = shown_edge(&fx) > shown ? shown_edge(&fx) : shown;
    }
    assert_int_equal(fx.conn.rcv_advertised - RECV, shown);
    assert_true(feed(&fx, fx.conn.rcv_nxt - RECV, shown) & TCP_EV_KEPT);
    assert_int_equal(fx.conn.rcv_nxt - RECV, shown); /* what was shown is accepted */
}

static void
test_rounds_down_what_was_never_shown(void **state)
{
    struct fixture fx;

    open_scaled(&fx, 7, 1280);
    tcp_set_right_edge(&fx.conn, RECV + 10000);
    assert_true(next(&fx));
    assert_int_equal(shown_edge(&fx), 10000 / 128 * 128);
}

static void
test_window_is_clamped(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_set_right_edge(&fx.conn, RECV + 1000000);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.window, 65535);
    assert_silent(&fx);
}

static void
test_an_opening_nobody_would_see(void **state)
{
    struct fixture fx;

    open_scaled(&fx, 7, 0);
    tcp_set_right_edge(&fx.conn, RECV + 127);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
    tcp_set_right_edge(&fx.conn, RECV + 128);
    assert_silent(&fx);
    expire(&fx);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.window, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ack_field_is_the_ack_point),
        cmocka_unit_test(test_ack_point_bounds),
        cmocka_unit_test(test_ack_frequency),
        cmocka_unit_test(test_a_superframe_counts_its_segments),
        cmocka_unit_test(test_filled_hole_is_acknowledged_at_once),
        cmocka_unit_test(test_echo_of_the_oldest),
        cmocka_unit_test(test_edge_never_moves_left),
        cmocka_unit_test(test_opening_is_told_when_significant),
        cmocka_unit_test(test_closed_window_opens_by_a_segment),
        cmocka_unit_test(test_small_openings_are_told_together),
        cmocka_unit_test(test_a_small_buffer_opens_after_a_while),
        cmocka_unit_test(test_a_small_opening_goes_with_an_ack),
        cmocka_unit_test(test_less_than_a_unit),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_rounds_down_what_was_never_shown),
        cmocka_unit_test(test_an_opening_nobody_would_see),
        cmocka_unit_test(test_window_is_clamped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
