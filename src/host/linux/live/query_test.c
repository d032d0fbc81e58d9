/*
 * Asking what the target knows: the answer, the questions that cannot be put, and what else may
 * happen to the connection while one is under way.
 */
#include "host/linux/test_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct {
    unsigned count;
    int error;
    uint32_t cwnd;
} heard;

static int
setup(void **state)
{
    memset(&heard, 0, sizeof heard);
    return rig_setup(state);
}

static void
hear(void *arg, int error, const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    assert_ptr_equal(arg, &heard);
    heard.count++;
    heard.error = error;
    heard.cwnd = delegated ? delegated->CWnd : 0;
}

static int
ask(void)
{
    struct hoststack_endpoint local = {.family = rig.key.family, .port = ntohs(rig.key.local_port)};
    struct hoststack_endpoint peer = {.family = rig.key.family, .port = ntohs(rig.key.peer_port)};

    memcpy(local.address, rig.key.local, 16);
    memcpy(peer.address, rig.key.peer, 16);
    return hoststack_query(rig.stack, &local, &peer, hear, &heard);
}

static NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *
the_question(void)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_QUERY);

    assert_non_null(root);
    return root;
}

static TCP_OFFLOAD_STATE_DELEGATED *
state_of(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root)
{
    return NDIS_OFFLOAD_STATE_FIRST(root->DependentBlockList->DependentBlockList);
}

/* The timestamp that the local leg shows is the watch's to renew, and does not move. */
static void
the_target_answers(void **state)
{
    rig_down();
    uint32_t stamp = rig.conn->local.config.ts_offset;
    for (unsigned i = 1; i <= 2; i++) {
        assert_int_equal(ask(), 0);
        assert_int_equal(heard.count, i - 1);
        NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = the_question();
        state_of(root)->CWnd = 1000 * i;
        state_of(root)->TsRecent = stamp + 7;
        fake_answer(FAKE_QUERY, root, NDIS_STATUS_SUCCESS);
        assert_int_equal(heard.count, i);
        assert_int_equal(heard.error, 0);
        assert_int_equal(heard.cwnd, 1000 * i);
    }
    assert_int_equal(rig.conn->local.config.ts_offset, stamp);
    assert_int_equal(rig.conn->phase, LIVE_OFFLOADED);
}

static void
one_question_at_a_time(void **state)
{
    rig_down();
    assert_int_equal(ask(), 0);
    assert_int_equal(ask(), -EBUSY);
    fake_answer(FAKE_QUERY, the_question(), NDIS_STATUS_SUCCESS);
    assert_int_equal(heard.count, 1);
}

static void
it_is_not_with_the_target(void **state)
{
    assert_int_equal(ask(), -ENOENT);
    rig_ask();
    assert_int_equal(ask(), -ENOENT);
    rig_pass(LIVE_BRIDGE_MIN_US);
    assert_int_equal(ask(), -ENOENT);
    rig.key.peer_port++;
    assert_int_equal(ask(), -ENOENT);
    rig.key.peer_port--;
    rig_answer_initiate(NDIS_STATUS_SUCCESS);
    assert_null(fake_take(FAKE_QUERY));
}

static void
the_target_does_not_say(void **state)
{
    rig_down();
    assert_int_equal(ask(), 0);
    fake_answer(FAKE_QUERY, the_question(), NDIS_STATUS_FAILURE);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.error, -EIO);
    assert_int_equal(rig.conn->phase, LIVE_TERMINATE);
    assert_int_equal(rig.conn->end_reason, HOSTSTACK_TARGET_ASKED);
}

/* A drain does not ask what is being asked already. */
static void
a_drain_hears_the_same_answer(void **state)
{
    rig_down();
    assert_int_equal(ask(), 0);
    live_upload(rig.conn, HOSTSTACK_NONE);
    rig_turn();
    assert_int_equal(rig.conn->phase, LIVE_DRAIN);
    rig_answer_query(RIG_SND);
    assert_int_equal(heard.count, 1);
    assert_int_equal(rig.conn->phase, LIVE_TERMINATE);
    assert_int_equal(ask(), -ENOENT);
}

static void
the_owner_resets_meanwhile(void **state)
{
    rig_down();
    assert_int_equal(ask(), 0);
    rig_kernel((struct rig_segment){.seq = RIG_SND, .flags = TCP_RST});
    fake_answer(FAKE_QUERY, the_question(), NDIS_STATUS_SUCCESS);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.error, 0);
}

#define QUERY_TEST(name) cmocka_unit_test_setup_teardown(name, setup, rig_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        QUERY_TEST(the_target_answers),
        QUERY_TEST(one_question_at_a_time),
        QUERY_TEST(it_is_not_with_the_target),
        QUERY_TEST(the_target_does_not_say),
        QUERY_TEST(a_drain_hears_the_same_answer),
        QUERY_TEST(the_owner_resets_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
