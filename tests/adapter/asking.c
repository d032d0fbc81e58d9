/*
 * What other threads want of the house: a job, which goes to the loop and is answered there, now or
 * later. Who does not want to wait any longer leaves it behind; the last of the two frees it.
 */
#include "behind.h"

#include "host/linux/live/live.h"
#include "host/linux/stack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FOR_EVER 0u

struct job {
    struct sys_task task;
    struct behind *behind;
    unsigned refs; /* who waits, and the loop */
    bool done;
    int result;
    /* what is asked */
    int domain, type, protocol;
    struct settings *settings;
    struct hoststack_endpoint local, peer;
    /* the answer */
    TCP_OFFLOAD_STATE_DELEGATED delegated;
    bool found;
    struct hoststack_conn_info info;
    struct hoststack_totals totals;
};

/* ---- jobs ---- */

static struct job *
job_create(struct behind *behind, void (*start)(void *job))
{
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL)
        return NULL;
    job->behind = behind;
    job->refs = 2;
    sys_task_init(&job->task, start, job);
    return job;
}

static void
job_put(struct job *job)
{
    bool last;

    pthread_mutex_lock(&job->behind->lock);
    last = --job->refs == 0;
    pthread_mutex_unlock(&job->behind->lock);
    if (!last)
        return;
    settings_free(job->settings);
    free(job);
}

/* The loop has answered. */
static void
job_done(struct job *job, int result)
{
    pthread_mutex_lock(&job->behind->lock);
    job->result = result;
    job->done = true;
    pthread_cond_broadcast(&job->behind->change);
    pthread_mutex_unlock(&job->behind->lock);
    job_put(job);
}

/* The answer, or -ETIMEDOUT. The job stays until the caller puts it. */
static int
job_wait(struct job *job, unsigned wait_ms)
{
    struct behind *behind = job->behind;
    struct timespec until;
    int late = 0, result;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += wait_ms % 1000 * 1000000l;
    until.tv_sec += until.tv_nsec / 1000000000l;
    until.tv_nsec %= 1000000000l;
    sys_loop_post(behind->loop, &job->task);
    pthread_mutex_lock(&behind->lock);
    while (!job->done && late == 0)
        late = wait_ms == FOR_EVER ? pthread_cond_wait(&behind->change, &behind->lock)
                                   : pthread_cond_timedwait(&behind->change, &behind->lock, &until);
    result = job->done ? job->result : -ETIMEDOUT;
    pthread_mutex_unlock(&behind->lock);
    return result;
}

/* ---- sockets ---- */

static void
make_socket(void *arg)
{
    struct job *job = arg;
    int fd;

    settings_write(job->settings);
    fd = socket(job->domain, job->type, job->protocol);
    job_done(job, fd >= 0 ? fd : -errno);
}

int
behind_socket(struct behind *behind, int domain, int type, int protocol)
{
    struct job *job = job_create(behind, make_socket);
    int fd;

    if (job == NULL)
        return -ENOMEM;
    job->domain = domain;
    job->type = type;
    job->protocol = protocol;
    job->settings = settings_read();
    fd = job_wait(job, FOR_EVER);
    job_put(job);
    return fd;
}

/* ---- moves ---- */

static void
ignore_conn(void *arg, const struct hoststack_conn_info *info)
{
}

/* Everybody's moves are told to on_move of the stack. */
static void
ignore_move(void *arg, const struct hoststack_move *move)
{
}

static void
moves_end(void *arg, int error, unsigned count)
{
    job_done(arg, error);
}

static void
hand_over(void *arg)
{
    struct job *job = arg;
    struct hoststack_selector selector = {.local = job->local, .peer = job->peer};
    struct hoststack_request request = {ignore_conn, ignore_move, moves_end, job};
    int error = hoststack_offload(job->behind->stack, &selector, &request);

    if (error != 0)
        job_done(job, error);
}

void
behind_hand_over(struct behind *behind, const struct hoststack_endpoint *local,
                 const struct hoststack_endpoint *peer, unsigned wait_ms)
{
    struct job *job = job_create(behind, hand_over);

    if (job == NULL)
        return;
    job->local = *local;
    job->peer = *peer;
    job_wait(job, wait_ms);
    job_put(job);
}

/* ---- questions ---- */

static void
query_end(void *arg, int error, const TCP_OFFLOAD_STATE_DELEGATED *delegated)
{
    struct job *job = arg;

    if (delegated != NULL)
        job->delegated = *delegated;
    job_done(job, error);
}

static void
query(void *arg)
{
    struct job *job = arg;
    int error = hoststack_query(job->behind->stack, &job->local, &job->peer, query_end, job);

    if (error != 0)
        job_done(job, error);
}

int
behind_query(struct behind *behind, const struct hoststack_endpoint *local,
             const struct hoststack_endpoint *peer, TCP_OFFLOAD_STATE_DELEGATED *out)
{
    struct job *job = job_create(behind, query);
    int error;

    if (job == NULL)
        return -ENOMEM;
    job->local = *local;
    job->peer = *peer;
    error = job_wait(job, FOR_EVER);
    *out = job->delegated;
    job_put(job);
    return error;
}

/* hoststack_list would tell it as well, and go through all of /proc for that. */
static void
look(void *arg)
{
    struct job *job = arg;
    struct hoststack *stack = job->behind->stack;
    struct steer_key key = {.local_port = htons(job->local.port),
                            .peer_port = htons(job->peer.port),
                            .family = job->local.family};
    struct steer_snapshot snap;
    struct live_conn *conn;

    memcpy(key.local, job->local.address, sizeof(key.local));
    memcpy(key.peer, job->peer.address, sizeof(key.peer));
    conn = live_find(stack, &key);
    job->found = steer_snapshot(stack->steer, &key, &snap) == 0;
    if (conn != NULL)
        live_fill_info(conn, &job->info);
    else
        snprintf(job->info.owner, sizeof(job->info.owner), "kernel");
    hoststack_read_totals(stack, &job->totals);
    job_done(job, 0);
}

bool
behind_look(struct behind *behind, const struct hoststack_endpoint *local,
            const struct hoststack_endpoint *peer, struct hoststack_conn_info *info,
            struct hoststack_totals *totals)
{
    struct job *job = job_create(behind, look);
    bool found;

    memset(totals, 0, sizeof(*totals));
    if (job == NULL)
        return false;
    job->local = *local;
    job->peer = *peer;
    job_wait(job, FOR_EVER);
    found = job->found;
    *info = job->info;
    *totals = job->totals;
    job_put(job);
    return found;
}
