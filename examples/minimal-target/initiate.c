/*
 * Initiate: adopting a tree. It is walked depth first, then to the sibling, so that as many
 * connections as possible are live as soon as possible; every node gets a status, also those that
 * were not tried. A node is checked and everything for it allocated before anything of it can be
 * seen; the last step, writing our context into the cell, cannot fail.
 */
#include "target.h"

/* ---- objects ---- */

static PVOID
object_create(struct adapter *a, enum layer layer, struct object *under, const BLOCK *block)
{
    static const size_t sizes[] = {sizeof(struct neighbor), sizeof(struct path),
                                   sizeof(struct conn)};
    struct object *object = ALLOCATE(sizes[layer]);

    if (!object)
        return NULL;
    NdisZeroMemory(object, sizes[layer]);
    *object = (struct object){.next = a->objects,
                              .adapter = a,
                              .layer = layer,
                              .under = under,
                              .handle = block->NdisOffloadHandle};
    a->objects = object;
    a->connections += layer == TCP;
    return object;
}

static void
object_free(struct object *object)
{
    struct object **at = &object->adapter->objects;

    while (*at != object)
        at = &(*at)->next;
    *at = object->next;
    object->adapter->connections -= object->layer == TCP;
    if (object->layer == TCP && conn_of(object)->timer) {
        NdisCancelTimerObject(conn_of(object)->timer);
        NdisFreeTimerObject(conn_of(object)->timer);
    }
    FREE(object);
}

void
free_objects(struct adapter *a, BOOLEAN all)
{
    struct object *object, *next;

    for (object = a->objects; object; object = next) {
        next = object->next;
        if (all || object->gone)
            object_free(object);
    }
}

/* ---- initiate ---- */

static NDIS_STATUS
adopt_neighbor(struct adapter *a, BLOCK *block, struct object **out)
{
    static const UCHAR zero[NDIS_OFFLOAD_LINK_ADDRESS_LENGTH];
    const NEIGHBOR_OFFLOAD_STATE_CONST *constant = state_of(block, CONST_STATE);
    struct neighbor *neighbor;

    if (block->Header.Type != NeighborOffloadState)
        return NDIS_STATUS_FAILURE;
    if (constant->VlanId)
        return NDIS_STATUS_OFFLOAD_VLAN_ENTRIES; /* none is configured */
    if (memcmp(constant->DlSourceAddress, zero, 6) &&
        memcmp(constant->DlSourceAddress, wire_mac(a->wire), 6))
        return NDIS_STATUS_OFFLOAD_HW_ADDRESS_ENTRIES;
    neighbor = object_create(a, NEIGHBOR, NULL, block);
    if (!neighbor)
        return NDIS_STATUS_RESOURCES;
    neighbor->constant = *constant;
    neighbor->cached = *(NEIGHBOR_OFFLOAD_STATE_CACHED *)state_of(block, CACHED_STATE);
    neighbor->heard_ms = now_ms();
    *out = &neighbor->object;
    return NDIS_STATUS_SUCCESS;
}

BOOLEAN
mtu_fits(const struct adapter *a, ULONG mtu)
{
    return mtu <= wire_mtu(a->wire) && mtu >= SMALLEST_MSS + IPV4 + 20;
}

static NDIS_STATUS
adopt_path(struct adapter *a, BLOCK *block, struct object *under, struct object **out)
{
    const PATH_OFFLOAD_STATE_CONST *constant = state_of(block, CONST_STATE);
    const PATH_OFFLOAD_STATE_CACHED *cached;
    struct path *path;

    if (!under || under->invalid || block->Header.Type != Ip4OffloadState)
        return NDIS_STATUS_FAILURE;
    cached = state_of(block, CACHED_STATE);
    if (!mtu_fits(a, cached->PathMtu))
        return NDIS_STATUS_OFFLOAD_PATH_MTU;
    path = object_create(a, PATH, under, block);
    if (!path)
        return NDIS_STATUS_RESOURCES;
    NdisMoveMemory(path->source, constant->SourceAddress, 4); /* the pointers are good for now */
    NdisMoveMemory(path->destination, constant->DestinationAddress, 4);
    path->cached = *cached;
    *out = &path->object;
    return NDIS_STATUS_SUCCESS;
}

