/*
 * Frames through a VLAN, between two fakes: tags in and out of every shape of buffer, what is not
 * for it, offsets that move, originals that come home as they were, and no memory at any moment.
 */
#include "intermediate/vlan/vlan.h"

#include "base/bytes.h"
#include "base/log.h"
#include "intermediate/drivers.h"
#include "intermediate/floor/ndis_fake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MDLS 4
#define ROOM 128

/* A frame in up to MDLS pieces, the data beginning somewhere in the first. */
struct frame {
    NET_BUFFER_LIST nbl;
    NET_BUFFER nb;
    MDL mdls[MDLS];
    UCHAR bytes[ROOM], before[ROOM];
};

static struct frame frames[2];

static void
stand(const char *id, const char *priority)
{
    const struct fake_option options[] = {
        {"Id", id}, {priority ? "Priority" : NULL, priority}, {NULL, NULL}};

    fake_options = options;
    fake_stand_as(vlan_entry);
    fake_options = NULL;
}

/* len bytes behind `offset` unused ones; piece: size of each MDL, the last takes the rest. */
static void
frame_init(struct frame *frame, unsigned offset, unsigned len, unsigned piece)
{
    unsigned at = 0, total = offset + len;

    memset(frame, 0, sizeof(*frame));
    for (unsigned i = 0; i < ROOM; i++)
        frame->bytes[i] = (UCHAR)(i - offset + 100);
    for (unsigned i = 0; i < MDLS && at < total; i++) {
        unsigned step = piece && i < MDLS - 1 && piece < total - at ? piece : total - at;

        frame->mdls[i].StartVa = frame->bytes + at;
        frame->mdls[i].ByteCount = step;
        if (i)
            frame->mdls[i - 1].Next = &frame->mdls[i];
        at += step;
    }
    frame->nb.MdlChain = frame->nb.CurrentMdl = frame->mdls;
    frame->nb.DataOffset = frame->nb.CurrentMdlOffset = offset;
    frame->nb.DataLength = len;
    while (frame->nb.CurrentMdlOffset >= frame->nb.CurrentMdl->ByteCount &&
           frame->nb.CurrentMdl->Next) {
        frame->nb.CurrentMdlOffset -= frame->nb.CurrentMdl->ByteCount;
        frame->nb.CurrentMdl = frame->nb.CurrentMdl->Next;
    }
    frame->nbl.FirstNetBuffer = &frame->nb;
    frame->nbl.SourceHandle = (PVOID)0x99;
    frame->nbl.Status = 0x5A5A;
}

/* Ethertype, or a tag and then the ethertype, behind the addresses. */
static void
frame_type(struct frame *frame, bool tagged, unsigned tag)
{
    UCHAR *at = frame->bytes + frame->nb.DataOffset + 12;

    if (tagged) {
        bytes_store_be32(at, 0x81000000u | tag);
        at += 4;
    }
    bytes_store_be16(at, 0x0800);
    memcpy(frame->before, frame->bytes, ROOM);
}

/* The frame in the list is `frame` with its first `skip` bytes behind the addresses replaced. */
static void
assert_frame(PNET_BUFFER_LIST nbl, const struct frame *frame, unsigned skip, const UCHAR *put,
             unsigned put_len)
{
    UCHAR expected[ROOM + 8], got[ROOM + 8];
    const UCHAR *was = frame->before + frame->nb.DataOffset;
    unsigned len = frame->nb.DataLength - skip + put_len;
    PNET_BUFFER nb = NET_BUFFER_LIST_FIRST_NB(nbl);

    memcpy(expected, was, 12);
    if (put_len)
        memcpy(expected + 12, put, put_len);
    memcpy(expected + 12 + put_len, was + 12 + skip, frame->nb.DataLength - 12 - skip);
    assert_int_equal(NET_BUFFER_DATA_LENGTH(nb), len);
    assert_non_null(NdisGetDataBuffer(nb, len, got, 1, 0));
    assert_memory_equal(got, expected, len);
    assert_true(MmGetMdlByteCount(NET_BUFFER_CURRENT_MDL(nb)) >= 14); /* headers are in one piece */
}

