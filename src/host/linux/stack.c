/*
 * The stack: interfaces with their TAPs and bindings, and the sorting of frames to connections.
 *
 * Whatever may make us speak first asks whether the heart has beaten in time (heart.c).
 */
#include "host/linux/stack.h"
#include "base/log.h"
#include "host/linux/diag.h"
#include "host/linux/live/live.h"
#include "host/linux/route.h"

#include "chimney/house.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

uint64_t
hoststack_now_us(const struct hoststack *stack)
{
    return sys_loop_now_us(stack->loop);
}

/* ---- output ---- */

static void
serve_dirty(void *arg)
{
    struct hoststack *stack = arg;
    struct list todo;

    if (!hoststack_alive(stack) || list_empty(&stack->dirty))
        return;
    todo = stack->dirty;
    todo.next->prev = todo.prev->next = &todo;
    list_init(&stack->dirty);
    while (!list_empty(&todo)) {
        struct live_conn *conn = list_first(&todo, struct live_conn, dirty);
        list_del(&conn->dirty);
        live_local_output(conn);
    }
}

/* ---- frames from the kernel ---- */

static void
on_kernel_frame(void *arg, struct wire_buf *buf)
{
    struct live_port *port = arg;
    struct steer_key key;

    if (!hoststack_alive(port->stack))
        return;
    bool keyed = live_frame_key(buf->data, buf->len, true, &key);
    if (!keyed && !port->own)
        return;
    live_finish_checksum(buf);
    struct live_conn *conn = keyed ? live_find(port->stack, &key) : NULL;
    bool ours = conn && conn->phase != LIVE_KERNEL;
    struct live_frame *frame = ours ? live_frame_create(buf) : NULL;
    if (!frame) {
        live_raw_out(port, buf);
        return;
    }
    switch (conn->phase) {
    case LIVE_BRIDGE:
    case LIVE_RELEASE:
        conn->idle_since_us = hoststack_now_us(port->stack);
        live_bridge_out(conn, frame);
        break;
    case LIVE_HOLD:
    case LIVE_INITIATE:
    case LIVE_TERMINATE:
        live_hold_out(conn, frame);
        break;
    case LIVE_OFFLOADED:
    case LIVE_DRAIN:
        if (conn->phase == LIVE_DRAIN && conn->end_reason == HOSTSTACK_URGENT_DATA)
            live_hold_out(conn, frame);
        else
            live_local_input(conn, frame);
        break;
    default: /* DEAD: whatever the kernel still says is its own answer */
        live_raw_out(port, buf);
        break;
    }
    live_frame_put(frame);
}

static void
on_tap_writable(void *arg)
{
    struct live_port *port = arg;

    list_for_each(conn, &port->stack->conns, struct live_conn, link) {
        if (conn->port == port && conn->local_live)
            live_dirty(conn);
    }
}

static const struct wire_receiver tap_receiver = {.on_frame = on_kernel_frame,
                                                  .on_writable = on_tap_writable};

/* ---- frames from the peer ---- */

static void
on_peer_frame(struct live_port *port, NET_BUFFER_LIST *nbl)
{
    struct steer_key key;
    struct live_conn *conn = live_nbl_key(nbl, &key) ? live_find(port->stack, &key) : NULL;

    switch (conn ? conn->phase : LIVE_KERNEL) {
    case LIVE_HOLD:
    case LIVE_INITIATE:
    case LIVE_TERMINATE:
        live_hold_in(conn, nbl);
        return;
    case LIVE_OFFLOADED:
    case LIVE_DRAIN:
        live_forward(conn, nbl); /* the target let it pass although it has the connection */
        return;
    case LIVE_BRIDGE:
    case LIVE_RELEASE:
        live_bridge_in(conn, nbl);
        break;
    default: /* DEAD included: a challenged reset is answered by the kernel, which has no socket */
        live_raw_in(port, nbl);
        break;
    }
    wire_flush(port->tap);
    host_return_frames(port->binding, nbl);
}

static void
on_frames(void *arg, struct host_binding *binding, NET_BUFFER_LIST *nbls)
{
    struct live_port *port = host_binding_user(binding);
    struct hoststack *stack = arg;

    if (!port || !hoststack_alive(stack)) {
        host_return_frames(binding, nbls);
        return;
    }
    while (nbls) {
        NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbls);
        NET_BUFFER_LIST_NEXT_NBL(nbls) = NULL;
        on_peer_frame(port, nbls);
        nbls = next;
    }
}

