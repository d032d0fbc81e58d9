/*
 * A small seeded generator: every decision it makes can be made again. For tests, impairment and
 * jitter; never for secrets. The state is a counter, the output its scrambled value (splitmix64):
 * any seed is a good seed, and a stream for another purpose is made by another seed.
 */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

static inline void
random_init(struct random *random, uint64_t seed)
{
    random->state = seed;
}

static inline uint64_t
random_u64(struct random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline uint32_t
random_u32(struct random *random)
{
    return (uint32_t)(random_u64(random) >> 32);
}

/* Uniform in [0, limit); limit 0 gives 0. The bias is below 2^-32. */
static inline uint32_t
random_below(struct random *random, uint32_t limit)
{
    return (uint32_t)((uint64_t)random_u32(random) * limit >> 32);
}

/* True with a probability of ppm parts per million. Draws once whatever ppm is. */
static inline bool
random_chance_ppm(struct random *random, uint32_t ppm)
{
    return random_below(random, 1000000) < ppm;
}

#endif
