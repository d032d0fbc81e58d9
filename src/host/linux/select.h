/*
 * Which of the kernel's sockets a selector means. Private to src/host/linux.
 */
#ifndef HOST_LINUX_SELECT_H
#define HOST_LINUX_SELECT_H

#include "chimney/hoststack.h"
#include "host/linux/diag.h"

#include <stddef.h>

struct selected {
    struct diag_socket socket;
    pid_t pid;        /* who holds it; 0: unknown, or nobody asked */
    char command[16]; /* of that process */
};

struct selection {
    struct hoststack_selector selector;
    bool with_owners;
    struct selected *sockets; /* in the kernel's order */
    size_t count, capacity;
    int error; /* 0 or a negative errno: then there are none */
};

/*
 * Fills a selection of which selector and with_owners are set. A listener is selected only if no
 * connection is. Owner: select_free. Context: any thread; takes its time, some µs per socket and,
 * with owners, per descriptor on the machine.
 */
void select_sockets(struct selection *selection);
void select_free(struct selection *selection);

/* Not a listener, and not on the way out (TIME_WAIT). */
bool select_is_connection(const struct diag_socket *socket);

#endif
