/*
 * Which process holds a socket: from /proc/PID/fd. A socket may have several holders; the first
 * found is told. Threads: any. Reading the descriptors of every process takes a while (some µs per
 * descriptor): for more than one socket read the owners once.
 */
#ifndef HOST_LINUX_PROCS_H
#define HOST_LINUX_PROCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* The sockets of one process. */
struct procs_inodes;

/* 0, and *out is the caller's until procs_inodes_free; -ESRCH: no such process; -EACCES: not ours
 * to read; -ENOMEM. */
int procs_inodes_of(pid_t pid, struct procs_inodes **out);
bool procs_inodes_have(const struct procs_inodes *inodes, uint64_t inode);
size_t procs_inodes_count(const struct procs_inodes *inodes);
void procs_inodes_free(struct procs_inodes *inodes); /* NULL is fine */

/* The sockets of all processes that may be read, as of now. */
struct procs_owners;

int procs_owners_read(struct procs_owners **out); /* 0; -ENOMEM; negative errno */
/* As procs_find. */
int procs_owners_find(const struct procs_owners *owners, uint64_t inode, pid_t *pid, char *command,
                      size_t size);
void procs_owners_free(struct procs_owners *owners); /* NULL is fine */

/* The holder of a socket, and its command (up to 15 letters). -ENOENT, *pid 0 and an empty command:
 * nobody we may see. */
int procs_find(uint64_t inode, pid_t *pid, char *command, size_t size);
/* The command of a process. 0; -ESRCH. */
int procs_command(pid_t pid, char *command, size_t size);

#endif
