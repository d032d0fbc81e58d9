/*
 * Initiate: the walk over a tree and what is adopted. Depth first, then the sibling; a failed node
 * takes its dependents with it, a failed root everything (V-033 … V-043). A node is checked wholly
 * before anything of it is visible. Until the completion call has returned nothing about the new
 * connections is indicated (V-107): they are serviced behind it.
 *
 * Sources: G:traversing-a-state-tree, G:returning-completion-status-of-an-initiate…,
 * G:partial-offloads-and-offload-failures, G:placeholders--linkers--and-new-offloads.
 */
#include "bad_target.h"

#include "mutant.h"

#include <stdlib.h>

typedef NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block_list;

/* Of one list of siblings; placeholders do not count. */
struct tally {
    unsigned tried, succeeded;
};

static struct tally initiate_list(struct bad_target *target, block_list *list, enum bt_kind kind,
                                  struct bt_object *parent, bool root);

static bool
succeeded(NDIS_STATUS status)
{
    return status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

/* ---- objects ---- */

struct bt_object *
bt_object_find(struct bad_target *target, PVOID context)
{
    list_for_each(object, &target->objects, struct bt_object, all)
        if (object == context)
            return object;
    return NULL;
}

struct bt_conn *
bt_conn_find(struct bad_target *target, PVOID context)
{
    struct bt_object *object = bt_object_find(target, context);

    return object && object->kind == BT_TCP ? bt_conn_of(object) : NULL;
}

struct bt_conn *
bt_any_conn(struct bad_target *target)
{
    list_for_each(object, &target->objects, struct bt_object, all)
        if (object->kind == BT_TCP && !object->dead)
            return bt_conn_of(object);
    return NULL;
}

struct bt_conn *
bt_leaving(struct bad_target *target)
{
    list_for_each(object, &target->objects, struct bt_object, all)
        if (object->kind == BT_TCP && bt_conn_of(object)->terminating)
            return bt_conn_of(object);
    return NULL;
}

static void
adopt(struct bad_target *target, struct bt_object *object, enum bt_kind kind,
      struct bt_object *parent, block_list *block)
{
    object->kind = kind;
    object->target = target;
    object->parent = parent;
    object->handle = block->NdisOffloadHandle;
    object->cell = block->MiniportOffloadContext;
    list_add_tail(&target->objects, &object->all);
    target->counts[kind]++;
}

void
bt_object_free(struct bt_object *object)
{
    struct bad_target *target = object->target;

    list_del(&object->all);
    if (!object->dead)
        target->counts[object->kind]--;
    list_for_each(child, &target->objects, struct bt_object, all)
        if (child->parent == object)
            child->parent = NULL;
    if (object->kind == BT_TCP) {
        struct bt_conn *conn = bt_conn_of(object);

        bt_push_stop(conn);
        NdisFreeTimerObject(conn->push);
        while (!list_empty(&conn->buffered))
            bt_chunk_destroy(list_first(&conn->buffered, struct bt_chunk, link));
    }
    free(object);
}

/* ---- neighbors and paths ---- */

static bool
is_zero(const UCHAR *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i])
            return false;
    return true;
}

