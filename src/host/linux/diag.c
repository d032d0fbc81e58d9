/*
 * inet_diag: one message per socket. The kernel files an IPv4 connection of an IPv6 socket under
 * AF_INET6 with mapped addresses; here it becomes what it is on the wire, so that a key has one
 * form.
 */
#include "host/linux/diag.h"

#include "host/linux/netlink.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIT(extension) (1u << ((extension)-1))
#define ALL_STATES UINT32_MAX
#define REQUEST_BYTES 256

/* ---- one message ---- */

static bool
is_mapped(const struct inet_diag_msg *msg)
{
    return IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)msg->id.idiag_src) &&
           IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)msg->id.idiag_dst);
}

static void
read_key(const struct inet_diag_msg *msg, struct steer_key *key)
{
    bool mapped = msg->idiag_family == AF_INET6 && is_mapped(msg);
    size_t len = msg->idiag_family == AF_INET6 && !mapped ? 16 : 4;
    int first = mapped ? 3 : 0;

    memset(key, 0, sizeof(*key));
    key->family = len == 16 ? AF_INET6 : AF_INET;
    memcpy(key->local, &msg->id.idiag_src[first], len);
    memcpy(key->peer, &msg->id.idiag_dst[first], len);
    key->local_port = msg->id.idiag_sport;
    key->peer_port = msg->id.idiag_dport;
}

static void
read_info(const struct nlattr *attr, struct diag_socket *socket)
{
    struct tcp_info info = {0};
    size_t len = mnl_attr_get_payload_len(attr);

    memcpy(&info, mnl_attr_get_payload(attr), len < sizeof(info) ? len : sizeof(info));
    socket->total_retrans = info.tcpi_total_retrans;
}

static void
read_memory(const struct nlattr *attr, struct diag_socket *socket)
{
    uint32_t memory[SK_MEMINFO_VARS] = {0};
    size_t len = mnl_attr_get_payload_len(attr);

    memcpy(memory, mnl_attr_get_payload(attr), len < sizeof(memory) ? len : sizeof(memory));
    socket->receive_memory_bytes = memory[SK_MEMINFO_RMEM_ALLOC];
    socket->send_memory_bytes = memory[SK_MEMINFO_WMEM_QUEUED];
}

static void
read_upper_protocol(const struct nlattr *nest, struct diag_socket *socket)
{
    struct nlattr *attr;

    mnl_attr_for_each_nested(attr, nest)
    {
        if (mnl_attr_get_type(attr) == INET_ULP_INFO_MPTCP)
            socket->mptcp = true;
        if (mnl_attr_get_type(attr) == INET_ULP_INFO_NAME &&
            mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0 &&
            strcmp(mnl_attr_get_str(attr), "mptcp") == 0)
            socket->mptcp = true;
    }
}

static void
read_attributes(const struct nlmsghdr *header, struct diag_socket *socket)
{
    struct nlattr *attr;

    mnl_attr_for_each(attr, header, sizeof(struct inet_diag_msg))
    {
        switch (mnl_attr_get_type(attr)) {
        case INET_DIAG_INFO:
            read_info(attr, socket);
            break;
        case INET_DIAG_SKMEMINFO:
            read_memory(attr, socket);
            break;
        case INET_DIAG_ULP_INFO:
            read_upper_protocol(attr, socket);
            break;
        case INET_DIAG_MD5SIG:
            socket->md5 = mnl_attr_get_payload_len(attr) > 0;
            break;
        default:
            break;
        }
    }
}

static bool
read_socket(const struct nlmsghdr *header, struct diag_socket *socket)
{
    const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(header);

    if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        mnl_nlmsg_get_payload_len(header) < sizeof(*msg))
        return false;
    memset(socket, 0, sizeof(*socket));
    read_key(msg, &socket->key);
    socket->mapped_ipv4 = msg->idiag_family == AF_INET6 && socket->key.family == AF_INET;
    socket->state = msg->idiag_state;
    socket->inode = msg->idiag_inode;
    socket->cookie = (uint64_t)msg->id.idiag_cookie[1] << 32 | msg->id.idiag_cookie[0];
    socket->uid = msg->idiag_uid;
    socket->bound_ifindex = msg->id.idiag_if;
    socket->receive_queue_bytes = msg->idiag_rqueue;
    socket->send_queue_bytes = msg->idiag_wqueue;
    read_attributes(header, socket);
    return true;
}

/* ---- lists ---- */

static struct inet_diag_req_v2 *
put_request(char *buffer, uint16_t flags, uint8_t family)
{
    struct nlmsghdr *header = mnl_nlmsg_put_header(buffer);
    struct inet_diag_req_v2 *request = mnl_nlmsg_put_extra_header(header, sizeof(*request));

    header->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    header->nlmsg_flags = flags;
    request->sdiag_family = family;
    request->sdiag_protocol = IPPROTO_TCP;
    request->idiag_states = ALL_STATES;
    request->idiag_ext = BIT(INET_DIAG_INFO) | BIT(INET_DIAG_SKMEMINFO);
    request->id.idiag_cookie[0] = INET_DIAG_NOCOOKIE;
    request->id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    return request;
}

