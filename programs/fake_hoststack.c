/*
 * A house and a host stack without a kernel behind them, for the tests of chimneyd and chimneyctl.
 *
 * Connections are a table, and each row says what becomes of an attempt to move it. Every call that
 * builds or takes down something writes a line to standard error, so that a test sees the order.
 */
#include "base/log.h"
#include "chimney/hoststack.h"
#include "chimney/house.h"
#include "chimney/trace.h"
#include "chimney/wire.h"
#include "sys/loop.h"
#include "verify.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct wire {
    char name[32];
    int ifindex;
};

struct verify {
    bool on;
};

struct house {
    struct sys_loop *loop;
    struct {
        char adapter[64], driver[16], below[64];
        void *device;
    } floors[16];
    unsigned count;
};

/* What a move down of this connection comes to. */
static const struct fake_row {
    const char *local, *peer;
    pid_t pid;
    const char *command;
    enum hoststack_outcome outcome;
    enum hoststack_reason reason;
} rows[] = {
    {"10.0.0.1:80", "10.0.0.2:40001", 100, "nginx", HOSTSTACK_DONE, HOSTSTACK_NONE},
    {"10.0.0.1:80", "10.0.0.2:40002", 100, "nginx", HOSTSTACK_DONE, HOSTSTACK_NONE},
    {"10.0.0.1:80", "10.0.0.3:40003", 101, "nginx", HOSTSTACK_REFUSED, HOSTSTACK_ECN},
    {"[fd00::1]:80", "[fd00::2]:40004", 102, "caf\xe9", HOSTSTACK_LOST, HOSTSTACK_RESET_BY_PEER},
    {"10.0.0.1:81", "10.0.0.2:40005", 103, "old", HOSTSTACK_UNSUPPORTED, HOSTSTACK_TARGET_REFUSED},
    {"10.0.0.1:82", "10.0.0.2:40006", 104, "foreign", HOSTSTACK_DENIED, HOSTSTACK_NO_PRIVILEGE},
};
#define ROW_COUNT (sizeof(rows) / sizeof(rows[0]))

struct hoststack {
    struct sys_loop *loop;
    bool offloaded[ROW_COUNT];
    struct hoststack_totals totals;
    /* The request being served, one connection per turn of the loop. */
    struct hoststack_request request;
    struct hoststack_selector selector;
    bool serving, down;
    unsigned next, moves;
    struct sys_task turn;
    void (*on_move)(void *arg, const struct hoststack_move *move);
    void *on_move_arg;
};

#define fake_say(...) fprintf(stderr, "fake: " __VA_ARGS__)

/* ---- wires ---- */

static int
fake_wire_open(const char *kind, const char *name, struct wire **out)
{
    struct wire *wire = calloc(1, sizeof(*wire));

    if (wire == NULL)
        return -ENOMEM;
    snprintf(wire->name, sizeof(wire->name), "%s %s", kind, name);
    wire->ifindex = (int)if_nametoindex(name);
    fake_say("open %s\n", wire->name);
    *out = wire;
    return 0;
}

int
wire_tap_open(struct sys_loop *loop, const char *ifname, const uint8_t *mac, unsigned mtu,
              struct wire **out)
{
    return fake_wire_open("tap", ifname, out);
}

int
wire_port_open(struct sys_loop *loop, const char *ifname, const uint8_t *mac, unsigned mtu,
               struct wire **out)
{
    return wire_tap_open(loop, ifname, mac, mtu, out);
}

int
wire_packet_hear_all(struct wire *wire)
{
    return 0;
}

int
wire_packet_open(struct sys_loop *loop, const char *ifname, int filter_fd, uint32_t mark,
                 struct wire **out)
{
    /* What the filter and the mark of a host stack that has been created look like. */
    return filter_fd == 77 && mark != 0 ? fake_wire_open("packet", ifname, out) : -EBADF;
}

void
wire_close(struct wire *wire)
{
    fake_say("close %s\n", wire->name);
    free(wire);
}

int
wire_ifindex(const struct wire *wire)
{
    return wire->ifindex;
}

