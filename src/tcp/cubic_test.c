#include "tcp/test_conn.h"

#define RTT_US 100000u
#define W_MAX (100 * MSS)

/* In congestion avoidance with a round trip of 100 ms and room enough at the peer. */
static void
open_cubic(struct fixture *fx, uint32_t cwnd, uint32_t w_max)
{
    prepare(fx);
    fx->config.congestion = TCP_CC_CUBIC;
    fx->config.window_scaling = true;
    fx->config.snd_wscale = 14;
    fx->state.snd_wnd = 60000u << 14;
    fx->state.srtt_us = RTT_US;
    fx->state.cwnd = fx->state.ssthresh = cwnd;
    reopen(fx);
    fx->conn.cubic = (struct tcp_cubic){.w_max = w_max, .prior = w_max, .last_us = TCP_NEVER};
}

/* A round trip in which the window was full, acknowledged in so many parts. */
static void
round_trip(struct fixture *fx, unsigned parts)
{
    uint32_t window = fx->conn.cwnd, done = 0;

    for (unsigned i = 1; i <= parts; i++) {
        uint32_t until = (uint32_t)((uint64_t)window * i / parts);
        fx->conn.flags |= TCP_CONN_CWND_LIMITED;
        fx->now_us += RTT_US / parts;
        tcp_cc_on_ack(&fx->conn, until - done, window, fx->now_us);
        done = until;
    }
}

static void
assert_near(uint32_t got, uint32_t wanted, uint32_t tolerance)
{
    if (got + tolerance < wanted || got > wanted + tolerance)
        fail_msg("%u is not %u +- %u", got, wanted, tolerance);
}

/* C (t - K)^3 + w_max with K = cbrt(300 / 0.4) = 9.086 s, as computed by hand; it aims at where the
 * curve is one round trip later. */
static void
test_the_curve(void **state)
{
    static const uint32_t segments[] = {700, 858, 947, 988, 999, 1000, 1010, 1047, 1132};
    struct fixture fx;

    open_cubic(&fx, 700 * MSS, 1000 * MSS);
    for (unsigned i = 0; i < 9; i++) {
        assert_near(fx.conn.cwnd, segments[i] * MSS, 8 * MSS);
        for (unsigned j = 0; j < 20; j++)
            round_trip(&fx, 10);
    }
    assert_int_equal(fx.conn.cubic.k_ms, 9085);
    assert_int_equal(fx.conn.cubic.origin, 1000 * MSS);
}

static void
test_small_acks_add_up(void **state)
{
    struct fixture few, many;

    open_cubic(&few, 70 * MSS, W_MAX);
    open_cubic(&many, 70 * MSS, W_MAX);
    for (unsigned i = 0; i < 100; i++) {
        round_trip(&few, 2);
        round_trip(&many, 500);
    }
    assert_near(many.conn.cwnd, few.conn.cwnd, few.conn.cwnd / 50);
}

/* On a small window and a short round trip Reno is faster: then it is what counts. */
static void
test_never_slower_than_reno(void **state)
{
    struct fixture fx;
    uint32_t reno = 14 * MSS;

    open_cubic(&fx, 14 * MSS, 20 * MSS);
    fx.conn.srtt_us = 1000;
    for (unsigned i = 0; i < 8; i++) {
        fx.conn.flags |= TCP_CONN_CWND_LIMITED;
        fx.now_us += 1000;
        tcp_cc_on_ack(&fx.conn, fx.conn.cwnd, fx.conn.cwnd, fx.now_us);
        reno += MSS * 9 / 17;
        assert_near(fx.conn.cwnd, reno, MSS);
    }
    for (unsigned i = 0; i < 20; i++) {
        fx.conn.flags |= TCP_CONN_CWND_LIMITED;
        fx.now_us += 1000;
        tcp_cc_on_ack(&fx.conn, fx.conn.cwnd, fx.conn.cwnd, fx.now_us);
    }
    assert_true(fx.conn.cwnd > 14 * MSS + 28 * MSS * 9 / 17); /* a whole segment a round trip */
}

static void
test_decrease_and_fast_convergence(void **state)
{
    struct fixture fx;

    open_cubic(&fx, W_MAX, 0);
    tcp_cc_on_loss(&fx.conn, W_MAX);
    assert_int_equal(fx.conn.cwnd, 70 * MSS);
    assert_int_equal(fx.conn.ssthresh, 70 * MSS);
    assert_int_equal(fx.conn.cubic.w_max, W_MAX);
    fx.conn.cwnd = W_MAX;
    tcp_cc_on_loss(&fx.conn, W_MAX); /* the same again: no reason to give way */
    assert_int_equal(fx.conn.cubic.w_max, W_MAX);
    tcp_cc_on_loss(&fx.conn, 70 * MSS); /* below the last: gives way */
    assert_int_equal(fx.conn.cwnd, 49 * MSS);
    assert_int_equal(fx.conn.cubic.w_max, 70 * MSS * 85 / 100);
    tcp_cc_on_loss(&fx.conn, MSS);
    assert_int_equal(fx.conn.cwnd, 2 * MSS);
}

