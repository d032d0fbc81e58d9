/*
 * The Linux host stack: lends live connections of unmodified processes to the chimney and takes
 * them back. The process keeps its kernel socket; only the wire of the connection changes hands.
 *
 * Threads: the loop of the house. Answers come through callbacks, never on the caller's stack.
 * Errors: 0 or a negative errno for the call itself; what became of each connection is in struct
 * hoststack_move.
 */
#ifndef CHIMNEY_HOSTSTACK_H
#define CHIMNEY_HOSTSTACK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct house;
struct hoststack;
struct _TCP_OFFLOAD_STATE_DELEGATED; /* <ndischimney.h> */
struct sys_loop;
struct wire;

/* Stable tokens, with the words that go with them. HOSTSTACK_REASON(token, words). */
/* Not for clang-format: it would put spaces around the - of the tokens, and #token would show them.
 */
/* clang-format off */
#define HOSTSTACK_REASONS(X)                                                                       \
    X(none, "done")                                                                                \
    X(no-such-connection, "no TCP connection matches")                                             \
    X(not-established, "the connection is not in a state that can be offloaded")                   \
    X(listening, "the socket is listening, it is not a connection")                                \
    X(loopback, "the connection is on the loopback interface, it has no wire")                     \
    X(no-stack, "its interface has no driver stack; add a [stack IFNAME] section")                 \
    X(interface-down, "its interface is down, gone or without carrier")                            \
    X(mptcp, "it is an MPTCP subflow")                                                             \
    X(md5, "it uses TCP MD5 signatures")                                                           \
    X(tcp-ao, "it uses the TCP authentication option")                                             \
    X(ecn, "ECN was negotiated: accurate ECN, or the target does not know it")                  \
    X(microsecond-timestamps, "its timestamps have the microsecond clock")                         \
    X(urgent-data, "urgent data is pending")                                                       \
    X(already-offloaded, "it is offloaded already")                                                \
    X(not-offloaded, "it is not offloaded")                                                        \
    X(busy, "another move of this connection is in progress")                                      \
    X(no-neighbour, "its next hop has no resolved link address")                                   \
    X(no-route, "there is no route to its peer")                                                   \
    X(route-changed, "the way to its peer has changed, the kernel carries on")                     \
    X(paused, "offloading over this adapter is paused")                                            \
    X(target-refused, "the offload target refused it")                                             \
    X(no-quiet-moment, "its streams did not come to a point where both sides agree; try again")    \
    X(died-during-move, "its own ends closed or reset it before it had moved")                     \
    X(closed, "the connection was closed by its owner")                                            \
    X(reset-by-peer, "the peer reset the connection")                                              \
    X(reset-by-owner, "its owner reset the connection")                                            \
    X(owner-vanished, "the kernel socket died without a word; the wire was reset")                 \
    X(peer-finished, "the peer closed its half, the kernel carries on")                            \
    X(missed-beat, "the daemon was late, the kernel carries on")                                   \
    X(target-asked, "the offload target asked for the upload")                                     \
    X(target-failed, "the offload target did not hand it back whole, the kernel carries on")       \
    X(timeout, "the peer does not answer, the kernel carries on")                                  \
    X(shutting-down, "the daemon is shutting down")                                                \
    X(no-memory, "out of memory")                                                                  \
    X(no-privilege, "needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF")                                \
    X(internal, "an error in this program; please report it")
/* clang-format on */

/* The token is spelled with - in text and is the enumerator's index:
 * hoststack_reason_token(reason). */
