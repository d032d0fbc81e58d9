/*
 * The house behind the device, and its thread. Private to tests/adapter.
 */
#ifndef ADAPTER_BEHIND_H
#define ADAPTER_BEHIND_H

#include "parts.h"

#include "sys/loop.h"

#include <pthread.h>

struct house;
struct steer;
struct wire;

struct behind {
    struct device device;
    behind_move_fn on_move;
    void *on_move_arg;
    char *why;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows, and of the ends of jobs */
    pthread_cond_t change;
    bool started;
    int start_error;
    /* the thread's */
    int claim; /* an abstract name in the tool's namespace: the device is taken */
    struct sys_loop *loop;
    struct steer *wall;
    struct wire *wire, *port;
    struct house *house;
    struct hoststack *stack;
    struct sys_task stop;
};

#endif
