/*
 * Sends, disconnects and what goes out: bytes in order out of any chain of buffers, completion by
 * acknowledgement, the headers of a segment, a wire that is full, FIN and RST.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/log.h"
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;

static void
start(bool ipv6)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, ipv6, 0);
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
send_bytes(uint32_t len, uint8_t first, uint32_t piece)
{
    assert_int_equal(NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, len, first, piece)),
                     NDIS_STATUS_PENDING);
}

static void
acknowledge(uint32_t bytes)
{
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + bytes});
}

/* All frames together carry `len` bytes that count up, from `seq` on. */
static void
assert_stream(uint32_t seq, uint32_t len)
{
    uint32_t at = 0;

    for (unsigned i = 0; i < rig.out_count; i++) {
        const struct rig_out *out = &rig.out[i];
        assert_int_equal(out->tcp.seq, seq + at);
        for (uint32_t j = 0; j < out->tcp.payload_len; j++)
            assert_int_equal(out->payload[j], (uint8_t)(at + j));
        at += out->tcp.payload_len;
    }
    assert_int_equal(at, len);
}

static void
ipv4_header(void **state)
{
    start(false);
    rig_forget(&rig);
    send_bytes(3000, 0, 0);
    rig_expect_out(&rig, 1);
    const uint8_t *ip = rig.out[0].ip;
    const struct wire_meta *meta = &rig.out[0].buf->meta;
    assert_memory_equal(rig.out[0].buf->data, "\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0", 14);
    assert_int_equal(ip[0], 0x45);
    assert_int_equal(bytes_load_be16(ip + 2), 20 + 20 + 3000);
    assert_true(bytes_load_be16(ip + 4) >= 0x8000);
    assert_int_equal(bytes_load_be16(ip + 6), 0x4000);
    assert_int_equal(ip[8], 64);
    assert_int_equal(checksum_of(ip, 20), 0);
    assert_memory_equal(ip + 12, "\x0a\0\0\x01\x0a\0\0\x02", 8);
    assert_true(meta->csum_partial);
    assert_int_equal(meta->gso_type, WIRE_GSO_TCPV4);
    assert_int_equal(meta->gso_size, 1460);
    assert_int_equal(meta->header_len, 54);
    assert_int_equal(meta->csum_start, 34);
    assert_int_equal(meta->csum_offset, 16);
    struct checksum sum = {.sum = 0};
    checksum_add_pseudo_v4(&sum, ip + 12, ip + 16, 6, 3020);
    assert_int_equal(bytes_load_be16(ip + 20 + 16), checksum_folded(&sum));
    acknowledge(3000);
    rig_expect(&rig, "sent:ok:3000");
    finish();
}

/* Ids stay in the upper half and no two segments share one, superframes included (V-169). */
static void
ip_ids(void **state)
{
    uint32_t next = 0, wraps = 0;

    start(false);
    for (uint32_t sent = 0; sent < 2500 * 20000u; sent += 20000) { /* 34000 segments and more */
        rig_forget(&rig);
        send_bytes(20000, 0, 0);
        rig_turn(&rig);
        for (unsigned i = 0; i < rig.out_count; i++) {
            uint32_t id = bytes_load_be16(rig.out[i].ip + 4);
            uint32_t segments = (rig.out[i].tcp.payload_len + 1459) / 1460;
            assert_true(id >= 0x8000 && id + segments <= 0x10000);
            if (next && id != next) {
                assert_int_equal(id, 0x8000);
                wraps++;
            }
            next = id + segments;
        }
        acknowledge(sent + 20000);
        rig_turn(&rig);
    }
    assert_int_equal(wraps, 1);
    rig_forget(&rig);
    finish();
}

static void
ipv6_header(void **state)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, true, 0);
    conn.tcp.cached.FlowLabel = 0xabcde;
    conn.tcp.cached.TosOrTrafficClass = 0x28;
    conn.tcp.cached.TtlOrHopLimit = 9;
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
    send_bytes(5000, 0, 0);
    rig_expect_out(&rig, 1);
    const uint8_t *ip = rig.out[0].ip;
    assert_int_equal(bytes_load_be32(ip), 6u << 28 | 0x28u << 20 | 0xabcde);
    assert_int_equal(bytes_load_be16(ip + 4), 5020);
    assert_int_equal(ip[6], 6);
    assert_int_equal(ip[7], 9);
    assert_int_equal(rig.out[0].buf->meta.gso_type, WIRE_GSO_TCPV6);
    assert_int_equal(rig.out[0].buf->meta.gso_size, 1440);
    assert_stream(RIG_SND, 5000);
    rig_peer(&rig, (struct rig_in){.ipv6 = true, .seq = RIG_RCV, .ack = RIG_SND + 5000});
    rig_expect(&rig, "sent:ok:5000");
    finish();
}

