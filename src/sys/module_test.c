/* Objects that fit, objects that do not, and what is said about those. Arguments: the samples. */
#include "sys/module.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char *plain, *needs, *broken;
static char why[1024];

__attribute__((visibility("default"))) int module_test_offers(int value);

int
module_test_offers(int value)
{
    return value + 41;
}

static struct sys_module *
open_it(const char *path)
{
    struct sys_module *module = NULL;

    assert_int_equal(sys_module_open(path, &module, why, sizeof(why)), 0);
    assert_non_null(module);
    return module;
}

static int
refused(const char *path)
{
    struct sys_module *module = (struct sys_module *)why;
    int error;

    memset(why, 0, sizeof(why));
    error = sys_module_open(path, &module, why, sizeof(why));
    assert_ptr_equal(module, why); /* untouched */
    assert_int_not_equal(why[0], 0);
    return error;
}

static int
value_of(struct sys_module *module)
{
    int (*value)(void) = (int (*)(void))sys_module_function(module, "module_value");

    assert_non_null(value);
    return value();
}

static void
exported_names_are_found(void **state)
{
    struct sys_module *module = open_it(plain);

    assert_int_equal(value_of(module), 8);
    assert_null(sys_module_function(module, "module_hidden"));
    assert_null(sys_module_function(module, "no_such_name"));
    sys_module_close(module);
}

static void
it_finds_what_the_program_offers(void **state)
{
    struct sys_module *module = open_it(needs);

    assert_int_equal(value_of(module), 42);
    sys_module_close(module);
}

static void
its_addresses_are_told_from_others(void **state)
{
    struct sys_module *module = open_it(plain), *other = open_it(needs);
    void (*function)(void) = sys_module_function(module, "module_value");

    assert_true(sys_module_contains(module, (const void *)function));
    assert_false(sys_module_contains(other, (const void *)function));
    assert_false(sys_module_contains(module, (const void *)module_test_offers));
    assert_false(sys_module_contains(module, &function));
    assert_false(sys_module_contains(module, NULL));
    sys_module_close(module);
    sys_module_close(other);
}

/* The second open does not start it afresh, the last close ends it. */
static void
one_object_is_open_once(void **state)
{
    struct sys_module *one = open_it(plain), *again = open_it(plain), *other = open_it(needs);

    assert_true(sys_module_same(one, again));
    assert_false(sys_module_same(one, other));
    assert_int_equal(value_of(one), 8);
    sys_module_close(one);
    assert_int_equal(value_of(again), 9);
    sys_module_close(again);
    again = open_it(plain);
    assert_int_equal(value_of(again), 8);
    sys_module_close(again);
    sys_module_close(other);
}

static void
everything_missing_is_named(void **state)
{
    assert_int_equal(refused(broken), -ENOEXEC);
    assert_non_null(strstr(why, "module_wants_this"));
    assert_non_null(strstr(why, "module_wants_that"));
    assert_null(strstr(why, "module_value"));
}

static void
a_short_text_is_cut(void **state)
{
    struct sys_module *module = NULL;
    char few[24];

    assert_int_equal(sys_module_open(broken, &module, few, sizeof(few)), -ENOEXEC);
    assert_true(memchr(few, '\0', sizeof(few)) != NULL);
}

static void
files_that_are_not_there(void **state)
{
    assert_int_equal(refused("/nowhere/driver.so"), -ENOENT);
    assert_non_null(strstr(why, "No such file"));
    assert_int_equal(refused(""), -ENOENT);
    assert_int_equal(refused("/dev/null/driver.so"), -ENOTDIR);
}

/* The first size bytes of a file, with one byte changed. */
static void
write_damaged(const char *path, const char *from, size_t size, size_t at, uint8_t change)
{
    FILE *in = fopen(from, "rb"), *out = fopen(path, "wb");
    char *bytes = malloc(size);

    assert_true(in != NULL && out != NULL && bytes != NULL);
    size = fread(bytes, 1, size, in);
    if (at < size)
        bytes[at] = (char)(bytes[at] ^ change);
    assert_int_equal(fwrite(bytes, 1, size, out), size);
    free(bytes);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/*
 * The reader of symbol tables must stand anything. Only files that the loader refuses get as far as
 * it, so it is the one that needs what nobody has.
 */
static void
damaged_files_are_refused(void **state)
{
    char directory[] = "/tmp/module_test-XXXXXX", path[64];
    struct stat status;

    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/x.so", directory);
    assert_int_equal(refused(directory), -ENOEXEC);
    write_damaged(path, plain, 0, 0, 0);
    assert_int_equal(refused(path), -ENOEXEC);
    write_damaged(path, plain, 5, 0, 0);
    assert_int_equal(refused(path), -ENOEXEC);
    write_damaged(path, plain, 200, 0, 0);
    assert_int_equal(refused(path), -ENOEXEC);
    assert_int_equal(stat(broken, &status), 0);
    for (size_t at = 4; at < 64; at++) { /* the whole header */
        write_damaged(path, broken, (size_t)status.st_size, at, 0xff);
        assert_int_equal(refused(path), -ENOEXEC);
    }
    for (size_t cut = 1; cut < 64; cut++) { /* the section headers are at the end */
        write_damaged(path, broken, (size_t)status.st_size - cut * 32, SIZE_MAX, 0);
        assert_int_equal(refused(path), -ENOEXEC);
    }
    unlink(path);
    rmdir(directory);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exported_names_are_found),
        cmocka_unit_test(it_finds_what_the_program_offers),
        cmocka_unit_test(its_addresses_are_told_from_others),
        cmocka_unit_test(one_object_is_open_once),
        cmocka_unit_test(everything_missing_is_named),
        cmocka_unit_test(a_short_text_is_cut),
        cmocka_unit_test(files_that_are_not_there),
        cmocka_unit_test(damaged_files_are_refused),
    };

    for (int i = 1; i < argc; i++) {
        if (strstr(argv[i], "module_plain"))
            plain = argv[i];
        else if (strstr(argv[i], "module_needs"))
            needs = argv[i];
        else if (strstr(argv[i], "module_broken"))
            broken = argv[i];
    }
    if (plain == NULL || needs == NULL || broken == NULL) {
        fprintf(stderr, "usage: %s module_plain.so module_needs.so module_broken.so\n", argv[0]);
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
