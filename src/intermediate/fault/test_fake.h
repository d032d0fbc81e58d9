/*
 * What the NDIS of the floor's tests does not have and fault needs: options, a timer and a clock
 * that the test turns, copies of frames.
 */
#ifndef INTERMEDIATE_FAULT_TEST_FAKE_H
#define INTERMEDIATE_FAULT_TEST_FAKE_H

#include "intermediate/floor/ndis_fake.h"

struct fake_more {
    const char *file, *script, *seed; /* options; NULL: not there */
    uint64_t now_ms;
    bool timer_there, timer_set;
    PNDIS_TIMER_FUNCTION turn;
    PVOID turn_context;
    bool pool_there;
};

extern struct fake_more fake_more;

/* fault with this script, bound and Running. */
void fake_stand_with(const char *script);
/* Takes it away again. */
void fake_go(void);
/* Time passes; what the timer was set for happens. */
void fake_pass(uint64_t ms);

#endif
