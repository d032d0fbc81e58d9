/*
 * Sending: frames are queued with their payload borrowed and leave together, when the batch is
 * full or the turn ends. What the medium does not take at that moment is copied into the spill, in
 * order, and the wire is blocked until the medium has taken that; so a flush always gives back what
 * was borrowed, and nothing is lost or overtaken. A frame the medium refuses for good is dropped
 * and counted: it must not block those behind it.
 *
 * Receiving: many frames per system call into large buffers; small ones are handed on as a copy
 * (see pool.c). A tag that the medium keeps beside a frame is put back where it was: to a driver a
 * frame is its bytes. A turn takes a bounded number of frames and bytes: others share the loop, and
 * what a frame provokes should leave while it is still in the cache.
 */
#include "wire/channel.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COPYBREAK_BYTES 4096
#define FLUSH_BYTES (512 * 1024)
#define TURN_FRAMES 256
#define TURN_BYTES                                                                                 \
    (128 * 1024) /* small: what one side sends must not wait for the other's whole window */
#define LARGE_FRAME_BYTES 8192 /* frames this large on average are read in smaller batches */
#define LARGE_BATCH 16

struct channel_spill {
    struct channel_spill *next;
    size_t frame_len;
    size_t len;      /* with the virtio header */
    uint8_t bytes[]; /* the message */
};

/* ---- sending ---- */

/* The descriptor is of no use any more; link state will say why. */
static bool
is_dead(int error)
{
    return error == -EBADFD || error == -EBADF || error == -ENODEV || error == -ENXIO;
}

/* What became of the message in front, when it was not sent. */
enum verdict { VERDICT_LATER, VERDICT_DROP };

static enum verdict
judge(struct channel *channel, int error)
{
    if (error == -EAGAIN)
        return VERDICT_LATER;
    /*
     * ENOBUFS: a full queue, the daily bread of a network. ENETDOWN, on a TAP EIO: link state
     * follows.
     */
    if (error != -ENOBUFS && error != -ENETDOWN && error != -EIO && !is_dead(error))
        log_warn("wire %s: a frame was refused, errno %d", channel->wire.name, -error);
    channel->wire.stats.tx_dropped++;
    return VERDICT_DROP;
}

static void
count_sent(struct channel *channel, size_t frame_len)
{
    channel->wire.stats.tx_frames++;
    channel->wire.stats.tx_bytes += frame_len;
}

static void
spill_pop(struct channel *channel)
{
    struct channel_spill *spill = channel->spill;

    channel->spill = spill->next;
    if (channel->spill == NULL)
        channel->spill_last = NULL;
    free(spill);
}

/* Copies a message that was built of parts. */
static void
spill_push(struct channel *channel, const struct msghdr *message)
{
    struct channel_spill *spill;
    size_t len = 0;
    uint8_t *at;

    for (size_t i = 0; i < message->msg_iovlen; i++)
        len += message->msg_iov[i].iov_len;
    spill = malloc(sizeof(*spill) + len);
    if (spill == NULL) {
        channel->wire.stats.tx_dropped++;
        return;
    }
    spill->next = NULL;
    spill->len = len;
    spill->frame_len = len - VNET_BYTES;
    at = spill->bytes;
    for (size_t i = 0; i < message->msg_iovlen; i++) {
        memcpy(at, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        at += message->msg_iov[i].iov_len;
    }
    if (channel->spill_last != NULL)
        channel->spill_last->next = spill;
    else
        channel->spill = spill;
    channel->spill_last = spill;
}

/* True: the spill is empty. */
static bool
spill_drain(struct channel *channel)
{
    while (channel->spill != NULL) {
        struct channel_spill *spill = channel->spill;
        struct iovec part = {spill->bytes, spill->len};
        struct mmsghdr message = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};
        int sent = channel->ops->transmit(channel->fd, &message, 1);

        if (sent == -EINTR)
            continue;
        if (sent > 0)
            count_sent(channel, spill->frame_len);
        else if (judge(channel, sent) == VERDICT_LATER)
            return false;
        spill_pop(channel);
    }
    return true;
}

