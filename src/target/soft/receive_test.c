/*
 * Receiving: the delivery algorithm, the two ways to acknowledge, forwarded segments, and which
 * frames are not the target's business.
 */
#include "base/bytes.h"
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;
static uint32_t next_seq;

static void
start(unsigned const_flags)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, const_flags);
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
    next_seq = RIG_RCV;
}

static void
finish(const char *words)
{
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, words);
    rig_close(&rig);
}

/* The stream counts up from 0. */
static void
arrive(uint32_t len, uint8_t flags)
{
    rig_peer(&rig, (struct rig_in){.seq = next_seq,
                                   .ack = RIG_SND,
                                   .len = len,
                                   .flags = flags,
                                   .first = (uint8_t)(next_seq - RIG_RCV)});
    next_seq += len;
}

static void
assert_got(uint32_t len)
{
    assert_int_equal(rig.got_count, len);
    for (uint32_t i = 0; i < len; i++)
        assert_int_equal(rig.got[i], (uint8_t)i);
}

static NET_BUFFER_LIST *
post(uint32_t len, bool no_push)
{
    NET_BUFFER_LIST *nbl = rig_nbl(&rig, len, 0xee, 33);

    NET_BUFFER_LIST_INFO(nbl, TcpReceiveNoPush) = (PVOID)(uintptr_t)no_push;
    NdisOffloadTcpReceive(&conn.tcp.handle, nbl);
    return nbl;
}

static const struct tcp_segment *
last_out(void)
{
    rig_turn(&rig);
    assert_true(rig.out_count > 0);
    return &rig.out[rig.out_count - 1].tcp;
}

/* ---- delivery ---- */

static void
indicated(void **state)
{
    start(0);
    arrive(100, 0);
    arrive(200, 0);
    rig_expect(&rig, "indicate:100 indicate:200");
    assert_got(300);
    assert_int_equal(last_out()->ack, RIG_RCV + 300);
    finish("terminated");
}

/* Posted requests come first (V-106); what is left is indicated. */
static void
placed(void **state)
{
    start(0);
    post(150, false);
    post(150, false);
    arrive(400, 0);
    rig_expect(&rig, "received:ok:150 received:ok:150 indicate:100");
    assert_got(400);
    finish("terminated");
}

/* A partly filled push request: PSH, or the timer; it restarts with each arrival. */
static void
push(void **state)
{
    start(0);
    post(1000, false);
    arrive(100, TCP_PSH);
    rig_expect(&rig, "received:ok:100");
    post(1000, false);
    arrive(100, 0);
    rig_pass(&rig, 400000);
    rig_expect(&rig, "");
    arrive(100, 0);
    rig_pass(&rig, 400000);
    rig_expect(&rig, "");
    rig_pass(&rig, 200000);
    rig_expect(&rig, "received:ok:200");
    assert_got(300);
    finish("terminated");
}

static void
no_push(void **state)
{
    start(0);
    post(300, true);
    arrive(200, TCP_PSH);
    rig_pass(&rig, 2000000);
    rig_expect(&rig, "");
    arrive(150, TCP_PSH);
    rig_expect(&rig, "received:ok:300 indicate:50");
    assert_got(350);
    finish("terminated");
}

/* Refused data waits for a post (V-108); a zero-length one is enough to have it indicated again. */
static void
refused(void **state)
{
    start(0);
    rig.accept = 0;
    arrive(100, 0);
    rig_expect(&rig, "indicate:100");
    arrive(50, 0);
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "");
    rig.accept = RIG_ALL;
    post(0, false);
    rig_expect(&rig, "received:ok:0 indicate:100 indicate:50");
    assert_got(150);
    finish("terminated");
}

static void
partly_accepted(void **state)
{
    start(0);
    rig.accept = 30;
    arrive(100, 0);
    rig_expect(&rig, "indicate:100");
    rig.accept = RIG_ALL;
    post(40, false);
    rig_expect(&rig, "received:ok:40 indicate:30");
    assert_got(100);
    finish("terminated");
}

static void
post_again(struct rig *at)
{
    if (at->accept) /* once */
        return;
    at->accept = RIG_ALL;
    at->on_indicate = NULL;
    post(60, false);
}

