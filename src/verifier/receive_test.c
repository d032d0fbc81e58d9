/* V-090 … V-104: one breach of each that calls can show, beside what is nearly one. */
#include "verifier/test_kit.h"

#include <string.h>

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
post(struct scene *scene, int i)
{
    kit_post(&scene->kit, &scene->kit.landing, CROSSING_TCP_RECEIVE, &scene->conn, &scene->nbls[i]);
}

static void
no_push(struct scene *scene, int i)
{
    scene->nbls[i].nbl.NetBufferListInfo[TcpReceiveNoPush] = (PVOID)1;
}

static void
done(struct scene *scene, int i, NDIS_STATUS status, ULONG bytes)
{
    kit_finish(&scene->kit, &scene->kit.landing, CROSSING_TCP_RECEIVE_COMPLETE, &scene->nbls[i],
               status, bytes);
}

static void
event(struct scene *scene, ULONG type, ULONG info)
{
    kit_event(&scene->kit, &scene->kit.landing, &scene->conn.tcp, type, info);
}

static struct crossing
receive_crossing(struct scene *scene, int i)
{
    struct crossing crossing = kit_crossing(&scene->kit.landing, CROSSING_TCP_RECEIVE, false);

    crossing.object = &scene->conn.tcp;
    crossing.nbls = &scene->nbls[i].nbl;
    return crossing;
}

static void
good_receives(void **state)
{
    struct scene scene;

    scene_open(&scene);
    no_push(&scene, 1);
    scene.nbls[0].nbl.Next = &scene.nbls[1].nbl;
    post(&scene, 0);
    post(&scene, 2);
    kit_nbl_settle(&scene.nbls[1], NDIS_STATUS_SUCCESS, LENGTH);
    scene.nbls[0].bytes[5]++;                 /* that is what it is for */
    done(&scene, 0, NDIS_STATUS_SUCCESS, 20); /* PSH, or the timer */
    done(&scene, 2, NDIS_STATUS_SUCCESS, LENGTH);
    scene_close(&scene);
}

static void
an_answer_is_pending(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = receive_crossing(&scene, 0);
    kit_before(&scene.kit, &crossing);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_SUCCESS);
    kit_assert(&scene.kit, 90, "target");
    scene_close(&scene);
}

static void
each_completes_once(void **state)
{
    struct scene scene;

    scene_open(&scene);
    post(&scene, 0);
    done(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH);
    assert_int_equal(
        kit_complete(&scene.kit, &scene.kit.landing, CROSSING_TCP_RECEIVE_COMPLETE, &scene.nbls[0]),
        CROSSING_DROP);
    kit_assert(&scene.kit, 91, "target");
    scene_close(&scene);
}

static void
an_empty_one_completes_too(void **state)
{
    struct scene scene;

    scene_open(&scene);
    scene.nbls[0].nb.stDataLength = 0;
    no_push(&scene, 0);
    post(&scene, 0);
    done(&scene, 0, NDIS_STATUS_SUCCESS, 0);
    kit_assert_none(&scene.kit);
    scene.nbls[1].nb.stDataLength = 0;
    post(&scene, 1);
    verifier_finish(scene.kit.verifier);
    kit_assert(&scene.kit, 91, "target");
    scene_close(&scene);
}

static void
first_in_first_out(void **state)
{
    struct scene scene;

    scene_open(&scene);
    post(&scene, 0);
    post(&scene, 1);
    done(&scene, 1, NDIS_STATUS_SUCCESS, LENGTH);
    kit_assert(&scene.kit, 92, "target");
    scene_close(&scene);
}

/* ---- results ---- */

struct result {
    const char *name;
    ULONG event, info;
    NDIS_STATUS status;
    ULONG bytes;
    unsigned rule;
};

