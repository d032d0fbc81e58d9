/*
 * The life of a connection in this engine: adopted by tcp_restore, described by tcp_capture, ended
 * by tcp_close. Nothing is set up here: the states before ESTABLISHED are only names. What is
 * handed back is what was *acknowledged*: bytes, or a FIN, that arrived but lie behind the ack
 * point are as if they had not, for the peer still holds them.
 *
 * Restoring checks every number against every other before it writes one. Afterwards these hold,
 * and every event keeps them: snd_una <= snd_nxt <= snd_max <= snd_end + FIN, and rcv_ack <=
 * rcv_nxt <= rcv_advertised + FIN. Source: RFC 9293 section 3.3; chimney hand-over of the delegated
 * variables.
 */
#include "base/log.h"
#include "base/machine.h"
#include "tcp/private.h"

#include <errno.h>
#include <string.h>

/* The edges this engine walks: from, to. Every state it knows may end in CLOSED. */
#define TCP_EDGES(X)                                                                               \
    X(ESTABLISHED, FIN_WAIT_1)                                                                     \
    X(ESTABLISHED, CLOSE_WAIT)                                                                     \
    X(ESTABLISHED, CLOSED)                                                                         \
    X(FIN_WAIT_1, FIN_WAIT_2)                                                                      \
    X(FIN_WAIT_1, CLOSING)                                                                         \
    X(FIN_WAIT_1, CLOSED)                                                                          \
    X(FIN_WAIT_2, TIME_WAIT)                                                                       \
    X(FIN_WAIT_2, CLOSED)                                                                          \
    X(CLOSE_WAIT, LAST_ACK)                                                                        \
    X(CLOSE_WAIT, CLOSING)                                                                         \
    X(CLOSE_WAIT, CLOSED)                                                                          \
    X(CLOSING, TIME_WAIT)                                                                          \
    X(CLOSING, CLOSED)                                                                             \
    X(LAST_ACK, CLOSED)                                                                            \
    X(TIME_WAIT, CLOSED)

static const char *const state_names[TCP_STATE_COUNT] = {
#define NAME(name) [TCP_##name] = #name,
    TCP_STATES(NAME)
#undef NAME
};

static struct machine_edge edges[TCP_STATE_COUNT][TCP_STATE_COUNT] = {
#define EDGE(from, to) [TCP_##from][TCP_##to].legal = true,
    TCP_EDGES(EDGE)
#undef EDGE
};
MACHINE(machine, "tcp connection", state_names, edges);

const char *
tcp_state_name(enum tcp_conn_state state)
{
    return (unsigned)state < TCP_STATE_COUNT ? state_names[state] : "?";
}

void
tcp_set_state(struct tcp_conn *conn, enum tcp_conn_state state, const char *why)
{
    if (state == conn->state)
        return;
    if (!machine_walk(&machine, conn->state, state)) {
        log_error("tcp %p: no edge %s -> %s (%s)", (void *)conn, tcp_state_name(conn->state),
                  tcp_state_name(state), why);
        return;
    }
    log_debug("tcp %p: %s -> %s, %s", (void *)conn, tcp_state_name(conn->state),
              tcp_state_name(state), why);
    conn->state = state;
}

static void
stop_timers(struct tcp_conn *conn)
{
    conn->rtx_deadline_us = conn->tail_deadline_us = conn->reo_deadline_us = TCP_NEVER;
    conn->delack_deadline_us = conn->keepalive_deadline_us = TCP_NEVER;
    conn->fin_wait_2_deadline_us = conn->sws_deadline_us = TCP_NEVER;
}

static void
close_down(struct tcp_conn *conn, const char *why)
{
    tcp_set_state(conn, TCP_CLOSED, why);
    stop_timers(conn);
}

void
tcp_finish(struct tcp_conn *conn, const char *why)
{
    if (conn->state == TCP_ESTABLISHED || conn->state == TCP_CLOSE_WAIT)
        conn->counters.established_resets++;
    close_down(conn, why);
}

void
tcp_die(struct tcp_conn *conn, const char *why)
{
    tcp_finish(conn, why);
    conn->flags |= TCP_CONN_SILENT;
}