static void
test_undo_brings_the_curve_back(void **state)
{
    struct fixture fx;

    open_cubic(&fx, 70 * MSS, W_MAX);
    for (unsigned i = 0; i < 20; i++)
        round_trip(&fx, 10);
    struct tcp_cubic before = fx.conn.cubic;
    uint32_t cwnd = fx.conn.cwnd;
    tcp_cc_on_loss(&fx.conn, cwnd);
    assert_int_equal(fx.conn.cubic.origin, 0);
    tcp_cc_undo(&fx.conn);
    assert_int_equal(fx.conn.cwnd, cwnd);
    assert_int_equal(fx.conn.cubic.origin, before.origin);
    assert_int_equal(fx.conn.cubic.t_us, before.t_us);
}

/* What is not used does not grow, and the curve waits. */
static void
test_idle_time_does_not_count(void **state)
{
    struct fixture fx;

    open_cubic(&fx, 70 * MSS, W_MAX);
    for (unsigned i = 0; i < 10; i++)
        round_trip(&fx, 10);
    uint32_t cwnd = fx.conn.cwnd;
    uint64_t t_us = fx.conn.cubic.t_us;
    fx.conn.flags &= ~TCP_CONN_CWND_LIMITED;
    fx.now_us += 5000000;
    tcp_cc_on_ack(&fx.conn, 50 * MSS, 50 * MSS, fx.now_us);
    assert_int_equal(fx.conn.cwnd, cwnd);
    fx.now_us += 3600000000u;
    round_trip(&fx, 10);
    assert_true(fx.conn.cubic.t_us <= t_us + RTT_US);
    fx.now_us += 3600000000u; /* limited before and after, nothing in between */
    round_trip(&fx, 10);
    assert_true(fx.conn.cubic.t_us <= t_us + 4 * RTT_US);
    assert_true(fx.conn.cwnd < cwnd + 10 * MSS);
}

/* After a timeout there is no size to return to: the curve starts where slow start ends. */
static void
test_timeout(void **state)
{
    struct fixture fx;

    open_cubic(&fx, W_MAX, W_MAX);
    tcp_cc_on_timeout(&fx.conn, W_MAX, true);
    assert_int_equal(fx.conn.cwnd, MSS);
    assert_int_equal(fx.conn.ssthresh, 70 * MSS);
    tcp_cc_on_timeout(&fx.conn, MSS, false);
    assert_int_equal(fx.conn.ssthresh, 70 * MSS);
    for (unsigned i = 0; i < 7; i++)
        round_trip(&fx, 1);
    assert_int_equal(fx.conn.cwnd, 70 * MSS);
    round_trip(&fx, 1);
    assert_int_equal(fx.conn.cubic.origin, 70 * MSS);
    assert_int_equal(fx.conn.cubic.k_ms, 0);
}

/* Extremes neither wrap nor stop. */
static void
test_large_windows_and_long_times(void **state)
{
    struct fixture fx;

    open_cubic(&fx, 2 * MSS, 0x3fffffff);
    for (unsigned i = 0; i < 1000000 && fx.conn.cwnd < 0x3fffffff; i++) {
        uint32_t before = fx.conn.cwnd;
        round_trip(&fx, 1);
        assert_true(fx.conn.cwnd >= before && fx.conn.cwnd <= 0x3fffffff);
    }
    assert_int_equal(fx.conn.cwnd, 0x3fffffff);
    fx.conn.cubic.t_us = UINT64_MAX / 2;
    round_trip(&fx, 1);
    assert_int_equal(fx.conn.cwnd, 0x3fffffff);
}

static void
test_names(void **state)
{
    assert_string_equal(tcp_congestion_name(TCP_CC_CUBIC), "CUBIC");
    assert_string_equal(tcp_congestion_name(TCP_CC_NEWRENO), "NewReno");
    assert_string_equal(tcp_congestion_name(TCP_CC_NONE), "none");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_curve),
        cmocka_unit_test(test_small_acks_add_up),
        cmocka_unit_test(test_never_slower_than_reno),
        cmocka_unit_test(test_decrease_and_fast_convergence),
        cmocka_unit_test(test_undo_brings_the_curve_back),
        cmocka_unit_test(test_idle_time_does_not_count),
        cmocka_unit_test(test_timeout),
        cmocka_unit_test(test_large_windows_and_long_times),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
