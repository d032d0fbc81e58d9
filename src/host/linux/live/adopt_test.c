/*
 * What may come between the wish to go down and the initiate: frames while both directions are
 * held, resets among them, no memory, the end of the daemon.
 */
#include "host/edge.h"
#include "host/linux/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEGMENT 100u

/* In the hold; the socket has not taken what the peer sent last, so nothing can be agreed on. The
 * peer's segment has reached the kernel, its acknowledgement has not come. */
static void
hold(void)
{
    struct rig_frame frame;

    rig_ask();
    rig_peer((struct rig_segment){.seq = RIG_RCV, .len = SEGMENT});
    assert_true(rig_to_kernel(&frame));
    rig_pass(LIVE_BRIDGE_MIN_US);
    assert_int_equal(rig.conn->phase, LIVE_HOLD);
}

/* The socket has taken the segment after all. */
static void
settle_socket(void)
{
    rig.socket.rcv_nxt += SEGMENT;
    rig.socket.copied_seq += SEGMENT;
}

/* The connection has ended as it would have without us. */
static void
expect_ended(void)
{
    assert_int_equal(rig.conn->phase, LIVE_RELEASE);
    assert_false(rig.steered);
    assert_int_equal(rig.move_count, 1);
    assert_int_equal(rig.move.outcome, HOSTSTACK_REFUSED);
    assert_int_equal(rig.move.reason, HOSTSTACK_DIED_DURING_MOVE);
    assert_int_equal(fake.call_count, 0);
    rig_pass(2 * LIVE_RELEASE_MAX_US);
    const struct live_conn *kept = live_find(rig.stack, &rig.key); /* while the socket lives */
    if (rig.socket_gone)
        assert_null(kept);
    else
        assert_int_equal(kept->phase, LIVE_KERNEL);
    rig_expect_silence();
}

/* ---- resets ---- */

/* The hold ends without agreement; what was held goes on, each frame once, in its order. */
static void
the_owner_resets_among_held_frames(void **state)
{
    hold();
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    rig_kernel((struct rig_segment){.seq = RIG_SND + SEGMENT, .flags = TCP_RST});
    rig_kernel((struct rig_segment){.seq = RIG_SND + SEGMENT, .len = SEGMENT});
    rig_kernel((struct rig_segment){.seq = RIG_SND + 2 * SEGMENT, .len = SEGMENT});
    rig_expect_silence();
    rig_pass(2 * LIVE_HOLD_MAX_US);
    rig_expect_to_peer(RIG_SND, SEGMENT, 0);
    rig_expect_to_peer(RIG_SND + SEGMENT, 0, TCP_RST);
    rig_expect_to_peer(RIG_SND + SEGMENT, SEGMENT, 0);
    rig_expect_to_peer(RIG_SND + 2 * SEGMENT, SEGMENT, 0);
    expect_ended();
}

static void
the_peer_resets_among_held_frames(void **state)
{
    struct rig_frame frame;
    uint32_t seq = RIG_RCV + SEGMENT;

    hold();
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    rig_peer((struct rig_segment){.seq = seq, .len = SEGMENT});
    rig_peer((struct rig_segment){.seq = seq + SEGMENT, .flags = TCP_RST});
    rig_peer((struct rig_segment){.seq = seq + SEGMENT, .len = SEGMENT});
    rig_expect_silence();
    rig_pass(2 * LIVE_HOLD_MAX_US);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(rig_to_kernel(&frame));
        assert_int_equal(frame.tcp.seq, seq + (i ? SEGMENT : 0));
        assert_int_equal(frame.tcp.flags & TCP_RST, i == 1 ? TCP_RST : 0);
    }
    rig_expect_to_peer(RIG_SND, SEGMENT, 0);
    expect_ended();
}

/* Closed with a reset, the socket is gone at the next look. */
static void
the_owner_resets_and_the_socket_is_gone(void **state)
{
    hold();
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    rig_kernel((struct rig_segment){.seq = RIG_SND + SEGMENT, .flags = TCP_RST});
    rig.socket_gone = true;
    rig_pass(100);
    rig_expect_to_peer(RIG_SND, SEGMENT, 0);
    rig_expect_to_peer(RIG_SND + SEGMENT, 0, TCP_RST);
    expect_ended();
}

