/*
 * Between the units of the interface (ticks, SRtt times 8, RttVar times 4, network order) and those
 * of the engine (microseconds, host order). Pure.
 *
 * Timestamps (chimney 8): the host stack's clock at the initiate is TsTime; ours counts the same
 * ticks from another origin; the difference is the engine's ts_offset. TsTime was read before we
 * read our clock, so our stamps are never ahead of the host stack's.
 */
#include "target/soft/conn.h"

#define NEVER_TICKS TCP_OFFLOAD_TIMER_OFF

_Static_assert(TCP_CLOSED == (int)TcpConnectionClosed &&
                   TCP_ESTABLISHED == (int)TcpConnectionEstablished &&
                   TCP_FIN_WAIT_1 == (int)TcpConnectionFinWait1 &&
                   TCP_FIN_WAIT_2 == (int)TcpConnectionFinWait2 &&
                   TCP_CLOSE_WAIT == (int)TcpConnectionCloseWait &&
                   TCP_CLOSING == (int)TcpConnectionClosing &&
                   TCP_LAST_ACK == (int)TcpConnectionLastAck &&
                   TCP_TIME_WAIT == (int)TcpConnectionTimeWait,
               "both enumerations are in the order of RFC 9293");

uint64_t
soft_ticks_us(const struct soft_adapter *adapter, ULONG ticks)
{
    return (uint64_t)ticks * adapter->params.tick_us;
}

/* Rounded up: a timer handed over does not fire early. */
ULONG
soft_us_ticks(const struct soft_adapter *adapter, uint64_t us)
{
    uint64_t ticks = us / adapter->params.tick_us + (us % adapter->params.tick_us != 0);

    return ticks >= NEVER_TICKS ? NEVER_TICKS - 1 : (ULONG)ticks;
}

static uint64_t
import_delta(const struct soft_adapter *adapter, ULONG ticks)
{
    return ticks == NEVER_TICKS ? TCP_NEVER : soft_ticks_us(adapter, ticks);
}

static ULONG
export_delta(const struct soft_adapter *adapter, uint64_t us)
{
    return us == TCP_NEVER ? NEVER_TICKS : soft_us_ticks(adapter, us);
}

static USHORT
export_scaled(const struct soft_adapter *adapter, uint64_t us, unsigned scale)
{
    uint64_t ticks = (us * scale + adapter->params.tick_us - 1) / adapter->params.tick_us;

    return ticks > UINT16_MAX ? UINT16_MAX : (USHORT)ticks;
}

void
soft_import_cached(const struct soft_adapter *adapter, const TCP_OFFLOAD_STATE_CACHED *cached,
                   struct tcp_config *out)
{
    out->nagle = cached->Flags & TCP_FLAG_NAGLING_ENABLED;
    out->keepalive = cached->Flags & TCP_FLAG_KEEP_ALIVE_ENABLED;
    out->keepalive_probes = cached->KaProbeCount; /* the engine knows what zero means */
    out->keepalive_idle_us = soft_ticks_us(adapter, cached->KaTimeout);
    out->keepalive_interval_us = soft_ticks_us(adapter, cached->KaInterval);
    out->max_rt_us = cached->MaxRT == TCP_OFFLOAD_MAX_RT_UNLIMITED
                         ? TCP_NEVER
                         : soft_ticks_us(adapter, cached->MaxRT);
}

void
soft_import_config(const struct soft_adapter *adapter, const struct soft_conn *conn,
                   const struct soft_path *path, ULONG ts_time, uint64_t now_us,
                   struct tcp_config *out)
{
    const struct soft_params *params = &adapter->params;
    const TCP_OFFLOAD_STATE_CONST *constant = &conn->constant;

    tcp_config_defaults(out);
    out->timestamps = constant->Flags & TCP_FLAG_TIMESTAMP_ENABLED;
    out->sack = constant->Flags & TCP_FLAG_SACK_ENABLED;
    out->ecn = constant->Flags & TCP_FLAG_ECN_ENABLED;
    out->window_scaling = constant->Flags & TCP_FLAG_WINDOW_SCALING_ENABLED;
    if (out->window_scaling) {
        out->snd_wscale = constant->SndWindScale;
        out->rcv_wscale = constant->RcvWindScale;
    }
    out->ip_header_len = path->ipv6 ? 40 : 20;
    out->remote_mss = constant->RemoteMss;
    out->path_mtu = path->cached.PathMtu;
    out->congestion = adapter->congestion;
    out->ts_tick_us = params->tick_us;
    out->ts_offset = ts_time - (uint32_t)(now_us / params->tick_us);
    out->ack_frequency = params->ack_frequency;
    out->delayed_ack_us = conn->ack_returned ? 0 : params->delayed_ack_us;
    out->max_retransmissions = params->max_retransmissions;
    out->duplicate_ack_threshold = params->duplicate_acks;
    out->sws_us = params->sws_us;
    /* above an ack = returned there may be a sender of its own, who posts nothing while the peer's
     * window is closed */
    out->probe_always = conn->ack_returned;
    soft_import_cached(adapter, &conn->cached, out);
}

