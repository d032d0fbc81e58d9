/*
 * What the user asks for: finding the connections a selector means, refusing those that cannot move
 * (each with its reason, untouched), starting the rest, and answering when the last has come to its
 * end.
 *
 * Answers never come on the caller's stack: even an immediate refusal is told by a task of the
 * loop.
 */
#include "base/log.h"
#include "host/linux/diag.h"
#include "host/linux/live/live.h"
#include "host/linux/procs.h"
#include "host/linux/stack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- the waiter: one request and its answers ---- */

struct hoststack_waiter {
    struct hoststack *stack;
    struct hoststack_request request;
    struct sys_task task;
    struct hoststack_move *moves; /* not told yet */
    size_t count, capacity;
    unsigned pending, told;
};

static void
tell(void *arg)
{
    struct hoststack_waiter *waiter = arg;

    for (size_t i = 0; i < waiter->count; i++)
        waiter->request.on_move(waiter->request.arg, &waiter->moves[i]);
    waiter->told += (unsigned)waiter->count;
    waiter->count = 0;
    if (waiter->pending)
        return;
    waiter->request.on_end(waiter->request.arg, waiter->told);
    free(waiter->moves);
    free(waiter);
}

static struct hoststack_waiter *
waiter_create(struct hoststack *stack, const struct hoststack_request *request)
{
    struct hoststack_waiter *waiter = calloc(1, sizeof *waiter);

    if (!waiter)
        return NULL;
    waiter->stack = stack;
    waiter->request = *request;
    sys_task_init(&waiter->task, tell, waiter);
    return waiter;
}

static void
waiter_push(struct hoststack_waiter *waiter, const struct hoststack_move *move)
{
    if (waiter->count == waiter->capacity) {
        size_t capacity = waiter->capacity ? waiter->capacity * 2 : 4;
        struct hoststack_move *moves = realloc(waiter->moves, capacity * sizeof *moves);
        if (!moves)
            return; /* the move itself is done and logged; only this answer is missing */
        waiter->moves = moves;
        waiter->capacity = capacity;
    }
    waiter->moves[waiter->count++] = *move;
}

void
hoststack_waiter_done(struct hoststack_waiter *waiter, const struct hoststack_move *move)
{
    waiter_push(waiter, move);
    waiter->pending--;
    sys_loop_defer(waiter->stack->loop, &waiter->task);
}

/* ---- selecting ---- */

static bool
endpoint_matches(const struct hoststack_endpoint *want, uint16_t family, const uint8_t *address,
                 uint16_t port)
{
    if (!want->any_port && want->port != ntohs(port))
        return false;
    if (want->any_address)
        return true;
    return want->family == family &&
           memcmp(want->address, address, family == AF_INET ? 4 : 16) == 0;
}

static bool
key_matches(const struct hoststack_selector *selector, const struct steer_key *key)
{
    return endpoint_matches(&selector->local, key->family, key->local, key->local_port) &&
           endpoint_matches(&selector->peer, key->family, key->peer, key->peer_port);
}

/* The kernel's sockets that a selector means, copied: nothing is moved while the list is being
 * read. */
struct selection {
    const struct hoststack_selector *selector;
    struct procs_inodes *inodes; /* of the process; NULL: any */
    struct diag_socket *sockets;
    size_t count, capacity;
    int error;
};

static void
select_socket(void *arg, const struct diag_socket *socket)
{
    struct selection *selection = arg;

    if (!key_matches(selection->selector, &socket->key))
        return;
    if (selection->inodes && !procs_inodes_have(selection->inodes, socket->inode))
        return;
    if (selection->count == selection->capacity) {
        size_t capacity = selection->capacity ? selection->capacity * 2 : 16;
        struct diag_socket *sockets = realloc(selection->sockets, capacity * sizeof *sockets);
        if (!sockets) {
            selection->error = -ENOMEM;
            return;
        }
        selection->sockets = sockets;
        selection->capacity = capacity;
    }
    selection->sockets[selection->count++] = *socket;
}

