/*
 * Terminate: nothing that was open is lost, nothing comes twice, and the state says where things
 * stand.
 */
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;

static void
start(unsigned const_flags)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, const_flags);
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
}

/* Open sends go back from SndUna on, the first advanced; receives and the disconnect end (V-145,
 * V-147). */
static void
open_requests(void **state)
{
    start(0);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 100, 0, 0));
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 200, 100, 30));
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 300, (uint8_t)300, 0));
    NdisOffloadTcpDisconnect(&conn.tcp.handle, rig_nbl(&rig, 40, (uint8_t)600, 0),
                             TCP_DISCONNECT_GRACEFUL_CLOSE);
    NdisOffloadTcpReceive(&conn.tcp.handle, rig_nbl(&rig, 50, 0, 0));
    rig_turn(&rig);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 150, .len = 20});
    rig_expect(&rig, "sent:ok:100");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "received:upload:20 disconnected:upload:0 terminated");
    const TCP_OFFLOAD_STATE_DELEGATED *back = rig_given_back(&conn);
    NET_BUFFER_LIST *first = conn.ends[2].block.NetBufferListChain;
    NET_BUFFER_LIST *second = NET_BUFFER_LIST_NEXT_NBL(first);
    assert_ptr_equal(back->SendDataHead, first);
    assert_ptr_equal(back->SendDataTail, second);
    assert_null(NET_BUFFER_LIST_NEXT_NBL(second));
    NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(first);
    assert_int_equal(NET_BUFFER_DATA_LENGTH(nb), 150);
    uint8_t storage[150];
    const uint8_t *bytes = NdisGetDataBuffer(nb, 150, storage, 1, 0);
    for (unsigned i = 0; i < 150; i++)
        assert_int_equal(bytes[i], (uint8_t)(150 + i));
    assert_int_equal(NET_BUFFER_DATA_LENGTH(NET_BUFFER_LIST_FIRST_NB(second)), 300);
    assert_int_equal(back->SndUna, RIG_SND + 150);
    assert_int_equal(back->SndMax, RIG_SND + 641); /* the FIN as well */
    assert_int_equal(back->RcvNxt, RIG_RCV + 20);
    assert_int_equal(back->State, TcpConnectionFinWait1);
    rig_nbl_free(first);
    rig_nbl_free(second);
    rig_close(&rig);
}

/* Acknowledged but refused: back in BufferedData, returned later; a delayed ACK goes out first. */
static void
buffered_data(void **state)
{
    start(0);
    rig.accept = 0;
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 60});
    rig_expect(&rig, "indicate:60");
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 60, .ack = RIG_SND, .len = 40, .first = 60});
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    assert_int_equal(rig.out[rig.out_count - 1].tcp.ack, RIG_RCV + 100);
    NET_BUFFER_LIST *nbl = rig_given_back(&conn)->BufferedData;
    uint8_t storage[100];
    assert_int_equal(rig_given_back(&conn)->RcvNxt, RIG_RCV + 100);
    assert_int_equal(NET_BUFFER_DATA_LENGTH(NET_BUFFER_LIST_FIRST_NB(nbl)), 60);
    const uint8_t *bytes = NdisGetDataBuffer(NET_BUFFER_LIST_FIRST_NB(nbl), 60, storage, 1, 0);
    assert_int_equal(bytes[59], 59);
    NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbl);
    assert_int_equal(NET_BUFFER_DATA_LENGTH(NET_BUFFER_LIST_FIRST_NB(next)), 40);
    bytes = NdisGetDataBuffer(NET_BUFFER_LIST_FIRST_NB(next), 40, storage, 1, 0);
    assert_int_equal(bytes[39], 99);
    NdisOffloadTcpReceiveReturn(rig.binding, nbl);
    rig_close(&rig);
}

/* From the call on frames take the regular path; what was out of order follows behind the
 * completion, whole. */
static void
frames_go_up(void **state)
{
    start(TCP_FLAG_SACK_ENABLED);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 100, .ack = RIG_SND, .len = 50});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 200, .ack = RIG_SND, .len = 70});
    rig_turn(&rig);
    rig_conn_end(&rig, &conn);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 10});
    rig_turn(&rig);
    assert_string_equal(rig.heard, "terminated frame:64 frame:104 frame:124");
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 11});
    rig_turn(&rig);
    assert_string_equal(rig.heard, "terminated frame:64 frame:104 frame:124 frame:65");
    assert_int_equal(rig_given_back(&conn)->RcvNxt, RIG_RCV);
    rig_close(&rig);
}

