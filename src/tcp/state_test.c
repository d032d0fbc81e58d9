#include "tcp/test_conn.h"

#include <errno.h>

#define DAY_US (24ull * 3600 * 1000000)

static int
try_restore(struct fixture *fx)
{
    return tcp_restore(&fx->conn, &fx->config, &fx->state, fx->now_us);
}

/* Member by member: there is padding between them. */
static void
assert_same(const struct tcp_state *a, const struct tcp_state *b)
{
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->rcv_nxt, b->rcv_nxt);
    assert_int_equal(a->rcv_wnd, b->rcv_wnd);
    assert_int_equal(a->snd_una, b->snd_una);
    assert_int_equal(a->snd_nxt, b->snd_nxt);
    assert_int_equal(a->snd_max, b->snd_max);
    assert_int_equal(a->snd_end, b->snd_end);
    assert_int_equal(a->snd_wnd, b->snd_wnd);
    assert_int_equal(a->max_snd_wnd, b->max_snd_wnd);
    assert_int_equal(a->snd_wl1, b->snd_wl1);
    assert_int_equal(a->cwnd, b->cwnd);
    assert_int_equal(a->ssthresh, b->ssthresh);
    assert_int_equal(a->srtt_us, b->srtt_us);
    assert_int_equal(a->rttvar_us, b->rttvar_us);
    assert_int_equal(a->ts_recent, b->ts_recent);
    assert_int_equal(a->ts_recent_age_us, b->ts_recent_age_us);
    assert_int_equal(a->total_rt_us, b->total_rt_us);
    assert_int_equal(a->dup_ack_count, b->dup_ack_count);
    assert_int_equal(a->snd_wnd_probe_count, b->snd_wnd_probe_count);
    assert_int_equal(a->keepalive_probe_count, b->keepalive_probe_count);
    assert_int_equal(a->retransmit_count, b->retransmit_count);
    assert_int_equal(a->keepalive_delta_us, b->keepalive_delta_us);
    assert_int_equal(a->retransmit_delta_us, b->retransmit_delta_us);
    assert_int_equal(a->fin_queued, b->fin_queued);
}

static void
test_capture_gives_back_what_was_restored(void **state)
{
    struct fixture fx;
    struct tcp_state out;

    prepare(&fx);
    fx.state.snd_nxt = SEND + 2000;
    fx.state.snd_max = SEND + 3000;
    fx.state.snd_end = SEND + 9000;
    fx.state.ssthresh = 7777;
    fx.state.ts_recent = 99;
    fx.state.ts_recent_age_us = 500;
    fx.state.total_rt_us = 40;
    fx.state.dup_ack_count = 2;
    fx.state.retransmit_delta_us = 123;
    fx.state.keepalive_delta_us = 456;
    fx.state.keepalive_probe_count = 3;
    reopen(&fx);
    tcp_capture(&fx.conn, fx.now_us, &out);
    assert_same(&out, &fx.state);
}

static void
test_capture_counts_time(void **state)
{
    struct fixture fx;
    struct tcp_state out;

    prepare(&fx);
    fx.state.snd_nxt = fx.state.snd_max = fx.state.snd_end = SEND + 10;
    fx.state.retransmit_delta_us = 1000;
    fx.state.retransmit_count = 1;
    reopen(&fx);
    tcp_capture(&fx.conn, fx.now_us + 600, &out);
    assert_int_equal(out.retransmit_delta_us, 400);
    assert_int_equal(out.total_rt_us, 600);
    assert_int_equal(out.ts_recent_age_us, 600);
    tcp_capture(&fx.conn, fx.now_us + 6000, &out);
    assert_int_equal(out.retransmit_delta_us, 0); /* runs, and expires now */
}

static void
test_only_synchronised_states(void **state)
{
    static const enum tcp_conn_state refused[] = {TCP_CLOSED, TCP_LISTEN, TCP_SYN_SENT,
                                                  TCP_SYN_RCVD, TCP_STATE_COUNT};
    static const enum tcp_conn_state adopted[] = {TCP_ESTABLISHED, TCP_FIN_WAIT_1, TCP_FIN_WAIT_2,
                                                  TCP_CLOSE_WAIT,  TCP_CLOSING,    TCP_LAST_ACK,
                                                  TCP_TIME_WAIT};
    struct fixture fx;

    for (unsigned i = 0; i < 5; i++) {
        prepare(&fx);
        fx.state.state = refused[i];
        assert_int_equal(try_restore(&fx), -EINVAL);
    }
    for (unsigned i = 0; i < 7; i++) {
        prepare(&fx);
        fx.state.state = adopted[i];
        assert_int_equal(try_restore(&fx), 0);
        assert_int_equal(fx.conn.state, adopted[i]);
    }
}

