/*
 * Connections that have negotiated ECN: what the kernel owes moves with them, down and up, both
 * legs speak it, and whom it would be lost on does not get them.
 */
#include "host/edge.h"
#include "host/linux/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SEGMENT 100u

static int
setup(void **state)
{
    rig_setup(state);
    rig.socket.ecn = 1;
    rig.conn->port->binding->capabilities.Flags |= NDIS_TCP_CONNECTION_OFFLOAD_FLAG_EXTENSION(
        TCP_OFFLOAD_EXTENSION_VERSION);
    return 0;
}

static TCP_OFFLOAD_STATE_CONST *
asked_constant(void)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake.calls[0].root;

    assert_int_equal(fake.calls[0].operation, FAKE_INITIATE);
    return NDIS_OFFLOAD_STATE_FIRST(root->DependentBlockList->DependentBlockList);
}

static TCP_OFFLOAD_STATE_EXTENSION *
asked_extension(void)
{
    TCP_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(asked_constant());
    TCP_OFFLOAD_STATE_DELEGATED *delegated = NDIS_OFFLOAD_STATE_NEXT(cached);

    return NDIS_OFFLOAD_STATE_NEXT(delegated);
}

static unsigned
ip_ecn(const struct rig_frame *frame)
{
    return frame->bytes[15] & 3;
}

/* ---- down ---- */

static void
nothing_owed(void **state)
{
    const USHORT flags = TCP_FLAG_ECN_ENABLED | TCP_FLAG_STATE_EXTENDED;

    rig_until_initiate();
    assert_int_equal(asked_constant()->Flags & flags, flags);
    assert_int_equal(asked_extension()->Version, TCP_OFFLOAD_EXTENSION_VERSION);
    assert_int_equal(asked_extension()->Flags, 0);
    rig_answer_initiate(NDIS_STATUS_SUCCESS);
    assert_int_equal(rig.conn->phase, LIVE_OFFLOADED);
}

/* Echo and CWR go down, and for what the window was reduced; the acknowledgement that was owed
 * carries the echo. */
static void
everything_owed(void **state)
{
    struct rig_frame frame;

    rig.socket.ecn_echo = rig.socket.ecn_cwr = 1;
    rig.socket.ca_state = 2;
    rig.socket.rcv_nxt += SEGMENT;
    rig.socket.copied_seq += SEGMENT;
    rig_until_initiate();
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.flags, TCP_ACK | TCP_ECE);
    assert_int_equal(ip_ecn(&frame), TCP_NOT_ECT);
    assert_int_equal(asked_extension()->Flags,
                     TCP_EXTENSION_ECN_ECHO | TCP_EXTENSION_ECN_CWR | TCP_EXTENSION_ECN_REACTED);
    assert_int_equal(asked_extension()->EcnSeq, RIG_SND);
    rig_answer_initiate(NDIS_STATUS_SUCCESS);
}

static void
expect_refused(void)
{
    assert_int_equal(fake.call_count, 0);
    assert_int_equal(rig.move_count, 1);
    assert_int_equal(rig.move.outcome, HOSTSTACK_REFUSED);
    assert_int_equal(rig.move.reason, HOSTSTACK_ECN);
    assert_int_equal(rig.conn->phase, LIVE_RELEASE);
    assert_false(rig.steered);
}

static void
a_target_without_the_extension(void **state)
{
    rig.conn->port->binding->capabilities.Flags = NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED;
    rig_ask();
    rig_pass(LIVE_BRIDGE_MIN_US);
    expect_refused();
}

static void
a_target_with_another_version(void **state)
{
    rig.conn->port->binding->capabilities.Flags = NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED |
                                                  NDIS_TCP_CONNECTION_OFFLOAD_FLAG_EXTENSION(
                                                      TCP_OFFLOAD_EXTENSION_VERSION + 1);
    rig_ask();
    rig_pass(LIVE_BRIDGE_MIN_US);
    expect_refused();
}

static void
accurate_ecn(void **state)
{
    rig.socket.accurate_ecn = 1;
    assert_int_equal(live_refusal(&rig.socket), HOSTSTACK_ECN);
}

/* Nobody is asked for an extension that nobody needs. */
static void
without_ecn(void **state)
{
    rig.socket.ecn = 0;
    rig_until_initiate();
    assert_int_equal(asked_constant()->Flags & (TCP_FLAG_ECN_ENABLED | TCP_FLAG_STATE_EXTENDED), 0);
    rig_answer_initiate(NDIS_STATUS_SUCCESS);
    rig_indicate(SEGMENT);
    rig_turn();
    struct rig_frame frame;
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(ip_ecn(&frame), TCP_NOT_ECT);
}

/* ---- the local leg ---- */

