/* See test_rig.h. */
#include "target/soft/test_rig.h"

#include "base/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- what is heard ---- */

static void __attribute__((format(printf, 2, 3))) hear(struct rig *rig, const char *format, ...)
{
    size_t used = strlen(rig->heard);
    va_list arguments;

    if (used && used + 1 < sizeof rig->heard)
        rig->heard[used++] = ' ';
    va_start(arguments, format);
    vsnprintf(rig->heard + used, sizeof rig->heard - used, format, arguments);
    va_end(arguments);
}

static const char *
status_word(NDIS_STATUS status)
{
    static char number[16];

    switch ((unsigned)status) {
    case (unsigned)NDIS_STATUS_SUCCESS:
        return "ok";
    case (unsigned)NDIS_STATUS_UPLOAD_IN_PROGRESS:
        return "upload";
    case (unsigned)NDIS_STATUS_REQUEST_ABORTED:
        return "aborted";
    case (unsigned)NDIS_STATUS_INVALID_STATE:
        return "invalid";
    case (unsigned)NDIS_STATUS_PAUSED:
        return "paused";
    default:
        snprintf(number, sizeof number, "%08x", (unsigned)status);
        return number;
    }
}

/* The binding context of the driver is the rig. */
#define COMPLETION(function, word)                                                                 \
    static VOID function(NDIS_HANDLE ProtocolBindingContext,                                       \
                         NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *OffloadBlockList)                       \
    {                                                                                              \
        hear(ProtocolBindingContext, word);                                                        \
    }
COMPLETION(on_terminated, "terminated")
COMPLETION(on_updated, "updated")
COMPLETION(on_invalidated, "invalidated")
COMPLETION(on_queried, "queried")

static VOID
on_initiated(NDIS_HANDLE ProtocolBindingContext, NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *OffloadBlockList)
{
    struct rig *rig = ProtocolBindingContext;

    hear(rig, "initiated");
    if (rig->on_initiated)
        rig->on_initiated(rig);
}

static VOID
on_offload_event(NDIS_HANDLE ProtocolBindingContext,
                 NDIS_PROTOCOL_OFFLOAD_BLOCK_LIST *OffloadBlockList, ULONG IndicationCode)
{
    struct rig *rig = ProtocolBindingContext;
    NEIGHBOR_OFFLOAD_STATE_CONST *constant = NDIS_OFFLOAD_STATE_FIRST(OffloadBlockList);
    NEIGHBOR_OFFLOAD_STATE_CACHED *cached = NDIS_OFFLOAD_STATE_NEXT(constant);
    const NEIGHBOR_OFFLOAD_STATE_DELEGATED *delegated = NDIS_OFFLOAD_STATE_NEXT(cached);

    assert_int_equal(IndicationCode, NeighborReachabilityQuery);
    assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL);
    hear(rig, "neighbor:%u:%u", cached->DlDestinationAddress[5],
         (unsigned)delegated->NicReachabilityDelta);
    cached->HostReachabilityDelta = rig->reachability;
}

static void
hear_list(struct rig *rig, const char *word, NET_BUFFER_LIST *nbls)
{
    for (NET_BUFFER_LIST *nbl = nbls, *next; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        hear(rig, "%s:%s:%u", word, status_word(NET_BUFFER_LIST_STATUS(nbl)),
             (unsigned)(uintptr_t)NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred));
        rig_nbl_free(nbl);
    }
}

static VOID
on_sent(NDIS_HANDLE ProtocolBindingContext, NET_BUFFER_LIST *NetBufferList)
{
    hear_list(ProtocolBindingContext, "sent", NetBufferList);
}

static VOID
on_disconnected(NDIS_HANDLE ProtocolBindingContext, NET_BUFFER_LIST *NetBufferList)
{
    hear_list(ProtocolBindingContext, "disconnected", NetBufferList);
}

static VOID
on_forwarded(NDIS_HANDLE ProtocolBindingContext, NET_BUFFER_LIST *NetBufferList)
{
    hear_list(ProtocolBindingContext, "forwarded", NetBufferList);
}

