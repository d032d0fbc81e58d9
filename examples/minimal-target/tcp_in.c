/*
 * TCP, coming in. What continues the stream is taken; everything else is dropped and acknowledged,
 * so that the peer sends it again. (RFC 9293; 7323 for timestamps, 5961 for resets and SYNs.)
 */
#include "target.h"

static ULONG
load16(const UCHAR *at)
{
    return (ULONG)at[0] << 8 | at[1];
}

static ULONG
load32(const UCHAR *at)
{
    return load16(at) << 16 | load16(at + 2);
}

/* RFC 7323: the value to echo is that of the segment which our last ACK was waiting for. */
static void
read_stamp(struct conn *c, const UCHAR *tcp, ULONG header, ULONG seq)
{
    ULONG at = 20, size;

    for (; at < header && tcp[at]; at += size) { /* 0 ends the options, 1 fills */
        size = tcp[at] == 1 ? 1 : at + 1 < header ? tcp[at + 1] : 0;
        if (!size || (size == 1 && tcp[at] != 1) || at + size > header)
            return;
        if (tcp[at] != 8 || size != 10 || before(c->acked, seq))
            continue;
        c->d.TsRecent = load32(tcp + at + 2);
        c->stamped_ms = now_ms();
    }
}

static void
take_window(struct conn *c, ULONG seq, ULONG ack, ULONG window)
{
    TCP_OFFLOAD_STATE_DELEGATED *d = &c->d;

    if (before(seq, d->SendWL1) && ack == d->SndUna)
        return; /* older than what we know */
    if (c->constant.Flags & TCP_FLAG_WINDOW_SCALING_ENABLED)
        window <<= c->constant.SndWindScale;
    if (!d->SndWnd && (window || d->SndNxt != d->SndUna)) { /* it opens, or answers a probe */
        d->SndWndProbeCount = window ? 0 : d->SndWndProbeCount + (d->SndWndProbeCount < 10);
        d->Retransmit.Count = 0;
        d->SndNxt = d->SndUna;
        c->retransmit_ms = NEVER;
    }
    d->SendWL1 = before(seq, d->SendWL1) ? d->SendWL1 : seq;
    d->SndWnd = window;
    d->MaxSndWnd = window > d->MaxSndWnd ? window : d->MaxSndWnd;
}

static void
take_ack(struct conn *c, ULONG ack)
{
    TCP_OFFLOAD_STATE_DELEGATED *d = &c->d;

    if (!before(d->SndUna, ack))
        return;
    d->SndUna = ack;
    if (before(d->SndNxt, ack))
        d->SndNxt = ack;
    d->Retransmit.Count = d->DupAckCount = 0;
    d->TotalRT = 0;
    c->retransmit_ms = NEVER;
    neighbor_of(c)->heard_ms = now_ms();
    if (!c->fin_wanted || ack != c->end_seq + 1)
        return;
    if (d->State == TcpConnectionFinWait1)
        d->State = TcpConnectionFinWait2;
    else if (d->State == TcpConnectionClosing)
        d->State = TcpConnectionTimeWait;
    else if (d->State == TcpConnectionLastAck)
        d->State = TcpConnectionClosed;
}

static void
take_data(struct conn *c, ULONG seq, const UCHAR *bytes, ULONG length, ULONG flags)
{
    ULONG old = c->d.RcvNxt - seq, room = c->right_edge - c->d.RcvNxt;
    struct chunk *chunk;

    if (length || (flags & FIN) || before(seq, c->d.RcvNxt))
        c->ack_due = TRUE; /* whatever becomes of it */
    if (before(c->d.RcvNxt, seq) || old > length || c->fin_received)
        return; /* a gap, or nothing new */
    bytes += old;
    length -= old;
    if (length > room) {
        length = room;
        flags &= ~(ULONG)FIN;
    }
    chunk = length ? buffer(c, length, (flags & PSH) != 0) : NULL;
    if (length && !chunk)
        return; /* as if it had been lost */
    if (chunk)
        NdisMoveMemory(chunk->start, bytes, length);
    c->d.RcvNxt += length;
    c->fin_received = (flags & FIN) != 0;
}

static void
on_reset(struct conn *c)
{
    c->phase = ABORTED;
    c->d.State = TcpConnectionClosed;
    c->object.adapter->up.NdisTcpOffloadEventHandler(c->object.handle, TcpIndicateAbort, 0);
    fail_all(c, NDIS_STATUS_REQUEST_ABORTED);
}

void
segment_in(struct conn *c, const UCHAR *tcp, ULONG length)
{
    ULONG header = length >= 20 ? (tcp[12] >> 4) * 4u : 0;
    ULONG seq, ack, flags, window;

    if (header < 20 || header > length)
        return;
    seq = load32(tcp + 4);
    ack = load32(tcp + 8);
    flags = tcp[13];
    window = load16(tcp + 14);
    if (flags & (RST | SYN)) {
        if (seq == c->d.RcvNxt && flags & RST) {
            on_reset(c);
        } else if (seq == c->d.RcvNxt) {
            c->d.State = TcpConnectionClosed;
            retrieve(c, UploadRequested);
        } else if (before(c->d.RcvNxt, seq) && before(seq, c->right_edge) && !c->challenged) {
            c->ack_due = c->challenged = TRUE; /* if it is meant, it comes again with that number */
        }
        return;
    }
    c->challenged = FALSE;
    if (!(flags & ACK) || before(c->d.SndMax, ack)) {
        c->ack_due = TRUE;
        return;
    }
    length -= header;
    if (flags & URG && !before(c->d.RcvNxt, seq) && before(c->d.RcvNxt, seq + length)) {
        /* The chimney has no urgent data. */
        retrieve(c, ReceivedUrgentData);
        return;
    }
    if (c->constant.Flags & TCP_FLAG_TIMESTAMP_ENABLED)
        read_stamp(c, tcp, header, seq);
    if (!before(ack, c->d.SndUna)) {
        take_window(c, seq, ack, window); /* which counts from ack */
        take_ack(c, ack);
    }
    take_data(c, seq, tcp + header, length, flags);
    if (c->d.State == TcpConnectionFinWait2)
        c->retransmit_ms = now_ms() + FIN_WAIT_2_MS;
}
