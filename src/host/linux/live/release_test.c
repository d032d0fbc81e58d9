/*
 * The hand-back: what was lent, held or on its way when the target lets go reaches the other side,
 * and looks as if it had been sent now: the target has used the kernel's timestamp clock meanwhile,
 * and a peer drops what is older than what it has heard.
 */
#include "host/linux/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEGMENT 100u
#define TS_LATER (RIG_TS_PEER + 5000) /* the peer's clock when it was last heard */

static int
setup(void **state)
{
    rig_setup(state);
    rig_down();
    return 0;
}

/* The upload is asked for, the drain over, the target asked. */
static void
until_terminate(uint32_t snd_nxt)
{
    live_upload(rig.conn, HOSTSTACK_NONE);
    rig_turn();
    rig_answer_query(snd_nxt);
    assert_int_equal(rig.conn->phase, LIVE_TERMINATE);
}

/* The same when the wire does not get further than snd_nxt, and patience ends. */
static void
until_late_terminate(uint32_t snd_nxt)
{
    live_upload(rig.conn, HOSTSTACK_NONE);
    rig_turn();
    while (rig.conn->phase == LIVE_DRAIN) {
        if (fake.call_count)
            rig_answer_query(snd_nxt);
        rig_pass(1000);
    }
    assert_int_equal(rig.conn->phase, LIVE_TERMINATE);
}

static void
kernel_sends(struct rig_segment segment, uint32_t offset)
{
    segment.seq = RIG_SND + offset;
    segment.len = segment.len ? segment.len : SEGMENT;
    rig_kernel(segment);
}

/* The next frame to the peer is this one and carries the clock as it is now, and the newest of the
 * peer's stamps. */
static void
expect_fresh(uint32_t seq, uint32_t len)
{
    struct rig_frame frame;

    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.seq, seq);
    assert_int_equal(frame.tcp.payload_len, len);
    assert_true(frame.tcp.has_timestamp);
    assert_int_equal(frame.tcp.tsval, rig_clock());
    assert_int_equal(frame.tcp.tsecr, TS_LATER);
}

/* ---- the peer's bytes ---- */

/* The target delivers once more in the turn of the terminate and completes it in the same breath.
 */
static void
indicated_in_the_turn_of_the_terminate(void **state)
{
    struct rig_frame frame;

    until_terminate(RIG_SND);
    assert_int_equal(rig_indicate(SEGMENT), NDIS_STATUS_SUCCESS);
    rig_answer_terminate(RIG_SND, RIG_SND, TS_LATER);
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(frame.tcp.seq, RIG_RCV);
    assert_int_equal(frame.tcp.payload_len, SEGMENT);
    assert_true(rig_to_kernel(&frame)); /* and then what the peer has acknowledged */
    assert_int_equal(frame.tcp.payload_len, 0);
    assert_int_equal(frame.tcp.tsval, TS_LATER);
}

/* Nothing of the peer's is acknowledged that the kernel has not taken. */
static void
the_peer_is_told_what_the_kernel_has(void **state)
{
    struct rig_frame frame;

    assert_int_equal(rig_indicate(2 * SEGMENT), NDIS_STATUS_SUCCESS);
    rig_turn();
    assert_true(rig_to_kernel(&frame));
    rig_kernel((struct rig_segment){.ack = RIG_RCV + SEGMENT});
    until_terminate(RIG_SND);
    rig_answer_terminate(RIG_SND, RIG_SND, TS_LATER);
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.ack, RIG_RCV + SEGMENT);
}

/* ---- the kernel's bytes ---- */

/* The wire has not sent the second and third: they go out whole, in order, and are not old. */
static void
unsent_frames_after_a_late_drain(void **state)
{
    struct rig_frame frame;

    kernel_sends((struct rig_segment){.summed = *state != NULL}, 0);
    kernel_sends((struct rig_segment){.summed = *state != NULL}, SEGMENT);
    kernel_sends((struct rig_segment){.summed = *state != NULL}, 2 * SEGMENT);
    rig_expect_lent(RIG_SND, RIG_SND + 3 * SEGMENT);
    until_late_terminate(RIG_SND + SEGMENT);
    rig_answer_terminate(RIG_SND, RIG_SND + SEGMENT, TS_LATER);
    expect_fresh(RIG_SND + SEGMENT, SEGMENT);
    expect_fresh(RIG_SND + 2 * SEGMENT, SEGMENT);
    assert_true(rig_to_peer(&frame)); /* the acknowledgement: no newer than the bytes before it */
    assert_int_equal(frame.tcp.tsval, rig_clock());
    rig_pass(2 * LIVE_RELEASE_IDLE_US);
    assert_false(rig_to_peer(&frame));
}