static size_t
message_frame_len(const struct msghdr *message)
{
    size_t len = 0;

    for (size_t i = 1; i < message->msg_iovlen; i++)
        len += message->msg_iov[i].iov_len;
    return len;
}

/* Sends from message `first` on; returns the first one that has to wait. */
static unsigned
transmit_queued(struct channel *channel)
{
    unsigned first = 0;

    while (first < channel->queued) {
        int sent = channel->ops->transmit(channel->fd, &channel->messages[first],
                                          channel->queued - first);

        if (sent == -EINTR)
            continue;
        if (sent < 0 && judge(channel, sent) == VERDICT_LATER)
            return first;
        if (sent < 0)
            first++;
        for (; sent > 0; sent--, first++)
            count_sent(channel, message_frame_len(&channel->messages[first].msg_hdr));
    }
    return first;
}

static void
channel_flush(struct wire *wire)
{
    struct channel *channel = (struct channel *)wire;
    unsigned waiting;

    if (channel->queued == 0)
        return;
    waiting = transmit_queued(channel);
    for (; waiting < channel->queued; waiting++)
        spill_push(channel, &channel->messages[waiting].msg_hdr);
    channel->queued = 0;
    channel->queued_bytes = 0;
    if (channel->spill != NULL)
        sys_watch_events(&channel->watch, SYS_READABLE | SYS_WRITABLE);
}

static void
on_flush(void *arg)
{
    struct channel *channel = arg;

    channel_flush(&channel->wire);
}

static int
channel_send(struct wire *wire, const struct wire_tx *tx, size_t len)
{
    struct channel *channel = (struct channel *)wire;
    struct channel_slot *slot = &channel->slots[channel->queued];
    struct msghdr *message = &channel->messages[channel->queued].msg_hdr;
    size_t parts = 1;

    if (channel->spill != NULL)
        return -EAGAIN;
    vnet_encode(&slot->vnet, &tx->meta);
    slot->parts[0] = (struct iovec){&slot->vnet, VNET_BYTES};
    if (tx->header_len != 0) {
        memcpy(slot->header, tx->header, tx->header_len);
        slot->parts[parts++] = (struct iovec){slot->header, tx->header_len};
    }
    for (size_t i = 0; i < tx->piece_count; i++)
        if (tx->pieces[i].iov_len != 0)
            slot->parts[parts++] = tx->pieces[i];
    *message = (struct msghdr){.msg_iov = slot->parts, .msg_iovlen = parts};
    channel->queued++;
    channel->queued_bytes += len;
    if (channel->queued == CHANNEL_BATCH || channel->queued_bytes >= FLUSH_BYTES)
        channel_flush(wire);
    return 0;
}

static unsigned
channel_discard(struct wire *wire)
{
    struct channel *channel = (struct channel *)wire;
    unsigned count = channel->queued;

    channel->queued = 0;
    channel->queued_bytes = 0;
    /* SYS_WRITABLE stays on if it is: then on_writable follows. */
    for (; channel->spill != NULL; count++)
        spill_pop(channel);
    return count;
}

/* ---- receiving ---- */

/* Fills the empty slots in front; returns how many can be read into. */
static unsigned
rx_prepare(struct channel *channel, unsigned wanted)
{
    unsigned ready = 0;

    for (; ready < wanted; ready++) {
        struct wire_buf *buf;

        if (channel->ops->read_tag != NULL) /* the last read has changed the length */
            channel->rx_messages[ready].msg_hdr.msg_controllen = CHANNEL_CONTROL_BYTES;
        if (channel->rx_bufs[ready] != NULL)
            continue;
        buf = pool_get(channel->pool, WIRE_MAX_FRAME);
        if (buf == NULL)
            break;
        channel->rx_bufs[ready] = buf;
        channel->rx_parts[ready][0] = (struct iovec){&channel->rx_vnets[ready], VNET_BYTES};
        channel->rx_parts[ready][1] = (struct iovec){buf->data, buf->capacity};
        channel->rx_messages[ready].msg_hdr = (struct msghdr){.msg_iov = channel->rx_parts[ready],
                                                              .msg_iovlen = 2};
        if (channel->ops->read_tag != NULL) {
            channel->rx_messages[ready].msg_hdr.msg_control = channel->rx_controls[ready];
            channel->rx_messages[ready].msg_hdr.msg_controllen = CHANNEL_CONTROL_BYTES;
        }
    }
    return ready;
}

