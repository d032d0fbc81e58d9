/*
 * The timer of a connection is set when something becomes due earlier, and left alone otherwise:
 * what is due happens at its time all the same, neither when a former deadline passes nor later.
 */
#include "target/soft/test_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define DELAYED_US 40000u /* what the rig asks for */

static struct rig rig;
static struct rig_conn conn;
static uint32_t received;

static int
set_up(void **state)
{
    rig_open(&rig, NULL);
    rig_conn_init(&conn, false, TCP_FLAG_SACK_ENABLED);
    rig_conn_start(&rig, &conn);
    received = 0;
    rig_forget(&rig);
    return 0;
}

static int
tear_down(void **state)
{
    rig_conn_end(&rig, &conn);
    rig_turn(&rig);
    rig_close(&rig);
    return 0;
}

static void
data_in(void)
{
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + received, .ack = RIG_SND, .len = 100});
    rig_turn(&rig);
    received += 100;
}

/* The first acknowledgement was due, and is not any more; the next one is due a little later. */
static void
a_deadline_that_moves_on(void **state)
{
    data_in();
    rig_pass(&rig, 1000);
    rig_expect_out(&rig, 0);
    data_in(); /* every second segment is answered at once */
    rig_expect_out(&rig, 1);
    rig_forget(&rig);
    rig_pass(&rig, 1000);
    data_in();
    rig_pass(&rig, DELAYED_US - 1);
    rig_expect_out(&rig, 0);
    rig_pass(&rig, 1);
    rig_expect_out(&rig, 1);
    rig_forget(&rig);
    rig_pass(&rig, 10 * DELAYED_US);
    rig_expect_out(&rig, 0);
}

/* What was sent is to be probed for much later than the acknowledgement is due. */
static void
a_deadline_that_comes_nearer(void **state)
{
    NdisOffloadTcpSend(&conn.tcp.handle, rig_nbl(&rig, 1000, 0, 0));
    rig_expect_out(&rig, 1);
    rig_forget(&rig);
    data_in();
    rig_pass(&rig, DELAYED_US - 1);
    rig_expect_out(&rig, 0);
    rig_pass(&rig, 1);
    rig_expect_out(&rig, 1);
    rig_forget(&rig);
    rig_pass(&rig, 1000000); /* and the later one is not forgotten */
    rig_turn(&rig);
    assert_true(rig.out_count >= 1);
    assert_int_equal(rig.out[0].tcp.seq, RIG_SND);
    assert_int_equal(rig.out[0].tcp.payload_len, 1000);
    rig_peer(&rig, (struct rig_in){.seq = RIG_RCV + received, .ack = RIG_SND + 1000});
    rig_turn(&rig);
}

/* It fires once for what is settled already, and nothing comes of it. */
static void
a_deadline_that_goes_away(void **state)
{
    data_in();
    data_in();
    rig_expect_out(&rig, 1);
    rig_expect(&rig, "indicate:100 indicate:100");
    rig_forget(&rig);
    rig_pass(&rig, 10 * DELAYED_US);
    rig_expect_out(&rig, 0);
    rig_expect(&rig, "");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_deadline_that_moves_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deadline_that_comes_nearer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_deadline_that_goes_away, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
