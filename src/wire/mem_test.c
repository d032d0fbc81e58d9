/*
 * The mem wire on both loops (this file is compiled twice): nothing is lost without impairment,
 * everything is decided by the seed with it, time is kept, and no buffer is left behind (the
 * sanitizer counts).
 */
#include "base/hash.h"
#include "base/random.h"
#include "sys/loop.h"
#include "wire/frames_testing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static struct sys_loop *loop;
static struct wire *ends[2];
static struct sys_timer guard; /* keeps a real loop from waiting for ever */

struct sink {
    unsigned frames, next, out_of_order;
    uint64_t bytes, digest, first_us, last_us;
    struct wire_buf *kept;
    struct wire *close, *answer;
    struct wire_meta meta;
    unsigned unsound;
};

static void
on_frame(void *arg, struct wire_buf *buf)
{
    struct sink *sink = arg;
    uint32_t number = test_is_numbered(buf) ? bytes_load_be32(buf->data + 14) : 0;

    sink->last_us = sys_loop_now_us(loop);
    if (sink->frames++ == 0)
        sink->first_us = sink->last_us;
    sink->bytes += buf->len;
    sink->digest = hash_bytes(buf->data, buf->len, sink->digest);
    sink->meta = buf->meta;
    if (number < sink->next)
        sink->out_of_order++;
    else
        sink->next = number + 1;
    if (!test_is_numbered(buf) && !test_tcp_is_sound(buf->data, buf->len, false))
        sink->unsound++;
    if (sink->kept == NULL)
        sink->kept = wire_buf_get(buf);
    if (sink->answer != NULL)
        test_send_numbered(sink->answer, 64, number);
    wire_close(sink->close);
    sink->close = NULL;
}

static const struct wire_receiver receiver = {.on_frame = on_frame};

static void
on_guard(void *arg)
{
    sys_loop_stop(loop);
}

static int
set_up(void **state)
{
    loop = sys_loop_create();
    return loop == NULL || sys_timer_init(&guard, loop, on_guard, NULL) != 0;
}

static int
tear_down(void **state)
{
    sys_timer_fini(&guard);
    sys_loop_destroy(loop);
    return 0;
}

static void
open_pair(const struct wire_mem_impair *impair, struct sink *sink)
{
    *sink = (struct sink){.frames = 0};
    assert_int_equal(wire_mem_create(loop, 1500, impair, ends), 0);
    wire_set_receiver(ends[1], &receiver, sink);
}

static void
close_pair(struct sink *sink)
{
    wire_close(ends[0]);
    wire_close(ends[1]);
    if (sink->kept != NULL)
        wire_buf_put(sink->kept);
}

/* Time enough for everything in flight. */
static void
run_us(uint64_t us)
{
    sys_timer_set(&guard, sys_loop_now_us(loop) + us);
    sys_loop_run(loop);
}

static void
frames_arrive_next_turn_in_order(void **state)
{
    struct sink sink;
    struct wire_stats stats;

    open_pair(NULL, &sink);
    assert_memory_equal(wire_mac(ends[0]), "\2\0\0\0\0\1", 6);
    assert_memory_equal(wire_mac(ends[1]), "\2\0\0\0\0\2", 6);
    assert_int_equal(wire_mtu(ends[0]), 1500);
    assert_int_equal(wire_ifindex(ends[0]), 0);
    assert_true(wire_link_up(ends[0]));
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(test_send_numbered(ends[0], 100 + i, i), 0);
    assert_int_equal(sink.frames, 0); /* never on the sender's stack */
    sys_loop_turn(loop, false);
    assert_int_equal(sink.frames, 1000);
    assert_int_equal(sink.out_of_order, 0);
    wire_read_stats(ends[0], &stats);
    assert_int_equal(stats.tx_frames, 1000);
    assert_int_equal(stats.tx_bytes, sink.bytes);
    wire_read_stats(ends[1], &stats);
    assert_int_equal(stats.rx_frames, 1000);
    assert_int_equal(stats.rx_bytes, sink.bytes);
    close_pair(&sink);
}

