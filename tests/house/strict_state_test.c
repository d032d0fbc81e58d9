/* What a connection says of itself: each rule of strict_state.c can fire, and does not fire at what
 * is right, also behind a hand-over. */
#include "strict_test.h"

/* Ten segments went at one moment, two of them were acknowledged 100 ms later and four more went,
 * 10 ms ago. */
static void
talk(struct fixture *fx)
{
    open_it(fx);
    write_bytes(fx, 30000);
    send(fx, 0, 10000);
    wait_ms(fx, 100);
    hear_ack(fx, 2000, 0, 0);
    send(fx, 10000, 4000);
    wait_ms(fx, 10);
    assert_right(fx);
}

/* As it is then. */
static struct strict_seen
right(void)
{
    return (struct strict_seen){.snd_una = OURS + 2000,
                                .snd_nxt = OURS + 14000,
                                .snd_max = OURS + 14000,
                                .snd_wnd = 60000,
                                .max_snd_wnd = 60000,
                                .cwnd = 12000,
                                .ssthresh = UINT32_MAX,
                                .rcv_nxt = THEIRS,
                                .rcv_wnd = 20000,
                                .srtt_us = 100000,
                                .rttvar_us = 50000,
                                .retransmit_delta_us = 290000,
                                .tick_us = 1000};
}

static void
look(struct fixture *fx, const struct strict_seen *seen)
{
    strict_look(&fx->strict, seen, fx->now_us);
}

static void
test_what_is_right(void **state)
{
    struct strict_seen seen = right();
    struct fixture fx;

    talk(&fx);
    look(&fx, &seen);
    assert_right(&fx);
}

static void
test_what_is_wrong(void **state)
{
    struct strict_seen seen[11];
    static const char *const words[11] = {"SndUna", "SndNxt",  "SndMax",          "edge",
                                          "CWnd",   "CWnd",    "SsThresh",        "SRtt",
                                          "RttVar", "timeout", "Retransmit.Count"};
    struct fixture fx;

    for (unsigned i = 0; i < 11; i++)
        seen[i] = right();
    seen[0].snd_una++;
    seen[1].snd_nxt--;
    seen[2].snd_max++;
    seen[3].snd_wnd--;
    seen[4].cwnd = 16000;
    seen[5].cwnd = 9000;
    seen[6].ssthresh = 20000;
    seen[7].srtt_us = 90000;
    seen[8].rttvar_us = 40000;
    seen[9].retransmit_delta_us = 200000;
    seen[10].retransmits = 1;
    for (unsigned i = 0; i < 11; i++) {
        talk(&fx);
        look(&fx, &seen[i]);
        assert_blamed(&fx, words[i]);
    }
}

static void
test_what_was_received(void **state)
{
    struct strict_seen seen = right();
    struct fixture fx;

    talk(&fx);
    hear_data(&fx, 0, 1000);
    seen.rcv_nxt += 1000;
    seen.rcv_wnd -= 1000;
    wait_ms(&fx, 1);
    look(&fx, &seen);
    assert_right(&fx);
    seen.rcv_nxt -= 1000;
    look(&fx, &seen);
    assert_blamed(&fx, "RcvNxt");
}

static void
test_timers_that_must_not_run(void **state)
{
    struct strict_seen seen = right();
    struct fixture fx;

    talk(&fx);
    seen.retransmit_delta_us = UINT64_MAX;
    look(&fx, &seen);
    assert_blamed(&fx, "does not run");
    open_it(&fx);
    seen = right();
    seen.snd_una = seen.snd_nxt = seen.snd_max = OURS;
    seen.cwnd = 10000;
    seen.srtt_us = seen.rttvar_us = 0;
    look(&fx, &seen);
    assert_blamed(&fx, "for nothing");
}

/* The next owner times anew and keeps the rest. */
static void
test_another_owner(void **state)
{
    struct strict_seen seen = right();
    struct fixture fx;

    talk(&fx);
    strict_moved(&fx.strict, false, fx.now_us);
    look(&fx, &seen);
    assert_right(&fx);
    wait_ms(&fx, 90);
    hear_ack(&fx, 14000, 0, 0); /* was timed by the former one */
    send(&fx, 14000, 16000);
    wait_ms(&fx, 1);
    seen.snd_una += 12000;
    seen.snd_nxt = seen.snd_max = OURS + 30000;
    seen.cwnd = 24000;
    seen.retransmit_delta_us = 299000;
    look(&fx, &seen);
    assert_right(&fx);
    seen.srtt_us = 112500;
    look(&fx, &seen);
    assert_blamed(&fx, "SRtt");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_right),     cmocka_unit_test(test_what_is_wrong),
        cmocka_unit_test(test_what_was_received), cmocka_unit_test(test_timers_that_must_not_run),
        cmocka_unit_test(test_another_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
