/* What our side may send: each rule of strict_send.c can fire, and does not fire at what is right.
 */
#include "strict_test.h"

/* Ten segments are out, the eleventh is written; 100 ms later the acknowledgements would come. */
static void
fill_window(struct fixture *fx)
{
    write_bytes(fx, 30000);
    send(fx, 0, 10000);
    wait_ms(fx, 100);
    assert_right(fx);
}

/* ---- the windows ---- */

static void
test_slow_start(void **state)
{
    struct fixture fx;

    open_it(&fx);
    fill_window(&fx);
    hear_ack(&fx, 2000, 0, 0);
    send(&fx, 10000, 4000);
    wait_ms(&fx, 1);
    assert_right(&fx);
    hear_ack(&fx, 4000, 0, 0);
    send(&fx, 14000, 8000); /* four would be right */
    assert_blamed(&fx, "bytes in flight");
}

static void
test_a_window_that_is_not_used(void **state)
{
    struct fixture fx;

    open_it(&fx);
    fill_window(&fx);
    hear_ack(&fx, 4000, 0, 0);
    send(&fx, 10000, 4000); /* eight would be right */
    wait_ms(&fx, 1);
    assert_blamed(&fx, "bytes wait, the windows have room");
}

/* It had grown to 20000 bytes; the timeout lies between 200 and 500 ms. */
static void
test_a_window_after_an_idle_time(void **state)
{
    struct fixture fx;

    for (unsigned bytes = 5000; bytes <= 15000; bytes += 5000) {
        open_it(&fx);
        write_bytes(&fx, 10000);
        send(&fx, 0, 10000);
        wait_ms(&fx, 100);
        hear_ack(&fx, 10000, 0, 0);
        wait_ms(&fx, 1900);
        write_bytes(&fx, 30000);
        send(&fx, 10000, bytes);
        wait_ms(&fx, 1);
        if (bytes == 5000)
            assert_blamed(&fx, "bytes wait, the windows have room");
        else if (bytes == 10000)
            assert_right(&fx);
        else
            assert_blamed(&fx, "bytes in flight");
    }
}

static void
test_a_last_byte_that_stays(void **state)
{
    struct fixture fx;

    open_it(&fx);
    write_bytes(&fx, 10);
    wait_ms(&fx, 1);
    assert_blamed(&fx, "nothing is outstanding");
}

static void
test_curve(void **state)
{
    struct strict_window window;
    uint64_t now_us = 1000000;

    strict_window_init(&window, MSS);
    strict_window_reduce(&window, 100000, MSS);
    assert_true(window.ssthresh_most < 10000); /* never more than the window was */
    window = (struct strict_window){.most = 100000, .least = 100000};
    strict_window_reduce(&window, 100000, MSS);
    strict_window_recovered(&window);
    assert_in_range((unsigned)window.most, 69999, 70002);
    /* K is the cube root of 30 / 0.4: 4.2 s later the window is where it was */
    for (unsigned i = 0; i < 42; i++, now_us += 100000)
        strict_window_grow(&window, window.most, false, MSS, true, now_us, 100000, 100000);
    assert_in_range((unsigned)window.most, 98000, 101500);
    assert_in_range((unsigned)window.least, 93000, 100000);
    strict_window_timeout(&window, MSS);
    assert_int_equal(window.most, MSS);
    strict_window_grow(&window, 20000, true, MSS, true, now_us, 100000, 100000);
    assert_int_equal(window.most, 2 * MSS);
    strict_window_grow(&window, 2000, false, MSS, true, now_us, 100000, 100000);
    assert_int_equal(window.most, 4 * MSS);
}

/* ---- what goes again ---- */

