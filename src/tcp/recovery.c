/*
 * Loss: noticing it and deciding what goes again. With SACK what is missing is lost when what was
 * sent later has arrived (rack.c), and the lost marks go again, lowest first, whatever phase the
 * connection is in. Without SACK there is one hole, the first segment, duplicate ACKs stand for
 * what has left the network, and lost_seq and rtx_seq say whether it has to go and has gone. After
 * a timeout, and for an adopted connection, snd_nxt lies below snd_max and everything between that
 * is not SACKed goes again.
 *
 * The tail probe: after two round trips of silence new data, or the last segment once more, brings
 * an answer that shows what is missing. If it was the retransmission that arrived, and no D-SACK
 * says that the first copy had too, it has repaired a loss, and the window is reduced for it.
 *
 * When D-SACKs report everything resent as needless, the network had only reordered: the windows
 * return to what they were, and reordering is reckoned with from now on. Source: RFC 8985, RFC
 * 6675, RFC 6582, RFC 3042.
 */
#include "tcp/private.h"

#define LIMITED_TRANSMIT 2u /* segments beyond the window outside of a recovery (RFC 3042) */
#define IN_LOSS (TCP_CONN_RECOVERY | TCP_CONN_LOSS)

uint32_t
tcp_pipe(const struct tcp_conn *conn)
{
    uint32_t flight = conn->snd_nxt - conn->snd_una, gone = conn->dup_ack_count;

    if (!(conn->flags & TCP_CONN_RECOVERY))
        gone = tcp_min(gone, LIMITED_TRANSMIT);
    if (!conn->config.sack && conn->snd_nxt == conn->snd_max)
        return flight - tcp_min(flight, gone * conn->mss);
    return tcp_unsacked(conn, conn->snd_una, conn->snd_nxt) - tcp_rack_lost_bytes(conn);
}

uint32_t
tcp_delivered_seq(const struct tcp_conn *conn)
{
    uint32_t flight = conn->snd_max - conn->snd_una;

    if (!conn->config.sack)
        return conn->snd_una + tcp_min(flight, conn->dup_ack_count * conn->mss);
    return conn->snd_max - tcp_unsacked(conn, conn->snd_una, conn->snd_max);
}

/* The first segment counts as lost, and goes whatever the window says. */
static void
lose_head(struct tcp_conn *conn)
{
    uint32_t end = seq_min(conn->snd_una + conn->mss, conn->snd_max);

    conn->flags |= TCP_CONN_RTX_DUE;
    if (conn->config.sack) {
        tcp_rack_lose(conn, end);
        return;
    }
    conn->lost_seq = end;
    conn->rtx_seq = conn->snd_una;
}

static void
enter(struct tcp_conn *conn)
{
    uint32_t flight = conn->snd_max - conn->snd_una;

    tcp_cc_on_loss(conn, flight);
    tcp_prr_start(conn, flight);
    conn->counters.fast_recoveries++;
    conn->flags |= TCP_CONN_RECOVERY | TCP_CONN_UNDO | TCP_CONN_RTX_DUE;
    conn->flags |= TCP_CONN_TAIL_REDUCED; /* for what a probe repairs, too */
    conn->undo_seq = conn->snd_una;
    conn->undo_bytes = 0;
    conn->recover_seq = conn->undo_end_seq = conn->snd_max;
}

void
tcp_recovery_stop(struct tcp_conn *conn)
{
    /* the threshold may be of smaller segments, or carried in: one must always be able to go */
    if (conn->flags & TCP_CONN_RECOVERY)
        conn->cwnd = tcp_max(conn->ssthresh, conn->mss);
    conn->flags &= ~(IN_LOSS | TCP_CONN_RTX_DUE);
}

void
tcp_recovery_resume(struct tcp_conn *conn, uint32_t recover_seq)
{
    if (conn->snd_nxt != conn->snd_max) /* all of it goes again anyway */
        return;
    conn->flags |= TCP_CONN_RECOVERY;
    conn->recover_seq = recover_seq;
    tcp_prr_start(conn, conn->snd_max - conn->snd_una);
    lose_head(conn);
    if (conn->sack_count)
        tcp_rack_lose(conn, conn->sacked[conn->sack_count - 1].start);
    tcp_prr_on_ack(conn, 0);
}

