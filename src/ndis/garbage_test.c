/* Drivers that pass what cannot be: NDIS says so, follows nothing, and goes on. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <stdio.h>

struct watcher {
    struct observer observer;
    struct stage *stage;
    enum crossing_veto veto; /* of every completion */
    bool right;              /* SourceHandle is put right */
    char to[16];             /* of the completion seen last */
    unsigned rules[32], breaches;
};

static void
watch_crossing(void *arg, struct crossing *crossing)
{
    struct watcher *watcher = arg;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root = crossing->blocks;

    if (crossing->op != CROSSING_QUERY_COMPLETE || crossing->after)
        return;
    snprintf(watcher->to, sizeof(watcher->to), "%s", crossing->to);
    if (watcher->right)
        root->SourceHandle = watcher->stage->host.binding;
    crossing->veto = watcher->veto;
}

static void
watch_breach(void *arg, unsigned rule, const char *driver, const void *object, const char *what)
{
    struct watcher *watcher = arg;

    assert_in_range(watcher->breaches, 0, 31);
    watcher->rules[watcher->breaches++] = rule;
}

static void
watch(struct watcher *watcher, struct stage *stage)
{
    memset(watcher, 0, sizeof(*watcher));
    watcher->observer = (struct observer){
        .on_crossing = watch_crossing, .on_breach = watch_breach, .arg = watcher};
    watcher->stage = stage;
    house_attach_observer(stage->house, &watcher->observer);
}

static void
assert_breaches(struct watcher *watcher, unsigned count, unsigned rule)
{
    assert_int_equal(watcher->breaches, count);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(watcher->rules[i], rule);
    watcher->breaches = 0;
}

/* ---- nothing ---- */

static void
nothing_from_above(struct stage *stage, NDIS_OFFLOAD_HANDLE *handle)
{
    NDIS_HANDLE binding = stage->host.binding;

    NdisInitiateOffload(binding, NULL);
    NdisTerminateOffload(binding, NULL);
    NdisUpdateOffload(binding, NULL);
    NdisInvalidateOffload(binding, NULL);
    NdisQueryOffloadState(binding, NULL);
    assert_int_not_equal(NdisOffloadTcpSend(handle, NULL), NDIS_STATUS_PENDING);
    assert_int_not_equal(NdisOffloadTcpReceive(handle, NULL), NDIS_STATUS_PENDING);
    assert_int_not_equal(NdisOffloadTcpForward(handle, NULL), NDIS_STATUS_PENDING);
    assert_int_not_equal(NdisOffloadTcpDisconnect(handle, NULL, 0), NDIS_STATUS_PENDING);
    NdisOffloadTcpReceiveReturn(binding, NULL);
    NdisSendNetBufferLists(binding, NULL, 0, 0);
    NdisReturnNetBufferLists(binding, NULL, 0);
}

static void
nothing_from_below(struct stage *stage, NDIS_OFFLOAD_HANDLE *handle, NET_BUFFER_LIST *nbl)
{
    const NDIS_TCP_OFFLOAD_EVENT_HANDLERS *up = &stage->target.up;
    NDIS_HANDLE adapter = stage->target.adapter;
    ULONG consumed = 7;

    up->NdisTcpOffloadSendComplete(adapter, NULL);
    up->NdisTcpOffloadReceiveComplete(adapter, NULL);
    up->NdisTcpOffloadDisconnectComplete(adapter, NULL);
    up->NdisTcpOffloadForwardComplete(adapter, NULL);
    assert_int_equal(up->NdisTcpOffloadReceiveHandler(handle, NULL, 0, &consumed),
                     NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED);
    assert_int_equal(consumed, 0);
    assert_int_equal(up->NdisTcpOffloadReceiveHandler(handle, nbl, 0, NULL),
                     NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED);
    NdisMOffloadEventIndicate(adapter, NULL, NeighborReachabilityQuery);
    NdisMIndicateStatusEx(adapter, NULL);
    NdisMIndicateReceiveNetBufferLists(adapter, NULL, 0, 0, 0);
    NdisMSendNetBufferListsComplete(adapter, NULL, 0);
}

