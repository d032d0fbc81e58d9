/* State operations in mode hash, at two members that answer as the test says (test_two.h). */
#include "intermediate/team/test_two.h"

/* ---- initiate ---- */

/* First what has no connection, then the part with those of the first one's member. */
static void
two_parts(void **state)
{
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root;
    struct tree tree;
    unsigned home, count = 0;

    stand();
    tree_init(&tree, CONNS);
    home = home_of(&tree, 0);
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &tree.neighbor.block);
    assert_int_equal(fake.down_count, 1);
    assert_int_equal(whose(&fake.downs[0]), !home);
    root = fake.downs[0].data;
    assert_ptr_not_equal(root, &tree.neighbor.block);
    assert_non_null(root->DependentBlockList);
    assert_null(root->DependentBlockList->DependentBlockList);
    complete(&fake.downs[0], &fine);
    assert_int_equal(fake.down_count, 2);
    assert_int_equal(whose(&fake.downs[1]), home);
    root = fake.downs[1].data;
    for (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST b = root->DependentBlockList->DependentBlockList; b;
         b = b->NextBlock) {
        const TCP_OFFLOAD_STATE_CONST *tcp = NDIS_OFFLOAD_STATE_FIRST(b);

        assert_int_equal(home_of(&tree, tcp->LocalPort), home);
        count++;
    }
    complete(&fake.downs[1], &fine);
    assert_ptr_equal(fake.up.data, &tree.neighbor.block);
    check_node(&tree.neighbor, NDIS_STATUS_SUCCESS);
    check_node(&tree.path, NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS);
    for (unsigned i = 0; i < CONNS; i++)
        check_node(&tree.conns[i], home_of(&tree, i) == home
                                       ? NDIS_STATUS_SUCCESS
                                       : NDIS_STATUS_OFFLOAD_CONNECTION_REJECTED);
    assert_int_equal(member(home)->connection_count, count);
    assert_int_equal(member(!home)->connection_count, 0);

    /* One of those that were rejected, alone: what is there already is a linker at its member. */
    tree_again(&tree, first_at(&tree, !home));
    initiate(&tree, both_fine);
    assert_int_equal(fake.down_count, 1);
    assert_int_equal(whose(&fake.downs[0]), !home);
    check_node(&tree.conns[first_at(&tree, !home)], NDIS_STATUS_SUCCESS);
    assert_int_equal(member(!home)->connection_count, 1);
    terminate_all(&tree, CONNS);
    leave();
}

struct outcome {
    struct answer at_home, away;
    NDIS_STATUS neighbor, path, tcp;
};

