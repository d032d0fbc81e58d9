/*
 * The rival: a plain forwarder on the plumbing of the live attachment. What the kernel sends for
 * one flow comes out of a TAP and goes out of a packet socket, and back; no NDIS, no engine. The
 * difference to the live attachment is what driver stack and engine cost.
 *
 * forwarder IFNAME LOCAL LPORT PEER PPORT     prints "ready"; ends on end of file at standard input
 */
#include "bpf/steer.h"
#include "chimney/wire.h"
#include "sys/clock.h"
#include "sys/loop.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static struct sys_loop *loop;
static struct steer *steer;
static struct sys_timer heart;

static void
beat(void *arg)
{
    steer_beat(steer, sys_clock_ns());
    sys_timer_set(&heart, sys_loop_now_us(loop) + 20000);
}

static void
forward(void *arg, struct wire_buf *buf)
{
    struct wire *out = arg;
    struct iovec piece = {buf->data, buf->len};
    struct wire_tx tx = {.pieces = &piece, .piece_count = 1, .meta = buf->meta};

    wire_send(out, &tx);
    wire_flush(out);
}

static void
on_input(void *arg, int events)
{
    char byte;

    if (read(STDIN_FILENO, &byte, 1) <= 0)
        sys_loop_stop(loop);
}

static const struct wire_receiver receiver = {.on_frame = forward};

static void
must(int error, const char *what)
{
    if (!error)
        return;
    fprintf(stderr, "forwarder: %s: %s\n", what, strerror(-error));
    exit(1);
}

int
main(int argc, char **argv)
{
    struct steer_key key = {.family = AF_INET};
    struct wire *tap, *packet;
    struct sys_watch input;
    const char *why;

    if (argc != 6)
        return 2;
    inet_pton(AF_INET, argv[2], key.local);
    inet_pton(AF_INET, argv[4], key.peer);
    key.local_port = htons((uint16_t)atoi(argv[3]));
    key.peer_port = htons((uint16_t)atoi(argv[5]));
    loop = sys_loop_create();
    must(wire_tap_open(loop, "forward0", NULL, 1500, &tap), "tap");
    must(steer_open(NULL, &steer, &why), "steering");
    must(wire_packet_open(loop, argv[1], steer_filter_fd(steer), steer_mark(steer), &packet),
         "packet");
    must(steer_attach(steer, wire_ifindex(packet), wire_ifindex(tap), &why), "attach");
    must(sys_timer_init(&heart, loop, beat, NULL), "timer");
    must(sys_watch_start(&input, loop, STDIN_FILENO, SYS_READABLE, on_input, NULL), "input");
    beat(NULL);
    wire_set_receiver(tap, &receiver, packet);
    wire_set_receiver(packet, &receiver, tap);
    must(steer_flow_add(steer, &key), "flow");
    puts("ready");
    fflush(stdout);
    sys_loop_run(loop);
    steer_flow_remove(steer, &key, NULL);
    return 0;
}