/* Many small MDLs, several NBLs in one call; more pieces than the wire takes. */
static void
scattered(void **state)
{
    NET_BUFFER_LIST *first, *second;

    start(false);
    first = rig_nbl(&rig, 10000, 0, 7);
    second = rig_nbl(&rig, 10000, (uint8_t)10000, 1000);
    NET_BUFFER_LIST_NEXT_NBL(first) = second;
    NdisOffloadTcpSend(&conn.tcp.handle, first);
    rig_turn(&rig);
    assert_stream(RIG_SND, 20000);
    acknowledge(9999);
    rig_expect(&rig, "");
    acknowledge(10001);
    rig_expect(&rig, "sent:ok:10000");
    acknowledge(20000);
    rig_expect(&rig, "sent:ok:10000");
    finish();
}

/* A retransmission finds its bytes again, in the middle of an NBL. */
static void
retransmission(void **state)
{
    start(false);
    send_bytes(2000, 0, 300);
    send_bytes(2000, (uint8_t)2000, 300);
    rig_forget(&rig);
    acknowledge(2500);
    rig_expect(&rig, "sent:ok:2000");
    rig_pass(&rig, 1500000);
    assert_true(rig.out_count >= 1);
    for (unsigned i = 0; i < rig.out_count; i++) {
        uint32_t offset = rig.out[i].tcp.seq - RIG_SND;
        assert_true(offset >= 2500 && rig.out[i].tcp.payload_len);
        for (uint32_t j = 0; j < rig.out[i].tcp.payload_len; j++)
            assert_int_equal(rig.out[i].payload[j], (uint8_t)(offset + j));
    }
    acknowledge(4000);
    rig_expect(&rig, "sent:ok:2000");
    finish();
}

/* The last segment of two is sent again, from the middle of the queue: the tail probe. */
static void
second_again(void **state)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, TCP_FLAG_SACK_ENABLED);
    rig_conn_start(&rig, &conn);
    send_bytes(1460, 0, 0);
    send_bytes(1460, 9, 0);
    rig_forget(&rig);
    rig_pass(&rig, 150000);
    assert_true(rig.out_count > 0);
    assert_int_equal(rig.out[0].tcp.seq, RIG_SND + 1460);
    assert_int_equal(rig.out[0].payload[0], 9);
    acknowledge(2920);
    rig_expect(&rig, "sent:ok:1460 sent:ok:1460");
    finish();
}