/* One connection; what its member says, and the other. */
static void
statuses(void **state)
{
    static const struct outcome cases[] = {
        {{0, 0, 0}, {0, 0, 0}, 0, 0, 0},
        {{0, NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS, NDIS_STATUS_OFFLOAD_TCP_ENTRIES},
         {0, 0, 0},
         0,
         NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS,
         NDIS_STATUS_OFFLOAD_TCP_ENTRIES},
        {{0, 0, 0}, {NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES, 0, 0}, 0, 0, 0},
        {{0, 0, 0},
         {NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS, NDIS_STATUS_OFFLOAD_PATH_ENTRIES, 0},
         0,
         0,
         0},
        {{NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES, 0, 0},
         {0, 0, 0},
         0,
         NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS,
         NDIS_STATUS_FAILURE},
        {{NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS, NDIS_STATUS_OFFLOAD_PATH_ENTRIES, 0},
         {NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS, NDIS_STATUS_OFFLOAD_PATH_MTU, 0},
         NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS,
         0, /* the first member's */
         NDIS_STATUS_FAILURE},
        {{NDIS_STATUS_PAUSED, NDIS_STATUS_PAUSED, NDIS_STATUS_PAUSED},
         {NDIS_STATUS_PAUSED, NDIS_STATUS_PAUSED, NDIS_STATUS_PAUSED},
         NDIS_STATUS_FAILURE,
         NDIS_STATUS_FAILURE,
         NDIS_STATUS_FAILURE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome wanted = cases[i];
        struct answer answers[2];
        struct tree tree;
        unsigned home;

        stand();
        tree_init(&tree, 1);
        home = home_of(&tree, 0);
        answers[home] = wanted.at_home;
        answers[!home] = wanted.away;
        if (i == 5)
            wanted.path = answers[0].path;
        initiate(&tree, answers);
        check_node(&tree.neighbor, wanted.neighbor);
        check_node(&tree.path, wanted.path);
        check_node(&tree.conns[0], wanted.tcp);
        assert_int_equal(member(home)->connection_count, wanted.tcp == 0);
        terminate_all(&tree, 1);
        leave();
    }
}

/* Where the neighbor is not, nothing else can be. */
static void
not_at_its_member(void **state)
{
    struct answer answers[2] = {fine, fine};
    struct tree tree;
    unsigned home, other;

    stand();
    tree_init(&tree, 1);
    home = home_of(&tree, 0);
    other = first_at(&tree, !home);
    answers[!home].neighbor = NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES;
    initiate(&tree, answers);
    check_node(&tree.conns[0], NDIS_STATUS_SUCCESS);
    tree_again(&tree, other);
    initiate(&tree, both_fine);
    assert_int_equal(fake.down_count, 0);
    /* linkers: none of their dependents */
    assert_int_equal(tree.neighbor.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(tree.path.block.Status, NDIS_STATUS_FAILURE);
    check_node(&tree.conns[other], NDIS_STATUS_FAILURE);
    tree_again(&tree, 0);
    terminate_all(&tree, 1);
    leave();
}

/* ---- the other operations ---- */

static void
one_offloaded(struct tree *tree)
{
    stand();
    tree_init(tree, 1);
    initiate(tree, both_fine);
    check_node(&tree->conns[0], NDIS_STATUS_SUCCESS);
}

static NEIGHBOR_OFFLOAD_STATE_DELEGATED *
delegated_below(const struct fake_call *down)
{
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST root = down->data;
    PUCHAR state = NDIS_OFFLOAD_STATE_FIRST(root);

    if (root->Header.Type == NeighborOffloadState)
        state += NDIS_OFFLOAD_STATE_SPACE(NEIGHBOR_OFFLOAD_STATE_CONST) +
                 NDIS_OFFLOAD_STATE_SPACE(NEIGHBOR_OFFLOAD_STATE_CACHED);
    return (PVOID)state;
}

/* A neighbor's age is that of the member which heard of it last. */
static void
ages(void **state)
{
    static const ULONG ages[][3] = {{70, 20, 20}, {20, 70, 20}, {0, 1, 0}};
    struct tree tree;

    one_offloaded(&tree);
    for (size_t i = 0; i < 3; i++) {
        NEIGHBOR_OFFLOAD_STATE_DELEGATED *merged;

        node_init(&tree.neighbor,
                  i == 1 ? NeighborOffloadDelegatedState : (UCHAR)NeighborOffloadState,
                  &tree.cells[0], NULL);
        fake_forget();
        fake.provider.QueryOffloadHandler(fake.adapter_context, &tree.neighbor.block);
        assert_int_equal(fake.down_count, 2);
        merged = delegated_below(
            &(struct fake_call){.data = (PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST)&tree.neighbor.block});
        merged->NicReachabilityDelta = 99999;
        for (unsigned j = 0; j < 2; j++) {
            delegated_below(&fake.downs[j])->NicReachabilityDelta = ages[i][j];
            complete(&fake.downs[j], &fine);
        }
        assert_int_equal(tree.neighbor.block.Status, NDIS_STATUS_SUCCESS);
        assert_int_equal(merged->NicReachabilityDelta, ages[i][2]);
    }
    terminate_all(&tree, 1);
    leave();
}

/* A success at every member is one, and nothing else is. */
static void
all_or_nothing(void **state)
{
    struct answer failing[2] = {fine, fine};
    struct tree tree;
    unsigned home;

    one_offloaded(&tree);
    home = home_of(&tree, 0);
    node_init(&tree.neighbor, NeighborOffloadCachedState, &tree.cells[0], NULL);
    operate(fake.provider.UpdateOffloadHandler, &tree.neighbor, both_fine);
    assert_int_equal(fake.down_count, 2);
    check_node(&tree.neighbor, NDIS_STATUS_SUCCESS);
    for (unsigned i = 0; i < 2; i++) {
        failing[i].neighbor = NDIS_STATUS_FAILURE;
        node_init(&tree.neighbor, NeighborOffloadCachedState, &tree.cells[0], NULL);
        operate(fake.provider.UpdateOffloadHandler, &tree.neighbor, failing);
        assert_int_equal(tree.neighbor.block.Status, NDIS_STATUS_FAILURE);
        failing[i] = fine;
    }
    node_init(&tree.neighbor, NeighborOffloadState, &tree.cells[0], NULL);
    operate(fake.provider.InvalidateOffloadHandler, &tree.neighbor, both_fine);
    assert_int_equal(fake.down_count, 2);
    /* A connection's own member alone is asked. */
    node_init(&tree.conns[0], TcpOffloadState, &tree.cells[2], NULL);
    operate(fake.provider.QueryOffloadHandler, &tree.conns[0], both_fine);
    assert_int_equal(fake.down_count, 1);
    assert_int_equal(whose(&fake.downs[0]), home);
    check_node(&tree.conns[0], NDIS_STATUS_SUCCESS);
    terminate_all(&tree, 1);
    leave();
}

/* Paths move to a neighbor that one member does not have: there they cannot. */
static void
relinked_to_what_is_not_there(void **state)
{
    struct answer answers[2] = {fine, fine};
    struct tree tree, router;

    one_offloaded(&tree);
    tree_init(&router, 0);
    router.neighbor.block.DependentBlockList = NULL;
    answers[1].neighbor = NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES;
    initiate(&router, answers);
    check_node(&router.neighbor, NDIS_STATUS_SUCCESS);
    node_init(&router.neighbor, NeighborOffloadState, &router.cells[0], NULL);
    node_init(&tree.path, Ip4OffloadState, &tree.cells[1], &router.neighbor);
    operate(fake.provider.UpdateOffloadHandler, &router.neighbor, both_fine);
    assert_int_equal(fake.down_count, 1);
    assert_int_equal(router.neighbor.block.Status, NDIS_STATUS_SUCCESS);
    assert_int_equal(tree.path.block.Status, NDIS_STATUS_FAILURE);
    terminate_all(&router, 0);
    terminate_all(&tree, 1);
    leave();
}

/* A terminate brings home what the connection's member has; what is named and not there fails. */
static void
home_again(void **state)
{
    TCP_OFFLOAD_STATE_DELEGATED *delegated;
    NET_BUFFER_LIST chain = {.Status = 0};
    struct node nobody;
    struct tree tree;
    PVOID cell = NULL;

    one_offloaded(&tree);
    node_init(&tree.conns[0], TcpOffloadDelegatedState, &tree.cells[2], NULL);
    node_init(&nobody, TcpOffloadDelegatedState, &cell, NULL);
    tree.conns[0].block.NextBlock = &nobody.block;
    fake_forget();
    fake.provider.TerminateOffloadHandler(fake.adapter_context, &tree.conns[0].block);
    assert_int_equal(fake.down_count, 1);
    delegated = NDIS_OFFLOAD_STATE_FIRST((PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST)fake.downs[0].data);
    delegated->SndUna = 4711;
    ((PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST)fake.downs[0].data)->NetBufferListChain = &chain;
    complete(&fake.downs[0], &fine);
    delegated = NDIS_OFFLOAD_STATE_FIRST(&tree.conns[0].block);
    assert_int_equal(delegated->SndUna, 4711);
    assert_ptr_equal(tree.conns[0].block.NetBufferListChain, &chain);
    assert_int_equal(tree.conns[0].block.Status, NDIS_STATUS_SUCCESS);
    assert_int_equal(nobody.block.Status, NDIS_STATUS_FAILURE);
    tree.cells[2] = NULL;
    terminate_all(&tree, 0);
    leave();
}

static TCP_OFFLOAD_STATE_EXTENSION *
extension_behind(PVOID states, bool whole)
{
    size_t before = whole ? NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CONST) +
                                NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CACHED)
                          : 0;

    return (PVOID)((UCHAR *)states + before +
                   NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_DELEGATED));
}

