/*
 * State beyond the documented: what it changes, that it goes back, and that everything works
 * without it when the two sides do not agree.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/log.h"
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define SEGMENT 1460u

static struct rig rig;
static struct rig_conn conn;
static NET_BUFFER_LIST *chain;

static TCP_OFFLOAD_STATE_EXTENSION *
given_back(void)
{
    return &conn.ends[2].state.extended.extension;
}

/* Ten segments are out; the peer has the third, fourth and the last. */
static void
prepare(const struct house_option *options, unsigned flags)
{
    TCP_OFFLOAD_STATE_DELEGATED *delegated = &conn.tcp.delegated;
    TCP_OFFLOAD_STATE_EXTENSION *extension = &conn.tcp.extension;

    rig_open(&rig, options);
    rig_conn_init(&conn, false, TCP_FLAG_SACK_ENABLED | TCP_FLAG_STATE_EXTENDED | flags);
    chain = rig_nbl(&rig, 10 * SEGMENT, 0, 0);
    conn.tcp.block.NetBufferListChain = chain;
    delegated->SendDataHead = delegated->SendDataTail = chain;
    delegated->SndNxt = delegated->SndMax = RIG_SND + 10 * SEGMENT;
    extension->SackedCount = 2;
    extension->Sacked[0].Start = RIG_SND + 2 * SEGMENT;
    extension->Sacked[0].End = RIG_SND + 4 * SEGMENT;
    extension->Sacked[1].Start = RIG_SND + 9 * SEGMENT;
    extension->Sacked[1].End = RIG_SND + 10 * SEGMENT;
    extension->Flags = TCP_EXTENSION_RECOVERING | TCP_EXTENSION_REORDERING;
    extension->RecoverSeq = RIG_SND + 10 * SEGMENT;
    extension->MinRtt = 7000;
}

static void
finish(void)
{
    rig_conn_end(&rig, &conn);
    rig_turn(&rig);
    assert_int_equal(strncmp(rig.heard, "terminated", 10), 0);
    if (conn.ends[2].block.NetBufferListChain)
        rig_nbl_free(conn.ends[2].block.NetBufferListChain);
    rig_close(&rig);
}

/* Bytes of [from, to) that were sent again. */
static uint32_t
sent_again(uint32_t from, uint32_t to)
{
    uint32_t bytes = 0;

    for (unsigned i = 0; i < rig.out_count; i++) {
        uint32_t start = seq_max(rig.out[i].tcp.seq, from);
        uint32_t end = seq_min(rig.out[i].tcp.seq + rig.out[i].tcp.payload_len, to);
        bytes += seq_before(start, end) ? end - start : 0;
    }
    return bytes;
}

/* What the peer has is not sent again, what it lacks is; the scoreboard goes back. */
static void
scoreboard(void **state)
{
    prepare(NULL, 0);
    rig_conn_start(&rig, &conn);
    rig_pass(&rig, 100000);
    assert_true(sent_again(RIG_SND, RIG_SND + 2 * SEGMENT) >= 2 * SEGMENT);
    assert_int_equal(sent_again(RIG_SND + 2 * SEGMENT, RIG_SND + 4 * SEGMENT), 0);
    assert_int_equal(sent_again(RIG_SND + 9 * SEGMENT, RIG_SND + 10 * SEGMENT), 0);
    finish();
    assert_int_equal(given_back()->Version, TCP_OFFLOAD_EXTENSION_VERSION);
    assert_int_equal(given_back()->SackedCount, 2);
    assert_int_equal(given_back()->Sacked[0].Start, RIG_SND + 2 * SEGMENT);
    assert_int_equal(given_back()->Sacked[1].End, RIG_SND + 10 * SEGMENT);
    assert_true(given_back()->Flags & TCP_EXTENSION_RECOVERING);
    assert_int_equal(given_back()->RecoverSeq, RIG_SND + 10 * SEGMENT);
    assert_true(given_back()->Flags & TCP_EXTENSION_REORDERING);
    assert_int_equal(given_back()->MinRtt, 7000);
}

