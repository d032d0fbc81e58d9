/*
 * Connections that share paths and neighbors, over the fake NDIS: for tests of what becomes of
 * those. Threads: none.
 */
#ifndef HOST_TEST_USERS_H
#define HOST_TEST_USERS_H

#include "host/ndis_fake.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct heard {
    struct host_conn conn;
    unsigned events; /* Retrieve, InvalidState; there is no other */
};

extern struct host_binding *binding;

int users_setup(void **state);
/* Fails if a call was not answered, or an object is left. */
int users_teardown(void **state);
#define USERS_TEST(name) cmocka_unit_test_setup_teardown(name, users_setup, users_teardown)

/* Asks for it to be offloaded, to 10.0.0.last_byte behind the neighbor 02:00:00:00:00:mac. */
void ask(struct heard *one, UCHAR last_byte, UCHAR mac);
void ask_mtu(struct heard *one, UCHAR last_byte, UCHAR mac, ULONG path_mtu);
/* The oldest initiate succeeds. */
void answer_initiate(void);
/* Both. */
void offload(struct heard *one, UCHAR last_byte, UCHAR mac);
/* Home again. */
void upload(struct heard *one);

#endif
