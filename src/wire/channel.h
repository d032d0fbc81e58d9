/*
 * Wires over a file descriptor that carries one frame per message behind a virtio header: what a
 * packet socket and a TAP have in common. Private to src/wire.
 */
#ifndef WIRE_CHANNEL_H
#define WIRE_CHANNEL_H

#include "sys/loop.h"
#include "wire/link.h"
#include "wire/pool.h"
#include "wire/vnet.h"
#include "wire/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CHANNEL_BATCH 64
#define CHANNEL_CONTROL_BYTES 64

struct channel;
struct channel_spill;

struct channel_ops {
    /* Sends the first messages: how many (at least one), or the negative errno of the first. */
    int (*transmit)(int fd, struct mmsghdr *messages, unsigned count);
    /* Receives up to count messages (msg_len set): how many (at least one) or a negative errno. */
    int (*receive)(int fd, struct mmsghdr *messages, unsigned count);
    /* As in struct wire_ops. May be NULL. */
    void (*read_stats)(struct wire *wire);
    /* The tag that the medium took out of a received frame, from the control data: its four bytes.
     * false: none. May be NULL. */
    bool (*read_tag)(struct msghdr *message, uint8_t *tag);
};

/* A queued frame: own header, borrowed payload. */
struct channel_slot {
    struct virtio_net_hdr vnet;
    uint8_t header[WIRE_MAX_HEADER];
    struct iovec parts[2 + WIRE_MAX_PIECES]; /* vnet, header, pieces */
};

struct channel {
    struct wire wire;
    const struct channel_ops *ops;
    int fd; /* owned */
    struct sys_watch watch;
    struct sys_hook flush_hook;
    struct link_watch link;
    struct pool *pool;
    /* to send: messages[i] is made of slots[i]; while there is spill there are none */
    unsigned queued;
    size_t queued_bytes;
    struct mmsghdr messages[CHANNEL_BATCH];
    struct channel_slot slots[CHANNEL_BATCH];
    struct channel_spill *spill, *spill_last;
    /* to receive into; slots without a buffer get one before the next read */
    unsigned rx_batch;
    struct wire_buf *rx_bufs[CHANNEL_BATCH];
    struct virtio_net_hdr rx_vnets[CHANNEL_BATCH];
    struct iovec rx_parts[CHANNEL_BATCH][2];
    struct mmsghdr rx_messages[CHANNEL_BATCH];
    uint64_t rx_controls[CHANNEL_BATCH][CHANNEL_CONTROL_BYTES / sizeof(uint64_t)];
};

/*
 * Makes a wire of fd. Owner: fd passes to the channel on success. info: of its interface; NULL:
 * there is none (tests). 0 or a negative errno.
 */
int channel_open(struct sys_loop *loop, const char *name, int fd, const struct channel_ops *ops,
                 const struct link_info *info, struct channel **out);

#endif
