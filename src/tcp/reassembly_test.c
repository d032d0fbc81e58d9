#include "tcp/test_conn.h"

static void
test_in_order(void **state)
{
    struct fixture fx;
    struct tcp_chunk *chunk;

    open_conn(&fx);
    assert_int_equal(feed(&fx, 0, 1000), TCP_EV_KEPT | TCP_EV_READY);
    assert_int_equal(feed(&fx, 1000, 500), TCP_EV_KEPT | TCP_EV_READY);
    chunk = tcp_take(&fx.conn);
    assert_int_equal(chunk->seq, RECV);
    assert_int_equal(chunk->offset, 0);
    assert_int_equal(chunk->len, 1000);
    assert_null(chunk->next);
    chunk = tcp_take(&fx.conn);
    assert_int_equal(chunk->seq, RECV + 1000);
    assert_null(tcp_take(&fx.conn));
    assert_int_equal(fx.conn.rcv_nxt, RECV + 1500);
}

static void
test_hole_is_filled(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    assert_int_equal(feed(&fx, 1000, 1000), TCP_EV_KEPT);
    assert_true(tcp_has_hole(&fx.conn));
    assert_null(tcp_take(&fx.conn));
    assert_int_equal(feed(&fx, 2000, 1000), TCP_EV_KEPT);
    assert_int_equal(feed(&fx, 0, 1000), TCP_EV_KEPT | TCP_EV_READY);
    assert_false(tcp_has_hole(&fx.conn));
    assert_int_equal(consume(&fx), 3000);
    assert_int_equal(fx.conn.ooo_count, 0);
}

static void
test_old_front_is_trimmed(void **state)
{
    struct fixture fx;
    struct tcp_chunk *chunk;

    open_conn(&fx);
    feed(&fx, 0, 1000);
    consume(&fx);
    assert_int_equal(feed(&fx, 400, 1000), TCP_EV_KEPT | TCP_EV_READY | TCP_EV_DUPLICATE);
    chunk = tcp_take(&fx.conn);
    assert_int_equal(chunk->seq, RECV + 1000);
    assert_int_equal(chunk->offset, 600);
    assert_int_equal(chunk->len, 400);
    assert_int_equal(fx.conn.counters.duplicate_bytes_in, 600);
}

static void
test_whole_duplicate_stays_with_the_caller(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed(&fx, 0, 1000);
    assert_int_equal(feed(&fx, 0, 1000), TCP_EV_DUPLICATE);
    assert_int_equal(feed(&fx, 200, 800), TCP_EV_DUPLICATE);
    feed(&fx, 2000, 1000);
    assert_int_equal(feed(&fx, 2000, 1000), TCP_EV_DUPLICATE);
    assert_int_equal(feed(&fx, 2100, 100), TCP_EV_DUPLICATE);
    assert_int_equal(fx.conn.ooo_count, 1);
}

static void
test_overlaps_out_of_order(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed(&fx, 2000, 1000);
    assert_int_equal(feed(&fx, 1500, 1000), TCP_EV_KEPT | TCP_EV_DUPLICATE); /* tail cut */
    assert_int_equal(feed(&fx, 2500, 1000), TCP_EV_KEPT | TCP_EV_DUPLICATE); /* front cut */
    for (struct tcp_chunk *chunk = fx.conn.ooo_head; chunk->next; chunk = chunk->next)
        assert_int_equal(chunk->seq + chunk->len, chunk->next->seq); /* no byte twice */
    feed(&fx, 0, 1500);
    assert_int_equal(consume(&fx), 3500);
}

/* Two chunks hold it together: nothing of it is kept. */
static void
test_a_duplicate_across_a_seam(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed(&fx, 1000, 100);
    feed(&fx, 1100, 100);
    assert_int_equal(feed(&fx, 1050, 100), TCP_EV_DUPLICATE);
    assert_int_equal(fx.conn.ooo_count, 2);
    feed(&fx, 0, 1000);
    assert_int_equal(consume(&fx), 1200);
}

static void
test_superseded_chunks_come_back(void **state)
{
    struct fixture fx;
    unsigned dropped = 0;

    open_conn(&fx);
    feed(&fx, 1000, 100);
    feed(&fx, 1200, 100);
    feed(&fx, 1900, 200);
    assert_int_equal(feed(&fx, 900, 1050), TCP_EV_KEPT | TCP_EV_DROPPED | TCP_EV_DUPLICATE);
    assert_int_equal(fx.conn.ooo_count, 2);
    while (tcp_take_dropped(&fx.conn))
        dropped++;
    assert_int_equal(dropped, 2);
    /* and when the hole is filled past them */
    assert_true(feed(&fx, 0, 2500) & TCP_EV_DROPPED);
    assert_int_equal(consume(&fx), 2500);
    assert_non_null(tcp_take_dropped(&fx.conn));
    assert_non_null(tcp_take_dropped(&fx.conn));
    assert_null(tcp_take_dropped(&fx.conn));
}

