/*
 * OURS: what a target has instead of a NIC. On the system the interface comes from a miniport
 * driver reaches its device through the bus; here it gets a wire as
 * NDIS_MINIPORT_INIT_PARAMETERS.MiniportAddDeviceContext, and this header is what it may do with
 * it.
 *
 * A wire carries Ethernet frames, in both directions, as superframes where the medium can: one
 * frame of up to 64 KiB of TCP payload with the size in which it is to be cut (gso_size).
 *
 * Kinds: packet (AF_PACKET on an interface), tap (a TAP interface; what we write is received by the
 * kernel), mem (two ends in one process). A driver sees only this header and never knows which kind
 * it has. It uses the functions marked WIRE_API; the others open and close wires, which is for
 * whoever builds the house. Owner: the wire stays its giver's, who closes it after the adapter was
 * halted; a driver that halts sets the receiver to NULL.
 *
 * Threads: a wire belongs to the thread of its loop, on which everything of NDIS runs, too. Nothing
 * blocks.
 */
#ifndef CHIMNEY_WIRE_H
#define CHIMNEY_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A function that drivers from outside the tree may use as well. */
#define WIRE_API __attribute__((visibility("default")))

struct iovec; /* <sys/uio.h> */
struct sys_loop;
struct wire;

#define WIRE_MAX_HEADER 192          /* bytes of header in one transmit request */
#define WIRE_MAX_PIECES 64           /* pieces of payload in one transmit request */
#define WIRE_MAX_FRAME (65536 + 256) /* bytes */

/* What goes with a frame besides its bytes: the fields of virtio_net_hdr, in host byte order. */
struct wire_meta {
    bool csum_partial;    /* the TCP/UDP checksum field holds only the pseudo-header sum; fill from
                             csum_start */
    bool csum_valid;      /* received: the medium has checked it (or it never left this machine) */
    uint8_t gso_type;     /* WIRE_GSO_ ...; NONE: one ordinary frame */
    uint16_t gso_size;    /* payload bytes per segment */
    uint16_t header_len;  /* Ethernet + IP + TCP header bytes */
    uint16_t csum_start;  /* from the start of the frame */
    uint16_t csum_offset; /* from csum_start */
};

enum { WIRE_GSO_NONE = 0, WIRE_GSO_TCPV4 = 1, WIRE_GSO_TCPV6 = 4 };

/*
 * A received frame. Reference counted: the receiver may keep it beyond the callback with
 * wire_buf_get and hands each reference back with wire_buf_put. The bytes may be changed by who
 * holds the only reference.
 */
struct wire_buf {
    unsigned refs;
    uint32_t len;      /* bytes of the frame */
    uint32_t capacity; /* bytes that data can hold */
    struct wire_meta meta;
    uint8_t *data; /* the Ethernet header */
    void *user;    /* for the holder; NULL when received */
    void (*release)(struct wire_buf *buf);
};

static inline struct wire_buf *
wire_buf_get(struct wire_buf *buf)
{
    buf->refs++;
    return buf;
}

static inline void
wire_buf_put(struct wire_buf *buf)
{
    if (--buf->refs == 0)
        buf->release(buf);
}

/* A buffer of its own, one reference, data of at least capacity bytes; NULL: out of memory. */
WIRE_API struct wire_buf *wire_buf_create(uint32_t capacity);

/* A frame to send: a header, copied at once, and payload pieces, borrowed until the next wire_flush
 * has returned. */
struct wire_tx {
    const void *header;
    size_t header_len; /* at most WIRE_MAX_HEADER; may be 0 when pieces hold the whole frame */
    const struct iovec *pieces;
    size_t piece_count; /* at most WIRE_MAX_PIECES */
    struct wire_meta meta;
};

struct wire_receiver {
    /* One frame. The reference is the wire's: get it to keep it. */
    void (*on_frame)(void *arg, struct wire_buf *buf);
    /* The wire takes frames again after a send returned -EAGAIN. May be NULL. */
    void (*on_writable)(void *arg);
    /* Carrier or administrative state changed. May be NULL. */
    void (*on_link)(void *arg, bool up);
};

/* Sees every frame that the wire takes from the driver, once, or delivers, before it does. */
struct wire_watcher {
    void (*on_frame)(void *arg, bool out, const struct wire_tx *frame);
};

struct wire_stats {
    uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
    uint64_t tx_dropped; /* the medium refused them (queue full) */
    uint64_t rx_dropped; /* lost before we read them, where the medium tells */
    uint64_t tx_gagged;  /* refused because the wire was gagged */
};

