/*
 * The adapter: what it is made with, its link, its power, its parameters, the frames that are not
 * of offloaded connections, and how it ends.
 */
#include "chimney/observer.h"
#include "target/soft/conn.h"
#include "target/soft/test_rig.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;

static void
start(void)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
}

static void
finish(void)
{
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    rig_close(&rig);
}

/* ---- making it ---- */

/* Without a wire, or with an option that is none, there is no adapter; the next one is. */
static void
refused(void **state)
{
    static const struct house_option wrong[] = {{"Congestion", "Vegas"}, {NULL, NULL}};
    struct sys_loop *loop = sys_loop_create();
    struct wire *wire = test_wire_create(loop, NULL, NULL);
    struct house *house;

    assert_int_equal(house_create(loop, &house), 0);
    assert_int_equal(house_load(house, "soft", soft_target_entry, NULL), 0);
    assert_true(house_add_adapter(house, "soft", "a0", NULL, NULL) < 0);
    assert_true(house_add_adapter(house, "soft", "a0", wire, wrong) < 0);
    assert_int_equal(house_add_adapter(house, "soft", "a0", wire, NULL), 0);
    house_destroy(house);
    test_wire_destroy(wire);
    sys_loop_destroy(loop);
}

/* Two registrations of the driver: the end of one leaves the other alone. */
static void
loaded_twice(void **state)
{
    struct sys_loop *loop = sys_loop_create();
    struct house *house;

    assert_int_equal(house_create(loop, &house), 0);
    assert_int_equal(house_load(house, "soft", soft_target_entry, NULL), 0);
    assert_int_equal(house_load(house, "again", soft_target_entry, NULL), 0);
    assert_int_equal(house_unload(house, "soft"), 0);
    assert_int_equal(house_unload(house, "again"), 0);
    house_destroy(house);
    sys_loop_destroy(loop);
}

static void
link_state(void **state)
{
    start();
    test_wire_plug(rig.wire, false);
    rig_expect(&rig, "link:down");
    test_wire_plug(rig.wire, true);
    rig_expect(&rig, "link:up");
    finish();
}

/* ---- requests ---- */

static NDIS_STATUS
ask(NDIS_OID oid, void *buffer, unsigned len)
{
    rig.request = (NDIS_OID_REQUEST){
        .Header = {NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1, sizeof rig.request},
        .RequestType = NdisRequestSetInformation,
        .RequestId = &rig,
        .DATA.SET_INFORMATION = {.Oid = oid,
                                 .InformationBuffer = buffer,
                                 .InformationBufferLength = len},
    };
    return NdisOidRequest(rig.binding, &rig.request);
}

/* They hold for what is offloaded afterwards; a request that is wrong changes nothing. */
static void
parameters(void **state)
{
    rig_open(&rig, NULL);
    rig.parameters.TcpMaximumRetransmissions = 7;
    rig.parameters.TcpDuplicateAckThreshold = 1000;
    rig.parameters.TcpDelayedAckTicks = 0;
    rig.parameters.TcpSwsPreventionTicks = UINT32_MAX;
    rig_set_parameters(&rig);
    rig.parameters.TcpMaximumRetransmissions = 9;
    assert_int_equal(
        ask(OID_TCP_CONNECTION_OFFLOAD_PARAMETERS, &rig.parameters, sizeof rig.parameters - 1),
        NDIS_STATUS_INVALID_LENGTH);
    assert_int_equal(rig.request.DATA.SET_INFORMATION.BytesNeeded, sizeof rig.parameters);
    rig.parameters.TicksPerSecond = 7;
    rig.careless = true; /* V-011 */
    assert_int_equal(
        ask(OID_TCP_CONNECTION_OFFLOAD_PARAMETERS, &rig.parameters, sizeof rig.parameters),
        NDIS_STATUS_INVALID_PARAMETER);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    const struct tcp_config *config = &soft_conn_of(conn.tcp.handle.MiniportOffloadContext)
                                           ->tcp.config;
    assert_int_equal(config->max_retransmissions, 7);
    assert_int_equal(config->duplicate_ack_threshold, 255);
    assert_int_equal(config->delayed_ack_us, 40000);
    assert_int_equal(config->sws_us, UINT32_MAX);
    finish();
}

