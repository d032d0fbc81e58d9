/*
 * Heads, graves and the records of offloaded objects.
 *
 * A data call carries nothing but an NDIS_OFFLOAD_HANDLE, so what leads from it to the binding
 * below is a record of ours in its reserved member (P9). Records live in slabs that are never given
 * back before the house goes and that double in size, so whether an address is a record of ours is
 * a question of a few comparisons: a reserved member that was never initialised is not followed. A
 * record points back at its handle; a stale or copied handle does not match.
 */
#include "ndis/landing.h"

#include <assert.h>
#include <stdlib.h>

#define FIRST_SLAB_OBJECTS 64

struct ndis_slab {
    struct ndis_slab *older;
    struct ndis_object *objects;
    size_t count;
};

_Thread_local struct house *ndis_house_now;

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
    head->magic = NDIS_MAGIC_GRAVE;
    list_add_tail(&head->house->graves, &head->grave);
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
    struct house *house = ndis_house_now;

    if (!handle)
        ndis_breach(house, 0, NULL, "%s: the %s handle is NULL", call, magic_name(wanted));
    else if (wanted == NDIS_MAGIC_OBJECT)
        ndis_breach(house, strncmp(call, "NdisOffload", 11) == 0 ? 84 : 130, NULL,
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
        return ndis_house_now;
    switch (head->magic) {
    case NDIS_MAGIC_MINIPORT:
    case NDIS_MAGIC_PROTOCOL:
    case NDIS_MAGIC_ADAPTER:
    case NDIS_MAGIC_BINDING:
        return head->house;
    default:
        return ndis_house_now;
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

static bool
slab_contains(const struct ndis_slab *slab, const void *address)
{
    uintptr_t offset = (uintptr_t)address - (uintptr_t)slab->objects;

    return offset < slab->count * sizeof(struct ndis_object) &&
           offset % sizeof(struct ndis_object) == 0;
}

struct ndis_object *
ndis_object_search(struct house *house, const NDIS_OFFLOAD_HANDLE *handle)
{
    for (struct ndis_slab *slab = house->slabs; slab; slab = slab->older)
        if (slab_contains(slab, handle->NdisReserved[0]))
            return ndis_object_peek(handle);
    return NULL;
}

static bool
slab_add(struct house *house)
{
    struct ndis_slab *slab = malloc(sizeof(*slab));
    size_t count = house->slabs ? house->slabs->count * 2 : FIRST_SLAB_OBJECTS;

    if (!slab)
        return false;
    slab->objects = aligned_alloc(64, count * sizeof(struct ndis_object));
    if (!slab->objects) {
        free(slab);
        return false;
    }
    slab->count = count;
    slab->older = house->slabs;
    house->slabs = slab;
    for (size_t i = count; i-- > 0;) {
        slab->objects[i] = (struct ndis_object){.handle = (void *)house->free_objects};
        house->free_objects = &slab->objects[i];
    }
    return true;
}

struct ndis_object *
ndis_object_attach(struct ndis_binding *binding, NDIS_OFFLOAD_HANDLE *handle)
{
    struct house *house = binding->head.house;
    struct ndis_object *object;

    if (!house->free_objects && !slab_add(house))
        return NULL;
    object = house->free_objects;
    assert(object); /* slab_add has seen to it */
    house->free_objects = (void *)object->handle;
    *object = (struct ndis_object){.magic = NDIS_MAGIC_OBJECT,
                                   .state = NDIS_OBJECT_INITIATING,
                                   .handle = handle,
                                   .binding = binding,
                                   .adapter = binding->adapter};
    list_add_tail(&binding->objects, &object->link);
    binding->object_count++;
    binding->adapter->objects++;
    handle->NdisReserved[0] = object;
    return object;
}

void
ndis_object_detach(struct ndis_object *object)
{
    struct house *house = object->binding->head.house;

    object->handle->NdisReserved[0] = NULL;
    object->handle->MiniportOffloadContext = NULL;
    object->binding->object_count--;
    object->adapter->objects--;
    list_del(&object->link);
    object->magic = 0;
    object->state = NDIS_OBJECT_FREE;
    object->handle = (void *)house->free_objects;
    house->free_objects = object;
}

void
ndis_objects_fini(struct house *house)
{
    while (house->slabs) {
        struct ndis_slab *slab = house->slabs;

        house->slabs = slab->older;
        free(slab->objects);
        free(slab);
    }
    house->free_objects = NULL;
}
