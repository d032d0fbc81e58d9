/*
 * State operations of fault between two fakes: which nodes of a tree go down, what every node comes
 * back with, when it comes, and that all memory comes home, also when there is none.
 */
#include "intermediate/fault/fault.h"
#include "intermediate/fault/test_fake.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OK NDIS_STATUS_SUCCESS
#define PART NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS
#define FAIL NDIS_STATUS_FAILURE

/* A block and the states that follow it. */
struct node {
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
    UCHAR states[NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CONST) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CACHED) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_DELEGATED)] __attribute__((aligned(8)));
    PVOID cell;
};

/* The tree of the documentation's example: N1 (P1 (T1, T2), P2 (T3)), N2 (P3). */
enum { N1, P1, T1, T2, P2, T3, N2, P3, NODES };
static struct node nodes[NODES];
static NET_BUFFER_LIST chain; /* of T2 */

static void
link_nodes(void)
{
    static const USHORT types[NODES] = {NeighborOffloadState, Ip4OffloadState, TcpOffloadState,
                                        TcpOffloadState,      Ip4OffloadState, TcpOffloadState,
                                        NeighborOffloadState, Ip4OffloadState};

    for (int i = 0; i < NODES; i++) {
        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST b = &nodes[i].block;

        b->Header.Type = (UCHAR)types[i];
        b->Header.Size = sizeof(*b);
        b->MiniportOffloadContext = &nodes[i].cell;
        b->NdisOffloadHandle = &nodes[i];
        b->ImReserved[0] = (PVOID)(0x100ul + (ULONG)i);
        b->SourceHandle = (PVOID)(0x300ul + (ULONG)i);
        b->Status = 0x5A5A;
    }
    nodes[N1].block.DependentBlockList = &nodes[P1].block;
    nodes[N1].block.NextBlock = &nodes[N2].block;
    nodes[P1].block.DependentBlockList = &nodes[T1].block;
    nodes[P1].block.NextBlock = &nodes[P2].block;
    nodes[T1].block.NextBlock = &nodes[T2].block;
    nodes[P2].block.DependentBlockList = &nodes[T3].block;
    nodes[N2].block.DependentBlockList = &nodes[P3].block;
}

static void
fill_states(int i)
{
    PTCP_OFFLOAD_STATE_CONST constant = NDIS_OFFLOAD_STATE_FIRST(&nodes[i].block);
    PTCP_OFFLOAD_STATE_CACHED cached;
    PTCP_OFFLOAD_STATE_DELEGATED delegated;

    constant->Header.Length = sizeof(*constant);
    cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    cached->Header.Length = sizeof(*cached);
    delegated = NDIS_OFFLOAD_STATE_NEXT(cached);
    delegated->State = TcpConnectionEstablished;
}

static void
plant(void)
{
    memset(nodes, 0, sizeof(nodes));
    memset(&chain, 0, sizeof(chain));
    link_nodes();
    fill_states(T1);
    fill_states(T2);
    fill_states(T3);
    nodes[T2].block.NetBufferListChain = &chain;
}

/* What came down as new or linked, as bits. */
static unsigned
came_down(void)
{
    unsigned seen = 0;

    for (int i = 0; i < NODES; i++)
        seen |= (fake_below(&nodes[i].block) != NULL) << i;
    return seen;
}

/* As a target does: everything with a handle succeeds, statuses fit. */
static void
answer_all(void)
{
    for (int i = 0; i < NODES; i++) {
        PNDIS_OFFLOAD_HANDLE handle = fake_below(&nodes[i].block);

        nodes[i].block.Status = OK;
        if (handle && !handle->MiniportOffloadContext)
            handle->MiniportOffloadContext = &nodes[i];
    }
    fake.client.InitiateOffloadCompleteHandler(fake.binding_context, (PVOID)&nodes[N1].block);
}

static void
take_back(void)
{
    for (int i = 0; i < NODES; i++)
        if (nodes[i].cell)
            fake_terminate(&nodes[i].cell, &nodes[i]);
}

/* ---- trees ---- */

#define BIT(node) (1u << (node))
#define ALL (BIT(NODES) - 1)

