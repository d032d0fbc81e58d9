/*
 * Whether a neighbor is still there: who is asked when, what counts as a sign, and whose answer
 * (chimney 7; V-141).
 */
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;
static uint32_t sent, arrived;

/* Ticks are milliseconds; a neighbor is stale after ten seconds. */
static void
start(ULONG host_delta)
{
    rig_open(&rig, NULL);
    rig.parameters.NceStaleTicks = 10000;
    rig_set_parameters(&rig);
    rig_conn_init(&conn, false, 0);
    conn.neighbor.cached.HostReachabilityDelta = host_delta;
    conn.neighbor.delegated.NicReachabilityDelta = host_delta; /* V-072 */
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
    sent = arrived = 0;
}

static void
finish(void)
{
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    rig_close(&rig);
}

static void
send_some(void)
{
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 100, 0, 0));
    sent += 100;
    rig_turn(&rig);
}

static void
acknowledge(void)
{
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + arrived, .ack = RIG_SND + sent});
}

static void
asked_when_both_are_stale(void **state)
{
    start(0);
    rig_pass(&rig, 9000000);
    send_some();
    acknowledge();
    rig_expect(&rig, "sent:ok:100"); /* neither is stale yet */
    rig_pass(&rig, 10001000);
    rig_expect(&rig, ""); /* nothing is to be sent */
    rig.reachability = 3000;
    send_some();
    rig_expect(&rig, "neighbor:2:10001");
    acknowledge();
    rig_expect(&rig, "sent:ok:100");
    finish();
}

/* The host stack knew three seconds ago: for seven more nobody asks. Then its answer is stale, and
 * the next question comes a stale time later. */
static void
the_answer_counts(void **state)
{
    start(0);
    rig_pass(&rig, 10001000);
    rig.reachability = 3000;
    send_some();
    rig_expect(&rig, "neighbor:2:10001");
    rig_pass(&rig, 6000000); /* retransmissions are sends */
    rig_expect(&rig, "");
    rig.reachability = 60000;
    rig_pass(&rig, 30000000);
    const char *next = strstr(rig.heard, "neighbor:2:");
    assert_non_null(next);
    unsigned count = 0;
    for (; next; next = strstr(next + 1, "neighbor:2:"))
        count++;
    assert_in_range(count, 1, 3);
    rig.heard[0] = 0;
    acknowledge();
    rig_expect(&rig, "sent:ok:100");
    finish();
}

/* Old already when it came: asked at once. */
static void
old_at_the_initiate(void **state)
{
    start(12000);
    rig_pass(&rig, 1000);
    send_some();
    rig_turn(&rig);
    assert_int_equal(strncmp(rig.heard, "neighbor:2:12", 13), 0);
    rig.heard[0] = 0;
    acknowledge();
    rig_expect(&rig, "sent:ok:100");
    finish();
}

/* Data in order is a sign, out of order it may be anybody's. */
static void
data_is_a_sign(void **state)
{
    start(0);
    rig_pass(&rig, 9000000);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 100});
    arrived = 100;
    rig_expect(&rig, "indicate:100");
    rig_pass(&rig, 9000000);
    send_some();
    rig_expect(&rig, "");
    acknowledge();
    rig_expect(&rig, "sent:ok:100");
    rig_pass(&rig, 9000000);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 500, .ack = RIG_SND + sent, .len = 100});
    rig_pass(&rig, 2000000);
    send_some();
    rig_expect(&rig, "neighbor:2:11000");
    acknowledge();
    rig_expect(&rig, "sent:ok:100");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated frame:154");
    rig_close(&rig);
}

/* An update says it as well, and the age of the sign goes back at terminate and query. */
static void
updated(void **state)
{
    struct rig_node node;

    start(0);
    rig_pass(&rig, 11000000);
    rig_node_init(&node, NeighborOffloadCachedState, &conn.neighbor.handle);
    node.state.neighbor = conn.neighbor.cached;
    node.state.neighbor.HostReachabilityDelta = 1000;
    NdisUpdateOffload(rig.binding, &node.block);
    rig_expect(&rig, "updated");
    send_some();
    rig_expect(&rig, "");
    acknowledge();
    rig_expect(&rig, "sent:ok:100");
    rig_pass(&rig, 4000000);
    finish();
    assert_int_equal(conn.ends[0].state.neighbor_delegated.NicReachabilityDelta, 4000);
}

/* Nothing is asked while an initiate is in progress (V-137); afterwards it is. */
static void
not_during_an_initiate(void **state)
{
    struct rig_conn other;

    start(0);
    rig_pass(&rig, 11000000);
    rig_conn_init(&other, true, 0);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 100, 0, 0));
    NdisInitiateOffload(rig.binding, &other.neighbor.block);
    rig_turn(&rig);
    assert_non_null(strstr(rig.heard, "initiated"));
    const char *asked = strstr(rig.heard, "neighbor");
    assert_true(!asked || asked > strstr(rig.heard, "initiated"));
    rig.heard[0] = 0;
    sent = 100;
    acknowledge();
    rig_expect(&rig, "sent:ok:100");
    rig_conn_end(&rig, &other);
    rig_expect(&rig, "terminated");
    finish();
}

/* NceStaleTicks zero: the host stack does not care. */
static void
never_asked(void **state)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    sent = arrived = 0;
    rig_pass(&rig, 3600000000u);
    send_some();
    acknowledge();
    rig_expect(&rig, "sent:ok:100");
    finish();
}

/* ---- our side of it ---- */

/* A segment for this station, 0: the wire's of old; it is the next in order if it is taken. */
static void
expect_from(uint8_t station, const char *words)
{
    rig_peer(&rig, (struct rig_in){
                       .seq = RIG_RCV + arrived, .ack = RIG_SND, .len = 100, .station = station});
    rig_expect(&rig, words);
    if (strstr(words, "indicate"))
        arrived += 100;
}

/* What a wire hears of others is not the connection's, and when its address changes the new one
 * counts, both ways. */
static void
our_station_is_the_wires(void **state)
{
    start(0);
    expect_from(0, "indicate:100");
    expect_from(7, "frame:154");
    expect_from(0xff, "frame:154");
    test_wire_name(rig.wire, 7);
    rig_forget(&rig);
    expect_from(0, "frame:154");
    expect_from(7, "indicate:100");
    rig_forget(&rig);
    send_some();
    rig_expect_out(&rig, 1);
    assert_int_equal(rig.out[0].buf->data[11], 7);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + arrived, .ack = RIG_SND + sent, .station = 7});
    rig_expect(&rig, "sent:ok:100");
    finish();
}

/* … or the one that the neighbor came with, and then the wire's is another's. */
static void
our_station_is_given(void **state)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    memcpy(conn.neighbor.constant.DlSourceAddress, "\x02\0\0\0\0\x09", 6);
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
    sent = arrived = 0;
    expect_from(0, "frame:154");
    expect_from(9, "indicate:100");
    finish();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asked_when_both_are_stale),
        cmocka_unit_test(the_answer_counts),
        cmocka_unit_test(old_at_the_initiate),
        cmocka_unit_test(data_is_a_sign),
        cmocka_unit_test(updated),
        cmocka_unit_test(not_during_an_initiate),
        cmocka_unit_test(never_asked),
        cmocka_unit_test(our_station_is_the_wires),
        cmocka_unit_test(our_station_is_given),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
