/* Numbers are spelled out: a mistake in what the writer calls them would otherwise be made twice.
 */
#include "intermediate/trace/test_read.h"

#include <stdio.h>
#include <string.h>

static uint32_t
be32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static unsigned
be16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void
take_text(char *to, size_t room, const uint8_t *value, size_t len)
{
    snprintf(to, room, "%.*s", (int)len, (const char *)value);
}

/* Calls on_option for each; what is wrong, or NULL. */
static const char *
read_options(const uint8_t *at, const uint8_t *end, void *to,
             void (*on_option)(void *to, unsigned code, const uint8_t *value, size_t len))
{
    while (at < end) {
        unsigned code, len, padded;

        if (end - at < 4)
            return "half an option";
        code = be16(at);
        len = be16(at + 2);
        padded = (len + 3) / 4 * 4;
        if (code == 0)
            return len == 0 && end - at == 4 ? NULL : "something after the last option";
        if ((size_t)(end - at) < 4 + padded)
            return "an option beyond the block";
        for (unsigned i = len; i < padded; i++)
            if (at[4 + i] != 0)
                return "padding that is not zero";
        on_option(to, code, at + 4, len);
        at += 4 + padded;
    }
    return "options without an end";
}

static void
section_option(void *to, unsigned code, const uint8_t *value, size_t len)
{
    struct read_file *file = to;

    if (code == 1)
        take_text(file->comment, sizeof(file->comment), value, len);
    if (code == 4)
        take_text(file->application, sizeof(file->application), value, len);
}

static void
interface_option(void *to, unsigned code, const uint8_t *value, size_t len)
{
    struct read_interface *interface = to;

    if (code == 2)
        take_text(interface->name, sizeof(interface->name), value, len);
    if (code == 3)
        take_text(interface->description, sizeof(interface->description), value, len);
    if (code == 9)
        interface->resolution = value[0];
}

static void
packet_option(void *to, unsigned code, const uint8_t *value, size_t len)
{
    struct read_packet *packet = to;

    if (code == 1)
        take_text(packet->comment, sizeof(packet->comment), value, len);
    if (code == 2)
        packet->flags = be32(value);
    if (code == 4)
        packet->lost = (uint64_t)be32(value) << 32 | be32(value + 4);
}

static const char *
read_section(struct read_file *file, const uint8_t *body, const uint8_t *end)
{
    if (end - body < 16 || be32(body) != 0x1a2b3c4d || be32(body + 4) != 0x00010000)
        return "no big-endian section of version 1.0";
    file->sections++;
    file->interfaces = 0;
    return read_options(body + 16, end, file, section_option);
}

static const char *
read_interface(struct read_file *file, const uint8_t *body, const uint8_t *end)
{
    struct read_interface *interface = &file->interface[file->interfaces++];

    if (end - body < 8 || file->interfaces > READ_INTERFACES)
        return "a bad interface";
    memset(interface, 0, sizeof(*interface));
    interface->link = be16(body);
    interface->snap = be32(body + 4);
    return read_options(body + 8, end, interface, interface_option);
}

static const char *
read_packet(struct read_file *file, struct read_packet *packet, const uint8_t *body,
            const uint8_t *end)
{
    size_t padded;

    memset(packet, 0, sizeof(*packet));
    if (end - body < 20)
        return "a short packet";
    packet->interface = be32(body);
    packet->time_ns = (uint64_t)be32(body + 4) << 32 | be32(body + 8);
    packet->kept = be32(body + 12);
    packet->length = be32(body + 16);
    packet->bytes = body + 20;
    padded = ((size_t)packet->kept + 3) / 4 * 4;
    if (packet->interface >= file->interfaces)
        return "a packet of an interface that has not been introduced";
    if (packet->kept > packet->length || padded > (size_t)(end - body) - 20)
        return "a packet beyond its block";
    for (size_t i = packet->kept; i < padded; i++)
        if (packet->bytes[i] != 0)
            return "padding that is not zero";
    file->packets++;
    return read_options(packet->bytes + padded, end, packet, packet_option);
}

size_t
read_pcapng(const uint8_t *file, size_t len, struct read_file *out,
            void (*on_packet)(void *arg, const struct read_packet *packet), void *arg)
{
    struct read_packet packet;
    size_t at = 0;

    memset(out, 0, sizeof(*out));
    while (!out->wrong && len - at >= 12) {
        uint32_t type = be32(file + at), bytes = be32(file + at + 4);
        const uint8_t *body = file + at + 8, *end;

        if (bytes > len - at)
            break;
        end = file + at + bytes - 4;
        if (bytes % 4 || bytes < 12 || be32(end) != bytes)
            out->wrong = "the two lengths of a block differ";
        else if ((type == 0x0a0d0d0a) != (at == 0))
            out->wrong = "a section that is not at the beginning";
        else if (type == 0x0a0d0d0a)
            out->wrong = read_section(out, body, end);
        else if (type == 1)
            out->wrong = read_interface(out, body, end);
        else if (type != 6)
            out->wrong = "a block of another type";
        else if (!(out->wrong = read_packet(out, &packet, body, end)) && on_packet)
            on_packet(arg, &packet);
        at += bytes;
    }
    return at;
}