void
wire_set_watcher(struct wire *wire, const struct wire_watcher *watcher, void *arg)
{
    fake_say("%s %s\n", watcher != NULL ? "listen to" : "leave", wire->name);
}

size_t
wire_tx_copy(const struct wire_tx *frame, void *to, size_t max)
{
    return 0;
}

size_t
wire_tx_length(const struct wire_tx *frame)
{
    return 0;
}

bool
wire_link_up(const struct wire *wire)
{
    return true;
}

/* ---- the house ---- */

/* Its traces are only names. */
struct trace *
trace_join(const char *adapter, const void *wire)
{
    fake_say("trace %s joined to %s\n", adapter, ((const struct wire *)wire)->name);
    return calloc(1, 1);
}

void
trace_leave(struct trace *trace)
{
    fake_say("trace left\n");
    free(trace);
}

void
trace_frame(struct trace *trace, const struct trace_frame *frame)
{
}

int
house_create(struct sys_loop *loop, struct house **out)
{
    *out = calloc(1, sizeof(**out));
    if (*out == NULL)
        return -ENOMEM;
    (*out)->loop = loop;
    return 0;
}

void
house_destroy(struct house *house)
{
    fake_say("house down\n");
    free(house);
}

struct verify *
verify_open(struct sys_loop *loop, struct house *house)
{
    fprintf(stderr, "verify on\n");
    return calloc(1, sizeof(struct verify));
}

struct verify_wire *
verify_wire(struct verify *verify, struct wire *wire, const char *adapter)
{
    fprintf(stderr, "verify %s\n", adapter);
    return (struct verify_wire *)verify;
}

void
verify_frame(const struct verify_wire *watched, bool out, const struct wire_tx *frame)
{
}

void
verify_close(struct verify *verify)
{
    if (verify != NULL)
        fprintf(stderr, "verify off\n");
    free(verify);
}

struct sys_loop *
house_loop(const struct house *house)
{
    return house->loop;
}

int
house_load(struct house *house, const char *name, house_driver_entry entry, void *context)
{
    return entry != NULL ? 0 : -EINVAL;
}

int
house_load_file(struct house *house, const char *name, const char *path)
{
    if (strcmp(name, "passthru") == 0)
        return -EEXIST;
    fake_say("driver %s from %s\n", name, path);
    return strcmp(name, "misfit") == 0 ? -ENOEXEC : 0;
}

static int
house_add_floor(struct house *house, const char *driver, const char *adapter, const char *below,
                void *device)
{
    if (house->count == sizeof(house->floors) / sizeof(house->floors[0]))
        return -ENOMEM;
    snprintf(house->floors[house->count].adapter, sizeof(house->floors[0].adapter), "%s", adapter);
    snprintf(house->floors[house->count].driver, sizeof(house->floors[0].driver), "%s", driver);
    snprintf(house->floors[house->count].below, sizeof(house->floors[0].below), "%s", below);
    house->floors[house->count].device = device;
    house->count++;
    fake_say("floor %s on %s\n", adapter, below[0] != '\0' ? below : "its wire");
    return 0;
}

int
house_add_adapter(struct house *house, const char *driver, const char *adapter, void *device,
                  const struct house_option *options)
{
    return device != NULL ? house_add_floor(house, driver, adapter, "", device) : -EINVAL;
}

int
house_bind(struct house *house, const char *protocol, const char *adapter, const char *section)
{
    return house_add_floor(house, protocol, section, adapter, NULL);
}

int
house_set_options(struct house *house, const char *adapter, const struct house_option *options)
{
    return 0;
}

void
house_walk(struct house *house, void (*fn)(void *arg, const struct house_floor *floor), void *arg)
{
    for (unsigned i = house->count; i-- > 0;) {
        struct house_floor floor = {
            .adapter = house->floors[i].adapter,
            .driver = house->floors[i].driver,
            .state = "Running",
            .below = house->floors[i].below[0] != '\0' ? house->floors[i].below : NULL,
            .device = house->floors[i].device,
            .protocols = i + 1 == house->count ? "linux" : "passthru",
            .congestion = house->floors[i].device != NULL ? "NewReno" : NULL,
            .chimney = true,
        };

        fn(arg, &floor);
    }
}