static VOID
on_received(NDIS_HANDLE ProtocolBindingContext, NET_BUFFER_LIST *NetBufferList)
{
    struct rig *rig = ProtocolBindingContext;

    for (NET_BUFFER_LIST *nbl = NetBufferList; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        uint32_t bytes = (uint32_t)(uintptr_t)NET_BUFFER_LIST_INFO(nbl, TcpOffloadBytesTransferred);
        memcpy(rig->got + rig->got_count, nbl->ProtocolReserved[0], bytes);
        rig->got_count += bytes;
    }
    hear_list(rig, "received", NetBufferList);
    if (rig->on_received)
        rig->on_received(rig);
}

static struct rig *current; /* events name only an object; one rig at a time */

static VOID
on_event(PVOID OffloadContext, ULONG EventType, ULONG EventSpecificInformation)
{
    assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL); /* V-194 */
    switch (EventType) {
    case TcpIndicateDisconnect:
        hear(current, "event:disconnect");
        break;
    case TcpIndicateAbort:
        hear(current, "event:abort");
        break;
    case TcpIndicateRetrieve:
        hear(current, "event:retrieve:%u", EventSpecificInformation);
        break;
    default:
        current->backlog = EventSpecificInformation;
    }
}

static NDIS_STATUS
on_indicate(PVOID OffloadContext, NET_BUFFER_LIST *NetBufferList, NDIS_STATUS Status,
            ULONG *BytesConsumed)
{
    struct rig *rig = current;
    NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(NetBufferList);
    uint32_t len = NET_BUFFER_DATA_LENGTH(nb), take = rig->accept < len ? rig->accept : len;

    assert_int_equal(KeGetCurrentIrql(), DISPATCH_LEVEL); /* V-194 */
    assert_null(NET_BUFFER_LIST_NEXT_NBL(NetBufferList));
    assert_null(NET_BUFFER_NEXT_NB(nb));
    hear(rig, "indicate:%u", len);
    if (take) {
        const uint8_t *bytes = NdisGetDataBuffer(nb, take, rig->got + rig->got_count, 1, 0);
        memmove(rig->got + rig->got_count, bytes, take);
        rig->got_count += take;
    }
    *BytesConsumed = take;
    if (rig->on_indicate)
        rig->on_indicate(rig);
    if (take == len) {
        rig->kept[rig->kept_count++] = NetBufferList;
        return NDIS_STATUS_SUCCESS;
    }
    return take ? NDIS_STATUS_OFFLOAD_DATA_PARTIALLY_ACCEPTED
                : NDIS_STATUS_OFFLOAD_DATA_NOT_ACCEPTED;
}

static VOID
on_frames(NDIS_HANDLE ProtocolBindingContext, NET_BUFFER_LIST *NetBufferLists,
          NDIS_PORT_NUMBER PortNumber, ULONG NumberOfNetBufferLists, ULONG ReceiveFlags)
{
    struct rig *rig = ProtocolBindingContext;

    for (NET_BUFFER_LIST *nbl = NetBufferLists; nbl; nbl = NET_BUFFER_LIST_NEXT_NBL(nbl)) {
        NET_BUFFER *nb = NET_BUFFER_LIST_FIRST_NB(nbl);
        uint32_t len = NET_BUFFER_DATA_LENGTH(nb);
        rig->frame_len = len < sizeof rig->frame ? len : sizeof rig->frame;
        const uint8_t *bytes = NdisGetDataBuffer(nb, rig->frame_len, rig->frame, 1, 0);
        memmove(rig->frame, bytes, rig->frame_len);
        rig->large.Value = NET_BUFFER_LIST_INFO(nbl, TcpLargeSendNetBufferListInfo);
        hear(rig, "frame:%u", len);
    }
    NdisReturnNetBufferLists(rig->binding, NetBufferLists, 0);
}

static VOID
on_frames_sent(NDIS_HANDLE ProtocolBindingContext, NET_BUFFER_LIST *NetBufferList,
               ULONG SendCompleteFlags)
{
    for (NET_BUFFER_LIST *nbl = NetBufferList, *next; nbl; nbl = next) {
        next = NET_BUFFER_LIST_NEXT_NBL(nbl);
        hear(ProtocolBindingContext, "frame-sent:%s", status_word(NET_BUFFER_LIST_STATUS(nbl)));
        rig_nbl_free(nbl);
    }
}

