/*
 * Trees, on the way up, and events: what became of each object, and what follows from it. Sources:
 * G:returning-completion-status-of-an-initiate…, D:ndis_tcp_offload_event_indicate,
 * G:making-a-neighborreachabilityquery-indication; V-067, V-069, V-142.
 */
#include "bad_host.h"

#include "mutant.h"

typedef NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block_list;

#define DELEGATED 2 /* index of that state */

/* ---- completions ---- */

static bool
succeeded(NDIS_STATUS status)
{
    return status == NDIS_STATUS_SUCCESS || status == NDIS_STATUS_OFFLOAD_PARTIAL_SUCCESS;
}

static void
initiated(struct bh_block *block)
{
    struct bh_object *object = block->object;
    NDIS_STATUS status = block->block.Status;
    struct bh_conn *conn = (struct bh_conn *)object;

    if (!block->fresh)
        return;
    object->where = succeeded(status) ? BH_DOWN : BH_HOME;
    object->leave = object->invalid = false;
    if (object->kind != BH_TCP)
        return;
    conn->initiated = status;
    bh_buffered_free(object->host, block->buffered);
    block->buffered = NULL;
    list_for_each(data, &conn->sends, struct bh_data, link) {
        if (object->where != BH_DOWN || !data->at_home)
            continue;
        data->at_home = false;
        object->host->nbls_out++;
    }
}

/* Everything the host stack knows about the connection must fit what the target says. */
static void
check_state(struct bh_conn *conn)
{
    struct bad_host *host = conn->object.host;
    ULONG una = conn->send_seq, rcv = conn->receive_seq + conn->events[TcpIndicateDisconnect];

    list_for_each(data, &conn->sends, struct bh_data, link) {
        host->wrong += !data->at_home;
        if (una == conn->send_seq)
            una = data->seq + data->consumed;
    }
    if (conn->events[TcpIndicateAbort] || conn->closes || conn->close)
        return;
    host->wrong += conn->state.SndUna != una;
    host->wrong += conn->state.RcvNxt != rcv;
    host->wrong += !list_empty(&conn->posts);
}

/* V-147, V-151: the ends of the chain are named, and what does not run says so. */
static void
check_returned(struct bh_block *block, const TCP_OFFLOAD_STATE_DELEGATED *state)
{
    struct bh_conn *conn = (struct bh_conn *)block->object;
    struct bad_host *host = conn->object.host;
    NET_BUFFER_LIST *tail = block->block.NetBufferListChain;

    while (tail && tail->Next)
        tail = tail->Next;
    host->wrong += state->SendDataHead != block->block.NetBufferListChain;
    host->wrong += state->SendDataTail != tail;
    if (!(conn->cached.Flags & TCP_FLAG_KEEP_ALIVE_ENABLED))
        host->wrong += state->KeepAlive.TimeoutDelta != TCP_OFFLOAD_TIMER_OFF;
    if (state->State == TcpConnectionEstablished && state->SndUna == state->SndMax)
        host->wrong += state->Retransmit.TimeoutDelta != TCP_OFFLOAD_TIMER_OFF;
}

static void
terminated(struct bh_block *block)
{
    struct bh_object *object = block->object;
    struct bh_conn *conn = (struct bh_conn *)object;
    TCP_OFFLOAD_STATE_DELEGATED *state = bh_state(block, DELEGATED);

    object->where = BH_HOME;
    object->leave = object->invalid = false;
    if (object->kind != BH_TCP)
        return;
    conn->terminated = block->block.Status;
    if (block->block.Status == NDIS_STATUS_SUCCESS)
        check_returned(block, state);
    bh_sends_back(conn, block->block.NetBufferListChain);
    if (block->block.Status != NDIS_STATUS_SUCCESS)
        return;
    conn->state = *state;
    bh_buffered_take(conn, state->BufferedData);
    conn->state.BufferedData = conn->state.SendDataHead = conn->state.SendDataTail = NULL;
    check_state(conn);
}

/* V-069: what failed comes home. */
static void
answered(struct bh_op *op, struct bh_block *block)
{
    struct bh_object *object = block->object;

    object->busy--;
    if (block->block.Status != NDIS_STATUS_SUCCESS)
        object->leave = !bad_v(69, op->operation == BH_QUERY ? 1 : 2);
    else if (op->operation == BH_INVALIDATE)
        object->invalid = true;
}

