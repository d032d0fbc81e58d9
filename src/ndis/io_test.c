/* Data calls, completions and events: the right context, the right binding, the right order. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <stdio.h>

struct live {
    struct stage *stage;
    struct test_block b[3];
    NDIS_HANDLE pool;
    NDIS_OFFLOAD_HANDLE *tcp;
};

static struct live
go_live(void **state)
{
    struct live live = {.stage = *state};

    return live;
}

/* The blocks must not move once they are offloaded, so this is apart from go_live. */
static void
offload(struct live *live)
{
    stage_offload(live->stage, live->b);
    live->pool = test_pool(live->stage);
    live->tcp = &live->b[2].handle;
    live->b[2].block.ProtocolReserved[0] = &live->stage->host;
}

static void
finish(struct live *live)
{
    live->stage->target.hold_state = false;
    test_blocks_as_terminate(live->b);
    NdisTerminateOffload(live->stage->host.binding, &live->b[0].block);
    stage_settle(live->stage);
    NdisFreeNetBufferListPool(live->pool);
}

static void
the_four_calls(void **state)
{
    struct live live = go_live(state);
    struct fake_target *target = &live.stage->target;
    struct fake_host *host = &live.stage->host;
    NET_BUFFER_LIST *nbls[4];

    offload(&live);
    for (int i = 0; i < 4; i++)
        nbls[i] = test_nbls(live.pool, 3);
    assert_int_equal(NdisOffloadTcpSend(live.tcp, nbls[0]), NDIS_STATUS_PENDING);
    assert_ptr_equal(target->context_seen, live.tcp->MiniportOffloadContext);
    assert_ptr_equal(target->nbls, nbls[0]);
    fake_target_complete_nbls(target, target->up.NdisTcpOffloadSendComplete, NDIS_STATUS_SUCCESS);
    assert_ptr_equal(host->nbls, nbls[0]);
    assert_int_equal(NdisOffloadTcpReceive(live.tcp, nbls[1]), NDIS_STATUS_PENDING);
    fake_target_complete_nbls(target, target->up.NdisTcpOffloadReceiveComplete,
                              NDIS_STATUS_SUCCESS);
    assert_int_equal(NdisOffloadTcpForward(live.tcp, nbls[2]), NDIS_STATUS_PENDING);
    fake_target_complete_nbls(target, target->up.NdisTcpOffloadForwardComplete,
                              NDIS_STATUS_SUCCESS);
    assert_int_equal(NdisOffloadTcpDisconnect(live.tcp, nbls[3], TCP_DISCONNECT_GRACEFUL_CLOSE),
                     NDIS_STATUS_PENDING);
    assert_int_equal(target->flags_seen, TCP_DISCONNECT_GRACEFUL_CLOSE);
    fake_target_complete_nbls(target, target->up.NdisTcpOffloadDisconnectComplete,
                              NDIS_STATUS_SUCCESS);
    assert_int_equal(host->calls, 4);
    for (NET_BUFFER_LIST *nbl = host->nbls; nbl; nbl = nbl->Next)
        assert_null(nbl->NdisReserved[0]);
    test_free_nbls(host->nbls);
    finish(&live);
    assert_string_equal(live.stage->log, "");
}

