/*
 * The common part of packet and TAP wires over a medium that obeys the test: a socket pair that
 * carries messages, in front of which every refusal can be staged.
 */
#include "base/log.h"
#include "wire/channel.h"
#include "wire/frames_testing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static struct sys_loop *loop;
static struct channel *channel;
static struct wire *wire;
static int far; /* what the wire sends comes out here */

/* The medium: takes `room` messages and says `refusal` to all others. */
static unsigned room;
static int refusal, receive_error;

static int
staged_transmit(int fd, struct mmsghdr *messages, unsigned count)
{
    int sent;

    if (room == 0)
        return refusal;
    sent = sendmmsg(fd, messages, count < room ? count : room, MSG_DONTWAIT);
    if (sent < 0)
        return -errno;
    room -= (unsigned)sent;
    return sent;
}

static int
staged_receive(int fd, struct mmsghdr *messages, unsigned count)
{
    int error = receive_error, got;

    receive_error = 0;
    if (error != 0)
        return error;
    got = recvmmsg(fd, messages, count, MSG_DONTWAIT, NULL);
    return got < 0 ? -errno : got;
}

static uint32_t staged; /* the tag of every frame that is read; 0: none */

static bool
staged_tag(struct msghdr *message, uint8_t *tag)
{
    bytes_store_be32(tag, staged);
    return staged != 0;
}

static const struct channel_ops staged_ops = {staged_transmit, staged_receive, NULL, staged_tag};

struct sink {
    unsigned frames, writable, downs;
    struct wire_buf *kept[400];
    struct wire *close;
};

static struct sink sink;

static void
on_frame(void *arg, struct wire_buf *buf)
{
    sink.kept[sink.frames++] = wire_buf_get(buf);
    wire_close(sink.close);
    sink.close = NULL;
}

static void
on_writable(void *arg)
{
    sink.writable++;
}

static void
on_link(void *arg, bool up)
{
    sink.downs += !up;
}

static const struct wire_receiver receiver = {on_frame, on_writable, on_link};

static int
set_up(void **state)
{
    int ends[2];
    int large = 8 << 20;

    room = 1000000;
    refusal = -EAGAIN;
    receive_error = 0;
    staged = 0;
    sink = (struct sink){.frames = 0};
    loop = sys_loop_create();
    if (loop == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) != 0)
        return 1;
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
    setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &large, sizeof(large));
    far = ends[1];
    if (channel_open(loop, "staged", ends[0], &staged_ops, NULL, &channel) != 0)
        return 1;
    wire = &channel->wire;
    wire_set_receiver(wire, &receiver, NULL);
    return 0;
}

static int
tear_down(void **state)
{
    wire_close(wire);
    for (unsigned i = 0; i < sink.frames; i++)
        wire_buf_put(sink.kept[i]);
    close(far);
    sys_loop_destroy(loop);
    return 0;
}

/* The number of the next frame that came out of the wire; -1: none. */
static int
next_out(void)
{
    static uint8_t message[VNET_BYTES + WIRE_MAX_FRAME];
    ssize_t len = recv(far, message, sizeof(message), 0);

    return len < VNET_BYTES + 18 ? -1 : (int)bytes_load_be32(message + VNET_BYTES + 14);
}

static void
put_in(size_t len, uint32_t number)
{
    static uint8_t message[VNET_BYTES + WIRE_MAX_FRAME];

    memset(message, 0, VNET_BYTES);
    if (len >= 18)
        test_numbered(message + VNET_BYTES, len, number);
    assert_int_equal(send(far, message, VNET_BYTES + len, 0), VNET_BYTES + len);
}

static int
queue(uint32_t number)
{
    static uint8_t frames[256][64];
    struct wire_tx tx = {.header = frames[number], .header_len = 64};

    test_numbered(frames[number], 64, number);
    return wire_send(wire, &tx);
}

static void
frames_leave_with_the_turn(void **state)
{
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(queue(i), 0);
    assert_int_equal(next_out(), -1);
    sys_loop_turn(loop, false);
    for (int i = 0; i < 10; i++)
        assert_int_equal(next_out(), i);
    assert_int_equal(next_out(), -1);
}

static void
a_full_batch_leaves_at_once(void **state)
{
    for (uint32_t i = 0; i < CHANNEL_BATCH; i++)
        assert_int_equal(queue(i), 0);
    assert_int_equal(next_out(), 0);
}

