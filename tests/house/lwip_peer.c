/*
 * See lwip_peer.h. lwIP runs on the caller's thread, without its own: its timers are asked for and
 * turned by ours, and the two functions by which it would depend on the machine, the clock and the
 * choice of initial sequence numbers, are defined here in front of the library's. So it lives in
 * virtual time, and does the same again.
 *
 * A connection has an interface of its own, below which its frames begin: Ethernet and the tag are
 * added and taken off here. The handshake is made up: a SYN with the options that ours would have,
 * the ACK for the answer; then its numbers are those of the plan. What lwIP keeps between
 * connections is put back when the last one goes.
 *
 * Two functions have a name that src/tcp has, too, and here that one would be called: tcp_close is
 * asked for at run time, tcp_abandon does what tcp_abort does.
 */
#include "lwip_peer.h"

#include "base/bytes.h"
#include "base/checksum.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <lwip/init.h>
#include <lwip/ip.h>
#include <lwip/netif.h>
#include <lwip/pbuf.h>
#include <lwip/priv/tcp_priv.h>
#include <lwip/tcp.h>
#include <lwip/timeouts.h>

#define ETHERNET 14u
#define TAG 4u
#define FRAME_MAX 2048u
#define PART 1024u
#define SECOND_US 1000000u

struct lwip_peer {
    struct peer peer; /* first: it is what the others see */
    struct netif netif;
    struct tcp_pcb *pcb; /* NULL: gone, or nobody's business any more */
    struct lwip_peer *next;
    uint64_t written, taken; /* bytes given to it, and delivered */
    uint16_t next_id;        /* of its IPv4 packets */
    bool silent;             /* its frames go nowhere */
    bool fin_sent, closed;   /* closed: both FINs are through */
};

static struct {
    err_t (*close)(struct tcp_pcb *pcb); /* NULL: not initialised */
    struct sys_loop *loop;
    struct sys_timer timer;
    struct lwip_peer *peers;
    uint64_t base_us; /* of its clock, which goes on from one loop to the next */
    uint64_t end_us;
    uint32_t iss;
} world;

/* ---- what the library asks ---- */

__attribute__((visibility("default"))) u32_t
sys_now(void)
{
    uint64_t us = world.loop ? world.base_us + sys_loop_now_us(world.loop) : world.end_us;

    return (u32_t)(us / 1000);
}

__attribute__((visibility("default"))) u32_t
tcp_next_iss(struct tcp_pcb *pcb)
{
    return world.iss;
}

/* ---- time ---- */

static void
finish(struct lwip_peer *lwip, enum peer_end end)
{
    if (lwip->peer.end != PEER_OPEN)
        return;
    lwip->peer.end = end;
    lwip->peer.app->on_end(lwip->peer.arg, end);
}

static void
look(struct lwip_peer *lwip)
{
    if (lwip->pcb && lwip->pcb->state == TIME_WAIT) {
        /* it will go without telling */
        tcp_arg(lwip->pcb, NULL);
        lwip->pcb = NULL;
        lwip->closed = true;
    }
    if (lwip->closed && lwip->peer.fin_told && !lwip->peer.held)
        finish(lwip, PEER_CLOSED);
}

/* After everything that may have moved it. */
static void
settle(void)
{
    u32_t sleep_ms;

    for (struct lwip_peer *lwip = world.peers; lwip; lwip = lwip->next)
        look(lwip);
    sleep_ms = sys_timeouts_sleeptime();
    sys_timer_set(&world.timer,
                  sleep_ms == SYS_TIMEOUTS_SLEEPTIME_INFINITE
                      ? SYS_NEVER
                      : sys_loop_now_us(world.loop) / 1000 * 1000 + sleep_ms * 1000ull);
}

static void
on_timer(void *arg)
{
    sys_check_timeouts();
    settle();
}

/* Its slow timer is every second turn of the fast one: the next one is. */
static bool
world_begin(struct sys_loop *loop)
{
    if (sys_timer_init(&world.timer, loop, on_timer, NULL))
        return false;
    world.base_us = world.end_us - sys_loop_now_us(loop) / SECOND_US * SECOND_US;
    world.loop = loop;
    if (!world.close)
        lwip_init();
    *(void **)&world.close = dlsym(RTLD_DEFAULT, "tcp_close");
    do
        tcp_ticks = 0, tcp_tmr();
    while (!tcp_ticks);
    return true;
}

