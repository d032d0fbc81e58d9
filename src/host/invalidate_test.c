/* Invalidating paths and neighbors, against a fake NDIS: what the trees name, who still gets the
 * objects, and when they go. */
#include "host/test_users.h"

static void
invalidate(struct heard *one, bool neighbor, NDIS_STATUS status)
{
    assert_int_equal(host_invalidate(&one->conn, neighbor), 0);
    fake_answer(FAKE_INVALIDATE, fake_take(FAKE_INVALIDATE), status);
}

/* ---- trees ---- */

static void
path_is_named_without_state(void **state)
{
    struct heard one;

    offload(&one, 2, 2);
    assert_int_equal(host_invalidate(&one.conn, false), 0);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_INVALIDATE), *p = n->DependentBlockList;
    assert_null(n->OffloadHandle);
    assert_ptr_equal(p->OffloadHandle, &one.conn.path->object.handle);
    assert_int_equal(p->Header.Type, Ip4OffloadState);
    assert_null(p->DependentBlockList);
    assert_int_equal((unsigned char *)p - (unsigned char *)n, sizeof *n); /* V-023 */
    fake_answer(FAKE_INVALIDATE, n, NDIS_STATUS_SUCCESS);
    assert_int_equal(one.events, 0); /* the target tells */
    upload(&one);
}

static void
neighbor_is_named_alone(void **state)
{
    struct heard one;

    offload(&one, 2, 2);
    assert_int_equal(host_invalidate(&one.conn, true), 0);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_INVALIDATE);
    assert_ptr_equal(n->OffloadHandle, &one.conn.path->neighbor->object.handle);
    assert_null(n->DependentBlockList);
    fake_answer(FAKE_INVALIDATE, n, NDIS_STATUS_SUCCESS);
    upload(&one);
}

static void
object_stays_while_it_is_invalidated(void **state)
{
    struct heard one;

    offload(&one, 2, 2);
    assert_int_equal(host_invalidate(&one.conn, false), 0);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *invalidate = fake_take(FAKE_INVALIDATE);
    host_terminate(&one.conn);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_TERMINATE);
    assert_null(n->DependentBlockList->OffloadHandle);
    fake_answer_terminate(n);
    assert_int_equal(fake.call_count, 0);
    fake_answer(FAKE_INVALIDATE, invalidate, NDIS_STATUS_SUCCESS);
    fake_answer_terminate(fake_take(FAKE_TERMINATE)); /* V-070 */
}

/* ---- who comes later ---- */

static void
newcomers_get_other_objects(void **state)
{
    for (int neighbor = 0; neighbor < 2; neighbor++) {
        struct heard one, two;

        offload(&one, 2, 2);
        invalidate(&one, neighbor, NDIS_STATUS_SUCCESS);
        ask(&two, 2, 2);
        NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake.calls[0].root;
        assert_int_equal(n->OffloadHandle->MiniportOffloadContext == NULL, neighbor);
        assert_null(n->DependentBlockList->OffloadHandle->MiniportOffloadContext);
        answer_initiate();
        assert_ptr_not_equal(one.conn.path, two.conn.path);
        upload(&one);
        upload(&two);
    }
}

static void
who_waits_gets_other_objects(void **state)
{
    struct heard one, two, three;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *first;

    offload(&one, 2, 2);
    ask(&two, 3, 3);
    first = fake_take(FAKE_INITIATE);
    ask(&three, 2, 2);
    assert_ptr_equal(one.conn.path, three.conn.path);
    invalidate(&one, false, NDIS_STATUS_SUCCESS);
    upload(&one);
    fake_answer_initiate(first, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS);
    assert_false(three.conn.path->object.invalid);
    fake_answer_terminate(fake_take(FAKE_TERMINATE)); /* the old path: its last user has left it */
    answer_initiate();
    assert_int_equal(three.conn.state, HOST_CONN_OFFLOADED);
    upload(&two);
    upload(&three);
}

/* ---- what goes wrong ---- */

static void
refusals_change_nothing(void **state)
{
    struct heard one, two;

    ask(&one, 2, 2);
    assert_int_equal(host_invalidate(&one.conn, false), -EBUSY);
    answer_initiate();
    ask(&two, 2, 2); /* names both objects */
    assert_int_equal(host_invalidate(&one.conn, false), -EBUSY);
    assert_int_equal(host_invalidate(&one.conn, true), -EBUSY);
    answer_initiate();
    assert_int_equal(host_update_path_mtu(&one.conn, 1400), 0);
    assert_int_equal(host_invalidate(&one.conn, false), -EBUSY); /* V-061 */
    fake_answer(FAKE_UPDATE, fake_take(FAKE_UPDATE), NDIS_STATUS_SUCCESS);
    assert_int_equal(fake.call_count, 0);
    upload(&one);
    upload(&two);
}

static void
once_is_enough(void **state)
{
    const UCHAR from[6] = {2, 0, 0, 0, 0, 2}, to[6] = {2, 0, 0, 0, 0, 9};
    struct heard one;

    offload(&one, 2, 2);
    invalidate(&one, true, NDIS_STATUS_SUCCESS);
    assert_int_equal(host_invalidate(&one.conn, true), 0);
    assert_int_equal(host_update_neighbor(binding, from, to), 0); /* there is none any more */
    assert_int_equal(fake.call_count, 0);
    invalidate(&one, false, NDIS_STATUS_SUCCESS);
    assert_int_equal(host_update_path_mtu(&one.conn, 1400), -EBUSY);
    upload(&one);
}

/* Then the target need not have told anybody. */
static void
failure_sends_its_users_home(void **state)
{
    struct heard one, two, three;

    offload(&one, 2, 2);
    offload(&two, 3, 2);
    offload(&three, 4, 4);
    invalidate(&one, true, NDIS_STATUS_FAILURE);
    assert_int_equal(one.events, 1);
    assert_int_equal(two.events, 1);
    assert_int_equal(three.events, 0);
    upload(&one);
    upload(&two);
    upload(&three);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        USERS_TEST(path_is_named_without_state),
        USERS_TEST(neighbor_is_named_alone),
        USERS_TEST(object_stays_while_it_is_invalidated),
        USERS_TEST(newcomers_get_other_objects),
        USERS_TEST(who_waits_gets_other_objects),
        USERS_TEST(refusals_change_nothing),
        USERS_TEST(once_is_enough),
        USERS_TEST(failure_sends_its_users_home),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
