/*
 * The payload of a crossing, big-endian, version 1 (OURS; chimney-trace(7) has it as a table, the
 * Lua dissector reads it):
 *
 *    0  version      1  operation    2  flags: 1 up, 2 answer, 4 has a status
 *    3  owner        4  status (4)   8  bytes (8)   16  count (4)
 *   20  code (4): flags of a disconnect; type of an event; the indicated status; OID; PnP event
 *   24  info (4): what goes with an event; type of a request; of a tree, received data that it
 *                 carries (bytes is the data to be sent)
 *   28  object (4)  32 its layer    33 zero    34 local port (2)   36 remote port (2)
 *   38  nodes that follow (2)       40 buffer (8)
 *
 * and per node: layer, role, depth, owner (1 each), status (4), object (4), local and remote port
 * (2 each), zero (4).
 */
#include "intermediate/trace/record.h"

#include "base/bytes.h"
#include "intermediate/trace/names.h"

#include <stdarg.h>
#include <stdio.h>

#define VERSION 1
enum { FLAG_UP = 1, FLAG_ANSWER = 2, FLAG_STATUS = 4 };
#define NODES_IN_WORDS 8

static void
put_be64(struct bytes_writer *writer, uint64_t value)
{
    bytes_put_be32(writer, (uint32_t)(value >> 32));
    bytes_put_be32(writer, (uint32_t)value);
}

static void
put_node(struct bytes_writer *writer, const struct trace_node *node)
{
    bytes_put_u8(writer, (uint8_t)node->object.layer);
    bytes_put_u8(writer, (uint8_t)node->role);
    bytes_put_u8(writer, (uint8_t)(node->depth < UINT8_MAX ? node->depth : UINT8_MAX));
    bytes_put_u8(writer, (uint8_t)node->owner);
    bytes_put_be32(writer, node->status);
    bytes_put_be32(writer, node->object.number);
    bytes_put_be16(writer, node->object.local_port);
    bytes_put_be16(writer, node->object.remote_port);
    bytes_put_be32(writer, 0);
}

void
trace_record_put(const struct trace_crossing *crossing, uint8_t *to)
{
    struct bytes_writer writer = bytes_writer(to, trace_record_bytes(crossing));

    bytes_put_u8(&writer, VERSION);
    bytes_put_u8(&writer, (uint8_t)crossing->op);
    bytes_put_u8(&writer,
                 (uint8_t)((crossing->up ? FLAG_UP : 0) | (crossing->answer ? FLAG_ANSWER : 0) |
                           (crossing->has_status ? FLAG_STATUS : 0)));
    bytes_put_u8(&writer, (uint8_t)crossing->owner);
    bytes_put_be32(&writer, crossing->status);
    put_be64(&writer, crossing->bytes);
    bytes_put_be32(&writer, crossing->count);
    bytes_put_be32(&writer, crossing->code);
    bytes_put_be32(&writer, crossing->info);
    bytes_put_be32(&writer, crossing->object.number);
    bytes_put_u8(&writer, (uint8_t)crossing->object.layer);
    bytes_put_u8(&writer, 0);
    bytes_put_be16(&writer, crossing->object.local_port);
    bytes_put_be16(&writer, crossing->object.remote_port);
    bytes_put_be16(&writer, (uint16_t)crossing->node_count);
    put_be64(&writer, crossing->buffer);
    for (uint32_t i = 0; i < crossing->node_count; i++)
        put_node(&writer, &crossing->nodes[i]);
}

/* ---- in words ---- */

struct words {
    char *text;
    size_t used;
};

static void __attribute__((format(printf, 2, 3))) say(struct words *words, const char *format, ...)
{
    size_t room = TRACE_WORDS_SIZE - words->used;
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(words->text + words->used, room, format, args);
    va_end(args);
    if (length > 0)
        words->used += (size_t)length < room ? (size_t)length : room - 1;
}

static void
say_status(struct words *words, uint32_t status)
{
    const char *name = trace_status_name(status);

    if (name)
        say(words, "%s", name);
    else
        say(words, "status 0x%08x", status);
}

static void
say_object(struct words *words, const struct trace_object *object)
{
    static const char *const layers[] = {"object", "neighbor", "path", "tcp"};

    say(words, "%s #%u", layers[object->layer], object->number);
    if (object->local_port)
        say(words, " (port %u to %u)", object->local_port, object->remote_port);
}

static void
say_nodes(struct words *words, const struct trace_crossing *crossing)
{
    for (uint32_t i = 0; i < crossing->node_count && i < NODES_IN_WORDS; i++) {
        const struct trace_node *node = &crossing->nodes[i];

        say(words, i ? "; " : ": ");
        if (node->role == TRACE_PLACEHOLDER)
            say(words, "placeholder");
        else
            say_object(words, &node->object);
        if (node->role == TRACE_NEW)
            say(words, " new");
        if (crossing->up) {
            say(words, " ");
            say_status(words, node->status);
        }
    }
    if (crossing->node_count > NODES_IN_WORDS)
        say(words, "; and %u more", crossing->count - NODES_IN_WORDS);
}

/* What code and info mean with this operation. */
static void
say_code(struct words *words, const struct trace_crossing *crossing)
{
    const char *name = trace_code_name(crossing->op, crossing->code);

    switch (crossing->op) {
    case TRACE_TCP_EVENT:
        say(words, ", %s", name ? name : "unknown event");
        name = trace_info_name(crossing->op, crossing->code, crossing->info);
        if (name)
            say(words, " because of %s", name);
        else if (crossing->info)
            say(words, " %u", crossing->info);
        return;
    case TRACE_OID:
    case TRACE_OID_COMPLETE:
        name = trace_info_name(crossing->op, crossing->code, crossing->info);
        say(words, ", %s 0x%08x", name ? name : "other request", crossing->code);
        name = trace_code_name(crossing->op, crossing->code);
        if (name)
            say(words, " (%s)", name);
        return;
    default:
        if (name)
            say(words, ", %s", name);
        else if (crossing->code)
            say(words, ", code 0x%08x", crossing->code);
    }
}

void
trace_record_words(const struct trace_crossing *crossing, char text[TRACE_WORDS_SIZE])
{
    static const char *const owners[] = {"", "; now above", "; now below"};
    struct words words = {text, 0};

    say(&words, "%s %s", trace_op_name(crossing->op),
        crossing->answer ? "answered"
        : crossing->up   ? "up"
                         : "down");
    if (crossing->object.number)
        say(&words, ", "), say_object(&words, &crossing->object);
    say_code(&words, crossing);
    if (crossing->has_status)
        say(&words, ", "), say_status(&words, crossing->status);
    if (crossing->node_count)
        say(&words, ", %u node%s", crossing->count, crossing->count == 1 ? "" : "s");
    else if (crossing->count)
        say(&words, ", %u NBL%s", crossing->count, crossing->count == 1 ? "" : "s");
    if (crossing->bytes || (crossing->count && !crossing->node_count))
        say(&words, ", %llu bytes", (unsigned long long)crossing->bytes);
    if (crossing->node_count && crossing->info)
        say(&words, ", %u received", crossing->info);
    say_nodes(&words, crossing);
    say(&words, "%s", owners[crossing->owner]);
}
