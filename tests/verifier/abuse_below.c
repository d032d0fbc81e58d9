/* What a target might throw: completions of anything, by anybody, with anything in them; and what
 * comes after the end. */
#include "abuse.h"

#include <string.h>

typedef VOID complete_call(NDIS_HANDLE NdisMiniportHandle,
                           PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList);

static complete_call *const complete_calls[] = {
    NdisMInitiateOffloadComplete, NdisMTerminateOffloadComplete, NdisMUpdateOffloadComplete,
    NdisMInvalidateOffloadComplete, NdisMQueryOffloadStateComplete};

static const NDIS_TCP_OFFLOAD_EVENT_HANDLERS *
up(const struct scene *scene)
{
    return &scene->stage->target.up;
}

static unsigned
completions(const struct scene *scene)
{
    return scene->stage->host.completions;
}

/* ---- nothing ---- */

static void
null_everywhere(struct scene *scene)
{
    ULONG consumed = 7;

    for (size_t i = 0; i < 5; i++) {
        complete_calls[i](NULL, NULL);
        complete_calls[i](scene->nic0, NULL);
    }
    up(scene)->NdisTcpOffloadSendComplete(NULL, scene->nbl);
    up(scene)->NdisTcpOffloadSendComplete(scene->nic0, NULL);
    up(scene)->NdisTcpOffloadReceiveComplete(scene->nic0, NULL);
    up(scene)->NdisTcpOffloadDisconnectComplete(scene->nic0, NULL);
    up(scene)->NdisTcpOffloadForwardComplete(scene->nic0, NULL);
    up(scene)->NdisTcpOffloadEventHandler(NULL, TcpIndicateAbort, 0);
    assert_int_equal(
        up(scene)->NdisTcpOffloadReceiveHandler(&scene->conn[2].handle, NULL, 0, &consumed),
        NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED);
    assert_int_equal(consumed, 0);
    assert_int_equal(
        up(scene)->NdisTcpOffloadReceiveHandler(&scene->conn[2].handle, scene->nbl, 0, NULL),
        NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED);
    NdisMOffloadEventIndicate(scene->nic0, NULL, NeighborReachabilityQuery);
    NdisMIndicateStatusEx(scene->nic0, NULL);
    NdisMIndicateReceiveNetBufferLists(scene->nic0, NULL, 0, 0, 0);
    NdisMSendNetBufferListsComplete(scene->nic0, NULL, 0);
    assert_int_equal(scene->count, 22);
}

/* ---- completions of trees ---- */

static void
no_handle_at_all(struct scene *scene)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = query_held(scene);
    unsigned before = completions(scene);

    for (size_t i = 0; i < 5; i++)
        complete_calls[i](scene->stage->host.binding, root); /* a binding's */
    assert_int_equal(completions(scene), before);
}

static void
a_tree_of_nobody(struct scene *scene)
{
    static const uintptr_t sources[] = {0, 1, 0xdead0000, UINTPTR_MAX};
    unsigned before = completions(scene);

    for (size_t i = 0; i < 5; i++) {
        struct test_block b;

        test_block_init(&b, TcpOffloadState);
        b.block.SourceHandle = (PVOID)sources[i % 4];
        complete_calls[i](scene->nic0, (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&b.block);
    }
    assert_int_equal(completions(scene), before);
}

static void
completed_twice(struct scene *scene)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = query_held(scene);
    unsigned before;

    answer(scene);
    before = completions(scene);
    for (size_t i = 0; i < 5; i++)
        complete_calls[i](scene->nic0, root);
    assert_int_equal(completions(scene), before);
}

/* While another one is out, so NDIS by itself could not tell. */
static void
completed_twice_beside_another(struct scene *scene)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = query_held(scene);
    struct test_block other;
    unsigned before;

    answer(scene);
    test_block_init(&other, NeighborOffloadConstState);
    other.block.OffloadHandle = &scene->conn[0].handle;
    NdisQueryOffloadState(scene->stage->host.binding, &other.block);
    before = completions(scene);
    NdisMQueryOffloadStateComplete(scene->nic0, root);
    assert_int_equal(completions(scene), before);
    answer(scene);
    assert_ptr_equal(scene->stage->host.done, &other.block);
}

static void
as_something_else(struct scene *scene)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = query_held(scene);
    unsigned before = completions(scene);

    for (size_t i = 0; i < 4; i++)
        complete_calls[i](scene->nic0, root);
    assert_int_equal(completions(scene), before);
    answer(scene);
    assert_int_equal(completions(scene), before + 1);
}

