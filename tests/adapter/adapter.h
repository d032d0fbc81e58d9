/*
 * The adapter: socket calls over an offload target, for test tools that drive a TCP from both ends,
 * with system calls above and raw packets below.
 *
 * The tool opens a TUN (IP packets) or TAP (Ethernet frames), gives it addresses and raises it;
 * what it writes to the descriptor of that device arrives at the stack under test, and what that
 * stack sends can be read there. The adapter is a shared object with one function, adapter_init,
 * which builds that stack behind the named device: a port of the Linux host stack over the soft
 * target.
 *
 *   tool ── calls of struct adapter_calls ── kernel socket ── port ── host stack ── chimney ─┐
 *   tool ── packets ── TUN or TAP ── packet socket ── soft target ───────────────────────────┘
 *
 * WHOSE IS WHAT. The Linux kernel does the handshake: SYN, SYN+ACK and the ACK that completes it
 * are its segments, with its options, its initial window and sequence number. As soon as a
 * connection is established it is handed to the target, before accept, or connect, returns; from
 * then on what the peer sees of it is the target's: segments, acknowledgements, SACK blocks,
 * windows, retransmissions and their timing (an IPv4 packet of the target has an identification
 * from 0x8000 to 0xffff; the kernel's are anything). What the tool does through the calls meets a
 * kernel socket that is alive: descriptors, blocking, poll, buffers, options and their errors are
 * the kernel's. Data is acknowledged to the socket when the peer has acknowledged it, and to the
 * peer when the socket has taken it.
 *
 * Back to the kernel goes a connection whose peer has sent a FIN (whose acknowledgement is then the
 * kernel's), for the time of that, some 10 ms: then it is handed over again. A connection also
 * comes home when the target gives it up (it has retransmitted in vain) and when urgent data
 * arrives. TIME-WAIT, the answer to segments that belong to no connection, ICMP and everything that
 * is not TCP are the kernel's throughout. status tells where a connection is and why; a test of the
 * target must ask it.
 *
 * The kernel's part lives in a network namespace of its own, which ends with the adapter. It has
 * the addresses that the device had when the adapter was made, finds every peer on the link, and
 * has the net.ipv4.tcp_* settings of the namespace in which socket is called, as they are then. On
 * the device itself the kernel is silent from adapter_init to free: it neither answers what the
 * tool writes nor sends anything there by itself. A TUN needs no neighbours; on a TAP it is the
 * tool that answers ARP and neighbour solicitations.
 *
 * NEEDS root (CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN), Linux 6.6.
 *
 * THREADS. Any, several at once, but free, during which, and after, no other call may be made. The
 * adapter has a thread of its own, with all signals blocked.
 *
 * ERRORS. As of the system calls of the same name: -1 and errno. Beside what the kernel may say:
 * ENOTSOCK: a descriptor that is not from this adapter's socket or accept. EOPNOTSUPP: what the
 * target, or this attachment, cannot do, before anything has happened; it is listed at each call.
 * A hand-over that is refused is no error: the kernel keeps the connection, and status says why.
 */
#ifndef ADAPTER_H
#define ADAPTER_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ADAPTER_VERSION 1
#define ADAPTER_WHY_BYTES 192

struct adapter;

enum adapter_owner {
    ADAPTER_NOBODY, /* no connection: not yet, or no more */
    ADAPTER_KERNEL, /* the kernel's: refused, or come home */
    ADAPTER_MOVING,
    ADAPTER_TARGET /* the target's */
};

struct adapter_status {
    enum adapter_owner owner;
    int last_move_was_down; /* 1: to the target; 0: to the kernel, or none */
    /* Why the last move ended as it did: "none" when as asked, or for instance "target-refused",
     * "no-quiet-moment", "peer-finished", "reset-by-peer"; "" before the first one. */
    char reason[32];
    char words[96]; /* the same for people */
    uint32_t moves_down, moves_up;
    uint64_t bytes_out, bytes_in; /* acknowledged by the peer, by the socket: through the target */
    /* Segments that the target has sent, for all connections of this adapter. */
    uint64_t wire_segments, wire_retransmits;
};

/*
 * What adapter_init fills in. Owner: the caller's; descriptors are real descriptors of this process
 * and the caller's, who may also give them to calls that are not here (epoll, getsockname, fcntl).
 * Every call gets adapter as its first argument.
 */
struct adapter_calls {
    uint32_t version;            /* set by the caller: ADAPTER_VERSION */
    uint32_t size;               /* set by the caller: sizeof(struct adapter_calls) */
    char why[ADAPTER_WHY_BYTES]; /* a sentence when adapter_init fails */
    struct adapter *adapter;

    /* Gives everything back, closes the descriptors that are still open, ends the thread. */
    void (*free)(struct adapter *adapter);