/* ---- the host stack ---- */

static void
fake_info(const struct hoststack *stack, unsigned row, struct hoststack_conn_info *out)
{
    *out = (struct hoststack_conn_info){.id = row + 1, .pid = rows[row].pid, .inode = 1000 + row};
    hoststack_parse_endpoint(rows[row].local, &out->local);
    hoststack_parse_endpoint(rows[row].peer, &out->peer);
    snprintf(out->state, sizeof(out->state), "ESTABLISHED");
    snprintf(out->owner, sizeof(out->owner), "%s", stack->offloaded[row] ? "target" : "kernel");
    snprintf(out->interface, sizeof(out->interface), "lo");
    snprintf(out->command, sizeof(out->command), "%s", rows[row].command);
}

static bool
endpoint_fits(const struct hoststack_endpoint *wanted, const struct hoststack_endpoint *there)
{
    return (wanted->any_port || wanted->port == there->port) &&
           (wanted->any_address ||
            (wanted->family == there->family &&
             memcmp(wanted->address, there->address, sizeof(there->address)) == 0));
}

static bool
fake_fits(const struct hoststack_selector *selector, const struct hoststack_conn_info *info)
{
    return (selector->pid == 0 || selector->pid == info->pid) &&
           endpoint_fits(&selector->local, &info->local) &&
           endpoint_fits(&selector->peer, &info->peer);
}

static void
fake_tell(struct hoststack *stack, const struct hoststack_move *move)
{
    stack->moves++;
    stack->request.on_move(stack->request.arg, move);
    if (stack->on_move != NULL)
        stack->on_move(stack->on_move_arg, move);
}

static void
fake_move(struct hoststack *stack, unsigned row)
{
    struct hoststack_move move = {.down = stack->down,
                                  .outcome = rows[row].outcome,
                                  .reason = rows[row].reason,
                                  .held_us = 120 + row,
                                  .total_us = 2500,
                                  .send_queue_bytes = 65160};

    if (stack->down && stack->offloaded[row]) {
        move.outcome = HOSTSTACK_REFUSED;
        move.reason = HOSTSTACK_ALREADY_OFFLOADED;
    } else if (!stack->down && !stack->offloaded[row]) {
        move.outcome = HOSTSTACK_REFUSED;
        move.reason = HOSTSTACK_NOT_OFFLOADED;
    } else if (move.outcome == HOSTSTACK_DONE) {
        stack->offloaded[row] = stack->down;
    }
    fake_info(stack, row, &move.conn);
    fake_tell(stack, &move);
}

static void
fake_refuse_selector(struct hoststack *stack)
{
    const struct hoststack_selector *selector = &stack->selector;
    const struct hoststack_move move = {
        .conn = {.local = selector->local, .peer = selector->peer, .pid = selector->pid},
        .down = stack->down,
        .outcome = HOSTSTACK_REFUSED,
        .reason = HOSTSTACK_NO_SUCH_CONNECTION};

    fake_tell(stack, &move);
}

static void
on_turn(void *arg)
{
    struct hoststack *stack = arg;
    struct hoststack_conn_info info;

    while (stack->next < ROW_COUNT) {
        unsigned row = stack->next++;

        fake_info(stack, row, &info);
        if (fake_fits(&stack->selector, &info)) {
            fake_move(stack, row);
            sys_loop_defer(stack->loop, &stack->turn);
            return;
        }
    }
    if (stack->moves == 0)
        fake_refuse_selector(stack);
    stack->serving = false;
    stack->request.on_end(stack->request.arg, 0, stack->moves);
}

static int
fake_start(struct hoststack *stack, bool down, const struct hoststack_selector *selector,
           const struct hoststack_request *request)
{
    if (stack->serving)
        return -EBUSY;
    stack->serving = true;
    stack->down = down;
    stack->selector = *selector;
    stack->request = *request;
    stack->next = stack->moves = 0;
    /* A request for this peer is never answered: a client must be able to go away, and so must we.
     */
    if (selector->peer.port != 9)
        sys_loop_defer(stack->loop, &stack->turn);
    return 0;
}

