/* The protocol edge against a fake NDIS: the shape of every tree, who waits for whom, and what is
 * taken back when. */
#include "host/ndis_fake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct heard {
    struct host_conn conn;
    unsigned initiated, terminated, updated, queried, events, sent;
    struct host_initiate_result result;
    struct host_terminate_result end;
};

static struct host *host;
static struct host_binding *binding;
static unsigned runs, leavings;

static struct heard *
heard(struct host_conn *conn)
{
    return container_of(conn, struct heard, conn);
}

static void
on_initiated(struct host_conn *conn, const struct host_initiate_result *result)
{
    heard(conn)->initiated++;
    heard(conn)->result = *result;
}

static void
on_terminated(struct host_conn *conn, const struct host_terminate_result *result)
{
    heard(conn)->terminated++;
    heard(conn)->end = *result;
}

static void
on_updated(struct host_conn *conn, NDIS_STATUS status)
{
    heard(conn)->updated++;
}

static void
on_queried(struct host_conn *conn, NDIS_STATUS status, const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    heard(conn)->queried++;
}

static void
on_event(struct host_conn *conn, ULONG type, ULONG info)
{
    heard(conn)->events++;
}

static void
on_sent(struct host_conn *conn, NET_BUFFER_LIST *nbl)
{
    heard(conn)->sent++;
}

static const struct host_conn_ops conn_ops = {
    .on_initiated = on_initiated,
    .on_terminated = on_terminated,
    .on_updated = on_updated,
    .on_queried = on_queried,
    .on_sent = on_sent,
    .on_received = host_ignore_nbl,
    .on_disconnected = host_ignore_nbl,
    .on_forwarded = host_ignore_nbl,
    .on_indicate = host_refuse_indication,
    .on_event = on_event,
};

static void
on_running(void *arg, struct host_binding *which)
{
    runs++;
}

static void
on_frames(void *arg, struct host_binding *which, NET_BUFFER_LIST *nbls)
{
    host_return_frames(which, nbls);
}

static void
on_frames_sent(void *arg, struct host_binding *which, NET_BUFFER_LIST *nbls)
{
}

static const struct host_ops ops = {
    .on_running = on_running, .on_frames = on_frames, .on_frames_sent = on_frames_sent};

static int
setup(void **state)
{
    memset(&fake, 0, sizeof fake);
    fake.capabilities.SupportIPv4 = NDIS_OFFLOAD_SUPPORTED;
    fake.capabilities.SupportIPv6 = NDIS_OFFLOAD_SUPPORTED;
    fake.capabilities.TcpConnectionOffloadCapacity = 1000;
    runs = leavings = 0;
    host = host_create("test", &ops, NULL);
    binding = fake_start(host);
    assert_non_null(binding);
    assert_int_equal(runs, 1);
    return 0;
}

static int
teardown(void **state)
{
    fake_stop();
    assert_int_equal(fake.call_count, 0);
    assert_int_equal(fake.objects, 0);
    host_destroy(host);
    return 0;
}

/* ---- helpers ---- */

static struct host_initiate
what(UCHAR last_byte, UCHAR mac)
{
    struct host_initiate result = {
        .route = {.source = {10, 0, 0, 1},
                  .destination = {10, 0, 0, last_byte},
                  .destination_mac = {2, 0, 0, 0, 0, mac},
                  .path_mtu = 1500},
        .constant = {.RemoteMss = 1460},
        .cached = {.InitialRcvWnd = 65535},
        .delegated = {.State = TcpConnectionEstablished, .RcvNxt = 77},
    };
    return result;
}

static void
ask(struct heard *one, UCHAR last_byte, UCHAR mac)
{
    struct host_initiate initiate = what(last_byte, mac);

    memset(one, 0, sizeof *one);
    host_conn_init(&one->conn, &conn_ops);
    assert_int_equal(host_initiate(&one->conn, binding, &initiate), 0);
}

static void
offload(struct heard *one, UCHAR last_byte, UCHAR mac)
{
    ask(one, last_byte, mac);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_INITIATE);
    assert_non_null(root);
    fake_answer_initiate(root, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS);
    assert_int_equal(one->initiated, 1);
    assert_int_equal(one->conn.state, HOST_CONN_OFFLOADED);
}

static void
upload(struct heard *one)
{
    assert_int_equal(host_terminate(&one->conn), 0);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root = fake_take(FAKE_TERMINATE);
    assert_non_null(root);
    fake_answer_terminate(root);
    assert_int_equal(one->conn.state, HOST_CONN_HOST);
}

