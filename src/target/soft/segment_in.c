/*
 * From the wire to a connection: Ethernet, IPv4 or IPv6, TCP, 4-tuple. Everything that is not
 * plainly a segment of an adopted connection goes up the regular path, uncounted and untouched:
 * other protocols, IP options and extension headers, fragments, more than one tag, bad headers and
 * checksums, unknown 4-tuples, connections being terminated, frames for another station, segments
 * of one that is CLOSED or aborted, a SYN in TIME_WAIT (chimney 2, 6.4, 10; V-116). Header checks
 * come before the lookup, the checksum of the payload after it: what is not ours is not summed.
 *
 * What comes behind the segment that ended it, or after a mandatory Retrieve, waits: it goes up
 * when the host stack has heard of the end, behind the terminate if it is to take the connection
 * back. Before, it would forward it.
 *
 * A connection in a VLAN takes segments with its own tag only, one without a VLAN takes any
 * (V-175). What has its addresses and ports, but another tag or none, is dropped where one VLAN is
 * configured for the adapter; otherwise other VLANs share the adapter and may use the same
 * addresses, so the frame is somebody else's and takes the regular path.
 *
 * A superframe is one segment with a segment_size. Its checksum is partial and not verified: it
 * never crossed a medium.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "target/soft/conn.h"

#include <string.h>

#define ETHERNET_HEADER 14u
#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_IPV6 0x86ddu
#define ETHERTYPE_TAG 0x8100u
#define VLAN_TAG 4u
#define PROTOCOL_TCP 6u
#define FRAGMENT_HEADER 44u

/* Where things are in a frame. */
struct place {
    bool ipv6;
    unsigned vlan;         /* 0: no tag, or one with a priority alone */
    uint32_t ip, tcp, end; /* offsets; end: behind the IP packet */
};

/* Behind a link header of `link` bytes. False: nothing was found. */
typedef bool (*find_fn)(const struct wire_buf *buf, uint32_t link, struct place *place);

static bool
find_ipv4(const struct wire_buf *buf, uint32_t link, struct place *place)
{
    const uint8_t *ip = buf->data + link;
    uint32_t left = buf->len - link, len;

    if (left < 20 || ip[0] != 0x45) /* another version, or options */
        return false;
    len = bytes_load_be16(ip + 2);
    if (len < 40 || len > left)
        return false;
    if (bytes_load_be16(ip + 6) & 0x3fff) /* a fragment */
        return false;
    if (!ip[8] || ip[9] != PROTOCOL_TCP || checksum_of(ip, 20))
        return false;
    *place = (struct place){.ip = link, .tcp = link + 20, .end = link + len};
    return true;
}

static bool
find_ipv6(const struct wire_buf *buf, uint32_t link, struct place *place)
{
    const uint8_t *ip = buf->data + link;
    uint32_t left = buf->len - link, len;

    if (left < 40 || ip[0] >> 4 != 6)
        return false;
    len = bytes_load_be16(ip + 4);
    if (ip[6] != PROTOCOL_TCP || !ip[7] || len < 20 || len > left - 40)
        return false;
    *place = (struct place){.ipv6 = true, .ip = link, .tcp = link + 40, .end = link + 40 + len};
    return true;
}

/* Behind the link header and at most one tag. */
static bool
find(const struct wire_buf *buf, find_fn in_ipv4, find_fn in_ipv6, struct place *place)
{
    uint32_t link = ETHERNET_HEADER;
    unsigned vlan = 0;
    bool found;

    if (buf->len < ETHERNET_HEADER + VLAN_TAG)
        return false;
    if (bytes_load_be16(buf->data + 12) == ETHERTYPE_TAG) {
        vlan = bytes_load_be16(buf->data + 14) & 0xfffu;
        link += VLAN_TAG;
    }
    switch (bytes_load_be16(buf->data + link - 2)) {
    case ETHERTYPE_IPV4:
        found = in_ipv4(buf, link, place);
        break;
    case ETHERTYPE_IPV6:
        found = in_ipv6(buf, link, place);
        break;
    default:
        return false;
    }
    place->vlan = vlan;
    return found;
}

static bool
find_tcp(const struct wire_buf *buf, struct place *place)
{
    return find(buf, find_ipv4, find_ipv6, place);
}

static void
read_key(const struct wire_buf *buf, const struct place *place, struct soft_key *key)
{
    const uint8_t *ip = buf->data + place->ip, *tcp = buf->data + place->tcp;
    size_t len = place->ipv6 ? 16 : 4;
    const uint8_t *source = ip + (place->ipv6 ? 8 : 12);

    key->ipv6 = place->ipv6;
    memcpy(key->peer, source, len);
    memcpy(key->local, source + len, len);
    memcpy(&key->peer_port, tcp, 2);
    memcpy(&key->local_port, tcp + 2, 2);
}

