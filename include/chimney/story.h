/*
 * The story of the demo without privileges: one download between two host stacks in this process,
 * over a wire in memory, while the sender's connection moves to the offload target and back. The
 * same drivers, the same calls.
 *
 * Threads: the loop's; the call returns when the story is over.
 */
#ifndef CHIMNEY_STORY_H
#define CHIMNEY_STORY_H

#include <stdbool.h>
#include <stdint.h>

struct observer;
struct sys_loop;

/* One move, as it ends. */
struct script_story_move {
    unsigned number; /* from 1 */
    bool down;       /* to the target; otherwise back */
    bool refused;
    uint64_t held_us;       /* the connection belonged to nobody */
    uint32_t send_bytes;    /* carried: not acknowledged yet */
    uint32_t receive_bytes; /* carried: received, not delivered */
    uint64_t bytes;         /* of the download that have arrived so far */
};

/* Zero means the default in parentheses. */
struct script_story_options {
    uint64_t bytes;           /* (64 MiB) */
    unsigned moves;           /* (20) evenly over the download */
    unsigned passthru;        /* intermediate drivers between host and target, at most 2 */
    uint64_t bits_per_second; /* (unlimited) of the wire */
    uint32_t delay_us;        /* (100) one way */
    uint32_t loss_ppm, reorder_ppm;
    uint64_t seed;
    uint64_t limit_us;         /* (600 s) of the loop's time; then the story has failed */
    struct observer *observer; /* of the house, to the end of the call; NULL: none */
    void (*on_move)(void *arg, const struct script_story_move *move);
    void (*on_progress)(void *arg, uint64_t bytes,
                        bool with_target); /* about four times a second */
    void *arg;
};

struct script_story_totals {
    uint64_t bytes; /* arrived */
    uint64_t wrong; /* of these, differing from what was sent */
    bool complete;  /* everything arrived, both ends closed in order */
    unsigned moves, refused;
    uint64_t engine_bytes; /* sent and acknowledged while the target owned the connection */
    uint64_t resets;       /* seen by the receiver */
    uint64_t breaches;     /* the two sides of a move disagreed */
    uint64_t elapsed_us;
};

/* 0 or a negative errno: the house could not be built. What became of the download is in *totals.
 */
int script_story_run(struct sys_loop *loop, const struct script_story_options *options,
                     struct script_story_totals *totals);

#endif