static void
nothing_is_no_argument(void **state)
{
    struct stage *stage = *state;
    struct watcher watcher;
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = test_nbls(pool, 1);
    struct test_block b[3];

    stage_offload(stage, b);
    watch(&watcher, stage);
    stage->trace[0] = '\0';
    nothing_from_above(stage, &b[2].handle);
    assert_breaches(&watcher, 12, 0);
    nothing_from_below(stage, &b[2].handle, nbl);
    assert_breaches(&watcher, 10, 0);
    NdisMQueryOffloadStateComplete(stage->target.adapter, NULL);
    assert_breaches(&watcher, 1, 31);
    assert_string_equal(stage->trace, "");
    house_detach_observer(stage->house, &watcher.observer);
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    test_free_nbls(nbl);
    NdisFreeNetBufferListPool(pool);
}

/* ---- whose completion it is ---- */

/* A SourceHandle that was not restored may point anywhere: it is compared and not followed. */
static void
a_completion_for_nobody(void **state)
{
    struct stage *stage = *state;
    struct watcher watcher;
    struct test_block b;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&b.block;
    void *const sources[] = {NULL, (void *)(uintptr_t)0xdead0000, stage->target.adapter, &b};

    watch(&watcher, stage);
    test_block_init(&b, TcpOffloadState);
    for (size_t i = 0; i < 4; i++) {
        root->SourceHandle = sources[i];
        NdisMQueryOffloadStateComplete(stage->target.adapter, root);
        assert_breaches(&watcher, 1, 31);
        assert_string_equal(watcher.to, "?");
    }
    root->SourceHandle = stage->host.binding; /* which has nothing outstanding */
    NdisMQueryOffloadStateComplete(stage->target.adapter, root);
    assert_breaches(&watcher, 1, 31);
    assert_string_equal(watcher.to, "host");
    assert_int_equal(stage->host.completions, 0);
    house_detach_observer(stage->house, &watcher.observer);
}

/* An observer that knows the tree may stop its completion, or say whose it is. */
static void
an_observer_knows_better(void **state)
{
    struct stage *stage = *state;
    struct watcher watcher;
    struct test_block b[3], query;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&query.block;

    stage_offload(stage, b);
    stage->host.completions = 0;
    watch(&watcher, stage);
    stage->target.hold_state = true;
    test_block_init(&query, NeighborOffloadConstState);
    query.block.OffloadHandle = &b[0].handle;
    NdisQueryOffloadState(stage->host.binding, &query.block);
    watcher.veto = CROSSING_DROP;
    NdisMQueryOffloadStateComplete(stage->target.adapter, root);
    assert_int_equal(stage->host.completions, 0);
    watcher.veto = CROSSING_GO;
    watcher.right = true;
    root->SourceHandle = &query;
    fake_target_answer(&stage->target);
    assert_int_equal(stage->host.completions, 1);
    assert_ptr_equal(stage->host.done, &query.block);
    assert_breaches(&watcher, 0, 0);
    house_detach_observer(stage->house, &watcher.observer);
    stage->target.hold_state = false;
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
}

/* ---- lists that run in a circle ---- */

/* The fakes forget what they keep: the test moves it by hand. */
static void
keep_nothing(struct stage *stage)
{
    stage->target.nbls = stage->target.nbls_tail = NULL;
    stage->host.nbls = stage->host.nbls_tail = NULL;
}

