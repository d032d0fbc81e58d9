/*
 * What the target takes on, and what becomes of the rest. In some runs it has a limit (the keywords
 * of src/target/soft/limits.c), a size or a number of entries: what is more is refused, for the
 * documented reason (chimney 3), stays where it is and goes on; what is not is taken. Without a
 * limit, and without a floor that refuses, nothing is refused.
 */
#include "host/script/private.h"
#include "sim.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

/* Which of the two is exceeded can be known to the byte, or only that it cannot have been. */
enum kind {
    CONNECTIONS,
    PATHS,
    NEIGHBORS,
    ADDRESSES,
    BUDGET,
    PATH_MTU,
    SEGMENT,
    WINDOW,
    SENDS,
    BUFFERED,
    VLAN,
    VLANS,
    KINDS
};

static const struct {
    const char *keyword;
    NDIS_STATUS status;
} kinds[KINDS] = {
    [CONNECTIONS] = {"ConnectionCapacity", NDIS_STATUS_OFFLOAD_TCP_ENTRIES},
    [PATHS] = {"PathCapacity", NDIS_STATUS_OFFLOAD_PATH_ENTRIES},
    [NEIGHBORS] = {"NeighborCapacity", NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES},
    [ADDRESSES] = {"IpAddressCapacity", NDIS_STATUS_OFFLOAD_IP_ADDRESS_ENTRIES},
    [BUDGET] = {"ReceiveBudget", NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER},
    [PATH_MTU] = {"MaxPathMtu", NDIS_STATUS_OFFLOAD_PATH_MTU},
    [SEGMENT] = {"MinSegment", NDIS_STATUS_OFFLOAD_CONNECTION_REJECTED},
    [WINDOW] = {"MaxReceiveWindow", NDIS_STATUS_OFFLOAD_TCP_RCV_WINDOW},
    [SENDS] = {"MaxSendData", NDIS_STATUS_OFFLOAD_TCP_XMIT_BUFFER},
    [BUFFERED] = {"MaxBufferedData", NDIS_STATUS_OFFLOAD_TCP_RCV_BUFFER},
    /* as the floor that makes VLANs tells it: above there are none */
    [VLAN] = {"VlanId", NDIS_STATUS_FAILURE},
    [VLANS] = {"VlanCapacity", NDIS_STATUS_OFFLOAD_NEIGHBOR_ENTRIES},
};

#define LEAST_SHARE 4096u /* of the budget */

/* ---- what a seed means ---- */

/* One less, as much, one more. */
static uint32_t
about(struct random *random, uint32_t value)
{
    return value - 1 + random_below(random, 3);
}

static uint32_t
draw_value(const struct sim_plan *plan, enum kind kind, struct random *random)
{
    const struct sim_conn_plan *conn = &plan->conn[random_below(random, plan->conns)];

    switch (kind) {
    case BUDGET:
        return LEAST_SHARE * (1 + random_below(random, 4)) - random_below(random, 2);
    case PATH_MTU:
        return about(random, plan->mtu);
    case SEGMENT:
        return about(random, conn->peer.mss);
    case WINDOW:
        return about(random, conn->host.receive_buffer);
    case SENDS:
    case BUFFERED:
        return random_below(random, 2) * random_below(random, 20000);
    case VLAN:
        return 1 + (plan->vlan + 4093u + random_below(random, 2)) % 4094; /* that, or the next */
    case VLANS:
        return random_below(random, 2);
    case ADDRESSES: /* one of each version */
        return 1;
    default:
        return 1 + random_below(random, 2);
    }
}

void
sim_limits_draw(struct sim_plan *plan)
{
    struct sim_limit *limit = &plan->limit;
    struct random random;

    random_init(&random, hash_mix(plan->seed ^ HASH_ODD_1, HASH_ODD_1));
    if (random_below(&random, 4) || plan->team || plan->calm.on)
        return;
    limit->kind = random_below(&random, KINDS);
    limit->value = draw_value(plan, (enum kind)limit->kind, &random);
    limit->keyword = kinds[limit->kind].keyword;
}

void
sim_limits_options(const struct sim_plan *plan, struct house_option *options, char text[16])
{
    unsigned count = 0;

    if (plan->deaf_target)
        options[count++] = (struct house_option){"StateExtension", "0"};
    if (plan->limit.keyword) {
        snprintf(text, 16, "%u", plan->limit.value);
        options[count++] = (struct house_option){plan->limit.keyword, text};
    }
    options[count] = (struct house_option){NULL, NULL};
}

