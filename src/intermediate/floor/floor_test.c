/*
 * Everything but trees: data, events, frames and requests pass as they are, a pause waits for what
 * is under way, and a bind that fails leaves nothing.
 */
#include "intermediate/floor/floor.h"

#include "base/log.h"
#include "intermediate/floor/ndis_fake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static int
stand(void **state)
{
    log_set_level(LOG_ERROR);
    fake_stand();
    return 0;
}

static int
leave(void **state)
{
    fake_forget();
    fake_leave();
    return 0;
}

/* ---- data and events ---- */

static void
data_passes_as_it_is(void **state)
{
    PNDIS_PROVIDER_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS down = &fake.provider_tcp;
    PNDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS up = &fake.client_tcp;
    PVOID cell = NULL, ours = fake_offload(&cell, &cell, (PVOID)0xB0);
    NET_BUFFER_LIST nbl = {.Status = 77};
    PNDIS_OFFLOAD_HANDLE handle;

    assert_int_equal(down->TcpOffloadSendHandler(fake.adapter_context, ours, &nbl),
                     NDIS_STATUS_PENDING);
    handle = fake.io.handle;
    assert_string_equal(fake.io.name, "send");
    assert_ptr_equal(handle->MiniportOffloadContext, (PVOID)0xB0);
    assert_ptr_equal(fake.io.data, &nbl);
    down->TcpOffloadReceiveHandler(fake.adapter_context, ours, &nbl);
    assert_string_equal(fake.io.name, "receive");
    down->TcpOffloadForwardHandler(fake.adapter_context, ours, &nbl);
    assert_string_equal(fake.io.name, "forward");
    down->TcpOffloadDisconnectHandler(fake.adapter_context, ours, &nbl,
                                      TCP_DISCONNECT_ABORTIVE_CLOSE);
    assert_string_equal(fake.io.name, "disconnect");
    assert_int_equal(fake.io.code, TCP_DISCONNECT_ABORTIVE_CLOSE);
    assert_ptr_equal(fake.io.handle, handle);
    assert_int_equal(down->TcpOffloadReceiveReturnHandler(fake.adapter_context, &nbl), 0);
    assert_ptr_equal(fake.io.handle, FAKE_LOWER);

    up->TcpOffloadSendCompleteHandler(fake.binding_context, &nbl);
    assert_string_equal(fake.io_up.name, "send");
    assert_ptr_equal(fake.io_up.handle, FAKE_UPPER);
    up->TcpOffloadReceiveCompleteHandler(fake.binding_context, &nbl);
    assert_string_equal(fake.io_up.name, "receive");
    up->TcpOffloadForwardCompleteHandler(fake.binding_context, &nbl);
    assert_string_equal(fake.io_up.name, "forward");
    up->TcpOffloadDisconnectCompleteHandler(fake.binding_context, &nbl);
    assert_string_equal(fake.io_up.name, "disconnect");
    assert_int_equal(nbl.Status, 77);
    assert_null(nbl.Context);
    fake_terminate(&cell, &cell);
}

static void
what_comes_from_below_reaches_the_handle_above(void **state)
{
    PVOID cell = NULL, ours = fake_offload(&cell, &cell, (PVOID)0xB0);
    NET_BUFFER_LIST nbl = {.Next = NULL};
    ULONG consumed = 0;
    PVOID handle;

    fake.provider_tcp.TcpOffloadSendHandler(fake.adapter_context, ours, &nbl);
    handle = fake.io.handle;
    fake.client_tcp.TcpOffloadEventHandler(handle, TcpIndicateRetrieve, LowActivity);
    assert_string_equal(fake.io_up.name, "event");
    assert_ptr_equal(fake.io_up.handle, &cell);
    assert_int_equal(fake.io_up.code, TcpIndicateRetrieve);
    assert_ptr_equal(fake.io_up.data, (PVOID)LowActivity);
    fake.indicate_status = NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED;
    fake.indicate_consumed = 13;
    assert_int_equal(fake.client_tcp.TcpOffloadReceiveIndicateHandler(
                         handle, &nbl, NDIS_STATUS_SUCCESS, &consumed),
                     NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED);
    assert_int_equal(consumed, 13);
    assert_ptr_equal(fake.io_up.handle, &cell);
    assert_ptr_equal(fake.io_up.data, &nbl);
    fake_terminate(&cell, &cell);
}