/* Until its timer has found that there is nothing left to do. */
static void
world_end(void)
{
    while (tcp_tw_pcbs)
        tcp_abandon(tcp_tw_pcbs, 1);
    world.end_us = (world.base_us + sys_loop_now_us(world.loop)) / SECOND_US * SECOND_US +
                   2 * SECOND_US;
    sys_timer_fini(&world.timer);
    world.loop = NULL;
    sys_check_timeouts();
    world.end_us += 2 * SECOND_US;
    sys_check_timeouts();
}

/* ---- frames ---- */

/* The library numbers all packets that it has ever sent: the same run again would be another. */
static void
number_v4(struct lwip_peer *lwip, uint8_t *header)
{
    uint16_t before = bytes_load_be16(header + 4), id = lwip->next_id++;

    bytes_store_be16(header + 4, id);
    bytes_store_be16(header + 10, checksum_adjust16(bytes_load_be16(header + 10), before, id));
}

static err_t
leave(struct lwip_peer *lwip, struct pbuf *packet)
{
    const struct peer_path *path = &lwip->peer.options.path;
    uint8_t frame[FRAME_MAX];
    struct bytes_writer to = bytes_writer(frame, ETHERNET + TAG);
    size_t header = ETHERNET + (path->vlan ? TAG : 0);

    bytes_put(&to, path->remote_mac, 6);
    bytes_put(&to, path->local_mac, 6);
    if (path->vlan)
        bytes_put_be32(&to, 0x81000000u | path->vlan);
    bytes_put_be16(&to, path->ipv6 ? 0x86dd : 0x0800);
    if (packet->tot_len > FRAME_MAX - header)
        return ERR_BUF;
    pbuf_copy_partial(packet, frame + header, packet->tot_len, 0);
    if (!path->ipv6)
        number_v4(lwip, frame + header);
    if (!lwip->silent && frame[header + (path->ipv6 ? 6 : 9)] == IP_PROTO_TCP)
        lwip->peer.app->send(lwip->peer.arg, frame, header + packet->tot_len);
    return ERR_OK;
}

static err_t
leave_v4(struct netif *netif, struct pbuf *packet, const ip4_addr_t *to)
{
    return leave(netif->state, packet);
}

static err_t
leave_v6(struct netif *netif, struct pbuf *packet, const ip6_addr_t *to)
{
    return leave(netif->state, packet);
}

static void
arrive(struct lwip_peer *lwip, const uint8_t *packet, size_t len)
{
    struct pbuf *p = pbuf_alloc(PBUF_RAW, (u16_t)len, PBUF_RAM);

    if (!p)
        abort();
    pbuf_take(p, packet, (u16_t)len);
    if (ip_input(p, &lwip->netif) != ERR_OK)
        pbuf_free(p);
}

/* ---- its application ---- */

static void
deliver(struct lwip_peer *lwip)
{
    struct peer *peer = &lwip->peer;
    uint32_t held = peer->held;

    if (!peer->reading)
        return;
    peer->held = 0;
    for (uint32_t left = held, part; lwip->pcb && left; left -= part) {
        part = left < UINT16_MAX ? left : UINT16_MAX;
        tcp_recved(lwip->pcb, (u16_t)part);
    }
    if (held)
        peer->app->on_data(peer->arg, held);
    if (peer->fin_received && !peer->fin_told) {
        peer->fin_told = true;
        peer->app->on_fin(peer->arg);
    }
}

static void
push(struct lwip_peer *lwip)
{
    struct peer *peer = &lwip->peer;
    uint8_t bytes[PART];

    while (lwip->pcb && lwip->written < peer->total) {
        uint64_t left = peer->total - lwip->written;
        size_t room = tcp_sndbuf(lwip->pcb), part = left < sizeof bytes ? left : sizeof bytes;
        part = part < room ? part : room;
        if (part)
            peer->app->fill(peer->arg, lwip->written, bytes, part);
        if (!part || tcp_write(lwip->pcb, bytes, (u16_t)part, TCP_WRITE_FLAG_COPY) != ERR_OK)
            break;
        lwip->written += part;
    }
    /* 2.1.3 leaves the FIN with the first part when it splits its last segment for a small window
     */
    if (lwip->pcb && peer->fin_wanted && !lwip->fin_sent && lwip->written == peer->total &&
        !tcp_sndqueuelen(lwip->pcb))
        lwip->fin_sent = tcp_shutdown(lwip->pcb, 0, 1) == ERR_OK;
    if (lwip->pcb)
        tcp_output(lwip->pcb);
}

