/*
 * The bridge: frames of a connection that the target does not own pass through us as regular
 * frames, byte for byte: the kernel's from the TAP down through NDIS to the wire, the peer's from
 * NDIS up into the TAP. On the way we note sequence numbers and keep the kernel's frames until the
 * peer has acknowledged them, because when the bridge has seen everything that is unacknowledged,
 * the copies are the send chain of an initiate.
 *
 * Frames of flows we no longer know pass the same way: they were taken from kernel or peer and are
 * owed to the other.
 */
#include "base/log.h"
#include "host/linux/live/live.h"
#include "host/linux/stack.h"

#include <sys/uio.h>

#define FRAME_SLOT 2 /* of NET_BUFFER_LIST.ProtocolReserved: the frame under a regular NBL */
#define HEADER_BYTES 154u

void
live_frames_sent(NET_BUFFER_LIST *nbls)
{
    while (nbls) {
        NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbls);
        wire_buf_put(nbls->ProtocolReserved[FRAME_SLOT]);
        host_nbl_destroy(nbls);
        nbls = next;
    }
}

void
live_raw_out(struct live_port *port, struct wire_buf *buf)
{
    NET_BUFFER_LIST *nbl = host_nbl_create(port->stack->host, buf->data, buf->len, NULL, 0);

    if (!nbl)
        return; /* as if the network had lost it */
    nbl->ProtocolReserved[FRAME_SLOT] = wire_buf_get(buf);
    live_nbl_set_meta(nbl, &buf->meta, buf->len > 14 && buf->data[12] == 0x86);
    host_send_frames(port->binding, nbl);
}

/* The memory of an NBL's data as pieces; 0: more than max. */
size_t
live_nbl_pieces(NET_BUFFER_LIST *nbl, uint32_t skip, uint32_t len, struct iovec *pieces, size_t max)
{
    NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl);
    uint32_t offset = NET_BUFFER_CURRENT_MDL_OFFSET(nb) + skip;
    size_t count = 0;

    for (MDL *mdl = NET_BUFFER_CURRENT_MDL(nb); mdl && len; mdl = mdl->Next) {
        uint32_t here = MmGetMdlByteCount(mdl);
        if (offset >= here) {
            offset -= here;
            continue;
        }
        if (count == max)
            return 0;
        uint32_t take = here - offset < len ? here - offset : len;
        uint8_t *base = MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority);
        pieces[count++] = (struct iovec){base + offset, take};
        len -= take;
        offset = 0;
    }
    return count;
}

/* The headers of an NBL's frame in contiguous memory. */
static const uint8_t *
nbl_headers(NET_BUFFER_LIST *nbl, uint8_t storage[HEADER_BYTES], uint32_t *len)
{
    NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl);

    *len = NET_BUFFER_DATA_LENGTH(nb);
    return NdisGetDataBuffer(nb, *len < HEADER_BYTES ? *len : HEADER_BYTES, storage, 1, 0);
}

bool
live_nbl_key(NET_BUFFER_LIST *nbl, struct steer_key *key)
{
    uint8_t storage[HEADER_BYTES];
    uint32_t len;
    const uint8_t *frame = nbl_headers(nbl, storage, &len);

    return frame && live_frame_key(frame, len, false, key);
}

int
live_nbl_parse(NET_BUFFER_LIST *nbl, struct tcp_segment *segment, uint16_t *tcp_offset)
{
    uint8_t storage[HEADER_BYTES];
    uint32_t len;
    uint16_t payload;
    const uint8_t *frame = nbl_headers(nbl, storage, &len);

    return frame ? live_frame_parse(frame, len, 0, tcp_offset, &payload, segment) : -1;
}

/* What the target does not vouch for is added up: the kernel will do it, too, and nobody here may
 * believe a frame that it throws away. */
