/*
 * Moves with state beyond the documented, over a wire that loses: what the peer said it holds out
 * of order is not sent again, what arrived out of order is not asked for again, congestion
 * notification goes on, and where the two sides do not agree everything is as without. Every figure
 * has its control: the same run without the extension.
 */
#include "stage.h"

#include "base/bytes.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define SECOND_US 1000000ull
#define BYTES 3000000u

static struct wire_mem_impair lossy = {.seed = 5,
                                       .loss_ppm = 20000,
                                       .delay_us = 5000,
                                       .bits_per_second = 50000000,
                                       .queue_bytes = 400000,
                                       .segment_gso = 1};

/* What the left is told that the right holds, and what it sends all the same. Data begins at the
 * first byte of the first segment seen. */
struct watch {
    bool begun;
    uint32_t start;
    uint8_t held[BYTES];
    uint64_t needless;              /* bytes sent although the right had said it had them */
    uint64_t data, capable, resent; /* segments with data, those that are ECN-capable */
    uint32_t next;                  /* behind what was sent so far */
};

struct run {
    struct stage stage;
    struct pair pair;
    struct script_figures figures[2];
    struct watch watch;
};

static struct run with, without;

static void
note_held(struct watch *watch, const struct tcp_segment *segment)
{
    for (unsigned i = 0; i < segment->sack_count; i++)
        for (uint32_t seq = segment->sack[i].start; seq_before(seq, segment->sack[i].end); seq++)
            if (seq - watch->start < BYTES)
                watch->held[seq - watch->start] = 1;
}

static void
note_sent(struct watch *watch, const struct tcp_segment *segment, uint8_t tos)
{
    if (!watch->begun)
        watch->start = watch->next = segment->seq;
    watch->begun = true;
    watch->data++;
    watch->capable += (tos & 3) == TCP_ECT0;
    watch->resent += seq_before(segment->seq, watch->next);
    watch->next = seq_max(watch->next, segment->seq + segment->payload_len);
    for (uint32_t i = 0; i < segment->payload_len; i++)
        if (segment->seq + i - watch->start < BYTES)
            watch->needless += watch->held[segment->seq + i - watch->start];
}

/* Every frame at the left end of the wire. */
static void
look(void *arg, enum stage_side side, bool out, const struct wire_tx *frame)
{
    struct watch *watch = arg;
    struct tcp_segment segment;
    uint8_t bytes[14 + 20 + 60];
    size_t len = frame->header_len < sizeof bytes ? frame->header_len : sizeof bytes;
    size_t total = frame->header_len;

    if (side != LEFT)
        return;
    if (len)
        memcpy(bytes, frame->header, len);
    for (size_t i = 0; i < frame->piece_count; i++) {
        size_t room = sizeof bytes - len, step = frame->pieces[i].iov_len;
        total += step;
        step = step < room ? step : room;
        memcpy(bytes + len, frame->pieces[i].iov_base, step);
        len += step;
    }
    if (tcp_parse(bytes + 34, len - 34, &segment))
        return;
    segment.payload_len = (uint32_t)total - 34 - segment.header_len;
    if (!out)
        note_held(watch, &segment);
    else if (segment.payload_len)
        note_sent(watch, &segment, bytes[15]);
}

static void
open_run(struct run *run, const struct house_option *target, bool extended, bool ecn)
{
    struct stage_options options = {
        .passthru = 1, .impaired = true, .impair = {lossy, lossy}, .target = target};
    const struct script_options sides[2] = {{.receive_buffer = 500000,
                                             .send_buffer = 600000,
                                             .peer_window = 500000,
                                             .snd_wscale = 4,
                                             .rcv_wscale = 4,
                                             .extended = extended,
                                             .ecn = ecn},
                                            {.receive_buffer = 500000,
                                             .send_buffer = 600000,
                                             .peer_window = 500000,
                                             .snd_wscale = 4,
                                             .rcv_wscale = 4,
                                             .ecn = ecn}};

    memset(run, 0, sizeof *run);
    stage_open(&run->stage, &options);
    pair_open(&run->stage, &run->pair, sides);
    run->stage.witness = look;
    run->stage.witness_arg = &run->watch;
}

