/*
 * Query, update, invalidate: operations on objects that exist. A query fills whatever states the
 * blocks carry; an update changes cached variables (and what the flags say), or links paths to
 * another neighbor; an invalidate stops what depends on its objects and asks for them. Outside
 * initiate a block's status is SUCCESS or FAILURE (V-035).
 *
 * Sources: D:w_query_offload_handler, D:w_update_offload_handler, D:w_invalidate_offload_handler.
 */
#include "bad_target.h"

#include "mutant.h"

typedef NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block_list;

/* What is done with one block and the object it names. */
typedef NDIS_STATUS block_fn(block_list *block, struct bt_object *object, struct bt_object *parent);

static void
walk(struct bad_target *target, block_list *list, struct bt_object *parent, block_fn *fn)
{
    for (block_list *block = list; block; block = block->NextBlock) {
        struct bt_object *object = NULL;
        NDIS_STATUS status = NDIS_STATUS_SUCCESS; /* V-036 */

        if (block->MiniportOffloadContext) {
            object = bt_object_find(target, *block->MiniportOffloadContext);
            status = object ? fn(block, object, parent) : NDIS_STATUS_FAILURE;
        }
        if (!(parent && bad_v(33, 1)))
            block->Status = status;
        walk(target, block->DependentBlockList, object, fn);
    }
}

/* ---- query ---- */

/* Copies a state behind its header and says where the next one is. */
static PVOID
put_state(PVOID at, const void *state, size_t size)
{
    OFFLOAD_STATE_HEADER *header = at;

    NdisMoveMemory((PUCHAR)at + sizeof(*header), (const UCHAR *)state + sizeof(*header),
                   size - sizeof(*header));
    return (PUCHAR)at + NDIS_OFFLOAD_STATE_ALIGN(size);
}

static void
query_neighbor(block_list *block, struct bt_neighbor *neighbor)
{
    ULONG now = bt_now(neighbor->object.target);
    NEIGHBOR_OFFLOAD_STATE_DELEGATED delegated = {.NicReachabilityDelta = now - neighbor->nic_seen};
    PVOID at = NDIS_OFFLOAD_STATE_FIRST(block);

    if (block->Header.Type == NeighborOffloadConstState ||
        block->Header.Type == NeighborOffloadState)
        at = put_state(at, &neighbor->constant, sizeof(neighbor->constant));
    if (block->Header.Type == NeighborOffloadCachedState ||
        block->Header.Type == NeighborOffloadState)
        at = put_state(at, &neighbor->cached, sizeof(neighbor->cached));
    if (block->Header.Type == NeighborOffloadDelegatedState ||
        block->Header.Type == NeighborOffloadState)
        put_state(at, &delegated, sizeof(delegated));
}

/* The addresses are ours, and good as long as the path is. */
static void
query_path(block_list *block, struct bt_path *path)
{
    PVOID at = NDIS_OFFLOAD_STATE_FIRST(block);
    bool all = block->Header.Type == Ip4OffloadState || block->Header.Type == Ip6OffloadState;

    if (all || block->Header.Type == Ip4OffloadConstState ||
        block->Header.Type == Ip6OffloadConstState) {
        PATH_OFFLOAD_STATE_CONST constant = {.SourceAddress = path->source,
                                             .DestinationAddress = path->destination};
        at = put_state(at, &constant, sizeof(constant));
    }
    if (all || block->Header.Type == Ip4OffloadCachedState ||
        block->Header.Type == Ip6OffloadCachedState)
        put_state(at, &path->cached, sizeof(path->cached));
}

