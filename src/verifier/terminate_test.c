/* V-054, V-145 … V-157: giving a connection back with sends and data, and one thing wrong with it.
 */
#include "verifier/test_kit.h"

#include <string.h>

#define LENGTH 100u
#define SENDS 3

/* A connection with sends out; SndUna is 0. */
struct scene {
    struct kit kit;
    struct kit_conn conn;
    struct kit_nbl sends[SENDS], data;
    struct kit_block block;
    TCP_OFFLOAD_STATE_DELEGATED *state;
};

static void
scene_open(struct scene *scene, int sends)
{
    kit_open(&scene->kit, false);
    kit_offload(&scene->kit, &scene->kit.landing, &scene->conn);
    for (int i = 0; i < sends; i++) {
        kit_nbl_init(&scene->sends[i], LENGTH, (UCHAR)i);
        kit_post(&scene->kit, &scene->kit.landing, CROSSING_TCP_SEND, &scene->conn,
                 &scene->sends[i]);
    }
    kit_assert_none(&scene->kit);
}

static void
ask(struct scene *scene)
{
    kit_block_init(&scene->block, TcpOffloadDelegatedState, &scene->conn.tcp);
    scene->state = kit_state_add(&scene->block, &(size_t){0}, sizeof(*scene->state));
    kit_tree(&scene->kit, &scene->kit.landing, CROSSING_TERMINATE, false, &scene->block);
}

/* As a good target answers: count sends in the chain, from the first on. */
static void
fill(struct scene *scene, int first, int count)
{
    struct kit_conn lent;

    kit_conn_init(&lent);
    *scene->state = *kit_delegated(&lent);
    scene->state->SndUna = scene->state->SndNxt = (ULONG)first * LENGTH;
    scene->state->SndMax = scene->state->SndUna;
    scene->block.block.NetBufferListChain = NULL;
    for (int i = 0; i < count; i++)
        scene->sends[first + i].nbl.Next = i + 1 < count ? &scene->sends[first + i + 1].nbl : NULL;
    if (count) {
        scene->block.block.NetBufferListChain = &scene->sends[first].nbl;
        scene->state->SendDataHead = &scene->sends[first].nbl;
        scene->state->SendDataTail = &scene->sends[first + count - 1].nbl;
    }
    scene->block.block.Status = NDIS_STATUS_SUCCESS;
}

static void
scene_close(struct scene *scene, unsigned rule)
{
    kit_tree(&scene->kit, &scene->kit.landing, CROSSING_TERMINATE_COMPLETE, true, &scene->block);
    if (rule)
        kit_assert(&scene->kit, rule, "target");
    kit_assert_none(&scene->kit);
    kit_close(&scene->kit);
}

static void
finish_send(struct scene *scene, int which, NDIS_STATUS status, ULONG bytes)
{
    scene->sends[which].nbl.Next = NULL;
    kit_finish(&scene->kit, &scene->kit.landing, CROSSING_TCP_SEND_COMPLETE, &scene->sends[which],
               status, bytes);
}

/* ---- what comes first ---- */

static void
returned_or_completed(void **state)
{
    struct scene scene;

    scene_open(&scene, SENDS); /* all returned */
    ask(&scene);
    fill(&scene, 0, SENDS);
    scene_close(&scene, 0);

    scene_open(&scene, SENDS); /* one acknowledged, one returned, one completed */
    finish_send(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH);
    ask(&scene);
    finish_send(&scene, 2, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0);
    fill(&scene, 1, 1);
    scene.state->SndNxt = scene.state->SndMax = 3 * LENGTH; /* that one was in flight */
    scene_close(&scene, 0);

    scene_open(&scene, SENDS); /* one forgotten */
    ask(&scene);
    fill(&scene, 0, SENDS - 1);
    scene_close(&scene, 145);
}

static void
requests_come_back(void **state)
{
    static const enum crossing_op ops[] = {CROSSING_TCP_RECEIVE, CROSSING_TCP_DISCONNECT};

    for (int i = 0; i < 4; i++) {
        struct scene scene;

        scene_open(&scene, 0);
        kit_nbl_init(&scene.data, i / 2 ? 0 : LENGTH, 0);
        if (i / 2)
            kit_disconnect(&scene.kit, &scene.kit.landing, &scene.conn, &scene.data,
                           TCP_DISCONNECT_GRACEFUL_CLOSE);
        else
            kit_post(&scene.kit, &scene.kit.landing, ops[0], &scene.conn, &scene.data);
        ask(&scene);
        if (i % 2)
            kit_finish(&scene.kit, &scene.kit.landing,
                       i / 2 ? CROSSING_TCP_DISCONNECT_COMPLETE : CROSSING_TCP_RECEIVE_COMPLETE,
                       &scene.data, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0);
        fill(&scene, 0, 0);
        scene_close(&scene, i % 2 ? 0 : 145);
    }
}

