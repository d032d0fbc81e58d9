/*
 * Query: a copy of a connection's delegated variables; any number may be in flight. Source:
 * chimney 4.2, V-052.
 */
#include "host/edge.h"

#include <errno.h>

int
host_query(struct host_conn *conn)
{
    if (conn->state != HOST_CONN_OFFLOADED)
        return -EBUSY;
    struct host_operation *operation = host_operation_create(conn->binding);
    if (!operation)
        return -ENOMEM;
    operation->conn = conn;
    host_block_add(operation, NeighborOffloadDelegatedState, NULL);
    host_block_add(operation,
                   conn->path->ipv6 ? Ip6OffloadDelegatedState : Ip4OffloadDelegatedState, NULL);
    operation->tcp_block = host_block_add(operation, TcpOffloadDelegatedState, &conn->handle);
    host_state_add(operation, sizeof(TCP_OFFLOAD_STATE_DELEGATED));
    conn->queries++;
    operation->binding->operations++;
    NdisQueryOffloadState(conn->binding->handle, operation->root);
    return 0;
}

VOID
host_query_complete(NDIS_HANDLE ProtocolBindingContext,
                    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct host_binding *binding = ProtocolBindingContext;
    struct host_operation *operation = host_operation_of(OffloadBlockList);
    struct host_conn *conn = operation->conn;

    binding->operations--;
    conn->queries--;
    conn->ops->on_queried(conn, operation->tcp_block->Status,
                          NDIS_OFFLOAD_STATE_FIRST(operation->tcp_block));
    host_operation_destroy(operation);
    host_binding_drain(binding);
}
