#include "tcp/test_conn.h"

#include <errno.h>

/* Twenty segments out, the third to the tenth and the last five SACKed, the first resent. */
static void
open_recovering(struct fixture *fx)
{
    prepare(fx);
    fx->config.ecn = true;
    reopen(fx);
    send_segments(fx, 20);
    add_sack(fx, 15000, 20000);
    add_sack(fx, 2000, 10000);
    feed_ack(fx, 0);
    assert_int_equal(fx->conn.counters.fast_recoveries, 1);
    drain_out(fx);
}

/* To the next owner, a second later by another clock. */
static int
move(struct fixture *fx, bool with_extension)
{
    struct tcp_extension extension;

    tcp_capture(&fx->conn, fx->now_us, &fx->state);
    tcp_capture_extension(&fx->conn, fx->now_us, &extension);
    assert_null(tcp_close(&fx->conn));
    fx->now_us = 77;
    reopen(fx);
    return with_extension ? tcp_restore_extension(&fx->conn, &extension, fx->now_us) : 0;
}

static void
test_a_recovery_goes_on(void **state)
{
    struct fixture fx;

    open_recovering(&fx);
    uint32_t ssthresh = fx.conn.ssthresh;
    assert_int_equal(move(&fx, true), 0);
    assert_int_equal(fx.conn.sack_count, 2);
    assert_data(&fx, 0, 1000);
    assert_silent(&fx);
    feed_ack(&fx, 1000);
    assert_data(&fx, 1000, 1000);
    feed_ack(&fx, 10000);
    drain_out(&fx);
    assert_int_equal(fx.conn.counters.fast_recoveries, 0);
    assert_int_equal(fx.conn.ssthresh, ssthresh); /* reduced once */
    feed_ack(&fx, 20000);
    assert_int_equal(fx.conn.flags & TCP_CONN_RECOVERY, 0);
}

/* The control: the same without. */
static void
test_without_it_the_window_is_reduced_again(void **state)
{
    struct fixture fx;

    open_recovering(&fx);
    uint32_t ssthresh = fx.conn.ssthresh;
    assert_int_equal(move(&fx, false), 0);
    assert_int_equal(fx.conn.sack_count, 0);
    add_sack(&fx, 15000, 20000);
    add_sack(&fx, 2000, 10000);
    feed_ack(&fx, 0);
    assert_true(fx.conn.ssthresh < ssthresh);
}

static void
test_everything_goes_again_anyway(void **state)
{
    struct fixture fx;

    open_recovering(&fx);
    struct tcp_extension extension;
    tcp_capture_extension(&fx.conn, fx.now_us, &extension);
    tcp_capture(&fx.conn, fx.now_us, &fx.state);
    fx.state.snd_nxt = SEND;
    reopen(&fx);
    assert_int_equal(tcp_restore_extension(&fx.conn, &extension, fx.now_us), 0);
    assert_int_equal(fx.conn.flags & TCP_CONN_RECOVERY, 0);
    assert_data(&fx, 0, 2000);
    assert_data(&fx, 10000, 5000); /* but for what is SACKed */
}

static void
test_congestion_notification_moves(void **state)
{
    struct fixture fx;
    struct tcp_segment marked = segment_at(0, 100);

    prepare(&fx);
    fx.config.ecn = true;
    reopen(&fx);
    send_segments(&fx, 20);
    marked.ecn = TCP_CE;
    marked.flags |= TCP_ECE;
    feed_segment(&fx, &marked);
    consume(&fx);
    assert_bare(&fx, TCP_ACK | TCP_ECE);
    uint32_t cwnd = fx.conn.cwnd;
    assert_int_equal(move(&fx, true), 0);
    marked = segment_at(100, 0);
    marked.ack = SEND + 20000;
    marked.flags |= TCP_ECE;
    feed_segment(&fx, &marked);
    assert_int_equal(fx.conn.cwnd, cwnd); /* the former owner has reacted */
    tcp_queue(&fx.conn, 2 * MSS);
    assert_data(&fx, 20000, MSS);
    assert_int_equal(fx.out.flags, TCP_ACK | TCP_ECE | TCP_CWR);
    assert_int_equal(fx.out.ecn, TCP_ECT0);
}

/* CUBIC goes on where it was; with the threshold alone it still knows where it wants to go. */
static void
test_cubic_moves(void **state)
{
    struct fixture fx;

    for (int with = 0; with < 2; with++) {
        prepare(&fx);
        fx.config.congestion = TCP_CC_CUBIC;
        fx.state.cwnd = 100 * MSS;
        reopen(&fx);
        tcp_cc_on_loss(&fx.conn, 100 * MSS);
        for (int i = 0; i < 10; i++) {
            fx.conn.flags |= TCP_CONN_CWND_LIMITED;
            fx.now_us += 50000;
            tcp_cc_on_ack(&fx.conn, fx.conn.cwnd, fx.conn.cwnd, fx.now_us);
        }
        struct tcp_cubic before = fx.conn.cubic;
        uint32_t cwnd = fx.conn.cwnd;
        assert_int_equal(move(&fx, with), 0);
        assert_int_equal(fx.conn.cwnd, cwnd);
        assert_int_equal(fx.conn.ssthresh, 70 * MSS);
        assert_int_equal(fx.conn.cubic.w_max, 100 * MSS);
        assert_int_equal(fx.conn.cubic.origin, with ? before.origin : 0);
        assert_int_equal(fx.conn.cubic.t_us, with ? before.t_us : 0);
    }
}

