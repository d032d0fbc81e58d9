/*
 * Two batches of records: one is being filled, the other is being written or empty. The writer
 * sleeps until there is a record, lets others gather for a while, and exchanges the two; so a
 * record costs a copy and, one in very many times, a wake-up.
 *
 * The invariant: the file ends with a whole record. A write that fails half way is cut back to the
 * last one. The head of a file is a copy of the records so marked that have been written, so a new
 * file never tells of something that only comes later.
 */
#include "sys/spool.h"
#include "sys/thread.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RECORD_BYTES 64 /* on average, at least: with smaller ones a batch is full sooner */
#define HEAD_BYTES 65536u
#define HEAD_MARK 0x80000000u

struct batch {
    uint8_t *bytes;
    uint32_t *lengths; /* of the records, with HEAD_MARK */
    size_t used, count;
};

struct sys_spool {
    struct sys_spool_options options;
    size_t max_records;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t work, done;
    struct batch batches[2];
    struct batch *filling;
    bool urgent, writing, closing;
    int error;

    /* the writer's */
    int fd;
    uint64_t size;
    uint8_t head[HEAD_BYTES];
    size_t head_used;
};

/* ---- the file ---- */

/* What is there from before must not be larger than the bound allows. */
static int
make_room(const struct sys_spool_options *options, const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return 0;
    if (!S_ISREG(status.st_mode))
        return -EINVAL;
    if ((uint64_t)status.st_size > options->file_bytes && unlink(path) != 0)
        return -errno;
    return 0;
}

static int
file_open(struct sys_spool *spool)
{
    const struct sys_spool_options *options = &spool->options;

    if (options->aside && rename(options->path, options->aside) != 0 && errno != ENOENT)
        return -errno;
    spool->fd = open(options->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    spool->size = 0;
    return spool->fd < 0 ? -errno : 0;
}

/* 0 or a negative errno; *written says how far it came. */
static int
file_write(struct sys_spool *spool, const uint8_t *bytes, size_t len, size_t *written)
{
    for (*written = 0; *written < len;) {
        ssize_t part = write(spool->fd, bytes + *written, len - *written);

        if (part < 0 && errno != EINTR)
            return -errno;
        *written += part > 0 ? (size_t)part : 0;
    }
    return 0;
}

static int
next_file(struct sys_spool *spool)
{
    size_t written;
    int error;

    close(spool->fd);
    spool->fd = -1;
    error = file_open(spool);
    if (error == 0)
        error = file_write(spool, spool->head, spool->head_used, &written);
    spool->size = spool->head_used;
    return error;
}

/* ---- a batch ---- */

static size_t
length_at(const struct batch *batch, size_t i)
{
    return batch->lengths[i] & ~HEAD_MARK;
}

/* How many records from first on go into this file; their bytes. A new file takes one in any case.
 */
static size_t
fitting(const struct sys_spool *spool, const struct batch *batch, size_t first, size_t *bytes)
{
    size_t i;

    *bytes = 0;
    for (i = first; i < batch->count; i++) {
        uint64_t size = spool->size + *bytes, length = length_at(batch, i);

        if (spool->options.aside && size > spool->head_used &&
            size + length > spool->options.file_bytes)
            break;
        *bytes += length;
    }
    return i - first;
}

static void
keep_heads(struct sys_spool *spool, const struct batch *batch, size_t first, size_t count,
           const uint8_t *bytes)
{
    for (size_t i = first; i < first + count; i++) {
        size_t length = length_at(batch, i);

        if ((batch->lengths[i] & HEAD_MARK) && spool->head_used + length <= HEAD_BYTES) {
            memcpy(spool->head + spool->head_used, bytes, length);
            spool->head_used += length;
        }
        bytes += length;
    }
}

/* What was written of a run that failed: back to the last whole record. */
static void
cut(struct sys_spool *spool, const struct batch *batch, size_t first, size_t written)
{
    size_t whole = 0;

    for (size_t i = first; i < batch->count && whole + length_at(batch, i) <= written; i++)
        whole += length_at(batch, i);
    if (whole != written && ftruncate(spool->fd, (off_t)(spool->size + whole)) != 0)
        log_error("%s: may end in half a record: %s", spool->options.path, strerror(errno));
}

static int
batch_write(struct sys_spool *spool, const struct batch *batch)
{
    const uint8_t *at = batch->bytes;
    size_t first = 0;

    while (first < batch->count) {
        size_t bytes, written, count = fitting(spool, batch, first, &bytes);
        int error = count ? file_write(spool, at, bytes, &written) : next_file(spool);

        if (error != 0 && count)
            cut(spool, batch, first, written);
        if (error != 0)
            return error;
        if (count)
            keep_heads(spool, batch, first, count, at);
        spool->size += bytes;
        at += bytes;
        first += count;
    }
    return 0;
}

/* ---- the writer ---- */

/* Lets records gather. */
static void
gather(struct sys_spool *spool)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)spool->options.patience_us % 1000000 * 1000;
    until.tv_sec += (time_t)(spool->options.patience_us / 1000000) + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!spool->urgent && !spool->closing &&
           pthread_cond_timedwait(&spool->work, &spool->mutex, &until) == 0)
        continue;
}

/* Takes what there is and writes it, without the lock. */
static void
write_one(struct sys_spool *spool)
{
    struct batch *batch = spool->filling;
    int error;

    spool->filling = batch == &spool->batches[0] ? &spool->batches[1] : &spool->batches[0];
    spool->urgent = false;
    spool->writing = true;
    pthread_mutex_unlock(&spool->mutex);
    error = batch_write(spool, batch);
    if (error != 0)
        log_error("%s: %s; nothing more is written to it", spool->options.path, strerror(-error));
    batch->used = batch->count = 0;
    pthread_mutex_lock(&spool->mutex);
    spool->writing = false;
    if (error != 0)
        spool->error = error;
    pthread_cond_broadcast(&spool->done);
}

