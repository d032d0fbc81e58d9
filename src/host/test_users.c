/* See test_users.h. */
#include "host/test_users.h"

static struct host *host;
struct host_binding *binding;

static void
on_initiated(struct host_conn *conn, const struct host_initiate_result *result)
{
}

static void
on_terminated(struct host_conn *conn, const struct host_terminate_result *result)
{
}

static void
on_event(struct host_conn *conn, ULONG type, ULONG info)
{
    assert_int_equal(type, TcpIndicateRetrieve);
    assert_int_equal(info, InvalidState);
    container_of(conn, struct heard, conn)->events++;
}

static const struct host_conn_ops conn_ops = {
    .on_initiated = on_initiated,
    .on_terminated = on_terminated,
    .on_updated = host_ignore_status,
    .on_queried = host_ignore_queried,
    .on_sent = host_ignore_nbl,
    .on_received = host_ignore_nbl,
    .on_disconnected = host_ignore_nbl,
    .on_forwarded = host_ignore_nbl,
    .on_indicate = host_refuse_indication,
    .on_event = on_event,
};

static void
on_running(void *arg, struct host_binding *which)
{
}

static void
on_list(void *arg, struct host_binding *which, NET_BUFFER_LIST *nbls)
{
}

static const struct host_ops ops = {
    .on_running = on_running, .on_frames = on_list, .on_frames_sent = on_list};

int
users_setup(void **state)
{
    memset(&fake, 0, sizeof fake);
    fake.capabilities.SupportIPv4 = NDIS_OFFLOAD_SUPPORTED;
    fake.capabilities.TcpConnectionOffloadCapacity = 1000;
    host = host_create("test", &ops, NULL);
    binding = fake_start(host);
    return !binding;
}

int
users_teardown(void **state)
{
    bool left = fake.call_count || !list_empty(&binding->neighbors) || !list_empty(&binding->paths);

    fake_stop();
    host_destroy(host);
    return left || fake.objects;
}

void
ask_mtu(struct heard *one, UCHAR last_byte, UCHAR mac, ULONG path_mtu)
{
    struct host_initiate what = {.route = {.source = {10, 0, 0, 1},
                                           .destination = {10, 0, 0, last_byte},
                                           .destination_mac = {2, 0, 0, 0, 0, mac},
                                           .path_mtu = path_mtu}};

    memset(one, 0, sizeof *one);
    host_conn_init(&one->conn, &conn_ops);
    assert_int_equal(host_initiate(&one->conn, binding, &what), 0);
}

void
ask(struct heard *one, UCHAR last_byte, UCHAR mac)
{
    ask_mtu(one, last_byte, mac, 1500);
}

void
answer_initiate(void)
{
    fake_answer_initiate(fake_take(FAKE_INITIATE), NDIS_STATUS_SUCCESS, NDIS_STATUS_SUCCESS,
                         NDIS_STATUS_SUCCESS);
}

void
offload(struct heard *one, UCHAR last_byte, UCHAR mac)
{
    ask(one, last_byte, mac);
    answer_initiate();
    assert_int_equal(one->conn.state, HOST_CONN_OFFLOADED);
}

void
upload(struct heard *one)
{
    assert_int_equal(host_terminate(&one->conn), 0);
    fake_answer_terminate(fake_take(FAKE_TERMINATE));
    assert_int_equal(one->conn.state, HOST_CONN_HOST);
}
