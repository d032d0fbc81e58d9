/*
 * What a packet socket does on an interface without link header, a TUN: the frames of the wire keep
 * their Ethernet headers, and nobody else sees them. Private to src/wire.
 */
#ifndef WIRE_BARE_H
#define WIRE_BARE_H

#include "wire/channel.h"

#include <stdint.h>

/* The two stations of such a wire: every received frame goes from the peer to us. */
extern const uint8_t bare_own_mac[6];

/* As transmit and receive of struct channel_ops. What is not IP goes nowhere. */
int bare_transmit(int fd, struct mmsghdr *messages, unsigned count);
int bare_receive(int fd, struct mmsghdr *messages, unsigned count);

#endif
