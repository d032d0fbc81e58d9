/*
 * The stage of every house test: one house in virtual time, a mem wire, and on each end a soft
 * target under a script host; floors on the left, passthru where a test does not care.
 *
 *   left  ── floors ── soft a0 ── wire ── soft b0 ── floors ── right
 *
 * Connections are pairs of actors. An actor sends a stream that both sides can compute, and
 * compares every byte that it receives. The verifier watches. Closing the stage asserts that
 * nothing was breached, damaged or left behind.
 *
 * HOUSE_TARGET and HOUSE_FLOOR in the environment are paths of drivers that stand in for soft at a0
 * and for passthru, under these names: every test is then one of a driver from outside the tree.
 *
 * HOUSE_FLOORS is a stack, as users write it from the top down, that stands on the left of every
 * test that is not about floors of its own, and HOUSE_FAR_FLOORS one on the right: every test is
 * then one of those drivers. HOUSE_SEED draws both (stage_draw.h), and says what it drew. The
 * program tests/house/stacks runs the suite over many seeds.
 */
#ifndef TESTS_HOUSE_STAGE_H
#define TESTS_HOUSE_STAGE_H

#include "base/random.h"
#include "chimney/house.h"
#include "chimney/verifier.h"
#include "chimney/wire.h"
#include "host/script/script.h"
#include "sys/loop.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define STAGE_FLOORS_MAX 9 /* eight, and a deaf one */

enum stage_side { LEFT, RIGHT };

struct stage_options {
    unsigned passthru;               /* on the left, when the environment names no floors */
    const char *floors, *far_floors; /* these and no others, on the left and the right */
    bool bare;                       /* none but what the test builds itself */
    bool deaf;                       /* the topmost one registers no chimney handlers */
    unsigned mtu;                    /* (1500) */
    bool impaired;
    struct wire_mem_impair impair[2];
    const struct house_option *target; /* of a0 */
    const struct host_tuning *tuning;  /* of the left host; NULL: as it is */
    struct observer *observer;
    bool corrupt;          /* frames are damaged on purpose */
    bool late;             /* NDIS answers opens and closes later */
    const char *left_file; /* a protocol driver that is bound on the left instead of a script */
    bool open_end;         /* nothing stands on the right end of the wire: that is the caller's */
};

struct stage_watch {
    struct stage *stage;
    struct wire *end;
    const char *adapter;
};

struct stage {
    struct sys_loop *loop;
    struct house *house;
    struct verifier *verifier;
    struct wire *ends[2];
    struct stage_watch watches[2];
    struct script *hosts[2];            /* NULL: a driver from a file */
    char loaded[STAGE_FLOORS_MAX][256]; /* drivers in between */
    unsigned loaded_count;
    char floors[2][STAGE_FLOORS_MAX][16];  /* virtual adapters, from below */
    char drivers[2][STAGE_FLOORS_MAX][16]; /* and whose they are */
    unsigned floor_count[2];
    const char *top; /* adapter that the left host is bound to */
    unsigned pairs;
    bool corrupt, drawn; /* drawn: with floors from the environment */
    /* Changes what the verifier is told of a frame; reports are then not complaints: the first
     * rule is in breach. NULL: the truth. */
    void (*tamper)(struct verifier_frame *frame, uint8_t *bytes);
    unsigned breach;
    /* Whether a frame that came is damaged, and nobody's: the verifier does not add sums up. NULL:
     * none is. */
    bool (*damaged)(void *arg, const struct wire_tx *frame);
    /* Hears of every frame of the wire as well. NULL: nobody. */
    void (*witness)(void *arg, enum stage_side side, bool out, const struct wire_tx *frame);
    void *witness_arg;
    unsigned complaints; /* lines of level WARN or worse: closing asserts that there were none */
};

/* Before the tests run: those whose name the pattern matches are about what a target need not have,
 * and are left out when another one stands in. */
void stage_only_soft(const char *pattern);
void stage_open(struct stage *stage, const struct stage_options *options);
/* Part of it: the verifier watches house and ends, what it finds are complaints. */
void stage_watch(struct stage *stage);
void stage_close(struct stage *stage);
/* The driver on the left so many floors down: 0 is the host, behind the last one is the target. */
const char *stage_driver(const struct stage *stage, unsigned down);
/* Another wire of the left side. */
void stage_watch_wire(struct stage_watch *watch);
/* The second half of it: what is left when the house is gone. */
void stage_close_wires(struct stage *stage);
/* Turns the loop until done(arg) or limit_us of virtual time have passed; true: done. */
bool stage_run(struct stage *stage, bool (*done)(void *arg), void *arg, uint64_t limit_us);
/* Turns for so long. */
void stage_pass(struct stage *stage, uint64_t us);

/* ---- actors ---- */

struct actor {
    struct stage *stage;
    struct script_conn *conn;
    struct actor *peer;
    uint64_t seed; /* of what it sends */
    uint64_t to_send, sent, received, wrong;
    bool close_when_sent;
    bool fin, ended;
    enum script_end end;
    unsigned moves;
    struct script_move last_move;
    unsigned queries;
    NDIS_STATUS query_status;
    TCP_OFFLOAD_STATE_DELEGATED queried;

    /* the mover: every so often the connection goes where it is not */
    struct sys_timer mover;
    struct random random;
    unsigned moves_left;
    uint32_t move_min_us, move_max_us;
    uint64_t move_bytes, since_move; /* or after so many received bytes; 0: by time */
    int last_error;
};

struct pair {
    struct actor actors[2];
};

/* sides[i]: options of that side; addresses, ports, sequence numbers are filled in (sequence
 * numbers if zero). */
void pair_open(struct stage *stage, struct pair *pair, const struct script_options sides[2]);
/* Brings both home, if need be, and frees them. */
void pair_close(struct pair *pair);
/* Both directions: so many bytes, then FIN if close is set. */
void pair_send(struct pair *pair, uint64_t left_bytes, uint64_t right_bytes, bool close);
/* Everything sent has arrived (and both have seen the FIN, if one was asked for). */
bool pair_done(void *pair);
bool pair_ended(void *pair);
void pair_check(struct pair *pair);

void actor_send(struct actor *actor, uint64_t bytes, bool close);
void actor_start_moving(struct actor *actor, uint64_t seed, unsigned moves, uint32_t min_us,
                        uint32_t max_us);
/* For wires on which no time passes. */
void actor_move_every(struct actor *actor, uint64_t bytes, unsigned moves);
/* Moves once and waits for the answer; asserts that it went well. */
void actor_offload(struct actor *actor);
void actor_upload(struct actor *actor);
bool actor_with_target(void *actor);
bool actor_at_home(void *actor);

/* DriverEntry of a passthru without chimney handlers. */
NDIS_STATUS deaf_entry(PDRIVER_OBJECT driver, PUNICODE_STRING registry_path);

#endif
