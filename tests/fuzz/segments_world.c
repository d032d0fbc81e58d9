/*
 * See segments.h. What must hold after every step stands in world_check, what of every segment that
 * is sent in check_out.
 */
#include "segments.h"

#include "base/list.h"

#include <string.h>

#define SEGMENTS_MAX 100000 /* in one go */
#define ROUNDS 300          /* of timers that are due at once */

struct piece {
    struct tcp_chunk chunk;
    uint32_t seq, len; /* as it arrived */
};

static void
free_piece(struct world *world, struct piece *piece)
{
    free(piece);
    world->chunks--;
}

static void
free_chain(struct world *world, struct tcp_chunk *chunk)
{
    while (chunk) {
        struct tcp_chunk *next = chunk->next;
        free_piece(world, container_of(chunk, struct piece, chunk));
        chunk = next;
    }
}

/* ---- life ---- */

static void
adopted(struct world *world)
{
    const struct tcp_conn *conn = &world->conn;

    world->fin = conn->flags & TCP_CONN_FIN_RECEIVED;
    world->acked = conn->rcv_nxt;
    world->taken = conn->rcv_nxt - world->fin;
    world->offered = seq_max(world->offered, conn->snd_una + conn->snd_wnd);
    memset(&world->last, 0, sizeof world->last);
}

bool
world_open(struct world *world, const struct tcp_config *config, const struct tcp_state *state)
{
    if (tcp_restore(&world->conn, config, state, world->now_us))
        return false;
    world->allowed_edge = world->shown_edge = state->rcv_nxt + state->rcv_wnd;
    world->snd_una = world->conn.snd_una;
    world->snd_end = world->conn.snd_end;
    world->highest = world->offered = world->conn.snd_max;
    world->fin_queued = world->conn.flags & TCP_CONN_FIN_QUEUED;
    adopted(world);
    return true;
}

void
world_close(struct world *world)
{
    struct tcp_out out;

    free_chain(world, tcp_close(&world->conn));
    FUZZ_CHECK(!world->chunks);
    FUZZ_CHECK(!tcp_next(&world->conn, world->now_us, TCP_MAX_BURST, &out));
    FUZZ_CHECK(tcp_deadline_us(&world->conn) == TCP_NEVER);
}

void
world_hand_over(struct world *world, bool extended)
{
    struct tcp_config config = world->conn.config;
    struct tcp_extension extension;
    struct tcp_state state;

    tcp_capture(&world->conn, world->now_us, &state);
    tcp_capture_extension(&world->conn, world->now_us, &extension);
    if (state.state == TCP_CLOSED || state.state == TCP_TIME_WAIT)
        return;
    FUZZ_CHECK(state.rcv_nxt == world->acked);
    world_close(world);
    memset(&world->conn, 0xa5, sizeof world->conn);
    FUZZ_CHECK(!tcp_restore(&world->conn, &config, &state, world->now_us));
    if (extended)
        FUZZ_CHECK(!tcp_restore_extension(&world->conn, &extension, world->now_us));
    adopted(world);
    world->allowed_edge = seq_max(world->allowed_edge, world->shown_edge);
    tcp_set_right_edge(&world->conn, world->allowed_edge);
}

/* ---- what arrives ---- */

static void
take(struct world *world)
{
    struct tcp_chunk *chunk;

    while ((chunk = tcp_take(&world->conn))) {
        struct piece *piece = container_of(chunk, struct piece, chunk);

        FUZZ_CHECK(chunk->len && chunk->seq == world->taken);
        FUZZ_CHECK(chunk->seq == piece->seq + chunk->offset);
        FUZZ_CHECK(chunk->offset + chunk->len <= piece->len);
        world->taken += chunk->len;
        world->last_tsval = chunk->tsval;
        free_piece(world, piece);
    }
    while ((chunk = tcp_take_dropped(&world->conn)))
        free_piece(world, container_of(chunk, struct piece, chunk));
}

static void
on_events(struct world *world, unsigned events)
{
    FUZZ_CHECK(!(events & TCP_EV_READY) || world->conn.ready_head);
    FUZZ_CHECK(!(events & TCP_EV_DROPPED) || world->conn.dropped);
    if (events & (TCP_EV_RESET | TCP_EV_SYN | TCP_EV_TIMEOUT))
        FUZZ_CHECK(world->conn.state == TCP_CLOSED);
    take(world);
    if (events & TCP_EV_FIN) {
        FUZZ_CHECK(!world->fin);
        world->fin = true;
    }
    world->offered = seq_max(world->offered, world->conn.snd_una + world->conn.snd_wnd);
}

