/*
 * What crosses the landings when a connection moves: the operations in order on every floor, one
 * tree converted in place, and every handle and context on the floor it belongs to. Sources: P1 to
 * P6, P15, P16, P18, P19, P22, P26; V-158 to V-161.
 */
#include "stage.h"

#include <errno.h>

#define RECORDS 2048

struct record {
    struct crossing crossing;
    NDIS_HANDLE tcp_handle; /* of the tree's TCP node, in the form of the callee */
    void *tcp_context;      /* what its context cell holds at that moment */
    NDIS_STATUS tcp_status;
};

static struct record records[RECORDS];
static unsigned record_count;

/* Both forms of a block have their links, status and handle at the same place. */
static void
read_tree(struct record *record)
{
    const NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block = record->crossing.blocks;

    while (block->DependentBlockList)
        block = block->DependentBlockList;
    record->tcp_handle = block->OffloadHandle;
    record->tcp_status = block->Status;
    if (block->OffloadHandle)
        record->tcp_context = block->OffloadHandle->MiniportOffloadContext;
}

static void
on_crossing(void *arg, struct crossing *crossing)
{
    if (crossing->after || record_count == RECORDS)
        return;
    struct record *record = &records[record_count++];
    *record = (struct record){.crossing = *crossing};
    if (crossing->blocks)
        read_tree(record);
}

static struct observer observer = {.on_crossing = on_crossing};

/* The next record of op at or after *at. */
static const struct record *
next(unsigned *at, enum crossing_op op)
{
    while (*at < record_count)
        if (records[(*at)++].crossing.op == op)
            return &records[*at - 1];
    return NULL;
}

static unsigned
count(enum crossing_op op)
{
    unsigned at = 0, found = 0;

    while (next(&at, op))
        found++;
    return found;
}

static void
expect(const struct record *record, const char *from, const char *to)
{
    assert_non_null(record);
    assert_string_equal(record->crossing.from, from);
    assert_string_equal(record->crossing.to, to);
}

struct scene {
    struct stage stage;
    struct pair pair;
    struct actor *left;
    unsigned floors; /* there may be more than asked for (stage.h) */
};

static void
open_scene(struct scene *scene, unsigned passthru)
{
    struct stage_options options = {.passthru = passthru, .observer = &observer};
    struct script_options sides[2] = {{0}};

    stage_open(&scene->stage, &options);
    pair_open(&scene->stage, &scene->pair, sides);
    scene->left = &scene->pair.actors[LEFT];
    scene->floors = scene->stage.floor_count[LEFT];
    record_count = 0;
}

static void
close_scene(struct scene *scene)
{
    pair_close(&scene->pair);
    house_detach_observer(scene->stage.house, &observer);
    stage_close(&scene->stage);
}

/* One floor down, or one up, from so many below the host. */
static void
expect_down(const struct scene *scene, const struct record *record, unsigned floor)
{
    expect(record, stage_driver(&scene->stage, floor), stage_driver(&scene->stage, floor + 1));
    assert_false(record->crossing.up);
}

static void
expect_up(const struct scene *scene, const struct record *record, unsigned floor)
{
    expect(record, stage_driver(&scene->stage, floor), stage_driver(&scene->stage, floor - 1));
    assert_true(record->crossing.up);
}

/* Down through every floor, then up through every floor, nothing else in between. */
static void
check_order(const struct scene *scene, enum crossing_op down, enum crossing_op up)
{
    unsigned at = 0;
    const void *root = NULL;

    for (unsigned floor = 0; floor <= scene->floors; floor++) {
        const struct record *record = next(&at, down);
        expect_down(scene, record, floor);
        root = root ? root : record->crossing.blocks;
        assert_ptr_equal(record->crossing.blocks, root); /* in place */
    }
    for (unsigned floor = scene->floors + 1; floor > 0; floor--) {
        const struct record *record = next(&at, up);
        expect_up(scene, record, floor);
        assert_ptr_equal(record->crossing.blocks, root);
        assert_int_equal(record->tcp_status, NDIS_STATUS_SUCCESS);
    }
    assert_int_equal(count(down), scene->floors + 1);
    assert_int_equal(count(up), scene->floors + 1);
}

/* The handles that went down come up again in reverse; the topmost is the host's own. */
static void
check_handles(const struct scene *scene, enum crossing_op down, enum crossing_op up)
{
    NDIS_HANDLE handles[STAGE_FLOORS_MAX + 1];
    unsigned at = 0;

    for (unsigned i = 0; i <= scene->floors; i++) {
        handles[i] = next(&at, down)->tcp_handle;
        for (unsigned j = 0; j < i; j++)
            assert_ptr_not_equal(handles[i], handles[j]); /* every floor has its own */
    }
    assert_ptr_equal(handles[0], script_handle(scene->left->conn));
    for (unsigned i = scene->floors + 1; i > 0; i--)
        assert_ptr_equal(next(&at, up)->tcp_handle, handles[i - 1]);
}

static void
move_and_check(unsigned passthru)
{
    struct scene scene;

    open_scene(&scene, passthru);
    actor_offload(scene.left);
    check_order(&scene, CROSSING_INITIATE, CROSSING_INITIATE_COMPLETE);
    check_handles(&scene, CROSSING_INITIATE, CROSSING_INITIATE_COMPLETE);
    assert_non_null(script_handle(scene.left->conn)->MiniportOffloadContext);

    record_count = 0;
    actor_upload(scene.left);
    check_order(&scene, CROSSING_TERMINATE, CROSSING_TERMINATE_COMPLETE);
    check_handles(&scene, CROSSING_TERMINATE, CROSSING_TERMINATE_COMPLETE);
    assert_null(script_handle(scene.left->conn)->MiniportOffloadContext); /* P19 */
    close_scene(&scene);
}