static int
select_sockets(const struct hoststack_selector *selector, struct selection *selection)
{
    *selection = (struct selection){.selector = selector};
    if (selector->pid) {
        int error = procs_inodes_of(selector->pid, &selection->inodes);
        if (error == -ENOENT || error == -ESRCH)
            return 0; /* no such process: no such connection */
        if (error)
            return error;
    }
    int error = diag_list(select_socket, selection);
    procs_inodes_free(selection->inodes);
    selection->inodes = NULL;
    if (!error)
        error = selection->error;
    if (error)
        free(selection->sockets);
    return error;
}

/* ---- answers without a connection of ours ---- */

static void
fill_info(struct hoststack_conn_info *info, const struct diag_socket *socket)
{
    memset(info, 0, sizeof *info);
    info->local.family = info->peer.family = socket->key.family;
    memcpy(info->local.address, socket->key.local, 16);
    memcpy(info->peer.address, socket->key.peer, 16);
    info->local.port = ntohs(socket->key.local_port);
    info->peer.port = ntohs(socket->key.peer_port);
    info->inode = socket->inode;
    snprintf(info->state, sizeof info->state, "%s", hoststack_state_name(socket->state));
    snprintf(info->owner, sizeof info->owner, "kernel");
}

static void
refuse(struct hoststack_waiter *waiter, bool down, const struct diag_socket *socket,
       enum hoststack_reason reason)
{
    struct hoststack_move move = {.down = down, .outcome = HOSTSTACK_REFUSED, .reason = reason};

    if (socket)
        fill_info(&move.conn, socket);
    if (reason == HOSTSTACK_DIED_DURING_MOVE)
        move.outcome = HOSTSTACK_LOST;
    move.started_us = hoststack_now_us(waiter->stack);
    hoststack_count_move(waiter->stack, &move);
    waiter_push(waiter, &move);
}

/* ---- down ---- */

static enum hoststack_reason
adopt_refusal(int error)
{
    switch (error) {
    case -ENOENT:
        return HOSTSTACK_DIED_DURING_MOVE;
    case -EEXIST:
        return HOSTSTACK_BUSY;
    case -ENOMEM:
        return HOSTSTACK_NO_MEMORY;
    case -EPERM:
        return HOSTSTACK_NO_PRIVILEGE;
    default:
        return HOSTSTACK_INTERNAL;
    }
}

static enum hoststack_reason
already_ours(const struct live_conn *conn)
{
    return conn->phase == LIVE_OFFLOADED ? HOSTSTACK_ALREADY_OFFLOADED : HOSTSTACK_BUSY;
}

/* pid: who holds it, if the selector said so; finding out would mean to read all of /proc now. */
static enum hoststack_reason
start_down(struct hoststack_waiter *waiter, const struct diag_socket *socket, pid_t pid)
{
    struct hoststack *stack = waiter->stack;
    struct live_conn *conn = live_find(stack, &socket->key);
    struct live_port *port = NULL;
    struct way way;
    struct steer_snapshot snap;

    if (conn && conn->phase != LIVE_KERNEL)
        return already_ours(conn);
    if (stack->gagged || stack->closing)
        return stack->closing ? HOSTSTACK_SHUTTING_DOWN : HOSTSTACK_BUSY;
    if (steer_snapshot(stack->steer, &socket->key, &snap))
        return HOSTSTACK_NOT_ESTABLISHED;
    enum hoststack_reason reason = live_refusal(&snap);
    if (reason == HOSTSTACK_NONE)
        reason = watch_find_way(stack, &socket->key, &snap, &port, &way);
    if (reason != HOSTSTACK_NONE)
        return reason;
    if (!conn)
        conn = live_create(port, &socket->key);
    if (!conn)
        return HOSTSTACK_NO_MEMORY;
    conn->port = port;
    watch_start(conn, &way, &snap);
    conn->inode = socket->inode;
    if (pid) {
        conn->pid = pid;
        procs_command(pid, conn->command, sizeof conn->command);
    }
    int error = live_adopt(conn);
    if (error) {
        if (!conn->moves_down)
            live_destroy(conn);
        return adopt_refusal(error);
    }
    conn->waiter = waiter;
    waiter->pending++;
    return HOSTSTACK_NONE;
}

static bool
is_connection(const struct diag_socket *socket)
{
    return strcmp(hoststack_state_name(socket->state), "LISTEN") != 0 &&
           strcmp(hoststack_state_name(socket->state), "TIME_WAIT") != 0;
}