static bool
checksum_good(const struct wire_buf *buf, const struct place *place)
{
    const uint8_t *ip = buf->data + place->ip;
    uint32_t len = place->end - place->tcp;
    struct checksum sum = {.sum = 0};

    if (buf->meta.csum_valid || buf->meta.csum_partial)
        return true;
    if (place->ipv6)
        checksum_add_pseudo_v6(&sum, ip + 8, ip + 24, PROTOCOL_TCP, len);
    else
        checksum_add_pseudo_v4(&sum, ip + 12, ip + 16, PROTOCOL_TCP, len);
    checksum_add(&sum, buf->data + place->tcp, len);
    return !checksum_value(&sum);
}

static bool
parse_tcp(const struct wire_buf *buf, const struct place *place, struct tcp_segment *segment)
{
    uint32_t len = place->end - place->tcp;

    if (tcp_parse(buf->data + place->tcp, len, segment) || segment->header_len > len)
        return false;
    segment->payload_len = len - segment->header_len;
    segment->ecn = place->ipv6 ? buf->data[place->ip + 1] >> 4 & 3 : buf->data[place->ip + 1] & 3;
    segment->segment_size = buf->meta.gso_type != WIRE_GSO_NONE ? buf->meta.gso_size : 0;
    return true;
}

/* RFC 3168, 6.1.3: said a second time, behind newer segments, CE would ask for what CWR has
 * answered, and CWR would answer what it had not heard. */
void
soft_segment_forget_congestion(struct wire_buf *buf)
{
    struct place place;

    if (!find_tcp(buf, &place))
        return;
    uint8_t *ip = buf->data + place.ip, *tcp = buf->data + place.tcp;
    uint8_t *field = ip + 1, shift = place.ipv6 ? 4 : 0;
    uint16_t before = bytes_load_be16(ip), flags = bytes_load_be16(tcp + 12);
    if ((*field >> shift & 3) == TCP_CE)
        *field ^= (uint8_t)((TCP_CE ^ TCP_ECT0) << shift);
    if (!place.ipv6)
        bytes_store_be16(ip + 10,
                         checksum_adjust16(bytes_load_be16(ip + 10), before, bytes_load_be16(ip)));
    tcp[13] &= (uint8_t)~TCP_CWR;
    if (!buf->meta.csum_partial) /* else it is the pseudo header's */
        bytes_store_be16(tcp + 16, checksum_adjust16(bytes_load_be16(tcp + 16), flags,
                                                     bytes_load_be16(tcp + 12)));
}

/* Kept for the host stack: it goes up after the terminate. */
static enum soft_fate
hold(struct soft_conn *conn, struct wire_buf *buf)
{
    if (conn->held_count == SOFT_HELD_MAX)
        return SOFT_DISCARDED; /* lost, like on any wire */
    struct soft_frame *frame = soft_frame_create(conn->object.adapter, buf, 0);
    if (!frame)
        return SOFT_DISCARDED;
    list_add_tail(&conn->held, &frame->link);
    conn->held_count++;
    return SOFT_HELD;
}

/* The target has stopped with it, or is about to say so. */
static bool
has_stopped(const struct soft_conn *conn)
{
    return conn->phase == SOFT_STOPPED ||
           conn->events & (TCP_EV_URGENT | TCP_EV_SYN | TCP_EV_RESET | TCP_EV_TIMEOUT);
}

/* The connection is over, and this is perhaps the next one's (V-116). With ack = returned the
 * peer's FIN is as if it had not come: TIME_WAIT is still to be. */
static bool
is_over(const struct soft_conn *conn, const struct tcp_segment *segment)
{
    if (conn->tcp.state == TCP_TIME_WAIT)
        return (segment->flags & (TCP_SYN | TCP_RST)) == TCP_SYN && !conn->ack_returned;
    return conn->tcp.state == TCP_CLOSED;
}

enum soft_fate
soft_segment_input(struct soft_conn *conn, struct wire_buf *buf, uint32_t tcp_offset,
                   struct tcp_segment *segment)
{
    struct soft_adapter *adapter = conn->object.adapter;
    struct soft_frame *frame = NULL;

