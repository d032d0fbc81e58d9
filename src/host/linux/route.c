/*
 * rtnetlink: each object has one parser, used for the answer to a question and for the event alike.
 *
 * A question about a link waits for the RTNL lock, which whoever configures interfaces may hold for
 * hundreds of milliseconds; the old ioctls do not.
 */
#include "host/linux/route.h"

#include "host/linux/netlink.h"

#include <errno.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_BYTES 256
#define NUD_USABLE (NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP)

static uint16_t
address_bytes(uint16_t family)
{
    return family == AF_INET6 ? 16 : 4;
}

static bool
known_family(uint16_t family)
{
    return family == AF_INET || family == AF_INET6;
}

/* Copies at most size bytes; what is missing stays zero. */
static void
copy_payload(const struct nlattr *attr, void *out, size_t size)
{
    size_t len = mnl_attr_get_payload_len(attr);

    memcpy(out, mnl_attr_get_payload(attr), len < size ? len : size);
}

static uint32_t
payload_u32(const struct nlattr *attr)
{
    uint32_t value = 0;

    copy_payload(attr, &value, sizeof(value));
    return value;
}

/* ---- routes ---- */

static uint32_t
mtu_of_metrics(const struct nlattr *metrics)
{
    struct nlattr *attr;
    uint32_t mtu = 0;

    mnl_attr_for_each_nested(attr, metrics)
    {
        if (mnl_attr_get_type(attr) == RTAX_MTU)
            mtu = payload_u32(attr);
    }
    return mtu;
}

static void
read_via(const struct nlattr *attr, struct route_result *route)
{
    const struct rtvia *via = mnl_attr_get_payload(attr);
    size_t len = mnl_attr_get_payload_len(attr);

    if (len < sizeof(*via) + address_bytes(via->rtvia_family))
        return;
    route->has_gateway = true;
    route->next_hop_family = via->rtvia_family;
    memcpy(route->next_hop, via->rtvia_addr, address_bytes(via->rtvia_family));
}

static void
read_route_attribute(const struct nlattr *attr, struct route_result *route)
{
    switch (mnl_attr_get_type(attr)) {
    case RTA_DST:
        copy_payload(attr, route->destination, sizeof(route->destination));
        break;
    case RTA_OIF:
        route->ifindex = (int)payload_u32(attr);
        break;
    case RTA_GATEWAY:
        route->has_gateway = true;
        copy_payload(attr, route->next_hop, sizeof(route->next_hop));
        break;
    case RTA_VIA:
        read_via(attr, route);
        break;
    case RTA_PREFSRC:
        copy_payload(attr, route->source, sizeof(route->source));
        break;
    case RTA_TABLE:
        route->table = payload_u32(attr);
        break;
    case RTA_METRICS:
        route->mtu = mtu_of_metrics(attr);
        break;
    default:
        break;
    }
}

static bool
read_route(const struct nlmsghdr *header, struct route_result *route)
{
    const struct rtmsg *msg = mnl_nlmsg_get_payload(header);
    struct nlattr *attr;

    if (mnl_nlmsg_get_payload_len(header) < sizeof(*msg) || !known_family(msg->rtm_family))
        return false;
    memset(route, 0, sizeof(*route));
    route->family = route->next_hop_family = msg->rtm_family;
    route->local = msg->rtm_type == RTN_LOCAL;
    route->unicast = msg->rtm_type == RTN_UNICAST;
    route->destination_bits = msg->rtm_dst_len;
    route->table = msg->rtm_table;
    mnl_attr_for_each(attr, header, sizeof(*msg)) read_route_attribute(attr, route);
    if (!route->has_gateway)
        memcpy(route->next_hop, route->destination, sizeof(route->next_hop));
    return true;
}

struct route_answer {
    struct route_result *out;
    bool found;
};

static int
on_route(const struct nlmsghdr *header, void *arg)
{
    struct route_answer *answer = arg;

    if (header->nlmsg_type == RTM_NEWROUTE && read_route(header, answer->out))
        answer->found = true;
    return MNL_CB_OK;
}

/* Context: any thread. The source must be an address of this host, as it is for a socket. */
int
route_lookup_as(const struct route_query *query, struct route_result *out)
{
    char buffer[REQUEST_BYTES];
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
    struct rtmsg *msg = mnl_nlmsg_put_extra_header(header, sizeof(*msg));
    uint16_t len = address_bytes(query->family);
    struct route_answer answer = {.out = out};
    int error;

    if (!known_family(query->family))
        return -EINVAL;
    header->nlmsg_type = RTM_GETROUTE;
    header->nlmsg_flags = NLM_F_ACK;
    msg->rtm_family = (unsigned char)query->family;
    msg->rtm_dst_len = (unsigned char)(8 * len);
    msg->rtm_flags = RTM_F_LOOKUP_TABLE | (query->table_entry ? RTM_F_FIB_MATCH : 0);
    mnl_attr_put(header, RTA_DST, len, query->destination);
    if (query->source) {
        msg->rtm_src_len = (unsigned char)(8 * len);
        mnl_attr_put(header, RTA_SRC, len, query->source);
    }
    if (query->ifindex)
        mnl_attr_put_u32(header, RTA_OIF, (uint32_t)query->ifindex);
    if (query->mark)
        mnl_attr_put_u32(header, RTA_MARK, query->mark);
    error = netlink_ask(NETLINK_ROUTE, header, on_route, &answer);
    if (error)
        return error;
    if (!answer.found)
        return -ENETUNREACH;
    if (query->source) /* the kernel does not repeat it */
        memcpy(out->source, query->source, len);
    return 0;
}