/* ---- the protocol driver ---- */

static NDIS_STATUS
set_options(NDIS_HANDLE NdisDriverHandle, NDIS_HANDLE DriverContext)
{
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS generic = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS_REVISION_1, sizeof generic},
        .InitiateOffloadCompleteHandler = on_initiated,
        .TerminateOffloadCompleteHandler = on_terminated,
        .UpdateOffloadCompleteHandler = on_updated,
        .InvalidateOffloadCompleteHandler = on_invalidated,
        .QueryOffloadCompleteHandler = on_queried,
        .IndicateOffloadEventHandler = on_offload_event,
    };
    NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS tcp = {
        .Header = {NDIS_OBJECT_TYPE_CLIENT_CHIMNEY_OFFLOAD_CHARACTERISTICS,
                   NDIS_CLIENT_CHIMNEY_OFFLOAD_TCP_CHARACTERISTICS_REVISION_1, sizeof tcp},
        .OffloadType = NdisTcpChimneyOffload,
        .TcpOffloadSendCompleteHandler = on_sent,
        .TcpOffloadReceiveCompleteHandler = on_received,
        .TcpOffloadDisconnectCompleteHandler = on_disconnected,
        .TcpOffloadForwardCompleteHandler = on_forwarded,
        .TcpOffloadEventHandler = on_event,
        .TcpOffloadReceiveIndicateHandler = on_indicate,
    };

    NdisSetOptionalHandlers(NdisDriverHandle, (NDIS_DRIVER_OPTIONAL_HANDLERS *)&generic);
    return NdisSetOptionalHandlers(NdisDriverHandle, (NDIS_DRIVER_OPTIONAL_HANDLERS *)&tcp);
}

static NDIS_STATUS
on_bind(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
        NDIS_BIND_PARAMETERS *BindParameters)
{
    struct rig *rig = ProtocolDriverContext;
    NDIS_MEDIUM medium = NdisMedium802_3;
    UINT selected = 0;
    NDIS_OPEN_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_OPEN_PARAMETERS, NDIS_OPEN_PARAMETERS_REVISION_1,
                   sizeof parameters},
        .AdapterName = BindParameters->AdapterName,
        .MediumArray = &medium,
        .MediumArraySize = 1,
        .SelectedMediumIndex = &selected,
    };

    if (BindParameters->TcpConnectionOffloadCapabilities)
        rig->capabilities = *BindParameters->TcpConnectionOffloadCapabilities;
    rig->bind_context = BindContext;
    return NdisOpenAdapterEx(rig->protocol, rig, &parameters, BindContext, &rig->binding);
}

static VOID
on_opened(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
    NdisCompleteBindAdapterEx(((struct rig *)ProtocolBindingContext)->bind_context, Status);
}

static NDIS_STATUS
on_unbind(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct rig *rig = ProtocolBindingContext;

    rig->bind_context = UnbindContext;
    return NdisCloseAdapterEx(rig->binding);
}

static VOID
on_closed(NDIS_HANDLE ProtocolBindingContext)
{
    NdisCompleteUnbindAdapterEx(((struct rig *)ProtocolBindingContext)->bind_context);
}

static NDIS_STATUS
on_pnp(NDIS_HANDLE ProtocolBindingContext, NET_PNP_EVENT_NOTIFICATION *NetPnPEventNotification)
{
    struct rig *rig = ProtocolBindingContext;

    if (NetPnPEventNotification->NetPnPEvent.NetEvent == NetEventRestart)
        rig->running = true;
    if (NetPnPEventNotification->NetPnPEvent.NetEvent == NetEventSetPower && rig->on_power)
        rig->on_power(rig);
    return NDIS_STATUS_SUCCESS;
}

static VOID
on_request(NDIS_HANDLE ProtocolBindingContext, NDIS_OID_REQUEST *OidRequest, NDIS_STATUS Status)
{
    hear(ProtocolBindingContext, "request:%s", status_word(Status));
}