/* ---- trees ---- */

static void
parameters_are_set_before_running(void **state)
{
    assert_non_null(fake.oid);
    assert_int_equal(fake.oid->DATA.SET_INFORMATION.Oid, OID_TCP_CONNECTION_OFFLOAD_PARAMETERS);
    const NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS *parameters = fake.oid->DATA.SET_INFORMATION
                                                                   .InformationBuffer;
    assert_int_equal(parameters->TicksPerSecond, 1000);
    assert_int_equal(fake.events_completed, 1);
    assert_string_equal(host_binding_adapter(binding), "a0");
}

static void
first_tree_carries_every_state(void **state)
{
    struct heard one;

    ask(&one, 2, 2);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_INITIATE), *p = n->DependentBlockList,
                                     *t = p->DependentBlockList;
    assert_int_equal(n->Header.Type, NeighborOffloadState);
    assert_int_equal(p->Header.Type, Ip4OffloadState);
    assert_int_equal(t->Header.Type, TcpOffloadState);
    assert_null(t->DependentBlockList);
    assert_null(n->OffloadHandle->MiniportOffloadContext);
    assert_null(p->OffloadHandle->MiniportOffloadContext);

    const NEIGHBOR_OFFLOAD_STATE_CONST *nc = NDIS_OFFLOAD_STATE_FIRST(n);
    const NEIGHBOR_OFFLOAD_STATE_CACHED *nk = NDIS_OFFLOAD_STATE_NEXT(nc);
    const NEIGHBOR_OFFLOAD_STATE_DELEGATED *nd = NDIS_OFFLOAD_STATE_NEXT(nk);
    assert_int_equal(nc->Header.Length, sizeof *nc);
    assert_int_equal(nk->DlDestinationAddress[5], 2);
    assert_int_equal(nd->Header.Length, sizeof *nd);
    const PATH_OFFLOAD_STATE_CONST *pc = NDIS_OFFLOAD_STATE_FIRST(p);
    const PATH_OFFLOAD_STATE_CACHED *pk = NDIS_OFFLOAD_STATE_NEXT(pc);
    assert_int_equal(pc->DestinationAddress[3], 2);
    assert_int_equal(pk->PathMtu, 1500);
    const TCP_OFFLOAD_STATE_CONST *tc = NDIS_OFFLOAD_STATE_FIRST(t);
    const TCP_OFFLOAD_STATE_CACHED *tk = NDIS_OFFLOAD_STATE_NEXT(tc);
    const TCP_OFFLOAD_STATE_DELEGATED *td = NDIS_OFFLOAD_STATE_NEXT(tk);
    assert_int_equal(tc->RemoteMss, 1460);
    assert_int_equal(tk->InitialRcvWnd, 65535);
    assert_int_equal(td->RcvNxt, 77);
    assert_int_equal(td->Header.Length, sizeof *td);

    fake_answer_initiate(n, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS);
    assert_int_equal(one.result.tcp, NDIS_STATUS_SUCCESS);
    upload(&one);
}

static void
existing_objects_are_linkers(void **state)
{
    struct heard one, two, three;

    offload(&one, 2, 2);
    ask(&two, 2, 2);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_INITIATE), *p = n->DependentBlockList;
    assert_non_null(n->OffloadHandle->MiniportOffloadContext);
    assert_non_null(p->OffloadHandle->MiniportOffloadContext);
    assert_null(p->DependentBlockList->OffloadHandle->MiniportOffloadContext);
    fake_answer_initiate(n, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS);

    ask(&three, 3, 2); /* another peer behind the same neighbor */
    n = fake_take(FAKE_INITIATE);
    assert_non_null(n->OffloadHandle->MiniportOffloadContext);
    assert_null(n->DependentBlockList->OffloadHandle->MiniportOffloadContext);
    fake_answer_initiate(n, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS);
    upload(&one);
    upload(&two);
    upload(&three);
}

static void
last_user_takes_path_and_neighbor(void **state)
{
    struct heard one, two;

    offload(&one, 2, 2);
    offload(&two, 2, 2);
    host_terminate(&one.conn);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_TERMINATE);
    assert_null(n->OffloadHandle); /* placeholders */
    assert_null(n->DependentBlockList->OffloadHandle);
    assert_ptr_equal(n->DependentBlockList->DependentBlockList->OffloadHandle, &one.conn.handle);
    fake_answer_terminate(n);
    assert_int_equal(one.terminated, 1);

    host_terminate(&two.conn);
    n = fake_take(FAKE_TERMINATE);
    assert_non_null(n->OffloadHandle);
    assert_non_null(n->DependentBlockList->OffloadHandle);
    assert_int_equal(n->Header.Type, NeighborOffloadDelegatedState);
    fake_answer_terminate(n);
    assert_true(list_empty(&binding->neighbors) && list_empty(&binding->paths));
}