static void
superframe_passes_whole(void **state)
{
    static uint8_t payload[60000];
    struct sink sink;

    open_pair(NULL, &sink);
    memset(payload, 'p', sizeof(payload));
    assert_int_equal(test_send_tcp(ends[0], false, payload, sizeof(payload), 1448), 0);
    memset(payload, 'q', sizeof(payload)); /* it was borrowed only until the flush */
    run_us(1000);
    assert_int_equal(sink.frames, 1);
    assert_int_equal(sink.kept->len, 66 + sizeof(payload));
    assert_int_equal(sink.kept->data[66], 'p');
    assert_int_equal(sink.kept->data[66 + 59999], 'p');
    assert_int_equal(sink.meta.gso_size, 1448);
    assert_int_equal(sink.meta.gso_type, WIRE_GSO_TCPV4);
    assert_true(sink.meta.csum_partial && sink.meta.csum_valid);
    close_pair(&sink);
}

static void
network_carries_sound_segments(void **state)
{
    static const struct wire_mem_impair impair[2] = {{.segment_gso = 1}};
    static uint8_t payload[30000];
    struct sink sink;

    open_pair(impair, &sink);
    assert_int_equal(test_send_tcp(ends[0], false, payload, sizeof(payload), 1448), 0);
    assert_int_equal(test_send_tcp(ends[0], false, payload, 100, 0), 0);
    run_us(1000);
    assert_int_equal(sink.frames, 22);
    assert_int_equal(sink.unsound, 0);
    assert_int_equal(sink.meta.gso_type, WIRE_GSO_NONE);
    assert_false(sink.meta.csum_partial || sink.meta.csum_valid);
    close_pair(&sink);
}

static uint64_t
digest_of(uint64_t seed, uint32_t loss, uint32_t twice, uint32_t late, struct sink *sink)
{
    struct wire_mem_impair impair[2] = {{seed, loss, twice, late, 300, 50}};

    open_pair(impair, sink);
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(test_send_numbered(ends[0], 200, i), 0);
    run_us(100000);
    close_pair(sink);
    return sink->digest;
}

static void
seed_decides_everything(void **state)
{
    struct sink sink;
    uint64_t first = digest_of(1, 50000, 30000, 0, &sink);

    assert_in_range(sink.frames, 4700, 5100);
    assert_true(digest_of(1, 50000, 30000, 0, &sink) == first);
    assert_true(digest_of(2, 50000, 30000, 0, &sink) != first);
}

static void
each_impairment_does_its_own(void **state)
{
    struct sink sink;

    digest_of(7, 0, 0, 0, &sink);
    assert_int_equal(sink.frames, 5000);
    assert_int_equal(sink.out_of_order, 0);
    digest_of(7, 100000, 0, 0, &sink);
    assert_in_range(sink.frames, 4350, 4650);
    assert_int_equal(sink.out_of_order, 0);
    digest_of(7, 0, 100000, 0, &sink);
    assert_in_range(sink.frames, 5350, 5650);
    digest_of(7, 0, 0, 100000, &sink);
    assert_int_equal(sink.frames, 5000);
    assert_in_range(sink.out_of_order, 10, 1000);
    digest_of(7, 1000000, 0, 0, &sink);
    assert_int_equal(sink.frames, 0);
}

static void
delay_is_kept(void **state)
{
    static const struct wire_mem_impair impair[2] = {{.delay_us = 20000}};
    uint64_t start_us = sys_loop_now_us(loop);
    struct sink sink;

    open_pair(impair, &sink);
    assert_int_equal(test_send_numbered(ends[0], 100, 0), 0);
    run_us(50000);
    assert_int_equal(sink.frames, 1);
    assert_true(sink.first_us >= start_us + 20000);
    close_pair(&sink);
}

/* 100 frames of 1250 bytes at 100 Mbit/s need 10 ms. */
static void
rate_is_kept(void **state)
{
    static const struct wire_mem_impair impair[2] = {{.bits_per_second = 100000000}};
    uint64_t start_us = sys_loop_now_us(loop);
    struct sink sink;

    open_pair(impair, &sink);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(test_send_numbered(ends[0], 1250, i), 0);
    run_us(100000);
    assert_int_equal(sink.frames, 100);
    assert_true(sink.first_us >= start_us + 100);
    assert_true(sink.last_us >= start_us + 10000);
    assert_int_equal(sink.out_of_order, 0);
    close_pair(&sink);
}

static void
full_queue_drops_the_tail(void **state)
{
    static const struct wire_mem_impair impair[2] = {
        {.bits_per_second = 1000000, .queue_bytes = 10000},
    };
    struct sink sink;
    struct wire_stats stats;

    open_pair(impair, &sink);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(test_send_numbered(ends[0], 1000, i), 0);
    run_us(150000);
    wire_read_stats(ends[0], &stats);
    assert_in_range(sink.frames, 10, 49);
    assert_int_equal(stats.tx_dropped, 50 - sink.frames);
    close_pair(&sink);
}

