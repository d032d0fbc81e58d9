/*
 * A TUN carries IP packets with nothing before them. Drivers know Ethernet only, so the header is
 * made up when a packet arrives and taken off when one leaves; the virtio header's offsets, which
 * count from the start of the frame, move with it. A message is never changed: the channel may send
 * the same one again.
 */
#include "wire/bare.h"

#include "base/bytes.h"

#include <errno.h>
#include <linux/if_ether.h>

#define HEAD_BYTES (VNET_BYTES + WIRE_ETHERNET_HEADER)
#define MAX_PARTS (2 + WIRE_MAX_PIECES)

const uint8_t bare_own_mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2};

static void
shift(struct virtio_net_hdr *vnet, int by)
{
    if ((vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0)
        vnet->csum_start = (uint16_t)(vnet->csum_start + by);
    if (vnet->hdr_len != 0)
        vnet->hdr_len = (uint16_t)(vnet->hdr_len + by);
}

/* ---- out ---- */

/* Copies the first HEAD_BYTES of a message; rest: what is behind them. The count of rest, or -1: it
 * is shorter. */
static int
split(const struct msghdr *message, uint8_t head[HEAD_BYTES], struct iovec *rest)
{
    size_t have = 0;
    int count = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++) {
        const struct iovec *part = &message->msg_iov[i];
        size_t take = part->iov_len < HEAD_BYTES - have ? part->iov_len : HEAD_BYTES - have;

        memcpy(head + have, part->iov_base, take);
        have += take;
        if (take < part->iov_len)
            rest[count++] = (struct iovec){(uint8_t *)part->iov_base + take, part->iov_len - take};
    }
    return have == HEAD_BYTES ? count : -1;
}

static int
transmit_one(int fd, const struct msghdr *message)
{
    uint8_t head[HEAD_BYTES] = {0};
    struct virtio_net_hdr vnet;
    struct iovec parts[1 + MAX_PARTS];
    struct msghdr bare = {.msg_iov = parts};
    int count = split(message, head, parts + 1);
    uint16_t type = bytes_load_be16(head + HEAD_BYTES - 2);

    if (count <= 0 || (type != ETH_P_IP && type != ETH_P_IPV6))
        return 0;
    memcpy(&vnet, head, VNET_BYTES);
    shift(&vnet, -WIRE_ETHERNET_HEADER);
    parts[0] = (struct iovec){&vnet, VNET_BYTES};
    bare.msg_iovlen = (size_t)count + 1;
    return sendmsg(fd, &bare, MSG_DONTWAIT) < 0 ? -errno : 0;
}

int
bare_transmit(int fd, struct mmsghdr *messages, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        int error = transmit_one(fd, &messages[i].msg_hdr);

        if (error != 0)
            return i != 0 ? (int)i : error;
    }
    return (int)count;
}

/* ---- in ---- */

/* Room for the header in front of what is read. */
static void
make_room(struct mmsghdr *message, int by)
{
    struct iovec *part = &message->msg_hdr.msg_iov[1];

    part->iov_base = (uint8_t *)part->iov_base + by;
    part->iov_len = (size_t)((ssize_t)part->iov_len - by);
}

static void
put_header(struct mmsghdr *message)
{
    uint8_t *frame = message->msg_hdr.msg_iov[1].iov_base;
    uint8_t version = frame[WIRE_ETHERNET_HEADER] >> 4;

    if (message->msg_len <= VNET_BYTES || (version != 4 && version != 6)) {
        message->msg_len = 0;
        return;
    }
    memcpy(frame, bare_own_mac, 6);
    memcpy(frame + 6, peer_mac, 6);
    bytes_store_be16(frame + 12, version == 4 ? ETH_P_IP : ETH_P_IPV6);
    shift(message->msg_hdr.msg_iov[0].iov_base, WIRE_ETHERNET_HEADER);
    message->msg_len += WIRE_ETHERNET_HEADER;
}

int
bare_receive(int fd, struct mmsghdr *messages, unsigned count)
{
    int got;

    for (unsigned i = 0; i < count; i++)
        make_room(&messages[i], WIRE_ETHERNET_HEADER);
    got = recvmmsg(fd, messages, count, MSG_DONTWAIT, NULL);
    if (got < 0)
        got = -errno;
    for (unsigned i = 0; i < count; i++)
        make_room(&messages[i], -WIRE_ETHERNET_HEADER);
    for (int i = 0; i < got; i++)
        put_header(&messages[i]);
    return got;
}
