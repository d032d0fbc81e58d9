/*
 * Loads the congestion setter and runs it. Two things the library of the day does not do are done
 * here by hand:
 *
 * - The algorithm's name is global in the kernel. It is overwritten in a copy of the object file,
 * before loading, with one that no other owner has.
 * - A registered algorithm usually outlives its process. As a link (Linux 6.4) it does not: the map
 * is made with BPF_F_LINK, filled, and registered by a link descriptor that dies with us.
 */
#include "bpf/parts.h"

#include "congestion.skel.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "chimney_unnamed"
#define NAME_BYTES sizeof(FILE_NAME)
#define MAP_WITH_LINK (1u << 13) /* BPF_F_LINK */
#define ATTACH_STRUCT_OPS 44     /* BPF_STRUCT_OPS */

struct steer_congestion {
    struct congestion_bpf *programs;
    void *file; /* the renamed copy of the object */
    struct bpf_link *iterator;
    int registration_fd;
};

/* As long as the name in the file: "chim_", process and instance in hexadecimal. */
static void
unique_name(char name[NAME_BYTES])
{
    static atomic_uint instances;
    unsigned instance = atomic_fetch_add(&instances, 1) & 0xff;

    memset(name, 0, NAME_BYTES);
    snprintf(name, NAME_BYTES, "chim_%x_%x", (unsigned)getpid() & 0xffffff, instance);
}

/* The copy stays until the object is closed. */
static int
rename_in_file(struct steer_congestion *congestion, const char name[NAME_BYTES])
{
    struct bpf_object_skeleton *skeleton = congestion->programs->skeleton;
    size_t size = skeleton->data_sz;
    char *file = malloc(size);
    char *at;

    if (!file)
        return -ENOMEM;
    congestion->file = memcpy(file, skeleton->data, size);
    at = memmem(file, size, FILE_NAME, NAME_BYTES);
    if (!at)
        return -EINVAL;
    memcpy(at, name, NAME_BYTES);
    skeleton->data = file;
    return 0;
}

static int
open_renamed(struct steer_congestion *congestion, const char name[NAME_BYTES])
{
    struct congestion_bpf *programs = calloc(1, sizeof(*programs));
    int error;

    if (!programs)
        return -ENOMEM;
    congestion->programs = programs;
    error = congestion_bpf__create_skeleton(programs);
    if (error)
        return error;
    error = rename_in_file(congestion, name);
    return error ? error : bpf_object__open_skeleton(programs->skeleton, NULL);
}

static int
register_algorithm(struct steer_congestion *congestion)
{
    struct bpf_map *map = congestion->programs->maps.congestion_algorithm;
    struct bpf_link *filled = bpf_map__attach_struct_ops(map);

    if (!filled)
        return -errno;
    bpf_link__disconnect(filled);
    bpf_link__destroy(filled);
    congestion->registration_fd = steer_link_create(bpf_map__fd(map), 0, ATTACH_STRUCT_OPS, 0);
    return congestion->registration_fd < 0 ? congestion->registration_fd : 0;
}

static int
load(struct steer_congestion *congestion)
{
    char name[NAME_BYTES];
    int error;

    unique_name(name);
    error = open_renamed(congestion, name);
    if (error)
        return error;
    memcpy(congestion->programs->bss->own_name, name, NAME_BYTES);
    error = bpf_map__set_map_flags(congestion->programs->maps.congestion_algorithm, MAP_WITH_LINK);
    if (!error)
        error = congestion_bpf__load(congestion->programs);
    if (!error)
        error = register_algorithm(congestion);
    if (error)
        return error;
    congestion->iterator = bpf_program__attach_iter(congestion->programs->progs.congestion_set,
                                                    NULL);
    return congestion->iterator ? 0 : -errno;
}

int
steer_congestion_open(struct steer_congestion **out)
{
    struct steer_congestion *congestion = calloc(1, sizeof(*congestion));
    int error;

    if (!congestion)
        return -ENOMEM;
    congestion->registration_fd = -1;
    error = load(congestion);
    if (error) {
        steer_congestion_close(congestion);
        return error;
    }
    *out = congestion;
    return 0;
}

void
steer_congestion_close(struct steer_congestion *congestion)
{
    if (!congestion)
        return;
    bpf_link__destroy(congestion->iterator);
    if (congestion->registration_fd >= 0)
        close(congestion->registration_fd);
    congestion_bpf__destroy(congestion->programs);
    free(congestion->file);
    free(congestion);
}

/* Walks every TCP socket of the calling thread's namespace. The program prints nothing: a read ends
 * at the end. */
static int
walk_sockets(struct steer_congestion *congestion)
{
    char nothing[16];
    ssize_t n;
    int fd = bpf_iter_create(bpf_link__fd(congestion->iterator));

    if (fd < 0)
        return fd;
    do {
        n = read(fd, nothing, sizeof(nothing));
    } while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
    n = n < 0 ? -errno : 0;
    close(fd);
    return (int)n;
}

/* Zero leaves a value alone. Context: the namespace of the calling thread; some milliseconds on a
 * large machine. */
int
steer_set_congestion(struct steer *steer, const struct steer_key *key, uint32_t cwnd,
                     uint32_t ssthresh)
{
    struct congestion_bpf__bss *shared;
    int error;

    if (!steer->congestion)
        return -EOPNOTSUPP;
    shared = steer->congestion->programs->bss;
    error = steer_key_normal(key, &shared->wanted);
    if (error)
        return error;
    shared->wanted_cwnd = cwnd;
    shared->wanted_ssthresh = ssthresh;
    shared->sockets_found = 0;
    shared->switch_error = 0;
    error = walk_sockets(steer->congestion);
    if (error)
        return error;
    return shared->sockets_found ? shared->switch_error : -ENOENT;
}
