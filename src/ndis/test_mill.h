/*
 * A fake target with threads of its own. What is given to it goes into queues; whoever turns the
 * mill takes something out and completes it: its own threads, and any thread of a test that calls
 * mill_turn. So completions and indications come from everywhere, mixed as it happens.
 */
#ifndef NDIS_TEST_MILL_H
#define NDIS_TEST_MILL_H

#include "ndis/test_pair.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#define MILL_THREADS 2

enum mill_kind {
    MILL_SENDS,
    MILL_RECEIVES,
    MILL_DISCONNECTS,
    MILL_FORWARDS,
    MILL_FRAMES,
    MILL_KINDS
};

struct mill;

/* Something to be done on a thread that turns the mill. */
struct mill_errand {
    struct mill_errand *next;
    void (*fn)(struct mill *mill, void *arg);
    void *arg;
    sem_t *done;
};

struct mill {
    struct pair pair; /* the target's half is the mill's */
    NDIS_HANDLE pool; /* of what it indicates */
    pthread_t threads[MILL_THREADS];
    pthread_mutex_t mutex; /* for the queues */
    pthread_cond_t more;
    bool stopping;
    PNDIS_MINIPORT_OFFLOAD_BLOCK_LIST trees; /* linked by Scratch[0]; Scratch[1]: the completion */
    NET_BUFFER_LIST *nbls[MILL_KINDS], *last[MILL_KINDS];
    NDIS_OID_REQUEST *request, *direct; /* direct ones are linked by MiniportReserved */
    struct mill_errand *errands;
    /* What happened. */
    atomic_uint wrongs; /* data with another connection's context, two requests at a time */
    atomic_uint indicated, accepted, refused, returned;
    atomic_uint frames_indicated, frames_returned;
};

/* Every NBL that goes down names its connection in ProtocolReserved[0]. */
struct mill_connection {
    NDIS_OFFLOAD_HANDLE handle; /* the target's context is its address */
};

bool mill_open(struct mill *mill);
/* Threads first. */
void mill_stop(struct mill *mill);
/* Takes one thing out of the queues and does it; false: they are empty. */
bool mill_turn(struct mill *mill);
void mill_send_errand(struct mill *mill, struct mill_errand *errand);

/* Errands: arg is a mill_connection, or NULL. */
void mill_indicate(struct mill *mill, void *connection);
void mill_event(struct mill *mill, void *connection);
void mill_neighbor_event(struct mill *mill, void *neighbor);
void mill_frames_up(struct mill *mill, void *nothing);
void mill_status(struct mill *mill, void *nothing);

#endif
