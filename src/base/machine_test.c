/*
 * A door with a lock: which edges it has, what is counted, and what a process leaves behind when it
 * exits. The test runs itself once more for that, since what counts is the environment before main.
 */
#include "base/machine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DOOR_STATES(X) X(OPEN) X(SHUT) X(LOCKED)
#define DOOR_EDGES(X) X(OPEN, SHUT) X(SHUT, OPEN) X(SHUT, LOCKED) X(LOCKED, SHUT)
#define DOOR_ENUM(name) DOOR_##name,
enum door { DOOR_STATES(DOOR_ENUM) DOOR_COUNT };

#define NAME(name) [DOOR_##name] = #name,
#define EDGE(from, to) [DOOR_##from][DOOR_##to].legal = true,
static const char *const names[DOOR_COUNT] = {DOOR_STATES(NAME)};
static struct machine_edge edges[DOOR_COUNT][DOOR_COUNT] = {DOOR_EDGES(EDGE)};
MACHINE(door, "door", names, edges);

/* One more in the same program, that nothing moves. */
static struct machine_edge still_edges[DOOR_COUNT][DOOR_COUNT] = {EDGE(OPEN, SHUT)};
MACHINE(still, "still", names, still_edges);

#define THREADS 4
#define TURNS 10000

static const char *program;

static void
only_what_is_listed_is_an_edge(void **state)
{
    assert_true(machine_walk(&door, DOOR_OPEN, DOOR_SHUT));
    assert_true(machine_walk(&door, DOOR_SHUT, DOOR_LOCKED));
    assert_false(machine_walk(&door, DOOR_OPEN, DOOR_LOCKED));
    assert_false(machine_walk(&door, DOOR_OPEN, DOOR_OPEN));
    assert_false(machine_walk(&still, DOOR_SHUT, DOOR_OPEN));
    /* no state at all, and not the cell of another row either */
    assert_false(machine_walk(&door, DOOR_OPEN, DOOR_COUNT + DOOR_OPEN));
    assert_false(machine_walk(&door, DOOR_COUNT, DOOR_OPEN));
    assert_false(machine_walk(&door, (unsigned)-1, DOOR_OPEN));

    assert_int_equal(edges[DOOR_OPEN][DOOR_SHUT].walked, 1);
    assert_int_equal(edges[DOOR_SHUT][DOOR_OPEN].walked, 0);
    assert_int_equal(edges[DOOR_OPEN][DOOR_LOCKED].walked, 0);
}

static void *
go_in_and_out(void *arg)
{
    for (int i = 0; i < TURNS; i++) {
        machine_walk(&door, DOOR_OPEN, DOOR_SHUT);
        machine_walk(&door, DOOR_SHUT, DOOR_OPEN);
    }
    return NULL;
}

static void
none_is_lost_between_threads(void **state)
{
    uint64_t before = edges[DOOR_SHUT][DOOR_OPEN].walked;
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, go_in_and_out, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(edges[DOOR_SHUT][DOOR_OPEN].walked - before, THREADS * TURNS);
}

/* ---- what is left behind ---- */

/* What this program does when it is told to walk: how it ends. */
static int
walk_and_end(const char *how)
{
    machine_walk(&door, DOOR_OPEN, DOOR_SHUT);
    machine_walk(&door, DOOR_SHUT, DOOR_LOCKED);
    machine_walk(&door, DOOR_LOCKED, DOOR_SHUT);
    machine_walk(&door, DOOR_SHUT, DOOR_LOCKED);
    if (!strcmp(how, "_exit"))
        _exit(0);
    return 0;
}

/* The program once more, with CHIMNEY_EDGES=folder; NULL: without. It ends well and says nothing.
 */
static void
run(const char *folder, const char *how)
{
    int says[2], status;
    char byte;
    pid_t pid;

    assert_int_equal(pipe(says), 0);
    pid = fork();
    if (pid == 0) {
        dup2(says[1], STDERR_FILENO);
        close(says[1]);
        if (folder)
            setenv("CHIMNEY_EDGES", folder, 1);
        else
            unsetenv("CHIMNEY_EDGES");
        execl(program, program, how, NULL);
        _exit(127);
    }
    close(says[1]);
    assert_int_equal(read(says[0], &byte, 1), 0);
    close(says[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void
assert_left(const char *folder, const char *name, const char *expected)
{
    char path[128], text[1024] = {0};
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "r");
    assert_int_equal(file != NULL, expected != NULL);
    if (!file)
        return;
    assert_true(fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    unlink(path);
    assert_string_equal(text, expected);
}

static void
each_process_leaves_a_file_of_its_own(void **state)
{
    static const char expected[] = "still\tOPEN\tSHUT\t0\n"
                                   "door\tOPEN\tSHUT\t1\n"
                                   "door\tSHUT\tOPEN\t0\n"
                                   "door\tSHUT\tLOCKED\t2\n"
                                   "door\tLOCKED\tSHUT\t1\n";
    char folder[] = "/tmp/machine-XXXXXX";

    assert_non_null(mkdtemp(folder));
    run(NULL, "exit");
    run(folder, "_exit");
    assert_left(folder, "1", NULL);
    run(folder, "exit");
    run(folder, "exit");
    assert_left(folder, "1", expected);
    assert_left(folder, "2", expected);
    assert_int_equal(rmdir(folder), 0); /* and nothing else */
}

static void
a_folder_that_is_not_there_does_no_harm(void **state)
{
    run("/tmp/machine-not-there/at-all", "exit");
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_listed_is_an_edge),
        cmocka_unit_test(none_is_lost_between_threads),
        cmocka_unit_test(each_process_leaves_a_file_of_its_own),
        cmocka_unit_test(a_folder_that_is_not_there_does_no_harm),
    };

    if (argc > 1)
        return walk_and_end(argv[1]);
    program = argv[0];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
