/*
 * The world of the scenario: a house in virtual time with the three drivers in it,
 *
 *   host ── im × floors ── target ── the scenario plays the NIC and the peer
 *
 * and soft checks: a failed one is written down and ends the run there, because with a mutation in
 * force anything may happen.
 */
#ifndef TESTS_VERIFIER_WORLD_H
#define TESTS_VERIFIER_WORLD_H

#include "bad_host.h"
#include "bad_im.h"
#include "bad_target.h"
#include "chimney/house.h"
#include "chimney/observer.h"
#include "sys/loop.h"

#include <setjmp.h>

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

    struct sys_timer alarm;
    bool alarmed;

    jmp_buf out; /* of the step */
    bool stepping;
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
/* Calls fn once, so much later. One at a time. */
void world_alarm(struct world *world, unsigned ms, void (*fn)(void *world));
void world_alarm_end(struct world *world);

/* Writes a failure down; within a step it does not come back then. */
void world_expect(struct world *world, bool ok, const char *what, const char *file, int line);
#define EXPECT(world, condition) world_expect((world), (condition), #condition, __FILE__, __LINE__)

#endif
