#include "tcp/test_conn.h"

static void
open_sent(struct fixture *fx, uint32_t bytes)
{
    prepare(fx);
    fx->state.snd_nxt = fx->state.snd_max = fx->state.snd_end = SEND + bytes;
    reopen(fx);
}

static bool
sack(struct fixture *fx, uint32_t start, uint32_t end)
{
    struct tcp_segment segment = segment_at(0, 0);

    segment.ack = fx->conn.snd_una;
    segment.sack_count = 1;
    segment.sack[0] = (struct tcp_range){SEND + start, SEND + end};
    return tcp_sack_input(&fx->conn, &segment, fx->now_us);
}

static void
assert_range(const struct fixture *fx, unsigned at, uint32_t start, uint32_t end)
{
    assert_true(at < fx->conn.sack_count);
    assert_int_equal(fx->conn.sacked[at].start - SEND, start);
    assert_int_equal(fx->conn.sacked[at].end - SEND, end);
}

static void
test_ranges_merge(void **state)
{
    struct fixture fx;

    open_sent(&fx, 20000);
    assert_true(sack(&fx, 1000, 2000));
    assert_true(sack(&fx, 5000, 6000));
    assert_true(sack(&fx, 3000, 4000));
    assert_int_equal(fx.conn.sack_count, 3);
    assert_false(sack(&fx, 3000, 4000)); /* old news */
    assert_false(sack(&fx, 3200, 3300));
    assert_true(sack(&fx, 2000, 3000)); /* closes the gap */
    assert_int_equal(fx.conn.sack_count, 2);
    assert_range(&fx, 0, 1000, 4000);
    assert_true(sack(&fx, 500, 7000));
    assert_int_equal(fx.conn.sack_count, 1);
    assert_range(&fx, 0, 500, 7000);
    assert_true(sack(&fx, 6500, 7500));
    assert_range(&fx, 0, 500, 7500);
}

static void
test_nonsense_is_ignored(void **state)
{
    struct fixture fx;

    open_sent(&fx, 5000);
    assert_false(sack(&fx, 2000, 2000));
    assert_false(sack(&fx, 3000, 2000));
    assert_false(sack(&fx, 4000, 5001)); /* never sent */
    assert_false(sack(&fx, 0, 1000));    /* would have been acknowledged */
    assert_false(sack(&fx, 0u - 1000, 1000));
    assert_int_equal(fx.conn.sack_count, 0);
}

static bool
is_dsack(uint32_t ack, uint32_t start, uint32_t end)
{
    struct tcp_segment segment = segment_at(0, 0);

    segment.ack = SEND + ack;
    segment.sack_count = 1;
    segment.sack[0] = (struct tcp_range){SEND + start, SEND + end};
    return tcp_has_dsack(&segment);
}

/* A block that ends before it starts would tell of almost 4 GiB that came twice. */
static void
test_nonsense_is_no_dsack(void **state)
{
    struct fixture fx;

    assert_true(is_dsack(5000, 4000, 5000));
    assert_false(is_dsack(5000, 4000, 5001)); /* then more would have been acknowledged */
    assert_false(is_dsack(5000, 4000, 4000));
    assert_false(is_dsack(5000, 4000, 3000));
    assert_false(is_dsack(5000, 6000, 3000));
    open_sending(&fx, true, 20);
    feed_sack(&fx, 0, 1000, 20000);
    assert_data(&fx, 0, 1000);
    uint32_t ssthresh = fx.conn.ssthresh;
    feed_sack(&fx, 20000, 3000, 500);
    assert_int_equal(fx.conn.ssthresh, ssthresh);
    assert_int_equal(fx.conn.reo_multiplier, 1);
}

