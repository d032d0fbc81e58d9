/*
 * fault between two fakes: data, events and frames, what is answered when, and scripts that are no
 * good.
 */
#include "intermediate/fault/fault.h"
#include "intermediate/fault/test_fake.h"

#include "base/log.h"
#include "intermediate/drivers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define OK NDIS_STATUS_SUCCESS

/* ---- data ---- */

static struct {
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST block;
    UCHAR states[NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CONST) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_CACHED) +
                 NDIS_OFFLOAD_STATE_SPACE(TCP_OFFLOAD_STATE_DELEGATED)] __attribute__((aligned(8)));
    PVOID cell;
} node;

/* A connection alone, as root. */
static PVOID
connect(void)
{
    PTCP_OFFLOAD_STATE_CONST constant;
    PTCP_OFFLOAD_STATE_CACHED cached;

    memset(&node, 0, sizeof(node));
    fake_single(&node.block, &node.cell, &node);
    node.block.Header.Type = TcpOffloadState;
    node.block.Header.Size = sizeof(node.block);
    constant = NDIS_OFFLOAD_STATE_FIRST(&node.block);
    constant->Header.Length = sizeof(*constant);
    cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    cached->Header.Length = sizeof(*cached);
    ((PTCP_OFFLOAD_STATE_DELEGATED)NDIS_OFFLOAD_STATE_NEXT(cached))
        ->State = TcpConnectionEstablished;
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &node.block);
    fake_below(&node.block)->MiniportOffloadContext = &node;
    node.block.Status = OK;
    fake.client.InitiateOffloadCompleteHandler(fake.binding_context, (PVOID)&node.block);
    fake_pass(0);
    fake_forget();
    return node.cell;
}

static void
disconnect(void)
{
    fake_terminate(&node.cell, &node);
}

static NDIS_STATUS
send(PVOID entry, NET_BUFFER_LIST *nbls, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        nbls[i] = (NET_BUFFER_LIST){.Next = i + 1 < count ? &nbls[i + 1] : NULL, .Status = 0x5A5A};
    return fake.provider_tcp.TcpOffloadSendHandler(fake.adapter_context, entry, nbls);
}

static void
no_memory_for_a_send(void **state)
{
    NET_BUFFER_LIST before, dry[3], after;
    PVOID entry;

    fake_stand_with("send 2 no-memory");
    entry = connect();
    assert_int_equal(send(entry, &before, 1), NDIS_STATUS_PENDING);
    assert_int_equal(fake.io.count, 1);
    assert_int_equal(send(entry, dry, 3), NDIS_STATUS_PENDING);
    assert_int_equal(send(entry, &after, 1), NDIS_STATUS_PENDING);
    fake_pass(0);
    assert_int_equal(fake.io.count, 1);    /* nothing went down */
    assert_int_equal(fake.io_up.count, 0); /* and the first is not answered yet (V-075) */
    fake.client_tcp.TcpOffloadSendCompleteHandler(fake.binding_context, &before);
    assert_int_equal(fake.io_up.count, 1);
    fake_pass(0);
    assert_int_equal(fake.io_up.count, 2);
    assert_ptr_equal(fake.io_up.data, dry);
    assert_int_equal(dry[0].Status, NDIS_STATUS_REQUEST_UPLOAD);
    assert_int_equal(dry[1].Status, NDIS_STATUS_UPLOAD_REQUESTED);
    assert_int_equal(dry[2].Status, NDIS_STATUS_UPLOAD_REQUESTED);
    assert_ptr_equal(dry[2].Next, &after);
    assert_int_equal(after.Status, NDIS_STATUS_REQUEST_UPLOAD); /* of a list of its own */
    disconnect();
    fake_go();
}

