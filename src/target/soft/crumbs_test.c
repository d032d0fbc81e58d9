/*
 * What received bytes hold: memory in proportion to what the window promises, however small the
 * segments are, and nothing when they are delivered (receive.c, deliver.c).
 */
#include "target/soft/test_rig.h"

#include "target/soft/conn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_conn conn;

static void
be_quiet(struct rig *r)
{
    r->heard[0] = 0;
}

static void
start(unsigned const_flags, uint32_t accept)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, const_flags);
    rig_conn_start(&rig, &conn);
    rig_forget(&rig);
    rig.accept = accept;
    rig.on_indicate = be_quiet;
}

static void
finish(const char *words)
{
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, words);
    rig_close(&rig);
    assert_int_equal(test_wire_held(), 0);
}

/* Segments of one byte, which counts up from 0. */
static void
arrive(uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        rig_peer(&rig, (struct rig_in){
                           .seq = RIG_RCV + i, .ack = RIG_SND, .len = 1, .first = (uint8_t)i});
        rig_turn(&rig);
        rig_forget(&rig);
    }
}

static void
assert_bytes(const uint8_t *bytes, uint32_t len, uint32_t from)
{
    for (uint32_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], (uint8_t)(from + i));
}

/* Nobody reads: a whole window of single bytes. It goes back as it came. */
static void
refused(void **state)
{
    uint32_t at = 0, count = 0;

    start(0, 0);
    arrive(0, 60000);
    assert_true(test_wire_held() < 4 * 60000);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    for (NET_BUFFER_LIST *nbl = rig_given_back(&conn)->BufferedData; nbl;
         nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        static uint8_t storage[65536];
        NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl);
        uint32_t len = NET_BUFFER_DATA_LENGTH(nb);
        assert_bytes(NdisGetDataBuffer(nb, len, storage, 1, 0), len, at);
        at += len;
        count++;
    }
    assert_int_equal(at, 60000);
    assert_true(count < 60000 / 16);
    NdisOffloadTcpReceiveReturn(rig.binding, rig_given_back(&conn)->BufferedData);
    rig_close(&rig);
    assert_int_equal(test_wire_held(), 0);
}

/* Somebody takes them and returns none: no more than so many are out, the rest waits together, and
 * comes when there is room. */
static void
kept(void **state)
{
    start(0, RIG_ALL);
    arrive(0, 20000);
    assert_int_equal(rig.kept_count, SOFT_CRUMBS_MAX);
    assert_true(test_wire_held() < SOFT_CRUMBS_MAX * 128 + 4 * 20000);
    for (unsigned i = 0; i < rig.kept_count; i++) {
        rig_return(&rig, i);
        rig_turn(&rig);
    }
    assert_int_equal(rig.got_count, 20000);
    assert_bytes(rig.got, 20000, 0);
    rig_forget(&rig);
    assert_int_equal(test_wire_held(), 0);
    finish("terminated");
}

/* What is large is not held up behind them, unless it is behind them in the sequence. */
static void
large_behind_small(void **state)
{
    start(0, RIG_ALL);
    arrive(0, SOFT_CRUMBS_MAX);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + SOFT_CRUMBS_MAX, .ack = RIG_SND, .len = 1000});
    rig_turn(&rig);
    assert_int_equal(rig.got_count, SOFT_CRUMBS_MAX + 1000);
    arrive(SOFT_CRUMBS_MAX + 1000, 1);
    assert_int_equal(rig.got_count, SOFT_CRUMBS_MAX + 1000);
    rig_return(&rig, 0);
    rig_turn(&rig);
    assert_int_equal(rig.got_count, SOFT_CRUMBS_MAX + 1001);
    rig_forget(&rig);
    finish("terminated");
}

/* With ack = returned nothing of it was acknowledged: the first goes up as it arrived, what was
 * copied behind it is the peer's still. */
static void
not_acknowledged(void **state)
{
    start(TCP_FLAG_ACK_RETURNED, 0);
    arrive(0, 5);
    finish("terminated frame:55");
    assert_null(rig_given_back(&conn)->BufferedData);
    assert_int_equal(rig_given_back(&conn)->RcvNxt, RIG_RCV);
}

/* Both directions, and all of it delivered: then a connection holds no buffer. */
static void
idle_holds_nothing(void **state)
{
    start(0, RIG_ALL);
    for (uint32_t i = 0; i < 8; i++) {
        rig_peer(&rig, (struct rig_in){
                           .seq = RIG_RCV + 1000 * i, .ack = RIG_SND + 1000 * i, .len = 1000});
        rig_turn(&rig);
        assert_true(test_wire_held());
        NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 1000, 0, 0));
        rig_return(&rig, i);
        rig_forget(&rig);
    }
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 8000, .ack = RIG_SND + 8000});
    rig_expect(&rig, "sent:ok:1000");
    rig_forget(&rig);
    assert_int_equal(test_wire_held(), 0);
    finish("terminated");
}

/* What is out of order when a connection loses its state goes with it. */
static void
a_lost_state_holds_nothing(void **state)
{
    static const struct house_option options[] = {
        {"HardwareFailure", "2"}, {"StateLost", "1"}, {NULL, NULL}};

    rig_open(&rig, options);
    rig_conn_init(&conn, false, 0);
    rig_conn_start(&rig, &conn);
    for (uint32_t i = 1; i <= 2; i++)
        rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + 200 * i, .ack = RIG_SND, .len = 100});
    rig_turn(&rig);
    assert_non_null(strstr(rig.heard, "event:"));
    rig_conn_end(&rig, &conn);
    rig_forget(&rig);
    assert_int_equal(test_wire_held(), 0);
    rig_close(&rig);
}

/* There is no way back: a connection that is OPEN is not adopted again. */
static void
no_such_edge(void **state)
{
    start(0, RIG_ALL);
    struct soft_conn *at = soft_conn_of(conn.tcp.handle.MiniportOffloadContext);
    soft_conn_set_phase(at, SOFT_ADOPTED, "test");
    assert_int_equal(at->phase, SOFT_OPEN);
    finish("terminated");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused),
        cmocka_unit_test(kept),
        cmocka_unit_test(large_behind_small),
        cmocka_unit_test(not_acknowledged),
        cmocka_unit_test(idle_holds_nothing),
        cmocka_unit_test(a_lost_state_holds_nothing),
        cmocka_unit_test(no_such_edge),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
