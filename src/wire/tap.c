/*
 * A TAP interface of our own: what we write is received by the kernel, what the kernel sends there
 * we read, superframes both ways. It is never persistent, so it goes with its descriptor, whatever
 * becomes of us; and it must be new: one that somebody else made is not ours to raise and to lose.
 */
#include "wire/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int
tap_transmit(int fd, struct mmsghdr *messages, unsigned count)
{
    unsigned sent = 0;

    for (; sent < count; sent++) {
        const struct msghdr *message = &messages[sent].msg_hdr;

        if (writev(fd, message->msg_iov, (int)message->msg_iovlen) < 0)
            break;
    }
    return sent != 0 ? (int)sent : -errno;
}

static int
tap_receive(int fd, struct mmsghdr *messages, unsigned count)
{
    unsigned got = 0;

    for (; got < count; got++) {
        const struct msghdr *message = &messages[got].msg_hdr;
        ssize_t len = readv(fd, message->msg_iov, (int)message->msg_iovlen);

        if (len < 0)
            break;
        messages[got].msg_len = (unsigned)len;
    }
    return got != 0 ? (int)got : -errno;
}

static const struct channel_ops tap_ops = {
    .transmit = tap_transmit,
    .receive = tap_receive,
};

/* name: IFNAMSIZ bytes, zero padded; receives what a pattern in it has become. */
static int
tap_create(int fd, char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | IFF_TUN_EXCL};
    int header_bytes = VNET_BYTES;
    unsigned offloads = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

    memcpy(request.ifr_name, name, IFNAMSIZ);
    if (ioctl(fd, TUNSETIFF, &request) != 0 || ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) != 0 ||
        ioctl(fd, TUNSETOFFLOAD, offloads) != 0)
        return -errno;
    memcpy(name, request.ifr_name, IFNAMSIZ);
    return 0;
}

static int
tap_set_up(int fd, char *name, const uint8_t *mac, unsigned mtu, bool quiet, struct link_info *info)
{
    int error = tap_create(fd, name);

    if (error == 0)
        error = link_query(name, info);
    if (error == 0)
        error = link_raise_tap(info->ifindex, mac, mtu, quiet);
    if (error == 0)
        error = link_query(name, info);
    return error;
}

static int
tap_open(struct sys_loop *loop, const char *ifname, const uint8_t *mac, unsigned mtu, bool quiet,
         struct wire **out)
{
    char name[IFNAMSIZ] = "";
    struct channel *channel;
    struct link_info info;
    int fd, error;

    if (strlen(ifname) >= IFNAMSIZ)
        return -EINVAL;
    snprintf(name, sizeof(name), "%s", ifname);
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    error = tap_set_up(fd, name, mac, mtu, quiet, &info);
    if (error == 0)
        error = channel_open(loop, name, fd, &tap_ops, &info, &channel);
    if (error != 0) {
        close(fd);
        return error;
    }
    *out = &channel->wire;
    return 0;
}

int
wire_tap_open(struct sys_loop *loop, const char *ifname, const uint8_t *mac, unsigned mtu,
              struct wire **out)
{
    return tap_open(loop, ifname, mac, mtu, true, out);
}

int
wire_port_open(struct sys_loop *loop, const char *ifname, const uint8_t *mac, unsigned mtu,
               struct wire **out)
{
    return tap_open(loop, ifname, mac, mtu, false, out);
}
