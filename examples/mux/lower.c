/*
 * The lower edge: a protocol on the adapter below. A bind opens it and asks for the virtual
 * adapters; an unbind takes them away before it closes.
 *
 * A pause is answered when nothing is out any more. NDIS pauses what stands above first, so there
 * is seldom anything; but if connections are still offloaded through us, their owners are asked to
 * take them back.
 */
#include "mux.h"

/* ---- answers that may have to wait ---- */

static void
answer_pauses(struct lower *lower)
{
    PNET_PNP_EVENT_NOTIFICATION pause = lower->pause;

    for (ULONG i = 0; i < lower->count; i++) {
        struct upper *upper = &lower->uppers[i];

        if (!upper->pausing || upper->out)
            continue;
        upper->pausing = FALSE;
        NdisMPauseComplete(upper->handle);
    }
    if (!pause || lower->out)
        return;
    lower->pause = NULL;
    NdisCompleteNetPnPEvent(lower->handle, pause, NDIS_STATUS_SUCCESS);
}

static VOID
work(PVOID WorkItemContext, NDIS_HANDLE NdisIoWorkItemHandle)
{
    struct lower *lower = WorkItemContext;

    lower->work_queued = FALSE;
    for (ULONG i = 0; i < lower->count; i++) {
        complete_refused_data(&lower->uppers[i]);
        complete_refused_trees(&lower->uppers[i]);
    }
    answer_pauses(lower);
}

void
work_soon(struct lower *lower)
{
    if (lower->work_queued)
        return;
    lower->work_queued = TRUE;
    NdisQueueIoWorkItem(lower->work, work, lower);
}

/* Completions come at DISPATCH_LEVEL, too; the answer to a pause is for PASSIVE_LEVEL. */
void
settle(struct lower *lower)
{
    BOOLEAN due = lower->pause && !lower->out;

    for (ULONG i = 0; i < lower->count; i++)
        due |= lower->uppers[i].pausing && !lower->uppers[i].out;
    if (due)
        work_soon(lower);
}

/* ---- bind ---- */

static void
copy_attributes(struct lower *lower, PNDIS_BIND_PARAMETERS from)
{
    PNDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES to = &lower->general;

    to->Header.Type = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES;
    to->Header.Revision = NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES_REVISION_1;
    to->Header.Size = sizeof(*to);
    to->MediaType = from->MediaType;
    to->MtuSize = from->MtuSize;
    to->MaxXmitLinkSpeed = from->MaxXmitLinkSpeed;
    to->XmitLinkSpeed = from->XmitLinkSpeed;
    to->MaxRcvLinkSpeed = from->MaxRcvLinkSpeed;
    to->RcvLinkSpeed = from->RcvLinkSpeed;
    to->MediaConnectState = from->MediaConnectState;
    to->LookaheadSize = from->LookaheadSize;
    to->MacOptions = from->MacOptions;
    to->SupportedPacketFilters = from->SupportedPacketFilters;
    to->MacAddressLength = from->MacAddressLength;
    NdisMoveMemory(to->PermanentMacAddress, from->CurrentMacAddress, NDIS_MAX_PHYS_ADDRESS_LENGTH);
    NdisMoveMemory(to->CurrentMacAddress, from->CurrentMacAddress, NDIS_MAX_PHYS_ADDRESS_LENGTH);
    lower->can_offload = from->TcpConnectionOffloadCapabilities != NULL;
    if (lower->can_offload)
        lower->capabilities = *from->TcpConnectionOffloadCapabilities;
}

/* "a,b": one virtual adapter per name. FALSE: no name, too many, or too long. */
static BOOLEAN
read_names(struct lower *lower, PNDIS_STRING section)
{
    ULONG length = section ? section->Length / sizeof(WCHAR) : 0, used = 0;

    for (ULONG i = 0; i <= length; i++) {
        struct upper *upper = &lower->uppers[lower->count];

        if (lower->count == UPPERS)
            return FALSE;
        if (i < length && section->Buffer[i] != ',') {
            if (used == sizeof(upper->text) / sizeof(WCHAR))
                return FALSE;
            upper->text[used++] = section->Buffer[i];
            continue;
        }
        if (!used)
            return FALSE;
        upper->lower = lower;
        upper->name.Buffer = upper->text;
        upper->name.Length = upper->name.MaximumLength = (USHORT)(used * sizeof(WCHAR));
        NdisInitializeEvent(&upper->halted);
        lower->count++;
        used = 0;
    }
    return TRUE;
}

