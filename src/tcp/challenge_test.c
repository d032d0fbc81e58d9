#include "tcp/test_conn.h"

/* Answers to what is not acceptable (RFC 5961, section 7): bounded, and never withheld from a peer
 * that waits for one. Who comes first here uses the limit up. */

#define PERIOD_US 10000u
#define MOST 8u

/* Bare, and acknowledges what was never sent. */
static void
feed_confused(struct fixture *fx)
{
    struct tcp_segment segment = segment_at(0, 0);

    segment.ack = SEND + 70000;
    assert_int_equal(feed_segment(fx, &segment), TCP_EV_INVALID);
}

/* Data behind the window, each answered or not before the next comes; how many answers. */
static unsigned
flood(struct fixture *fx, unsigned count)
{
    unsigned answers = 0;

    for (unsigned i = 0; i < count; i++) {
        assert_true(feed(fx, RECV_WINDOW + 1 + i, 10) & TCP_EV_INVALID);
        answers += drain_out(fx);
    }
    return answers;
}

static void
open_flooded(struct fixture *fx)
{
    open_conn(fx);
    feed(fx, 0, 10);
    consume(fx);
    assert_int_equal(drain_out(fx), 1);
    assert_int_equal(flood(fx, MOST), MOST);
}

/* The answer comes when the period is over, and nothing else does. */
static void
assert_answered_later(struct fixture *fx)
{
    assert_silent(fx);
    pass(fx, PERIOD_US - 1);
    assert_silent(fx);
    pass(fx, 1);
    assert_bare(fx, TCP_ACK);
    assert_int_equal(fx->out.ack, RECV + 10);
    assert_silent(fx);
    assert_int_equal(tcp_deadline_us(&fx->conn), TCP_NEVER);
}

static void
test_a_flood_gets_few_answers(void **state)
{
    struct fixture fx;
    unsigned answers = 0;

    open_conn(&fx);
    for (unsigned ms = 0; ms < 100; ms++) {
        answers += flood(&fx, 50);
        pass(&fx, 1000);
        answers += drain_out(&fx);
    }
    assert_in_range(answers, 10, 10 * (MOST + 1));
}

static void
test_confused_peers_stop(void **state)
{
    struct fixture fx;

    open_conn(&fx);
    feed_confused(&fx);
    assert_bare(&fx, TCP_ACK);
    for (unsigned i = 0; i < 9; i++) {
        pass(&fx, 1000);
        feed_confused(&fx);
        assert_silent(&fx);
    }
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER); /* not later, either */
    pass(&fx, 1000);
    feed_confused(&fx);
    assert_bare(&fx, TCP_ACK);
}

static void
test_a_keepalive_is_answered(void **state)
{
    struct fixture fx;

    open_flooded(&fx);
    feed(&fx, 9, 0);
    assert_answered_later(&fx);
}

static void
test_a_keepalive_with_a_byte_is_answered_at_once(void **state)
{
    struct fixture fx;

    open_flooded(&fx);
    feed(&fx, 9, 1);
    assert_bare(&fx, TCP_ACK);
}

/* Of a peer that has not heard our last acknowledgement. */
static void
test_an_older_probe_is_answered(void **state)
{
    struct fixture fx;

    open_flooded(&fx);
    feed(&fx, -1u, 0);
    assert_answered_later(&fx);
}

static void
test_a_retransmission_is_answered(void **state)
{
    struct fixture fx;

    open_flooded(&fx);
    assert_true(feed(&fx, 0, 9) & TCP_EV_DUPLICATE);
    assert_answered_later(&fx);
}

/* A byte behind a closed window. */
static void
test_a_window_probe_is_answered(void **state)
{
    struct fixture fx;

    prepare(&fx);
    fx.state.rcv_wnd = 10;
    reopen(&fx);
    feed(&fx, 0, 10);
    consume(&fx);
    assert_int_equal(drain_out(&fx), 1);
    assert_int_equal(flood(&fx, MOST), MOST);
    assert_true(feed(&fx, 10, 1) & TCP_EV_INVALID);
    assert_answered_later(&fx);
}

/* Another acknowledgement is an answer as well. */
static void
test_one_answer_is_enough(void **state)
{
    struct fixture fx;

    open_flooded(&fx);
    feed(&fx, 9, 0);
    send_segments(&fx, 1);
    assert_true(fx.conn.delack_deadline_us == TCP_NEVER);
}

/* A whole window goes twice: answers are few, and tell of all of it. */
static void
test_what_was_not_answered_is_reported(void **state)
{
    struct fixture fx;
    struct tcp_segment said;
    unsigned answers = 0;

    open_conn(&fx);
    feed(&fx, 0, 20 * MSS);
    consume(&fx);
    drain_out(&fx);
    for (unsigned i = 0; i < 20; i++) {
        feed(&fx, i * MSS, i == 19 ? MSS - 1 : MSS);
        answers += drain_out(&fx);
    }
    assert_int_equal(answers, MOST);
    pass(&fx, PERIOD_US);
    assert_bare(&fx, TCP_ACK);
    assert_int_equal(out_sack(&fx, &said), 1);
    assert_int_equal(said.sack[0].start, RECV + MOST * MSS);
    assert_int_equal(said.sack[0].end, RECV + 20 * MSS - 1);
}

static void
test_an_rst_is_never_answered(void **state)
{
    struct fixture fx;
    struct tcp_segment segment = segment_at(RECV_WINDOW + 1, 10);

    open_conn(&fx);
    segment.flags |= TCP_RST;
    feed_segment(&fx, &segment);
    assert_silent(&fx);
    assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flood_gets_few_answers),
        cmocka_unit_test(test_confused_peers_stop),
        cmocka_unit_test(test_a_keepalive_is_answered),
        cmocka_unit_test(test_a_keepalive_with_a_byte_is_answered_at_once),
        cmocka_unit_test(test_an_older_probe_is_answered),
        cmocka_unit_test(test_a_retransmission_is_answered),
        cmocka_unit_test(test_a_window_probe_is_answered),
        cmocka_unit_test(test_one_answer_is_enough),
        cmocka_unit_test(test_what_was_not_answered_is_reported),
        cmocka_unit_test(test_an_rst_is_never_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
