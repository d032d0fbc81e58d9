/*
 * Terminate: what is delivered is delivered, what is acknowledged completes; then sends go back in
 * the chain or complete UPLOAD_IN_PROGRESS (the scenario says which, per connection), receives and
 * an open disconnect end UPLOAD_IN_PROGRESS, data that nobody took goes back as BufferedData. Then
 * the completion, and behind it the memory and the segments that belong to the regular path.
 *
 * Sources: D:ndismterminateoffloadcomplete, G:handling-outstanding-send-data-during-a-terminate…,
 * G:handling-buffered-receive-data-during-a-terminate…; V-145 … V-155.
 */
#include "bad_target.h"

#include "mutant.h"

#include <stdlib.h>

typedef NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block_list;

/* ---- from the call on ---- */

static void
mark(struct bad_target *target, block_list *list)
{
    for (block_list *block = list; block; block = block->NextBlock) {
        struct bt_conn *conn = block->MiniportOffloadContext
                                   ? bt_conn_find(target, *block->MiniportOffloadContext)
                                   : NULL;

        if (conn)
            conn->terminating = true;
        mark(target, block->DependentBlockList);
    }
}

/* ---- sends ---- */

static ULONG
acknowledged(const NET_BUFFER_LIST *nbl)
{
    return (ULONG)(ULONG_PTR)nbl->MiniportReserved[1];
}

/* The first NBL's first byte becomes SndUna. */
static void
return_sends(struct bt_conn *conn, unsigned count, struct stream_chain *chain)
{
    while (count-- && conn->sends.head) {
        NET_BUFFER_LIST *nbl = bt_queue_take(&conn->sends);

        stream_advance(nbl, acknowledged(nbl));
        if (!chain->head && bad_once_v(147, 3)) { /* both ways */
            bt_finish(&conn->object.target->sent, nbl, NDIS_STATUS_UPLOAD_IN_PROGRESS, 0);
            bt_flush(conn->object.target);
        }
        stream_chain_add(chain, nbl);
    }
    if (chain->head && chain->head->Next && bad_v(147, 1))
        bt_swap(chain);
}

static void
complete_sends(struct bt_conn *conn)
{
    while (conn->sends.head) {
        NET_BUFFER_LIST *nbl = bt_queue_take(&conn->sends);

        bt_finish(&conn->object.target->sent, nbl, NDIS_STATUS_UPLOAD_IN_PROGRESS,
                  acknowledged(nbl));
    }
}

static void
give_sends(struct bt_conn *conn, struct stream_chain *chain)
{
    unsigned count = 0;

    for (NET_BUFFER_LIST *nbl = conn->sends.head; nbl; nbl = nbl->MiniportReserved[0])
        count++;
    if (count && bad_once_v(145, 2)) /* neither way */
        bt_queue_take(&conn->sends);
    if (conn->give == BT_RETURN)
        return_sends(conn, count, chain);
    else if (conn->give == BT_SPLIT)
        return_sends(conn, (count + 1) / 2, chain);
    complete_sends(conn);
}

/* ---- state ---- */

static NET_BUFFER_LIST *
give_buffered(struct bt_conn *conn)
{
    struct stream_chain chain = {NULL, NULL};

    while (!list_empty(&conn->buffered)) {
        struct bt_chunk *chunk = list_first(&conn->buffered, struct bt_chunk, link);

        list_del(&chunk->link);
        list_add_tail(&conn->object.target->lent, &chunk->link);
        if (bad_v(9, 1))
            bt_add_buffer(chunk->nbl);
        stream_chain_add(&chain, chunk->nbl);
    }
    if (!list_empty(&conn->object.target->lent) && !chain.head && bad_v(148, 1)) /* it is out */
        return list_first(&conn->object.target->lent, struct bt_chunk, link)->nbl;
    return chain.head;
}

/* V-151: what does not run says so. */
static void
fill_timers(const struct bt_conn *conn, TCP_OFFLOAD_STATE_DELEGATED *state)
{
    bool retransmit = conn->state.SndUna != conn->state.SndMax && !conn->aborted;
    bool persist = conn->state.SndWnd == 0 && conn->queued_seq != conn->state.SndUna;
    bool waits = conn->state.State == TcpConnectionFinWait2;

    state->KeepAlive.TimeoutDelta = conn->cached.Flags & TCP_FLAG_KEEP_ALIVE_ENABLED
                                        ? conn->cached.KaTimeout
                                        : TCP_OFFLOAD_TIMER_OFF;
    state->Retransmit.TimeoutDelta = retransmit || persist || waits ? 100 : TCP_OFFLOAD_TIMER_OFF;
}

/* Values that do not fit. Mutations only. */
static void
spoil_state(struct bt_conn *conn, TCP_OFFLOAD_STATE_DELEGATED *state)
{
    if (state->KeepAlive.TimeoutDelta == TCP_OFFLOAD_TIMER_OFF && bad_v(151, 1))
        state->KeepAlive.TimeoutDelta = 0;
    if (state->Retransmit.TimeoutDelta == TCP_OFFLOAD_TIMER_OFF && bad_v(151, 2))
        state->Retransmit.TimeoutDelta = 0;
    if (state->SendDataHead != state->SendDataTail && bad_v(147, 2))
        state->SendDataTail = state->SendDataHead;
    if (!state->SendDataHead && bad_v(147, 4))
        state->SendDataHead = state->SendDataTail = conn->object.target->chimney_pool;
    if (bad_v(155, 1))
        state->SndUna = state->SndNxt + 1;
    if (bad_v(155, 2))
        state->RcvNxt--;
    if (bad_v(155, 3))
        state->SndMax = state->SndNxt - 1;
}

