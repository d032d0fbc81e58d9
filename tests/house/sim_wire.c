/*
 * The far end of the wire, where the peers are, and our end, where the judges are. What the wire
 * itself cannot do to frames happens here: marks of congestion, damage (one bit, behind the
 * addresses, where a checksum finds it), and frames that nobody sent. Those arrive at our end at
 * once, so that what they must miss by one (RFC 5961) is missed by one.
 */
#include "base/bytes.h"
#include "base/hash.h"
#include "chimney/trace.h"
#include "sim.h"
#include "wire/wire.h"

#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#define HEAD_BYTES 192

#define STATE_NAME(name) [HOST_CONN_##name] = #name,
static const char *const host_conn_names[] = {HOST_CONN_STATES(STATE_NAME)};

/* ---- towards the peers ---- */

/* IPv6 headers have no checksum: the bit is behind them. */
static void
damage(struct random *random, uint8_t *bytes, size_t len)
{
    size_t first = 14;

    if (bytes[12] == 0x81)
        first += 4;
    if (bytes[first - 2] == 0x86)
        first += 40;
    first += random_below(random, (uint32_t)(len - first));
    bytes[first] ^= (uint8_t)(1u << random_below(random, 8));
}

void
sim_wire_arrived(struct sim *sim, struct wire_buf *buf, unsigned cable)
{
    bool damaged = random_chance_ppm(&sim->wire_random, sim->plan.corrupt_ppm);
    struct peer_segment segment;

    if (!sim_team_hears(sim, cable))
        return;
    if (random_chance_ppm(&sim->mark_random, sim->plan.mark_ppm[1]))
        peer_frame_mark(buf->data, buf->len);
    if (damaged)
        damage(&sim->wire_random, buf->data, buf->len);
    if (sim->plan.calm.lossy && peer_frame_read(buf->data, buf->len, buf->len, false, &segment) &&
        sim_calm_loses(sim, true, segment.len != 0))
        return;
    for (unsigned i = 0; i < sim->plan.conns; i++)
        if (sim->conns[i].peer && sim_house_reaches(&sim->conns[i], buf->data) &&
            peer_frame(sim->conns[i].peer, buf->data, buf->len, damaged)) {
            sim_team_heard(&sim->conns[i], cable);
            return;
        }
}

void
sim_wire_send(struct sim_conn *conn, const uint8_t *frame, size_t len)
{
    struct sim *sim = conn->sim;
    uint8_t bytes[2048];
    struct iovec piece = {bytes, len};
    struct wire_tx tx = {.pieces = &piece, .piece_count = 1};
    struct wire *wire = sim_team_far(conn);
    struct peer_segment segment;

    if (sim->plan.calm.lossy && peer_frame_read(frame, len, len, false, &segment) &&
        sim_calm_loses(sim, false, segment.len != 0))
        return;
    memcpy(bytes, frame, len);
    if (random_chance_ppm(&sim->mark_random, sim->plan.mark_ppm[0]))
        peer_frame_mark(bytes, len);
    if (random_chance_ppm(&sim->peer_random, sim->plan.corrupt_ppm))
        damage(&sim->peer_random, bytes, len);
    if (wire && wire_send(wire, &tx))
        sim_fail(sim, "the wire takes no frame");
}

/* ---- our end ---- */

static struct sim_conn *
find(struct sim *sim, const struct peer_segment *segment, bool out)
{
    for (unsigned i = 0; i < sim->plan.conns; i++) {
        struct sim_conn *conn = &sim->conns[i];
        if ((conn->host || conn->kernel) &&
            peer_frame_is_for(segment, out ? &conn->plan->peer.path : &conn->judge.options.path))
            return conn;
    }
    return NULL;
}

static bool
is_damaged(void *arg, const struct wire_tx *frame)
{
    const struct sim *sim = arg;
    uint8_t bytes[2048];
    struct peer_segment segment;
    size_t len;

    if (!sim->plan.corrupt_ppm)
        return false;
    len = wire_tx_copy(frame, bytes, sizeof bytes);
    return !peer_frame_read(bytes, len, len, false, &segment) ||
           !peer_frame_sums_right(bytes, &segment);
}

