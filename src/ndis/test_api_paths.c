/* Rows of the API table: requests, resets, status, the regular path. */
#include "ndis/objects.h"
#include "ndis/test_api.h"
#include "ndis/test_fakes.h"

static NDIS_OID_REQUEST
query(void)
{
    return (NDIS_OID_REQUEST){.Header = {NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1,
                                         sizeof(NDIS_OID_REQUEST)},
                              .RequestType = NdisRequestQueryInformation,
                              .DATA.QUERY_INFORMATION.Oid = OID_TCP4_OFFLOAD_STATS};
}

/* ---- requests ---- */

static void
request_is_answered(struct stage *stage)
{
    NDIS_OID_REQUEST at_once = query(), later = at_once;

    assert_int_equal(NdisOidRequest(stage->host.binding, &at_once), NDIS_STATUS_SUCCESS);
    stage->target.pend_oid = true;
    assert_int_equal(NdisOidRequest(stage->host.binding, &later), NDIS_STATUS_PENDING);
    NdisMOidRequestComplete(stage->target.adapter, &later, NDIS_STATUS_SUCCESS);
    assert_ptr_equal(stage->host.oid_done, &later);
    assert_int_equal(stage->host.oids_done, 1);
}

static void
request_is_refused(struct stage *stage)
{
    NDIS_OID_REQUEST request = query();

    assert_int_equal(NdisOidRequest(NULL, &request), NDIS_STATUS_INVALID_PARAMETER);
    request.DATA.QUERY_INFORMATION.Oid = OID_TCP_TASK_OFFLOAD;
    assert_int_equal(NdisOidRequest(stage->host.binding, &request), NDIS_STATUS_NOT_SUPPORTED);
}

static void
request_completes_twice(struct stage *stage)
{
    NDIS_OID_REQUEST request = query();

    NdisMOidRequestComplete(stage->target.adapter, &request, NDIS_STATUS_SUCCESS);
    assert_true(stage_logged(stage, "completes a request that it was not given (V-187)"));
}

static void
request_is_cancelled(struct stage *stage)
{
    NDIS_OID_REQUEST first = query(), waiting = first;

    stage->target.pend_oid = true;
    NdisOidRequest(stage->host.binding, &first);
    waiting.RequestId = stage;
    NdisOidRequest(stage->host.binding, &waiting);
    NdisCancelOidRequest(stage->host.binding, stage);
    assert_ptr_equal(stage->host.oid_done, &waiting); /* a cancelled request still completes */
    assert_int_equal(stage->host.oid_status, NDIS_STATUS_REQUEST_ABORTED);
    NdisCancelOidRequest(stage->host.binding, &first); /* the miniport's affair */
    assert_ptr_equal(stage->target.cancelled, &first);
    NdisMOidRequestComplete(stage->target.adapter, &first, NDIS_STATUS_SUCCESS);
}

static void
request_is_not_cancelled(struct stage *stage)
{
    NdisCancelOidRequest(stage->target.adapter, stage);
    assert_true(stage_logged(stage, "NdisCancelOidRequest: "));
    assert_null(stage->target.cancelled);
}

static void
direct_request_is_answered(struct stage *stage)
{
    NDIS_OID_REQUEST at_once = query(), later = at_once;

    assert_int_equal(NdisDirectOidRequest(stage->host.binding, &at_once), NDIS_STATUS_SUCCESS);
    stage->target.pend_oid = true;
    assert_int_equal(NdisDirectOidRequest(stage->host.binding, &later), NDIS_STATUS_PENDING);
    NdisMDirectOidRequestComplete(stage->target.adapter, &later, NDIS_STATUS_SUCCESS);
    assert_ptr_equal(stage->host.direct_done, &later);
}

static void
direct_request_is_refused(struct stage *stage)
{
    NDIS_OID_REQUEST request = query();

    assert_int_equal(NdisDirectOidRequest(NULL, &request), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisDirectOidRequest(stage->host.binding, NULL),
                     NDIS_STATUS_INVALID_PARAMETER);
}

static void
direct_request_completes_twice(struct stage *stage)
{
    NDIS_OID_REQUEST request = query();

    NdisMDirectOidRequestComplete(stage->target.adapter, &request, NDIS_STATUS_SUCCESS);
    assert_true(stage_logged(stage, "a direct request that it does not have (V-187)"));
}