static void
order_without_passthru(void **state)
{
    move_and_check(0);
}

static void
order_with_one_passthru(void **state)
{
    move_and_check(1);
}

static void
order_with_two_passthrus(void **state)
{
    move_and_check(2);
}

/* A floor writes its context before it completes, and no floor shows the one below it (V-161). */
static void
contexts_appear_floor_by_floor(void **state)
{
    struct scene scene;
    void *contexts[STAGE_FLOORS_MAX + 1];
    unsigned at = 0;

    open_scene(&scene, 2);
    actor_offload(scene.left);
    for (unsigned i = 0; i <= scene.floors; i++)
        assert_null(next(&at, CROSSING_INITIATE)->tcp_context); /* a new offload on every floor */
    at = 0;
    for (unsigned i = 0; i <= scene.floors; i++) {
        contexts[i] = next(&at, CROSSING_INITIATE_COMPLETE)->tcp_context;
        assert_non_null(contexts[i]);
        for (unsigned j = 0; j < i; j++)
            assert_ptr_not_equal(contexts[i], contexts[j]);
    }
    assert_ptr_equal(contexts[scene.floors],
                     script_handle(scene.left->conn)->MiniportOffloadContext);
    close_scene(&scene);
}

/* What a floor was given and gave at the initiate: number 0 is the host's, at the landing below it.
 */
struct names {
    const void *handles[STAGE_FLOORS_MAX + 1];
    void *contexts[STAGE_FLOORS_MAX + 1];
};

static struct names
read_names(const struct scene *scene)
{
    struct names names;
    unsigned at = 0;

    for (unsigned i = 0; i <= scene->floors; i++)
        names.handles[i] = next(&at, CROSSING_INITIATE)->tcp_handle;
    at = 0;
    for (unsigned i = scene->floors + 1; i > 0; i--)
        names.contexts[i - 1] = next(&at, CROSSING_INITIATE_COMPLETE)->tcp_context;
    return names;
}

/* Data names the connection by the context of the floor below, going down, and by the handle of the
 * floor above. */
static void
data_names_the_right_floor(void **state)
{
    struct scene scene;
    struct names names;
    unsigned at = 0;

    open_scene(&scene, 1);
    actor_offload(scene.left);
    names = read_names(&scene);
    record_count = 0;
    pair_send(&scene.pair, 1000, 1000, false);
    assert_true(stage_run(&scene.stage, pair_done, &scene.pair, 1000000));
    for (unsigned i = 0; i <= scene.floors; i++) {
        const struct record *send = next(&at, CROSSING_TCP_SEND);
        assert_non_null(send);
        assert_ptr_equal(send->crossing.miniport_context, names.contexts[i]);
        assert_ptr_equal(send->crossing.object, names.handles[i]);
    }
    at = 0;
    for (unsigned i = scene.floors + 1; i > 0; i--) {
        const struct record *indicate = next(&at, CROSSING_TCP_RECEIVE_INDICATE);
        assert_non_null(indicate);
        assert_ptr_equal(indicate->crossing.object, names.handles[i - 1]);
    }
    stage_pass(&scene.stage, 100000); /* the delayed acknowledgement */
    assert_int_equal(count(CROSSING_TCP_SEND_COMPLETE), count(CROSSING_TCP_SEND));
    pair_check(&scene.pair);
    close_scene(&scene);
}

/* The same NBL on every floor, and completed to the one that sent it (V-162). */
static void
the_same_nbl_goes_down_and_up(void **state)
{
    struct scene scene;
    unsigned at = 0;

    open_scene(&scene, 2);
    actor_offload(scene.left);
    record_count = 0;
    actor_send(scene.left, 10, false);
    assert_true(stage_run(&scene.stage, pair_done, &scene.pair, 1000000));
    stage_pass(&scene.stage, 100000); /* the delayed acknowledgement */
    const struct record *first = next(&at, CROSSING_TCP_SEND);
    assert_non_null(first);
    expect_down(&scene, first, 0);
    for (unsigned floor = 1; floor <= scene.floors; floor++) {
        const struct record *send = next(&at, CROSSING_TCP_SEND);
        expect_down(&scene, send, floor);
        assert_ptr_equal(send->crossing.nbls, first->crossing.nbls);
    }
    for (unsigned floor = scene.floors + 1; floor > 0; floor--) {
        const struct record *done = next(&at, CROSSING_TCP_SEND_COMPLETE);
        expect_up(&scene, done, floor);
        assert_ptr_equal(done->crossing.nbls, first->crossing.nbls);
    }
    close_scene(&scene);
}

static void
query_passes_every_floor(void **state)
{
    struct scene scene;

    open_scene(&scene, 2);
    actor_offload(scene.left);
    record_count = 0;
    assert_int_equal(script_query(scene.left->conn), 0);
    assert_int_equal(script_upload(scene.left->conn), -EBUSY); /* V-062 */
    stage_pass(&scene.stage, 10000);
    assert_int_equal(scene.left->queries, 1);
    assert_int_equal(scene.left->query_status, NDIS_STATUS_SUCCESS);
    assert_int_equal(scene.left->queried.State, TcpConnectionEstablished);
    check_order(&scene, CROSSING_QUERY, CROSSING_QUERY_COMPLETE);
    close_scene(&scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_without_passthru),
        cmocka_unit_test(order_with_one_passthru),
        cmocka_unit_test(order_with_two_passthrus),
        cmocka_unit_test(contexts_appear_floor_by_floor),
        cmocka_unit_test(data_names_the_right_floor),
        cmocka_unit_test(the_same_nbl_goes_down_and_up),
        cmocka_unit_test(query_passes_every_floor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
