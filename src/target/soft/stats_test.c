/* Statistics: what is counted, what is not, and that nothing is counted twice. */
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;

static NDIS_STATUS
ask(NDIS_REQUEST_TYPE type, NDIS_OID oid, void *buffer, UINT length, NDIS_OID_REQUEST *request)
{
    *request = (NDIS_OID_REQUEST){
        .Header = {NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1, sizeof *request},
        .RequestType = type,
        .DATA.QUERY_INFORMATION = {
            .Oid = oid, .InformationBuffer = buffer, .InformationBufferLength = length}};
    return NdisOidRequest(rig.binding, request);
}

static TCP_OFFLOAD_STATS
tcp_stats(bool ipv6)
{
    TCP_OFFLOAD_STATS stats;
    NDIS_OID_REQUEST request;

    memset(&stats, 0xa5, sizeof stats);
    assert_int_equal(ask(NdisRequestQueryInformation,
                         ipv6 ? OID_TCP6_OFFLOAD_STATS : OID_TCP4_OFFLOAD_STATS, &stats,
                         sizeof stats, &request),
                     NDIS_STATUS_SUCCESS);
    assert_int_equal(request.DATA.QUERY_INFORMATION.BytesWritten, sizeof stats);
    assert_int_equal(stats.InErrors, 0);
    return stats;
}

static IP_OFFLOAD_STATS
ip_stats(bool ipv6)
{
    IP_OFFLOAD_STATS stats;
    NDIS_OID_REQUEST request;

    memset(&stats, 0xa5, sizeof stats);
    assert_int_equal(ask(NdisRequestQueryStatistics,
                         ipv6 ? OID_IP6_OFFLOAD_STATS : OID_IP4_OFFLOAD_STATS, &stats, sizeof stats,
                         &request),
                     NDIS_STATUS_SUCCESS);
    assert_int_equal(request.DATA.QUERY_INFORMATION.BytesWritten, sizeof stats);
    return stats;
}

static void
assert_nothing(bool ipv6)
{
    TCP_OFFLOAD_STATS tcp = tcp_stats(ipv6), no_tcp = {0};
    IP_OFFLOAD_STATS ip = ip_stats(ipv6), no_ip = {0};

    assert_memory_equal(&tcp, &no_tcp, sizeof tcp);
    assert_memory_equal(&ip, &no_ip, sizeof ip);
}

static void
start(bool ipv6, unsigned const_flags)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, ipv6, const_flags);
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

static void
send_bytes(uint32_t len)
{
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, len, 0, 0));
    rig_turn(&rig);
}

/* A segment of 100 bytes in and its ACK out, a superframe of three out and its ACK in. */
static void
talk(bool ipv6)
{
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 100, .ipv6 = ipv6});
    rig_pass(&rig, 50000); /* it is a delayed one */
    send_bytes(3000);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 100, .ack = RIG_SND + 3000, .ipv6 = ipv6});
    rig_turn(&rig);
}

static void
assert_talked(bool ipv6)
{
    unsigned headers = ipv6 ? 60 : 40;
    TCP_OFFLOAD_STATS tcp = tcp_stats(ipv6);
    IP_OFFLOAD_STATS ip = ip_stats(ipv6);

    assert_int_equal(tcp.InSegments, 2);
    assert_int_equal(tcp.OutSegments, 4);
    assert_int_equal(tcp.RetransmittedSegments, 0);
    assert_int_equal(tcp.ResetEstablished, 0);
    assert_int_equal(tcp.OutResets, 0);
    assert_int_equal(ip.InReceives, 2);
    assert_int_equal(ip.InOctets, 2 * headers + 100);
    assert_int_equal(ip.InDelivers, 2);
    assert_int_equal(ip.OutRequests, 4);
    assert_int_equal(ip.OutOctets, 4 * headers + 3000);
    assert_int_equal(ip.InHeaderErrors + ip.InTruncatedPackets + ip.InDiscards, 0);
    assert_int_equal(ip.OutDiscards + ip.OutNoRoutes, 0);
    assert_nothing(!ipv6);
}

