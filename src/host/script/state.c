/*
 * Between the engine's state and the block list's: microseconds and ticks (a thousand a second),
 * SRtt times 8, RttVar times 4, ports in network order. Timestamps: TsTime is our stamp now; what
 * comes back says where the peer's picture of our clock has got to, and our offset follows it, so
 * stamps never go back. Source: chimney 2 and 8.
 */
#include "host/script/private.h"

#include <arpa/inet.h>

#define TICK_US (1000000u / SCRIPT_TICKS_PER_SECOND)

static ULONG
ticks(uint64_t us)
{
    return (ULONG)((us + TICK_US - 1) / TICK_US);
}

static ULONG
timer_ticks(uint64_t delta_us)
{
    return delta_us == TCP_NEVER ? TCP_OFFLOAD_TIMER_OFF : ticks(delta_us);
}

static uint64_t
timer_us(ULONG delta)
{
    return delta == TCP_OFFLOAD_TIMER_OFF ? TCP_NEVER : (uint64_t)delta * TICK_US;
}

static USHORT
scaled(uint64_t us, unsigned scale)
{
    uint64_t value = (us * scale + TICK_US - 1) / TICK_US;

    return value > 0xffff ? 0xffff : (USHORT)value;
}

static const TCP_OFFLOAD_CONNECTION_STATE to_ndis[TCP_STATE_COUNT] = {
    [TCP_CLOSED] = TcpConnectionClosed,           [TCP_LISTEN] = TcpConnectionListen,
    [TCP_SYN_SENT] = TcpConnectionSynSent,        [TCP_SYN_RCVD] = TcpConnectionSynRcvd,
    [TCP_ESTABLISHED] = TcpConnectionEstablished, [TCP_FIN_WAIT_1] = TcpConnectionFinWait1,
    [TCP_FIN_WAIT_2] = TcpConnectionFinWait2,     [TCP_CLOSE_WAIT] = TcpConnectionCloseWait,
    [TCP_CLOSING] = TcpConnectionClosing,         [TCP_LAST_ACK] = TcpConnectionLastAck,
    [TCP_TIME_WAIT] = TcpConnectionTimeWait,
};

TCP_OFFLOAD_STATE_CACHED
script_cached(const struct script_conn *conn)
{
    const struct script_settings *settings = &conn->settings;
    USHORT flags = settings->nagle ? TCP_FLAG_NAGLING_ENABLED : 0;

    flags |= settings->keepalive_ms ? TCP_FLAG_KEEP_ALIVE_ENABLED : 0;
    return (TCP_OFFLOAD_STATE_CACHED){
        .Flags = flags,
        .InitialRcvWnd = conn->options.receive_buffer,
        .KaTimeout = settings->keepalive_ms, /* a thousand ticks a second */
        .KaInterval = settings->keepalive_ms,
        .FlowLabel = settings->flow_label,
        .TtlOrHopLimit = settings->ttl,
        .TosOrTrafficClass = settings->tos,
    };
}

static void
export_fixed(const struct script_conn *conn, struct host_initiate *what)
{
    const struct tcp_config *config = &conn->config;
    const struct script_options *options = &conn->options;
    USHORT flags = 0;

    flags |= config->timestamps ? TCP_FLAG_TIMESTAMP_ENABLED : 0;
    flags |= config->sack ? TCP_FLAG_SACK_ENABLED : 0;
    flags |= config->window_scaling ? TCP_FLAG_WINDOW_SCALING_ENABLED : 0;
    flags |= options->ack_returned ? TCP_FLAG_ACK_RETURNED : 0;
    flags |= config->ecn ? TCP_FLAG_ECN_ENABLED : 0;
    what->constant = (TCP_OFFLOAD_STATE_CONST){
        .Flags = flags,
        .RemotePort = htons(options->peer_port),
        .LocalPort = htons(options->local_port),
        .SndWindScale = config->snd_wscale,
        .RcvWindScale = config->rcv_wscale,
        .RemoteMss = config->remote_mss,
    };
    what->cached = script_cached(conn);
}

