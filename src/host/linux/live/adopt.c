/*
 * Down: adopting a connection of a running process without stopping anybody.
 *
 * First bridge: everything passes through us, until the peer has acknowledged all that was sent
 * before we stood there. Then hold both directions and take the kernel socket's snapshot, until it
 * agrees with what we saw pass: all that went to the kernel was taken by it, all that it sent was
 * seen by us. At that moment the unacknowledged bytes are exactly our copies, and the snapshot is
 * the delegated state of an initiate.
 *
 * If no such moment comes (loss keeps holes open), bridge on and try again; in the end back out,
 * nothing touched.
 */
#include "base/log.h"
#include "host/linux/live/live.h"
#include "host/linux/stack.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* The kernel's numbers (include/net/tcp_states.h). */
enum {
    KERNEL_ESTABLISHED = 1,
    KERNEL_FIN_WAIT_1 = 4,
    KERNEL_FIN_WAIT_2 = 5,
    KERNEL_CLOSE_WAIT = 8,
    KERNEL_LAST_ACK = 9,
    KERNEL_LISTEN = 10
};

#define KERNEL_INFINITE_SSTHRESH 0x7fffffffu
#define HOLD_RETRY_US 20u
#define BRIDGE_RETRY_US 2000u

enum hoststack_reason
live_refusal(const struct steer_snapshot *snap)
{
    if (snap->state == KERNEL_LISTEN)
        return HOSTSTACK_LISTENING;
    if (snap->mptcp)
        return HOSTSTACK_MPTCP;
    if (snap->md5)
        return HOSTSTACK_MD5;
    if (snap->ao)
        return HOSTSTACK_TCP_AO;
    if (snap->accurate_ecn)
        return HOSTSTACK_ECN;
    if (snap->microsecond_timestamps)
        return HOSTSTACK_MICROSECOND_TIMESTAMPS;
    if (snap->urgent)
        return HOSTSTACK_URGENT_DATA;
    switch (snap->state) {
    case KERNEL_ESTABLISHED:
    case KERNEL_FIN_WAIT_1:
    case KERNEL_FIN_WAIT_2:
    case KERNEL_CLOSE_WAIT:
    case KERNEL_LAST_ACK:
        return HOSTSTACK_NONE;
    default:
        return HOSTSTACK_NOT_ESTABLISHED;
    }
}

int
live_adopt(struct live_conn *conn)
{
    struct steer_snapshot snap;
    int error = live_insert_key(conn);

    if (error)
        return error;
    error = steer_snapshot(conn->stack->steer, &conn->key, &snap);
    if (error) {
        live_remove_key(conn);
        return error;
    }
    if (!conn->moves_down)
        conn->kernel_retrans_base = snap.total_retrans;
    conn->bridge = (struct live_bridge){.started_nxt = snap.snd_nxt,
                                        .out_max = snap.snd_nxt,
                                        .out_forwarded = snap.snd_nxt,
                                        .out_ack = snap.rcv_wup,
                                        .out_edge = snap.rcv_nxt + live_shown_window(&snap),
                                        .out_scale = snap.rcv_wscale & 15,
                                        .in_max = snap.rcv_nxt,
                                        .in_ack = snap.snd_una};
    conn->spoken = false;
    live_set_phase(conn, LIVE_BRIDGE, "asked to go down");
    conn->request_since_us = conn->phase_since_us;
    conn->reported = false;
    sys_timer_set(&conn->timer, conn->phase_since_us + LIVE_BRIDGE_MIN_US);
    return 0;
}

/* The window the kernel has shown: never more than its scale can say. */
uint32_t
live_shown_window(const struct steer_snapshot *snap)
{
    uint32_t edge = snap->rcv_wup + snap->rcv_wnd, most = (uint32_t)UINT16_MAX << snap->rcv_wscale;
    uint32_t window = seq_after(edge, snap->rcv_nxt) ? edge - snap->rcv_nxt : 0;

    return window < most ? window : most;
}

/* Kernel, copies and bridge tell the same story. */
static bool
agree(const struct live_conn *conn, const struct steer_snapshot *snap)
{
    const struct live_bridge *bridge = &conn->bridge;

    return seq_after_eq(snap->rcv_nxt, bridge->in_max) && !snap->out_of_order &&
           snap->snd_nxt == bridge->out_max && snap->snd_una == bridge->in_ack &&
           live_copies_cover(conn, snap->snd_una, snap->snd_nxt);
}