static VOID
on_status(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS_INDICATION *StatusIndication)
{
    const NDIS_LINK_STATE *link = StatusIndication->StatusBuffer;

    if (StatusIndication->StatusCode == NDIS_STATUS_LINK_STATE)
        hear(ProtocolBindingContext, "link:%s",
             link->MediaConnectState == MediaConnectStateConnected ? "up" : "down");
}

static VOID
on_unload(DRIVER_OBJECT *DriverObject)
{
    struct rig *rig = DriverObject->DriverExtension;

    NdisDeregisterProtocolDriver(rig->protocol);
    NdisFreeNetBufferListPool(rig->pool);
}

static NDIS_STATUS
rig_entry(DRIVER_OBJECT *DriverObject, UNICODE_STRING *RegistryPath)
{
    struct rig *rig = DriverObject->DriverExtension;
    NDIS_PROTOCOL_DRIVER_CHARACTERISTICS table = {
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                   NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1, sizeof table},
        .MajorNdisVersion = 6,
        .MinorNdisVersion = 20,
        .Name = NDIS_STRING_CONST(u"rig"),
        .SetOptionsHandler = set_options,
        .BindAdapterHandlerEx = on_bind,
        .UnbindAdapterHandlerEx = on_unbind,
        .OpenAdapterCompleteHandlerEx = on_opened,
        .CloseAdapterCompleteHandlerEx = on_closed,
        .NetPnPEventHandler = on_pnp,
        .OidRequestCompleteHandler = on_request,
        .StatusHandlerEx = on_status,
        .ReceiveNetBufferListsHandler = on_frames,
        .SendNetBufferListsCompleteHandler = on_frames_sent,
    };
    NET_BUFFER_LIST_POOL_PARAMETERS pool = {
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
                   sizeof pool},
        .fAllocateNetBuffer = TRUE,
    };

    DriverObject->DriverUnload = on_unload;
    NDIS_STATUS status = NdisRegisterProtocolDriver(rig, &table, &rig->protocol);
    rig->pool = NdisAllocateNetBufferListPool(rig->protocol, &pool);
    return status;
}

/* ---- the wire's other end ---- */

static void
on_out(void *arg, struct wire_buf *buf)
{
    struct rig *rig = arg;
    uint32_t link = bytes_load_be16(buf->data + 12) == 0x8100 ? 18 : 14;
    bool ipv6 = bytes_load_be16(buf->data + link - 2) == 0x86dd;
    struct rig_out *out = &rig->out[rig->out_count];
    uint32_t tcp = link + (ipv6 ? 40u : 20u);

    assert_true(rig->out_count < RIG_OUT_MAX);
    out->buf = wire_buf_get(buf);
    out->ip = buf->data + link;
    memset(&out->tcp, 0, sizeof out->tcp);
    if (buf->len >= tcp + 20 && !tcp_parse(buf->data + tcp, buf->len - tcp, &out->tcp))
        out->tcp.payload_len = buf->len - tcp - out->tcp.header_len;
    out->payload = buf->data + tcp + out->tcp.header_len;
    rig->out_count++;
}

static void
forget_out(struct rig *rig)
{
    while (rig->out_count)
        wire_buf_put(rig->out[--rig->out_count].buf);
}

/* ---- opening and closing ---- */

void
rig_set_parameters(struct rig *rig)
{
    rig->request = (NDIS_OID_REQUEST){
        .Header = {NDIS_OBJECT_TYPE_OID_REQUEST, NDIS_OID_REQUEST_REVISION_1, sizeof rig->request},
        .RequestType = NdisRequestSetInformation,
        .DATA.SET_INFORMATION = {.Oid = OID_TCP_CONNECTION_OFFLOAD_PARAMETERS,
                                 .InformationBuffer = &rig->parameters,
                                 .InformationBufferLength = sizeof rig->parameters},
    };
    assert_int_equal(NdisOidRequest(rig->binding, &rig->request), NDIS_STATUS_SUCCESS);
}

