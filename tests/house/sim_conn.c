/*
 * One connection: the script's end with our application, the peer's with its own, and what is done
 * to it meanwhile. Every callback only notes and sets timers; nothing moves on the stack of one.
 */
#include "host/script/private.h"
#include "sim.h"

#include <stdio.h>
#include <string.h>

static uint64_t
now(const struct sim_conn *conn)
{
    return sys_loop_now_us(conn->sim->stage.loop);
}

uint64_t
sim_out_seed(const struct sim_conn *conn)
{
    return conn->plan->seed;
}

uint64_t
sim_in_seed(const struct sim_conn *conn)
{
    return conn->plan->seed + 1;
}

static void
after(struct sim_conn *conn, struct sys_timer *timer, uint32_t min_us, uint32_t max_us)
{
    sys_timer_set(timer, now(conn) + min_us + random_below(&conn->random, max_us - min_us + 1));
}

/* ---- our application ---- */

static bool
we_may_close(const struct sim_conn *conn)
{
    switch (conn->plan->end) {
    case SIM_BOTH_CLOSE:
    case SIM_WE_CLOSE_FIRST:
        return true;
    case SIM_PEER_CLOSES_FIRST:
        return conn->fin_at_us;
    default:
        return false;
    }
}

static void
write_down(struct sim_conn *conn)
{
    uint8_t bytes[4096];

    while (conn->written < conn->offered_out && !conn->host_ended) {
        uint64_t left = conn->offered_out - conn->written;
        size_t part = left < sizeof bytes ? (size_t)left : sizeof bytes, taken;
        sim_stream_fill(sim_out_seed(conn), conn->written, bytes, part);
        taken = script_write(conn->host, bytes, part);
        conn->written += taken;
        sim_calm_tell(conn);
        if (taken < part)
            return;
    }
}

void
sim_conn_write(struct sim_conn *conn)
{
    if (conn->sim->dead && !conn->kernel)
        return;
    if (conn->kernel && !conn->out_closed) {
        peer_offer(conn->kernel, conn->offered_out - conn->written);
        conn->written = conn->offered_out;
    } else if (!conn->kernel) {
        write_down(conn);
    }
    if (conn->written != conn->plan->out.bytes || !we_may_close(conn) || conn->out_closed)
        return;
    conn->out_closed = true;
    if (conn->kernel)
        peer_close(conn->kernel);
    else
        script_close(conn->host);
    sim_calm_tell(conn);
}

static void
on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct sim_conn *conn = arg;

    if (conn->sim->dead)
        return;
    if (!sim_stream_is(sim_in_seed(conn), conn->received_in, bytes, len) ||
        conn->received_in + len > conn->plan->in.bytes)
        sim_fail(conn->sim, "conn %u: wrong bytes for us at %llu", conn->number,
                 (unsigned long long)conn->received_in);
    conn->received_in += len;
    sim_calm_tell(conn);
}

static void
on_room(void *arg, size_t bytes)
{
    struct sim_conn *conn = arg;

    if (conn->sim->dead)
        return;
    conn->acked_out += bytes;
    sim_calm_tell(conn);
    sim_conn_write(conn);
}

static void
on_fin(void *arg)
{
    struct sim_conn *conn = arg;

    if (conn->sim->dead)
        return;
    if (conn->fin_at_us)
        sim_fail(conn->sim, "conn %u: a second FIN", conn->number);
    if (conn->received_in != conn->plan->in.bytes)
        sim_fail(conn->sim, "conn %u: FIN after %llu of %llu bytes", conn->number,
                 (unsigned long long)conn->received_in, (unsigned long long)conn->plan->in.bytes);
    conn->fin_at_us = true;
    sim_conn_write(conn);
}

static void
on_end(void *arg, enum script_end end)
{
    struct sim_conn *conn = arg;

    if (conn->sim->dead)
        return;
    conn->host_ended = true;
    conn->host_end = end;
    conn->ended_us = now(conn);
    conn->judge.options.ack_limit_us = conn->judge.ack_due_us = 0;
}

static void
on_move(void *arg, const struct script_move *move)
{
    struct sim_conn *conn = arg;

    if (conn->sim->verbose)
        printf("%10llu %u %s: %08x, %u bytes to send, %u received\n", (unsigned long long)now(conn),
               conn->number, move->down ? "moved down" : "moved up", (unsigned)move->status,
               move->send_bytes, move->receive_bytes);
    sim_limits_moved(conn, move);
    if (move->status == NDIS_STATUS_SUCCESS)
        sim_calm_moved(conn);
    if (!move->down && conn->sim->plan.impair[0].stall_frames) {
        /* what the wire had not taken then is lost, and may have been all there was to say */
        conn->judge.options.holes = true;
        conn->judge.options.ack_limit_us = conn->judge.ack_due_us = 0;
    }
}

