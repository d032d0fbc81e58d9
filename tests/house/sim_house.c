/*
 * What changes around connections while they live, and whether it shows on the wire: TTL, TOS, flow
 * label, Nagle and keepalive by their applications, the MTU of their path, the link address of a
 * neighbor, the neighbor of a path; paths and neighbors that lead nowhere. A change holds whoever
 * has the connection; an update may wait for others, so the value of before is right for a while
 * (SETTLE_US). A neighbor that has moved does not hear its old address from the first moment.
 */
#include "host/edge.h"
#include "host/script/private.h"
#include "sim.h"

#include "base/bytes.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SETTLE_US (300 * SIM_MS)
#define BURST_US 2000 /* so soon after the last data no timer has sent more */

static uint64_t
now(const struct sim *sim)
{
    return sys_loop_now_us(sim->stage.loop);
}

static void
set(struct sim_value *value, uint32_t to, uint64_t now_us)
{
    if (value->now == to)
        return;
    value->before = value->now;
    value->now = to;
    value->due_us = now_us + SETTLE_US;
}

static bool
settled(const struct sim_value *value, uint64_t now_us)
{
    return now_us >= value->due_us;
}

static bool
may_be(const struct sim_value *value, uint32_t seen, uint64_t now_us)
{
    return seen == value->now || (!settled(value, now_us) && seen == value->before);
}

static struct sim_value *
station_of(struct sim *sim, const uint8_t mac[6])
{
    unsigned number = mac[5] - 2u;

    return mac[0] == 2 && number < SIM_STATIONS ? &sim->stations[number] : NULL;
}

/* ---- on the wire ---- */

bool
sim_house_reaches(const struct sim_conn *conn, const uint8_t *frame)
{
    return !memcmp(frame, conn->peer->options.path.local_mac, 6);
}

/* The station, and where it is. */
static bool
leads_there(const struct sim_conn *conn, const uint8_t *frame, uint64_t now_us)
{
    const struct sim_value *station = station_of(conn->sim, frame);

    return station && may_be(&conn->house.station, frame[5] - 2u, now_us) &&
           may_be(station, frame[3], now_us);
}

static void
check_headers(const struct sim_conn *conn, const uint8_t *frame, const struct peer_segment *segment,
              uint64_t now_us)
{
    const struct sim_house *house = &conn->house;
    struct sim *sim = conn->sim;
    uint32_t first = bytes_load_be32(segment->ip);
    uint32_t tos = segment->ipv6 ? first >> 20 & 0xff : first >> 16 & 0xff;

    if (!may_be(&house->ttl, segment->ttl, now_us))
        sim_fail(sim, "conn %u: TTL %u, which should be %u", conn->number, segment->ttl,
                 house->ttl.now);
    if (!may_be(&house->tos, tos & ~3u, now_us))
        sim_fail(sim, "conn %u: TOS %u, which should be %u", conn->number, tos, house->tos.now);
    if (segment->ipv6 && !may_be(&house->flow, first & 0xfffff, now_us))
        sim_fail(sim, "conn %u: flow label %05x, which should be %05x", conn->number,
                 first & 0xfffff, house->flow.now);
    if (!leads_there(conn, frame, now_us))
        sim_fail(sim, "conn %u: a frame for where its neighbor was before", conn->number);
}

static uint32_t
mtu_allowed(const struct sim_value *mtu, uint64_t now_us)
{
    return settled(mtu, now_us) || mtu->now > mtu->before ? mtu->now : mtu->before;
}

/* RFC 1122, 4.2.3.4: what is new and small waits while anything is outstanding. Probes (RFC 8985)
 * do not, and come later. */