/* Also when it fails: the state is lost, the NBLs are not. */
static void
a_failed_terminate(void **state)
{
    struct scene scene;

    scene_open(&scene, 1);
    ask(&scene);
    scene.block.block.Status = NDIS_STATUS_FAILURE;
    scene_close(&scene, 145);

    scene_open(&scene, 1);
    ask(&scene);
    kit_event(&scene.kit, &scene.kit.landing, &scene.conn.tcp, TcpIndicateAbort, 0);
    finish_send(&scene, 0, NDIS_STATUS_REQUEST_ABORTED, 0);
    scene.block.block.Status = NDIS_STATUS_FAILURE; /* and the state is not looked at */
    scene_close(&scene, 0);
}

static void
inside_an_indication(void **state)
{
    struct crossing crossing;
    struct scene scene;

    scene_open(&scene, 0);
    kit_nbl_init(&scene.data, LENGTH, 0);
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_RECEIVE_INDICATE, true);
    crossing.object = &scene.conn.tcp;
    crossing.nbls = &scene.data.nbl;
    kit_before(&scene.kit, &crossing);
    ask(&scene);
    fill(&scene, 0, 0);
    kit_tree(&scene.kit, &scene.kit.landing, CROSSING_TERMINATE_COMPLETE, true, &scene.block);
    kit_assert(&scene.kit, 146, "target");
    kit_after(&scene.kit, &crossing, NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED);
    kit_close(&scene.kit);
}

/* ---- the chain ---- */

static void
out_of_order(struct scene *scene)
{
    scene->block.block.NetBufferListChain = &scene->sends[1].nbl;
    scene->sends[1].nbl.Next = &scene->sends[0].nbl;
    scene->sends[0].nbl.Next = &scene->sends[2].nbl;
}

static void
in_a_circle(struct scene *scene)
{
    scene->sends[2].nbl.Next = &scene->sends[0].nbl;
}

static void
somebody_elses(struct scene *scene)
{
    kit_nbl_init(&scene->data, LENGTH, 0);
    scene->sends[1].nbl.Next = &scene->data.nbl;
    scene->data.nbl.Next = &scene->sends[2].nbl;
}

static void
tail_too_early(struct scene *scene)
{
    scene->state->SendDataTail = &scene->sends[1].nbl;
}

static void
head_too_late(struct scene *scene)
{
    scene->state->SendDataHead = &scene->sends[1].nbl;
}

static void
una_too_late(struct scene *scene)
{
    scene->state->SndUna = scene->state->SndNxt = scene->state->SndMax = 1;
}

static void
second_is_advanced(struct scene *scene)
{
    kit_nbl_advance(&scene->sends[1], 1);
}

static void
first_is_advanced(struct scene *scene)
{
    kit_nbl_advance(&scene->sends[0], 10);
    scene->state->SndUna = 10;
    scene->state->SndNxt = scene->state->SndMax = 120;
}

