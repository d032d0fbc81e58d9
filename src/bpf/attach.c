/*
 * Hooks the programs to interfaces with TCX links (Linux 6.6), by the raw system call.
 *
 * The trick is in what a link is: a descriptor. When its owner dies the hook is gone, which a
 * classic tc filter would not be. The kernel closes the descriptors of a dying process in ascending
 * order, and steering must last until the TAP is gone (a hole of milliseconds, instead of frames of
 * the flow piling up behind a slow close), so link descriptors are moved above everything that is
 * open: the caller opens the TAP first.
 *
 * Order: the maps first, then the way back (TAP), then ingress, egress last. Detaching goes the
 * other way.
 */
#include "bpf/parts.h"

#include "steer.skel.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than the headers of some systems we build on. */
#define ATTACH_TCX_INGRESS 46
#define ATTACH_TCX_EGRESS 47
#define LINK_FIRST (1u << 3) /* BPF_F_BEFORE without a relative */
#define LINK_LAST (1u << 4)  /* BPF_F_AFTER without a relative */

/* The part of union bpf_attr that BPF_LINK_CREATE reads here. */
struct link_create {
    uint32_t prog_or_map_fd, target_ifindex, attach_type, flags;
    uint32_t relative_fd, zero;
    uint64_t expected_revision;
};

static int
highest_descriptor(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    int highest = -1;

    if (!dir)
        return -1;
    while ((entry = readdir(dir))) {
        int fd = atoi(entry->d_name);

        if (fd > highest && fd != dirfd(dir))
            highest = fd;
    }
    closedir(dir);
    return highest;
}

/* fd, or a duplicate of it that is higher than every open descriptor (fd is closed then). */
static int
moved_up(int fd)
{
    int highest = highest_descriptor();
    int higher;

    if (highest <= fd)
        return fd;
    higher = fcntl(fd, F_DUPFD_CLOEXEC, highest + 1);
    if (higher < 0)
        return fd;
    close(fd);
    return higher;
}

int
steer_link_create(int prog_or_map_fd, uint32_t ifindex, uint32_t attach_type, uint32_t flags)
{
    struct link_create attr = {
        .prog_or_map_fd = (uint32_t)prog_or_map_fd,
        .target_ifindex = ifindex,
        .attach_type = attach_type,
        .flags = flags,
    };
    long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));

    return fd < 0 ? -errno : moved_up((int)fd);
}

/* ---- interfaces ---- */

static struct steer_attachment *
find_attachment(struct steer *steer, uint32_t ifindex)
{
    list_for_each(at, &steer->attachments, struct steer_attachment, link) {
        if (at->ifindex == ifindex || at->tap_ifindex == ifindex)
            return at;
    }
    return NULL;
}

static void
close_link(int fd)
{
    if (fd >= 0)
        close(fd);
}

static void
unhook(struct steer *steer, struct steer_attachment *at)
{
    int twins = bpf_map__fd(steer->programs->maps.twins);

    close_link(at->egress_fd);
    close_link(at->ingress_fd);
    close_link(at->tap_fd);
    bpf_map_delete_elem(twins, &at->ifindex);
    bpf_map_delete_elem(twins, &at->tap_ifindex);
}

static int
hook_programs(struct steer *steer, struct steer_attachment *at)
{
    const struct steer_bpf *programs = steer->programs;

    at->tap_fd = steer_link_create(bpf_program__fd(programs->progs.steer_tap), at->tap_ifindex,
                                   ATTACH_TCX_INGRESS, LINK_FIRST);
    if (at->tap_fd < 0)
        return at->tap_fd;
    at->ingress_fd = steer_link_create(bpf_program__fd(programs->progs.steer_ingress), at->ifindex,
                                       ATTACH_TCX_INGRESS, LINK_FIRST);
    if (at->ingress_fd < 0)
        return at->ingress_fd;
    at->egress_fd = steer_link_create(bpf_program__fd(programs->progs.steer_egress), at->ifindex,
                                      ATTACH_TCX_EGRESS, LINK_LAST);
    return at->egress_fd < 0 ? at->egress_fd : 0;
}