/* ack = returned: accepted, not returned: not acknowledged; not accepted: up the regular path, not
 * in BufferedData. */
static void
unreturned(void **state)
{
    start(TCP_FLAG_ACK_RETURNED);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 100});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 100, .ack = RIG_SND, .len = 100});
    rig_expect(&rig, "indicate:100 indicate:100");
    rig_return(&rig, 0);
    rig.accept = 40;
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 200, .ack = RIG_SND, .len = 100});
    rig_expect(&rig, "indicate:100");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated frame:154");
    assert_int_equal(rig_given_back(&conn)->RcvNxt, RIG_RCV + 100);
    assert_null(rig_given_back(&conn)->BufferedData);
    rig_return(&rig, 1); /* after the end: taken, nothing happens */
    rig_forget(&rig);
    rig_close(&rig);
}

static void
return_first(struct rig *r)
{
    r->on_received = NULL;
    rig_return(r, 0);
}

/* What is returned while a request is completed was acknowledged in time, and says so. */
static void
returned_in_a_completion(void **state)
{
    static const unsigned flags[] = {0, TCP_FLAG_ACK_RETURNED};

    for (int i = 0; i < 2; i++) {
        start(flags[i]);
        rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 100});
        rig_expect(&rig, "indicate:100");
        NdisOffloadTcpReceive(&conn.tcp.handle, rig_nbl(&rig, 50, 0, 0));
        rig_turn(&rig);
        rig.on_received = return_first;
        rig_conn_end(&rig, &conn);
        rig_expect(&rig, "received:upload:0 terminated");
        assert_int_equal(rig_given_back(&conn)->RcvNxt, RIG_RCV + 100);
        assert_int_equal(rig.out[rig.out_count - 1].tcp.ack, RIG_RCV + 100);
        rig_turn(&rig); /* nobody serves what is no more */
        rig_close(&rig);
    }
}

static void
post_once_more(struct rig *r)
{
    r->on_received = NULL;
    NdisOffloadTcpReceive(&conn.tcp.handle, rig_nbl(r, 50, 0, 0));
}

static void
posted_in_a_completion(void **state)
{
    start(0);
    NdisOffloadTcpReceive(&conn.tcp.handle, rig_nbl(&rig, 50, 0, 0));
    rig_turn(&rig);
    rig.careless = true; /* it knows of the terminate */
    rig.on_received = post_once_more;
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "received:upload:0 received:upload:0 terminated");
    rig_close(&rig);
}

/* Urgent data: everything from there on is the host stack's (6.5). */
static void
urgent(void **state)
{
    start(0);
    rig_peer(&rig, (struct rig_in){
                       .seq = RIG_RCV, .ack = RIG_SND, .len = 10, .flags = TCP_URG, .urgent = 5});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 10, .ack = RIG_SND, .len = 20});
    rig_expect(&rig, "event:retrieve:3");
    rig_pass(&rig, 1000000);
    rig_expect_out(&rig, 0);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    rig_expect(&rig, "sent:upload:0");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated frame:64 frame:74");
    assert_int_equal(rig_given_back(&conn)->RcvNxt, RIG_RCV);
    rig_close(&rig);
}

/* Our stamps are the host stack's clock, never ahead of it, and go on where they were. */
static void
timestamps(void **state)
{
    rig_open(&rig, NULL);
    rig_pass(&rig, 123456);
    rig_conn_init(&conn, false, TCP_FLAG_TIMESTAMP_ENABLED);
    uint32_t offset = 777000, now_ms = (uint32_t)(sys_loop_now_us(rig.loop) / 1000);
    conn.tcp.delegated.TsTime = now_ms + offset;
    rig_conn_start(&rig, &conn);
    rig_pass(&rig, 5500);
    rig_forget(&rig);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    rig_expect_out(&rig, 1);
    now_ms = (uint32_t)(sys_loop_now_us(rig.loop) / 1000);
    assert_int_equal(rig.out[0].tcp.tsval, now_ms + offset);
    rig_pass(&rig, 10000);
    rig_conn_end(&rig, &conn);
    rig_forget(&rig);
    now_ms = (uint32_t)(sys_loop_now_us(rig.loop) / 1000);
    assert_int_equal(rig_given_back(&conn)->TsTime, now_ms + offset);
    rig_nbl_free(conn.ends[2].block.NetBufferListChain);
    rig_close(&rig);
}

