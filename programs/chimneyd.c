/*
 * chimneyd: offloads live TCP connections of unmodified processes on request.
 *
 * The process may die at any moment without harm to a connection; dying slowly is what hurts, so it
 * never dumps core. Ending on SIGTERM or SIGINT gives everything back first.
 */
#include "assembly.h"
#include "base/log.h"
#include "chimney/hoststack.h"
#include "config.h"
#include "control.h"
#include "message.h"
#include "sys/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/*
 * With 0 the kernel still feeds a core to a pipe handler; 1 byte is the value at which it writes
 * neither a file nor to a pipe.
 */
static void
forbid_core_dumps(void)
{
    struct rlimit limit = {.rlim_cur = 1, .rlim_max = 1};

    if (setrlimit(RLIMIT_CORE, &limit) != 0)
        log_warn("core dumps stay possible: %s", strerror(errno));
}

/* Whoever waits behind others for a processor misses the beat, and gives everything up. */
static void
raise_priority(int nice)
{
    if (setpriority(PRIO_PROCESS, 0, nice) != 0)
        log_warn("the priority stays as it is, nice %d was wanted: %s", nice, strerror(errno));
}

/* SIGTERM and SIGINT, which no longer interrupt anything: they arrive at a descriptor. */
struct signals {
    struct sys_loop *loop;
    struct sys_watch watch;
    int fd;
    bool stopped; /* once is enough: what is given back turns the loop, too */
};

static void
on_signal(void *arg, int events)
{
    struct signals *signals = arg;
    struct signalfd_siginfo info;

    while (read(signals->fd, &info, sizeof(info)) > 0)
        continue;
    if (signals->stopped)
        return;
    signals->stopped = true;
    log_info("shutting down");
    sys_loop_stop(signals->loop);
}

static int
signals_init(struct signals *signals, struct sys_loop *loop)
{
    sigset_t set;
    int error;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    *signals = (struct signals){.loop = loop};
    signals->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals->fd < 0)
        return -errno;
    error = sys_watch_start(&signals->watch, loop, signals->fd, SYS_READABLE, on_signal, signals);
    if (error != 0)
        close(signals->fd);
    return error;
}

static void
signals_fini(struct signals *signals)
{
    sys_watch_stop(&signals->watch);
    close(signals->fd);
}

/* sd_notify(3) in a few lines: one datagram to the socket that the service manager names. */
static void
notify_manager(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = path != NULL ? strlen(path) : 0;
    int fd;

    if (length < 2 || length >= sizeof(address.sun_path))
        return;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) < 0)
        log_warn("the service manager was not told %s: %s", state, strerror(errno));
    close(fd);
}

/* The descriptor last: who waits on it knows that everybody else was told. */
static void
say_ready(int ready_fd)
{
    static const char line[] = "ready\n";

    if (ready_fd != STDOUT_FILENO) {
        fputs(line, stdout);
        fflush(stdout);
    }
    notify_manager("READY=1");
    if (ready_fd < 0)
        return;
    if (write(ready_fd, line, sizeof(line) - 1) < 0)
        log_warn("descriptor %d: %s", ready_fd, strerror(errno));
    if (ready_fd > STDERR_FILENO)
        close(ready_fd);
}

/* Every move, asked for or not. */
static void
on_move(void *arg, const struct hoststack_move *move)
{
    char local[MESSAGE_ENDPOINT], peer[MESSAGE_ENDPOINT];

    message_endpoint(&move->conn.local, local);
    message_endpoint(&move->conn.peer, peer);
    log_info("%s %s %s: %s (%s), held %llu us", local, peer, move->down ? "down" : "up",
             message_outcome(move->outcome), hoststack_reason_token(move->reason),
             (unsigned long long)move->held_us);
}

/* Everything is built: serves until a signal, then gives the connections back. */
static int
serve(struct sys_loop *loop, struct assembly *assembly, struct control *control, int ready_fd)
{
    int error = control_start(control, assembly->house, assembly->stack);

    if (error != 0) {
        log_error("control socket: %s", strerror(-error));
        return error;
    }
    hoststack_on_move(assembly->stack, on_move, NULL);
    say_ready(ready_fd);
    sys_loop_run(loop);
    notify_manager("STOPPING=1");
    control_drain(control);
    return 0;
}

/* The control socket first: a second daemon must not get as far as the interfaces. */
static int
run(struct sys_loop *loop, const struct config *config)
{
    struct control *control = NULL;
    struct assembly assembly;
    char why[CONTROL_WHY];
    int error = control_open(loop, config->socket, &control, why);

    if (error != 0) {
        log_error("%s: %s", config->socket, why);
        return error;
    }
    error = assembly_init(&assembly, loop, config);
    if (error == 0)
        error = serve(loop, &assembly, control, config->ready_fd);
    else
        log_error("%s", assembly.error);
    assembly_fini(&assembly);
    control_close(control);
    return error;
}

/* 0 or a negative errno. */
static int
run_on_a_loop(const struct config *config)
{
    struct sys_loop *loop = sys_loop_create();
    struct signals signals;
    int error;

    if (loop == NULL) {
        log_error("no event loop");
        return -ENOMEM;
    }
    error = signals_init(&signals, loop);
    if (error == 0) {
        error = run(loop, config);
        signals_fini(&signals);
    } else {
        log_error("signals: %s", strerror(-error));
    }
    sys_loop_destroy(loop);
    return error;
}

int
main(int argc, char **argv)
{
    struct config config;
    int error;

    config_init(&config);
    error = config_read_arguments(&config, argc, argv);
    if (error > 0)
        return MESSAGE_DONE;
    if (error < 0) {
        fprintf(stderr, "chimneyd: %s\n", config.error);
        return MESSAGE_USAGE;
    }
    log_set_level(config.log);
    forbid_core_dumps();
    raise_priority(config.nice);
    if (config.lock_memory && mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        log_warn("memory cannot be locked: %s", strerror(errno));
    return (int)message_code_of_errno(run_on_a_loop(&config));
}
