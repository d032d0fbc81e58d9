/*
 * Finding and making shadows. Adapters, bindings and drivers appear when a crossing first names
 * them and stay to the end; objects and NBLs live as long as what they stand for. Out of memory
 * means that something is not followed, never that a call fails.
 */
#include "verifier/shadow.h"

#include <stdlib.h>
#include <string.h>

static void
name_set(char to[SHADOW_NAME], const char *from)
{
    size_t length = strlen(from);

    length = length < SHADOW_NAME - 1 ? length : SHADOW_NAME - 1;
    memcpy(to, from, length);
    to[length] = '\0';
}

/* ---- drivers, adapters, bindings ---- */

struct shadow_driver *
shadow_driver(struct verifier *verifier, const char *name)
{
    struct shadow_driver *driver;

    list_for_each(known, &verifier->drivers, struct shadow_driver, link)
        if (!strcmp(known->name, name))
            return known;
    driver = calloc(1, sizeof(*driver));
    if (!driver)
        return NULL;
    name_set(driver->name, name);
    list_add_tail(&verifier->drivers, &driver->link);
    return driver;
}

struct shadow_adapter *
shadow_adapter(struct verifier *verifier, const struct crossing *crossing)
{
    struct table_entry *entry = table_find(&verifier->adapters, crossing->miniport);
    const char *driver = crossing->up ? crossing->from : crossing->to;
    struct shadow_adapter *adapter;

    if (entry)
        return container_of(entry, struct shadow_adapter, entry);
    adapter = calloc(1, sizeof(*adapter));
    if (!adapter)
        return NULL;
    if (!strcmp(driver, "ndis")) /* a service: the driver asks */
        driver = crossing->from;
    name_set(adapter->name, crossing->adapter);
    adapter->driver = shadow_driver(verifier, driver);
    if (!adapter->driver) {
        free(adapter);
        return NULL;
    }
    adapter->is_im = crossing->im_below;
    adapter->lower_binding = crossing->lower_binding;
    entry = adapter->lower_binding ? table_find(&verifier->bindings, adapter->lower_binding) : NULL;
    if (entry)
        container_of(entry, struct shadow_binding, entry)->carries = true;
    list_init(&adapter->objects);
    table_add(&verifier->adapters, &adapter->entry, crossing->miniport);
    return adapter;
}

struct shadow_binding *
shadow_binding(struct verifier *verifier, const struct crossing *crossing)
{
    struct table_entry *entry = table_find(&verifier->bindings, crossing->binding);
    const char *driver = crossing->up ? crossing->to : crossing->from;
    struct shadow_adapter *adapter;
    struct shadow_binding *binding;

    if (entry)
        return container_of(entry, struct shadow_binding, entry);
    adapter = shadow_adapter(verifier, crossing);
    binding = calloc(1, sizeof(*binding));
    if (!adapter || !binding) {
        free(binding);
        return NULL;
    }
    binding->adapter = adapter;
    binding->driver = shadow_driver(verifier, driver);
    if (!binding->driver) {
        free(binding);
        return NULL;
    }
    binding->im_above = crossing->im_above;
    table_add(&verifier->bindings, &binding->entry, crossing->binding);
    return binding;
}

/* ---- objects ---- */

struct shadow_object *
shadow_object_find(struct verifier *verifier, const void *handle)
{
    struct table_entry *entry = table_find(&verifier->objects, handle);

    return entry ? container_of(entry, struct shadow_object, entry) : NULL;
}

/* The pointers are good for the length of the initiate only. */
static void
copy_addresses(struct shadow_object *object)
{
    const PATH_OFFLOAD_STATE_CONST *path = &object->fixed.path_state;
    size_t size = object->ipv6 ? 16 : 4;

    if (object->layer != SHADOW_PATH)
        return;
    if (path->SourceAddress)
        memcpy(object->source, path->SourceAddress, size);
    if (path->DestinationAddress)
        memcpy(object->destination, path->DestinationAddress, size);
}

void
shadow_object_stand_on(struct shadow_object *object, struct shadow_object *parent)
{
    if (object->parent)
        object->parent->dependents--;
    list_del(&object->sibling);
    object->parent = parent;
    if (!parent)
        return;
    parent->dependents++;
    list_add_tail(&parent->children, &object->sibling);
}