static void
with_a_dependent_for_a_root(struct scene *scene)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = query_held(scene);
    unsigned before = completions(scene);

    NdisMQueryOffloadStateComplete(scene->nic0, root->DependentBlockList);
    assert_int_equal(completions(scene), before);
}

static void
by_another_adapter(struct scene *scene)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = query_held(scene);
    unsigned before = completions(scene);

    NdisMQueryOffloadStateComplete(scene->nic1, root);
    assert_int_equal(completions(scene), before);
}

/* Links that lead nowhere, a lost SourceHandle: the host stack gets its tree as it was. */
static void
a_tree_in_ruins(struct scene *scene)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = query_held(scene);
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST before = scene->query[0].block;
    unsigned done = completions(scene);

    scene->query[1].block.Status = NDIS_STATUS_SUCCESS;
    root->Status = NDIS_STATUS_SUCCESS;
    root->NextBlock = root;
    root->DependentBlockList = (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)(uintptr_t)0xdead0000;
    root->SourceHandle = (PVOID)(uintptr_t)0xdead0000;
    root->NdisOffloadHandle = scene;
    root->Header.Size = 3;
    memset(root->NdisReserved, 0x5a, sizeof(root->NdisReserved));
    memset(root->ImReserved, 0x5a, sizeof(root->ImReserved));
    NdisMQueryOffloadStateComplete(scene->nic0, root);
    scene->stage->target.root = NULL;
    assert_int_equal(completions(scene), done + 1);
    assert_null(scene->query[0].block.NextBlock);
    assert_ptr_equal(scene->query[0].block.DependentBlockList, before.DependentBlockList);
    assert_int_equal(scene->query[0].block.Header.Size, before.Header.Size);
}

static void
no_context_for_an_offload(struct scene *scene)
{
    struct test_block b[3];

    tree_init(scene, b);
    NdisInitiateOffload(scene->stage->host.binding, &b[0].block);
    scene->stage->target.root = NULL;
    for (int i = 0; i < 3; i++)
        b[i].block.Status = NDIS_STATUS_SUCCESS;
    NdisMInitiateOffloadComplete(scene->nic0, (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&b[0].block);
    assert_null(b[2].handle.NdisReserved[0]);
}

static void
no_status_at_all(struct scene *scene)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = query_held(scene);

    NdisMQueryOffloadStateComplete(scene->nic0, root);
    scene->stage->target.root = NULL;
    assert_int_equal(root->Status, NDIS_STATUS_FAILURE);
}

/* ---- what a terminate brings ---- */

static TCP_OFFLOAD_STATE_DELEGATED *
terminate_held(struct scene *scene)
{
    tree_end(scene, scene->conn);
    NdisTerminateOffload(scene->stage->host.binding, &scene->conn[0].block);
    for (int i = 0; i < 3; i++)
        scene->conn[i].block.Status = NDIS_STATUS_SUCCESS;
    return (TCP_OFFLOAD_STATE_DELEGATED *)scene->conn[2].states;
}

static void
terminate_over(struct scene *scene)
{
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST root = scene->stage->target.root;

    scene->stage->target.root = NULL;
    NdisMTerminateOffloadComplete(scene->nic0, root);
    assert_null(scene->conn[2].handle.MiniportOffloadContext);
}

static void
sends_in_a_circle(struct scene *scene)
{
    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    scene->stage->target.nbls = scene->stage->target.nbls_tail = NULL;
    terminate_held(scene);
    scene->conn[2].block.NetBufferListChain = scene->nbl;
    scene->nbl->Next = scene->nbl;
    terminate_over(scene);
    assert_ptr_equal(scene->conn[2].block.NetBufferListChain, scene->nbl);
    assert_null(scene->nbl->Next);
}

static void
buffers_of_sends_in_a_circle(struct scene *scene)
{
    NET_BUFFER *nb = scene->nbl->FirstNetBuffer;

    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    scene->stage->target.nbls = scene->stage->target.nbls_tail = NULL;
    terminate_held(scene);
    scene->conn[2].block.NetBufferListChain = scene->nbl;
    nb->Next = nb;
    terminate_over(scene);
    assert_null(nb->Next);
}

static void
sends_of_nobody(struct scene *scene)
{
    terminate_held(scene);
    for (int i = 0; i < 3; i++)
        scene->conn[i].block.NetBufferListChain = scene->nbl;
    terminate_over(scene);
    for (int i = 0; i < 3; i++)
        assert_null(scene->conn[i].block.NetBufferListChain);
}

