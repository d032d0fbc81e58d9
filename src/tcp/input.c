/*
 * A segment arrives: the steps of RFC 9293 section 3.10.7.4 in their order, each a function that
 * says whether the segment goes on to the next. Two deviations. The validity of the ACK is checked
 * before, and acted upon after, the URG step, because a segment with urgent data goes to somebody
 * else unprocessed. And an exact SYN ends the connection here instead of being challenged: the
 * former owner takes it back and decides.
 *
 * A blind attacker gets little: an RST counts only at rcv_nxt; elsewhere in the window one
 * challenge ACK per validation period answers it, and the peer must then show signs of life
 * (timer.c).
 *
 * What is not acceptable otherwise is answered up to eight times in 10 ms (RFC 5961, section 7), a
 * bare ACK only as the first, for two confused peers would answer each other for ever. What an
 * honest peer waits for an answer to is never among the unanswered: data, a SYN, and what is old
 * enough to be a probe or a keepalive, are past the limit answered together when the 10 ms are
 * over. Source: RFC 9293, RFC 7323 section 5 (PAWS), RFC 5961.
 */
#include "tcp/private.h"

enum {
    SYN_CHALLENGE_US = 3000000, /* at most one challenge for SYNs in that time */
    STRAY_US = 10000,           /* at most STRAY_MOST answers at once to what is not acceptable */
    STRAY_MOST = 8
};

struct arrival {
    const struct tcp_segment *segment;
    struct tcp_chunk *chunk;
    uint64_t now_us;
    uint32_t end;      /* behind payload, SYN and FIN */
    uint32_t segments; /* on the wire */
    unsigned events;
};

static void
answer_stray(struct tcp_conn *conn, const struct arrival *in)
{
    bool bare = in->end == in->segment->seq;

    if (conn->flags & TCP_CONN_ACK_NOW)
        return;
    if (conn->stray_us == TCP_NEVER || in->now_us - conn->stray_us >= STRAY_US) {
        conn->stray_us = in->now_us;
        conn->stray_count = 0;
    }
    if (conn->stray_count < (bare ? 1 : STRAY_MOST)) {
        conn->stray_count++;
        conn->flags |= TCP_CONN_ACK_NOW;
    } else if (!bare || seq_before(in->segment->seq, conn->last_ack_sent)) {
        conn->delack_deadline_us = tcp_min_us(conn->delack_deadline_us, conn->stray_us + STRAY_US);
    }
}

/* Not acceptable: the peer is told where we are. */
static bool
refuse(struct tcp_conn *conn, struct arrival *in, bool answer)
{
    in->events |= TCP_EV_INVALID;
    if (answer && !(in->segment->flags & TCP_RST))
        answer_stray(conn, in);
    return false;
}

static bool
check_timestamp(struct tcp_conn *conn, struct arrival *in)
{
    const struct tcp_segment *segment = in->segment;

    if (!conn->config.timestamps || segment->flags & TCP_RST)
        return true;
    if (!segment->has_timestamp) /* a SYN is of a connection that may have none */
        return segment->flags & TCP_SYN || refuse(conn, in, false);
    if (!tcp_timestamp_newer(conn, segment->tsval, in->now_us))
        return refuse(conn, in, true);
    return true;
}

static bool
check_sequence(struct tcp_conn *conn, struct arrival *in)
{
    const struct tcp_segment *segment = in->segment;

    if (seq_before(in->end, conn->last_ack_sent)) {
        /* half of all numbers away its begin is none of the past */
        if (segment->payload_len && seq_before(segment->seq, conn->last_ack_sent)) {
            tcp_note_duplicate(conn, segment->seq, segment->seq + segment->payload_len);
            in->events |= TCP_EV_DUPLICATE;
        }
        return refuse(conn, in, true);
    }
    if (seq_after(segment->seq, tcp_right_edge(conn)))
        return refuse(conn, in, true);
    if (conn->config.timestamps && !segment->payload_len &&
        !(segment->flags & (TCP_RST | TCP_SYN)) &&
        seq_before_eq(segment->seq, conn->last_ack_sent)) {
        conn->ts_recent = segment->tsval; /* RFC 7323, section 4.3 */
        conn->ts_recent_us = in->now_us;
    }
    return true;
}

static bool
check_reset(struct tcp_conn *conn, struct arrival *in)
{
    if (!(in->segment->flags & TCP_RST))
        return true;
    /* RFC 1337: both are through; a peer that has forgotten it resets what is old to it, and what
     * the application has not read yet would be lost */
    if (conn->state == TCP_TIME_WAIT)
        return false;
    /* who has forgotten the connection answers with what we acknowledge: where that lags behind the
     * data, a challenge brings nothing else */
    if (in->segment->seq == conn->rcv_nxt || in->segment->seq == conn->rcv_ack) {
        tcp_die(conn, "reset by the peer");
        in->events |= TCP_EV_RESET;
        return false;
    }
    in->events |= TCP_EV_INVALID;
    if (!(conn->flags & TCP_CONN_RST_CHALLENGED)) {
        conn->flags |= TCP_CONN_RST_CHALLENGED;
        tcp_start_validation(conn, in->now_us);
    }
    return false;
}

static bool
check_syn(struct tcp_conn *conn, struct arrival *in)
{
    if (!(in->segment->flags & TCP_SYN))
        return true;
    if (in->segment->seq == conn->rcv_nxt) {
        tcp_die(conn, "SYN from the peer");
        in->events |= TCP_EV_SYN;
        return false;
    }
    in->events |= TCP_EV_INVALID;
    if (conn->challenge_us == TCP_NEVER || in->now_us - conn->challenge_us >= SYN_CHALLENGE_US) {
        conn->challenge_us = in->now_us;
        tcp_start_validation(conn, in->now_us);
    }
    return false;
}