static int
build_wall(struct steer *steer, struct steer_attachment *at)
{
    const struct steer_bpf *programs = steer->programs;

    at->ingress_fd = steer_link_create(bpf_program__fd(programs->progs.steer_wall_ingress),
                                       at->ifindex, ATTACH_TCX_INGRESS, LINK_FIRST);
    if (at->ingress_fd < 0)
        return at->ingress_fd;
    at->egress_fd = steer_link_create(bpf_program__fd(programs->progs.steer_wall_egress),
                                      at->ifindex, ATTACH_TCX_EGRESS, LINK_LAST);
    return at->egress_fd < 0 ? at->egress_fd : 0;
}

static int
hook(struct steer *steer, struct steer_attachment *at)
{
    int twins = bpf_map__fd(steer->programs->maps.twins);
    int error = bpf_map_update_elem(twins, &at->ifindex, &at->tap_ifindex, BPF_NOEXIST);

    if (!error)
        error = bpf_map_update_elem(twins, &at->tap_ifindex, &at->ifindex, BPF_NOEXIST);
    return error ? error : hook_programs(steer, at);
}

static const char *
why_not_attached(int error)
{
    if (error == -ENODEV)
        return "no such interface in this network namespace";
    if (error == -EPERM)
        return "programs may not be attached to the interface: needs CAP_NET_ADMIN";
    if (error == -E2BIG)
        return "too many interfaces are attached";
    if (error == -EINVAL)
        return "the kernel knows no TCX links: needs Linux 6.6";
    return "the programs cannot be attached to the interface";
}

/* tap_ifindex 0: a wall. */
static int
attach(struct steer *steer, uint32_t ifindex, uint32_t tap_ifindex, const char **why)
{
    struct steer_attachment *at;
    int error;

    if (find_attachment(steer, ifindex) || (tap_ifindex && find_attachment(steer, tap_ifindex))) {
        *why = "the interface or its TAP is attached already";
        return -EEXIST;
    }
    at = malloc(sizeof(*at));
    if (!at) {
        *why = "out of memory";
        return -ENOMEM;
    }
    *at = (struct steer_attachment){.ifindex = ifindex,
                                    .tap_ifindex = tap_ifindex,
                                    .tap_fd = -1,
                                    .ingress_fd = -1,
                                    .egress_fd = -1};
    error = tap_ifindex ? hook(steer, at) : build_wall(steer, at);
    if (error) {
        *why = why_not_attached(error);
        unhook(steer, at);
        free(at);
        return error;
    }
    list_add_tail(&steer->attachments, &at->link);
    return 0;
}

/*
 * Owner: steer keeps the hooks until steer_detach or steer_close; the interfaces stay the caller's.
 * -EEXIST: one of the two is attached already; -ENODEV; -EINVAL: no TCX.
 */
int
steer_attach(struct steer *steer, int ifindex, int tap_ifindex, const char **why)
{
    return attach(steer, (uint32_t)ifindex, (uint32_t)tap_ifindex, why);
}

int
steer_wall(struct steer *steer, int ifindex, const char **why)
{
    return attach(steer, (uint32_t)ifindex, 0, why);
}

static void
drop_attachment(struct steer *steer, struct steer_attachment *at)
{
    list_del(&at->link);
    unhook(steer, at);
    free(at);
}

/* Harmless when the interface is not attached. */
void
steer_detach(struct steer *steer, int ifindex)
{
    struct steer_attachment *at = find_attachment(steer, (uint32_t)ifindex);

    if (at && at->ifindex == (uint32_t)ifindex)
        drop_attachment(steer, at);
}

void
steer_detach_all(struct steer *steer)
{
    list_for_each_safe(at, &steer->attachments, struct steer_attachment, link)
        drop_attachment(steer, at);
}
