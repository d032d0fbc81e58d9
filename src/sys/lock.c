/*
 * Waiting, of two kinds (lock.h). A lock is held for so short a time that a waiter reads until it
 * is free; but its owner may have been taken off the processor, so after some reads the waiter
 * gives its own away. A gate sleeps.
 */
#include "sys/lock.h"

#include <sched.h>
#include <time.h>

#define READS_BEFORE_YIELD 100

_Thread_local char sys_thread_mark;

void
sys_lock_spin(unsigned *reads)
{
    if (++*reads % READS_BEFORE_YIELD == 0)
        sched_yield();
}

void
sys_lock_wait(struct sys_lock *lock)
{
    unsigned reads = 0;

    do {
        while (__atomic_load_n(&lock->taken, __ATOMIC_RELAXED))
            sys_lock_spin(&reads);
    } while (__atomic_exchange_n(&lock->taken, true, __ATOMIC_ACQUIRE));
}

void
sys_gate_init(struct sys_gate *gate)
{
    pthread_condattr_t monotonic;

    pthread_mutex_init(&gate->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&gate->opened, &monotonic);
    pthread_condattr_destroy(&monotonic);
    gate->open = false;
}

void
sys_gate_fini(struct sys_gate *gate)
{
    pthread_cond_destroy(&gate->opened);
    pthread_mutex_destroy(&gate->mutex);
}

void
sys_gate_open(struct sys_gate *gate)
{
    pthread_mutex_lock(&gate->mutex);
    gate->open = true;
    pthread_cond_signal(&gate->opened);
    pthread_mutex_unlock(&gate->mutex);
}

bool
sys_gate_wait(struct sys_gate *gate, uint64_t timeout_us)
{
    struct timespec until;
    int error = 0;
    bool open;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_us / 1000000);
    until.tv_nsec += (long)(timeout_us % 1000000) * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&gate->mutex);
    while (!gate->open && error == 0)
        error = pthread_cond_timedwait(&gate->opened, &gate->mutex, &until);
    open = gate->open;
    pthread_mutex_unlock(&gate->mutex);
    return open;
}
