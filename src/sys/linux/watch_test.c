/*
 * Descriptors, threads and the resolution of timers: what only the real loop has.
 */
#include "sys/clock.h"
#include "sys/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct sys_loop *loop;
static int ends[2];

static int
set_up(void **state)
{
    loop = sys_loop_create();
    return loop == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

static int
tear_down(void **state)
{
    close(ends[0]);
    close(ends[1]);
    sys_loop_destroy(loop);
    return 0;
}

struct reader {
    struct sys_watch watch, *victim;
    unsigned calls;
    int events;
    char byte;
};

static void
on_events(void *arg, int events)
{
    struct reader *reader = arg;

    reader->calls++;
    reader->events = events;
    if (events & SYS_READABLE && read(reader->watch.fd, &reader->byte, 1) < 0)
        reader->byte = 'E';
    if (reader->victim != NULL)
        sys_watch_stop(reader->victim);
}

static void
readable_until_read(void **state)
{
    struct reader reader = {0};

    assert_int_equal(
        sys_watch_start(&reader.watch, loop, ends[0], SYS_READABLE, on_events, &reader), 0);
    assert_false(sys_loop_turn(loop, false));
    assert_int_equal(write(ends[1], "xy", 2), 2);
    assert_true(sys_loop_turn(loop, true));
    assert_int_equal(reader.byte, 'x');
    assert_int_equal(reader.events, SYS_READABLE);
    assert_true(sys_loop_turn(loop, true)); /* level triggered */
    assert_int_equal(reader.byte, 'y');
    assert_false(sys_loop_turn(loop, false));
    assert_int_equal(reader.calls, 2);
    sys_watch_stop(&reader.watch);
    sys_watch_stop(&reader.watch);
}

static void
events_can_be_switched(void **state)
{
    struct reader reader = {0};

    assert_int_equal(sys_watch_start(&reader.watch, loop, ends[0], 0, on_events, &reader), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    assert_false(sys_loop_turn(loop, false));
    assert_int_equal(sys_watch_events(&reader.watch, SYS_WRITABLE), 0);
    assert_true(sys_loop_turn(loop, true));
    assert_int_equal(reader.events, SYS_WRITABLE);
    assert_int_equal(sys_watch_events(&reader.watch, SYS_READABLE | SYS_WRITABLE), 0);
    assert_true(sys_loop_turn(loop, true));
    assert_int_equal(reader.events, SYS_READABLE | SYS_WRITABLE);
    assert_int_equal(sys_watch_events(&reader.watch, 0), 0);
    assert_false(sys_loop_turn(loop, false));
    sys_watch_stop(&reader.watch);
}

/* Both descriptors are ready in one turn; whichever comes first takes the other away. */
static void
a_callback_stops_another_watch(void **state)
{
    struct reader a = {0}, b = {0};

    a.victim = &b.watch;
    b.victim = &a.watch;
    assert_int_equal(sys_watch_start(&a.watch, loop, ends[0], SYS_READABLE, on_events, &a), 0);
    assert_int_equal(sys_watch_start(&b.watch, loop, ends[1], SYS_READABLE, on_events, &b), 0);
    assert_int_equal(write(ends[0], "x", 1) + write(ends[1], "y", 1), 2);
    sys_loop_turn(loop, true);
    while (sys_loop_turn(loop, false))
        continue;
    assert_int_equal(a.calls + b.calls, 1);
    sys_watch_stop(&a.watch);
    sys_watch_stop(&b.watch);
}

static void
hang_up_is_reported(void **state)
{
    struct reader reader = {.byte = 'z'};

    assert_int_equal(
        sys_watch_start(&reader.watch, loop, ends[0], SYS_READABLE, on_events, &reader), 0);
    close(ends[1]);
    ends[1] = -1;
    assert_true(sys_loop_turn(loop, true));
    assert_true(reader.events & SYS_READABLE);
    assert_int_equal(reader.byte, 'z');
    sys_watch_stop(&reader.watch);
}

/* A UDP socket on the loopback interface at the given port (0: any). */
static int
udp_open(struct sockaddr_in *address)
{
    socklen_t len = sizeof(*address);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &len), 0);
    return fd;
}

/*
 * libuv stops polling when it meets an error; the owner must hear of it, and of everything after
 * it.
 */
static void
error_is_reported_and_survived(void **state)
{
    struct sockaddr_in here = {AF_INET, 0, {htonl(INADDR_LOOPBACK)}}, there = here;
    struct reader reader = {0};
    int fd = udp_open(&here), peer = udp_open(&there);

    assert_int_equal(connect(fd, (struct sockaddr *)&there, sizeof(there)), 0);
    assert_int_equal(sys_watch_start(&reader.watch, loop, fd, SYS_READABLE, on_events, &reader), 0);
    close(peer);
    if (send(fd, "?", 1, 0) != 1)
        skip(); /* no loopback interface here */
    assert_true(sys_loop_turn(loop, true));
    assert_int_equal(reader.byte, 'E');
    peer = udp_open(&there);
    assert_int_equal(sendto(peer, "x", 1, 0, (struct sockaddr *)&here, sizeof(here)), 1);
    assert_true(sys_loop_turn(loop, true));
    assert_int_equal(reader.byte, 'x');
    sys_watch_stop(&reader.watch);
    close(peer);
    close(fd);
}

