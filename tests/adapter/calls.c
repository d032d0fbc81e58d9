/*
 * The calls: those of the kernel on a kernel socket, and at the right moment the hand-over. That
 * moment is when a connection is first known to be established: in accept, at the end of a connect
 * that waits, or in the first call after one that does not. Every call on a descriptor goes through
 * settle for that reason.
 */
#include "calls.h"

#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

/* ---- ends ---- */

static void
read_end(const struct sockaddr_storage *from, struct hoststack_endpoint *to)
{
    struct sockaddr_in6 in6;
    struct sockaddr_in in;

    memcpy(&in6, from, sizeof(in6));
    memcpy(&in, from, sizeof(in));
    *to = (struct hoststack_endpoint){.family = from->ss_family, .port = ntohs(in.sin_port)};
    if (from->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
        to->family = AF_INET;
        memcpy(to->address, in6.sin6_addr.s6_addr + 12, 4);
    } else if (from->ss_family == AF_INET6) {
        memcpy(to->address, &in6.sin6_addr, 16);
    } else {
        memcpy(to->address, &in.sin_addr, 4);
    }
}

static bool
find_ends(int fd, struct hoststack_endpoint *local, struct hoststack_endpoint *peer)
{
    struct sockaddr_storage address = {0};
    socklen_t length = sizeof(address);

    if (getpeername(fd, (struct sockaddr *)&address, &length) != 0)
        return false;
    read_end(&address, peer);
    length = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return false;
    read_end(&address, local);
    return true;
}

/* ---- the hand-over ---- */

/* One of several threads that find it connected makes it; the others go on. */
static void
hand_over(struct adapter *adapter, int fd, enum entry_state from)
{
    struct hoststack_endpoint local, peer;
    int error = errno;

    if (find_ends(fd, &local, &peer)) {
        table_set_ends(adapter->table, fd, &local, &peer);
        if (table_change(adapter->table, fd, from, ENTRY_CONNECTED))
            behind_hand_over(adapter->behind, &local, &peer, adapter->wait_ms);
    }
    errno = error;
}

bool
calls_settle(struct adapter *adapter, int fd)
{
    struct entry entry;

    if (!table_read(adapter->table, fd, &entry)) {
        errno = ENOTSOCK;
        return false;
    }
    if (entry.state == ENTRY_CONNECTING)
        hand_over(adapter, fd, ENTRY_CONNECTING);
    return true;
}

/* ---- to a connection ---- */

static int
take(struct adapter *adapter, int fd)
{
    if (fd < 0)
        return calls_fail(-fd);
    if (table_add(adapter->table, fd) == 0)
        return fd;
    close(fd);
    return calls_fail(ENOMEM);
}

static int
call_socket(struct adapter *adapter, int domain, int type, int protocol)
{
    if (domain != AF_INET && domain != AF_INET6)
        return calls_fail(EAFNOSUPPORT);
    if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) != SOCK_STREAM)
        return calls_fail(ESOCKTNOSUPPORT);
    if (protocol != 0 && protocol != IPPROTO_TCP)
        return calls_fail(EPROTONOSUPPORT);
    return take(adapter, behind_socket(adapter->behind, domain, type, IPPROTO_TCP));
}

static int
call_bind(struct adapter *adapter, int fd, const struct sockaddr *address, socklen_t length)
{
    return calls_settle(adapter, fd) ? bind(fd, address, length) : -1;
}

static int
call_listen(struct adapter *adapter, int fd, int backlog)
{
    return calls_settle(adapter, fd) ? listen(fd, backlog) : -1;
}

static int
call_accept4(struct adapter *adapter, int fd, struct sockaddr *address, socklen_t *length,
             int flags)
{
    int conn;

    if (!calls_settle(adapter, fd))
        return -1;
    conn = accept4(fd, address, length, flags);
    if (conn < 0 || take(adapter, conn) < 0)
        return -1;
    hand_over(adapter, conn, ENTRY_FRESH);
    return conn;
}

static int
call_accept(struct adapter *adapter, int fd, struct sockaddr *address, socklen_t *length)
{
    return call_accept4(adapter, fd, address, length, 0);
}

/* The end of a connection, of one that is being opened, or of listening. */
static bool
is_disconnect(const struct sockaddr *address, socklen_t length)
{
    return address != NULL && length >= sizeof(address->sa_family) &&
           address->sa_family == AF_UNSPEC;
}

static int
call_connect(struct adapter *adapter, int fd, const struct sockaddr *address, socklen_t length)
{
    int result;

    if (!calls_settle(adapter, fd))
        return -1;
    result = connect(fd, address, length);
    if (result == 0 && is_disconnect(address, length)) {
        table_renew(adapter->table, fd);
        return 0;
    }
    if (result == 0 || errno == EINPROGRESS || errno == EINTR)
        table_change(adapter->table, fd, ENTRY_FRESH, ENTRY_CONNECTING);
    if (result == 0)
        hand_over(adapter, fd, ENTRY_CONNECTING);
    return result;
}

