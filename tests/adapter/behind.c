/*
 * What stands behind the device: a house on a thread of its own, in a network namespace of its own.
 *
 *   the tool's namespace                     ours
 *   tun0 ── packet socket ── soft target ── host stack ── port tun0 ── kernel sockets
 *
 * The trick is that a descriptor stays where it was made: the wire is opened before the thread
 * leaves the tool's namespace, the sockets are made afterwards, and both are used from anywhere. A
 * port needs no steering, and the kernel of our namespace knows no other way than through it. On
 * the device a wall keeps the kernel of the tool's namespace out, which would reset connections
 * that it has never heard of.
 */
#include "behind.h"

#include "base/log.h"
#include "bpf/steer.h"
#include "chimney/house.h"
#include "chimney/wire.h"
#include "wire/wire.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define TARGET "soft"

/* ---- moves ---- */

static void
ignore_conn(void *arg, const struct hoststack_conn_info *info)
{
}

/* Everybody's moves are told to on_move of the stack. */
static void
ignore_move(void *arg, const struct hoststack_move *move)
{
}

static void
ignore_end(void *arg, int error, unsigned count)
{
}

/* The kernel had to acknowledge the peer's FIN; what else there is to say is the target's. */
static void
hand_over_again(struct behind *behind, const struct hoststack_conn_info *conn)
{
    struct hoststack_selector selector = {.local = conn->local, .peer = conn->peer};
    struct hoststack_request request = {ignore_conn, ignore_move, ignore_end, NULL};
    int error = hoststack_offload(behind->stack, &selector, &request);

    if (error != 0)
        log_warn("adapter: not handed over again: %s", strerror(-error));
}

static void
on_move(void *arg, const struct hoststack_move *move)
{
    struct behind *behind = arg;

    behind->on_move(behind->on_move_arg, move);
    if (!move->down && move->outcome == HOSTSTACK_DONE && move->reason == HOSTSTACK_PEER_FINISHED &&
        strcmp(move->conn.state, "CLOSE_WAIT") == 0)
        hand_over_again(behind, &move->conn);
}

/* ---- building ---- */

static int
fail(struct behind *behind, int error, const char *why)
{
    if (error != 0)
        snprintf(behind->why, ADAPTER_WHY_BYTES, "%s: %s (%s)", behind->device.name, why,
                 strerror(-error));
    return error;
}

/* Two adapters would both answer. The name goes with its descriptor. */
static int
claim_device(struct behind *behind, int ifindex)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "chimney-adapter-%d", ifindex);

    behind->claim = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (behind->claim < 0)
        return -errno;
    if (bind(behind->claim, (struct sockaddr *)&name,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) != 0)
        return errno == EADDRINUSE ? -EBUSY : -errno;
    return 0;
}

/* In the tool's namespace. */
static int
build_wire(struct behind *behind)
{
    const char *why = NULL;
    int error = steer_open(NULL, &behind->wall, &why);

    if (error != 0)
        return fail(behind, error, why);
    error = wire_packet_open(behind->loop, behind->device.name, -1, steer_mark(behind->wall),
                             &behind->wire);
    if (error == 0 && !behind->device.bare)
        error = wire_packet_hear_all(behind->wire);
    if (error != 0)
        return fail(behind, error, "packet socket");
    error = claim_device(behind, wire_ifindex(behind->wire));
    if (error != 0)
        return fail(behind, error, "another adapter has it");
    return fail(behind, steer_wall(behind->wall, wire_ifindex(behind->wire), &why), why);
}

/* The port looks like the device. Over a TUN nobody asks for link addresses. */
static int
build_port(struct behind *behind)
{
    struct settings *settings = settings_read();
    const uint8_t *mac = wire_mac(behind->wire);
    unsigned mtu = wire_mtu(behind->wire);
    int error = 0;

    if (unshare(CLONE_NEWNET) != 0) {
        error = fail(behind, -errno, "no network namespace can be made");
    } else {
        settings_write(settings);
        behind->wire->ifindex = 0; /* a number of the other namespace */
        error = (behind->device.bare ? wire_tap_open : wire_port_open)(
            behind->loop, behind->device.name, mac, mtu, &behind->port);
        fail(behind, error, "the port that stands in for it");
    }
    settings_free(settings);
    return error;
}

