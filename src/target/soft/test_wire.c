/* See test_wire.h. Implements chimney/wire.h as far as a target uses it. */
#include "target/soft/test_wire.h"

#include "sys/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum { QUEUE_MAX = 256 };

struct queued {
    uint8_t header[WIRE_MAX_HEADER];
    size_t header_len, piece_count;
    struct iovec pieces[WIRE_MAX_PIECES];
    struct wire_meta meta;
};

struct wire {
    struct sys_loop *loop;
    const struct wire_receiver *receiver;
    void *receiver_arg;
    void (*on_out)(void *arg, struct wire_buf *buf);
    void *out_arg;
    bool blocked, unplugged;
    uint8_t mac[6];
    unsigned count;
    struct queued queue[QUEUE_MAX];
};

static size_t held;

size_t
test_wire_held(void)
{
    return held;
}

static void
release(struct wire_buf *buf)
{
    held -= buf->capacity;
    free(buf->data);
    free(buf);
}

/* The bytes are an allocation of their own, so that a sanitizer sees every step outside. */
struct wire_buf *
wire_buf_create(uint32_t capacity)
{
    struct wire_buf *buf = calloc(1, sizeof *buf);

    if (!buf)
        return NULL;
    buf->data = malloc(capacity ? capacity : 1);
    buf->refs = 1;
    buf->capacity = capacity;
    buf->release = release;
    held += capacity;
    return buf;
}

struct wire *
test_wire_create(struct sys_loop *loop, void (*on_out)(void *arg, struct wire_buf *buf), void *arg)
{
    struct wire *wire = calloc(1, sizeof *wire);

    if (!wire)
        return NULL;
    wire->loop = loop;
    test_wire_name(wire, 1);
    wire->on_out = on_out;
    wire->out_arg = arg;
    return wire;
}

void
test_wire_destroy(struct wire *wire)
{
    free(wire);
}

void
test_wire_name(struct wire *wire, uint8_t last)
{
    memcpy(wire->mac, (uint8_t[6]){2, 0, 0, 0, 0, last}, sizeof wire->mac);
}

void
test_wire_block(struct wire *wire, bool blocked)
{
    wire->blocked = blocked;
    if (!blocked && wire->receiver)
        wire->receiver->on_writable(wire->receiver_arg);
}

void
test_wire_plug(struct wire *wire, bool up)
{
    wire->unplugged = !up;
    if (wire->receiver)
        wire->receiver->on_link(wire->receiver_arg, up);
}

void
test_wire_deliver(struct wire *wire, struct wire_buf *buf)
{
    if (wire->receiver)
        wire->receiver->on_frame(wire->receiver_arg, buf);
    wire_buf_put(buf);
}

void
wire_set_receiver(struct wire *wire, const struct wire_receiver *receiver, void *arg)
{
    wire->receiver = receiver;
    wire->receiver_arg = arg;
}

int
wire_send(struct wire *wire, const struct wire_tx *tx)
{
    if (wire->blocked)
        return -EAGAIN;
    if (wire->count == QUEUE_MAX || tx->piece_count > WIRE_MAX_PIECES ||
        tx->header_len > WIRE_MAX_HEADER)
        return -EMSGSIZE;
    struct queued *queued = &wire->queue[wire->count++];
    queued->header_len = tx->header_len;
    queued->piece_count = tx->piece_count;
    queued->meta = tx->meta;
    if (tx->header_len)
        memcpy(queued->header, tx->header, tx->header_len);
    memcpy(queued->pieces, tx->pieces, tx->piece_count * sizeof *tx->pieces);
    return 0;
}

void
wire_flush(struct wire *wire)
{
    for (unsigned i = 0; i < wire->count; i++) {
        const struct queued *queued = &wire->queue[i];
        struct wire_buf *buf = wire_buf_create(WIRE_MAX_FRAME);
        memcpy(buf->data, queued->header, queued->header_len);
        buf->len = (uint32_t)queued->header_len;
        for (size_t j = 0; j < queued->piece_count; j++) {
            memcpy(buf->data + buf->len, queued->pieces[j].iov_base, queued->pieces[j].iov_len);
            buf->len += (uint32_t)queued->pieces[j].iov_len;
        }
        buf->meta = queued->meta;
        wire->on_out(wire->out_arg, buf);
        wire_buf_put(buf);
    }
    wire->count = 0;
}

struct sys_loop *
wire_loop(const struct wire *wire)
{
    return wire->loop;
}

const char *
wire_name(const struct wire *wire)
{
    return "test";
}

const uint8_t *
wire_mac(const struct wire *wire)
{
    return wire->mac;
}

unsigned
wire_mtu(const struct wire *wire)
{
    return 1500;
}

bool
wire_link_up(const struct wire *wire)
{
    return !wire->unplugged;
}
