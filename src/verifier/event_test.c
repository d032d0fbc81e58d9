/* V-130 … V-144: one breach of each that calls can show, beside what is nearly one. */
#include "verifier/test_kit.h"

#include <string.h>

#define LENGTH 100u
#define NCE_STALE 30000u /* the kit's, in ticks of a millisecond */

struct scene {
    struct kit kit;
    struct kit_conn conn;
    struct kit_nbl nbl;
};

static void
open_in(struct scene *scene, TCP_OFFLOAD_CONNECTION_STATE state)
{
    kit_open(&scene->kit, false);
    kit_conn_init(&scene->conn);
    kit_delegated(&scene->conn)->State = state;
    kit_initiate(&scene->kit, &scene->kit.landing, &scene->conn);
    kit_initiate_complete(&scene->kit, &scene->kit.landing, &scene->conn);
    kit_nbl_init(&scene->nbl, LENGTH, 0);
}

static void
scene_open(struct scene *scene)
{
    open_in(scene, TcpConnectionEstablished);
}

static void
scene_close(struct scene *scene)
{
    kit_assert_none(&scene->kit);
    kit_close(&scene->kit);
}

static void
event(struct scene *scene, ULONG type, ULONG info)
{
    kit_event(&scene->kit, &scene->kit.landing, &scene->conn.tcp, type, info);
}

static void
close_gracefully(struct scene *scene, bool finish)
{
    static struct kit_nbl nbl;

    kit_nbl_init(&nbl, 0, 0);
    kit_disconnect(&scene->kit, &scene->kit.landing, &scene->conn, &nbl,
                   TCP_DISCONNECT_GRACEFUL_CLOSE);
    if (finish)
        kit_finish(&scene->kit, &scene->kit.landing, CROSSING_TCP_DISCONNECT_COMPLETE, &nbl,
                   NDIS_STATUS_SUCCESS, 0);
}

static void
good_events(void **state)
{
    struct scene scene;

    scene_open(&scene);
    event(&scene, TcpIndicateSendBacklogChange, 20000);
    event(&scene, TcpIndicateRetrieve, SmallIO);
    event(&scene, TcpIndicateRetrieve, SmallIO); /* may be repeated */
    event(&scene, TcpIndicateDisconnect, 0);
    event(&scene, TcpIndicateRetrieve, HardwareFailure);
    event(&scene, TcpIndicateAbort, 0);
    scene_close(&scene);
}

/* ---- V-130, V-131, V-137 ---- */

static void
a_handle_that_never_was(void **state)
{
    struct scene scene;
    struct observer *observer;

    scene_open(&scene);
    observer = scene.kit.observer;
    observer->on_breach(observer->arg, 130, "?", &scene, "not live");
    kit_assert(&scene.kit, 130, "?");
    scene_close(&scene);
}

/* Nobody is named, but on this thread the target is running. */
static void
a_handle_that_never_was_inside_a_call(void **state)
{
    struct scene scene;
    struct crossing crossing;
    struct observer *observer;

    scene_open(&scene);
    observer = scene.kit.observer;
    crossing = kit_crossing(&scene.kit.landing, CROSSING_TCP_SEND, false);
    crossing.object = &scene.conn.tcp;
    crossing.nbls = &scene.nbl.nbl;
    kit_before(&scene.kit, &crossing);
    observer->on_breach(observer->arg, 130, "?", &scene, "not live");
    kit_after(&scene.kit, &crossing, NDIS_STATUS_PENDING);
    kit_assert(&scene.kit, 130, "target");
    scene_close(&scene);
}

static void
known_events_only(void **state)
{
    static const ULONG wrong[][2] = {
        {0, 0}, {5, 0}, {TcpIndicateRetrieve, 0}, {TcpIndicateRetrieve, SmallIO + 1}};

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct scene scene;

        scene_open(&scene);
        event(&scene, wrong[i][0], wrong[i][1]);
        kit_assert(&scene.kit, 131, "target");
        scene_close(&scene);
    }
}