/* State beyond the documented goes along, both ways, if the connection has it. */
static void
extensions_go_along(void **state)
{
    for (unsigned extended = 0; extended < 2; extended++) {
        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
        TCP_OFFLOAD_STATE_CONST *tcp;
        struct tree tree;

        stand();
        tree_init(&tree, 1);
        tcp = NDIS_OFFLOAD_STATE_FIRST(&tree.conns[0].block);
        tcp->Flags = extended ? TCP_FLAG_STATE_EXTENDED : 0;
        extension_behind(tcp, true)->RecoverSeq = 4711;
        fake.provider.InitiateOffloadHandler(fake.adapter_context, &tree.neighbor.block);
        complete(&fake.downs[0], &fine);
        block = fake.downs[1].data;
        block = block->DependentBlockList->DependentBlockList;
        if (extended)
            assert_int_equal(extension_behind(NDIS_OFFLOAD_STATE_FIRST(block), true)->RecoverSeq,
                             4711);
        complete(&fake.downs[1], &fine);
        node_init(&tree.conns[0], TcpOffloadDelegatedState, &tree.cells[2], NULL);
        fake_forget();
        fake.provider.TerminateOffloadHandler(fake.adapter_context, &tree.conns[0].block);
        block = fake.downs[0].data;
        if (extended)
            extension_behind(NDIS_OFFLOAD_STATE_FIRST(block), false)->EcnSeq = 4712;
        complete(&fake.downs[0], &fine);
        assert_int_equal(
            extension_behind(NDIS_OFFLOAD_STATE_FIRST(&tree.conns[0].block), false)->EcnSeq,
            extended ? 4712 : 0);
        tree.cells[2] = NULL;
        terminate_all(&tree, 0);
        leave();
    }
}

