/* Pools, contexts, and the data of buffers. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <stdlib.h>

static NDIS_HANDLE
pool_with(struct stage *stage, USHORT context, ULONG data, BOOLEAN buffer)
{
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {.fAllocateNetBuffer = buffer,
                                                  .ContextSize = context,
                                                  .DataSize = data,
                                                  .PoolTag = 0x11223344};

    return NdisAllocateNetBufferListPool(stage->target.adapter, &parameters);
}

static void
elements_are_recycled_clean(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = pool_with(stage, 0, 0, TRUE);
    NET_BUFFER_LIST *nbl = NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, NULL, 0, 0), *again;

    nbl->NetBufferListInfo[TcpReceiveNoPush] = stage;
    nbl->NdisReserved[0] = stage;
    nbl->Next = nbl;
    nbl->FirstNetBuffer->MiniportReserved[3] = stage;
    NdisFreeNetBufferList(nbl);
    again = NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, NULL, 0, 0);
    assert_ptr_equal(again, nbl);
    assert_null(nbl->NetBufferListInfo[TcpReceiveNoPush]);
    assert_null(nbl->NdisReserved[0]);
    assert_null(nbl->Next);
    assert_null(nbl->FirstNetBuffer->MiniportReserved[3]);
    assert_ptr_equal(nbl->NdisPoolHandle, pool);
    assert_int_equal((uintptr_t)nbl % 16, 0);
    NdisFreeNetBufferList(nbl);
    NdisFreeNetBufferList(nbl);
    assert_true(stage_logged(stage, "freed before"));
    NdisFreeNetBufferListPool(pool);
    assert_null(NdisAllocateNetBufferList(pool, 0, 0));
    NdisFreeNetBufferListPool(pool);
    assert_true(stage_logged(stage, "was closed before"));
}

static void
leaks_are_reported(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = pool_with(stage, 16, 0, TRUE), left = pool_with(stage, 0, 0, FALSE);
    NET_BUFFER_POOL_PARAMETERS parameters = {.DataSize = 0};
    NDIS_HANDLE buffers = NdisAllocateNetBufferPool(NULL, &parameters);
    NET_BUFFER_LIST *nbl = NdisAllocateNetBufferList(pool, 0, 0);
    NET_BUFFER *nb = NdisAllocateNetBuffer(buffers, NULL, 0, 0);

    assert_non_null(left);
    NdisFreeNetBufferListPool(pool);
    assert_true(stage_logged(stage, "pool 0x11223344 freed with 1 lists outside"));
    NdisFreeNetBufferPool(buffers);
    assert_true(stage_logged(stage, "freed with 1 buffers outside"));
    nbl->Status = 1; /* still memory of its own */
    NdisFreeNetBufferList(nbl);
    NdisFreeNetBuffer(nb);
    house_destroy(stage->house);
    assert_true(stage_logged(stage, "a pool was never freed"));
    assert_int_equal(house_create(stage->loop, &stage->house), 0);
}

static void
pools_that_cannot_be(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = pool_with(stage, 0, 100, TRUE);

    assert_null(pool_with(stage, 0, 100, FALSE));
    assert_null(
        NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, NULL, 0, 0)); /* it has data of its own */
    assert_null(NdisAllocateNetBufferList(NULL, 0, 0));
    assert_null(NdisAllocateNetBuffer(pool, NULL, 0, 0));
    NdisFreeNetBufferListPool(pool);
}

static void
contexts_are_a_stack(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = pool_with(stage, 40, 0, TRUE);
    NET_BUFFER_LIST *nbl = NdisAllocateNetBufferList(pool, 8, 0);
    UCHAR *first, *second, *third;

    first = NET_BUFFER_LIST_CONTEXT_DATA_START(nbl);
    assert_int_equal((uintptr_t)first % 16, 0);
    memset(first, 1, 8);
    assert_int_equal(NdisAllocateNetBufferListContext(nbl, 32, 0, 0), 0);
    second = NET_BUFFER_LIST_CONTEXT_DATA_START(nbl);
    assert_ptr_equal(second, first - 32); /* room that the pool brought along */
    memset(second, 2, 32);
    assert_int_equal(NdisAllocateNetBufferListContext(nbl, 16, 16, 0), 0);
    third = NET_BUFFER_LIST_CONTEXT_DATA_START(nbl);
    memset(third, 3, 16);
    assert_int_equal(NdisAllocateNetBufferListContext(nbl, 16, 0, 0), 0); /* into the back-fill */
    assert_ptr_equal(NET_BUFFER_LIST_CONTEXT_DATA_START(nbl), third - 16);
    NdisFreeNetBufferListContext(nbl, 16);
    assert_ptr_equal(NET_BUFFER_LIST_CONTEXT_DATA_START(nbl), third);
    NdisFreeNetBufferListContext(nbl, 16);
    assert_ptr_equal(NET_BUFFER_LIST_CONTEXT_DATA_START(nbl), second);
    assert_int_equal(second[31], 2);
    NdisFreeNetBufferListContext(nbl, 32);
    assert_int_equal(*(UCHAR *)NET_BUFFER_LIST_CONTEXT_DATA_START(nbl), 1);
    NdisFreeNetBufferListContext(nbl, 200);
    assert_true(stage_logged(stage, "200 bytes were not allocated last"));
    assert_int_equal(NdisAllocateNetBufferListContext(nbl, 65535, 65535, 0),
                     NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(NdisAllocateNetBufferListContext(nbl, 100, 0, 0), 0);
    NdisFreeNetBufferList(nbl); /* with a context still on it */
    NdisFreeNetBufferListPool(pool);
}

/* ---- data ---- */

struct chain {
    UCHAR bytes[3][10];
    MDL *mdl[3];
    NET_BUFFER_LIST *nbl;
    NET_BUFFER *nb;
    NDIS_HANDLE pool;
};

/* Three MDLs of 10, 0 and 10 bytes: 0, 1, 2 … */
static void
chain_init(struct stage *stage, struct chain *chain, ULONG offset, ULONG length)
{
    static const ULONG sizes[] = {10, 0, 10};

    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 10; j++)
            chain->bytes[i][j] = (UCHAR)(i / 2 * 10 + j);
        chain->mdl[i] = NdisAllocateMdl(stage->target.adapter, chain->bytes[i], sizes[i]);
        if (i)
            chain->mdl[i - 1]->Next = chain->mdl[i];
    }
    chain->pool = test_pool(stage);
    chain->nbl = NdisAllocateNetBufferAndNetBufferList(chain->pool, 0, 0, chain->mdl[0], offset,
                                                       length);
    chain->nb = chain->nbl->FirstNetBuffer;
}

