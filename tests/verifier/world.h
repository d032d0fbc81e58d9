/*
 * The world of the scenario: a house in virtual time with the three drivers in it,
 *
 *   host ── im × floors ── target ── the scenario plays the NIC and the peer
 *
 * and soft checks: a failed one is written down, and the run ends after its step, because with a
 * mutation in force anything may happen.
 */
#ifndef TESTS_VERIFIER_WORLD_H
#define TESTS_VERIFIER_WORLD_H

#include "bad_host.h"
#include "bad_im.h"
#include "bad_target.h"
#include "chimney/house.h"
#include "chimney/observer.h"
#include "sys/loop.h"

#define WORLD_FLOORS_MAX 2

struct world {
    struct sys_loop *loop;
    struct house *house;
    unsigned floors; /* intermediate drivers */
    const char *top; /* the adapter the host is bound to */
    struct bad_target target;
    struct bad_im im;
    struct bad_host host;

    /* who is on stage */
    struct bh_neighbor *n1, *n2;
    struct bh_path *p4;
    struct bh_conn *a, *b;
    USHORT last_port;

    const char *step;
    unsigned failures;
    char first[256];     /* the first failure */
    unsigned complaints; /* lines of level WARN or worse */
    unsigned excused;    /* of them, those the scenario provoked */
    char complaint[256]; /* the first */
};

/* An empty house. Owner: the observer stays the caller's; NULL: none. */
void world_open(struct world *world, unsigned floors, struct observer *observer);
/* Takes down whatever stands. */
void world_close(struct world *world);

/* Turns the loop until nothing is due at this moment. */
void world_settle(struct world *world);
void world_pass(struct world *world, unsigned ms);
/* Calls fn once, so much later. */
struct world_alarm {
    struct sys_timer timer;
};
void world_alarm(struct world *world, struct world_alarm *alarm, unsigned ms,
                 void (*fn)(void *world));
void world_alarm_end(struct world_alarm *alarm);

/* Writes a failure down; returns what it was given. */
bool world_expect(struct world *world, bool ok, const char *what, const char *file, int line);
#define EXPECT(world, condition) world_expect((world), (condition), #condition, __FILE__, __LINE__)

#endif