/* Puts a tag back into a frame of len bytes, for which there is room, and moves what the header
 * says about it; the new length. */
static uint32_t
put_tag(struct channel *channel, unsigned i, uint8_t *frame, uint32_t len, const uint8_t *tag)
{
    struct virtio_net_hdr *vnet = &channel->rx_vnets[i];

    memmove(frame + WIRE_TAG_OFFSET + WIRE_VLAN_TAG, frame + WIRE_TAG_OFFSET,
            len - WIRE_TAG_OFFSET);
    memcpy(frame + WIRE_TAG_OFFSET, tag, WIRE_VLAN_TAG);
    if ((vnet->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0)
        vnet->csum_start = (uint16_t)(vnet->csum_start + WIRE_VLAN_TAG);
    if (vnet->hdr_len != 0)
        vnet->hdr_len = (uint16_t)(vnet->hdr_len + WIRE_VLAN_TAG);
    return len + WIRE_VLAN_TAG;
}

/* The tag of the frame in slot i becomes part of it again. Its length. */
static uint32_t
rx_tag(struct channel *channel, unsigned i, uint32_t len)
{
    uint8_t tag[WIRE_VLAN_TAG];
    struct wire_buf *buf = channel->rx_bufs[i];

    if (channel->ops->read_tag == NULL || len + WIRE_VLAN_TAG > buf->capacity ||
        !channel->ops->read_tag(&channel->rx_messages[i].msg_hdr, tag))
        return len;
    return put_tag(channel, i, buf->data, len, tag);
}

/* The frame in slot i as a buffer that may be kept; NULL: dropped. */
static struct wire_buf *
rx_take(struct channel *channel, unsigned i, uint32_t len)
{
    struct wire_buf *buf = channel->rx_bufs[i], *copy;

    if (len > COPYBREAK_BYTES) {
        channel->rx_bufs[i] = NULL;
        buf->len = len;
        return buf;
    }
    copy = pool_get(channel->pool, len);
    if (copy == NULL)
        return NULL;
    memcpy(copy->data, buf->data, len);
    copy->len = len;
    return copy;
}

/* Frame i of a batch; returns its length. */
static uint32_t
rx_frame(struct channel *channel, unsigned i)
{
    const struct mmsghdr *message = &channel->rx_messages[i];
    struct wire_buf *buf = NULL;
    uint32_t len = 0;

    if (message->msg_len >= VNET_BYTES + WIRE_ETHERNET_HEADER &&
        (message->msg_hdr.msg_flags & MSG_TRUNC) == 0) {
        len = rx_tag(channel, i, message->msg_len - VNET_BYTES);
        buf = rx_take(channel, i, len);
    }
    if (buf == NULL) {
        channel->wire.stats.rx_dropped++;
        return len;
    }
    vnet_decode(&channel->rx_vnets[i], buf->data, len, &buf->meta);
    wire_deliver(&channel->wire, buf);
    return len;
}

/* Delivers a batch; returns its bytes. Stops when a callback closes the wire. */
static size_t
rx_deliver(struct channel *channel, unsigned count)
{
    size_t bytes = 0;

    for (unsigned i = 0; i < count && !channel->wire.closing; i++)
        bytes += rx_frame(channel, i);
    if (bytes >= (size_t)LARGE_FRAME_BYTES * count)
        channel->rx_batch = LARGE_BATCH;
    else
        channel->rx_batch = CHANNEL_BATCH;
    return bytes;
}

/* True: reading may go on after this error. */
static bool
rx_error(struct channel *channel, int error)
{
    if (error == -EINTR || error == -ENETDOWN)
        return true;
    if (error == -EAGAIN)
        return false;
    if (is_dead(error)) {
        log_info("wire %s: its medium is gone, errno %d", channel->wire.name, -error);
        sys_watch_stop(&channel->watch);
        wire_set_link(&channel->wire, false);
        return false;
    }
    /* A frame that cannot be described by a virtio header, say. */
    channel->wire.stats.rx_dropped++;
    return true;
}

static void
channel_receive(struct channel *channel)
{
    unsigned frames = 0, rounds = 0, wanted;
    size_t bytes = 0;

    while (frames < TURN_FRAMES && bytes < TURN_BYTES && rounds++ < TURN_FRAMES) {
        int got;

        wanted = rx_prepare(channel, channel->rx_batch);
        if (wanted == 0)
            return; /* out of memory; level triggered, so we come back */
        got = channel->ops->receive(channel->fd, channel->rx_messages, wanted);
        if (got < 0) {
            if (!rx_error(channel, got))
                return;
            continue;
        }
        bytes += rx_deliver(channel, (unsigned)got);
        frames += (unsigned)got;
        if (channel->wire.closing || (unsigned)got < wanted)
            return;
    }
}

static void
on_events(void *arg, int events)
{
    struct channel *channel = arg;

    wire_enter(&channel->wire);
    if ((events & SYS_WRITABLE) != 0 && spill_drain(channel)) {
        sys_watch_events(&channel->watch, SYS_READABLE);
        wire_writable(&channel->wire);
    }
    if ((events & SYS_READABLE) != 0 && !channel->wire.closing)
        channel_receive(channel);
    wire_leave(&channel->wire);
}

static void
on_link(void *arg, const struct link_info *info)
{
    static const uint8_t no_mac[6];
    struct channel *channel = arg;

    wire_enter(&channel->wire);
    if (!info->gone) {
        channel->wire.mtu = info->mtu;
        if (memcmp(info->mac, no_mac, sizeof(no_mac)) != 0) /* a TUN has none */
            memcpy(channel->wire.mac, info->mac, sizeof(info->mac));
    }
    /* Once the descriptor is dead no news can bring the wire up again. */
    wire_set_link(&channel->wire, info->up && channel->watch.impl != NULL);
    wire_leave(&channel->wire);
}

/* ---- life ---- */

static void
channel_read_stats(struct wire *wire)
{
    struct channel *channel = (struct channel *)wire;

    if (channel->ops->read_stats != NULL)
        channel->ops->read_stats(wire);
}

static void
channel_free(struct channel *channel)
{
    link_watch_stop(&channel->link);
    sys_watch_stop(&channel->watch);
    for (unsigned i = 0; i < CHANNEL_BATCH; i++)
        if (channel->rx_bufs[i] != NULL)
            wire_buf_put(channel->rx_bufs[i]);
    pool_close(channel->pool);
    free(channel);
}

static void
channel_close(struct wire *wire)
{
    struct channel *channel = (struct channel *)wire;

    sys_hook_remove(&channel->flush_hook);
    channel_discard(wire);
    close(channel->fd);
    channel_free(channel);
}

static const struct wire_ops channel_wire_ops = {
    .send = channel_send,
    .flush = channel_flush,
    .discard = channel_discard,
    .read_stats = channel_read_stats,
    .close = channel_close,
};

int
channel_open(struct sys_loop *loop, const char *name, int fd, const struct channel_ops *ops,
             const struct link_info *info, struct channel **out)
{
    struct channel *channel = calloc(1, sizeof(*channel));
    int error = -ENOMEM;

    if (channel == NULL)
        return error;
    wire_init(&channel->wire, &channel_wire_ops, loop, name);
    channel->ops = ops;
    channel->fd = fd;
    channel->rx_batch = CHANNEL_BATCH;
    channel->wire.mtu = info != NULL ? info->mtu : WIRE_MAX_FRAME;
    channel->wire.up = info == NULL || info->up;
    channel->pool = pool_create();
    if (channel->pool != NULL)
        error = sys_watch_start(&channel->watch, loop, fd, SYS_READABLE, on_events, channel);
    if (error == 0 && info != NULL) {
        channel->wire.ifindex = info->ifindex;
        memcpy(channel->wire.mac, info->mac, sizeof(info->mac));
        error = link_watch_start(&channel->link, loop, info->ifindex, on_link, channel);
    }
    if (error != 0) {
        channel_free(channel);
        return error;
    }
    sys_loop_on_flush(loop, &channel->flush_hook, on_flush, channel);
    *out = channel;
    return 0;
}
