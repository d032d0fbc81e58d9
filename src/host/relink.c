/*
 * Relinking: a path leads over another neighbor from now on, because the router has changed; its
 * connections stay where they are. The new neighbor must be with the target already: somebody uses
 * it. Both objects count as being updated until the answer, so nobody takes them back meanwhile,
 * and the old neighbor goes with its last path. Source: chimney 4.3; V-026, V-061, V-069.
 */
#include "base/log.h"
#include "host/edge.h"

#include <errno.h>
#include <string.h>

static struct host_neighbor *
find_neighbor(const struct host_conn *conn, const UCHAR mac[6])
{
    const struct host_neighbor *old = conn->path->neighbor;

    list_for_each(neighbor, &conn->binding->neighbors, struct host_neighbor, link)
        if (!neighbor->object.invalid && neighbor->vlan_id == old->vlan_id &&
            !memcmp(neighbor->destination_mac, mac, 6) &&
            !memcmp(neighbor->source_mac, old->source_mac, 6))
            return neighbor;
    return NULL;
}

static bool
is_free(const struct host_object *object)
{
    return object->state == HOST_OBJECT_OFFLOADED && !object->updating && !object->invalid;
}

static bool
named_by_an_initiate(const struct host_path *path, const struct host_neighbor *neighbor)
{
    const struct host_operation *initiating = neighbor->binding->initiating;

    return initiating &&
           (initiating->conn->path == path || initiating->conn->path->neighbor == neighbor);
}

int
host_relink(struct host_conn *conn, const UCHAR mac[6])
{
    struct host_path *path = conn->path;
    struct host_neighbor *neighbor;
    struct host_operation *operation;

    if (conn->state != HOST_CONN_OFFLOADED)
        return -EBUSY;
    if (!path->neighbor->object.invalid && !memcmp(path->neighbor->destination_mac, mac, 6))
        return 0;
    neighbor = find_neighbor(conn, mac);
    if (!neighbor)
        return -ENOENT;
    if (!is_free(&path->object) || !is_free(&neighbor->object) ||
        named_by_an_initiate(path, neighbor))
        return -EBUSY;
    operation = host_operation_create(conn->binding);
    if (!operation)
        return -ENOMEM;
    operation->neighbor = neighbor;
    operation->path = path;
    operation->neighbor_block = host_block_add(operation, NeighborOffloadState,
                                               &neighbor->object.handle);
    operation->path_block = host_block_add(
        operation, path->ipv6 ? Ip6OffloadState : Ip4OffloadState, &path->object.handle);
    path->object.updating = neighbor->object.updating = true;
    conn->binding->operations++;
    NdisUpdateOffload(conn->binding->handle, operation->root);
    return 0;
}

void
host_relinked(struct host_operation *operation)
{
    struct host_path *path = operation->path;
    struct host_neighbor *neighbor = operation->neighbor, *old = path->neighbor;
    NDIS_STATUS status = operation->path_block->Status;

    path->object.updating = neighbor->object.updating = false;
    if (status == NDIS_STATUS_SUCCESS) {
        path->neighbor = neighbor;
        neighbor->object.refs++;
        old->object.refs--;
    } else {
        log_warn("relinking of a path failed: %08x", (unsigned)status);
        host_upload_users(operation->binding, path, NULL);
    }
    host_path_tell_mtu(path);
    host_path_sweep(path);
    host_neighbor_sweep(status == NDIS_STATUS_SUCCESS ? old : neighbor);
}
