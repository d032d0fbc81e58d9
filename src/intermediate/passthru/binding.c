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
#include "intermediate/passthru/passthru.h"

#define PASSTHRU_STATE_NAME(name) #name,
static const char *const state_names[] = {PASSTHRU_STATES(PASSTHRU_STATE_NAME)};

/* From which states each state may be entered, as bits. */
static const unsigned state_edges[PASSTHRU_STATE_COUNT] = {
    [PASSTHRU_WAITING] = 1u << PASSTHRU_OPENING | 1u << PASSTHRU_STANDING,
    [PASSTHRU_STANDING] = 1u << PASSTHRU_WAITING,
    [PASSTHRU_CLOSING] = 1u << PASSTHRU_OPENING | 1u << PASSTHRU_WAITING,
};

void
passthru_set_state(struct passthru_adapter *adapter, enum passthru_state to, const char *why)
{
    if (!(state_edges[to] & 1u << adapter->state))
        log_error("passthru %s: no way from %s to %s", adapter->name, state_names[adapter->state],
                  state_names[to]);
    log_debug("passthru %s: %s → %s, %s", adapter->name, state_names[adapter->state],
              state_names[to], why);
    adapter->state = to;
}

void
passthru_settle(struct passthru_adapter *adapter)
{
    if (adapter->upper_pausing && adapter->frames_down == 0 && adapter->frames_up == 0) {
        adapter->upper_pausing = false;
        NdisMPauseComplete(adapter->upper);
    }
    if (adapter->pause && adapter->frames_down == 0 && adapter->objects == 0 && adapter->calls == 0)
        passthru_queue_work(adapter);
}

/* What drains a binding comes from below at any level; the answer is for PASSIVE_LEVEL. */
void
passthru_answer_pause(struct passthru_adapter *adapter)
{
    PNET_PNP_EVENT_NOTIFICATION pause = adapter->pause;

    if (!pause || adapter->frames_down || adapter->objects || adapter->calls)
        return;
    adapter->pause = NULL;
    NdisCompleteNetPnPEvent(adapter->lower, pause, NDIS_STATUS_SUCCESS);
}

/* ---- bind ---- */

static void
copy_attributes(struct passthru_adapter *adapter, PNDIS_BIND_PARAMETERS parameters)
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

/* false: no name, or one that does not fit. */
static bool
copy_name(struct passthru_adapter *adapter, const NDIS_STRING *section)
{
    size_t length = section ? section->Length / sizeof(WCHAR) : 0;

    if (length == 0 || length >= PASSTHRU_NAME_SIZE)
        return false;
    NdisMoveMemory(adapter->instance_text, section->Buffer, section->Length);
    adapter->instance.Buffer = adapter->instance_text;
    adapter->instance.Length = section->Length;
    adapter->instance.MaximumLength = sizeof(adapter->instance_text);
    for (size_t i = 0; i < length; i++)
        adapter->name[i] = section->Buffer[i] < 0x80 ? (char)section->Buffer[i] : '?';
    return true;
}

static struct passthru_adapter *
adapter_create(struct passthru_driver *driver, PNDIS_BIND_PARAMETERS parameters)
{
    struct passthru_adapter *adapter;

    adapter = NdisAllocateMemoryWithTagPriority(driver->protocol, sizeof(*adapter), PASSTHRU_TAG,
                                                NormalPoolPriority);
    if (!adapter)
        return NULL;
    NdisZeroMemory(adapter, sizeof(*adapter));
    adapter->driver = driver;
    NdisInitializeEvent(&adapter->halted);
    copy_attributes(adapter, parameters);
    return adapter;
}

static void
adapter_destroy(struct passthru_adapter *adapter)
{
    if (adapter->objects || adapter->calls || adapter->frames_down || adapter->frames_up)
        log_error("passthru %s: gone with %u objects, %u calls, %u frames down, %u up",
                  adapter->name, adapter->objects, adapter->calls, adapter->frames_down,
                  adapter->frames_up);
    if (adapter->work)
        NdisFreeIoWorkItem(adapter->work);
    NdisFreeMemory(adapter, sizeof(*adapter), 0);
}