void
tcp_config_defaults(struct tcp_config *config)
{
    *config = (struct tcp_config){
        .ip_header_len = 20,
        .remote_mss = 536,
        .path_mtu = 1500,
        .nagle = true,
        .congestion = TCP_CC_CUBIC,
        .ts_tick_us = 1000,
        .ack_frequency = 2,
        .delayed_ack_us = 40000,
        .max_retransmissions = 15,
        .duplicate_ack_threshold = 3,
        .sws_us = 5000,
        .min_rto_us = 200000,
        .max_rto_us = 120000000,
        .keepalive_probes = 10,
        .keepalive_idle_us = TCP_KEEPALIVE_IDLE_US,
        .keepalive_interval_us = 1000000,
        .fin_wait_2_us = 120000000,
    };
}

static bool
config_valid(const struct tcp_config *config)
{
    if (config->ip_header_len != 20 && config->ip_header_len != 40)
        return false;
    if (config->path_mtu < config->ip_header_len + TCP_MAX_HEADER + 8u)
        return false;
    if (config->snd_wscale > 14 || config->rcv_wscale > 14)
        return false;
    if (!config->window_scaling && (config->snd_wscale || config->rcv_wscale))
        return false;
    return config->remote_mss > TCP_MAX_OPTIONS && config->min_rto_us <= config->max_rto_us;
}

/* Our FIN is in sequence: sent or about to be. */
static bool
fin_implied(const struct tcp_state *state)
{
    switch (state->state) {
    case TCP_FIN_WAIT_1:
    case TCP_CLOSING:
    case TCP_LAST_ACK:
        return true;
    default:
        return state->fin_queued;
    }
}

static bool
state_valid(const struct tcp_state *state)
{
    uint32_t end = state->snd_end + fin_implied(state);

    switch (state->state) {
    case TCP_ESTABLISHED:
    case TCP_CLOSE_WAIT:
    case TCP_FIN_WAIT_1:
    case TCP_CLOSING:
    case TCP_LAST_ACK:
        break;
    case TCP_FIN_WAIT_2:
    case TCP_TIME_WAIT: /* the FIN is acknowledged; snd_end may or may not count it */
        if (state->snd_una != state->snd_max || state->snd_nxt != state->snd_max)
            return false;
        return state->rcv_wnd <= TCP_MAX_RECEIVE_WINDOW && state->snd_una - state->snd_end <= 1;
    default:
        return false;
    }
    if (state->rcv_wnd > TCP_MAX_RECEIVE_WINDOW || end - state->snd_una > 0x7fffffff)
        return false;
    return seq_before_eq(state->snd_una, state->snd_nxt) &&
           seq_before_eq(state->snd_nxt, state->snd_max) && seq_before_eq(state->snd_max, end);
}

void
tcp_update_mss(struct tcp_conn *conn)
{
    const struct tcp_config *config = &conn->config;
    uint32_t fits = config->path_mtu - config->ip_header_len - TCP_HEADER_LEN;

    conn->mss_base = (uint16_t)tcp_min(tcp_min(fits, config->remote_mss), TCP_MAX_BURST);
    conn->mss = conn->mss_base - (config->timestamps ? TCP_TIMESTAMP_LEN : 0);
}

static void
restore_receiver(struct tcp_conn *conn, const struct tcp_state *state, uint64_t now_us)
{
    conn->rcv_nxt = conn->rcv_ack = conn->last_ack_sent = state->rcv_nxt;
    conn->rcv_edge = conn->rcv_advertised = state->rcv_nxt + state->rcv_wnd;
    conn->ts_recent = state->ts_recent;
    conn->ts_recent_us = now_us - state->ts_recent_age_us; /* maybe from before this clock began */
    switch (state->state) {
    case TCP_CLOSE_WAIT:
    case TCP_CLOSING:
    case TCP_LAST_ACK:
    case TCP_TIME_WAIT:
        conn->flags |= TCP_CONN_FIN_SEEN | TCP_CONN_FIN_RECEIVED;
        conn->fin_rcv_seq = state->rcv_nxt - 1;
        break;
    default:
        break;
    }
}

