/*
 * The small things: lists, sequence numbers, cursors, hash, random numbers, the log.
 */
#include "base/bytes.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/log.h"
#include "base/random.h"
#include "base/seq.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct item {
    int value;
    struct list link;
};

static void
list_order_and_removal(void **state)
{
    struct item items[4] = {{.value = 0}, {.value = 1}, {.value = 2}, {.value = 3}};
    struct list head;
    int expected = 0;

    list_init(&head);
    for (int i = 1; i < 4; i++)
        list_add_tail(&head, &items[i].link);
    list_add_head(&head, &items[0].link);
    list_for_each(item, &head, struct item, link)
        assert_int_equal(item->value, expected++);
    assert_int_equal(expected, 4);
    assert_ptr_equal(list_take_first(&head), &items[0].link);
    assert_true(list_empty(&items[0].link));
    assert_ptr_equal(list_first(&head, struct item, link), &items[1]);
    list_for_each_safe(item, &head, struct item, link)
        list_del(&item->link);
    assert_true(list_empty(&head));
    list_del(&items[2].link);
    assert_true(list_empty(&items[2].link));
}

struct chain {
    int value;
    struct chain *next;
};

/* n links, the last one leads to number back; n: to nothing. */
static void
link_chain(struct chain *links, int n, int back)
{
    for (int i = 0; i < n; i++)
        links[i] = (struct chain){i, i + 1 < n ? &links[i + 1] : NULL};
    if (back < n)
        links[n - 1].next = &links[back];
}

static void
circles_are_found(void **state)
{
    struct chain links[9];

    assert_null(list_circle(NULL, offsetof(struct chain, next)));
    for (int n = 1; n <= 9; n++)
        for (int back = 0; back <= n; back++) {
            void **closing;

            link_chain(links, n, back);
            closing = list_circle(links, offsetof(struct chain, next));
            assert_ptr_equal(closing, back < n ? &links[n - 1].next : NULL);
        }
}

static void
sequence_numbers_wrap(void **state)
{
    assert_true(seq_before(0xfffffff0, 0x10));
    assert_true(seq_after(0x10, 0xfffffff0));
    assert_false(seq_before(5, 5));
    assert_true(seq_before_eq(5, 5));
    assert_true(seq_after_eq(5, 5));
    assert_int_equal(seq_diff(3, 0xfffffffe), 5);
    assert_int_equal(seq_max(0xfffffffe, 3), 3);
    assert_int_equal(seq_min(0xfffffffe, 3), 0xfffffffe);
}

static void
reader_stops_at_the_end(void **state)
{
    static const uint8_t data[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    struct bytes_reader reader = bytes_reader(data, sizeof(data));
    uint8_t rest[2] = {0xee, 0xee};

    assert_int_equal(bytes_get_u8(&reader), 1);
    assert_int_equal(bytes_get_be16(&reader), 0x0203);
    assert_int_equal(bytes_get_be32(&reader), 0x04050607);
    assert_int_equal(bytes_left(&reader), 2);
    assert_false(reader.failed);
    assert_int_equal(bytes_get_be32(&reader), 0);
    assert_true(reader.failed);
    /* what was left is not handed out after a failure */
    assert_int_equal(bytes_get_u8(&reader), 0);
    bytes_get(&reader, rest, sizeof(rest));
    assert_int_equal(rest[0] | rest[1], 0);
    assert_false(bytes_skip(&reader, SIZE_MAX));
}

static void
writer_never_overruns(void **state)
{
    uint8_t room[8];
    struct bytes_writer writer = bytes_writer(room, 7);

    memset(room, 0xee, sizeof(room));
    bytes_put_be32(&writer, 0x01020304);
    bytes_put_be16(&writer, 0x0506);
    bytes_put_be16(&writer, 0x0708);
    assert_true(writer.failed);
    /* nothing after the failure either: a hole would be worse */
    bytes_put_u8(&writer, 9);
    assert_int_equal(bytes_written(&writer), 6);
    assert_memory_equal(room, "\1\2\3\4\5\6\xee\xee", 8);
}

static void
hash_spreads_neighbours(void **state)
{
    unsigned buckets[256] = {0};
    uint8_t local[4] = {10, 0, 0, 1}, peer[4] = {10, 0, 0, 2};

    for (unsigned port = 0; port < 256 * 64; port++)
        buckets[hash_tuple(local, peer, 4, 80, (uint16_t)port, 1) & 255]++;
    for (unsigned i = 0; i < 256; i++)
        assert_in_range(buckets[i], 20, 130);
}

static void
hash_sees_every_field(void **state)
{
    uint8_t local[16] = {0xfe, 0x80}, peer[16] = {0xfe, 0x80};
    uint64_t first = hash_tuple(local, peer, 16, 1, 2, 3);

    assert_true(first == hash_tuple(local, peer, 16, 1, 2, 3));
    assert_true(first != hash_tuple(local, peer, 16, 2, 1, 3));
    assert_true(first != hash_tuple(local, peer, 16, 1, 2, 4));
    for (unsigned i = 0; i < 16; i++) {
        local[i] ^= 1;
        assert_true(first != hash_tuple(local, peer, 16, 1, 2, 3));
        assert_true(first != hash_tuple(peer, local, 16, 1, 2, 3));
        local[i] ^= 1;
    }
    assert_true(hash_bytes("abc", 3, 0) != hash_bytes("abc\0", 4, 0));
}

static void
random_is_seeded_and_fair(void **state)
{
    struct random a, b;
    unsigned hits = 0;

    random_init(&a, 42);
    random_init(&b, 42);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(random_u64(&a) == random_u64(&b));
    random_init(&b, 43);
    assert_true(random_u64(&a) != random_u64(&b));
    for (unsigned i = 0; i < 100000; i++) {
        assert_true(random_below(&a, 7) < 7);
        hits += random_chance_ppm(&a, 10000);
    }
    assert_in_range(hits, 850, 1150);
    assert_int_equal(random_below(&a, 0), 0);
    assert_false(random_chance_ppm(&a, 0));
    assert_true(random_chance_ppm(&a, 1000000));
}

static char last_line[2048];
static unsigned line_count;

static void
keep_line(enum log_level level, const char *line, void *arg)
{
    snprintf(last_line, sizeof(last_line), "%d:%s", level, line);
    line_count += arg == &line_count;
}

static void
log_level_decides(void **state)
{
    char big[3000];

    log_set_sink(keep_line, &line_count);
    log_info("not at this level");
    assert_int_equal(line_count, 0);
    log_warn("%s %d", "seven is", 7);
    assert_string_equal(last_line, "1:seven is 7");
    log_set_level(LOG_DEBUG);
    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    log_debug("%s", big);
    assert_int_equal(line_count, 2);
    assert_in_range(strlen(last_line), 100, 1100);
    log_set_level(LOG_WARN);
    log_set_sink(NULL, NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(list_order_and_removal), cmocka_unit_test(circles_are_found),
        cmocka_unit_test(sequence_numbers_wrap),  cmocka_unit_test(reader_stops_at_the_end),
        cmocka_unit_test(writer_never_overruns),  cmocka_unit_test(hash_spreads_neighbours),
        cmocka_unit_test(hash_sees_every_field),  cmocka_unit_test(random_is_seeded_and_fair),
        cmocka_unit_test(log_level_decides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