static void
check_nagle(const struct sim_conn *conn, const struct peer_segment *segment, uint32_t gso_bytes,
            uint64_t now_us)
{
    const struct judge *judge = &conn->judge;
    const struct sim_house *house = &conn->house;
    uint32_t last = gso_bytes && segment->len % gso_bytes ? segment->len % gso_bytes : segment->len;
    uint32_t end = segment->seq + segment->len, mss = judge->options.mss;
    uint32_t path = house->mtu.now < house->mtu.before ? house->mtu.now : house->mtu.before;
    uint32_t least = path - segment->headers < mss ? path - segment->headers : mss;

    if (!house->nagle.now || !settled(&house->nagle, now_us) || segment->flags & PEER_FIN ||
        segment->seq != judge->sent || now_us - house->data_us > BURST_US || judge->options.waits)
        return; /* what waits may be sent again before it has been seen */
    if ((gso_bytes && gso_bytes < last) || last + PEER_HEADERS_MAX >= least ||
        seq_after_eq(judge->acked, end - last) || seq_before(judge->edge, end + mss))
        return;
    sim_fail(conn->sim, "conn %u: %u bytes at %u, in spite of Nagle", conn->number, last,
             end - last);
}

void
sim_house_out(struct sim_conn *conn, const uint8_t *frame, const struct peer_segment *segment,
              uint32_t gso_bytes)
{
    uint64_t now_us = now(conn->sim);
    uint32_t each = gso_bytes ? gso_bytes : segment->len;
    uint32_t mtu = mtu_allowed(&conn->house.mtu, now_us);

    check_headers(conn, frame, segment, now_us);
    if (each + segment->headers > mtu)
        sim_fail(conn->sim, "conn %u: %u bytes and %u of headers, the path's MTU is %u",
                 conn->number, each, segment->headers, mtu);
    if (!segment->len)
        return;
    if (!conn->sim->plan.loose && !conn->sim->plan.team)
        check_nagle(conn, segment, gso_bytes, now_us);
    conn->house.data_us = now_us;
}

/* ---- changes ---- */

static void
change_settings(struct sim_conn *conn)
{
    struct sim_house *house = &conn->house;
    struct random *random = &house->random;
    struct script_settings to = *script_settings(conn->host);
    uint64_t now_us = now(conn->sim);

    to.ttl = (uint8_t)(100 + random_below(random, 100)); /* not that of forgeries */
    to.tos = (uint8_t)(random_below(random, 64) << 2);
    if (conn->plan->host.ipv6)
        to.flow_label = random_below(random, 1u << 20);
    to.nagle = random_below(random, 2);
    to.keepalive_ms = random_below(random, 3) ? 0 : 50 + random_below(random, 500);
    set(&house->ttl, to.ttl, now_us);
    set(&house->tos, to.tos, now_us);
    set(&house->flow, to.flow_label, now_us);
    set(&house->nagle, to.nagle, now_us);
    script_set(conn->host, &to);
}

static bool
same_path(const struct sim_conn *a, const struct sim_conn *b)
{
    return a->plan->host.ipv6 == b->plan->host.ipv6 &&
           !memcmp(a->plan->host.peer, b->plan->host.peer, 16);
}

static void
change_mtu(struct sim_conn *conn)
{
    struct sim *sim = conn->sim;
    uint32_t least = conn->plan->host.ipv6 ? 1280 : 576;
    uint32_t mtu = least + random_below(&conn->house.random, sim->plan.mtu - least + 1u);

    for (unsigned i = 0; i < sim->plan.conns; i++)
        if (same_path(conn, &sim->conns[i]))
            set(&sim->conns[i].house.mtu, mtu, now(sim));
    script_set_path_mtu(conn->host, (uint16_t)mtu);
}

static void
move_neighbor(struct sim_conn *conn)
{
    struct sim *sim = conn->sim;
    uint8_t from[6], to[6];
    struct sim_value *station;

    memcpy(from, conn->peer->options.path.local_mac, 6);
    memcpy(to, from, 6);
    station = station_of(sim, from);
    to[3]++;
    set(station, to[3], now(sim));
    for (unsigned i = 0; i < sim->plan.conns; i++)
        if (!memcmp(sim->conns[i].peer->options.path.local_mac, from, 6))
            memcpy(sim->conns[i].peer->options.path.local_mac, to, 6);
    script_move_neighbor(sim->stage.hosts[LEFT], from, to);
}

