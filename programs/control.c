/*
 * The control socket. A client is a line buffer in, a byte buffer out, and at most one request
 * being served; what it sends meanwhile waits in the kernel. Both buffers are bounded, so is the
 * number of clients. A client that goes away leaves its request (struct job) to finish alone.
 *
 * A client may end in the middle of anything that answers it, so ending only closes and unlinks;
 * the memory goes at the next turn of the loop.
 */
#include "control.h"

#include "base/list.h"
#include "base/log.h"
#include "chimney/hoststack.h"
#include "chimney/house.h"
#include "chimney/wire.h"
#include "message.h"
#include "show.h"
#include "sys/loop.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONTROL_CLIENTS 64
#define CONTROL_LINE (8 * 1024)           /* bytes of the longest request */
#define CONTROL_ANSWER (16 * 1024 * 1024) /* bytes of an answer, about */

struct control {
    struct sys_loop *loop;
    struct house *house;
    struct hoststack *stack;
    struct sockaddr_un address;
    int fd; /* -1: drained */
    struct sys_watch watch;
    struct list clients, dead, jobs;
    unsigned client_count;
    struct sys_task reaper;
    uint64_t started_us;
};

struct client {
    struct list link;
    struct control *control;
    int fd; /* -1: dead */
    struct sys_watch watch;
    struct job *job; /* the request being served; NULL: none */
    bool closing;    /* ends when everything is written */
    char *out;
    size_t out_start, out_end, out_size;
    unsigned lines; /* of the present answer, without its end */
    bool too_long;  /* the present answer did not fit */
    size_t in_length;
    char in[CONTROL_LINE];
};

struct job {
    struct list link;
    struct client *client; /* NULL: gone */
    enum message_op op;
    struct message_sum sum;
};

static void client_serve(struct client *client);

/* ---- clients: life ---- */

static void
on_reap(void *arg)
{
    struct control *control = arg;

    while (!list_empty(&control->dead)) {
        struct client *client = list_first(&control->dead, struct client, link);

        list_del(&client->link);
        free(client->out);
        free(client);
    }
}

static void
client_end(struct client *client)
{
    if (client->fd < 0)
        return;
    sys_watch_stop(&client->watch);
    close(client->fd);
    client->fd = -1;
    if (client->job != NULL)
        client->job->client = NULL;
    client->job = NULL;
    client->control->client_count--;
    list_del(&client->link);
    list_add_tail(&client->control->dead, &client->link);
    sys_loop_defer(client->control->loop, &client->control->reaper);
}

/* ---- clients: writing ---- */

/* Writes what the socket takes; ends the client when it is done or broken. */
static void
client_flush(struct client *client)
{
    int events = 0;

    while (client->fd >= 0 && client->out_start < client->out_end) {
        ssize_t done = send(client->fd, client->out + client->out_start,
                            client->out_end - client->out_start, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0 && errno == EAGAIN) {
            events = SYS_WRITABLE;
            break;
        }
        if (done < 0) {
            client_end(client);
            return;
        }
        client->out_start += (size_t)done;
    }
    if (client->fd < 0)
        return;
    if (client->out_start == client->out_end) {
        client->out_start = client->out_end = 0;
        if (client->closing) {
            client_end(client);
            return;
        }
    }
    /* One request at a time, and none before the last answer is written. */
    if (events == 0 && client->job == NULL)
        events = SYS_READABLE;
    if (sys_watch_events(&client->watch, events) != 0)
        client_end(client);
}

static bool
client_reserve(struct client *client, size_t bytes)
{
    size_t size = client->out_size != 0 ? client->out_size : 1024;
    char *out;

    while (size < client->out_end + bytes)
        size *= 2;
    if (size == client->out_size)
        return true;
    out = realloc(client->out, size);
    if (out == NULL)
        return false;
    client->out = out;
    client->out_size = size;
    return true;
}