struct shadow_object *
shadow_object_add(struct verifier *verifier, struct shadow_node *node)
{
    struct shadow_object *object = calloc(1, sizeof(*object));

    if (!object)
        return NULL;
    object->handle = node->issued.OffloadHandle;
    object->layer = node->layer;
    object->type = node->issued.Header.Type;
    shadow_type(object->type, &(enum shadow_layer){0}, &object->ipv6);
    object->adapter = node->tree->adapter;
    object->binding = node->tree->binding;
    list_init(&object->children);
    list_init(&object->sibling);
    shadow_object_stand_on(object, node->parent ? node->parent->object : NULL);
    list_init(&object->owing);
    for (int kind = 0; kind < SHADOW_KINDS; kind++) {
        list_init(&object->nbls[kind]);
        list_init(&object->completing[kind]);
    }
    if (node->length[SHADOW_CONST])
        memcpy(&object->fixed, node->copy[SHADOW_CONST], node->length[SHADOW_CONST]);
    if (node->length[SHADOW_CACHED])
        memcpy(&object->cached, node->copy[SHADOW_CACHED], node->length[SHADOW_CACHED]);
    if (node->length[SHADOW_DELEGATED])
        memcpy(&object->delegated, node->copy[SHADOW_DELEGATED], node->length[SHADOW_DELEGATED]);
    copy_addresses(object);
    object->lent_state = object->layer == SHADOW_TCP ? object->delegated.tcp.State
                                                     : TcpConnectionEstablished;
    list_add_tail(&object->adapter->objects, &object->link);
    object->adapter->connections += object->layer == SHADOW_TCP;
    object->born = object->seen = node->tree->number;
    object->seen_us = node->tree->started_us;
    table_add(&verifier->objects, &object->entry, object->handle);
    return object;
}

/* ---- graves ---- */

static void
bury(struct shadow_grave *graves, unsigned *at, struct shadow_grave grave)
{
    graves[(*at)++ % SHADOW_GRAVES] = grave;
}

static const struct shadow_grave *
dig(const struct shadow_grave *graves, unsigned at, const void *what)
{
    for (unsigned age = 1; age <= SHADOW_GRAVES && age <= at; age++)
        if (graves[(at - age) % SHADOW_GRAVES].what == what)
            return &graves[(at - age) % SHADOW_GRAVES];
    return NULL;
}

const struct shadow_grave *
shadow_grave_find(const struct verifier *verifier, const void *what)
{
    const struct shadow_grave *grave = dig(verifier->nbl_graves, verifier->nbl_graves_at, what);

    return grave ? grave : dig(verifier->object_graves, verifier->object_graves_at, what);
}

/* ---- … and objects end ---- */

static void
forget_parent(struct shadow_object *parent)
{
    while (!list_empty(&parent->children))
        shadow_object_stand_on(list_first(&parent->children, struct shadow_object, sibling), NULL);
}

static void
drop_nbls(struct verifier *verifier, struct shadow_object *object, int kind)
{
    list_for_each_safe(nbl, &object->nbls[kind], struct shadow_nbl, link) {
        if (kind == SHADOW_INDICATED) { /* still to be returned */
            list_del(&nbl->link);
            nbl->object = NULL;
        } else {
            /* V-051: an initiate that failed leaves its chain alone */
            nbl->again = object->life == SHADOW_INITIATING ? 51 : 153;
            shadow_nbl_drop(verifier, nbl);
        }
    }
}

static void
forget_object(void *arg, struct table_entry *entry)
{
    struct shadow_node *node = container_of(entry, struct shadow_node, entry);

    if (node->object == arg)
        node->object = NULL;
}

void
shadow_node_drop_object(struct verifier *verifier, struct shadow_node *node)
{
    struct shadow_object *object = node->object;

    node->object = NULL;
    object->named--;
    shadow_object_drop(verifier, object);
}

void
shadow_object_drop(struct verifier *verifier, struct shadow_object *object)
{
    if (object->named) /* somebody's breach: it goes while an operation on it is out */
        table_each(&verifier->blocks, forget_object, object);
    if (object->context_entry.key)
        table_remove(&verifier->contexts, &object->context_entry);
    for (int kind = 0; kind < SHADOW_KINDS; kind++) {
        drop_nbls(verifier, object, kind);
        list_del(&object->completing[kind]);
    }
    bury(verifier->object_graves, &verifier->object_graves_at,
         (struct shadow_grave){object->handle, object->life == SHADOW_INITIATING ? 0 : 153,
                               object->adapter->driver, object->binding->driver});
    free(object->owed.bytes);
    forget_parent(object);
    shadow_object_stand_on(object, NULL);
    list_del(&object->owing);
    list_del(&object->link);
    object->adapter->connections -= object->layer == SHADOW_TCP;
    table_remove(&verifier->objects, &object->entry);
    free(object);
}

