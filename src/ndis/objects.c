/*
 * Heads, graves and the records of offloaded objects.
 *
 * A data call carries nothing but an NDIS_OFFLOAD_HANDLE, so what leads from it to the binding
 * below is a record of ours in its reserved member (P9). Records live in slabs that are never given
 * back, only passed on to the next house, and that double in size, so whether an address is a
 * record of ours is a question of a few comparisons: a reserved member that was never initialised
 * is not followed. A record points back at its handle; a stale or copied handle does not match.
 *
 * Threads: looking up takes no lock. A record on the free list may be looked at by whoever holds a
 * handle that is stale, hence the two atomics in it; what a live one says nobody changes.
 */
#include "ndis/landing.h"

#include "base/log.h"
#include "base/machine.h"

#include <stdlib.h>

#define FIRST_SLAB_OBJECTS 64

_Atomic(struct ndis_slab *) ndis_slabs;
static _Thread_local struct house *house_here;
static _Atomic(struct house *) house_anywhere;

void
ndis_house_enter(struct house *house)
{
    house_here = house;
    house_anywhere = house;
    house->thread = sys_thread_self();
}

void
ndis_house_leave(struct house *house)
{
    struct house *last = house;

    house_here = NULL;
    atomic_compare_exchange_strong(&house_anywhere, &last, NULL);
}

struct house *
ndis_house_current(void)
{
    return house_here ? house_here : house_anywhere;
}

void
ndis_head_init(struct ndis_head *head, enum ndis_magic magic, struct house *house)
{
    head->magic = magic;
    head->house = house;
    list_init(&head->grave);
}

void
ndis_bury(struct ndis_head *head)
{
    struct house *house = head->house;

    head->magic = NDIS_MAGIC_GRAVE;
    sys_lock_take(&house->lock);
    list_add_tail(&house->graves, &head->grave);
    sys_lock_give(&house->lock);
}

static const char *
magic_name(enum ndis_magic magic)
{
    switch (magic) {
    case NDIS_MAGIC_DRIVER:
        return "driver";
    case NDIS_MAGIC_TICKET:
        return "bind or unbind context";
    case NDIS_MAGIC_MINIPORT:
        return "miniport driver";
    case NDIS_MAGIC_PROTOCOL:
        return "protocol driver";
    case NDIS_MAGIC_ADAPTER:
        return "miniport adapter";
    case NDIS_MAGIC_BINDING:
        return "binding";
    case NDIS_MAGIC_OBJECT:
        return "live offload";
    case NDIS_MAGIC_NBL_POOL:
        return "NET_BUFFER_LIST pool";
    case NDIS_MAGIC_NB_POOL:
        return "NET_BUFFER pool";
    case NDIS_MAGIC_CONFIGURATION:
        return "configuration";
    case NDIS_MAGIC_TIMER:
        return "timer";
    case NDIS_MAGIC_WORK:
        return "work item";
    case NDIS_MAGIC_RW_LOCK:
        return "read-write lock";
    case NDIS_MAGIC_GRAVE:
        break;
    }
    return "closed";
}

void
ndis_bad_handle(const void *handle, enum ndis_magic wanted, const char *call)
{
    const struct ndis_head *head = handle;
    unsigned closed_rule = wanted == NDIS_MAGIC_BINDING ? 185 : 0;
    struct house *house = ndis_house_current();

    if (!handle)
        ndis_breach(house, 0, NULL, "%s: the %s handle is NULL", call, magic_name(wanted));
    else if (wanted == NDIS_MAGIC_OBJECT)
        ndis_breach_of(house, strncmp(call, "NdisOffload", 11) == 0 ? 84 : 130, NULL, handle,
                       "%s: %p is not the handle of a live offload", call, handle);
    else if ((uintptr_t)handle & 7)
        ndis_breach(house, 0, NULL, "%s: %p is no handle at all", call, handle);
    else if (head->magic == NDIS_MAGIC_GRAVE)
        ndis_breach(house, closed_rule, NULL, "%s: the %s handle %p was closed before", call,
                    magic_name(wanted), handle);
    else
        ndis_breach(house, 0, NULL, "%s: %p is not a %s handle", call, handle, magic_name(wanted));
}

struct house *
ndis_house_of(NDIS_HANDLE handle)
{
    struct ndis_head *head = handle;

    if (!head || ((uintptr_t)head & 7))
        return ndis_house_current();
    switch ((uint32_t)head->magic) {
    case NDIS_MAGIC_MINIPORT:
    case NDIS_MAGIC_PROTOCOL:
    case NDIS_MAGIC_ADAPTER:
    case NDIS_MAGIC_BINDING:
        return head->house;
    default:
        return ndis_house_current();
    }
}

bool
ndis_layer_of(UCHAR type, enum ndis_layer *layer)
{
    if (type >= NeighborOffloadConstState && type <= NeighborOffloadState)
        *layer = NDIS_LAYER_NEIGHBOR;
    else if (type >= Ip4OffloadConstState && type <= Ip6OffloadState)
        *layer = NDIS_LAYER_PATH;
    else if ((type >= TcpOffloadConstState && type <= TcpOffloadDelegatedState) ||
             type == TcpOffloadState)
        *layer = NDIS_LAYER_TCP;
    else
        return false;
    return true;
}

struct ndis_object *
ndis_object_search(struct house *house, const NDIS_OFFLOAD_HANDLE *handle)
{
    struct ndis_object *object = ndis_object_peek(handle);

    return object && object->binding->head.house == house ? object : NULL;
}

/* ---- states ---- */

#define STATE_NAME(name) #name,
static const char *const state_names[] = {NDIS_OBJECT_STATES(STATE_NAME)};

