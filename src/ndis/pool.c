/*
 * Pools of NET_BUFFER_LISTs and NET_BUFFERs. An element is one piece of memory: the list, the
 * buffer that may come with it, and the context space the pool was made with. Freed elements go on
 * a list of their pool, and come from there again; nothing is given back to the system before the
 * pool goes, so the data path does not allocate.
 *
 * A pool that is freed while elements are out is logged (V-190) and stays until its house goes, as
 * do pools that nobody freed: whoever still holds an element holds valid memory.
 *
 * Threads: any. Each pool has a lock for its stock; an element belongs to whoever has it.
 */
#include "ndis/landing.h"

#include "base/log.h"

#include <stdlib.h>

/* The elements of a pool. Those not in use are linked through their first word. */
struct stock {
    struct sys_lock lock;
    void **free;
    size_t out;
    bool closed;
};

struct nbl_pool {
    struct ndis_head head;
    struct list link; /* house.pools */
    NET_BUFFER_LIST_POOL_PARAMETERS parameters;
    USHORT context_bytes; /* of every element, a multiple of 16 */
    struct stock stock;
};

struct nbl_element {
    NET_BUFFER_LIST nbl;
    struct ndis_shelf shelf;
    NET_BUFFER nb;
    struct nbl_pool *pool;
    MDL *mdl; /* of DataSize bytes behind it, if the pool has data */
    NET_BUFFER_LIST_CONTEXT context __attribute__((aligned(16)));
};

struct nb_pool {
    struct ndis_head head;
    struct list link;
    NET_BUFFER_POOL_PARAMETERS parameters;
    struct stock stock;
};

struct nb_element {
    NET_BUFFER nb;
    MDL *mdl; /* of DataSize bytes behind it, if the pool has data */
};

_Static_assert(offsetof(struct nb_element, nb.Next) == 0 &&
                   offsetof(struct nbl_element, nbl.Next) == 0,
               "the first word of what is not in use is free");
_Static_assert(offsetof(struct nbl_element, shelf) == sizeof(NET_BUFFER_LIST),
               "ndis_shelf_own knows where it is");

#define ROUND16(bytes) (((unsigned)(bytes) + 15u) & ~15u)

/* ---- the stock ---- */

/* One of those not in use, or NULL: the caller makes one. It counts either way. */
static void *
stock_take(struct stock *stock)
{
    void **element;

    sys_lock_take(&stock->lock);
    element = stock->free;
    if (element)
        stock->free = *element;
    stock->out++;
    sys_lock_give(&stock->lock);
    return element;
}

/* There was no memory to make one. */
static void
stock_missed(struct stock *stock)
{
    sys_lock_take(&stock->lock);
    stock->out--;
    sys_lock_give(&stock->lock);
}

/* false: the pool is closed, the caller gives the element back to the system. */
static bool
stock_return(struct stock *stock, void *element)
{
    bool open;

    sys_lock_take(&stock->lock);
    stock->out--;
    open = !stock->closed;
    if (open) {
        *(void **)element = stock->free;
        stock->free = element;
    }
    sys_lock_give(&stock->lock);
    return open;
}

/* All that are not in use, and how many are. */
static void *
stock_close(struct stock *stock, size_t *out)
{
    void *elements;

    sys_lock_take(&stock->lock);
    elements = stock->free;
    stock->free = NULL;
    stock->closed = true;
    *out = stock->out;
    sys_lock_give(&stock->lock);
    return elements;
}

/* ---- pools ---- */

static void
pool_enlist(struct house *house, struct list *link)
{
    sys_lock_take(&house->lock);
    list_add_tail(&house->pools, link);
    sys_lock_give(&house->lock);
}

static void
pool_bury(struct ndis_head *head, struct list *link)
{
    sys_lock_take(&head->house->lock);
    list_del(link);
    sys_lock_give(&head->house->lock);
    ndis_bury(head);
}

