/*
 * The connection: what goes down as a tree, the data while the target has it, what comes back.
 *
 * NDIS_OFFLOAD_HANDLE is the name of an object for everybody below: `neighbor`, `path` and `tcp` in
 * struct binding stay where they are as long as the objects are offloaded. After the initiate NDIS
 * keeps the context of the driver below in them; a handle without one names nothing.
 */
#include "minimal_protocol.h"

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#define network_order(port) (USHORT)((port) << 8 | (port) >> 8)

/* ---- the connection, as a handshake would have left it ---- */

static const UCHAR local_address[4] = {10, 0, 0, 1}, peer_address[4] = {10, 0, 0, 2};
static const UCHAR peer_mac[6] = {0x02, 0, 0, 0, 0, 0x02};
#define LOCAL_PORT 40000
#define PEER_PORT 7
#define SEND_NEXT 1000000u    /* the next sequence number we send */
#define RECEIVE_NEXT 2000000u /* the next one we expect */
#define WINDOW 65535u         /* bytes, either way; no scaling, no timestamps, no SACK */
#define MTU 1500u

/* ---- trees ---- */

static PVOID
take(struct tree *tree, ULONG bytes)
{
    PVOID start = tree->memory + tree->used;

    tree->used += (ULONG)NDIS_OFFLOAD_STATE_ALIGN(bytes);
    return start;
}

/* The first is the root, each other one depends on the one before. */
static PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST
add_node(struct tree *tree, OFFLOAD_STATE_TYPE type, PNDIS_OFFLOAD_HANDLE handle)
{
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block = take(tree, sizeof(*block));

    block->Header.Type = (UCHAR)type;
    block->Header.Revision = NDIS_OFFLOAD_BLOCK_LIST_REVISION_1;
    block->Header.Size = sizeof(*block);
    block->OffloadHandle = handle;
    if (tree->last)
        tree->last->DependentBlockList = block;
    else
        tree->root = block;
    tree->last = block;
    return block;
}

/* Behind the node added last; const, cached, delegated is the order. */
static PVOID
add_state(struct tree *tree, ULONG size)
{
    OFFLOAD_STATE_HEADER *header = take(tree, size);

    header->Length = size;
    return header;
}

static void
add_neighbor_and_path(struct binding *b)
{
    NEIGHBOR_OFFLOAD_STATE_CACHED *neighbor;
    PATH_OFFLOAD_STATE_CONST *constant;
    PATH_OFFLOAD_STATE_CACHED *path;

    add_node(&b->tree, NeighborOffloadState, &b->neighbor);
    add_state(&b->tree, sizeof(NEIGHBOR_OFFLOAD_STATE_CONST)); /* no VLAN, the adapter's own MAC */
    neighbor = add_state(&b->tree, sizeof(*neighbor));
    add_state(&b->tree, sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED));
    NdisMoveMemory(neighbor->DlDestinationAddress, peer_mac, sizeof(peer_mac));

    add_node(&b->tree, Ip4OffloadState, &b->path);
    constant = add_state(&b->tree, sizeof(*constant));
    path = add_state(&b->tree, sizeof(*path));
    add_state(&b->tree, sizeof(PATH_OFFLOAD_STATE_DELEGATED));
    constant->SourceAddress = local_address;
    constant->DestinationAddress = peer_address;
    path->PathMtu = MTU;
}

static void
add_tcp(struct binding *b)
{
    TCP_OFFLOAD_STATE_CONST *constant;
    TCP_OFFLOAD_STATE_CACHED *cached;
    TCP_OFFLOAD_STATE_DELEGATED *delegated;

    add_node(&b->tree, TcpOffloadState, &b->tcp);
    constant = add_state(&b->tree, sizeof(*constant));
    cached = add_state(&b->tree, sizeof(*cached));
    delegated = add_state(&b->tree, sizeof(*delegated));
    constant->LocalPort = network_order(LOCAL_PORT);
    constant->RemotePort = network_order(PEER_PORT);
    constant->RemoteMss = MTU - 40;
    cached->InitialRcvWnd = WINDOW;
    cached->TtlOrHopLimit = 64;
    delegated->State = TcpConnectionEstablished;
    delegated->RcvNxt = RECEIVE_NEXT;
    delegated->RcvWnd = WINDOW;
    delegated->SndUna = delegated->SndNxt = delegated->SndMax = SEND_NEXT;
    delegated->SndWnd = delegated->MaxSndWnd = WINDOW;
    delegated->SendWL1 = RECEIVE_NEXT - 1;
    delegated->CWnd = 10 * (MTU - 40);
    delegated->SsThresh = 0x7fffffff;
    delegated->KeepAlive.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF;
    delegated->Retransmit.TimeoutDelta = TCP_OFFLOAD_TIMER_OFF;
}

