/*
 * Clocks through the vDSO: some twenty nanoseconds a call, no system call.
 */
#include "sys/clock.h"

#include <time.h>

uint64_t
sys_clock_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
sys_clock_us(void)
{
    return sys_clock_ns() / 1000;
}

uint64_t
sys_clock_wall_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000;
}
