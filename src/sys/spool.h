/*
 * Records into a file, written by a thread of its own: whoever adds one copies into memory and goes
 * on, however slow the disk is. When the memory is full a record is refused; what has been taken
 * is written, in the order taken.
 *
 * A file ends with a whole record, always but for a machine (or this process) that dies in the
 * middle of a write. With a bound it is put aside when it is full, and the next one begins with the
 * records that were marked as its head.
 *
 * Threads: any may add; open, flush and close belong to one.
 */
#ifndef SYS_SPOOL_H
#define SYS_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sys_spool;

struct sys_spool_options {
    const char *path;     /* kept */
    const char *aside;    /* where a full file goes, over what is there; kept; NULL: no bound */
    uint64_t file_bytes;  /* with aside: of one file; more than the largest record and the head */
    size_t memory_bytes;  /* twice this much is allocated; no record is larger */
    unsigned patience_us; /* how long a record may wait, in real time */
};

/* Creates the file. With a bound, what was there is put aside, unless it is too large for that;
 * without one it is overwritten. 0 or a negative errno; -EINVAL: with a bound, and it is no
 * ordinary file. */
int sys_spool_open(const struct sys_spool_options *options, struct sys_spool **out);
/*
 * Room for one record. NULL: there is none, or the file is broken. Nobody else gets room, and
 * nothing is written, until it is committed.
 */
uint8_t *sys_spool_reserve(struct sys_spool *spool, size_t bytes);
/* The record is there. head: every file begins with it. */
void sys_spool_commit(struct sys_spool *spool, size_t bytes, bool head);
/* Waits until everything taken is in the file. 0, or the negative errno with which it broke: then
 * nothing is written any more. */
int sys_spool_flush(struct sys_spool *spool);
/* Flushes first. */
void sys_spool_close(struct sys_spool *spool);

/* Whether the two are names of one file, there or not: links and folders may be others. */
bool sys_spool_same_file(const char *a, const char *b);

#endif
