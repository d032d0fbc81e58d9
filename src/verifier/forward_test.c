/* V-117 … V-119: one breach of each, beside what is nearly one. */
#include "verifier/test_kit.h"

#include <string.h>

#define LENGTH 60u

struct scene {
    struct kit kit;
    struct kit_conn conn;
    struct kit_nbl nbl;
};

/* A segment from the kit's peer to its host stack. */
static void
segment_init(struct kit_nbl *nbl)
{
    static const UCHAR ports[4] = {0x78, 0x56, 0x34, 0x12};

    kit_nbl_init(nbl, LENGTH, 0);
    memcpy(nbl->bytes, ports, sizeof(ports));
    nbl->bytes[12] = 0x80; /* a header of 32 bytes */
}

static void
scene_open(struct scene *scene)
{
    kit_open(&scene->kit, false);
    kit_offload(&scene->kit, &scene->kit.landing, &scene->conn);
    segment_init(&scene->nbl);
}

static void
scene_close(struct scene *scene)
{
    kit_assert_none(&scene->kit);
    kit_close(&scene->kit);
}

static void
forward(struct scene *scene)
{
    kit_post(&scene->kit, &scene->kit.landing, CROSSING_TCP_FORWARD, &scene->conn, &scene->nbl);
}

static void
done(struct scene *scene, NDIS_STATUS status)
{
    scene->nbl.nbl.Status = status;
    kit_complete(&scene->kit, &scene->kit.landing, CROSSING_TCP_FORWARD_COMPLETE, &scene->nbl);
}

/* What stands in the list's infos is the target's to read (R-46, OURS: a segment size). */
static void
a_good_forward(void **state)
{
    struct scene scene;
    PVOID *infos = scene.nbl.nbl.NetBufferListInfo;

    scene_open(&scene);
    infos[TcpIpChecksumNetBufferListInfo] = (PVOID)1;
    forward(&scene);
    assert_ptr_equal(infos[TcpIpChecksumNetBufferListInfo], (PVOID)1);
    done(&scene, NDIS_STATUS_SUCCESS);
    scene_close(&scene);
}

static void
pending_and_once(void **state)
{
    struct scene scene;
    struct crossing crossing;

    scene_open(&scene);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_FORWARD, false);
    crossing.object = &scene.conn.tcp;
    crossing.nbls = &scene.nbl.nbl;
    kit_before(&scene.kit, &crossing);
    kit_after(&scene.kit, &crossing, NDIS_STATUS_SUCCESS);
    kit_assert(&scene.kit, 117, "target");
    scene_close(&scene);

    scene_open(&scene);
    forward(&scene);
    done(&scene, NDIS_STATUS_SUCCESS);
    done(&scene, NDIS_STATUS_SUCCESS);
    kit_assert(&scene.kit, 117, "target");
    scene_close(&scene);
}

static void
a_status_of_the_list(void **state)
{
    struct scene scene;

    scene_open(&scene);
    forward(&scene);
    done(&scene, scene.nbl.nbl.Status);
    kit_assert(&scene.kit, 117, "target");
    scene_close(&scene);

    scene_open(&scene);
    forward(&scene);
    done(&scene, NDIS_STATUS_INVALID_STATE);
    kit_assert(&scene.kit, 117, "target");
    scene_close(&scene);

    scene_open(&scene);
    forward(&scene);
    kit_event(&scene.kit, &scene.kit.landing, &scene.conn.tcp, TcpIndicateAbort, 0);
    done(&scene, NDIS_STATUS_REQUEST_ABORTED);
    scene_close(&scene);
}

static void
starts_at_its_header(void **state)
{
    for (int wrong = 0; wrong < 5; wrong++) {
        struct scene scene;
        struct kit_nbl other;

        scene_open(&scene);
        if (wrong == 0) { /* still with an IP header in front */
            memmove(scene.nbl.bytes + 20, scene.nbl.bytes, 40);
            scene.nbl.bytes[0] = 0x45;
        } else if (wrong == 1) {
            scene.nbl.nb.stDataLength = 19;
        } else if (wrong == 2) {
            scene.nbl.bytes[12] = 0xf1;
            scene.nbl.nb.stDataLength = 59;
        } else if (wrong == 3) {
            scene.nbl.bytes[12] = 0x4f;
        } else {
            kit_nbl_init(&other, LENGTH, 0);
            scene.nbl.nb.Next = &other.nb;
        }
        forward(&scene);
        kit_assert(&scene.kit, 118, "host");
        scene_close(&scene);
    }
}

static void
not_while_it_is_on_its_way(void **state)
{
    struct scene scene;

    kit_open(&scene.kit, false);
    kit_conn_init(&scene.conn);
    segment_init(&scene.nbl);
    kit_initiate(&scene.kit, &scene.kit.landing, &scene.conn);
    forward(&scene);
    kit_assert(&scene.kit, 119, "host");
    scene_close(&scene);

    scene_open(&scene);
    kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
    forward(&scene);
    kit_assert(&scene.kit, 119, "host");
    scene_close(&scene);
}

/* Something of the connection passes the wire: from then on the verifier has ears there. */
static void
pass_a_frame(struct scene *scene)
{
    UCHAR bytes[54] = {0};
    struct verifier_frame frame = {
        .adapter = "nic", .bytes = bytes, .len = sizeof(bytes), .frame_len = sizeof(bytes)};

    bytes[12] = 8;
    memcpy(bytes + 14, "\x45\0\0\x28", 4);
    bytes[23] = 6;
    memcpy(bytes + 26, scene->conn.addresses[1], 4);
    memcpy(bytes + 30, scene->conn.addresses[0], 4);
    memcpy(bytes + 34, scene->nbl.bytes, 4); /* the ports */
    bytes[46] = 0x50;
    verifier_frame(scene->kit.verifier, &frame);
}

/* V-077: the peer's acknowledgement may have come before the connection was offloaded. */
static void
an_acknowledgement_that_is_forwarded(void **state)
{
    for (int heard = 0; heard < 2; heard++) {
        struct scene scene;
        struct kit_nbl data;

        scene_open(&scene);
        pass_a_frame(&scene);
        kit_nbl_init(&data, LENGTH, 0);
        kit_post(&scene.kit, &scene.kit.landing, CROSSING_TCP_SEND, &scene.conn, &data);
        scene.nbl.bytes[11] = LENGTH;
        scene.nbl.bytes[13] = 0x10;
        if (heard) {
            forward(&scene);
            done(&scene, NDIS_STATUS_SUCCESS);
        }
        kit_finish(&scene.kit, &scene.kit.landing, CROSSING_TCP_SEND_COMPLETE, &data,
                   NDIS_STATUS_SUCCESS, LENGTH);
        if (!heard)
            kit_assert(&scene.kit, 77, "target");
        scene_close(&scene);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_forward),
        cmocka_unit_test(pending_and_once),
        cmocka_unit_test(a_status_of_the_list),
        cmocka_unit_test(starts_at_its_header),
        cmocka_unit_test(not_while_it_is_on_its_way),
        cmocka_unit_test(an_acknowledgement_that_is_forwarded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
