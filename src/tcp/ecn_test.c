#include "tcp/test_conn.h"

static void
open_ecn(struct fixture *fx)
{
    prepare(fx);
    fx->config.ecn = true;
    fx->state.cwnd = fx->state.ssthresh = 20 * MSS;
    reopen(fx);
}

/* Payload with the IP header's ECN field and TCP flags. */
static void
feed_marked(struct fixture *fx, uint32_t offset, uint8_t ecn, uint8_t flags)
{
    struct tcp_segment segment = segment_at(offset, 100);

    segment.ack = fx->conn.snd_una;
    segment.ecn = ecn;
    segment.flags |= flags;
    feed_segment(fx, &segment);
    consume(fx);
}

static unsigned
feed_echo(struct fixture *fx, uint32_t offset)
{
    struct tcp_segment segment = segment_at(0, 0);

    segment.ack = SEND + offset;
    segment.flags |= TCP_ECE;
    return feed_segment(fx, &segment);
}

/* ---- receiving ---- */

static void
test_a_mark_is_echoed_until_cwr(void **state)
{
    struct fixture fx;

    open_ecn(&fx);
    feed_marked(&fx, 0, TCP_ECT0, 0);
    assert_bare(&fx, TCP_ACK);
    feed_marked(&fx, 100, TCP_CE, 0);
    assert_bare(&fx, TCP_ACK | TCP_ECE);
    feed_marked(&fx, 200, TCP_ECT0, 0);
    assert_bare(&fx, TCP_ACK | TCP_ECE);
    tcp_queue(&fx.conn, 10);
    assert_data(&fx, 0, 10);
    assert_int_equal(fx.out.flags, TCP_ACK | TCP_PSH | TCP_ECE); /* data acknowledges, too */
    feed_marked(&fx, 300, TCP_ECT0, TCP_CWR);
    assert_bare(&fx, TCP_ACK);
}

static void
test_cwr_on_a_marked_segment(void **state)
{
    struct fixture fx;

    open_ecn(&fx);
    feed_marked(&fx, 0, TCP_CE, 0);
    assert_bare(&fx, TCP_ACK | TCP_ECE);
    feed_marked(&fx, 100, TCP_CE, TCP_CWR); /* heard, and here is the next one */
    assert_bare(&fx, TCP_ACK | TCP_ECE);
}

static void
test_only_acceptable_data_is_believed(void **state)
{
    struct fixture fx;
    struct tcp_segment bare = segment_at(0, 0);

    open_ecn(&fx);
    feed_marked(&fx, RECV_WINDOW + 5000, TCP_CE, 0); /* beyond the window */
    assert_bare(&fx, TCP_ACK);
    bare.ecn = TCP_CE;
    feed_segment(&fx, &bare);
    tcp_ack_now(&fx.conn);
    assert_bare(&fx, TCP_ACK);
    struct tcp_segment ahead = segment_at(0, 100);
    ahead.ack = SEND + 1; /* of what was never sent */
    ahead.ecn = TCP_CE;
    feed_segment(&fx, &ahead);
    assert_bare(&fx, TCP_ACK);
    feed_marked(&fx, 0, TCP_CE, 0);
    assert_bare(&fx, TCP_ACK | TCP_ECE);
    bare.flags |= TCP_CWR; /* comes with data or not at all */
    bare.seq = RECV + 100;
    feed_segment(&fx, &bare);
    tcp_ack_now(&fx.conn);
    assert_bare(&fx, TCP_ACK | TCP_ECE);
}

static void
test_a_reset_echoes_nothing(void **state)
{
    struct fixture fx;

    open_ecn(&fx);
    feed_marked(&fx, 0, TCP_CE, 0);
    tcp_abort(&fx.conn);
    assert_bare(&fx, TCP_ACK | TCP_RST);
}

/* ---- sending ---- */