static void
gag_counts_and_keeps_silent(void **state)
{
    struct sink sink;
    struct wire_stats stats;

    open_pair(NULL, &sink);
    wire_gag(ends[0], true);
    assert_int_equal(test_send_numbered(ends[0], 100, 0), 0);
    run_us(1000);
    assert_int_equal(sink.frames, 0);
    wire_gag(ends[0], false);
    assert_int_equal(test_send_numbered(ends[0], 100, 1), 0);
    run_us(1000);
    assert_int_equal(sink.frames, 1);
    wire_read_stats(ends[0], &stats);
    assert_int_equal(stats.tx_gagged, 1);
    assert_int_equal(stats.tx_frames, 1);
    close_pair(&sink);
}

static void
impossible_frames_are_refused(void **state)
{
    static uint8_t big[WIRE_MAX_FRAME + 1];
    struct iovec piece = {big, sizeof(big)}, many[WIRE_MAX_PIECES + 1] = {0};
    struct wire_tx tx = {.pieces = &piece, .piece_count = 1};
    struct sink sink;

    open_pair(NULL, &sink);
    tx.meta.gso_type = WIRE_GSO_TCPV4;
    assert_int_equal(wire_send(ends[0], &tx), -EMSGSIZE);
    piece.iov_len = SIZE_MAX;
    assert_int_equal(wire_send(ends[0], &tx), -EMSGSIZE);
    tx.meta.gso_type = WIRE_GSO_NONE;
    piece.iov_len = 1500 + 14 + 4 + 1;
    assert_int_equal(wire_send(ends[0], &tx), -EMSGSIZE);
    piece.iov_len = 13;
    assert_int_equal(wire_send(ends[0], &tx), -EMSGSIZE);
    tx = (struct wire_tx){.header = big, .header_len = WIRE_MAX_HEADER + 1};
    assert_int_equal(wire_send(ends[0], &tx), -EMSGSIZE);
    tx = (struct wire_tx){big, 64, many, WIRE_MAX_PIECES + 1};
    assert_int_equal(wire_send(ends[0], &tx), -EMSGSIZE);
    run_us(1000);
    assert_int_equal(sink.frames, 0);
    close_pair(&sink);
}

static void
no_receiver_drops(void **state)
{
    struct sink sink;
    struct wire_stats stats;

    open_pair(NULL, &sink);
    wire_set_receiver(ends[1], NULL, NULL);
    assert_int_equal(test_send_numbered(ends[0], 100, 0), 0);
    run_us(1000);
    wire_read_stats(ends[1], &stats);
    assert_int_equal(stats.rx_frames, 1);
    assert_int_equal(sink.frames, 0);
    close_pair(&sink);
}

static void
closing_inside_the_callback(void **state)
{
    struct sink sink;

    open_pair(NULL, &sink);
    sink.close = ends[1];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(test_send_numbered(ends[0], 100, i), 0);
    run_us(1000);
    assert_int_equal(sink.frames, 1);
    assert_int_equal(test_send_numbered(ends[0], 100, 3), 0); /* to nobody */
    run_us(1000);
    wire_close(ends[0]);
    assert_int_equal(sink.kept->data[14 + 3], 0);
    wire_buf_put(sink.kept);
}

static void
what_was_sent_arrives_after_the_close(void **state)
{
    struct sink sink;

    open_pair(NULL, &sink);
    assert_int_equal(test_send_numbered(ends[0], 100, 0), 0);
    wire_close(ends[0]);
    run_us(1000);
    assert_int_equal(sink.frames, 1);
    wire_close(ends[1]);
    wire_buf_put(sink.kept);
}

static void
closing_with_frames_in_flight(void **state)
{
    static const struct wire_mem_impair impair[2] = {{.delay_us = 1000}, {.delay_us = 10}};
    struct sink sink;

    open_pair(impair, &sink);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(test_send_numbered(ends[i & 1], 100, i), 0);
    close_pair(&sink);
    run_us(5000);
    assert_int_equal(sink.frames, 0);
}

