/* Both sides can compute every byte of every stream: eight at a time, by their place in it. */
#include "base/hash.h"
#include "sim.h"

#include <string.h>

static uint64_t
word_at(uint64_t seed, uint64_t at)
{
    return hash_mix(seed ^ HASH_ODD_1, at / 8 + HASH_ODD_2);
}

/* Whole words, which most are, are one load or store and no call: every byte of a run comes by. */
static void
put_word(uint8_t *bytes, uint64_t word, size_t part)
{
    if (part == sizeof(word))
        memcpy(bytes, &word, sizeof(word));
    else
        memcpy(bytes, &word, part);
}

static bool
is_word(const uint8_t *bytes, uint64_t word, size_t part)
{
    uint64_t there;

    if (part < sizeof(word))
        return memcmp(bytes, &word, part) == 0;
    memcpy(&there, bytes, sizeof(there));
    return there == word;
}

void
sim_stream_fill(uint64_t seed, uint64_t at, uint8_t *bytes, size_t len)
{
    while (len) {
        uint64_t word = word_at(seed, at) >> at % 8 * 8;
        size_t part = 8 - at % 8 < len ? 8 - at % 8 : len;
        put_word(bytes, word, part);
        bytes += part;
        at += part;
        len -= part;
    }
}

bool
sim_stream_is(uint64_t seed, uint64_t at, const uint8_t *bytes, size_t len)
{
    while (len) {
        uint64_t word = word_at(seed, at) >> at % 8 * 8;
        size_t part = 8 - at % 8 < len ? 8 - at % 8 : len;
        if (!is_word(bytes, word, part))
            return false;
        bytes += part;
        at += part;
        len -= part;
    }
    return true;
}
