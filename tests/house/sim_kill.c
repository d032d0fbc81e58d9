/*
 * The owner dies, at any crossing. From that moment its wire says nothing more, and what it would
 * still have told its applications does not count: what they have is what a kernel socket would
 * hold that had acknowledged, and been acknowledged, as much as they know. With ack = returned that
 * must be enough to go on with: nothing that the other side takes for delivered is missing here. So
 * a second TCP, the peer's code at our end, begins with just that, and the plan is carried out to
 * its end.
 *
 * The house itself is not part of that: what it still holds comes home behind the gagged wire, so
 * that it can be taken down as always. The gag is never lifted for it: what a floor holds back dies
 * with the process, and a late acknowledgement of what only the dead had would be a lie.
 */
#include "sim.h"
#include "wire/wire.h"

#include <string.h>
#include <sys/uio.h>

static void
on_crossing(void *arg, struct crossing *crossing)
{
    struct sim *sim = arg;

    sim_team_look(sim, crossing);
    if (!sim->plan.kill_at || sim->dead || ++sim->crossings != sim->plan.kill_at)
        return;
    sim->dead = true;
    wire_gag(sim->stage.ends[LEFT], true);
}

struct observer *
sim_kill_observer(struct sim *sim)
{
    sim->observer = (struct observer){.on_crossing = on_crossing, .arg = sim};
    return &sim->observer;
}

/* ---- the socket ---- */

static void
on_send(void *arg, const uint8_t *frame, size_t len)
{
    struct sim *sim = ((const struct sim_conn *)arg)->sim;
    struct wire *wire = sim->stage.ends[LEFT];
    struct iovec piece = {(void *)(uintptr_t)frame, len};
    int error;

    /* Past the gag, which stays: floors may yet let go of what the dead owner said. */
    sim->past_gag = true;
    wire_gag(wire, false);
    error = wire_send(wire, &(struct wire_tx){.pieces = &piece, .piece_count = 1});
    wire_flush(wire);
    wire_gag(wire, true);
    sim->past_gag = false;
    if (error)
        sim_fail(sim, "the wire takes no frame");
}

static void
on_fill(void *arg, uint64_t at, uint8_t *bytes, size_t len)
{
    sim_stream_fill(sim_out_seed(arg), at, bytes, len);
}

static bool
is_right(void *arg, uint64_t at, const uint8_t *bytes, size_t len)
{
    const struct sim_conn *conn = arg;

    return at + len <= conn->plan->in.bytes && sim_stream_is(sim_in_seed(conn), at, bytes, len);
}

static void
on_data(void *arg, size_t len)
{
    ((struct sim_conn *)arg)->received_in += len;
}

static void
on_fin(void *arg)
{
    struct sim_conn *conn = arg;

    conn->fin_at_us = true;
    sim_conn_write(conn);
}

static void
on_end(void *arg, enum peer_end end)
{
    struct sim_conn *conn = arg;

    conn->host_ended = true;
    conn->host_end = end == PEER_CLOSED ? SCRIPT_CLOSED : SCRIPT_LOST;
    conn->ended_us = sys_loop_now_us(conn->sim->stage.loop);
}

static void
on_violation(void *arg, const char *what)
{
    const struct sim_conn *conn = arg;

    sim_fail(conn->sim, "conn %u, after the kill: %s", conn->number, what);
}

static const struct peer_app app = {on_send, on_fill, is_right,    on_data,
                                    on_fin,  on_end,  on_violation};

static struct peer_options
options_of(const struct sim_conn *conn)
{
    const struct script_options *host = &conn->plan->host;
    uint64_t received = conn->received_in + conn->fin_at_us;
    struct peer_options options = {.path = conn->judge.options.path,
                                   .snd_seq = host->snd_seq + (uint32_t)conn->acked_out,
                                   .snd_max = host->snd_seq + (uint32_t)conn->written,
                                   .snd_at = conn->acked_out,
                                   .rcv_seq = host->rcv_seq + (uint32_t)received,
                                   .rcv_at = received,
                                   .snd_wscale = host->snd_wscale,
                                   .rcv_wscale = host->rcv_wscale,
                                   .timestamps = !host->no_timestamps,
                                   .sack = !host->no_sack,
                                   .ecn = host->ecn,
                                   .mss = conn->plan->peer.mss,
                                   .receive_buffer = host->receive_buffer,
                                   .window = conn->plan->peer.receive_buffer,
                                   .ts_offset = host->ts_offset,
                                   .ts_recent = host->ts_recent};

    memcpy(options.path.remote_mac, conn->peer->options.path.local_mac, 6);
    memcpy(options.path.local_mac, wire_mac(conn->sim->stage.ends[LEFT]), 6);
    return options;
}

static void
revive(struct sim_conn *conn)
{
    struct peer_options options = options_of(conn);
    struct peer *kernel = peer_create(conn->sim->stage.loop, &options, &app, conn);

    if (!kernel)
        sim_fail(conn->sim, "no memory");
    if (seq_after(conn->judge.said_ack, options.rcv_seq))
        sim_fail(conn->sim, "conn %u: killed, and %u was acknowledged, of which only %u is held",
                 conn->number, conn->judge.said_ack, options.rcv_seq);
    kernel->snd_nxt = kernel->snd_una; /* whatever became of it */
    kernel->snd_max += conn->out_closed;
    if (conn->fin_at_us) {
        kernel->fin_seen = kernel->fin_received = kernel->fin_told = true;
        kernel->fin_seq = kernel->rcv_nxt - 1;
    }
    conn->kernel = kernel;
    if (conn->out_closed)
        peer_close(kernel);
    else
        sim_conn_write(conn);
    peer_ack(kernel);
}

static void
on_frame(void *arg, struct wire_buf *buf)
{
    struct sim *sim = arg;

    for (unsigned i = 0; i < sim->plan.conns; i++)
        if (sim->conns[i].kernel &&
            peer_frame(sim->conns[i].kernel, buf->data, buf->len, sim->plan.corrupt_ppm != 0))
            return;
}

static const struct wire_receiver receiver = {.on_frame = on_frame};

void
sim_kill_revive(struct sim *sim, struct sim_figures *figures)
{
    struct wire *wire = sim->stage.ends[LEFT];

    for (unsigned i = 0; i < sim->plan.conns; i++)
        sim_conn_bring_home(&sim->conns[i]);
    for (unsigned i = 0; i < sim->plan.conns; i++)
        sim_conn_leave(&sim->conns[i], figures);
    figures->kills++;
    for (unsigned i = 0; i < sim->plan.conns; i++)
        revive(&sim->conns[i]);
    wire_set_receiver(wire, &receiver, sim);
    sim->revived = true;
}
