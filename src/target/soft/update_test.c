/*
 * Update: every cached variable of a connection, and what the wire shows of it (chimney 4.3, 8.1,
 * 8.3; R-26).
 */
#include "base/bytes.h"
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;
static struct rig_node node; /* of the update; state.cached is what the connection has */

static void
start(bool ipv6)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, ipv6, 0);
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
}

static void
prepare(void)
{
    TCP_OFFLOAD_STATE_CACHED cached = node.state.cached;

    rig_node_init(&node, TcpOffloadCachedState, &conn.tcp.handle);
    node.state.cached = cached.Header.Length ? cached : conn.tcp.cached;
    node.state.cached.Flags &= TCP_FLAG_KEEP_ALIVE_ENABLED | TCP_FLAG_NAGLING_ENABLED;
}

static void
update(NDIS_STATUS expected)
{
    NdisUpdateOffload(rig.binding, &node.block);
    rig_expect(&rig, "updated");
    assert_int_equal(node.block.Status, expected);
}

static void
finish(void)
{
    rig_conn_end(&rig, &conn);
    rig_turn(&rig);
    if (conn.ends[2].block.NetBufferListChain)
        rig_nbl_free(conn.ends[2].block.NetBufferListChain);
    rig_close(&rig);
    memset(&node, 0, sizeof node);
}

static void
send_bytes(uint32_t len)
{
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, len, 0, 0));
    rig_turn(&rig);
}

static const uint8_t *
last_ip(void)
{
    assert_true(rig.out_count > 0);
    return rig.out[rig.out_count - 1].ip;
}

/* ---- the IP header ---- */

static void
ipv4_fields(void **state)
{
    start(false);
    prepare();
    node.state.cached.TtlOrHopLimit = 3;
    node.state.cached.TosOrTrafficClass = 0xb8;
    update(NDIS_STATUS_SUCCESS);
    send_bytes(10);
    assert_int_equal(last_ip()[1], 0xb8);
    assert_int_equal(last_ip()[8], 3);
    prepare();
    node.state.cached.TtlOrHopLimit = 0; /* the target's own */
    update(NDIS_STATUS_SUCCESS);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 1, .ack = RIG_SND, .len = 1}); /* a hole: ACK */
    rig_turn(&rig);
    assert_int_equal(last_ip()[8], 64);
    finish();
}

static void
ipv6_fields(void **state)
{
    start(true);
    prepare();
    node.state.cached.TtlOrHopLimit = 3;
    node.state.cached.TosOrTrafficClass = 0xb8;
    node.state.cached.FlowLabel = 0x12345;
    update(NDIS_STATUS_SUCCESS);
    send_bytes(10);
    assert_int_equal(bytes_load_be32(last_ip()), 6u << 28 | 0xb8u << 20 | 0x12345);
    assert_int_equal(last_ip()[7], 3);
    finish();
}

/* ---- Nagle ---- */

static void
nagle(void **state)
{
    start(false);
    prepare();
    node.state.cached.Flags |= TCP_FLAG_NAGLING_ENABLED;
    update(NDIS_STATUS_SUCCESS);
    send_bytes(10);
    send_bytes(10); /* waits for the acknowledgement of the first */
    rig_expect_out(&rig, 1);
    prepare();
    node.state.cached.Flags &= (USHORT)~TCP_FLAG_NAGLING_ENABLED;
    update(NDIS_STATUS_SUCCESS);
    rig_expect_out(&rig, 2);
    assert_int_equal(rig.out[1].tcp.seq, RIG_SND + 10);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 20});
    rig_expect(&rig, "sent:ok:10 sent:ok:10");
    finish();
}

/* ---- keepalive ---- */

static void
enable_keepalive(UCHAR probes)
{
    prepare();
    node.state.cached.Flags |= TCP_FLAG_KEEP_ALIVE_ENABLED;
    node.state.cached.KaTimeout = 10000;
    node.state.cached.KaInterval = 1000;
    node.state.cached.KaProbeCount = probes;
    update(NDIS_STATUS_SUCCESS);
}

static void
keepalive(void **state)
{
    start(false);
    rig_pass(&rig, 60000000);
    enable_keepalive(3);
    rig_pass(&rig, 9900000);
    rig_expect_out(&rig, 0);
    rig_pass(&rig, 200000);
    rig_expect_out(&rig, 1);
    assert_int_equal(rig.out[0].tcp.seq, RIG_SND - 1);
    rig_pass(&rig, 2100000);
    rig_expect_out(&rig, 3);
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "event:retrieve:4"); /* TimeoutExpiration */
    finish();
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionClosed);
}

