/* V-120 … V-129: one breach of each that calls can show, beside what is nearly one. */
#include "verifier/test_kit.h"

#define LENGTH 100u
#define GRACEFUL TCP_DISCONNECT_GRACEFUL_CLOSE
#define ABORTIVE TCP_DISCONNECT_ABORTIVE_CLOSE

struct scene {
    struct kit kit;
    struct kit_conn conn;
    struct kit_nbl close, send;
};

static void
scene_open(struct scene *scene, ULONG length)
{
    kit_open(&scene->kit, false);
    kit_offload(&scene->kit, &scene->kit.landing, &scene->conn);
    kit_nbl_init(&scene->close, length, 0);
    kit_nbl_init(&scene->send, LENGTH, 0);
}

static void
scene_close(struct scene *scene)
{
    kit_assert_none(&scene->kit);
    kit_close(&scene->kit);
}

static void
disconnect(struct scene *scene, ULONG flags)
{
    kit_disconnect(&scene->kit, &scene->kit.landing, &scene->conn, &scene->close, flags);
}

static void
done(struct scene *scene, NDIS_STATUS status, ULONG bytes)
{
    kit_finish(&scene->kit, &scene->kit.landing, CROSSING_TCP_DISCONNECT_COMPLETE, &scene->close,
               status, bytes);
}

static void
send(struct scene *scene)
{
    kit_post(&scene->kit, &scene->kit.landing, CROSSING_TCP_SEND, &scene->conn, &scene->send);
}

static void
sent(struct scene *scene, NDIS_STATUS status, ULONG bytes)
{
    kit_finish(&scene->kit, &scene->kit.landing, CROSSING_TCP_SEND_COMPLETE, &scene->send, status,
               bytes);
}

static void
event(struct scene *scene, ULONG type, ULONG info)
{
    kit_event(&scene->kit, &scene->kit.landing, &scene->conn.tcp, type, info);
}

/* Gracefully, with data and without; and abortively. */
static void
good_ones(void **state)
{
    struct scene scene;

    scene_open(&scene, LENGTH);
    send(&scene);
    disconnect(&scene, GRACEFUL);
    sent(&scene, NDIS_STATUS_SUCCESS, LENGTH);
    done(&scene, NDIS_STATUS_SUCCESS, LENGTH);
    scene_close(&scene);

    scene_open(&scene, 0);
    disconnect(&scene, GRACEFUL);
    done(&scene, NDIS_STATUS_SUCCESS, 0);
    scene_close(&scene);

    scene_open(&scene, 0);
    send(&scene);
    disconnect(&scene, ABORTIVE);
    sent(&scene, NDIS_STATUS_REQUEST_ABORTED, 10);
    done(&scene, NDIS_STATUS_SUCCESS, 0);
    scene_close(&scene);
}

/* An abortive one replaces a graceful one that takes too long. */
static void
first_gracefully_then_abortively(void **state)
{
    struct scene scene;
    struct kit_nbl second;

    scene_open(&scene, LENGTH);
    kit_nbl_init(&second, 0, 0);
    disconnect(&scene, GRACEFUL);
    kit_disconnect(&scene.kit, &scene.kit.landing, &scene.conn, &second, ABORTIVE);
    done(&scene, NDIS_STATUS_REQUEST_ABORTED, 10);
    kit_finish(&scene.kit, &scene.kit.landing, CROSSING_TCP_DISCONNECT_COMPLETE, &second,
               NDIS_STATUS_SUCCESS, 0);
    scene_close(&scene);
}

static void
pending_and_once(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene, LENGTH);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_DISCONNECT, false);
    crossing.object = &scene.conn.tcp;
    crossing.nbls = &scene.close.nbl;
    crossing.code = GRACEFUL;
    kit_before(&scene.kit, &crossing);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_SUCCESS);
    kit_assert(&scene.kit, 120, "target");
    scene_close(&scene);

    scene_open(&scene, LENGTH);
    disconnect(&scene, GRACEFUL);
    done(&scene, NDIS_STATUS_SUCCESS, LENGTH);
    kit_complete(&scene.kit, &scene.kit.landing, CROSSING_TCP_DISCONNECT_COMPLETE, &scene.close);
    kit_assert(&scene.kit, 120, "target");
    scene_close(&scene);
}

static void
one_nbl(void **state)
{
    struct scene scene;

    scene_open(&scene, LENGTH);
    scene.close.nbl.Next = &scene.send.nbl;
    disconnect(&scene, GRACEFUL);
    kit_assert(&scene.kit, 120, "host");
    scene_close(&scene);
}

static void
one_of_two_flags(void **state)
{
    static const ULONG flags[] = {0, GRACEFUL | ABORTIVE, 4};
    struct scene scene;

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        scene_open(&scene, 0);
        disconnect(&scene, flags[i]);
        kit_assert(&scene.kit, 122, "host");
        scene_close(&scene);
    }
    scene_open(&scene, 1);
    disconnect(&scene, ABORTIVE);
    kit_assert(&scene.kit, 122, "host");
    scene_close(&scene);
}

static void
sends_come_first(void **state)
{
    for (int abortive = 0; abortive < 2; abortive++) {
        struct scene scene;

        scene_open(&scene, 0);
        send(&scene);
        disconnect(&scene, abortive ? ABORTIVE : GRACEFUL);
        done(&scene, NDIS_STATUS_SUCCESS, 0);
        kit_assert(&scene.kit, abortive ? 123 : 124, "target");
        scene_close(&scene);
    }
}

