/*
 * For the tests of this folder: the soft target on a wire of the test's own under a real NDIS, in
 * virtual time. Above it a protocol driver that writes down what it hears; at the wire's other end
 * the test itself, segment by segment.
 *
 * What is heard is one line of words, in order: "initiated sent:ok:100 indicate:1448
 * event:disconnect frame:60". The verifier watches: closing asserts that nobody broke a rule (the
 * driver above may, if the test says so).
 */
#ifndef TARGET_SOFT_TEST_RIG_H
#define TARGET_SOFT_TEST_RIG_H

#include "chimney/house.h"
#include "chimney/verifier.h"
#include "chimney/wire.h"
#include "sys/loop.h"
#include "target/soft/test_wire.h"
#include "tcp/tcp.h"

#include <ndis.h>
#include <ndischimney.h>

#define RIG_SND 1000u /* our first number */
#define RIG_RCV 5000u /* the peer's */
#define RIG_MSS 1448u /* with timestamps off: the payload of an IPv4 segment is 1460 */

/* A frame that the target has sent. */
struct rig_out {
    struct wire_buf *buf;
    struct tcp_segment tcp;
    const uint8_t *ip, *payload;
};

enum { RIG_OUT_MAX = 512, RIG_KEPT_MAX = 2048 };

struct rig {
    struct sys_loop *loop;
    struct wire *wire;
    struct house *house;
    struct verifier *verifier;
    unsigned breaches;
    bool careless; /* the driver above breaks rules on purpose */
    NDIS_HANDLE protocol, binding, pool, bind_context;
    NDIS_TCP_CONNECTION_OFFLOAD capabilities;
    NDIS_OID_REQUEST request;
    NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS parameters;
    bool running;
    char heard[4096];
    struct rig_out out[RIG_OUT_MAX];
    unsigned out_count;
    /* how indications are answered: bytes taken of the next; RIG_ALL, then it is kept */
    uint32_t accept;
    NET_BUFFER_LIST *kept[RIG_KEPT_MAX]; /* accepted, not returned */
    unsigned kept_count;
    uint8_t got[65536]; /* bytes taken, or received */
    uint32_t got_count;
    uint8_t frame[2048]; /* the newest regular frame */
    uint32_t frame_len;
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large; /* … and how it is cut */
    ULONG backlog;
    ULONG reachability; /* the answer to a question about a neighbor */
    /* called inside the completion of an initiate, an indication, a completion of receives, and
     * when power is taken; may be NULL */
    void (*on_initiated)(struct rig *rig);
    void (*on_indicate)(struct rig *rig);
    void (*on_received)(struct rig *rig);
    void (*on_power)(struct rig *rig);
};

#define RIG_ALL UINT32_MAX

/* Sends rig->parameters to the target. */
void rig_set_parameters(struct rig *rig);
void rig_open(struct rig *rig, const struct house_option *options);
/* The same with a driver in between; floor NULL: none. */
struct rig_floor {
    const char *name;
    house_driver_entry entry;
    const struct house_option *options;
};
void rig_open_under(struct rig *rig, const struct house_option *options,
                    const struct rig_floor *floor);
void rig_close(struct rig *rig);
/* Turns until nothing is due now. */
void rig_turn(struct rig *rig);
/* Lets so much time pass. */
void rig_pass(struct rig *rig, uint64_t us);
/* Turns, compares what was heard, and forgets it. */
void rig_expect(struct rig *rig, const char *words);
/* Forgets what was heard and sent. */
void rig_forget(struct rig *rig);

/* ---- trees ---- */

struct rig_neighbor {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    NEIGHBOR_OFFLOAD_STATE_CONST constant __attribute__((aligned(8)));
    NEIGHBOR_OFFLOAD_STATE_CACHED cached __attribute__((aligned(8)));
    NEIGHBOR_OFFLOAD_STATE_DELEGATED delegated __attribute__((aligned(8)));
    NDIS_OFFLOAD_HANDLE handle;
};

struct rig_path {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    PATH_OFFLOAD_STATE_CONST constant __attribute__((aligned(8)));
    PATH_OFFLOAD_STATE_CACHED cached __attribute__((aligned(8)));
    PATH_OFFLOAD_STATE_DELEGATED delegated __attribute__((aligned(8)));
    NDIS_OFFLOAD_HANDLE handle;
    uint8_t source[16], destination[16];
};

