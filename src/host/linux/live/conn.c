/*
 * The life of a live connection's object: created when it first moves down, kept with its figures
 * while the kernel has it again, gone with the socket. One setter for the phase; one timer for
 * whatever the phase waits for. While anything is under way an object is destroyed only from its
 * own timer, so every other function may keep using it after a call that ends the connection.
 */
#include "base/hash.h"
#include "base/log.h"
#include "base/machine.h"
#include "host/linux/live/live.h"
#include "host/linux/stack.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static const char *const phase_names[] = {
#define LIVE_PHASE_NAME(name, owner) #name,
    LIVE_PHASES(LIVE_PHASE_NAME)};
static const char *const phase_owners[] = {
#define LIVE_PHASE_OWNER(name, owner) owner,
    LIVE_PHASES(LIVE_PHASE_OWNER)};

#define LIVE_EDGE(from, to) [LIVE_##from][LIVE_##to].legal = true,
static struct machine_edge edges[LIVE_PHASE_COUNT][LIVE_PHASE_COUNT] = {LIVE_EDGES(LIVE_EDGE)};
MACHINE(machine, "live connection", phase_names, edges);

void
live_set_phase(struct live_conn *conn, enum live_phase phase, const char *why)
{
    if (!machine_walk(&machine, conn->phase, phase)) {
        log_error("live %llu: no edge %s → %s (%s)", (unsigned long long)conn->id,
                  phase_names[conn->phase], phase_names[phase], why);
        return;
    }
    log_debug("live %llu: %s → %s, %s", (unsigned long long)conn->id, phase_names[conn->phase],
              phase_names[phase], why);
    conn->phase = phase;
    conn->phase_since_us = hoststack_now_us(conn->stack);
}

const char *
live_owner(const struct live_conn *conn)
{
    return phase_owners[conn->phase];
}

/* ---- by key ---- */

static struct live_conn **
bucket_of(struct hoststack *stack, const struct steer_key *key)
{
    uint64_t hash = hash_bytes(key, sizeof *key, stack->table_seed);

    return &stack->table[hash % HOSTSTACK_BUCKETS];
}

static void
enter_table(struct live_conn *conn)
{
    struct live_conn **bucket = bucket_of(conn->stack, &conn->key);

    conn->table_next = *bucket;
    *bucket = conn;
    conn->stack->conn_count++;
}

static void
leave_table(struct live_conn *conn)
{
    struct live_conn **at = bucket_of(conn->stack, &conn->key);

    while (*at != conn)
        at = &(*at)->table_next;
    *at = conn->table_next;
    conn->stack->conn_count--;
}

struct live_conn *
live_find(struct hoststack *stack, const struct steer_key *key)
{
    struct live_conn *conn = *bucket_of(stack, key);

    while (conn && memcmp(&conn->key, key, sizeof *key) != 0)
        conn = conn->table_next;
    return conn;
}

/* ---- life ---- */

struct live_conn *
live_create(struct live_port *port, const struct steer_key *key)
{
    struct live_conn *conn = calloc(1, sizeof *conn);

    if (!conn)
        return NULL;
    host_conn_init(&conn->down, &live_conn_ops);
    conn->stack = port->stack;
    conn->port = port;
    conn->key = *key;
    conn->id = ++port->stack->next_id;
    conn->phase = LIVE_KERNEL;
    list_init(&conn->dirty);
    list_init(&conn->copies);
    list_init(&conn->held);
    list_init(&conn->sends);
    list_init(&conn->receives);
    conn->held_in.tail = &conn->held_in.head;
    if (sys_timer_init(&conn->timer, port->stack->loop, live_timer, conn)) {
        free(conn);
        return NULL;
    }
    if (sys_timer_init(&conn->local_timer, port->stack->loop, live_local_timer, conn)) {
        sys_timer_fini(&conn->timer);
        free(conn);
        return NULL;
    }
    list_add_tail(&port->stack->conns, &conn->link);
    enter_table(conn);
    return conn;
}

