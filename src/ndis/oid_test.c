/* Requests and status indications. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <errno.h>

static NDIS_OID_REQUEST
request(NDIS_REQUEST_TYPE type, NDIS_OID oid, void *buffer, UINT length)
{
    NDIS_OID_REQUEST request = {.Header = {NDIS_OBJECT_TYPE_OID_REQUEST, 1, sizeof(request)},
                                .RequestType = type};

    request.DATA.QUERY_INFORMATION.Oid = oid;
    request.DATA.QUERY_INFORMATION.InformationBuffer = buffer;
    request.DATA.QUERY_INFORMATION.InformationBufferLength = length;
    return request;
}

static void
ndis_answers(void **state)
{
    struct stage *stage = *state;
    NDIS_TCP_CONNECTION_OFFLOAD can;
    NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS set = {.TicksPerSecond = 100}, get;
    NDIS_OID_REQUEST oid = request(NdisRequestQueryInformation,
                                   OID_TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG, &can, sizeof(can));

    assert_int_equal(NdisOidRequest(stage->host.binding, &oid), NDIS_STATUS_SUCCESS);
    assert_int_equal(can.TcpConnectionOffloadCapacity, 1000);
    assert_int_equal(oid.DATA.QUERY_INFORMATION.BytesWritten, sizeof(can));
    oid = request(NdisRequestQueryInformation, OID_TCP_CONNECTION_OFFLOAD_HARDWARE_CAPABILITIES,
                  &can, 3);
    assert_int_equal(NdisOidRequest(stage->host.binding, &oid), NDIS_STATUS_BUFFER_TOO_SHORT);
    assert_int_equal(oid.DATA.QUERY_INFORMATION.BytesNeeded, sizeof(can));
    oid = request(NdisRequestQueryInformation, OID_TCP_TASK_OFFLOAD, &can, sizeof(can));
    assert_int_equal(NdisOidRequest(stage->host.binding, &oid), NDIS_STATUS_NOT_SUPPORTED);

    oid = request(NdisRequestQueryInformation, OID_TCP_CONNECTION_OFFLOAD_PARAMETERS, &get,
                  sizeof(get));
    assert_int_equal(NdisOidRequest(stage->host.binding, &oid), NDIS_STATUS_NOT_SUPPORTED);
    assert_int_equal(stage->target.oids, 0);
    oid = request(NdisRequestSetInformation, OID_TCP_CONNECTION_OFFLOAD_PARAMETERS, &set,
                  sizeof(set));
    assert_int_equal(NdisOidRequest(stage->host.binding, &oid), NDIS_STATUS_SUCCESS);
    assert_int_equal(stage->target.oids, 1); /* a set is the miniport's */
    set.TicksPerSecond = 10;
    stage->target.oid_status = NDIS_STATUS_FAILURE;
    assert_int_equal(NdisOidRequest(stage->host.binding, &oid), NDIS_STATUS_FAILURE);
    oid = request(NdisRequestQueryInformation, OID_TCP_CONNECTION_OFFLOAD_PARAMETERS, &get,
                  sizeof(get));
    assert_int_equal(NdisOidRequest(stage->host.binding, &oid), NDIS_STATUS_SUCCESS);
    assert_int_equal(get.TicksPerSecond, 100); /* as last set successfully */
    assert_int_equal(stage->host.oids_done, 0);
}

