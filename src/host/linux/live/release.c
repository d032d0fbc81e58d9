/*
 * Up: the kernel takes its wire back.
 *
 * Freeze the edge shown to the kernel and let the target send what it has, so that both have the
 * same SndNxt; hold the kernel's frames; terminate; pass on what is held as regular frames, with
 * the timestamps they would have now (what the target had out of order comes up the regular path by
 * itself), and tell the peer what the kernel has acknowledged. When all that has left, delete the
 * key. Only then the kernel hears what it may answer with a burst: the peer's frames that were
 * held, and the window the peer really shows; answered sooner, it would overtake what waits in our
 * queue and make it look old. Read the TAP until nothing comes any more. Last, the kernel socket,
 * which never saw a loss, gets the congestion window the wire had.
 */
#include "base/log.h"
#include "host/linux/live/live.h"
#include "host/linux/stack.h"

#include <errno.h>
#include <string.h>

#define DRAIN_LOOK_US 500u
#define DEAD_LOOK_US 1000u
#define RESTORE_PACE_US 100u

/* Over a port everything passes us anyway. */
int
live_insert_key(struct live_conn *conn)
{
    return conn->port->own ? 0 : steer_flow_add(conn->stack->steer, &conn->key);
}

void
live_remove_key(struct live_conn *conn)
{
    struct steer_counters counters;

    if (!conn->port->own && steer_flow_remove(conn->stack->steer, &conn->key, &counters) == 0)
        conn->leaked += counters.out_leaked + counters.in_leaked;
}

void
live_let_go(struct live_conn *conn)
{
    hoststack_flush_wires(conn->port);
    live_remove_key(conn);
}

/* The target has said, or the link shows, for certain that no more will be sent. */
static bool
drain_is_pointless(const struct live_conn *conn)
{
    return conn->end_reason == HOSTSTACK_TIMEOUT || conn->end_reason == HOSTSTACK_TARGET_ASKED ||
           conn->end_reason == HOSTSTACK_INTERFACE_DOWN;
}

void
live_upload(struct live_conn *conn, enum hoststack_reason reason)
{
    if (conn->phase == LIVE_INITIATE) {
        conn->upload_wanted = true;
        conn->end_reason = reason;
        return;
    }
    if (conn->phase != LIVE_OFFLOADED)
        return;
    conn->end_reason = reason;
    conn->frozen = true;
    conn->drained = false;
    if (!conn->waiter)
        conn->request_since_us = hoststack_now_us(conn->stack);
    live_set_phase(conn, LIVE_DRAIN, hoststack_reason_token(reason));
    sys_timer_set(&conn->timer, conn->phase_since_us);
}

void
live_drain_step(struct live_conn *conn)
{
    uint64_t now_us = hoststack_now_us(conn->stack);
    bool late = now_us - conn->phase_since_us > LIVE_DRAIN_MAX_US;

    if (conn->phase != LIVE_DRAIN)
        return;
    if (conn->down.updates || conn->down.queries) {
        sys_timer_set(&conn->timer, now_us + DRAIN_LOOK_US); /* its completion looks again, too */
        return;
    }
    if (conn->drained || late || drain_is_pointless(conn) || host_query(&conn->down)) {
        live_terminate(conn);
        return;
    }
    sys_timer_set(&conn->timer, now_us + LIVE_DRAIN_MAX_US);
}

void
live_drain_queried(struct live_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    uint32_t kernel_nxt = conn->local.rcv_nxt - (conn->fin_from_kernel && !conn->fin_posted);

    conn->drained = !delegated || seq_after_eq(delegated->SndNxt, kernel_nxt);
    if (conn->drained)
        live_drain_step(conn);
    else
        sys_timer_set(&conn->timer, hoststack_now_us(conn->stack) + DRAIN_LOOK_US);
}

/* Asks the target for the connection. Busy (an update or query in flight): its completion comes
 * here again. */
void
live_terminate(struct live_conn *conn)
{
    if (conn->down.state != HOST_CONN_OFFLOADED)
        return;
    if (conn->discard && conn->phase != LIVE_DEAD) {
        live_set_phase(conn, LIVE_DEAD, hoststack_reason_token(conn->end_reason));
        sys_timer_set(&conn->timer, hoststack_now_us(conn->stack) + DEAD_LOOK_US);
    } else if (conn->phase == LIVE_DRAIN) {
        live_set_phase(conn, LIVE_TERMINATE, hoststack_reason_token(conn->end_reason));
        conn->hold_since_us = conn->phase_since_us;
    }
    if (host_terminate(&conn->down) == -EBUSY)
        log_debug("live %llu: terminate has to wait", (unsigned long long)conn->id);
}

