/*
 * TCP segments in Ethernet frames, with or without a VLAN tag, IPv4 and IPv6, for the peer and its
 * judge. Read strictly: what is not as the RFCs have it is no segment.
 */
#ifndef TESTS_HOUSE_PEER_FRAME_H
#define TESTS_HOUSE_PEER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_FIN 0x01u
#define PEER_SYN 0x02u
#define PEER_RST 0x04u
#define PEER_PSH 0x08u
#define PEER_ACK 0x10u
#define PEER_URG 0x20u
#define PEER_ECE 0x40u
#define PEER_CWR 0x80u

#define PEER_ECT0 2u
#define PEER_CE 3u

#define PEER_HEADERS_MAX 128u
#define PEER_SACKS 4u

/* Where segments go: seen from the sender. */
struct peer_path {
    bool ipv6;
    uint8_t local[16], remote[16]; /* 4 or 16 bytes, network order */
    uint8_t local_mac[6], remote_mac[6];
    uint16_t local_port, remote_port; /* host order */
    uint16_t vlan;                    /* id; 0: no tag */
};

struct peer_segment {
    const uint8_t *ip; /* in the frame */
    bool ipv6;
    uint16_t vlan; /* 0: no tag, or of priority only */
    uint8_t ttl, ecn;
    bool df;
    uint16_t source_port, destination_port;
    uint32_t seq, ack;
    uint8_t flags, reserved;
    uint16_t window; /* as it stands there */
    uint16_t urgent;
    bool has_ts;
    uint32_t tsval, tsecr;
    unsigned sacks;
    uint32_t sack[PEER_SACKS][2];
    bool options_bad; /* not well formed, or none that belongs there */
    uint32_t headers; /* from the IP header to the payload */
    const uint8_t *payload;
    uint32_t len;
};

/* bytes may be the first of a longer frame: frame_len; a superframe's length is that of the frame,
 * not of its IP header. False: no TCP segment. */
bool peer_frame_read(const uint8_t *bytes, size_t have, size_t frame_len, bool super,
                     struct peer_segment *out);
/* Of a whole frame: IPv4 header and TCP. */
bool peer_frame_sums_right(const uint8_t *bytes, const struct peer_segment *segment);
/* Whether it goes from path's remote end to its local one. */
bool peer_frame_is_for(const struct peer_segment *segment, const struct peer_path *path);
/* Writes seq, ack, flags, window, ttl, ecn, options and len bytes of payload; how many bytes in
 * all. frame has room for PEER_HEADERS_MAX and the payload, which may already stand where it
 * belongs. */
size_t peer_frame_write(uint8_t *frame, const struct peer_path *path,
                        const struct peer_segment *segment);
/* What a congested router does to a frame: CE, if its sender can be told so. True: done. */
bool peer_frame_mark(uint8_t *bytes, size_t len);
/* Where peer_frame_write will put the payload. */
size_t peer_frame_payload_at(const struct peer_path *path, const struct peer_segment *segment);

#endif
