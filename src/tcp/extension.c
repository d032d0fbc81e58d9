/*
 * What a connection knows beyond the documented state, for the case that both its owners agree to
 * pass it on: what the peer holds out of order, how far a recovery has come, congestion
 * notification, the shortest round trip, and the place on CUBIC's curve. Nothing here is needed for
 * correctness. Without it the next owner learns the scoreboard from the next SACK, may reduce the
 * window a second time for the same losses, and takes the threshold for what the last reduction
 * left of the window (congestion.c).
 *
 * When something was sent does not move: clocks differ. Source: RFC 2018, RFC 3168, RFC 6675, RFC
 * 9438.
 */
#include "tcp/private.h"

#include <errno.h>
#include <string.h>

#define MAX_RTT_US (24ull * 3600 * 1000000)

void
tcp_capture_extension(const struct tcp_conn *conn, uint64_t now_us, struct tcp_extension *out)
{
    *out = (struct tcp_extension){
        .version = TCP_EXTENSION_VERSION,
        .sack_count = conn->sack_count,
        .recovering = conn->flags & TCP_CONN_RECOVERY,
        .ecn_echo = conn->flags & TCP_CONN_ECHO_CE,
        .ecn_cwr = conn->flags & TCP_CONN_CWR_DUE,
        .reordering = conn->flags & TCP_CONN_REORDERING,
        .ecn_reacted = conn->flags & TCP_CONN_ECN_REACTED,
        .recover_seq = conn->recover_seq,
        .ecn_seq = conn->ecn_seq,
        .min_rtt_us = tcp_min_rtt_us(conn, now_us),
        .cubic = conn->cubic,
    };
    memcpy(out->sacked, conn->sacked, conn->sack_count * sizeof(*out->sacked));
}

static bool
scoreboard_valid(const struct tcp_conn *conn, const struct tcp_extension *in)
{
    uint32_t above = conn->snd_una; /* a range starts behind this: a hole lies before each */

    if (in->sack_count > TCP_SACK_RANGES || (in->sack_count && !conn->config.sack))
        return false;
    for (unsigned i = 0; i < in->sack_count; i++) {
        const struct tcp_range *range = &in->sacked[i];
        if (!seq_after(range->start, above) || !seq_after(range->end, range->start) ||
            seq_after(range->end, conn->snd_max))
            return false;
        above = range->end;
    }
    return true;
}

static bool
extension_valid(const struct tcp_conn *conn, const struct tcp_extension *in)
{
    if (in->version != TCP_EXTENSION_VERSION || !scoreboard_valid(conn, in))
        return false;
    if (in->recovering && (seq_before_eq(in->recover_seq, conn->snd_una) ||
                           seq_after(in->recover_seq, conn->snd_max)))
        return false;
    if ((in->ecn_echo || in->ecn_cwr || in->ecn_reacted) && !conn->config.ecn)
        return false;
    if (in->ecn_reacted &&
        (seq_before(in->ecn_seq, conn->snd_una) || seq_after(in->ecn_seq, conn->snd_max)))
        return false;
    return in->min_rtt_us <= MAX_RTT_US && tcp_cubic_valid(&in->cubic);
}

int
tcp_restore_extension(struct tcp_conn *conn, const struct tcp_extension *in, uint64_t now_us)
{
    if (!extension_valid(conn, in))
        return -EINVAL;
    conn->sack_count = (uint8_t)in->sack_count;
    memcpy(conn->sacked, in->sacked, in->sack_count * sizeof(*in->sacked));
    if (in->recovering)
        tcp_recovery_resume(conn, in->recover_seq);
    conn->flags |= in->reordering ? TCP_CONN_REORDERING : 0;
    conn->flags |= in->ecn_echo ? TCP_CONN_ECHO_CE : 0;
    conn->flags |= in->ecn_cwr ? TCP_CONN_CWR_DUE : 0;
    conn->flags |= in->ecn_reacted ? TCP_CONN_ECN_REACTED : 0;
    conn->ecn_seq = in->ecn_seq;
    if (in->ecn_cwr && !tcp_outstanding(conn) && conn->snd_wnd &&
        conn->rtx_deadline_us != TCP_NEVER)
        conn->ecn_wait_us = conn->rtx_deadline_us; /* then that is what the timer runs for */
    if (in->min_rtt_us)
        tcp_note_min_rtt(conn, in->min_rtt_us, now_us);
    if (in->cubic.w_max || in->cubic.origin)
        conn->cubic = in->cubic;
    conn->cubic.last_us = TCP_NEVER;
    return 0;
}
