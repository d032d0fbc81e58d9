/* Clones, and what is done to all buffers of a list at once. */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <stdlib.h>

/* A list of two buffers over 8 + 8 bytes in two MDLs each: 0, 1, 2 … and 100, 101 … */
struct original {
    NDIS_HANDLE lists, buffers;
    UCHAR bytes[2][16];
    MDL *mdl[2][2];
    NET_BUFFER_LIST *nbl;
    NET_BUFFER *nb[2];
};

static MDL *
build_chain(struct original *original, int which)
{
    for (int i = 0; i < 16; i++)
        original->bytes[which][i] = (UCHAR)(100 * which + i);
    for (int i = 0; i < 2; i++)
        original->mdl[which][i] = NdisAllocateMdl(NULL, original->bytes[which] + 8 * i, 8);
    original->mdl[which][0]->Next = original->mdl[which][1];
    return original->mdl[which][0];
}

static void
original_init(struct stage *stage, struct original *original, ULONG offset, ULONG length)
{
    NET_BUFFER_POOL_PARAMETERS parameters = {.PoolTag = 0x62756666};

    original->lists = test_pool(stage);
    original->buffers = NdisAllocateNetBufferPool(stage->host.protocol, &parameters);
    original->nbl = NdisAllocateNetBufferAndNetBufferList(original->lists, 0, 0,
                                                          build_chain(original, 0), offset, length);
    original->nb[0] = original->nbl->FirstNetBuffer;
    original->nb[1] = NdisAllocateNetBuffer(original->buffers, build_chain(original, 1), offset,
                                            length);
    original->nb[0]->Next = original->nb[1];
}

/* With every buffer as it was when it was made. */
static void
original_fini(struct original *original, ULONG offset, ULONG length)
{
    for (int i = 0; i < 2; i++) {
        assert_ptr_equal(original->nb[i]->MdlChain, original->mdl[i][0]);
        assert_int_equal(original->nb[i]->DataOffset, offset);
        assert_int_equal(original->nb[i]->DataLength, length);
        for (int j = 0; j < 2; j++)
            NdisFreeMdl(original->mdl[i][j]);
    }
    NdisFreeNetBuffer(original->nb[1]);
    NdisFreeNetBufferList(original->nbl);
    NdisFreeNetBufferPool(original->buffers);
    NdisFreeNetBufferListPool(original->lists);
}

static void
expect_data(NET_BUFFER *nb, UCHAR first, ULONG length)
{
    UCHAR storage[16];
    const UCHAR *data = NdisGetDataBuffer(nb, length, storage, 1, 0);

    assert_int_equal(nb->DataLength, length);
    assert_non_null(data);
    for (ULONG i = 0; i < length; i++)
        assert_int_equal(data[i], first + i);
}

static void
clones_describe_the_same_data(void **state)
{
    struct stage *stage = *state;
    struct original original;
    NET_BUFFER_LIST *clone;

    original_init(stage, &original, 5, 9);
    original.nbl->NetBufferListInfo[Ieee8021QNetBufferListInfo] = stage;
    clone = NdisAllocateCloneNetBufferList(original.nbl, original.lists, original.buffers, 0);
    assert_ptr_not_equal(clone, original.nbl);
    assert_ptr_equal(clone->NdisPoolHandle, original.lists);
    assert_null(clone->NetBufferListInfo[Ieee8021QNetBufferListInfo]);
    assert_null(clone->FirstNetBuffer->Next->Next);
    expect_data(clone->FirstNetBuffer, 5, 9);
    expect_data(clone->FirstNetBuffer->Next, 105, 9);
    /* Its own MDLs, over the same bytes, and not one byte more. */
    assert_int_equal(clone->FirstNetBuffer->DataOffset, 0);
    assert_int_equal(clone->FirstNetBuffer->MdlChain->ByteCount, 3);
    assert_ptr_equal(MmGetMdlVirtualAddress(clone->FirstNetBuffer->MdlChain),
                     original.bytes[0] + 5);
    assert_int_equal(clone->FirstNetBuffer->MdlChain->Next->ByteCount, 6);
    assert_true(clone->FirstNetBuffer->MdlChain->MdlFlags & MDL_PARTIAL);
    NdisAdvanceNetBufferDataStart(clone->FirstNetBuffer, 4, FALSE, NULL);
    NdisFreeCloneNetBufferList(clone, 0);
    assert_string_equal(stage->log, "");
    original_fini(&original, 5, 9);
    assert_string_equal(stage->log, ""); /* everything is back in its pool */
}

