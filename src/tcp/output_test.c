#include "tcp/test_conn.h"

static void
test_superframes(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.window_scaling = true;
    fx.state.snd_wnd = 500000;
    fx.state.cwnd = 500000;
    reopen(&fx);
    tcp_queue(&fx.conn, 100500);
    assert_data(&fx, 0, 65000); /* whole segments */
    assert_int_equal(fx.out.segment_size, 1000);
    assert_int_equal(fx.out.flags, TCP_ACK);
    assert_data(&fx, 65000, 35500); /* to the end */
    assert_int_equal(fx.out.flags, TCP_ACK | TCP_PSH);
    assert_silent(&fx);
    assert_int_equal(fx.conn.counters.segments_out, 65 + 36);
    assert_int_equal(fx.conn.counters.bytes_out, 100500);
}

static void
test_max_bytes(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_queue(&fx.conn, 5000);
    assert_true(tcp_next(&fx.conn, fx.now_us, 2999, &fx.out));
    assert_int_equal(fx.out.len, 2000);
    assert_true(tcp_next(&fx.conn, fx.now_us, 300, &fx.out));
    assert_int_equal(fx.out.len, 300);
    assert_int_equal(fx.out.segment_size, 0);
}

static void
test_windows_limit(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_queue(&fx.conn, 100000);
    assert_data(&fx, 0, 20000); /* cwnd */
    assert_silent(&fx);
    prepare(&fx);
    fx.state.cwnd = 200000;
    fx.state.snd_wnd = 4500;
    reopen(&fx);
    tcp_queue(&fx.conn, 100000);
    assert_data(&fx, 0, 4000); /* the peer's window; the rest would be silly */
    assert_silent(&fx);
}

static void
test_nagle(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.nagle = true;
    reopen(&fx);
    tcp_queue(&fx.conn, 10);
    assert_data(&fx, 0, 10); /* idle */
    tcp_queue(&fx.conn, 10);
    assert_silent(&fx);
    tcp_queue(&fx.conn, 1000);
    assert_data(&fx, 10, 1000); /* a whole segment */
    assert_silent(&fx);
    feed_ack(&fx, 1010);
    assert_data(&fx, 1010, 10);
    tcp_queue(&fx.conn, 10);
    tcp_queue_fin(&fx.conn);
    assert_data(&fx, 1020, 10); /* nothing will follow */
    assert_true(fx.out.flags & TCP_FIN);
}

static void
test_nagle_off(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    for (uint32_t i = 0; i < 5; i++) {
        tcp_queue(&fx.conn, 10);
        assert_data(&fx, 10 * i, 10);
    }
}

static void
test_silly_window(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.snd_wnd = 400;
    reopen(&fx);
    tcp_queue(&fx.conn, 5000);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), START_US + 5000);
    expire(&fx);
    assert_data(&fx, 0, 400); /* what the window allows */
    assert_silent(&fx);
    prepare(&fx);
    fx.state.snd_wnd = 400;
    fx.state.max_snd_wnd = 800;
    reopen(&fx);
    tcp_queue(&fx.conn, 5000);
    assert_data(&fx, 0, 400); /* half the largest window seen */
}

/* What small thing we want to send, and what small thing we have to say of our own window, wait
 * each for themselves. */
static void
test_small_things_wait_apart(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.snd_wnd = 400;
    reopen(&fx);
    tcp_queue(&fx.conn, 5000);
    assert_silent(&fx);
    fx.now_us += 2000;
    tcp_set_right_edge(&fx.conn, RECV + RECV_WINDOW + 10);
    assert_silent(&fx);
    fx.now_us += 1000;
    tcp_ack_now(&fx.conn); /* it goes along */
    assert_bare(&fx, TCP_ACK);
    tcp_set_right_edge(&fx.conn, RECV + RECV_WINDOW + 20);
    assert_silent(&fx);
    expire(&fx);
    assert_int_equal(fx.now_us, START_US + 5000);
    assert_data(&fx, 0, 400);
    assert_int_equal(fx.out.window, RECV_WINDOW + 20);

    prepare(&fx); /* nor does the update that waits let a small segment go */
    fx.state.snd_wnd = 400;
    reopen(&fx);
    tcp_set_right_edge(&fx.conn, RECV + RECV_WINDOW + 10);
    assert_silent(&fx);
    fx.now_us += 2000;
    tcp_queue(&fx.conn, 5000);
    assert_silent(&fx);
    expire(&fx);
    assert_int_equal(fx.now_us, START_US + 5000);
    assert_bare(&fx, TCP_ACK);
    assert_silent(&fx);
    expire(&fx);
    assert_int_equal(fx.now_us, START_US + 7000);
    assert_data(&fx, 0, 400);
}

