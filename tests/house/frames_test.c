/*
 * The rules that need the frames: a real exchange, in which the verifier is told a changed frame.
 * What the change would mean on the wire is what it has to name. Untampered, every house test says
 * that it stays silent.
 */
#include "stage.h"

#define SECOND_US 1000000u

static bool
has_tag(const uint8_t *bytes)
{
    return bytes[12] == 0x81 && bytes[13] == 0;
}

static uint8_t *
ip_of(uint8_t *bytes)
{
    return bytes + (has_tag(bytes) ? 18 : 14);
}

static uint8_t *
tcp_of(uint8_t *bytes)
{
    return ip_of(bytes) + (ip_of(bytes)[0] >> 4 == 6 ? 40 : 20);
}

static bool
from_left(const struct verifier_frame *frame)
{
    return frame->out && frame->adapter[0] == 'a';
}

/* An Ethernet header with a tag in it, of VLAN and priority as given. */
static void
insert_tag(struct verifier_frame *frame, uint8_t *bytes, unsigned tag)
{
    memmove(bytes + 16, bytes + 12, frame->len - 16);
    bytes[12] = 0x81;
    bytes[13] = 0;
    bytes[14] = (uint8_t)(tag >> 8);
    bytes[15] = (uint8_t)tag;
    frame->frame_len += 4;
}

static void
no_df(struct verifier_frame *frame, uint8_t *bytes)
{
    ip_of(bytes)[6] &= (uint8_t)~0x40;
}

static void
fragment(struct verifier_frame *frame, uint8_t *bytes)
{
    ip_of(bytes)[6] |= 0x20;
}

static void
lower_id(struct verifier_frame *frame, uint8_t *bytes)
{
    ip_of(bytes)[4] &= 0x7f;
}

static void
too_large(struct verifier_frame *frame, uint8_t *bytes)
{
    frame->gso_size = 9000;
}

static void
beyond_the_window(struct verifier_frame *frame, uint8_t *bytes)
{
    tcp_of(bytes)[4] += 0x10; /* seq, by a quarter of a gigabyte */
}

static void
no_timestamp(struct verifier_frame *frame, uint8_t *bytes)
{
    memset(tcp_of(bytes) + 20, 1, 12);
}

static void
older_timestamp(struct verifier_frame *frame, uint8_t *bytes)
{
    static uint8_t count;
    uint8_t *tsval = tcp_of(bytes) + 20 + 4;

    tsval[0] = (uint8_t)(0x40 - ++count); /* each older than the one before */
}

static void
sack_blocks(struct verifier_frame *frame, uint8_t *bytes)
{
    uint8_t *options = tcp_of(bytes) + 20;

    if (frame->len < (size_t)(options - bytes) + 12)
        return; /* an acknowledgement, there is no room */
    memmove(options + 12, options, frame->len - 12 - (size_t)(options - bytes));
    memcpy(options, "\1\1\5\12AAAABBBB", 12);
    tcp_of(bytes)[12] += 3 << 4;
    frame->gso_size -= frame->gso_size ? 12 : 0;
}

static void
reset(struct verifier_frame *frame, uint8_t *bytes)
{
    tcp_of(bytes)[13] |= 4;
}

static void
other_destination(struct verifier_frame *frame, uint8_t *bytes)
{
    bytes[5] ^= 1;
}

static void
other_source(struct verifier_frame *frame, uint8_t *bytes)
{
    bytes[11] ^= 1;
}

/* In a VLAN it is the priority that nobody asked for: a second tag would be the frame of a host
 * stack in a VLAN over this one. */
static void
tagged(struct verifier_frame *frame, uint8_t *bytes)
{
    if (has_tag(bytes)) /* another one: to have none is allowed */
        bytes[14] ^= bytes[14] >> 5 == 1 ? 0x40 : 0x20;
    else
        insert_tag(frame, bytes, 0x0005);
}

/* Not of those from the left: the acknowledgements that reach it. */
static void
unheard(struct verifier_frame *frame, uint8_t *bytes)
{
    if (!frame->out)
        frame->len = 0;
}

static const struct plant {
    const char *name;
    unsigned rule;
    void (*tamper)(struct verifier_frame *frame, uint8_t *bytes);
    bool bare; /* without timestamps and SACK */
    bool any;  /* every frame; otherwise those with which the left sends */
} plants[] = {
    {"DF is clear", 167, no_df, false, false},
    {"a fragment", 168, fragment, false, false},
    {"IP ID below 0x8000", 169, lower_id, false, false},
    {"segments of 9000 bytes", 170, too_large, false, false},
    {"data beyond the window", 170, beyond_the_window, false, false},
    {"no timestamp", 171, no_timestamp, false, false},
    {"timestamps going back", 171, older_timestamp, false, false},
    {"SACK blocks, not negotiated", 172, sack_blocks, true, false},
    {"a reset of its own", 121, reset, false, false},
    {"another destination address", 174, other_destination, false, false},
    {"another source address", 174, other_source, false, false},
    {"a tag nobody asked for", 174, tagged, false, false},
    {"success before the acknowledgement", 77, unheard, false, true},
};

static const struct plant *planted;
static const struct script_options plain[2];
static const struct script_options bare[2] = {{.no_timestamps = true, .no_sack = true},
                                              {.no_timestamps = true, .no_sack = true}};

static void
tamper(struct verifier_frame *frame, uint8_t *bytes)
{
    if (planted->any || from_left(frame))
        planted->tamper(frame, bytes);
}

static void
named(void **state)
{
    struct stage stage;
    struct pair pair;

    planted = *state;
    stage_open(&stage, &(struct stage_options){.passthru = 1});
    pair_open(&stage, &pair, planted->bare ? bare : plain);
    actor_offload(&pair.actors[LEFT]);
    stage.tamper = tamper;
    pair_send(&pair, 200000, 1000, false);
    assert_true(stage_run(&stage, pair_done, &pair, 60 * SECOND_US));
    assert_int_equal(stage.breach, planted->rule);
    actor_upload(&pair.actors[LEFT]);
    pair_close(&pair);
    stage_close(&stage);
}

/* The host stack's frames wait in front of a wire that is full, and its connection moves: they are
 * the host stack's all the same. */
static void
full(void **state)
{
    struct wire_mem_impair stalls = {.stall_frames = 1, .stall_us = 2000};
    struct stage_options options = {.passthru = 1, .impaired = true, .impair = {stalls, {0}}};
    struct stage stage;
    struct pair pair;

    stage_open(&stage, &options);
    pair_open(&stage, &pair, plain);
    pair_send(&pair, 50000, 1000, false);
    stage_pass(&stage, 100); /* the first one is on its way */
    actor_offload(&pair.actors[LEFT]);
    assert_true(stage_run(&stage, pair_done, &pair, 60 * SECOND_US));
    actor_upload(&pair.actors[LEFT]);
    pair_check(&pair);
    pair_close(&pair);
    stage_close(&stage); /* nothing was named */
}

int
main(void)
{
    enum { COUNT = sizeof plants / sizeof plants[0] };
    struct CMUnitTest tests[COUNT + 1] = {[COUNT] = cmocka_unit_test(full)};

    for (unsigned i = 0; i < COUNT; i++)
        tests[i] = (struct CMUnitTest){
            .name = plants[i].name, .test_func = named, .initial_state = (void *)&plants[i]};
    return _cmocka_run_group_tests("house/frames", tests, COUNT + 1, NULL, NULL);
}
