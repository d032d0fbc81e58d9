/*
 * Calm runs: one connection on a wire that is exact but for the losses of its plan, without
 * updates, forgeries, floors that do something. It is offloaded never, or once before anything is
 * said, or moves down and up a few times, which takes no time here and so must not show. What is
 * sent, and when, is then a matter of TCP alone, and the strict judge (strict.h) listens. Windows
 * are larger and talks longer than elsewhere, so that congestion control has something to do.
 */
#include "base/hash.h"
#include "host/script/private.h"
#include "sim.h"

#include <stdio.h>

#define PUSH_US (2000 * SIM_MS) /* more than the push timer, which little by little starts anew */
#define LOST_IN_A_ROW 4
#define MOVES_MAX 12
#define TICK_US 1000u
#define START_US 5000u /* the move is over */

static bool
one_in(struct random *random, uint32_t n)
{
    return random_below(random, n) == 0;
}

/* ---- what a seed means ---- */

static void
draw_wire(struct sim_plan *plan, struct random *random)
{
    static const uint32_t delays_us[] = {50, 1000, 10000, 40000};
    uint32_t delay_us = delays_us[random_below(random, 4)];
    uint64_t rate = one_in(random, 3) ? 10000000ull << random_below(random, 6) : 0;

    for (unsigned i = 0; i < 2; i++)
        plan->impair[i] = (struct wire_mem_impair){
            .seed = 1, .segment_gso = 1, .delay_us = delay_us, .bits_per_second = rate};
}

static void
draw_losses(struct sim_calm *calm, struct random *random)
{
    uint32_t kind = random_below(random, 6);

    if (kind < 2)
        return;
    calm->lossy = true;
    if (kind == 2) {
        calm->dark_from_us = 1000 + random_below(random, 500000);
        calm->dark_us = 1000u << random_below(random, 14);
        return;
    }
    for (unsigned way = 0; way < 2; way++) {
        unsigned losses = random_below(random, SIM_LOSSES + 1);
        for (unsigned i = 0; i < losses; i++) {
            calm->lost[way][i].first = 1 + random_below(random, 4u << random_below(random, 8));
            calm->lost[way][i].count = one_in(random, 2) ? 1 : 1 + random_below(random, 4);
        }
    }
}

static void
draw_talk(struct sim_talk *talk, struct random *random)
{
    static const uint32_t sizes[] = {0, 1, 5000, 100000, 800000, 3000000};
    uint32_t most = sizes[random_below(random, 6)];

    talk->bytes = most ? 1 + random_below(random, most) : 0;
    if (talk->part_max && talk->bytes > 200ull * talk->part_max)
        talk->part_max = 0;
    talk->pauses = one_in(random, 5) ? 1 + random_below(random, 3) : 0;
    talk->pause_max_us = one_in(random, 2) ? 20000000 : 100000;
}

static void
draw_moves(struct sim_conn_plan *conn, struct random *random)
{
    conn->moves = !one_in(random, 4);
    conn->move_min_us = 1;
    conn->move_max_us = 1000;
    conn->move_frames = 0;
    conn->looks = 1 + random_below(random, 20);
    conn->look_max_us = 1000u << random_below(random, 10);
    if (one_in(random, 2))
        return;
    conn->moves = 1 + random_below(random, MOVES_MAX);
    conn->move_max_us = 1000u << random_below(random, 10);
    conn->move_frames = one_in(random, 2) ? 1 + random_below(random, 40) : 0;
}

static void
draw_conn(struct sim_conn_plan *conn, struct random *random)
{
    struct script_options *host = &conn->host;
    struct peer_options *peer = &conn->peer;

    host->ack_returned = false;
    peer->path.vlan = 0;
    draw_talk(&conn->out, random);
    draw_talk(&conn->in, random);
    if (one_in(random, 2))
        peer->receive_buffer = 65535u << host->snd_wscale;
    if (one_in(random, 2))
        host->receive_buffer = 65535u << (host->rcv_wscale < 5 ? host->rcv_wscale : 5);
    host->peer_window = peer->receive_buffer;
    peer->window = host->receive_buffer;
    if (one_in(random, 2))
        host->send_buffer = 4u << 20;
    conn->end = (enum sim_end)random_below(random, SIM_STAYS_OPEN + 1);
    draw_moves(conn, random);
    conn->forgeries = conn->changes = 0;
    host->ecn = peer->ecn = false;
    conn->start_us = START_US;
}

/* In some the peer falls silent for good. Drawn apart, as above. */
static void
draw_desertion(struct sim_plan *plan)
{
    struct random random;

    random_init(&random, hash_mix(plan->seed ^ HASH_ODD_1, HASH_ODD_1));
    if (!one_in(&random, 10))
        return;
    plan->calm.lossy = plan->calm.deserted = true;
    plan->calm.dark_from_us = START_US + random_below(&random, 500000);
    plan->calm.dark_us = UINT32_MAX;
    plan->conn[0].end = SIM_STAYS_OPEN;
}

