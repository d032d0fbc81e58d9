#include "base/random.h"
#include "tcp/test_conn.h"

#define RTT_US 40000u

/* Twenty segments went out a round trip ago; the shortest one is known. */
static void
open_sent(struct fixture *fx)
{
    prepare(fx);
    fx->state.cwnd = 40 * MSS;
    fx->state.srtt_us = RTT_US;
    reopen(fx);
    tcp_note_min_rtt(&fx->conn, RTT_US, fx->now_us);
    send_segments(fx, 20);
    fx->now_us += RTT_US;
}

/* ---- when ---- */

static void
test_one_sack_and_a_quarter_of_a_round_trip(void **state)
{
    struct fixture fx;

    open_sent(&fx);
    feed_sack(&fx, 0, 1000, 2000);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), fx.now_us + RTT_US / 4);
    assert_int_equal(pass(&fx, RTT_US / 4 - 1), 0);
    assert_silent(&fx);
    assert_true(pass(&fx, 1) & TCP_EV_WINDOW);
    assert_data(&fx, 0, 1000);
    assert_int_equal(fx.conn.counters.fast_recoveries, 1);
}

static void
test_what_arrives_in_time_is_not_lost(void **state)
{
    struct fixture fx;

    open_sent(&fx);
    feed_sack(&fx, 0, 1000, 2000);
    fx.now_us += RTT_US / 8;
    feed_ack(&fx, 2000);
    assert_silent(&fx);
    pass(&fx, RTT_US / 4);
    assert_silent(&fx);
    assert_int_equal(fx.conn.counters.fast_recoveries, 0);
    assert_true(fx.conn.flags & TCP_CONN_REORDERING);
}

/* Once the network has reordered no number of SACKs is enough: only time is. */
static void
test_after_reordering_only_time_counts(void **state)
{
    struct fixture fx;

    open_sent(&fx);
    feed_sack(&fx, 0, 1000, 2000);
    feed_ack(&fx, 2000);
    feed_sack(&fx, 2000, 3000, 10000);
    assert_silent(&fx);
    pass(&fx, RTT_US / 4);
    assert_data(&fx, 2000, 1000);
}

static void
test_blocks_of_one_ack_are_no_reordering(void **state)
{
    struct fixture fx;

    open_sent(&fx);
    add_sack(&fx, 6000, 7000); /* the newest first, as they come */
    add_sack(&fx, 3000, 4000);
    add_sack(&fx, 1000, 2000);
    feed_ack(&fx, 0);
    assert_false(fx.conn.flags & TCP_CONN_REORDERING);
}

/* ---- how long ---- */

static void
test_dsacks_widen_the_window_for_a_while(void **state)
{
    struct fixture fx;

    open_sent(&fx);
    feed_ack(&fx, 2000);
    feed_sack(&fx, 2000, 0, 500);
    assert_int_equal(fx.conn.reo_multiplier, 2);
    feed_sack(&fx, 2000, 500, 1000); /* within the same round trip */
    assert_int_equal(fx.conn.reo_multiplier, 2);
    feed_sack(&fx, 2000, 3000, 4000);
    assert_int_equal(tcp_deadline_us(&fx.conn), fx.now_us + RTT_US / 2);
    feed_ack(&fx, 20000);
    send_segments(&fx, 2);
    feed_sack(&fx, 20000, 1000, 1500);
    assert_int_equal(fx.conn.reo_multiplier, 3);
    for (int i = 0; i < 16; i++) {
        assert_int_equal(fx.conn.reo_multiplier, 3);
        tcp_rack_on_recovered(&fx.conn);
    }
    assert_int_equal(fx.conn.reo_multiplier, 1);
}

