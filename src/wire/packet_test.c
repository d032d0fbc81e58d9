/*
 * Packet wires on a veth pair: superframes both ways, filter, mark, the back-pressure of a slow
 * interface, interfaces that go down and away. Needs root; skipped without.
 */
#include "base/log.h"
#include "wire/kernel_testing.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

static void
make_veth(void)
{
    need_kernel();
    run("ip link add v0 address 02:00:00:00:00:01 type veth "
        "peer name v1 address 02:00:00:00:00:02 && ip link set v0 up && ip link set v1 up");
}

static void
open_veth(void)
{
    make_veth();
    assert_int_equal(wire_packet_open(loop, "v0", -1, 0, &ends[0]), 0);
    assert_int_equal(wire_packet_open(loop, "v1", -1, 0, &ends[1]), 0);
    listen_on(0);
    listen_on(1);
}

static void
packet_carries_superframes(void **state)
{
    open_veth();
    check_superframe(0, false);
    check_superframe(1, true);
    check_superframe(0, true);
}

static void
packet_knows_its_interface(void **state)
{
    open_veth();
    assert_string_equal(wire_name(ends[0]), "v0");
    assert_int_equal(wire_ifindex(ends[0]), if_nametoindex("v0"));
    assert_memory_equal(wire_mac(ends[0]), "\2\0\0\0\0\1", 6);
    assert_int_equal(wire_mtu(ends[0]), 1500);
    assert_true(wire_link_up(ends[0]));
    assert_ptr_equal(wire_loop(ends[0]), loop);
}

static void
packet_mtu_follows(void **state)
{
    uint64_t end_us = sys_clock_us() + PATIENCE_US;

    open_veth();
    run("ip link set v0 mtu 9000 && ip link set v1 mtu 9000");
    while (wire_mtu(ends[0]) != 9000 && sys_clock_us() < end_us)
        sys_loop_turn(loop, false);
    assert_int_equal(wire_mtu(ends[0]), 9000);
}

static void
packet_is_in_order_and_counts(void **state)
{
    enum { COUNT = 2000 };
    struct wire_stats stats;
    uint8_t frame[1000];
    struct wire_tx tx = {.header = frame, .header_len = 100};
    struct iovec piece = {frame + 100, 900};

    open_veth();
    tx.pieces = &piece;
    tx.piece_count = 1;
    for (unsigned i = 0; i < COUNT; i++) {
        test_numbered(frame, sizeof(frame), i);
        memset(frame + 100, 5, 900); /* shared by all of them */
        assert_int_equal(wire_send(ends[0], &tx), 0);
    }
    await(&sinks[1].numbered, COUNT);
    assert_int_equal(sinks[1].out_of_order, 0);
    assert_int_equal(sinks[0].frames, 0); /* nobody hears himself */
    wire_read_stats(ends[0], &stats);
    assert_int_equal(stats.tx_frames, COUNT);
    assert_int_equal(stats.tx_bytes, COUNT * 1000);
    assert_int_equal(stats.tx_dropped, 0);
    wire_read_stats(ends[1], &stats);
    assert_int_equal(stats.rx_frames, COUNT);
    assert_int_equal(stats.rx_dropped, 0);
}

/* A socket filter of a few instructions; -1: no BPF here. */
static int
load_filter(const struct bpf_insn *instructions, unsigned count)
{
    union bpf_attr attr = {
        .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
        .insn_cnt = count,
        .insns = (uintptr_t)instructions,
        .license = (uintptr_t) "MIT",
    };

    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

#define ACCEPT_IF_R0_IS(value)                                                                     \
    {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .off = 2, .imm = (value)},                   \
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},                             \
        {.code = BPF_JMP | BPF_EXIT},                                                              \
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1},                            \
    {                                                                                              \
        .code = BPF_JMP | BPF_EXIT                                                                 \
    }

static void
packet_filter_selects(void **state)
{
    /* the last byte of the number is 3 */
    static const struct bpf_insn instructions[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 6, .src_reg = 1},
        {.code = BPF_LD | BPF_ABS | BPF_B, .imm = 17},
        ACCEPT_IF_R0_IS(3),
    };
    int filter;

    make_veth();
    filter = load_filter(instructions, sizeof(instructions) / sizeof(instructions[0]));
    if (filter < 0)
        skip();
    assert_int_equal(wire_packet_open(loop, "v0", -1, 0, &ends[0]), 0);
    assert_int_equal(wire_packet_open(loop, "v1", filter, 0, &ends[1]), 0);
    close(filter);
    listen_on(1);
    for (unsigned i = 0; i < 512; i++)
        assert_int_equal(test_send_numbered(ends[0], 100, i), 0);
    await(&sinks[1].frames, 2);
    assert_int_equal(sinks[1].frames, 2);
    assert_int_equal(sinks[1].next, 256 + 3 + 1);
}