static void
on_query(void *arg, NDIS_STATUS status, const TCP_OFFLOAD_STATE_DELEGATED *state)
{
    sim_query_answered(arg, status, state);
}

static const struct script_app host_app = {.on_data = on_data,
                                           .on_room = on_room,
                                           .on_fin = on_fin,
                                           .on_end = on_end,
                                           .on_move = on_move,
                                           .on_query = on_query};

/* ---- the peer's application ---- */

static bool
peer_may_close(const struct sim_conn *conn)
{
    switch (conn->plan->end) {
    case SIM_BOTH_CLOSE:
    case SIM_PEER_CLOSES_FIRST:
        return true;
    case SIM_WE_CLOSE_FIRST:
        return conn->fin_at_peer;
    default:
        return false;
    }
}

static void
peer_look(struct sim_conn *conn)
{
    if (conn->offered_in == conn->plan->in.bytes && peer_may_close(conn) && !conn->in_closed) {
        conn->in_closed = true;
        peer_close(conn->peer);
    }
}

static void
peer_send(void *arg, const uint8_t *frame, size_t len)
{
    sim_wire_send(arg, frame, len);
}

static void
peer_fill(void *arg, uint64_t at, uint8_t *bytes, size_t len)
{
    sim_stream_fill(sim_in_seed(arg), at, bytes, len);
}

static bool
peer_is_right(void *arg, uint64_t at, const uint8_t *bytes, size_t len)
{
    const struct sim_conn *conn = arg;

    return at + len <= conn->plan->out.bytes && sim_stream_is(sim_out_seed(conn), at, bytes, len);
}

static void
peer_on_data(void *arg, size_t len)
{
    ((struct sim_conn *)arg)->received_out += len;
}

static void
peer_on_fin(void *arg)
{
    struct sim_conn *conn = arg;

    if (conn->received_out != conn->plan->out.bytes)
        sim_fail(conn->sim, "conn %u: our FIN after %llu of %llu bytes", conn->number,
                 (unsigned long long)conn->received_out, (unsigned long long)conn->plan->out.bytes);
    conn->fin_at_peer = true;
    peer_look(conn);
}

static void
peer_on_end(void *arg, enum peer_end end)
{
    struct sim_conn *conn = arg;

    conn->ended_us = now(conn);
}

static void
on_violation(void *arg, const char *what)
{
    const struct sim_conn *conn = arg;

    sim_fail(conn->sim, "conn %u: %s", conn->number, what);
}

static const struct peer_app peer_app = {peer_send,   peer_fill,   peer_is_right, peer_on_data,
                                         peer_on_fin, peer_on_end, on_violation};

/* ---- talking ---- */

static uint64_t
next_part(struct sim_conn *conn, const struct sim_talk *talk, uint64_t offered)
{
    uint64_t left = talk->bytes - offered, part;

    if (!talk->part_max)
        return left;
    part = talk->part_min + random_below(&conn->random, talk->part_max);
    return part < left ? part : left;
}

static void
talk_out(void *arg)
{
    struct sim_conn *conn = arg;
    const struct sim_talk *talk = &conn->plan->out;

    sim_calm_time(conn);
    conn->offered_out += next_part(conn, talk, conn->offered_out);
    sim_conn_write(conn);
    if (conn->offered_out < talk->bytes)
        after(conn, &conn->out_timer, talk->gap_min_us, talk->gap_max_us);
}

static void
talk_in(void *arg)
{
    struct sim_conn *conn = arg;
    const struct sim_talk *talk = &conn->plan->in;
    uint64_t part = next_part(conn, talk, conn->offered_in);

    conn->offered_in += part;
    peer_offer(conn->peer, part);
    peer_look(conn);
    if (conn->offered_in < talk->bytes)
        after(conn, &conn->in_timer, talk->gap_min_us, talk->gap_max_us);
}

static void
toggle_ours(void *arg)
{
    struct sim_conn *conn = arg;

    sim_calm_time(conn);
    conn->host_reading = !conn->host_reading;
    sim_calm_tell(conn);
    script_read(conn->host, conn->host_reading);
    if (!conn->host_reading || conn->pauses_in--)
        after(conn, &conn->read_in_timer, 1, conn->plan->in.pause_max_us);
}

