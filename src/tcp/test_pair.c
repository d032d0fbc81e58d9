/*
 * The surroundings of two engines. An end's view is redundant on purpose: allowed_ack and
 * allowed_edge are what its caller has said, shown_edge and highest_seq what it has let the other
 * end see, and every segment written is held against them.
 */
#include "tcp/test_pair.h"

#include <stdlib.h>

void
pair_fail_seed(struct pair *pair, int line, const char *what)
{
    for (int i = 0; i < 2; i++) {
        struct end *end = &pair->ends[i];
        struct tcp_conn *conn = &end->conn;
        print_error("end %d: %s una %u nxt %u max %u end %u wnd %u cwnd %u | rcv nxt %u ack %u "
                    "edge %u shown %u | "
                    "queued %u/%u received %u lent %d flags %x sacked %u ooo %u\n",
                    i, tcp_state_name(conn->state), conn->snd_una - end->send_base,
                    conn->snd_nxt - end->send_base, conn->snd_max - end->send_base,
                    conn->snd_end - end->send_base, conn->snd_wnd, conn->cwnd,
                    conn->rcv_nxt - end->receive_base, conn->rcv_ack - end->receive_base,
                    conn->rcv_edge - end->receive_base, conn->rcv_advertised - end->receive_base,
                    end->queued, end->total, end->received, !list_empty(&end->lent), conn->flags,
                    conn->sack_count, conn->ooo_count);
    }
    print_error("PAIR_SEED=%llu at %llu us, line %d: %s\n", (unsigned long long)pair->seed,
                (unsigned long long)pair->now_us, line, what);
    fail();
}

static uint8_t
pattern(int from, uint32_t at)
{
    return (uint8_t)(at ^ at >> 8 ^ at >> 16 ^ (from ? 0x5a : 0));
}

void
pair_free_frame(struct frame *frame)
{
    free(frame->payload);
    free(frame);
}

void
pair_free_chunks(struct tcp_chunk *chunk)
{
    while (chunk) {
        struct tcp_chunk *next = chunk->next;
        pair_free_frame(container_of(chunk, struct frame, chunk));
        chunk = next;
    }
}

/* ---- the network ---- */

static void
insert_wire(struct pair *pair, struct frame *frame)
{
    struct list *at = pair->wire.prev;

    while (at != &pair->wire && container_of(at, struct frame, link)->arrive_us > frame->arrive_us)
        at = at->prev;
    list_insert(&frame->link, at, at->next);
}

static uint64_t
arrival_us(struct pair *pair, int to, uint32_t bytes)
{
    uint64_t start_us = pair->now_us;
    uint64_t extra_us = 0;

    if (pair->link_mbit) {
        if (pair->link_free_us[to] > start_us)
            start_us = pair->link_free_us[to];
        start_us += bytes * 8 / pair->link_mbit;
        pair->link_free_us[to] = start_us;
    }
    if (random_chance_ppm(&pair->random, pair->reorder_ppm))
        extra_us = pair_below(pair, pair->jitter_us);
    return start_us + pair->delay_us + extra_us;
}

static void
post(struct pair *pair, int to, const struct tcp_segment *segment, const uint8_t *payload)
{
    struct frame *frame;

    if (random_chance_ppm(&pair->random, pair->loss_ppm))
        return;
    frame = calloc(1, sizeof(*frame));
    frame->to = to;
    frame->segment = *segment;
    if (segment->ecn == TCP_ECT0 && random_chance_ppm(&pair->random, pair->mark_ppm)) {
        frame->segment.ecn = TCP_CE;
        pair->marked++;
    }
    if (segment->payload_len) {
        frame->payload = malloc(segment->payload_len);
        memcpy(frame->payload, payload, segment->payload_len);
    }
    frame->arrive_us = arrival_us(pair, to, segment->payload_len + 66);
    insert_wire(pair, frame);
    if (random_chance_ppm(&pair->random, pair->duplicate_ppm))
        post(pair, to, segment, payload);
}

