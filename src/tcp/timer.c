/*
 * Everything that happens because nothing did: retransmission, persist, keepalive, FIN_WAIT_2,
 * delayed ACK, silly window, tail probe. A timer is a deadline in the connection; expiry only sets
 * flags and moves pointers, output does the sending. The retransmission timer is the persist timer
 * while the peer's window is closed, as in the delegated state it is handed over in:
 * retransmit_count then counts the probes of a round, snd_wnd_probe_count the rounds. With
 * probe_always it runs for as long as the window is closed: the data it would be for may be with
 * somebody who sees only us, and a lost window update is never repeated.
 *
 * The tail probe comes before the retransmission timeout would: two round trips after the last sign
 * of life the end of what is outstanding goes out again, and its acknowledgement shows what is
 * missing. That is what wakes a connection adopted with losses in flight.
 *
 * Silence counts from when a segment has left. While the medium is blocked, ours or another's, the
 * peer cannot have answered what waits here, and what would go again goes nowhere: these timers
 * start anew (tcp_on_blocked), nothing counts as lost and nobody as gone.
 *
 * A round trip is measured by our own clock, or, when that cannot tell, by the stamp echoed: its
 * clock moves with the connection, so it also speaks of what the former owner sent. It counts in
 * ticks, milliseconds as a rule: good for timeouts, too coarse for the shortest round trip, which
 * judges losses. Source: RFC 6298; RFC 7323 section 4; RFC 9293 sections 3.8.4 and 3.8.6; RFC 8985
 * section 7 (probe).
 */
#include "tcp/private.h"

enum {
    CLOCK_GRANULARITY_US = 1000,
    INITIAL_RTO_US = 1000000,
    TAIL_MIN_US = 10000,
    TAIL_UNKNOWN_US = 200000,     /* no round trip measured yet */
    PEER_DELAYED_ACK_US = 200000, /* a lone segment may be answered that late */
    MIN_RTT_PERIOD_US = 300000000,
    VALIDATION_US = 300000000 /* five minutes */
};

/* ---- round trips ---- */

void
tcp_set_rto(struct tcp_conn *conn)
{
    const struct tcp_config *config = &conn->config;
    uint64_t spread_us = 4 * conn->rttvar_us, rto_us;

    if (spread_us < CLOCK_GRANULARITY_US)
        spread_us = CLOCK_GRANULARITY_US;
    rto_us = conn->srtt_us ? conn->srtt_us + spread_us : INITIAL_RTO_US;
    if (rto_us < config->min_rto_us)
        rto_us = config->min_rto_us;
    conn->rto_us = (uint32_t)tcp_min_us(rto_us, config->max_rto_us);
}

/* The minimum of the last five to ten minutes: of the running period and the one before it. */
void
tcp_note_min_rtt(struct tcp_conn *conn, uint64_t rtt_us, uint64_t now_us)
{
    if (!conn->next_min_rtt_us || now_us - conn->min_rtt_since_us >= MIN_RTT_PERIOD_US) {
        conn->min_rtt_us = conn->next_min_rtt_us;
        conn->next_min_rtt_us = rtt_us;
        conn->min_rtt_since_us = now_us;
    }
    conn->next_min_rtt_us = tcp_min_us(conn->next_min_rtt_us, rtt_us);
}

uint64_t
tcp_min_rtt_us(const struct tcp_conn *conn, uint64_t now_us)
{
    if (!conn->min_rtt_us || now_us - conn->min_rtt_since_us >= MIN_RTT_PERIOD_US)
        return conn->next_min_rtt_us;
    return tcp_min_us(conn->min_rtt_us, conn->next_min_rtt_us);
}

static void
smooth(struct tcp_conn *conn, uint64_t rtt_us)
{
    conn->flags &= ~TCP_CONN_UNMEASURED;
    if (!conn->srtt_us) {
        conn->srtt_us = rtt_us;
        conn->rttvar_us = rtt_us / 2;
    } else {
        uint64_t error_us = rtt_us > conn->srtt_us ? rtt_us - conn->srtt_us
                                                   : conn->srtt_us - rtt_us;
        conn->rttvar_us += error_us / 4 - conn->rttvar_us / 4;
        conn->srtt_us = conn->srtt_us - conn->srtt_us / 8 + rtt_us / 8;
    }
    tcp_set_rto(conn);
}

void
tcp_rtt_sample(struct tcp_conn *conn, uint64_t rtt_us, uint64_t now_us)
{
    if (!rtt_us)
        rtt_us = 1;
    tcp_note_min_rtt(conn, rtt_us, now_us);
    smooth(conn, rtt_us);
}