/* A post from inside the indication that is being refused is served at once. */
static void
post_inside_indication(void **state)
{
    start(0);
    rig.accept = 0;
    rig.on_indicate = post_again;
    arrive(100, 0);
    rig_expect(&rig, "indicate:100 received:ok:60 indicate:40");
    assert_got(100);
    finish("terminated");
}

/* What the host stack had buffered comes first, and not before a post (V-114). */
static void
buffered_data(void **state)
{
    NET_BUFFER_LIST *buffered;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    buffered = rig_nbl(&rig, 80, 0, 9);
    conn.tcp.delegated.BufferedData = buffered;
    conn.tcp.delegated.RcvNxt = RIG_RCV + 80;
    rig_conn_start(&rig, &conn);
    rig_nbl_free(buffered);
    next_seq = RIG_RCV + 80;
    arrive(20, 0);
    rig_pass(&rig, 1000000);
    rig_expect(&rig, "");
    post(50, false);
    rig_expect(&rig, "received:ok:50 indicate:30 indicate:20");
    assert_got(100);
    finish("terminated");
}

/* … also when the peer had finished behind it: only then do requests end. */
static void
buffered_data_before_a_known_fin(void **state)
{
    NET_BUFFER_LIST *buffered;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    buffered = rig_nbl(&rig, 80, 0, 9);
    conn.tcp.delegated.State = TcpConnectionCloseWait;
    conn.tcp.delegated.BufferedData = buffered;
    conn.tcp.delegated.RcvNxt = RIG_RCV + 81;
    rig_conn_start(&rig, &conn);
    rig_nbl_free(buffered);
    post(50, false);
    post(50, true);
    rig_expect(&rig, "received:ok:50 received:ok:30");
    assert_got(80);
    post(10, false);
    rig_expect(&rig, "received:invalid:0");
    finish("terminated");
    assert_int_equal(rig_given_back(&conn)->RcvNxt, RIG_RCV + 81);
}

/* A FIN waits for the data; then requests end: the begun one SUCCESS, the others INVALID_STATE. */
static void
finished_by_peer(void **state)
{
    start(0);
    post(1000, true);
    post(1000, true);
    arrive(100, TCP_FIN);
    rig_expect(&rig, "received:ok:100 event:disconnect received:invalid:0");
    post(10, false);
    rig_expect(&rig, "received:invalid:0");
    assert_int_equal(last_out()->ack, RIG_RCV + 101);
    finish("terminated");
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionCloseWait);
}

/* The window is what the buffers leave. */
static void
window_closes(void **state)
{
    start(0);
    rig.accept = 0;
    for (int i = 0; i < 44; i++)
        arrive(1460, 0);
    rig_pass(&rig, 1000000);
    assert_int_equal(last_out()->ack + last_out()->window, RIG_RCV + 65535);
    assert_true(last_out()->window < 1460);
    rig.accept = RIG_ALL;
    post(0, false);
    rig_turn(&rig);
    for (unsigned i = 0; i < rig.kept_count; i++)
        rig_return(&rig, i);
    assert_true(last_out()->window > 60000);
    rig_forget(&rig);
    finish("terminated");
}

/* ---- ack = returned ---- */

static void
update_window(uint32_t bytes)
{
    struct rig_node node;

    rig_node_init(&node, TcpOffloadCachedState, &conn.tcp.handle);
    node.state.cached = conn.tcp.cached;
    node.state.cached.Flags = TCP_FLAG_UPDATE_RCV_WND;
    node.state.cached.InitialRcvWnd = bytes;
    NdisUpdateOffload(rig.binding, &node.block);
    /* more is returned before the turn: the edge stays where the caller counted it */
    rig_return(&rig, 2);
    rig_expect(&rig, "updated");
}

