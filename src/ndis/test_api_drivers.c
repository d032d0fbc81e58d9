/* Rows of the API table: registration, bindings, adapters, intermediate drivers. */
#include "ndis/objects.h"
#include "ndis/test_api.h"
#include "ndis/test_fakes.h"
#include "ndis/test_im.h"

static struct fake_host other;
static struct fake_im im;

static void
load_other(struct stage *stage)
{
    other = (struct fake_host){.stage = stage};
    assert_int_equal(house_load(stage->house, "other", fake_host_entry, &other), 0);
}

static void
load_im(struct stage *stage)
{
    im = (struct fake_im){.stage = stage};
    assert_int_equal(house_load(stage->house, "im", fake_im_entry, &im), 0);
}

/* ---- protocol drivers ---- */

static void
protocol_registers(struct stage *stage)
{
    load_other(stage);
    assert_non_null(other.protocol);
}

static NDIS_PROTOCOL_DRIVER_CHARACTERISTICS protocol_table;
static NDIS_STATUS entry_status;

static NDIS_STATUS
protocol_entry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NDIS_HANDLE handle = DriverObject;

    entry_status = NdisRegisterProtocolDriver(NULL, &protocol_table, &handle);
    assert_null(handle);
    return entry_status;
}

static void
protocol_does_not_register(struct stage *stage)
{
    NDIS_HANDLE handle = stage;

    assert_int_equal(NdisRegisterProtocolDriver(NULL, &protocol_table, &handle),
                     NDIS_STATUS_FAILURE); /* from no driver's entry */
    assert_null(handle);
    protocol_table = (NDIS_PROTOCOL_DRIVER_CHARACTERISTICS){
        .Header = {NDIS_OBJECT_TYPE_PROTOCOL_DRIVER_CHARACTERISTICS,
                   NDIS_PROTOCOL_DRIVER_CHARACTERISTICS_REVISION_1, sizeof(protocol_table)},
        .MajorNdisVersion = 5};
    assert_int_not_equal(house_load(stage->house, "old", protocol_entry, NULL), 0);
    assert_int_equal(entry_status, NDIS_STATUS_BAD_VERSION);
    protocol_table.MajorNdisVersion = 6;
    assert_int_not_equal(house_load(stage->house, "empty", protocol_entry, NULL), 0);
    assert_int_equal(entry_status, NDIS_STATUS_BAD_CHARACTERISTICS);
}

static void
protocol_deregisters(struct stage *stage)
{
    assert_int_equal(house_unload(stage->house, "host"), 0);
    assert_string_equal(stage->trace, "event-pause unbind"); /* inside the call */
}

static void
protocol_does_not_deregister(struct stage *stage)
{
    NdisDeregisterProtocolDriver(stage->target.driver);
    assert_true(stage_logged(stage, "is not a protocol driver handle"));
}

static void
options_are_set(struct stage *stage)
{
    struct ndis_binding *binding = stage->host.binding;
    NDIS_CLIENT_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS table = binding->client->generic;

    assert_int_equal(NdisSetOptionalHandlers(binding, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&table),
                     NDIS_STATUS_SUCCESS);
}

static void
options_are_refused(struct stage *stage)
{
    NDIS_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS table = {
        .Header = {NDIS_OBJECT_TYPE_PROVIDER_CHIMNEY_OFFLOAD_GENERIC_CHARACTERISTICS, 1,
                   sizeof(table)}};

    assert_int_equal(
        NdisSetOptionalHandlers(stage->host.protocol, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&table),
        NDIS_STATUS_FAILURE); /* */
    assert_int_equal(
        NdisSetOptionalHandlers(stage->target.driver, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&table),
        NDIS_STATUS_BAD_CHARACTERISTICS); /* its handlers are missing */
    assert_int_equal(NdisSetOptionalHandlers(NULL, (PNDIS_DRIVER_OPTIONAL_HANDLERS)&table),
                     NDIS_STATUS_FAILURE);
}

/* ---- bindings ---- */

static void
opens(struct stage *stage)
{
    load_other(stage);
    assert_int_equal(house_bind(stage->house, "other", "nic0", NULL), 0);
    assert_non_null(other.binding);
}

static NDIS_STATUS
open_from(NDIS_HANDLE protocol, NDIS_HANDLE context)
{
    NDIS_OPEN_PARAMETERS parameters = {
        .Header = {NDIS_OBJECT_TYPE_OPEN_PARAMETERS, 1, sizeof(parameters)}};
    NDIS_HANDLE binding = protocol;
    NDIS_STATUS status = NdisOpenAdapterEx(protocol, NULL, &parameters, context, &binding);

    assert_null(binding);
    return status;
}

