/*
 * Initiate: adopting a tree of neighbors, paths and connections.
 *
 * The walk is depth first, then to the sibling (V-041): N1, P1, T1, T2, P2, T3, N2. A node that
 * cannot be adopted takes its dependents with it and the walk goes on with its sibling; only a
 * failed root ends it (V-040). Each node is decoded completely (every check, every allocation)
 * before anything of it is visible; the last step, writing the context through
 * MiniportOffloadContext, cannot fail. Until the completion call has returned a connection is
 * ADOPTED: it takes segments, but nothing about it is indicated (V-107).
 *
 * Sources: chimney 3 (roles, statuses), 4.1.
 */
#include "base/log.h"
#include "target/soft/conn.h"

#include <stdlib.h>
#include <string.h>

static bool
succeeded(NDIS_STATUS status)
{
    return status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

/* ---- decoding one node ---- */

static NDIS_STATUS
adopt_neighbor(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block,
               struct soft_object **out)
{
    const NEIGHBOR_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(block);
    const NEIGHBOR_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);

    if (block->Header.Type != NeighborOffloadState)
        return NDIS_STATUS_FAILURE;
    struct soft_neighbor *neighbor = calloc(1, sizeof *neighbor);
    if (!neighbor)
        return NDIS_STATUS_RESOURCES;
    neighbor->constant = *constant;
    neighbor->cached = *cached;
    NDIS_STATUS status = soft_limits_neighbor(adapter, neighbor);
    if (status != NDIS_STATUS_SUCCESS) {
        soft_neighbor_free(neighbor);
        return status;
    }
    soft_object_init(&neighbor->object, SOFT_NEIGHBOR, adapter, NULL, block->NdisOffloadHandle);
    soft_neighbor_heard(neighbor, cached->HostReachabilityDelta);
    neighbor->progress_us = neighbor->asked_us = neighbor->host_us;
    *out = &neighbor->object;
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
adopt_path(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block,
           struct soft_object *parent, struct soft_object **out)
{
    const PATH_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(block);
    const PATH_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    bool ipv6 = block->Header.Type == Ip6OffloadState;

    if (!ipv6 && block->Header.Type != Ip4OffloadState)
        return NDIS_STATUS_FAILURE;
    if (!constant->SourceAddress || !constant->DestinationAddress)
        return NDIS_STATUS_FAILURE;
    struct soft_path *path = calloc(1, sizeof *path);
    if (!path)
        return NDIS_STATUS_RESOURCES;
    path->ipv6 = ipv6;
    memcpy(path->source, constant->SourceAddress, ipv6 ? 16 : 4);
    memcpy(path->destination, constant->DestinationAddress, ipv6 ? 16 : 4);
    path->cached = *cached;
    NDIS_STATUS status = soft_limits_path(adapter, path);
    if (status != NDIS_STATUS_SUCCESS) {
        soft_path_free(path);
        return status;
    }
    soft_object_init(&path->object, SOFT_PATH, adapter, parent, block->NdisOffloadHandle);
    *out = &path->object;
    return NDIS_STATUS_SUCCESS;
}

static void
fill_key(struct soft_key *key, const struct soft_path *path,
         const TCP_OFFLOAD_STATE_CONST *constant)
{
    key->ipv6 = path->ipv6;
    key->local_port = constant->LocalPort;
    key->peer_port = constant->RemotePort;
    memcpy(key->local, path->source, sizeof key->local);
    memcpy(key->peer, path->destination, sizeof key->peer);
}

/* The bytes of the send chain; false: SendDataHead and SendDataTail are not in it (V-089). */
static bool
measure_chain(const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block,
              const TCP_OFFLOAD_STATE_DELEGATED *delegated, uint32_t *bytes)
{
    bool head = !delegated->SendDataHead, tail = !delegated->SendDataTail;

    *bytes = 0;
    for (NET_BUFFER_LIST *nbl = block->NetBufferListChain; nbl;
         nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        *bytes += soft_nbl_measure(nbl);
        head |= nbl == delegated->SendDataHead;
        tail |= nbl == delegated->SendDataTail;
    }
    return head && tail;
}

static NDIS_STATUS
check_tcp(struct soft_adapter *adapter, const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block,
          const struct soft_object *parent, const TCP_OFFLOAD_STATE_CONST *constant,
          const TCP_OFFLOAD_STATE_CACHED *cached, const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    const struct soft_path *path = container_of(parent, struct soft_path, object);
    struct soft_key key = {.ipv6 = false};
    NDIS_STATUS status;

    if (block->Header.Type != TcpOffloadState)
        return NDIS_STATUS_FAILURE;
    status = soft_limits_tcp(adapter, block->NetBufferListChain, constant, cached, delegated);
    if (status != NDIS_STATUS_SUCCESS)
        return status;
    fill_key(&key, path, constant);
    return soft_conn_find(adapter, &key, soft_path_neighbor(path)->constant.VlanId)
               ? NDIS_STATUS_FAILURE
               : NDIS_STATUS_SUCCESS;
}

/* The flags of an update may come with the initiate (chimney 4.3). */
static void
restart_timers(const struct soft_conn *conn, struct tcp_state *state)
{
    if (conn->cached.Flags & TCP_FLAG_MAX_RT_RESTART)
        state->total_rt_us = 0;
    if (conn->cached.Flags & TCP_FLAG_KEEP_ALIVE_RESTART) {
        state->keepalive_probe_count = 0;
        state->keepalive_delta_us = TCP_NEVER;
    }
}

static NDIS_STATUS
restore(struct soft_conn *conn, const struct soft_object *parent,
        const TCP_OFFLOAD_STATE_DELEGATED *delegated, uint32_t send_bytes, uint64_t now_us)
{
    const struct soft_path *path = container_of(parent, struct soft_path, object);
    const struct soft_adapter *adapter = conn->object.adapter;
    struct tcp_config config;
    struct tcp_state state;

    soft_import_config(adapter, conn, path, delegated->TsTime, now_us, &config);
    if (!soft_import_state(adapter, delegated, send_bytes, &state))
        return NDIS_STATUS_FAILURE;
    restart_timers(conn, &state);
    if (tcp_restore(&conn->tcp, &config, &state, now_us))
        return NDIS_STATUS_FAILURE;
    soft_extension_restore(conn, delegated, now_us);
    if (config.ecn && !conn->extended)
        return NDIS_STATUS_FAILURE; /* what the peer is owed of congestion nothing else says */
    if (!soft_receive_adopt(conn, delegated->BufferedData, delegated->RcvNxt))
        return NDIS_STATUS_RESOURCES;
    if (conn->cached.Flags & TCP_FLAG_UPDATE_RCV_WND &&
        conn->cached.InitialRcvWnd != delegated->RcvWnd)
        tcp_ack_now(&conn->tcp);
    conn->dwnd = delegated->DWnd;
    conn->finished = state.fin_queued;
    conn->fin_received = conn->fin_indicated = state.state == TCP_CLOSE_WAIT ||
                                               state.state == TCP_CLOSING ||
                                               state.state == TCP_LAST_ACK;
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
adopt_tcp(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block,
          struct soft_object *parent, uint64_t now_us, struct soft_object **out)
{
    const TCP_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(block);
    const TCP_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    const TCP_OFFLOAD_STATE_DELEGATED *delegated = NDIS_OFFLOAD_STATE_NEXT(cached);
    NDIS_STATUS status = check_tcp(adapter, block, parent, constant, cached, delegated);
    uint32_t send_bytes;

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    if (!measure_chain(block, delegated, &send_bytes))
        return NDIS_STATUS_FAILURE;
    struct soft_conn *conn = soft_conn_create(adapter);
    if (!conn)
        return NDIS_STATUS_RESOURCES;
    conn->constant = *constant;
    conn->cached = *cached;
    conn->ack_returned = constant->Flags & TCP_FLAG_ACK_RETURNED;
    fill_key(&conn->key, container_of(parent, struct soft_path, object), constant);
    status = restore(conn, parent, delegated, send_bytes, now_us);
    if (status != NDIS_STATUS_SUCCESS) {
        sys_timer_fini(&conn->timer);
        free(conn);
        return status;
    }
    conn->send_seq = delegated->SndUna;
    soft_send_adopt(conn, block->NetBufferListChain);
    soft_object_init(&conn->object, SOFT_TCP, adapter, parent, block->NdisOffloadHandle);
    soft_conn_insert(conn);
    list_add_tail(&adapter->adopted, &conn->adopted);
    *out = &conn->object;
    return NDIS_STATUS_SUCCESS;
}

static bool
usable(const struct soft_object *object)
{
    while (object && !object->invalid)
        object = object->parent;
    return !object;
}

static NDIS_STATUS
adopt(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block, unsigned kind,
      struct soft_object *parent, uint64_t now_us, struct soft_object **out)
{
    if (kind == SOFT_NEIGHBOR)
        return adopt_neighbor(adapter, block, out);
    if (!parent || !usable(parent)) /* under a placeholder, or under what may not be used */
        return NDIS_STATUS_FAILURE;
    return kind == SOFT_PATH ? adopt_path(adapter, block, parent, out)
                             : adopt_tcp(adapter, block, parent, now_us, out);
}

/* ---- the walk ---- */

/* A node that was not tried, its siblings, and everything under them. */
static void
fail_tree(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *list)
{
    struct soft_walk walk;

    for (soft_walk_first(&walk, list); walk.block; soft_walk_next(&walk))
        walk.block->Status = walk.block->MiniportOffloadContext ? NDIS_STATUS_FAILURE
                                                                : NDIS_STATUS_SUCCESS;
}

/* Before its dependents. The status of a linker is FAILURE until one of them succeeds. False: they
 * fail with it. */
static bool
enter(struct soft_adapter *adapter, const struct soft_walk *walk, unsigned kind, uint64_t now_us)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block = walk->block, *parent = soft_walk_parent(walk);
    struct soft_object *object = soft_block_object(block);

    if (!block->MiniportOffloadContext) {
        block->Status = NDIS_STATUS_SUCCESS;
        return true;
    }
    if (object || kind > SOFT_TCP) {
        block->Status = NDIS_STATUS_FAILURE;
        return kind < SOFT_TCP && soft_object_is(object, kind);
    }
    block->Status = adopt(adapter, block, kind, parent ? soft_block_object(parent) : NULL, now_us,
                          &object);
    if (block->Status != NDIS_STATUS_SUCCESS)
        return false;
    *block->MiniportOffloadContext = object;
    return true;
}

/* After its dependents. Placeholders among them do not count. A connection has none; what
 * hangs on it all the same has failed, and it says so. */
static void
leave(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block)
{
    unsigned nodes = 0, good = 0;

    if (!block->MiniportOffloadContext)
        return;
    for (const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *dependent = block->DependentBlockList; dependent;
         dependent = dependent->NextBlock) {
        nodes += dependent->MiniportOffloadContext != NULL;
        good += dependent->MiniportOffloadContext && succeeded(dependent->Status);
    }
    if (good && good == nodes)
        block->Status = NDIS_STATUS_SUCCESS;
    else if (good || (nodes && block->Status == NDIS_STATUS_SUCCESS))
        block->Status = NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

/* bottom: what the root's layer holds. */
static void
initiate_tree(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root,
              enum soft_kind bottom, uint64_t now_us)
{
    struct soft_walk walk;

    for (soft_walk_first(&walk, root); walk.block; soft_walk_next(&walk)) {
        unsigned kind = bottom + walk.depth;
        if (walk.leaving) {
            leave(walk.block);
        } else if (!enter(adapter, &walk, kind, now_us)) {
            fail_tree(walk.block->DependentBlockList);
            soft_walk_skip(&walk);
        }
        if (walk.leaving && walk.block == root && !succeeded(root->Status)) {
            fail_tree(root->NextBlock);
            return;
        }
    }
}

/* The completion has returned: whatever was adopted now works. */
static void
open_adopted(struct soft_adapter *adapter)
{
    while (!list_empty(&adapter->adopted)) {
        struct soft_conn *conn = list_first(&adapter->adopted, struct soft_conn, adopted);
        list_del(&conn->adopted);
        if (conn->phase == SOFT_ADOPTED)
            soft_conn_set_phase(conn, SOFT_OPEN, "initiate completed");
        soft_dirty(conn);
    }
}

/* The root's layer; a placeholder stands at the bottom. */
static enum soft_kind
root_kind(const NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root)
{
    const struct soft_object *object = soft_block_object(root);

    if (object)
        return object->kind;
    if (!root->MiniportOffloadContext)
        return SOFT_NEIGHBOR;
    switch (root->Header.Type) {
    case Ip4OffloadState:
    case Ip6OffloadState:
        return SOFT_PATH;
    case TcpOffloadState:
        return SOFT_TCP;
    default:
        return SOFT_NEIGHBOR;
    }
}

void
soft_initiate(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root,
              uint64_t arrived_us)
{
    initiate_tree(adapter, root, root_kind(root), arrived_us);
    log_debug("soft %s: initiate, root 0x%08x", wire_name(adapter->wire), (unsigned)root->Status);
    adapter->initiates--;
    NdisMInitiateOffloadComplete(adapter->handle, root);
    open_adopted(adapter);
    if (!adapter->initiates)
        soft_later_over(adapter);
}

VOID
SoftInitiateOffload(NDIS_HANDLE MiniportAdapterContext,
                    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *OffloadBlockList)
{
    ((struct soft_adapter *)MiniportAdapterContext)->initiates++;
    soft_operation_queue(MiniportAdapterContext, SOFT_INITIATE, OffloadBlockList);
}
