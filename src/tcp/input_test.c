#include "tcp/test_conn.h"

static void
open_stamped(struct fixture *fx, uint32_t ts_recent)
{
    prepare(fx);
    fx->config.timestamps = true;
    fx->state.ts_recent = ts_recent;
    reopen(fx);
}

/* ---- sequence ---- */

static void
test_outside_the_window(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    assert_int_equal(feed(&fx, RECV_WINDOW + 1, 10), TCP_EV_INVALID);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(feed(&fx, 0u - 100, 50), TCP_EV_INVALID | TCP_EV_DUPLICATE);
    assert_bare(&fx, TCP_ACK);
    assert_silent(&fx);
    assert_int_equal(fx.conn.rcv_nxt, RECV);
}

static void
test_payload_is_cut_at_the_right_edge(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, RECV_WINDOW + 500);

    open_conn(&fx);
    segment.flags |= TCP_FIN;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_KEPT | TCP_EV_READY); /* and no FIN */
    assert_false(fx.conn.flags & TCP_CONN_FIN_SEEN);
    assert_int_equal(consume(&fx), RECV_WINDOW);
    assert_int_equal(feed(&fx, RECV_WINDOW, 10), TCP_EV_INVALID); /* a probe of a full window */
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.window, 0);
    assert_int_equal(fx.out.ack, RECV + RECV_WINDOW);
}

static void
test_a_full_window_takes_acks_and_fin(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(RECV_WINDOW, 0);

    open_conn(&fx);
    send_segments(&fx, 2);
    feed(&fx, 0, RECV_WINDOW);
    consume(&fx);
    assert_true(feed_ack(&fx, 1000) & TCP_EV_ACKED);
    segment.flags |= TCP_FIN;
    segment.ack = SEND + 1000;
    assert_true(feed_segment(&fx, &segment) & TCP_EV_FIN);
}

static void
test_probe_below_the_window_is_answered(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    assert_int_equal(feed(&fx, 0u - 1, 0), TCP_EV_INVALID);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(feed(&fx, 0u - 1, 0), TCP_EV_INVALID); /* no storm */
    assert_silent(&fx);
    fx.now_us += 10000;
    feed(&fx, 0u - 1, 0);
    assert_bare(&fx, TCP_ACK);
}

/* With ack = returned what lies between ack point and rcv_nxt is acceptable, and absorbed. */
static void
test_between_ack_point_and_rcv_nxt(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed(&fx, 0, 3000);
    assert_silent(&fx); /* nothing may be acknowledged */
    assert_int_equal(feed(&fx, 0, 1000), TCP_EV_DUPLICATE);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ack, RECV);
    assert_int_equal(feed(&fx, 2500, 1000), TCP_EV_KEPT | TCP_EV_READY | TCP_EV_DUPLICATE);
    assert_int_equal(fx.conn.rcv_nxt, RECV + 3500);
}

/* ---- timestamps ---- */

static void
test_paws(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 10);

    open_stamped(&fx, 5);
    segment.has_timestamp = true;
    segment.tsval = 0xfffffff0; /* before 5, across the wrap */
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_INVALID);
    assert_bare(&fx, TCP_ACK);
    segment.tsval = 5; /* a clock may stand still */
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_KEPT | TCP_EV_READY);
    segment.has_timestamp = false;
    segment.seq += 10;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_INVALID);
    segment.has_timestamp = true;
    segment.tsval = 4;
    segment.flags = TCP_RST; /* never judged by its stamp */
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_RESET);
}

static void
test_paws_gives_up_after_24_days(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 10);

    open_stamped(&fx, 1000);
    segment.has_timestamp = true;
    segment.tsval = 1;
    fx.now_us += 24ull * 24 * 3600 * 1000000;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_KEPT | TCP_EV_READY);
    consume(&fx);
    assert_int_equal(fx.conn.ts_recent, 1);
}