/* An acknowledgement or a window that the peer has not been told. What is held was not. */
static bool
owes_ack(const struct live_conn *conn)
{
    const struct live_bridge *bridge = &conn->bridge;
    uint32_t edge = conn->snap.rcv_nxt + live_shown_window(&conn->snap);

    return !list_empty(&conn->held) || seq_after(conn->snap.rcv_nxt, bridge->out_ack) ||
           seq_after(edge, bridge->out_edge);
}

/* Somebody but the kernel, with its clock. */
static void
has_spoken(struct live_conn *conn)
{
    conn->spoken = true;
    conn->peer_tsval = conn->snap.ts_recent;
}

/* What the kernel still owed is paid, so that the target starts without a debt. Without one the
 * peer sees nothing of the move. */
static void
settle_ack(struct live_conn *conn)
{
    const struct steer_snapshot *snap = &conn->snap;

    if (!owes_ack(conn))
        return;
    struct tcp_out out = {.seq = snap->snd_nxt, .ack = snap->rcv_nxt, .flags = TCP_ACK};
    out.window = (uint16_t)(live_shown_window(snap) >> snap->rcv_wscale);
    if (snap->ecn_echo)
        out.flags |= TCP_ECE;
    if (snap->has_timestamps)
        live_out_timestamp(&out, live_clock(conn), snap->ts_recent);
    live_send_bare(conn, &out, false);
    has_spoken(conn);
}

static USHORT
scaled_ticks(uint32_t us, unsigned scale)
{
    uint64_t ticks = ((uint64_t)us * scale + 999) / 1000;

    return ticks > UINT16_MAX ? UINT16_MAX : (USHORT)ticks;
}

/* The snapshot's FIN states become the state before our FIN: the local leg has the FIN and posts it
 * as a disconnect. */
static TCP_OFFLOAD_CONNECTION_STATE
offload_state(uint32_t kernel_state)
{
    switch (kernel_state) {
    case KERNEL_CLOSE_WAIT:
    case KERNEL_LAST_ACK:
        return TcpConnectionCloseWait;
    case KERNEL_FIN_WAIT_2:
        return TcpConnectionFinWait2;
    default:
        return TcpConnectionEstablished;
    }
}

static void
fill_delegated(const struct live_conn *conn, TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    const struct steer_snapshot *snap = &conn->snap;
    uint32_t data_end = conn->local.rcv_nxt - conn->fin_from_kernel;

    delegated->State = offload_state(snap->state);
    delegated->RcvNxt = snap->rcv_nxt;
    delegated->RcvWnd = live_shown_window(snap);
    delegated->SndUna = snap->snd_una;
    delegated->SndNxt = seq_min(conn->bridge.out_forwarded, data_end);
    delegated->SndMax = delegated->SndNxt;
    delegated->SndWnd = snap->snd_wnd;
    delegated->MaxSndWnd = snap->max_window;
    delegated->SendWL1 = snap->snd_wl1;
    delegated->CWnd = snap->snd_cwnd * snap->mss;
    delegated->SsThresh = snap->snd_ssthresh >= KERNEL_INFINITE_SSTHRESH / snap->mss
                              ? TCP_INFINITE_SSTHRESH
                              : snap->snd_ssthresh * snap->mss;
    delegated->SRtt = scaled_ticks(snap->srtt_us, 8);
    delegated->RttVar = scaled_ticks(snap->rttvar_us, 4);
    delegated->TsRecent = snap->ts_recent;
    delegated->TsTime = live_clock(conn);
    delegated->KeepAlive.TimeoutDelta = 0xFFFFFFFF;
    delegated->Retransmit.TimeoutDelta = 0xFFFFFFFF;
}

static void
fill_cached(struct live_conn *conn)
{
    memset(&conn->cached, 0, sizeof conn->cached);
    conn->cached.InitialRcvWnd = live_shown_window(&conn->snap);
    live_fill_options(&conn->snap, &conn->cached);
}