static NDIS_STATUS
check_neighbor(struct bad_target *target, const block_list *block)
{
    const NEIGHBOR_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(block);

    if (block->Header.Type != NeighborOffloadState)
        return NDIS_STATUS_FAILURE;
    /* V-048: this adapter sends with one source address only. */
    if (!is_zero(constant->DlSourceAddress, sizeof(constant->DlSourceAddress)) && !bad_v(48, 1))
        return NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES;
    if (bad_once_v(48, 2))
        return NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES;
    if (target->vlan && constant->VlanId && constant->VlanId != target->vlan && !bad_v(50, 1))
        return bad_v(50, 2) ? NDIS_STATUS_FAILURE : NDIS_STATUS_OFFLOAD_VLAN_MISMATCH;
    if (bad_once_v(50, 3))
        return NDIS_STATUS_OFFLOAD_VLAN_MISMATCH;
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
adopt_neighbor(struct bad_target *target, block_list *block, struct bt_object **out)
{
    const NEIGHBOR_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(block);
    const NEIGHBOR_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    NDIS_STATUS status = check_neighbor(target, block);
    struct bt_neighbor *neighbor;

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    const NEIGHBOR_OFFLOAD_STATE_DELEGATED *delegated = NDIS_OFFLOAD_STATE_NEXT(cached);
    neighbor = calloc(1, sizeof(*neighbor));
    if (!neighbor)
        return NDIS_STATUS_RESOURCES;
    neighbor->constant = *constant;
    neighbor->cached = *cached;
    neighbor->host_seen = bt_now(target) - cached->HostReachabilityDelta;
    neighbor->nic_seen = bt_now(target) - delegated->NicReachabilityDelta;
    adopt(target, &neighbor->object, BT_NEIGHBOR, NULL, block);
    *out = &neighbor->object;
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
adopt_path(struct bad_target *target, block_list *block, struct bt_object *parent,
           struct bt_object **out)
{
    const PATH_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(block);
    const PATH_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    bool ipv6 = block->Header.Type == Ip6OffloadState;
    struct bt_path *path;

    if (!parent || (!ipv6 && block->Header.Type != Ip4OffloadState) || !constant->SourceAddress ||
        !constant->DestinationAddress)
        return NDIS_STATUS_FAILURE;
    if (cached->PathMtu > BT_MTU_MAX && !bad(39)) /* V-049 */
        return NDIS_STATUS_OFFLOAD_PATH_MTU;
    if (target->counts[BT_PATH] && bad_once_v(49, 2))
        return NDIS_STATUS_OFFLOAD_PATH_MTU;
    path = calloc(1, sizeof(*path));
    if (!path)
        return NDIS_STATUS_RESOURCES;
    path->ipv6 = ipv6;
    NdisMoveMemory(path->source, constant->SourceAddress, ipv6 ? 16 : 4);
    NdisMoveMemory(path->destination, constant->DestinationAddress, ipv6 ? 16 : 4);
    path->cached = *cached;
    adopt(target, &path->object, BT_PATH, parent, block);
    *out = &path->object;
    return NDIS_STATUS_SUCCESS;
}

/* ---- connections ---- */

static bool
may_be_offloaded(TCP_OFFLOAD_CONNECTION_STATE state)
{
    return state >= TcpConnectionEstablished && state <= TcpConnectionLastAck;
}

static NDIS_STATUS
check_tcp(struct bad_target *target, const block_list *block, const struct bt_object *parent)
{
    const TCP_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(block);
    const TCP_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);

    if (!parent || block->Header.Type != TcpOffloadState)
        return NDIS_STATUS_FAILURE;
    const TCP_OFFLOAD_STATE_DELEGATED *delegated = NDIS_OFFLOAD_STATE_NEXT(cached);
    if (!may_be_offloaded(delegated->State))
        return NDIS_STATUS_FAILURE;
    if (target->counts[BT_TCP] >= BT_CAPACITY || !target->tcp_room)
        return bad_v(34, 1) ? NDIS_STATUS_NOT_ACCEPTED : NDIS_STATUS_OFFLOAD_TCP_ENTRIES;
    if (target->counts[BT_TCP] && bad_once_v(49, 1))
        return NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW;
    if (cached->InitialRcvWnd > BT_WINDOW_MAX) /* V-049 */
        return NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW;
    return NDIS_STATUS_SUCCESS;
}

/* V-114: copied before the completion; it waits for a post. false: out of memory. */
static bool
adopt_buffered(struct bt_conn *conn, NET_BUFFER_LIST *chain)
{
    for (NET_BUFFER_LIST *nbl = chain; nbl; nbl = nbl->Next) {
        ULONG length = stream_length(nbl), copied;
        struct bt_chunk *chunk = bt_chunk_create(conn->object.target, length);

        if (!chunk)
            return false;
        NdisCopyFromNetBufferToNetBuffer(chunk->nbl->FirstNetBuffer, 0, length, nbl->FirstNetBuffer,
                                         0, &copied);
        list_add_tail(&conn->buffered, &chunk->link);
    }
    conn->refused = chain != NULL && !bad(114);
    return true;
}

static NDIS_HANDLE
create_push_timer(struct bt_conn *conn)
{
    NDIS_TIMER_CHARACTERISTICS characteristics = {
        .Header = {NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_TIMER_CHARACTERISTICS_REVISION_1,
                   sizeof(characteristics)},
        .AllocationTag = BT_TAG,
        .TimerFunction = bt_push_timer,
        .FunctionContext = conn,
    };
    NDIS_HANDLE timer = NULL;

    NdisAllocateTimerObject(conn->object.target->handle, &characteristics, &timer);
    return timer;
}

static struct bt_conn *
create_conn(struct bad_target *target, block_list *block, struct bt_object *parent)
{
    const TCP_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(block);
    const TCP_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    const TCP_OFFLOAD_STATE_DELEGATED *delegated = NDIS_OFFLOAD_STATE_NEXT(cached);
    struct bt_conn *conn = calloc(1, sizeof(*conn));

    if (!conn)
        return NULL;
    conn->constant = *constant;
    conn->port = stream_port(constant->LocalPort);
    conn->cached = *cached;
    conn->cached.Flags &= (USHORT) ~(TCP_FLAG_KEEP_ALIVE_RESTART | TCP_FLAG_MAX_RT_RESTART |
                                     TCP_FLAG_UPDATE_RCV_WND);
    conn->state = *delegated;
    conn->ts_delta = delegated->TsTime - bt_now(target);
    conn->queued_seq = delegated->SndUna;
    conn->fin_received = conn->fin_indicated = delegated->State == TcpConnectionCloseWait ||
                                               delegated->State == TcpConnectionClosing ||
                                               delegated->State == TcpConnectionLastAck;
    conn->fin_queued = delegated->State != TcpConnectionEstablished &&
                       delegated->State != TcpConnectionCloseWait;
    conn->fin_acked = delegated->State == TcpConnectionFinWait2;
    list_init(&conn->buffered);
    conn->object.target = target;
    conn->push = create_push_timer(conn);
    adopt(target, &conn->object, BT_TCP, parent, block);
    return conn;
}

static NDIS_STATUS
adopt_tcp(struct bad_target *target, block_list *block, struct bt_object *parent,
          struct bt_object **out)
{
    NDIS_STATUS status = check_tcp(target, block, parent);
    struct bt_conn *conn;

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    conn = create_conn(target, block, parent);
    if (!conn)
        return NDIS_STATUS_RESOURCES;
    if (!conn->push || !adopt_buffered(conn, conn->state.BufferedData)) {
        bt_object_free(&conn->object);
        return NDIS_STATUS_RESOURCES;
    }
    bt_send_adopt(conn, block->NetBufferListChain);
    if (conn->fin_queued && !conn->fin_acked) /* */
        conn->queued_seq++;
    if (target->tcp_room != BT_ROOM)
        target->tcp_room--;
    *out = &conn->object;
    if (bad_once(107)) {
        nic_segment(conn, 10);
        bt_indicate(conn);
    }
    if (bad_once_v(137, 1))
        bt_event(conn, TcpIndicateSendBacklogChange, 1000);
    return bad_v(34, 2) ? NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS : NDIS_STATUS_SUCCESS;
}

/* ---- the walk ---- */

/* Not tried. */
static void
fail_list(block_list *list)
{
    for (block_list *block = list; block; block = block->NextBlock) {
        if (bad_v(33, 2))
            continue;
        block->Status = block->MiniportOffloadContext ? NDIS_STATUS_FAILURE : NDIS_STATUS_SUCCESS;
        fail_list(block->DependentBlockList);
    }
}

static NDIS_STATUS
initiate_linker(struct bad_target *target, block_list *block, enum bt_kind kind)
{
    struct bt_object *object = bt_object_find(target, *block->MiniportOffloadContext);
    struct tally tally;

    if (!object || object->kind != kind || object->invalid || kind == BT_TCP) {
        fail_list(block->DependentBlockList);
        return NDIS_STATUS_FAILURE;
    }
    tally = initiate_list(target, block->DependentBlockList, kind + 1, object, false);
    if (!tally.succeeded)
        return NDIS_STATUS_FAILURE;
    if (tally.succeeded < tally.tried)
        return bad_v(37, 1) ? NDIS_STATUS_SUCCESS : NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
    return bad_v(37, 2) ? NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS : NDIS_STATUS_SUCCESS;
}

/* Our context goes where the host stack keeps it. */
static void
write_context(block_list *block, struct bt_object *object)
{
    struct bad_target *target = object->target;
    PVOID context = object;

    if (object->kind == BT_TCP && bad_once_v(42, 1))
        context = NULL;
    if (object->kind == BT_TCP && target->counts[BT_TCP] > 1 && bad_once_v(42, 2))
        context = bt_any_conn(target);
    if (object->kind == BT_TCP && bt_leaving(target) && bad(154))
        context = bt_leaving(target);
    *block->MiniportOffloadContext = context;
}

/* The chain of a connection that does not get in. Mutations only. */
static void
spoil_chain(struct bad_target *target, block_list *block)
{
    if (!block->NetBufferListChain)
        return;
    if (bad_v(51, 1))
        block->NetBufferListChain->Status = NDIS_STATUS_FAILURE;
    if (bad_v(51, 2))
        bt_finish(&target->sent, block->NetBufferListChain, NDIS_STATUS_SUCCESS,
                  stream_length(block->NetBufferListChain));
    bt_flush(target);
}

static NDIS_STATUS
initiate_new(struct bad_target *target, block_list *block, enum bt_kind kind,
             struct bt_object *parent)
{
    struct bt_object *object = NULL;
    NDIS_STATUS status;
    struct tally tally;

    if (kind == BT_NEIGHBOR)
        status = adopt_neighbor(target, block, &object);
    else if (kind == BT_PATH)
        status = adopt_path(target, block, parent, &object);
    else
        status = adopt_tcp(target, block, parent, &object);
    if (!succeeded(status)) {
        fail_list(block->DependentBlockList);
        spoil_chain(target, block);
        if (bad(43))
            *block->MiniportOffloadContext = block;
        return status;
    }
    write_context(block, object);
    if (kind == BT_TCP)
        return status;
    tally = initiate_list(target, block->DependentBlockList, kind + 1, object, false);
    if (kind == BT_PATH && ((struct bt_path *)object)->cached.PathMtu > BT_MTU_MAX) {
        *block->MiniportOffloadContext = NULL; /* V-039's mutation has let it in */
        return NDIS_STATUS_OFFLOAD_PATH_MTU;
    }
    if (tally.succeeded < tally.tried)
        return bad_v(38, 1) ? NDIS_STATUS_SUCCESS : NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
    return tally.tried && bad_v(38, 2) ? NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS : NDIS_STATUS_SUCCESS;
}

static void
initiate_block(struct bad_target *target, block_list *block, enum bt_kind kind,
               struct bt_object *parent)
{
    if (!block->MiniportOffloadContext) {
        block->Status = bad_v(36, 1) ? NDIS_STATUS_FAILURE : NDIS_STATUS_SUCCESS;
        initiate_list(target, block->DependentBlockList, kind + 1, NULL, false);
    } else if (*block->MiniportOffloadContext) {
        block->Status = initiate_linker(target, block, kind);
    } else {
        block->Status = initiate_new(target, block, kind, parent);
    }
}

/* false: it failed. */
static bool
initiate_one(struct bad_target *target, block_list *block, enum bt_kind kind,
             struct bt_object *parent, struct tally *tally)
{
    initiate_block(target, block, kind, parent);
    if (!block->MiniportOffloadContext)
        return true;
    tally->tried++;
    tally->succeeded += succeeded(block->Status);
    return succeeded(block->Status);
}

/* root: its first block's failure ends the walk. */
static struct tally
initiate_list(struct bad_target *target, block_list *list, enum bt_kind kind,
              struct bt_object *parent, bool root)
{
    struct tally tally = {0, 0};

    if (kind > BT_TCP) {
        fail_list(list);
        return tally;
    }
    if (list && list->NextBlock && !root && bad(41)) {
        tally = initiate_list(target, list->NextBlock, kind, parent, false);
        initiate_one(target, list, kind, parent, &tally);
        return tally;
    }
    for (block_list *block = list; block; block = block->NextBlock) {
        bool through = initiate_one(target, block, kind, parent, &tally);

        if (root && block == list && !through && !(block->NextBlock && bad(40))) {
            fail_list(block->NextBlock);
            break;
        }
    }
    return tally;
}

/* The layer of the root. A placeholder says nothing, so what is below it does. */
static enum bt_kind
root_kind(struct bad_target *target, const block_list *root)
{
    struct bt_object *object;

    if (!root->MiniportOffloadContext)
        return BT_NEIGHBOR;
    object = bt_object_find(target, *root->MiniportOffloadContext);
    if (object)
        return object->kind;
    switch (root->Header.Type) {
    case Ip4OffloadState:
    case Ip6OffloadState:
        return BT_PATH;
    case TcpOffloadState:
        return BT_TCP;
    default:
        return BT_NEIGHBOR;
    }
}

static void
run_initiate(struct bad_target *target, struct bt_work *work)
{
    block_list *root = work->root;

    if (bt_any_conn(target) && bad_once_v(137, 2))
        bt_event(bt_any_conn(target), TcpIndicateSendBacklogChange, 1000);
    initiate_list(target, root, root_kind(target, root), NULL, true);
    NdisMInitiateOffloadComplete(target->handle, root);
}

VOID
bt_initiate(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    bt_work_add(MiniportAdapterContext,
                (struct bt_work){.run = run_initiate, .root = OffloadBlockList});
}