static void
clones_with_the_original_mdls(void **state)
{
    struct stage *stage = *state;
    struct original original;
    NET_BUFFER_LIST *clone;

    original_init(stage, &original, 5, 9);
    clone = NdisAllocateCloneNetBufferList(original.nbl, NULL, NULL,
                                           NDIS_CLONE_FLAGS_USE_ORIGINAL_MDLS);
    assert_ptr_equal(clone->FirstNetBuffer->MdlChain, original.mdl[0][0]);
    expect_data(clone->FirstNetBuffer, 5, 9);
    expect_data(clone->FirstNetBuffer->Next, 105, 9);
    NdisRetreatNetBufferDataStart(clone->FirstNetBuffer, 2, 0, NULL); /* into unused space */
    expect_data(clone->FirstNetBuffer, 3, 11);
    /* Freed with the wrong flags, the original's MDLs are recognised. */
    NdisFreeCloneNetBufferList(clone, 0);
    assert_true(stage_logged(stage, "is not the clone's, its MDLs are left alone"));
    clone = NdisAllocateCloneNetBufferList(original.nbl, NULL, NULL,
                                           NDIS_CLONE_FLAGS_USE_ORIGINAL_MDLS);
    stage->log[0] = '\0';
    NdisFreeCloneNetBufferList(clone, NDIS_CLONE_FLAGS_USE_ORIGINAL_MDLS);
    assert_string_equal(stage->log, "");
    original_fini(&original, 5, 9);
}

static void
clones_that_cannot_be(void **state)
{
    struct stage *stage = *state;
    struct original original;
    NET_BUFFER_LIST *empty, *clone;

    original_init(stage, &original, 0, 16);
    assert_null(NdisAllocateCloneNetBufferList(NULL, NULL, NULL, 0));
    assert_null(NdisAllocateCloneNetBufferList(original.nbl, original.buffers, NULL, 0));
    /* The second buffer has nowhere to come from: the first and its MDLs go again. */
    assert_null(NdisAllocateCloneNetBufferList(original.nbl, original.lists, original.lists, 0));
    assert_true(stage_logged(stage, "is not a NET_BUFFER pool handle"));
    /* No buffers, no data. */
    empty = NdisAllocateNetBufferList(original.lists, 0, 0);
    empty->FirstNetBuffer = NULL;
    clone = NdisAllocateCloneNetBufferList(empty, NULL, NULL, 0);
    assert_null(clone->FirstNetBuffer);
    NdisFreeCloneNetBufferList(clone, 0);
    original.nb[0]->stDataLength = 0;
    clone = NdisAllocateCloneNetBufferList(original.nbl, NULL, NULL, 0);
    assert_null(clone->FirstNetBuffer->MdlChain);
    assert_int_equal(clone->FirstNetBuffer->DataLength, 0);
    expect_data(clone->FirstNetBuffer->Next, 100, 16);
    NdisFreeCloneNetBufferList(clone, 0);
    original.nb[0]->stDataLength = 16;
    NdisFreeNetBufferList(empty);
    original_fini(&original, 0, 16);
}

/* ---- all or none ---- */

static unsigned mdls_left, mdls_out;

static PMDL
some_mdls(PULONG BufferSize)
{
    if (!mdls_left)
        return NULL;
    mdls_left--;
    mdls_out++;
    *BufferSize += 5; /* more than was asked for */
    return NdisAllocateMdl(NULL, malloc(*BufferSize), *BufferSize);
}

static VOID
take_mdl(PMDL Mdl)
{
    mdls_out--;
    free(MmGetMdlVirtualAddress(Mdl));
    NdisFreeMdl(Mdl);
}

