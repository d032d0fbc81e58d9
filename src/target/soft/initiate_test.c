/*
 * Initiate, update, query, invalidate: statuses of every role, what is written and what is not,
 * what takes effect.
 */
#include "base/bytes.h"
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;

/* N1 -> P1 -> T1, T2 and N1 -> P2 -> T3 */
static struct {
    struct rig_neighbor n1, n2;
    struct rig_path p1, p2;
    struct rig_tcp t1, t2, t3;
} tree;

static void
build_tree(void)
{
    rig_neighbor_init(&tree.n1);
    rig_neighbor_init(&tree.n2);
    rig_path_init(&tree.p1, false);
    rig_path_init(&tree.p2, false);
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
    assert_string_equal(rig.heard, ""); /* never on the stack of the call */
    rig_expect(&rig, "initiated");
}

static const struct house_option one_connection[] = {{"ConnectionCapacity", "1"}, {NULL, NULL}};

/* The worked example: T2 finds the table full, P2 cannot be kept, T3 is not tried. */
static void
partial_failure(void **state)
{
    rig_open(&rig, one_connection);
    assert_int_equal(rig.capabilities.TcpConnectionOffloadCapacity, 1);
    assert_true(rig.capabilities.Flags & NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED);
    build_tree();
    tree.p2.cached.PathMtu = 9000;
    rig.careless = true; /* V-060 */
    initiate(&tree.n1.block);
    assert_int_equal(tree.n1.block.Status, NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS);
    assert_int_equal(tree.p1.block.Status, NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS);
    assert_int_equal(tree.t1.block.Status, NDIS_STATUS_SUCCESS);
    assert_int_equal(tree.t2.block.Status, NDIS_STATUS_OFFLOAD_TCP_ENTRIES);
    assert_int_equal(tree.p2.block.Status, NDIS_STATUS_OFFLOAD_PATH_MTU);
    assert_int_equal(tree.t3.block.Status, NDIS_STATUS_FAILURE);
    assert_non_null(tree.n1.handle.MiniportOffloadContext);
    assert_non_null(tree.t1.handle.MiniportOffloadContext);
    assert_null(tree.t2.handle.MiniportOffloadContext);
    assert_null(tree.p2.handle.MiniportOffloadContext);
    assert_null(tree.t3.handle.MiniportOffloadContext);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t1.handle);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &tree.p1.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &tree.n1.handle);
    rig_close(&rig);
}