/* The control: without it the end, which the peer has, is the first to go again. */
static void
without(void **state)
{
    prepare(NULL, 0);
    conn.tcp.constant.Flags &= (USHORT)~TCP_FLAG_STATE_EXTENDED;
    rig_conn_start(&rig, &conn);
    rig_pass(&rig, 100000);
    assert_int_equal(sent_again(RIG_SND + 9 * SEGMENT, RIG_SND + 10 * SEGMENT), SEGMENT);
    memset(&conn.ends, 0xa5, sizeof conn.ends);
    rig_conn_end(&rig, &conn);
    rig_turn(&rig);
    assert_int_equal(given_back()->Version, 0); /* as rig_node_init left it */
    assert_int_equal(given_back()->SackedCount, 0);
    rig_nbl_free(conn.ends[2].block.NetBufferListChain);
    rig_close(&rig);
}

/* ---- ECN ---- */

static void
start_ecn(USHORT flags)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, TCP_FLAG_STATE_EXTENDED | TCP_FLAG_ECN_ENABLED);
    conn.tcp.cached.TosOrTrafficClass = 0xb9; /* the last two bits are not the host stack's */
    conn.tcp.extension.Flags = flags;
    conn.tcp.extension.EcnSeq = RIG_SND;
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
}

/* An echo goes on until the peer says CWR; what carries data is marked as capable, an ACK is not.
 */
static void
echo_goes_on(void **state)
{
    start_ecn(TCP_EXTENSION_ECN_ECHO);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 10});
    rig_pass(&rig, 50000);
    rig_expect_out(&rig, 1);
    assert_true(rig.out[0].tcp.flags & TCP_ECE);
    assert_int_equal(rig.out[0].ip[1], 0xb8);
    rig_forget(&rig);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    rig_expect_out(&rig, 1);
    assert_int_equal(rig.out[0].ip[1], 0xba);
    assert_true(rig.out[0].tcp.flags & TCP_ECE);
    rig_forget(&rig);
    rig_peer(&rig, (struct rig_in){
                       .seq = RIG_RCV + 10, .ack = RIG_SND + 10, .len = 10, .flags = TCP_CWR});
    rig_pass(&rig, 50000);
    assert_int_equal(rig.out[rig.out_count - 1].tcp.flags & TCP_ECE, 0);
    rig.heard[0] = 0;
    finish();
    assert_int_equal(given_back()->Flags & TCP_EXTENSION_ECN_ECHO, 0);
}

/* A mark is echoed, and if it is not answered in time the next owner goes on with it. */
static void
echo_goes_back(void **state)
{
    for (unsigned ipv6 = 0; ipv6 < 2; ipv6++) {
        rig_open(&rig, NULL);
        rig_conn_init(&conn, ipv6, TCP_FLAG_STATE_EXTENDED | TCP_FLAG_ECN_ENABLED);
        rig_conn_start(&rig, &conn);
        rig_peer(&rig, (struct rig_in){
                           .seq = RIG_RCV, .ack = RIG_SND, .len = 10, .tos = 3, .ipv6 = ipv6});
        rig_pass(&rig, 50000);
        assert_true(rig.out[rig.out_count - 1].tcp.flags & TCP_ECE);
        rig.heard[0] = 0;
        finish();
        assert_true(given_back()->Flags & TCP_EXTENSION_ECN_ECHO);
    }
}

/* A segment that the host stack received brings what stood in its IP header. */
static void
forwarded_marks_are_heard(void **state)
{
    for (uintptr_t ecn = 0; ecn < 4; ecn++) {
        start_ecn(0);
        NET_BUFFER_LIST *nbl = rig_nbl(&rig, 30, 0, 0);
        uint8_t *tcp = nbl->ProtocolReserved[0];
        memset(tcp, 0, 30);
        bytes_store_be16(tcp, 80);
        bytes_store_be16(tcp + 2, 4000);
        bytes_store_be32(tcp + 4, RIG_RCV);
        bytes_store_be32(tcp + 8, RIG_SND);
        tcp[12] = 0x50;
        tcp[13] = TCP_ACK;
        NET_BUFFER_LIST_INFO(nbl, TcpForwardEcn) = (PVOID)ecn;
        NdisOffloadTcpForward(&conn.tcp.handle, nbl);
        rig_pass(&rig, 50000);
        assert_int_equal(!!(rig.out[rig.out_count - 1].tcp.flags & TCP_ECE), ecn == TCP_CE);
        rig.heard[0] = 0;
        finish();
    }
}

