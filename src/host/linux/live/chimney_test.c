/*
 * Lending when there is no memory, or when the target says no: what could not be lent leaves a gap
 * that nothing may fill, what could not be taken or told is not forgotten, and in either case the
 * connection goes home.
 */
#include "host/linux/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEGMENT 100u
#define LARGE 1900u /* lent in two pieces once the target wants little at a time */

static int
setup(void **state)
{
    rig_setup(state);
    rig_down();
    return 0;
}

static void
kernel_sends(uint32_t offset, uint32_t len)
{
    rig_kernel((struct rig_segment){.seq = RIG_SND + offset, .len = len});
}

static void
expect_going_home(enum hoststack_reason reason)
{
    assert_int_equal(rig.conn->phase, LIVE_DRAIN);
    assert_int_equal(rig.conn->end_reason, reason);
}

/* The wire had sent up to snd_nxt, and nothing further than that goes out without the kernel. */
static void
goes_home(uint32_t snd_nxt)
{
    struct rig_frame frame;

    while (rig.conn->phase == LIVE_DRAIN) {
        if (fake.call_count)
            rig_answer_query(snd_nxt);
        rig_pass(1000);
    }
    rig_answer_terminate(RIG_SND, snd_nxt, RIG_TS_PEER);
    assert_int_equal(rig.conn->phase, LIVE_RELEASE);
    assert_int_equal(rig.move.outcome, HOSTSTACK_DONE);
    while (rig_to_peer(&frame))
        assert_true(!frame.tcp.payload_len || frame.tcp.seq == RIG_SND);
    while (rig_to_kernel(&frame)) /* it must keep all of them */
        assert_int_equal(frame.tcp.ack, RIG_SND);
}

/* ---- the kernel's bytes, down ---- */

static void
a_send_that_cannot_be_lent_stops_all_behind_it(void **state)
{
    fake.refuse_nbl = 1;
    kernel_sends(0, SEGMENT);
    expect_going_home(HOSTSTACK_NO_MEMORY);
    kernel_sends(SEGMENT, SEGMENT);
    rig_expect_lent(RIG_SND, RIG_SND);
    goes_home(RIG_SND);
}

/* Both come in one turn: the second before anybody has drawn a conclusion from the first. */
static void
two_at_once_and_the_first_cannot_be_lent(void **state)
{
    kernel_sends(SEGMENT, SEGMENT); /* out of order: waits for the first */
    rig_expect_lent(RIG_SND, RIG_SND);
    fake.refuse_nbl = 1;
    kernel_sends(0, SEGMENT);
    expect_going_home(HOSTSTACK_NO_MEMORY);
    rig_expect_lent(RIG_SND, RIG_SND);
    goes_home(RIG_SND);
}

static void
the_second_piece_of_a_frame_cannot_be_lent(void **state)
{
    rig_event(TcpIndicateSendBacklogChange, LARGE);
    fake.refuse_nbl = 2;
    kernel_sends(0, LARGE);
    expect_going_home(HOSTSTACK_NO_MEMORY);
    kernel_sends(LARGE, SEGMENT);
    rig_expect_lent(RIG_SND, RIG_SND + rig.conn->local.mss);
    goes_home(RIG_SND + rig.conn->local.mss);
}

static void
fail_send(void *arg)
{
    rig_complete_send(NDIS_STATUS_UPLOAD_IN_PROGRESS);
    expect_going_home(HOSTSTACK_TARGET_ASKED);
}

/* It gives up on one of them without being asked: nothing may go behind it, not even what arrives
 * in the same turn. */
static void
the_target_fails_a_send(void **state)
{
    struct sys_task task;

    kernel_sends(0, SEGMENT);
    rig_expect_lent(RIG_SND, RIG_SND + SEGMENT);
    sys_task_init(&task, fail_send, NULL);
    sys_loop_defer(rig.loop, &task);
    kernel_sends(SEGMENT, SEGMENT);
    assert_null(fake_take_data(FAKE_SEND));
    assert_int_equal(rig.conn->phase, LIVE_TERMINATE); /* it is not asked to send more first */
    rig_answer_terminate(RIG_SND, RIG_SND, RIG_TS_PEER);
    rig_expect_to_peer(RIG_SND, SEGMENT, 0);
}

static void
a_fin_that_cannot_be_posted(void **state)
{
    struct rig_frame frame;

    fake.refuse_nbl = 1;
    rig_kernel((struct rig_segment){.seq = RIG_SND, .flags = TCP_FIN});
    expect_going_home(HOSTSTACK_NO_MEMORY);
    assert_null(fake_take_data(FAKE_DISCONNECT));
    rig_answer_query(RIG_SND);
    rig_answer_terminate(RIG_SND, RIG_SND, RIG_TS_PEER);
    rig_expect_to_peer(RIG_SND, 0, TCP_FIN);
    while (rig_to_kernel(&frame)) /* not yet acknowledged */
        assert_int_equal(frame.tcp.ack, RIG_SND);
}

/* A FIN would end the stream before the bytes that are missing. */
static void
a_fin_behind_a_gap_is_not_posted(void **state)
{
    fake.refuse_nbl = 1;
    kernel_sends(0, SEGMENT);
    rig_kernel((struct rig_segment){.seq = RIG_SND + SEGMENT, .flags = TCP_FIN});
    assert_null(fake_take_data(FAKE_DISCONNECT));
    rig_expect_lent(RIG_SND, RIG_SND);
}

/* The kernel has no socket any more: it resets the peer itself as soon as it hears from it. */
static void
a_reset_that_cannot_be_posted(void **state)
{
    fake.refuse_nbl = 1;
    rig_kernel((struct rig_segment){.seq = RIG_SND, .flags = TCP_RST});
    assert_null(fake_take_data(FAKE_DISCONNECT));
    expect_going_home(HOSTSTACK_NO_MEMORY);
}