static void
the_whole_list_or_nothing(void **state)
{
    struct stage *stage = *state;
    struct original original;

    original_init(stage, &original, 8, 8); /* the first MDL is not used */
    assert_int_equal(NdisRetreatNetBufferListDataStart(original.nbl, 3, 0, some_mdls, take_mdl),
                     NDIS_STATUS_SUCCESS);
    expect_data(original.nb[0], 5, 11);
    expect_data(original.nb[1], 105, 11);
    NdisAdvanceNetBufferListDataStart(original.nbl, 3, FALSE, NULL);
    mdls_left = 2;
    assert_int_equal(NdisRetreatNetBufferListDataStart(original.nbl, 10, 1, some_mdls, take_mdl),
                     NDIS_STATUS_SUCCESS);
    assert_int_equal(mdls_out, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(original.nb[i]->DataLength, 18);
        assert_int_equal(original.nb[i]->DataOffset, 6); /* 1 + 5 */
    }
    NdisAdvanceNetBufferDataStart(original.nb[0], 2, TRUE, take_mdl);
    NdisAdvanceNetBufferDataStart(original.nb[1], 2, TRUE, take_mdl);
    assert_int_equal(mdls_out, 0);
    NdisAdvanceNetBufferListDataStart(original.nbl, 8, FALSE, NULL);
    /* One MDL, two buffers: nothing has changed, and nobody's MDL is gone. */
    mdls_left = 1;
    assert_int_equal(NdisRetreatNetBufferListDataStart(original.nbl, 10, 0, some_mdls, take_mdl),
                     NDIS_STATUS_RESOURCES);
    assert_int_equal(mdls_out, 0);
    mdls_left = 0;
    original.nb[1]->DataOffset = 2;
    assert_int_equal(NdisRetreatNetBufferListDataStart(original.nbl, 4, 0, some_mdls, take_mdl),
                     NDIS_STATUS_RESOURCES);
    original.nb[1]->DataOffset = 8;
    NdisAdjustNetBufferCurrentMdl(original.nb[1]);
    /* NDIS's own MDLs go back the same way. */
    assert_int_equal(NdisRetreatNetBufferListDataStart(original.nbl, 10, 0, NULL, NULL), 0);
    NdisAdvanceNetBufferListDataStart(original.nbl, 10, TRUE, NULL);
    original.nb[1]->stDataLength = UINT32_MAX - 5;
    assert_int_equal(NdisRetreatNetBufferListDataStart(original.nbl, 10, 0, NULL, NULL),
                     NDIS_STATUS_FAILURE);
    original.nb[1]->stDataLength = 8;
    NdisAdvanceNetBufferListDataStart(original.nbl, 9, FALSE, NULL);
    assert_true(stage_logged(stage, "by 9 of 8 bytes"));
    for (int i = 0; i < 2; i++)
        NdisRetreatNetBufferDataStart(original.nb[i], 8, 0, NULL);
    original_fini(&original, 8, 8);
}

static void
buffers_with_data(void **state)
{
    struct stage *stage = *state;
    NET_BUFFER_POOL_PARAMETERS parameters = {.PoolTag = 0x64617461, .DataSize = 100};
    NDIS_HANDLE pool = NdisAllocateNetBufferPool(NULL, &parameters), plain;
    NET_BUFFER *nb = NdisAllocateNetBufferMdlAndData(pool), *again;

    assert_int_equal(nb->DataLength, 0);
    assert_int_equal(nb->MdlChain->ByteCount, 100);
    assert_int_equal(NdisRetreatNetBufferDataStart(nb, 100, 0, some_mdls), 0);
    memset(NdisGetDataBuffer(nb, 100, NULL, 1, 0), 0xff, 100);
    NdisFreeNetBuffer(nb);
    again = NdisAllocateNetBufferMdlAndData(pool);
    assert_ptr_equal(again, nb);
    assert_int_equal(nb->DataLength, 0);
    assert_int_equal(nb->DataOffset, 100);
    assert_null(NdisAllocateNetBuffer(pool, NULL, 0, 0));
    assert_true(stage_logged(stage, "not from a pool that has data"));
    parameters.DataSize = 0;
    plain = NdisAllocateNetBufferPool(NULL, &parameters);
    assert_null(NdisAllocateNetBufferMdlAndData(plain));
    assert_true(stage_logged(stage, "not from a pool without data"));
    assert_null(NdisAllocateNetBufferMdlAndData(NULL));
    NdisFreeNetBufferPool(plain);
    NdisFreeNetBufferPool(pool);
    assert_true(stage_logged(stage, "pool 0x64617461 freed with 1 buffers outside"));
    memset(MmGetMdlVirtualAddress(nb->MdlChain), 0, 100); /* still memory of its own */
    NdisFreeNetBuffer(nb);
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOUND(clones_describe_the_same_data),
        BOUND(clones_with_the_original_mdls),
        BOUND(clones_that_cannot_be),
        BOUND(the_whole_list_or_nothing),
        BOUND(buffers_with_data),
    };

    return cmocka_run_group_tests_name("ndis/clone", tests, NULL, NULL);
}
