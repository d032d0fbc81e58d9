/*
 * rtnetlink with libmnl. A watch subscribes first and then asks for the present state on the same
 * socket, so no change falls between; when its socket overflows (ENOBUFS) it asks again.
 *
 * Up means IFF_UP and IFF_LOWER_UP: IFF_RUNNING follows the carrier only after a delay.
 */
#include "wire/link.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define REPLY_BYTES 16384

static void
read_attributes(const struct nlmsghdr *message, struct link_info *info)
{
    const struct nlattr *attr;

    mnl_attr_for_each(attr, message, sizeof(struct ifinfomsg))
    {
        if (mnl_attr_get_type(attr) == IFLA_MTU)
            info->mtu = mnl_attr_get_u32(attr);
        if (mnl_attr_get_type(attr) == IFLA_ADDRESS &&
            mnl_attr_get_payload_len(attr) == sizeof(info->mac))
            memcpy(info->mac, mnl_attr_get_payload(attr), sizeof(info->mac));
    }
}

static void
read_link(const struct nlmsghdr *message, struct link_info *info)
{
    const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
    unsigned both = IFF_UP | IFF_LOWER_UP;

    *info = (struct link_info){.ifindex = link->ifi_index, .type = link->ifi_type};
    info->gone = message->nlmsg_type == RTM_DELLINK;
    info->up = !info->gone && (link->ifi_flags & both) == both;
    read_attributes(message, info);
}

static int
on_query_message(const struct nlmsghdr *message, void *arg)
{
    struct link_info *out = arg;

    if (message->nlmsg_type == RTM_NEWLINK)
        read_link(message, out);
    return MNL_CB_OK;
}

/* Sends request and waits for the answer. */
static int
ask(struct nlmsghdr *request, mnl_cb_t fn, void *arg)
{
    struct mnl_socket *socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
    char reply[REPLY_BYTES];
    int result = -1;
    ssize_t len;

    if (socket == NULL)
        return -errno;
    request->nlmsg_seq = 1;
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0 &&
        mnl_socket_sendto(socket, request, request->nlmsg_len) > 0) {
        len = mnl_socket_recvfrom(socket, reply, sizeof(reply));
        if (len > 0)
            result = mnl_cb_run(reply, (size_t)len, 1, mnl_socket_get_portid(socket), fn, arg);
    }
    result = result < 0 ? -errno : 0;
    mnl_socket_close(socket);
    return result;
}

static struct nlmsghdr *
put_link_header(void *room, uint16_t type, uint16_t flags, int ifindex)
{
    struct nlmsghdr *request = mnl_nlmsg_put_header(room);
    struct ifinfomsg *link = mnl_nlmsg_put_extra_header(request, sizeof(*link));

    request->nlmsg_type = type;
    request->nlmsg_flags = NLM_F_REQUEST | flags;
    link->ifi_family = AF_UNSPEC;
    link->ifi_index = ifindex;
    return request;
}

int
link_query(const char *name, struct link_info *out)
{
    char room[256];
    struct nlmsghdr *request;
    int error;

    if (name[0] == '\0' || strlen(name) >= IFNAMSIZ)
        return -ENODEV;
    request = put_link_header(room, RTM_GETLINK, 0, 0);
    mnl_attr_put_strz(request, IFLA_IFNAME, name);
    *out = (struct link_info){.ifindex = 0};
    error = ask(request, on_query_message, out);
    if (error == 0 && out->ifindex == 0)
        error = -ENODEV;
    return error;
}