static void
on_frames_sent(void *arg, struct host_binding *binding, NET_BUFFER_LIST *nbls)
{
    live_frames_sent(nbls);
}

/* ---- what NDIS and the kernel tell ---- */

static void
upload_all(struct hoststack *stack, const struct host_binding *binding,
           enum hoststack_reason reason)
{
    list_for_each_safe(conn, &stack->conns, struct live_conn, link) {
        if (binding && conn->port->binding != binding)
            continue;
        if (conn->phase == LIVE_BRIDGE || conn->phase == LIVE_HOLD)
            live_back_out(conn, reason);
        else
            live_upload(conn, reason);
    }
}

static void
on_upload_all(void *arg, struct host_binding *binding)
{
    upload_all(arg, binding, HOSTSTACK_TARGET_ASKED);
}

static void
on_running(void *arg, struct host_binding *binding)
{
    log_info("%s: running", host_binding_adapter(binding));
}

static void
on_leaving(void *arg, struct host_binding *binding)
{
    struct hoststack *stack = arg;

    list_for_each_safe(conn, &stack->conns, struct live_conn, link) {
        if (conn->port->binding == binding)
            live_abandon(conn, HOSTSTACK_SHUTTING_DOWN);
    }
    host_binding_quiet(binding);
}

static void
on_moved(void *arg, struct host_binding *binding)
{
    struct live_port *port = host_binding_user(binding);

    if (port && port->own)
        sys_loop_defer(port->stack->loop, &port->announce);
}

static const struct host_ops stack_host_ops = {.on_running = on_running,
                                               .on_leaving = on_leaving,
                                               .on_frames = on_frames,
                                               .on_frames_sent = on_frames_sent,
                                               .on_upload_all = on_upload_all,
                                               .on_moved = on_moved};

static void
on_socket_gone(void *arg, const struct steer_key *key)
{
    struct hoststack *stack = arg;
    struct live_conn *conn = live_find(stack, key);

    if (conn)
        hoststack_socket_gone(conn);
}

static void
on_destroy_readable(void *arg, int events)
{
    struct hoststack *stack = arg;

    diag_read_destroyed(stack->destroy_fd, on_socket_gone, stack);
}

/* ---- building ---- */

static int
open_parts(struct hoststack *stack, const char **why)
{
    struct steer_options options = {.mark = stack->options.mark};
    int error = steer_open(&options, &stack->steer, why);

    if (error)
        return error;
    *why = "out of memory";
    stack->host = host_create("linux", &stack_host_ops, stack);
    if (!stack->host)
        return -ENOMEM;
    *why = "the protocol driver did not register";
    error = house_load(stack->house, "linux", host_entry, stack->host);
    if (error)
        return error;
    *why = "no socket diagnosis (NETLINK_SOCK_DIAG)";
    stack->destroy_fd = diag_open_destroyed();
    if (stack->destroy_fd < 0)
        return stack->destroy_fd;
    *why = "no news of links and routes (NETLINK_ROUTE)";
    error = watch_open(stack);
    if (error)
        return error;
    *why = "the event loop refused a timer";
    error = sys_watch_start(&stack->destroy_watch, stack->loop, stack->destroy_fd, SYS_READABLE,
                            on_destroy_readable, stack);
    return error ? error : sys_timer_init(&stack->beat, stack->loop, hoststack_beat, stack);
}

int
hoststack_create(struct house *house, const struct hoststack_options *options,
                 struct hoststack **out, const char **why)
{
    struct hoststack *stack = calloc(1, sizeof *stack);

    *why = "out of memory";
    if (!stack)
        return -ENOMEM;
    stack->house = house;
    stack->loop = house_loop(house);
    stack->destroy_fd = stack->news_fd = -1;
    if (options)
        stack->options = *options;
    list_init(&stack->ports);
    list_init(&stack->conns);
    list_init(&stack->dirty);
    list_init(&stack->waiters);
    getrandom(&stack->table_seed, sizeof stack->table_seed, GRND_NONBLOCK); /* or zero */
    sys_task_init(&stack->output, serve_dirty, stack);
    int error = open_parts(stack, why);
    if (error) {
        hoststack_destroy(stack);
        return error;
    }
    stack->last_beat_us = hoststack_now_us(stack);
    hoststack_beat(stack);
    *out = stack;
    *why = NULL;
    return 0;
}

static void
detach(struct live_port *port)
{
    struct steer *steer = port->stack->steer;

    if (!port->own)
        steer_detach(steer, port->ifindex);
    for (unsigned i = 0; port->own && i < port->wire_count; i++)
        steer_detach(steer, wire_ifindex(port->wires[i]));
}