/* Any order of pieces gives the same stream. */
static void
test_every_order(void **state)
{
    static const unsigned orders[][5] = {{4, 3, 2, 1, 0}, {4, 0, 3, 1, 2}, {2, 4, 1, 3, 0},
                                         {1, 3, 2, 4, 0}, {3, 1, 4, 2, 0}, {1, 2, 4, 3, 0}};
    struct fixture fx;

    for (unsigned order = 0; order < 6; order++) {
        open_conn(&fx);
        for (unsigned i = 0; i < 5; i++)
            feed(&fx, orders[order][i] * 300, 350); /* each overlaps the next */
        uint32_t at = RECV;
        for (struct tcp_chunk *chunk; (chunk = tcp_take(&fx.conn)); at += chunk->len)
            assert_int_equal(chunk->seq, at);
        assert_int_equal(at, RECV + 1550);
    }
}

static void
test_chunk_carries_stamp_and_push(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(0, 10);
    struct tcp_chunk *chunk;

    prepare(&fx);
    fx.config.timestamps = true;
    reopen(&fx);
    segment.has_timestamp = true;
    segment.tsval = 77;
    segment.flags |= TCP_PSH;
    feed_segment(&fx, &segment);
    chunk = tcp_take(&fx.conn);
    assert_int_equal(chunk->tsval, 77);
    assert_true(chunk->push);
}

static void
test_sack_most_recent_first(void **state)
{
    struct fixture fx;
    struct tcp_segment out;

    open_conn(&fx);
    feed(&fx, 1000, 100);
    feed(&fx, 3000, 100);
    feed(&fx, 2000, 100);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &out), 3);
    assert_int_equal(out.sack[0].start, RECV + 2000);
    assert_int_equal(out.sack[1].start, RECV + 3000);
    assert_int_equal(out.sack[2].start, RECV + 1000);
    feed(&fx, 1100, 100); /* grows the oldest: it leads */
    feed(&fx, 4000, 100);
    feed(&fx, 5000, 100); /* five ranges, four fit */
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &out), 4);
    assert_int_equal(out.sack[0].start, RECV + 5000);
    assert_int_equal(out.sack[2].start, RECV + 1000);
    assert_int_equal(out.sack[2].end, RECV + 1200);
}

static void
test_sack_blocks_join_and_go(void **state)
{
    struct fixture fx;
    struct tcp_segment out;

    open_conn(&fx);
    feed(&fx, 1000, 100);
    feed(&fx, 1200, 100);
    feed(&fx, 1100, 100);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &out), 1);
    assert_int_equal(out.sack[0].end - out.sack[0].start, 300);
    feed(&fx, 0, 1000);
    assert_int_equal(consume(&fx), 1300);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &out), 0);
    assert_int_equal(out.ack, RECV + 1300);
}

static void
test_three_blocks_beside_a_timestamp(void **state)
{
    struct fixture fx;
    struct tcp_segment segment, out;

    prepare(&fx);
    fx.config.timestamps = true;
    reopen(&fx);
    for (unsigned i = 1; i <= 4; i++) {
        segment = segment_at(i * 1000, 100);
        segment.has_timestamp = true;
        feed_segment(&fx, &segment);
    }
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &out), 3);
    assert_int_equal(fx.out.option_len, TCP_MAX_OPTIONS);
}

static void
test_dsack_below_the_ack_point(void **state)
{
    struct fixture fx;
    struct tcp_segment out;

    open_conn(&fx);
    feed(&fx, 0, 1000);
    consume(&fx);
    drain_out(&fx);
    feed(&fx, 0, 1000);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &out), 1);
    assert_int_equal(out.sack[0].start, RECV);
    assert_int_equal(out.sack[0].end, RECV + 1000);
    tcp_ack_now(&fx.conn);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &out), 0); /* once */
}

/* Half of all numbers away a segment's end is old and its begin is not: nothing came twice. */
static void
test_no_dsack_from_the_other_half(void **state)
{
    struct fixture fx;
    struct tcp_segment out;

    open_conn(&fx);
    feed(&fx, 0x7fffff80, 1000);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &out), 0);
}