static int
forbid_ipv6_address(int ifindex)
{
    char room[256];
    struct nlmsghdr *request = put_link_header(room, RTM_NEWLINK, NLM_F_ACK, ifindex);
    struct nlattr *families = mnl_attr_nest_start(request, IFLA_AF_SPEC);
    struct nlattr *inet6 = mnl_attr_nest_start(request, AF_INET6);
    int error;

    mnl_attr_put_u8(request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
    mnl_attr_nest_end(request, inet6);
    mnl_attr_nest_end(request, families);
    error = ask(request, NULL, NULL);
    return error == -EAFNOSUPPORT ? 0 : error; /* no IPv6, no address */
}

int
link_raise_tap(int ifindex, const uint8_t *mac, unsigned mtu, bool quiet)
{
    char room[256];
    struct nlmsghdr *request;
    struct ifinfomsg *link;
    int error = quiet ? forbid_ipv6_address(ifindex) : 0;

    if (error != 0)
        return error;
    request = put_link_header(room, RTM_NEWLINK, NLM_F_ACK, ifindex);
    link = mnl_nlmsg_get_payload(request);
    link->ifi_flags = quiet ? IFF_UP | IFF_NOARP : IFF_UP;
    link->ifi_change = IFF_UP | IFF_NOARP;
    if (mac != NULL)
        mnl_attr_put(request, IFLA_ADDRESS, 6, mac);
    mnl_attr_put_u32(request, IFLA_MTU, mtu);
    return ask(request, NULL, NULL);
}

/* ---- watching ---- */

static int
ask_for_state(struct link_watch *watch)
{
    char room[64];
    struct nlmsghdr *request = put_link_header(room, RTM_GETLINK, 0, watch->ifindex);

    return mnl_socket_sendto(watch->socket, request, request->nlmsg_len) < 0 ? -errno : 0;
}

/* The interface may have gone before it could be asked for. */
static void
on_error_message(struct link_watch *watch, const struct nlmsghdr *message)
{
    const struct nlmsgerr *error = mnl_nlmsg_get_payload(message);
    struct link_info info = {.ifindex = watch->ifindex, .gone = true};

    if (error->error == -ENODEV)
        watch->fn(watch->arg, &info);
}

/* One datagram. Stops early when a callback has stopped the watch. */
static void
read_messages(struct link_watch *watch, const char *data, int len)
{
    const struct nlmsghdr *message = (const struct nlmsghdr *)data;

    for (; mnl_nlmsg_ok(message, len) && watch->socket != NULL;
         message = mnl_nlmsg_next(message, &len)) {
        struct link_info info;

        if (message->nlmsg_type == NLMSG_ERROR)
            on_error_message(watch, message);
        if (message->nlmsg_type != RTM_NEWLINK && message->nlmsg_type != RTM_DELLINK)
            continue;
        read_link(message, &info);
        if (info.ifindex == watch->ifindex)
            watch->fn(watch->arg, &info);
    }
}

static void
on_readable(void *arg, int events)
{
    struct link_watch *watch = arg;
    char data[REPLY_BYTES] __attribute__((aligned(NLMSG_ALIGNTO)));
    ssize_t len = mnl_socket_recvfrom(watch->socket, data, sizeof(data));

    if (len > 0)
        read_messages(watch, data, (int)len);
    else if (len < 0 && errno == ENOBUFS)
        ask_for_state(watch);
}

int
link_watch_start(struct link_watch *watch, struct sys_loop *loop, int ifindex,
                 void (*fn)(void *arg, const struct link_info *info), void *arg)
{
    int error = 0;

    *watch = (struct link_watch){.ifindex = ifindex, .fn = fn, .arg = arg};
    watch->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (watch->socket == NULL)
        return -errno;
    if (mnl_socket_bind(watch->socket, RTMGRP_LINK, MNL_SOCKET_AUTOPID) != 0)
        error = -errno;
    if (error == 0)
        error = ask_for_state(watch);
    if (error == 0)
        error = sys_watch_start(&watch->watch, loop, mnl_socket_get_fd(watch->socket), SYS_READABLE,
                                on_readable, watch);
    if (error != 0)
        link_watch_stop(watch);
    return error;
}

void
link_watch_stop(struct link_watch *watch)
{
    if (watch->socket == NULL)
        return;
    sys_watch_stop(&watch->watch);
    mnl_socket_close(watch->socket);
    watch->socket = NULL;
}