void
sim_calm_draw(struct sim_plan *plan)
{
    struct random random;

    /* of its own: what the other seeds mean does not depend on it */
    random_init(&random, hash_mix(plan->seed ^ HASH_ODD_1, HASH_ODD_2));
    if (!one_in(&random, 3))
        return;
    plan->calm.on = plan->exact = true;
    snprintf(plan->floors, sizeof plan->floors, "%s", one_in(&random, 2) ? "passthru" : "");
    plan->vlan = 0;
    plan->loose = plan->late = false;
    plan->corrupt_ppm = plan->mark_ppm[0] = plan->mark_ppm[1] = 0;
    plan->kill_at = plan->pulls = 0;
    plan->team = SIM_NO_TEAM;
    plan->crossed = plan->deaf_target = false;
    plan->conns = 1;
    draw_wire(plan, &random);
    draw_losses(&plan->calm, &random);
    draw_conn(&plan->conn[0], &random);
    draw_desertion(plan);
}

/* ---- the wire ---- */

bool
sim_calm_loses(struct sim *sim, bool out, bool data)
{
    const struct sim_calm *calm = &sim->plan.calm;
    uint64_t now_us = sys_loop_now_us(sim->stage.loop);
    unsigned number;

    if (!calm->lossy)
        return false;
    if (!sim->began_us)
        sim->began_us = now_us;
    if (now_us - sim->began_us - calm->dark_from_us < calm->dark_us)
        return true;
    if (!data)
        return false;
    number = ++sim->data_segments[out];
    for (unsigned i = 0; i < SIM_LOSSES; i++)
        if (number - calm->lost[out][i].first < calm->lost[out][i].count &&
            sim->lost_in_a_row[out] < LOST_IN_A_ROW) {
            sim->lost_in_a_row[out]++;
            return true;
        }
    sim->lost_in_a_row[out] = 0;
    return false;
}

/* ---- the judge ---- */

static void
on_violation(void *arg, const char *what)
{
    const struct sim_conn *conn = arg;

    sim_fail(conn->sim, "conn %u: %s", conn->number, what);
}

static uint64_t
deliver_us(const struct sim_conn_plan *plan)
{
    const struct script_options *host = &plan->host;

    if (plan->in.pauses)
        return PUSH_US; /* what it refused goes into what it posts */
    switch (host->receive) {
    case SCRIPT_HOLD:
        return host->hold_us;
    case SCRIPT_POST:
    case SCRIPT_NIBBLE:
        return PUSH_US;
    default:
        return 0;
    }
}

void
sim_calm_judge(struct sim_conn *conn)
{
    const struct script_options *host = &conn->plan->host;
    const struct sim_plan *plan = &conn->sim->plan;
    uint16_t stamp = host->no_timestamps ? 0 : 12;
    struct strict_options options = {.snd_seq = host->snd_seq,
                                     .rcv_seq = host->rcv_seq,
                                     .mss = (uint16_t)(conn->plan->peer.mss - stamp),
                                     .peer_mss = (uint16_t)(conn->plan->peer.mss - stamp),
                                     .window = host->peer_window,
                                     .receive_buffer = host->receive_buffer,
                                     .snd_wscale = host->snd_wscale,
                                     .rcv_wscale = host->rcv_wscale,
                                     .ttl = 64,
                                     .timestamps = !host->no_timestamps,
                                     .sack = !host->no_sack,
                                     .lossless = !plan->calm.lossy &&
                                                 !plan->impair[0].bits_per_second,
                                     .nagle = true,
                                     .delayed_ack_us = plan->tuning.delayed_ack_ms * SIM_MS,
                                     .ts_recent = host->ts_recent,
                                     .deliver_us = deliver_us(conn->plan),
                                     .on_violation = on_violation,
                                     .arg = conn};

    if (plan->calm.on)
        strict_init(&conn->strict, &options);
}

void
sim_calm_time(struct sim_conn *conn)
{
    if (conn->sim->plan.calm.on && !conn->host_ended)
        strict_time(&conn->strict, sys_loop_now_us(conn->sim->stage.loop));
}

void
sim_calm_tell(struct sim_conn *conn)
{
    const struct script_options *host = &conn->plan->host;

    if (!conn->sim->plan.calm.on || conn->host_ended)
        return;
    sim_calm_time(conn);
    conn->strict.events++;
    conn->strict.written = host->snd_seq + (uint32_t)conn->written;
    conn->strict.released = host->snd_seq + (uint32_t)conn->acked_out;
    conn->strict.taken = host->rcv_seq + (uint32_t)conn->received_in;
    conn->strict.closing = conn->out_closed;
    conn->strict.reading = conn->host_reading;
}

static void
count_try(struct sim_conn *conn, const struct peer_segment *segment)
{
    uint32_t una = conn->judge.acked;

    if (una != conn->tried_seq)
        conn->tries = 0;
    conn->tried_seq = una;
    conn->tries += segment->len && una - segment->seq < segment->len;
}

