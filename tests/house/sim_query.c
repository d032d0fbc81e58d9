/*
 * What the target says of itself, compared with what is known at the wire: the answers to queries
 * (numbers that only grow lie between what was so when it was asked and what is so now), and its
 * counters at the end, segment by segment. A segment is the target's from the initiate to the end
 * of the terminate, and in IPv4 its identification says the same.
 */
#include "host/script/private.h"
#include "sim.h"

#include "base/bytes.h"

#include <stdio.h>

/* ---- queries ---- */

void
sim_query_ask(struct sim_conn *conn)
{
    const struct judge *judge = &conn->judge;
    bool overlaps = conn->host->down.queries != 0;

    if (script_query(conn->host) || overlaps)
        return;
    conn->asked = (struct sim_asked){.una = conn->host->una_seq,
                                     .said = judge->said,
                                     .said_ack = judge->said_ack,
                                     .said_edge = judge->said_edge,
                                     .tsecr = judge->tsecr_out,
                                     .sampled = conn->sample.taken};
}

static void
between(const struct sim_conn *conn, const char *what, uint32_t low, uint32_t value, uint32_t high)
{
    if (seq_before(value, low) || seq_after(value, high))
        sim_fail(conn->sim, "conn %u: a query says that %s is %u, not from %u to %u", conn->number,
                 what, value, low, high);
}

static void
check_sender(const struct sim_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *state)
{
    const struct judge *judge = &conn->judge;
    uint32_t end = conn->host->write_seq + conn->host->fin_wanted;

    between(conn, "SndUna", conn->asked.una, state->SndUna, judge->acked);
    between(conn, "SndNxt", state->SndUna, state->SndNxt, state->SndMax);
    /* what floors or a wire hold back, or a cable that is out, was not seen */
    between(conn, "SndMax", state->SndNxt, state->SndMax,
            judge->options.loose || judge->options.holes || judge->options.waits ? end
                                                                                 : judge->sent);
    if (seq_after(state->SndUna + state->SndWnd, judge->edge) || state->SndWnd > state->MaxSndWnd)
        sim_fail(conn->sim,
                 "conn %u: a query says that SndWnd is %u of %u from %u, and the edge %u",
                 conn->number, state->SndWnd, state->MaxSndWnd, state->SndUna, judge->edge);
    if (!state->CWnd || state->RttVar > UINT16_MAX / 2)
        sim_fail(conn->sim, "conn %u: a query says that CWnd is %u, RttVar %u", conn->number,
                 state->CWnd, state->RttVar);
    if (conn->asked.sampled && !state->SRtt)
        sim_fail(conn->sim, "conn %u: a query says that SRtt is 0", conn->number);
}

static void
check_receiver(const struct sim_conn *conn, const TCP_OFFLOAD_STATE_DELEGATED *state)
{
    const struct sim_asked *asked = &conn->asked;
    const struct judge *judge = &conn->judge;
    uint32_t unit = 1u << judge->options.rcv_wscale, edge = state->RcvNxt + state->RcvWnd;

    between(conn, "RcvNxt", asked->said_ack, state->RcvNxt, judge->rcv_next);
    if (asked->said && seq_before(edge + unit - 1, asked->said_edge))
        sim_fail(conn->sim, "conn %u: a query says that the edge is %u, and %u was promised",
                 conn->number, edge, asked->said_edge);
    if (judge->options.timestamps && judge->tsval_seen && asked->said)
        between(conn, "TsRecent", asked->tsecr, state->TsRecent, judge->tsval_in);
}

void
sim_query_answered(struct sim_conn *conn, NDIS_STATUS status,
                   const TCP_OFFLOAD_STATE_DELEGATED *state)
{
    if (status != NDIS_STATUS_SUCCESS || conn->sim->dead)
        return;
    conn->sim->answered++;
    if (state->State < TcpConnectionEstablished || state->State > TcpConnectionTimeWait)
        return; /* closed: nothing more is promised */
    if (conn->sim->plan.calm.on) {
        sim_calm_answered(conn, state);
        return;
    }
    check_sender(conn, state);
    check_receiver(conn, state);
}