/* Behind both FINs nothing is left but to answer the peer's, should it come again; never with less
 * than was said before. */
static void
test_time_wait_goes_on(void **state)
{
    struct tcp_segment fin = segment_at(0, 0);
    struct fixture fx;

    prepare(&fx);
    fx.state.state = TCP_TIME_WAIT;
    reopen(&fx);
    assert_silent(&fx);
    fin.seq = RECV - 1;
    fin.flags |= TCP_FIN;
    assert_false(feed_segment(&fx, &fin) & TCP_EV_FIN);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ack, RECV);
    assert_int_equal(fx.conn.state, TCP_TIME_WAIT);
    feed(&fx, 100, 10);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ack, RECV);
}

static void
test_impossible_numbers(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.snd_nxt = SEND - 1;
    assert_int_equal(try_restore(&fx), -EINVAL);
    prepare(&fx);
    fx.state.snd_nxt = SEND + 1; /* beyond snd_max */
    assert_int_equal(try_restore(&fx), -EINVAL);
    prepare(&fx);
    fx.state.snd_max = SEND + 1; /* beyond snd_end */
    assert_int_equal(try_restore(&fx), -EINVAL);
    fx.state.fin_queued = true; /* unless that is our FIN */
    assert_int_equal(try_restore(&fx), 0);
    prepare(&fx);
    fx.state.snd_end = SEND - 1;
    assert_int_equal(try_restore(&fx), -EINVAL);
    prepare(&fx);
    fx.state.rcv_wnd = TCP_MAX_RECEIVE_WINDOW + 1;
    assert_int_equal(try_restore(&fx), -EINVAL);
    prepare(&fx);
    fx.state.state = TCP_FIN_WAIT_2;
    fx.state.snd_max = fx.state.snd_end = SEND + 1; /* our FIN would not be acknowledged */
    assert_int_equal(try_restore(&fx), -EINVAL);
}

static void
test_impossible_configuration(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.ip_header_len = 24;
    assert_int_equal(try_restore(&fx), -EINVAL);
    prepare(&fx);
    fx.config.path_mtu = 60;
    assert_int_equal(try_restore(&fx), -EINVAL);
    prepare(&fx);
    fx.config.remote_mss = 0;
    assert_int_equal(try_restore(&fx), -EINVAL);
    prepare(&fx);
    fx.config.window_scaling = true;
    fx.config.snd_wscale = 15;
    assert_int_equal(try_restore(&fx), -EINVAL);
    prepare(&fx);
    fx.config.rcv_wscale = 1; /* not negotiated */
    assert_int_equal(try_restore(&fx), -EINVAL);
}

static void
test_a_refused_restore_writes_nothing(void **state)
{
    struct fixture fx;
    struct tcp_conn before;

    prepare(&fx);
    memset(&fx.conn, 0x77, sizeof(fx.conn));
    before = fx.conn;
    fx.state.state = TCP_CLOSED;
    assert_int_equal(try_restore(&fx), -EINVAL);
    assert_memory_equal(&before, &fx.conn, sizeof(before));
}

static void
test_segment_size(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.config.remote_mss = 9000;
    reopen(&fx);
    assert_int_equal(fx.conn.mss, 1460);
    fx.config.ip_header_len = 40;
    fx.config.timestamps = true;
    reopen(&fx);
    assert_int_equal(fx.conn.mss, 1428);
}

static void
test_defaults_of_the_window(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.cwnd = 0;
    fx.state.ssthresh = 0;
    reopen(&fx);
    assert_int_equal(fx.conn.cwnd, 10 * MSS);
    assert_int_equal(fx.conn.ssthresh, TCP_INFINITE_SSTHRESH);
    fx.state.cwnd = 1;
    reopen(&fx);
    assert_int_equal(fx.conn.cwnd, MSS);
}

static void
test_what_must_be_sent_next_is_sent_first(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.snd_nxt = SEND + 1000;
    fx.state.snd_max = SEND + 3000;
    fx.state.snd_end = SEND + 4500;
    reopen(&fx);
    assert_data(&fx, 1000, 2000);
    assert_true(fx.out.retransmission);
    assert_data(&fx, 3000, 1500);
    assert_false(fx.out.retransmission);
    assert_silent(&fx);
}

/* Lost while nobody owned the connection: the tail probe comes long before the retransmission
 * timeout. */
static void
test_adopted_in_flight_is_probed_soon(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.srtt_us = 100;
    fx.state.snd_nxt = fx.state.snd_max = fx.state.snd_end = SEND + 5000;
    reopen(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), START_US + 10000);
    expire(&fx);
    assert_data(&fx, 4000, 1000);
    assert_true(fx.out.retransmission);
    assert_int_equal(fx.conn.counters.tail_probes, 1);
    assert_int_equal(fx.conn.counters.timeouts, 0);
}