bool
live_nbl_intact(NET_BUFFER_LIST *nbl, uint16_t tcp_offset, uint32_t len)
{
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO said = {
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo)};
    uint8_t storage[HEADER_BYTES];
    uint32_t frame_len;
    struct iovec pieces[WIRE_MAX_PIECES];

    if (said.Receive.TcpChecksumSucceeded || said.Receive.TcpChecksumPartial)
        return true;
    const uint8_t *frame = nbl_headers(nbl, storage, &frame_len);
    size_t count = live_nbl_pieces(nbl, tcp_offset, len, pieces, WIRE_MAX_PIECES);
    return frame && count && live_frame_adds_up(frame, tcp_offset, len, pieces, count);
}

void
live_raw_in(struct live_port *port, NET_BUFFER_LIST *nbl)
{
    uint8_t storage[HEADER_BYTES];
    uint32_t len;
    const uint8_t *frame = nbl_headers(nbl, storage, &len);
    struct iovec pieces[WIRE_MAX_PIECES];
    struct wire_tx tx = {.pieces = pieces};

    if (!frame)
        return;
    live_nbl_get_meta(nbl, frame, len, &tx.meta);
    tx.piece_count = live_nbl_pieces(nbl, 0, len, pieces, WIRE_MAX_PIECES);
    if (tx.piece_count)
        wire_send(port->tap, &tx);
}

void
live_send_bare(struct live_conn *conn, const struct tcp_out *out, bool to_kernel)
{
    struct wire_buf *buf = wire_buf_create(WIRE_MAX_HEADER);

    if (!buf)
        return;
    buf->len = (uint32_t)live_frame_header(conn, out, to_kernel, buf->data, &buf->meta);
    if (to_kernel) {
        struct wire_tx tx = {.header = buf->data, .header_len = buf->len, .meta = buf->meta};
        wire_send(conn->port->tap, &tx);
    } else {
        live_raw_out(conn->port, buf);
    }
    wire_buf_put(buf);
}

void
live_drop_copies(struct live_conn *conn, uint32_t before_seq)
{
    list_for_each_safe(frame, &conn->copies, struct live_frame, copy_link) {
        if (seq_after(live_segment_end(&frame->segment), before_seq))
            break;
        list_del(&frame->copy_link);
        live_frame_put(frame);
    }
}

/* Keeps a frame of the kernel's in order of sequence. Retransmissions of what we have are not kept.
 */
static void
keep_copy(struct live_conn *conn, struct live_frame *frame)
{
    uint32_t seq = frame->segment.seq, end = live_segment_end(&frame->segment);
    struct list *after = conn->copies.prev;

    if (seq == end)
        return;
    while (after != &conn->copies) {
        struct live_frame *other = container_of(after, struct live_frame, copy_link);
        if (seq_before_eq(other->segment.seq, seq)) {
            if (seq_after_eq(live_segment_end(&other->segment), end))
                return;
            break;
        }
        after = after->prev;
    }
    live_frame_get(frame);
    list_insert(&frame->copy_link, after, after->next);
}

/* Bytes [from, to) are all in the copies. */
bool
live_copies_cover(const struct live_conn *conn, uint32_t from, uint32_t to)
{
    list_for_each(frame, &conn->copies, struct live_frame, copy_link) {
        if (seq_after_eq(from, to) || seq_after(frame->segment.seq, from))
            break;
        from = seq_max(from, live_segment_end(&frame->segment));
    }
    return seq_after_eq(from, to);
}

/* Noted when first seen, forwarded or not: while the hold looks for agreement, copies are what it
 * compares. */
static void
see_out(struct live_conn *conn, struct live_frame *frame)
{
    struct live_bridge *bridge = &conn->bridge;

    bridge->out_max = seq_max(bridge->out_max, live_segment_end(&frame->segment));
    if (frame->segment.has_timestamp) {
        bridge->out_tsval = frame->segment.tsval;
        bridge->out_tsval_seen = true;
    }
    if (conn->phase == LIVE_BRIDGE || conn->phase == LIVE_HOLD)
        keep_copy(conn, frame);
}

void
live_hold_out(struct live_conn *conn, struct live_frame *frame)
{
    if (conn->phase == LIVE_HOLD)
        see_out(conn, frame);
    live_frame_get(frame);
    list_add_tail(&conn->held, &frame->held_link);
}