/* What the kernel gets may be marked, as the peer's could; its echo is answered with CWR, once. */
static void
the_kernel_echoes(void **state)
{
    struct rig_frame frame;

    rig_down();
    rig_indicate(SEGMENT);
    rig_turn();
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(ip_ecn(&frame), TCP_ECT0);
    assert_int_equal(frame.tcp.flags & (TCP_CWR | TCP_ECE), 0);
    rig_kernel((struct rig_segment){.ack = RIG_RCV + SEGMENT, .flags = TCP_ECE});
    rig_indicate(SEGMENT);
    rig_turn();
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(frame.tcp.flags & (TCP_CWR | TCP_ECE), TCP_CWR);
    rig_kernel((struct rig_segment){.ack = RIG_RCV + 2 * SEGMENT});
    rig_indicate(SEGMENT);
    rig_turn();
    assert_true(rig_to_kernel(&frame));
    assert_int_equal(frame.tcp.flags & (TCP_CWR | TCP_ECE), 0);
}

/* A mark that comes while the target is asked is not lost with the IP header. */
static void
a_mark_is_forwarded(void **state)
{
    rig_until_initiate();
    for (uint8_t ecn = 0; ecn < 4; ecn++)
        rig_peer((struct rig_segment){.len = SEGMENT, .ecn = ecn});
    rig_answer_initiate(NDIS_STATUS_SUCCESS);
    for (uintptr_t ecn = 0; ecn < 4; ecn++) {
        NET_BUFFER_LIST *nbl = fake_take_data(FAKE_FORWARD);
        assert_non_null(nbl);
        assert_int_equal((uintptr_t)NET_BUFFER_LIST_INFO(nbl, TcpForwardEcn), ecn);
        fake.tcp.TcpOffloadForwardCompleteHandler(fake.binding, nbl);
    }
}

/* ---- up ---- */

static uint8_t
flags_of_hand_back(USHORT version, USHORT flags)
{
    struct rig_frame frame;

    rig_down();
    live_upload(rig.conn, HOSTSTACK_NONE);
    rig_turn();
    rig_answer_query(RIG_SND);
    TCP_OFFLOAD_STATE_DELEGATED *delegated = NDIS_OFFLOAD_STATE_FIRST(
        fake.calls[0].root->DependentBlockList->DependentBlockList);
    TCP_OFFLOAD_STATE_EXTENSION *extension = NDIS_OFFLOAD_STATE_NEXT(delegated);
    extension->Version = version;
    extension->Flags = flags;
    rig_answer_terminate(RIG_SND, RIG_SND, RIG_TS_PEER);
    assert_true(rig_to_peer(&frame));
    assert_int_equal(frame.tcp.ack, RIG_RCV);
    return frame.tcp.flags;
}

static void
an_echo_comes_home(void **state)
{
    assert_int_equal(flags_of_hand_back(TCP_OFFLOAD_EXTENSION_VERSION, TCP_EXTENSION_ECN_ECHO),
                     TCP_ACK | TCP_ECE);
}

static void
no_echo_comes_home(void **state)
{
    assert_int_equal(flags_of_hand_back(TCP_OFFLOAD_EXTENSION_VERSION,
                                        TCP_EXTENSION_ECN_CWR | TCP_EXTENSION_ECN_REACTED),
                     TCP_ACK);
}

/* The room was not written to. */
static void
nothing_comes_home(void **state)
{
    assert_int_equal(flags_of_hand_back(0, TCP_EXTENSION_ECN_ECHO), TCP_ACK);
}

/* The kernel's last segment was one that may be marked, or was not: no change of the socket. */
static void
the_field_is_no_option(void **state)
{
    rig_down();
    rig.socket.tos = TCP_ECT0;
    rig_pass(LIVE_BEAT_US);
    assert_int_equal(fake.call_count, 0);
    rig.socket.tos = 0x28 | TCP_ECT0;
    rig_pass(LIVE_BEAT_US);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_UPDATE);
    assert_non_null(root);
    const TCP_OFFLOAD_STATE_CACHED *told = NDIS_OFFLOAD_STATE_FIRST(
        root->DependentBlockList->DependentBlockList);
    assert_int_equal(told->TosOrTrafficClass, 0x28);
    fake_answer(FAKE_UPDATE, root, NDIS_STATUS_SUCCESS);
}

int
main(void)
{
#define ECN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)
    const struct CMUnitTest tests[] = {
        ECN_TEST(nothing_owed),
        ECN_TEST(everything_owed),
        ECN_TEST(a_target_without_the_extension),
        ECN_TEST(a_target_with_another_version),
        ECN_TEST(accurate_ecn),
        ECN_TEST(without_ecn),
        ECN_TEST(the_kernel_echoes),
        ECN_TEST(a_mark_is_forwarded),
        ECN_TEST(an_echo_comes_home),
        ECN_TEST(no_echo_comes_home),
        ECN_TEST(nothing_comes_home),
        ECN_TEST(the_field_is_no_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
