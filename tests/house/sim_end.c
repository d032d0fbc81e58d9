/*
 * The end of a connection: whether what its plan says has come about, whether that is as it should
 * be, and the way home.
 */
#include "host/script/private.h"
#include "sim.h"

#include <stdio.h>

#define AGAIN_ENOUGH 3 /* a move may lose a D-SACK, but not so many */

const char *
sim_conn_inside(const struct sim_conn *conn)
{
    static char text[256];
    const struct script_conn *host = conn->host;

    if (!host)
        return "killed";
    snprintf(text, sizeof text,
             "state %u, updates %u, queries %u, FIN wanted %d below %d acked %d known %d told %d, "
             "upload wanted %d, blocked %d, reading %d, posted %u, window due %d, disconnect %d",
             host->down.state, host->down.updates, host->down.queries, host->fin_wanted,
             host->fin_below, host->fin_acked, host->fin_known, host->fin_told, host->upload_wanted,
             host->blocked, host->reading, host->posted, host->window_due,
             host->disconnect != NULL);
    return text;
}

static bool
all_arrived(const struct sim_conn *conn)
{
    return conn->received_in == conn->plan->in.bytes && conn->received_out == conn->plan->out.bytes;
}

bool
sim_conn_done(const struct sim_conn *conn)
{
    bool quiet = conn->ended_us &&
                 sys_loop_now_us(conn->sim->stage.loop) > conn->ended_us + 5 * SIM_SECOND;

    if (conn->sim->plan.calm.deserted) /* until we give up, if we have anything to say */
        return conn->host_ended || conn->acked_out == conn->plan->out.bytes;
    switch (conn->plan->end) {
    case SIM_STAYS_OPEN:
        return all_arrived(conn);
    case SIM_WE_ABORT:
        return conn->host_ended && (conn->peer->end != PEER_OPEN || quiet);
    case SIM_PEER_ABORTS:
        return conn->peer->end != PEER_OPEN && (conn->host_ended || quiet);
    default:
        return conn->host_ended && conn->peer->end != PEER_OPEN;
    }
}

static void
check_abort(const struct sim_conn *conn)
{
    bool ours = conn->plan->end == SIM_WE_ABORT;

    if (ours ? conn->host_end != SCRIPT_ABORTED : conn->peer->end != PEER_ABORTED)
        sim_fail(conn->sim, "conn %u: aborted, and ended %d, %d", conn->number, conn->host_end,
                 conn->peer->end);
    /* An RST may be lost, or not be where we are because a move forgot what was lent, and who has
     * nothing to say does not learn of it. */
    if (!conn->sim->plan.exact || conn->sim->plan.loose || conn->plan->host.ack_returned)
        return;
    if (ours ? conn->peer->end != PEER_RESET : !conn->host_ended || conn->host_end != SCRIPT_RESET)
        sim_fail(conn->sim, "conn %u: the RST was not heard: %d, %d", conn->number, conn->host_end,
                 conn->peer->end);
}

/* RFC 9293, 3.8.3: not before as many timeouts as were agreed on
 * (OID_TCP_CONNECTION_OFFLOAD_PARAMETERS), wherever it was at each of them. The first time, a probe
 * and a retransmission before may be among what is counted; a window that is closed is probed
 * instead. */
static void
check_given_up(const struct sim_conn *conn)
{
    const struct strict_send *send = &conn->strict.send;
    unsigned least = conn->sim->plan.tuning.retransmissions;

    if (!conn->host_ended)
        return; /* everything had been acknowledged */
    if (conn->host_end != SCRIPT_TIMEOUT)
        sim_fail(conn->sim, "conn %u: its peer is gone, and it ended %d", conn->number,
                 conn->host_end);
    if (send->edge != send->una && conn->tries < least)
        sim_fail(conn->sim, "conn %u: given up when it had sent %u times, %u timeouts are right",
                 conn->number, conn->tries, least);
}

void
sim_conn_check(const struct sim_conn *conn)
{
    enum sim_end end = conn->plan->end;

    if (end == SIM_WE_ABORT || end == SIM_PEER_ABORTS) {
        check_abort(conn);
        return;
    }
    if (conn->sim->plan.calm.deserted) {
        check_given_up(conn);
        return;
    }
    if (conn->judge.options.sack && !conn->sim->plan.loose && !conn->sim->plan.team &&
        conn->judge.again_in >= AGAIN_ENOUGH && !conn->judge.dsacks_out)
        sim_fail(conn->sim, "conn %u: %llu segments came again, and not one was reported",
                 conn->number, (unsigned long long)conn->judge.again_in);
    if (!all_arrived(conn))
        sim_fail(conn->sim, "conn %u: not every byte has come", conn->number);
    if (end != SIM_STAYS_OPEN &&
        (conn->host_end != SCRIPT_CLOSED || conn->peer->end != PEER_CLOSED) &&
        !sim_lwip_excuses(conn))
        sim_fail(conn->sim, "conn %u: both closed, and it ended %d, %d", conn->number,
                 conn->host_end, conn->peer->end);
    if (end == SIM_STAYS_OPEN && (conn->host_ended || conn->peer->end != PEER_OPEN))
        sim_fail(conn->sim, "conn %u: it should be open: %d, %d", conn->number, conn->host_end,
                 conn->peer->end);
}

static bool
at_home(void *arg)
{
    struct sim_conn *conn = arg;

    if (script_state(conn->host) == HOST_CONN_OFFLOADED)
        script_upload(conn->host);
    return script_state(conn->host) == HOST_CONN_HOST;
}

void
sim_conn_leave(struct sim_conn *conn, struct sim_figures *figures)
{
    struct script_figures of_host;

    if (!conn->host)
        return;
    if (!stage_run(&conn->sim->stage, at_home, conn, 20 * SIM_SECOND))
        sim_fail(conn->sim, "conn %u: does not come home, state %d", conn->number,
                 script_state(conn->host));
    script_read_figures(conn->host, &of_host);
    figures->handovers += of_host.moves_down + of_host.moves_up;
    figures->refused += of_host.refused;
    figures->retransmissions += of_host.retransmits;
    script_conn_destroy(conn->host);
    conn->host = NULL;
}