static int
attach(struct live_port *port, const char **why)
{
    struct steer *steer = port->stack->steer;
    int error = 0;

    if (!port->own)
        return steer_attach(steer, port->ifindex, wire_ifindex(port->tap), why);
    for (unsigned i = 0; !error && i < port->wire_count; i++)
        if (wire_ifindex(port->wires[i])) /* otherwise no interface, or none of this namespace */
            error = steer_wall(steer, wire_ifindex(port->wires[i]), why);
    if (error)
        detach(port);
    return error;
}

static void
close_ports(struct hoststack *stack)
{
    list_for_each_safe(port, &stack->ports, struct live_port, link) {
        house_unbind(stack->house, "linux", port->adapter);
        detach(port);
        wire_set_receiver(port->tap, NULL, NULL);
        wire_close(port->tap);
        list_del(&port->link);
        sys_task_cancel(&port->announce);
        free(port);
    }
}

#define LAST_GOODBYE_US 1000000u

void
hoststack_destroy(struct hoststack *stack)
{
    uint64_t until_us = hoststack_now_us(stack) + LAST_GOODBYE_US;

    stack->closing = true;
    upload_all(stack, NULL, HOSTSTACK_SHUTTING_DOWN);
    while ((hoststack_busy(stack) || !list_empty(&stack->waiters)) &&
           hoststack_now_us(stack) < until_us)
        sys_loop_turn(stack->loop, true);
    list_for_each_safe(conn, &stack->conns, struct live_conn, link) {
        live_abandon(conn, HOSTSTACK_SHUTTING_DOWN);
    }
    until_us = hoststack_now_us(stack) + LAST_GOODBYE_US;
    while (hoststack_busy(stack) && hoststack_now_us(stack) < until_us)
        sys_loop_turn(stack->loop, true);
    list_for_each_safe(conn, &stack->conns, struct live_conn, link) {
        live_destroy(conn);
    }
    hoststack_forget_requests(stack);
    if (stack->host) {
        close_ports(stack);
        house_unload(stack->house, "linux");
        host_destroy(stack->host);
    }
    if (stack->beat.loop)
        sys_timer_fini(&stack->beat);
    if (stack->destroy_watch.loop)
        sys_watch_stop(&stack->destroy_watch);
    if (stack->destroy_fd >= 0)
        diag_close_destroyed(stack->destroy_fd);
    watch_close(stack);
    sys_task_cancel(&stack->output);
    if (stack->steer)
        steer_close(stack->steer);
    free(stack);
}

int
hoststack_wire_filter(const struct hoststack *stack)
{
    return steer_filter_fd(stack->steer);
}

uint32_t
hoststack_wire_mark(const struct hoststack *stack)
{
    return steer_mark(stack->steer);
}

int
hoststack_check_interface(const char *ifname, const char **why)
{
    struct route_link link;
    int error = route_link_named(ifname, &link);

    *why = "there is no such interface in this network namespace";
    if (error)
        return error;
    *why = "it is the loopback interface, whose connections have no wire to offload";
    if (link.loopback)
        return -EINVAL;
    *why = "it carries no Ethernet frames, and nothing else can be served";
    return link.ethernet ? 0 : -EOPNOTSUPP;
}

static int
bind_port(struct live_port *port, const char **why)
{
    struct hoststack *stack = port->stack;
    int error = house_bind(stack->house, "linux", port->adapter, NULL);

    *why = "the protocol driver could not be bound to the adapter";
    if (error)
        return error;
    port->binding = host_find_binding(stack->host, port->adapter);
    if (!port->binding)
        return -ENODEV;
    host_binding_set_user(port->binding, port);
    error = attach(port, why);
    if (error)
        house_unbind(stack->house, "linux", port->adapter);
    return error;
}

static int
add(struct hoststack *stack, const struct live_port *like, const char **why)
{
    struct live_port *port = calloc(1, sizeof *port);

    *why = "out of memory";
    if (!port)
        return -ENOMEM;
    *port = *like;
    port->stack = stack;
    port->ifindex = (int)if_nametoindex(port->ifname);
    list_init(&port->link);
    sys_task_init(&port->announce, hoststack_announce, port);
    *why = "there is no such interface";
    int error = port->ifindex ? bind_port(port, why) : -ENODEV;
    if (error) {
        sys_task_cancel(&port->announce);
        free(port);
        return error;
    }
    wire_set_receiver(port->tap, &tap_receiver, port);
    list_add_tail(&stack->ports, &port->link);
    *why = NULL;
    return 0;
}

