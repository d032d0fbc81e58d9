/*
 * The cached variables while the target has the connection: the right edge, as the kernel moves it,
 * and what the owner of the socket may set at any time: keepalive, TTL, TOS. One update is in
 * flight at most; an edge that moves meanwhile is told by its completion, an option by the next
 * look at the socket. conn->cached is what the target has; its Flags are those that last. Source:
 * chimney 4.3.
 */
#include "host/linux/live/live.h"

#define DSCP_BITS 0xfcu
#define KEEPALIVE_PROBES 9u
#define KEEPALIVE_TIME_S 7200u
#define KEEPALIVE_INTERVAL_S 75u

/* ---- the right edge ---- */

/* Moved by a quarter window: tell the wire leg. */
void
live_update_edge(struct live_conn *conn)
{
    uint32_t edge = conn->local.snd_una + conn->local.snd_wnd;
    uint32_t moved = edge - conn->shown_edge;

    if (conn->phase != LIVE_OFFLOADED || conn->frozen || conn->discard ||
        !seq_after(edge, conn->shown_edge))
        return;
    if (moved < conn->local.snd_wnd / 4)
        return;
    if (conn->down.updates) {
        conn->update_due = true;
        return;
    }
    conn->cached.InitialRcvWnd = edge - conn->returned_seq;
    TCP_OFFLOAD_STATE_CACHED told = conn->cached;
    told.Flags |= TCP_FLAG_UPDATE_RCV_WND;
    if (host_update(&conn->down, &told) == 0) {
        conn->shown_edge = edge;
        conn->update_due = false;
    } else {
        live_upload(conn, HOSTSTACK_NO_MEMORY);
    }
}

/* ---- options of the socket ---- */

void
live_fill_options(const struct steer_snapshot *snap, TCP_OFFLOAD_STATE_CACHED *cached)
{
    uint32_t time_s = snap->keepalive_time_s, interval_s = snap->keepalive_interval_s;

    cached->TtlOrHopLimit = snap->ttl_set ? snap->ttl : 64;
    cached->TosOrTrafficClass = snap->tos & DSCP_BITS; /* the rest is of the last segment */
    cached->Flags = 0;
    cached->KaProbeCount = 0;
    cached->KaTimeout = cached->KaInterval = 0;
    if (!snap->keepalive)
        return;
    cached->Flags = TCP_FLAG_KEEP_ALIVE_ENABLED;
    cached->KaProbeCount = snap->keepalive_probes ? snap->keepalive_probes : KEEPALIVE_PROBES;
    cached->KaTimeout = (time_s ? time_s : KEEPALIVE_TIME_S) * 1000;
    cached->KaInterval = (interval_s ? interval_s : KEEPALIVE_INTERVAL_S) * 1000;
}

static bool
same_keepalive(const TCP_OFFLOAD_STATE_CACHED *a, const TCP_OFFLOAD_STATE_CACHED *b)
{
    return a->Flags == b->Flags && a->KaProbeCount == b->KaProbeCount &&
           a->KaTimeout == b->KaTimeout && a->KaInterval == b->KaInterval;
}

static bool
same_fields(const TCP_OFFLOAD_STATE_CACHED *a, const TCP_OFFLOAD_STATE_CACHED *b)
{
    return a->TtlOrHopLimit == b->TtlOrHopLimit && a->TosOrTrafficClass == b->TosOrTrafficClass;
}

void
live_update_options(struct live_conn *conn, const struct steer_snapshot *snap)
{
    TCP_OFFLOAD_STATE_CACHED now = conn->cached, told;

    if (conn->phase != LIVE_OFFLOADED || conn->discard)
        return;
    live_fill_options(snap, &now);
    bool keepalive = !same_keepalive(&now, &conn->cached);
    if (!keepalive && same_fields(&now, &conn->cached))
        return;
    told = now;
    if (keepalive) /* a new idle time counts from now, not behind the old one */
        told.Flags |= TCP_FLAG_KEEP_ALIVE_RESTART;
    if (host_update(&conn->down, &told) == 0)
        conn->cached = now;
}

/* ---- the answer ---- */

void
live_on_updated(struct host_conn *down, NDIS_STATUS status)
{
    struct live_conn *conn = container_of(down, struct live_conn, down);

    if (status != NDIS_STATUS_SUCCESS)
        live_upload(conn, HOSTSTACK_TARGET_ASKED);
    else if (conn->update_due && conn->local_live)
        live_update_edge(conn);
    if (conn->phase == LIVE_DRAIN)
        live_drain_step(conn);
    else if (conn->phase == LIVE_DEAD)
        live_terminate(conn);
}
