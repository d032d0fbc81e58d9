/* See stage.h. Virtual time makes every run of a seed the same; nothing here sleeps. */
#include "stage.h"
#include "stage_floors.h"

#include "base/hash.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the house ---- */

/* The thread that writes a trace is a real one, and virtual time does not wait for it: where a
 * trace is only one floor of somebody's stack, that packets are missing in it is no complaint. */
static void
on_line(enum log_level level, const char *line, void *arg)
{
    struct stage *stage = arg;

    if (level > LOG_WARN || (stage->drawn && strstr(line, "packets are missing")))
        return;
    stage->complaints++;
    print_error("%s\n", line);
}

/* Loads what stands in for a driver of the tree, or that. */
void
stage_load_driver(struct stage *stage, const char *name, const char *file, house_driver_entry entry)
{
    if (file)
        assert_int_equal(house_load_file(stage->house, name, file), 0);
    else
        assert_int_equal(house_load(stage->house, name, entry, NULL), 0);
}

static void
on_report(void *arg, const struct verifier_report *report)
{
    struct stage *stage = arg;

    if (stage->tamper) {
        if (!stage->breach)
            stage->breach = report->rule;
        return;
    }
    stage->complaints++;
    print_error("V-%03u%s %s on %s at %s: %s\n", report->rule,
                report->consequential ? " (consequential)" : "", report->driver,
                report->adapter ? report->adapter : "-", report->call, report->seen);
}

/* The frames of an end go to the verifier, under the name of the adapter on it. */
static void
on_frame(void *arg, bool out, const struct wire_tx *frame)
{
    struct stage_watch *watch = arg;
    uint8_t bytes[192];
    struct verifier_frame seen = {.adapter = watch->adapter,
                                  .out = out,
                                  .bytes = bytes,
                                  .len = wire_tx_copy(frame, bytes, sizeof bytes),
                                  .frame_len = wire_tx_length(frame),
                                  .gso_size = frame->meta.gso_size,
                                  .mac = wire_mac(watch->end)};

    if (watch->stage->tamper)
        watch->stage->tamper(&seen, bytes);
    if (out || !watch->stage->damaged || !watch->stage->damaged(watch->stage->witness_arg, frame))
        verifier_frame(watch->stage->verifier, &seen);
    if (watch->stage->witness)
        watch->stage->witness(watch->stage->witness_arg, watch->end == watch->stage->ends[RIGHT],
                              out, frame);
}

void
stage_watch_wire(struct stage_watch *watch)
{
    static const struct wire_watcher watcher = {.on_frame = on_frame};

    wire_set_watcher(watch->end, &watcher, watch);
}

void
stage_watch(struct stage *stage)
{
    static const char *const adapters[2] = {"a0", "b0"};

    stage->verifier = verifier_create(
        &(struct verifier_options){.on_report = on_report, .arg = stage});
    assert_non_null(stage->verifier);
    house_attach_observer(stage->house, verifier_observer(stage->verifier));
    for (unsigned i = 0; i < 2; i++) {
        stage->watches[i] = (struct stage_watch){stage, stage->ends[i], adapters[i]};
        stage_watch_wire(&stage->watches[i]);
    }
}

static void
load_host(struct stage *stage, enum stage_side side, const char *name,
          const struct host_tuning *tuning)
{
    stage->hosts[side] = script_create(name, stage->loop);
    assert_non_null(stage->hosts[side]);
    if (tuning)
        host_tune(script_host(stage->hosts[side]), tuning);
    assert_int_equal(house_load(stage->house, name, host_entry, script_host(stage->hosts[side])),
                     0);
}

static void
build_left(struct stage *stage, const struct stage_options *options)
{
    const char *list = options->floors ? options->floors : stage_environment(options, LEFT);
    unsigned passthru = list || options->bare ? 0 : options->passthru - options->deaf;

    stage->top = stage_build_floors(stage, LEFT, "a0", list ? list : "");
    for (unsigned i = 0; i < passthru; i++)
        stage->top = stage_build_floor(stage, LEFT, stage->top, "passthru");
    if (options->deaf)
        stage->top = stage_build_floor(stage, LEFT, stage->top, "deaf");
    assert_int_equal(house_bind(stage->house, "left", stage->top, NULL), 0);
}

static void
build_right(struct stage *stage, const struct stage_options *options)
{
    const char *list = options->far_floors ? options->far_floors
                                           : stage_environment(options, RIGHT);

    assert_int_equal(house_bind(stage->house, "right",
                                stage_build_floors(stage, RIGHT, "b0", list ? list : ""), NULL),
                     0);
}

