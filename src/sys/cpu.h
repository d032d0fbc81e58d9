/* How many processors there are. Threads: any. */
#ifndef SYS_CPU_H
#define SYS_CPU_H

/* Online now; at least 1. */
unsigned sys_cpu_count(void);

#endif
