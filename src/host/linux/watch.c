/*
 * The way to a peer, while the target has the connection: which interface, next hop, link address
 * and path MTU the kernel would use, and following it when that changes.
 *
 *   link address of a next hop, or of ours    the neighbor object, and the frames we build
 *   MTU of link, route or path                the path object, and the local leg
 *   another next hop or interface             the connection goes back to the kernel
 *   link down, gone, without carrier          likewise
 *
 * Invariant: conn->way is what the kernel was last heard to say, conn->route what the target has;
 * settle() brings the second in line with the first, and what cannot be done now (an object in
 * motion) is left for a later look. News that may concern any connection (routes, lost news) only
 * raise the epoch: each connection is looked at in its turn, a few at every beat, so that a flood
 * of routes costs a bounded share of the time. Nothing here may wait for the kernel's RTNL lock,
 * which others hold for longer than a beat: links are asked for the quick way (the lock is worth
 * it only for one that seems to have no carrier), neighbours only when nothing else tells. Source:
 * chimney 4.3.
 *
 * The target has one neighbor object for each link address, the kernel one entry for each next hop.
 * If one of two next hops that share an address moves away, the object moves with it, and the
 * connections over the other go back to the kernel.
 */
#include "base/log.h"
#include "host/linux/live/live.h"
#include "host/linux/route.h"
#include "host/linux/stack.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* The local leg's timestamp stands still; after 24 days the kernel would take it for a wrapped one.
 */
#define TIMESTAMP_REFRESH_US (UINT64_C(24) * 3600 * 1000000)

/* ---- the way as it is now ---- */

/* The quick answer may still say "no carrier" when it is back; only that one is worth the wait. */
static int
link_now(int ifindex, struct route_link *link)
{
    int error = route_link_quick(ifindex, link);

    return error || !link->up || link->running ? error : route_link(ifindex, link);
}

static bool
is_down(const struct live_port *port)
{
    struct route_link link;

    return link_now(port->ifindex, &link) || !link.up || !link.running;
}

/*
 * A link that goes down takes its routes along. IPv4 leaves the address, which tells which link it
 * was; IPv6 takes that, too, and then any of ours that is down will do as the reason.
 */
static enum hoststack_reason
why_no_route(struct hoststack *stack, const struct steer_key *key, uint32_t bound_ifindex)
{
    struct route_query query = {
        .family = key->family, .destination = key->local, .table_entry = true};
    struct route_result route = {.ifindex = (int)bound_ifindex, .local = true};

    if (!bound_ifindex && route_lookup_as(&query, &route))
        route.local = false;
    list_for_each(port, &stack->ports, struct live_port, link) {
        if ((!route.local || port->ifindex == route.ifindex) && is_down(port))
            return HOSTSTACK_INTERFACE_DOWN;
    }
    return HOSTSTACK_NO_ROUTE;
}

/* Everything but the next hop's link address. */
static enum hoststack_reason
find_hop(struct hoststack *stack, const struct steer_key *key, uint32_t bound_ifindex,
         uint32_t mark, struct live_port **port, struct way *way)
{
    struct route_query query = {.family = key->family,
                                .destination = key->peer,
                                .source = key->local,
                                .ifindex = (int)bound_ifindex,
                                .mark = mark};
    struct route_result route;
    struct route_link link;

    if (route_lookup_as(&query, &route) || link_now(route.ifindex, &link))
        return why_no_route(stack, key, bound_ifindex);
    if (link.loopback || route.local)
        return HOSTSTACK_LOOPBACK;
    *port = hoststack_port_by_index(stack, route.ifindex);
    if (!*port)
        return HOSTSTACK_NO_STACK;
    if (!link.up || !link.running)
        return HOSTSTACK_INTERFACE_DOWN;
    *way = (struct way){.ifindex = route.ifindex, .next_hop_family = route.next_hop_family};
    way->mtu = route.mtu && route.mtu < link.mtu ? route.mtu : link.mtu;
    memcpy(way->next_hop, route.next_hop, sizeof way->next_hop);
    memcpy(way->own_mac, link.mac, sizeof way->own_mac);
    return HOSTSTACK_NONE;
}