    /* AF_INET, AF_INET6; SOCK_STREAM, with SOCK_NONBLOCK, SOCK_CLOEXEC; 0, IPPROTO_TCP.
     * EAFNOSUPPORT, ESOCKTNOSUPPORT, EPROTONOSUPPORT: anything else. */
    int (*socket)(struct adapter *adapter, int domain, int type, int protocol);
    int (*bind)(struct adapter *adapter, int fd, const struct sockaddr *address, socklen_t length);
    int (*listen)(struct adapter *adapter, int fd, int backlog);
    /* Returns when the connection was handed over or that was refused, at the latest after wait_ms
     * (see adapter_init); likewise on a non-blocking descriptor. */
    int (*accept)(struct adapter *adapter, int fd, struct sockaddr *address, socklen_t *length);
    int (*accept4)(struct adapter *adapter, int fd, struct sockaddr *address, socklen_t *length,
                   int flags);
    /* Likewise. On a non-blocking descriptor (EINPROGRESS) the hand-over is made by the first call
     * for that descriptor that finds it connected: poll, connect, getsockopt and so on. With
     * AF_UNSPEC the connection is reset and nobody's; another one may follow. */
    int (*connect)(struct adapter *adapter, int fd, const struct sockaddr *address,
                   socklen_t length);

    ssize_t (*read)(struct adapter *adapter, int fd, void *bytes, size_t count);
    ssize_t (*readv)(struct adapter *adapter, int fd, const struct iovec *pieces, int count);
    /* EOPNOTSUPP: MSG_OOB, MSG_ERRQUEUE, MSG_FASTOPEN in flags. */
    ssize_t (*recv)(struct adapter *adapter, int fd, void *bytes, size_t count, int flags);
    ssize_t (*recvfrom)(struct adapter *adapter, int fd, void *bytes, size_t count, int flags,
                        struct sockaddr *address, socklen_t *length);
    ssize_t (*recvmsg)(struct adapter *adapter, int fd, struct msghdr *message, int flags);
    /* A closed connection raises no signal here: EPIPE. */
    ssize_t (*write)(struct adapter *adapter, int fd, const void *bytes, size_t count);
    ssize_t (*writev)(struct adapter *adapter, int fd, const struct iovec *pieces, int count);
    /* EOPNOTSUPP: as above. */
    ssize_t (*send)(struct adapter *adapter, int fd, const void *bytes, size_t count, int flags);
    ssize_t (*sendto)(struct adapter *adapter, int fd, const void *bytes, size_t count, int flags,
                      const struct sockaddr *address, socklen_t length);
    ssize_t (*sendmsg)(struct adapter *adapter, int fd, const struct msghdr *message, int flags);

    /* Descriptors of others may be among them. */
    int (*poll)(struct adapter *adapter, struct pollfd *fds, nfds_t count, int timeout_ms);
    int (*shutdown)(struct adapter *adapter, int fd, int how);
    int (*close)(struct adapter *adapter, int fd);

    /*
     * TCP_INFO while the target has the connection: its state, snd_cwnd, snd_ssthresh, rtt, rttvar,
     * unacked, retransmits, probes and snd_wnd are the target's, at this moment; everything else is
     * what the kernel socket knows, which never sees a loss: rto, total_retrans, lost, sacked,
     * pacing, delivery rates, reordering mean nothing for the wire. (wire_retransmits of status
     * does.) rtt and rttvar have a resolution of 125 and 250 µs. snd_cwnd counts segments, rounded
     * up.
     */
    int (*getsockopt)(struct adapter *adapter, int fd, int level, int name, void *value,
                      socklen_t *length);
    /* The target follows keepalive, TCP_NODELAY, TTL and TOS within a fraction of a second.
     * EOPNOTSUPP: TCP_REPAIR and its kin, TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, TCP_ULP, TCP_MD5SIG,
     * TCP_AO: with them nothing can be handed over. */
    int (*setsockopt)(struct adapter *adapter, int fd, int level, int name, const void *value,
                      socklen_t length);
    /* FIONREAD, FIONBIO, SIOCATMARK; SIOCOUTQ (not acknowledged by the peer) and SIOCOUTQNSD (not
     * taken by the target). EOPNOTSUPP: others. */
    int (*ioctl)(struct adapter *adapter, int fd, unsigned long request, void *argument);

    /* Where the connection is. 0; ENOTSOCK. */
    int (*status)(struct adapter *adapter, int fd, struct adapter_status *status);
};

/*
 * argument: the name of the device, and options: "tun0", "tap0,wait_ms=500,log=debug".
 *   wait_ms   how long accept and connect wait for the hand-over; 5000
 *   log       error, warn (as it is without), info, debug; to standard error. Of the process.
 *
 * 0, or -1 with errno and a sentence in calls->why: EINVAL: argument, version or size; ENODEV: no
 * such device in this network namespace; EPROTONOSUPPORT: it carries neither IP packets nor
 * Ethernet frames; ENETDOWN: it is not up; EADDRNOTAVAIL: it has no address; EBUSY: another adapter
 * has it; EPERM; others of the parts that could not be made.
 *
 * Context: blocks for a fraction of a second. Several adapters may exist, on different devices.
 */
int adapter_init(const char *argument, struct adapter_calls *calls);

#ifdef __cplusplus
}
#endif

#endif