static void
test_dsack_is_no_sack(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 0);

    open_sent(&fx, 9000);
    segment.sack_count = 2;
    segment.sack[0] = (struct tcp_range){SEND + 3000, SEND + 4000};
    segment.sack[1] = (struct tcp_range){SEND + 2000, SEND + 5000};
    assert_true(tcp_has_dsack(&segment));
    assert_true(tcp_sack_input(&fx.conn, &segment, fx.now_us));
    assert_range(&fx, 0, 2000, 5000);
    segment.sack_count = 1;
    segment.sack[0] = (struct tcp_range){SEND - 3000, SEND - 1000};
    assert_true(tcp_has_dsack(&segment));
    assert_false(tcp_sack_input(&fx.conn, &segment, fx.now_us));
    segment.sack[0] = (struct tcp_range){SEND + 6000, SEND + 7000};
    assert_false(tcp_has_dsack(&segment));
    segment.sack_count = 0;
    assert_false(tcp_has_dsack(&segment));
}

static void
test_full_board_ignores_news(void **state)
{
    struct fixture fx;

    open_sent(&fx, 200000);
    for (uint32_t i = 0; i < TCP_SACK_RANGES; i++)
        assert_true(sack(&fx, 1000 + 2000 * i, 2000 + 2000 * i));
    assert_false(sack(&fx, 190000, 191000));
    assert_int_equal(fx.conn.sack_count, TCP_SACK_RANGES);
    assert_true(sack(&fx, 2000, 3000)); /* merging still works */
    assert_true(sack(&fx, 190000, 191000));
}

static void
test_advance_and_reneging(void **state)
{
    struct fixture fx;

    open_sent(&fx, 20000);
    sack(&fx, 1000, 2000);
    sack(&fx, 3000, 6000);
    sack(&fx, 8000, 9000);
    fx.conn.snd_una = SEND + 4000; /* inside a range: the peer gave its bytes up */
    tcp_sack_advance(&fx.conn);
    assert_int_equal(fx.conn.sack_count, 1);
    assert_range(&fx, 0, 8000, 9000);
}

static void
test_holes_and_sums(void **state)
{
    struct fixture fx;
    uint32_t end;

    open_sent(&fx, 10000);
    sack(&fx, 1000, 2000);
    sack(&fx, 4000, 5000);
    assert_int_equal(tcp_unsacked(&fx.conn, SEND, SEND + 10000), 8000);
    assert_int_equal(tcp_unsacked(&fx.conn, SEND + 1500, SEND + 4500), 2000);
    assert_int_equal(tcp_unsacked(&fx.conn, SEND + 500, SEND + 500), 0);
    assert_int_equal(tcp_next_hole(&fx.conn, SEND, SEND + 10000, &end) - SEND, 0);
    assert_int_equal(end - SEND, 1000);
    assert_int_equal(tcp_next_hole(&fx.conn, SEND + 1000, SEND + 10000, &end) - SEND, 2000);
    assert_int_equal(end - SEND, 4000);
    assert_int_equal(tcp_next_hole(&fx.conn, SEND + 4500, SEND + 10000, &end) - SEND, 5000);
    assert_int_equal(end - SEND, 10000);
}

static void
test_many(void **state)
{
    struct fixture fx;

    open_sent(&fx, 100000);
    assert_false(tcp_sack_many(&fx.conn));
    sack(&fx, 90000, 92000);
    assert_false(tcp_sack_many(&fx.conn)); /* two segments: not more than two */
    sack(&fx, 92000, 92001);
    assert_true(tcp_sack_many(&fx.conn));
    open_sent(&fx, 100000);
    sack(&fx, 10000, 10001); /* three separate ranges, however small */
    sack(&fx, 20000, 20001);
    assert_false(tcp_sack_many(&fx.conn));
    sack(&fx, 30000, 30001);
    assert_true(tcp_sack_many(&fx.conn));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_merge),
        cmocka_unit_test(test_nonsense_is_ignored),
        cmocka_unit_test(test_nonsense_is_no_dsack),
        cmocka_unit_test(test_dsack_is_no_sack),
        cmocka_unit_test(test_full_board_ignores_news),
        cmocka_unit_test(test_advance_and_reneging),
        cmocka_unit_test(test_holes_and_sums),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