static void
query_tcp(block_list *block, struct bt_conn *conn)
{
    TCP_OFFLOAD_STATE_DELEGATED delegated = conn->state;
    PVOID at = NDIS_OFFLOAD_STATE_FIRST(block);
    ULONG buffered = 0;

    list_for_each(chunk, &conn->buffered, struct bt_chunk, link)
        buffered += stream_length(chunk->nbl);
    delegated.SendDataTail = NULL;
    delegated.SendDataHead = NULL;
    delegated.SendBacklogSize = conn->backlog ? conn->backlog : conn->state.SndWnd;
    if (bad_v(52, 2))
        delegated.SendBacklogSize = 0;
    delegated.BufferedData = NULL;
    delegated.ReceiveBacklogSize = buffered;
    delegated.TsTime = bt_now(conn->object.target) + conn->ts_delta;
    if (bad_v(53, 1))
        conn->constant.RemoteMss++;
    if (bad_v(53, 2))
        conn->cached.TtlOrHopLimit++;
    if (block->Header.Type == TcpOffloadConstState || block->Header.Type == TcpOffloadState)
        at = put_state(at, &conn->constant, sizeof(conn->constant));
    if (block->Header.Type == TcpOffloadCachedState || block->Header.Type == TcpOffloadState)
        at = put_state(at, &conn->cached, sizeof(conn->cached));
    if ((block->Header.Type == TcpOffloadDelegatedState || block->Header.Type == TcpOffloadState) &&
        !bad_v(52, 1))
        put_state(at, &delegated, sizeof(delegated));
}

static NDIS_STATUS
query_block(block_list *block, struct bt_object *object, struct bt_object *parent)
{
    if (object->target->fail_query)
        return bad(35) ? NDIS_STATUS_RESOURCES : NDIS_STATUS_FAILURE;
    if (object->kind == BT_NEIGHBOR)
        query_neighbor(block, (struct bt_neighbor *)object);
    else if (object->kind == BT_PATH)
        query_path(block, (struct bt_path *)object);
    else
        query_tcp(block, bt_conn_of(object));
    return NDIS_STATUS_SUCCESS;
}

/* What is not ours in a block. Mutations only. */
static void
spoil_tree(block_list *root)
{
    static ULONG anything;

    if (bad_v(44, 1))
        root->ProtocolReserved[1] = &anything;
    if (bad_v(44, 2))
        root->PortNumber = 77;
    if (bad_v(44, 3))
        root->ImReserved[1] = &anything;
    if (root->DependentBlockList && bad_v(44, 4))
        root->DependentBlockList = NULL;
}

static void
run_query(struct bad_target *target, struct bt_work *work)
{
    block_list *root = work->root;

    walk(target, root, NULL, query_block);
    target->fail_query = false;
    spoil_tree(root);
    if (bad_once_v(29, 2))
        return;
    if (root->DependentBlockList && bad_once_v(31, 2))
        root = root->DependentBlockList;
    if (bad_once_v(31, 1))
        NdisMUpdateOffloadComplete(target->handle, root);
    else
        NdisMQueryOffloadStateComplete(target->handle, root);
    if (bad_once_v(29, 1))
        NdisMQueryOffloadStateComplete(target->handle, root);
    if (bad(46))
        root->Status = NDIS_STATUS_FAILURE;
}

/* ---- update ---- */

static void
update_tcp(struct bt_conn *conn, const TCP_OFFLOAD_STATE_CACHED *in)
{
    TCP_OFFLOAD_STATE_CACHED *cached = &conn->cached;
    USHORT once = TCP_FLAG_KEEP_ALIVE_RESTART | TCP_FLAG_MAX_RT_RESTART | TCP_FLAG_UPDATE_RCV_WND;
    bool probes = in->KaProbeCount != cached->KaProbeCount;
    bool times = in->KaTimeout != cached->KaTimeout || in->KaInterval != cached->KaInterval;

    if (bad(54))
        conn->state.CWnd = 1;
    if (in->Flags & TCP_FLAG_MAX_RT_RESTART)
        conn->state.TotalRT = 0;
    if (in->Flags & (TCP_FLAG_MAX_RT_RESTART | TCP_FLAG_KEEP_ALIVE_RESTART)) { /* */
        if (probes)
            conn->state.KeepAlive.ProbeCount = 0;
        if (times && in->Flags & TCP_FLAG_KEEP_ALIVE_ENABLED)
            conn->state.KeepAlive.TimeoutDelta = in->KaTimeout;
    }
    if (!(in->Flags & TCP_FLAG_KEEP_ALIVE_ENABLED))
        conn->state.KeepAlive.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF;
    else if (conn->state.KeepAlive.TimeoutDelta == TCP_OFFLOAD_TIMER_OFF ||
             in->Flags & TCP_FLAG_KEEP_ALIVE_RESTART)
        conn->state.KeepAlive.TimeoutDelta = in->KaTimeout;
    if (in->Flags & TCP_FLAG_UPDATE_RCV_WND && in->InitialRcvWnd > conn->state.RcvWnd)
        conn->state.RcvWnd = in->InitialRcvWnd;
    *cached = *in;
    cached->Flags = in->Flags & (USHORT)~once;
}