static void
what_a_status_needs(void **state)
{
    static const struct result results[] = {
        {"unknown", 0, 0, NDIS_STATUS_FAILURE, 0, 95},
        {"no upload", 0, 0, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0, 95},
        {"an upload", TcpIndicateRetrieve, InvalidState, NDIS_STATUS_UPLOAD_IN_PROGRESS, 10, 0},
        {"an optional one", TcpIndicateRetrieve, SmallIO, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0, 135},
        {"no reset", 0, 0, NDIS_STATUS_REQUEST_ABORTED, 0, 95},
        {"a reset", TcpIndicateAbort, 0, NDIS_STATUS_REQUEST_ABORTED, 10, 0},
        {"broken", TcpIndicateRetrieve, HardwareFailure, NDIS_STATUS_REQUEST_ABORTED, 0, 0},
        {"not finished", 0, 0, NDIS_STATUS_INVALID_STATE, 0, 95},
        {"finished", TcpIndicateDisconnect, 0, NDIS_STATUS_INVALID_STATE, 0, 0},
        {"data behind the end", TcpIndicateDisconnect, 0, NDIS_STATUS_SUCCESS, LENGTH, 132},
    };

    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        struct scene scene;

        print_message("# %s\n", results[i].name);
        scene_open(&scene);
        post(&scene, 0);
        if (results[i].event)
            event(&scene, results[i].event, results[i].info);
        done(&scene, 0, results[i].status, results[i].bytes);
        if (results[i].rule)
            kit_assert(&scene.kit, results[i].rule, "target");
        scene_close(&scene);
    }
}

static void
posted_after_the_end(void **state)
{
    struct scene scene;

    scene_open(&scene);
    event(&scene, TcpIndicateDisconnect, 0);
    post(&scene, 0);
    done(&scene, 0, NDIS_STATUS_SUCCESS, 0);
    kit_assert(&scene.kit, 95, "target");
    scene_close(&scene);
}

/* The host stack has seen the FIN itself: no event says so. */
static void
lent_after_the_end(void **state)
{
    struct scene scene;

    kit_open(&scene.kit, false);
    kit_nbl_init(&scene.nbls[0], LENGTH, 0);
    kit_nbl_init(&scene.nbls[1], LENGTH, 0);
    kit_conn_init(&scene.conn);
    kit_delegated(&scene.conn)->State = TcpConnectionCloseWait;
    kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
    kit_initiate_complete(&scene.kit, &scene.kit.landing, &scene.conn);
    no_push(&scene, 0);
    post(&scene, 0);
    done(&scene, 0, NDIS_STATUS_SUCCESS, 10);
    post(&scene, 1);
    done(&scene, 1, NDIS_STATUS_INVALID_STATE, 0);
    scene.kit.now_us += 10000000;
    verifier_tick(scene.kit.verifier, scene.kit.now_us);
    scene_close(&scene);
}

/* V-135: a mandatory reason stops it. */
static void
posted_after_a_retrieve(void **state)
{
    struct scene scene;

    scene_open(&scene);
    post(&scene, 0);
    event(&scene, TcpIndicateRetrieve, ReceivedUrgentData);
    post(&scene, 1);
    done(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH); /* what it had already */
    kit_assert_none(&scene.kit);
    done(&scene, 1, NDIS_STATUS_SUCCESS, LENGTH);
    kit_assert(&scene.kit, 135, "target");
    scene_close(&scene);
}

static void
what_stands_in_it(void **state)
{
    struct scene scene;

    for (int spoiled = 0; spoiled < 3; spoiled++) {
        NDIS_STATUS poison;
        PVOID count;

        scene_open(&scene);
        post(&scene, 0);
        poison = scene.nbls[0].nbl.Status;
        count = scene.nbls[0].nbl.NetBufferListInfo[TcpOffloadBytesTransferred];
        kit_nbl_settle(&scene.nbls[0], NDIS_STATUS_SUCCESS, LENGTH);
        if (spoiled == 0)
            scene.nbls[0].nbl.Status = poison;
        else if (spoiled == 1)
            scene.nbls[0].nbl.NetBufferListInfo[TcpOffloadBytesTransferred] = count;
        else
            scene.nbls[0].nbl.NetBufferListInfo[TcpOffloadBytesTransferred] = (PVOID)(LENGTH - 1ul);
        kit_complete(&scene.kit, &scene.kit.landing, CROSSING_TCP_RECEIVE_COMPLETE, &scene.nbls[0]);
        kit_assert(&scene.kit, 94, "target");
        scene_close(&scene);
    }
}

