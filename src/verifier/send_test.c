/*
 * V-073 … V-081, V-087: what a target may do with what it is given to send. One breach of each that
 * calls can show, beside what is nearly one.
 */
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

/* Three sends, and nothing is wrong with them. */
static void
good_sends(void **state)
{
    struct scene scene;

    scene_open(&scene);
    scene.nbls[0].nbl.Next = &scene.nbls[1].nbl;
    send(&scene, 0);
    send(&scene, 2);
    kit_nbl_settle(&scene.nbls[1], NDIS_STATUS_SUCCESS, LENGTH);
    done(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH);
    done(&scene, 2, NDIS_STATUS_SUCCESS, LENGTH);
    scene_close(&scene);
}

static void
an_answer_is_pending(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_SEND, false);
    crossing.object = &scene.conn.tcp;
    crossing.nbls = &scene.nbls[0].nbl;
    kit_before(&scene.kit, &crossing);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_SUCCESS);
    kit_assert(&scene.kit, 73, "target");
    /* NDIS says so too; once is enough */
    scene.kit.observer->on_breach(scene.kit.observer->arg, 73, "target", NULL, "not pending");
    scene_close(&scene);
}

static void
each_completes_once(void **state)
{
    struct scene scene;

    scene_open(&scene);
    send(&scene, 0);
    done(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH);
    assert_int_equal(
        kit_complete(&scene.kit, &scene.kit.landing, CROSSING_TCP_SEND_COMPLETE, &scene.nbls[0]),
        CROSSING_DROP);
    kit_assert(&scene.kit, 74, "target");
    scene_close(&scene);
}

static void
never_inside_its_call(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_SEND, false);
    crossing.object = &scene.conn.tcp;
    crossing.nbls = &scene.nbls[0].nbl;
    kit_before(&scene.kit, &crossing);
    done(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_PENDING);
    kit_assert(&scene.kit, 74, "target");
    scene_close(&scene);
}

/* Inside the call that posted another one it may. */
static void
inside_another_call(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    send(&scene, 0);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_SEND, false);
    crossing.object = &scene.conn.tcp;
    crossing.nbls = &scene.nbls[1].nbl;
    kit_before(&scene.kit, &crossing);
    done(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_PENDING);
    done(&scene, 1, NDIS_STATUS_SUCCESS, LENGTH);
    scene_close(&scene);
}

static void
in_posting_order(void **state)
{
    struct scene scene;

    scene_open(&scene);
    send(&scene, 0);
    send(&scene, 1);
    done(&scene, 1, NDIS_STATUS_SUCCESS, LENGTH);
    kit_assert(&scene.kit, 75, "target");
    scene_close(&scene);
}

/* what is not sent overtakes what will be returned. */
static void
uploads_may_overtake(void **state)
{
    struct scene scene;

    scene_open(&scene);
    send(&scene, 0);
    event(&scene, TcpIndicateRetrieve, UploadRequested);
    send(&scene, 1);
    done(&scene, 1, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0);
    kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
    kit_terminate_complete(&scene.kit, &scene.kit.landing, &scene.conn, NDIS_STATUS_SUCCESS,
                           &scene.nbls[0].nbl);
    scene_close(&scene);
}

/* ---- results ---- */

struct result {
    const char *name;
    void (*spoil)(struct kit_nbl *nbl);
    unsigned rule;
    const char *driver;
};

static void
no_status(struct kit_nbl *nbl)
{
    NDIS_STATUS poison = nbl->nbl.Status;

    kit_nbl_settle(nbl, NDIS_STATUS_SUCCESS, LENGTH);
    nbl->nbl.Status = poison;
}

static void
no_count(struct kit_nbl *nbl)
{
    nbl->nbl.Status = NDIS_STATUS_SUCCESS;
    kit_nbl_advance(nbl, LENGTH);
}

static void
no_advance(struct kit_nbl *nbl)
{
    kit_nbl_settle(nbl, NDIS_STATUS_SUCCESS, 0);
    nbl->nbl.NetBufferListInfo[TcpOffloadBytesTransferred] = (PVOID)(ULONG_PTR)LENGTH;
}

static void
short_success(struct kit_nbl *nbl)
{
    kit_nbl_settle(nbl, NDIS_STATUS_SUCCESS, LENGTH - 1);
}

static void
too_many(struct kit_nbl *nbl)
{
    kit_nbl_settle(nbl, NDIS_STATUS_SUCCESS, LENGTH);
    nbl->nbl.NetBufferListInfo[TcpOffloadBytesTransferred] = (PVOID)(ULONG_PTR)(LENGTH + 1);
}

static void
mdl_freed(struct kit_nbl *nbl)
{
    kit_nbl_settle(nbl, NDIS_STATUS_SUCCESS, LENGTH);
    nbl->nb.MdlChain = &nbl->mdls[1];
    nbl->nb.DataOffset -= nbl->mdls[0].ByteCount;
}

static void
unknown_status(struct kit_nbl *nbl)
{
    kit_nbl_settle(nbl, NDIS_STATUS_FAILURE, 0);
}

static void
no_reason_to_upload(struct kit_nbl *nbl)
{
    kit_nbl_settle(nbl, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0);
}

static void
no_reason_to_abort(struct kit_nbl *nbl)
{
    kit_nbl_settle(nbl, NDIS_STATUS_REQUEST_ABORTED, 0);
}

static void
no_im(struct kit_nbl *nbl)
{
    kit_nbl_settle(nbl, NDIS_STATUS_REQUEST_UPLOAD, 0);
}

static void
context_changed(struct kit_nbl *nbl)
{
    kit_nbl_settle(nbl, NDIS_STATUS_SUCCESS, LENGTH);
    nbl->nbl.ProtocolReserved[3] = nbl;
}

