/*
 * The peer's life and its application's end (see peer.h). Invariants: snd_una <= snd_nxt <=
 * snd_max; una_at is the number of the byte snd_una; rcv_adv never goes back. After both FINs are
 * through it stays, as in a TIME_WAIT without end, and answers what comes again.
 */
#include "peer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t
peer_now(const struct peer *peer)
{
    return sys_loop_now_us(peer->loop);
}

/* Milliseconds (RFC 7323, 5.4: between 1 ms and 1 s). */
uint32_t
peer_ts_now(const struct peer *peer)
{
    return peer->options.ts_offset + (uint32_t)(peer_now(peer) / 1000);
}

void
peer_violation(struct peer *peer, const char *format, ...)
{
    char text[256];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    peer->app->on_violation(peer->arg, text);
}

static void
on_ack_timer(void *arg)
{
    peer_ack(arg);
}

static void
start(struct peer *peer)
{
    const struct peer_options *options = &peer->options;

    peer->snd_una = options->snd_seq;
    peer->snd_max = peer->snd_nxt = options->snd_max;
    peer->una_at = options->snd_at;
    peer->total = options->snd_at + (options->snd_max - options->snd_seq);
    peer->snd_wnd = peer->max_wnd = options->window;
    peer->snd_wl1 = options->rcv_seq - 1;
    peer->snd_wl2 = options->snd_seq;
    peer->recover = peer->ecn_recover = options->snd_seq;
    peer->cwnd = 10 * peer_mss(peer); /* RFC 6928 */
    peer->ssthresh = UINT32_MAX;
    peer->rto_us = 1000000;
    peer->rcv_nxt = peer->last_ack = options->rcv_seq;
    peer->rcv_adv = options->rcv_seq + options->receive_buffer;
    peer->rcv_at = options->rcv_at;
    peer->ts_recent = options->ts_recent;
    peer->reading = true;
    peer->end = PEER_OPEN;
}

struct peer *
peer_create(struct sys_loop *loop, const struct peer_options *options, const struct peer_app *app,
            void *arg)
{
    struct peer *peer = calloc(1, sizeof *peer);
    uint32_t ring = options->receive_buffer;

    if (!peer)
        return NULL;
    peer->loop = loop;
    peer->options = *options;
    peer->app = app;
    peer->arg = arg;
    peer->ring = malloc(ring);
    peer->ring_bytes = ring;
    if (!peer->ring || sys_timer_init(&peer->timer, loop, peer_on_timer, peer))
        goto no_timer;
    if (sys_timer_init(&peer->ack_timer, loop, on_ack_timer, peer))
        goto no_ack_timer;
    start(peer);
    return peer;
no_ack_timer:
    sys_timer_fini(&peer->timer);
no_timer:
    free(peer->ring);
    free(peer);
    return NULL;
}

void
peer_destroy(struct peer *peer)
{
    if (!peer)
        return;
    if (peer->kind) {
        peer->kind->destroy(peer);
        return;
    }
    sys_timer_fini(&peer->timer);
    sys_timer_fini(&peer->ack_timer);
    free(peer->ring);
    free(peer);
}

void
peer_finish(struct peer *peer, enum peer_end end)
{
    if (peer->end != PEER_OPEN)
        return;
    peer->end = end;
    if (end != PEER_CLOSED)
        sys_timer_set(&peer->ack_timer, SYS_NEVER);
    sys_timer_set(&peer->timer, SYS_NEVER);
    peer->app->on_end(peer->arg, end);
}

void
peer_look_closed(struct peer *peer)
{
    if (peer->fin_acked && peer->fin_received && peer->held == 0)
        peer_finish(peer, PEER_CLOSED);
}

bool
peer_frame(struct peer *peer, const uint8_t *bytes, size_t len, bool damaged)
{
    struct peer_segment segment;

    if (peer->kind)
        return peer->kind->frame(peer, bytes, len, damaged);
    if (!peer_frame_read(bytes, len, len, false, &segment) ||
        !peer_frame_is_for(&segment, &peer->options.path))
        return false;
    if (!peer_frame_sums_right(bytes, &segment)) {
        peer->bad_checksums++;
        if (!damaged)
            peer_violation(peer, "a wrong checksum at seq %u", segment.seq);
        return true;
    }
    if (memcmp(bytes, peer->options.path.local_mac, 6) != 0 && !damaged)
        peer_violation(peer, "a frame for another station at seq %u", segment.seq);
    peer->segments_in++;
    if (peer->end == PEER_OPEN || peer->end == PEER_CLOSED)
        peer_segment_in(peer, &segment);
    else if (!(segment.flags & PEER_RST) && segment.flags & PEER_ACK)
        peer_send_reset(peer, segment.ack); /* 3.10.7.1: there is no connection */
    return true;
}

void
peer_offer(struct peer *peer, uint64_t bytes)
{
    if (peer->kind) {
        peer->kind->offer(peer, bytes);
        return;
    }
    if (peer->fin_wanted)
        return;
    peer->total += bytes;
    peer_output(peer);
}

void
peer_read(struct peer *peer, bool on)
{
    if (peer->kind) {
        peer->kind->read(peer, on);
        return;
    }
    peer->reading = on;
    if (on)
        peer_deliver(peer);
}

void
peer_close(struct peer *peer)
{
    if (peer->kind) {
        peer->kind->close(peer);
        return;
    }
    peer->fin_wanted = true;
    peer_output(peer);
}

void
peer_abort(struct peer *peer)
{
    if (peer->end != PEER_OPEN)
        return;
    if (peer->kind) {
        peer->kind->abort(peer);
        return;
    }
    peer_send_reset(peer, peer->snd_max);
    peer_finish(peer, PEER_ABORTED);
}