static void
assert_untouched(const struct frame *frame)
{
    assert_memory_equal(frame->bytes, frame->before, ROOM);
    assert_ptr_equal(frame->nbl.SourceHandle, (PVOID)0x99);
    assert_ptr_equal(frame->nbl.FirstNetBuffer, &frame->nb);
    assert_ptr_equal(frame->nb.MdlChain, frame->mdls);
}

static void
complete(PNET_BUFFER_LIST nbl, NDIS_STATUS status)
{
    for (PNET_BUFFER_LIST at = nbl; at; at = NET_BUFFER_LIST_NEXT_NBL(at))
        NET_BUFFER_LIST_STATUS(at) = status;
    fake.protocol.SendNetBufferListsCompleteHandler(fake.binding_context, nbl, 0);
}

static PNET_BUFFER_LIST
send(struct frame *frame)
{
    fake.frames.data = NULL;
    fake.miniport.SendNetBufferListsHandler(fake.adapter_context, &frame->nbl, 0, 0);
    return fake.frames.data;
}

/* ---- down ---- */

static void
tags_every_shape(void **state)
{
    static const UCHAR tag[] = {0x81, 0, 0x60, 5};

    stand("5", "3");
    for (unsigned offset = 0; offset < 20; offset += 5)
        for (unsigned piece = 0; piece < 40; piece++) {
            PNET_BUFFER_LIST nbl;

            frame_init(frames, offset, 60, piece);
            frame_type(frames, false, 0);
            nbl = send(frames);
            assert_string_equal(fake.frames.name, "send");
            assert_ptr_equal(fake.frames.handle, FAKE_LOWER);
            assert_ptr_not_equal(nbl, &frames->nbl);
            assert_ptr_equal(nbl->SourceHandle, FAKE_LOWER);
            assert_frame(nbl, frames, 0, tag, 4);
            complete(nbl, NDIS_STATUS_SUCCESS);
            assert_ptr_equal(fake.frames_up.data, &frames->nbl);
            assert_int_equal(frames->nbl.Status, NDIS_STATUS_SUCCESS);
            assert_untouched(frames);
        }
    fake_leave();
}

/* The status is that of ours; order and number are those of the originals. */
static void
completions_are_the_originals(void **state)
{
    PNET_BUFFER_LIST nbl;

    stand("5", NULL);
    for (unsigned i = 0; i < 2; i++) {
        frame_init(&frames[i], 0, 60, 0);
        frame_type(&frames[i], false, 0);
    }
    frames[0].nbl.Next = &frames[1].nbl;
    nbl = send(&frames[0]);
    assert_non_null(NET_BUFFER_LIST_NEXT_NBL(nbl));
    complete(nbl, NDIS_STATUS_FAILURE);
    assert_ptr_equal(fake.frames_up.data, &frames[0].nbl);
    assert_ptr_equal(frames[0].nbl.Next, &frames[1].nbl);
    assert_null(frames[1].nbl.Next);
    assert_int_equal(frames[0].nbl.Status, NDIS_STATUS_FAILURE);
    assert_int_equal(frames[1].nbl.Status, NDIS_STATUS_FAILURE);
    fake_leave();
}

static void
tags_that_are_there(void **state)
{
    static const struct {
        const char *id, *priority;
        unsigned tag;  /* of the frame */
        unsigned skip; /* bytes of it that go */
        unsigned put;  /* tag that is there then, in their place */
    } cases[] = {
        {"5", "3", 0, 4, 3u << 13 | 5},            /* neither: ours */
        {"5", "3", 6u << 13, 4, 6u << 13 | 5},     /* a priority: the id is ours */
        {"5", "3", 6u << 13 | 7, 0, 3u << 13 | 5}, /* an id: a second tag */
        {"0", "3", 0, 4, 3u << 13},
        {"0", "3", 7, 4, 3u << 13 | 7},
        {"0", "3", 6u << 13 | 7, 4, 6u << 13 | 7},
        {"0", "3", 0x1007, 4, 3u << 13 | 0x1007}, /* DEI stays */
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        UCHAR put[4];
        PNET_BUFFER_LIST nbl;

        stand(cases[i].id, cases[i].priority);
        frame_init(frames, 3, 60, 10);
        frame_type(frames, true, cases[i].tag);
        bytes_store_be32(put, 0x81000000u | cases[i].put);
        nbl = send(frames);
        assert_frame(nbl, frames, cases[i].skip, put, 4);
        complete(nbl, NDIS_STATUS_SUCCESS);
        assert_untouched(frames);
        fake_leave();
    }
}

static NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO
large_of(PNET_BUFFER_LIST nbl)
{
    return (NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO){
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo)};
}

static NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO
checksum_of_list(PNET_BUFFER_LIST nbl)
{
    return (NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO){
        .Value = NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo)};
}

static void
describe(struct frame *frame, ULONG mss, bool checksum, ULONG offset)
{
    NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO large = {
        .LsoV2Transmit = {.MSS = mss, .TcpHeaderOffset = mss ? offset : 0, .Type = 1}};
    NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO sum = {
        .Transmit = {.TcpChecksum = checksum, .TcpHeaderOffset = checksum ? offset : 0}};

    NET_BUFFER_LIST_INFO(&frame->nbl, TcpLargeSendNetBufferListInfo) = large.Value;
    NET_BUFFER_LIST_INFO(&frame->nbl, TcpIpChecksumNetBufferListInfo) = sum.Value;
    NET_BUFFER_LIST_INFO(&frame->nbl, NetBufferListCancelId) = (PVOID)0x1234;
}

static void
offsets_move_with_the_tag(void **state)
{
    PNET_BUFFER_LIST nbl;

    stand("5", NULL);
    for (unsigned i = 0; i < 2; i++) { /* inserted; put in the place of another */
        frame_init(frames, 0, 80, 0);
        frame_type(frames, i, 0);
        describe(frames, 1460, true, 34);
        nbl = send(frames);
        assert_int_equal(large_of(nbl).LsoV2Transmit.TcpHeaderOffset, i ? 34 : 38);
        assert_int_equal(large_of(nbl).LsoV2Transmit.MSS, 1460);
        assert_int_equal(checksum_of_list(nbl).Transmit.TcpHeaderOffset, i ? 34 : 38);
        assert_ptr_equal(NET_BUFFER_LIST_INFO(nbl, NetBufferListCancelId), (PVOID)0x1234);
        complete(nbl, NDIS_STATUS_SUCCESS);
        assert_int_equal(large_of(&frames->nbl).LsoV2Transmit.TcpHeaderOffset, 34);
    }
    frame_init(frames, 0, 80, 0); /* nothing to be filled in: no offset */
    frame_type(frames, false, 0);
    nbl = send(frames);
    assert_null(NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo));
    assert_null(NET_BUFFER_LIST_INFO(nbl, TcpIpChecksumNetBufferListInfo));
    complete(nbl, NDIS_STATUS_SUCCESS);
    fake_leave();
}

/* Every frame of a list has its tag. */
static void
several_in_a_list(void **state)
{
    static const UCHAR tag[] = {0x81, 0, 0, 5};
    PNET_BUFFER_LIST nbl;

    stand("5", NULL);
    for (unsigned i = 0; i < 2; i++) {
        frame_init(&frames[i], i, 60 + i, 7);
        frame_type(&frames[i], false, 0);
    }
    frames[0].nb.Next = &frames[1].nb;
    nbl = send(&frames[0]);
    assert_frame(nbl, &frames[0], 0, tag, 4);
    assert_int_equal(NET_BUFFER_DATA_LENGTH(NET_BUFFER_LIST_FIRST_NB(nbl)->Next), 65);
    assert_null(NET_BUFFER_LIST_FIRST_NB(nbl)->Next->Next);
    complete(nbl, NDIS_STATUS_SUCCESS);
    assert_ptr_equal(frames[0].nb.Next, &frames[1].nb);
    fake_leave();
}

static void
too_short_for_a_header(void **state)
{
    stand("5", NULL);
    frame_init(frames, 0, 13, 0);
    assert_null(send(frames));
    assert_string_equal(fake.frames_up.name, "complete");
    assert_int_equal(frames->nbl.Status, NDIS_STATUS_INVALID_LENGTH);
    fake_leave();
}