/* A failed root ends the walk; its sibling is not tried (V-040). */
static void
root_fails(void **state)
{
    static const struct house_option own_vlan[] = {{"VlanId", "5"}, {NULL, NULL}};

    rig_open(&rig, own_vlan);
    build_tree();
    tree.n1.block.NextBlock = &tree.n2.block;
    tree.n1.constant.VlanId = 7;
    initiate(&tree.n1.block);
    assert_int_equal(tree.n1.block.Status, NDIS_STATUS_OFFLOAD_VLAN_MISMATCH);
    assert_int_equal(tree.p1.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(tree.t1.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(tree.p2.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(tree.n2.block.Status, NDIS_STATUS_FAILURE);
    assert_null(tree.n2.handle.MiniportOffloadContext);
    rig_close(&rig);
}

/* Linkers take their status from their dependents; a placeholder is always SUCCESS. */
static void
linkers_and_placeholders(void **state)
{
    struct rig_node n, p;

    rig_open(&rig, NULL);
    build_tree();
    tree.p1.block.NextBlock = NULL;
    tree.t1.block.NextBlock = NULL;
    initiate(&tree.n1.block);
    rig_node_init(&n, NeighborOffloadState, &tree.n1.handle);
    rig_node_init(&p, Ip4OffloadState, &tree.p1.handle);
    n.block.DependentBlockList = &p.block;
    p.block.DependentBlockList = &tree.t2.block;
    tree.t2.block.NextBlock = &tree.t3.block;
    tree.t3.cached.InitialRcvWnd = 1u << 30;
    initiate(&n.block);
    assert_int_equal(tree.t2.block.Status, NDIS_STATUS_SUCCESS);
    assert_int_equal(tree.t3.block.Status, NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW);
    assert_int_equal(p.block.Status, NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS);
    assert_int_equal(n.block.Status, NDIS_STATUS_SUCCESS);
    rig_tcp_init(&tree.t3, 4002, 0); /* the 4-tuple of T2 */
    p.block.DependentBlockList = &tree.t3.block;
    initiate(&n.block);
    assert_int_equal(tree.t3.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(p.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(n.block.Status, NDIS_STATUS_FAILURE);
    rig_node_init(&p, Ip4OffloadState, NULL);
    rig_tcp_init(&tree.t3, 4003, 0);
    n.block.DependentBlockList = &p.block;
    p.block.DependentBlockList = &tree.t3.block; /* stands on nothing, V-059 */
    rig.careless = true;
    initiate(&n.block);
    assert_int_equal(p.block.Status, NDIS_STATUS_SUCCESS);
    assert_int_equal(tree.t3.block.Status, NDIS_STATUS_FAILURE);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t1.handle);
    rig_object_end(&rig, TcpOffloadDelegatedState, &tree.t2.handle);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &tree.p1.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &tree.n1.handle);
    rig_close(&rig);
}

/* Nothing stands on a connection (found by the fuzzer). The verifier would keep it from us. */
static void
under_a_connection(void **state)
{
    struct rig_conn conn;

    rig_open(&rig, NULL);
    house_detach_observer(rig.house, verifier_observer(rig.verifier));
    build_tree();
    rig_conn_init(&conn, false, 0);
    conn.tcp.block.DependentBlockList = &tree.t3.block;
    initiate(&conn.neighbor.block);
    assert_int_equal(tree.t3.block.Status, NDIS_STATUS_FAILURE);
    assert_null(tree.t3.handle.MiniportOffloadContext);
    assert_int_equal(conn.tcp.block.Status, NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS);
    assert_int_equal(conn.path.block.Status, NDIS_STATUS_SUCCESS);
    rig_object_end(&rig, TcpOffloadDelegatedState, &conn.tcp.handle);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &conn.path.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &conn.neighbor.handle);
    rig_close(&rig);
}

/* [SndUna, SndNxt) waits for its acknowledgement, [SndNxt, SndMax) goes first, then the rest
 * (V-089). */
static void
send_chain(void **state)
{
    struct rig_conn conn;
    NET_BUFFER_LIST *first, *second;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    first = rig_nbl(&rig, 100, 0, 0);
    second = rig_nbl(&rig, 200, 100, 0);
    NET_BUFFER_LIST_NEXT_NBL(first) = second;
    conn.tcp.block.NetBufferListChain = first;
    conn.tcp.delegated.SendDataHead = first;
    conn.tcp.delegated.SendDataTail = second;
    conn.tcp.delegated.SndNxt = RIG_SND + 50;
    conn.tcp.delegated.SndMax = RIG_SND + 120;
    rig_conn_start(&rig, &conn);
    assert_true(rig.out_count >= 1);
    assert_int_equal(rig.out[0].tcp.seq, RIG_SND + 50);
    assert_int_equal(rig.out[0].tcp.payload_len, 70);
    assert_int_equal(rig.out[0].payload[0], 50);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 120});
    rig_expect(&rig, "sent:ok:100");
    rig_pass(&rig, 1000);
    assert_int_equal(rig.out[rig.out_count - 1].tcp.seq, RIG_SND + 120);
    assert_int_equal(rig.out[rig.out_count - 1].tcp.payload_len, 180);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 300});
    rig_expect(&rig, "sent:ok:200");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    rig_close(&rig);
}

