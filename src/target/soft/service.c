/*
 * The service of a connection: whatever happened to it (segments, posts, returns, its timer) marks
 * it dirty, and one task after the batch does what follows, always in the same order: timers,
 * forwarded segments, arrived data, events, acknowledged sends, delivery, and then, once, output.
 * So a batch of many frames gives few and large answers, and a callback that calls back into the
 * target changes lists and nothing else.
 *
 * The timer is set when something becomes due earlier, and otherwise left alone: most deadlines
 * move on with every segment, and one that fires too early looks again.
 *
 * The wire's back-pressure: while it is blocked no segment is asked of the engine; a segment that
 * it refuses is kept and tried first when it is writable again. The engine is told, for what waits
 * here is not lost.
 */
#include "target/soft/conn.h"

#define ROUNDS_MAX 16 /* of one service; what is left is done at the next turn */

void
soft_dirty(struct soft_conn *conn)
{
    struct soft_adapter *adapter = conn->object.adapter;

    if (conn->servicing) {
        conn->again = true;
        return;
    }
    if (list_empty(&conn->dirty))
        list_add_tail(&adapter->dirty, &conn->dirty);
    sys_loop_defer(adapter->loop, &adapter->service);
}

void
soft_later(struct soft_conn *conn)
{
    if (list_empty(&conn->later))
        list_add_tail(&conn->object.adapter->later, &conn->later);
}

void
soft_later_over(struct soft_adapter *adapter)
{
    while (!list_empty(&adapter->later)) {
        struct soft_conn *conn = list_first(&adapter->later, struct soft_conn, later);
        list_del(&conn->later);
        soft_dirty(conn);
    }
}

void
soft_done(struct soft_conn *conn, struct soft_nbls *list, NET_BUFFER_LIST *nbl)
{
    soft_nbls_add(list, nbl);
    conn->settled = true;
}

void
soft_complete(struct soft_conn *conn)
{
    struct soft_adapter *adapter = conn->object.adapter;
    const NDIS_TCP_OFFLOAD_EVENT_HANDLERS *up = &adapter->up;
    NET_BUFFER_LIST *nbls;

    if (!conn->settled || !list_empty(&conn->adopted))
        return;
    conn->settled = false; /* what the host stack then does may settle more */
    if ((conn->done_sends.head || conn->done_disconnects.head) &&
        conn->sent_flush == adapter->flushes)
        soft_wire_flush(adapter); /* the wire may still refer to these buffers */
    if ((nbls = soft_nbls_take(&conn->done_sends)))
        up->NdisTcpOffloadSendComplete(adapter->handle, nbls);
    if ((nbls = soft_nbls_take(&conn->done_receives)))
        up->NdisTcpOffloadReceiveComplete(adapter->handle, nbls);
    while ((nbls = conn->done_disconnects.head)) {
        conn->done_disconnects.head = NET_BUFFER_LIST_NEXT_NBL(nbls);
        if (!conn->done_disconnects.head)
            conn->done_disconnects.tail = NULL;
        NET_BUFFER_LIST_NEXT_NBL(nbls) = NULL;
        up->NdisTcpOffloadDisconnectComplete(adapter->handle, nbls);
    }
    if ((nbls = soft_nbls_take(&conn->done_forwards)))
        up->NdisTcpOffloadForwardComplete(adapter->handle, nbls);
}

static void
run_timers(struct soft_conn *conn)
{
    uint64_t now_us = soft_now_us(conn->object.adapter);

    if (conn->phase != SOFT_OPEN || now_us < tcp_deadline_us(&conn->tcp))
        return;
    if (conn->object.adapter->wire_blocked)
        tcp_on_blocked(&conn->tcp, now_us);
    conn->events |= tcp_on_timer(&conn->tcp, now_us);
}

/* When there is something to do although nothing happens. */
static uint64_t
due_us(const struct soft_conn *conn)
{
    uint64_t deadline_us = conn->push_deadline_us;

    if (conn->phase == SOFT_OPEN) {
        uint64_t engine_us = tcp_deadline_us(&conn->tcp), watch_us = soft_watch_deadline_us(conn);
        if (engine_us < deadline_us)
            deadline_us = engine_us;
        if (watch_us < deadline_us)
            deadline_us = watch_us;
    }
    return deadline_us;
}

static void
arm_timer(struct soft_conn *conn)
{
    uint64_t deadline_us = due_us(conn);

    if (deadline_us < conn->timer.deadline_us)
        sys_timer_set(&conn->timer, deadline_us);
}

void
soft_on_timer(void *arg)
{
    struct soft_conn *conn = arg;

    if (soft_now_us(conn->object.adapter) < due_us(conn))
        arm_timer(conn);
    else
        soft_dirty(conn);
}

static void
one_round(struct soft_conn *conn)
{
    conn->again = false;
    run_timers(conn);
    soft_forward_run(conn);
    soft_receive_take(conn);
    soft_event_run(conn);
    if (conn->phase != SOFT_ABORTED)
        soft_send_settle(conn);
    soft_complete(conn);
    soft_deliver(conn);
}

/* The RST is on its way, or never will be: the abortive disconnect is done. */
static void
settle_abort(struct soft_conn *conn)
{
    if (conn->phase != SOFT_ABORTED || conn->stalled || !list_empty(&conn->blocked))
        return;
    soft_disconnect_settle(conn, NDIS_STATUS_SUCCESS);
    soft_complete(conn);
}

void
soft_service(struct soft_conn *conn)
{
    if (conn->servicing) {
        conn->again = true;
        return;
    }
    conn->servicing = true;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        one_round(conn);
        if (!conn->again)
            break;
    }
    soft_receive_edge(conn);
    soft_output(conn);
    settle_abort(conn);
    soft_event_indicate(conn);
    arm_timer(conn);
    conn->servicing = false;
    if (conn->again)
        soft_dirty(conn);
}

void
soft_service_dirty(void *arg)
{
    struct soft_adapter *adapter = arg;
    struct list *last = adapter->dirty.prev;
    bool more = !list_empty(&adapter->dirty);

    soft_frames_indicate(adapter);
    while (more && !list_empty(&adapter->dirty)) {
        struct soft_conn *conn = list_first(&adapter->dirty, struct soft_conn, dirty);
        more = &conn->dirty != last;
        list_del(&conn->dirty);
        soft_service(conn);
    }
    if (!list_empty(&adapter->dirty))
        sys_loop_defer(adapter->loop, &adapter->service);
}

void
soft_on_writable(void *arg)
{
    struct soft_adapter *adapter = arg;

    adapter->wire_blocked = false;
    soft_frames_resume(adapter);
    while (!adapter->wire_blocked && !list_empty(&adapter->blocked)) {
        struct soft_conn *conn = list_first(&adapter->blocked, struct soft_conn, blocked);
        list_del(&conn->blocked);
        soft_dirty(conn);
    }
}