NDIS_HANDLE
NdisAllocateNetBufferListPool(NDIS_HANDLE NdisHandle,
                              NET_BUFFER_LIST_POOL_PARAMETERS const *Parameters)
{
    struct house *house = ndis_house_of(NdisHandle);
    struct nbl_pool *pool;

    if (!ndis_given(Parameters, "NdisAllocateNetBufferListPool"))
        return NULL;
    if (!house || (Parameters->DataSize && !Parameters->fAllocateNetBuffer))
        return NULL;
    pool = calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    ndis_head_init(&pool->head, NDIS_MAGIC_NBL_POOL, house);
    pool->parameters = *Parameters;
    pool->context_bytes = (USHORT)ROUND16(Parameters->ContextSize);
    pool_enlist(house, &pool->link);
    if (ndis_observed(house)) {
        struct crossing crossing = ndis_crossing_service(CROSSING_POOL, NULL, NULL);
        crossing.object = pool;
        crossing.data = (void *)Parameters;
        ndis_observe(house, &crossing);
    }
    return pool;
}

static void
element_destroy(struct nbl_element *element)
{
    if (element->mdl)
        NdisFreeMdl(element->mdl);
    free(element);
}

static void
nbl_pool_close(struct nbl_pool *pool, const char *how)
{
    size_t out;
    void **next, **element = stock_close(&pool->stock, &out);

    if (out)
        ndis_breach(pool->head.house, 190, NULL,
                    "NET_BUFFER_LIST pool 0x%08x %s with %zu lists outside",
                    pool->parameters.PoolTag, how, out);
    for (; element; element = next) {
        next = *element;
        element_destroy((void *)element);
    }
    pool_bury(&pool->head, &pool->link);
}

VOID
NdisFreeNetBufferListPool(NDIS_HANDLE PoolHandle)
{
    struct nbl_pool *pool = ndis_checked(PoolHandle, NDIS_MAGIC_NBL_POOL,
                                         "NdisFreeNetBufferListPool");

    if (pool)
        nbl_pool_close(pool, "freed");
}

NDIS_HANDLE
NdisAllocateNetBufferPool(NDIS_HANDLE NdisHandle, NET_BUFFER_POOL_PARAMETERS const *Parameters)
{
    struct house *house = ndis_house_of(NdisHandle);
    struct nb_pool *pool;

    if (!ndis_given(Parameters, "NdisAllocateNetBufferPool"))
        return NULL;
    if (!house)
        return NULL;
    pool = calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    ndis_head_init(&pool->head, NDIS_MAGIC_NB_POOL, house);
    pool->parameters = *Parameters;
    pool_enlist(house, &pool->link);
    return pool;
}

static void
nb_element_free(struct nb_element *element)
{
    if (element->mdl)
        NdisFreeMdl(element->mdl);
    free(element);
}

static void
nb_pool_close(struct nb_pool *pool, const char *how)
{
    size_t out;
    void **next, **element = stock_close(&pool->stock, &out);

    if (out)
        ndis_breach(pool->head.house, 190, NULL,
                    "NET_BUFFER pool 0x%08x %s with %zu buffers outside", pool->parameters.PoolTag,
                    how, out);
    for (; element; element = next) {
        next = *element;
        nb_element_free((void *)element);
    }
    pool_bury(&pool->head, &pool->link);
}

VOID
NdisFreeNetBufferPool(NDIS_HANDLE PoolHandle)
{
    struct nb_pool *pool = ndis_checked(PoolHandle, NDIS_MAGIC_NB_POOL, "NdisFreeNetBufferPool");

    if (pool)
        nb_pool_close(pool, "freed");
}