/* ---- resets and status ---- */

static void
reset_completes(struct stage *stage)
{
    static struct fake_target watched;
    KIRQL old;

    watched = (struct fake_target){.stage = stage, .watched = true, .pend_reset = true};
    assert_int_equal(house_load(stage->house, "watched", fake_target_entry, &watched), 0);
    assert_int_equal(house_add_adapter(stage->house, "watched", "nic1", NULL, NULL), 0);
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_int_equal(house_bind(stage->house, "host", "nic1", NULL), 0);
    watched.hangs = true;
    while (stage->host.status_seen != NDIS_STATUS_RESET_START)
        sys_loop_turn(stage->loop, true);
    assert_true(stage_logged(stage, "adapter nic1 hangs, it is reset"));
    KeRaiseIrql(DISPATCH_LEVEL, &old);
    NdisMResetComplete(watched.adapter, NDIS_STATUS_SUCCESS, FALSE);
    KeLowerIrql(old);
    assert_int_equal(stage->host.status_seen, NDIS_STATUS_RESET_END);
    stage->log[0] = '\0'; /* a reset is worth two warnings */
}

static void
reset_does_not_complete(struct stage *stage)
{
    NdisMResetComplete(stage->target.adapter, NDIS_STATUS_SUCCESS, FALSE);
    assert_true(stage_logged(stage, "no reset of adapter nic0 is in progress (V-187)"));
}

static NDIS_STATUS_INDICATION
indication(NDIS_STATUS code)
{
    return (NDIS_STATUS_INDICATION){.Header = {NDIS_OBJECT_TYPE_STATUS_INDICATION,
                                               NDIS_STATUS_INDICATION_REVISION_1,
                                               sizeof(NDIS_STATUS_INDICATION)},
                                    .StatusCode = code};
}

static void
status_is_told(struct stage *stage)
{
    NDIS_STATUS_INDICATION status = indication(NDIS_STATUS_LINK_STATE);

    NdisMIndicateStatusEx(stage->target.adapter, &status);
    assert_int_equal(stage->host.status_seen, NDIS_STATUS_LINK_STATE);
}

static void
status_is_not_told(struct stage *stage)
{
    NDIS_STATUS_INDICATION status = indication(NDIS_STATUS_LINK_STATE);

    NdisMIndicateStatusEx(stage->target.driver, &status); /* */
    assert_true(stage_logged(stage, "is not a miniport adapter handle"));
    assert_int_equal(stage->host.statuses, 0);
}

/* ---- frames ---- */

static void
frame_is_sent(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbls = test_nbls(pool, 3);

    NdisSendNetBufferLists(stage->host.binding, nbls, NDIS_DEFAULT_PORT_NUMBER, 0);
    assert_int_equal(test_count(stage->target.nbls), 3);
    NdisMSendNetBufferListsComplete(stage->target.adapter, stage->target.nbls, 0);
    assert_int_equal(test_count(stage->host.nbls), 3);
    test_free_nbls(stage->host.nbls);
    NdisFreeNetBufferListPool(pool);
}

static void
frame_is_not_sent(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);

    /* A binding that does not run: completed later, with PAUSED. */
    ((struct ndis_binding *)stage->host.binding)->state = NDIS_BINDING_PAUSED;
    NdisSendNetBufferLists(stage->host.binding, test_nbls(pool, 1), 0, 0);
    assert_null(stage->host.nbls);
    stage_settle(stage);
    assert_int_equal(stage->host.nbls->Status, NDIS_STATUS_PAUSED);
    assert_null(stage->target.nbls);
    ((struct ndis_binding *)stage->host.binding)->state = NDIS_BINDING_RUNNING;
    test_free_nbls(stage->host.nbls);
    NdisFreeNetBufferListPool(pool);
}

static void
frame_completes_twice(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = test_nbls(pool, 1);

    NdisMSendNetBufferListsComplete(stage->target.adapter, nbl, 0);
    assert_true(stage_logged(stage, "completed twice?"));
    assert_null(stage->host.nbls);
    test_free_nbls(nbl);
    NdisFreeNetBufferListPool(pool);
}

