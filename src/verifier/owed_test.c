/* V-065 … V-070: what a host stack knows and goes on asking, what it owes and does not do. */
#include "verifier/test_kit.h"

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

static void
expect(struct scene *scene, unsigned rule)
{
    if (rule)
        kit_assert(&scene->kit, rule, "host");
    kit_assert_none(&scene->kit);
}

/* There and back, and it fails. */
static void
fails(struct scene *scene, enum crossing_op op, UCHAR type, ULONG state_bytes)
{
    struct kit_block block;

    kit_block_init(&block, type, &scene->conn.tcp);
    kit_state_add(&block, &(size_t){0}, state_bytes);
    kit_tree(&scene->kit, &scene->kit.landing, op, false, &block);
    block.block.Status = NDIS_STATUS_FAILURE;
    kit_tree(&scene->kit, &scene->kit.landing,
             op == CROSSING_QUERY ? CROSSING_QUERY_COMPLETE : CROSSING_UPDATE_COMPLETE, true,
             &block);
}

/* ---- pauses ---- */

static void
status_begin(struct scene *scene, struct crossing *crossing, NDIS_STATUS code)
{
    *crossing = kit_crossing(&scene->kit.landing, CROSSING_STATUS, true);
    crossing->code = (ULONG)code;
    kit_before(&scene->kit, crossing);
}

static void
status(struct scene *scene, NDIS_STATUS code)
{
    struct crossing crossing;

    status_begin(scene, &crossing, code);
    kit_after(&scene->kit, &crossing, NDIS_STATUS_SUCCESS);
}

static void
pauses(void **state)
{
    static const struct {
        NDIS_STATUS first, second;
        unsigned rule;
    } cases[] = {
        {NDIS_STATUS_OFFLOAD_PAUSE, 0, 65},
        {NDIS_STATUS_OFFLOAD_PAUSE, NDIS_STATUS_OFFLOAD_RESUME, 0},
        {NDIS_STATUS_UPLOAD_ALL, 0, 66},
        {NDIS_STATUS_OFFLOAD_PAUSE, NDIS_STATUS_UPLOAD_ALL, 66},
        {NDIS_STATUS_UPLOAD_ALL, NDIS_STATUS_OFFLOAD_RESUME, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;

        kit_open(&scene.kit, false);
        kit_conn_init(&scene.conn);
        status(&scene, cases[i].first);
        if (cases[i].second)
            status(&scene, cases[i].second);
        kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
        expect(&scene, cases[i].rule);
        scene_close(&scene);
    }
}

/* It was on its way before the driver had heard. */
static void
a_pause_that_is_being_told(void **state)
{
    struct crossing crossing;
    struct scene scene;

    kit_open(&scene.kit, false);
    kit_conn_init(&scene.conn);
    status_begin(&scene, &crossing, NDIS_STATUS_OFFLOAD_PAUSE);
    kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_SUCCESS);
    scene_close(&scene);
}

/* ---- what it owes ---- */

static void
failed_query(struct scene *scene)
{
    fails(scene, CROSSING_QUERY, TcpOffloadDelegatedState, sizeof(TCP_OFFLOAD_STATE_DELEGATED));
}

static void
failed_update(struct scene *scene)
{
    fails(scene, CROSSING_UPDATE, TcpOffloadCachedState, sizeof(TCP_OFFLOAD_STATE_CACHED));
}

static void
invalidated(struct scene *scene)
{
    kit_invalidate(&scene->kit, &scene->kit.landing, &scene->conn.tcp, TcpOffloadState);
}

static void
aborted(struct scene *scene)
{
    kit_event(&scene->kit, &scene->kit.landing, &scene->conn.tcp, TcpIndicateAbort, 0);
}

static void
mandatory(struct scene *scene)
{
    kit_event(&scene->kit, &scene->kit.landing, &scene->conn.tcp, TcpIndicateRetrieve,
              UploadRequested);
}

static void
optional(struct scene *scene)
{
    kit_event(&scene->kit, &scene->kit.landing, &scene->conn.tcp, TcpIndicateRetrieve, LowActivity);
}

static void
upload_all(struct scene *scene)
{
    status(scene, NDIS_STATUS_UPLOAD_ALL);
}

static const struct {
    void (*happens)(struct scene *scene);
    unsigned rule;
} debts[] = {{aborted, 67},       {mandatory, 67},   {optional, 0},   {failed_query, 69},
             {failed_update, 69}, {invalidated, 70}, {upload_all, 66}};

static void
owed(void **state)
{
    const uint64_t limit_us = 30000000;

    for (size_t i = 0; i < sizeof(debts) / sizeof(debts[0]); i++) {
        struct scene scene;

        print_message("# %zu\n", i);
        scene_open(&scene);
        debts[i].happens(&scene);
        verifier_tick(scene.kit.verifier, scene.kit.now_us + limit_us - 1);
        expect(&scene, 0);
        verifier_tick(scene.kit.verifier, scene.kit.now_us + 2 * limit_us);
        expect(&scene, debts[i].rule);
        verifier_tick(scene.kit.verifier, scene.kit.now_us + 3 * limit_us);
        expect(&scene, 0); /* once */
        scene_close(&scene);
    }
}

static void
paid(void **state)
{
    for (size_t i = 0; i < sizeof(debts) / sizeof(debts[0]); i++) {
        struct scene scene;

        scene_open(&scene);
        debts[i].happens(&scene);
        kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
        verifier_tick(scene.kit.verifier, scene.kit.now_us + 60000000);
        expect(&scene, 0);
        scene_close(&scene);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pauses),
        cmocka_unit_test(a_pause_that_is_being_told),
        cmocka_unit_test(owed),
        cmocka_unit_test(paid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
