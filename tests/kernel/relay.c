/*
 * The network between two test hosts: passes Ethernet frames between two interfaces of its
 * namespace and impairs them by seed. A drop here is a loss to both ends (a drop on the sender's
 * own egress would not be one).
 *
 * relay LEFT RIGHT [--seed N] [--loss-ppm N] [--duplicate-ppm N] [--reorder-ppm N --reorder-us N]
 *       [--delay-us N] [--rate-bps N --queue-bytes N] [--corrupt-ppm N] [--ce-ppm N]
 *
 * A frame that is not at once sent waits in one list ordered by the time it is due. Corruption
 * turns one bit of an IP packet around, after its checksum was filled in; what is in front of it is
 * left alone, as Ethernet has a checksum of its own. So is a superframe: switch the offloads off.
 * --ce-ppm marks what says that it may be marked (RFC 3168).
 *
 * Prints "ready" when it passes frames, for every byte on its standard input a line with what it
 * did, and ends with that input.
 */
#include "base/checksum.h"
#include "base/list.h"
#include "base/random.h"
#include "chimney/wire.h"
#include "sys/loop.h"
#include "wire/gso.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define ETHERNET_HEADER 14u

enum { NOT_ECT = 0, CE = 3 };

/* What happened to the frames that came in at one side. */
struct counts {
    uint64_t frames, lost, duplicated, reordered, corrupted, ect, marked, ece, cwr, resets;
};

struct side {
    struct wire *out;
    struct random random;
    struct list waiting; /* struct waiting, by due_us */
    struct sys_timer timer;
    uint64_t free_us; /* when the rate limit lets the next frame start */
    uint64_t queued_bytes;
    struct counts counts;
};

struct waiting {
    struct list link;
    struct wire_buf *buf;
    uint64_t due_us;
};

static struct {
    uint64_t seed, loss_ppm, duplicate_ppm, reorder_ppm, reorder_us, delay_us, rate_bps,
        queue_bytes, corrupt_ppm, ce_ppm;
} options = {.seed = 1, .queue_bytes = 256 * 1024};

static struct sys_loop *loop;
static struct side sides[2];

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

/* No draw for what was not asked for: a seed means the same when another impairment is added. */
static bool
happens(struct side *side, uint64_t ppm, uint64_t *count)
{
    bool yes = ppm && random_chance_ppm(&side->random, (uint32_t)ppm);

    *count += yes;
    return yes;
}

/* The length of the IP header, 0: neither IPv4 nor IPv6. */
static size_t
ip_header(const struct wire_buf *buf)
{
    const uint8_t *type = buf->data + 12, *ip = buf->data + ETHERNET_HEADER;

    if (buf->len >= ETHERNET_HEADER + 20 && type[0] == 0x08 && type[1] == 0x00)
        return (ip[0] & 15u) * 4u;
    return buf->len >= ETHERNET_HEADER + 40 && type[0] == 0x86 && type[1] == 0xdd ? 40 : 0;
}

static unsigned
ecn(const uint8_t *ip)
{
    return ip[0] >> 4 == 4 ? ip[1] & 3u : ip[1] >> 4 & 3u;
}

static void
mark(uint8_t *ip)
{
    uint16_t before = (uint16_t)(ip[0] << 8 | ip[1]);

    ip[1] |= ip[0] >> 4 == 4 ? CE : CE << 4;
    if (ip[0] >> 4 != 4)
        return; /* IPv6 has no checksum */
    uint16_t sum = checksum_adjust16((uint16_t)(ip[10] << 8 | ip[11]), before,
                                     (uint16_t)(ip[0] << 8 | ip[1]));
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
}

static void
look_at(struct side *side, struct wire_buf *buf, size_t header)
{
    uint8_t *ip = buf->data + ETHERNET_HEADER, *tcp = ip + header;
    unsigned protocol = ip[0] >> 4 == 4 ? ip[9] : ip[6];

    if (protocol == 6 && buf->len >= ETHERNET_HEADER + header + 20 &&
        !(tcp[13] & 2)) { /* in a SYN they mean something else */
        side->counts.resets += tcp[13] >> 2 & 1;
        side->counts.ece += tcp[13] >> 6 & 1;
        side->counts.cwr += tcp[13] >> 7 & 1;
    }
    if (ecn(ip) == NOT_ECT)
        return;
    side->counts.ect++;
    if (happens(side, options.ce_ppm, &side->counts.marked))
        mark(ip);
}

