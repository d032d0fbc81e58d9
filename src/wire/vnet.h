/*
 * The virtio header in front of every frame of a packet socket and of a TAP, legacy form: ten
 * bytes, host byte order. Private to src/wire.
 */
#ifndef WIRE_VNET_H
#define WIRE_VNET_H

#include "chimney/wire.h"

#include <linux/virtio_net.h>

#define VNET_BYTES 10

_Static_assert(sizeof(struct virtio_net_hdr) == VNET_BYTES, "the kernel's legacy header");

void vnet_encode(struct virtio_net_hdr *header, const struct wire_meta *meta);
/* For a received frame of len bytes. What does not fit the frame is left out of meta. */
void vnet_decode(const struct virtio_net_hdr *header, const uint8_t *frame, size_t len,
                 struct wire_meta *meta);

#endif