/* ---- acknowledgements ---- */

/* Without SACK a partial ACK of n segments takes back n - 1 duplicates (RFC 6582, section 3.2,
 * deflating). */
static void
forget_duplicates(struct tcp_conn *conn, uint32_t advanced)
{
    uint32_t segments = advanced / conn->mss;

    if (!(conn->flags & TCP_CONN_RECOVERY) || conn->config.sack)
        conn->dup_ack_count = 0;
    else if (segments)
        conn->dup_ack_count -= tcp_min(conn->dup_ack_count, segments - 1);
}

/* A window behind the recovery every report of a needless copy has come: what is reported now, the
 * network has copied. */
static void
forget_undo(struct tcp_conn *conn)
{
    uint32_t window = conn->undo_end_seq - conn->undo_seq;

    if (conn->flags & TCP_CONN_UNDO && seq_after(conn->snd_una, conn->undo_end_seq + window))
        conn->flags &= ~TCP_CONN_UNDO;
}

static void
advance(struct tcp_conn *conn, uint32_t advanced)
{
    uint32_t in_loss = conn->flags & IN_LOSS;

    if (in_loss && seq_after_eq(conn->snd_una, conn->recover_seq)) {
        tcp_recovery_stop(conn);
        tcp_rack_on_recovered(conn);
    } else if (in_loss & TCP_CONN_RECOVERY && !conn->config.sack) {
        lose_head(conn); /* a partial ACK */
    } else if (!in_loss && seq_after(conn->snd_una, conn->recover_seq)) {
        conn->recover_seq = conn->snd_una - 1; /* keeps up, or comparisons would wrap */
    }
    forget_duplicates(conn, advanced);
    forget_undo(conn);
}

/* Without SACK the answer to a tail probe: some, not all, arrived, so the next segment did not. */
static bool
classic_loss(const struct tcp_conn *conn, bool answered)
{
    if (conn->flags & IN_LOSS || !tcp_outstanding(conn))
        return false;
    if (answered)
        return true;
    return conn->snd_nxt == conn->snd_max && conn->dup_ack_count >= conn->dup_threshold &&
           seq_after(conn->snd_una, conn->recover_seq);
}

static unsigned
judge_classic(struct tcp_conn *conn, bool answered)
{
    if (!classic_loss(conn, answered))
        return 0;
    if (conn->snd_nxt != conn->snd_max) { /* resending already: start over */
        tcp_cc_on_loss(conn, conn->snd_max - conn->snd_una);
        conn->snd_nxt = conn->snd_una;
        conn->flags |= TCP_CONN_RTX_DUE;
        return TCP_EV_WINDOW;
    }
    enter(conn);
    lose_head(conn);
    return TCP_EV_WINDOW;
}

/* Time, or news, may have made out more as lost. */
static unsigned
judge(struct tcp_conn *conn, uint64_t now_us)
{
    uint32_t start, end;

    if (conn->sack_count || conn->flags & IN_LOSS || conn->reo_deadline_us != TCP_NEVER)
        tcp_rack_detect(conn, now_us);
    if (conn->flags & IN_LOSS || !tcp_rack_next_lost(conn, &start, &end))
        return 0;
    enter(conn);
    return TCP_EV_WINDOW;
}

/* The probe was a retransmission: which of the two copies has arrived? */
static unsigned
resolve_tail(struct tcp_conn *conn, const struct tcp_ack_news *news)
{
    if (!(conn->flags & TCP_CONN_TAIL_OPEN) || seq_before(conn->snd_una, conn->tail_seq))
        return 0;
    if (conn->snd_una == conn->tail_seq && !news->dsack && !news->repeated)
        return 0; /* the second may still come */
    conn->flags &= ~TCP_CONN_TAIL_OPEN;
    if (news->dsack) /* it was too early */
        conn->flags |= TCP_CONN_UNMEASURED;
    if (news->dsack || news->repeated || conn->flags & (IN_LOSS | TCP_CONN_TAIL_REDUCED))
        return 0;
    conn->flags &= ~TCP_CONN_UNDO;
    tcp_cc_on_loss(conn, news->flight);
    return TCP_EV_WINDOW;
}