static void
assert_frame_sums_right(bool ipv6)
{
    const uint8_t *ip = rig.frame + 14, *tcp = ip + (ipv6 ? 40 : 20);
    uint32_t len = rig.frame_len - (uint32_t)(tcp - rig.frame);
    struct checksum sum = {0};

    if (ipv6)
        checksum_add_pseudo_v6(&sum, ip + 8, ip + 24, 6, len);
    else
        checksum_add_pseudo_v4(&sum, ip + 12, ip + 16, 6, len);
    checksum_add(&sum, tcp, len);
    assert_int_equal(checksum_value(&sum), 0);
    assert_true(ipv6 || checksum_of(ip, 20) == 0);
}

/* What waits out of order goes up behind the state, in which its mark is, and that CWR came: it
 * says neither again. Without ECN it is left alone. */
static void
disorder_is_not_heard_twice(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        bool ipv6 = i & 1, ecn = i & 2;
        rig_open(&rig, NULL);
        rig_conn_init(&conn, ipv6, TCP_FLAG_STATE_EXTENDED | (ecn ? TCP_FLAG_ECN_ENABLED : 0));
        rig_conn_start(&rig, &conn);
        rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 100,
                                       .ack = RIG_SND,
                                       .len = 50,
                                       .tos = 0xb8 | TCP_CE,
                                       .flags = TCP_CWR,
                                       .ipv6 = ipv6});
        finish();
        const uint8_t *ip = rig.frame + 14;
        assert_int_equal(rig.frame_len, (ipv6 ? 54 : 34) + 20 + 50);
        assert_int_equal(ipv6 ? bytes_load_be16(ip) >> 4 & 0xff : ip[1],
                         0xb8 | (ecn ? TCP_ECT0 : TCP_CE));
        assert_int_equal(ip[(ipv6 ? 40 : 20) + 13], TCP_ACK | (ecn ? 0 : TCP_CWR));
        assert_frame_sums_right(ipv6);
    }
}

/* The window was reduced already, and CWR is still due. What the network does is passed on. */
static void
reduced_already(void **state)
{
    start_ecn(TCP_EXTENSION_ECN_CWR | TCP_EXTENSION_ECN_REACTED | TCP_EXTENSION_REORDERING);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    rig_expect_out(&rig, 1);
    assert_true(rig.out[0].tcp.flags & TCP_CWR);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 10});
    rig_expect(&rig, "sent:ok:10");
    finish();
    assert_int_equal(given_back()->Flags & TCP_EXTENSION_ECN_CWR, 0);
    assert_true(given_back()->Flags & TCP_EXTENSION_REORDERING);
}

/* Not negotiated: marks mean nothing, and the field is the host stack's. */
static void
no_ecn(void **state)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, TCP_FLAG_STATE_EXTENDED);
    conn.tcp.cached.TosOrTrafficClass = 0xb9;
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 10, .tos = 3});
    rig_pass(&rig, 50000);
    rig_expect_out(&rig, 1);
    assert_int_equal(rig.out[0].tcp.flags, TCP_ACK);
    assert_int_equal(rig.out[0].ip[1], 0xb9);
    rig.heard[0] = 0;
    finish();
}

/* ---- no agreement ---- */

static unsigned lines;

static void
on_line(enum log_level level, const char *line, void *arg)
{
    lines += strstr(line, "without it") != NULL;
}