static void
test_again_for_nothing(void **state)
{
    struct fixture fx;

    open_with(&fx, true, true);
    fill_window(&fx);
    hear_ack(&fx, 1000, 0, 0);
    send(&fx, 10000, 2000);
    wait_ms(&fx, 1);
    send(&fx, 1000, 1000);
    assert_blamed(&fx, "nothing was lost");
    open_it(&fx);
    fill_window(&fx);
    hear_ack(&fx, 1000, 0, 0);
    send(&fx, 10000, 2000);
    wait_ms(&fx, 1);
    send(&fx, 1000, 1000);
    assert_blamed(&fx, "without a reason");
}

static void
test_again_what_has_arrived(void **state)
{
    struct fixture fx;

    open_it(&fx);
    fill_window(&fx);
    hear_ack(&fx, 0, 1000, 5000);
    send(&fx, 0, 1000);
    send(&fx, 10000, 3000);
    wait_ms(&fx, 1);
    assert_right(&fx);
    send(&fx, 2000, 1000);
    assert_blamed(&fx, "it has arrived");
}

static void
test_a_hole_that_stays(void **state)
{
    struct fixture fx;

    open_it(&fx);
    fill_window(&fx);
    hear_ack(&fx, 0, 1000, 6000);
    send(&fx, 10000, 5000);
    wait_ms(&fx, 1);
    assert_blamed(&fx, "does not go again");
    open_with(&fx, false, false);
    fill_window(&fx);
    for (unsigned i = 0; i < 4; i++)
        hear_ack(&fx, 0, 0, 0);
    wait_ms(&fx, 1);
    assert_blamed(&fx, "4 duplicates");
}

/* RFC 6582, 3.2, step 3 */
static void
test_a_hole_behind_a_partial_acknowledgement(void **state)
{
    struct fixture fx;

    for (int again = 1; again >= 0; again--) {
        open_with(&fx, false, false);
        write_bytes(&fx, 10000);
        send(&fx, 0, 10000);
        wait_ms(&fx, 100);
        for (unsigned i = 0; i < 3; i++)
            hear_ack(&fx, 0, 0, 0);
        send(&fx, 0, 1000);
        wait_ms(&fx, 100);
        hear_ack(&fx, 2000, 0, 0);
        if (again)
            send(&fx, 2000, 1000);
        wait_ms(&fx, 1);
        if (again)
            assert_right(&fx);
        else
            assert_blamed(&fx, "a partial acknowledgement");
    }
}

static void
test_a_recovery_in_bounds(void **state)
{
    struct fixture fx;

    open_it(&fx);
    fill_window(&fx);
    hear_ack(&fx, 0, 1000, 5000);
    send(&fx, 0, 1000);
    send(&fx, 10000, 12000);
    send(&fx, 22000, 1000);
    assert_blamed(&fx, "in a recovery");
    open_it(&fx);
    fill_window(&fx);
    hear_ack(&fx, 0, 1000, 5000);
    send(&fx, 0, 1000);
    wait_ms(&fx, 1);
    for (uint32_t i = 6; i <= 10; i++) {
        hear_ack(&fx, 0, 1000, i * 1000);
        wait_ms(&fx, 1);
    }
    hear_ack(&fx, 1000, 0, 0);
    assert_right(&fx);
}

static void
test_timeouts(void **state)
{
    struct fixture fx;

    open_it(&fx);
    write_bytes(&fx, 500);
    send(&fx, 0, 500);
    wait_ms(&fx, 400);
    send(&fx, 0, 500); /* a tail probe */
    wait_ms(&fx, 1000);
    send(&fx, 0, 500);
    wait_ms(&fx, 2000);
    send(&fx, 0, 500);
    assert_right(&fx);
    wait_ms(&fx, 2500); /* four seconds would be right */
    send(&fx, 0, 500);
    assert_blamed(&fx, "timeout 2 after");
    open_it(&fx);
    write_bytes(&fx, 500);
    send(&fx, 0, 500);
    wait_ms(&fx, 1100);
    assert_blamed(&fx, "is not acknowledged");
}

/* ---- small segments, the end ---- */

