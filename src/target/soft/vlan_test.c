/*
 * Tags: what is sent carries the neighbor's VLAN and the connection's priority, what is received is
 * taken from its own VLAN alone, and what goes up the regular path is whole (chimney 5; V-050,
 * V-174, V-175).
 */
#include "base/bytes.h"
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;

static const struct house_option only_five[] = {{"VlanId", "5"}, {NULL, NULL}};

static void
start_on(const struct house_option *options, bool ipv6, unsigned vlan, UCHAR priority)
{
    rig_open(&rig, options);
    rig_conn_init(&conn, ipv6, 0);
    conn.neighbor.constant.VlanId = vlan & 0xfff;
    conn.tcp.cached.UserPriority = priority;
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
}

static void
start(bool ipv6, unsigned vlan, UCHAR priority)
{
    start_on(NULL, ipv6, vlan, priority);
}

static void
finish(const char *words)
{
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, words);
    rig_close(&rig);
}

static void
send_bytes(uint32_t len)
{
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, len, 0, 0));
}

/* In the connection's own VLAN. */
static void
acknowledge(uint32_t bytes)
{
    unsigned vlan = conn.neighbor.constant.VlanId;

    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV,
                                   .ack = RIG_SND + bytes,
                                   .ipv6 = conn.path.block.Header.Type == Ip6OffloadState,
                                   .tagged = vlan != 0,
                                   .tag = (uint16_t)vlan});
}

/* The frame has this tag, 0: none, and all else is where it should be. */
static void
assert_tagged(const struct rig_out *out, unsigned tag, bool ipv6)
{
    const uint8_t *frame = out->buf->data;
    uint32_t link = tag ? 18 : 14;

    if (tag)
        assert_int_equal(bytes_load_be32(frame + 12), 0x81000000u | tag);
    assert_int_equal(bytes_load_be16(frame + link - 2), ipv6 ? 0x86dd : 0x0800);
    assert_ptr_equal(out->ip, frame + link);
    assert_int_equal(out->buf->meta.csum_start, link + (ipv6 ? 40 : 20));
    assert_int_equal(out->buf->meta.header_len, link + (ipv6 ? 40 : 20) + 20);
}

static void
tags_what_it_sends(void **state)
{
    static const struct {
        unsigned vlan;
        UCHAR priority;
        unsigned tag;
    } cases[] = {
        {0, 0, 0}, {0, 3, 3u << 13}, {5, 0, 5}, {5, 3, 3u << 13 | 5}, {4094, 7, 7u << 13 | 4094},
    };

    for (unsigned i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        bool ipv6 = i % 2;

        start(ipv6, cases[i / 2].vlan, cases[i / 2].priority);
        send_bytes(3000);
        rig_expect_out(&rig, 1);
        assert_tagged(&rig.out[0], cases[i / 2].tag, ipv6);
        assert_int_equal(rig.out[0].buf->meta.gso_size, ipv6 ? 1440 : 1460);
        assert_int_equal(rig.out[0].tcp.payload_len, 3000);
        acknowledge(3000);
        rig_expect(&rig, "sent:ok:3000");
        finish("terminated");
    }
}

/* Also an update's, at once; the VLAN stays. */
static void
priority_changes(void **state)
{
    struct rig_node node;

    start(false, 5, 1);
    rig_node_init(&node, TcpOffloadCachedState, &conn.tcp.handle);
    node.state.cached = conn.tcp.cached;
    node.state.cached.UserPriority = 6;
    NdisUpdateOffload(rig.binding, &node.block);
    rig_expect(&rig, "updated");
    send_bytes(10);
    rig_expect_out(&rig, 1);
    assert_tagged(&rig.out[0], 6u << 13 | 5, false);
    acknowledge(10);
    rig_expect(&rig, "sent:ok:10");
    finish("terminated");
}

/* The tag is no part of a datagram. */
static void
is_not_counted(void **state)
{
    IP_OFFLOAD_STATS stats;
    NDIS_OID_REQUEST request = {
        .Header = {NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1, sizeof request},
        .RequestType = NdisRequestQueryStatistics,
        .DATA.QUERY_INFORMATION = {.Oid = OID_IP4_OFFLOAD_STATS,
                                   .InformationBuffer = &stats,
                                   .InformationBufferLength = sizeof stats}};

    start(false, 5, 3);
    send_bytes(100);
    rig_expect_out(&rig, 1);
    rig_peer(&rig, (struct rig_in){
                       .seq = RIG_RCV, .ack = RIG_SND + 100, .len = 30, .tagged = true, .tag = 5});
    rig_expect(&rig, "sent:ok:100 indicate:30");
    assert_int_equal(NdisOidRequest(rig.binding, &request), NDIS_STATUS_SUCCESS);
    assert_int_equal(stats.OutOctets, 140);
    assert_int_equal(stats.InOctets, 70);
    finish("terminated");
}

/* ---- what comes ---- */

static struct rig_in
segment(unsigned tag)
{
    return (struct rig_in){
        .seq = RIG_RCV, .ack = RIG_SND, .len = 20, .tagged = true, .tag = (uint16_t)tag};
}

/* Others are somebody else's, as long as there can be others. */
static void
takes_its_own(void **state)
{
    struct rig_in untagged = segment(0);

    untagged.tagged = false;
    for (unsigned i = 0; i < 2; i++) {
        start_on(i ? only_five : NULL, false, 5, 0);
        rig_peer(&rig, untagged);
        rig_peer(&rig, segment(6));
        rig_peer(&rig, segment(0));
        rig_peer(&rig, segment(7u << 13)); /* a priority, and no VLAN */
        rig_expect(&rig, i ? "" : "frame:74 frame:78 frame:78 frame:78");
        rig_pass(&rig, 500000);
        rig_expect_out(&rig, 0); /* not a word about them */
        rig_peer(&rig, segment(7u << 13 | 0x1000 | 5));
        rig_expect(&rig, "indicate:20");
        finish("terminated");
    }
}

