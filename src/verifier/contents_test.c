/* V-052, V-053, V-055: states that a query or a terminate brings, whole or with one thing wrong. */
#include "verifier/test_kit.h"

#include <string.h>

/* All three classes of a connection, its path or its neighbor, that are asked for. */
struct scene {
    struct kit kit;
    struct kit_conn conn;
    struct kit_block block;
    void *states[3];
};

static const ULONG sizes[3][3] = {
    {sizeof(NEIGHBOR_OFFLOAD_STATE_CONST), sizeof(NEIGHBOR_OFFLOAD_STATE_CACHED),
     sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED)},
    {sizeof(PATH_OFFLOAD_STATE_CONST), sizeof(PATH_OFFLOAD_STATE_CACHED),
     sizeof(PATH_OFFLOAD_STATE_DELEGATED)},
    {sizeof(TCP_OFFLOAD_STATE_CONST), sizeof(TCP_OFFLOAD_STATE_CACHED),
     sizeof(TCP_OFFLOAD_STATE_DELEGATED)},
};
static const UCHAR types[3] = {NeighborOffloadState, Ip4OffloadState, TcpOffloadState};

static void
ask(struct scene *scene, int layer)
{
    NDIS_OFFLOAD_HANDLE *handles[3] = {&scene->conn.neighbor, &scene->conn.path, &scene->conn.tcp};
    size_t at = 0;

    kit_block_init(&scene->block, types[layer], handles[layer]);
    for (int i = 0; i < 3; i++)
        scene->states[i] = kit_state_add(&scene->block, &at, sizes[layer][i]);
    kit_tree(&scene->kit, &scene->kit.landing, CROSSING_QUERY, false, &scene->block);
}

/* What the kit lent, as a good target gives it back. */
static void
fill(struct scene *scene, int layer)
{
    struct kit_conn lent;
    TCP_OFFLOAD_STATE_DELEGATED *delegated = scene->states[2];
    const char *from;
    PATH_OFFLOAD_STATE_CONST *path = scene->states[0];

    kit_conn_init(&lent);
    from = NDIS_OFFLOAD_STATE_FIRST(&lent.blocks[layer].block);
    for (int i = 0; i < 3; i++) {
        memcpy(scene->states[i], from, sizes[layer][i]);
        from += NDIS_OFFLOAD_STATE_ALIGN(sizes[layer][i]);
    }
    if (layer == 1) {
        path->SourceAddress = scene->conn.addresses[0];
        path->DestinationAddress = scene->conn.addresses[1];
    }
    if (layer == 2) {
        delegated->SendBacklogSize = 65535;
        delegated->ReceiveBacklogSize = 0;
    }
    scene->block.block.Status = NDIS_STATUS_SUCCESS;
}

static void
scene_open(struct scene *scene, int layer)
{
    kit_open(&scene->kit, false);
    kit_offload(&scene->kit, &scene->kit.landing, &scene->conn);
    ask(scene, layer);
    fill(scene, layer);
}

static void
scene_close(struct scene *scene, unsigned rule)
{
    kit_tree(&scene->kit, &scene->kit.landing, CROSSING_QUERY_COMPLETE, true, &scene->block);
    if (rule)
        kit_assert(&scene->kit, rule, "target");
    kit_assert_none(&scene->kit);
    kit_close(&scene->kit);
}

static void
whole(void **state)
{
    for (int layer = 0; layer < 3; layer++) {
        struct scene scene;

        scene_open(&scene, layer);
        scene_close(&scene, 0);
    }
}

/* What is poison is what the verifier wrote before the target got it. */
static void
left_empty(void **state)
{
    static const struct {
        int layer, class;
        unsigned rule;
    } cases[] = {{0, 0, 52}, {0, 1, 52}, {0, 2, 52},
                 {1, 0, 52}, {1, 1, 52}, {1, 2, 0}, /* a header, and nothing behind it */
                 {2, 0, 52}, {2, 1, 52}, {2, 2, 52}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t header = sizeof(OFFLOAD_STATE_HEADER);
        struct kit_block empty;
        struct scene scene;

        kit_open(&scene.kit, false);
        kit_offload(&scene.kit, &scene.kit.landing, &scene.conn);
        ask(&scene, cases[i].layer);
        empty = scene.block;
        fill(&scene, cases[i].layer);
        memcpy((UCHAR *)scene.states[cases[i].class] + header,
               (UCHAR *)&empty + ((UCHAR *)scene.states[cases[i].class] - (UCHAR *)&scene.block) +
                   header,
               sizes[cases[i].layer][cases[i].class] - header);
        scene_close(&scene, cases[i].rule);
    }
}

