/* What only the simulated loop can do. Threads: the loop's. */
#ifndef SYS_SIM_SIM_H
#define SYS_SIM_SIM_H

#include <stdint.h>

struct sys_loop;

/*
 * As if the process had been stopped for so long in the middle of whatever it is doing: the time
 * goes on, nothing else does.
 */
void sys_sim_stand_still(struct sys_loop *loop, uint64_t us);

#endif