/* The round is over with its data, also when nothing comes twice for gigabytes. */
static void
test_the_next_dsack_may_be_far(void **state)
{
    struct fixture fx;

    open_sent(&fx);
    feed_ack(&fx, 2000);
    feed_sack(&fx, 2000, 0, 500);
    feed_ack(&fx, 20000);
    assert_false(fx.conn.flags & TCP_CONN_DSACK_ROUND);
    fx.conn.dsack_round_seq += 0x90000000u; /* as if so much had been sent since */
    feed_sack(&fx, 20000, 500, 1000);
    assert_int_equal(fx.conn.reo_multiplier, 3);
}

static void
test_never_more_than_a_round_trip(void **state)
{
    struct fixture fx;

    open_sent(&fx);
    fx.conn.reo_multiplier = 200;
    feed_sack(&fx, 0, 1000, 2000);
    assert_int_equal(fx.conn.reo_deadline_us, fx.now_us + RTT_US);
}

/* ---- which copy ---- */

/* An answer sooner than any round trip is one to the first copy. It says nothing about what was
 * sent together with the second. */
static void
test_the_first_copy_arrived(void **state)
{
    struct fixture fx;

    open_sent(&fx);
    feed_sack(&fx, 0, 4000, 20000);
    tcp_queue(&fx.conn, 0);
    drain_out(&fx);
    uint64_t sent_us = fx.conn.rack_sent_us;
    fx.now_us += RTT_US / 2;
    feed_sack(&fx, 1000, 4000, 20000);
    assert_int_equal(fx.conn.rack_sent_us, sent_us);
    fx.now_us += RTT_US / 2;
    feed_sack(&fx, 2000, 4000, 20000);
    assert_true(fx.conn.rack_sent_us > sent_us);
}

/* Nobody knows when the former owner sent it: three SACKs are still enough. */
static void
test_adopted_with_losses(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.snd_nxt = fx.state.snd_max = fx.state.snd_end = SEND + 20000;
    reopen(&fx);
    feed_sack(&fx, 0, 1000, 4000);
    assert_data(&fx, 0, 1000);
}

/* The former owner has counted duplicates, too. */
static void
test_adopted_with_duplicates(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.snd_nxt = fx.state.snd_max = fx.state.snd_end = SEND + 20000;
    fx.state.dup_ack_count = 2;
    reopen(&fx);
    feed_sack(&fx, 0, 1000, 2000);
    assert_data(&fx, 0, 1000);
}

static void
test_lost_up_to(void **state)
{
    struct fixture fx;
    uint32_t start, end;

    open_sent(&fx);
    tcp_rack_lose(&fx.conn, SEND + 3000);
    assert_int_equal(tcp_rack_lost_bytes(&fx.conn), 3000);
    assert_true(tcp_rack_next_lost(&fx.conn, &start, &end));
    assert_int_equal(start, SEND);
    assert_int_equal(end, SEND + 3000);
    tcp_rack_forgive(&fx.conn);
    assert_false(tcp_rack_next_lost(&fx.conn, &start, &end));
    assert_int_equal(tcp_rack_lost_bytes(&fx.conn), 0);
}

/* What goes again anyway is not marked as well. */
static void
test_not_above_snd_nxt(void **state)
{
    struct fixture fx;

    open_sent(&fx);
    while (!fx.conn.counters.timeouts) {
        expire(&fx);
        if (!fx.conn.counters.timeouts)
            drain_out(&fx);
    }
    assert_data(&fx, 0, 1000);
    fx.now_us += RTT_US;
    feed_sack(&fx, 1000, 10000, 12000);
    assert_data(&fx, 1000, 2000);
    uint64_t resent = fx.conn.counters.retransmitted_bytes;
    while (fx.conn.snd_una != fx.conn.snd_max) {
        fx.now_us += RTT_US;
        drain_out(&fx);
        feed_ack(&fx, fx.conn.snd_nxt - SEND);
    }
    assert_true(fx.conn.counters.retransmitted_bytes - resent <= 17000);
}

/* ---- marks ---- */

