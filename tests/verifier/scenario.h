/*
 * One life that walks everything the contract rules speak about, as a list of named steps. Each
 * step brings its own connections and leaves the stage as it found it, but for what its comment
 * says.
 */
#ifndef TESTS_VERIFIER_SCENARIO_H
#define TESTS_VERIFIER_SCENARIO_H

#include "world.h"

struct step {
    const char *name;
    void (*run)(struct world *world);
};

/* Runs the steps of every list, in order, until one fails; then the house goes down. The world is
 * readable afterwards. */
void scenario_run(struct world *world, unsigned floors, struct observer *observer);

/* Each ends with an empty one. */
extern const struct step steps_begin[], steps_state[], steps_tree[], steps_data[], steps_move[],
    steps_end[];

/* ---- what many steps do ---- */

/* A new connection over p4 that is down when it returns. */
struct bh_conn *step_lend(struct world *world);
/* One that is at home. */
struct bh_conn *step_conn(struct world *world, struct bh_path *path);
/* Offloads it, with what is below it. */
void step_offload(struct world *world, struct bh_conn *conn);
/* Takes it back. */
void step_upload(struct world *world, struct bh_conn *conn);
/* So many bytes arrive, are indicated and taken. */
void step_hear(struct world *world, struct bh_conn *conn, ULONG bytes);
/* So many bytes are sent and acknowledged. */
void step_say(struct world *world, struct bh_conn *conn, ULONG bytes);
/* The delegated state as the target has it now. */
const TCP_OFFLOAD_STATE_DELEGATED *step_query(struct world *world, struct bh_conn *conn);

#endif