static void
toggle_peers(void *arg)
{
    struct sim_conn *conn = arg;

    conn->peer_reading = !conn->peer_reading;
    peer_read(conn->peer, conn->peer_reading);
    if (!conn->peer_reading || conn->pauses_out--)
        after(conn, &conn->read_out_timer, 1, conn->plan->out.pause_max_us);
}

/* ---- what is done to it ---- */

static void
begin_move(struct sim_conn *conn)
{
    if (script_state(conn->host) == HOST_CONN_OFFLOADED) {
        conn->moves_left -= script_upload(conn->host) == 0;
    } else if (script_offload(conn->host) == 0) {
        conn->moves_left--;
        sim_limits_begin(conn);
    }
}

static void
move(void *arg)
{
    struct sim_conn *conn = arg;
    uint32_t what = conn->sim->plan.calm.on ? 2 : random_below(&conn->random, 16);

    conn->frames_to_move = 0;
    if (conn->sim->dead || !conn->moves_left || script_ended(conn->host))
        return;
    if (what == 0)
        sim_query_ask(conn);
    else if (sim_calm_leave(conn))
        begin_move(conn);
    if (conn->plan->move_frames)
        conn->frames_to_move = 1 + random_below(&conn->random, conn->plan->move_frames);
    after(conn, &conn->move_timer, conn->plan->move_min_us, conn->plan->move_max_us);
}

void
sim_conn_count_frame(struct sim_conn *conn)
{
    if (conn->frames_to_move && --conn->frames_to_move == 0)
        sys_loop_defer(conn->sim->stage.loop, &conn->move_task);
}

static void
abort_it(void *arg)
{
    struct sim_conn *conn = arg;

    /* and so that something happens when it should be quiet */
    after(conn, &conn->abort_timer, 6 * SIM_SECOND, 6 * SIM_SECOND);
    if (conn->plan->end == SIM_WE_ABORT) {
        conn->judge.may_reset = true;
        conn->judge.options.ack_limit_us = conn->judge.ack_due_us = 0;
        script_abort(conn->host);
    } else {
        peer_abort(conn->peer);
    }
}

static void
forge(void *arg)
{
    struct sim_conn *conn = arg;

    if (conn->sim->dead)
        return;
    sim_wire_forge(conn);
    if (--conn->forgeries_left && !conn->host_ended)
        after(conn, &conn->forge_timer, 1, 20000);
}

/* ---- life ---- */

static void
judge_it(struct sim_conn *conn)
{
    const struct script_options *host = &conn->plan->host;
    const struct sim_plan *plan = &conn->sim->plan;
    /* what is lent is forgotten by a move, and waits for a reader that pauses */
    bool moves = conn->plan->moves || conn->plan->changes;
    bool stalls = plan->impair[0].stall_frames;
    bool prompt = !plan->loose && !plan->team && !(stalls && conn->plan->changes) &&
                  !(host->ack_returned && (conn->plan->in.pauses || moves));
    struct judge_options options = {.path = {.ipv6 = host->ipv6,
                                             .local_port = host->local_port,
                                             .remote_port = host->peer_port,
                                             .vlan = plan->vlan},
                                    .snd_seq = host->snd_seq,
                                    .rcv_seq = host->rcv_seq,
                                    .window = host->peer_window,
                                    .snd_wscale = host->snd_wscale,
                                    .rcv_wscale = host->rcv_wscale,
                                    .timestamps = !host->no_timestamps,
                                    .sack = !host->no_sack,
                                    .ecn = host->ecn,
                                    .mss = conn->plan->peer.mss,
                                    .mtu = plan->mtu,
                                    .loose = plan->loose,
                                    .holes = plan->team || (stalls && conn->plan->changes),
                                    .waits = stalls,
                                    /* before the peer, whose RTO is 200 ms at least, asks again */
                                    .ack_limit_us = prompt ? 180 * SIM_MS : 0,
                                    /* a hand-over takes so long at most */
                                    .ecn_grace_us = conn->plan->moves ? 50 * SIM_MS : 0,
                                    .on_violation = on_violation,
                                    .arg = conn};

    memcpy(options.path.local, host->local, 16);
    memcpy(options.path.remote, host->peer, 16);
    judge_init(&conn->judge, &options);
}