static void
of_connections_only(void **state)
{
    struct scene scene;

    scene_open(&scene);
    kit_event(&scene.kit, &scene.kit.landing, &scene.conn.path, TcpIndicateAbort, 0);
    kit_assert(&scene.kit, 131, "target");
    scene_close(&scene);
}

static void
not_before_the_initiate_is_over(void **state)
{
    struct scene scene;
    struct kit_conn other;

    scene_open(&scene);
    kit_conn_init(&other);
    kit_initiate(&scene.kit, &scene.kit.landing, &other);
    event(&scene, TcpIndicateRetrieve, UploadRequested); /* of another one */
    kit_assert_none(&scene.kit);
    kit_event(&scene.kit, &scene.kit.landing, &other.tcp, TcpIndicateRetrieve, UploadRequested);
    kit_assert(&scene.kit, 137, "target");
    scene_close(&scene);
}

static void
what_can_wait_waits_for_the_initiate(void **state)
{
    static const ULONG events[][2] = {{TcpIndicateSendBacklogChange, 20000},
                                      {TcpIndicateRetrieve, SmallIO}};

    for (int i = 0; i < 2; i++) {
        struct scene scene;
        struct kit_conn other;

        scene_open(&scene);
        kit_conn_init(&other);
        kit_initiate(&scene.kit, &scene.kit.landing, &other);
        event(&scene, events[i][0], events[i][1]);
        kit_assert(&scene.kit, 137, "target");
        kit_initiate_complete(&scene.kit, &scene.kit.landing, &other);
        event(&scene, events[i][0], events[i][1]);
        scene_close(&scene);
    }
}

/* ---- V-132, V-133, V-134 ---- */

static void
the_end_comes_once(void **state)
{
    struct scene scene;

    scene_open(&scene);
    event(&scene, TcpIndicateDisconnect, 0);
    kit_assert_none(&scene.kit);
    event(&scene, TcpIndicateDisconnect, 0);
    kit_assert(&scene.kit, 132, "target");
    scene_close(&scene);
}

static void
the_end_comes_behind_the_data(void **state)
{
    struct scene scene;

    scene_open(&scene);
    kit_indicate(&scene.kit, &scene.kit.landing, &scene.conn, &scene.nbl,
                 NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED, 10);
    event(&scene, TcpIndicateDisconnect, 0);
    kit_assert(&scene.kit, 132, "target");
    scene_close(&scene);
}

static void
after_an_abort(void **state)
{
    struct scene scene;

    scene_open(&scene);
    kit_post(&scene.kit, &scene.kit.landing, CROSSING_TCP_SEND, &scene.conn, &scene.nbl);
    event(&scene, TcpIndicateAbort, 0);
    kit_finish(&scene.kit, &scene.kit.landing, CROSSING_TCP_SEND_COMPLETE, &scene.nbl,
               NDIS_STATUS_UPLOAD_IN_PROGRESS, 0);
    kit_assert(&scene.kit, 133, "target");
    scene_close(&scene);
}

enum step { NOTHING, CLOSING, CLOSED, PEER };

struct half {
    TCP_OFFLOAD_CONNECTION_STATE lent;
    enum step first, second;
    ULONG reason;
    bool wrong;
};

static void
take_step(struct scene *scene, enum step step)
{
    if (step == PEER)
        event(scene, TcpIndicateDisconnect, 0);
    else if (step != NOTHING)
        close_gracefully(scene, step == CLOSED);
}

