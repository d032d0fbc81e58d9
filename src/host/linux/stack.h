/*
 * The Linux host stack: interfaces, the heart beat, and what the user asks for. Private to
 * src/host/linux.
 */
#ifndef HOST_LINUX_STACK_H
#define HOST_LINUX_STACK_H

#include "base/list.h"
#include "bpf/steer.h"
#include "chimney/hoststack.h"
#include "chimney/wire.h"
#include "host/host.h"
#include "host/linux/way.h"
#include "sys/loop.h"

struct diag;
struct live_conn;

/* One interface, or a port: TAP, binding, and what is under it. */
struct live_port {
    struct list link;
    struct hoststack *stack;
    char ifname[16];
    int ifindex;
    bool own; /* the interface is the TAP: everything passes us, nothing is steered */
    struct wire *tap;
    struct wire *wires[HOSTSTACK_WIRES]; /* at the bottom of the driver stack: only to gag, to
                                            flush, and their MTU */
    unsigned wire_count;
    uint32_t mtu; /* of the interface, as last heard; 0: not yet */
    uint8_t mac[6];
    struct host_binding *binding;
    char adapter[64];
    TCP_OFFLOAD_STATS wire_stats[2]; /* IPv4, IPv6; as the target told last */
    struct sys_task announce;        /* a port's addresses */
};

#define HOSTSTACK_BUCKETS 4096u

struct hoststack {
    struct house *house;
    struct sys_loop *loop;
    struct hoststack_options options;
    struct host *host;
    struct steer *steer;
    struct list ports, conns, dirty, waiters;
    struct live_conn *table[HOSTSTACK_BUCKETS]; /* conns by key; chained by their table_next */
    uint64_t table_seed;
    unsigned conn_count;
    struct diag *diag;
    struct sys_watch destroy_watch;
    int destroy_fd;
    struct sys_watch news_watch; /* of links, neighbours and routes */
    int news_fd;
    uint32_t way_epoch;  /* raised by news that may concern any connection */
    uint32_t lost_epoch; /* when news were lost last */
    unsigned looks_due;  /* connections that have to be looked at soon */
    struct sys_timer beat;
    struct sys_task output; /* serves the dirty connections */
    bool gagged;            /* a beat was missed; silent until every flow is given up */
    uint64_t last_beat_us;
    uint64_t next_restore_us; /* of a congestion window, at the earliest */
    uint64_t next_id;
    struct hoststack_totals totals;
    void (*on_move)(void *arg, const struct hoststack_move *move);
    void *on_move_arg;
    bool closing;
};

/* ---- request.c: what the user asks for ---- */
struct hoststack_waiter;
/* One connection of the waiter's request has come to an end. */
void hoststack_waiter_done(struct hoststack_waiter *waiter, const struct hoststack_move *move);
/* Ends what is still being asked, served or not. No move may be under way any more. */
void hoststack_forget_requests(struct hoststack *stack);

/* ---- reason.c ---- */
const char *hoststack_state_name(uint32_t kernel_state);

/* ---- heart.c ---- */
/* False: we must be silent. Called wherever something may make us speak. */
bool hoststack_alive(struct hoststack *stack);
/* Inside a turn that does a bounded piece of work for each of many: a beat, unless one was missed
 * already. */
void hoststack_keep_beating(struct hoststack *stack);
/* Any connection that is not simply the kernel's. */
bool hoststack_busy(const struct hoststack *stack);
/*
 * A kernel socket is gone. Without a FIN or RST through the TAP it died silently (TCP_USER_TIMEOUT,
 * or killed by an administrator): nobody will ever answer the peer, so its wire is reset. One that
 * became TIME_WAIT had sent its FIN.
 */
void hoststack_socket_gone(struct live_conn *conn);
void hoststack_beat(void *arg);

/* ---- watch.c ---- */
int watch_open(struct hoststack *stack);
void watch_close(struct hoststack *stack);
/* The way that the kernel would take for this socket. */
enum hoststack_reason watch_find_way(struct hoststack *stack, const struct steer_key *key,
                                     const struct steer_snapshot *snap, struct live_port **port,
                                     struct way *way);
/* From here on the connection follows its way. */
void watch_start(struct live_conn *conn, const struct way *way, const struct steer_snapshot *snap);
/* In its turn: whatever has changed since the last look. snap: of the kernel socket; NULL: it has
 * none any more. */
void watch_look(struct live_conn *conn, const struct steer_snapshot *snap);

/* ---- announce.c ---- */
#define ANNOUNCE_BYTES 86u
/* The frames; their length. */
size_t announce_ipv4(const uint8_t mac[6], const uint8_t address[4], uint8_t frame[ANNOUNCE_BYTES]);
size_t announce_ipv6(const uint8_t mac[6], const uint8_t address[16],
                     uint8_t frame[ANNOUNCE_BYTES]);
/* Of a struct live_port: says where its addresses are. */
void hoststack_announce(void *port);

/* ---- stack.c ---- */
void hoststack_flush_wires(struct live_port *port);
/* The smallest. */
uint32_t hoststack_wire_mtu(const struct live_port *port);
/* It is the link address of each of them. */
bool hoststack_wires_have(const struct live_port *port, const uint8_t mac[6]);
struct live_port *hoststack_port_by_index(struct hoststack *stack, int ifindex);
uint64_t hoststack_now_us(const struct hoststack *stack);
/* Tells the figures and the log of a finished move. */
void hoststack_count_move(struct hoststack *stack, const struct hoststack_move *move);

#endif