static void
does_not_open(struct stage *stage)
{
    assert_int_equal(open_from(stage->host.protocol, stage->host.bind_context),
                     NDIS_STATUS_FAILURE); /* V-185: that bind is over */
    load_other(stage);
    other.medium = NdisMediumWan;
    assert_int_not_equal(house_bind(stage->house, "other", "nic0", NULL), 0);
    assert_true(stage_logged(stage, "0xc0010019")); /* NDIS_STATUS_UNSUPPORTED_MEDIA */
}

static void
closes(struct stage *stage)
{
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
}

static void
does_not_close(struct stage *stage)
{
    assert_int_equal(NdisCloseAdapterEx(stage->host.binding), NDIS_STATUS_FAILURE); /* V-185 */
    assert_int_equal(NdisCloseAdapterEx(NULL), NDIS_STATUS_INVALID_PARAMETER);
}

static void
bind_completes(struct stage *stage)
{
    load_other(stage);
    other.pend_bind = true;
    assert_int_equal(house_bind(stage->house, "other", "nic0", NULL), 0);
}

static void
bind_does_not_complete(struct stage *stage)
{
    NdisCompleteBindAdapterEx(stage->host.bind_context, NDIS_STATUS_SUCCESS);
    assert_true(stage_logged(stage, "NdisCompleteBindAdapterEx: the bind or unbind context"));
}

static void
unbind_completes(struct stage *stage)
{
    stage->host.pend_unbind = true;
    assert_int_equal(house_unbind(stage->house, "host", "nic0"), 0);
}

static void
unbind_does_not_complete(struct stage *stage)
{
    NdisCompleteUnbindAdapterEx(stage->host.bind_context);
    assert_true(stage_logged(stage, "NdisCompleteUnbindAdapterEx: the bind or unbind context"));
}

static void
event_completes(struct stage *stage)
{
    NET_PNP_EVENT_NOTIFICATION event = {.NetPnPEvent.NetEvent = NetEventQueryPower};

    stage->host.pend_event = true;
    stage->host.event_status = NDIS_STATUS_RESOURCES;
    assert_int_equal(NdisMNetPnPEvent(stage->target.adapter, &event), NDIS_STATUS_RESOURCES);
}

static void
event_does_not_complete(struct stage *stage)
{
    NET_PNP_EVENT_NOTIFICATION event = {.NetPnPEvent.NetEvent = NetEventQueryPower};

    NdisCompleteNetPnPEvent(stage->host.binding, &event, NDIS_STATUS_SUCCESS);
    assert_true(stage_logged(stage, "no such event is in progress (V-187)"));
}

static void
event_is_passed_on(struct stage *stage)
{
    NET_PNP_EVENT_NOTIFICATION event = {.NetPnPEvent.NetEvent = NetEventQueryPower};

    assert_int_equal(NdisMNetPnPEvent(stage->target.adapter, &event), NDIS_STATUS_SUCCESS);
    assert_string_equal(stage->trace, "event");
}

static void
event_is_refused(struct stage *stage)
{
    NET_PNP_EVENT_NOTIFICATION event = {.NetPnPEvent.NetEvent = NetEventQueryPower};

    stage->host.event_status = NDIS_STATUS_FAILURE;
    assert_int_equal(NdisMNetPnPEvent(stage->target.adapter, &event), NDIS_STATUS_FAILURE);
    assert_int_equal(NdisMNetPnPEvent(NULL, &event), NDIS_STATUS_INVALID_PARAMETER);
}

static void
lets_go(struct stage *stage)
{
    assert_int_equal(NdisUnbindAdapter(stage->host.binding), NDIS_STATUS_SUCCESS);
    stage_settle(stage);
    assert_string_equal(stage->trace, "event-pause unbind");
}

static void
does_not_let_go(struct stage *stage)
{
    NdisUnbindAdapter(stage->host.binding);
    assert_int_equal(NdisUnbindAdapter(stage->host.binding), NDIS_STATUS_FAILURE);
    assert_int_equal(NdisUnbindAdapter(NULL), NDIS_STATUS_INVALID_PARAMETER);
}

static void
comes_back(struct stage *stage)
{
    NdisUnbindAdapter(stage->host.binding);
    NdisReEnumerateProtocolBindings(stage->host.protocol);
    stage_settle(stage);
    assert_string_equal(stage->trace, "event-pause unbind bind event-restart");
}

static void
does_not_come_back(struct stage *stage)
{
    NdisReEnumerateProtocolBindings(stage->target.driver);
    assert_true(stage_logged(stage, "is not a protocol driver handle"));
}

/* ---- miniport drivers and adapters ---- */

static struct fake_target second;

static void
load_second(struct stage *stage)
{
    second = (struct fake_target){.stage = stage};
    assert_int_equal(house_load(stage->house, "second", fake_target_entry, &second), 0);
}