static void
completions_in_a_circle(void **state)
{
    struct stage *stage = *state;
    struct watcher watcher;
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbls = test_nbls(pool, 3);
    struct test_block b[3];

    stage_offload(stage, b);
    watch(&watcher, stage);
    NdisOffloadTcpSend(&b[2].handle, nbls);
    keep_nothing(stage);
    nbls->Next->Next->Next = nbls->Next;
    stage->target.up.NdisTcpOffloadSendComplete(stage->target.adapter, nbls);
    assert_breaches(&watcher, 1, 74);
    assert_int_equal(stage->host.calls, 1);
    assert_int_equal(test_count(nbls), 3);
    keep_nothing(stage);
    NdisSendNetBufferLists(stage->host.binding, nbls, 0, 0);
    keep_nothing(stage);
    nbls->Next->Next->Next = nbls;
    NdisMSendNetBufferListsComplete(stage->target.adapter, nbls, 0);
    assert_breaches(&watcher, 1, 0);
    assert_int_equal(stage->host.calls, 2);
    assert_int_equal(test_count(nbls), 3);
    house_detach_observer(stage->house, &watcher.observer);
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    test_free_nbls(nbls);
    NdisFreeNetBufferListPool(pool);
}

/* ---- handles that say anything ---- */

static void
wild_handles(void **state)
{
    static void *const wild[] = {(void *)0x40, (void *)0x5a5a5a5a5a5a5a40, (void *)~(uintptr_t)63};
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
    NDIS_OFFLOAD_HANDLE handle = {.MiniportOffloadContext = &block};
    struct stage *stage = *state;
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = test_nbls(pool, 1);
    const NDIS_TCP_OFFLOAD_EVENT_HANDLERS *up = &stage->target.up;
    struct watcher watcher;
    ULONG consumed;

    watch(&watcher, stage);
    for (size_t i = 0; i < 3; i++) {
        handle.NdisReserved[0] = wild[i];
        NdisOffloadTcpSend(&handle, nbl);
        assert_breaches(&watcher, 1, 84);
        NdisOffloadTcpForward(&handle, nbl);
        assert_breaches(&watcher, 1, 84);
        up->NdisTcpOffloadEventHandler(&handle, TcpIndicateAbort, 0);
        assert_breaches(&watcher, 1, 130);
        up->NdisTcpOffloadReceiveHandler(&handle, nbl, 0, &consumed);
        assert_breaches(&watcher, 1, 130);
    }
    memset(&block, 0xcc, sizeof(block));
    NdisMOffloadEventIndicate(stage->target.adapter, &block, NeighborReachabilityQuery);
    assert_breaches(&watcher, 1, 130);
    block.NdisOffloadHandle = &handle;
    NdisMOffloadEventIndicate(stage->target.adapter, &block, NeighborReachabilityQuery);
    assert_breaches(&watcher, 1, 130);
    house_detach_observer(stage->house, &watcher.observer);
    test_free_nbls(nbl);
    NdisFreeNetBufferListPool(pool);
}

static void
a_refused_tree_again(void **state)
{
    struct stage *stage = *state;
    struct watcher watcher;
    struct test_block b = {.block.Status = 0};

    watch(&watcher, stage);
    test_block_init(&b, 0); /* no type */
    stage->host.completions = 0;
    NdisInitiateOffload(stage->host.binding, &b.block);
    assert_breaches(&watcher, 1, 14);
    NdisInitiateOffload(stage->host.binding, &b.block);
    NdisQueryOffloadState(stage->host.binding, &b.block);
    assert_breaches(&watcher, 2, 18);
    stage_settle(stage);
    assert_int_equal(stage->host.completions, 1);
    house_detach_observer(stage->house, &watcher.observer);
}

/* ---- requests ---- */

static NDIS_OID_REQUEST
request(NDIS_REQUEST_TYPE type, NDIS_OID oid, UINT length)
{
    return (NDIS_OID_REQUEST){
        .Header = {NDIS_OBJECT_TYPE_OID_REQUEST, 1, sizeof(NDIS_OID_REQUEST)},
        .RequestType = type,
        .DATA.SET_INFORMATION = {.Oid = oid, .InformationBufferLength = length}};
}