static void
one_at_a_time(void **state)
{
    struct stage *stage = *state;
    NDIS_OID_REQUEST a = request(NdisRequestQueryInformation, OID_TCP4_OFFLOAD_STATS, NULL, 0);
    NDIS_OID_REQUEST b = a, c = a;

    stage->target.pend_oid = true;
    assert_int_equal(NdisOidRequest(stage->host.binding, &a), NDIS_STATUS_PENDING);
    assert_int_equal(NdisOidRequest(stage->host.binding, &b), NDIS_STATUS_PENDING);
    assert_int_equal(NdisOidRequest(stage->host.binding, &c), NDIS_STATUS_PENDING);
    assert_int_equal(stage->target.oids, 1);
    NdisMOidRequestComplete(stage->target.adapter, &b,
                            NDIS_STATUS_SUCCESS); /* not given to it yet */
    assert_true(stage_logged(stage, "V-187"));
    assert_int_equal(stage->host.oids_done, 0);
    NdisMOidRequestComplete(stage->target.adapter, &a, NDIS_STATUS_SUCCESS);
    assert_ptr_equal(stage->host.oid_done, &a);
    assert_ptr_equal(stage->target.oid, &b);
    /* From now on it answers at once: b's completion pulls c along. */
    stage->target.pend_oid = false;
    stage->target.oid_status = NDIS_STATUS_INVALID_OID;
    NdisMOidRequestComplete(stage->target.adapter, &b, NDIS_STATUS_SUCCESS);
    assert_int_equal(stage->host.oids_done, 3);
    assert_ptr_equal(stage->host.oid_done, &c);
    assert_int_equal(stage->host.oid_status, NDIS_STATUS_INVALID_OID);
    assert_int_equal(NdisOidRequest(stage->host.binding, &a), NDIS_STATUS_INVALID_OID);
    assert_int_equal(NdisOidRequest(NULL, &a), NDIS_STATUS_INVALID_PARAMETER);
}

static void
cancelled_and_left(void **state)
{
    struct stage *stage = *state;
    NDIS_OID_REQUEST a = request(NdisRequestQueryInformation, OID_TCP4_OFFLOAD_STATS, NULL, 0);
    NDIS_OID_REQUEST b = a, c = a;

    stage->target.pend_oid = true;
    b.RequestId = stage;
    NdisOidRequest(stage->host.binding, &a);
    NdisOidRequest(stage->host.binding, &b);
    NdisOidRequest(stage->host.binding, &c);
    NdisCancelOidRequest(stage->host.binding, stage);
    assert_ptr_equal(stage->host.oid_done, &b);
    assert_int_equal(stage->host.oid_status, NDIS_STATUS_REQUEST_ABORTED);
    NdisCancelOidRequest(stage->host.binding,
                         stage); /* nothing left by that name: the miniport's affair */
    assert_int_equal(stage->host.oids_done, 1);
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_int_equal(stage->host.oids_done, 2); /* c; a is with the miniport */
    assert_true(stage_logged(stage, "V-186"));
    NdisMOidRequestComplete(stage->target.adapter, &a, NDIS_STATUS_SUCCESS);
    assert_int_equal(stage->host.oids_done, 2);
    assert_int_equal(NdisOidRequest(stage->host.binding, &a), NDIS_STATUS_INVALID_PARAMETER);
}

/* A miniport is asked at PASSIVE_LEVEL, whatever the level of the caller. */
static void
asked_at_passive(void **state)
{
    struct stage *stage = *state;
    NDIS_OID_REQUEST a = request(NdisRequestQueryInformation, OID_TCP4_OFFLOAD_STATS, NULL, 0);
    NDIS_OID_REQUEST b = a, c = a;
    KIRQL old;

    KeRaiseIrql(DISPATCH_LEVEL, &old);
    assert_int_equal(NdisOidRequest(stage->host.binding, &a), NDIS_STATUS_PENDING);
    assert_int_equal(stage->target.oids, 0);
    KeLowerIrql(old);
    stage_settle(stage);
    assert_int_equal(stage->target.oids, 1);
    assert_int_equal(stage->target.level, PASSIVE_LEVEL);
    assert_ptr_equal(stage->host.oid_done, &a);
    /* A completion at DISPATCH_LEVEL does not bring the next one with it. */
    stage->target.pend_oid = true;
    assert_int_equal(NdisOidRequest(stage->host.binding, &b), NDIS_STATUS_PENDING);
    assert_int_equal(NdisOidRequest(stage->host.binding, &c), NDIS_STATUS_PENDING);
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    NdisMOidRequestComplete(stage->target.adapter, &b, NDIS_STATUS_SUCCESS);
    KeLowerIrql(old);
    assert_ptr_equal(stage->host.oid_done, &b);
    assert_int_equal(stage->host.level, DISPATCH_LEVEL);
    assert_int_equal(stage->target.oids, 2);
    stage_settle(stage);
    assert_ptr_equal(stage->target.oid, &c);
    assert_int_equal(stage->target.level, PASSIVE_LEVEL);
    NdisMOidRequestComplete(stage->target.adapter, &c, NDIS_STATUS_SUCCESS);
    assert_string_equal(stage->log, "");
}