static void
assert_falls_back(bool nothing_back)
{
    enum log_level level = log_level_now;

    lines = 0;
    log_set_level(LOG_INFO);
    log_set_sink(on_line, NULL);
    rig_conn_start(&rig, &conn);
    log_set_sink(NULL, NULL);
    log_set_level(level);
    assert_int_equal(lines, 1);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 10 * SEGMENT});
    rig_expect(&rig, "sent:ok:14600");
    finish();
    if (nothing_back)
        assert_int_equal(given_back()->Version, 0);
    else
        assert_int_equal(given_back()->SackedCount, 0);
}

static void
another_version(void **state)
{
    prepare(NULL, 0);
    assert_int_equal(NDIS_TCP_CONNECTION_OFFLOAD_EXTENSION(rig.capabilities.Flags), 1);
    conn.tcp.extension.Version = 2;
    assert_falls_back(true);
}

static void
another_length(void **state)
{
    prepare(NULL, 0);
    conn.tcp.extension.Header.Length = sizeof conn.tcp.extension - 8;
    assert_falls_back(true);
}

static void
switched_off(void **state)
{
    static const struct house_option options[] = {{"StateExtension", "0"}, {NULL, NULL}};

    prepare(options, 0);
    assert_int_equal(NDIS_TCP_CONNECTION_OFFLOAD_EXTENSION(rig.capabilities.Flags), 0);
    assert_falls_back(true);
}

/* With ECN there is no going without it: a host stack may have heard of the extension from another
 * adapter, which has left a team since. */
static void
ecn_without_it_is_refused(void **state)
{
    static const struct house_option deaf[] = {{"StateExtension", "0"}, {NULL, NULL}};

    for (unsigned i = 0; i < 2; i++) {
        rig_open(&rig, i ? deaf : NULL);
        rig_conn_init(&conn, false, TCP_FLAG_STATE_EXTENDED | TCP_FLAG_ECN_ENABLED);
        if (!i)
            conn.tcp.extension.Version = 2;
        NdisInitiateOffload(rig.binding, &conn.neighbor.block);
        rig_expect(&rig, "initiated");
        assert_int_equal(conn.tcp.block.Status, NDIS_STATUS_FAILURE);
        assert_null(conn.tcp.handle.MiniportOffloadContext);
        rig_object_end(&rig, Ip4OffloadDelegatedState, &conn.path.handle);
        rig_object_end(&rig, NeighborOffloadDelegatedState, &conn.neighbor.handle);
        rig_close(&rig);
    }
}

/* More than was sent, or more ranges than there is room for. */
static void
does_not_fit(void **state)
{
    prepare(NULL, 0);
    conn.tcp.extension.Sacked[1].End = RIG_SND + 10 * SEGMENT + 1;
    assert_falls_back(false);
    prepare(NULL, 0);
    conn.tcp.extension.SackedCount = 0x10001;
    assert_falls_back(false);
    prepare(NULL, 0);
    conn.tcp.extension.SackedCount = TCP_OFFLOAD_EXTENSION_RANGES + 1;
    assert_falls_back(false);
}

/* The host stack forgets the room: nothing is written behind the delegated state. */
static void
no_room(void **state)
{
    prepare(NULL, 0);
    rig_conn_start(&rig, &conn);
    conn.tcp.constant.Flags &= (USHORT)~TCP_FLAG_STATE_EXTENDED; /* the rig's own memory */
    finish();
    assert_int_equal(given_back()->Version, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scoreboard),
        cmocka_unit_test(without),
        cmocka_unit_test(echo_goes_on),
        cmocka_unit_test(echo_goes_back),
        cmocka_unit_test(forwarded_marks_are_heard),
        cmocka_unit_test(disorder_is_not_heard_twice),
        cmocka_unit_test(reduced_already),
        cmocka_unit_test(no_ecn),
        cmocka_unit_test(another_version),
        cmocka_unit_test(another_length),
        cmocka_unit_test(switched_off),
        cmocka_unit_test(ecn_without_it_is_refused),
        cmocka_unit_test(does_not_fit),
        cmocka_unit_test(no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
