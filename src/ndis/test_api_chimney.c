/* Rows of the API table: state operations, data calls, events. */
#include "ndis/objects.h"
#include "ndis/test_api.h"
#include "ndis/test_fakes.h"

static struct test_block tree[3];

/* ---- state operations ---- */

static void
initiated(struct stage *stage)
{
    stage_offload(stage, tree);
    tree[2].block.ProtocolReserved[0] = &stage->host;
}

static void
terminated(struct stage *stage)
{
    test_blocks_as_terminate(tree);
    NdisTerminateOffload(stage->host.binding, &tree[0].block);
    stage_settle(stage);
    assert_ptr_equal(stage->host.done, &tree[0].block);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tree[i].block.Status, NDIS_STATUS_SUCCESS);
        assert_null(tree[i].handle.MiniportOffloadContext); /* P19 */
    }
}

static void
initiate_and_terminate(struct stage *stage)
{
    initiated(stage);
    for (int i = 0; i < 3; i++)
        assert_non_null(tree[i].handle.MiniportOffloadContext); /* P18 */
    terminated(stage);
}

/* A block that names nothing offloaded: it completes, later, and says so. */
static void
refused(struct stage *stage, UCHAR type,
        VOID (*call)(NDIS_HANDLE binding, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST blocks))
{
    memset(tree, 0, sizeof(tree));
    test_block_init(&tree[0], type);
    call(stage->host.binding, &tree[0].block);
    assert_int_equal(stage->host.completions, 0); /* always asynchronous */
    stage_settle(stage);
    assert_ptr_equal(stage->host.done, &tree[0].block);
    assert_int_equal(tree[0].block.Status, NDIS_STATUS_FAILURE);
    assert_null(stage->target.root);
}

static VOID
initiate(NDIS_HANDLE binding, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST blocks)
{
    ((struct ndis_binding *)binding)->state = NDIS_BINDING_PAUSED;
    NdisInitiateOffload(binding, blocks);
    ((struct ndis_binding *)binding)->state = NDIS_BINDING_RUNNING;
}

static void
initiate_while_paused(struct stage *stage)
{
    memset(tree, 0, sizeof(tree));
    test_block_init(&tree[0], NeighborOffloadState);
    initiate(stage->host.binding, &tree[0].block);
    stage_settle(stage);
    assert_ptr_equal(stage->host.done, &tree[0].block);
    assert_int_equal(tree[0].block.Status, NDIS_STATUS_PAUSED); /* P33 */
    assert_null(tree[0].handle.MiniportOffloadContext);
}

#define REFUSED(function, operation, type)                                                         \
    static VOID operation(NDIS_HANDLE binding, PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST blocks)           \
    {                                                                                              \
        function(binding, blocks);                                                                 \
    }                                                                                              \
    static void operation##_of_nothing(struct stage *stage)                                        \
    {                                                                                              \
        refused(stage, type, operation);                                                           \
    }
REFUSED(NdisTerminateOffload, terminate, NeighborOffloadDelegatedState)
REFUSED(NdisUpdateOffload, update, NeighborOffloadCachedState)
REFUSED(NdisInvalidateOffload, invalidate, NeighborOffloadState)
REFUSED(NdisQueryOffloadState, query, NeighborOffloadState)

/* Sends a block of an offloaded object down, held by the target, and completes it from here. */
#define ROUND_TRIP(name, type, down, up)                                                           \
    static void name(struct stage *stage)                                                          \
    {                                                                                              \
        struct test_block block;                                                                   \
                                                                                                   \
        initiated(stage);                                                                          \
        block = tree[0];                                                                           \
        test_block_init(&block, type);                                                             \
        block.block.OffloadHandle = &tree[0].handle;                                               \
        stage->target.hold_state = true;                                                           \
        down(stage->host.binding, &block.block);                                                   \
        assert_ptr_equal(stage->target.root, &block.block);                                        \
        stage->target.root->Status = NDIS_STATUS_SUCCESS;                                          \
        up(stage->target.adapter, stage->target.root);                                             \
        assert_ptr_equal(stage->host.done, &block.block);                                          \
        assert_int_equal(block.block.Status, NDIS_STATUS_SUCCESS);                                 \
        assert_ptr_equal(block.block.OffloadHandle, &tree[0].handle);                              \
        stage->target.hold_state = false;                                                          \
        terminated(stage);                                                                         \
    }
