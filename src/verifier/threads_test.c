/*
 * One verifier, one adapter, four threads: each moves connections of its own, with data, as fast as
 * it can. Nothing is reported, and what one thread breaks is not taken for another's. To be run
 * with ThreadSanitizer as well (./dev tsan unit).
 */
#include "verifier/test_kit.h"

#include <pthread.h>

#define THREADS 4
#define ROUNDS 1000
#define LENGTH 60u

static struct kit kit;
static struct kit_landing *const landing = &kit.landing;

struct mover {
    pthread_t thread;
    struct kit_conn conn;
    struct kit_nbl sent, received, posted;
    bool breaks; /* never returns what was indicated last */
};

static void
data_both_ways(struct mover *mover)
{
    kit_nbl_init(&mover->sent, LENGTH, 0);
    kit_nbl_init(&mover->received, LENGTH, 1);
    kit_nbl_init(&mover->posted, LENGTH, 2);
    kit_post(&kit, landing, CROSSING_TCP_SEND, &mover->conn, &mover->sent);
    kit_post(&kit, landing, CROSSING_TCP_RECEIVE, &mover->conn, &mover->posted);
    kit_finish(&kit, landing, CROSSING_TCP_SEND_COMPLETE, &mover->sent, NDIS_STATUS_SUCCESS,
               LENGTH);
    kit_finish(&kit, landing, CROSSING_TCP_RECEIVE_COMPLETE, &mover->posted, NDIS_STATUS_SUCCESS,
               LENGTH);
    kit_indicate(&kit, landing, &mover->conn, &mover->received, NDIS_STATUS_SUCCESS, LENGTH);
    kit_return(&kit, landing, &mover->received);
}

static void *
move(void *arg)
{
    struct mover *mover = arg;

    for (int i = 0; i < ROUNDS; i++) {
        kit_offload(&kit, landing, &mover->conn);
        data_both_ways(mover);
        kit_terminate(&kit, landing, &mover->conn);
        kit_terminate_complete(&kit, landing, &mover->conn, NDIS_STATUS_SUCCESS, NULL);
    }
    if (!mover->breaks)
        return NULL;
    kit_offload(&kit, landing, &mover->conn);
    kit_nbl_init(&mover->sent, LENGTH, 0);
    kit_post(&kit, landing, CROSSING_TCP_SEND, &mover->conn, &mover->sent);
    kit_terminate(&kit, landing, &mover->conn);
    kit_terminate_complete(&kit, landing, &mover->conn, NDIS_STATUS_SUCCESS, NULL);
    return NULL;
}

static void
four_threads(void **state)
{
    static struct mover movers[THREADS];
    struct verifier_counts counts;

    for (int broken = 0; broken < 2; broken++) {
        kit_open(&kit, false);
        for (int i = 0; i < THREADS; i++) {
            movers[i].breaks = broken && i == 0;
            assert_int_equal(pthread_create(&movers[i].thread, NULL, move, &movers[i]), 0);
        }
        for (int i = 0; i < THREADS; i++)
            pthread_join(movers[i].thread, NULL);
        verifier_read_counts(kit.verifier, &counts);
        assert_true(counts.crossings >= THREADS * ROUNDS * 10ull);
        if (broken)
            kit_assert(&kit, 145, "target");
        kit_assert_none(&kit);
        kit_close(&kit);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(four_threads)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