static void
test_bare_segments_refresh_ts_recent(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    open_stamped(&fx, 5);
    segment.has_timestamp = true;
    segment.tsval = 9;
    feed_segment(&fx, &segment);
    assert_int_equal(fx.conn.ts_recent, 9);
    segment.seq++; /* behind the last ACK sent */
    segment.tsval = 12;
    feed_segment(&fx, &segment);
    assert_int_equal(fx.conn.ts_recent, 9);
    segment = segment_at(0, 10);
    segment.has_timestamp = true;
    segment.tsval = 13; /* data does so when it is acknowledged */
    feed_segment(&fx, &segment);
    assert_int_equal(fx.conn.ts_recent, 9);
    consume(&fx);
    assert_int_equal(fx.conn.ts_recent, 13);
}

/* An ACK that covers nothing else echoes it; behind data that wait for theirs it does not count. */
static void
test_fin_alone_refreshes_ts_recent(void **state)
{
    for (uint32_t waiting = 0; waiting <= 10; waiting += 10) {
        struct fixture fx;
        struct tcp_segment segment = segment_at(0, waiting);

        open_stamped(&fx, 5);
        segment.has_timestamp = true;
        segment.tsval = 5;
        if (waiting)
            feed_segment(&fx, &segment);
        segment = segment_at(waiting, 0);
        segment.flags = TCP_FIN | TCP_ACK;
        segment.has_timestamp = true;
        segment.tsval = 9;
        assert_true(feed_segment(&fx, &segment) & TCP_EV_FIN);
        assert_int_equal(fx.conn.ts_recent, waiting ? 5 : 9);
    }
}

/* ---- RST ---- */

static void
test_reset_at_rcv_nxt(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    open_conn(&fx);
    send_segments(&fx, 3);
    segment.flags = TCP_RST;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_RESET);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

static void
test_reset_elsewhere(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(RECV_WINDOW + 1, 0);

    open_conn(&fx);
    segment.flags = TCP_RST;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_INVALID);
    assert_silent(&fx); /* outside: dropped */
    segment.seq = RECV + 1;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_INVALID);
    assert_bare(&fx, TCP_ACK); /* inside: one challenge */
    feed_segment(&fx, &segment);
    assert_silent(&fx); /* per validation period */
    assert_int_equal(tcp_deadline_us(&fx.conn), fx.now_us + 300000000);
    feed(&fx, 0, 1); /* which an acceptable segment ends */
    consume(&fx);
    drain_out(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
    segment.seq = RECV + 2;
    feed_segment(&fx, &segment);
    assert_bare(&fx, TCP_ACK);
}

static void
test_reset_with_a_lagging_ack_point(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    open_conn(&fx);
    feed(&fx, 0, 3000);
    segment.flags = TCP_RST;
    segment.seq = RECV + 1;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_INVALID);
    segment.seq = RECV + 3000;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_RESET);
    open_conn(&fx);
    feed(&fx, 0, 3000);
    segment.seq = RECV; /* a closed socket's answer to what we say */
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_RESET);
}

/* ---- SYN ---- */

static void
test_syn(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0u - 5000, 0);

    open_conn(&fx);
    segment.flags = TCP_SYN;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(feed_segment(&fx, &segment), TCP_EV_INVALID);
        assert_bare(&fx, TCP_ACK); /* outside: an ACK each */
    }
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
    segment.seq = RECV + 100;
    feed_segment(&fx, &segment);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(tcp_deadline_us(&fx.conn), fx.now_us + 300000000);
    fx.now_us += 2999999;
    feed_segment(&fx, &segment);
    assert_silent(&fx); /* at most one per 3 s */
    fx.now_us += 1;
    feed_segment(&fx, &segment);
    assert_bare(&fx, TCP_ACK);
    segment.seq = RECV;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_SYN);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
    assert_silent(&fx);
}

/* A peer that has forgotten the connection begins anew, and need not offer timestamps: it is told
 * where we are, too. */
static void
test_syn_without_a_timestamp(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0u - 5000, 0);

    open_stamped(&fx, 5);
    segment.flags = TCP_SYN;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_INVALID);
    assert_bare(&fx, TCP_ACK);
    segment.seq = RECV - 1;
    feed_segment(&fx, &segment);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.conn.ts_recent, 5);
    segment.seq = RECV;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_SYN);
    assert_int_equal(fx.conn.ts_recent, 5);
}

/* ---- ACK, URG ---- */