void
live_drop_held(struct live_conn *conn)
{
    list_for_each_safe(frame, &conn->held, struct live_frame, held_link) {
        list_del(&frame->held_link);
        live_frame_put(frame);
    }
}

void
live_late_out(struct live_conn *conn, struct live_frame *frame)
{
    if (conn->spoken && frame->segment.has_timestamp)
        live_frame_restamp(frame, live_clock(conn), conn->peer_tsval);
    live_raw_out(conn->port, frame->buf);
}

/* Both sides have closed. What the kernel repeated before it heard so the peer would answer once
 * more, and what the peer repeats would find no socket: either way there would be a reset. */
static bool
is_over(const struct live_conn *conn, const struct tcp_segment *segment)
{
    return conn->phase == LIVE_RELEASE && live_kernel_gone(conn) && !(segment->flags & TCP_SYN);
}

void
live_bridge_out(struct live_conn *conn, struct live_frame *frame)
{
    const struct tcp_segment *segment = &frame->segment;
    struct live_bridge *bridge = &conn->bridge;

    if (is_over(conn, segment))
        return;
    see_out(conn, frame);
    bridge->out_forwarded = seq_max(bridge->out_forwarded, live_segment_end(segment));
    if (segment->flags & TCP_ACK) {
        uint32_t edge = segment->ack + ((uint32_t)segment->window << bridge->out_scale);
        bridge->out_ack = seq_max(bridge->out_ack, segment->ack);
        bridge->out_edge = seq_max(bridge->out_edge, edge);
    }
    live_late_out(conn, frame);
    if (segment->flags & TCP_RST && conn->phase == LIVE_BRIDGE)
        live_back_out(conn, HOSTSTACK_DIED_DURING_MOVE);
}

void
live_bridge_in(struct live_conn *conn, NET_BUFFER_LIST *nbl)
{
    struct live_bridge *bridge = &conn->bridge;
    struct tcp_segment segment;
    uint16_t tcp_offset;
    bool parsed = !live_nbl_parse(nbl, &segment, &tcp_offset);

    if (parsed && is_over(conn, &segment))
        return;
    live_raw_in(conn->port, nbl);
    if (!parsed || !live_nbl_intact(nbl, tcp_offset, segment.header_len + segment.payload_len))
        return;
    bridge->in_max = seq_max(bridge->in_max, live_segment_end(&segment));
    if (segment.flags & TCP_ACK && seq_before_eq(segment.ack, bridge->out_max)) {
        bridge->in_ack = seq_max(bridge->in_ack, segment.ack);
        live_drop_copies(conn, bridge->in_ack);
    }
    if (segment.flags & TCP_RST && conn->phase == LIVE_BRIDGE)
        live_back_out(conn, HOSTSTACK_DIED_DURING_MOVE);
}

void
live_hold_in(struct live_conn *conn, NET_BUFFER_LIST *nbl)
{
    NET_BUFFER_LIST_NEXT_NBL(nbl) = NULL;
    *conn->held_in.tail = nbl;
    conn->held_in.tail = &NET_BUFFER_LIST_NEXT_NBL(nbl);
}

void
live_pass_held_in(struct live_conn *conn)
{
    NET_BUFFER_LIST *nbls = conn->held_in.head;

    conn->held_in = (struct live_nbls){NULL, &conn->held_in.head};
    while (nbls) {
        NET_BUFFER_LIST *next = NET_BUFFER_LIST_NEXT_NBL(nbls);
        NET_BUFFER_LIST_NEXT_NBL(nbls) = NULL;
        live_bridge_in(conn, nbls);
        wire_flush(conn->port->tap);
        host_return_frames(conn->port->binding, nbls);
        nbls = next;
    }
}

void
live_pass_held_out(struct live_conn *conn)
{
    while (!list_empty(&conn->held)) { /* a reset passes the rest from within */
        struct live_frame *frame = list_first(&conn->held, struct live_frame, held_link);
        list_del(&frame->held_link);
        live_bridge_out(conn, frame);
        live_frame_put(frame);
    }
}