static void
export_delegated(const struct script_conn *conn, const struct tcp_state *state,
                 TCP_OFFLOAD_STATE_DELEGATED *out)
{
    *out = (TCP_OFFLOAD_STATE_DELEGATED){
        .State = to_ndis[state->state],
        .RcvNxt = state->rcv_nxt,
        .RcvWnd = state->rcv_wnd,
        .SndUna = state->snd_una,
        .SndNxt = state->snd_nxt,
        .SndMax = state->snd_max,
        .SndWnd = state->snd_wnd,
        .MaxSndWnd = state->max_snd_wnd,
        .SendWL1 = state->snd_wl1,
        .CWnd = state->cwnd,
        .SsThresh = state->ssthresh,
        .SRtt = scaled(state->srtt_us, 8),
        .RttVar = scaled(state->rttvar_us, 4),
        .TsRecent = state->ts_recent,
        .TsRecentAge = ticks(state->ts_recent_age_us),
        .TsTime = tcp_timestamp(&conn->tcp, script_now(conn)),
        .TotalRT = ticks(state->total_rt_us),
        .DupAckCount = state->dup_ack_count,
        .SndWndProbeCount = state->snd_wnd_probe_count,
        .KeepAlive = {state->keepalive_probe_count, timer_ticks(state->keepalive_delta_us)},
        .Retransmit = {state->retransmit_count, timer_ticks(state->retransmit_delta_us)},
    };
}

void
script_export(struct script_conn *conn, const struct tcp_state *state, struct host_initiate *what)
{
    const struct script_options *options = &conn->options;
    struct tcp_extension extension;

    memset(what, 0, sizeof *what);
    what->route.ipv6 = options->ipv6;
    memcpy(what->route.source, options->local, 16);
    memcpy(what->route.destination, options->peer, 16);
    memcpy(what->route.destination_mac, options->peer_mac, 6);
    what->route.path_mtu = options->mtu;
    export_fixed(conn, what);
    export_delegated(conn, state, &what->delegated);
    if (script_extends(conn)) {
        tcp_capture_extension(&conn->tcp, script_now(conn), &extension);
        script_export_extension(&extension, &what->extension);
        what->constant.Flags |= TCP_FLAG_STATE_EXTENDED;
    }
}

bool
script_fin_in_sequence(enum tcp_conn_state state)
{
    return state == TCP_FIN_WAIT_1 || state == TCP_FIN_WAIT_2 || state == TCP_CLOSING ||
           state == TCP_LAST_ACK || state == TCP_TIME_WAIT;
}

/* The enumerations of both sides list the states of RFC 9293 in its order. */
static enum tcp_conn_state
from_ndis(TCP_OFFLOAD_CONNECTION_STATE state)
{
    for (unsigned i = 0; i < TCP_STATE_COUNT; i++)
        if (to_ndis[i] == state)
            return (enum tcp_conn_state)i;
    return TCP_CLOSED;
}

void
script_import(struct script_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *in,
              struct tcp_state *state)
{
    uint64_t now = script_now(conn);

    *state = (struct tcp_state){
        .state = from_ndis(in->State),
        .rcv_nxt = in->RcvNxt,
        .rcv_wnd = in->RcvWnd,
        .snd_una = in->SndUna,
        .snd_nxt = in->SndNxt,
        .snd_max = in->SndMax,
        .snd_end = conn->write_seq,
        .snd_wnd = in->SndWnd,
        .max_snd_wnd = in->MaxSndWnd,
        .snd_wl1 = in->SendWL1,
        .cwnd = in->CWnd,
        .ssthresh = in->SsThresh,
        .srtt_us = (uint64_t)in->SRtt * TICK_US / 8,
        .rttvar_us = (uint64_t)in->RttVar * TICK_US / 4,
        .ts_recent = in->TsRecent,
        .ts_recent_age_us = (uint64_t)in->TsRecentAge * TICK_US,
        .total_rt_us = (uint64_t)in->TotalRT * TICK_US,
        .dup_ack_count = in->DupAckCount,
        .snd_wnd_probe_count = in->SndWndProbeCount,
        .keepalive_probe_count = in->KeepAlive.ProbeCount,
        .keepalive_delta_us = timer_us(in->KeepAlive.TimeoutDelta),
        .retransmit_count = in->Retransmit.Count,
        .retransmit_delta_us = timer_us(in->Retransmit.TimeoutDelta),
    };
    state->fin_queued = script_fin_in_sequence(state->state);
    conn->config.ts_offset = in->TsTime - (uint32_t)(now / TICK_US);
}