/* Frames with bytes that never reached the wire go out whole. */
void
live_pass_unsent(struct live_conn *conn, uint32_t wire_nxt)
{
    struct live_frame *last = NULL;

    list_for_each(send, &conn->sends, struct live_send, link) {
        if (!seq_after(send->seq + send->len, wire_nxt) || send->frame == last)
            continue;
        last = send->frame;
        live_late_out(conn, last);
    }
}

/*
 * What the kernel has acknowledged and the wire may not have passed on yet. A mark that the wire
 * has echoed, and to which the peer has said nothing yet, is echoed once more: the kernel has not
 * seen it.
 */
static void
tell_peer(struct live_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *delegated,
          const TCP_OFFLOAD_STATE_EXTENSION *extension)
{
    const struct steer_snapshot *snap = &conn->snap;
    struct tcp_out out = {.seq = conn->local.rcv_nxt, .ack = conn->local.snd_una, .flags = TCP_ACK};
    uint32_t window = conn->local.snd_wnd >> snap->rcv_wscale;

    out.window = (uint16_t)(window > UINT16_MAX ? UINT16_MAX : window);
    if (conn->fin_from_kernel && !conn->finished) {
        out.seq--; /* its FIN may not have gone out */
        out.flags |= TCP_FIN;
    }
    out.flags |= live_ecn_owed(extension);
    if (snap->has_timestamps)
        live_out_timestamp(&out, live_clock(conn), delegated->TsRecent);
    live_send_bare(conn, &out, false);
}

/* What the peer has acknowledged, and the window it really shows: the kernel saw a smaller one. */
static void
tell_kernel(struct live_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    const struct steer_snapshot *snap = &conn->snap;
    struct tcp_out out = {.seq = conn->local.snd_max, .ack = delegated->SndUna, .flags = TCP_ACK};
    uint32_t window = delegated->SndWnd >> snap->snd_wscale;

    out.window = (uint16_t)(window > UINT16_MAX ? UINT16_MAX : window);
    if (snap->has_timestamps)
        live_out_timestamp(&out, delegated->TsRecent, conn->local.ts_recent);
    live_send_bare(conn, &out, true);
}

static void
hand_back(struct live_conn *conn, const struct host_terminate_result *result)
{
    const TCP_OFFLOAD_STATE_DELEGATED *delegated = &result->delegated;
    uint64_t now_us = hoststack_now_us(conn->stack);

    conn->moved_send_bytes = conn->local.rcv_nxt - delegated->SndUna;
    conn->moved_receive_bytes = conn->receive_end - conn->local.snd_una;
    conn->final_cwnd = delegated->CWnd;
    conn->final_ssthresh = delegated->SsThresh;
    conn->peer_tsval = delegated->TsRecent;
    if (!list_empty(&conn->sends)) {
        uint32_t first = list_first(&conn->sends, struct live_send, link)->seq;
        if (seq_after(delegated->SndUna, first)) {
            conn->bytes_out += delegated->SndUna - first;
            conn->stack->totals.engine_bytes_out += delegated->SndUna - first;
        }
    }
    if (seq_before(conn->local.snd_max, conn->receive_end))
        live_local_output(conn); /* indicated, but not written to the kernel yet */
    live_pass_unsent(conn, delegated->SndNxt);
    live_set_phase(conn, LIVE_RELEASE, "terminated");
    bool gone = live_kernel_gone(conn); /* the kernel would answer with a reset */
    if (!gone)
        tell_peer(conn, delegated, &result->extension);
    live_pass_held_out(conn);
    live_let_go(conn);
    if (!gone)
        tell_kernel(conn, delegated);
    live_pass_held_in(conn);
    wire_flush(conn->port->tap);
    conn->held_us = (uint32_t)(hoststack_now_us(conn->stack) - conn->hold_since_us);
    conn->idle_since_us = now_us;
    sys_timer_set(&conn->timer, conn->port->own ? now_us : now_us + LIVE_RELEASE_IDLE_US);
}

/* How an ending that was not asked for looks to the user. */
static enum hoststack_outcome
outcome_of(enum hoststack_reason reason)
{
    switch (reason) {
    case HOSTSTACK_RESET_BY_PEER:
    case HOSTSTACK_RESET_BY_OWNER:
    case HOSTSTACK_OWNER_VANISHED:
        return HOSTSTACK_LOST;
    default:
        return HOSTSTACK_DONE;
    }
}