static void
a_neighbor_event_is_answered_in_place(void **state)
{
    struct {
        NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST block;
        NEIGHBOR_OFFLOAD_STATE_CACHED cached;
    } query = {.block = {.Header = {NeighborOffloadState, 1, sizeof(query.block)}}};
    NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST before;
    PVOID cell = NULL, ours = fake_offload(&cell, &cell, (PVOID)0xB0);
    NET_BUFFER_LIST nbl;

    fake.provider_tcp.TcpOffloadSendHandler(fake.adapter_context, ours, &nbl);
    query.block.OffloadHandle = fake.io.handle;
    query.block.ImReserved[0] = &query;
    before = query.block;
    fake.client.IndicateOffloadEventHandler(fake.binding_context, &query.block,
                                            NeighborReachabilityQuery);
    assert_string_equal(fake.up.name, "event");
    assert_ptr_equal(fake.up.handle, &cell);
    assert_int_equal(fake.up.code, NeighborReachabilityQuery);
    assert_int_equal(query.cached.HostReachabilityDelta, 42);
    assert_memory_equal(&query.block, &before, sizeof(before));
    fake_terminate(&cell, &cell);
}

/* ---- pausing ---- */

static void
a_pause_below_takes_everything_back_first(void **state)
{
    NET_PNP_EVENT_NOTIFICATION pause;
    PVOID cell = NULL;

    fake_offload(&cell, &cell, (PVOID)0xB0);
    fake_forget();
    assert_int_equal(fake_event(&pause, NetEventPause), NDIS_STATUS_PENDING);
    assert_int_equal(fake.status_count, 2);
    assert_int_equal(fake.statuses[0], NDIS_STATUS_OFFLOAD_PAUSE);
    assert_int_equal(fake.statuses[1], NDIS_STATUS_UPLOAD_ALL);
    assert_int_equal(fake.answer.count, 0);
    fake_terminate(&cell, &cell);
    assert_int_equal(fake.answer.count, 0); /* that may have come at any level */
    fake_run_work();
    assert_string_equal(fake.answer.name, "event");
    assert_ptr_equal(fake.answer.data, &pause);
    fake_event(&pause, NetEventRestart);
    assert_int_equal(fake.statuses[2], NDIS_STATUS_OFFLOAD_RESUME);
}

static void
indicate_below(NDIS_STATUS code)
{
    NDIS_STATUS_INDICATION status = {.StatusCode = code, .SourceHandle = FAKE_LOWER};

    fake.protocol.StatusHandlerEx(fake.binding_context, &status);
}

static void
our_resume_does_not_lift_the_pause_of_the_target(void **state)
{
    NET_PNP_EVENT_NOTIFICATION pause;
    PVOID cell = NULL;

    fake_offload(&cell, &cell, (PVOID)0xB0);
    fake_forget();
    indicate_below(NDIS_STATUS_OFFLOAD_PAUSE);
    fake_event(&pause, NetEventPause);
    fake_terminate(&cell, &cell);
    fake_run_work();
    fake_event(&pause, NetEventRestart);
    assert_int_equal(fake.status_count, 2);
    assert_int_equal(fake.statuses[0], NDIS_STATUS_OFFLOAD_PAUSE);
    assert_int_equal(fake.statuses[1], NDIS_STATUS_UPLOAD_ALL);
    indicate_below(NDIS_STATUS_OFFLOAD_RESUME);
    assert_int_equal(fake.statuses[2], NDIS_STATUS_OFFLOAD_RESUME);
}

static void
a_resume_of_the_target_does_not_lift_ours(void **state)
{
    NET_PNP_EVENT_NOTIFICATION pause;
    PVOID cell = NULL;

    fake_offload(&cell, &cell, (PVOID)0xB0);
    fake_forget();
    fake_event(&pause, NetEventPause);
    indicate_below(NDIS_STATUS_OFFLOAD_RESUME);
    assert_int_equal(fake.status_count, 2);
    fake_terminate(&cell, &cell);
    fake_event(&pause, NetEventRestart);
    assert_int_equal(fake.status_count, 3);
    assert_int_equal(fake.statuses[2], NDIS_STATUS_OFFLOAD_RESUME);
}

static void
other_events_go_up_and_never_fail_as_unknown(void **state)
{
    NET_PNP_EVENT_NOTIFICATION event;

    assert_int_equal(fake_event(&event, NetEventQueryPower), NDIS_STATUS_SUCCESS);
    assert_string_equal(fake.answer.name, "event up");
    assert_ptr_equal(fake.answer.data, &event);
}

/* ---- frames and requests ---- */

