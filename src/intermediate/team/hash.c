/*
 * Which member a flow belongs to: a hash of addresses, ports and protocol, and the members that can
 * be used, in the order in which they joined. Nothing is remembered: the same flow goes the same
 * way as long as the same members can be used, whether it is offloaded or not.
 *
 * The hash does not tell the two directions of a flow apart. When the other end is a team like this
 * one, with its members in the same order, it answers through the member that it was asked by, and
 * what is offloaded there hears its peer. With other hashes segments may arrive at another member:
 * they go up the regular path, and the host stack forwards them (chimney 6.3).
 *
 * No flow: what is not IP, and fragments, of which only the first has ports, go by less.
 */
#include "base/hash.h"
#include "base/bytes.h"
#include "intermediate/team/team.h"

#define ETHERNET_BYTES 14u
#define TAG_BYTES 4u
#define PROTOCOL_TCP 6u
#define PROTOCOL_UDP 17u

uint64_t
team_flow_addresses(const UCHAR *one, const UCHAR *other, size_t size)
{
    return hash_bytes(one, size, size) + hash_bytes(other, size, size);
}

uint64_t
team_flow_ports(uint64_t addresses, USHORT one, USHORT other)
{
    return hash_word(addresses, hash_word(1, one) + hash_word(1, other));
}

static USHORT
port_at(const UCHAR *at)
{
    USHORT port;

    NdisMoveMemory(&port, at, sizeof(port));
    return port;
}

static bool
has_ports(UCHAR protocol)
{
    return protocol == PROTOCOL_TCP || protocol == PROTOCOL_UDP;
}

static bool
flow_4(const UCHAR *packet, size_t length, uint64_t *flow)
{
    size_t header;

    if (length < 20)
        return false;
    header = (size_t)(packet[0] & 15) * 4;
    *flow = team_flow_addresses(packet + 12, packet + 16, 4);
    /* More fragments, or not the first. */
    if (!(bytes_load_be16(packet + 6) & 0x3fffu) && has_ports(packet[9]) && length >= header + 4)
        *flow = team_flow_ports(*flow, port_at(packet + header), port_at(packet + header + 2));
    return true;
}

/* Extension headers hide the ports. */
static bool
flow_6(const UCHAR *packet, size_t length, uint64_t *flow)
{
    if (length < 40)
        return false;
    *flow = team_flow_addresses(packet + 8, packet + 24, 16);
    if (has_ports(packet[6]) && length >= 44)
        *flow = team_flow_ports(*flow, port_at(packet + 40), port_at(packet + 42));
    return true;
}

bool
team_flow_frame(const UCHAR *frame, size_t length, uint64_t *flow)
{
    size_t at = ETHERNET_BYTES;

    /* Group frames go one way, whatever they carry. */
    if (length < at || frame[0] & 1)
        return false;
    while (length >= at + TAG_BYTES &&
           (bytes_load_be16(frame + at - 2) == 0x8100 || bytes_load_be16(frame + at - 2) == 0x88a8))
        at += TAG_BYTES;
    switch (bytes_load_be16(frame + at - 2)) {
    case 0x0800:
        return flow_4(frame + at, length - at, flow);
    case 0x86dd:
        return flow_6(frame + at, length - at, flow);
    default:
        return false;
    }
}

struct team_member *
team_choose(const struct team *team, uint64_t flow, bool (*in)(const struct team_member *member))
{
    ULONG count = 0;

    list_for_each(member, &team->members, struct team_member, link)
        count += in(member);
    if (!count)
        return NULL;
    count = (ULONG)(flow % count);
    list_for_each(member, &team->members, struct team_member, link)
        if (in(member) && !count--)
            return member;
    return NULL;
}
