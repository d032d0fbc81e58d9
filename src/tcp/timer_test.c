#include "tcp/test_conn.h"

/* RTO of the fixture: 50 ms + 4 * 10 ms = 90 ms, held up to 200 ms. */
enum { RTO_US = 200000 };

static void
close_window(struct fixture *fx)
{
    struct tcp_segment segment = segment_at(1, 1);

    feed(fx, 0, 1); /* or it would not be newer than the window it closes */
    consume(fx);
    segment.ack = fx->conn.snd_max;
    segment.window = 0;
    feed_segment(fx, &segment);
    consume(fx);
    drain_out(fx);
}

static unsigned
feed_window(struct fixture *fx, uint16_t window)
{
    struct tcp_segment segment = segment_at(0, 0);

    segment.seq = fx->conn.rcv_nxt;
    segment.ack = fx->conn.snd_max;
    segment.window = window;
    return feed_segment(fx, &segment);
}

static void
assert_next_deadline(struct fixture *fx, uint64_t delta_us)
{
    assert_int_equal(tcp_deadline_us(&fx->conn) - fx->now_us, delta_us);
}

/* ---- retransmission ---- */

static void
test_backoff_and_limit(void **state)
{
    struct fixture fx;
    unsigned timeouts = 0;

    prepare(&fx);
    fx.config.max_retransmissions = 4;
    fx.config.max_rto_us = 500000;
    fx.state.srtt_us = 100000; /* no tail probe before the timeout */
    reopen(&fx);
    send_segments(&fx, 1);
    assert_next_deadline(&fx, RTO_US);
    while (!(expire(&fx) & TCP_EV_TIMEOUT)) {
        timeouts++;
        assert_data(&fx, 0, 1000);
        assert_next_deadline(&fx, timeouts == 1 ? 2 * RTO_US : 500000);
    }
    assert_int_equal(timeouts, 4);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

static void
test_early_calls_are_harmless(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    send_segments(&fx, 2);
    assert_int_equal(pass(&fx, 10), 0);
    assert_silent(&fx);
    assert_int_equal(fx.conn.counters.timeouts, 0);
}

/* ---- persist ---- */

static void
test_persist_rounds(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    close_window(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER); /* nothing to send */
    tcp_queue(&fx.conn, 5000);
    assert_silent(&fx);
    assert_next_deadline(&fx, RTO_US);
    static const unsigned factors[] = {1, 2, 4};
    for (unsigned i = 0; i < 3; i++) { /* first round: RTO, 2 RTO, 4 RTO */
        expire(&fx);
        assert_bare(&fx, TCP_ACK);
        assert_int_equal(fx.out.seq, SEND - 1);
        assert_silent(&fx);
        assert_next_deadline(&fx, factors[i] * RTO_US);
        assert_int_equal(fx.conn.retransmit_count, i + 1);
    }
    feed_window(&fx, 0); /* the second round begins at 2 RTO */
    assert_int_equal(fx.conn.snd_wnd_probe_count, 1);
    assert_int_equal(fx.conn.retransmit_count, 0);
    assert_next_deadline(&fx, 2 * RTO_US);
    feed_window(&fx, 0); /* unasked for: no round */
    expire(&fx);
    assert_next_deadline(&fx, 2 * RTO_US); /* an answer that is lost makes them no more frequent */
    feed_window(&fx, 3000);
    assert_bare(&fx, TCP_ACK);
    assert_data(&fx, 0, 3000);
    assert_int_equal(fx.conn.snd_wnd_probe_count, 0);
    assert_int_equal(fx.conn.counters.timeouts, 0);
}

static void
test_persist_gives_up_within_a_round(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.max_retransmissions = 3;
    reopen(&fx);
    close_window(&fx);
    tcp_queue(&fx.conn, 10);
    assert_silent(&fx);
    for (int round = 0; round < 20; round++) { /* a peer that answers may keep it closed */
        assert_int_equal(expire(&fx), 0);
        drain_out(&fx);
        feed_window(&fx, 0);
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(expire(&fx), 0);
    assert_int_equal(expire(&fx), TCP_EV_TIMEOUT);
}

static void
test_persist_is_handed_over(void **state)
{
    struct fixture fx;
    struct tcp_state state_out;

    open_conn(&fx);
    close_window(&fx);
    tcp_queue(&fx.conn, 10);
    drain_out(&fx);
    expire(&fx);
    drain_out(&fx);
    expire(&fx);
    drain_out(&fx);
    fx.now_us += 1000;
    tcp_capture(&fx.conn, fx.now_us, &state_out);
    assert_int_equal(state_out.snd_wnd, 0);
    assert_int_equal(state_out.retransmit_count, 2);
    assert_int_equal(state_out.retransmit_delta_us, 2 * RTO_US - 1000);
    fx.state = state_out;
    reopen(&fx);
    assert_next_deadline(&fx, 2 * RTO_US - 1000);
    expire(&fx);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.seq, SEND - 1);
    assert_next_deadline(&fx, 4 * RTO_US);
}

static void
test_a_closed_window_holds_retransmissions(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(1, 1);

    open_conn(&fx);
    send_segments(&fx, 3);
    feed(&fx, 0, 1);
    segment.window = 0; /* taken back while three are outstanding */
    feed_segment(&fx, &segment);
    consume(&fx);
    drain_out(&fx);
    expire(&fx);
    assert_bare(&fx, TCP_ACK);
    assert_silent(&fx);
    segment = segment_at(2, 0);
    segment.window = 5000;
    feed_segment(&fx, &segment);
    while (!fx.conn.counters.timeouts)
        expire(&fx);
    assert_data(&fx, 0, 1000);
}

/* ---- persist for somebody behind the caller ---- */

static void
open_watching(struct fixture *fx)
{
    prepare(fx);
    fx->config.probe_always = true;
    reopen(fx);
}

static void
test_a_closed_window_is_probed_with_nothing_queued(void **state)
{
    struct fixture fx;

    open_watching(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
    close_window(&fx);
    assert_next_deadline(&fx, RTO_US);
    expire(&fx);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.seq, SEND - 1);
    assert_next_deadline(&fx, RTO_US);
    feed_window(&fx, 0);
    assert_int_equal(fx.conn.snd_wnd_probe_count, 1);
    assert_next_deadline(&fx, 2 * RTO_US);
    expire(&fx);
    drain_out(&fx);
    assert_true(feed_window(&fx, 3000) & TCP_EV_WINDOW);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

/* The window closes in the very segment that acknowledges everything, as a full reader's does. */
static void
test_the_last_acknowledgement_closes_the_window(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    open_watching(&fx);
    send_segments(&fx, 2);
    segment.ack = SEND + 2 * MSS;
    segment.window = 0;
    feed_segment(&fx, &segment);
    assert_silent(&fx);
    assert_next_deadline(&fx, RTO_US);
    tcp_queue(&fx.conn, 500); /* work for it: no second timer, no new round */
    fx.now_us += 1000;
    assert_silent(&fx);
    assert_next_deadline(&fx, RTO_US - 1000);
}

static void
test_an_adopted_closed_window_is_probed(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.snd_wnd = 0;
    reopen(&fx);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER); /* an ordinary owner knows its data */
    fx.config.probe_always = true;
    reopen(&fx);
    assert_next_deadline(&fx, RTO_US);
    fx.state.retransmit_delta_us = 70000;
    reopen(&fx);
    assert_next_deadline(&fx, 70000);
    expire(&fx);
    assert_bare(&fx, TCP_ACK);
    fx.state.state = TCP_CLOSE_WAIT;
    reopen(&fx);
    assert_next_deadline(&fx, 70000);
}

/* Behind a FIN nobody has anything to send; and a dead peer is not probed for ever. */
static void
test_watching_a_window_ends(void **state)
{
    struct fixture fx;
    unsigned probes = 0;

    prepare(&fx);
    fx.config.probe_always = true;
    fx.state.snd_wnd = 0;
    fx.state.state = TCP_FIN_WAIT_1;
    fx.state.snd_nxt = fx.state.snd_max = SEND + 1;
    reopen(&fx);
    assert_next_deadline(&fx, RTO_US); /* for the FIN itself */
    feed_ack(&fx, 1);
    drain_out(&fx);
    assert_int_equal(fx.conn.state, TCP_FIN_WAIT_2);
    assert_int_equal(fx.conn.rtx_deadline_us, TCP_NEVER);

    prepare(&fx);
    fx.config.probe_always = true;
    fx.config.max_retransmissions = 3;
    fx.state.snd_wnd = 0;
    reopen(&fx);
    while (!(expire(&fx) & TCP_EV_TIMEOUT))
        probes += drain_out(&fx);
    assert_int_equal(probes, 3);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
}

/* ---- keepalive and validation ---- */

static void
open_keepalive(struct fixture *fx)
{
    prepare(fx);
    fx->config.keepalive = true;
    fx->config.keepalive_idle_us = 60000000;
    fx->config.keepalive_interval_us = 2000000;
    fx->config.keepalive_probes = 3;
    reopen(fx);
}

static void
test_keepalive(void **state)
{
    struct fixture fx;

    open_keepalive(&fx);
    assert_next_deadline(&fx, 60000000);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(expire(&fx), 0);
        assert_bare(&fx, TCP_ACK);
        assert_int_equal(fx.out.seq, SEND - 1);
        assert_next_deadline(&fx, 2000000);
    }
    assert_int_equal(expire(&fx), TCP_EV_TIMEOUT);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
}