static void
requests_without_a_buffer(void **state)
{
    NDIS_OID_REQUEST requests[] = {
        request(NdisRequestSetInformation, OID_TCP_CONNECTION_OFFLOAD_PARAMETERS, 500),
        request(NdisRequestSetInformation, OID_GEN_CURRENT_PACKET_FILTER, 4),
        request(NdisRequestQueryInformation, OID_TCP_CONNECTION_OFFLOAD_CURRENT_CONFIG, 500)};
    struct stage *stage = *state;
    struct watcher watcher;

    watch(&watcher, stage);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(NdisOidRequest(stage->host.binding, &requests[i]),
                         NDIS_STATUS_INVALID_DATA);
        assert_breaches(&watcher, 1, 0);
        assert_int_equal(NdisDirectOidRequest(stage->host.binding, &requests[i]),
                         NDIS_STATUS_INVALID_DATA);
        assert_breaches(&watcher, 1, 0);
    }
    assert_int_equal(NdisOidRequest(stage->host.binding, NULL), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisDirectOidRequest(stage->host.binding, NULL),
                     NDIS_STATUS_INVALID_PARAMETER);
    assert_breaches(&watcher, 2, 0);
    assert_int_equal(stage->target.oids, 0);
    house_detach_observer(stage->house, &watcher.observer);
}

/* With the miniport, or waiting for its turn: the first one is the one that counts. */
static void
requests_made_twice(void **state)
{
    NDIS_OID_REQUEST a = request(NdisRequestQueryInformation, OID_TCP4_OFFLOAD_STATS, 0), b = a,
                     c = a;
    struct stage *stage = *state;
    NDIS_HANDLE binding = stage->host.binding, adapter = stage->target.adapter;
    struct watcher watcher;

    watch(&watcher, stage);
    stage->target.pend_oid = true;
    assert_int_equal(NdisOidRequest(binding, &a), NDIS_STATUS_PENDING);
    assert_int_equal(NdisOidRequest(binding, &b), NDIS_STATUS_PENDING);
    assert_int_equal(NdisDirectOidRequest(binding, &c), NDIS_STATUS_PENDING);
    assert_int_equal(NdisOidRequest(binding, &a), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisOidRequest(binding, &b), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisOidRequest(binding, &c), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisDirectOidRequest(binding, &a), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisDirectOidRequest(binding, &c), NDIS_STATUS_INVALID_PARAMETER);
    assert_breaches(&watcher, 5, 187);
    NdisMOidRequestComplete(adapter, &a, NDIS_STATUS_SUCCESS);
    NdisMOidRequestComplete(adapter, &b, NDIS_STATUS_SUCCESS);
    assert_int_equal(stage->host.oids_done, 2);
    NdisMDirectOidRequestComplete(adapter, &c, NDIS_STATUS_SUCCESS);
    assert_breaches(&watcher, 0, 0);
    NdisMOidRequestComplete(adapter, &a, NDIS_STATUS_SUCCESS);
    NdisMDirectOidRequestComplete(adapter, &c, NDIS_STATUS_SUCCESS);
    assert_breaches(&watcher, 2, 187);
    house_detach_observer(stage->house, &watcher.observer);
}

/* ---- what was freed ---- */

static VOID
never(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2, PVOID SystemSpecific3)
{
    fail();
}

static VOID
never_work(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    fail();
}