void
sim_calm_hear(struct sim_conn *conn, bool out, const struct peer_segment *segment,
              uint32_t gso_bytes)
{
    uint64_t now_us = sys_loop_now_us(conn->sim->stage.loop);

    if (!conn->sim->plan.calm.on || conn->host_ended)
        return;
    if (out)
        count_try(conn, segment);
    conn->strict.leaving = script_state(conn->host) == HOST_CONN_TERMINATING ||
                           conn->left_us == now_us;
    if (out)
        strict_out(&conn->strict, segment, gso_bytes, now_us);
    else
        strict_in(&conn->strict, segment, now_us);
}

/* ---- moves ---- */

/* What of a loss the documented state has no place for the next owner would have to find out anew:
 * how, no RFC says. */
bool
sim_calm_leave(struct sim_conn *conn)
{
    const struct strict_send *send = &conn->strict.send;
    uint64_t now_us = sys_loop_now_us(conn->sim->stage.loop);

    if (!conn->sim->plan.calm.on)
        return true;
    sim_calm_time(conn);
    if (conn->strict.receive.ahead.count || conn->strict.receive.disorder || send->recovering ||
        send->sacked.count || send->duplicates || (send->after_timeout && !send->timeouts) ||
        send->recovered_us == now_us || send->measured_us == now_us)
        return false;
    conn->left_us = now_us;
    return true;
}

void
sim_calm_moved(struct sim_conn *conn)
{
    if (conn->sim->plan.calm.on && !conn->host_ended)
        strict_moved(&conn->strict, conn->host->down.extended,
                     sys_loop_now_us(conn->sim->stage.loop));
}

/* ---- its state ---- */

static void
look(struct sim_conn *conn, const struct strict_seen *seen)
{
    strict_look(&conn->strict, seen, sys_loop_now_us(conn->sim->stage.loop));
}

static uint64_t
delta_us(ULONG ticks)
{
    return ticks == TCP_OFFLOAD_TIMER_OFF ? UINT64_MAX : (uint64_t)ticks * TICK_US;
}

void
sim_calm_answered(struct sim_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *state)
{
    struct strict_seen seen = {
        .snd_una = state->SndUna,
        .snd_nxt = state->SndNxt,
        .snd_max = state->SndMax,
        .snd_wnd = state->SndWnd,
        .max_snd_wnd = state->MaxSndWnd,
        .cwnd = state->CWnd,
        .ssthresh = state->SsThresh,
        .rcv_nxt = state->RcvNxt,
        .rcv_wnd = state->RcvWnd,
        .ts_recent = state->TsRecent,
        .srtt_us = (uint64_t)state->SRtt * TICK_US / 8,
        .rttvar_us = (uint64_t)state->RttVar * TICK_US / 4,
        .total_rt_us = (uint64_t)state->TotalRT * TICK_US,
        .retransmit_delta_us = delta_us(state->Retransmit.TimeoutDelta),
        .retransmits = state->Retransmit.Count,
        .probe_rounds = state->SndWndProbeCount,
        .dup_acks = state->DupAckCount,
        .tick_us = TICK_US,
        .fin_wait_2 = state->State == TcpConnectionFinWait2,
    };

    if (conn->looked_at == conn->strict.events && !conn->host_ended)
        look(conn, &seen);
}

static void
look_at_home(struct sim_conn *conn)
{
    struct tcp_state state;

    tcp_capture(script_engine(conn->host), sys_loop_now_us(conn->sim->stage.loop), &state);
    struct strict_seen seen = {
        .snd_una = state.snd_una,
        .snd_nxt = state.snd_nxt,
        .snd_max = state.snd_max,
        .snd_wnd = state.snd_wnd,
        .max_snd_wnd = state.max_snd_wnd,
        .cwnd = state.cwnd,
        .ssthresh = state.ssthresh,
        .rcv_nxt = state.rcv_nxt,
        .rcv_wnd = state.rcv_wnd,
        .ts_recent = state.ts_recent,
        .srtt_us = state.srtt_us,
        .rttvar_us = state.rttvar_us,
        .total_rt_us = state.total_rt_us,
        .retransmit_delta_us = state.retransmit_delta_us,
        .retransmits = state.retransmit_count,
        .probe_rounds = state.snd_wnd_probe_count,
        .dup_acks = state.dup_ack_count,
        .tick_us = TICK_US, /* it may have been with the target */
        .fin_wait_2 = state.state == TCP_FIN_WAIT_2,
    };
    if (state.state >= TCP_ESTABLISHED && state.state < TCP_TIME_WAIT)
        look(conn, &seen);
}

void
sim_calm_look(void *arg)
{
    struct sim_conn *conn = arg;
    uint64_t now_us = sys_loop_now_us(conn->sim->stage.loop);
    bool quiet = conn->strict.now_us < now_us;

    if (!conn->sim->plan.calm.on || conn->host_ended || !conn->looks_left)
        return;
    conn->looks_left--;
    sys_timer_set(&conn->look_timer,
                  now_us + 1 + random_below(&conn->random, conn->plan->look_max_us));
    sim_calm_time(conn);
    if (!quiet || script_ended(conn->host))
        return;
    conn->looked_at = conn->strict.events;
    if (script_state(conn->host) == HOST_CONN_OFFLOADED)
        sim_query_ask(conn);
    else if (script_state(conn->host) == HOST_CONN_HOST && conn->host->live)
        look_at_home(conn);
}