/* False: the kernel does not know it either, and asks. */
static bool
find_mac(struct way *way)
{
    struct route_neighbour neighbour;

    if (route_neighbour(way->ifindex, way->next_hop_family, way->next_hop, &neighbour) ||
        !neighbour.resolved) {
        route_provoke(way->ifindex, way->next_hop_family, way->next_hop);
        return false;
    }
    memcpy(way->mac, neighbour.mac, sizeof way->mac);
    return true;
}

enum hoststack_reason
watch_find_way(struct hoststack *stack, const struct steer_key *key,
               const struct steer_snapshot *snap, struct live_port **port, struct way *way)
{
    enum hoststack_reason reason = find_hop(stack, key, snap->bound_ifindex, snap->mark, port, way);

    if (reason == HOSTSTACK_NONE && !find_mac(way))
        reason = HOSTSTACK_NO_NEIGHBOUR;
    return reason;
}

static uint32_t
mtu_of(const struct live_conn *conn)
{
    return way_mtu(&conn->way, &conn->probe, hoststack_wire_mtu(conn->port));
}

static void
write_frame_header(struct live_conn *conn)
{
    bool ipv6 = conn->key.family == AF_INET6;

    memcpy(conn->frame_header, conn->way.mac, 6);
    memcpy(conn->frame_header + 6, conn->way.own_mac, 6);
    conn->frame_header[12] = ipv6 ? 0x86 : 0x08;
    conn->frame_header[13] = ipv6 ? 0xdd : 0x00;
}

void
watch_start(struct live_conn *conn, const struct way *way, const struct steer_snapshot *snap)
{
    conn->way = *way;
    conn->way_epoch = conn->stack->way_epoch;
    conn->probe = (struct way_probe){.mss = snap->mss};
    conn->bound_ifindex = snap->bound_ifindex;
    conn->mark = snap->mark;
    memset(&conn->route, 0, sizeof conn->route);
    conn->route.ipv6 = conn->key.family == AF_INET6;
    memcpy(conn->route.source, conn->key.local, 16);
    memcpy(conn->route.destination, conn->key.peer, 16);
    memcpy(conn->route.destination_mac, way->mac, 6);
    if (!hoststack_wires_have(conn->port, way->own_mac))
        memcpy(conn->route.source_mac, way->own_mac, 6);
    conn->route.path_mtu = mtu_of(conn);
    write_frame_header(conn);
}

/* ---- following it ---- */

/* Not on its way up, nor there already. */
static bool
follows(const struct live_conn *conn)
{
    return conn->phase == LIVE_BRIDGE || conn->phase == LIVE_HOLD || conn->phase == LIVE_INITIATE ||
           conn->phase == LIVE_OFFLOADED;
}

static void
give_back(struct live_conn *conn, enum hoststack_reason reason)
{
    if (conn->phase == LIVE_BRIDGE || conn->phase == LIVE_HOLD)
        live_back_out(conn, reason);
    else
        live_upload(conn, reason);
}

/* Every connection, each in its turn. */
static void
look_at_all(struct hoststack *stack)
{
    stack->way_epoch++;
    stack->looks_due = stack->conn_count;
}

static void
look_later(struct live_conn *conn)
{
    conn->way_epoch = conn->stack->way_epoch - 1;
    conn->stack->looks_due = conn->stack->conn_count;
}

/* The neighbor object has moved from one address to another: so have all connections over it. */
static void
neighbor_moved(struct live_port *port, const uint8_t from[6], const uint8_t to[6])
{
    list_for_each(conn, &port->stack->conns, struct live_conn, link) {
        if (conn->port != port || !follows(conn) || conn->down.state == HOST_CONN_HOST ||
            memcmp(conn->route.destination_mac, from, 6) != 0)
            continue;
        memcpy(conn->route.destination_mac, to, 6);
        if (memcmp(conn->way.mac, to, 6) != 0)
            give_back(conn, HOSTSTACK_ROUTE_CHANGED);
    }
}

/* Our own link address has changed. The adapter's the target follows; one that it was given,
 * because not every wire has it, is constant, so the connection begins anew. */
static void
own_address_moved(struct live_conn *conn, const uint8_t mac[6])
{
    static const uint8_t adapters[6];

    memcpy(conn->way.own_mac, mac, sizeof conn->way.own_mac);
    write_frame_header(conn);
    if (follows(conn) && memcmp(conn->route.source_mac, adapters, 6) != 0)
        give_back(conn, HOSTSTACK_ROUTE_CHANGED);
}