static int
build_house(struct behind *behind)
{
    struct hoststack_options options = {.mark = steer_mark(behind->wall)};
    const char *name = behind->device.name, *why = NULL;
    int error = house_create(behind->loop, &behind->house);

    if (error == 0)
        error = house_load(behind->house, TARGET, soft_target_entry, NULL);
    if (error != 0)
        return fail(behind, error, "house");
    error = hoststack_create(behind->house, &options, &behind->stack, &why);
    if (error != 0)
        return fail(behind, error, why);
    hoststack_on_move(behind->stack, on_move, behind);
    error = house_add_adapter(behind->house, TARGET, name, behind->wire, NULL);
    if (error != 0)
        return fail(behind, error, "the target does not start");
    error = hoststack_add_port(behind->stack, name, name, behind->port, &behind->wire, 1, &why);
    if (error != 0)
        return fail(behind, error, why);
    error = wire_ifindex(behind->port);
    behind->port = NULL; /* the stack's */
    return fail(behind, device_settle(&behind->device, error, &why), why);
}

static int
build(struct behind *behind)
{
    int error;

    behind->loop = sys_loop_create();
    if (behind->loop == NULL)
        return fail(behind, -ENOMEM, "event loop");
    error = build_wire(behind);
    if (error == 0)
        error = build_port(behind);
    return error != 0 ? error : build_house(behind);
}

static void
take_down(struct behind *behind)
{
    if (behind->stack != NULL)
        hoststack_destroy(behind->stack);
    if (behind->house != NULL)
        house_destroy(behind->house);
    wire_close(behind->port);
    wire_close(behind->wire);
    if (behind->wall != NULL)
        steer_close(behind->wall);
    if (behind->claim >= 0)
        close(behind->claim);
    if (behind->loop != NULL)
        sys_loop_destroy(behind->loop);
}

/* Whoever waits behind others for a processor misses the beat. Without the right to it we hope. */
static void
ask_for_priority(void)
{
    struct sched_param param = {.sched_priority = 1};

    if (pthread_setschedparam(pthread_self(), SCHED_RR, &param) != 0)
        log_info("adapter: no real-time priority");
}

static void *
live(void *arg)
{
    struct behind *behind = arg;
    int error = build(behind);

    if (error == 0)
        ask_for_priority();
    pthread_mutex_lock(&behind->lock);
    behind->start_error = error;
    behind->started = true;
    pthread_cond_broadcast(&behind->change);
    pthread_mutex_unlock(&behind->lock);
    if (error == 0)
        sys_loop_run(behind->loop);
    take_down(behind);
    return NULL;
}

static void
stop(void *arg)
{
    sys_loop_stop(((struct behind *)arg)->loop);
}

/* ---- from outside ---- */

static struct behind *
create(behind_move_fn fn, void *arg, char *why)
{
    struct behind *behind = calloc(1, sizeof(*behind));
    pthread_condattr_t clock;

    if (behind == NULL)
        return NULL;
    behind->on_move = fn;
    behind->on_move_arg = arg;
    behind->why = why;
    behind->claim = -1;
    sys_task_init(&behind->stop, stop, behind);
    pthread_mutex_init(&behind->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&behind->change, &clock);
    pthread_condattr_destroy(&clock);
    return behind;
}

static void
destroy(struct behind *behind)
{
    pthread_cond_destroy(&behind->change);
    pthread_mutex_destroy(&behind->lock);
    free(behind);
}

/* The signals of the tool are the tool's. */
static int
start(struct behind *behind)
{
    sigset_t all, before;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&behind->thread, NULL, live, behind);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        return fail(behind, -error, "no thread");
    pthread_mutex_lock(&behind->lock);
    while (!behind->started)
        pthread_cond_wait(&behind->change, &behind->lock);
    error = behind->start_error;
    pthread_mutex_unlock(&behind->lock);
    if (error != 0)
        pthread_join(behind->thread, NULL);
    return error;
}

int
behind_open(const char *device, behind_move_fn fn, void *arg, struct behind **out,
            char why[ADAPTER_WHY_BYTES])
{
    struct behind *behind = create(fn, arg, why);
    const char *words;
    int error;

    if (behind == NULL)
        return -ENOMEM;
    error = device_read(&behind->device, device, &words);
    if (error != 0)
        snprintf(why, ADAPTER_WHY_BYTES, "%s: %s", device, words);
    else
        error = start(behind);
    if (error != 0) {
        destroy(behind);
        return error;
    }
    *out = behind;
    return 0;
}

void
behind_close(struct behind *behind)
{
    sys_loop_post(behind->loop, &behind->stop);
    pthread_join(behind->thread, NULL);
    destroy(behind);
}
