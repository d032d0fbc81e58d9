/*
 * The network between two test hosts: passes Ethernet frames between two interfaces of its
 * namespace and impairs them by seed. A drop here is a loss to both ends (a drop on the sender's
 * own egress would not be one).
 *
 * relay LEFT RIGHT [--seed N] [--loss-ppm N] [--duplicate-ppm N] [--reorder-ppm N --reorder-us N]
 * [--delay-us N]
 *       [--rate-bps N --queue-bytes N]
 *
 * A frame that is not at once sent waits in one list ordered by the time it is due. Prints "ready"
 * when it passes frames.
 */
#include "base/list.h"
#include "base/random.h"
#include "chimney/wire.h"
#include "sys/loop.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

struct side {
    struct wire *out;
    struct random random;
    struct list waiting; /* struct waiting, by due_us */
    struct sys_timer timer;
    uint64_t free_us; /* when the rate limit lets the next frame start */
    uint64_t queued_bytes;
};

struct waiting {
    struct list link;
    struct wire_buf *buf;
    uint64_t due_us;
};

static struct {
    uint64_t seed, loss_ppm, duplicate_ppm, reorder_ppm, reorder_us, delay_us, rate_bps,
        queue_bytes;
} options = {.seed = 1, .queue_bytes = 256 * 1024};

static struct sys_loop *loop;

static void
pass(struct side *side, struct wire_buf *buf)
{
    struct iovec piece = {buf->data, buf->len};
    struct wire_tx tx = {.pieces = &piece, .piece_count = 1, .meta = buf->meta};

    wire_send(side->out, &tx);
    wire_flush(side->out);
}

static void
pass_due(void *arg)
{
    struct side *side = arg;
    uint64_t now_us = sys_loop_now_us(loop);

    while (!list_empty(&side->waiting)) {
        struct waiting *first = list_first(&side->waiting, struct waiting, link);
        if (first->due_us > now_us)
            break;
        list_del(&first->link);
        side->queued_bytes -= first->buf->len;
        pass(side, first->buf);
        wire_buf_put(first->buf);
        free(first);
    }
    sys_timer_set(&side->timer, list_empty(&side->waiting)
                                    ? SYS_NEVER
                                    : list_first(&side->waiting, struct waiting, link)->due_us);
}

static void
wait_until(struct side *side, struct wire_buf *buf, uint64_t due_us)
{
    struct waiting *entry = malloc(sizeof *entry);
    struct list *after = side->waiting.prev;

    if (!entry)
        return;
    *entry = (struct waiting){.buf = wire_buf_get(buf), .due_us = due_us};
    while (after != &side->waiting && container_of(after, struct waiting, link)->due_us > due_us)
        after = after->prev;
    list_insert(&entry->link, after, after->next);
    side->queued_bytes += buf->len;
    sys_timer_set(&side->timer, list_first(&side->waiting, struct waiting, link)->due_us);
}

static bool
happens(struct side *side, uint64_t ppm)
{
    return ppm && random_below(&side->random, 1000000) < ppm;
}

static void
on_frame(void *arg, struct wire_buf *buf)
{
    struct side *side = arg;
    uint64_t now_us = sys_loop_now_us(loop), due_us = now_us + options.delay_us;

    if (happens(side, options.loss_ppm))
        return;
    if (happens(side, options.duplicate_ppm))
        pass(side, buf);
    if (options.rate_bps) {
        if (side->queued_bytes + buf->len > options.queue_bytes)
            return;
        side->free_us = (side->free_us > now_us ? side->free_us : now_us) +
                        buf->len * 8000000ull / options.rate_bps;
        due_us = side->free_us + options.delay_us;
    }
    if (happens(side, options.reorder_ppm))
        due_us += options.reorder_us;
    if (due_us > now_us || options.rate_bps)
        wait_until(side, buf, due_us);
    else
        pass(side, buf);
}

static const struct wire_receiver receiver = {.on_frame = on_frame};

static void
read_options(int argc, char **argv)
{
    static const struct option names[] = {{"seed", required_argument, NULL, 0},
                                          {"loss-ppm", required_argument, NULL, 1},
                                          {"duplicate-ppm", required_argument, NULL, 2},
                                          {"reorder-ppm", required_argument, NULL, 3},
                                          {"reorder-us", required_argument, NULL, 4},
                                          {"delay-us", required_argument, NULL, 5},
                                          {"rate-bps", required_argument, NULL, 6},
                                          {"queue-bytes", required_argument, NULL, 7},
                                          {NULL, 0, NULL, 0}};
    uint64_t *const values[] = {&options.seed,        &options.loss_ppm,   &options.duplicate_ppm,
                                &options.reorder_ppm, &options.reorder_us, &options.delay_us,
                                &options.rate_bps,    &options.queue_bytes};

    for (int which; (which = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (which == '?')
            exit(2);
        *values[which] = strtoull(optarg, NULL, 10);
    }
    if (argc - optind != 2) {
        fprintf(stderr, "usage: relay LEFT RIGHT [options]\n");
        exit(2);
    }
}

int
main(int argc, char **argv)
{
    struct wire *wires[2];
    struct side sides[2] = {{0}};

    read_options(argc, argv);
    loop = sys_loop_create();
    for (int i = 0; i < 2; i++) {
        int error = wire_packet_open(loop, argv[optind + i], -1, 0, &wires[i]);
        if (error) {
            fprintf(stderr, "relay: %s: %s\n", argv[optind + i], strerror(-error));
            return 1;
        }
    }
    for (int i = 0; i < 2; i++) {
        sides[i].out = wires[1 - i];
        random_init(&sides[i].random, options.seed * 2 + (uint64_t)i);
        list_init(&sides[i].waiting);
        sys_timer_init(&sides[i].timer, loop, pass_due, &sides[i]);
        wire_set_receiver(wires[i], &receiver, &sides[i]);
    }
    puts("ready");
    fflush(stdout);
    return sys_loop_run(loop) ? 1 : 0;
}