static void
paused(void **state)
{
    stand("5", NULL);
    fake.miniport.PauseHandler(fake.adapter_context, NULL);
    frame_init(frames, 0, 60, 0);
    assert_null(send(frames));
    assert_int_equal(frames->nbl.Status, NDIS_STATUS_PAUSED);
    fake.protocol.ReceiveNetBufferListsHandler(fake.binding_context, &frames->nbl, 0, 1, 0);
    assert_string_equal(fake.frames.name, "return");
    assert_string_equal(fake.frames_up.name, "complete"); /* nothing was indicated */
    fake.miniport.RestartHandler(fake.adapter_context, NULL);
    fake_leave();
}

/* Wherever memory ends, the frame comes back and nothing else is left. */
static void
no_memory_down(void **state)
{
    ULONG blocks;
    int fails = 0;

    stand("5", NULL);
    blocks = fake.blocks;
    for (;; fails++) {
        PNET_BUFFER_LIST nbl;

        frame_init(frames, 3, 60, 20);
        frame_type(frames, false, 0);
        fake.allocations = 0;
        fake.fail_at = fails;
        nbl = send(frames);
        fake.fail_at = -1;
        if (nbl) {
            complete(nbl, NDIS_STATUS_SUCCESS);
            break;
        }
        assert_int_equal(frames->nbl.Status, NDIS_STATUS_RESOURCES);
        assert_untouched(frames);
        assert_int_equal(fake.blocks, blocks);
    }
    assert_int_equal(fails, 5); /* list, piece, rest, header, buffer */
    fake_leave();
}

/* ---- up ---- */

static PNET_BUFFER_LIST
receive(struct frame *frame, ULONG flags)
{
    fake_forget();
    fake.protocol.ReceiveNetBufferListsHandler(fake.binding_context, &frame->nbl, 0, 1, flags);
    return fake.frames_up.data;
}

static void
takes_what_is_its_own(void **state)
{
    static const struct {
        const char *id;
        bool tagged;
        unsigned tag;
        bool taken, stripped;
    } cases[] = {
        {"5", true, 5, true, true},          {"5", true, 7u << 13 | 0x1005, true, true},
        {"5", true, 6, false, false},        {"5", true, 0, false, false},
        {"5", true, 3u << 13, false, false}, {"5", false, 0, false, false},
        {"0", false, 0, true, false},        {"0", true, 3u << 13, true, true},
        {"0", true, 7, true, false},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        PNET_BUFFER_LIST nbl;

        stand(cases[i].id, "3");
        frame_init(frames, 3, 60, 10);
        frame_type(frames, cases[i].tagged, cases[i].tag);
        nbl = receive(frames, 0);
        if (!cases[i].taken) {
            assert_null(nbl);
            assert_string_equal(fake.frames.name, "return"); /* at once */
            assert_ptr_equal(fake.frames.data, &frames->nbl);
            fake_leave();
            continue;
        }
        assert_ptr_equal(nbl->SourceHandle, FAKE_UPPER);
        assert_null(fake.frames.name);
        assert_frame(nbl, frames, cases[i].stripped ? 4 : 0, NULL, 0);
        fake.miniport.ReturnNetBufferListsHandler(fake.adapter_context, nbl, 0);
        assert_string_equal(fake.frames.name, "return");
        assert_ptr_equal(fake.frames.data, &frames->nbl);
        assert_untouched(frames);
        fake_leave();
    }
}

/* Of several that come together those of the VLAN go up, the others go back. */
static void
a_mixed_batch(void **state)
{
    PNET_BUFFER_LIST nbl;

    stand("5", NULL);
    for (unsigned i = 0; i < 2; i++) {
        frame_init(&frames[i], 0, 60, 0);
        frame_type(&frames[i], true, 6 - i);
    }
    frames[0].nbl.Next = &frames[1].nbl;
    nbl = receive(&frames[0], 0);
    assert_int_equal(fake.frames_up.code, 1); /* NumberOfNetBufferLists */
    assert_null(NET_BUFFER_LIST_NEXT_NBL(nbl));
    assert_ptr_equal(fake.frames.data, &frames[0].nbl);
    assert_null(frames[0].nbl.Next);
    fake.miniport.ReturnNetBufferListsHandler(fake.adapter_context, nbl, 0);
    assert_ptr_equal(fake.frames.data, &frames[1].nbl);
    fake_leave();
}