/* ---- no memory ---- */

static void
no_memory(void **state)
{
    struct tree tree;

    stand();
    for (int i = 0;; i++) {
        ULONG blocks = fake.blocks;

        tree_init(&tree, CONNS);
        fake_forget();
        fake.fail_at = i;
        fake.provider.InitiateOffloadHandler(fake.adapter_context, &tree.neighbor.block);
        if (fake.down_count)
            break;
        assert_null(fake.up.name);
        fake_run_work();
        assert_string_equal(fake.up.name, "initiate");
        check_node(&tree.neighbor, NDIS_STATUS_RESOURCES);
        check_node(&tree.path, NDIS_STATUS_RESOURCES);
        for (unsigned j = 0; j < CONNS; j++)
            check_node(&tree.conns[j], NDIS_STATUS_RESOURCES);
        assert_int_equal(fake.blocks, blocks);
        assert_in_range(i, 0, 40);
    }
    fake.fail_at = -1;
    complete(&fake.downs[0], &fine);
    complete(&fake.downs[1], &fine);
    /* Taking back cannot fail: it is done when there is memory again. */
    for (int i = 0; i < 4; i++) {
        node_init(&tree.conns[0], TcpOffloadDelegatedState, &tree.cells[2], NULL);
        fake_forget();
        fake.fail_at = i;
        fake.provider.TerminateOffloadHandler(fake.adapter_context, &tree.conns[0].block);
        if (fake.down_count)
            break;
        assert_in_range(i, 0, 2);
        fake_run_work();
        assert_int_equal(fake.down_count, 1);
        complete(&fake.downs[0], &fine);
        check_node(&tree.conns[0], NDIS_STATUS_SUCCESS);
        tree.cells[2] = NULL;
        tree_again(&tree, 0);
        initiate(&tree, both_fine);
    }
    complete(&fake.downs[0], &fine);
    tree.cells[2] = NULL;
    terminate_all(&tree, CONNS);
    leave();
}

/* ---- a member is gone before its time ---- */

/* NDIS has waited for it long enough. */
static void
torn_out(unsigned i)
{
    assert_int_equal(fake.protocol.UnbindAdapterHandlerEx(FAKE_UNBIND, fake.bindings[i]),
                     NDIS_STATUS_SUCCESS);
}

/* One connection, which belongs to the second member. */
static void
tree_of_the_second(struct tree *tree)
{
    TCP_OFFLOAD_STATE_CONST *tcp;

    tree_init(tree, 1);
    tcp = NDIS_OFFLOAD_STATE_FIRST(&tree->conns[0].block);
    tcp->LocalPort = (USHORT)first_at(tree, 1);
}

/* The other part is below, and this one cannot follow. */
static void
torn_out_between_the_parts(void **state)
{
    struct tree tree;

    stand();
    tree_of_the_second(&tree);
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &tree.neighbor.block);
    assert_int_equal(whose(&fake.downs[0]), 0);
    torn_out(1);
    complete(&fake.downs[0], &fine);
    assert_int_equal(fake.down_count, 1);
    assert_string_equal(fake.up.name, "initiate");
    check_node(&tree.neighbor, NDIS_STATUS_SUCCESS);
    check_node(&tree.path, NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS);
    check_node(&tree.conns[0], NDIS_STATUS_FAILURE);
    terminate_all(&tree, 1);
    leave();
}

