/*
 * Fires the snapshot program: key and answer lie in its mapped .bss, so a read is one system call.
 *
 * The program's lookup happens on an interface. A socket bound to one (SO_BINDTODEVICE, link-local
 * addresses) is only found there, so a miss on the loopback is tried again on every interface the
 * steering is attached to.
 */
#include "bpf/snapshot.h"
#include "bpf/parts.h"

#include "snapshot.skel.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <time.h>

#define TORN_READS 100
#define EMPTY_FRAME_BYTES 14
#define LOOPBACK 0

int
steer_reader_open(struct snapshot_bpf **out)
{
    struct snapshot_bpf *reader = snapshot_bpf__open();
    int error;

    if (!reader)
        return -errno;
    error = snapshot_bpf__load(reader);
    if (error) {
        snapshot_bpf__destroy(reader);
        return error;
    }
    *out = reader;
    return 0;
}

void
steer_reader_close(struct snapshot_bpf *reader)
{
    snapshot_bpf__destroy(reader);
}

/* One firing. 0: .bss holds the answer; -EAGAIN: torn; -ENOENT; or what the system call says. */
static int
fire(struct snapshot_bpf *reader, uint32_t ifindex)
{
    static const unsigned char frame[EMPTY_FRAME_BYTES];
    struct __sk_buff context = {.ifindex = ifindex};
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame),
                .ctx_in = &context, .ctx_size_in = sizeof(context));
    int error = bpf_prog_test_run_opts(bpf_program__fd(reader->progs.snapshot_read), &run);

    if (error)
        return error;
    if (run.retval == SNAPSHOT_TORN)
        return -EAGAIN;
    return run.retval == SNAPSHOT_WHOLE ? 0 : -ENOENT;
}

static int
fire_until_whole(struct snapshot_bpf *reader, uint32_t ifindex)
{
    int error = -EAGAIN;

    for (int i = 0; i < TORN_READS && error == -EAGAIN; i++)
        error = fire(reader, ifindex);
    return error;
}

/* The coarse clock's resolution is one tick of the kernel: its HZ, which no other call tells. */
static uint32_t
ticks_to_seconds(uint32_t ticks)
{
    struct timespec tick;

    if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) || tick.tv_nsec <= 0)
        return 0;
    return (uint32_t)((ticks * (uint64_t)tick.tv_nsec + 500000000u) / 1000000000u);
}

/*
 * Owner: *out is the caller's copy. Context: the namespace of the calling thread. Also -EAGAIN: the
 * socket was too busy to be read whole; -EINVAL: neither IPv4 nor IPv6.
 */
int
steer_snapshot(struct steer *steer, const struct steer_key *key, struct steer_snapshot *out)
{
    struct snapshot_bpf *reader = steer->reader;
    int error = steer_key_normal(key, &reader->bss->wanted);

    if (error)
        return error;
    error = fire_until_whole(reader, LOOPBACK);
    list_for_each(at, &steer->attachments, struct steer_attachment, link) {
        if (error != -ENOENT)
            break;
        error = fire_until_whole(reader, at->ifindex);
        if (error == -ENODEV) /* the interface has gone, or the thread is in another namespace */
            error = -ENOENT;
    }
    if (error)
        return error;
    *out = reader->bss->found;
    out->keepalive_time_s = ticks_to_seconds(out->keepalive_time_s);
    out->keepalive_interval_s = ticks_to_seconds(out->keepalive_interval_s);
    return 0;
}
