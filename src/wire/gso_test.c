/*
 * Cutting superframes: the segments must be what a network card would have sent, and together what
 * was sent. Frames and meta that disagree must be refused, whatever they claim.
 */
#include "base/random.h"
#include "wire/frames_testing.h"
#include "wire/gso.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { FIN = 0x01, PSH = 0x08, ACK = 0x10, CWR = 0x80 };

static uint8_t frame[WIRE_MAX_FRAME];

static size_t
make_superframe(bool ipv6, size_t payload)
{
    size_t header = test_header(frame, ipv6, payload, 0xffffff00, FIN | PSH | ACK | CWR);

    for (size_t i = 0; i < payload; i++)
        frame[header + i] = (uint8_t)(i * 31 + i / 256);
    return header + payload;
}

static void
check_ip(const uint8_t *ip, size_t len, bool ipv6, unsigned number)
{
    if (ipv6) {
        assert_int_equal(bytes_load_be16(ip + 4), len - 40);
        return;
    }
    assert_int_equal(bytes_load_be16(ip + 2), len);
    assert_int_equal(bytes_load_be16(ip + 4), (uint16_t)(0xfffe + number));
    assert_int_equal(checksum_of(ip, 20), 0);
}

static void
check_cut(bool ipv6, size_t payload, uint16_t size)
{
    size_t len = make_superframe(ipv6, payload), header = len - payload, done = 0;
    struct wire_meta meta = test_meta(ipv6, size);
    struct gso_cut cut;
    uint8_t segment[WIRE_MAX_FRAME];
    unsigned number = 0;

    assert_int_equal(gso_begin(&cut, frame, len, &meta), 0);
    for (size_t bytes; (bytes = gso_next_len(&cut)) != 0; number++) {
        const uint8_t *tcp = segment + header - TEST_TCP_BYTES;
        bool last;

        gso_next(&cut, segment);
        assert_memory_equal(segment + header, frame + header + done, bytes - header);
        assert_int_equal(bytes_load_be32(tcp + 4), (uint32_t)(0xffffff00 + done));
        done += bytes - header;
        last = done == payload;
        assert_int_equal(tcp[13], ACK | (last ? FIN | PSH : 0) | (number == 0 ? CWR : 0));
        if (!last)
            assert_int_equal(bytes - header, size);
        check_ip(segment + 14, bytes - 14, ipv6, number);
        assert_true(test_tcp_is_sound(segment, bytes, ipv6));
        segment[header] ^= 1;
        if (bytes > header)
            assert_false(test_tcp_is_sound(segment, bytes, ipv6));
    }
    assert_int_equal(done, payload);
    assert_int_equal(number, payload == 0 ? 1 : (payload + size - 1) / size);
}

static void
segments_are_right(void **state)
{
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        check_cut(ipv6, 60000, 1448);
        check_cut(ipv6, 1448 * 10, 1448);
        check_cut(ipv6, 1449, 1448);
        check_cut(ipv6, 1, 1448);
        check_cut(ipv6, 0, 1448);
        check_cut(ipv6, 777, 1);
        check_cut(ipv6, 65535 - 92, 65535);
    }
}

static void
vlan_tags_are_carried(void **state)
{
    size_t len = make_superframe(false, 3000);
    struct wire_meta meta = test_meta(false, 1000);
    struct gso_cut cut;
    uint8_t segment[2000];

    memmove(frame + 16, frame + 12, len - 12);
    bytes_store_be32(frame + 12, 0x81000007);
    meta.csum_start += 4;
    meta.header_len += 4;
    assert_int_equal(gso_begin(&cut, frame, len + 4, &meta), 0);
    assert_int_equal(gso_next_len(&cut), 66 + 4 + 1000);
    gso_next(&cut, segment);
    assert_memory_equal(segment, frame, 18);
    assert_int_equal(bytes_load_be16(segment + 18 + 2), 20 + TEST_TCP_BYTES + 1000);
    memmove(segment + 12, segment + 16, 66 + 1000 - 12);
    assert_true(test_tcp_is_sound(segment, 66 + 1000, false));
}

static void
checksum_is_finished(void **state)
{
    for (int ipv6 = 0; ipv6 < 2; ipv6++) {
        size_t len = make_superframe(ipv6, 999);
        struct wire_meta meta = test_meta(ipv6, 0);

        assert_false(test_tcp_is_sound(frame, len, ipv6));
        assert_int_equal(gso_finish_checksum(frame, len, &meta), 0);
        assert_true(test_tcp_is_sound(frame, len, ipv6));
        meta.csum_start = (uint16_t)(len - 17);
        assert_int_equal(gso_finish_checksum(frame, len, &meta), -EINVAL);
        meta.csum_start = 65535;
        assert_int_equal(gso_finish_checksum(frame, len, &meta), -EINVAL);
    }
}

static void
refuse(size_t len, struct wire_meta meta)
{
    struct gso_cut cut;

    assert_int_equal(gso_begin(&cut, frame, len, &meta), -EINVAL);
}

static void
nonsense_is_refused(void **state)
{
    size_t len = make_superframe(false, 5000);
    struct wire_meta good = test_meta(false, 1448), meta = good;

    meta.gso_size = 0;
    refuse(len, meta);
    meta = good;
    meta.gso_type = WIRE_GSO_TCPV6;
    refuse(len, meta);
    meta.gso_type = 5;
    refuse(len, meta);
    meta = good;
    meta.csum_start = 30;
    refuse(len, meta);
    meta.csum_start = 65000;
    refuse(len, meta);
    refuse(13, good);
    refuse(34, good);
    refuse(60, good);
    frame[34 + 12] = 0x40; /* a TCP header of 16 bytes */
    refuse(len, good);
    frame[34 + 12] = 0x80;
    frame[14] = 0x4f; /* IP options that are not there */
    refuse(len, good);
    frame[14] = 0x45;
    frame[14 + 9] = IPPROTO_UDP;
    refuse(len, good);
}

/* Whatever header and meta claim, nothing is read or written outside (the sanitizer watches). */
static void
noise_stays_inside(void **state)
{
    struct random random;

    random_init(&random, 11);
    for (unsigned round = 0; round < 20000; round++) {
        size_t len = 14 + random_below(&random, 200);
        uint8_t *copy = malloc(len), *room = malloc(WIRE_MAX_FRAME);
        struct wire_meta meta = test_meta(round & 1, (uint16_t)(1 + random_below(&random, 90)));
        struct gso_cut cut;

        make_superframe(round & 1, 200);
        memcpy(copy, frame, len);
        for (unsigned i = random_below(&random, 4); i != 0; i--)
            copy[random_below(&random, (uint32_t)len)] = (uint8_t)random_u32(&random);
        meta.csum_start = (uint16_t)(meta.csum_start + random_below(&random, 3) - 1);
        meta.csum_partial = random_below(&random, 4) != 0;
        if (gso_begin(&cut, copy, len, &meta) == 0)
            while (gso_next_len(&cut) != 0)
                gso_next(&cut, room);
        gso_finish_checksum(copy, len, &meta);
        free(copy);
        free(room);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_are_right),   cmocka_unit_test(vlan_tags_are_carried),
        cmocka_unit_test(checksum_is_finished), cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(noise_stays_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
