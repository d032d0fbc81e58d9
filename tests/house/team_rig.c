/* See team_rig.h. */
#include "team_rig.h"

#include "base/bytes.h"
#include "host/host.h"
#include "wire/wire.h"

#include <string.h>
#include <sys/uio.h>

/* ---- the bridge ---- */

/* Of a frame from or to the left. FLOWS: of none. */
static unsigned
flow_of(const struct wire_buf *buf, bool from_left)
{
    const uint8_t *bytes = buf->data;
    unsigned port;

    if (buf->len < 38 || bytes_load_be16(bytes + 12) != 0x0800 || bytes[23] != 6)
        return FLOWS;
    port = bytes_load_be16(bytes + (from_left ? 34 : 36));
    return port >= 40000 && port < 40000 + FLOWS ? port - 40000 : FLOWS;
}

static void
hear_flow(struct rig *rig, unsigned flow)
{
    if (flow == FLOWS)
        return;
    rig->changes += rig->heard[flow] && rig->heard[flow] != rig->from + 1;
    rig->heard[flow] = rig->from + 1;
}

static unsigned
cable_for(const struct rig *rig, const struct wire_buf *buf)
{
    unsigned flow = flow_of(buf, false), cable = rig->port;

    if (rig->aggregate == NO_AGGREGATE)
        return cable;
    if (flow < FLOWS && rig->heard[flow])
        cable = (rig->heard[flow] - 1) ^ (rig->aggregate == OTHER_CABLE);
    return rig->up[cable] ? cable : !cable;
}

/* From the left. */
static void
to_far(void *arg, struct wire_buf *buf)
{
    struct rig *rig = arg;

    if (!rig->up[rig->from] || sys_loop_now_us(rig->stage.loop) < rig->cut_us[rig->from])
        return;
    rig->port = rig->from;
    hear_flow(rig, flow_of(buf, true));
    rig->far.receiver->on_frame(rig->far.arg, buf);
}

static void
from_second(void *arg, struct wire_buf *buf)
{
    struct rig *rig = arg;
    struct wire *far = rig->stage.ends[RIGHT];

    rig->from = 1;
    wire_enter(far);
    wire_deliver(far, wire_buf_get(buf));
    wire_leave(far);
    rig->from = 0;
}

static void
to_near(void *arg, struct wire_buf *buf)
{
    struct rig *rig = arg;
    struct iovec piece = {buf->data, buf->len};
    struct wire_tx tx = {.pieces = &piece, .piece_count = 1, .meta = buf->meta};
    unsigned cable;

    cable = cable_for(rig, buf);
    if (!rig->up[cable])
        return;
    if (cable == 0)
        rig->near.receiver->on_frame(rig->near.arg, buf);
    else
        assert_int_equal(wire_send(rig->cable[1], &tx), 0);
}

static void
far_writable(void *arg)
{
    struct rig *rig = arg;

    rig->far.receiver->on_writable(rig->far.arg);
}

static void
near_writable(void *arg)
{
    struct rig *rig = arg;

    rig->near.receiver->on_writable(rig->near.arg);
}

static void
near_link(void *arg, bool up)
{
    struct rig *rig = arg;

    rig->near.receiver->on_link(rig->near.arg, up);
}

static const struct wire_receiver far_receiver = {to_far, far_writable, NULL};
static const struct wire_receiver near_receiver = {to_near, near_writable, near_link};
static const struct wire_receiver second_receiver = {from_second, NULL, NULL};

static void
put_between(struct rig *rig, struct wire *wire, struct tap *tap,
            const struct wire_receiver *receiver)
{
    *tap = (struct tap){wire->receiver, wire->receiver_arg};
    wire_set_receiver(wire, receiver, rig);
}

/* ---- the rig ---- */

/* What team_walk says of one member. */
struct question {
    const char *member;
    struct team_info info;
    bool found;
};

static void
on_member(void *arg, const struct team_info *info)
{
    struct question *question = arg;

    if (strcmp(info->member, question->member) != 0)
        return;
    question->info = *info;
    question->found = true;
}