static void
data_in_a_circle(struct scene *scene)
{
    TCP_OFFLOAD_STATE_DELEGATED *state = terminate_held(scene);

    scene->nbl->Next = scene->nbl;
    state->BufferedData = scene->nbl;
    terminate_over(scene);
    assert_null(scene->nbl->Next);
    NdisOffloadTcpReceiveReturn(scene->stage->host.binding, state->BufferedData);
    assert_int_equal(scene->stage->target.returned, 1);
}

static void
data_that_was_a_send(struct scene *scene)
{
    TCP_OFFLOAD_STATE_DELEGATED *state;

    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    state = terminate_held(scene);
    state->BufferedData = scene->nbl;
    terminate_over(scene);
    assert_null(state->BufferedData);
}

/* ---- data and events ---- */

static void
a_send_of_nobody(struct scene *scene)
{
    up(scene)->NdisTcpOffloadSendComplete(scene->nic0, scene->nbl);
    assert_int_equal(scene->stage->host.calls, 0);
}

static void
a_send_twice(struct scene *scene)
{
    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    fake_target_complete_nbls(&scene->stage->target, up(scene)->NdisTcpOffloadSendComplete,
                              NDIS_STATUS_SUCCESS);
    scene->count = 0;
    up(scene)->NdisTcpOffloadSendComplete(scene->nic0, scene->nbl);
    assert_int_equal(scene->stage->host.calls, 1);
}

static void
a_send_by_another_adapter(struct scene *scene)
{
    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    scene->stage->target.nbls = scene->stage->target.nbls_tail = NULL;
    scene->nbl->Status = NDIS_STATUS_SUCCESS;
    up(scene)->NdisTcpOffloadSendComplete(scene->nic1, scene->nbl);
    up(scene)->NdisTcpOffloadSendComplete(scene->nic0, scene->nbl); /* still under way there */
}

static void
completions_in_a_circle(struct scene *scene)
{
    NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl);
    scene->stage->target.nbls = scene->stage->target.nbls_tail = NULL;
    scene->nbl->Next = scene->nbl;
    scene->nbl->Status = NDIS_STATUS_SUCCESS;
    up(scene)->NdisTcpOffloadSendComplete(scene->nic0, scene->nbl);
    assert_int_equal(scene->stage->host.calls, 1);
    assert_null(scene->nbl->Next);
}

static void
data_of_nobody(struct scene *scene)
{
    NDIS_OFFLOAD_HANDLE copy = scene->conn[2].handle, wild = {{scene}, scene};
    ULONG consumed;

    up(scene)->NdisTcpOffloadReceiveHandler(&copy, scene->nbl, 0, &consumed);
    up(scene)->NdisTcpOffloadReceiveHandler(&wild, scene->nbl, 0, &consumed);
    up(scene)->NdisTcpOffloadEventHandler(&copy, TcpIndicateAbort, 0);
    up(scene)->NdisTcpOffloadEventHandler(&wild, TcpIndicateAbort, 0);
    assert_null(scene->stage->host.object_seen);
}

static void
data_of_a_path(struct scene *scene)
{
    ULONG consumed;

    assert_int_equal(
        up(scene)->NdisTcpOffloadReceiveHandler(&scene->conn[1].handle, scene->nbl, 0, &consumed),
        NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED);
    assert_null(scene->stage->host.object_seen);
}

static void
events_of_no_kind(struct scene *scene)
{
    static const ULONG types[] = {0, 5, UINT32_MAX};

    for (int i = 0; i < 3; i++)
        up(scene)->NdisTcpOffloadEventHandler(&scene->conn[2].handle, types[i], UINT32_MAX);
    up(scene)->NdisTcpOffloadEventHandler(&scene->conn[2].handle, TcpIndicateRetrieve, UINT32_MAX);
}

static void
after_the_terminate(struct scene *scene)
{
    ULONG consumed;

    terminate_held(scene);
    terminate_over(scene);
    scene->count = 0;
    up(scene)->NdisTcpOffloadEventHandler(&scene->conn[2].handle, TcpIndicateAbort, 0);
    up(scene)->NdisTcpOffloadReceiveHandler(&scene->conn[2].handle, scene->nbl, 0, &consumed);
    assert_int_equal(scene->count, 2);
}