/* The option may begin at an odd byte, and need not be there. */
static void
unsent_frames_with_other_options(void **state)
{
    struct rig_frame frame;

    kernel_sends((struct rig_segment){.summed = true, .odd_options = true}, 0);
    rig_expect_lent(RIG_SND, RIG_SND + SEGMENT);
    until_late_terminate(RIG_SND);
    rig_answer_terminate(RIG_SND, RIG_SND, TS_LATER);
    expect_fresh(RIG_SND, SEGMENT);
    assert_true(rig_to_peer(&frame));
    kernel_sends((struct rig_segment){.summed = true, .without_options = true}, SEGMENT);
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.seq, RIG_SND + SEGMENT);
    assert_int_equal(frame.tcp.payload_len, SEGMENT);
    assert_false(frame.tcp.has_timestamp);
}

/* What the kernel sends while the target hands back waits; then it must not look older than the
 * acknowledgement that goes before it. */
static void
frames_held_during_the_terminate(void **state)
{
    struct rig_frame frame;

    until_terminate(RIG_SND);
    kernel_sends((struct rig_segment){.summed = true}, 0);
    rig_expect_silence();
    rig_pass(LIVE_BEAT_US);
    rig_answer_terminate(RIG_SND, RIG_SND, TS_LATER);
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.payload_len, 0);
    assert_int_equal(frame.tcp.tsval, rig_clock());
    expect_fresh(RIG_SND, SEGMENT);
}

/* The kernel answers what it hears with a burst, past us once the key is gone. So all that goes to
 * the peer has left before, and nothing that makes it speak has reached it. */
static void
let_go_before_it_is_told(void **state)
{
    struct rig_frame frame;

    kernel_sends((struct rig_segment){.len = SEGMENT}, 0);
    rig_expect_lent(RIG_SND, RIG_SND + SEGMENT);
    until_late_terminate(RIG_SND);
    kernel_sends((struct rig_segment){.len = SEGMENT}, SEGMENT);
    rig_peer((struct rig_segment){.ack = RIG_SND});
    while (rig_to_kernel(&frame))
        ;
    struct wire_stats before;
    wire_read_stats(rig.tap[0], &before);
    rig_answer_terminate(RIG_SND, RIG_SND, TS_LATER);
    assert_int_equal(rig.removal.to_peer, 3);
    assert_int_equal(rig.removal.unflushed, 0);
    assert_int_equal(rig.removal.to_kernel, before.tx_frames);
    expect_fresh(RIG_SND, SEGMENT);
    rig_expect_to_peer(RIG_SND + SEGMENT, 0, 0);
    expect_fresh(RIG_SND + SEGMENT, SEGMENT);
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(frame.tcp.tsval, TS_LATER);
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(frame.tcp.tsval, RIG_TS_PEER);
}

/* Likewise what was in the TAP all the time. */
static void
frames_read_after_the_terminate(void **state)
{
    struct rig_frame frame;

    until_terminate(RIG_SND);
    rig_answer_terminate(RIG_SND, RIG_SND, TS_LATER);
    assert_true(rig_to_peer(&frame));
    kernel_sends((struct rig_segment){.tsval = rig_clock() - 10}, 0);
    expect_fresh(RIG_SND, SEGMENT);
    assert_int_equal(rig.conn->phase, LIVE_RELEASE);
}

/* The peer had finished long ago. */
static int
setup_close_wait(void **state)
{
    rig_setup(state);
    rig.socket.state = 8; /* CLOSE_WAIT */
    rig_down();
    return 0;
}