static void
test_only_new_data_is_capable(void **state)
{
    struct fixture fx;

    open_ecn(&fx);
    tcp_queue(&fx.conn, 5 * MSS);
    assert_data(&fx, 0, 5 * MSS);
    assert_int_equal(fx.out.ecn, TCP_ECT0);
    tcp_ack_now(&fx.conn);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ecn, TCP_NOT_ECT);
    while (!fx.conn.counters.timeouts) {
        expire(&fx);
        assert_data(&fx, fx.conn.counters.timeouts ? 0 : 4000, MSS); /* the tail probe first */
        assert_true(fx.out.retransmission);
        assert_int_equal(fx.out.ecn, TCP_NOT_ECT);
        assert_int_equal(fx.out.flags & TCP_CWR, 0);
    }
    tcp_queue_fin(&fx.conn);
    feed_ack(&fx, 5 * MSS);
    assert_bare(&fx, TCP_ACK | TCP_FIN); /* a CWR is due, but there is no data for it */
    assert_int_equal(fx.out.ecn, TCP_NOT_ECT);
}

static void
test_a_probe_is_not_capable(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.ecn = true;
    fx.state.snd_wnd = 0;
    reopen(&fx);
    tcp_queue(&fx.conn, MSS);
    assert_silent(&fx);
    expire(&fx);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ecn, TCP_NOT_ECT);
}

static void
test_one_reaction_per_window(void **state)
{
    struct fixture fx;

    open_ecn(&fx);
    send_segments(&fx, 20);
    assert_true(feed_echo(&fx, 2000) & TCP_EV_WINDOW);
    assert_int_equal(fx.conn.cwnd, 10 * MSS);
    assert_int_equal(fx.conn.ssthresh, 10 * MSS);
    tcp_queue(&fx.conn, 50 * MSS);
    for (uint32_t i = 3; i <= 20; i++)
        feed_echo(&fx, i * MSS);
    assert_int_equal(fx.conn.cwnd, 10 * MSS); /* not again, and it does not grow either */
    assert_data(&fx, 20 * MSS, MSS);          /* alone, lest each of a superframe says it */
    assert_int_equal(fx.out.flags, TCP_ACK | TCP_CWR);
    assert_data(&fx, 21 * MSS, 9 * MSS);
    assert_int_equal(fx.out.flags, TCP_ACK);
    assert_true(feed_echo(&fx, 21 * MSS) & TCP_EV_WINDOW); /* of what was sent at the new pace */
    assert_int_equal(fx.conn.cwnd, 5 * MSS);
    feed_ack(&fx, 30 * MSS);
    assert_data(&fx, 30 * MSS, MSS);
    assert_int_equal(fx.out.flags, TCP_ACK | TCP_CWR);
}

static void
test_a_loss_says_cwr_and_counts_as_the_reaction(void **state)
{
    struct fixture fx;

    open_ecn(&fx);
    send_segments(&fx, 20);
    tcp_queue(&fx.conn, 50 * MSS);
    add_sack(&fx, 1000, 8000);
    feed_ack(&fx, 0);
    uint32_t ssthresh = fx.conn.ssthresh;
    assert_data(&fx, 0, MSS);
    assert_int_equal(fx.out.flags & TCP_CWR, 0);
    feed_echo(&fx, 0);
    assert_int_equal(fx.conn.ssthresh, ssthresh);
    feed_ack(&fx, 20 * MSS);
    assert_data(&fx, 20 * MSS, MSS);
    assert_int_equal(fx.out.flags, TCP_ACK | TCP_CWR);
    assert_int_equal(fx.out.ecn, TCP_ECT0);
}

/* The reaction is over with its window, also when nothing is echoed for gigabytes. */
static void
test_the_next_reaction_may_be_far(void **state)
{
    struct fixture fx;

    open_ecn(&fx);
    send_segments(&fx, 10);
    feed_echo(&fx, 10000);
    send_segments(&fx, 5);
    feed_ack(&fx, 15000);
    assert_int_equal(fx.conn.flags & TCP_CONN_ECN_REACTED, 0);
    fx.conn.ecn_seq += 0x90000000u; /* as if so much had been sent since */
    assert_true(feed_echo(&fx, 15000) & TCP_EV_WINDOW);
}

static void
open_at_one_segment(struct fixture *fx)
{
    prepare(fx);
    fx->config.ecn = true;
    fx->state.cwnd = MSS;
    reopen(fx);
    tcp_queue(&fx->conn, 10 * MSS);
    assert_data(fx, 0, MSS);
}

/* The smallest window does not grow by being reduced, nor get smaller: the next segment waits for
 * as long as a retransmission would (RFC 3168, section 6.1.2). */
