/*
 * OURS: what a program may ask of the driver `team`, which makes one virtual adapter of several
 * (its members): which there are, where the connections and frames go, and to leave one.
 *
 * Threads: the loop's of the house, never from inside a driver's callback. The teams are those of
 * the process.
 */
#ifndef CHIMNEY_TEAM_H
#define CHIMNEY_TEAM_H

#include <stdbool.h>

struct team_info {
    const char *team;     /* the virtual adapter */
    const char *member;   /* an adapter under it */
    const char *mode;     /* "backup", "hash" */
    bool active;          /* frames go through it, and so do new offloads; hash: several are */
    bool moving;          /* active, and what was offloaded before is still coming home */
    bool link;            /* it has carrier */
    bool running;         /* its binding is, and it has power */
    bool failed;          /* team_fail said so */
    unsigned switches;    /* of the team: how often another member became the active one; hash: how
                             often others were used than before */
    unsigned connections; /* offloaded to it */
};

/* Every member of every team, in the order in which they joined. */
void team_walk(void (*fn)(void *arg, const struct team_info *info), void *arg);

/*
 * From now on the member is not used, whatever its link says; or it is used again. member: an
 * adapter's name, or what follows its last '.' (the wire of one under a port) if one team has it.
 * 0; -ENOENT: there is none; -ENOTUNIQ: more than one; -EALREADY: it is so; -ENOLINK: no other
 * member could take over.
 */
int team_fail(const char *member);
int team_restore(const char *member);

#endif
