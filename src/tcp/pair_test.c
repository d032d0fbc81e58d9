/*
 * Two engines, end to end, over a bad network in virtual time. Everything is drawn from a seed:
 * configuration, sequence numbers (often just below 2^32), sizes, delays, loss, duplication,
 * reordering, readers that stall, hand-overs in the middle. Every byte carries its position's
 * pattern and is checked; so is every header an engine writes, against what its caller has allowed.
 * A failing seed prints its number: PAIR_SEED=n runs it alone, PAIR_SEEDS=n runs n of them.
 */
#include "tcp/test_pair.h"

#include <stdlib.h>

enum { LIMIT_S = 3000 };

/* ---- drawing ---- */

static void
draw_config(struct pair *pair, struct tcp_config *a, struct tcp_config *b)
{
    uint8_t scale_a = 0, scale_b = 0;

    tcp_config_defaults(a);
    a->timestamps = pair_chance(pair, 60);
    a->sack = pair_chance(pair, 70);
    a->ecn = pair_chance(pair, 50);
    a->window_scaling = pair_chance(pair, 80);
    a->ip_header_len = pair_chance(pair, 50) ? 20 : 40;
    a->path_mtu = pair_chance(pair, 70) ? 1500 : 200 + pair_below(pair, 9000);
    a->remote_mss = (uint16_t)(pair_chance(pair, 70) ? 1460 : 536 + pair_below(pair, 9000));
    a->max_retransmissions = 0;
    a->fin_wait_2_us = TCP_NEVER;
    a->keepalive = pair_chance(pair, 20);
    a->keepalive_idle_us = 100000 + pair_below(pair, 1000000);
    a->keepalive_probes = 255;
    *b = *a;
    if (a->window_scaling) {
        scale_a = (uint8_t)pair_below(pair, 15);
        scale_b = (uint8_t)pair_below(pair, 15);
    }
    a->rcv_wscale = b->snd_wscale = scale_a;
    b->rcv_wscale = a->snd_wscale = scale_b;
}

static void
draw_own(struct pair *pair, struct tcp_config *config)
{
    config->nagle = pair_chance(pair, 50);
    config->congestion = pair_chance(pair, 40)   ? TCP_CC_NEWRENO
                         : pair_chance(pair, 70) ? TCP_CC_CUBIC
                                                 : TCP_CC_NONE;
    config->delayed_ack_us = pair_chance(pair, 50) ? 0 : pair_below(pair, 100000);
    config->ack_frequency = (uint8_t)(1 + pair_below(pair, 4));
    config->ts_tick_us = pair_chance(pair, 20) ? 0 : 1000;
    config->ts_offset = random_u32(&pair->random);
    config->min_rto_us = pair_chance(pair, 50) ? 200000 : 5000 + pair_below(pair, 100000);
    config->max_rto_us = 2000000;
}

static uint32_t
draw_seq(struct pair *pair)
{
    return pair_chance(pair, 60) ? 0u - pair_below(pair, 300000) : random_u32(&pair->random);
}

static void
draw_end(struct pair *pair, struct end *end)
{
    uint32_t unit = 1u << end->config.rcv_wscale;
    uint32_t most = 60000 * (pair_chance(pair, 30) ? unit : 1 + pair_below(pair, 10));

    list_init(&end->lent);
    end->total = pair_chance(pair, 10) ? pair_below(pair, 3)
                                       : pair_below(pair, pair_chance(pair, 50) ? 20000 : 400000);
    end->chunk_bytes = pair_chance(pair, 15) ? 20 : 1 + pair_below(pair, 100000);
    if (end->chunk_bytes < 100 && end->total > 4000)
        end->total = 4000;
    if (most > 65535u * unit)
        most = 65535u * unit;
    end->buffer = 2000 + pair_below(pair, tcp_min(most, 4000000));
    if (end->buffer < 2 * unit)
        end->buffer = 2 * unit;
    end->read_bytes = pair_chance(pair, 50) ? 1000000 : 1 + pair_below(pair, 60000);
    end->returned = pair_chance(pair, 40);
    end->return_delay_us = 1 + pair_below(pair, pair_chance(pair, 50) ? 500 : 60000);
    end->write_us = pair_below(pair, 5000);
    end->handover_us = pair_chance(pair, 60) ? pair_below(pair, 100000) : TCP_NEVER;
    end->abort_us = TCP_NEVER;
}

