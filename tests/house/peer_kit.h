/*
 * What the tests of the peer share: two of them over a wire that mistreats frames, and one that is
 * told segments made by hand. Streams are computed: the first side sends that of seed 10, the
 * second that of seed 11.
 */
#ifndef TESTS_HOUSE_PEER_KIT_H
#define TESTS_HOUSE_PEER_KIT_H

#include "base/random.h"
#include "chimney/wire.h"
#include "peer.h"

#define SECOND_US 1000000ull

struct side {
    struct peer *peer;
    struct wire *wire; /* NULL: what is sent is kept in last */
    uint64_t seed, other_seed;
    uint64_t received;
    bool fin;
    enum peer_end end;
    unsigned violations, ends;
    unsigned ce_ppm; /* of what it receives */
    struct random random;
    uint8_t last[2048];
    size_t last_len;
    unsigned sent;
};

struct couple {
    struct sys_loop *loop;
    struct wire *wires[2];
    struct side sides[2];
};

struct lonely {
    struct sys_loop *loop;
    struct side side;
    struct peer_path back;
    uint32_t seq, ack;
};

extern const struct wire_mem_impair kit_quiet, kit_awful;

uint8_t kit_stream_byte(uint64_t seed, uint64_t at);

void couple_open(struct couple *couple, const struct peer_options *base,
                 const struct wire_mem_impair *impair, uint64_t seed);
/* Neither may have found anything wrong with the other. */
void couple_close(struct couple *couple);
/* Until both have ended, at most so long. */
void couple_turn(struct couple *couple, uint64_t us);
/* So many bytes each way, and both close: all arrives. */
void couple_streams(struct couple *couple, uint64_t first, uint64_t second);

void lonely_open(struct lonely *lonely, const struct peer_options *base);
void lonely_close(struct lonely *lonely, unsigned violations);
/* A segment at offset at of the stream, with len right bytes. */
void lonely_feed(struct lonely *lonely, uint32_t at, uint32_t len, struct peer_segment segment);
/* What it said last. */
struct peer_segment lonely_answer(const struct lonely *lonely);

#endif