static void
optional_reasons_and_half_closed_connections(void **state)
{
    static const struct half halves[] = {
        {TcpConnectionEstablished, NOTHING, NOTHING, LowActivity, false},
        {TcpConnectionEstablished, PEER, NOTHING, LowActivity, true},
        {TcpConnectionEstablished, PEER, NOTHING, UploadRequested, false},
        {TcpConnectionEstablished, CLOSED, NOTHING, HighDropRate, true},
        {TcpConnectionEstablished, CLOSED, NOTHING, TimeoutExpiration, false},
        {TcpConnectionEstablished, CLOSING, NOTHING, HighDropRate, false}, /* FIN may wait */
        {TcpConnectionEstablished, PEER, CLOSING, LowActivity, false},     /* LAST_ACK, perhaps */
        {TcpConnectionEstablished, CLOSED, PEER, LowActivity, false},      /* TIME_WAIT */
        {TcpConnectionFinWait1, NOTHING, NOTHING, SmallIO, true},
        {TcpConnectionFinWait2, NOTHING, NOTHING, SmallIO, true},
        {TcpConnectionFinWait2, PEER, NOTHING, SmallIO, false},
        {TcpConnectionCloseWait, NOTHING, NOTHING, SmallIO, true},
        {TcpConnectionCloseWait, CLOSED, NOTHING, SmallIO, false},
        {TcpConnectionLastAck, NOTHING, NOTHING, SmallIO, false},
    };

    for (size_t i = 0; i < sizeof(halves) / sizeof(halves[0]); i++) {
        struct scene scene;

        open_in(&scene, halves[i].lent);
        take_step(&scene, halves[i].first);
        take_step(&scene, halves[i].second);
        kit_assert_none(&scene.kit);
        event(&scene, TcpIndicateRetrieve, halves[i].reason);
        if (halves[i].wrong)
            kit_assert(&scene.kit, 134, "target");
        scene_close(&scene);
    }
}

/* ---- V-136 ---- */

static void
backlog_events_are_throttled(void **state)
{
    struct scene scene;

    scene_open(&scene);
    for (ULONG i = 0; i < 20; i++) { /* sawteeth, and steps with pauses */
        event(&scene, TcpIndicateSendBacklogChange, 20000 + i % 2 * 10000);
        scene.kit.now_us += 100;
    }
    for (ULONG i = 0; i < 20; i++) {
        scene.kit.now_us += 5000;
        event(&scene, TcpIndicateSendBacklogChange, 20000 + i * 100);
    }
    kit_assert_none(&scene.kit);
    for (ULONG i = 0; i < 20; i++)
        event(&scene, TcpIndicateSendBacklogChange, 30000 + i * 100);
    kit_assert(&scene.kit, 136, "target");
    scene_close(&scene);
}

/* ---- V-141, V-142 ---- */

struct question {
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
    UCHAR states[256] __attribute__((aligned(8)));
    NEIGHBOR_OFFLOAD_STATE_CONST *constant;
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached;
    NEIGHBOR_OFFLOAD_STATE_DELEGATED *delegated;
};

static void
question_init(struct question *question, struct scene *scene)
{
    memset(question, 0, sizeof(*question));
    question->block.Header = (NDIS_OBJECT_HEADER){
        NeighborOffloadState, NDIS_OFFLOAD_BLOCK_LIST_REVISION_1, sizeof(question->block)};
    question->block.NdisOffloadHandle = &scene->conn.neighbor;
    question->constant = NDIS_OFFLOAD_STATE_FIRST(&question->block);
    question->constant->Header.Length = sizeof(*question->constant);
    question->cached = NDIS_OFFLOAD_STATE_NEXT(question->constant);
    question->cached->Header.Length = sizeof(*question->cached);
    question->delegated = NDIS_OFFLOAD_STATE_NEXT(question->cached);
    question->delegated->Header.Length = sizeof(*question->delegated);
    question->delegated->NicReachabilityDelta = NCE_STALE + 1;
}

static enum crossing_veto
ask(struct scene *scene, struct question *question, bool answered, ULONG age)
{
    struct crossing crossing = kit_crossing(&scene->kit.landing, CROSSING_OFFLOAD_EVENT, true);

    crossing.object = question->block.NdisOffloadHandle;
    crossing.blocks = &question->block;
    crossing.code = NeighborReachabilityQuery;
    kit_before(&scene->kit, &crossing);
    if (answered)
        question->cached->HostReachabilityDelta = age;
    kit_after(&scene->kit, &crossing, NDIS_STATUS_SUCCESS);
    return crossing.veto;
}

/* Both are stale; the answer starts the time again. */
static void
a_good_question(void **state)
{
    struct scene scene;
    struct question question;

    scene_open(&scene);
    question_init(&question, &scene);
    scene.kit.now_us += (NCE_STALE + 1) * 1000ull;
    ask(&scene, &question, true, 10000);
    assert_int_equal(question.cached->HostReachabilityDelta, 10000);
    scene.kit.now_us += 20001 * 1000ull;
    ask(&scene, &question, true, 0);
    scene_close(&scene);
}