/* A second host on the same adapter, and one completion list that mixes both. */
static void
mixed_lists_are_split(void **state)
{
    struct live live = go_live(state);
    struct stage *stage = live.stage;
    static struct fake_host other;
    struct test_block theirs[3];
    NET_BUFFER_LIST *nbls[6], *all;
    NDIS_HANDLE mine;

    offload(&live);
    mine = stage->host.binding;
    other.stage = stage;
    assert_int_equal(house_load(stage->house, "other", fake_host_entry, &other), 0);
    assert_int_equal(house_bind(stage->house, "other", "nic0", NULL), 0);
    stage->host.binding = other.binding;
    NdisInitiateOffload(other.binding, NULL);
    memset(theirs, 0, sizeof(theirs));
    test_block_init(&theirs[0], TcpOffloadState);
    NdisInitiateOffload(other.binding, &theirs[0].block);
    stage_settle(stage);
    assert_ptr_equal(other.done, &theirs[0].block);
    stage->host.binding = mine;

    /* mine mine theirs mine theirs theirs */
    for (int i = 0; i < 6; i++) {
        nbls[i] = test_nbls(live.pool, 1);
        NdisOffloadTcpSend(i == 0 || i == 1 || i == 3 ? live.tcp : &theirs[0].handle, nbls[i]);
    }
    all = stage->target.nbls;
    for (int i = 0; i < 6; i++, all = all->Next)
        assert_ptr_equal(all, nbls[i]);
    fake_target_complete_nbls(&stage->target, stage->target.up.NdisTcpOffloadSendComplete,
                              NDIS_STATUS_SUCCESS);
    assert_int_equal(stage->host.calls, 2);
    assert_int_equal(other.calls, 2);
    assert_ptr_equal(stage->host.nbls, nbls[0]);
    assert_ptr_equal(nbls[0]->Next, nbls[1]);
    assert_ptr_equal(nbls[1]->Next, nbls[3]);
    assert_null(nbls[3]->Next);
    assert_ptr_equal(other.nbls, nbls[2]);
    assert_ptr_equal(nbls[2]->Next, nbls[4]);
    assert_ptr_equal(nbls[4]->Next, nbls[5]);
    assert_null(nbls[5]->Next);
    test_free_nbls(stage->host.nbls);
    test_free_nbls(other.nbls);

    test_block_init(&theirs[0], TcpOffloadDelegatedState);
    NdisTerminateOffload(other.binding, &theirs[0].block);
    stage_settle(stage);
    assert_int_equal(house_unload(stage->house, "other"), 0);
    finish(&live);
}

static void
stale_handles_are_answered(void **state)
{
    struct live live = go_live(state);
    struct stage *stage = live.stage;
    NDIS_OFFLOAD_HANDLE copy, nothing = {{NULL}, NULL};
    NDIS_OFFLOAD_HANDLE *gone;
    NET_BUFFER_LIST *nbl;
    ULONG bytes = 9;

    offload(&live);
    nbl = test_nbls(live.pool, 1);
    copy = *live.tcp;
    gone = live.tcp;
    assert_int_equal(NdisOffloadTcpSend(NULL, nbl), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisOffloadTcpSend(&nothing, nbl), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisOffloadTcpSend(&copy, nbl), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisOffloadTcpReceive(live.tcp, NULL), NDIS_STATUS_INVALID_PARAMETER);
    finish(&live);
    assert_int_equal(NdisOffloadTcpSend(gone, nbl), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisOffloadTcpDisconnect(gone, nbl, 1), NDIS_STATUS_INVALID_PARAMETER);
    stage->target.up.NdisTcpOffloadEventHandler(gone, TcpIndicateAbort, 0);
    assert_int_equal(stage->target.up.NdisTcpOffloadReceiveHandler(gone, nbl, 0, &bytes),
                     NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED);
    assert_int_equal(bytes, 0);
    assert_null(stage->target.nbls);
    assert_null(stage->host.object_seen);
    assert_true(stage_logged(stage, "is not the handle of a live offload"));
    NdisFreeNetBufferList(nbl);
}