static void
say(const struct sim_conn *conn, bool out, const struct peer_segment *segment, const char *note)
{
    uint32_t seq_base = out ? conn->plan->host.snd_seq : conn->plan->host.rcv_seq;
    uint32_t ack_base = out ? conn->plan->host.rcv_seq : conn->plan->host.snd_seq;

    printf("%10llu %u %s %s%s%s%s%s%s%s seq %u+%u ack %u win %u ts %u %u%s",
           (unsigned long long)sys_loop_now_us(conn->sim->stage.loop), conn->number,
           out                                ? "->"
           : segment->ttl == JUDGE_FORGED_TTL ? "<F"
                                              : "<-",
           segment->flags & PEER_FIN ? "F" : "", segment->flags & PEER_SYN ? "S" : "",
           segment->flags & PEER_RST ? "R" : "", segment->flags & PEER_PSH ? "P" : "",
           segment->flags & PEER_ECE ? "E" : "", segment->flags & PEER_CWR ? "C" : "",
           segment->ecn == PEER_CE ? "*" : "", segment->seq - seq_base, segment->len,
           segment->ack - ack_base, segment->window, segment->tsval, segment->tsecr, note);
    for (unsigned i = 0; i < segment->sacks; i++)
        printf(" [%u %u)", segment->sack[i][0] - ack_base, segment->sack[i][1] - ack_base);
    printf(" %s\n", conn->host ? host_conn_names[script_state(conn->host)] : "SOCKET");
}

/* What goes with a frame says where its headers are. */
static void
check_meta(const struct sim_conn *conn, const struct wire_tx *frame, const uint8_t *bytes,
           const struct peer_segment *segment)
{
    const struct wire_meta *meta = &frame->meta;
    uint32_t ip = (uint32_t)(segment->ip - bytes), tcp = ip + (segment->ipv6 ? 40 : 20);
    uint8_t type = segment->ipv6 ? WIRE_GSO_TCPV6 : WIRE_GSO_TCPV4;

    if (meta->csum_partial && (meta->csum_start != tcp || meta->csum_offset != 16))
        sim_fail(conn->sim, "conn %u: a checksum from %u at %u, of a TCP header at %u",
                 conn->number, meta->csum_start, meta->csum_offset, tcp);
    if (meta->gso_size && (meta->gso_type != type || meta->header_len != ip + segment->headers ||
                           segment->len <= meta->gso_size))
        sim_fail(conn->sim, "conn %u: a superframe of type %u, headers of %u bytes, %u in %u",
                 conn->number, meta->gso_type, meta->header_len, segment->len, meta->gso_size);
}

static size_t
copy_frame(const void *frame, void *to, size_t max)
{
    return wire_tx_copy(frame, to, max);
}

static void
on_our_end(void *arg, enum stage_side side, bool out, const struct wire_tx *frame)
{
    struct sim *sim = arg;
    uint64_t now_us = sys_loop_now_us(sim->stage.loop);
    uint8_t bytes[HEAD_BYTES];
    struct peer_segment segment;
    size_t len = wire_tx_length(frame), have = wire_tx_copy(frame, bytes, sizeof bytes);

    sim->fingerprint = hash_word(hash_bytes(bytes, have, sim->fingerprint), now_us << 1 | out);
    sim->frames++;
    if (sim->trace)
        trace_frame(sim->trace, &(struct trace_frame){.out = out,
                                                      .frame = frame,
                                                      .length = len,
                                                      .gso_bytes = frame->meta.gso_size,
                                                      .copy = copy_frame});
    if (out && sim->dead && !sim->past_gag)
        sim_fail(sim, "the dead owner speaks");
    if (!peer_frame_read(bytes, have, len, frame->meta.gso_size != 0, &segment))
        return;
    struct sim_conn *conn = find(sim, &segment, out);
    if (!conn)
        return;
    bool whole = out || !is_damaged(sim, frame);
    if (sim->verbose)
        say(conn, out, &segment, whole ? frame->meta.gso_size ? " super" : "" : " damaged");
    if (conn->kernel)
        return; /* the judge knew the dead one */
    if (whole)
        sim_query_count(conn, out, &segment, frame->meta.gso_size);
    if (out)
        check_meta(conn, frame, bytes, &segment);
    if (out)
        sim_house_out(conn, bytes, &segment, frame->meta.gso_size);
    if (out)
        judge_out(&conn->judge, &segment, frame->meta.gso_size, now_us);
    else if (whole)
        judge_in(&conn->judge, &segment, now_us);
    if (whole)
        sim_calm_hear(conn, out, &segment, frame->meta.gso_size);
    sim_conn_count_frame(conn);
}

void
sim_wire_open(struct sim *sim)
{
    random_init(&sim->wire_random, sim->plan.seed ^ 0x77697265);
    random_init(&sim->peer_random, sim->plan.seed ^ 0x70656572);
    random_init(&sim->mark_random, sim->plan.seed ^ 0x6d61726b);
    sim->stage.damaged = is_damaged;
    sim->stage.witness = on_our_end;
    sim->stage.witness_arg = sim;
}

/* ---- forgeries ---- */

enum forgery {
    OFF_RESET,
    OLD_SYN,
    OLD_STAMP,
    UNSENT_ACK,
    BEYOND,
    BAD_SUM,
    OLD_DATA,
    DEFORMED,
    FORGERIES
};