const char *
stage_driver(const struct stage *stage, unsigned down)
{
    unsigned count = stage->floor_count[LEFT];

    if (down == 0)
        return "left";
    return down <= count ? stage->drivers[LEFT][count - down] : "soft";
}

void
stage_only_soft(const char *pattern)
{
    if (getenv("HOUSE_TARGET"))
        cmocka_set_skip_filter(pattern);
}

void
stage_open(struct stage *stage, const struct stage_options *options)
{
    const char *target = getenv("HOUSE_TARGET");

    memset(stage, 0, sizeof *stage);
    stage->corrupt = options->corrupt;
    stage->drawn = stage_environment(options, LEFT) || stage_environment(options, RIGHT);
    log_set_sink(on_line, stage);
    stage->loop = sys_loop_create();
    assert_non_null(stage->loop);
    assert_int_equal(wire_mem_create(stage->loop, options->mtu ? options->mtu : 1500,
                                     options->impaired ? options->impair : NULL, stage->ends),
                     0);
    assert_int_equal(house_create(stage->loop, &stage->house), 0);
    house_set_late(stage->house, options->late);
    stage_watch(stage);
    if (options->open_end)
        wire_set_watcher(stage->ends[RIGHT], NULL, NULL);
    if (options->observer)
        house_attach_observer(stage->house, options->observer);
    stage_load_driver(stage, "soft", target, soft_target_entry);
    if (target)
        stage_load_driver(stage, "far", NULL, soft_target_entry);
    if (options->left_file)
        stage_load_driver(stage, "left", options->left_file, NULL);
    else
        load_host(stage, LEFT, "left", options->tuning);
    assert_int_equal(house_add_adapter(stage->house, "soft", "a0", stage->ends[0], options->target),
                     0);
    if (!options->open_end) {
        load_host(stage, RIGHT, "right", NULL);
        assert_int_equal(
            house_add_adapter(stage->house, target ? "far" : "soft", "b0", stage->ends[1], NULL),
            0);
        build_right(stage, options);
    }
    build_left(stage, options);
    stage_pass(stage, 1000);
    for (unsigned i = 0; i < 2; i++)
        if (stage->hosts[i])
            assert_non_null(script_binding(stage->hosts[i]));
}

static void
no_offloads_left(void *arg, const struct house_floor *floor)
{
    assert_int_equal(floor->offloaded, 0);
}

void
stage_close(struct stage *stage)
{
    stage_pass(stage, 20000); /* the last neighbor and path are on their way up, or held on it */
    house_walk(stage->house, no_offloads_left, NULL);
    house_destroy(stage->house);
    stage_close_wires(stage);
}

void
stage_close_wires(struct stage *stage)
{
    verifier_finish(stage->verifier);
    for (unsigned i = 0; i < 2; i++) {
        if (stage->hosts[i]) {
            const struct script_stats *stats = script_stats(stage->hosts[i]);
            assert_int_equal(stats->breaches, 0);
            if (!stage->corrupt)
                assert_int_equal(stats->bad_checksums, 0);
            script_destroy(stage->hosts[i]);
        }
        wire_set_watcher(stage->ends[i], NULL, NULL);
        wire_close(stage->ends[i]);
    }
    while (sys_loop_turn(stage->loop, false))
        ;
    sys_loop_destroy(stage->loop);
    verifier_destroy(stage->verifier);
    log_set_sink(NULL, NULL);
    assert_int_equal(stage->complaints, 0);
}

bool
stage_run(struct stage *stage, bool (*done)(void *arg), void *arg, uint64_t limit_us)
{
    uint64_t end_us = sys_loop_now_us(stage->loop) + limit_us;

    while (!done(arg) && sys_loop_now_us(stage->loop) < end_us)
        if (!sys_loop_turn(stage->loop, true))
            break;
    return done(arg);
}

static bool
never(void *arg)
{
    return *(bool *)arg;
}

static void
ring(void *arg)
{
    *(bool *)arg = true;
}

void
stage_pass(struct stage *stage, uint64_t us)
{
    struct sys_timer timer;
    bool rung = false;

    assert_int_equal(sys_timer_init(&timer, stage->loop, ring, &rung), 0);
    sys_timer_set(&timer, sys_loop_now_us(stage->loop) + us);
    stage_run(stage, never, &rung, SYS_NEVER / 2);
    sys_timer_fini(&timer);
}