static void
two_leaving_at_once_leave_no_object(void **state)
{
    struct heard one, two;

    offload(&one, 2, 2);
    offload(&two, 2, 2);
    host_terminate(&one.conn);
    host_terminate(&two.conn);
    fake_answer_terminate(fake_take(FAKE_TERMINATE));
    fake_answer_terminate(fake_take(FAKE_TERMINATE));
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_TERMINATE); /* the objects alone */
    assert_non_null(n);
    assert_non_null(n->OffloadHandle);
    assert_null(n->DependentBlockList->DependentBlockList);
    fake_answer_terminate(n);
    assert_true(list_empty(&binding->neighbors) && list_empty(&binding->paths));
}

/* ---- failures ---- */

static void
partial_failure_takes_objects_back(void **state)
{
    struct heard one;

    ask(&one, 2, 2);
    fake_answer_initiate(fake_take(FAKE_INITIATE), NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS,
                         NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS, NDIS_STATUS_OFFLOAD_TCP_ENTRIES);
    assert_int_equal(one.result.tcp, NDIS_STATUS_OFFLOAD_TCP_ENTRIES);
    assert_int_equal(one.conn.state, HOST_CONN_HOST);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_TERMINATE);
    assert_non_null(n);
    assert_non_null(n->OffloadHandle);
    assert_non_null(n->DependentBlockList->OffloadHandle);
    fake_answer_terminate(n);
    assert_true(list_empty(&binding->neighbors));
}

static void
failed_root_leaves_nothing(void **state)
{
    struct heard one;

    ask(&one, 2, 2);
    fake_answer_initiate(fake_take(FAKE_INITIATE), NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES,
                         NDIS_STATUS_FAILURE, NDIS_STATUS_FAILURE);
    assert_int_equal(one.result.neighbor, NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES);
    assert_int_equal(fake.call_count, 0);
    assert_true(list_empty(&binding->neighbors) && list_empty(&binding->paths));
}

static void
failed_path_gives_its_new_neighbor_back(void **state)
{
    struct heard one;

    ask(&one, 2, 2);
    fake_answer_initiate(fake_take(FAKE_INITIATE), NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS,
                         NDIS_STATUS_OFFLOAD_PATH_ENTRIES, NDIS_STATUS_FAILURE);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_TERMINATE);
    assert_non_null(n);
    assert_null(n->DependentBlockList);
    fake_answer_terminate(n);
    assert_true(list_empty(&binding->neighbors));
}

static void
refusals_change_nothing(void **state)
{
    struct heard one;
    struct host_initiate initiate = what(2, 2);

    memset(&one, 0, sizeof one);
    host_conn_init(&one.conn, &conn_ops);
    binding->chimney = false;
    assert_int_equal(host_initiate(&one.conn, binding, &initiate), -EOPNOTSUPP);
    binding->chimney = true;
    binding->capabilities.SupportIPv4 = 0;
    assert_int_equal(host_initiate(&one.conn, binding, &initiate), -EOPNOTSUPP);
    binding->capabilities.SupportIPv4 = NDIS_OFFLOAD_SUPPORTED;
    binding->capabilities.TcpConnectionOffloadCapacity = 0;
    assert_int_equal(host_initiate(&one.conn, binding, &initiate), -ENOSPC); /* V-060 */
    binding->capabilities.TcpConnectionOffloadCapacity = 1;
    fake_status(NDIS_STATUS_OFFLOAD_PAUSE);
    assert_int_equal(host_initiate(&one.conn, binding, &initiate), -EAGAIN);
    fake_status(NDIS_STATUS_OFFLOAD_RESUME);
    assert_int_equal(host_terminate(&one.conn), -EBUSY);
    assert_int_equal(host_query(&one.conn), -EBUSY);
    assert_int_equal(one.initiated, 0);
    assert_int_equal(fake.call_count, 0);
    offload(&one, 2, 2);
    assert_int_equal(host_initiate(&one.conn, binding, &initiate), -EBUSY);
    upload(&one);
    offload(&one, 2, 2); /* there is room again */
    upload(&one);
}

/* ---- waiting ---- */

