/* Records come out whole, in order, bounded, whatever the disk does. */
#include "sys/spool.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define RECORD 100

static char folder[] = "/tmp/spool-XXXXXX", path[64], aside[64];
static char said[256];
static uint8_t file[1 << 20];

static void
on_line(enum log_level level, const char *line, void *arg)
{
    snprintf(said, sizeof(said), "%s", line);
}

static int
setup(void **state)
{
    strcpy(folder, "/tmp/spool-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/file", folder);
    snprintf(aside, sizeof(aside), "%s/file.old", folder);
    said[0] = '\0';
    log_set_sink(on_line, NULL);
    return 0;
}

static int
teardown(void **state)
{
    log_set_sink(NULL, NULL);
    unlink(path);
    unlink(aside);
    return rmdir(folder);
}

static struct sys_spool *
open_spool(uint64_t file_bytes, size_t memory_bytes)
{
    struct sys_spool_options options = {.path = path,
                                        .aside = file_bytes ? aside : NULL,
                                        .file_bytes = file_bytes,
                                        .memory_bytes = memory_bytes,
                                        .patience_us = 1000};
    struct sys_spool *spool;

    assert_int_equal(sys_spool_open(&options, &spool), 0);
    return spool;
}

/* Its number, all over. */
static bool
add(struct sys_spool *spool, unsigned number, bool head)
{
    uint8_t *room = sys_spool_reserve(spool, RECORD);

    if (!room)
        return false;
    for (size_t i = 0; i < RECORD; i += sizeof(number))
        memcpy(room + i, &number, sizeof(number));
    sys_spool_commit(spool, RECORD, head);
    return true;
}

static size_t
read_file(const char *name)
{
    FILE *stream = fopen(name, "rb");
    size_t bytes;

    assert_non_null(stream);
    bytes = fread(file, 1, sizeof(file), stream);
    fclose(stream);
    return bytes;
}

/* Record i is number, and whole. */
static void
check_record(size_t i, unsigned number)
{
    for (size_t at = 0; at < RECORD; at += sizeof(number)) {
        unsigned found;

        memcpy(&found, file + i * RECORD + at, sizeof(found));
        assert_int_equal(found, number);
    }
}

static void
in_order(void **state)
{
    struct sys_spool *spool = open_spool(0, 1 << 16);

    for (unsigned i = 0; i < 300; i++)
        assert_true(add(spool, i, i == 0));
    assert_int_equal(sys_spool_flush(spool), 0);
    assert_int_equal(read_file(path), 300 * RECORD);
    assert_true(add(spool, 300, false));
    sys_spool_close(spool); /* flushes */
    assert_int_equal(read_file(path), 301 * RECORD);
    for (unsigned i = 0; i < 301; i++)
        check_record(i, i);
}

/* What was there is overwritten; with a bound it is kept. */
static void
what_was_there(void **state)
{
    struct sys_spool *spool = open_spool(0, 4096);

    add(spool, 1, false);
    sys_spool_close(spool);
    spool = open_spool(10 * RECORD, 4096);
    add(spool, 2, false);
    sys_spool_close(spool);
    assert_int_equal(read_file(aside), RECORD);
    check_record(0, 1);
    assert_int_equal(read_file(path), RECORD);
    check_record(0, 2);
    sys_spool_close(open_spool(0, 4096));
    assert_int_equal(read_file(path), 0);
}

