/*
 * The corpus as a test, with any compiler: every file of a folder, and every beginning of it (of a
 * long one only some), goes through the target this is linked with. Prints TAP. With a second
 * folder the files are written there instead, as libFuzzer wants them.
 *
 * A file is what it says, except that one called .hex is text: two digits a byte, and comments
 * from # to the end of the line.
 */
#include "fuzz.h"

#include <ctype.h>
#include <dirent.h>
#include <string.h>

#define FILE_MAX (1u << 20)
#define BEGINNINGS 256u /* of one file, about */

static int
is_file(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Each in memory of its own, so that a sanitizer sees what is read behind it. */
static void
run(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);

    if (!copy)
        abort();
    if (size)
        memcpy(copy, bytes, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* In place; false: it is something else. */
static bool
from_hex(uint8_t *bytes, size_t *size)
{
    size_t made = 0;

    for (size_t at = 0; at < *size; at++) {
        char digits[3] = {(char)bytes[at], at + 1 < *size ? (char)bytes[at + 1] : ' ', '\0'};

        if (isspace(bytes[at]))
            continue;
        if (bytes[at] == '#') {
            while (at + 1 < *size && bytes[at] != '\n')
                at++;
            continue;
        }
        if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]))
            return false;
        bytes[made++] = (uint8_t)strtoul(digits, NULL, 16);
        at++;
    }
    *size = made;
    return true;
}

static bool
read_file(const char *folder, const char *name, uint8_t bytes[FILE_MAX], size_t *size)
{
    char path[4096];
    size_t length = strlen(name);

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    *size = fread(bytes, 1, FILE_MAX, file);
    fclose(file);
    return length < 4 || strcmp(name + length - 4, ".hex") != 0 || from_hex(bytes, size);
}

static bool
write_file(const char *folder, const char *name, const uint8_t *bytes, size_t size)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    if (!file)
        return false;
    bool good = fwrite(bytes, 1, size, file) == size;
    return fclose(file) == 0 && good;
}

/* to: NULL, or where it is written. */
static bool
handle(const char *folder, const char *name, const char *to)
{
    static uint8_t bytes[FILE_MAX];
    size_t size;

    if (!read_file(folder, name, bytes, &size))
        return false;
    if (to)
        return write_file(to, name, bytes, size);
    for (size_t part = 0; part < size; part += 1 + size / BEGINNINGS)
        run(bytes, part);
    run(bytes, size);
    return true;
}

int
main(int argc, char **argv)
{
    struct dirent **entries;
    int count = argc == 2 || argc == 3 ? scandir(argv[1], &entries, is_file, alphasort) : -1;
    bool good = true;

    if (count < 1) {
        fprintf(stderr, "usage: %s FOLDER [FOLDER], with files in the first\n", argv[0]);
        return 2;
    }
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        bool ok = handle(argv[1], entries[i]->d_name, argv[2]);
        printf("%s %d - %s\n", ok ? "ok" : "not ok", i + 1, entries[i]->d_name);
        fflush(stdout);
        good = good && ok;
        free(entries[i]);
    }
    free(entries);
    return good ? 0 : 1;
}