int
hoststack_create(struct house *house, const struct hoststack_options *options,
                 struct hoststack **out, const char **why)
{
    struct hoststack *stack;

    if (options->mark == 13) {
        *why = "the kernel is too old";
        return -EOPNOTSUPP;
    }
    stack = calloc(1, sizeof(*stack));
    if (stack == NULL)
        return -ENOMEM;
    stack->loop = house_loop(house);
    sys_task_init(&stack->turn, on_turn, stack);
    *out = stack;
    fake_say("host stack up\n");
    return 0;
}

void
hoststack_destroy(struct hoststack *stack)
{
    /* Answers that are under way arrive; clients are still listened to. */
    for (unsigned i = 0; i < 10; i++)
        sys_loop_turn(stack->loop, false);
    sys_task_cancel(&stack->turn);
    fake_say("host stack down\n");
    free(stack);
}

int
hoststack_wire_filter(const struct hoststack *stack)
{
    return 77;
}

uint32_t
hoststack_wire_mark(const struct hoststack *stack)
{
    return 1;
}

/* The loopback interface is the one that every machine has: here it may be served. */
int
hoststack_check_interface(const char *ifname, const char **why)
{
    *why = "there is no such interface";
    return if_nametoindex(ifname) != 0 ? 0 : -ENODEV;
}

int
hoststack_add_interface(struct hoststack *stack, const char *ifname, const char *adapter,
                        struct wire *tap, struct wire *wire, const char **why)
{
    fake_say("interface %s over %s\n", ifname, adapter);
    wire_close(tap);
    return 0;
}

int
hoststack_add_port(struct hoststack *stack, const char *ifname, const char *adapter,
                   struct wire *tap, struct wire *const *wires, unsigned wire_count,
                   const char **why)
{
    fake_say("port %s over %s\n", ifname, adapter);
    wire_close(tap);
    return 0;
}

/* A list that waits for its turn. */
struct fake_list {
    struct hoststack *stack;
    struct hoststack_selector selector;
    struct hoststack_request request;
    struct sys_task task;
};

static void
on_list(void *arg)
{
    struct fake_list *list = arg;
    unsigned count = 0, copies = list->selector.peer.port == 7 ? 100000 : 0;
    struct hoststack_conn_info info;

    for (unsigned row = 0; row < ROW_COUNT; row++) {
        fake_info(list->stack, row, &info);
        if (fake_fits(&list->selector, &info)) {
            list->request.on_conn(list->request.arg, &info);
            count++;
        }
    }
    /* A long list, for the bounds of an answer. */
    fake_info(list->stack, 0, &info);
    for (; copies > 0; copies--, count++)
        list->request.on_conn(list->request.arg, &info);
    /* What cannot be looked for. */
    list->request.on_end(list->request.arg, list->selector.peer.port == 8 ? -EACCES : 0, count);
    free(list);
}

int
hoststack_list(struct hoststack *stack, const struct hoststack_selector *selector,
               const struct hoststack_request *request)
{
    struct fake_list *list = malloc(sizeof(*list));

    if (list == NULL)
        return -ENOMEM;
    *list = (struct fake_list){.stack = stack, .selector = *selector, .request = *request};
    sys_task_init(&list->task, on_list, list);
    sys_loop_defer(stack->loop, &list->task);
    return 0;
}

int
hoststack_offload(struct hoststack *stack, const struct hoststack_selector *selector,
                  const struct hoststack_request *request)
{
    return fake_start(stack, true, selector, request);
}

int
hoststack_upload(struct hoststack *stack, const struct hoststack_selector *selector,
                 const struct hoststack_request *request)
{
    return fake_start(stack, false, selector, request);
}

void
hoststack_on_move(struct hoststack *stack, void (*fn)(void *arg, const struct hoststack_move *move),
                  void *arg)
{
    stack->on_move = fn;
    stack->on_move_arg = arg;
}

void
hoststack_read_totals(struct hoststack *stack, struct hoststack_totals *out)
{
    *out = stack->totals;
    out->wire_retransmits = 12;
    out->wire_segments_out = UINT64_C(5000000000);
}