/* False: not now. */
static bool
settle_neighbor(struct live_conn *conn)
{
    uint8_t from[6], to[6];

    memcpy(from, conn->route.destination_mac, 6);
    memcpy(to, conn->way.mac, 6);
    if (memcmp(from, to, 6) == 0)
        return true;
    if (conn->down.state == HOST_CONN_HOST) {
        memcpy(conn->route.destination_mac, to, 6);
        return true;
    }
    if (host_update_neighbor(conn->port->binding, from, to))
        return false;
    log_info("%s: the next hop's link address is %02x:%02x:%02x:%02x:%02x:%02x now",
             conn->port->ifname, to[0], to[1], to[2], to[3], to[4], to[5]);
    neighbor_moved(conn->port, from, to);
    return true;
}

/* False: not now. */
static bool
settle_mtu(struct live_conn *conn)
{
    uint32_t mtu = mtu_of(conn);

    if (conn->route.path_mtu == mtu)
        return true;
    if (conn->down.state != HOST_CONN_HOST && host_update_path_mtu(&conn->down, mtu))
        return false;
    log_info("live %llu: path MTU %u → %u", (unsigned long long)conn->id, conn->route.path_mtu,
             mtu);
    conn->route.path_mtu = mtu;
    if (conn->local_live) {
        tcp_set_mtu(&conn->local, live_local_mtu(conn));
        live_dirty(conn);
    }
    return true;
}

static void
settle(struct live_conn *conn)
{
    bool neighbor = settle_neighbor(conn), mtu = settle_mtu(conn);
    /* the wire hears of a larger MTU by itself, perhaps after us */
    if (!neighbor || !mtu || hoststack_wire_mtu(conn->port) < conn->way.mtu)
        look_later(conn);
}

/* No route, or another one, because the link under it has gone: the event is on its way. */
static enum hoststack_reason
why_changed(const struct live_port *port, enum hoststack_reason reason)
{
    if (is_down(port))
        return HOSTSTACK_INTERFACE_DOWN;
    return reason == HOSTSTACK_NO_ROUTE ? reason : HOSTSTACK_ROUTE_CHANGED;
}

static void
look_again(struct live_conn *conn)
{
    struct hoststack *stack = conn->stack;
    struct live_port *port = NULL;
    struct way way;
    enum hoststack_reason reason = find_hop(stack, &conn->key, conn->bound_ifindex, conn->mark,
                                            &port, &way);

    if (reason == HOSTSTACK_NONE && !way_same_hop(&way, &conn->way))
        reason = HOSTSTACK_ROUTE_CHANGED;
    if (reason != HOSTSTACK_NONE) {
        give_back(conn, why_changed(conn->port, reason));
        return;
    }
    /* its changes are news of their own, which may have been lost */
    if ((int32_t)(conn->way_epoch - stack->lost_epoch) >= 0 || !find_mac(&way))
        memcpy(way.mac, conn->way.mac, sizeof way.mac);
    conn->way_epoch = stack->way_epoch;
    conn->way = way;
    write_frame_header(conn);
    settle(conn);
}

static uint32_t
header_bytes(const struct live_conn *conn, const struct steer_snapshot *snap)
{
    return (conn->key.family == AF_INET6 ? 40 : 20) + 20 + (snap->has_timestamps ? 12 : 0);
}

/* The answer comes to live_on_queried. */
static void
refresh_timestamp(struct live_conn *conn)
{
    uint64_t now_us = hoststack_now_us(conn->stack);

    if (conn->phase != LIVE_OFFLOADED || !conn->snap.has_timestamps || conn->down.queries ||
        now_us - conn->timestamp_since_us < TIMESTAMP_REFRESH_US)
        return;
    if (host_query(&conn->down) == 0)
        conn->timestamp_since_us = now_us;
}

void
watch_look(struct live_conn *conn, const struct steer_snapshot *snap)
{
    if (!follows(conn))
        return;
    refresh_timestamp(conn);
    if (snap) {
        live_update_options(conn, snap);
        conn->bound_ifindex = snap->bound_ifindex;
        conn->mark = snap->mark;
        if (way_note_mss(&conn->probe, snap->mss, header_bytes(conn, snap)))
            look_later(conn);
    }
    if (conn->way_epoch != conn->stack->way_epoch)
        look_again(conn);
}

/* ---- news ---- */

