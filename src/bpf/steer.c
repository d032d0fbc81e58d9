/*
 * Loads the steering and keeps its flows. The maps are reached by descriptor, the heart by a
 * mapping: a beat is one store and no system call.
 *
 * What is loaded dies with its descriptors: this process owns all of it, and nothing is pinned.
 * Open either does everything or leaves nothing behind; only the congestion part may be missing.
 */
#include "bpf/steer.h"

#include "base/log.h"
#include "bpf/parts.h"

#include "steer.skel.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_MARK 0x00c41e57u
#define DEFAULT_MISSED_MS 100u
#define KERNEL_TYPES "/sys/kernel/btf/vmlinux"
#define LINE_BYTES 512

static int
log_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
    char line[LINE_BYTES];
    size_t len;

    if (log_level_now < LOG_DEBUG)
        return 0;
    vsnprintf(line, sizeof(line), format, args);
    len = strcspn(line, "\n");
    log_debug("libbpf: %.*s", (int)len, line);
    return 0;
}

static const char *
why_not_loaded(int error)
{
    if (error == -EPERM || error == -EACCES)
        return "BPF programs may not be loaded: needs root, or CAP_BPF, CAP_PERFMON and "
               "CAP_NET_ADMIN";
    if (error == -ENOMEM)
        return "no memory for the BPF programs and maps";
    return "the kernel does not accept the BPF programs: needs Linux 6.6 with BPF, BTF and INET";
}

static int
map_heart(struct steer *steer)
{
    int fd = bpf_map__fd(steer->programs->maps.heart);
    void *page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                      0);

    if (page == MAP_FAILED)
        return -errno;
    steer->beat = page;
    return 0;
}

static int
load_programs(struct steer *steer, const struct steer_options *options)
{
    uint32_t missed_ms = options && options->missed_ms ? options->missed_ms : DEFAULT_MISSED_MS;
    int error;

    steer->programs = steer_bpf__open();
    if (!steer->programs)
        return -errno;
    steer->programs->rodata->steer_mark_value = steer->mark;
    steer->programs->rodata->steer_missed_ns = missed_ms * UINT64_C(1000000);
    error = steer_bpf__load(steer->programs);
    return error ? error : map_heart(steer);
}

static int
load_all(struct steer *steer, const struct steer_options *options, const char **why)
{
    int error = load_programs(steer, options);

    if (error) {
        *why = why_not_loaded(error);
        return error;
    }
    error = steer_reader_open(&steer->reader);
    if (error) {
        *why = "the kernel does not accept the socket reader: needs Linux 6.6 with BTF, and "
               "CAP_PERFMON";
        return error;
    }
    error = steer_congestion_open(&steer->congestion);
    if (error)
        log_info("steer: congestion windows of kernel sockets cannot be set: %s", strerror(-error));
    return 0;
}

/* Owner: the caller, until steer_close. Context: one thread; blocks some ten milliseconds
 * (verifier). */
int
steer_open(const struct steer_options *options, struct steer **out, const char **why)
{
    struct steer *steer;
    int error;

    libbpf_set_print(log_libbpf);
    if (access(KERNEL_TYPES, R_OK)) {
        *why = "the kernel does not describe its types (" KERNEL_TYPES
               "): needs CONFIG_DEBUG_INFO_BTF";
        return -EOPNOTSUPP;
    }
    steer = calloc(1, sizeof(*steer));
    if (!steer) {
        *why = "out of memory";
        return -ENOMEM;
    }
    list_init(&steer->attachments);
    steer->mark = options && options->mark ? options->mark : DEFAULT_MARK;
    error = load_all(steer, options, why);
    if (error) {
        steer_close(steer);
        return error;
    }
    *out = steer;
    return 0;
}

void
steer_close(struct steer *steer)
{
    if (!steer)
        return;
    steer_detach_all(steer);
    steer_congestion_close(steer->congestion);
    steer_reader_close(steer->reader);
    if (steer->beat)
        munmap((void *)steer->beat, (size_t)sysconf(_SC_PAGESIZE));
    steer_bpf__destroy(steer->programs);
    free(steer);
}

uint32_t
steer_mark(const struct steer *steer)
{
    return steer->mark;
}

int
steer_filter_fd(const struct steer *steer)
{
    return bpf_program__fd(steer->programs->progs.steer_taken);
}

void
steer_beat(struct steer *steer, uint64_t now_ns)
{
    *steer->beat = now_ns;
}

/* ---- flows ---- */

int
steer_key_normal(const struct steer_key *key, struct steer_key *out)
{
    size_t len = key->family == AF_INET6 ? 16 : 4;

    if (key->family != AF_INET && key->family != AF_INET6)
        return -EINVAL;
    memset(out, 0, sizeof(*out));
    memcpy(out->local, key->local, len);
    memcpy(out->peer, key->peer, len);
    out->local_port = key->local_port;
    out->peer_port = key->peer_port;
    out->family = key->family;
    return 0;
}

static int
flows_fd(const struct steer *steer)
{
    return bpf_map__fd(steer->programs->maps.flows);
}

/* Steers from the next frame on. 0; -EEXIST; -EINVAL: neither IPv4 nor IPv6; -E2BIG: 65536 flows;
 * -ENOMEM. */
int
steer_flow_add(struct steer *steer, const struct steer_key *key)
{
    const struct steer_counters none = {0};
    struct steer_key normal;
    int error = steer_key_normal(key, &normal);

    if (error)
        return error;
    return bpf_map_update_elem(flows_fd(steer), &normal, &none, BPF_NOEXIST);
}

int
steer_flow_remove(struct steer *steer, const struct steer_key *key, struct steer_counters *out)
{
    struct steer_counters last;
    struct steer_key normal;
    int error = steer_key_normal(key, &normal);

    if (error)
        return error;
    return bpf_map_lookup_and_delete_elem(flows_fd(steer), &normal, out ? out : &last);
}

int
steer_flow_read(struct steer *steer, const struct steer_key *key, struct steer_counters *out)
{
    struct steer_key normal;
    int error = steer_key_normal(key, &normal);

    if (error)
        return error;
    return bpf_map_lookup_elem(flows_fd(steer), &normal, out);
}