/* A superframe goes through whole or in random pieces of whole segments. */
static void
transmit(struct pair *pair, int to, const struct tcp_segment *whole, const uint8_t *payload)
{
    uint32_t size = whole->segment_size ? whole->segment_size : whole->payload_len, done = 0;

    if (!pair->split || !whole->segment_size) {
        post(pair, to, whole, payload);
        return;
    }
    while (done < whole->payload_len) {
        struct tcp_segment part = *whole;
        uint32_t left = whole->payload_len - done,
                 take = size * (1 + pair_below(pair, 1 + pair_below(pair, 8)));

        part.payload_len = take < left ? take : left;
        part.segment_size = part.payload_len > size ? (uint16_t)size : 0;
        part.seq += done;
        if (part.payload_len < left)
            part.flags &= (uint8_t) ~(TCP_FIN | TCP_PSH);
        post(pair, to, &part, payload + done);
        done += part.payload_len;
    }
}

/* ---- what an engine may write ---- */

static void
check_sack(struct pair *pair, struct end *end, const struct tcp_segment *segment)
{
    const struct tcp_conn *conn = &end->conn;

    CHECK(!segment->sack_count || end->config.sack);
    for (unsigned i = 0; i < segment->sack_count; i++) {
        struct tcp_range range = segment->sack[i];
        CHECK(seq_before(range.start, range.end));
        if (!i && seq_before_eq(range.end, segment->ack))
            continue;                                 /* D-SACK */
        CHECK(seq_after(range.start, conn->rcv_nxt)); /* never what is in order, or could be */
        CHECK(seq_before_eq(range.end, conn->rcv_advertised));
    }
}

static void
check_ecn(struct pair *pair, const struct end *end, const struct tcp_segment *segment,
          const struct tcp_out *out)
{
    bool says = segment->flags & (TCP_ECE | TCP_CWR) || out->ecn;

    CHECK(!says || end->config.ecn);
    CHECK(out->ecn == TCP_NOT_ECT || out->ecn == TCP_ECT0);
    CHECK(!out->ecn || (segment->payload_len && !out->retransmission));
    CHECK(!(segment->flags & TCP_CWR) || (out->ecn && !out->segment_size));
}

static void
check_out(struct pair *pair, int from, const struct tcp_segment *segment, const struct tcp_out *out)
{
    struct end *end = &pair->ends[from], *peer = &pair->ends[!from];
    const struct tcp_config *config = &end->config;
    uint32_t room = config->path_mtu - config->ip_header_len - 20 - out->option_len;
    uint32_t edge = segment->ack + ((uint32_t)segment->window << config->rcv_wscale);
    uint32_t last = segment->seq + segment->payload_len;

    CHECK(segment->ack == end->allowed_ack);
    if (seq_after(edge, end->allowed_edge))
        CHECK(edge - end->allowed_edge < 1u << config->rcv_wscale);
    if (seq_before(
            edge,
            end->allowed_edge)) /* rounded down, but nothing the caller allowed is taken back */
        CHECK(seq_after_eq(edge, seq_min(end->shown_edge, end->allowed_edge)) ||
              seq_after_eq(segment->ack, end->allowed_edge));
    end->shown_edge = seq_max(end->shown_edge, edge);
    CHECK(segment->has_timestamp == config->timestamps);
    if (config->timestamps && end->started)
        CHECK(seq_after_eq(segment->tsval, end->last_tsval));
    end->last_tsval = segment->tsval;
    end->started = true;
    CHECK(segment->payload_len <= room || (out->segment_size && out->segment_size <= room));
    CHECK(!out->segment_size || out->segment_size <= segment->payload_len);
    CHECK(segment->payload_len <= TCP_MAX_BURST);
    CHECK(last - end->send_base <= end->queued || !segment->payload_len);
    if (segment->payload_len && seq_after(last, end->highest_seq)) {
        CHECK(seq_before_eq(last, peer->shown_edge));
        CHECK(!out->retransmission || seq_before(segment->seq, end->highest_seq));
        end->highest_seq = last;
    }
    if (segment->flags & TCP_FIN)
        CHECK(end->fin_queued && last == end->send_base + end->total);
    check_sack(pair, end, segment);
    check_ecn(pair, end, segment, out);
}

static void
send_out(struct pair *pair, int from, const struct tcp_out *out)
{
    struct end *end = &pair->ends[from];
    uint8_t header[TCP_MAX_HEADER], payload[TCP_MAX_BURST];
    struct tcp_segment segment;
    size_t len = tcp_write_header(out, 1000, 2000, header);

    CHECK(len <= sizeof(header) && out->option_len % 4 == 0);
    CHECK(!tcp_parse(header, len, &segment));
    segment.payload_len = out->len;
    segment.segment_size = out->segment_size;
    segment.ecn = out->ecn;
    CHECK(out->len <= sizeof(payload));
    for (uint32_t i = 0; i < out->len; i++)
        payload[i] = pattern(from, out->seq - end->send_base + i);
    check_out(pair, from, &segment, out);
    transmit(pair, !from, &segment, payload);
}

