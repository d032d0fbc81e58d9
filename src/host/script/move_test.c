/* What is easily forgotten when a connection moves, or is about to: each of these was, once. */
#include "host/script/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LOST_STATUS NDIS_STATUS_REQUEST_ABORTED

static const struct script_options held = {.receive = SCRIPT_HOLD, .ack_returned = true};

/* ---- down ---- */

/* It was behind bytes that the window did not let go. */
static void
queued_fin_is_asked_for_below(void **state)
{
    const char bytes[100] = {0};
    struct rig rig;
    TCP_OFFLOAD_STATE_DELEGATED delegated;

    rig_open(&rig, (struct script_options){.peer_window = 10}, false);
    assert_int_equal(script_write(rig.conn, bytes, sizeof bytes), sizeof bytes);
    script_close(rig.conn);
    rig_turn(&rig);
    delegated = rig_offload(&rig);
    assert_int_equal(delegated.State, TcpConnectionEstablished);
    assert_int_equal(fake.data_count && fake.data_kinds[fake.data_count - 1] == FAKE_DISCONNECT, 1);
    assert_int_equal(fake.disconnect_flags, TCP_DISCONNECT_GRACEFUL_CLOSE);
    assert_int_equal(script_upload(rig.conn), 0);
    rig_answer_terminate(&rig, &delegated);
    rig_close(&rig);
}

/* ---- at home ---- */

static void
ack_of_a_fin_echoes_its_stamp(void **state)
{
    struct rig rig;
    struct tcp_segment segment;

    rig_open(&rig, (struct script_options){0}, true);
    rig_hear(&rig, RIG_PEERS, RIG_OURS, TCP_FIN | TCP_ACK, "", false);
    assert_true(rig_said_last(&segment));
    assert_int_equal(segment.ack, RIG_PEERS + 1);
    assert_int_equal(segment.tsecr, RIG_STAMP);
    rig_close(&rig);
}

/* RFC 1122, 3.2.1.2 */
static void
damaged_ip_header_is_not_taken(void **state)
{
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    rig_hear(&rig, RIG_PEERS, RIG_OURS, TCP_ACK, "abc", true);
    assert_int_equal(rig.got_len, 0);
    rig_hear(&rig, RIG_PEERS, RIG_OURS, TCP_ACK, "abc", false);
    assert_string_equal(rig.got, "abc");
    rig_close(&rig);
}

/* ---- with the target ---- */

/* With ack = returned the target does not open the window by itself. */
static void
window_is_opened_by_updates(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    const TCP_OFFLOAD_STATE_CACHED *cached;
    struct rig rig;

    rig_open(&rig, held, false);
    delegated = rig_offload(&rig);
    assert_int_equal(rig_indicate(&rig, "abc"), 3);
    assert_int_equal(fake.call_count, 0);
    rig_pass(&rig, 2);
    assert_string_equal(rig.got, "abc");
    assert_int_equal(rig_take_returns(), 1);
    cached = rig_take_update(NDIS_STATUS_SUCCESS);
    assert_non_null(cached);
    assert_true(cached->Flags & TCP_FLAG_UPDATE_RCV_WND);
    assert_int_equal(cached->InitialRcvWnd, 65536);
    delegated.RcvNxt += 3;
    assert_int_equal(script_upload(rig.conn), 0);
    rig_answer_terminate(&rig, &delegated);
    rig_close(&rig);
}

static void
upload_waits_for_an_update(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct script_settings settings;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    delegated = rig_offload(&rig);
    settings = *script_settings(rig.conn);
    script_set(rig.conn, &settings);
    rig_turn(&rig);
    assert_int_equal(fake.call_count, 1);
    rig_event(&rig, TcpIndicateRetrieve, UploadRequested);
    assert_int_equal(fake.call_count, 1);
    assert_non_null(rig_take_update(NDIS_STATUS_SUCCESS));
    rig_turn(&rig);
    rig_answer_terminate(&rig, &delegated);
    rig_close(&rig);
}

/* What fills a request is younger than what was indicated before. */
static void
held_bytes_come_before_those_of_a_request(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct rig rig;

    rig_open(&rig, (struct script_options){.receive = SCRIPT_HOLD, .hold_us = 50000}, false);
    delegated = rig_offload(&rig);
    assert_int_equal(rig_indicate(&rig, "one"), 3);
    script_read(rig.conn, false);
    assert_int_equal(rig_indicate(&rig, "two"), 0);
    script_read(rig.conn, true);
    rig_turn(&rig);
    assert_true(rig_complete_receive(NDIS_STATUS_SUCCESS, "two"));
    assert_string_equal(rig.got, "onetwo");
    rig_turn(&rig);
    delegated.RcvNxt += 6;
    assert_int_equal(script_upload(rig.conn), 0);
    rig_answer_terminate(&rig, &delegated);
    rig_close(&rig);
}

