/*
 * Trees between two fakes: what the driver above handed in must come back to it exactly, what goes
 * below must carry our handles only, and every piece of memory must come home, also when there is
 * none.
 */
#include "intermediate/floor/floor.h"

#include "base/log.h"
#include "intermediate/floor/ndis_fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

typedef NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;

/* A neighbor that is a placeholder, an offloaded path, and two connections, as NDIS gives them to a
 * miniport. */
struct tree {
    block neighbor, path, tcp[2];
    PVOID cells[3]; /* path, tcp 0, tcp 1 */
    ULONG above[4]; /* their addresses are the NdisOffloadHandles */
    block before[4];
};

static block *
tree_block(struct tree *tree, unsigned i)
{
    return i == 0 ? &tree->neighbor : i == 1 ? &tree->path : &tree->tcp[i - 2];
}

static void
tree_init(struct tree *tree, PVOID path_context)
{
    memset(tree, 0, sizeof(*tree));
    for (unsigned i = 0; i < 4; i++) {
        block *b = tree_block(tree, i);

        b->Header.Size = sizeof(*b);
        b->NdisOffloadHandle = i ? &tree->above[i] : NULL;
        b->MiniportOffloadContext = i ? &tree->cells[i - 1] : NULL;
        b->ImReserved[0] = (PVOID)(0x100ul + i);
        b->ImReserved[1] = (PVOID)(0x200ul + i);
        b->SourceHandle = (PVOID)(0x300ul + i);
        b->ProtocolReserved[0] = (PVOID)(0x400ul + i);
        b->PortNumber = i;
        b->Status = 0x5A5A;
    }
    tree->neighbor.DependentBlockList = &tree->path;
    tree->path.DependentBlockList = &tree->tcp[0];
    tree->tcp[0].NextBlock = &tree->tcp[1];
    tree->cells[0] = path_context;
    for (unsigned i = 0; i < 4; i++)
        tree->before[i] = *tree_block(tree, i);
}

/* Everything but Status and Scratch is what the driver above put there. */
static void
assert_restored(struct tree *tree)
{
    for (unsigned i = 0; i < 4; i++) {
        block now = *tree_block(tree, i), *then = &tree->before[i];

        now.Status = then->Status;
        memcpy(now.Scratch, then->Scratch, sizeof(now.Scratch));
        assert_memory_equal(&now, then, sizeof(now));
    }
}

static int
stand(void **state)
{
    log_set_level(LOG_ERROR);
    fake_stand();
    return 0;
}

static int
leave(void **state)
{
    fake_forget();
    fake_leave();
    return 0;
}

static void
a_tree_goes_down_with_our_handles(void **state)
{
    PVOID cell = NULL;
    struct tree tree;

    fake_offload(&cell, &cell, (PVOID)0xB0);
    tree_init(&tree, cell);
    fake_forget();
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &tree.neighbor);
    assert_string_equal(fake.down.name, "initiate");
    assert_ptr_equal(fake.down.handle, FAKE_LOWER);
    assert_ptr_equal(fake.down.data, &tree.neighbor);
    assert_null(fake_below(&tree.neighbor));
    assert_ptr_equal(fake_below(&tree.path)->MiniportOffloadContext, (PVOID)0xB0);
    assert_null(fake_below(&tree.tcp[0])->MiniportOffloadContext);
    assert_ptr_not_equal(fake_below(&tree.tcp[0]), fake_below(&tree.tcp[1]));
    assert_ptr_not_equal((PVOID)fake_below(&tree.tcp[0]), tree.before[2].NdisOffloadHandle);
    assert_ptr_equal(tree.tcp[1].ProtocolReserved[0], (PVOID)0x403);
    assert_int_equal(fake.up.count, 0);

    for (unsigned i = 0; i < 4; i++)
        tree_block(&tree, i)->Status = i == 3 ? NDIS_STATUS_OFFLOAD_TCP_ENTRIES : 0;
    tree.path.Status = NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
    tree.path.ImReserved[1] = &tree; /* the floor below may use what is ours now */
    fake_below(&tree.tcp[0])->MiniportOffloadContext = (PVOID)0xB1;
    fake.client.InitiateOffloadCompleteHandler(fake.binding_context, (PVOID)&tree.neighbor);
    assert_string_equal(fake.up.name, "initiate");
    assert_ptr_equal(fake.up.handle, FAKE_UPPER);
    assert_ptr_equal(fake.up.data, &tree.neighbor);
    assert_restored(&tree);
    assert_int_equal(tree.path.Status, NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS);
    assert_int_equal(tree.tcp[1].Status, NDIS_STATUS_OFFLOAD_TCP_ENTRIES);
    assert_ptr_equal(tree.cells[0], cell);
    assert_non_null(tree.cells[1]);
    assert_ptr_not_equal(tree.cells[1], (PVOID)0xB1);
    assert_null(tree.cells[2]);
    fake_terminate(&tree.cells[1], tree.before[2].NdisOffloadHandle);
    fake_terminate(&cell, &cell);
}

