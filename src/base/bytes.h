/*
 * Reading and writing protocol headers: big-endian numbers at any alignment, and bounded cursors. A
 * cursor that has once been asked for more than there is stays failed and yields zeroes, so a
 * parser checks once, at the end.
 */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t
bytes_load_be16(const void *at)
{
    const uint8_t *p = at;

    return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t
bytes_load_be32(const void *at)
{
    const uint8_t *p = at;

    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void
bytes_store_be16(void *at, uint16_t value)
{
    uint8_t *p = at;

    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void
bytes_store_be32(void *at, uint32_t value)
{
    bytes_store_be16(at, (uint16_t)(value >> 16));
    bytes_store_be16((uint8_t *)at + 2, (uint16_t)value);
}

/* ---- reading ---- */

struct bytes_reader {
    const uint8_t *at, *end;
    bool failed;
};

static inline struct bytes_reader
bytes_reader(const void *data, size_t len)
{
    return (struct bytes_reader){data, (const uint8_t *)data + len, false};
}

static inline size_t
bytes_left(const struct bytes_reader *reader)
{
    return (size_t)(reader->end - reader->at);
}

/* The next len bytes, in place, or NULL and the reader has failed and is empty. */
static inline const uint8_t *
bytes_take(struct bytes_reader *reader, size_t len)
{
    const uint8_t *taken = reader->at;

    if (len > bytes_left(reader)) {
        reader->failed = true;
        reader->at = reader->end;
        return NULL;
    }
    reader->at += len;
    return taken;
}

static inline bool
bytes_skip(struct bytes_reader *reader, size_t len)
{
    return bytes_take(reader, len) != NULL;
}

static inline uint8_t
bytes_get_u8(struct bytes_reader *reader)
{
    const uint8_t *p = bytes_take(reader, 1);

    return p != NULL ? *p : 0;
}

static inline uint16_t
bytes_get_be16(struct bytes_reader *reader)
{
    const uint8_t *p = bytes_take(reader, 2);

    return p != NULL ? bytes_load_be16(p) : 0;
}

static inline uint32_t
bytes_get_be32(struct bytes_reader *reader)
{
    const uint8_t *p = bytes_take(reader, 4);

    return p != NULL ? bytes_load_be32(p) : 0;
}

/* Copies len bytes; zeroes when there are not enough. */
static inline void
bytes_get(struct bytes_reader *reader, void *out, size_t len)
{
    const uint8_t *p = bytes_take(reader, len);

    if (p != NULL)
        memcpy(out, p, len);
    else
        memset(out, 0, len);
}

/* ---- writing ---- */

struct bytes_writer {
    uint8_t *start, *at, *end;
    bool failed;
};

static inline struct bytes_writer
bytes_writer(void *room, size_t len)
{
    return (struct bytes_writer){room, room, (uint8_t *)room + len, false};
}

static inline size_t
bytes_written(const struct bytes_writer *writer)
{
    return (size_t)(writer->at - writer->start);
}

/*
 * Room for the next len bytes, to be filled by the caller, or NULL and the writer has failed and is
 * full.
 */
static inline uint8_t *
bytes_reserve(struct bytes_writer *writer, size_t len)
{
    uint8_t *room = writer->at;

    if (writer->failed || len > (size_t)(writer->end - writer->at)) {
        writer->failed = true;
        return NULL;
    }
    writer->at += len;
    return room;
}

static inline void
bytes_put_u8(struct bytes_writer *writer, uint8_t value)
{
    uint8_t *p = bytes_reserve(writer, 1);

    if (p != NULL)
        *p = value;
}

static inline void
bytes_put_be16(struct bytes_writer *writer, uint16_t value)
{
    uint8_t *p = bytes_reserve(writer, 2);

    if (p != NULL)
        bytes_store_be16(p, value);
}

static inline void
bytes_put_be32(struct bytes_writer *writer, uint32_t value)
{
    uint8_t *p = bytes_reserve(writer, 4);

    if (p != NULL)
        bytes_store_be32(p, value);
}

static inline void
bytes_put(struct bytes_writer *writer, const void *data, size_t len)
{
    uint8_t *p = bytes_reserve(writer, len);

    if (p != NULL)
        memcpy(p, data, len);
}

#endif