static void
fill_constant(const struct live_conn *conn, TCP_OFFLOAD_STATE_CONST *constant)
{
    const struct steer_snapshot *snap = &conn->snap;

    constant->Flags = TCP_FLAG_ACK_RETURNED;
    if (snap->has_timestamps)
        constant->Flags |= TCP_FLAG_TIMESTAMP_ENABLED;
    if (snap->has_sack)
        constant->Flags |= TCP_FLAG_SACK_ENABLED;
    if (snap->has_wscale)
        constant->Flags |= TCP_FLAG_WINDOW_SCALING_ENABLED;
    if (snap->ecn)
        constant->Flags |= TCP_FLAG_STATE_EXTENDED | TCP_FLAG_ECN_ENABLED;
    constant->LocalPort = conn->key.local_port;
    constant->RemotePort = conn->key.peer_port;
    constant->SndWindScale = snap->snd_wscale & 15;
    constant->RcvWindScale = snap->rcv_wscale & 15;
    constant->RemoteMss = (USHORT)snap->mss_clamp;
}

/* Otherwise the target alone would hold bytes that the peer believes delivered, and the kernel
 * could not carry on without us. */
static bool
acknowledges_late(const struct host_binding *binding)
{
    const NDIS_TCP_CONNECTION_OFFLOAD *offers = host_binding_capabilities(binding);

    return !offers || offers->Flags & NDIS_TCP_CONNECTION_OFFLOAD_FLAG_ACK_RETURNED;
}

static int
initiate(struct live_conn *conn)
{
    struct host_initiate what = {.route = conn->route};

    if (!acknowledges_late(conn->port->binding))
        return -EPROTONOSUPPORT;
    if (conn->snap.ecn && !live_ecn_taken(conn->port->binding))
        return -EPROTO;
    fill_constant(conn, &what.constant);
    fill_cached(conn);
    what.cached = conn->cached;
    fill_delegated(conn, &what.delegated);
    if (conn->snap.ecn)
        live_ecn_export(&conn->snap, what.delegated.SndMax, &what.extension);
    what.sends = live_send_chain(conn);
    if (what.sends) {
        what.delegated.SendDataHead = what.sends;
        what.delegated.SendDataTail = list_empty(&conn->sends)
                                          ? what.sends
                                          : container_of(conn->sends.prev, struct live_send, link)
                                                ->nbl;
    }
    conn->moved_send_bytes = conn->snap.snd_nxt - conn->snap.snd_una;
    conn->moved_receive_bytes = conn->snap.rcv_nxt - conn->snap.copied_seq;
    return host_initiate(&conn->down, conn->port->binding, &what);
}

static enum hoststack_reason
initiate_refusal(const struct live_conn *conn, int error)
{
    switch (error) {
    case -EAGAIN:
        return HOSTSTACK_PAUSED;
    case -EOPNOTSUPP:
        return HOSTSTACK_NO_STACK;
    case -EPROTONOSUPPORT:
        log_info("%s: no offloads, its target acknowledges what nobody has taken",
                 conn->port->ifname);
        return HOSTSTACK_TARGET_REFUSED;
    case -EPROTO:
        return HOSTSTACK_ECN;
    case -ENOSPC:
        return HOSTSTACK_TARGET_REFUSED;
    case -ENOMEM:
        return HOSTSTACK_NO_MEMORY;
    default:
        return HOSTSTACK_INTERNAL;
    }
}

static void
try_initiate(struct live_conn *conn)
{
    settle_ack(conn);
    int error = live_local_start(conn);
    if (error) {
        live_free_sends(conn); /* what is held goes on as it is, and not twice */
    } else {
        live_drop_held(conn); /* they are among the sends */
        error = initiate(conn);
    }
    if (error) {
        live_back_out(conn, initiate_refusal(conn, error));
        return;
    }
    live_set_phase(conn, LIVE_INITIATE, "both sides agree");
    sys_timer_set(&conn->timer, SYS_NEVER);
}

