/*
 * NBLs that are not where they should be: posted while they are out, completed by another call or
 * adapter, freed too early, written over. NDIS says so, takes them out of their list, and what is
 * right about the rest stays right.
 */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <stdio.h>

struct scene {
    struct stage *stage;
    struct observer observer;
    NDIS_HANDLE nic0, nic1, pool;
    NET_BUFFER_LIST *nbl;
    struct test_block b[3];
    unsigned rule, breaches; /* of the last breach; all since the last look */
    char driver[16];
};

static void
on_breach(void *arg, unsigned rule, const char *driver, const void *object, const char *what)
{
    struct scene *scene = arg;

    scene->rule = rule;
    scene->breaches++;
    snprintf(scene->driver, sizeof(scene->driver), "%s", driver);
}

static void
assert_breach(struct scene *scene, unsigned rule, const char *driver)
{
    assert_int_equal(scene->breaches, 1);
    assert_int_equal(scene->rule, rule);
    assert_string_equal(scene->driver, driver);
    scene->breaches = 0;
}

/* The fake forgets what it keeps: the test moves it by hand. */
static void
keep_nothing(struct scene *scene)
{
    scene->stage->target.nbls = scene->stage->target.nbls_tail = NULL;
    scene->stage->host.nbls = scene->stage->host.nbls_tail = NULL;
}

static void
scene_open(struct scene *scene, struct stage *stage)
{
    memset(scene, 0, sizeof(*scene));
    scene->stage = stage;
    scene->nic0 = stage->target.adapter;
    assert_int_equal(house_add_adapter(stage->house, "target", "nic1", NULL, NULL), 0);
    scene->nic1 = stage->target.adapter;
    stage->target.adapter = scene->nic0;
    stage_offload(stage, scene->b);
    scene->pool = test_pool(stage);
    scene->nbl = test_nbls(scene->pool, 1);
    scene->observer = (struct observer){.on_breach = on_breach, .arg = scene};
    house_attach_observer(stage->house, &scene->observer);
    stage->host.calls = 0;
}

static void
scene_close(struct scene *scene)
{
    struct stage *stage = scene->stage;

    assert_int_equal(scene->breaches, 0);
    house_detach_observer(stage->house, &scene->observer);
    keep_nothing(scene);
    test_blocks_as_terminate(scene->b);
    NdisTerminateOffload(stage->host.binding, &scene->b[0].block);
    stage_settle(stage);
    NdisFreeNetBufferList(scene->nbl);
    NdisFreeNetBufferListPool(scene->pool);
}

static void
send(struct scene *scene, NET_BUFFER_LIST *nbls)
{
    assert_int_equal(NdisOffloadTcpSend(&scene->b[2].handle, nbls), NDIS_STATUS_PENDING);
    keep_nothing(scene);
}

static void
frame(struct scene *scene, NET_BUFFER_LIST *nbls)
{
    NdisSendNetBufferLists(scene->stage->host.binding, nbls, 0, 0);
    keep_nothing(scene);
}

static void
send_done(struct scene *scene, NDIS_HANDLE adapter, NET_BUFFER_LIST *nbls)
{
    scene->stage->target.up.NdisTcpOffloadSendComplete(adapter, nbls);
    keep_nothing(scene);
}

static void
frame_done(struct scene *scene, NDIS_HANDLE adapter, NET_BUFFER_LIST *nbls)
{
    NdisMSendNetBufferListsComplete(adapter, nbls, 0);
    keep_nothing(scene);
}

/* How often the host was called since the last look. */
static void
assert_heard(struct scene *scene, unsigned calls)
{
    assert_int_equal(scene->stage->host.calls, calls);
    scene->stage->host.calls = 0;
}

static void
written_over_while_out(void **state)
{
    struct scene scene;

    scene_open(&scene, *state);
    send(&scene, scene.nbl);
    memset(scene.nbl->NdisReserved, 0x5a, sizeof(scene.nbl->NdisReserved));
    send_done(&scene, scene.nic0, scene.nbl);
    assert_breach(&scene, 74, "target");
    frame_done(&scene, scene.nic0, scene.nbl);
    assert_breach(&scene, 0, "target");
    assert_heard(&scene, 0);
    scene_close(&scene);
}