static void
start_end(struct pair *pair, struct end *end, struct end *peer)
{
    uint32_t window = tcp_min(end->buffer, 65535u << end->config.rcv_wscale);
    uint32_t peer_window = tcp_min(peer->buffer, 65535u << peer->config.rcv_wscale);
    struct tcp_state state = {
        .state = TCP_ESTABLISHED,
        .rcv_nxt = peer->send_base,
        .rcv_wnd = window,
        .snd_una = end->send_base,
        .snd_nxt = end->send_base,
        .snd_max = end->send_base,
        .snd_end = end->send_base,
        .snd_wnd = peer_window,
        .max_snd_wnd = peer_window,
        .snd_wl1 = peer->send_base,
        .keepalive_delta_us = TCP_NEVER,
        .retransmit_delta_us = TCP_NEVER,
    };

    end->receive_base = peer->send_base;
    end->highest_seq = end->send_base;
    end->allowed_ack = peer->send_base;
    end->allowed_edge = end->shown_edge = peer->send_base + window;
    state.ts_recent = peer->config.ts_offset;
    CHECK(!tcp_restore(&end->conn, &end->config, &state, pair->now_us));
}

static void
start(struct pair *pair, uint64_t seed)
{
    memset(pair, 0, sizeof(*pair));
    pair->seed = seed;
    random_init(&pair->random, seed);
    list_init(&pair->wire);
    if (!pair_chance(pair, 20)) {
        pair->loss_ppm = pair_chance(pair, 50) ? pair_below(pair, 20000) : pair_below(pair, 150000);
        pair->duplicate_ppm = pair_below(pair, 50000);
        pair->reorder_ppm = pair_chance(pair, 50) ? pair_below(pair, 300000) : 0;
    }
    pair->mark_ppm = pair_below(pair, 100000);
    pair->delay_us = pair_below(pair, pair_chance(pair, 50) ? 1000 : 40000);
    pair->jitter_us = 1 + pair_below(pair, 20000);
    pair->link_mbit = pair_chance(pair, 40) ? 1 + pair_below(pair, 200) : 0;
    pair->split = pair_chance(pair, 70);
    draw_config(pair, &pair->ends[0].config, &pair->ends[1].config);
    for (int i = 0; i < 2; i++) {
        draw_own(pair, &pair->ends[i].config);
        draw_end(pair, &pair->ends[i]);
        pair->ends[i].send_base = draw_seq(pair);
    }
    for (int i = 0; i < 2; i++)
        start_end(pair, &pair->ends[i], &pair->ends[!i]);
}

static uint64_t
next_us(struct pair *pair)
{
    uint64_t first = TCP_NEVER;

    if (!list_empty(&pair->wire))
        first = list_first(&pair->wire, struct frame, link)->arrive_us;
    for (int i = 0; i < 2; i++) {
        struct end *end = &pair->ends[i];
        if (end->aborted || end->reset)
            continue;
        first = tcp_min_us(first, tcp_deadline_us(&end->conn));
        first = tcp_min_us(first, end->write_us);
        first = tcp_min_us(first, end->handover_us);
        first = tcp_min_us(first, end->abort_us);
        if (!end->returned && end->consumed != end->received)
            first = tcp_min_us(first,
                               end->read_us > pair->now_us ? end->read_us : pair->now_us + 1);
        if (!list_empty(&end->lent))
            first = tcp_min_us(first, list_first(&end->lent, struct frame, link)->return_us);
        else if (end->fin_received && !end->fin_acknowledged)
            first = tcp_min_us(first, end->fin_return_us);
    }
    return first;
}

static void
turn_end(struct pair *pair, int which)
{
    struct end *end = &pair->ends[which];

    if (end->aborted || end->reset)
        return;
    if (pair->now_us >= end->write_us)
        pair_write_some(pair, end);
    if (!end->returned && pair->now_us >= end->read_us)
        pair_read_some(pair, end);
    pair_give_back(pair, end);
    pair_finish_receiving(pair, end);
    if (pair->now_us >= tcp_deadline_us(&end->conn))
        pair_on_events(pair, which, tcp_on_timer(&end->conn, pair->now_us));
    if (pair->now_us >= end->handover_us) {
        pair_hand_over(pair, which);
        end->handover_us = pair->now_us + 1 +
                           pair_below(pair, pair_chance(pair, 50) ? 5000 : 400000);
        if (end->handovers > 50)
            end->handover_us = TCP_NEVER;
    }
    if (pair->now_us >= end->abort_us) {
        tcp_abort(&end->conn);
        end->aborted = true;
    }
    pair_flush(pair, which);
}

static bool
complete(const struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        const struct end *end = &pair->ends[i];
        if (!end->fin_acked || !end->fin_acknowledged)
            return false;
    }
    return true;
}

