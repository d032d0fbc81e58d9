/* V-105 … V-114: one breach of each that calls can show, beside what is nearly one. */
#include "verifier/test_kit.h"

#include <string.h>

#define LENGTH 100u
#define ALL NDIS_STATUS_SUCCESS
#define SOME NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED
#define NONE NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED

struct scene {
    struct kit kit;
    struct kit_conn conn;
    struct kit_nbl nbls[3];
};

static void
nbls_init(struct scene *scene)
{
    for (int i = 0; i < 3; i++)
        kit_nbl_init(&scene->nbls[i], LENGTH, (UCHAR)(i * LENGTH));
}

static void
scene_open(struct scene *scene)
{
    kit_open(&scene->kit, false);
    kit_offload(&scene->kit, &scene->kit.landing, &scene->conn);
    nbls_init(scene);
}

static void
scene_close(struct scene *scene)
{
    kit_assert_none(&scene->kit);
    kit_close(&scene->kit);
}

static void
indicate(struct scene *scene, int i, NDIS_STATUS answer, ULONG consumed)
{
    kit_indicate(&scene->kit, &scene->kit.landing, &scene->conn, &scene->nbls[i], answer, consumed);
}

static void
give_back(struct scene *scene, int i)
{
    kit_return(&scene->kit, &scene->kit.landing, &scene->nbls[i]);
}

static void
post(struct scene *scene, struct kit_nbl *nbl)
{
    kit_post(&scene->kit, &scene->kit.landing, CROSSING_TCP_RECEIVE, &scene->conn, nbl);
}

/* A post of no bytes, which completes at once: indications are wanted again. */
static void
ask(struct scene *scene)
{
    struct kit_nbl nbl;

    kit_nbl_init(&nbl, 0, 0);
    post(scene, &nbl);
    kit_finish(&scene->kit, &scene->kit.landing, CROSSING_TCP_RECEIVE_COMPLETE, &nbl,
               NDIS_STATUS_SUCCESS, 0);
}

static struct crossing
indication(struct scene *scene, int i)
{
    struct crossing crossing = kit_crossing(&scene->kit.landing, CROSSING_TCP_RECEIVE_INDICATE,
                                            true);

    crossing.object = &scene->conn.tcp;
    crossing.nbls = &scene->nbls[i].nbl;
    crossing.status = NDIS_STATUS_SUCCESS;
    return crossing;
}

static void
good_indications(void **state)
{
    struct scene scene;

    scene_open(&scene);
    indicate(&scene, 0, ALL, LENGTH);
    indicate(&scene, 1, ALL, LENGTH);
    scene.nbls[0].nbl.Next = &scene.nbls[1].nbl; /* several in one return, V-112 */
    give_back(&scene, 0);
    scene.nbls[0].nbl.Next = NULL;
    indicate(&scene, 0, ALL, LENGTH); /* reused */
    give_back(&scene, 0);
    scene_close(&scene);
}

static void
returned_inside_the_indication(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = indication(&scene, 0);
    kit_before(&scene.kit, &crossing);
    give_back(&scene, 0);
    crossing.info = LENGTH;
    kit_after(&scene.kit, &crossing, ALL);
    scene_close(&scene);
}

/* ---- form and moment ---- */

static void
one_nbl_with_one_buffer(void **state)
{
    for (int wrong = 0; wrong < 4; wrong++) {
        struct scene scene;
        struct crossing crossing;

        scene_open(&scene);
        crossing = indication(&scene, 0);
        if (wrong == 0)
            scene.nbls[0].nbl.Next = &scene.nbls[1].nbl;
        else if (wrong == 1)
            scene.nbls[0].nb.Next = &scene.nbls[1].nb;
        else if (wrong == 2)
            crossing.status = NDIS_STATUS_RESOURCES;
        else
            scene.nbls[0].nb.stDataLength = LENGTH + 1;
        assert_int_equal(kit_before(&scene.kit, &crossing),
                         wrong == 3 ? CROSSING_REFUSE : CROSSING_GO);
        crossing.info = LENGTH;
        kit_after(&scene.kit, &crossing, ALL);
        kit_assert(&scene.kit, wrong == 1 ? 9 : 105, "target"); /* both say: one buffer */
        scene_close(&scene);
    }
}

