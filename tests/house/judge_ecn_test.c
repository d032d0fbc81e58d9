/*
 * The judge's rules of congestion notification: each speaks when it is broken, and not when it is
 * kept. Our side sends from 1000 on, the peer from 5000 on.
 */
#include "judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define OUR_SEQ 1000u
#define PEER_SEQ 5000u
#define MSS 1000u

static struct judge judge;
static unsigned blamed;
static char reason[256];
static uint64_t now_us;

static void
on_violation(void *arg, const char *what)
{
    blamed++;
    strncpy(reason, what, sizeof reason - 1);
}

static void
start(bool ecn)
{
    judge_init(&judge, &(struct judge_options){.snd_seq = OUR_SEQ,
                                               .rcv_seq = PEER_SEQ,
                                               .window = 60000,
                                               .ecn = ecn,
                                               .mss = MSS,
                                               .mtu = MSS + 40,
                                               .ecn_grace_us = 100,
                                               .on_violation = on_violation});
    blamed = 0;
    now_us = 1000;
}

/* Numbers count from 0. */
static void
in(uint32_t seq, uint32_t len, uint32_t ack, uint8_t flags, uint8_t ecn)
{
    judge_in(&judge,
             &(struct peer_segment){.seq = PEER_SEQ + seq,
                                    .len = len,
                                    .ack = OUR_SEQ + ack,
                                    .flags = PEER_ACK | flags,
                                    .window = 60000,
                                    .ecn = ecn,
                                    .headers = 40},
             now_us);
}

static void
out(uint32_t seq, uint32_t len, uint32_t ack, uint8_t flags, uint8_t ecn)
{
    judge_out(&judge,
              &(struct peer_segment){.seq = OUR_SEQ + seq,
                                     .len = len,
                                     .ack = PEER_SEQ + ack,
                                     .flags = PEER_ACK | flags,
                                     .window = 60000 - (uint16_t)ack,
                                     .ecn = ecn,
                                     .headers = 40},
              0, now_us);
}

static void
assert_blamed(const char *why)
{
    assert_int_equal(blamed, 1);
    assert_non_null(strstr(reason, why));
    blamed = 0;
}

static void
not_negotiated(void **state)
{
    start(false);
    out(0, 0, 0, 0, 0);
    assert_int_equal(blamed, 0);
    out(0, 0, 0, PEER_ECE, 0);
    assert_blamed("without having agreed");
    out(0, 10, 0, 0, PEER_ECT0);
    assert_blamed("without having agreed");
}

static void
a_mark_is_echoed_until_cwr(void **state)
{
    start(true);
    out(0, 0, 0, PEER_ECE, 0);
    assert_blamed("echoes a mark");
    in(0, 100, 0, 0, PEER_ECT0);
    in(100, 100, 0, 0, PEER_CE);
    out(0, 0, 100, 0, 0); /* it was not read yet */
    assert_int_equal(blamed, 0);
    out(0, 0, 200, 0, 0);
    assert_blamed("does not echo the mark");
    out(0, 0, 200, PEER_ECE, 0);
    in(200, 100, 0, PEER_CWR, PEER_ECT0);
    out(0, 0, 200, PEER_ECE, 0);
    out(0, 0, 300, 0, 0);
    assert_int_equal(blamed, 0);
    out(0, 0, 300, PEER_ECE, 0);
    assert_blamed("echoes a mark");
    in(300, 100, 0, PEER_CWR, PEER_CE); /* a new mark */
    out(0, 0, 400, 0, 0);
    assert_blamed("does not echo the mark");
}

/* Bytes that came marked and unmarked may have been read either way. */
static void
copies_prove_nothing(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        start(true);
        in(0, 100, 0, 0, i ? PEER_ECT0 : PEER_CE);
        in(0, 100, 0, 0, i ? PEER_CE : 0);
        out(0, 0, 100, 0, 0);
        out(0, 0, 100, PEER_ECE, 0);
        assert_int_equal(blamed, 0);
    }
}

static void
only_new_data_is_capable(void **state)
{
    start(true);
    out(0, 500, 0, 0, PEER_ECT0);
    out(500, 500, 0, 0, 0); /* allowed, if not wise */
    assert_int_equal(blamed, 0);
    out(1000, 0, 0, 0, PEER_ECT0);
    assert_blamed("an empty segment");
    out(0, 500, 0, 0, PEER_ECT0);
    assert_blamed("sent again");
    out(1000, 500, 0, 0, 1);
    assert_int_equal(blamed, 1);
    blamed = 0;
    judge.edge = judge.sent;
    out(1500, 1, 0, 0, PEER_ECT0);
    assert_blamed("a probe");
    start(true);
    out(0, 0, 0, PEER_CWR, 0);
    assert_blamed("not with new data");
    out(0, 500, 0, PEER_CWR, 0);
    assert_blamed("not with new data");
}

static void
send_to(uint32_t seq, uint32_t end)
{
    for (; seq < end; seq += MSS)
        out(seq, MSS, 0, 0, PEER_ECT0);
}

static void
an_echo_is_answered(void **state)
{
    start(true);
    send_to(0, 20000);
    in(0, 0, 1000, PEER_ECE, 0);
    now_us += 100;
    send_to(20000, 21000); /* within the grace */
    assert_int_equal(blamed, 0);
    now_us++;
    send_to(21000, 22000);
    assert_blamed("without CWR");
    in(0, 0, 12000, PEER_ECE, 0);
    out(22000, MSS, 0, PEER_CWR, PEER_ECT0);
    assert_int_equal(blamed, 0);
    in(0, 0, 15000, PEER_ECE, 0); /* of the same window: nothing is asked for */
    now_us += 1000;
    send_to(23000, 24000);
    assert_int_equal(blamed, 0);
    out(24000, MSS, 0, PEER_CWR, PEER_ECT0);
    assert_blamed("same window");
}

static void
a_loss_may_say_cwr_again(void **state)
{
    start(true);
    send_to(0, 10000);
    out(10000, MSS, 0, PEER_CWR, PEER_ECT0);
    out(0, MSS, 0, 0, 0);
    out(11000, MSS, 0, PEER_CWR, PEER_ECT0);
    assert_int_equal(blamed, 0);
    in(0, 0, 11500, PEER_ECE, 0); /* behind the last: another window */
    out(12000, MSS, 0, PEER_CWR, PEER_ECT0);
    assert_int_equal(blamed, 0);
}

static void
the_window_is_reduced(void **state)
{
    start(true);
    send_to(0, 40000);
    in(0, 0, 1000, PEER_ECE, 0); /* 40,000 were in flight: 34,000 at most */
    in(0, 0, 10000, PEER_ECE, 0);
    out(40000, MSS, 0, PEER_CWR, PEER_ECT0);
    send_to(41000, 44000);
    assert_int_equal(blamed, 0);
    send_to(44000, 45000);
    assert_blamed("in flight behind CWR");
    in(0, 0, 40500, 0, 0); /* that window is over */
    send_to(45000, 90000);
    assert_int_equal(blamed, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_negotiated),        cmocka_unit_test(a_mark_is_echoed_until_cwr),
        cmocka_unit_test(copies_prove_nothing),  cmocka_unit_test(only_new_data_is_capable),
        cmocka_unit_test(an_echo_is_answered),   cmocka_unit_test(a_loss_may_say_cwr_again),
        cmocka_unit_test(the_window_is_reduced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
