/*
 * A team of two members on the left. The peer is behind a small bridge of the test: it remembers
 * through which of the two it has heard the left side last, and forgets that when the cable is
 * pulled. What a host stack says to bridges after a fail-over the script does not: whoever sees the
 * RESUME, or the link of the team change, tells this bridge.
 *
 *   left ── team p1 ─┬─ soft a0 ── cable 0 ─┬─ bridge ── soft b0 ── right
 *                    └─ soft a1 ── cable 1 ─┘
 *
 * For a team in mode hash the bridge makes one of the two cables: it answers a flow through the
 * cable that it has heard it from last, or, as other hashes would, through the other one.
 *
 * Cable 0 is the stage's wire, whose two ends have the bridge as their receiver, in front of the
 * targets' own.
 */
#ifndef TESTS_HOUSE_TEAM_RIG_H
#define TESTS_HOUSE_TEAM_RIG_H

#include "stage.h"

#include "chimney/team.h"

#define SECOND_US 1000000u
#define MS_US 1000u
#define PAIRS 4
#define FLOWS 64 /* of IPv4, by the left side's port: 40000 + their number */

struct tap {
    const struct wire_receiver *receiver; /* the target's */
    void *arg;
};

enum rig_aggregate { NO_AGGREGATE, SAME_CABLE, OTHER_CABLE };

struct rig {
    struct stage stage;
    struct wire *cable[2]; /* of a1: its end, the bridge's */
    struct tap near, far;  /* of a0, of b0 */
    unsigned from;         /* which cable the frame that is being delivered to b0 came by */
    unsigned port;         /* where the left side is */
    enum rig_aggregate aggregate;
    unsigned heard[FLOWS]; /* cable, and 1; 0: nothing yet */
    unsigned changes;      /* how often one was heard from another cable than before */
    bool up[2];
    uint64_t cut_us[2]; /* what was on the cable when it was pulled arrives before, and is lost */
    uint32_t lag_us;    /* of a cable, at most */
    struct observer observer;
    struct pair pairs[PAIRS];
    struct random random;
    struct sys_timer puller;
    unsigned pulls;
};

void add_second(struct rig *rig, const struct house_option *options);
/* floors: NULL: a team in mode backup. */
void rig_open_as(struct rig *rig, const struct wire_mem_impair *impair, const char *floors,
                 bool late);
void rig_open(struct rig *rig, const struct wire_mem_impair *impair);
void rig_close(struct rig *rig);
void set_cable(struct rig *rig, unsigned cable, bool up);
bool resumed(void *arg);
void open_pairs(struct rig *rig, uint64_t left_bytes, uint64_t right_bytes);
void finish_pairs(struct rig *rig);
bool all_home(void *arg);
/* What team_walk says of one member. */
struct team_info look(const char *member);

#endif
