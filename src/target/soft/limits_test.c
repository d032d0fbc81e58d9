/*
 * Limits: every documented reason to refuse a node, each with the option that brings it about, what
 * becomes of the rest of the tree, and that what was in use can be had again afterwards (chimney
 * 3).
 */
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;

/* N1 -> P1 -> T1, T2 and N1 -> P2 -> T3, and a second tree N2 */
static struct {
    struct rig_neighbor n1, n2, n3;
    struct rig_path p1, p2;
    struct rig_tcp t1, t2, t3;
} tree;

static void
start(const char *keyword, const char *value)
{
    const struct house_option options[] = {{keyword, value}, {NULL, NULL}};

    rig_open(&rig, options);
    rig_neighbor_init(&tree.n1);
    rig_neighbor_init(&tree.n2);
    rig_neighbor_init(&tree.n3);
    rig_path_init(&tree.p1, false);
    rig_path_init(&tree.p2, false);
    tree.p2.source[3] = 9;
    rig_tcp_init(&tree.t1, 4001, 0);
    rig_tcp_init(&tree.t2, 4002, 0);
    rig_tcp_init(&tree.t3, 4003, 0);
    tree.n1.block.DependentBlockList = &tree.p1.block;
    tree.p1.block.NextBlock = &tree.p2.block;
    tree.p1.block.DependentBlockList = &tree.t1.block;
    tree.t1.block.NextBlock = &tree.t2.block;
    tree.p2.block.DependentBlockList = &tree.t3.block;
}

static void
initiate(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *root)
{
    NdisInitiateOffload(rig.binding, root);
    rig_expect(&rig, "initiated");
}

static void
finish(void)
{
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t1.handle);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t2.handle);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t3.handle);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &tree.p1.handle);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &tree.p2.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &tree.n1.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &tree.n2.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &tree.n3.handle);
    rig_close(&rig);
}

/* In the order of the walk. */
#define assert_statuses(a, b, c, d, e, f)                                                          \
    assert_tree((const NDIS_STATUS[]){NDIS_STATUS_##a, NDIS_STATUS_##b, NDIS_STATUS_##c,           \
                                      NDIS_STATUS_##d, NDIS_STATUS_##e, NDIS_STATUS_##f})

static void
assert_tree(const NDIS_STATUS expected[6])
{
    const NDIS_STATUS got[6] = {tree.n1.block.Status, tree.p1.block.Status, tree.t1.block.Status,
                                tree.t2.block.Status, tree.p2.block.Status, tree.t3.block.Status};

    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(got[i], expected[i]);
}

/* ---- tables ---- */

static void
neighbors(void **state)
{
    start("NeighborCapacity", "1");
    initiate(&tree.n1.block);
    assert_statuses(SUCCESS, SUCCESS, SUCCESS, SUCCESS, SUCCESS, SUCCESS);
    initiate(&tree.n2.block);
    assert_int_equal(tree.n2.block.Status, NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES);
    assert_null(tree.n2.handle.MiniportOffloadContext);
    finish();
}

static void
paths(void **state)
{
    start("PathCapacity", "1");
    initiate(&tree.n1.block);
    assert_statuses(OFFLOAD_PARTIAL_SUCCESS, SUCCESS, SUCCESS, SUCCESS, OFFLOAD_PATH_ENTRIES,
                    FAILURE);
    assert_null(tree.p2.handle.MiniportOffloadContext);
    finish();
}

static void
connections(void **state)
{
    start("ConnectionCapacity", "1");
    rig.careless = true; /* V-060 */
    initiate(&tree.n1.block);
    assert_statuses(SUCCESS, OFFLOAD_PARTIAL_SUCCESS, SUCCESS, OFFLOAD_TCP_ENTRIES,
                    OFFLOAD_PARTIAL_SUCCESS, OFFLOAD_TCP_ENTRIES);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t1.handle);
    tree.p2.block.DependentBlockList = NULL;
    struct rig_node n, p;
    rig_node_init(&n, NeighborOffloadState, &tree.n1.handle);
    rig_node_init(&p, Ip4OffloadState, &tree.p2.handle);
    n.block.DependentBlockList = &p.block;
    p.block.DependentBlockList = &tree.t3.block;
    initiate(&n.block);
    assert_int_equal(tree.t3.block.Status, NDIS_STATUS_SUCCESS);
    finish();
}

/* ---- addresses and ids: one entry for all that use it, and free again after the last ---- */

static void
source_addresses(void **state)
{
    start("HwAddressCapacity", "1");
    memcpy(tree.n1.constant.DlSourceAddress, "\x02\0\0\0\0\xaa", 6);
    memcpy(tree.n2.constant.DlSourceAddress, "\x02\0\0\0\0\xab", 6);
    memcpy(tree.n3.constant.DlSourceAddress, "\x02\0\0\0\0\xaa", 6);
    initiate(&tree.n1.block);
    assert_statuses(SUCCESS, SUCCESS, SUCCESS, SUCCESS, SUCCESS, SUCCESS);
    initiate(&tree.n2.block);
    assert_int_equal(tree.n2.block.Status, NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES);
    initiate(&tree.n3.block);
    assert_int_equal(tree.n3.block.Status, NDIS_STATUS_SUCCESS);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &tree.n3.handle);
    initiate(&tree.n2.block); /* n1 still has it */
    assert_int_equal(tree.n2.block.Status, NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES);
    memcpy(tree.n2.constant.DlSourceAddress, "\x02\0\0\0\0\x01", 6); /* the adapter's own */
    initiate(&tree.n2.block);
    assert_int_equal(tree.n2.block.Status, NDIS_STATUS_SUCCESS);
    rig_forget(&rig);
    NdisOffloadTcpSend(&tree.t1.handle, rig_nbl(&rig, 10, 0, 0));
    rig_expect_out(&rig, 1); /* the source of every frame, and the destination */
    assert_memory_equal(rig.out[0].buf->data + 6, "\x02\0\0\0\0\xaa", 6);
    rig_peer(&rig,
             (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 10, .port = 4001, .station = 0xaa});
    rig_expect(&rig, "sent:ok:10");
    finish();
}