static void
keepalive_off(void **state)
{
    start(false);
    enable_keepalive(3);
    prepare();
    node.state.cached.Flags &= (USHORT)~TCP_FLAG_KEEP_ALIVE_ENABLED;
    update(NDIS_STATUS_SUCCESS);
    rig_pass(&rig, 60000000);
    rig_expect_out(&rig, 0);
    finish();
    assert_int_equal(rig_given_back(&conn)->KeepAlive.TimeoutDelta, TCP_OFFLOAD_TIMER_OFF);
}

/* KEEP_ALIVE_RESTART starts the idle time anew; MAX_RT_RESTART only if a keepalive variable
 * changes with it. */
static void
keepalive_restarts(void **state)
{
    start(false);
    enable_keepalive(3);
    rig_pass(&rig, 9000000);
    prepare();
    node.state.cached.Flags |= TCP_FLAG_MAX_RT_RESTART;
    update(NDIS_STATUS_SUCCESS); /* nothing of it changed: it goes on */
    rig_pass(&rig, 900000);
    rig_expect_out(&rig, 0);
    prepare();
    node.state.cached.Flags |= TCP_FLAG_KEEP_ALIVE_RESTART;
    update(NDIS_STATUS_SUCCESS);
    rig_pass(&rig, 9000000);
    rig_expect_out(&rig, 0);
    prepare();
    node.state.cached.Flags |= TCP_FLAG_MAX_RT_RESTART;
    node.state.cached.KaTimeout = 20000;
    update(NDIS_STATUS_SUCCESS);
    rig_pass(&rig, 19000000);
    rig_expect_out(&rig, 0);
    rig_pass(&rig, 1100000);
    rig_expect_out(&rig, 1);
    finish();
}

/* Not "as it was", but what it would be had it never been said: two hours, and ten probes a second
 * apart. */
static void
keepalive_zeros(void **state)
{
    start(false);
    enable_keepalive(3);
    prepare();
    node.state.cached.KaTimeout = node.state.cached.KaInterval = 0;
    node.state.cached.KaProbeCount = 0;
    node.state.cached.Flags |= TCP_FLAG_KEEP_ALIVE_RESTART;
    update(NDIS_STATUS_SUCCESS);
    rig_pass(&rig, 7199000000u);
    rig_expect_out(&rig, 0);
    rig_pass(&rig, 1500000);
    rig_expect_out(&rig, 1);
    rig_pass(&rig, 9000000);
    rig_expect_out(&rig, 10);
    rig_expect(&rig, "");
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "event:retrieve:4");
    finish();
}

/* ---- MaxRT ---- */

static void
max_rt(void **state)
{
    start(false);
    prepare();
    node.state.cached.MaxRT = 3000;
    update(NDIS_STATUS_SUCCESS);
    send_bytes(10);
    rig_pass(&rig, 2500000);
    rig_expect(&rig, "");
    prepare();
    node.state.cached.Flags |= TCP_FLAG_MAX_RT_RESTART; /* TotalRT is zero again */
    update(NDIS_STATUS_SUCCESS);
    rig_pass(&rig, 2000000);
    rig_expect(&rig, "");
    rig_pass(&rig, 5000000);
    rig_expect(&rig, "event:retrieve:4");
    finish();
}

static void
max_rt_unlimited(void **state)
{
    start(false);
    prepare();
    node.state.cached.MaxRT = TCP_OFFLOAD_MAX_RT_UNLIMITED;
    update(NDIS_STATUS_SUCCESS);
    send_bytes(10);
    rig_pass(&rig, 3600000000u);
    rig_expect(&rig, "");
    assert_true(rig.out_count > 20); /* more than the count would allow */
    finish();
}

/* ---- the receive window ---- */

static void
window(void **state)
{
    start(false);
    prepare();
    node.state.cached.InitialRcvWnd = 60000;
    node.state.cached.Flags |= TCP_FLAG_UPDATE_RCV_WND;
    update(NDIS_STATUS_SUCCESS); /* shown before: 65535, never taken back */
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 1000});
    rig_pass(&rig, 100000);
    assert_int_equal(rig.out[rig.out_count - 1].tcp.window, 65535 - 1000);
    rig.heard[0] = 0;
    rig_return(&rig, 0);
    rig_forget(&rig);
    prepare();
    node.state.cached.InitialRcvWnd = 65000;
    update(NDIS_STATUS_SUCCESS); /* without the flag nothing is said */
    rig_expect_out(&rig, 0);
    prepare();
    node.state.cached.InitialRcvWnd = 65535;
    node.state.cached.Flags |= TCP_FLAG_UPDATE_RCV_WND;
    update(NDIS_STATUS_SUCCESS);
    rig_expect_out(&rig, 1);
    assert_int_equal(rig.out[0].tcp.window, 65535);
    finish();
}