void
live_destroy(struct live_conn *conn)
{
    live_local_stop(conn);
    live_free_sends(conn);
    live_drop_copies(conn, conn->bridge.out_max);
    live_drop_held(conn);
    if (conn->held_in.head)
        host_return_frames(conn->port->binding, conn->held_in.head);
    conn->stack->totals.leaked += live_leaked(conn);
    list_del(&conn->dirty);
    list_del(&conn->link);
    leave_table(conn);
    sys_timer_fini(&conn->timer);
    sys_timer_fini(&conn->local_timer);
    free(conn);
}

void
live_dirty(struct live_conn *conn)
{
    if (!list_empty(&conn->dirty))
        return;
    list_add_tail(&conn->stack->dirty, &conn->dirty);
    sys_loop_defer(conn->stack->loop, &conn->stack->output);
}

static void
fill_endpoint(struct hoststack_endpoint *endpoint, uint16_t family, const uint8_t *address,
              uint16_t port)
{
    memset(endpoint, 0, sizeof *endpoint);
    endpoint->family = family;
    endpoint->port = ntohs(port);
    memcpy(endpoint->address, address, family == AF_INET ? 4 : 16);
}

uint64_t
live_leaked(const struct live_conn *conn)
{
    struct steer_counters counters;

    if (steer_flow_read(conn->stack->steer, &conn->key, &counters))
        return conn->leaked;
    return conn->leaked + counters.out_leaked + counters.in_leaked;
}

void
live_fill_info(struct live_conn *conn, struct hoststack_conn_info *info)
{
    struct steer_snapshot snap;

    memset(info, 0, sizeof *info);
    info->id = conn->id;
    fill_endpoint(&info->local, conn->key.family, conn->key.local, conn->key.local_port);
    fill_endpoint(&info->peer, conn->key.family, conn->key.peer, conn->key.peer_port);
    snprintf(info->owner, sizeof info->owner, "%s", live_owner(conn));
    snprintf(info->interface, sizeof info->interface, "%s", conn->port->ifname);
    snprintf(info->command, sizeof info->command, "%s", conn->command);
    info->pid = conn->pid;
    info->inode = conn->inode;
    info->moves_down = conn->moves_down;
    info->moves_up = conn->moves_up;
    info->engine_bytes_out = conn->bytes_out;
    info->engine_bytes_in = conn->bytes_in;
    info->offloaded_us = conn->offloaded_us;
    if (conn->phase == LIVE_OFFLOADED)
        info->offloaded_us += hoststack_now_us(conn->stack) - conn->offloaded_since_us;
    info->leaked = live_leaked(conn);
    snprintf(info->state, sizeof info->state, "%s", "CLOSED");
    if (steer_snapshot(conn->stack->steer, &conn->key, &snap) == 0) {
        snprintf(info->state, sizeof info->state, "%s", hoststack_state_name(snap.state));
        info->kernel_retransmits = snap.total_retrans - conn->kernel_retrans_base;
    }
}

void
live_report(struct live_conn *conn, bool down, enum hoststack_outcome outcome,
            enum hoststack_reason reason)
{
    uint64_t now = hoststack_now_us(conn->stack);
    struct hoststack_move move = {.down = down, .outcome = outcome, .reason = reason};

    live_fill_info(conn, &move.conn);
    move.ndis_status = conn->ndis_status;
    move.started_us = conn->request_since_us;
    move.total_us = now - conn->request_since_us;
    move.held_us = conn->held_us;
    move.send_queue_bytes = conn->moved_send_bytes;
    move.receive_queue_bytes = conn->moved_receive_bytes;
    hoststack_count_move(conn->stack, &move);
    struct hoststack_waiter *waiter = conn->waiter;
    conn->waiter = NULL;
    if (waiter)
        hoststack_waiter_done(waiter, &move);
}

/* The phase's next step. The only place from which a connection's object goes away. The timers of
 * hundreds may be due at once, and each takes some 100 µs. */
void
live_timer(void *arg)
{
    struct live_conn *conn = arg;

    hoststack_keep_beating(conn->stack);
    switch (conn->phase) {
    case LIVE_BRIDGE:
    case LIVE_HOLD:
        live_adopt_step(conn);
        break;
    case LIVE_DRAIN:
        live_drain_step(conn);
        break;
    case LIVE_RELEASE:
        live_release_step(conn);
        break;
    case LIVE_DEAD:
        live_dead_step(conn);
        break;
    default:
        break;
    }
}