static err_t
on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *p, err_t error)
{
    struct lwip_peer *lwip = arg;
    struct peer *peer = &lwip->peer;

    if (!p)
        peer->fin_received = true;
    for (struct pbuf *q = p; q; q = q->next) {
        if (!peer->app->is_right(peer->arg, lwip->taken, q->payload, q->len))
            peer_violation(peer, "wrong bytes for lwIP at %llu", (unsigned long long)lwip->taken);
        lwip->taken += q->len;
        peer->held += q->len;
    }
    if (p)
        pbuf_free(p);
    deliver(lwip);
    return ERR_OK;
}

static err_t
on_sent(void *arg, struct tcp_pcb *pcb, u16_t len)
{
    push(arg);
    return ERR_OK;
}

static err_t
on_poll(void *arg, struct tcp_pcb *pcb)
{
    push(arg);
    return ERR_OK;
}

static void
on_error(void *arg, err_t error)
{
    struct lwip_peer *lwip = arg;

    if (!lwip)
        return;
    lwip->pcb = NULL;
    if (error == ERR_CLSD)
        lwip->closed = true;
    else
        finish(lwip, error == ERR_RST ? PEER_RESET : PEER_TIMEOUT);
}

static err_t
on_accept(void *arg, struct tcp_pcb *pcb, err_t error)
{
    struct lwip_peer *lwip = arg;

    if (!pcb || error != ERR_OK)
        return ERR_VAL;
    lwip->pcb = pcb;
    tcp_arg(pcb, lwip);
    tcp_recv(pcb, on_received);
    tcp_sent(pcb, on_sent);
    tcp_err(pcb, on_error);
    tcp_poll(pcb, on_poll, 2);
    return ERR_OK;
}

/* ---- what peer.h asks ---- */

static bool
frame_in(struct peer *peer, const uint8_t *bytes, size_t len, bool damaged)
{
    struct lwip_peer *lwip = (struct lwip_peer *)peer;
    struct peer_segment segment;

    if (!peer_frame_read(bytes, len, len, false, &segment) ||
        !peer_frame_is_for(&segment, &peer->options.path))
        return false;
    if (!damaged && !peer_frame_sums_right(bytes, &segment))
        peer_violation(peer, "a wrong checksum at seq %u", segment.seq);
    peer->segments_in++;
    arrive(lwip, segment.ip, segment.headers + segment.len);
    settle();
    return true;
}

static void
offer(struct peer *peer, uint64_t bytes)
{
    if (peer->fin_wanted)
        return;
    peer->total += bytes;
    push((struct lwip_peer *)peer);
    settle();
}

static void
read_on(struct peer *peer, bool on)
{
    peer->reading = on;
    deliver((struct lwip_peer *)peer);
    settle();
}

static void
close_it(struct peer *peer)
{
    peer->fin_wanted = true;
    push((struct lwip_peer *)peer);
    settle();
}

static void
abort_it(struct peer *peer)
{
    struct lwip_peer *lwip = (struct lwip_peer *)peer;
    struct tcp_pcb *pcb = lwip->pcb;

    lwip->pcb = NULL;
    if (pcb) {
        tcp_arg(pcb, NULL);
        tcp_abandon(pcb, 1);
    }
    finish(lwip, PEER_ABORTED);
    settle();
}

static void
destroy(struct peer *peer)
{
    struct lwip_peer *lwip = (struct lwip_peer *)peer, **link = &world.peers;

    lwip->silent = true;
    if (lwip->pcb) {
        tcp_arg(lwip->pcb, NULL);
        tcp_abandon(lwip->pcb, 1);
    }
    while (*link != lwip)
        link = &(*link)->next;
    *link = lwip->next;
    netif_remove(&lwip->netif);
    if (!world.peers)
        world_end();
    free(lwip);
}

static const struct peer_kind kind = {frame_in, offer, read_on, close_it, abort_it, destroy};

/* ---- the handshake ---- */

static err_t
init_netif(struct netif *netif)
{
    netif->output = leave_v4;
    netif->output_ip6 = leave_v6;
    netif->mtu = netif->mtu6 = 1500;
    netif->flags = NETIF_FLAG_LINK_UP;
    return ERR_OK;
}

static void
address(const uint8_t *bytes, bool ipv6, ip_addr_t *out)
{
    memset(out, 0, sizeof *out);
    if (ipv6) {
        memcpy(ip_2_ip6(out)->addr, bytes, 16);
        IP_SET_TYPE(out, IPADDR_TYPE_V6);
    } else {
        memcpy(&ip_2_ip4(out)->addr, bytes, 4);
        IP_SET_TYPE(out, IPADDR_TYPE_V4);
    }
}