ROUND_TRIP(update_round, NeighborOffloadCachedState, NdisUpdateOffload, NdisMUpdateOffloadComplete)
ROUND_TRIP(invalidate_round, NeighborOffloadState, NdisInvalidateOffload,
           NdisMInvalidateOffloadComplete)
ROUND_TRIP(query_round, NeighborOffloadState, NdisQueryOffloadState, NdisMQueryOffloadStateComplete)

static void
initiate_and_terminate_by_hand(struct stage *stage)
{
    memset(tree, 0, sizeof(tree));
    test_block_init(&tree[0], NeighborOffloadState);
    stage->target.hold_state = true;
    NdisInitiateOffload(stage->host.binding, &tree[0].block);
    *stage->target.root->MiniportOffloadContext = stage;
    stage->target.root->Status = NDIS_STATUS_SUCCESS;
    NdisMInitiateOffloadComplete(stage->target.adapter, stage->target.root);
    assert_int_equal(stage->host.completions, 1);
    test_block_init(&tree[0], NeighborOffloadDelegatedState);
    NdisTerminateOffload(stage->host.binding, &tree[0].block);
    stage->target.root->Status = NDIS_STATUS_SUCCESS;
    NdisMTerminateOffloadComplete(stage->target.adapter, stage->target.root);
    assert_int_equal(stage->host.completions, 2);
    assert_null(tree[0].handle.MiniportOffloadContext);
}

