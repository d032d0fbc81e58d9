/*
 * What is under the host stack in the tests of this folder, in place of the kernel: steering, the
 * state of one socket, one way to its peer; the house, which is one binding; descriptors, of which
 * there are none; and memory that runs out when told to. See test_rig.h.
 */
#include "host/linux/diag.h"
#include "host/linux/route.h"
#include "host/linux/stack.h"
#include "host/linux/test_rig.h"

#include "chimney/house.h"

#include <errno.h>
#include <string.h>

struct steer {
    int unused;
};

static struct steer steer;

/* ---- frames ---- */

static unsigned
frames_to_peer(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < fake.data_count; i++)
        count += fake.data_kinds[i] == FAKE_FRAMES;
    return count;
}

void __wrap_wire_flush(struct wire *wire);
void __real_wire_flush(struct wire *wire);

void
__wrap_wire_flush(struct wire *wire)
{
    if (wire == rig.wire[0])
        rig.flushed = frames_to_peer();
    __real_wire_flush(wire);
}

/* ---- steering ---- */

int
steer_open(const struct steer_options *options, struct steer **out, const char **why)
{
    *out = &steer;
    return 0;
}

void
steer_close(struct steer *which)
{
}

uint32_t
steer_mark(const struct steer *which)
{
    return 1;
}

int
steer_wall(struct steer *which, int ifindex, const char **why)
{
    return 0;
}

int
steer_attach(struct steer *which, int ifindex, int tap_ifindex, const char **why)
{
    return 0;
}

void
steer_detach(struct steer *which, int ifindex)
{
}

int
steer_filter_fd(const struct steer *which)
{
    return -1;
}

int
steer_flow_add(struct steer *which, const struct steer_key *key)
{
    if (rig.steered)
        return -EEXIST;
    rig.steered = true;
    return 0;
}

int
steer_flow_remove(struct steer *which, const struct steer_key *key, struct steer_counters *out)
{
    struct wire_stats stats;

    if (!rig.steered)
        return -ENOENT;
    rig.steered = false;
    rig.removal.beat_ns = rig.beat_ns;
    rig.removal.to_peer = frames_to_peer();
    rig.removal.unflushed = frames_to_peer() - rig.flushed;
    wire_read_stats(rig.tap[0], &stats);
    rig.removal.to_kernel = stats.tx_frames;
    if (out)
        memset(out, 0, sizeof *out);
    return 0;
}

int
steer_flow_read(struct steer *which, const struct steer_key *key, struct steer_counters *out)
{
    memset(out, 0, sizeof *out);
    return rig.steered ? 0 : -ENOENT;
}

void
steer_beat(struct steer *which, uint64_t now_ns)
{
    if (rig.on_beat)
        rig.on_beat();
    rig.beat_ns = now_ns;
}

int
steer_snapshot(struct steer *which, const struct steer_key *key, struct steer_snapshot *out)
{
    if (rig.on_snapshot)
        rig.on_snapshot();
    if (rig.socket_gone)
        return -ENOENT;
    *out = rig.socket;
    return 0;
}

int
steer_set_congestion(struct steer *which, const struct steer_key *key, uint32_t cwnd,
                     uint32_t ssthresh)
{
    return 0;
}

/* ---- the way to the peer ---- */

int
route_lookup_as(const struct route_query *query, struct route_result *out)
{
    *out = (struct route_result){.family = query->family,
                                 .ifindex = rig.port->ifindex,
                                 .unicast = true,
                                 .next_hop_family = query->family};
    memcpy(out->next_hop, rig.key.peer, sizeof out->next_hop);
    return 0;
}

int
route_link_quick(int ifindex, struct route_link *out)
{
    *out = (struct route_link){.ifindex = ifindex,
                               .mtu = 1500,
                               .mac = {2, 0, 0, 0, 0, 1},
                               .up = true,
                               .running = true,
                               .ethernet = true};
    return 0;
}

int
route_link(int ifindex, struct route_link *out)
{
    return route_link_quick(ifindex, out);
}

int
route_link_named(const char *name, struct route_link *out)
{
    return -ENODEV;
}

int
route_neighbour(int ifindex, uint16_t family, const uint8_t *address, struct route_neighbour *out)
{
    *out = (struct route_neighbour){
        .family = family, .ifindex = ifindex, .mac = {2, 0, 0, 0, 0, 2}, .resolved = true};
    return 0;
}

int
route_provoke(int ifindex, uint16_t family, const uint8_t *address)
{
    return 0;
}

int
route_open_events(void)
{
    return 0;
}

int
route_read_events(int fd, route_event_fn fn, void *arg)
{
    return 0;
}

void
route_close_events(int fd)
{
}

/* ---- sockets ---- */

int
diag_open_destroyed(void)
{
    return 0;
}

int
diag_read_destroyed(int fd, diag_gone_fn fn, void *arg)
{
    return 0;
}

void
diag_close_destroyed(int fd)
{
}

/* Nobody asks through the control socket: requests have no waiter. */
void
hoststack_waiter_done(struct hoststack_waiter *waiter, const struct hoststack_move *move)
{
}

/* ---- the house ---- */

struct house {
    struct host *host;
};

static struct house house;

struct sys_loop *
house_loop(const struct house *which)
{
    return rig.loop;
}

int
house_load(struct house *which, const char *name, house_driver_entry entry, void *context)
{
    house.host = context;
    return 0;
}

int
house_bind(struct house *which, const char *protocol, const char *adapter, const char *section)
{
    return fake_start(house.host) ? 0 : -EIO;
}

int
house_unbind(struct house *which, const char *protocol, const char *adapter)
{
    return 0;
}

/* Asserts that nothing is below any more. */
int
house_unload(struct house *which, const char *name)
{
    fake_stop();
    return 0;
}

/* ---- what the linker wraps ---- */

int __wrap_sys_watch_start(struct sys_watch *watch, struct sys_loop *loop, int fd, int events,
                           void (*fn)(void *arg, int events), void *arg);
void *__wrap_calloc(size_t count, size_t size);
void *__real_calloc(size_t count, size_t size);

/* In virtual time there are no descriptors; this one never becomes readable. */
int
__wrap_sys_watch_start(struct sys_watch *watch, struct sys_loop *loop, int fd, int events,
                       void (*fn)(void *arg, int events), void *arg)
{
    *watch = (struct sys_watch){.fd = -1};
    return 0;
}

void *
__wrap_calloc(size_t count, size_t size)
{
    if (rig.refuse_bytes && count * size == rig.refuse_bytes) {
        rig.refuse_bytes = 0;
        return NULL;
    }
    return __real_calloc(count, size);
}

/* ---- requests: nobody asks ---- */

void
hoststack_forget_requests(struct hoststack *stack)
{
}
