/*
 * The lower edge: a protocol driver on the adapter below. A bind opens that adapter and asks for a
 * virtual one with the name in ProtocolSection; an unbind takes the virtual one away before it
 * closes.
 *
 * A pause of the binding must not strand what was offloaded through it: the drivers above are asked
 * to take everything back (OFFLOAD_PAUSE, UPLOAD_ALL) and the pause is answered when the last entry
 * is gone; a restart lifts that. Source: D:NdisOpenAdapterEx, D:NdisIMInitializeDeviceInstanceEx,
 * P33, V-143, V-185, V-187, V-193.
 */
#include "base/log.h"
#include "base/machine.h"
#include "intermediate/floor/floor.h"

#define FLOOR_STATE_NAME(name) #name,
static const char *const state_names[] = {FLOOR_STATES(FLOOR_STATE_NAME)};

#define FLOOR_EDGE(from, to) [FLOOR_##from][FLOOR_##to].legal = true,
static struct machine_edge edges[FLOOR_STATE_COUNT][FLOOR_STATE_COUNT] = {FLOOR_EDGES(FLOOR_EDGE)};
MACHINE(machine, "floor adapter", state_names, edges);

void
floor_set_state(struct floor_adapter *adapter, enum floor_state to, const char *why)
{
    if (!machine_walk(&machine, adapter->state, to)) {
        log_error("%s %s: no way from %s to %s (%s)", adapter->driver->kind->name, adapter->name,
                  state_names[adapter->state], state_names[to], why);
        return;
    }
    log_debug("%s %s: %s → %s, %s", adapter->driver->kind->name, adapter->name,
              state_names[adapter->state], state_names[to], why);
    adapter->state = to;
}

void
floor_settle(struct floor_adapter *adapter)
{
    if (adapter->upper_pausing && adapter->frames_down == 0 && adapter->frames_up == 0) {
        adapter->upper_pausing = false;
        NdisMPauseComplete(adapter->upper);
    }
    if (adapter->pause && adapter->frames_down == 0 && adapter->objects == 0 && adapter->calls == 0)
        floor_queue_work(adapter);
    if (adapter->driver->kind->settle)
        adapter->driver->kind->settle(adapter);
}

/* What drains a binding comes from below at any level; the answer is for PASSIVE_LEVEL. */
void
floor_answer_pause(struct floor_adapter *adapter)
{
    PNET_PNP_EVENT_NOTIFICATION pause = adapter->pause;

    if (!pause || adapter->frames_down || adapter->objects || adapter->calls)
        return;
    adapter->pause = NULL;
    NdisCompleteNetPnPEvent(adapter->lower, pause, NDIS_STATUS_SUCCESS);
}

/* ---- bind ---- */

static void
copy_attributes(struct floor_adapter *adapter, PNDIS_BIND_PARAMETERS parameters)
{
    PNDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES general = &adapter->general;

    general->Header.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES;
    general->Header.Revision = NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_1;
    general->Header.Size = sizeof(*general);
    general->MediaType = parameters->MediaType;
    general->MtuSize = parameters->MtuSize;
    general->MaxXmitLinkSpeed = parameters->MaxXmitLinkSpeed;
    general->XmitLinkSpeed = parameters->XmitLinkSpeed;
    general->MaxRcvLinkSpeed = parameters->MaxRcvLinkSpeed;
    general->RcvLinkSpeed = parameters->RcvLinkSpeed;
    general->MediaConnectState = parameters->MediaConnectState;
    general->LookaheadSize = parameters->LookaheadSize;
    general->MacOptions = parameters->MacOptions;
    general->SupportedPacketFilters = parameters->SupportedPacketFilters;
    general->MacAddressLength = parameters->MacAddressLength;
    NdisMoveMemory(general->PermanentMacAddress, parameters->CurrentMacAddress,
                   NDIS_MAX_PHYS_ADDRESS_LENGTH);
    NdisMoveMemory(general->CurrentMacAddress, parameters->CurrentMacAddress,
                   NDIS_MAX_PHYS_ADDRESS_LENGTH);
    adapter->has_chimney = parameters->TcpConnectionOffloadCapabilities != NULL;
    if (adapter->has_chimney)
        adapter->capabilities = *parameters->TcpConnectionOffloadCapabilities;
}