/* A failed initiate touches neither the chain nor its statuses (V-051). */
static void
failed_chain(void **state)
{
    struct rig_conn conn;
    NET_BUFFER_LIST *nbl;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    nbl = rig_nbl(&rig, 100, 0, 0);
    NET_BUFFER_LIST_STATUS(nbl) = 0x1234;
    conn.tcp.block.NetBufferListChain = nbl;
    conn.tcp.delegated.SndNxt = conn.tcp.delegated.SndMax = RIG_SND + 101; /* beyond the chain */
    initiate(&conn.neighbor.block);
    assert_int_equal(conn.tcp.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(conn.path.block.Status, NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS);
    assert_int_equal(NET_BUFFER_LIST_STATUS(nbl), 0x1234);
    assert_int_equal(NET_BUFFER_DATA_LENGTH(NET_BUFFER_LIST_FIRST_NB(nbl)), 100);
    rig_nbl_free(nbl);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &conn.path.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &conn.neighbor.handle);
    rig_close(&rig);
}

/* Const and cached come back as given, delegated as they are. */
static void
query(void **state)
{
    struct rig_conn conn;
    struct rig_conn asked;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, TCP_FLAG_SACK_ENABLED);
    rig_conn_start(&rig, &conn);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 100});
    rig_forget(&rig);
    rig_conn_init(&asked, false, 0);
    asked.neighbor.block.OffloadHandle = &conn.neighbor.handle;
    asked.path.block.OffloadHandle = &conn.path.handle;
    asked.tcp.block.OffloadHandle = &conn.tcp.handle;
    NdisQueryOffloadState(rig.binding, &asked.neighbor.block);
    rig_expect(&rig, "queried");
    assert_int_equal(asked.tcp.block.Status, NDIS_STATUS_SUCCESS);
    assert_int_equal(asked.tcp.constant.Flags, TCP_FLAG_SACK_ENABLED);
    assert_int_equal(asked.tcp.delegated.RcvNxt, RIG_RCV + 100);
    assert_int_equal(asked.tcp.delegated.CWnd, conn.tcp.delegated.CWnd);
    assert_int_equal(asked.tcp.delegated.SRtt, 80);
    assert_int_equal(asked.tcp.delegated.KeepAlive.TimeoutDelta, TCP_OFFLOAD_TIMER_OFF);
    assert_int_equal(asked.tcp.delegated.SendBacklogSize, rig.backlog);
    assert_int_equal(asked.path.cached.PathMtu, 1500);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    rig_close(&rig);
}

static void
update(struct rig_node *node)
{
    NdisUpdateOffload(rig.binding, &node->block);
    rig_expect(&rig, "updated");
}

/* A neighbor's MAC, a path's MTU: for every segment from then on. */
static void
updates_take_effect(void **state)
{
    struct rig_conn conn;
    struct rig_node node;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    rig_node_init(&node, NeighborOffloadCachedState, &conn.neighbor.handle);
    node.state.neighbor.Header.Length = sizeof node.state.neighbor;
    memcpy(node.state.neighbor.DlDestinationAddress, "\x02\x99\x00\x00\x00\x01", 6);
    update(&node);
    assert_int_equal(node.block.Status, NDIS_STATUS_SUCCESS);
    rig_node_init(&node, Ip4OffloadCachedState, &conn.path.handle);
    node.state.path.Header.Length = sizeof node.state.path;
    node.state.path.PathMtu = 576;
    update(&node);
    assert_int_equal(node.block.Status, NDIS_STATUS_SUCCESS);
    node.state.path.PathMtu = 9000;
    update(&node);
    assert_int_equal(node.block.Status, NDIS_STATUS_FAILURE);
    rig_forget(&rig);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 1072, 0, 0));
    rig_expect_out(&rig, 1);
    assert_memory_equal(rig.out[0].buf->data, "\x02\x99\x00\x00\x00\x01", 6);
    assert_int_equal(rig.out[0].buf->meta.gso_size, 536);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 1072});
    rig_expect(&rig, "sent:ok:1072");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    rig_close(&rig);
}