/* Too much: nothing of it takes effect, and the connection goes on. */
static void
refused(void **state)
{
    start(false);
    prepare();
    node.state.cached.InitialRcvWnd = 1u << 30;
    node.state.cached.TtlOrHopLimit = 3;
    update(NDIS_STATUS_FAILURE);
    send_bytes(10);
    assert_int_equal(last_ip()[8], 64);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 10});
    rig_expect(&rig, "sent:ok:10");
    finish();
}

/* A path that would move to another neighbor with an MTU that cannot be kept stays where it was. */
static void
refused_with_a_relink(void **state)
{
    struct rig_neighbor other;
    struct rig_node under, path;

    start(false);
    rig_neighbor_init(&other);
    memcpy(other.cached.DlDestinationAddress, "\x02\x77\x00\x00\x00\x01", 6);
    NdisInitiateOffload(rig.binding, &other.block);
    rig_expect(&rig, "initiated");
    rig_node_init(&under, NeighborOffloadState, &other.handle);
    rig_node_init(&path, Ip4OffloadCachedState, &conn.path.handle);
    path.state.path = conn.path.cached;
    path.state.path.PathMtu = 100000;
    under.block.DependentBlockList = &path.block;
    NdisUpdateOffload(rig.binding, &under.block);
    rig_expect(&rig, "updated");
    assert_int_equal(path.block.Status, NDIS_STATUS_FAILURE);
    send_bytes(10);
    rig_expect_out(&rig, 1);
    assert_memory_equal(rig.out[0].buf->data, conn.neighbor.cached.DlDestinationAddress, 6);
    rig_node_init(&under, NeighborOffloadDelegatedState, &other.handle);
    under.state.neighbor_delegated.Header.Length = sizeof under.state.neighbor_delegated;
    NdisTerminateOffload(rig.binding, &under.block);
    rig_expect(&rig, "terminated");
    assert_int_equal(under.block.Status, NDIS_STATUS_SUCCESS); /* nothing stands on it */
    finish();
}

/* ---- the flags of an update, at an initiate ---- */

static void
flags_at_the_initiate(void **state)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    conn.tcp.cached.Flags = TCP_FLAG_UPDATE_RCV_WND | TCP_FLAG_KEEP_ALIVE_RESTART |
                            TCP_FLAG_KEEP_ALIVE_ENABLED | TCP_FLAG_MAX_RT_RESTART;
    conn.tcp.cached.KaTimeout = 10000;
    conn.tcp.cached.KaInterval = 1000;
    conn.tcp.delegated.RcvWnd = 30000;
    conn.tcp.delegated.TotalRT = 5000;
    conn.tcp.delegated.KeepAlive.ProbeCount = 2;
    conn.tcp.delegated.KeepAlive.TimeoutDelta = 500;
    rig_conn_start(&rig, &conn);
    rig_expect_out(&rig, 1);
    assert_int_equal(rig.out[0].tcp.window, 65535);
    rig_pass(&rig, 9000000);
    rig_expect_out(&rig, 1);
    finish();
    assert_int_equal(rig_given_back(&conn)->TotalRT, 0);
    assert_int_equal(rig_given_back(&conn)->KeepAlive.ProbeCount, 0);
    assert_in_range(rig_given_back(&conn)->KeepAlive.TimeoutDelta, 900, 1000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_fields),
        cmocka_unit_test(ipv6_fields),
        cmocka_unit_test(nagle),
        cmocka_unit_test(keepalive),
        cmocka_unit_test(keepalive_off),
        cmocka_unit_test(keepalive_restarts),
        cmocka_unit_test(keepalive_zeros),
        cmocka_unit_test(max_rt),
        cmocka_unit_test(max_rt_unlimited),
        cmocka_unit_test(window),
        cmocka_unit_test(refused),
        cmocka_unit_test(refused_with_a_relink),
        cmocka_unit_test(flags_at_the_initiate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
