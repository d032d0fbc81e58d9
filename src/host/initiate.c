/*
 * Initiate: a connection goes down, with its path and neighbor if they are not there yet. The tree
 * is always neighbor → path → TCP; an object that exists already is a linker (its handle has a
 * context), a new one is followed by its state. Initiates of one binding go one at a time, in
 * order: so an object is never created twice, and one that is on its way up is waited for. Source:
 * chimney 3, 4.1; V-019, V-020, V-056, V-059.
 */
#include "base/log.h"
#include "host/edge.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- building ---- */

static void
add_neighbor(struct host_operation *operation, struct host_neighbor *neighbor)
{
    operation->neighbor_block = host_block_add(operation, NeighborOffloadState,
                                               &neighbor->object.handle);
    if (neighbor->object.state == HOST_OBJECT_OFFLOADED)
        return;
    NEIGHBOR_OFFLOAD_STATE_CONST *constant = host_state_add(operation, sizeof *constant);
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached = host_state_add(operation, sizeof *cached);
    /* V-072: both ages start equal, at zero. */
    host_state_add(operation, sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED));
    memcpy(constant->DlSourceAddress, neighbor->source_mac, 6);
    constant->VlanId = neighbor->vlan_id & 0xfffu;
    memcpy(cached->DlDestinationAddress, neighbor->destination_mac, 6);
    operation->neighbor = neighbor;
    host_object_set_state(&neighbor->object, HOST_OBJECT_INITIATING, "named by an initiate");
}

static void
add_path(struct host_operation *operation, struct host_path *path)
{
    ULONG type = path->ipv6 ? Ip6OffloadState : Ip4OffloadState;

    operation->path_block = host_block_add(operation, type, &path->object.handle);
    if (path->object.state == HOST_OBJECT_OFFLOADED)
        return;
    PATH_OFFLOAD_STATE_CONST *constant = host_state_add(operation, sizeof *constant);
    PATH_OFFLOAD_STATE_CACHED *cached = host_state_add(operation, sizeof *cached);
    host_state_add(operation, sizeof(PATH_OFFLOAD_STATE_DELEGATED));
    constant->SourceAddress = path->source;
    constant->DestinationAddress = path->destination;
    cached->PathMtu = path->mtu;
    operation->path = path;
    host_object_set_state(&path->object, HOST_OBJECT_INITIATING, "named by an initiate");
}

/* Copies a state structure behind its header, which stays as host_state_add made it. */
#define COPY_STATE(to, from)                                                                       \
    memcpy((char *)(to) + sizeof(OFFLOAD_STATE_HEADER),                                            \
           (const char *)(from) + sizeof(OFFLOAD_STATE_HEADER),                                    \
           sizeof *(to) - sizeof(OFFLOAD_STATE_HEADER))

static void
add_tcp(struct host_operation *operation, struct host_conn *conn, const struct host_initiate *what)
{
    conn->handle = (NDIS_OFFLOAD_HANDLE){{NULL}, NULL};
    operation->tcp_block = host_block_add(operation, TcpOffloadState, &conn->handle);
    operation->tcp_block->NetBufferListChain = what->sends;
    TCP_OFFLOAD_STATE_CONST *constant = host_state_add(operation, sizeof *constant);
    TCP_OFFLOAD_STATE_CACHED *cached = host_state_add(operation, sizeof *cached);
    TCP_OFFLOAD_STATE_DELEGATED *delegated = host_state_add(operation, sizeof *delegated);
    COPY_STATE(constant, &what->constant);
    COPY_STATE(cached, &what->cached);
    COPY_STATE(delegated, &what->delegated);
    conn->extended = what->constant.Flags & TCP_FLAG_STATE_EXTENDED;
    if (conn->extended) {
        TCP_OFFLOAD_STATE_EXTENSION *extension = host_state_add(operation, sizeof *extension);
        COPY_STATE(extension, &what->extension);
    }
    host_nbl_claim(conn, what->sends);
}

/* ---- asking ---- */

static bool
family_supported(const struct host_binding *binding, bool ipv6)
{
    ULONG support = ipv6 ? binding->capabilities.SupportIPv6 : binding->capabilities.SupportIPv4;

    return support == NDIS_OFFLOAD_SUPPORTED;
}

static int
may_initiate(const struct host_conn *conn, const struct host_binding *binding,
             const struct host_initiate *what)
{
    if (conn->state != HOST_CONN_HOST)
        return -EBUSY;
    if (!binding->chimney || !family_supported(binding, what->route.ipv6))
        return -EOPNOTSUPP;
    if (binding->state != HOST_BINDING_RUNNING || host_binding_paused(binding))
        return -EAGAIN;
    if (binding->conn_count >= binding->capabilities.TcpConnectionOffloadCapacity)
        return -ENOSPC; /* V-060 */
    return 0;
}

