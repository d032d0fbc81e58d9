/*
 * chimneyd and chimneyctl as programs, over a real socket, with a host stack made of cardboard
 * (fake_hoststack.c). Nothing here waits by sleeping: a program is ready when it says so.
 */
#include "harness.h"

#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 20 /* only how long a broken program may hang */
#define WORDS 20

/* ---- programs ---- */

const char *
program(const char *variable)
{
    const char *path = getenv(variable);

    if (path == NULL)
        fail_msg("%s is not set; run this with meson test", variable);
    return path;
}

/* Starts argv with standard output and error in files (an existing descriptor each). */
static pid_t
spawn(const char *const *argv, int out, int err, int keep)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    if (keep >= 0)
        fcntl(keep, F_SETFD, 0);
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

static int
wait_code(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void
slurp(int fd, char *out, size_t size)
{
    ssize_t got = pread(fd, out, size - 1, 0);

    out[got > 0 ? got : 0] = '\0';
    close(fd);
}

static int
scratch_file(void)
{
    char path[] = "/tmp/daemon_test-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);

    assert_true(fd >= 0);
    unlink(path);
    return fd;
}

void
run_program(struct result *result, const char *path, const char *const *words)
{
    const char *argv[WORDS + 2] = {path};
    int out = scratch_file(), err = scratch_file();

    for (int i = 0; words[i] != NULL; i++) {
        assert_true(i < WORDS);
        argv[i + 1] = words[i];
    }
    result->code = wait_code(spawn(argv, out, err, -1));
    slurp(out, result->out, sizeof(result->out));
    slurp(err, result->err, sizeof(result->err));
}

void
check_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("'%s' is not in:\n%s", part, text);
}

/* a stands before b in text. */
void
check_order(const char *text, const char *a, const char *b)
{
    check_contains(text, a);
    if (strstr(strstr(text, a), b) == NULL)
        fail_msg("'%s' does not follow '%s' in:\n%s", b, a, text);
}

/* ---- the daemon ---- */

void
daemon_start(struct daemon *daemon)
{
    char fd_text[16], line[16] = "";
    int ready[2], log, out = scratch_file();

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    log = open(daemon->log, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(log >= 0);
    snprintf(fd_text, sizeof(fd_text), "%d", ready[1]);
    const char *argv[] = {program("CHIMNEYD"),
                          "--socket",
                          daemon->socket,
                          "--stack",
                          daemon->stack != NULL ? daemon->stack : "lo=passthru,passthru",
                          "--ready-fd",
                          fd_text,
                          "--foreground",
                          "--verify",
                          NULL};
    daemon->pid = spawn(argv, out, log, ready[1]);
    close(ready[1]);
    close(log);
    /* Ends with an error when the daemon dies instead. */
    assert_true(read(ready[0], line, sizeof(line)) > 0);
    assert_string_equal(line, "ready\n");
    close(ready[0]);
    slurp(out, line, sizeof(line));
    assert_string_equal(line, "ready\n");
}

int
daemon_stop(struct daemon *daemon, int signal)
{
    pid_t pid = daemon->pid;

    daemon->pid = 0;
    assert_int_equal(kill(pid, signal), 0);
    return wait_code(pid);
}

int
setup(void **state)
{
    struct daemon *daemon = calloc(1, sizeof(*daemon));

    snprintf(daemon->dir, sizeof(daemon->dir), "/tmp/daemon_test-XXXXXX");
    assert_non_null(mkdtemp(daemon->dir));
    snprintf(daemon->socket, sizeof(daemon->socket), "%s/socket", daemon->dir);
    snprintf(daemon->log, sizeof(daemon->log), "%s/log", daemon->dir);
    *state = daemon;
    daemon_start(daemon);
    return 0;
}

int
teardown(void **state)
{
    struct daemon *daemon = *state;
    char command[64];

    if (daemon->pid > 0)
        daemon_stop(daemon, SIGKILL);
    snprintf(command, sizeof(command), "rm -rf %s", daemon->dir);
    assert_int_equal(system(command), 0);
    free(daemon);
    return 0;
}

void
read_log(const struct daemon *daemon, char *text, size_t size)
{
    int fd = open(daemon->log, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    slurp(fd, text, size);
}

/* ---- the socket without chimneyctl ---- */

int
raw_connect(const struct daemon *daemon)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PATIENCE_S};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(address.sun_path, daemon->socket, strlen(daemon->socket) + 1);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

void
raw_send(int fd, const char *bytes, size_t length)
{
    assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), (ssize_t)length);
}

/* Reads lines until one that ends an answer; its "code", and "error" in words (may be NULL). */
int
raw_end(FILE *stream, char words[256], unsigned *lines)
{
    char *line = NULL;
    size_t size = 0;
    int code = -1;

    *lines = 0;
    while (code < 0 && getline(&line, &size, stream) > 0) {
        json_t *object = json_loads(line, 0, NULL);

        assert_non_null(object);
        if (json_is_true(json_object_get(object, "end"))) {
            const char *error = json_string_value(json_object_get(object, "error"));

            code = (int)json_integer_value(json_object_get(object, "code"));
            snprintf(words, 256, "%s", error != NULL ? error : "");
        } else {
            ++*lines;
        }
        json_decref(object);
    }
    free(line);
    return code;
}

int
raw_ask(const struct daemon *daemon, const char *bytes, size_t length, char words[256])
{
    int fd = raw_connect(daemon), code;
    FILE *stream = fdopen(fd, "r");
    unsigned lines;

    raw_send(fd, bytes, length);
    code = raw_end(stream, words, &lines);
    fclose(stream);
    return code;
}