/* Another station is the way to these addresses. */
static void
reroute(struct sim_conn *conn)
{
    struct sim *sim = conn->sim;
    unsigned number = (conn->house.station.now + 1 + random_below(&conn->house.random, 2)) %
                      SIM_STATIONS;
    uint8_t mac[6] = {2, 0, 0, (uint8_t)sim->stations[number].now, 0, (uint8_t)(2 + number)};

    if (!settled(&sim->stations[number], now(sim)))
        return;
    for (unsigned i = 0; i < sim->plan.conns; i++) {
        struct sim_conn *other = &sim->conns[i];
        if (!same_path(conn, other))
            continue;
        set(&other->house.station, number, now(sim));
        memcpy(other->peer->options.path.local_mac, mac, 6);
    }
    script_reroute(conn->host, mac);
}

/* Everybody who stands on it comes home. */
static void
invalidate(struct sim_conn *conn, bool neighbor)
{
    struct sim *sim = conn->sim;
    const struct host_path *path = conn->host->down.path;

    if (script_invalidate(conn->host, neighbor))
        return;
    sim->invalidated++;
    for (unsigned i = 0; i < sim->plan.conns; i++) {
        struct sim_conn *other = &sim->conns[i];
        const struct host_conn *down = &other->host->down;
        bool on_it = down->state == HOST_CONN_OFFLOADED &&
                     (neighbor ? down->path->neighbor == path->neighbor : down->path == path);
        if (on_it && !other->house.home_by_us)
            other->house.home_by_us = now(sim) + SETTLE_US;
    }
}

static bool
all_settled(const struct sim_conn *conn)
{
    const struct sim_house *house = &conn->house;
    uint64_t now_us = now(conn->sim);

    return settled(&house->ttl, now_us) && settled(&house->tos, now_us) &&
           settled(&house->flow, now_us) && settled(&house->nagle, now_us);
}

static bool
stations_settled(const struct sim_conn *conn)
{
    uint64_t now_us = now(conn->sim);

    return settled(&conn->house.station, now_us) &&
           settled(station_of(conn->sim, conn->peer->options.path.local_mac), now_us);
}

static void
change(void *arg)
{
    struct sim_conn *conn = arg;
    struct sim *sim = conn->sim;
    struct sim_house *house = &conn->house;
    uint32_t kind = random_below(&house->random, 10);
    uint64_t now_us = now(sim);

    if (sim->dead || script_ended(conn->host))
        return;
    if (kind < 3 && all_settled(conn))
        change_settings(conn);
    else if ((kind == 3 || kind == 4) && settled(&house->mtu, now_us))
        change_mtu(conn);
    else if (kind == 5 && stations_settled(conn))
        move_neighbor(conn);
    else if (kind > 7 && stations_settled(conn))
        reroute(conn);
    else if (kind == 6 || kind == 7)
        invalidate(conn, kind == 7);
    if (--house->left)
        sys_timer_set(&house->timer,
                      now_us + 1 + random_below(&house->random, conn->plan->change_max_us));
}

void
sim_house_watch(struct sim_conn *conn)
{
    struct sim_house *house = &conn->house;

    if (!conn->host || script_state(conn->host) == HOST_CONN_HOST)
        house->home_by_us = 0;
    else if (house->home_by_us && now(conn->sim) > house->home_by_us)
        sim_fail(conn->sim, "conn %u: its path was invalidated, and it does not come home",
                 conn->number);
}

/* ---- life ---- */

void
sim_house_open(struct sim_conn *conn)
{
    struct sim_house *house = &conn->house;
    const struct script_settings *settings = script_settings(conn->host);

    random_init(&house->random, conn->plan->seed + 3);
    house->ttl.now = settings->ttl;
    house->nagle.now = settings->nagle;
    house->mtu.now = house->mtu.before = conn->sim->plan.mtu;
    house->station.now = conn->plan->host.peer_mac[5] - 2u;
    house->left = conn->plan->changes;
    if (sys_timer_init(&house->timer, conn->sim->stage.loop, change, conn))
        sim_fail(conn->sim, "no memory");
    if (house->left)
        sys_timer_set(&house->timer,
                      now(conn->sim) + 1 + random_below(&house->random, conn->plan->change_max_us));
}

void
sim_house_rest(struct sim_conn *conn)
{
    sys_timer_set(&conn->house.timer, SYS_NEVER);
}

void
sim_house_close(struct sim_conn *conn)
{
    sys_timer_fini(&conn->house.timer);
}