static void
packet_filter(void **state)
{
    ULONG filter = NDIS_PACKET_TYPE_DIRECTED;

    rig_open(&rig, NULL);
    assert_int_equal(ask(OID_GEN_CURRENT_PACKET_FILTER, &filter, sizeof filter),
                     NDIS_STATUS_SUCCESS);
    assert_int_equal(rig.request.DATA.SET_INFORMATION.BytesRead, sizeof filter);
    assert_int_not_equal(ask(OID_GEN_LINK_STATE, &filter, sizeof filter), NDIS_STATUS_SUCCESS);
    rig_close(&rig);
}

/* ---- power ---- */

static void
take_home(struct rig *r)
{
    rig_conn_end(r, &conn);
    r->on_power = NULL;
}

/* It goes when the last object has gone (V-156), at once when there is none. */
static void
power(void **state)
{
    start();
    rig.on_power = take_home;
    assert_int_equal(house_set_power(rig.house, "a0", NdisDeviceStateD3), 0);
    rig_expect(&rig, "terminated");
    assert_int_equal(house_set_power(rig.house, "a0", NdisDeviceStateD0), 0);
    assert_int_equal(house_set_power(rig.house, "a0", NdisDeviceStateD3), 0);
    assert_int_equal(house_set_power(rig.house, "a0", NdisDeviceStateD0), 0);
    rig_close(&rig);
}

/* A host stack that does not take its connection back is waited for, and the power stays. */
static void
power_kept(void **state)
{
    start();
    rig.careless = true; /* V-157 */
    assert_int_equal(house_set_power(rig.house, "a0", NdisDeviceStateD3), -EIO);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    rig_expect_out(&rig, 1);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 10});
    rig_expect(&rig, "sent:ok:10");
    finish();
}

/* Only NDIS asks for that; whoever does all the same may change his mind, and one is enough. */
static void
power_cancelled(void **state)
{
    NDIS_DEVICE_POWER_STATE off = NdisDeviceStateD3;
    NDIS_OID_REQUEST second;

    start();
    rig.careless = true; /* V-187 */
    assert_int_equal(ask(OID_PNP_SET_POWER, &off, sizeof off), NDIS_STATUS_PENDING);
    second = rig.request;
    second.RequestId = &second;
    rig_turn(&rig);
    NdisCancelOidRequest(rig.binding, &second);
    rig_expect(&rig, "");
    NdisCancelOidRequest(rig.binding, &rig);
    rig_expect(&rig, "request:aborted");
    NdisCancelOidRequest(rig.binding, &rig);
    finish();
}

/* ---- frames that are the host stack's ---- */

static void
send_frame(NET_BUFFER_LIST *nbl)
{
    nbl->SourceHandle = rig.binding; /* V-184 */
    NdisSendNetBufferLists(rig.binding, nbl, NDIS_DEFAULT_PORT_NUMBER, 0);
}

/* In more pieces than the wire takes: copied, and not overwritten by the next before it is out. */
static void
many_pieces(void **state)
{
    NET_BUFFER_LIST *first, *second;

    start();
    first = rig_nbl(&rig, 900, 0, 3);
    second = rig_nbl(&rig, 900, 100, 3);
    NET_BUFFER_LIST_NEXT_NBL(first) = second;
    second->SourceHandle = rig.binding;
    send_frame(first);
    rig_expect(&rig, "frame-sent:ok frame-sent:ok");
    rig_expect_out(&rig, 2);
    for (unsigned i = 0; i < 900; i++) {
        assert_int_equal(rig.out[0].buf->data[i], (uint8_t)i);
        assert_int_equal(rig.out[1].buf->data[i], (uint8_t)(100 + i));
    }
    finish();
}