static void
asked_too_early(void **state)
{
    struct scene scene;
    struct question question;

    scene_open(&scene); /* the host stack has seen it */
    question_init(&question, &scene);
    scene.kit.now_us += (NCE_STALE - 10) * 1000ull;
    ask(&scene, &question, true, 0);
    kit_assert(&scene.kit, 141, "target");
    scene_close(&scene);

    scene_open(&scene); /* the target has */
    question_init(&question, &scene);
    question.delegated->NicReachabilityDelta = NCE_STALE;
    scene.kit.now_us += (NCE_STALE + 1) * 1000ull;
    ask(&scene, &question, true, 0);
    kit_assert(&scene.kit, 141, "target");
    scene_close(&scene);

    scene_open(&scene); /* the answer said when */
    question_init(&question, &scene);
    scene.kit.now_us += (NCE_STALE + 1) * 1000ull;
    ask(&scene, &question, true, 0);
    kit_assert_none(&scene.kit);
    scene.kit.now_us += 20001 * 1000ull;
    ask(&scene, &question, true, 0);
    kit_assert(&scene.kit, 141, "target");
    scene_close(&scene);
}

static void
the_form_of_a_question(void **state)
{
    for (int wrong = 0; wrong < 6; wrong++) {
        struct scene scene;
        struct question question;

        scene_open(&scene);
        question_init(&question, &scene);
        scene.kit.now_us += (NCE_STALE + 1) * 1000ull;
        if (wrong == 0)
            question.block.Header.Type = NeighborOffloadCachedState;
        else if (wrong == 1)
            question.block.NdisOffloadHandle = &scene.conn.path;
        else if (wrong == 2)
            question.constant->Header.Length = 0;
        else if (wrong == 3)
            question.block.DependentBlockList = &question.block;
        else if (wrong == 4)
            question.block.NextBlock = &question.block;
        else
            question.block.Status = NDIS_STATUS_FAILURE;
        assert_int_equal(ask(&scene, &question, true, 0),
                         wrong < 3 ? CROSSING_REFUSE : CROSSING_GO);
        kit_assert(&scene.kit, 141, "target");
        scene_close(&scene);
    }
}

static void
a_question_without_an_answer(void **state)
{
    struct scene scene;
    struct question question;

    scene_open(&scene);
    question_init(&question, &scene);
    question.cached->HostReachabilityDelta = 77;
    scene.kit.now_us += (NCE_STALE + 1) * 1000ull;
    ask(&scene, &question, false, 0);
    kit_assert(&scene.kit, 142, "host");
    assert_int_equal(question.cached->HostReachabilityDelta, 77);
    scene_close(&scene);
}

/* ---- V-143, V-144 ---- */

static void
indicate_status(struct scene *scene, NDIS_STATUS code, NDIS_TCP_CONNECTION_OFFLOAD *capabilities)
{
    static char other; /* a second binding over the adapter */
    struct crossing crossing = kit_crossing(&scene->kit.landing, CROSSING_STATUS, true);
    NDIS_STATUS_INDICATION indication = {.StatusCode = code,
                                         .StatusBuffer = capabilities,
                                         .StatusBufferSize = capabilities ? sizeof(*capabilities)
                                                                          : 0};

    for (int binding = 0; binding < 2; binding++) { /* one indication, to all of them in turn */
        scene->kit.now_us++;
        if (binding)
            crossing.binding = &other;
        crossing.after = false;
        crossing.code = (ULONG)code;
        crossing.data = &indication;
        kit_before(&scene->kit, &crossing);
        kit_after(&scene->kit, &crossing, NDIS_STATUS_SUCCESS);
    }
}

static void
set_capabilities(struct scene *scene, NDIS_TCP_CONNECTION_OFFLOAD *capabilities)
{
    struct crossing crossing = kit_crossing(&scene->kit.landing, CROSSING_SET_ATTRIBUTES, true);
    NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES general = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_1, sizeof(general)},
    };
    NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES attributes = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1, sizeof(attributes)},
        .DefaultTcpConnectionOffloadConfiguration = capabilities,
        .TcpConnectionOffloadHardwareCapabilities = capabilities,
    };

    crossing.data = &general; /* V-189: in this order */
    kit_before(&scene->kit, &crossing);
    crossing.data = &attributes;
    kit_before(&scene->kit, &crossing);
}