/* Before anything is made. */
static NDIS_STATUS
check_tcp(struct adapter *a, BLOCK *block, struct object *under)
{
    const TCP_OFFLOAD_STATE_CONST *constant = state_of(block, CONST_STATE);
    const TCP_OFFLOAD_STATE_CACHED *cached = state_of(block, CACHED_STATE);
    const TCP_OFFLOAD_STATE_DELEGATED *delegated = state_of(block, DELEGATED_STATE);

    if (!under || under->invalid || block->Header.Type != TcpOffloadState)
        return NDIS_STATUS_FAILURE;
    if (a->connections == a->capacity)
        return NDIS_STATUS_OFFLOAD_TCP_ENTRIES;
    if (cached->InitialRcvWnd > a->largest_window)
        return NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW;
    if (cached->Flags & TCP_FLAG_KEEP_ALIVE_ENABLED || constant->RemoteMss < SMALLEST_MSS)
        return NDIS_STATUS_OFFLOAD_CONNECTION_REJECTED; /* which we do not do */
    switch (delegated->State) {
    case TcpConnectionEstablished:
    case TcpConnectionFinWait1:
    case TcpConnectionFinWait2:
    case TcpConnectionCloseWait:
    case TcpConnectionClosing:
    case TcpConnectionLastAck:
        return NDIS_STATUS_SUCCESS;
    default:
        return NDIS_STATUS_FAILURE;
    }
}

static void
adopt_state(struct conn *c)
{
    TCP_OFFLOAD_STATE_DELEGATED *d = &c->d;
    struct adapter *a = c->object.adapter;

    c->ack_returned = (c->constant.Flags & TCP_FLAG_ACK_RETURNED) != 0;
    c->acked = d->RcvNxt;
    c->right_edge = d->RcvNxt + d->RcvWnd;
    c->fin_wanted = d->State == TcpConnectionFinWait1 || d->State == TcpConnectionFinWait2 ||
                    d->State == TcpConnectionClosing || d->State == TcpConnectionLastAck;
    c->fin_received = d->State == TcpConnectionCloseWait || d->State == TcpConnectionClosing ||
                      d->State == TcpConnectionLastAck;
    c->fin_accepted = c->fin_indicated = c->fin_received;
    c->stamp_delta = (LONG)(d->TsTime - (ULONG)(now_ms() / a->tick_ms));
    c->stamped_ms = now_ms() - (ULONGLONG)d->TsRecentAge * a->tick_ms;
    c->push_ms = NEVER;
    c->retransmit_ms = d->Retransmit.TimeoutDelta == TCP_OFFLOAD_TIMER_OFF
                           ? NEVER
                           : now_ms() + (ULONGLONG)d->Retransmit.TimeoutDelta * a->tick_ms;
}

/* Received before, acknowledged, and taken by nobody: copied, and kept until something is posted.
 * FALSE: out of memory. */
static BOOLEAN
adopt_received(struct conn *c, PNET_BUFFER_LIST nbl)
{
    ULONG next = c->d.RcvNxt, bytes = 0;

    for (PNET_BUFFER_LIST each = nbl; each; each = NET_BUFFER_LIST_NEXT_NBL(each))
        bytes += length_of(each);
    c->refused = bytes != 0;
    c->d.RcvNxt = next - c->fin_accepted - bytes;
    for (; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        struct chunk *chunk = buffer(c, length_of(nbl), FALSE);

        if (!chunk)
            return FALSE;
        read_nbl(nbl, 0, chunk->start, chunk->length);
        c->d.RcvNxt += chunk->length;
    }
    c->d.RcvNxt = next;
    return TRUE;
}

/* Sends that were not acknowledged, or not sent. From here on they complete like others. */
static void
adopt_sends(struct conn *c, PNET_BUFFER_LIST chain)
{
    PNET_BUFFER_LIST nbl, next;

    c->queue_seq = c->d.SndUna - (c->d.State == TcpConnectionFinWait2); /* the FIN is behind it */
    c->end_seq = c->queue_seq;
    for (nbl = chain; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        c->end_seq += length_of(nbl);
        put(&c->sends, nbl);
    }
}