static void
not_while_requests_are_posted(void **state)
{
    struct scene scene;

    scene_open(&scene);
    post(&scene, &scene.nbls[1]);
    indicate(&scene, 0, ALL, LENGTH);
    kit_assert(&scene.kit, 106, "target");
    scene_close(&scene);
}

/* One of no bytes goes first, too; that it never completes would be another breach. */
static void
a_request_of_no_bytes_is_passed_over(void **state)
{
    struct scene scene;
    struct kit_nbl request;

    scene_open(&scene);
    kit_nbl_init(&request, 0, 0);
    post(&scene, &request);
    indicate(&scene, 0, ALL, LENGTH);
    kit_assert_none(&scene.kit);
    kit_finish(&scene.kit, &scene.kit.landing, CROSSING_TCP_RECEIVE_COMPLETE, &request,
               NDIS_STATUS_SUCCESS, 0);
    kit_assert(&scene.kit, 106, "target");
    scene_close(&scene);
}

static void
not_before_the_initiate_is_over(void **state)
{
    struct scene scene;
    struct crossing crossing;

    kit_open(&scene.kit, false);
    nbls_init(&scene);
    kit_conn_init(&scene.conn);
    kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_INITIATE_COMPLETE, true);
    crossing.blocks = &scene.conn.blocks[0].block;
    for (int i = 0; i < 3; i++) {
        scene.conn.blocks[i].block.Status = NDIS_STATUS_SUCCESS;
        scene.conn.blocks[i].block.OffloadHandle->MiniportOffloadContext = &scene.nbls[i];
    }
    kit_before(&scene.kit, &crossing);
    kit_assert_none(&scene.kit);
    indicate(&scene, 0, ALL, LENGTH);
    kit_assert(&scene.kit, 107, "target");
    kit_after(&scene.kit, &crossing, NDIS_STATUS_SUCCESS);
    indicate(&scene, 1, ALL, LENGTH);
    scene_close(&scene);
}

static void
refused_data_waits(void **state)
{
    struct scene scene;

    scene_open(&scene);
    indicate(&scene, 0, NONE, 0);
    ask(&scene);
    indicate(&scene, 0, NONE, 0);
    kit_assert_none(&scene.kit);
    indicate(&scene, 0, ALL, LENGTH);
    kit_assert(&scene.kit, 108, "target");
    scene_close(&scene);
}

/* The post comes before the refusal: it counts. */
static void
posted_while_it_is_refused(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = indication(&scene, 0);
    kit_before(&scene.kit, &crossing);
    post(&scene, &scene.nbls[1]);
    kit_after(&scene.kit, &crossing, NONE);
    memcpy(scene.nbls[1].bytes, scene.nbls[0].bytes, LENGTH);
    kit_finish(&scene.kit, &scene.kit.landing, CROSSING_TCP_RECEIVE_COMPLETE, &scene.nbls[1],
               NDIS_STATUS_SUCCESS, LENGTH);
    indicate(&scene, 2, ALL, LENGTH);
    scene_close(&scene);
}

static void
one_delivery_at_a_time(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = indication(&scene, 0);
    kit_before(&scene.kit, &crossing);
    indicate(&scene, 1, ALL, LENGTH);
    crossing.info = LENGTH;
    kit_after(&scene.kit, &crossing, ALL);
    kit_assert(&scene.kit, 97, "target");
    scene_close(&scene);
}

static void
not_behind_the_end(void **state)
{
    struct scene scene;

    scene_open(&scene);
    kit_event(&scene.kit, &scene.kit.landing, &scene.conn.tcp, TcpIndicateDisconnect, 0);
    indicate(&scene, 0, ALL, LENGTH);
    kit_assert(&scene.kit, 132, "target");
    scene_close(&scene);
}