static struct bh_op *
op_of(struct bad_host *host, block_list *root)
{
    list_for_each(op, &host->operations, struct bh_op, link)
        if (op->root == root)
            return op;
    host->wrong++;
    return NULL;
}

static void
completed(struct bad_host *host, block_list *root, enum bh_operation operation)
{
    struct bh_op *op = op_of(host, root);

    if (!op)
        return;
    op->completions++;
    if (!op->out || op->operation != operation) {
        host->wrong++;
        return;
    }
    op->out = false;
    op->done = true;
    host->out--;
    for (unsigned i = 0; i < op->count; i++) {
        struct bh_block *block = &op->blocks[i];

        if (!block->object)
            host->wrong += block->block.Status != NDIS_STATUS_SUCCESS;
        else if (operation == BH_INITIATE)
            initiated(block);
        else if (operation == BH_TERMINATE)
            terminated(block);
        else
            answered(op, block);
    }
    bh_kick(host);
}

VOID
bh_initiate_complete(NDIS_HANDLE ProtocolBindingContext,
                     PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    completed(ProtocolBindingContext, OffloadBlockList, BH_INITIATE);
}

VOID
bh_terminate_complete(NDIS_HANDLE ProtocolBindingContext,
                      PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    completed(ProtocolBindingContext, OffloadBlockList, BH_TERMINATE);
}

VOID
bh_update_complete(NDIS_HANDLE ProtocolBindingContext,
                   PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    completed(ProtocolBindingContext, OffloadBlockList, BH_UPDATE);
}

VOID
bh_invalidate_complete(NDIS_HANDLE ProtocolBindingContext,
                       PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    completed(ProtocolBindingContext, OffloadBlockList, BH_INVALIDATE);
}

VOID
bh_query_complete(NDIS_HANDLE ProtocolBindingContext,
                  PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    completed(ProtocolBindingContext, OffloadBlockList, BH_QUERY);
}

/* ---- events ---- */

/* V-142: answered in place, before returning. */
VOID
bh_offload_event(NDIS_HANDLE ProtocolBindingContext,
                 PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList, ULONG IndicationCode)
{
    struct bad_host *host = ProtocolBindingContext;
    NEIGHBOR_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(OffloadBlockList);
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);

    host->wrong += OffloadBlockList->Header.Type != NeighborOffloadState ||
                   OffloadBlockList->DependentBlockList ||
                   OffloadBlockList->Status != NDIS_STATUS_SUCCESS;
    if (IndicationCode != NeighborReachabilityQuery)
        return;
    list_for_each(object, &host->objects, struct bh_object, all) {
        struct bh_neighbor *neighbor = (struct bh_neighbor *)object;

        if (object->kind != BH_NEIGHBOR || &object->handle != OffloadBlockList->OffloadHandle)
            continue;
        neighbor->queries++;
        if (!bad(142))
            cached->HostReachabilityDelta = neighbor->age;
    }
}

/* V-067: an abort or a mandatory reason is always followed by a terminate. */
VOID
bh_event(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    struct bh_conn *conn = container_of(OffloadContext, struct bh_conn, object.handle);
    bool mandatory = EventType == TcpIndicateRetrieve &&
                     EventSpecificInformation <= UploadRequested;

    if (conn->object.kind != BH_TCP || EventType > TcpIndicateSendBacklogChange) {
        conn->object.host->wrong++;
        return;
    }
    conn->events[EventType]++;
    if (EventType == TcpIndicateRetrieve && EventSpecificInformation <= SmallIO)
        conn->reasons[EventSpecificInformation]++;
    if (EventType == TcpIndicateSendBacklogChange)
        conn->backlog = EventSpecificInformation;
    if (EventType == TcpIndicateAbort)
        conn->object.leave = !bad_v(67, 1);
    if (mandatory)
        conn->object.leave = !(EventSpecificInformation != InvalidState && bad_v(67, 2));
    if (conn->object.host->sending == conn && bad_once(82))
        bh_send(conn, 1, 1, 10);
    if (conn->object.host->posting == conn && bad_once_v(102, 2))
        bh_post(conn, 10, false, 0);
    bh_kick(conn->object.host);
}