static void
test_keepalive_answered(void **state)
{
    struct fixture fx;

    open_keepalive(&fx);
    expire(&fx);
    drain_out(&fx);
    assert_int_equal(feed_ack(&fx, 0), TCP_EV_PROGRESS);
    assert_int_equal(fx.conn.keepalive_probe_count, 0);
    assert_next_deadline(&fx, 60000000);
}

static void
test_keepalive_waits_for_retransmission(void **state)
{
    struct fixture fx;

    open_keepalive(&fx);
    fx.config.max_retransmissions = 0;
    fx.config.max_rto_us = 120000000;
    reopen(&fx);
    send_segments(&fx, 1);
    while (fx.now_us < START_US + 200000000) {
        expire(&fx);
        drain_out(&fx);
    }
    assert_int_equal(fx.conn.keepalive_probe_count, 0);
    assert_int_equal(fx.conn.state, TCP_ESTABLISHED);
}

static void
test_setting_keepalive(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
    fx.config.keepalive = true;
    fx.config.keepalive_idle_us = 5000000;
    fx.config.nagle = true;
    tcp_set_keepalive(&fx.conn, &fx.config, false, fx.now_us);
    assert_next_deadline(&fx, 5000000);
    assert_true(fx.conn.config.nagle);
    fx.now_us += 1000000;
    tcp_set_keepalive(&fx.conn, &fx.config, false, fx.now_us);
    assert_next_deadline(&fx, 4000000);
    tcp_set_keepalive(&fx.conn, &fx.config, true, fx.now_us);
    assert_next_deadline(&fx, 5000000);
    fx.config.keepalive = false;
    tcp_set_keepalive(&fx.conn, &fx.config, false, fx.now_us);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

/* Zero would be due for ever. */
static void
test_keepalive_without_a_time(void **state)
{
    struct fixture fx;

    open_keepalive(&fx);
    fx.config.keepalive_idle_us = 0;
    reopen(&fx);
    assert_next_deadline(&fx, TCP_KEEPALIVE_IDLE_US);
    tcp_set_keepalive(&fx.conn, &fx.config, true, fx.now_us);
    assert_next_deadline(&fx, TCP_KEEPALIVE_IDLE_US);
}

/* Whatever its owner still says. */
static void
test_nothing_is_due_in_the_end(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.state = TCP_LAST_ACK;
    fx.state.snd_nxt = fx.state.snd_max = SEND + 1;
    reopen(&fx);
    tcp_set_right_edge(&fx.conn, RECV + RECV_WINDOW + 100); /* too little to be told */
    feed_ack(&fx, 1);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
    assert_silent(&fx);
    fx.config.keepalive = true;
    tcp_set_keepalive(&fx.conn, &fx.config, true, fx.now_us);
    tcp_set_right_edge(&fx.conn, RECV + 2 * RECV_WINDOW);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

/* A blind RST, and a peer that no longer answers: ten probes a second apart, starting after five
 * minutes. */
static void
test_validation_of_a_dead_peer(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(5, 0);
    unsigned probes = 0;

    prepare(&fx);
    fx.config.keepalive_probes = 0;
    fx.config.keepalive_interval_us = 0;
    reopen(&fx);
    segment.flags = TCP_RST;
    feed_segment(&fx, &segment);
    drain_out(&fx);
    assert_next_deadline(&fx, 300000000);
    while (!(expire(&fx) & TCP_EV_TIMEOUT)) {
        assert_bare(&fx, TCP_ACK);
        assert_next_deadline(&fx, 1000000);
        probes++;
    }
    assert_int_equal(probes, 10);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
}

static void
test_validation_keeps_an_earlier_keepalive(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(5, 0);

    open_keepalive(&fx);
    segment.flags = TCP_RST;
    feed_segment(&fx, &segment);
    assert_next_deadline(&fx, 60000000);
    feed_ack(&fx, 0); /* alive: the ordinary keepalive again */
    drain_out(&fx);
    assert_next_deadline(&fx, 60000000);
}

/* ---- FIN_WAIT_2, delayed ACK ---- */

static void
test_fin_wait_2(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_queue_fin(&fx.conn);
    drain_out(&fx);
    feed_ack(&fx, 1);
    assert_next_deadline(&fx, 120000000);
    fx.now_us += 100000000;
    feed(&fx, 0, 1); /* restarts it */
    consume(&fx);
    drain_out(&fx);
    assert_next_deadline(&fx, 120000000);
    assert_int_equal(expire(&fx), TCP_EV_TIMEOUT);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
    assert_silent(&fx);
}

static void
test_no_fin_wait_2_limit(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.fin_wait_2_us = TCP_NEVER;
    fx.state.state = TCP_FIN_WAIT_2;
    reopen(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
    feed(&fx, 0, 1);
    consume(&fx);
    drain_out(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

static void
test_a_lone_segment_is_not_probed_early(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.srtt_us = 100;
    fx.state.rttvar_us = 10;
    reopen(&fx);
    send_segments(&fx, 1); /* its acknowledgement may be delayed */
    assert_next_deadline(&fx, RTO_US);
    send_segments(&fx, 1);
    assert_next_deadline(&fx, 10000);
}

static void
test_an_old_minimum_is_forgotten(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_rtt_sample(&fx.conn, 20000, 1000000);
    tcp_rtt_sample(&fx.conn, 40000, 299000000);
    assert_int_equal(tcp_min_rtt_us(&fx.conn, 299000000), 20000);
    tcp_rtt_sample(&fx.conn, 40000, 302000000); /* a new period; the last one still counts */
    assert_int_equal(tcp_min_rtt_us(&fx.conn, 302000000), 20000);
    tcp_rtt_sample(&fx.conn, 50000, 602000000);
    assert_int_equal(tcp_min_rtt_us(&fx.conn, 602000000), 40000);
    tcp_rtt_sample(&fx.conn, 60000, 902000000);
    assert_int_equal(tcp_min_rtt_us(&fx.conn, 902000000), 50000);
    assert_int_equal(tcp_min_rtt_us(&fx.conn, 2000000000), 60000); /* idle: the last is best */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_old_minimum_is_forgotten),
        cmocka_unit_test(test_backoff_and_limit),
        cmocka_unit_test(test_early_calls_are_harmless),
        cmocka_unit_test(test_persist_rounds),
        cmocka_unit_test(test_persist_gives_up_within_a_round),
        cmocka_unit_test(test_persist_is_handed_over),
        cmocka_unit_test(test_a_closed_window_holds_retransmissions),
        cmocka_unit_test(test_a_closed_window_is_probed_with_nothing_queued),
        cmocka_unit_test(test_the_last_acknowledgement_closes_the_window),
        cmocka_unit_test(test_an_adopted_closed_window_is_probed),
        cmocka_unit_test(test_watching_a_window_ends),
        cmocka_unit_test(test_keepalive),
        cmocka_unit_test(test_keepalive_answered),
        cmocka_unit_test(test_keepalive_waits_for_retransmission),
        cmocka_unit_test(test_setting_keepalive),
        cmocka_unit_test(test_keepalive_without_a_time),
        cmocka_unit_test(test_nothing_is_due_in_the_end),
        cmocka_unit_test(test_validation_of_a_dead_peer),
        cmocka_unit_test(test_validation_keeps_an_earlier_keepalive),
        cmocka_unit_test(test_fin_wait_2),
        cmocka_unit_test(test_no_fin_wait_2_limit),
        cmocka_unit_test(test_a_lone_segment_is_not_probed_early),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
