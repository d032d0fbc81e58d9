/*
 * Terminate: giving a connection back, at any moment, without losing a byte.
 *
 * From the call on its frames take the regular path. At the next turn, in this order: the
 * connection is serviced once more (delivery, a delayed ACK, what the engine may send), the
 * delegated state is read, the engine is closed; sends that are not acknowledged go back in
 * NetBufferListChain, the first advanced to SndUna; posted receives and an open disconnect end
 * UPLOAD_IN_PROGRESS; acknowledged data that was not taken goes back in BufferedData. Then the
 * completion, and only behind it the memory (V-145 … V-154).
 *
 * One thing more than documented (OURS): frames whose bytes the peer still holds as unacknowledged
 * are not thrown away (V-150 would allow it, and the peer would resend them) but go up the regular
 * path behind the completion, whole, as they arrived: those in the out-of-order queue; with ack =
 * returned those in order that were not accepted; and those that came after a mandatory Retrieve. A
 * superframe that was delivered wholly is on none of these lists.
 */
#include "base/log.h"
#include "target/soft/conn.h"

/* ---- the regular path, from the call on ---- */

static void
mark(NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root)
{
    struct soft_walk walk;

    for (soft_walk_first(&walk, root); walk.block; soft_walk_next(&walk)) {
        struct soft_object *object = soft_block_object(walk.block);
        if (object && object->kind == SOFT_TCP)
            soft_conn_of(object)->terminating = true;
    }
}

/* ---- one connection ---- */

/* Everything that may still be said is said. */
static void
settle(struct soft_conn *conn)
{
    struct tcp_conn *tcp = &conn->tcp;

    if (conn->phase == SOFT_OPEN && (tcp_ack_pending(tcp) || tcp->delack_deadline_us != TCP_NEVER))
        tcp_ack_now(tcp);
    soft_service(conn);
}

/* Nothing comes back to it by itself. Behind the last completion: what is called there may return
 * what was lent, and that asks for service. */
static void
forget(struct soft_conn *conn)
{
    list_del(&conn->dirty);
    list_del(&conn->blocked);
    list_del(&conn->later);
    sys_timer_set(&conn->timer, SYS_NEVER);
}

