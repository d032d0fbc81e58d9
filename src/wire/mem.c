/*
 * Two ends in one process, each direction with its own impairment. Frames are copied when sent, or,
 * where the impairment is to borrow, when they are flushed, at the latest at the end of the turn;
 * they travel in a list ordered by the time of their arrival.
 *
 * Rate: the link is busy until busy_until_ns; what that is ahead of now, times the rate, is what
 * waits in the queue before it. Chance: every segment draws the same number of times whatever the
 * probabilities are, so changing one of them does not change what the others decide.
 *
 * An impaired direction is a network and carries segments with complete checksums; an unimpaired
 * one is a cable inside the machine and carries superframes and partial checksums untouched.
 *
 * The pair lives until both ends are closed and no frame is being delivered. What an end has sent
 * still arrives after it has been closed.
 */
#include "base/random.h"
#include "sys/loop.h"
#include "wire/gso.h"
#include "wire/wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

struct mem_frame {
    struct list link;
    uint64_t due_us;
    struct wire_buf *buf;
};

/* Sent, and not flushed. */
struct mem_loan {
    struct list link;
    struct wire_tx tx; /* over what follows */
    uint8_t header[WIRE_MAX_HEADER];
    struct iovec pieces[];
};

struct mem_way {
    struct mem_pair *pair;
    struct mem_end *from, *to; /* NULL: closed */
    struct wire_mem_impair impair;
    struct random random;
    uint64_t busy_until_ns;
    struct list in_flight; /* struct mem_frame, by due_us, equal ones in the order sent */
    struct sys_task task;
    struct sys_timer timer;
    struct list loans; /* struct mem_loan, in the order sent */
    struct sys_task flush;
    unsigned sent; /* frames since it stalled */
    uint64_t stalled_until_us;
    struct sys_timer stall;
};

struct mem_end {
    struct wire wire;
    struct mem_way *out;
};

struct mem_pair {
    struct sys_loop *loop;
    struct mem_way ways[2]; /* [i]: what ends[i] sends */
    unsigned users;         /* open ends, and deliveries in progress */
};

/* ---- life ---- */

/* How many. */
static unsigned
forget_loans(struct mem_way *way)
{
    unsigned count = 0;

    list_for_each_safe(loan, &way->loans, struct mem_loan, link) {
        list_del(&loan->link);
        free(loan);
        count++;
    }
    return count;
}

static void
way_fini(struct mem_way *way)
{
    forget_loans(way);
    sys_task_cancel(&way->flush);
    sys_timer_fini(&way->stall);
    list_for_each_safe(frame, &way->in_flight, struct mem_frame, link) {
        wire_buf_put(frame->buf);
        free(frame);
    }
    sys_task_cancel(&way->task);
    sys_timer_fini(&way->timer);
}

static void
pair_put(struct mem_pair *pair)
{
    if (--pair->users != 0)
        return;
    way_fini(&pair->ways[0]);
    way_fini(&pair->ways[1]);
    free(pair);
}

/* ---- arrival ---- */

static void
way_schedule(struct mem_way *way)
{
    uint64_t due_us;

    if (list_empty(&way->in_flight)) {
        sys_timer_set(&way->timer, SYS_NEVER);
        return;
    }
    due_us = list_first(&way->in_flight, struct mem_frame, link)->due_us;
    if (due_us > sys_loop_now_us(way->pair->loop)) {
        sys_timer_set(&way->timer, due_us);
        return;
    }
    sys_timer_set(&way->timer, SYS_NEVER);
    sys_loop_defer(way->pair->loop, &way->task);
}

static void
way_deliver(struct mem_way *way, struct wire_buf *buf)
{
    struct wire *wire;

    if (way->to == NULL) {
        wire_buf_put(buf);
        return;
    }
    wire = &way->to->wire;
    wire_enter(wire);
    wire_deliver(wire, buf);
    wire_leave(wire);
}

/* Delivers what is due now; what callbacks add meanwhile waits for the next turn. */
static void
way_run(void *arg)
{
    struct mem_way *way = arg;
    uint64_t now_us = sys_loop_now_us(way->pair->loop);
    unsigned due = 0;

    list_for_each(frame, &way->in_flight, struct mem_frame, link) {
        if (frame->due_us > now_us)
            break;
        due++;
    }
    way->pair->users++;
    for (; due != 0 && !list_empty(&way->in_flight); due--) {
        struct list *node = list_take_first(&way->in_flight);
        struct mem_frame *frame = container_of(node, struct mem_frame, link);
        struct wire_buf *buf = frame->buf;

        free(frame);
        way_deliver(way, buf);
    }
    way_schedule(way);
    pair_put(way->pair);
}

/* ---- departure ---- */

/* Takes over buf. */
static void
way_put_in_flight(struct mem_way *way, struct wire_buf *buf, uint64_t due_us)
{
    struct mem_frame *frame = malloc(sizeof(*frame));
    struct list *before = way->in_flight.prev;

    if (frame == NULL) {
        way->from->wire.stats.tx_dropped++;
        wire_buf_put(buf);
        return;
    }
    frame->due_us = due_us;
    frame->buf = buf;
    while (before != &way->in_flight &&
           container_of(before, struct mem_frame, link)->due_us > due_us)
        before = before->prev;
    list_add_head(before, &frame->link);
    way_schedule(way);
}

