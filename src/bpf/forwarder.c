/*
 * The plain forwarder of the tests: what the kernel sends into the TAP goes out of the packet
 * socket, what the packet socket is given goes into the TAP, headers and all. It shows that
 * steering alone changes nothing in a stream.
 */
#include "bpf/testnet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAME_BYTES 70000
#define HEADER_BYTES 10 /* struct virtio_net_hdr */
#define BUFFER_BYTES (8 << 20)
#define BATCH 32
#define REST_MS 10

static void
raise_interface(struct ifreq *request)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    testnet_require(fd >= 0);
    testnet_require(ioctl(fd, SIOCGIFFLAGS, request) == 0);
    request->ifr_flags |= IFF_UP | IFF_NOARP;
    testnet_require(ioctl(fd, SIOCSIFFLAGS, request) == 0);
    close(fd);
}

/* Without a link-local address of its own the kernel has nothing to say into the TAP. */
static void
silence(const char *name)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/addr_gen_mode", name);
    file = fopen(path, "w");
    if (!file)
        return; /* no IPv6 here */
    testnet_require(fputs("1", file) >= 0);
    testnet_require(fclose(file) == 0);
}

int
testnet_tap(int *ifindex)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    int header = HEADER_BYTES;
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

    testnet_require(fd >= 0);
    strcpy(request.ifr_name, "ctap%d");
    testnet_require(ioctl(fd, TUNSETIFF, &request) == 0);
    testnet_require(ioctl(fd, TUNSETVNETHDRSZ, &header) == 0);
    testnet_require(
        ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) == 0);
    *ifindex = (int)if_nametoindex(request.ifr_name);
    silence(request.ifr_name);
    raise_interface(&request);
    return fd;
}

int
testnet_packet_socket(int ifindex)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = ifindex};
    int one = 1, bytes = BUFFER_BYTES;
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    testnet_require(fd >= 0);
    testnet_require(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) == 0);
    testnet_require(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) == 0);
    testnet_require(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) == 0);
    testnet_require(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes)) == 0);
    testnet_require(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

/* Deaf until it is armed: protocol 0 receives nothing. */
void
testnet_forwarder_open(struct testnet_forwarder *forwarder, int ifindex)
{
    memset(forwarder, 0, sizeof(*forwarder));
    forwarder->tap = testnet_tap(&forwarder->tap_ifindex);
    forwarder->packet = testnet_packet_socket(ifindex);
    forwarder->frame = malloc(FRAME_BYTES);
    testnet_require(forwarder->frame != NULL);
}

void
testnet_forwarder_arm(struct testnet_forwarder *forwarder, const struct steer *steer)
{
    struct sockaddr_ll address;
    socklen_t len = sizeof(address);
    uint32_t mark = steer_mark(steer);
    int filter = steer_filter_fd(steer);

    testnet_require(setsockopt(forwarder->packet, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) == 0);
    testnet_require(
        setsockopt(forwarder->packet, SOL_SOCKET, SO_ATTACH_BPF, &filter, sizeof(filter)) == 0);
    testnet_require(getsockname(forwarder->packet, (struct sockaddr *)&address, &len) == 0);
    address.sll_protocol = htons(ETH_P_ALL);
    testnet_require(bind(forwarder->packet, (struct sockaddr *)&address, sizeof(address)) == 0);
}

/* A frame that cannot be written is lost, as on any wire. */
static bool
pass_on(struct testnet_forwarder *forwarder, int from, int to, uint64_t *counter)
{
    ssize_t len = read(from, forwarder->frame, FRAME_BYTES);

    if (len < HEADER_BYTES + ETH_HLEN)
        return false;
    if (write(to, forwarder->frame, (size_t)len) == len)
        ++*counter;
    else
        forwarder->dropped++;
    return true;
}

bool
testnet_forwarder_turn(struct testnet_forwarder *forwarder)
{
    bool any = false;

    for (int i = 0; i < BATCH; i++) {
        bool out = pass_on(forwarder, forwarder->tap, forwarder->packet, &forwarder->out);
        bool in = pass_on(forwarder, forwarder->packet, forwarder->tap, &forwarder->in);

        if (!out && !in)
            break;
        any = true;
    }
    return any;
}

void
testnet_forwarder_close(struct testnet_forwarder *forwarder)
{
    close(forwarder->packet);
    close(forwarder->tap);
    free(forwarder->frame);
}

void
testnet_rest(const struct testnet_stream *stream, const struct testnet_forwarder *forwarder)
{
    struct pollfd wait[4] = {{.fd = -1}, {.fd = -1}, {.fd = -1}, {.fd = -1}};

    if (stream) {
        wait[0] = (struct pollfd){.fd = stream->to, .events = POLLIN};
        if (stream->sent < stream->total)
            wait[1] = (struct pollfd){.fd = stream->from, .events = POLLOUT};
    }
    if (forwarder) {
        wait[2] = (struct pollfd){.fd = forwarder->tap, .events = POLLIN};
        wait[3] = (struct pollfd){.fd = forwarder->packet, .events = POLLIN};
    }
    poll(wait, 4, REST_MS);
}
