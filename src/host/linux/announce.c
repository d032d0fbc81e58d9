/*
 * Tells the bridges and neighbours where a port is: after another member has taken over they would
 * go on sending to the old one. A gratuitous ARP request for every IPv4 address (RFC 5227, 3), an
 * unsolicited neighbour advertisement with the override flag for every IPv6 address (RFC 4861,
 * 7.2.6), as frames of the regular path, like those of the kernel.
 */
#include "base/bytes.h"
#include "base/checksum.h"
#include "base/log.h"
#include "host/linux/live/live.h"
#include "host/linux/stack.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <string.h>

#define ETHERNET_BYTES 14u
#define ARP_BYTES 28u
#define IPV6_BYTES 40u
#define ADVERTISEMENT_BYTES 32u
#define LEAST_BYTES 60u

#define ICMPV6 58
#define ADVERTISEMENT 136
#define OVERRIDE 0x20

static void
write_ethernet(uint8_t *frame, const uint8_t to[6], const uint8_t from[6], uint16_t type)
{
    memcpy(frame, to, 6);
    memcpy(frame + 6, from, 6);
    bytes_store_be16(frame + 12, type);
}

size_t
announce_ipv4(const uint8_t mac[6], const uint8_t address[4], uint8_t frame[ANNOUNCE_BYTES])
{
    static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t request[8] = {0, 1, 8, 0, 6, 4, 0, 1}; /* Ethernet, IPv4, who has */
    uint8_t *arp = frame + ETHERNET_BYTES;

    memset(frame, 0, ANNOUNCE_BYTES);
    write_ethernet(frame, everybody, mac, 0x0806);
    memcpy(arp, request, sizeof request);
    memcpy(arp + 8, mac, 6);
    memcpy(arp + 14, address, 4);
    memcpy(arp + 24, address, 4);
    return LEAST_BYTES;
}

size_t
announce_ipv6(const uint8_t mac[6], const uint8_t address[16], uint8_t frame[ANNOUNCE_BYTES])
{
    static const uint8_t group[16] = {0xff, 2, [15] = 1};
    static const uint8_t group_mac[6] = {0x33, 0x33, 0, 0, 0, 1};
    uint8_t *ip = frame + ETHERNET_BYTES, *icmp = ip + IPV6_BYTES;
    struct checksum checksum = {0};

    memset(frame, 0, ANNOUNCE_BYTES);
    write_ethernet(frame, group_mac, mac, 0x86dd);
    ip[0] = 0x60;
    bytes_store_be16(ip + 4, ADVERTISEMENT_BYTES);
    ip[6] = ICMPV6;
    ip[7] = 255;
    memcpy(ip + 8, address, 16);
    memcpy(ip + 24, group, 16);
    icmp[0] = ADVERTISEMENT;
    icmp[4] = OVERRIDE;
    memcpy(icmp + 8, address, 16);
    icmp[24] = 2; /* target link-layer address, in units of 8 bytes */
    icmp[25] = 1;
    memcpy(icmp + 26, mac, 6);
    checksum_add_pseudo_v6(&checksum, address, group, ICMPV6, ADVERTISEMENT_BYTES);
    checksum_add(&checksum, icmp, ADVERTISEMENT_BYTES);
    bytes_store_be16(icmp + 2, checksum_value(&checksum));
    return ETHERNET_BYTES + IPV6_BYTES + ADVERTISEMENT_BYTES;
}

/* 0: no address that is announced. */
static size_t
write_frame(const struct live_port *port, const struct sockaddr *address,
            uint8_t frame[ANNOUNCE_BYTES])
{
    const uint8_t *mac = port->mtu ? port->mac : wire_mac(port->tap);

    if (address->sa_family == AF_INET)
        return announce_ipv4(mac, (const void *)&((const struct sockaddr_in *)address)->sin_addr,
                             frame);
    if (address->sa_family == AF_INET6)
        return announce_ipv6(mac, (const void *)&((const struct sockaddr_in6 *)address)->sin6_addr,
                             frame);
    return 0;
}

static void
send_frame(struct live_port *port, const uint8_t *bytes, size_t len)
{
    struct wire_buf *buf = wire_buf_create((uint32_t)len);

    if (!buf)
        return;
    memcpy(buf->data, bytes, len);
    buf->len = (uint32_t)len;
    live_raw_out(port, buf);
    wire_buf_put(buf);
}

void
hoststack_announce(void *arg)
{
    struct live_port *port = arg;
    struct ifaddrs *addresses = NULL;
    uint8_t frame[ANNOUNCE_BYTES];
    unsigned count = 0;

    if (!port->own || !hoststack_alive(port->stack) || !host_binding_running(port->binding) ||
        getifaddrs(&addresses) != 0)
        return;
    for (const struct ifaddrs *at = addresses; at; at = at->ifa_next) {
        size_t len = at->ifa_addr && !strcmp(at->ifa_name, port->ifname)
                         ? write_frame(port, at->ifa_addr, frame)
                         : 0;
        if (len)
            send_frame(port, frame, len);
        count += len != 0;
    }
    freeifaddrs(addresses);
    log_debug("%s: announced %u addresses", port->ifname, count);
}