static void
add_second(struct stage *stage)
{
    assert_int_equal(house_add_adapter(stage->house, "second", "nic1", NULL, NULL), 0);
}

static void
miniport_registers(struct stage *stage)
{
    load_second(stage);
    assert_non_null(second.driver);
}

static void
miniport_does_not_register(struct stage *stage)
{
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS table = {.MajorNdisVersion = 6};
    NDIS_HANDLE handle = stage;

    assert_int_equal(NdisMRegisterMiniportDriver(NULL, NULL, NULL, &table, &handle),
                     NDIS_STATUS_FAILURE); /* from no driver's entry */
    assert_null(handle);
}

static void
miniport_deregisters(struct stage *stage)
{
    assert_int_equal(house_unload(stage->house, "target"), 0);
    assert_string_equal(stage->trace, "event-pause unbind pause halt unload");
}

static void
miniport_does_not_deregister(struct stage *stage)
{
    NdisMDeregisterMiniportDriver(stage->target.adapter); /* */
    assert_true(stage_logged(stage, "is not a miniport driver handle"));
}

static void
attributes_are_set(struct stage *stage)
{
    load_second(stage);
    add_second(stage);
    assert_int_equal(((struct ndis_adapter *)second.adapter)->general.MtuSize, 1500);
}

static void
attributes_are_refused(struct stage *stage)
{
    NDIS_MINIPORT_ADAPTER_ATTRIBUTES attributes = {.Header.Type = 0};

    assert_int_equal(NdisMSetMiniportAttributes(stage->target.adapter, &attributes),
                     NDIS_STATUS_INVALID_STATE); /* V-189: it is initialised */
    assert_int_equal(NdisMSetMiniportAttributes(stage->target.driver, &attributes),
                     NDIS_STATUS_INVALID_PARAMETER); /* */
}

static void
restart_completes(struct stage *stage)
{
    load_second(stage);
    second.pend_restart = true;
    add_second(stage);
}

static void
restart_does_not_complete(struct stage *stage)
{
    NdisMRestartComplete(stage->target.adapter, NDIS_STATUS_SUCCESS);
    assert_true(stage_logged(stage, "no restart is in progress (V-187)"));
}

static void
pause_completes(struct stage *stage)
{
    stage->target.pend_pause = true;
    assert_int_equal(house_remove_adapter(stage->house, "nic0"), 0);
}

static void
pause_does_not_complete(struct stage *stage)
{
    NdisMPauseComplete(stage->target.adapter);
    assert_true(stage_logged(stage, "no pause is in progress (V-187)"));
}

static void
handlers_are_given(struct stage *stage)
{
    PNDIS_OFFLOAD_EVENT_HANDLERS handlers = NULL;

    assert_int_equal(
        NdisMGetOffloadHandlers(stage->target.adapter, NdisTcpChimneyOffload, &handlers),
        NDIS_STATUS_SUCCESS);
    assert_int_equal(handlers->Header.Size, sizeof(NDIS_TCP_OFFLOAD_EVENT_HANDLERS));
}

static void
handlers_are_not_given(struct stage *stage)
{
    PNDIS_OFFLOAD_EVENT_HANDLERS handlers;

    assert_int_equal(
        NdisMGetOffloadHandlers(stage->target.adapter, (NDIS_CHIMNEY_OFFLOAD_TYPE)99, &handlers),
        STATUS_NOT_SUPPORTED);
    assert_null(handlers);
    assert_int_equal(
        NdisMGetOffloadHandlers(stage->target.driver, NdisTcpChimneyOffload, &handlers),
        NDIS_STATUS_INVALID_PARAMETER); /* */
}

/* ---- intermediate drivers ---- */

static void
edges_are_tied(struct stage *stage)
{
    load_im(stage);
    assert_ptr_equal(((struct ndis_miniport *)im.miniport)->lower_edge, im.protocol);
}

static void
edges_are_not_tied(struct stage *stage)
{
    NdisIMAssociateMiniport(stage->target.driver, stage->host.protocol);
    assert_true(stage_logged(stage, "driver target is not an intermediate driver"));
}

static void
floor_appears(struct stage *stage)
{
    load_im(stage);
    assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), 0);
    assert_non_null(ndis_adapter_find(stage->house, "v0"));
}

static void
floor_does_not_appear(struct stage *stage)
{
    NDIS_STRING name;

    load_im(stage);
    NdisInitUnicodeString(&name, u"v0");
    assert_int_equal(NdisIMInitializeDeviceInstanceEx(im.miniport, &name, NULL),
                     NDIS_STATUS_NOT_ACCEPTED); /* V-193: it does not bind */
    assert_int_equal(NdisIMInitializeDeviceInstanceEx(stage->target.driver, &name, NULL),
                     NDIS_STATUS_INVALID_PARAMETER);
}