static void
test_an_echo_at_one_segment(void **state)
{
    struct fixture fx;

    open_at_one_segment(&fx);
    feed_echo(&fx, 1000);
    uint64_t wait_us = fx.conn.rto_us, from_us = fx.now_us;
    assert_int_equal(fx.conn.cwnd, MSS);
    assert_silent(&fx);
    fx.now_us += wait_us / 2;
    feed_echo(&fx, 1000); /* said already */
    assert_silent(&fx);
    expire(&fx);
    assert_int_equal(fx.now_us, from_us + wait_us);
    assert_int_equal(fx.conn.counters.timeouts, 0);
    assert_data(&fx, 1000, MSS);
    assert_int_equal(fx.out.flags, TCP_ACK | TCP_CWR);
    feed_echo(&fx, 2000); /* of this one: still too fast */
    assert_silent(&fx);
    expire(&fx);
    assert_data(&fx, 2000, MSS);
    feed_ack(&fx, 3000); /* not of this one */
    assert_data(&fx, 3000, 2 * MSS);
}

/* Nor does it wait where nobody controls congestion. */
static void
test_an_echo_without_congestion_control(void **state)
{
    struct fixture fx;

    open_at_one_segment(&fx);
    fx.conn.config.congestion = TCP_CC_NONE;
    feed_echo(&fx, 1000);
    drain_out(&fx); /* all there is */
    assert_int_equal(fx.conn.snd_nxt, fx.conn.snd_una + 9 * MSS);
}

/* What comes meanwhile takes the timer: it still ends. */
static void
test_the_wait_at_one_segment_ends(void **state)
{
    struct fixture fx;
    struct tcp_segment window = segment_at(0, 0);

    open_at_one_segment(&fx);
    feed_echo(&fx, 1000);
    uint64_t until_us = fx.now_us + fx.conn.rto_us;
    assert_silent(&fx);
    window.ack = SEND + 1000;
    window.window = 0;
    feed_segment(&fx, &window);
    assert_silent(&fx);
    window.window = SEND_WINDOW;
    feed_segment(&fx, &window);
    assert_silent(&fx);
    expire(&fx);
    assert_int_equal(fx.now_us, until_us);
    assert_data(&fx, 1000, MSS);
}

static void
test_an_old_echo_is_ignored(void **state)
{
    struct fixture fx;

    open_ecn(&fx);
    send_segments(&fx, 10);
    feed_ack(&fx, 5000);
    uint32_t cwnd = fx.conn.cwnd;
    feed_echo(&fx, 1000);
    assert_int_equal(fx.conn.cwnd, cwnd);
    feed_echo(&fx, 5000); /* it repeats, but it is the newest */
    assert_true(fx.conn.cwnd < cwnd);
}

/* Whoever has not agreed neither says nor hears. */
static void
test_not_negotiated(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    send_segments(&fx, 20);
    assert_int_equal(fx.out.ecn, TCP_NOT_ECT);
    feed_echo(&fx, 1000);
    assert_int_equal(fx.conn.cwnd, 21 * MSS);
    feed_marked(&fx, 0, TCP_CE, 0);
    assert_bare(&fx, TCP_ACK);
    while (!fx.conn.counters.timeouts)
        expire(&fx);
    feed_ack(&fx, 20 * MSS);
    tcp_queue(&fx.conn, MSS);
    assert_data(&fx, 20 * MSS, MSS);
    assert_int_equal(fx.out.flags, TCP_ACK | TCP_PSH);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mark_is_echoed_until_cwr),
        cmocka_unit_test(test_cwr_on_a_marked_segment),
        cmocka_unit_test(test_only_acceptable_data_is_believed),
        cmocka_unit_test(test_a_reset_echoes_nothing),
        cmocka_unit_test(test_only_new_data_is_capable),
        cmocka_unit_test(test_a_probe_is_not_capable),
        cmocka_unit_test(test_one_reaction_per_window),
        cmocka_unit_test(test_a_loss_says_cwr_and_counts_as_the_reaction),
        cmocka_unit_test(test_the_next_reaction_may_be_far),
        cmocka_unit_test(test_an_echo_at_one_segment),
        cmocka_unit_test(test_an_echo_without_congestion_control),
        cmocka_unit_test(test_the_wait_at_one_segment_ends),
        cmocka_unit_test(test_an_old_echo_is_ignored),
        cmocka_unit_test(test_not_negotiated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