static bool
relinks(const block_list *block)
{
    return block->Header.Type == NeighborOffloadState || block->Header.Type == Ip4OffloadState ||
           block->Header.Type == Ip6OffloadState;
}

static NDIS_STATUS
update_block(block_list *block, struct bt_object *object, struct bt_object *parent)
{
    const void *state = NDIS_OFFLOAD_STATE_FIRST(block);

    if (object->target->fail_update)
        return NDIS_STATUS_FAILURE;
    if (relinks(block)) {
        if (object->kind == BT_PATH && parent && parent->kind == BT_NEIGHBOR)
            object->parent = parent;
    } else if (object->kind == BT_NEIGHBOR && block->Header.Type == NeighborOffloadCachedState) {
        struct bt_neighbor *neighbor = (struct bt_neighbor *)object;
        neighbor->cached = *(const NEIGHBOR_OFFLOAD_STATE_CACHED *)state;
        neighbor->host_seen = bt_now(object->target) - neighbor->cached.HostReachabilityDelta;
    } else if (object->kind == BT_PATH && (block->Header.Type == Ip4OffloadCachedState ||
                                           block->Header.Type == Ip6OffloadCachedState)) {
        ((struct bt_path *)object)->cached = *(const PATH_OFFLOAD_STATE_CACHED *)state;
    } else if (object->kind == BT_TCP && block->Header.Type == TcpOffloadCachedState) {
        update_tcp(bt_conn_of(object), state);
    } else {
        return NDIS_STATUS_FAILURE;
    }
    return NDIS_STATUS_SUCCESS;
}

static void
run_update(struct bad_target *target, struct bt_work *work)
{
    walk(target, work->root, NULL, update_block);
    target->fail_update = false;
    NdisMUpdateOffloadComplete(target->handle, work->root);
}

/* ---- invalidate ---- */

static bool
depends_on_invalid(const struct bt_object *object)
{
    for (; object; object = object->parent)
        if (object->invalid)
            return true;
    return false;
}

static NDIS_STATUS
invalidate_block(block_list *block, struct bt_object *object, struct bt_object *parent)
{
    object->invalid = true;
    return NDIS_STATUS_SUCCESS;
}

/* nothing is sent any more; the host stack is asked to take it back. */
static void
run_invalidate(struct bad_target *target, struct bt_work *work)
{
    walk(target, work->root, NULL, invalidate_block);
    NdisMInvalidateOffloadComplete(target->handle, work->root);
    list_for_each(object, &target->objects, struct bt_object, all)
        if (object->kind == BT_TCP && depends_on_invalid(object))
            bt_retrieve(bt_conn_of(object), InvalidState);
}

/* ---- the calls ---- */

/* V-032: it does not come back for a while. */
static void
dawdle(void)
{
    NDIS_EVENT never;

    NdisInitializeEvent(&never);
    NdisWaitEvent(&never, 3000);
}

VOID
bt_query(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    if (bad_once(30)) {
        run_query(MiniportAdapterContext, &(struct bt_work){.root = OffloadBlockList});
        return;
    }
    if (bad_once(32))
        dawdle();
    bt_work_add(MiniportAdapterContext,
                (struct bt_work){.run = run_query, .root = OffloadBlockList});
}

VOID
bt_update(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    bt_work_add(MiniportAdapterContext,
                (struct bt_work){.run = run_update, .root = OffloadBlockList});
}

VOID
bt_invalidate(NDIS_HANDLE MiniportAdapterContext,
              PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    bt_work_add(MiniportAdapterContext,
                (struct bt_work){.run = run_invalidate, .root = OffloadBlockList});
}