/* The peer has finished, but what came before its FIN went down again, unread. */
static void
bytes_before_a_known_fin_are_asked_for(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    script_read(rig.conn, false);
    rig_hear(&rig, RIG_PEERS, RIG_OURS, TCP_FIN | TCP_ACK, "abc", false);
    delegated = rig_offload(&rig);
    assert_int_equal(delegated.State, TcpConnectionCloseWait);
    script_read(rig.conn, true);
    rig_turn(&rig);
    assert_true(rig_complete_receive(NDIS_STATUS_SUCCESS, "abc"));
    assert_string_equal(rig.got, "abc");
    assert_true(rig.fin);
    rig_turn(&rig);
    assert_false(rig_complete_receive(NDIS_STATUS_SUCCESS, "")); /* nothing more will come */
    assert_int_equal(script_upload(rig.conn), 0);
    rig_answer_terminate(&rig, &delegated);
    rig_close(&rig);
}

/* With ack = returned nobody else acknowledges a FIN: it is in no NBL, and the peer would give up.
 */
static void
fin_is_fetched_where_it_is_not_acknowledged(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        TCP_OFFLOAD_STATE_DELEGATED delegated;
        struct rig rig;

        rig_open(&rig, i ? held : (struct script_options){0}, false);
        delegated = rig_offload(&rig);
        rig_event(&rig, TcpIndicateDisconnect, 0);
        rig_turn(&rig);
        assert_int_equal(fake.call_count, i);
        if (!i)
            assert_int_equal(script_upload(rig.conn), 0);
        delegated.RcvNxt++;
        delegated.State = TcpConnectionCloseWait;
        rig_answer_terminate(&rig, &delegated);
        assert_true(rig.fin);
        rig_close(&rig);
    }
}

/* ---- about to be fetched ---- */

/* They would come back at once, for as long as the query keeps the upload waiting. */
static void
nothing_is_posted_for_who_is_fetched(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct rig rig;

    rig_open(&rig, (struct script_options){.receive = SCRIPT_POST}, false);
    delegated = rig_offload(&rig);
    assert_int_equal(script_query(rig.conn), 0);
    rig_event(&rig, TcpIndicateRetrieve, UploadRequested);
    for (unsigned i = 0; i < SCRIPT_POSTS; i++)
        assert_true(rig_complete_receive(LOST_STATUS, ""));
    rig_turn(&rig);
    assert_false(rig_complete_receive(LOST_STATUS, ""));
    fake_answer(FAKE_QUERY, fake_take(FAKE_QUERY), NDIS_STATUS_SUCCESS);
    rig_turn(&rig);
    rig_answer_terminate(&rig, &delegated);
    rig_close(&rig);
}

static void
nothing_is_sent_for_who_is_fetched(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct tcp_segment segment;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    delegated = rig_offload(&rig);
    assert_int_equal(script_query(rig.conn), 0);
    rig_event(&rig, TcpIndicateRetrieve, UploadRequested);
    assert_int_equal(script_write(rig.conn, "abc", 3), 3);
    rig_turn(&rig);
    assert_int_equal(fake.data_count, 0);
    fake_answer(FAKE_QUERY, fake_take(FAKE_QUERY), NDIS_STATUS_SUCCESS);
    rig_turn(&rig);
    rig_answer_terminate(&rig, &delegated);
    assert_true(rig_said_last(&segment)); /* by the engine */
    assert_int_equal(segment.payload_len, 3);
    rig_close(&rig);
}

/* ---- up ---- */

/* With ack = returned what is lent has not come, but for what was acknowledged before. */
static void
acknowledged_bytes_that_are_lent_are_kept(void **state)
{
    for (uint32_t acked = 0; acked <= 3; acked += 3) {
        TCP_OFFLOAD_STATE_DELEGATED delegated;
        struct rig rig;

        rig_open(&rig, held, false);
        delegated = rig_offload(&rig);
        assert_int_equal(rig_indicate(&rig, "abc"), 3);
        delegated.RcvNxt += acked;
        assert_int_equal(script_upload(rig.conn), 0);
        rig_answer_terminate(&rig, &delegated);
        assert_int_equal(rig.got_len, acked);
        rig_close(&rig);
    }
}

/* Our FIN was sent before it went down: no disconnect tells of its end. */
static TCP_OFFLOAD_STATE_DELEGATED
close_and_offload(struct rig *rig)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct tcp_segment segment;

    script_close(rig->conn);
    rig_turn(rig);
    assert_true(rig_said(&segment, NULL));
    assert_true(segment.flags & TCP_FIN);
    delegated = rig_offload(rig);
    assert_int_equal(delegated.State, TcpConnectionFinWait1);
    return delegated;
}

/* Both FINs are through, and three bytes came before the peer's. */
static void
come_home_closed(struct rig *rig, TCP_OFFLOAD_STATE_DELEGATED delegated)
{
    delegated.State = TcpConnectionClosed;
    delegated.RcvNxt = RIG_PEERS + 4;
    assert_int_equal(script_upload(rig->conn), 0);
    rig_answer_terminate(rig, &delegated);
}

