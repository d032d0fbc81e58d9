/*
 * Segments into a connection of the engine in every state in which one can be adopted, among timers
 * that expire, an application that reads and writes and an owner that changes. The bytes say what
 * comes next. No payload exists: a byte is its sequence number, so one that is lost, doubled or in
 * the wrong place shows in the numbers of the chunks.
 *
 * At the end the peer means well: whatever it went through, a connection that is still there then
 * sends and receives everything.
 */
#include "segments.h"

#include <string.h>

#define STEPS 400
#define QUEUE_MAX 65536u /* bytes to send, in all: many small segments take long */
#define PATIENCE 4000    /* turns for the end */

/* ---- the connection ---- */

static void
choose_config(struct fuzz *fuzz, struct tcp_config *config)
{
    unsigned flags = fuzz_u8(fuzz), more = fuzz_u8(fuzz);
    static const uint32_t times_us[] = {0, 1, 1000, 40000, 1000000, 600000000};

    tcp_config_defaults(config);
    config->timestamps = flags & 1;
    config->sack = flags & 2;
    config->window_scaling = flags & 4;
    config->ecn = flags & 8;
    config->nagle = flags & 16;
    config->keepalive = flags & 32;
    config->probe_always = flags & 64;
    config->ip_header_len = flags & 128 ? 40 : 20;
    config->congestion = (enum tcp_congestion)(more % 3);
    config->snd_wscale = config->window_scaling ? more / 3 % 15 : 0;
    config->rcv_wscale = config->window_scaling ? (uint8_t)(fuzz_u8(fuzz) % 15) : 0;
    config->remote_mss = (uint16_t)(41 + fuzz_u16(fuzz) % 9000);
    config->path_mtu = 108 + fuzz_u16(fuzz) % 9000;
    config->ts_tick_us = fuzz_u8(fuzz) & 1 ? 1000 : 0;
    config->ts_offset = fuzz_u32(fuzz);
    config->ack_frequency = fuzz_u8(fuzz) % 4;
    config->delayed_ack_us = times_us[fuzz_below(fuzz, 4)];
    config->sws_us = times_us[fuzz_below(fuzz, 4)];
    config->max_retransmissions = fuzz_u8(fuzz) % 20;
    config->duplicate_ack_threshold = fuzz_u8(fuzz) % 8;
    config->max_rt_us = times_us[fuzz_below(fuzz, 6)];
    config->keepalive_probes = fuzz_u8(fuzz) % 4;
    config->keepalive_idle_us = times_us[fuzz_below(fuzz, 6)];
    config->keepalive_interval_us = times_us[fuzz_below(fuzz, 6)];
    config->fin_wait_2_us = times_us[fuzz_below(fuzz, 6)];
}

/* Mostly one that can be. */
static void
choose_state(struct fuzz *fuzz, const struct tcp_config *config, struct tcp_state *state)
{
    static const enum tcp_conn_state states[] = {TCP_ESTABLISHED, TCP_FIN_WAIT_1, TCP_FIN_WAIT_2,
                                                 TCP_CLOSE_WAIT,  TCP_CLOSING,    TCP_LAST_ACK};
    uint32_t most = 65535u << config->rcv_wscale;

    *state = (struct tcp_state){.state = states[fuzz_below(fuzz, 6)]};
    state->rcv_nxt = fuzz_u32(fuzz);
    state->rcv_wnd = fuzz_u32(fuzz) % (most + 1);
    state->snd_una = fuzz_u32(fuzz);
    state->snd_nxt = state->snd_una + fuzz_u16(fuzz) % 20000;
    state->snd_max = state->snd_nxt + fuzz_u16(fuzz) % 20000;
    state->snd_end = state->snd_max + fuzz_u16(fuzz) % 20000;
    state->fin_queued = fuzz_u8(fuzz) & 1;
    if (state->state == TCP_FIN_WAIT_2)
        state->snd_nxt = state->snd_max = state->snd_end = state->snd_una;
    else if (state->state == TCP_ESTABLISHED || state->state == TCP_CLOSE_WAIT)
        state->snd_end += state->fin_queued;
    else if (fuzz_u8(fuzz) & 1)
        state->snd_end = state->snd_max - (state->snd_max != state->snd_una); /* FIN was sent */
    state->snd_wnd = (uint32_t)fuzz_u16(fuzz) << config->snd_wscale;
    state->max_snd_wnd = (uint32_t)fuzz_u16(fuzz) << config->snd_wscale;
    state->snd_wl1 = state->rcv_nxt - fuzz_u8(fuzz);
    state->cwnd = fuzz_u8(fuzz) ? fuzz_u16(fuzz) : fuzz_u32(fuzz);
    state->ssthresh = fuzz_u8(fuzz) ? TCP_INFINITE_SSTHRESH : fuzz_u32(fuzz);
    state->srtt_us = fuzz_u32(fuzz);
    state->rttvar_us = fuzz_u32(fuzz);
    state->ts_recent = fuzz_u32(fuzz);
    state->ts_recent_age_us = fuzz_u32(fuzz);
    state->dup_ack_count = fuzz_u8(fuzz);
    state->retransmit_count = fuzz_u8(fuzz);
    state->snd_wnd_probe_count = fuzz_u8(fuzz);
    state->keepalive_probe_count = fuzz_u8(fuzz);
    state->keepalive_delta_us = fuzz_u8(fuzz) & 1 ? fuzz_u32(fuzz) : TCP_NEVER;
    state->retransmit_delta_us = fuzz_u8(fuzz) & 1 ? fuzz_u32(fuzz) : TCP_NEVER;
}