void
ndis_pools_fini(struct house *house)
{
    while (!list_empty(&house->pools)) {
        struct nbl_pool *pool = list_first(&house->pools, struct nbl_pool, link);

        log_warn("a pool was never freed");
        if (pool->head.magic == NDIS_MAGIC_NBL_POOL)
            nbl_pool_close(pool, "left");
        else
            nb_pool_close(list_first(&house->pools, struct nb_pool, link), "left");
    }
}
_Static_assert(offsetof(struct nbl_pool, link) == offsetof(struct nb_pool, link), "one list");

/* ---- NET_BUFFERs ---- */

static void
nb_set(NET_BUFFER *nb, NDIS_HANDLE pool, MDL *chain, ULONG offset, SIZE_T length)
{
    memset(nb, 0, sizeof(*nb));
    nb->NdisPoolHandle = pool;
    nb->MdlChain = chain;
    nb->DataOffset = offset;
    nb->stDataLength = length;
    NdisAdjustNetBufferCurrentMdl(nb);
}

/* An element and DataSize bytes behind it, which its MDL describes. */
static struct nb_element *
nb_element_new(const struct nb_pool *pool)
{
    ULONG data = pool->parameters.DataSize;
    size_t head = ROUND16(sizeof(struct nb_element));
    struct nb_element *element = aligned_alloc(16, head + ROUND16(data));

    if (!element)
        return NULL;
    element->mdl = data ? NdisAllocateMdl(NULL, (char *)element + head, data) : NULL;
    if (!data || element->mdl)
        return element;
    free(element);
    return NULL;
}

static struct nb_element *
nb_element_take(struct nb_pool *pool)
{
    struct nb_element *element = stock_take(&pool->stock);

    if (!element && !(element = nb_element_new(pool)))
        stock_missed(&pool->stock);
    return element;
}

NET_BUFFER *
NdisAllocateNetBuffer(NDIS_HANDLE PoolHandle, MDL *MdlChain, ULONG DataOffset, SIZE_T DataLength)
{
    struct nb_pool *pool = ndis_checked(PoolHandle, NDIS_MAGIC_NB_POOL, "NdisAllocateNetBuffer");
    struct nb_element *element;

    if (!pool)
        return NULL;
    if (pool->parameters.DataSize) {
        log_error("NdisAllocateNetBuffer: not from a pool that has data");
        return NULL;
    }
    element = nb_element_take(pool);
    if (!element)
        return NULL;
    nb_set(&element->nb, pool, MdlChain, DataOffset, DataLength);
    return &element->nb;
}

NET_BUFFER *
NdisAllocateNetBufferMdlAndData(NDIS_HANDLE PoolHandle)
{
    struct nb_pool *pool = ndis_checked(PoolHandle, NDIS_MAGIC_NB_POOL,
                                        "NdisAllocateNetBufferMdlAndData");
    struct nb_element *element;

    if (!pool)
        return NULL;
    if (!pool->parameters.DataSize) {
        log_error("NdisAllocateNetBufferMdlAndData: not from a pool without data");
        return NULL;
    }
    element = nb_element_take(pool);
    if (!element)
        return NULL;
    /* All of it is unused: a retreat makes it data. */
    nb_set(&element->nb, pool, element->mdl, pool->parameters.DataSize, 0);
    return &element->nb;
}

VOID
NdisFreeNetBuffer(NET_BUFFER *NetBuffer)
{
    struct nb_element *element = container_of(NetBuffer, struct nb_element, nb);
    struct nb_pool *pool;

    if (!ndis_given(NetBuffer, "NdisFreeNetBuffer"))
        return;
    pool = NetBuffer->NdisPoolHandle;
    if (!pool || (pool->head.magic != NDIS_MAGIC_NB_POOL && pool->head.magic != NDIS_MAGIC_GRAVE)) {
        ndis_breach_of(ndis_house_current(), 0, NULL, NetBuffer,
                       "NdisFreeNetBuffer: %p is from no pool, or was freed before",
                       (void *)NetBuffer);
        return;
    }
    NetBuffer->NdisPoolHandle = NULL;
    if (!stock_return(&pool->stock, element))
        nb_element_free(element);
}