int
hoststack_add_interface(struct hoststack *stack, const char *ifname, const char *adapter,
                        struct wire *tap, struct wire *wire, const char **why)
{
    struct live_port port = {.tap = tap, .wires = {wire}, .wire_count = 1};

    snprintf(port.ifname, sizeof port.ifname, "%s", ifname);
    snprintf(port.adapter, sizeof port.adapter, "%s", adapter);
    return add(stack, &port, why);
}

int
hoststack_add_port(struct hoststack *stack, const char *ifname, const char *adapter,
                   struct wire *tap, struct wire *const *wires, unsigned wire_count,
                   const char **why)
{
    struct live_port port = {.own = true, .tap = tap, .wire_count = wire_count};

    for (unsigned i = 0; i < wire_count && i < HOSTSTACK_WIRES; i++)
        port.wires[i] = wires[i];
    snprintf(port.ifname, sizeof port.ifname, "%s", ifname);
    snprintf(port.adapter, sizeof port.adapter, "%s", adapter);
    return add(stack, &port, why);
}

void
hoststack_flush_wires(struct live_port *port)
{
    for (unsigned i = 0; i < port->wire_count; i++)
        wire_flush(port->wires[i]);
}

uint32_t
hoststack_wire_mtu(const struct live_port *port)
{
    uint32_t least = wire_mtu(port->wires[0]);

    for (unsigned i = 1; i < port->wire_count; i++)
        if (wire_mtu(port->wires[i]) < least)
            least = wire_mtu(port->wires[i]);
    return least;
}

bool
hoststack_wires_have(const struct live_port *port, const uint8_t mac[6])
{
    for (unsigned i = 0; i < port->wire_count; i++)
        if (memcmp(wire_mac(port->wires[i]), mac, 6) != 0)
            return false;
    return true;
}

struct live_port *
hoststack_port_by_index(struct hoststack *stack, int ifindex)
{
    list_for_each(port, &stack->ports, struct live_port, link) {
        if (port->ifindex == ifindex)
            return port;
    }
    return NULL;
}

/* ---- figures ---- */

void
hoststack_count_move(struct hoststack *stack, const struct hoststack_move *move)
{
    struct hoststack_totals *totals = &stack->totals;

    if (move->outcome == HOSTSTACK_LOST)
        totals->lost++;
    else if (move->outcome != HOSTSTACK_DONE)
        totals->refused++;
    else if (move->down)
        totals->moves_down++;
    else
        totals->moves_up++;
    log_info("%s %u→%u: %s, %s", move->down ? "down" : "up", move->conn.local.port,
             move->conn.peer.port, hoststack_reason_token(move->reason),
             hoststack_reason_words(move->reason));
    if (stack->on_move)
        stack->on_move(stack->on_move_arg, move);
}

void
hoststack_on_move(struct hoststack *stack, void (*fn)(void *arg, const struct hoststack_move *move),
                  void *arg)
{
    stack->on_move = fn;
    stack->on_move_arg = arg;
}

/* What the wire carried only the target knows; the kernel's socket never sees a loss of it. */
static void
add_wire(struct live_port *port, struct hoststack_totals *out)
{
    static const ULONG oids[2] = {OID_TCP4_OFFLOAD_STATS, OID_TCP6_OFFLOAD_STATS};
    struct host_binding *binding = host_find_binding(port->stack->host, port->adapter);

    for (unsigned i = 0; i < 2; i++) {
        TCP_OFFLOAD_STATS *stats = &port->wire_stats[i];
        int error = binding ? host_query_oid(binding, oids[i], stats, sizeof *stats) : -ENODEV;
        if (error)
            log_debug("%s: no statistics: %s", port->adapter, strerror(-error));
        out->wire_retransmits += stats->RetransmittedSegments;
        out->wire_segments_out += stats->OutSegments;
    }
}

void
hoststack_read_totals(struct hoststack *stack, struct hoststack_totals *out)
{
    *out = stack->totals;
    list_for_each(conn, &stack->conns, struct live_conn, link) {
        if (conn->phase == LIVE_OFFLOADED || conn->phase == LIVE_DRAIN)
            out->offloaded_now++;
        out->leaked += live_leaked(conn);
    }
    list_for_each(port, &stack->ports, struct live_port, link)
        add_wire(port, out);
}
