/* Rows of the API table: lists, buffers, MDLs and their pools. */
#include "ndis/objects.h"
#include "ndis/test_api.h"
#include "ndis/test_fakes.h"

#include <stdlib.h>

static const NET_BUFFER_POOL_PARAMETERS plain = {.PoolTag = 0x706c6169};
static const NET_BUFFER_POOL_PARAMETERS with_data = {.PoolTag = 0x64617461, .DataSize = 64};

/* A pool, a list with one buffer, ten bytes of which eight are data. */
struct set {
    NDIS_HANDLE pool;
    MDL *mdl;
    NET_BUFFER_LIST *nbl;
    NET_BUFFER *nb;
    UCHAR bytes[10];
};

static void
set_init(struct stage *stage, struct set *set)
{
    set->pool = test_pool(stage);
    for (size_t i = 0; i < sizeof(set->bytes); i++)
        set->bytes[i] = (UCHAR)i;
    set->mdl = NdisAllocateMdl(NULL, set->bytes, sizeof(set->bytes));
    set->nbl = NdisAllocateNetBufferAndNetBufferList(set->pool, 0, 0, set->mdl, 2, 8);
    assert_non_null(set->nbl);
    set->nb = NET_BUFFER_LIST_FIRST_NB(set->nbl);
}

static void
set_fini(struct set *set)
{
    NdisFreeNetBufferList(set->nbl);
    NdisFreeMdl(set->mdl);
    NdisFreeNetBufferListPool(set->pool);
}

static void
lists_and_buffers(struct stage *stage)
{
    struct set set;

    set_init(stage, &set);
    assert_int_equal(NET_BUFFER_DATA_LENGTH(set.nb), 8);
    assert_int_equal(NET_BUFFER_CURRENT_MDL_OFFSET(set.nb), 2);
    set_fini(&set);
}

static void
list_alone(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = NdisAllocateNetBufferList(pool, 16, 0);

    assert_int_equal(NET_BUFFER_LIST_CONTEXT_DATA_SIZE(nbl), 16);
    NdisFreeNetBufferList(nbl);
    NdisFreeNetBufferListPool(pool);
}

static void
no_list(struct stage *stage)
{
    assert_null(NdisAllocateNetBufferList(NULL, 0, 0));
    assert_null(NdisAllocateNetBufferAndNetBufferList(NULL, 0, 0, NULL, 0, 0));
}

static void
no_list_pool(struct stage *stage)
{
    NET_BUFFER_LIST_POOL_PARAMETERS parameters = {.DataSize = 100}; /* data without a buffer */

    assert_null(NdisAllocateNetBufferListPool(NULL, &parameters));
}

static void
list_pool_misused(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = NdisAllocateNetBufferList(pool, 0, 0);

    NdisFreeNetBufferListPool(pool);
    assert_true(stage_logged(stage, "with 1 lists outside (V-190)"));
    NdisFreeNetBufferList(nbl);
    NdisFreeNetBufferListPool(pool);
    assert_true(stage_logged(stage, "was closed before"));
}

static void
list_freed_twice(struct stage *stage)
{
    NDIS_HANDLE pool = test_pool(stage);
    NET_BUFFER_LIST *nbl = NdisAllocateNetBufferList(pool, 0, 0);

    NdisFreeNetBufferList(nbl);
    NdisFreeNetBufferList(nbl);
    assert_true(stage_logged(stage, "freed before"));
    NdisFreeNetBufferListPool(pool);
}

static void
buffer_alone(struct stage *stage)
{
    NDIS_HANDLE pool = NdisAllocateNetBufferPool(stage->host.protocol, &plain);
    NET_BUFFER *nb = NdisAllocateNetBuffer(pool, NULL, 0, 0);

    assert_non_null(nb);
    NdisFreeNetBuffer(nb);
    NdisFreeNetBufferPool(pool);
}

static void
no_buffer(struct stage *stage)
{
    NDIS_HANDLE pool = NdisAllocateNetBufferPool(NULL, &with_data);

    assert_null(NdisAllocateNetBuffer(pool, NULL, 0, 0));
    assert_null(NdisAllocateNetBuffer(NULL, NULL, 0, 0));
    NdisFreeNetBufferPool(pool);
}

static void
no_buffer_pool(struct stage *stage)
{
    struct house *house = ndis_house_current();

    ndis_house_leave(house); /* nothing is there that it could belong to */
    assert_null(NdisAllocateNetBufferPool(NULL, &plain));
    ndis_house_enter(house);
}