void
world_feed(struct world *world, const struct tcp_segment *segment)
{
    struct piece *piece = NULL;
    unsigned events;

    if (segment->payload_len) {
        piece = malloc(sizeof *piece);
        FUZZ_CHECK(piece);
        *piece = (struct piece){.seq = segment->seq, .len = segment->payload_len};
        world->chunks++;
    }
    events = tcp_on_segment(&world->conn, segment, piece ? &piece->chunk : NULL, world->now_us);
    FUZZ_CHECK(!(events & TCP_EV_KEPT) || piece);
    if (piece && !(events & TCP_EV_KEPT))
        free_piece(world, piece);
    on_events(world, events);
}

void
world_acknowledge(struct world *world, uint32_t bytes)
{
    uint32_t waiting = world->taken - world->acked;

    if (world->conn.state == TCP_CLOSED || seq_after(world->acked, world->taken))
        return;
    world->acked += tcp_min(bytes, waiting);
    if (world->acked == world->taken && world->fin)
        world->acked++;
    tcp_acknowledge(&world->conn, world->acked, world->last_tsval, world->now_us);
    FUZZ_CHECK(world->conn.rcv_ack == world->acked);
}

void
world_expire(struct world *world)
{
    unsigned round = 0;

    do {
        on_events(world, tcp_on_timer(&world->conn, world->now_us));
        world_flush(world);
        world_check(world);
        FUZZ_CHECK(++round < ROUNDS || world->blocked);
    } while (!world->blocked && tcp_deadline_us(&world->conn) <= world->now_us);
}

/* ---- what is sent ---- */

static void
check_window(struct world *world, const struct tcp_segment *segment)
{
    uint32_t unit = 1u << world->conn.config.rcv_wscale;
    uint32_t edge = segment->ack + ((uint32_t)segment->window << world->conn.config.rcv_wscale);
    uint32_t promised = seq_min(world->shown_edge, world->allowed_edge);

    if (segment->flags & TCP_RST) /* whoever gets it looks at no window any more */
        return;
    FUZZ_CHECK(seq_before(edge, world->allowed_edge + unit) ||
               seq_after(segment->ack, world->allowed_edge));
    FUZZ_CHECK(seq_after_eq(edge, promised) || seq_after_eq(segment->ack, world->allowed_edge));
    world->shown_edge = seq_max(world->shown_edge, edge);
}

static void
check_sack(const struct world *world, const struct tcp_segment *segment)
{
    FUZZ_CHECK(!segment->sack_count || world->conn.config.sack);
    for (unsigned i = 0; i < segment->sack_count; i++) {
        struct tcp_range range = segment->sack[i];

        FUZZ_CHECK(seq_before(range.start, range.end));
        if (!i && tcp_has_dsack(segment))
            continue;
        FUZZ_CHECK(seq_after(range.start, world->conn.rcv_nxt));
        FUZZ_CHECK(seq_before_eq(range.end, tcp_right_edge(&world->conn)));
    }
}

static void
check_payload(struct world *world, const struct tcp_out *out)
{
    const struct tcp_config *config = &world->conn.config;
    uint32_t last = out->seq + out->len, end = last + !!(out->flags & TCP_FIN);
    uint32_t fits = config->path_mtu - config->ip_header_len - TCP_HEADER_LEN;
    uint32_t room = tcp_min(fits, config->remote_mss) - out->option_len;

    FUZZ_CHECK(out->len <= world->burst);
    FUZZ_CHECK(!out->segment_size || out->segment_size < out->len);
    FUZZ_CHECK((out->segment_size ? out->segment_size : out->len) <= room);
    FUZZ_CHECK(!out->len || seq_before_eq(last, world->snd_end));
    if (out->flags & TCP_FIN)
        FUZZ_CHECK(world->fin_queued && last == world->snd_end);
    if (out->len || out->flags & TCP_FIN) {
        FUZZ_CHECK(seq_before_eq(out->seq, world->highest)); /* nothing is left out */
        FUZZ_CHECK(out->retransmission == seq_before(out->seq, world->highest));
        FUZZ_CHECK(seq_after_eq(out->seq, world->snd_una) || out->retransmission);
        FUZZ_CHECK(seq_before_eq(end, world->highest) || seq_before_eq(last, world->offered));
        world->highest = seq_max(world->highest, end);
    }
}