/* An NBL of several NET_BUFFERs, of which one is empty. */
static void
several_net_buffers(void **state)
{
    NET_BUFFER_LIST *parts[3];

    start(false);
    for (unsigned i = 0; i < 3; i++)
        parts[i] = rig_nbl(&rig, i == 1 ? 0 : 50, (uint8_t)(50 * (i / 2)), 0);
    for (unsigned i = 0; i < 2; i++)
        NET_BUFFER_NEXT_NB(NET_BUFFER_LIST_FIRST_NB(parts[i])) = NET_BUFFER_LIST_FIRST_NB(
            parts[i + 1]);
    rig.careless = true; /* V-088 */
    NdisOffloadTcpSend(&conn.tcp.handle, parts[0]);
    rig_expect_out(&rig, 1);
    assert_int_equal(rig.out[0].tcp.payload_len, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(rig.out[0].payload[i], i);
    acknowledge(100);
    rig_expect(&rig, "sent:ok:100");
    rig_nbl_free(parts[1]);
    rig_nbl_free(parts[2]);
    finish();
}

/* Nothing is lost or doubled when the wire is full. */
static void
blocked_wire(void **state)
{
    start(false);
    test_wire_block(rig.wire, true);
    send_bytes(3000, 0, 0);
    send_bytes(3000, (uint8_t)3000, 0);
    rig_expect_out(&rig, 0);
    test_wire_block(rig.wire, false);
    rig_turn(&rig);
    assert_stream(RIG_SND, 6000);
    acknowledge(6000);
    rig_expect(&rig, "sent:ok:3000 sent:ok:3000");
    /* refused in the middle: while it waits, an acknowledgement of everything comes */
    test_wire_block(rig.wire, true);
    send_bytes(1000, (uint8_t)6000, 0);
    rig_turn(&rig);
    rig_conn_end(&rig, &conn);
    rig_turn(&rig);
    assert_string_equal(rig.heard, "terminated");
    assert_non_null(conn.ends[2].block.NetBufferListChain);
    rig_nbl_free(conn.ends[2].block.NetBufferListChain);
    test_wire_block(rig.wire, false);
    rig_close(&rig);
}

/* What the wire had refused was made for a path that takes less now: it goes again, smaller. */
static void
blocked_wire_and_a_smaller_path(void **state)
{
    static const uint32_t lengths[] = {1000, 3000}; /* one segment; a superframe */

    for (int i = 0; i < 2; i++) {
        struct rig_node node;

        start(false);
        test_wire_block(rig.wire, true);
        send_bytes(lengths[i], 0, 0);
        rig_turn(&rig);
        rig_node_init(&node, Ip4OffloadCachedState, &conn.path.handle);
        node.state.path.Header.Length = sizeof node.state.path;
        node.state.path.PathMtu = 576;
        NdisUpdateOffload(rig.binding, &node.block);
        rig_expect(&rig, "updated");
        test_wire_block(rig.wire, false);
        rig_turn(&rig);
        for (unsigned j = 0; j < rig.out_count; j++) {
            uint32_t size = rig.out[j].buf->meta.gso_size;
            assert_in_range(size ? size : rig.out[j].tcp.payload_len, 1, 536);
        }
        assert_stream(RIG_SND, lengths[i]);
        acknowledge(lengths[i]);
        rig_expect(&rig, i ? "sent:ok:3000" : "sent:ok:1000");
        finish();
    }
}

/* What waits for the wire is neither lost nor unanswered, however long it waits; what has gone
 * counts from then. */
static void
timers_wait_for_the_wire(void **state)
{
    ULONG cwnd;

    start(false);
    cwnd = conn.tcp.delegated.CWnd;
    test_wire_block(rig.wire, true);
    send_bytes(1000, 0, 0);
    rig_pass(&rig, 30000000);
    rig_expect_out(&rig, 0);
    test_wire_block(rig.wire, false);
    rig_expect_out(&rig, 1);
    rig_pass(&rig, 150000); /* no sooner than after a segment sent at once */
    rig_expect_out(&rig, 1);
    acknowledge(1000);
    rig_expect(&rig, "sent:ok:1000");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    assert_int_equal(rig_given_back(&conn)->Retransmit.Count, 0);
    assert_true(rig_given_back(&conn)->CWnd >= cwnd);
    rig_close(&rig);
}

/* It had gone before: then it goes again, once, when the wire lets it, and nobody is given up. */
static void
retransmissions_wait_for_the_wire(void **state)
{
    start(false);
    send_bytes(1000, 0, 0);
    rig_expect_out(&rig, 1);
    test_wire_block(rig.wire, true);
    rig_pass(&rig, 600000000);
    rig_expect_out(&rig, 1);
    test_wire_block(rig.wire, false);
    rig_pass(&rig, 250000);
    rig_expect_out(&rig, 2);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    assert_true(rig_given_back(&conn)->Retransmit.Count <= 1);
    rig_nbl_free(conn.ends[2].block.NetBufferListChain);
    rig_close(&rig);
}

/* Data and FIN acknowledged, after every earlier send (V-124); the receive half stays open (V-128).
 */
static void
graceful(void **state)
{
    start(false);
    send_bytes(100, 0, 0);
    NdisOffloadTcpDisconnect(&conn.tcp.handle, rig_nbl(&rig, 50, 100, 0),
                             TCP_DISCONNECT_GRACEFUL_CLOSE);
    rig_turn(&rig);
    assert_stream(RIG_SND, 150);
    assert_true(rig.out[rig.out_count - 1].tcp.flags & TCP_FIN);
    acknowledge(150);
    rig_expect(&rig, "sent:ok:100");
    acknowledge(151);
    rig_expect(&rig, "disconnected:ok:50");
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 151, .len = 10});
    rig_expect(&rig, "indicate:10");
    rig.careless = true;                                          /* V-084: */
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 5, 0, 0)); /* too late */
    rig_expect(&rig, "sent:aborted:0");
    finish();
}