static void
restore_sender(struct tcp_conn *conn, const struct tcp_state *state)
{
    conn->snd_una = state->snd_una;
    conn->snd_nxt = state->snd_nxt;
    conn->snd_max = state->snd_max;
    conn->snd_end = state->snd_end;
    conn->snd_wnd = state->snd_wnd;
    conn->max_snd_wnd = tcp_max(state->max_snd_wnd, state->snd_wnd);
    conn->snd_wl1 = state->snd_wl1;
    conn->recover_seq = state->snd_una - 1;
    conn->dup_ack_count = state->dup_ack_count;
    if (state->state == TCP_FIN_WAIT_2 || state->state == TCP_TIME_WAIT) {
        conn->snd_end = state->snd_una - 1;
        conn->flags |= TCP_CONN_FIN_QUEUED | TCP_CONN_FIN_SENT | TCP_CONN_FIN_ACKED;
    } else if (fin_implied(state)) {
        conn->flags |= TCP_CONN_FIN_QUEUED;
        if (state->snd_max == state->snd_end + 1)
            conn->flags |= TCP_CONN_FIN_SENT;
    }
    conn->fin_seq = conn->snd_end;
    tcp_cc_init(conn, state->cwnd, state->ssthresh);
}

static void
restore_timers(struct tcp_conn *conn, const struct tcp_state *state, uint64_t now_us)
{
    const struct tcp_config *config = &conn->config;
    bool running = state->retransmit_delta_us != TCP_NEVER;

    stop_timers(conn);
    conn->challenge_us = conn->stray_us = TCP_NEVER;
    conn->srtt_us = state->srtt_us;
    conn->rttvar_us = state->rttvar_us;
    tcp_set_rto(conn);
    conn->ts_sent = tcp_timestamp(conn, now_us);
    if (tcp_outstanding(conn))
        tcp_rtt_by_echo(conn, conn->snd_una);
    conn->total_rt_us = state->total_rt_us;
    conn->last_rtx_us = conn->last_data_us = now_us; /* how long it was idle nobody says */
    conn->retransmit_count = state->retransmit_count;
    conn->snd_wnd_probe_count = state->snd_wnd_probe_count;
    conn->keepalive_probe_count = state->keepalive_probe_count;
    if (state->state == TCP_FIN_WAIT_2)
        conn->fin_wait_2_deadline_us = tcp_after_us(now_us, running ? state->retransmit_delta_us
                                                                    : config->fin_wait_2_us);
    else if (running && tcp_rtx_wanted(conn)) {
        conn->rtx_deadline_us = tcp_after_us(now_us, state->retransmit_delta_us);
        conn->rtx_unlimited_us = conn->rtx_deadline_us;
        tcp_limit_rtx(conn, now_us);
    } else if (!conn->snd_wnd)
        tcp_start_persist(conn, now_us);
    else if (tcp_outstanding(conn))
        tcp_start_rtx(conn, now_us);
    tcp_start_adopted_tail(conn, now_us);
    if (config->keepalive || state->keepalive_delta_us != TCP_NEVER) {
        bool resumed = state->keepalive_delta_us != TCP_NEVER;
        conn->keepalive_deadline_us = tcp_after_us(now_us, resumed ? state->keepalive_delta_us
                                                                   : config->keepalive_idle_us);
        if (!config->keepalive)
            conn->flags |= TCP_CONN_CHALLENGED;
    }
}

int
tcp_restore(struct tcp_conn *conn, const struct tcp_config *config, const struct tcp_state *state,
            uint64_t now_us)
{
    if (!config_valid(config) || !state_valid(state))
        return -EINVAL;
    memset(conn, 0, sizeof(*conn));
    conn->config = *config;
    if (!conn->config.duplicate_ack_threshold)
        conn->config.duplicate_ack_threshold = 3;
    if (!conn->config.keepalive_idle_us)
        conn->config.keepalive_idle_us = TCP_KEEPALIVE_IDLE_US;
    conn->dup_threshold = conn->config.duplicate_ack_threshold;
    conn->state = state->state;
    tcp_update_mss(conn);
    restore_receiver(conn, state, now_us);
    restore_sender(conn, state);
    restore_timers(conn, state, now_us);
    tcp_rack_adopt(conn, now_us);
    log_debug("tcp %p: restored %s, una %u nxt %u max %u end %u, rcv %u wnd %u", (void *)conn,
              tcp_state_name(conn->state), conn->snd_una, conn->snd_nxt, conn->snd_max,
              conn->snd_end, conn->rcv_nxt, state->rcv_wnd);
    return 0;
}