static void
buffer_freed_twice(struct stage *stage)
{
    NDIS_HANDLE pool = NdisAllocateNetBufferPool(NULL, &plain);
    NET_BUFFER *nb = NdisAllocateNetBuffer(pool, NULL, 0, 0);

    NdisFreeNetBuffer(nb);
    NdisFreeNetBuffer(nb);
    assert_true(stage_logged(stage, "freed before"));
    NdisFreeNetBufferPool(pool);
}

static void
buffer_pool_misused(struct stage *stage)
{
    NDIS_HANDLE pool = NdisAllocateNetBufferPool(NULL, &plain);
    NET_BUFFER *nb = NdisAllocateNetBuffer(pool, NULL, 0, 0);

    NdisFreeNetBufferPool(pool);
    assert_true(stage_logged(stage, "with 1 buffers outside (V-190)"));
    NdisFreeNetBuffer(nb);
    NdisFreeNetBufferPool(NULL);
}

static void
buffer_with_data(struct stage *stage)
{
    NDIS_HANDLE pool = NdisAllocateNetBufferPool(NULL, &with_data);
    NET_BUFFER *nb = NdisAllocateNetBufferMdlAndData(pool);

    assert_int_equal(MmGetMdlByteCount(NET_BUFFER_FIRST_MDL(nb)), 64);
    NdisFreeNetBuffer(nb);
    NdisFreeNetBufferPool(pool);
}

static void
no_buffer_with_data(struct stage *stage)
{
    NDIS_HANDLE pool = NdisAllocateNetBufferPool(NULL, &plain);

    assert_null(NdisAllocateNetBufferMdlAndData(pool));
    NdisFreeNetBufferPool(pool);
}

/* ---- clones and contexts ---- */

static void
cloned(struct stage *stage)
{
    struct set set;
    NET_BUFFER_LIST *clone;

    set_init(stage, &set);
    clone = NdisAllocateCloneNetBufferList(set.nbl, NULL, NULL, 0);
    assert_int_equal(NET_BUFFER_DATA_LENGTH(NET_BUFFER_LIST_FIRST_NB(clone)), 8);
    NdisFreeCloneNetBufferList(clone, 0);
    set_fini(&set);
}

static void
not_cloned(struct stage *stage)
{
    struct set set;

    set_init(stage, &set);
    assert_null(NdisAllocateCloneNetBufferList(set.nbl, stage->host.protocol, NULL, 0));
    assert_true(stage_logged(stage, "is not a NET_BUFFER_LIST pool handle"));
    set_fini(&set);
}

static void
clone_freed_otherwise(struct stage *stage)
{
    struct set set;

    set_init(stage, &set);
    NdisFreeCloneNetBufferList(
        NdisAllocateCloneNetBufferList(set.nbl, NULL, NULL, NDIS_CLONE_FLAGS_USE_ORIGINAL_MDLS), 0);
    assert_true(stage_logged(stage, "is not the clone's, its MDLs are left alone"));
    set_fini(&set);
}

static void
context_comes_and_goes(struct stage *stage)
{
    struct set set;

    set_init(stage, &set);
    assert_int_equal(NdisAllocateNetBufferListContext(set.nbl, 32, 16, 0), NDIS_STATUS_SUCCESS);
    memset(NET_BUFFER_LIST_CONTEXT_DATA_START(set.nbl), 0xff, 32);
    NdisFreeNetBufferListContext(set.nbl, 32);
    assert_null(set.nbl->Context);
    set_fini(&set);
}

static void
context_too_large(struct stage *stage)
{
    struct set set;

    set_init(stage, &set);
    assert_int_equal(NdisAllocateNetBufferListContext(set.nbl, 65535, 65535, 0),
                     NDIS_STATUS_INVALID_PARAMETER);
    set_fini(&set);
}

static void
context_of_another_size(struct stage *stage)
{
    struct set set;

    set_init(stage, &set);
    NdisAllocateNetBufferListContext(set.nbl, 16, 0, 0);
    NdisFreeNetBufferListContext(set.nbl, 64);
    assert_true(stage_logged(stage, "64 bytes were not allocated last (V-190)"));
    set_fini(&set);
}

/* ---- the data ---- */