static void
no_source_addresses(void **state)
{
    start("HwAddressCapacity", "0");
    memcpy(tree.n1.constant.DlSourceAddress, "\x02\xaa\0\0\0\x01", 6);
    initiate(&tree.n1.block);
    assert_statuses(OFFLOAD_HW_ADDRESS_ENTRIES, FAILURE, FAILURE, FAILURE, FAILURE, FAILURE);
    initiate(&tree.n2.block);
    assert_int_equal(tree.n2.block.Status, NDIS_STATUS_SUCCESS);
    finish();
}

static void
ip_addresses(void **state)
{
    start("IpAddressCapacity", "1");
    initiate(&tree.n1.block);
    assert_statuses(OFFLOAD_PARTIAL_SUCCESS, SUCCESS, SUCCESS, SUCCESS, OFFLOAD_IP_ADDRESS_ENTRIES,
                    FAILURE);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t1.handle);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t2.handle);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &tree.p1.handle);
    struct rig_node n;
    rig_node_init(&n, NeighborOffloadState, &tree.n1.handle);
    n.block.DependentBlockList = &tree.p2.block;
    initiate(&n.block);
    assert_int_equal(tree.p2.block.Status, NDIS_STATUS_SUCCESS);
    finish();
}

/* The same four bytes in both families are two addresses. */
static void
ip_families(void **state)
{
    start("IpAddressCapacity", "1");
    rig_path_init(&tree.p2, true);
    memcpy(tree.p2.source, tree.p1.source, sizeof tree.p1.source);
    tree.p2.block.DependentBlockList = &tree.t3.block;
    initiate(&tree.n1.block);
    assert_statuses(OFFLOAD_PARTIAL_SUCCESS, SUCCESS, SUCCESS, SUCCESS, OFFLOAD_IP_ADDRESS_ENTRIES,
                    FAILURE);
    finish();
}

