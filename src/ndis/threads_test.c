/*
 * NDIS from many threads: four work for two hosts over one adapter, each with a tree of its own and
 * a connection under a neighbor and a path that it shares with another one; the target completes
 * and indicates from threads of its own and from theirs (test_mill.h, test_workers.h); the loop's
 * thread binds and unbinds a third host all the while. At the end everything is accounted for. To
 * be run with ThreadSanitizer as well (./dev tsan unit).
 */
#include "base/log.h"
#include "chimney/observer.h"
#include "ndis/test_workers.h"

#include <errno.h>
#include <stdio.h>

#define WORKERS 4
#define HOSTS 2
#define GUEST_STAYS 100

static struct host hosts[HOSTS], guest;
static struct worker workers[WORKERS];

/* ---- the stage ---- */

static atomic_uint unexpected_lines;

/* The bad trees are refused, and said so. */
static void
on_line(enum log_level level, const char *line, void *arg)
{
    if (strstr(line, "NdisUpdateOffload over nic0: refused with"))
        return;
    unexpected_lines++;
    fprintf(stderr, "# %s\n", line);
}

/* The neighbor and the path under which several offload. */
static void
share(struct host *host, const UCHAR types[3],
      VOID (*call)(NDIS_HANDLE NdisBindingHandle,
                   PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST OffloadBlockList))
{
    NDIS_OFFLOAD_HANDLE *handles[] = {&host->neighbor.handle, &host->path.handle, NULL};
    struct tree tree;
    sem_t done;

    sem_init(&done, 0, 0);
    call(host->pair.binding, test_tree_set(&tree, types, handles, &done));
    test_await(&done);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tree.nodes[i].block.Status, NDIS_STATUS_SUCCESS);
    sem_destroy(&done);
}

static void
worker_start(struct worker *worker, struct host *host)
{
    memset(worker, 0, sizeof(*worker));
    worker->host = worker->own.host = worker->linked.host = host;
    NdisInitializeEvent(&worker->event);
    sem_init(&worker->own.back, 0, 0);
    sem_init(&worker->linked.back, 0, 0);
    sem_init(&worker->operations, 0, 0);
    sem_init(&worker->errands, 0, 0);
    sem_init(&worker->requests, 0, 0);
    assert_int_equal(pthread_create(&worker->thread, NULL, test_worker, worker), 0);
}

static void
check_connection(struct connection *connection, unsigned indicated)
{
    assert_int_equal(connection->strays, 0);
    assert_int_equal(connection->events, ROUNDS);
    assert_int_equal(connection->indicated, indicated);
    sem_destroy(&connection->back);
}

static void
worker_finish(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
    if (worker->wrong)
        print_error("%s\n", worker->first_wrong);
    assert_int_equal(worker->wrong, 0);
    check_connection(&worker->own, 2 * ROUNDS);
    check_connection(&worker->linked, ROUNDS);
    assert_int_equal(worker->fired, worker->queued - worker->cancelled);
    sem_destroy(&worker->operations);
    sem_destroy(&worker->errands);
    sem_destroy(&worker->requests);
}

static unsigned guests_gone;

static NDIS_STATUS
on_guest_unbind(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    guests_gone++;
    return NdisCloseAdapterEx(guest.pair.binding);
}

/* early: the guest is bound before the hosts, so that what its leaving does to lists goes on in
 * front of what they are found in. */
static void
stage_open_with(bool early)
{
    log_set_sink(on_line, NULL);
    unexpected_lines = 0;
    memset(&mill, 0, sizeof(mill));
    pair_init(&mill.pair);
    assert_true(mill_open(&mill));
    memset(&commons, 0, sizeof(commons));
    NdisAllocateSpinLock(&commons.spin);
    commons.lock = NdisAllocateRWLock(mill.pair.adapter);
    test_host_open(&hosts[0], "host0", NULL);
    test_host_open(&hosts[1], "host1", NULL);
    test_host_open(&guest, "guest", on_guest_unbind);
    if (early)
        assert_int_equal(house_bind(mill.pair.house, "guest", "nic0", NULL), 0);
    for (int i = 0; i < HOSTS; i++) {
        assert_int_equal(house_bind(mill.pair.house, i ? "host1" : "host0", "nic0", NULL), 0);
        share(&hosts[i], test_whole, NdisInitiateOffload);
    }
}

static void
stage_open(void)
{
    stage_open_with(false);
}

