/*
 * The part of a wire that does not depend on what carries the frames: checks, gag, link state, and
 * who hears of what.
 *
 * A receiver may do anything in a callback, also close the wire it is called from: closing then
 * only marks the wire, and the outermost wire_leave frees it. A gagged wire forgets what it had
 * queued as well: what was right to say when it was queued may not be so when it leaves.
 */
#include "wire/wire.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/uio.h>

void
wire_init(struct wire *wire, const struct wire_ops *ops, struct sys_loop *loop, const char *name)
{
    wire->ops = ops;
    wire->loop = loop;
    snprintf(wire->name, sizeof(wire->name), "%s", name);
}

void
wire_enter(struct wire *wire)
{
    wire->depth++;
}

void
wire_leave(struct wire *wire)
{
    if (--wire->depth == 0 && wire->closing)
        wire->ops->close(wire);
}

static void
watch_received(struct wire *wire, const struct wire_buf *buf)
{
    struct iovec piece = {.iov_base = buf->data, .iov_len = buf->len};
    struct wire_tx frame = {.pieces = &piece, .piece_count = 1, .meta = buf->meta};

    wire->watcher->on_frame(wire->watcher_arg, false, &frame);
}

void
wire_deliver(struct wire *wire, struct wire_buf *buf)
{
    if (wire->watcher != NULL)
        watch_received(wire, buf);
    wire->stats.rx_frames++;
    wire->stats.rx_bytes += buf->len;
    if (wire->receiver != NULL)
        wire->receiver->on_frame(wire->receiver_arg, buf);
    wire_buf_put(buf);
}

void
wire_writable(struct wire *wire)
{
    if (!wire->blocked)
        return;
    wire->blocked = false;
    if (wire->receiver != NULL && wire->receiver->on_writable != NULL)
        wire->receiver->on_writable(wire->receiver_arg);
}

void
wire_set_link(struct wire *wire, bool up)
{
    if (wire->up == up)
        return;
    wire->up = up;
    log_info("wire %s: link %s", wire->name, up ? "up" : "down");
    if (!up)
        wire->stats.tx_dropped += wire->ops->discard(wire);
    if (wire->receiver != NULL && wire->receiver->on_link != NULL)
        wire->receiver->on_link(wire->receiver_arg, up);
    if (up && !wire->closing)
        wire_writable(wire);
}

size_t
wire_tx_length(const struct wire_tx *frame)
{
    size_t len = frame->header_len;

    for (size_t i = 0; i < frame->piece_count; i++)
        len += frame->pieces[i].iov_len;
    return len;
}

size_t
wire_tx_copy(const struct wire_tx *frame, void *to, size_t max)
{
    uint8_t *at = to;
    size_t done = MIN(frame->header_len, max);

    if (done != 0)
        memcpy(at, frame->header, done);
    for (size_t i = 0; i < frame->piece_count && done < max; i++) {
        size_t len = MIN(frame->pieces[i].iov_len, max - done);

        if (len != 0)
            memcpy(at + done, frame->pieces[i].iov_base, len);
        done += len;
    }
    return done;
}

struct wire_buf *
wire_gather(const struct wire_tx *tx, size_t len)
{
    struct wire_buf *buf = wire_buf_create((uint32_t)len);

    if (buf == NULL)
        return NULL;
    wire_tx_copy(tx, buf->data, len);
    buf->len = (uint32_t)len;
    buf->meta = tx->meta;
    return buf;
}

/* ---- what drivers call ---- */

void
wire_set_receiver(struct wire *wire, const struct wire_receiver *receiver, void *arg)
{
    wire->receiver = receiver;
    wire->receiver_arg = arg;
}

void
wire_set_watcher(struct wire *wire, const struct wire_watcher *watcher, void *arg)
{
    wire->watcher = watcher;
    wire->watcher_arg = arg;
}

/* The bytes of the frame, or 0 if it is no frame that this wire can carry. */
static size_t
tx_length(const struct wire *wire, const struct wire_tx *tx)
{
    size_t len = tx->header_len;

    if (tx->header_len > WIRE_MAX_HEADER || tx->piece_count > WIRE_MAX_PIECES)
        return 0;
    for (size_t i = 0; i < tx->piece_count; i++) {
        if (tx->pieces[i].iov_len > WIRE_MAX_FRAME)
            return 0;
        len += tx->pieces[i].iov_len;
    }
    if (len < WIRE_ETHERNET_HEADER || len > WIRE_MAX_FRAME)
        return 0;
    if (tx->meta.gso_type == WIRE_GSO_NONE &&
        len > wire->mtu + WIRE_ETHERNET_HEADER + WIRE_VLAN_TAG)
        return 0;
    return len;
}

int
wire_send(struct wire *wire, const struct wire_tx *tx)
{
    size_t len = tx_length(wire, tx);
    int error;

    if (len == 0)
        return -EMSGSIZE;
    if (wire->gagged) {
        wire->stats.tx_gagged++;
        return 0;
    }
    if (!wire->up)
        return -ENETDOWN;
    error = wire->ops->send(wire, tx, len);
    if (error == -EAGAIN)
        wire->blocked = true;
    if (error == 0 && wire->watcher != NULL)
        wire->watcher->on_frame(wire->watcher_arg, true, tx);
    return error;
}

void
wire_flush(struct wire *wire)
{
    wire->ops->flush(wire);
}

void
wire_gag(struct wire *wire, bool gagged)
{
    wire->gagged = gagged;
    if (gagged)
        wire->stats.tx_gagged += wire->ops->discard(wire);
}

struct sys_loop *
wire_loop(const struct wire *wire)
{
    return wire->loop;
}

const char *
wire_name(const struct wire *wire)
{
    return wire->name;
}

const uint8_t *
wire_mac(const struct wire *wire)
{
    return wire->mac;
}

unsigned
wire_mtu(const struct wire *wire)
{
    return wire->mtu;
}

int
wire_ifindex(const struct wire *wire)
{
    return wire->ifindex;
}

bool
wire_link_up(const struct wire *wire)
{
    return wire->up;
}

void
wire_read_stats(const struct wire *wire, struct wire_stats *out)
{
    if (wire->ops->read_stats != NULL)
        wire->ops->read_stats((struct wire *)wire);
    *out = wire->stats;
}

void
wire_close(struct wire *wire)
{
    if (wire == NULL || wire->closing)
        return;
    wire->closing = true;
    wire->receiver = NULL;
    wire->ops->flush(wire);
    if (wire->depth == 0)
        wire->ops->close(wire);
}
