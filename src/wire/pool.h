/*
 * Receive buffers of one wire, recycled. Private to src/wire. Threads: the wire's.
 */
#ifndef WIRE_POOL_H
#define WIRE_POOL_H

#include "chimney/wire.h"

struct pool;

/* NULL: out of memory. */
struct pool *pool_create(void);
/* Buffers still held stay valid; the last one put frees the pool. */
void pool_close(struct pool *pool);
/* As wire_buf_create, up to WIRE_MAX_FRAME bytes. */
struct wire_buf *pool_get(struct pool *pool, uint32_t capacity);

#endif