/* Its second IPv6 address: without a first one it does not look for routers. */
static bool
raise_netif(struct lwip_peer *lwip, const ip_addr_t *local)
{
    bool ipv6 = lwip->peer.options.path.ipv6;
    ip4_addr_t none = {0}, mask = {0xffffffffu};

    if (!netif_add(&lwip->netif, ipv6 ? &none : ip_2_ip4(local), ipv6 ? &none : &mask, &none, lwip,
                   init_netif, ip_input))
        return false;
    lwip->netif.mtu = lwip->netif.mtu6 = (u16_t)(lwip->peer.options.mss + (ipv6 ? 60 : 40));
    netif_set_up(&lwip->netif);
    if (ipv6) {
        netif_ip6_addr_set(&lwip->netif, 1, ip_2_ip6(local));
        netif_ip6_addr_set_state(&lwip->netif, 1, IP6_ADDR_PREFERRED);
    }
    return true;
}

/* From our side: the payload becomes the options. */
static void
say(struct lwip_peer *lwip, struct peer_segment *segment)
{
    const struct peer_path *path = &lwip->peer.options.path;
    struct peer_path ours = *path;
    uint8_t frame[PEER_HEADERS_MAX];
    uint32_t words = segment->len / 4;

    memcpy(ours.local, path->remote, 16);
    memcpy(ours.remote, path->local, 16);
    ours.local_port = path->remote_port;
    ours.remote_port = path->local_port;
    ours.vlan = 0;
    segment->ttl = 64;
    size_t len = peer_frame_write(frame, &ours, segment);
    uint8_t *tcp = frame + ETHERNET + (path->ipv6 ? 40 : 20);
    uint16_t before = bytes_load_be16(tcp + 12);
    tcp[12] = (uint8_t)((5 + words) << 4);
    bytes_store_be16(
        tcp + 16, checksum_adjust16(bytes_load_be16(tcp + 16), before, bytes_load_be16(tcp + 12)));
    arrive(lwip, frame + ETHERNET, len - ETHERNET);
}

static void
shake_hands(struct lwip_peer *lwip)
{
    const struct peer_options *options = &lwip->peer.options;
    uint8_t mss[8] = {2, 4, (uint8_t)(options->mss >> 8), (uint8_t)options->mss, 1,
                      3, 3, options->snd_wscale};
    bool scaling = options->rcv_wscale != 0;
    uint32_t window = options->window >> options->snd_wscale;
    struct peer_segment syn = {.seq = options->rcv_seq - 1,
                               .flags = PEER_SYN,
                               .window = UINT16_MAX,
                               .len = scaling ? 8 : 4,
                               .payload = mss};
    struct peer_segment ack = {.seq = options->rcv_seq,
                               .ack = options->snd_seq,
                               .flags = PEER_ACK,
                               .window = (uint16_t)(window < UINT16_MAX ? window : UINT16_MAX)};

    world.iss = options->snd_seq - 1;
    say(lwip, &syn);
    say(lwip, &ack);
}

static bool
accept_one(struct lwip_peer *lwip, const ip_addr_t *local)
{
    struct tcp_pcb *listener = tcp_new_ip_type(IP_GET_TYPE(local)), *open;

    if (!listener)
        return false;
    ip_set_option(listener, SOF_REUSEADDR);
    tcp_bind_netif(listener, &lwip->netif);
    if (tcp_bind(listener, local, lwip->peer.options.path.local_port) != ERR_OK ||
        !(open = tcp_listen(listener))) {
        tcp_abandon(listener, 0);
        return false;
    }
    tcp_arg(open, lwip);
    tcp_accept(open, on_accept);
    lwip->silent = true;
    shake_hands(lwip);
    lwip->silent = false;
    world.close(open);
    return lwip->pcb && lwip->pcb->state == ESTABLISHED;
}

bool
lwip_peer_here(void)
{
    return true;
}

struct peer *
lwip_peer_create(struct sys_loop *loop, const struct peer_options *options,
                 const struct peer_app *app, void *arg)
{
    struct lwip_peer *lwip = calloc(1, sizeof *lwip);
    ip_addr_t local;

    if (!lwip || (!world.loop && !world_begin(loop))) {
        free(lwip);
        return NULL;
    }
    lwip->peer = (struct peer){
        .loop = loop, .options = *options, .app = app, .arg = arg, .kind = &kind, .reading = true};
    lwip->next = world.peers;
    world.peers = lwip;
    address(options->path.local, options->path.ipv6, &local);
    if (!raise_netif(lwip, &local) || !accept_one(lwip, &local)) {
        destroy(&lwip->peer);
        return NULL;
    }
    settle();
    return &lwip->peer;
}
