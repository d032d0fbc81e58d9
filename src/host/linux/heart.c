/*
 * The heart beat is the right to speak. The steering programs let go 100 ms after the last one, and
 * from then on kernel and peer talk past us. So whoever finds that a beat was missed first silences
 * the wires and gives every flow up. Behind a port there is no steering and nobody to talk past us:
 * late is late there, nothing more.
 *
 * With every beat a few connections are looked at: whether the kernel socket is still there, and
 * whether the way to the peer has changed (watch.c). Bounded, so that a beat is never late because
 * there are many; in turn, so that each is reached.
 */
#include "base/log.h"
#include "host/linux/live/live.h"
#include "host/linux/stack.h"

#include <errno.h>

#define LOOKS_PER_BEAT 16
#define LOOKS_WHEN_DUE 64 /* some 50 µs each, when the way is looked up */

static void
gag(struct hoststack *stack, bool gagged)
{
    stack->gagged = gagged;
    list_for_each(port, &stack->ports, struct live_port, link) {
        if (port->own)
            continue;
        for (unsigned i = 0; i < port->wire_count; i++)
            wire_gag(port->wires[i], gagged);
        wire_gag(port->tap, gagged);
    }
}

bool
hoststack_busy(const struct hoststack *stack)
{
    list_for_each(conn, &stack->conns, struct live_conn, link) {
        if (conn->phase != LIVE_KERNEL)
            return true;
    }
    return false;
}

/* The same of those whose frames the kernel gets when we are late. */
static bool
steers(const struct hoststack *stack)
{
    list_for_each(conn, &stack->conns, struct live_conn, link) {
        if (conn->phase != LIVE_KERNEL && !conn->port->own)
            return true;
    }
    return false;
}

static void
give_all_up(struct hoststack *stack, uint64_t late_us)
{
    if (!steers(stack))
        return;
    log_warn("missed beat: %llu ms late; every flow goes back to the kernel",
             (unsigned long long)late_us / 1000);
    stack->totals.missed_beats++;
    gag(stack, true);
    list_for_each_safe(conn, &stack->conns, struct live_conn, link) {
        if (!conn->port->own)
            live_abandon(conn, HOSTSTACK_MISSED_BEAT);
    }
}

static bool
alive_at(struct hoststack *stack, uint64_t now_us)
{
    uint64_t since_us = now_us - stack->last_beat_us;

    if (since_us > LIVE_MISSED_US) {
        give_all_up(stack, since_us);
        stack->last_beat_us = now_us;
    }
    return !stack->gagged;
}

bool
hoststack_alive(struct hoststack *stack)
{
    return alive_at(stack, hoststack_now_us(stack));
}

void
hoststack_keep_beating(struct hoststack *stack)
{
    uint64_t now_us = hoststack_now_us(stack);

    if (!alive_at(stack, now_us))
        return;
    stack->last_beat_us = now_us;
    steer_beat(stack->steer, now_us * 1000);
}

void
hoststack_socket_gone(struct live_conn *conn)
{
    if (conn->phase == LIVE_KERNEL)
        live_destroy(conn);
    else if (!conn->fin_from_kernel)
        live_abort_wire(conn, HOSTSTACK_OWNER_VANISHED);
}

/* A kernel socket that its process still holds dies without news (TCP_USER_TIMEOUT). One that has
 * sent its FIN may rightly be gone (TIME_WAIT). */
static bool
must_have_socket(const struct live_conn *conn)
{
    return conn->phase == LIVE_KERNEL ||
           (conn->phase == LIVE_OFFLOADED && !conn->fin_from_kernel && !conn->abort_posted);
}

static void
look_at(struct live_conn *conn)
{
    struct steer_snapshot snap;
    int error = steer_snapshot(conn->stack->steer, &conn->key, &snap);

    if (error == -ENOENT && must_have_socket(conn))
        hoststack_socket_gone(conn);
    else
        watch_look(conn, error ? NULL : &snap);
}

/* A few of them, in turn. */
static void
look_after(struct hoststack *stack)
{
    struct live_conn *first = NULL;
    unsigned looks = stack->looks_due ? LOOKS_WHEN_DUE : LOOKS_PER_BEAT;

    list_for_each_safe(conn, &stack->conns, struct live_conn, link) {
        if (!looks-- || conn == first)
            break;
        first = first ? first : conn;
        list_del(&conn->link);
        list_add_tail(&stack->conns, &conn->link);
        if (stack->looks_due)
            stack->looks_due--;
        look_at(conn);
    }
}

void
hoststack_beat(void *arg)
{
    struct hoststack *stack = arg;
    /* one reading for check and beat: a stop in between leaves a stale beat, which counts as missed
     */
    uint64_t now_us = hoststack_now_us(stack);
    bool alive = alive_at(stack, now_us);

    if (stack->gagged && !steers(stack))
        gag(stack, false);
    stack->last_beat_us = now_us;
    steer_beat(stack->steer, now_us * 1000);
    sys_timer_set(&stack->beat, now_us + LIVE_BEAT_US);
    if (alive)
        look_after(stack);
}