/* Owner: receiver and arg stay the caller's until the wire is closed or another receiver is set.
 * NULL: frames are dropped. */
WIRE_API void wire_set_receiver(struct wire *wire, const struct wire_receiver *receiver, void *arg);
/* Owner: as for the receiver. The frame is borrowed for the call. NULL: nobody watches. */
void wire_set_watcher(struct wire *wire, const struct wire_watcher *watcher, void *arg);
/* Copies the first max bytes of a frame, or all of it; how many. */
size_t wire_tx_copy(const struct wire_tx *frame, void *to, size_t max);
/* Bytes of the frame. */
size_t wire_tx_length(const struct wire_tx *frame);
/* Queues one frame; it leaves at the latest at the end of the loop's turn.
 * 0; -EAGAIN: blocked, nothing taken, on_writable follows; -EMSGSIZE; -ENETDOWN. */
WIRE_API int wire_send(struct wire *wire, const struct wire_tx *tx);
/* Sends what is queued. Afterwards no borrowed payload is referenced any more (what the medium
 * could not take yet was copied). */
WIRE_API void wire_flush(struct wire *wire);
/* While gagged every send is counted and silently dropped: for an owner who may have lost the right
 * to speak. */
void wire_gag(struct wire *wire, bool gagged);

struct sys_loop *wire_loop(const struct wire *wire);
WIRE_API const char *wire_name(const struct wire *wire);
WIRE_API const uint8_t *wire_mac(const struct wire *wire); /* 6 bytes */
WIRE_API unsigned wire_mtu(const struct wire *wire);
WIRE_API int wire_ifindex(const struct wire *wire); /* 0: none (mem) */
WIRE_API bool wire_link_up(const struct wire *wire);
WIRE_API void wire_read_stats(const struct wire *wire, struct wire_stats *out);
/* Flushes, stops, frees. Buffers still held stay valid until put. */
void wire_close(struct wire *wire);

/*
 * AF_PACKET on interface ifname with PACKET_VNET_HDR. filter_fd: a BPF socket filter that selects
 * the frames to receive (stays the caller's; -1: all incoming). mark: SO_MARK of what is sent (0:
 * none). 0 or a negative errno; on failure *out is untouched. A TUN has a packet wire as well,
 * unfiltered: it carries the IP packets alone, between two made-up stations.
 */
int wire_packet_open(struct sys_loop *loop, const char *ifname, int filter_fd, uint32_t mark,
                     struct wire **out);

/* Creates and raises a TAP interface without addresses, with MAC mac (NULL: any) and MTU mtu; it
 * vanishes on close or death. */
int wire_tap_open(struct sys_loop *loop, const char *ifname, const uint8_t *mac, unsigned mtu,
                  struct wire **out);

/* The same, as an interface that the kernel uses like any other: with ARP and IPv6. */
int wire_port_open(struct sys_loop *loop, const char *ifname, const uint8_t *mac, unsigned mtu,
                   struct wire **out);
/* Of a packet wire: also what is for other stations, which is how an interface hears the groups and
 * addresses that somebody behind it has joined. 0 or a negative errno. */
int wire_packet_hear_all(struct wire *wire);

/* Impairment of one direction of a mem wire; probabilities in parts per million, all decided by
 * seed. */
struct wire_mem_impair {
    uint64_t seed;
    uint32_t loss_ppm;
    uint32_t duplicate_ppm;
    uint32_t reorder_ppm; /* such a frame is late by reorder_delay_us */
    uint32_t reorder_delay_us;
    uint32_t delay_us;        /* one way; 0: next turn of the loop */
    uint64_t bits_per_second; /* 0: unlimited */
    uint32_t queue_bytes;     /* with bits_per_second; 0: unlimited */
    uint32_t segment_gso;     /* non-zero: cut superframes into segments before impairing them */
    uint32_t borrow;          /* non-zero: payload is read when it is flushed, not before */
    uint32_t stall_frames;    /* non-zero: after so many it takes no more … */
    uint32_t stall_us;        /* … for so long */
};

/* Two joined ends. impair[0]: what ends[0] sends; NULL: none. Frames carry MACs 02:00:00:00:00:01 /
 * :02 of the ends. */
int wire_mem_create(struct sys_loop *loop, unsigned mtu, const struct wire_mem_impair *impair,
                    struct wire *ends[2]);

#ifdef __cplusplus
}
#endif

#endif
