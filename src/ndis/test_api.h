/*
 * The table of the API (api_test.c): for every declared function something that succeeds and
 * something that fails as documented, or the reason why it cannot fail.
 *
 * What calls the API in that test is compiled with the header that tools/api-names makes in front:
 * it numbers the functions (API_NdisX) and counts their calls.
 */
#ifndef NDIS_TEST_API_H
#define NDIS_TEST_API_H

#include <stddef.h>

struct stage;

struct api_row {
    int name;  /* enum api_name */
    int limit; /* the highest level it may be called at */
    void (*succeeds)(struct stage *stage);
    void (*fails)(struct stage *stage);
    const char *never_fails; /* why */
};

/* No limit. */
#define API_ANY HIGH_LEVEL

#define ROW(function, level, ok, bad)                                                              \
    {                                                                                              \
        .name = API_##function, .limit = (level), .succeeds = (ok), .fails = (bad)                 \
    }
#define ROW_SURE(function, level, ok, why)                                                         \
    {                                                                                              \
        .name = API_##function, .limit = (level), .succeeds = (ok), .never_fails = (why)           \
    }

struct api_rows {
    const struct api_row *rows;
    size_t count;
};
extern const struct api_rows api_drivers, api_paths, api_chimney, api_buffers, api_services;

#endif
