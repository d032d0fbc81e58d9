/* State operations: conversion in place over whole trees, order, refusals, and what becomes of the
 * objects. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <errno.h>
#include <stdlib.h>

#define MANY 100000

static void
down_and_up_in_place(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];

    stage->target.hold_state = true;
    memset(b, 0, sizeof(b));
    for (int i = 0; i < 3; i++) {
        test_block_init(&b[i], i == 0   ? NeighborOffloadState
                               : i == 1 ? Ip6OffloadState
                                        : TcpOffloadState);
        b[i].block.ProtocolReserved[0] = &stage->host;
        b[i].block.ImReserved[1] = &b[i];
        b[i].block.Scratch[0] = stage;
        b[i].block.PortNumber = 7;
    }
    b[0].block.DependentBlockList = &b[1].block;
    b[1].block.DependentBlockList = &b[2].block;
    NdisInitiateOffload(stage->host.binding, &b[0].block);

    assert_ptr_equal(stage->target.root, &b[0].block);
    for (int i = 0; i < 3; i++) {
        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST low = (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&b[i].block;

        assert_ptr_equal(low->MiniportOffloadContext, &b[i].handle.MiniportOffloadContext);
        assert_ptr_equal(low->NdisOffloadHandle, &b[i].handle);
        assert_ptr_equal(low->SourceHandle, stage->host.binding);
        assert_ptr_equal(low->ProtocolReserved[0], &stage->host);
        assert_ptr_equal(low->ImReserved[1], &b[i]);
        assert_ptr_equal(low->Scratch[0], stage);
        assert_int_equal(low->PortNumber, 7);
        assert_int_equal(low->Status, 0x5a5a5a5a);
    }
    assert_int_equal(stage->host.completions, 0);
    fake_target_answer(&stage->target);
    assert_int_equal(stage->host.completions, 1);
    assert_ptr_equal(stage->host.done, &b[0].block);
    for (int i = 0; i < 3; i++) {
        assert_null(b[i].block.NdisReserved[2]);
        assert_int_equal(b[i].block.Status, NDIS_STATUS_SUCCESS);
        assert_non_null(b[i].handle.MiniportOffloadContext);
    }
    stage->target.hold_state = false;
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    for (int i = 0; i < 3; i++) {
        assert_null(b[i].handle.MiniportOffloadContext);
        assert_null(b[i].handle.NdisReserved[0]);
    }
    assert_string_equal(stage->trace, "initiate complete terminate complete");
}

static void
lengths_are_set(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];
    OFFLOAD_STATE_HEADER *header;

    stage_offload(stage, b);
    header = NDIS_OFFLOAD_STATE_FIRST(&b[2].block);
    assert_int_equal(header->Length, sizeof(TCP_OFFLOAD_STATE_CONST));
    header = NDIS_OFFLOAD_STATE_NEXT((PTCP_OFFLOAD_STATE_CONST)header);
    assert_int_equal(header->Length, sizeof(TCP_OFFLOAD_STATE_CACHED));
    header = NDIS_OFFLOAD_STATE_NEXT((PTCP_OFFLOAD_STATE_CACHED)header);
    assert_int_equal(header->Length, sizeof(TCP_OFFLOAD_STATE_DELEGATED));

    test_block_init(&b[2], TcpOffloadCachedState);
    NdisUpdateOffload(stage->host.binding, &b[2].block);
    stage_settle(stage);
    header = NDIS_OFFLOAD_STATE_FIRST(&b[2].block);
    assert_int_equal(header->Length, sizeof(TCP_OFFLOAD_STATE_CACHED));

    /* Relinking and invalidating: blocks only, the memory behind them is somebody else's. */
    test_block_init(&b[2], TcpOffloadState);
    NdisUpdateOffload(stage->host.binding, &b[2].block);
    stage_settle(stage);
    NdisInvalidateOffload(stage->host.binding, &b[2].block);
    stage_settle(stage);
    assert_int_equal(header->Length, 0);

    test_block_init(&b[2], TcpOffloadDelegatedState);
    header->Length = 12;
    NdisQueryOffloadState(stage->host.binding, &b[2].block);
    stage_settle(stage);
    assert_int_equal(header->Length, sizeof(TCP_OFFLOAD_STATE_DELEGATED));
    assert_true(stage_logged(stage, "V-021"));
    assert_string_equal(
        stage->trace,
        "initiate complete update complete update complete invalidate complete query complete");
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
}