bool
floor_adapter_name(struct floor_adapter *adapter, const NDIS_STRING *section)
{
    size_t length = section ? section->Length / sizeof(WCHAR) : 0;

    if (length == 0 || length >= FLOOR_NAME_SIZE)
        return false;
    NdisMoveMemory(adapter->instance_text, section->Buffer, section->Length);
    adapter->instance.Buffer = adapter->instance_text;
    adapter->instance.Length = section->Length;
    adapter->instance.MaximumLength = sizeof(adapter->instance_text);
    for (size_t i = 0; i < length; i++)
        adapter->name[i] = section->Buffer[i] < 0x80 ? (char)section->Buffer[i] : '?';
    return true;
}

static UINT
adapter_bytes(const struct floor_kind *kind)
{
    return (UINT)(kind->adapter_bytes ? kind->adapter_bytes : sizeof(struct floor_adapter));
}

struct floor_adapter *
floor_adapter_create(struct floor_driver *driver, PNDIS_BIND_PARAMETERS parameters)
{
    struct floor_adapter *adapter;

    adapter = NdisAllocateMemoryWithTagPriority(driver->protocol, adapter_bytes(driver->kind),
                                                FLOOR_TAG, NormalPoolPriority);
    if (!adapter)
        return NULL;
    NdisZeroMemory(adapter, adapter_bytes(driver->kind));
    adapter->driver = driver;
    NdisInitializeEvent(&adapter->halted);
    copy_attributes(adapter, parameters);
    return adapter;
}

void
floor_adapter_destroy(struct floor_adapter *adapter)
{
    if (adapter->objects || adapter->calls || adapter->frames_down || adapter->frames_up)
        log_error("%s %s: gone with %u objects, %u calls, %u frames down, %u up",
                  adapter->driver->kind->name, adapter->name, adapter->objects, adapter->calls,
                  adapter->frames_down, adapter->frames_up);
    if (adapter->work)
        NdisFreeIoWorkItem(adapter->work);
    NdisFreeMemory(adapter, adapter_bytes(adapter->driver->kind), 0);
}

/* NDIS_STATUS_PENDING: FloorCloseAdapterCompleteEx goes on. */
static NDIS_STATUS
close_lower(struct floor_adapter *adapter, const char *why)
{
    NDIS_STATUS status;

    floor_set_state(adapter, FLOOR_CLOSING, why);
    status = NdisCloseAdapterEx(adapter->lower);
    if (status != NDIS_STATUS_PENDING)
        floor_adapter_destroy(adapter);
    return status;
}

NDIS_STATUS
floor_announce(struct floor_adapter *adapter)
{
    NDIS_STATUS status = NDIS_STATUS_RESOURCES;

    if (!adapter->work)
        adapter->work = NdisAllocateIoWorkItem(adapter->driver->protocol);
    if (adapter->work) {
        if (adapter->state != FLOOR_WAITING)
            floor_set_state(adapter, FLOOR_WAITING, "opened");
        status = NdisIMInitializeDeviceInstanceEx(adapter->driver->miniport, &adapter->instance,
                                                  adapter);
    }
    if (status != NDIS_STATUS_SUCCESS)
        log_warn("%s %s: no virtual adapter, status %08x", adapter->driver->kind->name,
                 adapter->name, (unsigned)status);
    return status;
}

/* The adapter below is open: ask for the virtual one. Otherwise undo; adapter is gone unless the
 * close is pending. */
static NDIS_STATUS
opened(struct floor_adapter *adapter, NDIS_STATUS status)
{
    if (status != NDIS_STATUS_SUCCESS) {
        floor_adapter_destroy(adapter);
        return status;
    }
    status = floor_announce(adapter);
    if (status == NDIS_STATUS_SUCCESS)
        return status;
    if (close_lower(adapter, "bind failed") == NDIS_STATUS_PENDING)
        return NDIS_STATUS_PENDING;
    return status;
}