static void
without_vlan_takes_any(void **state)
{
    static const unsigned tags[] = {0, 7u << 13, 5, 4094};

    for (unsigned i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        start(false, 0, 0);
        rig_peer(&rig, segment(tags[i]));
        rig_expect(&rig, "indicate:20");
        finish("terminated");
    }
}

static void
superframe(void **state)
{
    struct rig_in in = segment(5);

    in.len = 2920;
    in.gso_size = 1460;
    in.ipv6 = true;
    start(true, 5, 0);
    rig_peer(&rig, in);
    rig_expect(&rig, "indicate:2920");
    finish("terminated");
}

/* Two tags are nobody's, and neither is a frame that ends in its tag. */
static void
is_not_taken(void **state)
{
    struct wire_buf *buf;

    start(false, 5, 0);
    buf = wire_buf_create(64);
    memset(buf->data, 0, 64);
    bytes_store_be32(buf->data + 12, 0x81000005);
    bytes_store_be32(buf->data + 16, 0x81000005);
    buf->len = 64;
    test_wire_deliver(rig.wire, buf);
    buf = wire_buf_create(16);
    memset(buf->data, 0, 16);
    bytes_store_be32(buf->data + 12, 0x81000005);
    buf->len = 16;
    test_wire_deliver(rig.wire, buf);
    rig_expect(&rig, "frame:64 frame:16");
    finish("terminated");
}

/* The same addresses and ports in two VLANs are two connections. */
static void
two_vlans(void **state)
{
    struct rig_conn other;

    start(false, 5, 0);
    rig_conn_init(&other, false, 0);
    other.neighbor.constant.VlanId = 6;
    other.tcp.delegated.RcvNxt += 7000;
    rig_conn_start(&rig, &other);
    rig_peer(&rig, segment(5));
    rig_expect(&rig, "indicate:20");
    struct rig_in in = segment(6);
    in.seq += 7000;
    in.len = 30;
    rig_peer(&rig, in);
    rig_expect(&rig, "indicate:30");
    rig_conn_end(&rig, &other);
    rig_expect(&rig, "terminated");
    rig_peer(&rig, segment(6)); /* there is none any more, and the other is not asked */
    rig_expect(&rig, "frame:78");
    finish("terminated");
}

/* ---- the regular path ---- */

/* What was forwarded and not delivered goes up as the peer might have sent it. */
static void
comes_home_tagged(void **state)
{
    NET_BUFFER_LIST *nbl;
    uint8_t *tcp;

    start(false, 5, 3);
    nbl = rig_nbl(&rig, 70, 0, 0);
    tcp = MmGetSystemAddressForMdlSafe(NET_BUFFER_FIRST_MDL(NET_BUFFER_LIST_FIRST_NB(nbl)),
                                       NormalPagePriority);
    memset(tcp, 0, 20);
    bytes_store_be16(tcp, 80);
    bytes_store_be16(tcp + 2, 4000);
    bytes_store_be32(tcp + 4, RIG_RCV + 100); /* out of order */
    bytes_store_be32(tcp + 8, RIG_SND);
    tcp[12] = 0x50;
    tcp[13] = 0x10;
    NdisOffloadTcpForward(&conn.tcp.handle, nbl);
    rig_expect(&rig, "forwarded:ok:0");
    finish("terminated frame:108");
    assert_int_equal(bytes_load_be32(rig.frame + 12), 0x81000005); /* its priority is not ours */
    assert_int_equal(bytes_load_be16(rig.frame + 16), 0x0800);
    assert_int_equal(rig.frame[18], 0x45);
}

/* ---- the id that is configured ---- */

static void
one_id(void **state)
{
    static const struct {
        unsigned vlan;
        NDIS_STATUS status;
    } cases[] = {
        {6, NDIS_STATUS_OFFLOAD_VLAN_MISMATCH}, {0, NDIS_STATUS_SUCCESS}, {5, NDIS_STATUS_SUCCESS}};

    rig_open(&rig, only_five);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig_conn_init(&conn, false, 0);
        conn.neighbor.constant.VlanId = cases[i].vlan & 0xfff;
        NdisInitiateOffload(rig.binding, &conn.neighbor.block);
        rig_expect(&rig, "initiated");
        assert_int_equal(conn.neighbor.block.Status, cases[i].status);
        if (cases[i].status != NDIS_STATUS_SUCCESS) {
            assert_int_equal(conn.path.block.Status, NDIS_STATUS_FAILURE);
            assert_int_equal(conn.tcp.block.Status, NDIS_STATUS_FAILURE);
            assert_null(conn.neighbor.handle.MiniportOffloadContext);
            continue;
        }
        rig_conn_end(&rig, &conn);
        rig_expect(&rig, "terminated");
    }
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_what_it_sends),     cmocka_unit_test(priority_changes),
        cmocka_unit_test(is_not_counted),         cmocka_unit_test(takes_its_own),
        cmocka_unit_test(without_vlan_takes_any), cmocka_unit_test(superframe),
        cmocka_unit_test(is_not_taken),           cmocka_unit_test(two_vlans),
        cmocka_unit_test(comes_home_tagged),      cmocka_unit_test(one_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