void
pair_flush(struct pair *pair, int from)
{
    struct end *end = &pair->ends[from];
    uint32_t most = pair_chance(pair, 10) ? 1 + pair_below(pair, TCP_MAX_BURST) : TCP_MAX_BURST;
    struct tcp_out out;
    unsigned guard = 0;

    while (tcp_next(&end->conn, pair->now_us, most, &out)) {
        CHECK(++guard < 200000);
        send_out(pair, from, &out);
    }
}

/* ---- the applications ---- */

static void
set_edge(struct end *end)
{
    uint32_t edge = end->conn.rcv_ack + end->buffer;

    if (!end->returned)
        edge -= end->received - end->consumed;
    if (end->fin_acknowledged)
        return;
    if (seq_after(edge, end->allowed_edge))
        end->allowed_edge = edge;
    tcp_set_right_edge(&end->conn, end->allowed_edge);
}

static void
acknowledge(struct pair *pair, struct end *end, uint32_t seq, uint32_t tsval)
{
    tcp_acknowledge(&end->conn, seq, tsval, pair->now_us);
    CHECK(end->conn.rcv_ack == seq);
    end->allowed_ack = seq;
}

static void
take(struct pair *pair, int to)
{
    struct end *end = &pair->ends[to];
    struct tcp_chunk *chunk;

    while ((chunk = tcp_take(&end->conn))) {
        struct frame *frame = container_of(chunk, struct frame, chunk);

        CHECK(chunk->seq == end->receive_base + end->received);
        for (uint32_t i = 0; i < chunk->len; i++)
            CHECK(frame->payload[chunk->offset + i] == pattern(!to, end->received + i));
        end->received += chunk->len;
        frame->lent_end = chunk->seq + chunk->len;
        if (end->returned) {
            frame->return_us = pair->now_us + pair_below(pair, end->return_delay_us);
            list_add_tail(&end->lent, &frame->link);
        } else {
            acknowledge(pair, end, frame->lent_end, chunk->tsval);
            pair_free_frame(frame);
        }
    }
    while ((chunk = tcp_take_dropped(&end->conn)))
        pair_free_frame(container_of(chunk, struct frame, chunk));
    set_edge(end);
}

void
pair_give_back(struct pair *pair, struct end *end)
{
    bool moved = false;

    list_for_each_safe(frame, &end->lent, struct frame, link) {
        if (frame->return_us > pair->now_us)
            break;
        list_del(&frame->link);
        acknowledge(pair, end, frame->lent_end, frame->chunk.tsval);
        pair_free_frame(frame);
        moved = true;
    }
    if (moved)
        set_edge(end);
}

void
pair_finish_receiving(struct pair *pair, struct end *end)
{
    if (!end->fin_received || end->fin_acknowledged || !list_empty(&end->lent) ||
        pair->now_us < end->fin_return_us)
        return;
    end->fin_acknowledged = true;
    acknowledge(pair, end, end->conn.rcv_nxt, end->conn.ts_recent);
}

void
pair_on_events(struct pair *pair, int to, unsigned events)
{
    struct end *end = &pair->ends[to];

    take(pair, to);
    if (events & TCP_EV_FIN) {
        CHECK(!end->fin_received && end->received == pair->ends[!to].total);
        end->fin_received = true;
        end->fin_return_us = pair->now_us +
                             (end->returned ? pair_below(pair, end->return_delay_us) : 0);
    }
    if (events & TCP_EV_FIN_ACKED) {
        CHECK(!end->fin_acked && end->fin_queued);
        end->fin_acked = true;
    }
    if (events & TCP_EV_RESET)
        end->reset = true;
    CHECK(!(events & (TCP_EV_TIMEOUT | TCP_EV_URGENT | TCP_EV_SYN)));
    pair_finish_receiving(pair, end);
}

/* A closed socket answers whatever comes with an RST. */
static void
answer_reset(struct pair *pair, struct frame *frame)
{
    struct tcp_segment reset = {.seq = frame->segment.ack, .flags = TCP_RST};

    if (!(frame->segment.flags & TCP_RST))
        post(pair, !frame->to, &reset, NULL);
    pair_free_frame(frame);
}

