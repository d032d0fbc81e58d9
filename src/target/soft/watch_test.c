/*
 * The optional reasons to go up: each is told once, at its threshold and not below, the connection
 * works on, and nothing is told where it must not be (V-134, V-135).
 */
#include "base/bytes.h"
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;
static uint32_t sent, arrived;
static struct rig_in peer_is; /* its family and tag */

/* The connection is in this VLAN, and its peer's segments have the family and tag of like. */
static void
start_like(struct rig_in like, unsigned vlan, const char *keyword, const char *value)
{
    const struct house_option options[] = {{keyword, value}, {"UploadWindow", "20"}, {NULL, NULL}};

    rig_open(&rig, options);
    rig_conn_init(&conn, like.ipv6, TCP_FLAG_SACK_ENABLED);
    conn.neighbor.constant.VlanId = vlan & 0xfff;
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
    sent = arrived = 0;
    peer_is = like;
}

static void
start(const char *keyword, const char *value)
{
    start_like((struct rig_in){.ipv6 = false}, 0, keyword, value);
}

static void
finish(void)
{
    rig.heard[0] = 0;
    rig_conn_end(&rig, &conn);
    rig_turn(&rig);
    assert_int_equal(strncmp(rig.heard, "terminated", 10), 0);
    rig_close(&rig);
}

static bool
told(unsigned reason)
{
    char word[32];

    snprintf(word, sizeof word, "event:retrieve:%u", reason);
    return strstr(rig.heard, word) != NULL;
}

static void
peer_says(struct rig_in in)
{
    in.ipv6 = peer_is.ipv6;
    in.tagged = peer_is.tagged;
    in.tag = peer_is.tag;
    rig_peer(&rig, in);
}

/* In order, and the target answers. */
static void
arrive(uint32_t len)
{
    peer_says((struct rig_in){.seq = RIG_RCV + arrived, .ack = RIG_SND + sent, .len = len});
    arrived += len;
    rig_turn(&rig);
    while (rig.kept_count)
        rig_return(&rig, --rig.kept_count);
    rig.got_count = 0;
    rig_turn(&rig);
}

static void
send_bytes(uint32_t len)
{
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, len, 0, 0));
    sent += len;
    rig_turn(&rig);
    peer_says((struct rig_in){.seq = RIG_RCV + arrived, .ack = RIG_SND + sent});
    rig_turn(&rig);
}

static void
forget(void)
{
    rig.heard[0] = 0;
    rig_forget(&rig);
}

/* Works in both directions. */
static void
assert_works_on(void)
{
    forget();
    arrive(10);
    assert_non_null(strstr(rig.heard, "indicate:10"));
    send_bytes(10);
    assert_non_null(strstr(rig.heard, "sent:ok:10"));
    forget();
}

static void
idle(void **state)
{
    start("LowActivity", "5000");
    rig_pass(&rig, 4000000);
    arrive(10);
    rig_pass(&rig, 4900000);
    assert_false(told(LowActivity));
    rig_pass(&rig, 200000);
    assert_true(told(LowActivity));
    assert_works_on();
    rig_pass(&rig, 20000000);
    assert_false(told(LowActivity)); /* once */
    finish();
}

static void
off_by_default(void **state)
{
    start("MinSegment", "0");
    rig_pass(&rig, 3600000000u);
    for (int i = 0; i < 400; i++)
        arrive(1);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + arrived + 10, .ack = RIG_SND, .len = 1});
    rig_turn(&rig);
    assert_null(strstr(rig.heard, "retrieve"));
    finish();
}

static void
disorder(void **state)
{
    start("HighOutofOrderPackets", "50");
    for (int i = 0; i < 30; i++) {
        if (i % 4 == 0)
            rig_peer(&rig,
                     (struct rig_in){.seq = RIG_RCV + arrived + 5000, .ack = RIG_SND, .len = 10});
        arrive(10);
    }
    assert_false(told(HighOutofOrderPackets));
    forget();
    for (uint32_t i = 0; i < 40; i++) {
        rig_peer(&rig, (struct rig_in){
                           .seq = RIG_RCV + arrived + 6000 + 20 * i, .ack = RIG_SND, .len = 10});
        rig_turn(&rig);
    }
    assert_true(told(HighOutofOrderPackets));
    assert_works_on();
    finish();
}

