/* V-029 … V-036, V-044, V-045, V-047: ways to complete a query wrongly, and the one right way. */
#include "verifier/test_kit.h"

#include <string.h>

/* A query of a connection's const state that is out, below a placeholder. */
struct scene {
    struct kit kit;
    struct kit_conn conn;
    struct kit_block top, block;
    struct crossing down;
};

static void
scene_open(struct scene *scene)
{
    kit_open(&scene->kit, false);
    kit_offload(&scene->kit, &scene->kit.landing, &scene->conn);
    kit_block_init(&scene->top, Ip4OffloadState, NULL);
    kit_block_init(&scene->block, TcpOffloadConstState, &scene->conn.tcp);
    kit_state_add(&scene->block, &(size_t){0}, sizeof(TCP_OFFLOAD_STATE_CONST));
    scene->top.block.DependentBlockList = &scene->block.block;
    kit_tree_before(&scene->kit, &scene->down, &scene->kit.landing, CROSSING_QUERY, false,
                    &scene->top.block);
    kit_after(&scene->kit, &scene->down, NDIS_STATUS_SUCCESS);
}

/* As a good target does. */
static void
write_answer(struct scene *scene)
{
    TCP_OFFLOAD_STATE_CONST *state = NDIS_OFFLOAD_STATE_FIRST(&scene->block.block);

    *state = (TCP_OFFLOAD_STATE_CONST){.Header = {sizeof(*state), 0},
                                       .LocalPort = 0x1234,
                                       .RemotePort = 0x5678,
                                       .RemoteMss = 1460};
    scene->top.block.Status = scene->block.block.Status = NDIS_STATUS_SUCCESS;
}

static enum crossing_veto
complete(struct scene *scene, enum crossing_op op, struct kit_block *root)
{
    return kit_tree(&scene->kit, &scene->kit.landing, op, true, root);
}

/* Nothing but the breach: a good completion goes through afterwards. */
static void
scene_close(struct scene *scene)
{
    write_answer(scene);
    assert_int_equal(complete(scene, CROSSING_QUERY_COMPLETE, &scene->top), CROSSING_GO);
    kit_assert_none(&scene->kit);
    kit_close(&scene->kit);
}

static void
a_good_query(void **state)
{
    struct scene scene;

    scene_open(&scene);
    scene_close(&scene);
}

/* ---- which operation ---- */

static void
twice(void **state)
{
    struct scene scene;

    scene_open(&scene);
    write_answer(&scene);
    complete(&scene, CROSSING_QUERY_COMPLETE, &scene.top);
    kit_assert_none(&scene.kit);
    assert_int_equal(complete(&scene, CROSSING_QUERY_COMPLETE, &scene.top), CROSSING_DROP);
    kit_assert(&scene.kit, 29, "target");
    kit_close(&scene.kit);
}

static void
never(void **state)
{
    struct scene scene;

    scene_open(&scene);
    verifier_finish(scene.kit.verifier);
    kit_assert(&scene.kit, 29, "target");
    kit_close(&scene.kit);
}

static void
through_another_function(void **state)
{
    struct scene scene;

    scene_open(&scene);
    write_answer(&scene);
    assert_int_equal(complete(&scene, CROSSING_UPDATE_COMPLETE, &scene.top), CROSSING_DROP);
    kit_assert(&scene.kit, 31, "target");
    scene_close(&scene);
}

static void
with_another_root(void **state)
{
    struct kit_block stranger;
    struct scene scene;

    scene_open(&scene);
    write_answer(&scene);
    assert_int_equal(complete(&scene, CROSSING_QUERY_COMPLETE, &scene.block), CROSSING_DROP);
    kit_assert(&scene.kit, 31, "target");
    kit_block_init(&stranger, TcpOffloadState, NULL);
    assert_int_equal(complete(&scene, CROSSING_QUERY_COMPLETE, &stranger), CROSSING_DROP);
    assert_int_equal(scene.kit.reports[0].rule, 31);
    scene.kit.count = 0;
    scene_close(&scene);
}