/* ---- what must hold ---- */

/* Other connections that are with the target, or may be. */
static unsigned
others(const struct sim_conn *conn, bool surely, bool other_version)
{
    const struct sim *sim = conn->sim;
    unsigned count = 0;

    for (unsigned i = 0; i < sim->plan.conns; i++) {
        const struct sim_conn *other = &sim->conns[i];
        enum host_conn_state state = other->host ? script_state(other->host) : HOST_CONN_HOST;
        if (other == conn || (other_version && other->plan->host.ipv6 == conn->plan->host.ipv6))
            continue;
        count += surely ? state == HOST_CONN_OFFLOADED
                        : state != HOST_CONN_HOST && state != HOST_CONN_QUEUED;
    }
    return count;
}

/* What it asks for, of a kind that is known exactly. */
static uint32_t
size_of(const struct sim_conn *conn, enum kind kind)
{
    switch (kind) {
    case PATH_MTU:
        return conn->sim->plan.mtu;
    case WINDOW:
        return conn->plan->host.receive_buffer;
    case SENDS:
        return conn->handed_sends;
    case BUFFERED:
        return conn->handed_data;
    default:
        return conn->sim->plan.vlan != 0; /* VLANS */
    }
}

/* Of paths: what they take, and where they lead. */
static bool
changes(const struct sim *sim)
{
    bool any = false;

    for (unsigned i = 0; i < sim->plan.conns; i++)
        any |= sim->plan.conn[i].changes;
    return any;
}

/* Whether the limit is in its way: surely, or (may) perhaps. */
static bool
exceeds(const struct sim_conn *conn, bool may)
{
    const struct sim_limit *limit = &conn->sim->plan.limit;
    enum kind kind = (enum kind)limit->kind;

    switch (kind) {
    case CONNECTIONS:
        return others(conn, !may, false) >= limit->value;
    case PATHS: /* some lead over the same, and changes make others */
    case NEIGHBORS:
        return may && (changes(conn->sim) || others(conn, false, false) >= limit->value);
    case ADDRESSES:
        return others(conn, !may, true) >= limit->value ||
               (may && changes(conn->sim)); /* a path that is updated leaves later than its users */
    case BUDGET:
        return limit->value / (others(conn, !may, false) + 1) < LEAST_SHARE;
    case SEGMENT:
        return conn->plan->peer.mss < limit->value;
    case VLAN:
        return conn->sim->plan.vlan && conn->sim->plan.vlan != limit->value;
    case PATH_MTU:
        return size_of(conn, kind) > limit->value && (may || !changes(conn->sim));
    default:
        return size_of(conn, kind) > limit->value;
    }
}

void
sim_limits_begin(struct sim_conn *conn)
{
    conn->handed_sends = conn->host->queued_bytes;
    conn->handed_data = conn->host->received_seq - conn->host->delivered_seq;
}

static void
check_refusal(const struct sim_conn *conn, const struct script_move *move)
{
    NDIS_STATUS status = kinds[conn->sim->plan.limit.kind].status;

    if (!exceeds(conn, true))
        sim_fail(conn->sim, "conn %u: refused with %08x, and within %s %u", conn->number,
                 (unsigned)move->status, conn->sim->plan.limit.keyword,
                 conn->sim->plan.limit.value);
    if (move->nodes.tcp != status && move->nodes.path != status && move->nodes.neighbor != status)
        sim_fail(conn->sim, "conn %u: refused with %08x %08x %08x, not with %08x", conn->number,
                 (unsigned)move->nodes.neighbor, (unsigned)move->nodes.path,
                 (unsigned)move->nodes.tcp, (unsigned)status);
}

void
sim_limits_moved(const struct sim_conn *conn, const struct script_move *move)
{
    const struct sim_plan *plan = &conn->sim->plan;
    bool taken = move->status == NDIS_STATUS_SUCCESS;

    /* by another floor, or by a team whose members differ */
    if (!move->down || conn->sim->dead || plan->team ||
        (!taken && strstr(plan->floors, "initiate")))
        return;
    if (taken && plan->limit.keyword && exceeds(conn, false))
        sim_fail(conn->sim, "conn %u: taken, in spite of %s %u", conn->number, plan->limit.keyword,
                 plan->limit.value);
    if (!taken && !plan->limit.keyword)
        sim_fail(conn->sim, "conn %u: refused without a reason: %08x", conn->number,
                 (unsigned)move->status);
    if (!taken)
        check_refusal(conn, move);
}