/* ---- NET_BUFFER_LISTs ---- */

static struct nbl_element *
element_new(struct nbl_pool *pool)
{
    size_t head = ROUND16(sizeof(struct nbl_element) + pool->context_bytes);
    struct nbl_element *element = aligned_alloc(16, head + ROUND16(pool->parameters.DataSize));

    if (!element)
        return NULL;
    element->pool = pool;
    element->shelf = (struct ndis_shelf){.count = 0};
    element->mdl = NULL;
    element->nbl.NdisPoolHandle = NULL;
    if (!pool->parameters.DataSize)
        return element;
    element->mdl = NdisAllocateMdl(NULL, (char *)element + head, pool->parameters.DataSize);
    if (element->mdl)
        return element;
    free(element);
    return NULL;
}

static struct nbl_element *
element_take(struct nbl_pool *pool)
{
    struct nbl_element *element = stock_take(&pool->stock);

    if (!element && !(element = element_new(pool))) {
        stock_missed(&pool->stock);
        return NULL;
    }
    memset(&element->nbl, 0, sizeof(element->nbl));
    element->nbl.NdisPoolHandle = pool;
    element->nbl.NdisReserved[1] = &element->shelf;
    element->shelf.count = 0;
    if (pool->context_bytes) {
        element->context.Next = NULL;
        element->context.Size = pool->context_bytes;
        element->context.Offset = pool->context_bytes; /* all of it unused */
        element->nbl.Context = &element->context;
    }
    return element;
}

static NET_BUFFER_LIST *
nbl_take(NDIS_HANDLE handle, USHORT context, USHORT backfill, const char *call)
{
    struct nbl_pool *pool = ndis_checked(handle, NDIS_MAGIC_NBL_POOL, call);
    struct nbl_element *element = pool ? element_take(pool) : NULL;

    if (!element)
        return NULL;
    if (context && NdisAllocateNetBufferListContext(&element->nbl, context, backfill, 0) !=
                       NDIS_STATUS_SUCCESS) {
        NdisFreeNetBufferList(&element->nbl);
        return NULL;
    }
    return &element->nbl;
}

NET_BUFFER_LIST *
NdisAllocateNetBufferList(NDIS_HANDLE PoolHandle, USHORT ContextSize, USHORT ContextBackFill)
{
    NET_BUFFER_LIST *nbl = nbl_take(PoolHandle, ContextSize, ContextBackFill,
                                    "NdisAllocateNetBufferList");
    struct nbl_element *element;
    struct nbl_pool *pool;

    if (!nbl)
        return NULL;
    element = container_of(nbl, struct nbl_element, nbl);
    pool = element->pool;
    if (pool->parameters.fAllocateNetBuffer) {
        /* With data of the pool, all of it is unused: a retreat makes it data. */
        nb_set(&element->nb, pool, element->mdl, pool->parameters.DataSize, 0);
        nbl->FirstNetBuffer = &element->nb;
    }
    return nbl;
}

NET_BUFFER_LIST *
NdisAllocateNetBufferAndNetBufferList(NDIS_HANDLE PoolHandle, USHORT ContextSize,
                                      USHORT ContextBackFill, MDL *MdlChain, ULONG DataOffset,
                                      SIZE_T DataLength)
{
    NET_BUFFER_LIST *nbl = nbl_take(PoolHandle, ContextSize, ContextBackFill,
                                    "NdisAllocateNetBufferAndNetBufferList");
    struct nbl_element *element;

    if (!nbl)
        return NULL;
    element = container_of(nbl, struct nbl_element, nbl);
    if (!element->pool->parameters.fAllocateNetBuffer || element->pool->parameters.DataSize) {
        log_error("NdisAllocateNetBufferAndNetBufferList: not from such a pool");
        NdisFreeNetBufferList(nbl);
        return NULL;
    }
    nb_set(&element->nb, element->pool, MdlChain, DataOffset, DataLength);
    nbl->FirstNetBuffer = &element->nb;
    return nbl;
}

