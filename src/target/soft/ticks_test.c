/*
 * TicksPerSecond: whatever a tick is, what crosses the interface is in it. The same values go down
 * and come up at 10 and at 100 a second as they do at the 1000 of the other tests, and what the
 * target does in between lasts accordingly (chimney 8; V-011).
 */
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;

static void
start(ULONG ticks)
{
    rig_open(&rig, NULL);
    rig.parameters.TicksPerSecond = ticks;
    rig.parameters.TcpDelayedAckTicks = 1;
    rig.parameters.TcpPushTicks = 5;
    rig_set_parameters(&rig);
    rig_pass(&rig, 1234567); /* between two ticks */
    rig_conn_init(&conn, false, TCP_FLAG_TIMESTAMP_ENABLED);
    conn.tcp.cached.Flags |= TCP_FLAG_KEEP_ALIVE_ENABLED;
    conn.tcp.cached.KaTimeout = 1000;
    conn.tcp.cached.KaInterval = 10;
    conn.tcp.cached.KaProbeCount = 3;
    conn.tcp.delegated.TsTime = 777;
    conn.tcp.delegated.SRtt = 8;
    conn.tcp.delegated.RttVar = 4;
    conn.tcp.delegated.KeepAlive.TimeoutDelta = 900;
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
}

static void
finish(void)
{
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    if (conn.ends[2].block.NetBufferListChain)
        rig_nbl_free(conn.ends[2].block.NetBufferListChain);
    rig_close(&rig);
}

static void
state_keeps_its_unit(void **state)
{
    static const ULONG rates[] = {10, 100, 1000};

    for (unsigned i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        uint32_t tick_us = 1000000 / rates[i];

        start(rates[i]);
        rig_pass(&rig, 10 * tick_us);
        NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
        rig_expect_out(&rig, 1);
        assert_in_range(rig.out[0].tcp.tsval, 786, 787);
        finish();
        const TCP_OFFLOAD_STATE_DELEGATED *delegated = rig_given_back(&conn);
        assert_in_range(delegated->TsTime, 786, 787);
        assert_int_equal(delegated->SRtt, 8);
        assert_int_equal(delegated->RttVar, 4);
        /* the smallest timeout is the engine's; it is less than a second */
        assert_in_range(delegated->Retransmit.TimeoutDelta, 1, rates[i]);
    }
}

static void
time_is_counted_in_it(void **state)
{
    static const ULONG rates[] = {10, 100};

    for (unsigned i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        uint32_t tick_us = 1000000 / rates[i];

        start(rates[i]);
        rig_pass(&rig, 890 * tick_us);
        rig_expect_out(&rig, 0);
        rig_pass(&rig, 11 * tick_us);
        rig_expect_out(&rig, 1); /* the probe, at 900 */
        assert_int_equal(rig.out[0].tcp.seq, RIG_SND - 1);
        rig_pass(&rig, 10 * tick_us);
        rig_expect_out(&rig, 2);
        finish();
    }
}

/* While something is offloaded a tick stays as long as it was; the rest may change. */
static void
no_other_tick_meanwhile(void **state)
{
    start(1000);
    rig.parameters.TcpMaximumRetransmissions = 7;
    rig_set_parameters(&rig);
    rig.parameters.TicksPerSecond = 100;
    assert_int_equal(NdisOidRequest(rig.binding, &rig.request), NDIS_STATUS_INVALID_STATE);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    assert_int_equal(rig_given_back(&conn)->SRtt, 8);
    assert_int_equal(NdisOidRequest(rig.binding, &rig.request), NDIS_STATUS_SUCCESS);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_keeps_its_unit),
        cmocka_unit_test(time_is_counted_in_it),
        cmocka_unit_test(no_other_tick_meanwhile),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