static void
acknowledged_when_returned(void **state)
{
    start(TCP_FLAG_ACK_RETURNED);
    for (int i = 0; i < 3; i++)
        arrive(1000, 0);
    rig_expect(&rig, "indicate:1000 indicate:1000 indicate:1000");
    rig_pass(&rig, 1000000);
    for (unsigned i = 0; i < rig.out_count; i++)
        assert_int_equal(rig.out[i].tcp.ack, RIG_RCV);
    rig_return(&rig, 1); /* out of order: still nothing before it */
    rig_turn(&rig);
    for (unsigned i = 0; i < rig.out_count; i++)
        assert_int_equal(rig.out[i].tcp.ack, RIG_RCV);
    rig_return(&rig, 0);
    assert_int_equal(last_out()->ack, RIG_RCV + 2000);
    assert_int_equal(last_out()->window, 65535 - 2000); /* the edge does not move by itself */
    update_window(50000 + 20000);
    assert_int_equal(last_out()->ack, RIG_RCV + 3000);
    assert_int_equal(last_out()->ack + last_out()->window, RIG_RCV + 2000 + 65535 + 1000);
    finish("terminated");
}

/* Of a segment a request has taken the beginning of, that is as good as returned: not again. */
static void
acknowledged_in_part(void **state)
{
    start(TCP_FLAG_ACK_RETURNED);
    post(700, true);
    rig.accept = 0;
    arrive(1000, 0);
    rig_expect(&rig, "received:ok:700 indicate:300");
    assert_int_equal(last_out()->ack, RIG_RCV + 700);
    finish("terminated frame:1054");
    assert_int_equal(rig_given_back(&conn)->RcvNxt, RIG_RCV + 700);
}

/* Never acknowledged; raised when the data before it is taken; given back as if it had not come. */
static void
fin_is_not_acknowledged(void **state)
{
    start(TCP_FLAG_ACK_RETURNED);
    arrive(100, TCP_FIN);
    rig_expect(&rig, "indicate:100 event:disconnect");
    rig_return(&rig, 0);
    assert_int_equal(last_out()->ack, RIG_RCV + 100);
    finish("terminated");
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionEstablished);
    assert_int_equal(rig_given_back(&conn)->RcvNxt, RIG_RCV + 100);
}

/* ---- forward ---- */

static void
forwarded(void **state)
{
    start(0);
    NET_BUFFER_LIST *nbl = rig_segment(&rig, RIG_RCV, 50, TCP_ACK, 0);
    NET_BUFFER_LIST_NEXT_NBL(nbl) = rig_segment(&rig, RIG_RCV + 100, 50, TCP_ACK,
                                                100); /* out of order */
    NdisOffloadTcpForward(&conn.tcp.handle, nbl);
    rig_expect(&rig, "forwarded:ok:0 forwarded:ok:0 indicate:50");
    rig.careless = true;                                             /* V-118: */
    NdisOffloadTcpForward(&conn.tcp.handle, rig_nbl(&rig, 7, 0, 0)); /* no header in it */
    rig_expect(&rig, "forwarded:ok:0");
    assert_got(50);
    finish("terminated frame:104"); /* a whole frame again */
    assert_int_equal(rig.frame[14], 0x45);
    assert_memory_equal(rig.frame + 26, "\x0a\0\0\x02\x0a\0\0\x01", 8);
}

/* A superframe stays one; an empty NBL is nothing. */
static void
forwarded_superframe(void **state)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large = {.Value = NULL};

    start(0);
    NET_BUFFER_LIST *nbl = rig_segment(&rig, RIG_RCV, 90, TCP_ACK, 0);
    large.LsoV2Transmit.MSS = 30;
    NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo) = large.Value;
    NdisOffloadTcpForward(&conn.tcp.handle, nbl);
    rig_expect(&rig, "forwarded:ok:0 indicate:90");
    assert_int_equal(last_out()->ack, RIG_RCV + 90); /* three segments: at once */
    rig.careless = true;                             /* V-118 */
    NdisOffloadTcpForward(&conn.tcp.handle, rig_nbl(&rig, 0, 0, 0));
    rig_expect(&rig, "forwarded:ok:0");
    finish("terminated");
}

/* A SYN that could be the connection's: the host stack decides (9). */
static void
syn(void **state)
{
    start(0);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .flags = TCP_SYN});
    rig_expect(&rig, "event:retrieve:5");
    finish("terminated frame:54");
}