/* Two ends that answer each other in callbacks: a turn must end nevertheless. */
static void
ping_pong_takes_turns(void **state)
{
    struct sink sink[2];

    open_pair(NULL, &sink[1]);
    sink[0] = (struct sink){.answer = ends[0]};
    sink[1].answer = ends[1];
    wire_set_receiver(ends[0], &receiver, &sink[0]);
    assert_int_equal(test_send_numbered(ends[0], 64, 0), 0);
    for (unsigned turn = 0; turn < 10; turn++)
        assert_true(sys_loop_turn(loop, false));
    assert_in_range(sink[0].frames + sink[1].frames, 9, 10);
    wire_buf_put(sink[0].kept);
    close_pair(&sink[1]);
}

static void
what_is_borrowed_is_read_at_the_flush(void **state)
{
    static const struct wire_mem_impair impair[2] = {{.borrow = 1}};
    static uint8_t payload[3000];
    struct sink sink;

    open_pair(impair, &sink);
    memset(payload, 'p', sizeof(payload));
    assert_int_equal(test_send_tcp(ends[0], false, payload, sizeof(payload), 1448), 0);
    memset(payload, 'q', sizeof(payload)); /* too early */
    wire_flush(ends[0]);
    memset(payload, 'r', sizeof(payload));
    run_us(1000);
    assert_int_equal(sink.frames, 1);
    assert_int_equal(sink.kept->data[66], 'q');
    assert_int_equal(sink.kept->data[66 + 2999], 'q');
    assert_int_equal(test_send_tcp(ends[0], false, payload, sizeof(payload), 1448), 0);
    run_us(1000);
    assert_int_equal(sink.frames, 2); /* not flushed, and at the end of the turn at the latest */
    assert_int_equal(test_send_tcp(ends[0], false, payload, sizeof(payload), 1448), 0);
    wire_gag(ends[0], true);
    run_us(1000);
    assert_int_equal(sink.frames, 2);
    close_pair(&sink);
}

static unsigned writable, heard;

static void
on_writable(void *arg)
{
    writable++;
}

static void
on_heard(void *arg, bool out, const struct wire_tx *frame)
{
    heard++;
}

static void
stalled_it_takes_nothing_and_says_when_it_does(void **state)
{
    static const struct wire_mem_impair impair[2] = {{.stall_frames = 3, .stall_us = 500}};
    static const struct wire_receiver sender = {.on_writable = on_writable};
    static const struct wire_watcher watcher = {.on_frame = on_heard};
    struct sink sink;

    writable = heard = 0;
    open_pair(impair, &sink);
    wire_set_receiver(ends[0], &sender, NULL);
    wire_set_watcher(ends[0], &watcher, NULL);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(test_send_numbered(ends[0], 100, i), 0);
    assert_int_equal(test_send_numbered(ends[0], 100, 3), -EAGAIN);
    assert_int_equal(test_send_numbered(ends[0], 100, 3), -EAGAIN); /* until the loop turns */
    assert_int_equal(writable, 0);
    run_us(10000);
    assert_int_equal(writable, 1);
    assert_int_equal(sink.frames, 3);
    assert_int_equal(test_send_numbered(ends[0], 100, 3), 0);
    run_us(10000);
    assert_int_equal(sink.frames, 4);
    assert_int_equal(sink.out_of_order, 0);
    assert_int_equal(writable, 1); /* nobody had asked */
    assert_int_equal(heard, 4);    /* what was refused has not left */
    wire_set_watcher(ends[0], NULL, NULL);
    close_pair(&sink);
}

#define MEM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        MEM_TEST(frames_arrive_next_turn_in_order),
        MEM_TEST(superframe_passes_whole),
        MEM_TEST(network_carries_sound_segments),
        MEM_TEST(seed_decides_everything),
        MEM_TEST(each_impairment_does_its_own),
        MEM_TEST(delay_is_kept),
        MEM_TEST(rate_is_kept),
        MEM_TEST(full_queue_drops_the_tail),
        MEM_TEST(gag_counts_and_keeps_silent),
        MEM_TEST(impossible_frames_are_refused),
        MEM_TEST(no_receiver_drops),
        MEM_TEST(closing_inside_the_callback),
        MEM_TEST(what_was_sent_arrives_after_the_close),
        MEM_TEST(closing_with_frames_in_flight),
        MEM_TEST(ping_pong_takes_turns),
        MEM_TEST(what_is_borrowed_is_read_at_the_flush),
        MEM_TEST(stalled_it_takes_nothing_and_says_when_it_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