/* OFFLOADED to FREE: left behind, and it could not be terminated (P35). */
#define EDGES(X)                                                                                   \
    X(FREE, INITIATING)                                                                            \
    X(INITIATING, OFFLOADED)                                                                       \
    X(INITIATING, FREE)                                                                            \
    X(OFFLOADED, TERMINATING)                                                                      \
    X(OFFLOADED, FREE)                                                                             \
    X(TERMINATING, FREE)
#define EDGE(from, to) [NDIS_OBJECT_##from][NDIS_OBJECT_##to].legal = true,
static struct machine_edge edges[NDIS_OBJECT_STATE_COUNT][NDIS_OBJECT_STATE_COUNT] = {EDGES(EDGE)};
MACHINE(machine, "ndis object", state_names, edges);

void
ndis_object_set_state(struct ndis_object *object, enum ndis_object_state to, const char *why)
{
    enum ndis_object_state from = atomic_load_explicit(&object->state, memory_order_relaxed);

    if (!machine_walk(&machine, from, to)) {
        log_error("object %p: %s → %s is no edge (%s)", (void *)object, state_names[from],
                  state_names[to], why);
        return;
    }
    object->state = (uint8_t)to;
    log_debug("object %p: %s → %s, %s", (void *)object, state_names[from], state_names[to], why);
}

/* ---- attaching ---- */

/* One that another house has left. */
static struct ndis_slab *
slab_spare(struct house *house)
{
    for (struct ndis_slab *slab = ndis_slabs; slab; slab = slab->older) {
        struct house *nobody = NULL;

        if (atomic_compare_exchange_strong(&slab->house, &nobody, house))
            return slab;
    }
    return NULL;
}

static struct ndis_slab *
slab_create(struct house *house, size_t count)
{
    struct ndis_slab *slab = calloc(1, sizeof(*slab)), *older = ndis_slabs;

    if (!slab)
        return NULL;
    slab->bytes = count * sizeof(struct ndis_object);
    slab->objects = aligned_alloc(64, slab->bytes);
    if (!slab->objects) {
        free(slab);
        return NULL;
    }
    memset(slab->objects, 0, slab->bytes);
    slab->house = house;
    do
        slab->older = older;
    while (!atomic_compare_exchange_weak(&ndis_slabs, &older, slab));
    return slab;
}

/* Made without the lock, since it takes long: two threads may both bring one. */
static bool
slab_add(struct house *house, size_t made)
{
    struct ndis_slab *slab = slab_spare(house);
    size_t count;

    if (!slab && !(slab = slab_create(house, made ? made : FIRST_SLAB_OBJECTS)))
        return false;
    count = slab->bytes / sizeof(struct ndis_object);
    for (size_t i = 0; i + 1 < count; i++)
        slab->objects[i].next_free = &slab->objects[i + 1];
    sys_lock_take(&house->lock);
    slab->objects[count - 1].next_free = house->free_objects;
    house->free_objects = slab->objects;
    house->objects_made += count;
    sys_lock_give(&house->lock);
    return true;
}

/* Off the free list, and on the binding's. NULL: there is none, of so many. */
static struct ndis_object *
object_take(struct house *house, struct ndis_binding *binding, size_t *made)
{
    struct ndis_object *object;

    sys_lock_take(&house->lock);
    *made = house->objects_made;
    object = house->free_objects;
    if (object) {
        house->free_objects = object->next_free;
        list_add_tail(&binding->objects, &object->link);
    }
    sys_lock_give(&house->lock);
    return object;
}

struct ndis_object *
ndis_object_attach(struct ndis_binding *binding, NDIS_OFFLOAD_HANDLE *handle)
{
    struct house *house = binding->head.house;
    struct ndis_object *object;
    size_t made;

    while (!(object = object_take(house, binding, &made)))
        if (!slab_add(house, made))
            return NULL;
    object->type = 0;
    object->binding = binding;
    object->adapter = binding->adapter;
    object->block = NULL;
    ndis_object_set_state(object, NDIS_OBJECT_INITIATING, "named by an initiate");
    atomic_store_explicit(&object->handle, handle, memory_order_relaxed);
    atomic_store_explicit(&object->magic, NDIS_MAGIC_OBJECT, memory_order_relaxed);
    binding->object_count++;
    binding->adapter->objects++;
    handle->NdisReserved[0] = object;
    return object;
}

void
ndis_object_detach(struct ndis_object *object, const char *why)
{
    struct ndis_binding *binding = object->binding;
    struct ndis_adapter *adapter = object->adapter;
    struct house *house = binding->head.house;
    NDIS_OFFLOAD_HANDLE *handle = object->handle;

    if (atomic_exchange(&object->magic, 0) != NDIS_MAGIC_OBJECT)
        return; /* given back while NDIS took it away (P35) */
    handle->NdisReserved[0] = NULL;
    handle->MiniportOffloadContext = NULL;
    ndis_object_set_state(object, NDIS_OBJECT_FREE, why);
    sys_lock_take(&house->lock);
    list_del(&object->link);
    object->next_free = house->free_objects;
    house->free_objects = object;
    sys_lock_give(&house->lock);
    binding->object_count--;
    adapter->objects--;
    ndis_ring(house);
}

void
ndis_objects_fini(struct house *house)
{
    for (struct ndis_slab *slab = ndis_slabs; slab; slab = slab->older) {
        if (slab->house != house)
            continue;
        for (size_t i = 0; i < slab->bytes / sizeof(struct ndis_object); i++) {
            slab->objects[i].magic = 0;
            slab->objects[i].handle = NULL;
            slab->objects[i].state = NDIS_OBJECT_FREE;
        }
        slab->house = NULL;
    }
    house->free_objects = NULL;
    house->objects_made = 0;
}