static void
set_parameters(struct rig *rig)
{
    rig->parameters = (NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS){
        .Header = {NDIS_OBJECT_TYPE_DEFAULT, NDIS_TCP_CONNECTION_OFFLOAD_PARAMETERS_REVISION_1,
                   sizeof rig->parameters},
        .TicksPerSecond = 1000,
        .TcpAckFrequency = 2,
        .TcpDelayedAckTicks = 40,
        .TcpPushTicks = 500,
    };
    rig_set_parameters(rig);
}

static void
on_report(void *arg, const struct verifier_report *report)
{
    struct rig *rig = arg;

    if (rig->careless && !strcmp(report->driver, "rig"))
        return;
    print_error("V-%03u%s %s at %s: %s\n", report->rule,
                report->consequential ? " (consequential)" : "", report->driver, report->call,
                report->seen);
    rig->breaches++;
}

/* The adapter to bind to. */
static const char *
build_floor(struct rig *rig, const struct rig_floor *floor)
{
    if (!floor)
        return "a0";
    assert_int_equal(house_load(rig->house, floor->name, floor->entry, NULL), 0);
    assert_int_equal(house_set_options(rig->house, "f0", floor->options), 0);
    assert_int_equal(house_bind(rig->house, floor->name, "a0", "f0"), 0);
    return "f0";
}

void
rig_open(struct rig *rig, const struct house_option *options)
{
    rig_open_under(rig, options, NULL);
}

void
rig_open_under(struct rig *rig, const struct house_option *options, const struct rig_floor *floor)
{
    memset(rig, 0, sizeof *rig);
    current = rig;
    rig->accept = RIG_ALL;
    rig->loop = sys_loop_create();
    assert_non_null(rig->loop);
    rig->wire = test_wire_create(rig->loop, on_out, rig);
    assert_int_equal(house_create(rig->loop, &rig->house), 0);
    rig->verifier = verifier_create(&(struct verifier_options){.on_report = on_report, .arg = rig});
    assert_non_null(rig->verifier);
    house_attach_observer(rig->house, verifier_observer(rig->verifier));
    assert_int_equal(house_load(rig->house, "soft", soft_target_entry, NULL), 0);
    assert_int_equal(house_load(rig->house, "rig", rig_entry, rig), 0);
    assert_int_equal(house_add_adapter(rig->house, "soft", "a0", rig->wire, options), 0);
    assert_int_equal(house_bind(rig->house, "rig", build_floor(rig, floor), NULL), 0);
    rig_turn(rig);
    assert_true(rig->running);
    set_parameters(rig);
}

void
rig_close(struct rig *rig)
{
    for (unsigned i = 0; i < rig->kept_count; i++)
        rig_return(rig, i);
    rig_turn(rig);
    forget_out(rig);
    house_destroy(rig->house);
    verifier_finish(rig->verifier);
    verifier_destroy(rig->verifier);
    assert_int_equal(rig->breaches, 0);
    forget_out(rig);
    test_wire_destroy(rig->wire);
    while (sys_loop_turn(rig->loop, false))
        ;
    sys_loop_destroy(rig->loop);
}

void
rig_turn(struct rig *rig)
{
    for (int i = 0; i < 20; i++)
        sys_loop_turn(rig->loop, false);
}

static void
ring(void *arg)
{
    *(bool *)arg = true;
}

void
rig_pass(struct rig *rig, uint64_t us)
{
    struct sys_timer timer;
    bool rung = false;

    assert_int_equal(sys_timer_init(&timer, rig->loop, ring, &rung), 0);
    sys_timer_set(&timer, sys_loop_now_us(rig->loop) + us);
    while (!rung)
        sys_loop_turn(rig->loop, true);
    sys_timer_fini(&timer);
}

void
rig_expect(struct rig *rig, const char *words)
{
    rig_turn(rig);
    assert_string_equal(rig->heard, words);
    rig->heard[0] = 0;
}

void
rig_forget(struct rig *rig)
{
    rig_turn(rig);
    rig->heard[0] = 0;
    forget_out(rig);
}

void
rig_expect_out(struct rig *rig, unsigned count)
{
    rig_turn(rig);
    assert_int_equal(rig->out_count, count);
}
