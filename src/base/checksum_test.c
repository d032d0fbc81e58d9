/*
 * The checksum against a byte-by-byte model, the examples of RFC 1071, and every way of cutting a
 * frame into pieces.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uint16_t
model(const uint8_t *data, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++)
        sum += i % 2 == 0 ? (uint32_t)data[i] << 8 : data[i];
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void
fill(uint8_t *data, size_t len, uint64_t seed)
{
    struct random random;

    random_init(&random, seed);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)random_u32(&random);
}

static void
rfc_1071_example(void **state)
{
    static const uint8_t data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

    assert_int_equal(checksum_of(data, sizeof(data)), (uint16_t)~0xddf2);
    assert_int_equal(checksum_of(data, 0), 0xffff);
}

static void
every_length_and_alignment(void **state)
{
    uint8_t data[160];

    fill(data, sizeof(data), 1);
    for (size_t start = 0; start < 8; start++)
        for (size_t len = 0; len + start <= sizeof(data); len++)
            assert_int_equal(checksum_of(data + start, len), model(data + start, len));
}

static void
large_and_all_ones(void **state)
{
    static uint8_t data[70001];

    memset(data, 0xff, sizeof(data));
    assert_int_equal(checksum_of(data, sizeof(data)), model(data, sizeof(data)));
    fill(data, sizeof(data), 2);
    assert_int_equal(checksum_of(data, sizeof(data)), model(data, sizeof(data)));
}

static void
pieces_are_as_good_as_one(void **state)
{
    uint8_t data[97];

    fill(data, sizeof(data), 3);
    for (size_t first = 0; first <= sizeof(data); first++) {
        for (size_t second = first; second <= sizeof(data); second++) {
            struct checksum sum = {0};

            checksum_add(&sum, data, first);
            checksum_add(&sum, data + first, second - first);
            checksum_add(&sum, data + second, sizeof(data) - second);
            assert_int_equal(checksum_value(&sum), model(data, sizeof(data)));
        }
    }
}

static void
a_flipped_bit_is_seen(void **state)
{
    uint8_t data[60];
    struct checksum sum = {0};

    fill(data, sizeof(data), 4);
    data[16] = data[17] = 0;
    bytes_store_be16(data + 16, checksum_of(data, sizeof(data)));
    assert_int_equal(checksum_of(data, sizeof(data)), 0);
    data[33] ^= 4;
    checksum_add(&sum, data, sizeof(data));
    assert_int_not_equal(checksum_value(&sum), 0);
}

/* A pseudo header written out byte by byte must give the same. */
static void
pseudo_headers(void **state)
{
    uint8_t header[40], payload[33];
    struct checksum sum = {0}, sum6 = {0};

    fill(header, sizeof(header), 5);
    fill(payload, sizeof(payload), 6);
    checksum_add_pseudo_v4(&sum, header, header + 4, 6, sizeof(payload));
    header[8] = 0;
    header[9] = 6;
    bytes_store_be16(header + 10, sizeof(payload));
    assert_int_equal((uint16_t)~checksum_folded(&sum), model(header, 12));

    checksum_add_pseudo_v6(&sum6, header, header + 16, 6, 70000);
    bytes_store_be32(header + 32, 70000);
    bytes_store_be32(header + 36, 6);
    assert_int_equal(checksum_value(&sum6), model(header, 40));
}

static void
adjusting_equals_computing_anew(void **state)
{
    uint8_t data[40];
    uint16_t before;

    fill(data, sizeof(data), 7);
    before = checksum_of(data, sizeof(data));
    for (uint32_t value = 0; value < 70000; value += 997) {
        uint32_t old = bytes_load_be32(data + 12);

        bytes_store_be32(data + 12, value * 65521);
        before = checksum_adjust32(before, old, value * 65521);
        assert_int_equal(before, checksum_of(data, sizeof(data)));
    }
    before = checksum_adjust16(before, bytes_load_be16(data + 2), 0x1234);
    bytes_store_be16(data + 2, 0x1234);
    assert_int_equal(before, checksum_of(data, sizeof(data)));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_1071_example),
        cmocka_unit_test(every_length_and_alignment),
        cmocka_unit_test(large_and_all_ones),
        cmocka_unit_test(pieces_are_as_good_as_one),
        cmocka_unit_test(a_flipped_bit_is_seen),
        cmocka_unit_test(pseudo_headers),
        cmocka_unit_test(adjusting_equals_computing_anew),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