unsigned
tcp_recovery_on_ack(struct tcp_conn *conn, const struct tcp_ack_news *news, uint64_t now_us)
{
    bool sack = conn->config.sack;
    bool answered = !sack && conn->flags & TCP_CONN_TAIL_SENT && news->advanced &&
                    seq_before(conn->snd_una, conn->tail_seq);
    unsigned events = resolve_tail(conn, news);

    if (news->advanced)
        advance(conn, news->advanced);
    else if (news->duplicate || news->sacked)
        conn->dup_ack_count++;
    if (news->advanced || news->sacked)
        conn->flags &= ~TCP_CONN_TAIL_SENT;
    events |= sack ? judge(conn, now_us) : judge_classic(conn, answered);
    if (conn->flags & TCP_CONN_RECOVERY)
        tcp_prr_on_ack(conn, tcp_delivered_seq(conn) - news->delivered_seq);
    return events;
}

unsigned
tcp_recovery_on_dsack(struct tcp_conn *conn, struct tcp_range range)
{
    uint32_t bytes = range.end - range.start;

    /* a superframe repeats its options in every segment: count a report once */
    if (range.start == conn->last_dsack.start && range.end == conn->last_dsack.end)
        return 0;
    conn->last_dsack = range;
    if (conn->flags & TCP_CONN_TAIL_OPEN && range.end == conn->tail_seq)
        return 0; /* of a probe: that is what it is for, and no recovery sent it */
    tcp_rack_on_dsack(conn);
    if (!(conn->flags & TCP_CONN_UNDO) || seq_before(range.start, conn->undo_seq) ||
        seq_after(range.end, conn->undo_end_seq) || !conn->undo_bytes)
        return 0;
    conn->undo_bytes -= tcp_min(conn->undo_bytes, bytes);
    if (conn->undo_bytes)
        return 0;
    tcp_recovery_stop(conn);
    tcp_rack_forgive(conn);
    tcp_cc_undo(conn);
    conn->flags &= ~TCP_CONN_UNDO;
    conn->flags |= TCP_CONN_REORDERING;
    return TCP_EV_WINDOW;
}

/* ---- timers ---- */

unsigned
tcp_recovery_on_reordering(struct tcp_conn *conn, uint64_t now_us)
{
    unsigned events = judge(conn, now_us);

    if (conn->flags & TCP_CONN_RECOVERY)
        tcp_prr_on_ack(conn, 0);
    return events;
}

void
tcp_recovery_on_timeout(struct tcp_conn *conn)
{
    bool first = conn->retransmit_count == 0, reduced = conn->flags & TCP_CONN_RECOVERY;

    tcp_cc_on_timeout(conn, conn->snd_max - conn->snd_una, first && !reduced);
    conn->flags &= ~(TCP_CONN_RECOVERY | TCP_CONN_TAIL_DUE | TCP_CONN_UNDO | TCP_CONN_TAIL_OPEN);
    conn->flags |= TCP_CONN_LOSS | TCP_CONN_RTX_DUE | TCP_CONN_TAIL_SENT;
    conn->tail_seq = conn->recover_seq = conn->snd_max;
    conn->snd_nxt = conn->snd_una;
    conn->dup_ack_count = 0;
    tcp_rtt_by_echo(conn, conn->snd_una);
    tcp_rack_forgive(conn);
    conn->reo_deadline_us = TCP_NEVER;
    if (!first)
        conn->sack_count = 0; /* the peer may have reneged (RFC 2018, section 8) */
}

void
tcp_recovery_on_tail(struct tcp_conn *conn)
{
    conn->counters.tail_probes++;
    if (conn->flags & TCP_CONN_LOSS) {
        conn->tail_seq = conn->snd_nxt;
        conn->snd_nxt = conn->snd_una;
        conn->flags |= TCP_CONN_RTX_DUE;
        tcp_rack_forgive(conn);
    } else if (conn->flags & TCP_CONN_RECOVERY) {
        conn->tail_seq = conn->snd_nxt;
        lose_head(conn);
    } else {
        conn->flags |= TCP_CONN_TAIL_DUE;
    }
}