static void
direct_requests(void **state)
{
    struct stage *stage = *state;
    NDIS_OID_REQUEST a = request(NdisRequestQueryInformation, OID_TCP4_OFFLOAD_STATS, NULL, 0);
    NDIS_OID_REQUEST b = a, ordinary = a;
    KIRQL old;

    stage->target.pend_oid = true;
    assert_int_equal(NdisOidRequest(stage->host.binding, &ordinary), NDIS_STATUS_PENDING);
    /* Beside it, several at a time, at the caller's level. */
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    assert_int_equal(NdisDirectOidRequest(stage->host.binding, &a), NDIS_STATUS_PENDING);
    assert_ptr_equal(stage->target.direct, &a);
    assert_int_equal(stage->target.level, DISPATCH_LEVEL);
    assert_int_equal(NdisDirectOidRequest(stage->host.binding, &b), NDIS_STATUS_PENDING);
    assert_ptr_equal(stage->target.direct, &b);
    NdisMDirectOidRequestComplete(stage->target.adapter, &b, NDIS_STATUS_INVALID_DATA);
    KeLowerIrql(old);
    assert_ptr_equal(stage->host.direct_done, &b);
    assert_int_equal(stage->host.oid_status, NDIS_STATUS_INVALID_DATA);
    assert_int_equal(stage->host.level, DISPATCH_LEVEL);
    NdisMDirectOidRequestComplete(stage->target.adapter, &b, NDIS_STATUS_SUCCESS);
    assert_true(stage_logged(stage, "a direct request that it does not have (V-187)"));
    NdisMDirectOidRequestComplete(stage->target.adapter, &ordinary, NDIS_STATUS_SUCCESS);
    assert_int_equal(stage->host.oids_done, 0);
    /* At once. */
    stage->target.pend_oid = false;
    stage->target.oid_status = NDIS_STATUS_INVALID_OID;
    assert_int_equal(NdisDirectOidRequest(stage->host.binding, &b), NDIS_STATUS_INVALID_OID);
    NdisMOidRequestComplete(stage->target.adapter, &ordinary, NDIS_STATUS_SUCCESS);
    /* The driver closes, the miniport answers afterwards. */
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_true(stage_logged(stage, "closes with direct requests outstanding (V-186)"));
    stage->host.direct_done = NULL;
    NdisMDirectOidRequestComplete(stage->target.adapter, &a, NDIS_STATUS_SUCCESS);
    assert_null(stage->host.direct_done);
    assert_int_equal(NdisDirectOidRequest(stage->host.binding, &a), NDIS_STATUS_INVALID_PARAMETER);
}

/* Drivers of before direct requests. */
static void
no_direct_requests(void **state)
{
    struct stage *stage;
    NDIS_OID_REQUEST a = request(NdisRequestQueryInformation, OID_TCP4_OFFLOAD_STATS, NULL, 0);

    stage_setup(state);
    stage = *state;
    stage->target.no_direct = true;
    stage_build(stage);
    assert_int_equal(NdisDirectOidRequest(stage->host.binding, &a), NDIS_STATUS_NOT_SUPPORTED);
    assert_null(stage->target.direct);
    stage_teardown(state);
    stage_setup(state);
    stage = *state;
    stage->host.no_direct = true;
    stage_build(stage);
    assert_int_equal(NdisDirectOidRequest(stage->host.binding, &a), NDIS_STATUS_NOT_SUPPORTED);
    assert_true(stage_logged(stage, "driver host has no handler for its completion"));
    assert_null(stage->target.direct);
}

static void
indicate(struct stage *stage, NDIS_STATUS code, void *buffer, ULONG size)
{
    NDIS_STATUS_INDICATION indication = {
        .Header = {NDIS_OBJECT_TYPE_STATUS_INDICATION, 1, sizeof(indication)},
        .StatusCode = code,
        .StatusBuffer = buffer,
        .StatusBufferSize = size,
    };

    NdisMIndicateStatusEx(stage->target.adapter, &indication);
}