static void
repeat_the_end(void)
{
    rig_kernel((struct rig_segment){.seq = RIG_SND, .flags = TCP_FIN});
    rig_peer((struct rig_segment){.ack = RIG_SND + 1});
}

/* The kernel's close has been delivered and it has no socket any more; a FIN that it had repeated
 * before it heard so must not make the peer answer to nobody. A new connection may begin. */
static void
nothing_passes_when_both_have_closed(void **state)
{
    struct rig_frame frame;

    rig_kernel((struct rig_segment){.seq = RIG_SND, .flags = TCP_FIN});
    NET_BUFFER_LIST *nbl = fake_take_data(FAKE_DISCONNECT);
    assert_non_null(nbl);
    NET_BUFFER_LIST_STATUS(nbl) = NDIS_STATUS_SUCCESS;
    fake.tcp.TcpOffloadDisconnectCompleteHandler(fake.binding, nbl);
    rig_turn();
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(frame.tcp.ack, RIG_SND + 1);
    assert_int_equal(rig.conn->phase, LIVE_DRAIN);
    rig_kernel((struct rig_segment){.seq = RIG_SND, .flags = TCP_FIN});
    rig_answer_query(RIG_SND + 1);
    assert_int_equal(rig.conn->phase, LIVE_TERMINATE);
    repeat_the_end();
    rig_answer_terminate(RIG_SND + 1, RIG_SND + 1, TS_LATER);
    repeat_the_end();
    assert_int_equal(rig.conn->phase, LIVE_RELEASE);
    assert_false(rig_to_peer(&frame));
    assert_false(rig_to_kernel(&frame));
    rig_kernel((struct rig_segment){.seq = RIG_SND + 77, .flags = TCP_SYN});
    rig_expect_to_peer(RIG_SND + 77, 0, TCP_SYN);
}

/* The target says that it cannot: nobody knows what the wire had, so the kernel goes on as if it
 * had been alone all the time, and what waited in our hands is not said by us. */
static void
a_target_that_hands_nothing_back(void **state)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root;

    kernel_sends((struct rig_segment){.len = SEGMENT}, 0);
    rig_expect_lent(RIG_SND, RIG_SND + SEGMENT);
    until_late_terminate(RIG_SND);
    kernel_sends((struct rig_segment){.len = SEGMENT}, SEGMENT);
    rig_complete_send(NDIS_STATUS_REQUEST_ABORTED);
    root = fake_take(FAKE_TERMINATE);
    assert_non_null(root);
    for (NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *at = root; at; at = at->DependentBlockList) {
        at->Status = NDIS_STATUS_FAILURE;
        at->OffloadHandle->MiniportOffloadContext = NULL;
    }
    fake.generic.TerminateOffloadCompleteHandler(fake.binding, root);
    assert_int_equal(rig.conn->phase, LIVE_DEAD);
    assert_false(rig.steered);
    assert_int_equal(rig.move_count, 2);
    assert_int_equal(rig.move.ndis_status, (ULONG)NDIS_STATUS_FAILURE);
    assert_int_equal(rig.move.outcome, HOSTSTACK_DONE);
    assert_int_equal(rig.move.reason, HOSTSTACK_TARGET_FAILED);
    rig_turn();
    assert_null(live_find(rig.stack, &rig.key));
    rig_expect_silence();
}

/* The peer closes, and the owner as soon as it reads so: what the kernel says of both is read in
 * one turn. Its FIN is left to the kernel, which hears once, and from the peer, that it arrived. */
static void
both_close_in_one_turn(void **state)
{
    struct rig_frame frame;

    rig_event(TcpIndicateDisconnect, 0);
    rig_turn();
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(frame.tcp.flags & TCP_FIN, TCP_FIN);
    rig_kernel((struct rig_segment){.seq = RIG_SND, .ack = RIG_RCV + 1, .flags = TCP_FIN});
    assert_null(fake_take_data(FAKE_DISCONNECT));
    assert_int_equal(rig.conn->phase, LIVE_DRAIN);
    rig_answer_query(RIG_SND);
    assert_int_equal(rig.conn->phase, LIVE_TERMINATE);
    assert_false(rig_to_kernel(&frame));
    rig_answer_terminate(RIG_SND, RIG_SND, TS_LATER);
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.flags, TCP_FIN | TCP_ACK);
    assert_int_equal(frame.tcp.seq, RIG_SND);
    assert_int_equal(frame.tcp.ack, RIG_RCV + 1);
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(frame.tcp.ack, RIG_SND);
    assert_false(rig_to_kernel(&frame));
}

