/*
 * What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput: libFuzzer calls it
 * (./dev fuzz), or main.c, which needs no libFuzzer and gives it the corpus (a test). Each call
 * begins anew: the same bytes do the same things, and nothing is left behind.
 *
 * A target that builds what it tests from the bytes takes them one decision at a time; when there
 * are none left every decision is 0.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Always 0. Aborts on a finding, or a sanitizer does. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the program: that is how a finding is told. */
#define FUZZ_CHECK(what)                                                                           \
    do {                                                                                           \
        if (!(what))                                                                               \
            fuzz_found(__FILE__, __LINE__, #what);                                                 \
    } while (0)

static inline void __attribute__((noreturn))
fuzz_found(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
    abort();
}

struct fuzz {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t
fuzz_u8(struct fuzz *fuzz)
{
    if (!fuzz->left)
        return 0;
    fuzz->left--;
    return *fuzz->at++;
}

static inline uint16_t
fuzz_u16(struct fuzz *fuzz)
{
    uint16_t low = fuzz_u8(fuzz);

    return (uint16_t)(low | fuzz_u8(fuzz) << 8);
}

static inline uint32_t
fuzz_u32(struct fuzz *fuzz)
{
    uint32_t low = fuzz_u16(fuzz);

    return low | (uint32_t)fuzz_u16(fuzz) << 16;
}

/* 0 … limit - 1; limit: 1 … 256. */
static inline unsigned
fuzz_below(struct fuzz *fuzz, unsigned limit)
{
    return fuzz_u8(fuzz) % limit;
}

#endif