static void
packet_frames_are_marked(void **state)
{
    /* the mark survives a veth within one namespace */
    static const struct bpf_insn instructions[] = {
        {.code = BPF_LDX | BPF_MEM | BPF_W,
         .dst_reg = 0,
         .src_reg = 1,
         .off = offsetof(struct __sk_buff, mark)},
        ACCEPT_IF_R0_IS(0xc41e57),
    };
    struct wire *unmarked;
    int filter;

    make_veth();
    filter = load_filter(instructions, sizeof(instructions) / sizeof(instructions[0]));
    if (filter < 0)
        skip();
    assert_int_equal(wire_packet_open(loop, "v0", -1, 0xc41e57, &ends[0]), 0);
    assert_int_equal(wire_packet_open(loop, "v0", -1, 0, &unmarked), 0);
    assert_int_equal(wire_packet_open(loop, "v1", filter, 0, &ends[1]), 0);
    close(filter);
    listen_on(1);
    assert_int_equal(test_send_numbered(unmarked, 100, 7), 0);
    assert_int_equal(test_send_numbered(ends[0], 100, 8), 0);
    await(&sinks[1].frames, 1);
    assert_int_equal(sinks[1].next, 9);
    assert_int_equal(sinks[1].frames, 1);
    wire_close(unmarked);
}

static void
packet_open_refuses(void **state)
{
    struct wire *wire = (struct wire *)0x1;

    make_veth();
    assert_int_equal(wire_packet_open(loop, "nosuch", -1, 0, &wire), -ENODEV);
    assert_int_equal(wire_packet_open(loop, "", -1, 0, &wire), -ENODEV);
    assert_int_equal(wire_packet_open(loop, "a-name-beyond-all-limits", -1, 0, &wire), -ENODEV);
    assert_int_equal(wire_packet_open(loop, "v0", 1000, 0, &wire), -EBADF);
    assert_ptr_equal(wire, (struct wire *)0x1);
}

/*
 * An interface that is slower than we are: a send says -EAGAIN, on_writable comes, every frame
 * arrives once. (Their order is the queueing discipline's, whose timer may run anywhere; that we
 * keep it is tested in channel_test.c.)
 */
static void
packet_waits_for_a_slow_interface(void **state)
{
    const unsigned most = sizeof(sinks[1].seen);
    unsigned sent = 0;
    struct wire_stats stats;

    open_veth();
    run("tc qdisc add dev v0 root tbf rate 1mbit burst 128k limit 256m");
    while (sent < most && test_send_numbered(ends[0], 1400, sent) == 0)
        sent++;
    assert_in_range(sent, 1000, most - 1);
    assert_int_equal(test_send_numbered(ends[0], 1400, sent), -EAGAIN);
    sys_loop_turn(loop, false);
    assert_int_equal(sinks[0].writable, 0);
    run("tc qdisc change dev v0 root tbf rate 1gbit burst 128k limit 256m");
    await(&sinks[0].writable, 1);
    assert_int_equal(test_send_numbered(ends[0], 1400, sent++), 0);
    await(&sinks[1].numbered, sent);
    assert_int_equal(sinks[1].twice, 0);
    assert_int_equal(sinks[0].writable, 1);
    wire_read_stats(ends[0], &stats);
    assert_int_equal(stats.tx_frames, sent);
    assert_int_equal(stats.tx_dropped, 0);
}

/* The kernel keeps the tag of what it receives beside the frame; here it is in it, as it was sent.
 */
static void
packet_carries_tags(void **state)
{
    static const unsigned tags[] = {5, 7u << 13 | 4094};

    open_veth();
    for (unsigned i = 0; i < 2 * 2; i++) {
        bool ipv6 = i % 2;
        uint8_t header[WIRE_MAX_HEADER];
        size_t len = test_header(header, ipv6, sizeof(payload), 1, 0x10);
        struct iovec piece = {payload, sizeof(payload)};
        struct wire_tx tx = {.header = header,
                             .header_len = len + 4,
                             .pieces = &piece,
                             .piece_count = 1,
                             .meta = test_meta(ipv6, 1400)};
        unsigned before = sinks[1].frames;

        memmove(header + 16, header + 12, len - 12);
        bytes_store_be32(header + 12, 0x81000000u | tags[i / 2]);
        tx.meta.csum_start = (uint16_t)(tx.meta.csum_start + 4);
        tx.meta.header_len = (uint16_t)(len + 4);
        fill_payload();
        assert_int_equal(wire_send(ends[0], &tx), 0);
        wire_flush(ends[0]);
        await(&sinks[1].frames, before + 1);
        assert_int_equal(sinks[1].large->len, len + 4 + sizeof(payload));
        assert_memory_equal(sinks[1].large->data, header, 18);
        assert_memory_equal(sinks[1].large->data + len + 4, payload, sizeof(payload));
        assert_int_equal(sinks[1].large->meta.gso_size, 1400);
        assert_int_equal(sinks[1].large->meta.csum_start, tx.meta.csum_start);
        assert_int_equal(sinks[1].large->meta.header_len, len + 4);
    }
}