static void
corrupt(struct side *side, struct wire_buf *buf)
{
    uint32_t bits = (buf->len - ETHERNET_HEADER) * 8;

    if (buf->meta.gso_type != WIRE_GSO_NONE ||
        !happens(side, options.corrupt_ppm, &side->counts.corrupted))
        return;
    if (buf->meta.csum_partial)
        gso_finish_checksum(buf->data, buf->len, &buf->meta);
    buf->meta = (struct wire_meta){0};
    uint32_t bit = random_below(&side->random, bits);
    buf->data[ETHERNET_HEADER + bit / 8] ^= (uint8_t)(1u << bit % 8);
}

static void
on_frame(void *arg, struct wire_buf *buf)
{
    struct side *side = arg;
    struct counts *counts = &side->counts;
    uint64_t now_us = sys_loop_now_us(loop), due_us = now_us + options.delay_us;
    size_t header = ip_header(buf);

    counts->frames++;
    if (header)
        look_at(side, buf, header);
    if (happens(side, options.loss_ppm, &counts->lost))
        return;
    if (happens(side, options.duplicate_ppm, &counts->duplicated))
        pass(side, buf);
    if (options.corrupt_ppm && header)
        corrupt(side, buf);
    if (options.rate_bps) {
        if (side->queued_bytes + buf->len > options.queue_bytes)
            return;
        side->free_us = (side->free_us > now_us ? side->free_us : now_us) +
                        buf->len * 8000000ull / options.rate_bps;
        due_us = side->free_us + options.delay_us;
    }
    if (happens(side, options.reorder_ppm, &counts->reordered))
        due_us += options.reorder_us;
    if (due_us > now_us || options.rate_bps)
        wait_until(side, buf, due_us);
    else
        pass(side, buf);
}

static void
print_counts(const char *name, const struct counts *counts, const char *behind)
{
    printf("\"%s\": {\"frames\": %" PRIu64 ", \"lost\": %" PRIu64 ", \"duplicated\": %" PRIu64
           ", \"reordered\": %" PRIu64 ", \"corrupted\": %" PRIu64 ", \"ect\": %" PRIu64
           ", \"marked\": %" PRIu64 ", \"ece\": %" PRIu64 ", \"cwr\": %" PRIu64
           ", \"resets\": %" PRIu64 "}%s",
           name, counts->frames, counts->lost, counts->duplicated, counts->reordered,
           counts->corrupted, counts->ect, counts->marked, counts->ece, counts->cwr, counts->resets,
           behind);
}

static void
on_asked(void *arg, int events)
{
    char byte;

    (void)arg;
    (void)events;
    if (read(STDIN_FILENO, &byte, 1) != 1) {
        sys_loop_stop(loop);
        return;
    }
    putchar('{');
    print_counts("left", &sides[0].counts, ", ");
    print_counts("right", &sides[1].counts, "}\n");
    fflush(stdout);
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
                                          {"corrupt-ppm", required_argument, NULL, 8},
                                          {"ce-ppm", required_argument, NULL, 9},
                                          {NULL, 0, NULL, 0}};
    uint64_t *const values[] = {&options.seed,        &options.loss_ppm,    &options.duplicate_ppm,
                                &options.reorder_ppm, &options.reorder_us,  &options.delay_us,
                                &options.rate_bps,    &options.queue_bytes, &options.corrupt_ppm,
                                &options.ce_ppm};

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
    struct sys_watch asked;

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
    if (sys_watch_start(&asked, loop, STDIN_FILENO, SYS_READABLE, on_asked, NULL))
        return 1;
    puts("ready");
    fflush(stdout);
    return sys_loop_run(loop) ? 1 : 0;
}