enum hoststack_reason {
    HOSTSTACK_NONE,
    HOSTSTACK_NO_SUCH_CONNECTION,
    HOSTSTACK_NOT_ESTABLISHED,
    HOSTSTACK_LISTENING,
    HOSTSTACK_LOOPBACK,
    HOSTSTACK_NO_STACK,
    HOSTSTACK_INTERFACE_DOWN,
    HOSTSTACK_MPTCP,
    HOSTSTACK_MD5,
    HOSTSTACK_TCP_AO,
    HOSTSTACK_ECN,
    HOSTSTACK_MICROSECOND_TIMESTAMPS,
    HOSTSTACK_URGENT_DATA,
    HOSTSTACK_ALREADY_OFFLOADED,
    HOSTSTACK_NOT_OFFLOADED,
    HOSTSTACK_BUSY,
    HOSTSTACK_NO_NEIGHBOUR,
    HOSTSTACK_NO_ROUTE,
    HOSTSTACK_ROUTE_CHANGED,
    HOSTSTACK_PAUSED,
    HOSTSTACK_TARGET_REFUSED,
    HOSTSTACK_NO_QUIET_MOMENT,
    HOSTSTACK_DIED_DURING_MOVE,
    HOSTSTACK_CLOSED,
    HOSTSTACK_RESET_BY_PEER,
    HOSTSTACK_RESET_BY_OWNER,
    HOSTSTACK_OWNER_VANISHED,
    HOSTSTACK_PEER_FINISHED,
    HOSTSTACK_MISSED_BEAT,
    HOSTSTACK_TARGET_ASKED,
    HOSTSTACK_TARGET_FAILED,
    HOSTSTACK_TIMEOUT,
    HOSTSTACK_SHUTTING_DOWN,
    HOSTSTACK_NO_MEMORY,
    HOSTSTACK_NO_PRIVILEGE,
    HOSTSTACK_INTERNAL,
    HOSTSTACK_REASON_COUNT
};
const char *hoststack_reason_token(enum hoststack_reason reason);
const char *hoststack_reason_words(enum hoststack_reason reason);

/* ---- building ---- */
struct hoststack_options {
    uint32_t mark;              /* 0: default */
    uint32_t backlog_min_bytes; /* run-ahead never bounded below this; 0: 128 KiB */
    bool auto_keep_log;         /* unused; zero */
};

/* Loads the BPF programs and registers the protocol driver with the house under the name "linux".
 */
int hoststack_create(struct house *house, const struct hoststack_options *options,
                     struct hoststack **out, const char **why);
/* Gives every connection back first (turns the loop, at most a second). */
void hoststack_destroy(struct hoststack *stack);

/* For wire_packet_open of the interface's wire. */
int hoststack_wire_filter(const struct hoststack *stack);
uint32_t hoststack_wire_mark(const struct hoststack *stack);

/* Whether connections over it can be offloaded at all. 0; -ENODEV; -EINVAL: it has no wire;
 * -EOPNOTSUPP; with a sentence in *why. */
int hoststack_check_interface(const char *ifname, const char **why);

/*
 * Serves interface ifname: binds to adapter (the top of its driver stack) and steers through tap.
 * wire is the one at the bottom of that stack: only gagged, while this process may have lost the
 * right to speak. Owner: tap passes to the stack on success; wire stays the caller's and must
 * outlive the stack.
 */
int hoststack_add_interface(struct hoststack *stack, const char *ifname, const char *adapter,
                            struct wire *tap, struct wire *wire, const char **why);

/*
 * Serves a port: an interface of ours that the kernel uses like any other, all of whose traffic
 * goes through the driver stack. Its connections need no steering, and the kernel is kept away from
 * the interfaces under it. wires: those at the bottom of the stack. Otherwise as above.
 */
#define HOSTSTACK_WIRES 4
int hoststack_add_port(struct hoststack *stack, const char *ifname, const char *adapter,
                       struct wire *tap, struct wire *const *wires, unsigned wire_count,
                       const char **why);

/* ---- connections ---- */
struct hoststack_endpoint {
    bool any_address, any_port;
    uint16_t family; /* AF_INET, AF_INET6; ignored with any_address */
    uint16_t port;   /* host order */
    uint8_t address[16];
};

struct hoststack_selector {
    pid_t pid; /* 0: any process */
    struct hoststack_endpoint local, peer;
};

/* "10.0.0.1:80", "[fe80::1]:80", ":443", "10.0.0.1". 0 or -EINVAL. */
int hoststack_parse_endpoint(const char *text, struct hoststack_endpoint *out);