static void
floor_is_cancelled(struct stage *stage)
{
    load_im(stage);
    im.cancel = true;
    assert_int_equal(house_bind(stage->house, "im", "nic0", "v0"), 0);
    assert_null(ndis_adapter_find(stage->house, "v0"));
}

static void
floor_is_not_cancelled(struct stage *stage)
{
    NDIS_STRING name;

    load_im(stage);
    NdisInitUnicodeString(&name, u"v7");
    assert_int_equal(NdisIMCancelInitializeDeviceInstance(im.miniport, &name), NDIS_STATUS_FAILURE);
    assert_int_equal(NdisIMCancelInitializeDeviceInstance(NULL, &name),
                     NDIS_STATUS_INVALID_PARAMETER);
}

static void
floor_goes(struct stage *stage)
{
    floor_appears(stage);
    assert_int_equal(house_unbind(stage->house, "im", "nic0"), 0);
    assert_null(ndis_adapter_find(stage->house, "v0"));
}

static void
floor_does_not_go(struct stage *stage)
{
    assert_int_equal(NdisIMDeInitializeDeviceInstance(stage->target.adapter),
                     NDIS_STATUS_FAILURE); /* it stands on a device */
    assert_int_equal(NdisIMDeInitializeDeviceInstance(NULL), NDIS_STATUS_INVALID_PARAMETER);
}

static void
context_of_the_floor(struct stage *stage)
{
    floor_appears(stage);
    load_other(stage);
    assert_int_equal(house_bind(stage->house, "other", "v0", NULL), 0);
    assert_ptr_equal(((struct floor *)NdisIMGetBindingContext(other.binding))->im, &im);
}

static void
no_context(struct stage *stage)
{
    assert_null(NdisIMGetBindingContext(stage->host.binding)); /* no floor in between */
    assert_null(NdisIMGetBindingContext(NULL));
}

static const struct api_row rows[] = {
    ROW(NdisRegisterProtocolDriver, PASSIVE_LEVEL, protocol_registers, protocol_does_not_register),
    ROW(NdisDeregisterProtocolDriver, PASSIVE_LEVEL, protocol_deregisters,
        protocol_does_not_deregister),
    ROW(NdisSetOptionalHandlers, PASSIVE_LEVEL, options_are_set, options_are_refused),
    ROW(NdisOpenAdapterEx, PASSIVE_LEVEL, opens, does_not_open),
    ROW(NdisCloseAdapterEx, PASSIVE_LEVEL, closes, does_not_close),
    ROW(NdisCompleteBindAdapterEx, DISPATCH_LEVEL, bind_completes, bind_does_not_complete),
    ROW(NdisCompleteUnbindAdapterEx, DISPATCH_LEVEL, unbind_completes, unbind_does_not_complete),
    ROW(NdisCompleteNetPnPEvent, PASSIVE_LEVEL, event_completes, event_does_not_complete),
    ROW(NdisMNetPnPEvent, PASSIVE_LEVEL, event_is_passed_on, event_is_refused),
    ROW(NdisUnbindAdapter, DISPATCH_LEVEL, lets_go, does_not_let_go),
    ROW(NdisReEnumerateProtocolBindings, PASSIVE_LEVEL, comes_back, does_not_come_back),
    ROW(NdisMRegisterMiniportDriver, PASSIVE_LEVEL, miniport_registers, miniport_does_not_register),
    ROW(NdisMDeregisterMiniportDriver, PASSIVE_LEVEL, miniport_deregisters,
        miniport_does_not_deregister),
    ROW(NdisMSetMiniportAttributes, PASSIVE_LEVEL, attributes_are_set, attributes_are_refused),
    ROW(NdisMRestartComplete, DISPATCH_LEVEL, restart_completes, restart_does_not_complete),
    ROW(NdisMPauseComplete, DISPATCH_LEVEL, pause_completes, pause_does_not_complete),
    ROW(NdisMGetOffloadHandlers, PASSIVE_LEVEL, handlers_are_given, handlers_are_not_given),
    ROW(NdisIMAssociateMiniport, PASSIVE_LEVEL, edges_are_tied, edges_are_not_tied),
    ROW(NdisIMInitializeDeviceInstanceEx, PASSIVE_LEVEL, floor_appears, floor_does_not_appear),
    ROW(NdisIMCancelInitializeDeviceInstance, PASSIVE_LEVEL, floor_is_cancelled,
        floor_is_not_cancelled),
    ROW(NdisIMDeInitializeDeviceInstance, PASSIVE_LEVEL, floor_goes, floor_does_not_go),
    ROW(NdisIMGetBindingContext, APC_LEVEL, context_of_the_floor, no_context),
};
const struct api_rows api_drivers = {rows, sizeof(rows) / sizeof(rows[0])};