static void
on_neighbour(struct hoststack *stack, const struct route_neighbour *neighbour)
{
    struct live_port *port = hoststack_port_by_index(stack, neighbour->ifindex);

    if (!port || !neighbour->resolved)
        return;
    list_for_each(conn, &stack->conns, struct live_conn, link) {
        if (way_leads_over(&conn->way, neighbour->ifindex, neighbour->family, neighbour->address)) {
            memcpy(conn->way.mac, neighbour->mac, 6);
            write_frame_header(conn);
        }
    }
    list_for_each(conn, &stack->conns, struct live_conn, link) {
        if (conn->port == port && follows(conn) &&
            memcmp(conn->route.destination_mac, conn->way.mac, 6) != 0)
            settle(conn);
    }
}

/* An interface with a larger MTU than its TAP would send frames that do not fit through it. */
static void
raise_tap_mtu(const struct live_port *port, uint32_t mtu)
{
    struct ifreq request = {.ifr_mtu = (int)mtu};
    int fd;

    if (mtu <= wire_mtu(port->tap) ||
        !if_indextoname((unsigned)wire_ifindex(port->tap), request.ifr_name))
        return;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    request.ifr_mtu = (int)mtu;
    if (fd < 0 || ioctl(fd, SIOCSIFMTU, &request))
        log_warn("%s: the MTU of %s stays %u: %s", port->ifname, request.ifr_name,
                 wire_mtu(port->tap), strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void
link_works(struct live_port *port, const struct route_link *link)
{
    if (memcmp(port->mac, link->mac, sizeof port->mac) != 0) {
        memcpy(port->mac, link->mac, sizeof port->mac);
        list_for_each(conn, &port->stack->conns, struct live_conn, link) {
            if (conn->port == port)
                own_address_moved(conn, link->mac);
        }
    }
    if (port->mtu != link->mtu) {
        port->mtu = link->mtu;
        raise_tap_mtu(port, link->mtu);
        look_at_all(port->stack);
    }
}

static void
on_link(struct live_port *port, const struct route_link *link, bool gone)
{
    if (!gone && link->up && link->running) {
        link_works(port, link);
        return;
    }
    if (gone)
        log_warn(
            "%s: the interface is gone; one that takes its name is another, and is served after "
            "a restart",
            port->ifname);
    list_for_each_safe(conn, &port->stack->conns, struct live_conn, link) {
        if (conn->port == port && follows(conn))
            give_back(conn, HOSTSTACK_INTERFACE_DOWN);
    }
}

static void
on_event(void *arg, const struct route_event *event)
{
    struct hoststack *stack = arg;
    struct live_port *port;

    switch (event->kind) {
    case ROUTE_EVENT_NEIGHBOUR:
        if (!event->gone)
            on_neighbour(stack, &event->neighbour);
        break;
    case ROUTE_EVENT_LINK:
        port = hoststack_port_by_index(stack, event->link.ifindex);
        if (port)
            on_link(port, &event->link, event->gone);
        break;
    case ROUTE_EVENT_ROUTE:
        look_at_all(stack);
        break;
    }
}

static void
news_lost(struct hoststack *stack)
{
    struct route_link link;

    log_info("news of links and routes were lost; everything is looked at again");
    list_for_each(port, &stack->ports, struct live_port, link) {
        int error = link_now(port->ifindex, &link);
        if (!error || error == -ENODEV)
            on_link(port, &link, error == -ENODEV);
    }
    look_at_all(stack);
    stack->lost_epoch = stack->way_epoch;
}

static void
on_news(void *arg, int events)
{
    struct hoststack *stack = arg;

    hoststack_alive(stack);
    int error = route_read_events(stack->news_fd, on_event, stack);
    if (error == -ENOBUFS) {
        news_lost(stack);
    } else if (error) {
        log_error("no more news of links and routes: %s", strerror(-error));
        sys_watch_stop(&stack->news_watch);
    }
}

int
watch_open(struct hoststack *stack)
{
    stack->news_fd = route_open_events();
    if (stack->news_fd < 0)
        return stack->news_fd;
    return sys_watch_start(&stack->news_watch, stack->loop, stack->news_fd, SYS_READABLE, on_news,
                           stack);
}

void
watch_close(struct hoststack *stack)
{
    if (stack->news_watch.loop)
        sys_watch_stop(&stack->news_watch);
    if (stack->news_fd >= 0)
        route_close_events(stack->news_fd);
}