void
tcp_rtt_by_echo(struct tcp_conn *conn, uint32_t seq)
{
    conn->flags &= ~TCP_CONN_RTT_TIMING;
    if (!conn->config.timestamps || !conn->config.ts_tick_us)
        return;
    conn->flags |= TCP_CONN_RTT_TIMING;
    conn->rtt_seq = seq;
    conn->rtt_sent_us = TCP_NEVER;
}

/* A stamp is believed if it can have been on data that was outstanding. Less than a tick is taken
 * for one: that much it may have been. */
void
tcp_rtt_echo(struct tcp_conn *conn, uint32_t tsecr, uint64_t now_us)
{
    uint64_t oldest_us = now_us > conn->config.max_rto_us ? now_us - conn->config.max_rto_us : 0;
    uint32_t ticks = tcp_timestamp(conn, now_us) - tsecr;

    if (seq_after(tsecr, conn->ts_sent) || seq_before(tsecr, tcp_timestamp(conn, oldest_us)))
        return;
    smooth(conn, (uint64_t)tcp_max(ticks, 1) * conn->config.ts_tick_us);
}

uint64_t
tcp_backoff(const struct tcp_conn *conn, uint8_t shift)
{
    uint64_t backed_us = (uint64_t)conn->rto_us << (shift < 16 ? shift : 16);

    return tcp_min_us(backed_us, conn->config.max_rto_us);
}

/* ---- giving up ---- */

static uint64_t
spent_us(const struct tcp_conn *conn, uint64_t now_us)
{
    return conn->total_rt_us + (conn->retransmit_count ? now_us - conn->last_rtx_us : 0);
}

static bool
limited_by_time(const struct tcp_conn *conn)
{
    return conn->config.max_rt_us && conn->config.max_rt_us != TCP_NEVER;
}

static bool
limit_reached(const struct tcp_conn *conn, uint64_t now_us)
{
    const struct tcp_config *config = &conn->config;

    if (limited_by_time(conn))
        return spent_us(conn, now_us) >= config->max_rt_us;
    if (config->max_rt_us == TCP_NEVER || !config->max_retransmissions)
        return false;
    return conn->retransmit_count >= config->max_retransmissions;
}

static void
count_retransmission(struct tcp_conn *conn, uint64_t now_us)
{
    conn->total_rt_us = spent_us(conn, now_us);
    conn->last_rtx_us = now_us;
    if (conn->retransmit_count < 255)
        conn->retransmit_count++;
}

void
tcp_limit_rtx(struct tcp_conn *conn, uint64_t now_us)
{
    uint64_t spent = spent_us(conn, now_us), most = conn->config.max_rt_us;

    if (!conn->retransmit_count || conn->rtx_deadline_us == TCP_NEVER)
        return;
    conn->rtx_deadline_us = conn->rtx_unlimited_us;
    if (limited_by_time(conn))
        conn->rtx_deadline_us = tcp_min_us(conn->rtx_deadline_us,
                                           now_us + (most > spent ? most - spent : 0));
}

static void
set_rtx_deadline(struct tcp_conn *conn, uint64_t now_us, uint64_t delta_us)
{
    conn->rtx_deadline_us = now_us + delta_us;
    if (!conn->retransmit_count)
        return;
    conn->rtx_unlimited_us = conn->rtx_deadline_us;
    tcp_limit_rtx(conn, now_us);
}

/* ---- starting ---- */

void
tcp_start_rtx(struct tcp_conn *conn, uint64_t now_us)
{
    set_rtx_deadline(conn, now_us, tcp_backoff(conn, conn->retransmit_count));
}

void
tcp_start_persist(struct tcp_conn *conn, uint64_t now_us)
{
    conn->tail_deadline_us = TCP_NEVER;
    if (tcp_rtx_wanted(conn))
        set_rtx_deadline(conn, now_us, tcp_backoff(conn, conn->snd_wnd_probe_count));
    else
        conn->rtx_deadline_us = TCP_NEVER;
}

void
tcp_start_tail(struct tcp_conn *conn, uint64_t now_us)
{
    uint64_t delta_us = conn->srtt_us ? 2 * conn->srtt_us : TAIL_UNKNOWN_US;

    conn->tail_deadline_us = TCP_NEVER;
    if (!tcp_outstanding(conn) || !conn->snd_wnd || conn->flags & TCP_CONN_TAIL_SENT)
        return;
    if (conn->flags & TCP_CONN_UNMEASURED && !(conn->flags & (TCP_CONN_RECOVERY | TCP_CONN_LOSS)))
        return;
    if (delta_us < TAIL_MIN_US)
        delta_us = TAIL_MIN_US;
    if (conn->snd_max - conn->snd_una <= conn->mss)
        delta_us += PEER_DELAYED_ACK_US;
    if (now_us + delta_us < conn->rtx_deadline_us)
        conn->tail_deadline_us = now_us + delta_us;
}