static void
abortive(void **state)
{
    start(false);
    send_bytes(1000, 0, 0);
    rig_forget(&rig);
    acknowledge(400);
    NdisOffloadTcpReceive(&conn.tcp.handle, rig_nbl(&rig, 100, 0, 0));
    NdisOffloadTcpDisconnect(&conn.tcp.handle, rig_nbl(&rig, 0, 0, 0),
                             TCP_DISCONNECT_ABORTIVE_CLOSE);
    rig_expect(&rig, "sent:aborted:400 received:aborted:0 disconnected:ok:0");
    assert_int_equal(rig.out_count, 1);
    assert_true(rig.out[0].tcp.flags & TCP_RST);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 10});
    rig_pass(&rig, 3000000);
    rig_expect_out(&rig, 1); /* and nothing else, ever */
    rig_expect(&rig, "frame:64");
    finish();
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionClosed);
}

/* Abort first, then everything that is open (V-133). */
static void
reset_by_peer(void **state)
{
    start(false);
    send_bytes(1000, 0, 0);
    rig_forget(&rig);
    NdisOffloadTcpReceive(&conn.tcp.handle, rig_nbl(&rig, 100, 0, 0));
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .flags = TCP_RST});
    rig_expect(&rig, "event:abort sent:aborted:0 received:aborted:0");
    send_bytes(10, 0, 0);
    rig_expect(&rig, "sent:aborted:0");
    finish();
}

/* With ack = returned the window is asked after although nothing is queued: whoever has data above
 * sees only us. */
static void
closed_window_is_watched(void **state)
{
    for (int watched = 0; watched < 2; watched++) {
        rig_open(&rig, NULL);
        rig_conn_init(&conn, false, watched ? TCP_FLAG_ACK_RETURNED : 0);
        conn.tcp.delegated.SndWnd = 0;
        rig_conn_start(&rig, &conn);
        rig_forget(&rig);
        rig_pass(&rig, 900000); /* RTO: the least, 200 ms */
        if (!watched) {
            rig_expect_out(&rig, 0);
            finish();
            continue;
        }
        rig_expect_out(&rig, 3);
        assert_int_equal(rig.out[0].tcp.seq, RIG_SND - 1);
        assert_int_equal(rig.out[0].tcp.payload_len, 0);
        rig_forget(&rig);
        rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .window = 5000});
        rig_pass(&rig, 10000000);
        rig_expect_out(&rig, 0);
        assert_int_equal(rig.backlog > 0, 1);
        finish();
    }
}

/* A frame of the host stack's own keeps its metadata; when the wire is full it waits, in order. */
static void
regular_frames(void **state)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large = {.Value = NULL};
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO checksum = {.Value = NULL};
    NET_BUFFER_LIST *super, *plain;

    start(false);
    super = rig_nbl(&rig, 54 + 5000, 0, 700);
    ((uint8_t *)super->ProtocolReserved[0])[34 + 12] = 0x50;
    large.LsoV2Transmit.MSS = 1460;
    large.LsoV2Transmit.TcpHeaderOffset = 34;
    large.LsoV2Transmit.Type = NDIS_TCP_LARGE_SEND_OFFLOAD_V2_TYPE;
    NET_BUFFER_LIST_INFO(super, TcpLargeSendNetBufferListInfo) = large.Value;
    plain = rig_nbl(&rig, 80, 0, 0);
    checksum.Transmit.UdpChecksum = 1;
    checksum.Transmit.TcpHeaderOffset = 34;
    NET_BUFFER_LIST_INFO(plain, TcpIpChecksumNetBufferListInfo) = checksum.Value;
    NET_BUFFER_LIST_NEXT_NBL(super) = plain;
    test_wire_block(rig.wire, true);
    super->SourceHandle = plain->SourceHandle = rig.binding; /* V-184 */
    NdisSendNetBufferLists(rig.binding, super, NDIS_DEFAULT_PORT_NUMBER, 0);
    rig_expect(&rig, "");
    test_wire_block(rig.wire, false);
    rig_expect(&rig, "frame-sent:ok frame-sent:ok");
    assert_int_equal(rig.out_count, 2);
    const struct wire_meta *meta = &rig.out[0].buf->meta;
    assert_int_equal(rig.out[0].buf->len, 5054);
    assert_int_equal(rig.out[0].buf->data[5053], (uint8_t)5053);
    assert_int_equal(meta->gso_type, WIRE_GSO_TCPV4);
    assert_int_equal(meta->gso_size, 1460);
    assert_int_equal(meta->header_len, 54);
    assert_int_equal(meta->csum_start, 34);
    assert_true(meta->csum_partial);
    meta = &rig.out[1].buf->meta;
    assert_int_equal(meta->gso_type, WIRE_GSO_NONE);
    assert_true(meta->csum_partial);
    assert_int_equal(meta->csum_offset, 6);
    finish();
}

