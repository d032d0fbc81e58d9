/*
 * Update: the cached variables, and the one structural change there is, relinking paths to a new
 * neighbor.
 *
 * It takes effect during the call, because TCP_FLAG_UPDATE_RCV_WND with ack = returned
 * counts InitialRcvWnd from the ack point as the host stack knows it: a return between the call and
 * the next turn would put the right edge further than it said. Nothing is called back from here;
 * only the completion waits for the next turn.
 *
 * Sources: chimney 4.3; R-26 for the restart flags.
 */
#include "target/soft/conn.h"

static NDIS_STATUS
update_neighbor(struct soft_object *object, const NEIGHBOR_OFFLOAD_STATE_CACHED *cached)
{
    struct soft_neighbor *neighbor = container_of(object, struct soft_neighbor, object);

    if (cached) {
        neighbor->cached = *cached;
        soft_neighbor_heard(neighbor, cached->HostReachabilityDelta);
    }
    return NDIS_STATUS_SUCCESS;
}

/* Where the path belongs: under a neighbor in the tree that is not its own it moves there. NULL: it
 * cannot. */
static struct soft_object *
neighbor_for(const struct soft_object *path, const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *parent)
{
    struct soft_object *neighbor = parent ? soft_block_object(parent) : NULL;

    if (!neighbor || neighbor == path->parent)
        return path->parent;
    return soft_object_is(neighbor, SOFT_NEIGHBOR) && !neighbor->invalid ? neighbor : NULL;
}

static NDIS_STATUS
update_path(struct soft_object *object, const PATH_OFFLOAD_STATE_CACHED *cached,
            const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *parent)
{
    struct soft_path *path = container_of(object, struct soft_path, object);
    struct soft_object *neighbor = neighbor_for(object, parent);

    if (!neighbor || (cached && !soft_mtu_fits(object->adapter, path->ipv6, cached->PathMtu)))
        return NDIS_STATUS_FAILURE;
    if (neighbor != object->parent)
        soft_object_relink(object, neighbor);
    if (!cached)
        return NDIS_STATUS_SUCCESS;
    path->cached = *cached;
    list_for_each(child, &object->children, struct soft_object, sibling) {
        tcp_set_mtu(&soft_conn_of(child)->tcp, cached->PathMtu);
        soft_dirty(soft_conn_of(child));
    }
    return NDIS_STATUS_SUCCESS;
}

static void
update_window(struct soft_conn *conn)
{
    uint32_t edge = conn->tcp.rcv_edge;

    if (conn->ack_returned) {
        tcp_set_right_edge(&conn->tcp, conn->tcp.rcv_ack + conn->cached.InitialRcvWnd);
        return;
    }
    soft_receive_edge(conn);
    if (conn->tcp.rcv_edge != edge)
        tcp_ack_now(&conn->tcp);
}

static bool
keepalive_changes(const struct soft_conn *conn, const TCP_OFFLOAD_STATE_CACHED *cached)
{
    return cached->KaProbeCount != conn->cached.KaProbeCount ||
           cached->KaTimeout != conn->cached.KaTimeout ||
           cached->KaInterval != conn->cached.KaInterval;
}

static NDIS_STATUS
update_tcp(struct soft_object *object, const TCP_OFFLOAD_STATE_CACHED *cached)
{
    struct soft_conn *conn = soft_conn_of(object);
    const struct soft_adapter *adapter = object->adapter;
    struct tcp_config config = conn->tcp.config;

    if (!cached)
        return NDIS_STATUS_SUCCESS;
    if (cached->InitialRcvWnd > adapter->limits.window_bytes)
        return NDIS_STATUS_FAILURE;
    bool max_rt = cached->Flags & TCP_FLAG_MAX_RT_RESTART ||
                  (cached->MaxRT && cached->MaxRT != conn->cached.MaxRT);
    bool restart = cached->Flags & TCP_FLAG_KEEP_ALIVE_RESTART ||
                   (cached->Flags & TCP_FLAG_MAX_RT_RESTART && keepalive_changes(conn, cached));
    conn->cached = *cached;
    soft_import_cached(adapter, cached, &config);
    tcp_set_keepalive(&conn->tcp, &config, restart, soft_now_us(adapter));
    if (max_rt)
        tcp_restart_max_rt(&conn->tcp, config.max_rt_us, soft_now_us(adapter));
    if (cached->Flags & TCP_FLAG_UPDATE_RCV_WND)
        update_window(conn);
    soft_dirty(conn);
    return NDIS_STATUS_SUCCESS;
}

/* A relinking tree has blocks only, whatever their type says: state follows only where the type is
 * the cached one. */
static void *
cached_of(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block)
{
    switch (block->Header.Type) {
    case NeighborOffloadCachedState:
    case Ip4OffloadCachedState:
    case Ip6OffloadCachedState:
    case TcpOffloadCachedState:
        return soft_block_state(block, SOFT_CACHED);
    default:
        return NULL;
    }
}

static NDIS_STATUS
update_block(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block,
             NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *parent)
{
    struct soft_object *object = soft_block_object(block);
    void *cached = cached_of(block);

    if (!object)
        return NDIS_STATUS_FAILURE;
    switch (object->kind) {
    case SOFT_NEIGHBOR:
        return update_neighbor(object, cached);
    case SOFT_PATH:
        return update_path(object, cached, parent);
    default:
        return update_tcp(object, cached);
    }
}

VOID
SoftUpdateOffload(NDIS_HANDLE MiniportAdapterContext,
                  NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *OffloadBlockList)
{
    soft_block_walk(MiniportAdapterContext, OffloadBlockList, false, update_block);
    soft_operation_queue(MiniportAdapterContext, SOFT_UPDATE, OffloadBlockList);
}
