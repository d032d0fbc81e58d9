/*
 * The hand-back: what was indicated when the target lets go reaches the kernel, and the peer is
 * told what the kernel has taken.
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

int
main(void)
{
#define RELEASE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        RELEASE_TEST(indicated_in_the_turn_of_the_terminate),
        RELEASE_TEST(the_peer_is_told_what_the_kernel_has),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
