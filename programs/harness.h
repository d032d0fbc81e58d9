/* What the tests of chimneyd and chimneyctl share. Every function fails the test by itself. */
#ifndef PROGRAMS_HARNESS_H
#define PROGRAMS_HARNESS_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

struct daemon {
    pid_t pid;
    char dir[32], socket[64], log[64];
    const char *stack; /* NULL: lo with two passthru floors */
};

struct result {
    int code;
    char out[16384], err[4096];
};

/* The path that an environment variable of the test run holds. */
const char *program(const char *variable);
/* Runs it to its end; words end with NULL. */
void run_program(struct result *result, const char *path, const char *const *words);

#define CTL(daemon, result, ...)                                                                   \
    run_program(result, program("CHIMNEYCTL"),                                                     \
                (const char *[]){"--socket", (daemon)->socket, __VA_ARGS__, NULL})
#define CHIMNEYD(result, ...)                                                                      \
    run_program(result, program("CHIMNEYD"), (const char *[]){__VA_ARGS__, NULL})

void check_contains(const char *text, const char *part);
/* b follows a. */
void check_order(const char *text, const char *a, const char *b);

/* A test between setup and teardown has a daemon in *state, and a directory of its own. */
int setup(void **state);
int teardown(void **state);
#define DAEMON_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* Returns when it is ready. */
void daemon_start(struct daemon *daemon);
/* What it ended with; 128 + signal when a signal ended it. */
int daemon_stop(struct daemon *daemon, int signal);
void read_log(const struct daemon *daemon, char *text, size_t size);

/* The socket without chimneyctl. */
int raw_connect(const struct daemon *daemon);
void raw_send(int fd, const char *bytes, size_t length);
/* Reads one answer: its code, its error in words, the number of lines before the end. */
int raw_end(FILE *stream, char words[256], unsigned *lines);
/* A connection for one request. */
int raw_ask(const struct daemon *daemon, const char *bytes, size_t length, char words[256]);

#endif
