/* What our side answers: each rule of strict_receive.c can fire, and does not fire at what is
 * right. */
#include "strict_test.h"

/* ---- acknowledgements ---- */

static void
test_acknowledgements_in_time(void **state)
{
    struct fixture fx;

    open_it(&fx);
    hear_data(&fx, 0, 1000);
    hear_data(&fx, 1000, 1000);
    answer(&fx, 0, 0);
    wait_ms(&fx, 1);
    hear_data(&fx, 2000, 1000);
    wait_ms(&fx, 40);
    answer(&fx, 0, 0);
    wait_ms(&fx, 1);
    assert_right(&fx);
    hear_data(&fx, 3000, 1000);
    hear_data(&fx, 4000, 1000);
    wait_ms(&fx, 1);
    assert_blamed(&fx, "no acknowledgement at once");
    open_it(&fx);
    hear_data(&fx, 0, 1000);
    wait_ms(&fx, 50);
    assert_blamed(&fx, "an acknowledgement after");
    open_it(&fx);
    hear_data(&fx, 1000, 1000); /* out of order */
    wait_ms(&fx, 1);
    assert_blamed(&fx, "no acknowledgement at once");
}

static void
test_acknowledgements_without_need(void **state)
{
    struct fixture fx;

    open_it(&fx);
    hear_ack(&fx, 0, 0, 0);
    answer(&fx, 0, 0);
    assert_blamed(&fx, "that nobody needs");
    open_it(&fx);
    hear_data(&fx, 0, 1000);
    hear_data(&fx, 1000, 1000);
    answer(&fx, 0, 0);
    wait_ms(&fx, 1);
    hear_data(&fx, 2000, 1000);
    answer(&fx, 0, 0);
    assert_blamed(&fx, "one segment is acknowledged after");
}

static void
test_an_old_acknowledgement(void **state)
{
    struct fixture fx;
    struct peer_segment segment = ours(0, 0);

    open_it(&fx);
    hear_data(&fx, 0, 1000);
    hear_data(&fx, 1000, 1000);
    segment.ack = THEIRS + 1000;
    say(&fx, &segment);
    wait_ms(&fx, 1);
    assert_blamed(&fx, "no acknowledgement at once");
}

static void
test_blocks(void **state)
{
    struct fixture fx;

    open_it(&fx);
    hear_data(&fx, 2000, 1000);
    answer(&fx, 2000, 3000);
    wait_ms(&fx, 1);
    assert_right(&fx);
    hear_data(&fx, 3000, 1000);
    answer(&fx, 3000, 3500);
    wait_ms(&fx, 1);
    assert_blamed(&fx, "is a part");
    open_it(&fx);
    hear_data(&fx, 2000, 1000);
    answer(&fx, 0, 0); /* as if it had not come yet */
    wait_ms(&fx, 1);
    assert_blamed(&fx, "no acknowledgement at once");
    open_it(&fx);
    hear_data(&fx, 2000, 1000);
    hear_data(&fx, 4000, 1000);
    answer(&fx, 4000, 5000);
    wait_ms(&fx, 1);
    assert_blamed(&fx, "1 SACK blocks of 2");
    open_it(&fx);
    hear_data(&fx, 2000, 1000);
    answer(&fx, 2000, 3000);
    wait_ms(&fx, 1);
    hear_data(&fx, 4000, 1000);
    struct peer_segment wrong = ours(0, 0);
    wrong.sacks = 2;
    wrong.sack[0][0] = THEIRS + 2000, wrong.sack[0][1] = THEIRS + 3000;
    wrong.sack[1][0] = THEIRS + 4000, wrong.sack[1][1] = THEIRS + 5000;
    say(&fx, &wrong);
    wait_ms(&fx, 1);
    assert_blamed(&fx, "came last");
}

static void
test_reports_of_what_came_twice(void **state)
{
    struct fixture fx;

    open_it(&fx);
    hear_data(&fx, 0, 1000);
    hear_data(&fx, 1000, 1000);
    answer(&fx, 0, 0);
    wait_ms(&fx, 1);
    hear_data(&fx, 0, 1000);
    answer(&fx, 0, 1000);
    wait_ms(&fx, 1);
    assert_right(&fx);
    hear_data(&fx, 0, 1000);
    answer(&fx, 0, 0);
    wait_ms(&fx, 1);
    assert_blamed(&fx, "is not reported");
    open_it(&fx);
    hear_data(&fx, 0, 1000);
    hear_data(&fx, 1000, 1000);
    answer(&fx, 0, 1000);
    assert_blamed(&fx, "is said to have come twice");
}

/* ---- windows, stamps, the application ---- */

static void
test_our_window(void **state)
{
    struct fixture fx;
    struct peer_segment segment = ours(0, 0);

    open_it(&fx);
    hear_data(&fx, 0, 1000);
    hear_data(&fx, 1000, 1000);
    hear_data(&fx, 2000, 1000);
    hear_data(&fx, 3000, 1000);
    segment.ack = THEIRS + 4000;
    segment.window = 15000;
    say(&fx, &segment);
    wait_ms(&fx, 1);
    assert_blamed(&fx, "are free");
    open_it(&fx);
    segment.ack = THEIRS;
    segment.window = 30000;
    say(&fx, &segment);
    assert_blamed(&fx, "a window of");
}

static void
test_stamps(void **state)
{
    for (unsigned wrong = 0; wrong < 3; wrong++) {
        struct peer_segment in = theirs(0, 1000), out = ours(0, 0);
        struct fixture fx;
        open_it(&fx);
        fx.strict.options.timestamps = true;
        in.has_ts = out.has_ts = true;
        in.tsval = 70;
        out.tsval = 500;
        hear(&fx, &in);
        in.seq += 1000;
        in.tsval = 71; /* the oldest that is not acknowledged is echoed */
        hear(&fx, &in);
        fx.strict.taken = fx.strict.receive.next;
        out.ack = THEIRS + 2000;
        out.tsecr = wrong == 1 ? 71 : 70;
        say(&fx, &out);
        wait_ms(&fx, 100);
        in.seq += 1000;
        hear(&fx, &in);
        in.seq += 1000;
        hear(&fx, &in);
        fx.strict.taken = fx.strict.receive.next;
        out.ack = THEIRS + 4000;
        out.tsecr = 71;
        out.tsval = wrong == 2 ? 500 : 600;
        say(&fx, &out);
        wait_ms(&fx, 1);
        if (wrong)
            assert_blamed(&fx, wrong == 1 ? "an echo of" : "the clock of timestamps");
        else
            assert_right(&fx);
    }
}

static void
test_bytes_that_wait(void **state)
{
    struct fixture fx;

    open_it(&fx);
    hear_data(&fx, 0, 1000);
    hear_data(&fx, 1000, 1000);
    answer(&fx, 0, 0);
    fx.strict.taken = THEIRS + 500;
    wait_ms(&fx, 1);
    wait_ms(&fx, 5);
    wait_ms(&fx, 5);
    assert_blamed(&fx, "bytes wait for");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acknowledgements_in_time),
        cmocka_unit_test(test_acknowledgements_without_need),
        cmocka_unit_test(test_an_old_acknowledgement),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_reports_of_what_came_twice),
        cmocka_unit_test(test_our_window),
        cmocka_unit_test(test_stamps),
        cmocka_unit_test(test_bytes_that_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
