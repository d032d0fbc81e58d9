/*
 * The calls and what they share. Private to tests/adapter.
 */
#ifndef ADAPTER_CALLS_H
#define ADAPTER_CALLS_H

#include "parts.h"

#include <errno.h>

struct adapter {
    struct behind *behind;
    struct table *table;
    unsigned wait_ms;
};

/* All of them, for no adapter yet. */
extern const struct adapter_calls calls_of_all;

static inline int
calls_fail(int error)
{
    errno = error;
    return -1;
}

/* Makes the hand-over if it is due. False, with errno: not ours. */
bool calls_settle(struct adapter *adapter, int fd);

/* ---- options.c ---- */
int call_getsockopt(struct adapter *adapter, int fd, int level, int name, void *value,
                    socklen_t *length);
int call_setsockopt(struct adapter *adapter, int fd, int level, int name, const void *value,
                    socklen_t length);
int call_ioctl(struct adapter *adapter, int fd, unsigned long request, void *argument);
int call_status(struct adapter *adapter, int fd, struct adapter_status *status);
/* ---- adapter.c ---- */
void call_free(struct adapter *adapter);

#endif
