/*
 * A connection that is over, and segments that still come for it: what goes up the regular path,
 * when, and what must not (V-116; R-61). The target answers none of those that do.
 */
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;
static bool closed; /* our FIN has been sent: the peer acknowledges it */

static void
start(bool ipv6, unsigned const_flags)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, ipv6, const_flags);
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
    closed = false;
}

static void
finish(const char *words)
{
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, words);
    rig_close(&rig);
}

static void
arrive(uint32_t seq, uint32_t len, uint8_t flags)
{
    rig_peer(&rig, (struct rig_in){
                       .seq = RIG_RCV + seq, .ack = RIG_SND + closed, .len = len, .flags = flags});
}

static void
disconnect(ULONG flags)
{
    NdisOffloadTcpDisconnect(&conn.tcp.handle, rig_nbl(&rig, 0, 0, 0), flags);
}

static void
send_fin(void)
{
    disconnect(TCP_DISCONNECT_GRACEFUL_CLOSE);
    rig_turn(&rig);
    closed = true;
}

/* ---- aborted ---- */

static void
peer_resets(bool ipv6)
{
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .flags = TCP_RST, .ipv6 = ipv6});
}

static void
after_a_reset(void **state)
{
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        start(ipv6, 0);
        peer_resets(ipv6);
        rig_expect(&rig, "event:abort");
        rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 10, .ipv6 = ipv6});
        rig_peer(&rig, (struct rig_in){.seq = 77, .ack = RIG_SND, .flags = TCP_SYN, .ipv6 = ipv6});
        rig_expect(&rig, ipv6 ? "frame:84 frame:74" : "frame:64 frame:54");
        rig_pass(&rig, 3000000);
        rig_expect_out(&rig, 0);
        finish("terminated");
    }
}

/* In one batch: the host stack hears first why it gets them, and gets them before later ones. */
static void
behind_the_reset(void **state)
{
    start(false, 0);
    peer_resets(false);
    arrive(0, 10, 0);
    arrive(10, 20, 0);
    rig_expect(&rig, "event:abort frame:64 frame:74");
    arrive(30, 30, 0);
    rig_expect(&rig, "frame:84");
    finish("terminated");
}

static void
reset_in_the_completion(struct rig *at)
{
    peer_resets(false);
    arrive(0, 10, 0);
    assert_string_equal(at->heard, "initiated");
}

/* Not before the initiate is over may anything be said of the connection. */
static void
reset_during_the_initiate(void **state)
{
    rig_open(&rig, NULL);
    rig.on_initiated = reset_in_the_completion;
    rig_conn_init(&conn, false, 0);
    NdisInitiateOffload(rig.binding, &conn.neighbor.block);
    rig_expect(&rig, "initiated event:abort frame:64");
    finish("terminated");
}

/* The target says nothing any more; its RST may still wait for the wire. */
static void
after_an_abort(void **state)
{
    start(false, 0);
    test_wire_block(rig.wire, true);
    disconnect(TCP_DISCONNECT_ABORTIVE_CLOSE);
    arrive(0, 10, 0);
    rig_expect(&rig, "frame:64");
    test_wire_block(rig.wire, false);
    rig_expect(&rig, "disconnected:ok:0");
    arrive(10, 20, 0);
    rig_expect(&rig, "frame:74");
    rig_pass(&rig, 3000000);
    rig_expect_out(&rig, 1);
    assert_true(rig.out[0].tcp.flags & TCP_RST);
    finish("terminated");
}

/* What the host stack has received itself it may keep. */
static void
forwarded_after_a_reset(void **state)
{
    start(false, 0);
    peer_resets(false);
    rig_expect(&rig, "event:abort");
    NdisOffloadTcpForward(&conn.tcp.handle, rig_segment(&rig, RIG_RCV, 10, TCP_ACK, 0));
    rig_expect(&rig, "forwarded:aborted:0");
    finish("terminated");
}

/* ---- CLOSED ---- */

/* The peer's FIN, ours, and its acknowledgement: LAST_ACK is over. */
static void
close_second(void)
{
    start(false, 0);
    arrive(0, 0, TCP_FIN);
    rig_expect(&rig, "event:disconnect");
    send_fin();
    arrive(1, 0, 0);
    rig_expect(&rig, "disconnected:ok:0");
    rig_forget(&rig);
}

static void
when_both_have_closed(void **state)
{
    close_second();
    arrive(0, 0, TCP_FIN); /* its acknowledgement was lost */
    arrive(1, 10, 0);
    arrive(70000, 0, TCP_SYN);
    rig_expect(&rig, "frame:54 frame:64 frame:54");
    rig_pass(&rig, 3000000);
    rig_expect_out(&rig, 0);
    finish("terminated");
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionClosed);
}

/* In one batch with what closed it. */
static void
behind_the_last_ack(void **state)
{
    start(false, 0);
    arrive(0, 0, TCP_FIN);
    rig_expect(&rig, "event:disconnect");
    send_fin();
    arrive(1, 0, 0);
    arrive(70000, 0, TCP_SYN);
    rig_expect(&rig, "frame:54 disconnected:ok:0");
    finish("terminated");
}

