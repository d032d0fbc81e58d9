/*
 * What the user asks for: finding the connections a selector means (select.c, beside the loop),
 * then going through them in slices, a fraction of a millisecond in each turn, because the heart
 * beats between turns only: refusing those that cannot move (each with its reason, untouched),
 * starting the rest, or telling of them; and answering when the last has come to its end.
 *
 * Answers never come on the caller's stack. A connection may end between being selected and being
 * served: whatever is done with it looks it up again.
 */
#include "host/linux/live/live.h"
#include "host/linux/select.h"
#include "host/linux/stack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define SLICE_US 250u /* of a turn; and it starts one move: they would only wait for each other */

/* ---- the waiter: one request and its answers ---- */

typedef void (*serve_fn)(struct hoststack_waiter *waiter, const struct selected *selected);

struct errand {
    bool moves, down, with_owners;
    serve_fn serve;     /* what is done with each connection that was selected */
    serve_fn otherwise; /* … with each, if that concerned none of them; NULL: nothing */
};

struct hoststack_waiter {
    struct list link; /* of the stack */
    struct hoststack *stack;
    struct hoststack_request request;
    const struct errand *errand;
    struct selection selection; /* the worker's while selecting */
    struct sys_work work;
    bool selecting;
    bool concerned; /* serve has found something to do */
    serve_fn serve, otherwise;
    size_t next; /* of the selection, to be served */
    struct sys_task task;
    struct hoststack_move *moves; /* not told yet */
    size_t count, capacity;
    unsigned started, pending, told;
};

static void
waiter_end(struct hoststack_waiter *waiter)
{
    waiter->request.on_end(waiter->request.arg, waiter->selection.error, waiter->told);
    list_del(&waiter->link);
    select_free(&waiter->selection);
    free(waiter->moves);
    free(waiter);
}

static void
tell(struct hoststack_waiter *waiter)
{
    for (size_t i = 0; i < waiter->count; i++)
        waiter->request.on_move(waiter->request.arg, &waiter->moves[i]);
    waiter->told += (unsigned)waiter->count;
    waiter->count = 0;
}

static void
serve_next(struct hoststack_waiter *waiter)
{
    waiter->serve(waiter, &waiter->selection.sockets[waiter->next++]);
    if (waiter->next < waiter->selection.count || waiter->concerned || !waiter->otherwise)
        return;
    waiter->serve = waiter->otherwise;
    waiter->otherwise = NULL;
    waiter->next = 0;
}