/* Whoever has it will complete it, so it stays what it is and counts as outside. */
static bool
still_out(struct nbl_pool *pool, NET_BUFFER_LIST *nbl)
{
    struct house *house = pool->head.house;
    struct ndis_binding *out = ndis_home_out(house, nbl);

    if (out)
        ndis_breach_of(house, 85, out->protocol->driver->name, nbl,
                       "NdisFreeNetBufferList: NBL %p is still under way", (void *)nbl);
    else
        ndis_home_clear(nbl);
    return out != NULL;
}

VOID
NdisFreeNetBufferList(NET_BUFFER_LIST *NetBufferList)
{
    struct nbl_element *element = container_of(NetBufferList, struct nbl_element, nbl);
    struct nbl_pool *pool;

    if (!ndis_given(NetBufferList, "NdisFreeNetBufferList"))
        return;
    pool = NetBufferList->NdisPoolHandle;
    if (!pool || element->pool != pool) {
        ndis_breach_of(ndis_house_current(), 0, NULL, NetBufferList,
                       "NdisFreeNetBufferList: %p is from no pool, or was freed before",
                       (void *)NetBufferList);
        return;
    }
    if (NDIS_UNLIKELY(NetBufferList->NdisReserved[0]) && still_out(pool, NetBufferList))
        return;
    while (NetBufferList->Context && NetBufferList->Context != &element->context) {
        NET_BUFFER_LIST_CONTEXT *context = NetBufferList->Context;

        NetBufferList->Context = context->Next;
        free(context);
    }
    NetBufferList->NdisPoolHandle = NULL;
    if (!stock_return(&pool->stock, element))
        element_destroy(element);
}

/* ---- contexts ---- */

NDIS_STATUS
NdisAllocateNetBufferListContext(NET_BUFFER_LIST *NetBufferList, USHORT ContextSize,
                                 USHORT ContextBackFill, ULONG PoolTag)
{
    unsigned size = ROUND16(ContextSize), total = size + ROUND16(ContextBackFill);
    NET_BUFFER_LIST_CONTEXT *context;

    if (!ndis_given(NetBufferList, "NdisAllocateNetBufferListContext"))
        return NDIS_STATUS_INVALID_PARAMETER;
    context = NetBufferList->Context;
    if (context && context->Offset >= size) {
        context->Offset = (USHORT)(context->Offset - size);
        return NDIS_STATUS_SUCCESS;
    }
    if (total > UINT16_MAX)
        return NDIS_STATUS_INVALID_PARAMETER;
    context = aligned_alloc(16, sizeof(*context) + total);
    if (!context)
        return NDIS_STATUS_RESOURCES;
    context->Next = NetBufferList->Context;
    context->Size = (USHORT)total;
    context->Offset = (USHORT)(total - size);
    NetBufferList->Context = context;
    return NDIS_STATUS_SUCCESS;
}

VOID
NdisFreeNetBufferListContext(NET_BUFFER_LIST *NetBufferList, USHORT ContextSize)
{
    struct nbl_element *element = container_of(NetBufferList, struct nbl_element, nbl);
    NET_BUFFER_LIST_CONTEXT *context;

    if (!ndis_given(NetBufferList, "NdisFreeNetBufferListContext"))
        return;
    context = NetBufferList->Context;
    if (!context || context->Offset + ROUND16(ContextSize) > context->Size) {
        ndis_breach_of(element->pool->head.house, 190, NULL, NetBufferList,
                       "NdisFreeNetBufferListContext: %u bytes were not allocated last",
                       ContextSize);
        return;
    }
    context->Offset = (USHORT)(context->Offset + ROUND16(ContextSize));
    if (context->Offset == context->Size && context != &element->context) {
        NetBufferList->Context = context->Next;
        free(context);
    }
}