static void
test_a_fin_counts_inside_snd_max(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.state = TCP_FIN_WAIT_1;
    fx.state.snd_end = SEND + 100;
    fx.state.snd_nxt = fx.state.snd_max = SEND + 101;
    reopen(&fx);
    assert_silent(&fx);
    assert_true(feed_ack(&fx, 101) & TCP_EV_FIN_ACKED);
    assert_int_equal(fx.conn.state, TCP_FIN_WAIT_2);

    fx.state.snd_nxt = fx.state.snd_max = SEND + 100; /* not sent yet */
    reopen(&fx);
    assert_true(next(&fx));
    assert_int_equal(fx.out.flags, TCP_ACK | TCP_FIN);
    assert_int_equal(fx.out.seq, SEND + 100);
}

static void
test_fin_wait_2_either_way(void **state)
{
    struct fixture fx;
    struct tcp_state out;

    prepare(&fx);
    fx.state.state = TCP_FIN_WAIT_2;
    fx.state.retransmit_delta_us = 5000;
    reopen(&fx); /* snd_end == snd_una */
    assert_silent(&fx);
    fx.state.snd_end = SEND - 1; /* the FIN lies behind it */
    fx.state.fin_queued = true;
    reopen(&fx);
    assert_silent(&fx);
    tcp_capture(&fx.conn, fx.now_us, &out);
    assert_int_equal(out.retransmit_delta_us, 5000);
    assert_int_equal(tcp_restore(&fx.conn, &fx.config, &out, fx.now_us), 0);
}

/* Bytes and a FIN behind the ack point are as if they had not arrived. */
static void
test_capture_hands_back_what_is_acknowledged(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 100);
    struct tcp_state out;

    open_conn(&fx);
    segment.flags |= TCP_FIN;
    assert_true(feed_segment(&fx, &segment) & TCP_EV_FIN);
    assert_int_equal(fx.conn.state, TCP_CLOSE_WAIT);
    tcp_acknowledge(&fx.conn, RECV + 40, 0, fx.now_us);
    tcp_capture(&fx.conn, fx.now_us, &out);
    assert_int_equal(out.rcv_nxt, RECV + 40);
    assert_int_equal(out.rcv_wnd, RECV_WINDOW - 40);
    assert_int_equal(out.state, TCP_ESTABLISHED);
    tcp_acknowledge(&fx.conn, RECV + 101, 0, fx.now_us);
    tcp_capture(&fx.conn, fx.now_us, &out);
    assert_int_equal(out.state, TCP_CLOSE_WAIT);
    assert_int_equal(out.rcv_nxt, RECV + 101);
}

static void
test_close_empties_every_list(void **state)
{
    struct fixture fx;
    unsigned count = 0;

    open_conn(&fx);
    feed(&fx, 0, 100);   /* ready */
    feed(&fx, 200, 100); /* out of order */
    feed(&fx, 600, 100);
    feed(&fx, 550, 200); /* supersedes */
    for (struct tcp_chunk *chunk = tcp_close(&fx.conn); chunk; chunk = chunk->next)
        count++;
    assert_int_equal(count, 4);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
    assert_int_equal(feed(&fx, 100, 100), 0);
    assert_null(tcp_close(&fx.conn));
}

/* Straight from ESTABLISHED or CLOSE_WAIT, by anybody but the owner who takes it away. */
static void
test_ends_are_counted(void **state)
{
    struct fixture fx;
    struct tcp_segment reset = segment_at(0, 0);

    open_conn(&fx);
    assert_null(tcp_close(&fx.conn));
    assert_int_equal(fx.conn.counters.established_resets, 0);

    reopen(&fx);
    tcp_abort(&fx.conn);
    assert_int_equal(fx.conn.counters.resets_out, 0);
    assert_bare(&fx, TCP_ACK | TCP_RST);
    assert_silent(&fx);
    assert_null(tcp_close(&fx.conn));
    assert_int_equal(fx.conn.counters.resets_out, 1);
    assert_int_equal(fx.conn.counters.established_resets, 1);

    fx.state.state = TCP_CLOSE_WAIT;
    reopen(&fx);
    reset.flags = TCP_RST;
    assert_int_equal(feed_segment(&fx, &reset), TCP_EV_RESET);
    assert_int_equal(fx.conn.counters.established_resets, 1);

    fx.state.state = TCP_FIN_WAIT_2;
    reopen(&fx);
    assert_int_equal(feed_segment(&fx, &reset), TCP_EV_RESET);
    assert_int_equal(fx.conn.counters.established_resets, 0);
}

