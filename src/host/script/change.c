/*
 * What applications and routes change while a connection lives. Every change holds from now on,
 * whoever has the connection: the engine and the frames of the regular path take it at once, the
 * next initiate carries it, and the target that has the connection is told by an update. That may
 * have to wait, because only one update of an object is in flight, and none while it moves: what is
 * due is tried again until the connection is at home. Source: chimney 4.3; V-061.
 */
#include "host/script/private.h"

#include <errno.h>

#define RETRY_US 500u

static void
apply_at_home(struct script_conn *conn)
{
    const struct script_settings *settings = &conn->settings;

    conn->config.nagle = settings->nagle;
    conn->config.keepalive = settings->keepalive_ms != 0;
    conn->config.keepalive_idle_us = settings->keepalive_ms * 1000ull;
    conn->config.keepalive_interval_us = settings->keepalive_ms * 1000ull;
    if (conn->down.state == HOST_CONN_HOST && conn->live)
        tcp_set_keepalive(&conn->tcp, &conn->config, true, script_now(conn));
}

void
script_settings_defaults(struct script_conn *conn)
{
    conn->settings = (struct script_settings){.ttl = 64, .nagle = conn->config.nagle};
    apply_at_home(conn);
}

void
script_set(struct script_conn *conn, const struct script_settings *settings)
{
    conn->settings = *settings;
    apply_at_home(conn);
    conn->settings_due = conn->down.state != HOST_CONN_HOST;
    script_defer(conn);
}

const struct script_settings *
script_settings(const struct script_conn *conn)
{
    return &conn->settings;
}

static bool
same_path(const struct script_options *a, const struct script_options *b)
{
    size_t size = a->ipv6 ? 16 : 4;

    return a->ipv6 == b->ipv6 && !memcmp(a->local, b->local, size) &&
           !memcmp(a->peer, b->peer, size);
}

void
script_set_path_mtu(struct script_conn *conn, uint16_t mtu)
{
    list_for_each(other, &conn->script->conns, struct script_conn, link) {
        if (!same_path(&other->options, &conn->options))
            continue;
        other->options.mtu = mtu;
        other->config.path_mtu = mtu;
        other->mtu_due = other->down.state != HOST_CONN_HOST;
        if (!other->mtu_due && other->live)
            tcp_set_mtu(&other->tcp, mtu);
        script_defer(other);
    }
}

void
script_move_neighbor(struct script *script, const uint8_t from[6], const uint8_t to[6])
{
    list_for_each(conn, &script->conns, struct script_conn, link) {
        if (memcmp(conn->options.peer_mac, from, 6) != 0)
            continue;
        if (!conn->neighbor_due)
            memcpy(conn->told_mac, from, 6);
        memcpy(conn->options.peer_mac, to, 6);
        conn->neighbor_due = conn->down.state != HOST_CONN_HOST;
        script_defer(conn);
    }
}

/* What was due of the old neighbor is not our business any more. */
void
script_reroute(struct script_conn *conn, const uint8_t mac[6])
{
    list_for_each(other, &conn->script->conns, struct script_conn, link) {
        if (!same_path(&other->options, &conn->options))
            continue;
        memcpy(other->options.peer_mac, mac, 6);
        other->neighbor_due = false;
        other->route_due = other->down.state != HOST_CONN_HOST;
        script_defer(other);
    }
}

int
script_invalidate(struct script_conn *conn, bool neighbor)
{
    return host_invalidate(&conn->down, neighbor);
}

static bool
tell_route(struct script_conn *conn)
{
    int error = host_relink(&conn->down, conn->options.peer_mac);

    return error == -ENOENT ? host_invalidate(&conn->down, false) == 0 : error == 0;
}

/* The engine may be one that stayed because an initiate was refused. */
static void
take_home(struct script_conn *conn)
{
    if (conn->settings_due)
        apply_at_home(conn);
    if (conn->mtu_due && conn->live)
        tcp_set_mtu(&conn->tcp, conn->options.mtu);
    conn->settings_due = conn->mtu_due = conn->neighbor_due = conn->route_due = false;
}

/* An update with everything that is cached; the window as the ack point has it. */
static bool
tell_settings(struct script_conn *conn)
{
    TCP_OFFLOAD_STATE_CACHED cached = script_cached(conn);

    cached.Flags |= TCP_FLAG_KEEP_ALIVE_RESTART;
    return host_update(&conn->down, &cached) == 0;
}

void
script_tell_changes(struct script_conn *conn)
{
    if (conn->down.state == HOST_CONN_HOST)
        take_home(conn);
    if (conn->down.state == HOST_CONN_OFFLOADED && conn->down.binding) {
        if (conn->mtu_due)
            conn->mtu_due = host_update_path_mtu(&conn->down, conn->options.mtu) != 0;
        if (conn->neighbor_due)
            conn->neighbor_due = host_update_neighbor(conn->down.binding, conn->told_mac,
                                                      conn->options.peer_mac) != 0;
        if (conn->route_due && !conn->neighbor_due)
            conn->route_due = !tell_route(conn);
        if (conn->settings_due && !conn->upload_wanted && !conn->blocked)
            conn->settings_due = !tell_settings(conn);
    }
    if (conn->settings_due || conn->mtu_due || conn->neighbor_due || conn->route_due)
        sys_timer_set(&conn->change_timer, script_now(conn) + RETRY_US);
}

void
script_on_change_timer(void *arg)
{
    script_tell_changes(arg);
}