int
route_lookup(uint16_t family, const uint8_t *destination, const uint8_t *source,
             struct route_result *out)
{
    const struct route_query query = {
        .family = family, .destination = destination, .source = source};

    return route_lookup_as(&query, out);
}

/* ---- neighbours ---- */

static bool
read_neighbour(const struct nlmsghdr *header, struct route_neighbour *neighbour)
{
    const struct ndmsg *msg = mnl_nlmsg_get_payload(header);
    bool has_mac = false;
    struct nlattr *attr;

    if (mnl_nlmsg_get_payload_len(header) < sizeof(*msg) || !known_family(msg->ndm_family))
        return false;
    memset(neighbour, 0, sizeof(*neighbour));
    neighbour->family = msg->ndm_family;
    neighbour->ifindex = msg->ndm_ifindex;
    neighbour->state = msg->ndm_state;
    neighbour->router = (msg->ndm_flags & NTF_ROUTER) != 0;
    mnl_attr_for_each(attr, header, sizeof(*msg))
    {
        if (mnl_attr_get_type(attr) == NDA_DST)
            copy_payload(attr, neighbour->address, sizeof(neighbour->address));
        if (mnl_attr_get_type(attr) == NDA_LLADDR) {
            copy_payload(attr, neighbour->mac, sizeof(neighbour->mac));
            has_mac = mnl_attr_get_payload_len(attr) == sizeof(neighbour->mac);
        }
    }
    neighbour->resolved = has_mac && (msg->ndm_state & NUD_USABLE) != 0;
    return true;
}

struct neighbour_answer {
    struct route_neighbour *out;
    bool found;
};

static int
on_neighbour(const struct nlmsghdr *header, void *arg)
{
    struct neighbour_answer *answer = arg;

    if (header->nlmsg_type == RTM_NEWNEIGH && read_neighbour(header, answer->out))
        answer->found = true;
    return MNL_CB_OK;
}

static struct ndmsg *
put_neighbour(char *buffer, uint16_t type, int ifindex, uint16_t family, const uint8_t *address)
{
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
    struct ndmsg *msg = mnl_nlmsg_put_extra_header(header, sizeof(*msg));

    header->nlmsg_type = type;
    header->nlmsg_flags = NLM_F_ACK;
    msg->ndm_family = (unsigned char)family;
    msg->ndm_ifindex = ifindex;
    mnl_attr_put(header, NDA_DST, address_bytes(family), address);
    return msg;
}

int
route_neighbour(int ifindex, uint16_t family, const uint8_t *address, struct route_neighbour *out)
{
    char buffer[REQUEST_BYTES];
    struct neighbour_answer answer = {.out = out};
    int error;

    if (!known_family(family))
        return -EINVAL;
    put_neighbour(buffer, RTM_GETNEIGH, ifindex, family, address);
    error = netlink_ask(NETLINK_ROUTE, (struct nlmsghdr *)buffer, on_neighbour, &answer);
    if (error)
        return error;
    return answer.found ? 0 : -ENOENT;
}

static int
on_nothing(const struct nlmsghdr *header, void *arg)
{
    return MNL_CB_OK;
}

int
route_provoke(int ifindex, uint16_t family, const uint8_t *address)
{
    char buffer[REQUEST_BYTES];
    struct ndmsg *msg;

    if (!known_family(family))
        return -EINVAL;
    msg = put_neighbour(buffer, RTM_NEWNEIGH, ifindex, family, address);
    msg->ndm_state = NUD_NONE;
    msg->ndm_flags = NTF_USE;
    ((struct nlmsghdr *)buffer)->nlmsg_flags |= NLM_F_CREATE | NLM_F_REPLACE;
    return netlink_ask(NETLINK_ROUTE, (struct nlmsghdr *)buffer, on_nothing, NULL);
}

/* ---- links ---- */

static void
read_flags(struct route_link *link, unsigned flags)
{
    link->up = (flags & IFF_UP) != 0;
    link->running = (flags & IFF_RUNNING) != 0;
    link->loopback = (flags & IFF_LOOPBACK) != 0;
}