static void
fill_state(struct bt_conn *conn, TCP_OFFLOAD_STATE_DELEGATED *out, const struct stream_chain *chain,
           NET_BUFFER_LIST *buffered)
{
    TCP_OFFLOAD_STATE_DELEGATED state = conn->state;

    state.Header = out->Header;
    state.TsTime = bt_now(conn->object.target) + conn->ts_delta;
    fill_timers(conn, &state);
    state.SendDataHead = chain->head;
    state.SendDataTail = chain->tail;
    state.BufferedData = buffered;
    spoil_state(conn, &state);
    *out = state;
}

static NDIS_STATUS
terminate_tcp(struct bt_conn *conn, block_list *block)
{
    struct stream_chain chain = {NULL, NULL};

    bt_service(conn);
    if (!(conn->posted.head && bad_v(145, 1)))
        bt_fail_receives(conn, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    give_sends(conn, &chain);
    if (!(conn->close && bad_v(145, 3)))
        bt_fail_close(conn, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    bt_flush(conn->object.target);
    bt_push_stop(conn);
    block->NetBufferListChain = chain.head;
    if (block->Header.Type != TcpOffloadDelegatedState)
        return NDIS_STATUS_FAILURE;
    if (bad(55))
        return NDIS_STATUS_SUCCESS;
    fill_state(conn, NDIS_OFFLOAD_STATE_FIRST(block), &chain, give_buffered(conn));
    return NDIS_STATUS_SUCCESS;
}

/* ---- the tree ---- */

static NDIS_STATUS
terminate_other(struct bt_object *object, block_list *block)
{
    struct bt_neighbor *neighbor = (struct bt_neighbor *)object;
    NEIGHBOR_OFFLOAD_STATE_DELEGATED *delegated = NDIS_OFFLOAD_STATE_FIRST(block);

    block->NetBufferListChain = NULL;
    if (object->kind == BT_NEIGHBOR && block->Header.Type == NeighborOffloadDelegatedState)
        delegated->NicReachabilityDelta = bt_now(object->target) - neighbor->nic_seen;
    list_for_each(child, &object->target->objects, struct bt_object, all)
        if (child->parent == object && !child->dead)
            return NDIS_STATUS_FAILURE; /* V-063 */
    return NDIS_STATUS_SUCCESS;
}

/* Dependents first: they stand on it. */
static void
terminate_list(struct bad_target *target, block_list *list)
{
    for (block_list *block = list; block; block = block->NextBlock) {
        struct bt_object *object = NULL;

        terminate_list(target, block->DependentBlockList);
        block->Status = NDIS_STATUS_SUCCESS;
        if (!block->MiniportOffloadContext) {
            if (bad_v(36, 2))
                block->Status = NDIS_STATUS_FAILURE;
            continue;
        }
        object = bt_object_find(target, *block->MiniportOffloadContext);
        if (!object || object->dead) {
            block->Status = NDIS_STATUS_FAILURE;
            continue;
        }
        block->Status = object->kind == BT_TCP ? terminate_tcp(bt_conn_of(object), block)
                                               : terminate_other(object, block);
        object->dead = true;
        target->counts[object->kind]--;
    }
}

/* Nobody knows the connection any more. Mutations only. */
static void
haunt(struct bt_conn *conn)
{
    struct bad_target *target = conn->object.target;
    static NDIS_OFFLOAD_HANDLE stranger;
    struct bt_chunk *chunk;
    ULONG consumed;

    if (bad_v(130, 1))
        bt_event(conn, TcpIndicateSendBacklogChange, 1);
    if (bad_v(130, 2))
        target->up.NdisTcpOffloadEventHandler(&stranger, TcpIndicateSendBacklogChange, 1);
    if (!bad(153))
        return;
    chunk = bt_chunk_create(target, 10);
    target->up.NdisTcpOffloadReceiveHandler(conn->object.handle, chunk->nbl, NDIS_STATUS_SUCCESS,
                                            &consumed);
    bt_chunk_destroy(chunk);
}

static void
bury(struct bad_target *target)
{
    unsigned held = 0;

    list_for_each_safe(object, &target->objects, struct bt_object, all) {
        if (!object->dead)
            continue;
        if (object->kind == BT_TCP) {
            haunt(bt_conn_of(object));
            held += bt_conn_of(object)->held;
        }
        bt_object_free(object);
    }
    bt_frames_up(target, held);
}

static void
run_bury(struct bad_target *target, struct bt_work *work)
{
    bury(target);
}

static void
run_terminate(struct bad_target *target, struct bt_work *work)
{
    if (work->flag) { /* V-154's mutation: behind what comes next */
        bt_work_add(target, (struct bt_work){.run = run_terminate, .root = work->root});
        return;
    }
    terminate_list(target, work->root);
    NdisMTerminateOffloadComplete(target->handle, work->root);
    bury(target);
}

/* V-146's mutation: without waiting for the indication on the stack. */
void
bt_terminate_early(struct bad_target *target)
{
    list_for_each_safe(work, &target->work, struct bt_work, link) {
        if (work->run != run_terminate)
            continue;
        list_del(&work->link);
        terminate_list(target, work->root);
        NdisMTerminateOffloadComplete(target->handle, work->root);
        free(work);
        bt_work_add(target, (struct bt_work){.run = run_bury});
    }
}

VOID
bt_terminate(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST OffloadBlockList)
{
    mark(MiniportAdapterContext, OffloadBlockList);
    bt_work_add(
        MiniportAdapterContext,
        (struct bt_work){.run = run_terminate, .root = OffloadBlockList, .flag = helps_v(154, 1)});
}