int
host_initiate(struct host_conn *conn, struct host_binding *binding,
              const struct host_initiate *what)
{
    int error = may_initiate(conn, binding, what);

    if (error)
        return error;
    struct host_operation *operation = host_operation_create(binding);
    struct host_initiate *copy = malloc(sizeof *copy);
    struct host_path *path = operation && copy ? host_path_get(binding, &what->route) : NULL;
    if (!path) {
        free(copy);
        host_operation_destroy(operation);
        return -ENOMEM;
    }
    *copy = *what;
    operation->what = copy;
    operation->conn = conn;
    conn->binding = binding;
    conn->path = path;
    conn->operation = operation;
    conn->updates = conn->queries = 0;
    list_add_tail(&binding->conns, &conn->link);
    binding->conn_count++;
    list_add_tail(&binding->queue, &operation->link);
    host_conn_set_state(conn, HOST_CONN_QUEUED, "initiate asked");
    host_initiate_next(binding);
    return 0;
}

/* The connection is the host stack's again; its last reference to the path may take that back, too.
 */
static void
give_up(struct host_operation *operation, const struct host_initiate_result *result,
        const char *why)
{
    struct host_conn *conn = operation->conn;
    struct host_path *path = conn->path;

    list_del(&conn->link);
    conn->binding->conn_count--;
    conn->path = NULL;
    conn->operation = NULL;
    host_operation_destroy(operation);
    host_conn_set_state(conn, HOST_CONN_HOST, why);
    conn->ops->on_initiated(conn, result);
    host_path_put(path);
}

/* What it was to stand on was invalidated while it waited: it gets another path. */
static bool
stands(struct host_operation *operation)
{
    struct host_conn *conn = operation->conn;
    struct host_path *old = conn->path, *path;

    if (!old->object.invalid && !old->neighbor->object.invalid)
        return true;
    path = host_path_get(operation->binding, &operation->what->route);
    if (!path)
        return false;
    conn->path = path;
    host_path_put(old);
    return true;
}

void
host_initiate_next(struct host_binding *binding)
{
    if (binding->initiating || list_empty(&binding->queue) ||
        binding->state != HOST_BINDING_RUNNING)
        return;
    struct host_operation *operation = list_first(&binding->queue, struct host_operation, link);
    struct host_conn *conn = operation->conn;
    if (!stands(operation) || host_path_moving(conn->path))
        return; /* without memory: what ends next tries again */
    list_del(&operation->link);
    binding->initiating = operation;
    binding->operations++;
    add_neighbor(operation, conn->path->neighbor);
    add_path(operation, conn->path);
    add_tcp(operation, conn, operation->what);
    host_conn_set_state(conn, HOST_CONN_INITIATING, "its turn");
    NdisInitiateOffload(binding->handle, operation->root);
}

/* ---- answers ---- */

void
host_initiate_refuse(struct host_binding *binding, NDIS_STATUS status)
{
    struct host_initiate_result result = {.neighbor = status, .path = status, .tcp = status};

    while (!list_empty(&binding->queue)) {
        struct host_operation *operation = list_first(&binding->queue, struct host_operation, link);
        list_del(&operation->link);
        give_up(operation, &result, "refused while it waited");
    }
}

static void
object_initiated(struct host_object *object, NDIS_STATUS status)
{
    bool there = status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;

    if (there) {
        host_object_set_state(object, HOST_OBJECT_OFFLOADED, "initiate completed");
        return;
    }
    host_object_set_state(object, HOST_OBJECT_ABSENT, "initiate failed");
    object->handle = (NDIS_OFFLOAD_HANDLE){{NULL}, NULL};
}

VOID
host_initiate_complete(NDIS_HANDLE ProtocolBindingContext,
                       PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct host_binding *binding = ProtocolBindingContext;
    struct host_operation *operation = host_operation_of(OffloadBlockList);
    struct host_conn *conn = operation->conn;
    struct host_initiate_result result = {.neighbor = operation->neighbor_block->Status,
                                          .path = operation->path_block->Status,
                                          .tcp = operation->tcp_block->Status};

    binding->initiating = NULL;
    binding->operations--;
    if (operation->neighbor)
        object_initiated(&operation->neighbor->object, result.neighbor);
    if (operation->path)
        object_initiated(&operation->path->object, result.path);
    if (result.tcp == NDIS_STATUS_SUCCESS) {
        host_operation_reset(operation);
        host_conn_set_state(conn, HOST_CONN_OFFLOADED, "initiate completed");
        host_path_tell_mtu(conn->path);
        conn->ops->on_initiated(conn, &result);
    } else {
        log_info("initiate on %s failed: %08x %08x %08x", binding->adapter,
                 (unsigned)result.neighbor, (unsigned)result.path, (unsigned)result.tcp);
        give_up(operation, &result, "initiate failed");
    }
    host_initiate_next(binding);
    host_binding_drain(binding);
}
