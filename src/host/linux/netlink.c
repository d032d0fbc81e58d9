/*
 * Questions open a socket of their own: some 10 µs, and no answer can ever be mistaken for that of
 * another question.
 */
#include "host/linux/netlink.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 32768 /* what the kernel fills at most in one go */
#define SEQUENCE 1

static int
converse(struct mnl_socket *socket, struct nlmsghdr *request, mnl_cb_t fn, void *arg)
{
    char buffer[BUFFER_BYTES];
    unsigned port = mnl_socket_get_portid(socket);
    int more = MNL_CB_OK;

    request->nlmsg_flags |= NLM_F_REQUEST;
    request->nlmsg_seq = SEQUENCE;
    if (mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
        return -errno;
    while (more > MNL_CB_STOP) {
        ssize_t len = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));

        if (len < 0 && errno == EINTR)
            continue;
        if (len < 0)
            return -errno;
        more = mnl_cb_run(buffer, (size_t)len, SEQUENCE, port, fn, arg);
    }
    return more < 0 ? -errno : 0;
}

int
netlink_ask(int protocol, struct nlmsghdr *request, mnl_cb_t fn, void *arg)
{
    struct mnl_socket *socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
    int error;

    if (!socket)
        return -errno;
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
        error = -errno;
    else
        error = converse(socket, request, fn, arg);
    mnl_socket_close(socket);
    return error;
}

static int
join(int fd, const int *groups, size_t count)
{
    const struct sockaddr_nl any = {.nl_family = AF_NETLINK};

    if (bind(fd, (const struct sockaddr *)&any, sizeof(any)))
        return -errno;
    for (size_t i = 0; i < count; i++) {
        if (setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &groups[i], sizeof(groups[i])))
            return -errno;
    }
    return 0;
}

int
netlink_listen(int protocol, const int *groups, size_t count)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    int error;

    if (fd < 0)
        return -errno;
    error = join(fd, groups, count);
    if (!error)
        return fd;
    close(fd);
    return error;
}

int
netlink_read(int fd, mnl_cb_t fn, void *arg)
{
    char buffer[BUFFER_BYTES];
    int lost = 0;

    for (;;) {
        ssize_t len = recv(fd, buffer, sizeof(buffer), 0);

        if (len < 0 && errno == ENOBUFS)
            lost = -ENOBUFS;
        else if (len < 0 && errno == EAGAIN)
            return lost;
        else if (len < 0 && errno != EINTR)
            return -errno;
        else if (len > 0 && mnl_cb_run(buffer, (size_t)len, 0, 0, fn, arg) < 0)
            return -errno;
    }
}
