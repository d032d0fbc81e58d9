/*
 * From a connection to the wire: the engine says which bytes and which TCP header, here the link
 * and IP headers go in front and the payload is gathered from the send queue, without a copy.
 * Superframes of up to 64 KiB leave with the size in which the wire cuts them; the checksum field
 * holds the pseudo-header sum and the wire completes it.
 *
 * IPv4: DF, never a fragment, IP ID in the upper half (the lower is the host stack's: V-167 …
 * V-169); a superframe of n segments takes n ids, because the wire counts on. Link and IP variables
 * are read for each frame, so an update of a neighbor reaches every connection at once.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/log.h"
#include "target/soft/conn.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>

#define ETHERNET_HEADER 14u
#define ETHERTYPE_TAG 0x8100u
#define VLAN_TAG 4u
#define PROTOCOL_TCP 6u
#define DEFAULT_TTL 64u
#define IP_ID_FIRST 0x8000u

/* V-174; CFI is 0. What the peer's priority was nobody knows. */
static uint16_t
tag_of(const struct soft_conn *conn, bool from_peer)
{
    unsigned priority = from_peer ? 0 : conn->cached.UserPriority & 7u;

    return (uint16_t)(priority << 13 | soft_path_neighbor(soft_conn_path(conn))->constant.VlanId);
}

static size_t
write_ethernet(const struct soft_conn *conn, bool from_peer, uint8_t *bytes)
{
    const struct soft_neighbor *neighbor = soft_path_neighbor(soft_conn_path(conn));
    const uint8_t *own = soft_neighbor_own(neighbor);
    const uint8_t *other = neighbor->cached.DlDestinationAddress;

    memcpy(bytes, from_peer ? own : other, 6);
    memcpy(bytes + 6, from_peer ? other : own, 6);
    uint16_t tag = tag_of(conn, from_peer);
    size_t len = ETHERNET_HEADER;
    if (tag) {
        bytes_store_be16(bytes + 12, ETHERTYPE_TAG);
        bytes_store_be16(bytes + 14, tag);
        len += VLAN_TAG;
    }
    bytes_store_be16(bytes + len - 2, conn->key.ipv6 ? 0x86dd : 0x0800);
    return len;
}

/* The first of `segments` successive ids, all in the upper half. */
static uint16_t
take_ip_ids(struct soft_adapter *adapter, unsigned segments)
{
    uint16_t first = adapter->ip_id;

    if (first < IP_ID_FIRST || first + segments > 0x10000u)
        first = IP_ID_FIRST;
    adapter->ip_id = (uint16_t)(first + segments);
    return first;
}

/* The field's last two bits are the engine's where ECN was negotiated, the host stack's otherwise.
 */
static uint8_t
traffic_class(const struct soft_conn *conn, uint8_t ecn)
{
    uint8_t tos = conn->cached.TosOrTrafficClass;

    return conn->tcp.config.ecn ? (uint8_t)((tos & ~3u) | ecn) : tos;
}

static size_t
write_ipv4(const struct soft_conn *conn, uint32_t tcp_len, unsigned segments, bool from_peer,
           uint8_t ecn, uint8_t *ip)
{
    const TCP_OFFLOAD_STATE_CACHED *cached = &conn->cached;

    ip[0] = 0x45;
    ip[1] = traffic_class(conn, ecn);
    bytes_store_be16(ip + 2, (uint16_t)(20 + tcp_len));
    bytes_store_be16(ip + 4, take_ip_ids(conn->object.adapter, segments));
    bytes_store_be16(ip + 6, 0x4000);
    ip[8] = cached->TtlOrHopLimit ? cached->TtlOrHopLimit : DEFAULT_TTL;
    ip[9] = PROTOCOL_TCP;
    bytes_store_be16(ip + 10, 0);
    memcpy(ip + 12, from_peer ? conn->key.peer : conn->key.local, 4);
    memcpy(ip + 16, from_peer ? conn->key.local : conn->key.peer, 4);
    bytes_store_be16(ip + 10, checksum_of(ip, 20));
    return 20;
}

static size_t
write_ipv6(const struct soft_conn *conn, uint32_t tcp_len, bool from_peer, uint8_t ecn, uint8_t *ip)
{
    const TCP_OFFLOAD_STATE_CACHED *cached = &conn->cached;

    bytes_store_be32(ip, 6u << 28 | (uint32_t)traffic_class(conn, ecn) << 20 | cached->FlowLabel);
    bytes_store_be16(ip + 4, (uint16_t)tcp_len);
    ip[6] = PROTOCOL_TCP;
    ip[7] = cached->TtlOrHopLimit ? cached->TtlOrHopLimit : DEFAULT_TTL;
    memcpy(ip + 8, from_peer ? conn->key.peer : conn->key.local, 16);
    memcpy(ip + 24, from_peer ? conn->key.local : conn->key.peer, 16);
    return 40;
}

size_t
soft_write_headers(const struct soft_conn *conn, uint32_t tcp_len, unsigned segments,
                   bool from_peer, uint8_t ecn, uint8_t *bytes)
{
    size_t len = write_ethernet(conn, from_peer, bytes);

    if (conn->key.ipv6)
        return len + write_ipv6(conn, tcp_len, from_peer, ecn, bytes + len);
    return len + write_ipv4(conn, tcp_len, segments, from_peer, ecn, bytes + len);
}

