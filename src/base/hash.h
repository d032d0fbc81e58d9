/*
 * A fast keyed hash for tables in memory. Not cryptographic; with a random seed good enough that
 * nobody outside chooses the collisions cheaply. The core is a 64 x 64 multiplication whose halves
 * are folded together.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_ODD_1 0x9e3779b97f4a7c15u /* 2^64 / golden ratio */
#define HASH_ODD_2 0xd1342543de82ef95u /* a good multiplier of a 64-bit congruential generator */

static inline uint64_t
hash_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* One more word into a hash in progress. */
static inline uint64_t
hash_word(uint64_t hash, uint64_t word)
{
    return hash_mix(hash ^ HASH_ODD_2, word ^ HASH_ODD_1) + word;
}

static inline uint64_t
hash_bytes(const void *data, size_t len, uint64_t seed)
{
    const uint8_t *at = data;
    uint64_t hash = seed ^ len * HASH_ODD_1;
    uint64_t word;

    for (; len >= sizeof(word); at += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, at, sizeof(word));
        hash = hash_word(hash, word);
    }
    word = 0;
    memcpy(&word, at, len);
    return hash_mix(hash_word(hash, word), HASH_ODD_1);
}

/* The two ends of a connection; address_len is 4 or 16, byte order as the caller likes. */
static inline uint64_t
hash_tuple(const void *local, const void *peer, size_t address_len, uint16_t local_port,
           uint16_t peer_port, uint64_t seed)
{
    uint64_t hash = hash_word(seed, (uint64_t)local_port << 16 | peer_port);
    uint64_t words[4];

    if (address_len == 4) {
        memcpy(words, local, 4);
        memcpy((uint8_t *)words + 4, peer, 4);
        return hash_mix(hash_word(hash, words[0]), HASH_ODD_1);
    }
    memcpy(words, local, 16);
    memcpy(words + 2, peer, 16);
    for (size_t i = 0; i < 4; i++)
        hash = hash_word(hash, words[i]);
    return hash_mix(hash, HASH_ODD_1);
}

#endif