static void
by_another_adapter(void **state)
{
    struct kit_landing elsewhere = {"host", "other", "nic2", false, false, NULL, 0, 0};
    struct scene scene;

    scene_open(&scene);
    assert_int_equal(kit_tree(&scene.kit, &elsewhere, CROSSING_QUERY_COMPLETE, true, &scene.top),
                     CROSSING_DROP);
    kit_assert(&scene.kit, 31, "other");
    scene_close(&scene);
}

static void
on_the_stack_of_the_call(void **state)
{
    struct kit_block block;
    struct crossing crossing;
    struct scene scene;

    scene_open(&scene);
    kit_block_init(&block, TcpOffloadState, NULL);
    kit_tree_before(&scene.kit, &crossing, &scene.kit.landing, CROSSING_QUERY, false, &block.block);
    write_answer(&scene); /* the other one: no breach */
    complete(&scene, CROSSING_QUERY_COMPLETE, &scene.top);
    kit_assert_none(&scene.kit);
    block.block.Status = NDIS_STATUS_SUCCESS;
    assert_int_equal(complete(&scene, CROSSING_QUERY_COMPLETE, &block), CROSSING_GO);
    kit_assert(&scene.kit, 30, "target");
    kit_after(&scene.kit, &crossing, NDIS_STATUS_SUCCESS);
    kit_assert_none(&scene.kit);
    kit_close(&scene.kit);
}

static void
a_call_that_takes_long(void **state)
{
    static const uint64_t waits_us[] = {999999, 1000000};

    for (int i = 0; i < 2; i++) {
        struct kit_block block;
        struct crossing crossing;
        struct kit kit;

        kit_open(&kit, false);
        kit_block_init(&block, TcpOffloadState, NULL);
        kit_tree_before(&kit, &crossing, &kit.landing, CROSSING_QUERY, false, &block.block);
        kit.now_us += waits_us[i];
        kit_after(&kit, &crossing, NDIS_STATUS_SUCCESS);
        if (i)
            kit_assert(&kit, 32, "target");
        kit_assert_none(&kit);
        kit_close(&kit);
    }
}

/* ---- statuses ---- */

static void
statuses(void **state)
{
    static const struct {
        NDIS_STATUS top, block;
        unsigned rule;
    } cases[] = {
        {NDIS_STATUS_SUCCESS, NDIS_STATUS_FAILURE, 0},
        {NDIS_STATUS_SUCCESS, NDIS_STATUS_RESOURCES, 35},
        {NDIS_STATUS_SUCCESS, NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS, 35},
        {NDIS_STATUS_FAILURE, NDIS_STATUS_SUCCESS, 36},
        {NDIS_STATUS_SUCCESS, 0, 33}, /* not written */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        NDIS_STATUS poison;
        struct scene scene;

        scene_open(&scene);
        poison = scene.block.block.Status;
        write_answer(&scene);
        scene.top.block.Status = cases[i].top;
        scene.block.block.Status = cases[i].rule == 33 ? poison : cases[i].block;
        complete(&scene, CROSSING_QUERY_COMPLETE, &scene.top);
        if (cases[i].rule)
            kit_assert(&scene.kit, cases[i].rule, "target");
        kit_assert_none(&scene.kit);
        assert_int_not_equal(scene.block.block.Status, poison); /* nobody shall read that */
        kit_close(&scene.kit);
    }
}

/* ---- what is not the driver's ---- */

static void
members(void **state)
{
    static const size_t offsets[] = {
        offsetof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, Header),
        offsetof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, NextBlock),
        offsetof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, DependentBlockList),
        offsetof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, OffloadHandle),
        offsetof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, ProtocolReserved[1]),
        offsetof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, ImReserved[0]),
        offsetof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, SourceHandle),
        offsetof(NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST, PortNumber),
    };

    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++) {
        struct kit_block before;
        struct scene scene;

        scene_open(&scene);
        write_answer(&scene);
        before = scene.block;
        ((UCHAR *)&scene.block)[offsets[i]] ^= 1;
        assert_int_equal(complete(&scene, CROSSING_QUERY_COMPLETE, &scene.top), CROSSING_GO);
        kit_assert(&scene.kit, 44, "target");
        /* and put right: NDIS and the issuer walk over it */
        assert_memory_equal(&scene.block, &before, sizeof(before.block));
        kit_close(&scene.kit);
    }
}