static void
send_is_cancelled(struct stage *stage)
{
    PVOID id = (PVOID)((ULONG_PTR)NdisGeneratePartialCancelId() << 24);
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = test_nbls(pool, 1);

    NDIS_SET_NET_BUFFER_LIST_CANCEL_ID(nbl, id);
    assert_ptr_equal(NDIS_GET_NET_BUFFER_LIST_CANCEL_ID(nbl), id);
    NdisCancelSendNetBufferLists(stage->host.binding, id);
    assert_ptr_equal(stage->target.cancelled, id);
    test_free_nbls(nbl);
    NdisFreeNetBufferListPool(pool);
}

static void
send_is_not_cancelled(struct stage *stage)
{
    NdisCancelSendNetBufferLists(NULL, stage);
    assert_true(stage_logged(stage, "NdisCancelSendNetBufferLists: the binding handle is NULL"));
    assert_null(stage->target.cancelled);
}

static void
cancel_ids_differ(struct stage *stage)
{
    UCHAR first = NdisGeneratePartialCancelId();

    assert_int_not_equal(NdisGeneratePartialCancelId(), first);
}

static void
frame_comes_in(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbls = test_nbls(pool, 2);

    NdisMIndicateReceiveNetBufferLists(stage->target.adapter, nbls, 0, 2, 0);
    assert_int_equal(stage->host.frames, 2);
    assert_int_equal(stage->target.returned, 2);
    test_free_nbls(nbls);
    NdisFreeNetBufferListPool(pool);
}

/* Nobody is there: it goes straight back. */
static void
frame_meets_nobody(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbls = test_nbls(pool, 2);

    ((struct ndis_binding *)stage->host.binding)->state = NDIS_BINDING_PAUSED;
    NdisMIndicateReceiveNetBufferLists(stage->target.adapter, nbls, 0, 2, 0);
    ((struct ndis_binding *)stage->host.binding)->state = NDIS_BINDING_RUNNING;
    assert_int_equal(stage->host.frames, 0);
    assert_int_equal(stage->target.returned, 2);
    NdisMIndicateReceiveNetBufferLists(NULL, nbls, 0, 2, 0);
    assert_int_equal(stage->target.returned, 2);
    test_free_nbls(nbls);
    NdisFreeNetBufferListPool(pool);
}

static void
frame_is_not_returned(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbls = test_nbls(pool, 1);

    NdisReturnNetBufferLists(stage->target.adapter, nbls, 0);
    assert_true(stage_logged(stage, "is not a binding handle"));
    assert_int_equal(stage->target.returned, 0);
    test_free_nbls(nbls);
    NdisFreeNetBufferListPool(pool);
}

static const struct api_row rows[] = {
    ROW(NdisOidRequest, DISPATCH_LEVEL, request_is_answered, request_is_refused),
    ROW(NdisMOidRequestComplete, DISPATCH_LEVEL, request_is_answered, request_completes_twice),
    ROW(NdisCancelOidRequest, DISPATCH_LEVEL, request_is_cancelled, request_is_not_cancelled),
    ROW(NdisDirectOidRequest, DISPATCH_LEVEL, direct_request_is_answered,
        direct_request_is_refused),
    ROW(NdisMDirectOidRequestComplete, DISPATCH_LEVEL, direct_request_is_answered,
        direct_request_completes_twice),
    ROW(NdisMResetComplete, DISPATCH_LEVEL, reset_completes, reset_does_not_complete),
    ROW(NdisMIndicateStatusEx, DISPATCH_LEVEL, status_is_told, status_is_not_told),
    ROW(NdisSendNetBufferLists, DISPATCH_LEVEL, frame_is_sent, frame_is_not_sent),
    ROW(NdisMSendNetBufferListsComplete, DISPATCH_LEVEL, frame_is_sent, frame_completes_twice),
    ROW(NdisCancelSendNetBufferLists, DISPATCH_LEVEL, send_is_cancelled, send_is_not_cancelled),
    ROW_SURE(NdisGeneratePartialCancelId, DISPATCH_LEVEL, cancel_ids_differ,
             "returns a byte, whichever"),
    ROW(NdisMIndicateReceiveNetBufferLists, DISPATCH_LEVEL, frame_comes_in, frame_meets_nobody),
    ROW(NdisReturnNetBufferLists, DISPATCH_LEVEL, frame_comes_in, frame_is_not_returned),
};
const struct api_rows api_paths = {rows, sizeof(rows) / sizeof(rows[0])};
