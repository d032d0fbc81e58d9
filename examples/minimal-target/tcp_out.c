/*
 * TCP, going out. [SndUna, SndNxt) is on its way; a timer that expires goes back to SndUna and
 * starts again from there. With a closed window the same timer sends probes. (RFC 9293, 6298.)
 */
#include "target.h"

#include <sys/uio.h>

#define SHORTEST_RTO_MS 200u
#define LONGEST_RTO_MS 60000u

static void
store16(UCHAR *at, ULONG value)
{
    at[0] = (UCHAR)(value >> 8);
    at[1] = (UCHAR)value;
}

static void
store32(UCHAR *at, ULONG value)
{
    store16(at, value >> 16);
    store16(at + 2, value);
}

ULONG
pseudo_header(const UCHAR *source, const UCHAR *destination, ULONG tcp_length)
{
    ULONG sum = 6 + tcp_length;

    for (ULONG i = 0; i < 4; i += 2)
        sum += ((ULONG)source[i] << 8 | source[i + 1]) +
               ((ULONG)destination[i] << 8 | destination[i + 1]);
    return sum;
}

USHORT
checksum(ULONG sum, const UCHAR *bytes, ULONG length)
{
    ULONGLONG total = sum;

    for (; length > 1; bytes += 2, length -= 2)
        total += (ULONG)bytes[0] << 8 | bytes[1];
    if (length)
        total += (ULONG)bytes[0] << 8;
    while (total >> 16)
        total = (total & 0xffff) + (total >> 16);
    return (USHORT)~total;
}

ULONG
stamp(const struct conn *c)
{
    return (ULONG)(now_ms() / c->object.adapter->tick_ms) + (ULONG)c->stamp_delta;
}

/* ---- what we say about receiving ---- */

/* Everything that came in order; with ack = returned only what the driver above has given back. An
 * ACK never goes back behind the last one. */
ULONG
ack_number(const struct conn *c)
{
    ULONG ack = c->ack_returned && c->chunks ? c->chunks->seq : c->d.RcvNxt;

    return before(ack, c->acked) ? c->acked : ack;
}

/* Where the window may end: what is acknowledged and not delivered takes its room. With ack =
 * returned only an update moves it. */
static ULONG
wanted_edge(const struct conn *c)
{
    const struct chunk *chunk = c->chunks;
    ULONG edge;

    while (chunk && chunk->state != BUFFERED)
        chunk = chunk->next;
    edge = (chunk ? chunk->seq : c->d.RcvNxt) + c->cached.InitialRcvWnd;
    return c->ack_returned || before(edge, c->right_edge) ? c->right_edge : edge;
}

static ULONG
segment_size(const struct conn *c)
{
    ULONG mtu = path_of(c)->cached.PathMtu - IPV4 - 20, mss = c->constant.RemoteMss;

    mss = mss && mss < mtu ? mss : mtu;
    return c->constant.Flags & TCP_FLAG_TIMESTAMP_ENABLED ? mss - 12 : mss;
}

/* Only a step that is worth a segment is told. */
void
open_window(struct conn *c)
{
    ULONG more = wanted_edge(c) - c->right_edge;

    if (more >= 2 * segment_size(c) || (more && more >= c->cached.InitialRcvWnd / 2))
        c->ack_due = TRUE;
}

void
move_edge(struct conn *c)
{
    ULONG edge = ack_number(c) + c->cached.InitialRcvWnd;

    if (c->ack_returned && before(c->right_edge, edge))
        c->right_edge = edge;
    c->ack_due = TRUE;
}

/* ---- out ---- */

static ULONG
header_length(const struct conn *c)
{
    return ETHERNET + IPV4 + (c->constant.Flags & TCP_FLAG_TIMESTAMP_ENABLED ? 32 : 20);
}

static void
fill_tcp(struct conn *c, UCHAR *tcp, ULONG seq, ULONG flags, ULONG ack, ULONG edge)
{
    ULONG window = edge - ack;

    if (c->constant.Flags & TCP_FLAG_WINDOW_SCALING_ENABLED)
        window >>= c->constant.RcvWindScale;
    NdisZeroMemory(tcp, 20);
    NdisMoveMemory(tcp, &c->constant.LocalPort, 2);
    NdisMoveMemory(tcp + 2, &c->constant.RemotePort, 2);
    store32(tcp + 4, seq);
    store32(tcp + 8, ack);
    tcp[12] = 5 << 4;
    tcp[13] = (UCHAR)flags;
    store16(tcp + 14, window < 0xffff ? window : 0xffff);
    if (!(c->constant.Flags & TCP_FLAG_TIMESTAMP_ENABLED))
        return;
    tcp[12] = 8 << 4;
    store32(tcp + 20, 0x0101080a);
    store32(tcp + 24, stamp(c));
    store32(tcp + 28, c->d.TsRecent);
}