static void
either_resets_while_the_frames_pass(void **state)
{
    struct rig_frame frame;
    bool by_peer = *state != NULL;

    rig_ask();
    if (by_peer) {
        rig_peer((struct rig_segment){.flags = TCP_RST});
        assert_true(rig_to_kernel(&frame));
        assert_int_equal(frame.tcp.flags, TCP_RST | TCP_ACK);
    } else {
        rig_kernel((struct rig_segment){.flags = TCP_RST});
        rig_expect_to_peer(RIG_SND, 0, TCP_RST);
    }
    expect_ended();
}

/* The target has it, but the owner had reset it meanwhile: the wire is reset, nothing comes back.
 */
static void
the_owner_resets_while_the_target_is_asked(void **state)
{
    struct rig_frame frame;

    rig_until_initiate();
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    rig_kernel((struct rig_segment){.seq = RIG_SND + SEGMENT, .flags = TCP_RST});
    while (rig_to_peer(&frame))
        assert_int_equal(frame.tcp.flags, TCP_ACK);
    rig_answer_initiate(NDIS_STATUS_SUCCESS);
    rig_expect_lent(RIG_SND, RIG_SND + SEGMENT);
    assert_int_equal(fake.disconnect_flags, TCP_DISCONNECT_ABORTIVE_CLOSE);
    NET_BUFFER_LIST *nbl = fake_take_data(FAKE_DISCONNECT);
    assert_non_null(nbl);
    rig_complete_send(NDIS_STATUS_REQUEST_ABORTED);
    fake.tcp.TcpOffloadDisconnectCompleteHandler(fake.binding, nbl);
    rig_answer_terminate(RIG_SND, RIG_SND + SEGMENT, RIG_TS_PEER);
    assert_false(rig.steered);
    assert_int_equal(rig.move.outcome, HOSTSTACK_LOST);
    assert_int_equal(rig.move.reason, HOSTSTACK_RESET_BY_OWNER);
    rig_expect_silence();
    rig_pass(LIVE_BEAT_US);
    assert_null(live_find(rig.stack, &rig.key));
}

/* The peer's reset is the target's to judge. */
static void
the_peer_resets_while_the_target_is_asked(void **state)
{
    rig_until_initiate();
    rig_peer((struct rig_segment){.flags = TCP_RST});
    assert_null(fake_take_data(FAKE_FORWARD));
    rig_answer_initiate(NDIS_STATUS_SUCCESS);
    NET_BUFFER_LIST *nbl = fake_take_data(FAKE_FORWARD);
    assert_non_null(nbl);
    assert_null(NET_BUFFER_LIST_NEXT_NBL(nbl));
    fake.tcp.TcpOffloadForwardCompleteHandler(fake.binding, nbl);
}

/* ---- frames that nobody vouches for ---- */

/* The target believes what it is forwarded; what arrived damaged the peer sends again. */
static void
a_damaged_frame_while_the_target_is_asked(void **state)
{
    rig_until_initiate();
    rig_peer((struct rig_segment){.len = SEGMENT, .damaged = true});
    rig_peer((struct rig_segment){.len = SEGMENT, .summed = true});
    rig_answer_initiate(NDIS_STATUS_SUCCESS);
    NET_BUFFER_LIST *nbl = fake_take_data(FAKE_FORWARD);
    assert_non_null(nbl);
    assert_null(NET_BUFFER_LIST_NEXT_NBL(nbl));
    uint8_t header[20];
    const uint8_t *tcp = NdisGetDataBuffer(NET_BUFFER_LIST_FIRST_NB(nbl), sizeof header, header, 1,
                                           0);
    assert_int_equal(tcp[19], 0);
    fake.tcp.TcpOffloadForwardCompleteHandler(fake.binding, nbl);
    assert_null(fake_take_data(FAKE_FORWARD));
}