/* What still waits for the wire can be called back, by its id; nothing else is touched. */
static void
cancelled(void **state)
{
    int mine, others;
    NET_BUFFER_LIST *first, *second;

    start();
    test_wire_block(rig.wire, true);
    first = rig_nbl(&rig, 100, 0, 0);
    second = rig_nbl(&rig, 200, 0, 0);
    NET_BUFFER_LIST_INFO(first, NetBufferListCancelId) = &mine;
    NET_BUFFER_LIST_INFO(second, NetBufferListCancelId) = &others;
    send_frame(first);
    send_frame(second);
    NdisCancelSendNetBufferLists(rig.binding, &conn);
    rig_expect(&rig, "");
    NdisCancelSendNetBufferLists(rig.binding, &mine);
    rig_expect(&rig, "frame-sent:c023000c");
    test_wire_block(rig.wire, false);
    rig_expect(&rig, "frame-sent:ok");
    assert_int_equal(rig.out[0].buf->len, 200);
    finish();
}

/* A superframe that arrives for the host stack says how it is cut. */
static void
superframe_up(void **state)
{
    start();
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .len = 900, .port = 4001, .gso_size = 300});
    rig_peer(&rig, (struct rig_in){
                       .seq = RIG_RCV, .len = 900, .port = 4001, .gso_size = 300, .ipv6 = true});
    rig_expect(&rig, "frame:954 frame:974");
    assert_int_equal(rig.large.LsoV2Transmit.MSS, 300);
    assert_int_equal(rig.large.LsoV2Transmit.IPVersion, NDIS_TCP_LARGE_SEND_OFFLOAD_IPv6);
    assert_int_equal(rig.large.LsoV2Transmit.TcpHeaderOffset, 54);
    finish();
}

/* ---- the end ---- */

/* A host stack that goes although a frame of it still waits for the wire: the frame does not keep
 * the adapter, and nobody is told over a binding that is closed. */
static void
paused_on_a_full_wire(void **state)
{
    NET_BUFFER_LIST *nbl;

    rig_open(&rig, NULL);
    nbl = rig_nbl(&rig, 100, 0, 0);
    rig.careless = true; /* V-186 */
    test_wire_block(rig.wire, true);
    send_frame(nbl);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .len = 15, .port = 4001});
    assert_int_equal(house_remove_adapter(rig.house, "a0"), 0);
    rig_expect(&rig, ""); /* nothing goes up any more */
    assert_int_equal(NET_BUFFER_LIST_STATUS(nbl), NDIS_STATUS_PAUSED);
    rig_nbl_free(nbl);
    rig.breaches = 0; /* what NDIS says of a completion that finds nobody */
    rig_close(&rig);
}

/* The machine goes down: MiniportShutdown, and everything works on. */
static void
shutdown_is_no_halt(void **state)
{
    start();
    house_shutdown(rig.house, false);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    rig_expect_out(&rig, 1);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 10});
    rig_expect(&rig, "sent:ok:10");
    finish();
}

static void
refuse_terminates(void *arg, struct crossing *crossing)
{
    if (crossing->op == CROSSING_TERMINATE && !crossing->after)
        crossing->veto = CROSSING_REFUSE;
}

/* Objects that nobody can terminate any more go with the adapter, and what they held. */
static void
halted_with_objects(void **state)
{
    struct observer observer = {.on_crossing = refuse_terminates};

    start();
    rig.careless = true; /* V-064 */
    rig.accept = 0;
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 50});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 100, .ack = RIG_SND, .len = 50});
    rig_turn(&rig);
    house_attach_observer(rig.house, &observer);
    assert_int_equal(house_surprise_remove_adapter(rig.house, "a0"), 0);
    house_detach_observer(rig.house, &observer);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(loaded_twice),
        cmocka_unit_test(link_state),
        cmocka_unit_test(parameters),
        cmocka_unit_test(packet_filter),
        cmocka_unit_test(power),
        cmocka_unit_test(power_kept),
        cmocka_unit_test(many_pieces),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(superframe_up),
        cmocka_unit_test(paused_on_a_full_wire),
        cmocka_unit_test(halted_with_objects),
        cmocka_unit_test(power_cancelled),
        cmocka_unit_test(shutdown_is_no_halt),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