static void *
writer(void *arg)
{
    struct sys_spool *spool = arg;

    sys_thread_ordinary();
    pthread_mutex_lock(&spool->mutex);
    while (!spool->closing || spool->filling->count) {
        if (!spool->filling->count) {
            pthread_cond_wait(&spool->work, &spool->mutex);
            continue;
        }
        gather(spool);
        write_one(spool);
        if (spool->error != 0)
            spool->filling->used = spool->filling->count = 0;
    }
    pthread_mutex_unlock(&spool->mutex);
    return NULL;
}

/* ---- for the others ---- */

uint8_t *
sys_spool_reserve(struct sys_spool *spool, size_t bytes)
{
    struct batch *batch;

    pthread_mutex_lock(&spool->mutex);
    batch = spool->filling;
    if (spool->error == 0 && batch->count < spool->max_records &&
        bytes <= spool->options.memory_bytes - batch->used)
        return batch->bytes + batch->used;
    pthread_mutex_unlock(&spool->mutex);
    return NULL;
}

void
sys_spool_commit(struct sys_spool *spool, size_t bytes, bool head)
{
    struct batch *batch = spool->filling;
    bool wake = batch->count == 0;

    batch->lengths[batch->count++] = (uint32_t)bytes | (head ? HEAD_MARK : 0);
    batch->used += bytes;
    if (!spool->urgent && batch->used > spool->options.memory_bytes / 2)
        wake = spool->urgent = true;
    if (wake)
        pthread_cond_signal(&spool->work);
    pthread_mutex_unlock(&spool->mutex);
}

int
sys_spool_flush(struct sys_spool *spool)
{
    int error;

    pthread_mutex_lock(&spool->mutex);
    while (spool->filling->count || spool->writing) {
        spool->urgent = spool->filling->count != 0;
        pthread_cond_signal(&spool->work);
        pthread_cond_wait(&spool->done, &spool->mutex);
    }
    error = spool->error;
    pthread_mutex_unlock(&spool->mutex);
    return error;
}

static void
spool_free(struct sys_spool *spool)
{
    for (unsigned i = 0; i < 2; i++) {
        free(spool->batches[i].bytes);
        free(spool->batches[i].lengths);
    }
    pthread_cond_destroy(&spool->work);
    pthread_cond_destroy(&spool->done);
    pthread_mutex_destroy(&spool->mutex);
    free(spool);
}

void
sys_spool_close(struct sys_spool *spool)
{
    pthread_mutex_lock(&spool->mutex);
    spool->closing = true;
    pthread_cond_signal(&spool->work);
    pthread_mutex_unlock(&spool->mutex);
    pthread_join(spool->thread, NULL);
    if (spool->fd >= 0)
        close(spool->fd);
    spool_free(spool);
}

static struct sys_spool *
spool_create(const struct sys_spool_options *options)
{
    struct sys_spool *spool = calloc(1, sizeof(*spool));
    pthread_condattr_t monotonic;

    if (!spool)
        return NULL;
    spool->options = *options;
    spool->max_records = options->memory_bytes / RECORD_BYTES;
    spool->filling = &spool->batches[0];
    pthread_mutex_init(&spool->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&spool->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&spool->done, NULL);
    for (unsigned i = 0; i < 2; i++) {
        spool->batches[i].bytes = malloc(options->memory_bytes);
        spool->batches[i].lengths = malloc(spool->max_records * sizeof(uint32_t));
        if (!spool->batches[i].bytes || !spool->batches[i].lengths) {
            spool_free(spool);
            return NULL;
        }
    }
    return spool;
}

int
sys_spool_open(const struct sys_spool_options *options, struct sys_spool **out)
{
    struct sys_spool *spool = spool_create(options);
    int error;

    if (!spool)
        return -ENOMEM;
    error = options->aside ? make_room(options, options->path) : 0;
    if (error == 0)
        error = options->aside ? make_room(options, options->aside) : 0;
    if (error == 0)
        error = file_open(spool);
    if (error == 0) {
        error = -pthread_create(&spool->thread, NULL, writer, spool);
        if (error != 0)
            close(spool->fd);
    }
    if (error != 0)
        spool_free(spool);
    else
        *out = spool;
    return error;
}

/* ---- names ---- */

static bool
same_inode(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Of the folder; *name points to what the file is called in it. */
static bool
stat_folder(const char *path, struct stat *status, const char **name)
{
    const char *slash = strrchr(path, '/');
    char *folder;
    bool found;

    *name = slash ? slash + 1 : path;
    if (!slash)
        return stat(".", status) == 0;
    folder = strndup(path, (size_t)(slash + 1 - path));
    found = folder && stat(folder, status) == 0;
    free(folder);
    return found;
}

/* A file that is not there yet, or is just being put aside, is known by its folder and its name. */
bool
sys_spool_same_file(const char *a, const char *b)
{
    const char *name_a, *name_b;
    struct stat at_a, at_b;

    if (stat(a, &at_a) == 0 && stat(b, &at_b) == 0 && same_inode(&at_a, &at_b))
        return true;
    return stat_folder(a, &at_a, &name_a) && stat_folder(b, &at_b, &name_b) &&
           same_inode(&at_a, &at_b) && strcmp(name_a, name_b) == 0;
}