static void
look_in_hold(struct live_conn *conn, uint64_t now_us)
{
    int error = steer_snapshot(conn->stack->steer, &conn->key, &conn->snap);
    enum hoststack_reason refusal = error ? HOSTSTACK_DIED_DURING_MOVE : live_refusal(&conn->snap);

    if (refusal != HOSTSTACK_NONE) {
        live_back_out(conn, refusal);
    } else if (agree(conn, &conn->snap)) {
        try_initiate(conn);
    } else if (now_us - conn->phase_since_us > LIVE_HOLD_MAX_US) {
        uint64_t since = conn->request_since_us;
        live_set_phase(conn, LIVE_BRIDGE, "the sides do not agree yet");
        conn->phase_since_us = since; /* the bound is on the whole attempt */
        live_pass_held_out(conn);
        live_pass_held_in(conn);
        sys_timer_set(&conn->timer, now_us + BRIDGE_RETRY_US);
    } else {
        sys_timer_set(&conn->timer, now_us + HOLD_RETRY_US);
    }
}

void
live_adopt_step(struct live_conn *conn)
{
    uint64_t now_us = hoststack_now_us(conn->stack);

    if (conn->phase == LIVE_HOLD) {
        look_in_hold(conn, now_us);
    } else if (now_us - conn->request_since_us > LIVE_BRIDGE_MAX_US) {
        live_back_out(conn, HOSTSTACK_NO_QUIET_MOMENT);
    } else if (seq_after_eq(conn->bridge.in_ack, conn->bridge.started_nxt)) {
        live_set_phase(conn, LIVE_HOLD, "all that is unacknowledged was seen");
        conn->hold_since_us = now_us;
        sys_timer_set(&conn->timer, now_us);
    } else {
        sys_timer_set(&conn->timer, now_us + BRIDGE_RETRY_US);
    }
}

/* Segments of the peer's that came while both directions were held belong to the target now
 * (chimney: forward). */
static void
forward_held(struct live_conn *conn)
{
    NET_BUFFER_LIST *nbls = conn->held_in.head;

    conn->held_in = (struct live_nbls){NULL, &conn->held_in.head};
    while (nbls) {
        NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbls);
        NET_BUFFER_LIST_NEXT_NBL(nbls) = NULL;
        live_forward(conn, nbls);
        nbls = next;
    }
}

void
live_on_initiated(struct host_conn *down, const struct host_initiate_result *result)
{
    struct live_conn *conn = container_of(down, struct live_conn, down);
    uint64_t now_us = hoststack_now_us(conn->stack);

    conn->ndis_status = (ULONG)result->tcp;
    if (conn->phase == LIVE_DEAD) {
        if (result->tcp == NDIS_STATUS_SUCCESS)
            host_terminate(down);
        return;
    }
    conn->held_us = (uint32_t)(now_us - conn->hold_since_us);
    if (result->tcp != NDIS_STATUS_SUCCESS) {
        live_back_out(conn, HOSTSTACK_TARGET_REFUSED);
        return;
    }
    live_set_phase(conn, LIVE_OFFLOADED, "initiated");
    has_spoken(conn); /* the target may, from now on */
    conn->offloaded_since_us = conn->timestamp_since_us = now_us;
    conn->moves_down++;
    forward_held(conn);
    live_drop_copies(conn, conn->bridge.out_max);
    list_for_each_safe(frame, &conn->held, struct live_frame, held_link) {
        list_del(&frame->held_link);
        live_local_input(conn, frame);
        live_frame_put(frame);
    }
    live_send_taken(conn);
    live_dirty(conn);
    live_report(conn, true, HOSTSTACK_DONE, HOSTSTACK_NONE);
    if (conn->upload_wanted)
        live_upload(conn, conn->end_reason);
    else if (conn->discard)
        live_abort_wire(conn, conn->end_reason);
}

void
live_back_out(struct live_conn *conn, enum hoststack_reason reason)
{
    uint64_t now_us = hoststack_now_us(conn->stack);

    live_set_phase(conn, LIVE_RELEASE, hoststack_reason_token(reason));
    live_pass_unsent(conn, conn->bridge.out_forwarded);
    live_local_stop(conn);
    live_free_sends(conn);
    live_pass_held_out(conn);
    live_drop_copies(conn, conn->bridge.out_max);
    live_let_go(conn);
    live_pass_held_in(conn);
    conn->idle_since_us = now_us;
    sys_timer_set(&conn->timer, now_us + LIVE_RELEASE_IDLE_US);
    live_report(conn, true, HOSTSTACK_REFUSED, reason);
}
