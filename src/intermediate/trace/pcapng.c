/*
 * pcapng, as much of it as a trace needs. A block is its type, its length, a body and the length
 * again; options are code, length, value, everything padded to four bytes. Source: the
 * specification of the format (draft-ietf-opsawg-pcapng).
 */
#include "intermediate/trace/pcapng.h"

#include "base/bytes.h"

#define SECTION 0x0a0d0d0au
#define INTERFACE 1u
#define PACKET 6u
#define BYTE_ORDER_MAGIC 0x1a2b3c4du

enum option {
    OPTION_END = 0,
    OPTION_COMMENT = 1,
    SECTION_APPLICATION = 4,
    INTERFACE_NAME = 2,
    INTERFACE_DESCRIPTION = 3,
    INTERFACE_RESOLUTION = 9,
    PACKET_FLAGS = 2,
    PACKET_LOST = 4,
};

/* Counts, and writes if there is somewhere to. */
struct block {
    uint8_t *start;
    size_t used;
};

static uint8_t *
room(struct block *block, size_t bytes)
{
    uint8_t *at = block->start ? block->start + block->used : NULL;

    block->used += bytes;
    return at;
}

static void
put_be16(struct block *block, unsigned value)
{
    uint8_t *at = room(block, 2);

    if (at)
        bytes_store_be16(at, (uint16_t)value);
}

static void
put_be32(struct block *block, uint32_t value)
{
    uint8_t *at = room(block, 4);

    if (at)
        bytes_store_be32(at, value);
}

/* Room for so many bytes, and zeroes up to the next multiple of four. */
static uint8_t *
padded(struct block *block, size_t bytes)
{
    size_t padding = -bytes & 3u;
    uint8_t *at = room(block, bytes + padding);

    if (at)
        memset(at + bytes, 0, padding);
    return at;
}

static void
put_option(struct block *block, enum option option, const void *value, size_t bytes)
{
    uint8_t *at;

    put_be16(block, option);
    put_be16(block, (unsigned)bytes);
    at = padded(block, bytes);
    if (at)
        memcpy(at, value, bytes);
}

static void
put_text(struct block *block, enum option option, const char *text)
{
    if (text)
        put_option(block, option, text, strlen(text));
}

static struct block
begin(uint8_t *to, uint32_t type)
{
    struct block block = {to, 0};

    put_be32(&block, type);
    room(&block, 4); /* the length; end knows it */
    return block;
}

static size_t
end(struct block *block)
{
    put_be32(block, OPTION_END);
    put_be32(block, (uint32_t)block->used + 4);
    if (block->start)
        bytes_store_be32(block->start + 4, (uint32_t)block->used);
    return block->used;
}

size_t
pcapng_section(uint8_t *to, const char *application, const char *comment)
{
    struct block block = begin(to, SECTION);

    put_be32(&block, BYTE_ORDER_MAGIC);
    put_be16(&block, 1); /* version 1.0 */
    put_be16(&block, 0);
    put_be32(&block, UINT32_MAX); /* the length of the section is not known */
    put_be32(&block, UINT32_MAX);
    put_text(&block, OPTION_COMMENT, comment);
    put_text(&block, SECTION_APPLICATION, application);
    return end(&block);
}

size_t
pcapng_interface(uint8_t *to, const struct pcapng_interface *interface)
{
    static const uint8_t nanoseconds = 9;
    struct block block = begin(to, INTERFACE);

    put_be16(&block, interface->link);
    put_be16(&block, 0);
    put_be32(&block, interface->snap_bytes);
    put_text(&block, INTERFACE_NAME, interface->name);
    put_text(&block, INTERFACE_DESCRIPTION, interface->description);
    put_option(&block, INTERFACE_RESOLUTION, &nanoseconds, 1);
    return end(&block);
}

size_t
pcapng_packet(uint8_t *to, const struct pcapng_packet *packet, uint8_t **bytes)
{
    struct block block = begin(to, PACKET);
    uint8_t flags[4], lost[8];

    put_be32(&block, packet->interface);
    put_be32(&block, (uint32_t)(packet->time_ns >> 32));
    put_be32(&block, (uint32_t)packet->time_ns);
    put_be32(&block, packet->kept);
    put_be32(&block, packet->length);
    *bytes = padded(&block, packet->kept);
    put_text(&block, OPTION_COMMENT, packet->comment);
    if (packet->way != PCAPNG_UNKNOWN) {
        bytes_store_be32(flags, packet->way);
        put_option(&block, PACKET_FLAGS, flags, sizeof(flags));
    }
    if (packet->lost) {
        bytes_store_be32(lost, (uint32_t)(packet->lost >> 32));
        bytes_store_be32(lost + 4, (uint32_t)packet->lost);
        put_option(&block, PACKET_LOST, lost, sizeof(lost));
    }
    return end(&block);
}
