/*
 * What drivers ask for from threads of their own, with the real loop: parameters, clones, unbinds
 * and new binds, the end of a reset. Crossings from many threads have their tests elsewhere.
 */
#include "ndis/objects.h"
#include "ndis/test_fakes.h"

#include <pthread.h>
#include <stdlib.h>

#define THREADS 4
#define ROUNDS 2000

/* Runs it on so many threads at once, and turns the loop meanwhile. */
static void
on_threads(struct stage *stage, void *(*run)(void *arg))
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, stage), 0);
    for (int i = 0; i < THREADS; i++) {
        while (pthread_tryjoin_np(threads[i], NULL))
            sys_loop_turn(stage->loop, false);
    }
    stage_settle(stage);
}

static _Atomic unsigned mistakes, successes;

static const char *const values[] = {"1", "22", "333333", "4"};

static void *
read_and_write(void *arg)
{
    struct stage *stage = arg;
    NDIS_CONFIGURATION_OBJECT object = {.NdisHandle = stage->target.adapter};
    NDIS_CONFIGURATION_PARAMETER parameter = {.ParameterType = NdisParameterInteger}, *read;
    NDIS_STRING keyword = NDIS_STRING_CONST(u"Speed");
    NDIS_HANDLE handle;
    NDIS_STATUS status;

    for (unsigned i = 0; i < ROUNDS; i++) {
        bool known = false;

        NdisOpenConfigurationEx(&object, &handle);
        parameter.ParameterData.IntegerData = (ULONG)atoi(values[i % 4]);
        NdisWriteConfiguration(&status, handle, &keyword, &parameter);
        NdisReadConfiguration(&status, &read, handle, &keyword, NdisParameterInteger);
        for (int j = 0; j < 4 && read; j++)
            known |= read->ParameterData.IntegerData == (ULONG)atoi(values[j]);
        mistakes += !known;
        NdisCloseConfiguration(handle);
    }
    return NULL;
}

static void
parameters(void **state)
{
    mistakes = 0;
    on_threads(*state, read_and_write);
    assert_int_equal(mistakes, 0);
}

static NET_BUFFER_LIST *original;

static void *
make_clones(void *arg)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        NET_BUFFER_LIST *clone = NdisAllocateCloneNetBufferList(original, NULL, NULL, 0);

        mistakes += !clone || clone->FirstNetBuffer->DataLength != 10;
        if (clone)
            NdisFreeCloneNetBufferList(clone, 0);
    }
    return NULL;
}

static void
clones(void **state)
{
    struct stage *stage = *state;
    NDIS_HANDLE pool = test_pool(stage);
    UCHAR bytes[10];
    MDL *mdl = NdisAllocateMdl(NULL, bytes, sizeof(bytes));

    mistakes = 0;
    original = NdisAllocateNetBufferAndNetBufferList(pool, 0, 0, mdl, 0, sizeof(bytes));
    on_threads(stage, make_clones);
    assert_int_equal(mistakes, 0);
    NdisFreeNetBufferList(original);
    NdisFreeMdl(mdl);
    NdisFreeNetBufferListPool(pool);
    assert_string_equal(stage->log, "");
}

static void *
let_go(void *arg)
{
    struct stage *stage = arg;

    successes += NdisUnbindAdapter(stage->host.binding) == NDIS_STATUS_SUCCESS;
    return NULL;
}

static void *
come_back(void *arg)
{
    struct stage *stage = arg;

    NdisReEnumerateProtocolBindings(stage->host.protocol);
    return NULL;
}

static void
letting_go_and_coming_back(void **state)
{
    struct stage *stage = *state;

    for (int i = 0; i < 20; i++) {
        successes = 0;
        stage->trace[0] = '\0';
        on_threads(stage, let_go);
        assert_int_equal(successes, 1);
        assert_string_equal(stage->trace, "event-pause unbind");
        on_threads(stage, come_back);
        assert_string_equal(stage->trace, "event-pause unbind bind event-restart");
    }
}

static void *
end_reset(void *arg)
{
    struct stage *stage = arg;
    KIRQL old;

    KeRaiseIrql(DISPATCH_LEVEL, &old);
    NdisMResetComplete(stage->target.adapter, NDIS_STATUS_SUCCESS, FALSE);
    KeLowerIrql(old);
    return NULL;
}

/* One of them ends it; the request that waited goes down. */
static void
the_end_of_a_reset(void **state)
{
    struct stage *stage = *state;
    struct ndis_adapter *adapter = stage->target.adapter;
    NDIS_OID_REQUEST request = {.RequestType = NdisRequestQueryInformation,
                                .DATA.QUERY_INFORMATION.Oid = OID_TCP4_OFFLOAD_STATS};

    adapter->resetting = true; /* as if it hung */
    assert_int_equal(NdisOidRequest(stage->host.binding, &request), NDIS_STATUS_PENDING);
    on_threads(stage, end_reset);
    assert_int_equal(stage->host.status_seen, NDIS_STATUS_RESET_END);
    assert_int_equal(stage->host.statuses, 1);
    assert_ptr_equal(stage->host.oid_done, &request);
    assert_int_equal(stage->host.oids_done, 1);
}

#define BOUND(name) cmocka_unit_test_setup_teardown(name, stage_setup_bound, stage_teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        BOUND(parameters),
        BOUND(clones),
        BOUND(letting_go_and_coming_back),
        BOUND(the_end_of_a_reset),
    };

    return cmocka_run_group_tests_name("ndis/asking", tests, NULL, NULL);
}