static struct wire_buf *
copy_of(const struct wire_buf *buf)
{
    struct wire_buf *copy = wire_buf_create(buf->len);

    if (copy == NULL)
        return NULL;
    memcpy(copy->data, buf->data, buf->len);
    copy->len = buf->len;
    copy->meta = buf->meta;
    return copy;
}

/* When the last bit has left, in nanoseconds; 0: the queue is full. */
static uint64_t
way_transmit(struct mem_way *way, uint32_t bytes, uint64_t now_us)
{
    const struct wire_mem_impair *impair = &way->impair;
    uint64_t start_ns = now_us * 1000, waiting_ns;

    if (impair->bits_per_second == 0)
        return start_ns;
    if (way->busy_until_ns > start_ns) {
        waiting_ns = way->busy_until_ns - start_ns;
        if (impair->queue_bytes != 0 &&
            (double)waiting_ns * (double)impair->bits_per_second / 8e9 + bytes >
                impair->queue_bytes)
            return 0;
        start_ns = way->busy_until_ns;
    }
    way->busy_until_ns = start_ns + (uint64_t)bytes * 8000000000u / impair->bits_per_second;
    return way->busy_until_ns;
}

/* One frame onto the link. Takes over buf. */
static void
way_send(struct mem_way *way, struct wire_buf *buf)
{
    const struct wire_mem_impair *impair = &way->impair;
    struct wire_stats *stats = &way->from->wire.stats;
    bool lost = random_chance_ppm(&way->random, impair->loss_ppm);
    bool doubled = random_chance_ppm(&way->random, impair->duplicate_ppm);
    bool late = random_chance_ppm(&way->random, impair->reorder_ppm);
    uint64_t left_ns = way_transmit(way, buf->len, sys_loop_now_us(way->pair->loop));
    uint64_t due_us = (left_ns + 999) / 1000 + impair->delay_us;
    struct wire_buf *twin;

    if (left_ns == 0) {
        stats->tx_dropped++;
        wire_buf_put(buf);
        return;
    }
    stats->tx_frames++;
    stats->tx_bytes += buf->len;
    if (lost) {
        wire_buf_put(buf);
        return;
    }
    if (late)
        due_us += impair->reorder_delay_us;
    twin = doubled ? copy_of(buf) : NULL;
    way_put_in_flight(way, buf, due_us);
    if (twin != NULL)
        way_put_in_flight(way, twin, due_us);
}

/* As a network would have it: segments, checksums complete. Takes over super. */
static int
way_send_segments(struct mem_way *way, struct wire_buf *super)
{
    struct gso_cut cut;
    size_t len;
    int error = gso_begin(&cut, super->data, super->len, &super->meta);

    while (error == 0 && (len = gso_next_len(&cut)) != 0) {
        struct wire_buf *segment = wire_buf_create((uint32_t)len);

        if (segment == NULL) {
            way->from->wire.stats.tx_dropped++;
            break;
        }
        gso_next(&cut, segment->data);
        segment->len = (uint32_t)len;
        way_send(way, segment);
    }
    wire_buf_put(super);
    return error;
}

static bool
is_network(const struct wire_mem_impair *impair)
{
    return impair->segment_gso != 0 || impair->loss_ppm != 0 || impair->duplicate_ppm != 0 ||
           impair->reorder_ppm != 0 || impair->bits_per_second != 0;
}

static int
way_take(struct mem_way *way, const struct wire_tx *tx)
{
    struct wire_buf *buf = wire_gather(tx, wire_tx_length(tx));
    int error = 0;

    if (buf == NULL) {
        way->from->wire.stats.tx_dropped++;
        return 0;
    }
    if (!is_network(&way->impair)) {
        buf->meta.csum_valid = true;
        way_send(way, buf);
        return 0;
    }
    if (buf->meta.gso_type != WIRE_GSO_NONE)
        return way_send_segments(way, buf);
    if (buf->meta.csum_partial)
        error = gso_finish_checksum(buf->data, buf->len, &buf->meta);
    buf->meta = (struct wire_meta){.csum_valid = false};
    if (error == 0)
        way_send(way, buf);
    else
        wire_buf_put(buf);
    return error;
}

static int
way_borrow(struct mem_way *way, const struct wire_tx *tx)
{
    struct mem_loan *loan = malloc(sizeof(*loan) + tx->piece_count * sizeof(loan->pieces[0]));

    if (loan == NULL) {
        way->from->wire.stats.tx_dropped++;
        return 0;
    }
    loan->tx = *tx;
    loan->tx.header = loan->header;
    loan->tx.pieces = loan->pieces;
    if (tx->header_len != 0)
        memcpy(loan->header, tx->header, tx->header_len);
    for (size_t i = 0; i < tx->piece_count; i++)
        loan->pieces[i] = tx->pieces[i];
    list_add_tail(&way->loans, &loan->link);
    sys_loop_defer(way->pair->loop, &way->flush);
    return 0;
}