static void
test_ack_of_the_unsent(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    send_segments(&fx, 1);
    assert_int_equal(feed_ack(&fx, 1001), TCP_EV_INVALID);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.conn.snd_una, SEND);
    assert_int_equal(feed_ack(&fx, 0u - SEND_WINDOW - 1), TCP_EV_INVALID); /* and of the ancient */
    assert_int_equal(feed_ack(&fx, 1000), TCP_EV_ACKED | TCP_EV_PROGRESS);
}

static void
test_no_ack_flag(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 100);

    open_conn(&fx);
    segment.flags = 0;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_INVALID);
    assert_silent(&fx);
    assert_int_equal(fx.conn.rcv_nxt, RECV);
}

static void
test_urgent_is_not_processed(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 100);

    open_conn(&fx);
    send_segments(&fx, 1);
    segment.flags |= TCP_URG;
    segment.ack = SEND + 1000;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_URGENT);
    assert_int_equal(fx.conn.rcv_nxt, RECV);
    assert_int_equal(fx.conn.snd_una, SEND);
    segment.ack = SEND + 5000; /* not valid: dropped like any other */
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_INVALID);
    segment.ack = SEND;
    segment.seq = RECV + RECV_WINDOW + 1;
    assert_int_equal(feed_segment(&fx, &segment), TCP_EV_INVALID);
}

/* ---- FIN ---- */

static unsigned
feed_fin(struct fixture *fx, uint32_t offset, uint32_t len)
{
    struct tcp_segment segment = segment_at(offset, len);

    segment.flags |= TCP_FIN;
    segment.ack = fx->conn.snd_una;
    return feed_segment(fx, &segment);
}

static void
test_fin_is_acknowledged_by_the_caller(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    assert_int_equal(feed_fin(&fx, 0, 100), TCP_EV_KEPT | TCP_EV_READY | TCP_EV_FIN);
    assert_int_equal(fx.conn.state, TCP_CLOSE_WAIT);
    assert_int_equal(fx.conn.rcv_nxt, RECV + 101);
    assert_int_equal(consume(&fx), 100);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ack, RECV + 100);   /* the data, not the FIN */
    assert_int_equal(feed_fin(&fx, 100, 0), 0); /* again: no second event */
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ack, RECV + 100);
    tcp_acknowledge(&fx.conn, RECV + 101, 0, fx.now_us);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ack, RECV + 101);
}

static void
test_fin_out_of_order(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    assert_int_equal(feed_fin(&fx, 1000, 500), TCP_EV_KEPT);
    assert_int_equal(fx.conn.state, TCP_ESTABLISHED);
    assert_true(feed(&fx, 0, 1000) & TCP_EV_FIN);
    assert_int_equal(consume(&fx), 1500);
}

static void
test_nothing_follows_a_fin(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed_fin(&fx, 1000, 0);
    assert_int_equal(feed(&fx, 1500, 100) & TCP_EV_KEPT, 0); /* behind it */
    assert_true(feed(&fx, 0, 1200) & TCP_EV_FIN);            /* across it */
    assert_int_equal(consume(&fx), 1000);
    open_conn(&fx);
    feed(&fx, 2000, 100);
    assert_int_equal(feed_fin(&fx, 1000, 0) & TCP_EV_FIN, 0); /* inside known data: a lie */
    assert_int_equal(feed(&fx, 0, 2000) & TCP_EV_FIN, 0);
    assert_int_equal(consume(&fx), 2100);
}

static void
test_active_close(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_queue_fin(&fx.conn);
    assert_bare(&fx, TCP_ACK | TCP_FIN);
    assert_int_equal(fx.conn.state, TCP_FIN_WAIT_1);
    assert_true(feed_ack(&fx, 1) & TCP_EV_FIN_ACKED);
    assert_int_equal(fx.conn.state, TCP_FIN_WAIT_2);
    assert_int_equal(feed_ack(&fx, 1) & TCP_EV_FIN_ACKED, 0);
    feed(&fx, 0, 10); /* half-close: the peer goes on */
    assert_int_equal(consume(&fx), 10);
    assert_true(feed_fin(&fx, 10, 0) & TCP_EV_FIN);
    assert_int_equal(fx.conn.state, TCP_TIME_WAIT);
    tcp_acknowledge(&fx.conn, RECV + 11, 0, fx.now_us);
    assert_bare(&fx, TCP_ACK);
    feed_fin(&fx, 10, 0); /* the peer did not get it */
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ack, RECV + 11);
}