static const struct frame *lent_frame;
static unsigned lent_seen;

static void
on_lent(PNET_BUFFER_LIST nbls)
{
    assert_frame(nbls, lent_frame, 4, NULL, 0);
    lent_seen++;
}

/* Lent frames are gone when the call is over, and the list is as it was. */
static void
lent_frames(void **state)
{
    ULONG blocks;

    stand("5", NULL);
    blocks = fake.blocks;
    for (unsigned i = 0; i < 2; i++) {
        frame_init(&frames[i], 0, 60, 0);
        frame_type(&frames[i], true, 5 + i);
    }
    frames[0].nbl.Next = &frames[1].nbl;
    lent_frame = &frames[0];
    lent_seen = 0;
    fake.on_frames_up = on_lent;
    receive(&frames[0], NDIS_RECEIVE_FLAGS_RESOURCES);
    assert_int_equal(lent_seen, 1);
    assert_null(fake.frames.name);
    assert_ptr_equal(frames[0].nbl.Next, &frames[1].nbl);
    assert_untouched(&frames[0]);
    assert_int_equal(fake.blocks, blocks);
    fake_leave();
}

static void
superframes_up(void **state)
{
    PNET_BUFFER_LIST nbl;

    stand("5", NULL);
    frame_init(frames, 0, 100, 0);
    frame_type(frames, true, 5);
    describe(frames, 1460, false, 38);
    nbl = receive(frames, 0);
    assert_int_equal(large_of(nbl).LsoV2Transmit.TcpHeaderOffset, 34);
    assert_int_equal(large_of(nbl).LsoV2Transmit.MSS, 1460);
    fake.miniport.ReturnNetBufferListsHandler(fake.adapter_context, nbl, 0);
    fake_leave();
}

/* What cannot go up goes back. */
static void
no_memory_up(void **state)
{
    stand("5", NULL);
    for (int fails = 0; fails < 5; fails++) {
        frame_init(frames, 3, 60, 20);
        frame_type(frames, true, 5);
        fake_forget();
        fake.fail_at = fails;
        fake.protocol.ReceiveNetBufferListsHandler(fake.binding_context, &frames->nbl, 0, 1, 0);
        fake.fail_at = -1;
        assert_null(fake.frames_up.name);
        assert_string_equal(fake.frames.name, "return");
        assert_ptr_equal(fake.frames.data, &frames->nbl);
    }
    fake_leave();
}

/* A pause waits for what is under way in both directions. */
static void
a_pause_waits(void **state)
{
    PNET_BUFFER_LIST down, up;

    stand("5", NULL);
    for (unsigned i = 0; i < 2; i++) {
        frame_init(&frames[i], 0, 60, 0);
        frame_type(&frames[i], i, 5);
    }
    down = send(&frames[0]);
    up = receive(&frames[1], 0);
    assert_int_equal(fake.miniport.PauseHandler(fake.adapter_context, NULL), NDIS_STATUS_PENDING);
    complete(down, NDIS_STATUS_SUCCESS);
    assert_null(fake.answer.name);
    fake.miniport.ReturnNetBufferListsHandler(fake.adapter_context, up, 0);
    assert_string_equal(fake.answer.name, "pause");
    fake.miniport.RestartHandler(fake.adapter_context, NULL);
    fake_leave();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tags_every_shape),
        cmocka_unit_test(completions_are_the_originals),
        cmocka_unit_test(tags_that_are_there),
        cmocka_unit_test(offsets_move_with_the_tag),
        cmocka_unit_test(several_in_a_list),
        cmocka_unit_test(too_short_for_a_header),
        cmocka_unit_test(paused),
        cmocka_unit_test(no_memory_down),
        cmocka_unit_test(takes_what_is_its_own),
        cmocka_unit_test(a_mixed_batch),
        cmocka_unit_test(lent_frames),
        cmocka_unit_test(superframes_up),
        cmocka_unit_test(no_memory_up),
        cmocka_unit_test(a_pause_waits),
    };

    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