static void
lower_free(struct lower *lower)
{
    if (lower->work)
        NdisFreeIoWorkItem(lower->work);
    NdisFreeMemory(lower, sizeof(*lower), 0);
}

/* PENDING: ProtocolCloseAdapterCompleteEx goes on. */
static NDIS_STATUS
close_lower(struct lower *lower)
{
    NDIS_STATUS status;

    while (lower->work_queued) /* it would find nothing to do, and no lower */
        NdisMSleep(1000);
    status = NdisCloseAdapterEx(lower->handle);
    if (status != NDIS_STATUS_PENDING)
        lower_free(lower);
    return status;
}

/* The adapter below is open: ask for the virtual ones, all or none. */
static NDIS_STATUS
opened(struct lower *lower, NDIS_STATUS status)
{
    ULONG i = 0;

    if (status != NDIS_STATUS_SUCCESS) {
        lower_free(lower);
        return status;
    }
    for (; i < lower->count && status == NDIS_STATUS_SUCCESS; i++)
        status = NdisIMInitializeDeviceInstanceEx(miniport, &lower->uppers[i].name,
                                                  &lower->uppers[i]);
    if (status == NDIS_STATUS_SUCCESS)
        return status;
    while (--i > 0)
        NdisIMCancelInitializeDeviceInstance(miniport, &lower->uppers[i - 1].name);
    return close_lower(lower) == NDIS_STATUS_PENDING ? NDIS_STATUS_PENDING : status;
}

NDIS_STATUS
ProtocolBindAdapterEx(NDIS_HANDLE ProtocolDriverContext, NDIS_HANDLE BindContext,
                      PNDIS_BIND_PARAMETERS BindParameters)
{
    struct lower *lower = NdisAllocateMemoryWithTagPriority(protocol, sizeof(*lower), TAG,
                                                            NormalPoolPriority);
    NDIS_MEDIUM medium = NdisMedium802_3;
    UINT selected;
    NDIS_OPEN_PARAMETERS open = {
        .Header = {NDIS_OBJECT_TYPE_OPEN_PARAMETERS, NDIS_OPEN_PARAMETERS_REVISION_1, sizeof(open)},
        .AdapterName = BindParameters->AdapterName,
        .MediumArray = &medium,
        .MediumArraySize = 1,
        .SelectedMediumIndex = &selected,
    };
    NDIS_STATUS status;

    if (!lower)
        return NDIS_STATUS_RESOURCES;
    NdisZeroMemory(lower, sizeof(*lower));
    copy_attributes(lower, BindParameters);
    lower->work = NdisAllocateIoWorkItem(protocol);
    if (!lower->work || !read_names(lower, BindParameters->ProtocolSection)) {
        status = lower->work ? NDIS_STATUS_INVALID_PARAMETER : NDIS_STATUS_RESOURCES;
        lower_free(lower);
        return status;
    }
    lower->bind_context = BindContext;
    status = NdisOpenAdapterEx(protocol, lower, &open, BindContext, &lower->handle);
    return status == NDIS_STATUS_PENDING ? status : opened(lower, status);
}

VOID
ProtocolOpenAdapterCompleteEx(NDIS_HANDLE ProtocolBindingContext, NDIS_STATUS Status)
{
    struct lower *lower = ProtocolBindingContext;
    NDIS_HANDLE context = lower->bind_context;
    NDIS_STATUS status = opened(lower, Status);

    if (status != NDIS_STATUS_PENDING)
        NdisCompleteBindAdapterEx(context, status);
}

/* ---- events, unbind ---- */