static void
test_passive_close(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed_fin(&fx, 0, 0);
    tcp_acknowledge(&fx.conn, RECV + 1, 0, fx.now_us);
    drain_out(&fx);
    send_segments(&fx, 1);
    tcp_queue_fin(&fx.conn);
    assert_bare(&fx, TCP_ACK | TCP_FIN);
    assert_int_equal(fx.conn.state, TCP_LAST_ACK);
    assert_true(feed_ack(&fx, 1001) & TCP_EV_FIN_ACKED);
    assert_int_equal(fx.conn.state, TCP_CLOSED);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

static void
test_simultaneous_close(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    tcp_queue_fin(&fx.conn);
    drain_out(&fx);
    assert_true(feed_fin(&fx, 0, 0) & TCP_EV_FIN);
    assert_int_equal(fx.conn.state, TCP_CLOSING);
    assert_true(feed_ack(&fx, 1) & TCP_EV_FIN_ACKED);
    assert_int_equal(fx.conn.state, TCP_TIME_WAIT);
}

/* Our FIN goes out before the peer's may be acknowledged: as far as the peer knows, they crossed.
 */
static void
test_fin_before_the_ack_point_moved(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed_fin(&fx, 0, 0);
    tcp_queue_fin(&fx.conn);
    assert_bare(&fx, TCP_ACK | TCP_FIN);
    assert_int_equal(fx.out.ack, RECV);
    assert_int_equal(fx.conn.state, TCP_CLOSING);
    feed_ack(&fx, 1);
    assert_int_equal(fx.conn.state, TCP_TIME_WAIT);
    tcp_acknowledge(&fx.conn, RECV + 1, 0, fx.now_us);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(fx.out.ack, RECV + 1);
}

static void
test_everything_in_one_segment(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 20);

    open_conn(&fx);
    tcp_queue(&fx.conn, 50);
    tcp_queue_fin(&fx.conn);
    assert_data(&fx, 0, 50);
    assert_int_equal(fx.out.flags, TCP_ACK | TCP_PSH | TCP_FIN);
    segment.flags |= TCP_FIN;
    segment.ack = SEND + 51;
    unsigned events = feed_segment(&fx, &segment);
    assert_true(events & TCP_EV_FIN && events & TCP_EV_FIN_ACKED && events & TCP_EV_READY);
    assert_int_equal(fx.conn.state, TCP_TIME_WAIT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outside_the_window),
        cmocka_unit_test(test_payload_is_cut_at_the_right_edge),
        cmocka_unit_test(test_a_full_window_takes_acks_and_fin),
        cmocka_unit_test(test_probe_below_the_window_is_answered),
        cmocka_unit_test(test_between_ack_point_and_rcv_nxt),
        cmocka_unit_test(test_paws),
        cmocka_unit_test(test_paws_gives_up_after_24_days),
        cmocka_unit_test(test_bare_segments_refresh_ts_recent),
        cmocka_unit_test(test_fin_alone_refreshes_ts_recent),
        cmocka_unit_test(test_reset_at_rcv_nxt),
        cmocka_unit_test(test_reset_elsewhere),
        cmocka_unit_test(test_reset_with_a_lagging_ack_point),
        cmocka_unit_test(test_syn),
        cmocka_unit_test(test_syn_without_a_timestamp),
        cmocka_unit_test(test_ack_of_the_unsent),
        cmocka_unit_test(test_no_ack_flag),
        cmocka_unit_test(test_urgent_is_not_processed),
        cmocka_unit_test(test_fin_is_acknowledged_by_the_caller),
        cmocka_unit_test(test_fin_out_of_order),
        cmocka_unit_test(test_nothing_follows_a_fin),
        cmocka_unit_test(test_active_close),
        cmocka_unit_test(test_passive_close),
        cmocka_unit_test(test_simultaneous_close),
        cmocka_unit_test(test_fin_before_the_ack_point_moved),
        cmocka_unit_test(test_everything_in_one_segment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