static void
what_has_to_wait_is_copied_in_order(void **state)
{
    uint8_t payload[100];
    struct iovec piece = {payload, sizeof(payload)};
    struct wire_tx tx = {.pieces = &piece, .piece_count = 1};
    struct wire_stats stats;

    room = 3;
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(queue(i), 0);
    test_numbered(payload, sizeof(payload), 5);
    assert_int_equal(wire_send(wire, &tx), 0);
    wire_flush(wire);
    memset(payload, 0xff, sizeof(payload)); /* borrowed until here */
    assert_int_equal(queue(6), -EAGAIN);
    assert_int_equal(queue(7), -EAGAIN);
    sys_loop_turn(loop, true); /* writable, says the descriptor; the medium still refuses */
    assert_int_equal(sink.writable, 0);
    room = 1000000;
    sys_loop_turn(loop, true);
    assert_int_equal(sink.writable, 1);
    assert_int_equal(queue(6), 0);
    wire_flush(wire);
    for (int i = 0; i < 7; i++)
        assert_int_equal(next_out(), i);
    wire_read_stats(wire, &stats);
    assert_int_equal(stats.tx_frames, 7);
    assert_int_equal(stats.tx_bytes, 6 * 64 + 100);
    assert_int_equal(stats.tx_dropped, 0);
    assert_false(sys_loop_turn(loop, false)); /* no longer watched for room */
}

static void
writable_only_for_who_was_refused(void **state)
{
    room = 0;
    assert_int_equal(queue(0), 0);
    wire_flush(wire);
    room = 10;
    sys_loop_turn(loop, true);
    assert_int_equal(next_out(), 0);
    assert_int_equal(sink.writable, 0);
}

static void
a_refused_frame_blocks_nobody(void **state)
{
    struct wire_stats stats;

    room = 2;
    refusal = -ENOBUFS;
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(queue(i), 0);
    wire_flush(wire);
    assert_int_equal(queue(4), 0);
    room = 10;
    wire_flush(wire);
    assert_int_equal(next_out(), 0);
    assert_int_equal(next_out(), 1);
    assert_int_equal(next_out(), 4);
    wire_read_stats(wire, &stats);
    assert_int_equal(stats.tx_dropped, 2);
    assert_int_equal(stats.tx_frames, 3);
}

static void
gag_forgets_queue_and_spill(void **state)
{
    struct wire_stats stats;

    room = 0;
    assert_int_equal(queue(0), 0);
    wire_flush(wire);
    assert_int_equal(queue(1), -EAGAIN);
    wire_gag(wire, true);
    assert_int_equal(queue(2), 0);
    room = 10;
    sys_loop_turn(loop, true);
    assert_int_equal(sink.writable, 1); /* who was refused must not wait for ever */
    wire_gag(wire, false);
    assert_int_equal(queue(3), 0);
    wire_gag(wire, true);
    wire_gag(wire, false);
    wire_flush(wire);
    assert_int_equal(next_out(), -1);
    wire_read_stats(wire, &stats);
    assert_int_equal(stats.tx_gagged, 3);
    assert_int_equal(stats.tx_frames, 0);
}

static void
close_flushes(void **state)
{
    assert_int_equal(queue(0), 0);
    wire_close(wire);
    wire = NULL;
    assert_int_equal(next_out(), 0);
}

static void
close_with_spill(void **state)
{
    room = 0;
    assert_int_equal(queue(0), 0);
    wire_flush(wire);
    assert_int_equal(queue(1), -EAGAIN);
    wire_close(wire);
    wire = NULL;
    assert_int_equal(next_out(), -1);
}

static void
small_frames_do_not_pin_large_buffers(void **state)
{
    static const size_t lens[] = {18, 60, 256, 257, 1514, 4096, 4097, 60000};

    for (unsigned i = 0; i < 8; i++)
        put_in(lens[i], i);
    while (sink.frames < 8)
        assert_true(sys_loop_turn(loop, true));
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(sink.kept[i]->len, lens[i]);
        assert_int_equal(bytes_load_be32(sink.kept[i]->data + 14), i);
        assert_null(sink.kept[i]->user);
        assert_true(sink.kept[i]->capacity <= (lens[i] > 4096 ? WIRE_MAX_FRAME : 4 * 1024 + 128));
        assert_true(lens[i] > 256 || sink.kept[i]->capacity == 256);
        assert_int_equal((uintptr_t)sink.kept[i]->data % 4, 2);
    }
}

static void
a_turn_is_bounded(void **state)
{
    unsigned before, turns = 0;

    for (unsigned i = 0; i < 400; i++)
        put_in(100, i);
    while (sink.frames < 400) {
        before = sink.frames;
        assert_true(sys_loop_turn(loop, true));
        assert_in_range(sink.frames - before, 1, 256 + CHANNEL_BATCH);
        turns++;
    }
    assert_true(turns >= 2);
    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(bytes_load_be32(sink.kept[i]->data + 14), i);
}

static void
runts_are_dropped(void **state)
{
    struct wire_stats stats;

    put_in(13, 0);
    put_in(0, 0);
    put_in(18, 1);
    while (sink.frames < 1)
        assert_true(sys_loop_turn(loop, true));
    wire_read_stats(wire, &stats);
    assert_int_equal(stats.rx_dropped, 2);
}