/* What the medium takes for good it must have before it is flushed: nobody is told any more. */
static void
way_flush(void *arg)
{
    struct mem_way *way = arg;

    list_for_each_safe(loan, &way->loans, struct mem_loan, link) {
        list_del(&loan->link);
        if (way->from != NULL && way_take(way, &loan->tx) != 0)
            way->from->wire.stats.tx_dropped++;
        free(loan);
    }
}

/* It takes no frame now; who asked hears when it does. */
static bool
way_stalls(struct mem_way *way)
{
    const struct wire_mem_impair *impair = &way->impair;
    uint64_t now_us = sys_loop_now_us(way->pair->loop);

    if (impair->stall_frames == 0)
        return false;
    if (way->sent < impair->stall_frames) {
        way->sent++;
        return false;
    }
    if (way->stalled_until_us == 0) {
        way->stalled_until_us = now_us + impair->stall_us;
        sys_timer_set(&way->stall, way->stalled_until_us);
    }
    return true;
}

static void
on_stall_over(void *arg)
{
    struct mem_way *way = arg;

    way->sent = 0;
    way->stalled_until_us = 0;
    if (way->from == NULL)
        return;
    way->pair->users++;
    wire_enter(&way->from->wire);
    wire_writable(&way->from->wire);
    wire_leave(&way->from->wire);
    pair_put(way->pair);
}

static int
mem_send(struct wire *wire, const struct wire_tx *tx, size_t len)
{
    struct mem_way *way = ((struct mem_end *)wire)->out;

    if (way_stalls(way))
        return -EAGAIN;
    return way->impair.borrow != 0 ? way_borrow(way, tx) : way_take(way, tx);
}

static void
mem_flush(struct wire *wire)
{
    way_flush(((struct mem_end *)wire)->out);
}

static unsigned
mem_discard(struct wire *wire)
{
    return forget_loans(((struct mem_end *)wire)->out); /* the rest has left */
}

static void
mem_close(struct wire *wire)
{
    struct mem_end *end = (struct mem_end *)wire;
    struct mem_pair *pair = end->out->pair;

    for (unsigned i = 0; i < 2; i++) {
        if (pair->ways[i].from == end)
            pair->ways[i].from = NULL;
        if (pair->ways[i].to == end)
            pair->ways[i].to = NULL;
    }
    free(end);
    pair_put(pair);
}

static const struct wire_ops mem_ops = {
    .send = mem_send,
    .flush = mem_flush,
    .discard = mem_discard,
    .close = mem_close,
};

/* ---- creation ---- */

static int
way_init(struct mem_way *way, struct mem_pair *pair, const struct wire_mem_impair *impair)
{
    way->pair = pair;
    if (impair != NULL)
        way->impair = *impair;
    random_init(&way->random, way->impair.seed);
    list_init(&way->in_flight);
    list_init(&way->loans);
    sys_task_init(&way->task, way_run, way);
    sys_task_init(&way->flush, way_flush, way);
    if (sys_timer_init(&way->timer, pair->loop, way_run, way) != 0)
        return -ENOMEM;
    if (sys_timer_init(&way->stall, pair->loop, on_stall_over, way) == 0)
        return 0;
    sys_timer_fini(&way->timer);
    return -ENOMEM;
}

static void
end_init(struct mem_end *end, struct mem_way *out, unsigned number, unsigned mtu)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};

    wire_init(&end->wire, &mem_ops, out->pair->loop, number == 0 ? "mem0" : "mem1");
    memcpy(end->wire.mac, mac, sizeof(mac));
    end->wire.mac[5] = (uint8_t)(mac[5] + number);
    end->wire.mtu = mtu;
    end->wire.up = true;
    end->out = out;
    out->from = end;
}

int
wire_mem_create(struct sys_loop *loop, unsigned mtu, const struct wire_mem_impair *impair,
                struct wire *ends[2])
{
    struct mem_pair *pair = calloc(1, sizeof(*pair));
    struct mem_end *end[2] = {calloc(1, sizeof(*end[0])), calloc(1, sizeof(*end[1]))};
    int error = -ENOMEM;

    if (pair == NULL || end[0] == NULL || end[1] == NULL)
        goto free_all;
    pair->loop = loop;
    pair->users = 2;
    error = way_init(&pair->ways[0], pair, impair != NULL ? &impair[0] : NULL);
    if (error != 0)
        goto free_all;
    error = way_init(&pair->ways[1], pair, impair != NULL ? &impair[1] : NULL);
    if (error != 0)
        goto fini_way;
    for (unsigned i = 0; i < 2; i++) {
        end_init(end[i], &pair->ways[i], i, mtu);
        pair->ways[!i].to = end[i];
        ends[i] = &end[i]->wire;
    }
    return 0;

fini_way:
    way_fini(&pair->ways[0]);
free_all:
    free(end[0]);
    free(end[1]);
    free(pair);
    return error;
}
