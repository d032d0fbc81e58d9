/*
 * The upper edge: virtual adapters, which look like the adapter below. NDIS initialises them some
 * time after the lower edge has asked for them, and halts them when it says that they go.
 */
#include "mux.h"

/* ---- life ---- */

static NDIS_STATUS
set_attributes(struct upper *upper, NDIS_HANDLE handle)
{
    struct lower *lower = upper->lower;
    NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES registration = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES_REVISION_1, sizeof(registration)},
        .MiniportAdapterContext = upper,
    };
    NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES offload = {
        .Header = {NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
                   NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1, sizeof(offload)},
        .DefaultTcpConnectionOffloadConfiguration = &lower->capabilities,
        .TcpConnectionOffloadHardwareCapabilities = &lower->capabilities,
    };
    NDIS_STATUS status = NdisMSetMiniportAttributes(handle, (PVOID)&registration);

    if (status == NDIS_STATUS_SUCCESS)
        status = NdisMSetMiniportAttributes(handle, (PVOID)&lower->general);
    if (status == NDIS_STATUS_SUCCESS && lower->can_offload)
        status = NdisMSetMiniportAttributes(handle, (PVOID)&offload);
    return status;
}

NDIS_STATUS
MiniportInitializeEx(NDIS_HANDLE NdisMiniportHandle, NDIS_HANDLE MiniportDriverContext,
                     PNDIS_MINIPORT_INIT_PARAMETERS MiniportInitParameters)
{
    struct upper *upper = MiniportInitParameters->IMDeviceInstanceContext;
    PNDIS_OFFLOAD_EVENT_HANDLERS handlers;
    NDIS_STATUS status = set_attributes(upper, NdisMiniportHandle);

    if (status == NDIS_STATUS_SUCCESS && upper->lower->can_offload) {
        status = NdisMGetOffloadHandlers(NdisMiniportHandle, NdisTcpChimneyOffload, &handlers);
        if (status == NDIS_STATUS_SUCCESS && handlers->Header.Size < sizeof(upper->events))
            status = NDIS_STATUS_BAD_VERSION;
        if (status == NDIS_STATUS_SUCCESS)
            NdisMoveMemory(&upper->events, handlers, sizeof(upper->events));
    }
    if (status == NDIS_STATUS_SUCCESS) {
        NdisResetEvent(&upper->halted);
        upper->handle = NdisMiniportHandle;
    }
    return status;
}

VOID
MiniportHaltEx(NDIS_HANDLE MiniportAdapterContext, NDIS_HALT_ACTION HaltAction)
{
    struct upper *upper = MiniportAdapterContext;

    upper->handle = NULL;
    NdisSetEvent(&upper->halted);
}

NDIS_STATUS
MiniportPause(NDIS_HANDLE MiniportAdapterContext, PNDIS_MINIPORT_PAUSE_PARAMETERS PauseParameters)
{
    struct upper *upper = MiniportAdapterContext;

    upper->running = FALSE;
    upper->pausing = upper->out != 0;
    return upper->pausing ? NDIS_STATUS_PENDING : NDIS_STATUS_SUCCESS;
}

/* Who binds to us from now on has not heard of a pause of offloading that came earlier. */
NDIS_STATUS
MiniportRestart(NDIS_HANDLE MiniportAdapterContext,
                PNDIS_MINIPORT_RESTART_PARAMETERS RestartParameters)
{
    struct upper *upper = MiniportAdapterContext;

    upper->running = TRUE;
    if (upper->lower->stopped)
        indicate(upper, NDIS_STATUS_OFFLOAD_PAUSE);
    return NDIS_STATUS_SUCCESS;
}

/* ---- what it says to the drivers above ---- */

void
indicate(struct upper *upper, NDIS_STATUS code)
{
    NDIS_STATUS_INDICATION status = {
        .Header = {NDIS_OBJECT_TYPE_STATUS_INDICATION, NDIS_STATUS_INDICATION_REVISION_1,
                   sizeof(status)},
        .SourceHandle = upper->handle,
        .StatusCode = code,
    };

    if (upper->handle)
        NdisMIndicateStatusEx(upper->handle, &status);
}

/* ---- requests: a copy goes down, one at a time per virtual adapter (NDIS sees to that) ---- */

NDIS_STATUS
MiniportOidRequest(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    struct upper *upper = MiniportAdapterContext;
    NDIS_STATUS status;

    NdisZeroMemory(&upper->request, sizeof(upper->request));
    upper->request.Header = OidRequest->Header;
    upper->request.RequestType = OidRequest->RequestType;
    upper->request.PortNumber = OidRequest->PortNumber;
    upper->request.Timeout = OidRequest->Timeout;
    upper->request.RequestId = OidRequest->RequestId;
    upper->request.DATA = OidRequest->DATA;
    upper->original = OidRequest;
    status = NdisOidRequest(upper->lower->handle, &upper->request);
    if (status == NDIS_STATUS_PENDING)
        return status;
    upper->original = NULL;
    OidRequest->DATA = upper->request.DATA; /* with what was read, written or is needed */
    return status;
}

VOID
MiniportCancelOidRequest(NDIS_HANDLE MiniportAdapterContext, PVOID RequestId)
{
    struct upper *upper = MiniportAdapterContext;

    if (upper->original && upper->original->RequestId == RequestId)
        NdisCancelOidRequest(upper->lower->handle, RequestId);
}