static struct test_block *
many(struct stage *stage, bool deep)
{
    struct test_block *b = calloc(MANY, sizeof(*b));

    assert_non_null(b);
    for (int i = 0; i < MANY; i++)
        test_block_init(&b[i], TcpOffloadDelegatedState);
    for (int i = 0; i + 1 < MANY; i++) {
        if (deep)
            b[i].block.DependentBlockList = &b[i + 1].block;
        else
            b[i].block.NextBlock = &b[i + 1].block;
    }
    return b;
}

static void
check_many(struct stage *stage, bool deep)
{
    struct test_block *b = many(stage, deep);

    NdisInitiateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    assert_int_equal(stage->host.completions, 1);
    assert_int_equal(((struct ndis_adapter *)stage->target.adapter)->objects, MANY);
    for (int i = 0; i < MANY; i++)
        assert_non_null(b[i].handle.MiniportOffloadContext);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    for (int i = 0; i < MANY; i++)
        assert_null(b[i].handle.MiniportOffloadContext);
    assert_int_equal(((struct ndis_adapter *)stage->target.adapter)->objects, 0);
    free(b);
}

static void
a_wide_tree(void **state)
{
    check_many(*state, false);
}

static void
a_deep_tree(void **state)
{
    check_many(*state, true);
}

static void
placeholders_and_linkers(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3], more, nothing;

    stage_offload(stage, b);
    memset(&more, 0, sizeof(more));
    memset(&nothing, 0, sizeof(nothing));
    test_block_init(&more, TcpOffloadState);
    test_block_init(&nothing, 0);
    nothing.block.OffloadHandle = NULL;
    test_block_init(&b[1], Ip4OffloadState);
    nothing.block.DependentBlockList = &b[1].block;
    b[1].block.DependentBlockList = &more.block;
    stage->target.hold_state = true;
    NdisInitiateOffload(stage->host.binding, &nothing.block);
    assert_null(((PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&nothing.block)->MiniportOffloadContext);
    assert_non_null(b[1].handle.MiniportOffloadContext);
    /* A linker carries no state: nothing may be written behind it. */
    assert_int_equal(((OFFLOAD_STATE_HEADER *)NDIS_OFFLOAD_STATE_FIRST(&b[1].block))->Length, 0);
    fake_target_answer(&stage->target);
    assert_int_equal(nothing.block.Status, NDIS_STATUS_SUCCESS);
    assert_non_null(more.handle.MiniportOffloadContext);
    assert_int_equal(((struct ndis_adapter *)stage->target.adapter)->objects, 4);
    stage->target.hold_state = false;
    test_blocks_as_terminate(b);
    test_block_init(&more, TcpOffloadDelegatedState);
    b[2].block.NextBlock = &more.block;
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
}

static void
a_failed_object_leaves_nothing(void **state)
{
    struct stage *stage = *state;
    struct test_block b = {.handle.NdisReserved[0] = (PVOID)0x1234567890};
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *chain = test_nbls(pool, 3);

    stage->target.object_status = NDIS_STATUS_OFFLOAD_TCP_ENTRIES;
    test_block_init(&b, TcpOffloadState);
    b.block.NetBufferListChain = chain;
    NdisInitiateOffload(stage->host.binding, &b.block);
    assert_ptr_equal(chain->NdisReserved[0], stage->host.binding);
    stage_settle(stage);
    assert_int_equal(b.block.Status, NDIS_STATUS_OFFLOAD_TCP_ENTRIES);
    assert_null(b.handle.MiniportOffloadContext);
    assert_null(b.handle.NdisReserved[0]);
    for (NET_BUFFER_LIST *nbl = chain; nbl; nbl = nbl->Next)
        assert_null(nbl->NdisReserved[0]);
    assert_int_equal(((struct ndis_adapter *)stage->target.adapter)->objects, 0);
    test_free_nbls(chain);
    NdisFreeNetBufferListPool(pool);
    assert_string_equal(stage->log, "");
}

