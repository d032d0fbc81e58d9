/*
 * What the target tells of its traffic, asked from above through every floor: retransmissions show
 * what the wire lost, and nothing else does.
 */
#include "stage.h"

#define SECOND_US 1000000ull
#define BYTES 1000000u

static const struct wire_mem_impair quiet = {.delay_us = 500, .bits_per_second = 200000000};
static const struct wire_mem_impair lossy = {
    .seed = 5, .loss_ppm = 20000, .delay_us = 500, .bits_per_second = 200000000, .segment_gso = 1};

static TCP_OFFLOAD_STATS
ask(const struct stage *stage, enum stage_side side, bool ipv6)
{
    TCP_OFFLOAD_STATS stats;

    assert_int_equal(host_query_oid(script_binding(stage->hosts[side]),
                                    ipv6 ? OID_TCP6_OFFLOAD_STATS : OID_TCP4_OFFLOAD_STATS, &stats,
                                    sizeof stats),
                     0);
    return stats;
}

/* The left side sends, offloaded from the first byte to the last. */
static TCP_OFFLOAD_STATS
send_over(struct stage *stage, struct pair *pair, const struct wire_mem_impair *impair, bool ipv6)
{
    struct stage_options options = {.passthru = 2, .impaired = true, .impair = {*impair, *impair}};
    struct script_options sides[2] = {{.ipv6 = ipv6}, {.ipv6 = ipv6}};
    struct script_figures figures;

    stage_open(stage, &options);
    pair_open(stage, pair, sides);
    actor_offload(&pair->actors[LEFT]);
    assert_int_equal(ask(stage, LEFT, ipv6).CurrentlyEstablished, 1);
    pair_send(pair, BYTES, 0, false);
    assert_true(stage_run(stage, pair_done, pair, 60 * SECOND_US));
    pair_check(pair);
    script_read_figures(pair->actors[LEFT].conn, &figures);
    assert_int_equal(figures.retransmits, 0); /* the host stack's own: it had nothing to do */
    return ask(stage, LEFT, ipv6);
}

static void
finish(struct stage *stage, struct pair *pair)
{
    pair_close(pair);
    stage_close(stage);
}

static void
nothing_lost_nothing_sent_again(void **state)
{
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        struct stage stage;
        struct pair pair;
        TCP_OFFLOAD_STATS stats = send_over(&stage, &pair, &quiet, ipv6);

        assert_int_equal(stats.RetransmittedSegments, 0);
        assert_true(stats.OutSegments >= BYTES / 1460);
        assert_true(stats.InSegments > 0);
        assert_int_equal(ask(&stage, LEFT, !ipv6).OutSegments, 0);
        assert_int_equal(ask(&stage, RIGHT, ipv6).InSegments, 0); /* not offloaded there */
        finish(&stage, &pair);
    }
}

static void
loss_shows(void **state)
{
    struct stage stage;
    struct pair pair;
    TCP_OFFLOAD_STATS stats = send_over(&stage, &pair, &lossy, false), later;

    assert_true(stats.RetransmittedSegments >= 5); /* about 14 of 690 are lost */
    assert_true(stats.RetransmittedSegments < stats.OutSegments / 4);
    assert_true(stats.OutSegments >= BYTES / 1460);
    /* The connection goes; what it did stays counted, once. */
    actor_upload(&pair.actors[LEFT]);
    later = ask(&stage, LEFT, false);
    assert_int_equal(later.RetransmittedSegments, stats.RetransmittedSegments);
    assert_int_equal(later.CurrentlyEstablished, 0);
    actor_offload(&pair.actors[LEFT]);
    later = ask(&stage, LEFT, false);
    assert_int_equal(later.RetransmittedSegments, stats.RetransmittedSegments);
    assert_int_equal(later.ResetEstablished, 0);
    finish(&stage, &pair);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_lost_nothing_sent_again),
        cmocka_unit_test(loss_shows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