/* ---- what is buffered ---- */

/* 60 of 100 bytes were taken; then comes a post of 30, then the rest. */
static void
the_rest_stays_buffered(void **state)
{
    for (int wrong = 0; wrong < 3; wrong++) {
        struct scene scene;
        struct kit_nbl request, rest;

        scene_open(&scene);
        indicate(&scene, 0, SOME, 60);
        kit_nbl_init(&request, 30, 0);
        post(&scene, &request);
        memcpy(request.bytes, scene.nbls[0].bytes + (wrong == 1 ? 0 : 60), 30);
        kit_finish(&scene.kit, &scene.kit.landing, CROSSING_TCP_RECEIVE_COMPLETE, &request,
                   NDIS_STATUS_SUCCESS, 30);
        if (wrong != 1)
            kit_assert_none(&scene.kit);
        kit_nbl_init(&rest, 20, 0); /* 10 of them are new */
        memcpy(rest.bytes, scene.nbls[0].bytes + (wrong == 2 ? 91 : 90), 10);
        kit_indicate(&scene.kit, &scene.kit.landing, &scene.conn, &rest, ALL, 20);
        if (wrong)
            kit_assert(&scene.kit, 109, "target");
        indicate(&scene, 2, ALL, LENGTH);
        scene_close(&scene);
    }
}

static void
refused_twice(void **state)
{
    struct scene scene;

    scene_open(&scene);
    indicate(&scene, 0, NONE, 0);
    ask(&scene);
    indicate(&scene, 0, SOME, 1);
    ask(&scene);
    indicate(&scene, 0, NONE, 0); /* the first byte once more */
    kit_assert(&scene.kit, 109, "target");
    scene_close(&scene);
}

static void
still_with_the_host_stack(void **state)
{
    struct scene scene;

    scene_open(&scene);
    indicate(&scene, 0, ALL, LENGTH);
    indicate(&scene, 0, ALL, LENGTH);
    kit_assert(&scene.kit, 109, "target");
    scene_close(&scene);
}

static void
open_buffered(struct scene *scene)
{
    kit_open(&scene->kit, false);
    nbls_init(scene);
    kit_conn_init(&scene->conn);
    kit_delegated(&scene->conn)->BufferedData = &scene->nbls[0].nbl;
    kit_initiate(&scene->kit, &scene->kit.landing, &scene->conn);
    kit_initiate_complete(&scene->kit, &scene->kit.landing, &scene->conn);
    kit_assert_none(&scene->kit);
}

static void
buffered_data_waits_for_a_post(void **state)
{
    struct scene scene;

    open_buffered(&scene);
    memcpy(scene.nbls[1].bytes, scene.nbls[0].bytes, LENGTH);
    indicate(&scene, 1, ALL, LENGTH);
    kit_assert(&scene.kit, 114, "target");
    scene_close(&scene);
}

static void
buffered_data_comes_first(void **state)
{
    for (int wrong = 0; wrong < 2; wrong++) {
        struct scene scene;

        open_buffered(&scene);
        ask(&scene);
        if (!wrong)
            memcpy(scene.nbls[1].bytes, scene.nbls[0].bytes, LENGTH);
        indicate(&scene, 1, ALL, LENGTH);
        if (wrong)
            kit_assert(&scene.kit, 114, "target");
        indicate(&scene, 2, ALL, LENGTH);
        scene_close(&scene);
    }
}

/* ---- answers ---- */

struct answer {
    NDIS_STATUS status;
    ULONG consumed;
    bool good;
};