static void
close_run(struct run *run)
{
    for (unsigned i = 0; i < 2; i++)
        script_read_figures(run->pair.actors[i].conn, &run->figures[i]);
    pair_check(&run->pair);
    pair_close(&run->pair);
    stage_close(&run->stage);
}

/* The left moves every few milliseconds while it sends, or while it receives. */
static void
transfer(struct run *run, const struct house_option *target, bool extended, bool sends)
{
    open_run(run, target, extended, false);
    actor_start_moving(&run->pair.actors[LEFT], 9, 80, 8000, 25000);
    pair_send(&run->pair, sends ? BYTES : 1000, sends ? 1000 : BYTES, false);
    assert_true(stage_run(&run->stage, pair_done, &run->pair, 300 * SECOND_US));
    close_run(run);
}

static void
sacked_data_is_not_sent_again(void **state)
{
    uint64_t control = 0;

    for (unsigned seed = 1; seed <= 6; seed++) {
        lossy.seed = seed;
        transfer(&with, NULL, true, true);
        transfer(&without, NULL, false, true);
        assert_true(with.figures[LEFT].extended_down >= 20);
        assert_true(with.figures[LEFT].extended_up >= 20);
        assert_int_equal(without.figures[LEFT].extended_down, 0);
        assert_int_equal(with.watch.needless, 0);
        control += without.watch.needless;
    }
    print_message("# %llu bytes sent without the extension that the peer had said it held\n",
                  (unsigned long long)control);
    assert_true(control > 0);
}

/* The right sends and stays: what it sends again is what did not survive a move of the left. */
static void
disorder_survives(void **state)
{
    transfer(&with, NULL, true, false);
    transfer(&without, NULL, false, false);
    print_message("# %llu segments sent again with the extension, %llu without; %u went along\n",
                  (unsigned long long)with.figures[RIGHT].retransmits,
                  (unsigned long long)without.figures[RIGHT].retransmits,
                  with.figures[LEFT].disorder_down);
    assert_true(with.figures[LEFT].disorder_down > 20);
    assert_int_equal(without.figures[LEFT].disorder_down, 0);
    assert_true(with.figures[RIGHT].retransmits < without.figures[RIGHT].retransmits);
}

/* The target says another version, or none: moves all the same, with the documented state. */
static void
versions_differ(void **state)
{
    static const char *const versions[] = {"0", "2"};

    for (unsigned i = 0; i < 2; i++) {
        const struct house_option target[] = {{"StateExtension", versions[i]}, {NULL, NULL}};
        transfer(&with, target, true, true);
        assert_true(with.figures[LEFT].moves_up >= 20);
        assert_int_equal(with.figures[LEFT].extended_down, 0);
        assert_int_equal(with.figures[LEFT].extended_up, 0);
    }
}

/* ---- ECN ---- */

static void
notification_goes_on(void **state)
{
    const struct watch *watch = &with.watch;

    open_run(&with, NULL, true, true);
    actor_start_moving(&with.pair.actors[LEFT], 9, 20, 8000, 25000);
    pair_send(&with.pair, 1000000, 1000000, false);
    assert_true(stage_run(&with.stage, pair_done, &with.pair, 300 * SECOND_US));
    close_run(&with);
    print_message("# %llu data segments, %llu capable\n", (unsigned long long)watch->data,
                  (unsigned long long)watch->capable);
    assert_true(with.figures[LEFT].target_out > 100000);
    assert_true(with.figures[LEFT].host_out > 100000);
    assert_true(watch->resent > 0);
    assert_true(watch->capable <= watch->data - watch->resent); /* what is sent again is not */
    assert_true(watch->capable > watch->data * 8 / 10);
}

/* A target that cannot carry it on does not get the connection. */
static void
notification_stays(void **state)
{
    static const struct house_option target[] = {{"StateExtension", "0"}, {NULL, NULL}};

    open_run(&with, target, true, true);
    assert_int_equal(script_offload(with.pair.actors[LEFT].conn), -EOPNOTSUPP);
    pair_send(&with.pair, 10000, 10000, false);
    assert_true(stage_run(&with.stage, pair_done, &with.pair, 300 * SECOND_US));
    close_run(&with);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sacked_data_is_not_sent_again),
        cmocka_unit_test(disorder_survives),
        cmocka_unit_test(versions_differ),
        cmocka_unit_test(notification_goes_on),
        cmocka_unit_test(notification_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
