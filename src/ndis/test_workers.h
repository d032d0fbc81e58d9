/*
 * Hosts and workers of the test with threads: what every worker does in each of its rounds, and
 * what the hosts make of what comes up.
 */
#ifndef NDIS_TEST_WORKERS_H
#define NDIS_TEST_WORKERS_H

#include "ndis/test_mill.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define ROUNDS 1000
#define SECOND_MS 1000

struct node {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    UCHAR states[NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CONST) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CACHED) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_DELEGATED)] __attribute__((aligned(8)));
};

/* A neighbor, a path and a connection. */
struct tree {
    struct node nodes[3];
};

extern const UCHAR test_whole[3], test_delegated[3];

/* handles: NULL makes a placeholder. Returns the root; waiter hears of the completion. */
PNDIS_PROTOCOL_OFFLOAD_BLOCK_LIST test_tree_set(struct tree *tree, const UCHAR types[3],
                                                NDIS_OFFLOAD_HANDLE *const handles[3],
                                                sem_t *waiter);

struct host {
    struct pair pair;                      /* the host's half is this one's */
    struct mill_connection neighbor, path; /* shared by its workers */
    pthread_mutex_t mutex;
    NET_BUFFER_LIST *accepted; /* to be returned by whoever comes by */
    atomic_uint statuses, neighbor_events;
};

/* A connection, and what is outstanding on it. */
struct connection {
    struct mill_connection below; /* first: the handle leads here */
    struct host *host;
    sem_t back; /* once for every NBL that came back */
    atomic_uint events, indicated, strays;
};

struct worker {
    pthread_t thread;
    struct host *host;
    struct mill_connection neighbor, path;
    struct connection own, linked;
    struct tree own_tree, linked_tree, bad_tree;
    sem_t operations, errands, requests;
    NDIS_HANDLE pool, timer, work;
    NDIS_EVENT event;
    atomic_uint fired;
    unsigned queued, cancelled; /* of the timer */
    unsigned wrong;
    const char *first_wrong;
};

/* What all workers share, and each changes once a round. */
struct commons {
    NDIS_SPIN_LOCK spin;
    PNDIS_RW_LOCK_EX lock;
    unsigned under_spin, under_lock;
};

extern struct mill mill;
extern struct commons commons;
extern NDIS_EVENT all_over; /* set by the last of at_work */
extern atomic_uint at_work;

/* unbind: what the host does then; NULL: it closes. */
void test_host_open(struct host *host, const char *name, UNBIND_HANDLER_EX unbind);
void test_return_accepted(struct host *host);
/* Whoever waits helps. */
void test_await(sem_t *what);
/* A thread of its own. */
void *test_worker(void *worker);

#endif