/* As if the peer's FIN had not arrived, when it is not acknowledged. */
static enum tcp_conn_state
acknowledged_state(const struct tcp_conn *conn)
{
    if (!(conn->flags & TCP_CONN_FIN_RECEIVED) || conn->rcv_ack == conn->rcv_nxt)
        return conn->state;
    switch (conn->state) {
    case TCP_CLOSE_WAIT:
        return TCP_ESTABLISHED;
    case TCP_CLOSING:
        return TCP_FIN_WAIT_1;
    case TCP_TIME_WAIT:
        return TCP_FIN_WAIT_2;
    default:
        return conn->state;
    }
}

static uint64_t
delta_us(uint64_t deadline_us, uint64_t now_us)
{
    if (deadline_us == TCP_NEVER)
        return TCP_NEVER;
    return deadline_us > now_us ? deadline_us - now_us : 0;
}

/* MaxRT is the owner's, and may be changed: what it cut off the timer the next cuts off itself. */
static uint64_t
rtx_deadline_us(const struct tcp_conn *conn)
{
    if (conn->rtx_deadline_us == TCP_NEVER || !conn->retransmit_count)
        return conn->rtx_deadline_us;
    return conn->rtx_unlimited_us;
}

static void
capture_timers(const struct tcp_conn *conn, uint64_t now_us, struct tcp_state *out)
{
    uint64_t deadline_us = out->state == TCP_FIN_WAIT_2 ? conn->fin_wait_2_deadline_us
                                                        : rtx_deadline_us(conn);

    out->srtt_us = conn->srtt_us;
    out->rttvar_us = conn->rttvar_us;
    out->total_rt_us = conn->total_rt_us;
    if (conn->retransmit_count && now_us > conn->last_rtx_us)
        out->total_rt_us += now_us - conn->last_rtx_us;
    out->retransmit_count = conn->retransmit_count;
    out->snd_wnd_probe_count = conn->snd_wnd_probe_count;
    out->keepalive_probe_count = conn->keepalive_probe_count;
    out->retransmit_delta_us = delta_us(deadline_us, now_us);
    out->keepalive_delta_us = delta_us(conn->keepalive_deadline_us, now_us);
}

void
tcp_capture(const struct tcp_conn *conn, uint64_t now_us, struct tcp_state *out)
{
    int32_t window = seq_diff(conn->rcv_advertised, conn->rcv_ack);

    *out = (struct tcp_state){
        .state = acknowledged_state(conn),
        .rcv_nxt = conn->rcv_ack,
        .rcv_wnd = window > 0 ? (uint32_t)window : 0,
        .snd_una = conn->snd_una,
        .snd_nxt = conn->snd_nxt,
        .snd_max = conn->snd_max,
        .snd_end = conn->snd_end,
        .snd_wnd = conn->snd_wnd,
        .max_snd_wnd = conn->max_snd_wnd,
        .snd_wl1 = conn->snd_wl1,
        .cwnd = tcp_congestion_window(conn),
        .ssthresh = conn->ssthresh,
        .ts_recent = conn->ts_recent,
        .ts_recent_age_us = now_us - conn->ts_recent_us,
        .dup_ack_count = tcp_saturate_u8(conn->dup_ack_count),
        .fin_queued = conn->flags & TCP_CONN_FIN_QUEUED,
    };
    capture_timers(conn, now_us, out);
}

static struct tcp_chunk *
append(struct tcp_chunk *chain, struct tcp_chunk *more)
{
    struct tcp_chunk **end = &chain;

    while (*end)
        end = &(*end)->next;
    *end = more;
    return chain;
}

struct tcp_chunk *
tcp_close(struct tcp_conn *conn)
{
    struct tcp_chunk *chain = append(conn->ready_head, append(conn->ooo_head, conn->dropped));

    conn->ready_head = conn->ready_tail = NULL;
    conn->ooo_head = conn->ooo_tail = conn->ooo_hint = NULL;
    conn->dropped = NULL;
    conn->ooo_count = 0;
    conn->rcv_sack_count = 0;
    close_down(conn, "closed by its owner");
    conn->flags |= TCP_CONN_SILENT;
    return chain;
}