static const struct {
    const char *script;
    unsigned down; /* 0: none goes */
    NDIS_STATUS status[NODES];
} outcomes[] = {
    {"", ALL, {OK, OK, OK, OK, OK, OK, OK, OK}},
    {"initiate refuse tcp 2 RESOURCES;initiate refuse path 2 FAILURE",
     ALL & ~(BIT(T2) | BIT(P2) | BIT(T3)),
     {PART, PART, OK, NDIS_STATUS_RESOURCES, FAIL, FAIL, OK, OK}},
    {"initiate refuse tcp 2",
     ALL & ~BIT(T2),
     {OK, PART, OK, NDIS_STATUS_OFFLOAD_TCP_ENTRIES, OK, OK, OK, OK}},
    {"initiate 1 fail OFFLOAD_TCP_RCV_BUFFER",
     BIT(N1) | BIT(P1) | BIT(P2) | BIT(N2) | BIT(P3),
     {OK, PART, NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER, NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER, PART,
      NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER, OK, OK}},
    {"initiate refuse path",
     BIT(N1) | BIT(N2),
     {PART, NDIS_STATUS_OFFLOAD_PATH_ENTRIES, FAIL, FAIL, NDIS_STATUS_OFFLOAD_PATH_ENTRIES, FAIL,
      PART, NDIS_STATUS_OFFLOAD_PATH_ENTRIES}},
    {"initiate refuse neighbor 2",
     ALL & ~(BIT(N2) | BIT(P3)),
     {OK, OK, OK, OK, OK, OK, NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES, FAIL}},
    /* The root: nothing is tried. */
    {"initiate refuse neighbor 1",
     0,
     {NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES, FAIL, FAIL, FAIL, FAIL, FAIL, FAIL, FAIL}},
};

static void
a_tree_fails_in_part(void **state)
{
    for (size_t i = 0; i < sizeof(outcomes) / sizeof(outcomes[0]); i++) {
        fake_stand_with(outcomes[i].script);
        plant();
        fake.provider.InitiateOffloadHandler(fake.adapter_context, &nodes[N1].block);
        assert_int_equal(fake.up.count, 0); /* V-030 */
        assert_int_equal(fake.down.count, outcomes[i].down != 0);
        if (outcomes[i].down) {
            assert_int_equal(came_down(), outcomes[i].down);
            assert_ptr_equal(nodes[T2].block.NetBufferListChain,
                             outcomes[i].down & BIT(T2) ? &chain : NULL);
            answer_all();
        } else {
            fake_pass(0);
        }
        assert_string_equal(fake.up.name, "initiate");
        assert_ptr_equal(fake.up.data, &nodes[N1].block);
        for (int n = 0; n < NODES; n++) {
            assert_int_equal(nodes[n].block.Status, outcomes[i].status[n]);
            assert_true(!nodes[n].cell == !(outcomes[i].down & BIT(n)));
            assert_ptr_equal(nodes[n].block.NdisOffloadHandle, &nodes[n]);
            assert_ptr_equal(nodes[n].block.ImReserved[0], (PVOID)(0x100ul + (ULONG)n));
            assert_ptr_equal(nodes[n].block.SourceHandle, (PVOID)(0x300ul + (ULONG)n));
        }
        assert_ptr_equal(nodes[T2].block.NetBufferListChain, &chain);
        take_back();
        fake_go();
    }
}

/* Below fails what here is not refused: nothing under it has a reason of its own. */
static void
what_fails_below_takes_all_along(void **state)
{
    static const NDIS_STATUS expected[NODES] = {
        NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES, FAIL, FAIL, FAIL, FAIL, FAIL, FAIL, FAIL};

    fake_stand_with("initiate refuse tcp 2;initiate refuse path 3");
    plant();
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &nodes[N1].block);
    for (int n = 0; n < NODES; n++)
        nodes[n].block.Status = fake_below(&nodes[n].block) ? FAIL : OK;
    nodes[N1].block.Status = NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES;
    fake.client.InitiateOffloadCompleteHandler(fake.binding_context, (PVOID)&nodes[N1].block);
    for (int n = 0; n < NODES; n++) {
        assert_int_equal(nodes[n].block.Status, expected[n]);
        assert_null(nodes[n].cell);
    }
    fake_go();
}

/* Whatever allocation fails: one completion, statuses that are documented, no memory lost. */
static void
a_tree_without_memory(void **state)
{
    log_set_level(LOG_ERROR);
    for (int at = 0; at < 16; at++) {
        fake_stand_with("initiate refuse tcp 2;complete initiate delay 5ms;send no-memory");
        plant();
        fake.fail_at = at;
        fake.provider.InitiateOffloadHandler(fake.adapter_context, &nodes[N1].block);
        fake.fail_at = -1;
        if (fake.work)
            fake_run_work();
        fake_pass(10);
        if (fake.down.count)
            answer_all();
        assert_int_equal(fake.up.count, 1);
        take_back();
        fake_go();
    }
    log_set_level(LOG_WARN);
}

