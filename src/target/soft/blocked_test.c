/* What a wire that takes nothing for a while must not be taken for. */
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
send_bytes(void)
{
    assert_int_equal(NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 1000, 0, 0)),
                     NDIS_STATUS_PENDING);
}

static unsigned
count_data(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < rig.out_count; i++)
        count += rig.out[i].tcp.payload_len > 0;
    return count;
}

/* An acknowledgement that the wire takes only at the second attempt says nothing of the data that
 * went long ago. */
static void
acknowledgements_that_wait_hold_up_no_retransmission(void **state)
{
    unsigned data = 0;

    start();
    send_bytes();
    rig_expect_out(&rig, 1);
    rig_forget(&rig);
    for (unsigned i = 0; i < 50; i++) {
        test_wire_block(rig.wire, true);
        rig_peer(&rig, (struct rig_in){.seq = RIG_RCV - 1, .ack = RIG_SND}); /* a keepalive */
        rig_turn(&rig);
        test_wire_block(rig.wire, false);
        rig_turn(&rig);
        data += count_data();
        rig_forget(&rig);
        rig_pass(&rig, 90000);
        data += count_data();
        rig_forget(&rig);
    }
    assert_true(data > 0);
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    rig_nbl_free(conn.ends[2].block.NetBufferListChain);
    rig_close(&rig);
}

/* Nor is what waited for the wire measured as a round trip. */
static void
the_wait_for_the_wire_is_no_round_trip(void **state)
{
    start();
    test_wire_block(rig.wire, true);
    send_bytes();
    rig_pass(&rig, 30000000);
    test_wire_block(rig.wire, false);
    rig_expect_out(&rig, 1);
    rig_pass(&rig, 50000);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV, .ack = RIG_SND + 1000});
    rig_expect(&rig, "sent:ok:1000");
    rig_conn_end(&rig, &conn);
    rig_expect(&rig, "terminated");
    assert_true(rig_given_back(&conn)->SRtt <= 8 * 1000); /* a second, in ticks */
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(acknowledgements_that_wait_hold_up_no_retransmission),
        cmocka_unit_test(the_wait_for_the_wire_is_no_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
