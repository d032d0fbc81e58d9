/* Part of the stage: stacks of drivers, drawn from a seed. */
#ifndef TESTS_HOUSE_STAGE_DRAW_H
#define TESTS_HOUSE_STAGE_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#define STAGE_LIST_SIZE 4096 /* of a stack as users write it */

/* What HOUSE_FLOORS and HOUSE_FAR_FLOORS would say; the one on the right may be empty. */
struct stage_stacks {
    char floors[2][STAGE_LIST_SIZE];
};

/*
 * One to eight of the intermediate drivers in any order on the left, none or as many on the right,
 * of which the same seed makes the same. Everything can be offloaded through them, and both ends
 * are in the same VLAN, if in any. faults: the floors fault do what the contract allows to
 * completions and frames; otherwise they have rules whose turn never comes.
 */
void stage_draw(uint64_t seed, bool faults, struct stage_stacks *out);

#endif
