/* Which flow a frame is of, and who has it. */
#include "intermediate/team/team.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LENGTH 120u

struct frame {
    UCHAR bytes[LENGTH];
    size_t at; /* of the packet */
};

static void
frame_init(struct frame *frame, USHORT type, unsigned tags)
{
    memset(frame, 0, sizeof(*frame));
    frame->at = 14;
    for (unsigned i = 0; i < tags; i++, frame->at += 4) {
        frame->bytes[frame->at - 2] = i ? 0x81 : 0x88;
        frame->bytes[frame->at - 1] = i ? 0x00 : 0xa8;
        frame->bytes[frame->at + 1] = 5;
    }
    frame->bytes[frame->at - 2] = (UCHAR)(type >> 8);
    frame->bytes[frame->at - 1] = (UCHAR)type;
}

/* 10.0.0.one → 10.0.0.other, with so many bytes of options. */
static struct frame
frame_4(UCHAR one, UCHAR other, UCHAR port, UCHAR other_port, unsigned options)
{
    struct frame frame;
    UCHAR *packet;

    frame_init(&frame, 0x0800, options ? 1 : 0);
    packet = frame.bytes + frame.at;
    packet[0] = (UCHAR)(0x40 | (5 + options / 4));
    packet[9] = 6;
    packet[12] = packet[16] = 10;
    packet[15] = one;
    packet[19] = other;
    packet[20 + options + 1] = port;
    packet[20 + options + 3] = other_port;
    return frame;
}

static uint64_t
flow_of(const struct frame *frame)
{
    uint64_t flow = 0;

    assert_true(team_flow_frame(frame->bytes, LENGTH, &flow));
    return flow;
}

static void
both_directions(void **state)
{
    struct frame there = frame_4(1, 2, 40, 80, 0), back = frame_4(2, 1, 80, 40, 0);
    struct frame another = frame_4(1, 2, 41, 80, 0), crossed = frame_4(1, 3, 40, 80, 0);
    struct frame options = frame_4(1, 2, 40, 80, 40);

    assert_int_equal(flow_of(&there), flow_of(&back));
    assert_int_equal(flow_of(&there), flow_of(&options));
    assert_int_not_equal(flow_of(&there), flow_of(&another));
    assert_int_not_equal(flow_of(&there), flow_of(&crossed));
}

/* What an initiate knows of a connection leads to the same. */
static void
as_the_chimney_says(void **state)
{
    struct frame four = frame_4(1, 2, 40, 80, 0), six;
    UCHAR *packet;
    USHORT ports[2];
    uint64_t flow;

    memcpy(ports, four.bytes + 34, sizeof(ports));
    flow = team_flow_addresses(four.bytes + 26, four.bytes + 30, 4);
    assert_int_equal(team_flow_ports(flow, ports[0], ports[1]), flow_of(&four));

    frame_init(&six, 0x86dd, 2);
    packet = six.bytes + six.at;
    packet[6] = 6;
    packet[8] = packet[24] = 0xfe;
    packet[23] = 1;
    packet[39] = 2;
    packet[41] = 40;
    packet[43] = 80;
    flow = team_flow_addresses(packet + 24, packet + 8, 16);
    assert_int_equal(team_flow_ports(flow, ports[1], ports[0]), flow_of(&six));
    packet[6] = 0; /* a hop-by-hop header hides the ports */
    assert_int_equal(flow, flow_of(&six));
}

/* Only the first of them has ports. */
static void
fragments_stay_together(void **state)
{
    struct frame first = frame_4(1, 2, 40, 80, 0), second = frame_4(1, 2, 7, 7, 0);
    struct frame icmp = frame_4(1, 2, 9, 9, 0);

    first.bytes[20] = 0x20;
    second.bytes[21] = 0x10;
    icmp.bytes[23] = 1;
    assert_int_equal(flow_of(&first), flow_of(&second));
    assert_int_equal(flow_of(&first), flow_of(&icmp));
    first.bytes[20] = 0x40; /* DF */
    assert_int_not_equal(flow_of(&first), flow_of(&second));
}

/* Cut anywhere: never read past the end, and never a flow out of what is not there. */
static void
cut_short(void **state)
{
    struct frame frames[] = {frame_4(1, 2, 40, 80, 8), {{0}, 0}, {{0}, 0}};
    uint64_t flow;

    frame_init(&frames[1], 0x86dd, 0);
    frame_init(&frames[2], 0x0806, 0);
    for (size_t i = 0; i < 3; i++)
        for (size_t length = 0; length <= LENGTH; length++) {
            UCHAR *copy = test_malloc(length ? length : 1);
            size_t least = frames[i].at + (i == 0 ? 20 : 40);

            memcpy(copy, frames[i].bytes, length);
            assert_int_equal(team_flow_frame(copy, length, &flow), i < 2 && length >= least);
            test_free(copy);
        }
    frames[0].bytes[0] = 1; /* a group address */
    assert_false(team_flow_frame(frames[0].bytes, LENGTH, &flow));
}

/* ---- who ---- */

static struct team team;
static struct team_member members[3];

static void
stays_while_they_stay(void **state)
{
    unsigned counts[3] = {0};

    list_init(&team.members);
    for (unsigned i = 0; i < 3; i++)
        list_add_tail(&team.members, &members[i].link);
    assert_null(team_choose(&team, 5, team_used));
    for (unsigned i = 0; i < 3; i++)
        members[i].used = i != 1;
    for (unsigned i = 0; i < 900; i++) {
        uint64_t flow = team_flow_ports(77, (USHORT)(i << 8), 80);
        struct team_member *member = team_choose(&team, flow, team_used);

        assert_ptr_equal(team_choose(&team, flow, team_used), member);
        counts[member - members]++;
    }
    assert_int_equal(counts[1], 0);
    assert_in_range(counts[0], 350, 550);
    members[2].used = false;
    for (unsigned i = 0; i < 9; i++)
        assert_ptr_equal(team_choose(&team, i, team_used), &members[0]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_directions),         cmocka_unit_test(as_the_chimney_says),
        cmocka_unit_test(fragments_stay_together), cmocka_unit_test(cut_short),
        cmocka_unit_test(stays_while_they_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
