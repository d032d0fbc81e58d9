/*
 * A wire for the tests of this folder: it borrows payload until the flush, as the contract says,
 * and can be blocked. What is flushed goes to the test; what the test delivers goes to the receiver
 * at once.
 */
#ifndef TARGET_SOFT_TEST_WIRE_H
#define TARGET_SOFT_TEST_WIRE_H

#include "chimney/wire.h"

/* on_out gets every frame when it is flushed; the reference is the wire's. */
struct wire *test_wire_create(struct sys_loop *loop,
                              void (*on_out)(void *arg, struct wire_buf *buf), void *arg);
void test_wire_destroy(struct wire *wire);
/* Its link address ends in this byte from now on; 1 at first. */
void test_wire_name(struct wire *wire, uint8_t last);
/* Sends are refused with -EAGAIN while blocked; unblocking calls on_writable. */
void test_wire_block(struct wire *wire, bool blocked);
/* The cable: told to the receiver when it changes. */
void test_wire_plug(struct wire *wire, bool up);
/* Capacity of all buffers that somebody has. */
size_t test_wire_held(void);
/* Takes over the reference. */
void test_wire_deliver(struct wire *wire, struct wire_buf *buf);

#endif