struct team_info
look(const char *member)
{
    struct question question = {.member = member};

    team_walk(on_member, &question);
    assert_true(question.found);
    return question.info;
}

static void
on_crossing(void *arg, struct crossing *crossing)
{
    struct rig *rig = arg;

    if (crossing->op == CROSSING_STATUS && crossing->after && !strcmp(crossing->to, "left") &&
        (crossing->code == (ULONG)NDIS_STATUS_OFFLOAD_RESUME ||
         crossing->code == (ULONG)NDIS_STATUS_LINK_STATE))
        rig->port = !look("a0").active;
}

void
add_second(struct rig *rig, const struct house_option *options)
{
    struct stage *stage = &rig->stage;

    assert_int_equal(house_add_adapter(stage->house, "soft", "a1", rig->cable[0], options), 0);
    assert_int_equal(house_bind(stage->house, "team", "a1", "p1"), 0);
    rig->up[1] = true;
}

void
rig_open_as(struct rig *rig, const struct wire_mem_impair *impair, const char *floors, bool late)
{
    struct stage *stage = &rig->stage;
    struct stage_options options = {.floors = floors ? floors : "team",
                                    .impaired = impair != NULL,
                                    .observer = &rig->observer,
                                    .late = late};

    memset(rig, 0, sizeof *rig);
    rig->observer = (struct observer){.on_crossing = on_crossing, .arg = rig};
    rig->lag_us = impair ? impair->delay_us + impair->reorder_delay_us : 0;
    for (unsigned i = 0; i < 2 && impair; i++)
        options.impair[i] = *impair;
    stage_open(stage, &options);
    assert_int_equal(wire_mem_create(stage->loop, 1500, impair ? options.impair : NULL, rig->cable),
                     0);
    /* what passes there need not be a0's */
    wire_set_watcher(stage->ends[LEFT], NULL, NULL);
    put_between(rig, stage->ends[LEFT], &rig->near, &near_receiver);
    put_between(rig, stage->ends[RIGHT], &rig->far, &far_receiver);
    wire_set_receiver(rig->cable[1], &second_receiver, rig);
    rig->up[0] = true;
}

void
rig_open(struct rig *rig, const struct wire_mem_impair *impair)
{
    rig_open_as(rig, impair, NULL, false);
}

void
rig_close(struct rig *rig)
{
    house_remove_adapter(rig->stage.house, "a1");
    rig->up[1] = false; /* what the peer still has on its way goes nowhere */
    wire_close(rig->cable[0]);
    wire_close(rig->cable[1]);
    stage_close(&rig->stage);
}

void
set_cable(struct rig *rig, unsigned cable, bool up)
{
    rig->up[cable] = up;
    if (!up)
        rig->cut_us[cable] = sys_loop_now_us(rig->stage.loop) + rig->lag_us;
    if (!up && rig->port == cable)
        rig->port = !cable;
    wire_set_link(cable ? rig->cable[0] : rig->stage.ends[LEFT], up);
}

bool
resumed(void *arg)
{
    struct rig *rig = arg;

    return !host_binding_paused(script_binding(rig->stage.hosts[LEFT]));
}

void
open_pairs(struct rig *rig, uint64_t left_bytes, uint64_t right_bytes)
{
    const struct script_options sides[2] = {{0}, {0}};

    for (unsigned i = 0; i < PAIRS; i++) {
        pair_open(&rig->stage, &rig->pairs[i], sides);
        actor_offload(&rig->pairs[i].actors[LEFT]);
        pair_send(&rig->pairs[i], left_bytes, right_bytes, false);
    }
}

void
finish_pairs(struct rig *rig)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        assert_true(stage_run(&rig->stage, pair_done, &rig->pairs[i], 120 * SECOND_US));
        pair_check(&rig->pairs[i]);
        pair_close(&rig->pairs[i]);
    }
}

bool
all_home(void *arg)
{
    struct rig *rig = arg;

    for (unsigned i = 0; i < PAIRS; i++)
        if (!actor_at_home(&rig->pairs[i].actors[LEFT]))
            return false;
    return true;
}
