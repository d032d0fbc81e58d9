/*
 * OID requests go down as a copy in the adapter; NDIS hands a miniport one request at a time, so
 * one copy is enough. What the answer wrote into the copy is carried back to the original. Sets of
 * offload parameters are never answered here (V-012).
 */
#include "intermediate/floor/floor.h"

static NDIS_STATUS
carry_back(struct floor_adapter *adapter, NDIS_STATUS status)
{
    adapter->original->DATA = adapter->request.DATA;
    adapter->original = NULL;
    return status;
}

NDIS_STATUS
FloorOidRequest(NDIS_HANDLE MiniportAdapterContext, PNDIS_OID_REQUEST OidRequest)
{
    struct floor_adapter *adapter = MiniportAdapterContext;
    PNDIS_OID_REQUEST request = &adapter->request;
    NDIS_STATUS status;

    NdisZeroMemory(request, sizeof(*request));
    request->Header = OidRequest->Header;
    request->Header.Size = sizeof(*request);
    request->RequestType = OidRequest->RequestType;
    request->PortNumber = OidRequest->PortNumber;
    request->Timeout = OidRequest->Timeout;
    request->RequestId = OidRequest->RequestId;
    request->DATA = OidRequest->DATA;
    adapter->original = OidRequest;
    status = NdisOidRequest(adapter->lower, request);
    if (status == NDIS_STATUS_PENDING)
        return status;
    return carry_back(adapter, status);
}

VOID
FloorOidRequestComplete(NDIS_HANDLE ProtocolBindingContext, PNDIS_OID_REQUEST OidRequest,
                        NDIS_STATUS Status)
{
    struct floor_adapter *adapter = ProtocolBindingContext;
    PNDIS_OID_REQUEST original = adapter->original;

    NdisMOidRequestComplete(adapter->upper, original, carry_back(adapter, Status));
}

VOID
FloorCancelOidRequest(NDIS_HANDLE MiniportAdapterContext, PVOID RequestId)
{
    struct floor_adapter *adapter = MiniportAdapterContext;

    if (adapter->original && adapter->original->RequestId == RequestId)
        NdisCancelOidRequest(adapter->lower, RequestId);
}
