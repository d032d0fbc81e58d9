/*
 * A packet wire on a TUN, whose other end is a descriptor of ours: packets there, frames here.
 * Needs root; skipped without.
 */
#include "base/log.h"
#include "wire/kernel_testing.h"

#include <errno.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sys/ioctl.h>

static int tun = -1;
static uint8_t packet[70000];

static void
open_tun(void)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "tun7"};

    need_kernel();
    tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    assert_true(tun >= 0);
    assert_int_equal(ioctl(tun, TUNSETIFF, &request), 0);
    run("ip link set tun7 up");
    assert_int_equal(wire_packet_open(loop, "tun7", -1, 0, &ends[0]), 0);
    listen_on(0);
}

static int
tear_down_tun(void **state)
{
    tear_down(state);
    if (tun >= 0)
        close(tun);
    tun = -1;
    return 0;
}

/* The next packet that leaves by the TUN; its length. */
static size_t
read_packet(void)
{
    struct pollfd ready = {.fd = tun, .events = POLLIN};
    ssize_t len;

    assert_int_equal(poll(&ready, 1, PATIENCE_US / 1000), 1);
    len = read(tun, packet, sizeof(packet));
    assert_true(len > 0);
    return (size_t)len;
}

static void
expect_no_packet(void)
{
    assert_int_equal(read(tun, packet, sizeof(packet)), -1);
    assert_int_equal(errno, EAGAIN);
}

/* A TCP packet of len bytes of payload, checksum and all, without link header; its length. */
static size_t
make_packet(uint8_t *to, bool ipv6, size_t len)
{
    uint8_t frame[WIRE_MAX_HEADER + 1500];
    size_t header = test_header(frame, ipv6, len, 1, 0x10), tcp = ipv6 ? 54 : 34;
    struct checksum sum = {0};

    memset(frame + header, 7, len);
    checksum_add(&sum, frame + tcp, header + len - tcp);
    bytes_store_be16(frame + tcp + 16, checksum_value(&sum));
    memcpy(to, frame + 14, header + len - 14);
    return header + len - 14;
}

static void
arriving_packets_get_a_header(void **state)
{
    static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};

    open_tun();
    for (unsigned i = 0; i < 2; i++) {
        size_t len = make_packet(packet, i == 1, 1200);

        assert_int_equal(write(tun, packet, len), len);
        await(&sinks[0].frames, i + 1);
        assert_int_equal(sinks[0].large->len, len + 14);
        assert_memory_equal(sinks[0].large->data, macs, 12);
        assert_int_equal(bytes_load_be16(sinks[0].large->data + 12), i == 1 ? 0x86dd : 0x0800);
        assert_memory_equal(sinks[0].large->data + 14, packet, len);
        assert_true(test_tcp_is_sound(sinks[0].large->data, sinks[0].large->len, i == 1));
    }
}

/* IP, the wire does not care what is in it; anything else it does not let in. */
static void
what_is_not_ip_is_dropped(void **state)
{
    struct wire_stats stats;
    size_t len;

    open_tun();
    len = make_packet(packet, false, 1200);
    packet[0] = 0x95;
    if (write(tun, packet, len) < 0) /* the kernel may not let it in either */
        assert_int_equal(errno, EINVAL);
    packet[0] = 0x45;
    assert_int_equal(write(tun, packet, len), len);
    await(&sinks[0].frames, 1);
    wire_read_stats(ends[0], &stats);
    assert_int_equal(stats.rx_frames, 1);
    assert_int_equal(bytes_load_be16(sinks[0].large->data + 14), 0x4500);
}

static void
leaving_frames_lose_it(void **state)
{
    open_tun();
    for (unsigned i = 0; i < 2; i++) {
        bool ipv6 = i == 1;
        uint8_t frame[14] = {0};
        size_t len;

        fill_payload();
        assert_int_equal(test_send_tcp(ends[0], ipv6, payload, 1000, 0), 0);
        wire_flush(ends[0]);
        len = read_packet();
        assert_int_equal(len, (ipv6 ? 40 : 20) + TEST_TCP_BYTES + 1000);
        assert_int_equal(packet[0] >> 4, ipv6 ? 6 : 4);
        memmove(packet + 14, packet, len);
        memcpy(packet, frame, 14);
        assert_true(test_tcp_is_sound(packet, len + 14, ipv6)); /* the checksum was finished */
        assert_memory_equal(packet + 14 + len - 1000, payload, 1000);
    }
}

static void
superframes_are_cut(void **state)
{
    size_t done = 0;

    open_tun();
    fill_payload();
    assert_int_equal(test_send_tcp(ends[0], false, payload, 5000, 1400), 0);
    wire_flush(ends[0]);
    while (done < 5000) {
        size_t len = read_packet() - 20 - TEST_TCP_BYTES;

        assert_int_equal(len, 5000 - done < 1400 ? 5000 - done : 1400);
        assert_memory_equal(packet + 20 + TEST_TCP_BYTES, payload + done, len);
        done += len;
    }
    expect_no_packet();
}

/* A frame that is one piece, as those of the regular path are, behind one that nobody may see. */
static void
frames_of_one_piece(void **state)
{
    uint8_t frame[14 + 1500] = {[12] = 8, [13] = 6};
    struct iovec piece = {frame, 60};
    struct wire_tx tx = {.pieces = &piece, .piece_count = 1};

    open_tun();
    assert_int_equal(wire_send(ends[0], &tx), 0); /* ARP */
    wire_flush(ends[0]);
    piece.iov_len = 14 + make_packet(frame + 14, false, 300);
    frame[13] = 0;
    assert_int_equal(wire_send(ends[0], &tx), 0);
    wire_flush(ends[0]);
    assert_int_equal(read_packet(), piece.iov_len - 14);
    assert_memory_equal(packet, frame + 14, piece.iov_len - 14);
    expect_no_packet();
}

static void
it_goes_with_the_tun(void **state)
{
    open_tun();
    assert_memory_equal(wire_mac(ends[0]), "\2\0\0\0\0\1", 6);
    run("ip link set tun7 down");
    await(&sinks[0].downs, 1);
    assert_int_equal(test_send_tcp(ends[0], false, payload, 100, 0), -ENETDOWN);
    run("ip link set tun7 up");
    await(&sinks[0].ups, 1);
    assert_memory_equal(wire_mac(ends[0]), "\2\0\0\0\0\1", 6); /* the news told of none */
    close(tun);
    tun = -1;
    await(&sinks[0].downs, 2);
}

#define TUN_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down_tun)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TUN_TEST(arriving_packets_get_a_header), TUN_TEST(what_is_not_ip_is_dropped),
        TUN_TEST(leaving_frames_lose_it),        TUN_TEST(superframes_are_cut),
        TUN_TEST(frames_of_one_piece),           TUN_TEST(it_goes_with_the_tun),
    };

    log_set_level(LOG_ERROR);
    enter_namespace();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