/* ---- the peer's bytes, up ---- */

/* Bytes that could not be taken are not offered again: they come home with the connection, and what
 * the target offers meanwhile begins where it had ended. */
static void
an_indication_that_cannot_be_taken(void **state)
{
    struct rig_frame frame;

    rig.refuse_bytes = sizeof(struct live_receive);
    assert_int_equal(rig_indicate(SEGMENT), NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED);
    assert_int_equal(rig.refuse_bytes, 0);
    expect_going_home(HOSTSTACK_NO_MEMORY);
    assert_int_equal(rig_indicate(SEGMENT), NDIS_STATUS_SUCCESS);
    rig_turn();
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(frame.tcp.seq, RIG_RCV);
    assert_int_equal(frame.tcp.payload_len, SEGMENT);
}

static void
open_window(uint32_t window)
{
    rig_kernel((struct rig_segment){.seq = RIG_SND, .ack = RIG_RCV, .window = window});
}

static uint32_t
take_update(NDIS_STATUS status)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_UPDATE);

    assert_non_null(root);
    const TCP_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_FIRST(
        root->DependentBlockList->DependentBlockList);
    assert_true(cached->Flags & TCP_FLAG_UPDATE_RCV_WND);
    uint32_t window = cached->InitialRcvWnd;
    fake_answer(FAKE_UPDATE, root, status);
    rig_turn();
    return window;
}

static void
an_edge_that_cannot_be_told(void **state)
{
    rig.refuse_bytes = sizeof(struct host_operation);
    open_window(4 * RIG_WINDOW);
    assert_int_equal(rig.refuse_bytes, 0);
    expect_going_home(HOSTSTACK_NO_MEMORY);
}

static void
an_edge_that_the_target_refuses(void **state)
{
    open_window(4 * RIG_WINDOW);
    assert_int_equal(take_update(NDIS_STATUS_FAILURE), 4 * RIG_WINDOW);
    assert_int_equal(rig.conn->phase, LIVE_TERMINATE); /* it is not asked to send more first */
    assert_int_equal(rig.conn->end_reason, HOSTSTACK_TARGET_ASKED);
}

/* One update at a time; what came meanwhile is told when it is done. */
static void
an_edge_that_moves_while_one_is_told(void **state)
{
    open_window(2 * RIG_WINDOW);
    open_window(4 * RIG_WINDOW);
    assert_int_equal(fake.call_count, 1);
    assert_int_equal(take_update(NDIS_STATUS_SUCCESS), 2 * RIG_WINDOW);
    assert_int_equal(take_update(NDIS_STATUS_SUCCESS), 4 * RIG_WINDOW);
    assert_int_equal(fake.call_count, 0);
    assert_int_equal(rig.conn->phase, LIVE_OFFLOADED);
}

/* ---- forwarded, and given back ---- */

/* A frame that the target let pass, whose answer comes while it is asked for the connection. */
static void
forward_while_going_home(NDIS_STATUS status)
{
    rig_peer((struct rig_segment){.seq = 77, .flags = TCP_SYN});
    NET_BUFFER_LIST *nbl = fake_take_data(FAKE_FORWARD);
    assert_non_null(nbl);
    rig_event(TcpIndicateRetrieve, UploadRequested);
    rig_turn();
    assert_int_equal(rig.conn->phase, LIVE_TERMINATE);
    NET_BUFFER_LIST_STATUS(nbl) = status;
    fake.tcp.TcpOffloadForwardCompleteHandler(fake.binding, nbl);
    rig_turn();
    assert_null(fake_take_data(FAKE_FORWARD));
    rig_answer_terminate(RIG_SND, RIG_SND, RIG_TS_PEER);
    assert_int_equal(rig.conn->phase, LIVE_RELEASE);
}

static unsigned
syns_to_the_kernel(void)
{
    struct rig_frame frame;
    unsigned count = 0;

    while (rig_to_kernel(&frame))
        count += !!(frame.tcp.flags & TCP_SYN);
    return count;
}

static void
what_was_not_processed_is_the_kernels(void **state)
{
    forward_while_going_home(NDIS_STATUS_UPLOAD_IN_PROGRESS);
    assert_int_equal(syns_to_the_kernel(), 1);
}

/* Heard twice it would be answered twice. */
static void
what_was_processed_is_not(void **state)
{
    forward_while_going_home(NDIS_STATUS_SUCCESS);
    assert_int_equal(syns_to_the_kernel(), 0);
}

int
main(void)
{
#define CHIMNEY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        CHIMNEY_TEST(a_send_that_cannot_be_lent_stops_all_behind_it),
        CHIMNEY_TEST(two_at_once_and_the_first_cannot_be_lent),
        CHIMNEY_TEST(the_second_piece_of_a_frame_cannot_be_lent),
        CHIMNEY_TEST(the_target_fails_a_send),
        CHIMNEY_TEST(a_fin_that_cannot_be_posted),
        CHIMNEY_TEST(a_fin_behind_a_gap_is_not_posted),
        CHIMNEY_TEST(a_reset_that_cannot_be_posted),
        CHIMNEY_TEST(an_indication_that_cannot_be_taken),
        CHIMNEY_TEST(an_edge_that_cannot_be_told),
        CHIMNEY_TEST(an_edge_that_the_target_refuses),
        CHIMNEY_TEST(an_edge_that_moves_while_one_is_told),
        CHIMNEY_TEST(what_was_not_processed_is_the_kernels),
        CHIMNEY_TEST(what_was_processed_is_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
