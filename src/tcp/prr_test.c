#include "tcp/test_conn.h"

/* Twenty segments out, the first missing, so many above it SACKed. A round trip has passed. */
static void
open_recovery(struct fixture *fx, uint32_t lost, uint32_t sacked)
{
    prepare(fx);
    reopen(fx);
    send_segments(fx, 20);
    tcp_queue(&fx->conn, 100 * MSS);
    fx->now_us += 50000;
    add_sack(fx, lost * MSS, (lost + sacked) * MSS);
    feed_ack(fx, 0);
    assert_int_equal(fx->conn.counters.fast_recoveries, 1);
    assert_int_equal(fx->conn.ssthresh, 10 * MSS);
}

static uint32_t
sent_bytes(struct fixture *fx)
{
    uint32_t bytes = 0;

    while (next(fx))
        bytes += fx->out.len;
    return bytes;
}

/* Half as fast as deliveries: one out for two in, over the whole round trip. */
static void
test_proportional(void **state)
{
    struct fixture fx;
    uint32_t sent;

    open_recovery(&fx, 1, 3);
    sent = sent_bytes(&fx);
    assert_int_equal(sent, 1 * MSS); /* three delivered: 1.5, in whole segments */
    for (uint32_t sacked = 4; sacked <= 19; sacked++) {
        add_sack(&fx, 1000, (1 + sacked) * MSS);
        feed_ack(&fx, 0);
        sent += sent_bytes(&fx);
        assert_true(sent <= (sacked + 1) * MSS / 2 + MSS / 2);
        assert_true(sent + MSS >= sacked * MSS / 2);
    }
    feed_ack(&fx, 20 * MSS);
    assert_int_equal(fx.conn.cwnd, 10 * MSS);
    assert_int_equal(tcp_pipe(&fx.conn) + sent_bytes(&fx), 10 * MSS);
}

/* Losses alone have emptied the network below the threshold: slow start, not a burst. */
static void
test_slow_start_bound(void **state)
{
    struct fixture fx;

    open_recovery(&fx, 16, 4);               /* sixteen of twenty lost */
    assert_int_equal(sent_bytes(&fx), 5000); /* four delivered, and one */
    fx.now_us += 50000;
    add_sack(&fx, 16000, 20000);
    feed_ack(&fx, 1000);
    assert_int_equal(sent_bytes(&fx), 2000);
    add_sack(&fx, 16000, 20000);
    feed_ack(&fx, 2000);
    assert_int_equal(sent_bytes(&fx), 2000);
    for (uint32_t ack = 3; ack < 16; ack++) {
        add_sack(&fx, 16000, 20000);
        feed_ack(&fx, ack * MSS);
        drain_out(&fx);
        assert_true(tcp_pipe(&fx.conn) <= fx.conn.ssthresh);
    }
}

/* Without SACK each duplicate ACK stands for one segment. */
static void
test_without_sack(void **state)
{
    struct fixture fx;
    uint32_t sent = 0;

    prepare(&fx);
    fx.config.sack = false;
    reopen(&fx);
    send_segments(&fx, 20);
    tcp_queue(&fx.conn, 100 * MSS);
    for (unsigned i = 1; i < 20; i++) {
        feed_ack(&fx, 0);
        sent += sent_bytes(&fx);
        /* two for the first two duplicates (RFC 3042), then every other */
        assert_true(sent <= i * MSS / 2 + 2 * MSS && sent + MSS >= i * MSS / 2);
    }
    feed_ack(&fx, 20 * MSS);
    assert_int_equal(fx.conn.cwnd, 10 * MSS);
}

/* What the window is in between is no news for others. */
static void
test_what_is_told(void **state)
{
    struct fixture fx;
    struct tcp_state captured;

    open_recovery(&fx, 16, 4);
    assert_true(fx.conn.cwnd < 10 * MSS);
    assert_int_equal(tcp_congestion_window(&fx.conn), 10 * MSS);
    tcp_capture(&fx.conn, fx.now_us, &captured);
    assert_int_equal(captured.cwnd, 10 * MSS);
    tcp_set_mtu(&fx.conn, 500); /* ends the recovery */
    assert_int_equal(fx.conn.cwnd, 10 * MSS);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_proportional),
        cmocka_unit_test(test_slow_start_bound),
        cmocka_unit_test(test_without_sack),
        cmocka_unit_test(test_what_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
