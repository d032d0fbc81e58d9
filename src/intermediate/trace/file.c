/*
 * Packets into a spool, so that nothing here waits for a disk. What finds no room is counted, and
 * the next packet that does says how many are missing before it. In a ring the section and the
 * interfaces are the head of every file.
 *
 * The time is NDIS's: that of the loop.
 */
#include "intermediate/trace/file.h"

#include "base/list.h"
#include "base/log.h"
#include "sys/spool.h"

#include <ndis.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_BYTES (4u << 20)
#define PATIENCE_US 200000u
#define YEAR_1970 116444736000000000ll /* after 1601, in units of 100 ns */

struct trace_file {
    struct list link;
    unsigned users;
    char path[TRACE_PATH_SIZE], aside[TRACE_PATH_SIZE + 4];
    uint64_t ring_bytes;
    struct sys_spool *spool;
    uint32_t interfaces;
    uint64_t lost, lost_before;
};

static struct list files = {&files, &files};

/* ---- opening ---- */

static const char about[] =
    "Frames of a wire and the calls between NDIS drivers, see chimney-trace(7). Calls are "
    "interfaces with link type USER0; packaging/wireshark/chimney.lua of tcpchimney decodes them.";

/* Not a packet: if there is no room for it, the file is of no use, and there always is. */
static void
append_section(struct trace_file *file)
{
    size_t bytes = pcapng_section(NULL, "tcpchimney", about);
    uint8_t *room = sys_spool_reserve(file->spool, bytes);

    if (!room)
        return;
    pcapng_section(room, "tcpchimney", about);
    sys_spool_commit(file->spool, bytes, true);
}

static struct trace_file *
file_create(const char *path, uint64_t ring_bytes, const char **why)
{
    struct trace_file *file = calloc(1, sizeof(*file));
    struct sys_spool_options options = {
        .memory_bytes = MEMORY_BYTES, .patience_us = PATIENCE_US, .file_bytes = ring_bytes / 2};
    int error = -ENOMEM;

    if (file) {
        snprintf(file->path, sizeof(file->path), "%s", path);
        snprintf(file->aside, sizeof(file->aside), "%s.old", path);
        options.path = file->path;
        options.aside = ring_bytes ? file->aside : NULL;
        error = sys_spool_open(&options, &file->spool);
    }
    if (error != 0) {
        *why = error == -EINVAL ? "a ring needs an ordinary file" : strerror(-error);
        free(file);
        return NULL;
    }
    file->ring_bytes = ring_bytes;
    append_section(file);
    list_add_tail(&files, &file->link);
    return file;
}

/* Two that write one file without knowing it would write over each other. NULL: it may be made. */
static const char *
collision(const char *path, uint64_t ring_bytes)
{
    char aside[TRACE_PATH_SIZE + 4];

    snprintf(aside, sizeof(aside), "%s.old", path);
    list_for_each(other, &files, struct trace_file, link) {
        if (other->ring_bytes && sys_spool_same_file(other->aside, path))
            return "the Ring of another floor puts its older file there; give one another name";
        if (ring_bytes && sys_spool_same_file(aside, other->path))
            return "its Ring would put the older file over the File of another floor; give one "
                   "another name";
    }
    return NULL;
}

struct trace_file *
trace_file_get(const char *path, uint64_t ring_bytes, const char **why)
{
    struct trace_file *file = NULL;

    list_for_each(other, &files, struct trace_file, link)
        if (sys_spool_same_file(other->path, path))
            file = other;
    if (!file) {
        *why = collision(path, ring_bytes);
        file = *why ? NULL : file_create(path, ring_bytes, why);
    }
    if (file && file->ring_bytes != ring_bytes) {
        *why = "another floor writes it with another Ring; give both the same";
        return NULL;
    }
    if (file)
        file->users++;
    return file;
}

void
trace_file_put(struct trace_file *file)
{
    if (--file->users)
        return;
    if (file->lost_before + file->lost)
        log_warn("%s: %llu packets are missing, the disk was too slow", file->path,
                 (unsigned long long)(file->lost_before + file->lost));
    list_del(&file->link);
    sys_spool_close(file->spool);
    free(file);
}

int
trace_file_flush(struct trace_file *file)
{
    return sys_spool_flush(file->spool);
}

uint32_t
trace_file_interface(struct trace_file *file, const struct pcapng_interface *interface)
{
    size_t bytes = pcapng_interface(NULL, interface);
    uint8_t *room = sys_spool_reserve(file->spool, bytes);

    /* A batch that is full is soon another one. */
    if (!room && sys_spool_flush(file->spool) == 0)
        room = sys_spool_reserve(file->spool, bytes);
    if (room) {
        pcapng_interface(room, interface);
        sys_spool_commit(file->spool, bytes, true);
    }
    return file->interfaces++;
}

/* ---- packets ---- */

static uint64_t
now_ns(void)
{
    LARGE_INTEGER now;

    NdisGetCurrentSystemTime(&now);
    return (uint64_t)(now.QuadPart - YEAR_1970) * 100;
}

void
trace_file_packet(struct trace_file *file, struct pcapng_packet *packet,
                  size_t (*copy)(const void *from, void *to, size_t max), const void *from)
{
    size_t bytes, copied;
    uint8_t *room, *at;

    packet->lost = file->lost;
    packet->time_ns = now_ns();
    bytes = pcapng_packet(NULL, packet, &at);
    room = sys_spool_reserve(file->spool, bytes);
    if (!room) {
        file->lost++;
        return;
    }
    pcapng_packet(room, packet, &at);
    copied = copy(from, at, packet->kept);
    memset(at + copied, 0, packet->kept - copied);
    sys_spool_commit(file->spool, bytes, false);
    file->lost_before += file->lost;
    file->lost = 0;
}