static void
measure(struct sim_conn *conn, bool out, const struct peer_segment *segment)
{
    struct sim_sample *sample = &conn->sample;
    uint32_t end = segment->seq + segment->len, moves = conn->host->figures.moves_down;

    sample->pending &= sample->moves == moves;
    sample->moves = moves;
    sample->spoilt |= out && segment->len && seq_before(segment->seq, conn->judge.sent);
    if (script_state(conn->host) != HOST_CONN_OFFLOADED || sample->spoilt ||
        !conn->sim->plan.exact || !conn->sim->plan.impair[0].delay_us) {
        sample->pending = false;
    } else if (out && segment->len && !sample->pending) {
        sample->pending = true;
        sample->end_seq = end;
    } else if (!out && sample->pending && segment->ttl != JUDGE_FORGED_TTL) {
        sample->taken |= seq_after_eq(segment->ack, sample->end_seq);
    }
}

/* ---- counters ---- */

static bool
is_targets(const struct sim_conn *conn)
{
    enum host_conn_state state = script_state(conn->host);

    return state != HOST_CONN_HOST && state != HOST_CONN_QUEUED;
}

/* They do not agree on whose a segment is where frames are held back. */
static bool
is_exact(const struct sim *sim)
{
    return !sim->plan.loose && !sim->plan.team && !sim->plan.kill_at &&
           !sim->plan.impair[0].stall_frames;
}

/* Each of the segments has one of its own, and those of the target are the upper half (V-167). Some
 * are missing: of segments that it has written for the host stack. */
static void
check_ip_id(struct sim_conn *conn, const struct peer_segment *segment, uint32_t count, bool targets)
{
    struct sim *sim = conn->sim;
    uint16_t id = bytes_load_be16(segment->ip + 4);

    if (targets != id >> 15)
        sim_fail(sim, "conn %u: an IP identification of %04x, with the %s", conn->number, id,
                 targets ? "target" : "host");
    if (!targets)
        return;
    if (sim->next_ip_id && (id - sim->next_ip_id) & 0x4000)
        sim_fail(sim, "conn %u: an IP identification of %04x behind %04x", conn->number, id,
                 sim->next_ip_id - 1u);
    sim->next_ip_id = (uint16_t)(id + count) | 0x8000u;
}

static void
count_out(struct sim_conn *conn, const struct peer_segment *segment, uint32_t count)
{
    struct sim_counters *counters = &conn->sim->counters[segment->ipv6];
    bool targets = is_targets(conn);

    if (!segment->ipv6)
        check_ip_id(conn, segment, count, targets);
    if (!targets)
        return;
    counters->octets_out += (uint64_t)count * segment->headers + segment->len;
    if (segment->flags & PEER_RST)
        counters->resets++;
    if ((segment->len || segment->flags & PEER_FIN) && seq_before(segment->seq, conn->judge.sent))
        counters->again += count;
    else
        counters->out += count;
}

/* Whose it is while it moves is not told: the next owner gets what waits. Nor does a target take
 * what comes when it has asked to be rid of the connection. */
static void
count_in(const struct sim_conn *conn, const struct peer_segment *segment,
         struct sim_counters *counters)
{
    const struct script_conn *host = conn->host;
    const struct judge *judge = &conn->judge;
    bool over = host->ended || judge->reset_in || judge->may_reset ||
                (judge->fin_in && judge->fin_out && seq_after(judge->acked, judge->fin_out_seq));
    bool targets = host->down.state == HOST_CONN_OFFLOADED && !host->upload_wanted &&
                   !host->blocked;

    counters->in_most++;
    counters->octets_in_most += segment->headers + segment->len;
    if (!targets || over || segment->ttl == JUDGE_FORGED_TTL)
        return;
    counters->in_least++;
    counters->octets_in_least += segment->headers + segment->len;
}

void
sim_query_count(struct sim_conn *conn, bool out, const struct peer_segment *segment,
                uint32_t gso_bytes)
{
    struct sim_counters *counters = &conn->sim->counters[segment->ipv6];
    uint32_t count = gso_bytes && segment->len ? (segment->len + gso_bytes - 1) / gso_bytes : 1;

    if (!is_exact(conn->sim))
        return;
    measure(conn, out, segment);
    if (out)
        count_out(conn, segment, count);
    else
        count_in(conn, segment, counters);
}