static void
end_that_came_while_bytes_were_lent_is_one(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct rig rig;

    rig_open(&rig, held, false);
    delegated = close_and_offload(&rig);
    assert_int_equal(rig_indicate(&rig, "abc"), 3);
    come_home_closed(&rig, delegated);
    assert_string_equal(rig.got, "abc");
    assert_true(rig.fin && rig.ended);
    assert_int_equal(rig.end, SCRIPT_CLOSED);
    rig_close(&rig);
}

static void
end_that_nobody_reads_is_no_timeout(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct rig rig;

    rig_open(&rig, (struct script_options){.receive = SCRIPT_HOLD}, false);
    delegated = close_and_offload(&rig);
    assert_int_equal(rig_indicate(&rig, "abc"), 3);
    script_read(rig.conn, false);
    rig_pass(&rig, 2);
    rig_event(&rig, TcpIndicateDisconnect, 0);
    come_home_closed(&rig, delegated);
    assert_false(rig.ended);
    script_read(rig.conn, true);
    rig_turn(&rig);
    assert_string_equal(rig.got, "abc");
    assert_true(rig.fin && rig.ended);
    assert_int_equal(rig.end, SCRIPT_CLOSED);
    rig_close(&rig);
}

/* The target gave up after our FIN was acknowledged; the peer's never came. */
static void
end_in_fin_wait_2_is_a_timeout(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    script_close(rig.conn);
    rig_turn(&rig);
    rig_hear(&rig, RIG_PEERS, RIG_OURS + 1, TCP_ACK, "", false);
    delegated = rig_offload(&rig);
    assert_int_equal(delegated.State, TcpConnectionFinWait2);
    delegated.State = TcpConnectionClosed;
    assert_int_equal(script_upload(rig.conn), 0);
    rig_answer_terminate(&rig, &delegated);
    assert_true(rig.ended);
    assert_int_equal(rig.end, SCRIPT_TIMEOUT);
    rig_close(&rig);
}

/* The peer, whose FIN's acknowledgement was lost, says it again. */
static void
time_wait_goes_on_as_what_it_is(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    struct tcp_segment segment;
    struct rig rig;

    rig_open(&rig, (struct script_options){0}, false);
    delegated = rig_offload(&rig);
    script_close(rig.conn);
    rig_turn(&rig);
    delegated.State = TcpConnectionTimeWait;
    delegated.SndUna = delegated.SndNxt = delegated.SndMax = RIG_OURS + 1;
    delegated.RcvNxt++;
    assert_int_equal(script_upload(rig.conn), 0);
    rig_answer_terminate(&rig, &delegated);
    assert_int_equal(script_engine(rig.conn)->state, TCP_TIME_WAIT);
    rig_said_last(&segment);
    rig_hear(&rig, RIG_PEERS, RIG_OURS + 1, TCP_FIN | TCP_ACK, "", false);
    assert_true(rig_said_last(&segment));
    assert_int_equal(segment.ack, RIG_PEERS + 1);
    assert_int_equal(segment.seq, RIG_OURS + 1);
    rig_close(&rig);
}

/* A target whose path is invalid sends no ACKs either: one may be missing. */
static void
who_was_silenced_acknowledges_at_home(void **state)
{
    static const ULONG reasons[] = {UploadRequested, InvalidState};

    for (unsigned i = 0; i < 2; i++) {
        TCP_OFFLOAD_STATE_DELEGATED delegated;
        struct tcp_segment segment;
        struct rig rig;

        rig_open(&rig, (struct script_options){0}, false);
        delegated = rig_offload(&rig);
        assert_int_equal(rig_indicate(&rig, "abc"), 3);
        rig_event(&rig, TcpIndicateRetrieve, reasons[i]);
        delegated.RcvNxt += 3;
        rig_answer_terminate(&rig, &delegated);
        assert_int_equal(rig_said_last(&segment), reasons[i] == InvalidState);
        if (reasons[i] == InvalidState)
            assert_int_equal(segment.ack, RIG_PEERS + 3);
        rig_close(&rig);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queued_fin_is_asked_for_below),
        cmocka_unit_test(ack_of_a_fin_echoes_its_stamp),
        cmocka_unit_test(damaged_ip_header_is_not_taken),
        cmocka_unit_test(window_is_opened_by_updates),
        cmocka_unit_test(upload_waits_for_an_update),
        cmocka_unit_test(held_bytes_come_before_those_of_a_request),
        cmocka_unit_test(bytes_before_a_known_fin_are_asked_for),
        cmocka_unit_test(fin_is_fetched_where_it_is_not_acknowledged),
        cmocka_unit_test(nothing_is_posted_for_who_is_fetched),
        cmocka_unit_test(nothing_is_sent_for_who_is_fetched),
        cmocka_unit_test(acknowledged_bytes_that_are_lent_are_kept),
        cmocka_unit_test(end_that_came_while_bytes_were_lent_is_one),
        cmocka_unit_test(end_that_nobody_reads_is_no_timeout),
        cmocka_unit_test(end_in_fin_wait_2_is_a_timeout),
        cmocka_unit_test(time_wait_goes_on_as_what_it_is),
        cmocka_unit_test(who_was_silenced_acknowledges_at_home),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
