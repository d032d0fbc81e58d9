/* V-056 … V-064, V-071, V-072: what a host stack asks too early, or in the wrong moment. */
#include "verifier/test_kit.h"

#include <string.h>

struct scene {
    struct kit kit;
    struct kit_conn conn;
};

static void
scene_open(struct scene *scene)
{
    kit_open(&scene->kit, false);
    kit_offload(&scene->kit, &scene->kit.landing, &scene->conn);
}

static void
scene_close(struct scene *scene)
{
    kit_assert_none(&scene->kit);
    kit_close(&scene->kit);
}

static enum crossing_veto
down(struct scene *scene, enum crossing_op op, struct kit_block *block)
{
    return kit_tree(&scene->kit, &scene->kit.landing, op, false, block);
}

static void
up(struct scene *scene, enum crossing_op op, struct kit_block *block, NDIS_STATUS status)
{
    block->block.Status = status;
    kit_tree(&scene->kit, &scene->kit.landing, op, true, block);
}

static void
expect(struct scene *scene, unsigned rule)
{
    if (rule)
        kit_assert(&scene->kit, rule, "host");
    kit_assert_none(&scene->kit);
}

static void
invalidate_block(struct kit_block *block, NDIS_OFFLOAD_HANDLE *handle)
{
    kit_block_init(block, TcpOffloadState, handle);
}

static void
update_block(struct kit_block *block, NDIS_OFFLOAD_HANDLE *handle)
{
    kit_block_init(block, TcpOffloadCachedState, handle);
    kit_state_add(block, &(size_t){0}, sizeof(TCP_OFFLOAD_STATE_CACHED));
}

static void
terminate_block(struct kit_block *block, NDIS_OFFLOAD_HANDLE *handle)
{
    kit_block_init(block, TcpOffloadDelegatedState, handle);
    kit_state_add(block, &(size_t){0}, sizeof(TCP_OFFLOAD_STATE_DELEGATED));
}

/* ---- initiate ---- */

static void
offloaded_already(void **state)
{
    struct kit_conn other;
    struct scene scene;

    scene_open(&scene);
    kit_conn_init(&other);
    other.blocks[0].block.OffloadHandle = &scene.conn.neighbor;
    other.blocks[1].block.OffloadHandle = &scene.conn.path;
    other.blocks[2].block.OffloadHandle = &scene.conn.tcp;
    assert_int_equal(down(&scene, CROSSING_INITIATE, &other.blocks[0]), CROSSING_REFUSE);
    expect(&scene, 56);
    scene_close(&scene);

    kit_open(&scene.kit, false);
    kit_conn_init(&scene.conn);
    kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
    kit_conn_init(&other);
    other.blocks[2].block.OffloadHandle = &scene.conn.tcp;
    assert_int_equal(down(&scene, CROSSING_INITIATE, &other.blocks[0]), CROSSING_REFUSE);
    expect(&scene, 56);
    scene_close(&scene);
}

static void
states(void **state)
{
    for (int s = TcpConnectionClosed; s <= TcpConnectionTimeWait; s++) {
        bool good = s >= TcpConnectionEstablished && s <= TcpConnectionLastAck;
        struct scene scene;

        kit_open(&scene.kit, false);
        kit_conn_init(&scene.conn);
        kit_delegated(&scene.conn)->State = (TCP_OFFLOAD_CONNECTION_STATE)s;
        kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
        expect(&scene, good ? 0 : 58);
        scene_close(&scene);
    }
}

static void
what_it_stands_on(void **state)
{
    struct kit_conn other;
    struct scene scene;

    scene_open(&scene);
    kit_conn_init(&other); /* alone, under a placeholder, under what is there, under what is not */
    down(&scene, CROSSING_INITIATE, &other.blocks[2]);
    expect(&scene, 59);
    scene_close(&scene);

    scene_open(&scene);
    kit_conn_init(&other);
    other.blocks[0].block.OffloadHandle = NULL;
    down(&scene, CROSSING_INITIATE, &other.blocks[0]);
    expect(&scene, 59);
    scene_close(&scene);

    scene_open(&scene);
    kit_conn_init(&other);
    other.blocks[0].block.OffloadHandle = NULL;
    other.blocks[1].block.OffloadHandle = &scene.conn.path;
    down(&scene, CROSSING_INITIATE, &other.blocks[0]);
    expect(&scene, 0);
    scene_close(&scene);

    scene_open(&scene);
    kit_conn_init(&other);
    other.path.MiniportOffloadContext = &other; /* left there by somebody */
    assert_int_equal(down(&scene, CROSSING_INITIATE, &other.blocks[1]), CROSSING_REFUSE);
    expect(&scene, 59);
    scene_close(&scene);
}

