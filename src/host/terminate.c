/*
 * Terminate: a connection comes home. Its last user takes path and neighbor along, in one tree
 * neighbor → path → TCP; otherwise what stands above it are placeholders. Objects that lose their
 * last user in another way (a failed initiate, two connections leaving at once) go alone. The
 * memory was set aside when the object went down: taking back cannot fail. Source: chimney 4.5;
 * V-025, V-062, V-063, P19.
 */
#include "base/log.h"
#include "host/edge.h"

#include <errno.h>

static void
add_neighbor(struct host_operation *operation, struct host_neighbor *neighbor)
{
    operation->neighbor = neighbor;
    operation->neighbor_block = host_block_add(operation, NeighborOffloadDelegatedState,
                                               neighbor ? &neighbor->object.handle : NULL);
    if (!neighbor)
        return;
    host_state_add(operation, sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED));
    host_object_set_state(&neighbor->object, HOST_OBJECT_TERMINATING, "terminate asked");
}

static void
add_path(struct host_operation *operation, struct host_path *path, bool ipv6)
{
    operation->path = path;
    operation->path_block = host_block_add(
        operation, ipv6 ? Ip6OffloadDelegatedState : Ip4OffloadDelegatedState,
        path ? &path->object.handle : NULL);
    if (!path)
        return;
    host_state_add(operation, sizeof(PATH_OFFLOAD_STATE_DELEGATED));
    host_object_set_state(&path->object, HOST_OBJECT_TERMINATING, "terminate asked");
}

static void
launch(struct host_operation *operation)
{
    operation->binding->operations++;
    NdisTerminateOffload(operation->binding->handle, operation->root);
}

void
host_terminate_objects(struct host_path *path, struct host_neighbor *neighbor)
{
    struct host_operation *operation = path ? path->object.spare : neighbor->object.spare;

    host_operation_reset(operation);
    add_neighbor(operation, neighbor);
    if (path)
        add_path(operation, path, path->ipv6);
    launch(operation);
}

/* True if nothing but the one user that is leaving holds the object down. */
static bool
leaves_too(const struct host_object *object)
{
    return object->refs == 1 && object->state == HOST_OBJECT_OFFLOADED && !object->updating;
}

int
host_terminate(struct host_conn *conn)
{
    if (conn->state != HOST_CONN_OFFLOADED || conn->updates || conn->queries)
        return -EBUSY;
    struct host_operation *operation = conn->operation;
    struct host_path *path = leaves_too(&conn->path->object) ? conn->path : NULL;
    struct host_neighbor *neighbor = path && leaves_too(&path->neighbor->object) ? path->neighbor
                                                                                 : NULL;
    host_operation_reset(operation);
    operation->conn = conn;
    add_neighbor(operation, neighbor);
    add_path(operation, path, conn->path->ipv6);
    operation->tcp_block = host_block_add(operation, TcpOffloadDelegatedState, &conn->handle);
    host_state_add(operation, sizeof(TCP_OFFLOAD_STATE_DELEGATED));
    if (conn->extended)
        host_state_add(operation, sizeof(TCP_OFFLOAD_STATE_EXTENSION));
    host_conn_set_state(conn, HOST_CONN_TERMINATING, "terminate asked");
    launch(operation);
    return 0;
}

void
host_terminate_all(struct host_binding *binding)
{
    list_for_each_safe(conn, &binding->conns, struct host_conn, link)
        if (conn->state == HOST_CONN_OFFLOADED)
            host_terminate(conn);
}

/* Whatever the status, the object is gone from the target (P19). */
static void
object_terminated(struct host_object *object, NDIS_STATUS status)
{
    if (status != NDIS_STATUS_SUCCESS)
        log_warn("terminate of an object failed: %08x", (unsigned)status);
    host_object_set_state(object, HOST_OBJECT_ABSENT, "terminate completed");
    object->handle = (NDIS_OFFLOAD_HANDLE){{NULL}, NULL};
}

static struct host_path *
conn_terminated(struct host_operation *operation)
{
    struct host_conn *conn = operation->conn;
    struct host_path *path = conn->path;
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *block = operation->tcp_block;
    TCP_OFFLOAD_STATE_DELEGATED *delegated = NDIS_OFFLOAD_STATE_FIRST(block);
    struct host_terminate_result result = {.status = block->Status};

    if (result.status == NDIS_STATUS_SUCCESS) {
        result.delegated = *delegated;
        result.sends = block->NetBufferListChain;
        result.buffered = delegated->BufferedData;
        if (conn->extended)
            result.extension = *(TCP_OFFLOAD_STATE_EXTENSION *)NDIS_OFFLOAD_STATE_NEXT(delegated);
    }
    list_del(&conn->link);
    conn->binding->conn_count--;
    conn->path = NULL;
    conn->operation = NULL;
    host_operation_destroy(operation);
    host_conn_set_state(conn, HOST_CONN_HOST, "terminate completed");
    conn->ops->on_terminated(conn, &result);
    return path;
}

VOID
host_terminate_complete(NDIS_HANDLE ProtocolBindingContext,
                        PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct host_binding *binding = ProtocolBindingContext;
    struct host_operation *operation = host_operation_of(OffloadBlockList);
    struct host_path *path = operation->path;
    struct host_neighbor *neighbor = operation->neighbor;

    binding->operations--;
    if (path)
        object_terminated(&path->object, operation->path_block->Status);
    if (neighbor)
        object_terminated(&neighbor->object, operation->neighbor_block->Status);
    if (operation->conn)
        host_path_put(conn_terminated(operation));
    else if (path)
        host_path_sweep(path);
    else
        host_neighbor_sweep(neighbor);
    host_initiate_next(binding);
    host_binding_drain(binding);
}