static void
drops(void **state)
{
    start("HighDropRate", "30");
    for (int i = 0; i < 20; i++)
        send_bytes(100);
    assert_false(told(HighDropRate));
    forget();
    for (int i = 0; i < 12; i++) {
        NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 100, 0, 0));
        sent += 100;
        rig_pass(&rig, 1000000); /* tail probe and retransmission */
        rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + sent});
        rig_turn(&rig);
    }
    assert_true(told(HighDropRate));
    assert_works_on();
    finish();
}

static void
small_io(void **state)
{
    start("SmallIO", "64");
    for (int i = 0; i < 20; i++)
        send_bytes(65);
    assert_false(told(SmallIO));
    for (int i = 0; i < 40; i++)
        send_bytes(3);
    assert_true(told(SmallIO));
    assert_works_on();
    finish();
}

static void
nothing_posted(void **state)
{
    start("NoBufferProposting", "80");
    for (int i = 0; i < 30; i++) {
        NdisOffloadTcpReceive(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
        arrive(20); /* half of it finds a request */
    }
    assert_false(told(NoBufferProposting));
    forget();
    for (int i = 0; i < 40; i++)
        arrive(20);
    assert_true(told(NoBufferProposting));
    assert_works_on();
    finish();
}

static void
fragment(uint16_t where, uint16_t port)
{
    peer_says((struct rig_in){
        .seq = RIG_RCV + arrived, .ack = RIG_SND, .len = 12, .port = port, .fragment = where});
}

static void
fragments(void **state)
{
    static const struct {
        struct rig_in like;
        unsigned vlan;
    } cases[] = {{{.ipv6 = false}, 0},
                 {{.ipv6 = true}, 0},
                 {{.tagged = true, .tag = 7}, 7},
                 {{.tagged = true, .tag = 7, .ipv6 = true}, 7},
                 {{.tagged = true, .tag = 7}, 0}, /* it takes any */
                 {{.tagged = true, .tag = 3u << 13}, 0}};

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start_like(cases[i].like, cases[i].vlan, "HighFragmentation", "50");
        for (int k = 0; k < 30; k++) {
            arrive(10);
            fragment(1, 1);    /* another connection's */
            fragment(2000, 0); /* not the first: it has no ports */
            fragment(2001, 0);
        }
        assert_false(told(HighFragmentation));
        forget();
        for (int k = 0; k < 60 && !told(HighFragmentation); k++) {
            forget();
            fragment(1, 0);
            if (k % 2)
                arrive(10);
            rig_turn(&rig);
        }
        assert_true(told(HighFragmentation));
        assert_works_on();
        finish();
    }
}

static void
fragments_of_another_vlan(void **state)
{
    struct rig_in own = {.tagged = true, .tag = 7}, other = {.tagged = true, .tag = 8};

    start_like(own, 7, "HighFragmentation", "50");
    for (int i = 0; i < 60; i++) {
        peer_is = other;
        fragment(1, 0);
        peer_is = own;
        if (i % 2)
            arrive(10);
    }
    assert_false(told(HighFragmentation));
    forget();
    finish();
}

/* Of its first fragment so many bytes, in a buffer that ends there. */
static void
first_bytes(uint32_t len, bool tagged)
{
    uint8_t frame[18 + 48 + 20] = {0}, *ip = frame + (tagged ? 18 : 14);
    struct wire_buf *buf = wire_buf_create(len);

    memcpy(frame, "\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12);
    if (tagged)
        bytes_store_be32(frame + 12, 0x81000000u);
    bytes_store_be16(ip - 2, 0x86dd);
    ip[0] = 0x60;
    ip[5] = 8 + 20;
    ip[6] = 44;
    ip[7] = 64;
    memcpy(ip + 8, conn.path.destination, 16);
    memcpy(ip + 24, conn.path.source, 16);
    ip[40] = 6;
    ip[43] = 1;
    bytes_store_be16(ip + 48, 80);
    bytes_store_be16(ip + 50, 4000);
    memcpy(buf->data, frame, len);
    buf->len = len;
    test_wire_deliver(rig.wire, buf);
}

static void
fragments_cut_short(void **state)
{
    for (unsigned tagged = 0; tagged < 2; tagged++) {
        uint32_t whole = (tagged ? 18 : 14) + 48 + 20;

        start_like((struct rig_in){.ipv6 = true}, 0, "HighFragmentation", "50");
        for (uint32_t len = 14; len < whole; len++) {
            first_bytes(len, tagged);
            if (len % 2)
                arrive(10);
        }
        assert_false(told(HighFragmentation));
        forget();
        for (uint32_t i = 0; i < 60; i++) {
            first_bytes(whole, tagged);
            if (i % 2)
                arrive(10);
        }
        assert_true(told(HighFragmentation));
        forget();
        finish();
    }
}

/* One of the ends has finished: whatever the figures say, nothing is told. */
static void
not_when_finished(void **state)
{
    start("LowActivity", "1000");
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .flags = TCP_FIN});
    rig_expect(&rig, "event:disconnect");
    rig_pass(&rig, 60000000);
    rig_expect(&rig, "");
    finish();
}