static void
one_member_left(void **state)
{
    static const struct {
        size_t offset, size;
    } members[] = {
        {offsetof(TCP_OFFLOAD_STATE_DELEGATED, State), 4},
        {offsetof(TCP_OFFLOAD_STATE_DELEGATED, RcvNxt), 4},
        {offsetof(TCP_OFFLOAD_STATE_DELEGATED, Retransmit.TimeoutDelta), 4},
        {offsetof(TCP_OFFLOAD_STATE_DELEGATED, SendBacklogSize), 4},
        {offsetof(TCP_OFFLOAD_STATE_DELEGATED, ReceiveBacklogSize), 4},
    };

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        struct kit_block empty;
        struct scene scene;

        kit_open(&scene.kit, false);
        kit_offload(&scene.kit, &scene.kit.landing, &scene.conn);
        ask(&scene, 2);
        empty = scene.block;
        fill(&scene, 2);
        memcpy((UCHAR *)scene.states[2] + members[i].offset,
               (UCHAR *)&empty + ((UCHAR *)scene.states[2] - (UCHAR *)&scene.block) +
                   members[i].offset,
               members[i].size);
        scene_close(&scene, 52);
    }
}

static void
backlogs(void **state)
{
    static const struct {
        ULONG send, window;
        unsigned rule;
    } cases[] = {{0, 1000, 52}, {0, 0, 0}, {TCP_OFFLOAD_BACKLOG_UNSUPPORTED, 1000, 0}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        TCP_OFFLOAD_STATE_DELEGATED *delegated;
        struct scene scene;

        scene_open(&scene, 2);
        delegated = scene.states[2];
        delegated->SendBacklogSize = cases[i].send;
        delegated->SndWnd = cases[i].window;
        scene_close(&scene, cases[i].rule);
    }
}

/* ---- what the host stack gave ---- */

static void
another_value(void **state)
{
    static const struct {
        int layer, class;
        size_t offset;
        unsigned rule;
    } cases[] = {
        {0, 0, offsetof(NEIGHBOR_OFFLOAD_STATE_CONST, DlSourceAddress) + 5, 53},
        {0, 1, offsetof(NEIGHBOR_OFFLOAD_STATE_CACHED, DlDestinationAddress), 53},
        {0, 1, offsetof(NEIGHBOR_OFFLOAD_STATE_CACHED, HostReachabilityDelta), 0}, /* it grows */
        {1, 1, offsetof(PATH_OFFLOAD_STATE_CACHED, PathMtu), 53},
        {2, 0, offsetof(TCP_OFFLOAD_STATE_CONST, RemoteMss), 53},
        {2, 0, offsetof(TCP_OFFLOAD_STATE_CONST, HashValue), 53},
        {2, 1, offsetof(TCP_OFFLOAD_STATE_CACHED, MaxRT), 53},
        {2, 1, offsetof(TCP_OFFLOAD_STATE_CACHED, TtlOrHopLimit), 53},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;

        scene_open(&scene, cases[i].layer);
        ((UCHAR *)scene.states[cases[i].class])[cases[i].offset] ^= 1;
        scene_close(&scene, cases[i].rule);
    }
}

/* Flags that are orders are done with. */
static void
orders_are_no_state(void **state)
{
    struct scene scene;

    scene_open(&scene, 2);
    ((TCP_OFFLOAD_STATE_CACHED *)scene.states[1])->Flags = TCP_FLAG_UPDATE_RCV_WND |
                                                           TCP_FLAG_MAX_RT_RESTART;
    scene_close(&scene, 0);
    scene_open(&scene, 2);
    ((TCP_OFFLOAD_STATE_CACHED *)scene.states[1])->Flags = TCP_FLAG_NAGLING_ENABLED;
    scene_close(&scene, 53);
}

/* The bytes count, not where they are; NULL is nowhere. */
static void
addresses(void **state)
{
    UCHAR same[4] = {10, 0, 0, 1}, other[4] = {10, 0, 0, 3};
    const UCHAR *const sources[] = {same, other, NULL};
    static const unsigned rules[] = {0, 53, 52};

    for (int i = 0; i < 3; i++) {
        struct scene scene;

        scene_open(&scene, 1);
        ((PATH_OFFLOAD_STATE_CONST *)scene.states[0])->SourceAddress = sources[i];
        scene_close(&scene, rules[i]);
    }
}

/* ---- updates ---- */

static void
update(struct scene *scene, struct kit_block *block, UCHAR ttl)
{
    struct kit_conn lent;
    TCP_OFFLOAD_STATE_CONST *fixed;
    TCP_OFFLOAD_STATE_CACHED *cached;

    kit_conn_init(&lent);
    fixed = NDIS_OFFLOAD_STATE_FIRST(&lent.blocks[2].block);
    kit_block_init(block, TcpOffloadCachedState, &scene->conn.tcp);
    cached = kit_state_add(block, &(size_t){0}, sizeof(*cached));
    *cached = *(TCP_OFFLOAD_STATE_CACHED *)NDIS_OFFLOAD_STATE_NEXT(fixed);
    cached->TtlOrHopLimit = ttl;
    kit_tree(&scene->kit, &scene->kit.landing, CROSSING_UPDATE, false, block);
}