/* From addresses to the checksum of IP. The upper half of the identifiers is a target's. */
static void
fill_below(struct conn *c, UCHAR *frame, ULONG ip_length)
{
    static const UCHAR zero[6];
    struct adapter *a = c->object.adapter;
    const struct neighbor *neighbor = neighbor_of(c);
    const struct path *path = path_of(c);
    UCHAR *ip = frame + ETHERNET;

    NdisMoveMemory(frame, neighbor->cached.DlDestinationAddress, 6);
    NdisMoveMemory(frame + 6,
                   memcmp(neighbor->constant.DlSourceAddress, zero, 6)
                       ? neighbor->constant.DlSourceAddress
                       : wire_mac(a->wire),
                   6);
    store16(frame + 12, 0x0800);
    NdisZeroMemory(ip, IPV4);
    ip[0] = 0x45;
    ip[1] = c->cached.TosOrTrafficClass;
    store16(ip + 2, ip_length);
    store16(ip + 4, a->ip_id++ | 0x8000u);
    store16(ip + 6, 0x4000); /* do not fragment */
    ip[8] = c->cached.TtlOrHopLimit ? c->cached.TtlOrHopLimit : 64;
    ip[9] = 6;
    NdisMoveMemory(ip + 12, path->source, 4);
    NdisMoveMemory(ip + 16, path->destination, 4);
    store16(ip + 10, checksum(0, ip, IPV4));
}

/* Sends the payload that stands behind the room for the header in the adapter's frame. FALSE: the
 * wire does not take it. Sending one frame at a time is slow; it keeps the frame ours. */
static BOOLEAN
emit(struct conn *c, ULONG seq, ULONG flags, ULONG payload)
{
    struct adapter *a = c->object.adapter;
    const struct path *path = path_of(c);
    ULONG length = header_length(c) + payload, tcp_length = length - ETHERNET - IPV4;
    ULONG ack = ack_number(c), edge = wanted_edge(c);
    UCHAR *tcp = a->frame + ETHERNET + IPV4;
    struct iovec piece = {a->frame, length};
    struct wire_tx tx = {.pieces = &piece, .piece_count = 1};
    int error;

    fill_tcp(c, tcp, seq, flags, ack, edge);
    fill_below(c, a->frame, length - ETHERNET);
    store16(tcp + 16,
            checksum(pseudo_header(path->source, path->destination, tcp_length), tcp, tcp_length));
    error = wire_send(a->wire, &tx);
    wire_flush(a->wire);
    if (error)
        return FALSE;
    c->acked = ack;
    c->right_edge = edge;
    c->ack_due = FALSE;
    return TRUE;
}

/* A segment without data says the highest number we have used; the peer looks at it only if that is
 * in its window. */
static ULONG
plain_seq(const struct conn *c)
{
    ULONG edge = c->d.SndUna + c->d.SndWnd;

    return before(edge, c->d.SndMax) ? edge : c->d.SndMax;
}

void
send_reset(struct conn *c)
{
    emit(c, plain_seq(c), RST | ACK, 0);
}

static void
copy_stream(struct conn *c, ULONG seq, UCHAR *out, ULONG length)
{
    ULONG start = c->queue_seq;

    for (PNET_BUFFER_LIST nbl = c->sends.first; nbl && length; nbl = after(nbl)) {
        ULONG here = length_of(nbl), offset = seq - start, part;

        start += here;
        if (offset >= here)
            continue;
        part = here - offset < length ? here - offset : length;
        read_nbl(nbl, offset, out, part);
        seq += part;
        out += part;
        length -= part;
    }
}

/* Small segments wait while something is on its way: Nagle's algorithm, and the sender's half of
 * avoiding silly windows. */
static BOOLEAN
is_worth_it(const struct conn *c, ULONG length)
{
    if (length >= segment_size(c) || c->d.SndNxt == c->d.SndUna)
        return TRUE;
    if (c->d.SndNxt + length == c->end_seq)
        return !(c->cached.Flags & TCP_FLAG_NAGLING_ENABLED);
    return length >= c->d.MaxSndWnd / 2;
}