static void
answers(void **state)
{
    static const struct answer cases[] = {
        {ALL, LENGTH, true}, {ALL, LENGTH - 1, false}, {NONE, 0, true},
        {NONE, 1, false},    {SOME, 1, true},          {SOME, LENGTH - 1, true},
        {SOME, 0, false},    {SOME, LENGTH, false},    {NDIS_STATUS_NOT_ACCEPTED, 0, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;

        scene_open(&scene);
        indicate(&scene, 0, cases[i].status, cases[i].consumed);
        if (!cases[i].good)
            kit_assert(&scene.kit, 110, "host");
        scene_close(&scene);
    }
}

/* ---- giving back ---- */

static void
returned_twice(void **state)
{
    struct scene scene;

    scene_open(&scene);
    indicate(&scene, 0, ALL, LENGTH);
    give_back(&scene, 0);
    assert_int_equal(kit_return(&scene.kit, &scene.kit.landing, &scene.nbls[0]), CROSSING_DROP);
    kit_assert(&scene.kit, 111, "host");
    scene_close(&scene);
}

static void
returned_after_a_refusal(void **state)
{
    struct scene scene;

    scene_open(&scene);
    indicate(&scene, 0, SOME, 1);
    give_back(&scene, 0);
    kit_assert(&scene.kit, 111, "host");
    scene_close(&scene);
}

static void
returned_and_then_refused(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = indication(&scene, 0);
    kit_before(&scene.kit, &crossing);
    give_back(&scene, 0);
    kit_after(&scene.kit, &crossing, NONE);
    kit_assert(&scene.kit, 111, "host");
    scene_close(&scene);
}

static void
service(struct scene *scene, enum crossing_op op, bool down)
{
    struct crossing crossing = kit_crossing(&scene->kit.landing, op, false);

    if (down)
        crossing.from = "ndis";
    else
        crossing.to = "ndis";
    kit_before(&scene->kit, &crossing);
    if (down)
        kit_after(&scene->kit, &crossing, NDIS_STATUS_SUCCESS);
}

static void
never_returned(void **state)
{
    struct scene scene;

    scene_open(&scene);
    indicate(&scene, 0, ALL, LENGTH);
    kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
    kit_terminate_complete(&scene.kit, &scene.kit.landing, &scene.conn, NDIS_STATUS_SUCCESS, NULL);
    service(&scene, CROSSING_CLOSE, false);
    kit_assert(&scene.kit, 111, "host");
    scene_close(&scene);
}

static void
halted_too_early(void **state)
{
    struct scene scene;

    scene_open(&scene);
    indicate(&scene, 0, ALL, LENGTH);
    kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
    kit_terminate_complete(&scene.kit, &scene.kit.landing, &scene.conn, NDIS_STATUS_SUCCESS, NULL);
    service(&scene, CROSSING_HALT, true);
    kit_assert(&scene.kit, 113, "target");
    scene_close(&scene);
}

static void
a_return_succeeds(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    indicate(&scene, 0, ALL, LENGTH);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_RECEIVE_RETURN, false);
    crossing.nbls = &scene.nbls[0].nbl;
    kit_before(&scene.kit, &crossing);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_PENDING);
    kit_assert(&scene.kit, 112, "target");
    scene_close(&scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_indications),
        cmocka_unit_test(returned_inside_the_indication),
        cmocka_unit_test(one_nbl_with_one_buffer),
        cmocka_unit_test(not_while_requests_are_posted),
        cmocka_unit_test(a_request_of_no_bytes_is_passed_over),
        cmocka_unit_test(not_before_the_initiate_is_over),
        cmocka_unit_test(refused_data_waits),
        cmocka_unit_test(posted_while_it_is_refused),
        cmocka_unit_test(one_delivery_at_a_time),
        cmocka_unit_test(not_behind_the_end),
        cmocka_unit_test(the_rest_stays_buffered),
        cmocka_unit_test(refused_twice),
        cmocka_unit_test(still_with_the_host_stack),
        cmocka_unit_test(buffered_data_waits_for_a_post),
        cmocka_unit_test(buffered_data_comes_first),
        cmocka_unit_test(answers),
        cmocka_unit_test(returned_twice),
        cmocka_unit_test(returned_after_a_refusal),
        cmocka_unit_test(returned_and_then_refused),
        cmocka_unit_test(never_returned),
        cmocka_unit_test(halted_too_early),
        cmocka_unit_test(a_return_succeeds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