struct listing {
    diag_socket_fn fn;
    void *arg;
    uint16_t family; /* 0: any; after normalising */
};

static int
on_listed(const struct nlmsghdr *header, void *arg)
{
    const struct listing *listing = arg;
    struct diag_socket socket;

    if (read_socket(header, &socket) && (!listing->family || listing->family == socket.key.family))
        listing->fn(listing->arg, &socket);
    return MNL_CB_OK;
}

static int
list_family(uint8_t family, const struct diag_filter *filter, struct listing *listing)
{
    char buffer[REQUEST_BYTES];
    struct inet_diag_req_v2 *request = put_request(buffer, NLM_F_DUMP, family);

    request->id.idiag_sport = filter->local_port;
    request->id.idiag_dport = filter->peer_port;
    if (filter->states)
        request->idiag_states = filter->states;
    return netlink_ask(NETLINK_SOCK_DIAG, (struct nlmsghdr *)buffer, on_listed, listing);
}

/* Mapped connections are in the IPv6 half, whichever family is wanted. */
int
diag_list_some(const struct diag_filter *filter, diag_socket_fn fn, void *arg)
{
    struct listing listing = {.fn = fn, .arg = arg, .family = filter->family};
    int error = 0;

    if (filter->family != AF_INET6)
        error = list_family(AF_INET, filter, &listing);
    return error ? error : list_family(AF_INET6, filter, &listing);
}

int
diag_list(diag_socket_fn fn, void *arg)
{
    const struct diag_filter everything = {0};

    return diag_list_some(&everything, fn, arg);
}

/* ---- one socket ---- */

struct search {
    const struct steer_key *key;
    struct diag_socket *out;
    bool found;
};

static bool
same_key(const struct steer_key *a, const struct steer_key *b)
{
    size_t len = a->family == AF_INET6 ? 16 : 4;

    return a->family == b->family && a->local_port == b->local_port &&
           a->peer_port == b->peer_port && memcmp(a->local, b->local, len) == 0 &&
           memcmp(a->peer, b->peer, len) == 0;
}

static void
on_candidate(void *arg, const struct diag_socket *socket)
{
    struct search *search = arg;

    if (!same_key(&socket->key, search->key))
        return;
    *search->out = *socket;
    search->found = true;
}

/* By hash. Does not find a socket that is bound to an interface, and finds a listener instead of
 * nothing. */
static int
find_by_hash(struct search *search)
{
    struct listing listing = {.fn = on_candidate, .arg = search};
    const struct steer_key *key = search->key;
    size_t len = key->family == AF_INET6 ? 16 : 4;
    char buffer[REQUEST_BYTES];
    struct inet_diag_req_v2 *request = put_request(buffer, NLM_F_ACK, (uint8_t)key->family);

    request->id.idiag_sport = key->local_port;
    request->id.idiag_dport = key->peer_port;
    memcpy(request->id.idiag_src, key->local, len);
    memcpy(request->id.idiag_dst, key->peer, len);
    return netlink_ask(NETLINK_SOCK_DIAG, (struct nlmsghdr *)buffer, on_listed, &listing);
}

int
diag_find(const struct steer_key *key, struct diag_socket *out)
{
    struct search search = {.key = key, .out = out};
    struct diag_filter filter = {
        .family = key->family, .local_port = key->local_port, .peer_port = key->peer_port};
    int error;

    if (key->family != AF_INET && key->family != AF_INET6)
        return -EINVAL;
    error = find_by_hash(&search);
    if (search.found)
        return 0;
    if (error && error != -ENOENT)
        return error;
    error = diag_list_some(&filter, on_candidate, &search);
    if (error)
        return error;
    return search.found ? 0 : -ENOENT;
}

/* ---- sockets that have gone ---- */

int
diag_open_destroyed(void)
{
    const int groups[] = {SKNLGRP_INET_TCP_DESTROY, SKNLGRP_INET6_TCP_DESTROY};

    return netlink_listen(NETLINK_SOCK_DIAG, groups, 2);
}

struct news {
    diag_gone_fn fn;
    void *arg;
};

static int
on_destroyed(const struct nlmsghdr *header, void *arg)
{
    const struct news *news = arg;
    struct diag_socket socket;

    if (read_socket(header, &socket))
        news->fn(news->arg, &socket.key);
    return MNL_CB_OK;
}

int
diag_read_destroyed(int fd, diag_gone_fn fn, void *arg)
{
    struct news news = {.fn = fn, .arg = arg};

    return netlink_read(fd, on_destroyed, &news);
}

void
diag_close_destroyed(int fd)
{
    close(fd);
}
