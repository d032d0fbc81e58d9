/*
 * Status indications: what comes from below goes up with our name on it. The pause of offloading
 * and the capabilities that a resume brings are remembered, for pauses of our own (V-143).
 */
#include "intermediate/floor/floor.h"

static void
remember(struct floor_adapter *adapter, const NDIS_STATUS_INDICATION *status)
{
    if (status->StatusCode == NDIS_STATUS_OFFLOAD_PAUSE ||
        status->StatusCode == NDIS_STATUS_UPLOAD_ALL)
        adapter->stopped_below = true;
    if (status->StatusCode != NDIS_STATUS_OFFLOAD_RESUME)
        return;
    adapter->stopped_below = false;
    if (status->StatusBuffer && status->StatusBufferSize >= sizeof(adapter->capabilities))
        NdisMoveMemory(&adapter->capabilities, status->StatusBuffer, sizeof(adapter->capabilities));
}

VOID
FloorStatusEx(NDIS_HANDLE ProtocolBindingContext, PNDIS_STATUS_INDICATION StatusIndication)
{
    struct floor_adapter *adapter = ProtocolBindingContext;
    NDIS_STATUS_INDICATION status = *StatusIndication;

    remember(adapter, StatusIndication);
    if (!adapter->upper)
        return;
    /* Ours holds until the binding restarts. */
    if (adapter->stopped_here && status.StatusCode == NDIS_STATUS_OFFLOAD_RESUME)
        return;
    status.SourceHandle = adapter->upper;
    status.DestinationHandle = NULL;
    NdisZeroMemory(status.NdisReserved, sizeof(status.NdisReserved));
    NdisMIndicateStatusEx(adapter->upper, &status);
}

void
floor_indicate(struct floor_adapter *adapter, NDIS_STATUS code)
{
    NDIS_STATUS_INDICATION status = {
        .Header = {NDIS_OBJECT_TYPE_STATUS_INDICATION, NDIS_STATUS_INDICATION_REVISION_1,
                   sizeof(status)},
        .SourceHandle = adapter->upper,
        .StatusCode = code,
    };

    if (!adapter->upper)
        return;
    if (code == NDIS_STATUS_OFFLOAD_RESUME) {
        status.StatusBuffer = &adapter->capabilities;
        status.StatusBufferSize = sizeof(adapter->capabilities);
    }
    NdisMIndicateStatusEx(adapter->upper, &status);
}