static uint16_t
pseudo_sum(const struct soft_conn *conn, uint32_t tcp_len)
{
    struct checksum sum = {.sum = 0};

    if (conn->key.ipv6)
        checksum_add_pseudo_v6(&sum, conn->key.local, conn->key.peer, PROTOCOL_TCP, tcp_len);
    else
        checksum_add_pseudo_v4(&sum, conn->key.local, conn->key.peer, PROTOCOL_TCP, tcp_len);
    return checksum_folded(&sum);
}

static size_t
write_segment(const struct soft_conn *conn, const struct tcp_out *out, uint8_t *bytes,
              struct wire_meta *meta)
{
    bool large = out->segment_size && out->len > out->segment_size;
    unsigned segments = large ? (out->len + out->segment_size - 1) / out->segment_size : 1;
    size_t tcp_header = 20u + out->option_len;
    uint32_t tcp_len = (uint32_t)tcp_header + out->len;
    size_t tcp = soft_write_headers(conn, tcp_len, segments, false, out->ecn, bytes);

    tcp_write_header(out, bytes_load_be16(&conn->key.local_port),
                     bytes_load_be16(&conn->key.peer_port), bytes + tcp);
    bytes_store_be16(bytes + tcp + 16, pseudo_sum(conn, tcp_len));
    *meta = (struct wire_meta){.csum_partial = true,
                               .header_len = (uint16_t)(tcp + tcp_header),
                               .csum_start = (uint16_t)tcp,
                               .csum_offset = 16};
    if (large) {
        meta->gso_type = conn->key.ipv6 ? WIRE_GSO_TCPV6 : WIRE_GSO_TCPV4;
        meta->gso_size = out->segment_size;
    }
    return tcp + tcp_header;
}

/* 0; -EAGAIN: the wire is blocked, nothing was taken; another error: the segment is lost. */
static int
transmit(struct soft_conn *conn, const struct tcp_out *out)
{
    struct soft_adapter *adapter = conn->object.adapter;
    uint8_t header[WIRE_MAX_HEADER];
    struct iovec pieces[WIRE_MAX_PIECES], copied;
    struct wire_tx tx = {.header = header, .pieces = pieces};
    uint32_t link = ETHERNET_HEADER + (tag_of(conn, false) ? VLAN_TAG : 0);
    bool bounced = false;

    tx.header_len = write_segment(conn, out, header, &tx.meta);
    if (out->len) {
        tx.piece_count = soft_send_gather(conn, out->seq, out->len, pieces, WIRE_MAX_PIECES);
        if (!tx.piece_count) {
            bounced = soft_send_copy(conn, out->seq, out->len, adapter->bounce);
            if (!bounced)
                return -EINVAL;
            copied = (struct iovec){adapter->bounce, out->len};
            tx.pieces = &copied;
            tx.piece_count = 1;
        }
    }
    int error = wire_send(adapter->wire, &tx);
    if (error != -EAGAIN)
        soft_stats_sent(conn, out, (uint32_t)tx.header_len - link, error);
    if (error)
        return error;
    conn->sent_flush = adapter->flushes;
    if (bounced)
        soft_wire_flush(adapter);
    return 0;
}

static void
block(struct soft_conn *conn)
{
    if (list_empty(&conn->blocked))
        list_add_tail(&conn->object.adapter->blocked, &conn->blocked);
}

/* True: the wire takes more. */
static bool
send_out(struct soft_conn *conn, const struct tcp_out *out)
{
    int error = transmit(conn, out);

    if (error == -EAGAIN) {
        conn->object.adapter->wire_blocked = true;
        if (&conn->stalled_out != out)
            conn->stalled_out = *out;
        conn->stalled = true;
        block(conn);
        return false;
    }
    if (error)
        log_debug("soft conn %p: segment %u + %u not sent: %d", (void *)conn, out->seq, out->len,
                  error);
    conn->stalled = false;
    return true;
}

/* The path takes less than when it was made: lost, like what had left; the engine sends all that
 * is outstanding again. */
static bool
too_long(const struct soft_conn *conn, const struct tcp_out *out)
{
    uint32_t payload = out->segment_size && out->segment_size < out->len ? out->segment_size
                                                                         : out->len;

    return payload + out->option_len > conn->tcp.mss_base;
}

/* What the wire had refused; its bytes may have been acknowledged, or ended, in the meantime. */
static bool
send_stalled(struct soft_conn *conn)
{
    const struct tcp_out *out = &conn->stalled_out;

    if (!conn->stalled)
        return true;
    if (out->len &&
        (list_empty(&conn->sends) || seq_before(out->seq, conn->send_seq) || too_long(conn, out))) {
        conn->stalled = false;
        return true;
    }
    if (!send_out(conn, out))
        return false;
    if (out->len || out->flags & TCP_FIN)
        tcp_on_blocked(&conn->tcp, soft_now_us(conn->object.adapter));
    return true;
}

void
soft_output(struct soft_conn *conn)
{
    struct soft_adapter *adapter = conn->object.adapter;
    struct tcp_out out;

    if (conn->phase != SOFT_OPEN && conn->phase != SOFT_ABORTED)
        return;
    if (adapter->wire_blocked) {
        block(conn);
        return;
    }
    if (!send_stalled(conn))
        return;
    while (tcp_next(&conn->tcp, soft_now_us(adapter), TCP_MAX_BURST, &out)) {
        soft_neighbor_check(conn);
        if (!send_out(conn, &out))
            return;
    }
}
