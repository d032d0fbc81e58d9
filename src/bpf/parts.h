/* The parts of a struct steer, between the loaders of this folder. */
#ifndef BPF_PARTS_H
#define BPF_PARTS_H

#include "base/list.h"
#include "bpf/steer.h"

struct steer_bpf;
struct snapshot_bpf;
struct steer_congestion;

struct steer {
    uint32_t mark;
    volatile uint64_t *beat;             /* the mapped word of the heart map */
    struct steer_bpf *programs;          /* flows, twins, the four programs */
    struct snapshot_bpf *reader;         /* the snapshot program */
    struct steer_congestion *congestion; /* NULL: this kernel cannot */
    struct list attachments;             /* struct steer_attachment */
};

struct steer_attachment {
    struct list link;
    uint32_t ifindex, tap_ifindex;
    int tap_fd, ingress_fd, egress_fd; /* links; closing one detaches */
};

/* The key as the programs build it: unused bytes zero. 0 or -EINVAL. */
int steer_key_normal(const struct steer_key *key, struct steer_key *out);

/*
 * BPF_LINK_CREATE, which libbpf does not offer for these types. Returns a descriptor above all that
 * are open, or a negative errno. Closing the descriptor, or dying, detaches.
 */
int steer_link_create(int prog_or_map_fd, uint32_t ifindex, uint32_t attach_type, uint32_t flags);
void steer_detach_all(struct steer *steer);

/* 0 or a negative errno. */
int steer_reader_open(struct snapshot_bpf **out);
void steer_reader_close(struct snapshot_bpf *reader);
int steer_congestion_open(struct steer_congestion **out);
void steer_congestion_close(struct steer_congestion *congestion);

#endif