/* These are the target's while it has the tree. */
static void
scratch_members(void **state)
{
    struct scene scene;

    scene_open(&scene);
    write_answer(&scene);
    memset(scene.block.block.MiniportReserved, 1, sizeof(scene.block.block.MiniportReserved));
    memset(scene.block.block.Scratch, 2, sizeof(scene.block.block.Scratch));
    scene_close(&scene);
}

/* The root says that somebody else issued it: the completion is found all the same. */
static void
a_lost_way_home(void **state)
{
    struct crossing crossing;
    struct scene scene;

    scene_open(&scene);
    write_answer(&scene);
    scene.top.block.SourceHandle = NULL;
    crossing = kit_crossing(&scene.kit.landing, CROSSING_QUERY_COMPLETE, true);
    crossing.binding = NULL; /* so NDIS cannot tell */
    crossing.to = "?";
    crossing.blocks = &scene.top;
    assert_int_equal(kit_before(&scene.kit, &crossing), CROSSING_GO);
    kit_assert(&scene.kit, 44, "target");
    assert_ptr_equal(scene.top.block.SourceHandle, &scene.kit.landing.binding);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_SUCCESS);
    kit_assert_none(&scene.kit);
    kit_close(&scene.kit);
}

static void
state_that_is_out(void **state)
{
    TCP_OFFLOAD_STATE_CACHED *cached;
    struct kit_block block;
    struct kit_conn conn;
    struct kit kit;

    for (int changed = 0; changed < 2; changed++) {
        kit_open(&kit, false);
        kit_offload(&kit, &kit.landing, &conn);
        kit_block_init(&block, TcpOffloadCachedState, &conn.tcp);
        cached = kit_state_add(&block, &(size_t){0}, sizeof(*cached));
        kit_tree(&kit, &kit.landing, CROSSING_UPDATE, false, &block);
        cached->Header.RecognizedOptions = 1; /* NDIS may write headers */
        cached->TosOrTrafficClass += changed;
        block.block.Status = NDIS_STATUS_SUCCESS;
        kit_tree(&kit, &kit.landing, CROSSING_UPDATE_COMPLETE, true, &block);
        if (changed)
            kit_assert(&kit, 45, "host");
        kit_assert_none(&kit);
        kit_close(&kit);
    }
}

static void
data_of_a_path(void **state)
{
    struct kit_conn conn;
    struct kit_nbl nbl;
    struct crossing crossing;
    struct kit kit;

    kit_open(&kit, false);
    kit_offload(&kit, &kit.landing, &conn);
    kit_nbl_init(&nbl, 10, 0);
    crossing = kit_crossing(&kit.landing, CROSSING_TCP_RECEIVE_INDICATE, true);
    crossing.object = &conn.path;
    crossing.nbls = &nbl.nbl;
    assert_int_not_equal(kit_before(&kit, &crossing), CROSSING_GO);
    kit_assert(&kit, 47, "target");
    kit_after(&kit, &crossing, NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED);
    kit_close(&kit);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_query),
        cmocka_unit_test(twice),
        cmocka_unit_test(never),
        cmocka_unit_test(through_another_function),
        cmocka_unit_test(with_another_root),
        cmocka_unit_test(by_another_adapter),
        cmocka_unit_test(on_the_stack_of_the_call),
        cmocka_unit_test(a_call_that_takes_long),
        cmocka_unit_test(statuses),
        cmocka_unit_test(members),
        cmocka_unit_test(scratch_members),
        cmocka_unit_test(a_lost_way_home),
        cmocka_unit_test(state_that_is_out),
        cmocka_unit_test(data_of_a_path),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