/* ---- streams ---- */

/* The eight bytes that hold byte number at of a stream. */
static uint64_t
stream_word(uint64_t seed, uint64_t at)
{
    return hash_mix(seed ^ HASH_ODD_1, at / 8 + HASH_ODD_2);
}

static void
stream_fill(uint64_t seed, uint64_t at, uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(stream_word(seed, at + i) >> (at + i) % 8 * 8);
}

static void
write_more(struct actor *actor)
{
    uint8_t bytes[4096];

    while (actor->sent < actor->to_send) {
        uint64_t left = actor->to_send - actor->sent;
        size_t part = left < sizeof bytes ? (size_t)left : sizeof bytes;
        /* sizes of all kinds */
        part = part > 64 && random_below(&actor->random, 8) == 0
                   ? 1 + random_below(&actor->random, (uint32_t)part)
                   : part;
        stream_fill(actor->seed, actor->sent, bytes, part);
        size_t taken = script_write(actor->conn, bytes, part);
        actor->sent += taken;
        if (taken < part)
            return;
    }
    if (actor->close_when_sent)
        script_close(actor->conn);
}

static void
on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct actor *actor = arg;

    for (size_t i = 0; i < len; i++) {
        uint64_t at = actor->received + i;
        actor->wrong += bytes[i] != (uint8_t)(stream_word(actor->peer->seed, at) >> at % 8 * 8);
    }
    actor->received += len;
    actor->since_move += len;
    if (actor->move_bytes && actor->since_move >= actor->move_bytes && actor->moves_left)
        sys_timer_set(&actor->mover, sys_loop_now_us(actor->stage->loop));
}

static void
on_room(void *arg, size_t bytes)
{
    write_more(arg);
}

static void
on_fin(void *arg)
{
    struct actor *actor = arg;

    actor->fin = true;
}

static void
on_end(void *arg, enum script_end end)
{
    struct actor *actor = arg;

    actor->ended = true;
    actor->end = end;
}

static void
on_move(void *arg, const struct script_move *move)
{
    struct actor *actor = arg;

    actor->moves++;
    actor->last_move = *move;
}

static void
on_query(void *arg, NDIS_STATUS status, const TCP_OFFLOAD_STATE_DELEGATED *state)
{
    struct actor *actor = arg;

    actor->queries++;
    actor->query_status = status;
    if (status == NDIS_STATUS_SUCCESS)
        actor->queried = *state;
}

static const struct script_app app = {
    .on_data = on_data,
    .on_room = on_room,
    .on_fin = on_fin,
    .on_end = on_end,
    .on_move = on_move,
    .on_query = on_query,
};

void
actor_send(struct actor *actor, uint64_t bytes, bool close)
{
    actor->to_send += bytes;
    actor->close_when_sent |= close;
    write_more(actor);
}

/* ---- moving ---- */

static void
move(void *arg)
{
    struct actor *actor = arg;
    uint32_t range = actor->move_max_us - actor->move_min_us + 1;

    if (actor->moves_left && !actor->ended) {
        int error = script_state(actor->conn) == HOST_CONN_HOST ? script_offload(actor->conn)
                                                                : script_upload(actor->conn);
        actor->last_error = error;
        actor->moves_left -= error == 0;
        actor->since_move = 0;
        if (actor->move_bytes)
            return;
        sys_timer_set(&actor->mover, sys_loop_now_us(actor->stage->loop) + actor->move_min_us +
                                         random_below(&actor->random, range));
    }
}

void
actor_start_moving(struct actor *actor, uint64_t seed, unsigned moves, uint32_t min_us,
                   uint32_t max_us)
{
    random_init(&actor->random, seed);
    actor->moves_left = moves;
    actor->move_min_us = min_us;
    actor->move_max_us = max_us;
    sys_timer_set(&actor->mover, sys_loop_now_us(actor->stage->loop) + min_us);
}

void
actor_move_every(struct actor *actor, uint64_t bytes, unsigned moves)
{
    actor->moves_left = moves;
    actor->move_bytes = bytes;
}

bool
actor_with_target(void *arg)
{
    struct actor *actor = arg;

    return script_state(actor->conn) == HOST_CONN_OFFLOADED;
}

bool
actor_at_home(void *arg)
{
    struct actor *actor = arg;

    return script_state(actor->conn) == HOST_CONN_HOST;
}