static void
chains(void **state)
{
    static const struct {
        void (*spoil)(struct scene *scene);
        unsigned rule;
    } cases[] = {
        {out_of_order, 147},       {in_a_circle, 147},     {somebody_elses, 147},
        {tail_too_early, 147},     {head_too_late, 147},   {una_too_late, 147},
        {second_is_advanced, 147}, {first_is_advanced, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t count = 0;
        struct scene scene;

        print_message("# %zu\n", i);
        scene_open(&scene, SENDS);
        ask(&scene);
        fill(&scene, 0, SENDS);
        cases[i].spoil(&scene);
        scene_close(&scene, cases[i].rule);
        /* whoever walks over it now comes to an end */
        for (NET_BUFFER_LIST *nbl = scene.block.block.NetBufferListChain; nbl; nbl = nbl->Next)
            assert_true(++count <= SENDS);
    }
}

/* It comes back twice. */
static void
completed_and_returned(void **state)
{
    struct scene scene;

    scene_open(&scene, 1);
    ask(&scene);
    finish_send(&scene, 0, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0);
    fill(&scene, 0, 1);
    scene_close(&scene, 147);
}

static void
a_head_without_a_chain(void **state)
{
    struct scene scene;

    scene_open(&scene, 0);
    ask(&scene);
    fill(&scene, 0, 0);
    scene.state->SendDataHead = &scene.sends[0].nbl;
    scene_close(&scene, 147);
}

/* With an empty one at an end, "first with data" and "first" differ; either will do. */
static void
ends_with_data(void **state)
{
    for (int with_data = 0; with_data < 2; with_data++) {
        struct scene scene;

        scene_open(&scene, 0);
        kit_nbl_init(&scene.sends[0], 0, 0);
        kit_nbl_init(&scene.sends[1], LENGTH, 0);
        for (int i = 0; i < 2; i++)
            kit_post(&scene.kit, &scene.kit.landing, CROSSING_TCP_SEND, &scene.conn,
                     &scene.sends[i]);
        ask(&scene);
        fill(&scene, 0, 2);
        if (with_data)
            scene.state->SendDataHead = &scene.sends[1].nbl;
        scene_close(&scene, 0);
    }
}

static void
more_in_flight_than_comes_back(void **state)
{
    struct scene scene;

    scene_open(&scene, 2);
    finish_send(&scene, 0, NDIS_STATUS_SUCCESS, LENGTH);
    ask(&scene);
    fill(&scene, 1, 1);
    scene.state->SndNxt = scene.state->SndMax = 2 * LENGTH;
    scene_close(&scene, 0);

    scene_open(&scene, 2);
    ask(&scene);
    fill(&scene, 0, 2);
    scene.state->SndNxt = scene.state->SndMax = 2 * LENGTH + 1;
    scene_close(&scene, 155); /* more than there ever was */
}

/* ---- BufferedData ---- */

static void
buffered(void **state)
{
    static const unsigned rules[] = {0, 148, 148, 155};

    for (int i = 0; i < 4; i++) {
        struct scene scene;

        scene_open(&scene, 1);
        kit_nbl_init(&scene.data, LENGTH, 0);
        if (i == 1) { /* the host stack has it */
            kit_indicate(&scene.kit, &scene.kit.landing, &scene.conn, &scene.data,
                         NDIS_STATUS_SUCCESS, LENGTH);
            kit_assert_none(&scene.kit);
        }
        ask(&scene);
        fill(&scene, 0, 1);
        scene.state->BufferedData = i == 2 ? &scene.sends[0].nbl : &scene.data.nbl;
        scene.state->RcvNxt = i == 3 ? LENGTH - 1 : LENGTH;
        scene_close(&scene, rules[i]);
        assert_ptr_equal(scene.state->BufferedData, rules[i] == 148 ? NULL : &scene.data.nbl);
    }
}

/* ---- values ---- */

static void
values(void **state)
{
    static const struct {
        ULONG una, nxt, max, rcv;
        TCP_OFFLOAD_CONNECTION_STATE in;
        unsigned rule;
    } cases[] = {
        {0, 100, 200, 0, TcpConnectionEstablished, 0},
        {200, 100, 300, 0, TcpConnectionEstablished, 155},
        {0, 200, 100, 0, TcpConnectionEstablished, 155},
        {0, 100, 200, 1, TcpConnectionEstablished, 155}, /* nobody got that byte */
        {0, 100, 200, 1, TcpConnectionCloseWait, 0},     /* the FIN */
        {0, 100, 200, (ULONG)-1, TcpConnectionEstablished, 155},
        {7, 3, 5, 99, TcpConnectionClosed, 0}, /* it has no meaning any more */
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;

        print_message("# %zu\n", i);
        scene_open(&scene, SENDS);
        ask(&scene);
        fill(&scene, 0, SENDS);
        scene.state->SndUna = cases[i].una;
        scene.state->SndNxt = cases[i].nxt;
        scene.state->SndMax = cases[i].max;
        scene.state->RcvNxt = cases[i].rcv;
        scene.state->State = cases[i].in;
        scene_close(&scene, cases[i].rule);
    }
}

static void
timers(void **state)
{
    static const struct {
        ULONG retransmit, keepalive;
        unsigned rule;
    } cases[] = {
        {0, TCP_OFFLOAD_TIMER_OFF, 151},
        {TCP_OFFLOAD_TIMER_OFF, 0, 151},
        {TCP_OFFLOAD_TIMER_OFF, TCP_OFFLOAD_TIMER_OFF, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;

        scene_open(&scene, 0);
        ask(&scene);
        fill(&scene, 0, 0);
        scene.state->Retransmit.TimeoutDelta = cases[i].retransmit;
        scene.state->KeepAlive.TimeoutDelta = cases[i].keepalive;
        scene_close(&scene, cases[i].rule);
    }
}

/* ---- V-152 ---- */

static void
sends_behind_the_decision(void **state)
{
    static const struct {
        ULONG reason;
        NDIS_STATUS status;
        unsigned rule;
        bool before; /* the send was there already */
    } cases[] = {
        {UploadRequested, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0, false},
        {UploadRequested, NDIS_STATUS_SUCCESS, 152, false},
        {UploadRequested, NDIS_STATUS_REQUEST_ABORTED, 152, false},
        {UploadRequested, NDIS_STATUS_SUCCESS, 0, true},
        {HardwareFailure, NDIS_STATUS_REQUEST_ABORTED, 0, false},
        {LowActivity, NDIS_STATUS_SUCCESS, 0, false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool good = cases[i].status == NDIS_STATUS_SUCCESS;
        struct scene scene;

        print_message("# %zu\n", i);
        scene_open(&scene, cases[i].before ? 1 : 0);
        kit_event(&scene.kit, &scene.kit.landing, &scene.conn.tcp, TcpIndicateRetrieve,
                  cases[i].reason);
        if (!cases[i].before) {
            kit_nbl_init(&scene.sends[0], LENGTH, 0);
            kit_post(&scene.kit, &scene.kit.landing, CROSSING_TCP_SEND, &scene.conn,
                     &scene.sends[0]);
        }
        kit_assert_none(&scene.kit);
        finish_send(&scene, 0, cases[i].status, good ? LENGTH : 0);
        if (cases[i].rule)
            assert_int_equal(scene.kit.reports[scene.kit.count - 1].rule, cases[i].rule);
        else
            kit_assert_none(&scene.kit);
        kit_close(&scene.kit);
    }
}

/* ---- power ---- */

static void
power(void **state)
{
    static const struct {
        NDIS_DEVICE_POWER_STATE to;
        bool offloaded, pending;
        NDIS_STATUS status;
        unsigned first, second;
    } cases[] = {
        {NdisDeviceStateD3, true, false, NDIS_STATUS_SUCCESS, 157, 156},
        {NdisDeviceStateD3, true, true, NDIS_STATUS_SUCCESS, 157, 156},
        {NdisDeviceStateD3, true, true, NDIS_STATUS_FAILURE, 157, 0},
        {NdisDeviceStateD0, true, false, NDIS_STATUS_SUCCESS, 0, 0},
        {NdisDeviceStateD3, false, true, NDIS_STATUS_SUCCESS, 0, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        NDIS_DEVICE_POWER_STATE to = cases[i].to;
        NDIS_OID_REQUEST request = {
            .RequestType = NdisRequestSetInformation,
            .DATA.SET_INFORMATION = {.Oid = OID_PNP_SET_POWER,
                                     .InformationBuffer = &to,
                                     .InformationBufferLength = sizeof(to)},
        };
        struct crossing down, up;
        struct scene scene;

        print_message("# %zu\n", i);
        scene_open(&scene, 0);
        if (!cases[i].offloaded) {
            kit_terminate(&scene.kit, &scene.kit.landing, &scene.conn);
            kit_terminate_complete(&scene.kit, &scene.kit.landing, &scene.conn, NDIS_STATUS_SUCCESS,
                                   NULL);
        }
        down = kit_crossing(&scene.kit.landing, CROSSING_OID, false);
        down.code = OID_PNP_SET_POWER;
        down.data = &request;
        kit_before(&scene.kit, &down);
        if (cases[i].first)
            kit_assert(&scene.kit, cases[i].first, "host");
        kit_after(&scene.kit, &down, cases[i].pending ? NDIS_STATUS_PENDING : cases[i].status);
        if (cases[i].pending) {
            up = kit_crossing(&scene.kit.landing, CROSSING_OID_COMPLETE, true);
            up.code = OID_PNP_SET_POWER;
            up.data = &request;
            up.status = cases[i].status;
            kit_before(&scene.kit, &up);
            kit_after(&scene.kit, &up, cases[i].status);
        }
        if (cases[i].second)
            kit_assert(&scene.kit, cases[i].second, "target");
        kit_assert_none(&scene.kit);
        kit_close(&scene.kit);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(returned_or_completed),
        cmocka_unit_test(requests_come_back),
        cmocka_unit_test(a_failed_terminate),
        cmocka_unit_test(inside_an_indication),
        cmocka_unit_test(chains),
        cmocka_unit_test(completed_and_returned),
        cmocka_unit_test(a_head_without_a_chain),
        cmocka_unit_test(ends_with_data),
        cmocka_unit_test(more_in_flight_than_comes_back),
        cmocka_unit_test(buffered),
        cmocka_unit_test(values),
        cmocka_unit_test(timers),
        cmocka_unit_test(sends_behind_the_decision),
        cmocka_unit_test(power),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