static void
vlan_ids(void **state)
{
    start("VlanCapacity", "1");
    tree.n1.constant.VlanId = 5;
    tree.n2.constant.VlanId = 6;
    initiate(&tree.n1.block);
    assert_statuses(SUCCESS, SUCCESS, SUCCESS, SUCCESS, SUCCESS, SUCCESS);
    initiate(&tree.n2.block);
    assert_int_equal(tree.n2.block.Status, NDIS_STATUS_OFFLOAD_VLAN_ENTRIES);
    tree.n3.constant.VlanId = 0; /* takes none */
    initiate(&tree.n3.block);
    assert_int_equal(tree.n3.block.Status, NDIS_STATUS_SUCCESS);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t1.handle);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t2.handle);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t3.handle);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &tree.p1.handle);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &tree.p2.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &tree.n1.handle);
    initiate(&tree.n2.block);
    assert_int_equal(tree.n2.block.Status, NDIS_STATUS_SUCCESS);
    finish();
}

/* A VLAN that was taken for a neighbor that then is refused for another reason is free again. */
static void
refused_halfway(void **state)
{
    const struct house_option options[] = {
        {"VlanCapacity", "1"}, {"HwAddressCapacity", "0"}, {NULL, NULL}};

    rig_open(&rig, options);
    rig_conn_init(&conn, false, 0);
    conn.neighbor.constant.VlanId = 5;
    memcpy(conn.neighbor.constant.DlSourceAddress, "\x02\xaa\0\0\0\x01", 6);
    initiate(&conn.neighbor.block);
    assert_int_equal(conn.neighbor.block.Status, NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES);
    rig_conn_init(&conn, false, 0);
    conn.neighbor.constant.VlanId = 6;
    rig_conn_start(&rig, &conn);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    rig_close(&rig);
}

/* ---- sizes ---- */

static void
path_mtu(void **state)
{
    struct rig_node node;

    start("MaxPathMtu", "1400");
    tree.p1.cached.PathMtu = 1401;
    tree.p2.cached.PathMtu = 1400;
    initiate(&tree.n1.block);
    assert_statuses(OFFLOAD_PARTIAL_SUCCESS, OFFLOAD_PATH_MTU, FAILURE, FAILURE, SUCCESS, SUCCESS);
    rig_node_init(&node, Ip4OffloadCachedState, &tree.p2.handle);
    node.state.path.Header.Length = sizeof node.state.path;
    node.state.path.PathMtu = 1401;
    NdisUpdateOffload(rig.binding, &node.block);
    rig_expect(&rig, "updated");
    assert_int_equal(node.block.Status, NDIS_STATUS_FAILURE);
    finish();
}

static void
receive_window(void **state)
{
    start("MaxReceiveWindow", "65535");
    tree.t2.cached.InitialRcvWnd = 65536;
    initiate(&tree.n1.block);
    assert_statuses(SUCCESS, OFFLOAD_PARTIAL_SUCCESS, SUCCESS, OFFLOAD_TCP_RCV_WINDOW, SUCCESS,
                    SUCCESS);
    finish();
}

static void
send_data(void **state)
{
    NET_BUFFER_LIST *nbl;

    start("MaxSendData", "99");
    nbl = rig_nbl(&rig, 100, 0, 0);
    tree.t2.block.NetBufferListChain = nbl;
    tree.t2.delegated.SendDataHead = tree.t2.delegated.SendDataTail = nbl;
    initiate(&tree.n1.block);
    assert_statuses(SUCCESS, OFFLOAD_PARTIAL_SUCCESS, SUCCESS, OFFLOAD_TCP_XMIT_BUFFER, SUCCESS,
                    SUCCESS);
    rig_nbl_free(nbl); /* still ours (V-051) */
    finish();
}

static void
buffered_data(void **state)
{
    NET_BUFFER_LIST *nbl;

    start("MaxBufferedData", "99");
    nbl = rig_nbl(&rig, 100, 0, 0);
    tree.t2.delegated.BufferedData = nbl;
    tree.t2.delegated.RcvNxt = RIG_RCV + 100;
    initiate(&tree.n1.block);
    assert_statuses(SUCCESS, OFFLOAD_PARTIAL_SUCCESS, SUCCESS, OFFLOAD_TCP_RCV_BUFFER, SUCCESS,
                    SUCCESS);
    rig_nbl_free(nbl);
    finish();
}

/* ---- the budget of windows ---- */