/* ---- data ---- */

static bool
settle_flags(struct adapter *adapter, int fd, int flags)
{
    if ((flags & (MSG_OOB | MSG_ERRQUEUE | MSG_FASTOPEN)) == 0)
        return calls_settle(adapter, fd);
    errno = EOPNOTSUPP;
    return false;
}

static ssize_t
call_recvfrom(struct adapter *adapter, int fd, void *bytes, size_t count, int flags,
              struct sockaddr *address, socklen_t *length)
{
    if (!settle_flags(adapter, fd, flags))
        return -1;
    return recvfrom(fd, bytes, count, flags, address, length);
}

static ssize_t
call_recv(struct adapter *adapter, int fd, void *bytes, size_t count, int flags)
{
    return call_recvfrom(adapter, fd, bytes, count, flags, NULL, NULL);
}

static ssize_t
call_recvmsg(struct adapter *adapter, int fd, struct msghdr *message, int flags)
{
    return settle_flags(adapter, fd, flags) ? recvmsg(fd, message, flags) : -1;
}

static ssize_t
call_read(struct adapter *adapter, int fd, void *bytes, size_t count)
{
    return calls_settle(adapter, fd) ? read(fd, bytes, count) : -1;
}

static ssize_t
call_readv(struct adapter *adapter, int fd, const struct iovec *pieces, int count)
{
    return calls_settle(adapter, fd) ? readv(fd, pieces, count) : -1;
}

static ssize_t
call_sendto(struct adapter *adapter, int fd, const void *bytes, size_t count, int flags,
            const struct sockaddr *address, socklen_t length)
{
    if (!settle_flags(adapter, fd, flags))
        return -1;
    return sendto(fd, bytes, count, flags | MSG_NOSIGNAL, address, length);
}

static ssize_t
call_send(struct adapter *adapter, int fd, const void *bytes, size_t count, int flags)
{
    return call_sendto(adapter, fd, bytes, count, flags, NULL, 0);
}

static ssize_t
call_sendmsg(struct adapter *adapter, int fd, const struct msghdr *message, int flags)
{
    if (!settle_flags(adapter, fd, flags))
        return -1;
    return sendmsg(fd, message, flags | MSG_NOSIGNAL);
}

static ssize_t
call_write(struct adapter *adapter, int fd, const void *bytes, size_t count)
{
    return call_send(adapter, fd, bytes, count, 0);
}

/* By way of sendmsg, which can be told to raise no signal. */
static ssize_t
call_writev(struct adapter *adapter, int fd, const struct iovec *pieces, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)pieces};

    if (count < 0 || count > IOV_MAX) /* sendmsg would say EMSGSIZE */
        return calls_fail(EINVAL);
    message.msg_iovlen = (size_t)count;
    return call_sendmsg(adapter, fd, &message, 0);
}

/* ---- waiting, ending ---- */

static int
call_poll(struct adapter *adapter, struct pollfd *fds, nfds_t count, int timeout_ms)
{
    struct entry entry;
    int ready = poll(fds, count, timeout_ms);

    for (nfds_t i = 0; ready > 0 && i < count; i++)
        if (fds[i].revents != 0 && table_read(adapter->table, fds[i].fd, &entry))
            calls_settle(adapter, fds[i].fd);
    return ready;
}

static int
call_shutdown(struct adapter *adapter, int fd, int how)
{
    return calls_settle(adapter, fd) ? shutdown(fd, how) : -1;
}

/* Out of the table first: the number may be somebody else's as soon as it is closed. */
static int
call_close(struct adapter *adapter, int fd)
{
    return table_remove(adapter->table, fd) ? close(fd) : calls_fail(ENOTSOCK);
}

/* ---- all of them ---- */

const struct adapter_calls calls_of_all = {
    .version = ADAPTER_VERSION,
    .size = sizeof(struct adapter_calls),
    .free = call_free,
    .socket = call_socket,
    .bind = call_bind,
    .listen = call_listen,
    .accept = call_accept,
    .accept4 = call_accept4,
    .connect = call_connect,
    .read = call_read,
    .readv = call_readv,
    .recv = call_recv,
    .recvfrom = call_recvfrom,
    .recvmsg = call_recvmsg,
    .write = call_write,
    .writev = call_writev,
    .send = call_send,
    .sendto = call_sendto,
    .sendmsg = call_sendmsg,
    .poll = call_poll,
    .shutdown = call_shutdown,
    .close = call_close,
    .getsockopt = call_getsockopt,
    .setsockopt = call_setsockopt,
    .ioctl = call_ioctl,
    .status = call_status,
};