static void
back_and_forth(struct stage *stage)
{
    struct set set;

    set_init(stage, &set);
    assert_int_equal(NdisRetreatNetBufferDataStart(set.nb, 2, 0, NULL), NDIS_STATUS_SUCCESS);
    assert_int_equal(set.nb->DataLength, 10);
    NdisAdvanceNetBufferDataStart(set.nb, 3, FALSE, NULL);
    assert_int_equal(set.nb->DataOffset, 3);
    assert_int_equal(NdisRetreatNetBufferListDataStart(set.nbl, 1, 0, NULL, NULL),
                     NDIS_STATUS_SUCCESS);
    NdisAdvanceNetBufferListDataStart(set.nbl, 8, FALSE, NULL);
    assert_int_equal(set.nb->DataLength, 0);
    set.nb->DataOffset = 4;
    NdisAdjustNetBufferCurrentMdl(set.nb);
    assert_int_equal(NET_BUFFER_CURRENT_MDL_OFFSET(set.nb), 4);
    set_fini(&set);
}

static PMDL
no_mdl(PULONG BufferSize)
{
    return NULL;
}

static void
no_way_back(struct stage *stage)
{
    struct set set;

    set_init(stage, &set);
    assert_int_equal(NdisRetreatNetBufferDataStart(set.nb, 3, 0, no_mdl), NDIS_STATUS_RESOURCES);
    assert_int_equal(NdisRetreatNetBufferDataStart(set.nb, UINT32_MAX, 0, NULL),
                     NDIS_STATUS_FAILURE);
    assert_int_equal(NdisRetreatNetBufferListDataStart(set.nbl, 3, 0, no_mdl, NULL),
                     NDIS_STATUS_RESOURCES);
    assert_int_equal(set.nb->DataLength, 8);
    set_fini(&set);
}

static void
too_far(struct stage *stage)
{
    struct set set;

    set_init(stage, &set);
    NdisAdvanceNetBufferDataStart(set.nb, 9, FALSE, NULL);
    assert_true(stage_logged(stage, "by 9 of 8 bytes"));
    NdisAdvanceNetBufferListDataStart(set.nbl, 1, FALSE, NULL);
    assert_true(stage_logged(stage, "by 1 of 0 bytes"));
    set_fini(&set);
}

static void
copied(struct stage *stage)
{
    struct set from, to;
    ULONG count;

    set_init(stage, &from);
    set_init(stage, &to);
    assert_int_equal(NdisCopyFromNetBufferToNetBuffer(to.nb, 0, 3, from.nb, 5, &count),
                     NDIS_STATUS_SUCCESS);
    assert_int_equal(count, 3);
    assert_int_equal(to.bytes[2], 7);
    set_fini(&to);
    set_fini(&from);
}

static void
not_copied(struct stage *stage)
{
    struct set set;
    ULONG count = 9;

    set_init(stage, &set);
    assert_int_equal(NdisCopyFromNetBufferToNetBuffer(set.nb, 9, 1, set.nb, 0, &count),
                     NDIS_STATUS_FAILURE);
    assert_int_equal(count, 0);
    set_fini(&set);
}

static void
seen(struct stage *stage)
{
    struct set set;

    set_init(stage, &set);
    assert_ptr_equal(NdisGetDataBuffer(set.nb, 8, NULL, 1, 0), set.bytes + 2);
    set_fini(&set);
}

static void
not_seen(struct stage *stage)
{
    struct set set;
    UCHAR storage[16];

    set_init(stage, &set);
    assert_null(NdisGetDataBuffer(set.nb, 9, storage, 1, 0)); /* more than there is */
    set_fini(&set);
}

static void
info_goes_along(struct stage *stage)
{
    struct set from, to;

    set_init(stage, &from);
    set_init(stage, &to);
    NET_BUFFER_LIST_INFO(from.nbl, Ieee8021QNetBufferListInfo) = stage;
    NET_BUFFER_LIST_INFO(from.nbl, TcpReceiveBytesTransferred) = stage;
    NdisCopySendNetBufferListInfo(to.nbl, from.nbl);
    assert_ptr_equal(NET_BUFFER_LIST_INFO(to.nbl, Ieee8021QNetBufferListInfo), stage);
    NET_BUFFER_LIST_INFO(to.nbl, Ieee8021QNetBufferListInfo) = NULL;
    NdisCopyReceiveNetBufferListInfo(to.nbl, from.nbl);
    assert_ptr_equal(NET_BUFFER_LIST_INFO(to.nbl, Ieee8021QNetBufferListInfo), stage);
    assert_null(NET_BUFFER_LIST_INFO(to.nbl, TcpReceiveBytesTransferred));
    set_fini(&to);
    set_fini(&from);
}