/* What was never answered ends with the connection, behind what the target gives back. */
static void
a_dry_send_ends_with_the_terminate(void **state)
{
    NET_BUFFER_LIST before, dry;
    PVOID entry;

    fake_stand_with("send 2 no-memory");
    entry = connect();
    send(entry, &before, 1);
    send(entry, &dry, 1);
    fake_pass(0);
    disconnect(); /* before is in its chain, as it were */
    assert_ptr_equal(fake.io_up.data, &dry);
    assert_int_equal(dry.Status, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    assert_int_equal(fake.io_up.count, 1);
    fake_go();
}

static void
sends_wait_and_are_told_inside_another_call(void **state)
{
    NET_BUFFER_LIST sent[2], posted = {.Status = 0};
    PVOID entry;

    fake_stand_with("complete send inline");
    entry = connect();
    send(entry, &sent[0], 1);
    fake.client_tcp.TcpOffloadSendCompleteHandler(fake.binding_context, &sent[0]);
    send(entry, &sent[1], 1);
    assert_int_equal(fake.io_up.count, 0); /* not inside a send */
    fake.provider_tcp.TcpOffloadReceiveHandler(fake.adapter_context, entry, &posted);
    assert_int_equal(fake.io_up.count, 1);
    assert_ptr_equal(fake.io_up.data, &sent[0]);
    fake.client_tcp.TcpOffloadSendCompleteHandler(fake.binding_context, &sent[1]);
    fake_pass(10); /* nobody calls */
    assert_int_equal(fake.io_up.count, 2);
    disconnect();
    fake_go();
}

/* Nothing overtakes: an event, a disconnect, a terminate come behind what completed before. */
static void
data_keep_their_order(void **state)
{
    NET_BUFFER_LIST sent[2], fin = {.Status = 0};
    PVOID entry;

    fake_stand_with("complete send delay 1s");
    entry = connect();
    send(entry, sent, 1);
    send(entry, &sent[1], 1);
    fake.provider_tcp.TcpOffloadDisconnectHandler(fake.adapter_context, entry, &fin,
                                                  TCP_DISCONNECT_GRACEFUL_CLOSE);
    fake.client_tcp.TcpOffloadSendCompleteHandler(fake.binding_context, &sent[0]);
    fake.client_tcp.TcpOffloadSendCompleteHandler(fake.binding_context, &sent[1]);
    fake.client_tcp.TcpOffloadDisconnectCompleteHandler(fake.binding_context, &fin);
    assert_int_equal(fake.io_up.count, 0);
    fake.client_tcp.TcpOffloadEventHandler(&((struct floor_offload *)entry)->lower,
                                           TcpIndicateDisconnect, 0);
    assert_int_equal(fake.io_up.count, 4);
    assert_string_equal(fake.io_up.name, "event");
    disconnect();
    fake_go();
}

/* After a mandatory reason nothing goes on (V-135, V-152). */
static void
a_mandatory_reason_stops(void **state)
{
    NET_BUFFER_LIST sent[2], posted = {.Status = 0}, indicated = {.Status = 0};
    struct floor_offload *entry;
    ULONG consumed = 7;

    fake_stand_with("request-upload UploadRequested on send 1");
    entry = connect();
    send(entry, &sent[0], 1);
    assert_int_equal(fake.io.count, 1);
    assert_int_equal(fake.io_up.count, 0); /* not inside the call */
    fake_pass(0);
    assert_string_equal(fake.io_up.name, "event");
    assert_int_equal(fake.io_up.code, TcpIndicateRetrieve);
    assert_ptr_equal(fake.io_up.data, (PVOID)UploadRequested);
    assert_int_equal(
        fake.client_tcp.TcpOffloadReceiveIndicateHandler(&entry->lower, &indicated, OK, &consumed),
        NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED);
    assert_int_equal(consumed, 0);
    send(entry, &sent[1], 1);
    fake.provider_tcp.TcpOffloadReceiveHandler(fake.adapter_context, entry, &posted);
    assert_int_equal(fake.io.count, 1);
    fake.client_tcp.TcpOffloadSendCompleteHandler(fake.binding_context, &sent[0]);
    disconnect();
    assert_int_equal(sent[1].Status, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    assert_int_equal(posted.Status, NDIS_STATUS_UPLOAD_IN_PROGRESS);
    fake_go();
}

/* V-137: what can wait waits for the end of an initiate that is held back here. */
static void
events_wait_for_initiates(void **state)
{
    NDIS_MINIPORT_OFFLOAD_BLOCK_LIST b;
    struct floor_offload *entry;
    PVOID cell = NULL;

    fake_stand_with("complete initiate delay 5ms 2");
    entry = connect();
    fake_single(&b, &cell, (PVOID)1);
    fake.provider.InitiateOffloadHandler(fake.adapter_context, &b);
    assert_int_equal(fake.down.count, 0);
    fake.client_tcp.TcpOffloadEventHandler(&entry->lower, TcpIndicateSendBacklogChange, 5000);
    fake.client_tcp.TcpOffloadEventHandler(&entry->lower, TcpIndicateSendBacklogChange, 6000);
    assert_int_equal(fake.io_up.count, 0);
    fake_pass(5);
    assert_string_equal(fake.down.name, "initiate");
    b.Status = OK;
    fake.client.InitiateOffloadCompleteHandler(fake.binding_context, (PVOID)&b);
    fake_pass(0);
    assert_int_equal(fake.io_up.count, 1);
    assert_ptr_equal(fake.io_up.data, (PVOID)6000);
    fake_terminate(&cell, (PVOID)1);
    disconnect();
    fake_go();
}

/* ---- frames ---- */

static UCHAR frame_bytes[64];
static MDL frame_mdl = {.StartVa = frame_bytes, .ByteCount = sizeof(frame_bytes)};

static void
make_frame(NET_BUFFER_LIST *nbl, NET_BUFFER *nb)
{
    memset(frame_bytes, 0x11, sizeof(frame_bytes));
    frame_bytes[12] = 0x08;
    frame_bytes[13] = 0x00;
    *nb = (NET_BUFFER){.CurrentMdl = &frame_mdl, .DataLength = sizeof(frame_bytes)};
    *nbl = (NET_BUFFER_LIST){.FirstNetBuffer = nb, .SourceHandle = (PVOID)9, .Status = 0x5A5A};
}

/* What has come down last, back up. */
static void
complete_frame(void)
{
    fake.protocol.SendNetBufferListsCompleteHandler(fake.binding_context, fake.frames.data, 0);
}

static void
frames_that_go_out(void **state)
{
    NET_BUFFER_LIST nbl, *copy;
    NET_BUFFER nb;
    unsigned bits = 0;

    fake_stand_with("frames out drop 1;frames out corrupt 2;frames out delay 5ms 3");
    make_frame(&nbl, &nb);
    fake.miniport.SendNetBufferListsHandler(fake.adapter_context, &nbl, 0, 0);
    assert_int_equal(fake.frames.count, 0);
    assert_int_equal(fake.frames_up.status, OK); /* as if it had been sent */

    fake.miniport.SendNetBufferListsHandler(fake.adapter_context, &nbl, 0, 0);
    assert_int_equal(fake.frames_up.count, 2);
    copy = fake.frames.data;
    assert_ptr_not_equal(copy, &nbl);
    assert_ptr_equal(copy->SourceHandle, FAKE_LOWER);
    for (unsigned i = 0; i < sizeof(frame_bytes) * 8; i++) {
        const UCHAR *bytes = MmGetMdlVirtualAddress(copy->FirstNetBuffer->CurrentMdl);
        bool flipped = ((bytes[i / 8] ^ frame_bytes[i / 8]) >> i % 8) & 1;

        assert_true(!flipped || i >= 14 * 8);
        bits += flipped;
    }
    assert_int_equal(bits, 1);
    assert_int_equal(frame_bytes[20], 0x11); /* the owner's stays */
    complete_frame();
    assert_int_equal(fake.frames_up.count, 2); /* a copy is nobody's above */

    fake.miniport.SendNetBufferListsHandler(fake.adapter_context, &nbl, 0, 0);
    assert_int_equal(fake.frames.count, 1);
    fake_pass(5);
    assert_int_equal(fake.frames.count, 2);
    complete_frame();

    fake.miniport.SendNetBufferListsHandler(fake.adapter_context, &nbl, 0, 0);
    assert_ptr_equal(fake.frames.data, &nbl); /* no rule is about it */
    complete_frame();
    fake_go();
}

static NET_BUFFER_LIST *came_up[4];
static unsigned came_up_count;

static void
note_frame(NET_BUFFER_LIST *nbl)
{
    came_up[came_up_count++] = nbl;
}

static void
frames_that_come_in(void **state)
{
    NET_BUFFER_LIST nbl;
    NET_BUFFER nb;

    fake_stand_with("frames in duplicate 1;frames in drop 2;frames in reorder 3");
    fake.on_frames_up = note_frame;
    came_up_count = 0;
    make_frame(&nbl, &nb);
    fake.protocol.ReceiveNetBufferListsHandler(fake.binding_context, &nbl, 0, 1, 0);
    assert_int_equal(came_up_count, 2);
    assert_ptr_equal(came_up[1], &nbl);
    fake.miniport.ReturnNetBufferListsHandler(fake.adapter_context, &nbl, 0);
    assert_int_equal(fake.frames.count, 1);
    /* A pause waits for the copy, too. */
    assert_int_equal(fake.miniport.PauseHandler(fake.adapter_context, NULL), NDIS_STATUS_PENDING);
    fake.miniport.ReturnNetBufferListsHandler(fake.adapter_context, came_up[0], 0);
    assert_string_equal(fake.answer.name, "pause");
    assert_int_equal(fake.frames.count, 1);
    fake.miniport.RestartHandler(fake.adapter_context, NULL);

    fake.protocol.ReceiveNetBufferListsHandler(fake.binding_context, &nbl, 0, 1, 0);
    assert_int_equal(came_up_count, 2);
    assert_int_equal(fake.frames.count, 2); /* it goes back at once */

    fake.protocol.ReceiveNetBufferListsHandler(fake.binding_context, &nbl, 0, 1, 0);
    assert_int_equal(came_up_count, 2);
    /* Lent ones pass it, and are as they were. */
    fake.protocol.ReceiveNetBufferListsHandler(fake.binding_context, &nbl, 0, 1,
                                               NDIS_RECEIVE_FLAGS_RESOURCES);
    assert_int_equal(came_up_count, 4);
    assert_ptr_equal(came_up[2], &nbl);
    assert_ptr_equal(nbl.SourceHandle, (PVOID)9);
    fake.miniport.ReturnNetBufferListsHandler(fake.adapter_context, came_up[3], 0);
    fake.on_frames_up = NULL;
    fake_go();
}

/* No memory for a copy: the frame goes as it is. */
static void
frames_without_memory(void **state)
{
    NET_BUFFER_LIST nbl;
    NET_BUFFER nb;

    for (int at = 0; at < 4; at++) {
        fake_stand_with("frames out delay 5ms");
        make_frame(&nbl, &nb);
        fake.fail_at = at;
        fake.miniport.SendNetBufferListsHandler(fake.adapter_context, &nbl, 0, 0);
        assert_ptr_equal(fake.frames.data, &nbl);
        complete_frame();
        fake_go();
    }
}

/* ---- scripts ---- */

static char said[256];

static void
on_line(enum log_level level, const char *line, void *arg)
{
    snprintf(said, sizeof(said), "%s", line);
}

/* What the virtual adapter's initialization comes to. */
static NDIS_STATUS
initialize_with(const char *file, const char *script, const char *seed)
{
    NDIS_MINIPORT_INIT_PARAMETERS init = {.Flags = 0};
    NDIS_BIND_PARAMETERS parameters;
    NDIS_STATUS status;

    memset(&fake_more, 0, sizeof(fake_more));
    fake_more.file = file;
    fake_more.script = script;
    fake_more.seed = seed;
    said[0] = '\0';
    log_set_sink(on_line, NULL);
    fake_load(fault_entry);
    fake_bind_parameters(&parameters);
    fake.protocol.BindAdapterHandlerEx(fake.protocol_context, FAKE_BIND, &parameters);
    init.IMDeviceInstanceContext = fake.device_context;
    status = fake.miniport.InitializeHandlerEx(FAKE_UPPER, fake.miniport_context, &init);
    log_set_sink(NULL, NULL);
    if (status == OK)
        fake_go();
    else {
        assert_int_equal(fake.protocol.UnbindAdapterHandlerEx(FAKE_UNBIND, fake.binding_context),
                         OK);
        fake_unload();
    }
    return status;
}

static NDIS_STATUS
initialize(const char *file, const char *script)
{
    return initialize_with(file, script, NULL);
}

static void
bad_scripts_do_not_stand(void **state)
{
    char path[] = "/tmp/fault_test-XXXXXX";
    FILE *file = fdopen(mkstemp(path), "w");
    char expected[128];

    fputs("seed 1\n  frames sideways\n", file);
    fclose(file);
    assert_int_equal(initialize(NULL, "seed 1;shout"), NDIS_STATUS_INVALID_PARAMETER);
    assert_string_equal(said, "fault virtual0: Script:1:8: expected seed, initiate, query, update, "
                              "invalidate, complete, send, request-upload or frames, found "
                              "'shout'");
    assert_int_equal(initialize(path, NULL), NDIS_STATUS_INVALID_PARAMETER);
    snprintf(expected, sizeof(expected),
             "fault virtual0: %s:2:10: expected in or out, found 'sideways'", path);
    assert_string_equal(said, expected);
    assert_int_equal(initialize(path, "seed 1"), NDIS_STATUS_INVALID_PARAMETER);
    assert_string_equal(said, "fault virtual0: File and Script: there can be one of them");
    file = fopen(path, "w");
    fputs("seed 1\nframes in drop # some\n", file);
    fclose(file);
    assert_int_equal(initialize(path, NULL), OK);
    remove(path);
    assert_int_equal(initialize(path, NULL), NDIS_STATUS_FAILURE);
    snprintf(expected, sizeof(expected), "fault virtual0: %s cannot be read", path);
    assert_string_equal(said, expected);
}

/* A part of a name or of a script is not what was meant. */
static void
bad_options_do_not_stand(void **state)
{
    static const char *const no_seeds[] = {"seven", "", "-1", "4294967296", "99999999999999999999"};
    char text[2000];

    for (size_t i = 0; i < sizeof(no_seeds) / sizeof(no_seeds[0]); i++) {
        assert_int_equal(initialize_with(NULL, "frames in drop", no_seeds[i]),
                         NDIS_STATUS_INVALID_PARAMETER);
        assert_non_null(strstr(said, "fault virtual0: Seed="));
        assert_non_null(strstr(said, ": it is a number from 0 to 4294967295"));
    }
    assert_int_equal(initialize_with(NULL, "frames in drop", "4294967295"), OK);
    memset(text, ' ', sizeof(text) - 1);
    text[1024] = '\0';
    assert_int_equal(initialize(NULL, text), NDIS_STATUS_INVALID_PARAMETER);
    assert_string_equal(said, "fault virtual0: Script is longer than 1023 characters; put it in a "
                              "File");
    text[1023] = '\0';
    assert_int_equal(initialize(NULL, text), OK);
    memset(text, 'x', 256);
    text[256] = '\0';
    assert_int_equal(initialize(text, NULL), NDIS_STATUS_INVALID_PARAMETER);
    assert_string_equal(said, "fault virtual0: File is longer than 255 characters");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_memory_for_a_send),
        cmocka_unit_test(a_dry_send_ends_with_the_terminate),
        cmocka_unit_test(sends_wait_and_are_told_inside_another_call),
        cmocka_unit_test(data_keep_their_order),
        cmocka_unit_test(a_mandatory_reason_stops),
        cmocka_unit_test(events_wait_for_initiates),
        cmocka_unit_test(frames_that_go_out),
        cmocka_unit_test(frames_that_come_in),
        cmocka_unit_test(frames_without_memory),
        cmocka_unit_test(bad_scripts_do_not_stand),
        cmocka_unit_test(bad_options_do_not_stand),
    };

    return cmocka_run_group_tests_name("intermediate/fault-fault", tests, NULL, NULL);
}