void
pair_deliver(struct pair *pair, struct frame *frame)
{
    struct end *end = &pair->ends[frame->to];
    int to = frame->to;

    list_del(&frame->link);
    if (end->aborted) {
        answer_reset(pair, frame);
        return;
    }
    bool payload = frame->segment.payload_len > 0;
    unsigned events = tcp_on_segment(&end->conn, &frame->segment, payload ? &frame->chunk : NULL,
                                     pair->now_us);
    CHECK(!(events & TCP_EV_KEPT) || payload);
    if (!(events & TCP_EV_KEPT))
        pair_free_frame(frame);
    CHECK(!(events & TCP_EV_RESET) || pair->ends[!to].aborted);
    pair_on_events(pair, to, events);
}

void
pair_write_some(struct pair *pair, struct end *end)
{
    uint32_t bytes = 1 + pair_below(pair, end->chunk_bytes);

    if (bytes > end->total - end->queued)
        bytes = end->total - end->queued;
    tcp_queue(&end->conn, bytes);
    end->queued += bytes;
    if (end->queued == end->total) {
        tcp_queue_fin(&end->conn);
        end->fin_queued = true;
        end->write_us = TCP_NEVER;
        return;
    }
    end->write_us = pair->now_us +
                    (pair->steady || pair_chance(pair, 70) ? 0 : pair_below(pair, 20000));
    if (!pair->steady && pair_chance(pair, 1))
        end->write_us += 700000; /* everything drains */
}

void
pair_read_some(struct pair *pair, struct end *end)
{
    uint32_t bytes = 1 + pair_below(pair, end->read_bytes);

    end->consumed += tcp_min(bytes, end->received - end->consumed);
    set_edge(end);
    end->read_us = pair->now_us + 1;
    if (!pair->steady)
        end->read_us += pair_chance(pair, 95) ? pair_below(pair, 3000) : pair_below(pair, 900000);
}

/* ---- moving house ---- */

static bool
movable(const struct tcp_state *state)
{
    return state->state != TCP_CLOSED && state->state != TCP_TIME_WAIT;
}

void
pair_add_counters(struct tcp_counters *sum, const struct tcp_counters *more)
{
    sum->segments_in += more->segments_in;
    sum->segments_out += more->segments_out;
    sum->retransmitted_segments += more->retransmitted_segments;
    sum->retransmitted_bytes += more->retransmitted_bytes;
    sum->bytes_out += more->bytes_out;
    sum->timeouts += more->timeouts;
    sum->fast_recoveries += more->fast_recoveries;
    sum->tail_probes += more->tail_probes;
}

void
pair_hand_over(struct pair *pair, int which)
{
    struct end *end = &pair->ends[which];
    struct tcp_state state;
    struct tcp_extension extension;

    if (pair_chance(pair, 80)) {
        tcp_ack_now(&end->conn);
        pair_flush(pair, which);
    }
    tcp_capture(&end->conn, pair->now_us, &state);
    tcp_capture_extension(&end->conn, pair->now_us, &extension);
    if (!movable(&state))
        return;
    CHECK(state.rcv_nxt == end->allowed_ack);
    pair_add_counters(&end->total_counters, &end->conn.counters);
    pair_free_chunks(tcp_close(&end->conn));
    CHECK(!tcp_next(&end->conn, pair->now_us, TCP_MAX_BURST, &(struct tcp_out){0}));
    list_for_each_safe(frame, &end->lent, struct frame, link) {
        list_del(&frame->link);
        pair_free_frame(frame);
    }
    if (!end->fin_acknowledged) { /* what was not acknowledged comes again */
        end->received = state.rcv_nxt - end->receive_base;
        end->fin_received = false;
        end->consumed = tcp_min(end->consumed, end->received);
    }
    memset(&end->conn, 0xa5, sizeof(end->conn));
    CHECK(!tcp_restore(&end->conn, &end->config, &state, pair->now_us));
    if (pair_chance(pair, 50))
        CHECK(!tcp_restore_extension(&end->conn, &extension, pair->now_us));
    end->allowed_edge = seq_max(end->allowed_edge, end->shown_edge);
    set_edge(end);
    end->handovers++;
}
