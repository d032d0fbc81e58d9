/*
 * Neighbor and path objects, which connections share. A path counts its connections, a neighbor its
 * paths; whoever drops the last reference has the object taken back. Invariant: an object is freed
 * only when it is ABSENT, unused and named by no block list in flight. The trick: every object owns
 * the memory of its own terminate, so that taking it back cannot fail. Source: chimney 2, 4.5;
 * V-056, V-063, V-064.
 */
#include "base/log.h"
#include "base/machine.h"
#include "host/edge.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HOST_OBJECT_NAME(name) #name,
static const char *const state_names[] = {HOST_OBJECT_STATES(HOST_OBJECT_NAME)};

#define HOST_OBJECT_EDGE(from, to) [HOST_OBJECT_##from][HOST_OBJECT_##to].legal = true,
static struct machine_edge edges[HOST_OBJECT_STATE_COUNT][HOST_OBJECT_STATE_COUNT] = {
    HOST_OBJECT_EDGES(HOST_OBJECT_EDGE)};
MACHINE(machine, "host object", state_names, edges);

void
host_object_set_state(struct host_object *object, enum host_object_state state, const char *why)
{
    bool legal = machine_walk(&machine, object->state, state);

    log_debug("object %p: %s → %s, %s", (void *)object, state_names[object->state],
              state_names[state], why);
    assert(legal);
    (void)legal; /* a release does not look */
    object->state = state;
}

static void
host_object_init(struct host_object *object, struct host_operation *spare)
{
    memset(object, 0, sizeof *object);
    object->spare = spare;
}

static struct host_neighbor *
neighbor_find(struct host_binding *binding, const struct host_route *route)
{
    list_for_each(neighbor, &binding->neighbors, struct host_neighbor, link)
        if (!neighbor->object.invalid &&
            !memcmp(neighbor->destination_mac, route->destination_mac, 6) &&
            !memcmp(neighbor->source_mac, route->source_mac, 6) &&
            neighbor->vlan_id == route->vlan_id)
            return neighbor;
    return NULL;
}

static struct host_neighbor *
neighbor_create(struct host_binding *binding, const struct host_route *route)
{
    struct host_neighbor *neighbor = calloc(1, sizeof *neighbor);
    struct host_operation *spare = host_operation_create(binding);

    if (!neighbor || !spare) {
        free(neighbor);
        host_operation_destroy(spare);
        return NULL;
    }
    host_object_init(&neighbor->object, spare);
    neighbor->binding = binding;
    memcpy(neighbor->destination_mac, route->destination_mac, 6);
    memcpy(neighbor->source_mac, route->source_mac, 6);
    neighbor->vlan_id = route->vlan_id;
    list_add_tail(&binding->neighbors, &neighbor->link);
    return neighbor;
}

static void
neighbor_free_if_unused(struct host_neighbor *neighbor)
{
    if (neighbor->object.refs || neighbor->object.state != HOST_OBJECT_ABSENT ||
        neighbor->object.updating)
        return;
    list_del(&neighbor->link);
    host_operation_destroy(neighbor->object.spare);
    free(neighbor);
}

static struct host_path *
path_find(struct host_binding *binding, const struct host_neighbor *neighbor,
          const struct host_route *route)
{
    size_t size = route->ipv6 ? 16 : 4;

    list_for_each(path, &binding->paths, struct host_path, link)
        if (path->neighbor == neighbor && !path->object.invalid && path->ipv6 == route->ipv6 &&
            !memcmp(path->source, route->source, size) &&
            !memcmp(path->destination, route->destination, size))
            return path;
    return NULL;
}

static struct host_path *
path_create(struct host_binding *binding, struct host_neighbor *neighbor,
            const struct host_route *route)
{
    struct host_path *path = calloc(1, sizeof *path);
    struct host_operation *spare = host_operation_create(binding);

    if (!path || !spare) {
        free(path);
        host_operation_destroy(spare);
        return NULL;
    }
    host_object_init(&path->object, spare);
    path->neighbor = neighbor;
    neighbor->object.refs++;
    path->ipv6 = route->ipv6;
    memcpy(path->source, route->source, sizeof path->source);
    memcpy(path->destination, route->destination, sizeof path->destination);
    path->mtu = route->path_mtu;
    list_add_tail(&binding->paths, &path->link);
    return path;
}

struct host_path *
host_path_get(struct host_binding *binding, const struct host_route *route)
{
    struct host_neighbor *neighbor = neighbor_find(binding, route);

    if (!neighbor)
        neighbor = neighbor_create(binding, route);
    if (!neighbor)
        return NULL;
    struct host_path *path = path_find(binding, neighbor, route);
    if (!path)
        path = path_create(binding, neighbor, route);
    if (!path) {
        neighbor_free_if_unused(neighbor);
        return NULL;
    }
    if (path->object.state == HOST_OBJECT_ABSENT) {
        path->mtu = route->path_mtu;
        path->mtu_due = 0;
    } else if (route->path_mtu < path->mtu) {
        path->mtu_due = route->path_mtu;
    }
    path->object.refs++;
    return path;
}

void
host_path_put(struct host_path *path)
{
    path->object.refs--;
    host_path_sweep(path);
}

bool
host_path_moving(const struct host_path *path)
{
    return path->object.state == HOST_OBJECT_TERMINATING ||
           path->neighbor->object.state == HOST_OBJECT_TERMINATING;
}

static bool
unused_and_offloaded(const struct host_object *object)
{
    return object->refs == 0 && object->state == HOST_OBJECT_OFFLOADED && !object->updating;
}

void
host_neighbor_sweep(struct host_neighbor *neighbor)
{
    if (unused_and_offloaded(&neighbor->object))
        host_terminate_objects(NULL, neighbor);
    else
        neighbor_free_if_unused(neighbor);
}

void
host_path_sweep(struct host_path *path)
{
    struct host_neighbor *neighbor = path->neighbor;

    if (unused_and_offloaded(&path->object)) {
        bool last = neighbor->object.refs == 1 && neighbor->object.state == HOST_OBJECT_OFFLOADED &&
                    !neighbor->object.updating;
        host_terminate_objects(path, last ? neighbor : NULL);
        return;
    }
    if (path->object.refs || path->object.state != HOST_OBJECT_ABSENT || path->object.updating)
        return;
    list_del(&path->link);
    host_operation_destroy(path->object.spare);
    free(path);
    neighbor->object.refs--;
    host_neighbor_sweep(neighbor);
}
