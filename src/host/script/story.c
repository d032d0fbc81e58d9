/*
 * The demo's story in one process. A house of two adapters joined by a mem wire, a script host over
 * each; the left one sends a stream that the right one computes again and compares byte by byte.
 * Moves are tied to bytes that arrived, not to time: so they are spread over the download however
 * fast it is.
 */
#include "chimney/story.h"
#include "base/hash.h"
#include "chimney/house.h"
#include "chimney/observer.h"
#include "chimney/wire.h"
#include "host/script/script.h"

#include <errno.h>
#include <stdio.h>

#define PROGRESS_US 250000u
#define FLOORS_MAX 2

struct story {
    struct script_story_options options;
    struct script_story_totals *totals;
    struct sys_loop *loop;
    struct house *house;
    struct wire *ends[2];
    struct script *hosts[2];
    struct script_conn *sender, *receiver;
    struct sys_timer progress, deadline;
    struct sys_task move;
    uint64_t sent;
    unsigned asked; /* moves */
    bool sender_ended, receiver_ended, in_order, late;
};

/* ---- the stream ---- */

static uint64_t
word_at(const struct story *story, uint64_t at)
{
    return hash_mix(story->options.seed ^ HASH_ODD_1, at / 8 + HASH_ODD_2);
}

static void
write_more(struct story *story)
{
    uint64_t words[1024];

    while (story->sent < story->options.bytes) {
        uint64_t first = story->sent / 8 * 8, skip = story->sent - first;
        uint64_t left = story->options.bytes - story->sent;
        uint64_t room = sizeof words - skip;
        size_t part = (size_t)(left < room ? left : room);
        for (size_t i = 0; i * 8 < skip + part; i++)
            words[i] = word_at(story, first + i * 8);
        size_t taken = script_write(story->sender, (uint8_t *)words + skip, part);
        story->sent += taken;
        if (taken < part)
            return;
    }
    script_close(story->sender);
}

/* Moves number k is due when k of moves + 1 equal parts have arrived. */
static void
look_for_move(struct story *story)
{
    uint64_t part = story->options.bytes / (story->options.moves + 1);

    if (story->asked < story->options.moves && story->totals->bytes >= part * (story->asked + 1))
        sys_loop_defer(story->loop, &story->move);
}

static void
move(void *arg)
{
    struct story *story = arg;
    enum host_conn_state state = script_state(story->sender);
    int error = -EBUSY;

    if (state == HOST_CONN_HOST)
        error = script_offload(story->sender);
    else if (state == HOST_CONN_OFFLOADED)
        error = script_upload(story->sender);
    story->asked += error == 0;
}

static void
compare(struct story *story, const uint8_t *bytes, size_t len)
{
    uint64_t at = story->totals->bytes;

    for (size_t i = 0; i < len;) {
        uint64_t word = word_at(story, at + i);
        const uint8_t *expected = (const uint8_t *)&word;
        for (unsigned j = (at + i) % 8; j < 8 && i < len; j++, i++)
            story->totals->wrong += bytes[i] != expected[j];
    }
}

static void
on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct story *story = arg;

    compare(story, bytes, len);
    story->totals->bytes += len;
    look_for_move(story);
}

/* ---- the sender's end ---- */

static void
on_room(void *arg, size_t bytes)
{
    write_more(arg);
}

static void
on_sender_end(void *arg, enum script_end end)
{
    struct story *story = arg;

    story->sender_ended = true;
    story->in_order &= end == SCRIPT_CLOSED;
}

static void
on_move(void *arg, const struct script_move *move_done)
{
    struct story *story = arg;
    struct script_story_totals *totals = story->totals;
    struct script_story_move told = {
        .number = totals->moves + totals->refused + 1,
        .down = move_done->down,
        .refused = move_done->status != NDIS_STATUS_SUCCESS,
        .held_us = move_done->held_us,
        .send_bytes = move_done->send_bytes,
        .receive_bytes = move_done->receive_bytes,
        .bytes = totals->bytes,
    };

    if (told.refused)
        totals->refused++;
    else
        totals->moves++;
    if (story->options.on_move)
        story->options.on_move(story->options.arg, &told);
    look_for_move(story);
}

static const struct script_app sender_app = {
    .on_room = on_room, .on_end = on_sender_end, .on_move = on_move};

/* ---- the receiver's end ---- */

static void
on_fin(void *arg)
{
    struct story *story = arg;

    script_close(story->receiver);
}

static void
on_receiver_end(void *arg, enum script_end end)
{
    struct story *story = arg;

    story->receiver_ended = true;
    story->in_order &= end == SCRIPT_CLOSED;
}

static const struct script_app receiver_app = {
    .on_data = on_data, .on_fin = on_fin, .on_end = on_receiver_end};

/* ---- the house ---- */

static int
build_floors(struct story *story)
{
    static const char *const names[FLOORS_MAX + 1] = {"a0", "p1", "p2"};
    unsigned floors = story->options.passthru;
    int error = floors ? house_load(story->house, "passthru", passthru_entry, NULL) : 0;

    for (unsigned i = 0; i < floors && i < FLOORS_MAX && !error; i++)
        error = house_bind(story->house, "passthru", names[i], names[i + 1]);
    return error ? error : house_bind(story->house, "left", names[floors], NULL);
}