static void
updated(struct scene *scene, struct kit_block *block, NDIS_STATUS status)
{
    block->block.Status = status;
    kit_tree(&scene->kit, &scene->kit.landing, CROSSING_UPDATE_COMPLETE, true, block);
}

static void
while_an_update_is_out(void **state)
{
    struct kit_block block;
    struct scene scene;

    for (UCHAR ttl = 64; ttl <= 65; ttl++) { /* before and after */
        scene_open(&scene, 2);
        update(&scene, &block, 65);
        updated(&scene, &block, NDIS_STATUS_SUCCESS);
        ((TCP_OFFLOAD_STATE_CACHED *)scene.states[1])->TtlOrHopLimit = ttl;
        scene_close(&scene, 0);
    }
}

static void
after_an_update(void **state)
{
    for (int old = 0; old < 2; old++) {
        struct kit_block block;
        struct scene scene;

        kit_open(&scene.kit, false);
        kit_offload(&scene.kit, &scene.kit.landing, &scene.conn);
        update(&scene, &block, 65);
        updated(&scene, &block, NDIS_STATUS_SUCCESS);
        ask(&scene, 2);
        fill(&scene, 2);
        ((TCP_OFFLOAD_STATE_CACHED *)scene.states[1])->TtlOrHopLimit = old ? 64 : 65;
        scene_close(&scene, old ? 53 : 0);
    }
}

/* Then nobody knows which of them it took. */
static void
after_a_failed_update(void **state)
{
    struct kit_block block;
    struct scene scene;

    kit_open(&scene.kit, false);
    kit_offload(&scene.kit, &scene.kit.landing, &scene.conn);
    update(&scene, &block, 65);
    updated(&scene, &block, NDIS_STATUS_FAILURE);
    ask(&scene, 2);
    fill(&scene, 2);
    ((TCP_OFFLOAD_STATE_CACHED *)scene.states[1])->TtlOrHopLimit = 65;
    scene_close(&scene, 0);
}

/* ---- what a query must not leave behind ---- */

/* A query that NDIS refused: the poison is gone again. */
static void
refused(void **state)
{
    struct crossing crossing;
    struct kit_block before;
    struct kit_conn conn;
    struct kit_block block;
    struct kit kit;

    kit_open(&kit, false);
    kit_offload(&kit, &kit.landing, &conn);
    kit_block_init(&block, TcpOffloadDelegatedState, &conn.tcp);
    kit_state_add(&block, &(size_t){0}, sizeof(TCP_OFFLOAD_STATE_DELEGATED));
    before = block;
    kit_tree(&kit, &kit.landing, CROSSING_QUERY, false, &block);
    block.block.Status = NDIS_STATUS_FAILURE;
    crossing = kit_crossing(&kit.landing, CROSSING_QUERY_COMPLETE, true);
    crossing.from = "ndis";
    crossing.blocks = &block;
    kit_before(&kit, &crossing);
    kit_after(&kit, &crossing, NDIS_STATUS_FAILURE);
    assert_memory_equal(block.states, before.states, sizeof(block.states));
    kit_assert_none(&kit);
    kit_close(&kit);
}

static void
a_terminate_left_empty(void **state)
{
    const TCP_OFFLOAD_STATE_DELEGATED *delegated;
    struct kit_conn conn;
    struct kit kit;

    kit_open(&kit, false);
    kit_offload(&kit, &kit.landing, &conn);
    kit_terminate(&kit, &kit.landing, &conn);
    for (int i = 0; i < 3; i++)
        conn.blocks[i].block.Status = NDIS_STATUS_SUCCESS;
    kit_tree(&kit, &kit.landing, CROSSING_TERMINATE_COMPLETE, true, &conn.blocks[0]);
    kit_assert(&kit, 55, "target");
    delegated = NDIS_OFFLOAD_STATE_FIRST(&conn.blocks[2].block);
    assert_null(delegated->BufferedData); /* nobody shall follow it */
    assert_null(delegated->SendDataHead);
    kit_close(&kit);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),           cmocka_unit_test(left_empty),
        cmocka_unit_test(one_member_left), cmocka_unit_test(backlogs),
        cmocka_unit_test(another_value),   cmocka_unit_test(orders_are_no_state),
        cmocka_unit_test(addresses),       cmocka_unit_test(while_an_update_is_out),
        cmocka_unit_test(after_an_update), cmocka_unit_test(after_a_failed_update),
        cmocka_unit_test(refused),         cmocka_unit_test(a_terminate_left_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