void
live_on_terminated(struct host_conn *down, const struct host_terminate_result *result)
{
    struct live_conn *conn = container_of(down, struct live_conn, down);
    uint64_t now_us = hoststack_now_us(conn->stack);

    conn->ndis_status = (ULONG)result->status;
    conn->offloaded_us += now_us - conn->offloaded_since_us;
    conn->moves_up++;
    if (result->buffered)
        host_receive_return(down, result->buffered);
    if (conn->phase == LIVE_TERMINATE && result->status == NDIS_STATUS_SUCCESS) {
        hand_back(conn, result);
    } else {
        live_remove_key(conn);
        if (conn->phase != LIVE_DEAD) {
            conn->end_reason = HOSTSTACK_TARGET_FAILED;
            live_set_phase(conn, LIVE_DEAD, "nothing to hand back");
        }
        sys_timer_set(&conn->timer, now_us);
    }
    live_local_stop(conn);
    live_free_sends(conn);
    if (!conn->reported)
        live_report(conn, false, outcome_of(conn->end_reason), conn->end_reason);
}

/* The window of the wire in segments of the kernel's, so that it goes on at the wire's pace. */
static void
restore_congestion(struct live_conn *conn)
{
    struct steer_snapshot snap;

    if (steer_snapshot(conn->stack->steer, &conn->key, &snap) || !snap.mss)
        return;
    uint32_t cwnd = conn->final_cwnd / snap.mss;
    uint32_t ssthresh = conn->final_ssthresh >= TCP_INFINITE_SSTHRESH
                            ? TCP_INFINITE_SSTHRESH
                            : conn->final_ssthresh / snap.mss;
    int error = steer_set_congestion(conn->stack->steer, &conn->key, cwnd < 2 ? 2 : cwnd,
                                     ssthresh < 2 ? 2 : ssthresh);
    if (error)
        log_debug("live %llu: congestion window not set: %s", (unsigned long long)conn->id,
                  strerror(-error));
}

/*
 * To find its socket the kernel goes through all there are, which may take a millisecond. When many
 * are given back each waits for its turn; the wire is the kernel's already.
 */
static void
end_release(struct live_conn *conn, uint64_t now_us)
{
    struct hoststack *stack = conn->stack;

    if (conn->final_cwnd && now_us < stack->next_restore_us) {
        sys_timer_set(&conn->timer, stack->next_restore_us);
        return;
    }
    if (conn->final_cwnd) {
        restore_congestion(conn);
        stack->next_restore_us = hoststack_now_us(stack) + RESTORE_PACE_US;
    }
    conn->final_cwnd = 0;
    live_set_phase(conn, LIVE_KERNEL, "nothing is under way any more");
    sys_timer_set(&conn->timer, SYS_NEVER);
}

void
live_release_step(struct live_conn *conn)
{
    uint64_t now_us = hoststack_now_us(conn->stack);
    /* over a port nothing takes another way, now or later */
    bool idle = conn->port->own || now_us - conn->idle_since_us >= LIVE_RELEASE_IDLE_US;

    if (conn->down.state == HOST_CONN_HOST &&
        (idle || now_us - conn->phase_since_us > LIVE_RELEASE_MAX_US))
        end_release(conn, now_us);
    else
        sys_timer_set(&conn->timer, now_us + LIVE_RELEASE_IDLE_US);
}

void
live_abandon(struct live_conn *conn, enum hoststack_reason reason)
{
    bool was_down = conn->phase == LIVE_OFFLOADED || conn->phase == LIVE_DRAIN ||
                    conn->phase == LIVE_TERMINATE;

    bool released = conn->phase == LIVE_RELEASE;

    if (conn->phase == LIVE_DEAD || conn->phase == LIVE_KERNEL)
        return;
    conn->end_reason = reason;
    conn->discard = true;
    live_set_phase(conn, LIVE_DEAD, hoststack_reason_token(reason));
    live_remove_key(conn);
    if (!released) /* that end was told already */
        live_report(conn, !was_down, was_down ? HOSTSTACK_DONE : HOSTSTACK_REFUSED, reason);
    conn->reported = true;
    if (conn->down.state == HOST_CONN_OFFLOADED)
        live_terminate(conn);
    sys_timer_set(&conn->timer, hoststack_now_us(conn->stack) + DEAD_LOOK_US);
}

void
live_dead_step(struct live_conn *conn)
{
    uint64_t now_us = hoststack_now_us(conn->stack);

    if (conn->down.state == HOST_CONN_HOST) {
        live_destroy(conn);
        return;
    }
    if (conn->down.state == HOST_CONN_OFFLOADED)
        live_terminate(conn);
    if (now_us - conn->phase_since_us > LIVE_DEAD_MAX_US) {
        log_error("live %llu: the target does not let go", (unsigned long long)conn->id);
        conn->phase_since_us = now_us;
    }
    sys_timer_set(&conn->timer, now_us + DEAD_LOOK_US);
}

void
live_local_silent(struct live_conn *conn)
{
    live_upload(conn, HOSTSTACK_TIMEOUT);
}