/* The kernel will not look at it, so what it acknowledges may have to be sent again. */
static void
a_damaged_acknowledgement_in_the_bridge(void **state)
{
    struct rig_frame frame;

    rig_ask();
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    rig_expect_to_peer(RIG_SND, SEGMENT, 0);
    rig.damaged = 1;
    rig_peer((struct rig_segment){.ack = RIG_SND + SEGMENT, .damaged = true});
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(rig.damaged, 0);
    assert_true(live_copies_cover(rig.conn, RIG_SND, RIG_SND + SEGMENT));
    rig_peer((struct rig_segment){.ack = RIG_SND + SEGMENT, .summed = true});
    assert_true(rig_to_kernel(&frame));
    assert_false(live_copies_cover(rig.conn, RIG_SND, RIG_SND + SEGMENT));
}

/* ---- windows and acknowledgements ---- */

/* A window that the kernel opens while both are held is told to the peer, although there is
 * nothing to acknowledge; after a closed one nobody would ever speak again. */
static void
a_window_update_falls_into_the_hold(void **state)
{
    struct rig_frame frame;

    rig.socket.rcv_wnd = 0;
    hold();
    rig_kernel((struct rig_segment){.ack = RIG_RCV + SEGMENT, .closed = true});
    rig_kernel((struct rig_segment){.ack = RIG_RCV + SEGMENT, .window = 32768});
    rig_expect_silence();
    settle_socket();
    rig.socket.rcv_wup = rig.socket.rcv_nxt;
    rig.socket.rcv_wnd = 32768;
    rig_pass(100);
    assert_int_equal(rig.conn->phase, LIVE_INITIATE);
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.ack, RIG_RCV + SEGMENT);
    assert_int_equal((uint32_t)frame.tcp.window << RIG_SCALE, 32768);
    rig_expect_silence();
}

/* The same when the bridge had told the acknowledgement already, and only the window is new. */
static void
only_the_window_is_new(void **state)
{
    struct rig_frame frame;

    rig.socket.rcv_wnd = 0;
    rig_ask();
    rig_kernel((struct rig_segment){.ack = RIG_RCV, .closed = true});
    rig_expect_to_peer(RIG_SND, 0, 0);
    rig.socket.rcv_wnd = 32768;
    rig_pass(LIVE_BRIDGE_MIN_US);
    assert_int_equal(rig.conn->phase, LIVE_INITIATE);
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.ack, RIG_RCV);
    assert_int_equal((uint32_t)frame.tcp.window << RIG_SCALE, 32768);
}

/* Everything received was acknowledged, by the bridge or before it: the peer sees nothing of the
 * move. */
static void
nothing_is_owed(void **state)
{
    rig_until_initiate();
    rig_expect_silence();
}

/* Received and taken, the acknowledgement delayed: the peer gets it from us. */
static void
an_acknowledgement_is_owed(void **state)
{
    struct rig_frame frame;

    rig.socket.rcv_nxt += SEGMENT;
    rig.socket.copied_seq += SEGMENT;
    rig_until_initiate();
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.ack, RIG_RCV + SEGMENT);
    rig_expect_silence();
}

/* … and while the target is asked: the target is told as soon as it has the connection. */
static void
a_window_update_while_the_target_is_asked(void **state)
{
    rig.socket.rcv_wnd = 0;
    rig_until_initiate();
    rig_kernel((struct rig_segment){.ack = RIG_RCV, .window = 32768});
    rig_answer_initiate(NDIS_STATUS_SUCCESS);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_UPDATE);
    assert_non_null(root);
    const TCP_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_FIRST(
        root->DependentBlockList->DependentBlockList);
    assert_true(cached->Flags & TCP_FLAG_UPDATE_RCV_WND);
    assert_int_equal(cached->InitialRcvWnd, 32768);
    fake_answer(FAKE_UPDATE, root, NDIS_STATUS_SUCCESS);
}

/* ---- backing out ---- */

