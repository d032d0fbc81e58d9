/* See trace_kit.h. */
#include "trace_kit.h"

#include "base/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct kit kit;
const struct script_options kit_plain[2];
static char folder[] = "/tmp/trace-XXXXXX";

int
kit_setup(void **state)
{
    strcpy(folder, "/tmp/trace-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(kit.path, sizeof kit.path, "%s/a.pcapng", folder);
    snprintf(kit.aside, sizeof kit.aside, "%s.old", kit.path);
    return 0;
}

int
kit_teardown(void **state)
{
    unlink(kit.path);
    unlink(kit.aside);
    return rmdir(folder);
}

size_t
kit_load(const char *name)
{
    FILE *stream = fopen(name, "rb");
    size_t len;

    assert_non_null(stream);
    len = fread(kit.bytes, 1, sizeof kit.bytes, stream);
    fclose(stream);
    return len;
}

static void
keep_packet(void *arg, const struct read_packet *packet)
{
    assert_in_range(kit.count, 0, KIT_PACKETS - 1);
    kit.packets[kit.count++] = *packet;
}

size_t
kit_read(const char *name)
{
    size_t len = kit_load(name);

    kit.count = 0;
    assert_int_equal(read_pcapng(kit.bytes, len, &kit.file, keep_packet, NULL), len);
    assert_null(kit.file.wrong);
    assert_int_equal(kit.file.sections, 1);
    assert_string_equal(kit.file.application, "tcpchimney");
    return len;
}

const char *
kit_floors(const char *format)
{
    static char list[512];

    snprintf(list, sizeof list, format, kit.path, kit.path, kit.path);
    return list;
}

/* ---- crossings of a file, by hand ---- */

bool
kit_is_crossing(const struct read_packet *packet)
{
    return kit.file.interface[packet->interface].link == 147;
}

struct kit_seen
kit_decode(const struct read_packet *packet)
{
    const uint8_t *at = packet->bytes;
    struct kit_seen seen = {.op = at[1],
                            .flags = at[2],
                            .owner = at[3],
                            .status = bytes_load_be32(at + 4),
                            .bytes = (uint64_t)bytes_load_be32(at + 8) << 32 |
                                     bytes_load_be32(at + 12),
                            .count = bytes_load_be32(at + 16),
                            .code = bytes_load_be32(at + 20),
                            .info = bytes_load_be32(at + 24),
                            .object = bytes_load_be32(at + 28),
                            .nodes = bytes_load_be16(at + 38),
                            .node = at + 48};

    assert_int_equal(at[0], 1);
    assert_int_equal(packet->kept, 48 + 20 * seen.nodes);
    assert_int_equal(packet->length, packet->kept);
    return seen;
}

struct kit_seen
kit_next(unsigned *at, enum trace_op op)
{
    while (*at < kit.count) {
        const struct read_packet *packet = &kit.packets[(*at)++];

        if (kit_is_crossing(packet) && packet->bytes[1] == op)
            return kit_decode(packet);
    }
    fail_msg("operation %u is not there", op);
    return (struct kit_seen){0};
}

/* ---- the wire ---- */

static size_t
copy_tx(const void *frame, void *to, size_t max)
{
    return wire_tx_copy(frame, to, max);
}

static void
on_frame(void *arg, enum stage_side side, bool out, const struct wire_tx *tx)
{
    struct trace_frame frame = {.out = out,
                                .frame = tx,
                                .length = wire_tx_length(tx),
                                .gso_bytes = tx->meta.gso_size,
                                .copy = copy_tx};

    if (side != LEFT)
        return;
    for (unsigned i = 0; i < 2; i++)
        if (kit.heard.traces[i])
            trace_frame(kit.heard.traces[i], &frame);
    kit.heard.frames[kit.heard.count].at = kit.heard.used;
    kit.heard.frames[kit.heard.count].out = out;
    kit.heard.frames[kit.heard.count].now_us = sys_loop_now_us(kit.heard.stage->loop);
    kit.heard.frames[kit.heard.count++].len = frame.length;
    kit.heard.used += wire_tx_copy(tx, kit.heard.bytes + kit.heard.used, frame.length);
    assert_in_range(kit.heard.count, 0, KIT_PACKETS - 1);
    assert_in_range(kit.heard.used, 0, sizeof kit.heard.bytes - WIRE_MAX_FRAME);
}

void
kit_listen(struct stage *stage)
{
    memset(&kit.heard, 0, sizeof kit.heard);
    kit.heard.stage = stage;
    stage->witness = on_frame;
}

void
kit_exchange(struct stage *stage, struct pair *pair)
{
    pair_open(stage, pair, kit_plain);
    pair_send(pair, 3000, 3000, false);
    assert_true(stage_run(stage, pair_done, pair, 60 * SECOND_US));
    actor_offload(&pair->actors[LEFT]);
    pair_send(pair, 60000, 60000, false);
    assert_true(stage_run(stage, pair_done, pair, 60 * SECOND_US));
    pair_check(pair);
}
