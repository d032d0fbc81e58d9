/*
 * A buffer that belongs to no wire: one allocation, freed with its last reference.
 */
#include "chimney/wire.h"

#include <stdalign.h>
#include <stdlib.h>

#define FRAME_OFFSET 2 /* aligns the IP header */

struct single_buf {
    struct wire_buf buf;
    alignas(16) uint8_t bytes[];
};

static void
single_release(struct wire_buf *buf)
{
    free((struct single_buf *)buf);
}

struct wire_buf *
wire_buf_create(uint32_t capacity)
{
    struct single_buf *single = malloc(sizeof(*single) + FRAME_OFFSET + (size_t)capacity);

    if (single == NULL)
        return NULL;
    single->buf = (struct wire_buf){
        .refs = 1,
        .capacity = capacity,
        .data = single->bytes + FRAME_OFFSET,
        .release = single_release,
    };
    return &single->buf;
}
