/*
 * The walk over trees: its order, what is left out, and a hundred thousand blocks in a row, one
 * below the other, and both, through every operation, on a stack on which nothing could recurse.
 */
#include "target/soft/conn.h"
#include "target/soft/test_rig.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the order ---- */

enum { ROOT, LEFT, LEAF, SECOND, RIGHT, AUNT, NODES };

/* root -> (left -> (leaf, second), right), aunt */
static void
link_nodes(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *nodes)
{
    memset(nodes, 0, NODES * sizeof *nodes);
    nodes[ROOT].NextBlock = &nodes[AUNT];
    nodes[ROOT].DependentBlockList = &nodes[LEFT];
    nodes[LEFT].NextBlock = &nodes[RIGHT];
    nodes[LEFT].DependentBlockList = &nodes[LEAF];
    nodes[LEAF].NextBlock = &nodes[SECOND];
}

/* Two letters a step: the node, and its parent; small when it is left again. */
static void
step_words(const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *nodes, const struct soft_walk *walk, char *to)
{
    const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *parent = soft_walk_parent(walk);

    to[0] = (char)((walk->leaving ? 'a' : 'A') + (walk->block - nodes));
    to[1] = parent ? (char)((walk->leaving ? 'a' : 'A') + (parent - nodes)) : '-';
}

static void
order(void **state)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST nodes[NODES];
    static const unsigned depths[NODES] = {0, 1, 2, 2, 1, 0};
    char words[4 * NODES + 1] = "";
    struct soft_walk walk;
    unsigned steps = 0;

    link_nodes(nodes);
    for (soft_walk_first(&walk, nodes); walk.block; soft_walk_next(&walk)) {
        assert_true(steps < 2 * NODES);
        assert_int_equal(walk.depth, depths[walk.block - nodes]);
        step_words(nodes, &walk, words + 2 * steps++);
    }
    assert_string_equal(words, "A-BACBcbDBdbbaEAeaa-F-f-");
}

/* What is skipped is not met again, its sibling is; so it is with the last, and with nothing. */
static void
skipping(void **state)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST nodes[NODES];
    char words[4 * NODES + 1] = "";
    struct soft_walk walk;
    unsigned steps = 0;

    link_nodes(nodes);
    for (soft_walk_first(&walk, nodes); walk.block; soft_walk_next(&walk)) {
        assert_true(steps < 2 * NODES);
        step_words(nodes, &walk, words + 2 * steps++);
        if (!walk.leaving && (walk.block == &nodes[LEFT] || walk.block == &nodes[AUNT]))
            soft_walk_skip(&walk);
    }
    assert_string_equal(words, "A-BAEAeaa-F-");
    soft_walk_first(&walk, NULL);
    assert_null(walk.block);
}

/* ---- many ---- */

#define MANY 100000
#define STACK_BYTES (256 * 1024) /* a frame for each block would need several megabytes */

enum shape { WIDE, DEEP, COMB, SHAPES };

static struct rig rig;
static struct rig_conn conn;
static struct rig_node *many; /* placeholders, but for what is put at the end */

/* tail follows the last, in the same manner. */
static NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *
string_up(enum shape shape, NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *tail)
{
    for (unsigned i = 0; i < MANY; i++) {
        NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *next = i + 1 < MANY ? &many[i + 1].block : tail;
        rig_node_init(&many[i], TcpOffloadCachedState, NULL);
        if (shape == WIDE || (shape == COMB && i % 2))
            many[i].block.NextBlock = next;
        else
            many[i].block.DependentBlockList = next;
    }
    return &many[0].block;
}

/* Every one of the placeholders was met. */
static void
check_met(void)
{
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(many[i].block.Status, NDIS_STATUS_SUCCESS);
}