static void
test_small_segments(void **state)
{
    struct fixture fx;

    open_it(&fx);
    write_bytes(&fx, 100);
    send(&fx, 0, 100);
    wait_ms(&fx, 1);
    write_bytes(&fx, 100);
    send(&fx, 100, 100);
    assert_blamed(&fx, "something is outstanding");
    open_it(&fx);
    write_bytes(&fx, 5000);
    fx.strict.send.known = fx.strict.written;
    send(&fx, 0, 300);
    assert_blamed(&fx, "there is more");
}

static void
test_push_and_fin(void **state)
{
    struct fixture fx;
    struct peer_segment segment = ours(0, 100);

    open_it(&fx);
    write_bytes(&fx, 100);
    say(&fx, &segment);
    assert_blamed(&fx, "is not pushed");
    open_it(&fx);
    segment.flags |= PEER_FIN | PEER_PSH;
    write_bytes(&fx, 100);
    say(&fx, &segment);
    assert_blamed(&fx, "a FIN at");
    open_it(&fx);
    fx.strict.closing = true;
    fx.strict.send.edge = OURS + 100;
    write_bytes(&fx, 100);
    say(&fx, &segment);
    assert_blamed(&fx, "the window ends at");
    open_it(&fx);
    fx.strict.closing = true;
    wait_ms(&fx, 1);
    assert_blamed(&fx, "does not go");
    open_it(&fx);
    segment.flags = PEER_ACK | PEER_PSH;
    segment.ttl = 63;
    write_bytes(&fx, 100);
    say(&fx, &segment);
    assert_blamed(&fx, "TTL 63");
}

static void
test_an_application_that_is_not_told(void **state)
{
    struct fixture fx;

    open_it(&fx);
    write_bytes(&fx, 100);
    send(&fx, 0, 100);
    wait_ms(&fx, 100);
    hear_ack(&fx, 100, 0, 0);
    fx.strict.released = OURS;
    wait_ms(&fx, 1);
    assert_blamed(&fx, "the application knows of");
}

/* ---- a closed window ---- */

static void
test_window_probes(void **state)
{
    static const unsigned right_ms[] = {300, 400, 800}, early_ms[] = {300, 400, 300};
    struct fixture fx;

    for (unsigned wrong = 0; wrong < 2; wrong++) {
        struct peer_segment zero = theirs(0, 0), probe = ours(99, 0);
        open_it(&fx);
        write_bytes(&fx, 200);
        send(&fx, 0, 200);
        wait_ms(&fx, 100);
        zero.ack = OURS + 100;
        zero.window = 0;
        hear(&fx, &zero);
        for (unsigned i = 0; i < 3; i++) {
            wait_ms(&fx, wrong ? early_ms[i] : right_ms[i]);
            say(&fx, &probe);
        }
        if (wrong)
            assert_blamed(&fx, "a probe after");
        else
            assert_right(&fx);
    }
    open_it(&fx);
    say(&fx, &(struct peer_segment){.seq = OURS - 1,
                                    .ack = THEIRS,
                                    .window = 20000,
                                    .flags = PEER_ACK,
                                    .ttl = 64,
                                    .df = true});
    assert_blamed(&fx, "the window is open");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_start),
        cmocka_unit_test(test_a_window_that_is_not_used),
        cmocka_unit_test(test_a_window_after_an_idle_time),
        cmocka_unit_test(test_a_last_byte_that_stays),
        cmocka_unit_test(test_curve),
        cmocka_unit_test(test_again_for_nothing),
        cmocka_unit_test(test_again_what_has_arrived),
        cmocka_unit_test(test_a_hole_that_stays),
        cmocka_unit_test(test_a_hole_behind_a_partial_acknowledgement),
        cmocka_unit_test(test_a_recovery_in_bounds),
        cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_small_segments),
        cmocka_unit_test(test_push_and_fin),
        cmocka_unit_test(test_an_application_that_is_not_told),
        cmocka_unit_test(test_window_probes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