static void
a_failed_object_whose_chain_was_completed(void **state)
{
    struct stage *stage = *state;
    struct fake_target *target = &stage->target;
    struct test_block b = {.handle.NdisReserved[0] = NULL};
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = test_nbls(pool, 1);

    target->object_status = NDIS_STATUS_OFFLOAD_TCP_ENTRIES;
    test_block_init(&b, TcpOffloadState);
    b.block.NetBufferListChain = nbl;
    NdisInitiateOffload(stage->host.binding, &b.block);
    target->up.NdisTcpOffloadSendComplete(target->adapter, nbl);
    stage_settle(stage);
    assert_int_equal(b.block.Status, NDIS_STATUS_OFFLOAD_TCP_ENTRIES);
    assert_true(stage_logged(stage, "V-051"));
    NdisFreeNetBufferList(nbl);
    NdisFreeNetBufferListPool(pool);
}

static void
breaches_of_the_target_are_logged(void **state)
{
    struct stage *stage = *state;
    struct test_block b = {.handle.NdisReserved[0] = NULL};

    stage->target.hold_state = true;
    test_block_init(&b, TcpOffloadState);
    NdisInitiateOffload(stage->host.binding, &b.block);
    b.block.Status = NDIS_STATUS_SUCCESS; /* without a context */
    stage->target.complete(stage->target.adapter, stage->target.root);
    assert_true(stage_logged(stage, "V-042"));
    test_block_init(&b, TcpOffloadState);
    NdisInitiateOffload(stage->host.binding, &b.block);
    b.block.Status = NDIS_STATUS_FAILURE;
    b.handle.MiniportOffloadContext = stage; /* a context in spite of the failure */
    stage->target.complete(stage->target.adapter, stage->target.root);
    assert_true(stage_logged(stage, "V-043"));
    assert_null(b.handle.MiniportOffloadContext);
    assert_int_equal(((struct ndis_adapter *)stage->target.adapter)->objects, 0);
    /* Completing what was never asked for. */
    stage->target.complete(stage->target.adapter, stage->target.root);
    assert_int_equal(stage->host.completions, 2);
    assert_true(stage_logged(stage, "was not given"));
}

/* P14: never on the caller's stack, every block, and the target hears nothing. */
static void
expect_refused(struct stage *stage, struct test_block *b, unsigned n, NDIS_STATUS status)
{
    unsigned before = stage->host.completions;
    char trace[sizeof(stage->trace)];

    memcpy(trace, stage->trace, sizeof(trace));
    NdisInitiateOffload(stage->host.binding, &b[0].block);
    assert_int_equal(stage->host.completions, before);
    assert_string_equal(stage->trace, trace);
    stage_settle(stage);
    assert_int_equal(stage->host.completions, before + 1);
    assert_ptr_equal(stage->host.done, &b[0].block);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(b[i].block.Status, status);
        assert_null(b[i].block.NdisReserved[2]);
    }
}

static void
tree_of_three(struct test_block b[3])
{
    memset(b, 0, 3 * sizeof(b[0]));
    test_block_init(&b[0], NeighborOffloadState);
    test_block_init(&b[1], Ip4OffloadState);
    test_block_init(&b[2], TcpOffloadState);
    b[0].block.DependentBlockList = &b[1].block;
    b[1].block.NextBlock = &b[2].block;
    for (int i = 0; i < 3; i++)
        b[i].block.NdisReserved[2] = NULL;
}

