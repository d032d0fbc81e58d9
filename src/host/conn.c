/*
 * A connection as the edge sees it: whose it is at the moment, and the one door through which that
 * changes. Also the callbacks of a host stack that does not want to hear of something.
 */
#include "base/log.h"
#include "base/machine.h"
#include "host/edge.h"

#include <assert.h>
#include <string.h>

#define HOST_CONN_NAME(name) #name,
static const char *const state_names[] = {HOST_CONN_STATES(HOST_CONN_NAME)};

#define HOST_CONN_EDGE(from, to) [HOST_CONN_##from][HOST_CONN_##to].legal = true,
static struct machine_edge edges[HOST_CONN_STATE_COUNT][HOST_CONN_STATE_COUNT] = {
    HOST_CONN_EDGES(HOST_CONN_EDGE)};
MACHINE(machine, "host connection", state_names, edges);

void
host_conn_set_state(struct host_conn *conn, enum host_conn_state state, const char *why)
{
    bool legal = machine_walk(&machine, conn->state, state);

    log_debug("conn %p: %s → %s, %s", (void *)conn, state_names[conn->state], state_names[state],
              why);
    assert(legal);
    (void)legal; /* a release does not look */
    conn->state = state;
}

void
host_conn_init(struct host_conn *conn, const struct host_conn_ops *ops)
{
    memset(conn, 0, sizeof *conn);
    list_init(&conn->link);
    conn->ops = ops;
}

void
host_upload_users(struct host_binding *binding, const struct host_path *path,
                  const struct host_neighbor *neighbor)
{
    list_for_each_safe(conn, &binding->conns, struct host_conn, link)
        if (conn->state == HOST_CONN_OFFLOADED &&
            (conn->path == path || (neighbor && conn->path->neighbor == neighbor)))
            conn->ops->on_event(conn, TcpIndicateRetrieve, InvalidState);
}

void
host_ignore_status(struct host_conn *conn, NDIS_STATUS status)
{
}

void
host_ignore_queried(struct host_conn *conn, NDIS_STATUS status,
                    const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
}

void
host_ignore_nbl(struct host_conn *conn, NET_BUFFER_LIST *nbl)
{
}

void
host_ignore_event(struct host_conn *conn, ULONG type, ULONG info)
{
}

NDIS_STATUS
host_refuse_indication(struct host_conn *conn, NET_BUFFER_LIST *nbl, ULONG *consumed)
{
    *consumed = 0;
    return NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
}