/* What was there is lost: whoever asks for it hears that. */
static void
torn_out_with_connections(void **state)
{
    struct tree tree;

    stand();
    tree_of_the_second(&tree);
    initiate(&tree, both_fine);
    check_node(&tree.conns[0], NDIS_STATUS_SUCCESS);
    torn_out(1);
    node_init(&tree.conns[0], TcpOffloadState, &tree.cells[2], NULL);
    operate(fake.provider.QueryOffloadHandler, &tree.conns[0], both_fine);
    assert_int_equal(fake.down_count, 0);
    assert_int_equal(tree.conns[0].block.Status, NDIS_STATUS_FAILURE);
    terminate_all(&tree, 1);
    assert_int_equal(fake.down_count, 1);
    assert_int_equal(tree.neighbor.block.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(tree.conns[0].block.Status, NDIS_STATUS_FAILURE);
    leave();
}

/* ---- events ---- */

static PVOID
handle_of(struct tree *tree, unsigned conn)
{
    struct floor_offload *entry = tree->cells[2 + conn];

    return &entry->lower;
}

/* V-137: while an initiate is under way, at whichever member, nothing is told that can wait. */
static void
events_wait(void **state)
{
    struct tree tree, other;

    one_offloaded(&tree);
    tree_init(&other, 1);
    fake_forget();
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &other.neighbor.block);
    fake.client_tcp.TcpOffloadEventHandler(handle_of(&tree, 0), TcpIndicateSendBacklogChange, 1);
    fake.client_tcp.TcpOffloadEventHandler(handle_of(&tree, 0), TcpIndicateRetrieve, SmallIO);
    fake.client_tcp.TcpOffloadEventHandler(handle_of(&tree, 0), TcpIndicateSendBacklogChange, 2);
    complete(&fake.downs[0], &fine);
    assert_int_equal(fake.io_up.count, 0);
    complete(&fake.downs[1], &fine);
    assert_int_equal(fake.io_up.count, 2); /* the latest of each kind */
    assert_ptr_equal(fake.io_up.handle, &tree.conns[0]);
    assert_int_equal(fake.io_up.code, TcpIndicateRetrieve);

    /* What cannot wait is told, and the rest is no news any more. */
    terminate_all(&other, 1);
    tree_init(&other, 1);
    fake_forget();
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &other.neighbor.block);
    fake.client_tcp.TcpOffloadEventHandler(handle_of(&tree, 0), TcpIndicateSendBacklogChange, 3);
    fake.client_tcp.TcpOffloadEventHandler(handle_of(&tree, 0), TcpIndicateRetrieve, SmallIO);
    fake.client_tcp.TcpOffloadEventHandler(handle_of(&tree, 0), TcpIndicateAbort, 0);
    assert_int_equal(fake.io_up.count, 1);
    assert_int_equal(fake.io_up.code, TcpIndicateAbort);
    complete(&fake.downs[0], &fine);
    complete(&fake.downs[1], &fine);
    assert_int_equal(fake.io_up.count, 1);
    terminate_all(&other, 1);
    terminate_all(&tree, 1);
    leave();
}

/* A question about a neighbor names the handle of above, whichever member asks. */
static void
neighbors_are_asked_about(void **state)
{
    struct team_offload *entry;
    struct tree tree;

    one_offloaded(&tree);
    entry = team_offload_of(tree.cells[0]);
    for (unsigned i = 0; i < 2; i++) {
        struct node node;
        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = (PVOID)&node.block;

        node_init(&node, NeighborOffloadCachedState, NULL, NULL);
        block->OffloadHandle = team_handle_at(entry, member(i));
        assert_non_null(block->OffloadHandle);
        fake.client.IndicateOffloadEventHandler(fake.bindings[i], block, NeighborReachabilityQuery);
        assert_string_equal(fake.up.name, "event");
        assert_ptr_equal(fake.up.handle, &tree.neighbor);
        assert_ptr_equal(block->OffloadHandle, team_handle_at(entry, member(i)));
    }
    terminate_all(&tree, 1);
    leave();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(torn_out_between_the_parts),
        cmocka_unit_test(torn_out_with_connections),
        cmocka_unit_test(two_parts),
        cmocka_unit_test(statuses),
        cmocka_unit_test(not_at_its_member),
        cmocka_unit_test(ages),
        cmocka_unit_test(all_or_nothing),
        cmocka_unit_test(relinked_to_what_is_not_there),
        cmocka_unit_test(home_again),
        cmocka_unit_test(extensions_go_along),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(events_wait),
        cmocka_unit_test(neighbors_are_asked_about),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
