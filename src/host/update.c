/*
 * Update: new values of cached variables for a connection, its path or its neighbor; what stands
 * above are placeholders. Never two updates of one object at once (V-061), and none while the
 * object moves. A shared object whose update fails sends its users home (V-069). Whoever links to a
 * path that is there already, and knows of a smaller MTU, has it updated: nobody else may be left
 * to do so. Source: chimney 4.3.
 */
#include "base/log.h"
#include "host/edge.h"

#include <errno.h>
#include <string.h>

static void
launch(struct host_operation *operation)
{
    operation->binding->operations++;
    NdisUpdateOffload(operation->binding->handle, operation->root);
}

int
host_update(struct host_conn *conn, const TCP_OFFLOAD_STATE_CACHED *cached)
{
    if (conn->state != HOST_CONN_OFFLOADED || conn->updates)
        return -EBUSY;
    struct host_operation *operation = host_operation_create(conn->binding);
    if (!operation)
        return -ENOMEM;
    operation->conn = conn;
    host_block_add(operation, NeighborOffloadCachedState, NULL);
    host_block_add(operation, conn->path->ipv6 ? Ip6OffloadCachedState : Ip4OffloadCachedState,
                   NULL);
    operation->tcp_block = host_block_add(operation, TcpOffloadCachedState, &conn->handle);
    TCP_OFFLOAD_STATE_CACHED *state = host_state_add(operation, sizeof *state);
    *state = *cached;
    state->Header = (OFFLOAD_STATE_HEADER){.Length = sizeof *state};
    conn->updates++;
    launch(operation);
    return 0;
}

static bool
may_update(const struct host_object *object)
{
    return !object->updating && !object->invalid &&
           (object->state == HOST_OBJECT_OFFLOADED || object->state == HOST_OBJECT_ABSENT);
}

static int
update_one_neighbor(struct host_neighbor *neighbor, const UCHAR mac[6])
{
    if (!may_update(&neighbor->object))
        return -EBUSY;
    if (neighbor->object.state == HOST_OBJECT_OFFLOADED) {
        struct host_operation *operation = host_operation_create(neighbor->binding);
        if (!operation)
            return -ENOMEM;
        operation->neighbor = neighbor;
        operation->neighbor_block = host_block_add(operation, NeighborOffloadCachedState,
                                                   &neighbor->object.handle);
        NEIGHBOR_OFFLOAD_STATE_CACHED *cached = host_state_add(operation, sizeof *cached);
        memcpy(cached->DlDestinationAddress, mac, 6);
        neighbor->object.updating = true;
        launch(operation);
    }
    memcpy(neighbor->destination_mac, mac, 6);
    return 0;
}

int
host_update_neighbor(struct host_binding *binding, const UCHAR old_mac[6], const UCHAR new_mac[6])
{
    int result = 0;

    list_for_each(neighbor, &binding->neighbors, struct host_neighbor, link) {
        if (neighbor->object.invalid || memcmp(neighbor->destination_mac, old_mac, 6) != 0)
            continue;
        int error = update_one_neighbor(neighbor, new_mac);
        result = result ? result : error;
    }
    return result;
}

static int
update_mtu(struct host_path *path, ULONG path_mtu)
{
    if (!may_update(&path->object))
        return -EBUSY;
    if (path->mtu != path_mtu && path->object.state == HOST_OBJECT_OFFLOADED) {
        struct host_operation *operation = host_operation_create(path->neighbor->binding);
        if (!operation)
            return -ENOMEM;
        operation->path = path;
        host_block_add(operation, NeighborOffloadCachedState, NULL);
        operation->path_block = host_block_add(
            operation, path->ipv6 ? Ip6OffloadCachedState : Ip4OffloadCachedState,
            &path->object.handle);
        PATH_OFFLOAD_STATE_CACHED *cached = host_state_add(operation, sizeof *cached);
        cached->PathMtu = path_mtu;
        path->object.updating = true;
        launch(operation);
    }
    path->mtu = path_mtu;
    path->mtu_due = 0;
    return 0;
}

int
host_update_path_mtu(struct host_conn *conn, ULONG path_mtu)
{
    return conn->path ? update_mtu(conn->path, path_mtu) : -EBUSY;
}

void
host_path_tell_mtu(struct host_path *path)
{
    if (path->mtu_due)
        update_mtu(path, path->mtu_due); /* if not now, what ends next tries again */
}

static void
shared_updated(struct host_operation *operation)
{
    struct host_path *path = operation->path;
    struct host_neighbor *neighbor = operation->neighbor;
    struct host_object *object = path ? &path->object : &neighbor->object;

    if (path && neighbor) {
        host_relinked(operation);
        return;
    }
    NDIS_STATUS status = path ? operation->path_block->Status : operation->neighbor_block->Status;

    object->updating = false;
    if (status != NDIS_STATUS_SUCCESS) {
        log_warn("update of a %s failed: %08x", path ? "path" : "neighbor", (unsigned)status);
        host_upload_users(operation->binding, path, neighbor);
    }
    if (path) {
        host_path_tell_mtu(path);
        host_path_sweep(path);
    } else {
        host_neighbor_sweep(neighbor);
    }
}

VOID
host_update_complete(NDIS_HANDLE ProtocolBindingContext,
                     PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct host_binding *binding = ProtocolBindingContext;
    struct host_operation *operation = host_operation_of(OffloadBlockList);
    struct host_conn *conn = operation->conn;

    binding->operations--;
    if (conn) {
        conn->updates--;
        conn->ops->on_updated(conn, operation->tcp_block->Status);
    } else {
        shared_updated(operation);
    }
    host_operation_destroy(operation);
    host_initiate_next(binding);
    host_binding_drain(binding);
}