static void
a_question_about_a_connection(struct scene *scene)
{
    struct test_block b;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST block = (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&b.block;

    test_block_init(&b, NeighborOffloadState);
    block->NdisOffloadHandle = &scene->conn[2].handle;
    NdisMOffloadEventIndicate(scene->nic0, block, NeighborReachabilityQuery);
    assert_null(scene->stage->host.object_seen);
}

const struct abuse abuse_from_below[] = {
    {"NULL everywhere", 0, null_everywhere},
    {"no handle at all", 0, no_handle_at_all},
    {"a tree of nobody", 31, a_tree_of_nobody},
    {"completed twice", 29, completed_twice},
    {"completed twice beside another", 29, completed_twice_beside_another},
    {"as something else", 31, as_something_else},
    {"with a dependent for a root", 31, with_a_dependent_for_a_root},
    {"by another adapter", 31, by_another_adapter},
    {"a tree in ruins", 44, a_tree_in_ruins},
    {"no context for an offload", 42, no_context_for_an_offload},
    {"no status at all", 33, no_status_at_all},
    {"sends in a circle", 147, sends_in_a_circle},
    {"buffers of sends in a circle", 147, buffers_of_sends_in_a_circle},
    {"sends of nobody", 147, sends_of_nobody},
    {"data in a circle", 148, data_in_a_circle},
    {"data that was a send", 148, data_that_was_a_send},
    {"a send of nobody", 74, a_send_of_nobody},
    {"a send twice", 74, a_send_twice},
    {"a send by another adapter", 74, a_send_by_another_adapter},
    {"completions in a circle", 74, completions_in_a_circle},
    {"data of nobody", 130, data_of_nobody},
    {"data of a path", 47, data_of_a_path},
    {"events of no kind", 131, events_of_no_kind},
    {"after the terminate", 153, after_the_terminate},
    {"a question about a connection", 141, a_question_about_a_connection},
};
const size_t abuse_from_below_count = sizeof(abuse_from_below) / sizeof(abuse_from_below[0]);

/* ---- after the close ---- */

/* The house takes the binding down; what the case does then finds nothing there any more. */
static void
unbind(struct scene *scene)
{
    scene->stage->target.hold_state = false;
    tree_end(scene, scene->conn);
    NdisTerminateOffload(scene->stage->host.binding, &scene->conn[0].block);
    stage_settle(scene->stage);
    assert_int_equal(house_unbind(scene->stage->house, "host", "nic0"), 0);
    scene->closed = true;
    scene->count = 0;
}

static void
trees_after_the_close(struct scene *scene)
{
    struct test_block b[3];

    unbind(scene);
    tree_init(scene, b);
    NdisInitiateOffload(scene->stage->host.binding, &b[0].block);
    NdisQueryOffloadState(scene->stage->host.binding, &b[0].block);
    NdisOffloadTcpReceiveReturn(scene->stage->host.binding, scene->nbl);
    NdisSendNetBufferLists(scene->stage->host.binding, scene->nbl, 0, 0);
    NdisCloseAdapterEx(scene->stage->host.binding);
    assert_int_equal(scene->count, 5);
    assert_null(scene->stage->target.root);
}

static void
data_after_the_close(struct scene *scene)
{
    unbind(scene);
    assert_int_not_equal(NdisOffloadTcpSend(&scene->conn[2].handle, scene->nbl),
                         NDIS_STATUS_PENDING);
}

static void
events_after_the_close(struct scene *scene)
{
    unbind(scene);
    up(scene)->NdisTcpOffloadEventHandler(&scene->conn[2].handle, TcpIndicateAbort, 0);
}

static void
completions_after_the_close(struct scene *scene)
{
    unbind(scene);
    for (size_t i = 0; i < 5; i++)
        complete_calls[i](scene->nic0, (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&scene->conn[0].block);
}

static void
an_adapter_that_is_gone(struct scene *scene)
{
    unbind(scene);
    assert_int_equal(house_remove_adapter(scene->stage->house, "nic0"), 0);
    scene->count = 0;
    for (size_t i = 0; i < 5; i++)
        complete_calls[i](scene->nic0, (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&scene->conn[0].block);
    up(scene)->NdisTcpOffloadSendComplete(scene->nic0, scene->nbl);
    NdisMIndicateStatusEx(scene->nic0, NULL);
    assert_int_equal(scene->count, 7);
}

const struct abuse abuse_after_close[] = {
    {"trees after the close", 185, trees_after_the_close},
    {"data after the close", 84, data_after_the_close},
    {"events after the close", 153, events_after_the_close},
    {"completions after the close", 29, completions_after_the_close},
    {"an adapter that is gone", 0, an_adapter_that_is_gone},
};
const size_t abuse_after_close_count = sizeof(abuse_after_close) / sizeof(abuse_after_close[0]);
