/*
 * V-082 … V-085, V-089: what a host stack may give to be sent, and when, and that it keeps away
 * from it; also chains of initiates and terminates. One breach of each, beside what is nearly one.
 */
#include "verifier/test_kit.h"

#define LENGTH 100u

struct scene {
    struct kit kit;
    struct kit_conn conn;
    struct kit_nbl nbls[3];
};

static void
scene_open(struct scene *scene)
{
    kit_open(&scene->kit, false);
    kit_offload(&scene->kit, &scene->kit.landing, &scene->conn);
    for (int i = 0; i < 3; i++)
        kit_nbl_init(&scene->nbls[i], LENGTH, (UCHAR)(i * 50));
}

static void
scene_close(struct scene *scene)
{
    kit_assert_none(&scene->kit);
    kit_close(&scene->kit);
}

static void
send(struct scene *scene, int i)
{
    kit_post(&scene->kit, &scene->kit.landing, CROSSING_TCP_SEND, &scene->conn, &scene->nbls[i]);
}

static void
done(struct scene *scene, int i, NDIS_STATUS status, ULONG bytes)
{
    kit_finish(&scene->kit, &scene->kit.landing, CROSSING_TCP_SEND_COMPLETE, &scene->nbls[i],
               status, bytes);
}

static void
event(struct scene *scene, ULONG type, ULONG info)
{
    kit_event(&scene->kit, &scene->kit.landing, &scene->conn.tcp, type, info);
}

static void
one_call_at_a_time(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_SEND, false);
    crossing.object = &scene.conn.tcp;
    crossing.nbls = &scene.nbls[0].nbl;
    kit_before(&scene.kit, &crossing);
    send(&scene, 1);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_PENDING);
    kit_assert(&scene.kit, 82, "host");
    scene_close(&scene);
}

static void
beyond_its_mdls(struct kit_nbl *nbl)
{
    nbl->nb.stDataLength = LENGTH + 1;
}

static void
without_buffer(struct kit_nbl *nbl)
{
    nbl->nbl.FirstNetBuffer = NULL;
}

static void
elsewhere(struct kit_nbl *nbl)
{
    nbl->nb.CurrentMdl = &nbl->mdls[1]; /* DataOffset says another place */
}

static void
paged(struct kit_nbl *nbl)
{
    nbl->mdls[1].MdlFlags = 0;
}

static void
circular(struct kit_nbl *nbl)
{
    nbl->nbl.Next = &nbl->nbl;
}

static void
nothing(struct kit_nbl *nbl)
{
    nbl->nb.stDataLength = 0;
}

static void
what_can_be_sent(void **state)
{
    static void (*const spoilers[])(struct kit_nbl *) = {beyond_its_mdls, without_buffer, elsewhere,
                                                         paged,           circular,       nothing};

    for (size_t i = 0; i < sizeof(spoilers) / sizeof(spoilers[0]); i++) {
        struct scene scene;

        scene_open(&scene);
        spoilers[i](&scene.nbls[0]);
        send(&scene, 0);
        if (spoilers[i] != nothing)
            kit_assert(&scene.kit, 83, "host");
        scene_close(&scene);
    }
}

static void
not_before_it_is_offloaded(void **state)
{
    struct scene scene;

    kit_open(&scene.kit, false);
    kit_conn_init(&scene.conn);
    kit_nbl_init(&scene.nbls[0], LENGTH, 0);
    kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
    send(&scene, 0);
    kit_assert(&scene.kit, 57, "host");
    scene_close(&scene);
}

static void
not_after_a_terminate(void **state)
{
    struct scene scene;

    scene_open(&scene);
    kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
    send(&scene, 0);
    kit_assert(&scene.kit, 84, "host");
    scene_close(&scene);
}

static void
not_after_a_disconnect(void **state)
{
    struct scene scene;

    scene_open(&scene);
    kit_disconnect(&scene.kit, &scene.kit.landing, &scene.conn, &scene.nbls[1],
                   TCP_DISCONNECT_GRACEFUL_CLOSE);
    kit_assert_none(&scene.kit);
    send(&scene, 0);
    kit_assert(&scene.kit, 84, "host");
    /* and what the target says to it is its own business */
    done(&scene, 0, NDIS_STATUS_REQUEST_ABORTED, 0);
    scene_close(&scene);
}

/* A handle that NDIS does not know: it reports, the verifier knows whose it was. */
static void
a_stale_handle(void **state)
{
    struct scene scene;
    struct observer *observer;

    scene_open(&scene);
    observer = scene.kit.observer;
    kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
    kit_terminate_complete(&scene.kit, &scene.kit.landing, &scene.conn, NDIS_STATUS_SUCCESS, NULL);
    kit_assert_none(&scene.kit);
    observer->on_breach(observer->arg, 84, "?", &scene.conn.tcp, "not live");
    kit_assert(&scene.kit, 84, "host");
    observer->on_breach(observer->arg, 130, "?", &scene.conn.tcp, "not live");
    kit_assert(&scene.kit, 153, "target");
    scene_close(&scene);
}

static void
posted_twice(void **state)
{
    struct scene scene;

    scene_open(&scene);
    send(&scene, 0);
    send(&scene, 0);
    kit_assert(&scene.kit, 85, "host");
    scene_close(&scene);
}

