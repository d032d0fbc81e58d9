/*
 * Netlink in two shapes: a question with its answers, and a stream of notifications. Private to
 * src/host/linux. Everything is about the network namespace of the calling thread.
 */
#ifndef HOST_LINUX_NETLINK_H
#define HOST_LINUX_NETLINK_H

#include <libmnl/libmnl.h>
#include <stddef.h>

/*
 * Sends request (built by the caller; NLM_F_DUMP or NLM_F_ACK must be set, or there is no end to
 * wait for) over a socket of its own and calls fn for each answer. 0 or a negative errno: the
 * kernel's refusal included. Context: blocks only as long as the kernel works on the answer.
 */
int netlink_ask(int protocol, struct nlmsghdr *request, mnl_cb_t fn, void *arg);

/* A non-blocking descriptor that is a member of the groups; close() it. Or a negative errno. */
int netlink_listen(int protocol, const int *groups, size_t count);

/* Calls fn for everything that waits. 0; -ENOBUFS: notifications were lost (reading on is fine);
 * negative errno. */
int netlink_read(int fd, mnl_cb_t fn, void *arg);

#endif
