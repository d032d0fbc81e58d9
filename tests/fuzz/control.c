/*
 * The control socket: a client says what it likes, in pieces as it likes, and hangs up. Every line
 * is answered, in order, by lines of JSON of which the last is the end; then the client is gone and
 * the next one is served. Behind the socket stands a host stack of cardboard with two connections.
 *
 * The first byte is the size of the pieces, the rest is said.
 */
#include "fuzz.h"

#include "base/log.h"
#include "chimney/house.h"
#include "chimney/team.h"
#include "chimney/wire.h"
#include "programs/control.h"
#include "programs/message.h"
#include "sys/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MAX (1u << 20)
#define TURNS 64 /* enough for any one request */
#define CONNS 2

/* ---- the host stack ---- */

struct hoststack {
    struct sys_loop *loop;
    struct sys_task task;
    bool busy, moves, down;
    struct hoststack_request request;
};

static struct hoststack stack;

static void
answer(void *arg)
{
    struct hoststack_conn_info info = {
        .state = "ESTABLISHED", .owner = "kernel", .interface = "eth0", .command = "n\xff\"x"};
    struct hoststack_move move = {.conn = info, .down = stack.down};

    stack.busy = false;
    for (unsigned i = 0; i < CONNS; i++) {
        info.id = i;
        move.outcome = i ? HOSTSTACK_REFUSED : HOSTSTACK_DONE;
        if (stack.moves)
            stack.request.on_move(stack.request.arg, &move);
        else
            stack.request.on_conn(stack.request.arg, &info);
    }
    stack.request.on_end(stack.request.arg, 0, CONNS);
}

static int
ask(const struct hoststack_request *request, bool moves, bool down)
{
    if (stack.busy)
        return -EAGAIN;
    stack.busy = true;
    stack.moves = moves;
    stack.down = down;
    stack.request = *request;
    sys_task_init(&stack.task, answer, NULL);
    sys_loop_defer(stack.loop, &stack.task);
    return 0;
}

int
hoststack_list(struct hoststack *self, const struct hoststack_selector *selector,
               const struct hoststack_request *request)
{
    return ask(request, false, false);
}

int
hoststack_offload(struct hoststack *self, const struct hoststack_selector *selector,
                  const struct hoststack_request *request)
{
    return ask(request, true, true);
}

int
hoststack_upload(struct hoststack *self, const struct hoststack_selector *selector,
                 const struct hoststack_request *request)
{
    return ask(request, true, false);
}

void
hoststack_read_totals(struct hoststack *self, struct hoststack_totals *out)
{
    *out = (struct hoststack_totals){.moves_down = 1};
}

/* ---- the house ---- */

void
house_walk(struct house *house, void (*fn)(void *arg, const struct house_floor *floor), void *arg)
{
    fn(arg, &(struct house_floor){.adapter = "eth0/soft", .driver = "soft", .state = "Running"});
}

int
wire_ifindex(const struct wire *wire)
{
    return 0;
}

bool
wire_link_up(const struct wire *wire)
{
    return true;
}

void
team_walk(void (*fn)(void *arg, const struct team_info *info), void *arg)
{
    fn(arg, &(struct team_info){.team = "t", .member = "m", .mode = "active"});
}

int
team_fail(const char *member)
{
    FUZZ_CHECK(member[0] && strlen(member) < MESSAGE_MEMBER);
    return strcmp(member, "m") ? -ENOENT : 0;
}

int
team_restore(const char *member)
{
    return team_fail(member);
}

/* ---- the client ---- */

static struct control *control;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void
remove_socket(void)
{
    control_drain(control);
    control_close(control);
    sys_loop_destroy(stack.loop);
}

static void
begin(void)
{
    char why[CONTROL_WHY];

    if (control)
        return;
    log_set_level(LOG_ERROR);
    stack.loop = sys_loop_create();
    FUZZ_CHECK(stack.loop);
    snprintf(address.sun_path, sizeof address.sun_path, "/tmp/fuzz-control-%d", (int)getpid());
    FUZZ_CHECK(!control_open(stack.loop, address.sun_path, &control, why));
    FUZZ_CHECK(!control_start(control, NULL, &stack));
    atexit(remove_socket);
}

static void
turn(unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        sys_loop_turn(stack.loop, false);
}

/* Takes what has been answered; false: the other end has hung up. */
static bool
listen_to(int fd, char *text, size_t *length)
{
    ssize_t got = 1;

    while (*length < ANSWER_MAX &&
           (got = recv(fd, text + *length, ANSWER_MAX - *length, MSG_DONTWAIT)) > 0)
        *length += (size_t)got;
    return got != 0;
}

/* false: it was not taken, and never will be. */
static bool
say(int fd, const uint8_t *bytes, size_t size)
{
    size_t said = 0;

    for (unsigned tries = 0; said < size && tries < TURNS; tries++) {
        ssize_t done = send(fd, bytes + said, size - said, MSG_DONTWAIT | MSG_NOSIGNAL);
        said += done > 0 ? (size_t)done : 0;
        turn(2);
    }
    return said == size;
}

/* How many answers there are; every line is JSON, and after the last end there is nothing. */
static unsigned
count_answers(const char *text, size_t length)
{
    unsigned ends = 0;
    bool ended = true;

    while (length) {
        const char *stop = memchr(text, '\n', length);
        FUZZ_CHECK(stop);
        json_t *line = json_loadb(text, (size_t)(stop - text), 0, NULL);
        FUZZ_CHECK(json_is_object(line));
        ended = json_is_true(json_object_get(line, "end"));
        FUZZ_CHECK(!ended || json_is_integer(json_object_get(line, "code")));
        ends += ended;
        json_decref(line);
        length -= (size_t)(stop + 1 - text);
        text = stop + 1;
    }
    FUZZ_CHECK(ended);
    return ends;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[ANSWER_MAX];
    struct fuzz fuzz = {data, size};
    size_t piece = fuzz_u8(&fuzz) + 1u, length = 0;
    unsigned lines = 0;
    bool there = true;

    begin();
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    FUZZ_CHECK(fd >= 0 && !connect(fd, (struct sockaddr *)&address, sizeof address));
    turn(2);
    for (size_t i = 0; i < fuzz.left; i++)
        lines += fuzz.at[i] == '\n';
    while (fuzz.left && there) {
        size_t part = fuzz.left < piece ? fuzz.left : piece;
        there = say(fd, fuzz.at, part) && listen_to(fd, text, &length);
        fuzz.at += part;
        fuzz.left -= part;
    }
    for (unsigned i = 0; there && i < 2 * lines + 2; i++) {
        turn(2);
        there = listen_to(fd, text, &length);
    }
    unsigned answers = count_answers(text, length);
    FUZZ_CHECK(there ? answers == lines : answers <= lines + 1);
    close(fd);
    turn(4);
    return 0;
}