int
hoststack_offload(struct hoststack *stack, const struct hoststack_selector *selector,
                  const struct hoststack_request *request)
{
    struct selection selection;
    size_t connections = 0;
    int error = select_sockets(selector, &selection);

    if (error)
        return error;
    struct hoststack_waiter *waiter = waiter_create(stack, request);
    if (!waiter) {
        free(selection.sockets);
        return -ENOMEM;
    }
    for (size_t i = 0; i < selection.count; i++)
        connections += is_connection(&selection.sockets[i]);
    for (size_t i = 0; i < selection.count; i++) {
        const struct diag_socket *socket = &selection.sockets[i];
        hoststack_keep_beating(stack);
        if (connections && !is_connection(socket))
            continue; /* the listener behind them was not meant */
        enum hoststack_reason reason = HOSTSTACK_NOT_ESTABLISHED;
        if (is_connection(socket))
            reason = start_down(waiter, socket, selector->pid);
        else if (strcmp(hoststack_state_name(socket->state), "LISTEN") == 0)
            reason = HOSTSTACK_LISTENING;
        if (reason != HOSTSTACK_NONE)
            refuse(waiter, true, socket, reason);
    }
    if (!selection.count)
        refuse(waiter, true, NULL, HOSTSTACK_NO_SUCH_CONNECTION);
    free(selection.sockets);
    sys_loop_defer(stack->loop, &waiter->task);
    return 0;
}

/* ---- up ---- */

static void
start_up(struct hoststack_waiter *waiter, struct live_conn *conn)
{
    if (conn->phase == LIVE_OFFLOADED && !conn->waiter) {
        conn->waiter = waiter;
        conn->request_since_us = hoststack_now_us(waiter->stack);
        waiter->pending++;
        live_upload(conn, HOSTSTACK_NONE);
        return;
    }
    struct hoststack_move move = {.outcome = HOSTSTACK_REFUSED, .reason = HOSTSTACK_BUSY};
    live_fill_info(conn, &move.conn);
    hoststack_count_move(waiter->stack, &move);
    waiter_push(waiter, &move);
}

int
hoststack_upload(struct hoststack *stack, const struct hoststack_selector *selector,
                 const struct hoststack_request *request)
{
    struct selection selection;
    bool found = false;
    int error = select_sockets(selector, &selection);

    if (error)
        return error;
    struct hoststack_waiter *waiter = waiter_create(stack, request);
    if (!waiter) {
        free(selection.sockets);
        return -ENOMEM;
    }
    for (size_t i = 0; i < selection.count; i++) {
        struct live_conn *conn = live_find(stack, &selection.sockets[i].key);
        if (!conn || conn->phase == LIVE_KERNEL)
            continue;
        found = true;
        start_up(waiter, conn);
    }
    for (size_t i = 0; i < selection.count && !found; i++)
        refuse(waiter, false, &selection.sockets[i], HOSTSTACK_NOT_OFFLOADED);
    if (!selection.count)
        refuse(waiter, false, NULL, HOSTSTACK_NO_SUCH_CONNECTION);
    free(selection.sockets);
    sys_loop_defer(stack->loop, &waiter->task);
    return 0;
}

/* ---- listing ---- */

int
hoststack_list(struct hoststack *stack, const struct hoststack_selector *selector,
               void (*fn)(void *arg, const struct hoststack_conn_info *info), void *arg)
{
    struct procs_owners *owners = NULL;
    struct selection selection;
    int error = select_sockets(selector, &selection);

    if (error)
        return error;
    procs_owners_read(&owners); /* without it the processes stay unknown */
    for (size_t i = 0; i < selection.count; i++) {
        struct diag_socket *socket = &selection.sockets[i];
        struct live_conn *conn = live_find(stack, &socket->key);
        struct hoststack_conn_info info;
        if (!is_connection(socket))
            continue;
        if (conn)
            live_fill_info(conn, &info);
        else
            fill_info(&info, socket);
        if (owners)
            procs_owners_find(owners, socket->inode, &info.pid, info.command, sizeof info.command);
        fn(arg, &info);
    }
    procs_owners_free(owners);
    free(selection.sockets);
    return 0;
}