static bool
check_ack(struct tcp_conn *conn, struct arrival *in)
{
    if (!(in->segment->flags & TCP_ACK))
        return refuse(conn, in, false);
    if (!tcp_ack_valid(conn, in->segment))
        return refuse(conn, in, true);
    return true;
}

static bool
check_urgent(struct tcp_conn *conn, struct arrival *in)
{
    if (!(in->segment->flags & TCP_URG) || seq_before_eq(in->end, conn->rcv_nxt))
        return true;
    in->events |= TCP_EV_URGENT;
    return false;
}

static bool
process_ack(struct tcp_conn *conn, struct arrival *in)
{
    if (conn->keepalive_probe_count)
        in->events |= TCP_EV_PROGRESS;
    tcp_on_acceptable(conn, in->now_us);
    in->events |= tcp_ack_input(conn, in->segment, in->now_us);
    return conn->state != TCP_CLOSED;
}

/* Out of order, to a peer that counts duplicate ACKs: one for each segment. */
static void
owe_duplicates(struct tcp_conn *conn, const struct arrival *in)
{
    if (!conn->config.sack)
        conn->ack_repeat = tcp_saturate_u8(tcp_min(conn->ack_repeat + in->segments, 64));
}

/* True if all of the payload was taken or had been before: a FIN behind it counts. */
static bool
process_text(struct tcp_conn *conn, struct arrival *in)
{
    const struct tcp_segment *segment = in->segment;
    struct tcp_chunk *chunk = in->chunk;
    uint32_t end = segment->seq + segment->payload_len, edge = tcp_right_edge(conn);

    if (!segment->payload_len)
        return true;
    if (conn->flags & TCP_CONN_FIN_SEEN)
        edge = seq_min(edge, conn->fin_rcv_seq);
    if (!chunk || seq_before_eq(edge, segment->seq)) {
        refuse(conn, in, true);
        return false;
    }
    tcp_ecn_input(conn, segment);
    *chunk = (struct tcp_chunk){
        .seq = segment->seq,
        .len = seq_min(end, edge) - segment->seq,
        .tsval = segment->tsval,
        .push = segment->flags & TCP_PSH,
    };
    conn->pending_segments = (uint16_t)tcp_min(conn->pending_segments + in->segments, UINT16_MAX);
    in->events |= tcp_reassemble(conn, chunk);
    if (!(in->events & TCP_EV_READY) && in->events & TCP_EV_KEPT)
        owe_duplicates(conn, in);
    if (seq_after(end, edge))
        conn->flags |= TCP_CONN_ACK_NOW;
    return seq_before_eq(end, edge);
}

static void
note_fin(struct tcp_conn *conn, const struct arrival *in)
{
    uint32_t fin_seq = in->segment->seq + in->segment->payload_len;

    if (conn->flags & TCP_CONN_FIN_SEEN) {
        conn->flags |= TCP_CONN_ACK_NOW;
        return;
    }
    if (seq_before(fin_seq, conn->rcv_nxt) ||
        (conn->ooo_tail && seq_after(conn->ooo_tail->seq + conn->ooo_tail->len, fin_seq)))
        return; /* a FIN inside the data is a lie */
    conn->fin_rcv_seq = fin_seq;
    conn->flags |= TCP_CONN_FIN_SEEN;
    if (fin_seq != conn->rcv_nxt)
        conn->flags |= TCP_CONN_ACK_NOW;
}

static void
process_fin(struct tcp_conn *conn, struct arrival *in)
{
    if (!(conn->flags & TCP_CONN_FIN_SEEN) || conn->flags & TCP_CONN_FIN_RECEIVED ||
        conn->rcv_nxt != conn->fin_rcv_seq)
        return;
    conn->flags |= TCP_CONN_FIN_RECEIVED;
    conn->rcv_nxt++;
    in->events |= TCP_EV_FIN;
    switch (conn->state) {
    case TCP_ESTABLISHED:
        tcp_set_state(conn, TCP_CLOSE_WAIT, "FIN from the peer");
        break;
    case TCP_FIN_WAIT_1:
        tcp_set_state(conn, TCP_CLOSING, "FIN from the peer");
        break;
    case TCP_FIN_WAIT_2:
        tcp_set_state(conn, TCP_TIME_WAIT, "FIN from the peer");
        conn->fin_wait_2_deadline_us = TCP_NEVER;
        break;
    default:
        break;
    }
}

unsigned
tcp_on_segment(struct tcp_conn *conn, const struct tcp_segment *segment, struct tcp_chunk *chunk,
               uint64_t now_us)
{
    struct arrival in = {segment, chunk, now_us, .events = 0};

    if (conn->state == TCP_CLOSED || conn->flags & TCP_CONN_SILENT)
        return 0;
    in.end = segment->seq + segment->payload_len + !!(segment->flags & TCP_SYN) +
             !!(segment->flags & TCP_FIN);
    in.segments = tcp_segments(segment->payload_len, segment->segment_size);
    conn->counters.segments_in += in.segments;
    if (!check_timestamp(conn, &in) || !check_sequence(conn, &in) || !check_reset(conn, &in) ||
        !check_syn(conn, &in) || !check_ack(conn, &in) || !check_urgent(conn, &in) ||
        !process_ack(conn, &in))
        return in.events;
    if (process_text(conn, &in) && segment->flags & TCP_FIN)
        note_fin(conn, &in);
    process_fin(conn, &in);
    return in.events;
}