/* None in a backoff, and the timer that came along is not put off: however often it moves, a
 * connection whose peer is silent sends no more than one that stays, and gives up in time. */
void
tcp_start_adopted_tail(struct tcp_conn *conn, uint64_t now_us)
{
    uint64_t deadline_us = now_us + (conn->srtt_us > 5000 ? 2 * conn->srtt_us : 10000);

    if (conn->snd_una == conn->snd_nxt || !conn->snd_wnd || conn->retransmit_count ||
        deadline_us >= conn->rtx_deadline_us)
        return;
    conn->tail_deadline_us = conn->adopted_tail_us = deadline_us;
}

void
tcp_on_acceptable(struct tcp_conn *conn, uint64_t now_us)
{
    if (conn->config.keepalive)
        conn->keepalive_deadline_us = tcp_after_us(now_us, conn->config.keepalive_idle_us);
    else if (conn->flags & TCP_CONN_CHALLENGED)
        conn->keepalive_deadline_us = TCP_NEVER;
    conn->keepalive_probe_count = 0;
    conn->flags &= ~(TCP_CONN_CHALLENGED | TCP_CONN_RST_CHALLENGED);
    if (conn->state == TCP_FIN_WAIT_2)
        conn->fin_wait_2_deadline_us = tcp_after_us(now_us, conn->config.fin_wait_2_us);
}

void
tcp_start_validation(struct tcp_conn *conn, uint64_t now_us)
{
    conn->flags |= TCP_CONN_ACK_NOW | TCP_CONN_CHALLENGED;
    conn->keepalive_deadline_us = tcp_min_us(conn->keepalive_deadline_us, now_us + VALIDATION_US);
}

void
tcp_set_keepalive(struct tcp_conn *conn, const struct tcp_config *config, bool restart,
                  uint64_t now_us)
{
    bool enabled = config->keepalive && !conn->config.keepalive;

    conn->config.nagle = config->nagle;
    conn->config.max_rt_us = config->max_rt_us;
    tcp_limit_rtx(conn, now_us);
    conn->config.keepalive = config->keepalive;
    conn->config.keepalive_probes = config->keepalive_probes;
    conn->config.keepalive_idle_us = config->keepalive_idle_us ? config->keepalive_idle_us
                                                               : TCP_KEEPALIVE_IDLE_US;
    conn->config.keepalive_interval_us = config->keepalive_interval_us;
    if (conn->state == TCP_CLOSED || conn->flags & TCP_CONN_CHALLENGED)
        return;
    if (!config->keepalive) {
        conn->keepalive_deadline_us = TCP_NEVER;
    } else if (enabled || restart) {
        conn->keepalive_probe_count = 0;
        conn->keepalive_deadline_us = tcp_after_us(now_us, conn->config.keepalive_idle_us);
    }
}

void
tcp_restart_max_rt(struct tcp_conn *conn, uint64_t max_rt_us, uint64_t now_us)
{
    conn->config.max_rt_us = max_rt_us;
    conn->total_rt_us = 0;
    conn->last_rtx_us = now_us; /* the time since then counts, too */
    tcp_limit_rtx(conn, now_us);
}

/* ---- expiring ---- */

static unsigned
give_up(struct tcp_conn *conn, const char *why)
{
    tcp_die(conn, why);
    return TCP_EV_TIMEOUT;
}

/* RFC 9293, section 3.8.6.1: the time between probes never gets shorter, answered or not; R-65. */
static unsigned
expire_persist(struct tcp_conn *conn, uint64_t now_us)
{
    if (limit_reached(conn, now_us))
        return give_up(conn, "window probes unanswered");
    uint64_t delta_us = tcp_backoff(
        conn, tcp_saturate_u8(conn->snd_wnd_probe_count + (uint32_t)conn->retransmit_count));
    count_retransmission(conn, now_us);
    conn->flags |= TCP_CONN_PROBE_DUE;
    set_rtx_deadline(conn, now_us, delta_us);
    return 0;
}

static unsigned
expire_rtx(struct tcp_conn *conn, uint64_t now_us)
{
    conn->rtx_deadline_us = TCP_NEVER;
    if (!tcp_rtx_wanted(conn))
        return 0;
    if (!conn->snd_wnd)
        return expire_persist(conn, now_us);
    if (!tcp_outstanding(conn))
        return 0;
    if (limit_reached(conn, now_us))
        return give_up(conn, "retransmissions exhausted");
    conn->tail_deadline_us = TCP_NEVER;
    conn->counters.timeouts++;
    tcp_recovery_on_timeout(conn);
    count_retransmission(conn, now_us);
    tcp_start_rtx(conn, now_us);
    return TCP_EV_WINDOW;
}

