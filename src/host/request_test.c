/* Queries of the host stack's: answered at once, or too late and without harm; and what it sets. */
#include "host/ndis_fake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct host *host;
static struct host_binding *binding;

static void
on_running(void *arg, struct host_binding *which)
{
}

static void
on_frames(void *arg, struct host_binding *which, NET_BUFFER_LIST *nbls)
{
    host_return_frames(which, nbls);
}

static void
on_frames_sent(void *arg, struct host_binding *which, NET_BUFFER_LIST *nbls)
{
}

static const struct host_ops ops = {
    .on_running = on_running, .on_frames = on_frames, .on_frames_sent = on_frames_sent};

static int
setup(void **state)
{
    memset(&fake, 0, sizeof fake);
    fake.capabilities.SupportIPv4 = NDIS_OFFLOAD_SUPPORTED;
    host = host_create("test", &ops, NULL);
    binding = fake_start(host);
    assert_non_null(binding);
    return 0;
}

static int
teardown(void **state)
{
    fake_stop();
    assert_int_equal(fake.objects, 0);
    host_destroy(host);
    return 0;
}

static void
complete(NDIS_STATUS status)
{
    fake.driver.OidRequestCompleteHandler(fake.binding, fake.oid, status);
}

static void
answered_at_once(void **state)
{
    const TCP_OFFLOAD_STATS told = {.OutSegments = 7, .RetransmittedSegments = 3};
    TCP_OFFLOAD_STATS heard = {0};

    fake.oid_answer = &told;
    fake.oid_answer_size = sizeof told;
    assert_int_equal(host_query_oid(binding, OID_TCP6_OFFLOAD_STATS, &heard, sizeof heard), 0);
    assert_memory_equal(&heard, &told, sizeof told);
}

static void
refusals_leave_the_buffer_alone(void **state)
{
    static const struct {
        NDIS_STATUS status;
        int error;
    } cases[] = {{NDIS_STATUS_NOT_SUPPORTED, -EOPNOTSUPP},
                 {NDIS_STATUS_INVALID_OID, -EOPNOTSUPP},
                 {NDIS_STATUS_BUFFER_TOO_SHORT, -EMSGSIZE},
                 {NDIS_STATUS_FAILURE, -EIO}};
    ULONG answer = 5, heard = 77;

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        fake.oid_status = cases[i].status;
        assert_int_equal(host_query_oid(binding, OID_TCP4_OFFLOAD_STATS, &heard, sizeof heard),
                         cases[i].error);
    }
    fake.oid_status = NDIS_STATUS_SUCCESS;
    fake.oid_answer = &answer;
    fake.oid_answer_size = sizeof answer - 1;
    assert_int_equal(host_query_oid(binding, OID_TCP4_OFFLOAD_STATS, &heard, sizeof heard),
                     -EMSGSIZE);
    assert_int_equal(heard, 77);
}

/* The caller is long gone when the answer comes. */
static void
a_late_answer_is_thrown_away(void **state)
{
    ULONG answer = 5, heard = 77;

    fake.oid_status = NDIS_STATUS_PENDING;
    fake.oid_answer = &answer;
    fake.oid_answer_size = sizeof answer;
    assert_int_equal(host_query_oid(binding, OID_TCP4_OFFLOAD_STATS, &heard, sizeof heard),
                     -EAGAIN);
    assert_ptr_not_equal(fake.oid->DATA.QUERY_INFORMATION.InformationBuffer, &heard);
    assert_int_equal(host_query_oid(binding, OID_TCP4_OFFLOAD_STATS, &heard, sizeof heard), -EBUSY);
    complete(NDIS_STATUS_SUCCESS);
    assert_int_equal(heard, 77);
    fake.oid_status = NDIS_STATUS_SUCCESS;
    assert_int_equal(host_query_oid(binding, OID_TCP4_OFFLOAD_STATS, &heard, sizeof heard), 0);
    assert_int_equal(heard, 5);
}

static void
a_pause_waits_for_the_answer(void **state)
{
    unsigned events = fake.events_completed;
    ULONG heard = 77;

    fake.oid_status = NDIS_STATUS_PENDING;
    assert_int_equal(host_query_oid(binding, OID_TCP4_OFFLOAD_STATS, &heard, sizeof heard),
                     -EAGAIN);
    fake_pause();
    assert_int_equal(fake.events_completed, events);
    assert_int_equal(host_query_oid(binding, OID_TCP4_OFFLOAD_STATS, &heard, sizeof heard),
                     -ENETDOWN);
    complete(NDIS_STATUS_REQUEST_ABORTED);
    assert_int_equal(fake.events_completed, events); /* at any level; the answer is not */
    fake_run_work();
    assert_int_equal(fake.events_completed, events + 1);
    assert_int_equal(heard, 77);
}

static void
the_target_is_told_what_the_host_is_tuned_to(void **state)
{
    setup(state);
    assert_int_equal(binding->parameters.TcpDelayedAckTicks, 40);
    assert_int_equal(binding->parameters.TcpMaximumRetransmissions, 15);
    fake_stop();
    host_tune(host, &(struct host_tuning){.delayed_ack_ms = 70, .retransmissions = 9});
    binding = fake_start(host);
    assert_int_equal(binding->parameters.TcpDelayedAckTicks, 70);
    assert_int_equal(binding->parameters.TcpMaximumRetransmissions, 9);
    assert_int_equal(host_tuned(host)->retransmissions, 9);
    teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answered_at_once),
        TEST(refusals_leave_the_buffer_alone),
        TEST(a_late_answer_is_thrown_away),
        TEST(a_pause_waits_for_the_answer),
        cmocka_unit_test(the_target_is_told_what_the_host_is_tuned_to),
    };

    return cmocka_run_group_tests_name("host/request", tests, NULL, NULL);
}