/* a terminate returns them behind it. */
static void
sends_may_be_returned(void **state)
{
    struct scene scene;

    scene_open(&scene, LENGTH);
    send(&scene);
    disconnect(&scene, GRACEFUL);
    kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
    done(&scene, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0);
    kit_terminate_complete(&scene.kit, &scene.kit.landing, &scene.conn, NDIS_STATUS_SUCCESS,
                           &scene.send.nbl);
    scene_close(&scene);
}

/* V-123: silence behind it. */
static void
nothing_is_received_behind_an_abort(void **state)
{
    struct scene scene;

    scene_open(&scene, 0);
    disconnect(&scene, ABORTIVE);
    kit_indicate(&scene.kit, &scene.kit.landing, &scene.conn, &scene.send, NDIS_STATUS_SUCCESS,
                 LENGTH); /* under way already */
    done(&scene, NDIS_STATUS_SUCCESS, 0);
    kit_assert_none(&scene.kit);
    kit_return(&scene.kit, &scene.kit.landing, &scene.send);
    kit_indicate(&scene.kit, &scene.kit.landing, &scene.conn, &scene.send, NDIS_STATUS_SUCCESS,
                 LENGTH);
    kit_assert(&scene.kit, 123, "target");
    scene_close(&scene);
}

static void
sends_end_as_aborted(void **state)
{
    struct scene scene;

    scene_open(&scene, 0);
    send(&scene);
    disconnect(&scene, ABORTIVE);
    sent(&scene, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0);
    kit_assert(&scene.kit, 123, "target");
    scene_close(&scene);
}

static void
its_bytes_are_reported(void **state)
{
    struct scene scene;

    scene_open(&scene, LENGTH);
    disconnect(&scene, GRACEFUL);
    done(&scene, NDIS_STATUS_SUCCESS, LENGTH - 1);
    kit_assert(&scene.kit, 124, "target");
    scene_close(&scene);

    scene_open(&scene, 0);
    disconnect(&scene, ABORTIVE);
    scene.close.nbl.Status = NDIS_STATUS_SUCCESS;
    kit_complete(&scene.kit, &scene.kit.landing, CROSSING_TCP_DISCONNECT_COMPLETE, &scene.close);
    kit_assert(&scene.kit, 120, "target"); /* the count was not written */
    scene_close(&scene);
}

static void
carries_no_sends(void **state)
{
    struct scene scene;

    scene_open(&scene, 0);
    send(&scene);
    disconnect(&scene, GRACEFUL);
    kit_nbl_settle(&scene.send, NDIS_STATUS_SUCCESS, LENGTH);
    kit_complete(&scene.kit, &scene.kit.landing, CROSSING_TCP_DISCONNECT_COMPLETE, &scene.send);
    kit_assert(&scene.kit, 125, "target");
    scene_close(&scene);
}

static void
fails_for_a_reason(void **state)
{
    static const NDIS_STATUS statuses[] = {NDIS_STATUS_UPLOAD_IN_PROGRESS,
                                           NDIS_STATUS_REQUEST_ABORTED, NDIS_STATUS_FAILURE};
    struct scene scene;

    for (int i = 0; i < 3; i++) {
        scene_open(&scene, 0);
        disconnect(&scene, GRACEFUL);
        done(&scene, statuses[i], 0);
        kit_assert(&scene.kit, 126, "target");
        scene_close(&scene);
    }
    scene_open(&scene, 0);
    disconnect(&scene, GRACEFUL);
    event(&scene, TcpIndicateAbort, 0);
    done(&scene, NDIS_STATUS_REQUEST_ABORTED, 0);
    scene_close(&scene);
}

static void
is_not_repeated(void **state)
{
    for (int other = 0; other < 2; other++) {
        struct scene scene;

        scene_open(&scene, 0);
        disconnect(&scene, GRACEFUL);
        event(&scene, TcpIndicateRetrieve, TimeoutExpiration);
        done(&scene, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0);
        kit_assert_none(&scene.kit);
        kit_nbl_init(&scene.close, 0, 0);
        disconnect(&scene, other ? ABORTIVE : GRACEFUL);
        if (!other)
            kit_assert(&scene.kit, 127, "host");
        scene_close(&scene);
    }
}

static void
resources_stay(void **state)
{
    for (int closed = 0; closed < 2; closed++) {
        struct scene scene;

        scene_open(&scene, 0);
        if (closed) {
            disconnect(&scene, GRACEFUL);
            done(&scene, NDIS_STATUS_SUCCESS, 0);
        }
        kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
        kit_terminate_complete(&scene.kit, &scene.kit.landing, &scene.conn, NDIS_STATUS_FAILURE,
                               NULL);
        if (closed)
            kit_assert(&scene.kit, 129, "target");
        scene_close(&scene);
    }
}

static void
the_context_stays(void **state)
{
    struct scene scene;

    scene_open(&scene, 0);
    disconnect(&scene, ABORTIVE);
    done(&scene, NDIS_STATUS_SUCCESS, 0);
    scene.conn.tcp.MiniportOffloadContext = NULL;
    kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
    kit_assert(&scene.kit, 129, "target");
    scene_close(&scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ones),
        cmocka_unit_test(first_gracefully_then_abortively),
        cmocka_unit_test(pending_and_once),
        cmocka_unit_test(one_nbl),
        cmocka_unit_test(one_of_two_flags),
        cmocka_unit_test(sends_come_first),
        cmocka_unit_test(sends_may_be_returned),
        cmocka_unit_test(nothing_is_received_behind_an_abort),
        cmocka_unit_test(sends_end_as_aborted),
        cmocka_unit_test(its_bytes_are_reported),
        cmocka_unit_test(carries_no_sends),
        cmocka_unit_test(fails_for_a_reason),
        cmocka_unit_test(is_not_repeated),
        cmocka_unit_test(resources_stay),
        cmocka_unit_test(the_context_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