void
actor_offload(struct actor *actor)
{
    assert_int_equal(script_offload(actor->conn), 0);
    assert_true(stage_run(actor->stage, actor_with_target, actor, 1000000));
    assert_true(actor->last_move.down);
    assert_int_equal(actor->last_move.status, NDIS_STATUS_SUCCESS);
}

void
actor_upload(struct actor *actor)
{
    assert_int_equal(script_upload(actor->conn), 0);
    assert_true(stage_run(actor->stage, actor_at_home, actor, 1000000));
    assert_false(actor->last_move.down);
    assert_int_equal(actor->last_move.status, NDIS_STATUS_SUCCESS);
}

/* ---- pairs ---- */

static void
address(const struct stage *stage, enum stage_side side, bool ipv6, uint8_t out[16])
{
    static const uint8_t v4[2][4] = {{10, 0, 0, 1}, {10, 0, 0, 2}};
    static const uint8_t v6[2][16] = {{0xfd, [15] = 1}, {0xfd, [15] = 2}};

    memset(out, 0, 16);
    memcpy(out, ipv6 ? v6[side] : v4[side], ipv6 ? 16 : 4);
}

static void
open_actor(struct stage *stage, struct pair *pair, enum stage_side side,
           struct script_options options)
{
    struct actor *actor = &pair->actors[side];
    enum stage_side other = side == LEFT ? RIGHT : LEFT;

    address(stage, side, options.ipv6, options.local);
    address(stage, other, options.ipv6, options.peer);
    memcpy(options.local_mac, wire_mac(stage->ends[side]), 6);
    memcpy(options.peer_mac, wire_mac(stage->ends[other]), 6);
    options.local_port = (uint16_t)(side == LEFT ? 40000 + stage->pairs : 443);
    options.peer_port = (uint16_t)(side == LEFT ? 443 : 40000 + stage->pairs);
    actor->stage = stage;
    actor->peer = &pair->actors[other];
    actor->seed = 1000 + stage->pairs * 2 + side;
    random_init(&actor->random, actor->seed);
    actor->conn = script_conn_create(stage->hosts[side], &options, &app, actor);
    assert_non_null(actor->conn);
    assert_int_equal(sys_timer_init(&actor->mover, stage->loop, move, actor), 0);
}

void
pair_open(struct stage *stage, struct pair *pair, const struct script_options sides[2])
{
    struct script_options both[2] = {sides[LEFT], sides[RIGHT]};

    memset(pair, 0, sizeof *pair);
    for (unsigned i = 0; i < 2; i++) {
        /* numbers that wrap early */
        if (!both[i].snd_seq)
            both[i].snd_seq = 0xffffff00u - 70000u * i;
        if (!both[i].snd_wscale && !both[i].no_scaling)
            both[i].snd_wscale = both[i].rcv_wscale = 4;
    }
    for (unsigned i = 0; i < 2; i++) {
        both[i].rcv_seq = both[1 - i].snd_seq;
        both[i].peer_window = both[1 - i].receive_buffer;
    }
    open_actor(stage, pair, LEFT, both[LEFT]);
    open_actor(stage, pair, RIGHT, both[RIGHT]);
    stage->pairs++;
}

void
pair_close(struct pair *pair)
{
    for (unsigned i = 0; i < 2; i++) {
        struct actor *actor = &pair->actors[i];
        sys_timer_fini(&actor->mover);
        if (script_state(actor->conn) == HOST_CONN_OFFLOADED)
            assert_int_equal(script_upload(actor->conn), 0);
        assert_true(stage_run(actor->stage, actor_at_home, actor, 1000000));
        script_conn_destroy(actor->conn);
    }
}

void
pair_send(struct pair *pair, uint64_t left_bytes, uint64_t right_bytes, bool close)
{
    actor_send(&pair->actors[LEFT], left_bytes, close);
    actor_send(&pair->actors[RIGHT], right_bytes, close);
}

static bool
arrived(const struct actor *actor)
{
    return actor->received == actor->peer->to_send && (!actor->peer->close_when_sent || actor->fin);
}

bool
pair_done(void *arg)
{
    struct pair *pair = arg;

    return arrived(&pair->actors[LEFT]) && arrived(&pair->actors[RIGHT]);
}

bool
pair_ended(void *arg)
{
    struct pair *pair = arg;

    return pair->actors[LEFT].ended && pair->actors[RIGHT].ended;
}

void
pair_check(struct pair *pair)
{
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pair->actors[i].received, pair->actors[1 - i].to_send);
        assert_int_equal(pair->actors[i].wrong, 0);
    }
}
