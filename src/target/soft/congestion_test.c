/*
 * Which congestion control: as the option says, told in the capabilities, the same in the engine,
 * and not to be had otherwise.
 */
#include "target/soft/conn.h"
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;

static const struct soft_conn *
soft(void)
{
    const struct soft_object *object = conn.tcp.handle.MiniportOffloadContext;

    assert_non_null(object);
    return container_of(object, struct soft_conn, object);
}

/* What the engine of the connection uses. */
static enum tcp_congestion
engine(void)
{
    return soft()->tcp.config.congestion;
}

static void
check(const char *option, ULONG documented, enum tcp_congestion congestion)
{
    const struct house_option options[] = {{"Congestion", option}, {NULL, NULL}};

    rig_open(&rig, option ? options : NULL);
    assert_int_equal(rig.capabilities.CongestionAlgorithm, documented);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    assert_int_equal(engine(), congestion);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    rig_close(&rig);
}

static void
as_the_option_says(void **state)
{
    check(NULL, NDIS_TCP_CONGESTION_CUBIC, TCP_CC_CUBIC);
    check("CUBIC", NDIS_TCP_CONGESTION_CUBIC, TCP_CC_CUBIC);
    check("NewReno", NDIS_TCP_CONGESTION_NEWRENO, TCP_CC_NEWRENO);
    check("newreno", NDIS_TCP_CONGESTION_NEWRENO, TCP_CC_NEWRENO);
}

static NDIS_STATUS
ask_for(ULONG algorithm)
{
    rig.parameters.CongestionAlgorithm = algorithm;
    rig.request.DATA.SET_INFORMATION.BytesRead = 0;
    return NdisOidRequest(rig.binding, &rig.request);
}

/* Nobody gets another one than he has asked for without being told. */
static void
another_is_refused(void **state)
{
    rig_open(&rig, NULL);
    assert_int_equal(ask_for(NDIS_TCP_CONGESTION_CUBIC), NDIS_STATUS_SUCCESS);
    rig.parameters.TcpAckFrequency = 9;
    assert_int_equal(ask_for(NDIS_TCP_CONGESTION_NEWRENO), NDIS_STATUS_INVALID_PARAMETER);
    assert_int_equal(ask_for(7), NDIS_STATUS_INVALID_PARAMETER);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    assert_int_equal(engine(), TCP_CC_CUBIC);
    assert_int_equal(soft()->tcp.config.ack_frequency, 2); /* nothing of the request was taken */
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_option_says),
        cmocka_unit_test(another_is_refused),
    };

    return cmocka_run_group_tests_name("target/soft/congestion", tests, NULL, NULL);
}