/* ---- what happens ---- */

/* Near one of the numbers that matter, or anywhere. */
static uint32_t
choose_seq(struct fuzz *fuzz, const uint32_t *numbers, unsigned count)
{
    unsigned which = fuzz_below(fuzz, 2 * count + 1);

    if (which == 2 * count)
        return fuzz_u32(fuzz);
    uint32_t number = numbers[which / 2];
    return which % 2 ? number + (uint32_t)(int16_t)fuzz_u16(fuzz) : number;
}

static void
choose_sack(struct fuzz *fuzz, const struct tcp_conn *conn, struct tcp_segment *segment)
{
    const uint32_t numbers[] = {conn->snd_una, conn->snd_max};

    segment->sack_count = (uint8_t)fuzz_below(fuzz, 5);
    for (unsigned i = 0; i < segment->sack_count; i++) {
        segment->sack[i].start = choose_seq(fuzz, numbers, 2);
        segment->sack[i].end = segment->sack[i].start + fuzz_u16(fuzz);
    }
}

static void
segment_arrives(struct world *world, struct fuzz *fuzz)
{
    const struct tcp_conn *conn = &world->conn;
    const uint32_t seqs[] = {conn->rcv_nxt, conn->rcv_ack, conn->rcv_edge, conn->rcv_advertised,
                             conn->ooo_tail ? conn->ooo_tail->seq : conn->rcv_nxt};
    const uint32_t acks[] = {conn->snd_una, conn->snd_nxt, conn->snd_max, conn->recover_seq};
    static const uint8_t usual[] = {TCP_ACK,           TCP_ACK,           TCP_ACK | TCP_PSH,
                                    TCP_ACK | TCP_FIN, TCP_ACK | TCP_ECE, TCP_ACK | TCP_CWR};
    unsigned kind = fuzz_below(fuzz, 8), size = fuzz_below(fuzz, 3);
    struct tcp_segment segment = {
        .flags = kind < 6 ? usual[kind] : fuzz_u8(fuzz),
        .seq = choose_seq(fuzz, seqs, 5),
        .ack = choose_seq(fuzz, acks, 4),
        .window = fuzz_u16(fuzz),
        .payload_len = size == 2   ? fuzz_u16(fuzz) % TCP_MAX_BURST
                       : size == 1 ? fuzz_u8(fuzz)
                                   : 0,
        .ecn = fuzz_u8(fuzz) & 3,
        .has_timestamp = conn->config.timestamps,
    };

    if (segment.payload_len > 1000 && fuzz_u8(fuzz) & 1)
        segment.segment_size = 1000;
    segment.tsval = fuzz_u8(fuzz) ? conn->ts_recent + (uint32_t)(int8_t)fuzz_u8(fuzz)
                                  : fuzz_u32(fuzz);
    segment.tsecr = fuzz_u8(fuzz) ? tcp_timestamp(conn, world->now_us) : fuzz_u32(fuzz);
    choose_sack(fuzz, conn, &segment);
    world_feed(world, &segment);
}

static void
time_passes(struct world *world, struct fuzz *fuzz)
{
    uint64_t deadline_us = tcp_deadline_us(&world->conn);
    unsigned how = fuzz_below(fuzz, 3);

    if (how == 2 && deadline_us != TCP_NEVER && deadline_us > world->now_us)
        world->now_us = deadline_us;
    else
        world->now_us += how ? fuzz_u32(fuzz) : fuzz_u16(fuzz);
    world_expire(world);
}

static void
application_writes(struct world *world, uint32_t bytes)
{
    if (world->fin_queued || world->queued + bytes > QUEUE_MAX)
        return;
    tcp_queue(&world->conn, bytes);
    world->queued += bytes;
    world->snd_end += bytes;
}

static void
application_closes(struct world *world)
{
    if (!world->fin_queued)
        tcp_queue_fin(&world->conn);
    world->fin_queued = true;
}

