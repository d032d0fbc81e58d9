/*
 * chimneyd as a program, asked over its socket: order of building and taking down, bad input,
 * bounds, clients that go away, and ends of every kind.
 */
#include "harness.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static void
builds_in_order(void **state)
{
    struct daemon *daemon = *state;
    struct stat status;
    char log[4096];

    read_log(daemon, log, sizeof(log));
    check_order(log, "open tap chim1", "host stack up");
    check_order(log, "host stack up", "open packet lo");
    check_order(log, "verify on", "floor lo/soft on its wire");
    check_order(log, "verify lo/soft", "floor lo/passthru1 on lo/soft");
    check_order(log, "floor lo/soft on its wire", "floor lo/passthru1 on lo/soft");
    check_order(log, "floor lo/passthru1", "floor lo/passthru2 on lo/passthru1");
    check_order(log, "floor lo/passthru2", "interface lo over lo/passthru2");
    assert_int_equal(stat(daemon->socket, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
}

/* The frames of a wire go to every trace above it, and to the verifier. */
static void
traces_hear_the_wire(void **state)
{
    struct daemon *daemon = *state;
    char log[4096];

    assert_int_equal(daemon_stop(daemon, SIGTERM), 0);
    daemon->stack = "lo=trace:File=/a.pcapng,passthru,trace:File=/b.pcapng:Ring=1";
    daemon_start(daemon);
    assert_int_equal(daemon_stop(daemon, SIGTERM), 0);
    read_log(daemon, log, sizeof(log));
    check_order(log, "verify lo/soft", "trace lo/trace1 joined to packet lo");
    check_order(log, "trace lo/trace1 joined to packet lo", "floor lo/trace1 on lo/soft");
    check_order(log, "floor lo/passthru2 on lo/trace1", "trace lo/trace3 joined to packet lo");
    check_order(log, "trace lo/trace3 joined to packet lo", "floor lo/trace3 on lo/passthru2");
    assert_null(strstr(log, "passthru2 joined"));
    check_order(log, "house down", "leave packet lo");
    check_order(log, "leave packet lo", "trace left\nfake: trace left");
    check_order(log, "trace left", "close packet lo");
}

static void
bad_lines_are_answered(void **state)
{
    static const char ok[] = "{\"op\":\"status\"}\n";
    static const char three[] = "nonsense\n{\"op\":\"status\"}\n{\"op\":\"stack\"}\n";
    struct daemon *daemon = *state;
    char words[256], *line;
    unsigned lines;
    FILE *stream;
    int fd;

    assert_int_equal(raw_ask(daemon, "{\"op\":\n", 7, words), 2);
    check_contains(words, "not JSON");
    assert_int_equal(raw_ask(daemon, "\0\xff\xfe\n", 4, words), 2);
    assert_int_equal(raw_ask(daemon, "\n", 1, words), 2);
    assert_int_equal(raw_ask(daemon, "{\"op\":\"caf\xe9\"}\n", 14, words), 2);
    /* Nothing but a long line: refused at the bound, not kept. */
    line = malloc(65536);
    memset(line, 'x', 65536);
    assert_int_equal(raw_ask(daemon, line, 8192, words), 2);
    check_contains(words, "too long");
    free(line);
    /* After a bad line the next is served; lines may come together or byte by byte. */
    fd = raw_connect(daemon);
    stream = fdopen(fd, "r");
    raw_send(fd, three, sizeof(three) - 1);
    assert_int_equal(raw_end(stream, words, &lines), 2);
    assert_int_equal(raw_end(stream, words, &lines), 0);
    assert_int_equal(lines, 1);
    assert_int_equal(raw_end(stream, words, &lines), 0);
    assert_int_equal(lines, 3);
    for (unsigned i = 0; i < sizeof(ok) - 1; i++)
        raw_send(fd, ok + i, 1);
    assert_int_equal(raw_end(stream, words, &lines), 0);
    fclose(stream);
}

static void
a_long_answer_is_cut_and_says_so(void **state)
{
    static const char ask[] = "{\"op\":\"list\",\"selector\":{\"peer\":\":7\"}}\n";
    struct daemon *daemon = *state;
    int fd = raw_connect(daemon);
    FILE *stream = fdopen(fd, "r");
    struct result result;
    char words[256];
    unsigned lines;

    raw_send(fd, ask, sizeof(ask) - 1);
    /* While this client does not read, others are served. */
    CTL(daemon, &result, "status");
    assert_int_equal(result.code, 0);
    assert_int_equal(raw_end(stream, words, &lines), 4);
    check_contains(words, "too long");
    assert_true(lines > 1000 && lines < 100000);
    fclose(stream);
}

static void
many_clients_are_bounded(void **state)
{
    struct daemon *daemon = *state;
    struct result result;
    char words[256], byte;
    unsigned lines;
    int fds[64];

    for (unsigned i = 0; i < 64; i++)
        fds[i] = raw_connect(daemon);
    int more = raw_connect(daemon);
    assert_int_equal(recv(more, &byte, 1, 0), 0);
    close(more);
    CTL(daemon, &result, "status");
    assert_int_equal(result.code, 3);
    /* Those that are in are served. */
    FILE *stream = fdopen(fds[63], "r");
    raw_send(fds[63], "{\"op\":\"status\"}\n", 16);
    assert_int_equal(raw_end(stream, words, &lines), 0);
    for (unsigned i = 0; i < 63; i++)
        close(fds[i]);
    /* An answer to a later request of one client comes after the others' ends were seen. */
    raw_send(fds[63], "{\"op\":\"status\"}\n", 16);
    assert_int_equal(raw_end(stream, words, &lines), 0);
    fclose(stream);
    CTL(daemon, &result, "status");
    assert_int_equal(result.code, 0);
}

static void
clients_may_go_away(void **state)
{
    static const char list[] = "{\"op\":\"list\",\"selector\":{\"peer\":\":7\"}}\n";
    static const char move[] = "{\"op\":\"offload\",\"selector\":{\"peer\":\":9\"}}\n";
    struct daemon *daemon = *state;
    struct result result;
    int fd = raw_connect(daemon);

    /* In the middle of an answer. */
    raw_send(fd, list, sizeof(list) - 1);
    close(fd);
    CTL(daemon, &result, "status");
    assert_int_equal(result.code, 0);
    /* In the middle of a move that never ends; and the daemon ends with the move still under way.
     */
    fd = raw_connect(daemon);
    raw_send(fd, move, sizeof(move) - 1);
    close(fd);
    fd = raw_connect(daemon);
    raw_send(fd, move, sizeof(move) - 1);
    CTL(daemon, &result, "conn", "upload", "--all");
    assert_int_equal(result.code, 1);
    check_contains(result.err, "busy");
    close(fd);
    assert_int_equal(daemon_stop(daemon, SIGTERM), 0);
}

static void
a_second_daemon_is_refused(void **state)
{
    struct daemon *daemon = *state;
    struct result result;
    char words[64];

    CHIMNEYD(&result, "--socket", daemon->socket, "--stack", "lo");
    assert_int_equal(result.code, 1);
    snprintf(words, sizeof(words), "another daemon answers there (process %d)", (int)daemon->pid);
    check_contains(result.err, words);
    /* Before it has touched the interface. */
    assert_null(strstr(result.err, "fake:"));
    CTL(daemon, &result, "status");
    assert_int_equal(result.code, 0);
    CHIMNEYD(&result, "--socket", daemon->log, "--stack", "lo");
    assert_int_equal(result.code, 1);
    check_contains(result.err, "it is there, and no socket");
}

static void
a_dead_daemons_socket_is_replaced(void **state)
{
    struct daemon *daemon = *state;
    struct result result;

    assert_int_equal(daemon_stop(daemon, SIGKILL), 128 + SIGKILL);
    assert_int_equal(access(daemon->socket, F_OK), 0);
    CTL(daemon, &result, "status");
    assert_int_equal(result.code, 3);
    daemon_start(daemon);
    CTL(daemon, &result, "status");
    assert_int_equal(result.code, 0);
}

static void
a_signal_gives_everything_back(void **state)
{
    struct daemon *daemon = *state;
    char log[4096];

    assert_int_equal(daemon_stop(daemon, SIGINT), 0);
    assert_int_equal(access(daemon->socket, F_OK), -1);
    read_log(daemon, log, sizeof(log));
    check_order(log, "host stack down", "house down");
    check_order(log, "house down", "close packet lo");
    check_order(log, "close packet lo", "verify off");
}

static void
what_cannot_start_says_why(void **state)
{
    struct daemon *daemon = *state;
    struct result result;
    char other[96];

    snprintf(other, sizeof(other), "%s/other", daemon->dir);
    CHIMNEYD(&result, "--socket", other, "--stack", "lo=tokenring");
    assert_int_equal(result.code, 2);
    check_contains(result.err, "lo: no intermediate driver is called 'tokenring'; built in: "
                               "passthru, vlan, trace, fault, team\n");
    CHIMNEYD(&result, "--socket", other, "--stack", "lo=passthru:10");
    assert_int_equal(result.code, 2);
    check_contains(result.err, "lo: 'passthru:10': an option is KEY=VALUE\n");
    CHIMNEYD(&result, "--socket", other, "--stack", "lo=passthru:Id=10:Id=11");
    check_contains(result.err, "lo: 'passthru:Id=10:Id=11': an option is given twice\n");
    CHIMNEYD(&result, "--socket", other, "--stack", "no-such-if0");
    assert_int_equal(result.code, 1);
    check_contains(result.err, "no-such-if0");
    check_contains(result.err, "there is no such interface");
    CHIMNEYD(&result, "--socket", other, "--stack", "lo", "--mark", "13");
    assert_int_equal(result.code, 6);
    check_contains(result.err, "the kernel is too old");
    check_contains(result.err, "close tap chim1");
    /* What did not start leaves no socket behind. */
    assert_int_equal(access(other, F_OK), -1);
    CHIMNEYD(&result, "--socket", "/nonexistent/socket", "--stack", "lo");
    assert_int_equal(result.code, 1);
    check_contains(result.err, "/nonexistent/socket: no control socket can be made there: No such");
    CHIMNEYD(&result, "--help");
    assert_int_equal(result.code, 0);
    CHIMNEYD(&result, "--frobnicate");
    assert_int_equal(result.code, 2);
}

/* An empty file under this name, which the cardboard house takes for a driver. */
static const char *
make_file(const struct daemon *daemon, const char *name, char path[64])
{
    int fd;

    snprintf(path, 64, "%s/%s", daemon->dir, name);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    return path;
}

static void
drivers_come_from_files(void **state)
{
    struct daemon *daemon = *state;
    char mux[64], nic[64], stack[256], text[512], ini[96], other[96];
    struct result result;
    FILE *file;

    make_file(daemon, "mux.so", mux);
    make_file(daemon, "nic.so.1", nic);
    snprintf(ini, sizeof(ini), "%s/ini", daemon->dir);
    snprintf(other, sizeof(other), "%s/other", daemon->dir);
    snprintf(text, sizeof(text), "[stack lo]\nintermediate = %s,passthru, %s\ntarget = %s\n", mux,
             mux, nic);
    file = fopen(ini, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    /* Stops behind the loading: the control socket's directory is fine, the mark is not. */
    CHIMNEYD(&result, "-c", ini, "--socket", other, "--mark", "13");
    assert_int_equal(result.code, 6);
    snprintf(stack, sizeof(stack), "fake: driver nic from %s\n", nic);
    check_contains(result.err, stack);
    snprintf(stack, sizeof(stack), "fake: driver mux from %s\n", mux);
    check_contains(result.err, stack);
    assert_null(strstr(strstr(result.err, stack) + 1, "fake: driver mux")); /* once */
    unlink(ini);
    unlink(mux);
    unlink(nic);
}

static void
files_that_do_not_do_say_why(void **state)
{
    static const struct {
        const char *file, *words;
        bool there;
        int code;
    } cases[] = {
        {"gone.so", "gone.so: No such file", false, 1},
        {"misfit.so", "misfit.so: it does not fit", true, 1},
        {"passthru.so", "passthru.so: another driver is called so", true, 1},
    };
    struct daemon *daemon = *state;
    char path[64], stack[96], other[96];
    struct result result;

    snprintf(other, sizeof(other), "%s/other", daemon->dir);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        make_file(daemon, cases[i].file, path);
        if (!cases[i].there)
            unlink(path);
        snprintf(stack, sizeof(stack), "lo=%s", path);
        CHIMNEYD(&result, "--socket", other, "--stack", stack);
        assert_int_equal(result.code, cases[i].code);
        check_contains(result.err, cases[i].words);
        unlink(path);
    }
}

static void
the_service_manager_is_told(void **state)
{
    struct daemon *daemon = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    char text[32] = "";

    assert_int_equal(daemon_stop(daemon, SIGTERM), 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/notify", daemon->dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    daemon_start(daemon);
    unsetenv("NOTIFY_SOCKET");
    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "READY=1");
    assert_int_equal(daemon_stop(daemon, SIGTERM), 0);
    memset(text, 0, sizeof(text));
    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, "STOPPING=1");
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        DAEMON_TEST(builds_in_order),
        DAEMON_TEST(traces_hear_the_wire),
        DAEMON_TEST(bad_lines_are_answered),
        DAEMON_TEST(a_long_answer_is_cut_and_says_so),
        DAEMON_TEST(many_clients_are_bounded),
        DAEMON_TEST(clients_may_go_away),
        DAEMON_TEST(a_second_daemon_is_refused),
        DAEMON_TEST(a_dead_daemons_socket_is_replaced),
        DAEMON_TEST(a_signal_gives_everything_back),
        DAEMON_TEST(what_cannot_start_says_why),
        DAEMON_TEST(drivers_come_from_files),
        DAEMON_TEST(files_that_do_not_do_say_why),
        DAEMON_TEST(the_service_manager_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