static void
take_turn(void *arg)
{
    struct hoststack_waiter *waiter = arg;
    uint64_t until_us = hoststack_now_us(waiter->stack) + SLICE_US;
    unsigned started = waiter->started;

    hoststack_alive(waiter->stack);
    while (waiter->next < waiter->selection.count) {
        serve_next(waiter);
        if (waiter->started != started || hoststack_now_us(waiter->stack) >= until_us)
            break;
    }
    tell(waiter);
    if (waiter->next < waiter->selection.count)
        sys_loop_defer(waiter->stack->loop, &waiter->task);
    else if (!waiter->pending)
        waiter_end(waiter);
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

/* The end of this connection's move is told to the waiter. */
static void
wait_for(struct hoststack_waiter *waiter, struct live_conn *conn)
{
    conn->waiter = waiter;
    waiter->started++;
    waiter->pending++;
}

void
hoststack_waiter_done(struct hoststack_waiter *waiter, const struct hoststack_move *move)
{
    waiter_push(waiter, move);
    waiter->pending--;
    sys_loop_defer(waiter->stack->loop, &waiter->task);
}

/* ---- answers without a connection of ours ---- */

static void
fill_info(struct hoststack_conn_info *info, const struct selected *selected)
{
    const struct diag_socket *socket = &selected->socket;

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
fill_owner(struct hoststack_conn_info *info, const struct selected *selected)
{
    info->pid = selected->pid;
    snprintf(info->command, sizeof info->command, "%s", selected->command);
}

static void
push_refusal(struct hoststack_waiter *waiter, enum hoststack_reason reason,
             const struct hoststack_conn_info *info)
{
    struct hoststack_move move = {.conn = *info,
                                  .down = waiter->errand->down,
                                  .outcome = HOSTSTACK_REFUSED,
                                  .reason = reason,
                                  .started_us = hoststack_now_us(waiter->stack)};

    hoststack_count_move(waiter->stack, &move);
    waiter_push(waiter, &move);
}

static void
refuse(struct hoststack_waiter *waiter, const struct selected *selected,
       enum hoststack_reason reason)
{
    struct hoststack_conn_info info;

    fill_info(&info, selected);
    fill_owner(&info, selected);
    push_refusal(waiter, reason, &info);
}

/* Nothing was selected: what the answer names is what was asked for. */
static void
refuse_selector(struct hoststack_waiter *waiter)
{
    const struct hoststack_selector *selector = &waiter->selection.selector;
    struct hoststack_conn_info info = {
        .local = selector->local, .peer = selector->peer, .pid = selector->pid};

    push_refusal(waiter, HOSTSTACK_NO_SUCH_CONNECTION, &info);
}

/* ---- asking ---- */

static void
select_beside(void *arg)
{
    struct hoststack_waiter *waiter = arg;

    select_sockets(&waiter->selection);
}

static void
on_selected(void *arg)
{
    struct hoststack_waiter *waiter = arg;

    waiter->selecting = false;
    if (waiter->errand->moves && !waiter->selection.error && !waiter->selection.count)
        refuse_selector(waiter);
    sys_loop_defer(waiter->stack->loop, &waiter->task);
}

static int
ask(struct hoststack *stack, const struct hoststack_selector *selector,
    const struct hoststack_request *request, const struct errand *errand)
{
    struct hoststack_waiter *waiter = calloc(1, sizeof *waiter);

    if (!waiter)
        return -ENOMEM;
    waiter->stack = stack;
    waiter->request = *request;
    waiter->errand = errand;
    waiter->serve = errand->serve;
    waiter->otherwise = errand->otherwise;
    waiter->selection.selector = *selector;
    waiter->selection.with_owners = errand->with_owners;
    sys_task_init(&waiter->task, take_turn, waiter);
    int error = sys_work_start(&waiter->work, stack->loop, select_beside, on_selected, waiter);
    if (error) {
        free(waiter);
        return error;
    }
    waiter->selecting = true;
    list_add_tail(&stack->waiters, &waiter->link);
    return 0;
}

static struct hoststack_waiter *
find_selecting(struct hoststack *stack)
{
    list_for_each(waiter, &stack->waiters, struct hoststack_waiter, link) {
        if (waiter->selecting)
            return waiter;
    }
    return NULL;
}

void
hoststack_forget_requests(struct hoststack *stack)
{
    while (find_selecting(stack)) /* cannot be stopped, but ends */
        sys_loop_turn(stack->loop, true);
    list_for_each_safe(waiter, &stack->waiters, struct hoststack_waiter, link) {
        sys_task_cancel(&waiter->task);
        waiter_end(waiter);
    }
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

/* Why it may not be tried; HOSTSTACK_NONE, and where the connection goes. */
static enum hoststack_reason
down_refusal(struct hoststack *stack, const struct diag_socket *socket, struct steer_snapshot *snap,
             struct live_port **port, struct way *way)
{
    if (stack->gagged || stack->closing)
        return stack->closing ? HOSTSTACK_SHUTTING_DOWN : HOSTSTACK_BUSY;
    int error = steer_snapshot(stack->steer, &socket->key, snap);
    if (error == -ENOENT && !socket->inode)
        return HOSTSTACK_NOT_ESTABLISHED; /* less than a socket: a handshake, or a kind of TIME_WAIT
                                           */
    if (error)
        return adopt_refusal(error);
    enum hoststack_reason reason = live_refusal(snap);
    return reason == HOSTSTACK_NONE ? watch_find_way(stack, &socket->key, snap, port, way) : reason;
}

static enum hoststack_reason
start_down(struct hoststack_waiter *waiter, const struct selected *selected)
{
    const struct diag_socket *socket = &selected->socket;
    struct hoststack *stack = waiter->stack;
    struct live_conn *conn = live_find(stack, &socket->key);
    struct live_port *port = NULL;
    struct way way;
    struct steer_snapshot snap;

    if (conn && conn->phase != LIVE_KERNEL)
        return already_ours(conn);
    enum hoststack_reason reason = down_refusal(stack, socket, &snap, &port, &way);
    if (reason != HOSTSTACK_NONE)
        return reason;
    if (!conn)
        conn = live_create(port, &socket->key);
    if (!conn)
        return HOSTSTACK_NO_MEMORY;
    conn->port = port;
    watch_start(conn, &way, &snap);
    conn->inode = socket->inode;
    if (selected->pid) {
        conn->pid = selected->pid;
        snprintf(conn->command, sizeof conn->command, "%s", selected->command);
    }
    int error = live_adopt(conn);
    if (error) {
        if (!conn->moves_down)
            live_destroy(conn);
        return adopt_refusal(error);
    }
    wait_for(waiter, conn);
    return HOSTSTACK_NONE;
}

static void
serve_down(struct hoststack_waiter *waiter, const struct selected *selected)
{
    enum hoststack_reason reason = HOSTSTACK_NOT_ESTABLISHED;

    if (select_is_connection(&selected->socket))
        reason = start_down(waiter, selected);
    else if (strcmp(hoststack_state_name(selected->socket.state), "LISTEN") == 0)
        reason = HOSTSTACK_LISTENING;
    if (reason != HOSTSTACK_NONE)
        refuse(waiter, selected, reason);
}

int
hoststack_offload(struct hoststack *stack, const struct hoststack_selector *selector,
                  const struct hoststack_request *request)
{
    static const struct errand down = {.moves = true, .down = true, .serve = serve_down};

    return ask(stack, selector, request, &down);
}

/* ---- up ---- */

static void
serve_up(struct hoststack_waiter *waiter, const struct selected *selected)
{
    struct live_conn *conn = live_find(waiter->stack, &selected->socket.key);
    struct hoststack_conn_info info;

    if (!conn || conn->phase == LIVE_KERNEL)
        return; /* those that are not offloaded were not meant, if one is */
    waiter->concerned = true;
    if (conn->phase == LIVE_OFFLOADED && !conn->waiter) {
        wait_for(waiter, conn);
        conn->request_since_us = hoststack_now_us(waiter->stack);
        live_upload(conn, HOSTSTACK_NONE);
        return;
    }
    live_fill_info(conn, &info);
    push_refusal(waiter, HOSTSTACK_BUSY, &info);
}

static void
refuse_up(struct hoststack_waiter *waiter, const struct selected *selected)
{
    refuse(waiter, selected, HOSTSTACK_NOT_OFFLOADED);
}

int
hoststack_upload(struct hoststack *stack, const struct hoststack_selector *selector,
                 const struct hoststack_request *request)
{
    static const struct errand up = {.moves = true, .serve = serve_up, .otherwise = refuse_up};

    return ask(stack, selector, request, &up);
}

/* ---- listing ---- */

static void
serve_list(struct hoststack_waiter *waiter, const struct selected *selected)
{
    struct live_conn *conn = live_find(waiter->stack, &selected->socket.key);
    struct hoststack_conn_info info;

    if (!select_is_connection(&selected->socket))
        return;
    if (conn)
        live_fill_info(conn, &info);
    else
        fill_info(&info, selected);
    fill_owner(&info, selected);
    waiter->request.on_conn(waiter->request.arg, &info);
    waiter->told++;
}

int
hoststack_list(struct hoststack *stack, const struct hoststack_selector *selector,
               const struct hoststack_request *request)
{
    static const struct errand list = {.serve = serve_list, .with_owners = true};

    return ask(stack, selector, request, &list);
}