/* Too early: the neighbor says FAILURE, and is not pulled from under its path. */
static void
parent_first(void **state)
{
    struct rig_node node;

    start(0);
    rig.careless = true; /* V-063, V-064 */
    rig_node_init(&node, NeighborOffloadDelegatedState, &conn.neighbor.handle);
    NdisTerminateOffload(rig.binding, &node.block);
    rig_turn(&rig);
    assert_int_equal(node.block.Status, NDIS_STATUS_FAILURE);
    rig_forget(&rig);
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 10, 0, 0));
    rig_expect_out(&rig, 1);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 10});
    rig_expect(&rig, "sent:ok:10");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    rig_close(&rig);
}

/* The host stack forgot: the house takes everything down all the same. */
static void
never_terminated(void **state)
{
    start(0);
    rig.careless = true; /* V-064 */
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 100, .ack = RIG_SND, .len = 50});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 50});
    rig_turn(&rig);
    rig_close(&rig);
}

/* Of a connection that was reset nothing goes back but its state. */
static void
reset(void **state)
{
    start(0);
    rig.accept = 0;
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 60});
    rig_turn(&rig);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 100, .ack = RIG_SND, .len = 50});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 60, .ack = RIG_SND, .flags = TCP_RST});
    rig_expect(&rig, "indicate:60 event:abort");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    assert_null(rig_given_back(&conn)->BufferedData);
    assert_int_equal(rig_given_back(&conn)->State, TcpConnectionClosed);
    rig_close(&rig);
}

/* Of two in one tree only the one that was reset loses what it had. */
static void
reset_beside_another(void **state)
{
    struct rig_tcp other;
    struct rig_node end;

    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, 0);
    rig_tcp_init(&other, 4001, 0);
    conn.tcp.block.NextBlock = &other.block;
    rig_conn_start(&rig, &conn);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 100, .ack = RIG_SND, .len = 50});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 1, .ack = RIG_SND, .len = 20, .port = 4001});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .flags = TCP_RST, .port = 4001});
    rig_expect(&rig, "event:abort");
    rig_node_init(&end, TcpOffloadDelegatedState, &other.handle);
    end.state.delegated.Header.Length = sizeof end.state.delegated;
    rig_conn_end_with(&rig, &conn, &end);
    rig_expect(&rig, "terminated frame:104");
    rig_close(&rig);
}

/* ack = returned: what came back behind a gap is not acknowledged; the peer sends it again. */
static void
returned_behind_a_gap(void **state)
{
    start(TCP_FLAG_ACK_RETURNED);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND, .len = 100});
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 100, .ack = RIG_SND, .len = 100});
    rig_expect(&rig, "indicate:100 indicate:100");
    rig_return(&rig, 1);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    assert_int_equal(rig_given_back(&conn)->RcvNxt, RIG_RCV);
    rig_return(&rig, 0);
    rig_close(&rig);
}

/* No room for the state: it ends all the same, and says that something was lost. */
static void
without_state(void **state)
{
    struct rig_node node;

    start(0);
    rig.careless = true; /* V-146 */
    rig_node_init(&node, TcpOffloadCachedState, &conn.tcp.handle);
    NdisTerminateOffload(rig.binding, &node.block);
    rig_expect(&rig, "terminated");
    assert_int_equal(node.block.Status, NDIS_STATUS_FAILURE);
    assert_null(node.block.NetBufferListChain);
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_requests),
        cmocka_unit_test(buffered_data),
        cmocka_unit_test(frames_go_up),
        cmocka_unit_test(unreturned),
        cmocka_unit_test(returned_in_a_completion),
        cmocka_unit_test(posted_in_a_completion),
        cmocka_unit_test(urgent),
        cmocka_unit_test(timestamps),
        cmocka_unit_test(reset),
        cmocka_unit_test(reset_beside_another),
        cmocka_unit_test(returned_behind_a_gap),
        cmocka_unit_test(without_state),
        cmocka_unit_test(parent_first),
        cmocka_unit_test(never_terminated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