/* The timer for a small segment was of a time when nothing was outstanding. */
static void
test_an_open_window_ends_the_wait(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    prepare(&fx);
    fx.state.snd_wnd = 400;
    fx.state.max_snd_wnd = 50000;
    reopen(&fx);
    tcp_queue(&fx.conn, 5000);
    assert_silent(&fx);
    assert_true(fx.conn.sws_deadline_us != TCP_NEVER);
    segment.window = 2400;
    feed_segment(&fx, &segment);
    assert_data(&fx, 0, 2000);
    assert_silent(&fx);
    assert_int_equal(fx.conn.sws_deadline_us, TCP_NEVER);
    pass(&fx, fx.config.sws_us);
    assert_silent(&fx);
}

static void
test_a_shrunk_window(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 1);

    open_conn(&fx);
    send_segments(&fx, 10);
    segment.window = 3000;
    feed_segment(&fx, &segment);
    consume(&fx);
    segment = segment_at(1, 1);
    segment.window = 3000;
    feed_segment(&fx, &segment);
    consume(&fx);
    assert_int_equal(fx.conn.snd_wnd, 3000);
    tcp_queue(&fx.conn, 1000);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.seq, SEND + 3000); /* acceptable to the peer */
    assert_silent(&fx);
}

static void
test_options_shrink_segments(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed(&fx, 1000, 100);
    feed(&fx, 2000, 100);
    tcp_queue(&fx.conn, 3000);
    assert_data(&fx, 0, 3000);
    assert_int_equal(fx.out.option_len, 20);
    assert_int_equal(fx.out.segment_size, 980);
}

static void
test_timestamps(void **state)
{
    struct fixture fx;
    struct tcp_segment out;

    prepare(&fx);
    fx.config.timestamps = true;
    fx.config.ts_offset = 0xfffffff0;
    fx.state.ts_recent = 1234;
    reopen(&fx);
    assert_int_equal(fx.conn.mss, 988);
    assert_int_equal(tcp_timestamp(&fx.conn, 20000), 4); /* wraps */
    tcp_ack_now(&fx.conn);
    assert_bare(&fx, TCP_ACK);
    out_sack(&fx, &out);
    assert_int_equal(out.tsval, 0xfffffff0u + START_US / 1000);
    assert_int_equal(out.tsecr, 1234);
    fx.config.ts_tick_us = 0;
    reopen(&fx);
    assert_int_equal(tcp_timestamp(&fx.conn, 123456789), 0xfffffff0); /* stands still */
}

static void
test_fin_alone_and_riding(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_queue(&fx.conn, 2500);
    tcp_queue_fin(&fx.conn);
    assert_data(&fx, 0, 2500);
    assert_int_equal(fx.out.flags, TCP_ACK | TCP_PSH | TCP_FIN);
    assert_int_equal(fx.conn.snd_max, SEND + 2501);
    assert_silent(&fx);
    tcp_queue(&fx.conn, 100); /* too late */
    assert_silent(&fx);
    open_conn(&fx);
    tcp_queue_fin(&fx.conn);
    assert_bare(&fx, TCP_ACK | TCP_FIN);
    assert_silent(&fx);
}

static void
test_fin_needs_a_window(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    prepare(&fx);
    fx.state.snd_wnd = 2000;
    reopen(&fx);
    tcp_queue(&fx.conn, 2000);
    tcp_queue_fin(&fx.conn);
    assert_data(&fx, 0, 2000);
    assert_false(fx.out.flags & TCP_FIN);
    assert_silent(&fx);
    segment.ack = SEND + 2000;
    segment.window = 1;
    feed_segment(&fx, &segment);
    assert_bare(&fx, TCP_ACK | TCP_FIN);
}