static void
nothing_offloaded(void *arg, const struct house_floor *floor)
{
    assert_int_equal(floor->offloaded, 0);
}

/* rounds: of each worker. */
static void
stage_close(unsigned rounds)
{
    for (int i = 0; i < HOSTS; i++) {
        share(&hosts[i], test_delegated, NdisTerminateOffload);
        test_return_accepted(&hosts[i]);
        assert_int_equal(hosts[i].neighbor_events, WORKERS / HOSTS * rounds);
        assert_int_equal(hosts[i].statuses, WORKERS * rounds);
    }
    mill_stop(&mill);
    house_walk(mill.pair.house, nothing_offloaded, NULL);
    assert_int_equal(mill.wrongs, 0);
    assert_int_equal(commons.under_spin, WORKERS * rounds);
    assert_int_equal(commons.under_lock, WORKERS * rounds);
    NdisFreeSpinLock(&commons.spin);
    NdisFreeRWLock(commons.lock);
    assert_int_equal(mill.indicated, WORKERS * 3 * rounds);
    assert_int_equal(mill.accepted + mill.refused, mill.indicated);
    assert_int_equal(mill.accepted, mill.returned);
    assert_int_equal(mill.frames_indicated, WORKERS * 2 * rounds);
    assert_int_equal(mill.frames_returned, mill.frames_indicated);
    pair_close(&mill.pair);
    assert_int_equal(unexpected_lines, 0);
    for (int i = 0; i < HOSTS; i++)
        pthread_mutex_destroy(&hosts[i].mutex);
    pthread_mutex_destroy(&guest.mutex);
    log_set_sink(NULL, NULL);
}

static void
work(bool early)
{
    NdisInitializeEvent(&all_over);
    at_work = WORKERS;
    for (int i = 0; i < WORKERS; i++)
        worker_start(&workers[i], &hosts[i % HOSTS]);
    if (early) {
        for (int i = 0; i < 50; i++)
            sys_loop_turn(mill.pair.loop, false);
        assert_int_equal(house_unbind(mill.pair.house, "guest", "nic0"), 0);
    }
    for (int i = 0; i < GUEST_STAYS; i++) {
        assert_int_equal(house_bind(mill.pair.house, "guest", "nic0", NULL), 0);
        sys_loop_turn(mill.pair.loop, false);
        assert_int_equal(house_unbind(mill.pair.house, "guest", "nic0"), 0);
        sys_loop_turn(mill.pair.loop, false);
    }
    assert_true(NdisWaitEvent(&all_over, 600 * SECOND_MS));
    while (sys_loop_turn(mill.pair.loop, false))
        continue;
    for (int i = 0; i < WORKERS; i++)
        worker_finish(&workers[i]);
}

static void
all_at_once(void **state)
{
    stage_open();
    work(false);
    stage_close(ROUNDS);
}

static void
the_one_that_came_first_goes(void **state)
{
    stage_open_with(true);
    work(true);
    stage_close(ROUNDS);
}

/* ---- and an observer ---- */

static atomic_uint crossings[CROSSING_COUNT][2];

static void
on_crossing(void *arg, struct crossing *crossing)
{
    crossings[crossing->op][crossing->after]++;
}

static void
expect_crossings(enum crossing_op op, unsigned count)
{
    if (crossings[op][0] != count || crossings[op][1] != count)
        print_error("%s: %u before, %u after\n", crossing_name(op), crossings[op][0],
                    crossings[op][1]);
    assert_int_equal(crossings[op][0], count);
    assert_int_equal(crossings[op][1], count);
}

static void
all_at_once_and_observed(void **state)
{
    struct observer observer = {.on_crossing = on_crossing};

    memset(crossings, 0, sizeof(crossings));
    stage_open();
    house_attach_observer(mill.pair.house, &observer);
    work(false);
    house_detach_observer(mill.pair.house, &observer);
    stage_close(ROUNDS);
    expect_crossings(CROSSING_INITIATE, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_INITIATE_COMPLETE, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_TERMINATE, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_TERMINATE_COMPLETE, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_UPDATE, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_UPDATE_COMPLETE, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_QUERY, WORKERS * ROUNDS);
    expect_crossings(CROSSING_QUERY_COMPLETE, WORKERS * ROUNDS);
    expect_crossings(CROSSING_INVALIDATE, WORKERS * ROUNDS);
    expect_crossings(CROSSING_TCP_SEND, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_TCP_RECEIVE, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_TCP_FORWARD, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_TCP_DISCONNECT, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_SEND, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_TCP_RECEIVE_INDICATE, WORKERS * 3 * ROUNDS);
    expect_crossings(CROSSING_TCP_EVENT, WORKERS * 2 * ROUNDS);
    expect_crossings(CROSSING_OFFLOAD_EVENT, WORKERS * ROUNDS);
    expect_crossings(CROSSING_OID, WORKERS * ROUNDS);
    expect_crossings(CROSSING_DIRECT_OID, WORKERS * ROUNDS);
    assert_int_equal(crossings[CROSSING_TCP_SEND_COMPLETE][0],
                     crossings[CROSSING_TCP_SEND_COMPLETE][1]);
    assert_in_range(crossings[CROSSING_TCP_SEND_COMPLETE][0], 1, WORKERS * 2 * ROUNDS);
}

