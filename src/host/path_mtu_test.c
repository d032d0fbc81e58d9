/* The MTU of a path that connections share, against a fake NDIS: who comes later may know better.
 */
#include "host/test_users.h"

static NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *
take_update(ULONG path_mtu)
{
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_UPDATE), *p = n->DependentBlockList;
    const PATH_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_FIRST(p);

    assert_int_equal(p->Header.Type, Ip4OffloadCachedState);
    assert_int_equal(cached->PathMtu, path_mtu);
    return n;
}

/* Whoever saw the change may have gone home with the news: it is of no use to him any more. */
static void
a_smaller_mtu_is_told_by_who_links(void **state)
{
    struct heard one, two;

    offload(&one, 2, 2);
    ask_mtu(&two, 2, 2, 1400);
    assert_int_equal(fake.call_count, 1); /* not before the answer */
    answer_initiate();
    fake_answer(FAKE_UPDATE, take_update(1400), NDIS_STATUS_SUCCESS);
    assert_int_equal(one.conn.path->mtu, 1400);
    assert_int_equal(host_update_path_mtu(&one.conn, 1400), 0);
    assert_int_equal(fake.call_count, 0); /* once */
    upload(&one);
    upload(&two);
}

/* That one may be right, or know nothing of what the others found out. */
static void
a_larger_mtu_is_not(void **state)
{
    struct heard one, two;

    offload(&one, 2, 2);
    ask_mtu(&two, 2, 2, 9000);
    answer_initiate();
    assert_int_equal(fake.call_count, 0);
    assert_int_equal(one.conn.path->mtu, 1500);
    upload(&one);
    upload(&two);
}

static void
it_waits_for_another_update(void **state)
{
    struct heard one, two;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *first;

    offload(&one, 2, 2);
    assert_int_equal(host_update_path_mtu(&one.conn, 1450), 0);
    first = take_update(1450);
    ask_mtu(&two, 2, 2, 1400);
    answer_initiate();
    assert_int_equal(fake.call_count, 0); /* V-061 */
    fake_answer(FAKE_UPDATE, first, NDIS_STATUS_SUCCESS);
    fake_answer(FAKE_UPDATE, take_update(1400), NDIS_STATUS_SUCCESS);
    assert_int_equal(fake.call_count, 0);
    upload(&one);
    upload(&two);
}

static void
it_waits_for_a_relink(void **state)
{
    struct heard one, two, other;
    const UCHAR to[6] = {2, 0, 0, 0, 0, 3};

    offload(&one, 2, 2);
    offload(&other, 3, 3);
    assert_int_equal(host_relink(&one.conn, to), 0);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *relink = fake_take(FAKE_UPDATE);
    ask_mtu(&two, 2, 2, 1400);
    answer_initiate();
    assert_int_equal(fake.call_count, 0);
    fake_answer(FAKE_UPDATE, relink, NDIS_STATUS_SUCCESS);
    fake_answer(FAKE_UPDATE, take_update(1400), NDIS_STATUS_SUCCESS);
    fake_answer_terminate(fake_take(FAKE_TERMINATE)); /* the old neighbor */
    upload(&one);
    upload(&two);
    upload(&other);
}

/* A refusal on the way down leaves the news to the next who comes. */
static void
who_is_refused_tells_nothing(void **state)
{
    struct heard one, two;

    offload(&one, 2, 2);
    ask_mtu(&two, 2, 2, 1400);
    fake_answer_initiate(fake_take(FAKE_INITIATE), NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS,
                         NDIS_STATUS_FAILURE);
    assert_int_equal(two.conn.state, HOST_CONN_HOST);
    assert_int_equal(fake.call_count, 0);
    upload(&one);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        USERS_TEST(a_smaller_mtu_is_told_by_who_links), USERS_TEST(a_larger_mtu_is_not),
        USERS_TEST(it_waits_for_another_update),        USERS_TEST(it_waits_for_a_relink),
        USERS_TEST(who_is_refused_tells_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