/* What is in order but not acknowledged must not look SACKed: the report waits. */
static void
test_dsack_waits_for_the_ack_point(void **state)
{
    struct fixture fx;
    struct tcp_segment out;

    open_conn(&fx);
    feed(&fx, 0, 2000);
    assert_int_equal(feed(&fx, 0, 1000), TCP_EV_DUPLICATE);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &out), 0);
    assert_int_equal(out.ack, RECV);
    tcp_acknowledge(&fx.conn, RECV + 1000, 0, fx.now_us);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &out), 1);
    assert_int_equal(out.sack[0].end, RECV + 1000);
}

static void
test_dsack_inside_a_block(void **state)
{
    struct fixture fx;
    struct tcp_segment out;

    open_conn(&fx);
    feed(&fx, 1000, 1000);
    feed(&fx, 5000, 1000);
    drain_out(&fx);
    feed(&fx, 1200, 300);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &out), 3);
    assert_int_equal(out.sack[0].start, RECV + 1200);
    assert_int_equal(out.sack[0].end, RECV + 1500);
    assert_int_equal(out.sack[1].start, RECV + 1000);
    assert_int_equal(out.sack[1].end, RECV + 2000);
}

static void
test_without_sack_one_ack_per_segment(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(1000, 5000), out;

    prepare(&fx);
    fx.config.sack = false;
    reopen(&fx);
    segment.segment_size = 1000;
    feed_segment(&fx, &segment);
    assert_int_equal(drain_out(&fx), 5); /* a superframe of five: enough duplicates to notice */
    assert_int_equal(out_sack(&fx, &out), 0);
}

static void
test_the_newest_chunk_may_be_gone(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed(&fx, 3000, 100);
    feed(&fx, 6000, 100);
    feed(&fx, 1000, 100); /* the newest */
    feed(&fx, 0, 1000);
    assert_int_equal(consume(&fx), 1100);
    feed(&fx, 4000, 100); /* between the two, not behind a chunk that left */
    assert_null(tcp_take(&fx.conn));
    assert_int_equal(fx.conn.ooo_count, 3);
    feed(&fx, 1100, 2900);
    assert_int_equal(consume(&fx), 3000);
}

/* Single bytes with gaps, as nobody sends them who means well: few are kept, and it goes on. */
static void
test_crumbs_are_not_all_kept(void **state)
{
    static struct tcp_chunk chunks[RECV_WINDOW / 2];
    struct fixture fx;
    unsigned kept = 0;

    open_conn(&fx);
    for (uint32_t i = 0; i < RECV_WINDOW / 2; i++) {
        struct tcp_segment segment = segment_at(2 * i + 1, 1);
        unsigned events = tcp_on_segment(&fx.conn, &segment, &chunks[i], fx.now_us);
        kept += !!(events & TCP_EV_KEPT);
        assert_true(drain_out(&fx) == 1);
    }
    assert_true(kept >= 2 * RECV_WINDOW / MSS && kept < 300);
    assert_int_equal(fx.conn.ooo_count, kept);
    assert_int_equal(feed(&fx, 0, 1), TCP_EV_KEPT | TCP_EV_READY);
    assert_int_equal(consume(&fx), 2);
    tcp_set_right_edge(&fx.conn, RECV + 2 + RECV_WINDOW);
    assert_true(feed(&fx, 2 * kept, 1) & TCP_EV_KEPT); /* and there is room for one again */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_hole_is_filled),
        cmocka_unit_test(test_old_front_is_trimmed),
        cmocka_unit_test(test_whole_duplicate_stays_with_the_caller),
        cmocka_unit_test(test_overlaps_out_of_order),
        cmocka_unit_test(test_a_duplicate_across_a_seam),
        cmocka_unit_test(test_superseded_chunks_come_back),
        cmocka_unit_test(test_every_order),
        cmocka_unit_test(test_the_newest_chunk_may_be_gone),
        cmocka_unit_test(test_chunk_carries_stamp_and_push),
        cmocka_unit_test(test_sack_most_recent_first),
        cmocka_unit_test(test_sack_blocks_join_and_go),
        cmocka_unit_test(test_three_blocks_beside_a_timestamp),
        cmocka_unit_test(test_dsack_below_the_ack_point),
        cmocka_unit_test(test_no_dsack_from_the_other_half),
        cmocka_unit_test(test_dsack_waits_for_the_ack_point),
        cmocka_unit_test(test_dsack_inside_a_block),
        cmocka_unit_test(test_without_sack_one_ack_per_segment),
        cmocka_unit_test(test_crumbs_are_not_all_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