static struct sys_timer *
timer_of(struct sim_conn *conn, unsigned i, void (**fn)(void *arg))
{
    static void (*const fns[])(void *) = {talk_out, talk_in,  toggle_ours, toggle_peers,
                                          move,     abort_it, forge,       sim_calm_look};
    struct sys_timer *const timers[] = {
        &conn->out_timer,  &conn->in_timer,    &conn->read_in_timer, &conn->read_out_timer,
        &conn->move_timer, &conn->abort_timer, &conn->forge_timer,   &conn->look_timer};

    if (i == sizeof timers / sizeof timers[0])
        return NULL;
    if (fn)
        *fn = fns[i];
    return timers[i];
}

static void
start_timers(struct sim_conn *conn)
{
    const struct sim_conn_plan *plan = conn->plan;
    void (*fn)(void *arg);
    struct sys_timer *timer;

    for (unsigned i = 0; (timer = timer_of(conn, i, &fn)); i++)
        if (sys_timer_init(timer, conn->sim->stage.loop, fn, conn))
            sim_fail(conn->sim, "no memory");
    after(conn, &conn->out_timer, plan->start_us, plan->start_us + 1000);
    after(conn, &conn->in_timer, plan->start_us, plan->start_us + 1000);
    if (conn->pauses_in)
        after(conn, &conn->read_in_timer, 0, 50000);
    if (conn->pauses_out)
        after(conn, &conn->read_out_timer, 0, 50000);
    if (plan->moves)
        after(conn, &conn->move_timer, 0, plan->move_max_us);
    if (plan->end == SIM_WE_ABORT || plan->end == SIM_PEER_ABORTS)
        after(conn, &conn->abort_timer, plan->abort_us, plan->abort_us);
    if (plan->forgeries)
        after(conn, &conn->forge_timer, 1, 20000);
    if (plan->looks)
        after(conn, &conn->look_timer, 1, plan->look_max_us);
}

void
sim_conn_open(struct sim *sim, unsigned number)
{
    struct sim_conn *conn = &sim->conns[number];
    struct script_options host = sim->plan.conn[number].host;
    struct peer_options peer = sim->plan.conn[number].peer;

    conn->sim = sim;
    conn->number = number;
    conn->plan = &sim->plan.conn[number];
    random_init(&conn->random, conn->plan->seed + 2);
    conn->host_reading = conn->peer_reading = true;
    conn->pauses_out = conn->plan->out.pauses;
    conn->pauses_in = conn->plan->in.pauses;
    conn->moves_left = conn->plan->moves;
    conn->forgeries_left = conn->plan->forgeries;
    conn->looks_left = conn->plan->looks;
    memcpy(host.local_mac, wire_mac(sim->stage.ends[LEFT]), 6);
    memcpy(peer.path.remote_mac, host.local_mac, 6);
    judge_it(conn);
    sim_calm_judge(conn);
    sys_task_init(&conn->move_task, move, conn);
    conn->host = script_conn_create(sim->stage.hosts[LEFT], &host, &host_app, conn);
    conn->peer = sim_lwip_or_peer(sim, &peer, &peer_app, conn);
    if (!conn->host || !conn->peer)
        sim_fail(sim, "no connection");
    start_timers(conn);
    sim_house_open(conn);
}

void
sim_conn_bring_home(struct sim_conn *conn)
{
    struct sys_timer *timer;

    for (unsigned i = 0; !conn->sim->dead && (timer = timer_of(conn, i, NULL)); i++)
        sys_timer_set(timer, SYS_NEVER);
    sim_house_rest(conn);
    conn->moves_left = conn->frames_to_move = 0;
    sys_task_cancel(&conn->move_task);
    if (conn->host && script_state(conn->host) == HOST_CONN_OFFLOADED)
        script_upload(conn->host);
}

void
sim_conn_close(struct sim_conn *conn, struct sim_figures *figures)
{
    struct sys_timer *timer;

    sim_conn_leave(conn, figures);
    figures->bytes += conn->received_in + conn->received_out;
    figures->retransmissions += conn->peer->retransmissions;
    figures->dsacks += conn->judge.dsacks_out;
    figures->marks += conn->judge.ecn.marks;
    figures->cwrs += conn->judge.ecn.cwrs;
    figures->forged += conn->plan->forgeries - conn->forgeries_left;
    for (unsigned i = 0; (timer = timer_of(conn, i, NULL)); i++)
        sys_timer_fini(timer);
    sim_house_close(conn);
    peer_destroy(conn->kernel);
    peer_destroy(conn->peer);
    conn->kernel = NULL;
    conn->peer = NULL;
}