static bool
fin_before(TCP_OFFLOAD_CONNECTION_STATE state)
{
    return state == TcpConnectionFinWait1 || state == TcpConnectionFinWait2 ||
           state == TcpConnectionClosing || state == TcpConnectionLastAck;
}

bool
soft_import_state(const struct soft_adapter *adapter, const TCP_OFFLOAD_STATE_DELEGATED *in,
                  uint32_t send_bytes, struct tcp_state *out)
{
    if ((unsigned)in->State >= TcpConnectionTimeWait)
        return false; /* V-058: TIME_WAIT is the host stack's business */
    *out = (struct tcp_state){
        .state = (enum tcp_conn_state)in->State,
        .rcv_nxt = in->RcvNxt,
        .rcv_wnd = in->RcvWnd,
        .snd_una = in->SndUna,
        .snd_nxt = in->SndNxt,
        .snd_max = in->SndMax,
        .snd_end = in->SndUna + send_bytes,
        .snd_wnd = in->SndWnd,
        .max_snd_wnd = in->MaxSndWnd,
        .snd_wl1 = in->SendWL1,
        .cwnd = in->CWnd,
        .ssthresh = in->SsThresh,
        .srtt_us = soft_ticks_us(adapter, in->SRtt) / 8,
        .rttvar_us = soft_ticks_us(adapter, in->RttVar) / 4,
        .ts_recent = in->TsRecent,
        .ts_recent_age_us = soft_ticks_us(adapter, in->TsRecentAge),
        .total_rt_us = soft_ticks_us(adapter, in->TotalRT),
        .dup_ack_count = in->DupAckCount,
        .snd_wnd_probe_count = in->SndWndProbeCount,
        .keepalive_probe_count = in->KeepAlive.ProbeCount,
        .retransmit_count = in->Retransmit.Count,
        .keepalive_delta_us = import_delta(adapter, in->KeepAlive.TimeoutDelta),
        .retransmit_delta_us = import_delta(adapter, in->Retransmit.TimeoutDelta),
        .fin_queued = fin_before(in->State),
    };
    return true;
}

/* Header and the pointers are the caller's. */
void
soft_export_state(const struct soft_conn *conn, uint64_t now_us, TCP_OFFLOAD_STATE_DELEGATED *out)
{
    const struct soft_adapter *adapter = conn->object.adapter;
    struct tcp_state state;

    tcp_capture(&conn->tcp, now_us, &state);
    out->State = (TCP_OFFLOAD_CONNECTION_STATE)state.state;
    out->Flags = 0;
    out->RcvNxt = state.rcv_nxt;
    out->RcvWnd = state.rcv_wnd;
    out->SndUna = state.snd_una;
    out->SndNxt = state.snd_nxt;
    out->SndMax = state.snd_max;
    out->SndWnd = state.snd_wnd;
    out->MaxSndWnd = state.max_snd_wnd;
    out->SendWL1 = state.snd_wl1;
    out->CWnd = state.cwnd;
    out->SsThresh = state.ssthresh;
    out->SRtt = export_scaled(adapter, state.srtt_us, 8);
    out->RttVar = export_scaled(adapter, state.rttvar_us, 4);
    out->TsRecent = state.ts_recent;
    out->TsRecentAge = soft_us_ticks(adapter, state.ts_recent_age_us);
    out->TsTime = tcp_timestamp(&conn->tcp, now_us);
    out->TotalRT = soft_us_ticks(adapter, state.total_rt_us);
    out->DupAckCount = state.dup_ack_count;
    out->SndWndProbeCount = state.snd_wnd_probe_count;
    out->KeepAlive.ProbeCount = state.keepalive_probe_count;
    out->KeepAlive.TimeoutDelta = export_delta(adapter, state.keepalive_delta_us);
    out->Retransmit.Count = state.retransmit_count;
    out->Retransmit.TimeoutDelta = export_delta(adapter, state.retransmit_delta_us);
    out->DWnd = conn->dwnd;
}
