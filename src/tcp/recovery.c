/*
 * Loss: noticing it and deciding what goes again. Three pointers tell the whole story. In fast
 * recovery rtx_seq runs from snd_una to lost_seq over the holes of the scoreboard, while snd_nxt
 * keeps sending new data. After a timeout, and for an adopted connection, snd_nxt itself lies below
 * snd_max and everything between that is not SACKed goes again. Without SACK there is one hole, the
 * first segment, and duplicate ACKs stand for what has left the network.
 *
 * Two additions repair what RFC 6675 leaves to the timeout. When data sent *after* the first hole
 * was resent is SACKed, that retransmission was lost too. And the tail probe: if its answer still
 * leaves holes, they are losses, however few segments lie above.
 *
 * When D-SACKs report everything resent as needless, the network had only reordered: the windows
 * return to what they were and more duplicates are waited for from now on. Source: RFC 6675, RFC
 * 6582, RFC 3042, RFC 8985 section 7.
 */
#include "tcp/private.h"

#define MAX_DUP_THRESHOLD 64u

uint32_t
tcp_pipe(const struct tcp_conn *conn)
{
    uint32_t flight = conn->snd_max - conn->snd_una;

    if (conn->snd_nxt != conn->snd_max)
        return tcp_unsacked(conn, conn->snd_una, conn->snd_nxt);
    if (!conn->config.sack)
        return flight - tcp_min(flight, conn->dup_ack_count * conn->mss);
    if (conn->flags & TCP_CONN_RECOVERY)
        return tcp_unsacked(conn, seq_max(conn->lost_seq, conn->snd_una), conn->snd_max) +
               tcp_unsacked(conn, conn->snd_una, conn->rtx_seq);
    return conn->sack_count ? tcp_unsacked(conn, conn->snd_una, conn->snd_max) : flight;
}

static uint32_t
sacked_end(const struct tcp_conn *conn)
{
    return conn->sack_count ? conn->sacked[conn->sack_count - 1].end : conn->snd_una;
}

static uint32_t
last_sacked_start(const struct tcp_conn *conn)
{
    return conn->sack_count ? conn->sacked[conn->sack_count - 1].start : conn->snd_una;
}

/* The first segment counts as lost, at least. */
static void
lose_head(struct tcp_conn *conn)
{
    uint32_t end = seq_min(conn->snd_una + conn->mss, conn->snd_max);

    if (conn->sack_count)
        end = seq_min(end, conn->sacked[0].start);
    conn->lost_seq = seq_max(conn->lost_seq, end);
}

static void
resend_head(struct tcp_conn *conn)
{
    conn->rtx_seq = conn->snd_una;
    conn->rtx_mark = conn->snd_max;
    conn->flags |= TCP_CONN_RTX_DUE;
}

static void
enter(struct tcp_conn *conn, uint32_t lost_seq)
{
    tcp_cc_on_loss(conn, conn->snd_max - conn->snd_una);
    if (conn->snd_nxt != conn->snd_max) { /* resending already: start over */
        conn->snd_nxt = conn->snd_una;
        conn->flags |= TCP_CONN_RTX_DUE;
        return;
    }
    conn->counters.fast_recoveries++;
    conn->flags |= TCP_CONN_RECOVERY | TCP_CONN_UNDO;
    conn->undo_seq = conn->snd_una;
    conn->undo_bytes = 0;
    conn->recover_seq = conn->snd_max;
    conn->lost_seq = lost_seq;
    lose_head(conn);
    resend_head(conn);
}

void
tcp_recovery_resume(struct tcp_conn *conn, uint32_t recover_seq)
{
    if (conn->snd_nxt != conn->snd_max) /* all of it goes again anyway */
        return;
    conn->flags |= TCP_CONN_RECOVERY;
    conn->recover_seq = recover_seq;
    conn->lost_seq = seq_max(conn->snd_una, tcp_sack_lost_below(conn));
    lose_head(conn);
    resend_head(conn);
}

static bool
loss_detected(const struct tcp_conn *conn)
{
    bool many = conn->dup_ack_count >= conn->dup_threshold;

    if (conn->flags & (TCP_CONN_RECOVERY | TCP_CONN_LOSS) || conn->snd_nxt != conn->snd_max)
        return false;
    if (!conn->config.sack)
        return many && tcp_outstanding(conn) && seq_after(conn->snd_una, conn->recover_seq);
    if (!conn->sack_count)
        return false;
    return many || seq_after(tcp_sack_lost_below(conn), conn->snd_una);
}

/* An ACK of some, not all, of what was outstanding when recovery began. */
static void
partial_ack(struct tcp_conn *conn)
{
    conn->rtx_seq = seq_max(conn->rtx_seq, conn->snd_una);
    conn->lost_seq = seq_max(conn->lost_seq, conn->snd_una);
    conn->rtx_mark = conn->snd_max;
    if (!conn->config.sack) {
        lose_head(conn);
        conn->flags |= TCP_CONN_RTX_DUE;
    } else if (conn->sack_count) {
        lose_head(conn);
    }
}

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

