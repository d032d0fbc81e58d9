/*
 * Runs whose peers are lwIP (lwip_peer.h). The plan is the seed's, but for what lwIP has not: no
 * timestamps, SACK or ECN, a window and a scale of its own. Whether a run is one of those is asked
 * for and not drawn: a seed must mean the same where lwIP is not installed.
 */
#include "lwip_peer.h"
#include "sim.h"

static bool wanted;

bool
sim_lwip_want(void)
{
    wanted = lwip_peer_here();
    return wanted;
}

static void
adapt(struct sim_conn_plan *conn)
{
    struct script_options *host = &conn->host;
    struct peer_options *peer = &conn->peer;

    host->no_timestamps = host->no_sack = true;
    host->ecn = peer->timestamps = peer->sack = peer->ecn = false;
    host->snd_wscale = peer->rcv_wscale = host->no_scaling ? 0 : LWIP_PEER_SCALE;
    host->peer_window = peer->receive_buffer = LWIP_PEER_WINDOW;
}

void
sim_lwip_adapt(struct sim_plan *plan)
{
    for (unsigned i = 0; wanted && i < plan->conns; i++)
        adapt(&plan->conn[i]);
    if (wanted)
        plan->calm.on = false; /* the strict judge is of one TCP at a time */
}

/* One that has closed answers whatever comes later with RST. Sockets that go on after a kill do not
 * know that their FIN was acknowledged, and say it again. */
bool
sim_lwip_excuses(const struct sim_conn *conn)
{
    return wanted && conn->sim->dead && conn->host_end == SCRIPT_LOST && conn->fin_at_us &&
           conn->fin_at_peer && conn->peer->end == PEER_CLOSED;
}

struct peer *
sim_lwip_or_peer(struct sim *sim, const struct peer_options *options, const struct peer_app *app,
                 void *arg)
{
    return wanted ? lwip_peer_create(sim->stage.loop, options, app, arg)
                  : peer_create(sim->stage.loop, options, app, arg);
}