/* NDIS_STATUS_PENDING: PassthruCloseAdapterCompleteEx goes on. */
static NDIS_STATUS
close_lower(struct passthru_adapter *adapter, const char *why)
{
    NDIS_STATUS status;

    passthru_set_state(adapter, PASSTHRU_CLOSING, why);
    status = NdisCloseAdapterEx(adapter->lower);
    if (status != NDIS_STATUS_PENDING)
        adapter_destroy(adapter);
    return status;
}

/* The adapter below is open: ask for the virtual one. Otherwise undo; adapter is gone unless the
 * close is pending. */
static NDIS_STATUS
opened(struct passthru_adapter *adapter, NDIS_STATUS status)
{
    if (status != NDIS_STATUS_SUCCESS) {
        adapter_destroy(adapter);
        return status;
    }
    adapter->work = NdisAllocateIoWorkItem(adapter->lower);
    status = NDIS_STATUS_RESOURCES;
    if (!adapter->work)
        goto close;
    passthru_set_state(adapter, PASSTHRU_WAITING, "opened");
    status = NdisIMInitializeDeviceInstanceEx(adapter->driver->miniport, &adapter->instance,
                                              adapter);
    if (status == NDIS_STATUS_SUCCESS)
        return status;

close:
    log_warn("passthru %s: no virtual adapter, status %08x", adapter->name, (unsigned)status);
    if (close_lower(adapter, "bind failed") == NDIS_STATUS_PENDING)
        return NDIS_STATUS_PENDING;
    return status;
}

NDIS_STATUS
PassthruBindAdapterEx(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
                      PNDIS_BIND_PARAMETERS BindParameters)
{
    struct passthru_driver *driver = ProtocolDriverContext;
    struct passthru_adapter *adapter;
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

    adapter = adapter_create(driver, BindParameters);
    if (!adapter)
        return NDIS_STATUS_RESOURCES;
    if (!copy_name(adapter, BindParameters->ProtocolSection)) {
        log_warn("passthru: the binding names no virtual adapter");
        adapter_destroy(adapter);
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
PassthruOpenAdapterCompleteEx(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;
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
PassthruCloseAdapterCompleteEx(NDIS_HANDLE ProtocolBindingContext)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;
    NDIS_HANDLE bind = adapter->bind, unbind = adapter->unbind;

    adapter_destroy(adapter);
    if (bind)
        NdisCompleteBindAdapterEx(bind, NDIS_STATUS_FAILURE);
    if (unbind)
        NdisCompleteUnbindAdapterEx(unbind);
}

NDIS_STATUS
PassthruUnbindAdapterEx(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;

    if (adapter->state == PASSTHRU_STANDING) {
        NdisIMDeInitializeDeviceInstance(adapter->upper);
        NdisWaitEvent(&adapter->halted, 0);
    } else if (adapter->state == PASSTHRU_WAITING) {
        NdisIMCancelInitializeDeviceInstance(adapter->driver->miniport, &adapter->instance);
    }
    adapter->unbind = UnbindContext;
    return close_lower(adapter, "unbound");
}

/* ---- events ---- */

static NDIS_STATUS
pause_binding(struct passthru_adapter *adapter, PNET_PNP_EVENT_NOTIFICATION event)
{
    adapter->lower_running = false;
    if (adapter->objects || adapter->calls) {
        if (!adapter->stopped_below)
            passthru_indicate(adapter, NDIS_STATUS_OFFLOAD_PAUSE);
        adapter->stopped_here = true;
        passthru_indicate(adapter, NDIS_STATUS_UPLOAD_ALL);
    }
    if (adapter->frames_down == 0 && adapter->objects == 0 && adapter->calls == 0)
        return NDIS_STATUS_SUCCESS;
    adapter->pause = event;
    return NDIS_STATUS_PENDING;
}

static NDIS_STATUS
restart_binding(struct passthru_adapter *adapter)
{
    adapter->lower_running = true;
    if (adapter->stopped_here && !adapter->stopped_below)
        passthru_indicate(adapter, NDIS_STATUS_OFFLOAD_RESUME);
    adapter->stopped_here = false;
    return NDIS_STATUS_SUCCESS;
}

NDIS_STATUS
PassthruNetPnPEvent(NDIS_HANDLE ProtocolBindingContext,
                    PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    struct passthru_adapter *adapter = ProtocolBindingContext;
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