/* One reason to go up is enough: that its neighbor goes as well is not told. */
static void
asked_up_once(void **state)
{
    struct rig_node node;

    start(0);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .flags = TCP_SYN});
    rig_expect(&rig, "event:retrieve:5");
    rig_node_init(&node, NeighborOffloadState, &conn.neighbor.handle);
    NdisInvalidateOffload(rig.binding, &node.block);
    rig_expect(&rig, "invalidated");
    finish("terminated frame:54");
}

static void
post_another(struct rig *r)
{
    r->on_received = NULL;
    post(30, false);
}

/* A request that is posted inside the completion of one is there for what is left, before anything
 * is indicated. */
static void
post_inside_completion(void **state)
{
    start(0);
    post(20, false);
    rig.on_received = post_another;
    arrive(50, 0);
    rig_expect(&rig, "received:ok:20 received:ok:30");
    assert_got(50);
    finish("terminated");
}

/* A hint, and any size is right: what a frame has brought is neither cut nor kept waiting.
 */
static void
indication_size_is_a_hint(void **state)
{
    static const ULONG hints[] = {1, 30, 4096};

    for (int i = 0; i < 3; i++) {
        rig_open(&rig, NULL);
        rig_conn_init(&conn, false, 0);
        conn.tcp.cached.RcvIndicationSize = hints[i];
        rig_conn_start(&rig, &conn);
        rig_forget(&rig);
        rig.got_count = 0;
        next_seq = RIG_RCV;
        arrive(50, 0);
        arrive(40, 0);
        rig_expect(&rig, "indicate:50 indicate:40");
        assert_got(90);
        finish("terminated");
    }
}

/* ---- not the target's business ---- */

static void
regular_path(void **state)
{
    start(0);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .len = 10, .options = true});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .len = 11, .fragment = true});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .len = 12, .bad_checksum = true});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .len = 13, .bad_ip_checksum = true});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .len = 14, .not_tcp = true});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .len = 15, .port = 4001});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .len = 16, .ipv6 = true});
    rig_expect(&rig, "frame:68 frame:65 frame:66 frame:67 frame:68 frame:69 frame:90");
    arrive(10, 0);
    rig_expect(&rig, "indicate:10");
    finish("terminated");
}

/* Every length a frame can be cut to is survived. */
static void
truncated(void **state)
{
    static const uint8_t frame[60] = {
        [12] = 0x08, [14] = 0x45, [17] = 46, [22] = 64, [23] = 6, [46] = 0x50};

    start(0);
    for (uint32_t len = 0; len <= sizeof frame; len++) {
        struct wire_buf *buf = wire_buf_create(len);
        memcpy(buf->data, frame, len);
        buf->len = len;
        test_wire_deliver(rig.wire, buf);
    }
    rig_turn(&rig);
    rig.heard[0] = 0;
    finish("terminated");
}

static void
superframe(void **state)
{
    start(0);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 14600, .gso_size = 1460});
    rig_expect(&rig, "indicate:14600");
    assert_got(14600);
    assert_int_equal(last_out()->ack, RIG_RCV + 14600);
    finish("terminated");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(indicated),
        cmocka_unit_test(placed),
        cmocka_unit_test(push),
        cmocka_unit_test(no_push),
        cmocka_unit_test(refused),
        cmocka_unit_test(partly_accepted),
        cmocka_unit_test(post_inside_indication),
        cmocka_unit_test(buffered_data),
        cmocka_unit_test(buffered_data_before_a_known_fin),
        cmocka_unit_test(finished_by_peer),
        cmocka_unit_test(window_closes),
        cmocka_unit_test(acknowledged_when_returned),
        cmocka_unit_test(acknowledged_in_part),
        cmocka_unit_test(fin_is_not_acknowledged),
        cmocka_unit_test(forwarded),
        cmocka_unit_test(forwarded_superframe),
        cmocka_unit_test(syn),
        cmocka_unit_test(asked_up_once),
        cmocka_unit_test(post_inside_completion),
        cmocka_unit_test(indication_size_is_a_hint),
        cmocka_unit_test(regular_path),
        cmocka_unit_test(truncated),
        cmocka_unit_test(superframe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