/* ---- hardware ---- */

static void
fail_after(const char *segments, const char *lost)
{
    const struct house_option options[] = {
        {"HardwareFailure", segments}, {"StateLost", lost}, {NULL, NULL}};

    rig_open(&rig, options);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
    sent = arrived = 0;
    NdisOffloadTcpReceive(&conn.tcp.handle, rig_nbl(&rig, 1000, 0, 0));
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 100, 0, 0));
    rig_turn(&rig);
    arrive(10);
    assert_false(told(HardwareFailure));
    arrive(20); /* the third segment of both directions */
    rig_expect(&rig, "event:retrieve:1");
}

/* The connection stands still, and comes home whole. */
static void
hardware(void **state)
{
    fail_after("3", "0");
    rig_forget(&rig);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 30, .ack = RIG_SND + 100, .len = 40});
    rig_pass(&rig, 2000000);
    rig_expect_out(&rig, 0);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    rig_expect(&rig, "received:ok:30 sent:upload:0"); /* of the data that had come: push timer */
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated frame:94");
    assert_int_equal(conn.ends[2].block.Status, NDIS_STATUS_SUCCESS);
    assert_int_equal(rig_given_back(&conn)->RcvNxt, RIG_RCV + 30);
    assert_int_equal(rig_given_back(&conn)->SndUna, RIG_SND);
    rig_nbl_free(conn.ends[2].block.NetBufferListChain);
    rig_close(&rig);
}

/* With its state: what is open is aborted before the one completion, and nothing goes back.
 */
static void
hardware_and_state(void **state)
{
    fail_after("3", "1");
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 30, .ack = RIG_SND + 100, .len = 40});
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "event:abort sent:aborted:0 received:aborted:30 terminated frame:94");
    assert_int_equal(conn.ends[2].block.Status, NDIS_STATUS_FAILURE);
    assert_null(conn.ends[2].block.NetBufferListChain);
    rig_close(&rig);
}

/* A query and an invalidate find it out, too; once is enough. */
static void
state_is_asked_for(void **state)
{
    struct rig_node node;

    fail_after("3", "1");
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 130, .ack = RIG_SND, .len = 40});
    rig_node_init(&node, TcpOffloadDelegatedState, &conn.tcp.handle);
    node.state.delegated.Header.Length = sizeof node.state.delegated;
    NdisQueryOffloadState(rig.binding, &node.block);
    rig_expect(&rig, "event:abort sent:aborted:0 received:aborted:30 queried frame:94");
    assert_int_equal(node.block.Status, NDIS_STATUS_FAILURE);
    rig_node_init(&node, TcpOffloadState, &conn.tcp.handle);
    NdisInvalidateOffload(rig.binding, &node.block);
    rig_expect(&rig, "invalidated");
    assert_int_equal(node.block.Status, NDIS_STATUS_FAILURE);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    rig_expect(&rig, "sent:aborted:0");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    assert_int_equal(conn.ends[2].block.Status, NDIS_STATUS_FAILURE);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hardware),
        cmocka_unit_test(hardware_and_state),
        cmocka_unit_test(state_is_asked_for),
        cmocka_unit_test(idle),
        cmocka_unit_test(off_by_default),
        cmocka_unit_test(disorder),
        cmocka_unit_test(drops),
        cmocka_unit_test(small_io),
        cmocka_unit_test(nothing_posted),
        cmocka_unit_test(fragments),
        cmocka_unit_test(fragments_of_another_vlan),
        cmocka_unit_test(fragments_cut_short),
        cmocka_unit_test(not_when_finished),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