struct rig_tcp {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    TCP_OFFLOAD_STATE_CONST constant __attribute__((aligned(8)));
    TCP_OFFLOAD_STATE_CACHED cached __attribute__((aligned(8)));
    TCP_OFFLOAD_STATE_DELEGATED delegated __attribute__((aligned(8)));
    TCP_OFFLOAD_STATE_EXTENSION extension __attribute__((aligned(8))); /* if the flags say so */
    NDIS_OFFLOAD_HANDLE handle;
};

/* A node with one class of state, for update and terminate, or none. */
struct rig_node {
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
    union {
        TCP_OFFLOAD_STATE_CACHED cached;
        TCP_OFFLOAD_STATE_DELEGATED delegated;
        struct {
            TCP_OFFLOAD_STATE_DELEGATED delegated;
            TCP_OFFLOAD_STATE_EXTENSION extension __attribute__((aligned(8)));
        } extended;
        PATH_OFFLOAD_STATE_CACHED path;
        NEIGHBOR_OFFLOAD_STATE_CACHED neighbor;
        NEIGHBOR_OFFLOAD_STATE_DELEGATED neighbor_delegated;
    } state __attribute__((aligned(8)));
};

void rig_neighbor_init(struct rig_neighbor *neighbor);
void rig_path_init(struct rig_path *path, bool ipv6);
/* ESTABLISHED, nothing outstanding, window 64 KiB both ways, no options. The peer's port is 80. */
void rig_tcp_init(struct rig_tcp *tcp, unsigned local_port, unsigned const_flags);
/* handle NULL: a placeholder. */
void rig_node_init(struct rig_node *node, unsigned type, NDIS_OFFLOAD_HANDLE *handle);

/* One connection with a tree of its own: the usual case. */
struct rig_conn {
    struct rig_neighbor neighbor;
    struct rig_path path;
    struct rig_tcp tcp;
    struct rig_node ends[3]; /* of the terminate: neighbor, path, tcp */
};

void rig_conn_init(struct rig_conn *conn, bool ipv6, unsigned const_flags);
/* Initiates and forgets what was heard; asserts success. */
void rig_conn_start(struct rig *rig, struct rig_conn *conn);
/* Terminates the whole tree; the delegated state is in ends[2]. Does not wait. */
void rig_conn_end(struct rig *rig, struct rig_conn *conn);
/* … and another connection of its path; beside NULL: none. */
void rig_conn_end_with(struct rig *rig, struct rig_conn *conn, struct rig_node *beside);
/* Terminates one object, if it is offloaded; asserts success. */
void rig_object_end(struct rig *rig, unsigned type, NDIS_OFFLOAD_HANDLE *handle);
static inline TCP_OFFLOAD_STATE_DELEGATED *
rig_given_back(struct rig_conn *conn)
{
    return &conn->ends[2].state.delegated;
}

/* ---- buffers ---- */

/* An NBL over len bytes whose values count up from first; cut into MDLs of `piece` bytes (0: one).
 */
NET_BUFFER_LIST *rig_nbl(struct rig *rig, uint32_t len, uint8_t first, uint32_t piece);
/* Also frees the bytes. */
void rig_nbl_free(NET_BUFFER_LIST *nbl);
/* A segment of the peer's, as it is forwarded. */
NET_BUFFER_LIST *rig_segment(struct rig *rig, uint32_t seq, uint32_t len, uint8_t flags,
                             uint8_t first);
/* Returns kept NBL number index. */
void rig_return(struct rig *rig, unsigned index);

/* ---- the peer ---- */

struct rig_in {
    uint32_t seq, ack, len;
    uint16_t window, port; /* 0: 65535, 4000 */
    uint16_t urgent, gso_size;
    uint16_t tag;         /* with tagged */
    uint16_t fragment;    /* where it begins, plus 1 if more follow; 0: the datagram is whole */
    uint8_t tos;          /* or traffic class */
    uint8_t flags, first; /* TCP_ACK is implied; payload counts up from first */
    uint8_t station;      /* the last byte of whose address it is for; 0: the wire's */
    bool ipv6, options, bad_checksum, bad_ip_checksum, not_tcp, tagged;
};

/* Builds one frame and lets the target have it. */
void rig_peer(struct rig *rig, struct rig_in in);
/* Turns; the target must have sent exactly count frames since the last forget. */
void rig_expect_out(struct rig *rig, unsigned count);

#endif