/* ---- what to do next ---- */

static void
go_down(struct binding *b)
{
    add_neighbor_and_path(b);
    add_tcp(b);
    b->phase = GOING_DOWN;
    NdisInitiateOffload(b->handle, b->tree.root);
}

/* An object that is not there is a placeholder: a node without a handle. */
static PNDIS_OFFLOAD_HANDLE
if_below(PNDIS_OFFLOAD_HANDLE handle)
{
    return handle->MiniportOffloadContext ? handle : NULL;
}

/* One tree again. Only delegated states come back; the completion finds them in it. */
static void
come_up(struct binding *b)
{
    NdisZeroMemory(&b->tree, sizeof(b->tree));
    add_node(&b->tree, NeighborOffloadDelegatedState, if_below(&b->neighbor));
    add_state(&b->tree, sizeof(NEIGHBOR_OFFLOAD_STATE_DELEGATED));
    add_node(&b->tree, Ip4OffloadDelegatedState, if_below(&b->path));
    add_state(&b->tree, sizeof(PATH_OFFLOAD_STATE_DELEGATED));
    if (add_node(&b->tree, TcpOffloadDelegatedState, if_below(&b->tcp))->OffloadHandle)
        b->delegated = add_state(&b->tree, sizeof(*b->delegated));
    b->phase = COMING_UP;
    NdisTerminateOffload(b->handle, b->tree.root);
}

static void
send_more(struct binding *b)
{
    for (ULONG i = 0; i < SENDS && b->posted < TOTAL; i++) {
        struct buffer *buffer = &b->sends[i];

        if (buffer->nbl)
            continue;
        for (ULONG j = 0; j < BUFFER_BYTES; j++)
            buffer->bytes[j] = byte_at(b->posted + j);
        buffer->nbl = wrap(buffer->bytes, BUFFER_BYTES);
        if (!buffer->nbl)
            return; /* the next completion tries again */
        buffer->nbl->ProtocolReserved[0] = buffer;
        b->posted += BUFFER_BYTES;
        NdisOffloadTcpSend(&b->tcp, buffer->nbl);
    }
}

static void
return_loans(struct binding *b)
{
    PNET_BUFFER_LIST loans = b->loans;

    b->loans = NULL;
    if (loans)
        NdisOffloadTcpReceiveReturn(b->handle, loans);
}

static void
receive_more(struct binding *b)
{
    if (b->receive.nbl || b->peer_closed || b->received == TOTAL)
        return;
    b->receive.nbl = wrap(b->receive.bytes, BUFFER_BYTES);
    if (!b->receive.nbl)
        return;
    b->receive.nbl->ProtocolReserved[0] = &b->receive;
    NET_BUFFER_LIST_INFO(b->receive.nbl, TcpReceiveNoPush) = NULL; /* push mode */
    NdisOffloadTcpReceive(&b->tcp, b->receive.nbl);
}

/* Everything is out and back: a FIN, or a reset if it was not what we sent. */
static void
close_when_done(struct binding *b)
{
    PNET_BUFFER_LIST nbl;

    if (b->closing || b->acknowledged < TOTAL || b->received < TOTAL)
        return;
    nbl = wrap(NULL, 0);
    if (!nbl)
        return;
    b->closing = TRUE;
    NdisOffloadTcpDisconnect(
        &b->tcp, nbl, b->bad ? TCP_DISCONNECT_ABORTIVE_CLOSE : TCP_DISCONNECT_GRACEFUL_CLOSE);
}

void
connection_pump(struct binding *b)
{
    return_loans(b);
    if (b->running && b->parameters_set && !b->stopped && b->phase == HERE)
        go_down(b);
    if (b->phase != BELOW)
        return;
    if (b->leave) {
        come_up(b);
        return;
    }
    receive_more(b);
    send_more(b);
    close_when_done(b);
}

/* ---- state operations complete ---- */

/*
 * A tree may succeed in part. This one is a chain, so its last node tells whether the connection is
 * below. If it is not, what it was to stand on may be there all the same, and has to come home.
 */
VOID
ProtocolInitiateOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                                PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct binding *b = ProtocolBindingContext;
    PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST path = OffloadBlockList->DependentBlockList;

    if (b->tree.last->Status != NDIS_STATUS_SUCCESS) {
        say("refused: neighbor %08x, path %08x, connection %08x\n", (UINT)OffloadBlockList->Status,
            (UINT)path->Status, (UINT)b->tree.last->Status);
        b->leave = TRUE;
    }
    b->phase = if_below(&b->neighbor) ? BELOW : OVER;
    pump_soon(b);
}

/*
 * The connection is ours again: sends that were not acknowledged, received data that nobody has
 * taken, and the numbers to go on with. A real host stack requeues the first (their NET_BUFFERs
 * begin at SndUna), copies the second, and starts its own TCP from the third.
 */