static void
test_what_goes_out_together_shares_a_mark(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.srtt_us = 32000; /* a mark spans a millisecond */
    fx.state.cwnd = 1000 * MSS;
    reopen(&fx);
    for (int i = 0; i < 20; i++) {
        send_segments(&fx, 1);
        fx.now_us += 250;
    }
    assert_int_equal(fx.conn.mark_count, 4);
    assert_int_equal(fx.conn.marks[0].end_seq, SEND + 5000);
    assert_int_equal(fx.conn.marks[0].first_us, START_US);
    assert_int_equal(fx.conn.marks[0].sent_us, START_US + 1000);
    feed_ack(&fx, 5000);
    send_segments(&fx, 1);
    assert_int_equal(fx.conn.marks[0].end_seq, SEND + 10000);
}

#define SEGMENTS 2000u

/* The marks of a connection beside a record of every segment. */
struct records {
    struct fixture fx;
    struct random random;
    uint64_t sent_us[SEGMENTS];
    bool sacked[SEGMENTS], lost[SEGMENTS];
    uint32_t first, next;
};

static void
check_marks(struct records *r)
{
    struct tcp_conn *conn = &r->fx.conn;
    uint32_t at = r->first;

    assert_true(conn->mark_count <= TCP_MARKS);
    assert_int_equal(conn->marks[conn->mark_count - 1].end_seq, conn->snd_max);
    for (unsigned i = 0; i < conn->mark_count; i++) {
        const struct tcp_mark *mark = &conn->marks[i];

        assert_true(mark->first_us <= mark->sent_us && mark->sent_us <= r->fx.now_us);
        assert_true(!i || seq_after(mark->end_seq, conn->marks[i - 1].end_seq));
        for (; at < r->next && seq_before(SEND + at * MSS, mark->end_seq); at++) {
            assert_true(r->sacked[at] || mark->sent_us >= r->sent_us[at]);
            assert_true(r->sacked[at] || mark->lost || !r->lost[at]);
            r->lost[at] = mark->lost;
        }
    }
    assert_int_equal(at, r->next);
}

/* Something random happens to a random run of segments. */
static void
step(struct records *r)
{
    struct tcp_conn *conn = &r->fx.conn;
    uint32_t out = r->next - r->first, from, count;

    r->fx.now_us += random_below(&r->random, 3000);
    if (out < 60 || random_below(&r->random, 4) == 0) {
        r->sent_us[r->next++] = r->fx.now_us;
        tcp_rack_on_sent(conn, conn->snd_max, conn->snd_max + MSS, false, r->fx.now_us);
        conn->snd_nxt = conn->snd_max += MSS;
        return;
    }
    from = r->first + 1 + random_below(&r->random, out - 1);
    count = 1 + random_below(&r->random, tcp_min(6, r->next - from));
    if (from + count > r->next)
        count = r->next - from;
    switch (random_below(&r->random, 5)) {
    case 0:
        conn->snd_una = SEND + from * MSS;
        tcp_sack_advance(conn);
        r->first = from;
        break;
    case 1:
    case 2: {
        struct tcp_segment segment = {.sack_count = 1, .ack = conn->snd_una};
        segment.sack[0] = (struct tcp_range){SEND + from * MSS, SEND + (from + count) * MSS};
        if (conn->sack_count < TCP_SACK_RANGES - 1)
            tcp_sack_input(conn, &segment, r->fx.now_us);
        for (uint32_t i = 0; i < count && conn->sack_count < TCP_SACK_RANGES - 1; i++)
            r->sacked[from + i] = true;
        break;
    }
    case 3:
        tcp_rack_detect(conn, r->fx.now_us);
        break;
    default:
        for (uint32_t i = 0; i < count; i++)
            r->sent_us[from + i] = r->fx.now_us;
        memset(r->lost + from, 0, count * sizeof(*r->lost));
        tcp_rack_on_sent(conn, SEND + from * MSS, SEND + (from + count) * MSS, true, r->fx.now_us);
        break;
    }
}