/* ---- waiting on the loop's thread for others ---- */

/* The target's threads complete what the unbind waits for. */
static void
an_unbind_waits_for_other_threads(void **state)
{
    NDIS_OFFLOAD_HANDLE *handles[] = {&hosts[0].neighbor.handle, &hosts[0].path.handle, NULL};
    struct tree tree;
    sem_t done;

    stage_open();
    sem_init(&done, 0, 0);
    for (int i = 0; i < 200; i++) {
        NdisTerminateOffload(hosts[0].pair.binding,
                             test_tree_set(&tree, test_delegated, handles, &done));
        assert_int_equal(house_unbind(mill.pair.house, "host0", "nic0"), 0);
        assert_int_equal(sem_trywait(&done), 0);
        assert_int_equal(tree.nodes[0].block.Status, NDIS_STATUS_SUCCESS);
        assert_int_equal(house_bind(mill.pair.house, "host0", "nic0", NULL), 0);
        share(&hosts[0], test_whole, NdisInitiateOffload);
    }
    sem_destroy(&done);
    stage_close(0);
}

static void
let_go(struct mill *with, void *host)
{
    NdisUnbindAdapter(((struct host *)host)->pair.binding);
}

/* The driver asks on another thread, the loop's unbinds it. */
static void
a_driver_lets_go_from_any_thread(void **state)
{
    sem_t done;

    guests_gone = 0;
    stage_open();
    sem_init(&done, 0, 0);
    for (unsigned i = 0; i < GUEST_STAYS; i++) {
        struct mill_errand errand = {.fn = let_go, .arg = &guest, .done = &done};

        assert_int_equal(house_bind(mill.pair.house, "guest", "nic0", NULL), 0);
        mill_send_errand(&mill, &errand);
        while (guests_gone == i)
            sys_loop_turn(mill.pair.loop, true);
        sem_wait(&done);
        assert_int_equal(house_unbind(mill.pair.house, "guest", "nic0"), -ENOENT);
    }
    sem_destroy(&done);
    stage_close(0);
}

struct ball {
    NDIS_EVENT there, back;
    unsigned thrown;
};

static void *
throw_back(void *arg)
{
    struct ball *ball = arg;
    unsigned caught = 0;

    for (bool over = false; !over;) {
        if (!NdisWaitEvent(&ball->there, 600 * SECOND_MS))
            break;
        NdisResetEvent(&ball->there);
        caught++;
        over = ball->thrown == ROUNDS;
        NdisSetEvent(&ball->back);
    }
    return (void *)(uintptr_t)caught;
}

/* Here the loop turns while it waits, there a thread sleeps. */
static void
events_wake_whoever_waits(void **state)
{
    struct ball ball = {.thrown = 0};
    pthread_t thread;
    void *caught;

    stage_open();
    NdisInitializeEvent(&ball.there);
    NdisInitializeEvent(&ball.back);
    assert_int_equal(pthread_create(&thread, NULL, throw_back, &ball), 0);
    while (ball.thrown < ROUNDS) {
        ball.thrown++;
        NdisSetEvent(&ball.there);
        assert_true(NdisWaitEvent(&ball.back, 600 * SECOND_MS));
        NdisResetEvent(&ball.back);
    }
    pthread_join(thread, &caught);
    assert_int_equal((uintptr_t)caught, ROUNDS);
    stage_close(0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_at_once),
        cmocka_unit_test(the_one_that_came_first_goes),
        cmocka_unit_test(all_at_once_and_observed),
        cmocka_unit_test(an_unbind_waits_for_other_threads),
        cmocka_unit_test(a_driver_lets_go_from_any_thread),
        cmocka_unit_test(events_wake_whoever_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
