/*
 * The clocks of the machine. For measurement; what computes gets time as an argument.
 * Threads: any.
 */
#ifndef SYS_CLOCK_H
#define SYS_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC; comparable with bpf_ktime_get_ns. */
uint64_t sys_clock_ns(void);
/* The same, rounded down to microseconds. */
uint64_t sys_clock_us(void);
/* CLOCK_REALTIME: microseconds since 1970, by whatever the machine was told. */
uint64_t sys_clock_wall_us(void);

#endif
