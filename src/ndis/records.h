/*
 * The records of offloaded objects, NDIS_OFFLOAD_HANDLE.NdisReserved[0] (P9), and how they are
 * found again (objects.c): without a lock, and without a step outside the slabs, whatever the
 * handle says.
 */
#ifndef NDIS_RECORDS_H
#define NDIS_RECORDS_H

#include "ndis/objects.h"

#define NDIS_OBJECT_STATES(X) X(FREE) X(INITIATING) X(OFFLOADED) X(TERMINATING)
#define NDIS_OBJECT_ENUM(name) NDIS_OBJECT_##name,
enum ndis_object_state { NDIS_OBJECT_STATES(NDIS_OBJECT_ENUM) NDIS_OBJECT_STATE_COUNT };
enum ndis_layer { NDIS_LAYER_NEIGHBOR, NDIS_LAYER_PATH, NDIS_LAYER_TCP, NDIS_LAYERS };

/* The back pointer does the work of a generation: a copied, stale or reused handle does not match
 * it. */
struct ndis_object {
    _Atomic uint32_t magic;
    _Atomic uint8_t state; /* enum ndis_object_state */
    uint8_t type;          /* OFFLOAD_STATE_TYPE of the block it came with */
    _Atomic(NDIS_OFFLOAD_HANDLE *) handle;
    struct ndis_binding *binding;
    struct ndis_adapter *adapter;
    void *block;      /* initiating: the block */
    struct list link; /* binding.objects */
    struct ndis_object *next_free;
};
_Static_assert(sizeof(struct ndis_object) == 64, "ndis_object_peek checks addresses by it");

/* Records, of one house at a time. Slabs are never given back, and there are few: each one that a
 * house makes is as large as all it had before. */
struct ndis_slab {
    struct ndis_slab *older;
    struct ndis_object *objects;
    size_t bytes;
    _Atomic(struct house *) house; /* NULL: spare */
};
extern _Atomic(struct ndis_slab *) ndis_slabs;

/* object may point anywhere. */
static inline bool
ndis_slabs_have(const struct ndis_object *object)
{
    const struct ndis_slab *slab = atomic_load_explicit(&ndis_slabs, memory_order_acquire);

    for (; slab; slab = slab->older)
        if (NDIS_LIKELY((uintptr_t)object - (uintptr_t)slab->objects < slab->bytes))
            return !((uintptr_t)object & 63);
    return false;
}

/* The live record behind an offload handle, or NULL without a word. What the handle says may be
 * anything; the handle itself is read. */
static inline struct ndis_object *
ndis_object_peek(const NDIS_OFFLOAD_HANDLE *handle)
{
    struct ndis_object *object;

    if (NDIS_UNLIKELY(!handle || ((uintptr_t)handle & 7)))
        return NULL;
    object = handle->NdisReserved[0];
    if (NDIS_UNLIKELY(!ndis_slabs_have(object) ||
                      atomic_load_explicit(&object->magic, memory_order_relaxed) !=
                          NDIS_MAGIC_OBJECT ||
                      atomic_load_explicit(&object->handle, memory_order_relaxed) != handle))
        return NULL;
    return object;
}

static inline struct ndis_object *
ndis_object_of(const NDIS_OFFLOAD_HANDLE *handle, const char *call)
{
    struct ndis_object *object = ndis_object_peek(handle);

    if (NDIS_UNLIKELY(!object))
        ndis_bad_handle(handle, NDIS_MAGIC_OBJECT, call);
    return object;
}

/* The same, of this house. */
struct ndis_object *ndis_object_search(struct house *house, const NDIS_OFFLOAD_HANDLE *handle);
/* Initiating, counted, in handle->NdisReserved[0]. NULL: out of memory. */
struct ndis_object *ndis_object_attach(struct ndis_binding *binding, NDIS_OFFLOAD_HANDLE *handle);
/* Clears handle->NdisReserved[0] and the context cell. */
void ndis_object_detach(struct ndis_object *object, const char *why);
/* Context: any thread. */
void ndis_object_set_state(struct ndis_object *object, enum ndis_object_state to, const char *why);
void ndis_objects_fini(struct house *house);
/* false: no offloadable type. */
bool ndis_layer_of(UCHAR type, enum ndis_layer *layer);

#endif