/* Each family for itself; the figures outlive the connection. */
static void
each_family_for_itself(void **state)
{
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        start(ipv6, 0);
        talk(ipv6);
        assert_talked(ipv6);
        assert_talked(ipv6); /* asking changes nothing */
        assert_int_equal(tcp_stats(ipv6).CurrentlyEstablished, 1);
        rig_forget(&rig);
        rig_conn_end(&rig, &conn);
        rig_expect(&rig, "terminated");
        assert_talked(ipv6); /* in particular: given back is not reset */
        assert_int_equal(tcp_stats(ipv6).CurrentlyEstablished, 0);
        rig_close(&rig);
    }
}

/* A set clears what it names and nothing else, whatever it carries; what lives counts on from 0. */
static void
a_set_resets(void **state)
{
    NDIS_OID_REQUEST request;
    TCP_OFFLOAD_STATS junk;

    start(false, 0);
    talk(false);
    memset(&junk, 0xff, sizeof junk);
    assert_int_equal(ask(NdisRequestSetInformation, OID_TCP4_OFFLOAD_STATS, &junk, 3, &request),
                     NDIS_STATUS_SUCCESS);
    assert_int_equal(tcp_stats(false).InSegments, 0);
    assert_int_equal(tcp_stats(false).OutSegments, 0);
    assert_int_equal(tcp_stats(false).CurrentlyEstablished, 1); /* not a counter */
    assert_int_equal(ip_stats(false).InReceives, 2);
    assert_int_equal(ask(NdisRequestSetInformation, OID_IP4_OFFLOAD_STATS, NULL, 0, &request),
                     NDIS_STATUS_SUCCESS);
    assert_int_equal(ip_stats(false).InReceives, 0);
    send_bytes(10);
    assert_int_equal(tcp_stats(false).OutSegments, 1);
    assert_int_equal(ip_stats(false).OutOctets, 50);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 100, .ack = RIG_SND + 3010});
    rig_forget(&rig);
    finish();
}

static void
superframes_count_as_their_segments(void **state)
{
    start(false, 0);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 3500, .gso_size = 1000});
    rig_turn(&rig);
    assert_int_equal(tcp_stats(false).InSegments, 4);
    assert_int_equal(ip_stats(false).InReceives, 4);
    assert_int_equal(ip_stats(false).InOctets, 4 * 40 + 3500);
    rig_forget(&rig);
    finish();
}

/* Sent again is not sent: OutSegments does not grow by it, OutRequests does. */
static void
retransmissions(void **state)
{
    start(false, 0);
    send_bytes(3000);
    assert_int_equal(tcp_stats(false).OutSegments, 3);
    rig_pass(&rig, 3000000);
    ULONG again = tcp_stats(false).RetransmittedSegments;
    assert_true(again >= 3);
    assert_int_equal(tcp_stats(false).OutSegments, 3);
    assert_int_equal(ip_stats(false).OutRequests, 3 + again);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 3000});
    rig_forget(&rig);
    finish();
    start(false, 0); /* another house begins at nothing */
    assert_int_equal(tcp_stats(false).RetransmittedSegments, 0);
    finish();
}

static void
resets(void **state)
{
    start(false, 0);
    NdisOffloadTcpDisconnect(&conn.tcp.handle, rig_nbl(&rig, 0, 0, 0),
                             TCP_DISCONNECT_ABORTIVE_CLOSE);
    rig_turn(&rig);
    assert_int_equal(tcp_stats(false).OutResets, 1);
    assert_int_equal(tcp_stats(false).ResetEstablished, 1);
    assert_int_equal(tcp_stats(false).CurrentlyEstablished, 0);
    rig_forget(&rig);
    finish();

    start(false, 0);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .flags = TCP_RST});
    rig_expect(&rig, "event:abort");
    assert_int_equal(tcp_stats(false).OutResets, 0);
    assert_int_equal(tcp_stats(false).ResetEstablished, 1);
    assert_int_equal(tcp_stats(false).InSegments, 1);
    finish();

    start(false, 0); /* in order, or from FIN_WAIT_1: not counted */
    NdisOffloadTcpDisconnect(&conn.tcp.handle, rig_nbl(&rig, 0, 0, 0),
                             TCP_DISCONNECT_GRACEFUL_CLOSE);
    rig_turn(&rig);
    assert_int_equal(tcp_stats(false).CurrentlyEstablished, 0);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .flags = TCP_RST});
    rig_expect(&rig, "event:abort disconnected:aborted:0");
    assert_int_equal(tcp_stats(false).ResetEstablished, 0);
    finish();
}