static void
written_over_before_it_goes(void **state)
{
    struct scene scene;

    scene_open(&scene, *state);
    memset(scene.nbl->NdisReserved, 0x5a, sizeof(scene.nbl->NdisReserved));
    send(&scene, scene.nbl);
    assert_breach(&scene, 85, "host");
    send_done(&scene, scene.nic0, scene.nbl);
    memset(scene.nbl->NdisReserved, 0x5a, sizeof(scene.nbl->NdisReserved));
    frame(&scene, scene.nbl);
    assert_breach(&scene, 184, "host");
    frame_done(&scene, scene.nic0, scene.nbl);
    assert_heard(&scene, 2);
    house_detach_observer(scene.stage->house, &scene.observer); /* nobody watches: the same */
    memset(scene.nbl->NdisReserved, 0x5a, sizeof(scene.nbl->NdisReserved));
    send(&scene, scene.nbl);
    send_done(&scene, scene.nic0, scene.nbl);
    assert_heard(&scene, 1);
    scene_close(&scene);
}

static void
never_under_way(void **state)
{
    NET_BUFFER_LIST own;
    struct scene scene;

    scene_open(&scene, *state);
    memset(&own, 0xcc, sizeof(own));
    own.Next = NULL;
    send_done(&scene, scene.nic0, &own);
    assert_breach(&scene, 74, "target");
    scene.stage->target.up.NdisTcpOffloadReceiveComplete(scene.nic0, &own);
    assert_breach(&scene, 91, "target");
    frame_done(&scene, scene.nic0, &own);
    assert_breach(&scene, 0, "target");
    assert_heard(&scene, 0);
    scene_close(&scene);
}

/* And then by the right one. */
static void
completed_by_another_call(void **state)
{
    struct scene scene;

    scene_open(&scene, *state);
    send(&scene, scene.nbl);
    frame_done(&scene, scene.nic0, scene.nbl);
    assert_breach(&scene, 74, "target");
    scene.stage->target.up.NdisTcpOffloadDisconnectComplete(scene.nic0, scene.nbl);
    assert_breach(&scene, 125, "target");
    scene.stage->target.up.NdisTcpOffloadForwardComplete(scene.nic0, scene.nbl);
    assert_breach(&scene, 117, "target");
    assert_heard(&scene, 0);
    send_done(&scene, scene.nic0, scene.nbl);
    assert_heard(&scene, 1);
    frame(&scene, scene.nbl);
    send_done(&scene, scene.nic0, scene.nbl);
    assert_breach(&scene, 74, "target");
    assert_heard(&scene, 0);
    frame_done(&scene, scene.nic0, scene.nbl);
    assert_heard(&scene, 1);
    scene_close(&scene);
}

static void
completed_by_another_adapter(void **state)
{
    struct scene scene;

    scene_open(&scene, *state);
    send(&scene, scene.nbl);
    send_done(&scene, scene.nic1, scene.nbl);
    assert_breach(&scene, 74, "target");
    assert_heard(&scene, 0);
    send_done(&scene, scene.nic0, scene.nbl);
    assert_heard(&scene, 1);
    frame(&scene, scene.nbl);
    frame_done(&scene, scene.nic1, scene.nbl);
    assert_breach(&scene, 0, "target");
    assert_heard(&scene, 0);
    frame_done(&scene, scene.nic0, scene.nbl);
    assert_heard(&scene, 1);
    scene_close(&scene);
}

/* The first post is the one that counts. */
static void
posted_while_it_is_out(void **state)
{
    struct scene scene;

    scene_open(&scene, *state);
    send(&scene, scene.nbl);
    send(&scene, scene.nbl);
    assert_breach(&scene, 85, "host");
    frame(&scene, scene.nbl);
    assert_breach(&scene, 184, "host");
    send_done(&scene, scene.nic0, scene.nbl);
    assert_heard(&scene, 1);
    frame(&scene, scene.nbl);
    frame(&scene, scene.nbl);
    assert_breach(&scene, 184, "host");
    frame_done(&scene, scene.nic0, scene.nbl);
    assert_heard(&scene, 1);
    frame_done(&scene, scene.nic0, scene.nbl);
    assert_breach(&scene, 0, "target");
    assert_heard(&scene, 0);
    scene_close(&scene);
}

/* In front of a good one, which goes. */
static void
posted_with_others(void **state)
{
    NET_BUFFER_LIST *good;
    struct scene scene;

    scene_open(&scene, *state);
    good = test_nbls(scene.pool, 1);
    send(&scene, scene.nbl);
    scene.nbl->Next = good;
    assert_int_equal(NdisOffloadTcpSend(&scene.b[2].handle, scene.nbl), NDIS_STATUS_PENDING);
    assert_breach(&scene, 85, "host");
    assert_ptr_equal(scene.stage->target.nbls, good);
    assert_int_equal(test_count(scene.stage->target.nbls), 1);
    keep_nothing(&scene);
    scene.nbl->Next = NULL;
    send_done(&scene, scene.nic0, good);
    send_done(&scene, scene.nic0, scene.nbl);
    assert_heard(&scene, 2);
    NdisFreeNetBufferList(good);
    scene_close(&scene);
}