/* The kernel's own clock and echo, when they are newer than what we know, stay. */
static void
a_newer_stamp_stays(void **state)
{
    struct rig_frame frame;

    until_terminate(RIG_SND);
    rig_answer_terminate(RIG_SND, RIG_SND, RIG_TS_PEER - 1);
    assert_true(rig_to_peer(&frame));
    kernel_sends((struct rig_segment){.tsval = rig_clock() + 1}, 0);
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.tsval, rig_clock() + 1);
    assert_int_equal(frame.tcp.tsecr, RIG_TS_PEER);
}

/* The target refuses: the acknowledgement that was owed has been sent already, what came since is
 * behind it. */
static void
frames_held_during_a_refused_initiate(void **state)
{
    struct rig_frame frame;

    rig.socket.rcv_nxt += SEGMENT;
    rig.socket.copied_seq += SEGMENT;
    rig_until_initiate();
    assert_true(rig_to_peer(&frame));
    kernel_sends((struct rig_segment){.tsval = rig_clock() - 5}, 0);
    rig_expect_silence();
    rig_pass(LIVE_BEAT_US);
    rig_answer_initiate(NDIS_STATUS_FAILURE);
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.payload_len, SEGMENT);
    assert_int_equal(frame.tcp.tsval, rig_clock());
    assert_int_equal(frame.tcp.tsecr, RIG_TS_PEER);
    assert_int_equal(rig.move.reason, HOSTSTACK_TARGET_REFUSED);
    fake_answer_terminate(fake_take(FAKE_TERMINATE)); /* of the shared objects */
}

/* Nobody else has spoken: the bridge passes what it gets, byte for byte. */
static void
the_bridge_does_not_touch_stamps(void **state)
{
    struct rig_frame frame;

    rig_ask();
    kernel_sends((struct rig_segment){.tsval = 17}, 0);
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.tsval, 17);
    live_back_out(rig.conn, HOSTSTACK_NO_QUIET_MOMENT);
    kernel_sends((struct rig_segment){.tsval = 18}, SEGMENT);
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.tsval, 18);
}

/* Who would skip the drain is told, and it is not skipped. */
static void
no_way_past_the_drain(void **state)
{
    live_set_phase(rig.conn, LIVE_KERNEL, "test");
    assert_int_equal(rig.conn->phase, LIVE_OFFLOADED);
    live_set_phase(rig.conn, LIVE_RELEASE, "test");
    assert_int_equal(rig.conn->phase, LIVE_OFFLOADED);
    until_terminate(RIG_SND);
}

int
main(void)
{
    static bool summed;
#define RELEASE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
#define EARLY_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        RELEASE_TEST(indicated_in_the_turn_of_the_terminate),
        RELEASE_TEST(the_peer_is_told_what_the_kernel_has),
        RELEASE_TEST(unsent_frames_after_a_late_drain),
        cmocka_unit_test_prestate_setup_teardown(unsent_frames_after_a_late_drain, setup,
                                                 rig_teardown, &summed),
        RELEASE_TEST(unsent_frames_with_other_options),
        RELEASE_TEST(frames_held_during_the_terminate),
        RELEASE_TEST(let_go_before_it_is_told),
        RELEASE_TEST(frames_read_after_the_terminate),
        cmocka_unit_test_setup_teardown(nothing_passes_when_both_have_closed, setup_close_wait,
                                        rig_teardown),
        RELEASE_TEST(a_target_that_hands_nothing_back),
        RELEASE_TEST(both_close_in_one_turn),
        RELEASE_TEST(a_newer_stamp_stays),
        RELEASE_TEST(no_way_past_the_drain),
        EARLY_TEST(frames_held_during_a_refused_initiate),
        EARLY_TEST(the_bridge_does_not_touch_stamps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