static void
advance(struct tcp_conn *conn, uint32_t advanced)
{
    uint32_t in_loss = conn->flags & (TCP_CONN_RECOVERY | TCP_CONN_LOSS);

    if (in_loss && seq_after_eq(conn->snd_una, conn->recover_seq))
        conn->flags &= ~(TCP_CONN_RECOVERY | TCP_CONN_LOSS | TCP_CONN_RTX_DUE);
    else if (in_loss & TCP_CONN_RECOVERY)
        partial_ack(conn);
    else if (!in_loss && seq_after(conn->snd_una, conn->recover_seq))
        conn->recover_seq = conn->snd_una - 1; /* keeps up, or comparisons would wrap */
    forget_duplicates(conn, advanced);
}

static void
feed(struct tcp_conn *conn)
{
    uint32_t overtaken = (conn->dup_threshold - 1u) * conn->mss;

    conn->lost_seq = seq_max(conn->lost_seq, tcp_sack_lost_below(conn));
    if (seq_after(conn->rtx_seq, conn->snd_una) &&
        seq_diff(sacked_end(conn), conn->rtx_mark) > (int32_t)overtaken)
        resend_head(conn);
}

/* The answer to a tail probe. True: what is still missing is lost. */
static bool
tail_answered(const struct tcp_conn *conn, uint32_t advanced, uint32_t *lost_seq)
{
    *lost_seq = conn->snd_una;
    if (!(conn->flags & TCP_CONN_TAIL_SENT) || !tcp_outstanding(conn))
        return false;
    if (!conn->config.sack)
        return advanced && seq_before(conn->snd_una, conn->tail_seq);
    *lost_seq = last_sacked_start(conn);
    return conn->sack_count && seq_after_eq(sacked_end(conn), conn->tail_seq);
}

unsigned
tcp_recovery_on_ack(struct tcp_conn *conn, uint32_t advanced, bool duplicate, bool news)
{
    uint32_t lost_seq;
    bool answered = tail_answered(conn, advanced, &lost_seq);

    if (advanced)
        advance(conn, advanced);
    else if (duplicate)
        conn->dup_ack_count++;
    if (advanced || news)
        conn->flags &= ~TCP_CONN_TAIL_SENT;
    if (conn->flags & TCP_CONN_RECOVERY) {
        if (answered)
            conn->lost_seq = seq_max(conn->lost_seq, lost_seq);
        if (news)
            feed(conn);
        return 0;
    }
    if (answered && !(conn->flags & TCP_CONN_LOSS))
        enter(conn, lost_seq);
    else if (loss_detected(conn))
        enter(conn, conn->config.sack ? tcp_sack_lost_below(conn) : conn->snd_una);
    else
        return 0;
    return TCP_EV_WINDOW;
}

unsigned
tcp_recovery_on_dsack(struct tcp_conn *conn, struct tcp_range range)
{
    uint32_t bytes = range.end - range.start;

    /* a superframe repeats its options in every segment: count a report once */
    if (range.start == conn->last_dsack.start && range.end == conn->last_dsack.end)
        return 0;
    conn->last_dsack = range;
    if (!(conn->flags & TCP_CONN_UNDO) || seq_before(range.start, conn->undo_seq) ||
        seq_after(range.end, conn->recover_seq) || !conn->undo_bytes)
        return 0;
    conn->undo_bytes -= tcp_min(conn->undo_bytes, bytes);
    if (conn->undo_bytes)
        return 0;
    conn->flags &= ~(TCP_CONN_UNDO | TCP_CONN_RECOVERY | TCP_CONN_RTX_DUE);
    tcp_cc_undo(conn);
    conn->dup_threshold = (uint8_t)tcp_min(2u * conn->dup_threshold, MAX_DUP_THRESHOLD);
    return TCP_EV_WINDOW;
}

void
tcp_recovery_on_timeout(struct tcp_conn *conn)
{
    bool first = conn->retransmit_count == 0;

    tcp_cc_on_timeout(conn, conn->snd_max - conn->snd_una, first);
    conn->flags &= ~(TCP_CONN_RECOVERY | TCP_CONN_TAIL_DUE | TCP_CONN_UNDO);
    conn->dup_threshold = conn->config.duplicate_ack_threshold;
    conn->flags |= TCP_CONN_LOSS | TCP_CONN_RTX_DUE | TCP_CONN_TAIL_SENT;
    conn->tail_seq = conn->recover_seq = conn->snd_max;
    conn->snd_nxt = conn->snd_una;
    conn->dup_ack_count = 0;
    if (!first)
        conn->sack_count = 0; /* the peer may have reneged (RFC 2018, section 8) */
}

void
tcp_recovery_on_tail(struct tcp_conn *conn)
{
    conn->counters.tail_probes++;
    conn->tail_seq = conn->snd_nxt;
    if (conn->flags & TCP_CONN_LOSS) {
        conn->snd_nxt = conn->snd_una;
        conn->flags |= TCP_CONN_RTX_DUE;
    } else if (conn->flags & TCP_CONN_RECOVERY) {
        lose_head(conn);
        resend_head(conn);
    } else if (conn->sack_count && sacked_end(conn) == conn->snd_max) {
        enter(conn, last_sacked_start(conn)); /* the end has arrived, long ago */
    } else {
        conn->flags |= TCP_CONN_TAIL_DUE;
    }
}