/* A neighbor stands at the bottom, or it fails. */
static void
initiate_many(enum shape shape)
{
    struct rig_neighbor last;
    NDIS_STATUS status = shape == WIDE ? NDIS_STATUS_SUCCESS : NDIS_STATUS_FAILURE;

    rig_neighbor_init(&last);
    NdisInitiateOffload(rig.binding, string_up(shape, &last.block));
    rig_expect(&rig, "initiated");
    check_met();
    assert_int_equal(last.block.Status, status);
    assert_int_equal(last.handle.MiniportOffloadContext != NULL, status == NDIS_STATUS_SUCCESS);
    if (status != NDIS_STATUS_SUCCESS)
        return;
    struct rig_node end;
    rig_node_init(&end, NeighborOffloadDelegatedState, &last.handle);
    end.state.neighbor_delegated.Header.Length = sizeof end.state.neighbor_delegated;
    NdisTerminateOffload(rig.binding, string_up(shape, &end.block));
    rig_expect(&rig, "terminated");
    check_met();
    assert_int_equal(end.block.Status, NDIS_STATUS_SUCCESS);
}

/* A connection under nothing cannot be, and so it is with all that hangs under it. */
static void
fail_many(enum shape shape)
{
    struct rig_neighbor last;
    struct rig_tcp root;

    rig_neighbor_init(&last);
    rig_tcp_init(&root, 4001, 0);
    root.block.DependentBlockList = string_up(shape, &last.block);
    NdisInitiateOffload(rig.binding, &root.block);
    rig_expect(&rig, "initiated");
    check_met();
    assert_int_equal(root.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(last.block.Status, NDIS_STATUS_FAILURE);
}

static void
operate_many(enum shape shape)
{
    struct rig_node node;

    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    rig_node_init(&node, TcpOffloadDelegatedState, &conn.tcp.handle);
    NdisQueryOffloadState(rig.binding, string_up(shape, &node.block));
    rig_expect(&rig, "queried");
    check_met();
    assert_int_equal(node.block.Status, NDIS_STATUS_SUCCESS);
    assert_int_equal(node.state.delegated.RcvNxt, RIG_RCV);

    rig_node_init(&node, TcpOffloadCachedState, &conn.tcp.handle);
    node.state.cached = conn.tcp.cached;
    node.state.cached.InitialRcvWnd = 100000;
    NdisUpdateOffload(rig.binding, string_up(shape, &node.block));
    rig_expect(&rig, "updated");
    check_met();
    assert_int_equal(node.block.Status, NDIS_STATUS_SUCCESS);

    rig_node_init(&node, TcpOffloadState, &conn.tcp.handle);
    NdisInvalidateOffload(rig.binding, string_up(shape, &node.block));
    rig_expect(&rig, "event:retrieve:2 invalidated");
    check_met();

    rig_node_init(&node, TcpOffloadDelegatedState, &conn.tcp.handle);
    NdisTerminateOffload(rig.binding, string_up(shape, &node.block));
    rig_expect(&rig, "terminated");
    check_met();
    assert_int_equal(node.block.Status, NDIS_STATUS_SUCCESS);
    assert_null(conn.tcp.handle.MiniportOffloadContext);
    conn.path.block.DependentBlockList = NULL;
    rig_node_init(&conn.ends[1], Ip4OffloadDelegatedState, &conn.path.handle);
    rig_node_init(&conn.ends[0], NeighborOffloadDelegatedState, &conn.neighbor.handle);
    conn.ends[0].block.DependentBlockList = &conn.ends[1].block;
    NdisTerminateOffload(rig.binding, &conn.ends[0].block);
    rig_expect(&rig, "terminated");
}

static void
no_recursion(void **state)
{
    many = calloc(MANY, sizeof *many);
    assert_non_null(many);
    rig_open(&rig, NULL);
    rig.careless = true; /* no layers below the connections (V-061) */
    for (enum shape shape = WIDE; shape < SHAPES; shape++) {
        initiate_many(shape);
        fail_many(shape);
        operate_many(shape);
    }
    rig_close(&rig);
    free(many);
}

static void *
run(void *arg)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order),
        cmocka_unit_test(skipping),
        cmocka_unit_test(no_recursion),
    };

    *(int *)arg = cmocka_run_group_tests(tests, NULL, NULL);
    return NULL;
}

int
main(void)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int failed = -1;

    pthread_attr_init(&attributes);
    if (!pthread_attr_setstacksize(&attributes, STACK_BYTES) &&
        !pthread_create(&thread, &attributes, run, &failed))
        pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    return failed;
}