/* It came from the regular path and must not go round: the connection is to go up before it. */
static void
forwarded_when_both_have_closed(void **state)
{
    close_second();
    NdisOffloadTcpForward(&conn.tcp.handle, rig_segment(&rig, 999, 0, TCP_SYN, 0));
    NdisOffloadTcpForward(&conn.tcp.handle, rig_segment(&rig, 1000, 10, TCP_ACK, 0));
    rig_expect(&rig, "event:retrieve:5 forwarded:ok:0 forwarded:ok:0");
    arrive(70000, 20, 0);
    rig_expect(&rig, "");
    finish("terminated frame:54 frame:64 frame:74");
}

/* Given up: the upload is asked for, and what comes meanwhile follows it. */
static void
after_a_timeout(void **state)
{
    start(false, 0);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    rig_pass(&rig, 3600000000u);
    rig_expect(&rig, "event:retrieve:4");
    arrive(0, 10, 0);
    rig_expect(&rig, "");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated frame:64");
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionClosed);
    rig_nbl_free(conn.ends[2].block.NetBufferListChain);
    rig_close(&rig);
}

/* ---- TIME_WAIT ---- */

/* We close, then the peer, whose last bytes nobody takes: so the upload is not asked for yet. */
static void
close_first(unsigned const_flags)
{
    start(false, const_flags);
    rig.accept = 0;
    send_fin();
    arrive(0, 10, TCP_FIN);
    rig_expect(&rig, "disconnected:ok:0 indicate:10");
    rig_forget(&rig);
}

/* One that claims to be the old connection's, too. */
static void
syn_in_time_wait(void **state)
{
    close_first(0);
    arrive(11, 0, TCP_SYN);
    arrive(70000, 0, TCP_SYN);
    rig_expect(&rig, "frame:54 frame:54");
    rig_expect_out(&rig, 0);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionTimeWait);
    NdisOffloadTcpReceiveReturn(rig.binding, rig_given_back(&conn)->BufferedData);
    rig_close(&rig);
}

/* Everything else in TIME_WAIT is the target's: a FIN that comes again is acknowledged. */
static void
no_syn_in_time_wait(void **state)
{
    close_first(0);
    arrive(11, 0, TCP_RST);
    arrive(11, 0, TCP_RST | TCP_SYN);
    rig_expect(&rig, "");
    rig_expect_out(&rig, 0);
    arrive(0, 10, TCP_FIN);
    rig_expect(&rig, "");
    rig_expect_out(&rig, 1);
    assert_int_equal(rig.out[0].tcp.ack, RIG_RCV + 11);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    NdisOffloadTcpReceiveReturn(rig.binding, rig_given_back(&conn)->BufferedData);
    rig_close(&rig);
}

static void
forwarded_syn_in_time_wait(void **state)
{
    close_first(0);
    NdisOffloadTcpForward(&conn.tcp.handle, rig_segment(&rig, 999, 0, TCP_SYN, 0));
    rig_expect(&rig, "event:retrieve:5 forwarded:ok:0");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated frame:54");
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionTimeWait);
    NdisOffloadTcpReceiveReturn(rig.binding, rig_given_back(&conn)->BufferedData);
    rig_close(&rig);
}

/* The upload has been asked for: the SYN follows the state that it is to be judged by. */
static void
syn_while_the_upload_is_due(void **state)
{
    start(false, 0);
    send_fin();
    arrive(0, 0, TCP_FIN);
    rig_expect(&rig, "disconnected:ok:0 event:disconnect event:retrieve:5");
    arrive(70000, 0, TCP_SYN);
    rig_expect(&rig, "");
    finish("terminated frame:54");
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionTimeWait);
}

/* With ack = returned the peer's FIN is not acknowledged, and it is FIN_WAIT_2 that goes back: a
 * SYN is challenged as there. */
static void
syn_before_time_wait(void **state)
{
    close_first(TCP_FLAG_ACK_RETURNED);
    arrive(20, 0, TCP_SYN);
    rig_expect(&rig, "");
    rig_expect_out(&rig, 1);
    assert_int_equal(rig.out[0].tcp.flags, TCP_ACK);
    assert_int_equal(rig.out[0].tcp.ack, RIG_RCV);
    finish("terminated frame:64");
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionFinWait2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_reset),
        cmocka_unit_test(behind_the_reset),
        cmocka_unit_test(reset_during_the_initiate),
        cmocka_unit_test(after_an_abort),
        cmocka_unit_test(forwarded_after_a_reset),
        cmocka_unit_test(when_both_have_closed),
        cmocka_unit_test(behind_the_last_ack),
        cmocka_unit_test(forwarded_when_both_have_closed),
        cmocka_unit_test(after_a_timeout),
        cmocka_unit_test(syn_in_time_wait),
        cmocka_unit_test(no_syn_in_time_wait),
        cmocka_unit_test(forwarded_syn_in_time_wait),
        cmocka_unit_test(syn_while_the_upload_is_due),
        cmocka_unit_test(syn_before_time_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