/* ---- NBLs ---- */

static size_t
count_buffers(const NET_BUFFER_LIST *nbl)
{
    size_t count = 0;

    for (const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb; nb = NET_BUFFER_NEXT_NB(nb))
        count++;
    return count;
}

struct shadow_nbl *
shadow_nbl_add(struct verifier *verifier, const struct call *call, NET_BUFFER_LIST *nbl,
               enum shadow_kind kind, struct shadow_object *object)
{
    size_t count = count_buffers(nbl), at = 0;
    struct shadow_nbl *shadow = calloc(1, sizeof(*shadow) + count * sizeof(shadow->buffers[0]));

    if (!shadow) {
        verifier->blind = true;
        return NULL;
    }
    shadow->nbl = nbl;
    shadow->kind = kind;
    shadow->object = object;
    shadow->adapter = call->adapter;
    shadow->binding = call->binding;
    shadow->number = ++verifier->numbers;
    shadow->thread = call_thread();
    shadow->status = nbl->Status;
    shadow->context = nbl->Context;
    shadow->context_offset = nbl->Context ? nbl->Context->Offset : 0;
    memcpy(shadow->protocol_reserved, nbl->ProtocolReserved, sizeof(shadow->protocol_reserved));
    shadow->buffer_count = count;
    for (const NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl); nb; nb = NET_BUFFER_NEXT_NB(nb)) {
        shadow->buffers[at++] = (struct shadow_buffer){
            NET_BUFFER_DATA_LENGTH(nb), NET_BUFFER_DATA_OFFSET(nb), NET_BUFFER_FIRST_MDL(nb)};
        shadow->length += NET_BUFFER_DATA_LENGTH(nb);
    }
    list_init(&shadow->link);
    if (object)
        list_add_tail(&object->nbls[kind], &shadow->link);
    table_add(&verifier->nbls, &shadow->entry, nbl);
    return shadow;
}

struct shadow_nbl *
shadow_nbl_find(struct verifier *verifier, const NET_BUFFER_LIST *nbl, enum shadow_kind kind,
                const struct shadow_binding *binding)
{
    for (struct table_entry *entry = table_find(&verifier->nbls, nbl); entry;
         entry = table_find_older(entry)) {
        struct shadow_nbl *shadow = container_of(entry, struct shadow_nbl, entry);

        if (shadow->kind == kind && shadow->binding == binding)
            return shadow;
    }
    return NULL;
}

void
shadow_nbl_drop(struct verifier *verifier, struct shadow_nbl *nbl)
{
    bury(verifier->nbl_graves, &verifier->nbl_graves_at,
         (struct shadow_grave){nbl->nbl, nbl->again, nbl->adapter->driver,
                               nbl->binding ? nbl->binding->driver : NULL});
    list_del(&nbl->link);
    table_remove(&verifier->nbls, &nbl->entry);
    free(nbl);
}

/* ---- the end ---- */

void
shadow_fini(struct verifier *verifier)
{
    struct table_entry *entry;

    while ((entry = table_any(&verifier->trees)) != NULL)
        shadow_tree_free(verifier, container_of(entry, struct shadow_tree, entry));
    while ((entry = table_any(&verifier->objects)) != NULL)
        shadow_object_drop(verifier, container_of(entry, struct shadow_object, entry));
    while ((entry = table_any(&verifier->nbls)) != NULL)
        shadow_nbl_drop(verifier, container_of(entry, struct shadow_nbl, entry));
    while ((entry = table_any(&verifier->bindings)) != NULL) {
        table_remove(&verifier->bindings, entry);
        free(container_of(entry, struct shadow_binding, entry));
    }
    while ((entry = table_any(&verifier->adapters)) != NULL) {
        table_remove(&verifier->adapters, entry);
        free(container_of(entry, struct shadow_adapter, entry));
    }
    while (!list_empty(&verifier->drivers))
        free(container_of(list_take_first(&verifier->drivers), struct shadow_driver, link));
    table_fini(&verifier->adapters);
    table_fini(&verifier->bindings);
    table_fini(&verifier->objects);
    table_fini(&verifier->contexts);
    table_fini(&verifier->trees);
    table_fini(&verifier->blocks);
    table_fini(&verifier->nbls);
}