/* The capacity is known from the attributes. */
static void
capacity(void **state)
{
    for (ULONG room = 1; room <= 2; room++) {
        NDIS_TCP_CONNECTION_OFFLOAD capabilities = {.TcpConnectionOffloadCapacity = room};
        NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES attributes = {
            .Header = {.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES},
            .DefaultTcpConnectionOffloadConfiguration = &capabilities,
        };
        struct crossing crossing;
        struct kit_conn other;
        struct scene scene;

        kit_open(&scene.kit, false);
        crossing = kit_crossing(&scene.kit.landing, CROSSING_SET_ATTRIBUTES, false);
        crossing.from = "target";
        crossing.to = "ndis";
        crossing.data = &attributes;
        kit_before(&scene.kit, &crossing);
        scene.kit.count = 0; /* its own rules are not what is meant */
        kit_offload(&scene.kit, &scene.kit.landing, &scene.conn);
        kit_conn_init(&other);
        kit_initiate(&scene.kit, &scene.kit.landing, &other);
        expect(&scene, room == 1 ? 60 : 0);
        scene_close(&scene);
    }
}

static void
timers(void **state)
{
    static const struct {
        ULONG retransmit, keepalive;
        ULONG sent, window; /* in flight; of the peer */
        USHORT flags;
        UCHAR probes;
        unsigned rule;
    } cases[] = {
        {TCP_OFFLOAD_TIMER_OFF, TCP_OFFLOAD_TIMER_OFF, 0, 1000, 0, 0, 0},
        {200, TCP_OFFLOAD_TIMER_OFF, 0, 1000, 0, 0, 71},
        {200, TCP_OFFLOAD_TIMER_OFF, 10, 1000, 0, 0, 0},
        {200, TCP_OFFLOAD_TIMER_OFF, 0, 0, 0, 0, 0}, /* the persist timer */
        {TCP_OFFLOAD_TIMER_OFF, 0, 0, 1000, 0, 0, 71},
        {TCP_OFFLOAD_TIMER_OFF, 7200000, 0, 1000, 0, 0, 71},
        {TCP_OFFLOAD_TIMER_OFF, 7200000, 0, 1000, TCP_FLAG_KEEP_ALIVE_ENABLED, 0, 0},
        {TCP_OFFLOAD_TIMER_OFF, 299000, 0, 1000, 0, 0, 0}, /* behind a challenge ACK */
        {TCP_OFFLOAD_TIMER_OFF, 0, 0, 1000, 0, 3, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        TCP_OFFLOAD_STATE_DELEGATED *delegated;
        TCP_OFFLOAD_STATE_CONST *fixed;
        TCP_OFFLOAD_STATE_CACHED *cached;
        struct scene scene;

        print_message("# %zu\n", i);
        kit_open(&scene.kit, false);
        kit_conn_init(&scene.conn);
        delegated = kit_delegated(&scene.conn);
        fixed = NDIS_OFFLOAD_STATE_FIRST(&scene.conn.blocks[2].block);
        cached = NDIS_OFFLOAD_STATE_NEXT(fixed);
        delegated->Retransmit.TimeoutDelta = cases[i].retransmit;
        delegated->KeepAlive.TimeoutDelta = cases[i].keepalive;
        delegated->KeepAlive.ProbeCount = cases[i].probes;
        delegated->SndNxt = delegated->SndMax = delegated->SndUna + cases[i].sent;
        delegated->SndWnd = cases[i].window;
        cached->Flags = cases[i].flags;
        kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
        expect(&scene, cases[i].rule);
        scene_close(&scene);
    }
}

static void
two_ages(void **state)
{
    NEIGHBOR_OFFLOAD_STATE_CONST *fixed;
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached;
    NEIGHBOR_OFFLOAD_STATE_DELEGATED *delegated;

    for (int other = 0; other < 2; other++) {
        struct scene scene;

        kit_open(&scene.kit, false);
        kit_conn_init(&scene.conn);
        fixed = NDIS_OFFLOAD_STATE_FIRST(&scene.conn.blocks[0].block);
        cached = NDIS_OFFLOAD_STATE_NEXT(fixed);
        delegated = NDIS_OFFLOAD_STATE_NEXT(cached);
        cached->HostReachabilityDelta = 7;
        delegated->NicReachabilityDelta = 7 + (ULONG)other;
        kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
        expect(&scene, other ? 72 : 0);
        scene_close(&scene);
    }
}

/* ---- on its way down ---- */

static void
nothing_while_it_goes_down(void **state)
{
    static const enum crossing_op ops[] = {CROSSING_UPDATE, CROSSING_INVALIDATE, CROSSING_TERMINATE,
                                           CROSSING_QUERY};
    struct kit_nbl nbl;

    for (int i = 0; i < 6; i++) {
        struct kit_block block;
        struct scene scene;

        kit_open(&scene.kit, false);
        kit_conn_init(&scene.conn);
        kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
        kit_nbl_init(&nbl, 10, 0);
        if (i == 4)
            kit_post(&scene.kit, &scene.kit.landing, CROSSING_TCP_SEND, &scene.conn, &nbl);
        else if (i == 5)
            kit_post(&scene.kit, &scene.kit.landing, CROSSING_TCP_RECEIVE, &scene.conn, &nbl);
        else if (ops[i] == CROSSING_UPDATE)
            update_block(&block, &scene.conn.tcp);
        else if (ops[i] == CROSSING_INVALIDATE)
            invalidate_block(&block, &scene.conn.tcp);
        else
            terminate_block(&block, &scene.conn.tcp);
        if (i < 4)
            assert_int_equal(down(&scene, ops[i], &block), CROSSING_REFUSE);
        kit_assert(&scene.kit, 57, "host");
        kit_close(&scene.kit);
    }
}

static void
nobody_knows_it(void **state)
{
    NDIS_OFFLOAD_HANDLE stranger = {{NULL}, NULL};
    struct kit_block block;
    struct scene scene;

    scene_open(&scene);
    update_block(&block, &stranger);
    assert_int_equal(down(&scene, CROSSING_UPDATE, &block), CROSSING_REFUSE);
    kit_assert(&scene.kit, 0, "host");
    scene_close(&scene);
}

/* ---- operations that get in each other's way ---- */

static void
updates(void **state)
{
    struct kit_block first, second;
    struct scene scene;

    scene_open(&scene);
    update_block(&first, &scene.conn.tcp);
    update_block(&second, &scene.conn.tcp);
    down(&scene, CROSSING_UPDATE, &first);
    up(&scene, CROSSING_UPDATE_COMPLETE, &first, NDIS_STATUS_SUCCESS);
    down(&scene, CROSSING_UPDATE, &second);
    expect(&scene, 0);
    down(&scene, CROSSING_UPDATE, &first);
    expect(&scene, 61);
    scene_close(&scene);

    scene_open(&scene);
    kit_invalidate(&scene.kit, &scene.kit.landing, &scene.conn.tcp, TcpOffloadState);
    update_block(&first, &scene.conn.tcp);
    down(&scene, CROSSING_UPDATE, &first);
    expect(&scene, 61);
    scene_close(&scene);
}

/* Queries may overlap, a terminate waits for all. */
static void
queries_and_a_terminate(void **state)
{
    struct kit_block queries[2], last;
    struct scene scene;

    scene_open(&scene);
    for (int i = 0; i < 2; i++) {
        kit_block_init(&queries[i], Ip4OffloadDelegatedState, &scene.conn.path);
        kit_state_add(&queries[i], &(size_t){0}, sizeof(PATH_OFFLOAD_STATE_DELEGATED));
        down(&scene, CROSSING_QUERY, &queries[i]);
    }
    terminate_block(&last, &scene.conn.tcp); /* another object */
    down(&scene, CROSSING_TERMINATE, &last);
    expect(&scene, 0);
    assert_int_equal(down(&scene, CROSSING_TERMINATE, &(struct kit_block){last.block, {0}}),
                     CROSSING_REFUSE);
    expect(&scene, 62);
    scene_close(&scene);

    scene_open(&scene);
    invalidate_block(&queries[0], &scene.conn.tcp);
    down(&scene, CROSSING_QUERY, &queries[0]);
    terminate_block(&last, &scene.conn.tcp);
    down(&scene, CROSSING_TERMINATE, &last);
    expect(&scene, 62);
    scene_close(&scene);
}

/* The calls, not what they posted: that comes back with it. */
static void
calls_and_a_terminate(void **state)
{
    static const enum crossing_op ops[] = {CROSSING_TCP_RECEIVE, CROSSING_TCP_DISCONNECT,
                                           CROSSING_TCP_SEND};

    for (int i = 0; i < 3; i++) {
        struct crossing crossing;
        struct kit_block last;
        struct kit_nbl nbl;
        struct scene scene;

        scene_open(&scene);
        kit_nbl_init(&nbl, i == 1 ? 0 : 10, 0);
        crossing = kit_crossing(&scene.kit.landing, ops[i], false);
        crossing.object = &scene.conn.tcp;
        crossing.nbls = &nbl.nbl;
        crossing.code = TCP_DISCONNECT_GRACEFUL_CLOSE;
        kit_before(&scene.kit, &crossing);
        terminate_block(&last, &scene.conn.tcp);
        down(&scene, CROSSING_TERMINATE, &last); /* inside */
        expect(&scene, i < 2 ? 62 : 0);
        kit_after(&scene.kit, &crossing, NDIS_STATUS_PENDING);
        scene_close(&scene);
    }
}

/* ---- what stands on what ---- */

static void
too_early(void **state)
{
    struct kit_block path, tcp;
    struct scene scene;

    scene_open(&scene);
    kit_block_init(&path, Ip4OffloadDelegatedState, &scene.conn.path);
    down(&scene, CROSSING_TERMINATE, &path);
    expect(&scene, 63);
    scene_close(&scene);

    scene_open(&scene);
    kit_block_init(&path, Ip4OffloadDelegatedState, &scene.conn.path);
    kit_state_add(&path, &(size_t){0}, sizeof(PATH_OFFLOAD_STATE_DELEGATED));
    terminate_block(&tcp, &scene.conn.tcp);
    path.block.DependentBlockList = &tcp.block; /* together */
    down(&scene, CROSSING_TERMINATE, &path);
    expect(&scene, 0);
    scene_close(&scene);
}

static void
close(struct scene *scene)
{
    struct crossing crossing = kit_crossing(&scene->kit.landing, CROSSING_CLOSE, false);

    crossing.to = "ndis";
    kit_before(&scene->kit, &crossing);
}

static void
closed(void **state)
{
    struct scene scene;

    scene_open(&scene);
    close(&scene);
    expect(&scene, 64);
    scene_close(&scene);

    scene_open(&scene);
    kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
    kit_terminate_complete(&scene.kit, &scene.kit.landing, &scene.conn, NDIS_STATUS_SUCCESS, NULL);
    close(&scene);
    verifier_finish(scene.kit.verifier);
    expect(&scene, 0);
    scene_close(&scene);

    scene_open(&scene);
    verifier_finish(scene.kit.verifier);
    expect(&scene, 64);
    scene_close(&scene);
}

/* ---- what is between a host stack and a target ---- */

/* An intermediate driver passes on what it was asked: the same breach is not its. */
static void
passed_on(void **state)
{
    struct kit_conn upper, lower;
    struct crossing crossing;
    struct kit kit;

    kit_open(&kit, true);
    kit_conn_init(&upper);
    kit_conn_init(&lower);
    kit_delegated(&upper)->State = kit_delegated(&lower)->State = TcpConnectionTimeWait;
    kit_tree_before(&kit, &crossing, &kit.upper, CROSSING_INITIATE, false, &upper.blocks[0].block);
    kit_assert(&kit, 58, "host");
    kit_initiate(&kit, &kit.landing, &lower);
    kit_assert_none(&kit);
    kit_after(&kit, &crossing, NDIS_STATUS_SUCCESS);
    kit_close(&kit);
}

/* A target that takes its context back before the terminate. */
static void
a_context_that_is_gone(void **state)
{
    struct kit_block block;
    struct scene scene;

    scene_open(&scene);
    scene.conn.tcp.MiniportOffloadContext = NULL;
    terminate_block(&block, &scene.conn.tcp);
    assert_int_equal(down(&scene, CROSSING_TERMINATE, &block), CROSSING_GO);
    kit_assert(&scene.kit, 154, "target");
    assert_non_null(scene.conn.tcp.MiniportOffloadContext);
    scene_close(&scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offloaded_already),
        cmocka_unit_test(states),
        cmocka_unit_test(what_it_stands_on),
        cmocka_unit_test(capacity),
        cmocka_unit_test(timers),
        cmocka_unit_test(two_ages),
        cmocka_unit_test(nothing_while_it_goes_down),
        cmocka_unit_test(nobody_knows_it),
        cmocka_unit_test(updates),
        cmocka_unit_test(queries_and_a_terminate),
        cmocka_unit_test(calls_and_a_terminate),
        cmocka_unit_test(too_early),
        cmocka_unit_test(closed),
        cmocka_unit_test(passed_on),
        cmocka_unit_test(a_context_that_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