/* ---- one after the other ---- */

static void
no_completion_inside_a_completion(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    post(&scene, 0);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_RECEIVE_COMPLETE, true);
    kit_nbl_settle(&scene.nbls[0], NDIS_STATUS_SUCCESS, LENGTH);
    crossing.nbls = &scene.nbls[0].nbl;
    kit_before(&scene.kit, &crossing);
    post(&scene, 1); /* that may be, R-16 */
    kit_assert_none(&scene.kit);
    done(&scene, 1, NDIS_STATUS_SUCCESS, LENGTH);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_SUCCESS);
    kit_assert(&scene.kit, 96, "target");
    post(&scene, 2); /* over: not counted any more */
    done(&scene, 2, NDIS_STATUS_SUCCESS, LENGTH);
    scene_close(&scene);
}

static void
inside_the_completion_of_another_connection(void **state)
{
    struct scene scene;
    struct kit_conn other;
    struct crossing crossing;

    scene_open(&scene);
    kit_offload(&scene.kit, &scene.kit.landing, &other);
    post(&scene, 0);
    kit_post(&scene.kit, &scene.kit.landing, CROSSING_TCP_RECEIVE, &other, &scene.nbls[1]);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_RECEIVE_COMPLETE, true);
    kit_nbl_settle(&scene.nbls[0], NDIS_STATUS_SUCCESS, LENGTH);
    crossing.nbls = &scene.nbls[0].nbl;
    kit_before(&scene.kit, &crossing);
    done(&scene, 1, NDIS_STATUS_SUCCESS, LENGTH);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_SUCCESS);
    scene_close(&scene);
}

static void
no_completion_inside_an_indication(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_RECEIVE_INDICATE, true);
    crossing.object = &scene.conn.tcp;
    crossing.nbls = &scene.nbls[0].nbl;
    kit_before(&scene.kit, &crossing);
    post(&scene, 1);
    kit_assert_none(&scene.kit);
    done(&scene, 1, NDIS_STATUS_SUCCESS, LENGTH);
    crossing.info = LENGTH;
    kit_after(&scene.kit, &crossing, NDIS_STATUS_SUCCESS);
    kit_assert(&scene.kit, 97, "target");
    scene_close(&scene);
}

/* */
static void
never_inside_its_call(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = receive_crossing(&scene, 0);
    kit_before(&scene.kit, &crossing);
    done(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_PENDING);
    kit_assert(&scene.kit, 90, "target");
    scene_close(&scene);
}

/* ---- short ones ---- */

static void
short_at_the_end(void **state)
{
    struct scene scene;

    scene_open(&scene);
    no_push(&scene, 0);
    post(&scene, 0);
    done(&scene, 0, NDIS_STATUS_SUCCESS, 10);
    event(&scene, TcpIndicateDisconnect, 0);
    scene.kit.now_us += 10000000;
    verifier_tick(scene.kit.verifier, scene.kit.now_us);
    scene_close(&scene);
}

static void
short_and_more_data(void **state)
{
    for (int push = 0; push < 2; push++) {
        struct scene scene;

        scene_open(&scene);
        if (!push)
            no_push(&scene, 0);
        post(&scene, 0);
        done(&scene, 0, NDIS_STATUS_SUCCESS, push ? 0 : 10);
        kit_assert_none(&scene.kit);
        post(&scene, 1);
        done(&scene, 1, NDIS_STATUS_SUCCESS, LENGTH);
        kit_assert(&scene.kit, push ? 100 : 99, "target");
        scene_close(&scene);
    }
}