static void
end_requests(struct soft_conn *conn)
{
    soft_receive_fail(conn, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    soft_wire_flush(conn->object.adapter);
    soft_complete(conn);
}

static void
move_all(struct list *from, struct list *to)
{
    while (!list_empty(from)) {
        struct list *link = from->next;
        list_del(link);
        list_add_tail(to, link);
    }
}

/* The engine has had it. */
static void
leave(const struct soft_conn *conn, struct soft_frame *frame, struct list *leftover)
{
    if (conn->tcp.config.ecn)
        soft_segment_forget_congestion(frame->buf);
    list_add_tail(leftover, &frame->link);
}

/* Frames for the regular path, oldest bytes first. Of a connection that was reset only those that
 * the engine has not had (V-116). */
static void
collect_leftover(struct soft_conn *conn, struct list *leftover)
{
    struct tcp_chunk *chunk = tcp_close(&conn->tcp), *next;
    struct list had;

    list_init(&had);
    list_for_each_safe(frame, &conn->buffered, struct soft_frame, link) {
        if (conn->ack_returned && frame->whole) {
            list_del(&frame->link);
            leave(conn, frame, &had);
        }
    }
    for (; chunk; chunk = next) {
        struct soft_frame *frame = container_of(chunk, struct soft_frame, chunk);
        next = chunk->next;
        leave(conn, frame, &had);
    }
    while (conn->phase == SOFT_ABORTED && !list_empty(&had))
        soft_frame_destroy(list_first(&had, struct soft_frame, link));
    move_all(&had, leftover);
    move_all(&conn->held, leftover);
}

/* Acknowledged, not taken by the application: the chain for BufferedData. False: out of memory,
 * some is lost. */
static bool
give_buffered(struct soft_conn *conn, NET_BUFFER_LIST **chain)
{
    struct soft_adapter *adapter = conn->object.adapter;
    struct soft_nbls nbls = {NULL, NULL};
    bool complete = true;

    while (!list_empty(&conn->buffered)) {
        struct soft_frame *frame = list_first(&conn->buffered, struct soft_frame, link);
        list_del(&frame->link);
        if (conn->phase == SOFT_ABORTED || !complete ||
            !soft_frame_wrap(frame, adapter->chimney_pool, frame->payload + frame->chunk.offset,
                             frame->chunk.len)) {
            complete = conn->phase == SOFT_ABORTED;
            soft_frame_destroy(frame);
            continue;
        }
        soft_nbls_add(&nbls, frame->nbl);
        adapter->lent++;
    }
    *chain = nbls.head;
    return complete;
}

/* What the host stack still has comes back to nobody. */
static void
disown_lent(struct soft_conn *conn)
{
    while (!list_empty(&conn->lent)) {
        struct soft_frame *frame = list_first(&conn->lent, struct soft_frame, link);
        list_del(&frame->link);
        frame->conn = NULL;
        if (frame->returned)
            soft_frame_destroy(frame);
    }
}

void
soft_conn_drop(struct soft_conn *conn)
{
    struct list leftover;

    list_init(&leftover);
    list_del(&conn->adopted);
    forget(conn);
    collect_leftover(conn, &leftover);
    move_all(&conn->buffered, &leftover);
    while (!list_empty(&leftover))
        soft_frame_destroy(list_first(&leftover, struct soft_frame, link));
    disown_lent(conn);
    soft_conn_remove(conn);
}

static NDIS_STATUS
terminate_tcp(struct soft_conn *conn, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block)
{
    struct soft_adapter *adapter = conn->object.adapter;
    TCP_OFFLOAD_STATE_DELEGATED *delegated = soft_block_state(block, SOFT_DELEGATED);
    TCP_OFFLOAD_STATE_DELEGATED unwanted;
    NET_BUFFER_LIST *tail = NULL, *buffered = NULL;
    bool lost = soft_event_lost(conn); /* events first */

    settle(conn);
    end_requests(conn);
    settle(conn); /* with ack = returned, what was returned meanwhile is acknowledged */
    block->NetBufferListChain = soft_send_take(conn, &tail);
    end_requests(conn); /* and what was posted meanwhile */
    forget(conn);
    if (!delegated)
        delegated = &unwanted;
    soft_export_state(conn, soft_now_us(adapter), delegated);
    if (delegated != &unwanted)
        soft_extension_capture(conn, delegated, soft_now_us(adapter));
    collect_leftover(conn, &adapter->leftover);
    bool complete = give_buffered(conn, &buffered) && !lost;
    disown_lent(conn);
    soft_conn_remove(conn);
    delegated->SendDataHead = block->NetBufferListChain;
    delegated->SendDataTail = tail;
    delegated->BufferedData = buffered;
    log_debug("soft conn %p: given back, una %u nxt %u, rcv %u", (void *)conn, delegated->SndUna,
              delegated->SndNxt, delegated->RcvNxt);
    return complete && delegated != &unwanted ? NDIS_STATUS_SUCCESS : NDIS_STATUS_FAILURE;
}

/* ---- the tree ---- */

static NDIS_STATUS
terminate_block(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *block,
                NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *parent)
{
    struct soft_object *object = soft_block_object(block);
    NDIS_STATUS status = NDIS_STATUS_SUCCESS;

    if (!object || object->doomed || object->terminated)
        return NDIS_STATUS_FAILURE;
    object->terminated = true;
    list_add_tail(&adapter->graves, &object->grave);
    if (object->kind == SOFT_TCP)
        return terminate_tcp(soft_conn_of(object), block);
    block->NetBufferListChain = NULL;
    NEIGHBOR_OFFLOAD_STATE_DELEGATED *delegated = soft_block_state(block, SOFT_DELEGATED);
    if (object->kind == SOFT_NEIGHBOR && delegated)
        delegated->NicReachabilityDelta = soft_neighbor_age(
            container_of(object, struct soft_neighbor, object));
    list_for_each(child, &object->children, struct soft_object, sibling) {
        if (!child->terminated)
            status = NDIS_STATUS_FAILURE; /* V-063: something still stands on it */
    }
    return status;
}

void
soft_terminate(struct soft_adapter *adapter, NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *root)
{
    struct list leftover;

    soft_block_walk(adapter, root, true, terminate_block);
    list_init(&leftover);
    move_all(&adapter->leftover, &leftover);
    NdisMTerminateOffloadComplete(adapter->handle, root);
    while (!list_empty(&adapter->graves)) {
        struct list *link = adapter->graves.next;
        list_del(link);
        soft_object_free(container_of(link, struct soft_object, grave));
    }
    while (!list_empty(&leftover)) {
        struct soft_frame *frame = list_first(&leftover, struct soft_frame, link);
        list_del(&frame->link);
        soft_frame_up(frame);
    }
    soft_power_settle(adapter);
}

VOID
SoftTerminateOffload(NDIS_HANDLE MiniportAdapterContext,
                     NDIS_MINIPORT_OFFLOAD_BLOCK_LIST *OffloadBlockList)
{
    mark(OffloadBlockList);
    soft_operation_queue(MiniportAdapterContext, SOFT_TERMINATE, OffloadBlockList);
}