/* False: this one cannot be made now. */
static bool
make_up(struct sim_conn *conn, enum forgery kind, struct peer_segment *segment)
{
    struct judge *judge = &conn->judge;
    uint32_t window = judge->said_edge - judge->said_ack;

    *segment = (struct peer_segment){.seq = judge->rcv_next,
                                     .ack = judge->acked,
                                     .flags = PEER_ACK,
                                     .window = 1000,
                                     .ttl = JUDGE_FORGED_TTL,
                                     .has_ts = judge->options.timestamps,
                                     .tsval = judge->tsval_in,
                                     .tsecr = judge->tsval_out,
                                     .len = 1 + random_below(&conn->random, 500)};
    switch (kind) {
    case OFF_RESET:
        segment->flags = random_below(&conn->random, 2) ? PEER_RST : PEER_RST | PEER_ACK;
        segment->seq += 1 +
                        random_below(&conn->random, random_below(&conn->random, 2) ? 3 : window);
        segment->len = 0;
        return window > 1;
    case OLD_SYN:
        segment->flags = PEER_SYN;
        segment->seq = judge->said_ack - 1 - random_below(&conn->random, 100000);
        segment->len = 0;
        return true;
    case OLD_STAMP:
        segment->tsval = judge->tsecr_out - 1 - random_below(&conn->random, 1000000);
        return judge->options.timestamps;
    case UNSENT_ACK:
        segment->ack = judge->sent + (1u << 28);
        return true;
    case BEYOND:
        /* also of what may be promised while it waits for the end of a move */
        segment->seq = judge->said_edge + conn->plan->host.receive_buffer + (1u << 16) +
                       random_below(&conn->random, 100000);
        return true;
    case BAD_SUM:
    case DEFORMED:
        return true;
    default:
        segment->seq = judge->said_ack - segment->len - random_below(&conn->random, 50000);
        return true;
    }
}

/* RFC 1624: the checksum at sum stays right. */
static void
store_summed(uint8_t *at, uint16_t value, uint8_t *sum)
{
    uint32_t more = (uint16_t)~bytes_load_be16(sum);

    more += (uint16_t)~bytes_load_be16(at) + (uint32_t)value;
    more = (more & 0xffff) + (more >> 16);
    more = (more & 0xffff) + (more >> 16);
    bytes_store_be16(at, value);
    bytes_store_be16(sum, (uint16_t)~more);
}

/* In-order data that nobody may take: its frame ends early, its headers do not fit it, or it is a
 * piece of a packet (RFC 791, 8200, 9293, 3.1). */
static void
deform(struct sim_conn *conn, struct wire_buf *buf)
{
    struct random *random = &conn->random;
    uint32_t link = conn->sim->plan.vlan ? 18 : 14;
    uint8_t *ip = buf->data + link, *tcp = ip + (ip[0] >> 4 == 6 ? 40 : 20);
    bool ipv6 = ip[0] >> 4 == 6;

    switch (random_below(random, 4)) {
    case 0:
        buf->len = 1 + random_below(random, (uint32_t)(tcp - buf->data) + 20);
        break;
    case 1: /* a TCP header that is too short, or longer than all */
        store_summed(tcp + 12, (uint16_t)(random_below(random, 5) << 12 | PEER_ACK), tcp + 16);
        break;
    case 2: /* a fragment, the first or another; another protocol, or an extension header */
        if (ipv6)
            ip[6] = random_below(random, 2) ? 44 : 0;
        else
            store_summed(ip + 6, random_below(random, 2) ? 0x2000 : 1 + random_below(random, 100),
                         ip + 10);
        break;
    default: /* longer than what is there, or shorter than its headers */
        if (ipv6)
            bytes_store_be16(ip + 4, random_below(random, 2) ? random_below(random, 20) : 3000);
        else
            store_summed(ip + 2, random_below(random, 2) ? random_below(random, 40) : 3000,
                         ip + 10);
    }
}

void
sim_wire_forge(struct sim_conn *conn)
{
    struct wire *near = sim_team_near(conn);
    enum forgery kind = (enum forgery)random_below(&conn->random, FORGERIES);
    struct peer_segment segment;
    struct wire_buf *buf;

    if (!near || !conn->judge.said || conn->judge.fin_in || !make_up(conn, kind, &segment))
        return;
    buf = wire_buf_create(2048);
    if (!buf)
        sim_fail(conn->sim, "no memory");
    buf->len = (uint32_t)peer_frame_write(buf->data, &conn->peer->options.path, &segment);
    if (segment.len)
        sim_stream_fill(1, 2, buf->data + buf->len - segment.len, segment.len);
    segment.payload = segment.len ? buf->data + buf->len - segment.len : NULL;
    peer_frame_write(buf->data, &conn->peer->options.path, &segment);
    if (kind == BAD_SUM)
        buf->data[buf->len - 1] ^= 1;
    else if (kind == DEFORMED)
        deform(conn, buf);
    wire_enter(near);
    wire_deliver(near, buf);
    wire_leave(near);
}