/* A copy cannot be lent: nothing goes down, and all that was held goes on. */
static void
no_memory_for_a_copy(void **state)
{
    hold();
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    rig_kernel((struct rig_segment){.seq = RIG_SND + SEGMENT, .len = SEGMENT});
    settle_socket();
    rig.socket.snd_nxt = rig.socket.write_seq = RIG_SND + 2 * SEGMENT;
    fake.refuse_nbl = 3; /* behind the acknowledgement's and the first copy's */
    rig_pass(100);
    assert_int_equal(fake.refuse_nbl, 0);
    assert_int_equal(fake.call_count, 0);
    rig_expect_to_peer(RIG_SND + 2 * SEGMENT, 0, 0); /* the acknowledgement that was owed */
    rig_expect_to_peer(RIG_SND, SEGMENT, 0);
    rig_expect_to_peer(RIG_SND + SEGMENT, SEGMENT, 0);
    rig_expect_silence();
    assert_int_equal(rig.conn->phase, LIVE_RELEASE);
    assert_int_equal(rig.move.outcome, HOSTSTACK_REFUSED);
    assert_int_equal(rig.move.reason, HOSTSTACK_NO_MEMORY);
    assert_false(rig.steered);
}

static void
expect_refused(enum hoststack_reason reason)
{
    assert_int_equal(rig.move_count, 1);
    assert_int_equal(rig.move.outcome, HOSTSTACK_REFUSED);
    assert_int_equal(rig.move.reason, reason);
    assert_int_equal(rig.move.conn.moves_down, 0);
    assert_false(rig.steered);
}

/* The daemon ends: what has not gone down yet does not go down first. */
static void
shutting_down_in_the_bridge(void **state)
{
    rig_ask();
    rig_shut_down();
    expect_refused(HOSTSTACK_SHUTTING_DOWN);
}

static void
shutting_down_in_the_hold(void **state)
{
    struct rig_frame frame;

    hold();
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    rig_peer((struct rig_segment){.seq = RIG_RCV + SEGMENT, .len = SEGMENT});
    rig_expect_silence();
    fake_status(NDIS_STATUS_UPLOAD_ALL); /* takes the same way, and lets us watch */
    rig_expect_to_peer(RIG_SND, SEGMENT, 0);
    rig_turn();
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(frame.tcp.seq, RIG_RCV + SEGMENT);
    expect_refused(HOSTSTACK_TARGET_ASKED);
    rig_shut_down();
    assert_int_equal(rig.move_count, 1);
}

/* It would hold bytes that nobody else has: nothing goes down, and what was held goes on. */
static void
a_target_that_acknowledges_early(void **state)
{
    hold();
    rig_kernel((struct rig_segment){.seq = RIG_SND, .len = SEGMENT});
    settle_socket();
    rig.socket.snd_nxt = rig.socket.write_seq = RIG_SND + SEGMENT;
    rig.conn->port->binding->capabilities.Flags = 0;
    rig_pass(100);
    rig_expect_to_peer(RIG_SND + SEGMENT, 0, 0); /* the acknowledgement that was owed */
    rig_expect_to_peer(RIG_SND, SEGMENT, 0);
    rig_expect_silence();
    assert_int_equal(fake.call_count, 0);
    expect_refused(HOSTSTACK_TARGET_REFUSED);
}

int
main(void)
{
    static bool by_peer;
#define ADOPT_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        ADOPT_TEST(the_owner_resets_among_held_frames),
        ADOPT_TEST(the_peer_resets_among_held_frames),
        ADOPT_TEST(the_owner_resets_and_the_socket_is_gone),
        ADOPT_TEST(either_resets_while_the_frames_pass),
        cmocka_unit_test_prestate_setup_teardown(either_resets_while_the_frames_pass, rig_setup,
                                                 rig_teardown, &by_peer),
        ADOPT_TEST(the_owner_resets_while_the_target_is_asked),
        ADOPT_TEST(the_peer_resets_while_the_target_is_asked),
        ADOPT_TEST(a_damaged_frame_while_the_target_is_asked),
        ADOPT_TEST(a_damaged_acknowledgement_in_the_bridge),
        ADOPT_TEST(a_window_update_falls_into_the_hold),
        ADOPT_TEST(only_the_window_is_new),
        ADOPT_TEST(nothing_is_owed),
        ADOPT_TEST(an_acknowledgement_is_owed),
        ADOPT_TEST(a_window_update_while_the_target_is_asked),
        ADOPT_TEST(no_memory_for_a_copy),
        ADOPT_TEST(shutting_down_in_the_bridge),
        ADOPT_TEST(a_target_that_acknowledges_early),
        ADOPT_TEST(shutting_down_in_the_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