/* Owner: takes object, which may be NULL. Nothing is sent before client_flush. */
static bool
client_put(struct client *client, json_t *object)
{
    char *text = object != NULL ? json_dumps(object, JSON_COMPACT) : NULL;
    size_t length = text != NULL ? strlen(text) : 0;
    bool put = client->fd >= 0 && text != NULL && client_reserve(client, length + 1);

    if (put) {
        memcpy(client->out + client->out_end, text, length);
        client->out[client->out_end + length] = '\n';
        client->out_end += length + 1;
    }
    free(text);
    json_decref(object);
    return put;
}

/* One line of an answer: {"name": object}. */
static void
client_answer(struct client *client, const char *name, json_t *object)
{
    if (client->out_end < CONTROL_ANSWER && object != NULL &&
        client_put(client, json_pack("{s:o}", name, object))) {
        client->lines++;
        return;
    }
    if (client->out_end >= CONTROL_ANSWER)
        json_decref(object);
    client->too_long = true;
}

static void
client_finish(struct client *client, enum message_code code, const char *error)
{
    if (client->too_long && code == MESSAGE_DONE) {
        code = MESSAGE_PARTLY;
        error = "the answer is too long; select fewer connections";
    }
    if (!client_put(client, message_end(code, client->lines, error)))
        client->closing = true;
    client->lines = 0;
    client->too_long = false;
    client_flush(client);
}

/* ---- requests ---- */

static void
on_item(void *arg, const char *name, json_t *item)
{
    client_answer(arg, name, item);
}

static void
on_conn(void *arg, const struct hoststack_conn_info *info)
{
    const struct job *job = arg;

    if (job->client != NULL && !job->client->too_long)
        client_answer(job->client, "conn", message_conn(info));
}

static void
on_move(void *arg, const struct hoststack_move *move)
{
    struct job *job = arg;

    message_count(&job->sum, move->outcome);
    if (job->client == NULL)
        return;
    client_answer(job->client, "move", message_move(move));
    client_flush(job->client);
}

static void
client_fail(struct client *client, int error)
{
    char words[128];

    snprintf(words, sizeof(words), "the connections cannot be looked for: %s", strerror(-error));
    client_finish(client, message_code_of_errno(error), words);
}

static void
on_end(void *arg, int error, unsigned count)
{
    struct job *job = arg;
    struct client *client = job->client;
    enum message_code code = message_code_of(&job->sum);
    enum message_op op = job->op;

    list_del(&job->link);
    free(job);
    if (client == NULL)
        return;
    client->job = NULL;
    if (error != 0)
        client_fail(client, error);
    else if (op == MESSAGE_LIST || (op == MESSAGE_SHOW && count != 0))
        client_finish(client, MESSAGE_DONE, NULL);
    else
        client_finish(client, code,
                      op == MESSAGE_SHOW ? hoststack_reason_words(HOSTSTACK_NO_SUCH_CONNECTION)
                                         : NULL);
    client_serve(client);
}

static int
ask_stack(struct hoststack *stack, const struct message_request *request, struct job *job)
{
    const struct hoststack_request asked = {
        .on_conn = on_conn, .on_move = on_move, .on_end = on_end, .arg = job};

    if (request->op == MESSAGE_OFFLOAD)
        return hoststack_offload(stack, &request->selector, &asked);
    if (request->op == MESSAGE_UPLOAD)
        return hoststack_upload(stack, &request->selector, &asked);
    return hoststack_list(stack, &request->selector, &asked);
}

static void
serve_conns(struct client *client, const struct message_request *request)
{
    struct control *control = client->control;
    struct job *job = calloc(1, sizeof(*job));
    int error;

    if (job == NULL) {
        client_finish(client, MESSAGE_REFUSED, hoststack_reason_words(HOSTSTACK_NO_MEMORY));
        return;
    }
    job->client = client;
    job->op = request->op;
    client->job = job;
    list_add_tail(&control->jobs, &job->link);
    error = ask_stack(control->stack, request, job);
    if (error == 0) {
        client_flush(client); /* stops listening to it meanwhile */
        return;
    }
    list_del(&job->link);
    free(job);
    client->job = NULL;
    client_fail(client, error);
}

