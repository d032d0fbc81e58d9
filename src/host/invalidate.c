/*
 * Invalidate: nothing more is to be sent by way of a path, or a neighbor, because it leads nowhere.
 * One call for however many connections stand on it; the target asks for each of them (reason
 * InvalidState), and the object goes with its last user, as always. From the call on nobody new
 * gets it: who comes later gets another one. Source: chimney 4.4; V-023, V-061, V-070, R-42.
 */
#include "base/log.h"
#include "host/edge.h"

#include <errno.h>

/* While an initiate names it, it must be left alone. */
static bool
may_invalidate(const struct host_conn *conn, const struct host_object *object, bool neighbor)
{
    const struct host_operation *initiating = conn->binding->initiating;

    if (object->state != HOST_OBJECT_OFFLOADED || object->updating)
        return false;
    return !initiating || (neighbor ? initiating->conn->path->neighbor != conn->path->neighbor
                                    : initiating->conn->path != conn->path);
}

int
host_invalidate(struct host_conn *conn, bool neighbor)
{
    struct host_path *path = conn->path;
    struct host_object *object;
    struct host_operation *operation;

    if (conn->state != HOST_CONN_OFFLOADED)
        return -EBUSY;
    object = neighbor ? &path->neighbor->object : &path->object;
    if (object->invalid)
        return 0;
    if (!may_invalidate(conn, object, neighbor))
        return -EBUSY;
    operation = host_operation_create(conn->binding);
    if (!operation)
        return -ENOMEM;
    operation->neighbor_block = host_block_add(operation, NeighborOffloadState,
                                               neighbor ? &object->handle : NULL);
    if (neighbor) {
        operation->neighbor = path->neighbor;
    } else {
        operation->path = path;
        operation->path_block = host_block_add(
            operation, path->ipv6 ? Ip6OffloadState : Ip4OffloadState, &object->handle);
    }
    object->updating = object->invalid = true;
    conn->binding->operations++;
    NdisInvalidateOffload(conn->binding->handle, operation->root);
    return 0;
}

VOID
host_invalidate_complete(NDIS_HANDLE ProtocolBindingContext,
                         PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct host_binding *binding = ProtocolBindingContext;
    struct host_operation *operation = host_operation_of(OffloadBlockList);
    struct host_path *path = operation->path;
    struct host_neighbor *neighbor = operation->neighbor;
    NDIS_STATUS status = path ? operation->path_block->Status : operation->neighbor_block->Status;

    binding->operations--;
    (path ? &path->object : &neighbor->object)->updating = false;
    if (status != NDIS_STATUS_SUCCESS) {
        log_warn("invalidate of a %s failed: %08x", path ? "path" : "neighbor", (unsigned)status);
        host_upload_users(binding, path, neighbor);
    }
    if (path)
        host_path_sweep(path);
    else
        host_neighbor_sweep(neighbor);
    host_operation_destroy(operation);
    host_initiate_next(binding);
    host_binding_drain(binding);
}