/* A connection in this state, of those that one may be in. */
static void
open_in(struct fixture *fx, enum tcp_conn_state wanted)
{
    struct tcp_segment fin = segment_at(0, 0);

    prepare(fx);
    fx->state.state = wanted == TCP_TIME_WAIT ? TCP_FIN_WAIT_2 : wanted;
    reopen(fx);
    fin.flags |= TCP_FIN;
    if (wanted == TCP_TIME_WAIT)
        assert_true(feed_segment(fx, &fin) & TCP_EV_FIN);
    assert_int_equal(fx->conn.state, wanted);
}

/* Reset by the peer or given up by us: over, and nothing is left to be done at any time. But what
 * is over already is not reset: the application may not have read everything yet. */
static void
test_every_state_may_end(void **state)
{
    static const enum tcp_conn_state states[] = {TCP_ESTABLISHED, TCP_FIN_WAIT_1, TCP_FIN_WAIT_2,
                                                 TCP_CLOSE_WAIT,  TCP_CLOSING,    TCP_LAST_ACK,
                                                 TCP_TIME_WAIT};
    struct fixture fx;

    for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        struct tcp_segment reset = segment_at(states[i] == TCP_TIME_WAIT ? 1 : 0, 0);

        open_in(&fx, states[i]);
        reset.flags = TCP_RST;
        if (states[i] == TCP_TIME_WAIT) { /* RFC 1337 */
            drain_out(&fx);
            assert_int_equal(feed_segment(&fx, &reset), 0);
            assert_int_equal(fx.conn.state, TCP_TIME_WAIT);
            assert_silent(&fx);
        } else {
            assert_int_equal(feed_segment(&fx, &reset), TCP_EV_RESET);
            assert_int_equal(fx.conn.state, TCP_CLOSED);
            assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
            assert_silent(&fx);
        }

        open_in(&fx, states[i]);
        assert_null(tcp_close(&fx.conn));
        assert_int_equal(fx.conn.state, TCP_CLOSED);
        assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
        assert_silent(&fx);
    }
}

static void
test_names(void **state)
{
    assert_string_equal(tcp_state_name(TCP_FIN_WAIT_1), "FIN_WAIT_1");
    assert_string_equal(tcp_state_name(TCP_STATE_COUNT), "?");
}

static void
test_nothing_follows_an_adopted_fin(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.state = TCP_CLOSE_WAIT;
    reopen(&fx);
    assert_int_equal(feed(&fx, 0, 100), TCP_EV_INVALID);
    assert_int_equal(feed(&fx, 0u - 50, 49) & TCP_EV_KEPT, 0);
    assert_int_equal(fx.conn.rcv_nxt, RECV);
}

/* A stamp that is older than the machine: its age counts all the same (RFC 7323, section 5.5). */
static void
test_a_stamp_older_than_the_clock(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 100);

    prepare(&fx);
    fx.config.timestamps = true;
    fx.state.ts_recent = 1000;
    fx.state.ts_recent_age_us = 25 * DAY_US;
    fx.now_us = 60000000;
    reopen(&fx);
    tcp_capture(&fx.conn, fx.now_us, &fx.state);
    assert_int_equal(fx.state.ts_recent_age_us, 25 * DAY_US);
    segment.has_timestamp = true;
    segment.tsval = 1000 + 0x80000100u;
    assert_true(feed_segment(&fx, &segment) & TCP_EV_READY);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stamp_older_than_the_clock),
        cmocka_unit_test(test_capture_gives_back_what_was_restored),
        cmocka_unit_test(test_capture_counts_time),
        cmocka_unit_test(test_only_synchronised_states),
        cmocka_unit_test(test_time_wait_goes_on),
        cmocka_unit_test(test_impossible_numbers),
        cmocka_unit_test(test_impossible_configuration),
        cmocka_unit_test(test_a_refused_restore_writes_nothing),
        cmocka_unit_test(test_segment_size),
        cmocka_unit_test(test_defaults_of_the_window),
        cmocka_unit_test(test_what_must_be_sent_next_is_sent_first),
        cmocka_unit_test(test_adopted_in_flight_is_probed_soon),
        cmocka_unit_test(test_a_fin_counts_inside_snd_max),
        cmocka_unit_test(test_fin_wait_2_either_way),
        cmocka_unit_test(test_nothing_follows_an_adopted_fin),
        cmocka_unit_test(test_capture_hands_back_what_is_acknowledged),
        cmocka_unit_test(test_close_empties_every_list),
        cmocka_unit_test(test_ends_are_counted),
        cmocka_unit_test(test_every_state_may_end),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