/* In front of what was behind the addresses; offsets move. Small frames are handed on as a copy. */
static void
a_tag_is_put_back(void **state)
{
    static uint8_t message[VNET_BYTES + 9000];
    struct virtio_net_hdr vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                  .gso_size = 500,
                                  .hdr_len = 66,
                                  .csum_start = 34,
                                  .csum_offset = 16};
    const size_t lengths[] = {600, 9000, 600};

    for (unsigned i = 0; i < 3; i++) {
        size_t len = lengths[i];

        staged = i < 2 ? 0x81006005 : 0;
        memcpy(message, &vnet, sizeof(vnet));
        test_header(message + VNET_BYTES, false, len - 66, 1, 0x10);
        memset(message + VNET_BYTES + 66, (int)i + 1, len - 66);
        assert_int_equal(send(far, message, VNET_BYTES + len, 0), VNET_BYTES + len);
        while (sink.frames < i + 1)
            assert_true(sys_loop_turn(loop, true));
        struct wire_buf *buf = sink.kept[i];
        size_t tag = i < 2 ? 4 : 0;
        assert_int_equal(buf->len, len + tag);
        assert_memory_equal(buf->data, test_macs, 12);
        if (tag)
            assert_memory_equal(buf->data + 12, "\x81\x00\x60\x05", 4);
        assert_memory_equal(buf->data + 12 + tag, message + VNET_BYTES + 12, len - 12);
        assert_int_equal(buf->meta.csum_start, 34 + tag);
        assert_int_equal(buf->meta.csum_offset, 16);
        assert_int_equal(buf->meta.header_len, 66 + tag);
    }
}

static void
passing_errors_are_survived(void **state)
{
    struct wire_stats stats;

    receive_error = -EINVAL;
    put_in(18, 0);
    while (sink.frames < 1)
        assert_true(sys_loop_turn(loop, true));
    receive_error = -ENETDOWN;
    put_in(18, 1);
    while (sink.frames < 2)
        assert_true(sys_loop_turn(loop, true));
    wire_read_stats(wire, &stats);
    assert_int_equal(stats.rx_dropped, 1);
    assert_int_equal(sink.downs, 0);
}

static void
a_dead_medium_takes_the_link_down(void **state)
{
    room = 0;
    assert_int_equal(queue(0), 0);
    wire_flush(wire);
    receive_error = -EBADFD;
    put_in(18, 0);
    put_in(18, 1);
    sys_loop_turn(loop, true);
    assert_int_equal(sink.downs, 1);
    assert_false(wire_link_up(wire));
    assert_int_equal(queue(1), -ENETDOWN);
    assert_false(sys_loop_turn(loop, false)); /* nobody spins on it */
    assert_int_equal(sink.frames, 0);
}

static void
closing_inside_the_callback(void **state)
{
    sink.close = wire;
    for (unsigned i = 0; i < 5; i++)
        put_in(100, i);
    while (sink.frames < 1)
        assert_true(sys_loop_turn(loop, true));
    wire = NULL;
    sys_loop_turn(loop, false);
    assert_int_equal(sink.frames, 1);
    assert_int_equal(bytes_load_be32(sink.kept[0]->data + 14), 0); /* outlives the wire */
}

static void
large_header_length_is_corrected(void **state)
{
    uint8_t header[WIRE_MAX_HEADER];
    size_t header_len = test_header(header, false, 1000, 1, 0x10);
    struct virtio_net_hdr vnet = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                  .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN,
                                  .hdr_len = 190,
                                  .gso_size = 500,
                                  .csum_start = 34,
                                  .csum_offset = 16};
    struct wire_meta meta;

    vnet_decode(&vnet, header, sizeof(header), &meta);
    assert_int_equal(meta.header_len, header_len);
    assert_int_equal(meta.gso_type, WIRE_GSO_TCPV4);
    assert_true(meta.csum_valid);
    vnet.csum_start = 65000;
    vnet_decode(&vnet, header, sizeof(header), &meta);
    assert_int_equal(meta.header_len, 190);
    vnet = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_DATA_VALID};
    vnet_decode(&vnet, header, sizeof(header), &meta);
    assert_true(meta.csum_valid);
    assert_false(meta.csum_partial);
}

#define CHANNEL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(frames_leave_with_the_turn),
        CHANNEL_TEST(a_full_batch_leaves_at_once),
        CHANNEL_TEST(what_has_to_wait_is_copied_in_order),
        CHANNEL_TEST(writable_only_for_who_was_refused),
        CHANNEL_TEST(a_refused_frame_blocks_nobody),
        CHANNEL_TEST(gag_forgets_queue_and_spill),
        CHANNEL_TEST(close_flushes),
        CHANNEL_TEST(close_with_spill),
        CHANNEL_TEST(small_frames_do_not_pin_large_buffers),
        CHANNEL_TEST(a_turn_is_bounded),
        CHANNEL_TEST(runts_are_dropped),
        CHANNEL_TEST(a_tag_is_put_back),
        CHANNEL_TEST(passing_errors_are_survived),
        CHANNEL_TEST(a_dead_medium_takes_the_link_down),
        CHANNEL_TEST(closing_inside_the_callback),
        CHANNEL_TEST(large_header_length_is_corrected),
    };

    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
