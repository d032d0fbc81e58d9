/*
 * For the tests of this folder: one live connection and everything of the host stack that it passes
 * through, in virtual time. The test plays all that is around it: the kernel (its socket's state,
 * its frames in the TAP, its steering), NDIS and the target (ndis_fake), and the peer.
 *
 * Payload is told by its number: the byte at sequence number s is rig_byte(s), so a shift or a gap
 * shows wherever bytes arrive.
 */
#ifndef HOST_LINUX_TEST_RIG_H
#define HOST_LINUX_TEST_RIG_H

#include "host/linux/live/live.h"
#include "host/linux/stack.h"
#include "host/ndis_fake.h"

#define RIG_SND 1000u         /* the kernel's next number when a test begins */
#define RIG_RCV 5000u         /* the peer's */
#define RIG_SCALE 7           /* of both windows */
#define RIG_WINDOW 65536u     /* of both */
#define RIG_TS_OFFSET 900000u /* of the kernel's timestamp clock */
#define RIG_TS_PEER 700u      /* the peer's clock stands still unless told otherwise */

enum { RIG_FRAME_BYTES = 2048, RIG_FRAMES = 64 };

/* A frame to send. TCP_ACK is implied. Zero: seq, ack and window as the snapshot of the socket has
 * them, tsval the sender's clock. */
struct rig_segment {
    uint32_t seq, ack, len;
    uint32_t window; /* bytes */
    uint32_t tsval;
    uint8_t flags, ecn;   /* ecn: of the IP header */
    bool closed;          /* its window is zero */
    bool summed;          /* the checksum is complete, not only the pseudo header's */
    bool damaged;         /* likewise, and then a bit has changed */
    bool without_options; /* no timestamp */
    bool odd_options;     /* the timestamp begins at an odd byte */
};

/* A frame that has arrived. */
struct rig_frame {
    struct tcp_segment tcp;
    struct wire_meta meta;
    uint16_t tcp_offset, payload_offset;
    uint32_t len;
    uint8_t bytes[RIG_FRAME_BYTES];
};

struct rig {
    struct sys_loop *loop;
    struct hoststack *stack;
    struct live_port *port;
    struct live_conn *conn;
    struct wire *tap[2];  /* ours; the kernel's end */
    struct wire *wire[2]; /* under the target: only to be gagged */
    struct sys_hook hook;
    /* the kernel */
    struct steer_key key;
    struct steer_snapshot socket;
    bool socket_gone;
    void (*on_snapshot)(void); /* called in every look at the socket; may be NULL */
    void (*on_beat)(void);     /* likewise, before the beat is stored */
    bool steered;              /* the key is in */
    unsigned flushed;          /* frames to the peer that have left, of those not taken yet */
    uint64_t beat_ns;
    struct {                         /* when the key went */
        uint64_t beat_ns;            /* the last beat */
        unsigned to_peer, unflushed; /* frames on their way to the peer; those that had not left */
        uint64_t to_kernel;          /* written to the TAP so far */
    } removal;
    struct rig_frame to_kernel[RIG_FRAMES];
    unsigned to_kernel_count;
    unsigned damaged; /* frames for the kernel that will not add up */
    /* the target */
    bool obliging; /* answers everything by itself at the end of each turn */
    uint32_t rcv;  /* end of what it has indicated */
    uint8_t received[RIG_WINDOW];
    /* what was told to the user */
    struct hoststack_move move;
    unsigned move_count;
    /* the next allocation of exactly so many bytes fails; 0: none does */
    size_t refuse_bytes;
};

extern struct rig rig;

static inline uint8_t
rig_byte(uint32_t seq)
{
    return (uint8_t)(seq * 7 + (seq >> 8));
}

/* For cmocka: everything built, one connection that is the kernel's. */
int rig_setup(void **state);
/* Everything home and gone, nothing of NDIS leaked. */
int rig_teardown(void **state);
/* hoststack_destroy with a target that answers; rig.stack is NULL afterwards. */
void rig_shut_down(void);

uint64_t rig_now_us(void);
/* The kernel's timestamp clock. */
uint32_t rig_clock(void);
/* Turns until nothing is due now. */
void rig_turn(void);
/* Lets so much time pass. */
void rig_pass(uint64_t us);

/* ---- moving ---- */

/* Asks for the offload; the bridge is up. */
void rig_ask(void);
/* … and everything until the target is asked. */
void rig_until_initiate(void);
void rig_answer_initiate(NDIS_STATUS status);
/* All the way down; forgets the frames it took. */
void rig_down(void);
/* Answers the query of a drain: the wire has sent up to snd_nxt. */
void rig_answer_query(uint32_t snd_nxt);
/* Answers the terminate. Sends that were not completed are the host stack's again. */
void rig_answer_terminate(uint32_t snd_una, uint32_t snd_nxt, uint32_t ts_recent);

/* ---- the kernel and the peer ---- */

/* A frame out of the kernel, into the TAP; and everything that follows at once. */
void rig_kernel(struct rig_segment segment);
/* A frame of the peer's that comes up the regular path. */
void rig_peer(struct rig_segment segment);
/* The oldest frame that reached the kernel, the peer (regular path); false: none. Its payload is
 * what belongs at its sequence number and its checksum, complete or partial, is right. */
bool rig_to_kernel(struct rig_frame *out);
bool rig_to_peer(struct rig_frame *out);
/* The next frame to the peer is this one, byte for byte; [seq, seq + len) and flags. */
void rig_expect_to_peer(uint32_t seq, uint32_t len, uint8_t flags);
void rig_expect_silence(void);
/* ---- the target ---- */

/* Indicates the peer's next len bytes. */
NDIS_STATUS rig_indicate(uint32_t len);
void rig_event(ULONG type, ULONG info);
/* What was sent to the target since the last call is exactly [from, to). */
void rig_expect_lent(uint32_t from, uint32_t to);
/* Completes the oldest send. */
void rig_complete_send(NDIS_STATUS status);

#endif
