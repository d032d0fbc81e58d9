/*
 * What threads need of each other: a lock for a few instructions, a gate to wait at, and a name.
 *
 * Threads: any.
 */
#ifndef SYS_LOCK_H
#define SYS_LOCK_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Held for a few instructions, never while somebody else's code is called: whoever waits spins,
 * and lets others run now and then. All zero: free.
 */
struct sys_lock {
    bool taken;
};

void sys_lock_wait(struct sys_lock *lock);
/* Between two reads of whoever waits for a lock of another kind; *reads starts with 0. */
void sys_lock_spin(unsigned *reads);

static inline void
sys_lock_take(struct sys_lock *lock)
{
    if (__builtin_expect(__atomic_exchange_n(&lock->taken, true, __ATOMIC_ACQUIRE), false))
        sys_lock_wait(lock);
}

static inline void
sys_lock_give(struct sys_lock *lock)
{
    __atomic_store_n(&lock->taken, false, __ATOMIC_RELEASE);
}

/* A place where one thread sleeps until another one opens it. */
struct sys_gate {
    pthread_mutex_t mutex;
    pthread_cond_t opened;
    bool open;
};

void sys_gate_init(struct sys_gate *gate);
/* Nobody waits, and whoever opened it has returned. */
void sys_gate_fini(struct sys_gate *gate);
void sys_gate_open(struct sys_gate *gate);
/* false: the time is over. */
bool sys_gate_wait(struct sys_gate *gate, uint64_t timeout_us);

extern _Thread_local char sys_thread_mark;

/* Tells threads apart, as long as they live. */
static inline const void *
sys_thread_self(void)
{
    return &sys_thread_mark;
}

#endif