static void
queued_with(struct kit_nbl *nbl)
{
    kit_nbl_settle(nbl, NDIS_STATUS_SUCCESS, LENGTH);
    nbl->nbl.MiniportReserved[0] = nbl->nbl.MiniportReserved[1] = nbl->nbl.Scratch = nbl;
}

static void
context_left(struct kit_nbl *nbl)
{
    static NET_BUFFER_LIST_CONTEXT context;

    kit_nbl_settle(nbl, NDIS_STATUS_SUCCESS, LENGTH);
    nbl->nbl.Context = &context;
}

static void
shortened(struct kit_nbl *nbl)
{
    nbl->nb.DataLength--;
    kit_nbl_settle(nbl, NDIS_STATUS_SUCCESS, LENGTH - 1);
}

static void
data_changed(struct kit_nbl *nbl)
{
    nbl->bytes[LENGTH - 1]++;
    kit_nbl_settle(nbl, NDIS_STATUS_SUCCESS, LENGTH);
}

static void
what_stands_in_it(void **state)
{
    static const struct result results[] = {
        {"no status", no_status, 78, "target"},
        {"no count", no_count, 78, "target"},
        {"not advanced", no_advance, 78, "target"},
        {"short", short_success, 78, "target"},
        {"too many", too_many, 78, "target"},
        {"MDL freed", mdl_freed, 78, "target"},
        {"unknown status", unknown_status, 81, "target"},
        {"no upload", no_reason_to_upload, 81, "target"},
        {"no reset", no_reason_to_abort, 81, "target"},
        {"no driver in between", no_im, 81, "target"},
        {"ProtocolReserved", context_changed, 87, "target"},
        {"context", context_left, 87, "target"},
        {"MiniportReserved", queued_with, 0, NULL},
        {"shortened", shortened, 85, "host"},
        {"data", data_changed, 85, "host"},
    };

    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        struct scene scene;

        print_message("# %s\n", results[i].name);
        scene_open(&scene);
        send(&scene, 0);
        results[i].spoil(&scene.nbls[0]);
        kit_complete(&scene.kit, &scene.kit.landing, CROSSING_TCP_SEND_COMPLETE, &scene.nbls[0]);
        if (results[i].rule)
            kit_assert(&scene.kit, results[i].rule, results[i].driver);
        scene_close(&scene);
    }
}

/* ---- failures ---- */

struct failure {
    NDIS_STATUS first;
    ULONG first_bytes;
    NDIS_STATUS second;
    ULONG second_bytes;
    unsigned rule;
};

static void
behind_a_failure(void **state)
{
    static const struct failure failures[] = {
        {NDIS_STATUS_REQUEST_ABORTED, 30, NDIS_STATUS_REQUEST_ABORTED, 0, 0},
        {NDIS_STATUS_SUCCESS, LENGTH, NDIS_STATUS_REQUEST_ABORTED, 30, 0},
        {NDIS_STATUS_REQUEST_ABORTED, LENGTH, NDIS_STATUS_REQUEST_ABORTED, 30, 0},
        {NDIS_STATUS_REQUEST_ABORTED, 0, NDIS_STATUS_SUCCESS, LENGTH, 79},
        {NDIS_STATUS_REQUEST_ABORTED, 0, NDIS_STATUS_REQUEST_ABORTED, 30, 79},
        {NDIS_STATUS_REQUEST_ABORTED, 30, NDIS_STATUS_REQUEST_ABORTED, 30, 80},
        {NDIS_STATUS_REQUEST_ABORTED, 0, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0, 133},
    };

    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        struct scene scene;

        scene_open(&scene);
        scene.nbls[0].nbl.Next = &scene.nbls[1].nbl;
        send(&scene, 0);
        event(&scene, TcpIndicateAbort, 0);
        kit_nbl_settle(&scene.nbls[1], failures[i].second, failures[i].second_bytes);
        done(&scene, 0, failures[i].first, failures[i].first_bytes);
        if (failures[i].rule)
            kit_assert(&scene.kit, failures[i].rule, "target");
        scene_close(&scene);
    }
}

/* V-135: an optional reason is none to stop. */
static void
an_optional_reason(void **state)
{
    struct scene scene;

    scene_open(&scene);
    event(&scene, TcpIndicateRetrieve, LowActivity);
    send(&scene, 0);
    done(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH);
    send(&scene, 1);
    kit_assert_none(&scene.kit);
    done(&scene, 1, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0);
    kit_assert(&scene.kit, 135, "target");
    scene_close(&scene);
}

/* V-140 */
static void
what_is_invalid_waits(void **state)
{
    struct scene scene;

    scene_open(&scene);
    send(&scene, 0);
    kit_invalidate(&scene.kit, &scene.kit.landing, &scene.conn.neighbor, NeighborOffloadState);
    send(&scene, 1);
    done(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH); /* on its way already */
    kit_assert_none(&scene.kit);
    done(&scene, 1, NDIS_STATUS_SUCCESS, LENGTH);
    kit_assert(&scene.kit, 140, "target");
    scene_close(&scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_sends),
        cmocka_unit_test(an_answer_is_pending),
        cmocka_unit_test(each_completes_once),
        cmocka_unit_test(never_inside_its_call),
        cmocka_unit_test(inside_another_call),
        cmocka_unit_test(in_posting_order),
        cmocka_unit_test(uploads_may_overtake),
        cmocka_unit_test(what_stands_in_it),
        cmocka_unit_test(behind_a_failure),
        cmocka_unit_test(an_optional_reason),
        cmocka_unit_test(what_is_invalid_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