static NDIS_STATUS
adopt_tcp(struct adapter *a, BLOCK *block, struct object *under, struct object **out)
{
    NDIS_STATUS status = check_tcp(a, block, under);
    NDIS_TIMER_CHARACTERISTICS timer = {
        .Header = {NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_TIMER_CHARACTERISTICS_REVISION_1,
                   sizeof(timer)},
        .AllocationTag = TAG,
        .TimerFunction = on_timer,
    };
    struct conn *c;

    if (status != NDIS_STATUS_SUCCESS)
        return status;
    c = object_create(a, TCP, under, block);
    if (!c)
        return NDIS_STATUS_RESOURCES;
    c->constant = *(TCP_OFFLOAD_STATE_CONST *)state_of(block, CONST_STATE);
    c->cached = *(TCP_OFFLOAD_STATE_CACHED *)state_of(block, CACHED_STATE);
    c->d = *(TCP_OFFLOAD_STATE_DELEGATED *)state_of(block, DELEGATED_STATE);
    adopt_state(c);
    timer.FunctionContext = c;
    status = NdisAllocateTimerObject(a->handle, &timer, &c->timer);
    if (status != NDIS_STATUS_SUCCESS || !adopt_received(c, c->d.BufferedData)) {
        forget_received(c);
        object_free(&c->object);
        return NDIS_STATUS_RESOURCES;
    }
    adopt_sends(c, block->NetBufferListChain); /* last: a failed initiate leaves them alone */
    *out = &c->object;
    return NDIS_STATUS_SUCCESS;
}

static NDIS_STATUS
adopt(struct adapter *a, BLOCK *block, enum layer layer, struct object *under, struct object **out)
{
    return layer == NEIGHBOR ? adopt_neighbor(a, block, out)
           : layer == PATH   ? adopt_path(a, block, under, out)
                             : adopt_tcp(a, block, under, out);
}

static void
fail(BLOCK *block)
{
    for (; block; block = block->NextBlock) {
        block->Status = block->MiniportOffloadContext ? NDIS_STATUS_FAILURE : NDIS_STATUS_SUCCESS;
        fail(block->DependentBlockList);
    }
}

static BOOLEAN
is_good(NDIS_STATUS status)
{
    return status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

/* Placeholders do not count. */
struct tally {
    ULONG nodes, good;
};

static struct tally initiate_layer(struct adapter *a, BLOCK *block, enum layer layer,
                                   struct object *under);

static void
initiate_node(struct adapter *a, BLOCK *block, enum layer layer, struct object *under)
{
    struct object *object = object_of(block);
    BOOLEAN linker = object != NULL;
    struct tally above;

    block->Status = NDIS_STATUS_SUCCESS;
    if (!block->MiniportOffloadContext) {
        initiate_layer(a, block->DependentBlockList, layer + 1, NULL);
        return;
    }
    if (!linker)
        block->Status = adopt(a, block, layer, under, &object);
    else if (object->layer != layer || layer == TCP)
        block->Status = NDIS_STATUS_FAILURE;
    if (block->Status != NDIS_STATUS_SUCCESS) {
        fail(block->DependentBlockList);
        return;
    }
    *block->MiniportOffloadContext = object;
    above = initiate_layer(a, block->DependentBlockList, layer + 1, object);
    if (linker && !above.good)
        block->Status = NDIS_STATUS_FAILURE;
    else if (above.good < above.nodes)
        block->Status = NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

static struct tally
initiate_layer(struct adapter *a, BLOCK *block, enum layer layer, struct object *under)
{
    struct tally tally = {0, 0};

    if (layer > TCP)
        fail(block);
    for (; block && layer <= TCP; block = block->NextBlock) {
        initiate_node(a, block, layer, under);
        if (!block->MiniportOffloadContext)
            continue;
        tally.nodes++;
        tally.good += is_good(block->Status);
    }
    return tally;
}

static enum layer
layer_of(const BLOCK *root)
{
    if (object_of(root))
        return object_of(root)->layer;
    if (root->MiniportOffloadContext && root->Header.Type == Ip4OffloadState)
        return PATH;
    return root->MiniportOffloadContext && root->Header.Type == TcpOffloadState ? TCP : NEIGHBOR;
}

/* A root that fails ends the walk. Indications begin when the completion has returned. */
void
initiate(struct adapter *a, BLOCK *root)
{
    enum layer layer = layer_of(root);

    initiate_node(a, root, layer, NULL);
    if (is_good(root->Status))
        initiate_layer(a, root->NextBlock, layer, NULL);
    else
        fail(root->NextBlock);
    NdisMInitiateOffloadComplete(a->handle, root);
    for (struct object *object = a->objects; object; object = object->next) {
        if (object->layer == TCP && conn_of(object)->phase == ADOPTED)
            conn_of(object)->phase = OPEN;
    }
}
