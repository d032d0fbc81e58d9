/*
 * Disconnects that come too late, or twice: what becomes of each, and of the sends before it. What
 * goes well is in send_test.c.
 */
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>

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
finish(const char *words)
{
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, words);
    rig_close(&rig);
}

static void
disconnect(ULONG flags, uint32_t bytes)
{
    NdisOffloadTcpDisconnect(&conn.tcp.handle, rig_nbl(&rig, bytes, 0, 0), flags);
}

/* After a mandatory Retrieve the host stack does it itself; no FIN, no RST. */
static void
while_uploading(void **state)
{
    start();
    rig_peer(&rig, (struct rig_in){
                       .seq = RIG_RCV, .ack = RIG_SND, .len = 10, .flags = TCP_URG, .urgent = 5});
    rig_expect(&rig, "event:retrieve:3");
    disconnect(TCP_DISCONNECT_GRACEFUL_CLOSE, 10);
    rig_expect(&rig, "disconnected:upload:0");
    disconnect(TCP_DISCONNECT_ABORTIVE_CLOSE, 0);
    rig_expect(&rig, "disconnected:upload:0");
    rig_expect_out(&rig, 0);
    finish("terminated frame:64");
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionEstablished);
}

/* A connection that the peer has reset, or we, has nothing left to end. */
static void
after_a_reset(void **state)
{
    start();
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .flags = TCP_RST});
    rig_expect(&rig, "event:abort");
    disconnect(TCP_DISCONNECT_GRACEFUL_CLOSE, 10);
    rig_expect(&rig, "disconnected:aborted:0");
    disconnect(TCP_DISCONNECT_ABORTIVE_CLOSE, 0);
    rig_expect(&rig, "disconnected:aborted:0");
    rig_expect_out(&rig, 0);
    finish("terminated");
}

/* The second graceful one is refused, the first works on. */
static void
twice(void **state)
{
    start();
    rig.careless = true; /* V-129 */
    disconnect(TCP_DISCONNECT_GRACEFUL_CLOSE, 10);
    disconnect(TCP_DISCONNECT_GRACEFUL_CLOSE, 20);
    rig_expect(&rig, "disconnected:aborted:0");
    rig_expect_out(&rig, 1);
    assert_true(rig.out[0].tcp.flags & TCP_FIN);
    assert_int_equal(rig.out[0].tcp.payload_len, 10);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 11});
    rig_expect(&rig, "disconnected:ok:10");
    finish("terminated");
}

/* An abortive one overtakes the graceful one that is not done: its bytes are counted, and an RST
 * goes out. */
static void
abort_overtakes(void **state)
{
    start();
    disconnect(TCP_DISCONNECT_GRACEFUL_CLOSE, 10);
    rig_forget(&rig);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 4});
    rig_expect(&rig, "");
    disconnect(TCP_DISCONNECT_ABORTIVE_CLOSE, 0);
    rig_expect(&rig, "disconnected:aborted:4 disconnected:ok:0");
    assert_true(rig.out[rig.out_count - 1].tcp.flags & TCP_RST);
    finish("terminated");
}

/* The RST waits for a wire that is full, and the abortive disconnect with it. */
static void
reset_waits_for_the_wire(void **state)
{
    start();
    test_wire_block(rig.wire, true);
    disconnect(TCP_DISCONNECT_ABORTIVE_CLOSE, 0);
    rig_expect(&rig, "");
    test_wire_block(rig.wire, false);
    rig_expect(&rig, "disconnected:ok:0");
    rig_expect_out(&rig, 1);
    assert_true(rig.out[0].tcp.flags & TCP_RST);
    finish("terminated");
}

/* A segment that the wire had refused is not sent behind the end of its bytes. */
static void
stalled_segment_goes(void **state)
{
    start();
    test_wire_block(rig.wire, true);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 100, 0, 0));
    rig_expect(&rig, "");
    disconnect(TCP_DISCONNECT_ABORTIVE_CLOSE, 0);
    rig_expect(&rig, "sent:aborted:0");
    test_wire_block(rig.wire, false);
    rig_expect(&rig, "disconnected:ok:0");
    rig_expect_out(&rig, 1);
    assert_true(rig.out[0].tcp.flags & TCP_RST);
    finish("terminated");
}

/* ---- inside the completion of the initiate ---- */

static void
close_at_once(struct rig *at)
{
    disconnect(TCP_DISCONNECT_GRACEFUL_CLOSE, 10);
    assert_int_equal(at->out_count, 0);
}

static void
reset_at_once(struct rig *at)
{
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 100, 0, 0));
    disconnect(TCP_DISCONNECT_ABORTIVE_CLOSE, 0);
    disconnect(TCP_DISCONNECT_GRACEFUL_CLOSE, 0);
    assert_int_equal(at->out_count, 0);
}

static void
start_ending(void (*in_completion)(struct rig *))
{
    rig_open(&rig, NULL);
    rig.on_initiated = in_completion;
    rig_conn_init(&conn, false, 0);
    NdisInitiateOffload(rig.binding, &conn.neighbor.block);
}

static void
closed_in_the_completion(void **state)
{
    start_ending(close_at_once);
    rig_expect(&rig, "initiated");
    rig_expect_out(&rig, 1);
    assert_true(rig.out[0].tcp.flags & TCP_FIN);
    assert_int_equal(rig.out[0].tcp.payload_len, 10);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 11});
    rig_expect(&rig, "disconnected:ok:10");
    finish("terminated");
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionFinWait2);
}

static void
reset_in_the_completion(void **state)
{
    start_ending(reset_at_once);
    rig_expect(&rig, "initiated sent:aborted:0 disconnected:aborted:0 disconnected:ok:0");
    rig_expect_out(&rig, 1);
    assert_true(rig.out[0].tcp.flags & TCP_RST);
    finish("terminated");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_uploading),
        cmocka_unit_test(after_a_reset),
        cmocka_unit_test(twice),
        cmocka_unit_test(abort_overtakes),
        cmocka_unit_test(reset_waits_for_the_wire),
        cmocka_unit_test(stalled_segment_goes),
        cmocka_unit_test(closed_in_the_completion),
        cmocka_unit_test(reset_in_the_completion),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
