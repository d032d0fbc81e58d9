/* What the snapshot program answers, between snapshot.bpf.c and its loader. */
#ifndef BPF_SNAPSHOT_H
#define BPF_SNAPSHOT_H

enum snapshot_answer { SNAPSHOT_WHOLE, SNAPSHOT_NONE, SNAPSHOT_TORN };

#endif
