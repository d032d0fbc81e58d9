/* Part of the stage: the drivers between a host and its target. */
#ifndef TESTS_HOUSE_STAGE_FLOORS_H
#define TESTS_HOUSE_STAGE_FLOORS_H

#include "stage.h"

/* What stands in for a driver of the tree, from that file; NULL: the tree's. */
void stage_load_driver(struct stage *stage, const char *name, const char *file,
                       house_driver_entry entry);
/* One floor on the adapter below; the adapter it makes. */
const char *stage_build_floor(struct stage *stage, enum stage_side side, const char *below,
                              const char *text);
/* The list that the environment wants on that side of such a stage; NULL: none. */
const char *stage_environment(const struct stage_options *options, enum stage_side side);
/* A list as users write it, from the top down; the adapter at the top. */
const char *stage_build_floors(struct stage *stage, enum stage_side side, const char *below,
                               const char *list);

#endif