    if (conn->phase == SOFT_ABORTED)
        return SOFT_NOT_OURS;
    if (has_stopped(conn))
        return hold(conn, buf);
    if (is_over(conn, segment))
        return SOFT_NOT_OURS;
    if (segment->payload_len) {
        frame = soft_frame_create(adapter, buf, tcp_offset + segment->header_len);
        if (!frame)
            return SOFT_DISCARDED; /* out of memory: the peer sends it again */
    }
    unsigned events = tcp_on_segment(&conn->tcp, segment, frame ? &frame->chunk : NULL,
                                     soft_now_us(adapter));
    if (frame && !(events & TCP_EV_KEPT))
        soft_frame_destroy(frame);
    conn->events |= events;
    soft_dirty(conn);
    return events & (TCP_EV_URGENT | TCP_EV_SYN) ? hold(conn, buf) : SOFT_DELIVERED;
}

void
soft_segment_keep(struct soft_conn *conn, struct wire_buf *buf)
{
    conn->events |= TCP_EV_SYN; /* the same upload */
    hold(conn, buf);
    soft_dirty(conn);
}

/* Of that VLAN, or of none. */
static struct soft_conn *
find_conn(struct soft_adapter *adapter, const struct soft_key *key, unsigned vlan)
{
    struct soft_conn *conn = soft_conn_find(adapter, key, vlan);

    return conn || !vlan ? conn : soft_conn_find(adapter, key, 0);
}

/* The first of several, with the TCP header in it (RFC 7112 for IPv6): others have no ports. */
static bool
find_fragment_ipv4(const struct wire_buf *buf, uint32_t link, struct place *place)
{
    const uint8_t *ip = buf->data + link;

    if (buf->len - link < 40 || ip[0] != 0x45 || ip[9] != PROTOCOL_TCP ||
        (bytes_load_be16(ip + 6) & 0x3fff) != 0x2000)
        return false;
    *place = (struct place){.ip = link, .tcp = link + 20};
    return true;
}

/* As in find_ipv6 no other extension header is looked behind. */
static bool
find_fragment_ipv6(const struct wire_buf *buf, uint32_t link, struct place *place)
{
    const uint8_t *ip = buf->data + link, *fragment = ip + 40;

    if (buf->len - link < 68 || ip[0] >> 4 != 6 || ip[6] != FRAGMENT_HEADER ||
        fragment[0] != PROTOCOL_TCP || (bytes_load_be16(fragment + 2) & 0xfff9) != 1)
        return false;
    *place = (struct place){.ipv6 = true, .ip = link, .tcp = link + 48};
    return true;
}

/* A first fragment of a datagram for a connection, which the host stack reassembles: watch.c wants
 * to know. */
static void
note_fragment(struct soft_adapter *adapter, const struct wire_buf *buf)
{
    struct place place;
    struct soft_key key;

    if (!find(buf, find_fragment_ipv4, find_fragment_ipv6, &place))
        return;
    read_key(buf, &place, &key);
    struct soft_conn *conn = find_conn(adapter, &key, place.vlan);
    if (!conn)
        return;
    conn->watch.fragments++;
    soft_dirty(conn);
}

/* A wire may hear what is said to others: below a port it hears everything. The address may change
 * while a connection is offloaded, so it is asked for and not kept. */
static bool
is_for_us(const struct soft_conn *conn, const struct wire_buf *buf)
{
    return !memcmp(buf->data, soft_neighbor_own(soft_path_neighbor(soft_conn_path(conn))), 6);
}

/* True: it was a segment of a connection that is ours. */
static bool
input(struct soft_adapter *adapter, struct wire_buf *buf)
{
    struct place place;
    struct soft_key key;
    struct tcp_segment segment;

    if (!adapter->connections)
        return false;
    if (!find_tcp(buf, &place)) {
        if (adapter->thresholds.fragments)
            note_fragment(adapter, buf);
        return false;
    }
    read_key(buf, &place, &key);
    struct soft_conn *conn = find_conn(adapter, &key, place.vlan);
    if (!conn && adapter->limits.vlan)
        return (conn = soft_conn_find_any(adapter, &key)) && !conn->terminating;
    if (!conn || conn->terminating || !is_for_us(conn, buf))
        return false;
    if (!checksum_good(buf, &place) || !parse_tcp(buf, &place, &segment))
        return false;
    enum soft_fate fate = soft_segment_input(conn, buf, place.tcp, &segment);
    if (fate == SOFT_NOT_OURS)
        return false;
    if (fate != SOFT_HELD)
        soft_stats_received(conn, &segment, place.tcp - place.ip, fate == SOFT_DISCARDED);
    return true;
}

void
soft_on_frame(void *arg, struct wire_buf *buf)
{
    struct soft_adapter *adapter = arg;

    if (input(adapter, buf))
        return;
    struct soft_frame *frame = soft_frame_create(adapter, buf, 0);
    if (frame)
        soft_frame_up(frame);
}