static void
refused_without_capabilities(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];

    stage->target.no_capabilities = true;
    stage_build(stage);
    assert_false(stage->host.saw_capabilities);
    tree_of_three(b);
    expect_refused(stage, b, 3, NDIS_STATUS_NOT_SUPPORTED);
}

static void
refused_without_handlers_below(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];

    stage->target.no_chimney = true;
    stage_build(stage);
    tree_of_three(b);
    expect_refused(stage, b, 3, NDIS_STATUS_NOT_SUPPORTED);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    assert_int_equal(b[0].block.Status, NDIS_STATUS_FAILURE);
    NdisOffloadTcpReceiveReturn(stage->host.binding, (NET_BUFFER_LIST *)b);
    assert_true(stage_logged(stage, "never indicated"));
}

static void
refused_with_a_missing_handler(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];

    stage->target.missing_handler = true;
    stage_build(stage);
    assert_true(stage_logged(stage, "V-004"));
    tree_of_three(b);
    expect_refused(stage, b, 3, NDIS_STATUS_NOT_SUPPORTED);
}

static void
refused_while_paused(void **state)
{
    struct stage *stage = *state;
    struct ndis_binding *binding = stage->host.binding;
    struct test_block b[3];

    binding->state = NDIS_BINDING_PAUSED;
    tree_of_three(b);
    expect_refused(stage, b, 3, NDIS_STATUS_PAUSED);
    binding->state = NDIS_BINDING_RUNNING;
    NdisInitiateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    assert_int_equal(b[2].block.Status, NDIS_STATUS_SUCCESS);
    test_blocks_as_terminate(b);
    b[1].block.DependentBlockList = NULL;
    b[1].block.NextBlock = &b[2].block;
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
}

static void
refused_twice_the_same(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3], again[3];

    stage->target.hold_state = true;
    tree_of_three(b);
    NdisInitiateOffload(stage->host.binding, &b[0].block);
    tree_of_three(again);
    again[0].block.OffloadHandle = &b[2].handle; /* while its initiate is out */
    stage->trace[0] = '\0';
    expect_refused(stage, again, 3, NDIS_STATUS_FAILURE);
    assert_true(stage_logged(stage, "V-056"));
    assert_null(again[1].handle.NdisReserved[0]);
    fake_target_answer(&stage->target);
    assert_int_equal(((struct ndis_adapter *)stage->target.adapter)->objects, 3);
    tree_of_three(again);
    again[2].block.OffloadHandle = &again[1].handle; /* one handle in two blocks */
    expect_refused(stage, again, 3, NDIS_STATUS_FAILURE);
    assert_int_equal(((struct ndis_adapter *)stage->target.adapter)->objects, 3);
    stage->target.hold_state = false;
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
}

static void
refused_if_it_is_no_tree(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];

    tree_of_three(b);
    b[2].block.DependentBlockList = &b[0].block;
    expect_refused(stage, b, 3, NDIS_STATUS_FAILURE);
    assert_true(stage_logged(stage, "V-018"));
    tree_of_three(b);
    b[2].block.Header.Type = FilterReservedOffloadState;
    expect_refused(stage, b, 3, NDIS_STATUS_FAILURE);
    tree_of_three(b);
    b[1].block.Header.Size = 8;
    expect_refused(stage, b, 3, NDIS_STATUS_FAILURE);
    tree_of_three(b);
    b[1].handle.MiniportOffloadContext = stage; /* a linker to nowhere */
    b[1].handle.NdisReserved[0] = (PVOID)(uintptr_t)0xdeadbeefcafe;
    expect_refused(stage, b, 3, NDIS_STATUS_FAILURE);
    assert_int_equal(((struct ndis_adapter *)stage->target.adapter)->objects, 0);
}

