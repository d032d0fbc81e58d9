/*
 * The state operations. Each is queued when it comes and done by work(), in order, completed right
 * after. A node without MiniportOffloadContext is a placeholder; otherwise that is the address of a
 * cell, which holds NULL for an object to be adopted and what we wrote there for one that we have.
 */
#include "target.h"

enum operation { INITIATE = 1, TERMINATE, UPDATE, INVALIDATE, QUERY };

/* Everything of a state structure but its header, which is not ours. */
#define COPY_STATE(to, from)                                                                       \
    NdisMoveMemory((UCHAR *)(to) + sizeof(OFFLOAD_STATE_HEADER),                                   \
                   (const UCHAR *)(from) + sizeof(OFFLOAD_STATE_HEADER),                           \
                   sizeof(*(to)) - sizeof(OFFLOAD_STATE_HEADER))

struct object *
object_of(const BLOCK *block)
{
    return block->MiniportOffloadContext ? *block->MiniportOffloadContext : NULL;
}

PVOID
state_of(BLOCK *block, enum class class)
{
    TCP_OFFLOAD_STATE_DELEGATED *state = NDIS_OFFLOAD_STATE_FIRST(block); /* any: it has a header */
    enum class only;

    switch ((OFFLOAD_STATE_TYPE)block->Header.Type) {
    case NeighborOffloadState:
    case Ip4OffloadState:
    case TcpOffloadState:
        for (; class > CONST_STATE; class --)
            state = NDIS_OFFLOAD_STATE_NEXT(state);
        return state;
    case NeighborOffloadConstState:
    case Ip4OffloadConstState:
    case TcpOffloadConstState:
        only = CONST_STATE;
        break;
    case NeighborOffloadCachedState:
    case Ip4OffloadCachedState:
    case TcpOffloadCachedState:
        only = CACHED_STATE;
        break;
    case NeighborOffloadDelegatedState:
    case Ip4OffloadDelegatedState:
    case TcpOffloadDelegatedState:
        only = DELEGATED_STATE;
        break;
    default:
        return NULL;
    }
    return class == only ? state : NULL;
}

/* ---- node by node ---- */

typedef NDIS_STATUS node_fn(struct adapter *a, BLOCK *block, struct object *object,
                            struct object *under);

/* Dependents first if that is asked for: what stands on an object goes before it. */
static void
walk(struct adapter *a, BLOCK *block, struct object *under, BOOLEAN dependents_first, node_fn *fn)
{
    for (; block; block = block->NextBlock) {
        struct object *object = object_of(block);

        if (dependents_first)
            walk(a, block->DependentBlockList, object, dependents_first, fn);
        if (!block->MiniportOffloadContext)
            block->Status = NDIS_STATUS_SUCCESS;
        else
            block->Status = object ? fn(a, block, object, under) : NDIS_STATUS_FAILURE;
        if (!dependents_first)
            walk(a, block->DependentBlockList, object, dependents_first, fn);
    }
}

/* A copy, but for what is kept in another way meanwhile. */
static void
export_state(struct conn *c, TCP_OFFLOAD_STATE_DELEGATED *out)
{
    struct adapter *a = c->object.adapter;
    ULONGLONG now = now_ms();

    COPY_STATE(out, &c->d);
    out->RcvNxt = ack_number(c);
    out->RcvWnd = c->right_edge - out->RcvNxt;
    out->TsTime = stamp(c);
    out->TsRecentAge = (ULONG)((now - c->stamped_ms) / a->tick_ms);
    out->KeepAlive.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF;
    out->Retransmit.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF;
    if (c->retransmit_ms != NEVER)
        out->Retransmit.TimeoutDelta = c->retransmit_ms > now
                                           ? (ULONG)((c->retransmit_ms - now) / a->tick_ms)
                                           : 0;
    out->SendDataHead = out->SendDataTail = out->BufferedData = NULL;
}

static ULONG
heard_ticks(const struct neighbor *neighbor)
{
    return (ULONG)((now_ms() - neighbor->heard_ms) / neighbor->object.adapter->tick_ms);
}