static void
initiates_go_one_at_a_time(void **state)
{
    struct heard one, two, three;

    ask(&one, 2, 2);
    ask(&two, 2, 2);
    ask(&three, 3, 3);
    assert_int_equal(fake.call_count, 1);
    assert_int_equal(two.conn.state, HOST_CONN_QUEUED);
    fake_answer_initiate(fake_take(FAKE_INITIATE), NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS,
                         NDIS_STATUS_SUCCESS);
    assert_int_equal(two.conn.state, HOST_CONN_INITIATING);
    assert_int_equal(three.conn.state, HOST_CONN_QUEUED);
    fake_answer_initiate(fake_take(FAKE_INITIATE), NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS,
                         NDIS_STATUS_SUCCESS);
    fake_answer_initiate(fake_take(FAKE_INITIATE), NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS,
                         NDIS_STATUS_SUCCESS);
    upload(&one);
    upload(&two);
    upload(&three);
}

static void
initiate_waits_for_a_path_that_leaves(void **state)
{
    struct heard one, two;

    offload(&one, 2, 2);
    host_terminate(&one.conn);
    ask(&two, 2, 2);
    assert_int_equal(fake.call_count, 1); /* the terminate only */
    fake_answer_terminate(fake_take(FAKE_TERMINATE));
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_INITIATE);
    assert_non_null(n);
    assert_null(n->OffloadHandle->MiniportOffloadContext); /* new again */
    fake_answer_initiate(n, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS);
    upload(&two);
}

static void
offload_pause_refuses_what_waits(void **state)
{
    struct heard one, two;

    ask(&one, 2, 2);
    ask(&two, 2, 2);
    fake_status(NDIS_STATUS_OFFLOAD_PAUSE);
    assert_int_equal(two.initiated, 1);
    assert_int_equal(two.result.tcp, NDIS_STATUS_PAUSED);
    assert_int_equal(one.initiated, 0); /* it is on its way */
    fake_answer_initiate(fake_take(FAKE_INITIATE), NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS,
                         NDIS_STATUS_SUCCESS);
    upload(&one);
}

static void
upload_all_brings_everything_home(void **state)
{
    struct heard one, two;

    offload(&one, 2, 2);
    offload(&two, 3, 3);
    fake_status(NDIS_STATUS_UPLOAD_ALL);
    fake_answer_terminate(fake_take(FAKE_TERMINATE));
    fake_answer_terminate(fake_take(FAKE_TERMINATE));
    assert_int_equal(one.terminated + two.terminated, 2);
}

static void
pause_waits_until_nothing_is_below(void **state)
{
    struct heard one, two, three;
    unsigned events = fake.events_completed;

    offload(&one, 2, 2);
    ask(&two, 2, 2);
    ask(&three, 2, 2);
    fake_pause();
    assert_int_equal(fake.events_completed, events);
    assert_int_equal(three.result.tcp, NDIS_STATUS_PAUSED);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *initiate = fake_take(FAKE_INITIATE);
    assert_non_null(initiate);
    fake_answer_initiate(initiate, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS);
    while (fake.call_count) {
        assert_int_equal(fake.events_completed, events);
        fake_answer_terminate(fake_take(FAKE_TERMINATE));
    }
    assert_int_equal(fake.events_completed, events); /* at any level; the answer is not */
    fake_run_work();
    assert_int_equal(fake.events_completed, events + 1);
    assert_int_equal(one.terminated + two.terminated, 2);
}

static void
pause_waits_for_sent_frames(void **state)
{
    UCHAR bytes[64] = {0};
    unsigned events = fake.events_completed;
    NET_BUFFER_LIST *nbl = host_nbl_create(host, bytes, sizeof bytes, NULL, 0);

    host_send_frames(binding, nbl);
    fake_pause();
    assert_int_equal(fake.events_completed, events);
    fake.driver.SendNetBufferListsCompleteHandler(fake.binding, nbl, 0);
    assert_int_equal(fake.events_completed, events); /* at any level; the answer is not */
    fake_run_work();
    assert_int_equal(fake.events_completed, events + 1);
    host_nbl_destroy(nbl);
}

/* ---- updates, queries, completions ---- */