static void
chain_fini(struct chain *chain)
{
    for (int i = 0; i < 3; i++)
        NdisFreeMdl(chain->mdl[i]);
    NdisFreeNetBufferList(chain->nbl);
    NdisFreeNetBufferListPool(chain->pool);
}

static void
advancing_and_retreating(void **state)
{
    struct stage *stage = *state;
    struct chain chain;
    NET_BUFFER *nb;

    chain_init(stage, &chain, 2, 18);
    nb = chain.nb;
    assert_ptr_equal(nb->CurrentMdl, chain.mdl[0]);
    assert_int_equal(nb->CurrentMdlOffset, 2);
    NdisAdvanceNetBufferDataStart(nb, 8, FALSE,
                                  NULL); /* exactly to the end of the first, over the empty one */
    assert_ptr_equal(nb->CurrentMdl, chain.mdl[2]);
    assert_int_equal(nb->CurrentMdlOffset, 0);
    assert_int_equal(nb->DataLength, 10);
    assert_int_equal(nb->DataOffset, 10);
    NdisAdvanceNetBufferDataStart(nb, 10, FALSE, NULL);
    assert_int_equal(nb->DataLength, 0);
    assert_ptr_equal(nb->CurrentMdl, chain.mdl[2]);
    assert_int_equal(nb->CurrentMdlOffset, 10);
    NdisAdvanceNetBufferDataStart(nb, 1, FALSE, NULL);
    assert_true(stage_logged(stage, "by 1 of 0 bytes"));
    assert_int_equal(nb->DataOffset, 20);
    assert_int_equal(NdisRetreatNetBufferDataStart(nb, 15, 0, NULL), 0);
    assert_ptr_equal(nb->CurrentMdl, chain.mdl[0]);
    assert_int_equal(nb->CurrentMdlOffset, 5);
    assert_int_equal(nb->DataLength, 15);
    /* Not enough room: a new MDL in front, and away again. */
    assert_int_equal(NdisRetreatNetBufferDataStart(nb, 9, 3, NULL), 0);
    assert_ptr_not_equal(nb->MdlChain, chain.mdl[0]);
    assert_int_equal(nb->MdlChain->ByteCount, 7);
    assert_int_equal(nb->DataOffset, 3);
    assert_int_equal(nb->DataLength, 24);
    NdisAdvanceNetBufferDataStart(nb, 9, TRUE, NULL);
    assert_ptr_equal(nb->MdlChain, chain.mdl[0]);
    assert_int_equal(nb->DataOffset, 5);
    assert_int_equal(nb->CurrentMdlOffset, 5);
    NdisAdvanceNetBufferDataStart(nb, 15, TRUE, NULL); /* not NDIS's MDLs: they stay */
    assert_ptr_equal(nb->MdlChain, chain.mdl[0]);
    chain_fini(&chain);
}

static PMDL
no_mdl(PULONG BufferSize)
{
    return NULL;
}

static void
retreating_without_memory(void **state)
{
    struct stage *stage = *state;
    struct chain chain;

    chain_init(stage, &chain, 2, 18);
    assert_int_equal(NdisRetreatNetBufferDataStart(chain.nb, 9, 0, no_mdl), NDIS_STATUS_RESOURCES);
    assert_int_equal(NdisRetreatNetBufferDataStart(chain.nb, 9, UINT32_MAX, no_mdl),
                     NDIS_STATUS_FAILURE);
    assert_int_equal(NdisRetreatNetBufferDataStart(chain.nb, UINT32_MAX, 0, no_mdl),
                     NDIS_STATUS_FAILURE);
    assert_int_equal(chain.nb->DataOffset, 2);
    assert_int_equal(chain.nb->DataLength, 18);
    chain_fini(&chain);
}