static uint64_t
keepalive_interval_us(const struct tcp_config *config)
{
    return config->keepalive_interval_us ? config->keepalive_interval_us : 1000000;
}

static unsigned
expire_keepalive(struct tcp_conn *conn, uint64_t now_us)
{
    const struct tcp_config *config = &conn->config;
    uint32_t probes = config->keepalive_probes ? config->keepalive_probes : 10;

    if (conn->state == TCP_TIME_WAIT) { /* a peer that has gone would answer with an RST */
        conn->keepalive_deadline_us = TCP_NEVER;
        return 0;
    }
    if (conn->rtx_deadline_us != TCP_NEVER && !(conn->flags & TCP_CONN_CHALLENGED)) {
        /* retransmission finds out by itself */
        conn->keepalive_deadline_us = tcp_after_us(now_us, config->keepalive_idle_us);
        return 0;
    }
    if (conn->keepalive_probe_count >= probes)
        return give_up(conn, "keepalive unanswered");
    conn->keepalive_probe_count++;
    conn->flags |= TCP_CONN_PROBE_DUE;
    conn->keepalive_deadline_us = tcp_after_us(now_us, keepalive_interval_us(config));
    return 0;
}

static void
expire_sws(struct tcp_conn *conn)
{
    conn->sws_deadline_us = TCP_NEVER;
    conn->flags |= TCP_CONN_SWS_OVERRIDE;
}

static void
expire_tail(struct tcp_conn *conn, uint64_t now_us)
{
    bool adopted = conn->tail_deadline_us == conn->adopted_tail_us;

    conn->tail_deadline_us = TCP_NEVER;
    if (!tcp_outstanding(conn) || !conn->snd_wnd)
        return;
    conn->flags |= TCP_CONN_TAIL_SENT;
    tcp_recovery_on_tail(conn);
    if (!adopted)
        tcp_start_rtx(conn, now_us);
}

void
tcp_on_blocked(struct tcp_conn *conn, uint64_t now_us)
{
    uint64_t interval_us = keepalive_interval_us(&conn->config);

    if (conn->retransmit_count)
        conn->last_rtx_us = now_us;
    conn->flags &= ~TCP_CONN_RTT_TIMING; /* the wait for the wire is no round trip */
    if (conn->rtx_deadline_us != TCP_NEVER && conn->snd_wnd)
        tcp_start_rtx(conn, now_us);
    else if (conn->rtx_deadline_us != TCP_NEVER)
        set_rtx_deadline(conn, now_us,
                         tcp_backoff(conn, tcp_saturate_u8(conn->snd_wnd_probe_count +
                                                           (uint32_t)conn->retransmit_count)));
    if (conn->tail_deadline_us != TCP_NEVER)
        tcp_start_tail(conn, now_us);
    if (conn->keepalive_deadline_us != TCP_NEVER && conn->keepalive_probe_count &&
        conn->keepalive_deadline_us < now_us + interval_us)
        conn->keepalive_deadline_us = now_us + interval_us;
}

unsigned
tcp_on_timer(struct tcp_conn *conn, uint64_t now_us)
{
    unsigned events = 0;

    if (now_us >= conn->delack_deadline_us) {
        conn->delack_deadline_us = TCP_NEVER;
        conn->flags |= TCP_CONN_ACK_NOW;
    }
    if (now_us >= conn->sws_deadline_us)
        expire_sws(conn);
    if (now_us >= conn->rtx_deadline_us)
        events |= expire_rtx(conn, now_us);
    if (now_us >= conn->reo_deadline_us)
        events |= tcp_recovery_on_reordering(conn, now_us);
    if (now_us >= conn->tail_deadline_us)
        expire_tail(conn, now_us);
    if (now_us >= conn->keepalive_deadline_us)
        events |= expire_keepalive(conn, now_us);
    if (now_us >= conn->fin_wait_2_deadline_us)
        events |= give_up(conn, "FIN_WAIT_2 lasted too long");
    return events;
}

uint64_t
tcp_deadline_us(const struct tcp_conn *conn)
{
    uint64_t first = tcp_min_us(conn->rtx_deadline_us, conn->tail_deadline_us);

    first = tcp_min_us(first, conn->reo_deadline_us);
    first = tcp_min_us(first, tcp_min_us(conn->delack_deadline_us, conn->sws_deadline_us));
    return tcp_min_us(first, tcp_min_us(conn->keepalive_deadline_us, conn->fin_wait_2_deadline_us));
}
