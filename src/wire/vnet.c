/*
 * Between struct wire_meta and struct virtio_net_hdr. The kernel fills hdr_len with whatever lies
 * in the linear part of its buffer; the true header length is read from the TCP header instead,
 * because a receiver may send the superframe on. The ECN bit beside gso_type is dropped: it only
 * tells segmentation what it does anyway (CWR stays with the first segment).
 */
#include "wire/vnet.h"

#include "wire/gso.h"

void
vnet_encode(struct virtio_net_hdr *header, const struct wire_meta *meta)
{
    *header = (struct virtio_net_hdr){
        .flags = meta->csum_partial ? VIRTIO_NET_HDR_F_NEEDS_CSUM : 0,
        .gso_type = meta->gso_type,
        .hdr_len = meta->header_len,
        .gso_size = meta->gso_size,
        .csum_start = meta->csum_start,
        .csum_offset = meta->csum_offset,
    };
}

void
vnet_decode(const struct virtio_net_hdr *header, const uint8_t *frame, size_t len,
            struct wire_meta *meta)
{
    bool partial = (header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
    uint16_t header_len;

    *meta = (struct wire_meta){
        .csum_partial = partial,
        .csum_valid = partial || (header->flags & VIRTIO_NET_HDR_F_DATA_VALID) != 0,
    };
    if (partial) {
        meta->csum_start = header->csum_start;
        meta->csum_offset = header->csum_offset;
    }
    meta->gso_type = header->gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    if (meta->gso_type == WIRE_GSO_NONE)
        return;
    meta->gso_size = header->gso_size;
    header_len = partial ? gso_header_len(frame, len, header->csum_start) : 0;
    meta->header_len = header_len != 0 ? header_len : header->hdr_len;
}
