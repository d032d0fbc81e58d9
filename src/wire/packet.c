/*
 * AF_PACKET with PACKET_VNET_HDR: superframes in both directions over any Ethernet interface.
 *
 * The socket is made with protocol 0 and hears nothing until it is bound; the filter is attached
 * before that, so not one frame slips in unfiltered. It listens to ETH_P_ALL: bound to one
 * protocol it would hear nothing once a program at the interface's ingress drops the frames for
 * the kernel. Frames are sent through the queueing discipline and marked, so that shaping and
 * tcpdump see them and the steering program knows them.
 *
 * On a TUN, which has no link header, the wire makes one up (bare.c).
 */
#include "base/bytes.h"
#include "wire/bare.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <string.h>
#include <unistd.h>

#define RECEIVE_BYTES (32 * 1024 * 1024)
#define SEND_BYTES (8 * 1024 * 1024)

static int
packet_transmit(int fd, struct mmsghdr *messages, unsigned count)
{
    int sent = sendmmsg(fd, messages, count, MSG_DONTWAIT);

    return sent < 0 ? -errno : sent;
}

static int
packet_receive(int fd, struct mmsghdr *messages, unsigned count)
{
    int got = recvmmsg(fd, messages, count, MSG_DONTWAIT, NULL);

    return got < 0 ? -errno : got;
}

static void
packet_read_stats(struct wire *wire)
{
    struct channel *channel = (struct channel *)wire;
    struct tpacket_stats stats;
    socklen_t len = sizeof(stats);

    /* Reading clears the kernel's counters. */
    if (getsockopt(channel->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len) == 0)
        wire->stats.rx_dropped += stats.tp_drops;
}

/* The kernel takes the outer tag out of every frame before anybody hears it. One without an id is
 * no VLAN, and such a frame counts as untagged. */
static bool
packet_read_tag(struct msghdr *message, uint8_t *tag)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at != NULL; at = CMSG_NXTHDR(message, at)) {
        struct tpacket_auxdata data;

        if (at->cmsg_level != SOL_PACKET || at->cmsg_type != PACKET_AUXDATA)
            continue;
        memcpy(&data, CMSG_DATA(at), sizeof(data));
        if ((data.tp_status & TP_STATUS_VLAN_VALID) == 0 || (data.tp_vlan_tci & 0xfff) == 0)
            return false;
        bytes_store_be16(tag, (data.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? data.tp_vlan_tpid
                                                                                : ETH_P_8021Q);
        bytes_store_be16(tag + 2, data.tp_vlan_tci);
        return true;
    }
    return false;
}

static const struct channel_ops packet_ops = {
    .transmit = packet_transmit,
    .receive = packet_receive,
    .read_stats = packet_read_stats,
    .read_tag = packet_read_tag,
};

static const struct channel_ops bare_ops = {
    .transmit = bare_transmit,
    .receive = bare_receive,
    .read_stats = packet_read_stats,
};

static bool
set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* The FORCE forms pass the system's limit but need CAP_NET_ADMIN. */
static bool
set_buffers(int fd)
{
    return (set(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BYTES) ||
            set(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BYTES)) &&
           (set(fd, SOL_SOCKET, SO_SNDBUFFORCE, SEND_BYTES) ||
            set(fd, SOL_SOCKET, SO_SNDBUF, SEND_BYTES));
}

static int
packet_set_up(int fd, int ifindex, int filter_fd, uint32_t mark)
{
    struct sockaddr_ll address = {
        .sll_family = AF_PACKET,
        .sll_protocol = htons(ETH_P_ALL),
        .sll_ifindex = ifindex,
    };

    if (!set(fd, SOL_PACKET, PACKET_VNET_HDR, 1) ||
        !set(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1) || !set(fd, SOL_PACKET, PACKET_AUXDATA, 1))
        return -errno;
    if (mark != 0 && !set(fd, SOL_SOCKET, SO_MARK, (int)mark))
        return -errno;
    if (filter_fd >= 0 && !set(fd, SOL_SOCKET, SO_ATTACH_BPF, filter_fd))
        return -errno;
    if (!set_buffers(fd) || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return -errno;
    return 0;
}

int
wire_packet_open(struct sys_loop *loop, const char *ifname, int filter_fd, uint32_t mark,
                 struct wire **out)
{
    struct channel *channel;
    struct link_info info;
    int fd, error = link_query(ifname, &info);
    bool bare;

    if (error != 0)
        return error;
    bare = info.type == ARPHRD_NONE;
    if (bare)
        memcpy(info.mac, bare_own_mac, sizeof(info.mac));
    else if (info.type != ARPHRD_ETHER && info.type != ARPHRD_LOOPBACK)
        return -EPROTONOSUPPORT; /* another header there */
    fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    error = packet_set_up(fd, info.ifindex, filter_fd, mark);
    if (error == 0)
        error = channel_open(loop, ifname, fd, bare ? &bare_ops : &packet_ops, &info, &channel);
    if (error != 0) {
        close(fd);
        return error;
    }
    *out = &channel->wire;
    return 0;
}

int
wire_packet_hear_all(struct wire *wire)
{
    struct channel *channel = (struct channel *)wire;
    struct packet_mreq request = {.mr_ifindex = wire_ifindex(wire), .mr_type = PACKET_MR_PROMISC};

    if (setsockopt(channel->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &request, sizeof(request)) != 0)
        return -errno;
    return 0;
}