static void
equal(const struct sim *sim, bool ipv6, const char *what, uint64_t told, uint64_t counted)
{
    if (told != counted)
        sim_fail(sim, "%s of IPv%u: the target says %llu, on the wire were %llu", what,
                 ipv6 ? 6 : 4, (unsigned long long)told, (unsigned long long)counted);
}

/* What is ahead of a gap goes from owner to owner, and each counts it. There are gaps where what
 * was lent is forgotten. */
static bool
goes_around(const struct sim *sim)
{
    bool around = !sim->plan.exact;

    for (unsigned i = 0; i < sim->plan.conns; i++)
        around |= sim->plan.conn[i].host.extended || sim->plan.conn[i].host.ack_returned;
    return around;
}

/* RFC 4022: connections that went from ESTABLISHED or CLOSE-WAIT to CLOSED, at most. */
static uint64_t
broken_off(const struct sim *sim, bool ipv6)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < sim->plan.conns; i++) {
        const struct sim_conn *conn = &sim->conns[i];
        count += conn->plan->host.ipv6 == ipv6 && conn->host_ended &&
                 conn->host_end != SCRIPT_CLOSED;
    }
    return count;
}

/* What the target hands to the regular path is as it came. */
static void
check_sums(const struct sim *sim)
{
    bool bad = sim->plan.corrupt_ppm;

    for (unsigned i = 0; i < sim->plan.conns; i++)
        bad |= sim->plan.conn[i].forgeries;
    if (!bad && script_stats(sim->stage.hosts[LEFT])->bad_checksums)
        sim_fail(sim, "segments whose checksum is wrong, and on the wire were none");
}

static void
ask(const struct sim *sim, NDIS_OID oid, void *stats, ULONG size)
{
    if (host_query_oid(script_binding(sim->stage.hosts[LEFT]), oid, stats, size))
        sim_fail(sim, "the counters are not told");
}

static void
in_range(const struct sim *sim, const char *what, uint64_t least, uint64_t told, uint64_t most)
{
    if (told < least || told > most)
        sim_fail(sim, "%s: the target says %llu, on the wire were %llu to %llu", what,
                 (unsigned long long)told, (unsigned long long)least, (unsigned long long)most);
}

static void
check_ip(const struct sim *sim, bool ipv6)
{
    const struct sim_counters *counters = &sim->counters[ipv6];
    IP_OFFLOAD_STATS stats;

    ask(sim, ipv6 ? OID_IP6_OFFLOAD_STATS : OID_IP4_OFFLOAD_STATS, &stats, sizeof stats);
    equal(sim, ipv6, "OutRequests", stats.OutRequests, counters->out + counters->again);
    equal(sim, ipv6, "OutOctets", stats.OutOctets, counters->octets_out);
    equal(sim, ipv6, "OutDiscards", stats.OutDiscards, 0);
    equal(sim, ipv6, "InDelivers and InDiscards", stats.InDelivers + stats.InDiscards,
          stats.InReceives);
    in_range(sim, "InReceives", counters->in_least, stats.InReceives, counters->in_most);
    in_range(sim, "InOctets", counters->octets_in_least, stats.InOctets, counters->octets_in_most);
}

void
sim_query_counters(struct sim *sim)
{
    for (int ipv6 = 0; ipv6 < 2 && is_exact(sim); ipv6++) {
        const struct sim_counters *counters = &sim->counters[ipv6];
        TCP_OFFLOAD_STATS stats;

        check_ip(sim, ipv6);
        ask(sim, ipv6 ? OID_TCP6_OFFLOAD_STATS : OID_TCP4_OFFLOAD_STATS, &stats, sizeof stats);
        equal(sim, ipv6, "OutSegments", stats.OutSegments, counters->out);
        equal(sim, ipv6, "RetransmittedSegments", stats.RetransmittedSegments, counters->again);
        equal(sim, ipv6, "OutResets", stats.OutResets, counters->resets);
        equal(sim, ipv6, "CurrentlyEstablished", stats.CurrentlyEstablished, 0);
        in_range(sim, "ResetEstablished", 0, stats.ResetEstablished, broken_off(sim, ipv6));
        in_range(sim, "InSegments", counters->in_least, stats.InSegments,
                 goes_around(sim) ? UINT64_MAX : counters->in_most);
    }
    check_sums(sim);
}