static NDIS_STATUS
query(struct adapter *a, BLOCK *block, struct object *object, struct object *under)
{
    PVOID constant = state_of(block, CONST_STATE), cached = state_of(block, CACHED_STATE);
    PVOID delegated = state_of(block, DELEGATED_STATE);
    struct neighbor *neighbor = (struct neighbor *)object;
    struct path *path = (struct path *)object;
    struct conn *c = (struct conn *)object;

    if (constant && object->layer == NEIGHBOR)
        COPY_STATE((NEIGHBOR_OFFLOAD_STATE_CONST *)constant, &neighbor->constant);
    if (cached && object->layer == NEIGHBOR)
        COPY_STATE((NEIGHBOR_OFFLOAD_STATE_CACHED *)cached, &neighbor->cached);
    if (delegated && object->layer == NEIGHBOR)
        ((NEIGHBOR_OFFLOAD_STATE_DELEGATED *)delegated)->NicReachabilityDelta = heard_ticks(
            neighbor);
    if (constant && object->layer == PATH) {
        ((PATH_OFFLOAD_STATE_CONST *)constant)->SourceAddress = path->source;
        ((PATH_OFFLOAD_STATE_CONST *)constant)->DestinationAddress = path->destination;
    }
    if (cached && object->layer == PATH)
        COPY_STATE((PATH_OFFLOAD_STATE_CACHED *)cached, &path->cached);
    if (constant && object->layer == TCP)
        COPY_STATE((TCP_OFFLOAD_STATE_CONST *)constant, &c->constant);
    if (cached && object->layer == TCP)
        COPY_STATE((TCP_OFFLOAD_STATE_CACHED *)cached, &c->cached);
    if (delegated && object->layer == TCP) {
        export_state(c, delegated);
        ((TCP_OFFLOAD_STATE_DELEGATED *)delegated)
            ->SendBacklogSize = TCP_OFFLOAD_BACKLOG_UNSUPPORTED;
        ((TCP_OFFLOAD_STATE_DELEGATED *)delegated)->ReceiveBacklogSize = backlog(c);
    }
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
update_tcp(struct conn *c, const TCP_OFFLOAD_STATE_CACHED *cached)
{
    if (cached->InitialRcvWnd > c->object.adapter->largest_window ||
        cached->Flags & TCP_FLAG_KEEP_ALIVE_ENABLED)
        return NDIS_STATUS_FAILURE; /* the host stack takes it back and does that itself */
    if (cached->Flags & TCP_FLAG_MAX_RT_RESTART || cached->MaxRT != c->cached.MaxRT)
        c->d.TotalRT = 0;
    c->cached = *cached;
    if (cached->Flags & TCP_FLAG_UPDATE_RCV_WND)
        move_edge(c);
    return NDIS_STATUS_SUCCESS;
}

/* Cached state, where the type says that there is some; and a path under a neighbor that is not its
 * own moves there. */
static NDIS_STATUS
update(struct adapter *a, BLOCK *block, struct object *object, struct object *under)
{
    switch ((OFFLOAD_STATE_TYPE)block->Header.Type) {
    case NeighborOffloadCachedState:
        ((struct neighbor *)object)->cached = *(NEIGHBOR_OFFLOAD_STATE_CACHED *)state_of(
            block, CACHED_STATE);
        break;
    case Ip4OffloadCachedState:
        if (!mtu_fits(a, ((PATH_OFFLOAD_STATE_CACHED *)state_of(block, CACHED_STATE))->PathMtu))
            return NDIS_STATUS_FAILURE;
        ((struct path *)object)->cached = *(PATH_OFFLOAD_STATE_CACHED *)state_of(block,
                                                                                 CACHED_STATE);
        break;
    case TcpOffloadCachedState:
        return update_tcp(conn_of(object), state_of(block, CACHED_STATE));
    default:
        break;
    }
    if (object->layer != PATH || !under || under == object->under)
        return NDIS_STATUS_SUCCESS;
    if (under->layer != NEIGHBOR || under->invalid)
        return NDIS_STATUS_FAILURE;
    object->under = under;
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
invalidate(struct adapter *a, BLOCK *block, struct object *object, struct object *under)
{
    object->invalid = TRUE;
    for (struct object *each = a->objects; each; each = each->next) {
        if (each->layer == TCP &&
            (each == object || each->under == object || each->under->under == object))
            retrieve(conn_of(each), InvalidState);
    }
    return NDIS_STATUS_SUCCESS;
}

/* ---- terminate ---- */

/* From the call on its frames take the regular path. */
static NDIS_STATUS
leave(struct adapter *a, BLOCK *block, struct object *object, struct object *under)
{
    if (object->layer == TCP)
        conn_of(object)->terminating = TRUE;
    return NDIS_STATUS_SUCCESS;
}

/* Everything that may still be said is said; then what is open ends, and the rest is handed over:
 * sends from SndUna on, acknowledged data that nobody has taken, and the numbers. */
static NDIS_STATUS
terminate_tcp(struct conn *c, BLOCK *block)
{
    TCP_OFFLOAD_STATE_DELEGATED *out = state_of(block, DELEGATED_STATE), unwanted;

    if (c->phase == OPEN && ack_number(c) != c->acked)
        c->ack_due = TRUE;
    service(c);
    out = out ? out : &unwanted;
    export_state(c, out);
    block->NetBufferListChain = take_sends(c, &out->SendDataTail);
    out->SendDataHead = block->NetBufferListChain;
    fail_all(c, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    complete(c);
    out->BufferedData = take_buffered(c);
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
terminate(struct adapter *a, BLOCK *block, struct object *object, struct object *under)
{
    NEIGHBOR_OFFLOAD_STATE_DELEGATED *out = state_of(block, DELEGATED_STATE);

    for (struct object *each = a->objects; each; each = each->next) {
        if (each->under == object && !each->gone)
            return NDIS_STATUS_FAILURE; /* something still stands on it: it stays until the halt */
    }
    object->gone = TRUE;
    if (object->layer == TCP)
        return terminate_tcp(conn_of(object), block);
    if (out && object->layer == NEIGHBOR)
        out->NicReachabilityDelta = heard_ticks((struct neighbor *)object);
    return NDIS_STATUS_SUCCESS;
}

/* ---- the queue ---- */

static void
queue(struct adapter *a, enum operation operation, BLOCK *root)
{
    BLOCK **end = &a->operations;

    while (*end)
        end = (BLOCK **)&(*end)->Scratch[0];
    *end = root;
    root->Scratch[0] = NULL;
    root->Scratch[1] = (PVOID)operation;
    work_soon(a);
}

static void
run(struct adapter *a, enum operation operation, BLOCK *root)
{
    switch (operation) {
    case INITIATE:
        initiate(a, root);
        break;
    case TERMINATE:
        walk(a, root, NULL, TRUE, terminate);
        NdisMTerminateOffloadComplete(a->handle, root);
        free_objects(a, FALSE); /* not before */
        break;
    case UPDATE: /* done when it was asked for */
        NdisMUpdateOffloadComplete(a->handle, root);
        break;
    case INVALIDATE:
        walk(a, root, NULL, FALSE, invalidate);
        NdisMInvalidateOffloadComplete(a->handle, root);
        break;
    case QUERY:
        walk(a, root, NULL, FALSE, query);
        NdisMQueryOffloadStateComplete(a->handle, root);
        break;
    }
}

/* Those that come meanwhile wait for the next time: none completes on the stack of its own call. */
void
run_operations(struct adapter *a)
{
    BLOCK *root, *next = a->operations;

    a->operations = NULL;
    while ((root = next) != NULL) {
        next = root->Scratch[0];
        run(a, (enum operation)(ULONG_PTR)root->Scratch[1], root);
    }
}

VOID
MiniportInitiateOffload(NDIS_HANDLE MiniportAdapterContext,
                        PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    queue(MiniportAdapterContext, INITIATE, OffloadBlockList);
}

VOID
MiniportTerminateOffload(NDIS_HANDLE MiniportAdapterContext,
                         PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    walk(MiniportAdapterContext, OffloadBlockList, NULL, FALSE, leave);
    queue(MiniportAdapterContext, TERMINATE, OffloadBlockList);
}

/* At once: with ack = returned the new window counts from what is acknowledged now. */
VOID
MiniportUpdateOffload(NDIS_HANDLE MiniportAdapterContext,
                      PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    walk(MiniportAdapterContext, OffloadBlockList, NULL, FALSE, update);
    queue(MiniportAdapterContext, UPDATE, OffloadBlockList);
}

VOID
MiniportInvalidateOffload(NDIS_HANDLE MiniportAdapterContext,
                          PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    queue(MiniportAdapterContext, INVALIDATE, OffloadBlockList);
}

VOID
MiniportQueryOffload(NDIS_HANDLE MiniportAdapterContext,
                     PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    queue(MiniportAdapterContext, QUERY, OffloadBlockList);
}