static void
frames_find_their_owner_again(void **state)
{
    NET_BUFFER_LIST nbls[2] = {{.SourceHandle = &nbls[0]}, {.SourceHandle = &nbls[1]}};

    nbls[0].Next = &nbls[1];
    fake.miniport.SendNetBufferListsHandler(fake.adapter_context, nbls, 0, 0);
    assert_ptr_equal(fake.frames.data, nbls);
    assert_ptr_equal(nbls[1].SourceHandle, FAKE_LOWER);
    assert_ptr_equal(nbls[0].Next, &nbls[1]);
    assert_int_equal(fake.miniport.PauseHandler(fake.adapter_context, NULL), NDIS_STATUS_PENDING);
    fake.protocol.SendNetBufferListsCompleteHandler(fake.binding_context, nbls, 0);
    assert_ptr_equal(fake.frames_up.data, nbls);
    assert_ptr_equal(nbls[0].SourceHandle, &nbls[0]);
    assert_ptr_equal(nbls[1].SourceHandle, &nbls[1]);
    assert_null(nbls[0].Context);
    assert_string_equal(fake.answer.name, "pause");

    fake.miniport.SendNetBufferListsHandler(fake.adapter_context, nbls, 0, 0);
    assert_int_equal(nbls[1].Status, NDIS_STATUS_PAUSED);
    assert_int_equal(fake.frames.count, 1);
    fake.protocol.ReceiveNetBufferListsHandler(fake.binding_context, nbls, 0, 2, 0);
    assert_string_equal(fake.frames.name, "return");
}

static void
a_frame_without_memory_fails_alone(void **state)
{
    NET_BUFFER_LIST nbls[3] = {{.Next = &nbls[1]}, {.Next = &nbls[2]}, {.Next = NULL}};

    fake.fail_at = 1;
    fake.miniport.SendNetBufferListsHandler(fake.adapter_context, nbls, 0, 0);
    assert_ptr_equal(fake.frames.data, &nbls[0]);
    assert_ptr_equal(nbls[0].Next, &nbls[2]);
    assert_null(nbls[2].Next);
    assert_ptr_equal(fake.frames_up.data, &nbls[1]);
    assert_int_equal(nbls[1].Status, NDIS_STATUS_RESOURCES);
    fake.protocol.SendNetBufferListsCompleteHandler(fake.binding_context, nbls, 0);
}

static void
received_frames_go_up_and_come_back(void **state)
{
    NET_BUFFER_LIST nbls[2] = {{.SourceHandle = &nbls[0], .Next = &nbls[1]},
                               {.SourceHandle = &nbls[1]}};

    fake.protocol.ReceiveNetBufferListsHandler(fake.binding_context, nbls, 0, 2, 0);
    assert_int_equal(fake.frames_up.code, 2);
    assert_ptr_equal(nbls[1].SourceHandle, FAKE_UPPER);
    assert_int_equal(fake.miniport.PauseHandler(fake.adapter_context, NULL), NDIS_STATUS_PENDING);
    fake.miniport.ReturnNetBufferListsHandler(fake.adapter_context, nbls, 0);
    assert_string_equal(fake.frames.name, "return");
    assert_ptr_equal(nbls[1].SourceHandle, &nbls[1]);
    assert_string_equal(fake.answer.name, "pause");
}

static void
tear_the_list(PNET_BUFFER_LIST nbl)
{
    assert_null(nbl->Next);
    assert_ptr_equal(nbl->SourceHandle, FAKE_UPPER);
}

static void
lent_frames_come_back_as_they_were(void **state)
{
    NET_BUFFER_LIST nbls[2] = {{.SourceHandle = &nbls[0], .Next = &nbls[1]},
                               {.SourceHandle = &nbls[1]}};

    fake.on_frames_up = tear_the_list;
    fake.protocol.ReceiveNetBufferListsHandler(fake.binding_context, nbls, 0, 2,
                                               NDIS_RECEIVE_FLAGS_RESOURCES);
    assert_int_equal(fake.frames_up.count, 2);
    assert_int_equal(fake.frames.count, 0);
    assert_ptr_equal(nbls[0].Next, &nbls[1]);
    assert_ptr_equal(nbls[0].SourceHandle, &nbls[0]);
    assert_int_equal(fake.miniport.PauseHandler(fake.adapter_context, NULL), NDIS_STATUS_SUCCESS);
}

static void
requests_bring_back_what_was_written(void **state)
{
    NDIS_OID_REQUEST request = {.RequestType = NdisRequestQueryInformation, .RequestId = state};

    request.DATA.QUERY_INFORMATION.Oid = OID_TCP4_OFFLOAD_STATS;
    fake.request_status = NDIS_STATUS_NOT_SUPPORTED;
    assert_int_equal(fake.miniport.OidRequestHandler(fake.adapter_context, &request),
                     NDIS_STATUS_NOT_SUPPORTED);
    assert_int_equal(request.DATA.QUERY_INFORMATION.BytesWritten, 7);

    request.DATA.QUERY_INFORMATION.BytesWritten = 0;
    fake.request_status = NDIS_STATUS_PENDING;
    assert_int_equal(fake.miniport.OidRequestHandler(fake.adapter_context, &request),
                     NDIS_STATUS_PENDING);
    assert_int_equal(request.DATA.QUERY_INFORMATION.BytesWritten, 0);
    fake.protocol.OidRequestCompleteHandler(fake.binding_context, fake.down.data,
                                            NDIS_STATUS_SUCCESS);
    assert_ptr_equal(fake.up.data, &request);
    assert_int_equal(fake.up.status, NDIS_STATUS_SUCCESS);
    assert_int_equal(request.DATA.QUERY_INFORMATION.BytesWritten, 7);
}