static void
a_resume_of_what_was_paused(void **state)
{
    NDIS_TCP_CONNECTION_OFFLOAD capabilities = {.Encapsulation = NDIS_ENCAPSULATION_IEEE_802_3,
                                                .SupportIPv4 = 1,
                                                .TcpConnectionOffloadCapacity = 10};
    struct scene scene;

    scene_open(&scene);
    set_capabilities(&scene, &capabilities);
    indicate_status(&scene, NDIS_STATUS_OFFLOAD_PAUSE, NULL);
    capabilities.TcpConnectionOffloadCapacity = 20;
    indicate_status(&scene, NDIS_STATUS_OFFLOAD_RESUME, &capabilities);
    indicate_status(&scene, NDIS_STATUS_UPLOAD_ALL, NULL);
    indicate_status(&scene, NDIS_STATUS_OFFLOAD_RESUME, &capabilities);
    kit_assert_none(&scene.kit);
    indicate_status(&scene, NDIS_STATUS_OFFLOAD_RESUME, &capabilities);
    kit_assert(&scene.kit, 143, "target");
    scene_close(&scene);
}

/* What was said before a binding was there it hears when it starts: until then nobody knows. */
static void
a_resume_before_the_start(void **state)
{
    static const struct {
        const char *state;
        unsigned rule;
    } cases[] = {{"Opening", 0}, {"Paused", 0}, {"Restarting", 0}, {"Running", 143}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct scene scene;

        scene_open(&scene);
        indicate_status(&scene, NDIS_STATUS_OFFLOAD_PAUSE, NULL);
        indicate_status(&scene, NDIS_STATUS_OFFLOAD_RESUME, NULL);
        scene.kit.observer->on_state(scene.kit.observer->arg, "binding", "host@nic", "?",
                                     cases[i].state, "");
        indicate_status(&scene, NDIS_STATUS_OFFLOAD_RESUME, NULL);
        if (cases[i].rule)
            kit_assert(&scene.kit, cases[i].rule, "target");
        scene_close(&scene);
    }
}

static void
capabilities_change_in_a_pause(void **state)
{
    NDIS_TCP_CONNECTION_OFFLOAD capabilities = {.Encapsulation = NDIS_ENCAPSULATION_IEEE_802_3,
                                                .SupportIPv4 = 1,
                                                .TcpConnectionOffloadCapacity = 10};
    struct scene scene;

    scene_open(&scene);
    set_capabilities(&scene, &capabilities);
    capabilities.TcpConnectionOffloadCapacity = 20;
    indicate_status(&scene, NDIS_STATUS_OFFLOAD_RESUME, &capabilities);
    kit_assert(&scene.kit, 144, "target");
    scene_close(&scene);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_events),
        cmocka_unit_test(a_handle_that_never_was),
        cmocka_unit_test(a_handle_that_never_was_inside_a_call),
        cmocka_unit_test(known_events_only),
        cmocka_unit_test(of_connections_only),
        cmocka_unit_test(not_before_the_initiate_is_over),
        cmocka_unit_test(what_can_wait_waits_for_the_initiate),
        cmocka_unit_test(the_end_comes_once),
        cmocka_unit_test(the_end_comes_behind_the_data),
        cmocka_unit_test(after_an_abort),
        cmocka_unit_test(optional_reasons_and_half_closed_connections),
        cmocka_unit_test(backlog_events_are_throttled),
        cmocka_unit_test(a_good_question),
        cmocka_unit_test(asked_too_early),
        cmocka_unit_test(the_form_of_a_question),
        cmocka_unit_test(a_question_without_an_answer),
        cmocka_unit_test(a_resume_of_what_was_paused),
        cmocka_unit_test(a_resume_before_the_start),
        cmocka_unit_test(capabilities_change_in_a_pause),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