static void
bad_descriptor_is_refused(void **state)
{
    struct sys_watch watch;
    int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert_true(sys_watch_start(&watch, loop, -1, SYS_READABLE, on_events, NULL) < 0);
    sys_watch_stop(&watch);
    /* epoll refuses regular files */
    assert_true(sys_watch_start(&watch, loop, file, SYS_READABLE, on_events, NULL) < 0);
    sys_watch_stop(&watch);
    close(file);
}

/* ---- threads ---- */

enum { POSTS = 2000, THREADS = 3 };

struct poster {
    pthread_t thread;
    struct sys_task tasks[POSTS];
};

static unsigned arrived;

static void
on_posted(void *arg)
{
    if (++arrived == POSTS * THREADS)
        sys_loop_stop(loop);
}

static void *
post_all(void *arg)
{
    struct poster *poster = arg;

    for (int i = 0; i < POSTS; i++)
        sys_loop_post(loop, &poster->tasks[i]);
    return NULL;
}

static void
posting_wakes_the_loop(void **state)
{
    static struct poster posters[THREADS];

    arrived = 0;
    for (int t = 0; t < THREADS; t++) {
        for (int i = 0; i < POSTS; i++)
            sys_task_init(&posters[t].tasks[i], on_posted, NULL);
        assert_int_equal(pthread_create(&posters[t].thread, NULL, post_all, &posters[t]), 0);
    }
    assert_int_equal(sys_loop_run(loop), 0);
    for (int t = 0; t < THREADS; t++)
        pthread_join(posters[t].thread, NULL);
    assert_int_equal(arrived, POSTS * THREADS);
}

/* Work that ends only when the loop, which turns meanwhile, lets it. */
struct labour {
    struct sys_work work;
    struct sys_task task;
    bool done;
};

static void
labour_beside(void *arg)
{
    struct labour *labour = arg;
    char byte;

    assert_int_equal(read(ends[0], &byte, 1), 1);
    labour->done = byte == 'x';
}

static void
labour_release(void *arg)
{
    assert_int_equal(write(ends[1], "x", 1), 1);
}

static void
labour_done(void *arg)
{
    sys_loop_stop(loop);
}

static void
work_does_not_stop_the_loop(void **state)
{
    struct labour labour = {.done = false};

    assert_int_equal(fcntl(ends[0], F_SETFL, 0), 0); /* waits */
    sys_task_init(&labour.task, labour_release, NULL);
    assert_int_equal(sys_work_start(&labour.work, loop, labour_beside, labour_done, &labour), 0);
    sys_loop_defer(loop, &labour.task);
    assert_int_equal(sys_loop_run(loop), 0);
    assert_true(labour.done);
}

/* ---- time ---- */

static void
on_timer(void *arg)
{
    *(uint64_t *)arg = sys_clock_ns();
}

/*
 * The best of many shows the resolution without depending on a quiet machine; early is never
 * allowed.
 */
static void
timers_have_microseconds(void **state)
{
    struct sys_timer timer;
    uint64_t fired_ns = 0, best_ns = UINT64_MAX;

    assert_int_equal(sys_timer_init(&timer, loop, on_timer, &fired_ns), 0);
    for (int i = 0; i < 100; i++) {
        uint64_t deadline_us = sys_loop_now_us(loop) + 200 + (uint64_t)i * 7;

        sys_timer_set(&timer, deadline_us);
        assert_true(sys_loop_turn(loop, true));
        assert_true(fired_ns >= deadline_us * 1000);
        if (fired_ns - deadline_us * 1000 < best_ns)
            best_ns = fired_ns - deadline_us * 1000;
    }
    assert_true(best_ns < 500000);
    sys_timer_fini(&timer);
}

/*
 * A deadline that moved back leaves the alarm where it was; the early wake-up must not count as a
 * turn.
 */
static void
deadline_moved_back(void **state)
{
    struct sys_timer timer, nearer;
    uint64_t fired_ns = 0, now_us = sys_loop_now_us(loop);

    sys_timer_init(&timer, loop, on_timer, &fired_ns);
    sys_timer_init(&nearer, loop, on_timer, &fired_ns);
    sys_timer_set(&timer, now_us + 30000);
    sys_timer_set(&nearer, now_us + 1500);
    assert_true(sys_loop_turn(loop, true));
    sys_timer_set(&nearer, now_us + 10000);
    sys_timer_set(&timer, now_us + 20000);
    assert_true(sys_loop_turn(loop, true));
    assert_true(fired_ns >= (now_us + 10000) * 1000);
    assert_true(nearer.deadline_us == SYS_NEVER);
    assert_true(sys_loop_turn(loop, true));
    assert_true(fired_ns >= (now_us + 20000) * 1000);
    sys_timer_fini(&timer);
    sys_timer_fini(&nearer);
}

#define WATCH_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WATCH_TEST(readable_until_read),
        WATCH_TEST(events_can_be_switched),
        WATCH_TEST(a_callback_stops_another_watch),
        WATCH_TEST(hang_up_is_reported),
        WATCH_TEST(error_is_reported_and_survived),
        WATCH_TEST(bad_descriptor_is_refused),
        WATCH_TEST(posting_wakes_the_loop),
        WATCH_TEST(work_does_not_stop_the_loop),
        WATCH_TEST(timers_have_microseconds),
        WATCH_TEST(deadline_moved_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