static void
every_operation_has_its_own_way_up(void **state)
{
    PNDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS provider = &fake.provider;
    PNDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS client = &fake.client;
    struct {
        const char *name;
        W_QUERY_OFFLOAD_HANDLER down;
        QUERY_OFFLOAD_COMPLETE_HANDLER up;
    } const ways[] = {
        {"update", provider->UpdateOffloadHandler, client->UpdateOffloadCompleteHandler},
        {"invalidate", provider->InvalidateOffloadHandler,
         client->InvalidateOffloadCompleteHandler},
        {"query", provider->QueryOffloadHandler, client->QueryOffloadCompleteHandler},
    };
    PVOID cell = NULL, ours = fake_offload(&cell, &cell, (PVOID)0xB0);
    block b;

    for (size_t i = 0; i < 3; i++) {
        fake_forget();
        fake_single(&b, &cell, &cell);
        ways[i].down(fake.adapter_context, &b);
        assert_string_equal(fake.down.name, ways[i].name);
        assert_ptr_equal(fake_below(&b)->MiniportOffloadContext, (PVOID)0xB0);
        b.Status = NDIS_STATUS_SUCCESS;
        ways[i].up(fake.binding_context, (PVOID)&b);
        assert_string_equal(fake.up.name, ways[i].name);
        assert_ptr_equal(b.NdisOffloadHandle, &cell);
        assert_ptr_equal(cell, ours);
    }
    fake_terminate(&cell, &cell);
}

static void
an_object_that_is_not_there_fails(void **state)
{
    PVOID cell = NULL;
    block b;

    fake_single(&b, &cell, &cell);
    fake.provider.QueryOffloadHandler(fake.adapter_context, &b);
    assert_null(fake_below(&b));
    b.Status = NDIS_STATUS_SUCCESS;
    fake.client.QueryOffloadCompleteHandler(fake.binding_context, (PVOID)&b);
    assert_int_equal(b.Status, NDIS_STATUS_FAILURE);
    assert_null(cell);
}

/* Each allocation of an initiate in turn fails: nothing goes down, the answer comes later, nothing
 * is left behind. */
static void
without_memory_an_initiate_fails_later(void **state)
{
    PVOID cell = NULL;
    ULONG blocks;

    fake_offload(&cell, &cell, (PVOID)0xB0);
    blocks = fake.blocks;
    for (int at = 0; at < 3; at++) {
        struct tree tree;

        tree_init(&tree, cell);
        fake_forget();
        fake.fail_at = at;
        fake.provider.InitiateOffloadHandler(fake.adapter_context, &tree.neighbor);
        assert_int_equal(fake.down.count, 0);
        assert_int_equal(fake.up.count, 0);
        fake_run_work();
        assert_string_equal(fake.up.name, "initiate");
        assert_ptr_equal(fake.up.data, &tree.neighbor);
        assert_restored(&tree);
        assert_int_equal(tree.neighbor.Status, NDIS_STATUS_SUCCESS);
        assert_int_equal(tree.path.Status, NDIS_STATUS_FAILURE);
        assert_int_equal(tree.tcp[0].Status, NDIS_STATUS_RESOURCES);
        assert_int_equal(tree.tcp[1].Status, NDIS_STATUS_RESOURCES);
        assert_null(tree.cells[1]);
        assert_null(tree.cells[2]);
        assert_int_equal(fake.blocks, blocks);
    }
    fake_terminate(&cell, &cell);
}

static void
without_memory_two_operations_wait_together(void **state)
{
    PVOID cell = NULL, other = NULL;
    block query, initiate;

    fake_offload(&cell, &cell, (PVOID)0xB0);
    fake_single(&query, &cell, &cell);
    fake_single(&initiate, &other, &other);
    fake_forget();
    fake.fail_at = 0;
    fake.provider.QueryOffloadHandler(fake.adapter_context, &query);
    fake.fail_at = fake.allocations;
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &initiate);
    fake_run_work();
    assert_int_equal(fake.up.count, 2);
    assert_int_equal(query.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(initiate.Status, NDIS_STATUS_RESOURCES);
    fake_terminate(&cell, &cell);
}

/* A failed terminate would lose what is offloaded below. */
static void
without_memory_a_terminate_tries_again(void **state)
{
    PVOID cell = NULL;

    fake_offload(&cell, &cell, (PVOID)0xB0);
    fake_forget();
    fake.fail_at = 0;
    fake_terminate(&cell, &cell);
    assert_int_equal(fake.down.count, 1);
    assert_int_equal(fake.up.count, 1);
}

static void
trees_have_no_limit(void **state)
{
    enum { WIDTH = 20000, DEPTH = 5000 };
    block *blocks = calloc(WIDTH + DEPTH, sizeof(*blocks));
    ULONG before = fake.blocks;

    for (size_t i = 0; i + 1 < WIDTH; i++)
        blocks[i].NextBlock = &blocks[i + 1];
    blocks[WIDTH / 2].DependentBlockList = &blocks[WIDTH];
    for (size_t i = WIDTH; i + 1 < WIDTH + DEPTH; i++)
        blocks[i].DependentBlockList = &blocks[i + 1];
    for (size_t i = 0; i < WIDTH + DEPTH; i++)
        blocks[i].SourceHandle = &blocks[i];
    fake.provider.InitiateOffloadHandler(fake.adapter_context, blocks);
    assert_ptr_equal(blocks[WIDTH + DEPTH - 1].SourceHandle, FAKE_LOWER);
    fake.client.InitiateOffloadCompleteHandler(fake.binding_context, (PVOID)blocks);
    for (size_t i = 0; i < WIDTH + DEPTH; i++)
        assert_ptr_equal(blocks[i].SourceHandle, &blocks[i]);
    assert_int_equal(fake.blocks, before);
    free(blocks);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, stand, leave)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_tree_goes_down_with_our_handles),
        TEST(every_operation_has_its_own_way_up),
        TEST(an_object_that_is_not_there_fails),
        TEST(without_memory_an_initiate_fails_later),
        TEST(without_memory_two_operations_wait_together),
        TEST(without_memory_a_terminate_tries_again),
        TEST(trees_have_no_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
