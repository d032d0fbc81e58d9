/* Processors (cpu.h). */
#include "sys/cpu.h"

#include <unistd.h>

unsigned
sys_cpu_count(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (unsigned)count : 1;
}