VOID
ProtocolTerminateOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                                 PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    struct binding *b = ProtocolBindingContext;
    PNET_BUFFER_LIST nbl, next;

    for (nbl = b->tree.last->NetBufferListChain; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        take_back(nbl);
    }
    if (b->delegated && b->tree.last->Status == NDIS_STATUS_SUCCESS) {
        for (nbl = b->delegated->BufferedData; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl))
            compare_all(b, nbl);
        b->loans = b->delegated->BufferedData;
        say("home in state %u: %u bytes sent, %u received, %u wrong; SndUna %u, RcvNxt %u\n",
            b->delegated->State, b->acknowledged, b->received, b->bad, b->delegated->SndUna,
            b->delegated->RcvNxt);
    }
    b->phase = OVER;
    pump_soon(b);
}

/* Update, invalidate and query are never asked for here. */
VOID
ProtocolOtherOffloadComplete(NDIS_HANDLE ProtocolBindingContext,
                             PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
}

/* Is the neighbor there? The answer is how many ticks ago we heard of it, written in place. */
VOID
ProtocolIndicateOffloadEvent(NDIS_HANDLE ProtocolBindingContext,
                             PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList,
                             ULONG IndicationCode)
{
    NEIGHBOR_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(OffloadBlockList);
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);

    if (IndicationCode == NeighborReachabilityQuery)
        cached->HostReachabilityDelta = 0;
}

/* ---- data and events ---- */

/* SUCCESS means acknowledged by the peer. Otherwise the target wants the connection to go home. */
VOID
ProtocolTcpOffloadSendComplete(NDIS_HANDLE ProtocolBindingContext, PNET_BUFFER_LIST NetBufferList)
{
    struct binding *b = ProtocolBindingContext;
    PNET_BUFFER_LIST nbl, next;

    for (nbl = NetBufferList; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        b->acknowledged += transferred(nbl);
        b->leave |= NET_BUFFER_LIST_STATUS(nbl) != NDIS_STATUS_SUCCESS;
        take_back(nbl);
    }
    pump_soon(b);
}

VOID
ProtocolTcpOffloadReceiveComplete(NDIS_HANDLE ProtocolBindingContext,
                                  PNET_BUFFER_LIST NetBufferList)
{
    struct binding *b = ProtocolBindingContext;
    PNET_BUFFER_LIST nbl, next;

    for (nbl = NetBufferList; nbl; nbl = next) {
        ULONG length = transferred(nbl);

        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        compare(b, take_back(nbl)->bytes, length);
    }
    pump_soon(b);
}

/* Data for which nothing was posted. Accepted whole, the NBL is ours until we return it; returning
 * it in here would be too early. */
NDIS_STATUS
ProtocolTcpOffloadReceiveIndicate(PVOID OffloadContext, PNET_BUFFER_LIST NetBufferList,
                                  NDIS_STATUS Status, PULONG BytesConsumed)
{
    struct binding *b = container_of(OffloadContext, struct binding, tcp);

    compare_all(b, NetBufferList);
    *BytesConsumed = NET_BUFFER_DATA_LENGTH(NET_BUFFER_LIST_FIRST_NB(NetBufferList));
    NET_BUFFER_LIST_NEXT_NBL(NetBufferList) = b->loans;
    b->loans = NetBufferList;
    pump_soon(b);
    return NDIS_STATUS_SUCCESS;
}

/* Our FIN (or RST) is through. With both FINs the connection has nothing to do below any more. */
VOID
ProtocolTcpOffloadDisconnectComplete(NDIS_HANDLE ProtocolBindingContext,
                                     PNET_BUFFER_LIST NetBufferList)
{
    struct binding *b = ProtocolBindingContext;

    b->closed = TRUE;
    b->leave |= b->peer_closed || b->bad ||
                NET_BUFFER_LIST_STATUS(NetBufferList) != NDIS_STATUS_SUCCESS;
    unwrap(NetBufferList);
    pump_soon(b);
}

/* Segments that reach us although the target has the connection could be forwarded to it. We let
 * them go: the peer sends them again. */
VOID
ProtocolTcpOffloadForwardComplete(NDIS_HANDLE ProtocolBindingContext,
                                  PNET_BUFFER_LIST NetBufferList)
{
}

VOID
ProtocolTcpOffloadEvent(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct binding *b = container_of(OffloadContext, struct binding, tcp);

    if (EventType == TcpIndicateDisconnect) {
        b->peer_closed = TRUE;
        b->leave |= b->closed;
    } else if (EventType == TcpIndicateAbort || EventType == TcpIndicateRetrieve) {
        b->leave = TRUE;
    }
    pump_soon(b);
}