NDIS_STATUS
FloorBindAdapterEx(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
                   PNDIS_BIND_PARAMETERS BindParameters)
{
    struct floor_driver *driver = ProtocolDriverContext;
    struct floor_adapter *adapter;
    NDIS_MEDIUM medium = NdisMedium802_3;
    UINT selected = 0;
    NDIS_OPEN_PARAMETERS open = {
        .Header = {NDIS_OBJECT_TYPE_OPEN_PARAMETERS, NDIS_OPEN_PARAMETERS_REVISION_1, sizeof(open)},
        .AdapterName = BindParameters->AdapterName,
        .MediumArray = &medium,
        .MediumArraySize = 1,
        .SelectedMediumIndex = &selected,
    };
    NDIS_STATUS status;

    adapter = floor_adapter_create(driver, BindParameters);
    if (!adapter)
        return NDIS_STATUS_RESOURCES;
    if (!floor_adapter_name(adapter, BindParameters->ProtocolSection)) {
        log_warn("%s: the binding names no virtual adapter", driver->kind->name);
        floor_adapter_destroy(adapter);
        return NDIS_STATUS_INVALID_PARAMETER;
    }
    adapter->bind = BindContext;
    status = NdisOpenAdapterEx(driver->protocol, adapter, &open, BindContext, &adapter->lower);
    if (status == NDIS_STATUS_PENDING)
        return status;
    status = opened(adapter, status);
    if (status == NDIS_STATUS_SUCCESS)
        adapter->bind = NULL;
    return status;
}

VOID
FloorOpenAdapterCompleteEx(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
    struct floor_adapter *adapter = ProtocolBindingContext;
    NDIS_HANDLE bind = adapter->bind;
    NDIS_STATUS status = opened(adapter, Status);

    if (status == NDIS_STATUS_PENDING)
        return;
    if (status == NDIS_STATUS_SUCCESS)
        adapter->bind = NULL;
    NdisCompleteBindAdapterEx(bind, status);
}

/* ---- unbind ---- */

VOID
FloorCloseAdapterCompleteEx(NDIS_HANDLE ProtocolBindingContext)
{
    struct floor_adapter *adapter = ProtocolBindingContext;
    NDIS_HANDLE bind = adapter->bind, unbind = adapter->unbind;

    floor_adapter_destroy(adapter);
    if (bind)
        NdisCompleteBindAdapterEx(bind, NDIS_STATUS_FAILURE);
    if (unbind)
        NdisCompleteUnbindAdapterEx(unbind);
}

void
floor_withdraw(struct floor_adapter *adapter)
{
    if (adapter->state == FLOOR_STANDING) {
        NdisIMDeInitializeDeviceInstance(adapter->upper);
        NdisWaitEvent(&adapter->halted, 0);
    } else if (adapter->state == FLOOR_WAITING) {
        NdisIMCancelInitializeDeviceInstance(adapter->driver->miniport, &adapter->instance);
    }
}

NDIS_STATUS
FloorUnbindAdapterEx(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct floor_adapter *adapter = ProtocolBindingContext;

    floor_withdraw(adapter);
    adapter->unbind = UnbindContext;
    return close_lower(adapter, "unbound");
}

/* ---- events ---- */

static NDIS_STATUS
pause_binding(struct floor_adapter *adapter, PNET_PNP_EVENT_NOTIFICATION event)
{
    adapter->lower_running = false;
    if (adapter->objects || adapter->calls) {
        if (!adapter->stopped_below)
            floor_indicate(adapter, NDIS_STATUS_OFFLOAD_PAUSE);
        adapter->stopped_here = true;
        floor_indicate(adapter, NDIS_STATUS_UPLOAD_ALL);
    }
    if (adapter->frames_down == 0 && adapter->objects == 0 && adapter->calls == 0)
        return NDIS_STATUS_SUCCESS;
    adapter->pause = event;
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
restart_binding(struct floor_adapter *adapter)
{
    adapter->lower_running = true;
    if (adapter->stopped_here && !adapter->stopped_below)
        floor_indicate(adapter, NDIS_STATUS_OFFLOAD_RESUME);
    adapter->stopped_here = false;
    return NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
FloorNetPnPEvent(NDIS_HANDLE ProtocolBindingContext,
                 PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    struct floor_adapter *adapter = ProtocolBindingContext;
    NDIS_STATUS status;

    if (!adapter)
        return NDIS_STATUS_SUCCESS;
    switch (NetPnPEventNotification->NetPnPEvent.NetEvent) {
    case NetEventPause:
        return pause_binding(adapter, NetPnPEventNotification);
    case NetEventRestart:
        return restart_binding(adapter);
    case NetEventBindList:
    case NetEventBindsComplete:
    case NetEventReconfigure:
        /* Of this edge alone. */
        return NDIS_STATUS_SUCCESS;
    default:
        if (!adapter->upper)
            return NDIS_STATUS_SUCCESS;
        status = NdisMNetPnPEvent(adapter->upper, NetPnPEventNotification);
        /* V-188 */
        return status == NDIS_STATUS_NOT_SUPPORTED ? NDIS_STATUS_SUCCESS : status;
    }
}