static void
stale_objects_are_refused(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3], copy;

    stage_offload(stage, b);
    copy = b[2]; /* with NdisReserved[0], at another address */
    copy.block.OffloadHandle = &copy.handle;
    copy.block.DependentBlockList = NULL;
    NdisQueryOffloadState(stage->host.binding, &copy.block);
    stage_settle(stage);
    assert_int_equal(copy.block.Status, NDIS_STATUS_FAILURE);

    test_blocks_as_terminate(b);
    stage->target.hold_state = true;
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    test_block_init(&copy, TcpOffloadDelegatedState);
    copy.block.OffloadHandle = &b[2].handle;
    NdisTerminateOffload(stage->host.binding, &copy.block); /* a second time */
    stage_settle(stage);
    assert_int_equal(copy.block.Status, NDIS_STATUS_FAILURE);
    fake_target_answer(&stage->target);
    test_block_init(&copy, TcpOffloadDelegatedState);
    copy.block.OffloadHandle = &b[2].handle;
    NdisTerminateOffload(stage->host.binding, &copy.block); /* and after it is gone */
    stage_settle(stage);
    assert_int_equal(copy.block.Status, NDIS_STATUS_FAILURE);
    assert_string_equal(stage->trace,
                        "initiate complete complete terminate complete complete complete");
}

static void
wrong_handles_are_logged(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];

    tree_of_three(b);
    NdisInitiateOffload(NULL, &b[0].block);
    assert_true(stage_logged(stage, "NdisInitiateOffload: the binding handle is NULL"));
    NdisInitiateOffload(stage->target.adapter, &b[0].block);
    assert_true(stage_logged(stage, "is not a binding handle"));
    NdisInitiateOffload((NDIS_HANDLE)((uintptr_t)stage + 1), &b[0].block);
    assert_true(stage_logged(stage, "no handle at all"));
    NdisInitiateOffload(stage->host.binding, NULL);
    NdisMInitiateOffloadComplete(stage->host.binding, NULL);
    NdisMInitiateOffloadComplete(stage->target.driver,
                                 (PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST)&b[0].block);
    stage_settle(stage);
    assert_int_equal(stage->host.completions, 0);
}

static void
chains_come_back_without_completion(void **state)
{
    struct stage *stage = *state;
    struct test_block b[3];
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *sent = test_nbls(pool, 2);

    stage_offload(stage, b);
    assert_int_equal(NdisOffloadTcpSend(&b[2].handle, sent), NDIS_STATUS_PENDING);
    stage->target.chain_back = stage->target.nbls;
    stage->target.nbls = NULL;
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    assert_ptr_equal(b[2].block.NetBufferListChain, sent);
    assert_null(sent->NdisReserved[0]);
    assert_int_equal(stage->host.calls, 0);
    assert_string_equal(stage->log, "");

    /* A chain with NBLs that were never posted. */
    stage_offload(stage, b);
    stage->target.chain_back = sent;
    test_blocks_as_terminate(b);
    NdisTerminateOffload(stage->host.binding, &b[0].block);
    stage_settle(stage);
    assert_true(stage_logged(stage, "V-147"));
    test_free_nbls(sent);
    NdisFreeNetBufferListPool(pool);
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)
#define EMPTY(name) cmocka_unit_test_setup_teardown(name, stage_setup, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOUND(down_and_up_in_place),
        BOUND(lengths_are_set),
        BOUND(a_wide_tree),
        BOUND(a_deep_tree),
        BOUND(placeholders_and_linkers),
        BOUND(a_failed_object_leaves_nothing),
        BOUND(a_failed_object_whose_chain_was_completed),
        BOUND(breaches_of_the_target_are_logged),
        EMPTY(refused_without_capabilities),
        EMPTY(refused_without_handlers_below),
        EMPTY(refused_with_a_missing_handler),
        BOUND(refused_while_paused),
        BOUND(refused_twice_the_same),
        BOUND(refused_if_it_is_no_tree),
        BOUND(stale_objects_are_refused),
        BOUND(wrong_handles_are_logged),
        BOUND(chains_come_back_without_completion),
    };

    return cmocka_run_group_tests_name("ndis/initiate", tests, NULL, NULL);
}