static void
timers_freed_twice(void **state)
{
    NDIS_TIMER_CHARACTERISTICS characteristics = {.TimerFunction = never};
    LARGE_INTEGER due = {.QuadPart = -1};
    struct stage *stage = *state;
    NDIS_HANDLE first, timer, work;
    struct watcher watcher;

    assert_int_equal(NdisAllocateTimerObject(NULL, &characteristics, &first), 0);
    NdisFreeTimerObject(first);
    work = NdisAllocateIoWorkItem(stage->target.adapter);
    NdisFreeIoWorkItem(work);
    watch(&watcher, stage);
    NdisFreeTimerObject(first);
    assert_false(NdisSetTimerObject(first, due, 0, NULL));
    assert_false(NdisCancelTimerObject(first));
    NdisQueueIoWorkItem(work, never_work, NULL);
    NdisFreeIoWorkItem(work);
    assert_breaches(&watcher, 5, 0);
    for (int i = 0; i < 200; i++) { /* graves do not pile up */
        assert_int_equal(NdisAllocateTimerObject(NULL, &characteristics, &timer), 0);
        NdisFreeTimerObject(timer);
        assert_in_range(stage->house->retired_timers.count, 1, 64);
    }
    assert_breaches(&watcher, 0, 0);
    stage_settle(stage);
    house_detach_observer(stage->house, &watcher.observer);
}

/* ---- who keeps NDIS waiting ---- */

static void
a_target_that_does_not_complete(void **state)
{
    struct stage *stage = *state;
    struct watcher watcher;
    struct test_block b[3], query;

    stage_offload(stage, b);
    stage->target.hold_state = true;
    test_block_init(&query, NeighborOffloadConstState);
    query.block.OffloadHandle = &b[0].handle;
    NdisQueryOffloadState(stage->host.binding, &query.block);
    watch(&watcher, stage);
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_int_equal(watcher.rules[0], 29);
    assert_true(stage_logged(stage, "adapter nic0 does not complete 1 state operations (V-029)"));
    assert_false(stage_logged(stage, "V-064"));
    house_detach_observer(stage->house, &watcher.observer);
}

struct failing {
    struct sys_timer timer;
    struct stage *stage;
    NET_BUFFER_LIST *data;
    unsigned left;
};

/* Answers what NDIS terminates by itself with a failure, and leaves state behind none may read. */
static void
fail_terminate(void *arg)
{
    struct failing *failing = arg;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = failing->stage->target.root;

    if (root) {
        root->Status = NDIS_STATUS_FAILURE;
        if (root->Header.Type == TcpOffloadDelegatedState)
            ((TCP_OFFLOAD_STATE_DELEGATED *)NDIS_OFFLOAD_STATE_FIRST(root))
                ->BufferedData = failing->data;
        failing->stage->target.root = NULL;
        failing->left--;
        NdisMTerminateOffloadComplete(failing->stage->target.adapter, root);
    }
    if (failing->left)
        sys_timer_set(&failing->timer, sys_loop_now_us(failing->stage->loop) + 1000);
}

static void
a_forced_terminate_that_fails(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = test_pool(stage);
    struct failing failing = {.stage = stage, .data = test_nbls(pool, 1), .left = 3};
    struct test_block b[3];

    stage_offload(stage, b);
    stage->target.hold_state = true;
    assert_int_equal(sys_timer_init(&failing.timer, stage->loop, fail_terminate, &failing), 0);
    sys_timer_set(&failing.timer, sys_loop_now_us(stage->loop) + 1000);
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    assert_int_equal(failing.left, 0);
    assert_int_equal(stage->target.returned, 0);
    sys_timer_fini(&failing.timer);
    test_free_nbls(failing.data);
    NdisFreeNetBufferListPool(pool);
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOUND(nothing_is_no_argument),
        BOUND(a_completion_for_nobody),
        BOUND(an_observer_knows_better),
        BOUND(completions_in_a_circle),
        BOUND(a_target_that_does_not_complete),
        BOUND(a_forced_terminate_that_fails),
        BOUND(wild_handles),
        BOUND(requests_without_a_buffer),
        BOUND(requests_made_twice),
        BOUND(a_refused_tree_again),
        BOUND(timers_freed_twice),
    };

    return cmocka_run_group_tests_name("ndis/garbage", tests, NULL, NULL);
}