static void
a_send_during_the_initiate_comes_back(void **state)
{
    struct live live = go_live(state);
    struct stage *stage = live.stage;
    struct test_block b = {.handle.MiniportOffloadContext = NULL};
    NET_BUFFER_LIST *nbls;

    live.pool = test_pool(stage);
    nbls = test_nbls(live.pool, 2);
    stage->target.hold_state = true;
    test_block_init(&b, TcpOffloadState);
    NdisInitiateOffload(stage->host.binding, &b.block);
    assert_int_equal(NdisOffloadTcpSend(&b.handle, nbls), NDIS_STATUS_PENDING);
    assert_int_equal(stage->host.calls, 0);
    stage_settle(stage);
    assert_null(stage->target.nbls);
    assert_int_equal(stage->host.calls, 1);
    assert_ptr_equal(stage->host.nbls, nbls);
    assert_int_equal(nbls->Next->Status, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    fake_target_answer(&stage->target);
    stage->target.hold_state = false;
    test_block_init(&b, TcpOffloadDelegatedState);
    NdisTerminateOffload(stage->host.binding, &b.block);
    stage_settle(stage);
    test_free_nbls(nbls);
    NdisFreeNetBufferListPool(live.pool);
}

static void
completed_twice_is_dropped(void **state)
{
    struct live live = go_live(state);
    struct fake_target *target = &live.stage->target;
    NET_BUFFER_LIST *nbl, *good;

    offload(&live);
    nbl = test_nbls(live.pool, 1);
    good = test_nbls(live.pool, 1);
    NdisOffloadTcpSend(live.tcp, nbl);
    target->up.NdisTcpOffloadSendComplete(target->adapter, nbl);
    assert_int_equal(live.stage->host.calls, 1);
    live.stage->host.nbls = NULL;
    target->nbls = NULL;
    NdisOffloadTcpSend(live.tcp, good);
    nbl->Next = good; /* the same one again, in front of a good one */
    target->up.NdisTcpOffloadSendComplete(target->adapter, nbl);
    assert_true(stage_logged(live.stage, "completed twice"));
    assert_int_equal(live.stage->host.calls, 2);
    assert_ptr_equal(live.stage->host.nbls, good);
    target->up.NdisTcpOffloadSendComplete(NULL, good);
    target->up.NdisTcpOffloadSendComplete(live.stage->host.binding, good);
    assert_int_equal(live.stage->host.calls, 2);
    NdisFreeNetBufferList(nbl);
    NdisFreeNetBufferList(good);
    finish(&live);
}

static void
indications_and_their_answers(void **state)
{
    struct live live = go_live(state);
    struct fake_target *target = &live.stage->target;
    struct fake_host *host = &live.stage->host;
    NET_BUFFER_LIST *nbl;
    ULONG bytes = 0;

    offload(&live);
    nbl = test_nbls(live.pool, 1);
    host->accept = NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED;
    host->consume = 123;
    assert_int_equal(
        target->up.NdisTcpOffloadReceiveHandler(live.tcp, nbl, NDIS_STATUS_SUCCESS, &bytes),
        NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED);
    assert_int_equal(bytes, 123);
    assert_ptr_equal(host->object_seen, live.tcp);
    NdisOffloadTcpReceiveReturn(host->binding, nbl);
    assert_int_equal(target->returned, 1);
    target->up.NdisTcpOffloadEventHandler(live.tcp, TcpIndicateRetrieve, UploadRequested);
    assert_int_equal(host->event_seen, TcpIndicateRetrieve);
    assert_int_equal(host->information_seen, UploadRequested);
    NdisOffloadTcpReceiveReturn(NULL, nbl);
    NdisOffloadTcpReceiveReturn(target->adapter, nbl);
    assert_int_equal(target->returned, 1);
    NdisFreeNetBufferList(nbl);
    finish(&live);
}

static void
a_neighbor_is_asked_about(void **state)
{
    struct live live = go_live(state);
    struct fake_target *target = &live.stage->target;
    struct test_block query = {.handle.MiniportOffloadContext = NULL};
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block = (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&query.block;
    PVOID *cell = &live.b[0].handle.MiniportOffloadContext;
    PNEIGHBOR_OFFLOAD_STATE_CACHED cached;

    offload(&live);
    test_block_init(&query, NeighborOffloadState);
    block->NdisOffloadHandle = &live.b[0].handle;
    block->MiniportOffloadContext = cell;
    NdisMOffloadEventIndicate(target->adapter, block, NeighborReachabilityQuery);
    cached = (PVOID)((PUCHAR)NDIS_OFFLOAD_STATE_FIRST(block) +
                     NDIS_OFFLOAD_STATE_SPACE(NEIGHBOR_OFFLOAD_STATE_CONST));
    assert_int_equal(cached->HostReachabilityDelta, 77);
    assert_ptr_equal(live.stage->host.object_seen, &live.b[0].handle);
    assert_ptr_equal(block->MiniportOffloadContext, cell);
    live.stage->host.object_seen = NULL;
    block->NdisOffloadHandle = NULL; /* nothing else could identify it */
    NdisMOffloadEventIndicate(target->adapter, block, NeighborReachabilityQuery);
    assert_null(live.stage->host.object_seen);
    finish(&live);
}

/* ---- the regular path ---- */

static void
frames_both_ways(void **state)
{
    struct stage *stage = *state;
    static struct fake_host other;
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbls = test_nbls(pool, 4);

    NdisSendNetBufferLists(stage->host.binding, nbls, 0, 0);
    assert_ptr_equal(stage->target.nbls, nbls);
    nbls->SourceHandle = stage; /* as a driver in between would leave it */
    NdisMSendNetBufferListsComplete(stage->target.adapter, nbls, 0);
    assert_ptr_equal(stage->host.nbls, nbls);
    assert_ptr_equal(nbls->SourceHandle, stage->host.binding);
    NdisMIndicateReceiveNetBufferLists(stage->target.adapter, nbls, 0, 4, 0);
    assert_int_equal(stage->host.frames, 4);
    assert_int_equal(stage->target.returned, 4);
    NdisMIndicateReceiveNetBufferLists(stage->target.adapter, nbls, 0, 4,
                                       NDIS_RECEIVE_FLAGS_RESOURCES);
    assert_int_equal(stage->host.copies, 4);
    assert_int_equal(stage->target.returned, 4);

    other.stage = stage;
    assert_int_equal(house_load(stage->house, "other", fake_host_entry, &other), 0);
    assert_int_equal(house_bind(stage->house, "other", "nic0", NULL), 0);
    NdisMIndicateReceiveNetBufferLists(stage->target.adapter, nbls, 0, 4, 0);
    assert_int_equal(stage->host.copies, 8); /* copies, so that one alone returns them */
    assert_int_equal(other.frames, 4);
    assert_int_equal(stage->target.returned, 8);
    assert_int_equal(house_unload(stage->house, "other"), 0);
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
    NdisMIndicateReceiveNetBufferLists(stage->target.adapter, nbls, 0, 4, 0);
    assert_int_equal(stage->target.returned, 12); /* nobody is there: straight back */
    test_free_nbls(nbls);
    NdisFreeNetBufferListPool(pool);
}

static void
frames_of_a_paused_binding_come_back(void **state)
{
    struct stage *stage = *state;
    struct ndis_binding *binding = stage->host.binding;
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbls = test_nbls(pool, 2), *more = test_nbls(pool, 1);

    binding->state = NDIS_BINDING_PAUSED;
    NdisSendNetBufferLists(binding, nbls, 0, 0);
    NdisSendNetBufferLists(binding, more, 0, 0);
    assert_int_equal(stage->host.calls, 0);
    stage_settle(stage);
    assert_null(stage->target.nbls);
    assert_int_equal(stage->host.calls, 1);
    assert_ptr_equal(nbls->Next->Next, more);
    assert_int_equal(nbls->Status, NDIS_STATUS_PAUSED);
    assert_int_equal(more->Status, NDIS_STATUS_PAUSED);
    binding->state = NDIS_BINDING_RUNNING;
    NdisSendNetBufferLists(NULL, nbls, 0, 0);
    test_free_nbls(nbls);
    NdisFreeNetBufferListPool(pool);
}

/* ---- observers ---- */

static void
note_crossing(void *arg, struct crossing *crossing)
{
    struct stage *stage = arg;
    char word[64];

    snprintf(word, sizeof(word), "%s%s%s:%s>%s", crossing_name(crossing->op),
             crossing->after ? "'" : "", crossing->refused ? "!" : "", crossing->from,
             crossing->to);
    stage_trace(stage, word);
}

static void
observers_see_both_sides(void **state)
{
    struct live live = go_live(state);
    struct stage *stage = live.stage;
    struct observer observer = {.on_crossing = note_crossing, .arg = stage};
    NET_BUFFER_LIST *nbl;

    offload(&live);
    nbl = test_nbls(live.pool, 1);
    stage->trace[0] = '\0';
    house_attach_observer(stage->house, &observer);
    house_attach_observer(stage->house, &observer); /* twice is once */
    NdisOffloadTcpSend(live.tcp, nbl);
    fake_target_complete_nbls(&stage->target, stage->target.up.NdisTcpOffloadSendComplete,
                              NDIS_STATUS_SUCCESS);
    assert_string_equal(stage->trace,
                        "TCP_SEND:host>target TCP_SEND':host>target "
                        "TCP_SEND_COMPLETE:target>host TCP_SEND_COMPLETE':target>host");
    stage->trace[0] = '\0';
    finish(&live);
    assert_string_equal(stage->trace,
                        "TERMINATE:host>target terminate TERMINATE':host>target "
                        "TERMINATE_COMPLETE:target>host complete TERMINATE_COMPLETE':target>host");
    /* What NDIS refuses is seen to be, and comes back from NDIS. */
    stage->trace[0] = '\0';
    test_block_init(&live.b[2], TcpOffloadDelegatedState);
    NdisQueryOffloadState(stage->host.binding, &live.b[2].block);
    stage_settle(stage);
    assert_string_equal(stage->trace,
                        "QUERY:host>target QUERY'!:host>target "
                        "QUERY_COMPLETE:ndis>host complete QUERY_COMPLETE':ndis>host");
    house_detach_observer(stage->house, &observer);
    house_detach_observer(stage->house, &observer);
    NdisFreeNetBufferList(nbl);
    assert_string_equal(crossing_name(CROSSING_COUNT), "?");
}

struct heard {
    unsigned rule;
    char driver[16];
    const void *object;
};

static void
note_breach(void *arg, unsigned rule, const char *driver, const void *object, const char *what)
{
    struct heard *heard = arg;

    heard->rule = rule;
    snprintf(heard->driver, sizeof(heard->driver), "%s", driver);
    heard->object = object;
}

static void
assert_heard(struct heard *heard, unsigned rule, const char *driver, const void *object)
{
    assert_int_equal(heard->rule, rule);
    assert_string_equal(heard->driver, driver);
    assert_ptr_equal(heard->object, object);
    *heard = (struct heard){0};
}

/* What is not under way never crosses a landing: NDIS itself names the NBL, or the handle. */
static void
observers_hear_what_it_was_about(void **state)
{
    struct live live = go_live(state);
    struct stage *stage = live.stage;
    const NDIS_TCP_OFFLOAD_EVENT_HANDLERS *up = &stage->target.up;
    struct heard heard = {0};
    struct observer observer = {.on_breach = note_breach, .arg = &heard};
    NDIS_OFFLOAD_HANDLE *gone;
    NET_BUFFER_LIST *nbl;

    offload(&live);
    house_attach_observer(stage->house, &observer);
    nbl = test_nbls(live.pool, 1);
    up->NdisTcpOffloadSendComplete(stage->target.adapter, nbl);
    assert_heard(&heard, 74, "target", nbl);
    up->NdisTcpOffloadReceiveComplete(stage->target.adapter, nbl);
    assert_heard(&heard, 91, "target", nbl);
    up->NdisTcpOffloadDisconnectComplete(stage->target.adapter, nbl);
    assert_heard(&heard, 120, "target", nbl);
    up->NdisTcpOffloadForwardComplete(stage->target.adapter, nbl);
    assert_heard(&heard, 117, "target", nbl);
    gone = live.tcp;
    finish(&live);
    up->NdisTcpOffloadEventHandler(gone, TcpIndicateAbort, 0);
    assert_heard(&heard, 130, "?", gone);
    assert_int_equal(NdisOffloadTcpSend(gone, nbl), NDIS_STATUS_INVALID_PARAMETER);
    assert_heard(&heard, 84, "?", gone);
    house_detach_observer(stage->house, &observer);
    NdisFreeNetBufferList(nbl);
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOUND(the_four_calls),
        BOUND(mixed_lists_are_split),
        BOUND(stale_handles_are_answered),
        BOUND(a_send_during_the_initiate_comes_back),
        BOUND(completed_twice_is_dropped),
        BOUND(observers_hear_what_it_was_about),
        BOUND(indications_and_their_answers),
        BOUND(a_neighbor_is_asked_about),
        BOUND(frames_both_ways),
        BOUND(frames_of_a_paused_binding_come_back),
        BOUND(observers_see_both_sides),
    };

    return cmocka_run_group_tests_name("ndis/io", tests, NULL, NULL);
}