static void
changed_and_returned(void **state)
{
    for (int changed = 0; changed < 3; changed++) {
        struct scene scene;

        scene_open(&scene);
        send(&scene, 0);
        kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
        if (changed == 1)
            scene.nbls[0].nb.DataLength--;
        else if (changed == 2)
            scene.nbls[0].bytes[50]++;
        kit_nbl_advance(&scene.nbls[0], 20); /* to SndUna */
        kit_terminate_complete(&scene.kit, &scene.kit.landing, &scene.conn, NDIS_STATUS_SUCCESS,
                               &scene.nbls[0].nbl);
        if (changed)
            kit_assert(&scene.kit, 85, "host");
        scene_close(&scene);
    }
}

static void
returned_after_an_abort(void **state)
{
    struct scene scene;

    scene_open(&scene);
    send(&scene, 0);
    event(&scene, TcpIndicateAbort, 0);
    kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
    kit_terminate_complete(&scene.kit, &scene.kit.landing, &scene.conn, NDIS_STATUS_SUCCESS,
                           &scene.nbls[0].nbl);
    kit_assert(&scene.kit, 133, "target");
    scene_close(&scene);
}

/* V-152 */
static void
sent_after_a_retrieve(void **state)
{
    for (int aborted = 0; aborted < 2; aborted++) {
        struct scene scene;

        scene_open(&scene);
        send(&scene, 0);
        event(&scene, TcpIndicateRetrieve, InvalidState);
        send(&scene, 1);
        done(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH); /* acknowledged before */
        kit_assert_none(&scene.kit);
        done(&scene, 1, aborted ? NDIS_STATUS_REQUEST_ABORTED : NDIS_STATUS_SUCCESS,
             aborted ? 0 : LENGTH);
        kit_assert(&scene.kit, 152, "target");
        scene_close(&scene);
    }
}

static void
a_chain_contains_its_ends(void **state)
{
    for (int wrong = 0; wrong < 2; wrong++) {
        struct scene scene;

        kit_open(&scene.kit, false);
        for (int i = 0; i < 3; i++)
            kit_nbl_init(&scene.nbls[i], LENGTH, 0);
        kit_conn_init(&scene.conn);
        scene.nbls[0].nbl.Next = &scene.nbls[1].nbl;
        scene.conn.blocks[2].block.NetBufferListChain = &scene.nbls[0].nbl;
        kit_delegated(&scene.conn)->SendDataHead = &scene.nbls[0].nbl;
        kit_delegated(&scene.conn)->SendDataTail = &scene.nbls[1 + wrong].nbl;
        kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
        scene.conn.initiate_status = NDIS_STATUS_OFFLOAD_TCP_ENTRIES; /* once more, then */
        if (wrong)
            kit_assert(&scene.kit, 89, "host");
        kit_initiate_complete(&scene.kit, &scene.kit.landing, &scene.conn);
        kit_assert_none(&scene.kit);
        scene_close(&scene);
    }
}

/* V-051: it may be sent before the initiate is over, but not fail. */
static void
a_chain_that_fails_early(void **state)
{
    for (int failed = 0; failed < 2; failed++) {
        struct scene scene;

        kit_open(&scene.kit, false);
        kit_nbl_init(&scene.nbls[0], LENGTH, 0);
        kit_conn_init(&scene.conn);
        scene.conn.blocks[2].block.NetBufferListChain = &scene.nbls[0].nbl;
        kit_delegated(&scene.conn)->SendDataHead = &scene.nbls[0].nbl;
        kit_delegated(&scene.conn)->SendDataTail = &scene.nbls[0].nbl;
        kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
        done(&scene, 0, failed ? NDIS_STATUS_REQUEST_ABORTED : NDIS_STATUS_SUCCESS,
             failed ? 0 : LENGTH);
        if (failed)
            kit_assert(&scene.kit, 51, "target");
        scene_close(&scene);
    }
}

/* They complete as others do, but nobody has poisoned them. */
static void
a_chain_is_sent(void **state)
{
    struct scene scene;

    kit_open(&scene.kit, false);
    kit_nbl_init(&scene.nbls[0], LENGTH, 0);
    kit_nbl_init(&scene.nbls[1], LENGTH, 0);
    kit_conn_init(&scene.conn);
    scene.conn.blocks[2].block.NetBufferListChain = &scene.nbls[0].nbl;
    kit_delegated(&scene.conn)->SendDataHead = &scene.nbls[0].nbl;
    kit_delegated(&scene.conn)->SendDataTail = &scene.nbls[0].nbl;
    kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
    kit_initiate_complete(&scene.kit, &scene.kit.landing, &scene.conn);
    send(&scene, 1);
    kit_assert_none(&scene.kit);
    done(&scene, 1, NDIS_STATUS_SUCCESS, LENGTH);
    kit_assert(&scene.kit, 75, "target");
    scene_close(&scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_call_at_a_time),
        cmocka_unit_test(what_can_be_sent),
        cmocka_unit_test(not_before_it_is_offloaded),
        cmocka_unit_test(not_after_a_terminate),
        cmocka_unit_test(not_after_a_disconnect),
        cmocka_unit_test(a_stale_handle),
        cmocka_unit_test(posted_twice),
        cmocka_unit_test(changed_and_returned),
        cmocka_unit_test(returned_after_an_abort),
        cmocka_unit_test(sent_after_a_retrieve),
        cmocka_unit_test(a_chain_contains_its_ends),
        cmocka_unit_test(a_chain_that_fails_early),
        cmocka_unit_test(a_chain_is_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