/* What is too large for the bound is not kept; what is no ordinary file is not moved. */
static void
what_does_not_fit(void **state)
{
    struct sys_spool_options options = {
        .path = path, .aside = aside, .file_bytes = 3 * RECORD, .memory_bytes = 4096};
    struct sys_spool *spool = open_spool(0, 4096);

    for (unsigned i = 0; i < 4; i++)
        add(spool, i, false);
    sys_spool_close(spool);
    sys_spool_close(open_spool(3 * RECORD, 4096));
    assert_int_equal(access(aside, F_OK), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(sys_spool_open(&options, &spool), -EINVAL);
    assert_int_equal(access(aside, F_OK), -1);
    assert_int_equal(access(path, F_OK), 0);
}

/* After each record both files are within the bound, begin with the heads written so far, and hold
 * the newest without a gap. */
static void
bounded(void **state)
{
    enum { FIT = 10, HEADS = 2 };
    struct sys_spool *spool = open_spool(FIT * RECORD + RECORD / 2, 4096);
    unsigned now = 0, in_file = 0;

    for (unsigned i = 0; i < 100; i++) {
        bool head = i == 0 || i == 25;
        unsigned heads = i <= 25 ? 1 : HEADS;

        assert_true(add(spool, i, head));
        assert_int_equal(sys_spool_flush(spool), 0);
        if (in_file == FIT) {
            assert_int_equal(read_file(aside), FIT * RECORD);
            check_record(FIT - 1, i - 1);
            in_file = heads - (i == 25 ? 1 : 0);
        }
        in_file++;
        now = i;
        assert_int_equal(read_file(path), in_file * RECORD);
        check_record(0, 0);
        check_record(in_file - 1, now);
    }
    check_record(1, 25);
    sys_spool_close(spool);
}

/* A pipe that is full is a disk that has come to a halt: nobody waits for it, what finds no room is
 * refused, and what was taken is there when it goes on. */
static void
slow_disk(void **state)
{
    struct sys_spool *spool;
    size_t bytes = 0, stuffing = 0;
    unsigned taken = 0;
    int reader, stuffer;

    assert_int_equal(mkfifo(path, 0600), 0);
    reader = open(path, O_RDONLY | O_NONBLOCK);
    stuffer = open(path, O_WRONLY | O_NONBLOCK);
    assert_true(reader >= 0 && stuffer >= 0);
    while (write(stuffer, file, RECORD) == RECORD)
        stuffing += RECORD;
    spool = open_spool(0, 1 << 16);
    while (add(spool, taken, false))
        assert_in_range(++taken, 1, 2 * (1 << 16) / RECORD);
    assert_in_range(taken, (1 << 16) / RECORD, 2 * (1 << 16) / RECORD);
    while (bytes < stuffing + taken * RECORD) {
        ssize_t part = read(reader, file + bytes, sizeof(file) - bytes);

        assert_true(part > 0 || errno == EAGAIN);
        bytes += part > 0 ? (size_t)part : 0;
    }
    assert_int_equal(sys_spool_flush(spool), 0);
    for (unsigned i = 0; i < taken; i++)
        check_record(stuffing / RECORD + i, i);
    assert_true(add(spool, 0, false));
    sys_spool_close(spool);
    close(reader);
    close(stuffer);
}

static void
too_large(void **state)
{
    struct sys_spool *spool = open_spool(0, 4096);

    assert_null(sys_spool_reserve(spool, 4097));
    assert_true(add(spool, 1, false));
    sys_spool_close(spool);
    assert_int_equal(read_file(path), RECORD);
}

static void
no_such_folder(void **state)
{
    struct sys_spool_options options = {.path = "/nowhere/at/all", .memory_bytes = 4096};
    struct sys_spool *spool;

    assert_int_equal(sys_spool_open(&options, &spool), -ENOENT);
}

static void
disk_full(void **state)
{
    struct sys_spool *spool;

    snprintf(path, sizeof(path), "/dev/full");
    spool = open_spool(0, 4096);
    assert_true(add(spool, 1, false));
    assert_int_equal(sys_spool_flush(spool), -ENOSPC);
    assert_string_equal(said, "/dev/full: No space left on device; nothing more is written to it");
    assert_false(add(spool, 2, false));
    assert_int_equal(sys_spool_flush(spool), -ENOSPC);
    sys_spool_close(spool);
    snprintf(path, sizeof(path), "%s/file", folder);
}

/* It is full in the middle of a record: the file ends with the one before. */
static void
cut_back(void **state)
{
    struct rlimit before, limit;
    struct sys_spool *spool = open_spool(0, 4096);

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){5 * RECORD + 42, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (unsigned i = 0; i < 8; i++)
        assert_true(add(spool, i, false));
    assert_int_equal(sys_spool_flush(spool), -EFBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    sys_spool_close(spool);
    assert_int_equal(read_file(path) % RECORD, 0);
    assert_in_range(read_file(path), RECORD, 5 * RECORD);
    check_record(0, 0);
}

/* However it is written, and before it is there. */
static void
names_of_one_file(void **state)
{
    char other[96], link[96], linked[128];

    snprintf(other, sizeof(other), "%s/../%s/./file", folder, folder + strlen("/tmp/"));
    snprintf(link, sizeof(link), "%s/link", folder);
    assert_true(sys_spool_same_file(path, path));
    assert_true(sys_spool_same_file(path, other));
    assert_false(sys_spool_same_file(path, aside));
    assert_false(sys_spool_same_file(path, "/no/such/folder/file"));
    assert_false(sys_spool_same_file("file", path));
    assert_true(sys_spool_same_file("file", "./file"));
    assert_int_equal(symlink(".", link), 0); /* a folder */
    snprintf(linked, sizeof(linked), "%s/file", link);
    assert_true(sys_spool_same_file(path, linked));
    unlink(link);
    sys_spool_close(open_spool(0, 4096));
    assert_int_equal(symlink("file", link), 0);
    assert_true(sys_spool_same_file(path, link));
    assert_true(sys_spool_same_file(link, other));
    assert_false(sys_spool_same_file(link, aside));
    unlink(link);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(in_order),  TEST(what_was_there),    TEST(what_does_not_fit), TEST(bounded),
        TEST(slow_disk), TEST(too_large),         TEST(no_such_folder),    TEST(disk_full),
        TEST(cut_back),  TEST(names_of_one_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