static void
check_out(struct world *world, const struct tcp_out *out)
{
    uint8_t header[TCP_MAX_HEADER];
    struct tcp_segment segment;
    size_t len = tcp_write_header(out, 1, 2, header);

    FUZZ_CHECK(out->option_len % 4 == 0 && out->option_len <= TCP_MAX_OPTIONS);
    FUZZ_CHECK(!tcp_parse(header, len, &segment) && segment.header_len == len);
    FUZZ_CHECK(segment.has_timestamp == world->conn.config.timestamps);
    FUZZ_CHECK(segment.flags & TCP_ACK && segment.ack == world->acked);
    FUZZ_CHECK(!out->ecn || (out->len && !out->retransmission && world->conn.config.ecn));
    FUZZ_CHECK(!(out->flags & (TCP_ECE | TCP_CWR)) || world->conn.config.ecn);
    check_window(world, &segment);
    check_sack(world, &segment);
    check_payload(world, out);
}

void
world_flush(struct world *world)
{
    struct tcp_out out;
    unsigned count = 0;

    while (!world->blocked && tcp_next(&world->conn, world->now_us, world->burst, &out)) {
        FUZZ_CHECK(++count < SEGMENTS_MAX);
        check_out(world, &out);
    }
}

/* ---- what holds always ---- */

static void
check_lists(const struct world *world)
{
    const struct tcp_conn *conn = &world->conn;
    const struct tcp_chunk *tail = NULL;
    uint32_t at = conn->rcv_nxt, count = 0;
    bool hint = !conn->ooo_hint;

    FUZZ_CHECK(!conn->ready_head && !conn->dropped); /* they are taken at once */
    FUZZ_CHECK(conn->rcv_nxt == world->taken + world->fin);
    for (const struct tcp_chunk *chunk = conn->ooo_head; chunk; chunk = chunk->next) {
        FUZZ_CHECK(chunk->len && (tail ? seq_after_eq(chunk->seq, at) : seq_after(chunk->seq, at)));
        at = chunk->seq + chunk->len;
        hint |= chunk == conn->ooo_hint;
        tail = chunk;
        count++;
    }
    FUZZ_CHECK(tail == conn->ooo_tail && hint);
    FUZZ_CHECK(count == conn->ooo_count && count == world->chunks);
    FUZZ_CHECK(!tail || seq_before_eq(at, tcp_right_edge(conn)));
    FUZZ_CHECK(conn->rcv_sack_count <= 4);
}

static void
check_scoreboard(const struct tcp_conn *conn)
{
    uint32_t above = conn->snd_una;

    FUZZ_CHECK(conn->sack_count <= TCP_SACK_RANGES);
    for (unsigned i = 0; i < conn->sack_count; i++) {
        FUZZ_CHECK(seq_after(conn->sacked[i].start, above));
        FUZZ_CHECK(seq_after(conn->sacked[i].end, conn->sacked[i].start));
        above = conn->sacked[i].end;
    }
    FUZZ_CHECK(seq_before_eq(above, conn->snd_max));
}

static void
check_counters(struct world *world)
{
    const struct tcp_counters *now = &world->conn.counters, *last = &world->last;

    FUZZ_CHECK(now->segments_in >= last->segments_in && now->segments_out >= last->segments_out);
    FUZZ_CHECK(now->bytes_in >= last->bytes_in && now->bytes_out >= last->bytes_out);
    FUZZ_CHECK(now->retransmitted_bytes >= last->retransmitted_bytes);
    FUZZ_CHECK(now->retransmitted_segments >= last->retransmitted_segments);
    FUZZ_CHECK(now->timeouts >= last->timeouts && now->tail_probes >= last->tail_probes);
    FUZZ_CHECK(now->retransmitted_segments <= now->segments_out);
    FUZZ_CHECK(now->resets_out <= 1 && now->established_resets <= 1);
    world->last = *now;
}

void
world_check(struct world *world)
{
    const struct tcp_conn *conn = &world->conn;
    bool fin = conn->flags & TCP_CONN_FIN_QUEUED;

    FUZZ_CHECK(seq_before_eq(world->snd_una, conn->snd_una));
    world->snd_una = conn->snd_una;
    FUZZ_CHECK(seq_before_eq(conn->snd_una, conn->snd_nxt));
    FUZZ_CHECK(seq_before_eq(conn->snd_nxt, conn->snd_max));
    FUZZ_CHECK(seq_before_eq(conn->snd_max, conn->snd_end + fin));
    FUZZ_CHECK(conn->snd_max == world->highest && conn->snd_end == world->snd_end);
    FUZZ_CHECK(conn->rcv_ack == world->acked && seq_before_eq(conn->rcv_ack, conn->rcv_nxt));
    FUZZ_CHECK(conn->cwnd && conn->mss);
    if (conn->state == TCP_CLOSED)
        FUZZ_CHECK(tcp_deadline_us(conn) == TCP_NEVER);
    check_lists(world);
    check_scoreboard(conn);
    check_counters(world);
}