static bool
read_link(const struct nlmsghdr *header, struct route_link *link)
{
    const struct ifinfomsg *msg = mnl_nlmsg_get_payload(header);
    struct nlattr *attr;

    if (mnl_nlmsg_get_payload_len(header) < sizeof(*msg) || msg->ifi_family != AF_UNSPEC)
        return false;
    memset(link, 0, sizeof(*link));
    link->ifindex = msg->ifi_index;
    link->type = msg->ifi_type;
    read_flags(link, msg->ifi_flags);
    link->ethernet = msg->ifi_type == ARPHRD_ETHER;
    mnl_attr_for_each(attr, header, sizeof(*msg))
    {
        if (mnl_attr_get_type(attr) == IFLA_IFNAME)
            copy_payload(attr, link->name, sizeof(link->name) - 1);
        if (mnl_attr_get_type(attr) == IFLA_MTU)
            link->mtu = payload_u32(attr);
        if (mnl_attr_get_type(attr) == IFLA_ADDRESS)
            copy_payload(attr, link->mac, sizeof(link->mac));
    }
    return true;
}

struct link_answer {
    struct route_link *out;
    bool found;
};

static int
on_link(const struct nlmsghdr *header, void *arg)
{
    struct link_answer *answer = arg;

    if (header->nlmsg_type == RTM_NEWLINK && read_link(header, answer->out))
        answer->found = true;
    return MNL_CB_OK;
}

static int
ask_link(int ifindex, const char *name, struct route_link *out)
{
    char buffer[REQUEST_BYTES];
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
    struct ifinfomsg *msg = mnl_nlmsg_put_extra_header(header, sizeof(*msg));
    struct link_answer answer = {.out = out};
    int error;

    header->nlmsg_type = RTM_GETLINK;
    header->nlmsg_flags = NLM_F_ACK;
    msg->ifi_index = ifindex;
    if (name)
        mnl_attr_put_strz(header, IFLA_IFNAME, name);
    error = netlink_ask(NETLINK_ROUTE, header, on_link, &answer);
    if (error)
        return error;
    return answer.found ? 0 : -ENODEV;
}

int
route_link(int ifindex, struct route_link *out)
{
    return ifindex > 0 ? ask_link(ifindex, NULL, out) : -ENODEV;
}

int
route_link_named(const char *name, struct route_link *out)
{
    size_t len = strlen(name);

    return len > 0 && len < IFNAMSIZ ? ask_link(0, name, out) : -ENODEV;
}

/* request names the interface. */
static int
read_quick(int fd, struct ifreq *request, struct route_link *out)
{
    if (ioctl(fd, SIOCGIFFLAGS, request))
        return -errno;
    read_flags(out, (unsigned short)request->ifr_flags);
    if (ioctl(fd, SIOCGIFMTU, request))
        return -errno;
    out->mtu = (uint32_t)request->ifr_mtu;
    if (ioctl(fd, SIOCGIFHWADDR, request))
        return -errno;
    out->type = request->ifr_hwaddr.sa_family;
    out->ethernet = out->type == ARPHRD_ETHER;
    memcpy(out->mac, request->ifr_hwaddr.sa_data, sizeof(out->mac));
    return 0;
}

int
route_link_quick(int ifindex, struct route_link *out)
{
    struct ifreq request = {.ifr_ifindex = ifindex};
    int fd, error = 0;

    if (ifindex <= 0)
        return -ENODEV;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    memset(out, 0, sizeof(*out));
    out->ifindex = ifindex;
    if (ioctl(fd, SIOCGIFNAME, &request))
        error = errno == ENXIO ? -ENODEV : -errno;
    memcpy(out->name, request.ifr_name, sizeof(out->name) - 1);
    if (!error)
        error = read_quick(fd, &request, out);
    close(fd);
    return error;
}

/* ---- news ---- */

int
route_open_events(void)
{
    const int groups[] = {RTNLGRP_NEIGH, RTNLGRP_LINK, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE};

    return netlink_listen(NETLINK_ROUTE, groups, sizeof(groups) / sizeof(groups[0]));
}

static bool
read_event(const struct nlmsghdr *header, struct route_event *event)
{
    memset(event, 0, sizeof(*event));
    switch (header->nlmsg_type) {
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
        event->kind = ROUTE_EVENT_NEIGHBOUR;
        event->gone = header->nlmsg_type == RTM_DELNEIGH;
        return read_neighbour(header, &event->neighbour);
    case RTM_NEWLINK:
    case RTM_DELLINK:
        event->kind = ROUTE_EVENT_LINK;
        event->gone = header->nlmsg_type == RTM_DELLINK;
        return read_link(header, &event->link);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
        event->kind = ROUTE_EVENT_ROUTE;
        event->gone = header->nlmsg_type == RTM_DELROUTE;
        return read_route(header, &event->route);
    default:
        return false;
    }
}

struct news {
    route_event_fn fn;
    void *arg;
};

static int
on_event(const struct nlmsghdr *header, void *arg)
{
    const struct news *news = arg;
    struct route_event event;

    if (read_event(header, &event))
        news->fn(news->arg, &event);
    return MNL_CB_OK;
}

int
route_read_events(int fd, route_event_fn fn, void *arg)
{
    struct news news = {.fn = fn, .arg = arg};

    return netlink_read(fd, on_event, &news);
}

void
route_close_events(int fd)
{
    close(fd);
}
