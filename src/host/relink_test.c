/* Relinking paths, against a fake NDIS: what the trees name, what stays where it is while that is
 * under way, and what goes afterwards. */
#include "host/test_users.h"

static NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *
relink(struct heard *one, UCHAR mac)
{
    const UCHAR to[6] = {2, 0, 0, 0, 0, mac};

    assert_int_equal(host_relink(&one->conn, to), 0);
    return fake_take(FAKE_UPDATE);
}

/* ---- it works ---- */

static void
path_goes_under_the_other_neighbor(void **state)
{
    struct heard one, two;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n, *p;
    struct host_neighbor *from, *to;

    offload(&one, 2, 2);
    offload(&two, 3, 3);
    from = one.conn.path->neighbor;
    to = two.conn.path->neighbor;
    n = relink(&one, 3);
    p = n->DependentBlockList;
    assert_ptr_equal(n->OffloadHandle, &to->object.handle); /* V-026 */
    assert_ptr_equal(p->OffloadHandle, &one.conn.path->object.handle);
    assert_null(p->DependentBlockList);
    assert_int_equal((unsigned char *)p - (unsigned char *)n, sizeof *n); /* V-024: no state */
    assert_ptr_equal(one.conn.path->neighbor, from);
    fake_answer(FAKE_UPDATE, n, NDIS_STATUS_SUCCESS);
    assert_ptr_equal(one.conn.path->neighbor, to);
    n = fake_take(FAKE_TERMINATE); /* nothing leads over the old one */
    assert_ptr_equal(n->OffloadHandle, &from->object.handle);
    assert_null(n->DependentBlockList);
    fake_answer_terminate(n);
    upload(&two);
    upload(&one);
}

static void
old_neighbor_stays_for_others(void **state)
{
    struct heard one, two, three;

    offload(&one, 2, 2);
    offload(&two, 3, 3);
    offload(&three, 4, 2);
    fake_answer(FAKE_UPDATE, relink(&one, 3), NDIS_STATUS_SUCCESS);
    assert_int_equal(fake.call_count, 0);
    upload(&one);
    upload(&two);
    upload(&three);
}

/* ---- meanwhile ---- */

static void
objects_stay_while_they_are_relinked(void **state)
{
    struct heard one, two;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *update, *n;

    offload(&one, 2, 2);
    offload(&two, 3, 3);
    update = relink(&one, 3);
    host_terminate(&one.conn);
    host_terminate(&two.conn);
    for (unsigned i = 0; i < 2; i++) {
        n = fake_take(FAKE_TERMINATE);
        assert_null(n->OffloadHandle);
        assert_int_equal(n->DependentBlockList->OffloadHandle != NULL, i); /* the second's own */
        fake_answer_terminate(n);
    }
    assert_int_equal(fake.call_count, 0);
    fake_answer(FAKE_UPDATE, update, NDIS_STATUS_SUCCESS);
    fake_answer_terminate(fake_take(FAKE_TERMINATE)); /* the path, with its new neighbor */
    fake_answer_terminate(fake_take(FAKE_TERMINATE)); /* the old one */
}

static void
one_update_at_a_time(void **state)
{
    const UCHAR second[6] = {2, 0, 0, 0, 0, 2}, third[6] = {2, 0, 0, 0, 0, 3};
    struct heard one, two;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *update;

    offload(&one, 2, 2);
    offload(&two, 3, 3);
    update = relink(&one, 3);
    assert_int_equal(host_relink(&one.conn, third), -EBUSY); /* V-061 */
    assert_int_equal(host_update_path_mtu(&one.conn, 1400), -EBUSY);
    assert_int_equal(host_update_neighbor(binding, third, second), -EBUSY);
    assert_int_equal(host_invalidate(&one.conn, false), -EBUSY);
    fake_answer(FAKE_UPDATE, update, NDIS_STATUS_SUCCESS);
    fake_answer_terminate(fake_take(FAKE_TERMINATE));
    assert_int_equal(host_relink(&one.conn, third), 0); /* it is there */
    assert_int_equal(fake.call_count, 0);
    upload(&one);
    upload(&two);
}

/* ---- what goes wrong ---- */

static void
refusals_change_nothing(void **state)
{
    const UCHAR third[6] = {2, 0, 0, 0, 0, 3};
    struct heard one, two, three;

    ask(&one, 2, 2);
    assert_int_equal(host_relink(&one.conn, third), -EBUSY);
    answer_initiate();
    assert_int_equal(host_relink(&one.conn, third), -ENOENT);
    ask(&two, 3, 3);
    assert_int_equal(host_relink(&one.conn, third), -EBUSY); /* it is on its way */
    answer_initiate();
    ask(&three, 4, 3); /* names it */
    assert_int_equal(host_relink(&one.conn, third), -EBUSY);
    answer_initiate();
    assert_int_equal(fake.call_count, 0);
    upload(&one);
    upload(&two);
    upload(&three);
}

static void
failure_sends_its_users_home(void **state)
{
    struct heard one, two;
    struct host_neighbor *from;

    offload(&one, 2, 2);
    offload(&two, 3, 3);
    from = one.conn.path->neighbor;
    fake_answer(FAKE_UPDATE, relink(&one, 3), NDIS_STATUS_FAILURE);
    assert_int_equal(one.events, 1); /* V-069 */
    assert_int_equal(two.events, 0);
    assert_ptr_equal(one.conn.path->neighbor, from);
    upload(&one);
    upload(&two);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        USERS_TEST(path_goes_under_the_other_neighbor),
        USERS_TEST(old_neighbor_stays_for_others),
        USERS_TEST(objects_stay_while_they_are_relinked),
        USERS_TEST(one_update_at_a_time),
        USERS_TEST(refusals_change_nothing),
        USERS_TEST(failure_sends_its_users_home),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
