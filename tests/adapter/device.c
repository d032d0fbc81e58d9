/*
 * The addresses of the tool's device, and the same on the port that stands in for it: every
 * address, and one route for each family, which makes all the world a neighbour.
 */
#include "parts.h"

#include "host/linux/netlink.h"
#include "wire/link.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* ---- reading ---- */

static uint8_t
count_bits(const uint8_t *mask, unsigned bytes)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < bytes; i++)
        bits += (unsigned)__builtin_popcount(mask[i]);
    return (uint8_t)bits;
}

static void
add_address(struct device *device, const struct ifaddrs *at)
{
    struct device_address *address = &device->addresses[device->address_count];
    const struct sockaddr_in6 *in6 = (const void *)at->ifa_addr;
    const struct sockaddr_in *in = (const void *)at->ifa_addr;

    if (device->address_count == DEVICE_ADDRESSES || at->ifa_netmask == NULL)
        return;
    address->family = (uint8_t)at->ifa_addr->sa_family;
    if (address->family == AF_INET) {
        memcpy(address->bytes, &in->sin_addr, 4);
        address->bits = count_bits(
            (const uint8_t *)&((const struct sockaddr_in *)(const void *)at->ifa_netmask)->sin_addr,
            4);
    } else if (address->family == AF_INET6) {
        memcpy(address->bytes, &in6->sin6_addr, 16);
        address->bits = count_bits(
            (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)at->ifa_netmask)
                ->sin6_addr,
            16);
    } else {
        return;
    }
    device->address_count++;
}

static int
read_addresses(struct device *device, const char **why)
{
    struct ifaddrs *all = NULL;

    *why = "its addresses cannot be read";
    if (getifaddrs(&all) != 0)
        return -errno;
    for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next)
        if (at->ifa_addr != NULL && strcmp(at->ifa_name, device->name) == 0)
            add_address(device, at);
    freeifaddrs(all);
    *why = "it has no address: give it those that the sockets shall have";
    return device->address_count != 0 ? 0 : -EADDRNOTAVAIL;
}

int
device_read(struct device *device, const char *name, const char **why)
{
    struct link_info info;
    int error = link_query(name, &info);

    *why = "there is no such device in this network namespace";
    if (error != 0)
        return error;
    *device = (struct device){.bare = info.type == ARPHRD_NONE};
    snprintf(device->name, sizeof(device->name), "%s", name);
    *why = "it carries neither IP packets (TUN) nor Ethernet frames (TAP)";
    if (!device->bare && info.type != ARPHRD_ETHER)
        return -EPROTONOSUPPORT;
    *why = "it is not up, or nobody holds its other end";
    return info.up ? read_addresses(device, why) : -ENETDOWN;
}

/* ---- writing ---- */

static int
put_address(const struct device_address *address, int ifindex)
{
    char room[256];
    struct nlmsghdr *request = mnl_nlmsg_put_header(room);
    struct ifaddrmsg *message = mnl_nlmsg_put_extra_header(request, sizeof(*message));
    uint16_t bytes = address->family == AF_INET ? 4 : 16;

    request->nlmsg_type = RTM_NEWADDR;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    message->ifa_family = address->family;
    message->ifa_prefixlen = address->bits;
    message->ifa_index = (unsigned)ifindex;
    message->ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0;
    mnl_attr_put(request, IFA_LOCAL, bytes, address->bytes);
    mnl_attr_put(request, IFA_ADDRESS, bytes, address->bytes);
    return netlink_ask(NETLINK_ROUTE, request, NULL, NULL);
}

static int
put_route(uint8_t family, int ifindex)
{
    char room[256];
    struct nlmsghdr *request = mnl_nlmsg_put_header(room);
    struct rtmsg *message = mnl_nlmsg_put_extra_header(request, sizeof(*message));

    request->nlmsg_type = RTM_NEWROUTE;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    message->rtm_family = family;
    message->rtm_table = RT_TABLE_MAIN;
    message->rtm_protocol = RTPROT_STATIC;
    message->rtm_scope = family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    message->rtm_type = RTN_UNICAST;
    mnl_attr_put_u32(request, RTA_OIF, (uint32_t)ifindex);
    return netlink_ask(NETLINK_ROUTE, request, NULL, NULL);
}

static int
raise_loopback(void)
{
    char room[64];
    struct nlmsghdr *request = mnl_nlmsg_put_header(room);
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));

    request->nlmsg_type = RTM_NEWLINK;
    request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
    link->ifi_index = (int)if_nametoindex("lo");
    link->ifi_flags = link->ifi_change = IFF_UP;
    return netlink_ask(NETLINK_ROUTE, request, NULL, NULL);
}

int
device_settle(const struct device *device, int ifindex, const char **why)
{
    bool has[2] = {false, false};
    int error = raise_loopback();

    *why = "addresses or routes of its namespace";
    for (unsigned i = 0; error == 0 && i < device->address_count; i++) {
        error = put_address(&device->addresses[i], ifindex);
        has[device->addresses[i].family == AF_INET6] = true;
    }
    if (error == 0 && has[0])
        error = put_route(AF_INET, ifindex);
    if (error == 0 && has[1])
        error = put_route(AF_INET6, ifindex);
    return error;
}
