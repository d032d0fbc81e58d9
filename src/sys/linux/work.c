/*
 * Work beside the loop: one thread for each, which lives as long as its work does. An idle pool
 * would be cheaper to start and dearer to have: while there is a second thread the kernel counts
 * references to a descriptor at every call on it, and a process gives its descriptors up when the
 * last thread is dead. Work is rare (a person asks).
 */
#include "sys/loop.h"
#include "sys/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#define STACK_BYTES (256 * 1024)

static void *
work_beside(void *arg)
{
    struct sys_work *work = arg;

    sys_thread_ordinary();
    work->fn(work->arg);
    sys_loop_post(work->loop, &work->task);
    return NULL;
}

/* The thread may still be on its way out of sys_loop_post. */
static void
work_done(void *arg)
{
    struct sys_work *work = arg;
    pthread_t *thread = work->impl;

    pthread_join(*thread, NULL);
    free(thread);
    work->impl = NULL;
    work->done(work->arg);
}

int
sys_work_start(struct sys_work *work, struct sys_loop *loop, void (*fn)(void *arg),
               void (*done)(void *arg), void *arg)
{
    pthread_t *thread = malloc(sizeof(*thread));
    pthread_attr_t attributes;
    int error;

    if (thread == NULL)
        return -ENOMEM;
    *work = (struct sys_work){.loop = loop, .fn = fn, .done = done, .arg = arg, .impl = thread};
    sys_task_init(&work->task, work_done, work);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    error = pthread_create(thread, &attributes, work_beside, work);
    pthread_attr_destroy(&attributes);
    if (error != 0)
        free(thread);
    return -error;
}