/* However much goes wrong there are few marks, they cover everything, none is too early, and what
 * is lost stays so until it goes again. */
static void
test_few_marks_and_never_too_early(void **state)
{
    static struct records r;

    for (unsigned seed = 0; seed < 50; seed++) {
        memset(&r, 0, sizeof(r));
        open_conn(&r.fx);
        random_init(&r.random, seed);
        while (r.next < SEGMENTS) {
            step(&r);
            check_marks(&r);
        }
    }
}

/* So many segments, each with a mark of its own. */
static void
open_marked(struct fixture *fx, unsigned segments)
{
    open_sending(fx, true, 0);
    for (unsigned i = 0; i < segments; i++) {
        fx->now_us += 2000;
        send_segments(fx, 1);
    }
    assert_int_equal(fx->conn.mark_count, segments);
}

/* Every other one is lost, and there is no room for one more: neither of two neighbours is like the
 * other, and what is lost must not be taken for what is on its way. */
static void
test_no_loss_is_forgotten_for_want_of_marks(void **state)
{
    struct fixture fx;
    bool again[30] = {false};
    uint32_t start, end;

    open_marked(&fx, 30);
    for (unsigned i = 0; i < 30; i++)
        fx.conn.marks[i].lost = i % 2;
    fx.conn.flags |= TCP_CONN_LOST;
    fx.now_us += 2000;
    tcp_rack_on_sent(&fx.conn, fx.conn.snd_max, fx.conn.snd_max + MSS, false, fx.now_us);
    fx.conn.snd_max = fx.conn.snd_nxt = fx.conn.snd_end = fx.conn.snd_max + MSS;
    while (tcp_rack_next_lost(&fx.conn, &start, &end)) {
        for (uint32_t i = (start - SEND) / MSS; i < (end - SEND) / MSS; i++)
            again[i] = true;
        tcp_rack_on_sent(&fx.conn, start, end, true, fx.now_us);
    }
    for (unsigned i = 1; i < 30; i += 2)
        assert_true(again[i]);
}

/* Two boundaries are needed, and few marks left: nothing above them may be taken for lost. */
static void
test_detection_with_all_marks_in_use(void **state)
{
    struct fixture fx;

    open_marked(&fx, 28);
    fx.now_us += 2000;
    send_segments(&fx, 6);
    send_segments(&fx, 1); /* shares the mark */
    assert_int_equal(fx.conn.mark_count, 29);
    fx.now_us += 50000;
    feed_sack(&fx, 0, 30000, 33000); /* in the middle of the last mark */
    assert_true(fx.conn.mark_count <= TCP_MARKS);
    assert_int_equal(tcp_rack_lost_bytes(&fx.conn), 30000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_sack_and_a_quarter_of_a_round_trip),
        cmocka_unit_test(test_what_arrives_in_time_is_not_lost),
        cmocka_unit_test(test_after_reordering_only_time_counts),
        cmocka_unit_test(test_blocks_of_one_ack_are_no_reordering),
        cmocka_unit_test(test_dsacks_widen_the_window_for_a_while),
        cmocka_unit_test(test_the_next_dsack_may_be_far),
        cmocka_unit_test(test_never_more_than_a_round_trip),
        cmocka_unit_test(test_the_first_copy_arrived),
        cmocka_unit_test(test_adopted_with_losses),
        cmocka_unit_test(test_adopted_with_duplicates),
        cmocka_unit_test(test_lost_up_to),
        cmocka_unit_test(test_not_above_snd_nxt),
        cmocka_unit_test(test_what_goes_out_together_shares_a_mark),
        cmocka_unit_test(test_few_marks_and_never_too_early),
        cmocka_unit_test(test_no_loss_is_forgotten_for_want_of_marks),
        cmocka_unit_test(test_detection_with_all_marks_in_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
