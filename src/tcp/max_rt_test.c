#include "tcp/test_conn.h"

/* The limit of the time in which something goes again, in place of that of how often. */

/* RTO of the fixture: 50 ms + 4 * 10 ms = 90 ms, held up to 200 ms. */
enum { RTO_US = 200000 };

static void
assert_next_deadline(struct fixture *fx, uint64_t delta_us)
{
    assert_int_equal(tcp_deadline_us(&fx->conn) - fx->now_us, delta_us);
}

static void
test_max_rt_overrides_the_count(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.max_retransmissions = 1;
    fx.config.max_rt_us = 1000000;
    fx.state.srtt_us = 100000;
    reopen(&fx);
    send_segments(&fx, 1);
    expire(&fx);
    uint64_t first_us = fx.now_us;
    drain_out(&fx);
    while (!(expire(&fx) & TCP_EV_TIMEOUT))
        drain_out(&fx);
    assert_int_equal(fx.now_us - first_us, 1000000);
    fx.config.max_rt_us = TCP_NEVER;
    reopen(&fx);
    send_segments(&fx, 1);
    for (int i = 0; i < 300; i++) {
        assert_false(expire(&fx) & TCP_EV_TIMEOUT);
        drain_out(&fx);
    }
}

static void
test_restarting_max_rt(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.max_rt_us = 1000000;
    fx.state.total_rt_us = 900000;
    fx.state.retransmit_count = 3;
    fx.state.snd_nxt = fx.state.snd_max = fx.state.snd_end = SEND + 10;
    fx.state.retransmit_delta_us = 200000;
    reopen(&fx);
    tcp_restart_max_rt(&fx.conn, 2000000, fx.now_us);
    while (!fx.conn.counters.timeouts)
        assert_false(expire(&fx) & TCP_EV_TIMEOUT);
    reopen(&fx); /* without, that was the end */
    unsigned events = 0;
    while (!fx.conn.counters.timeouts && !(events & TCP_EV_TIMEOUT))
        events = expire(&fx);
    assert_true(events & TCP_EV_TIMEOUT);
}

/* Tries until the timer waits for two minutes, and for ten seconds of these. */
static void
open_in_backoff(struct fixture *fx, uint64_t max_rt_us)
{
    prepare(fx);
    fx->config.max_rt_us = max_rt_us;
    reopen(fx);
    send_segments(fx, 1);
    for (int i = 0; i < 20; i++) {
        expire(fx);
        drain_out(fx);
    }
    assert_next_deadline(fx, 120000000);
    fx->now_us += 10000000;
}

/* The timer that runs follows the limit, down and up. */
static void
test_another_max_rt_in_a_backoff(void **state)
{
    struct fixture fx;

    open_in_backoff(&fx, TCP_NEVER);
    tcp_restart_max_rt(&fx.conn, 1000000, fx.now_us);
    assert_next_deadline(&fx, 1000000);
    fx.now_us += 500000;
    tcp_restart_max_rt(&fx.conn, TCP_NEVER, fx.now_us);
    assert_next_deadline(&fx, 109500000); /* as if nothing had been */
    tcp_restart_max_rt(&fx.conn, 1000000, fx.now_us);
    assert_int_equal(expire(&fx), TCP_EV_TIMEOUT);

    open_in_backoff(&fx, TCP_NEVER); /* without a restart all that was spent counts */
    fx.config.max_rt_us = 1000000;
    tcp_set_keepalive(&fx.conn, &fx.config, false, fx.now_us);
    assert_next_deadline(&fx, 0);
    fx.config.max_rt_us = 0; /* the count, which is behind it, too */
    tcp_set_keepalive(&fx.conn, &fx.config, false, fx.now_us);
    assert_next_deadline(&fx, 110000000);
    assert_int_equal(expire(&fx), TCP_EV_TIMEOUT);
}

/* Of an adopted connection, too; and a first timeout is not hurried: nothing is spent yet. */
static void
test_another_max_rt_elsewhere(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.max_rt_us = TCP_NEVER;
    fx.state.retransmit_count = 3;
    fx.state.snd_nxt = fx.state.snd_max = fx.state.snd_end = SEND + 10;
    fx.state.retransmit_delta_us = 60000000;
    reopen(&fx);
    fx.conn.tail_deadline_us = TCP_NEVER;
    tcp_restart_max_rt(&fx.conn, 1000000, fx.now_us);
    assert_next_deadline(&fx, 1000000);
    tcp_restart_max_rt(&fx.conn, TCP_NEVER, fx.now_us);
    assert_next_deadline(&fx, 60000000);

    prepare(&fx); /* a probe is limited likewise */
    fx.state.snd_wnd = 0;
    reopen(&fx);
    tcp_queue(&fx.conn, 10);
    drain_out(&fx);
    tcp_restart_max_rt(&fx.conn, 1000, fx.now_us);
    assert_next_deadline(&fx, RTO_US);
    expire(&fx);
    drain_out(&fx);
    assert_next_deadline(&fx, 1000);
}

/* A move neither shortens the timer for good nor puts off the end. */
static void
test_max_rt_and_a_move(void **state)
{
    struct fixture fx;

    open_in_backoff(&fx, TCP_NEVER);
    tcp_restart_max_rt(&fx.conn, 1000000, fx.now_us);
    tcp_capture(&fx.conn, fx.now_us, &fx.state);
    assert_int_equal(fx.state.retransmit_delta_us, 110000000);
    fx.config.max_rt_us = 3000000;
    reopen(&fx);
    fx.conn.tail_deadline_us = TCP_NEVER;
    assert_next_deadline(&fx, 3000000);
    fx.now_us += 2000000;
    tcp_restart_max_rt(&fx.conn, TCP_NEVER, fx.now_us);
    assert_next_deadline(&fx, 108000000);
}

/* A peer that is gone, and a connection that moves all the time. */
static unsigned
move_for(struct fixture *fx, uint64_t all_us, uint64_t each_us)
{
    uint64_t end_us = fx->now_us + all_us;
    unsigned sent = 0;

    while (fx->now_us < end_us && fx->conn.state != TCP_CLOSED) {
        tcp_capture(&fx->conn, fx->now_us, &fx->state);
        reopen(fx);
        for (uint64_t spent_us = 0; spent_us < each_us; spent_us += 10000) {
            pass(fx, 10000);
            sent += drain_out(fx);
        }
    }
    return sent;
}

static void
test_moving_puts_nothing_off(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.max_rt_us = 30000000;
    fx.state.cwnd = 40 * MSS;
    reopen(&fx);
    send_segments(&fx, 2);
    for (int i = 0; i < 5; i++) {
        expire(&fx);
        drain_out(&fx);
    }
    assert_in_range(move_for(&fx, 6000000, 150000), 0, 1);
    move_for(&fx, 60000000, 150000);
    assert_int_equal(fx.conn.state, TCP_CLOSED);

    prepare(&fx); /* from the beginning: before anything went again */
    fx.config.max_rt_us = 30000000;
    fx.state.cwnd = 40 * MSS;
    reopen(&fx);
    send_segments(&fx, 2);
    move_for(&fx, 60000000, 150000);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_max_rt_overrides_the_count),
        cmocka_unit_test(test_restarting_max_rt),
        cmocka_unit_test(test_another_max_rt_in_a_backoff),
        cmocka_unit_test(test_another_max_rt_elsewhere),
        cmocka_unit_test(test_max_rt_and_a_move),
        cmocka_unit_test(test_moving_puts_nothing_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