/* FALSE: nothing more may go. forced: a probe or a repetition, which goes whatever the window. */
static BOOLEAN
send_one(struct conn *c, BOOLEAN forced)
{
    TCP_OFFLOAD_STATE_DELEGATED *d = &c->d;
    LONG left = (LONG)(c->end_seq + (c->fin_wanted ? 1 : 0) - d->SndNxt);
    LONG room = (LONG)(d->SndUna + d->SndWnd - d->SndNxt);
    ULONG length, data, flags = ACK;
    BOOLEAN fin;

    room = forced && room < 1 ? 1 : room;
    left = left < room ? left : room;
    if (left <= 0)
        return FALSE;
    data = before(d->SndNxt, c->end_seq) ? c->end_seq - d->SndNxt : 0;
    length = data < (ULONG)left ? data : (ULONG)left;
    length = length < segment_size(c) ? length : segment_size(c);
    fin = c->fin_wanted && length == data && (ULONG)left > data;
    if (!forced && !fin && !is_worth_it(c, length))
        return FALSE;
    copy_stream(c, d->SndNxt, c->object.adapter->frame + header_length(c), length);
    flags |= (fin ? FIN : 0) | (length && length == data ? PSH : 0);
    if (!emit(c, d->SndNxt, flags, length))
        return FALSE;
    d->SndNxt += length + fin;
    if (before(d->SndMax, d->SndNxt))
        d->SndMax = d->SndNxt;
    if (fin && d->State == TcpConnectionEstablished)
        d->State = TcpConnectionFinWait1;
    else if (fin && d->State == TcpConnectionCloseWait)
        d->State = TcpConnectionLastAck;
    return TRUE;
}

/* ---- timers ---- */

static ULONG
rto_ms(const struct conn *c)
{
    ULONG shift = c->d.Retransmit.Count + c->d.SndWndProbeCount;
    ULONG rto = (c->d.SRtt / 8u + c->d.RttVar) * c->object.adapter->tick_ms;

    rto = c->d.SRtt ? rto : 1000;
    rto = rto > SHORTEST_RTO_MS ? rto : SHORTEST_RTO_MS;
    rto = shift < 10 ? rto << shift : LONGEST_RTO_MS;
    return rto < LONGEST_RTO_MS ? rto : LONGEST_RTO_MS;
}

/* One timer of NDIS for both deadlines. */
static void
arm(struct conn *c)
{
    ULONGLONG due = c->retransmit_ms < c->push_ms ? c->retransmit_ms : c->push_ms, now = now_ms();
    LARGE_INTEGER wait;

    if (due == NEVER) {
        NdisCancelTimerObject(c->timer);
        return;
    }
    wait.QuadPart = due > now ? -(LONGLONG)(due - now) * 10000 : 0; /* units of 100 ns */
    NdisSetTimerObject(c->timer, wait, 0, NULL);
}

static void
schedule(struct conn *c)
{
    BOOLEAN waiting = before(c->d.SndUna, c->end_seq + (c->fin_wanted ? 1 : 0));

    if (c->d.State == TcpConnectionFinWait2)
        waiting = TRUE; /* its timer is that one, too */
    if (!waiting)
        c->retransmit_ms = NEVER;
    else if (c->retransmit_ms == NEVER)
        c->retransmit_ms = now_ms() +
                           (c->d.State == TcpConnectionFinWait2 ? FIN_WAIT_2_MS : rto_ms(c));
    arm(c);
}

void
segments_out(struct conn *c)
{
    if (c->phase != OPEN)
        return;
    while (send_one(c, FALSE))
        continue;
    if (c->ack_due)
        emit(c, plain_seq(c), ACK, 0);
    schedule(c);
}

static BOOLEAN
gives_up(const struct conn *c)
{
    if (c->d.State == TcpConnectionFinWait2)
        return TRUE;
    if (c->cached.MaxRT)
        return c->cached.MaxRT != TCP_OFFLOAD_MAX_RT_UNLIMITED && c->d.TotalRT >= c->cached.MaxRT;
    return c->d.Retransmit.Count >= c->object.adapter->most_retransmissions;
}

VOID
on_timer(PVOID SystemSpecific1, PVOID FunctionContext, PVOID SystemSpecific2, PVOID SystemSpecific3)
{
    struct conn *c = FunctionContext;

    if (c->phase == OPEN && now_ms() >= c->retransmit_ms) {
        if (gives_up(c)) {
            if (c->d.State == TcpConnectionFinWait2)
                c->d.State = TcpConnectionClosed;
            retrieve(c, TimeoutExpiration);
        } else {
            c->d.TotalRT += rto_ms(c) / c->object.adapter->tick_ms;
            c->d.Retransmit.Count++;
            c->d.SndNxt = c->d.SndUna;
            c->retransmit_ms = NEVER;
            send_one(c, TRUE);
        }
    }
    service(c);
}
