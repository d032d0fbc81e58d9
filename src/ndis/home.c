/*
 * The way home of NBLs (P11). A completion carries neither connection nor binding, and the same NBL
 * crosses several bindings on its way down, so every NBL carries a small stack of bindings: pushed
 * on the way down, popped on the way up.
 *
 * Two levels are in NdisReserved: [0] first, then [1]. From the third on the newest level is a
 * frame, [1] points at it with its lowest bit set, and the frame keeps what [1] was before. NBLs
 * come from NDIS pools with both slots empty, and every way leaves them as it found them.
 */
#include "ndis/landing.h"

#include "base/log.h"

#include <stdlib.h>

struct ndis_frame {
    struct ndis_binding *home;
    PVOID rest;              /* what NdisReserved[1] was */
    struct ndis_frame *next; /* on the free list */
};

#define FRAME_BIT ((uintptr_t)1)

static inline struct ndis_frame *
frame_of(PVOID slot)
{
    uintptr_t bits = (uintptr_t)slot;

    return bits & FRAME_BIT ? (struct ndis_frame *)(bits & ~FRAME_BIT) : NULL;
}

static bool
push_frame(struct ndis_binding *binding, NET_BUFFER_LIST *nbl)
{
    struct house *house = binding->head.house;
    struct ndis_frame *frame = house->free_frames;

    if (frame)
        house->free_frames = frame->next;
    else if (!(frame = malloc(sizeof(*frame))))
        return false;
    *frame = (struct ndis_frame){.home = binding, .rest = nbl->NdisReserved[1]};
    nbl->NdisReserved[1] = (PVOID)((uintptr_t)frame | FRAME_BIT);
    return true;
}

static struct ndis_binding *
pop_frame(struct ndis_frame *frame, NET_BUFFER_LIST *nbl)
{
    struct ndis_binding *binding = frame->home;
    struct house *house = binding->head.house;

    nbl->NdisReserved[1] = frame->rest;
    frame->next = house->free_frames;
    house->free_frames = frame;
    return binding;
}

bool
ndis_home_push(struct ndis_binding *binding, NET_BUFFER_LIST *nbls)
{
    NET_BUFFER_LIST *nbl;

    for (nbl = nbls; nbl; nbl = nbl->Next) {
        if (!nbl->NdisReserved[0])
            nbl->NdisReserved[0] = binding;
        else if (!nbl->NdisReserved[1])
            nbl->NdisReserved[1] = binding;
        else if (!push_frame(binding, nbl))
            break;
    }
    if (!nbl)
        return true;
    for (NET_BUFFER_LIST *pushed = nbls; pushed != nbl; pushed = pushed->Next)
        ndis_home_pop(pushed);
    return false;
}

static inline struct ndis_binding *
home_peek(const NET_BUFFER_LIST *nbl)
{
    struct ndis_frame *frame = frame_of(nbl->NdisReserved[1]);

    if (frame)
        return frame->home;
    return nbl->NdisReserved[1] ? nbl->NdisReserved[1] : nbl->NdisReserved[0];
}

struct ndis_binding *
ndis_home_pop(NET_BUFFER_LIST *nbl)
{
    struct ndis_frame *frame = frame_of(nbl->NdisReserved[1]);
    int level = nbl->NdisReserved[1] ? 1 : 0;
    struct ndis_binding *binding;

    if (frame)
        return pop_frame(frame, nbl);
    binding = nbl->NdisReserved[level];
    nbl->NdisReserved[level] = NULL;
    return binding;
}

void
ndis_home_forget(struct ndis_binding *binding, NET_BUFFER_LIST *nbls)
{
    size_t strangers = 0;

    for (NET_BUFFER_LIST *nbl = nbls; nbl; nbl = nbl->Next) {
        if (home_peek(nbl) == binding)
            ndis_home_pop(nbl);
        else
            strangers++;
    }
    if (strangers)
        ndis_breach(binding->head.house, 147, binding->adapter->miniport->driver->name,
                    "adapter %s returned %zu NBLs that were not posted through this binding",
                    binding->adapter->name, strangers);
}

NET_BUFFER_LIST *
ndis_home_run(NET_BUFFER_LIST **nbls, struct ndis_binding **binding, const char *call)
{
    NET_BUFFER_LIST *first = NULL, *last = NULL;

    for (NET_BUFFER_LIST *nbl = *nbls; nbl; nbl = *nbls) {
        struct ndis_binding *home = home_peek(nbl);

        if (NDIS_UNLIKELY(!home)) {
            log_error("%s: NBL %p is not on its way anywhere (completed twice?)", call,
                      (void *)nbl);
            *nbls = nbl->Next;
            continue;
        }
        if (first && home != *binding)
            break;
        ndis_home_pop(nbl);
        *binding = home;
        *nbls = nbl->Next;
        if (first)
            last->Next = nbl;
        else
            first = nbl;
        last = nbl;
    }
    if (last)
        last->Next = NULL;
    return first;
}

void
ndis_frames_fini(struct house *house)
{
    while (house->free_frames) {
        struct ndis_frame *frame = house->free_frames;

        house->free_frames = frame->next;
        free(frame);
    }
}