static void
terminate_waits_for_updates_and_queries(void **state)
{
    struct heard one;
    TCP_OFFLOAD_STATE_CACHED cached = {.InitialRcvWnd = 1000};

    offload(&one, 2, 2);
    assert_int_equal(host_update(&one.conn, &cached), 0);
    assert_int_equal(host_update(&one.conn, &cached), -EBUSY);
    assert_int_equal(host_query(&one.conn), 0);
    assert_int_equal(host_query(&one.conn), 0);
    assert_int_equal(host_terminate(&one.conn), -EBUSY);
    fake_answer(FAKE_UPDATE, fake_take(FAKE_UPDATE), NDIS_STATUS_SUCCESS);
    fake_answer(FAKE_QUERY, fake_take(FAKE_QUERY), NDIS_STATUS_SUCCESS);
    assert_int_equal(host_terminate(&one.conn), -EBUSY);
    fake_answer(FAKE_QUERY, fake_take(FAKE_QUERY), NDIS_STATUS_SUCCESS);
    assert_int_equal(one.updated + one.queried, 3);
    upload(&one);
}

static void
neighbor_update_names_the_neighbor_only(void **state)
{
    struct heard one;
    UCHAR old_mac[6] = {2, 0, 0, 0, 0, 2}, new_mac[6] = {2, 0, 0, 0, 0, 9};

    offload(&one, 2, 2);
    assert_int_equal(host_update_neighbor(binding, old_mac, new_mac), 0);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_UPDATE);
    const NEIGHBOR_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_FIRST(n);
    assert_int_equal(n->Header.Type, NeighborOffloadCachedState);
    assert_null(n->DependentBlockList);
    assert_memory_equal(cached->DlDestinationAddress, new_mac, 6);
    assert_int_equal(host_update_neighbor(binding, new_mac, old_mac), -EBUSY); /* V-061 */
    fake_answer(FAKE_UPDATE, n, NDIS_STATUS_FAILURE);
    assert_int_equal(one.events, 1); /* V-069 */
    upload(&one);
}

static void
object_with_an_update_in_flight_stays(void **state)
{
    struct heard one;

    offload(&one, 2, 2);
    assert_int_equal(host_update_path_mtu(&one.conn, 1400), 0);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *update = fake_take(FAKE_UPDATE);
    host_terminate(&one.conn);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *n = fake_take(FAKE_TERMINATE);
    assert_null(n->DependentBlockList->OffloadHandle); /* not while it is updated */
    fake_answer_terminate(n);
    assert_int_equal(fake.call_count, 0);
    fake_answer(FAKE_UPDATE, update, NDIS_STATUS_SUCCESS);
    fake_answer_terminate(fake_take(FAKE_TERMINATE));
    assert_true(list_empty(&binding->neighbors));
}

static void
completions_find_their_connections(void **state)
{
    struct heard one, two;
    UCHAR bytes[16];

    offload(&one, 2, 2);
    offload(&two, 2, 2);
    NET_BUFFER_LIST *first = host_nbl_create(host, bytes, 8, bytes + 8, 8);
    NET_BUFFER_LIST *second = host_nbl_create(host, bytes, 16, NULL, 0);
    assert_int_equal(NET_BUFFER_LIST_FIRST_NB(first)->DataLength, 16);
    host_send(&one.conn, first);
    host_send(&two.conn, second);
    NET_BUFFER_LIST_NEXT_NBL(second) = first; /* one list for both */
    fake.tcp.TcpOffloadSendCompleteHandler(fake.binding, second);
    assert_int_equal(one.sent, 1);
    assert_int_equal(two.sent, 1);
    host_nbl_destroy(first);
    host_nbl_destroy(second);
    upload(&one);
    upload(&two);
}

#define EDGE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        EDGE_TEST(parameters_are_set_before_running),
        EDGE_TEST(first_tree_carries_every_state),
        EDGE_TEST(existing_objects_are_linkers),
        EDGE_TEST(last_user_takes_path_and_neighbor),
        EDGE_TEST(two_leaving_at_once_leave_no_object),
        EDGE_TEST(partial_failure_takes_objects_back),
        EDGE_TEST(failed_root_leaves_nothing),
        EDGE_TEST(failed_path_gives_its_new_neighbor_back),
        EDGE_TEST(refusals_change_nothing),
        EDGE_TEST(initiates_go_one_at_a_time),
        EDGE_TEST(initiate_waits_for_a_path_that_leaves),
        EDGE_TEST(offload_pause_refuses_what_waits),
        EDGE_TEST(upload_all_brings_everything_home),
        EDGE_TEST(pause_waits_until_nothing_is_below),
        EDGE_TEST(pause_waits_for_sent_frames),
        EDGE_TEST(terminate_waits_for_updates_and_queries),
        EDGE_TEST(neighbor_update_names_the_neighbor_only),
        EDGE_TEST(object_with_an_update_in_flight_stays),
        EDGE_TEST(completions_find_their_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