static int
build_house(struct story *story)
{
    static const char *const hosts[2] = {"left", "right"};
    static const char *const adapters[2] = {"a0", "b0"};
    int error = house_create(story->loop, &story->house);

    if (!error && story->options.observer)
        house_attach_observer(story->house, story->options.observer);
    if (!error)
        error = house_load(story->house, "soft", soft_target_entry, NULL);
    for (unsigned i = 0; i < 2 && !error; i++) {
        story->hosts[i] = script_create(hosts[i], story->loop);
        if (!story->hosts[i])
            return -ENOMEM;
        error = house_load(story->house, hosts[i], host_entry, script_host(story->hosts[i]));
        if (!error)
            error = house_add_adapter(story->house, "soft", adapters[i], story->ends[i], NULL);
    }
    if (!error)
        error = build_floors(story);
    return error ? error : house_bind(story->house, "right", "b0", NULL);
}

static int
build_wire(struct story *story)
{
    const struct script_story_options *options = &story->options;
    struct wire_mem_impair impair[2];

    for (unsigned i = 0; i < 2; i++)
        impair[i] = (struct wire_mem_impair){.seed = options->seed + i,
                                             .loss_ppm = options->loss_ppm,
                                             .reorder_ppm = options->reorder_ppm,
                                             .reorder_delay_us = 3 * options->delay_us,
                                             .delay_us = options->delay_us,
                                             .bits_per_second = options->bits_per_second,
                                             .queue_bytes = options->bits_per_second ? 512 << 10
                                                                                     : 0,
                                             .segment_gso = 1};
    return wire_mem_create(story->loop, 1500, impair, story->ends);
}

static struct script_conn *
open_end(struct story *story, unsigned side, const struct script_app *app)
{
    struct script_options options = {
        .local = {10, 0, 0, (uint8_t)(1 + side)},
        .peer = {10, 0, 0, (uint8_t)(2 - side)},
        .local_port = side ? 40000 : 80,
        .peer_port = side ? 80 : 40000,
        .snd_seq = side ? 0x80000000u : 0xfff00000u, /* wraps after a mebibyte */
        .rcv_seq = side ? 0xfff00000u : 0x80000000u,
        .snd_wscale = 7,
        .rcv_wscale = 7,
        .receive_buffer = 512 << 10,
        .peer_window = 512 << 10,
        .send_buffer = 1 << 20,
        .superframes = true,
    };

    memcpy(options.local_mac, wire_mac(story->ends[side]), 6);
    memcpy(options.peer_mac, wire_mac(story->ends[1 - side]), 6);
    return script_conn_create(story->hosts[side], &options, app, story);
}

/* ---- running ---- */

static void
on_progress(void *arg)
{
    struct story *story = arg;

    if (story->options.on_progress)
        story->options.on_progress(story->options.arg, story->totals->bytes,
                                   script_state(story->sender) == HOST_CONN_OFFLOADED);
    sys_timer_set(&story->progress, sys_loop_now_us(story->loop) + PROGRESS_US);
}

static void
on_deadline(void *arg)
{
    struct story *story = arg;

    story->late = true;
}

static bool
over(const struct story *story)
{
    if (story->late)
        return true;
    return story->sender_ended && story->receiver_ended &&
           script_state(story->sender) == HOST_CONN_HOST;
}

static void
tell(struct story *story)
{
    uint64_t start_us = sys_loop_now_us(story->loop);
    struct script_figures figures;

    sys_timer_set(&story->deadline, start_us + story->options.limit_us);
    sys_timer_set(&story->progress, start_us + PROGRESS_US);
    write_more(story);
    while (!over(story))
        sys_loop_turn(story->loop, true);
    script_read_figures(story->sender, &figures);
    story->totals->engine_bytes = figures.target_out;
    story->totals->elapsed_us = sys_loop_now_us(story->loop) - start_us;
    story->totals->complete = !story->late && story->in_order &&
                              story->totals->bytes == story->options.bytes;
    story->totals->resets = script_stats(story->hosts[1])->resets_in;
}

static int
open_story(struct story *story)
{
    int error = build_wire(story);

    if (!error)
        error = build_house(story);
    if (error)
        return error;
    story->sender = open_end(story, 0, &sender_app);
    story->receiver = open_end(story, 1, &receiver_app);
    if (!story->sender || !story->receiver)
        return -ENOMEM;
    error = sys_timer_init(&story->progress, story->loop, on_progress, story);
    return error ? error : sys_timer_init(&story->deadline, story->loop, on_deadline, story);
}

/* Unbinding brings a connection home that is still down. */
static void
close_story(struct story *story)
{
    sys_task_cancel(&story->move);
    if (story->progress.loop)
        sys_timer_fini(&story->progress);
    if (story->deadline.loop)
        sys_timer_fini(&story->deadline);
    if (story->house)
        house_destroy(story->house);
    script_conn_destroy(story->sender);
    script_conn_destroy(story->receiver);
    for (unsigned i = 0; i < 2; i++) {
        if (story->hosts[i])
            story->totals->breaches += script_stats(story->hosts[i])->breaches;
        script_destroy(story->hosts[i]);
        if (story->ends[i])
            wire_close(story->ends[i]);
    }
    while (sys_loop_turn(story->loop, false))
        ;
}

int
script_story_run(struct sys_loop *loop, const struct script_story_options *options,
                 struct script_story_totals *totals)
{
    struct story story = {.options = *options, .totals = totals, .loop = loop, .in_order = true};

    memset(totals, 0, sizeof *totals);
    if (!story.options.bytes)
        story.options.bytes = 64 << 20;
    if (!story.options.moves)
        story.options.moves = 20;
    if (!story.options.delay_us)
        story.options.delay_us = 100;
    if (!story.options.limit_us)
        story.options.limit_us = 600000000;
    if (story.options.passthru > FLOORS_MAX)
        return -EINVAL;
    sys_task_init(&story.move, move, &story);
    int error = open_story(&story);
    if (!error)
        tell(&story);
    close_story(&story);
    return error;
}