static void
an_operation_fails_here(void **state)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST b, placeholder;
    PVOID cell = NULL;

    fake_stand_with("query 1 fail");
    fake_offload(&cell, (PVOID)1, (PVOID)2);
    fake_forget();
    fake_single(&b, &cell, (PVOID)1);
    fake_single(&placeholder, NULL, NULL);
    placeholder.DependentBlockList = &b;
    fake.provider.QueryOffloadHandler(fake.adapter_context, &placeholder);
    assert_int_equal(fake.down.count, 0);
    assert_int_equal(fake.up.count, 0);
    fake_pass(0);
    assert_string_equal(fake.up.name, "query");
    assert_int_equal(placeholder.Status, OK);
    assert_int_equal(b.Status, FAIL);
    assert_ptr_equal(b.NdisOffloadHandle, (PVOID)1);
    fake.provider.QueryOffloadHandler(fake.adapter_context, &placeholder);
    assert_int_equal(fake.down.count, 1);
    b.Status = OK;
    fake.client.QueryOffloadCompleteHandler(fake.binding_context, (PVOID)&placeholder);
    assert_int_equal(fake.up.count, 2);
    fake_terminate(&cell, (PVOID)1);
    fake_go();
}

static void
completions_wait_and_swap(void **state)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST first, second;
    PVOID cells[2] = {NULL, NULL};

    fake_stand_with("complete query reorder;complete update delay 5ms");
    fake_offload(&cells[0], (PVOID)1, (PVOID)2);
    fake_offload(&cells[1], (PVOID)3, (PVOID)4);
    fake_forget();
    fake_single(&first, &cells[0], (PVOID)1);
    fake_single(&second, &cells[1], (PVOID)3);
    fake.provider.QueryOffloadHandler(fake.adapter_context, &first);
    fake.provider.QueryOffloadHandler(fake.adapter_context, &second);
    fake.client.QueryOffloadCompleteHandler(fake.binding_context, (PVOID)&first);
    assert_int_equal(fake.up.count, 0);
    fake.client.QueryOffloadCompleteHandler(fake.binding_context, (PVOID)&second);
    assert_int_equal(fake.up.count, 2);
    assert_ptr_equal(fake.up.data, &first); /* the last */

    fake.provider.UpdateOffloadHandler(fake.adapter_context, &first);
    fake.client.UpdateOffloadCompleteHandler(fake.binding_context, (PVOID)&first);
    fake_pass(4);
    assert_int_equal(fake.up.count, 2);
    fake_pass(1);
    assert_int_equal(fake.up.count, 3);
    fake_terminate(&cells[0], (PVOID)1);
    fake_terminate(&cells[1], (PVOID)3);
    fake_go();
}

/* A pause lets everything go, and nothing waits from then on. */
static void
a_pause_lets_go(void **state)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST b;
    NET_PNP_EVENT_NOTIFICATION pause;
    PVOID cell = NULL;

    fake_stand_with("complete update delay 1s;complete terminate delay 1s");
    fake_offload(&cell, (PVOID)1, (PVOID)2);
    fake_forget();
    fake_single(&b, &cell, (PVOID)1);
    fake.provider.UpdateOffloadHandler(fake.adapter_context, &b);
    fake.client.UpdateOffloadCompleteHandler(fake.binding_context, (PVOID)&b);
    assert_int_equal(fake.up.count, 0);
    assert_int_equal(fake_event(&pause, NetEventPause), NDIS_STATUS_PENDING);
    assert_string_equal(fake.up.name, "update");
    fake_terminate(&cell, (PVOID)1);
    assert_string_equal(fake.up.name, "terminate");
    fake_run_work();
    assert_ptr_equal(fake.answer.data, &pause);
    fake_go();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_fails_in_part),
        cmocka_unit_test(what_fails_below_takes_all_along),
        cmocka_unit_test(a_tree_without_memory),
        cmocka_unit_test(an_operation_fails_here),
        cmocka_unit_test(completions_wait_and_swap),
        cmocka_unit_test(a_pause_lets_go),
    };

    return cmocka_run_group_tests_name("intermediate/fault-state", tests, NULL, NULL);
}
