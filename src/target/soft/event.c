/*
 * Events: what the engine has found becomes an indication to the host stack, and a change of phase
 * here.
 *
 *   RST acceptable              Abort; then everything open ends REQUEST_ABORTED (V-133)
 *   urgent data                 Retrieve(ReceivedUrgentData)
 *   SYN at RcvNxt               Retrieve(UploadRequested)
 *   forwarded when it is over   the same, see forward.c
 *   gave up                     Retrieve(TimeoutExpiration)
 *   both FINs are done          Retrieve(UploadRequested): TIME_WAIT is the host stack's business
 *   its hardware has failed     Retrieve(HardwareFailure), in watch.c
 *   its state is lost as well   Abort, when somebody asks for it (chimney 4.2)
 *   window or cwnd moved        SendBacklogChange, see below
 *
 * Small increases of the backlog are throttled (V-136), a decrease never is: who bounds a sender by
 * it must not let it run past the peer's window. It waits for initiates in progress (V-137).
 *
 * After a mandatory Retrieve the connection is STOPPED: nothing is sent, nothing acknowledged;
 * frames that still come are held and go up the regular path after the terminate. The FIN event is
 * in deliver.c: it waits for the data.
 */
#include "base/log.h"
#include "target/soft/conn.h"

#define BACKLOG_SLOW_US 10000u /* between two small increases */

void
soft_retrieve(struct soft_conn *conn, ULONG reason)
{
    struct soft_adapter *adapter = conn->object.adapter;

    if (conn->phase != SOFT_OPEN)
        return;
    soft_conn_set_phase(conn, SOFT_STOPPED, "a mandatory upload was asked for");
    log_info("soft %s: conn %p wants to go up, reason %u", wire_name(adapter->wire), (void *)conn,
             (unsigned)reason);
    list_del(&conn->blocked);
    adapter->up.NdisTcpOffloadEventHandler(conn->object.handle, TcpIndicateRetrieve, reason);
}

/* The host stack knows that they are not for the target (V-116). */
static void
let_held_go(struct soft_conn *conn)
{
    while (!list_empty(&conn->held)) {
        struct soft_frame *frame = list_first(&conn->held, struct soft_frame, link);
        list_del(&frame->link);
        soft_frame_up(frame);
    }
    conn->held_count = 0;
}

/* Everything open ends. */
static void
abort_all(struct soft_conn *conn, const char *why)
{
    struct soft_adapter *adapter = conn->object.adapter;

    soft_conn_set_phase(conn, SOFT_ABORTED, why);
    list_del(&conn->blocked);
    adapter->up.NdisTcpOffloadEventHandler(conn->object.handle, TcpIndicateAbort, 0);
    soft_send_fail(conn, NDIS_STATUS_REQUEST_ABORTED);
    soft_receive_fail(conn, NDIS_STATUS_REQUEST_ABORTED);
    soft_disconnect_settle(conn, NDIS_STATUS_REQUEST_ABORTED);
    soft_complete(conn);
    let_held_go(conn);
}

bool
soft_event_lost(struct soft_conn *conn)
{
    struct tcp_chunk *chunk, *next;

    if (!conn->lost || conn->phase != SOFT_STOPPED)
        return conn->lost;
    for (chunk = tcp_close(&conn->tcp); chunk; chunk = next) {
        next = chunk->next;
        soft_frame_destroy(container_of(chunk, struct soft_frame, chunk));
    }
    abort_all(conn, "its state is lost");
    return true;
}

void
soft_event_run(struct soft_conn *conn)
{
    unsigned events = conn->events;

    conn->events = 0;
    if (conn->phase == SOFT_ADOPTED) { /* nothing may be indicated yet */
        conn->events = events;
        return;
    }
    if (events & (TCP_EV_PROGRESS | TCP_EV_READY))
        soft_path_neighbor(soft_conn_path(conn))->progress_us = soft_now_us(conn->object.adapter);
    if (events & TCP_EV_FIN)
        conn->fin_received = true;
    if (events & TCP_EV_FIN_ACKED) {
        soft_send_settle(conn);
        soft_disconnect_settle(conn, NDIS_STATUS_SUCCESS);
    }
    if (events & TCP_EV_RESET && conn->phase == SOFT_OPEN)
        abort_all(conn, "reset by the peer");
    if (events & TCP_EV_URGENT)
        soft_retrieve(conn, ReceivedUrgentData);
    if (events & TCP_EV_SYN)
        soft_retrieve(conn, UploadRequested);
    if (events & TCP_EV_TIMEOUT)
        soft_retrieve(conn, TimeoutExpiration);
}

static void
indicate_backlog(struct soft_conn *conn)
{
    struct soft_adapter *adapter = conn->object.adapter;
    uint32_t backlog = soft_send_backlog(conn), last = conn->backlog;
    uint64_t now_us = soft_now_us(adapter);

    if (backlog == last)
        return;
    if (adapter->initiates) { /* V-137 */
        soft_later(conn);
        return;
    }
    if (backlog > last && backlog - last <= last / 4 && now_us - conn->backlog_us < BACKLOG_SLOW_US)
        return;
    conn->backlog = backlog;
    conn->backlog_us = now_us;
    adapter->up.NdisTcpOffloadEventHandler(conn->object.handle, TcpIndicateSendBacklogChange,
                                           backlog);
}

void
soft_event_indicate(struct soft_conn *conn)
{
    if (conn->phase != SOFT_OPEN)
        return;
    if (conn->tcp.state == TCP_TIME_WAIT && conn->fin_indicated && !conn->ack_returned) {
        soft_retrieve(conn, UploadRequested);
        return;
    }
    if (!conn->finished)
        indicate_backlog(conn);
    soft_watch_run(conn);
}