static void
edge_moves(struct world *world, uint32_t room)
{
    uint32_t edge = world->acked + room % ((65535u << world->conn.config.rcv_wscale) + 1);

    if (seq_after(edge, world->allowed_edge))
        world->allowed_edge = edge;
    tcp_set_right_edge(&world->conn, edge);
}

static void
settings_change(struct world *world, struct fuzz *fuzz)
{
    struct tcp_config config;

    choose_config(fuzz, &config);
    switch (fuzz_below(fuzz, 3)) {
    case 0:
        tcp_set_keepalive(&world->conn, &config, fuzz_u8(fuzz) & 1, world->now_us);
        break;
    case 1:
        tcp_restart_max_rt(&world->conn, config.max_rt_us, world->now_us);
        break;
    default:
        tcp_set_mtu(&world->conn, config.path_mtu);
        break;
    }
}

static void
step(struct world *world, struct fuzz *fuzz)
{
    switch (fuzz_below(fuzz, 16)) {
    case 0:
        application_writes(world, fuzz_u16(fuzz) % 8192);
        break;
    case 1:
        if (fuzz_u8(fuzz) > 200)
            application_closes(world);
        break;
    case 2:
        world_acknowledge(world, fuzz_u16(fuzz));
        break;
    case 3:
        edge_moves(world, fuzz_u32(fuzz));
        break;
    case 4:
        world_hand_over(world, fuzz_u8(fuzz) & 1);
        break;
    case 5:
        settings_change(world, fuzz);
        break;
    case 6:
        if (fuzz_u8(fuzz) > 250)
            tcp_abort(&world->conn);
        break;
    case 7:
        tcp_ack_now(&world->conn);
        break;
    case 8:
        world->blocked = fuzz_u8(fuzz) & 1;
        break;
    case 9:
        world->burst = 200 + fuzz_u16(fuzz) % (TCP_MAX_BURST - 199);
        break;
    case 10:
    case 11:
        time_passes(world, fuzz);
        break;
    default:
        segment_arrives(world, fuzz);
        break;
    }
    world_flush(world);
    world_check(world);
}

/* ---- the end ---- */

/* What a peer says that has everything, wants everything and sends the next byte. Its window it
 * tells behind all that it has ever sent: earlier, nobody would listen. */
static void
peer_means_well(struct world *world)
{
    const struct tcp_conn *conn = &world->conn;
    bool sends = !(conn->flags & TCP_CONN_FIN_SEEN) &&
                 seq_after(tcp_right_edge(conn), conn->rcv_nxt);
    struct tcp_segment segment = {.seq = conn->rcv_nxt,
                                  .ack = conn->snd_max,
                                  .window = 65535,
                                  .flags = TCP_ACK,
                                  .payload_len = sends,
                                  .has_timestamp = conn->config.timestamps,
                                  .tsval = conn->ts_recent,
                                  .tsecr = tcp_timestamp(conn, world->now_us)};

    world_feed(world, &segment);
    segment.seq = seq_max(conn->rcv_nxt, conn->snd_wl1);
    segment.payload_len = 0;
    world_feed(world, &segment);
}

static bool
is_over(const struct world *world)
{
    return world->conn.state == TCP_CLOSED || world->conn.state == TCP_TIME_WAIT;
}

static void
finish(struct world *world)
{
    uint32_t nxt = world->conn.rcv_nxt;
    bool can_receive = !(world->conn.flags & TCP_CONN_FIN_SEEN);

    world->blocked = false;
    world->burst = TCP_MAX_BURST;
    for (unsigned i = 0; i < PATIENCE && !is_over(world); i++) {
        uint64_t deadline_us;

        world_acknowledge(world, UINT16_MAX);
        edge_moves(world, 10000);
        world_flush(world);
        world_check(world);
        if (i && !tcp_has_work(&world->conn) && (!can_receive || world->conn.rcv_nxt != nxt))
            return;
        peer_means_well(world);
        world_flush(world);
        world->conn.keepalive_deadline_us = TCP_NEVER; /* time goes by the steps that count */
        deadline_us = tcp_deadline_us(&world->conn);
        if (deadline_us != TCP_NEVER && deadline_us > world->now_us)
            world->now_us = deadline_us;
        world_expire(world);
    }
    FUZZ_CHECK(is_over(world));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz fuzz = {data, size};
    struct world world = {.now_us = 1000000, .burst = TCP_MAX_BURST};
    struct tcp_config config;
    struct tcp_state state;

    choose_config(&fuzz, &config);
    choose_state(&fuzz, &config, &state);
    if (!world_open(&world, &config, &state))
        return 0;
    for (unsigned i = 0; i < STEPS && fuzz.left; i++)
        step(&world, &fuzz);
    finish(&world);
    world_close(&world);
    return 0;
}