static void
stop(struct pair *pair)
{
    list_for_each_safe(frame, &pair->wire, struct frame, link) {
        list_del(&frame->link);
        pair_free_frame(frame);
    }
    for (int i = 0; i < 2; i++) {
        struct end *end = &pair->ends[i];
        pair_free_chunks(tcp_close(&end->conn));
        pair_add_counters(&end->total_counters, &end->conn.counters);
        list_for_each_safe(frame, &end->lent, struct frame, link) {
            list_del(&frame->link);
            pair_free_frame(frame);
        }
    }
}

/* One event time: what arrives, then both ends. */
static void
turn(struct pair *pair)
{
    uint64_t when_us = next_us(pair);

    CHECK(when_us != TCP_NEVER);
    if (when_us > pair->now_us)
        pair->now_us = when_us;
    CHECK(pair->now_us < LIMIT_S * 1000000ull);
    while (!list_empty(&pair->wire)) {
        struct frame *frame = list_first(&pair->wire, struct frame, link);
        if (frame->arrive_us > pair->now_us)
            break;
        pair_deliver(pair, frame);
    }
    turn_end(pair, 0);
    turn_end(pair, 1);
}

struct totals {
    uint64_t bytes, retransmitted, timeouts, recoveries, probes, handovers, virtual_us;
};

static void
run_stream(struct pair *pair, uint64_t seed, struct totals *totals)
{
    start(pair, seed);
    while (!complete(pair))
        turn(pair);
    stop(pair);
    for (int i = 0; i < 2; i++) {
        struct end *end = &pair->ends[i];
        const struct tcp_counters *counters = &end->total_counters;

        CHECK(end->received == pair->ends[!i].total);
        totals->bytes += end->received;
        totals->retransmitted += counters->retransmitted_bytes;
        totals->timeouts += counters->timeouts;
        totals->recoveries += counters->fast_recoveries;
        totals->probes += counters->tail_probes;
        totals->handovers += end->handovers;
    }
    totals->virtual_us += pair->now_us;
}

static unsigned
seed_count(unsigned fallback)
{
    const char *text = getenv("PAIR_SEEDS");

    return text ? (unsigned)strtoul(text, NULL, 0) : fallback;
}

static void
test_streams(void **state)
{
    static struct pair pair;
    struct totals totals = {0};
    const char *one = getenv("PAIR_SEED");

    if (one) {
        run_stream(&pair, strtoull(one, NULL, 0), &totals);
        return;
    }
    for (unsigned seed = 1; seed <= seed_count(2000); seed++)
        run_stream(&pair, seed, &totals);
    print_message("# %llu bytes, %llu resent, %llu timeouts, %llu recoveries, %llu probes, %llu "
                  "moves, %llu s\n",
                  (unsigned long long)totals.bytes, (unsigned long long)totals.retransmitted,
                  (unsigned long long)totals.timeouts, (unsigned long long)totals.recoveries,
                  (unsigned long long)totals.probes, (unsigned long long)totals.handovers,
                  (unsigned long long)totals.virtual_us / 1000000);
    assert_true(totals.handovers > 0);
}

/* One end aborts at a random moment: the other learns it, whatever gets lost. */
static void
test_resets(void **state)
{
    static struct pair static_pair;
    struct pair *pair = &static_pair;

    for (unsigned seed = 1; seed <= seed_count(2000) / 4; seed++) {
        start(pair, 1000000 + seed);
        struct end *victim = &pair->ends[0], *other = &pair->ends[1];
        victim->abort_us = 1 + pair_below(pair, 300000);
        if (!other->total)
            other->total = 1;
        victim->total = other->total = 50000000; /* never done */
        victim->handover_us = TCP_NEVER;
        while (!other->reset)
            turn(pair);
        CHECK(other->conn.state == TCP_CLOSED);
        CHECK(!tcp_next(&other->conn, pair->now_us, TCP_MAX_BURST, &(struct tcp_out){0}));
        stop(pair);
    }
}

/* A plain long stream: what loss may cost. */
static void
start_plain(struct pair *pair, uint64_t seed, bool sack, uint32_t loss_ppm)
{
    start(pair, seed);
    pair->loss_ppm = loss_ppm;
    pair->duplicate_ppm = pair->reorder_ppm = pair->mark_ppm = 0;
    pair->delay_us = 2500;
    pair->link_mbit = 200;
    pair->split = pair->steady = true;
    for (int i = 0; i < 2; i++) {
        struct end *end = &pair->ends[i];
        tcp_config_defaults(&end->config);
        end->config.remote_mss = 1460;
        end->config.sack = sack;
        end->config.timestamps = end->config.window_scaling = true;
        end->config.rcv_wscale = end->config.snd_wscale = 7;
        end->config.delayed_ack_us = 0;
        end->total = i ? 0 : 8000000;
        end->buffer = 1000000;
        end->chunk_bytes = 1000000;
        end->returned = false;
        end->read_bytes = 100000000;
        end->handover_us = TCP_NEVER;
    }
    for (int i = 0; i < 2; i++)
        start_end(pair, &pair->ends[i], &pair->ends[!i]);
}