/* The path moves to another neighbor; the old one can go then. */
static void
relink(void **state)
{
    struct rig_conn conn;
    struct rig_neighbor other;
    struct rig_node n, p;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    rig_neighbor_init(&other);
    memcpy(other.cached.DlDestinationAddress, "\x02\x77\x00\x00\x00\x01", 6);
    initiate(&other.block);
    rig_node_init(&n, NeighborOffloadState, &other.handle);
    rig_node_init(&p, Ip4OffloadState, &conn.path.handle);
    n.block.DependentBlockList = &p.block;
    update(&n);
    assert_int_equal(n.block.Status, NDIS_STATUS_SUCCESS);
    assert_int_equal(p.block.Status, NDIS_STATUS_SUCCESS);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &conn.neighbor.handle);
    rig_forget(&rig);
    rig_peer(&rig, (struct rig_in){
                       .seq = RIG_RCV + 1, .ack = RIG_SND, .len = 10}); /* out of order: an ACK */
    rig_expect_out(&rig, 1);
    assert_memory_equal(rig.out[0].buf->data, "\x02\x77\x00\x00\x00\x01", 6);
    rig.heard[0] = 0;
    rig_object_end(&rig, TcpOffloadDelegatedState, &conn.tcp.handle);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &conn.path.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &other.handle);
    rig_close(&rig);
}

/* A dead router (chimney 4.3): its neighbor is invalidated, what stands on it goes to another, and
 * there the path is as good as any. */
static void
relink_from_an_invalid_neighbor(void **state)
{
    struct rig_conn conn, second;
    struct rig_neighbor other;
    struct rig_node n, p, dead;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    rig_node_init(&dead, NeighborOffloadState, &conn.neighbor.handle);
    NdisInvalidateOffload(rig.binding, &dead.block);
    rig_expect(&rig, "event:retrieve:2 invalidated");
    rig_object_end(&rig, TcpOffloadDelegatedState, &conn.tcp.handle);
    rig_neighbor_init(&other);
    initiate(&other.block);
    rig_node_init(&n, NeighborOffloadState, &other.handle);
    rig_node_init(&p, Ip4OffloadState, &conn.path.handle);
    n.block.DependentBlockList = &p.block;
    update(&n);
    assert_int_equal(p.block.Status, NDIS_STATUS_SUCCESS);
    rig_conn_init(&second, false, 0);
    n.block.DependentBlockList = &p.block;
    p.block.DependentBlockList = &second.tcp.block;
    initiate(&n.block);
    assert_int_equal(second.tcp.block.Status, NDIS_STATUS_SUCCESS);
    rig_object_end(&rig, TcpOffloadDelegatedState, &second.tcp.handle);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &conn.path.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &conn.neighbor.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &other.handle);
    rig_close(&rig);
}

/* A neighbor that was terminated too early goes when the path under it moves away; what is no
 * neighbor is none to move to. */
static void
relink_from_a_dead_neighbor(void **state)
{
    struct rig_conn conn;
    struct rig_neighbor other;
    struct rig_node n, p, gone;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    rig.careless = true; /* V-063, V-057 */
    rig_node_init(&gone, NeighborOffloadDelegatedState, &conn.neighbor.handle);
    NdisTerminateOffload(rig.binding, &gone.block);
    rig_expect(&rig, "terminated");
    assert_int_equal(gone.block.Status, NDIS_STATUS_FAILURE);
    rig_neighbor_init(&other);
    initiate(&other.block);
    rig_node_init(&n, TcpOffloadState, &conn.tcp.handle);
    rig_node_init(&p, Ip4OffloadState, &conn.path.handle);
    n.block.DependentBlockList = &p.block;
    update(&n);
    assert_int_equal(p.block.Status, NDIS_STATUS_FAILURE);
    rig_node_init(&n, NeighborOffloadState, &other.handle);
    rig_node_init(&p, Ip4OffloadState, &conn.path.handle);
    n.block.DependentBlockList = &p.block;
    update(&n);
    assert_int_equal(p.block.Status, NDIS_STATUS_SUCCESS);
    rig_object_end(&rig, TcpOffloadDelegatedState, &conn.tcp.handle);
    rig_object_end(&rig, Ip4OffloadDelegatedState, &conn.path.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &other.handle);
    rig_close(&rig);
}

