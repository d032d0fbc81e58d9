/*
 * Abuse: what no driver would pass on purpose, thrown at the functions of a real NDIS while the
 * verifier watches. Each case asserts the rule that is named, and then that NDIS goes on: a new
 * connection goes down and comes back, and the house comes down in order.
 *
 *   fake host ── nic0, nic1 ── fake target, which holds state operations until it is told
 */
#include "abuse.h"

#include <stdlib.h>
#include <string.h>

/* ---- the stage ---- */

static void
on_report(void *arg, const struct verifier_report *report)
{
    struct scene *scene = arg;

    if (scene->count < SCENE_REPORTS)
        scene->rules[scene->count++] = report->rule;
}

/* A neighbor, a path and a connection, none of them wrong. */
void
tree_init(struct scene *scene, struct test_block b[3])
{
    struct kit_conn lent;

    kit_conn_init(&lent);
    for (int i = 0; i < 3; i++) {
        memset(&b[i], 0, sizeof(b[i]));
        b[i].block.Header = lent.blocks[i].block.Header;
        b[i].block.OffloadHandle = &b[i].handle;
        b[i].block.ProtocolReserved[0] = &scene->stage->host;
        memcpy(b[i].states, lent.blocks[i].states, sizeof(b[i].states));
    }
    ((PATH_OFFLOAD_STATE_CONST *)b[1].states)->SourceAddress = scene->addresses[0];
    ((PATH_OFFLOAD_STATE_CONST *)b[1].states)->DestinationAddress = scene->addresses[1];
    b[0].block.DependentBlockList = &b[1].block;
    b[1].block.DependentBlockList = &b[2].block;
}

/* The same three, to be terminated. */
void
tree_end(struct scene *scene, struct test_block b[3])
{
    static const ULONG sizes[3] = {sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED),
                                   sizeof(PATH_OFFLOAD_STATE_DELEGATED),
                                   sizeof(TCP_OFFLOAD_STATE_DELEGATED)};

    test_blocks_as_terminate(b);
    for (int i = 0; i < 3; i++) {
        memset(b[i].states, 0, sizeof(b[i].states));
        ((OFFLOAD_STATE_HEADER *)b[i].states)->Length = sizes[i];
        b[i].block.ProtocolReserved[0] = &scene->stage->host;
    }
}

void
answer(struct scene *scene)
{
    assert_non_null(scene->stage->target.root);
    fake_target_answer(&scene->stage->target);
    stage_settle(scene->stage);
}

static void
scene_open(struct scene *scene)
{
    struct stage *stage;

    memset(scene, 0, sizeof(*scene));
    stage_setup((void **)&scene->stage);
    stage = scene->stage;
    scene->verifier = verifier_create(
        &(struct verifier_options){.on_report = on_report, .arg = scene});
    assert_non_null(scene->verifier);
    house_attach_observer(stage->house, verifier_observer(scene->verifier));
    stage->target.hold_state = true;
    stage_build(stage);
    scene->nic0 = stage->target.adapter;
    assert_int_equal(house_add_adapter(stage->house, "target", "nic1", NULL, NULL), 0);
    scene->nic1 = stage->target.adapter;
    stage->target.adapter = scene->nic0;
    scene->pool = test_pool(stage);
    memcpy(scene->addresses, "\x0a\0\0\1\x0a\0\0\2", sizeof(scene->addresses));
    tree_init(scene, scene->conn);
    NdisInitiateOffload(stage->host.binding, &scene->conn[0].block);
    answer(scene);
    for (int i = 0; i < 3; i++)
        assert_non_null(scene->conn[i].handle.MiniportOffloadContext);
    scene->nbl = test_nbls(scene->pool, 1);
}

/* A query of the connection, held by the target. */
PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST
query_held(struct scene *scene)
{
    test_block_init(&scene->query[0], Ip4OffloadState);
    test_block_init(&scene->query[1], TcpOffloadConstState);
    scene->query[0].block.OffloadHandle = NULL;
    scene->query[1].block.OffloadHandle = &scene->conn[2].handle;
    scene->query[0].block.DependentBlockList = &scene->query[1].block;
    NdisQueryOffloadState(scene->stage->host.binding, &scene->query[0].block);
    assert_ptr_equal(scene->stage->target.root, &scene->query[0].block);
    return scene->stage->target.root;
}

/* NDIS goes on: what is held is answered, another connection goes down and up again. */
static void
goes_on(struct scene *scene)
{
    struct fake_host *host = &scene->stage->host;
    struct test_block other[3];
    unsigned before;

    stage_settle(scene->stage);
    if (scene->stage->target.root)
        answer(scene);
    if (scene->closed)
        return;
    before = host->completions;
    tree_init(scene, other);
    NdisInitiateOffload(host->binding, &other[0].block);
    answer(scene);
    assert_int_equal(host->completions, before + 1);
    assert_ptr_equal(host->done, &other[0].block);
    for (int i = 0; i < 3; i++)
        assert_int_equal(other[i].block.Status, NDIS_STATUS_SUCCESS);
    tree_end(scene, other);
    NdisTerminateOffload(host->binding, &other[0].block);
    answer(scene);
    assert_int_equal(host->completions, before + 2);
    for (int i = 0; i < 3; i++)
        assert_null(other[i].handle.MiniportOffloadContext);
}

static void
end_of_connection(struct scene *scene)
{
    if (scene->closed || !scene->conn[2].handle.MiniportOffloadContext)
        return;
    tree_end(scene, scene->conn);
    NdisTerminateOffload(scene->stage->host.binding, &scene->conn[0].block);
    answer(scene);
    for (int i = 0; i < 3; i++)
        assert_null(scene->conn[i].handle.MiniportOffloadContext);
}

static void
scene_close(struct scene *scene)
{
    struct stage *stage = scene->stage;
    NET_BUFFER_LIST *held = stage->target.nbls;

    if (held) /* honest sends among them */
        fake_target_complete_nbls(&stage->target, stage->target.up.NdisTcpOffloadSendComplete,
                                  NDIS_STATUS_SUCCESS);
    end_of_connection(scene);
    NdisFreeNetBufferList(scene->nbl); /* which says so of one that is not free to go, or is gone */
    stage->target.hold_state = false;
    stage_teardown((void **)&scene->stage);
    verifier_finish(scene->verifier);
    verifier_destroy(scene->verifier);
}

static bool
reported(const struct scene *scene, unsigned rule)
{
    for (unsigned i = 0; i < scene->count; i++)
        if (scene->rules[i] == rule)
            return true;
    return false;
}

static void
run(const struct abuse *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct scene scene;

        scene_open(&scene);
        scene.count = 0; /* the fakes are careless themselves */
        cases[i].act(&scene);
        stage_settle(scene.stage);
        if (!scene.count)
            fail_msg("%s: nothing was reported", cases[i].what);
        if (!reported(&scene, cases[i].rule))
            fail_msg("%s: V-%03u instead of V-%03u", cases[i].what, scene.rules[0], cases[i].rule);
        goes_on(&scene);
        scene_close(&scene);
    }
}

static void
from_above(void **state)
{
    run(abuse_from_above, abuse_from_above_count);
}

static void
from_below(void **state)
{
    run(abuse_from_below, abuse_from_below_count);
}

static void
after_the_close(void **state)
{
    run(abuse_after_close, abuse_after_close_count);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_above),
        cmocka_unit_test(from_below),
        cmocka_unit_test(after_the_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