/* ---- binding ---- */

/* Each way a bind can fail; afterwards only the driver's own memory is left. */
static void
a_failed_bind_leaves_nothing(void **state)
{
    NDIS_BIND_PARAMETERS parameters;
    BIND_HANDLER_EX bind = fake.protocol.BindAdapterHandlerEx;
    ULONG blocks = fake.blocks;
    NDIS_HANDLE kept = fake.binding_context, device = fake.device_context;

    fake_bind_parameters(&parameters);
    parameters.ProtocolSection = NULL;
    assert_int_equal(bind(fake.protocol_context, FAKE_BIND, &parameters),
                     NDIS_STATUS_INVALID_PARAMETER);
    fake_bind_parameters(&parameters);
    fake.open_status = NDIS_STATUS_ADAPTER_NOT_FOUND;
    assert_int_equal(bind(fake.protocol_context, FAKE_BIND, &parameters),
                     NDIS_STATUS_ADAPTER_NOT_FOUND);
    fake.open_status = NDIS_STATUS_SUCCESS;
    fake_forget();
    fake.fail_at = 1; /* the work item, when the adapter below is open */
    assert_int_equal(bind(fake.protocol_context, FAKE_BIND, &parameters), NDIS_STATUS_RESOURCES);
    assert_string_equal(fake.answer.name, "close");
    assert_int_equal(fake.answer.count, 1);
    assert_ptr_equal(fake.device_context, device); /* no virtual adapter was asked for */
    fake.fail_at = -1;
    fake.instance_status = NDIS_STATUS_NOT_ACCEPTED;
    assert_int_equal(bind(fake.protocol_context, FAKE_BIND, &parameters), NDIS_STATUS_NOT_ACCEPTED);
    fake.close_status = NDIS_STATUS_PENDING;
    assert_int_equal(bind(fake.protocol_context, FAKE_BIND, &parameters), NDIS_STATUS_PENDING);
    fake.protocol.CloseAdapterCompleteHandlerEx(fake.binding_context);
    assert_string_equal(fake.answer.name, "bind");
    assert_int_equal(fake.answer.status, NDIS_STATUS_FAILURE);
    assert_int_equal(fake.blocks, blocks);
    fake.instance_status = fake.close_status = NDIS_STATUS_SUCCESS;
    fake.binding_context = kept;
    fake.device_context = device;
}

static void
open_and_close_may_take_their_time(void **state)
{
    NDIS_BIND_PARAMETERS parameters;
    NDIS_HANDLE kept = fake.binding_context, device = fake.device_context;
    ULONG blocks = fake.blocks;

    fake_bind_parameters(&parameters);
    fake.open_status = fake.close_status = NDIS_STATUS_PENDING;
    assert_int_equal(
        fake.protocol.BindAdapterHandlerEx(fake.protocol_context, FAKE_BIND, &parameters),
        NDIS_STATUS_PENDING);
    fake.protocol.OpenAdapterCompleteHandlerEx(fake.binding_context, NDIS_STATUS_SUCCESS);
    assert_string_equal(fake.answer.name, "bind");
    assert_int_equal(fake.answer.status, NDIS_STATUS_SUCCESS);
    /* Unbound before the virtual adapter came (V-193). */
    assert_int_equal(fake.protocol.UnbindAdapterHandlerEx(FAKE_UNBIND, fake.binding_context),
                     NDIS_STATUS_PENDING);
    assert_null(fake.device_context);
    fake.protocol.CloseAdapterCompleteHandlerEx(fake.binding_context);
    assert_string_equal(fake.answer.name, "unbind");
    assert_int_equal(fake.blocks, blocks);
    fake.open_status = fake.close_status = NDIS_STATUS_SUCCESS;
    fake.binding_context = kept;
    fake.device_context = device;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, stand, leave)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(data_passes_as_it_is),
        TEST(what_comes_from_below_reaches_the_handle_above),
        TEST(a_neighbor_event_is_answered_in_place),
        TEST(a_pause_below_takes_everything_back_first),
        TEST(our_resume_does_not_lift_the_pause_of_the_target),
        TEST(a_resume_of_the_target_does_not_lift_ours),
        TEST(other_events_go_up_and_never_fail_as_unknown),
        TEST(frames_find_their_owner_again),
        TEST(a_frame_without_memory_fails_alone),
        TEST(received_frames_go_up_and_come_back),
        TEST(lent_frames_come_back_as_they_were),
        TEST(requests_bring_back_what_was_written),
        TEST(a_failed_bind_leaves_nothing),
        TEST(open_and_close_may_take_their_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