/* A dead router: every connection behind it stops and wants to go up. */
static void
invalidate(void **state)
{
    struct rig_conn conn;
    struct rig_node node;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    rig_node_init(&node, NeighborOffloadState, &conn.neighbor.handle);
    NdisInvalidateOffload(rig.binding, &node.block);
    rig_expect(&rig, "event:retrieve:2 invalidated");
    rig_forget(&rig);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    rig_expect(&rig, "sent:upload:0");
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 10});
    rig_pass(&rig, 1000000);
    rig_expect_out(&rig, 0);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated frame:64");
    rig_close(&rig);
}

/* Many connections on one path: every frame finds its own, and all go home in one tree. */
/* V-137: what can wait is not said while an initiate is in progress, but behind it. */
static void
backlog_events_wait(void **state)
{
    struct rig_conn first, second;

    rig_open(&rig, NULL);
    rig_conn_init(&first, false, 0);
    first.tcp.delegated.SndWnd = 5000;
    rig_conn_start(&rig, &first);
    rig_forget(&rig);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .window = 9000});
    rig_conn_init(&second, true, 0);
    second.tcp.delegated.SndWnd = 0; /* and no events of it */
    NdisInitiateOffload(rig.binding, &second.neighbor.block);
    rig_turn(&rig);
    assert_int_equal(strncmp(rig.heard, "initiated", 9), 0);
    assert_int_equal(rig.backlog, 9000);
    rig_conn_end(&rig, &first);
    rig_conn_end(&rig, &second);
    rig_turn(&rig);
    rig_close(&rig);
}

static void
many_connections(void **state)
{
    enum { COUNT = 300 };
    static struct rig_tcp tcp[COUNT];
    static struct rig_node ends[COUNT];
    struct rig_conn conn;
    char words[64];

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    for (unsigned i = 0; i < COUNT; i++) {
        rig_tcp_init(&tcp[i], 10000 + i, 0);
        tcp[i].block.NextBlock = i + 1 < COUNT ? &tcp[i + 1].block : NULL;
    }
    conn.path.block.DependentBlockList = &tcp[0].block;
    initiate(&conn.neighbor.block);
    assert_int_equal(conn.path.block.Status, NDIS_STATUS_SUCCESS);
    for (unsigned i = 0; i < COUNT; i++) {
        rig_peer(&rig,
                 (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = i + 1, .port = 10000 + i});
        snprintf(words, sizeof words, "indicate:%u", i + 1);
        rig_expect(&rig, words);
        rig_return(&rig, --rig.kept_count);
        rig_forget(&rig);
        rig.got_count = 0;
    }
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .len = 1, .port = 10000 + COUNT});
    rig_expect(&rig, "frame:55");
    for (unsigned i = 0; i < COUNT; i++) {
        rig_node_init(&ends[i], TcpOffloadDelegatedState, &tcp[i].handle);
        ends[i].block.NextBlock = i + 1 < COUNT ? &ends[i + 1].block : NULL;
    }
    NdisTerminateOffload(rig.binding, &ends[0].block);
    rig_expect(&rig, "terminated");
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(ends[i].block.Status, NDIS_STATUS_SUCCESS);
        assert_int_equal(ends[i].state.delegated.RcvNxt, RIG_RCV + i + 1);
    }
    rig_object_end(&rig, Ip4OffloadDelegatedState, &conn.path.handle);
    rig_object_end(&rig, NeighborOffloadDelegatedState, &conn.neighbor.handle);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(under_a_connection),
        cmocka_unit_test(partial_failure),
        cmocka_unit_test(root_fails),
        cmocka_unit_test(linkers_and_placeholders),
        cmocka_unit_test(send_chain),
        cmocka_unit_test(failed_chain),
        cmocka_unit_test(query),
        cmocka_unit_test(updates_take_effect),
        cmocka_unit_test(relink),
        cmocka_unit_test(relink_from_an_invalid_neighbor),
        cmocka_unit_test(relink_from_a_dead_neighbor),
        cmocka_unit_test(invalidate),
        cmocka_unit_test(backlog_events_wait),
        cmocka_unit_test(many_connections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