static void
serve_status(struct client *client)
{
    struct control *control = client->control;
    uint64_t up_us = sys_loop_now_us(control->loop) - control->started_us;
    struct hoststack_totals totals;

    hoststack_read_totals(control->stack, &totals);
    client_answer(client, "status", message_status(&totals, up_us / 1000));
    client_finish(client, MESSAGE_DONE, NULL);
}

static void
serve_team(struct client *client, const struct message_request *request)
{
    char words[256];
    enum message_code code = show_team(client->control->house, request, on_item, client, words,
                                       sizeof(words));

    client_finish(client, code, code == MESSAGE_DONE ? NULL : words);
}

static void
serve_line(struct client *client, const char *line, size_t length)
{
    struct message_request request;
    char why[160];

    if (client->control->fd < 0) {
        client_finish(client, MESSAGE_REFUSED, hoststack_reason_words(HOSTSTACK_SHUTTING_DOWN));
        return;
    }
    if (message_read_request(line, length, &request, why, sizeof(why)) != 0) {
        client_finish(client, MESSAGE_USAGE, why);
        return;
    }
    switch (request.op) {
    case MESSAGE_STATUS:
        serve_status(client);
        break;
    case MESSAGE_STACK:
        show_floors(client->control->house, on_item, client);
        client_finish(client, MESSAGE_DONE, NULL);
        break;
    case MESSAGE_LIST:
    case MESSAGE_SHOW:
    case MESSAGE_OFFLOAD:
    case MESSAGE_UPLOAD:
        serve_conns(client, &request);
        break;
    case MESSAGE_TEAM:
    case MESSAGE_FAIL:
    case MESSAGE_RESTORE:
        serve_team(client, &request);
        break;
    }
}

/* Serves the lines that have arrived, until one is being served. */
static void
client_serve(struct client *client)
{
    while (client->fd >= 0 && !client->closing && client->job == NULL && client->out_end == 0) {
        char *newline = memchr(client->in, '\n', client->in_length);
        char line[CONTROL_LINE];
        size_t length;

        if (newline == NULL)
            break;
        length = (size_t)(newline - client->in);
        memcpy(line, client->in, length);
        client->in_length -= length + 1;
        memmove(client->in, newline + 1, client->in_length);
        serve_line(client, line, length);
    }
    if (client->fd >= 0 && client->job == NULL && client->in_length == sizeof(client->in) &&
        memchr(client->in, '\n', client->in_length) == NULL) {
        client->closing = true;
        client_finish(client, MESSAGE_USAGE, "the request is too long");
    }
}

static void
on_client(void *arg, int events)
{
    struct client *client = arg;
    ssize_t got;

    if (client->out_start < client->out_end) {
        client_flush(client);
        client_serve(client);
        return;
    }
    got = recv(client->fd, client->in + client->in_length, sizeof(client->in) - client->in_length,
               MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        client_end(client);
        return;
    }
    client->in_length += (size_t)got;
    client_serve(client);
}

/* ---- the socket ---- */

static void
on_listener(void *arg, int events)
{
    struct control *control = arg;
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct client *client;

    if (fd < 0)
        return;
    client = control->client_count < CONTROL_CLIENTS ? calloc(1, sizeof(*client)) : NULL;
    if (client == NULL ||
        sys_watch_start(&client->watch, control->loop, fd, SYS_READABLE, on_client, client) != 0) {
        log_warn("control: a client was turned away");
        close(fd);
        free(client);
        return;
    }
    client->control = control;
    client->fd = fd;
    list_add_tail(&control->clients, &client->link);
    control->client_count++;
}

/* why: CONTROL_WHY bytes. Returns error. */
static int __attribute__((format(printf, 3, 4)))
control_fail(char *why, int error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(why, CONTROL_WHY, format, args);
    va_end(args);
    return error;
}