static void
mdl_describes(struct stage *stage)
{
    static UCHAR memory[10000];
    MDL *mdl = NdisAllocateMdl(stage->target.adapter, memory + 77, 5000);

    assert_int_equal(MmGetMdlByteCount(mdl), 5000);
    assert_ptr_equal(MmGetMdlVirtualAddress(mdl), memory + 77);
    assert_ptr_equal(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority), memory + 77);
    assert_int_equal(MmGetMdlByteOffset(mdl), (ULONG_PTR)(memory + 77) % 4096);
    mdl->MdlFlags = MDL_PAGES_LOCKED; /* locked but not mapped, as a chimney's are */
    assert_ptr_equal(MmGetSystemAddressForMdlSafe(mdl, LowPagePriority), memory + 77);
    NdisFreeMdl(mdl);
}

#define NO_MEMORY "fails only without memory, returning NULL"
#define NO_ERROR "returns nothing and looks at nothing"

static const struct api_row rows[] = {
    ROW(NdisAllocateNetBufferListPool, DISPATCH_LEVEL, lists_and_buffers, no_list_pool),
    ROW(NdisFreeNetBufferListPool, DISPATCH_LEVEL, lists_and_buffers, list_pool_misused),
    ROW(NdisAllocateNetBufferPool, DISPATCH_LEVEL, buffer_alone, no_buffer_pool),
    ROW(NdisFreeNetBufferPool, DISPATCH_LEVEL, buffer_alone, buffer_pool_misused),
    ROW(NdisAllocateNetBufferList, DISPATCH_LEVEL, list_alone, no_list),
    ROW(NdisAllocateNetBufferAndNetBufferList, DISPATCH_LEVEL, lists_and_buffers, no_list),
    ROW(NdisFreeNetBufferList, DISPATCH_LEVEL, list_alone, list_freed_twice),
    ROW(NdisAllocateNetBuffer, DISPATCH_LEVEL, buffer_alone, no_buffer),
    ROW(NdisFreeNetBuffer, DISPATCH_LEVEL, buffer_alone, buffer_freed_twice),
    ROW(NdisAllocateNetBufferMdlAndData, DISPATCH_LEVEL, buffer_with_data, no_buffer_with_data),
    ROW(NdisAllocateCloneNetBufferList, DISPATCH_LEVEL, cloned, not_cloned),
    ROW(NdisFreeCloneNetBufferList, DISPATCH_LEVEL, cloned, clone_freed_otherwise),
    ROW(NdisAllocateNetBufferListContext, DISPATCH_LEVEL, context_comes_and_goes,
        context_too_large),
    ROW(NdisFreeNetBufferListContext, DISPATCH_LEVEL, context_comes_and_goes,
        context_of_another_size),
    ROW(NdisRetreatNetBufferDataStart, DISPATCH_LEVEL, back_and_forth, no_way_back),
    ROW(NdisAdvanceNetBufferDataStart, DISPATCH_LEVEL, back_and_forth, too_far),
    ROW(NdisRetreatNetBufferListDataStart, DISPATCH_LEVEL, back_and_forth, no_way_back),
    ROW(NdisAdvanceNetBufferListDataStart, DISPATCH_LEVEL, back_and_forth, too_far),
    ROW_SURE(NdisAdjustNetBufferCurrentMdl, API_ANY, back_and_forth,
             "an offset beyond the chain stays at its end"),
    ROW(NdisCopyFromNetBufferToNetBuffer, DISPATCH_LEVEL, copied, not_copied),
    ROW(NdisGetDataBuffer, DISPATCH_LEVEL, seen, not_seen),
    ROW_SURE(NdisCopySendNetBufferListInfo, DISPATCH_LEVEL, info_goes_along, NO_ERROR),
    ROW_SURE(NdisCopyReceiveNetBufferListInfo, DISPATCH_LEVEL, info_goes_along, NO_ERROR),
    ROW_SURE(NdisAllocateMdl, DISPATCH_LEVEL, mdl_describes, NO_MEMORY),
    ROW_SURE(NdisFreeMdl, DISPATCH_LEVEL, mdl_describes, NO_ERROR),
    ROW_SURE(MmGetMdlByteCount, API_ANY, mdl_describes, NO_ERROR),
    ROW_SURE(MmGetMdlByteOffset, API_ANY, mdl_describes, NO_ERROR),
    ROW_SURE(MmGetMdlVirtualAddress, API_ANY, mdl_describes, NO_ERROR),
    ROW_SURE(MmGetSystemAddressForMdlSafe, DISPATCH_LEVEL, mdl_describes,
             "in user space all memory is mapped"),
};
const struct api_rows api_buffers = {rows, sizeof(rows) / sizeof(rows[0])};