/* It goes up, before or after. */
static void
short_on_the_way_up(void **state)
{
    for (int before = 0; before < 2; before++) {
        struct scene scene;

        scene_open(&scene);
        no_push(&scene, 0);
        post(&scene, 0);
        if (before)
            event(&scene, TcpIndicateRetrieve, HardwareFailure);
        done(&scene, 0, NDIS_STATUS_SUCCESS, 10);
        if (!before)
            event(&scene, TcpIndicateRetrieve, HardwareFailure);
        scene.kit.now_us += 10000000;
        verifier_tick(scene.kit.verifier, scene.kit.now_us);
        scene_close(&scene);
    }
}

static void
short_and_silence(void **state)
{
    struct scene scene;

    scene_open(&scene);
    no_push(&scene, 0);
    post(&scene, 0);
    done(&scene, 0, NDIS_STATUS_SUCCESS, 10);
    scene.kit.now_us += 500000;
    verifier_tick(scene.kit.verifier, scene.kit.now_us);
    kit_assert_none(&scene.kit);
    scene.kit.now_us += 700000;
    verifier_tick(scene.kit.verifier, scene.kit.now_us);
    kit_assert(&scene.kit, 99, "target");
    scene_close(&scene);
}

/* the timer runs from the start, and may expire with nothing new. */
static void
prefilled_and_empty(void **state)
{
    struct scene scene;

    scene_open(&scene);
    scene.nbls[0].nbl.NetBufferListInfo[TcpReceiveBytesTransferred] = (PVOID)10;
    post(&scene, 0);
    kit_assert(&scene.kit, 103, "host");
    done(&scene, 0, NDIS_STATUS_SUCCESS, 0);
    post(&scene, 1);
    done(&scene, 1, NDIS_STATUS_SUCCESS, LENGTH);
    scene_close(&scene);
}

/* ---- the host stack ---- */

static void
one_post_at_a_time(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = receive_crossing(&scene, 0);
    kit_before(&scene.kit, &crossing);
    post(&scene, 1);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_PENDING);
    kit_assert(&scene.kit, 102, "host");
    scene_close(&scene);
}

static void
one_buffer_each(void **state)
{
    struct scene scene;

    scene_open(&scene);
    scene.nbls[0].nb.Next = &scene.nbls[1].nb;
    post(&scene, 0);
    kit_assert(&scene.kit, 102, "host");
    scene_close(&scene);
}

static void
prefilled_without_push(void **state)
{
    struct scene scene;

    scene_open(&scene);
    no_push(&scene, 0);
    scene.nbls[0].nbl.NetBufferListInfo[TcpReceiveBytesTransferred] = (PVOID)10;
    post(&scene, 0);
    scene_close(&scene);
}

static void
not_after_a_terminate(void **state)
{
    struct scene scene;

    scene_open(&scene);
    kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
    post(&scene, 0);
    kit_assert(&scene.kit, 104, "host");
    scene_close(&scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_receives),
        cmocka_unit_test(an_answer_is_pending),
        cmocka_unit_test(each_completes_once),
        cmocka_unit_test(an_empty_one_completes_too),
        cmocka_unit_test(first_in_first_out),
        cmocka_unit_test(what_a_status_needs),
        cmocka_unit_test(posted_after_the_end),
        cmocka_unit_test(lent_after_the_end),
        cmocka_unit_test(posted_after_a_retrieve),
        cmocka_unit_test(what_stands_in_it),
        cmocka_unit_test(no_completion_inside_a_completion),
        cmocka_unit_test(inside_the_completion_of_another_connection),
        cmocka_unit_test(no_completion_inside_an_indication),
        cmocka_unit_test(never_inside_its_call),
        cmocka_unit_test(short_at_the_end),
        cmocka_unit_test(short_and_more_data),
        cmocka_unit_test(short_on_the_way_up),
        cmocka_unit_test(short_and_silence),
        cmocka_unit_test(prefilled_and_empty),
        cmocka_unit_test(one_post_at_a_time),
        cmocka_unit_test(one_buffer_each),
        cmocka_unit_test(prefilled_without_push),
        cmocka_unit_test(not_after_a_terminate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