/* Of a full size frame, too; a tag without an id is none. */
static void
packet_room_for_a_tag(void **state)
{
    uint8_t frame[1518] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 5, 0x08, 0x01};
    struct wire_tx tx = {.header = frame, .header_len = 18};
    struct iovec piece = {frame + 18, 1500};

    open_veth();
    tx.pieces = &piece;
    tx.piece_count = 1;
    assert_int_equal(wire_send(ends[0], &tx), 0);
    await(&sinks[1].frames, 1);
    assert_int_equal(sinks[1].large->len, 1518);
    frame[14] = 0x60;
    frame[15] = 0;
    assert_int_equal(wire_send(ends[0], &tx), 0);
    await(&sinks[1].frames, 2);
    assert_int_equal(sinks[1].large->len, 1514);
}

static void
packet_counts_what_a_full_queue_drops(void **state)
{
    struct wire_stats stats;

    open_veth();
    run("tc qdisc add dev v0 root tbf rate 100kbit burst 4k limit 20k");
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(test_send_numbered(ends[0], 1400, i), 0);
    wire_read_stats(ends[0], &stats);
    assert_in_range(stats.tx_dropped, 50, 95);
    assert_int_equal(stats.tx_frames + stats.tx_dropped, 100);
    assert_int_equal(sinks[0].writable, 0);
}

static void
packet_follows_the_link(void **state)
{
    open_veth();
    run("ip link set v1 down"); /* takes the carrier of v0 */
    await(&sinks[1].downs, 1);
    await(&sinks[0].downs, 1);
    assert_int_equal(test_send_numbered(ends[0], 100, 0), -ENETDOWN);
    run("ip link set v1 up");
    await(&sinks[1].ups, 1);
    await(&sinks[0].ups, 1);
    assert_int_equal(test_send_numbered(ends[0], 100, 0), 0);
    await(&sinks[1].numbered, 1);
}

static void
packet_survives_its_interface(void **state)
{
    uint64_t end_us;
    unsigned idle = 0;

    open_veth();
    run("ip link del v0");
    await(&sinks[0].downs, 1);
    await(&sinks[1].downs, 1);
    assert_int_equal(test_send_numbered(ends[0], 100, 0), -ENETDOWN);
    wire_flush(ends[0]);
    end_us = sys_clock_us() + PATIENCE_US;
    while (idle < 100 && sys_clock_us() < end_us)
        idle = sys_loop_turn(loop, false) ? 0 : idle + 1;
    assert_int_equal(idle, 100); /* no error that never ends */
    assert_false(wire_link_up(ends[0]));
}

static void
packet_closes_inside_the_callback(void **state)
{
    open_veth();
    sinks[1].close = ends[1];
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(test_send_numbered(ends[0], 2000 - 600, i), 0);
    await(&sinks[1].frames, 1);
    ends[1] = NULL;
    for (unsigned i = 0; i < 10; i++)
        sys_loop_turn(loop, false);
    assert_int_equal(sinks[1].frames, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        KERNEL_TEST(packet_carries_superframes),
        KERNEL_TEST(packet_knows_its_interface),
        KERNEL_TEST(packet_mtu_follows),
        KERNEL_TEST(packet_is_in_order_and_counts),
        KERNEL_TEST(packet_filter_selects),
        KERNEL_TEST(packet_frames_are_marked),
        KERNEL_TEST(packet_open_refuses),
        KERNEL_TEST(packet_waits_for_a_slow_interface),
        KERNEL_TEST(packet_carries_tags),
        KERNEL_TEST(packet_room_for_a_tag),
        KERNEL_TEST(packet_counts_what_a_full_queue_drops),
        KERNEL_TEST(packet_follows_the_link),
        KERNEL_TEST(packet_survives_its_interface),
        KERNEL_TEST(packet_closes_inside_the_callback),
    };

    log_set_level(LOG_ERROR);
    enter_namespace();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