/* In order, delivered and given back. */
static void
arrive(uint16_t port, uint32_t *arrived, uint32_t len)
{
    rig_peer(&rig,
             (struct rig_in){.seq = RIG_RCV + *arrived, .ack = RIG_SND, .len = len, .port = port});
    *arrived += len;
    rig_turn(&rig);
    while (rig.kept_count)
        rig_return(&rig, --rig.kept_count);
    rig_pass(&rig, 50000);
    rig.heard[0] = 0;
    rig.got_count = 0;
}

static uint32_t
last_edge(void)
{
    const struct tcp_segment *tcp = &rig.out[rig.out_count - 1].tcp;

    assert_true(rig.out_count > 0);
    return tcp->ack + tcp->window;
}

/* Alone a connection has all it wants; with others its window runs down to its part, never
 * backwards, and it has it all again when they are gone. */
static void
budget(void **state)
{
    uint32_t arrived = 0, edge;

    start("ReceiveBudget", "90000");
    tree.p1.block.NextBlock = NULL;
    tree.t1.block.NextBlock = NULL;
    initiate(&tree.n1.block);
    arrive(4001, &arrived, 1000);
    edge = last_edge();
    assert_int_equal(edge, RIG_RCV + 1000 + 65535);
    struct rig_node n, p;
    rig_node_init(&n, NeighborOffloadState, &tree.n1.handle);
    rig_node_init(&p, Ip4OffloadState, &tree.p1.handle);
    n.block.DependentBlockList = &p.block;
    p.block.DependentBlockList = &tree.t2.block;
    tree.t2.block.NextBlock = &tree.t3.block;
    initiate(&n.block);
    assert_int_equal(tree.t3.block.Status, NDIS_STATUS_SUCCESS);
    for (int i = 0; i < 60; i++) {
        rig_forget(&rig);
        arrive(4001, &arrived, 1000);
        assert_true(seq_after_eq(last_edge(), edge));
        edge = last_edge();
    }
    assert_in_range(edge - (RIG_RCV + arrived), 29000, 30000);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t2.handle);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t3.handle);
    rig_forget(&rig);
    arrive(4001, &arrived, 1000);
    assert_int_equal(last_edge() - (RIG_RCV + arrived), 65535);
    finish();
}

static void
budget_spent(void **state)
{
    start("ReceiveBudget", "8192");
    initiate(&tree.n1.block);
    assert_statuses(SUCCESS, SUCCESS, SUCCESS, SUCCESS, OFFLOAD_PARTIAL_SUCCESS,
                    OFFLOAD_TCP_RCV_BUFFER);
    finish();
}

/* ---- not worth it ---- */

static void
small_segments(void **state)
{
    start("MinSegment", "1000");
    tree.t1.constant.RemoteMss = 536;
    tree.t2.constant.RemoteMss = 999;
    initiate(&tree.n1.block);
    assert_statuses(SUCCESS, OFFLOAD_PARTIAL_SUCCESS, OFFLOAD_CONNECTION_REJECTED,
                    OFFLOAD_CONNECTION_REJECTED, SUCCESS, SUCCESS);
    finish();
}

static void
one_family(void **state)
{
    start("*TCPConnectionOffloadIPv4", "0");
    initiate(&tree.n1.block);
    assert_statuses(OFFLOAD_PARTIAL_SUCCESS, OFFLOAD_CONNECTION_REJECTED, FAILURE, FAILURE,
                    OFFLOAD_CONNECTION_REJECTED, FAILURE);
    finish();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(neighbors),           cmocka_unit_test(paths),
        cmocka_unit_test(connections),         cmocka_unit_test(source_addresses),
        cmocka_unit_test(no_source_addresses), cmocka_unit_test(ip_addresses),
        cmocka_unit_test(ip_families),         cmocka_unit_test(vlan_ids),
        cmocka_unit_test(refused_halfway),     cmocka_unit_test(path_mtu),
        cmocka_unit_test(receive_window),      cmocka_unit_test(send_data),
        cmocka_unit_test(buffered_data),       cmocka_unit_test(budget),
        cmocka_unit_test(budget_spent),        cmocka_unit_test(small_segments),
        cmocka_unit_test(one_family),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
