/*
 * Buffers for frames. A wire reads into large buffers and hands on what fits in a copy of the right
 * size: whoever keeps a hundred bytes shall not pin 64 KiB. Buffers come in a few sizes; those put
 * back wait on a free list, the last one first because it is still in the cache; a list that is
 * long enough gives the rest back to the allocator.
 *
 * The frame starts two bytes behind an aligned address, so that the IP header is aligned.
 */
#include "wire/pool.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stdlib.h>

#define FRAME_OFFSET 2
#define SIZES 5

static const struct {
    uint32_t capacity;
    unsigned keep; /* free buffers kept at most */
} sizes[SIZES] = {
    {256, 512}, {768, 128}, {1664, 256}, {4224, 64}, {WIRE_MAX_FRAME, 32},
};

struct pool_buf {
    struct wire_buf buf;
    struct pool *pool;
    struct pool_buf *next; /* on the free list */
    unsigned size;
    alignas(16) uint8_t bytes[];
};

struct pool {
    struct pool_buf *free[SIZES];
    unsigned free_count[SIZES];
    unsigned held; /* not on a free list */
    bool closed;
};

struct pool *
pool_create(void)
{
    return calloc(1, sizeof(struct pool));
}

static void
pool_free_lists(struct pool *pool)
{
    for (unsigned size = 0; size < SIZES; size++) {
        while (pool->free[size] != NULL) {
            struct pool_buf *buf = pool->free[size];

            pool->free[size] = buf->next;
            free(buf);
        }
        pool->free_count[size] = 0;
    }
}

void
pool_close(struct pool *pool)
{
    if (pool == NULL)
        return;
    pool_free_lists(pool);
    pool->closed = true;
    if (pool->held == 0)
        free(pool);
}

static void
pool_release(struct wire_buf *wire_buf)
{
    struct pool_buf *buf = (struct pool_buf *)wire_buf;
    struct pool *pool = buf->pool;

    pool->held--;
    if (!pool->closed && pool->free_count[buf->size] < sizes[buf->size].keep) {
        buf->next = pool->free[buf->size];
        pool->free[buf->size] = buf;
        pool->free_count[buf->size]++;
        return;
    }
    free(buf);
    if (pool->closed && pool->held == 0)
        free(pool);
}

/* A free buffer of this size, or a new one. */
static struct pool_buf *
pool_take(struct pool *pool, unsigned size)
{
    struct pool_buf *buf = pool->free[size];

    if (buf == NULL)
        return malloc(sizeof(*buf) + FRAME_OFFSET + sizes[size].capacity);
    pool->free[size] = buf->next;
    pool->free_count[size]--;
    return buf;
}

struct wire_buf *
pool_get(struct pool *pool, uint32_t capacity)
{
    struct pool_buf *buf;
    unsigned size = 0;

    while (size < SIZES && sizes[size].capacity < capacity)
        size++;
    buf = size < SIZES ? pool_take(pool, size) : NULL;
    if (buf == NULL)
        return NULL;
    pool->held++;
    buf->pool = pool;
    buf->size = size;
    buf->buf = (struct wire_buf){
        .refs = 1,
        .capacity = sizes[size].capacity,
        .data = buf->bytes + FRAME_OFFSET,
        .release = pool_release,
    };
    return &buf->buf;
}
