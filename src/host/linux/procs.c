/*
 * /proc/PID/fd holds a symbolic link "socket:[INODE]" for every socket. One walk over it serves
 * all: fn says false to stop. Processes come and go during the walk: what cannot be opened any more
 * is skipped.
 */
#include "host/linux/procs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 64
#define LINK_BYTES 64
#define FIRST_CAPACITY 64

struct held {
    uint64_t inode;
    pid_t pid;
};

typedef bool (*held_fn)(void *arg, const struct held *held);

/* ---- the walk ---- */

/* Writes the inode of the socket that the link name leads to; false: no socket. */
static bool
socket_inode(int dir, const char *name, uint64_t *inode)
{
    char target[LINK_BYTES];
    ssize_t len = readlinkat(dir, name, target, sizeof(target) - 1);

    if (len < 0)
        return false;
    target[len] = '\0';
    return sscanf(target, "socket:[%" SCNu64 "]", inode) == 1;
}

/* 1: go on; 0: fn has seen enough; negative errno. */
static int
walk_process(pid_t pid, held_fn fn, void *arg)
{
    char path[PATH_BYTES];
    struct held held = {.pid = pid};
    struct dirent *entry;
    bool more = true;
    DIR *dir;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? -ESRCH : -errno;
    while (more && (entry = readdir(dir))) {
        if (socket_inode(dirfd(dir), entry->d_name, &held.inode))
            more = fn(arg, &held);
    }
    closedir(dir);
    return more;
}

static int
walk_all(held_fn fn, void *arg)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    int more = 1;

    if (!dir)
        return -errno;
    while (more != 0 && (entry = readdir(dir))) {
        pid_t pid = (pid_t)atoi(entry->d_name);

        if (pid > 0)
            more = walk_process(pid, fn, arg);
    }
    closedir(dir);
    return 0;
}

/* ---- a sorted table of what a walk found ---- */

struct table {
    struct held *held;
    size_t count, capacity;
    bool no_memory;
};

static bool
table_add(void *arg, const struct held *held)
{
    struct table *table = arg;

    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? 2 * table->capacity : FIRST_CAPACITY;
        struct held *larger = realloc(table->held, capacity * sizeof(*larger));

        if (!larger) {
            table->no_memory = true;
            return false;
        }
        table->held = larger;
        table->capacity = capacity;
    }
    table->held[table->count++] = *held;
    return true;
}

static int
by_inode(const void *left, const void *right)
{
    const struct held *a = left, *b = right;

    return a->inode < b->inode ? -1 : a->inode > b->inode;
}

static void
table_sort(struct table *table)
{
    if (table->count)
        qsort(table->held, table->count, sizeof(*table->held), by_inode);
}

static const struct held *
table_find(const struct table *table, uint64_t inode)
{
    const struct held wanted = {.inode = inode};

    if (!table->count)
        return NULL;
    return bsearch(&wanted, table->held, table->count, sizeof(wanted), by_inode);
}

/* ---- one process ---- */

struct procs_inodes {
    struct table table;
};

int
procs_inodes_of(pid_t pid, struct procs_inodes **out)
{
    struct procs_inodes *inodes = calloc(1, sizeof(*inodes));
    int error;

    if (!inodes)
        return -ENOMEM;
    error = walk_process(pid, table_add, &inodes->table);
    if (inodes->table.no_memory)
        error = -ENOMEM;
    if (error < 0) {
        procs_inodes_free(inodes);
        return error;
    }
    table_sort(&inodes->table);
    *out = inodes;
    return 0;
}

bool
procs_inodes_have(const struct procs_inodes *inodes, uint64_t inode)
{
    return table_find(&inodes->table, inode) != NULL;
}

size_t
procs_inodes_count(const struct procs_inodes *inodes)
{
    return inodes->table.count;
}

void
procs_inodes_free(struct procs_inodes *inodes)
{
    if (!inodes)
        return;
    free(inodes->table.held);
    free(inodes);
}

/* ---- all processes ---- */

struct procs_owners {
    struct table table;
};

int
procs_owners_read(struct procs_owners **out)
{
    struct procs_owners *owners = calloc(1, sizeof(*owners));
    int error;

    if (!owners)
        return -ENOMEM;
    error = walk_all(table_add, &owners->table);
    if (owners->table.no_memory)
        error = -ENOMEM;
    if (error) {
        procs_owners_free(owners);
        return error;
    }
    table_sort(&owners->table);
    *out = owners;
    return 0;
}

static int
tell_owner(const struct held *held, pid_t *pid, char *command, size_t size)
{
    *pid = held ? held->pid : 0;
    if (size)
        command[0] = '\0';
    if (!held)
        return -ENOENT;
    procs_command(held->pid, command, size); /* gone in the meantime: a pid without a command */
    return 0;
}

int
procs_owners_find(const struct procs_owners *owners, uint64_t inode, pid_t *pid, char *command,
                  size_t size)
{
    return tell_owner(table_find(&owners->table, inode), pid, command, size);
}

void
procs_owners_free(struct procs_owners *owners)
{
    if (!owners)
        return;
    free(owners->table.held);
    free(owners);
}

static bool
stop_at_inode(void *arg, const struct held *held)
{
    struct held *wanted = arg;

    if (held->inode != wanted->inode)
        return true;
    wanted->pid = held->pid;
    return false;
}

int
procs_find(uint64_t inode, pid_t *pid, char *command, size_t size)
{
    struct held wanted = {.inode = inode};

    if (inode)
        walk_all(stop_at_inode, &wanted);
    return tell_owner(wanted.pid ? &wanted : NULL, pid, command, size);
}

int
procs_command(pid_t pid, char *command, size_t size)
{
    char path[PATH_BYTES];
    ssize_t len;
    int fd;

    if (!size)
        return -EINVAL;
    command[0] = '\0';
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -ESRCH;
    len = read(fd, command, size - 1);
    close(fd);
    command[len > 0 ? len : 0] = '\0';
    command[strcspn(command, "\n")] = '\0';
    return 0;
}