static NDIS_STATUS
pause(struct lower *lower, PNET_PNP_EVENT_NOTIFICATION event)
{
    lower->running = FALSE;
    if (!lower->out)
        return NDIS_STATUS_SUCCESS;
    lower->pause = event;
    lower->stopped = TRUE;
    for (ULONG i = 0; i < lower->count; i++)
        indicate(&lower->uppers[i], NDIS_STATUS_UPLOAD_ALL);
    return NDIS_STATUS_PENDING;
}

NDIS_STATUS
ProtocolNetPnPEvent(NDIS_HANDLE ProtocolBindingContext,
                    PNET_PNP_EVENT_NOTIFICATION NetPnPEventNotification)
{
    struct lower *lower = ProtocolBindingContext;
    NDIS_STATUS status = NDIS_STATUS_SUCCESS;

    switch (NetPnPEventNotification->NetPnPEvent.NetEvent) {
    case NetEventPause:
        return pause(lower, NetPnPEventNotification);
    case NetEventRestart:
        lower->running = TRUE;
        return NDIS_STATUS_SUCCESS;
    case NetEventReconfigure:
    case NetEventBindList:
    case NetEventBindsComplete:
        return NDIS_STATUS_SUCCESS; /* of this edge alone */
    default:
        for (ULONG i = 0; i < lower->count && status == NDIS_STATUS_SUCCESS; i++)
            if (lower->uppers[i].handle)
                status = NdisMNetPnPEvent(lower->uppers[i].handle, NetPnPEventNotification);
        return status == NDIS_STATUS_NOT_SUPPORTED ? NDIS_STATUS_SUCCESS : status;
    }
}

NDIS_STATUS
ProtocolUnbindAdapterEx(NDIS_HANDLE UnbindContext, NDIS_HANDLE ProtocolBindingContext)
{
    struct lower *lower = ProtocolBindingContext;

    for (ULONG i = 0; i < lower->count; i++) {
        struct upper *upper = &lower->uppers[i];

        if (upper->handle) {
            NdisIMDeInitializeDeviceInstance(upper->handle);
            NdisWaitEvent(&upper->halted, 0);
        } else {
            NdisIMCancelInitializeDeviceInstance(miniport, &upper->name);
        }
    }
    lower->unbind_context = UnbindContext;
    return close_lower(lower);
}

/* Of an unbind, or of a bind that failed after the open. */
VOID
ProtocolCloseAdapterCompleteEx(NDIS_HANDLE ProtocolBindingContext)
{
    struct lower *lower = ProtocolBindingContext;
    NDIS_HANDLE bind = lower->bind_context, unbind = lower->unbind_context;

    lower_free(lower);
    if (unbind)
        NdisCompleteUnbindAdapterEx(unbind);
    else
        NdisCompleteBindAdapterEx(bind, NDIS_STATUS_FAILURE);
}

/* ---- what comes up ---- */

VOID
ProtocolOidRequestComplete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                           NDIS_STATUS Status)
{
    struct upper *upper = container_of(OidRequest, struct upper, request);
    PNDIS_OID_REQUEST original = upper->original;

    upper->original = NULL;
    original->DATA = OidRequest->DATA;
    NdisMOidRequestComplete(upper->handle, original, Status);
}

VOID
ProtocolStatusEx(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
    struct lower *lower = ProtocolBindingContext;
    NDIS_STATUS code = StatusIndication->StatusCode;

    if (code == NDIS_STATUS_OFFLOAD_PAUSE || code == NDIS_STATUS_UPLOAD_ALL)
        lower->stopped = TRUE;
    else if (code == NDIS_STATUS_OFFLOAD_RESUME)
        lower->stopped = FALSE;
    for (ULONG i = 0; i < lower->count; i++) {
        struct upper *upper = &lower->uppers[i];
        NDIS_STATUS_INDICATION status = *StatusIndication;

        if (!upper->handle)
            continue;
        status.SourceHandle = upper->handle;
        status.DestinationHandle = NULL;
        NdisZeroMemory(status.NdisReserved, sizeof(status.NdisReserved));
        NdisMIndicateStatusEx(upper->handle, &status);
    }
}
