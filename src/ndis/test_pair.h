/*
 * The least target and the least host that NDIS accepts, with any number of intermediate drivers
 * between them: registration and life are here, what they do is up to whoever fills in the tables.
 * For tests with threads, for tests with large trees and for measuring; nothing here allocates,
 * traces or asserts after it has been built.
 *
 * Threads: building and taking down, the loop's.
 */
#ifndef NDIS_TEST_PAIR_H
#define NDIS_TEST_PAIR_H

#include <ndischimney.h>

#include "chimney/house.h"
#include "sys/loop.h"

struct pair {
    /* What target and host do; pair_init fills in handlers that do nothing. The context of the
     * adapter and of the binding is the pair. */
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS target;
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS target_tcp;
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS miniport;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS host;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS host_tcp;
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS protocol;
    /* What is there once it stands. */
    struct sys_loop *loop;
    struct house *house;
    NDIS_HANDLE driver, adapter; /* the target's */
    NDIS_TCP_OFFLOAD_EVENT_HANDLERS up;
    NDIS_HANDLE lower_edge, binding; /* the host's */
};

void pair_init(struct pair *pair);
/* A loop, a house, the target, floors times the driver middle, the host. false: it is in the log.
 */
bool pair_open(struct pair *pair, house_driver_entry middle, unsigned floors);
void pair_close(struct pair *pair);

/* Entry of the host alone, for more of them over the same adapter; its context is a pair of which
 * only the host's half counts. */
DRIVER_INITIALIZE pair_host_entry;

#endif