struct hoststack_conn_info {
    uint64_t id; /* of this daemon; 0: not ours at the moment */
    struct hoststack_endpoint local, peer;
    char state[16]; /* ESTABLISHED … */
    char owner[16]; /* kernel, bridge, target, moving */
    char interface[16];
    pid_t pid; /* 0: unknown */
    char command[32];
    uint64_t inode;
    uint32_t moves_down, moves_up;
    uint64_t engine_bytes_out,
        engine_bytes_in;         /* acknowledged by the peer / by the kernel, through the engine */
    uint64_t kernel_retransmits; /* segments since the first move */
    uint64_t leaked;             /* unmarked frames that passed the steering */
    uint64_t offloaded_us;       /* time with the target, in all */
};

enum hoststack_outcome {
    HOSTSTACK_DONE,    /* as asked */
    HOSTSTACK_REFUSED, /* untouched: it is where it was, unless its own ends closed it meanwhile */
    HOSTSTACK_LOST,    /* the target had it, and it ended there: reset, or its socket vanished */
    HOSTSTACK_UNSUPPORTED,
    HOSTSTACK_DENIED
};

/* One finished move. */
struct hoststack_move {
    struct hoststack_conn_info conn;
    bool down; /* to the target; otherwise to the kernel */
    enum hoststack_outcome outcome;
    enum hoststack_reason reason;
    uint32_t ndis_status;         /* of the TCP node, when the target was asked */
    uint64_t started_us;          /* CLOCK_MONOTONIC */
    uint64_t total_us;            /* from the request to the end */
    uint64_t held_us;             /* segments were held */
    uint32_t send_queue_bytes;    /* carried: unacknowledged and unsent */
    uint32_t receive_queue_bytes; /* carried: received, not yet with the other side */
};

/*
 * Who asks, and hears. on_conn (list) or on_move (the others): once per connection; on_end: once,
 * after the last. error: 0, or the negative errno with which the connections could not be found.
 * Owner: arg lives until on_end.
 */
struct hoststack_request {
    void (*on_conn)(void *arg, const struct hoststack_conn_info *info);
    void (*on_move)(void *arg, const struct hoststack_move *move);
    void (*on_end)(void *arg, int error, unsigned count);
    void *arg;
};
/*
 * Finding the connections takes as long as it takes, and many are gone through a few at a time; the
 * loop turns meanwhile. -ENOMEM, -EAGAIN: nothing was asked, nobody will hear.
 *
 * list: every TCP connection of this network namespace that matches, ours with their figures. The
 * others: if none matches, one move that was refused (HOSTSTACK_NO_SUCH_CONNECTION), whose conn
 * repeats the selector.
 */
int hoststack_list(struct hoststack *stack, const struct hoststack_selector *selector,
                   const struct hoststack_request *request);
int hoststack_offload(struct hoststack *stack, const struct hoststack_selector *selector,
                      const struct hoststack_request *request);
int hoststack_upload(struct hoststack *stack, const struct hoststack_selector *selector,
                     const struct hoststack_request *request);

/*
 * What the target knows of an offloaded connection at this moment, of which the kernel socket hears
 * nothing. error: 0, or -EIO: the target did not say. Owner: state (NULL on failure) is borrowed
 * for the call.
 */
typedef void (*hoststack_state_fn)(void *arg, int error,
                                   const struct _TCP_OFFLOAD_STATE_DELEGATED *state);
/* fn: once, at a later turn; arg lives until then. -ENOENT: it is not with a target; -EBUSY: a
 * question like that is under way; -ENOMEM. */
int hoststack_query(struct hoststack *stack, const struct hoststack_endpoint *local,
                    const struct hoststack_endpoint *peer, hoststack_state_fn fn, void *arg);

/* Every move, asked for or not (peer finished, missed beat …); for logs. */
void hoststack_on_move(struct hoststack *stack,
                       void (*fn)(void *arg, const struct hoststack_move *move), void *arg);

struct hoststack_totals {
    uint64_t moves_down, moves_up, refused, lost, missed_beats;
    uint32_t offloaded_now;
    uint64_t engine_bytes_out, engine_bytes_in, leaked;
    /* What the targets under all interfaces have sent for offloaded connections (their statistics
     * do not tell one connection from another): segments with old bytes, and all others. */
    uint64_t wire_retransmits, wire_segments_out;
};
/* Asks the targets; one that cannot answer at once counts with what it said last. */
void hoststack_read_totals(struct hoststack *stack, struct hoststack_totals *out);

#endif