static void
test_clean_wire_costs_nothing(void **state)
{
    static struct pair static_pair;
    struct pair *pair = &static_pair;

    start_plain(pair, 7, true, 0);
    while (!complete(pair))
        turn(pair);
    stop(pair);
    struct tcp_counters *counters = &pair->ends[0].total_counters;
    CHECK(counters->retransmitted_segments == 0 && counters->timeouts == 0);
    CHECK(counters->bytes_out == 8000000);
    CHECK(counters->segments_out >= 8000000 / 1448);
    CHECK(pair->now_us < 8000000 * 8 / 200 * 12 / 10); /* near the speed of the link */
}

struct cost {
    uint64_t timeouts, resent, spent_us;
};

static struct cost
cost_of_loss(bool sack, enum tcp_congestion congestion)
{
    static struct pair static_pair;
    struct pair *pair = &static_pair;
    struct cost cost = {0};

    for (unsigned seed = 0; seed < 20; seed++) {
        start_plain(pair, seed, sack, 10000);
        pair->ends[0].conn.config.congestion = congestion;
        while (!complete(pair))
            turn(pair);
        stop(pair);
        cost.timeouts += pair->ends[0].total_counters.timeouts;
        cost.resent += pair->ends[0].total_counters.retransmitted_segments;
        cost.spent_us += pair->now_us;
    }
    print_message("# %s, sack %d: %llu timeouts, %llu segments resent, %llu ms, %llu kbit/s\n",
                  tcp_congestion_name(congestion), sack, (unsigned long long)cost.timeouts,
                  (unsigned long long)cost.resent, (unsigned long long)cost.spent_us / 1000,
                  20ull * 8000000 * 8000 / cost.spent_us);
    return cost;
}

static void
test_loss_without_timeouts(void **state)
{
    static const enum tcp_congestion both[] = {TCP_CC_NEWRENO, TCP_CC_CUBIC};
    uint64_t spent_us[2];

    for (int i = 0; i < 2; i++) {
        struct cost with = cost_of_loss(true, both[i]), without = cost_of_loss(false, both[i]);
        assert_true(with.timeouts <= 2 && without.timeouts <= 20);
        assert_true(with.resent < 1400 && without.resent < 1900); /* of some 1100 lost */
        spent_us[i] = with.spent_us;
    }
    assert_true(spent_us[1] < spent_us[0]); /* that is what CUBIC is for */
}

/* What overtakes is not lost: D-SACKs tell, and the windows come back. */
static void
test_reordering_is_forgiven(void **state)
{
    static struct pair static_pair;
    struct pair *pair = &static_pair;

    for (unsigned seed = 0; seed < 10; seed++) {
        start_plain(pair, seed, true, 0);
        pair->reorder_ppm = 20000;
        pair->jitter_us = 1000;
        while (!complete(pair))
            turn(pair);
        stop(pair);
        CHECK(pair->ends[0].total_counters.timeouts == 0);
        CHECK(pair->now_us < 8000000 * 8 / 200 * 2);
    }
}

/* A network that marks instead of losing: the sender slows down, and nothing goes twice. */
static void
test_marks_instead_of_losses(void **state)
{
    static struct pair static_pair;
    struct pair *pair = &static_pair;
    uint64_t spent_us[2] = {0};

    for (int ecn = 0; ecn < 2; ecn++) {
        for (unsigned seed = 0; seed < 5; seed++) {
            start_plain(pair, seed, true, 0);
            pair->mark_ppm = 10000;
            pair->ends[0].conn.config.ecn = pair->ends[0].config.ecn = ecn;
            pair->ends[1].conn.config.ecn = pair->ends[1].config.ecn = ecn;
            while (!complete(pair))
                turn(pair);
            stop(pair);
            CHECK(pair->ends[0].total_counters.retransmitted_segments == 0);
            CHECK(ecn ? pair->marked > 20 : !pair->marked);
            spent_us[ecn] += pair->now_us;
        }
    }
    print_message("# with marks %llu ms, without %llu ms\n", (unsigned long long)spent_us[1] / 1000,
                  (unsigned long long)spent_us[0] / 1000);
    assert_true(spent_us[1] > 2 * spent_us[0]); /* it hears */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_clean_wire_costs_nothing),
        cmocka_unit_test(test_loss_without_timeouts),
        cmocka_unit_test(test_reordering_is_forgiven),
        cmocka_unit_test(test_marks_instead_of_losses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