static void
posted_in_a_circle(void **state)
{
    NET_BUFFER_LIST *nbls;
    struct scene scene;

    scene_open(&scene, *state);
    nbls = test_nbls(scene.pool, 3);
    nbls->Next->Next->Next = nbls->Next;
    send(&scene, nbls);
    assert_breach(&scene, 85, "host");
    assert_int_equal(test_count(nbls), 3);
    send_done(&scene, scene.nic0, nbls);
    assert_heard(&scene, 1);
    assert_int_equal(test_count(nbls), 3);
    test_free_nbls(nbls);
    scene_close(&scene);
}

/* NDIS has it, to be completed at the next turn. */
static void
posted_while_it_waits_refused(void **state)
{
    struct scene scene;

    scene_open(&scene, *state);
    assert_int_equal(house_set_power(scene.stage->house, "nic0", NdisDeviceStateD3), 0);
    frame(&scene, scene.nbl);
    frame(&scene, scene.nbl);
    assert_breach(&scene, 85, "host");
    frame_done(&scene, scene.nic0, scene.nbl);
    assert_breach(&scene, 0, "target");
    scene.stage->host.calls = 0;
    stage_settle(scene.stage);
    assert_heard(&scene, 1);
    assert_null(scene.nbl->NdisReserved[0]);
    assert_int_equal(house_set_power(scene.stage->house, "nic0", NdisDeviceStateD0), 0);
    scene_close(&scene);
}

static void
freed_while_it_is_out(void **state)
{
    struct scene scene;

    scene_open(&scene, *state);
    send(&scene, scene.nbl);
    NdisFreeNetBufferList(scene.nbl);
    assert_breach(&scene, 85, "host");
    send_done(&scene, scene.nic0, scene.nbl);
    assert_heard(&scene, 1);
    scene_close(&scene); /* which frees it */
}

static void
freed_twice(void **state)
{
    NET_BUFFER_LIST *nbl, own;
    struct scene scene;

    scene_open(&scene, *state);
    nbl = test_nbls(scene.pool, 1);
    NdisFreeNetBufferList(nbl);
    NdisFreeNetBufferList(nbl);
    assert_breach(&scene, 0, "?");
    memset(&own, 0, sizeof(own));
    NdisFreeNetBufferList(&own);
    assert_breach(&scene, 0, "?");
    scene_close(&scene);
}

/* Good ones before, between and after. */
static void
good_and_bad_in_one_list(void **state)
{
    NET_BUFFER_LIST *nbls[5];
    struct scene scene;

    scene_open(&scene, *state);
    for (int i = 0; i < 5; i++) {
        nbls[i] = test_nbls(scene.pool, 1);
        if (i == 1)
            assert_int_equal(NdisOffloadTcpReceive(&scene.b[2].handle, nbls[i]),
                             NDIS_STATUS_PENDING);
        else if (i != 3)
            send(&scene, nbls[i]);
    }
    for (int i = 0; i < 4; i++)
        nbls[i]->Next = nbls[i + 1];
    keep_nothing(&scene);
    scene.stage->target.up.NdisTcpOffloadSendComplete(scene.nic0, nbls[0]);
    assert_int_equal(scene.breaches, 2);
    assert_int_equal(scene.rule, 74);
    scene.breaches = 0;
    assert_int_equal(test_count(scene.stage->host.nbls), 3);
    keep_nothing(&scene);
    scene.stage->host.calls = 0;
    scene.stage->target.up.NdisTcpOffloadReceiveComplete(scene.nic0, nbls[1]);
    assert_heard(&scene, 1);
    for (int i = 0; i < 5; i++)
        NdisFreeNetBufferList(nbls[i]);
    scene_close(&scene);
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOUND(written_over_while_out),
        BOUND(written_over_before_it_goes),
        BOUND(never_under_way),
        BOUND(completed_by_another_call),
        BOUND(posted_while_it_is_out),
        BOUND(completed_by_another_adapter),
        BOUND(posted_with_others),
        BOUND(posted_in_a_circle),
        BOUND(posted_while_it_waits_refused),
        BOUND(freed_while_it_is_out),
        BOUND(freed_twice),
        BOUND(good_and_bad_in_one_list),
    };

    return cmocka_run_group_tests_name("ndis/stray", tests, NULL, NULL);
}
