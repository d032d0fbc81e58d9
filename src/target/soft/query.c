/*
 * Query: fills whatever state structures follow the nodes. Const and cached variables are what the
 * host stack gave (V-053); delegated ones are the engine's at this moment. The headers of the
 * structures are not ours. What failed hardware has lost is FAILURE.
 */
#include "target/soft/conn.h"

#include <stddef.h>
#include <string.h>

/* Everything of a state structure but its header. */
#define COPY_STATE(to, from)                                                                       \
    memcpy((char *)(to) + sizeof(OFFLOAD_STATE_HEADER),                                            \
           (const char *)(from) + sizeof(OFFLOAD_STATE_HEADER),                                    \
           sizeof *(to) - sizeof(OFFLOAD_STATE_HEADER))

static void
query_neighbor(struct soft_object *object, NEIGHBOR_OFFLOAD_STATE_CONST *constant,
               NEIGHBOR_OFFLOAD_STATE_CACHED *cached, NEIGHBOR_OFFLOAD_STATE_DELEGATED *delegated)
{
    const struct soft_neighbor *neighbor = container_of(object, struct soft_neighbor, object);

    if (constant)
        COPY_STATE(constant, &neighbor->constant);
    if (cached)
        COPY_STATE(cached, &neighbor->cached);
    if (delegated)
        delegated->NicReachabilityDelta = soft_neighbor_age(neighbor);
}

static void
query_path(struct soft_object *object, PATH_OFFLOAD_STATE_CONST *constant,
           PATH_OFFLOAD_STATE_CACHED *cached)
{
    const struct soft_path *path = container_of(object, struct soft_path, object);

    if (constant) {
        constant->SourceAddress = path->source;
        constant->DestinationAddress = path->destination;
    }
    if (cached)
        COPY_STATE(cached, &path->cached);
}

static void
query_tcp(struct soft_object *object, TCP_OFFLOAD_STATE_CONST *constant,
          TCP_OFFLOAD_STATE_CACHED *cached, TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    const struct soft_conn *conn = soft_conn_of(object);

    if (constant)
        COPY_STATE(constant, &conn->constant);
    if (cached)
        COPY_STATE(cached, &conn->cached);
    if (!delegated)
        return;
    soft_export_state(conn, soft_now_us(object->adapter), delegated);
    delegated->SendDataHead = delegated->SendDataTail = NULL;
    delegated->BufferedData = NULL;
    delegated->SendBacklogSize = soft_send_backlog(conn);
    delegated->ReceiveBacklogSize = conn->buffered_bytes;
}

static NDIS_STATUS
query_block(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block,
            NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *parent)
{
    struct soft_object *object = soft_block_object(block);
    void *constant = soft_block_state(block, SOFT_CONST);
    void *cached = soft_block_state(block, SOFT_CACHED);
    void *delegated = soft_block_state(block, SOFT_DELEGATED);

    if (!object)
        return NDIS_STATUS_FAILURE;
    switch (object->kind) {
    case SOFT_NEIGHBOR:
        query_neighbor(object, constant, cached, delegated);
        break;
    case SOFT_PATH:
        query_path(object, constant, cached);
        break;
    case SOFT_TCP:
        if (soft_event_lost(soft_conn_of(object)))
            return NDIS_STATUS_FAILURE;
        query_tcp(object, constant, cached, delegated);
        break;
    }
    return NDIS_STATUS_SUCCESS;
}

void
soft_query(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root)
{
    soft_block_walk(adapter, root, false, query_block);
}

VOID
SoftQueryOffload(NDIS_HANDLE MiniportAdapterContext,
                 NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *OffloadBlockList)
{
    soft_operation_queue(MiniportAdapterContext, SOFT_QUERY, OffloadBlockList);
}