/* fd: connected to it. */
static int
fail_taken(int fd, char *why)
{
    struct ucred listener = {.pid = 0};
    socklen_t size = sizeof(listener);

    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &size);
    return control_fail(
        why, -EADDRINUSE,
        "another daemon answers there (process %d): stop it, or name another socket "
        "with --socket",
        (int)listener.pid);
}

/* Removes a socket nobody answers at. 0, or -EADDRINUSE, -ENOTSOCK. */
static int
clear_path(const struct sockaddr_un *address, char *why)
{
    struct stat status;
    int fd, error;

    if (lstat(address->sun_path, &status) != 0)
        return 0;
    if (!S_ISSOCK(status.st_mode))
        return control_fail(why, -ENOTSOCK,
                            "it is there, and no socket: remove it, or name another with "
                            "--socket");
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return control_fail(why, -errno, "no socket: %s", strerror(errno));
    error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
    /* EAGAIN: its backlog is full, so it lives. */
    error = error == 0 || error == EAGAIN ? fail_taken(fd, why) : 0;
    close(fd);
    if (error == 0 && unlink(address->sun_path) != 0)
        return control_fail(why, -errno, "what another daemon left there cannot be removed: %s",
                            strerror(errno));
    return error;
}

static int
control_listen(struct control *control, char *why)
{
    mode_t mask;
    int error = clear_path(&control->address, why);

    if (error != 0)
        return error;
    control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->fd < 0)
        return control_fail(why, -errno, "no socket: %s", strerror(errno));
    mask = umask(0177);
    error = bind(control->fd, (struct sockaddr *)&control->address, sizeof(control->address));
    error = error == 0 ? 0 : -errno;
    umask(mask);
    if (error == 0 && listen(control->fd, 16) != 0) {
        error = -errno;
        unlink(control->address.sun_path);
    }
    if (error == 0)
        return 0;
    close(control->fd);
    return control_fail(why, error,
                        "no control socket can be made there: %s; another place may be named with "
                        "--socket",
                        strerror(-error));
}

int
control_open(struct sys_loop *loop, const char *path, struct control **out, char why[CONTROL_WHY])
{
    struct control *control = calloc(1, sizeof(*control));
    int error;

    if (control == NULL)
        return control_fail(why, -ENOMEM, "out of memory");
    *control = (struct control){.loop = loop, .fd = -1};
    control->address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(control->address.sun_path)) {
        free(control);
        return control_fail(why, -ENAMETOOLONG, "the path is too long for a socket");
    }
    memcpy(control->address.sun_path, path, strlen(path) + 1);
    list_init(&control->clients);
    list_init(&control->dead);
    list_init(&control->jobs);
    sys_task_init(&control->reaper, on_reap, control);
    control->started_us = sys_loop_now_us(loop);
    error = control_listen(control, why);
    if (error != 0) {
        free(control);
        return error;
    }
    *out = control;
    return 0;
}

int
control_start(struct control *control, struct house *house, struct hoststack *stack)
{
    control->house = house;
    control->stack = stack;
    return sys_watch_start(&control->watch, control->loop, control->fd, SYS_READABLE, on_listener,
                           control);
}

void
control_drain(struct control *control)
{
    if (control == NULL || control->fd < 0)
        return;
    sys_watch_stop(&control->watch);
    unlink(control->address.sun_path);
    close(control->fd);
    control->fd = -1;
}

void
control_close(struct control *control)
{
    if (control == NULL)
        return;
    control_drain(control);
    while (!list_empty(&control->clients))
        client_end(list_first(&control->clients, struct client, link));
    while (!list_empty(&control->jobs)) {
        struct job *job = list_first(&control->jobs, struct job, link);

        list_del(&job->link);
        free(job);
    }
    sys_task_cancel(&control->reaper);
    on_reap(control);
    free(control);
}