static unsigned warnings;
static char warning[256];

static void
on_line(enum log_level level, const char *line, void *arg)
{
    if (level > LOG_WARN)
        return;
    warnings++;
    snprintf(warning, sizeof warning, "%s", line);
}

/* A host stack that thinks the wire takes more: the frame fails, one warning stands for many. */
static void
too_long_for_the_wire(void **state)
{
    static const uint32_t lengths[] = {1518, 1519, 9014};

    start(false);
    log_set_sink(on_line, NULL);
    warnings = 0;
    for (unsigned i = 0; i < 3; i++) {
        NET_BUFFER_LIST *nbl = rig_nbl(&rig, lengths[i], 0, 0);

        rig_forget(&rig);
        nbl->SourceHandle = rig.binding; /* V-184 */
        NdisSendNetBufferLists(rig.binding, nbl, NDIS_DEFAULT_PORT_NUMBER, 0);
        rig_turn(&rig);
        rig_expect(&rig, i ? "frame-sent:c0000001" : "frame-sent:ok");
        rig_expect_out(&rig, i == 0);
    }
    assert_int_equal(warnings, 1);
    assert_string_equal(warning, "soft test: a frame of 1519 bytes is too long for an MTU of "
                                 "1500 and not sent, number 1");
    log_set_sink(NULL, NULL);
    finish();
}

/* Of a superframe it is the segments that have to fit. */
static void
segments_too_long_for_the_wire(void **state)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large = {.Value = NULL};
    NET_BUFFER_LIST *super;

    start(false);
    log_set_sink(on_line, NULL);
    warnings = 0;
    super = rig_nbl(&rig, 54 + 20000, 0, 0);
    ((uint8_t *)super->ProtocolReserved[0])[34 + 12] = 0x50;
    large.LsoV2Transmit.MSS = 8960;
    large.LsoV2Transmit.TcpHeaderOffset = 34;
    large.LsoV2Transmit.Type = NDIS_TCP_LARGE_SEND_OFFLOAD_V2_TYPE;
    NET_BUFFER_LIST_INFO(super, TcpLargeSendNetBufferListInfo) = large.Value;
    super->SourceHandle = rig.binding; /* V-184 */
    NdisSendNetBufferLists(rig.binding, super, NDIS_DEFAULT_PORT_NUMBER, 0);
    rig_turn(&rig);
    rig_expect(&rig, "frame-sent:c0000001");
    rig_expect_out(&rig, 0);
    assert_int_equal(warnings, 1);
    log_set_sink(NULL, NULL);
    finish();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv4_header),
        cmocka_unit_test(ip_ids),
        cmocka_unit_test(ipv6_header),
        cmocka_unit_test(scattered),
        cmocka_unit_test(retransmission),
        cmocka_unit_test(second_again),
        cmocka_unit_test(several_net_buffers),
        cmocka_unit_test(blocked_wire),
        cmocka_unit_test(blocked_wire_and_a_smaller_path),
        cmocka_unit_test(timers_wait_for_the_wire),
        cmocka_unit_test(retransmissions_wait_for_the_wire),
        cmocka_unit_test(graceful),
        cmocka_unit_test(abortive),
        cmocka_unit_test(reset_by_peer),
        cmocka_unit_test(regular_frames),
        cmocka_unit_test(too_long_for_the_wire),
        cmocka_unit_test(segments_too_long_for_the_wire),
        cmocka_unit_test(closed_window_is_watched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
