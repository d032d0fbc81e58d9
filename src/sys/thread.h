/* What a thread beside the loop begins with. Private to src/sys. */
#ifndef SYS_THREAD_H
#define SYS_THREAD_H

#include <pthread.h>
#include <sched.h>

/*
 * The calling thread gives up the real-time priority that it has inherited if the program runs with
 * one (chrt): that is for the loop, which must not wait for somebody who reads /proc or writes a
 * file. Nothing happens if it has none.
 */
static inline void
sys_thread_ordinary(void)
{
    const struct sched_param none = {.sched_priority = 0};
    int policy = sched_getscheduler(0);

    if (policy == SCHED_RR || policy == SCHED_FIFO)
        pthread_setschedparam(pthread_self(), SCHED_OTHER, &none);
}

#endif
