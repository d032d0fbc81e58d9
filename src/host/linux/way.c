/*
 * What a change of the way to a peer means. The kernel answers for route and link; the socket alone
 * knows what it was told about its own segments, and shows it only in their size: so the size is
 * remembered, and a fall of it bounds the path MTU until it rises again.
 */
#include "host/linux/way.h"

#include <string.h>
#include <sys/socket.h>

static bool
same_address(uint16_t family, const uint8_t *a, const uint8_t *b)
{
    return memcmp(a, b, family == AF_INET6 ? 16 : 4) == 0;
}

bool
way_leads_over(const struct way *way, int ifindex, uint16_t family, const uint8_t *next_hop)
{
    return way->ifindex == ifindex && way->next_hop_family == family &&
           same_address(family, way->next_hop, next_hop);
}

bool
way_same_hop(const struct way *a, const struct way *b)
{
    return way_leads_over(a, b->ifindex, b->next_hop_family, b->next_hop);
}

bool
way_note_mss(struct way_probe *probe, uint32_t mss, uint32_t header_bytes)
{
    uint32_t before = probe->mss;

    if (!mss || mss == before)
        return false;
    probe->mss = mss;
    if (!before)
        return false;
    probe->bound = mss < before ? mss + header_bytes : 0;
    return true;
}

uint32_t
way_mtu(const struct way *way, const struct way_probe *probe, uint32_t wire_mtu)
{
    uint32_t mtu = way->mtu;

    if (probe->bound && probe->bound < mtu)
        mtu = probe->bound;
    return wire_mtu && wire_mtu < mtu ? wire_mtu : mtu;
}