static void
data_of_the_pool(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = pool_with(stage, 0, 64, TRUE);
    NET_BUFFER_LIST *nbl = NdisAllocateNetBufferList(pool, 0, 0);

    assert_int_equal(nbl->FirstNetBuffer->DataLength, 0);
    assert_int_equal(NdisRetreatNetBufferDataStart(nbl->FirstNetBuffer, 64, 0, no_mdl), 0);
    memset(NdisGetDataBuffer(nbl->FirstNetBuffer, 64, NULL, 1, 0), 0xff, 64);
    NdisFreeNetBufferList(nbl);
    NdisFreeNetBufferListPool(pool);
}

static void
getting_data(void **state)
{
    struct stage *stage = *state;
    struct chain chain;
    UCHAR storage[20];
    UCHAR *data;

    chain_init(stage, &chain, 4, 16);
    assert_ptr_equal(NdisGetDataBuffer(chain.nb, 6, storage, 1, 0), chain.bytes[0] + 4);
    assert_null(NdisGetDataBuffer(chain.nb, 7, NULL, 1, 0));
    data = NdisGetDataBuffer(chain.nb, 16, storage, 1, 0);
    assert_ptr_equal(data, storage);
    for (int i = 0; i < 16; i++)
        assert_int_equal(data[i], 4 + i);
    assert_null(NdisGetDataBuffer(chain.nb, 17, storage, 1, 0));
    assert_null(NdisGetDataBuffer(chain.nb, 0, storage, 1, 0));
    /* Contiguous, but not where it is wanted. */
    assert_ptr_equal(NdisGetDataBuffer(chain.nb, 2, storage, 4096,
                                       (ULONG)((uintptr_t)(chain.bytes[0] + 5) % 4096)),
                     storage);
    chain_fini(&chain);
}

static void
copying(void **state)
{
    struct stage *stage = *state;
    struct chain from, to;
    ULONG copied;

    chain_init(stage, &from, 1, 19);
    chain_init(stage, &to, 5, 15);
    memset(to.bytes, 0, sizeof(to.bytes));
    assert_int_equal(NdisCopyFromNetBufferToNetBuffer(to.nb, 2, 12, from.nb, 3, &copied), 0);
    assert_int_equal(copied, 12);
    for (int i = 0; i < 12; i++)
        assert_int_equal(i < 3 ? to.bytes[0][7 + i] : to.bytes[2][i - 3], 4 + i);
    assert_int_equal(to.bytes[0][6], 0);
    assert_int_equal(to.bytes[2][9], 0);
    assert_int_equal(NdisCopyFromNetBufferToNetBuffer(to.nb, 0, 100, from.nb, 15, &copied), 0);
    assert_int_equal(copied, 4); /* no more than there is */
    assert_int_equal(NdisCopyFromNetBufferToNetBuffer(to.nb, 14, 100, from.nb, 0, &copied), 0);
    assert_int_equal(copied, 1); /* and no more than there is room for */
    assert_int_equal(NdisCopyFromNetBufferToNetBuffer(to.nb, 16, 1, from.nb, 0, &copied),
                     NDIS_STATUS_FAILURE);
    assert_int_equal(NdisCopyFromNetBufferToNetBuffer(to.nb, 0, 1, from.nb, 20, &copied),
                     NDIS_STATUS_FAILURE);
    assert_int_equal(copied, 0);
    chain_fini(&from);
    chain_fini(&to);
}

static void
information_that_goes_along(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *from = test_nbls(pool, 1), *to = test_nbls(pool, 1);

    for (int i = 0; i < MaxNetBufferListInfo; i++)
        from->NetBufferListInfo[i] = (PVOID)(uintptr_t)(i + 1);
    NdisCopyReceiveNetBufferListInfo(to, from);
    assert_ptr_equal(to->NetBufferListInfo[NetBufferListHashValue], (PVOID)9);
    assert_null(to->NetBufferListInfo[TcpReceiveBytesTransferred]);
    assert_null(to->NetBufferListInfo[18]);
    NdisCopySendNetBufferListInfo(to, from);
    assert_ptr_equal(to->NetBufferListInfo[NetBufferListCancelId], (PVOID)6);
    assert_null(to->NetBufferListInfo[18]);
    test_free_nbls(from);
    test_free_nbls(to);
    NdisFreeNetBufferListPool(pool);
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOUND(elements_are_recycled_clean),
        BOUND(leaks_are_reported),
        BOUND(pools_that_cannot_be),
        BOUND(contexts_are_a_stack),
        BOUND(advancing_and_retreating),
        BOUND(retreating_without_memory),
        BOUND(data_of_the_pool),
        BOUND(getting_data),
        BOUND(copying),
        BOUND(information_that_goes_along),
    };

    return cmocka_run_group_tests_name("ndis/pool", tests, NULL, NULL);
}