static void
test_the_shortest_round_trip_moves(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    assert_int_equal(tcp_min_rtt_us(&fx.conn, fx.now_us), 0);
    send_segments(&fx, 1);
    fx.now_us += 30000;
    feed_ack(&fx, 1000);
    send_segments(&fx, 1);
    fx.now_us += 90000;
    feed_ack(&fx, 2000);
    assert_int_equal(move(&fx, true), 0);
    assert_int_equal(tcp_min_rtt_us(&fx.conn, fx.now_us), 30000);
    assert_int_equal(move(&fx, false), 0);
    assert_int_equal(tcp_min_rtt_us(&fx.conn, fx.now_us), 0);
}

/* ---- what does not fit ---- */

static void
refused(struct fixture *fx, const struct tcp_extension *extension)
{
    static struct tcp_conn before;

    before = fx->conn;
    assert_int_equal(tcp_restore_extension(&fx->conn, extension, fx->now_us), -EINVAL);
    assert_memory_equal(&before, &fx->conn, sizeof(before));
}

static void
test_bad_scoreboards(void **state)
{
    static const struct tcp_range bad[][2] = {
        {{SEND, SEND + 1000}, {SEND + 2000, SEND + 3000}},        /* without a hole below */
        {{SEND + 1000, SEND + 1000}, {SEND + 2000, SEND + 3000}}, /* empty */
        {{SEND + 2000, SEND + 1000}, {SEND + 3000, SEND + 4000}},
        {{SEND + 1000, SEND + 2000}, {SEND + 2000, SEND + 3000}}, /* one, really */
        {{SEND + 1000, SEND + 3000}, {SEND + 2000, SEND + 4000}},
        {{SEND + 3000, SEND + 4000}, {SEND + 1000, SEND + 2000}},
        {{SEND + 1000, SEND + 2000}, {SEND + 3000, SEND + 20001}}, /* was never sent */
    };
    struct fixture fx;
    struct tcp_extension good, extension;

    open_recovering(&fx);
    tcp_capture_extension(&fx.conn, fx.now_us, &good);
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        extension = good;
        memcpy(extension.sacked, bad[i], sizeof(bad[i]));
        refused(&fx, &extension);
    }
    extension = good;
    extension.sack_count = TCP_SACK_RANGES + 1;
    refused(&fx, &extension);
    fx.conn.config.sack = false;
    refused(&fx, &good);
}

/* Told of congestion with a window of one segment it waits (RFC 3168, section 6.1.2), as long as
 * the former owner would have. */
static void
test_the_wait_of_the_smallest_window_moves(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    prepare(&fx);
    fx.config.ecn = true;
    fx.state.cwnd = MSS;
    fx.state.ssthresh = 2 * MSS;
    reopen(&fx);
    tcp_queue(&fx.conn, 5 * MSS);
    assert_data(&fx, 0, MSS);
    pass(&fx, 50000);
    segment.ack = SEND + MSS;
    segment.flags |= TCP_ECE;
    feed_segment(&fx, &segment);
    assert_silent(&fx);
    uint64_t left_us = fx.conn.ecn_wait_us - fx.now_us;
    assert_int_equal(move(&fx, true), 0);
    assert_silent(&fx);
    expire(&fx);
    assert_int_equal(fx.now_us, 77 + left_us);
    assert_data(&fx, MSS, MSS);

    pass(&fx, 50000); /* nothing to wait for: nothing waits */
    segment.flags = TCP_ACK;
    segment.ack = fx.conn.snd_max;
    feed_segment(&fx, &segment);
    drain_out(&fx);
    assert_int_equal(move(&fx, true), 0);
    assert_int_equal(fx.conn.ecn_wait_us, 0);
}

static void
test_bad_numbers(void **state)
{
    struct fixture fx;
    struct tcp_extension good, extension;

    open_recovering(&fx);
    tcp_capture_extension(&fx.conn, fx.now_us, &good);
    assert_true(good.recovering && good.ecn_reacted && good.ecn_cwr);
#define REFUSED(member, value)                                                                     \
    extension = good;                                                                              \
    extension.member = (value);                                                                    \
    refused(&fx, &extension)
    REFUSED(version, TCP_EXTENSION_VERSION + 1);
    REFUSED(version, 0);
    REFUSED(recover_seq, SEND);
    REFUSED(recover_seq, SEND + 20001);
    REFUSED(ecn_seq, SEND - 1);
    REFUSED(ecn_seq, SEND + 20001);
    REFUSED(min_rtt_us, UINT64_MAX);
    REFUSED(cubic.w_max, UINT32_MAX);
    REFUSED(cubic.prior, UINT32_MAX);
    REFUSED(cubic.origin, UINT32_MAX);
    REFUSED(cubic.w_est, UINT32_MAX);
    REFUSED(cubic.rest, UINT32_MAX);
    REFUSED(cubic.k_ms, UINT32_MAX);
    fx.conn.config.ecn = false;
    refused(&fx, &good);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_recovery_goes_on),
        cmocka_unit_test(test_without_it_the_window_is_reduced_again),
        cmocka_unit_test(test_everything_goes_again_anyway),
        cmocka_unit_test(test_congestion_notification_moves),
        cmocka_unit_test(test_the_wait_of_the_smallest_window_moves),
        cmocka_unit_test(test_cubic_moves),
        cmocka_unit_test(test_the_shortest_round_trip_moves),
        cmocka_unit_test(test_bad_scoreboards),
        cmocka_unit_test(test_bad_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
