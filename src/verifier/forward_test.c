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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_forward),
        cmocka_unit_test(pending_and_once),
        cmocka_unit_test(a_status_of_the_list),
        cmocka_unit_test(starts_at_its_header),
        cmocka_unit_test(not_while_it_is_on_its_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
