/*
 * Every reason to end in every state. An owner that takes a connection away walks the same edges to
 * CLOSED, so that they are walked says nothing: here each reason is the only one there is, and
 * either ends the connection or does not.
 */
#include "tcp/test_conn.h"

enum reason { RETRANSMISSION, PROBES, KEEPALIVE, WAITED, RESET, SYN, ABORT, REASONS };

#define IN(state) (1u << TCP_##state)
#define OPEN (IN(ESTABLISHED) | IN(CLOSE_WAIT))
#define FIN_OUT (IN(FIN_WAIT_1) | IN(CLOSING) | IN(LAST_ACK))
#define ALL (OPEN | FIN_OUT | IN(FIN_WAIT_2) | IN(TIME_WAIT))

static const struct {
    const char *name;
    unsigned states; /* in which it ends the connection */
    unsigned event;
} reasons[REASONS] = {
    [RETRANSMISSION] = {"retransmissions exhausted", OPEN | FIN_OUT, TCP_EV_TIMEOUT},
    [PROBES] = {"window probes unanswered", OPEN | FIN_OUT, TCP_EV_TIMEOUT},
    [KEEPALIVE] = {"keepalive unanswered", OPEN | IN(FIN_WAIT_2), TCP_EV_TIMEOUT},
    [WAITED] = {"FIN_WAIT_2 lasted too long", IN(FIN_WAIT_2), TCP_EV_TIMEOUT},
    [RESET] = {"reset by the peer", ALL & ~IN(TIME_WAIT), TCP_EV_RESET},
    [SYN] = {"SYN from the peer", ALL, TCP_EV_SYN},
    [ABORT] = {"aborted", ALL, 0},
};

/* Nothing else ends it: no other limit, no other timer. Where there can be work, there is. */
static void
open_for(struct fixture *fx, enum tcp_conn_state state, enum reason reason)
{
    prepare(fx);
    fx->config.max_retransmissions = reason == RETRANSMISSION || reason == PROBES ? 3 : 0;
    fx->config.keepalive = reason == KEEPALIVE;
    fx->config.keepalive_probes = 3;
    if (reason != WAITED)
        fx->config.fin_wait_2_us = TCP_NEVER;
    fx->state.state = state;
    fx->state.snd_wnd = reason == PROBES ? 0 : SEND_WINDOW;
    reopen(fx);
    if (reason != KEEPALIVE) /* while something is outstanding that finds out */
        tcp_queue(&fx->conn, MSS);
    drain_out(fx);
}

/* Until it is over or nothing is due, and for a long time. */
static unsigned
let_time_pass(struct fixture *fx)
{
    unsigned events = 0;

    for (int i = 0; i < 300 && tcp_deadline_us(&fx->conn) != TCP_NEVER; i++) {
        events |= expire(fx);
        drain_out(fx);
    }
    return events;
}

static unsigned
feed_flags(struct fixture *fx, uint8_t flags)
{
    struct tcp_segment segment = segment_at(0, 0);

    segment.seq = fx->conn.rcv_nxt;
    segment.flags = flags;
    return feed_segment(fx, &segment);
}

static unsigned
end_by(struct fixture *fx, enum reason reason)
{
    switch (reason) {
    case RESET:
        return feed_flags(fx, TCP_RST);
    case SYN:
        return feed_flags(fx, TCP_SYN);
    case ABORT:
        tcp_abort(&fx->conn);
        return 0;
    default:
        return let_time_pass(fx);
    }
}

/* By what was meant, and by nothing else. */
static void
assert_reason(const struct fixture *fx, enum reason reason)
{
    const struct tcp_conn *conn = &fx->conn;

    assert_int_equal(conn->counters.timeouts, reason == RETRANSMISSION ? 3 : 0);
    assert_int_equal(conn->keepalive_probe_count, reason == KEEPALIVE ? 3 : 0);
    if (reason == PROBES)
        assert_int_equal(conn->retransmit_count, 3);
}

static void
test_every_reason_in_every_state(void **state)
{
    struct fixture fx;

    for (unsigned i = 0; i < REASONS; i++) {
        for (unsigned from = 0; from < TCP_STATE_COUNT; from++) {
            if (!(ALL & 1u << from))
                continue;
            open_for(&fx, from, i);
            assert_int_equal(fx.conn.state, from);
            unsigned events = end_by(&fx, i);
            bool ends = reasons[i].states & 1u << from, ended = fx.conn.state == TCP_CLOSED;
            if (ends != ended)
                fail_msg("%s in %s: %s", reasons[i].name, tcp_state_name(from),
                         ended ? "over" : "goes on");
            assert_int_equal(events & (TCP_EV_TIMEOUT | TCP_EV_RESET | TCP_EV_SYN),
                             ends ? reasons[i].event : 0);
            if (!ends)
                continue;
            assert_reason(&fx, i);
            assert_int_equal(tcp_deadline_us(&fx.conn), TCP_NEVER);
            if (i == ABORT)
                assert_bare(&fx, TCP_ACK | TCP_RST);
            assert_silent(&fx);
        }
    }
}

/* Of those in which ours is out: only LAST_ACK is over with it. */
static void
test_our_fin_is_acknowledged(void **state)
{
    static const enum tcp_conn_state rows[][2] = {
        {TCP_FIN_WAIT_1, TCP_FIN_WAIT_2}, {TCP_CLOSING, TCP_TIME_WAIT}, {TCP_LAST_ACK, TCP_CLOSED}};
    struct fixture fx;

    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        open_for(&fx, rows[i][0], RESET);
        assert_true(feed_ack(&fx, 1) & TCP_EV_FIN_ACKED);
        assert_int_equal(fx.conn.state, rows[i][1]);
        assert_int_equal(fx.conn.rtx_deadline_us, TCP_NEVER);
        assert_silent(&fx);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_reason_in_every_state),
        cmocka_unit_test(test_our_fin_is_acknowledged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