/* Whatever goes up, or comes down, the regular path is the host stack's to count. */
static void
the_regular_path_is_not_counted(void **state)
{
    NET_BUFFER_LIST *nbl;

    start(false, 0);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .port = 77});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .fragment = true});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .bad_checksum = true});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .bad_ip_checksum = true});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .not_tcp = true});
    nbl = rig_nbl(&rig, 60, 0, 0);
    nbl->SourceHandle = rig.binding; /* V-184 */
    NdisSendNetBufferLists(rig.binding, nbl, 0, 0);
    rig_turn(&rig);
    assert_int_equal(tcp_stats(false).InSegments, 0);
    assert_int_equal(ip_stats(false).InReceives, 0);
    assert_int_equal(ip_stats(false).OutRequests, 0);
    /* urgent data, and all behind it, waits for the host stack */
    rig_peer(&rig, (struct rig_in){
                       .seq = RIG_RCV, .ack = RIG_SND, .len = 5, .flags = TCP_URG, .urgent = 5});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 5, .ack = RIG_SND, .len = 5});
    rig_turn(&rig);
    assert_int_equal(ip_stats(false).InReceives, 0);
    rig_forget(&rig);
    rig_conn_end(&rig, &conn);
    rig_turn(&rig);
    assert_int_equal(ip_stats(false).InReceives, 0);
    rig_close(&rig);
}

/* What the wire refuses is not sent, and not counted until it is. */
static void
a_blocked_wire(void **state)
{
    start(false, 0);
    test_wire_block(rig.wire, true);
    send_bytes(100);
    assert_int_equal(ip_stats(false).OutRequests, 0);
    test_wire_block(rig.wire, false);
    rig_turn(&rig);
    assert_int_equal(ip_stats(false).OutRequests, 1);
    assert_int_equal(ip_stats(false).OutDiscards, 0);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 100});
    rig_forget(&rig);
    finish();
}

static void
what_cannot_be_asked(void **state)
{
    NDIS_OID_REQUEST request;
    TCP_OFFLOAD_STATS stats;

    start(false, 0);
    assert_int_equal(ask(NdisRequestQueryInformation, OID_TCP4_OFFLOAD_STATS, &stats,
                         sizeof stats - 1, &request),
                     NDIS_STATUS_BUFFER_TOO_SHORT);
    assert_int_equal(request.DATA.QUERY_INFORMATION.BytesNeeded, sizeof stats);
    assert_int_equal(request.DATA.QUERY_INFORMATION.BytesWritten, 0);
    assert_int_equal(
        ask(NdisRequestQueryInformation, OID_IP6_OFFLOAD_STATS, &stats, sizeof stats, &request),
        NDIS_STATUS_BUFFER_TOO_SHORT);
    assert_int_equal(request.DATA.QUERY_INFORMATION.BytesNeeded, sizeof(IP_OFFLOAD_STATS));
    assert_int_equal(ask(NdisRequestMethod, OID_TCP4_OFFLOAD_STATS, &stats, sizeof stats, &request),
                     NDIS_STATUS_NOT_SUPPORTED);
    assert_int_equal(
        ask(NdisRequestQueryInformation, OID_PNP_SET_POWER, &stats, sizeof stats, &request),
        NDIS_STATUS_NOT_SUPPORTED);
    finish();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_family_for_itself),
        cmocka_unit_test(a_set_resets),
        cmocka_unit_test(superframes_count_as_their_segments),
        cmocka_unit_test(retransmissions),
        cmocka_unit_test(resets),
        cmocka_unit_test(the_regular_path_is_not_counted),
        cmocka_unit_test(a_blocked_wire),
        cmocka_unit_test(what_cannot_be_asked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