static void
test_abort(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    send_segments(&fx, 2);
    tcp_queue(&fx.conn, 1000);
    tcp_abort(&fx.conn);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
    assert_true(next(&fx));
    assert_true(fx.out.flags & TCP_RST);
    assert_int_equal(fx.out.seq, SEND + 2000);
    assert_int_equal(fx.out.len, 0);
    assert_silent(&fx);
    tcp_abort(&fx.conn);
    assert_silent(&fx);
    assert_int_equal(feed(&fx, 0, 10), 0);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

static void
test_smaller_mtu_resends(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    send_segments(&fx, 5);
    tcp_set_mtu(&fx.conn, 540);
    assert_data(&fx, 0, 5000);
    assert_true(fx.out.retransmission);
    assert_int_equal(fx.out.segment_size, 500);
    assert_int_equal(fx.conn.cwnd, 20 * MSS); /* nobody was congested */
    tcp_set_mtu(&fx.conn, 1500);
    assert_silent(&fx);
    tcp_set_mtu(&fx.conn, 10); /* a lie */
    assert_int_equal(fx.conn.mss, 1000);
}

static void
test_allowance(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    assert_int_equal(tcp_send_allowance(&fx.conn), 20 * MSS);
    fx.state.snd_wnd = 700;
    reopen(&fx);
    assert_int_equal(tcp_send_allowance(&fx.conn), 700);
}

static void
test_no_small_segment_for_congestion(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.cwnd = MSS;
    fx.state.snd_wnd = fx.state.max_snd_wnd = MSS;
    reopen(&fx);
    tcp_queue(&fx.conn, 300);
    assert_data(&fx, 0, 300);
    tcp_queue(&fx.conn, 2000);
    assert_silent(&fx); /* 700 would fit */
    tcp_queue_fin(&fx.conn);
    assert_silent(&fx);
}

/* ---- a medium that takes nothing ---- */

static void
test_silence_counts_from_when_the_segment_left(void **state)
{
    struct fixture fx;
    uint64_t waited_us;

    open_sending(&fx, true, 4);
    waited_us = fx.conn.rtx_deadline_us - fx.now_us;
    fx.now_us += waited_us - 1; /* all that time it was in the caller's hands */
    tcp_on_blocked(&fx.conn, fx.now_us);
    assert_int_equal(fx.conn.rtx_deadline_us, fx.now_us + waited_us);
    assert_int_equal(fx.conn.tail_deadline_us, fx.now_us + 100000);
}

static void
test_a_blocked_medium_is_no_loss(void **state)
{
    struct fixture fx;

    open_sending(&fx, true, 4);
    for (unsigned i = 0; i < 100; i++) {
        fx.now_us += 1000000;
        tcp_on_blocked(&fx.conn, fx.now_us);
        assert_int_equal(tcp_on_timer(&fx.conn, fx.now_us), 0);
    }
    assert_int_equal(fx.conn.counters.timeouts + fx.conn.counters.tail_probes, 0);
    assert_int_equal(fx.conn.cwnd, 40 * MSS);
    assert_silent(&fx);
    expire(&fx); /* and then what it had been for */
    expire(&fx);
    assert_int_equal(fx.conn.counters.timeouts, 1);
}

static void
test_probes_that_cannot_go_do_not_count(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.snd_wnd = 0;
    fx.state.snd_end = SEND + MSS;
    fx.config.keepalive = true;
    fx.config.keepalive_idle_us = 5000000;
    fx.config.max_retransmissions = 3;
    reopen(&fx);
    for (unsigned i = 0; i < 100; i++) {
        fx.now_us += 1000000;
        tcp_on_blocked(&fx.conn, fx.now_us);
        assert_int_equal(tcp_on_timer(&fx.conn, fx.now_us), 0);
    }
    assert_int_equal(fx.conn.retransmit_count, 0);
    assert_int_equal(fx.conn.state, TCP_ESTABLISHED);
    assert_true(fx.conn.keepalive_probe_count <= 1);
}

/* Nor does the time in which it takes nothing use up that in which something may go again. */
static void
test_a_blocked_medium_uses_up_no_max_rt(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.max_rt_us = 10000000;
    reopen(&fx);
    send_segments(&fx, 1);
    while (!fx.conn.counters.timeouts) /* it went again once */
        expire(&fx);
    drain_out(&fx);
    for (unsigned i = 0; i < 300; i++) {
        fx.now_us += 100000;
        tcp_on_blocked(&fx.conn, fx.now_us);
        assert_int_equal(tcp_on_timer(&fx.conn, fx.now_us) & TCP_EV_TIMEOUT, 0);
    }
    assert_int_equal(fx.conn.state, TCP_ESTABLISHED);
}

/* Nor are probes ever more frequent for it. */
static void
test_a_blocked_medium_makes_no_probe_early(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.snd_wnd = 0;
    fx.state.snd_end = SEND + MSS;
    reopen(&fx);
    for (unsigned i = 0; i < 5; i++) {
        expire(&fx);
        drain_out(&fx);
    }
    uint64_t left_us = fx.conn.rtx_deadline_us - fx.now_us;
    tcp_on_blocked(&fx.conn, fx.now_us);
    assert_true(fx.conn.rtx_deadline_us - fx.now_us >= left_us);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_superframes),
        cmocka_unit_test(test_max_bytes),
        cmocka_unit_test(test_windows_limit),
        cmocka_unit_test(test_nagle),
        cmocka_unit_test(test_nagle_off),
        cmocka_unit_test(test_silly_window),
        cmocka_unit_test(test_small_things_wait_apart),
        cmocka_unit_test(test_an_open_window_ends_the_wait),
        cmocka_unit_test(test_no_small_segment_for_congestion),
        cmocka_unit_test(test_a_shrunk_window),
        cmocka_unit_test(test_options_shrink_segments),
        cmocka_unit_test(test_timestamps),
        cmocka_unit_test(test_fin_alone_and_riding),
        cmocka_unit_test(test_fin_needs_a_window),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_smaller_mtu_resends),
        cmocka_unit_test(test_allowance),
        cmocka_unit_test(test_silence_counts_from_when_the_segment_left),
        cmocka_unit_test(test_a_blocked_medium_uses_up_no_max_rt),
        cmocka_unit_test(test_a_blocked_medium_makes_no_probe_early),
        cmocka_unit_test(test_a_blocked_medium_is_no_loss),
        cmocka_unit_test(test_probes_that_cannot_go_do_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