/* Of an operation that nobody issued: nobody is told. */
#define NOT_GIVEN(name, up)                                                                        \
    static void name(struct stage *stage)                                                          \
    {                                                                                              \
        memset(tree, 0, sizeof(tree));                                                             \
        test_block_init(&tree[0], NeighborOffloadState);                                           \
        tree[0].block.SourceHandle = stage->host.binding;                                          \
        up(stage->target.adapter, (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&tree[0].block);              \
        up(stage->target.driver, (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&tree[0].block);               \
        assert_int_equal(stage->host.completions, 0);                                              \
        assert_true(stage_logged(stage, "adapter"));                                               \
    }
NOT_GIVEN(initiate_not_given, NdisMInitiateOffloadComplete)
NOT_GIVEN(terminate_not_given, NdisMTerminateOffloadComplete)
NOT_GIVEN(update_not_given, NdisMUpdateOffloadComplete)
NOT_GIVEN(invalidate_not_given, NdisMInvalidateOffloadComplete)
NOT_GIVEN(query_not_given, NdisMQueryOffloadStateComplete)

/* ---- data ---- */

static void
check_data(struct stage *stage, NDIS_TCP_OFFLOAD_SEND_COMPLETE complete, NDIS_STATUS status,
           NDIS_HANDLE pool)
{
    assert_int_equal(status, NDIS_STATUS_PENDING);
    assert_int_equal(test_count(stage->target.nbls), 2);
    assert_ptr_equal(stage->target.context_seen, tree[2].handle.MiniportOffloadContext);
    fake_target_complete_nbls(&stage->target, complete, NDIS_STATUS_SUCCESS);
    assert_int_equal(test_count(stage->host.nbls), 2);
    test_free_nbls(stage->host.nbls);
    NdisFreeNetBufferListPool(pool);
    terminated(stage);
}

#define DATA(name, call, member)                                                                   \
    static void name(struct stage *stage)                                                          \
    {                                                                                              \
        NDIS_HANDLE pool = test_pool(stage);                                                       \
                                                                                                   \
        initiated(stage);                                                                          \
        check_data(stage, stage->target.up.member, call, pool);                                    \
    }
DATA(sent, NdisOffloadTcpSend(&tree[2].handle, test_nbls(pool, 2)), NdisTcpOffloadSendComplete)
DATA(received, NdisOffloadTcpReceive(&tree[2].handle, test_nbls(pool, 2)),
     NdisTcpOffloadReceiveComplete)
DATA(forwarded, NdisOffloadTcpForward(&tree[2].handle, test_nbls(pool, 2)),
     NdisTcpOffloadForwardComplete)
DATA(disconnected,
     NdisOffloadTcpDisconnect(&tree[2].handle, test_nbls(pool, 2), TCP_DISCONNECT_GRACEFUL_CLOSE),
     NdisTcpOffloadDisconnectComplete)

/* A handle that is not live leads nowhere: nobody could complete it. */
#define NO_DATA(name, call)                                                                        \
    static void name(struct stage *stage)                                                          \
    {                                                                                              \
        NDIS_HANDLE pool = test_pool(stage);                                                       \
        NET_BUFFER_LIST *nbl = test_nbls(pool, 1);                                                 \
        NDIS_OFFLOAD_HANDLE dead = {.MiniportOffloadContext = NULL};                               \
                                                                                                   \
        assert_int_equal(call, NDIS_STATUS_INVALID_PARAMETER);                                     \
        stage_settle(stage);                                                                       \
        assert_null(stage->target.nbls);                                                           \
        assert_null(stage->host.nbls);                                                             \
        test_free_nbls(nbl);                                                                       \
        NdisFreeNetBufferListPool(pool);                                                           \
    }
NO_DATA(not_sent, NdisOffloadTcpSend(&dead, nbl))
NO_DATA(not_received, NdisOffloadTcpReceive(&dead, nbl))
NO_DATA(not_forwarded, NdisOffloadTcpForward(&dead, nbl))
NO_DATA(not_disconnected, NdisOffloadTcpDisconnect(&dead, nbl, TCP_DISCONNECT_ABORTIVE_CLOSE))

static void
returned(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbls = test_nbls(pool, 3);

    NdisOffloadTcpReceiveReturn(stage->host.binding, nbls);
    assert_int_equal(stage->target.returned, 3);
    test_free_nbls(nbls);
    NdisFreeNetBufferListPool(pool);
}

static void
not_returned(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbls = test_nbls(pool, 1);

    NdisOffloadTcpReceiveReturn(&tree[0].handle, NULL);
    NdisOffloadTcpReceiveReturn(stage->target.adapter, nbls);
    assert_int_equal(stage->target.returned, 0);
    test_free_nbls(nbls);
    NdisFreeNetBufferListPool(pool);
}

/* Completed without having been posted: it has no way home. */
#define NOT_POSTED(name, member)                                                                   \
    static void name(struct stage *stage)                                                          \
    {                                                                                              \
        NDIS_HANDLE pool = test_pool(stage);                                                       \
        NET_BUFFER_LIST *nbl = test_nbls(pool, 1);                                                 \
                                                                                                   \
        stage->target.up.member(stage->target.adapter, nbl);                                       \
        assert_true(stage_logged(stage, "completed twice?"));                                      \
        assert_null(stage->host.nbls);                                                             \
        test_free_nbls(nbl);                                                                       \
        NdisFreeNetBufferListPool(pool);                                                           \
    }
NOT_POSTED(send_not_posted, NdisTcpOffloadSendComplete)
NOT_POSTED(receive_not_posted, NdisTcpOffloadReceiveComplete)
NOT_POSTED(forward_not_posted, NdisTcpOffloadForwardComplete)
NOT_POSTED(disconnect_not_posted, NdisTcpOffloadDisconnectComplete)

/* ---- indications and events ---- */

static void
indicated(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = test_nbls(pool, 1);
    ULONG consumed = 99;

    initiated(stage);
    stage->host.accept = NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED;
    stage->host.consume = 7;
    assert_int_equal(stage->target.up.NdisTcpOffloadReceiveHandler(&tree[2].handle, nbl,
                                                                   NDIS_STATUS_SUCCESS, &consumed),
                     NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED);
    assert_int_equal(consumed, 7);
    test_free_nbls(nbl);
    NdisFreeNetBufferListPool(pool);
    terminated(stage);
}

static void
not_indicated(struct stage *stage)
{
    NDIS_OFFLOAD_HANDLE dead = {.MiniportOffloadContext = NULL};
    ULONG consumed = 99;

    assert_int_equal(
        stage->target.up.NdisTcpOffloadReceiveHandler(&dead, NULL, NDIS_STATUS_SUCCESS, &consumed),
        NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED);
    assert_int_equal(consumed, 0);
    assert_null(stage->host.object_seen);
}

static void
event_is_told(struct stage *stage)
{
    initiated(stage);
    stage->target.up.NdisTcpOffloadEventHandler(&tree[2].handle, TcpIndicateRetrieve,
                                                UploadRequested);
    assert_ptr_equal(stage->host.object_seen, &tree[2].handle);
    assert_int_equal(stage->host.event_seen, TcpIndicateRetrieve);
    assert_int_equal(stage->host.information_seen, UploadRequested);
    terminated(stage);
}

static void
event_is_not_told(struct stage *stage)
{
    NDIS_OFFLOAD_HANDLE dead = {.MiniportOffloadContext = NULL};

    stage->target.up.NdisTcpOffloadEventHandler(&dead, TcpIndicateAbort, 0);
    assert_true(stage_logged(stage, "is not the handle of a live offload"));
    assert_null(stage->host.object_seen);
}

static NEIGHBOR_OFFLOAD_STATE_CACHED *
cached_of(struct test_block *block)
{
    NEIGHBOR_OFFLOAD_STATE_CONST *fixed = NDIS_OFFLOAD_STATE_FIRST(&block->block);

    fixed->Header.Length = sizeof(*fixed);
    return NDIS_OFFLOAD_STATE_NEXT(fixed);
}

static void
neighbor_is_asked_about(struct stage *stage)
{
    struct test_block block = {0};

    initiated(stage);
    test_block_init(&block, NeighborOffloadState);
    block.block.OffloadHandle = &tree[0].handle; /* */
    NdisMOffloadEventIndicate(stage->target.adapter,
                              (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&block.block,
                              NeighborReachabilityQuery);
    assert_int_equal(stage->host.event_seen, NeighborReachabilityQuery);
    assert_int_equal(cached_of(&block)->HostReachabilityDelta, 77); /* answered in place */
    terminated(stage);
}

static void
nobody_is_asked(struct stage *stage)
{
    struct test_block block = {0};

    test_block_init(&block, NeighborOffloadState);
    NdisMOffloadEventIndicate(stage->target.adapter,
                              (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&block.block,
                              NeighborReachabilityQuery);
    NdisMOffloadEventIndicate(stage->target.driver, (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&block.block,
                              NeighborReachabilityQuery);
    assert_null(stage->host.object_seen);
}

/* Up to DISPATCH_LEVEL: the choice for those of which the documentation says nothing. */
static const struct api_row rows[] = {
    ROW(NdisInitiateOffload, DISPATCH_LEVEL, initiate_and_terminate_by_hand, initiate_while_paused),
    ROW(NdisTerminateOffload, DISPATCH_LEVEL, initiate_and_terminate, terminate_of_nothing),
    ROW(NdisUpdateOffload, DISPATCH_LEVEL, update_round, update_of_nothing),
    ROW(NdisInvalidateOffload, DISPATCH_LEVEL, invalidate_round, invalidate_of_nothing),
    ROW(NdisQueryOffloadState, DISPATCH_LEVEL, query_round, query_of_nothing),
    ROW(NdisMInitiateOffloadComplete, API_ANY, initiate_and_terminate_by_hand, initiate_not_given),
    ROW(NdisMTerminateOffloadComplete, API_ANY, initiate_and_terminate_by_hand,
        terminate_not_given),
    ROW(NdisMUpdateOffloadComplete, API_ANY, update_round, update_not_given),
    ROW(NdisMInvalidateOffloadComplete, API_ANY, invalidate_round, invalidate_not_given),
    ROW(NdisMQueryOffloadStateComplete, API_ANY, query_round, query_not_given),
    ROW(NdisOffloadTcpSend, DISPATCH_LEVEL, sent, not_sent),
    ROW(NdisOffloadTcpReceive, DISPATCH_LEVEL, received, not_received),
    ROW(NdisOffloadTcpForward, DISPATCH_LEVEL, forwarded, not_forwarded),
    ROW(NdisOffloadTcpDisconnect, DISPATCH_LEVEL, disconnected, not_disconnected),
    ROW(NdisOffloadTcpReceiveReturn, DISPATCH_LEVEL, returned, not_returned),
    ROW(NdisTcpOffloadSendComplete, API_ANY, sent, send_not_posted),
    ROW(NdisTcpOffloadReceiveComplete, API_ANY, received, receive_not_posted),
    ROW(NdisTcpOffloadForwardComplete, API_ANY, forwarded, forward_not_posted),
    ROW(NdisTcpOffloadDisconnectComplete, DISPATCH_LEVEL, disconnected, disconnect_not_posted),
    ROW(NdisTcpOffloadReceiveHandler, DISPATCH_LEVEL, indicated, not_indicated),
    ROW(NdisTcpOffloadEventHandler, DISPATCH_LEVEL, event_is_told, event_is_not_told),
    ROW(NdisMOffloadEventIndicate, DISPATCH_LEVEL, neighbor_is_asked_about, nobody_is_asked),
};
const struct api_rows api_chimney = {rows, sizeof(rows) / sizeof(rows[0])};
