/*
 * The kernel's TCP sockets, asked of NETLINK_SOCK_DIAG: a list, one socket, and the news that a
 * socket has gone. All about the network namespace of the calling thread. Threads: any.
 */
#ifndef HOST_LINUX_DIAG_H
#define HOST_LINUX_DIAG_H

#include "bpf/steer.h"

struct diag_socket {
    struct steer_key key; /* an IPv4 connection of an IPv6 socket is told as IPv4 */
    uint32_t state;       /* the kernel's TCP_ESTABLISHED … */
    uint64_t inode;       /* 0: no process holds it */
    uint64_t cookie;      /* unlike the addresses never used twice */
    uint32_t uid;
    uint32_t bound_ifindex; /* 0: to none */
    uint32_t receive_queue_bytes, send_queue_bytes;
    uint32_t receive_memory_bytes, send_memory_bytes; /* what the kernel spends on them */
    uint32_t total_retrans;                           /* segments sent again, ever */
    bool mapped_ipv4;
    bool mptcp;
    bool md5; /* told to privileged askers only */
};

/* Zero matches everything. Ports in network order. */
struct diag_filter {
    uint16_t family;
    uint16_t local_port, peer_port;
    uint32_t states; /* bits 1 << state */
};

typedef void (*diag_socket_fn)(void *arg, const struct diag_socket *socket);

/* Calls fn for every TCP socket, listeners and TIME_WAIT included. 0 or a negative errno. */
int diag_list(diag_socket_fn fn, void *arg);
int diag_list_some(const struct diag_filter *filter, diag_socket_fn fn, void *arg);

/* The connection with exactly these addresses. 0; -ENOENT (a listener is none); negative errno. */
int diag_find(const struct steer_key *key, struct diag_socket *out);

typedef void (*diag_gone_fn)(void *arg, const struct steer_key *key);

/*
 * News of TCP sockets that were destroyed. A socket is destroyed when the last descriptor is closed
 * *and* its protocol has ended: a dead connection that its process still holds is not gone yet (but
 * diag_find and steer_snapshot do not find it any more). One that its process reset by closing
 * (SO_LINGER 0) has forgotten its local address and the peer's port, and is told without them.
 * Returns a descriptor to watch for reading, non-blocking, or a negative errno.
 */
int diag_open_destroyed(void);
/* Calls fn for all that wait. 0; -ENOBUFS: some were lost, look for yourself with diag_list;
 * negative errno. */
int diag_read_destroyed(int fd, diag_gone_fn fn, void *arg);
void diag_close_destroyed(int fd);

#endif