static void
status_goes_to_everybody(void **state)
{
    struct stage *stage = *state;
    static struct fake_host other, late;
    NDIS_TCP_CONNECTION_OFFLOAD more = {.Encapsulation = NDIS_ENCAPSULATION_IEEE_802_3,
                                        .SupportIPv6 = NDIS_OFFLOAD_SUPPORTED,
                                        .TcpConnectionOffloadCapacity = 5};

    other.stage = stage;
    assert_int_equal(house_load(stage->house, "other", fake_host_entry, &other), 0);
    assert_int_equal(house_bind(stage->house, "other", "nic0", NULL), 0);
    indicate(stage, NDIS_STATUS_OFFLOAD_PAUSE, NULL, 0);
    assert_int_equal(stage->host.status_seen, NDIS_STATUS_OFFLOAD_PAUSE);
    assert_int_equal(other.status_seen, NDIS_STATUS_OFFLOAD_PAUSE);
    /* P28: who comes later is told. */
    late.stage = stage;
    assert_int_equal(house_load(stage->house, "late", fake_host_entry, &late), 0);
    assert_int_equal(house_bind(stage->house, "late", "nic0", NULL), 0);
    assert_int_equal(late.status_seen, NDIS_STATUS_OFFLOAD_PAUSE);
    assert_int_equal(house_unbind(stage->house, "late", "nic0"), 0);
    indicate(stage, NDIS_STATUS_OFFLOAD_RESUME, &more, sizeof(more));
    assert_int_equal(other.status_seen, NDIS_STATUS_OFFLOAD_RESUME);
    assert_int_equal(late.statuses, 1);
    late.statuses = 0;
    assert_int_equal(house_bind(stage->house, "late", "nic0", NULL), 0);
    assert_int_equal(late.statuses, 0);
    assert_int_equal(late.capabilities.TcpConnectionOffloadCapacity, 5);
    indicate(stage, NDIS_STATUS_UPLOAD_ALL, NULL, 0);
    assert_true(((struct ndis_adapter *)stage->target.adapter)->offload_paused);
    assert_int_equal(late.statuses, 1);
    assert_int_equal(house_unload(stage->house, "late"), 0);
    assert_int_equal(house_unload(stage->house, "other"), 0);
}

static void
pnp_events_of_a_virtual_adapter(void **state)
{
    struct stage *stage = *state;
    NET_PNP_EVENT_NOTIFICATION event = {.NetPnPEvent.NetEvent = NetEventPause};

    assert_int_equal(NdisMNetPnPEvent(stage->target.adapter, &event), NDIS_STATUS_SUCCESS);
    assert_string_equal(stage->trace, ""); /* NDIS sends those itself */
    event.NetPnPEvent.NetEvent = NetEventQueryPower;
    assert_int_equal(NdisMNetPnPEvent(stage->target.adapter, &event), NDIS_STATUS_SUCCESS);
    assert_string_equal(stage->trace, "event");
    assert_int_equal(NdisMNetPnPEvent(stage->host.binding, &event), NDIS_STATUS_INVALID_PARAMETER);
    /* The answer is the driver's, also when it comes later. */
    stage->host.event_status = NDIS_STATUS_FAILURE;
    assert_int_equal(NdisMNetPnPEvent(stage->target.adapter, &event), NDIS_STATUS_FAILURE);
    stage->host.pend_event = true;
    stage->host.event_status = NDIS_STATUS_RESOURCES;
    assert_int_equal(NdisMNetPnPEvent(stage->target.adapter, &event), NDIS_STATUS_RESOURCES);
    assert_string_equal(stage->trace, "event event event");
    NdisCompleteNetPnPEvent(stage->host.binding, &event, NDIS_STATUS_SUCCESS);
    assert_true(stage_logged(stage, "no such event is in progress (V-187)"));
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOUND(ndis_answers),
        BOUND(one_at_a_time),
        BOUND(cancelled_and_left),
        BOUND(asked_at_passive),
        BOUND(direct_requests),
        cmocka_unit_test_teardown(no_direct_requests, stage_teardown),
        BOUND(status_goes_to_everybody),
        BOUND(pnp_events_of_a_virtual_adapter),
    };

    return cmocka_run_group_tests_name("ndis/oid", tests, NULL, NULL);
}
